//! What is filtered is filtered by the server: seen in what it was asked, and in what it sent.

use quarry_even::Win32Error;
use quarry_sim::{Fault, QueryEntry};

use super::*;

/// What a server was asked, in order.
fn asked(fleet: &Fleet, server: &str) -> Vec<QueryEntry> {
    fleet.sim.queries().into_iter().filter(|query| query.server == server).collect()
}

/// The one thing that it was asked.
fn question(fleet: &Fleet, server: &str) -> QueryEntry {
    let mut asked = asked(fleet, server);
    assert_eq!(asked.len(), 1, "{asked:?}");
    asked.remove(0)
}

fn sent(fleet: &Fleet, server: &str) -> usize {
    fleet.sim.server(server).unwrap().stats().records_sent as usize
}

/// A time with the three digits of a second that every Windows takes, not rounded up.
fn to_milliseconds(time: EventTime) -> (EventTime, String) {
    let down = time.as_filetime() / EventTime::MILLISECOND * EventTime::MILLISECOND;
    let down = EventTime::from_filetime(down);
    let text = down.to_string();
    let (seconds, fraction) = text.trim_end_matches('Z').split_once('.').unwrap();
    (down, format!("{seconds}.{}Z", &fraction[..3]))
}

#[test]
fn since_is_asked_of_the_server_rounded_down_and_the_rest_is_not_sent() {
    let fleet = Fleet::new(servers(2), 300);
    let known = fleet.known("server01", "System");
    let since = time(&known[199].1);
    let ran = fleet.scan(&["@all", "--since", &since.to_string()]);
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    assert_eq!(ran.by_host(), fleet.everywhere(|event| time(event) >= since));
    assert_eq!(ran.by_host()["server01"], (200..=300).collect::<Vec<_>>());
    let (down, text) = to_milliseconds(since);
    for server in ["server01", "server02"] {
        let QueryEntry { path, query, status, .. } = question(&fleet, server);
        assert_eq!(path.as_deref(), Some("System"));
        assert_eq!(query, format!("*[System[TimeCreated[@SystemTime>='{text}']]]"));
        assert_eq!(status, Win32Error::SUCCESS);
        let expected = fleet.numbers(server, "System", |event| time(event) >= down);
        assert_eq!(sent(&fleet, server), expected.len());
    }
}

#[test]
fn until_is_asked_rounded_up() {
    let fleet = Fleet::new(servers(1), 300);
    let known = fleet.known("server01", "System");
    let until = time(&known[99].1);
    let ran = fleet.scan(&["@all", "--until", &until.to_string()]);
    assert_eq!(ran.by_host(), fleet.everywhere(|event| time(event) <= until));
    assert_eq!(ran.by_host()["server01"].last(), Some(&100));
    let up = EventTime::from_filetime(until.as_filetime() + EventTime::MILLISECOND - 1);
    let QueryEntry { query, .. } = question(&fleet, "server01");
    let text = to_milliseconds(up).1;
    assert_eq!(query, format!("*[System[TimeCreated[@SystemTime<='{text}']]]"));
}

#[test]
fn eight_hours_are_those_until_now() {
    let fleet = Fleet::start(servers(3), |options| {
        options.events = 300;
        options.every = Duration::from_secs(180);
    });
    let hours = |now: jiff::Timestamp| {
        let ago = now.checked_sub(jiff::SignedDuration::from_hours(8)).unwrap();
        EventTime::from_timestamp(ago)
    };
    let before = hours(jiff::Timestamp::now());
    let ran = fleet.scan(&["@all", "--since", "8h"]);
    let after = hours(jiff::Timestamp::now());
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    // An event may be eight hours old just while it runs.
    let came = ran.by_host();
    let (most, least) = (
        fleet.everywhere(|event| time(event) >= before),
        fleet.everywhere(|event| time(event) >= after),
    );
    assert!(came == most || came == least, "{came:?}");
    assert!(most.values().all(|numbers| (158..=162).contains(&numbers.len())));
    for server in ["server01", "server02", "server03"] {
        let QueryEntry { query, .. } = question(&fleet, server);
        let text = query.strip_prefix("*[System[TimeCreated[@SystemTime>='").unwrap();
        let since = EventTime::parse(text.strip_suffix("']]]").unwrap()).unwrap();
        let earliest = before.as_filetime() - EventTime::MILLISECOND;
        assert!((earliest..=after.as_filetime()).contains(&since.as_filetime()), "{query}");
        assert!((158..=162).contains(&sent(&fleet, server)));
    }
}

#[test]
fn ids_and_levels_are_asked_of_the_server() {
    type Case = (&'static [&'static str], fn(&Event) -> bool, &'static [&'static str]);
    let cases: [Case; 4] = [
        (&["-i", "7036"], |event| number(event, Field::EventId) == 7036, &["EventID=7036"]),
        (
            &["-i", "16-41,!19"],
            |event| matches!(number(event, Field::EventId), 16..=18 | 20..=41),
            &["EventID>=20", "EventID<=41"],
        ),
        (&["-p", "error"], |event| matches!(number(event, Field::Level), 1 | 2), &["Level"]),
        (
            &["-i", "7031,10016", "-p", "warning"],
            |event| {
                matches!(number(event, Field::EventId), 7031 | 10016)
                    && matches!(number(event, Field::Level), 1..=3)
            },
            &["EventID=7031", "EventID=10016", "Level"],
        ),
    ];
    for (args, passes, texts) in cases {
        let fleet = Fleet::new(servers(2), 300);
        let ran = fleet.scan(&[&["@all"], args].concat());
        let expected = fleet.everywhere(passes);
        assert_eq!(ran.by_host(), expected, "{args:?}: {}", ran.shown());
        for (server, numbers) in &expected {
            assert!((5..250).contains(&numbers.len()), "{args:?}: the test asks too little");
            let QueryEntry { query, .. } = question(&fleet, server);
            assert!(texts.iter().all(|text| query.contains(text)), "{args:?}: {query}");
            assert_eq!(sent(&fleet, server), numbers.len(), "{args:?}");
        }
    }
}

