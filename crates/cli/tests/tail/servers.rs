//! Servers that are followed.

use quarry_event::{Field, FieldSource};

use super::*;

fn system(numbers: impl IntoIterator<Item = u64>) -> Vec<u64> {
    numbers.into_iter().collect()
}

#[test]
fn the_last_events_of_each_server_come_first_and_then_new_ones() {
    let fleet = Fleet::new(&[&[], &[]], 30);
    let tail = fleet.tail(&["@all", "-n", "5"]);
    tail.wait_for(10);
    append(fleet.server(1), 3);
    tail.wait_for(13);
    append(fleet.server(2), 1);
    append(fleet.server(1), 2);
    tail.wait_for(16);
    let ended = tail.stop();
    assert_eq!(ended.status, Some(130));
    assert_eq!(ended.said, [""; 0]);
    let expected = [
        (("server01".to_owned(), "System".to_owned()), system(26..=35)),
        (("server02".to_owned(), "System".to_owned()), system(26..=31)),
    ];
    assert_eq!(places(&ended.printed), BTreeMap::from(expected));
}

#[test]
fn a_filter_is_for_the_last_events_and_for_the_new_ones() {
    let fleet = Fleet::one(300);
    let server = fleet.server(1);
    let id = |event: &Event| event.field(Field::EventId).to_string();
    let wanted = id(&server.records("System").unwrap()[150].1);
    let before = numbers(server, "System", |event| id(event) == wanted);
    assert!(before.len() > 3 && before.len() < 200);
    let tail = fleet.tail(&["server01", "-n", "3", "-i", &wanted]);
    tail.wait_for(3);
    append(server, 300);
    let all = numbers(server, "System", |event| id(event) == wanted);
    let expected = &all[before.len() - 3..];
    tail.wait_for(expected.len());
    std::thread::sleep(A_WHILE);
    assert_eq!(tail.stop().came(), expected);
}

#[test]
fn of_fewer_events_than_asked_for_all_come() {
    let fleet = Fleet::one(4);
    let tail = fleet.tail(&["server01"]);
    tail.wait_for(4);
    append(fleet.server(1), 1);
    tail.wait_for(5);
    assert_eq!(tail.stop().came(), [1, 2, 3, 4, 5]);
}

#[test]
fn with_n_0_only_new_events_come() {
    let fleet = Fleet::one(20);
    let tail = fleet.tail(&["server01", "-n", "0", "--cursor-file", "c"]);
    wait_for_cursors(&fleet, &tail, 1);
    append(fleet.server(1), 2);
    tail.wait_for(2);
    assert_eq!(tail.stop().came(), [21, 22]);
}

/// Once these are saved, whatever comes is after them.
pub(crate) fn wait_for_cursors(fleet: &Fleet, tail: &Tail, count: usize) {
    let path = fleet.root().join("c");
    let saved = || std::fs::read_to_string(&path).map_or(0, |text| text.matches("record").count());
    tail.wait_until("cursors", || saved() >= count);
}

#[test]
fn an_empty_log_is_followed_from_its_first_event_on() {
    let fleet = Fleet::one(5);
    let server = fleet.server(1);
    let tail = fleet.tail(&["server01", "-l", "Setup", "--cursor-file", "c"]);
    wait_for_cursors(&fleet, &tail, 1);
    let (_, event) = server.records("System").unwrap().remove(0);
    for number in 1..=3 {
        assert_eq!(server.append("Setup", &event).unwrap(), number);
    }
    tail.wait_for(3);
    let ended = tail.stop();
    assert_eq!(ended.came(), [1, 2, 3]);
    assert_eq!(ended.gaps(), [""; 0]);
}

#[test]
fn a_log_that_is_cleared_while_it_is_followed_goes_on() {
    let fleet = Fleet::one(10);
    let server = fleet.server(1);
    let tail = fleet.tail(&["server01", "-n", "2"]);
    tail.wait_for(2);
    for round in 0..5 {
        append(server, 3);
        tail.wait_for(2 + 5 * round + 3);
        server.clear("System").unwrap();
        append(server, 2);
        tail.wait_for(2 + 5 * round + 5);
    }
    let ended = tail.stop();
    assert_eq!(ended.came(), system(9..=35));
    assert_eq!(ended.said, [""; 0]);
}

