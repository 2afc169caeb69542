//! What is printed for people, and for spreadsheets: tables, lists, counts by fields.

use super::*;

/// A log of one chunk in which each event has the given value.
fn log_of(values: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let values: Vec<&'static str> = values.iter().map(|v| &*(*v).to_owned().leak()).collect();
    let events = values.iter().enumerate();
    let events = events.map(|(i, value)| event(i as u64 + 1, 100 * (i as u64 + 1), 4624, value));
    fs::write(folder.path().join("a.evtx"), file(&[events.collect()])).unwrap();
    folder
}

/// Characters that act on a terminal: of each kind one.
const ACTIVE: &str = "a\u{1b}[2J\u{7}\u{7f}\u{9b}31m\u{202e}\u{2066}\u{200f}\u{feff}z";

#[test]
fn nothing_of_an_event_acts_on_a_terminal_in_any_format() {
    let folder = log_of(&[ACTIVE]);
    for format in ["table", "list", "jsonl", "json", "xml"] {
        let ran = run(folder.path(), &["scan", "a.evtx", "-o", format]);
        let active = |c: char| quarry_event::text::is_active(c) && c != '\n';
        assert_eq!(ran.stdout.chars().find(|&c| active(c)), None, "{format}: {:?}", ran.stdout);
    }
    // What programs read holds the same text as before.
    let ran = run(folder.path(), &["scan", "a.evtx"]);
    assert_eq!(json(&ran.stdout)["data"]["TargetUserName"], ACTIVE);
    let args = ["scan", "a.evtx", "-o", "csv-exact", "--fields", "data.TargetUserName"];
    let ran = run(folder.path(), &args);
    assert!(ran.stdout.contains('\u{1b}'), "a pipe is no terminal");
}

