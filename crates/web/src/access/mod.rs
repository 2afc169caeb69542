//! Who asks, and what they may read.
//!
//! Everything that reads events takes a [`Person`]. A request has one once it was let in; one that
//! has none is answered 401 by the extractor, so that a route can't forget to ask.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::problem::Problem;

/// Who asks. Clones are one and the same person.
#[derive(Clone, Debug)]
pub struct Person(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
}

impl Person {
    /// Who started the program, and may read whatever it can.
    pub fn owner(name: impl Into<String>) -> Self {
        Person(Arc::new(Inner { name: name.into() }))
    }

    /// The name, as it is shown.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether this person may read events of a log: `log` is where they were read, `channel` what
    /// they say of themselves, which differ in files and in forwarded events.
    pub fn may_read(&self, source: &str, log: &str, channel: &str) -> bool {
        // Nobody but the owner can be made.
        let _ = (source, log, channel);
        true
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Person>().cloned().ok_or_else(Problem::not_signed_in)
    }
}
