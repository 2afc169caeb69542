//! Queries.

use quarry_event::filter::{Filter, Glob, Ids};
use quarry_eventlog::Bookmark;

use super::*;

const BOTH: [Direction; 2] = [Direction::Forward, Direction::Backward];

#[tokio::test]
async fn batches_that_are_too_large_are_asked_for_again_and_each_record_comes_once() {
    for limit in [200_000, 60_000, 20_000, 9_000] {
        let sim = fred(&[&format!("big-batch:{limit}")]).await;
        let log = open(&sim).await;
        for direction in BOTH {
            for logs in [&LOGS[..1], &LOGS] {
                let before = sim.queries().len();
                let came = read(&log, &query(logs, direction)).await.unwrap();
                assert_eq!(came.damage, []);
                assert_eq!(came.records.len(), logs.len() * EVENTS as usize);
                for log in logs {
                    assert_eq!(came.of(log), numbers(1..=EVENTS, direction), "{log} {limit}");
                }
                // As one log, in the order of time.
                let mut times = came.times.clone();
                if direction == Direction::Backward {
                    times.reverse();
                }
                assert!(times.is_sorted());
                // It was as it should be: 50 records have more than 100,000 bytes.
                let opened = sim.queries().len() - before;
                assert!(limit == 200_000 || opened > 1, "{limit}: opened {opened} times");
            }
        }
    }
}

#[tokio::test]
async fn records_that_are_too_large_by_themselves_are_skipped_and_told_wherever_they_are() {
    // Before all others, in their midst, at the end; one, some, and more than a batch is halved.
    for (before, many, behind) in
        [(0, 1, 5), (7, 1, 5), (7, 1, 0), (60, 3, 60), (3, 40, 3), (0, 2, 0)]
    {
        let sim = fred_with(&["big-batch:20000"], 0).await;
        let server = &sim.servers()[0];
        for _ in 0..before {
            server.append("Setup", &large(1000)).unwrap();
        }
        for _ in 0..many {
            server.append("Setup", &large(60_000)).unwrap();
        }
        for _ in 0..behind {
            server.append("Setup", &large(1000)).unwrap();
        }
        let log = open(&sim).await;
        for direction in BOTH {
            let came = read(&log, &query(&["Setup"], direction)).await.unwrap();
            let what = format!("{before} {many} {behind} {direction:?}");
            let small = (1..=before).chain(before + many + 1..=before + many + behind);
            assert_eq!(came.of("Setup"), numbers(small, direction), "{what}");
            let (first, last) = match direction {
                Direction::Forward => (before, before),
                Direction::Backward => (behind, before + many + 1),
            };
            assert!(came.damage_at.iter().all(|at| *at as u64 == first), "{what}");
            let next = match direction {
                Direction::Forward => (behind > 0).then_some(before + many + 1),
                Direction::Backward => (before > 0).then_some(before),
            };
            let last = (first > 0).then_some(last);
            let expected = Damage::TooLarge(hole("Setup", last, next, Some(many)));
            assert!(expected.is_hole());
            assert_eq!(came.damage, [expected], "{what}");
        }
    }
}

#[tokio::test]
async fn a_query_goes_on_behind_its_bookmark_without_a_gap_in_either_direction() {
    let sim = fred(&["big-batch:60000"]).await;
    for direction in BOTH {
        for logs in [&LOGS[..1], &LOGS] {
            let mut query = query(logs, direction);
            let whole = read(&open(&sim).await, &query).await.unwrap();
            let mut parts = Vec::new();
            // A connection each time, as after a restart; three batches of each.
            for _ in 0..1000 {
                let mut batches = open(&sim).await.query(&query).await.unwrap();
                let came = take(&mut *batches, 120).await;
                assert_eq!(came.damage, []);
                query.after = batches.bookmark().cloned();
                if came.records.is_empty() {
                    break;
                }
                parts.extend(came.records);
            }
            assert_eq!(parts, whole.records);
        }
    }
}

