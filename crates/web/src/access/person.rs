//! Who asks, and what they may read.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use quarry_fleet::Tickets;

use super::accounts::{LoggedOn, Logon};
use super::rules::{Right, Rules, Scope};
use crate::problem::Problem;

/// The number of the next session with tickets.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Who asks. Clones are one and the same person.
#[derive(Clone, Debug)]
pub struct Person(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    key: String,
    scope: Scope,
    may_audit: bool,
    /// What the scope comes from; nothing for who started the program.
    member: Option<Member>,
}

/// Somebody who signed in.
#[derive(Clone, Debug)]
struct Member {
    groups: Vec<String>,
    is_administrator: bool,
    logon: Option<Arc<dyn Logon>>,
    tickets: Option<SessionTickets>,
    /// Which of the gate's rules the scope comes from.
    rules: u64,
}

/// The tickets that servers are asked with as somebody, and a number that no other session has.
#[derive(Clone, Debug)]
pub(crate) struct SessionTickets {
    pub(crate) number: u64,
    pub(crate) tickets: Tickets,
}

impl Person {
    /// Who started the program, and may read whatever it can.
    pub fn owner(name: impl Into<String>) -> Self {
        let (name, scope) = (name.into(), Scope::everything());
        Self(Arc::new(Inner { key: name.clone(), name, scope, may_audit: true, member: None }))
    }

    /// Somebody who signed in, with what the rules allow. Files are opened as them, by the logon;
    /// without one no file is.
    pub fn member(
        name: impl Into<String>,
        groups: Vec<String>,
        rules: &Rules,
        logon: Option<Arc<dyn Logon>>,
    ) -> Self {
        let member =
            Member { groups, is_administrator: false, logon, tickets: None, rules: rules.number() };
        let scope = rules.scope(&member.groups);
        let may_audit = rules.has_right(&member.groups, Right::Audit);
        Self::new(name.into(), scope, may_audit, member)
    }

    /// Somebody whose password was right, if the rules let them in. Without any rules, who administers
    /// this machine reads everything, files as themselves.
    pub(super) fn of_logon(logged_on: LoggedOn, rules: &Rules) -> Option<Self> {
        let LoggedOn { user, groups, is_administrator, logon, tickets } = logged_on;
        let tickets = tickets.map(|tickets| SessionTickets {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            tickets,
        });
        let logon = Some(logon);
        Self::ruled(user, Member { groups, is_administrator, logon, tickets, rules: 0 }, rules)
    }

    /// The same person under other rules; nothing where these don't let them in. Who started the
    /// program is under none.
    pub(super) fn under(&self, rules: &Rules) -> Option<Self> {
        match &self.0.member {
            None => Some(self.clone()),
            Some(member) if member.rules == rules.number() => Some(self.clone()),
            Some(member) => Self::ruled(self.0.name.clone(), member.clone(), rules),
        }
    }

    fn ruled(name: String, mut member: Member, rules: &Rules) -> Option<Self> {
        if !rules.may_sign_in(&member.groups, member.is_administrator) {
            return None;
        }
        member.rules = rules.number();
        let (scope, may_audit) = match rules.are_there() {
            true => (rules.scope(&member.groups), rules.has_right(&member.groups, Right::Audit)),
            false => (Scope::everything(), true),
        };
        Some(Self::new(name, scope, may_audit, member))
    }

    fn new(name: String, scope: Scope, may_audit: bool, member: Member) -> Self {
        // Groups and rules decide what may be read, and tickets what servers say. No name has a NUL.
        let Member { groups, tickets, rules, .. } = &member;
        let session = tickets.as_ref().map_or(0, |tickets| tickets.number);
        let key = format!("{name}\0{}\0{session} {rules}", groups.join("\0"));
        Self(Arc::new(Inner { name, key, scope, may_audit, member: Some(member) }))
    }

    /// The name, as it is shown.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What tells this person, and what they may read, from others: what was found for one is
    /// another's only under the same key.
    pub fn key(&self) -> &str {
        &self.0.key
    }

    /// Anybody with these rights, for what is read as the program and shown to all who have them: it
    /// keeps nobody's logon and no tickets.
    pub(crate) fn anybody_alike(&self) -> Person {
        let Inner { scope, may_audit, member, .. } = &*self.0;
        let rules = member.as_ref().map_or(0, |member| member.rules);
        let key = match scope.is_everything() {
            true => "\0everything".to_owned(),
            false => format!("\0rules\0{rules}\0{}", scope.rules().join("\0")),
        };
        let (name, scope, may_audit) = (String::new(), scope.clone(), *may_audit);
        Self(Arc::new(Inner { name, key, scope, may_audit, member: None }))
    }

    /// What this person may read.
    pub fn scope(&self) -> &Scope {
        &self.0.scope
    }

    /// Whether this person may read events of a log: `log` is where they were read, `channel` what
    /// they say of themselves, which differ in files and in forwarded events.
    pub fn may_read(&self, source: &str, log: &str, channel: &str) -> bool {
        self.0.scope.has_event(source, log, Some(channel))
    }

    /// Whether this person may read who read what.
    pub fn may_audit(&self) -> bool {
        self.0.may_audit
    }

    /// Opens a file or folder for reading as this person: the system decides whether they may.
    ///
    /// # Errors
    /// What the system says to them. [`PermissionDenied`](io::ErrorKind::PermissionDenied) for
    /// somebody who isn't logged on here.
    pub async fn open(&self, path: &Path) -> io::Result<File> {
        match self.logon() {
            Some(logon) => logon.open(path).await,
            None if self.0.scope.is_everything() => {
                let path = path.to_owned();
                let opened = tokio::task::spawn_blocking(move || File::open(path)).await;
                opened.map_err(io::Error::other)?
            }
            None => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    /// Whether files are opened as the program is, since this is who started it.
    pub(crate) fn opens_as_program(&self) -> bool {
        self.logon().is_none() && self.0.scope.is_everything()
    }

    /// What servers are asked with as this person, where any is.
    pub(crate) fn tickets(&self) -> Option<&SessionTickets> {
        self.0.member.as_ref()?.tickets.as_ref()
    }

    /// The session is over: nothing is asked as this person any more.
    pub(super) fn end(&self) {
        if let Some(tickets) = self.tickets() {
            tickets.tickets.end();
        }
    }

    pub(super) fn groups(&self) -> &[String] {
        self.0.member.as_ref().map_or(&[], |member| &member.groups)
    }

    /// Whether it is an account of the system, rather than who started the program.
    pub(super) fn is_account(&self) -> bool {
        self.0.member.is_some()
    }

    pub(super) fn logon(&self) -> Option<&Arc<dyn Logon>> {
        self.0.member.as_ref()?.logon.as_ref()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Person>().cloned().ok_or_else(Problem::not_signed_in)
    }
}
