//! Checks that the crates of the workspace use only those below them.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::sh;

/// What each crate may use of the others. Each stands behind all that it may use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("binxml", &["event"]),
    ("logfile", &["event", "binxml"]),
    // What is unpacked is read as files are.
    ("archive", &["logfile"]),
    ("message", &["event"]),
    ("cred", &[]),
    ("rpc", &["cred"]),
    // Accounts are part of how one connects.
    ("even", &["cred", "rpc"]),
    ("winevt", &["event", "binxml"]),
    ("eventlog", &["event", "binxml", "logfile", "cred", "rpc", "even", "winevt"]),
    ("lock", &[]),
    ("logon", &["cred"]),
    ("fleet", &["event", "cred", "rpc", "even", "eventlog", "lock"]),
    ("store", &["event", "lock"]),
    ("web", &["event", "message", "cred", "logon", "fleet", "store"]),
    ("sim", &["event", "binxml", "logfile", "cred", "rpc", "even"]),
    (
        "cli",
        &[
            "event", "binxml", "logfile", "archive", "message", "cred", "rpc", "even", "winevt",
            "eventlog", "lock", "logon", "fleet", "sim",
        ],
    ),
    (
        "server",
        &[
            "event", "binxml", "logfile", "archive", "message", "cred", "rpc", "even", "winevt",
            "eventlog", "lock", "logon", "fleet", "store", "web", "sim",
        ],
    ),
];

/// Helpers for tests, which no product may use.
const TESTKIT: &str = "testkit";

/// Fails when a crate uses one that it may not, for its product or its build; tests may use any.
pub(crate) fn check() -> Result<()> {
    let metadata = sh::output("cargo", &["metadata", "--no-deps", "--format-version", "1"])?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let mut checked = 0;
    for package in packages {
        let Some(name) = package["name"].as_str().and_then(|name| name.strip_prefix("quarry-"))
        else {
            continue;
        };
        if name == TESTKIT {
            continue;
        }
        let (_, allowed) = ALLOWED
            .iter()
            .find(|(known, _)| *known == name)
            .with_context(|| format!("xtask's table of crates doesn't have quarry-{name}"))?;
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let Some(used) = dependency["name"].as_str().and_then(|n| n.strip_prefix("quarry-"))
            else {
                continue;
            };
            if dependency["kind"].as_str() != Some("dev") && !allowed.contains(&used) {
                bail!("quarry-{name} may not use quarry-{used}; it may use {allowed:?}");
            }
        }
        checked += 1;
    }
    if checked == 0 {
        bail!("no crate of the workspace was found to check");
    }
    println!("{checked} crates use only those below them");
    Ok(())
}