#[test]
fn many_ids_are_asked_in_several_selects_each_within_what_windows_takes() {
    let fleet = Fleet::new(servers(1), 300);
    let ids: Vec<u64> = (0..60).map(|n| 16 + 3 * n).chain([7036]).collect();
    let list = ids.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let ran = fleet.scan(&["@all", "-i", &list]);
    let expected = fleet.everywhere(|event| ids.contains(&number(event, Field::EventId)));
    assert_eq!(ran.by_host(), expected, "{}", ran.shown());
    // One that has too many is refused by the server.
    let QueryEntry { query, path, status, .. } = question(&fleet, "server01");
    assert_eq!((path, status), (None, Win32Error::SUCCESS));
    assert!((3..=8).contains(&query.matches("<Select ").count()), "{query}");
    assert_eq!(sent(&fleet, "server01"), expected["server01"].len());
}

#[test]
fn a_server_that_refuses_the_filter_is_asked_for_everything_and_it_is_tested_here() {
    let options = vec![ServerOptions::new("server01").with(Fault::FewClauses(1))];
    let fleet = Fleet::new(options, 300);
    let ran = fleet.scan(&["@all", "-i", "7036,10016", "-p", "warning"]);
    let passes = |event: &Event| {
        matches!(number(event, Field::EventId), 7036 | 10016)
            && matches!(number(event, Field::Level), 1..=3)
    };
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    assert_eq!(ran.by_host(), fleet.everywhere(passes));
    let asked = asked(&fleet, "server01");
    let [refused, taken] = &*asked else { panic!("{asked:?}") };
    assert_eq!(refused.status, Win32Error::EVT_INVALID_QUERY);
    assert_eq!((&*taken.query, taken.status), ("*", Win32Error::SUCCESS));
    assert_eq!(sent(&fleet, "server01"), 300);
}

#[test]
fn a_server_that_refuses_a_clause_sends_no_more_than_it_must_and_v_says_what() {
    for (kinds, taken) in
        [(1, "the filter without wildcards"), (3, "the filter's time"), (4, "everything")]
    {
        let options = vec![ServerOptions::new("server01").with(Fault::RefuseQuery(kinds))];
        let fleet = Fleet::new(options, 300);
        let arguments = ["@all", "-v", "-i", "7036", "--data", "param1=x", "-S", "2020-01-01"];
        let ran = fleet.scan(&arguments);
        let told = format!("server01: refuses the filter, and sends {taken}");
        assert!(ran.shown().to_string().contains(&told), "{}", ran.shown());
        assert_eq!(sent(&fleet, "server01") == 300, kinds > 1);
    }
}

#[test]
fn no_more_lines_than_wanted_are_asked_for_and_a_server_skips_the_rest() {
    let fleet = Fleet::new(servers(3), 300);
    let ran = fleet.scan(&["@all", "-n", "5", "-r"]);
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    ran.line("3 of 3 servers answered; ");
    for server in ["server01", "server02", "server03"] {
        assert_eq!(ran.by_host()[server], [300, 299, 298, 297, 296]);
        // 2.2.4's flag for newest first.
        assert_eq!(question(&fleet, server).flags & 0x300, 0x200);
        assert_eq!(sent(&fleet, server), 5);
    }
}

#[test]
fn the_newest_of_several_logs_are_those_by_time() {
    let fleet = Fleet::new(servers(2), 300);
    let ran = fleet.scan(&["@all", "-n", "7", "-r", "-l", "System", "-l", "Security"]);
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    let place = |event: &Json| {
        (event["log"].as_str().unwrap().to_owned(), event["log_record"].as_u64().unwrap())
    };
    for server in ["server01", "server02"] {
        let mut all: Vec<_> = ["System", "Security"]
            .iter()
            .flat_map(|log| fleet.known(server, log).into_iter().map(move |known| (log, known)))
            .map(|(log, (number, event))| (time(&event), ((*log).to_owned(), number)))
            .collect();
        all.sort();
        let expected: Vec<_> = all.into_iter().rev().take(7).map(|(_, place)| place).collect();
        let came = ran.json().into_iter().filter(|event| event["host"] == server);
        assert_eq!(came.map(|event| place(&event)).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn an_empty_answer_says_that_no_log_was_named() {
    let fleet = Fleet::new(servers(2), 20);
    let said = "no log was named, so servers were read as usual";
    let empty = fleet.scan(&["@all", "-i", "65535"]);
    assert_eq!(empty.status, Some(1), "{}", empty.shown());
    assert!(empty.shown().contains(said), "{}", empty.shown());
    for some in [&["@all", "-i", "65535", "-l", "System"][..], &["@all", "-n", "1"]] {
        let ran = fleet.scan(some);
        assert!(!ran.shown().contains(said), "{}", ran.shown());
    }
}