#[tokio::test]
async fn what_is_gone_behind_a_bookmark_is_told_and_the_rest_is_read() {
    // Overwritten: the oldest 149 of 300 records.
    let sim = fred(&[]).await;
    let log = open(&sim).await;
    let server = &sim.servers()[0];
    server.wrap("System", 150).unwrap();
    let overwritten =
        |after, before| [Damage::Overwritten(hole("System", Some(after), before, None))];
    let mut forward = query(&["System"], Direction::Forward);
    forward.after = Some(Bookmark::single("System", 100));
    let came = read(&log, &forward).await.unwrap();
    assert_eq!(came.of("System"), numbers(150..=300, Direction::Forward));
    assert_eq!(
        (&came.damage[..], &came.damage_at[..]),
        (&overwritten(100, Some(150))[..], &[0][..])
    );
    // Who reads newest first has nothing of it left.
    let mut backward = query(&["System"], Direction::Backward);
    backward.after = Some(Bookmark::single("System", 100));
    let came = read(&log, &backward).await.unwrap();
    assert_eq!((came.records.len(), &came.damage[..]), (0, &overwritten(100, None)[..]));
    // A bookmark on what is there yet is no matter.
    forward.after = Some(Bookmark::single("System", 150));
    let came = read(&log, &forward).await.unwrap();
    assert_eq!((came.of("System"), came.damage), ((151..=300).collect(), Vec::new()));

    // Cleared, and written to again.
    server.clear("System").unwrap();
    server.append_generated("System", 5).unwrap();
    forward.after = Some(Bookmark::single("System", 290));
    let came = read(&log, &forward).await.unwrap();
    assert_eq!(came.of("System"), [301, 302, 303, 304, 305]);
    assert_eq!(came.damage, overwritten(290, Some(301)));
    // To the very end.
    forward.after = Some(Bookmark::single("System", 305));
    let came = read(&log, &forward).await.unwrap();
    assert_eq!((came.records.len(), came.damage), (0, Vec::new()));
}

#[tokio::test]
async fn a_seek_that_fails_is_no_gap_and_no_end() {
    let sim = fred_with(&["big-batch:20000"], 10).await;
    let server = &sim.servers()[0];
    let log = open(&sim).await;
    for status in [5, 87, 1722] {
        server.fail_seeks(status);
        // To a bookmark.
        let mut behind = query(&["System"], Direction::Forward);
        behind.after = Some(Bookmark::single("System", 5));
        let Err(error) = log.query(&behind).await else { panic!("{status}") };
        match (&error, status) {
            (LogError::AccessDenied(log), 5) => assert_eq!(log.0, "System"),
            (LogError::Server(error), _) => {
                assert_eq!(error.status().map(|status| status.0), Some(status));
            }
            _ => panic!("{error:?}"),
        }
    }
    // Past a record that is too large.
    for bytes in [60_000, 1000, 1000] {
        server.append("Setup", &large(bytes)).unwrap();
    }
    server.fail_seeks(87);
    let mut batches = log.query(&query(&["Setup"], Direction::Forward)).await.unwrap();
    let mut came = Came::default();
    let error = rest(&mut *batches, &mut came).await.expect_err("it isn't the end of the log");
    assert!(matches!(&error, LogError::Server(_)), "{error:?}");
    assert_eq!(came.records, []);
    server.fail_seeks(0);
    let came = read(&log, &query(&["Setup"], Direction::Forward)).await.unwrap();
    assert_eq!(came.of("Setup"), [2, 3]);
}

#[tokio::test]
async fn behind_a_record_that_is_gone_a_too_large_one_is_skipped_all_the_same() {
    for many in [1, 2] {
        let sim = fred_with(&["big-batch:20000"], 0).await;
        let server = &sim.servers()[0];
        for bytes in [&[1000; 7][..], &vec![60_000; many], &[1000; 3]].concat() {
            server.append("Setup", &large(bytes)).unwrap();
        }
        let log = open(&sim).await;
        let mut batches = log.query(&query(&["Setup"], Direction::Forward)).await.unwrap();
        let mut came = take(&mut *batches, 7).await;
        assert_eq!(came.records.len(), 7);
        // The record that the next ones are counted from.
        server.wrap("Setup", 8).unwrap();
        rest(&mut *batches, &mut came).await.unwrap();
        let many = many as u64;
        assert_eq!(came.of("Setup"), (1..=7).chain(8 + many..11 + many).collect::<Vec<_>>());
        let between = |records| hole("Setup", Some(7), Some(8 + many), records);
        let expected = [Damage::Overwritten(between(None)), Damage::TooLarge(between(Some(many)))];
        assert_eq!(came.damage, expected);
    }
}

