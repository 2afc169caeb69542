//! Tables of many commits or many files: what a commit to one takes, and opening it.
//!
//! To make such a table by commits alone would take an hour. So a real commit is copied: each copy is the
//! next commit, with a file of its own (another name of the same one), and with bookmarks further on. They
//! are written straight into the log, and not synced.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use quarry_event::{EventTime, RecordId};
use quarry_store::{EventMeta, Move, Options, Policy, Store};
use serde_json::{Value, json};

use crate::made::{BEGIN, Made};
use crate::{Failed, processor_time, say};

const SOURCE: &str = "even6://host00.corp.example";

/// Live files where there are few, and where there are many.
const FEW: u64 = 100;
const MANY: u64 = 10_000;
/// Commits that are measured together: among them is one with a checkpoint after it, as each hundredth is.
const COMMITS: u64 = 100;
/// Rows of one of these.
const ROWS: u64 = 1_000;

/// Rows of each of many commits.
const SMALL: u64 = 10;
/// How many commits a log keeps that has one each ten seconds and is kept for a day.
const DAY: u64 = 8_640;
/// How many of these come between one maintenance and the next; and after the last, half of what comes
/// between two checkpoints.
const MAINTAINED: u64 = 240;
const AFTER: u64 = 50;
/// Small files that are left alone, and that become one: `quarryd`'s policy.
const MERGED: u64 = 200;
/// How often a table is opened to be measured once: the system counts time in hundredths of a second.
const OPENED: u32 = 10;

/// The name of a commit, and of its data file where it is a copy.
fn commit_name(version: u64) -> String {
    format!("_delta_log/{version:020}.json")
}

fn file_name(version: u64, n: u64) -> String {
    format!("part-{version:08}-{n:05}.zstd.parquet")
}

/// Pushes and commits one batch.
struct Source {
    store: Store,
    appender: quarry_store::Appender,
    record: u64,
}

impl Source {
    /// Opens a table and goes on where it is.
    async fn open(folder: &Path) -> Result<Self, Failed> {
        let store =
            Store::open(folder.to_str().ok_or("the path is text")?, Options::default()).await?;
        let record = store.take(SOURCE).await?.first().map_or(0, |bookmark| bookmark.record.0);
        let appender = store.appender()?;
        Ok(Source { store, appender, record })
    }

    async fn commit(&mut self, rows: u64) -> Result<u64, Failed> {
        let mut batch = self.store.rows()?;
        let mut time = None;
        for _ in 0..rows {
            let event = Made::new(self.record, MANY * ROWS);
            let origin = quarry_event::Origin {
                source: SOURCE,
                host: Some("host00.corp.example"),
                log: "Security",
                log_record: Some(RecordId(self.record + 1)),
                recovered: false,
            };
            let meta = EventMeta { origin, received: event.time, texts: Default::default() };
            batch.event(&event, &meta)?;
            self.record += 1;
            time = Some(event.time);
        }
        let to = (RecordId(self.record), time);
        let moved =
            Move { source: SOURCE.into(), log: "Security".into(), to, new_generation: false };
        self.appender.push(&batch, &[moved])?;
        Ok(self.appender.flush().await?.version)
    }
}

/// A commit, to be copied.
struct Pattern {
    folder: PathBuf,
    /// Its number and its actions.
    version: u64,
    actions: Vec<Value>,
    /// The data file that it adds, and that file's statistics.
    file: PathBuf,
    stats: Value,
}

impl Pattern {
    /// The commit of a version, which adds one file.
    fn read(folder: &Path, version: u64) -> Result<Self, Failed> {
        let text = fs::read_to_string(folder.join(commit_name(version)))?;
        let actions = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
        let added = actions.iter().find_map(|action| action.get("add")).ok_or("it adds no file")?;
        let file = folder.join(added["path"].as_str().ok_or("it has no name")?);
        let stats = serde_json::from_str(added["stats"].as_str().ok_or("it has no statistics")?)?;
        Ok(Pattern { folder: folder.to_owned(), version, actions, file, stats })
    }

    /// The action that adds a copy of the file, of other ten seconds. The file gets another name where it
    /// `is_there`.
    fn add(&self, action: &Value, name: &str, n: u64, is_there: bool) -> Result<Value, Failed> {
        let time = |seconds| {
            let time = EventTime::from_filetime(BEGIN + seconds * EventTime::SECOND).to_string();
            // Six digits of seven, as tables have it.
            time.replace("0Z", "Z")
        };
        let mut stats = self.stats.clone();
        stats["minValues"]["time"] = time(n * 10).into();
        stats["maxValues"]["time"] = time(n * 10 + 9).into();
        let mut action = action.clone();
        action["add"]["path"] = name.into();
        action["add"]["stats"] = stats.to_string().into();
        if is_there {
            fs::hard_link(&self.file, self.folder.join(name))?;
        }
        Ok(action)
    }

    /// Writes a copy of the commit.
    fn copy(&self, version: u64, is_there: bool) -> Result<(), Failed> {
        let mut text = String::new();
        for action in &self.actions {
            let mut action = action.clone();
            if let Some(txn) = action.get_mut("txn") {
                let value = txn["version"].as_u64().ok_or("a version is a number")?;
                txn["version"] = (value + version - self.version).into();
            } else if action.get("add").is_some() {
                action = self.add(&action, &file_name(version, 0), version, is_there)?;
            } else if let Some(info) = action.get_mut("commitInfo") {
                info["quarry"]["id"] = format!("copy-{version}").into();
            }
            text += &format!("{action}\n");
        }
        Ok(fs::write(self.folder.join(commit_name(version)), text)?)
    }

