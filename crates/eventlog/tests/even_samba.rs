//! A server of MS-EVEN over SMB, against Samba's smbd: what was put into its logs comes out, over
//! every dialect, signed and encrypted. Needs root and Samba; says so and passes where they aren't.

use std::time::Duration;

use quarry_cred::{Credential, Gate, Secret};
use quarry_even::even::{ConnectPipeOptions, EvenClient};
use quarry_event::{Event, Field, FieldSource};
use quarry_eventlog::*;
use quarry_rpc::smb::{Cipher, Dialect, SigningAlgorithm, SmbError};
use quarry_rpc::{Error as RpcError, LogonRefusal};
use quarry_testkit::SambaServer;
use serde_json::{Value as Json, json};

const BEGAN: u32 = 1_700_000_000;

/// Ordinary records.
fn plain(n: u32) -> Json {
    let kinds = [1, 2, 4, 8, 16, 0];
    let strings: Vec<String> = (0..n % 4).map(|k| format!("yabba 岩 <{n}.{k}> 🦕")).collect();
    json!({
        "time_generated": BEGAN + 7 * n, "time_written": BEGAN + 7 * n + 1,
        "event_id": (n % 60_000) | ((n % 4) << 30), "type": kinds[n as usize % 6], "category": n % 8,
        "source": if n.is_multiple_of(2) { "Slate" } else { "Röck Väs" }, "computer": "QUARRY",
        "sid": (n % 6 == 5).then(|| format!("S-1-5-21-1-2-3-{}", 1000 + n)),
        "strings": strings, "data": if n.is_multiple_of(3) { format!("{:08x}", n) } else { String::new() },
    })
}

/// Records at their limits: 24,000 units in a string, 200 strings, data of any bytes.
fn wild(n: u32) -> Json {
    let mut record = plain(n);
    match n % 4 {
        0 => record["strings"] = json!(["Stein-岩-".repeat((n * 40 % 3000) as usize)]),
        1 => record["strings"] = json!((0..200).map(|k| format!("s{k}")).collect::<Vec<_>>()),
        2 => {
            let bytes = (0..n * 7 % 700).map(|k| format!("{:02x}", (n + k) % 256));
            record["data"] = json!(bytes.collect::<String>());
        }
        _ => record["strings"] = json!(["", "\u{1}\u{fffe}\t\r\n", "]]>&\"'<"]),
    }
    record
}

/// What an event has to be, by MS-EVEN 2.2.3 and by how Windows shows such a record.
fn expected(number: u32, record: &Json) -> Json {
    let id = record["event_id"].as_u64().unwrap();
    let (level, audit) = match record["type"].as_u64().unwrap() {
        1 => (2, 0),
        2 => (3, 0),
        8 => (0, 0x20),
        16 => (0, 0x10),
        _ => (4, 0),
    };
    let mut values: Vec<Json> = record["strings"].as_array().unwrap().clone();
    let data = record["data"].as_str().unwrap().to_uppercase();
    if !data.is_empty() {
        values.push(json!(data));
    }
    json!({
        "record": number.to_string(), "id": (id & 0xffff).to_string(),
        "qualifiers": (id >> 16).to_string(), "level": level.to_string(),
        "keywords": format!("0x{:x}", (0x80u64 | audit) << 48),
        "task": record["category"].to_string(), "provider": record["source"],
        "computer": record["computer"], "sid": record["sid"].as_str().unwrap_or(""),
        "time": record["time_generated"], "values": values,
    })
}

fn shown(read: &ReadEvent, log: &str) -> Json {
    let event: &Event = &read.event;
    let text = |field| event.field(field).to_string();
    assert_eq!(read.log_record.unwrap().to_string(), text(Field::RecordId));
    assert_eq!((&*read.log, &*text(Field::Channel)), (log, log));
    let time = event.field(Field::TimeCreated).as_time().unwrap().to_timestamp().unwrap();
    let mut values = Vec::new();
    let _ = event.each_data(|_, value| {
        values.push(value.to_string());
        std::ops::ControlFlow::Continue(())
    });
    json!({
        "record": text(Field::RecordId), "id": text(Field::EventId),
        "qualifiers": text(Field::Qualifiers), "level": text(Field::Level),
        "keywords": text(Field::Keywords), "task": text(Field::Task),
        "provider": text(Field::ProviderName), "computer": text(Field::Computer),
        "sid": text(Field::UserId), "time": time.as_second(), "values": values,
    })
}

