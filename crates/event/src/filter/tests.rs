//! Tests of filters as a whole.

use std::ops::ControlFlow;

use proptest::prelude::*;

use super::*;
use crate::query::Scratch;
use crate::testing::{TypedEvent, event, events, filters, now, pushable_filters, tidy_events};
use crate::{Event, FieldSource};

const EVENT: &str = r#"<Event><System><Provider Name="Service Control Manager"/>
    <EventID Qualifiers="16384">7045</EventID><Level>4</Level><Keywords>0x8080000000000000</Keywords>
    <TimeCreated SystemTime="2026-08-22T10:00:00.1234567Z"/><Channel>System</Channel>
    <Computer>DC01.corp</Computer><Security UserID="S-1-5-18"/></System>
    <EventData><Data Name="ServiceName">PSEXESVC</Data><Data>unnamed</Data>
    <Data Name="ServiceName">second</Data><Data Name="Empty"/></EventData>
    <UserData><X a="attribute"><Y>two <Z/>parts</Y></X></UserData></Event>"#;

fn passes(filter: Filter) -> bool {
    filter.matcher(now()).matches(&event(EVENT), None)
}

fn time(text: &str) -> Option<EventTime> {
    Some(EventTime::parse(text).unwrap())
}

#[test]
fn both_bounds_of_time_are_inclusive() {
    let exact = time("2026-08-22T10:00:00.1234567Z");
    assert!(passes(Filter { since: exact, until: exact, ..Filter::default() }));
    assert!(!passes(Filter { since: time("2026-08-22T10:00:00.1234568Z"), ..Filter::default() }));
    assert!(!passes(Filter { until: time("2026-08-22T10:00:00.1234566Z"), ..Filter::default() }));
}

#[test]
fn names_are_tested_as_globs() {
    let globs = |texts: &[&str]| texts.iter().map(|text| Glob::parse(text).unwrap()).collect();
    assert!(passes(Filter { providers: globs(&["x", "service*"]), ..Filter::default() }));
    assert!(!passes(Filter { providers: globs(&["Service"]), ..Filter::default() }));
    assert!(passes(Filter { computers: globs(&["dc??.*"]), ..Filter::default() }));
    assert!(passes(Filter { computers: globs(&["dc01.CORP"]), ..Filter::default() }));
    assert!(!passes(Filter { not_channels: globs(&["sys*"]), ..Filter::default() }));
    assert!(passes(Filter { not_channels: globs(&["security"]), ..Filter::default() }));
}

#[test]
fn channels_are_tested_for_sources_that_mix_them() {
    let of = |texts: &[&str], event: &Event| {
        let globs: Vec<_> = texts.iter().map(|text| Glob::parse(text).unwrap()).collect();
        Filter::default().matcher(now()).in_channels(&globs).matches(event, None)
    };
    let system = event(EVENT);
    assert!(of(&["system"], &system));
    assert!(of(&["SYSTEM"], &system));
    assert!(of(&["Security", "sys*"], &system));
    assert!(!of(&["Security"], &system));
    assert!(of(&[], &system));
    let nowhere = event("<Event><System><EventID>1</EventID></System></Event>");
    assert!(!of(&["system"], &nowhere));
    assert!(!of(&["?*"], &nowhere));
    // All channels is no choice, so that an event without one is among them.
    assert!(of(&["*"], &nowhere));
    assert!(of(&["system", "**"], &nowhere));
}

#[test]
fn data_tests_have_all_to_pass() {
    let data = |texts: &[&str]| {
        let data = texts.iter().map(|text| DataTest::parse(text).unwrap()).collect();
        passes(Filter { data, ..Filter::default() })
    };
    assert!(data(&["ServiceName=PSEXESVC"]));
    assert!(data(&["ServiceName=PSEXESVC", "ServiceName=second", "ServiceName~=^P.*C$"]));
    assert!(data(&["param2=unnamed"]));
    assert!(data(&["Empty="]));
    assert!(!data(&["ServiceName=psexe"]));
    assert!(!data(&["param1=unnamed"]));
    assert!(!data(&["param1=PSEXESVC"]));
    assert!(!data(&["Absent~=.*"]));
    assert!(!data(&["ServiceName=second", "Absent=x"]));
    assert!(data(&["ServiceName=second"; 65]));
    let mut many = vec!["ServiceName=second"; 65];
    many.push("ServiceName=third");
    assert!(!data(&many));
}

