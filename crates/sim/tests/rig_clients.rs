//! Independent clients (impacket, Scapy, aiosmb) against simulated servers.

mod common;

use std::path::PathBuf;
use std::process::Output;

use common::*;
use quarry_cred::Secret;
use quarry_even::{Next, ResultSetRecord};
use quarry_sim::{ServerOptions, Sim, SimOptions};
use quarry_testkit::even6_python;
use serde_json::Value;

const EVENTS: u64 = 2000;
const PASSWORD: &str = "Passw0rd!";

/// What each client says that it can do.
const CLIENTS: [(&str, &[&str]); 5] = [
    ("client_impacket.py", &[]),
    ("client_scapy.py", &["--auth", "ntlm"]),
    ("client_scapy.py", &["--auth", "spnego"]),
    ("client_scapy.py", &["--auth", "ntlm", "--no-mic"]),
    ("client_aiosmb.py", &[]),
];

/// A server, and the clients.
struct Stage {
    folder: PathBuf,
    python: PathBuf,
    sim: Sim,
}

impl Stage {
    async fn new() -> Option<Self> {
        let (folder, python) = even6_python()?;
        let account = r"LAB\alice".parse().unwrap();
        let password = Secret::new(PASSWORD.to_owned()).unwrap();
        let mut options = SimOptions::new(vec![ServerOptions::new("fred")], account, password);
        options.events = EVENTS;
        let sim = Sim::start(options).await.unwrap();
        Some(Self { folder, python, sim })
    }

    /// Runs a client, which asks our mapper for the port.
    async fn client(&self, script: &str, password: &str, arguments: &[&str]) -> Output {
        let port = self.sim.servers()[0].mapper_port().to_string();
        tokio::process::Command::new(&self.python)
            .current_dir(&self.folder)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .args([script, "127.0.0.1", "--epm-port", &port])
            .args(["--user", "alice", "--password", password, "--domain", "LAB"])
            .args(arguments)
            .output()
            .await
            .unwrap()
    }

