//! `quarry tail`: the real program on simulated servers, which restart, clear their logs and wrap,
//! and on files that grow. What is expected comes from what the servers know of their events.
#![cfg(unix)]
#![allow(clippy::print_stdout)] // What a run came to is said.

mod cursors;
mod evt;
#[allow(dead_code, reason = "only files are made here")]
#[path = "../cli/evtx.rs"]
mod evtx;
mod files;
mod kill;
mod samba;
mod servers;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use quarry_cred::Secret;
use quarry_event::Event;
use quarry_sim::{Fault, ServerOptions, Sim, SimOptions, SimServer};
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// When something that has to come hangs; generous, for machines that are busy.
const HANGS: Duration = Duration::from_secs(60);

/// For what must not come.
const A_WHILE: Duration = Duration::from_millis(700);

/// Simulated servers, and a folder with an inventory of them.
struct Fleet {
    sim: Sim,
    folder: TempDir,
    _runtime: Runtime,
}

impl Fleet {
    /// Servers `server01` and so on with these faults, and with a number of events in each log.
    fn new(faults: &[&[Fault]], events: u64) -> Self {
        let server = |(n, faults): (usize, &&[Fault])| ServerOptions {
            faults: faults.to_vec(),
            ..ServerOptions::new(format!("server{:02}", n + 1))
        };
        let servers = faults.iter().enumerate().map(server).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let password = "Yabba-dabba-d0o!";
        let secret = Secret::new(password.to_owned()).unwrap();
        let mut options = SimOptions::new(servers, r"SIM\quarry".parse().unwrap(), secret);
        options.empty_channels = 12;
        options.events = events;
        let sim = runtime.block_on(Sim::start(options)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fleet.password");
        std::fs::write(&file, password).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let inventory = sim.inventory("fleet.password");
        std::fs::write(folder.path().join("fleet.toml"), inventory).unwrap();
        Fleet { sim, folder, _runtime: runtime }
    }

    /// One server, `server01`, without faults.
    fn one(events: u64) -> Self {
        Fleet::new(&[&[]], events)
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn server(&self, n: usize) -> &SimServer {
        &self.sim.servers()[n - 1]
    }

    /// `quarry tail`, printing where each record lies.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tail_in(self.root(), arguments);
        command.args(["--inventory", "fleet.toml", "--timeout", "9s"]);
        command
    }

    fn tail(&self, arguments: &[&str]) -> Tail {
        Tail::start(self.command(arguments))
    }
}

/// Adds events to a server's System log.
fn append(server: &SimServer, count: u64) {
    server.append_generated("System", count).unwrap();
}

/// The numbers of a log's records that pass a test.
fn numbers(server: &SimServer, log: &str, passes: impl Fn(&Event) -> bool) -> Vec<u64> {
    let known = server.records(log).unwrap().into_iter();
    known.filter(|(_, event)| passes(event)).map(|(number, _)| number).collect()
}

/// `quarry tail` in a folder, with nothing of the tester's environment in its way.
fn tail_in(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quarry"));
    command.current_dir(folder).stdin(Stdio::null());
    command.env("XDG_CONFIG_HOME", folder).env("HOME", folder).env("TZ", "UTC");
    command.args(["tail", "-o", "jsonl", "--fields", "source,host,log,log_record"]);
    command.args(arguments);
    command
}

type Lines = Arc<Mutex<Vec<String>>>;

/// A `quarry tail` that runs, and is killed when it is dropped.
struct Tail {
    child: Child,
    stdout: Lines,
    stderr: Lines,
    readers: Vec<JoinHandle<()>>,
}

/// What a `quarry tail` left.
struct Ended {
    printed: Vec<String>,
    said: Vec<String>,
    status: Option<i32>,
}

impl Tail {
    fn start(command: Command) -> Self {
        let mut tail = Tail::start_unread(command);
        let stdout = tail.child.stdout.take().unwrap();
        tail.read(stdout, Arc::clone(&tail.stdout));
        tail
    }

    /// The same, whose output is left to the caller.
    fn start_unread(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let mut tail =
            Tail { child, stdout: Lines::default(), stderr: Lines::default(), readers: Vec::new() };
        tail.read(stderr, Arc::clone(&tail.stderr));
        tail
    }

    fn take_stdout(&mut self) -> BufReader<ChildStdout> {
        BufReader::new(self.child.stdout.take().unwrap())
    }

    /// Keeps the lines that come, but for one that doesn't end.
    fn read(&mut self, from: impl Read + Send + 'static, lines: Lines) {
        self.readers.push(std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = String::new();
            while from.read_line(&mut line).unwrap() > 0 {
                if line.ends_with('\n') {
                    lines.lock().unwrap().push(line.trim_end().to_owned());
                }
                line.clear();
            }
        }));
    }

    fn printed(&self) -> Vec<String> {
        self.stdout.lock().unwrap().clone()
    }

    fn said(&self) -> Vec<String> {
        self.stderr.lock().unwrap().clone()
    }

    /// Waits until so many events have come.
    #[track_caller]
    fn wait_for(&self, events: usize) {
        self.wait_until("events", || self.stdout.lock().unwrap().len() >= events);
    }

    /// Waits until something was said.
    #[track_caller]
    fn wait_for_word(&self, word: &str) {
        let is_said = || self.stderr.lock().unwrap().iter().any(|line| line.contains(word));
        self.wait_until(word, is_said);
    }

    #[track_caller]
    fn wait_until(&self, what: &str, is_done: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_done() {
            if begun.elapsed() > HANGS {
                panic!("no {what}:\n{}\n{}", self.printed().join("\n"), self.said().join("\n"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Ends it as Ctrl-C does.
    fn stop(self) -> Ended {
        self.signal(rustix::process::Signal::INT);
        self.wait()
    }

    /// Waits until it ends.
    #[track_caller]
    fn wait(mut self) -> Ended {
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if begun.elapsed() > HANGS => panic!("it doesn't end: {:?}", self.said()),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        Ended { printed: self.printed(), said: self.said(), status: status.code() }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Which record a line is of: the host, the log, the number.
fn place(line: &str) -> (String, String, u64) {
    let event: Json = serde_json::from_str(line).unwrap();
    let text = |key: &str| event[key].as_str().unwrap().to_owned();
    (text("host"), text("log"), event["log_record"].as_u64().unwrap())
}

/// The numbers of the records of each host and log, in the order in which they came.
fn places(lines: &[String]) -> BTreeMap<(String, String), Vec<u64>> {
    let mut all: BTreeMap<_, Vec<u64>> = BTreeMap::new();
    for line in lines {
        let (host, log, number) = place(line);
        all.entry((host, log)).or_default().push(number);
    }
    all
}

/// The numbers of the records that came, of whatever host and log.
fn came(lines: &[String]) -> Vec<u64> {
    lines.iter().map(|line| place(line).2).collect()
}

impl Ended {
    fn came(&self) -> Vec<u64> {
        came(&self.printed)
    }

    /// What was said of gaps.
    fn gaps(&self) -> Vec<&str> {
        let gap = |line: &'_ String| line.contains("gap: ");
        self.said.iter().filter(|line| gap(line)).map(|line| line.as_str()).collect()
    }

    fn all_said(&self) -> String {
        self.said.join("\n")
    }
}
