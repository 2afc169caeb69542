//! `quarryd`: the real program on simulated servers that restart, clear their logs and wrap, killed
//! at random moments; and its other commands. What is expected comes from what the servers know of their events; what is in
//! the table is read by the Python package `deltalake`.
#![cfg(unix)]
#![allow(clippy::print_stdout, reason = "what a run came to is said")]

#[cfg(target_os = "linux")]
mod accounts;
mod collectors;
mod demo;
mod export;
mod kill;
mod load;
mod many;
mod mistakes;
mod operations;
mod page;
mod reload;
#[cfg(target_os = "linux")]
mod started;
mod store;
mod table;
#[cfg(target_os = "linux")]
mod units;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use quarry_cred::Secret;
use quarry_sim::{ServerOptions, Sim, SimOptions, SimServer};
use quarry_testkit::{ObjectStorage, Storage};
use rustix::process::{Pid, Signal, kill_process};
use table::Rows;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// When something that has to come hangs; generous, for machines that are busy.
const HANGS: Duration = Duration::from_secs(90);

/// Simulated servers, and a folder with a configuration that follows them.
struct Fleet {
    sim: Sim,
    folder: TempDir,
    /// Where the table is, if not in the folder.
    storage: Option<ObjectStorage>,
    _runtime: Runtime,
}

impl Fleet {
    /// So many servers, `server01` and so on, with a number of events in each log.
    fn new(servers: usize, events: u64) -> Self {
        let servers = (1..=servers).map(|n| ServerOptions::new(format!("server{n:02}"))).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let password = "Yabba-dabba-d0o!";
        let secret = Secret::new(password.to_owned()).unwrap();
        let mut options = SimOptions::new(servers, r"SIM\quarry".parse().unwrap(), secret);
        options.events = events;
        let sim = runtime.block_on(Sim::start(options)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fleet.password");
        std::fs::write(&file, password).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        Fleet { sim, folder, storage: None, _runtime: runtime }
    }

    /// The same, with the table on object storage; `None` where there is none of that kind here.
    fn on(storage: Storage, servers: usize, events: u64) -> Option<Self> {
        let storage = Some(ObjectStorage::start(storage)?);
        Some(Fleet { storage, ..Fleet::new(servers, events) })
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn server(&self, n: usize) -> &SimServer {
        &self.sim.servers()[n - 1]
    }

    /// Writes a configuration: the inventory of all servers, and more.
    fn configure(&self, name: &str, more: &str) -> PathBuf {
        let path = self.root().join(name);
        let text = format!("{}\n{more}", self.sim.inventory("fleet.password"));
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Writes the configuration of one collector of several, by its name.
    fn configure_collector(&self, name: &str) -> PathBuf {
        let named = format!("[collect]\nname = \"{name}\"\n");
        let mut more = format!("{USUAL}writers = \"several\"\n").replace("[collect]\n", &named);
        if let Some(storage) = &self.storage {
            more = more.replace("\"events\"", &format!("\"{}\"", storage.url));
            more += &format!("log-folder = \"{name}.wal\"\n");
        }
        self.configure(&format!("{name}.toml"), &more)
    }

    /// The folder of the table.
    fn table(&self) -> PathBuf {
        self.root().join("events")
    }

    /// Signals the server of the object storage.
    fn signal_storage(&self, signal: Signal) {
        let process = self.storage.as_ref().unwrap().process();
        kill_process(Pid::from_raw(process.try_into().unwrap()).unwrap(), signal).unwrap();
    }

    /// What is in the table.
    fn rows(&self) -> Rows {
        match &self.storage {
            Some(storage) => Rows::read_from(storage.url.as_ref(), &storage.storage),
            None if self.table().exists() => Rows::read(&self.table()),
            None => Rows::default(),
        }
    }
}

/// A configuration that follows two logs of each server and commits often.
const USUAL: &str = r#"
[follow]
"@all" = ["System", "Application"]
[collect]
messages = "never"
[store]
url = "events"
flush-every = "1s"
"#;

/// A `quarryd` that runs.
struct Daemon {
    child: Child,
    log: PathBuf,
}

/// The program: the one of this build, unless `QUARRY_PROGRAM` names another.
fn program() -> PathBuf {
    std::env::var_os("QUARRY_PROGRAM")
        .map_or_else(|| env!("CARGO_BIN_EXE_quarryd").into(), Into::into)
}

/// A number that a variable of the environment gives, or this one.
fn given(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(otherwise)
}

/// `quarryd` with nothing of the tester's environment in its way.
fn quarryd(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.current_dir(folder).stdin(Stdio::null()).args(arguments);
    command.env("XDG_CONFIG_HOME", folder).env("XDG_DATA_HOME", folder).env("HOME", folder);
    command
}

impl Daemon {
    fn start(fleet: &Fleet, config: &str) -> Self {
        let log = fleet.root().join(format!("{config}.log"));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let mut command = quarryd(fleet.root(), &["serve", config]);
        command.envs(fleet.storage.iter().flat_map(ObjectStorage::environment));
        let child = command.stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Daemon { child, log }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn kill(mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }

    /// Stops it as systemd does, and waits: what is in hand is committed.
    fn stop(self) {
        self.signal(Signal::TERM);
        self.ends();
    }

    /// Waits until it has ended well.
    fn ends(mut self) {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{status}\n{}", self.said());
                return;
            }
            assert!(begun.elapsed() < HANGS, "it doesn't stop\n{}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until its log has a text so many times.
    fn wait_for(&self, text: &str, times: usize) {
        wait(|| self.said().matches(text).count() >= times, || self.said());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is so.
fn wait(is_so: impl FnMut() -> bool, why: impl Fn() -> String) {
    wait_for(HANGS, is_so, why);
}

/// The same, for what may take long.
fn wait_for(hangs: Duration, mut is_so: impl FnMut() -> bool, why: impl Fn() -> String) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < hangs, "it hangs: {}", why());
        std::thread::sleep(Duration::from_millis(200));
    }
}
