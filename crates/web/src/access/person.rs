//! Who asks, and what they may read.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::accounts::Logon;
use super::rules::{Right, Rules, Scope};
use crate::problem::Problem;

/// Who asks. Clones are one and the same person.
#[derive(Clone, Debug)]
pub struct Person(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    key: String,
    scope: Scope,
    may_audit: bool,
    /// The groups that the scope comes from.
    groups: Vec<String>,
    logon: Option<Arc<dyn Logon>>,
}

impl Person {
    /// Who started the program, and may read whatever it can.
    pub fn owner(name: impl Into<String>) -> Self {
        Self::new(name.into(), Scope::everything(), true, Vec::new(), None)
    }

    /// Somebody who signed in, with what the rules allow. Files are opened as them, by the logon;
    /// without one no file is.
    pub fn member(
        name: impl Into<String>,
        groups: Vec<String>,
        rules: &Rules,
        logon: Option<Arc<dyn Logon>>,
    ) -> Self {
        let (scope, may_audit) = (rules.scope(&groups), rules.has_right(&groups, Right::Audit));
        Self::new(name.into(), scope, may_audit, groups, logon)
    }

    /// Who administers this machine, where no rules say who else may read: everything, files as
    /// themselves.
    pub(super) fn administrator(
        name: impl Into<String>,
        groups: Vec<String>,
        logon: Option<Arc<dyn Logon>>,
    ) -> Self {
        Self::new(name.into(), Scope::everything(), true, groups, logon)
    }

    fn new(
        name: String,
        scope: Scope,
        may_audit: bool,
        groups: Vec<String>,
        logon: Option<Arc<dyn Logon>>,
    ) -> Self {
        // Groups decide what the rules allow, and no name has a NUL.
        let key = format!("{name}\0{}", groups.join("\0"));
        Self(Arc::new(Inner { name, key, scope, may_audit, groups, logon }))
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
        match &self.0.logon {
            Some(logon) => logon.open(path).await,
            None if self.0.scope.is_everything() => {
                let path = path.to_owned();
                let opened = tokio::task::spawn_blocking(move || File::open(path)).await;
                opened.map_err(io::Error::other)?
            }
            None => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    pub(super) fn groups(&self) -> &[String] {
        &self.0.groups
    }

    pub(super) fn logon(&self) -> Option<&Arc<dyn Logon>> {
        self.0.logon.as_ref()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Person>().cloned().ok_or_else(Problem::not_signed_in)
    }
}
