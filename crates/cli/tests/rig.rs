//! `quarry` against the rig's independent server: what is printed are the rig's events.

use std::path::PathBuf;
use std::process::{Command, Output};

use quarry_testkit::{Even6Server, even6_python};
use serde_json::Value;

const EVENTS: usize = 2500;

struct Rig {
    server: Even6Server,
    events: Vec<Value>,
    files: tempfile::TempDir,
}

impl Rig {
    fn new() -> Option<Self> {
        Rig::with(&Value::Null)
    }

    /// With messages that its server renders: by publisher, events' and others by their numbers.
    fn with(messages: &Value) -> Option<Self> {
        let (folder, python) = even6_python()?;
        let files = tempfile::tempdir().unwrap();
        let mut make = Command::new(&python);
        make.current_dir(&folder).env("PYTHONDONTWRITEBYTECODE", "1");
        make.env("PYTHONIOENCODING", "utf-8");
        make.args(["make_events.py", &EVENTS.to_string(), "--gap", "100", "--seed", "5"]);
        let made = make.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let file: PathBuf = files.path().join("security.jsonl");
        std::fs::write(&file, &made.stdout).unwrap();
        let text = String::from_utf8(made.stdout).unwrap();
        let events = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let channel = format!("Security={}", file.display());
        let arguments = ["--channel", &channel, "--channel", "Setup", "--deny", "Secret"];
        let texts = files.path().join("messages.json").display().to_string();
        std::fs::write(&texts, messages.to_string()).unwrap();
        let arguments = match messages {
            Value::Null => arguments.to_vec(),
            _ => [&arguments[..], &["--messages", &texts]].concat(),
        };
        let server = Even6Server::start(&folder, &python, &arguments);
        Some(Rig { server, events, files })
    }

    fn source(&self) -> String {
        format!("even6://127.0.0.1:{}", self.server.mapper_port)
    }

    /// Runs `quarry COMMAND SOURCE ARGUMENTS`, signed in.
    fn run(&self, command: &str, arguments: &[&str]) -> Output {
        let mut quarry = Command::new(env!("CARGO_BIN_EXE_quarry"));
        quarry.current_dir(self.files.path()).env("HOME", self.files.path());
        quarry.env("XDG_CONFIG_HOME", self.files.path()).env("RIG", "Passw0rd!");
        quarry.args([command, &self.source(), "-u", r"LAB\alice", "--password-env", "RIG"]);
        quarry.args(arguments).output().unwrap()
    }

