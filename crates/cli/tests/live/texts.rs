//! Message text of live servers: asked for once, kept for the next scan, and never waited for long.

use std::collections::BTreeSet;

use quarry_sim::{Fault, Stats};

use super::*;

/// Nothing is late here, however busy the machine is.
const PATIENT: [&str; 2] = ["--message-timeout", "100s"];
/// A server that hangs is not waited for.
const HASTY: [&str; 2] = ["--message-timeout", "300ms"];

const LOGS: [&str; 6] = ["-l", "System", "-l", "Security", "-l", "Application"];

fn three() -> Fleet {
    Fleet::new(servers(3), 150)
}

fn one(fault: Fault) -> Fleet {
    Fleet::new(vec![ServerOptions::new("server01").with(fault)], 60)
}

/// Calls about messages, over all servers.
fn message_calls(fleet: &Fleet) -> u64 {
    fleet.sim.servers().iter().map(|server| server.stats().message_calls).sum()
}

fn scan(fleet: &Fleet, args: &[&str]) -> Ran {
    let mut all = vec!["scan", "@all", "-o", "jsonl"];
    all.extend_from_slice(args);
    let ran = fleet.run(&all);
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    ran
}

/// The value of an event's data by its name.
fn value<'e>(event: &'e Json, name: &str) -> &'e str {
    event["data"][name].as_str().unwrap_or_else(|| panic!("{name} in {event}"))
}

/// What Windows' own strings say for the parameters that the events have.
fn parameter(value: &str) -> &str {
    match value {
        "%%1833" => "Impersonation",
        "%%1840" => "Delegation",
        "%%1842" => "Yes",
        "%%1843" => "No",
        "%%2304" => "An Error occured during Logon.",
        "%%2307" => "Account locked out.",
        "%%2313" => "Unknown user name or bad password.",
        other => other,
    }
}

/// What an event's text has to have, by what is known of Windows' messages.
fn check(event: &Json) -> bool {
    let text = event["message"].as_str().unwrap_or_else(|| panic!("no message: {event}"));
    let has = |part: String| assert!(text.contains(&part), "{part:?} in {text:?}");
    match event["event_id"].as_u64().unwrap() {
        7036 => assert_eq!(
            text,
            format!(
                "The {} service entered the {} state.",
                value(event, "param1"),
                value(event, "param2")
            )
        ),
        4625 => {
            assert!(text.starts_with("An account failed to log on.\r\n\r\nSubject:\r\n"), "{text}");
            has(format!("\tAccount Name:\t\t{}\r\n", value(event, "TargetUserName")));
            has(format!("\tFailure Reason:\t\t{}\r\n", parameter(value(event, "FailureReason"))));
            // In messages HexInt32 has digits in upper case, and a pointer in lower case.
            let upper = value(event, "Status").to_uppercase().replace('X', "x");
            has(format!("\tStatus:\t\t\t{upper}\r\n"));
            has(format!("\tCaller Process ID:\t{}\r\n", value(event, "ProcessId")));
            assert_eq!(event["names"]["task"], "Logon");
            assert_eq!(event["names"]["keywords"], serde_json::json!(["Audit Failure"]));
        }
        4624 => {
            has(format!("\tElevated Token:\t\t{}\r\n", parameter(value(event, "ElevatedToken"))));
            let level = parameter(value(event, "ImpersonationLevel"));
            has(format!("Impersonation Level:\t\t{level}\r\n"));
        }
        19 => {
            has(value(event, "updateTitle").to_owned());
            assert_eq!(event["names"]["opcode"], "Installation");
            assert_eq!(event["names"]["keywords"], serde_json::json!(["Installation", "Success"]));
        }
        1000 => {
            has(format!("Exception code: 0x{}\r\n", value(event, "param7")));
            assert_eq!(event["names"]["task"], "Application Crashing Events");
        }
        1026 => assert_eq!(text, value(event, "param1")),
        _ => return false,
    }
    true
}

