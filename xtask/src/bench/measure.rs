//! Measuring other programs.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use anyhow::{Context, Result, bail};

use crate::sh;

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Seconds from start to end.
    pub(crate) wall: f64,
    /// Seconds of processors.
    pub(crate) cpu: f64,
    /// The most memory resident at a time, in MiB.
    pub(crate) peak: f64,
}

impl Cost {
    /// The least of two runs, but the most memory.
    pub(crate) fn or_better(self, new: Cost) -> Cost {
        Cost {
            wall: self.wall.min(new.wall),
            cpu: self.cpu.min(new.cpu),
            peak: self.peak.max(new.peak),
        }
    }
}

/// The data folder of what is measured.
fn data() -> PathBuf {
    sh::target().join("bench").join("no-data")
}

/// Empties the data folder: message text that servers have sent is kept there, and makes more work of files.
pub(super) fn forget() -> Result<()> {
    match fs::remove_dir_all(data()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// A command that finds no message text in the user's data folder: what others have left there makes
/// more work.
fn apart<A: AsRef<OsStr>>(program: &str, arguments: &[A]) -> Command {
    let mut command = sh::command(program, arguments);
    command.env("XDG_DATA_HOME", data());
    command
}

/// Runs a command and says what it took; its output goes to a file, so that nothing on the other
/// end of a pipe is measured too.
pub(crate) fn cost(words: &[String]) -> Result<Cost> {
    // Python's standard library reports what a child used; the Rust one has no safe way. Where `python3`
    // is a script that looks for one, this process has had children before.
    const SCRIPT: &str = "
import resource, subprocess, sys, time
before = resource.getrusage(resource.RUSAGE_CHILDREN)
start = time.monotonic()
status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
wall = time.monotonic() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
print(status, wall, cpu, used.ru_maxrss)
";
    let mut arguments = vec!["-c".to_owned(), SCRIPT.to_owned()];
    arguments.extend_from_slice(words);
    let output = apart("python3", &arguments).stderr(Stdio::inherit()).output()?;
    let output = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = output.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    let &[status, wall, cpu, peak] = &*numbers else { bail!("python3 printed {output:?}") };
    // 1 is "no events matched" and 3 "some sources failed", which a benchmark may want.
    if ![0.0, 1.0, 3.0].contains(&status) {
        bail!("{} ended with {status}", words.join(" "));
    }
    Ok(Cost { wall, cpu, peak: peak / 1024.0 })
}

/// The best of some runs of each command, run in turns so that all meet the same noise.
pub(crate) fn best_of(rounds: usize, commands: &[Vec<String>]) -> Result<Vec<Cost>> {
    let mut best: Vec<Option<Cost>> = vec![None; commands.len()];
    for _ in 0..rounds {
        for (best, words) in best.iter_mut().zip(commands) {
            let new = cost(words)?;
            *best = Some(best.map_or(new, |old| old.or_better(new)));
        }
    }
    best.into_iter().map(|cost| cost.context("no rounds")).collect()
}

/// Instructions that a command takes, as valgrind's callgrind counts them.
pub(crate) fn instructions(words: &[String]) -> Result<u64> {
    instructions_with(&[], words)
}

/// The same, with some variables of the environment, as `NAME=VALUE`.
pub(crate) fn instructions_with(variables: &[&str], words: &[String]) -> Result<u64> {
    let out = sh::target().join("bench").join("callgrind.out");
    let mut command = apart("valgrind", &["--tool=callgrind"]);
    command.envs(variables.iter().filter_map(|variable| variable.split_once('=')));
    command.arg(format!("--callgrind-out-file={}", out.display()));
    command.args(words).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = command.output().context("can't run valgrind")?;
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines()
        .filter_map(|line| line.split_once("refs:").map(|(_, count)| count))
        .find_map(|count| count.trim().replace(',', "").parse().ok())
        .with_context(|| format!("valgrind printed no count:\n{text}"))
}

/// Seconds of processors that a process which runs has used.
pub(crate) fn processor_time(process: u32) -> Result<f64> {
    ticks(format!("/proc/{process}/stat").as_ref())
}

/// The same of each of its threads.
pub(crate) fn processor_time_of_threads(process: u32) -> Result<Vec<f64>> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task"))?;
    threads.map(|thread| ticks(&thread?.path().join("stat"))).collect()
}

/// What a `stat` file of `/proc` says of the processors' time, in seconds.
fn ticks(stat: &Path) -> Result<f64> {
    let text = std::fs::read_to_string(stat)?;
    // Behind the name, which may hold anything, these are the 12th and 13th, in hundredths of a second.
    let (_, rest) = text.rsplit_once(')').context("/proc has another form")?;
    let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / 100.0)
}

/// MiB that a process and all that it has started hold, each with its share of what it has with others.
pub(crate) fn proportional(process: u32) -> Result<f64> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // One that has ended meanwhile holds nothing.
        let Ok(text) = std::fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
        let parent = text
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        children.entry(parent.context("/proc has another form")?).or_default().push(id);
    }
    let (mut all, mut sum) = (vec![process], 0.0);
    while let Some(id) = all.pop() {
        all.extend(children.get(&id).into_iter().flatten());
        let text = std::fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        sum += number.map_or(Ok(0.0), str::parse::<f64>)? / 1024.0;
    }
    Ok(sum)
}
