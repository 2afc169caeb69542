//! The table of events: questions to it, writing into it, and following a fleet into it.
//!
//! `--part NAME` measures only that: questions, insert, pack, commits, opening or follow. `--rows N` asks a
//! table of fewer than 10 million rows, `--commits N` opens one with fewer than 100,000 commits, and `--dev`
//! takes the development build: optimised, the engine takes twenty minutes to build. These three are for
//! trying the benchmark; figures that count are of none.

mod follow;
mod writing;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::table::{Row, Table};
use crate::sh;

const ROUNDS: &str = "5";

const PARTS: [&str; 6] = ["questions", "insert", "pack", "commits", "opening", "follow"];

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size<'w> {
    rows: u64,
    commits: u64,
    is_dev: bool,
    /// The one part that is measured; without, all are.
    part: Option<&'w str>,
}

impl Default for Size<'_> {
    fn default() -> Self {
        Size { rows: 10_000_000, commits: 100_000, is_dev: false, part: None }
    }
}

impl<'w> Size<'w> {
    /// Takes its options out of words. A part of another benchmark is left there.
    pub(crate) fn parse(words: &[&'w str]) -> Result<(Vec<&'w str>, Self)> {
        let (mut rest, mut size) = (Vec::new(), Size::default());
        let is_alone = words.contains(&"store") && !words.contains(&"web");
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            let mut number = || -> Result<u64> {
                let number = words.next().with_context(|| format!("{word} needs a number"))?;
                number.parse().with_context(|| format!("{word} {number}"))
            };
            match word {
                "--dev" => size.is_dev = true,
                "--rows" => size.rows = number()?,
                "--commits" => size.commits = number()?,
                "--part" => match words.next() {
                    Some(part) if PARTS.contains(part) => size.part = Some(part),
                    _ if is_alone => bail!("--part: {PARTS:?}"),
                    part => rest.extend([Some(word), part.copied()].into_iter().flatten()),
                },
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

/// The programs that are measured.
struct Bench {
    /// What makes tables, and asks and writes them: the crate `bench`.
    program: PathBuf,
    /// A Python with the peers.
    python: PathBuf,
    is_dev: bool,
}

pub(super) fn run(table: &mut Table, size: Size<'_>) -> Result<()> {
    let parts = PARTS.into_iter().filter(|part| size.part.is_none_or(|wanted| wanted == *part));
    let profile = if size.is_dev { "dev" } else { "release" };
    // The command line for itself: it asks for more of what it shares with the daemon, which would have the
    // engine built once more than for those who built `quarryd` alone.
    for packages in [&["-p", "quarry-server", "-p", "quarry-bench"][..], &["-p", "quarry-cli"]] {
        let build = ["build", "--profile", profile, "--locked", "--bins"];
        sh::run("cargo", &[&build[..], packages].concat())?;
    }
    let built = sh::target().join(if size.is_dev { "debug" } else { "release" });
    let engines = sh::root().join("crates/store/tests/store/engines");
    let bench = Bench {
        program: built.join("store-bench"),
        python: quarry_testkit::python("engines", &engines.join("requirements.txt")),
        is_dev: size.is_dev,
    };
    for part in parts {
        match part {
            "questions" => questions(&bench, table, size.rows)?,
            "insert" => writing::insert(&bench, table)?,
            "pack" => writing::pack(&bench, table)?,
            "commits" => writing::commits(&bench, table)?,
            "opening" => writing::opening(&bench, table, size.commits)?,
            _ => follow::follow(table, &built)?,
        }
    }
    Ok(())
}

fn questions(bench: &Bench, table: &mut Table, rows: u64) -> Result<()> {
    let events = sh::target().join("bench").join(format!("store-{rows}"));
    let events = path(&events)?;
    if !Path::new(events).join("_delta_log").is_dir() {
        sh::run(path(&bench.program)?, &["make", events, &rows.to_string()])?;
    }
    let script = sh::root().join("xtask/src/bench/duckdb/store.py");
    let theirs = answers(path(&bench.python)?, &[path(&script)?, events, ROUNDS])?;
    let ours = bench.ours(&["ask", events, ROUNDS])?;
    for (name, work, floor, aim) in WORK {
        let (ours, theirs) = (ours.of(name)?, theirs.of(name)?);
        if ours.answer != theirs.answer {
            bail!("{work}: {} here, and {} in DuckDB", ours.answer, theirs.answer);
        }
        table.add(Row {
            work: bench.named(&format!("{work}, of {rows} rows")),
            against: "DuckDB",
            ours: ours.took,
            theirs: theirs.took,
            unit: "s",
            goal: Some((floor, aim)),
        });
    }
    Ok(())
}

impl Bench {
    fn ours(&self, words: &[&str]) -> Result<Answers> {
        answers(path(&self.program)?, words)
    }

    /// What was done, as the table has it.
    fn named(&self, work: &str) -> String {
        format!("{work}{}", if self.is_dev { ", dev build" } else { "" })
    }
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("the target folder's path is text")
}

/// What a program says of each of its works.
struct Answers(HashMap<String, Answer>);

#[derive(Clone, Copy)]
struct Answer {
    /// Seconds, or bytes.
    took: f64,
    /// A number of the answer.
    answer: u64,
}

impl Answers {
    fn of(&self, work: &str) -> Result<Answer> {
        self.0.get(work).copied().with_context(|| format!("nobody said what `{work}` takes"))
    }
}

fn answers(program: &str, words: &[&str]) -> Result<Answers> {
    let output = sh::output(program, words)?;
    let mut answers = HashMap::new();
    for line in output.lines() {
        let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let (Some(work), Some(took), Some(answer)) =
            (line["work"].as_str(), line["took"].as_f64(), line["answer"].as_u64())
        else {
            bail!("{program} printed {line}");
        };
        answers.insert(work.to_owned(), Answer { took, answer });
    }
    Ok(Answers(answers))
}
