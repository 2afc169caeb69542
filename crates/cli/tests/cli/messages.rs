//! `quarry messages`.

use quarry_testkit::{Package, package_file};

use super::*;

const PROVIDER: &str = "Microsoft-Windows-Security-Auditing";

fn security() -> Option<std::path::PathBuf> {
    package_file(Package::Crate { name: "evtx" }, "samples/dlls/adtschema.dll")
}

/// The program, with a data folder of its own.
fn messages(folder: &Path, args: &[&str]) -> Ran {
    let mut command = quarry(folder);
    command.env("XDG_DATA_HOME", folder).arg("messages").args(args);
    command.output().unwrap().into()
}

#[test]
fn a_catalogue_is_built_listed_shown_and_verified() {
    let Some(file) = security() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let built = messages(folder, &["build", "--from", file.to_str().unwrap()]);
    assert_eq!(built.status, Some(0), "{}", built.shown());
    assert!(built.stderr.contains("544 messages of 1 provider\n"), "{}", built.stderr);
    assert!(built.stderr.contains("10.0.26100-1033.catalogue"), "{}", built.stderr);

    let listed = messages(folder, &["list"]);
    let row = json(listed.lines()[0]);
    assert_eq!(row["build"], "10.0.26100");
    assert_eq!(row["language"], "en-US");
    assert_eq!(row["kind"], "files");
    assert_eq!(row["providers"], 1);
    let providers = messages(folder, &["list", row["catalogue"].as_str().unwrap()]);
    assert_eq!(json(providers.lines()[0])["provider"], PROVIDER);

    let shown = messages(folder, &["show", &PROVIDER.to_lowercase(), "4625"]);
    assert_eq!(shown.status, Some(0), "{}", shown.shown());
    assert!(shown.stdout.contains("An account failed to log on."), "{}", shown.stdout);
    assert!(shown.stdout.contains("TargetUserName win:UnicodeString"), "{}", shown.stdout);
    assert!(!shown.stdout.contains('\r'));
    let none = messages(folder, &["show", PROVIDER, "60000"]);
    assert!(none.stderr.contains(&format!("no catalogue has event 60000 of {PROVIDER}")));
    let unknown = messages(folder, &["show", "Nobody", "1"]);
    assert!(unknown.stderr.contains("no catalogue has the provider Nobody"), "{}", unknown.stderr);
    let all = messages(folder, &["show", PROVIDER]);
    assert!(all.lines().len() > 900, "{}", all.lines().len());

    let verified = messages(folder, &["verify"]);
    assert_eq!(verified.status, Some(0), "{}", verified.shown());

    // Within 80 columns the name of the file or the provider is whole; GUIDs are cut.
    let table = messages(folder, &["list", "-o", "table"]);
    assert!(table.stdout.contains("10.0.26100-1033.catalogue "), "{}", table.stdout);
    assert!(
        table.stderr.contains(&format!("they are in {}", folder.display())),
        "{}",
        table.stderr
    );
    let path = row["catalogue"].as_str().unwrap();
    let mut narrow = quarry(folder);
    narrow.env("COLUMNS", "60").args(["messages", "list", path, "-o", "table"]);
    let narrow: Ran = narrow.output().unwrap().into();
    assert!(narrow.stdout.contains(PROVIDER), "{}", narrow.stdout);
}

/// pgevent.dll has one message, and no manifest.
#[test]
fn messages_without_a_manifest_are_shown_by_their_numbers() {
    let package =
        Package::Npm { name: "@embedded-postgres/windows-x64", version: "18.4.0-beta.17" };
    let Some(file) = package_file(package, "package/native/lib/pgevent.dll") else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let built = messages(folder, &["build", "--from", file.to_str().unwrap(), "-o", "p.catalogue"]);
    assert_eq!(built.status, Some(0), "{}", built.shown());
    let show = |args: &[&str]| {
        let args = [&["show", "PGEVENT"], args, &["--catalogue", "p.catalogue"]].concat();
        messages(folder, &args)
    };
    assert_eq!(show(&[]).stdout, "0 (message 0x00000000)\n    %1\n");
    assert_eq!(show(&["0"]).stdout, "0 (message 0x00000000)\n%1\n\n");
    let none = show(&["7"]);
    assert!(none.stderr.contains("no catalogue has event 7 of PGEVENT"), "{}", none.stderr);
}

