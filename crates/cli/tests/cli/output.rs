//! What is printed.

use std::io::Write;

use super::*;

fn users(ran: &Ran) -> Vec<String> {
    ran.lines()
        .iter()
        .map(|line| json(line)["data"]["TargetUserName"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_table_is_cut_to_80_columns() {
    let folder = logs();
    let ran: Ran = quarry(folder.path())
        .args(["scan", "./", "-o", "table"])
        .env("COLUMNS", "80")
        .output()
        .unwrap()
        .into();
    insta::assert_snapshot!(ran.shown());
}

#[test]
fn a_table_fills_200_columns() {
    let folder = logs();
    let ran: Ran = quarry(folder.path())
        .args(["scan", "./", "-o", "table", "--color", "always"])
        .env("COLUMNS", "200")
        .output()
        .unwrap()
        .into();
    insta::assert_snapshot!(ran.shown());
}

#[test]
fn colour_is_for_terminals_unless_it_is_asked_for() {
    let folder = logs();
    let colored = |args: &[&str], env: &[(&str, &str)]| {
        let mut command = quarry(folder.path());
        command.args(["scan", "a.evtx", "-o", "table"]).args(args).envs(env.iter().copied());
        Ran::from(command.output().unwrap()).stdout.contains('\u{1b}')
    };
    assert!(!colored(&[], &[]));
    assert!(colored(&["--color", "always"], &[]));
    assert!(colored(&["--color", "always"], &[("NO_COLOR", "1")]));
    assert!(colored(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(!colored(&["--color", "never"], &[("CLICOLOR_FORCE", "1")]));
}

#[test]
fn a_pipe_gets_json_lines_with_where_they_come_from() {
    let folder = logs();
    let ran = run(folder.path(), &["scan", "sub/b.evtx"]);
    assert_eq!(ran.status, Some(0));
    assert_eq!(ran.stderr, "1 of 1 file read; 2 records, 2 matched\n");
    let event = json(ran.lines()[1]);
    assert_eq!(event["source"], "sub/b.evtx");
    assert_eq!(event["log"], "b");
    assert_eq!(event["log_record"], 2);
    assert_eq!(event["host"], "dc01.corp.example");
    assert_eq!(event["time"], "2026-08-22T00:06:40.5000000Z");
    assert_eq!(event["level_name"], "Error");
    assert_eq!(event["data"]["TargetUserName"], "Alice");
    assert_eq!(event["data"]["param2"], "unnamed");
    assert_eq!(event["message"], serde_json::Value::Null);
}

#[test]
fn every_format_holds_every_event() {
    let folder = logs();
    let scan = |format| run(folder.path(), &["scan", "./", "-o", format]).stdout;
    let array: Vec<serde_json::Value> = serde_json::from_str(&scan("json")).unwrap();
    assert_eq!(array.len(), 6);
    assert_eq!(scan("jsonl").lines().count(), 6);
    assert_eq!(scan("csv").lines().count(), 7);
    assert_eq!(scan("table").lines().count(), 7);
    let xml = scan("xml");
    assert_eq!(xml.matches("<Event xmlns=").count(), 6);
    assert!(xml.starts_with("<?xml") && xml.ends_with("</Events>\n"));
}

#[test]
fn formats_are_whole_documents_without_events_too() {
    let folder = logs();
    let scan = |format| run(folder.path(), &["scan", "./", "-i", "1", "-o", format]).stdout;
    assert_eq!(scan("json"), "[]\n");
    assert_eq!(scan("xml"), "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Events>\n</Events>\n");
    assert!(scan("csv").starts_with("time,source,"));
}

#[test]
fn filters_choose_events() {
    let folder = logs();
    let scan = |args: &[&str]| {
        let mut all = vec!["scan", "a.evtx", "sub/b.evtx"];
        all.extend_from_slice(args);
        users(&run(folder.path(), &all))
    };
    assert_eq!(scan(&["-i", "4625"]), ["bob", "Alice"]);
    assert_eq!(scan(&["-i", "4624", "-i", "!4625"]), ["alice", "carol", "dave"]);
    assert_eq!(scan(&["-p", "error"]), ["bob", "Alice"]);
    assert_eq!(scan(&["--data", "TargetUserName=alice"]), ["alice", "alice", "Alice"]);
    assert_eq!(scan(&["--data", "TargetUserName~=^a"]), ["alice", "alice", "Alice"]);
    assert_eq!(scan(&["-g", "caro"]), ["carol"]);
    assert_eq!(scan(&["-S", "2026-08-22T00:05:00Z"]), ["bob", "alice", "Alice"]);
    assert_eq!(scan(&["-U", "2026-08-22T00:01:00Z"]), ["dave"]);
    assert_eq!(scan(&["-l", "security", "-i", "4634"]), ["alice"]);
    assert_eq!(scan(&["-l", "System"]).len(), 0);
    assert_eq!(scan(&["--computer", "dc02*"]).len(), 0);
    assert_eq!(scan(&["--xpath", "*[System[EventID=4634]]"]), ["alice"]);
}

#[test]
fn lines_are_counted_for_each_source() {
    let folder = logs();
    let scan = |args: &[&str]| {
        let mut all = vec!["scan", "./"];
        all.extend_from_slice(args);
        users(&run(folder.path(), &all))
    };
    assert_eq!(scan(&["-n", "1"]), ["alice", "dave"]);
    assert_eq!(scan(&["-n", "3"]), ["alice", "bob", "carol", "dave", "Alice"]);
    assert_eq!(scan(&["-r"]), ["alice", "carol", "bob", "alice", "Alice", "dave"]);
    assert_eq!(scan(&["-r", "-n", "1"]), ["alice", "Alice"]);
    assert_eq!(scan(&["-n", "1", "-i", "4625", "--threads", "1"]), ["bob", "Alice"]);
    let array = run(folder.path(), &["scan", "./", "-n", "1", "-o", "json"]).stdout;
    assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&array).unwrap().len(), 2);
}

#[test]
fn all_sources_can_be_put_in_one_order_of_time() {
    let folder = logs();
    let ran = run(folder.path(), &["scan", "./", "--sort", "time"]);
    assert_eq!(users(&ran), ["dave", "alice", "carol", "bob", "Alice", "alice"]);
    let ran = run(folder.path(), &["scan", "./", "--sort", "time", "-r"]);
    assert_eq!(users(&ran), ["alice", "Alice", "bob", "carol", "alice", "dave"]);
    let array = run(folder.path(), &["scan", "./", "--sort", "time", "-o", "json"]).stdout;
    assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&array).unwrap().len(), 6);
}

#[test]
fn the_output_is_the_same_with_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c"] {
        let chunks: Vec<Vec<Event>> = (0..15u64)
            .map(|chunk| {
                let events = 1 + (chunk * 7) % 30;
                (0..events).map(|i| event(chunk * 100 + i, i, 4624, name)).collect()
            })
            .collect();
        fs::write(folder.path().join(format!("{name}.evtx")), file(&chunks)).unwrap();
    }
    for args in [&["-o", "jsonl"][..], &["-o", "json", "-r"], &["-n", "40"], &["--sort", "time"]] {
        let scan = |threads| {
            let mut all = vec!["scan", "./", "--threads", threads];
            all.extend_from_slice(args);
            run(folder.path(), &all)
        };
        let one = scan("1");
        assert!(one.lines().len() > 100);
        for threads in ["2", "7"] {
            assert_eq!(scan(threads).stdout, one.stdout, "{args:?}");
        }
    }
}

