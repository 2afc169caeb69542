//! Sessions: who is signed in, in memory only, so that a restart signs everybody out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::Person;
use super::clock::Clock;
use super::rules::Rules;
use super::secret::{self, Hash};

/// A session without a request for so long ends.
pub const IDLE: Duration = Duration::from_secs(60 * 60);
/// A session ends after so long whatever happens.
pub const LONGEST: Duration = Duration::from_secs(12 * 60 * 60);
/// How often an account is asked about again while a session of it lives.
pub const ACCOUNT_CHECK: Duration = Duration::from_secs(15 * 60);
/// Most sessions of one person; one more ends their oldest.
pub const MOST_OF_PERSON: usize = 20;
/// Most sessions in all; one more ends the one that was used least recently.
pub const MOST: usize = 2000;

/// The sessions there are.
#[derive(Debug)]
pub struct Sessions {
    clock: Clock,
    table: Mutex<HashMap<Hash, Arc<Session>>>,
}

/// Somebody's session. Whatever works for it, a stream above all, stops when it [ends](Self::ended).
#[derive(Debug)]
pub struct Session {
    /// What names it in the audit and on the status page. It proves nothing.
    id: String,
    visitor: Mutex<Visitor>,
    began: Duration,
    times: Mutex<Times>,
    ended: CancellationToken,
}

/// Who a session's requests are made by.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    pub(super) person: Person,
    /// Cancelled with the session, and when the person may read something else from now on.
    pub(super) changed: CancellationToken,
}

#[derive(Clone, Copy, Debug)]
struct Times {
    used: Duration,
    checked: Duration,
}

/// The value of a new session's cookie, which nothing keeps.
pub type CookieValue = Zeroizing<String>;

impl Session {
    /// The session's public name, 16 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Who signed in, with what they may read now.
    pub fn person(&self) -> Person {
        self.visitor().person
    }

    pub(super) fn visitor(&self) -> Visitor {
        self.visitor.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts the person under other rules; what is being answered under the old ones ends. Nothing is
    /// changed where it is under these already. Whether they may still use the page.
    pub(super) fn put_under(&self, rules: &Rules) -> bool {
        let mut visitor = self.visitor.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(person) = visitor.person.under(rules) else { return false };
        if person.key() != visitor.person.key() {
            let changed = std::mem::replace(&mut visitor.changed, self.ended.child_token());
            visitor.person = person;
            changed.cancel();
        }
        true
    }

    /// Ends what works for it.
    fn finish(&self) {
        self.ended.cancel();
        self.visitor().person.end();
    }

    /// Becomes ready when the session is over. A stream selects on it.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        self.ended.clone().cancelled_owned()
    }

