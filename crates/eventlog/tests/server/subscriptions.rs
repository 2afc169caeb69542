//! Subscriptions.

use quarry_event::filter::{Filter, Ids};
use quarry_eventlog::{Batches, Bookmark, BookmarkEntry, Start, Subscription};

use super::*;

async fn subscribe(log: &Even6Log, logs: &[&str], start: Start) -> Box<dyn Batches> {
    let subscription = Subscription { logs: names(logs), filter: Filter::default(), start };
    log.subscribe(&subscription).await.unwrap()
}

/// A quick heartbeat, so that the tests needn't wait.
async fn quick(sim: &Sim) -> Even6Log {
    let options = ReadOptions::default().idle_heartbeat(SECOND / 10);
    open_with(sim, options).await
}

#[tokio::test]
async fn a_subscription_from_now_hears_of_what_comes_and_beats_meanwhile() {
    let sim = fred(&[]).await;
    let log = quick(&sim).await;
    let mut batches = subscribe(&log, &["System", "Security"], Start::Now).await;
    for _ in 0..3 {
        let batch = batches.next().await.unwrap().unwrap();
        assert!(batch.is_empty() && batch.records() == 0);
    }
    // Behind what there was.
    let last = |entry: &BookmarkEntry| (entry.log.0.clone(), entry.cursor.record.0);
    let lasts: Vec<_> = batches.bookmark().unwrap().entries.iter().map(last).collect();
    assert_eq!(lasts, [("System".to_owned(), 300), ("Security".to_owned(), 300)]);
    let server = &sim.servers()[0];
    server.append_generated("System", 3).unwrap();
    server.append_generated("Security", 2).unwrap();
    let came = take(&mut *batches, 5).await;
    assert_eq!((came.of("System"), came.of("Security")), (vec![301, 302, 303], vec![301, 302]));
    assert!(batches.next().await.unwrap().unwrap().is_empty());
    // A second of them goes on from there.
    let bookmark = batches.bookmark().unwrap().clone();
    batches.close().await;
    server.append_generated("System", 1).unwrap();
    let mut batches = subscribe(&log, &["System", "Security"], Start::After(bookmark)).await;
    assert_eq!(take(&mut *batches, 1).await.records, [("System".to_owned(), 304)]);
}

#[tokio::test]
async fn a_subscription_from_the_oldest_has_what_is_there_and_then_what_comes() {
    let sim = fred(&[]).await;
    let mut batches = subscribe(&quick(&sim).await, &["System"], Start::Oldest).await;
    assert_eq!(take(&mut *batches, 300).await.of("System"), (1..=300).collect::<Vec<_>>());
    sim.servers()[0].append_generated("System", 2).unwrap();
    assert_eq!(take(&mut *batches, 2).await.of("System"), [301, 302]);
}

