//! Answers that stay right while nobody writes, kept for the session in bounded memory.

use std::sync::{Arc, Mutex, PoisonError};

use super::search::Search;

/// The most answers that are kept. Each has 500 rows and its counts at most.
const MOST: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Vec<(String, Arc<Search>)>>);

impl Cache {
    /// An answer by what tells it from others, the one that is kept or a new one.
    pub(super) fn get_or(&self, key: &str, begin: impl FnOnce() -> Arc<Search>) -> Arc<Search> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What was stopped is no answer for others.
        kept.retain(|(_, search)| !search.look(|state| state.is_stopped));
        if let Some(at) = kept.iter().position(|(known, _)| known == key) {
            let entry = kept.remove(at);
            let search = Arc::clone(&entry.1);
            kept.push(entry);
            return search;
        }
        let search = begin();
        kept.push((key.to_owned(), Arc::clone(&search)));
        if kept.len() > MOST {
            kept.remove(0);
        }
        search
    }
}
