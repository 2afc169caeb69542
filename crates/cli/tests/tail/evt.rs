//! `.evt` files that grow, wrap and are cleared.

#[path = "../../../logfile/tests/classic_parts/mod.rs"]
mod classic_parts;
#[path = "../../../logfile/tests/evt_ring/mod.rs"]
mod evt_ring;

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};

use super::*;
use classic_parts::Parts;
use evt_ring::Ring;

fn append(ring: &mut Ring, count: usize) {
    for n in 0..count {
        let strings = vec!["x".repeat(10 * (n % 7))];
        ring.write(|number| Parts { number, strings, ..Parts::default() }.encode());
    }
}

/// Makes a file what it is to be in place, and in parts, to be seen half-written; the header stays
/// as it is in a log that is open.
fn grow(path: &Path, new: &[u8]) {
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    for range in [48..new.len(), 0..48] {
        file.seek(SeekFrom::Start(range.start as u64)).unwrap();
        new[range].chunks(700).for_each(|part| file.write_all(part).unwrap());
    }
}

#[test]
fn an_old_log_that_grows_and_wraps_is_followed_and_each_record_comes_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("AppEvent.Evt");
    let mut ring = Ring::new(8192, 40_960, 1);
    append(&mut ring, 30);
    ring.flush();
    fs::write(&path, ring.open()).unwrap();
    let tail = Tail::start(tail_in(folder.path(), &["AppEvent.Evt", "-n", "4"]));
    tail.wait_for(4);
    let writer = std::thread::spawn(move || {
        let mut number = 30;
        while number < 900 {
            let count = 1 + number % 7;
            append(&mut ring, count);
            number += count;
            // Now and then the header is written, too.
            if number % 5 == 0 {
                ring.flush();
            }
            grow(&path, &ring.open());
            std::thread::sleep(Duration::from_millis(number as u64 % 40));
        }
        assert!(ring.numbers()[0] > 300, "it has wrapped");
        number as u64
    });
    let last = writer.join().unwrap();
    tail.wait_for(last as usize - 26);
    std::thread::sleep(A_WHILE);
    let ended = tail.stop();
    assert_eq!(ended.came(), (27..=last).collect::<Vec<_>>());
    assert_eq!(ended.said, [""; 0]);
}

#[test]
fn an_old_log_that_is_cleared_goes_on_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.evt");
    let mut ring = Ring::new(8192, 65_536, 1);
    append(&mut ring, 30);
    fs::write(&path, ring.closed()).unwrap();
    let tail = Tail::start(tail_in(folder.path(), &["a.evt", "-n", "1", "--cursor-file", "c"]));
    tail.wait_for(1);
    ring.clear();
    append(&mut ring, 2);
    fs::write(&path, ring.open()).unwrap();
    tail.wait_for(3);
    let ended = tail.stop();
    assert_eq!(ended.came(), [30, 1, 2]);
    let gap =
        "warning: gap: a on a.evt was cleared and counts anew; records from 31 on may be missing";
    assert_eq!(ended.gaps(), [gap]);
    // It goes on where it was.
    append(&mut ring, 3);
    fs::write(&path, ring.open()).unwrap();
    let tail = Tail::start(tail_in(folder.path(), &["a.evt", "--cursor-file", "c"]));
    tail.wait_for(3);
    assert_eq!(tail.stop().came(), [3, 4, 5]);
}
