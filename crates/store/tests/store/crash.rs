//! Processes that end in the middle.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use quarry_store::{Options, Store};

use crate::support::{expected, open, records, rows, to};

const SOURCE: &str = "even6://a";
/// Where the child's table is. Without it the child's test is none.
const TABLE: &str = "QUARRY_STORE_CRASH_TABLE";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_synced_is_committed_by_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let one = open(folder.path(), Options::default()).await;
    let appender = one.appender().unwrap();
    one.take(SOURCE).await.unwrap();
    appender.push(&rows(&one, SOURCE, "Security", 1..51), &[to(SOURCE, "Security", 50)]).unwrap();
    appender.sync().unwrap();
    appender.push(&rows(&one, SOURCE, "Security", 51..61), &[to(SOURCE, "Security", 60)]).unwrap();
    appender.sync().unwrap();
    // Not synced, so not acknowledged.
    appender.push(&rows(&one, SOURCE, "Security", 61..71), &[to(SOURCE, "Security", 70)]).unwrap();
    drop((appender, one));
    assert!(records(folder.path()).await.is_empty());

    let one = open(folder.path(), Options::default()).await;
    assert_eq!(one.bookmarks()[0].record.0, 60);
    assert_eq!(records(folder.path()).await, expected(SOURCE, "Security", 1..61));
    drop(one);
    // Once more: what was committed isn't again.
    let one = open(folder.path(), Options::default()).await;
    assert_eq!((one.version(), one.bookmarks()[0].record.0), (1, 60));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_whose_commit_is_there_is_not_committed_again() {
    let folder = tempfile::tempdir().unwrap();
    let one = open(folder.path(), Options::default()).await;
    let appender = one.appender().unwrap();
    one.take(SOURCE).await.unwrap();
    appender.push(&rows(&one, SOURCE, "Security", 1..11), &[to(SOURCE, "Security", 10)]).unwrap();
    appender.sync().unwrap();
    // The log as it is between the commit and its own end.
    let copy = tempfile::tempdir().unwrap();
    let wal = folder.path().join("_quarry/wal");
    copy_folder(&wal, copy.path());
    appender.flush().await.unwrap();
    drop((appender, one));
    copy_folder(copy.path(), &wal);
    let one = open(folder.path(), Options::default()).await;
    assert_eq!(one.version(), 1);
    assert_eq!(records(folder.path()).await, expected(SOURCE, "Security", 1..11));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_ends_amid_a_frame_gives_what_was_whole() {
    let folder = tempfile::tempdir().unwrap();
    let one = open(folder.path(), Options::default()).await;
    let appender = one.appender().unwrap();
    one.take(SOURCE).await.unwrap();
    for start in [1, 11, 21] {
        let last = start + 9;
        let rows = rows(&one, SOURCE, "Security", start..start + 10);
        appender.push(&rows, &[to(SOURCE, "Security", last)]).unwrap();
        appender.sync().unwrap();
    }
    drop((appender, one));
    let segment = segments(folder.path()).pop().unwrap();
    let bytes = std::fs::read(&segment).unwrap();
    for (cut, whole) in [(bytes.len() - 1, 21), (bytes.len() / 2, 11), (4, 1)] {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), copy.path());
        std::fs::write(segments(copy.path()).pop().unwrap(), &bytes[..cut]).unwrap();
        let one = open(copy.path(), Options::default()).await;
        let read = one.bookmarks().first().map_or(0, |bookmark| bookmark.record.0);
        assert_eq!(read + 1, whole, "cut at {cut} of {}", bytes.len());
        assert_eq!(records(copy.path()).await, expected(SOURCE, "Security", 1..whole));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_damaged_in_the_middle_gives_what_comes_after_and_no_hole() {
    let folder = tempfile::tempdir().unwrap();
    let one = open(folder.path(), Options::default()).await;
    let appender = one.appender().unwrap();
    one.take(SOURCE).await.unwrap();
    // Where each frame ends. The second log has nothing in the second frame.
    let mut ends = Vec::new();
    for (start, other) in [(1, Some(1)), (11, None), (21, Some(6))] {
        let batch = rows(&one, SOURCE, "Security", start..start + 10);
        appender.push(&batch, &[to(SOURCE, "Security", start + 9)]).unwrap();
        if let Some(other) = other {
            let batch = rows(&one, SOURCE, "System", other..other + 5);
            appender.push(&batch, &[to(SOURCE, "System", other + 4)]).unwrap();
        }
        appender.sync().unwrap();
        ends.push(segments(folder.path()).pop().unwrap().metadata().unwrap().len() as usize);
    }
    drop((appender, one));
    let bytes = std::fs::read(segments(folder.path()).pop().unwrap()).unwrap();
    assert_eq!(bytes.len(), ends[2]);
    let system = expected(SOURCE, "System", 1..11);
    // Amid a frame's rows, in its length, and the file's own first bytes.
    for (place, whole) in [((ends[0] + ends[1]) / 2, 11), (ends[0] + 1, 11), (1, 31)] {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), copy.path());
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x55;
        let segment = segments(copy.path()).pop().unwrap();
        std::fs::write(&segment, damaged).unwrap();
        let one = open(copy.path(), Options::default()).await;
        let there = [expected(SOURCE, "Security", 1..whole), system.clone()].concat();
        assert_eq!(records(copy.path()).await, there, "damaged at {place}");
        // It stands before the hole, so that what is missing comes again.
        let bookmarks: Vec<u64> = one.bookmarks().iter().map(|at| at.record.0).collect();
        assert_eq!(bookmarks, [whole - 1, 10]);
        assert!(!segment.exists() && segment.with_extension("damaged").exists());
        let appender = one.appender().unwrap();
        one.take(SOURCE).await.unwrap();
        let batch = rows(&one, SOURCE, "Security", whole..41);
        appender.push(&batch, &[to(SOURCE, "Security", 40)]).unwrap();
        appender.flush().await.unwrap();
        let all = [expected(SOURCE, "Security", 1..41), system.clone()].concat();
        assert_eq!(records(copy.path()).await, all);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_frame_at_a_log_s_end_that_is_damaged_is_kept_and_the_beginning_of_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let one = open(folder.path(), Options::default()).await;
    let appender = one.appender().unwrap();
    one.take(SOURCE).await.unwrap();
    let mut ends = Vec::new();
    for start in [1, 11] {
        let batch = rows(&one, SOURCE, "Security", start..start + 10);
        appender.push(&batch, &[to(SOURCE, "Security", start + 9)]).unwrap();
        appender.sync().unwrap();
        ends.push(segments(folder.path()).pop().unwrap().metadata().unwrap().len() as usize);
    }
    drop((appender, one));
    let bytes = std::fs::read(segments(folder.path()).pop().unwrap()).unwrap();
    let mut damaged = bytes.clone();
    damaged[(ends[0] + ends[1]) / 2] ^= 0x55;
    let cut = bytes[..ends[1] - 7].to_vec();
    let mut unwritten = bytes.clone();
    unwritten[ends[0]..].fill(0);
    for (bytes, is_kept) in [(damaged, true), (cut, false), (unwritten, false)] {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), copy.path());
        let segment = segments(copy.path()).pop().unwrap();
        std::fs::write(&segment, bytes).unwrap();
        let one = open(copy.path(), Options::default()).await;
        assert_eq!(one.bookmarks()[0].record.0, 10);
        assert_eq!(segment.with_extension("damaged").exists(), is_kept);
        assert!(!segment.exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_has_no_more_than_what_is_not_in_the_table_however_often_it_is_synced() {
    let folder = tempfile::tempdir().unwrap();
    let one = open(folder.path(), Options::default()).await;
    let appender = one.appender().unwrap();
    one.take(SOURCE).await.unwrap();
    for start in [1, 11, 21] {
        let batch = rows(&one, SOURCE, "Security", start..start + 10);
        appender.push(&batch, &[to(SOURCE, "Security", start + 9)]).unwrap();
        // While nothing comes, there is nothing to sync.
        for _ in 0..3 {
            appender.sync().unwrap();
        }
        assert_eq!(segments(folder.path()).len(), 1);
        appender.flush().await.unwrap();
        assert_eq!(segments(folder.path()).len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_rows_that_others_have_moved_meanwhile_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let one = open(folder.path(), Options::default()).await;
    let appender = one.appender().unwrap();
    one.take(SOURCE).await.unwrap();
    appender.push(&rows(&one, SOURCE, "Security", 1..11), &[to(SOURCE, "Security", 10)]).unwrap();
    appender.sync().unwrap();
    drop((appender, one));
    // Another machine has its log elsewhere.
    let elsewhere = tempfile::tempdir().unwrap();
    let two = open(folder.path(), Options::default().log_folder(elsewhere.path())).await;
    let appender = two.appender().unwrap();
    two.take(SOURCE).await.unwrap();
    crate::support::store(&appender, &two, SOURCE, 1..31).await.unwrap();
    drop((appender, two));
    let one = open(folder.path(), Options::default()).await;
    assert_eq!(one.bookmarks()[0].record.0, 30);
    assert_eq!(records(folder.path()).await, expected(SOURCE, "Security", 1..31));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_is_killed_at_any_moment_loses_and_doubles_nothing() {
    const ROUNDS: u64 = 12;
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["crash::child", "--exact", "--nocapture", "--test-threads=1"])
            .env(TABLE, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reader = std::thread::spawn(move || {
            let lines = lines.map_while(Result::ok);
            lines.filter_map(|line| line.strip_prefix("synced ")?.parse().ok()).last()
        });
        // Long enough to open, on a slow machine too, and no two alike.
        std::thread::sleep(Duration::from_millis(700 + (round * 137) % 500));
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged = reader.join().unwrap().unwrap_or(0).max(acknowledged);
    }
    assert!(acknowledged > 0, "the child was never as far as a sync");
    let one = open(folder.path(), Options::default()).await;
    let last = one.bookmarks()[0].record.0;
    assert!(last >= acknowledged, "{acknowledged} were acknowledged, {last} are there");
    assert_eq!(records(folder.path()).await, expected(SOURCE, "Security", 1..last + 1));
    // What the killed ones left goes, and nothing else.
    drop(one);
    let one = open(folder.path(), Options::default()).await;
    let policy = quarry_store::Policy { safe_age: Duration::ZERO, ..Default::default() };
    one.maintain(&policy).await.unwrap();
    assert_eq!(records(folder.path()).await, expected(SOURCE, "Security", 1..last + 1));
    let table = deltalake::open_table(url::Url::from_directory_path(folder.path()).unwrap());
    let live = table.await.unwrap().get_file_uris().unwrap().count();
    assert_eq!(crate::support::data_files(folder.path()).len(), live, "no leak");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_dies_between_a_data_file_and_its_commit_leaves_no_row_and_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["crash::child_without_a_commit", "--exact", "--test-threads=1"])
        .env(UNCOMMITTED, folder.path())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success(), "{status}");
    let left = crate::support::data_files(folder.path());
    assert_eq!(left.len(), 1, "it died after its data file was put");
    assert!(records(folder.path()).await.is_empty(), "and before its commit");
    // Whoever comes next commits what was synced, in a file of its own.
    let one = open(folder.path(), Options::default()).await;
    assert_eq!(records(folder.path()).await, expected(SOURCE, "Security", 1..11));
    let hour = Duration::from_secs(3600);
    assert_eq!(one.leftovers(hour).await.unwrap(), [], "it may be about to be committed");
    assert_eq!(one.expire(hour).await.unwrap(), Some(Vec::new()));
    let found = one.leftovers(Duration::ZERO).await.unwrap();
    let names: Vec<_> = found.iter().map(|file| folder.path().join(&file.path)).collect();
    assert_eq!(names, left);
    assert_eq!(found[0].bytes, left[0].metadata().unwrap().len());
    assert!(left[0].exists(), "nothing goes by being listed");
    let expired = one.expire(Duration::ZERO).await.unwrap().unwrap();
    assert_eq!(expired.len(), 1);
    assert_eq!((&expired[0].path, expired[0].bytes), (&found[0].path, found[0].bytes));
    assert_eq!(one.leftovers(Duration::ZERO).await.unwrap(), []);
    assert!(!left[0].exists());
    assert_eq!(records(folder.path()).await, expected(SOURCE, "Security", 1..11));
}

const UNCOMMITTED: &str = "QUARRY_STORE_UNCOMMITTED_TABLE";

/// Syncs rows, puts their data file, and dies instead of committing it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_without_a_commit() {
    let Some(table) = std::env::var_os(UNCOMMITTED) else { return };
    let (options, orders) = crate::faults::faulty();
    let one = Store::open(table.to_str().unwrap(), options).await.unwrap();
    let appender = one.appender().unwrap();
    one.take(SOURCE).await.unwrap();
    appender.push(&rows(&one, SOURCE, "Security", 1..11), &[to(SOURCE, "Security", 10)]).unwrap();
    appender.sync().unwrap();
    orders.commits.lock().unwrap().push(crate::faults::Fault::Dies);
    appender.flush().await.unwrap();
}

