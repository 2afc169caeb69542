//! Files that grow, are replaced and are cut off.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::ops::RangeInclusive;

use super::evtx::{event, file};
use super::*;

/// A file of records with these numbers, twenty to a chunk.
pub(crate) fn log(records: RangeInclusive<u64>) -> Vec<u8> {
    log_since(0, records)
}

/// The same, of a log whose events are so many seconds later.
fn log_since(later: u64, records: RangeInclusive<u64>) -> Vec<u8> {
    let records: Vec<u64> = records.collect();
    let chunks = records.chunks(20);
    let each = |chunk: &[u64]| {
        let event = |&number: &u64| event(number, (later + number) % 80_000, 4624, "alice");
        chunk.iter().map(event).collect()
    };
    file(&chunks.map(each).collect::<Vec<_>>())
}

/// Makes a file what it is to be as its writer does: in place, records first, a chunk's header
/// after its records, and the file's at the end.
fn grow(path: &Path, new: &[u8]) {
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    let mut put = |range: std::ops::Range<usize>| {
        file.seek(SeekFrom::Start(range.start as u64)).unwrap();
        // In parts, to be seen half-written.
        for part in new[range].chunks(1500) {
            file.write_all(part).unwrap();
        }
    };
    let mut at = 4096;
    while at < new.len() {
        put(at + 512..at + 65_536);
        put(at..at + 512);
        at += 65_536;
    }
    put(0..4096);
}

fn tail(folder: &TempDir, arguments: &[&str]) -> Tail {
    Tail::start(tail_in(folder.path(), arguments))
}

#[test]
fn a_file_that_grows_is_followed_and_each_record_comes_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.evtx");
    fs::write(&path, log(1..=30)).unwrap();
    let tail = tail(&folder, &["a.evtx", "-n", "4"]);
    tail.wait_for(4);
    let last = 400;
    let writer = std::thread::spawn(move || {
        let mut number = 30;
        while number < last {
            number = (number + 1 + number % 7).min(last);
            grow(&path, &log(1..=number));
            std::thread::sleep(Duration::from_millis(number % 40));
        }
    });
    writer.join().unwrap();
    tail.wait_for(last as usize - 26);
    std::thread::sleep(A_WHILE);
    let ended = tail.stop();
    assert_eq!(ended.came(), (27..=last).collect::<Vec<_>>());
    assert_eq!(ended.said, [""; 0]);
}

#[test]
fn a_file_that_is_replaced_goes_on_in_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let (path, new) = (folder.path().join("a.evtx"), folder.path().join("new"));
    fs::write(&path, log(1..=30)).unwrap();
    let tail = tail(&folder, &["a.evtx", "-n", "1"]);
    tail.wait_for(1);
    // As when a full log is archived: numbers go on.
    fs::write(&new, log(31..=35)).unwrap();
    fs::rename(&new, &path).unwrap();
    tail.wait_for(6);
    // Some have gone unread.
    fs::write(&new, log(41..=45)).unwrap();
    fs::rename(&new, &path).unwrap();
    tail.wait_for(11);
    // Another log, or the same cleared.
    fs::write(&new, log(1..=2)).unwrap();
    fs::rename(&new, &path).unwrap();
    tail.wait_for(13);
    let ended = tail.stop();
    assert_eq!(ended.came(), [30, 31, 32, 33, 34, 35, 41, 42, 43, 44, 45, 1, 2]);
    let gaps = [
        "warning: gap: records 36 to 40 of a on a.evtx were overwritten",
        "warning: gap: a on a.evtx was cleared and counts anew; records from 46 on may be missing",
    ];
    assert_eq!(ended.gaps(), gaps);
}

