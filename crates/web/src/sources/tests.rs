//! Answers against a plain look at every event.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use quarry_event::words::Words;
use quarry_event::{Element, Event, EventTime, Node, RuleName};

use quarry_fleet::inventory::Inventory;

use super::*;
use crate::access::Person;
use crate::access::rules::Rules;
use crate::view::{At, Order, Place};

/// An event with what a list shows of one.
fn event(time: u64, id: u64, level: u64, provider: &str, data: &str) -> Event {
    let text = |name: &str, text: String| Element {
        children: vec![Node::Text(text)],
        ..Element::new(name)
    };
    let with = |name: &str, attribute: &str, value: String| Element {
        attributes: vec![(attribute.to_owned(), value)],
        ..Element::new(name)
    };
    let elements = vec![
        with("Provider", "Name", provider.to_owned()),
        text("EventID", id.to_string()),
        text("Level", level.to_string()),
        with("TimeCreated", "SystemTime", EventTime::from_filetime(time).to_string()),
        text("Channel", "System".to_owned()),
        text("Computer", "dc01.corp".to_owned()),
    ];
    let system = Element {
        children: elements.into_iter().map(Node::Element).collect(),
        ..Element::new("System")
    };
    let mut value = with("Data", "Name", "User".to_owned());
    value.children.push(Node::Text(data.to_owned()));
    let data = Element { children: vec![Node::Element(value)], ..Element::new("EventData") };
    let root = Element {
        children: vec![Node::Element(system), Node::Element(data)],
        ..Element::new("Event")
    };
    Event { root }
}

/// Time, source, id, level, provider.
type Plain = (u64, usize, u64, u64, usize);

const PROVIDERS: [&str; 3] = ["A", "B", "C"];
const START: u64 = 134_000_000_000_000_000;

fn sources(events: &[Plain]) -> Sources {
    let memory = Memory::new(["dc01".to_owned(), "dc02".to_owned()]);
    for (n, (time, source, id, level, provider)) in events.iter().enumerate() {
        let event = event(START + time, *id, *level, PROVIDERS[*provider], "bob");
        memory.store(*source, "System", n as u64, event);
    }
    Sources::new().with(Arc::new(memory))
}

