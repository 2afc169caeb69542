//! Many servers that are followed for long: nothing is lost, nothing is there twice, and memory stays
//! what it was.
//!
//! A few servers for some seconds, unless `QUARRY_MANY_SERVERS`, `QUARRY_MANY_SECONDS` and
//! `QUARRY_MANY_RATE` (events a second, of all servers) say more; `QUARRY_PROGRAM` is for a release build.

use std::collections::BTreeMap;

use super::table::Key;
use super::*;

const SERVERS: u64 = 40;
const SECONDS: u64 = 10;
const LOGS: [&str; 2] = ["System", "Application"];
const BEFORE: u64 = 3;
/// Whoever follows for less has not had time to grow, or to stop growing.
const LONG: u64 = 120;
/// What a table of so many rows takes to be read again and again on a busy machine.
const PATIENCE: Duration = Duration::from_secs(900);

#[test]
fn many_servers_are_followed_without_a_loss_in_memory_that_stays_what_it_was() {
    let servers = given("QUARRY_MANY_SERVERS", SERVERS);
    let seconds = given("QUARRY_MANY_SECONDS", SECONDS);
    let rate = given("QUARRY_MANY_RATE", servers);
    let fleet = Fleet::new(servers as usize, BEFORE);
    fleet.configure("quarryd.toml", USUAL);
    let daemon = Daemon::start(&fleet, "quarryd.toml");
    let names = fleet.sim.servers().iter().map(|server| server.name().to_owned());
    let mut last: BTreeMap<Key, u64> =
        names.flat_map(|name| LOGS.map(|log| ((name.clone(), log.to_owned()), BEFORE))).collect();
    let missing = |last: &BTreeMap<Key, u64>| fleet.rows().missing(last);
    wait_for(PATIENCE, || missing(&last).is_empty(), || daemon.said());

    let begun = Instant::now();
    let (mut sent, mut memory) = (0, Vec::new());
    while begun.elapsed() < Duration::from_secs(seconds) {
        let due = begun.elapsed().as_millis() as u64 * rate / 1000;
        for n in sent..due {
            let server = &fleet.sim.servers()[(n % servers) as usize];
            let log = LOGS[(n / servers % 2) as usize];
            server.append_generated(log, 1).unwrap();
            *last.get_mut(&(server.name().to_owned(), log.to_owned())).unwrap() += 1;
        }
        sent = due;
        if begun.elapsed().as_secs() >= memory.len() as u64 {
            memory.push(quarry_testkit::memory(daemon.child.id()).unwrap_or_default() >> 20);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    wait_for(PATIENCE, || missing(&last).is_empty(), || daemon.said());
    let peak = quarry_testkit::peak_memory(daemon.child.id()).unwrap_or_default() >> 20;
    daemon.stop();
    let rows = fleet.rows();
    assert_eq!(rows.missing(&last), [], "neither there nor in a gap");
    assert_eq!(rows.repeated(), [], "there more than once");
    let gaps: usize = rows.gaps.values().map(|numbers| numbers.len()).sum();
    assert_eq!(gaps, 0, "no log was overwritten");
    assert_eq!(rows.count() as u64, servers * LOGS.len() as u64 * BEFORE + sent);

    // Four parts: the first is there to begin in.
    let part = (memory.len() / 4).max(1);
    let middle = |part: &[usize]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part[part.len() / 2]
    };
    let parts: Vec<usize> = memory.chunks(part).take(4).map(middle).collect();
    println!(
        "{servers} servers, {sent} events in {seconds} s, {} records: MiB by quarter {parts:?}, peak {peak}",
        rows.count()
    );
    if seconds >= LONG {
        assert!(parts[3] <= parts[1] + parts[1] / 5 + 16, "memory grows: {memory:?}");
    }
}
