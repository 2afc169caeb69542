//! Many processes and threads on one file, some of them killed.
//!
//! `QUARRY_LOCK_STRESS_SECONDS` says how long the counter is incremented (5, unless set).
#![allow(clippy::print_stdout, reason = "what was done, for who reads the test's output")]

mod common;

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Seek, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use common::open;
use quarry_lock::{Error, Mode, Options};

const SECONDS: &str = "QUARRY_LOCK_STRESS_SECONDS";
const WORK: &str = "QUARRY_LOCK_STRESS_WORK";
const COUNTED: &str = "counted one";
// Under Wine a wait asks every 16 ms, and each process costs a good deal more.
const PROCESSES: usize = if cfg!(windows) { 4 } else { 32 };
const THREADS: usize = if cfg!(windows) { 4 } else { 32 };
/// A worker's count is 8 bytes at its own place in the file. The first place is everybody's.
const PLACES: usize = 1 + PROCESSES + THREADS;

/// Reads all counts, adds one to its own and to everybody's, and writes all of them back. So if
/// two are ever inside together, the second overwrites what the first one counted.
fn increment(path: &Path, place: usize, options: &Options) -> Result<(), Error> {
    let mut guard = options.lock(path, Mode::Exclusive)?;
    let mut bytes = [0; 8 * PLACES];
    guard.read_exact(&mut bytes).expect("the counts can be read");
    let mut counts = counts(&bytes);
    counts[0] += 1;
    counts[place] += 1;
    for (place, count) in counts.iter().enumerate() {
        bytes[8 * place..][..8].copy_from_slice(&count.to_le_bytes());
    }
    thread::yield_now();
    guard.rewind().expect("the guard seeks");
    // One call, so that a kill comes before it or after it.
    assert_eq!(guard.write(&bytes).expect("the counts can be written"), bytes.len());
    guard.unlock()
}

fn counts(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).map(|eight| u64::from_le_bytes(eight.try_into().expect("8"))).collect()
}