#[test]
fn a_file_that_becomes_a_longer_log_is_a_gap_and_then_all_of_the_new_log() {
    let folder = tempfile::tempdir().unwrap();
    let (path, new) = (folder.path().join("a.evtx"), folder.path().join("new"));
    fs::write(&path, log(1..=30)).unwrap();
    let arguments = ["a.evtx", "-n", "1", "--cursor-file", "c"];
    let first = tail(&folder, &arguments);
    first.wait_for(1);
    // While it is followed.
    fs::write(&new, log_since(5000, 1..=40)).unwrap();
    fs::rename(&new, &path).unwrap();
    first.wait_for(41);
    let ended = first.stop();
    assert_eq!(ended.came(), [30].into_iter().chain(1..=40).collect::<Vec<_>>());
    let gap = |from: u64| {
        format!(
            "warning: gap: a on a.evtx was cleared and counts anew; records from {from} on may be \
             missing"
        )
    };
    assert_eq!(ended.gaps(), [gap(31)]);
    // Between two runs, in the same file too.
    fs::write(&path, log_since(9000, 1..=40)).unwrap();
    let second = tail(&folder, &arguments);
    second.wait_for(40);
    let ended = second.stop();
    assert_eq!(ended.came(), (1..=40).collect::<Vec<_>>());
    assert_eq!(ended.gaps(), [gap(41)]);
    // Nothing new is nothing to print.
    fs::write(&path, log_since(9000, 1..=42)).unwrap();
    let third = tail(&folder, &arguments);
    third.wait_for(2);
    let ended = third.stop();
    assert_eq!((ended.came(), ended.gaps()), (vec![41, 42], Vec::new()));
}

#[test]
fn a_file_that_is_cut_off_and_written_anew_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.evtx");
    fs::write(&path, log(1..=30)).unwrap();
    let tail = tail(&folder, &["a.evtx", "-n", "1"]);
    tail.wait_for(1);
    // A copy in the making: empty, then the beginning, then all.
    fs::write(&path, b"").unwrap();
    tail.wait_for_word("trying again");
    let copy = log(1..=50);
    fs::write(&path, &copy[..4096 + 65_536]).unwrap();
    tail.wait_for_word("following a again");
    fs::write(&path, &copy).unwrap();
    tail.wait_for(21);
    let ended = tail.stop();
    assert_eq!(ended.came(), (30..=50).collect::<Vec<_>>());
    assert_eq!(ended.gaps(), [""; 0]);
}

#[test]
fn a_file_has_its_cursor_whatever_the_folder_it_is_named_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.evtx");
    fs::create_dir(folder.path().join("sub")).unwrap();
    fs::write(&path, log(1..=30)).unwrap();
    let first = tail(&folder, &["a.evtx", "-n", "2", "--cursor-file", "c"]);
    first.wait_for(2);
    assert_eq!(first.stop().came(), [29, 30]);
    fs::write(&path, log(1..=33)).unwrap();
    let sub = folder.path().join("sub");
    let full = path.to_str().unwrap();
    let second = Tail::start(tail_in(&sub, &[full, "--cursor-file", "../c"]));
    second.wait_for(3);
    let ended = second.stop();
    assert_eq!(ended.came(), [31, 32, 33]);
    let event: Json = serde_json::from_str(&ended.printed[0]).unwrap();
    assert_eq!(event["source"], full);
}

#[test]
fn files_and_servers_are_followed_together() {
    let fleet = Fleet::one(5);
    let path = fleet.root().join("a.evtx");
    fs::write(&path, log(1..=30)).unwrap();
    let tail = fleet.tail(&["server01", "a.evtx", "-n", "2"]);
    tail.wait_for(4);
    append(fleet.server(1), 2);
    fs::write(&path, log(1..=31)).unwrap();
    tail.wait_for(7);
    let ended = tail.stop();
    let expected = [
        (("dc01.corp.example".to_owned(), "a".to_owned()), vec![29, 30, 31]),
        (("server01".to_owned(), "System".to_owned()), vec![4, 5, 6, 7]),
    ];
    assert_eq!(places(&ended.printed), BTreeMap::from(expected));
}

#[test]
fn a_file_that_is_none_ends_that_source_only() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.evtx"), b"this is no log").unwrap();
    let ended = tail(&folder, &["a.evtx"]).wait();
    assert_eq!(ended.status, Some(2));
    assert!(ended.all_said().contains("not an event log"), "{}", ended.all_said());
}

#[test]
fn what_is_compressed_can_not_be_followed_and_it_is_said_why() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.evtx.gz"), b"\x1f\x8b\x08\0").unwrap();
    let ended = tail(&folder, &["a.evtx.gz"]).wait();
    assert_eq!(ended.status, Some(2));
    assert_eq!(
        ended.said,
        [
            "error: a.evtx.gz: it can't be followed",
            "hint: it is compressed; quarry scan reads what is in it"
        ]
    );
}
