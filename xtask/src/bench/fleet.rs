//! Reading live servers: what an event costs, beside impacket, and what a thousand servers cost.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::measure::{Cost, cost};
use super::table::{Row, Table};
use crate::sh;

/// Events of the one server whose reading is measured, and their size in bytes.
const EVENTS: u64 = 40_000;
const SIZE: &str = "2500";
const ROUNDS: usize = 3;

/// Servers, of which some are black holes.
struct Fleet {
    servers: usize,
    black_holes: usize,
    /// The events of each.
    each: u64,
    /// MiB that the client may take, and the share of it that is aimed at.
    memory: (f64, f64),
}

const FLEETS: [Fleet; 2] = [
    Fleet { servers: 1_000, black_holes: 20, each: 1_000, memory: (200.0, 0.75) },
    Fleet { servers: 5_000, black_holes: 100, each: 200, memory: (250.0, 0.6) },
];
const CONNECT_TIMEOUT: f64 = 5.0;

pub(super) fn run(table: &mut Table) -> Result<()> {
    let quarry = PathBuf::from(super::build()?);
    one_server(&quarry, table)?;
    FLEETS.iter().try_for_each(|fleet| many_servers(&quarry, fleet, table))
}

/// Simulated servers in a process of their own.
pub(super) struct Sim {
    child: Child,
    _stdout: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
}

impl Sim {
    /// How many bytes a log that grows holds: of a thousand servers, three logs take 3 GiB.
    const LOG_SIZE: &str = "1000000";

    pub(super) fn start(quarry: &Path, arguments: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut child = std::process::Command::new(quarry)
            .arg("sim")
            .args(arguments)
            .args(["--log-size", Self::LOG_SIZE])
            .arg("--quiet")
            .arg("--inventory")
            .arg(folder.path().join("sim.toml"))
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("quarry sim")?;
        let stdout = child.stdout.take().context("quarry sim has no output")?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        while line.trim() != "ready" {
            line.clear();
            ensure!(stdout.read_line(&mut line)? > 0, "quarry sim ended before it was ready");
        }
        Ok(Sim { child, _stdout: stdout, folder })
    }

