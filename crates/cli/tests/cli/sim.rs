//! `quarry sim`, and scans of what it simulates.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::Child;
use std::time::{Duration, Instant};

use super::*;

/// A running `quarry sim` in a folder.
struct Sim {
    child: Child,
    /// What it said until it was ready.
    said: Vec<String>,
}

impl Sim {
    fn start(folder: &Path, args: &[&str]) -> Self {
        let mut child = quarry(folder)
            .args(["sim", "--channels", "5", "--inventory", "sim.toml"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut said = Vec::new();
        loop {
            let mut line = String::new();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "it ended before it was ready");
            match line.trim_end() {
                "ready" => return Sim { child, said },
                line => said.push(line.to_owned()),
            }
        }
    }

    fn said(&self, what: &str) -> &str {
        self.said.iter().find_map(|line| line.strip_prefix(what)).unwrap()
    }

    /// Ends it with a signal: its exit status, and what it logged.
    fn end(mut self, signal: &str) -> (Option<i32>, String) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        };
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (status.code(), log)
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        // It has ended already, or a test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn simulated_servers_are_scanned_by_their_inventory() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--servers", "fred,barney", "--events", "150", "--latency", "5ms"];
    let sim = Sim::start(folder.path(), &args);
    let scan = ["scan", "--inventory", "sim.toml", "@all", "-o", "jsonl", "--fields"];
    let ran = run(folder.path(), &[&scan[..], &["host,log_record,computer"]].concat());
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(ran.lines().len(), 300);
    for name in ["fred", "barney"] {
        let of = |line: &&str| json(line)["host"] == name;
        let lines: Vec<_> = ran.lines().into_iter().filter(of).collect();
        let numbers: Vec<_> = lines.iter().map(|line| json(line)["log_record"].clone()).collect();
        assert_eq!(numbers, (1..=150).collect::<Vec<_>>());
        let computer = format!("{name}.sim.test");
        assert!(lines.iter().all(|line| json(line)["computer"] == *computer));
    }
    let (status, log) = sim.end("-INT");
    assert_eq!(status, Some(0));
    let mut log: Vec<_> = log.lines().collect();
    log.sort();
    assert_eq!(log, ["barney query System * flags=0x101", "fred query System * flags=0x101"]);
}

#[test]
fn what_is_asked_of_a_simulated_server_is_the_filter() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), &["--servers", "1", "--events", "3000"]);
    let args = ["scan", "--inventory", "sim.toml", "server01", "-l", "Security", "-i", "4625"];
    let ran = run(folder.path(), &[&args[..], &["-S", "2h"]].concat());
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    // Two hours are 240 events, of which one in twenty is a failed logon.
    assert!((1..60).contains(&ran.lines().len()), "{}", ran.lines().len());
    assert!(ran.lines().iter().all(|line| json(line)["event_id"] == 4625));
    let (status, log) = sim.end("-TERM");
    assert_eq!(status, Some(0));
    assert!(log.starts_with("server01 query Security *[System["), "{log}");
    assert!(log.contains("EventID=4625") && log.contains("@SystemTime>='"), "{log}");
}

#[test]
fn the_password_is_in_a_file_of_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let sim = Sim::start(folder.path(), &["--events", "1", "--quiet"]);
    let password = fs::read_to_string(folder.path().join("sim.password")).unwrap();
    assert_eq!(sim.said("password "), password.trim_end());
    assert_eq!(sim.said("username "), r"SIM\quarry");
    let mode = folder.path().join("sim.password").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let inventory = fs::read_to_string(folder.path().join("sim.toml")).unwrap();
    assert!(!inventory.contains(password.trim_end()));
    assert_eq!(sim.said.iter().filter(|line| line.starts_with("server ")).count(), 4);
    sim.end("-INT");
    // Another run makes another, and its own inventory anew.
    let again = Sim::start(folder.path(), &["--events", "1"]);
    assert_ne!(again.said("password "), password.trim_end());
}

#[test]
fn a_fault_is_one_servers_and_the_others_are_complete() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--servers", "fred,barney,wilma", "--events", "200"];
    let faults = ["--fault", "bar*=refuse-access", "--fault", "wilma=reset:50"];
    let sim = Sim::start(folder.path(), &[&args[..], &faults].concat());
    let scan = ["scan", "--inventory", "sim.toml", "@all", "-o", "jsonl"];
    let ran = run(folder.path(), &scan);
    assert_eq!(ran.status, Some(3), "{}", ran.stderr);
    let of = |name: &str| ran.lines().iter().filter(|line| json(line)["host"] == name).count();
    assert_eq!((of("fred"), of("barney")), (200, 0));
    assert!(ran.stderr.contains(r"SIM\quarry may not read System on barney"), "{}", ran.stderr);
    sim.end("-INT");
}

#[test]
fn events_of_a_file_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let events: Vec<_> = (1..=20).map(|n| event(n, n, 4624, "alice")).collect();
    fs::write(folder.path().join("a.evtx"), file(&[events])).unwrap();
    let sim = Sim::start(folder.path(), &["--servers", "fred", "--evtx", "a.evtx"]);
    let own = run(folder.path(), &["scan", "a.evtx", "-o", "jsonl", "--fields", FIELDS]);
    let log = json(own.lines()[0])["channel"].as_str().unwrap().to_owned();
    let scan = ["scan", "--inventory", "sim.toml", "fred", "-o", "jsonl", "--fields", FIELDS];
    let ran = run(folder.path(), &[&scan[..], &["-l", &log]].concat());
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(ran.lines().len(), 20);
    assert_eq!(ran.stdout, own.stdout);
    sim.end("-INT");
}

/// What a server and a file say of the same event.
const FIELDS: &str = "log_record,time,computer,channel,record_id,provider,event_id,level,data";

#[test]
fn what_can_not_be_simulated_is_said_in_a_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mine.toml"), "[servers.dc01]\n").unwrap();
    for (args, said) in [
        (&["--fault", "fred"][..], "--fault fred: expected NAME=KIND"),
        (&["--fault", "fred=silent"], "--fault fred=silent: no server is called fred"),
        (&["--fault", "*=sleepy"], "\"sleepy\" is not a kind of fault"),
        (&["--fault", "*=silent:soon"], "silent can't be of \"soon\""),
        (&["--servers", "0"], "there can be 1 to 10000 simulated servers"),
        (&["--servers", "fred,,barney"], "--servers: \"\" is no name of a server"),
        (&["--servers", "fred,FRED"], "two servers are called FRED"),
        (&["--evtx", "none.evtx"], "none.evtx: no such file"),
        (&["--inventory", "mine.toml"], "mine.toml: this is another inventory"),
    ] {
        let ran = run(folder.path(), &[&["sim"], args].concat());
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(ran.stderr.contains(said), "{args:?}: {}", ran.stderr);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
