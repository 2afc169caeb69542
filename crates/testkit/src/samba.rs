//! Samba's smbd on the loopback, with event logs to read over MS-EVEN. It needs root and Debian's
//! samba, smbclient and python3-tdb, and nothing from outside of the repository.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

use crate::{has_program, skip};

/// A running smbd; ended, and its folder removed, when dropped.
#[derive(Debug)]
pub struct SambaServer {
    folder: PathBuf,
    child: Child,
    /// The port of SMB.
    pub port: u16,
}

impl SambaServer {
    /// The account that may read every log.
    pub const USER: &str = "root";
    /// Its password.
    pub const PASSWORD: &str = "bambam";
    /// The logs there are.
    pub const LOGS: [&str; 3] = ["Application", "System", "Security"];

    /// Starts it; each of `settings` is a line of `[global]`. `None`, after saying so, where that
    /// can't be.
    ///
    /// # Panics
    /// When it should start and doesn't.
    pub fn start(settings: &[&str]) -> Option<Self> {
        if !cfg!(unix) || !is_root() {
            skip("smbd", "it has to be started by root");
            return None;
        }
        let tools = [("smbd", "samba"), ("rpcclient", "smbclient"), ("eventlogadm", "samba")];
        if !tools.iter().all(|(name, package)| has_program(&tool(name), package)) {
            return None;
        }
        // Sockets in it have names of at most 107 bytes.
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("quarry-smbd-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let port = free_port();
        write_configuration(&folder, port, settings).expect("the folder can be written");
        let conf = folder.join("smb.conf");
        set_password(&conf);
        let mut command = Command::new(tool("smbd"));
        // When it ends it sends SIGTERM to its process group, which must not be ours.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command
            .args(["--foreground", "--no-process-group", "--configfile"])
            .arg(&conf)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("smbd starts");
        let server = Self { folder, child, port };
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(server);
            }
            sleep(Duration::from_millis(100));
        }
        panic!("smbd does not listen");
    }

    /// Appends records to a log, each a line of JSON as `python/samba_fill.py` says. A log has to
    /// have been opened once before, by anybody.
    ///
    /// # Panics
    /// When that fails.
    pub fn fill(&self, log: &str, records: &[serde_json::Value]) {
        self.change(log, None, records);
    }

    /// Drops all records of a log, which counts anew from then on, and appends some.
    ///
    /// # Panics
    /// When that fails.
    pub fn clear(&self, log: &str, records: &[serde_json::Value]) {
        self.change(log, Some("clear"), records);
    }

    /// Drops the records of a log below a number, as if it had wrapped, and appends some.
    ///
    /// # Panics
    /// When that fails.
    pub fn wrap(&self, log: &str, below: u64, records: &[serde_json::Value]) {
        self.change(log, Some(&below.to_string()), records);
    }

    fn change(&self, log: &str, drop_records: Option<&str>, records: &[serde_json::Value]) {
        let mut child = Command::new("/usr/bin/python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/python/samba_fill.py"))
            .arg(&self.folder)
            .arg(log)
            .args(drop_records)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let mut lines = child.stdin.take().expect("stdin is piped");
        for record in records {
            writeln!(lines, "{record}").expect("the records can be sent");
        }
        drop(lines);
        let status = child.wait().expect("Python ends");
        assert!(status.success(), "filling {log}: {status}");
    }

    /// The seconds of processors that it has used, with what it has waited for.
    ///
    /// # Panics
    /// When the system doesn't say.
    pub fn processor_time(&self) -> f64 {
        let output = Command::new("getconf").arg("CLK_TCK").output().expect("getconf runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let ticks: f64 = text.trim().parse().expect("ticks a second");
        let used = |id: &String| {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            // The fields after the name, which may hold anything: utime to cstime are the 12th on.
            let fields = stat.rsplit(')').next().unwrap_or_default();
            let times = fields.split_whitespace().skip(11).take(4);
            times.filter_map(|time| time.parse::<f64>().ok()).sum::<f64>()
        };
        processes_of(&self.folder.join("smb.conf")).iter().map(used).sum::<f64>() / ticks
    }

    /// Opens each log once with Samba's own client, which makes what they need in the registry.
    ///
    /// # Panics
    /// When they can't be opened in the time that it usually takes, many times over.
    pub fn open_logs(&self) {
        let commands: Vec<String> =
            Self::LOGS.iter().map(|log| format!("eventlog_numrecord {log}")).collect();
        let mut said = String::new();
        for _ in 0..50 {
            let output = Command::new(tool("rpcclient"))
                .arg("-s")
                .arg(self.folder.join("smb.conf"))
                .args(["-p", &self.port.to_string(), "-U"])
                .arg(format!("{}%{}", Self::USER, Self::PASSWORD))
                .args(["127.0.0.1", "-c", &commands.join("; ")])
                .output()
                .expect("rpcclient runs");
            said = String::from_utf8_lossy(&output.stdout).into_owned();
            if said.matches("number of records").count() == Self::LOGS.len() {
                return;
            }
            sleep(Duration::from_millis(200));
        }
        panic!("the logs can't be opened: {said}");
    }
}

