//! `count`, `logs`, `hosts` and `demo` with servers.

use std::io::{BufRead as _, BufReader};

use quarry_sim::Fault;

use super::*;

/// Rows of a list, by source and log.
fn rows(ran: &Ran) -> BTreeMap<(String, String), Json> {
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    ran.json().into_iter().map(|row| ((text(&row["source"]), text(&row["log"])), row)).collect()
}

/// What a row says of events.
fn row(source: &str, log: &str, events: &[(u64, Event)]) -> Json {
    let time = |event: Option<&(u64, Event)>| event.map(|(_, event)| time(event).to_string());
    serde_json::json!({
        "source": format!("even6://{source}"),
        "log": log,
        "records": events.len(),
        "oldest": time(events.first()),
        "newest": time(events.last()),
    })
}

#[test]
fn servers_count_their_records_themselves() {
    let fleet = Fleet::new(servers(3), 2500);
    let ran = fleet.run(&["count", "@all", "-o", "jsonl"]);
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    let found = rows(&ran);
    assert_eq!(found.len(), 3);
    for server in fleet.sim.servers() {
        let known = fleet.known(server.name(), "System");
        let key = (format!("even6://{}", server.name()), "System".to_owned());
        assert_eq!(found[&key], row(server.name(), "System", &known));
        // Without reading them.
        assert!(server.stats().records_sent <= 2, "{:?}", server.stats());
    }
}

#[test]
fn a_count_whose_times_can_not_be_read_says_so() {
    let mut options = servers(1);
    options[0].faults.push(Fault::Garbage);
    let fleet = Fleet::new(options, 20);
    let ran = fleet.run(&["count", "server01", "-o", "jsonl"]);
    let row = &ran.json()[0];
    assert_eq!((&row["records"], &row["oldest"]), (&20.into(), &Json::Null), "{}", ran.shown());
    ran.line("warning: server01: the oldest record of System can't be read");
}

#[test]
fn a_glob_that_stands_for_no_log_is_the_failure_of_each_command() {
    let fleet = Fleet::new(servers(1), 10);
    for command in ["scan", "count", "logs"] {
        let ran = fleet.run(&[command, "server01", "-l", "Securty*"]);
        assert_eq!(ran.status, Some(2), "{command}: {}", ran.shown());
        ran.line("error: there is no log Securty* on server01");
        let ran = fleet.run(&[command, "server01", "-l", "Securty*", "-l", "Sys*"]);
        assert_eq!(ran.status, Some(3), "{command}: {}", ran.shown());
    }
}

#[test]
fn what_passes_a_filter_is_counted_here() {
    let fleet = Fleet::new(servers(2), 300);
    let args = ["count", "@all", "-l", "System", "-l", "Security", "-i", "7036,4624-4634"];
    let ran = fleet.run(&[&args[..], &["-o", "jsonl"]].concat());
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    let found = rows(&ran);
    assert_eq!(found.len(), 4);
    let mut sum = 0;
    for server in fleet.sim.servers() {
        for log in ["System", "Security"] {
            let mut known = fleet.known(server.name(), log);
            known.retain(|(_, event)| matches!(number(event, Field::EventId), 7036 | 4624..=4634));
            assert!(known.len() > 50);
            sum += known.len();
            let key = (format!("even6://{}", server.name()), log.to_owned());
            assert_eq!(found[&key], row(server.name(), log, &known));
        }
    }
    ran.line(&format!("2 of 2 servers answered; {sum} records, {sum} matched"));
}

#[test]
fn a_server_that_cannot_be_counted_is_named() {
    let mut options = servers(4);
    options[0].faults.push(Fault::BlackHole);
    options[1].faults.push("refuse-access:Security".parse().unwrap());
    options[2].faults.push(Fault::PortClosed);
    let fleet = Fleet::new(options, 20);
    let mut command = fleet.command(&["count", "@all", "-l", "System", "-l", "Security"]);
    command.args(IMPATIENT).args(["-o", "jsonl"]);
    let ran = run(command);
    assert_eq!(ran.status, Some(3), "{}", ran.shown());
    let keys: Vec<String> =
        rows(&ran).into_keys().map(|(source, log)| format!("{source} {log}")).collect();
    let expected =
        ["even6://server02 System", "even6://server04 Security", "even6://server04 System"];
    assert_eq!(keys, expected);
    assert_eq!(ran.errors().len(), 3);
    ran.line(&format!("error: {ACCOUNT} may not read Security on server02"));
    ran.line("1 of 4 servers answered, 3 failed; ");
}

