//! The `quarry` command against simulated servers: the real program, the real protocol, signed in
//! and sealed, on loopback. What is expected comes from what the servers know of their events.

mod commands;
mod detect;
mod fallback;
mod faults;
mod filters;
mod interrupted;
mod logon;
mod mistakes;
mod output;
mod relay;
mod texts;

use std::collections::BTreeMap;
use std::io::{BufRead as _, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quarry_cred::Secret;
use quarry_event::{Event, EventTime, Field, FieldSource};
use quarry_sim::{ServerOptions, Sim, SimOptions};
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const ACCOUNT: &str = r"SIM\quarry";
const PASSWORD: &str = "Yabba-dabba-d0o!";
const INVENTORY: &str = "fleet.toml";
const PASSWORD_FILE: &str = "fleet.password";

/// The columns that tell which record of which server it is.
const PLACE: [&str; 4] = ["-o", "jsonl", "--fields", "host,log,log_record"];

/// So that nothing takes longer than it has to. The servers share this machine with all that the
/// tests do, so that on a busy one the answer of a server that is well may take seconds.
const IMPATIENT: [&str; 4] = ["--connect-timeout", "1s", "--timeout", "12s"];

/// When a run hangs.
const HANGS: Duration = Duration::from_secs(150);

/// Simulated servers, and a folder with an inventory of them.
struct Fleet {
    sim: Sim,
    folder: TempDir,
    runtime: Runtime,
}

impl Fleet {
    /// Servers with a number of events in each log, one each 30 seconds.
    fn new(servers: Vec<ServerOptions>, events: u64) -> Self {
        Fleet::start(servers, |options| options.events = events)
    }

    fn start(servers: Vec<ServerOptions>, set: impl FnOnce(&mut SimOptions)) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let secret = Secret::new(PASSWORD.to_owned()).unwrap();
        let mut options = SimOptions::new(servers, ACCOUNT.parse().unwrap(), secret);
        options.empty_channels = 20;
        set(&mut options);
        let sim = runtime.block_on(Sim::start(options)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let fleet = Fleet { sim, folder, runtime };
        fleet.write_password(PASSWORD);
        fleet.write_inventory(&fleet.sim.inventory(PASSWORD_FILE));
        fleet
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the password file, for nobody else to read.
    fn write_password(&self, password: &str) {
        let path = self.root().join(PASSWORD_FILE);
        std::fs::write(&path, format!("{password}\n")).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
    }

    fn write_inventory(&self, text: &str) {
        std::fs::write(self.root().join(INVENTORY), text).unwrap();
    }

    /// The inventory with lines added to the sections of servers.
    fn inventory_with(&self, more: impl Fn(&str) -> String) -> String {
        let mut text = self.sim.inventory(PASSWORD_FILE);
        for server in self.sim.servers() {
            let section = format!("[servers.{}]\n", server.name());
            assert!(text.contains(&section));
            text = text.replace(&section, &format!("{section}{}", more(server.name())));
        }
        text
    }

    /// The program, without an inventory.
    fn bare(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quarry"));
        command.current_dir(self.root()).stdin(Stdio::null());
        for name in ["COLUMNS", "LINES", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        command.env("TZ", "UTC").env("XDG_CONFIG_HOME", self.root()).env("HOME", self.root());
        command
    }

    /// The program with the inventory, after the command's name.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.bare();
        command.args(args).args(["--inventory", INVENTORY]);
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        run(self.command(args))
    }

    /// `quarry scan`, printing where each record lies.
    fn scan(&self, args: &[&str]) -> Ran {
        let mut command = self.command(&["scan"]);
        command.args(args).args(PLACE).args(IMPATIENT);
        run(command)
    }

    /// What a server has in a log, as it knows itself.
    fn known(&self, server: &str, log: &str) -> Vec<(u64, Event)> {
        self.sim.server(server).unwrap().records(log).unwrap()
    }

    /// The numbers of those records of a server's log that pass a test.
    fn numbers(&self, server: &str, log: &str, passes: impl Fn(&Event) -> bool) -> Vec<u64> {
        let known = self.known(server, log).into_iter();
        known.filter(|(_, event)| passes(event)).map(|(number, _)| number).collect()
    }

    /// Of each server, the numbers of the records of its System log that pass a test.
    fn everywhere(&self, passes: impl Fn(&Event) -> bool) -> BTreeMap<String, Vec<u64>> {
        let servers = self.sim.servers().iter();
        let numbers =
            |name: &str| (name.to_owned(), self.numbers(name, "System", |event| passes(event)));
        servers.map(|server| numbers(server.name())).collect()
    }
}

/// `server01`, `server02` and so on.
fn servers(count: usize) -> Vec<ServerOptions> {
    (1..=count).map(|n| ServerOptions::new(name(n))).collect()
}

fn name(n: usize) -> String {
    format!("server{n:02}")
}

fn number(event: &Event, field: Field) -> u64 {
    event.field(field).as_u64().unwrap_or_else(|| event.field(field).to_string().parse().unwrap())
}

fn time(event: &Event) -> EventTime {
    let value = event.field(Field::TimeCreated);
    value.as_time().or_else(|| EventTime::parse(&value.to_string())).unwrap()
}

/// What a run of the program gave.
struct Ran {
    stdout: String,
    stderr: String,
    status: Option<i32>,
    took: Duration,
}

impl Ran {
    fn json(&self) -> Vec<Json> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Of each server, the numbers of the records that came, in the order in which they came.
    fn by_host(&self) -> BTreeMap<String, Vec<u64>> {
        self.by(|event| event["host"].as_str().unwrap().to_owned())
    }

    fn by(&self, key: impl Fn(&Json) -> String) -> BTreeMap<String, Vec<u64>> {
        let mut all: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for event in self.json() {
            all.entry(key(&event)).or_default().push(event["log_record"].as_u64().unwrap());
        }
        all
    }

    /// The line of standard error that begins so.
    #[track_caller]
    fn line(&self, start: &str) -> &str {
        let found = self.stderr.lines().find(|line| line.starts_with(start));
        found.unwrap_or_else(|| panic!("no line {start:?} in:\n{}", self.shown()))
    }

    fn errors(&self) -> Vec<&str> {
        self.stderr.lines().filter(|line| line.starts_with("error: ")).collect()
    }

    /// What went to standard error, and the status.
    fn shown(&self) -> String {
        let status = self.status.map_or("none".into(), |status| status.to_string());
        format!("{}--- status {status} ---", self.stderr)
    }
}

fn run(command: Command) -> Ran {
    let _turn = Turn::take();
    finish(spawn(command))
}

/// Runs a program that goes on for ever until it has printed so many lines, and then interrupts it.
#[cfg(unix)]
fn run_until(command: Command, lines: usize) -> Ran {
    let _turn = Turn::take();
    let (mut child, begun) = spawn(command);
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    let (sender, receiver) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        while stdout.read_line(&mut text).unwrap() > 0 {
            let _ = sender.send(());
        }
        text
    });
    let mut came = 0;
    while came < lines && begun.elapsed() < HANGS {
        match receiver.recv_timeout(Duration::from_millis(100)) {
            Ok(()) => came += 1,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            // It has ended by itself.
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    interrupted::interrupt(&child);
    let ran = finish((child, begun));
    Ran { stdout: reading.join().unwrap(), ..ran }
}

fn spawn(mut command: Command) -> (Child, Instant) {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    (command.spawn().unwrap(), Instant::now())
}

/// Waits for a run, which is killed when it hangs.
fn finish((mut child, begun): (Child, Instant)) -> Ran {
    fn drain(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
        std::thread::spawn(move || {
            let mut text = String::new();
            from.read_to_string(&mut text).unwrap();
            text
        })
    }
    let stdout = child.stdout.take().map(drain);
    let stderr = child.stderr.take().map(drain);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if begun.elapsed() > HANGS {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let took = begun.elapsed();
    let text = |drain: Option<std::thread::JoinHandle<String>>| {
        drain.map_or_else(String::new, |drain| drain.join().unwrap())
    };
    let (stdout, stderr) = (text(stdout), text(stderr));
    let Some(status) = status else { panic!("it hangs: {stderr}") };
    Ran { stdout, stderr, status: status.code(), took }
}

/// A turn to run: on a busy machine, more programs at once would be as slow as a server that
/// hangs.
struct Turn;

static TURNS: (Mutex<usize>, Condvar) = (Mutex::new(4), Condvar::new());

impl Turn {
    fn take() -> Self {
        let free = TURNS.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = TURNS.1.wait_while(free, |free| *free == 0);
        *wait.unwrap_or_else(PoisonError::into_inner) -= 1;
        Turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TURNS.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        TURNS.1.notify_one();
    }
}