fn options(server: &SambaServer) -> ConnectPipeOptions {
    let account = SambaServer::USER.parse().unwrap();
    let secret = Secret::new(SambaServer::PASSWORD.to_owned()).unwrap();
    ConnectPipeOptions {
        port: server.port,
        ..ConnectPipeOptions::new("127.0.0.1", Credential::new(account, secret))
    }
}

async fn open(options: &ConnectPipeOptions) -> EvenLog {
    EvenLog::connect("even://samba".to_owned(), options, ReadOptions::default()).await.unwrap()
}

async fn read(log: &EvenLog, query: &Query) -> Vec<ReadEvent> {
    let mut batches = log.query(query).await.unwrap();
    let mut reader = BatchReader::default();
    let mut matcher = query.filter.matcher(quarry_event::EventTime::from_filetime(0));
    let mut events = Vec::new();
    while let Some(batch) = batches.next().await {
        let batch = batch.unwrap();
        assert!(batch.records() > 0, "{batch:?}");
        events.extend(reader.events(&batch, &mut matcher));
    }
    let last = events.last().and_then(|event| event.log_record);
    assert_eq!(batches.bookmark().map(|bookmark| bookmark.entries[0].cursor.record), last);
    batches.close().await;
    events
}

fn check(events: &[ReadEvent], log: &str, records: &[(u32, Json)]) {
    assert_eq!(events.len(), records.len());
    for (event, (number, record)) in events.iter().zip(records) {
        assert_eq!(shown(event, log), expected(*number, record), "record {number} of {log}");
    }
}