#[test]
fn chosen_fields_are_columns() {
    let folder = logs();
    let args = ["scan", "a.evtx", "-n", "2", "-o", "csv", "--fields"];
    let ran = run(folder.path(), &[&args[..], &["id,data.TargetUserName,data.param2"]].concat());
    let expected =
        "event_id,data.TargetUserName,data.param2\r\n4624,alice,unnamed\r\n4625,bob,unnamed\r\n";
    assert_eq!(ran.stdout, expected);
}

#[test]
fn standard_input_is_a_file_or_a_pipe() {
    let folder = logs();
    let path = folder.path().join("a.evtx");
    let mut redirected = quarry(folder.path());
    redirected.args(["scan", "-"]).stdin(fs::File::open(&path).unwrap());
    let redirected = Ran::from(redirected.output().unwrap());
    assert_eq!(redirected.lines().len(), 4);
    assert_eq!(json(redirected.lines()[0])["source"], "-");

    let mut child = quarry(folder.path())
        .args(["scan", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&fs::read(&path).unwrap()).unwrap();
    let piped = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(piped.stdout, redirected.stdout);
    assert_eq!(piped.status, Some(0));
}

#[test]
fn records_are_counted_with_their_times() {
    let folder = logs();
    let ran = run(folder.path(), &["count", "./"]);
    assert_eq!(ran.status, Some(0));
    assert_eq!(
        ran.lines(),
        [
            "{\"source\":\"./a.evtx\",\"log\":\"a\",\"records\":4,\
             \"oldest\":\"2026-08-22T00:01:40.5000000Z\",\"newest\":\"2026-08-22T00:08:20.5000000Z\"}",
            "{\"source\":\"./sub/b.evtx\",\"log\":\"b\",\"records\":2,\
             \"oldest\":\"2026-08-22T00:00:50.5000000Z\",\"newest\":\"2026-08-22T00:06:40.5000000Z\"}",
        ]
    );
    let table = run(folder.path(), &["count", "./", "-i", "4624", "-o", "table"]);
    insta::assert_snapshot!(table.shown());
    let csv = run(folder.path(), &["count", "a.evtx", "-o", "csv"]).stdout;
    let line = "a.evtx,a,4,2026-08-22T00:01:40.5000000Z,2026-08-22T00:08:20.5000000Z\r\n";
    assert_eq!(csv, format!("source,log,records,oldest,newest\r\n{line}"));
}

#[test]
fn a_log_with_no_match_is_counted_as_none() {
    let folder = logs();
    let ran = run(folder.path(), &["count", "a.evtx", "sub/b.evtx", "-i", "4634"]);
    let counts: Vec<_> = ran.lines().iter().map(|line| json(line)["records"].clone()).collect();
    assert_eq!(counts, [1, 0]);
}

#[test]
fn the_channels_in_a_file_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let mut events = vec![event(1, 1, 1, "a"), event(2, 2, 2, "b"), event(3, 3, 3, "c")];
    events[1].channel = "System";
    fs::write(folder.path().join("forwarded.evtx"), file(&[events])).unwrap();
    let ran = run(folder.path(), &["logs", "forwarded.evtx"]);
    let logs: Vec<_> = ran
        .lines()
        .iter()
        .map(|line| (json(line)["log"].clone(), json(line)["records"].clone()))
        .collect();
    assert_eq!(logs, [("Security".into(), 2.into()), ("System".into(), 1.into())]);
}

#[test]
fn a_raw_fragment_is_decoded_in_both_dialects() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("wire.bin"), evtx::wire(&event(7, 1, 4624, "zoë"))).unwrap();
    let ran = run(folder.path(), &["decode", "--wire", "wire.bin", "-o", "jsonl"]);
    assert_eq!(ran.stderr, "");
    assert_eq!(json(&ran.stdout)["data"]["TargetUserName"], "zoë");
    let xml = run(folder.path(), &["decode", "--wire", "wire.bin"]).stdout;
    assert!(xml.contains("<EventRecordID>7</EventRecordID>"), "{xml}");
    // A file's names lie at offsets in its chunk, so a fragment is one only where it is whole.
    let bytes = file(&[vec![event(9, 1, 4624, "x")]]);
    fs::write(folder.path().join("file.bin"), &bytes[4096..4096 + 65_536]).unwrap();
    let ran = run(folder.path(), &["decode", "file.bin", "-o", "jsonl"]);
    assert_eq!(json(&ran.stdout)["record_id"], 9, "{}", ran.stderr);
}
