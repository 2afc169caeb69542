//! Scanning a large `.evtx`, against `evtx_dump`, `wc -l`, `rg` and other scans of ours.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::measure::{Cost, best_of, instructions};
use super::table::{Row, Table};
use crate::{sh, tools};

const ROUNDS: usize = 5;
pub(super) const SIZE: usize = 300 << 20;
pub(super) const CHUNK: usize = 65_536;
const HEADER: usize = 4096;
const FLAGS: usize = 120;

/// What events are looked for by, of which few match.
const ID: [&str; 2] = ["--id", "4720"];
const LITERAL: &str = "VSSVC";
const SELECTIVE: [(&str, &[&str]); 4] = [
    ("a time range", &["--since", "2016-07-08T18:12:51Z", "--until", "2016-07-08T18:12:52Z"]),
    ("a level", &["--level", "error"]),
    ("a provider", &["--provider", "Microsoft-Windows-Eventlog"]),
    ("a value", &["--data", "ProcessName=C:\\Windows\\System32\\VSSVC.exe"]),
];

/// Columns as one chooses them, and all that an event of this log has.
const FIVE: [&str; 2] = ["--fields", "time,computer,event_id,provider,data.SubjectUserName"];
const MEMBERS: [&str; 2] = [
    "--fields",
    "v,time,source,host,log,log_record,computer,channel,record_id,provider,provider_guid,event_id,\
     qualifiers,version,level,level_name,task,opcode,keywords,user_sid,process_id,thread_id,\
     activity_id,related_activity_id,data,user_data,message,message_source",
];

pub(super) fn run(table: &mut Table) -> Result<()> {
    tools::apt(&[("valgrind", "valgrind"), ("ripgrep", "rg")])?;
    let dump = tools::cargo_tool("evtx", "0.15.1", "evtx_dump", "fast-alloc")?;
    let dump = dump.to_string_lossy().into_owned();
    let quarry = super::build()?;
    let Some(corpus) = sh::corpus() else {
        bail!("the benchmark repeats chunks of ../shared/corpus, which is not there");
    };
    let sample = corpus.join("evtx-crate/security.evtx");
    let large = repeated(&sample)?;
    let large = large.to_string_lossy().into_owned();
    let words = |program: &str, rest: &[&str]| -> Vec<String> {
        [&[program], rest].concat().into_iter().map(str::to_owned).collect()
    };
    let theirs = |threads| words(&dump, &["-o", "jsonl", "-t", threads, &large]);
    let scan = |threads: &str, format: &str, rest: &[&str]| {
        let scan = ["scan", &large, "-q", "-o", format, "--threads", threads];
        words(&quarry, &[&scan, rest].concat())
    };
    let ours = |rest: &[&str]| scan("1", "jsonl", rest);
    let cpu = |cost: &Cost| cost.cpu;
    let wall = |cost: &Cost| cost.wall;
    let mut compare = |work: &str,
                       against: &'static str,
                       commands: [Vec<String>; 2],
                       of: fn(&Cost) -> f64,
                       goal: Option<(f64, f64)>| {
        let costs = best_of(ROUNDS, &commands)?;
        let (ours, theirs) = (of(&costs[0]), of(&costs[1]));
        table.add(Row { work: work.to_owned(), against, ours, theirs, unit: "s", goal });
        anyhow::Ok(())
    };

    println!("\n{} MiB of chunks of {}", SIZE >> 20, sample.display());
    const DUMP: &str = "all to JSON lines";
    const EVTX_DUMP: &str = "evtx_dump";
    compare(
        "all to JSON lines, 1 thread, processor time",
        EVTX_DUMP,
        [ours(&[]), theirs("1")],
        cpu,
        Some((0.8, 0.6)),
    )?;
    compare(
        "all to JSON lines, 2 threads, wall time",
        EVTX_DUMP,
        [scan("2", "jsonl", &[]), theirs("2")],
        wall,
        Some((0.75, 0.6)),
    )?;
    let columns = Some((0.33, 0.25));
    compare("five columns as JSON lines", DUMP, [ours(&FIVE), ours(&[])], cpu, columns)?;
    compare("five columns as CSV", DUMP, [scan("1", "csv", &FIVE), ours(&[])], cpu, columns)?;
    compare("all members named", DUMP, [ours(&MEMBERS), ours(&[])], cpu, Some((1.0, 0.9)))?;
    let wc = words("wc", &["-l", &large]);
    compare("an event id", "wc -l", [ours(&ID), wc.clone()], cpu, Some((1.2, 1.05)))?;
    let utf16: String = LITERAL.chars().map(|c| format!("{c}\\x00")).collect();
    let rg = words("rg", &["-a", "-c", &format!("(?-u){utf16}"), &large]);
    compare("a literal", "rg -a", [ours(&["--grep", LITERAL]), rg], cpu, Some((3.0, 1.5)))?;
    let sorted = ours(&["--sort", "time"]);
    compare("all in order of time, wall time", DUMP, [sorted, ours(&[])], wall, Some((1.6, 1.3)))?;
    let count = ["count", &large, "-q", "--threads", "1", "--by", "event_id,computer"];
    let count = words(&quarry, &count);
    compare("count by id and computer", "an event id", [count, ours(&ID)], cpu, Some((1.5, 1.1)))?;

    let all = records(&quarry, &large, &[])?;
    for (name, filter) in SELECTIVE {
        let matched = records(&quarry, &large, filter)?;
        let work = format!("{name} (1 record in {})", all / matched.max(1));
        compare(&work, "wc -l", [ours(filter), wc.clone()], cpu, None)?;
    }

    println!("\ninstructions a record, over {}", sample.display());
    let sample = sample.to_string_lossy().into_owned();
    let by_dump = words(&dump, &["-o", "jsonl", "-t", "1", &sample]);
    let records = sh::output(&by_dump[0], &by_dump[1..])?.lines().count() as f64;
    let count = |words: &[String]| anyhow::Ok(instructions(words)? as f64 / records);
    let scan = ["scan", &sample, "-q", "-o", "jsonl", "--threads", "1"];
    let theirs = count(&by_dump)?;
    let rows: [(&str, &[&str]); 4] = [
        (DUMP, &[]),
        ("five columns", &FIVE),
        ("all members named", &MEMBERS),
        ("an event id", &ID),
    ];
    for (work, rest) in rows {
        let ours = count(&words(&quarry, &[&scan, rest].concat()))?;
        let work = format!("{work}, instructions a record");
        table.add(Row { work, against: EVTX_DUMP, ours, theirs, unit: "", goal: None });
    }
    Ok(())
}

