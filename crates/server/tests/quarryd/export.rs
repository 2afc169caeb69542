//! `quarryd export`: what is in the file, as pyarrow reads it.

use std::fs;
use std::io::Read as _;

use quarry_binxml::write::{Element, Fragment};
use quarry_event::output::{Printer, Scratch};
use quarry_event::{EventTime, FieldSource, Origin, RecordId, Texts};
use quarry_eventlog::{BatchReader, Damage, Direction, FileLog, Visitor};
use quarry_logfile::EvtxWriter;
use serde_json::{Map, Value as Json, json};

use super::*;

/// A folder with a log of events of several shapes: all of them `times` over.
fn log(times: u64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = File::create(folder.path().join("made.evtx")).unwrap();
    let mut writer = EvtxWriter::new(file).unwrap();
    for number in 0..3 * times {
        let text = |name: &str, text: &str| Element::new(name).text(text);
        let named = |name: &str, value: &str| text("Data", value).attribute("Name", name);
        let time = EventTime::from_filetime(134_352_864_000_000_000 + number * 10_000_001);
        let system = Element::new("System")
            .child(Element::new("Provider").attribute("Name", "Made"))
            .child(text("EventID", &(4000 + number % 3).to_string()))
            .child(text("Level", &(number % 5).to_string()))
            .child(text("Keywords", "0x8020000000000000"))
            .child(Element::new("TimeCreated").attribute("SystemTime", time.to_string()))
            .child(text("EventRecordID", &(number + 1).to_string()))
            .child(text("Channel", "Security"))
            .child(text("Computer", &format!("host{}", number % 7)));
        let more = match number % 3 {
            0 => Element::new("EventData")
                .child(named("TargetUserName", &format!("user{number}")))
                .child(named("Group", "one"))
                .child(named("Group", "Größe <&>\u{1f600}")),
            1 => Element::new("EventData").child(text("Data", "first")).child(text("Data", "")),
            _ => Element::new("UserData")
                .child(Element::new("Cleared").child(text("By", &format!("user{number}")))),
        };
        let event = Element::new("Event").child(system).child(more);
        writer.write(&Fragment::Element(event), time).unwrap();
    }
    writer.finish().unwrap();
    folder
}

/// What `quarry scan -o jsonl` prints of a file.
fn scanned(path: &Path) -> Vec<Json> {
    struct Lines {
        source: String,
        lines: Vec<Json>,
    }
    impl Visitor for Lines {
        fn event<S: FieldSource>(&mut self, event: &S, log: &str, log_record: Option<RecordId>) {
            let origin =
                Origin { source: &self.source, host: None, log, log_record, recovered: false };
            let mut line = Vec::new();
            let printer = Printer::jsonl(None);
            printer.event(event, &origin, Texts::default(), &mut Scratch::default(), &mut line);
            self.lines.push(serde_json::from_slice(&line).unwrap());
        }

        fn damage(&mut self, damage: &Damage) {
            panic!("{damage}");
        }
    }
    let log = FileLog::open(path).unwrap();
    let mut lines = Lines { source: path.display().to_string(), lines: Vec::new() };
    let mut reader = BatchReader::default();
    log.batches(Direction::Forward).for_each(|batch| reader.read(&batch, &mut lines));
    lines.lines
}

/// The rows of a Parquet file, as pyarrow reads it.
fn rows(path: &Path) -> Vec<Json> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/quarryd");
    let python = quarry_testkit::python("deltalake", &here.join("requirements.txt"));
    let output = Command::new(python).arg(here.join("parquet.py")).arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a line of JSON says, by the columns of a row.
fn of_line(line: &Json) -> Map<String, Json> {
    let mut row = Map::new();
    for name in [
        "source",
        "log",
        "log_record",
        "computer",
        "channel",
        "record_id",
        "provider",
        "provider_guid",
        "event_id",
        "qualifiers",
        "version",
        "level",
        "task",
        "opcode",
        "user_sid",
        "process_id",
        "thread_id",
        "activity_id",
        "related_activity_id",
        "message",
        "message_source",
        "host",
        "data",
        "user_data",
    ] {
        row.insert(name.to_owned(), line[name].clone());
    }
    if line["host"].is_null() {
        // Of a file, a row's host is the computer that the event names.
        row.insert("host".to_owned(), line["computer"].clone());
    }
    row.insert("time".to_owned(), json!(line["time"].as_str().map(units)));
    let bits = line["keywords"]
        .as_str()
        .map(|bits| u64::from_str_radix(bits.strip_prefix("0x").unwrap(), 16).unwrap());
    row.insert("keywords".to_owned(), json!(bits));
    row
}

