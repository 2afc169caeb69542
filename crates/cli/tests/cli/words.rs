//! Which events are asked for: the words of the command line.

use super::*;

/// The users of the events of `a.evtx` that come, and what is said of them.
fn users(folder: &TempDir, args: &[&str]) -> (Vec<String>, Ran) {
    let ran = run(folder.path(), &[&["scan", "a.evtx", "-o", "jsonl"], args].concat());
    let user = |line: &&str| json(line)["data"]["TargetUserName"].as_str().unwrap().to_owned();
    (ran.lines().iter().map(user).collect(), ran)
}

#[test]
fn values_and_names_ignore_case_and_take_globs() {
    let folder = logs();
    for (args, expected) in [
        (&["--data", "targetusername=ALICE"][..], &["alice", "alice"][..]),
        (&["--data", "TargetUserName=?AR*"], &["carol"]),
        (&["--data", "TargetUserName~=^Bo"], &[]),
        (&["--data", "TargetUserName~=^bo"], &["bob"]),
        (&["--computer", "DC01.*", "-i", "4625"], &["bob"]),
        (&["--provider", "microsoft-windows-SECURITY-auditing", "-i", "4634"], &["alice"]),
        (&["-l", "SECURITY", "-i", "4634"], &["alice"]),
        (&["-g", "BOB"], &[]),
        (&["-g", "bob"], &["bob"]),
        (&["-g", "TargetUserName=bob"], &["bob"]),
        (&["-g", "targetusername=b", "-g", "unnamed"], &["bob"]),
    ] {
        let (users, ran) = users(&folder, args);
        assert_eq!(users, expected, "{args:?}: {}", ran.shown());
    }
}

#[test]
fn what_is_not_wanted_is_left_out_and_events_without_the_value_stay() {
    let folder = logs();
    for (args, expected) in [
        (&["--not", "id:4624"][..], &["bob", "alice"][..]),
        (&["--not", "data:TargetUserName=a*"], &["bob", "carol"]),
        (&["--not", "data.Absent=*"], &["alice", "bob", "carol", "alice"]),
        (&["--not", "level:error", "--not", "grep:caro"], &["alice", "alice"]),
        (&["--not", "log:Sec*"], &[]),
        (&["--not", "log:System", "-i", "4634"], &["alice"]),
        (&["--not", "xpath:*[System[EventID=4624 or EventID=4625]]"], &["alice"]),
    ] {
        let (users, ran) = users(&folder, args);
        assert_eq!(users, expected, "{args:?}: {}", ran.shown());
    }
    let ran = run(folder.path(), &["scan", "a.evtx", "--not", "since:8h"]);
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("error: --not: `since` can't be negated"), "{}", ran.stderr);
    let ran = run(folder.path(), &["scan", "a.evtx", "--not", "idd:8"]);
    assert!(ran.stderr.contains("no word `idd`, but id"), "{}", ran.stderr);
}

