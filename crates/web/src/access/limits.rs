//! Bounds on what one person, one address and everybody together can ask for.

use std::collections::HashMap;
use std::hash::Hash as StdHash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::clock::Clock;
use super::secret;

/// Largest head of a request, in bytes.
pub const HEAD_BYTES: usize = 16 << 10;
/// Longest time in which a head has to be there.
pub const HEAD_TIME: Duration = Duration::from_secs(10);
/// Largest body of a request, in bytes.
pub const BODY_BYTES: usize = 64 << 10;
/// Most streams of an HTTP/2 connection.
pub const STREAMS: u32 = 100;
/// Most connections in all.
pub const CONNECTIONS: usize = 2048;
/// Most connections of a person.
pub const CONNECTIONS_OF_PERSON: usize = 8;
/// Most questions of a person that are being answered.
pub const QUESTIONS_OF_PERSON: usize = 4;
/// Most tails of a person. Pages that nobody sees let go of theirs.
pub const TAILS_OF_PERSON: usize = 16;
/// Longest time that a question may take.
pub const QUESTION_TIME: Duration = Duration::from_secs(15);

/// Wrong passwords that strangers may try from an address, in [`ADDRESS_TIME`].
pub const FAILURES_OF_ADDRESS: usize = 5;
/// How long a failure counts against an address.
pub const ADDRESS_TIME: Duration = Duration::from_secs(5 * 60);
/// Wrong passwords that strangers may try at an account, in [`ACCOUNT_TIME`].
pub const FAILURES_OF_ACCOUNT: usize = 3;
/// Wrong passwords at an account in all, its own browsers' too. Domains lock an account after five,
/// those that are strict; so none is locked from here.
pub const FAILURES_OF_ACCOUNT_IN_ALL: usize = 4;
/// How long a failure counts against an account.
pub const ACCOUNT_TIME: Duration = Duration::from_secs(15 * 60);
/// Most addresses, and most accounts, that failures are remembered of.
const MOST: usize = 10_000;
/// How often these are looked through for some that can be forgotten, while there are so many.
const LOOK_THROUGH: Duration = Duration::from_secs(10);

/// The limits on wrong passwords. Only failures count, and an attempt that isn't settled counts as
/// one.
#[derive(Debug)]
pub struct SignInLimits {
    clock: Clock,
    key: Zeroizing<[u8; 32]>,
    failures: Mutex<Failures>,
}

#[derive(Debug, Default)]
struct Failures {
    by_address: Remembered<Network>,
    by_account: Remembered<String>,
    last: u64,
}

/// The failures of each address or account.
#[derive(Debug)]
struct Remembered<K> {
    lists: HashMap<K, Vec<Failure>>,
    /// When it was last looked through for those that count no more.
    looked_through: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Failure {
    at: Duration,
    attempt: u64,
    /// Whether it came from a browser that isn't known to have signed in before.
    stranger: bool,
}

/// What counts as one address: an IPv4 address, or the /64 that one IPv6 host has to itself.
#[derive(Clone, Copy, PartialEq, Eq, StdHash, Debug)]
struct Network(u128);

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(u32::from(v4).into()),
            IpAddr::V6(v6) => Self(u128::from(v6) & !u128::from(u64::MAX) | 1 << 32),
        }
    }
}

/// An attempt to sign in was not allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("too many wrong passwords; try again in {} minutes", minutes(*.after))]
pub struct TooManyFailures {
    /// How long to wait.
    pub after: Duration,
}

fn minutes(time: Duration) -> u64 {
    time.as_secs().div_ceil(60).max(1)
}

/// An attempt to sign in that is allowed. Dropped without [`succeeded`](Self::succeeded), it is a
/// failure.
#[derive(Debug)]
#[must_use = "an attempt that is dropped is a failure"]
pub struct Attempt<'a> {
    limits: &'a SignInLimits,
    network: Network,
    account: String,
    number: u64,
}

