//! The table as engines of others' read it.

use quarry_store::{Notice, NoticeKind, Options, Policy};
use serde_json::{Value, json};

use crate::support::{at, fill, open, store, to, witness};

const A: &str = "even6://a";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duckdb_reads_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let columns = ["IpAddress".to_owned()];
    let one = open(folder.path(), Options::default().columns(columns)).await;
    let appender = one.appender().unwrap();
    one.take(A).await.unwrap();
    for start in [1, 6, 11] {
        let mut rows = one.rows().unwrap();
        fill(&mut rows, A, "Security", start..start + 5);
        appender.push(&rows, &[to(A, "Security", start + 4)]).unwrap();
        appender.flush().await.unwrap();
    }
    let mut rows = one.rows().unwrap();
    let kind = NoticeKind::Gap;
    let notice = Notice {
        kind,
        source: A,
        host: Some("a"),
        log: Some("Security"),
        log_record: Some(quarry_event::RecordId(16)),
        time: at(16),
        received: at(17),
        text: "records 16 to 20 are gone",
    };
    rows.notice(&notice).unwrap();
    appender.push(&rows, &[to(A, "Security", 20)]).unwrap();
    appender.flush().await.unwrap();

    let expected: Vec<Value> = (1..=16u64)
        .map(|record| {
            // date -u -d 2026-11-01 +%s
            let time = (1_793_491_200 + record) * 1_000_000;
            let address = format!("10.0.0.{record}");
            let user = format!("user{}", record % 10);
            let pairs =
                json!([["TargetUserName", user], ["LogonType", "3"], ["IpAddress", address]]);
            match record {
                16 => json!([A, "Security", 16, time, 0, "a", null, null, [], "gap"]),
                _ => json!([
                    A,
                    "Security",
                    record,
                    time,
                    0,
                    "a",
                    4624,
                    0x8020_0000_0000_0000_u64 as i64,
                    pairs,
                    "event"
                ]),
            }
        })
        .collect();
    let read = || witness(&["duckdb", folder.path().to_str().unwrap()]);
    assert_eq!(read(), expected);

    // The same after everything was put together and the log cut, and with a column more.
    drop(appender);
    drop(one);
    let columns = ["IpAddress", "LogonType"].map(str::to_owned);
    let one = open(folder.path(), Options::default().columns(columns)).await;
    let policy = Policy {
        small_files: 1,
        checkpoint_commits: 1,
        keep_log: std::time::Duration::ZERO,
        ..Policy::default()
    };
    let report = one.maintain(&policy).await.unwrap();
    assert_eq!((report.merged, report.checkpoint), (4, true));
    assert_eq!(read(), expected);
    let appender = one.appender().unwrap();
    one.take(A).await.unwrap();
    store(&appender, &one, A, 21..22).await.unwrap();
    assert_eq!(read().len(), 17);
}
