//! Saving events as `.evtx`, against printing them as JSON lines, from the same input.

use anyhow::{Result, bail};

use super::measure::best_of;
use super::scan::repeated;
use super::table::{Row, Table};
use crate::sh;

const ROUNDS: usize = 5;

pub(super) fn run(table: &mut Table) -> Result<()> {
    let quarry = super::build()?;
    let Some(corpus) = sh::corpus() else {
        bail!("the benchmark repeats chunks of ../shared/corpus, which is not there");
    };
    let sample = corpus.join("evtx-crate/security.evtx");
    let large = repeated(&sample)?.to_string_lossy().into_owned();
    let saved = sh::target().join("bench").join("saved").to_string_lossy().into_owned();
    println!("\nsaving the chunks of {}, over and over", sample.display());
    for threads in ["1", "2"] {
        // Both to a file, as one does.
        let scan = |format: &str| {
            let script = "exec \"$0\" scan \"$1\" -q -o $2 --threads $3 > \"$4\"";
            let words = ["sh", "-c", script, &quarry, &large, format, threads, &saved];
            words.map(str::to_owned).to_vec()
        };
        let costs = best_of(ROUNDS, &[scan("jsonl"), scan("evtx")])?;
        table.add(Row {
            work: format!("all saved as .evtx, {threads} thread(s), processor time"),
            against: "all to JSON lines",
            ours: costs[1].cpu,
            theirs: costs[0].cpu,
            unit: "s",
            goal: None,
        });
    }
    Ok(())
}
