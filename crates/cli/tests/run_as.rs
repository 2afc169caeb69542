//! `quarry run-as` on Linux, with real accounts in a mount namespace of the test's.
#![cfg(target_os = "linux")]

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use linux_keyutils::{KeyRing, KeyRingIdentifier};
use quarry_testkit::accounts::{self, PASSWORD, WRONG};
use rustix::process::{Pid, Signal, kill_process};

const QUARRY: &str = env!("CARGO_BIN_EXE_quarry");
/// Where a copy of it is, that everybody may run.
const COPY: &str = "QUARRY_TEST_COPY";

/// The command, which gets what is written to its standard input.
fn start(arguments: &[&str]) -> Child {
    // With the signals' default actions, whatever the tests were started with.
    Command::new("env")
        .arg("--default-signal")
        .arg(env::var_os(COPY).unwrap_or_else(|| QUARRY.into()))
        .arg("run-as")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("quarry starts")
}

/// Runs it with a password as the first line of its standard input.
fn run(password: &str, arguments: &[&str]) -> Output {
    let mut child = start(arguments);
    let mut stdin = child.stdin.take().expect("a pipe");
    // It may have ended without reading.
    let _ = stdin.write_all(format!("{password}\nthe rest\n").as_bytes());
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect(program);
    printed(&output)
}

