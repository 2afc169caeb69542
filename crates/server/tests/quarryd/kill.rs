//! Collectors are killed and put to sleep at random moments, again and again, while servers restart
//! and their logs are cleared and wrap. In the end every record is in the table once, or in a gap
//! that is a row.

use quarry_sim::Upheaval;

use super::*;

/// How often, unless `QUARRY_KILL_ROUNDS` says it.
const ROUNDS: u64 = 8;
const LOGS: [&str; 2] = ["System", "Application"];
const SERVERS: usize = 3;
/// Records that each log has at the start.
const BEFORE: u64 = 5;

#[test]
fn what_is_killed_at_any_moment_stores_every_record_once_or_a_gap() {
    let fleet = Fleet::new(SERVERS, BEFORE);
    fleet.configure("quarryd.toml", USUAL);
    rounds(&fleet, "quarryd.toml", |random, rounds| {
        for _ in 0..rounds {
            let daemon = Daemon::start(&fleet, "quarryd.toml");
            // Often while it starts, mostly later.
            std::thread::sleep(Duration::from_millis(random.u64(200..3200)));
            daemon.kill();
        }
        Daemon::start(&fleet, "quarryd.toml")
    });
}

#[test]
fn two_collectors_that_are_killed_and_put_to_sleep_store_every_record_once_or_a_gap() {
    collectors(&Fleet::new(SERVERS, BEFORE), &["one", "two"]);
}

#[test]
fn two_collectors_of_a_table_on_s3_store_every_record_once_or_a_gap() {
    let Some(fleet) = Fleet::on(Storage::Moto, SERVERS, BEFORE) else { return };
    collectors(&fleet, &["one", "two"]);
}

#[test]
fn four_collectors_of_a_table_on_azure_store_every_record_once_or_a_gap() {
    let Some(fleet) = Fleet::on(Storage::Azurite, SERVERS, BEFORE) else { return };
    collectors(&fleet, &["one", "two", "three", "four"]);
}

/// Kills some of several collectors, and puts others to sleep for a while.
fn collectors(fleet: &Fleet, names: &[&str]) {
    let names: Vec<String> = names
        .iter()
        .map(|name| {
            fleet.configure_collector(name);
            format!("{name}.toml")
        })
        .collect();
    rounds(fleet, &names[0], |random, rounds| {
        let mut all: Vec<Daemon> = names.iter().map(|name| Daemon::start(fleet, name)).collect();
        for _ in 0..rounds {
            let at = random.usize(..all.len());
            std::thread::sleep(Duration::from_millis(random.u64(200..2000)));
            if random.bool() {
                all.remove(at).kill();
                all.insert(at, Daemon::start(fleet, &names[at]));
            } else {
                all[at].signal(Signal::STOP);
                std::thread::sleep(Duration::from_millis(random.u64(100..3000)));
                all[at].signal(Signal::CONT);
            }
        }
        let last = all.pop().unwrap();
        all.into_iter().for_each(Daemon::kill);
        last
    });
}

/// Has collectors live through rounds while the world goes on; the one that is left reads the rest.
fn rounds(fleet: &Fleet, config: &str, live: impl FnOnce(&mut fastrand::Rng, u64) -> Daemon) {
    let (rounds, seed) = (given("QUARRY_KILL_ROUNDS", ROUNDS), given("QUARRY_KILL_SEED", 1));
    // From here on each log has been met.
    let first = Daemon::start(fleet, config);
    wait(|| fleet.rows().count() >= SERVERS * LOGS.len() * 5, || first.said());
    first.stop();
    let upheaval = Upheaval::new(fleet.sim.servers(), &LOGS, BEFORE, seed);
    let mut random = fastrand::Rng::with_seed(seed ^ 0xdead);
    let (daemon, last) = upheaval.during(5..65, || live(&mut random, rounds)).unwrap();
    let missing = || fleet.rows().missing(&last);
    wait(|| missing().is_empty(), || format!("{:?}\n{}", missing(), daemon.said()));
    daemon.stop();
    let rows = fleet.rows();
    assert_eq!(rows.missing(&last), [], "neither there nor in a gap");
    assert_eq!(rows.repeated(), [], "there more than once");
    println!("{rounds} rounds: {} records, {} notices", rows.count(), rows.notices.len());
}
