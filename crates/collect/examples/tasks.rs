//! Reads files in a program of tasks: the pipeline has a thread of its own, and its results come
//! through a channel with room for two, which holds it back.
//!
//! `cargo run -p quarry-collect --example tasks -- FILE...`
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use quarry_collect::{
    Delivery, FileInput, Found, Next, Output, Pipeline, Selection, Sink, Stop, Work,
};
use quarry_event::{Field, FieldSource};
use quarry_eventlog::FileLog;
use tokio::sync::mpsc;

/// Counts events by their id, on every core.
struct CountIds;

/// How often each id came.
#[derive(Default)]
struct Counts(BTreeMap<u64, u64>);

impl Work for CountIds {
    type Worker = ();
    type Output = Counts;

    fn worker(&self) {}

    fn event<S: FieldSource>(&self, (): &mut (), event: &S, _: &Found<'_>, counts: &mut Counts) {
        let id = event.field(Field::EventId).as_u64().unwrap_or_default();
        *counts.0.entry(id).or_default() += 1;
    }
}

impl Output for Counts {
    fn bytes(&self) -> usize {
        self.0.len() * size_of::<(u64, u64)>()
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    /// Only called where a selection has a limit.
    fn truncate(&mut self, _: u64) {}
}

/// Sends the counts of each batch to a task.
struct Channel(mpsc::Sender<Counts>);

impl Sink for Channel {
    type Output = Counts;
    /// Nobody receives any more.
    type Error = ();

    fn take(&mut self, delivery: &mut Delivery<Counts>) -> Result<Next, ()> {
        let counts = std::mem::take(&mut delivery.output);
        self.0.blocking_send(counts).map_err(|_| ())?;
        Ok(Next::Go)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let selection = Arc::new(Selection::default());
    let file = |path: PathBuf| {
        let name = path.display().to_string();
        let open = move |_: &Stop| Ok(FileLog::open(&path)?);
        FileInput::new(name, Arc::clone(&selection), open)
    };
    let files = std::env::args_os().skip(1).map(|path| file(path.into())).collect();
    // A clone of it ends the run, from a task whose client has gone for instance.
    let stop = Stop::default();
    let (sender, mut receiver) = mpsc::channel(2);
    let pipeline = Pipeline::scan(files).stop(stop.clone());
    let run =
        tokio::task::spawn_blocking(move || pipeline.run(&CountIds, &mut Channel(sender), None));
    let mut all = BTreeMap::new();
    while let Some(Counts(counts)) = receiver.recv().await {
        counts.into_iter().for_each(|(id, count)| *all.entry(id).or_insert(0) += count);
    }
    let (summary, _) = run.await?;
    all.iter().for_each(|(id, count)| println!("{id}: {count}"));
    println!("{} records of {} files", summary.records, summary.files.read);
    Ok(())
}
