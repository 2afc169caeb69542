//! Prints the errors of the last eight hours of some servers:
//!
//! ```text
//! QUARRY_PASSWORD=... cargo run -p quarry-fleet --example errors -- 'CORP\ann' fred barney
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::sync::Arc;

use quarry_cred::{Credential, Gate, Secret};
use quarry_even::ConnectOptions;
use quarry_event::filter::{Filter, Levels, parse_time};
use quarry_event::{EventTime, Field, FieldSource};
use quarry_eventlog::BatchReader;
use quarry_fleet::{Job, Options, Report, Request, Scan, Server, Source};

#[tokio::main]
#[allow(dead_code, reason = "the test that includes this file has no use for it")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let account = arguments.next().ok_or("usage: errors USER SERVER...")?.parse()?;
    let credential = Credential::new(account, Secret::new(std::env::var("QUARRY_PASSWORD")?)?);
    // A wrong password is tried once, not on every server.
    let gate = Some(Gate::default());
    let server = |name: String| {
        let connect = ConnectOptions::new(&name, credential.clone());
        Arc::new(Server::new(name, ConnectOptions { gate: gate.clone(), ..connect })) as _
    };
    let (found, failed) = errors(arguments.map(server).collect()).await?;
    found.iter().for_each(|line| println!("{line}"));
    failed.iter().for_each(|line| eprintln!("{line}"));
    Ok(())
}

/// A line for each error, and one for each server that failed.
pub(crate) async fn errors(
    servers: Vec<Arc<dyn Source>>,
) -> Result<(Vec<String>, Vec<String>), Box<dyn Error>> {
    let now = jiff::Zoned::now();
    let since = Some(parse_time("8h", &now)?);
    let levels = Some(Levels::parse("error")?);
    let filter = Filter { since, levels, ..Filter::default() };
    let mut matcher = filter.matcher(EventTime::from_timestamp(now.timestamp()));
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    let names: Vec<String> = servers.iter().map(|server| server.name().to_owned()).collect();
    let mut reader = BatchReader::default();
    let jobs = Job::each(servers, Request::new().filter(filter));
    let mut scan = Scan::begin(jobs, Options::default());
    while let Some(report) = scan.next().await {
        match report {
            Report::Batch { source, batch, .. } => {
                // Servers filter, but not all that can be asked for.
                for read in reader.events(&batch, &mut matcher) {
                    let (time, id) =
                        (read.event.field(Field::TimeCreated), read.event.field(Field::EventId));
                    found.push(format!("{} {time} {} {id}", names[source.index()], read.log));
                }
            }
            Report::Ended { failures, .. } => failed.extend(failures.iter().map(|f| f.to_string())),
            _ => {}
        }
    }
    Ok((found, failed))
}
