//! The calls, in their order and with their handles, against a stand-in for the API that ends the
//! program when a call breaks the rules (`fake/wevtapi.c`, which also says what its logs do).
//! `cargo xtask windows` builds it and puts it where these tests load it; else they have to be
//! left out, as Wine's own API has no events.
#![cfg(windows)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use quarry_event::{Field, FieldSource};
use quarry_winevt::{
    Bookmark, Channels, Error, Event, LogInfo, Next, Renderer, ResultSet, SeekFrom, Signal, Start,
    Subscription,
};
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};

/// The stand-in's count of handles that are open is of the whole program.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Checks at its end that every handle was closed.
struct Handles(#[allow(dead_code, reason = "it is held")] MutexGuard<'static, ()>);

impl Handles {
    fn watch() -> Self {
        let handles = Handles(ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner));
        assert_eq!(open_handles(), 0);
        handles
    }
}

impl Drop for Handles {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(open_handles(), 0, "handles are left open");
        }
    }
}

fn open_handles() -> i32 {
    let name: Vec<u16> = "wevtapi.dll\0".encode_utf16().collect();
    // SAFETY: the name ends with a NUL; the library is loaded as long as the program runs.
    let function = unsafe {
        GetProcAddress(GetModuleHandleW(name.as_ptr()), c"FakeOpenHandles".as_ptr().cast())
    };
    let function = function.expect("wevtapi.dll is the stand-in");
    // SAFETY: the stand-in's function is of this type.
    let function: extern "system" fn() -> i32 = unsafe { std::mem::transmute(function) };
    function()
}

fn all(results: &mut ResultSet, count: u32) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        match results.next(count, Duration::from_secs(1)).unwrap() {
            Next::Events(some) => events.extend(some),
            Next::TimedOut => {}
            Next::End => return events,
        }
    }
}