#[test]
fn what_was_overwritten_while_the_server_was_out_of_reach_is_a_gap() {
    let fleet = Fleet::one(10);
    let server = fleet.server(1);
    let tail = fleet.tail(&["server01", "-n", "2"]);
    tail.wait_for(2);
    server.stop();
    tail.wait_for_word("trying again");
    append(server, 10);
    server.wrap("System", 16).unwrap();
    server.start();
    tail.wait_for(7);
    // Cleared, with what had come already, and with what nobody had read.
    server.stop();
    append(server, 5);
    server.clear("System").unwrap();
    append(server, 2);
    server.start();
    tail.wait_for(9);
    let ended = tail.stop();
    assert_eq!(ended.came(), system((9..=10).chain(16..=20).chain(26..=27)));
    let gap = |first, last| {
        format!("warning: gap: records {first} to {last} of System on server01 were overwritten")
    };
    assert_eq!(ended.gaps(), [gap(11, 15), gap(21, 25)]);
}

#[test]
fn what_is_gone_from_a_log_that_is_empty_shows_with_its_next_event() {
    let fleet = Fleet::one(10);
    let server = fleet.server(1);
    let tail = fleet.tail(&["server01", "-n", "1"]);
    tail.wait_for(1);
    server.stop();
    append(server, 5);
    server.clear("System").unwrap();
    tail.wait_for_word("trying again");
    server.start();
    tail.wait_for_word("following System again");
    append(server, 1);
    tail.wait_for(2);
    let ended = tail.stop();
    assert_eq!(ended.came(), [10, 16]);
    let gap = "warning: gap: records 11 to 15 of System on server01 were overwritten";
    assert_eq!(ended.gaps(), [gap]);
}

#[test]
fn a_server_that_restarts_is_followed_on_and_nothing_is_lost_or_comes_twice() {
    let fleet = Fleet::new(&[&[], &[]], 10);
    let server = fleet.server(1);
    let tail = fleet.tail(&["@all", "-n", "1"]);
    tail.wait_for(2);
    for _ in 0..4 {
        append(server, 2);
        server.stop();
        append(server, 3);
        append(fleet.server(2), 1);
        std::thread::sleep(Duration::from_millis(100));
        server.start();
        append(server, 1);
    }
    tail.wait_for(2 + 4 * 7);
    let ended = tail.stop();
    let came = places(&ended.printed);
    assert_eq!(came[&("server01".to_owned(), "System".to_owned())], system(10..=34));
    assert_eq!(came[&("server02".to_owned(), "System".to_owned())], system(10..=14));
    assert_eq!(ended.gaps(), [""; 0]);
    assert!(ended.all_said().contains("following System again"), "{}", ended.all_said());
}

#[test]
fn a_connection_that_is_reset_among_the_records_is_made_again() {
    let fleet = Fleet::new(&[&[Fault::Restart(40)]], 30);
    let tail = fleet.tail(&["server01", "-n", "1"]);
    tail.wait_for(1);
    append(fleet.server(1), 100);
    tail.wait_for(101);
    let ended = tail.stop();
    assert_eq!(ended.came(), system(30..=130));
    assert!(ended.all_said().contains("trying again"), "{}", ended.all_said());
}

#[test]
fn batches_that_are_too_large_are_asked_for_in_parts() {
    let fleet = Fleet::new(&[&[Fault::BigBatch(20_000)]], 30);
    let server = fleet.server(1);
    let tail = fleet.tail(&["server01", "-n", "1"]);
    tail.wait_for(1);
    server.stop();
    append(server, 300);
    server.start();
    tail.wait_for(301);
    let ended = tail.stop();
    assert_eq!(ended.came(), system(30..=330));
    assert_eq!(ended.gaps(), [""; 0]);
}

