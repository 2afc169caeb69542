//! The crate against other people's locks on Windows: byte 0 alone (`msvcrt.locking`, so Python's
//! `filelock`), the whole range (the standard library, cargo) and pywin32's recipe.
#![cfg(windows)]

mod common;

use std::{
    fs::{File, OpenOptions},
    os::windows::io::AsRawHandle,
    path::PathBuf,
};

use common::open;
use quarry_lock::{Error, Mode};
use tempfile::TempDir;
use windows_sys::Win32::{
    Storage::FileSystem::{
        LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY, LockFileEx, UnlockFileEx,
    },
    System::IO::OVERLAPPED,
};

/// What others lock: a name, and the low and high halves of the length from byte 0 on.
const PEERS: [(&str, u32, u32); 4] = [
    ("msvcrt.locking and filelock", 1, 0),
    ("the standard library", u32::MAX, u32::MAX),
    ("pywin32's recipe", 0, 0xffff_0000),
    ("one that locks the low 32 bits", u32::MAX, 0),
];

fn lock_path() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("test.lock");
    (folder, path)
}

fn opened(path: &PathBuf) -> File {
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    options.expect("it opens")
}

fn try_lock(file: &File, (_, low, high): (&str, u32, u32), mode: Mode) -> bool {
    let mut overlapped = OVERLAPPED::default();
    let exclusive = if mode == Mode::Exclusive { LOCKFILE_EXCLUSIVE_LOCK } else { 0 };
    let flags = LOCKFILE_FAIL_IMMEDIATELY | exclusive;
    // SAFETY: the handle is open for synchronous I/O, so the call is over when it returns.
    unsafe { LockFileEx(file.as_raw_handle(), flags, 0, low, high, &raw mut overlapped) != 0 }
}

fn unlock(file: &File, (_, low, high): (&str, u32, u32)) {
    let mut overlapped = OVERLAPPED::default();
    // SAFETY: as above.
    let done = unsafe { UnlockFileEx(file.as_raw_handle(), 0, low, high, &raw mut overlapped) };
    assert_ne!(done, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn everybody_who_locks_byte_0_or_the_whole_range_is_excluded_both_ways() {
    let (_folder, path) = lock_path();
    let mut file = open(&path);
    let foreign = opened(&path);
    for peer in PEERS {
        for ours in [Mode::Shared, Mode::Exclusive] {
            for theirs in [Mode::Shared, Mode::Exclusive] {
                let together = ours == Mode::Shared && theirs == Mode::Shared;
                let context = format!("{}, ours {ours:?}, theirs {theirs:?}", peer.0);

                let guard = file.lock(ours).expect("the lock is free");
                let got = try_lock(&foreign, peer, theirs);
                assert_eq!(got, together, "{context}");
                if got {
                    unlock(&foreign, peer);
                }
                guard.unlock().expect("it unlocks");

                assert!(try_lock(&foreign, peer, theirs), "{context}");
                let got = file.try_lock(ours).expect("it can be asked").is_some();
                assert_eq!(got, together, "{context}");
                unlock(&foreign, peer);
                assert!(file.try_lock(ours).expect("it can be asked").is_some(), "{context}");
            }
        }
    }
}

#[test]
fn an_upgraded_lock_excludes_the_same_peers_as_one_that_was_taken_exclusively() {
    let (_folder, path) = lock_path();
    let mut guard = open(&path).lock_owned(Mode::Shared).expect("the lock is free");
    assert!(guard.try_upgrade().expect("it can be asked"));
    let foreign = opened(&path);
    for peer in PEERS {
        assert!(!try_lock(&foreign, peer, Mode::Shared), "{}", peer.0);
        assert!(!try_lock(&foreign, peer, Mode::Exclusive), "{}", peer.0);
    }
    guard.downgrade().expect("it can be shared");
    for peer in PEERS {
        assert!(!try_lock(&foreign, peer, Mode::Exclusive), "{}", peer.0);
        assert!(try_lock(&foreign, peer, Mode::Shared), "{}", peer.0);
        unlock(&foreign, peer);
    }
    guard.unlock().expect("it unlocks");
    for peer in PEERS {
        assert!(try_lock(&foreign, peer, Mode::Exclusive), "nothing is left: {}", peer.0);
        unlock(&foreign, peer);
    }
}

#[test]
fn a_foreign_shared_holder_refuses_the_upgrade_and_the_shared_lock_stays() {
    let (_folder, path) = lock_path();
    let foreign = opened(&path);
    // All but those of byte 0 alone, which cannot be told from a holder that will leave it.
    for peer in &PEERS[1..] {
        let mut guard = open(&path).lock_owned(Mode::Shared).expect("the lock is free");
        assert!(try_lock(&foreign, *peer, Mode::Shared), "{}", peer.0);
        assert!(!guard.try_upgrade().expect("it can be asked"), "{}", peer.0);
        unlock(&foreign, *peer);
        assert!(!try_lock(&foreign, *peer, Mode::Exclusive), "{}", peer.0);
        assert!(guard.try_upgrade().expect("it can be asked"), "{}", peer.0);
    }
}

#[test]
fn a_lock_that_is_lost_to_a_holder_of_byte_0_is_reported_as_lost() {
    let (_folder, path) = lock_path();
    let foreign = opened(&path);
    let mut guard = open(&path).lock_owned(Mode::Shared).expect("the lock is free");
    assert!(try_lock(&foreign, PEERS[0], Mode::Shared));
    let error = guard.try_upgrade().expect_err("byte 0 is not to be had");
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    unlock(&foreign, PEERS[0]);
    assert!(try_lock(&foreign, PEERS[1], Mode::Exclusive), "nothing is left of it");
}

#[test]
fn the_standard_library_and_the_crate_exclude_each_other() {
    let (_folder, path) = lock_path();
    let theirs = opened(&path);
    let mut file = open(&path);
    let guard = file.lock(Mode::Exclusive).expect("the lock is free");
    assert!(theirs.try_lock_shared().is_err());
    drop(guard);
    theirs.lock().expect("it is free");
    assert!(file.try_lock(Mode::Shared).expect("it can be asked").is_none());
    // Closed, not unlocked: that asks for a second lock to release, and Wine's answer is another
    // than Windows'.
    drop(theirs);
    assert!(file.try_lock(Mode::Shared).expect("it can be asked").is_some());
}
