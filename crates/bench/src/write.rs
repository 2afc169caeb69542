//! Events into a table: how long it takes until they are committed, and how many bytes a row has.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::time::{Duration, Instant};

use quarry_binxml::Decoder;
use quarry_event::{EventTime, Field, FieldSource, Origin, RecordId, Texts};
use quarry_logfile::{EvtxLog, Item};
use quarry_store::{Appender, EventMeta, Move, Options, Policy, Rows, Store};

use crate::made::{BEGIN, HOSTS, Made};
use crate::{Failed, processor_time, say};

/// Rows that are pushed at once into the table that is asked, and those of a commit of it.
const PUSHED: u64 = 50_000;
const COMMITTED: u64 = 500_000;

/// The same where writing is measured: batches as servers send them, and a commit that is due by its
/// bytes, about as large as `quarryd` makes it. The write-ahead log is synced as often as its pipelines do
/// that read fast.
const BATCH: usize = 1_000;
const SYNCED: usize = 10_000;
const COMMIT: usize = 50_000;

/// Rows on their way into a table, and how far they bring each host's log.
struct Filling {
    rows: Rows,
    last: BTreeMap<String, (RecordId, Option<EventTime>)>,
}

impl Filling {
    fn new(store: &Store) -> Result<Self, Failed> {
        Ok(Filling { rows: store.rows()?, last: BTreeMap::new() })
    }

    fn made(&mut self, event: &Made) -> Result<(), Failed> {
        let source = source(&event.host);
        let origin = Origin {
            source: &source,
            host: Some(&event.host),
            log: "Security",
            log_record: Some(RecordId(event.number + 1)),
            recovered: false,
        };
        let meta = EventMeta { origin, received: event.time, texts: Texts::default() };
        self.rows.event(event, &meta)?;
        self.last.insert(source, (RecordId(event.number + 1), Some(event.time)));
        Ok(())
    }

    /// The rows so far, and what they move.
    fn finish(&mut self) -> Result<(Rows, Vec<Move>), Failed> {
        let moves = std::mem::take(&mut self.last).into_iter().map(|(source, to)| Move {
            source,
            log: "Security".into(),
            to,
            new_generation: false,
        });
        Ok((std::mem::replace(&mut self.rows, Rows::new(&[])?), moves.collect()))
    }
}

fn source(host: &str) -> String {
    format!("even6://{host}")
}

pub(crate) async fn make(folder: &str, rows: u64) -> Result<(), Failed> {
    let store = Store::open(folder, Options::default().memory(1 << 30)).await?;
    let appender = store.appender()?;
    take_hosts(&store).await?;
    let begun = Instant::now();
    let mut filling = Filling::new(&store)?;
    for number in 0..rows {
        filling.made(&Made::new(number, rows))?;
        let is_last = number + 1 == rows;
        if (number + 1) % PUSHED == 0 || is_last {
            let (rows, moves) = filling.finish()?;
            appender.push(&rows, &moves)?;
        }
        if (number + 1) % COMMITTED == 0 || is_last {
            appender.flush().await?;
            store.refresh().await?;
        }
    }
    let made = begun.elapsed().as_secs_f64();
    store.maintain(&Policy::default()).await?;
    println!("{rows} rows in {made:.1} s");
    Ok(())
}

async fn take_hosts(store: &Store) -> Result<(), Failed> {
    for n in 0..HOSTS {
        store.take(&source(&format!("host{n:02}.corp.example"))).await?;
    }
    Ok(())
}

/// What a round of writing took, in seconds of processors.
#[derive(Clone, Copy, Debug, Default)]
struct Took {
    rows: f64,
    pushes: f64,
    commits: f64,
}

impl Took {
    fn all(self) -> f64 {
        self.rows + self.pushes + self.commits
    }
}

/// Writes events into a new table, each round into another: so many as a fleet has them, or those of a
/// log. The folder has the table of the last round then.
pub(crate) async fn insert(folder: &str, events: &str, rounds: usize) -> Result<(), Failed> {
    let mut best = Took { rows: f64::INFINITY, ..Took::default() };
    let mut count = 0;
    for _ in 0..rounds {
        if Path::new(folder).exists() {
            fs::remove_dir_all(folder)?;
        }
        let store = Store::open(folder, Options::default().memory(1 << 30)).await?;
        let mut writing =
            Writing { appender: &store.appender()?, batches: Vec::new(), took: Took::default() };
        count = match events.parse::<u64>() {
            Ok(number) => writing.made(&store, number).await?,
            Err(_) => writing.log(&store, fs::read(events)?).await?,
        };
        if writing.took.all() < best.all() {
            best = writing.took;
        }
    }
    let Took { rows, pushes, commits } = best;
    eprintln!(
        "{count} rows: made in {rows:.2} s, pushed and synced in {pushes:.2} s, committed in {commits:.2} s"
    );
    say("insert", best.all(), count)
}

/// Rows that are made first, then pushed, then committed, so that each can be measured.
struct Writing<'a> {
    appender: &'a Appender,
    batches: Vec<(Rows, Vec<Move>)>,
    took: Took,
}

