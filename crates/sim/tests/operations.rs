//! Each operation, through this project's own client.

mod common;

use std::time::{Duration, Instant};

use common::*;
use quarry_even::wire::*;
use quarry_even::{
    Bookmark, ChannelProperty, Error, FormatFlags, LogProperty, Next, SeekFlags, SubscribeFlags,
    Win32Error,
};
use quarry_event::{EventTime, Field};
use quarry_rpc::FaultStatus;
use quarry_rpc::ndr::ContextHandle;
use quarry_sim::{QueryKind, ServerOptions, Sim};

const PULL: SubscribeFlags = SubscribeFlags::PULL;

fn status<T: std::fmt::Debug>(outcome: Result<T, Error>) -> Win32Error {
    match outcome.unwrap_err() {
        Error::Status { status, info, .. } => {
            assert!(info.error == status || info == RpcInfo::default(), "{info:?}");
            status
        }
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_log_is_read_forwards_and_backwards_whole() {
    let sim = fred(&[]).await;
    let client = connect(&sim, "fred").await;
    let all = read(&client, "Security", "*", FORWARD).await;
    assert_eq!(numbers(&all), (1..=300).collect::<Vec<_>>());
    for record in &all {
        assert_eq!(record.field(Field::RecordId), record.number.to_string());
        assert_eq!(record.field(Field::Computer), "fred.sim.test");
        assert_eq!(record.field(Field::Channel), "Security");
    }
    let times: Vec<_> = all.iter().map(|record| record.field(Field::TimeCreated)).collect();
    assert!(times.is_sorted());
    let mut back = read(&client, "Security", "*", REVERSE).await;
    back.reverse();
    assert_eq!(all, back);
    let stats = sim.servers()[0].stats();
    assert_eq!((stats.records_read, stats.records_sent), (600, 600));
}

#[tokio::test]
async fn what_a_query_does_not_select_is_not_sent() {
    let sim = fred(&[]).await;
    let client = connect(&sim, "fred").await;
    let all = read(&client, "Security", "*", FORWARD).await;
    let before = sim.servers()[0].stats();
    let logons = read(&client, "security", "*[System[EventID=4624]]", FORWARD).await;
    let expected: Vec<_> =
        all.iter().filter(|record| record.field(Field::EventId) == "4624").cloned().collect();
    assert!(expected.len() > 50 && expected.len() < 250);
    assert_eq!(logons, expected);
    let after = sim.servers()[0].stats();
    assert_eq!(after.records_read - before.records_read, 300);
    assert_eq!(after.records_sent - before.records_sent, expected.len() as u64);

    // The last half hour, of one event every 30 seconds.
    let since = EventTime::parse(&all[240].field(Field::TimeCreated)).unwrap();
    let query = format!("*[System[TimeCreated[@SystemTime>='{since}']]]");
    assert_eq!(numbers(&read(&client, "Security", &query, FORWARD).await), numbers(&all[240..]));
    let data = "*[EventData[Data[@Name='TargetUserName']='alice']]";
    let alice = read(&client, "Security", data, FORWARD).await;
    assert!(!alice.is_empty() && alice.len() < 100);
    let queries: Vec<_> = sim.queries().into_iter().map(|entry| entry.query).collect();
    assert_eq!(queries, ["*", "*[System[EventID=4624]]", &query, data]);
    let entry = &sim.queries()[1];
    assert_eq!((entry.server.as_str(), entry.path.as_deref()), ("fred", Some("security")));
    assert_eq!((entry.kind, entry.flags), (QueryKind::Query, FORWARD.0));
}

#[tokio::test]
async fn a_structured_query_reads_several_logs_in_one_order_of_time() {
    let sim = fred(&[]).await;
    let client = connect(&sim, "fred").await;
    let list = "<QueryList>\
        <Query Id='4' Path='System'><Select>*[System[EventID!=7036]]</Select></Query>\
        <Query Id='7'><Select Path='Application'>*</Select>\
        <Suppress Path='Application'>*[System[EventID=1000]]</Suppress></Query></QueryList>";
    let query = client.register_log_query(None, list, FORWARD).await.unwrap();
    let names: Vec<_> =
        query.channels.iter().map(|info| info.name.as_ref().unwrap().to_string()).collect();
    assert_eq!(names, ["System", "Application"]);
    let merged = rest(&client, query.handle, 70).await;
    let times: Vec<_> = merged.iter().map(|record| record.field(Field::TimeCreated)).collect();
    assert!(times.is_sorted());
    let of = |name: &str| -> Vec<u64> {
        let here = merged.iter().filter(|record| record.field(Field::Channel) == name);
        here.map(|record| record.number).collect()
    };
    let system = read(&client, "System", "*[System[EventID!=7036]]", FORWARD).await;
    let application = read(&client, "Application", "*[System[EventID!=1000]]", FORWARD).await;
    assert_eq!(of("System"), numbers(&system));
    assert_eq!(of("Application"), numbers(&application));
    let mut last = [0, 0];
    for record in &merged {
        let n = usize::from(record.field(Field::Channel) == "Application");
        last[n] = record.number;
        assert_eq!(record.ids, last);
        assert_eq!(record.subqueries, [[4, 7][n]]);
    }
}

#[tokio::test]
async fn queries_that_windows_refuses_are_refused() {
    let sim = fred(&[]).await;
    let client = connect(&sim, "fred").await;
    let many = |n: usize| format!("*[System[{}]]", vec!["EventID=1"; n].join(" or "));
    assert!(client.register_log_query(Some("System"), &many(22), FORWARD).await.is_ok());
    let missing = "<QueryList><Query><Select Path='System'>*</Select>\
                   <Select Path='Nowhere'>*</Select></Query></QueryList>";
    for (path, query, flags, expected) in [
        (Some("System"), "*[System[", 0x101, Win32Error::EVT_INVALID_QUERY),
        (Some("System"), "contains(a, b)", 0x101, Win32Error::EVT_INVALID_QUERY),
        (Some("System"), &many(23), 0x101, Win32Error::EVT_INVALID_QUERY),
        (Some("Nowhere"), "*", 0x101, Win32Error::EVT_CHANNEL_NOT_FOUND),
        (None, missing, 0x101, Win32Error::EVT_CHANNEL_NOT_FOUND),
        (None, "*", 0x101, Win32Error::EVT_INVALID_CHANNEL_PATH),
        (Some(r"C:\logs\a.evtx"), "*", 0x102, Win32Error::FILE_NOT_FOUND),
        (Some("System"), "*", 0x303, Win32Error::INVALID_PARAMETER),
        (
            Some("Microsoft-Windows-AppLocker/Debug"),
            "*",
            0x201,
            Win32Error::EVT_SUBSCRIPTION_TO_DIRECT_CHANNEL,
        ),
    ] {
        let outcome = client.register_log_query(path, query, flags.into()).await;
        assert_eq!(status(outcome), expected, "{query}");
        assert_eq!(sim.queries().last().unwrap().status, expected);
    }
    // Tolerated, what is there is read, and what isn't is named.
    let query = client.register_log_query(None, missing, 0x1101.into()).await.unwrap();
    let statuses: Vec<_> = query.channels.iter().map(|info| info.status).collect();
    assert_eq!(statuses, [Win32Error::SUCCESS, Win32Error::EVT_CHANNEL_NOT_FOUND]);
    assert_eq!(rest(&client, query.handle, 100).await.len(), 300);
}

#[tokio::test]
async fn a_query_moves_from_each_origin() {
    let sim = fred(&[]).await;
    let client = connect(&sim, "fred").await;
    let filter = "*[System[EventID=4624 or EventID=4634]]";
    for flags in [FORWARD, REVERSE] {
        let all = numbers(&read(&client, "Security", filter, flags).await);
        let last = all.len() as i64 - 1;
        let query = client.register_log_query(Some("Security"), filter, flags).await.unwrap();
        let bookmark = Bookmark::single("Security", all[40]).to_xml();
        let bookmark = Some(bookmark.as_str());
        let next = async || match client.query_next(query.handle, 1, PATIENCE).await.unwrap() {
            Next::Events(batch) => Some(records(&batch)[0].number),
            _ => None,
        };
        for (offset, mark, origin, expected) in [
            (0, None, SeekFlags::RELATIVE_TO_FIRST, 0),
            (17, None, SeekFlags::RELATIVE_TO_FIRST, 17),
            // The record that was just read is behind.
            (0, None, SeekFlags::RELATIVE_TO_CURRENT, 18),
            (-9, None, SeekFlags::RELATIVE_TO_CURRENT, 10),
            (5, None, SeekFlags::RELATIVE_TO_CURRENT, 16),
            (0, None, SeekFlags::RELATIVE_TO_LAST, last),
            (-30, None, SeekFlags::RELATIVE_TO_LAST, last - 30),
            (0, bookmark, SeekFlags::RELATIVE_TO_BOOKMARK, 40),
            (1, bookmark, SeekFlags::RELATIVE_TO_BOOKMARK, 41),
            (-5, bookmark, SeekFlags::RELATIVE_TO_BOOKMARK, 35),
            (-500, bookmark, SeekFlags::RELATIVE_TO_BOOKMARK, 0),
        ] {
            client.query_seek(query.handle, offset, mark, origin).await.unwrap();
            assert_eq!(next().await, Some(all[expected as usize]), "{offset} from {origin:?}");
        }
        client.query_seek(query.handle, 9999, None, SeekFlags::RELATIVE_TO_FIRST).await.unwrap();
        assert_eq!(next().await, None);
        let strict = SeekFlags::STRICT | SeekFlags::RELATIVE_TO_FIRST;
        let far = client.query_seek(query.handle, 9999, None, strict).await;
        assert_eq!(status(far), Win32Error::NOT_FOUND);
        let strict = SeekFlags::STRICT | SeekFlags::RELATIVE_TO_BOOKMARK;
        let gone = Bookmark::single("Security", 5000).to_xml();
        let gone = client.query_seek(query.handle, 1, Some(&gone), strict).await;
        assert_eq!(status(gone), Win32Error::NOT_FOUND);
        let forward = client.query_seek(query.handle, 1, None, SeekFlags::RELATIVE_TO_LAST).await;
        assert_eq!(status(forward), Win32Error::INVALID_PARAMETER);
    }
}

#[tokio::test]
async fn a_search_that_takes_long_says_that_it_lives() {
    let mut options = options(vec![ServerOptions::new("fred")]);
    options.events = 30_000;
    let sim = Sim::start(options).await.unwrap();
    let client = connect(&sim, "fred").await;
    let rare = "*[EventData[Data='nobody'] or System[EventRecordID=29000]]";
    let query = client.register_log_query(Some("Security"), rare, FORWARD).await.unwrap();
    let (mut beats, mut found) = (0, Vec::new());
    loop {
        match client.query_next(query.handle, 5, Duration::from_millis(10)).await.unwrap() {
            Next::TimedOut(batch) => {
                assert!(batch.is_empty());
                beats += 1;
            }
            Next::Events(batch) => found.extend(numbers(&records(&batch))),
            Next::End => break,
        }
    }
    assert_eq!(found, [29_000]);
    assert!(beats > 2, "{beats} heartbeats");
    assert_eq!(sim.servers()[0].stats().records_read, 30_000);
}

#[tokio::test]
async fn a_log_says_how_many_records_it_has() {
    let sim = fred(&[]).await;
    let client = connect(&sim, "fred").await;
    let log = client.open_log("System", 1.into()).await.unwrap();
    let info = async |property| client.log_info(log, property).await.unwrap().as_u64();
    assert_eq!(info(LogProperty::NumberOfLogRecords).await, 300);
    assert_eq!(info(LogProperty::OldestRecordNumber).await, 1);
    assert!(info(LogProperty::FileSize).await > 69_632);
    let last = read(&client, "System", "*", REVERSE).await[0].field(Field::TimeCreated);
    let written = EventTime::from_filetime(info(LogProperty::LastWriteTime).await);
    assert_eq!(written.to_string(), last);
    sim.servers()[0].wrap("System", 101).unwrap();
    assert_eq!(info(LogProperty::NumberOfLogRecords).await, 200);
    assert_eq!(info(LogProperty::OldestRecordNumber).await, 101);
    sim.servers()[0].clear("System").unwrap();
    sim.servers()[0].append_generated("System", 2).unwrap();
    assert_eq!(info(LogProperty::NumberOfLogRecords).await, 2);
    assert_eq!(info(LogProperty::OldestRecordNumber).await, 301);
    assert_eq!(numbers(&read(&client, "System", "*", FORWARD).await), [301, 302]);
    let missing = client.open_log("Nowhere", 1.into()).await;
    assert_eq!(status(missing), Win32Error::EVT_CHANNEL_NOT_FOUND);
    let small = GetLogFileInfoRequest { log, property: 5, buffer_size: 8 };
    let small = client.call::<GetLogFileInfo>(&small).await.unwrap();
    assert_eq!((small.status, small.length), (Win32Error::INSUFFICIENT_BUFFER, 16));
}

#[tokio::test]
async fn there_are_over_a_thousand_channels_with_their_configuration() {
    let mut options = options(vec![ServerOptions::new("fred")]);
    options.empty_channels = 1100;
    let sim = Sim::start(options).await.unwrap();
    let client = connect(&sim, "fred").await;
    let channels: Vec<_> =
        client.channels().await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(channels.len(), 1103);
    let mut unique: Vec<_> = channels.iter().map(|name| name.to_lowercase()).collect();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), 1103);
    let value = async |channel: &str, property: ChannelProperty| {
        let list = client.channel_config(channel).await.unwrap();
        list.0[property as usize].value.clone()
    };
    assert_eq!(
        value("System", ChannelProperty::ClassicEventlog).await,
        VariantValue::Boolean(true)
    );
    let direct = channels.iter().find(|name| name.ends_with("/Analytic")).unwrap();
    assert_eq!(value(direct, ChannelProperty::ChannelType).await, VariantValue::UInt32(2));
    assert!(read(&client, direct, "*", FORWARD).await.is_empty());
    let subscribed = client.register_subscription(Some(direct), "*", None, PULL | 2.into()).await;
    assert_eq!(status(subscribed), Win32Error::EVT_SUBSCRIPTION_TO_DIRECT_CHANNEL);
    let missing = client.channel_config("Nowhere").await;
    assert_eq!(status(missing), Win32Error::EVT_CHANNEL_NOT_FOUND);
    let publishers = client.publishers().await.unwrap();
    assert!(publishers.iter().any(|name| *name == "Service Control Manager"));
}

