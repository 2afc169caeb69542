//! Each fault, through this project's own client.

mod common;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::*;
use quarry_cred::{Credential, Gate, Secret};
use quarry_even::even::{ConnectPipeOptions, EvenClient};
use quarry_even::{
    Authentication, Bookmark, Error, EventClient, LogProperty, Next, SeekFlags, Win32Error,
};
use quarry_event::Field;
use quarry_rpc::{Blame, FaultStatus, NetworkErrorKind};
use quarry_sim::{Fault, ServerOptions, Sim};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Reads in batches of 40 until something is wrong: how many records came, and what was wrong.
async fn read_until_error(client: &EventClient, flags: u32) -> (u64, Error) {
    let query = client.register_log_query(Some("System"), "*", flags.into()).await.unwrap();
    let mut count = 0;
    loop {
        match client.query_next(query.handle, 40, PATIENCE).await {
            Ok(Next::Events(batch)) => count += batch.len() as u64,
            Ok(other) => panic!("{other:?}"),
            Err(error) => return (count, error),
        }
    }
}

async fn refused(sim: &Sim) -> Error {
    EventClient::connect(&connect_options(sim, "fred")).await.unwrap_err()
}

fn network(error: &Error) -> NetworkErrorKind {
    match error {
        Error::Rpc(quarry_rpc::Error::Network(error)) => error.kind.clone(),
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_slow_server_says_that_it_lives_and_then_goes_on() {
    let sim = fred(&["slow:350".parse().unwrap()]).await;
    let client = connect(&sim, "fred").await;
    let query = client.register_log_query(Some("System"), "*", FORWARD).await.unwrap();
    let (mut beats, mut count) = (0, 0);
    let begun = Instant::now();
    while count < 300 {
        match client.query_next(query.handle, 150, Duration::from_millis(100)).await.unwrap() {
            Next::Events(batch) => count += batch.len(),
            Next::TimedOut(batch) => {
                assert!(batch.is_empty());
                beats += 1;
            }
            Next::End => panic!("the end after {count}"),
        }
    }
    assert!((2..=8).contains(&beats), "{beats} heartbeats");
    assert!(begun.elapsed() >= Duration::from_millis(700));
}

#[tokio::test]
async fn a_silent_server_says_nothing_after_its_last_record() {
    let sim = fred(&[Fault::Silent(130)]).await;
    let client = connect(&sim, "fred").await;
    // In both directions, and a second time.
    for flags in [0x101, 0x201, 0x101] {
        let mut options = connect_options(&sim, "fred");
        options.timeouts.silence = SHORT;
        let client = EventClient::connect(&options).await.unwrap();
        let (count, error) = read_until_error(&client, flags).await;
        assert_eq!(count, 130);
        assert_eq!(network(&error), NetworkErrorKind::Silent(SHORT));
    }
    // All else is answered.
    assert!(client.channels().await.is_ok());
}

#[tokio::test]
async fn a_reset_is_one_and_comes_again() {
    let sim = fred(&[Fault::Reset(50)]).await;
    for _ in 0..2 {
        let client = connect(&sim, "fred").await;
        let (count, error) = read_until_error(&client, 0x101).await;
        assert_eq!((count, network(&error)), (50, NetworkErrorKind::Reset));
    }
}

#[tokio::test]
async fn a_restart_comes_once_and_the_rest_can_be_had() {
    let sim = fred(&[Fault::Restart(50)]).await;
    let client = connect(&sim, "fred").await;
    let (count, error) = read_until_error(&client, 0x101).await;
    assert_eq!((count, network(&error)), (50, NetworkErrorKind::Reset));
    let client = connect(&sim, "fred").await;
    let query = client.register_log_query(Some("System"), "*", FORWARD).await.unwrap();
    let bookmark = Bookmark::single("System", 50).to_xml();
    let origin = SeekFlags::RELATIVE_TO_BOOKMARK;
    client.query_seek(query.handle, 1, Some(&bookmark), origin).await.unwrap();
    let got = rest(&client, query.handle, 100).await;
    assert_eq!(numbers(&got), (51..=300).collect::<Vec<_>>());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_black_hole_is_found_by_the_connect_time_out_only() {
    let servers = vec![
        ServerOptions::new("fred").with(Fault::BlackHole),
        ServerOptions::new("barney").with(Fault::PortDropped),
        ServerOptions::new("wilma"),
    ];
    let sim = Sim::start(options(servers)).await.unwrap();
    for server in ["fred", "barney"] {
        let begun = Instant::now();
        let mut options = connect_options(&sim, server);
        options.timeouts.connect = SHORT;
        let error = EventClient::connect(&options).await.unwrap_err();
        assert_eq!(network(&error), NetworkErrorKind::TimedOut(SHORT), "{server}");
        assert!(begun.elapsed() >= SHORT);
    }
    // Not the server, and not by the mapper's word.
    let mapper = sim.server("barney").unwrap().mapper_port();
    assert!(TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], mapper))).await.is_ok());
    assert_eq!(read(&connect(&sim, "wilma").await, "System", "*", FORWARD).await.len(), 300);
}