#[tokio::test]
async fn a_log_that_wraps_or_is_cleared_under_a_reader_is_read_on_and_the_gap_told() {
    // After 100 records the older half of the rest is gone, or all of it.
    for (fault, rest, next) in [("wrapped:100", 201..301, Some(201)), ("cleared:100", 0..0, None)] {
        let sim = fred(&[fault]).await;
        let came = read(&open(&sim).await, &query(&["System"], Direction::Forward)).await.unwrap();
        assert_eq!(came.of("System"), (1..=100).chain(rest).collect::<Vec<_>>(), "{fault}");
        let gap = Damage::Overwritten(hole("System", Some(100), next, None));
        assert_eq!((&came.damage[..], &came.damage_at[..]), (&[gap][..], &[100][..]), "{fault}");
    }
    // Before the first record of several logs.
    let sim = fred(&["wrapped:0"]).await;
    let came = read(&open(&sim).await, &query(&LOGS, Direction::Forward)).await.unwrap();
    for log in LOGS {
        assert_eq!(came.of(log), (151..=300).collect::<Vec<_>>(), "{log}");
    }
    assert!(!came.damage.is_empty() && came.damage.len() <= LOGS.len(), "{:?}", came.damage);
    assert!(came.damage.iter().all(|damage| matches!(damage, Damage::Overwritten(_))));
    // Newest first: the log just ends sooner.
    let sim = fred(&["wrapped:100"]).await;
    let came = read(&open(&sim).await, &query(&["System"], Direction::Backward)).await.unwrap();
    assert_eq!(came.of("System"), numbers(101..=300, Direction::Backward));
    assert_eq!(came.damage, []);
}

#[tokio::test]
async fn a_restart_ends_a_query_and_the_rest_comes_behind_its_bookmark() {
    for direction in BOTH {
        let sim = fred(&["restart:130"]).await;
        let mut query = query(&["Security"], direction);
        let mut batches = open(&sim).await.query(&query).await.unwrap();
        let mut came = Came::default();
        let error = rest(&mut *batches, &mut came).await.unwrap_err();
        assert!(error.is_transient() && !error.leaves_connection_usable(), "{error:?}");
        assert_eq!(came.records.len(), 130);
        query.after = batches.bookmark().cloned();
        let rest = read(&open(&sim).await, &query).await.unwrap();
        assert_eq!(rest.damage, []);
        came.records.extend(rest.records);
        assert_eq!(came.of("Security"), numbers(1..=EVENTS, direction));
    }
}

#[tokio::test]
async fn a_filter_that_the_server_refuses_is_left_out_and_everything_comes() {
    let sim = fred(&["few-clauses:1"]).await;
    let log = open(&sim).await;
    let mut query = query(&["Security"], Direction::Forward);
    query.filter = Filter { ids: Ids::parse("4624,4634,4672").ok(), ..Filter::default() };
    query.limit = Some(3);
    let came = read(&log, &query).await.unwrap();
    // The limit is of records that pass, and nobody tests them on the way.
    assert_eq!(came.of("Security"), (1..=EVENTS).collect::<Vec<_>>());
    let asked: Vec<_> = sim.queries().into_iter().map(|entry| entry.query).collect();
    assert!(asked.len() == 2 && asked[0].contains("4634") && asked[1] == "*", "{asked:?}");
    // Where it isn't refused, the server does the work, and the limit holds.
    query.filter.ids = Ids::parse("4624").ok();
    let came = read(&log, &query).await.unwrap();
    assert_eq!(came.records.len(), 3);
}

#[tokio::test]
async fn a_filter_of_globs_is_tested_here_and_the_limit_is_not_the_servers() {
    let sim = fred(&[]).await;
    let mut query = query(&["System"], Direction::Forward);
    query.filter.providers = vec![Glob::parse("service*").unwrap()];
    query.limit = Some(2);
    let came = read(&open(&sim).await, &query).await.unwrap();
    assert!(came.records.len() > 2, "not all that came passes");
}

#[tokio::test]
async fn a_server_that_refuses_a_filter_gets_the_next_weaker_one_and_says_which_it_took() {
    use quarry_event::filter::DataTest;
    use quarry_eventlog::Strength;
    let filter = Filter {
        since: EventTime::parse("2020-01-01T00:00:00Z"),
        ids: Ids::parse("4624").ok(),
        data: vec![DataTest::parse("IpAddress=10.0.0.5").unwrap()],
        query: quarry_event::query::Query::parse("*[EventData[Data!='nothing']]").ok(),
        ..Filter::default()
    };
    for (kinds, taken) in Strength::ALL.into_iter().enumerate() {
        let sim = fred(&[&*format!("refuse-query:{kinds}")]).await;
        let log = open(&sim).await;
        for logs in [&["Security"][..], &["System", "Security"]] {
            let query = Query { filter: filter.clone(), ..query(logs, Direction::Forward) };
            let mut batches = log.query(&query).await.unwrap();
            assert_eq!(batches.strength(), taken, "{kinds}");
            let mut came = Came::default();
            rest(&mut *batches, &mut came).await.unwrap();
            let all = came.records.len() as u64 == logs.len() as u64 * EVENTS;
            assert_eq!(all, kinds >= 3, "{kinds}: {}", came.records.len());
        }
    }
}