    /// Whether it is over.
    pub fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self, now: Duration) -> bool {
        self.has_ended()
            || now.saturating_sub(self.began) >= LONGEST
            || now.saturating_sub(self.times().used) >= IDLE
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Sessions {
    /// No sessions yet.
    pub fn new(clock: Clock) -> Self {
        Self { clock, table: Mutex::default() }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Hash, Arc<Session>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session of somebody who has just signed in. The value is new each time, so that no
    /// value from before the sign-in is worth anything after it.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn begin(&self, person: Person) -> Result<(Arc<Session>, CookieValue), getrandom::Error> {
        let name = person.name().to_owned();
        let value = secret::random()?;
        let id = secret::random()?[..16].to_owned();
        let now = self.clock.now();
        let ended = CancellationToken::new();
        let visitor = Visitor { person, changed: ended.child_token() };
        let session = Arc::new(Session {
            id,
            visitor: Mutex::new(visitor),
            began: now,
            times: Mutex::new(Times { used: now, checked: now }),
            ended,
        });
        let mut table = self.table();
        end_if(&mut table, |session| session.is_over(now));
        while table.len() >= MOST {
            end_first(&mut table, |_| true, |session| session.times().used);
        }
        let is_theirs = |other: &Session| other.person().name() == name;
        while table.values().filter(|other| is_theirs(other)).count() >= MOST_OF_PERSON {
            end_first(&mut table, is_theirs, |session| session.began);
        }
        table.insert(Hash::of(&value), Arc::clone(&session));
        Ok((session, value))
    }

    /// The living session of a cookie's value, and that counts as a use of it.
    pub fn find(&self, value: &str) -> Option<Arc<Session>> {
        let session = self.peek(value)?;
        session.times().used = self.clock.now();
        Some(session)
    }

    /// The same without counting as a use: for streams, and for pages that renew themselves.
    pub fn peek(&self, value: &str) -> Option<Arc<Session>> {
        let hash = Hash::of(value);
        let mut table = self.table();
        let session = table.get(&hash)?;
        if session.is_over(self.clock.now()) {
            end(&mut table, &hash);
            return None;
        }
        Some(Arc::clone(session))
    }

    /// The living session of a public name, which is no use of it.
    pub fn by_id(&self, id: &str) -> Option<Arc<Session>> {
        let now = self.clock.now();
        let table = self.table();
        let session = table.values().find(|session| session.id == id)?;
        (!session.is_over(now)).then(|| Arc::clone(session))
    }

    /// Ends the session of a cookie's value, and its streams.
    pub fn end(&self, value: &str) {
        end(&mut self.table(), &Hash::of(value));
    }

    /// Ends a session by its public name, for the status page. Whether there was one.
    pub fn end_by_id(&self, id: &str) -> bool {
        end_if(&mut self.table(), |session| session.id == id) > 0
    }

    /// Ends every session of a person, whose account was disabled. How many there were.
    pub fn end_all_of(&self, name: &str) -> usize {
        end_if(&mut self.table(), |session| session.person().name() == name)
    }

    /// Ends every session, when the program stops.
    pub fn end_all(&self) {
        end_if(&mut self.table(), |_| true);
    }

    /// Puts every session under other rules; those of people whom these don't let in end.
    pub(super) fn put_under(&self, rules: &Rules) {
        end_if(&mut self.table(), |session| !session.put_under(rules));
    }

    /// Ends what is over. To be called every few seconds: a stream has no requests that would.
    pub fn sweep(&self) {
        let now = self.clock.now();
        end_if(&mut self.table(), |session| session.is_over(now));
    }

    /// The sessions whose accounts are to be asked about again, each once in [`ACCOUNT_CHECK`].
    pub fn due_for_check(&self) -> Vec<Arc<Session>> {
        let now = self.clock.now();
        let is_due = |session: &&Arc<Session>| {
            let mut times = session.times();
            let is_due = now.saturating_sub(times.checked) >= ACCOUNT_CHECK;
            if is_due {
                times.checked = now;
            }
            is_due
        };
        self.table().values().filter(is_due).cloned().collect()
    }

    /// The living sessions with how long ago each began and was used, oldest first.
    pub fn list(&self) -> Vec<(Arc<Session>, Duration, Duration)> {
        self.sweep();
        let now = self.clock.now();
        let table = self.table();
        let mut sessions: Vec<_> = table.values().cloned().collect();
        sessions.sort_by_key(|session| session.began);
        let ago = |session: Arc<Session>| {
            let used = now.saturating_sub(session.times().used);
            let began = now.saturating_sub(session.began);
            (session, began, used)
        };
        sessions.into_iter().map(ago).collect()
    }
}

fn end(table: &mut HashMap<Hash, Arc<Session>>, hash: &Hash) {
    if let Some(session) = table.remove(hash) {
        session.finish();
    }
}

fn end_if(table: &mut HashMap<Hash, Arc<Session>>, is_over: impl Fn(&Session) -> bool) -> usize {
    let before = table.len();
    table.retain(|_, session| {
        let over = is_over(session);
        if over {
            session.finish();
        }
        !over
    });
    before - table.len()
}

/// Ends the one of some sessions that comes first by a time.
fn end_first(
    table: &mut HashMap<Hash, Arc<Session>>,
    among: impl Fn(&Session) -> bool,
    by: impl Fn(&Session) -> Duration,
) {
    let first = table.iter().filter(|(_, session)| among(session)).min_by_key(|(_, s)| by(s));
    if let Some(hash) = first.map(|(hash, _)| *hash) {
        end(table, &hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn sessions() -> (Sessions, Clock) {
        let clock = Clock::manual();
        (Sessions::new(clock.clone()), clock)
    }

    fn person(name: &str) -> Person {
        Person::owner(name)
    }

    #[test]
    fn a_session_that_is_used_lives_for_twelve_hours_and_no_longer() {
        let (sessions, clock) = sessions();
        let (session, value) = sessions.begin(person("ann")).expect("randomness");
        for _ in 0..(12 * 60 / 59) {
            clock.advance(59 * MINUTE);
            assert!(sessions.find(&value).is_some());
        }
        // 708 minutes have gone by; used or not, it ends at 720.
        clock.advance(12 * MINUTE - Duration::from_millis(1));
        assert!(sessions.find(&value).is_some());
        clock.advance(Duration::from_millis(1));
        assert!(sessions.find(&value).is_none());
        assert!(session.has_ended());
    }

    #[test]
    fn a_session_that_is_not_used_ends_after_an_hour_and_a_stream_is_no_use() {
        let (sessions, clock) = sessions();
        let (session, value) = sessions.begin(person("ann")).expect("randomness");
        for _ in 0..59 {
            clock.advance(MINUTE);
            assert!(sessions.peek(&value).is_some());
        }
        clock.advance(MINUTE);
        assert!(!session.has_ended());
        sessions.sweep();
        assert!(session.has_ended());
        assert!(sessions.find(&value).is_none());
    }

    #[tokio::test]
    async fn a_stream_hears_of_the_end_of_its_session() {
        let (sessions, _) = sessions();
        let (session, value) = sessions.begin(person("ann")).expect("randomness");
        let stream = tokio::spawn(session.ended());
        let (other, _) = sessions.begin(person("bob")).expect("randomness");
        sessions.end(&value);
        stream.await.expect("it ends");
        assert!(!other.has_ended());
        assert_eq!(sessions.end_all_of("bob"), 1);
        other.ended().await;
    }

    #[test]
    fn values_are_new_each_time_and_kept_as_hashes_only() {
        let (sessions, _) = sessions();
        let (_, one) = sessions.begin(person("ann")).expect("randomness");
        let (_, two) = sessions.begin(person("ann")).expect("randomness");
        assert_ne!(*one, *two);
        assert_eq!(one.len(), 64);
        let shown = format!("{sessions:?}");
        assert!(shown.contains("ann") && !shown.contains(&**one) && !shown.contains(&**two));
        assert!(sessions.find("").is_none());
        assert!(sessions.find(&Hash::of(&one).to_hex()).is_none());
    }

    #[test]
    fn one_person_has_so_many_sessions_and_the_oldest_makes_room() {
        let (sessions, clock) = sessions();
        let (first, _) = sessions.begin(person("ann")).expect("randomness");
        let (bob, _) = sessions.begin(person("bob")).expect("randomness");
        for _ in 1..MOST_OF_PERSON {
            clock.advance(Duration::from_secs(1));
            sessions.begin(person("ann")).expect("randomness");
        }
        assert!(!first.has_ended());
        sessions.begin(person("ann")).expect("randomness");
        assert!(first.has_ended() && !bob.has_ended());
        assert_eq!(sessions.list().len(), MOST_OF_PERSON + 1);
        assert!(sessions.end_by_id(bob.id()) && !sessions.end_by_id(bob.id()));
    }

    #[test]
    fn there_is_a_bound_on_all_sessions() {
        let (sessions, clock) = sessions();
        let (first, _) = sessions.begin(person("first")).expect("randomness");
        for number in 1..=MOST {
            clock.advance(Duration::from_millis(1));
            sessions.begin(person(&number.to_string())).expect("randomness");
        }
        assert!(first.has_ended());
        assert_eq!(sessions.table().len(), MOST);
    }

    #[test]
    fn accounts_are_asked_about_every_quarter_of_an_hour() {
        let (sessions, clock) = sessions();
        let (session, _) = sessions.begin(person("ann")).expect("randomness");
        clock.advance(15 * MINUTE - Duration::from_millis(1));
        assert!(sessions.due_for_check().is_empty());
        clock.advance(Duration::from_millis(1));
        let due = sessions.due_for_check();
        assert!(due.len() == 1 && Arc::ptr_eq(&due[0], &session));
        assert!(sessions.due_for_check().is_empty());
    }
}
