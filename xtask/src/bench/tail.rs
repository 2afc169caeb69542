//! Following live servers: what five hundred that have nothing to say cost, and how soon a new
//! event shows.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};

use super::fleet::Sim;
use super::measure::{processor_time, processor_time_of_threads};
use super::table::{Row, Table};

/// Servers with a backlog, and the events that each has.
const BEHIND: usize = 8;
const BACKLOG: usize = 10_000;

/// What is printed of events where only their times matter.
const TIME: [&str; 2] = ["--fields", "time"];

/// Servers without anything new.
const IDLE: usize = 500;
/// How long these are watched, after a while for them to get there.
const WATCHED: Duration = Duration::from_secs(60);
const SETTLING: Duration = Duration::from_secs(10);

/// Servers that get an event in each of three logs, of which one is followed, each second.
const LIVELY: usize = 50;
const SECONDS: usize = 20;

/// Servers that each get so many events a second, how big these are, and how long they are followed.
const BUSY: usize = 1_000;
const RATE: usize = 20;
const BUSY_SECONDS: u64 = 30;

pub(super) fn run(table: &mut Table) -> Result<()> {
    let quarry = PathBuf::from(super::build()?);
    backlog(&quarry, table)?;
    idle(&quarry, table)?;
    lively(&quarry, table)?;
    busy(&quarry, table)
}

/// A `quarry tail`, and the lines that it prints with the times when they came.
struct Tail {
    child: Child,
    lines: Receiver<(SystemTime, String)>,
}

impl Tail {
    fn start(quarry: &Path, sim: &Sim, last: &str, fields: &[&str]) -> Result<Self> {
        let mut child = Command::new(quarry)
            .args(["tail", "@all", "-o", "jsonl", "-n", last])
            .args(fields)
            .arg("--inventory")
            .arg(sim.inventory())
            .stdout(Stdio::piped())
            .spawn()
            .context("quarry tail")?;
        let stdout = BufReader::new(child.stdout.take().context("quarry tail has no output")?);
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send((SystemTime::now(), line)).is_err() {
                    break;
                }
            }
        });
        Ok(Tail { child, lines })
    }

    fn next(&self) -> Result<(SystemTime, String)> {
        self.lines.recv_timeout(Duration::from_secs(60)).context("no event for a minute")
    }

    /// Seconds of processors so far.
    fn cpu(&self) -> Result<f64> {
        processor_time(self.child.id())
    }

    /// MiB resident, now and at the most.
    fn memory(&self) -> Result<(f64, f64)> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let value = |key: &str| -> Result<f64> {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            let number = line.and_then(|line| line.split_whitespace().next());
            Ok(number.with_context(|| format!("no {key}"))?.parse::<f64>()? / 1024.0)
        };
        Ok((value("VmRSS:")?, value("VmHWM:")?))
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Servers whose last records are printed first: they are unsealed and decoded on all cores. The
/// busiest thread's share of the processor time says so, however busy the machine is.
fn backlog(quarry: &Path, table: &mut Table) -> Result<()> {
    let (servers, each) = (BEHIND.to_string(), BACKLOG.to_string());
    let sim = Sim::start(quarry, &["--servers", &servers, "--events", &each, "--size", "2500"])?;
    let tail = Tail::start(quarry, &sim, &each, &[])?;
    for _ in 0..BEHIND * BACKLOG {
        tail.next()?;
    }
    let times = processor_time_of_threads(tail.child.id())?;
    let busiest = times.iter().copied().fold(0.0, f64::max);
    table.add(Row {
        work: format!("tail of {BEHIND} servers, the last {BACKLOG} events: the busiest thread"),
        against: "all its threads",
        ours: busiest,
        theirs: times.iter().sum::<f64>(),
        unit: "s",
        goal: Some((0.6, 0.5)),
    });
    Ok(())
}