#[tokio::test]
async fn a_refused_port_is_refused_at_once() {
    for fault in [Fault::NoMapper, Fault::PortClosed] {
        let sim = fred(&[fault]).await;
        let begun = Instant::now();
        assert_eq!(network(&refused(&sim).await), NetworkErrorKind::Refused);
        assert!(begun.elapsed() < PATIENCE / 2);
    }
}

#[tokio::test]
async fn a_refused_logon_is_the_credentials_fault() {
    let sim = fred(&[Fault::RefuseLogon]).await;
    let error = refused(&sim).await;
    assert!(matches!(error, Error::Rpc(quarry_rpc::Error::LogonRefused(_))), "{error}");
    assert_eq!(error.blame(), Blame::Credential);
}

#[tokio::test]
async fn refused_access_is_to_a_channel_or_to_all() {
    for (fault, application) in [("refuse-access", false), ("refuse-access:security", true)] {
        let sim = fred(&[fault.parse().unwrap()]).await;
        let client = connect(&sim, "fred").await;
        let query = async |channel| client.register_log_query(Some(channel), "*", FORWARD).await;
        assert!(query("Security").await.unwrap_err().is_channel_access_denied());
        let opened = client.open_log("Security", 1.into()).await.unwrap_err();
        assert!(opened.is_channel_access_denied());
        let subscribed =
            client.register_subscription(Some("Security"), "*", None, 0x1000_0001.into()).await;
        assert!(subscribed.unwrap_err().is_channel_access_denied());
        assert_eq!(query("Application").await.is_ok(), application);
    }
}

#[tokio::test]
async fn a_batch_that_is_too_big_fails_and_its_records_are_passed() {
    let sim = fred(&["big-batch:100000".parse().unwrap()]).await;
    let client = connect(&sim, "fred").await;
    let query = client.register_log_query(Some("System"), "*", FORWARD).await.unwrap();
    let error = client.query_next(query.handle, 200, PATIENCE).await.unwrap_err();
    assert!(error.is_batch_too_large(), "{error}");
    match client.query_next(query.handle, 10, PATIENCE).await.unwrap() {
        Next::Events(batch) => assert_eq!(records(&batch)[0].number, 201),
        other => panic!("{other:?}"),
    }
    // By a smaller step from before it, nothing is lost.
    client.query_seek(query.handle, 0, None, SeekFlags::RELATIVE_TO_FIRST).await.unwrap();
    assert_eq!(numbers(&rest(&client, query.handle, 20).await), (1..=300).collect::<Vec<_>>());
}

