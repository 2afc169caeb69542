//! Scanning a large `.evtx`, against `evtx_dump` and `wc -l`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::measure::{best_of, instructions};
use crate::{sh, tools};

const ROUNDS: usize = 5;
const SIZE: usize = 300 << 20;
const CHUNK: usize = 65_536;
const HEADER: usize = 4096;
const VALUE: [&str; 2] = ["--data", "ProcessName=C:\\Windows\\System32\\VSSVC.exe"];

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
    let large = large.to_string_lossy().into_owned();
    let words = |program: &Path, rest: &[&str]| {
        let mut words = vec![program.to_string_lossy().into_owned()];
        words.extend(rest.iter().map(|&word| word.to_owned()));
        words
    };
    let theirs = |threads| words(&dump, &["-o", "jsonl", "-t", threads, &large]);
    let ours = |threads, rest: &[&str]| {
        let scan = ["scan", &large, "-q", "-o", "jsonl", "--threads", threads];
        words(&quarry, &[&scan, rest].concat())
    };

    println!("\n{} MiB of chunks of {}", SIZE >> 20, sample.display());
    for threads in ["1", "2"] {
        let costs = best_of(ROUNDS, &[theirs(threads), ours(threads, &[])])?;
        println!(
            "all events to JSON lines, {threads} thread(s): {:.2} times as fast as evtx_dump; peak memory {:.0} MiB (its: {:.0})",
            costs[0].wall / costs[1].wall,
            costs[1].peak,
            costs[0].peak
        );
    }

    let wc = vec!["wc".to_owned(), "-l".to_owned(), large.clone()];
    let count = |filter: &[&str]| records(&quarry, &large, filter);
    let all = count(&[])?;
    let selective: [(&str, &[&str]); 6] = [
        ("an event id", &["--id", "4720"]),
        ("a time range", &["--since", "2016-07-08T18:12:51Z", "--until", "2016-07-08T18:12:52Z"]),
        ("a level", &["--level", "error"]),
        ("a provider", &["--provider", "Microsoft-Windows-Eventlog"]),
        ("a value", &VALUE),
        ("a regular expression", &["--grep", "VSSVC"]),
    ];
    for (name, filter) in selective {
        let costs = best_of(ROUNDS, &[theirs("1"), ours("1", filter), wc.clone()])?;
        let matched = count(filter)?;
        println!(
            "{name} (1 record in {}), 1 thread: {:.1} times as fast as evtx_dump's dump; {:.1} times the time of wc -l; peak memory {:.0} MiB",
            all / matched.max(1),
            costs[0].wall / costs[1].wall,
            costs[1].wall / costs[2].wall,
            costs[1].peak
        );
    }

    println!("\ninstructions a record, over {}", sample.display());
    let sample = sample.to_string_lossy().into_owned();
    let records: u64 = {
        let lines = sh::output(&dump.to_string_lossy(), &["-o", "jsonl", "-t", "1", &sample])?;
        lines.lines().count() as u64
    };
    let scan = ["scan", &sample, "-q", "-o", "jsonl", "--threads", "1"];
    let counts = [
        ("quarry, all to JSON lines", words(&quarry, &scan)),
        ("quarry, by id", words(&quarry, &[&scan[..], &["--id", "4720"]].concat())),
        ("quarry, by a value", words(&quarry, &[&scan[..], &VALUE].concat())),
        ("evtx_dump, all to JSON lines", words(&dump, &["-o", "jsonl", "-t", "1", &sample])),
    ];
    for (name, words) in counts {
        println!("{name}: {}", instructions(&words)? / records);
    }
    Ok(())
}

/// How many records of a file match a filter.
fn records(quarry: &Path, file: &str, filter: &[&str]) -> Result<u64> {
    let words = [&["count", file, "-q", "-o", "csv"], filter].concat();
    let table = sh::output(&quarry.to_string_lossy(), &words)?;
    // The last cells are the number and two times; the file's name may have commas in it.
    let number = table.lines().nth(1).and_then(|line| line.rsplit(',').nth(2));
    number.and_then(|number| number.parse().ok()).with_context(|| format!("no count in {table:?}"))
}

/// A large file of a sample's chunks over and over, made once.
pub(super) fn repeated(sample: &Path) -> Result<PathBuf> {
    let path = sh::target().join("bench").join("repeated.evtx");
    if path.metadata().is_ok_and(|metadata| metadata.len() as usize > SIZE - CHUNK) {
        return Ok(path);
    }
    let bytes = fs::read(sample).with_context(|| format!("can't read {}", sample.display()))?;
    let (header, chunks) = bytes.split_at_checked(HEADER).context("the sample is too short")?;
    let chunks: Vec<&[u8]> =
        chunks.chunks_exact(CHUNK).filter(|chunk| chunk.starts_with(b"ElfChnk\0")).collect();
    let mut large = header.to_vec();
    for chunk in chunks.iter().cycle().take(SIZE / CHUNK) {
        large.extend_from_slice(chunk);
    }
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    fs::write(&path, large)?;
    Ok(path)
}
