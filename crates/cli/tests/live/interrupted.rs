//! A run that ends before its servers do.
#![cfg(unix)]

use std::io::{BufRead, BufReader};

use quarry_sim::Fault;

use super::*;

pub(crate) fn interrupt(child: &Child) {
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
}

/// Two servers of which one sends 20 records and then takes its time.
fn slow() -> Fleet {
    let mut options = servers(2);
    options[1].faults.push(Fault::Silent(20));
    Fleet::new(options, 50)
}

fn wait_until_sent(fleet: &Fleet, sent: u64) {
    let begun = Instant::now();
    while fleet.sim.servers().iter().map(|server| server.stats().records_sent).sum::<u64>() < sent {
        assert!(begun.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    // They are on their way.
    std::thread::sleep(Duration::from_millis(500));
}

#[test]
fn ctrl_c_prints_what_came_and_sums_up() {
    let fleet = slow();
    let mut command = fleet.command(&["scan", "@all"]);
    command.args(PLACE);
    let running = spawn(command);
    wait_until_sent(&fleet, 70);
    interrupt(&running.0);
    let interrupted = Instant::now();
    let ran = finish(running);
    assert!(interrupted.elapsed() < Duration::from_secs(3), "it goes on");
    assert_eq!(ran.status, Some(130));
    let mut expected = fleet.everywhere(|_| true);
    expected.insert("server02".to_owned(), (1..=20).collect());
    assert_eq!(ran.by_host(), expected);
    let summary = "interrupted: 1 of 2 servers answered; 70 records, 70 matched\n  still waited for: \
                   server02\n";
    assert_eq!(ran.stderr, summary);
}

#[test]
fn ctrl_c_ends_the_counting_of_servers() {
    let mut options = servers(2);
    options[1].faults.push(Fault::Silent(0));
    let fleet = Fleet::new(options, 50);
    let running = spawn(fleet.command(&["count", "@all"]));
    let begun = Instant::now();
    while fleet.sim.servers().iter().any(|server| server.stats().logons == 0) {
        assert!(begun.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(700));
    interrupt(&running.0);
    let ran = finish(running);
    assert_eq!(ran.status, Some(130), "{}", ran.shown());
    assert_eq!(ran.stdout.lines().count(), 1);
    let summary = "interrupted: 1 of 2 servers answered; 50 records, 50 matched\n  still waited for: \
                   server02\n";
    assert_eq!(ran.stderr, summary);
}

#[test]
fn the_deadline_ends_what_is_silent_and_keeps_what_came() {
    let fleet = slow();
    let mut command = fleet.command(&["scan", "@all", "--deadline", "2s"]);
    command.args(PLACE);
    let ran = run(command);
    assert!(ran.took < Duration::from_secs(8), "{:?}", ran.took);
    assert_eq!(ran.status, Some(3), "{}", ran.shown());
    let mut expected = fleet.everywhere(|_| true);
    expected.insert("server02".to_owned(), (1..=20).collect());
    assert_eq!(ran.by_host(), expected);
    assert_eq!(ran.errors(), ["error: server02: not done by the deadline, after 20 records"]);
    ran.line("1 of 2 servers answered, 1 failed; 70 records, 70 matched");
}

#[test]
fn a_pipe_that_closes_ends_it_silently() {
    let fleet = Fleet::new(servers(3), 3000);
    let (mut child, _) = spawn(fleet.command(&["scan", "@all", "-o", "jsonl"]));
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    serde_json::from_str::<Json>(&line).unwrap();
    drop(stdout);
    let closed = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(closed.elapsed() < Duration::from_secs(10));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(0));
    let sent: u64 = fleet.sim.servers().iter().map(|server| server.stats().records_sent).sum();
    assert!(sent < 9000, "it reads on for nobody");
}