fn idle(quarry: &Path, table: &mut Table) -> Result<()> {
    let servers = IDLE.to_string();
    let sim = Sim::start(quarry, &["--servers", &servers, "--events", "100"])?;
    let tail = Tail::start(quarry, &sim, "1", &TIME)?;
    for _ in 0..IDLE {
        tail.next()?;
    }
    std::thread::sleep(SETTLING);
    let (begun, before) = (Instant::now(), tail.cpu()?);
    std::thread::sleep(WATCHED);
    let share = (tail.cpu()? - before) / begun.elapsed().as_secs_f64();
    let (now, most) = tail.memory()?;
    println!("\n{IDLE} idle servers");
    println!("memory: {now:.0} MiB, {most:.0} at the most");
    table.add(Row {
        work: format!("tail of {IDLE} idle servers, processor time"),
        against: "one core",
        ours: share,
        theirs: 1.0,
        unit: "s a second",
        goal: Some((0.01, 0.005)),
    });
    table.add(Row {
        work: "the same, peak memory".to_owned(),
        against: "what it may take",
        ours: most,
        theirs: 150.0,
        unit: "MiB",
        goal: Some((1.0, 0.75)),
    });
    Ok(())
}

fn lively(quarry: &Path, table: &mut Table) -> Result<()> {
    let servers = LIVELY.to_string();
    let sim = Sim::start(quarry, &["--servers", &servers, "--events", "10", "--grow", "1s"])?;
    let tail = Tail::start(quarry, &sim, "0", &TIME)?;
    // What comes while connections are made had to wait for them.
    for _ in 0..LIVELY * 3 {
        tail.next()?;
    }
    let mut delays = Vec::new();
    while delays.len() < LIVELY * SECONDS {
        let (came, line) = tail.next()?;
        let event: serde_json::Value = serde_json::from_str(&line)?;
        delays.push(delay(came, event["time"].as_str().context("an event without time")?)?);
    }
    delays.sort_by(f64::total_cmp);
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize] * 1000.0;
    println!("\n{} events of {LIVELY} servers, from written to printed", delays.len());
    println!(
        "median {:.1} ms, 99 % within {:.1} ms, all within {:.1} ms",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    table.add(Row {
        work: "from written to printed, the longest".to_owned(),
        against: "what it may take",
        ours: at(1.0),
        theirs: 200.0,
        unit: "ms",
        goal: Some((1.0, 0.5)),
    });
    Ok(())
}

/// What the client takes for each event of many servers that get some all the time: of a core, where as many
/// events come a second as they should. A busy machine may not bring as many, so it is said how many came.
fn busy(quarry: &Path, table: &mut Table) -> Result<()> {
    let (servers, grow) = (BUSY.to_string(), format!("{}ms", 1000 / RATE));
    let arguments = ["--servers", &servers, "--events", "10", "--size", "2500", "--grow", &grow];
    let sim = Sim::start(quarry, &arguments)?;
    let tail = Tail::start(quarry, &sim, "0", &["-l", "Security"])?;
    // What comes while connections are made had to wait for them.
    for _ in 0..BUSY * RATE {
        tail.next()?;
    }
    let (begun, before, mut events) = (Instant::now(), tail.cpu()?, 0);
    while begun.elapsed() < Duration::from_secs(BUSY_SECONDS) {
        tail.next()?;
        events += 1;
    }
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), tail.cpu()? - before);
    let came = f64::from(events) / seconds;
    println!("\n{BUSY} servers, {came:.0} events a second came");
    println!("{:.0} events a second of the client's processor", f64::from(events) / cpu);
    table.add(Row {
        work: format!("tail of {BUSY} servers with {RATE} events a second each, processor time"),
        against: "one core",
        ours: cpu / f64::from(events) * (BUSY * RATE) as f64,
        theirs: 1.0,
        unit: "s a second",
        goal: Some((0.5, 0.3)),
    });
    Ok(())
}

/// Seconds since an event was written, by its own time.
pub(super) fn delay(came: SystemTime, time: &str) -> Result<f64> {
    // All are of about now: the time of day is enough.
    let (_, time) = time.trim_end_matches('Z').split_once('T').context("no time")?;
    let mut seconds = 0.0;
    for part in time.split(':') {
        seconds = seconds * 60.0 + part.parse::<f64>()?;
    }
    let came = came.duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64() % 86_400.0;
    let delay = (came - seconds).rem_euclid(86_400.0);
    // The clock's steps may make it a little less than nothing.
    let delay = if delay > 86_390.0 { 0.0 } else { delay };
    ensure!(delay < 3600.0, "an event of {time} came now");
    Ok(delay)
}