#[tokio::test]
async fn a_subscription_hears_of_what_is_appended() {
    let sim = fred(&[]).await;
    let client = connect(&sim, "fred").await;
    let flags = PULL | SubscribeFlags::FUTURE_EVENTS;
    let filter = "*[System[Level<=4]]";
    let future = client.register_subscription(Some("System"), filter, None, flags).await.unwrap();
    let begun = Instant::now();
    let quiet = Duration::from_millis(150);
    let next = client.subscription_next(future.handle, 10, quiet).await.unwrap();
    assert!(matches!(next, Next::TimedOut(batch) if batch.is_empty()));
    assert!(begun.elapsed() >= quiet);
    let waiting = {
        let (client, handle) = (client.clone(), future.handle);
        tokio::spawn(async move { client.subscription_next(handle, 10, PATIENCE).await.unwrap() })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    sim.servers()[0].append_generated("System", 3).unwrap();
    let Next::Events(batch) = waiting.await.unwrap() else { panic!("nothing came") };
    let mut got = numbers(&records(&batch));
    while got.len() < 3 {
        match client.subscription_next(future.handle, 10, PATIENCE).await.unwrap() {
            Next::Events(batch) => got.extend(numbers(&records(&batch))),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(got, [301, 302, 303]);

    // From the oldest, and after a bookmark.
    let flags = PULL | SubscribeFlags::START_AT_OLDEST;
    let oldest = client.register_subscription(Some("System"), "*", None, flags).await.unwrap();
    let Next::Events(batch) = client.subscription_next(oldest.handle, 400, PATIENCE).await.unwrap()
    else {
        panic!("nothing came")
    };
    assert_eq!(numbers(&records(&batch)), (1..=303).collect::<Vec<_>>());
    let flags = PULL | SubscribeFlags::START_AFTER_BOOKMARK | SubscribeFlags::STRICT;
    let bookmark = Bookmark::single("System", 290).to_xml();
    let after = client.register_subscription(Some("System"), "*", Some(&bookmark), flags).await;
    let handle = after.unwrap().handle;
    let Next::Events(batch) = client.subscription_next(handle, 400, PATIENCE).await.unwrap() else {
        panic!("nothing came")
    };
    assert_eq!(numbers(&records(&batch)), (291..=303).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_strict_subscription_says_what_it_missed_and_another_does_not() {
    let sim = fred(&[]).await;
    let client = connect(&sim, "fred").await;
    let after = PULL | SubscribeFlags::START_AFTER_BOOKMARK;
    let bookmark = Bookmark::single("System", 50).to_xml();
    let subscribe = async |flags| {
        client.register_subscription(Some("System"), "*", Some(&bookmark), flags).await
    };
    let strict = subscribe(after | SubscribeFlags::STRICT).await.unwrap();
    let tolerant = subscribe(after).await.unwrap();
    sim.servers()[0].wrap("System", 100).unwrap();
    let missed = client.subscription_next(strict.handle, 10, PATIENCE).await;
    assert_eq!(status(missed), Win32Error::EVT_QUERY_RESULT_STALE);
    match client.subscription_next(tolerant.handle, 3, PATIENCE).await.unwrap() {
        Next::Events(batch) => assert_eq!(numbers(&records(&batch)), [100, 101, 102]),
        other => panic!("{other:?}"),
    }
    let gone = subscribe(after | SubscribeFlags::STRICT).await;
    assert_eq!(status(gone), Win32Error::EVT_QUERY_RESULT_STALE);
    let none = client.register_subscription(Some("System"), "*", None, after).await.unwrap();
    match client.subscription_next(none.handle, 1, PATIENCE).await.unwrap() {
        Next::Events(batch) => assert_eq!(numbers(&records(&batch)), [100]),
        other => panic!("{other:?}"),
    }
    let flags = after | SubscribeFlags::STRICT;
    let none = client.register_subscription(Some("System"), "*", None, flags).await;
    assert_eq!(status(none), Win32Error::NOT_FOUND);
}

#[tokio::test]
async fn the_waiting_forms_answer_when_there_is_something() {
    let sim = fred(&[]).await;
    let client = connect(&sim, "fred").await;
    let pull = PULL | SubscribeFlags::FUTURE_EVENTS;
    let pull = client.register_subscription(Some("System"), "*", None, pull).await.unwrap();
    let future = SubscribeFlags::FUTURE_EVENTS;
    let push = client.register_subscription(Some("System"), "*", None, future).await.unwrap();
    let wait = RemoteSubscriptionWaitAsyncRequest { handle: pull.handle };
    let next = RemoteSubscriptionNextAsyncRequest { handle: push.handle, requested: 5, flags: 0 };
    let append = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        sim.servers()[0].append_generated("System", 1).unwrap();
        Instant::now()
    };
    let waited = async {
        let response = client.call::<RemoteSubscriptionWaitAsync>(&wait).await.unwrap();
        assert_eq!(response.status, Win32Error::SUCCESS);
        Instant::now()
    };
    let pushed = async {
        let response = client.call::<RemoteSubscriptionNextAsync>(&next).await.unwrap();
        assert_eq!(numbers(&records(&response.batch)), [301]);
        Instant::now()
    };
    let (appended, waited, pushed) = tokio::join!(append, waited, pushed);
    assert!(waited >= appended && pushed >= appended);
    let wrong = client.subscription_next(push.handle, 5, PATIENCE).await;
    assert_eq!(status(wrong), Win32Error::INVALID_OPERATION);
}

#[tokio::test]
async fn a_control_handle_ends_a_call_that_waits() {
    let sim = fred(&[]).await;
    let client = connect(&sim, "fred").await;
    let flags = PULL | SubscribeFlags::FUTURE_EVENTS;
    let one = client.register_subscription(Some("System"), "*", None, flags).await.unwrap();
    let waiting = client.subscription_next(one.handle, 5, PATIENCE);
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        client.cancel(one.control).await.unwrap();
    };
    let (waited, ()) = tokio::join!(waiting, cancel);
    assert_eq!(status(waited), Win32Error::CANCELLED);
}

#[tokio::test]
async fn handles_are_known_by_kind_and_until_they_are_closed() {
    let sim = fred(&[]).await;
    let client = connect(&sim, "fred").await;
    let query = client.register_log_query(Some("System"), "*", FORWARD).await.unwrap();
    let handle: ContextHandle = query.handle.into();
    let as_log = client.log_info(handle.into(), LogProperty::FileSize).await;
    assert_eq!(status(as_log), Win32Error::INVALID_PARAMETER);
    client.close(handle).await.unwrap();
    let mismatch = |outcome: Result<Next, Error>| match outcome.unwrap_err() {
        Error::Rpc(quarry_rpc::Error::Fault(fault)) => fault,
        error => panic!("{error}"),
    };
    let closed = client.query_next(query.handle, 1, PATIENCE).await;
    assert_eq!(mismatch(closed), FaultStatus::CONTEXT_MISMATCH);
    // Another client's handle is none.
    let query = client.register_log_query(Some("System"), "*", FORWARD).await.unwrap();
    let other = connect(&sim, "fred").await;
    let foreign = other.query_next(query.handle, 1, PATIENCE).await;
    assert_eq!(mismatch(foreign), FaultStatus::CONTEXT_MISMATCH);
    for requested in [0, 1025] {
        let request = QueryNextRequest { query: query.handle, requested, timeout: 100, flags: 0 };
        let answer = client.call::<QueryNext>(&request).await.unwrap();
        assert_eq!(answer.status, Win32Error::INVALID_PARAMETER);
    }
}

#[tokio::test]
async fn what_would_change_a_server_is_refused() {
    let sim = fred(&[]).await;
    let client = connect(&sim, "fred").await;
    let control =
        client.call::<RegisterControllableOperation>(&RegisterControllableOperationRequest {});
    let control = control.await.unwrap().handle;
    let channel = || "System".into();
    let clear = ClearLogRequest { control, channel: channel(), backup: None, flags: 0 };
    let cleared = client.call::<ClearLog>(&clear).await.unwrap();
    assert_eq!(cleared.status, Win32Error::ACCESS_DENIED);
    assert_eq!(read(&client, "System", "*", FORWARD).await.len(), 300);
}

#[tokio::test]
async fn a_publisher_s_messages_and_definitions_are_told() {
    let sim = fred(&[]).await;
    let client = connect(&sim, "fred").await;
    let unknown = client.publisher_metadata(Some("Nobody"), None, 1033).await;
    assert_eq!(status(unknown), Win32Error::EVT_PUBLISHER_METADATA_NOT_FOUND);
    let german = client.publisher_metadata(Some("Service Control Manager"), None, 1031).await;
    assert_eq!(status(german), Win32Error::EVT_MESSAGE_LOCALE_NOT_FOUND);
    let open = async |name| client.publisher_metadata(Some(name), None, 1033).await.unwrap().0;
    let services = open("Service Control Manager").await;
    let request = |publisher, message_id, flags: FormatFlags, max_size| MessageRenderRequest {
        publisher,
        event_id: EventDescriptor::default().to_bytes().to_vec(),
        message_id,
        values: ["Spooler", "running"].into_iter().collect(),
        flags: flags.into(),
        max_size,
    };
    // 7036 with the qualifiers 0x4000.
    let ask = request(services, 0x4000_1b7c, FormatFlags::ID, 4096);
    let rendered = client.message_render(&ask, 4096).await.unwrap();
    assert_eq!(rendered.texts(), ["The Spooler service entered the running state."]);
    // Asked for again with the room that it needs, unless that is more than is allowed.
    let ask = request(services, 0x4000_1b7c, FormatFlags::ID, 8);
    assert_eq!(client.message_render(&ask, 4096).await.unwrap(), rendered);
    let refused = client.message_render(&ask, 50).await;
    assert_eq!(status(refused), Win32Error::INSUFFICIENT_BUFFER);
    let ask = request(services, 1, FormatFlags::ID, 4096);
    assert_eq!(
        status(client.message_render(&ask, 4096).await),
        Win32Error::EVT_MESSAGE_ID_NOT_FOUND
    );

    let auditing = open("Microsoft-Windows-Security-Auditing").await;
    let listing = client.event_metadata(auditing).await.unwrap();
    let mut definitions = Vec::new();
    loop {
        let next = client.next_event_metadata(listing, 4).await.unwrap();
        if next.is_empty() {
            break;
        }
        assert!(next.len() <= 4);
        definitions.extend(next);
    }
    let ids: Vec<_> = definitions.iter().map(|list| list.0[0].value.clone()).collect();
    let expected = [4624, 4634, 4672, 4688, 4625, 4776].map(VariantValue::UInt32);
    assert_eq!(ids, expected);
    client.close(listing.into()).await.unwrap();

    // A handle that was never given out, or is another's.
    let request = GetNextEventMetadataRequest {
        handle: EventMetadataEnumHandle::default(),
        flags: 0,
        requested: 1,
    };
    let fault = client.call::<GetNextEventMetadata>(&request).await.unwrap_err();
    assert!(matches!(fault, Error::Rpc(quarry_rpc::Error::Fault(_))));
    let tasks = GetPublisherResourceMetadataRequest {
        handle: auditing,
        property: quarry_even::PublisherResource::Tasks as u32,
        flags: 0,
    };
    let tasks = client.call::<GetPublisherResourceMetadata>(&tasks).await.unwrap();
    assert_eq!((tasks.status, tasks.properties.0.len()), (Win32Error::SUCCESS, 3));
}

#[tokio::test]
async fn an_inventory_names_every_server_and_the_account() {
    let servers = ["fred", "barney", "wil.ma"].map(ServerOptions::new).to_vec();
    let sim = Sim::start(options(servers)).await.unwrap();
    let text = sim.inventory("sim.password");
    let inventory: toml::Table = text.parse().unwrap();
    assert_eq!(inventory["credential"].as_str(), Some("sim"));
    let credential = &inventory["credentials"]["sim"];
    assert_eq!(credential["username"].as_str(), Some(r"SIM\quarry"));
    assert_eq!(credential["password-file"].as_str(), Some("sim.password"));
    for server in sim.servers() {
        let entry = &inventory["servers"][server.name()];
        assert_eq!(entry["address"].as_str(), Some("127.0.0.1"));
        assert_eq!(entry["mapper-port"].as_integer(), Some(server.mapper_port().into()));
    }
    assert!(!text.contains("Passw0rd!"));
    let twice = ["fred", "Fred"].map(ServerOptions::new).to_vec();
    assert!(Sim::start(options(twice)).await.is_err());
    assert!(Sim::start(options(Vec::new())).await.is_err());
}

#[tokio::test]
async fn latency_delays_each_answer_and_not_the_calls_behind_it() {
    let mut options = options(vec![ServerOptions::new("fred")]);
    options.latency = Duration::from_millis(300);
    let sim = Sim::start(options).await.unwrap();
    let client = connect(&sim, "fred").await;
    let begun = Instant::now();
    let query = client.register_log_query(Some("System"), "*", FORWARD).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(300));
    // Several at once wait for it together.
    let begun = Instant::now();
    let calls = (0..10).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.query_next(query.handle, 10, PATIENCE).await.unwrap() })
    });
    for call in calls.collect::<Vec<_>>() {
        assert!(matches!(call.await.unwrap(), Next::Events(batch) if batch.len() == 10));
    }
    assert!(begun.elapsed() < Duration::from_millis(2000), "{:?}", begun.elapsed());
}
