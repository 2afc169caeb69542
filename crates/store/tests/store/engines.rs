//! Other people's engines read the same rows out of the table.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use quarry_store::{Access, Format, Limits};

use crate::stock::{filled, stock};

/// Statements that each engine understands alike.
const QUERIES: [&str; 10] = [
    "SELECT count(*) AS n FROM events",
    "SELECT host, log, count(*) AS n FROM events GROUP BY host, log ORDER BY host, log",
    "SELECT time, tick, log_record FROM events ORDER BY log_record",
    "SELECT event_id, count(*) AS n FROM events GROUP BY event_id ORDER BY n DESC, event_id NULLS LAST",
    "SELECT log_record, provider, provider_guid, computer, channel FROM events ORDER BY log_record",
    "SELECT log_record, level, task, opcode, version, qualifiers FROM events ORDER BY log_record",
    "SELECT log_record, text, user_data, other FROM events ORDER BY log_record",
    "SELECT log_record, process_id, thread_id, record_id FROM events WHERE process_id > 2 ORDER BY log_record",
    "SELECT min(time) AS first, max(time) AS last FROM events WHERE host = 'host1'",
    "SELECT log_record, user_sid FROM events WHERE user_sid LIKE 'S-1-5-%' ORDER BY log_record",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duckdb_and_polars_read_what_our_sql_says() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table");
    let store = filled(&table, &stock(240)).await;
    // Others see what was committed.
    store.appender().unwrap().flush().await.unwrap();
    let limits = Limits::default().time(Duration::from_secs(300));
    for (n, sql) in QUERIES.iter().enumerate() {
        let answer = store.query(sql, &limits, &Access::everything()).await.unwrap();
        let mut file = std::fs::File::create(folder.path().join(format!("{n}.arrow"))).unwrap();
        answer.write(Format::Arrow, &mut file).await.unwrap();
        std::fs::write(folder.path().join(format!("{n}.sql")), sql).unwrap();
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/engines");
    let python = quarry_testkit::python("engines", &here.join("requirements.txt"));
    let output = Command::new(python)
        .arg(here.join("compare.py"))
        .args([&table, folder.path()])
        .output()
        .expect("Python starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.contains("20 answers are the same"), "{text}\n{errors}");
}