#[test]
fn a_server_that_does_not_wait_is_not_asked_all_the_time() {
    let fleet = Fleet::new(&[&[Fault::NoWait]], 10);
    let server = fleet.server(1);
    let tail = fleet.tail(&["server01", "-n", "1"]);
    tail.wait_for(1);
    std::thread::sleep(Duration::from_secs(2));
    let before = server.stats().calls;
    std::thread::sleep(Duration::from_secs(3));
    let calls = server.stats().calls - before;
    assert!((1..=5).contains(&calls), "{calls} calls");
    append(server, 3);
    tail.wait_for(4);
    assert_eq!(tail.stop().came(), [10, 11, 12, 13]);
}

#[test]
fn a_refused_logon_ends_that_source_only() {
    let fleet = Fleet::new(&[&[Fault::RefuseLogon]], 10);
    std::fs::write(fleet.root().join("a.evtx"), files::log(1..=3)).unwrap();
    let tail = fleet.tail(&["server01", "a.evtx"]);
    tail.wait_for_word("error: logon refused");
    tail.wait_for(3);
    std::fs::write(fleet.root().join("a.evtx"), files::log(1..=4)).unwrap();
    tail.wait_for(4);
    let ended = tail.stop();
    assert_eq!(ended.came(), [1, 2, 3, 4]);
    assert_eq!(ended.status, Some(130));
}

#[test]
fn it_ends_when_nothing_is_left_to_follow() {
    let fleet = Fleet::new(&[&[Fault::RefuseLogon], &[]], 10);
    let ended = fleet.tail(&["server01"]).wait();
    assert_eq!((ended.status, ended.printed.len()), (Some(2), 0));
    let ended = fleet.tail(&["server02", "-l", "Nonsense"]).wait();
    assert_eq!(ended.status, Some(2));
    assert!(ended.all_said().contains("there is no log Nonsense on server02"));
}

#[test]
fn several_logs_and_globs_are_followed_each_by_itself() {
    let fleet = Fleet::one(10);
    let server = fleet.server(1);
    let tail = fleet.tail(&["server01", "-n", "1", "-l", "Application", "-l", "S*"]);
    tail.wait_for(3);
    append(server, 2);
    server.append_generated("Security", 1).unwrap();
    server.append_generated("Application", 3).unwrap();
    tail.wait_for(9);
    let ended = tail.stop();
    let of = |log: &str, numbers: &[u64]| (("server01".into(), log.to_owned()), numbers.to_vec());
    let expected = [
        of("Application", &[10, 11, 12, 13]),
        of("Security", &[10, 11]),
        of("System", &[10, 11, 12]),
    ];
    assert_eq!(places(&ended.printed), BTreeMap::from(expected));
}

#[test]
fn logs_of_a_glob_that_cannot_be_followed_are_left_out() {
    let fleet = Fleet::one(3);
    let tail = fleet.tail(&["server01", "-n", "1", "-l", "*", "--cursor-file", "c"]);
    tail.wait_for(3);
    tail.wait_for_word("left out");
    append(fleet.server(1), 1);
    tail.wait_for(4);
    let ended = tail.stop();
    assert!(ended.said.iter().all(|line| line.starts_with("warning: server01: left out: ")));
    assert_eq!(ended.status, Some(130));
}

#[test]
fn many_logs_of_a_server_share_a_connection() {
    let fleet = Fleet::one(3);
    let server = fleet.server(1);
    let tail = fleet.tail(&["server01", "-n", "1", "-l", "*", "-q"]);
    tail.wait_for(3);
    for (n, log) in ["System", "Security", "Application"].iter().enumerate() {
        server.append_generated(log, 1).unwrap();
        tail.wait_for(4 + n);
    }
    // The logs are asked for first; and each connection begins at the endpoint mapper.
    let connections = server.stats().connections;
    assert!(connections <= 6, "{connections} connections");
    server.stop();
    append(server, 2);
    server.start();
    tail.wait_for(8);
    append(server, 1);
    tail.wait_for(9);
    let ended = tail.stop();
    let came = places(&ended.printed);
    assert_eq!(came[&("server01".to_owned(), "System".to_owned())], system(3..=7));
    let connections = server.stats().connections;
    assert!(connections <= 12, "{connections} connections");
}

