//! Tokens: the one that the program prints for its own user's first visit, and those that programs
//! use for the API.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::clock::Clock;
use super::secret::{self, Hash};

/// How long a one-time token is good for.
pub const ONE_TIME: Duration = Duration::from_secs(5 * 60);
/// The longest life of an API token.
pub const LONGEST: jiff::SignedDuration = jiff::SignedDuration::from_hours(24 * 366);
/// Most API tokens of one person.
pub const MOST_OF_PERSON: usize = 20;
/// Most API tokens in all.
pub const MOST: usize = 10_000;
/// How an API token begins, so that it is recognised where it leaks.
const PREFIX: &str = "quarry_";
/// Longest name of a token, in characters.
const LONGEST_NAME: usize = 100;

/// A token that signs its bearer in once, within five minutes, as whoever started the program. It is
/// in memory only, as its hash.
#[derive(Debug)]
pub struct OneTime {
    clock: Clock,
    /// The hash, and when the token was made.
    current: Mutex<Option<(Hash, Duration)>>,
}

impl OneTime {
    /// There is no token yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, current: Mutex::new(None) }
    }

    fn current(&self) -> MutexGuard<'_, Option<(Hash, Duration)>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a token, which takes the place of one that wasn't used.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn make(&self) -> Result<Zeroizing<String>, getrandom::Error> {
        let value = secret::random()?;
        *self.current() = Some((Hash::of(&value), self.clock.now()));
        Ok(value)
    }

    /// Whether a value is the token and still good. Then it isn't any more.
    pub fn take(&self, value: &str) -> bool {
        let mut current = self.current();
        let Some((hash, made)) = *current else { return false };
        if self.clock.now().saturating_sub(made) >= ONE_TIME {
            *current = None;
            return false;
        }
        let is_it = hash == Hash::of(value);
        if is_it {
            *current = None;
        }
        is_it
    }
}

/// The API's tokens, as hashes, in memory only: a restart ends them.
#[derive(Debug, Default)]
pub struct ApiTokens(Mutex<HashMap<Hash, ApiToken>>);

/// What is known of an API token. The token itself is shown once, when it is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiToken {
    /// What its maker calls it.
    pub name: String,
    /// Whose it is.
    pub person: String,
    /// The session of an account that made it, whose rules it reads by and with which it ends. Who started
    /// the program needs none.
    pub session: Option<String>,
    /// When it was made.
    pub made: Timestamp,
    /// When it ends.
    pub ends: Timestamp,
}

/// Why a token was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The name is empty, or longer than 100 characters.
    #[error("a token needs a name of at most {LONGEST_NAME} characters")]
    Name,
    /// The end is past, or more than a year away.
    #[error("a token ends in the future, at most 366 days from now")]
    End,
    /// There are as many as there may be.
    #[error("there are {MOST_OF_PERSON} tokens already; revoke one first")]
    TooMany,
    /// The system has no randomness to give.
    #[error(transparent)]
    Random(#[from] getrandom::Error),
}

impl ApiTokens {
    fn tokens(&self) -> MutexGuard<'_, HashMap<Hash, ApiToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a token and returns it, which is the only time that anybody can.
    ///
    /// # Errors
    /// Any [`TokenError`]; then there is no new token.
    pub fn make(&self, token: ApiToken) -> Result<Zeroizing<String>, TokenError> {
        if token.name.trim().is_empty() || token.name.chars().count() > LONGEST_NAME {
            return Err(TokenError::Name);
        }
        let now = token.made;
        if token.ends <= now || token.ends.duration_since(now) > LONGEST {
            return Err(TokenError::End);
        }
        let value = Zeroizing::new(format!("{PREFIX}{}", &*secret::random()?));
        let mut tokens = self.tokens();
        tokens.retain(|_, other| other.ends > now);
        let of_person = tokens.values().filter(|other| other.person == token.person).count();
        if of_person >= MOST_OF_PERSON || tokens.len() >= MOST {
            return Err(TokenError::TooMany);
        }
        tokens.insert(Hash::of(&value), token);
        Ok(value)
    }

    /// What is known of a token that was presented, while it is good.
    pub fn find(&self, value: &str, now: Timestamp) -> Option<ApiToken> {
        let token = self.tokens().get(&Hash::of(value)).cloned()?;
        (token.ends > now).then_some(token)
    }

    /// A person's tokens, by their hashes, oldest first.
    pub fn of(&self, person: &str) -> Vec<(Hash, ApiToken)> {
        let tokens = self.tokens();
        let of_person = tokens.iter().filter(|(_, token)| token.person == person);
        let mut found: Vec<_> = of_person.map(|(hash, token)| (*hash, token.clone())).collect();
        found.sort_by_key(|(hash, token)| (token.made, *hash));
        found
    }

