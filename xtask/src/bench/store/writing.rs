//! What it takes to write events: until they are committed, how many bytes a row has, a commit where there
//! are many files, and opening a table that has had many commits.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::{Bench, answers, path};
use crate::bench::scan::repeated;
use crate::bench::table::{Row, Table};
use crate::sh;

const ROUNDS: &str = "3";
/// Rows as a fleet makes them that are inserted.
const INSERTED: &str = "500000";

pub(super) fn insert(bench: &Bench, table: &mut Table) -> Result<()> {
    let mut events = vec![("events as a fleet has them", INSERTED.to_owned())];
    if let Some(corpus) = sh::corpus() {
        let large = repeated(&corpus.join("evtx-crate/security.evtx"))?;
        events.push(("events of a log, over and over", path(&large)?.to_owned()));
    }
    let script = sh::root().join("xtask/src/bench/store/insert.py");
    let (folder, theirs) = (bench.folder("insert")?, bench.folder("insert-duckdb")?);
    fs::create_dir_all(&theirs)?;
    for (what, events) in events {
        let ours = bench.ours(&["insert", &folder, &events, ROUNDS])?;
        let theirs = answers(path(&bench.python)?, &[path(&script)?, &folder, &theirs, ROUNDS])?;
        let (ours, theirs) = (ours.of("insert")?, theirs.of("insert")?);
        if ours.answer != theirs.answer {
            bail!("{} rows here, and {} in DuckDB", ours.answer, theirs.answer);
        }
        table.add(Row {
            work: bench.named(&format!("{} {what} to committed rows, processor time", ours.answer)),
            against: "DuckDB's INSERT from Arrow",
            ours: ours.took,
            theirs: theirs.took,
            unit: "s",
            goal: Some((1.0, 0.6)),
        });
    }
    Ok(())
}

/// Bytes a row, of all logs beside the checkout.
pub(super) fn pack(bench: &Bench, table: &mut Table) -> Result<()> {
    let Some(corpus) = sh::corpus() else {
        bail!("the logs of ../shared/corpus aren't there");
    };
    let mut files = Vec::new();
    let mut folders = vec![corpus];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|end| end == "evtx") => files.push(path),
                false => {}
            }
        }
    }
    files.sort();
    let folder = bench.folder("pack")?;
    if fs::exists(&folder)? {
        fs::remove_dir_all(&folder)?;
    }
    let files = files.iter().map(|file| path(file)).collect::<Result<Vec<_>>>()?;
    let packed = bench.ours(&[&["pack", &folder][..], &files].concat())?.of("pack")?;
    table.add(Row {
        work: bench.named(&format!("bytes a row, of {} of {} logs", packed.answer, files.len())),
        against: "90 of the spike's rows",
        ours: packed.took,
        theirs: 90.0,
        unit: "B",
        goal: Some((1.0, 0.8)),
    });
    Ok(())
}

pub(super) fn commits(bench: &Bench, table: &mut Table) -> Result<()> {
    let measured = bench.ours(&["commits", &bench.folder("commits")?, ROUNDS])?;
    table.add(Row {
        work: bench.named("a commit of 1,000 rows at 10,000 live files, processor time"),
        against: "at 100",
        ours: measured.of("many")?.took,
        theirs: measured.of("few")?.took,
        unit: "s",
        goal: Some((1.5, 1.1)),
    });
    Ok(())
}

pub(super) fn opening(bench: &Bench, table: &mut Table, commits: u64) -> Result<()> {
    let folder = PathBuf::from(bench.folder(&format!("history-{commits}"))?);
    let (plain, kept) = (folder.join("plain"), folder.join("kept"));
    let last = |table: &PathBuf| table.join(format!("_delta_log/{commits:020}.json"));
    if !last(&plain).exists() || !last(&kept).exists() {
        bench.ours(&["history", path(&folder)?, &commits.to_string()])?;
    }
    let script = sh::root().join("xtask/src/bench/store/open.py");
    let ours = bench.ours(&["open", path(&kept)?, ROUNDS])?.of("open")?;
    // Once: it takes half a minute.
    let theirs =
        answers(path(&bench.python)?, &[path(&script)?, path(&plain)?, "1"])?.of("open")?;
    if [ours.answer, theirs.answer] != [commits; 2] {
        bail!("the versions are {} and {}", ours.answer, theirs.answer);
    }
    table.add(Row {
        work: bench.named(&format!("opening after {commits} commits, processor time")),
        against: "deltalake, without maintenance",
        ours: ours.took,
        theirs: theirs.took,
        unit: "s",
        goal: Some((0.01, 0.005)),
    });
    Ok(())
}

impl Bench {
    /// A folder for a part of the benchmark.
    fn folder(&self, name: &str) -> Result<String> {
        let folder = sh::target().join("bench").join(format!("store-{name}"));
        folder.to_str().map(str::to_owned).context("the target folder's path is text")
    }
}