    /// The process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn inventory(&self) -> PathBuf {
        self.folder.path().join("sim.toml")
    }

    /// Scans servers, all events to JSON lines.
    fn scan(&self, quarry: &Path, servers: &str, threads: &str) -> Result<Cost> {
        let inventory = self.inventory().to_string_lossy().into_owned();
        let words = [
            &*quarry.to_string_lossy(),
            "scan",
            servers,
            "-q",
            "-o",
            "jsonl",
            "-l",
            "Security",
            "--threads",
            threads,
            "--inventory",
            &inventory,
        ];
        cost(&words.map(str::to_owned))
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The best of some runs.
fn best(mut run: impl FnMut() -> Result<Cost>) -> Result<Cost> {
    let mut best: Option<Cost> = None;
    for _ in 0..ROUNDS {
        let new = run()?;
        if best.is_none_or(|best| new.cpu < best.cpu) {
            best = Some(new);
        }
    }
    best.context("no rounds")
}

fn one_server(quarry: &Path, table: &mut Table) -> Result<()> {
    let events = EVENTS.to_string();
    let sim = Sim::start(quarry, &["--servers", "fred", "--events", &events, "--size", SIZE])?;
    let ours = best(|| sim.scan(quarry, "fred", "2"))?;
    let theirs = impacket(&sim)?;
    let limit = unsealing_alone()?;
    println!("\none server, {EVENTS} events of {SIZE} bytes, sealed");
    println!(
        "{:.0} events a second of the client's processor; peak memory {:.0} MiB",
        EVENTS as f64 / ours.cpu,
        ours.peak
    );
    table.add(Row {
        work: format!("{EVENTS} sealed events of {SIZE} bytes to JSON lines, processor time"),
        against: "impacket, without decoding",
        ours: ours.cpu,
        theirs,
        unit: "s",
        goal: Some((1.0 / 25.0, 1.0 / 40.0)),
    });
    table.add(Row {
        work: "the same".to_owned(),
        against: "one pass of RC4 and HMAC-MD5 over as many bytes",
        ours: ours.cpu,
        theirs: limit,
        unit: "s",
        goal: Some((1.5, 1.2)),
    });
    Ok(())
}

/// The processor time of deciphering and signing the events' bytes and nothing else, with the crates
/// that the client uses.
fn unsealing_alone() -> Result<f64> {
    let build = ["build", "--release", "--locked", "-p", "quarry-rpc", "--example", "unsealing"];
    sh::run_command(&mut sh::command("cargo", &build))?;
    let example = sh::target().join("release/examples/unsealing").to_string_lossy().into_owned();
    let bytes = EVENTS * SIZE.parse::<u64>()?;
    Ok(best(|| cost(&[example.clone(), bytes.to_string()]))?.cpu)
}

/// The processor time that impacket takes for the same records.
fn impacket(sim: &Sim) -> Result<f64> {
    let folder = sh::root().join("xtask/src/bench/impacket");
    let python = quarry_testkit::python("bench-impacket", &folder.join("requirements.txt"));
    let inventory = std::fs::read_to_string(sim.inventory())?;
    let value = |key: &str| {
        let line = inventory.lines().find_map(|line| line.strip_prefix(key));
        let text = line.and_then(|line| line.trim().strip_prefix('='));
        text.map(|text| text.trim().trim_matches(['\'', '"']).to_owned())
            .with_context(|| format!("the inventory has no {key}"))
    };
    let password = std::fs::read_to_string(sim.folder.path().join(value("password-file")?))?;
    let port = value("mapper-port")?;
    let mut least = f64::INFINITY;
    for _ in 0..ROUNDS {
        let script = folder.join("read_log.py").to_string_lossy().into_owned();
        let output = sh::output(
            &python.to_string_lossy(),
            &[&*script, &port, &value("username")?, password.trim(), "Security", "200"],
        )?;
        let numbers: Vec<f64> = output.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        let &[records, cpu] = &*numbers else { bail!("read_log.py printed {output:?}") };
        ensure!(records == EVENTS as f64, "impacket read {records} records");
        least = least.min(cpu);
    }
    Ok(least)
}

fn many_servers(quarry: &Path, fleet: &Fleet, table: &mut Table) -> Result<()> {
    let &Fleet { servers, black_holes, each, memory } = fleet;
    let (all, events) = (servers.to_string(), each.to_string());
    let mut arguments =
        vec!["--servers", &all, "--events", &events, "--latency", "50ms", "--size", SIZE];
    let holes: Vec<String> =
        (servers - black_holes + 1..=servers).map(|n| format!("server{n:04}=black-hole")).collect();
    for hole in &holes {
        arguments.extend(["--fault", hole]);
    }
    let sim = Sim::start(quarry, &arguments)?;
    let living = servers - black_holes;
    let rest = sim.scan(quarry, &format!("server[0001:{living:04}]"), "2")?;
    let whole = sim.scan(quarry, "@all", "2")?;
    let ten = sim.scan(quarry, "server[0001:0010]", "2")?;
    println!("\n{servers} servers of {each} events, 50 ms away, {black_holes} of them black holes");
    table.add(Row {
        work: format!("{servers} servers, {black_holes} of them black holes, wall time"),
        against: "the others alone, or the connect time-out",
        ours: whole.wall,
        theirs: rest.wall.max(CONNECT_TIMEOUT),
        unit: "s",
        goal: Some((1.1, 1.0)),
    });
    table.add(Row {
        work: "the same, peak memory".to_owned(),
        against: "what it may take",
        ours: whole.peak,
        theirs: memory.0,
        unit: "MiB",
        goal: Some((1.0, memory.1)),
    });
    table.add(Row {
        work: format!("processor time a server, of {living}"),
        against: "of 10 servers",
        ours: rest.cpu / living as f64,
        theirs: ten.cpu / 10.0,
        unit: "s",
        goal: None,
    });
    Ok(())
}
