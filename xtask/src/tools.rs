//! Installing what the tests and benchmarks need, into a cache of the user's or by apt.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::sh;

/// Makes sure of Debian packages, each named with a program it brings.
pub(crate) fn apt(packages: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .filter(|(_, program)| !sh::has(program))
        .map(|&(package, _)| package)
        .collect();
    apt_install(&missing)
}

/// Installs Debian packages that are known to be missing.
pub(crate) fn apt_install(missing: &[&str]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    if !sh::has("apt-get") {
        bail!("these packages are needed and there is no apt-get to install them: {missing:?}");
    }
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(missing);
    let prefix: &[&str] = if is_root()? { &[] } else { &["sudo"] };
    let apt = |arguments: &[&str]| {
        let words: Vec<&str> = [prefix, &["apt-get", "-q"], arguments].concat();
        let mut apt = sh::command(words[0], &words[1..]);
        sh::run_command(apt.env("DEBIAN_FRONTEND", "noninteractive"))
    };
    // Old lists may still give packages, but older ones than what is needed.
    let updated = apt(&["update"]);
    apt(&install).or_else(|error| updated.and(Err(error)))
}

fn is_root() -> Result<bool> {
    Ok(sh::output("id", &["-u"])?.trim() == "0")
}

/// The folder that tools are installed into, which outlives `target`.
fn cache() -> Result<PathBuf> {
    let home = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(home.join("quarry").join("tools"))
}

/// A program that `cargo install` builds, in one version, with features.
pub(crate) fn cargo_tool(
    package: &str,
    version: &str,
    program: &str,
    features: &str,
) -> Result<PathBuf> {
    let folder = cache()?.join(format!("{package}-{version}"));
    let path = folder.join("bin").join(program);
    if !path.is_file() {
        let spec = format!("{package}@{version}");
        let mut install = sh::command("cargo", &["install", "--locked", &spec, "--root"]);
        install.arg(&folder);
        if !features.is_empty() {
            install.args(["--features", features]);
        }
        // Profile settings of this workspace, and its target folder, are none of the tool's.
        install.env_remove("CARGO_TARGET_DIR").current_dir(std::env::temp_dir());
        sh::run_command(&mut install)?;
    }
    Ok(path)
}
