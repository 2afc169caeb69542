//! What is printed of live events, in each format and order, and which logs are read.

use evtx::{event, file};

use super::*;

#[path = "../cli/evtx.rs"]
#[allow(dead_code)]
mod evtx;

/// Three servers with 40 events in each log.
fn three() -> Fleet {
    Fleet::new(servers(3), 40)
}

fn of_log(ran: &Ran) -> BTreeMap<String, Vec<u64>> {
    ran.by(|event| {
        format!("{} {}", event["host"].as_str().unwrap(), event["log"].as_str().unwrap())
    })
}

fn all_of(fleet: &Fleet, logs: &[&str]) -> BTreeMap<String, Vec<u64>> {
    let mut all = BTreeMap::new();
    for server in fleet.sim.servers() {
        for log in logs {
            let numbers = fleet.numbers(server.name(), log, |_| true);
            all.insert(format!("{} {log}", server.name()), numbers);
        }
    }
    all
}

/// The values of `<EventData>` that have names, and whether these differ.
fn data(event: &Event) -> Vec<(String, String)> {
    let data = event.root.child("EventData");
    let values = data.into_iter().flat_map(|data| data.elements());
    values
        .filter_map(|value| {
            let name = value.attribute("Name").filter(|name| !name.is_empty())?;
            Some((name.to_owned(), value.text().unwrap_or_default().to_owned()))
        })
        .collect()
}

#[test]
fn json_lines_say_of_an_event_what_the_server_knows() {
    let fleet = three();
    let ran = fleet.run(&["scan", "@all", "-o", "jsonl"]);
    let events = ran.json();
    assert_eq!(events.len(), 120);
    for event in events {
        let host = event["host"].as_str().unwrap();
        let record = event["log_record"].as_u64().unwrap();
        let known = fleet.known(host, "System");
        let (_, known) = known.iter().find(|(number, _)| *number == record).unwrap();
        assert_eq!(event["source"], format!("even6://{host}"));
        assert_eq!((&event["v"], &event["log"]), (&1.into(), &"System".into()));
        assert_eq!(event["time"], time(known).to_string());
        for (member, field) in [
            ("computer", Field::Computer),
            ("channel", Field::Channel),
            ("provider", Field::ProviderName),
            ("keywords", Field::Keywords),
        ] {
            assert_eq!(event[member], known.field(field).to_string(), "{member}");
        }
        assert_eq!(event["computer"], format!("{host}.sim.test"));
        for (member, field) in [
            ("event_id", Field::EventId),
            ("level", Field::Level),
            ("record_id", Field::RecordId),
            ("process_id", Field::ProcessId),
            ("task", Field::Task),
        ] {
            assert_eq!(event[member], number(known, field), "{member}");
        }
        for (name, value) in data(known) {
            assert_eq!(event["data"][&name], value, "{name}");
        }
    }
}

#[test]
fn every_format_is_whole_and_has_every_event() {
    let fleet = three();
    let scan = |format: &str| {
        let ran = fleet.run(&["scan", "@all", "-o", format]);
        assert_eq!(ran.status, Some(0), "{}", ran.shown());
        ran.line("3 of 3 servers answered; 120 records, 120 matched");
        ran.stdout
    };
    let mut expected: Vec<(String, String)> = Vec::new();
    for server in fleet.sim.servers() {
        let known = fleet.known(server.name(), "System");
        let place = |(number, event): &(u64, Event)| {
            (event.field(Field::Computer).to_string(), number.to_string())
        };
        expected.extend(known.iter().map(place));
    }
    let is_all = |mut came: Vec<(String, String)>| {
        came.sort();
        let mut expected = expected.clone();
        expected.sort();
        assert_eq!(came, expected);
    };
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);

    let events: Vec<Json> = serde_json::from_str(&scan("json")).unwrap();
    is_all(events.iter().map(|e| (text(&e["computer"]), text(&e["record_id"]))).collect());

    let csv = scan("csv");
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let head = reader.headers().unwrap().clone();
    let column = |name: &str| head.iter().position(|column| column == name).unwrap();
    let (computer, record) = (column("computer"), column("record_id"));
    let rows = reader.records().map(|row| row.unwrap());
    is_all(rows.map(|row| (row[computer].to_owned(), row[record].to_owned())).collect());

    let xml = scan("xml");
    let mut reader = quick_xml::Reader::from_str(&xml);
    let (mut came, mut depth, mut inside) = (Vec::new(), 0, String::new());
    let (mut computer, mut record) = (String::new(), String::new());
    loop {
        use quick_xml::events::Event as Xml;
        match reader.read_event().unwrap() {
            Xml::Start(start) => {
                depth += 1;
                inside = start.name().as_ref().to_owned();
            }
            Xml::Text(text) if inside == "Computer" => computer += &text,
            Xml::Text(text) if inside == "EventRecordID" => record += &text,
            Xml::End(end) => {
                depth -= 1;
                inside.clear();
                if end.name().as_ref() == "Event" {
                    came.push((std::mem::take(&mut computer), std::mem::take(&mut record)));
                }
            }
            Xml::Eof => break,
            _ => {}
        }
    }
    assert_eq!(depth, 0);
    is_all(came);

    let table = scan("table");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 121, "a head and a line an event");
    for server in fleet.sim.servers() {
        assert_eq!(lines.iter().filter(|line| line.contains(server.computer())).count(), 40);
    }
}