#[test]
fn servers_of_a_build_are_asked_for_each_text_once_and_the_next_scan_asks_nothing() {
    let fleet = three();
    let ran = scan(&fleet, &[&LOGS[..], &PATIENT].concat());
    let events = ran.json();
    assert_eq!(events.len(), 3 * 3 * 150);
    let checked = events.iter().filter(|event| check(event)).count();
    assert!(checked > 500, "{checked}");
    assert!(events.iter().all(|event| event["message_source"] == "server"));
    // What there is to ask for, each with the texts around it, and a provider opened by each server.
    let kinds: BTreeSet<_> = events
        .iter()
        .map(|e| (e["provider"].to_string(), e["event_id"].as_u64(), e["version"].as_u64()))
        .collect();
    let providers: BTreeSet<_> = kinds.iter().map(|kind| &kind.0).collect();
    let (kinds, providers) = (kinds.len() as u64, providers.len() as u64);
    let asked = message_calls(&fleet);
    // A message may take two calls; then there are names, parameters, definitions.
    let most = 2 * kinds + 3 * providers + 3 * providers + 15 + 15;
    assert!((kinds..=most).contains(&asked), "{asked} calls for {kinds} kinds of events");

    let connections = |fleet: &Fleet| -> u64 {
        fleet.sim.servers().iter().map(|server| server.stats().connections).sum()
    };
    let before = connections(&fleet);
    let again = scan(&fleet, &LOGS);
    assert_eq!(message_calls(&fleet), asked);
    // The endpoint mapper and the event log of each.
    assert_eq!(connections(&fleet), before + 6);
    let text = |event: &Json| {
        let place =
            (event["host"].to_string(), event["log"].to_string(), event["log_record"].as_u64());
        (place, (event["message"].clone(), event["names"].clone()))
    };
    let texts = |events: &[Json]| -> BTreeMap<_, _> { events.iter().map(text).collect() };
    let again = again.json();
    assert!(again.iter().all(|event| event["message_source"] == "catalogue"));
    assert_eq!(texts(&again), texts(&events));
    // One catalogue for all of them, whole and of the build that they say.
    let verified = run({
        let mut command = fleet.bare();
        command.args(["messages", "verify"]);
        command
    });
    assert_eq!(verified.status, Some(0), "{}", verified.shown());
    assert_eq!(verified.stderr.lines().count(), 1, "{}", verified.shown());
    assert!(verified.stderr.contains("10.0.65535-1033-server.catalogue: whole"));
}

#[test]
fn a_distant_server_s_events_have_their_text_in_the_first_scan() {
    let fleet = Fleet::start(servers(2), |options| {
        options.events = 100;
        options.latency = Duration::from_millis(50);
    });
    let ran = scan(&fleet, &[&LOGS[..], &PATIENT].concat());
    let events = ran.json();
    assert_eq!(events.len(), 600);
    assert!(events.iter().filter(|event| check(event)).count() > 200);
}

#[test]
fn what_shows_no_text_asks_for_none() {
    let fleet = three();
    for args in [
        &["--messages", "never"][..],
        &["--messages", "local"],
        &["--fields", "time,event_id,data"],
        &["-o", "xml"],
    ] {
        let mut all = vec!["scan", "@all", "-o", "jsonl"];
        if args.contains(&"-o") {
            all.truncate(2);
        }
        all.extend_from_slice(args);
        let ran = fleet.run(&all);
        assert_eq!(ran.status, Some(0), "{}", ran.shown());
        assert_eq!(message_calls(&fleet), 0, "{args:?}");
    }
    // The standard's names are known without anybody.
    let ran = scan(&fleet, &["--messages", "local", "-i", "7036"]);
    for event in ran.json() {
        assert_eq!(event["message"], Json::Null);
        assert_eq!(event["names"]["opcode"], "Info");
        assert_eq!(event["names"]["keywords"], serde_json::json!(["Classic"]));
    }
}

#[test]
fn servers_without_usable_text_cost_their_events_the_text_and_nothing_else() {
    for (fault, patience, said) in [
        (Fault::NoMessages, PATIENT, "  no message text: "),
        (Fault::MessagesOversized, PATIENT, "  no message text: "),
        (Fault::MessagesHang, HASTY, "without their text, which didn't come in 0.3 s"),
        (Fault::MessagesGarbage, PATIENT, ""),
    ] {
        let fleet = one(fault.clone());
        let ran = scan(&fleet, &[&LOGS[..], &patience].concat());
        assert_eq!(ran.by_host()["server01"].len(), 180, "{fault}");
        assert!(ran.stderr.contains(said), "{fault}: {}", ran.shown());
        let texts = ran.json().into_iter().filter(|event| event["message"] != Json::Null).count();
        // Of nonsense some can be shown.
        assert!(texts == 0 || fault == Fault::MessagesGarbage, "{fault}: {texts}");
        // Nor do they keep others from what they are asked for.
        let ran = fleet.run(
            &[&["tail", "@all", "-n", "5", "-o", "jsonl", "--deadline", "3s"][..], &patience]
                .concat(),
        );
        assert_eq!(ran.json().len(), 5, "{fault}: {}", ran.shown());
    }
}

