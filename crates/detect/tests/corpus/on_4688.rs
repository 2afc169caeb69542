//! Process creation on Windows' own events: no recorded log has Sysmon's and Windows' event of one
//! process, so each of Sysmon's is written as Windows would (event 4688 of the documentation of
//! security auditing), and the rules that run whole on 4688 have to hit both or neither.

use std::collections::BTreeSet;
use std::sync::Arc;

use quarry_detect::{Engine, Mapping, Matcher, Reach};
use quarry_event::{
    DataName, Element, Event, Field, FieldSource, Node, PartialSource, RecordId, Value,
};
use quarry_eventlog::{BatchReader, Damage, Direction, FileLog, Visitor};

use super::{files, load};

const SYSMON: &str = "Microsoft-Windows-Sysmon/Operational";

/// The value of an event's data.
fn value(event: &impl FieldSource, wanted: &str) -> Option<String> {
    let mut found = None;
    let _ = event.each_data(|name: Option<DataName<'_>>, value: Value<'_>| {
        if name.is_some_and(|name| name.as_str() == wanted) {
            found = Some(value.to_string());
        }
        std::ops::ControlFlow::Continue(())
    });
    found
}

/// The event that Windows writes of the process that one of Sysmon's is about.
fn as_4688(event: &impl FieldSource) -> Event {
    let text = |name: &str, text: &str| Element {
        name: name.into(),
        children: vec![Node::Text(text.into())],
        ..Element::default()
    };
    let get = |name| value(event, name).unwrap_or_default();
    let hex = |name| format!("0x{:x}", get(name).parse::<u64>().unwrap_or_default());
    let user = get("User");
    let (domain, name) = user.split_once('\\').unwrap_or(("-", &user));
    let label = match &*get("IntegrityLevel") {
        "Low" => "S-1-16-4096",
        "Medium" => "S-1-16-8192",
        "High" => "S-1-16-12288",
        "System" => "S-1-16-16384",
        _ => "S-1-16-0",
    };
    let data = [
        ("SubjectUserName", name.to_owned()),
        ("SubjectDomainName", domain.to_owned()),
        ("SubjectLogonId", get("LogonId")),
        ("NewProcessId", hex("ProcessId")),
        ("NewProcessName", get("Image")),
        ("ProcessId", hex("ParentProcessId")),
        ("CommandLine", get("CommandLine")),
        ("ParentProcessName", get("ParentImage")),
        ("MandatoryLabel", label.to_owned()),
    ];
    let data = data.iter().map(|(name, value)| {
        let mut data = text("Data", value);
        data.attributes.push(("Name".into(), (*name).into()));
        data
    });
    let parent = |name: &str, children: Vec<Element>| Element {
        name: name.into(),
        children: children.into_iter().map(Node::Element).collect(),
        ..Element::default()
    };
    let system = vec![text("EventID", "4688"), text("Channel", "Security")];
    let parts = vec![parent("System", system), parent("EventData", data.collect())];
    Event { root: parent("Event", parts) }
}

struct Compare {
    matcher: Matcher,
    whole: BTreeSet<usize>,
    events: u64,
    hits: usize,
}

impl Visitor for Compare {
    fn wants<S: PartialSource>(&mut self, event: &S) -> bool {
        event.known_field(Field::Channel).is_text(SYSMON)
            && event.known_field(Field::EventId).as_u64() == Some(1)
    }

    fn event<S: FieldSource>(&mut self, event: &S, _: &str, _: Option<RecordId>) {
        if !event.field(Field::Channel).is_text(SYSMON) {
            return;
        }
        let hits = |found: &[usize]| -> BTreeSet<usize> {
            found.iter().copied().filter(|rule| self.whole.contains(rule)).collect()
        };
        let of_sysmon = hits(self.matcher.matches(event));
        let of_windows = hits(self.matcher.matches(&as_4688(event)));
        let engine = self.matcher.engine();
        let name = |rule: &usize| engine.rules()[*rule].file.to_string();
        let differ: Vec<String> = of_sysmon.symmetric_difference(&of_windows).map(name).collect();
        assert!(differ.is_empty(), "{differ:?} {:?}", Event::from_source(event));
        self.events += 1;
        self.hits += of_sysmon.len();
    }

    fn damage(&mut self, _: &Damage) {}
}

#[test]
fn rules_that_run_whole_on_4688_hit_what_they_hit_on_sysmon_1() {
    let Some(logs) = quarry_testkit::corpus_folder("sigma/regression.tar.xz") else { return };
    let rules = quarry_testkit::corpus_folder("sigma/rules.tar.xz").unwrap();
    let corpus = quarry_testkit::corpus_file("sigma/routes.json").unwrap();
    let corpus = corpus.parent().unwrap().parent().unwrap().to_owned();
    let engine = Arc::new(Engine::new(load(&rules).0, Mapping::builtin()));
    let is_whole = |n: &usize| {
        let plan = &engine.plan().rules()[*n];
        let is_creation = engine.rules()[*n].source.category.as_deref() == Some("process_creation");
        is_creation && plan.routes.len() == 2 && plan.routes.iter().all(|r| r.reach == Reach::Whole)
    };
    let whole: BTreeSet<usize> = (0..engine.rules().len()).filter(is_whole).collect();
    assert_eq!(whole.len(), 641);
    let mut compare = Compare { matcher: engine.matcher(), whole, events: 0, hits: 0 };
    for folder in [logs, corpus.join("mitre"), corpus.join("evtx-crate")] {
        for path in files(&folder, "evtx") {
            let Ok(log) = FileLog::open(&path) else { continue };
            let mut reader = BatchReader::default();
            log.batches(Direction::Forward).for_each(|batch| reader.read(&batch, &mut compare));
        }
    }
    assert!(compare.events > 200 && compare.hits > 50, "{} {}", compare.events, compare.hits);
}