/// A database like those of WELM, with one message.
fn database(folder: &Path, name: &str, provider: &str, event: u16, text: &str) {
    let script = "import sqlite3, sys\n\
        db = sqlite3.connect(sys.argv[1] + '.db')\n\
        db.execute('CREATE TABLE providers (id INTEGER PRIMARY KEY, name TEXT)')\n\
        db.execute('CREATE TABLE messages (event_id INTEGER, id INTEGER PRIMARY KEY, message TEXT, provider_id INTEGER)')\n\
        db.execute('INSERT INTO providers (name) VALUES (?)', (sys.argv[2],))\n\
        db.execute('INSERT INTO messages (event_id, message, provider_id) VALUES (?, ?, 1)', (int(sys.argv[3]), sys.argv[4]))\n\
        db.commit()\n";
    let mut python = std::process::Command::new("python3");
    python.args(["-c", script, name, provider, &event.to_string(), text]);
    assert!(python.current_dir(folder).status().unwrap().success());
}

/// Two databases of others', of builds that nobody knows, and two builds of one language.
#[test]
fn a_catalogue_more_does_not_replace_another() {
    if !quarry_testkit::has_program("python3", "python3") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    database(folder, "a", "Prov-a", 1, "a %1");
    database(folder, "b", "Prov-b", 1, "b %1");
    for database in ["a.db", "b.db", "b.db"] {
        let ran = messages(folder, &["import", database]);
        assert_eq!(ran.status, Some(0), "{}", ran.shown());
    }
    assert_eq!(messages(folder, &["list"]).lines().len(), 2);
    for name in ["a", "b"] {
        let shown = messages(folder, &["show", &format!("Prov-{name}"), "1"]);
        assert!(shown.stdout.contains(&format!("{name} %1")), "{}", shown.shown());
    }

    let (Some(first), Some(second)) =
        (security(), package_file(Package::Crate { name: "evtx" }, "samples/dlls/lsasrv.dll"))
    else {
        return;
    };
    let build = |file: &Path| messages(folder, &["build", "--from", file.to_str().unwrap()]);
    let (one, two) = (build(&first), build(&second));
    assert!(one.stderr.contains("544 messages of 1 provider\n"), "{}", one.stderr);
    assert!(two.stderr.contains("5 providers, 4 of which were added"), "{}", two.stderr);
    let shown = messages(folder, &["show", PROVIDER, "4625"]);
    assert!(shown.stdout.contains("An account failed to log on."), "{}", shown.shown());
}

#[test]
fn mistakes_about_catalogues_are_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("no.catalogue"), "something else").unwrap();
    let listed = messages(folder, &["list", "-o", "json"]);
    assert_eq!(listed.status, Some(1), "{}", listed.shown());
    assert!(json(&listed.stdout).as_array().unwrap().is_empty(), "{}", listed.shown());
    assert!(listed.stderr.contains("there are no catalogues: quarry messages build --from PATH"));
    let cases: [(&[&str], &str); 7] = [
        (&["verify"], "there are no catalogues"),
        (&["build", "--from", "nowhere"], "nowhere: no such file or directory"),
        (&["verify", "no.catalogue"], "no.catalogue: not a message catalogue"),
        (&["show", "x", "--catalogue", "none"], "none: no such file or directory"),
        (&["build", "--from", "no.catalogue"], "there are no messages in what --from names"),
        (&["build", "--from", ".", "--language", "xx"], "not a language that Windows has"),
        (&["import", "no.catalogue"], "no.catalogue: not an SQLite database"),
    ];
    for (args, said) in cases {
        let ran = messages(folder, args);
        assert_eq!(ran.status, Some(2), "{args:?}: {}", ran.shown());
        assert!(ran.stderr.contains(said), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn a_failed_build_leaves_an_older_catalogue_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("old.catalogue"), "what was there").unwrap();
    fs::write(folder.join("a.dll"), "MZ").unwrap();
    let ran = messages(folder, &["build", "--from", "a.dll", "-o", "old.catalogue"]);
    assert_eq!(ran.status, Some(2));
    assert_eq!(fs::read_to_string(folder.join("old.catalogue")).unwrap(), "what was there");
}

/// A run with a data folder of its own.
fn scan(folder: &Path, args: &[&str]) -> Ran {
    let mut command = quarry(folder);
    command.env("XDG_DATA_HOME", folder).arg("scan").args(args);
    command.output().unwrap().into()
}

