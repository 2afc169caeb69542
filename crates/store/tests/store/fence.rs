//! Two that follow one log, and everything that may come between.

use quarry_store::{Options, StoreError, Writers};

use crate::support::{expected, open, records, rows, store, to};

const A: &str = "even6://a";
const B: &str = "even6://b";

fn several() -> Options {
    Options::default().writers(Writers::Several)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_holders_of_a_log_the_second_is_refused_and_keeps_its_other_logs() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path(), several()).await, open(folder.path(), several()).await);
    let (first, second) = (one.appender().unwrap(), two.appender().unwrap());
    for source in [A, B] {
        two.take(source).await.unwrap();
    }
    one.take(A).await.unwrap();
    store(&first, &one, A, 1..51).await.unwrap();

    second.push(&rows(&two, A, "Security", 1..31), &[to(A, "Security", 30)]).unwrap();
    second.push(&rows(&two, B, "Security", 1..11), &[to(B, "Security", 10)]).unwrap();
    let flushed = second.flush().await.unwrap();
    assert_eq!(flushed.fenced, [(A.to_owned(), "Security".to_owned())]);
    assert_eq!(flushed.rows, 10);
    assert_eq!(second.waiting().rows, 0);

    // Nothing more is taken of a log that was lost, until its source is taken again.
    let late = second.push(&rows(&two, A, "Security", 31..41), &[to(A, "Security", 40)]);
    assert!(matches!(late, Err(StoreError::NotTaken { .. })), "{late:?}");
    let bookmarks = two.take(A).await.unwrap();
    assert_eq!(bookmarks[0].record.0, 50);
    store(&second, &two, A, 51..61).await.unwrap();

    let all = [expected(A, "Security", 1..61), expected(B, "Security", 1..11)].concat();
    assert_eq!(records(folder.path()).await, all);
    let files = crate::support::data_files(folder.path()).len();
    assert_eq!(files, 3, "the refused rows' file is gone");
}

