//! The file that says where each log was read to.

use std::fs;

use super::servers::wait_for_cursors;
use super::*;

const KEPT: [&str; 5] = ["@all", "-n", "1", "--cursor-file", "c"];

#[test]
fn after_a_clean_stop_it_goes_on_where_it_was() {
    let fleet = Fleet::new(&[&[], &[]], 10);
    let tail = fleet.tail(&KEPT);
    tail.wait_for(2);
    let mut printed = tail.stop().printed;
    for round in 0..8 {
        append(fleet.server(1), 40);
        append(fleet.server(2), 1);
        let tail = fleet.tail(&KEPT);
        tail.wait_for(1);
        // Stopped while more is coming.
        append(fleet.server(1), 60);
        let signals = [rustix::process::Signal::INT, rustix::process::Signal::TERM];
        tail.signal(signals[round % 2]);
        let ended = tail.wait();
        // It may be stopped before it is connected to all of them.
        let said = ended.all_said();
        assert!(said.is_empty() || said.starts_with("not connected: "), "{said}");
        assert_eq!(ended.status, Some(130));
        printed.extend(ended.printed);
    }
    let (all, so_far) = (2 + 8 * 101, printed.len());
    let tail = fleet.tail(&KEPT);
    tail.wait_for(all - so_far);
    std::thread::sleep(A_WHILE);
    printed.extend(tail.stop().printed);
    let expected = [
        (("server01".to_owned(), "System".to_owned()), (10..=810).collect()),
        (("server02".to_owned(), "System".to_owned()), (10..=18).collect()),
    ];
    assert_eq!(places(&printed), BTreeMap::from(expected));
}

#[test]
fn records_that_were_overwritten_between_two_runs_are_a_gap() {
    let fleet = Fleet::one(10);
    let server = fleet.server(1);
    let tail = fleet.tail(&KEPT);
    tail.wait_for(1);
    tail.stop();
    append(server, 20);
    server.wrap("System", 25).unwrap();
    let tail = fleet.tail(&KEPT);
    tail.wait_for(6);
    let ended = tail.stop();
    assert_eq!(ended.came(), (25..=30).collect::<Vec<_>>());
    let gap = "warning: gap: records 11 to 24 of System on server01 were overwritten";
    assert_eq!(ended.gaps(), [gap]);
}

#[test]
fn a_log_that_was_recreated_between_two_runs_and_is_longer_is_a_gap_and_read_whole() {
    let fleet = Fleet::one(10);
    let server = fleet.server(1);
    let tail = fleet.tail(&KEPT);
    tail.wait_for(1);
    tail.stop();
    server.recreate("System").unwrap();
    append(server, 25);
    let tail = fleet.tail(&KEPT);
    tail.wait_for(25);
    let ended = tail.stop();
    assert_eq!(ended.came(), (1..=25).collect::<Vec<_>>());
    let gap = "warning: gap: System on server01 was cleared and counts anew; records from 11 on \
               may be missing";
    assert_eq!(ended.gaps(), [gap]);
}

#[test]
fn what_a_filter_hides_is_no_gap_when_it_is_overwritten() {
    let fleet = Fleet::one(10);
    let server = fleet.server(1);
    // Nothing has this id.
    let arguments = ["server01", "-i", "64999", "--cursor-file", "c"];
    let quiet = || {
        let mut command = tail_in(fleet.root(), &arguments);
        command.args(["--inventory", "fleet.toml", "--timeout", "3s"]);
        Tail::start(command)
    };
    let tail = quiet();
    wait_for_cursors(&fleet, &tail, 1);
    append(server, 20);
    let path = fleet.root().join("c");
    let has_moved = || fs::read_to_string(&path).unwrap().contains("\"record\": 30");
    tail.wait_until("cursor at 30", has_moved);
    tail.stop();
    append(server, 1);
    server.wrap("System", 31).unwrap();
    let tail = quiet();
    std::thread::sleep(Duration::from_secs(2));
    let ended = tail.stop();
    assert_eq!((ended.all_said(), ended.printed.len()), (String::new(), 0));
}

#[test]
fn a_cursor_file_is_for_one_at_a_time() {
    let fleet = Fleet::one(10);
    let tail = fleet.tail(&KEPT);
    tail.wait_for(1);
    let other = fleet.tail(&KEPT).wait();
    assert_eq!(other.status, Some(2));
    assert!(other.all_said().contains("c is in use by another quarry tail"));
    append(fleet.server(1), 1);
    tail.wait_for(2);
    assert_eq!(tail.stop().came(), [10, 11]);
}

#[test]
fn a_damaged_cursor_file_is_refused_and_left_alone() {
    let fleet = Fleet::one(10);
    let path = fleet.root().join("c");
    fs::write(&path, "{\"v\":1,\"curs").unwrap();
    let ended = fleet.tail(&KEPT).wait();
    assert_eq!(ended.status, Some(2));
    assert!(ended.all_said().contains("c is not a cursor file"), "{}", ended.all_said());
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"v\":1,\"curs");
}

#[test]
fn cursors_of_sources_that_are_not_followed_now_are_kept() {
    let fleet = Fleet::new(&[&[], &[]], 10);
    let tail = fleet.tail(&KEPT);
    tail.wait_for(2);
    tail.stop();
    append(fleet.server(2), 2);
    let one = fleet.tail(&["server01", "--cursor-file", "c"]);
    append(fleet.server(1), 1);
    one.wait_for(1);
    assert_eq!(one.stop().came(), [11]);
    let tail = fleet.tail(&KEPT);
    tail.wait_for(2);
    assert_eq!(tail.stop().came(), [11, 12]);
}
