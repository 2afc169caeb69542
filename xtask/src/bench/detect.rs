//! Rules over logs, against pySigma's SQL run by SQLite on what the Python package `evtx` reads (as
//! Zircolite does), over the same rules and logs. All costs are of processor time, loading included.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::measure::best_of;
use super::scan::repeated;
use crate::sh;

const ROUNDS: usize = 2;

pub(crate) fn run() -> Result<()> {
    let Some(corpus) = sh::corpus() else {
        bail!("the benchmark reads rules and logs of ../shared/corpus, which is not there");
    };
    let mut build = sh::command("cargo", &["build", "--release", "--locked", "-p", "quarry-cli"]);
    sh::run_command(&mut build)?;
    let quarry = sh::target().join("release").join("quarry").to_string_lossy().into_owned();
    let rules = unpacked(&corpus.join("sigma/rules.tar.xz"))?;
    let logs = unpacked(&corpus.join("sigma/regression.tar.xz"))?;
    let python = python()?;
    let script = sh::root().join("crates/detect/tests/engines/pysigma_sqlite.py");
    let routes = corpus.join("sigma/routes.json").to_string_lossy().into_owned();
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let script = script.to_string_lossy().into_owned();
    let folders: Vec<String> = [logs.clone()]
        .into_iter()
        .chain(["mitre", "evtx-crate"].map(|name| corpus.join(name).to_string_lossy().into_owned()))
        .collect();
    let folders: Vec<&str> = folders.iter().map(String::as_str).collect();

    let detect = ["detect", "--rules", &rules, "-q", "-o", "jsonl", "--messages", "never"];
    let ours = words(&[&[&quarry[..]], &detect[..], &folders].concat());
    let theirs = words(&[&[&python[..], &script, &rules, &routes][..], &folders].concat());
    let costs = best_of(ROUNDS, &[theirs, ours])?;
    println!(
        "\n{} MiB of recorded logs, 2,858 rules: {:.0} times less processor time than pySigma with \
         SQLite (which leaves out 4688, 4657 and 5156); peak memory {:.0} MiB (its: {:.0})",
        folders.iter().map(|folder| size(Path::new(folder))).sum::<u64>() >> 20,
        costs[0].cpu / costs[1].cpu,
        costs[1].peak,
        costs[0].peak
    );

    // A large log, with and without rules: what the rules cost.
    let large = repeated(&corpus.join("evtx-crate/security.evtx"))?.to_string_lossy().into_owned();
    let one = ["--threads", "1"];
    let with_rules = words(&[&[&quarry[..]], &detect[..], &one, &[&large]].concat());
    let count = words(&[&[&quarry[..], "count", "-q"][..], &one, &[&large]].concat());
    let print = words(&[&[&quarry[..], "scan", "-q", "-o", "jsonl"][..], &one, &[&large]].concat());
    let load = words(&[&[&quarry[..]], &detect[..], &one, &["--plan"]].concat());
    let costs = best_of(ROUNDS + 1, &[with_rules, count, print, load])?;
    println!(
        "{} MiB of Security, 1 thread: {:.2} times the processor time of count, {:.2} times that of \
         printing all of it as JSON; of it {:.0} % is loading the rules; peak memory {:.0} MiB",
        size(Path::new(&large)) >> 20,
        costs[0].cpu / costs[1].cpu,
        costs[0].cpu / costs[2].cpu,
        100.0 * costs[3].cpu / costs[0].cpu,
        costs[0].peak
    );
    Ok(())
}

fn size(path: &Path) -> u64 {
    let Ok(about) = path.metadata() else { return 0 };
    if !about.is_dir() {
        return about.len();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| size(&entry.path())).sum()
}

/// The folder that an archive of the corpus unpacks to.
fn unpacked(archive: &Path) -> Result<String> {
    let name = archive.file_name().context("an archive has a name")?;
    let folder = sh::target().join("bench").join("sigma").join(name);
    if !folder.is_dir() {
        std::fs::create_dir_all(&folder)?;
        let (archive, folder) = (archive.to_string_lossy(), folder.to_string_lossy());
        sh::run("tar", &["-xJf", &archive, "-C", &folder])?;
    }
    Ok(folder.to_string_lossy().into_owned())
}

/// A Python with the other engine.
fn python() -> Result<String> {
    let folder = sh::target().join("bench").join("sigma").join("venv");
    let python = folder.join("bin/python").to_string_lossy().into_owned();
    if !folder.is_dir() {
        let requirements = sh::root().join("crates/detect/tests/engines/requirements.txt");
        sh::run("python3", &["-m", "venv", &folder.to_string_lossy()])?;
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        sh::run(&python, &[&install[..], &[&requirements.to_string_lossy()]].concat())?;
    }
    Ok(python)
}
