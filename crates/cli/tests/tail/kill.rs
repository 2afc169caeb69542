//! The client is killed at random moments, again and again, while servers restart and their logs
//! are cleared and wrap. Every record is printed or in a gap that is told; one is printed again
//! only if it is after what had been saved when the client was killed.

use std::collections::BTreeSet;

use super::servers::wait_for_cursors;
use quarry_sim::Upheaval;

use super::*;

/// How often, unless `QUARRY_KILL_ROUNDS` says it. A round takes some tenths of a second.
const ROUNDS: u64 = 60;

const LOGS: [&str; 2] = ["System", "Application"];
const SERVERS: usize = 2;

/// Records that each log has at the start.
const BEFORE: u64 = 5;

type Key = (String, String);

/// Of each log, some records.
type Numbers = BTreeMap<Key, BTreeSet<u64>>;

#[test]
fn a_client_that_is_killed_loses_nothing_and_repeats_only_what_was_not_saved() {
    let given = |name: &str| std::env::var(name).ok()?.parse().ok();
    let rounds = given("QUARRY_KILL_ROUNDS").unwrap_or(ROUNDS);
    let seed = given("QUARRY_KILL_SEED").unwrap_or(1);
    let fleet = Fleet::new(&[&[] as &[Fault]; SERVERS], BEFORE);
    let arguments = ["@all", "-l", LOGS[0], "-l", LOGS[1], "-n", "0", "--cursor-file", "c"];
    // From here on nothing may be missing.
    let tail = fleet.tail(&arguments);
    wait_for_cursors(&fleet, &tail, SERVERS * LOGS.len());
    tail.stop();
    let mut books = Books::default();
    let mut random = fastrand::Rng::with_seed(seed ^ 0xdead);
    let upheaval = Upheaval::new(fleet.sim.servers(), &LOGS, BEFORE, seed);
    let lived = upheaval.during(5..35, || {
        for round in 0..rounds {
            let tail = fleet.tail(&arguments);
            // Often while it starts, mostly later.
            std::thread::sleep(Duration::from_millis(random.u64(100..1000)));
            tail.signal(rustix::process::Signal::KILL);
            books.take(&fleet, tail.wait(), round);
        }
    });
    let ((), written) = lived.unwrap();
    let tail = fleet.tail(&arguments);
    let begun = Instant::now();
    let mut missing = vec![(Key::default(), 0)];
    while !missing.is_empty() && begun.elapsed() < HANGS {
        std::thread::sleep(Duration::from_millis(200));
        let mut books = books.clone();
        books.read(&fleet, &tail.printed(), &tail.said(), rounds);
        missing = books.missing(&written);
    }
    let ended = tail.stop();
    assert_eq!(ended.status, Some(130));
    books.take(&fleet, ended, rounds);
    assert_eq!(books.missing(&written), [], "neither printed nor in a gap");
    let all: u64 = written.values().map(|last| last - BEFORE).sum();
    let printed = books.printed.values().map(|numbers| numbers.len() as u64).sum::<u64>();
    println!(
        "{rounds} rounds: {all} records written, {printed} printed, {} of them twice or more, {} gaps",
        books.repeated, books.gaps
    );
    assert!(printed > 10 * rounds && books.gaps > 0, "too little happened");
}

/// What the clients so far have printed and said.
#[derive(Clone, Default)]
struct Books {
    printed: Numbers,
    lost: Numbers,
    /// What the file said when the last client was killed.
    saved: BTreeMap<Key, u64>,
    repeated: u64,
    gaps: u64,
}

impl Books {
    fn take(&mut self, fleet: &Fleet, ended: Ended, round: u64) {
        self.read(fleet, &ended.printed, &ended.said, round);
        let saved = cursors(fleet);
        for (key, cursor) in &self.saved {
            assert!(saved[key] >= *cursor, "round {round}: the cursor of {key:?} went back");
        }
        self.saved = saved;
    }

    fn read(&mut self, fleet: &Fleet, printed: &[String], said: &[String], round: u64) {
        for (key, numbers) in places(printed) {
            let in_order = numbers.windows(2).all(|pair| pair[0] < pair[1]);
            assert!(in_order, "round {round}: {key:?} {numbers:?}");
            let saved = self.saved.get(&key).copied().unwrap_or(BEFORE);
            assert!(numbers[0] > saved, "round {round}: {key:?} {numbers:?} again, {saved} saved");
            let before = self.printed.entry(key).or_default();
            self.repeated +=
                numbers.into_iter().filter(|number| !before.insert(*number)).count() as u64;
        }
        for line in said.iter().filter(|line| line.contains("gap: ")) {
            // gap: records A to B of LOG on HOST were overwritten
            let words: Vec<&str> = line.split_whitespace().collect();
            let [
                "warning:",
                "gap:",
                "records",
                first,
                "to",
                last,
                "of",
                log,
                "on",
                host,
                "were",
                "overwritten",
            ] = words[..]
            else {
                panic!("round {round}: {line}");
            };
            let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
            let server = fleet.sim.server(host).unwrap();
            let there = numbers(server, log, |_| true);
            assert!(first <= last && there.first().is_none_or(|there| last < *there), "{line}");
            self.gaps += 1;
            self.lost.entry((host.to_owned(), log.to_owned())).or_default().extend(first..=last);
        }
    }

    /// What should be here and isn't, a few of each log.
    fn missing(&self, written: &BTreeMap<Key, u64>) -> Vec<(Key, u64)> {
        let has = |all: &Numbers, key: &Key, number: u64| {
            all.get(key).is_some_and(|numbers| numbers.contains(&number))
        };
        let of = |(key, last): (&Key, &u64)| {
            let is_missing =
                |number: &u64| !has(&self.printed, key, *number) && !has(&self.lost, key, *number);
            let missing = (BEFORE + 1..=*last).filter(is_missing).take(5);
            missing.map(|number| (key.clone(), number)).collect::<Vec<_>>()
        };
        written.iter().flat_map(of).collect()
    }
}

/// What the cursor file says.
fn cursors(fleet: &Fleet) -> BTreeMap<Key, u64> {
    let text = std::fs::read_to_string(fleet.root().join("c")).unwrap();
    let file: Json = serde_json::from_str(&text).unwrap();
    let each = |cursor: &Json| {
        let host = cursor["source"].as_str().unwrap().strip_prefix("even6://").unwrap();
        let key = (host.to_owned(), cursor["log"].as_str().unwrap().to_owned());
        (key, cursor["record"].as_u64().unwrap())
    };
    file["cursors"].as_array().unwrap().iter().map(each).collect()
}
