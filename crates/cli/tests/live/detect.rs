//! Rules over servers: a server is asked for each channel's own ids, and what comes of that is what
//! reading everything gives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quarry_sim::{Fault, FileLogs};
use quarry_testkit::{corpus_file, corpus_folder};

use super::*;

/// A rule about what simulated servers have, and one about what they don't.
const RULES: &str = r"
title: A logon failed
id: 5e9a3a5c-0000-4000-8000-000000000001
level: high
logsource: { product: windows, service: security }
detection:
  failed: { EventID: 4625, TargetUserName|contains: '*' }
  condition: failed
---
title: A process was created
id: 5e9a3a5c-0000-4000-8000-000000000002
level: low
logsource: { product: windows, category: image_load }
detection: { any: { ImageLoaded|endswith: .dll }, condition: any }
";

/// A hit: the event's channel, its own number and time, and the rules' ids.
type Hit = (String, String, String, Vec<String>);

fn hits(ran: &Ran) -> Vec<Hit> {
    let mut hits: Vec<Hit> = ran
        .json()
        .iter()
        .map(|event| {
            let text = |name: &str| event[name].to_string();
            let rules = event["rules"].as_array().unwrap().iter();
            let rules = rules.map(|rule| rule["id"].as_str().unwrap().to_owned()).collect();
            (text("channel"), text("record_id"), text("time"), rules)
        })
        .collect();
    hits.sort();
    hits
}

const FIELDS: [&str; 4] = ["-o", "jsonl", "--fields", "channel,record_id,time,rules"];

#[test]
fn hits_are_the_same_with_and_without_push_down_and_only_routed_records_are_sent() {
    let Some(logs) = corpus_folder("sigma/regression.tar.xz") else { return };
    let rules = corpus_folder("sigma/rules.tar.xz").unwrap();
    let rules = rules.to_str().unwrap();
    let mut files = FileLogs::default();
    let mut paths: Vec<_> =
        std::fs::read_dir(logs.join("regression")).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    // One with many events that no rule looks at.
    let more = corpus_file("evtx-crate/system.evtx").unwrap();
    paths.push(more.clone());
    paths.iter().for_each(|path| files.add(path).unwrap());
    let files = Arc::new(files);
    let refuses: Fault = "refuse-query:4".parse().unwrap();
    let servers = vec![ServerOptions::new("fred"), ServerOptions::new("barney").with(refuses)];
    let fleet = Fleet::start(servers, |options| options.files = Some(Arc::clone(&files)));

    let detect = |sources: &[&str]| {
        let mut command = fleet.command(&["detect", "--rules", rules]);
        command.args(sources);
        command.args(FIELDS).args(IMPATIENT);
        let ran = run(command);
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        ran
    };
    let pushed = detect(&["fred"]);
    let unpushed = detect(&["barney"]);
    let read = detect(&[logs.to_str().unwrap(), more.to_str().unwrap()]);
    assert_eq!(hits(&pushed), hits(&unpushed));
    assert_eq!(hits(&pushed), hits(&read));
    // 352 of the regression logs, and some of the other.
    let marks: usize = hits(&pushed).iter().map(|(.., rules)| rules.len()).sum();
    assert!(marks > 352, "{marks}");

    // What others found that rules look at.
    let text = std::fs::read_to_string(corpus_file("sigma/routes.json").unwrap()).unwrap();
    type Routes = BTreeMap<String, Vec<(String, Option<u64>)>>;
    let routes: Routes = serde_json::from_str(&text).unwrap();
    let routes: BTreeSet<(String, Option<u64>)> = routes.into_values().flatten().collect();
    let mut wanted = 0;
    let mut all = 0;
    let channels: BTreeSet<String> =
        read.json().iter().map(|e| e["channel"].as_str().unwrap().to_owned()).collect();
    for channel in &channels {
        for (_, event) in fleet.known("fred", channel) {
            let lower = channel.to_lowercase();
            let id = number(&event, Field::EventId);
            all += 1;
            wanted += u64::from(
                routes.contains(&(lower.clone(), None)) || routes.contains(&(lower, Some(id))),
            );
        }
    }
    let sent = |name: &str| fleet.sim.server(name).unwrap().stats().records_sent;
    assert_eq!(sent("fred"), wanted);
    assert!(wanted < all, "{wanted} of {all}");
    assert_eq!(sent("barney"), all);

    // A rule that wants every event of Security is named.
    let named = "Security is read whole, because of win_security_susp_computer_name.yml";
    assert!(pushed.stderr.contains(named), "{}", pushed.stderr);
    // Before a server is asked, with what can be done about it.
    let at = |text: &str| pushed.stderr.find(text).unwrap_or(usize::MAX);
    assert!(at(" can run") < at(named) && at(named) < at(" answered"), "{}", pushed.stderr);
    assert!(pushed.stderr.contains("--exclude FILE"), "{}", pushed.stderr);
    assert!(!read.stderr.contains("read whole"), "{}", read.stderr);
}

