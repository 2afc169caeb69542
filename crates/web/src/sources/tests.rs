//! Answers against a plain look at every event.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use quarry_event::words::Words;
use quarry_event::{Element, Event, EventTime, Node};

use super::*;
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
                    (place.time.as_filetime(), source, place.record.unwrap())
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