#[test]
fn the_command_is_the_user_and_nobody_else() {
    if !accounts::inside("the_command_is_the_user_and_nobody_else") {
        return;
    }
    for user in ["alice", "bob", r".\alice"] {
        let output = run(PASSWORD, &[user, "--password-fd", "0", "--", "id"]);
        let name = user.trim_start_matches(r".\");
        // What id says of an account is what it says in a session of the account's.
        assert_eq!(printed(&output), output_of("id", &[name]));
        assert_eq!(said(&output), "");
    }
}

#[test]
fn the_exit_status_is_the_commands() {
    if !accounts::inside("the_exit_status_is_the_commands") {
        return;
    }
    let code = |arguments: &[&str]| {
        let output =
            run(PASSWORD, &[&["alice", "--password-fd=0", "--env-clean"], arguments].concat());
        (output.status.code(), said(&output))
    };
    assert_eq!(code(&["--", "true"]), (Some(0), String::new()));
    assert_eq!(code(&["--", "sh", "-c", "exit 42"]), (Some(42), String::new()));
    assert_eq!(code(&["--", "sh", "-c", "kill -TERM $$"]), (Some(143), String::new()));
    let (status, why) = code(&["--", "no-such-command"]);
    assert_eq!(status, Some(127));
    assert!(why.contains("cannot run no-such-command: no such file"), "{why}");
    let (status, why) = code(&["--", "/etc/passwd"]);
    assert_eq!(status, Some(126));
    assert!(why.contains("cannot run /etc/passwd: permission denied"), "{why}");
    assert_eq!(code(&["--no-such-option"]).0, Some(2));
    assert_eq!(code(&["--netonly", "--", "true"]).0, Some(125));
    assert_eq!(code(&["--domain", "CORP", "--domain", "X"]).0, Some(2));
    assert_eq!(run(PASSWORD, &["a/b", "--", "true"]).status.code(), Some(2));
    assert_eq!(run(PASSWORD, &["a@b", "-d", "c", "--", "true"]).status.code(), Some(2));
}

#[test]
fn a_refusal_is_late_logged_and_the_same_whether_or_not_there_is_such_an_account() {
    let test = "a_refusal_is_late_logged_and_the_same_whether_or_not_there_is_such_an_account";
    if !accounts::inside(test) {
        return;
    }
    let log = UnixDatagram::bind("/dev/log").expect("this /dev is ours");
    log.set_nonblocking(true).expect("it can be");
    let logged = || {
        let mut lines = String::new();
        let mut buffer = [0; 4096];
        while let Ok(length) = log.recv(&mut buffer) {
            lines.push_str(&String::from_utf8_lossy(&buffer[..length]));
            lines.push('\n');
        }
        lines
    };
    let mut told = Vec::new();
    for (user, reason) in [("alice", "Authentication failure"), ("no-such-user", "")] {
        let began = Instant::now();
        let output = run(WRONG, &[user, "--password-fd", "0", "--", "echo", "never"]);
        assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
        assert_eq!(output.status.code(), Some(125));
        assert!(output.stdout.is_empty());
        told.push(said(&output));
        let lines = logged();
        let expected = format!("logon of {user} failed: {reason}");
        assert!(lines.contains("quarry run-as[") && lines.contains(&expected), "{lines}");
        assert!(!lines.contains(WRONG), "{lines}");
    }
    assert_eq!(told[0], "error: the logon was refused\n");
    assert_eq!(told[0], told[1]);

    let output = run(PASSWORD, &["expired", "--password-fd=0", "--", "echo", "never"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(said(&output).contains("may not log on"), "{}", said(&output));
}

#[test]
fn the_password_comes_from_a_descriptor_or_a_file_and_the_rest_is_the_commands() {
    let test = "the_password_comes_from_a_descriptor_or_a_file_and_the_rest_is_the_commands";
    if !accounts::inside(test) {
        return;
    }
    let output = run(PASSWORD, &["alice", "--password-fd", "0", "--", "cat"]);
    assert_eq!(printed(&output), "the rest\n");

    let path = accounts::folder().join("password");
    fs::write(&path, format!("{PASSWORD}\n")).expect("the folder is root's");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("root may");
    let path = path.to_str().expect("text");
    // The descriptor is not open in the command, where the file could be read once more.
    let script = r#"exec "$0" run-as alice --password-fd 3 -- ls /proc/self/fd 3< "$1""#;
    assert_eq!(output_of("sh", &["-c", script, QUARRY, path]), "0\n1\n2\n3\n");

    let output = run("", &["alice", "--password-file", path, "--", "id", "-un"]);
    assert_eq!((printed(&output), said(&output)), ("alice\n".into(), String::new()));
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("root may");
    let output = run("", &["alice", "--password-file", path, "--", "id", "-un"]);
    assert_eq!(printed(&output), "alice\n");
    assert!(said(&output).contains("can be read or written by others"), "{}", said(&output));

    for (arguments, why) in [
        (["--password-fd", "9"], "descriptor 9: bad file descriptor"),
        (["--password-file", "/nowhere"], "/nowhere: no such file"),
    ] {
        let output = run("", &[&["alice"], &arguments[..], &["--", "true"]].concat());
        assert_eq!(output.status.code(), Some(125));
        assert!(said(&output).contains(why), "{}", said(&output));
    }
    let output = run("", &["alice", "--password-fd", "0", "--", "true"]);
    assert!(said(&output).contains("fd:0: the secret is empty"), "{}", said(&output));
}

#[test]
fn the_environment_and_the_folder_are_what_the_options_say() {
    if !accounts::inside("the_environment_and_the_folder_are_what_the_options_say") {
        return;
    }
    let home = accounts::folder().join("alice").display().to_string();
    let run = |options: &[&str]| {
        let mut child = Command::new(QUARRY)
            .args(["run-as", "alice", "--password-fd=0"])
            .args(options)
            .args(["--", "sh", "-c", "env; pwd"])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("TERM", "vt100")
            .env("OURS", "yes")
            .env("HOME", "/root")
            .env("USER", "root")
            .env("KRB5CCNAME", "FILE:/tmp/krb5cc_0")
            .env("XDG_RUNTIME_DIR", "/run/user/0")
            .current_dir("/usr")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("quarry starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(format!("{PASSWORD}\n").as_bytes()).expect("it reads");
        let mut lines: Vec<String> =
            printed(&child.wait_with_output().expect("it ends")).lines().map(Into::into).collect();
        // The shell's own.
        lines.retain(|line| {
            !["PWD=", "OLDPWD=", "SHLVL=", "_="].iter().any(|own| line.starts_with(own))
        });
        let folder = lines.pop().expect("pwd's");
        lines.sort();
        (lines, folder)
    };
    let users = [format!("HOME={home}"), "LOGNAME=alice".into()];
    let (environment, folder) = run(&[]);
    let rest = ["OURS=yes", "PATH=/usr/bin:/bin", "SHELL=/bin/sh", "TERM=vt100", "USER=alice"];
    assert_eq!(environment, [&users[..], &rest.map(Into::into)].concat());
    assert_eq!(folder, "/usr");
    let rest = ["PATH=/usr/local/bin:/usr/bin:/bin", "SHELL=/bin/sh", "TERM=vt100", "USER=alice"];
    let clean = [&users[..], &rest.map(Into::into)].concat();
    assert_eq!(run(&["--env-clean"]), (clean.clone(), "/usr".into()));
    assert_eq!(run(&["--login"]), (clean, home));
}

#[test]
fn without_a_command_it_is_the_users_shell() {
    if !accounts::inside("without_a_command_it_is_the_users_shell") {
        return;
    }
    let script = "echo $0 $(id -un)\nexit 7\n";
    for (option, name) in [("--env-clean", "/bin/sh"), ("--login", "-sh")] {
        let output = run(&format!("{PASSWORD}\n{script}"), &["alice", option, "--password-fd=0"]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{name} alice\n"));
        assert_eq!(output.status.code(), Some(7));
    }
}

#[test]
fn signals_sent_to_quarry_reach_the_command() {
    if !accounts::inside("signals_sent_to_quarry_reach_the_command") {
        return;
    }
    for (signal, name) in
        [(Signal::TERM, "TERM"), (Signal::HUP, "HUP"), (Signal::INT, "INT"), (Signal::USR1, "USR1")]
    {
        let script = format!(
            "trap 'echo got {name}; exit 5' {name}; echo ready; while :; do sleep 0.05; done"
        );
        let mut child = start(&["alice", "--password-fd=0", "--", "sh", "-c", &script]);
        writeln!(child.stdin.as_mut().expect("a pipe"), "{PASSWORD}").expect("it reads");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        assert_eq!(lines.next().expect("a line").expect("text"), "ready");
        kill_process(Pid::from_child(&child), signal).expect("it is there");
        assert_eq!(lines.next().expect("a line").expect("text"), format!("got {name}"));
        assert_eq!(child.wait().expect("it ends").code(), Some(5));
    }
}

#[test]
fn the_session_lasts_as_long_as_the_command() {
    if !accounts::inside("the_session_lasts_as_long_as_the_command") {
        return;
    }
    let sessions = accounts::folder().join("sessions");
    let output = run(
        PASSWORD,
        &[
            "alice",
            "--service=session",
            "--password-fd=0",
            "--",
            "cat",
            sessions.to_str().expect("text"),
        ],
    );
    let during = printed(&output);
    let opened = during.trim_end();
    // No terminal here; who asks is root.
    assert!(opened.starts_with("open_session alice 0 0 ") && opened.ends_with(" root"), "{opened}");
    let after = fs::read_to_string(&sessions).expect("it is there");
    assert_eq!(after, format!("{during}{}", during.replace("open_", "close_")));
}

/// Through `script`, which gives it a terminal and types for us.
fn at_a_terminal(typed: &str, arguments: &str) -> (Option<i32>, String) {
    let line =
        format!("{QUARRY} run-as {arguments}; code=$?; stty -a | grep -o '.echo ' ; exit $code");
    let mut child = Command::new("script")
        .args(["-q", "-e", "-c", &line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut stdout = child.stdout.take().expect("a pipe");
    let mut seen = Vec::new();
    let mut byte = [0];
    // What is typed before the prompt is thrown away, as for every password.
    while !seen.ends_with(b": ") && stdout.read(&mut byte).is_ok_and(|count| count == 1) {
        seen.push(byte[0]);
    }
    stdin.write_all(typed.as_bytes()).expect("it reads");
    stdout.read_to_end(&mut seen).expect("it ends");
    let status = child.wait().expect("it ends").code();
    (status, String::from_utf8(seen).expect("text").replace('\r', ""))
}

#[test]
fn the_password_is_asked_for_on_the_terminal_unseen_and_the_command_has_the_terminal() {
    let test = "the_password_is_asked_for_on_the_terminal_unseen_and_the_command_has_the_terminal";
    if !accounts::inside(test) {
        return;
    }
    let typed = format!("{WRONG}\u{15}{PASSWORD}\n");
    let (status, seen) = at_a_terminal(&typed, "alice -- sh -c 'tty; id -un; exit 3'");
    assert_eq!(status, Some(3), "{seen}");
    let mut lines = seen.lines();
    assert_eq!(lines.next(), Some("Password of alice: "));
    assert!(lines.next().expect("a line").starts_with("/dev/pts/"), "{seen}");
    assert_eq!(lines.next(), Some("alice"));
    assert_eq!(lines.next(), Some(" echo "), "the terminal is as it was: {seen}");
    assert_eq!(lines.next(), None);
}

#[test]
fn ctrl_c_at_the_prompt_leaves_the_terminal_as_it_was() {
    if !accounts::inside("ctrl_c_at_the_prompt_leaves_the_terminal_as_it_was") {
        return;
    }
    let (status, seen) = at_a_terminal("half\u{3}", "alice -- echo never");
    assert_eq!(status, Some(130), "{seen}");
    assert_eq!(seen, "Password of alice: \n echo \n");
}

#[test]
fn who_cannot_become_others_is_told_so_before_a_password_is_asked_for() {
    // What is built may lie where only root may look.
    let folder = tempfile::tempdir().expect("there is room");
    let copy = folder.path().join("quarry");
    if !accounts::is_inside() {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("it is ours");
        fs::copy(QUARRY, &copy).expect("there is room");
    }
    let named = format!("{COPY}={}", copy.display());
    let starter = ["env", &named, "setpriv", "--reuid=7102", "--regid=7102", "--init-groups"];
    let test = "who_cannot_become_others_is_told_so_before_a_password_is_asked_for";
    if !accounts::inside_as(test, &starter) {
        return;
    }
    let mut child = start(&["alice", "--", "true"]);
    // It doesn't wait for anything.
    assert_eq!(child.wait().expect("it ends").code(), Some(125));
    let mut text = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut text).expect("text");
    assert!(text.contains("becoming another user needs CAP_SETUID"), "{text}");
    assert!(text.contains("hint: run this as root"), "{text}");
    // But as oneself one may always log on.
    let output = run(PASSWORD, &["bob", "--password-fd=0", "--", "id", "-un"]);
    assert_eq!(printed(&output), "bob\n");
}

#[test]
fn it_does_not_run_with_the_set_user_id_bit() {
    if !accounts::inside("it_does_not_run_with_the_set_user_id_bit") {
        return;
    }
    let copy = accounts::folder().join("quarry");
    fs::copy(QUARRY, &copy).expect("there is room");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o4755)).expect("root may");
    let output = Command::new("setpriv")
        .args(["--reuid=7102", "--regid=7102", "--clear-groups"])
        .arg(&copy)
        .args(["run-as", "alice", "--service=open", "--password-fd=0", "--", "id", "-un"])
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(125));
    assert!(said(&output).contains("set-user-id"), "{}", said(&output));
    assert!(output.stdout.is_empty());
}

/// What `strace` sees of quarry, of PAM's helpers and of the command: the password is read, once,
/// and goes nowhere.
#[test]
fn the_password_is_in_no_argument_environment_file_or_log() {
    if !accounts::inside("the_password_is_in_no_argument_environment_file_or_log") {
        return;
    }
    if !quarry_testkit::has_program("strace", "strace") {
        return;
    }
    let _log = UnixDatagram::bind("/dev/log").expect("this /dev is ours");
    for (user, password, status) in [("alice", PASSWORD, 0), ("alice", WRONG, 125)] {
        let trace = accounts::folder().join("trace");
        let mut child = Command::new("strace")
            .args(["-f", "-v", "-s", "65536", "-o"])
            .arg(&trace)
            .arg(QUARRY)
            .args(["run-as", user, "--password-fd=0", "--", "sh", "-c", "cat; env"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(format!("{password}\n").as_bytes()).expect("it reads");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains(password));
        assert!(!String::from_utf8_lossy(&output.stderr).contains(password));
        let trace = fs::read_to_string(trace).expect("strace wrote it");
        assert!(trace.contains("execve(") && trace.lines().count() > 100);
        // It is read byte by byte, which strace shows so.
        let is_read = |line: &str| line.contains(" read(") && line.ends_with("= 1");
        let bytes: String = trace
            .lines()
            .filter(|line| is_read(line))
            .filter_map(|line| line.split('"').nth(1))
            .collect();
        assert!(bytes.contains(password), "the trace has what the test looks for: {bytes}");
        let told: Vec<&str> = trace.lines().filter(|line| line.contains(password)).collect();
        assert!(told.is_empty(), "{told:#?}");
    }
}

#[test]
fn the_password_comes_from_the_kernels_keyring() {
    if !accounts::inside("the_password_comes_from_the_kernels_keyring") {
        return;
    }
    // A keyring of the test's own: the kernel's are the same in every mount namespace.
    let Ok(session) = KeyRing::from_special_id(KeyRingIdentifier::Session, true) else {
        quarry_testkit::skip("keyring", "the kernel has none");
        return;
    };
    let output = run("", &["u7", "--keyring", "--", "id", "-un"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(said(&output).contains("keyctl padd user 'quarry:u7' @s"), "{}", said(&output));
    let key = session.add_key("quarry:u7", PASSWORD).expect("it can be written to");
    let output = run("", &["u7", "--keyring", "--", "sh", "-c", "id -un; cat /proc/keys"]);
    key.invalidate().expect("it is there");
    let seen = printed(&output);
    assert!(seen.starts_with("u7\n"), "{seen}");
    assert!(!seen.contains("quarry:u7"), "the user's session has another keyring: {seen}");
}

#[test]
fn the_shipped_service_file_works_where_its_includes_are() {
    if !accounts::inside("the_shipped_service_file_works_where_its_includes_are") {
        return;
    }
    let assets = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../logon/assets/pam.d");
    // As Debian's and Fedora's are, without what is not installed here.
    let unix = "auth required pam_unix.so nodelay\naccount required pam_unix.so\nsession required pam_unix.so\n";
    let only = |what: &str| -> String {
        unix.lines().filter(|line| line.starts_with(what)).map(|line| format!("{line}\n")).collect()
    };
    let put = |name: &str, text: &str| fs::write(format!("/etc/pam.d/{name}"), text).expect("ours");
    for kind in ["auth", "account", "session"] {
        put(&format!("common-{kind}"), &only(kind));
    }
    put("system-auth", unix);
    put("postlogin", "auth optional pam_permit.so\nsession optional pam_permit.so\n");
    for system in ["debian", "redhat"] {
        let text =
            fs::read_to_string(assets.join(format!("quarry.{system}"))).expect("it is there");
        put("quarry", &text);
        let output = run(PASSWORD, &["alice", "--password-fd=0", "--", "cat", "/proc/keys"]);
        let keys = printed(&output);
        assert!(keys.contains("_ses"), "{system}: {keys}");
        let output = run(WRONG, &["alice", "--password-fd=0", "--", "true"]);
        assert_eq!(output.status.code(), Some(125), "{system}");
    }
}