#[test]
fn a_name_that_no_record_has_is_a_warning_at_the_end() {
    let folder = logs();
    let warning = "warning: no record that was read has a value named `TargetUsrName`; did you \
                   mean TargetUserName?\n";
    for args in [
        &["--data", "TargetUsrName=x"][..],
        &["--fields", "data.TargetUsrName"],
        &["--not", "data:TargetUsrName=x"],
        &["--xpath", "*[EventData[Data[@Name='TargetUsrName']='x']]"],
    ] {
        let ran = run(folder.path(), &[&["scan", "a.evtx"], args].concat());
        assert!(ran.stderr.contains(warning), "{args:?}: {}", ran.stderr);
        let last = ran.stderr.lines().last().unwrap();
        assert!(last.starts_with("1 of 1 file read"), "{}", ran.stderr);
    }
    let count = run(folder.path(), &["count", "a.evtx", "--data", "TargetUsrName=x"]);
    assert!(count.stderr.contains(warning), "{}", count.stderr);
    // Known, even where no value or other test passes.
    for args in [
        &["--data", "targetusername=nobody"][..],
        &["--data", "param2=nobody"],
        &["--fields", "data.targetusername,data.param2", "-i", "9"],
    ] {
        let ran = run(folder.path(), &[&["scan", "a.evtx"], args].concat());
        assert!(!ran.stderr.contains("warning"), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn a_time_in_a_query_needs_no_zone() {
    let folder = logs();
    let after = |time: &str| format!("*[System[TimeCreated[@SystemTime>='{time}']]]");
    let scan = |query: &str| users(&folder, &["--xpath", query]).0;
    assert_eq!(scan(&after("2026-08-22T00:05:00")), ["bob", "alice"]);
    assert_eq!(scan(&after("2026-08-22 02:05+02:00")), ["bob", "alice"]);
    assert_eq!(scan(&after("2026-08-23")), [""; 0]);
    assert_eq!(scan("*[EventData[Data[contains(.,'aro')]]]"), ["carol"]);
    let ran = run(folder.path(), &["scan", "a.evtx", "--xpath", &after("soon")]);
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("`soon` is none"), "{}", ran.stderr);
    assert!(ran.stderr.contains("^"), "{}", ran.stderr);
}

#[test]
fn a_first_time_in_the_future_is_said_to_be() {
    let folder = logs();
    // 23:59:59.9 is in the future but for the last moment of the day.
    let ran = run(folder.path(), &["scan", "a.evtx", "--since", "23:59:59.9"]);
    assert_eq!(ran.status, Some(1), "{}", ran.shown());
    assert!(
        ran.stderr.starts_with("warning: --since 23:59:59.9 is in the future (")
            && ran.stderr.contains("the last 23:59:59.9 was \"yesterday 23:59:59.9\""),
        "{}",
        ran.stderr
    );
    let ran = run(folder.path(), &["scan", "a.evtx", "-S", "-1h"]);
    assert_eq!(ran.status, Some(1), "{}", ran.shown());
    assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
    let ran = run(folder.path(), &["scan", "a.evtx", "-S", "1M"]);
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("a minute is 1m, a month 1mo"), "{}", ran.stderr);
}

#[test]
fn a_value_as_tables_show_it_is_warned_of() {
    let folder = logs();
    for (value, number) in [("3 (Network)", Some("3")), ("0x1f (x)", Some("0x1f")), ("a (b)", None)]
    {
        let ran = run(folder.path(), &["scan", "a.evtx", "--data", &format!("LogonType={value}")]);
        let hint = number.map(|number| format!("which is LogonType={number}"));
        let is_there = hint.as_ref().is_some_and(|hint| ran.stderr.contains(hint));
        assert_eq!(is_there, number.is_some(), "{value}: {}", ran.stderr);
        assert_eq!(ran.stderr.contains("in brackets"), number.is_some(), "{}", ran.stderr);
    }
}

#[test]
fn times_are_read_and_shown_in_a_zone() {
    let folder = logs();
    let table = |args: &[&str]| {
        let args = [&["scan", "a.evtx", "-o", "table", "--fields", "time"], args].concat();
        let ran = run(folder.path(), &args);
        assert!(ran.status < Some(2), "{}", ran.shown());
        ran.stdout
    };
    let first = "2026-08-22 02:01:40.500+02:00";
    assert!(table(&["--timezone", "Europe/Berlin"]).contains(first));
    assert!(table(&["--timezone", "+02:00"]).contains(first));
    let berlin = &["--timezone", "europe/berlin"][..];
    assert_eq!(table(&[berlin, &["-S", "2026-08-22T02:05"]].concat()).lines().count(), 3);
    assert_eq!(table(&["-S", "2026-08-22T02:05", "--utc"]).lines().count(), 1);
    let count = run(folder.path(), &["count", "a.evtx", "-o", "table", "--timezone", "-03:30"]);
    assert!(count.lines()[0].contains("  OLDEST -03:30  "), "{}", count.stdout);
    assert!(count.stdout.contains("  2026-08-21 20:31:40  "), "{}", count.stdout);
    let ran = run(folder.path(), &["scan", "a.evtx", "--timezone", "Mars"]);
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("--timezone: `Mars` is not a time zone"), "{}", ran.stderr);
}