#[test]
fn events_read_as_in_event_viewer_with_a_catalogue_in_the_data_folder() {
    let (Some(provider), Some(log)) =
        (security(), quarry_testkit::corpus_file("evtx-crate/security.evtx"))
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let log = log.to_str().unwrap();
    let plain = scan(folder, &[log, "-i", "4624", "-n", "1"]);
    assert_eq!(json(plain.lines()[0])["message"], serde_json::Value::Null);
    // Without any catalogue people still read the standard's words.
    let table = scan(folder, &[log, "-i", "4624", "-n", "1", "-o", "table"]);
    assert!(table.stdout.contains("LogonType=0 (System)"), "{}", table.stdout);
    let never = &[log, "-i", "4624", "-n", "1", "-o", "table", "--messages", "never"];
    let never = scan(folder, never);
    assert!(never.stdout.contains("LogonType=0,"), "{}", never.stdout);
    let built = messages(folder, &["build", "--from", provider.to_str().unwrap(), "-q"]);
    assert_eq!(built.status, Some(0), "{}", built.shown());

    let ran = scan(folder, &[log, "-i", "4624", "-n", "1"]);
    let event = json(ran.lines()[0]);
    let text = event["message"].as_str().unwrap();
    assert!(text.starts_with("An account was successfully logged on.\r\n\r\nSubject:"), "{text}");
    let name = event["data"]["TargetUserName"].as_str().unwrap();
    assert!(text.contains(&format!("Account Name:\t\t{name}")), "{text}");
    // This log is of 2016, and another template than the one in the provider file has been used.
    assert_eq!(event["message_source"], "foreign");
    assert_eq!(event["names"]["task"], "Logon");
    let same = "mitre/ID4661-Password-policy-enumeration.evtx";
    if let Some(same) = quarry_testkit::corpus_file(same) {
        let ran = scan(folder, &[same.to_str().unwrap(), "-i", "4661"]);
        assert!(!ran.lines().is_empty());
        let is_own = |line: &&str| json(line)["message_source"] == "catalogue";
        assert!(ran.lines().iter().all(is_own), "{}", ran.stdout);
    }
    // Data stays as it is in the event.
    assert_eq!(event["data"], json(plain.lines()[0])["data"]);

    let found = scan(folder, &[log, "-g", "was successfully logged on"]);
    assert!(!found.lines().is_empty());
    assert!(found.lines().iter().all(|line| json(line)["event_id"] == 4624));
    let never = scan(folder, &[log, "-i", "4624", "-n", "1", "--messages", "never"]);
    assert_eq!(never.stdout, plain.stdout);
}

/// Two events of this log carry the text that the computer they come from made.
#[test]
fn what_an_event_carries_comes_before_what_a_catalogue_has() {
    let log =
        "evtx-crate/E_Windows_system32_winevt_logs_Microsoft-Windows-Shell-Core-Operational.evtx";
    let Some(log) = quarry_testkit::corpus_file(log) else { return };
    if !quarry_testkit::has_program("python3", "python3") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    database(folder, "other", "Microsoft-Windows-Shell-Core", 23956, "a catalogue's text");
    assert_eq!(messages(folder, &["import", "other.db", "-q"]).status, Some(0));
    let ran = scan(folder, &[log.to_str().unwrap(), "-i", "23956"]);
    let events: Vec<_> = ran.lines().iter().map(|line| json(line)).collect();
    let own: Vec<_> = events.iter().filter(|event| event["message_source"] == "event").collect();
    assert_eq!(own.len(), 2);
    let text = "TraceLayoutSelectionData\n\nSelectionData: \"Region Codes:US \nSKUs:6 \nGroup Cell Width:6\n\"";
    assert!(own.iter().all(|event| event["message"] == text), "{own:?}");
    let others = events.iter().filter(|event| event["message_source"] != "event");
    others.for_each(|event| assert_eq!(event["message"], "a catalogue's text"));
}