/// What is killed: pushes, syncs, says so, and commits now and then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "it is how the parent knows")]
async fn child() {
    let Some(table) = std::env::var_os(TABLE) else { return };
    let one = Store::open(table.to_str().unwrap(), Options::default()).await.unwrap();
    let appender = one.appender().unwrap();
    let bookmarks = one.take(SOURCE).await.unwrap();
    let mut next = bookmarks.first().map_or(1, |bookmark| bookmark.record.0 + 1);
    for n in 0u64.. {
        let end = next + 1 + n % 7;
        let rows = rows(&one, SOURCE, "Security", next..end);
        appender.push(&rows, &[to(SOURCE, "Security", end - 1)]).unwrap();
        appender.sync().unwrap();
        println!("synced {}", end - 1);
        next = end;
        if n % 5 == 4 {
            appender.flush().await.unwrap();
        }
    }
}

/// A file that may not grow any more is what a full disk is to its writer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_can_not_be_written_on_goes_on_in_another_file_and_loses_nothing() {
    if cfg!(windows) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let child = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        // Blocks of 512 bytes. Who ignores the signal gets an error.
        .args(["-c", "trap '' XFSZ; ulimit -f 400; exec \"$0\" \"$@\""])
        .arg(child)
        .args(["crash::child_of_a_full_disk", "--exact", "--nocapture", "--test-threads=1"])
        .env(FULL, folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    let last = |word| text.lines().rev().find_map(|line| line.strip_prefix(word)?.parse().ok());
    let (failed, synced): (Option<u64>, Option<u64>) = (last("failed "), last("synced "));
    assert!(failed.is_some_and(|failed| failed > 0), "the disk was never full: {text}");
    let synced = synced.unwrap();
    let one = open(folder.path(), Options::default()).await;
    assert_eq!(one.bookmarks()[0].record.0, synced);
    assert_eq!(records(folder.path()).await, expected(SOURCE, "Security", 1..synced + 1));
}

