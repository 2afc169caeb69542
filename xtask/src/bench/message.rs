//! Message text: what it costs beside reading and printing, against `evtx_dump`, which prints none
//! or that of an `.MTA` file; and what opening a large catalogue takes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::measure::{best_of, instructions_with};
use super::scan::{repeated, repeated_to};
use super::table::{Row, Table};
use crate::{sh, tools};

const ROUNDS: usize = 5;

/// Records whose instructions are counted; few enough for valgrind, and many enough that opening a
/// catalogue doesn't count.
const RECORDS: usize = 100_000;

pub(super) fn run(table: &mut Table) -> Result<()> {
    tools::apt(&[("valgrind", "valgrind"), ("sqlite3", "sqlite3")])?;
    let dump = tools::cargo_tool("evtx", "0.15.1", "evtx_dump", "fast-alloc")?;
    let dump = dump.to_string_lossy().into_owned();
    let quarry = super::build()?;
    let Some(corpus) = sh::corpus() else {
        bail!("the benchmark repeats chunks of ../shared/corpus, which is not there");
    };
    let sample = corpus.join("evtx-crate/security.evtx");
    // A data folder of its own, with a catalogue of the provider's own file.
    let data = sh::target().join("bench").join("data");
    let variable = format!("XDG_DATA_HOME={}", data.display());
    fs::create_dir_all(&data)?;
    let provider = provider_file()?.to_string_lossy().into_owned();
    sh::run("env", &[&*variable, &quarry, "messages", "build", "-q", "--from", &provider])?;

    let scan = |file: &Path, messages: &str| -> Vec<String> {
        let file = file.to_string_lossy();
        let words = ["scan", &file, "-q", "-o", "jsonl", "--threads", "1", "--messages", messages];
        std::iter::once(&*quarry).chain(words).map(str::to_owned).collect()
    };
    let with_data = |words: Vec<String>| -> Vec<String> {
        ["env".to_owned(), variable.clone()].into_iter().chain(words).collect()
    };
    let by_dump = |words: &[&str]| -> Vec<String> {
        let words = [&[&*dump, "-o", "jsonl", "-t", "1"], words].concat();
        words.into_iter().map(str::to_owned).collect()
    };

    println!(
        "\nevents with their text as JSON lines, 1 thread, over chunks of {}",
        sample.display()
    );
    let many = records_of(&quarry, &sample)?;
    let chunks = RECORDS.div_ceil(many.per_chunk());
    let counted = repeated_to(&sample, "counted.evtx", chunks)?;
    let count = |messages| instructions_with(&[&variable], &scan(&counted, messages));
    let (without, with) = (count("never")? as f64, count("local")? as f64);
    table.add(Row {
        work: format!("making text, instructions, {RECORDS} records"),
        against: "reading and printing without",
        ours: (with - without) / 1e6,
        theirs: without / 1e6,
        unit: "million",
        goal: Some((0.6, 0.4)),
    });

    let large = repeated(&sample)?;
    let large_name = large.to_string_lossy().into_owned();
    let commands = [
        by_dump(&[&large_name]),
        with_data(scan(&large, "never")),
        with_data(scan(&large, "local")),
    ];
    let costs = best_of(ROUNDS, &commands)?;
    let rows = [
        ("all without text, processor time", costs[1].cpu, (0.8, 0.7)),
        ("all with text from a catalogue, processor time", costs[2].cpu, (1.2, 1.0)),
    ];
    for (work, ours, goal) in rows {
        let (work, theirs) = (work.to_owned(), costs[0].cpu);
        let against = "evtx_dump, which has none";
        table.add(Row { work, against, ours, theirs, unit: "s", goal: Some(goal) });
    }
    mta(table, &corpus, &scan, &by_dump)?;
    opening(table, &quarry)
}

