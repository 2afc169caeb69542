//! One process against another, and one handle against another in the same process.

mod common;

use std::{
    io::{Read, Seek, Write},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use common::{Peer, open, range};
use quarry_lock::{Access, Error, LockFile, Mode, Options, OwnedGuard, RangeFile, Wait};
use tempfile::TempDir;

const A_WHILE: Duration = Duration::from_millis(200);

fn lock_path() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("test.lock");
    (folder, path)
}

#[test]
fn an_exclusive_lock_keeps_both_kinds_out_and_a_shared_one_only_exclusive() {
    let (_folder, path) = lock_path();
    let mut file = open(&path);
    let mut peer = Peer::new(&path);

    let guard = file.lock(Mode::Exclusive).expect("the lock is free");
    assert_eq!(peer.ask("try exclusive"), "contended");
    assert_eq!(peer.ask("try shared"), "contended");
    guard.unlock().expect("it unlocks");

    let guard = file.lock(Mode::Shared).expect("the lock is free");
    assert_eq!(peer.ask("try exclusive"), "contended");
    assert_eq!(peer.ask("try shared"), "held");
    guard.unlock().expect("it unlocks");
    assert!(file.try_lock(Mode::Exclusive).expect("it can be asked").is_none());
    assert_eq!(peer.ask("unlock"), "unlocked");
    assert!(file.try_lock(Mode::Exclusive).expect("it can be asked").is_some());
}

#[test]
fn a_waiter_gets_the_lock_when_it_is_released_and_not_before() {
    let (_folder, path) = lock_path();
    let mut file = open(&path);
    let mut peer = Peer::new(&path);
    for (held, wanted) in [
        (Mode::Exclusive, "lock exclusive"),
        (Mode::Exclusive, "lock shared"),
        (Mode::Shared, "lock exclusive"),
    ] {
        let guard = file.lock(held).expect("the lock is free");
        peer.order(wanted);
        assert!(peer.is_silent_for(A_WHILE));
        drop(guard);
        assert_eq!(peer.answer(), "held");
        assert_eq!(peer.ask("unlock"), "unlocked");
    }
}

#[test]
fn a_killed_process_leaves_no_lock_behind() {
    let (_folder, path) = lock_path();
    let mut file = open(&path);
    for order in ["lock exclusive", "lock shared"] {
        let mut peer = Peer::new(&path);
        assert_eq!(peer.ask(order), "held");
        assert!(file.try_lock(Mode::Exclusive).expect("it can be asked").is_none());
        peer.kill();
        // The peer is reaped; the system may close its files a moment later.
        let guard = file.lock_timeout(Mode::Exclusive, Duration::from_secs(10));
        assert!(guard.expect("it can be asked").is_some());
    }
}

#[test]
fn a_timed_wait_ends_at_its_deadline_and_not_before() {
    let (_folder, path) = lock_path();
    let mut file = open(&path);
    let mut peer = Peer::new(&path);
    assert_eq!(peer.ask("lock exclusive"), "held");

    let before = Instant::now();
    assert!(file.lock_timeout(Mode::Shared, A_WHILE).expect("it can be asked").is_none());
    assert!(before.elapsed() >= A_WHILE);
    assert!(before.elapsed() < A_WHILE + Duration::from_secs(5), "{:?}", before.elapsed());

    // In the past: one attempt, no wait.
    let deadline = Instant::now();
    assert!(file.lock_deadline(Mode::Shared, deadline).expect("it can be asked").is_none());

    peer.order("unlock");
    let guard = file.lock_timeout(Mode::Exclusive, Duration::from_secs(30));
    assert!(guard.expect("it can be asked").is_some());
}

#[test]
fn two_handles_in_one_process_exclude_each_other() {
    let (_folder, path) = lock_path();
    let (mut first, mut second) = (open(&path), open(&path));
    let guard = first.lock(Mode::Exclusive).expect("the lock is free");
    assert!(second.try_lock(Mode::Shared).expect("it can be asked").is_none());
    drop(guard);
    assert!(second.try_lock(Mode::Shared).expect("it can be asked").is_some());
}

#[test]
fn a_panic_releases_the_lock() {
    let (_folder, path) = lock_path();
    let file = open(&path);
    let thread = thread::spawn(move || {
        let _guard = file.lock_owned(Mode::Exclusive).expect("the lock is free");
        panic!("with the lock held, as this test means to");
    });
    assert!(thread.join().is_err());
    assert!(open(&path).try_lock(Mode::Exclusive).expect("it can be asked").is_some());
}

