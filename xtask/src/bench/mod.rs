//! `cargo xtask bench`: ratios against peers, in one run on one machine.
//!
//! Absolute times mean little where the machine is shared, so a figure is how many times as fast
//! as the peer, from the best of several runs that alternate. Instructions, counted by valgrind,
//! are the same in every run and tell a change from noise. `docs/performance.md` explains the rows of
//! the table; locks and logons print lines of their own.

mod detect;
mod even;
mod export;
mod fleet;
pub(crate) mod lock;
pub(crate) mod logon;
mod measure;
mod message;
mod save;
mod scan;
mod store;
mod table;
mod tail;
pub(crate) mod web;

use anyhow::{Result, bail};

use crate::sh;
use table::Table;

type Benchmark = (&'static str, fn(&mut Table) -> Result<()>);

/// The benchmarks, by name.
const ALL: [Benchmark; 12] = [
    ("scan", scan::run),
    ("message", message::run),
    ("save", save::run),
    ("export", export::run),
    ("lock", |_| lock::run()),
    ("fleet", fleet::run),
    ("even", even::run),
    ("tail", tail::run),
    ("logon", |_| logon::run()),
    ("detect", detect::run),
    ("store", |table| store::run(table, store::Size::default())),
    ("web", |table| web::run(table, web::Wish::default())),
];

pub(crate) fn run(words: &[&str]) -> Result<()> {
    let (which, size) = store::Size::parse(words)?;
    let (which, wish) = web::Wish::parse(&which)?;
    let which = &*which;
    let names = ALL.map(|(name, _)| name);
    if let Some(name) = which.iter().find(|name| !names.contains(name)) {
        bail!("there is no benchmark {name}; there are: {}", names.join(", "));
    }
    let mut table = Table::default();
    for (name, run) in ALL {
        if which.is_empty() || which.contains(&name) {
            measure::forget()?;
            match name {
                "store" => store::run(&mut table, size)?,
                "web" => web::run(&mut table, wish)?,
                _ => run(&mut table)?,
            }
        }
    }
    if !table.is_empty() {
        let path = sh::target().join("bench").join("table.json");
        table.write(&path)?;
        println!("\n{}\nas JSON: {}", table.text(), path.display());
    }
    Ok(())
}

/// Builds `quarry` as it is released, and says where it is.
fn build() -> Result<String> {
    let mut build = sh::command("cargo", &["build", "--release", "--locked", "-p", "quarry-cli"]);
    sh::run_command(&mut build)?;
    Ok(sh::target().join("release").join("quarry").to_string_lossy().into_owned())
}
