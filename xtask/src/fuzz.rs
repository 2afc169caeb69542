//! `cargo xtask fuzz`: runs the fuzz targets, each for a time.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::{sh, tools};

/// Seconds for each target, where nothing is said.
const SECONDS: u32 = 600;

/// Rounds of the hostile server, where nothing is said.
const ROUNDS: u64 = 1_000_000;

pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    if let ["hostile", rest @ ..] = arguments {
        return hostile(rest);
    }
    let mut seconds = SECONDS;
    let mut wanted = Vec::new();
    let mut rest = arguments.iter();
    while let Some(&argument) = rest.next() {
        match argument {
            "--seconds" => {
                seconds = rest
                    .next()
                    .and_then(|seconds| seconds.parse().ok())
                    .context("--seconds takes a whole number")?;
            }
            name => wanted.push(name),
        }
    }
    let cargo_fuzz = tools::cargo_tool("cargo-fuzz", "0.13.2", "cargo-fuzz", "")?;
    let fuzz = sh::root().join("fuzz");
    let targets = targets(&fuzz)?;
    for name in &wanted {
        if !targets.iter().any(|target| target == name) {
            bail!("there is no fuzz target {name}; there are: {}", targets.join(", "));
        }
    }
    for target in targets.iter().filter(|t| wanted.is_empty() || wanted.contains(&t.as_str())) {
        let corpus = sh::target().join("fuzz-corpus").join(target);
        std::fs::create_dir_all(&corpus)?;
        let mut run = sh::command("rustup", &["run", "nightly"]);
        run.arg(&cargo_fuzz).args(["run", "--fuzz-dir"]).arg(&fuzz).arg(target).arg(&corpus);
        let seeds = fuzz.join("seeds").join(target);
        if seeds.is_dir() {
            run.arg(seeds);
        }
        run.args([
            "--",
            &format!("-max_total_time={seconds}"),
            "-timeout=10",
            "-rss_limit_mb=2048",
        ]);
        sh::run_command(&mut run)?;
    }
    Ok(())
}

/// The hostile server of crates/eventlog/tests/hostile: `hostile [--rounds N]`.
fn hostile(arguments: &[&str]) -> Result<()> {
    let rounds = match arguments {
        [] => ROUNDS,
        ["--rounds", rounds] => rounds.parse().context("--rounds takes a whole number")?,
        _ => bail!("say: cargo xtask fuzz hostile [--rounds N]"),
    };
    let mut test =
        sh::command("cargo", &["test", "-p", "quarry-eventlog", "--locked", "--test", "hostile"]);
    test.args(["--", "--nocapture"]);
    // Optimised, and yet with all checks of a debug build.
    test.env("CARGO_PROFILE_DEV_OPT_LEVEL", "3").env("QUARRY_HOSTILE_ROUNDS", rounds.to_string());
    sh::run_command(&mut test)
}

fn targets(fuzz: &Path) -> Result<Vec<String>> {
    let mut targets = Vec::new();
    for entry in std::fs::read_dir(fuzz.join("fuzz_targets"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            targets.push(path.file_stem().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    targets.sort();
    Ok(targets)
}
