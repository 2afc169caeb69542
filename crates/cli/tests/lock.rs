//! `quarry lock` beside util-linux `flock`: each case is put to both, and the two contend.
#![cfg(unix)]

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

const QUARRY: &str = env!("CARGO_BIN_EXE_quarry");

/// The two that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tool {
    Flock,
    Quarry,
}

const BOTH: [Tool; 2] = [Tool::Flock, Tool::Quarry];

impl Tool {
    fn command(self) -> Command {
        match self {
            Self::Flock => Command::new("flock"),
            Self::Quarry => {
                // What starts the tests may ignore signals, as a script does for what it puts into
                // the background, and a shell can't trap what it was started with ignored.
                let mut command = Command::new("env");
                command.args(["--default-signal", QUARRY, "lock"]);
                command
            }
        }
    }

    fn run(self, arguments: &[&str]) -> Output {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::null());
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    fn code(self, arguments: &[&str]) -> Option<i32> {
        self.run(arguments).status.code()
    }
}

/// A command that holds the lock until its standard input ends.
struct Holding {
    child: Child,
}

impl Holding {
    fn new(tool: Tool, arguments: &[&str]) -> Self {
        let mut command = tool.command();
        command.args(arguments).args(["sh", "-c", "echo held; read line; true"]);
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("a pipe"))
            .read_line(&mut line)
            .expect("a line");
        assert_eq!(line, "held\n", "{command:?}");
        Self { child }
    }

    fn release(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().expect("it ends").success());
    }
}

struct Place {
    folder: TempDir,
    path: String,
}

fn place() -> Place {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("lockfile").to_str().expect("text").to_owned();
    Place { folder, path }
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < end, "it never came about that {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A command may say that it runs before its holder has been announced.
fn announced(at: &Place) {
    eventually("the holder is announced", || {
        let entries = std::fs::read_dir(at.folder.path()).expect("it is there");
        entries.map_while(Result::ok).any(|entry| {
            let name = entry.file_name().into_string().expect("text");
            name.contains(".holder-") && !name.ends_with(".new")
        })
    });
}

#[test]
fn whoever_holds_the_lock_the_other_tool_is_told_the_same() {
    let at = place();
    let file = &*at.path;
    for holder in BOTH {
        for tool in BOTH {
            let held = Holding::new(holder, &["--shared", file]);
            let context = format!("{holder:?} holds, {tool:?} asks");
            // util-linux' own cases: non-block, no-fork, shared, exclusive.
            let conflict = ["--nonblock", "--conflict-exit-code", "123", file, "echo", "never"];
            let output = tool.run(&conflict);
            assert_eq!(output.status.code(), Some(123), "{context}");
            assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{context}: {output:?}");
            let no_fork = ["--no-fork", "--nonblock", "-E", "123", file, "echo", "never"];
            assert_eq!(tool.code(&no_fork), Some(123), "{context}");
            let output = tool.run(&["--shared", file, "echo", "Have shared lock"]);
            assert_eq!(output.status.code(), Some(0), "{context}");
            assert_eq!(output.stdout, b"Have shared lock\n", "{context}");
            let exclusive = ["-n", "--exclusive", "-E", "123", file, "echo", "never"];
            assert_eq!(tool.code(&exclusive), Some(123), "{context}");
            // Without -E it is 1, as is the time-out, and -w 0 is -n.
            assert_eq!(tool.code(&["-n", file, "true"]), Some(1), "{context}");
            assert_eq!(tool.code(&["-w", "0", file, "true"]), Some(1), "{context}");
            assert_eq!(tool.code(&["-w", "0.05", "-E", "7", file, "true"]), Some(7), "{context}");
            held.release();
            assert_eq!(tool.code(&["-n", file, "true"]), Some(0), "{context}");

            let held = Holding::new(holder, &["-x", file]);
            assert_eq!(tool.code(&["-n", "-s", file, "true"]), Some(1), "{context}");
            held.release();
        }
    }
}

#[test]
fn a_wait_ends_when_the_lock_is_released() {
    let at = place();
    for (holder, tool) in [(Tool::Flock, Tool::Quarry), (Tool::Quarry, Tool::Flock)] {
        for arguments in [&["--timeout", "30"][..], &[]] {
            let held = Holding::new(holder, &[&at.path]);
            let mut waiting = tool.command();
            waiting.args(arguments).args([&at.path, "echo", "after"]).stdout(Stdio::piped());
            let mut waiting = waiting.spawn().expect("it starts");
            std::thread::sleep(Duration::from_millis(300));
            assert!(waiting.try_wait().expect("it can be asked").is_none());
            held.release();
            let output = waiting.wait_with_output().expect("it ends");
            assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b"after\n"[..]));
        }
    }
}

