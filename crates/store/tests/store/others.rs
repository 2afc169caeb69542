//! A table that others change while it is written to.

use quarry_store::{Appender, Options, Policy, Store, StoreError};

use crate::support::{expected, open, python, records, rows, store, to, witnesses};

const A: &str = "even6://a";

/// Has the Python package `deltalake` do something with a table.
fn others(work: &str, folder: &std::path::Path) {
    let script = witnesses().join("others.py");
    let output = std::process::Command::new(python()).arg(script).arg(work).arg(folder).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{work}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn begun(folder: &std::path::Path) -> (Store, Appender) {
    let one = open(folder, Options::default()).await;
    let appender = one.appender().unwrap();
    one.take(A).await.unwrap();
    for start in [1, 6, 11] {
        store(&appender, &one, A, start..start + 5).await.unwrap();
    }
    (one, appender)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_others_add_and_delete_and_files_that_they_put_together_lose_nothing_of_ours() {
    let folder = tempfile::tempdir().unwrap();
    let (one, appender) = begun(folder.path()).await;
    let mut next = 16;
    let mut all = expected(A, "Security", 1..16);
    for work in ["append", "delete", "tidy"] {
        others(work, folder.path());
        match work {
            "append" => all.push(all[0].clone()),
            "delete" => all.retain(|(_, _, record)| *record != 3),
            _ => {}
        }
        store(&appender, &one, A, next..next + 5).await.unwrap();
        all.extend(expected(A, "Security", next..next + 5));
        next += 5;
        all.sort();
        let mut there = records(folder.path()).await;
        there.dedup();
        let mut ours = all.clone();
        ours.dedup();
        assert_eq!(there, ours, "{work}");
        assert_eq!(records(folder.path()).await.len(), all.len(), "{work}");
        one.refresh().await.unwrap();
        let everything = crate::stock::ask(quarry_event::filter::Filter::default());
        assert_eq!(one.count(&everything).await.unwrap(), all.len() as u64, "{work}");
    }
    let policy = Policy { small_files: 2, ..Policy::default() };
    one.maintain(&policy).await.unwrap();
    assert_eq!(records(folder.path()).await.len(), all.len());
    assert_eq!(one.bookmarks()[0].record.0, next - 1);
    drop((one, appender));
    assert_eq!(open(folder.path(), Options::default()).await.bookmarks()[0].record.0, next - 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_made_another_is_not_written_to_and_the_rows_wait() {
    let folder = tempfile::tempdir().unwrap();
    let (one, appender) = begun(folder.path()).await;
    others("overwrite", folder.path());
    let batch = rows(&one, A, "Security", 16..21);
    appender.push(&batch, &[to(A, "Security", 20)]).unwrap();
    appender.sync().unwrap();
    for _ in 0..2 {
        let refused = appender.flush().await.unwrap_err();
        assert!(matches!(refused, StoreError::NotOurs { .. }), "{refused:?}");
        assert!(refused.to_string().contains("its column `"), "{refused}");
        assert_eq!(appender.waiting().rows, 5);
    }
    drop((one, appender));
    let url = folder.path().to_str().unwrap();
    let refused = Store::open(url, Options::default()).await.unwrap_err();
    assert!(matches!(refused, StoreError::NotOurs { .. }), "{refused:?}");
    let refused = Store::open(url, Options::default().read_only(true)).await.unwrap_err();
    assert!(matches!(refused, StoreError::NotOurs { .. }), "{refused:?}");
    // Whoever did it takes it back.
    others("restore", folder.path());
    let one = open(folder.path(), Options::default()).await;
    assert_eq!(one.bookmarks()[0].record.0, 20);
    assert_eq!(records(folder.path()).await, expected(A, "Security", 1..21));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_in_the_place_of_another_is_not_written_to() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, appender) = begun(folder.path()).await;
    // Longer than the one that was there.
    let (two, second) = begun(other.path()).await;
    store(&second, &two, A, 16..21).await.unwrap();
    store(&second, &two, A, 21..26).await.unwrap();
    drop((two, second));
    let log = |folder: &tempfile::TempDir| folder.path().join("_delta_log");
    std::fs::remove_dir_all(log(&folder)).unwrap();
    std::fs::rename(log(&other), log(&folder)).unwrap();
    let batch = rows(&one, A, "Security", 16..21);
    appender.push(&batch, &[to(A, "Security", 20)]).unwrap();
    let flushed = appender.flush().await;
    // Its commits can't be told from others', but a log that another has moved is that one's.
    match flushed {
        Ok(flushed) => assert_eq!((flushed.rows, flushed.fenced.len()), (0, 1)),
        Err(error) => assert!(matches!(error, StoreError::Changed { .. }), "{error:?}"),
    }
}
