//! `quarry lock --who`: who holds the lock on a file, as far as can be told.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
    time::SystemTime,
};

use jiff::{Timestamp, Unit, tz::TimeZone};
use quarry_lock::{Holder, Mode, who};

use super::{Failure, describe, say};

/// Prints the holders, one a line.
pub(super) fn show(path: &Path) -> Result<ExitCode, Failure> {
    let (stale, holders): (Vec<Holder>, Vec<Holder>) =
        who(path).map_err(describe)?.into_iter().partition(|holder| holder.stale);
    for holder in stale {
        say(&format!("{} is gone and left its record behind", name(&holder)));
    }
    if holders.is_empty() {
        say(&format!("nobody is known to hold {}", path.display()));
        return Ok(ExitCode::from(1));
    }
    let mut out = io::stdout().lock();
    for holder in &holders {
        let line = [
            holder.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            text(&holder.host),
            how(holder),
            holder.since.map_or_else(|| "-".to_owned(), time),
            text(&holder.command),
        ];
        if writeln!(out, "{}", line.join("\t")).is_err() {
            // A closed pipe: whoever asked has read enough.
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What is said while one waits.
pub(super) fn waiting_for(path: &Path) -> String {
    let holders = who(path).unwrap_or_default();
    let names: Vec<String> =
        holders.iter().filter(|holder| !holder.stale).map(name).take(5).collect();
    if names.is_empty() {
        format!("waiting for {}", path.display())
    } else {
        format!("waiting for {}, held by {}", path.display(), names.join(", "))
    }
}

fn name(holder: &Holder) -> String {
    let mut name = match holder.pid {
        Some(pid) => format!("process {pid}"),
        None => "a process".to_owned(),
    };
    if let Some(host) = &holder.host {
        name += &format!(" on {host}");
    }
    if let Some(command) = &holder.command {
        name += &format!(" ({command})");
    }
    if let Some(since) = holder.since {
        name += &format!(" since {}", time(since));
    }
    name
}

fn how(holder: &Holder) -> String {
    let mode = match holder.mode {
        Mode::Shared => "shared",
        Mode::Exclusive => "exclusive",
    };
    holder.range.map_or_else(|| mode.to_owned(), |range| format!("{mode} {range}"))
}

fn text(value: &Option<String>) -> String {
    value.clone().unwrap_or_else(|| "-".to_owned())
}

/// Local, with its zone.
fn time(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).and_then(|time| time.round(Unit::Second));
    time.map_or_else(
        |_| "-".to_owned(),
        |time| time.to_zoned(TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
    )
}
