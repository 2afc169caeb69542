//! From shared to exclusive and back.

mod common;

use std::{path::PathBuf, thread, time::Duration};

use common::{Peer, open};
use quarry_lock::{Continuity, Mode};
use tempfile::TempDir;

const A_WHILE: Duration = Duration::from_millis(200);

fn lock_path() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("test.lock");
    (folder, path)
}

#[test]
fn the_only_holder_can_upgrade_and_downgrade() {
    let (_folder, path) = lock_path();
    let mut guard = open(&path).lock_owned(Mode::Shared).expect("the lock is free");
    assert!(guard.try_upgrade().expect("it can be asked"));
    assert_eq!(guard.mode(), Mode::Exclusive);
    let mut peer = Peer::new(&path);
    assert_eq!(peer.ask("try shared"), "contended");
    guard.downgrade().expect("it can be shared");
    assert_eq!(guard.mode(), Mode::Shared);
    assert_eq!(peer.ask("try exclusive"), "contended");
    assert_eq!(peer.ask("try shared"), "held");
}

#[test]
fn an_upgraded_lock_can_be_written_through_from_the_first_byte_on() {
    use std::io::Write;
    let (_folder, path) = lock_path();
    let mut guard = open(&path).lock_owned(Mode::Shared).expect("the lock is free");
    assert!(guard.try_upgrade().expect("it can be asked"));
    guard.write_all(b"written").expect("the guard writes");
    guard.unlock().expect("it unlocks");
    assert_eq!(std::fs::read(&path).expect("it can be read"), b"written");
}

#[test]
fn a_refused_upgrade_keeps_the_shared_lock() {
    let (_folder, path) = lock_path();
    let mut peer = Peer::new(&path);
    let mut third = Peer::new(&path);
    assert_eq!(peer.ask("lock shared"), "held");
    let mut guard = open(&path).lock_owned(Mode::Shared).expect("the lock is shared");
    assert!(!guard.try_upgrade().expect("it can be asked"));
    assert_eq!(guard.mode(), Mode::Shared);
    // With the other holder gone, only ours is in the way of a third.
    assert_eq!(peer.ask("unlock"), "unlocked");
    assert_eq!(third.ask("try exclusive"), "contended");
    drop(guard);
    assert_eq!(third.ask("try exclusive"), "held");
}

#[test]
fn of_two_upgraders_at_most_one_succeeds_and_neither_loses_its_lock() {
    let (_folder, path) = lock_path();
    let (mut one, mut two, mut third) = (Peer::new(&path), Peer::new(&path), Peer::new(&path));
    for _ in 0..100 {
        assert_eq!(one.ask("lock shared"), "held");
        assert_eq!(two.ask("lock shared"), "held");
        one.order("upgrade");
        two.order("upgrade");
        assert_eq!((&*one.answer(), &*two.answer()), ("refused", "refused"));
        assert_eq!(one.ask("unlock"), "unlocked");
        assert_eq!(third.ask("try exclusive"), "contended");
        assert_eq!(two.ask("unlock"), "unlocked");
    }
}

#[test]
fn a_waiting_upgrade_says_whether_the_lock_was_held_all_the_while() {
    let (_folder, path) = lock_path();
    let guard = open(&path).lock_owned(Mode::Shared).expect("the lock is free");
    let (mut guard, continuity) = guard.upgrade().expect("it can be upgraded");
    assert_eq!(continuity, Continuity::Unbroken);
    guard.downgrade().expect("it can be shared");

    let mut peer = Peer::new(&path);
    assert_eq!(peer.ask("lock shared"), "held");
    let waiting = thread::spawn(move || guard.upgrade().expect("it becomes free"));
    thread::sleep(A_WHILE);
    assert!(!waiting.is_finished());
    assert_eq!(peer.ask("unlock"), "unlocked");
    let (guard, continuity) = waiting.join().expect("the thread ends well");
    assert_eq!(continuity, Continuity::Interrupted);
    assert_eq!(guard.mode(), Mode::Exclusive);
    assert_eq!(peer.ask("try shared"), "contended");
}

#[cfg(unix)]
mod ranges {
    use quarry_lock::RangeFile;

    use super::*;
    use crate::common::range;

    #[test]
    fn a_range_is_upgraded_in_one_step_or_kept() {
        let (_folder, path) = lock_path();
        let bytes = range("0", "10");
        let file = RangeFile::open(&path).expect("it can be opened");
        let mut guard = file.lock_owned(bytes, Mode::Shared).expect("the lock is free");
        let mut peer = Peer::new(&path);
        assert_eq!(peer.ask("lock-range 5 10 shared"), "held");
        assert!(!guard.try_upgrade().expect("it can be asked"));
        assert_eq!(peer.ask("unlock"), "unlocked");
        peer.order("lock-range 0 1 exclusive");
        assert!(peer.is_silent_for(A_WHILE), "the shared lock is still there");
        assert!(guard.try_upgrade().expect("it can be asked"));
        drop(guard);
        assert_eq!(peer.answer(), "held");
    }
}

#[cfg(windows)]
#[test]
fn a_range_is_not_upgraded_on_windows_and_says_why() {
    let (_folder, path) = lock_path();
    let file = quarry_lock::RangeFile::open(&path).expect("it can be opened");
    let bytes = common::range("0", "10");
    let mut guard = file.lock_owned(bytes, Mode::Shared).expect("the lock is free");
    let error = guard.try_upgrade().expect_err("there is no such step");
    assert!(matches!(error, quarry_lock::Error::UpgradeUnavailable { .. }), "{error:?}");
    let mut other = quarry_lock::RangeFile::open(&path).expect("it can be opened");
    assert!(other.try_lock(bytes, Mode::Exclusive).expect("it can be asked").is_none());
}

/// Linux' own conversion has a gap here: it drops the shared lock before it looks for others, so
/// that a waiter slips in when they leave at that moment.
#[cfg(target_os = "linux")]
#[test]
fn a_waiting_flock_never_slips_in_while_an_upgrade_is_refused() {
    use std::{
        os::unix::process::CommandExt,
        process::{Command, Stdio},
        sync::atomic::{AtomicBool, Ordering},
    };
    let (_folder, path) = lock_path();
    let seen = path.with_extension("seen");
    let mut guard = open(&path).lock_owned(Mode::Shared).expect("the lock is free");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        // Others come and go with shared locks, as fast as they can.
        for _ in 0..2 {
            scope.spawn(|| {
                let file = std::fs::File::open(&path).expect("it can be opened");
                while !done.load(Ordering::Relaxed) {
                    file.lock_shared().expect("it can be shared");
                    file.unlock().expect("it unlocks");
                }
            });
        }
        let mut waiter = Command::new("flock")
            .args([path.as_os_str(), "touch".as_ref(), seen.as_os_str()])
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("util-linux flock starts");
        let end = std::time::Instant::now() + Duration::from_secs(2);
        let mut refused = 0;
        let mut slipped_in = false;
        while std::time::Instant::now() < end && !slipped_in {
            match guard.try_upgrade().expect("it can be asked") {
                true => guard.downgrade().expect("it can be shared"),
                false => refused += 1,
            }
            slipped_in = seen.exists();
        }
        done.store(true, Ordering::Relaxed);
        guard.unlock().expect("it unlocks");
        assert!(waiter.wait().expect("flock ends").success());
        assert!(!slipped_in, "flock got the lock while it was held shared");
        assert!(refused > 100, "refused {refused} times: the test proves nothing");
        assert!(seen.exists());
    });
}
