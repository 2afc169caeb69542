//! The question for a password on the terminal, and the process while it holds one.
#![cfg(unix)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, tcgetattr};

const QUARRY: &str = env!("CARGO_BIN_EXE_quarry");

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "it never came to this: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A scan that asks for a password on a terminal of its own.
struct Asking {
    child: Child,
    /// Where a person would type.
    keys: File,
    /// The terminal as the program has it.
    terminal: File,
}

impl Asking {
    fn new() -> Self {
        let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pty");
        rustix::pty::grantpt(&master).expect("it is ours");
        rustix::pty::unlockpt(&master).expect("it is ours");
        let name = rustix::pty::ptsname(&master, Vec::new()).expect("it has a name");
        let terminal: OwnedFd =
            rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("it opens");
        let terminal = File::from(terminal);
        let file = || Stdio::from(terminal.try_clone().expect("a descriptor"));
        let child = Command::new("env")
            .args(["--default-signal", "setsid", "--ctty", QUARRY])
            .args(["scan", "-u", "nobody", "127.0.0.1"])
            .stdin(file())
            .stdout(file())
            .stderr(file())
            .spawn()
            .expect("it starts");
        let asking = Asking { child, keys: File::from(master), terminal };
        eventually("the password is asked for", || !asking.echoes());
        asking
    }

    fn echoes(&self) -> bool {
        tcgetattr(&self.terminal).expect("it is there").local_modes.contains(LocalModes::ECHO)
    }

    fn end(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("it ends", || {
            status = self.child.try_wait().expect("it can be asked");
            status.is_some()
        });
        status.expect("it has ended")
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_signal_at_the_password_prompt_gives_the_terminal_back() {
    for signal in [Signal::TERM, Signal::HUP, Signal::QUIT] {
        let mut asking = Asking::new();
        kill_process(Pid::from_child(&asking.child), signal).expect("it is there");
        assert_eq!(asking.end().signal(), Some(signal.as_raw()));
        assert!(asking.echoes(), "{signal:?}: what is typed is not shown");
    }
}

#[test]
fn ctrl_c_at_the_password_prompt_interrupts() {
    let mut typed = Asking::new();
    typed.keys.write_all(b"half\x03").expect("it is typed");
    assert_eq!(typed.end().code(), Some(130));
    assert!(typed.echoes());

    let mut sent = Asking::new();
    kill_process(Pid::from_child(&sent.child), Signal::INT).expect("it is there");
    assert_eq!(sent.end().code(), Some(130));
    assert!(sent.echoes());
}

/// While a password is held, a core dump would have it in it, and so would whoever attaches. The
/// kernel gives the files of such a process in /proc to root (proc(5)), which is how it shows.
#[cfg(target_os = "linux")]
#[test]
fn a_process_that_holds_a_password_leaves_no_core_dump_and_nobody_can_attach() {
    const NOBODY: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "CI leaves nothing out, and this needs root");
        return;
    }
    // Whoever it runs as has to be able to execute it.
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("it is ours");
    let program = folder.path().join("quarry");
    std::fs::copy(QUARRY, &program).expect("it can be copied");
    let mut child = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args(["scan", "-u", "nobody", "--password-fd", "0", "127.0.0.1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("setpriv runs");
    let proc = |name: &str| format!("/proc/{}/{name}", child.id());
    let owner = || std::fs::metadata(proc("environ")).map(|metadata| metadata.uid());
    eventually("it is nobody's program", || {
        std::fs::read_link(proc("exe")).is_ok_and(|path| path == program)
    });
    eventually("it can't be attached to", || owner().is_ok_and(|uid| uid == 0));
    let limits = std::fs::read_to_string(proc("limits")).expect("it can be read");
    let core = limits.lines().find(|line| line.starts_with("Max core file size"));
    let soft = core.and_then(|line| line.split_whitespace().nth(4));
    assert_eq!(soft, Some("0"), "{core:?}");
    // The check can fail: another program of nobody's is nobody's.
    let mut other = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "sleep", "60"])
        .spawn()
        .expect("setpriv runs");
    eventually("the other is nobody's", || {
        let environ = format!("/proc/{}/environ", other.id());
        std::fs::metadata(environ).is_ok_and(|metadata| metadata.uid() == NOBODY)
    });
    let _ = other.kill();
    let _ = other.wait();
    drop(child.stdin.take());
    let mut said = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
    assert!(!child.wait().expect("it ends").success(), "{said}");
}

#[test]
fn a_password_file_that_others_can_read_is_warned_of_even_when_quiet() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("password");
    std::fs::write(&path, "secret\n").expect("it is written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("it is ours");
    let output = Command::new(QUARRY)
        .args(["scan", "-q", "-u", "nobody", "--connect-timeout", "1s", "--password-file"])
        .args([path.as_os_str(), "even6://127.0.0.1:1".as_ref()])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("password can be read or written by others"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}