/// Values are words in what people read, and names stand beside numbers: which is which Microsoft's
/// documentation of event 4624 says.
#[test]
fn values_and_numbers_have_their_words_in_tables_lists_and_counts() {
    let (Some(provider), Some(log), Some(strings)) = (
        security(),
        quarry_testkit::corpus_file("mitre/ID4624-Mimikatz-Pass-the-hash.evtx"),
        package_file(
            Package::Wheel { name: "plaso", version: "20260720" },
            "plaso/data/winevt-rc.db",
        ),
    ) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let built = messages(folder, &["build", "--from", provider.to_str().unwrap(), "-q"]);
    assert_eq!(built.status, Some(0), "{}", built.shown());
    let imported = messages(folder, &["import", strings.to_str().unwrap(), "-q"]);
    assert_eq!(imported.status, Some(0), "{}", imported.shown());
    let log = log.to_str().unwrap();
    let fields = "task,names.task,data.LogonType,data.TokenElevationType";
    let shown = |format: &str| {
        scan(folder, &[log, "-i", "4624,4688", "--fields", fields, "-o", format]).stdout
    };
    let table = shown("table");
    let elevation = "%%1936 (TokenElevationTypeDefault (1))";
    for word in ["12544 (Logon)", "9 (NewCredentials)", elevation] {
        assert!(table.contains(word), "{table}");
    }
    let list = shown("list");
    assert!(list.contains(": 12544 (Logon)\n"), "{list}");
    assert!(list.contains("names.task         : Logon\n"), "{list}");
    assert!(list.contains("LogonType          : 9 (NewCredentials)\n"), "{list}");
    // In JSON numbers stay numbers, and values what they are.
    let lines = shown("jsonl");
    let events: Vec<_> = lines.lines().map(json).collect();
    let is_logon = |event: &&serde_json::Value| event["task"] == 12544;
    let logon = events.iter().find(is_logon).expect("a logon");
    assert_eq!(logon["names.task"], "Logon");
    assert_eq!(logon["data.LogonType"], "9");
    assert!(events.iter().any(|event| event["data.TokenElevationType"] == "%%1936"));
    let mut count = quarry(folder);
    count.env("XDG_DATA_HOME", folder);
    count.args(["count", log, "-i", "4624", "--by", "task,names.task", "-o"]);
    let mut again = quarry(folder);
    again.env("XDG_DATA_HOME", folder);
    again.args(["count", log, "-i", "4624", "--by", "task,names.task", "-o"]);
    let table: Ran = count.arg("table").output().unwrap().into();
    assert!(table.stdout.contains("12544 (Logon)"), "{}", table.stdout);
    let lines: Ran = again.arg("jsonl").output().unwrap().into();
    let group = json(lines.lines()[0]);
    assert_eq!((&group["task"], &group["names.task"]), (&12544.into(), &"Logon".into()));
}

#[test]
fn an_exported_log_has_the_text_that_was_saved_beside_it() {
    let (Some(log), Some(mta), Some(exported)) = (
        quarry_testkit::corpus_file("messages/viewer.evtx"),
        quarry_testkit::corpus_file("messages/viewer_1033.MTA"),
        quarry_testkit::corpus_file("messages/viewer.csv"),
    ) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::copy(log, folder.join("Viewer.evtx")).unwrap();
    fs::create_dir(folder.join("LocaleMetaData")).unwrap();
    fs::copy(mta, folder.join("LocaleMetaData/viewer_1033.MTA")).unwrap();
    let ran = scan(folder, &["Viewer.evtx"]);
    assert_eq!(ran.lines().len(), 239, "{}", ran.stderr);
    // As Event Viewer exported them, the newest first.
    let mut exported = csv::ReaderBuilder::new().flexible(true).from_path(exported).unwrap();
    let exported: Vec<_> = exported.records().map(Result::unwrap).collect();
    assert_eq!(exported.len(), 239);
    for (line, row) in ran.lines().iter().rev().zip(&exported) {
        let event = json(line);
        assert_eq!(event["message_source"], "mta");
        assert_eq!(event["message"], row[5], "{line}");
        assert_eq!(event["names"]["task"], row[4], "{line}");
    }
    // A damaged one is named, and the events come without.
    fs::write(folder.join("LocaleMetaData/viewer_1033.MTA"), "MTAFile\0").unwrap();
    let ran = scan(folder, &["Viewer.evtx"]);
    assert_eq!(ran.lines().len(), 239);
    assert_eq!(json(ran.lines()[0])["message"], serde_json::Value::Null);
    assert!(ran.stderr.contains("damaged MTA file"), "{}", ran.stderr);
}

/// MS-ERREF, section 2.3.1, has the words.
#[test]
fn a_status_has_its_words_beside_its_number_where_people_read_it() {
    let data = [("Status", "0xc000006d"), ("SubStatus", "0xc0000234"), ("LogonType", "3")];
    let data = data.map(|(name, value)| (name, value.to_owned())).to_vec();
    let folder = tempfile::tempdir().unwrap();
    let event = Event { data, ..event(1, 10, 4625, "") };
    fs::write(folder.path().join("a.evtx"), file(&[vec![event]])).unwrap();
    let fields = "data.Status,data.SubStatus,data.LogonType";
    let shown = |format| scan(folder.path(), &["a.evtx", "--fields", fields, "-o", format]).stdout;
    let failed = "0xc000006d (The attempted logon is invalid. This is either due to a bad username or \
                  authentication information.)";
    let locked = "0xc0000234 (The user account has been automatically locked because too many invalid \
                  logon attempts or password change attempts have been requested.)";
    for format in ["table", "list"] {
        let text = shown(format);
        for words in [failed, locked, "3 (Network)"] {
            assert!(text.contains(words), "{format}: {text}");
        }
    }
    // What programs read has the values alone.
    assert_eq!(json(&shown("jsonl"))["data.Status"], "0xc000006d");
    assert!(shown("csv").contains("0xc000006d,0xc0000234,3"));
}