/// Started by the test: increments until it is killed or its standard input ends, and prints a
/// line for each time, after it.
#[test]
#[ignore = "not a test: the processes of the test below, which starts them"]
fn a_worker() {
    let Some(work) = std::env::var_os(WORK) else { return };
    let work = work.into_string().expect("text");
    let (place, path) = work.split_once(':').expect("a place and a path");
    let place = place.parse().expect("a number");
    thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let options = Options::new();
    let mut out = std::io::stdout();
    loop {
        increment(Path::new(path), place, &options).expect("it can be locked");
        if writeln!(out, "{COUNTED}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

struct Worker {
    child: Child,
    /// How often it said that it counted. The file is not asked, since that is what is tested.
    said: Arc<AtomicU64>,
    reader: thread::JoinHandle<()>,
}

fn start_worker(path: &Path, place: usize, said: &Arc<AtomicU64>) -> Worker {
    let mut child = Command::new(std::env::current_exe().expect("the path of this program"))
        .args(["--exact", "a_worker", "--ignored", "--nocapture"])
        .env(WORK, format!("{place}:{}", path.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("this program starts again");
    let output = BufReader::new(child.stdout.take().expect("a pipe"));
    let reader = thread::spawn({
        let said = Arc::clone(said);
        move || {
            for line in output.lines().map_while(Result::ok) {
                // libtest may have begun the line before the first one.
                if line.ends_with(COUNTED) {
                    said.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    });
    Worker { child, said: Arc::clone(said), reader }
}

#[test]
fn no_update_is_lost_and_no_lock_left_when_processes_are_killed_at_random() {
    let seconds = std::env::var(SECONDS).map_or(5, |text| text.parse().expect("a number"));
    let end = Instant::now() + Duration::from_secs(seconds);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("counter");
    std::fs::write(&path, [0; 8 * PLACES]).expect("it can be written");

    let mut random = seed();
    let mut kills: HashMap<usize, u64> = HashMap::new();
    let said: Vec<_> = (0..PLACES).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let mut workers: Vec<_> =
        (1..=PROCESSES).map(|place| (place, start_worker(&path, place, &said[place]))).collect();
    let done = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (1 + PROCESSES..PLACES)
        .map(|place| {
            let (path, done, said) = (path.clone(), Arc::clone(&done), Arc::clone(&said[place]));
            thread::spawn(move || {
                let options = Options::new();
                while !done.load(Ordering::Relaxed) {
                    increment(&path, place, &options).expect("it can be locked");
                    said.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();

    while Instant::now() < end {
        thread::sleep(Duration::from_millis(5 + next(&mut random) % 40));
        let victim = next(&mut random) as usize % workers.len();
        let (place, worker) = &mut workers[victim];
        worker.child.kill().expect("it can be killed");
        worker.child.wait().expect("it ends");
        *kills.entry(*place).or_default() += 1;
        let place = *place;
        let old = std::mem::replace(
            &mut workers[victim],
            (place, start_worker(&path, place, &said[place])),
        );
        old.1.reader.join().expect("it reads to the end");
    }
    done.store(true, Ordering::Relaxed);
    for (_, mut worker) in workers {
        drop(worker.child.stdin.take());
        worker.child.kill().expect("it can be killed");
        worker.child.wait().expect("it ends");
        worker.reader.join().expect("it reads to the end");
        drop(worker.said);
    }
    for thread in threads {
        thread.join().expect("it ends well");
    }

    // Everybody who could hold it is dead or done.
    assert!(open(&path).try_lock(Mode::Exclusive).expect("it can be asked").is_some());
    let counts = counts(&std::fs::read(&path).expect("it can be read"));
    assert_eq!(counts[0], counts[1..].iter().sum::<u64>());
    for place in 1..PLACES {
        let said = said[place].load(Ordering::SeqCst);
        // A process that was killed may have counted once without saying so; the last one, too.
        let unsaid =
            if place <= PROCESSES { 1 + kills.get(&place).copied().unwrap_or(0) } else { 0 };
        let counted = counts[place];
        assert!(
            (said..=said + unsaid).contains(&counted),
            "worker {place} said {said}, {counted} are in the file, and {unsaid} may be unsaid"
        );
    }
    let killed: u64 = kills.values().sum();
    println!("{} increments, {killed} processes killed", counts[0]);
    let enough = if cfg!(windows) { 5 * seconds } else { 100 * seconds };
    assert!(counts[0] > enough && killed > seconds, "too little work to prove anything");
}

#[test]
fn ten_thousand_rounds_of_deleting_and_creating_the_file_let_nobody_in_twice() {
    const ROUNDS: u64 = 10_000;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path: PathBuf = folder.path().join("test.lock");
    let inside = AtomicU64::new(0);
    let rounds = AtomicU64::new(0);
    let followed = Mutex::new(0u64);
    thread::scope(|scope| {
        for worker in 0..8 {
            let (path, inside, rounds, followed) = (&path, &inside, &rounds, &followed);
            scope.spawn(move || {
                let mut file = open(path);
                let mut random = seed() ^ worker;
                while rounds.load(Ordering::SeqCst) < ROUNDS {
                    let wait = match next(&mut random) % 3 {
                        0 => quarry_lock::Wait::Never,
                        1 => quarry_lock::Wait::at_most(Duration::from_millis(5)),
                        _ => quarry_lock::Wait::Forever,
                    };
                    let guard = file.lock_waiting(Mode::Exclusive, wait).expect("it can be asked");
                    let Some(guard) = guard else { continue };
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two are inside");
                    *followed.lock().expect("nobody panics with it") += 1;
                    thread::yield_now();
                    assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1, "two are inside");
                    if next(&mut random).is_multiple_of(4) {
                        guard.unlock().expect("it unlocks");
                    } else {
                        guard.unlock_and_remove().expect("it can be deleted");
                        rounds.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert!(rounds.load(Ordering::SeqCst) >= ROUNDS);
    println!("{} locks in {} rounds", followed.lock().expect("no panic"), rounds.into_inner());
}

#[test]
fn a_file_that_others_rename_into_place_is_followed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("test.lock");
    let inside = AtomicU64::new(0);
    let taken = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut file = open(&path);
                while taken.load(Ordering::SeqCst) < 2_000 {
                    let guard = file.lock(Mode::Exclusive).expect("it can be asked");
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two are inside");
                    // Replaced by its holder, so the next one to hold the new file comes after.
                    let new = path.with_extension(format!("{:?}", thread::current().id()));
                    std::fs::write(&new, "").expect("it can be written");
                    assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1, "two are inside");
                    std::fs::rename(&new, &path).expect("it can be renamed");
                    taken.fetch_add(1, Ordering::SeqCst);
                    drop(guard);
                }
            });
        }
    });
}

fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = now.expect("the clock is right").as_nanos() as u64 | 1;
    println!("seed {seed}");
    seed
}

/// Xorshift: nothing here depends on good random numbers.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
