//! Questions to a table of events, against DuckDB on the same table in the same run.
//!
//! `--rows N` makes a smaller table than 10 million rows, and `--dev` takes the development build:
//! optimised, the engine takes twenty minutes to build. Both are for trying the benchmark; figures
//! that count are of neither.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::table::{Row, Table};
use crate::sh;

const ROUNDS: &str = "5";

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    rows: u64,
    is_dev: bool,
}

impl Default for Size {
    fn default() -> Self {
        Size { rows: 10_000_000, is_dev: false }
    }
}

impl Size {
    /// Takes its options out of words.
    pub(crate) fn parse<'w>(words: &[&'w str]) -> Result<(Vec<&'w str>, Self)> {
        let (mut rest, mut size) = (Vec::new(), Size::default());
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            match word {
                "--dev" => size.is_dev = true,
                "--rows" => {
                    let rows = words.next().context("--rows needs a number")?;
                    size.rows = rows.parse().with_context(|| format!("--rows {rows}"))?;
                }
                word => rest.push(word),
            }
        }
        Ok((rest, size))
    }
}

/// What is asked, and the ratio that has to be reached and the one that is aimed at.
const WORK: [(&str, &str, f64, f64); 6] = [
    ("newest", "the newest 100", 1.0, 0.5),
    ("newest of a host", "the newest 100 of a host", 1.0, 0.5),
    ("newest of errors", "the newest 100 errors", 1.0, 0.5),
    ("an hour", "one hour's histogram", 1.0, 0.5),
    ("facets", "five facets and the histogram of all", 0.2, 0.05),
    ("a word", "a word in all, counted", 1.2, 0.3),
];

pub(super) fn run(table: &mut Table, size: Size) -> Result<()> {
    let (profile, folder) = if size.is_dev { ("dev", "debug") } else { ("release", "release") };
    let build =
        ["build", "--profile", profile, "--locked", "-p", "quarry-store", "--example", "bench"];
    sh::run("cargo", &build)?;
    let bench = sh::target().join(folder).join("examples").join("bench");
    let events = sh::target().join("bench").join(format!("store-{}", size.rows));
    let (bench, events) = (path(&bench)?, path(&events)?);
    if !Path::new(events).join("_delta_log").is_dir() {
        sh::run(bench, &["make", events, &size.rows.to_string()])?;
    }
    let engines = sh::root().join("crates/store/tests/store/engines");
    let python = quarry_testkit::python("store", &engines.join("requirements.txt"));
    let script = sh::root().join("xtask/src/bench/duckdb/store.py");
    let theirs = answers(path(&python)?, &[path(&script)?, events, ROUNDS])?;
    let ours = answers(bench, &["ask", events, ROUNDS])?;
    for (name, work, floor, aim) in WORK {
        let (Some(ours), Some(theirs)) = (ours.get(name), theirs.get(name)) else {
            bail!("nobody said how long `{name}` takes");
        };
        if ours.1 != theirs.1 {
            bail!("{work}: {} here, and {} in DuckDB", ours.1, theirs.1);
        }
        table.add(Row {
            work: format!(
                "{work}, of {} rows{}",
                size.rows,
                if size.is_dev { ", dev build" } else { "" }
            ),
            against: "DuckDB",
            ours: ours.0,
            theirs: theirs.0,
            unit: "s",
            goal: Some((floor, aim)),
        });
    }
    Ok(())
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("the target folder's path is text")
}

/// What a program says of each question: the seconds, and a number of the answer.
fn answers(program: &str, words: &[&str]) -> Result<HashMap<String, (f64, u64)>> {
    let output = sh::output(program, words)?;
    let mut answers = HashMap::new();
    for line in output.lines() {
        let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let (Some(work), Some(seconds), Some(answer)) =
            (line["work"].as_str(), line["seconds"].as_f64(), line["answer"].as_u64())
        else {
            bail!("{program} printed {line}");
        };
        answers.insert(work.to_owned(), (seconds, answer));
    }
    Ok(answers)
}
