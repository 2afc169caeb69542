//! The page: what a visit weighs, how soon servers and files are on it, and what it costs to keep
//! looking.
//!
//! `--minutes N` says how long a tab tails, `--build` also builds `quarry` from nothing, `--part NAME`
//! measures only that: visit, servers, folder, tail, fleet, viewers or tab. What is
//! simulated runs on the same processors, so beside a time there is the processor time of
//! `quarry serve` itself. Node and Debian's Chromium look at the page (`web/client.mjs`).

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context, Result, bail, ensure};
use quarry_testkit::accounts;
use serde_json::{Value, json};

use super::fleet::Sim;
use super::measure::{Cost, cost, processor_time, proportional};
use super::scan::{CHUNK, records, repeated_to};
use super::table::{Row, Table};
use crate::{browser, sh};

const ROUNDS: usize = 3;
/// Events that are shown on a first visit, of a log of this many bytes.
const ROWS: u64 = 200;
const LOG: usize = 4 << 20;

/// Servers that a page asks, of which some are black holes, and how far away all are.
const ASKED: usize = 240;
const DEAD: [&str; 2] = ["server239", "server240"];
const LATENCY: &str = "5ms";

/// Servers whose logs are in the folder, three each, and the events of a log.
const WRITERS: usize = 8;
const EACH: u64 = 20_834;
/// Makes records of a kilobyte in a log file.
const SIZE: &str = "2100";
/// What one event in a hundred is.
const SELECTIVE: [&str; 2] = ["--id", "41"];

/// Servers of which each of three logs has an event every ten milliseconds: 20,100 a second.
const LIVELY: &str = "67";
const GROWTH: &str = "10ms";
/// How long a tail comes to rest, and is then watched, in seconds.
const SETTLING: u64 = 10;
const WATCHED: u64 = 20;

/// Those of which a tab gets all that it shows: 360 events a second.
const OF_TAB: [&str; 4] = ["--servers", "6", "--grow", "50ms"];
/// The minute with which later ones are compared.
const EARLY: usize = 5;

/// People who look at once: tails, and readers who look at a page each so many seconds.
const TAILS: u32 = 100;
const READERS: u32 = 100;
const PAUSE: u32 = 10;
const HOLDING: Duration = Duration::from_secs(40);

/// Servers of a large fleet.
const FLEET: &str = "5000";

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'w> {
    minutes: usize,
    is_built: bool,
    /// The one part that is measured; without, all are.
    part: Option<&'w str>,
}

const PARTS: [&str; 7] = ["visit", "servers", "folder", "tail", "fleet", "viewers", "tab"];

impl Default for Wish<'_> {
    fn default() -> Self {
        Wish { minutes: 10, is_built: false, part: None }
    }
}

impl<'w> Wish<'w> {
    /// Takes its options out of words.
    pub(crate) fn parse(words: &[&'w str]) -> Result<(Vec<&'w str>, Self)> {
        let (mut rest, mut wish) = (Vec::new(), Wish::default());
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            match word {
                "--build" => wish.is_built = true,
                "--part" => {
                    let part = words.next().filter(|part| PARTS.contains(part));
                    wish.part = Some(*part.with_context(|| format!("--part: {PARTS:?}"))?);
                }
                "--minutes" => {
                    let minutes = words.next().context("--minutes needs a number")?;
                    wish.minutes =
                        minutes.parse().with_context(|| format!("--minutes {minutes}"))?;
                }
                word => rest.push(word),
            }
        }
        ensure!(wish.minutes > EARLY, "--minutes: more than {EARLY}");
        Ok((rest, wish))
    }
}

pub(super) fn run(table: &mut Table, wish: Wish<'_>) -> Result<()> {
    if wish.is_built {
        built(table)?;
    }
    let quarry = PathBuf::from(super::build()?);
    let browser = Browser(browser::environment()?);
    let bench = Bench { quarry: &quarry, browser: &browser };
    println!("\n{} is the load on this machine as it begins", load()?);
    for part in PARTS.into_iter().filter(|part| wish.part.is_none_or(|wanted| wanted == *part)) {
        match part {
            "visit" => bench.first_visit(table)?,
            "servers" => bench.servers(table)?,
            "folder" => bench.folder(table)?,
            "tail" => bench.tail(table)?,
            "fleet" => bench.fleet(table)?,
            "viewers" => viewers(table)?,
            _ => bench.tab(table, wish.minutes)?,
        }
    }
    Ok(())
}

fn load() -> Result<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