#[test]
fn security_rules_take_four_selects_where_none_wants_the_whole_log() {
    let Some(rules) = corpus_folder("sigma/rules.tar.xz") else { return };
    let fleet = Fleet::new(servers(1), 50);
    let exclude = fleet.root().join("exclude.txt");
    std::fs::write(&exclude, "win_security_susp_computer_name.yml # wants every event\n").unwrap();
    let mut command = fleet.command(&["detect", "--rules", rules.to_str().unwrap(), "server01"]);
    command
        .args(["--exclude", "exclude.txt", "-S", "2020-01-01", "-v"])
        .args(FIELDS)
        .args(IMPATIENT);
    let ran = run(command);
    assert!(ran.status == Some(0) || ran.status == Some(1), "{}", ran.shown());
    let queries = fleet.sim.queries();
    let selects: Vec<usize> = queries
        .iter()
        .map(|query| query.query.matches("<Select Path=\"Security\">").count())
        .filter(|selects| *selects > 0)
        .collect();
    assert_eq!(selects, [4], "{queries:?}");
    // Each with the time, and within what every Windows takes.
    let query = queries.iter().find(|query| query.query.contains("Path=\"Security\"")).unwrap();
    for select in query.query.split("<Select Path=\"Security\">").skip(1) {
        let select = select.split("</Select>").next().unwrap();
        assert!(select.contains("TimeCreated["), "{select}");
        let expressions = select.matches("EventID").count() + select.matches("@SystemTime").count();
        assert!(expressions <= 20, "{select}");
    }
}

#[test]
fn two_hundred_servers_are_tested_at_once_and_dead_ones_cost_nothing() {
    let dead = ["black-hole", "no-mapper", "port-closed", "refuse-logon"];
    let mut all = servers(200);
    for (n, fault) in dead.iter().enumerate() {
        all[40 * n + 7].faults.push(fault.parse().unwrap());
    }
    let fleet = Fleet::new(all, 40);
    std::fs::write(fleet.root().join("rules.yml"), RULES).unwrap();
    let mut command = fleet.command(&["detect", "--rules", "rules.yml", "@all"]);
    command.args(["-o", "jsonl", "--fields", "host,log,log_record,rules"]).args(IMPATIENT);
    let ran = run(command);
    assert_eq!(ran.status, Some(3), "{}", ran.shown());
    assert!(ran.stderr.contains("196 of 200 servers answered, 4 failed"), "{}", ran.shown());
    let came = ran.by_host();
    let failed = |event: &Event| number(event, Field::EventId) == 4625;
    for (n, server) in (0..200).map(|n| (n, name(n + 1))) {
        let is_dead = (0..dead.len()).any(|k| 40 * k + 7 == n);
        let known = fleet.numbers(&server, "Security", failed);
        let expected = if is_dead || known.is_empty() { None } else { Some(&known) };
        assert_eq!(came.get(&server), expected, "{server}");
    }
    assert!(came.len() > 100);
    // A log that servers don't have is said, and is no failure.
    assert!(ran.stderr.contains("Microsoft-Windows-Sysmon/Operational (1)"), "{}", ran.shown());
}

#[test]
fn a_plan_says_of_each_server_what_can_run_there() {
    let fleet = Fleet::new(servers(2), 10);
    std::fs::write(fleet.root().join("rules.yml"), RULES).unwrap();
    let mut command = fleet.command(&["detect", "--rules", "rules.yml", "--plan", "@all"]);
    command.args(["-o", "jsonl"]).args(IMPATIENT);
    let ran = run(command);
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    let plans = ran.json();
    assert_eq!(plans.len(), 2);
    for plan in plans {
        assert_eq!(plan["run"], 1);
        assert_eq!(plan["cannot"], 1);
        let why = "no records of Microsoft-Windows-Sysmon/Operational (1)";
        assert_eq!(plan["because"], serde_json::json!([why]));
        assert_eq!(plan["unseen"], 0);
    }
    assert!(fleet.sim.queries().iter().all(|query| !query.query.contains("4625")));
}