fn numbered(records: Vec<Json>) -> Vec<(u32, Json)> {
    (1..).zip(records).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_sambas_logs_comes_out_in_both_orders() {
    let Some(server) = SambaServer::start(&[]) else { return };
    server.open_logs();
    let plain = numbered((1..=20_000).map(plain).collect());
    let wild = numbered((1..=400).map(wild).collect());
    let of = |records: &[(u32, Json)]| records.iter().map(|(_, r)| r.clone()).collect::<Vec<_>>();
    server.fill("System", &of(&plain));
    server.fill("Security", &of(&wild));
    let log = open(&options(&server)).await;
    for (name, mut records) in [("System", plain), ("Security", wild)] {
        let name = LogName::from(name);
        let info = log.info(&name, Detail::Records).await.unwrap();
        assert_eq!(info.records, records.len() as u64);
        let second = |time: Option<quarry_event::EventTime>| {
            time.unwrap().to_timestamp().unwrap().as_second()
        };
        let last = records.len() as i64;
        assert_eq!(second(info.oldest), i64::from(BEGAN) + 7);
        assert_eq!(second(info.newest), i64::from(BEGAN) + 7 * last);
        check(&read(&log, &Query::new(name.clone(), Direction::Forward)).await, &name.0, &records);
        records.reverse();
        check(&read(&log, &Query::new(name.clone(), Direction::Backward)).await, &name.0, &records);
        // From a bookmark on, in both directions.
        for direction in [Direction::Forward, Direction::Backward] {
            let after = Some(Bookmark::single(name.clone(), 200));
            let query = Query { after, ..Query::new(name.clone(), direction) };
            let events = read(&log, &query).await;
            let numbers: Vec<u64> = events.iter().map(|e| e.log_record.unwrap().0).collect();
            let due: Vec<u64> = match direction {
                Direction::Forward => (201..=records.len() as u64).collect(),
                Direction::Backward => (1..200).rev().collect(),
            };
            assert_eq!(numbers, due);
        }
        let query = Query { limit: Some(3), ..Query::new(name.clone(), Direction::Backward) };
        check(&read(&log, &query).await, &name.0, &records[..3]);
    }
    // An empty log, and none.
    let empty = LogName::from("Application");
    assert_eq!(log.info(&empty, Detail::Records).await.unwrap(), LogInfo::default());
    assert!(read(&log, &Query::new(empty, Direction::Backward)).await.is_empty());
    let none = LogName::from("Nonesuch");
    assert!(matches!(log.info(&none, Detail::Records).await, Err(LogError::NoSuchLog(_))));
    let names: Vec<String> = log.logs().await.unwrap().into_iter().map(|log| log.0).collect();
    assert_eq!(names, ["Application", "System", "Security"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dialect_signature_and_cipher_reads_the_same() {
    let Some(server) = SambaServer::start(&[]) else { return };
    server.open_logs();
    let records = numbered((1..=300).map(wild).collect());
    server.fill("System", &records.iter().map(|(_, r)| r.clone()).collect::<Vec<_>>());
    let none: &[Cipher] = &[];
    let (gmac, cmac) = (SigningAlgorithm::AesGmac, SigningAlgorithm::AesCmac);
    let hmac = SigningAlgorithm::HmacSha256;
    let mut cases = vec![
        (Dialect::Smb202, hmac, None),
        (Dialect::Smb210, hmac, None),
        (Dialect::Smb300, cmac, None),
        (Dialect::Smb302, cmac, None),
        (Dialect::Smb311, gmac, None),
        (Dialect::Smb311, cmac, None),
        (Dialect::Smb311, hmac, None),
        (Dialect::Smb300, cmac, Some(Cipher::Aes128Ccm)),
        (Dialect::Smb302, cmac, Some(Cipher::Aes128Ccm)),
    ];
    cases.extend(Cipher::ALL.map(|cipher| (Dialect::Smb311, gmac, Some(cipher))));
    for (dialect, signing, cipher) in cases {
        let mut options = options(&server);
        options.pipe.dialects = vec![dialect];
        options.pipe.signing = vec![signing];
        options.pipe.ciphers = cipher.as_ref().map_or(none, std::slice::from_ref).to_vec();
        let log = open(&options).await;
        let facts = log.client().facts();
        assert_eq!((facts.dialect, facts.signing, facts.cipher), (dialect, signing, cipher));
        assert!(log.client().is_sealed());
        let events = read(&log, &Query::new("System".into(), Direction::Forward)).await;
        check(&events, "System", &records);
    }
    // All of them offered: the newest is taken, encrypted.
    let facts = open(&options(&server)).await.client().facts();
    assert_eq!((facts.dialect, facts.cipher), (Dialect::Smb311, Some(Cipher::Aes128Gcm)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_a_refused_logon_and_is_told_to_the_gate() {
    let Some(server) = SambaServer::start(&["server smb encrypt = required"]) else { return };
    server.open_logs();
    assert_eq!(open(&options(&server)).await.client().dialect(), Dialect::Smb311);
    let mut wrong = options(&server);
    let secret = Secret::new("wrong".to_owned()).unwrap();
    wrong.logon = Credential::new(SambaServer::USER.parse().unwrap(), secret).into();
    wrong.gate = Some(Gate::default());
    let error = EvenClient::connect(&wrong).await.unwrap_err();
    assert!(
        matches!(
            error,
            quarry_even::Error::Rpc(RpcError::LogonRefused(LogonRefusal::SessionSetUp(_)))
        ),
        "{error:?}"
    );
    let error = EvenClient::connect(&wrong).await.unwrap_err();
    assert!(matches!(error, quarry_even::Error::CredentialRefused(_)), "{error:?}");
    // It demands encryption, which SMB 2 hasn't. The password isn't to blame for that.
    let mut old = options(&server);
    old.pipe.dialects = vec![Dialect::Smb210];
    let error = EvenClient::connect(&old).await.unwrap_err();
    assert_eq!(error.blame(), quarry_rpc::Blame::Refusal, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_smb_1_is_said_to_be_out_of_reach() {
    let settings = ["server min protocol = NT1", "server max protocol = NT1"];
    let Some(server) = SambaServer::start(&settings) else { return };
    let error =
        tokio::time::timeout(Duration::from_secs(20), EvenClient::connect(&options(&server)))
            .await
            .expect("it doesn't hang")
            .unwrap_err();
    assert!(
        matches!(error, quarry_even::Error::Rpc(RpcError::Smb(SmbError::OldProtocol { .. }))),
        "{error:?}"
    );
    assert!(error.to_string().contains("NT 4 to 2003"), "{error}");
}
