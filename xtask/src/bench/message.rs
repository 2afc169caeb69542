//! Message text from a catalogue: what it costs beside reading and printing, against `evtx_dump`,
//! which prints none.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::measure::{best_of, instructions_with};
use super::scan::repeated;
use crate::{sh, tools};

const ROUNDS: usize = 5;

pub(crate) fn run() -> Result<()> {
    tools::apt(&[("valgrind", "valgrind")])?;
    let dump = tools::cargo_tool("evtx", "0.15.1", "evtx_dump", "fast-alloc")?;
    let mut build = sh::command("cargo", &["build", "--release", "--locked", "-p", "quarry-cli"]);
    sh::run_command(&mut build)?;
    let quarry = sh::target().join("release").join("quarry");
    let Some(corpus) = sh::corpus() else {
        bail!("the benchmark repeats chunks of ../shared/corpus, which is not there");
    };
    let sample = corpus.join("evtx-crate/security.evtx");
    let large = repeated(&sample)?;

    // A data folder of its own, with a catalogue of the provider's own file.
    let data = sh::target().join("bench").join("data");
    let variable = format!("XDG_DATA_HOME={}", data.display());
    fs::create_dir_all(&data)?;
    let provider = provider_file()?;
    let from = ["messages", "build", "-q", "--from"];
    let mut words = vec![variable.clone(), quarry.to_string_lossy().into_owned()];
    words.extend(from.map(str::to_owned));
    words.push(provider.to_string_lossy().into_owned());
    sh::run("env", &words.iter().map(String::as_str).collect::<Vec<_>>())?;

    let scan = |file: &Path, messages: &str| -> Vec<String> {
        let file = file.to_string_lossy();
        let words = ["scan", &file, "-q", "-o", "jsonl", "--threads", "1", "--messages", messages];
        let quarry = quarry.to_string_lossy().into_owned();
        std::iter::once(quarry).chain(words.map(str::to_owned)).collect()
    };
    let with_data = |words: Vec<String>| -> Vec<String> {
        ["env".to_owned(), variable.clone()].into_iter().chain(words).collect()
    };
    let large_name = large.to_string_lossy().into_owned();
    let theirs: Vec<String> =
        [&*dump.to_string_lossy(), "-o", "jsonl", "-t", "1", &large_name].map(str::to_owned).into();
    let costs = best_of(
        ROUNDS,
        &[theirs, with_data(scan(&large, "never")), with_data(scan(&large, "local"))],
    )?;
    println!("\nall events to JSON lines, 1 thread, over chunks of {}", sample.display());
    println!(
        "without text: {:.2} times as fast as evtx_dump, which has none",
        costs[0].wall / costs[1].wall
    );
    println!(
        "with text from a catalogue: {:.2} times as long as evtx_dump takes without; peak memory {:.0} MiB",
        costs[2].wall / costs[0].wall,
        costs[2].peak
    );
    let count = |messages| instructions_with(&[&variable], &scan(&sample, messages));
    let (without, with) = (count("never")?, count("local")?);
    println!(
        "making names and text costs {:.2} of the instructions of decoding and printing without",
        (with as f64 - without as f64) / without as f64
    );
    Ok(())
}

/// The file with the messages of Windows' audit events, which the crate `evtx` has as a sample.
fn provider_file() -> Result<PathBuf> {
    let metadata = sh::output("cargo", &["metadata", "--format-version", "1", "--locked"])?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let package = packages.iter().find(|package| package["name"] == "evtx");
    let manifest = package.and_then(|package| package["manifest_path"].as_str());
    let folder = manifest.and_then(|path| Path::new(path).parent()).context("no crate evtx")?;
    Ok(folder.join("samples/dlls/adtschema.dll"))
}
