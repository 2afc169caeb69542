//! `quarry logons`, `quarry powershell` and `quarry processes`.

use super::*;

/// An event with values.
fn with(record: u64, id: u32, channel: &'static str, data: &[(&'static str, &str)]) -> Event {
    let data = data.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Event { channel, data, ..event(record, record * 60, id, "") }
}

fn write(name: &str, events: Vec<Event>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), file(&[events])).unwrap();
    folder
}

/// The lines of a CSV, without the columns of times.
fn rows(ran: &Ran) -> Vec<Vec<String>> {
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let mut reader = csv::Reader::from_reader(ran.stdout.as_bytes());
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

#[test]
fn logons_are_counted_by_who_where_and_why_with_the_first_and_the_last() {
    let failed = |record, sub_status: &str| {
        let data = [
            ("TargetUserName", "ann"),
            ("TargetDomainName", "CORP"),
            ("LogonType", "3"),
            ("IpAddress", "::ffff:10.0.0.5"),
            ("Status", "0xc000006d"),
            ("SubStatus", sub_status),
        ];
        with(record, 4625, "Security", &data)
    };
    let came = [
        ("TargetUserName", "ann"),
        ("TargetDomainName", "CORP"),
        ("LogonType", "10"),
        ("IpAddress", "-"),
        ("WorkstationName", "PC7"),
    ];
    let events = vec![
        failed(1, "0xc000006a"),
        failed(2, "0xc0000234"),
        failed(3, "0xc000006a"),
        with(4, 4624, "Security", &came),
        with(5, 4634, "Security", &came),
        with(6, 4624, "Elsewhere", &came),
    ];
    let folder = write("a.evtx", events);
    let ran = run(folder.path(), &["logons", "a.evtx", "-o", "csv"]);
    let host = "dc01.corp.example";
    let time = |minute: u32| format!("2026-08-22T00:0{minute}:00.5000000Z");
    let expected = [
        [
            "failure",
            "CORP\\ann",
            host,
            "10.0.0.5",
            "network",
            "wrong password",
            "2",
            &time(1),
            &time(3),
        ],
        [
            "failure",
            "CORP\\ann",
            host,
            "10.0.0.5",
            "network",
            "account locked",
            "1",
            &time(2),
            &time(2),
        ],
        ["success", "CORP\\ann", host, "PC7", "remote desktop", "", "1", &time(4), &time(4)],
    ];
    assert_eq!(rows(&ran), expected);
    // Around an event of the log.
    let args = ["logons", "a.evtx", "-o", "csv", "--around", "a.evtx#4", "--window", "30s"];
    assert_eq!(rows(&run(folder.path(), &args)).len(), 1);
    let ran = run(folder.path(), &["logons", "a.evtx", "--around", "a.evtx#40"]);
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("a.evtx has no record 40"), "{}", ran.stderr);
    // An exported log counts anew, and its events say which numbers they had.
    let exported = |record, own| Event { own, ..failed(record, "0xc000006a") };
    let log = file(&[vec![exported(1, 70), exported(2, 1), exported(3, 71), exported(4, 71)]]);
    fs::write(folder.path().join("b.evtx"), log).unwrap();
    for (number, record) in [(70, 1), (1, 1), (2, 2)] {
        let around = format!("b.evtx#{number}");
        let args = ["scan", "b.evtx", "--around", &around, "--window", "1s", "-o", "jsonl"];
        let ran = run(folder.path(), &args);
        assert_eq!(json(&ran.stdout)["log_record"], record, "{}", ran.stderr);
    }
    let ran = run(folder.path(), &["scan", "b.evtx", "--around", "b.evtx#71"]);
    assert!(ran.stderr.contains("no record 71, and 2 events with this number"), "{}", ran.stderr);
    for (event, hint) in [("nosuch.evtx#1", "LOG.evtx#812"), ("fred:Security#30", "give its time")]
    {
        let ran = run(folder.path(), &["logons", "a.evtx", "--around", event]);
        assert_eq!(ran.status, Some(2));
        assert!(ran.stderr.contains(hint) && !ran.stderr.contains("os error"), "{}", ran.stderr);
    }
}