#[test]
fn data_ignores_case_and_takes_globs() {
    let data = |test: &str| {
        let data = vec![DataTest::parse(test).unwrap()];
        passes(Filter { data, ..Filter::default() })
    };
    assert!(data("ServiceName=psexesvc"));
    assert!(data("SERVICENAME=PsExeSvc"));
    assert!(data("ServiceName=psexe*"));
    assert!(data("ServiceName=?sexesv[c]"));
    assert!(data("PARAM2=Unnamed"));
    assert!(data("ServiceName~=psexe"));
    assert!(!data("ServiceName~=Psexe"));
    assert!(!data("ServiceName=*x"));
}

#[test]
fn the_values_of_user_data_count_by_their_names() {
    // As the logs of Windows have it: that a log was cleared, and a remote session.
    let cleared = event(
        "<Event><System><EventID>1102</EventID></System><UserData><LogFileCleared \
         xmlns='http://manifests.microsoft.com/win/2004/08/windows/eventlog'><SubjectUserSid>\
         S-1-5-21-1</SubjectUserSid><SubjectUserName>bob</SubjectUserName><a:Deep xmlns:a='x'><a:er>\
         yes</a:er>or</a:Deep><Param Name='Named'>n</Param></LogFileCleared></UserData></Event>",
    );
    let passes = |test: &str| {
        let data = vec![DataTest::parse(test).unwrap()];
        let filter = Filter { data, ..Filter::default() };
        let mut matcher = filter.matcher(now());
        let passes = matcher.matches(&cleared, None);
        assert!(!(passes && matcher.rules_out(&cleared)), "{test}");
        assert!(!passes || is_selected(&filter.to_xpath(&XPathLimits::default()), &cleared));
        passes
    };
    for (test, expected) in [
        ("SubjectUserName=bob", true),
        ("subjectusername=BOB", true),
        ("SubjectUserName~=^b", true),
        ("er=yes", true),
        ("a:er=yes", true),
        ("Named=n", true),
        ("Param=n", false),
        ("Deep=or", false),
        ("SubjectUserName=alice", false),
        ("LogFileCleared=*", false),
        ("xmlns=*", false),
    ] {
        assert_eq!(passes(test), expected, "{test}");
    }
}

#[test]
fn a_negation_keeps_events_without_the_value() {
    let keeps = |filter: Filter| passes(Filter { not: vec![filter], ..Filter::default() });
    let ids = |text| Filter { ids: Some(Ids::parse(text).unwrap()), ..Filter::default() };
    let data = |text| Filter { data: vec![DataTest::parse(text).unwrap()], ..Filter::default() };
    assert!(!keeps(ids("7045")));
    assert!(keeps(ids("7046")));
    assert!(!keeps(data("servicename=second")));
    assert!(keeps(data("ServiceName=third")));
    assert!(keeps(data("Absent=x")));
    let empty = event("<Event><System/></Event>");
    let filter = Filter { not: vec![ids("7045")], ..Filter::default() };
    assert!(filter.matcher(now()).matches(&empty, None));
    assert!(!filter.to_xpath(&XPathLimits::default()).exact);
}

#[test]
fn a_negated_expression_is_looked_for_in_the_message_too() {
    let grep =
        |text: &str| Filter { grep: vec![Pattern::parse(text).unwrap()], ..Filter::default() };
    let matches = |filter: &Filter, message| filter.matcher(now()).matches(&event(EVENT), message);
    let not = Filter { not: vec![grep("installed")], ..Filter::default() };
    assert!(matches(&not, None));
    assert!(matches(&not, Some("removed")));
    assert!(!matches(&not, Some("installed")));
    let both = Filter { not: vec![grep("installed")], ..grep("service") };
    assert!(!matches(&both, Some("a service was installed")));
    assert!(matches(&both, Some("a service was removed")));
    assert!(!matches(&Filter { not: vec![grep("psexesvc")], ..grep("second") }, None));
}

#[test]
fn grep_finds_a_value_with_its_name_as_it_is_printed() {
    let found = |text: &str| {
        let grep = vec![Pattern::parse(text).unwrap()];
        passes(Filter { grep, ..Filter::default() })
    };
    assert!(found("ServiceName=PSEXESVC"));
    assert!(found("^ServiceName=second$"));
    assert!(found("servicename=psexe"));
    assert!(!found("ServiceName=unnamed"));
    assert!(!found("EventID=7045"));
    let user = event("<Event><UserData><X><Y>yes</Y></X></UserData></Event>");
    let filter = Filter { grep: vec![Pattern::parse("^Y=yes$").unwrap()], ..Filter::default() };
    assert!(filter.matcher(now()).matches(&user, None));
}