#[test]
fn files_and_servers_are_sorted_into_one_order_of_time() {
    let fleet = three();
    // Some before, some among the servers' events, whose last is of now.
    let among = time(&fleet.known("server02", "System")[20].1);
    let events = (1..=30).map(|n| {
        let mut event = event(n, n, 4624, "fred");
        if n > 10 {
            let time = among.as_filetime() + n * 7 * EventTime::SECOND;
            event.time = EventTime::from_filetime(time).to_string();
        }
        event
    });
    std::fs::write(fleet.root().join("a.evtx"), file(&[events.collect()])).unwrap();
    let expected = {
        let mut all: Vec<EventTime> = (1..=30)
            .map(|n| match n {
                1..=10 => EventTime::parse(&format!("2026-08-22T00:00:{n:02}.5000000Z")).unwrap(),
                _ => EventTime::from_filetime(among.as_filetime() + n * 7 * EventTime::SECOND),
            })
            .collect();
        for server in fleet.sim.servers() {
            all.extend(fleet.known(server.name(), "System").iter().map(|(_, event)| time(event)));
        }
        all.sort();
        all
    };
    let times = |args: &[&str]| -> Vec<EventTime> {
        let ran = fleet
            .run(&[&["scan", "a.evtx", "@all", "--sort", "time", "-o", "jsonl"], args].concat());
        assert_eq!(ran.status, Some(0), "{}", ran.shown());
        ran.line("1 of 1 file read; 3 of 3 servers answered; 150 records, 150 matched");
        let time = |event: &Json| EventTime::parse(event["time"].as_str().unwrap()).unwrap();
        ran.json().iter().map(time).collect()
    };
    assert_eq!(times(&[]), expected);
    assert_eq!(times(&["-r"]), expected.into_iter().rev().collect::<Vec<_>>());
}

#[test]
fn logs_are_named_or_found_by_globs() {
    let fleet = three();
    let ran = fleet.scan(&["@all", "-l", "Sec*", "-l", "System"]);
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    assert_eq!(of_log(&ran), all_of(&fleet, &["System", "Security"]));
    // Of all logs: those without events give none, and those of traces can be read forwards.
    let ran = fleet.scan(&["@all", "-l", "*"]);
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    assert_eq!(of_log(&ran), all_of(&fleet, &["System", "Security", "Application"]));
    // A name is Windows' however it is written.
    let ran = fleet.scan(&["server01", "-l", "APPLICATION"]);
    assert_eq!(ran.by_host()["server01"], (1..=40).collect::<Vec<_>>());
}

#[test]
fn a_log_that_is_not_there_is_the_failure_of_each_server_and_of_that_log_only() {
    let fleet = three();
    for missing in ["NoSuchLog", "NoSuch*"] {
        let ran = fleet.scan(&["@all", "-l", missing]);
        assert_eq!((ran.status, &*ran.stdout), (Some(2), ""), "{}", ran.shown());
        let mut errors = ran.errors();
        errors.sort();
        let expected =
            [1, 2, 3].map(|n| format!("error: there is no log {missing} on {}", name(n)));
        assert_eq!(errors, expected);
        ran.line("0 of 3 servers answered, 3 failed; 0 records, 0 matched");
        ran.line(&format!("  there is no log {missing}: server01, server02, server03"));
        ran.line("    quarry logs server01 lists those there are");

        let ran = fleet.scan(&["@all", "-l", missing, "-l", "System"]);
        assert_eq!(ran.status, Some(3), "{}", ran.shown());
        assert_eq!(of_log(&ran), all_of(&fleet, &["System"]));
        assert_eq!(ran.errors().len(), 3);
    }
}