    async fn lines(&self, (script, options): (&str, &[&str]), command: &[&str]) -> Vec<Value> {
        let output = self.client(script, PASSWORD, &[options, command].concat()).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_client_reads_thousands_of_events() {
    let Some(stage) = Stage::new().await else { return };
    let ours = connect(&stage.sim, "fred").await;
    let query = ours.register_log_query(Some("Security"), "*", FORWARD).await.unwrap();
    let (mut raw, mut decoded) = (Vec::new(), Vec::new());
    while let Next::Events(batch) = ours.query_next(query.handle, 500, PATIENCE).await.unwrap() {
        let records = batch.records().map(|record| ResultSetRecord::parse(record).unwrap());
        raw.extend(records.map(|record| record.binxml.to_vec()));
        decoded.extend(records_of(&batch));
    }
    assert_eq!(raw.len() as u64, EVENTS);
    for client in CLIENTS {
        let command = ["query", "Security", "*", "--batch", "150"];
        let events = stage.lines(client, &command).await;
        assert_eq!(events.len() as u64, EVENTS, "{client:?}");
        for (n, event) in events.iter().enumerate() {
            let record = bytes(event["record"].as_str().unwrap());
            assert_eq!(ResultSetRecord::parse(&record).unwrap().binxml, raw[n], "{client:?}");
            assert_eq!(event["record_id"], n as u64 + 1, "{client:?}");
            let xml = event["xml"].as_str().unwrap();
            match client.0 {
                "client_aiosmb.py" => assert_alike(xml, &decoded[n]),
                _ => assert_same(xml, &decoded[n], client.0),
            }
        }
    }
    let queries = stage.sim.queries();
    assert_eq!(queries.len(), 1 + CLIENTS.len());
    assert!(queries.iter().all(|entry| entry.query == "*"));
}

fn records_of(batch: &quarry_even::wire::EventBatch) -> Vec<quarry_event::Event> {
    records(batch).into_iter().map(|record| record.event).collect()
}

/// The client's own decoder came to the same event: names, attributes and texts. In which case it
/// writes GUIDs, and whether it shows empty attributes, is its own affair.
fn assert_same(xml: &str, ours: &quarry_event::Event, client: &str) {
    let theirs = roxmltree::Document::parse(xml).unwrap_or_else(|e| panic!("{client}: {e}: {xml}"));
    let theirs = plain_xml(theirs.root_element()).to_lowercase();
    assert_eq!(theirs, plain(&ours.root).to_lowercase(), "{client}: {xml}");
}

/// The same for aiosmb's decoder, which escapes nothing, writes numbers and times in its own ways
/// and breaks lines everywhere.
fn assert_alike(xml: &str, ours: &quarry_event::Event) {
    let Ok(theirs) = roxmltree::Document::parse(xml) else {
        assert!(xml.contains(['&', '<']), "{xml}");
        return;
    };
    let theirs: Vec<_> = theirs
        .descendants()
        .filter(|node| node.is_element())
        .map(|node| {
            let text = node.text().unwrap_or_default().trim().to_owned();
            (node.tag_name().name(), node.attribute("Name").unwrap_or_default(), text)
        })
        .collect();
    let mut elements = vec![&ours.root];
    let mut n = 0;
    while let Some(element) = elements.pop() {
        let (name, data, text) = &theirs[n];
        assert_eq!((*name, *data), (&*element.name, element.attribute("Name").unwrap_or_default()));
        let own = element.text().unwrap_or_default();
        if !own.starts_with("0x") && !own.contains('\n') && element.name != "Binary" {
            assert_eq!(
                text.to_lowercase(),
                own.trim_matches(['{', '}', ' ']).to_lowercase(),
                "{xml}"
            );
        }
        elements.extend(element.elements().collect::<Vec<_>>().into_iter().rev());
        n += 1;
    }
    assert_eq!(n, theirs.len());
}

fn plain_xml(node: roxmltree::Node<'_, '_>) -> String {
    let attributes = node.attributes().map(|one| (one.name(), one.value()));
    let inside = node.children().map(|child| match child.is_text() {
        true => child.text().unwrap_or_default().to_owned(),
        false => plain_xml(child),
    });
    written(node.tag_name().name(), attributes.collect(), inside.collect())
}

fn plain(element: &quarry_event::Element) -> String {
    let attributes = element.attributes.iter().filter(|(name, _)| name != "xmlns");
    let attributes = attributes.map(|(name, value)| (name.as_str(), value.as_str()));
    let inside = element.children.iter().map(|child| match child {
        quarry_event::Node::Element(child) => plain(child),
        // As XML has line breaks.
        quarry_event::Node::Text(text) => text.replace("\r\n", "\n"),
    });
    written(&element.name, attributes.collect(), inside.collect())
}

fn written(name: &str, mut attributes: Vec<(&str, &str)>, inside: String) -> String {
    attributes.retain(|(_, value)| !value.is_empty());
    attributes.sort();
    format!("<{name} {attributes:?}>{inside}</>")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_each_client_filters_is_filtered_here() {
    let Some(stage) = Stage::new().await else { return };
    let filter = "*[System[EventID=4625 or EventID=4688]]";
    let ours = read(&connect(&stage.sim, "fred").await, "Security", filter, REVERSE).await;
    for client in CLIENTS {
        let command = ["query", "Security", filter, "--batch", "100", "--reverse"];
        let events = stage.lines(client, &command).await;
        let ids: Vec<_> = events.iter().map(|event| event["record_id"].as_u64().unwrap()).collect();
        assert_eq!(ids, numbers(&ours), "{client:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_client_reads_channels_and_log_information() {
    let Some(stage) = Stage::new().await else { return };
    for client in CLIENTS {
        let channels = stage.lines(client, &["channels"]).await;
        assert_eq!(channels.len(), 1103, "{client:?}");
        assert_eq!(channels[0]["channel"], "System", "{client:?}");
        let info = stage.lines(client, &["info", "Security"]).await;
        let expected = (&EVENTS.into(), &1.into());
        assert_eq!((&info[0]["records"], &info[0]["oldest"]), expected, "{client:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_subscribes_and_takes_what_there_is() {
    let Some(stage) = Stage::new().await else { return };
    let client = CLIENTS[1];
    let command = ["subscribe", "System", "*", "--flags", "2", "--max", "700", "--quiet"];
    let output = stage.client(client.0, PASSWORD, &[client.1, &command].concat()).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("700"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_and_less_than_packet_privacy_get_nobody_in() {
    let Some(stage) = Stage::new().await else { return };
    for (script, options) in CLIENTS {
        let output = stage.client(script, "wrong", &[options, &["channels"]].concat()).await;
        assert!(!output.status.success(), "{script} {options:?} got in with a wrong password");
        assert!(output.stdout.is_empty());
    }
    // 2 connect, 4 packet, 5 integrity.
    for (script, options) in &CLIENTS[..3] {
        for level in ["2", "4", "5"] {
            let command = [options, &["--level", level, "channels"][..]].concat();
            let output = stage.client(script, PASSWORD, &command).await;
            assert!(!output.status.success(), "{script} {options:?} got in at level {level}");
            assert!(output.stdout.is_empty());
        }
    }
    // Without header signing Scapy leaves the header out of its signatures. With
    // NTLM's extended session security they must cover it all the same.
    let options = ["--auth", "ntlm", "--no-header-sign", "channels"];
    let output = stage.client("client_scapy.py", PASSWORD, &options).await;
    assert!(!output.status.success());
    assert_eq!(stage.sim.servers()[0].stats().calls, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_in_many_fragments_is_put_together() {
    let Some(stage) = Stage::new().await else { return };
    let long = "x".repeat(20_000);
    let query = format!("*[EventData[Data='{long}'] or System[EventRecordID=7]]");
    let command = ["--max-request-frag", "1432", "query", "Security", &query];
    let events = stage.lines(CLIENTS[0], &command).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["record_id"], 7);
    assert_eq!(stage.sim.queries()[0].query, query);
}