#[tokio::test]
async fn of_a_query_that_a_server_refuses_it_still_tests_what_it_bears() {
    use quarry_eventlog::Strength;
    let xpath = "*[System[TimeCreated[@SystemTime>='2020-01-01'] and EventID=4624]] and \
        *[EventData[*='10.0.0.5' or Data[@Name='TargetUserName']!='']]";
    let list = format!(
        "<QueryList><Query><Select Path='Security'>{}</Select></Query></QueryList>",
        xpath.replace('>', "&gt;")
    );
    for text in [xpath, &*list] {
        let mut sent = Vec::new();
        for (kinds, taken) in Strength::ALL.into_iter().enumerate() {
            let sim = fred(&[&*format!("refuse-query:{kinds}")]).await;
            let log = open(&sim).await;
            let event_query = quarry_event::query::Query::parse(text).unwrap();
            let now = EventTime::parse("2026-08-22T10:00:00Z").unwrap();
            let filter = Filter { query: Some(event_query.fixed(now)), ..Filter::default() };
            let query = Query { filter, ..query(&["Security"], Direction::Forward) };
            let mut batches = log.query(&query).await.unwrap();
            assert_eq!(batches.strength(), taken, "{kinds}: {text}");
            let mut came = Came::default();
            rest(&mut *batches, &mut came).await.unwrap();
            sent.push(came.records.len() as u64);
        }
        assert!(0 < sent[0] && sent[0] <= sent[2], "{sent:?}");
        assert!(sent[2] < EVENTS, "the id is tested where data can't be: {sent:?}");
        assert_eq!(sent[3..], [EVENTS, EVENTS]);
    }
}

#[tokio::test]
async fn a_server_that_fails_every_batch_after_some_records_leaves_a_hole_that_names_the_rest() {
    let sim = fred_with(&["big-batch:20000"], 0).await;
    let server = &sim.servers()[0];
    for n in 0..301 {
        server.append("Setup", &large(if n < 20 { 1000 } else { 60_000 })).unwrap();
    }
    let came = read(&open(&sim).await, &query(&["Setup"], Direction::Forward)).await.unwrap();
    assert_eq!(came.of("Setup"), (1..=20).collect::<Vec<_>>());
    assert_eq!(came.damage, [Damage::TooLarge(hole("Setup", Some(20), None, Some(281)))]);
    let told = came.damage[0].to_string();
    assert_eq!(told, "281 records of Setup past 20 missing: too large for the server to send");
}

#[tokio::test]
async fn a_server_that_answers_for_ever_without_a_record_is_ended_and_a_subscription_is_not() {
    let sim = fred(&["endless"]).await;
    let options =
        ReadOptions::default().heartbeat(SECOND / 10).idle_heartbeat(SECOND / 10).progress(SECOND);
    let log = open_with(&sim, options).await;
    let began = std::time::Instant::now();
    let error = read(&log, &query(&["System"], Direction::Forward)).await.map(drop).unwrap_err();
    assert!(matches!(error, LogError::NoProgress(bound) if bound == SECOND), "{error:?}");
    assert!(began.elapsed() >= SECOND);
    let subscription = quarry_eventlog::Subscription {
        logs: names(&["System"]),
        start: quarry_eventlog::Start::Oldest,
        ..Default::default()
    };
    let mut batches = log.subscribe(&subscription).await.unwrap();
    let began = std::time::Instant::now();
    while began.elapsed() < 2 * SECOND {
        assert!(batches.next().await.unwrap().unwrap().is_empty());
    }
}

#[tokio::test]
async fn refusals_say_what_is_refused() {
    let sim = fred(&["refuse-access:Security"]).await;
    let log = open(&sim).await;
    let ask = async |logs: &[&str], direction| {
        let Err(error) = read(&log, &query(logs, direction)).await else { panic!("{logs:?}") };
        assert!(error.leaves_connection_usable() && !error.is_transient(), "{error}");
        error
    };
    let error = ask(&["Security"], Direction::Forward).await;
    assert!(matches!(&error, LogError::AccessDenied(log) if log.0 == "Security"), "{error:?}");
    let error = ask(&["Nonsense"], Direction::Forward).await;
    assert!(matches!(&error, LogError::NoSuchLog(log) if log.0 == "Nonsense"), "{error:?}");
    assert!(matches!(ask(&[], Direction::Forward).await, LogError::HowManyLogs(0)));
    let many = vec!["System"; 65];
    assert!(matches!(ask(&many, Direction::Forward).await, LogError::HowManyLogs(65)));
    // One of several is enough.
    let error = ask(&["System", "Security"], Direction::Forward).await;
    assert!(matches!(error, LogError::AccessDenied(_)), "{error:?}");

    // Analytic logs have no backward, but a count and a forward.
    let logs = log.logs().await.unwrap();
    let direct = logs.iter().find(|log| log.0.ends_with("/Analytic")).expect("an analytic log");
    let error = ask(&[&direct.0], Direction::Backward).await;
    assert!(matches!(&error, LogError::DirectLog(log) if log == direct), "{error:?}");
    assert_eq!(read(&log, &query(&[&direct.0], Direction::Forward)).await.unwrap().records, []);
    assert_eq!(log.info(direct, Detail::Records).await.unwrap().records, 0);
}

