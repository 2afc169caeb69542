//! Tokens: the one that the program prints for its own user's first visit, and those that programs
//! use for the API.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fs, io};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
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
/// Largest file of tokens that is read, in bytes.
const LARGEST_FILE: u64 = 8 << 20;

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

/// The API's tokens, kept as hashes in a file, or in memory only.
#[derive(Debug)]
pub struct ApiTokens {
    file: Option<PathBuf>,
    tokens: Mutex<HashMap<Hash, ApiToken>>,
}

/// What is known of an API token. The token itself is shown once, when it is made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiToken {
    /// What its maker calls it.
    pub name: String,
    /// Whose it is, and by whose rules it reads.
    pub person: String,
    /// When it was made.
    pub made: Timestamp,
    /// When it ends.
    pub ends: Timestamp,
}

/// Why a token was not made or kept.
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
    /// The file can't be read or written.
    #[error("the tokens in {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What stands in the file: the hash, and what is known of the token.
#[derive(Serialize, Deserialize)]
struct Kept {
    hash: String,
    #[serde(flatten)]
    token: ApiToken,
}

impl ApiTokens {
    /// Tokens that end with the program.
    pub fn in_memory() -> Self {
        Self { file: None, tokens: Mutex::default() }
    }

    /// Tokens that a file keeps. It is made when the first token is.
    ///
    /// # Errors
    /// [`TokenError::File`].
    pub fn open(path: &Path) -> Result<Self, TokenError> {
        let failed = |source| TokenError::File { path: path.to_owned(), source };
        let tokens = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => HashMap::new(),
            Err(error) => return Err(failed(error)),
            Ok(metadata) if metadata.len() > LARGEST_FILE => {
                return Err(failed(io::Error::other("it is larger than such a file can be")));
            }
            Ok(_) => {
                let text = fs::read(path).map_err(failed)?;
                let kept: Vec<Kept> =
                    serde_json::from_slice(&text).map_err(|error| failed(error.into()))?;
                let pair = |kept: Kept| {
                    let hash = Hash::from_hex(&kept.hash);
                    hash.map(|hash| (hash, kept.token))
                        .ok_or_else(|| failed(io::Error::other("a hash isn't 64 digits")))
                };
                kept.into_iter().map(pair).collect::<Result<_, _>>()?
            }
        };
        Ok(Self { file: Some(path.to_owned()), tokens: Mutex::new(tokens) })
    }

    fn tokens(&self) -> MutexGuard<'_, HashMap<Hash, ApiToken>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a token of a person's and returns it, which is the only time that anybody can. Blocks
    /// while the file is written.
    ///
    /// # Errors
    /// Any [`TokenError`]; then there is no new token.
    pub fn make(
        &self,
        person: &str,
        name: &str,
        ends: Timestamp,
        now: Timestamp,
    ) -> Result<Zeroizing<String>, TokenError> {
        if name.trim().is_empty() || name.chars().count() > LONGEST_NAME {
            return Err(TokenError::Name);
        }
        if ends <= now || ends.duration_since(now) > LONGEST {
            return Err(TokenError::End);
        }
        let value = Zeroizing::new(format!("{PREFIX}{}", &*secret::random()?));
        let mut tokens = self.tokens();
        let mut changed = tokens.clone();
        changed.retain(|_, token| token.ends > now);
        let of_person = changed.values().filter(|token| token.person == person).count();
        if of_person >= MOST_OF_PERSON || changed.len() >= MOST {
            return Err(TokenError::TooMany);
        }
        let token = ApiToken { name: name.to_owned(), person: person.to_owned(), made: now, ends };
        changed.insert(Hash::of(&value), token);
        self.keep(&changed)?;
        *tokens = changed;
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
    ///
    /// # Errors
    /// [`TokenError::File`]; then it is still good.
    pub fn revoke(&self, person: &str, hash: Hash) -> Result<bool, TokenError> {
        let mut tokens = self.tokens();
        if tokens.get(&hash).is_none_or(|token| token.person != person) {
            return Ok(false);
        }
        let mut changed = tokens.clone();
        changed.remove(&hash);
        self.keep(&changed)?;
        *tokens = changed;
        Ok(true)
    }

    /// Writes the file anew and puts it in the old one's place.
    fn keep(&self, tokens: &HashMap<Hash, ApiToken>) -> Result<(), TokenError> {
        let Some(path) = &self.file else { return Ok(()) };
        let kept: Vec<Kept> = tokens
            .iter()
            .map(|(hash, token)| Kept { hash: hash.to_hex(), token: token.clone() })
            .collect();
        let write = || {
            let new = path.with_extension("new");
            let mut file = super::private_file(&new)?;
            serde_json::to_writer(&mut file, &kept)?;
            file.sync_all()?;
            fs::rename(&new, path)
        };
        write().map_err(|source| TokenError::File { path: path.clone(), source })
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

    #[test]
    fn an_api_token_is_a_persons_until_it_ends_or_is_revoked() {
        let tokens = ApiTokens::in_memory();
        let (now, ends) = (at("2026-11-29T10:00:00Z"), at("2026-12-29T10:00:00Z"));
        let value = tokens.make("ann", "nightly", ends, now).expect("a token");
        assert!(value.starts_with("quarry_") && value.len() == 7 + 64);
        assert_eq!(tokens.find(&value, now).expect("it is good").person, "ann");
        assert_eq!(tokens.find(&value, ends), None);
        assert_eq!(tokens.find(&value[7..], now), None);
        let [(hash, _)] = tokens.of("ann")[..] else { panic!("one token") };
        assert!(!tokens.revoke("bob", hash).expect("no file"));
        assert!(tokens.find(&value, now).is_some());
        assert!(tokens.revoke("ann", hash).expect("no file"));
        assert_eq!(tokens.find(&value, now), None);
    }

    #[test]
    fn a_file_keeps_hashes_and_nothing_that_could_be_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokens.json");
        let (now, ends) = (at("2026-11-29T10:00:00Z"), at("2026-12-29T10:00:00Z"));
        let tokens = ApiTokens::open(&path).expect("no file yet");
        let value = tokens.make("ann", "nightly", ends, now).expect("a token");
        let text = fs::read_to_string(&path).expect("the file");
        assert!(text.contains("nightly") && !text.contains(&value[7..]));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).expect("the file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let again = ApiTokens::open(&path).expect("it is read");
        assert_eq!(again.find(&value, now), tokens.find(&value, now));
        assert!(again.find(&value, now).is_some());
        fs::write(&path, "[{").expect("written");
        assert!(ApiTokens::open(&path).is_err());
    }

    #[test]
    fn names_ends_and_counts_are_bounded() {
        let tokens = ApiTokens::in_memory();
        let now = at("2026-11-29T10:00:00Z");
        let day = jiff::SignedDuration::from_hours(24);
        let make = |name: &str, ends| tokens.make("ann", name, ends, now).map(drop);
        assert!(matches!(make(" ", now + day), Err(TokenError::Name)));
        assert!(matches!(make(&"x".repeat(101), now + day), Err(TokenError::Name)));
        assert!(matches!(make("x", now), Err(TokenError::End)));
        assert!(matches!(make("x", now + 367 * day), Err(TokenError::End)));
        for number in 0..MOST_OF_PERSON {
            make(&number.to_string(), now + day).expect("there is room");
        }
        assert!(matches!(make("x", now + day), Err(TokenError::TooMany)));
        tokens.make("bob", "x", now + day, now).expect("bob has none yet");
        // Those that have ended make room.
        tokens.make("ann", "x", now + 3 * day, now + day).expect("all others have ended");
        assert_eq!(tokens.of("ann").len(), 1);
    }
}
