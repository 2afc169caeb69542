//! `even://HOST:PORT` against Samba's smbd. Needs root and Samba; says so and passes where they
//! aren't.

use std::path::Path;

use quarry_testkit::SambaServer;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{Ran, quarry};

fn run(folder: &Path, port: u16, words: &[&str]) -> Ran {
    let (command, options) = words.split_first().unwrap();
    quarry(folder)
        .arg(command)
        .arg(format!("even://127.0.0.1:{port}"))
        .args(options)
        .args(["-u", SambaServer::USER, "--password-file", "password"])
        .output()
        .unwrap()
        .into()
}

#[test]
fn a_server_of_ms_even_is_counted_scanned_and_listed() {
    let Some(server) = SambaServer::start(&[]) else { return };
    server.open_logs();
    let records: Vec<Value> = (1..=3000)
        .map(|n| {
            json!({
                "time_generated": 1_700_000_000 + n, "time_written": 1_700_000_000 + n,
                "event_id": n, "type": if n % 100 == 0 { 1 } else { 4 }, "category": 0,
                "source": "Slate", "computer": "QUARRY", "sid": null,
                "strings": [format!("岩 {n}")], "data": "",
            })
        })
        .collect();
    server.fill("System", &records);
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("password"), SambaServer::PASSWORD).unwrap();
    let run = |words: &[&str]| run(folder.path(), server.port, words);

    let count = run(&["count", "-o", "jsonl"]);
    let counted: Value = serde_json::from_str(&count.stdout).unwrap();
    assert_eq!((&counted["log"], &counted["records"]), (&json!("System"), &json!(3000)));
    assert_eq!(counted["newest"], "2023-11-14T23:03:20.0000000Z");

    for (order, expected) in [("-n", [100u64, 200]), ("-r", [3000, 2900])] {
        let words: &[&str] = match order {
            "-r" => &["scan", "-p", "error", "-o", "jsonl", "-n", "2", "-r"],
            _ => &["scan", "-p", "error", "-o", "jsonl", "-n", "2"],
        };
        let scan = run(words);
        assert_eq!(scan.status, Some(0), "{}", scan.stderr);
        // MS-EVEN has no operation for it.
        assert!(scan.stderr.contains("  no message text: it can't be asked for in this way: "));
        let events: Vec<Value> =
            scan.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events.len(), 2);
        for (event, number) in events.iter().zip(expected) {
            assert_eq!(event["source"], format!("even://127.0.0.1:{}", server.port));
            assert_eq!(
                (&event["log_record"], &event["event_id"]),
                (&json!(number), &json!(number))
            );
            assert_eq!(event["level_name"], "Error");
            assert_eq!(event["data"], json!({ "param1": format!("岩 {number}") }));
        }
    }

    let logs = run(&["logs", "-o", "jsonl"]);
    let names: Vec<Value> = logs
        .lines()
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["log"].clone())
        .collect();
    assert_eq!(names, ["Application", "Security", "System"]);

    let none = run(&["scan", "-l", "Nonesuch"]);
    assert_eq!(none.status, Some(2), "{}", none.stderr);
    assert!(none.stderr.contains("there is no log Nonesuch on 127.0.0.1"), "{}", none.stderr);
}
