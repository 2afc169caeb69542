//! Checks that the crates of the workspace use those below them that the table has, that `unsafe` stands only where
//! it may, and that each crate builds with each of its features alone.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::sh;

/// What each crate uses of the others, and no other may it use. Each comes after all that it uses.
const ALLOWED: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("binxml", &["event"]),
    ("logfile", &["event", "binxml"]),
    // What is unpacked is read as files are.
    ("archive", &["logfile"]),
    ("detect", &["event"]),
    ("message", &["event"]),
    ("cred", &[]),
    ("rpc", &["cred"]),
    // Accounts are part of how one connects.
    ("even", &["cred", "rpc"]),
    ("winevt", &["event"]),
    ("eventlog", &["event", "binxml", "logfile", "rpc", "even", "winevt"]),
    ("lock", &[]),
    ("logon", &["cred"]),
    ("fleet", &["event", "cred", "rpc", "even", "eventlog"]),
    // Its file of cursors is locked.
    ("collect", &["event", "message", "detect", "eventlog", "lock", "fleet"]),
    ("store", &["event", "lock"]),
    ("bench", &["event", "binxml", "logfile", "store"]),
    // Its audit is locked.
    ("web", &["event", "binxml", "logfile", "cred", "lock", "logon", "fleet", "collect"]),
    ("sim", &["event", "binxml", "logfile", "cred", "rpc", "even"]),
    // What the programs below share.
    (
        "program",
        &[
            "event", "logfile", "archive", "message", "cred", "rpc", "eventlog", "lock", "logon",
            "fleet", "detect", "collect", "web", "sim",
        ],
    ),
    (
        "cli",
        &[
            "event", "binxml", "logfile", "message", "cred", "rpc", "even", "eventlog", "lock",
            "logon", "fleet", "detect", "collect", "web", "program", "sim",
        ],
    ),
    ("server", &["event", "eventlog", "fleet", "detect", "collect", "store", "web", "program"]),
];

/// The crates that talk to systems in C. All others forbid `unsafe`.
const UNSAFE: [&str; 3] = ["lock", "logon", "winevt"];

/// Helpers for tests, which no product may use.
const TESTKIT: &str = "testkit";

/// Fails when a crate uses one that it may not, for its product or its build, or doesn't use one that
/// it may; tests may use any.
pub(crate) fn check() -> Result<()> {
    let mut checked = 0;
    for package in &packages()? {
        let Some(name) = package["name"].as_str().and_then(|name| name.strip_prefix("quarry-"))
        else {
            continue;
        };
        if !UNSAFE.contains(&name) {
            forbids_unsafe(package)?;
        }
        if name == TESTKIT {
            continue;
        }
        let (_, allowed) = ALLOWED
            .iter()
            .find(|(known, _)| *known == name)
            .with_context(|| format!("xtask's table of crates doesn't have quarry-{name}"))?;
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        let used: Vec<&str> = dependencies
            .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
            .filter_map(|dependency| dependency["name"].as_str()?.strip_prefix("quarry-"))
            .collect();
        if let Some(used) = used.iter().find(|used| !allowed.contains(used)) {
            bail!("quarry-{name} may not use quarry-{used}; it may use {allowed:?}");
        }
        if let Some(idle) = allowed.iter().find(|allowed| !used.contains(allowed)) {
            bail!("quarry-{name} doesn't use quarry-{idle}; take it from xtask's table");
        }
        checked += 1;
    }
    if checked == 0 {
        bail!("no crate of the workspace was found to check");
    }
    println!("{checked} crates use only those below them");
    Ok(())
}

/// Builds each library with its default features, with none, and with each alone: whoever uses one
/// crate gets what that crate asks for, and not what the workspace's others do.
pub(crate) fn features() -> Result<()> {
    for package in &packages()? {
        let name = package["name"].as_str().context("a package without a name")?;
        if !targets(package).any(|(kind, _)| kind == "lib") || name.ends_with(TESTKIT) {
            continue;
        }
        let check = |more: &[&str]| {
            let arguments = ["check", "--quiet", "--locked", "--lib", "--package", name];
            sh::run("cargo", &[&arguments, more].concat())
        };
        check(&[])?;
        let features = package["features"].as_object().context("a package without features")?;
        if !features.is_empty() {
            check(&["--no-default-features"])?;
        }
        for feature in features.keys().filter(|feature| *feature != "default") {
            check(&["--no-default-features", "--features", feature])?;
        }
    }
    Ok(())
}

/// The workspace's packages, as cargo describes them.
fn packages() -> Result<Vec<Value>> {
    let metadata = sh::output("cargo", &["metadata", "--no-deps", "--format-version", "1"])?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().cloned();
    packages.filter(|packages| !packages.is_empty()).context("cargo metadata has no packages")
}

/// The kinds of a package's targets, and where each begins.
fn targets(package: &Value) -> impl Iterator<Item = (&str, &Path)> {
    package["targets"].as_array().into_iter().flatten().flat_map(|target| {
        let path = Path::new(target["src_path"].as_str().unwrap_or_default());
        let kinds = target["kind"].as_array().into_iter().flatten();
        kinds.filter_map(Value::as_str).map(move |kind| (kind, path))
    })
}

fn forbids_unsafe(package: &Value) -> Result<()> {
    for (_, path) in targets(package).filter(|(kind, _)| ["lib", "bin"].contains(kind)) {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        if !text.contains("#![forbid(unsafe_code)]") {
            bail!("{} doesn't forbid unsafe code; only {UNSAFE:?} may have it", path.display());
        }
    }
    Ok(())
}
