//! `quarryd` following a thousand servers into its table: what of a core it takes, how soon events are
//! committed, and what memory it has while it answers as well.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::bench::fleet::Sim;
use crate::bench::measure::processor_time;
use crate::bench::table::{Row, Table};
use crate::bench::tail::delay;
use crate::sh;

/// Servers that each get so many events a second in the log that is followed, and in two others.
const SERVERS: usize = 1_000;
const RATE: usize = 10;
const SIZE: &str = "2500";
/// How long all of them have to be followed, and how long that is watched then: with a commit a second, long
/// enough for small files to be put together.
const SETTLING: Duration = Duration::from_secs(180);
const WATCHED: Duration = Duration::from_secs(280);
/// Who asks afterwards, as many as one person may at once, each again a second after its answer; for how long.
const ASKERS: usize = 4;
const ASKING: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(1);

/// The most MiB.
const MEMORY: f64 = 400.0;

/// What the configuration has besides the inventory.
const CONFIG: &str = r#"
[follow]
"@all" = ["Security"]

[collect]
catalogues = "catalogues"

[store]
url = "events"
flush-every = "1s"
maintain-every = "60s"

[page]
listen = "127.0.0.1:0"
"#;

pub(super) fn follow(table: &mut Table, built: &Path) -> Result<()> {
    let (servers, grow) = (SERVERS.to_string(), format!("{}ms", 1000 / RATE));
    let arguments = ["--servers", &servers, "--events", "10", "--size", SIZE, "--grow", &grow];
    let sim = Sim::start(&built.join("quarry"), &arguments)?;
    let daemon = Daemon::start(&built.join("quarryd"), &sim)?;
    let begun = Instant::now();
    while daemon.number("SELECT count(DISTINCT host) AS n FROM events")? < SERVERS as u64 {
        ensure!(begun.elapsed() < SETTLING, "not all servers are followed\n{}", daemon.said());
        thread::sleep(Duration::from_secs(1));
    }
    // What was written while connections were made had to wait for them.
    thread::sleep(Duration::from_secs(10));

    let (begun, before) = (SystemTime::now(), processor_time(daemon.id())?);
    let simulated = processor_time(sim.id())?;
    thread::sleep(WATCHED);
    let (ended, cpu) = (SystemTime::now(), processor_time(daemon.id())? - before);
    let simulated = processor_time(sim.id())? - simulated;
    let memory = daemon.memory()?;
    let seconds = WATCHED.as_secs_f64();
    let commits = commits(&daemon.table, begun, ended)?;
    ensure!(!commits.is_empty(), "nothing was committed\n{}", daemon.said());
    let events: u64 = commits.iter().map(|commit| commit.rows).sum();
    let mut waited: Vec<f64> = commits.iter().map(|commit| commit.waited).collect();
    waited.sort_by(f64::total_cmp);
    let at = |share: f64| waited[((waited.len() - 1) as f64 * share) as usize];

    let answers = daemon.ask()?;
    println!("\n{SERVERS} servers, {:.0} events a second came", events as f64 / seconds);
    println!(
        "{:.2} of a core here, {:.2} for the servers; {:.0} events a second of its processor",
        cpu / seconds,
        simulated / seconds,
        events as f64 / cpu
    );
    println!(
        "{} commits; the oldest event of one had waited {:.2} s (median), {:.2} s (95 %), {:.2} s (all)",
        waited.len(),
        at(0.5),
        at(0.95),
        at(1.0)
    );
    println!("{memory:.0} MiB before anybody asked; {answers} answers in {} s", ASKING.as_secs());
    table.add(Row {
        work: format!(
            "quarryd, {SERVERS} servers with {RATE} events a second each, processor time"
        ),
        against: "one core",
        ours: cpu / events as f64 * (SERVERS * RATE) as f64,
        theirs: 1.0,
        unit: "s a second",
        goal: Some((0.6, 0.35)),
    });
    table.add(Row {
        work: "the same, from written to committed, the longest".to_owned(),
        against: "what it may take",
        ours: at(1.0),
        theirs: 2.0,
        unit: "s",
        goal: Some((1.0, 1.0)),
    });
    table.add(Row {
        work: format!("the same, peak memory, {ASKERS} asking"),
        against: "what it may take",
        ours: daemon.memory()?,
        theirs: MEMORY,
        unit: "MiB",
        goal: Some((1.0, 250.0 / MEMORY)),
    });
    Ok(())
}

/// A `quarryd`, and what lets in to its page.
struct Daemon {
    child: Child,
    log: PathBuf,
    table: PathBuf,
    host: String,
    cookie: String,
}