#[test]
fn grep_looks_at_data_user_data_and_the_message() {
    let matcher = |text: &str, message: Option<&str>| {
        let filter = Filter { grep: vec![Pattern::parse(text).unwrap()], ..Filter::default() };
        filter.matcher(now()).matches(&event(EVENT), message)
    };
    assert!(matcher("^unnamed$", None));
    assert!(matcher("^attribute$", None));
    assert!(matcher("^two $", None));
    assert!(!matcher("two parts", None));
    assert!(!matcher("Control", None));
    assert!(!matcher("installed", None));
    assert!(matcher("installed", Some("A service was installed")));
}

#[test]
fn a_message_is_asked_for_only_when_it_decides() {
    let filter = |ids, grep| Filter {
        ids: Some(Ids::parse(ids).unwrap()),
        grep: vec![Pattern::parse(grep).unwrap()],
        ..Filter::default()
    };
    let verdict = |filter: Filter| filter.matcher(now()).verdict(&event(EVENT));
    assert_eq!(verdict(filter("7045", "installed")), Verdict::IfMessageMatches);
    assert_eq!(verdict(filter("7045", "PSEXE")), Verdict::Yes);
    assert_eq!(verdict(filter("7046", "installed")), Verdict::No);
}

#[test]
fn an_absent_field_passes_no_test() {
    let empty = event("<Event><System><EventID/></System></Event>");
    for filter in [
        Filter { ids: Some(Ids::parse("!1").unwrap()), ..Filter::default() },
        Filter { since: Some(EventTime::default()), ..Filter::default() },
        Filter { levels: Some(Levels::parse("verbose").unwrap()), ..Filter::default() },
        Filter { providers: vec![Glob::parse("*").unwrap()], ..Filter::default() },
        Filter { users: vec![Glob::parse("*").unwrap()], ..Filter::default() },
        Filter { data: vec![DataTest::parse("A~=").unwrap()], ..Filter::default() },
    ] {
        assert!(!filter.matcher(now()).matches(&empty, None), "{filter:?}");
    }
    assert!(Filter::default().matcher(now()).matches(&empty, None));
}

/// Whether a server would send the event.
fn is_selected(pushed: &Pushed, event: &impl FieldSource) -> bool {
    pushed.selects.iter().any(|select| {
        let query = Query::parse(select).unwrap_or_else(|error| panic!("{select}: {error}"));
        query.compile(now()).matches(event, &mut Scratch::default())
    })
}

fn limits() -> impl Strategy<Value = XPathLimits> {
    (0usize..24, 0usize..4).prop_map(|(expressions, selects)| XPathLimits { expressions, selects })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_server_is_asked_for_all_that_the_filter_passes(
        filter in filters(),
        events in prop::collection::vec(events(), 1..6),
        limits in limits(),
    ) {
        let mut matcher = filter.matcher(now());
        for strength in Strength::ALL {
            let pushed = filter.select(strength, &limits);
            prop_assert!(!pushed.selects.is_empty());
            prop_assert!(pushed.selects.len() <= limits.selects.max(1));
            for event in &events {
                let passes = matcher.matches(event, None);
                let selected = is_selected(&pushed, event);
                prop_assert!(selected || !passes, "{:?} {:?}", strength, pushed);
                if pushed.exact {
                    prop_assert_eq!(selected, passes, "{:?} {:?}", strength, pushed);
                }
            }
        }
    }

    #[test]
    fn a_filter_that_is_wholly_written_selects_what_it_passes(
        filter in pushable_filters(),
        events in prop::collection::vec(prop_oneof![tidy_events(), events()], 1..8),
    ) {
        let pushed = filter.to_xpath(&XPathLimits::default());
        let whole_milliseconds = [filter.since, filter.until]
            .iter()
            .flatten()
            .all(|time| time.as_filetime() % EventTime::MILLISECOND == 0);
        prop_assert_eq!(pushed.exact, whole_milliseconds, "{:?}", pushed);
        let mut matcher = filter.matcher(now());
        for event in events.iter().filter(|_| pushed.exact) {
            prop_assert_eq!(is_selected(&pushed, event), matcher.matches(event, None), "{:?}", pushed);
        }
        let list = query_lists(&["Security"], &pushed.selects).remove(0);
        let list = Query::parse(&list).unwrap().compile(now());
        for event in &events {
            let in_channel = event.field(crate::Field::Channel).is_text("Security");
            prop_assert_eq!(
                list.matches(event, &mut Scratch::default()),
                in_channel && is_selected(&pushed, event)
            );
        }
    }

    #[test]
    fn typed_and_decoded_events_pass_alike(
        filter in filters(),
        event in events(),
        seed in any::<u64>(),
    ) {
        let typed = TypedEvent::new(&event, seed);
        let mut matcher = filter.matcher(now());
        prop_assert_eq!(matcher.verdict(&event), matcher.verdict(&typed), "{:?}", typed);
        prop_assert_eq!(crate::Event::from_source(&typed), event);
    }

    #[test]
    fn an_exact_data_test_is_written_so_that_nothing_is_lost(
        event in events(),
        at in any::<prop::sample::Index>(),
    ) {
        let mut tests = Vec::new();
        let _ = event.each_data(|name, value| {
            tests.push(match name {
                Some(name) => format!("{}={value}", name.as_str()),
                None => format!("param{}={value}", tests.len() + 1),
            });
            ControlFlow::Continue(())
        });
        tests.push("A=alice".to_owned());
        let test = at.get(&tests);
        let filter = Filter { data: vec![DataTest::parse(test).unwrap()], ..Filter::default() };
        let pushed = filter.to_xpath(&XPathLimits::default());
        let passes = filter.matcher(now()).matches(&event, None);
        prop_assert!(passes || at.index(tests.len()) + 1 == tests.len(), "{}", test);
        prop_assert!(!passes || !filter.matcher(now()).rules_out(&event), "{}", test);
        prop_assert!(!passes || is_selected(&pushed, &event), "{} {:?}", test, pushed);
    }
}