impl Drop for SambaServer {
    fn drop(&mut self) {
        // smbd has helpers that don't end with it; all have our configuration as an argument.
        for signal in ["-TERM", "-TERM", "-KILL"] {
            let ours = processes_of(&self.folder.join("smb.conf"));
            if ours.is_empty() {
                break;
            }
            let _ = Command::new("kill").arg(signal).args(&ours).output();
            for _ in 0..20 {
                let _ = self.child.try_wait();
                if processes_of(&self.folder.join("smb.conf")).is_empty() {
                    break;
                }
                sleep(Duration::from_millis(50));
            }
        }
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}

/// A program of the administrator's, which need not be in the path.
fn tool(name: &str) -> String {
    let there = ["/usr/sbin", "/usr/bin"].map(|folder| format!("{folder}/{name}"));
    there.into_iter().find(|path| Path::new(path).exists()).unwrap_or_else(|| name.to_owned())
}

/// A port for smbd, which can't choose one itself and tell. It is none of those that connections get,
/// so that none of the tests that run meanwhile takes it, and none that this process had before.
fn free_port() -> u16 {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(61);
    (0..1000)
        .map(|_| first.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed)) % 20_000)
        .filter_map(|number| u16::try_from(10_000 + number).ok())
        .find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        .expect("a port is free")
}

fn write_configuration(folder: &Path, port: u16, settings: &[&str]) -> std::io::Result<()> {
    for name in ["lock", "state", "cache", "private", "pid", "ncalrpc", "winbindd", "share"] {
        fs::create_dir_all(folder.join(name))?;
    }
    let shown = folder.display();
    let mut text = format!(
        "[global]\nworkgroup = BEDROCK\nnetbios name = QUARRY\nserver role = standalone server\n\
         disable netbios = yes\nsmb ports = {port}\ninterfaces = lo\nbind interfaces only = yes\n\
         map to guest = never\npassdb backend = tdbsam:{shown}/private/passdb.tdb\n\
         private dir = {shown}/private\nlock directory = {shown}/lock\n\
         state directory = {shown}/state\ncache directory = {shown}/cache\n\
         pid directory = {shown}/pid\nncalrpc dir = {shown}/ncalrpc\n\
         winbindd socket directory = {shown}/winbindd\nlog file = {shown}/log.smb\n\
         load printers = no\nprintcap name = /dev/null\ndisable spoolss = yes\n\
         unix extensions = no\neventlog list = {}\nrpcd_classic:idle_seconds = 600\n\
         rpcd_winreg:idle_seconds = 600\n",
        SambaServer::LOGS.join(" "),
    );
    settings.iter().for_each(|line| text = format!("{text}{line}\n"));
    text += &format!("[share]\npath = {shown}/share\n");
    fs::write(folder.join("smb.conf"), text)
}

fn set_password(conf: &Path) {
    let mut child = Command::new(tool("smbpasswd"))
        .arg("-c")
        .arg(conf)
        .args(["-s", "-a", SambaServer::USER])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("smbpasswd starts");
    let password = SambaServer::PASSWORD;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    write!(stdin, "{password}\n{password}\n").expect("the password can be told");
    drop(stdin);
    assert!(child.wait().is_ok_and(|status| status.success()), "smbpasswd");
}

/// The processes that have a configuration as an argument.
fn processes_of(conf: &Path) -> Vec<String> {
    let conf = conf.to_string_lossy();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let is_ours = |id: &String| {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|argument| {
            let argument = String::from_utf8_lossy(argument);
            argument == conf || argument.strip_prefix("--configfile=") == Some(&*conf)
        })
    };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(is_ours)
        .collect()
}
