//! Tables that aren't what they should be.

use std::fs;

use quarry_store::{Options, Store, StoreError};

use crate::support::{commit, open, store};

const A: &str = "even6://a";

/// A table of two commits.
async fn table() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let one = open(folder.path(), Options::default()).await;
    let appender = one.appender().unwrap();
    one.take(A).await.unwrap();
    store(&appender, &one, A, 1..11).await.unwrap();
    store(&appender, &one, A, 11..21).await.unwrap();
    folder
}

async fn refused(folder: &tempfile::TempDir) -> StoreError {
    Store::open(folder.path().to_str().unwrap(), Options::default()).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_without_bytes_is_named() {
    let folder = table().await;
    fs::write(commit(folder.path(), 2), b"").unwrap();
    let error = refused(&folder).await;
    assert!(matches!(&error, StoreError::Damaged { .. }), "{error:?}");
    assert!(
        error.to_string().contains("00000000000000000002.json is damaged: it is empty"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_was_cut_is_named() {
    let folder = table().await;
    let path = commit(folder.path(), 2);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 10]).unwrap();
    let error = refused(&folder).await.to_string();
    assert!(error.contains("00000000000000000002.json is damaged: line"), "{error}");
    // Cut between two actions, it is whole JSON.
    let lines: Vec<&[u8]> = whole.split_inclusive(|&b| b == b'\n').collect();
    fs::write(&path, lines[..lines.len() - 1].concat()).unwrap();
    let error = refused(&folder).await.to_string();
    assert!(error.contains("00000000000000000002.json is damaged: it has"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_missing_is_named() {
    let folder = table().await;
    fs::remove_file(commit(folder.path(), 1)).unwrap();
    let error = refused(&folder).await.to_string();
    assert!(error.contains("00000000000000000001.json is damaged: it is missing"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_another_layout_or_of_somebody_else_is_refused() {
    let folder = table().await;
    let path = commit(folder.path(), 0);
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.replace(r#""quarry.layout":"1""#, r#""quarry.layout":"7""#)).unwrap();
    let error = refused(&folder).await;
    assert!(
        matches!(&error, StoreError::Layout { found, known: 1, .. } if found == "7"),
        "{error}"
    );
    fs::write(&path, whole.replace(r#""quarry.layout":"1","#, "")).unwrap();
    let error = refused(&folder).await;
    assert!(matches!(&error, StoreError::NotOurs { .. }), "{error}");
    fs::write(&path, whole.replace(r#""minWriterVersion":2"#, r#""minWriterVersion":7"#)).unwrap();
    let error = refused(&folder).await;
    assert!(error.to_string().contains("its protocol was raised to reader 1, writer 7"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_made_for_who_only_reads() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("none");
    let options = Options::default().read_only(true);
    let error = Store::open(table.to_str().unwrap(), options).await.unwrap_err();
    assert!(matches!(&error, StoreError::NoTable { .. }), "{error}");
    assert!(!table.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_file_without_bytes_is_named_and_the_others_are_put_together() {
    let folder = table().await;
    let files = crate::support::data_files(folder.path());
    assert_eq!(files.len(), 2);
    fs::write(&files[0], b"").unwrap();
    let one = open(folder.path(), Options::default()).await;
    let damage = one.check().await.unwrap();
    assert_eq!(damage.len(), 1);
    let name = files[0].file_name().unwrap().to_str().unwrap();
    assert_eq!(damage[0].path, name);
    assert!(damage[0].why.starts_with("it has 0 bytes of "), "{}", damage[0].why);
    let policy = quarry_store::Policy { small_files: 0, ..Default::default() };
    let report = one.maintain(&policy).await.unwrap();
    assert_eq!(report.merged, 0, "one file alone is left as it is");
    // A question that needs it says which it is.
    let (limits, everything) =
        (quarry_store::Limits::default(), quarry_store::Access::everything());
    let told = match one.query("SELECT max(text) FROM events", &limits, &everything).await {
        Ok(answer) => {
            let mut out = Vec::new();
            answer.write(quarry_store::Format::Jsonl, &mut out).await.unwrap_err().to_string()
        }
        Err(error) => error.to_string(),
    };
    assert!(told.contains(name), "{told}");
    let everything = crate::stock::ask(quarry_event::filter::Filter::default());
    let told = one.newest(&everything, 100, None).await.unwrap_err().to_string();
    assert!(told.contains(name), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_without_bytes_is_named() {
    let folder = table().await;
    let one = open(folder.path(), Options::default()).await;
    let policy = quarry_store::Policy { checkpoint_commits: 1, ..Default::default() };
    one.maintain(&policy).await.unwrap();
    drop(one);
    let checkpoint = folder.path().join("_delta_log/00000000000000000002.checkpoint.parquet");
    fs::write(&checkpoint, b"").unwrap();
    let error = refused(&folder).await;
    assert!(matches!(&error, StoreError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("2.checkpoint.parquet is damaged: it is empty"), "{error}");
    // A hint without bytes is none.
    fs::remove_file(&checkpoint).unwrap();
    fs::write(folder.path().join("_delta_log/_last_checkpoint"), b"").unwrap();
    assert_eq!(open(folder.path(), Options::default()).await.bookmarks()[0].record.0, 20);
}