#[test]
fn ids_widened_to_all_are_not_asked_for() {
    // Found by a property test: a number below 0 is in a range from 0 on, and not in `>=0`.
    let filter = Filter { ids: Some(Ids::parse("!4618,!4624").unwrap()), ..Filter::default() };
    let event = event("<Event><System><EventID>-5</EventID></System></Event>");
    assert!(filter.matcher(now()).matches(&event, None));
    for expressions in 0..8 {
        let pushed = filter.to_xpath(&XPathLimits { expressions, selects: 1 });
        assert!(is_selected(&pushed, &event), "{pushed:?}");
    }
}

#[test]
fn generated_filters_and_events_do_meet() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut passed, mut exact, mut tested) = (0, 0, 0);
    for _ in 0..300 {
        let filter = pushable_filters().new_tree(&mut runner).unwrap().current();
        exact += usize::from(filter.to_xpath(&XPathLimits::default()).exact);
        for _ in 0..10 {
            let event = events().new_tree(&mut runner).unwrap().current();
            passed += usize::from(filter.matcher(now()).matches(&event, None));
            tested += 1;
        }
    }
    assert!(passed > tested / 20 && passed < tested / 2, "{passed} of {tested}");
    assert!(exact > 100, "{exact} of 300");
}

#[test]
fn a_route_asks_each_channel_for_its_own_ids() {
    let route = |channel: &str, ids: Option<&[u64]>| Route {
        channel: channel.to_owned(),
        ids: ids.map(|ids| Ids::of(ids.iter().copied())),
    };
    let routes =
        vec![route("Security", Some(&[4624, 4625])), route("System", None), route("A", Some(&[1]))];
    let filter = Filter { routes, ids: Some(Ids::parse("1-4624").unwrap()), ..Filter::default() };
    let ids = |channel| filter.of_channel(channel).map(|filter| filter.ids.unwrap());
    assert_eq!(ids("security"), Some(Ids::of([4624])));
    assert_eq!(ids("System"), filter.ids);
    assert_eq!(ids("Application"), None);
    let outside = Filter { ids: Some(Ids::of([7])), ..filter.clone() };
    assert_eq!(outside.of_channel("Security"), None);
    let matches = |channel: &str, id: &str| {
        let system = format!("<EventID>{id}</EventID><Channel>{channel}</Channel>");
        let event = crate::testing::event(&format!("<Event><System>{system}</System></Event>"));
        filter.matcher(EventTime::default()).matches(&event, None)
    };
    assert!(matches("SECURITY", "4624"));
    assert!(matches("System", "12"));
    assert!(!matches("Security", "12"));
    assert!(!matches("Security", "4625"));
    assert!(!matches("Application", "12"));
}