const FULL: &str = "QUARRY_STORE_FULL_TABLE";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "it is how the parent knows")]
async fn child_of_a_full_disk() {
    let Some(table) = std::env::var_os(FULL) else { return };
    let one = Store::open(table.to_str().unwrap(), Options::default()).await.unwrap();
    let appender = one.appender().unwrap();
    one.take(SOURCE).await.unwrap();
    let mut failed = 0;
    for n in 0..60 {
        let rows = rows(&one, SOURCE, "Security", n * 10 + 1..n * 10 + 11);
        appender.push(&rows, &[to(SOURCE, "Security", n * 10 + 10)]).unwrap();
        while let Err(error) = appender.sync() {
            failed += 1;
            println!("failed {failed}");
            assert!(failed < 100, "{error}");
        }
        println!("synced {}", n * 10 + 10);
    }
}

fn segments(table: &Path) -> Vec<std::path::PathBuf> {
    let mut segments = Vec::new();
    for log in std::fs::read_dir(table.join("_quarry/wal")).unwrap() {
        let files =
            std::fs::read_dir(log.unwrap().path()).unwrap().map(|file| file.unwrap().path());
        segments.extend(files.filter(|file| file.extension().is_some_and(|end| end == "wal")));
    }
    segments.sort();
    segments
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}
