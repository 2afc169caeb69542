//! Networks that misbehave: a relay before each server that delays, stalls, resets and half-closes
//! at random. What comes of a server is the beginning of what it has, each record once and in
//! order, or all of it; and nothing hangs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What happens to a connection when so many bytes of the server's have passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Well,
    /// Nothing passes any more, and nobody hears of it.
    Stall,
    /// Both sides see a reset.
    Reset,
    /// The client hears no more, and may still talk.
    HalfClose,
    /// The server hears no more, and may still talk: until it sees the end.
    HalfCloseServer,
}

/// What relays have done.
#[derive(Default)]
struct Seen {
    fates: [AtomicU64; 5],
}

/// Relays for a server; the port.
async fn relay(to: SocketAddr, seed: u64, seen: Arc<Seen>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut random = Rng::with_seed(seed);
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let Ok(server) = TcpStream::connect(to).await else { continue };
            let fate = match random.u64(..10) {
                0..=2 => Fate::Well,
                3 => Fate::Stall,
                4..=6 => Fate::Reset,
                7..=8 => Fate::HalfClose,
                _ => Fate::HalfCloseServer,
            };
            // Some in the handshake, most among the records.
            let after = match random.u64(..4) {
                0 => random.u64(..2000),
                _ => random.u64(..400_000),
            };
            let random = random.fork();
            tokio::spawn(pass(client, server, fate, after, random, Arc::clone(&seen)));
        }
    });
    port
}

async fn pass(
    client: TcpStream,
    server: TcpStream,
    fate: Fate,
    after: u64,
    mut random: Rng,
    seen: Arc<Seen>,
) {
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let mut there = random.fork();
    let up = tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            delay(&mut there).await;
            if to_server.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
        (from_client, to_server)
    });
    let (from_server, to_client, ended) =
        down(from_server, to_client, fate, after, &mut random).await;
    if !ended {
        return;
    }
    seen.fates[fate as usize].fetch_add(1, Ordering::Relaxed);
    match fate {
        Fate::Well => {}
        // As long as the test.
        Fate::Stall => std::future::pending().await,
        Fate::Reset => {
            up.abort();
            // `up` gives its halves up when it is aborted; the rest closes with these.
            let _ = up.await;
            let _ = from_server.as_ref().set_zero_linger();
            let _ = to_client.as_ref().set_zero_linger();
            // Else it says an orderly end first.
            to_client.forget();
        }
        Fate::HalfClose => {
            let mut to_client = to_client;
            let _ = to_client.shutdown().await;
            let _ = up.await;
        }
        Fate::HalfCloseServer => {
            up.abort();
            let _ = up.await;
            let (mut from_server, mut to_client) = (from_server, to_client);
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
                if to_client.write_all(&buffer[..read]).await.is_err() {
                    break;
                }
            }
        }
    }
}

/// Passes what the server says, in pieces, until the end or until it is time for the fate.
async fn down(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    fate: Fate,
    after: u64,
    random: &mut Rng,
) -> (OwnedReadHalf, OwnedWriteHalf, bool) {
    let mut passed = 0;
    let mut buffer = [0; 16 * 1024];
    loop {
        let most = random.usize(1..=buffer.len());
        let Ok(read @ 1..) = from.read(&mut buffer[..most]).await else { return (from, to, false) };
        delay(random).await;
        let mut read = read;
        let due = fate != Fate::Well && passed + read as u64 >= after;
        if due && fate != Fate::HalfCloseServer {
            // In the middle of what is said. No network leaves out a part and goes on.
            read = (after.saturating_sub(passed)) as usize;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return (from, to, false);
        }
        passed += read as u64;
        if due {
            return (from, to, true);
        }
    }
}

async fn delay(random: &mut Rng) {
    if random.u64(..8) == 0 {
        tokio::time::sleep(Duration::from_millis(random.u64(..40))).await;
    }
}

/// Scans twelve servers behind relays; `wanted` says what is expected of all that they have.
fn scan_through_relays(seed: u64, args: &[&str], wanted: impl Fn(&[(u64, Event)]) -> Vec<u64>) {
    let fleet = Fleet::new(servers(12), 300);
    let seen = Arc::new(Seen::default());
    let ports: BTreeMap<String, u16> = fleet
        .sim
        .servers()
        .iter()
        .enumerate()
        .map(|(n, server)| {
            let to = SocketAddr::from((server.address(), server.event_port()));
            let seed = Rng::with_seed(seed ^ (n as u64) << 32).u64(..);
            let port = fleet.runtime.block_on(relay(to, seed, Arc::clone(&seen)));
            (server.name().to_owned(), port)
        })
        .collect();
    fleet
        .write_inventory(&fleet.inventory_with(|server| format!("endpoint = {}\n", ports[server])));
    let ran = fleet.scan(&[&["@all"], args].concat());
    // Each record may cost the pauses of a retry, but the longest wait is one silence.
    assert!(ran.took < Duration::from_secs(40), "seed {seed}: {:?}", ran.took);
    let mut by_host = ran.by_host();
    let mut complete = 0;
    for server in fleet.sim.servers() {
        let expected = wanted(&fleet.known(server.name(), "System"));
        let came = by_host.remove(server.name()).unwrap_or_default();
        let failed = ran.errors().iter().any(|error| error.contains(server.name()));
        if failed {
            assert_eq!(expected[..came.len().min(expected.len())], came, "seed {seed}");
        } else {
            assert_eq!(came, expected, "seed {seed}: {} is said to be complete", server.name());
            complete += 1;
        }
    }
    assert_eq!(by_host, BTreeMap::new(), "seed {seed}");
    let status = match complete {
        12 => 0,
        _ => 3,
    };
    assert_eq!(ran.status, Some(status), "seed {seed}: {}", ran.shown());
    ran.line(&format!("{complete} of 12 servers answered"));
    // The test tests something.
    let fates: Vec<u64> = seen.fates.iter().map(|fate| fate.load(Ordering::Relaxed)).collect();
    assert!(fates.iter().sum::<u64>() >= 3, "seed {seed}: {fates:?}");
    assert!((2..=12).contains(&complete), "seed {seed}: {complete} complete");
}

fn numbers(known: &[(u64, Event)]) -> Vec<u64> {
    known.iter().map(|(number, _)| *number).collect()
}

#[test]
fn what_comes_through_a_bad_network_is_the_beginning_or_all_each_record_once() {
    for seed in [1, 2] {
        scan_through_relays(seed, &[], numbers);
    }
}

#[test]
fn the_same_holds_backwards() {
    scan_through_relays(3, &["-r"], |known| numbers(known).into_iter().rev().collect());
}

#[test]
fn the_same_holds_for_what_a_filter_passes_and_a_limit_allows() {
    let passes =
        |event: &Event| number(event, Field::Level) <= 4 && number(event, Field::Level) >= 3;
    scan_through_relays(4, &["-p", "warning..information"], |known| {
        known.iter().filter(|(_, event)| passes(event)).map(|(number, _)| *number).collect()
    });
    scan_through_relays(5, &["-n", "250"], |known| numbers(&known[..250]));
}

#[test]
#[ignore = "takes minutes"]
fn the_same_holds_for_many_seeds() {
    for seed in 100..140 {
        scan_through_relays(seed, &[], numbers);
    }
}
