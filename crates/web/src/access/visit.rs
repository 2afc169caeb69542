//! A request that was let in: who makes it, from where, and the audit that its answer goes through.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use jiff::{SignedDuration, Timestamp};
use zeroize::Zeroizing;

use super::Person;
use super::audit::{Act, Audit, Begun, Entry};
use super::limits::{Each, Place};
use super::origin::Arrival;
use super::running::{Hits, Listed, Running};
use super::secret::Hash;
use super::session::{Session, Sessions};
use super::token::{ApiToken, ApiTokens};
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
    pub(super) running: Arc<Running>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) tokens: Arc<ApiTokens>,
    /// What the page is called by who asks, as `https://logs.corp:8443`.
    pub(super) origin: String,
}

/// A question that is being answered: it is in the audit, and one of a person's few. Dropping it
/// says that the answer was broken off.
#[derive(Debug)]
pub struct Question {
    begun: Begun,
    listed: Listed,
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

    /// What is being answered now.
    pub(crate) fn running(&self) -> &Running {
        &self.running
    }

    /// Who is signed in.
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The page's address as who asks calls it.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// The tokens of who asks that programs may use, by their hashes.
    pub(crate) fn tokens(&self) -> Vec<(String, ApiToken)> {
        let of_person = self.tokens.of(self.person.name());
        of_person.into_iter().map(|(hash, token)| (hash.to_hex(), token)).collect()
    }

    /// Makes a token for programs. That of an account reads what the account may, and ends with its session.
    ///
    /// # Errors
    /// 400 where it isn't made; 503 where the audit can't be written.
    pub(crate) async fn make_token(
        &self,
        name: &str,
        days: u32,
    ) -> Result<Zeroizing<String>, Problem> {
        self.note(Act::Token, &format!("make {name}")).await?;
        let (made, is_account) = (Timestamp::now(), self.person.is_account());
        let token = ApiToken {
            name: name.to_owned(),
            person: self.person.name().to_owned(),
            session: self.session.as_ref().filter(|_| is_account).map(|s| s.id().to_owned()),
            made,
            ends: made + SignedDuration::from_hours(24 * i64::from(days)),
        };
        self.tokens.make(token).map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, "no token was made", error.to_string())
        })
    }

    /// Revokes a token of who asks. Whether there was one.
    ///
    /// # Errors
    /// 503 where the audit can't be written.
    pub(crate) async fn revoke_token(&self, hash: &str) -> Result<bool, Problem> {
        let tokens = self.tokens();
        let token = tokens.iter().find(|(other, _)| other == hash);
        let Some((Some(hash), token)) = token.map(|(hash, token)| (Hash::from_hex(hash), token))
        else {
            return Ok(false);
        };
        self.note(Act::Token, &format!("revoke {}", token.name)).await?;
        Ok(self.tokens.revoke(self.person.name(), hash))
    }

    async fn note(&self, act: Act, words: &str) -> Result<(), Problem> {
        let noted = self.audit.note(self.entry(act, words, &[])).await;
        noted.map_err(|error| {
            Hits::add(&self.running.hits.audit);
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the audit fails", error.to_string())
        })
    }

    fn entry<'a>(&'a self, act: Act, words: &'a str, servers: &'a [&'a str]) -> Entry<'a> {
        Entry {
            act,
            person: self.person.name(),
            session: self.session.as_ref().map(|session| session.id()),
            address: self.address,
            words,
            servers,
        }
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
            Hits::add(&self.running.hits.questions);
            let detail = format!("{} {what}", each.most());
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many questions", detail)
        })?;
        let entry = self.entry(act, words, servers);
        let listed = self.running.begin(self.person.name(), act, words);
        let begun = self.audit.begin(entry).await.map_err(|error| {
            Hits::add(&self.running.hits.audit);
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the audit fails", error.to_string())
        })?;
        Ok(Question { begun, listed, _place: place })
    }
}

impl Question {
    /// Counts rows as they are sent.
    pub fn sent(&self, rows: u64) {
        self.begun.sent(rows);
    }

    /// Becomes ready when somebody stops it.
    pub(crate) async fn stopped(&self) {
        self.listed.stopped().await;
    }

    /// What ends the asking when somebody stops it.
    pub(crate) fn when_stopped(&self, stop: impl Fn() + Send + 'static) {
        self.listed.when_stopped(stop);
    }

    /// Waits until it may ask servers, and is told its place among those that wait.
    pub(crate) async fn turn(&self, tell: impl FnMut(usize) + Send) {
        self.listed.turn(tell).await;
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