async fn page(sources: &Sources, view: &View, rows: usize) -> (Vec<Place>, bool, u64, Exactness) {
    let wanted = Wanted { rows, ..Wanted::of(view) };
    let search = sources.ask(view, &Person::owner("ann"), wanted.clone()).unwrap();
    search.wait_for_end(Duration::from_secs(30)).await;
    search.look(|state| {
        let (rows, has_more) = state.rows(&wanted);
        let places = rows.iter().map(|row| row.place.clone()).collect();
        (places, has_more, state.counts.events, state.exactness())
    })
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn plain() -> impl Strategy<Value = Vec<Plain>> {
    // Many events of one time: a place has to tell them apart all the same.
    let one = (0_u64..20, 0_usize..2, 1_u64..4, 1_u64..5, 0_usize..3);
    prop::collection::vec(one, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pages_give_every_event_that_matches_once_and_in_order(
        events in plain(), rows in 1_usize..9, oldest_first in any::<bool>(),
        words in prop::sample::select(&["", "id:1", "level:error", "-provider:A", "on:dc01", "on:dc* id:2-3"][..]),
    ) {
        let sources = sources(&events);
        let mut view = View::of(Words::parse(words).unwrap());
        view.order = if oldest_first { Order::Oldest } else { Order::Newest };
        let mut expected: Vec<(u64, usize, u64)> = events
            .iter()
            .enumerate()
            .filter(|(_, (_, source, id, level, provider))| match words {
                "id:1" => *id == 1,
                "level:error" => *level <= 2,
                "-provider:A" => *provider != 0,
                "on:dc01" => *source == 0,
                "on:dc* id:2-3" => (2..=3).contains(id),
                _ => true,
            })
            .map(|(n, (time, source, ..))| (START + time, *source, n as u64))
            .collect();
        expected.sort_unstable();
        if !oldest_first {
            expected.reverse();
        }
        run(async {
            let (mut found, mut at) = (Vec::new(), At::Start);
            let mut pages = Vec::new();
            loop {
                let (places, has_more, counted, exactness) =
                    page(&sources, &view.at(at.clone()), rows).await;
                prop_assert_eq!(counted, expected.len() as u64);
                prop_assert_eq!(exactness, Exactness::Exact);
                found.extend(places.iter().cloned());
                pages.push(places.clone());
                let Some(last) = places.last() else { break };
                at = At::After(last.clone());
                if !has_more {
                    break;
                }
            }
            let found: Vec<_> = found
                .iter()
                .map(|place| {
                    let source = usize::from(place.source == "dc02");
                    (place.time.as_filetime(), source, place.record.unwrap().0)
                })
                .collect();
            prop_assert_eq!(&found, &expected);
            // Back again, page by page.
            for pair in pages.windows(2).rev() {
                if let (Some(first), true) = (pair[1].first(), pair[0].len() == rows) {
                    let before = view.at(At::Before(first.clone()));
                    let (places, ..) = page(&sources, &before, rows).await;
                    prop_assert_eq!(&places, &pair[0]);
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn facets_and_histogram_count_what_a_plain_look_counts(events in plain()) {
        let sources = sources(&events);
        let view = View { facets: vec![quarry_event::output::Column::Data("User".into())], ..View::default() };
        let wanted = Wanted::of(&view);
        let search = sources.ask(&view, &Person::owner("ann"), wanted).unwrap();
        run(search.wait_for_end(Duration::from_secs(30)));
        search.look(|state| {
            let facet = |usual| &state.counts.facets[USUAL.iter().position(|u| *u == usual).unwrap()];
            let count = |test: &dyn Fn(&Plain) -> bool| events.iter().filter(|e| test(e)).count() as u64;
            for (n, name) in PROVIDERS.iter().enumerate() {
                prop_assert_eq!(facet(Usual::Provider).of(name), count(&|e| e.4 == n));
            }
            prop_assert_eq!(facet(Usual::Level).of("error"), count(&|e| e.3 == 2));
            prop_assert_eq!(facet(Usual::On).of("dc02"), count(&|e| e.1 == 1));
            prop_assert_eq!(facet(Usual::Id).of("3"), count(&|e| e.2 == 3));
            prop_assert_eq!(state.counts.facets[USUAL.len()].of("bob"), events.len() as u64);
            let (_, bars) = state.counts.histogram.bars(100);
            let errors = state.counts.histogram.series.iter().position(|kind| **kind == *"error");
            let in_bars: u64 = bars.iter().map(|(_, bar)| errors.map_or(0, |at| bar[at])).sum();
            prop_assert_eq!(in_bars, count(&|e| e.3 == 2));
            Ok(())
        })?;
    }
}

/// What is read as it is asked for, and must not be asked.
struct Live {
    infos: Vec<SourceInfo>,
    is_own: bool,
}

impl Backend for Live {
    fn is_stored(&self) -> bool {
        false
    }

    fn sources(&self) -> &[SourceInfo] {
        &self.infos
    }

    fn reads_as_person(&self) -> bool {
        self.is_own
    }

    fn answer(&self, asked: Asked, _: Vec<usize>, feed: Feed) {
        assert!(!asked.question.filter.tests_rules());
        feed.ended(0, None);
    }

    fn follow(&self, asked: Asked, _: Vec<usize>, _: Arc<Hub>) -> bool {
        assert!(!asked.question.filter.tests_rules());
        true
    }

    fn state(&self) -> Option<u64> {
        None
    }

    fn health(&self, _: &Person) -> Vec<Health> {
        Vec::new()
    }

    fn survey(&self, _: &Person) -> tokio::sync::watch::Receiver<u64> {
        tokio::sync::watch::channel(0).1
    }
}

fn rule(id: &str, title: &str, level: &str) -> Arc<RuleName> {
    let (id, title, level) = (id.to_owned(), title.to_owned(), level.to_owned());
    Arc::new(RuleName { id, title, level, tags: Vec::new() })
}

#[test]
fn stored_events_are_found_by_their_rules_and_others_say_that_they_have_none() {
    let memory = Memory::new(["dc01".to_owned()]);
    let (sync, copies) = (rule("0022869c", "DC Sync", "high"), rule("", "Copies [1]", "low"));
    for (record, rules) in
        [(1, vec![]), (2, vec![Arc::clone(&sync)]), (3, vec![Arc::clone(&copies), sync])]
    {
        let event = event(START + record, 1, 4, "A", "bob");
        memory.store_marked(0, "System", record, event, rules);
    }
    let infos = vec![SourceInfo::new("web01", SourceKind::Server)];
    let live = Live { infos, is_own: false };
    let sources = Sources::new().with(Arc::new(memory)).with(Arc::new(live));
    let ask = |words: &str| {
        let view = View::of(Words::parse(words).unwrap());
        let wanted = Wanted::of(&view);
        let search = sources.ask(&view, &Person::owner("ann"), wanted.clone()).unwrap();
        run(search.wait_for_end(Duration::from_secs(30)));
        search.look(|state| {
            let (rows, _) = state.rows(&wanted);
            let records: Vec<u64> =
                rows.iter().filter_map(|row| Some(row.place.record?.0)).collect();
            let troubles: Vec<_> = state.troubles.iter().map(|t| t.source.clone()).collect();
            let place = USUAL.iter().position(|usual| *usual == Usual::Rule).unwrap();
            let facet = state.counts.facets[place].clone();
            (records, troubles, facet, state.exactness())
        })
    };
    let web01 = vec!["web01".to_owned()];
    for (words, expected) in [
        ("rule:0022869C", &[3, 2][..]),
        ("rule:\"dc sync\"", &[3, 2]),
        ("rule:copies*", &[3]),
        ("-rule:copies*", &[2, 1]),
        ("rule:*sync -rule:*copies*", &[2]),
        ("rule:nothing", &[]),
    ] {
        let (records, troubles, facet, exactness) = ask(words);
        assert_eq!((&*records, &troubles), (expected, &web01), "{words}");
        assert_ne!(exactness, Exactness::Exact, "{words}");
        assert_eq!(facet.of("0022869c"), records.iter().filter(|n| **n > 1).count() as u64);
    }
    let (records, troubles, facet, _) = ask("");
    assert_eq!((&*records, &*troubles), (&[3, 2, 1][..], &[][..]));
    assert_eq!(facet.top(9), [("0022869c", 2), ("Copies [1]", 1)]);
    assert_eq!(facet.name("0022869c"), "DC Sync");
    // The word for a rule's own name means it and no other.
    let (records, ..) = ask(&format!("rule:\"{}\"", literal_text("Copies [1]")));
    assert_eq!(records, [3]);

    let view = View::of(Words::parse("rule:*").unwrap());
    let hubs = Hubs::default();
    let hub = sources.follow(&hubs, &view, &Person::owner("ann"), Wanted::of(&view)).unwrap();
    let since = hub.unwrap().since(0);
    assert!(since.is_over);
    assert!(format!("{:?}", since.items).contains(NO_RULES));
}

#[tokio::test]
async fn what_is_read_as_the_program_is_followed_once_for_all_who_may_read_the_same() {
    let rules = Rules::parse(
        "[sign-in]\ngroups = [\"admins\", \"night\", \"desk\"]\n\
         [access.all]\ngroups = [\"admins\", \"night\"]\non = [\"*\"]\nlogs = [\"*\", \"Security\"]\n\
         [access.desk]\ngroups = [\"desk\"]\non = [\"*\"]\nlogs = [\"System\"]\n",
        &Inventory::default(),
    );
    let rules = rules.unwrap();
    let person =
        |name: &str, group: &str| Person::member(name, vec![group.to_owned()], &rules, None);
    let (ann, bob, dora) =
        (person("ann", "admins"), person("bob", "night"), person("dora", "desk"));
    let of = |kind, is_own| {
        let live = Live { infos: vec![SourceInfo::new("web01", kind)], is_own };
        Sources::new().with(Arc::new(live))
    };
    let (servers, files) = (of(SourceKind::Server, false), of(SourceKind::File, true));
    let view = View::default();
    for (sources, is_shared) in [(servers, true), (files, false)] {
        let hubs = Hubs::default();
        let follow = |person: &Person| {
            sources.follow(&hubs, &view, person, Wanted::of(&view)).unwrap().unwrap()
        };
        let hub = follow(&ann);
        assert!(Arc::ptr_eq(&hub, &follow(&ann)));
        assert_eq!(Arc::ptr_eq(&hub, &follow(&bob)), is_shared);
        assert!(!Arc::ptr_eq(&hub, &follow(&dora)), "she may read less");
        assert!(!Arc::ptr_eq(&hub, &follow(&Person::owner("ann"))), "who may read more");
    }
}

#[test]
fn sources_are_asked_by_name_range_glob_and_group() {
    let info = |name: &str| SourceInfo::new(name, SourceKind::Stored);
    let is_meant = |text: &str, source: &SourceInfo| matcher(text)(source);
    let dc07 = info("dc07").in_groups(vec!["dcs".to_owned()]);
    for text in ["dc07", "DC07", "dc*", "dc[01:12]", "@dcs", "@all"] {
        assert!(is_meant(text, &dc07), "{text}");
    }
    for text in ["dc08", "dc", "dc[01:06]", "@web"] {
        assert!(!is_meant(text, &dc07), "{text}");
    }
    let file = SourceInfo::new("logs/a/Security.evtx", SourceKind::File);
    assert!(is_meant("security.evtx", &file));
    assert!(is_meant(&literal_text("logs/a/Security.evtx"), &file));
    let sources = sources(&[]);
    let problem = sources.choose(&Words::parse("on:dc11").unwrap(), From::Both).unwrap_err();
    assert!(problem.detail.contains("did you mean dc01?"), "{}", problem.detail);
}

#[test]
fn what_was_found_for_one_question_is_kept_until_something_is_stored() {
    let memory = Arc::new(Memory::new(["dc01".to_owned()]));
    let sources = Sources::new().with(Arc::clone(&memory) as _);
    let count = || run(page(&sources, &View::default(), 10)).2;
    assert_eq!((count(), count()), (0, 0));
    memory.store(0, "System", 1, event(START, 1, 4, "A", "bob"));
    assert_eq!(count(), 1);
}