/// A row of which so much is allowed, and half is aimed at.
fn within(work: impl Into<String>, ours: f64, most: f64, unit: &'static str) -> Row {
    let work = work.into();
    Row { work, against: "what it may take", ours, theirs: most, unit, goal: Some((1.0, 0.5)) }
}

/// Variables by which the client finds its modules and the browser.
struct Browser(Vec<(&'static str, OsString)>);

/// `quarry serve`, as a process.
struct Page {
    child: Child,
    _stdout: BufReader<ChildStdout>,
    /// The address that it prints: good for one sign-in.
    address: String,
}

impl Page {
    fn start(quarry: &Path, arguments: &[&str]) -> Result<Self> {
        let mut child = Command::new(quarry)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("quarry serve")?;
        let stdout = child.stdout.take().context("quarry serve has no output")?;
        let mut stdout = BufReader::new(stdout);
        let mut address = String::new();
        ensure!(stdout.read_line(&mut address)? > 0, "quarry serve ended before it served");
        Ok(Page { child, _stdout: stdout, address: address.trim().to_owned() })
    }

    fn cpu(&self) -> Result<f64> {
        processor_time(self.child.id())
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Asked to end, it ends what it has started too.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        for _ in 0..100 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program that looks at a page, while it does.
struct Client {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Client {
    fn start(browser: &Browser, command: &str, given: &Value) -> Result<Self> {
        let script = sh::root().join("xtask/src/bench/web/client.mjs");
        let mut child = Command::new("node")
            .arg(script)
            .args([command, &given.to_string()])
            .envs(browser.0.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("node")?;
        let stdin = child.stdin.take().context("no input")?;
        let stdout = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Client { child, stdin, stdout })
    }

    /// The next line that it prints.
    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.stdout.read_line(&mut line)? > 0, "the client ended early");
        Ok(line.trim().to_owned())
    }

    fn wait_for(&mut self, word: &str) -> Result<()> {
        let line = self.line()?;
        ensure!(line == word, "the client says {line}, rather than {word}");
        Ok(())
    }

    fn go_on(&mut self) -> Result<()> {
        writeln!(self.stdin)?;
        Ok(self.stdin.flush()?)
    }

    /// Its last line, after those of its progress.
    fn end(mut self) -> Result<Value> {
        let mut last = String::new();
        let mut line = String::new();
        while self.stdout.read_line(&mut line)? > 0 {
            last = std::mem::take(&mut line);
        }
        ensure!(self.child.wait()?.success(), "the client failed");
        serde_json::from_str(&last).with_context(|| format!("the client printed {last:?}"))
    }
}

/// A number that the client gives by its name.
fn number(value: &Value, name: &str) -> Result<f64> {
    value[name].as_f64().with_context(|| format!("no {name} in {value}"))
}

struct Bench<'b> {
    quarry: &'b Path,
    browser: &'b Browser,
}

impl Bench<'_> {
    fn client(&self, command: &str, given: &Value) -> Result<Value> {
        Client::start(self.browser, command, given)?.end()
    }

    fn first_visit(&self, table: &mut Table) -> Result<()> {
        let corpus = sh::corpus().context("it repeats chunks of ../shared/corpus")?;
        let sample = corpus.join("evtx-crate/security.evtx");
        let log = repeated_to(&sample, "visit.evtx", LOG / CHUNK)?;
        let sim = Sim::start(self.quarry, &["--servers", "12"])?;
        let inventory = sim.inventory();
        let of_servers = ["@all", "--inventory", text(&inventory)?];
        let sources: [(&str, &[&str]); 2] =
            [("of a log", &[text(&log)?]), ("of 12 servers", &of_servers)];
        for (name, arguments) in sources {
            let page = Page::start(self.quarry, arguments)?;
            let given = json!({ "address": page.address, "path": "/events" });
            let found = self.client("first_visit", &given)?;
            ensure!(found["rows"] == ROWS, "{name}: {found}");
            let work = format!("a first visit to {ROWS} events {name}, all that comes");
            table.add(within(work, number(&found, "bytes")? / 1000.0, 60.0, "KB"));
            let requests = number(&found, "requests")?;
            table.add(Row {
                goal: Some((1.0, 1.0)),
                ..within("the same, requests", requests, 5.0, "")
            });
        }
        Ok(())
    }

    fn servers(&self, table: &mut Table) -> Result<()> {
        let servers = ASKED.to_string();
        let mut arguments = vec!["--servers", &servers, "--latency", LATENCY];
        let faults = DEAD.map(|name| format!("{name}=black-hole"));
        faults.iter().for_each(|fault| arguments.extend(["--fault", fault]));
        let sim = Sim::start(self.quarry, &arguments)?;
        let inventory = sim.inventory();
        let (mut best, mut ours, mut theirs) = ([f64::INFINITY; 3], f64::INFINITY, f64::INFINITY);
        for _ in 0..ROUNDS {
            let page = Page::start(self.quarry, &["@all", "--inventory", text(&inventory)?])?;
            let before = processor_time(sim.id())?;
            let found = self.client(
                "live",
                &json!({
                    "address": page.address, "path": "/events",
                    "living": ASKED - DEAD.len(), "dead": DEAD,
                }),
            )?;
            for (best, name) in best.iter_mut().zip(["first", "living", "named"]) {
                *best = best.min(number(&found, name)?);
            }
            ours = ours.min(page.cpu()?);
            theirs = theirs.min(processor_time(sim.id())? - before);
        }
        println!("\n{ASKED} servers, {LATENCY} away, {} of them black holes", DEAD.len());
        let [first, living, named] = best;
        let work = format!("a page of {ASKED} servers, {} of them dead: its first row", DEAD.len());
        table.add(within(work, first, 0.5, "s"));
        table.add(within("the same: all that live", living, 3.0, "s"));
        table.add(within("the same: the dead named", named, 5.0, "s"));
        table.add(Row {
            work: "the same: processor time of the page".to_owned(),
            against: "of the simulated servers",
            ours,
            theirs,
            unit: "s",
            goal: None,
        });
        Ok(())
    }

    fn folder(&self, table: &mut Table) -> Result<()> {
        let folder = self.logs()?;
        let folder = text(&folder)?;
        let quarry = text(self.quarry)?;
        let scan = [&[quarry, "scan", folder, "-q", "-o", "jsonl"][..], &SELECTIVE].concat();
        let scan: Vec<String> = scan.into_iter().map(str::to_owned).collect();
        let all = records(quarry, folder, &[])?;
        let mut best = [f64::INFINITY; 3];
        let mut theirs: Option<Cost> = None;
        for _ in 0..ROUNDS {
            let new = cost(&scan)?;
            theirs = Some(theirs.map_or(new, |old| old.or_better(new)));
            let page = Page::start(self.quarry, &[folder])?;
            let before = page.cpu()?;
            let found =
                self.client("read", &json!({ "address": page.address, "path": "/events" }))?;
            let found = &found[0];
            let summary = found["summary"].as_str().unwrap_or_default();
            let is_exact = summary.replace(',', "").contains(&format!("{all} events exact"));
            ensure!(is_exact, "{all} events are in the folder; the page says {summary:?}");
            for (best, new) in best.iter_mut().zip([
                number(found, "first")?,
                number(found, "end")?,
                page.cpu()? - before,
            ]) {
                *best = best.min(new);
            }
        }
        let theirs = theirs.context("no rounds")?;
        println!("\na folder of {all} records");
        let [first, end, cpu] = best;
        table.add(within(format!("a folder of {all} records: its first rows"), first, 0.3, "s"));
        for (work, ours, theirs) in
            [("wall time", end, theirs.wall), ("processor time", cpu, theirs.cpu)]
        {
            table.add(Row {
                work: format!("the same: exact facets and histogram, {work}"),
                against: "a selective scan",
                ours,
                theirs,
                unit: "s",
                goal: Some((3.0, 1.5)),
            });
        }
        Ok(())
    }

    /// A folder of logs of simulated servers, made once.
    fn logs(&self) -> Result<PathBuf> {
        let bench = sh::target().join("bench");
        let folder = bench.join("logs");
        if folder.is_dir() {
            return Ok(folder);
        }
        let making = bench.join("logs.new");
        fs::create_dir_all(&making)?;
        let (servers, each) = (WRITERS.to_string(), EACH.to_string());
        let arguments =
            ["--servers", &servers, "--events", &each, "--size", SIZE, "--every", "20s"];
        let sim = Sim::start(self.quarry, &arguments)?;
        for server in 1..=WRITERS {
            for log in ["System", "Security", "Application"] {
                let name = format!("server{server:02}");
                let file = fs::File::create(making.join(format!("{name}-{log}.evtx")))?;
                let status = Command::new(self.quarry)
                    .args(["scan", &name, "-l", log, "-q", "-o", "evtx", "--inventory"])
                    .arg(sim.inventory())
                    .stdout(file)
                    .status()?;
                ensure!(status.success(), "{name}'s log {log} can't be saved: {status}");
            }
        }
        fs::rename(&making, &folder)?;
        Ok(folder)
    }

    fn tail(&self, table: &mut Table) -> Result<()> {
        // Only logs that grow: a thousand empty ones a server are another question.
        let arguments =
            ["--servers", LIVELY, "--events", "10", "--grow", GROWTH, "--channels", "0"];
        let sim = Sim::start(self.quarry, &arguments)?;
        let inventory = sim.inventory();
        let page = Page::start(self.quarry, &["@all", "--inventory", text(&inventory)?])?;
        let given = json!({
            "address": page.address, "path": "/api/v1/tail?log=*", "settle": SETTLING,
            "seconds": WATCHED,
        });
        let mut client = Client::start(self.browser, "tail", &given)?;
        client.wait_for("measuring")?;
        let (ours, theirs) = (page.cpu()?, processor_time(sim.id())?);
        let found = client.end()?;
        let (ours, theirs) = (page.cpu()? - ours, processor_time(sim.id())? - theirs);
        drop(page);
        let of = |name| number(&found, name);
        let seconds = of("seconds")?;
        let events = of("rows")? + of("skipped")?;
        println!(
            "\na tail of {LIVELY} servers: {:.0} events a second, {:.0} missed",
            events / seconds,
            of("missed")?
        );
        table.add(Row {
            goal: Some((1.0, 1.0)),
            ..within(
                "a tail of 20,000 events a second: rows a second",
                of("rows")? / seconds,
                250.0,
                "",
            )
        });
        table.add(within("the same: from written to sent, 95 %", of("delay")?, 1.0, "s"));
        table.add(Row {
            work: "the same: processor time of 10,000 events".to_owned(),
            against: "of the simulated servers",
            ours: ours / events * 10_000.0,
            theirs: theirs / events * 10_000.0,
            unit: "s",
            goal: None,
        });
        Ok(())
    }

    fn fleet(&self, table: &mut Table) -> Result<()> {
        let arguments = ["--servers", FLEET, "--events", "10", "--channels", "0"];
        let sim = Sim::start(self.quarry, &arguments)?;
        let inventory = sim.inventory();
        let page = Page::start(self.quarry, &["@all", "--inventory", text(&inventory)?])?;
        let given = json!({ "address": page.address, "path": "/", "times": 4 });
        let found = self.client("read", &given)?;
        let all = found.as_array().context("no list")?;
        let (first, later) = all.split_first().context("it wasn't read")?;
        let best =
            later.iter().filter_map(|page| page["end"].as_f64()).fold(f64::INFINITY, f64::min);
        let bytes = later.iter().filter_map(|page| page["bytes"].as_f64()).fold(0.0, f64::max);
        println!("\na fleet of {FLEET} servers: {:.2} s the first time", number(first, "end")?);
        table.add(within(format!("the fleet page of {FLEET} servers"), best, 0.5, "s"));
        table.add(within("the same, compressed", bytes / 1000.0, 60.0, "KB"));
        Ok(())
    }

    fn tab(&self, table: &mut Table, minutes: usize) -> Result<()> {
        let sim = Sim::start(self.quarry, &OF_TAB)?;
        let inventory = sim.inventory();
        let page = Page::start(self.quarry, &["@all", "--inventory", text(&inventory)?])?;
        let given = json!({
            "address": page.address, "path": "/tail?log=*", "minutes": minutes,
        });
        let mut client = Client::start(self.browser, "tab", &given)?;
        println!("\na tab tails for {minutes} minutes");
        for _ in 0..minutes {
            println!("{}", client.line()?);
        }
        let found = client.end()?;
        let of = |minute: usize, name| number(&found[minute - 1], name);
        for (work, name) in [("its process's memory", "memory"), ("its script's heap", "heap")] {
            let grown = of(minutes, name)? - of(EARLY, name)?;
            let work =
                format!("a tab after {minutes} minutes of tail beyond minute {EARLY}: {work}");
            table.add(within(work, grown.max(0.0), 20.0, "MiB"));
        }
        table.add(within("the same: script's heap", of(minutes, "heap")?, 10.0, "MiB"));
        table.add(Row {
            goal: Some((1.0, 1.0)),
            ..within("the same: rows that it holds", of(minutes, "rows")?, 2000.0, "")
        });
        Ok(())
    }
}

/// Measures many viewers, with accounts of its own.
fn viewers(table: &mut Table) -> Result<()> {
    let program = std::env::current_exe()?;
    let output = accounts::run_program_inside("bench-web", &[], &program, &["bench", "web-inside"]);
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "viewers (it needs root): {said}");
    let said = String::from_utf8_lossy(&output.stdout);
    let found = said.lines().last().context("it printed nothing")?;
    let found: Value = serde_json::from_str(found).with_context(|| found.to_owned())?;
    let all = TAILS + READERS;
    println!("\n{all} viewers: {found}");
    let people = accounts::CROWD;
    table.add(within(
        format!("{all} viewers of {people} accounts, {TAILS} of them tails: memory more"),
        number(&found, "viewing")? - number(&found, "signed_in")?,
        300.0,
        "MiB",
    ));
    table.add(within("the same: a page, 95 %", number(&found, "p95")?, 1.0, "s"));
    Ok(())
}