#[test]
fn the_logs_of_a_server_are_those_that_it_has() {
    let mut options = servers(2);
    options[1].faults.push("refuse-access:Security".parse().unwrap());
    let fleet = Fleet::new(options, 60);
    let ran = fleet.run(&["logs", "@all", "-o", "jsonl"]);
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    let mut found = rows(&ran);
    for ((_, log), row) in &mut found {
        let details = row.as_object_mut().unwrap();
        assert!(details.remove("size").unwrap().as_u64().unwrap() > 0, "{}", ran.shown());
        let is_direct = log.ends_with("/Debug") || log.ends_with("/Analytic");
        assert_eq!(details.remove("enabled").unwrap(), !is_direct, "{log}");
    }
    // Twenty empty ones besides.
    let of = |server: &str| {
        found.keys().filter(|(source, _)| *source == format!("even6://{server}")).count()
    };
    assert_eq!((of("server01"), of("server02")), (23, 22));
    for log in ["System", "Security", "Application"] {
        let key = ("even6://server01".to_owned(), log.to_owned());
        assert_eq!(found[&key], row("server01", log, &fleet.known("server01", log)));
    }
    let key = ("even6://server01".to_owned(), "Setup".to_owned());
    assert_eq!(found[&key], row("server01", "Setup", &[]));
    ran.line(&format!("warning: server02: left out: {ACCOUNT} may not read Security"));
}

#[test]
fn logs_are_chosen_by_name_and_empty_ones_are_left_out() {
    let fleet = Fleet::new(servers(1), 10);
    let logs = |args: &[&str]| {
        let ran = fleet.run(&[&["logs", "server01", "-o", "jsonl"], args].concat());
        assert!(matches!(ran.status, Some(0 | 1)), "{}", ran.shown());
        rows(&ran).into_keys().map(|(_, log)| log).collect::<Vec<_>>()
    };
    assert_eq!(logs(&["--not-empty"]), ["Application", "Security", "System"]);
    assert_eq!(logs(&["-l", "s*", "--not-empty"]), ["Security", "System"]);
    assert_eq!(logs(&["-l", "Setup"]), ["Setup"]);
}

#[test]
fn servers_and_files_are_counted_by_fields_together() {
    let fleet = Fleet::new(servers(2), 300);
    let mut known: BTreeMap<u64, u64> = BTreeMap::new();
    for server in fleet.sim.servers() {
        for (_, event) in fleet.known(server.name(), "Security") {
            *known.entry(number(&event, Field::EventId)).or_default() += 1;
        }
    }
    let saved =
        fleet.command(&["scan", "server01", "-l", "Security", "-o", "evtx"]).output().unwrap();
    std::fs::write(fleet.root().join("saved.evtx"), saved.stdout).unwrap();
    for (_, event) in fleet.known("server01", "Security") {
        *known.entry(number(&event, Field::EventId)).or_default() += 1;
    }
    let args = ["count", "@all", "saved.evtx", "-l", "Security", "--by", "event_id", "-o", "jsonl"];
    let ran = fleet.run(&args);
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    let counted = ran.json();
    let number = |row: &Json, name: &str| row[name].as_u64().unwrap();
    let found: BTreeMap<u64, u64> =
        counted.iter().map(|row| (number(row, "event_id"), number(row, "records"))).collect();
    assert_eq!(found, known);
    assert!(counted.is_sorted_by_key(|row| std::cmp::Reverse(number(row, "records"))));
}

#[test]
fn the_demo_has_no_warning_about_its_own_password_file() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quarry"));
    command.arg("demo").stdin(Stdio::null());
    let ran = run(command);
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    assert!(!ran.stderr.contains("by others"), "{}", ran.shown());
}

#[test]
fn a_thousand_logs_are_listed() {
    let fleet = Fleet::start(servers(1), |options| {
        options.events = 5;
        options.empty_channels = 1100;
    });
    let ran = fleet.run(&["logs", "server01", "-o", "jsonl"]);
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    assert_eq!(ran.stdout.lines().count(), 1103);
    assert_eq!(rows(&ran).len(), 1103);
}