#[test]
fn another_server_of_the_build_is_asked_where_one_has_no_text() {
    let broken = ServerOptions::new("broken").with(Fault::NoMessages);
    let fleet = Fleet::new(vec![broken, ServerOptions::new("sound")], 60);
    let ran = scan(&fleet, &[&LOGS[..], &PATIENT].concat());
    let events = ran.json();
    assert_eq!(events.len(), 360);
    let of_sound = events.iter().filter(|event| event["host"] == "sound");
    assert!(of_sound.clone().all(|event| event["message"].is_string()), "{}", ran.shown());
    // From then on both have it.
    let events = scan(&fleet, &LOGS).json();
    assert!(events.iter().all(|event| event["message"].is_string()));
}

#[test]
fn a_search_finds_what_only_the_message_says() {
    let fleet = three();
    let search = ["-g", "service entered the", "--message-timeout", "100s"];
    let ran = scan(&fleet, &search);
    let found = ran.by_host();
    assert_eq!(found, fleet.everywhere(|event| number(event, Field::EventId) == 7036));
    assert!(found.values().all(|numbers| !numbers.is_empty()));
    let ran = fleet.run(&[
        "count",
        "@all",
        "-g",
        "service entered the",
        "--by",
        "event_id",
        "-o",
        "jsonl",
    ]);
    let counted = ran.json();
    assert_eq!(counted.len(), 1, "{}", ran.stdout);
    assert_eq!(counted[0]["event_id"], 7036);

    // Without text it is said, once for all of them, that values alone were searched.
    let fleet = three();
    let ran = fleet.run(&["scan", "@all", "-g", "service entered the", "--messages", "local"]);
    assert_eq!(ran.status, Some(1), "{}", ran.shown());
    let said =
        "  only values were searched, as no message text is known of server01, server02, server03";
    assert_eq!(ran.stderr.lines().filter(|line| *line == said).count(), 1, "{}", ran.shown());
}

#[test]
fn the_last_events_that_are_followed_are_those_whose_message_has_what_is_searched() {
    let fleet = three();
    let mut expected = fleet.everywhere(|event| number(event, Field::EventId) == 7036);
    for numbers in expected.values_mut() {
        assert!(numbers.len() > 2, "{numbers:?}");
        numbers.drain(..numbers.len() - 2);
    }
    // Nothing of it is in their values, and other events come after them.
    let tail = ["tail", "@all", "-l", "System", "-n", "2", "-g", "service entered the"];
    let ran = fleet.run(&[&tail[..], &["-o", "jsonl", "--deadline", "6s"], &PATIENT].concat());
    assert_eq!(ran.by_host(), expected, "{}", ran.shown());
}

#[test]
fn new_events_that_are_followed_have_their_text() {
    let fleet = three();
    let server = fleet.sim.server("server02").unwrap();
    let mut command = fleet.command(&["tail", "@all", "-l", "System", "-n", "20", "-o", "jsonl"]);
    command.args(PATIENT).args(["--deadline", "6s"]);
    let _turn = Turn::take();
    let spawned = spawn(command);
    std::thread::sleep(Duration::from_millis(1500));
    server.append_generated("System", 40).unwrap();
    let ran = finish(spawned);
    let events = ran.json();
    assert_eq!(events.len(), 100, "{}", ran.shown());
    assert!(events.iter().all(|event| event["message"].is_string()));
    assert!(events.iter().any(check));
}

#[test]
fn a_catalogue_of_a_server_has_what_its_providers_define() {
    let fleet = Fleet::new(servers(1), 100);
    let quarry = |args: &[&str]| {
        let mut command = fleet.bare();
        command.args(args);
        run(command)
    };
    let built = quarry(&["messages", "build", "--server", "server01", "--inventory", INVENTORY]);
    assert_eq!(built.status, Some(0), "{}", built.shown());
    assert!(built.stderr.contains("10.0.65535-1033-server.catalogue: "), "{}", built.shown());
    let shown = quarry(&["messages", "show", "Microsoft-Windows-Security-Auditing", "4625"]);
    assert!(shown.stdout.contains("An account failed to log on."), "{}", shown.stdout);
    assert!(shown.stdout.contains("%6 TargetUserName win:UnicodeString"), "{}", shown.stdout);
    // Events of the definitions are not asked for again.
    let of_before = fleet.sim.servers()[0].stats();
    let ran = scan(&fleet, &["-l", "Security", "-i", "4634"]);
    assert!(ran.json().iter().all(|event| event["message_source"] == "catalogue"));
    let Stats { message_calls, .. } = fleet.sim.servers()[0].stats();
    assert_eq!(message_calls, of_before.message_calls);
    let refused = quarry(&["messages", "build", "--server", "@all", "--inventory", "none.toml"]);
    assert_eq!(refused.status, Some(2), "{}", refused.shown());
}
