//! Who holds a lock.

mod common;

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use common::{Peer, open};
use quarry_lock::{Announcement, Holder, Mode, Options, Source, who};
use tempfile::TempDir;

fn lock_path() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("test.lock");
    (folder, path)
}

fn announced(path: &Path) -> Vec<Holder> {
    let mut holders = who(path).expect("it can be asked");
    holders.retain(|holder| holder.source == Source::Announced);
    holders
}

fn entries(folder: &TempDir) -> usize {
    std::fs::read_dir(folder.path()).expect("the folder is there").count()
}

#[test]
fn a_holder_that_announces_itself_is_known_by_process_host_command_and_time() {
    let (folder, path) = lock_path();
    let before = SystemTime::now() - Duration::from_secs(1);
    let mut peer = Peer::new(&path);
    assert_eq!(peer.ask("announce exclusive"), "held");
    let holders = announced(&path);
    let [holder] = &holders[..] else { panic!("one holder, not {holders:?}") };
    assert_eq!(holder.pid, Some(peer.id()));
    assert!(holder.host.as_ref().is_some_and(|host| !host.is_empty()));
    assert_eq!(holder.command.as_deref(), Some("being a test's peer"));
    assert!(holder.since.is_some_and(|since| since > before && since <= SystemTime::now()));
    assert_eq!((holder.mode, holder.range, holder.stale), (Mode::Exclusive, None, false));
    assert_eq!(who(&path).expect("it can be asked").len(), 1, "the kernel knows the same one");
    assert_eq!(peer.ask("unlock"), "unlocked");
    assert_eq!(who(&path).expect("it can be asked"), []);
    assert_eq!(entries(&folder), 1, "only the locked file is left");
}

#[test]
fn what_a_killed_holder_left_is_stale_and_cleared_away_by_the_next() {
    let (folder, path) = lock_path();
    let mut peer = Peer::new(&path);
    assert_eq!(peer.ask("announce shared"), "held");
    peer.kill();
    let holders = announced(&path);
    let [holder] = &holders[..] else { panic!("one record, not {holders:?}") };
    assert!(holder.stale);
    let options = Options::new().announce(Announcement::new("the next"));
    for mode in [Mode::Shared, Mode::Exclusive] {
        let guard = options.lock(&path, mode).expect("the lock is free");
        let holders = announced(&path);
        let [holder] = &holders[..] else { panic!("one record, not {holders:?}") };
        assert_eq!((holder.command.as_deref(), holder.stale), (Some("the next"), false));
        drop(guard);
        assert_eq!(entries(&folder), 1);

        let mut peer = Peer::new(&path);
        assert_eq!(peer.ask("announce exclusive"), "held");
        peer.kill();
        assert!(announced(&path)[0].stale);
    }
}

#[test]
fn each_shared_holder_is_named_and_a_changed_mode_shows() {
    let (_folder, path) = lock_path();
    let options = Options::new().announce(Announcement::new("this test"));
    let mut guard = options.lock(&path, Mode::Exclusive).expect("the lock is free");
    assert_eq!(announced(&path)[0].mode, Mode::Exclusive);
    guard.downgrade().expect("it can be shared");
    assert_eq!(announced(&path)[0].mode, Mode::Shared);
    let mut peer = Peer::new(&path);
    assert_eq!(peer.ask("announce shared"), "held");
    let holders = announced(&path);
    assert_eq!(holders.len(), 2, "{holders:?}");
    assert!(holders.iter().all(|holder| holder.mode == Mode::Shared && !holder.stale));
}

#[test]
fn a_record_is_not_the_lock() {
    let (_folder, path) = lock_path();
    let mut peer = Peer::new(&path);
    assert_eq!(peer.ask("announce exclusive"), "held");
    for entry in std::fs::read_dir(path.parent().expect("a folder")).expect("it is there") {
        let entry = entry.expect("it can be read").path();
        if entry != path {
            std::fs::remove_file(entry).expect("it can be deleted");
        }
    }
    assert!(open(&path).try_lock(Mode::Shared).expect("it can be asked").is_none());
}

#[test]
fn whatever_lies_beside_the_file_does_no_harm() {
    let (_folder, path) = lock_path();
    let beside = |name: &str| path.with_file_name(format!("test.lock.holder-{name}"));
    std::fs::write(beside("1-1-1"), "not a record").expect("it can be written");
    std::fs::write(beside("2-2-2"), vec![0xff; 100_000]).expect("it can be written");
    std::fs::create_dir(beside("3-3-3")).expect("it can be made");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/dev/zero", beside("4-4-4")).expect("it can be made");
        let fifo = std::process::Command::new("mkfifo").arg(beside("5-5-5")).status();
        assert!(fifo.expect("mkfifo runs").success());
    }
    assert_eq!(who(&path).expect("it can be asked"), []);
    let options = Options::new().announce(Announcement::new("this test"));
    let _guard = options.lock(&path, Mode::Exclusive).expect("the lock is free");
    assert_eq!(announced(&path).len(), 1);
    assert!(beside("1-1-1").exists(), "what is not ours is not cleared away");
}

#[test]
fn a_lock_is_taken_even_where_it_cannot_be_announced() {
    let (folder, path) = lock_path();
    // A name this long leaves no room for the record's.
    let path = path.with_file_name("x".repeat(250));
    let options = Options::new().announce(Announcement::new("this test"));
    let guard = options.lock(&path, Mode::Exclusive).expect("the lock is free");
    assert_eq!(announced(&path), []);
    drop(guard);
    assert_eq!(entries(&folder), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn the_kernel_names_holders_that_announce_nothing() {
    use std::process::{Command, Stdio};
    let (_folder, path) = lock_path();
    let mut flock = Command::new("flock")
        .arg("-s")
        .arg(&path)
        .args(["sh", "-c", "echo held; read line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("util-linux flock starts");
    let mut line = [0; 5];
    let mut output = flock.stdout.take().expect("a pipe");
    std::io::Read::read_exact(&mut output, &mut line).expect("it prints");
    let holders = who(&path).expect("it can be asked");
    let [holder] = &holders[..] else { panic!("one holder, not {holders:?}") };
    assert_eq!((holder.source, holder.mode), (Source::Kernel, Mode::Shared));
    assert_eq!(holder.pid, Some(flock.id()));
    assert!(holder.command.as_ref().is_some_and(|command| command.starts_with("flock -s ")));

    // The one who took it is gone. The command it ran has inherited the lock.
    flock.kill().expect("it can be killed");
    let input = flock.stdin.take();
    flock.wait().expect("it ends");
    let holders = who(&path).expect("it can be asked");
    let [holder] = &holders[..] else { panic!("one holder, not {holders:?}") };
    assert!(holder.command.as_ref().is_some_and(|command| command.starts_with("sh -c ")));
    drop(input);
}

#[cfg(target_os = "linux")]
#[test]
fn the_holder_of_a_range_is_found_by_who_has_the_file_open() {
    let (_folder, path) = lock_path();
    let mut peer = Peer::new(&path);
    assert_eq!(peer.ask("lock-range 5 10 exclusive"), "held");
    let holders = who(&path).expect("it can be asked");
    let [holder] = &holders[..] else { panic!("one holder, not {holders:?}") };
    assert_eq!(holder.pid, Some(peer.id()));
    assert_eq!(holder.range, Some(common::range("5", "10")));
}

#[test]
fn nobody_holds_a_file_that_is_not_there_and_asking_does_not_create_it() {
    let (folder, path) = lock_path();
    assert_eq!(who(&path).expect("it can be asked"), []);
    assert_eq!(entries(&folder), 0);
}