impl Attempt<'_> {
    /// The password was right: nothing counts against the account any more, and this attempt not
    /// against the address. What else does stays: an account of one's own would make room for more
    /// guesses at others.
    pub fn succeeded(self) {
        let mut failures = self.limits.failures();
        failures.by_account.lists.remove(&self.account);
        if let Some(of_address) = failures.by_address.lists.get_mut(&self.network) {
            of_address.retain(|failure| failure.attempt != self.number);
        }
    }

    /// Nobody could be asked about the password, so the attempt counts against nobody.
    pub fn never_made(self) {
        let mut failures = self.limits.failures();
        let Failures { by_address, by_account, .. } = &mut *failures;
        for list in
            [by_address.lists.get_mut(&self.network), by_account.lists.get_mut(&self.account)]
        {
            list.into_iter().for_each(|list| list.retain(|f| f.attempt != self.number));
        }
    }
}

impl SignInLimits {
    /// No failures yet. Browsers that have signed in are known as long as the limits live.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn new(clock: Clock) -> Result<Self, getrandom::Error> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *key)?;
        Ok(Self { clock, key, failures: Mutex::default() })
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Allows an attempt to sign in, or says how long to wait. `device` is the cookie that
    /// [`device`](Self::device) made for this account: a browser that has signed in before has an
    /// allowance of its own, so that strangers can't keep its user out.
    ///
    /// # Errors
    /// [`TooManyFailures`].
    pub fn begin(
        &self,
        address: IpAddr,
        account: &str,
        device: Option<&str>,
    ) -> Result<Attempt<'_>, TooManyFailures> {
        let now = self.clock.now();
        let account = key_of(account);
        let network = Network::from(address);
        let stranger = !device.is_some_and(|device| self.is_device_of(device, &account));
        let mut failures = self.failures();
        let failures = &mut *failures;
        let of_address = failures.by_address.counted(network, now, ADDRESS_TIME);
        let of_account = failures.by_account.counted(account.clone(), now, ACCOUNT_TIME);
        let (Some(of_address), Some(of_account)) = (of_address, of_account) else {
            return Err(TooManyFailures { after: ADDRESS_TIME });
        };
        let strangers = |list: &[Failure]| -> Vec<Failure> {
            list.iter().filter(|failure| failure.stranger).copied().collect()
        };
        let mut wait = wait(of_account, FAILURES_OF_ACCOUNT_IN_ALL, now, ACCOUNT_TIME);
        if stranger {
            let guesses = strangers(of_account);
            wait = wait.max(self::wait(&guesses, FAILURES_OF_ACCOUNT, now, ACCOUNT_TIME));
            let guesses = strangers(of_address);
            wait = wait.max(self::wait(&guesses, FAILURES_OF_ADDRESS, now, ADDRESS_TIME));
        }
        if let Some(after) = wait {
            return Err(TooManyFailures { after });
        }
        failures.last += 1;
        let failure = Failure { at: now, attempt: failures.last, stranger };
        of_address.push(failure);
        of_account.push(failure);
        Ok(Attempt { limits: self, network, account, number: failure.attempt })
    }

    /// The value of a cookie that says that this browser has signed in with an account: 128 random
    /// bits, and a signature of these and the account.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn device(&self, account: &str) -> Result<String, getrandom::Error> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce)?;
        let nonce = secret::hex(&nonce);
        let signature = self.signature(&nonce, &key_of(account)).finalize().into_bytes();
        Ok(format!("{nonce}{}", secret::hex(&signature)))
    }

    fn is_device_of(&self, device: &str, account: &str) -> bool {
        let Some((nonce, signature)) = device.split_at_checked(32) else { return false };
        let signature = secret::Hash::from_hex(signature);
        signature.is_some_and(|s| self.signature(nonce, account).verify_slice(&s.0).is_ok())
    }

    fn signature(&self, nonce: &str, account: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.key).expect("a key has any length");
        mac.update(nonce.as_bytes());
        mac.update(account.as_bytes());
        mac
    }
}

/// What failures at an account are counted under: the user's part, however the account is written,
/// since `ann`, `CORP\ann` and `ann@corp.example` may be one account with one lock-out.
fn key_of(account: &str) -> String {
    let user = account.rsplit_once('\\').map_or(account, |(_, user)| user);
    let user = user.rsplit_once('@').map_or(user, |(user, _)| user);
    user.trim().to_lowercase()
}