/// On one thread: the rows are pushed when the commit waits for its file.
#[tokio::test]
async fn what_is_pushed_while_its_log_is_being_lost_is_dropped_too() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path(), several()).await, open(folder.path(), several()).await);
    let (first, second) = (one.appender().unwrap(), two.appender().unwrap());
    for source in [A, B] {
        two.take(source).await.unwrap();
    }
    one.take(A).await.unwrap();
    store(&first, &one, A, 1..11).await.unwrap();

    second.push(&rows(&two, A, "Security", 1..11), &[to(A, "Security", 10)]).unwrap();
    let (flushed, ()) = tokio::join!(second.flush(), async {
        for (source, last) in [(A, 21), (B, 6)] {
            let first = if source == A { 11 } else { 1 };
            let moved = to(source, "Security", last - 1);
            second.push(&rows(&two, source, "Security", first..last), &[moved]).unwrap();
        }
    });
    assert_eq!(flushed.unwrap().fenced, [(A.to_owned(), "Security".to_owned())]);
    assert_eq!(second.waiting().rows, 5, "those of the other source");

    // Where the first has left it is where the rows that were dropped began.
    assert_eq!(two.take(A).await.unwrap()[0].record.0, 10);
    store(&second, &two, A, 11..16).await.unwrap();
    let all = [expected(A, "Security", 1..16), expected(B, "Security", 1..6)].concat();
    assert_eq!(records(folder.path()).await, all);
    assert_eq!(second.waiting().age, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sleeper_that_wakes_with_rows_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path(), several()).await, open(folder.path(), several()).await);
    let (sleeper, other) = (one.appender().unwrap(), two.appender().unwrap());
    one.take(A).await.unwrap();
    store(&sleeper, &one, A, 1..11).await.unwrap();
    sleeper.push(&rows(&one, A, "Security", 11..21), &[to(A, "Security", 20)]).unwrap();
    sleeper.sync().unwrap();
    // It sleeps; another takes over, with commits of its own in between.
    assert_eq!(two.take(A).await.unwrap()[0].record.0, 10);
    for start in [11, 16, 21] {
        store(&other, &two, A, start..start + 5).await.unwrap();
    }
    let flushed = sleeper.flush().await.unwrap();
    assert_eq!((flushed.rows, flushed.fenced.len()), (0, 1));
    assert_eq!(records(folder.path()).await, expected(A, "Security", 1..26));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_at_the_table_anew_does_not_move_what_a_holder_believes() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path(), several()).await, open(folder.path(), several()).await);
    let (first, second) = (one.appender().unwrap(), two.appender().unwrap());
    one.take(A).await.unwrap();
    two.take(A).await.unwrap();
    store(&first, &one, A, 1..101).await.unwrap();
    // The bookmark is read, then the table is refreshed, and the rows come from before.
    two.refresh().await.unwrap();
    assert_eq!(two.bookmarks()[0].record.0, 100, "the table's is known");
    let flushed = store(&second, &two, A, 1..151).await.unwrap();
    assert_eq!((flushed.rows, flushed.fenced.len()), (0, 1));
    assert_eq!(records(folder.path()).await, expected(A, "Security", 1..101));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bookmark_goes_back_only_with_a_new_generation() {
    let folder = tempfile::tempdir().unwrap();
    let one = open(folder.path(), Options::default()).await;
    let appender = one.appender().unwrap();
    let untaken = appender.push(&rows(&one, A, "Security", 1..2), &[to(A, "Security", 1)]);
    assert!(matches!(untaken, Err(StoreError::NotTaken { .. })), "{untaken:?}");
    one.take(A).await.unwrap();
    store(&appender, &one, A, 1..101).await.unwrap();
    let back = appender.push(&rows(&one, A, "Security", 40..51), &[to(A, "Security", 50)]);
    assert!(matches!(back, Err(StoreError::Backwards { at: 100, to: 50, .. })), "{back:?}");
    assert_eq!(appender.waiting().rows, 0, "nothing was taken");

    let mut cleared = to(A, "Security", 5);
    cleared.new_generation = true;
    appender.push(&rows(&one, A, "Security", 1..6), &[cleared]).unwrap();
    appender.flush().await.unwrap();
    let bookmark = &one.bookmarks()[0];
    assert_eq!((bookmark.generation, bookmark.record.0), (1, 5));
    assert_eq!(records(folder.path()).await.len(), 105);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_that_race_on_one_disk_lose_and_double_nothing() {
    const WRITERS: u64 = 4;
    const COMMITS: u64 = 25;
    let folder = tempfile::tempdir().unwrap();
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        let path = folder.path().to_owned();
        tasks.push(tokio::spawn(async move {
            let one = open(&path, several()).await;
            let appender = one.appender().unwrap();
            let source = format!("even6://w{writer}");
            one.take(&source).await.unwrap();
            for n in 0..COMMITS {
                let flushed = store(&appender, &one, &source, n * 3 + 1..n * 3 + 4).await.unwrap();
                assert_eq!(flushed.rows, 3);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let mut all = Vec::new();
    for writer in 0..WRITERS {
        all.extend(expected(&format!("even6://w{writer}"), "Security", 1..COMMITS * 3 + 1));
    }
    assert_eq!(records(folder.path()).await, all);
    let one = open(folder.path(), several()).await;
    assert_eq!(one.version(), WRITERS * COMMITS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_released_source_is_committed_and_not_taken_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let one = open(folder.path(), Options::default()).await;
    let appender = one.appender().unwrap();
    one.take(A).await.unwrap();
    appender.push(&rows(&one, A, "Security", 1..6), &[to(A, "Security", 5)]).unwrap();
    one.release(A);
    let late = appender.push(&rows(&one, A, "Security", 6..7), &[to(A, "Security", 6)]);
    assert!(matches!(late, Err(StoreError::NotTaken { .. })), "{late:?}");
    assert_eq!(appender.flush().await.unwrap().rows, 5);
    assert_eq!(records(folder.path()).await, expected(A, "Security", 1..6));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_moves_nothing_is_committed_though_its_source_is_released() {
    let folder = tempfile::tempdir().unwrap();
    let one = open(folder.path(), Options::default()).await;
    let appender = one.appender().unwrap();
    one.take(A).await.unwrap();
    store(&appender, &one, A, 1..6).await.unwrap();
    appender.push(&rows(&one, A, "Security", 9..10), &[to(A, "Security", 5)]).unwrap();
    one.release(A);
    let flushed = appender.flush().await.unwrap();
    assert_eq!((flushed.rows, flushed.fenced.len()), (1, 0));
    assert_eq!(one.bookmarks()[0].record.0, 5);
}
