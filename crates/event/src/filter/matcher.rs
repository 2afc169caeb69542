//! The test of a filter on an event.

use super::Filter;
use crate::{EventTime, FieldSource};

/// Tests events for a filter. It has room of its own to work in, so that testing doesn't
/// allocate: clone it for another thread.
#[derive(Clone)]
pub struct Matcher {
    _filter: std::sync::Arc<Filter>,
}

/// What is known of an event before its message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It doesn't match, whatever its message.
    No,
    /// It matches if its message does: see [`Matcher::message_matches`].
    IfMessageMatches,
    /// It matches.
    Yes,
}

impl Matcher {
    pub(super) fn new(_filter: &Filter, _now: EventTime) -> Self {
        unimplemented!()
    }

    /// Whether an event matches. Without a message, `grep` looks at the event's values only.
    pub fn matches<S: FieldSource>(&mut self, source: &S, message: Option<&str>) -> bool {
        match self.verdict(source) {
            Verdict::No => false,
            Verdict::Yes => true,
            Verdict::IfMessageMatches => message.is_some_and(|text| self.message_matches(text)),
        }
    }

    /// What can be said of an event without its message, which is dear to get.
    pub fn verdict<S: FieldSource>(&mut self, _source: &S) -> Verdict {
        unimplemented!()
    }

    /// Whether a message has what `grep` asks for.
    pub fn message_matches(&self, _message: &str) -> bool {
        unimplemented!()
    }
}
