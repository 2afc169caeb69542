//! Collectors are killed and put to sleep at random moments, again and again, while servers restart
//! and their logs are cleared and wrap. In the end every record is in the table once, or in a gap
//! that is a row.

use quarry_sim::Upheaval;

use super::table::Rows;
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
    let fleet = Fleet::new(SERVERS, BEFORE);
    let names = ["one", "two"].map(|name| {
        fleet.configure_collector(name);
        format!("{name}.toml")
    });
    rounds(&fleet, &names[0], |random, rounds| {
        let mut two: Vec<Daemon> = names.iter().map(|name| Daemon::start(&fleet, name)).collect();
        for _ in 0..rounds {
            let at = random.usize(..2);
            std::thread::sleep(Duration::from_millis(random.u64(200..2000)));
            if random.bool() {
                two.remove(at).kill();
                two.insert(at, Daemon::start(&fleet, &names[at]));
            } else {
                two[at].signal(Signal::STOP);
                std::thread::sleep(Duration::from_millis(random.u64(100..3000)));
                two[at].signal(Signal::CONT);
            }
        }
        let last = two.pop().unwrap();
        two.into_iter().for_each(Daemon::kill);
        last
    });
}

/// Has collectors live through rounds while the world goes on; the one that is left reads the rest.
fn rounds(fleet: &Fleet, config: &str, live: impl FnOnce(&mut fastrand::Rng, u64) -> Daemon) {
    let given = |name: &str| std::env::var(name).ok()?.parse().ok();
    let rounds = given("QUARRY_KILL_ROUNDS").unwrap_or(ROUNDS);
    let seed = given("QUARRY_KILL_SEED").unwrap_or(1);
    // From here on each log has been met.
    let first = Daemon::start(fleet, config);
    let count = || Rows::read(&fleet.table()).count();
    wait(|| fleet.table().exists() && count() >= SERVERS * LOGS.len() * 5, || first.said());
    first.stop();
    let upheaval = Upheaval::new(fleet.sim.servers(), &LOGS, BEFORE, seed);
    let mut random = fastrand::Rng::with_seed(seed ^ 0xdead);
    let (daemon, last) = upheaval.during(5..65, || live(&mut random, rounds)).unwrap();
    let missing = || Rows::read(&fleet.table()).missing(&last);
    wait(|| missing().is_empty(), || format!("{:?}\n{}", missing(), daemon.said()));
    daemon.stop();
    let rows = Rows::read(&fleet.table());
    assert_eq!(rows.missing(&last), [], "neither there nor in a gap");
    assert_eq!(rows.repeated(), [], "there more than once");
    println!("{rounds} rounds: {} records, {} notices", rows.count(), rows.notices.len());
}
