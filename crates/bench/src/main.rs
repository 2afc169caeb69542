//! Makes tables of events as a fleet has them, and says what it takes to write and to ask them.
//!
//! ```text
//! store-bench make FOLDER ROWS          # a table of a hundred hosts over thirty days
//! store-bench ask FOLDER ROUNDS         # questions about it
//! store-bench insert FOLDER ROWS|FILE ROUNDS    # events, made or of a log, to committed rows
//! store-bench pack FOLDER FILE…         # bytes that a row of the events of logs takes
//! store-bench commits FOLDER ROUNDS     # a commit where there are few files and where there are many
//! store-bench history FOLDER COMMITS    # two tables of so many commits, maintained and not
//! store-bench open FOLDER ROUNDS        # opening a table
//! ```
//!
//! Each but `make` and `history` prints `{"work": …, "took": …, "answer": …}` a line, the best of the
//! rounds: seconds, or bytes.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod ask;
mod log;
mod made;
mod write;

use std::error::Error;
use std::io::Write as _;

use serde_json::json;

type Failed = Box<dyn Error>;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["make", folder, rows] => write::make(folder, rows.parse()?).await,
        ["ask", folder, rounds] => ask::ask(folder, rounds.parse()?).await,
        ["insert", folder, events, rounds] => write::insert(folder, events, rounds.parse()?).await,
        ["pack", folder, files @ ..] => write::pack(folder, files).await,
        ["commits", folder, rounds] => log::commits(folder.as_ref(), rounds.parse()?).await,
        ["history", folder, commits] => log::history(folder.as_ref(), commits.parse()?).await,
        ["open", folder, rounds] => log::open(folder, rounds.parse()?).await,
        _ => Err("the words that it takes are at the top of its source".into()),
    }
}

/// Says what some work took, and a number of its answer.
fn say(work: &str, took: f64, answer: u64) -> Result<(), Failed> {
    println!("{}", json!({ "work": work, "took": took, "answer": answer }));
    Ok(std::io::stdout().flush()?)
}

/// Seconds of processors that this process has used, all its threads together.
fn processor_time() -> Result<f64, Failed> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    // After the name, which may hold anything, these are the 12th and 13th, in hundredths of a second.
    let (_, rest) = text.rsplit_once(')').ok_or("/proc has another form")?;
    let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / 100.0)
}