#[test]
fn an_owned_guard_can_be_stored_sent_and_turned_back_into_its_file() {
    struct Store {
        lock: OwnedGuard,
    }
    let (_folder, path) = lock_path();
    let store = Store { lock: open(&path).lock_owned(Mode::Exclusive).expect("the lock is free") };
    let back = thread::spawn(move || store.lock.release().expect("it unlocks"));
    let mut file: LockFile = back.join().expect("the thread ends well");
    assert!(open(&path).try_lock(Mode::Exclusive).expect("it can be asked").is_some());
    assert!(file.try_lock(Mode::Exclusive).expect("it can be asked").is_some());
}

#[test]
fn a_contended_file_comes_back_from_an_owned_attempt() {
    let (_folder, path) = lock_path();
    let _guard = open(&path).lock_owned(Mode::Exclusive).expect("the lock is free");
    let outcome = open(&path).lock_owned_waiting(Mode::Shared, Wait::Never);
    let file: LockFile = outcome.expect("it can be asked").expect_err("the lock is held");
    assert_eq!(file.path(), Some(&*path));
}

#[test]
fn locking_leaves_the_content_alone_and_the_guard_reads_and_writes_it() {
    let (_folder, path) = lock_path();
    std::fs::write(&path, "kept").expect("the file can be written");
    let mut file = open(&path);
    let mut guard = file.lock(Mode::Exclusive).expect("the lock is free");
    let mut text = String::new();
    guard.read_to_string(&mut text).expect("the guard reads");
    assert_eq!(text, "kept");
    guard.write_all(b", and more").expect("the guard writes");
    guard.rewind().expect("the guard seeks");
    text.clear();
    guard.read_to_string(&mut text).expect("the guard reads");
    assert_eq!(text, "kept, and more");
    guard.set_len(4).expect("the guard cuts");
    assert_eq!(guard.file_len().expect("the guard measures"), 4);
    guard.sync_all().expect("the guard syncs");
    drop(guard);
    assert_eq!(std::fs::read_to_string(&path).expect("the file can be read"), "kept");
}

#[test]
fn a_missing_file_is_created_unless_it_must_exist() {
    let (_folder, path) = lock_path();
    let refused = Options::new().create(false).open(&path).expect_err("there is no file");
    assert!(matches!(refused, Error::Open { .. }), "{refused:?}");
    assert!(!path.exists());
    open(&path);
    assert_eq!(std::fs::metadata(&path).expect("it is there").len(), 0);
}

#[test]
fn taking_a_lock_twice_in_one_process_is_reported_when_asked() {
    let (_folder, path) = lock_path();
    let asking = Options::new().report_double(true);
    let guard = open(&path).lock_owned(Mode::Exclusive).expect("the lock is free");
    for wait in [Wait::Never, Wait::Forever, Wait::at_most(Duration::from_secs(60))] {
        let error = asking.lock_waiting(&path, Mode::Shared, wait).expect_err("held here");
        assert!(matches!(error, Error::HeldByThisProcess { .. }), "{error:?}");
    }
    drop(guard);

    // What others hold is waited for as always.
    let mut peer = Peer::new(&path);
    assert_eq!(peer.ask("lock exclusive"), "held");
    assert!(asking.try_lock(&path, Mode::Shared).expect("it can be asked").is_none());
    let soon = Wait::at_most(A_WHILE);
    assert!(asking.lock_waiting(&path, Mode::Shared, soon).expect("it can be asked").is_none());
    peer.order("unlock");
    drop(asking.lock(&path, Mode::Shared).expect("it becomes free"));
}

#[test]
fn a_double_lock_is_noticed_even_if_it_comes_about_during_the_wait() {
    let (_folder, path) = lock_path();
    let mut peer = Peer::new(&path);
    assert_eq!(peer.ask("lock exclusive"), "held");
    let waiting = thread::spawn({
        let path = path.clone();
        move || open(&path).lock_owned(Mode::Exclusive).expect("it becomes free")
    });
    let asking = thread::spawn({
        let path = path.clone();
        // Either of the two may get the lock first; the test is about the other order.
        move || Options::new().report_double(true).lock(path, Mode::Exclusive)
    });
    thread::sleep(A_WHILE);
    assert_eq!(peer.ask("unlock"), "unlocked");
    match asking.join().expect("the thread ends well") {
        Err(error) => assert!(matches!(error, Error::HeldByThisProcess { .. }), "{error:?}"),
        Ok(guard) => drop(guard),
    }
    drop(waiting.join().expect("the thread ends well"));
}

