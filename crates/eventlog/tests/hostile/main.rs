//! A hostile server: the simulated one, whose answers are changed on four levels. Bytes and PDUs
//! on their way, sealed ones and others, from the handshake on; the messages of SMB up to a session;
//! answers before they are sealed; the BinXML of records. What is changed is late, too.
//! The whole client reads from it, and gives true data or typed errors: no panic, no end without
//! one, nothing twice, and no memory for what a server only says.
//!
//! A few thousand rounds each time; a million by `cargo xtask fuzz hostile --rounds 1000000`. What
//! fails says its seed; with `QUARRY_HOSTILE_SEED=N` and `QUARRY_HOSTILE_ROUNDS=1` it is that round
//! alone.
#![expect(clippy::print_stderr, reason = "the seed and what came of it have to be known")]

mod mutate;
mod relay;
mod round;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use fastrand::Rng;
use quarry_cred::Secret;
use quarry_sim::{ServerOptions, Sim, SimOptions};
use round::{Outcome, Truth};

/// Rounds with the fixed seed, and as many with a random one.
const ROUNDS: u64 = 1500;
const SEED: u64 = 2007;
/// The longest that a round may take, in a debug build on a busy machine.
const HANG: Duration = Duration::from_secs(60);
/// What the whole program may take, of which the simulation and its threads are a part.
const MEMORY: usize = 400 << 20;

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Two servers, of which the second can't send much at once.
fn simulation() -> Sim {
    let password = Secret::new("Passw0rd!".to_owned()).unwrap();
    let small = ServerOptions::new("barney").with("big-batch:9000".parse().unwrap());
    let servers = vec![ServerOptions::new("fred"), small];
    let mut options = SimOptions::new(servers, r"SIM\quarry".parse().unwrap(), password);
    options.events = 12;
    options.empty_channels = 8;
    // Its listeners are not used.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Sim::start(options)).unwrap()
}

#[derive(Default)]
struct Sum {
    outcomes: BTreeMap<&'static str, u64>,
    errors: BTreeMap<String, u64>,
    untouched: u64,
    events: u64,
}

impl Sum {
    fn add(&mut self, outcome: Outcome) {
        *self.outcomes.entry(outcome.layer).or_default() += 1;
        self.untouched += u64::from(!outcome.altered);
        self.events += outcome.events;
        for error in outcome.errors {
            *self.errors.entry(error).or_default() += 1;
        }
    }

    fn merge(&mut self, other: Sum) {
        for (layer, count) in other.outcomes {
            *self.outcomes.entry(layer).or_default() += count;
        }
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
        self.untouched += other.untouched;
        self.events += other.events;
    }
}

/// Runs rounds on all cores. Round `n` has the seed `seed + n`.
fn run(seed: u64, rounds: u64) -> Sum {
    let sim = Arc::new(simulation());
    let truth = Arc::new(Truth::read(&sim));
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let begun: Vec<AtomicU64> = (0..threads).map(|_| AtomicU64::new(0)).collect();
    let start = Instant::now();
    let now = || start.elapsed().as_millis() as u64 + 1;
    let mut sum = Sum::default();
    std::thread::scope(|scope| {
        let work = |begun: &AtomicU64| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                // Time-outs come as soon as nothing else happens.
                .start_paused(true)
                .build()
                .unwrap();
            let mut sum = Sum::default();
            loop {
                let n = next.fetch_add(1, Relaxed);
                if n >= rounds {
                    begun.store(0, Relaxed);
                    return sum;
                }
                begun.store(now(), Relaxed);
                let seed = seed.wrapping_add(n);
                let panics = PANICS.load(Relaxed);
                let round = round::round(&sim, &truth, Rng::with_seed(seed));
                let outcome =
                    std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(round)));
                match outcome {
                    // On another thread a panic fails another round, too.
                    Ok(outcome) if PANICS.load(Relaxed) == panics => sum.add(outcome),
                    _ => {
                        next.store(rounds, Relaxed);
                        panic!("QUARRY_HOSTILE_SEED={seed} fails, or another that runs meanwhile");
                    }
                }
            }
        };
        let threads: Vec<_> = begun.iter().map(|begun| scope.spawn(move || work(begun))).collect();
        while !threads.iter().all(|thread| thread.is_finished()) {
            std::thread::sleep(Duration::from_millis(50));
            for begun in &begun {
                let at = begun.load(Relaxed);
                let hangs = at > 0 && now().saturating_sub(at) > HANG.as_millis() as u64;
                if hangs {
                    eprintln!("a round of {seed}+0..{} hangs", next.load(Relaxed));
                    std::process::abort();
                }
            }
        }
        for thread in threads {
            sum.merge(thread.join().unwrap());
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    eprintln!("{rounds} rounds from seed {seed} in {seconds:.1} s: {:?}", sum.outcomes);
    eprintln!("{} untouched, {} events came through; {:#?}", sum.untouched, sum.events, sum.errors);
    sum
}

#[test]
fn nothing_that_a_server_sends_makes_the_client_panic_hang_or_lie() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Relaxed);
        before(info);
    }));
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let rounds = number("QUARRY_HOSTILE_ROUNDS");
    let fixed = number("QUARRY_HOSTILE_SEED");
    let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let random = unix.as_nanos() as u64;
    match (fixed, rounds) {
        (None, None) => {
            let sum = run(SEED, ROUNDS);
            // Each level did what it is for.
            assert!(sum.outcomes.len() == 5 && sum.outcomes.values().all(|count| *count > 100));
            assert!(sum.untouched < ROUNDS / 2 && sum.events > ROUNDS, "{}", sum.untouched);
            assert!(sum.errors.len() > 10, "{:?}", sum.errors);
            run(random, ROUNDS);
        }
        _ => drop(run(fixed.unwrap_or(random), rounds.unwrap_or(ROUNDS))),
    }
    if let Some(peak) = quarry_testkit::peak_memory(std::process::id()) {
        eprintln!("{} MiB at most", peak >> 20);
        assert!(peak < MEMORY, "{peak} bytes");
    }
}