/// A time in units of 100 ns since 1601.
fn units(time: &str) -> u64 {
    EventTime::parse(time).unwrap().as_filetime()
}

/// What a row says, as a line of JSON says it.
fn of_row(row: &Json) -> Map<String, Json> {
    let mut said = row.as_object().unwrap().clone();
    let time = row["time"].as_i64().map(|micros| {
        (micros + 11_644_473_600_000_000) as u64 * 10 + row["tick"].as_u64().unwrap()
    });
    said.insert("time".to_owned(), json!(time));
    said.insert("keywords".to_owned(), json!(row["keywords"].as_i64().map(|bits| bits as u64)));
    let user_data = row["user_data"].as_str().map(|text| serde_json::from_str(text).unwrap());
    said.insert("user_data".to_owned(), user_data.unwrap_or_default());
    let mut data: Map<String, Json> = Map::new();
    for pair in row["data"].as_array().into_iter().flatten() {
        let (name, value) = (pair[0].as_str().unwrap(), &pair[1]);
        // `#2` is the second value, which has no name, and `A#2` the second of that name.
        let (before, number) = name.split_once('#').unwrap_or((name, ""));
        let name = if before.is_empty() { format!("param{number}") } else { before.to_owned() };
        match data.get_mut(&name) {
            None => drop(data.insert(name, value.clone())),
            Some(Json::Array(all)) => all.push(value.clone()),
            Some(one) => *one = json!([one.clone(), value.clone()]),
        }
    }
    let has_data = !data.is_empty();
    said.insert("data".to_owned(), if has_data { Json::Object(data) } else { Json::Null });
    for kept in
        ["tick", "filetime", "received", "other", "text", "rules", "kind", "shape", "tree", "odd"]
    {
        assert!(said.remove(kept).is_some(), "{kept}");
    }
    said
}

fn sorted(row: Map<String, Json>) -> std::collections::BTreeMap<String, Json> {
    row.into_iter().collect()
}

/// Whether rows are what lines of JSON say, one by one.
fn assert_same(rows: &[Json], lines: &[Json]) {
    assert_eq!(rows.len(), lines.len());
    for (row, line) in rows.iter().zip(lines) {
        let mut line = of_line(line);
        if line["data"].as_object().is_some_and(Map::is_empty) {
            line.insert("data".to_owned(), Json::Null);
        }
        assert_eq!(sorted(of_row(row)), sorted(line));
        assert_eq!(row["kind"], "event");
    }
}

fn export(folder: &Path, arguments: &[&str]) -> std::process::Output {
    let words = [&["export", "-q", "--messages", "never"], arguments].concat();
    quarryd(folder, &words).output().unwrap()
}