#[test]
fn a_log_that_may_not_be_read_costs_no_other() {
    let mut options = servers(3);
    options[1].faults.push("refuse-access:Security".parse().unwrap());
    let fleet = Fleet::new(options, 40);
    let mut expected = all_of(&fleet, &["System", "Security"]);
    expected.remove("server02 Security");
    let ran = fleet.scan(&["@all", "-l", "Security", "-l", "System"]);
    assert_eq!(ran.status, Some(3), "{}", ran.shown());
    assert_eq!(of_log(&ran), expected);
    assert_eq!(ran.errors(), [format!("error: {ACCOUNT} may not read Security on server02")]);
    ran.line("2 of 3 servers answered, 1 failed; 200 records, 200 matched");
    ran.line(&format!("  {ACCOUNT} may not read Security: server02"));
    ran.line("    members of Event Log Readers may");
    // One that only a glob found is left out, with a word.
    let ran = fleet.scan(&["@all", "-l", "S[ey]*"]);
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    assert_eq!(of_log(&ran), expected);
    ran.line(&format!("warning: server02: left out: {ACCOUNT} may not read Security"));
}

#[test]
fn a_server_that_is_named_twice_is_read_once() {
    let fleet = three();
    let url = format!("even6://127.0.0.1:{}", fleet.sim.servers()[0].mapper_port());
    let ran = fleet.scan(&["server01", "SERVER01", "@all", "server0[12]", &url, "server0?"]);
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    assert_eq!(ran.by_host(), fleet.everywhere(|_| true));
    ran.line("3 of 3 servers answered; 120 records, 120 matched");
}

#[test]
fn servers_that_only_their_ports_tell_apart_are_different_sources() {
    let fleet = three();
    let url = |n: usize| format!("even6://127.0.0.1:{}", fleet.sim.servers()[n].mapper_port());
    let mut command = fleet.command(&["scan", &url(0), &url(1), "-u", ACCOUNT, "-o", "jsonl"]);
    command.args(["--password-file", PASSWORD_FILE]);
    let ran = run(command);
    let by_source = ran.by(|event| event["source"].as_str().unwrap().to_owned());
    let numbers = |name: &str| fleet.numbers(name, "System", |_| true);
    let expected = [(url(0), numbers("server01")), (url(1), numbers("server02"))];
    assert_eq!(by_source, BTreeMap::from(expected), "{}", ran.shown());
}

#[test]
fn quiet_is_quiet_but_for_errors() {
    let mut options = servers(3);
    options[2].faults.push("no-mapper".parse().unwrap());
    let fleet = Fleet::new(options, 40);
    let ran = fleet.scan(&["@all", "-q"]);
    assert_eq!(ran.status, Some(3));
    let port = fleet.sim.servers()[2].mapper_port();
    assert_eq!(
        ran.stderr,
        format!(
            "error: cannot reach server03: connection to port {port} refused\n\
             hint: is it a Windows server, and does its RPC service run?\n"
        )
    );
}

#[test]
fn what_is_missing_is_told_however_quiet_it_is() {
    let options = vec![ServerOptions::new(name(1)).with("cleared:50".parse().unwrap())];
    let fleet = Fleet::new(options, 120);
    let ran = fleet.scan(&["server01", "-q"]);
    assert_eq!((ran.status, ran.json().len()), (Some(3), 50), "{}", ran.shown());
    let told = "warning: server01: records of System past 50 missing: the log was cleared or \
                overwritten meanwhile\n";
    assert_eq!(ran.stderr, told);
}

/// What waits to be printed is bounded by its bytes, whatever a server's few kilobytes expand to.
#[cfg(target_os = "linux")]
#[test]
fn a_server_whose_events_print_gigabytes_takes_little_memory() {
    use std::io::Read as _;
    const RECORDS: usize = 90;
    let fleet = Fleet::new(
        vec![ServerOptions::new(name(1)).with(quarry_sim::Fault::Nested)],
        RECORDS as u64,
    );
    let _turn = Turn::take();
    let (mut child, _) = spawn(fleet.command(&["scan", "@all", "-o", "jsonl", "--threads", "4"]));
    let mut stdout = child.stdout.take().unwrap();
    let (mut printed, mut most) = (0, 0);
    let mut buffer = vec![0; 1 << 20];
    // While it is there: its memory can't be looked at after the end.
    while printed <= (RECORDS - 1) * quarry_sim::NESTED_SIZE {
        most = most.max(quarry_testkit::peak_memory(child.id()).unwrap());
        match stdout.read(&mut buffer).unwrap() {
            0 => break,
            count => printed += count,
        }
    }
    assert!(printed > (RECORDS - 1) * quarry_sim::NESTED_SIZE, "{printed} bytes");
    drop(stdout);
    child.wait().unwrap();
    // 360 MB of output; 16 MiB of it may wait, and each thread has one event in hand.
    assert!(most < 150 << 20, "{} MiB", most >> 20);
}