#[tokio::test]
async fn another_server_sends_no_more_than_two_mebibytes_at_once() {
    let mut options = options(vec![ServerOptions::new("fred")]);
    options.event_size = Some(50_000);
    let sim = Sim::start(options).await.unwrap();
    let client = connect(&sim, "fred").await;
    let query = client.register_log_query(Some("System"), "*", FORWARD).await.unwrap();
    match client.query_next(query.handle, 1000, PATIENCE).await.unwrap() {
        Next::Events(batch) => {
            assert!((38..42).contains(&batch.len()), "{}", batch.len());
            assert!(batch.buffer().len() <= 2 << 20);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(rest(&client, query.handle, 1000).await.last().unwrap().number, 300);
}

#[tokio::test]
async fn few_clauses_are_fewer_than_windows_takes() {
    let sim = fred(&[Fault::FewClauses(5)]).await;
    let client = connect(&sim, "fred").await;
    let query = |n: usize| format!("*[System[{}]]", vec!["EventID=7036"; n].join(" or "));
    let register = async |n| client.register_log_query(Some("System"), &query(n), FORWARD).await;
    assert!(register(5).await.is_ok());
    assert_eq!(register(6).await.unwrap_err().status(), Some(Win32Error::EVT_INVALID_QUERY));
}

#[tokio::test]
async fn garbage_is_a_record_that_does_not_parse() {
    let sim = fred(&[Fault::Garbage]).await;
    let client = connect(&sim, "fred").await;
    let query = client.register_log_query(Some("System"), "*", FORWARD).await.unwrap();
    match client.query_next(query.handle, 50, PATIENCE).await.unwrap() {
        Next::Events(batch) => {
            let bad = |bytes| quarry_even::ResultSetRecord::parse(bytes).is_err();
            assert!(batch.len() == 50 && batch.records().all(bad));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn oversized_answers_are_the_servers_fault() {
    let sim = fred(&[Fault::Oversized]).await;
    let client = connect(&sim, "fred").await;
    for _ in 0..4 {
        let query = client.register_log_query(Some("System"), "*", FORWARD).await.unwrap();
        let error = client.query_next(query.handle, 100, PATIENCE).await.unwrap_err();
        assert_eq!(error.blame(), Blame::Peer, "{error}");
    }
}

#[tokio::test]
async fn a_log_that_is_cleared_or_wraps_under_a_reader_is_stale() {
    for (fault, left, oldest) in [(Fault::Cleared(100), 0, 0), (Fault::Wrapped(100), 100, 201)] {
        let sim = fred(std::slice::from_ref(&fault)).await;
        let client = connect(&sim, "fred").await;
        let (count, error) = read_until_error(&client, 0x101).await;
        assert_eq!(count, 100);
        assert_eq!(error.status(), Some(Win32Error::EVT_QUERY_RESULT_STALE), "{fault}");
        let log = client.open_log("System", 1.into()).await.unwrap();
        let info = async |property| client.log_info(log, property).await.unwrap().as_u64();
        assert_eq!(info(LogProperty::NumberOfLogRecords).await, left);
        assert_eq!(info(LogProperty::OldestRecordNumber).await, oldest);
        // A query that begins anew reads what is left.
        assert_eq!(read(&client, "System", "*", FORWARD).await.len() as u64, left);
    }
    // One who reads newest first finds the end sooner.
    let sim = fred(&[Fault::Wrapped(100)]).await;
    let client = connect(&sim, "fred").await;
    let all = read(&client, "System", "*", REVERSE).await;
    assert_eq!(numbers(&all), (101..=300).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn forwarded_events_have_others_numbers_and_names() {
    let sim = fred(&[Fault::Forwarded]).await;
    let client = connect(&sim, "fred").await;
    let all = read(&client, "System", "*", FORWARD).await;
    assert_eq!(numbers(&all), (1..=300).collect::<Vec<_>>());
    let ids: Vec<_> = all.iter().map(|record| record.field(Field::RecordId)).collect();
    assert_eq!(ids[..3], ["1000001", "", "3"]);
    assert!(all[0].field(Field::Computer).starts_with("client"));
    assert_eq!(all[1].field(Field::Computer), "fred.sim.test");
    assert_eq!(ids.iter().filter(|id| id.is_empty()).count(), 100);
}

#[tokio::test]
async fn one_servers_fault_is_not_anothers_and_all_end_with_the_simulation() {
    let servers =
        vec![ServerOptions::new("fred").with(Fault::Silent(0)), ServerOptions::new("barney")];
    let sim = Sim::start(options(servers)).await.unwrap();
    let mut hasty = connect_options(&sim, "fred");
    hasty.timeouts.silence = SHORT;
    let client = EventClient::connect(&hasty).await.unwrap();
    assert_eq!(read_until_error(&client, 0x101).await.0, 0);
    assert_eq!(read(&connect(&sim, "barney").await, "System", "*", FORWARD).await.len(), 300);
    let port = sim.server("barney").unwrap().event_port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut open = TcpStream::connect(address).await.unwrap();
    drop(sim);
    let ended = tokio::time::timeout(PATIENCE, open.read_u8()).await.unwrap();
    assert!(ended.is_err());
    assert!(TcpStream::connect(address).await.is_err());
}

/// Waits until a server was shown so many credentials.
async fn until_shown(sim: &Sim, server: &str, logons: u64) {
    let begun = Instant::now();
    while sim.server(server).unwrap().stats().logons < logons {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn server(name: &str, fault: Option<Fault>) -> ServerOptions {
    let faults = fault.into_iter().collect();
    ServerOptions { name: name.into(), faults, ..Default::default() }
}

#[tokio::test]
async fn two_servers_that_drip_after_their_challenge_hold_the_gate_for_a_bounded_time() {
    let drip = || Some(Fault::Drip(Duration::from_secs(1)));
    let servers = vec![server("one", drip()), server("two", drip()), server("well", None)];
    let sim = Sim::start(options(servers)).await.unwrap();
    let gate = Gate::default();
    let connect = |name: &str| {
        let mut options = connect_options(&sim, name);
        options.gate = Some(gate.clone());
        options
    };
    let mut dripping = Vec::new();
    for name in ["one", "two"] {
        let mut options = connect(name);
        options.timeouts.silence = 3 * SHORT;
        dripping.push(tokio::spawn(async move { EventClient::connect(&options).await }));
        until_shown(&sim, name, 1).await;
    }
    // Both have the password, and neither says what it thinks of it.
    EventClient::connect(&connect("well")).await.unwrap();
    assert!(gate.is_proven());
    for dripping in dripping {
        let error = dripping.await.unwrap().unwrap_err();
        assert_eq!(network(&error), NetworkErrorKind::TooSlow(3 * SHORT));
    }
}

#[tokio::test]
async fn two_servers_that_put_smbs_logon_off_hold_the_gate_for_a_bounded_time() {
    let pending = || Some(Fault::Pending);
    let servers = vec![server("one", pending()), server("two", pending()), server("well", None)];
    let sim = Sim::start(options(servers)).await.unwrap();
    let gate = Gate::default();
    let mut hanging = Vec::new();
    for name in ["one", "two"] {
        let server = sim.server(name).unwrap();
        let mut options = ConnectPipeOptions::new("127.0.0.1", sim.credential().clone());
        options.port = server.smb_port().unwrap();
        options.gate = Some(gate.clone());
        hanging.push(tokio::spawn(async move { EvenClient::connect(&options).await }));
    }
    let mut well = connect_options(&sim, "well");
    well.gate = Some(gate.clone());
    EventClient::connect(&well).await.unwrap();
    assert!(gate.is_proven());
    for hanging in hanging {
        let error = hanging.await.unwrap().unwrap_err();
        assert_eq!(error.blame(), Blame::Peer, "{error}");
    }
}

#[tokio::test]
async fn who_answers_a_wrong_password_with_being_busy_leaves_the_gate_as_it_was() {
    let servers = vec![server("busy", Some(Fault::Busy)), server("well", None)];
    let sim = Sim::start(options(servers)).await.unwrap();
    let gate = Gate::default();
    let wrong = |name: &str| {
        let mut options = connect_options(&sim, name);
        let account = sim.credential().account().clone();
        options.logon = Credential::new(account, Secret::new("wrong".to_owned()).unwrap()).into();
        options.authentication = Authentication::Ntlm;
        options.gate = Some(gate.clone());
        options
    };
    for _ in 0..3 {
        let error = EventClient::connect(&wrong("busy")).await.unwrap_err();
        let busy = quarry_rpc::Error::Fault(FaultStatus::SERVER_TOO_BUSY);
        assert_eq!(error, Error::Rpc(busy));
        assert!(!gate.is_proven() && gate.refusal().is_none());
    }
    EventClient::connect(&wrong("well")).await.unwrap_err();
    assert!(gate.refusal().is_some());
}

#[tokio::test]
async fn a_credential_that_is_refused_once_is_right_the_next_time() {
    let sim = fred(&[Fault::RefuseOnce]).await;
    let error = refused(&sim).await;
    assert_eq!(error.blame(), Blame::Credential);
    connect(&sim, "fred").await;
}

#[tokio::test]
async fn a_search_without_end_times_out_for_ever() {
    let sim = fred(&[Fault::Endless]).await;
    let client = connect(&sim, "fred").await;
    let query = client.register_log_query(Some("System"), "*", FORWARD).await.unwrap();
    for _ in 0..5 {
        let next = client.query_next(query.handle, 40, Duration::from_millis(50)).await.unwrap();
        assert!(matches!(next, Next::TimedOut(batch) if batch.is_empty()));
    }
}