#[test]
fn the_inventory_is_listed_without_its_secrets() {
    let fleet = Fleet::new(servers(3), 5);
    let more = "\n[groups]\nweb = [\"server0[13]\"]\n";
    let inventory = fleet.inventory_with(|server| match server {
        "server02" => "endpoint = 4711\nlogs = [\"System\", \"Sec*\"]\n".to_owned(),
        _ => String::new(),
    });
    fleet.write_inventory(&(inventory + more));
    let ran = fleet.run(&["hosts", "list", "-o", "jsonl"]);
    assert_eq!((ran.status, &*ran.stderr), (Some(0), ""));
    let listed = ran.json();
    let names: Vec<_> = listed.iter().map(|row| row["server"].as_str().unwrap()).collect();
    assert_eq!(names, ["server01", "server02", "server03"]);
    for (row, server) in listed.iter().zip(fleet.sim.servers()) {
        assert_eq!(row["address"], "127.0.0.1");
        assert_eq!(row["username"], ACCOUNT);
        let is_second = server.name() == "server02";
        assert_eq!(row["port"], if is_second { 4711 } else { server.mapper_port() });
        assert_eq!(
            row["groups"],
            if is_second { serde_json::json!([]) } else { serde_json::json!(["web"]) }
        );
    }
    assert_eq!(listed[1]["logs"], serde_json::json!(["System", "Sec*"]));
    assert!(!ran.stdout.contains("password"));
    let ran = fleet.run(&["hosts", "list", "@web", "-o", "csv"]);
    assert_eq!(ran.stdout.lines().count(), 3);
    // Nothing was asked of anybody.
    assert!(fleet.sim.servers().iter().all(|server| server.stats().connections == 0));
}

#[test]
fn hosts_are_tested_one_by_one() {
    let mut options = servers(5);
    options[1].faults.push(Fault::BlackHole);
    options[3].faults.push(Fault::NoMapper);
    let fleet = Fleet::new(options, 5);
    let mut command = fleet.command(&["hosts", "test", "-o", "jsonl"]);
    command.args(IMPATIENT);
    let ran = run(command);
    assert_eq!(ran.status, Some(3), "{}", ran.shown());
    let tested: Vec<_> = ran
        .json()
        .iter()
        .map(|row| {
            assert!(row["connected_ms"].as_u64().is_none_or(|time| time < 20_000));
            (row["ok"].as_bool().unwrap(), row["logs"].as_u64(), row["error"].is_string())
        })
        .collect();
    let (well, failed) = ((true, Some(23), false), (false, None, true));
    assert_eq!(tested, [well, failed, well, failed, well]);
    ran.line("3 of 5 servers answered, 2 failed");

    let ran = fleet.run(&["hosts", "test", "server01", "server0[35]", "-o", "jsonl"]);
    assert_eq!((ran.status, ran.json().len()), (Some(0), 3), "{}", ran.shown());
    let ran = fleet.run(&["hosts", "test", "server04", "-o", "jsonl"]);
    assert_eq!((ran.status, ran.json().len()), (Some(2), 1), "{}", ran.shown());
}

