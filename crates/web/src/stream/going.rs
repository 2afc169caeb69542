//! Questions whose page was sent while servers were still asked. The page's stream goes on with such a
//! question, so that no server is asked twice for one page.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::access::{Person, Question};
use crate::sources::{Search, State, Wanted};
use crate::view::Place;

/// How long a page's stream is waited for. Without scripts, none comes.
const WAIT: Duration = Duration::from_secs(2);

/// A question that is still being answered.
#[derive(Debug)]
pub(crate) struct Going {
    pub(crate) search: Arc<Search>,
    pub(crate) question: Question,
    pub(crate) wanted: Wanted,
    /// The rows that the page has, in its order.
    pub(crate) shown: Vec<Place>,
}

impl Going {
    /// Ends it as it stands.
    pub(crate) fn end(self) {
        let outcome = self.search.look(State::outcome);
        self.question.end(outcome);
    }
}

/// The questions whose streams are waited for.
#[derive(Debug, Default)]
pub(crate) struct Goings(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    last: u64,
    /// Each with what tells its person from others.
    questions: HashMap<u64, (String, Going)>,
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Goings {
    /// A number for a page's question.
    pub(crate) fn number(&self) -> u64 {
        let mut waiting = lock(&self.0);
        waiting.last += 1;
        waiting.last
    }

    /// Keeps a question until its stream comes; not for long.
    pub(crate) fn keep(&self, number: u64, person: &Person, going: Going) {
        lock(&self.0).questions.insert(number, (person.key().to_owned(), going));
        let waiting = Arc::clone(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep(WAIT).await;
            let unclaimed = lock(&waiting).questions.remove(&number);
            if let Some((_, going)) = unclaimed {
                going.end();
            }
        });
    }

    /// The question of a number, for the person whose it is.
    pub(crate) fn take(&self, number: u64, person: &Person) -> Option<Going> {
        let mut waiting = lock(&self.0);
        let (owner, _) = waiting.questions.get(&number)?;
        if owner != person.key() {
            return None;
        }
        waiting.questions.remove(&number).map(|(_, going)| going)
    }

    /// Ends what a person has left: they look at another page.
    pub(crate) fn leave(&self, person: &Person) {
        let mut waiting = lock(&self.0);
        let left = waiting.questions.extract_if(|_, (owner, _)| owner == person.key());
        let left: Vec<Going> = left.map(|(_, (_, going))| going).collect();
        drop(waiting);
        left.into_iter().for_each(Going::end);
    }
}
