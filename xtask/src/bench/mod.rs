//! `cargo xtask bench`: ratios against peers, in one run on one machine.
//!
//! Absolute times mean little where the machine is shared, so a figure is how many times as fast
//! as the peer, from the best of several runs that alternate. Instructions, counted by valgrind,
//! are the same in every run and tell a change from noise.

mod detect;
mod even;
mod fleet;
pub(crate) mod lock;
pub(crate) mod logon;
mod measure;
mod save;
mod scan;
mod tail;

use anyhow::{Result, bail};

type Benchmark = (&'static str, fn() -> Result<()>);

/// The benchmarks, by name.
const ALL: [Benchmark; 8] = [
    ("scan", scan::run),
    ("save", save::run),
    ("lock", lock::run),
    ("fleet", fleet::run),
    ("even", even::run),
    ("tail", tail::run),
    ("logon", logon::run),
    ("detect", detect::run),
];

pub(crate) fn run(which: &[&str]) -> Result<()> {
    let names = ALL.map(|(name, _)| name);
    if let Some(name) = which.iter().find(|name| !names.contains(name)) {
        bail!("there is no benchmark {name}; there are: {}", names.join(", "));
    }
    for (name, run) in ALL {
        if which.is_empty() || which.contains(&name) {
            run()?;
        }
    }
    Ok(())
}
