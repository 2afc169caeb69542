//! Nothing is acknowledged before it is durable: the system calls of a process, in their order.

use std::process::Command;

use quarry_store::{Options, Store};

use crate::support::{rows, to};

const TABLE: &str = "QUARRY_STORE_SYNC_TABLE";
const SOURCE: &str = "even6://a";

#[test]
fn rows_are_synced_before_they_are_acknowledged_and_data_before_its_commit() {
    if !cfg!(target_os = "linux") || !quarry_testkit::has_program("strace", "strace") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let table = folder.path().join("table");
    let output = Command::new("strace")
        .args(["-f", "-y", "-s", "32", "-e"])
        .arg("trace=write,fsync,fdatasync,link,linkat,rename,renameat,renameat2,unlink,unlinkat")
        .arg("-o")
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["syncs::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(TABLE, &table)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let trace = std::fs::read_to_string(trace).unwrap();
    let calls: Vec<&str> = trace.lines().filter(|line| !line.contains("resumed>")).collect();
    let find = |from: usize, words: &[&str]| {
        let is_it = |call: &&str| words.iter().all(|word| call.contains(word));
        calls[from..].iter().position(is_it).map(|found| from + found)
    };
    let after = |from: usize, words: &[&str]| {
        find(from, words).unwrap_or_else(|| panic!("{words:?} after {from}:\n{}", calls.join("\n")))
    };
    // The write-ahead log: written, synced, its name too, and only then acknowledged.
    let pushed = after(0, &["write(1", "pushed"]);
    let synced = after(pushed, &["fdatasync(", ".wal"]);
    let named = after(synced, &["fsync(", "_quarry/wal/"]);
    let said = after(pushed, &["write(1", "synced"]);
    assert!(named < said, "{}", calls.join("\n"));
    // A commit: the data file synced and named, the folder synced, then the same for the commit.
    let data = after(said, &["fsync(", ".zstd.parquet#"]);
    let data_named = after(data, &["rename", ".zstd.parquet"]);
    let data_folder = after(data_named, &["fsync(", "/table>"]);
    let commit = after(data_folder, &["fsync(", "_delta_log/00000000000000000001.json#"]);
    let commit_named = after(commit, &["link", "00000000000000000001.json"]);
    let commit_folder = after(commit_named, &["fsync(", "_delta_log>"]);
    let said = after(said + 1, &["write(1", "flushed"]);
    assert!(commit_folder < said);
    let removed = after(commit_folder, &["unlink", ".wal"]);
    assert!(removed < said);
    let early = find(0, &["unlink", ".wal"]);
    assert_eq!(early, Some(removed), "the write-ahead log stays until its rows are committed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "it marks the place in the trace")]
async fn child() {
    let Some(table) = std::env::var_os(TABLE) else { return };
    let one = Store::open(table.to_str().unwrap(), Options::default()).await.unwrap();
    let appender = one.appender().unwrap();
    one.take(SOURCE).await.unwrap();
    let rows = rows(&one, SOURCE, "Security", 1..11);
    println!("pushed");
    appender.push(&rows, &[to(SOURCE, "Security", 10)]).unwrap();
    appender.sync().unwrap();
    println!("synced");
    appender.flush().await.unwrap();
    println!("flushed");
}