impl<K> Default for Remembered<K> {
    fn default() -> Self {
        Self { lists: HashMap::new(), looked_through: Duration::ZERO }
    }
}

impl<K: Eq + StdHash> Remembered<K> {
    /// The failures that still count, with room for one more; `None` where there are too many others.
    fn counted(&mut self, key: K, now: Duration, time: Duration) -> Option<&mut Vec<Failure>> {
        let counts = |failure: &Failure| now.saturating_sub(failure.at) < time;
        if self.lists.len() >= MOST && !self.lists.contains_key(&key) {
            // Not at each attempt of a flood.
            if now.saturating_sub(self.looked_through) < LOOK_THROUGH {
                return None;
            }
            self.looked_through = now;
            self.lists.retain(|_, list| list.iter().any(counts));
            if self.lists.len() >= MOST {
                return None;
            }
        }
        let list = self.lists.entry(key).or_default();
        list.retain(counts);
        Some(list)
    }
}

/// How long until fewer than `most` of some failures count.
fn wait(list: &[Failure], most: usize, now: Duration, time: Duration) -> Option<Duration> {
    let over = list.len().checked_sub(most)?;
    Some((list[over].at + time).saturating_sub(now))
}

/// Counts what each of many has at once.
#[derive(Debug)]
pub struct Each<K> {
    most: usize,
    counts: Arc<Mutex<HashMap<K, usize>>>,
}

/// One of the things that [`Each`] counts, until it is dropped.
#[derive(Debug)]
pub struct Place<K: Eq + StdHash> {
    counts: Arc<Mutex<HashMap<K, usize>>>,
    key: K,
}

impl<K: Eq + StdHash + Clone> Each<K> {
    /// Each may have so many.
    pub fn new(most: usize) -> Self {
        Self { most, counts: Arc::default() }
    }

    /// How many each may have.
    pub fn most(&self) -> usize {
        self.most
    }

    /// One more of a key's, if it may have one.
    pub fn take(&self, key: K) -> Option<Place<K>> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { counts: Arc::clone(&self.counts), key })
    }

    /// How many a key has.
    pub fn count(&self, key: &K) -> usize {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(key).copied().unwrap_or(0)
    }
}

impl<K: Eq + StdHash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn limits() -> (SignInLimits, Clock) {
        let clock = Clock::manual();
        (SignInLimits::new(clock.clone()).expect("randomness"), clock)
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// How many of 50 wrong passwords reach whoever checks them.
    fn tried(limits: &SignInLimits, of: impl Fn(u8) -> (IpAddr, String)) -> usize {
        (0..50)
            .filter(|&n| {
                let (a, name) = of(n);
                limits.begin(a, &name, None).is_ok()
            })
            .count()
    }

    #[test]
    fn fifty_wrong_passwords_are_five_from_an_address_and_three_at_an_account() {
        let (limits, clock) = limits();
        assert_eq!(tried(&limits, |n| (address(1), format!("user{n}"))), 5);
        assert_eq!(tried(&limits, |n| (address(10 + n), "ann".to_owned())), 3);
        clock.advance(5 * MINUTE);
        assert_eq!(tried(&limits, |n| (address(1), format!("user{n}"))), 5);
        assert_eq!(tried(&limits, |n| (address(100 + n), "ann".to_owned())), 0);
        clock.advance(10 * MINUTE);
        assert_eq!(tried(&limits, |n| (address(100 + n), "ann".to_owned())), 3);
    }

    #[test]
    fn however_an_account_is_written_it_is_one() {
        let (limits, _) = limits();
        let names = ["ann", r"CORP\Ann", "ann@corp.example", "ANN", r"OTHER\ann"];
        let of = |n: u8| (address(n), names[usize::from(n) % names.len()].to_owned());
        assert_eq!(tried(&limits, of), FAILURES_OF_ACCOUNT);
    }

