//! Our client against the rig's server: NTLM and SPNEGO by Scapy, sealing,
//! fragments, the endpoint mapper, and what a bad server may do.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use quarry_cred::{Credential, Gate, Secret};
use quarry_even::*;
use quarry_rpc::tcp::Timeouts;
use quarry_rpc::{Blame, Error as RpcError, FaultStatus, NetworkErrorKind, ProtocolError};
use quarry_testkit::{Even6Server, even6_python};

const EVENTS: usize = 3000;

struct Rig {
    folder: PathBuf,
    python: PathBuf,
    _files: tempfile::TempDir,
    events: PathBuf,
}

impl Rig {
    fn new(events: usize) -> Option<Self> {
        let (folder, python) = even6_python()?;
        let files = tempfile::tempdir().unwrap();
        let file = files.path().join("events.jsonl");
        let made = script(&folder, &python, &["make_events.py", &events.to_string()]);
        std::fs::write(&file, made).unwrap();
        Some(Self { folder, python, _files: files, events: file })
    }

    fn serve(&self, arguments: &[&str]) -> Even6Server {
        let channel = format!("Security={}", self.events.display());
        let mut all = vec!["--channel", &channel];
        all.extend(arguments);
        Even6Server::start(&self.folder, &self.python, &all)
    }

    /// The events as the rig's own encoder writes them.
    fn wire_events(&self) -> Vec<String> {
        let text = "import json, sys, even6wire as w\n\
                    for line in open(sys.argv[1]): print(w.encode_event(json.loads(line)).hex())";
        let file = self.events.to_str().unwrap();
        let out = script(&self.folder, &self.python, &["-c", text, file]);
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }
}

