//! Opening, pushing, committing, opening again.

use quarry_store::{Options, Store, StoreError};

use crate::support::{open, rows, to};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_is_there_when_the_table_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table");
    let store = open(&table, Options::default()).await;
    assert_eq!(store.version(), 0);
    let appender = store.appender().unwrap();
    assert!(store.take("even6://a").await.unwrap().is_empty());
    appender
        .push(&rows(&store, "even6://a", "Security", 1..101), &[to("even6://a", "Security", 100)])
        .unwrap();
    assert_eq!(appender.waiting().rows, 100);
    let flushed = appender.flush().await.unwrap();
    assert_eq!((flushed.version, flushed.rows), (1, 100));
    assert!(flushed.fenced.is_empty());
    assert_eq!(appender.waiting().rows, 0);
    drop(appender);
    drop(store);

    let store = open(&table, Options::default()).await;
    let bookmarks = store.bookmarks();
    assert_eq!(bookmarks.len(), 1);
    assert_eq!(
        (bookmarks[0].source.as_str(), bookmarks[0].log.as_str()),
        ("even6://a", "Security")
    );
    assert_eq!((bookmarks[0].generation, bookmarks[0].record.0), (0, 100));
    assert_eq!(bookmarks[0].time, Some(crate::support::at(100)));
    assert_eq!(store.version(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_for_one_writer_is_refused_to_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), Options::default()).await;
    let second = Store::open(store.url(), Options::default()).await;
    assert!(matches!(second, Err(StoreError::InUse { .. })), "{second:?}");
    let reader = Store::open(store.url(), Options::default().read_only(true)).await.unwrap();
    assert!(matches!(reader.appender(), Err(StoreError::ReadOnly)));
}
