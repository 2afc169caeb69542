//! `quarry serve` for the accounts of a system: real accounts in a mount namespace of the test's, and
//! Python's TLS on the other side.
#![cfg(target_os = "linux")]

#[path = "cli/evtx.rs"]
#[allow(dead_code, reason = "other tests make more of it")]
mod evtx;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use evtx::{event, file};
use quarry_testkit::Visitor;
use quarry_testkit::accounts::{self, PASSWORD, WRONG};
use serde_json::Value;

const QUARRY: &str = env!("CARGO_BIN_EXE_quarry");
/// Longest time that something of another process may take.
const LONG: Duration = Duration::from_secs(60);

const RULES: &str = r#"
[sign-in]
groups = ["readers", "bob"]

[access.all]
groups = ["readers", "bob"]
on = ["*"]
logs = ["*", "Security"]

[access.auditors]
groups = ["readers"]
may = ["audit"]
"#;

/// A page that is served, as a process.
struct Page {
    child: Child,
    _out: BufReader<ChildStdout>,
    visitor: Visitor,
    fingerprint: String,
}

fn quarry(arguments: &[&str]) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal", QUARRY]).args(arguments).stdin(Stdio::null());
    command
}

impl Page {
    fn start(arguments: &[&str]) -> Self {
        let mut child = quarry(&[&["serve", "--listen", "127.0.0.1:0"], arguments].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("quarry starts");
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut address = String::new();
        out.read_line(&mut address).expect("text");
        let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut fingerprint = String::new();
        let mut all = String::new();
        while fingerprint.is_empty() && !all.contains("Ctrl-C") {
            let mut line = String::new();
            if said.read_line(&mut line).expect("text") == 0 {
                break;
            }
            all.push_str(&line);
            if line.trim().split(':').count() == 32 {
                line.trim().clone_into(&mut fingerprint);
            }
        }
        // What it says later is for who looks at the test.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::stderr()));
        assert!(address.starts_with("https://"), "no address: {address:?}\n{all}");
        Page { child, _out: out, visitor: Visitor::of(&address), fingerprint }
    }

    /// Ends it by a signal to the process that was started, and gives its exit status.
    fn stop(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status.code();
            }
            assert!(began.elapsed() < LONG, "it doesn't end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The processes that it has started, each with its arguments and the first of its user ids.
    fn processes(&self) -> Vec<(String, String)> {
        let parent = format!("PPid:\t{}\n", self.child.id());
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            if !status.contains(&parent) {
                continue;
            }
            let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
            let user = status.lines().find_map(|line| line.strip_prefix("Uid:\t"));
            let user = user.and_then(|ids| ids.split('\t').next()).unwrap_or_default();
            found.push((arguments, user.to_owned()));
        }
        found
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn put(path: &Path, content: &[u8], mode: u32, owner: (u32, u32)) {
    fs::write(path, content).expect("the folder is root's");
    chown(path, Some(owner.0), Some(owner.1)).expect("root may");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("root may");
}

/// The account `service`, which the web process runs as.
const SERVICE: (u32, u32) = (7900, 7900);
const READERS: u32 = 7201;

/// A folder with two logs, rules and a place for the audit.
fn files() -> (PathBuf, String, String) {
    let folder = accounts::folder();
    let logs = folder.join("logs");
    fs::create_dir(&logs).expect("the folder is root's");
    fs::set_permissions(&logs, fs::Permissions::from_mode(0o755)).expect("root may");
    let of = |user: &str| file(&[(1..=3).map(|n| event(n, n, 4625, user)).collect()]);
    put(&logs.join("everyone.evtx"), &of("known-to-all"), 0o644, (0, 0));
    // Neither the web process nor bob may read it.
    put(&logs.join("readers.evtx"), &of("for-readers"), 0o640, (0, READERS));
    put(&folder.join("access.toml"), RULES.as_bytes(), 0o644, (0, 0));
    put(&folder.join("audit.jsonl"), b"", 0o600, SERVICE);
    let path = |name: &str| folder.join(name).display().to_string();
    (logs, path("access.toml"), path("audit.jsonl"))
}

#[test]
fn accounts_sign_in_over_tls_and_files_are_opened_as_who_asks() {
    if !accounts::inside("accounts_sign_in_over_tls_and_files_are_opened_as_who_asks") {
        return;
    }
    let (logs, access, audit) = files();
    let logs = logs.display().to_string();
    let page = Page::start(&[&logs, "--access", &access, "--audit", &audit, "--run-as", "service"]);

    // Who faces the network has no privileges, and who has them listens to nobody.
    let processes = page.processes();
    let [(arguments, user)] = &processes[..] else { panic!("{processes:?}") };
    assert!(arguments.contains("--unprivileged"), "{arguments}");
    assert_eq!(user, "7900");

    let form = page.visitor.get("/sign-in", "");
    assert_eq!(form["status"], 200);
    assert_eq!(form["fingerprint"], page.fingerprint.as_str());
    assert_eq!(form["hsts"], Value::Null, "browsers don't trust a certificate of its own");
    assert_eq!(page.visitor.get("/api/v1/events", "")["status"], 401);
    for (user, password) in [("alice", WRONG), ("no-such-user", PASSWORD), ("locked", PASSWORD)] {
        assert_eq!(page.visitor.sign_in(user, password)["status"], 403, "{user}");
    }
    // A right password of somebody whom no rule lets in.
    assert_eq!(page.visitor.sign_in("u1", PASSWORD)["status"], 403);

    let (alice, bob) = (page.visitor.cookie_of("alice"), page.visitor.cookie_of("bob"));
    let users = |cookie: &str| {
        let answer = page.visitor.get("/api/v1/events?format=json", cookie);
        assert_eq!(answer["status"], 200, "{answer}");
        let body: Value =
            serde_json::from_str(answer["body"].as_str().expect("text")).expect("JSON");
        let events = body["events"].as_array().expect("events");
        let user = |event: &Value| event["data"]["TargetUserName"].as_str().map(str::to_owned);
        let mut users: Vec<String> = events.iter().filter_map(user).collect();
        users.sort();
        users.dedup();
        (users, body["outcome"]["failed"].clone())
    };
    let (of_alice, failed) = users(&alice);
    assert_eq!(
        (of_alice, failed),
        (vec!["for-readers".into(), "known-to-all".into()], Value::Array(vec![]))
    );
    let (of_bob, failed) = users(&bob);
    assert_eq!(of_bob, ["known-to-all"]);
    let failed = failed.to_string();
    assert!(failed.contains("readers.evtx") && failed.contains("permission denied"), "{failed}");
    // Nothing of the file is told on a page either, whatever the program could find out.
    for path in ["/", "/api/v1/servers", "/events", "/api/v1/facets"] {
        let seen = page.visitor.get(path, &bob);
        assert_eq!(seen["status"], 200, "{path}");
        assert!(!seen["body"].as_str().expect("text").contains("for-readers"), "{path}");
    }

    // Each question is in the audit before its answer, with who asked; and sign-ins, and refusals.
    let audit = fs::read_to_string(&audit).expect("root may");
    let lines: Vec<Value> =
        audit.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |act: &str, person: &str| {
        lines.iter().filter(|line| line["act"] == act && line["person"] == person).count()
    };
    assert_eq!((of("sign-in", "alice"), of("sign-in", "bob"), of("refusal", "alice")), (1, 1, 1));
    assert!(of("question", "alice") == 1 && of("question", "bob") >= 1, "{audit}");
    assert_eq!(page.visitor.get("/status/audit", &alice)["status"], 200);
    assert_eq!(page.visitor.get("/status/audit", &bob)["status"], 403);

    assert_eq!(page.stop(), Some(0));
}

#[test]
fn a_certificate_that_changes_is_shown_without_a_restart() {
    if !accounts::inside("a_certificate_that_changes_is_shown_without_a_restart") {
        return;
    }
    let (logs, access, audit) = files();
    let folder = accounts::folder();
    let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
    let make = |name: &str| {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-nodes", "-days", "30", "-subj", &format!("/CN={name}"), "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&chain)
            .output()
            .expect("openssl runs");
        assert!(made.status.success(), "{made:?}");
        chown(&key, Some(SERVICE.0), Some(SERVICE.1)).expect("root may");
        let digest = Command::new("openssl")
            .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
            .arg(&chain)
            .output()
            .expect("openssl runs");
        let digest = String::from_utf8(digest.stdout).expect("text");
        digest.trim().rsplit('=').next().expect("a fingerprint").to_owned()
    };
    let first = make("first");
    let [logs, chain_path, key_path] = [&logs, &chain, &key].map(|path| path.display().to_string());
    let page = Page::start(&[
        &logs,
        "--access",
        &access,
        "--audit",
        &audit,
        "--run-as",
        "service",
        "--certificate",
        &chain_path,
        "--key",
        &key_path,
    ]);
    assert_eq!(page.fingerprint, "", "a certificate of an authority's is trusted by itself");
    let form = page.visitor.get("/sign-in", "");
    assert_eq!(form["fingerprint"], first);
    assert!(form["hsts"].is_string());
    let second = make("second");
    assert_ne!(first, second);
    let began = Instant::now();
    while page.visitor.get("/sign-in", "")["fingerprint"] != second {
        assert!(began.elapsed() < LONG, "the new certificate isn't shown");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(page.stop(), Some(0));
}

/// What it says where it can't start.
fn refused(command: &mut Command) -> String {
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let began = Instant::now();
    while child.try_wait().expect("it can be waited for").is_none() {
        if began.elapsed() > LONG {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let Output { status, stderr, .. } = child.wait_with_output().expect("it has ended");
    assert_eq!(status.code(), Some(2));
    String::from_utf8(stderr).expect("text")
}

#[test]
fn what_is_missing_is_said_with_what_to_do_and_nothing_is_served() {
    if !accounts::inside("what_is_missing_is_said_with_what_to_do_and_nothing_is_served") {
        return;
    }
    let (logs, access, audit) = files();
    let logs = logs.display().to_string();
    let serve = |more: &[&str]| {
        let common = ["serve", &*logs, "--listen", "127.0.0.1:0"];
        quarry(&[&common[..], more].concat())
    };
    let all = ["--access", &*access, "--audit", &*audit, "--run-as", "service"];
    let says = |command: &mut Command, texts: &[&str]| {
        let said = refused(command);
        for text in texts {
            assert!(said.to_lowercase().contains(&text.to_lowercase()), "no {text:?} in {said}");
        }
    };
    says(
        &mut quarry(&["serve", &logs, "--listen", "0.0.0.0:0"]),
        &["0.0.0.0", "needs TLS and sign-in", "--access"],
    );
    says(&mut serve(&["--access", &access]), &["needs --audit", "audit.jsonl"]);
    says(
        &mut serve(&["--access", &access, "--audit", &audit, "--run-as", "nobody-here"]),
        &["no account nobody-here", "useradd"],
    );
    says(&mut serve(&[&all[..4], &["--run-as", "root"]].concat()), &["must not run as root"]);
    let mut unprivileged = Command::new("setpriv");
    unprivileged
        .args(["--reuid", "7102", "--regid", "7102", "--clear-groups", QUARRY, "serve", &logs])
        .args(["--listen", "127.0.0.1:0"])
        .args(all)
        .stdin(Stdio::null());
    says(&mut unprivileged, &["start it as root"]);
    says(
        &mut serve(&["--access", "/nowhere.toml", "--audit", &audit, "--run-as", "service"]),
        &["--access /nowhere.toml", "no such file"],
    );
    let wrong = accounts::folder().join("wrong.toml").display().to_string();
    put(wrong.as_ref(), b"[access.a]\ngroups = [\"x\"]\n", 0o644, (0, 0));
    says(
        &mut serve(&["--access", &wrong, "--audit", &audit, "--run-as", "service"]),
        &["access.a", "allows nothing", "docs/serve.md"],
    );
    put(audit.as_ref(), b"", 0o600, (0, 0));
    says(&mut serve(&all), &["--audit", "permission denied", "runs as service"]);
    fs::remove_file("/etc/pam.d/quarry").expect("it is the test's");
    says(&mut serve(&all), &["PAM has no service quarry", "/etc/pam.d/quarry"]);
}

#[test]
fn a_helper_that_is_killed_takes_the_page_with_it() {
    if !accounts::inside("a_helper_that_is_killed_takes_the_page_with_it") {
        return;
    }
    let (logs, access, audit) = files();
    let logs = logs.display().to_string();
    let mut page =
        Page::start(&[&logs, "--access", &access, "--audit", &audit, "--run-as", "service"]);
    page.visitor.cookie_of("alice");
    page.child.kill().expect("it is ours");
    // Standard output ends with the last process that has it.
    let mut rest = String::new();
    page._out.read_to_string(&mut rest).expect("text");
    assert_eq!(rest, "");
}

/// Who sits at a terminal: reads an address, presses Enter, and reads another.
const AT_A_TERMINAL: &str = r#"
import os, pty, re, signal, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
signal.alarm(60)
said = b""
def addresses(count):
    global said
    while len(set(re.findall(rb"token=(\S+)\r\n", said))) < count:
        said += os.read(terminal, 4096)
addresses(1)
os.write(terminal, b"\n")
addresses(2)
os.kill(pid, signal.SIGTERM)
print("another")
"#;

#[test]
fn enter_prints_another_address_where_the_page_is_served_from_a_terminal() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("made.evtx");
    fs::write(&log, file(&[vec![event(1, 1, 4625, "a")]])).expect("it can be written");
    let output = Command::new("python3")
        .args(["-c", AT_A_TERMINAL, QUARRY, "serve", "--listen", "127.0.0.1:0"])
        .arg(&log)
        .output()
        .expect("Python runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "another\n", "{said}");
}
