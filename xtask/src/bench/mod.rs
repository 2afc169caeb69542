//! `cargo xtask bench`: ratios against peers, in one run on one machine.
//!
//! Absolute times mean little where the machine is shared, so a figure is how many times as fast
//! as the peer, from the best of several runs that alternate. Instructions, counted by valgrind,
//! are the same in every run and tell a change from noise.

pub(crate) mod lock;
pub(crate) mod logon;
mod measure;
mod scan;

use anyhow::{Result, bail};

pub(crate) fn run(which: &[&str]) -> Result<()> {
    let all = which.is_empty();
    for name in which {
        if !["scan", "lock", "logon"].contains(name) {
            bail!("there is no benchmark {name}; there are: scan, lock, logon");
        }
    }
    if all || which.contains(&"scan") {
        scan::run()?;
    }
    if all || which.contains(&"lock") {
        lock::run()?;
    }
    if all || which.contains(&"logon") {
        logon::run()?;
    }
    Ok(())
}
