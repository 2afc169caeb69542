//! Licences, sources and version requirements of all packages, after `deny.toml`.
//!
//! The part of `cargo deny check` that needs nothing from outside, on cargo's own metadata. Building
//! cargo-deny takes longer than all other stages of a newcomer's first run but the tests. Where it
//! is installed, and an advisory database can be had, it checks the advisories.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use spdx::{Expression, LicenseReq, Licensee, ParseMode};

use crate::sh;

/// Where packages may come from, as cargo calls it; our own have no source.
const REGISTRY: &str = "registry+";

/// Checks the licence, source and version requirements of each package, for every system.
pub(crate) fn check() -> Result<()> {
    let allowed = Allowed::of(&fs::read_to_string(sh::root().join("deny.toml"))?)?;
    let metadata = sh::output("cargo", &["metadata", "--locked", "--format-version", "1"])?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    ensure!(!packages.is_empty(), "cargo metadata names no package");
    let wrong: Vec<String> =
        packages.iter().flat_map(|package| problems(package, &allowed)).collect();
    ensure!(wrong.is_empty(), "packages that deny.toml excludes:\n  {}", wrong.join("\n  "));
    println!(
        "{} packages: licences, sources and requirements as deny.toml has them",
        packages.len()
    );
    Ok(())
}

/// Looks for known vulnerabilities, where that can be done; says so where it can't.
pub(crate) fn advisories() -> Result<()> {
    if !sh::has("cargo-deny") {
        println!("ADVISORIES NOT CHECKED: cargo-deny is not installed (cargo install cargo-deny)");
        return Ok(());
    }
    let mut fetch = sh::command("cargo", &["deny", "fetch", "db"]);
    if !fetch.stdout(Stdio::null()).stderr(Stdio::null()).status()?.success() {
        println!("ADVISORIES NOT CHECKED: the advisory database can't be had from here");
        return Ok(());
    }
    sh::run("cargo", &["deny", "--locked", "check", "advisories"])
}

/// The licences that `deny.toml` allows.
struct Allowed(Vec<Licensee>);

impl Allowed {
    fn of(text: &str) -> Result<Self> {
        let document: toml::Table = text.parse().context("deny.toml")?;
        let list = document
            .get("licenses")
            .and_then(|licenses| licenses.get("allow"))
            .and_then(toml::Value::as_array)
            .context("deny.toml has no list licenses.allow")?;
        let each = |value: &toml::Value| {
            let name = value.as_str().context("a licence that is no text")?;
            Licensee::parse(name).with_context(|| format!("the licence {name} of deny.toml"))
        };
        list.iter().map(each).collect::<Result<_>>().map(Allowed)
    }

    fn has(&self, required: &LicenseReq) -> bool {
        self.0.iter().any(|licensee| licensee.satisfies(required))
    }
}

/// What is wrong with a package.
fn problems(package: &Value, allowed: &Allowed) -> Vec<String> {
    let name = format!(
        "{} {}",
        package["name"].as_str().unwrap_or_default(),
        package["version"].as_str().unwrap_or_default()
    );
    let mut problems = BTreeSet::new();
    match package["license"]
        .as_str()
        .map(|text| (text, Expression::parse_mode(text, ParseMode::LAX)))
    {
        None => _ = problems.insert("names no licence".to_owned()),
        Some((text, Err(_))) => _ = problems.insert(format!("its licence can't be read: {text}")),
        Some((text, Ok(expression))) if !expression.evaluate(|required| allowed.has(required)) => {
            problems.insert(format!("its licence isn't allowed: {text}"));
        }
        Some(_) => {}
    }
    if let Some(source) = package["source"].as_str()
        && !source.starts_with(REGISTRY)
    {
        problems.insert(format!("it comes from {source}"));
    }
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        let of_workspace = package["source"].is_null();
        if of_workspace && dependency["req"] == "*" && dependency["path"].is_null() {
            problems.insert(format!("it takes any version of {}", dependency["name"]));
        }
    }
    problems.into_iter().map(|problem| format!("{name}: {problem}")).collect()
}

/// Fails unless the toolchain is the one that the workspace says is the oldest it builds with, since
/// then nothing has shown that it does.
pub(crate) fn minimum_version() -> Result<()> {
    let manifest: toml::Table = fs::read_to_string(sh::root().join("Cargo.toml"))?.parse()?;
    let minimum = manifest["workspace"]["package"]["rust-version"]
        .as_str()
        .context("the workspace names no rust-version")?;
    let version = sh::output("rustc", &["--version"])?;
    let version = version.split_whitespace().nth(1).context("rustc says no version")?;
    if version != minimum && !version.starts_with(&format!("{minimum}.")) {
        let toolchain = sh::output("rustup", &["toolchain", "list"]).unwrap_or_default();
        let Some(oldest) = toolchain.lines().find(|line| line.starts_with(minimum)) else {
            bail!(
                "rust-version is {minimum} and rustc {version}: install {minimum} to check it, or \
                 raise rust-version"
            );
        };
        let oldest = format!("+{}", oldest.split_whitespace().next().unwrap_or(minimum));
        return sh::run("cargo", &[&oldest, "check", "--workspace", "--locked"]);
    }
    println!("rustc {version} is the oldest that is promised: all that was built shows it");
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(package: &Value) -> Vec<String> {
        problems(package, &Allowed::of("[licenses]\nallow = ['MIT', 'Apache-2.0']").unwrap())
    }

    #[test]
    fn a_licence_that_can_be_chosen_is_enough_and_one_that_cannot_is_named() {
        let package = |licence: Value| json!({ "name": "x", "version": "1", "license": licence });
        for good in ["MIT", "MIT/Apache-2.0", "GPL-3.0-only OR MIT", "MIT AND Apache-2.0"] {
            assert!(found(&package(json!(good))).is_empty(), "{good}");
        }
        for bad in [json!("GPL-3.0-only"), json!("MIT AND MPL-2.0"), json!("nonsense"), json!(null)]
        {
            assert_eq!(found(&package(bad.clone())).len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_package_from_elsewhere_and_any_version_are_named() {
        let git =
            json!({ "name": "x", "version": "1", "license": "MIT", "source": "git+https://x" });
        assert_eq!(found(&git), ["x 1: it comes from git+https://x"]);
        let dependency = |more: Value| {
            let mut one = json!({ "name": "y", "req": "*" });
            one.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({ "name": "x", "version": "1", "license": "MIT", "dependencies": [one] })
        };
        assert_eq!(found(&dependency(json!({}))).len(), 1);
        assert!(found(&dependency(json!({ "path": "../y" }))).is_empty());
    }
}