    #[test]
    fn a_known_browser_gets_in_past_strangers_and_still_locks_no_account() {
        let (limits, _) = limits();
        let device = limits.device(r"CORP\ann").expect("randomness");
        assert_eq!(tried(&limits, |n| (address(n), "ann".to_owned())), 3);
        limits.begin(address(9), "ann", None).expect_err("strangers have used theirs up");
        let known = || limits.begin(address(9), "ann", Some(&device));
        known().expect("known").succeeded();
        // Beside its own, an attack leaves it one mistake; all are below the strictest lock-out.
        assert_eq!(tried(&limits, |n| (address(100 + n), "ann".to_owned())), 3);
        drop(known().expect("known"));
        known().expect_err("four in all");
        // The cookie is ann's, unchanged, and of this server.
        let other = SignInLimits::new(Clock::manual()).expect("randomness");
        for _ in 0..3 {
            drop(limits.begin(address(8), "bob", None).expect("strangers' own"));
        }
        let changed = format!("{}0", &device[..device.len() - 1]);
        let foreign = other.device("bob").expect("randomness");
        for forged in [&device, &changed, &foreign, "", "é", &"0".repeat(96)] {
            limits.begin(address(9), "bob", Some(forged)).expect_err(forged);
        }
    }

    #[test]
    fn a_right_password_counts_nothing_and_makes_no_room_at_the_address() {
        let (limits, _) = limits();
        for _ in 0..50 {
            limits.begin(address(1), "ann", None).expect("no failure yet").succeeded();
        }
        for user in ["a", "b", "c", "d"] {
            drop(limits.begin(address(1), user, None).expect("under the limit"));
            limits.begin(address(1), "ann", None).expect("under the limit").succeeded();
        }
        drop(limits.begin(address(1), "e", None).expect("the fifth"));
        let refused = limits.begin(address(1), "ann", None).expect_err("five failures");
        assert_eq!(refused.after, ADDRESS_TIME);
    }

    #[test]
    fn attempts_that_are_not_settled_count() {
        let (limits, _) = limits();
        let held: Vec<_> =
            (0..50).filter_map(|n| limits.begin(address(n), "ann", None).ok()).collect();
        assert_eq!(held.len(), FAILURES_OF_ACCOUNT);
        held.into_iter().for_each(Attempt::never_made);
        limits.begin(address(1), "ann", None).expect("none was made").never_made();
    }

    #[test]
    fn one_host_of_ipv6_is_one_address() {
        let (limits, _) = limits();
        let of = |n: u8| (format!("2001:db8::{n:x}").parse().expect("an address"), format!("u{n}"));
        assert_eq!(tried(&limits, of), FAILURES_OF_ADDRESS);
        let mapped = |n: u8| ("::ffff:192.0.2.1".parse().expect("an address"), format!("v{n}"));
        assert_eq!(tried(&limits, mapped), FAILURES_OF_ADDRESS);
        limits.begin(address(1), "w", None).expect_err("the same address");
    }

    #[test]
    fn a_flood_of_names_fills_no_memory_and_frees_no_account() {
        let (limits, clock) = limits();
        for _ in 0..3 {
            drop(limits.begin(address(1), "ann", None).expect("under the limit"));
        }
        for number in 0..2 * MOST {
            let network = u32::try_from(number).expect("small") << 8;
            drop(limits.begin(IpAddr::from(network.to_be_bytes()), &format!("x{number}"), None));
        }
        assert!(limits.failures().by_account.lists.len() <= MOST);
        assert!(limits.failures().by_address.lists.len() <= MOST);
        limits.begin(address(200), "ann", None).expect_err("three failures are remembered");
        limits.begin(address(200), "eve", None).expect_err("there is no room");
        clock.advance(ACCOUNT_TIME);
        drop(limits.begin(address(200), "eve", None).expect("all others are forgotten"));
    }

    #[test]
    fn each_has_so_many_and_gives_them_back() {
        let each = Each::new(2);
        let first = each.take("ann").expect("one");
        let second = each.take("ann").expect("two");
        assert!(each.take("ann").is_none());
        assert!(each.take("bob").is_some());
        drop(first);
        assert_eq!(each.count(&"ann"), 1);
        assert!(each.take("ann").is_some());
        drop(second);
        assert!(each.counts.lock().expect("nobody panicked").is_empty());
    }
}