fn numbers(events: &[Event]) -> Vec<u64> {
    let mut renderer = Renderer::new().unwrap();
    let number = |event: &quarry_winevt::RenderedEvent<'_>| event.field(Field::RecordId).as_u64();
    events.iter().map(|event| renderer.read(event, number).unwrap().unwrap()).collect()
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn channels_are_listed_also_where_a_name_is_long() {
    let _handles = Handles::watch();
    let names: Vec<String> = Channels::open().unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(names.len(), 14);
    assert_eq!(names[0], "Application");
    assert_eq!(names[13].len(), 291);
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn a_log_tells_its_records_and_why_not() {
    let _handles = Handles::watch();
    let info = LogInfo::of_channel("System").unwrap();
    let numbers = |info: LogInfo| (info.records, info.oldest, info.newest());
    assert_eq!(numbers(info), (Some(600), Some(101), Some(700)));
    // Nothing of an analytic log, and no number of an empty one.
    assert_eq!(numbers(LogInfo::of_channel("Fake-Direct").unwrap()), (None, None, None));
    let names = Channels::open().unwrap().map(Result::unwrap);
    let empty = names.into_iter().find(|name| name.starts_with("Fake-Empty/")).unwrap();
    assert_eq!(numbers(LogInfo::of_channel(&empty).unwrap()), (Some(0), None, None));
    let status = |name| LogInfo::of_channel(name).unwrap_err().status();
    assert_eq!(status("No such log"), Some(15007));
    assert_eq!(status("Security"), Some(5));
    assert_eq!(LogInfo::of_channel("a\0b"), Err(Error::Nul));
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn a_query_gives_all_events_in_either_direction() {
    let _handles = Handles::watch();
    let mut forward = ResultSet::query(Some("system"), "*", false).unwrap();
    let events = all(&mut forward, 256);
    assert_eq!(numbers(&events), (101..=700).collect::<Vec<_>>());
    let mut backward = ResultSet::query(Some("System"), "*", true).unwrap();
    assert_eq!(numbers(&all(&mut backward, 7)), (101..=700).rev().collect::<Vec<_>>());
    let list = "<QueryList><Query Id='0'><Select Path='Application'>*</Select>\
        <Select Path='Fake-Slow'>*</Select></Query></QueryList>";
    let mut both = ResultSet::query(None, &list, false).unwrap();
    let channels = both.channels().unwrap();
    assert_eq!(channels, [("Application".to_owned(), 0), ("Fake-Slow".to_owned(), 0)]);
    assert_eq!(all(&mut both, 4).len(), 20);
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn what_is_slow_says_so_and_what_fails_says_why() {
    let _handles = Handles::watch();
    let mut slow = ResultSet::query(Some("Fake-Slow"), "*", false).unwrap();
    assert!(matches!(slow.next(10, Duration::from_millis(10)).unwrap(), Next::TimedOut));
    assert!(matches!(slow.next(10, Duration::from_millis(10)).unwrap(), Next::Events(_)));
    let mut big = ResultSet::query(Some("Fake-Big"), "*", false).unwrap();
    let error = big.next(5, Duration::ZERO).unwrap_err();
    assert_eq!(error, Error::Refused { call: "EvtNext", status: 1734 });
    let status = |path, query| ResultSet::query(path, query, true).unwrap_err().status();
    assert_eq!(status(Some("Fake-Direct"), "*"), Some(15009));
    assert_eq!(status(Some("Security"), "*"), Some(5));
    assert_eq!(status(Some("System"), "*[System[EventID=666]]"), Some(15001));
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn an_event_is_rendered_from_values_and_from_xml() {
    let _handles = Handles::watch();
    let events = all(&mut ResultSet::query(Some("Application"), "*", false).unwrap(), 100);
    let mut renderer = Renderer::new().unwrap();
    for (n, event) in (1u64..).zip(&events) {
        renderer
            .read(event, |event| {
                let field = |field| event.field(field).to_string();
                assert_eq!(field(Field::ProviderName), "Fake-Provider");
                assert_eq!(field(Field::ProviderGuid), "{54849625-5478-4994-a5ba-3e3b0328c30d}");
                assert_eq!(field(Field::EventId), (n % 10).to_string());
                assert_eq!(field(Field::Keywords), "0x8000000000000000");
                let time = format!("2026-08-22T10:00:{n:02}.1234567Z");
                assert_eq!(field(Field::TimeCreated), time);
                assert_eq!(field(Field::UserId), "S-1-5-18");
                assert_eq!(field(Field::Computer), "FAKE.example");
                assert!(event.field(Field::Qualifiers).is_null());
                // From here on of the XML.
                let mut data = Vec::new();
                let _ = event.each_data(|name, value| {
                    data.push((name.unwrap().as_str().to_owned(), value.to_string()));
                    std::ops::ControlFlow::Continue(())
                });
                assert_eq!(data[0], ("Number".into(), n.to_string()));
                assert_eq!(data[1].1, "{54849625-5478-4994-a5ba-3e3b0328c30d}");
                let text = if n == 3 { "x".repeat(20_000) } else { "a & b".into() };
                assert!(data[2].1 == text);
                let whole = quarry_event::Event::from_source(event);
                for field in Field::all() {
                    assert_eq!(event.field(field).to_string(), whole.field(field).to_string());
                }
                assert_eq!(event.failure(), None);
            })
            .unwrap();
    }
    assert_eq!(events.len(), 10);
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn values_that_point_out_of_the_buffer_are_not_read() {
    let _handles = Handles::watch();
    let events = all(&mut ResultSet::query(Some("Fake-Wild"), "*", false).unwrap(), 100);
    let mut renderer = Renderer::new().unwrap();
    for event in &events {
        let read = renderer.read(event, |event| {
            assert!(event.field(Field::ProviderName).is_null());
            assert!(event.field(Field::Computer).is_null());
            assert!(event.field(Field::UserId).is_null());
            event.field(Field::Level).as_u64()
        });
        assert_eq!(read, Ok(Some(4)));
    }
    assert_eq!(events.len(), 10);
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn bookmarks_name_the_log_that_was_read_and_lead_back_to_it() {
    let _handles = Handles::watch();
    let mut results = ResultSet::query(Some("ForwardedEvents"), "*", false).unwrap();
    let events = all(&mut results, 3);
    // What the events say of themselves is their origin's.
    assert_eq!(numbers(&events)[0], 9001);
    let mut bookmark = Bookmark::new().unwrap();
    bookmark.update(&events[4]).unwrap();
    let xml = bookmark.to_xml().unwrap();
    assert!(xml.contains("Channel='ForwardedEvents' RecordId='5' IsCurrent='true'"), "{xml}");
    let again = Bookmark::from_xml(&xml).unwrap();
    let mut results = ResultSet::query(Some("ForwardedEvents"), "*", false).unwrap();
    results.seek(SeekFrom::Bookmark(&again, 1, true)).unwrap();
    assert_eq!(numbers(&all(&mut results, 100)), (9006..=9010).collect::<Vec<_>>());
    results.seek(SeekFrom::First(8)).unwrap();
    assert_eq!(numbers(&all(&mut results, 100)), [9009, 9010]);
    let gone = Bookmark::from_xml(&xml.replace("'5'", "'77'")).unwrap();
    let error = results.seek(SeekFrom::Bookmark(&gone, 0, true)).unwrap_err();
    assert_eq!(error.status(), Some(1168));
    results.seek(SeekFrom::Bookmark(&gone, 0, false)).unwrap();
    // As Microsoft says: past the bounds is at the last record within them.
    assert_eq!(numbers(&all(&mut results, 100)), [9010]);
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn a_subscription_signals_each_new_event() {
    let _handles = Handles::watch();
    let (sender, signals) = mpsc::channel();
    let signal = Signal::new(move || sender.send(()).unwrap_or_default()).unwrap();
    let mut subscription =
        Subscription::begin(Some("Fake-Growing"), "*", Start::Oldest, signal).unwrap();
    assert_eq!(subscription.channels().unwrap(), [("Fake-Growing".to_owned(), 0)]);
    let mut events = Vec::new();
    while events.len() < 30 {
        match subscription.next(2, Duration::ZERO).unwrap() {
            Next::Events(some) => events.extend(some),
            Next::TimedOut | Next::End => signals.recv_timeout(Duration::from_secs(10)).unwrap(),
        }
    }
    assert_eq!(numbers(&events), (1..=30).collect::<Vec<_>>());
    drop(events);
    drop(subscription);
    // The sender is gone with the subscription, so that nothing can come any more.
    assert!(signals.iter().count() < 1000);
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn a_subscription_begins_where_it_is_told_to_or_says_why_not() {
    let _handles = Handles::watch();
    let begin = |log: &str, start: Start<'_>| {
        Subscription::begin(Some(log), "*", start, Signal::new(|| {}).unwrap())
    };
    let at = |number: u64| {
        Bookmark::from_xml(&format!(
            "<BookmarkList><Bookmark Channel='Application' RecordId='{number}' \
             IsCurrent='true'/></BookmarkList>"
        ))
        .unwrap()
    };
    let mut after = begin("Application", Start::After(&at(8), true)).unwrap();
    let Next::Events(events) = after.next(100, Duration::ZERO).unwrap() else {
        panic!("there are two")
    };
    assert_eq!(numbers(&events), [9, 10]);
    assert!(matches!(after.next(100, Duration::ZERO).unwrap(), Next::End));
    assert!(matches!(after.next(100, Duration::ZERO).unwrap(), Next::End));
    let mut now = begin("Application", Start::Now).unwrap();
    assert!(matches!(now.next(100, Duration::ZERO).unwrap(), Next::End));
    let status = |log, start: Start<'_>| begin(log, start).unwrap_err().status();
    assert_eq!(status("Application", Start::After(&at(77), true)), Some(1168));
    assert!(begin("Application", Start::After(&at(77), false)).is_ok());
    assert_eq!(status("Fake-Direct", Start::Oldest), Some(15009));
    assert_eq!(status("Security", Start::Now), Some(5));
    assert_eq!(status("No such log", Start::Now), Some(15007));
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn a_slow_subscription_says_so_and_gives_its_events_without_another_signal() {
    let _handles = Handles::watch();
    let (sender, signals) = mpsc::channel();
    let signal = Signal::new(move || sender.send(()).unwrap_or_default()).unwrap();
    let mut slow = Subscription::begin(Some("Fake-Slow"), "*", Start::Oldest, signal).unwrap();
    signals.recv_timeout(Duration::from_secs(10)).unwrap();
    let wait = Duration::from_secs(1);
    assert!(matches!(slow.next(100, wait).unwrap(), Next::TimedOut));
    assert!(matches!(slow.next(100, wait).unwrap(), Next::Events(events) if events.len() == 10));
    assert!(matches!(slow.next(100, wait).unwrap(), Next::End));
    assert!(signals.recv_timeout(Duration::from_millis(200)).is_err(), "one signal for all");
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn many_signals_come_and_go_without_a_loss() {
    let _handles = Handles::watch();
    let called = Arc::new(AtomicU32::new(0));
    let mut seen = BTreeSet::new();
    for round in 0..100 {
        let counted = Arc::clone(&called);
        let count = move || {
            counted.fetch_add(1, Ordering::Relaxed);
        };
        let signal = Signal::new(count).unwrap();
        let start = if round % 2 == 0 { Start::Oldest } else { Start::Now };
        let subscription = Subscription::begin(Some("Application"), "*", start, signal).unwrap();
        seen.insert(round);
        drop(subscription);
    }
    assert_eq!(seen.len(), 100);
    // Only the subscriptions had the counter, and they are gone with their callbacks.
    assert_eq!(Arc::strong_count(&called), 1);
}

/// Windows closes events with the query or subscription that they came from; the stand-in ends the
/// program when one is used after that.
#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn events_outlive_the_query_and_the_subscription_that_gave_them() {
    let _handles = Handles::watch();
    let mut results = ResultSet::query(Some("Application"), "*", false).unwrap();
    let Next::Events(queried) = results.next(4, Duration::ZERO).unwrap() else { panic!() };
    drop(results);
    let called = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&called);
    let signal = Signal::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let mut subscription =
        Subscription::begin(Some("Application"), "*", Start::Oldest, signal.unwrap()).unwrap();
    let Next::Events(subscribed) = subscription.next(4, Duration::ZERO).unwrap() else { panic!() };
    drop(subscription);
    for events in [queried, subscribed] {
        assert_eq!(numbers(&events), [1, 2, 3, 4]);
        let mut bookmark = Bookmark::new().unwrap();
        bookmark.update(&events[3]).unwrap();
        assert!(bookmark.to_xml().unwrap().contains("RecordId='4'"));
        // On another thread, as batches are.
        std::thread::spawn(move || drop(events)).join().unwrap();
    }
    assert_eq!(Arc::strong_count(&called), 1, "the signal is gone with the last event");
}

#[test]
#[ignore = "needs the stand-in for the API: cargo xtask windows"]
fn events_are_rendered_on_other_threads() {
    let _handles = Handles::watch();
    let events = all(&mut ResultSet::query(Some("System"), "*", false).unwrap(), 100);
    let (mut parts, mut rest) = (Vec::new(), events);
    while !rest.is_empty() {
        let tail = rest.split_off(rest.len().min(150));
        parts.push(std::mem::replace(&mut rest, tail));
    }
    let threads: Vec<_> =
        parts.into_iter().map(|part| std::thread::spawn(move || numbers(&part))).collect();
    let all: Vec<u64> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert_eq!(all, (101..=700).collect::<Vec<_>>());
}