    /// Revokes a person's token by its hash. Whether there was one.
    pub fn revoke(&self, person: &str, hash: Hash) -> bool {
        let mut tokens = self.tokens();
        let is_theirs = tokens.get(&hash).is_some_and(|token| token.person == person);
        is_theirs && tokens.remove(&hash).is_some()
    }

    /// Drops those of sessions that have ended.
    pub(super) fn sweep(&self, lives: impl Fn(&str) -> bool) {
        self.tokens().retain(|_, token| token.session.as_deref().is_none_or(&lives));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_one_time_token_is_good_once_and_for_five_minutes() {
        let clock = Clock::manual();
        let once = OneTime::new(clock.clone());
        assert!(!once.take(""));
        let value = once.make().expect("randomness");
        assert!(!once.take("something else"));
        assert!(once.take(&value));
        assert!(!once.take(&value));

        let value = once.make().expect("randomness");
        clock.advance(ONE_TIME - Duration::from_millis(1));
        assert!(once.take(&value));
        let value = once.make().expect("randomness");
        clock.advance(ONE_TIME);
        assert!(!once.take(&value));
        let (old, new) = (once.make().expect("randomness"), once.make().expect("randomness"));
        assert!(!once.take(&old) && once.take(&new));
    }

    fn token(person: &str, name: &str, made: Timestamp, ends: Timestamp) -> ApiToken {
        ApiToken { name: name.into(), person: person.into(), session: None, made, ends }
    }

    #[test]
    fn an_api_token_is_a_persons_until_it_ends_or_is_revoked() {
        let tokens = ApiTokens::default();
        let (now, ends) = (at("2026-11-29T10:00:00Z"), at("2026-12-29T10:00:00Z"));
        let value = tokens.make(token("ann", "nightly", now, ends)).expect("a token");
        assert!(value.starts_with("quarry_") && value.len() == 7 + 64);
        assert!(!format!("{tokens:?}").contains(&value[7..]), "it is kept as a hash");
        assert_eq!(tokens.find(&value, now).expect("it is good").person, "ann");
        assert_eq!(tokens.find(&value, ends), None);
        assert_eq!(tokens.find(&value[7..], now), None);
        let [(hash, _)] = tokens.of("ann")[..] else { panic!("one token") };
        assert!(!tokens.revoke("bob", hash));
        assert!(tokens.find(&value, now).is_some());
        assert!(tokens.revoke("ann", hash));
        assert_eq!(tokens.find(&value, now), None);
    }

    #[test]
    fn a_token_of_a_session_is_gone_with_it() {
        let tokens = ApiTokens::default();
        let (now, ends) = (at("2026-11-29T10:00:00Z"), at("2026-12-29T10:00:00Z"));
        let of = |session: &str| {
            let token = token("ann", "nightly", now, ends);
            tokens.make(ApiToken { session: Some(session.into()), ..token }).expect("a token")
        };
        let (living, dead) = (of("a"), of("b"));
        let free = tokens.make(token("ann", "nightly", now, ends)).expect("a token");
        tokens.sweep(|session| session == "a");
        assert!(tokens.find(&living, now).is_some() && tokens.find(&free, now).is_some());
        assert_eq!(tokens.find(&dead, now), None);
    }

    #[test]
    fn names_ends_and_counts_are_bounded() {
        let tokens = ApiTokens::default();
        let now = at("2026-11-29T10:00:00Z");
        let day = jiff::SignedDuration::from_hours(24);
        let make = |name: &str, ends| tokens.make(token("ann", name, now, ends)).map(drop);
        assert!(matches!(make(" ", now + day), Err(TokenError::Name)));
        assert!(matches!(make(&"x".repeat(101), now + day), Err(TokenError::Name)));
        assert!(matches!(make("x", now), Err(TokenError::End)));
        assert!(matches!(make("x", now + 367 * day), Err(TokenError::End)));
        for number in 0..MOST_OF_PERSON {
            make(&number.to_string(), now + day).expect("there is room");
        }
        assert!(matches!(make("x", now + day), Err(TokenError::TooMany)));
        tokens.make(token("bob", "x", now, now + day)).expect("bob has none yet");
        // Those that have ended make room.
        tokens.make(token("ann", "x", now + day, now + 3 * day)).expect("all others have ended");
        assert_eq!(tokens.of("ann").len(), 1);
    }
}