#[test]
fn a_file_as_parquet_says_row_for_row_what_scan_prints() {
    let made = log(200);
    let mut files = vec![made.path().join("made.evtx")];
    files.extend(quarry_testkit::corpus_file("evtx-crate/security.evtx"));
    for file in files {
        let (path, name) = (made.path().join("out.parquet"), file.display().to_string());
        let output = export(made.path(), &[&name, "-o", "out.parquet"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_same(&rows(&path), &scanned(&file));
    }
}

#[test]
fn what_is_asked_for_is_what_is_written() {
    let folder = log(40);
    let root = folder.path();
    let lines = scanned(&root.join("made.evtx"));
    let arguments = ["made.evtx", "-i", "4000", "--not", "computer:host3", "-o", "-"];
    let output = export(root, &[&arguments[..], &["--columns", "targetusername"]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    fs::write(root.join("piped"), &output.stdout).unwrap();
    let wanted: Vec<&Json> = lines
        .iter()
        .filter(|line| line["event_id"] == 4000 && line["computer"] != "host3")
        .collect();
    let pairs = |path: &str, column: &dyn Fn(&Json) -> Json| -> Vec<Json> {
        rows(&root.join(path)).iter().map(column).collect()
    };
    assert!(!wanted.is_empty() && wanted.len() < lines.len());
    assert_eq!(
        pairs("piped", &|row| json!([row["log_record"], row["data_targetusername"]])),
        wanted
            .iter()
            .map(|line| json!([line["log_record"], line["data"]["TargetUserName"]]))
            .collect::<Vec<_>>()
    );
    let output = export(root, &["made.evtx", "-r", "-n", "2", "-o", "newest.parquet"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(pairs("newest.parquet", &|row| row["log_record"].clone()), [json!(120), json!(119)]);
}

#[test]
fn servers_and_files_are_written_as_one_and_what_fails_is_told() {
    let fleet = Fleet::new(2, 30);
    fleet.configure("inventory.toml", "");
    fs::copy(log(10).path().join("made.evtx"), fleet.root().join("made.evtx")).unwrap();
    let arguments = [
        "made.evtx",
        "@all",
        "--inventory",
        "inventory.toml",
        "-l",
        "System",
        "-l",
        "Security",
        "-o",
        "all.parquet",
    ];
    let output = export(fleet.root(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let mut counts = std::collections::BTreeMap::new();
    for row in rows(&fleet.root().join("all.parquet")) {
        let source = row["source"].as_str().unwrap().split(':').next().unwrap().to_owned();
        *counts.entry((source, row["log"].as_str().unwrap().to_owned())).or_insert(0) += 1;
    }
    let expected =
        [(("even6", "Security"), 60), (("even6", "System"), 60), (("made.evtx", "made"), 30)];
    let expected = expected.map(|((source, log), n)| ((source.to_owned(), log.to_owned()), n));
    assert_eq!(counts, expected.into());
    fleet.server(2).stop();
    let output = export(fleet.root(), &[&arguments[..], &["--connect-timeout", "2s"]].concat());
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert_eq!(rows(&fleet.root().join("all.parquet")).len(), 30 + 60);
}

#[test]
fn a_file_appears_when_it_is_whole_and_not_before() {
    let folder = log(5);
    let root = folder.path();
    let names = || -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    // Nothing could be read: there is no file, and one that was there stays.
    let output = export(root, &["none.evtx", "-o", "out.parquet"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(names(), ["made.evtx"]);
    fs::write(root.join("out.parquet"), "before").unwrap();
    let output = export(root, &["none.evtx", "-o", "out.parquet"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(fs::read_to_string(root.join("out.parquet")).unwrap(), "before");
    // While a source is read that doesn't end, what is there already has another name.
    let mut child = quarryd(root, &["export", "-q", "made.evtx", "-", "-o", "out.parquet"]);
    let mut child = child.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait(|| names().len() == 3, || format!("{:?}", names()));
    assert_eq!(fs::read_to_string(root.join("out.parquet")).unwrap(), "before");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = child.wait().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(status.code(), Some(130), "{said}");
    assert_eq!(fs::read_to_string(root.join("out.parquet")).unwrap(), "before");
    assert_eq!(names(), ["made.evtx", "out.parquet"]);
    let output = export(root, &["made.evtx", "-o", "out.parquet"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(rows(&root.join("out.parquet")).len(), 15);
    assert_eq!(names(), ["made.evtx", "out.parquet"]);
}

#[test]
fn what_can_not_be_written_is_said_with_what_to_do() {
    let folder = log(1);
    let fails = |arguments: &[&str]| {
        let output = export(folder.path(), arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        said
    };
    assert!(fails(&["made.evtx", "-o", "."]).contains("is a folder"));
    assert!(fails(&["made.evtx", "-o", "no/where.parquet"]).contains("no such file"));
    let said = fails(&["made.evtx", "-o", "a.parquet", "--columns", "a b"]);
    assert!(said.contains("--columns: `a b` can't be a column"), "{said}");
    if Path::new("/dev/full").exists() {
        let said = fails(&["made.evtx", "-o", "/dev/full"]);
        assert!(said.contains("/dev/full: no space left"), "{said}");
    }
}

#[test]
fn a_log_is_not_replaced_by_what_is_written_of_it() {
    let folder = log(5);
    let root = folder.path();
    let before = fs::read(root.join("made.evtx")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("made.evtx", root.join("link.parquet")).unwrap();
    for arguments in [
        &["made.evtx", "-o", "made.evtx"][..],
        &["./", "-o", "./made.evtx"],
        #[cfg(unix)]
        &["made.evtx", "-o", "link.parquet"],
    ] {
        let output = export(root, arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("made.evtx is one of the sources"), "{said}");
        assert_eq!(fs::read(root.join("made.evtx")).unwrap(), before);
    }
}