/// How many records of a file match a filter.
pub(super) fn records(quarry: &str, file: &str, filter: &[&str]) -> Result<u64> {
    let words = [&["count", file, "-q", "-o", "csv"], filter].concat();
    let table = sh::output(quarry, &words)?;
    // The last cells are the number and two times; a file's name may have commas in it.
    let number = |line: &str| line.rsplit(',').nth(2)?.parse::<u64>().ok();
    let counts: Option<Vec<u64>> = table.lines().skip(1).map(number).collect();
    let counts = counts.filter(|counts| !counts.is_empty());
    Ok(counts.with_context(|| format!("no count in {table:?}"))?.iter().sum())
}

/// A large file of a sample's chunks over and over, made once.
pub(super) fn repeated(sample: &Path) -> Result<PathBuf> {
    repeated_to(sample, "repeated.evtx", SIZE / CHUNK)
}

/// A file of so many of a sample's chunks over and over, made once.
pub(super) fn repeated_to(sample: &Path, name: &str, chunks: usize) -> Result<PathBuf> {
    let path = sh::target().join("bench").join(name);
    if path.metadata().is_ok_and(|metadata| metadata.len() as usize == HEADER + chunks * CHUNK) {
        return Ok(path);
    }
    let bytes = fs::read(sample).with_context(|| format!("can't read {}", sample.display()))?;
    let (header, rest) = bytes.split_at_checked(HEADER).context("the sample is too short")?;
    let all: Vec<&[u8]> =
        rest.chunks_exact(CHUNK).filter(|chunk| chunk.starts_with(b"ElfChnk\0")).collect();
    let mut large = header.to_vec();
    // As of a log that is open: then the file's length counts, and not the header's number of chunks. The
    // header's checksum leaves this out.
    large[FLAGS] |= 1;
    for chunk in all.iter().cycle().take(chunks) {
        large.extend_from_slice(chunk);
    }
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    fs::write(&path, large)?;
    Ok(path)
}
