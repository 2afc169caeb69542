//! The terminal of a command that `quarry run-as` runs, with real accounts in a mount namespace.
//! script(1) is the person's terminal.
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use quarry_testkit::accounts::{self, PASSWORD};

const QUARRY: &str = env!("CARGO_BIN_EXE_quarry");

/// What shows on a terminal when a script of a shell's runs there, and the status it ends with. In
/// it, `run ARGUMENTS` is `quarry run-as` as alice with the password given. After `mark` has shown,
/// `keys` are typed.
fn on_a_terminal(script: &str, mark: &str, keys: &str) -> (String, Option<i32>) {
    let folder = accounts::folder();
    std::fs::write(folder.join("password"), format!("{PASSWORD}\n")).expect("it is written");
    let run = format!(
        "run() {{ {QUARRY} run-as alice --password-fd 9 \"$@\" 9< {}/password; }}\n{script}\n",
        folder.display()
    );
    let path = folder.join("script");
    std::fs::write(&path, run).expect("it is written");
    let mut child = Command::new("env")
        .args(["--default-signal", "script", "-qefc", &format!("sh {}", path.display())])
        .arg("/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script(1) starts");
    let mut typed = child.stdin.take().expect("a pipe");
    let mut output = child.stdout.take().expect("a pipe");
    let mut shown = Vec::new();
    let mut piece = [0; 4096];
    let mut is_typed = false;
    while let length @ 1.. = output.read(&mut piece).expect("it reads") {
        shown.extend_from_slice(&piece[..length]);
        if !is_typed && String::from_utf8_lossy(&shown).contains(mark) {
            typed.write_all(keys.as_bytes()).expect("it is typed");
            is_typed = true;
        }
    }
    assert!(is_typed, "{mark} never showed: {}", String::from_utf8_lossy(&shown));
    drop(typed);
    let status = child.wait().expect("it ends");
    (String::from_utf8_lossy(&shown).replace('\r', ""), status.code())
}

#[test]
fn the_command_has_a_terminal_and_a_session_of_its_own() {
    if !accounts::inside("the_command_has_a_terminal_and_a_session_of_its_own") {
        return;
    }
    let script = r#"
        stty cols 91 rows 33
        echo "ours $(tty) $(ps -o sid= -p $$)"
        run -- sh -c 'echo "its $(tty) $(ps -o sid= -p $$)"; stat -c %U "$(tty)"; stty size; : < /dev/tty && echo opened'
        echo done
    "#;
    let (shown, _) = on_a_terminal(script, "done", "");
    let line = |start: &str| {
        let line = shown.lines().find(|line| line.starts_with(start));
        let line = line.unwrap_or_else(|| panic!("{start}: {shown}"));
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let (ours, its) = (line("ours "), line("its "));
    assert!(its[1].starts_with("/dev/pts/"), "{shown}");
    assert_ne!(ours[1], its[1], "{shown}");
    assert_ne!(ours[2], its[2], "{shown}");
    let rest: Vec<&str> = shown.lines().skip_while(|line| !line.starts_with("its ")).collect();
    assert_eq!(rest[1..], ["alice", "33 91", "opened", "done"], "{shown}");
}

#[test]
fn keys_are_the_commands_and_its_status_is_passed_on() {
    if !accounts::inside("keys_are_the_commands_and_its_status_is_passed_on") {
        return;
    }
    let script = "run -- sh -c 'echo ready; read -r line; echo \"got $line\"; exit 7'";
    let (shown, status) = on_a_terminal(script, "ready", "some words\r");
    assert!(shown.contains("got some words"), "{shown}");
    assert_eq!(status, Some(7), "{shown}");
    let script =
        "run -- sh -c 'trap \"echo caught; exit 5\" INT; echo ready; while :; do sleep 0.05; done'";
    let (shown, status) = on_a_terminal(script, "ready", "\x03");
    assert!(shown.contains("caught"), "{shown}");
    assert_eq!(status, Some(5), "{shown}");
}

#[test]
fn the_terminal_is_as_it_was_however_the_command_ends() {
    if !accounts::inside("the_terminal_is_as_it_was_however_the_command_ends") {
        return;
    }
    for (end, status) in [("exit 0", 0), ("stty raw -echo; exit 3", 3), ("kill -KILL $$", 137)] {
        let script = format!(
            "before=$(stty -g); run -- sh -c '{end}'; status=$?; \
             [ \"$(stty -g)\" = \"$before\" ] && echo the same; echo done; exit $status"
        );
        let (shown, code) = on_a_terminal(&script, "done", "");
        assert!(shown.contains("the same"), "{end}: {shown}");
        assert_eq!(code, Some(status), "{end}: {shown}");
    }
}

#[test]
fn what_is_redirected_is_the_commands_as_it_is() {
    if !accounts::inside("what_is_redirected_is_the_commands_as_it_is") {
        return;
    }
    let out = accounts::folder().join("out");
    let script = format!(
        "echo given | run -- sh -c 'cat; printf \"a\\nb\\n\"; [ -t 2 ] && echo terminal >&2' > {}; echo done",
        out.display()
    );
    let (shown, _) = on_a_terminal(&script, "done", "");
    assert!(shown.contains("terminal"), "{shown}");
    // Through a terminal each line would end with a carriage return.
    assert_eq!(std::fs::read_to_string(&out).expect("it is there"), "given\na\nb\n");
}

#[test]
fn a_command_without_a_terminal_can_not_open_the_callers() {
    if !accounts::inside("a_command_without_a_terminal_can_not_open_the_callers") {
        return;
    }
    let out = accounts::folder().join("out");
    let try_it =
        "sh -c 'if (: < /dev/tty) 2> /dev/null; then echo has one; else echo has none; fi'";
    let script =
        format!("{try_it}; run -- {try_it} < /dev/null > {} 2>&1; echo done", out.display());
    let (shown, _) = on_a_terminal(&script, "done", "");
    assert!(shown.contains("has one"), "the test itself has no terminal: {shown}");
    assert_eq!(std::fs::read_to_string(&out).expect("it is there"), "has none\n");
}

#[test]
fn a_command_that_is_not_there_is_127_though_the_user_may_not_look_everywhere() {
    let test = "a_command_that_is_not_there_is_127_though_the_user_may_not_look_everywhere";
    if !accounts::inside(test) {
        return;
    }
    let script = "PATH=/root/bin:/root:$PATH; chmod 700 /root; run -- nosuch; echo \"status $?\"; \
                  run -- /etc/passwd; echo \"status $?\"; echo done";
    let (shown, _) = on_a_terminal(script, "done", "");
    let statuses: Vec<&str> = shown.lines().filter(|line| line.starts_with("status")).collect();
    assert_eq!(statuses, ["status 127", "status 126"], "{shown}");
}

#[test]
fn what_pam_says_after_a_right_password_is_shown() {
    if !accounts::inside("what_pam_says_after_a_right_password_is_shown") {
        return;
    }
    let service = "auth required pam_unix.so nodelay\naccount required pam_unix.so\n\
                   session optional pam_echo.so Maintenance at %u's leave\n";
    std::fs::write("/etc/pam.d/quarry", service).expect("this /etc/pam.d is ours");
    let (shown, status) =
        on_a_terminal("run -- echo ran; code=$?; echo done; exit $code", "done", "");
    assert!(shown.contains("Maintenance at alice's leave"), "{shown}");
    assert!(shown.contains("ran"), "{shown}");
    assert_eq!(status, Some(0));
}
