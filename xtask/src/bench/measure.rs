//! Measuring other programs.

use std::process::Stdio;

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

/// Runs a command and says what it took; its output goes to a file, so that nothing on the other
/// end of a pipe is measured too.
pub(crate) fn cost(words: &[String]) -> Result<Cost> {
    // Python's standard library reports what a child used; the Rust one has no safe way.
    const SCRIPT: &str = "
import resource, subprocess, sys, time
start = time.monotonic()
status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
wall = time.monotonic() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(status, wall, used.ru_utime + used.ru_stime, used.ru_maxrss)
";
    let mut arguments = vec!["-c".to_owned(), SCRIPT.to_owned()];
    arguments.extend_from_slice(words);
    let output = sh::output("python3", &arguments)?;
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
            *best = Some(match *best {
                Some(old) => Cost {
                    wall: old.wall.min(new.wall),
                    cpu: old.cpu.min(new.cpu),
                    peak: old.peak.max(new.peak),
                },
                None => new,
            });
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
    let mut command = sh::command("valgrind", &["--tool=callgrind"]);
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
