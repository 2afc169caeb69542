//! Prints the errors of the last eight hours of some servers of an inventory:
//!
//! ```text
//! cargo run -p quarry-fleet --example errors -- inventory.toml fred barney
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;

use quarry_fleet::event::filter::{Filter, Levels, parse_time};
use quarry_fleet::event::{EventTime, Field, FieldSource};
use quarry_fleet::eventlog::BatchReader;
use quarry_fleet::inventory::Inventory;
use quarry_fleet::{
    Account, Job, Options, Report, Request, Scan, Secret, SecretSource, SignIn, SignInOptions,
};

#[tokio::main]
#[allow(dead_code, reason = "the test that includes this file has no use for it")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: errors INVENTORY SERVER...")?;
    let inventory = Inventory::parse(&std::fs::read_to_string(path)?)?;
    let servers: Vec<String> = arguments.collect();
    let (found, failed) = errors(inventory, &servers, read_password).await?;
    found.iter().for_each(|line| println!("{line}"));
    failed.iter().for_each(|line| eprintln!("{line}"));
    Ok(())
}

/// Reads a password from the file that the inventory names.
#[allow(dead_code, reason = "the test that includes this file has no use for it")]
fn read_password(account: &Account, source: &SecretSource) -> Result<Secret, String> {
    let SecretSource::File(path) = source else {
        return Err(format!("the inventory has no password-file for {account}"));
    };
    let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    Secret::from_bytes(bytes).map_err(|e| format!("{}: {e}", path.display()))
}

/// A line for each error, and one for each server that failed.
pub(crate) async fn errors(
    inventory: Inventory,
    names: &[String],
    read_password: impl FnMut(&Account, &SecretSource) -> Result<Secret, String>,
) -> Result<(Vec<String>, Vec<String>), Box<dyn Error>> {
    let mut sign_in = SignIn::new(inventory, SignInOptions::new(), read_password);
    let mut servers = Vec::new();
    for name in names {
        servers.extend(sign_in.servers(name)?);
    }
    let now = jiff::Zoned::now();
    let since = Some(parse_time("8h", &now)?);
    let levels = Some(Levels::parse("error")?);
    let filter = Filter { since, levels, ..Filter::default() };
    let mut matcher = filter.matcher(EventTime::from_timestamp(now.timestamp()));
    let mut reader = BatchReader::default();
    let (mut found, mut failed) = (Vec::new(), Vec::new());
    let jobs = Job::each(servers.clone(), Request::new().filter(filter));
    let mut scan = Scan::begin(jobs, Options::default());
    while let Some(report) = scan.next().await {
        match report {
            Report::Batch { source, batch, .. } => {
                let server = servers[source.index()].name();
                // Servers filter, but not all that can be asked for.
                for read in reader.events(&batch, &mut matcher) {
                    let (time, id) =
                        (read.event.field(Field::TimeCreated), read.event.field(Field::EventId));
                    found.push(format!("{server} {time} {} {id}", read.log));
                }
            }
            Report::Ended { failures, .. } => failed.extend(failures.iter().map(|f| f.to_string())),
            _ => {}
        }
    }
    Ok((found, failed))
}