impl Writing<'_> {
    /// Pushes and commits the rows that were made.
    async fn commit(&mut self) -> Result<(), Failed> {
        let begun = processor_time()?;
        let mut waiting = 0;
        for (rows, moves) in self.batches.drain(..) {
            waiting += rows.len();
            self.appender.push(&rows, &moves)?;
            if waiting >= SYNCED {
                self.appender.sync()?;
                waiting = 0;
            }
        }
        self.appender.sync()?;
        let pushed = processor_time()?;
        self.appender.flush().await?;
        self.took.pushes += pushed - begun;
        self.took.commits += processor_time()? - pushed;
        Ok(())
    }

    async fn made(&mut self, store: &Store, number: u64) -> Result<u64, Failed> {
        take_hosts(store).await?;
        let mut filling = Filling::new(store)?;
        let all: Vec<u64> = (0..number).collect();
        for part in all.chunks(COMMIT) {
            // They stand for what came over the wire, so that making them isn't measured.
            let events: Vec<Made> = part.iter().map(|&n| Made::new(n, number)).collect();
            let begun = processor_time()?;
            for batch in events.chunks(BATCH) {
                batch.iter().try_for_each(|event| filling.made(event))?;
                self.batches.push(filling.finish()?);
            }
            self.took.rows += processor_time()? - begun;
            self.commit().await?;
        }
        Ok(number)
    }

    async fn log(&mut self, store: &Store, bytes: Vec<u8>) -> Result<u64, Failed> {
        const NAME: &str = "Security";
        let source = source("host00.corp.example");
        store.take(&source).await?;
        let log = EvtxLog::open(Cursor::new(bytes))?;
        let mut decoder = Decoder::new();
        let (mut buffer, mut items) = (Vec::new(), Vec::new());
        let mut rows = store.rows()?;
        let (mut number, mut waiting) = (0, 0);
        let mut begun = processor_time()?;
        for n in 0..log.chunks() {
            let chunk = log.chunk(n, &mut buffer).map_err(|damage| damage.to_string())?;
            chunk.items(&mut items);
            let mut decoder = decoder.chunk(chunk.bytes());
            let mut time = None;
            for item in &items {
                let Item::Record(record) = item else { continue };
                let event = decoder.event(record.binxml.clone())?;
                number += 1;
                time = event.field(Field::TimeCreated).as_time();
                let origin = Origin {
                    source: &source,
                    host: Some("host00.corp.example"),
                    log: NAME,
                    log_record: Some(RecordId(number)),
                    recovered: false,
                };
                let received = time.unwrap_or_default();
                rows.event(&event, &EventMeta { origin, received, texts: Texts::default() })?;
            }
            let is_last = n + 1 == log.chunks();
            if rows.len() >= BATCH || is_last {
                waiting += rows.len();
                let to = Move {
                    source: source.clone(),
                    log: NAME.to_owned(),
                    to: (RecordId(number), time),
                    new_generation: false,
                };
                self.batches.push((std::mem::replace(&mut rows, store.rows()?), vec![to]));
            }
            if waiting >= COMMIT || is_last {
                self.took.rows += processor_time()? - begun;
                self.commit().await?;
                waiting = 0;
                begun = processor_time()?;
            }
        }
        Ok(number)
    }
}

/// Puts the events of logs into a table, as if each had come from its computer when it was written, and
/// says how many bytes of data files a row has once they are put together.
pub(crate) async fn pack(folder: &str, files: &[&str]) -> Result<(), Failed> {
    let store = Store::open(folder, Options::default().memory(1 << 30)).await?;
    let appender = store.appender()?;
    let mut rows = store.rows()?;
    let mut count = 0;
    for file in files {
        // One that isn't a log, or damaged, is here as well.
        let Ok(log) = EvtxLog::open(fs::File::open(file)?) else { continue };
        let mut decoder = Decoder::new();
        let (mut buffer, mut items) = (Vec::new(), Vec::new());
        for n in 0..log.chunks() {
            let Ok(chunk) = log.chunk(n, &mut buffer) else { continue };
            chunk.items(&mut items);
            let mut decoder = decoder.chunk(chunk.bytes());
            for item in &items {
                let Item::Record(record) = item else { continue };
                let Ok(event) = decoder.event(record.binxml.clone()) else { continue };
                let text = |field| event.field(field).to_string();
                let (computer, channel) = (text(Field::Computer), text(Field::Channel));
                let time = event.field(Field::TimeCreated).as_time();
                let origin = Origin {
                    source: &source(&computer),
                    host: Some(&computer),
                    log: &channel,
                    log_record: Some(RecordId(record.number)),
                    recovered: false,
                };
                let received = time.unwrap_or(EventTime::from_filetime(BEGIN));
                rows.event(&event, &EventMeta { origin, received, texts: Texts::default() })?;
                count += 1;
            }
        }
        if rows.len() >= SYNCED {
            appender.push(&rows, &[])?;
            appender.flush().await?;
            rows.clear();
        }
    }
    appender.push(&rows, &[])?;
    appender.flush().await?;
    let policy = Policy {
        small_files: 1,
        small_bytes: u64::MAX,
        safe_age: Duration::ZERO,
        keep_log: Duration::ZERO,
        ..Policy::default()
    };
    store.maintain(&policy).await?;
    let (mut bytes, mut beside) = (0, 0);
    for (path, size) in sizes(Path::new(folder))? {
        // Checkpoints are Parquet too, and bits for searches have their file's name.
        let is_beside = path.starts_with("_delta_log") || path.starts_with("_quarry");
        match is_beside {
            true => beside += size,
            false => bytes += size,
        }
    }
    eprintln!(
        "{count} rows: {bytes} bytes of data files, {beside} of the log and of what is kept beside"
    );
    say("pack", bytes as f64 / count as f64, count)
}

/// The files of a folder and of those in it, by their paths from it on, and their sizes.
fn sizes(folder: &Path) -> Result<Vec<(std::path::PathBuf, u64)>, Failed> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next)? {
            let entry = entry?;
            match entry.metadata()? {
                of if of.is_dir() => folders.push(entry.path()),
                of => found.push((entry.path().strip_prefix(folder)?.to_owned(), of.len())),
            }
        }
    }
    Ok(found)
}