fn script(folder: &Path, python: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(python)
        .current_dir(folder)
        .env("PYTHONPATH", folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn options(server: &Even6Server, authentication: Authentication, password: &str) -> ConnectOptions {
    let secret = Secret::new(password.into()).unwrap();
    let credential = Credential::new(r"LAB\alice".parse().unwrap(), secret);
    ConnectOptions {
        mapper_port: server.mapper_port,
        authentication,
        timeouts: Timeouts { silence: Duration::from_secs(20), ..Timeouts::default() },
        ..ConnectOptions::new("127.0.0.1", credential)
    }
}

async fn connect(server: &Even6Server, authentication: Authentication) -> EventClient {
    EventClient::connect(&options(server, authentication, "Passw0rd!")).await.unwrap()
}

const FORWARD: QueryFlags = QueryFlags(0x101);
const REVERSE: QueryFlags = QueryFlags(0x201);

/// Reads a query to its end: record numbers and events.
async fn read_all(client: &EventClient, flags: QueryFlags, batch: u32) -> Vec<(u64, String)> {
    let query = client.register_log_query(Some("Security"), "*", flags).await.unwrap();
    assert_eq!(query.channels.len(), 1);
    assert_eq!(query.channels[0].name.as_ref().unwrap(), &"Security");
    let mut events = Vec::new();
    loop {
        match client.query_next(query.handle, batch, Duration::from_secs(10)).await.unwrap() {
            Next::Events(batch) => {
                assert!(!batch.is_empty());
                for record in batch.records() {
                    let record = ResultSetRecord::parse(record).unwrap();
                    assert_eq!(record.position.reverse, flags == REVERSE);
                    let hex = record.binxml.iter().map(|byte| format!("{byte:02x}")).collect();
                    events.push((record.position.record_id(), hex));
                }
            }
            Next::End => break,
            Next::TimedOut(_) => panic!("timed out"),
        }
    }
    client.close(query.handle.into()).await.unwrap();
    client.close(query.control.into()).await.unwrap();
    events
}

#[tokio::test]
async fn thousands_of_events_are_read_sealed_by_ntlm_and_spnego_in_any_fragments() {
    let Some(rig) = Rig::new(EVENTS) else { return };
    let expected = rig.wire_events();
    assert_eq!(expected.len(), EVENTS);
    for (max_fragment, batch) in [("5840", 1024), ("1432", 100), ("65535", 1024)] {
        let mut server = rig.serve(&["--max-frag", max_fragment]);
        for authentication in [Authentication::Negotiate, Authentication::Ntlm] {
            let client = connect(&server, authentication).await;
            assert!(client.rpc().header_signing());
            let events = read_all(&client, FORWARD, batch).await;
            let ids: Vec<u64> = events.iter().map(|(id, _)| *id).collect();
            assert_eq!(ids, (1..=EVENTS as u64).collect::<Vec<_>>());
            assert!(events.iter().map(|(_, event)| event).eq(&expected), "every event as encoded");
            if max_fragment == "5840" {
                let mut reversed = read_all(&client, REVERSE, batch).await;
                reversed.reverse();
                assert_eq!(reversed, events);
            }
        }
        let stats = server.stats();
        assert!(stats["multi_fragment_responses"].as_u64() > Some(0), "{stats}");
        assert_eq!(stats["exceptions"], serde_json::Value::Null, "{stats}");
    }
}

#[tokio::test]
async fn the_other_operations_answer_what_the_server_has() {
    let Some(rig) = Rig::new(200) else { return };
    let server = rig.serve(&["--channel", "Setup", "--deny", "Secret", "--empty", "zero"]);
    let client = connect(&server, Authentication::Negotiate).await;

    let channels: Vec<String> =
        client.channels().await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(channels, ["Security", "Setup", "Secret"]);

    let log = client.open_log("Security", QueryFlags::CHANNEL_PATH).await.unwrap();
    let count = client.log_info(log, LogProperty::NumberOfLogRecords).await.unwrap();
    assert_eq!(count, BinXmlVariant::UInt64(200));
    let oldest = client.log_info(log, LogProperty::OldestRecordNumber).await.unwrap();
    assert_eq!(oldest, BinXmlVariant::UInt64(1));
    client.close(log.into()).await.unwrap();
    let error = client.close(log.into()).await.unwrap_err();
    assert_eq!(error, Error::Rpc(RpcError::Fault(FaultStatus::CONTEXT_MISMATCH)));

    // Where a refusal comes from is told apart.
    let error = client.open_log("Secret", QueryFlags::CHANNEL_PATH).await.unwrap_err();
    assert!(error.is_channel_access_denied(), "{error:?}");
    let error = client.register_log_query(Some("None"), "*", FORWARD).await.unwrap_err();
    assert_eq!(error.status(), Some(Win32Error::EVT_CHANNEL_NOT_FOUND));
    let error = client.register_log_query(Some("Security"), "*[", FORWARD).await.unwrap_err();
    assert_eq!(error.status(), Some(Win32Error::EVT_INVALID_QUERY));
    assert_eq!(error.to_string(), "EvtRpcRegisterLogQuery: invalid query (15001)");
    assert_eq!(error.blame(), Blame::Refusal);

    // An empty log, its arrays of length zero rather than null.
    let query = client.register_log_query(Some("Setup"), "*", FORWARD).await.unwrap();
    let next = client.query_next(query.handle, 10, Duration::from_secs(5)).await.unwrap();
    assert_eq!(next, Next::End);

    // Seeking: to the last, to a bookmark, past the end.
    let query = client.register_log_query(Some("Security"), "*", FORWARD).await.unwrap();
    let first =
        async || match client.query_next(query.handle, 1, Duration::from_secs(5)).await.unwrap() {
            Next::Events(batch) => ResultSetRecord::parse(batch.records().next().unwrap())
                .unwrap()
                .position
                .record_id(),
            other => panic!("{other:?}"),
        };
    client.query_seek(query.handle, 0, None, SeekFlags::RELATIVE_TO_LAST).await.unwrap();
    assert_eq!(first().await, 200);
    let bookmark = Bookmark::single("Security", 120).to_xml();
    let flags = SeekFlags::RELATIVE_TO_BOOKMARK | SeekFlags::STRICT;
    client.query_seek(query.handle, 1, Some(&bookmark), flags).await.unwrap();
    assert_eq!(first().await, 121);
    let strict = SeekFlags::RELATIVE_TO_FIRST | SeekFlags::STRICT;
    let error = client.query_seek(query.handle, 500, None, strict).await.unwrap_err();
    assert_eq!(error.status(), Some(Win32Error::NOT_FOUND));

    // A pull subscription after a bookmark, then nothing new.
    let flags =
        SubscribeFlags::START_AFTER_BOOKMARK | SubscribeFlags::PULL | SubscribeFlags::STRICT;
    let subscription =
        client.register_subscription(Some("Security"), "*", Some(&bookmark), flags).await.unwrap();
    let short = Duration::from_millis(200);
    let next = client.subscription_next(subscription.handle, 1024, short).await.unwrap();
    let (Next::Events(batch) | Next::TimedOut(batch)) = next else { panic!("{next:?}") };
    let record = ResultSetRecord::parse(batch.records().next().unwrap()).unwrap();
    assert_eq!((batch.len(), record.position.record_id()), (80, 121));
    let next = client.subscription_next(subscription.handle, 1024, short).await.unwrap();
    assert!(matches!(&next, Next::TimedOut(batch) if batch.is_empty()), "{next:?}");
}

#[tokio::test]
async fn a_slow_query_times_out_alive_and_can_be_cancelled_meanwhile() {
    let Some(rig) = Rig::new(400) else { return };
    let server = rig.serve(&["--scan-us", "5000"]);
    let client = connect(&server, Authentication::Negotiate).await;
    let none = "*[System[EventID=1]]";
    let query = client.register_log_query(Some("Security"), none, FORWARD).await.unwrap();
    let next = client.query_next(query.handle, 10, Duration::from_millis(100)).await.unwrap();
    assert!(matches!(next, Next::TimedOut(_)), "{next:?}");
    let (next, cancelled) =
        tokio::join!(client.query_next(query.handle, 10, Duration::from_secs(60)), async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            client.cancel(query.control).await
        });
    cancelled.unwrap();
    assert_eq!(next.unwrap_err().status(), Some(Win32Error::CANCELLED));
}

#[tokio::test]
async fn a_wrong_password_is_told_from_everything_else_and_tried_once() {
    let Some(rig) = Rig::new(1) else { return };
    let server = rig.serve(&[]);
    for authentication in [Authentication::Negotiate, Authentication::Ntlm] {
        let mut options = options(&server, authentication, "wrong");
        let gate = Gate::default();
        options.gate = Some(gate.clone());
        let error = EventClient::connect(&options).await.unwrap_err();
        assert!(matches!(error, Error::Rpc(RpcError::LogonRefused(_))), "{error:?}");
        assert_eq!(error.blame(), Blame::Credential);
        // The second server is never asked.
        let again = EventClient::connect(&options).await.unwrap_err();
        assert!(matches!(again, Error::CredentialRefused(_)), "{again:?}");
        assert!(gate.refusal().is_some());
    }
    let mut options = options(&server, Authentication::Ntlm, "Passw0rd!");
    let gate = Gate::default();
    options.gate = Some(gate.clone());
    let client = EventClient::connect(&options).await.unwrap();
    assert!(gate.is_proven() && client.rpc().is_proven());
}

#[tokio::test]
async fn a_server_without_the_authentication_type_is_named_so() {
    let Some(rig) = Rig::new(1) else { return };
    let server = rig.serve(&["--auth", "ntlm"]);
    let options = options(&server, Authentication::Negotiate, "Passw0rd!");
    let error = EventClient::connect(&options).await.unwrap_err();
    let Error::Rpc(RpcError::BindRefused(reason)) = error else { panic!("{error:?}") };
    assert_eq!(reason.to_string(), "authentication type not recognized");
}

#[tokio::test]
async fn nobody_on_the_port_is_a_network_error() {
    let Some(rig) = Rig::new(1) else { return };
    let server = rig.serve(&[]);
    let mut options = options(&server, Authentication::Negotiate, "Passw0rd!");
    drop(server);
    options.port = Some(options.mapper_port);
    let error = EventClient::connect(&options).await.unwrap_err();
    let Error::Rpc(RpcError::Network(network)) = &error else { panic!("{error:?}") };
    assert_eq!(network.kind, NetworkErrorKind::Refused);
    assert_eq!(error.blame(), Blame::Network);
}

/// What each injected fault comes to.
#[tokio::test]
async fn each_thing_that_a_bad_server_does_has_its_own_error() {
    let Some(rig) = Rig::new(300) else { return };
    type Check = fn(&Error) -> bool;
    let cases: [(&str, Blame, Check); 8] = [
        ("badsig", Blame::Peer, |error| {
            matches!(error, Error::Rpc(RpcError::Protocol(ProtocolError::BadSignature(_))))
        }),
        ("badbody", Blame::Peer, |error| {
            matches!(error, Error::Rpc(RpcError::Protocol(ProtocolError::BadSignature(_))))
        }),
        ("unsealed", Blame::Peer, |error| {
            matches!(error, Error::Rpc(RpcError::Protocol(ProtocolError::NotSealed(_))))
        }),
        ("cut=7", Blame::Peer, |error| matches!(error, Error::Rpc(RpcError::Stub(_)))),
        ("cut=99999999", Blame::Peer, |error| matches!(error, Error::Rpc(RpcError::Stub(_)))),
        (
            "drop",
            Blame::Network,
            |error| matches!(error, Error::Rpc(RpcError::Network(e)) if e.kind == NetworkErrorKind::Closed),
        ),
        ("fault=0x6c6", Blame::Refusal, Error::is_batch_too_large),
        ("status=15011", Blame::Refusal, |error| {
            error.status() == Some(Win32Error::EVT_QUERY_RESULT_STALE)
        }),
    ];
    for (n, (rule, blame, check)) in cases.into_iter().enumerate() {
        let authentication =
            if n % 2 == 0 { Authentication::Negotiate } else { Authentication::Ntlm };
        let server = rig.serve(&["--inject", &format!("op=11,n=2,{rule}")]);
        let client = connect(&server, authentication).await;
        let query = client.register_log_query(Some("Security"), "*", FORWARD).await.unwrap();
        let first = client.query_next(query.handle, 50, Duration::from_secs(5)).await.unwrap();
        assert!(matches!(&first, Next::Events(batch) if batch.len() == 50), "{rule}: {first:?}");
        let error = client.query_next(query.handle, 50, Duration::from_secs(5)).await.unwrap_err();
        assert!(check(&error), "{rule}: {error:?}");
        assert_eq!(error.blame(), blame, "{rule}");
    }
}

#[tokio::test]
async fn garbage_in_a_sealed_answer_is_an_error_or_an_empty_batch() {
    let Some(rig) = Rig::new(100) else { return };
    let server = rig.serve(&["--inject", "op=11,garbage"]);
    for _ in 0..20 {
        let client = connect(&server, Authentication::Negotiate).await;
        let query = client.register_log_query(Some("Security"), "*", FORWARD).await.unwrap();
        let error = client.query_next(query.handle, 50, Duration::from_secs(5)).await.unwrap_err();
        let is_typed = matches!(error, Error::Rpc(RpcError::Stub(_)) | Error::Status { .. });
        assert!(is_typed, "{error:?}");
    }
}

#[tokio::test]
async fn a_second_connection_of_the_group_cancels_what_the_first_began() {
    let Some(rig) = Rig::new(400) else { return };
    let server = rig.serve(&["--scan-us", "5000"]);
    let first = connect(&server, Authentication::Negotiate).await;
    let mut options = options(&server, Authentication::Negotiate, "Passw0rd!");
    options.association_group = first.rpc().association_group();
    let second = EventClient::connect(&options).await.unwrap();
    assert_eq!(first.rpc().association_group(), second.rpc().association_group());
    let none = "*[System[EventID=1]]";
    let query = first.register_log_query(Some("Security"), none, FORWARD).await.unwrap();
    let (next, cancelled) =
        tokio::join!(first.query_next(query.handle, 10, Duration::from_secs(60)), async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            second.cancel(query.control).await
        });
    cancelled.unwrap();
    assert_eq!(next.unwrap_err().status(), Some(Win32Error::CANCELLED));
}
