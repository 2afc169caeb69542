//! `quarryd export`, against DuckDB's `COPY` to Parquet from our own JSON lines with the time to write
//! these.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::measure::best_of;
use super::scan::repeated;
use super::table::{Row, Table};
use crate::sh;

const ROUNDS: usize = 3;

pub(super) fn run(table: &mut Table) -> Result<()> {
    let quarry = super::build()?;
    sh::run("cargo", &["build", "--release", "--locked", "-p", "quarry-server"])?;
    let quarryd = path(&sh::target().join("release").join("quarryd"))?;
    let Some(corpus) = sh::corpus() else {
        bail!("the benchmark repeats chunks of ../shared/corpus, which is not there");
    };
    let sample = corpus.join("evtx-crate/security.evtx");
    let large = path(&repeated(&sample)?)?;
    let folder = sh::target().join("bench");
    let place = |name: &str| path(&folder.join(name));
    let (ours, lines, theirs) =
        (place("ours.parquet")?, place("events.jsonl")?, place("theirs.parquet")?);
    let engines = sh::root().join("crates/store/tests/store/engines");
    let python = path(&quarry_testkit::python("engines", &engines.join("requirements.txt")))?;
    let script = path(&sh::root().join("xtask/src/bench/duckdb/copy.py"))?;
    println!("\nthe chunks of {}, over and over, as Parquet", sample.display());
    for threads in ["1", "2"] {
        let export = ["export", &large, "-q", "--threads", threads, "-o", &ours];
        let export = [&[&*quarryd], &export[..]].concat();
        let copy = "\"$0\" scan \"$1\" -q -o jsonl --threads $2 > \"$3\" && \"$4\" \"$5\" \"$3\" \"$6\" $2";
        let copy = ["sh", "-c", copy, &quarry, &large, threads, &lines, &python, &script, &theirs];
        let words =
            |words: &[&str]| -> Vec<String> { words.iter().map(|&word| word.to_owned()).collect() };
        let costs = best_of(ROUNDS, &[words(&export), words(&copy)])?;
        table.add(Row {
            work: format!("all as Parquet, {threads} thread(s), processor time"),
            against: "as JSON lines, then DuckDB's COPY",
            ours: costs[0].cpu,
            theirs: costs[1].cpu,
            unit: "s",
            goal: Some((0.3, 0.2)),
        });
        println!("at most {:.0} MiB here, {:.0} there", costs[0].peak, costs[1].peak);
    }
    Ok(())
}

fn path(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).context("the target folder's path is text")
}
