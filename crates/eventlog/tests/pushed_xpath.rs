//! What is asked of servers, tested by another implementation of XPath: libxml2, by way of lxml.
//! An event that a filter passes is selected by one of the filter's selects; where the selects are
//! said to be exact, no other is. And event queries select what libxml2 selects.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use quarry_event::filter::Filter;
use quarry_event::query::{Query, Scratch};
use quarry_event::testing::{filters, now, plain_events, plain_queries, pushable_filters};
use quarry_event::{Event, FieldSource as _};

/// Filters, and as many queries.
const CASES: usize = 3000;

fn runner() -> TestRunner {
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&seed.as_nanos().to_le_bytes());
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Gives lines to `xpath_lxml.py`, which fails with the first that libxml2 sees otherwise.
fn ask_lxml(lines: &[serde_json::Value]) {
    let scripts = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../event/tests"));
    let python = quarry_testkit::python("lxml", &scripts.join("requirements.txt"));
    let mut lxml = Command::new(python)
        .arg(scripts.join("xpath_lxml.py"))
        .env("PYTHONIOENCODING", "utf-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = lxml.stdin.take().unwrap();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    // It stops to read at the first that fails.
    let _ = stdin.write_all(text.as_bytes());
    drop(stdin);
    let output = lxml.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn xml(event: &Event) -> String {
    let mut xml = Vec::new();
    event.write_xml(&mut xml);
    String::from_utf8(xml).unwrap()
}

#[test]
fn a_server_with_libxml2s_xpath_sends_all_that_a_filter_passes() {
    let mut runner = runner();
    let others = filters().prop_map(|filter| Filter { query: None, ..filter });
    let filters = prop_oneof![2 => pushable_filters(), 1 => others];
    let cases = (prop::collection::vec(plain_events(), 5), filters);
    let lines: Vec<_> = (0..CASES / 5)
        .flat_map(|_| {
            let (events, filter) = cases.new_tree(&mut runner).unwrap().current();
            let pushed = filter.to_xpath(&Default::default());
            let mut matcher = filter.matcher(now());
            let line = |event: &Event| {
                serde_json::json!({
                    "now": now().as_filetime(),
                    "xml": xml(event),
                    "selects": pushed.selects,
                    "exact": pushed.exact,
                    "passes": matcher.matches(event, None),
                })
            };
            events.iter().map(line).collect::<Vec<_>>()
        })
        .collect();
    ask_lxml(&lines);
}

#[test]
fn an_event_query_selects_what_libxml2_selects() {
    let mut runner = runner();
    let cases = (plain_events(), prop::collection::vec(plain_queries(), 5));
    let mut scratch = Scratch::default();
    let mut lines = Vec::new();
    for _ in 0..CASES / 5 {
        let (event, queries) = cases.new_tree(&mut runner).unwrap().current();
        for text in queries {
            let query = Query::parse(&text).unwrap().compile(now());
            lines.push(serde_json::json!({
                "now": now().as_filetime(),
                "xml": xml(&event),
                "query": text,
                "selected": query.matches(&event, &mut scratch),
            }));
        }
    }
    ask_lxml(&lines);
}