#[cfg(target_os = "linux")]
#[test]
fn csv_on_a_terminal_is_only_text() {
    let folder = log_of(&[ACTIVE]);
    for format in ["csv", "csv-exact"] {
        let words = format!("{} scan a.evtx -q -o {format}", env!("CARGO_BIN_EXE_quarry"));
        let ran = Command::new("script")
            .args(["-qec", &words, "/dev/null"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output();
        let Ok(ran) = ran else { return println!("script isn't here: csv on a terminal untested") };
        let text = String::from_utf8(ran.stdout).unwrap();
        assert!(text.contains("TargetUserName"), "{text}");
        let active = |c: char| quarry_event::text::is_active(c) && !matches!(c, '\r' | '\n');
        assert_eq!(text.chars().find(|&c| active(c)), None, "{format}: {text:?}");
    }
}

#[test]
fn no_progress_is_shown_in_an_array_on_a_terminal() {
    let folder = log_of(&["x"]);
    for n in 0..20 {
        fs::copy(folder.path().join("a.evtx"), folder.path().join(format!("{n}.evtx"))).unwrap();
    }
    let shown = |format: &str| {
        let words =
            format!("{} scan ./ -o {format} --fields event_id", env!("CARGO_BIN_EXE_quarry"));
        let ran = Command::new("script")
            .args(["-qec", &words, "/dev/null"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output();
        ran.ok().map(|ran| String::from_utf8(ran.stdout).unwrap())
    };
    let Some(lines) = shown("jsonl") else {
        return println!("script isn't here: progress on a terminal untested");
    };
    assert!(lines.contains(" of 21 files, "), "{lines}");
    let array = shown("json").unwrap();
    assert!(!array.contains(" of 21 files, "), "{array}");
    assert!(array.contains("21 of 21 files read"), "{array}");
}

#[test]
fn names_of_files_do_not_act_on_a_terminal_in_messages_and_lists() {
    let folder = log_of(&["x"]);
    let name = "b\u{202e}\u{9b}xtve.evtx";
    fs::copy(folder.path().join("a.evtx"), folder.path().join(name)).unwrap();
    fs::write(folder.path().join("bad\u{202e}.evtx"), "no log").unwrap();
    for args in
        [&["count", "./"][..], &["count", "./", "-o", "json"], &["scan", "./", "-o", "table"]]
    {
        let ran = run(folder.path(), args);
        let active = |c: char| quarry_event::text::is_active(c) && c != '\n';
        assert_eq!(ran.stdout.chars().find(|&c| active(c)), None, "{}", ran.shown());
        assert_eq!(ran.stderr.chars().find(|&c| active(c)), None, "{}", ran.shown());
    }
    let ran = run(folder.path(), &["count", name]);
    assert_eq!(json(&ran.stdout)["source"], name);
}

#[test]
fn no_cell_of_csv_begins_as_a_formula_unless_it_is_asked_to_be_exact() {
    let folder = log_of(&["=cmd|'/c calc'!A0", "-", "-5"]);
    let cells = |format: &str| {
        let args = ["scan", "a.evtx", "-o", format, "--fields", "data.TargetUserName"];
        run(folder.path(), &args).lines()[1..]
            .iter()
            .map(|&line| line.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(cells("csv"), ["'=cmd|'/c calc'!A0", "-", "-5"]);
    assert_eq!(cells("csv-exact"), ["=cmd|'/c calc'!A0", "-", "-5"]);
}

#[test]
fn a_time_is_never_cut_and_its_heading_names_the_zone() {
    let folder = logs();
    for width in [60, 80, 120, 200] {
        for fields in [&[][..], &["--fields", "time,computer,provider,data.*,keywords,message"]] {
            let args = [&["scan", "a.evtx", "-o", "table"][..], fields].concat();
            let ran = at_width(folder.path(), width, &args);
            assert!(ran.lines()[0].starts_with("TIME UTC "), "{}", ran.shown());
            for line in &ran.lines()[1..] {
                assert!(line.starts_with("2026-08-22 00:0"), "{}", ran.shown());
                assert!(line.as_bytes()[18].is_ascii_digit(), "{}", ran.shown());
                assert!(line.chars().count() <= width, "{width}: {}", ran.shown());
            }
        }
    }
}

#[test]
fn the_match_of_grep_is_in_the_visible_part_and_highlighted() {
    let value = format!("{}needle{}", "x".repeat(500), "y".repeat(500));
    let folder = log_of(&[&value]);
    for width in [80, 120, 200] {
        let args = ["scan", "a.evtx", "-o", "table", "-g", "need.e"];
        let ran = at_width(folder.path(), width, &args);
        assert!(ran.lines()[1].contains("xneedley"), "{}", ran.shown());
        assert!(ran.lines()[1].chars().count() <= width, "{}", ran.shown());
        let args = [&args[..], &["--color", "always"]].concat();
        let ran = at_width(folder.path(), width, &args);
        assert!(ran.lines()[1].contains("x\u{1b}[1m\u{1b}[31mneedle\u{1b}[0my"), "{}", ran.shown());
    }
}

#[test]
fn the_log_of_a_file_is_the_channel_in_a_table_and_data_is_no_part_of_headings() {
    let folder = logs();
    let args = ["scan", "a.evtx", "-o", "table", "--fields", "log,data.TargetUserName"];
    let ran = run(folder.path(), &args);
    assert_eq!(
        ran.lines()[..2],
        ["LOG       TargetUserName", "Security  alice"],
        "{}",
        ran.shown()
    );
}

#[test]
fn each_value_becomes_a_column_of_csv() {
    let folder = logs();
    let args = ["scan", "a.evtx", "-o", "csv", "--fields", "event_id,data.*"];
    let ran = run(folder.path(), &args);
    assert_eq!(ran.lines()[..2], ["event_id,TargetUserName,param2", "4624,alice,unnamed"]);
    let sorted = run(folder.path(), &[&args[..], &["--sort", "time", "-r"]].concat());
    assert_eq!(sorted.lines()[1], "4634,alice,unnamed");
    let tail = run(folder.path(), &["tail", "a.evtx", "-o", "csv", "--fields", "data.*"]);
    assert_eq!(tail.status, Some(2));
    assert!(tail.stderr.contains("hint: name the values"), "{}", tail.shown());
}

#[test]
fn events_are_counted_by_fields_the_most_frequent_first() {
    let folder = logs();
    let by = |fields: &str, more: &[&str]| {
        run(folder.path(), &[&["count", "./", "--by", fields][..], more].concat())
    };
    let ran = by("id,data.TargetUserName", &[]);
    let counts: Vec<_> = ran.lines().iter().map(|line| json(line)).collect();
    assert_eq!(counts.len(), 6);
    let ran = by("event_id", &[]);
    let counts: Vec<_> = ran.lines().iter().map(|line| json(line)).collect();
    let expected = serde_json::json!({
        "event_id": 4624, "records": 3,
        "oldest": "2026-08-22T00:00:50.5000000Z", "newest": "2026-08-22T00:03:20.5000000Z",
    });
    assert_eq!(counts[0], expected);
    assert_eq!(counts[1]["event_id"], 4625);
    assert_eq!(counts[1]["records"], 2);
    assert_eq!(counts[2]["event_id"], 4634);
    let ran = by("event_id", &["-n", "1", "-o", "table", "-i", "4624-4625"]);
    insta::assert_snapshot!(ran.shown());
    let csv = by("computer,user_sid", &["-o", "csv"]).stdout;
    assert!(
        csv.starts_with("computer,user_sid,records,oldest,newest\r\ndc01.corp.example,,6,"),
        "{csv}"
    );
    assert_eq!(by("data.*", &[]).status, Some(2));
    assert_eq!(by("nothing", &[]).status, Some(2));
}

#[test]
fn around_is_both_sides_of_a_time() {
    let folder = logs();
    let around = |more: &[&str]| {
        let args =
            ["scan", "./", "--around", "2026-08-22T00:05:00Z", "-o", "csv", "--fields", "time"];
        run(folder.path(), &[&args[..], more].concat()).lines().len() - 1
    };
    assert_eq!(around(&[]), 6);
    assert_eq!(around(&["--window", "100s"]), 2, "1 s before 5 min and 100.5 s after it");
    assert_eq!(around(&["--window", "101s"]), 3);
    let both = run(folder.path(), &["scan", "./", "--around", "1d", "-S", "1d"]);
    assert_eq!(both.status, Some(2));
    let none = run(folder.path(), &["scan", "./", "--window", "5m"]);
    assert_eq!(none.status, Some(2));
}

#[test]
fn logs_are_listed_by_name_and_with_their_size() {
    let folder = tempfile::tempdir().unwrap();
    let mut events = vec![event(1, 1, 1, "a"), event(2, 2, 2, "b")];
    events[1].channel = "System";
    let bytes = file(&[events]);
    fs::write(folder.path().join("forwarded.evtx"), &bytes).unwrap();
    let ran = run(folder.path(), &["logs", "forwarded.evtx", "-l", "sys*", "--not-empty"]);
    assert_eq!(ran.lines().len(), 1, "{}", ran.shown());
    let row = json(ran.lines()[0]);
    assert_eq!((&row["log"], &row["size"]), (&"System".into(), &bytes.len().into()));
    assert_eq!(row["enabled"], serde_json::Value::Null);
}

#[test]
fn a_log_that_no_file_has_is_said_to_be_in_none() {
    let folder = logs();
    let ran = run(folder.path(), &["logs", "a.evtx", "-l", "Securty", "-l", "Sec*"]);
    let told = "warning: no file that was read has events of a log Securty\n";
    assert!(ran.stderr.contains(told), "{}", ran.shown());
    assert_eq!((ran.status, ran.lines().len()), (Some(0), 1), "{}", ran.shown());
    let ran = run(folder.path(), &["logs", "a.evtx", "-l", "Securty"]);
    assert!(ran.stderr.contains(told), "{}", ran.shown());
    assert_eq!((ran.status, &*ran.stdout), (Some(1), ""), "{}", ran.shown());
}

#[test]
fn small_things_that_a_new_user_tries_work() {
    let folder = logs();
    // journalctl's names of levels.
    let errors = |level| run(folder.path(), &["scan", "./", "-p", level]).lines().len();
    assert_eq!(errors("err"), errors("error"));
    assert!(errors("err") > 0);
    // An inventory by the environment.
    fs::write(folder.path().join("my.toml"), "[servers.fred]\n").unwrap();
    let ran =
        quarry(folder.path()).env("QUARRY_INVENTORY", "my.toml").args(["hosts", "list"]).output();
    let ran = Ran::from(ran.unwrap());
    assert_eq!(json(ran.lines()[0])["server"], "fred", "{}", ran.shown());
    // The man page among the commands.
    assert!(run(folder.path(), &["--help"]).stdout.contains("\n  man "));
    #[cfg(unix)]
    {
        let ran = run(folder.path(), &["lock", "-w", "2s", "my.lock", "--", "true"]);
        assert_eq!(ran.status, Some(0), "{}", ran.shown());
    }
}