/// RFC 4120, section 7.5.9: 0x6 is KDC_ERR_C_PRINCIPAL_UNKNOWN, 0x18 KDC_ERR_PREAUTH_FAILED.
#[test]
fn what_a_domain_controller_refuses_is_a_failure_with_its_reason() {
    let asked = |record, id, status: &str| {
        let data = [
            ("TargetUserName", "ann"),
            ("TargetDomainName", "CORP"),
            ("IpAddress", "::ffff:10.0.0.5"),
            ("Status", status),
        ];
        with(record, id, "Security", &data)
    };
    let ntlm = |record, status: &str| {
        let data = [("TargetUserName", "bob"), ("Workstation", "PC7"), ("Status", status)];
        with(record, 4776, "Security", &data)
    };
    let events = vec![
        asked(1, 4768, "0x0"),
        asked(2, 4768, "0x6"),
        asked(3, 4771, "0x18"),
        asked(4, 4771, "0x18"),
        ntlm(5, "0x0"),
        ntlm(6, "0xc000006a"),
    ];
    let folder = write("a.evtx", events);
    let ran = run(folder.path(), &["logons", "a.evtx", "-o", "csv"]);
    let told: Vec<String> = rows(&ran)
        .iter()
        .map(|row| [&row[1], &row[3], &row[4], &row[5], &row[6]].map(String::as_str).join("|"))
        .collect();
    let expected = [
        r"CORP\ann|10.0.0.5|Kerberos|wrong password|2",
        r"bob|PC7|NTLM|wrong password|1",
        r"CORP\ann|10.0.0.5|Kerberos|no such user|1",
    ];
    assert_eq!(sorted(told), sorted(expected.map(str::to_owned).to_vec()));
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

#[test]
fn the_failures_that_a_domain_controller_recorded_are_all_there() {
    // 46 of them ask for a ticket of a user that there is none of, as `grep` counts them.
    let name = "mitre/ID4768-4771-Kerberos-brutforce-with-non-existing-users.evtx";
    let Some(path) = quarry_testkit::corpus_file(name) else { return };
    let path = path.to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let grep = ["scan", path, "-i", "4768", "--data", "Status=0x6", "-o", "jsonl"];
    let expected = run(folder.path(), &grep).lines().len();
    assert!(expected > 10, "{expected}");
    let ran = run(folder.path(), &["logons", path, "-o", "jsonl"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let lines: Vec<_> = ran.lines().into_iter().map(json).collect();
    let of =
        |line: &&serde_json::Value| line["reason"] == "no such user" && line["type"] == "Kerberos";
    let count: u64 = lines.iter().filter(of).map(|line| line["events"].as_u64().unwrap()).sum();
    assert_eq!(count, expected as u64);
}

#[test]
fn a_name_that_no_record_has_is_warned_of_as_in_a_scan() {
    let data = [("TargetUserName", "ann"), ("LogonType", "3")];
    let folder = write("a.evtx", vec![with(1, 4624, "Security", &data)]);
    let warning = "warning: no record that was read has a value named `TargetUsrName`; did you \
                   mean TargetUserName?";
    for format in ["csv", "html"] {
        let args = ["logons", "a.evtx", "-o", format, "--data", "TargetUsrName=ann"];
        let ran = run(folder.path(), &args);
        assert_eq!(
            (ran.status, ran.stderr.matches(warning).count()),
            (Some(1), 1),
            "{}",
            ran.stderr
        );
    }
    let args = ["logons", "a.evtx", "-o", "csv", "--data", "TargetUserName=ann"];
    assert!(!run(folder.path(), &args).stderr.contains("no record that was read"));
}

#[test]
fn script_blocks_are_joined_and_missing_parts_are_named() {
    let channel = "Microsoft-Windows-PowerShell/Operational";
    let part = |record, id: &'static str, number: &str, total: &str, text: &str| {
        let data = [
            ("MessageNumber", number),
            ("MessageTotal", total),
            ("ScriptBlockText", text),
            ("ScriptBlockId", id),
            ("Path", r"C:\a.ps1"),
        ];
        with(record, 4104, channel, &data)
    };
    let events = vec![
        part(1, "one", "1", "2", "Get-"),
        part(2, "two", "3", "4", "z"),
        part(3, "one", "2", "2", "Item"),
        part(4, "two", "1", "4", "y"),
    ];
    let folder = write("ps.evtx", events);
    let ran = run(folder.path(), &["powershell", "./", "-o", "jsonl"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let lines: Vec<_> = ran.lines().into_iter().map(json).collect();
    let told = |n: usize, name: &str| lines[n][name].clone();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (told(0, "script"), told(0, "missing")),
        ("Get-Item".into(), serde_json::Value::Null)
    );
    let script = "y\n[part 2 is missing]\nz\n[part 4 is missing]\n";
    let missing = serde_json::json!([2, 4]);
    assert_eq!((told(1, "script"), told(1, "missing")), (script.into(), missing));
    assert_eq!((told(1, "parts"), told(1, "path")), ("2 of 4".into(), r"C:\a.ps1".into()));
}

#[test]
fn processes_are_a_tree_by_host_with_command_lines() {
    let start = |record, pid: &str, parent: &str, image: &str, command: &str| {
        let data = [
            ("SubjectUserName", "ann"),
            ("SubjectDomainName", "CORP"),
            ("NewProcessId", pid),
            ("NewProcessName", image),
            ("ProcessId", parent),
            ("CommandLine", command),
        ];
        with(record, 4688, "Security", &data)
    };
    let events = vec![
        start(1, "0x10", "0x4", r"C:\a.exe", "a"),
        start(2, "0x14", "0x10", r"C:\b.exe", ""),
        start(3, "0x18", "0x14", r"C:\c.exe", "c <script>"),
        with(4, 4689, "Security", &[("ProcessId", "0x14")]),
        start(5, "0x1c", "0x10", r"C:\d.exe", "d"),
    ];
    let folder = write("a.evtx", events);
    let ran = run(folder.path(), &["processes", "a.evtx", "-o", "jsonl"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let lines: Vec<_> = ran.lines().into_iter().map(json).collect();
    let told = |name: &str| lines.iter().map(|line| line[name].clone()).collect::<Vec<_>>();
    assert_eq!(told("command"), ["a", r"C:\b.exe", "c <script>", "d"]);
    assert_eq!(told("depth"), [0, 1, 2, 1]);
    assert_eq!(told("pid"), [16, 20, 24, 28]);
    assert_eq!(told("parent"), [4, 16, 20, 16]);
    assert_eq!(lines[1]["ended"], "2026-08-22T00:04:00.5000000Z");
    assert_eq!(lines[0]["user"], r"CORP\ann");
    let table = run(folder.path(), &["processes", "a.evtx", "-o", "table"]);
    assert!(table.stdout.contains("  · · c <script>\n"), "{}", table.stdout);
    // One page that loads nothing.
    let page = run(folder.path(), &["processes", "a.evtx", "-o", "html"]).stdout;
    assert!(page.starts_with("<!doctype html>"), "{page}");
    assert!(page.contains("c &lt;script&gt;") && !page.contains("<script"), "{page}");
    // What was asked of what, and how much of it was read.
    assert!(page.contains("<p>quarry processes a.evtx -o html</p>"), "{page}");
    assert!(page.contains("1 of 1 files read") && !page.contains("incomplete:"), "{page}");
    fs::write(folder.path().join("broken.evtx"), "no log").unwrap();
    let page = run(folder.path(), &["processes", "a.evtx", "broken.evtx", "-o", "html"]).stdout;
    let incomplete = page.lines().position(|line| line.contains("incomplete: 1 of 2 files"));
    assert!(
        incomplete.is_some_and(|n| n < page.lines().position(|l| l.contains("<table>")).unwrap())
    );
    let list = run(folder.path(), &["processes", "a.evtx", "-o", "list"]);
    assert!(list.lines().contains(&"PID          16"), "{}", list.stdout);
}

#[test]
fn a_host_with_sysmon_is_told_by_its_identifiers() {
    let start = |record, guid: &'static str, parent: &str, image: &str| {
        let data = [
            ("ProcessGuid", guid),
            ("ProcessId", "7"),
            ("Image", image),
            ("CommandLine", image),
            ("User", "ann"),
            ("ParentProcessGuid", parent),
            ("ParentProcessId", "7"),
        ];
        with(record, 1, "Microsoft-Windows-Sysmon/Operational", &data)
    };
    let events = vec![
        start(1, "{a}", "{0}", "a.exe"),
        start(2, "{b}", "{0}", "b.exe"),
        start(3, "{c}", "{a}", "c.exe"),
        // Of the same process as the one before, by number and time.
        Event {
            time: "2026-08-22T00:03:02.5000000Z".to_owned(),
            ..with(4, 4688, "Security", &[("NewProcessId", "0x7"), ("NewProcessName", "c.exe")])
        },
        with(5, 4688, "Security", &[("NewProcessId", "0x9"), ("NewProcessName", "x.exe")]),
    ];
    let folder = write("a.evtx", events);
    let ran = run(folder.path(), &["processes", "a.evtx", "-o", "jsonl"]);
    let shown: Vec<String> = ran
        .lines()
        .into_iter()
        .map(json)
        .map(|line| format!("{} {}", line["depth"], line["image"].as_str().unwrap()))
        .collect();
    assert_eq!(shown, ["0 a.exe", "1 c.exe", "0 b.exe", "0 x.exe"]);
    assert!(ran.stderr.contains("has both Sysmon 1 and 4688"), "{}", ran.stderr);
}

#[test]
fn the_tables_of_the_answers_fit_80_and_120_columns() {
    let logon = |record, id, address: &str, kind: &str| {
        let data = [
            ("TargetUserName", "administrator-of-everything"),
            ("TargetDomainName", "CORP.EXAMPLE"),
            ("LogonType", kind),
            ("IpAddress", address),
            ("WorkstationName", "A-WORKSTATION"),
            ("Status", "0xc000006d"),
            ("SubStatus", "0xc000006a"),
        ];
        with(record, id, "Security", &data)
    };
    let start = |record, pid: &str, parent: &str, command: &str| {
        let data = [
            ("SubjectUserName", "ann"),
            ("SubjectDomainName", "CORP"),
            ("NewProcessId", pid),
            ("NewProcessName", r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe"),
            ("ProcessId", parent),
            ("CommandLine", command),
        ];
        with(record, 4688, "Security", &data)
    };
    let script = |record, number: &str, text: &str| {
        let data = [
            ("MessageNumber", number),
            ("MessageTotal", "3"),
            ("ScriptBlockText", text),
            ("ScriptBlockId", "3f0f6b4e-0000-4000-8000-000000000001"),
            ("Path", r"C:\Users\ann\Documents\scripts\inventory.ps1"),
        ];
        with(record, 4104, "Microsoft-Windows-PowerShell/Operational", &data)
    };
    let long =
        "powershell.exe -NoProfile -Command Get-ChildItem -Recurse C:\\ | Sort-Object Length";
    let events = vec![
        logon(1, 4624, "10.0.0.5", "10"),
        logon(2, 4625, "2001:db8:0:1:2:3:4:5", "3"),
        logon(3, 4624, "-", "2"),
        start(4, "0x10", "0x4", long),
        start(5, "0x14", "0x10", "cmd"),
        script(6, "1", "function Get-Inventory {\n  Get-CimInstance Win32_ComputerSystem"),
        script(7, "3", "}\nGet-Inventory"),
    ];
    let folder = write("a.evtx", events);
    let commands =
        ["logons", "processes", "powershell"].map(|name| [name, "a.evtx", "-o", "table"]);
    let commands: Vec<&[&str]> = commands.iter().map(<[&str; 4]>::as_slice).collect();
    insta::assert_snapshot!(at_both_widths(folder.path(), &commands));
}