/// An exported log with its display strings.
fn mta(
    table: &mut Table,
    corpus: &Path,
    scan: &impl Fn(&Path, &str) -> Vec<String>,
    by_dump: &impl Fn(&[&str]) -> Vec<String>,
) -> Result<()> {
    let sample = corpus.join("messages/viewer.evtx");
    let strings = corpus.join("messages/viewer_1033.MTA");
    let large = repeated_to(&sample, "viewer.evtx", super::scan::SIZE / super::scan::CHUNK)?;
    // Where Event Viewer puts it.
    let folder = large.with_file_name("LocaleMetaData");
    fs::create_dir_all(&folder)?;
    fs::copy(&strings, folder.join("viewer_1033.MTA"))?;
    let (large_name, strings) = (large.to_string_lossy(), strings.to_string_lossy());
    let theirs = by_dump(&["--mta", &strings, &large_name]);
    let costs = best_of(ROUNDS, &[scan(&large, "local"), theirs])?;
    table.add(Row {
        work: "all with text from an .MTA file, processor time".to_owned(),
        against: "evtx_dump --mta",
        ours: costs[0].cpu,
        theirs: costs[1].cpu,
        unit: "s",
        goal: Some((0.5, 0.4)),
    });
    Ok(())
}

/// Opening a catalogue of 900 providers and 50,000 messages, which is imported of a database; naming the
/// providers in the database is the peer.
fn opening(table: &mut Table, quarry: &str) -> Result<()> {
    const SCRIPT: &str = r#"
import os, sqlite3, sys
path = sys.argv[1]
if os.path.exists(path):
    os.remove(path)
database = sqlite3.connect(path)
database.execute("CREATE TABLE providers (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT)")
database.execute("CREATE TABLE messages (event_id INTEGER NOT NULL, id INTEGER PRIMARY KEY AUTOINCREMENT, message TEXT, provider_id INTEGER NOT NULL)")
for n in range(50_000):
    provider = n % 900 + 1
    if n < 900:
        database.execute("INSERT INTO providers (name) VALUES (?)", ("Vendor-Product-Component-%d" % provider,))
    text = "The service %%1 of component %d has entered state %d. Reason: %%2. Details: %%3" % (provider, n)
    database.execute("INSERT INTO messages (event_id, message, provider_id) VALUES (?, ?, ?)", (n // 900, text, provider))
database.commit()
"#;
    let folder = sh::target().join("bench");
    let database = folder.join("welm.db").to_string_lossy().into_owned();
    let catalogue = folder.join("welm.catalogue").to_string_lossy().into_owned();
    sh::run("python3", &["-c", SCRIPT, &database])?;
    sh::run(quarry, &["messages", "import", "-q", &database, "-o", &catalogue])?;
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let costs = best_of(
        4 * ROUNDS,
        &[
            words(&[quarry, "messages", "list", &catalogue]),
            words(&[quarry, "--version"]),
            words(&["sqlite3", &database, "SELECT name FROM providers"]),
        ],
    )?;
    let work = "a catalogue of 900 providers and 50,000 messages";
    let rows = [
        ("opened and listed, wall time", "sqlite3", costs[0].wall, costs[2].wall, "s", None),
        (
            "opened and listed, wall time beyond the program's start",
            "20 ms",
            (costs[0].wall - costs[1].wall).max(0.0),
            0.02,
            "s",
            Some((1.0, 0.5)),
        ),
        (
            "memory beyond the program's",
            "10 MiB",
            (costs[0].peak - costs[1].peak).max(0.0),
            10.0,
            "MiB",
            Some((1.0, 0.5)),
        ),
    ];
    for (what, against, ours, theirs, unit, goal) in rows {
        table.add(Row { work: format!("{work}: {what}"), against, ours, theirs, unit, goal });
    }
    Ok(())
}

/// What a log has.
struct Records {
    records: usize,
    chunks: usize,
}

impl Records {
    fn per_chunk(&self) -> usize {
        (self.records / self.chunks.max(1)).max(1)
    }
}

fn records_of(quarry: &str, sample: &Path) -> Result<Records> {
    let chunks = sample.metadata()?.len() as usize / super::scan::CHUNK;
    let records = super::scan::records(quarry, &sample.to_string_lossy(), &[])? as usize;
    Ok(Records { records, chunks })
}

/// The file with the messages of Windows' audit events, which the crate `evtx` has as a sample.
fn provider_file() -> Result<PathBuf> {
    let metadata = sh::output("cargo", &["metadata", "--format-version", "1", "--locked"])?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let package = packages.iter().find(|package| package["name"] == "evtx");
    let manifest = package.and_then(|package| package["manifest_path"].as_str());
    let folder = manifest.and_then(|path| Path::new(path).parent()).context("no crate evtx")?;
    Ok(folder.join("samples/dlls/adtschema.dll"))
}