#[test]
fn the_demo_shows_a_failure_and_succeeds() {
    let fleet = Fleet::new(servers(1), 1);
    let mut command = fleet.bare();
    command.args(["demo", "-o", "jsonl"]);
    let ran = run(command);
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    ran.line("3 of 4 servers answered, 1 failed; ");
    ran.line("error: wilma: connection lost (reset), after ");
    let names: Vec<_> = ran.by_host().into_keys().collect();
    assert_eq!(names, ["barney", "betty", "fred", "wilma"]);
    let events = ran.json();
    assert_eq!(events.len(), 20);
    let time = |event: &Json| event["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let ago = jiff::Timestamp::now().checked_sub(jiff::SignedDuration::from_hours(9)).unwrap();
    for event in &events {
        let begins = match event["event_id"].as_u64() {
            Some(7031) => format!("The {} ", event["data"]["param1"].as_str().unwrap()),
            Some(4625) => "An account failed to log on.\r\n".to_owned(),
            _ => panic!("{event}"),
        };
        assert!(event["message"].as_str().unwrap().starts_with(&begins), "{event}");
        assert!(time(event) > ago);
    }
    assert!(events.is_sorted_by(|newer, older| time(newer) >= time(older)));
    // The command that is shown, in two lines that can be pasted.
    ran.line("  quarry scan fred barney wilma betty -l System -l Security \\");
    ran.line("      -i 7031,4625 -S 8h --sort time -r -n 20");
    // What was made to happen, beside what happens every day.
    let said = |start: &str, middle: &str| -> u64 {
        let (times, _) = ran.line(start)[start.len()..].split_once(middle).unwrap();
        times.parse().unwrap()
    };
    let ends =
        said("Background Intelligent Transfer Service ended unexpectedly ", " times on 4 servers");
    assert!((12..40).contains(&ends), "{ends}");
    let attempts = said("and user svc-sql failed to log on ", " times from ");
    assert!((120..140).contains(&attempts), "{attempts}");
    assert!(ran.stderr.contains(r"quarry scan SERVER -u 'DOMAIN\USER' -S 8h"), "{}", ran.shown());
    // Nothing is left behind: neither files of the demo's, nor text of servers that don't exist.
    assert!(!fleet.root().join("demo.toml").exists());
    assert!(!fleet.root().join(".local").exists());
}

/// Commands that the demo says to try can be pasted while its servers are up.
#[cfg(unix)]
#[test]
fn the_demo_s_servers_stay_up_for_what_it_says_to_try() {
    use std::io::BufReader;
    let fleet = Fleet::new(servers(1), 1);
    let mut command = fleet.bare();
    command.args(["demo", "--keep", "-o", "jsonl"]);
    let _turn = Turn::take();
    let (mut child, begun) = spawn(command);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut lines = Vec::new();
    while lines.iter().filter(|line: &&String| line.contains("--inventory")).count() < 3 {
        let mut line = String::new();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "{lines:?}");
        lines.push(line);
    }
    let commands = lines.iter().filter(|line| line.contains("--inventory"));
    for line in commands.map(|line| line.trim()) {
        let mut words = line.split(' ');
        assert_eq!(words.next(), Some(env!("CARGO_BIN_EXE_quarry")));
        let mut command = fleet.bare();
        command.args(words);
        let is_tail = line.contains(" tail ");
        if is_tail {
            command.args(["--deadline", "8s"]);
        }
        let ran = finish(spawn(command));
        assert!(ran.stdout.lines().count() > 1, "{line}: {}", ran.shown());
        if line.contains(" count ") {
            assert!(ran.stdout.contains("svc-sql"), "{}", ran.stdout);
        }
    }
    interrupted::interrupt(&child);
    let ran = finish({
        child.stderr = Some(stderr.into_inner());
        (child, begun)
    });
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
}

#[test]
fn vv_and_quarry_log_show_what_the_libraries_do_and_no_secret() {
    let fleet = Fleet::new(servers(1), 20);
    let scan = |arguments: &[&str], log: Option<&str>| {
        let mut command = fleet.command(&[&["scan", "@all"], arguments].concat());
        command.args(PLACE);
        log.map(|log| command.env("QUARRY_LOG", log));
        let ran = run(command);
        assert_eq!(ran.status, Some(0), "{}", ran.shown());
        assert!(!ran.stderr.contains(PASSWORD), "{}", ran.shown());
        ran.stderr
    };
    assert!(!scan(&[], None).contains("quarry_"));
    assert!(scan(&["-vv"], None).contains("quarry_collect::pipeline"));
    let traced = scan(&[], Some("quarry_collect=trace"));
    assert!(traced.contains("delivery") && !traced.contains("quarry_fleet"), "{traced}");
    // Other crates might say what is in a message.
    let all = scan(&[], Some("trace"));
    let is_own = |line: &str| line.contains("quarry_") || line.contains(" records, ");
    assert!(all.lines().all(is_own), "{all}");
    assert!(scan(&[], Some("quarry_collect=loud")).contains("QUARRY_LOG is left aside"));
}

#[test]
fn counts_of_servers_are_printed_as_they_answer() {
    let mut options = servers(2);
    options[0].faults.push(Fault::Silent(0));
    let fleet = Fleet::new(options, 20);
    for format in ["jsonl", "table", "csv"] {
        let mut command = fleet.command(&["count", "@all", "-o", format, "--timeout", "60s"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut printed = String::new();
        // The first server says nothing, and the second is printed all the same.
        while !printed.contains("server02") {
            assert!(stdout.read_line(&mut printed).unwrap() > 0, "{format}: {printed}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