#[test]
fn ranges_that_touch_do_not_contend_and_ranges_that_overlap_do() {
    let (_folder, path) = lock_path();
    let mut file = RangeFile::open(&path).expect("the file can be opened");
    let mut peer = Peer::new(&path);
    assert_eq!(peer.ask("lock-range 10 10 exclusive"), "held");
    for (start, len, free) in
        [("0", "10", true), ("20", "5", true), ("19", "1", false), ("0", "11", false)]
    {
        let guard = file.try_lock(range(start, len), Mode::Shared).expect("it can be asked");
        assert_eq!(guard.is_some(), free, "{len} bytes from {start}");
    }
    let to_the_end = quarry_lock::ByteRange::starting_at(19).expect("a valid range");
    assert!(file.try_lock(to_the_end, Mode::Exclusive).expect("it can be asked").is_none());
    assert_eq!(peer.ask("unlock"), "unlocked");
    let guard = file.try_lock(to_the_end, Mode::Exclusive).expect("it can be asked");
    let mut guard = guard.expect("the range is free");
    peer.order("lock-range 1000000 1 shared");
    assert!(peer.is_silent_for(A_WHILE));
    guard.downgrade().expect("it can be shared");
    assert_eq!(peer.answer(), "held");
}

#[test]
fn a_timed_wait_for_a_range_ends_at_its_deadline() {
    let (_folder, path) = lock_path();
    let mut file = RangeFile::open(&path).expect("the file can be opened");
    let mut peer = Peer::new(&path);
    assert_eq!(peer.ask("lock-range 0 1 exclusive"), "held");
    let wait = Wait::at_most(A_WHILE);
    let waited = file.lock_waiting(range("0", "1"), Mode::Exclusive, wait);
    assert!(waited.expect("it can be asked").is_none());
    peer.order("unlock");
    let wait = Wait::at_most(Duration::from_secs(30));
    let waited = file.lock_waiting(range("0", "1"), Mode::Exclusive, wait);
    assert!(waited.expect("it can be asked").is_some());
}

#[test]
fn the_two_kinds_of_lock_cannot_be_mixed_on_one_file() {
    let (_folder, path) = lock_path();
    let whole = open(&path);
    let error = RangeFile::open(&path).expect_err("open for the other kind");
    assert!(matches!(error, Error::MixedKinds { .. }), "{error:?}");
    drop(whole);
    let _ranges = RangeFile::open(&path).expect("nobody else has it open");
    let error = LockFile::open(&path).expect_err("open for the other kind");
    assert!(matches!(error, Error::MixedKinds { .. }), "{error:?}");
}

#[test]
fn a_waiter_starts_again_on_the_new_file_when_the_old_one_is_deleted() {
    let (_folder, path) = lock_path();
    let mut peer = Peer::new(&path);
    assert_eq!(peer.ask("lock exclusive"), "held");
    let waiting = thread::spawn({
        let mut file = open(&path);
        move || {
            let mut guard = file.lock(Mode::Exclusive).expect("it becomes free");
            guard.write_all(b"the new one").expect("the guard writes");
        }
    });
    thread::sleep(A_WHILE);
    assert_eq!(peer.ask("remove"), "removed");
    waiting.join().expect("the thread ends well");
    assert_eq!(std::fs::read_to_string(&path).expect("it is there again"), "the new one");
}

#[test]
fn a_missing_folder_is_not_a_lack_of_permission() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for access in [Access::ReadWrite, Access::ReadOnly] {
        let refused = Options::new().access(access).open(folder.path().join("nodir/x"));
        let Err(error) = refused else { panic!("{access:?}: it was opened") };
        let kind = error.io().map(std::io::Error::kind);
        assert_eq!(kind, Some(std::io::ErrorKind::NotFound), "{access:?}: {error}");
    }
}

#[test]
fn a_file_that_is_open_already_can_be_locked() {
    let (_folder, path) = lock_path();
    std::fs::write(&path, "data").expect("the file can be written");
    let opened = std::fs::OpenOptions::new().read(true).write(true).open(&path);
    let mut file = LockFile::from_file(opened.expect("it opens")).expect("it can be locked");
    let mut peer = Peer::new(&path);
    let mut guard = file.lock(Mode::Exclusive).expect("the lock is free");
    assert_eq!(peer.ask("try shared"), "contended");
    let mut text = String::new();
    guard.read_to_string(&mut text).expect("the guard reads");
    assert_eq!(text, "data");
    drop(guard);
    assert_eq!(peer.ask("try shared"), "held");
}