    /// Writes one commit that adds so many copies of the file.
    fn multiply(&self, version: u64, files: u64) -> Result<(), Failed> {
        let mut text = format!("{}\n", json!({ "commitInfo": { "operation": "WRITE" } }));
        let added = self.actions.iter().find(|action| action.get("add").is_some());
        for n in 0..files {
            let added = added.ok_or("it adds no file")?;
            let added = self.add(added, &file_name(version, n), n, true)?;
            text += &format!("{added}\n");
        }
        Ok(fs::write(self.folder.join(commit_name(version)), text)?)
    }
}

/// Measures a hundred commits to a table of few files, and to one of many.
pub(crate) async fn commits(folder: &Path, rounds: usize) -> Result<(), Failed> {
    for (name, files) in [("few", FEW), ("many", MANY)] {
        let mut best = (f64::INFINITY, f64::INFINITY);
        for _ in 0..rounds {
            let table = folder.join(name);
            if table.exists() {
                fs::remove_dir_all(&table)?;
            }
            // With half of the commits, there are as many as they are to be.
            let version = Source::open(&table).await?.commit(ROWS).await?;
            let pattern = Pattern::read(&table, version)?;
            pattern.multiply(version + 1, files - COMMITS / 2 - 1)?;
            let mut source = Source::open(&table).await?;
            source.commit(ROWS).await?;
            let (begun, before) = (Instant::now(), processor_time()?);
            for _ in 0..COMMITS {
                source.commit(ROWS).await?;
            }
            let each = |seconds: f64| seconds / COMMITS as f64;
            let took = each(processor_time()? - before);
            best = (best.0.min(took), best.1.min(each(begun.elapsed().as_secs_f64())));
        }
        eprintln!(
            "{files} live files: {:.1} ms of processors a commit, {:.1} ms of time",
            best.0 * 1e3,
            best.1 * 1e3
        );
        say(name, best.0, COMMITS)?;
    }
    Ok(())
}

/// Makes two tables of so many commits: `plain`, which nobody has maintained, and `kept`.
pub(crate) async fn history(folder: &Path, commits: u64) -> Result<(), Failed> {
    for name in ["plain", "kept"] {
        let table = folder.join(name);
        if table.exists() {
            fs::remove_dir_all(&table)?;
        }
        let version = Source::open(&table).await?.commit(SMALL).await?;
        let pattern = Pattern::read(&table, version)?;
        match name {
            // Opening looks at no data file.
            "plain" => (version + 1..=commits).try_for_each(|n| pattern.copy(n, false))?,
            _ => keep(&table, &pattern, commits).await?,
        }
    }
    Ok(())
}

/// Maintains a table while it gets so many commits.
///
/// Of those that are older than a day, a table that was maintained has a checkpoint with the bookmarks
/// and with one file for each two hundred commits, and no commit. That is made from the first two hundred. The
/// commits of the last day are there, and between them the real maintenance runs.
async fn keep(table: &Path, pattern: &Pattern, commits: u64) -> Result<(), Failed> {
    let small = fs::metadata(&pattern.file)?.len();
    let policy = Policy {
        small_files: MERGED as usize,
        // What was put together once is no small file any more.
        small_bytes: small + 1,
        ..Policy::default()
    };
    let first = pattern.version;
    (first + 1..=first + MERGED).try_for_each(|n| pattern.copy(n, true))?;
    let source = Source::open(table).await?;
    let report = source.store.maintain(&policy).await?;
    if report.slices != 1 {
        return Err(format!("{} files became {}", report.merged, report.slices).into());
    }
    let merged = Pattern::read(table, source.store.version())?;
    if fs::metadata(&merged.file)?.len() < policy.small_bytes {
        return Err("what was put together is small still".into());
    }
    let start = commits.saturating_sub(DAY).max(2 * MERGED);
    merged.multiply(merged.version + 1, start / MERGED - 1)?;
    let at_once = Policy { checkpoint_commits: 1, ..policy.clone() };
    source.store.maintain(&at_once).await?;
    drop(source);
    renumber(&table.join("_delta_log"), merged.version + 1, start)?;

    let source = Source::open(table).await?;
    let mut version = source.store.version();
    while version + AFTER < commits {
        let until = (version + MAINTAINED).min(commits - AFTER);
        (version + 1..=until).try_for_each(|n| pattern.copy(n, true))?;
        source.store.maintain(&policy).await?;
        version = source.store.version();
    }
    (version + 1..=commits).try_for_each(|n| pattern.copy(n, true))
}

/// Gives the newest commit of a log and its checkpoint another number, and removes what was before.
fn renumber(log: &Path, from: u64, to: u64) -> Result<(), Failed> {
    for entry in fs::read_dir(log)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some((version, rest)) = name.split_once('.') else { continue };
        match version.parse() {
            Ok(number) if from == number => {
                fs::rename(&path, log.join(format!("{to:020}.{rest}")))?
            }
            Ok::<u64, _>(_) => fs::remove_file(&path)?,
            Err(_) => {}
        }
    }
    let hint = log.join("_last_checkpoint");
    let mut text: Value = serde_json::from_str(&fs::read_to_string(&hint)?)?;
    if text["version"] != from {
        return Err(format!("the last checkpoint is {}", text["version"]).into());
    }
    text["version"] = to.into();
    Ok(fs::write(&hint, text.to_string())?)
}

/// Opens a table to write to it, as `quarryd` does when it starts.
pub(crate) async fn open(folder: &str, rounds: usize) -> Result<(), Failed> {
    let (mut best, mut answer) = (f64::INFINITY, 0);
    for _ in 0..rounds {
        let before = processor_time()?;
        for _ in 0..OPENED {
            answer = Store::open(folder, Options::default()).await?.version();
        }
        best = best.min((processor_time()? - before) / f64::from(OPENED));
    }
    say("open", best, answer)
}
