//! Samba's domain controller, and a client of its domain, as the rig `samba` brings them up: each in
//! a network namespace of its own. It needs root, CAP_SYS_ADMIN and Debian's packages.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{has_program, rig, skip};

/// What bringing the domain up may take, in seconds, on a busy machine.
const LONGEST: &str = "400";

/// A domain controller and a client of it, ended when dropped.
///
/// The realm is BEDROCK.TEST, the domain BEDROCK, the controller granite.bedrock.test; `barney` and
/// `fred` have accounts in it.
#[derive(Debug)]
pub struct SambaDomain {
    rig: PathBuf,
    folder: PathBuf,
}

impl SambaDomain {
    /// The controller's name.
    pub const HOST: &str = "granite.bedrock.test";
    /// The controller's address.
    pub const ADDRESS: &str = "10.87.1.1";
    /// The passwords of `barney` and `fred`.
    pub const PASSWORDS: [(&str, &str); 2] = [("barney", "bambam"), ("fred", "pebbles1!")];

    /// Starts it. `None`, after saying so, where that can't be.
    ///
    /// # Panics
    /// When it should start and doesn't.
    pub fn start() -> Option<Self> {
        let rig = rig("samba")?;
        let may = Command::new("unshare").args(["--net", "--mount", "true"]).output();
        if !may.is_ok_and(|output| output.status.success()) {
            skip("a domain", "it needs root and network namespaces");
            return None;
        }
        for (program, package) in [
            ("samba-tool", "samba samba-ad-provision samba-dsdb-modules"),
            ("winbindd", "winbind"),
            ("ip", "iproute2"),
            ("kinit", "krb5-user"),
            ("faketime", "faketime"),
            ("rpcclient", "smbclient"),
        ] {
            if !has_program(program, package) {
                return None;
            }
        }
        // Short, as sockets are in it.
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(format!("/tmp/quarry-kdc-{}-{number}", std::process::id()));
        let domain = Self { rig, folder };
        domain.up();
        Some(domain)
    }

    /// Has the controller begin anew, with a line more in `[global]`.
    ///
    /// # Panics
    /// When that fails.
    pub fn restart_with(&self, line: &str) {
        let conf = self.folder.join("dc/etc/smb.conf");
        let text = fs::read_to_string(&conf).expect("the rig's configuration");
        // At the end of the first section, as the last of equal settings counts.
        let (before, global) = text.split_once("[global]\n").expect("a first section");
        let (global, rest) = global.split_once("\n[").expect("further ones");
        let text = format!("{before}[global]\n{global}\n{line}\n[{rest}");
        fs::write(&conf, text).expect("it can be written");
        self.up();
    }

    fn up(&self) {
        self.script("ad-up");
    }

    /// Makes the client a member of the domain, slate.bedrock.test, whose name service and PAM know
    /// the domain's accounts, and which serves logs of its own.
    ///
    /// # Panics
    /// When that fails.
    pub fn join(&self) {
        self.script("ad-member-up");
    }

    fn script(&self, name: &str) {
        let output = Command::new("timeout")
            .arg(LONGEST)
            .arg(self.rig.join(name))
            .arg(&self.folder)
            .output()
            .expect("timeout runs");
        assert!(output.status.success(), "{name}: {output:?}");
    }

    /// The folder of the files that the client has in place of those in `/etc`.
    ///
    /// # Panics
    /// When the rig has none.
    pub fn client_etc(&self) -> PathBuf {
        let namespace = fs::read_to_string(self.folder.join("ns-client")).expect("the rig's");
        Path::new("/etc/netns").join(namespace.trim())
    }

    /// Where its files are: keytabs and logs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs something on the client, with a text on its standard input.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn run(&self, input: &str, words: &[&str]) -> Output {
        self.run_in("client", input, words)
    }

    /// Runs something on the controller that has to succeed, and gives what it printed.
    ///
    /// # Panics
    /// When it doesn't succeed.
    pub fn administer(&self, words: &[&str]) -> String {
        let output = self.run_in("dc", "", words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Fills a log with as many records of the rig's, wild ones, and gives them as it has them.
    ///
    /// # Panics
    /// When that fails.
    pub fn fill(&self, log: &str, count: u32) -> Vec<serde_json::Value> {
        let folder = self.folder.join("dc");
        let output = Command::new(self.rig.join("even-fill"))
            .arg(&folder)
            .args([log, &count.to_string(), "--tdb", "--wild"])
            .output()
            .expect("the rig's script starts");
        assert!(output.status.success(), "even-fill: {output:?}");
        let text = fs::read_to_string(folder.join(format!("{log}.expected.jsonl")));
        let text = text.expect("what is expected");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// The command that runs something on the client.
    pub fn command(&self, words: &[&str]) -> Command {
        self.command_in("client", words)
    }

    fn command_in(&self, place: &str, words: &[&str]) -> Command {
        let mut command = Command::new(self.rig.join("ad-in"));
        command.arg(&self.folder).arg(place).args(words);
        command.env_remove("KRB5CCNAME").env_remove("KRB5_CONFIG");
        command
    }

    fn run_in(&self, place: &str, input: &str, words: &[&str]) -> Output {
        let mut child = self
            .command_in(place, words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the rig's script starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // It may have ended without reading.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("it ends")
    }
}

impl Drop for SambaDomain {
    fn drop(&mut self) {
        let _ = Command::new(self.rig.join("ad-down")).arg(&self.folder).output();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