    fn lines(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.run("scan", arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Compares a line with what the event was made from.
fn compare(line: &Value, made: &Value, source: &str) {
    let what = || format!("{line}\n{made}");
    assert_eq!((&line["v"], &line["source"]), (&1.into(), &source.into()));
    assert_eq!((&line["log"], &line["log_record"]), (&"Security".into(), &made["record_id"]));
    for (member, name) in [
        ("record_id", "record_id"),
        ("time", "time"),
        ("channel", "channel"),
        ("event_id", "event_id"),
        ("level", "level"),
        ("process_id", "pid"),
        ("thread_id", "tid"),
        ("keywords", "keywords"),
        ("task", "task"),
    ] {
        if let Some(value) = made.get(name) {
            assert_eq!(&line[member], value, "{member}: {}", what());
        }
    }
    assert_eq!(line["provider"], made["provider"]["name"], "{}", what());
    let sid = made.get("user_sid").unwrap_or(&Value::Null);
    assert_eq!(&line["user_sid"], sid, "{}", what());
    let mut count = 0;
    for item in made.get("event_data").and_then(Value::as_array).into_iter().flatten() {
        let name = item[0].as_str().unwrap();
        // Of the other types, the tests of the library know.
        let is_text = item[1].is_string() && matches!(item.get(2), None | Some(Value::String(_)));
        let kind = item.get(2).and_then(Value::as_str).unwrap_or("string");
        if is_text && matches!(kind, "string" | "sid" | "hex64" | "filetime") {
            assert_eq!(line["data"][name], item[1], "{name}: {}", what());
            count += 1;
        }
    }
    assert!(count > 0 || made.get("event_data").is_none(), "{}", what());
    if let Some(user_data) = made.get("user_data") {
        let shown = line["user_data"].to_string();
        assert!(shown.contains(user_data["name"].as_str().unwrap()), "{}", what());
    }
}

#[test]
fn a_scan_prints_exactly_the_events_that_the_rig_has() {
    let Some(rig) = Rig::new() else { return };
    let check = |lines: &[Value], wanted: Vec<&Value>| {
        let ids = |events: &mut dyn Iterator<Item = &Value>| -> Vec<u64> {
            events.map(|event| event["record_id"].as_u64().unwrap()).collect()
        };
        assert_eq!(ids(&mut lines.iter()), ids(&mut wanted.iter().copied()));
        let source = rig.source();
        lines.iter().zip(wanted).for_each(|(line, made)| compare(line, made, &source));
    };
    let all: Vec<&Value> = rig.events.iter().collect();
    check(&rig.lines(&["-l", "Security", "-o", "jsonl"]), all.clone());
    let newest = all.iter().rev().take(7).copied().collect();
    check(&rig.lines(&["-l", "Security", "-r", "-n", "7"]), newest);
    let logons = all.iter().filter(|event| event["event_id"] == 4624).copied().collect();
    check(&rig.lines(&["-l", "Sec*", "-i", "4624"]), logons);
    let since = all[EVENTS - 100]["time"].as_str().unwrap();
    let late = all.iter().filter(|event| event["time"].as_str().unwrap() >= since);
    check(&rig.lines(&["-l", "security", "--since", since]), late.copied().collect());

    let output = rig.run("count", &["-l", "Security"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&EVENTS.to_string()), "{text}");
    let output = rig.run("logs", &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(["Security", "Setup"].iter().all(|log| text.contains(log)), "{text}");
    let output = rig.run("scan", &["-l", "Secret"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    // Nothing at all could be read.
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("Secret") && output.stdout.is_empty(), "{stderr}");
}

#[test]
fn events_have_the_text_that_the_rig_s_server_renders_and_keep_it() {
    let messages = serde_json::json!({
        "Service Control Manager": {
            "messages": { "1073748860": "\u{5ca9} service %1 is %2, 100% and %%2" },
        },
        "Microsoft-Windows-Security-Auditing": {
            "events": { "4624": "%6 logged on,\r\n\tby %2 (%4)", "4634": "off" },
            "tasks": { "12544": "Logon of the rig" },
        },
        "Rig-UserData": { "events": { "5": "%2 of %1" } },
    });
    let Some(rig) = Rig::with(&messages) else { return };
    let text = |made: &Value| {
        let value = |n: usize| made["event_data"][n][1].as_str().unwrap().to_owned();
        Some(match made["event_id"].as_u64().unwrap() {
            // The rig leaves `%%2` as it is, and so does what is made of it.
            7036 => {
                format!("\u{5ca9} service {} is {}, 100% and %{}", value(0), value(1), value(1))
            }
            4624 => {
                let hex = value(3).to_uppercase().replace('X', "x");
                format!("{} logged on,\r\n\tby {} ({hex})", value(5), value(1))
            }
            4634 => "off".to_owned(),
            5 => {
                let fields = &made["user_data"]["fields"];
                format!("{} of {}", fields[1][1].as_str().unwrap(), fields[0][1])
            }
            _ => return None,
        })
    };
    for source in ["server", "catalogue"] {
        let lines = rig.lines(&["-l", "Security", "-o", "jsonl", "--message-timeout", "100s"]);
        assert_eq!(lines.len(), EVENTS);
        let mut with_text = 0;
        for (line, made) in lines.iter().zip(&rig.events) {
            let text = text(made);
            with_text += usize::from(text.is_some());
            let expected = text.as_ref().map(|_| source);
            assert_eq!(line["message"].as_str(), text.as_deref(), "{made}");
            assert_eq!(line["message_source"].as_str(), expected, "{made}");
            if made["provider"]["name"] == "Microsoft-Windows-Security-Auditing" {
                assert_eq!(line["names"]["task"], "Logon of the rig");
            }
        }
        assert!(with_text > EVENTS / 2, "{with_text}");
    }
}