#[test]
fn a_timeout_waits_as_long_as_it_says() {
    let at = place();
    let held = Holding::new(Tool::Flock, &[&at.path]);
    let began = Instant::now();
    assert_eq!(Tool::Quarry.code(&["-w", "0.5", &at.path, "true"]), Some(1));
    assert!((0.5..5.0).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
    held.release();
}

#[test]
fn exit_codes_and_forms_are_those_of_flock() {
    let at = place();
    let file = &*at.path;
    let folder = at.folder.path().to_str().expect("text");
    let missing = &*format!("{folder}/missing/lockfile");
    let long = &*format!("{folder}/{}", "x".repeat(300));
    let cases: &[(&[&str], i32)] = &[
        (&[file, "true"], 0),
        (&[file, "false"], 1),
        (&[file, "sh", "-c", "exit 42"], 42),
        (&[file, "sh", "-c", "kill -TERM $$"], 128 + 15),
        (&[file, "-c", "exit 43"], 43),
        (&[file, "--command", "exit 44"], 44),
        (&["-s", file, "-c", "exit 45"], 45),
        (&["-e", file, "-c", "exit 46"], 46),
        (&["-F", file, "sh", "-c", "exit 47"], 47),
        (&["-o", file, "sh", "-c", "exit 48"], 48),
        (&["-u", file, "sh", "-c", "exit 49"], 49),
        (&["--nb", file, "sh", "-c", "exit 50"], 50),
        (&["--nonblocking", "--wait", "5", file, "sh", "-c", "exit 51"], 51),
        (&["-sxn", file, "true"], 0),
        (&["-w1", "-E5", file, "true"], 0),
        (&[folder, "true"], 0),
        (&["-s", folder, "true"], 0),
        (&[file, "/no/such/program"], 69),
        (&[file, "no-such-program-anywhere"], 69),
        (&["-F", file, "/no/such/program"], 69),
        (&[file, folder], 69),
        (&[missing, "true"], 66),
        (&[long, "true"], 66),
        (&["97"], 65),
        (&["-u", "97"], 65),
        (&["not-a-number"], 64),
        (&[file, "-c"], 64),
        (&[file, "-c", "true", "more"], 64),
        (&["--no-such-flag", file, "true"], 64),
        (&["-w", "soon", file, "true"], 64),
        (&["-E", "256", file, "true"], 64),
        (&["-E", "-1", file, "true"], 64),
        (&["-E", "x", file, "true"], 64),
        (&["-F", "-o", file, "true"], 64),
        (&[], 64),
        (&["--help"], 0),
    ];
    for (arguments, code) in cases {
        assert_eq!(Tool::Flock.code(arguments), Some(*code), "flock {arguments:?}");
        let quarry = Tool::Quarry.run(arguments);
        assert_eq!(quarry.status.code(), Some(*code), "quarry lock {arguments:?}: {quarry:?}");
    }
    // Here flock(1) finds out late, when it sets its timer. It is a usage error all the same.
    assert_eq!(Tool::Flock.code(&["-w", "-1", file, "true"]), Some(71));
    assert_eq!(Tool::Quarry.code(&["-w", "-1", file, "true"]), Some(64));
}

#[test]
fn nothing_after_the_file_is_taken_for_a_flag_and_a_double_dash_may_stand_there() {
    let at = place();
    let prints = |arguments: &[&str]| {
        let output = Tool::Quarry.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(prints(&[&at.path, "echo", "-n", "-s", "--who", "x"]), "-s --who x");
    assert_eq!(prints(&[&at.path, "--", "echo", "-n", "x"]), "x");
    assert_eq!(prints(&["--", &at.path, "echo", "a", "--", "b"]), "a -- b\n");
    assert_eq!(prints(&["-n", &at.path, "--", "echo", "x"]), "x\n");
}

#[test]
fn the_shell_is_the_users() {
    let at = place();
    for tool in BOTH {
        let mut command = tool.command();
        let output = command.args([&at.path, "-c", "ignored"]).env("SHELL", "/bin/echo").output();
        assert_eq!(output.expect("it runs").stdout, b"-c ignored\n", "{tool:?}");
    }
}

/// `quarry lock 9` in a shell script, as in flock(1)'s examples.
#[test]
fn a_descriptor_stays_locked_after_the_command_until_it_is_unlocked_or_closed() {
    let at = place();
    for tool in BOTH {
        for other in BOTH {
            let name = |tool| match tool {
                Tool::Flock => "flock".to_owned(),
                Tool::Quarry => format!("{QUARRY} lock"),
            };
            let (lock, other) = (name(tool), name(other));
            let script = format!(
                "exec 9> {file}
                 {lock} -n 9 || exit 10
                 {other} -n {file} true && exit 11
                 {lock} -s -n 9 || exit 12
                 {other} -s -n {file} true || exit 13
                 {other} -n {file} true && exit 14
                 {lock} -u 9 || exit 15
                 {other} -n {file} true || exit 16
                 {lock} 9 || exit 17
                 exec 9>&-
                 {other} -n {file} true || exit 18",
                file = at.path
            );
            let status = Command::new("sh").args(["-c", &script]).status().expect("sh runs");
            assert_eq!(status.code(), Some(0), "{lock}, {other}");
        }
    }
}

#[test]
fn what_the_command_leaves_running_keeps_the_lock_unless_it_is_closed() {
    let at = place();
    for tool in BOTH {
        for (flags, kept) in [(&[][..], true), (&["-o"][..], false), (&["-F"][..], true)] {
            // A background command of sh reads nothing unless it is told to.
            let script = "cat <&3 3<&- >/dev/null 2>&1 & echo started";
            let mut command = Command::new("sh");
            let line = format!(
                "exec 3<&0; {} {} {} sh -c '{script}'",
                match tool {
                    Tool::Flock => "flock".to_owned(),
                    Tool::Quarry => format!("{QUARRY} lock"),
                },
                flags.join(" "),
                at.path
            );
            let mut child = command
                .args(["-c", &line])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("sh starts");
            let mut line = String::new();
            let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
            output.read_line(&mut line).expect("a line");
            assert_eq!(line, "started\n");
            let input = child.stdin.take();
            assert!(child.wait().expect("it ends").success());
            let code = Tool::Flock.code(&["-n", &at.path, "true"]);
            assert_eq!(code, Some(if kept { 1 } else { 0 }), "{tool:?} {flags:?}");
            drop(input);
            eventually("the lock is free", || {
                Tool::Flock.code(&["-n", &at.path, "true"]) == Some(0)
            });
        }
    }
}

#[test]
fn signals_are_passed_on_and_the_lock_is_held_until_the_command_ends() {
    let at = place();
    for signal in ["TERM", "HUP", "INT", "QUIT", "USR1", "USR2"] {
        let mut command = Tool::Quarry.command();
        let script =
            format!("trap 'echo got it; exit 5' {signal}; echo held; while :; do sleep 0.05; done");
        command.args([&at.path, "sh", "-c", &script]);
        let mut held = Holding::start(command);
        kill(signal, held.child.id());
        let mut rest = String::new();
        held.child.stdout.take().expect("a pipe").read_to_string(&mut rest).expect("it reads");
        assert_eq!(rest, "got it\n", "{signal}");
        assert_eq!(held.child.wait().expect("it ends").code(), Some(5), "{signal}");
        assert_eq!(Tool::Flock.code(&["-n", &at.path, "true"]), Some(0));
    }
}

#[test]
fn a_signal_ends_one_that_still_waits() {
    let at = place();
    let held = Holding::new(Tool::Flock, &[&at.path]);
    let mut waiting = Tool::Quarry.command().args([&at.path, "true"]).spawn().expect("it starts");
    std::thread::sleep(Duration::from_millis(200));
    kill("TERM", waiting.id());
    assert_eq!(waiting.wait().expect("it ends").signal(), Some(15));
    held.release();
}

#[test]
fn a_signal_that_is_ignored_stays_ignored() {
    let at = place();
    let mut command = Command::new("sh");
    let script =
        format!("trap '' HUP; exec {QUARRY} lock {} sh -c 'echo held; read line'", at.path);
    command.args(["-c", &script]);
    let mut held = Holding::start(command);
    kill("HUP", held.child.id());
    std::thread::sleep(Duration::from_millis(200));
    assert!(held.child.try_wait().expect("it can be asked").is_none());
    writeln!(held.child.stdin.as_mut().expect("a pipe"), "go on").expect("it listens");
    assert_eq!(held.child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_killed_command_leaves_no_lock_behind() {
    let at = place();
    let mut held = Holding::new(Tool::Quarry, &["-F", &at.path]);
    held.child.kill().expect("it can be killed");
    held.child.wait().expect("it ends");
    eventually("the lock is free", || Tool::Flock.code(&["-n", &at.path, "true"]) == Some(0));
}

#[test]
fn the_file_is_created_and_its_content_left_alone() {
    let at = place();
    assert_eq!(Tool::Quarry.code(&[&at.path, "true"]), Some(0));
    assert_eq!(std::fs::read(&at.path).expect("it is there"), b"");
    std::fs::write(&at.path, "content").expect("it can be written");
    assert_eq!(Tool::Quarry.code(&[&at.path, "true"]), Some(0));
    assert_eq!(std::fs::read(&at.path).expect("it is there"), b"content");
    let left: Vec<_> = std::fs::read_dir(at.folder.path()).expect("it is there").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn ranges_exclude_each_other_where_they_overlap() {
    let at = place();
    for flags in [&["--range", "10:10"][..], &["--start", "10", "--length", "10"]] {
        let mut arguments = flags.to_vec();
        arguments.push(&at.path);
        let held = Holding::new(Tool::Quarry, &arguments);
        for (range, code) in [("0:10", 0), ("20:0", 0), ("19:1", 1), ("0:0", 1), ("0:1k", 1)] {
            let asked = Tool::Quarry.code(&["-n", "--range", range, &at.path, "true"]);
            assert_eq!(asked, Some(code), "{range}");
        }
        assert_eq!(Tool::Quarry.code(&["-n", "--fcntl", &at.path, "true"]), Some(1));
        // The two kinds don't see each other on a local file system.
        assert_eq!(Tool::Quarry.code(&["-n", &at.path, "true"]), Some(0));
        held.release();
    }
    for bad in ["5", "x:1", "9223372036854775807:1", "-1:5"] {
        assert_eq!(Tool::Quarry.code(&["--range", bad, &at.path, "true"]), Some(64), "{bad}");
    }
}

#[test]
fn who_names_the_holder_and_its_exit_code_says_whether_there_is_one() {
    let at = place();
    let nobody = Tool::Quarry.run(&["--who", &at.path]);
    assert_eq!((nobody.status.code(), &*nobody.stdout), (Some(1), &b""[..]));
    assert!(!Path::new(&at.path).exists(), "asking created the file");

    let held = Holding::new(Tool::Quarry, &["-s", &at.path]);
    announced(&at);
    let output = Tool::Quarry.run(&["--who", &at.path]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).expect("text");
    let fields: Vec<&str> = text.trim_end().split('\t').collect();
    let [pid, host, mode, since, command] = fields[..] else { panic!("five fields: {text}") };
    assert_eq!(pid, held.child.id().to_string());
    let name = Command::new("uname").arg("-n").output().expect("uname runs").stdout;
    assert_eq!(host, String::from_utf8(name).expect("text").trim());
    assert_eq!(mode, "shared");
    assert_eq!((since.len(), &since[10..11]), (25, "T"), "{since}");
    assert_eq!(command, "sh");
    held.release();

    // One that announces nothing is known from the kernel.
    #[cfg(target_os = "linux")]
    {
        let held = Holding::new(Tool::Flock, &[&at.path]);
        let output = Tool::Quarry.run(&["--who", &at.path]);
        let text = String::from_utf8(output.stdout).expect("text");
        let begin = format!("{}\t-\texclusive\t-\tflock ", held.child.id());
        assert!(text.starts_with(&begin), "{text}");
        held.release();
    }
    assert_eq!(Tool::Quarry.code(&["--who", &at.path, "true"]), Some(64));
}

#[test]
fn what_is_written_for_others_to_read_has_no_argument_of_the_command() {
    let at = place();
    for arguments in [
        &[&*at.path, "sh", "-c", ": --password=hunter2; echo held; read line; true"][..],
        &[&*at.path, "-c", ": --password=hunter2; echo held; read line; true"],
    ] {
        let mut command = Tool::Quarry.command();
        let held = Holding::start({
            command.args(arguments);
            command
        });
        announced(&at);
        for entry in std::fs::read_dir(at.folder.path()).expect("it is there") {
            let path = entry.expect("an entry").path();
            let text = std::fs::read_to_string(&path).expect("it can be read");
            assert!(!text.contains("hunter2"), "{}: {text}", path.display());
        }
        held.release();
    }
}

#[test]
fn a_folder_that_is_missing_is_named_as_missing() {
    let at = place();
    let path = at.folder.path().join("nodir/x");
    let output = Tool::Quarry.run(&[path.to_str().expect("text"), "true"]);
    assert_eq!(output.status.code(), Some(66));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("No such file or directory"), "{text}");
}

#[test]
fn a_named_pipe_is_locked_without_waiting_for_its_other_end() {
    let at = place();
    let made = Command::new("mkfifo").arg(&at.path).status().expect("mkfifo runs");
    assert!(made.success());
    let mut quick = Command::new("timeout");
    quick.args(["60", QUARRY, "lock", "-n", &at.path, "echo", "locked"]);
    let output = quick.output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "124 is timeout's");
    assert_eq!(output.stdout, b"locked\n");
}

#[test]
fn what_a_killed_holder_left_behind_is_recognised() {
    let at = place();
    let mut held = Holding::new(Tool::Quarry, &["-F", &at.path]);
    held.child.kill().expect("it can be killed");
    held.child.wait().expect("it ends");
    eventually("the record is stale", || {
        let output = Tool::Quarry.run(&["--who", &at.path]);
        output.status.code() == Some(1)
            && String::from_utf8_lossy(&output.stderr).contains("is gone and left its record")
    });
    // The next one to be announced clears it away: not one that is done at once.
    assert_eq!(Tool::Quarry.code(&[&at.path, "sleep", "0.5"]), Some(0));
    assert_eq!(std::fs::read_dir(at.folder.path()).expect("it is there").count(), 1);
}

#[test]
fn no_holder_file_is_written_when_it_is_not_wanted() {
    let at = place();
    let count = || std::fs::read_dir(at.folder.path()).expect("it is there").count();
    let held = Holding::new(Tool::Quarry, &[&at.path]);
    eventually("the holder is announced", || count() == 2);
    held.release();
    let held = Holding::new(Tool::Quarry, &["--no-holder-file", &at.path]);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(count(), 1);
    held.release();
}

#[test]
fn a_blocked_wait_says_on_a_terminal_who_holds_the_lock() {
    let at = place();
    let held = Holding::new(Tool::Quarry, &[&at.path]);
    announced(&at);
    // script(1) gives the command a terminal.
    let line = format!("{QUARRY} lock {} echo mine", at.path);
    let mut waiting = Command::new("script")
        .args(["-qefc", &line, "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script(1) starts");
    let mut output = BufReader::new(waiting.stdout.take().expect("a pipe"));
    let mut said = String::new();
    output.read_line(&mut said).expect("a line");
    let expected = format!("waiting for {}, held by process {} on ", at.path, held.child.id());
    assert!(said.contains(&expected), "{said}");
    assert!(said.contains("(sh) since "), "{said}");
    held.release();
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("the rest");
    assert_eq!(rest.trim(), "mine");
    assert!(waiting.wait().expect("it ends").success());

    // And nothing where there is no terminal: scripts read what is there.
    let held = Holding::new(Tool::Quarry, &[&at.path]);
    let output = Tool::Quarry.run(&["-w", "0.2", &at.path, "true"]);
    assert!(output.stderr.is_empty(), "{output:?}");
    held.release();
}

#[test]
fn verbose_says_how_long_it_took_and_what_is_run() {
    let at = place();
    let output = Tool::Quarry.run(&["--verbose", &at.path, "echo", "x"]);
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("getting the lock took 0.") && said.contains("running echo x"), "{said}");
    assert_eq!(output.stdout, b"x\n");
}

#[test]
fn a_file_that_can_only_be_read_can_be_locked() {
    let at = place();
    File::create(&at.path).expect("it can be made");
    let mut permissions = std::fs::metadata(&at.path).expect("it is there").permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&at.path, permissions).expect("they can be set");
    for tool in BOTH {
        assert_eq!(tool.code(&["-n", &at.path, "true"]), Some(0), "{tool:?}");
    }
}

#[test]
fn many_commands_counting_in_one_file_lose_nothing() {
    let at = place();
    let counter: PathBuf = at.folder.path().join("counter");
    std::fs::write(&counter, "0").expect("it can be written");
    let script = format!("n=$(cat {0}); echo $((n + 1)) > {0}", counter.display());
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let (at, script) = (&at, &script);
            // Half of them with the other tool.
            let tool = BOTH[worker % 2];
            scope.spawn(move || {
                for _ in 0..25 {
                    assert_eq!(tool.code(&[&at.path, "sh", "-c", script]), Some(0));
                }
            });
        }
    });
    assert_eq!(std::fs::read_to_string(&counter).expect("it is there").trim(), "200");
}

fn kill(signal: &str, id: u32) {
    let status = Command::new("kill").args(["-s", signal, &id.to_string()]).status();
    assert!(status.expect("kill(1) runs").success());
}