/// Looks as many people at a page at once, among the accounts.
pub(crate) fn inside() -> Result<()> {
    let quarry = sh::target().join("release").join("quarry");
    let folder = accounts::folder();
    let people: Vec<String> = (0..accounts::CROWD).map(|n| format!("u{n}")).collect();
    let service = accounts::ids("service").0;
    let put = |name: &str, text: &str, owner: u32| -> Result<String> {
        let path = folder.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        chown(&path, Some(owner), Some(owner))?;
        Ok(path.to_string_lossy().into_owned())
    };
    let names = people.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    let rules = format!(
        "[sign-in]\ngroups = [{names}]\n[access.all]\ngroups = [{names}]\non = [\"*\"]\n\
         logs = [\"*\", \"Security\"]\n"
    );
    let access = put("access.toml", &rules, service)?;
    let audit = put("audit.jsonl", "", service)?;
    let sim = Sim::start(&quarry, &["--servers", "12", "--grow", "200ms"])?;
    // Who faces the network reads the inventory, and the password beside it.
    for entry in fs::read_dir(sim.inventory().parent().context("it lies in a folder")?)? {
        chown(entry?.path(), Some(service), Some(service))?;
    }
    chown(sim.inventory().parent().context("it lies in a folder")?, Some(service), Some(service))?;
    let inventory = sim.inventory();
    let page = Page::start(
        &quarry,
        &[
            "@all",
            "--inventory",
            text(&inventory)?,
            "--access",
            &access,
            "--audit",
            &audit,
            "--run-as",
            "service",
        ],
    )?;
    let of = || proportional(page.child.id());
    let before = of()?;
    let given = json!({
        "address": page.address, "people": people, "password": accounts::PASSWORD,
        "tails": TAILS, "readers": READERS, "pause": PAUSE,
        "tail_paths": [
            "/api/v1/tail", "/api/v1/tail?log=*", "/api/v1/tail?log=Security",
            "/api/v1/tail?log=*&id=4625", "/api/v1/tail?log=*&level=error", "/api/v1/tail?on=server01",
            "/api/v1/tail?log=*&on=server02", "/api/v1/tail?log=Application",
        ],
        "pages": ["/", "/events?on=server03", "/help", "/events?on=server04&log=Security", "/status"],
    });
    let mut client = Client::start(&Browser(Vec::new()), "viewers", &given)?;
    client.wait_for("signed in")?;
    let signed_in = of()?;
    client.go_on()?;
    client.wait_for("holding")?;
    let mut viewing: f64 = 0.0;
    for _ in 0..HOLDING.as_secs() {
        thread::sleep(Duration::from_secs(1));
        viewing = viewing.max(of()?);
    }
    client.go_on()?;
    let mut found = client.end()?;
    found["before"] = json!(before);
    found["signed_in"] = json!(signed_in);
    found["viewing"] = json!(viewing);
    println!("{found}");
    Ok(())
}

/// Builds the program from nothing, in a folder of its own.
fn built(table: &mut Table) -> Result<()> {
    let target = tempfile::tempdir_in(sh::target())?;
    let folder = format!("CARGO_TARGET_DIR={}", text(target.path())?);
    let manifest = sh::root().join("Cargo.toml");
    let words = [
        "env",
        &*folder,
        "cargo",
        "build",
        "--release",
        "--locked",
        "-p",
        "quarry-cli",
        "--manifest-path",
        text(&manifest)?,
    ];
    println!("\n{} is the load on this machine before it builds", load()?);
    let cost = cost(&words.map(str::to_owned))?;
    if !target.path().join("release/quarry").is_file() {
        bail!("it wasn't built");
    }
    table.add(within("quarry built from nothing", cost.wall, 300.0, "s"));
    table.add(within("the same, processor time of two cores", cost.cpu / 2.0, 300.0, "s"));
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the path is text")
}