#[test]
fn a_pipe_that_closes_ends_it_though_nothing_comes() {
    let fleet = Fleet::one(10);
    let mut tail = Tail::start_unread(fleet.command(&["server01", "-n", "1"]));
    let mut stdout = tail.take_stdout();
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(place(&line).2, 10);
    drop(stdout);
    let ended = tail.wait();
    assert_eq!((ended.status, ended.all_said()), (Some(0), String::new()));
}

#[test]
fn the_deadline_ends_it_and_whether_events_came_is_the_status() {
    let fleet = Fleet::one(3);
    let ended = fleet.tail(&["server01", "--deadline", "6s"]).wait();
    assert_eq!((ended.came(), ended.status), (vec![1, 2, 3], Some(0)));
    let ended = fleet.tail(&["server01", "--deadline", "1s", "-n", "0"]).wait();
    assert_eq!((ended.came(), ended.status), (vec![], Some(1)));
}

#[test]
fn a_name_that_no_event_had_is_told_when_following_ends() {
    let fleet = Fleet::one(3);
    let tail = fleet.tail(&["server01", "--not", "data:Typo=x"]);
    tail.wait_for(3);
    let ended = tail.stop();
    let told = "warning: no record that was read has a value named `Typo`";
    assert_eq!(ended.said, [told], "{}", ended.all_said());
}

#[test]
fn a_glob_that_stands_for_no_log_is_told_and_the_others_are_followed() {
    let fleet = Fleet::one(3);
    let tail = fleet.tail(&["server01", "-l", "Securty*", "-l", "Sys*"]);
    tail.wait_for(3);
    tail.wait_for_word("there is no log Securty* on server01");
    tail.stop();
    let ended = fleet.tail(&["server01", "-l", "Securty*"]).wait();
    assert_eq!(ended.status, Some(2), "{}", ended.all_said());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let fleet = Fleet::one(1);
    for (arguments, why) in [
        (&["server01", "-o", "json"][..], "-o json"),
        (&["server01", "-n", "10001"], "--lines"),
        (&["server01", "-j", "5"], "--connections: every server that is followed is kept open"),
        (&["-"], "standard input can't be followed"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quarry"));
        command.current_dir(fleet.root()).stdin(Stdio::null()).arg("tail").args(arguments);
        let ended = Tail::start(inventory(command)).wait();
        assert_eq!(ended.status, Some(2), "{arguments:?}");
        assert!(ended.all_said().contains(why), "{}", ended.all_said());
    }
}

fn inventory(mut command: Command) -> Command {
    command.args(["--inventory", "fleet.toml"]);
    command
}

#[test]
fn ctrl_c_names_who_is_not_connected() {
    let fleet = Fleet::new(&[&[], &[]], 3);
    let tail = fleet.tail(&["@all", "-n", "3"]);
    tail.wait_for(6);
    fleet.server(2).stop();
    tail.wait_for_word("trying again");
    let ended = tail.stop();
    assert_eq!(ended.status, Some(130));
    assert_eq!(ended.said.last().unwrap(), "not connected: server02", "{}", ended.all_said());
}

#[test]
fn gaps_are_told_however_quiet_it_is() {
    let fleet = Fleet::one(10);
    let arguments = ["@all", "-n", "1", "--cursor-file", "c", "-q"];
    let tail = fleet.tail(&arguments);
    tail.wait_for(1);
    tail.stop();
    append(fleet.server(1), 20);
    fleet.server(1).wrap("System", 25).unwrap();
    let tail = fleet.tail(&arguments);
    tail.wait_for(6);
    let ended = tail.stop();
    assert_eq!(
        ended.said,
        ["warning: gap: records 11 to 24 of System on server01 were overwritten"]
    );
}