impl Daemon {
    /// Starts it on a terminal, where it prints the address that lets in once.
    fn start(quarryd: &Path, sim: &Sim) -> Result<Self> {
        let inventory = sim.inventory();
        let folder = inventory.parent().context("an inventory is in a folder")?;
        let config = folder.join("quarryd.toml");
        fs::write(&config, format!("{}\n{CONFIG}", fs::read_to_string(&inventory)?))?;
        let log = folder.join("quarryd.log");
        let mut child = Command::new("python3")
            .arg(sh::root().join("crates/server/tests/quarryd/terminal.py"))
            .arg(quarryd)
            .arg("serve")
            .arg(&config)
            .env("XDG_DATA_HOME", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()
            .context("python3")?;
        let stdout = child.stdout.take().context("quarryd has no output")?;
        let table = folder.join("events");
        let mut daemon = Daemon { child, log, table, host: String::new(), cookie: String::new() };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().strip_prefix("http://").and_then(|rest| rest.split_once('/'));
        let Some((host, path)) = address else { bail!("{line}\n{}", daemon.said()) };
        host.clone_into(&mut daemon.host);
        let (_, token) = path.split_once("token=").context("the address has no token")?;
        let (head, _) = daemon.request("POST", "/sign-in", &format!("token={token}"))?;
        let cookie = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("set-cookie").then(|| value.split(';').next())?
        });
        cookie.with_context(|| head.clone())?.clone_into(&mut daemon.cookie);
        Ok(daemon)
    }

    fn id(&self) -> u32 {
        self.child.id()
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The most MiB so far.
    fn memory(&self) -> Result<f64> {
        let bytes = quarry_testkit::peak_memory(self.id()).context("no peak of memory")?;
        Ok(bytes as f64 / f64::from(1 << 20))
    }

    /// Head and body of an answer.
    fn request(&self, method: &str, path: &str, body: &str) -> Result<(String, String)> {
        let Daemon { host, cookie, .. } = self;
        let mut stream = TcpStream::connect(host)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {host}\r\nOrigin: http://{host}\r\nCookie: {cookie}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a head")?;
        Ok((head.to_owned(), body.to_owned()))
    }

    /// An answer's body.
    fn answered(&self, method: &str, path: &str, body: &str) -> Result<String> {
        let (head, body) = self.request(method, path, body)?;
        ensure!(head.contains(" 200 "), "{path}: {head}\n{body}");
        Ok(body)
    }

    /// The number that a statement gives.
    fn number(&self, statement: &str) -> Result<u64> {
        let body = self.answered("POST", "/api/v1/sql", statement)?;
        let row: Value = serde_json::from_str(body.lines().next().context("no row")?)?;
        row["n"].as_u64().with_context(|| body.clone())
    }

    /// Asks in SQL and through the page, some at once; says how many answers came.
    fn ask(&self) -> Result<usize> {
        let until = Instant::now() + ASKING;
        let one = |n: usize| -> Result<usize> {
            let host = format!("server{:04}", n * 100 + 1);
            let mut answers = 0;
            while Instant::now() < until {
                match (n + answers) % 4 {
                    0 => {
                        let counts = "SELECT event_id, count(*) AS n FROM events GROUP BY 1";
                        self.answered("POST", "/api/v1/sql", counts)?
                    }
                    1 => self.answered("GET", "/events?from=stored", "")?,
                    2 => self.answered("GET", "/api/v1/facets?from=stored", "")?,
                    _ => {
                        let newest = format!(
                            "SELECT time, event_id, message FROM events WHERE host = '{host}' \
                             ORDER BY time DESC LIMIT 100"
                        );
                        self.answered("POST", "/api/v1/sql", &newest)?
                    }
                };
                answers += 1;
                thread::sleep(PAUSE);
            }
            Ok(answers)
        };
        thread::scope(|scope| {
            let askers: Vec<_> = (0..ASKERS).map(|n| scope.spawn(move || one(n))).collect();
            let mut answers = 0;
            for asker in askers {
                let Ok(asked) = asker.join() else { bail!("an asker panicked") };
                answers += asked?;
            }
            Ok(answers)
        })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A commit of events.
struct Commit {
    rows: u64,
    /// Seconds from its oldest event's time until the commit was there and synced; the sync of the folder's
    /// entry alone came after.
    waited: f64,
}

/// The commits that were made in a time.
fn commits(table: &Path, since: SystemTime, until: SystemTime) -> Result<Vec<Commit>> {
    let mut commits = Vec::new();
    for entry in fs::read_dir(table.join("_delta_log"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|end| end != "json") {
            continue;
        }
        let found = path.metadata()?;
        // The file got its name after it was written and synced, which this time is of.
        let named = Duration::new(found.ctime().try_into()?, found.ctime_nsec().try_into()?);
        let named = SystemTime::UNIX_EPOCH + named;
        if named < since || named > until {
            continue;
        }
        let (mut rows, mut waited, mut is_written) = (0, 0.0_f64, false);
        for line in fs::read_to_string(&path)?.lines() {
            let action: Value = serde_json::from_str(line)?;
            is_written |= action["commitInfo"]["operation"] == "WRITE";
            let Some(stats) = action["add"]["stats"].as_str() else { continue };
            let stats: Value = serde_json::from_str(stats)?;
            rows += stats["numRecords"].as_u64().context("a file without a number of rows")?;
            let oldest = stats["minValues"]["time"].as_str().context("a file without times")?;
            waited = waited.max(delay(named, oldest)?);
        }
        if is_written && rows > 0 {
            commits.push(Commit { rows, waited });
        }
    }
    Ok(commits)
}
