//! Rules over logs, against pySigma's SQL run by SQLite on what the Python package `evtx` reads, and
//! against Zircolite and Hayabusa where they are named. All costs are of processor time, loading
//! included.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::measure::{best_of, cost, instructions};
use super::scan::{CHUNK, SIZE, repeated, repeated_to};
use super::table::{Row, Table};
use crate::{sh, tools};

const ROUNDS: usize = 2;
/// The logs of the corpus are copied until they are so large, in MiB.
const LARGE: u64 = 500;
/// The variables that name a checkout of Zircolite 3.7.0, and a Python that has what it requires.
const ZIRCOLITE: [&str; 2] = ["ZIRCOLITE", "ZIRCOLITE_PYTHON"];
/// The variable that names a folder with the program of Hayabusa 4.0.0 and, in `rules`, a checkout
/// of its rules.
const HAYABUSA: &str = "HAYABUSA";
/// The last commit before detection, with which a scan without rules is compared.
const BEFORE: &str = "1af14a7";

pub(super) fn run(table: &mut Table) -> Result<()> {
    let Some(corpus) = sh::corpus() else {
        bail!("the benchmark reads rules and logs of ../shared/corpus, which is not there");
    };
    let quarry = super::build()?;
    let rules = unpacked(&corpus.join("sigma/rules.tar.xz"))?;
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let detect = ["detect", "--rules", &rules, "-q", "-o", "jsonl", "--messages", "never"];
    let one = ["--threads", "1"];
    let folder = sh::target().join("bench").join("sigma");
    let logs = unpacked(&corpus.join("sigma/regression.tar.xz"))?;
    let all: Vec<PathBuf> =
        [PathBuf::from(logs), corpus.join("mitre"), corpus.join("evtx-crate")].into();
    let once = copied(&all, &folder.join("once"), 1)?;
    let small = size(Path::new(&once)) >> 20;
    let times = usize::try_from(LARGE / small.max(1))?.max(1);
    let large = copied(&all, &folder.join("large"), times)?;
    let row = |work: String, against, ours, theirs, unit, floor: Option<(f64, f64)>| Row {
        work,
        against,
        ours,
        theirs,
        unit,
        goal: floor,
    };

    // Against what pySigma makes of the rules.
    let script = sh::root().join("crates/detect/tests/engines/pysigma_sqlite.py");
    let script = script.to_string_lossy().into_owned();
    let routes = corpus.join("sigma/routes.json").to_string_lossy().into_owned();
    let python = python()?;
    let ours = words(&[&[&quarry[..]], &detect[..], &one, &[&once]].concat());
    let theirs = words(&[&python, &script, &rules, &routes, &once]);
    let costs = best_of(ROUNDS, &[ours, theirs])?;
    let work = format!("2,858 rules over {small} MiB of logs");
    let against = "pySigma and SQLite, without 4688";
    table.add(row(work, against, costs[0].cpu, costs[1].cpu, "s", Some((0.05, 0.02))));

    let ours = words(&[&[&quarry[..]], &detect[..], &[&large]].concat());
    let ours = best_of(ROUNDS, std::slice::from_ref(&ours))?[0];
    let work = format!("2,858 rules over {} MiB of logs", size(Path::new(&large)) >> 20);
    for (against, theirs, floor) in [
        ("Zircolite 3.7.0", zircolite(&large, &rules, &folder), (0.05, 0.02)),
        ("Hayabusa 4.0.0, its form of the rules", hayabusa(&large, &folder), (0.02, 0.01)),
    ] {
        // Each takes minutes, and runs once.
        if let Some(theirs) = theirs {
            let theirs = cost(&theirs)?;
            println!("{against}: {:.0} MiB of memory", theirs.peak);
            table.add(row(work.clone(), against, ours.cpu, theirs.cpu, "s", Some(floor)));
        }
    }
    table.add(row(work.clone(), "4 s", ours.cpu, 4.0, "s", Some((1.0, 0.6))));
    table.add(row(format!("{work}: memory"), "150 MiB", ours.peak, 150.0, "MiB", Some((1.0, 0.6))));

    // Processes of Sysmon against all rules that are about such: what an event costs beside loading.
    let sysmon = corpus.join("evtx-crate/sysmon.evtx");
    let sysmon = repeated_to(&sysmon, "sysmon.evtx", SIZE / 3 / CHUNK)?;
    let sysmon = sysmon.to_string_lossy().into_owned();
    let created = ["-i", "1", "-l", "Microsoft-Windows-Sysmon/Operational"];
    let with_rules = words(&[&[&quarry[..]], &detect[..], &one, &created, &[&sysmon]].concat());
    let single = corpus.join("mitre/ID4624-Mimikatz-Pass-the-hash.evtx");
    let single = single.to_string_lossy().into_owned();
    let load = words(&[&[&quarry[..]], &detect[..], &one, &[&single]].concat());
    let count = [&["count", &sysmon, "-q", "-o", "jsonl"][..], &created].concat();
    let count = sh::output(&quarry, &count)?;
    let events: f64 = count
        .split_once("\"records\":")
        .and_then(|(_, rest)| rest.split([',', '}']).next()?.trim().parse().ok())
        .context("quarry counted nothing")?;
    let costs = best_of(ROUNDS + 1, &[with_rules, load.clone()])?;
    let micros = (costs[0].cpu - costs[1].cpu) / events * 1e6;
    table.add(row(
        format!("an event of Sysmon 1 ({events} of them)"),
        "20 us",
        micros,
        20.0,
        "us",
        Some((1.0, 0.5)),
    ));

    // A large log, with and without rules: what the rules cost.
    let security = repeated(&corpus.join("evtx-crate/security.evtx"))?;
    let security = security.to_string_lossy().into_owned();
    let with_rules = words(&[&[&quarry[..]], &detect[..], &one, &[&security]].concat());
    let print = ["scan", "-q", "-o", "jsonl"];
    let print = words(&[&[&quarry[..]], &print[..], &one, &[&security]].concat());
    let costs = best_of(ROUNDS + 1, &[with_rules, print, load])?;
    let work = format!("2,858 rules over {} MiB of Security", SIZE >> 20);
    table.add(row(work, "printing it as JSON", costs[0].cpu, costs[1].cpu, "s", None));
    println!("loading the rules is {:.2} s of it", costs[2].cpu);
    unslowed(table, &quarry, &corpus)
}

