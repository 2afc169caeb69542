//! Waiting in tasks.
#![cfg(feature = "async")]

mod common;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use common::{Peer, open, range};
use quarry_lock::{Mode, Options, RangeFile};
use tempfile::TempDir;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

const A_WHILE: Duration = Duration::from_millis(200);
const SOON: Duration = Duration::from_secs(60);

fn lock_path() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("test.lock");
    (folder, path)
}

#[tokio::test]
async fn a_task_waits_for_another_process() {
    let (_folder, path) = lock_path();
    let mut peer = Peer::new(&path);
    assert_eq!(peer.ask("lock exclusive"), "held");
    let mut file = open(&path);
    assert!(timeout(A_WHILE, file.lock_async(Mode::Shared)).await.is_err());
    peer.order("unlock");
    let guard = timeout(SOON, file.lock_async(Mode::Exclusive)).await;
    let guard = guard.expect("it becomes free").expect("it can be asked");
    assert_eq!(peer.answer(), "unlocked");
    assert_eq!(peer.ask("try shared"), "contended");
    drop(guard);
    assert_eq!(peer.ask("try shared"), "held");
}

#[tokio::test]
async fn a_cancelled_waiter_never_holds_the_lock_afterwards() {
    let (_folder, path) = lock_path();
    let mut file = open(&path);
    for round in 0..50u64 {
        let held = open(&path).lock_owned(Mode::Exclusive).expect("the lock is free");
        let mut cancelled = JoinSet::new();
        for waiter in 0..20 {
            let path = path.clone();
            cancelled.spawn(async move {
                let patience = Duration::from_micros(100 * ((round * 7 + waiter * 13) % 40));
                let _ = timeout(patience, Options::new().lock_async(&path, Mode::Exclusive)).await;
            });
        }
        sleep(Duration::from_millis(2)).await;
        drop(held);
        while let Some(result) = cancelled.join_next().await {
            result.expect("the task ends well");
        }
        assert!(file.try_lock(Mode::Exclusive).expect("it can be asked").is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tasks_take_turns_and_none_starves() {
    let (_folder, path) = lock_path();
    let inside = Arc::new(AtomicU32::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let (path, inside) = (path.clone(), Arc::clone(&inside));
        tasks.spawn(async move {
            for _ in 0..10 {
                let guard = Options::new().lock_async(&path, Mode::Exclusive).await;
                let guard = guard.expect("it can be asked");
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                tokio::task::yield_now().await;
                assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                guard.unlock().expect("it unlocks");
            }
        });
    }
    while let Some(result) = timeout(SOON, tasks.join_next()).await.expect("no task starves") {
        result.expect("the task ends well");
    }
}

#[tokio::test]
async fn shared_waiters_get_in_together() {
    let (_folder, path) = lock_path();
    let held = open(&path).lock_owned(Mode::Exclusive).expect("the lock is free");
    let all_in = Arc::new(tokio::sync::Barrier::new(10));
    let mut tasks = JoinSet::new();
    for _ in 0..10 {
        let (path, all_in) = (path.clone(), Arc::clone(&all_in));
        tasks.spawn(async move {
            let _guard = Options::new().lock_async(&path, Mode::Shared).await.expect("it can");
            // Passed only when all hold the lock at once.
            all_in.wait().await;
        });
    }
    drop(held);
    while let Some(result) = timeout(SOON, tasks.join_next()).await.expect("all get in") {
        result.expect("the task ends well");
    }
}

#[tokio::test]
async fn a_waiting_task_follows_a_file_that_is_replaced() {
    let (_folder, path) = lock_path();
    let held = open(&path).lock_owned(Mode::Exclusive).expect("the lock is free");
    let waiting = tokio::spawn({
        let path = path.clone();
        async move { Options::new().lock_async(&path, Mode::Exclusive).await.expect("it can") }
    });
    sleep(A_WHILE).await;
    // The holder of the old file does not let go, and need not.
    std::fs::remove_file(&path).expect("it can be deleted");
    let guard = timeout(SOON, waiting).await.expect("the new file is free").expect("it ends well");
    assert!(path.exists());
    assert!(open(&path).try_lock(Mode::Shared).expect("it can be asked").is_none());
    drop((guard, held));
}

#[tokio::test]
async fn a_task_waits_for_a_range() {
    let (_folder, path) = lock_path();
    let mut peer = Peer::new(&path);
    assert_eq!(peer.ask("lock-range 0 10 exclusive"), "held");
    let mut file = RangeFile::open(&path).expect("it can be opened");
    assert!(timeout(A_WHILE, file.lock_async(range("9", "1"), Mode::Shared)).await.is_err());
    {
        let free = timeout(SOON, file.lock_async(range("10", "1"), Mode::Exclusive)).await;
        assert_eq!(free.expect("it is free").expect("it can be asked").mode(), Mode::Exclusive);
    }
    peer.kill();
    let guard = timeout(SOON, file.lock_owned_async(range("9", "1"), Mode::Shared)).await;
    drop(guard.expect("it becomes free").expect("it can be asked"));
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_waiters_need_neither_threads_nor_descriptors() {
    let count = |what: &str| {
        std::fs::read_dir(format!("/proc/self/{what}")).expect("proc is mounted").count()
    };
    let (_folder, path) = lock_path();
    let held = open(&path).lock_owned(Mode::Exclusive).expect("the lock is free");
    let (threads, descriptors) = (count("task"), count("fd"));
    let entered = Arc::new(AtomicU32::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..10_000 {
        let (path, entered) = (path.clone(), Arc::clone(&entered));
        tasks.spawn(async move {
            let guard = Options::new().lock_async(&path, Mode::Exclusive).await;
            entered.fetch_add(1, Ordering::Relaxed);
            guard.expect("it can be asked").unlock().expect("it unlocks");
        });
    }
    sleep(A_WHILE).await;
    assert_eq!(entered.load(Ordering::Relaxed), 0);
    // Other tests of this program run at the same time, so a few come and go.
    assert!(count("task") < threads + 100, "{} threads, {threads} before", count("task"));
    assert!(count("fd") < descriptors + 200, "{} files, {descriptors} before", count("fd"));
    drop(held);
    while let Some(result) = timeout(SOON, tasks.join_next()).await.expect("all get in") {
        result.expect("the task ends well");
    }
    assert_eq!(entered.load(Ordering::Relaxed), 10_000);
}
