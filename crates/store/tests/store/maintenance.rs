//! Compaction, retention, checkpoints and what is deleted.

use std::time::Duration;

use quarry_store::{Notice, NoticeKind, Options, Policy, Store, Writers};

use crate::support::{at, data_files, expected, open, records, rows, store, to};

const A: &str = "even6://a";

/// A policy that does everything at once.
fn eager() -> Policy {
    Policy {
        small_files: 1,
        checkpoint_commits: 1,
        keep_log: Duration::ZERO,
        safe_age: Duration::ZERO,
        ..Policy::default()
    }
}

/// A policy while others are at work: what they have written and not committed yet is young, and so
/// is the log that they read.
fn among_others() -> Policy {
    let hour = Duration::from_secs(3600);
    Policy { safe_age: hour, keep_log: hour, ..eager() }
}

async fn filled(folder: &std::path::Path, commits: u64) -> Store {
    let one = open(folder, Options::default().writers(Writers::Several)).await;
    let appender = one.appender().unwrap();
    one.take(A).await.unwrap();
    for n in 0..commits {
        store(&appender, &one, A, n * 4 + 1..n * 4 + 5).await.unwrap();
    }
    drop(appender);
    one
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_files_become_few_and_have_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let one = filled(folder.path(), 12).await;
    assert_eq!(data_files(folder.path()).len(), 12);
    let report = one.maintain(&eager()).await.unwrap();
    assert_eq!((report.merged, report.slices), (12, 1));
    assert_eq!(report.vacuumed, 12, "what was put together is deleted");
    assert_eq!(data_files(folder.path()).len(), 1);
    assert_eq!(records(folder.path()).await, expected(A, "Security", 1..49));
    let report = one.maintain(&eager()).await.unwrap();
    assert_eq!((report.merged, report.vacuumed), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_somebody_else_has_put_there_stay() {
    let folder = tempfile::tempdir().unwrap();
    let one = filled(folder.path(), 12).await;
    // Another table's, and what a person has saved.
    let ours = data_files(folder.path()).pop().unwrap();
    let ours = ours.file_name().unwrap().to_str().unwrap();
    let others = ["sales.parquet", "part-1.parquet", "reports/sales.parquet", "other/part.parquet"];
    let others = others.map(str::to_owned).into_iter().chain([format!("other/{ours}")]);
    let others: Vec<_> = others.map(|name| folder.path().join(name)).collect();
    for other in &others {
        std::fs::create_dir_all(other.parent().unwrap()).unwrap();
        std::fs::write(other, "mine").unwrap();
    }
    let report = one.maintain(&eager()).await.unwrap();
    assert_eq!(report.vacuumed, 12, "what was put together is deleted");
    let left = one.expire(Duration::ZERO).await.unwrap().unwrap();
    assert!(left.is_empty(), "{left:?}");
    assert!(others.iter().all(|other| other.exists()));
}

/// The files whose names say that they are slices, and the others.
fn by_name(folder: &std::path::Path) -> (usize, usize) {
    let files = data_files(folder);
    let is_slice = |path: &&std::path::PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("slice-"))
    };
    let slices = files.iter().filter(is_slice).count();
    (slices, files.len() - slices)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_a_slice_is_put_together_once_and_the_rest_waits() {
    let folder = tempfile::tempdir().unwrap();
    let one = filled(folder.path(), 12).await;
    // So that a file isn't too small by itself, and some of them make a slice.
    let policy = Policy { small_files: 100, small_bytes: 64 << 10, memory: 8 << 10, ..eager() };
    let report = one.maintain(&policy).await.unwrap();
    assert!(report.slices > 1 && report.merged > report.slices, "{report:?}");
    let (slices, parts) = by_name(folder.path());
    assert_eq!((slices, parts), (report.slices, 12 - report.merged));
    assert_eq!(records(folder.path()).await, expected(A, "Security", 1..49));
    // Slices are left alone from then on, however small they are.
    let names = data_files(folder.path());
    let report = one.maintain(&policy).await.unwrap();
    assert_eq!((report.merged, data_files(folder.path())), (0, names));
    // Too few rows for a slice are put together when they are many files.
    let appender = one.appender().unwrap();
    one.take(A).await.unwrap();
    for n in 12..15 {
        store(&appender, &one, A, n * 4 + 1..n * 4 + 5).await.unwrap();
    }
    let few = Policy { small_files: 2, memory: 64 << 20, ..policy };
    let report = one.maintain(&few).await.unwrap();
    assert_eq!((report.merged, report.slices), (parts + 3, 1));
    assert_eq!(by_name(folder.path()), (slices, 1));
    assert_eq!(records(folder.path()).await, expected(A, "Security", 1..61));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_not_cut_at_a_checkpoint_of_which_a_part_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let one = filled(folder.path(), 4).await;
    let name = format!("_delta_log/{:020}.checkpoint.{:010}.{:010}.parquet", 4, 1, 2);
    std::fs::write(folder.path().join(name), "PAR1").unwrap();
    let policy = Policy { checkpoint_commits: 1000, ..eager() };
    assert_eq!(one.maintain(&Policy { small_files: 100, ..policy }).await.unwrap().log_files, 0);
    drop(one);
    open(folder.path(), Options::default()).await;
    assert_eq!(records(folder.path()).await, expected(A, "Security", 1..17));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn compaction_while_others_append_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = open(folder.path(), Options::default().writers(Writers::Several)).await;
    let path = folder.path().to_owned();
    let writer = tokio::spawn(async move { filled(&path, 40).await });
    let mut merged = 0;
    let policy = among_others();
    while !writer.is_finished() {
        merged += keeper.maintain(&policy).await.unwrap().merged;
    }
    writer.await.unwrap();
    assert!(merged > 0);
    assert_eq!(records(folder.path()).await, expected(A, "Security", 1..161));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_that_maintain_are_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let one = filled(folder.path(), 20).await;
    let two = open(folder.path(), Options::default().writers(Writers::Several)).await;
    let policy = among_others();
    let (first, second) = tokio::join!(one.maintain(&policy), two.maintain(&policy));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.merged + second.merged, 20, "{first:?} {second:?}");
    assert_eq!(records(folder.path()).await, expected(A, "Security", 1..81));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_events_go_by_whole_files() {
    let folder = tempfile::tempdir().unwrap();
    let one = open(folder.path(), Options::default()).await;
    let appender = one.appender().unwrap();
    one.take(A).await.unwrap();
    store(&appender, &one, A, 1..11).await.unwrap();
    // A row of now.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = 116_444_736_000_000_000 + u64::try_from(now.as_nanos() / 100).unwrap();
    let now = quarry_event::EventTime::from_filetime(now);
    let mut notice = one.rows().unwrap();
    let kind = NoticeKind::Gap;
    notice
        .notice(&Notice {
            kind,
            source: A,
            host: Some("a"),
            log: Some("Security"),
            log_record: Some(quarry_event::RecordId(11)),
            time: now,
            received: now,
            text: "records 11 to 20 are gone",
        })
        .unwrap();
    appender.push(&notice, &[to(A, "Security", 20)]).unwrap();
    appender.flush().await.unwrap();
    assert!(at(10) < now);
    let century = Some(Duration::from_secs(100 * 365 * 24 * 3600));
    let mut policy = Policy { keep: century, ..Policy::default() };
    assert_eq!(one.maintain(&policy).await.unwrap().expired_files, 0);
    policy.keep = Some(Duration::from_secs(60));
    let report = one.maintain(&policy).await.unwrap();
    assert_eq!((report.expired_files, report.expired_rows), (1, 10));
    assert_eq!(records(folder.path()).await, expected(A, "Security", 11..12));
    assert_eq!(one.bookmarks()[0].record.0, 20, "the bookmark stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_with_a_short_log_opens_with_everything() {
    let folder = tempfile::tempdir().unwrap();
    let one = filled(folder.path(), 10).await;
    let report = one.maintain(&eager()).await.unwrap();
    assert!(report.checkpoint);
    assert_eq!(report.log_files, 11, "all commits before the checkpoint");
    let before = one.bookmarks();
    drop(one);
    let one = filled(folder.path(), 0).await;
    assert_eq!(one.bookmarks(), before);
    assert_eq!(before[0].record.0, 40);
    assert_eq!(records(folder.path()).await, expected(A, "Security", 1..41));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_pauses_for_longer_than_the_log_is_kept_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options::default().writers(Writers::Several);
    let (one, two) = (open(folder.path(), options()).await, open(folder.path(), options()).await);
    let sleeper = one.appender().unwrap();
    one.take("even6://s").await.unwrap();
    one.take(A).await.unwrap();
    // It sleeps. The number of its next commit is given, and the commit deleted.
    let other = two.appender().unwrap();
    two.take(A).await.unwrap();
    for n in 0..6 {
        store(&other, &two, A, n * 4 + 1..n * 4 + 5).await.unwrap();
    }
    assert!(two.maintain(&eager()).await.unwrap().log_files > 1);
    assert!(!crate::support::commit(folder.path(), 1).exists());
    let of = |source: &str| rows(&one, source, "Security", 1..6);
    sleeper.push(&of("even6://s"), &[to("even6://s", "Security", 5)]).unwrap();
    sleeper.push(&of(A), &[to(A, "Security", 5)]).unwrap();
    let flushed = sleeper.flush().await.unwrap();
    assert_eq!((flushed.rows, flushed.fenced.len()), (5, 1), "what it lost meanwhile is refused");
    assert!(!crate::support::commit(folder.path(), 1).exists(), "nothing stays where none reads");
    let all = [expected(A, "Security", 1..25), expected("even6://s", "Security", 1..6)].concat();
    assert_eq!(records(folder.path()).await, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_comes_with_each_hundredth_commit() {
    let folder = tempfile::tempdir().unwrap();
    let one = filled(folder.path(), 101).await;
    assert_eq!(one.version(), 101);
    let checkpoint = folder.path().join("_delta_log/00000000000000000100.checkpoint.parquet");
    assert!(checkpoint.exists());
    drop(one);
    let one = filled(folder.path(), 0).await;
    assert_eq!(one.bookmarks()[0].record.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_events_are_in_a_file_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let one = open(folder.path(), Options::default()).await;
    let appender = one.appender().unwrap();
    one.take(A).await.unwrap();
    let mut mixed = one.rows().unwrap();
    crate::support::fill(&mut mixed, A, "Security", 1..6);
    let late = crate::support::logon(6, at(0), "a", "late");
    let received = at(30 * 24 * 3600);
    mixed.event(&late, &crate::support::meta(A, "Security", 6, received)).unwrap();
    appender.push(&mixed, &[to(A, "Security", 6)]).unwrap();
    appender.flush().await.unwrap();
    let mut sizes: Vec<usize> = data_files(folder.path())
        .iter()
        .map(|file| crate::support::records_of(file).len())
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 5]);
}