/// Zircolite over a folder of logs, where it is named.
fn zircolite(logs: &str, rules: &str, folder: &Path) -> Option<Vec<String>> {
    let [checkout, python] = ZIRCOLITE.map(|name| std::env::var(name).ok());
    let Some(checkout) = checkout else {
        println!(
            "not against Zircolite: {} names no checkout of it, and {} no Python with its \
             requirements",
            ZIRCOLITE[0], ZIRCOLITE[1]
        );
        return None;
    };
    let within = |name: &str| format!("{checkout}/{name}");
    let out = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let mut words = vec![python.unwrap_or_else(|| "python3".to_owned()), within("zircolite.py")];
    for (option, value) in [
        ("-e", logs.to_owned()),
        ("-r", rules.to_owned()),
        ("-c", within("config/config.yaml")),
        ("-o", out("zircolite.json")),
        ("-l", out("zircolite.log")),
    ] {
        words.extend([option.to_owned(), value]);
    }
    words.extend(["-p", "sysmon", "windows-logsources"].map(str::to_owned));
    Some(words)
}

/// Hayabusa over a folder of logs, where it is named. It takes no rule as SigmaHQ publishes it, but
/// what its own converter makes of it: one for Sysmon and one for Windows' own events, each with
/// channel and ids. Those that are deprecated, noisy or of a channel that no log begins with are off,
/// as it does by itself.
fn hayabusa(logs: &str, folder: &Path) -> Option<Vec<String>> {
    let Ok(home) = std::env::var(HAYABUSA) else {
        println!("not against Hayabusa: {HAYABUSA} names no folder with it and its rules");
        return None;
    };
    let out = folder.join("hayabusa.jsonl").to_string_lossy().into_owned();
    let mut words = vec![format!("{home}/hayabusa"), "dfir-timeline".to_owned()];
    for (option, value) in [
        ("--directory", logs.to_owned()),
        ("--rules", format!("{home}/rules/sigma")),
        ("--rules-config", format!("{home}/rules/config")),
        ("--output-type", "jsonl".to_owned()),
        ("--output", out),
    ] {
        words.extend([option.to_owned(), value]);
    }
    let plain = ["--clobber", "--no-wizard", "--quiet", "--quiet-errors", "--no-summary"];
    words.extend(plain.map(str::to_owned));
    Some(words)
}

/// A scan without rules, in instructions, against the last commit without any.
fn unslowed(table: &mut Table, quarry: &str, corpus: &Path) -> Result<()> {
    tools::apt(&[("valgrind", "valgrind")])?;
    let checkout = sh::target().join("bench").join("before");
    let shown = checkout.to_string_lossy().into_owned();
    if !checkout.is_dir() {
        sh::run("git", &["worktree", "add", "--detach", &shown, BEFORE])?;
    }
    let manifest = checkout.join("Cargo.toml").to_string_lossy().into_owned();
    let build =
        ["build", "--release", "--locked", "-p", "quarry-cli", "--manifest-path", &manifest];
    let mut build = sh::command("cargo", &build);
    let target = sh::target().join("bench").join("before-target");
    sh::run_command(build.env("CARGO_TARGET_DIR", &target))?;
    let before = target.join("release").join("quarry").to_string_lossy().into_owned();
    let sample = corpus.join("evtx-crate/security.evtx").to_string_lossy().into_owned();
    let scan = |program: &str| {
        let scan = [program, "scan", &sample, "-q", "-o", "jsonl", "--threads", "1"];
        instructions(&scan.map(str::to_owned))
    };
    let (ours, theirs) = (scan(quarry)? as f64 / 1e6, scan(&before)? as f64 / 1e6);
    table.add(Row {
        work: "a scan without rules, instructions".to_owned(),
        against: "before there were any",
        ours,
        theirs,
        unit: "M",
        goal: Some((1.01, 1.0)),
    });
    Ok(())
}

/// Copies folders so many times into one.
fn copied(folders: &[PathBuf], into: &Path, times: usize) -> Result<String> {
    if !into.is_dir() {
        for n in 0..times {
            for folder in folders {
                let name = folder.file_name().context("a folder has a name")?;
                let to = into.join(n.to_string()).join(name);
                std::fs::create_dir_all(&to)?;
                let from = folder.join(".").to_string_lossy().into_owned();
                sh::run("cp", &["-r", &from, &to.to_string_lossy()])?;
            }
        }
    }
    Ok(into.to_string_lossy().into_owned())
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