/// A rule about events that a server has, and one about events that it hasn't.
const AUDITED: &str = r"
title: A policy was changed
logsource: { product: windows, service: security }
detection: { a: { EventID: 4719 }, condition: a }
---
title: A share was looked into
logsource: { product: windows, service: security }
detection: { a: { EventID: 5145 }, condition: a }
";

#[test]
fn a_plan_says_what_is_seen_of_a_server_s_audit_policy_and_what_can_t_be_known() {
    let Some(logs) = corpus_folder("sigma/regression.tar.xz") else { return };
    let mut files = FileLogs::default();
    for entry in std::fs::read_dir(logs.join("regression")).unwrap() {
        files.add(&entry.unwrap().path()).unwrap();
    }
    let files = Arc::new(files);
    let fleet = Fleet::start(servers(1), |options| options.files = Some(Arc::clone(&files)));
    std::fs::write(fleet.root().join("rules.yml"), AUDITED).unwrap();
    let mut command = fleet.command(&["detect", "--rules", "rules.yml", "--plan", "server01"]);
    command.args(["-o", "jsonl"]).args(IMPATIENT);
    let ran = run(command);
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    // What a look at every event says.
    let security = fleet.known("server01", "Security");
    let ids: BTreeSet<u64> = security.iter().map(|(_, e)| number(e, Field::EventId)).collect();
    let changed = security.iter().filter(|(_, e)| number(e, Field::EventId) == 4719).count();
    let plan = &ran.json()[0];
    assert_eq!((&plan["run"], &plan["cannot"]), (&2.into(), &0.into()), "{plan}");
    let unseen = [4719, 5145].iter().filter(|id| !ids.contains(id)).count();
    assert_eq!(plan["unseen"], unseen, "{plan}");
    assert_eq!(ids.contains(&5145), !plan["because"].to_string().contains("(Detailed File"));
    let changes = plan["audit_changes"].as_array().unwrap();
    assert_eq!(changes.len(), changed, "{plan}");
    assert!(ran.stderr.contains("doesn't tell its audit policy"), "{}", ran.stderr);
}

#[cfg(unix)]
#[test]
fn what_is_followed_is_tested_too() {
    let fleet = Fleet::new(servers(1), 60);
    std::fs::write(fleet.root().join("rules.yml"), RULES).unwrap();
    let known = fleet.numbers("server01", "Security", |e| number(e, Field::EventId) == 4625);
    assert!(!known.is_empty());
    let mut command = fleet.command(&["detect", "--rules", "rules.yml", "server01", "--follow"]);
    command.args(["-n", "60", "-o", "jsonl", "--fields", "host,log,log_record,rules"]);
    let ran = run_until(command, known.len());
    assert_eq!(ran.status, Some(130), "{}", ran.shown());
    let came: Vec<u64> = ran.by_host().into_values().flatten().collect();
    assert_eq!(came, known);
    assert!(ran.json().iter().all(|event| event["rules"][0]["title"] == "A logon failed"));
}

#[test]
fn answers_are_asked_of_servers_too() {
    let fleet = Fleet::new(servers(2), 60);
    let mut command = fleet.command(&["logons", "@all", "-o", "jsonl"]);
    command.args(IMPATIENT);
    let ran = run(command);
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    for server in ["server01", "server02"] {
        for (_, event) in fleet.known(server, "Security") {
            match number(&event, Field::EventId) {
                4624 => *expected.entry("success").or_default() += 1,
                4625 => *expected.entry("failure").or_default() += 1,
                _ => {}
            }
        }
    }
    let mut came: BTreeMap<&str, u64> = BTreeMap::new();
    let lines = ran.json();
    for line in &lines {
        *came.entry(line["outcome"].as_str().unwrap()).or_default() +=
            line["events"].as_u64().unwrap();
    }
    assert_eq!(came, expected);
    assert!(
        fleet.sim.queries().iter().any(|query| query.query.contains("EventID&gt;=4624")
            || query.query.contains("EventID>=4624"))
    );
}