#[tokio::test]
async fn a_logs_information_is_its_count_and_the_times_of_its_ends() {
    let sim = fred(&[]).await;
    let log = open(&sim).await;
    sim.servers()[0].wrap("System", 101).unwrap();
    let info = log.info(&"System".into(), Detail::Records).await.unwrap();
    let came = read(&log, &query(&["System"], Direction::Forward)).await.unwrap();
    assert_eq!((info.records, came.records.len()), (200, 200));
    assert_eq!(
        (info.oldest, info.newest),
        (came.times.first().copied(), came.times.last().copied())
    );
    let empty = log.info(&"Setup".into(), Detail::Records).await.unwrap();
    assert_eq!((empty.records, empty.oldest, empty.newest), (0, None, None));
    let names: Vec<String> = log.logs().await.unwrap().into_iter().map(|log| log.0).collect();
    assert_eq!(names[..3], LOGS);
    assert_eq!(names.len(), 43);
    let error = log.info(&"Nonsense".into(), Detail::Records).await.unwrap_err();
    assert!(matches!(error, LogError::NoSuchLog(_)), "{error:?}");
}

#[tokio::test]
async fn a_server_is_asked_for_size_and_state_of_a_log_only_where_they_are_wanted() {
    let sim = fred(&[]).await;
    let log = open(&sim).await;
    let mut calls = sim.servers()[0].stats().calls;
    let mut asked = async |detail| {
        let info = log.info(&"System".into(), detail).await.unwrap();
        let before = std::mem::replace(&mut calls, sim.servers()[0].stats().calls);
        (info, calls - before)
    };
    let (records, few) = asked(Detail::Records).await;
    let (all, many) = asked(Detail::Properties).await;
    assert_eq!((records.size, records.enabled), (None, None));
    assert!(all.size.is_some() && all.enabled == Some(true), "{all:?}");
    assert_eq!(quarry_eventlog::LogInfo { size: None, enabled: None, ..all }, records);
    assert_eq!(many - few, 2, "its file's size and its configuration");
}

#[tokio::test]
async fn a_slow_server_sends_signs_of_life_and_all_of_its_records() {
    let sim = fred(&["slow:450"]).await;
    let options = ReadOptions::default().heartbeat(std::time::Duration::from_millis(100));
    let log = open_with(&sim, options).await;
    let mut batches = log.query(&query(&["System"], Direction::Forward)).await.unwrap();
    let (mut reader, mut came, mut beats) = (BatchReader::default(), Came::default(), 0);
    while let Some(batch) = batches.next().await {
        let batch = batch.unwrap();
        beats += u64::from(batch.is_empty());
        reader.read(&batch, &mut came);
    }
    assert_eq!(came.of("System"), (1..=EVENTS).collect::<Vec<_>>());
    assert!(beats >= 8, "{beats} signs of life");
}

#[tokio::test]
async fn nonsense_is_an_error_and_the_end() {
    for fault in ["garbage", "oversized"] {
        let sim = fred(&[fault]).await;
        let mut batches =
            open(&sim).await.query(&query(&["System"], Direction::Forward)).await.unwrap();
        let error = rest(&mut *batches, &mut Came::default()).await.unwrap_err();
        assert_eq!(error.blame(), quarry_rpc::Blame::Peer, "{error:?}");
        assert!(batches.next().await.is_none());
    }
}

#[tokio::test]
async fn a_forwarded_event_has_the_number_of_the_log_that_it_lies_in() {
    let sim = fred(&["forwarded"]).await;
    let came = read(&open(&sim).await, &query(&["System"], Direction::Forward)).await.unwrap();
    assert_eq!(came.of("System"), (1..=EVENTS).collect::<Vec<_>>());
}
