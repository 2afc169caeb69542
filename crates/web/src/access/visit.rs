//! A request that was let in: who makes it, from where, and the audit that its answer goes through.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::Person;
use super::audit::{Act, Audit, Begun, Entry};
use super::limits::{Each, Place};
use super::origin::Arrival;
use super::session::Session;
use crate::problem::Problem;

/// A request that was let in.
#[derive(Clone, Debug)]
pub struct Visit {
    pub(super) person: Person,
    pub(super) session: Option<Arc<Session>>,
    pub(super) address: Option<IpAddr>,
    pub(super) arrival: Arrival,
    pub(super) audit: Audit,
    pub(super) questions: Arc<Each<String>>,
    /// Tails last as long as their pages, and are counted apart.
    pub(super) tails: Arc<Each<String>>,
}

/// A question that is being answered: it is in the audit, and one of a person's few. Dropping it
/// says that the answer was broken off.
#[derive(Debug)]
pub struct Question {
    begun: Begun,
    _place: Place<String>,
}

impl Visit {
    /// Who makes it.
    pub fn person(&self) -> &Person {
        &self.person
    }

    /// The session, unless a program asks with a token. A stream ends with it.
    pub fn session(&self) -> Option<&Arc<Session>> {
        self.session.as_ref()
    }

    /// Who led the browser here. From another site, no server is asked without a button.
    pub fn arrival(&self) -> Arrival {
        self.arrival
    }

    /// The audit, for who may read it.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Begins a question. Nothing may be read before this is back.
    ///
    /// # Errors
    /// 429 where the person has as many questions as they may; 503 where the audit can't be written.
    pub async fn question(
        &self,
        act: Act,
        words: &str,
        servers: &[&str],
    ) -> Result<Question, Problem> {
        let (each, what) = match act {
            Act::Tail => (&self.tails, "tails of yours are open; close one of them"),
            _ => (&self.questions, "questions of yours are being answered; wait for one of them"),
        };
        let place = each.take(self.person.name().to_owned()).ok_or_else(|| {
            let detail = format!("{} {what}", each.most());
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many questions", detail)
        })?;
        let entry = Entry {
            act,
            person: self.person.name(),
            session: self.session.as_ref().map(|session| session.id()),
            address: self.address,
            words,
            servers,
        };
        let begun = self.audit.begin(entry).await.map_err(|error| {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the audit fails", error.to_string())
        })?;
        Ok(Question { begun, _place: place })
    }
}

impl Question {
    /// Counts rows as they are sent.
    pub fn sent(&self, rows: u64) {
        self.begun.sent(rows);
    }

    /// The answer has ended.
    pub fn end(self, outcome: super::audit::Outcome) {
        self.begun.end(outcome);
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Visit>().cloned().ok_or_else(Problem::not_signed_in)
    }
}