#[tokio::test]
async fn a_bookmark_whose_records_are_gone_is_an_error_or_where_the_rest_begins() {
    for wraps in [true, false] {
        let sim = fred(&[]).await;
        let log = quick(&sim).await;
        let server = &sim.servers()[0];
        let bookmark = Bookmark::single("System", 100);
        // As long as the record is there, it is the next that comes.
        let mut batches = subscribe(&log, &["System"], Start::After(bookmark.clone())).await;
        assert_eq!(take(&mut *batches, 1).await.of("System")[0], 101);
        match wraps {
            true => server.wrap("System", 200).unwrap(),
            false => server.clear("System").unwrap(),
        }
        let start = Start::After(bookmark.clone());
        let strict = Subscription { logs: names(&["System"]), filter: Filter::default(), start };
        let error = log.subscribe(&strict).await.map(drop).unwrap_err();
        assert!(matches!(error, LogError::Overwritten), "{error:?}");
        assert!(error.leaves_connection_usable());
        let mut batches = subscribe(&log, &["System"], Start::AfterOrLater(bookmark)).await;
        server.append_generated("System", 1).unwrap();
        let left = if wraps { 200..=301 } else { 301..=301 };
        let came = take(&mut *batches, left.clone().count()).await;
        assert_eq!(came.of("System"), left.collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_log_that_is_cleared_under_a_strict_subscription_ends_it_and_a_lenient_one_goes_on() {
    let sim = fred(&[]).await;
    let log = quick(&sim).await;
    let bookmark = Bookmark::single("System", 200);
    let mut strict = subscribe(&log, &["System"], Start::After(bookmark.clone())).await;
    let mut lenient = subscribe(&log, &["System"], Start::AfterOrLater(bookmark)).await;
    for batches in [&mut strict, &mut lenient] {
        assert_eq!(take(&mut **batches, 100).await.of("System"), (201..=300).collect::<Vec<_>>());
    }
    let server = &sim.servers()[0];
    server.append_generated("System", 10).unwrap();
    server.clear("System").unwrap();
    let error = strict.next().await.unwrap().unwrap_err();
    assert!(matches!(error, LogError::Overwritten), "{error:?}");
    assert!(strict.next().await.is_none());
    server.append_generated("System", 1).unwrap();
    assert_eq!(take(&mut *lenient, 1).await.of("System"), [311]);
}

#[tokio::test]
async fn a_log_that_was_recreated_and_is_longer_already_is_told_from_the_one_that_was_read() {
    let sim = fred(&[]).await;
    let log = quick(&sim).await;
    let mut batches = subscribe(&log, &["System"], Start::Oldest).await;
    take(&mut *batches, 300).await;
    let bookmark = batches.bookmark().unwrap().clone();
    assert!(bookmark.entries[0].cursor.time.is_some());
    batches.close().await;
    // The same log, with more records.
    sim.servers()[0].append_generated("System", 5).unwrap();
    let mut batches = subscribe(&log, &["System"], Start::After(bookmark.clone())).await;
    assert_eq!(take(&mut *batches, 5).await.of("System"), (301..=305).collect::<Vec<_>>());
    // Another log of this name, whose numbers have passed the bookmark's.
    let server = &sim.servers()[0];
    server.recreate("System").unwrap();
    for _ in 0..310 {
        server.append("System", &large(100)).unwrap();
    }
    let again = |start| Subscription { logs: names(&["System"]), filter: Filter::default(), start };
    let error = log.subscribe(&again(Start::After(bookmark.clone()))).await.map(drop);
    assert!(matches!(error, Err(LogError::Recreated)), "{error:?}");
    // A query says what is gone, and reads all of it.
    let mut query = query(&["System"], Direction::Forward);
    query.after = Some(bookmark.clone());
    let came = read(&log, &query).await.unwrap();
    assert_eq!(came.of("System"), (1..=310).collect::<Vec<_>>());
    assert_eq!(came.damage, [Damage::Overwritten(hole("System", Some(300), None, None))]);
    // Who has no time to compare with goes by the number alone.
    let by_number = Bookmark::single("System", bookmark.entries[0].cursor.record);
    let mut batches = subscribe(&log, &["System"], Start::After(by_number)).await;
    assert_eq!(take(&mut *batches, 10).await.of("System"), (301..=310).collect::<Vec<_>>());
}

#[tokio::test]
async fn batches_that_are_too_large_are_asked_for_again_behind_the_last_record() {
    let sim = fred(&["big-batch:20000"]).await;
    let log = quick(&sim).await;
    let bookmark = Bookmark::single("System", 10);
    for (start, first) in [
        (Start::Oldest, 1),
        (Start::After(bookmark.clone()), 11),
        (Start::AfterOrLater(bookmark), 11),
    ] {
        let mut batches = subscribe(&log, &["System"], start).await;
        let expected: Vec<u64> = (first..=300).collect();
        let came = take(&mut *batches, expected.len()).await;
        assert_eq!((came.of("System"), came.damage), (expected, Vec::new()));
    }
}

#[tokio::test]
async fn a_burst_that_is_too_large_for_one_batch_is_not_lost_to_a_subscription_from_now() {
    let sim = fred(&["big-batch:20000"]).await;
    let mut batches = subscribe(&quick(&sim).await, &["System", "Security"], Start::Now).await;
    let server = &sim.servers()[0];
    server.append_generated("System", 60).unwrap();
    server.append_generated("Security", 60).unwrap();
    let came = take(&mut *batches, 120).await;
    let expected: Vec<u64> = (301..=360).collect();
    assert_eq!((came.of("System"), came.of("Security")), (expected.clone(), expected));
    assert_eq!(came.damage, []);
}

#[tokio::test]
async fn a_record_that_is_too_large_for_a_subscription_is_told_and_it_goes_on() {
    for start in [Start::Now, Start::Oldest] {
        let sim = fred_with(&["big-batch:20000"], 0).await;
        let mut batches = subscribe(&quick(&sim).await, &["Setup"], start.clone()).await;
        let server = &sim.servers()[0];
        for bytes in [60_000, 1000, 1000, 60_000, 60_000, 1000] {
            server.append("Setup", &large(bytes)).unwrap();
        }
        let came = take(&mut *batches, 3).await;
        assert_eq!(came.of("Setup"), [2, 3, 6], "{start:?}");
        let too_large = |after, before, records| {
            Damage::TooLarge(hole("Setup", after, Some(before), Some(records)))
        };
        let expected = [too_large(None, 2, 1), too_large(Some(3), 6, 2)];
        assert_eq!(came.damage, expected, "{start:?}");
    }
}

#[tokio::test]
async fn a_filter_goes_to_the_server_unless_it_is_refused() {
    for (faults, all) in [(&[][..], false), (&["few-clauses:1"][..], true)] {
        let sim = fred(faults).await;
        let filter = Filter { ids: Ids::parse("4624,4634").ok(), ..Filter::default() };
        let subscription =
            Subscription { logs: names(&["Security"]), filter, start: Start::Oldest };
        let mut batches = quick(&sim).await.subscribe(&subscription).await.unwrap();
        let mut count = 0;
        let mut beats = 0;
        while beats < 2 {
            let batch = batches.next().await.unwrap().unwrap();
            count += batch.records();
            beats += u32::from(batch.is_empty());
        }
        assert_eq!(count == EVENTS, all, "{count}");
        assert!(count > 50);
        assert_eq!(sim.queries().len(), if all { 2 } else { 1 });
    }
}

#[tokio::test]
async fn what_cannot_be_subscribed_to_is_named() {
    let sim = fred(&["refuse-access:Security"]).await;
    let log = quick(&sim).await;
    let logs = log.logs().await.unwrap();
    let direct = logs.iter().find(|log| log.0.ends_with("/Debug")).expect("a debug log");
    let ask = async |logs: Vec<LogName>| {
        let subscription = Subscription { logs, ..Subscription::default() };
        log.subscribe(&subscription).await.map(drop).unwrap_err()
    };
    let error = ask(vec![direct.clone()]).await;
    assert!(matches!(&error, LogError::DirectLog(log) if log == direct), "{error:?}");
    let error = ask(names(&["Security"])).await;
    assert!(matches!(&error, LogError::AccessDenied(log) if log.0 == "Security"), "{error:?}");
    let error = ask(names(&["Nonsense"])).await;
    assert!(matches!(error, LogError::NoSuchLog(_)), "{error:?}");
    assert!(matches!(ask(Vec::new()).await, LogError::HowManyLogs(0)));
}
