//! Two collectors of one table share the servers; when one dies or sleeps, the other takes over. When
//! their storage sleeps, they wait.

use std::collections::BTreeMap;

use super::table::Key;
use super::*;

const SERVERS: usize = 6;

/// Two collectors that have read what there is.
fn two(fleet: &Fleet) -> [Daemon; 2] {
    let start = |name: &str| {
        fleet.configure_collector(name);
        let daemon = Daemon::start(fleet, &format!("{name}.toml"));
        daemon.wait_for("quarryd is up", 1);
        daemon
    };
    let both = ["one", "two"].map(start);
    wait_for_all(fleet, &both);
    both
}

/// The number of the last record of each log.
fn last(fleet: &Fleet) -> BTreeMap<Key, u64> {
    let logs = fleet.sim.servers().iter().flat_map(|server| {
        ["System", "Application"].map(|log| {
            let records = server.records(log).unwrap();
            let last = records.last().map_or(0, |(number, _)| *number);
            ((server.name().to_owned(), log.to_owned()), last)
        })
    });
    logs.collect()
}

fn wait_for_all(fleet: &Fleet, daemons: &[Daemon]) {
    let said = || daemons.iter().map(Daemon::said).collect::<Vec<_>>().join("\n--\n");
    wait(|| fleet.rows().missing(&last(fleet)).is_empty(), said);
}

fn append(fleet: &Fleet, count: u64) {
    for server in fleet.sim.servers() {
        server.append_generated("System", count).unwrap();
    }
}

#[test]
fn when_a_collector_is_killed_the_other_takes_its_servers_over() {
    let fleet = Fleet::new(SERVERS, 10);
    let [one, two] = two(&fleet);
    let status = quarryd(fleet.root(), &["status", "one.toml"]).output().unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.starts_with("2 collectors"), "{status}");
    one.kill();
    append(&fleet, 7);
    wait_for_all(&fleet, std::slice::from_ref(&two));
    two.stop();
    assert_eq!(fleet.rows().repeated(), []);
}

#[test]
fn a_collector_that_sleeps_until_others_have_its_servers_stores_nothing_again_when_it_wakes() {
    let fleet = Fleet::new(SERVERS, 10);
    let [one, two] = two(&fleet);
    // Some of it is read and not committed when it falls asleep.
    append(&fleet, 50);
    std::thread::sleep(Duration::from_millis(300));
    one.signal(Signal::STOP);
    append(&fleet, 20);
    wait_for_all(&fleet, std::slice::from_ref(&two));
    one.signal(Signal::CONT);
    append(&fleet, 7);
    wait_for_all(&fleet, &[]);
    one.stop();
    two.stop();
    let rows = fleet.rows();
    assert_eq!(rows.missing(&last(&fleet)), []);
    assert_eq!(rows.repeated(), []);
}

#[test]
fn what_is_read_while_the_storage_does_not_answer_is_stored_once_when_it_does_again() {
    let Some(fleet) = Fleet::on(Storage::Moto, SERVERS, 10) else { return };
    let two = two(&fleet);
    // In the middle of whatever they are at.
    append(&fleet, 50);
    std::thread::sleep(Duration::from_millis(700));
    fleet.signal_storage(Signal::STOP);
    for _ in 0..20 {
        append(&fleet, 5);
        std::thread::sleep(Duration::from_millis(300));
    }
    fleet.signal_storage(Signal::CONT);
    append(&fleet, 7);
    wait_for_all(&fleet, &two);
    two.into_iter().for_each(Daemon::stop);
    let rows = fleet.rows();
    assert_eq!(rows.missing(&last(&fleet)), []);
    assert_eq!(rows.repeated(), []);
    assert!(rows.gaps.is_empty(), "{:?}", rows.gaps);
}
