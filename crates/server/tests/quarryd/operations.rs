//! What whoever runs it goes by: `/healthz`, `/metrics`, and the commands that look at the table.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

use super::page::Page;
use super::*;

const PAGE: &str = "[page]\nlisten = \"127.0.0.1:0\"\n";

#[test]
fn health_is_bad_for_as_long_as_nothing_can_be_committed_and_nothing_is_lost() {
    let Some(fleet) = Fleet::on(Storage::Moto, 2, 10) else { return };
    let url = &fleet.storage.as_ref().unwrap().url;
    let on_s3 = USUAL.replace("\"events\"", &format!("\"{url}\""));
    fleet.configure("quarryd.toml", &format!("{on_s3}{PAGE}"));
    let page = Page::start(&fleet);
    let health = || -> (bool, Json) {
        let (head, body) = page.ask("GET", "/healthz", "");
        let is_well = head.lines().next().unwrap_or_default().contains(" 200 ");
        assert!(is_well || head.contains(" 503 "), "{head}\n{body}");
        (is_well, serde_json::from_str(&body).unwrap())
    };
    wait(|| fleet.rows().count() == 40, || page.daemon.said());
    wait(|| health().1["status"] == "ok", || health().1.to_string());
    let (_, about) = health();
    assert_eq!(about["servers"]["followed"], 2, "{about}");

    fleet.signal_storage(Signal::STOP);
    fleet.server(1).append_generated("System", 5).unwrap();
    wait(|| !health().0, || health().1.to_string());
    let (_, about) = health();
    assert_eq!(about["status"], "failing", "{about}");
    let why = about["problems"][0].as_str().unwrap();
    assert!(why.contains("commit"), "{why}");
    // What was stored before is still known, and the server is still followed.
    assert_eq!(about["servers"]["followed"], 2, "{about}");

    fleet.signal_storage(Signal::CONT);
    wait(|| fleet.rows().count() == 45, || page.daemon.said());
    wait(|| health().0, || health().1.to_string());
    page.daemon.stop();
    assert_eq!(fleet.rows().repeated(), []);
}

#[test]
fn metrics_count_what_was_read_and_stored_of_each_server() {
    let fleet = Fleet::new(2, 10);
    fleet.configure("quarryd.toml", &format!("{USUAL}{PAGE}"));
    let page = Page::start(&fleet);
    let metric = |name: &str| -> Option<f64> {
        let text = page.get("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line?.parse().ok()
    };
    wait(|| metric("quarryd_rows_committed_total") == Some(40.0), || page.get("/metrics"));
    let of = |name: &str| metric(&format!("quarryd_server_{name}{{server=\"server01\"}}"));
    assert_eq!(of("records_total"), Some(20.0));
    assert_eq!(of("events_total"), Some(20.0));
    assert_eq!(of("followed"), Some(1.0));
    assert_eq!((of("gaps_total"), of("failures_total")), (Some(0.0), Some(0.0)));
    assert_eq!(metric("quarryd_commit_failures_total"), Some(0.0));
    assert!(metric("quarryd_commits_total") > Some(0.0));
    wait(|| metric("quarryd_waiting_rows") == Some(0.0), || page.get("/metrics"));
    // A server that is lost shows.
    fleet.server(1).stop();
    wait(|| of("followed") == Some(0.0), || page.get("/metrics"));
    assert!(of("failures_total") > Some(0.0));
    // Nobody is told who doesn't sign in.
    assert!(!page.ask_as("", "GET", "/metrics", "").0.contains(" 200 "));
    assert!(page.ask_as("", "GET", "/healthz", "").0.contains("content-type: application/json"));
    page.daemon.stop();
}

#[test]
fn each_line_of_the_log_has_its_time() {
    let fleet = Fleet::new(1, 10);
    fleet.configure("quarryd.toml", USUAL);
    let begun = Timestamp::now();
    let daemon = Daemon::start(&fleet, "quarryd.toml");
    wait(|| fleet.rows().count() == 20, || daemon.said());
    // What isn't taken up is told on several lines, of which the first has the time.
    fleet.configure("quarryd.toml", "[store]\nlink = \"events\"\n");
    daemon.signal(Signal::HUP);
    wait(|| daemon.said().contains("the old one is kept"), || daemon.said());
    let log = daemon.log.clone();
    daemon.stop();
    let said = std::fs::read_to_string(log).unwrap();
    // They are to the millisecond.
    let range = begun - SignedDuration::from_millis(1)..=Timestamp::now();
    let (first, more): (Vec<&str>, Vec<&str>) =
        said.lines().partition(|line| !line.starts_with("  "));
    // The changed file was seen as well, it may be.
    let shown = ["  link = \"events\"", "  ^"];
    assert!(!more.is_empty() && more.chunks(2).all(|lines| lines == shown), "{said}");
    for line in first {
        let time = line.split(' ').next().and_then(|time| time.parse().ok());
        assert!(time.is_some_and(|time| range.contains(&time)), "{line}\n{said}");
    }
}

#[test]
fn the_table_is_described_and_maintained_by_commands() {
    let fleet = Fleet::new(1, 10);
    fleet.configure("quarryd.toml", USUAL);
    let daemon = Daemon::start(&fleet, "quarryd.toml");
    for all in [20, 25, 30] {
        wait(|| fleet.rows().count() == all, || daemon.said());
        fleet.server(1).append_generated("System", 5).unwrap();
    }
    daemon.stop();
    let said = |words: &[&str]| {
        let output = quarryd(fleet.root(), &[words, &["quarryd.toml"]].concat()).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    };
    let info = said(&["store", "info"]);
    assert!(info.contains("server01") || info.contains("127.0.0.1"), "{info}");
    assert!(info.contains("System") && info.contains("Application"), "{info}");
    let before = fleet.rows();
    said(&["store", "maintain"]);
    assert_eq!(fleet.rows().events, before.events);
    let words = ["sql", "SELECT count(*) AS n FROM events", "-c", "quarryd.toml", "-o", "jsonl"];
    let output = quarryd(fleet.root(), &words).output().unwrap();
    let answer: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["n"].as_u64().unwrap() as usize, before.count());
}
