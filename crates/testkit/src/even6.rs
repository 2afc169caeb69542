//! The MS-EVEN6 rig: its server, and the Python for its clients.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The rig's folder and a Python for its scripts, or `None` after saying so.
pub fn even6_python() -> Option<(PathBuf, PathBuf)> {
    let rig = super::rig("even6")?;
    let python = super::python("even6", &rig.join("requirements.txt"));
    Some((rig, python))
}

/// The rig's server, on free ports of the loopback; ended when dropped.
#[derive(Debug)]
pub struct Even6Server {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    /// The interface's port.
    pub port: u16,
    /// The endpoint mapper's.
    pub mapper_port: u16,
}

impl Even6Server {
    /// Starts it with an account `alice` whose password is `Passw0rd!`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(rig: &Path, python: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/python/even6_server.py"))
            .arg(rig.join("server.py"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .args(["--port", "0", "--epm-port", "0", "--user", "alice:Passw0rd!"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the rig's server starts");
        let stdin = child.stdin.take();
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("the rig's server says that it is ready");
        let ready = line.strip_prefix("READY ").unwrap_or_else(|| panic!("not ready: {line:?}"));
        let ready: serde_json::Value = serde_json::from_str(ready).expect("READY has JSON");
        let port = |name: &str| ready[name].as_u64().and_then(|port| port.try_into().ok());
        Self {
            port: port("port").expect("a port"),
            mapper_port: port("epm_port").expect("a port"),
            child,
            stdin,
            stdout,
        }
    }

    /// The server's own count of what it did.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn stats(&mut self) -> serde_json::Value {
        let stdin = self.stdin.as_mut().expect("not ended");
        stdin.write_all(b"stats\n").and_then(|()| stdin.flush()).expect("the server reads");
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("the server answers");
        let json = line.find('{').map_or("", |at| &line[at..]);
        serde_json::from_str(json).unwrap_or_else(|_| panic!("not JSON: {line:?}"))
    }
}

impl Drop for Even6Server {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.stdin.take() {
            let _ = stdin.write_all(b"quit\n");
        }
        for _ in 0..50 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
