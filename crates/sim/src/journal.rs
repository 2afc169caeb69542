//! What servers were asked for.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use quarry_even::Win32Error;

use crate::server::lock;

/// The most queries that are kept; the oldest go first.
pub const MAX_QUERIES: usize = 100_000;

/// A query or subscription that a client registered, or tried to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryEntry {
    /// The server's name.
    pub server: String,
    /// What it was for.
    pub kind: QueryKind,
    /// The channel that was named beside the query.
    pub path: Option<String>,
    /// The query as it came.
    pub query: String,
    /// The bookmark as it came.
    pub bookmark: Option<String>,
    /// The flags as they came: `QueryFlags` or `SubscribeFlags`.
    pub flags: u32,
    /// What the server answered.
    pub status: Win32Error,
}

/// What a query was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QueryKind {
    /// Events that are there.
    Query,
    /// Events to come, too.
    Subscription,
}

impl fmt::Display for QueryEntry {
    /// One line: control characters in what came are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            QueryKind::Query => "query",
            QueryKind::Subscription => "subscribe",
        };
        let path = self.path.as_deref().unwrap_or("-");
        write!(f, "{} {kind} ", self.server)?;
        plain(path, f)?;
        f.write_str(" ")?;
        plain(&self.query, f)?;
        write!(f, " flags={:#x}", self.flags)?;
        if let Some(bookmark) = &self.bookmark {
            f.write_str(" bookmark=")?;
            plain(bookmark, f)?;
        }
        if !self.status.is_success() {
            write!(f, ": {}", self.status)?;
        }
        Ok(())
    }
}

fn plain(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for c in text.chars() {
        match c {
            c if c.is_control() => write!(f, "{}", c.escape_default())?,
            c => write!(f, "{c}")?,
        }
    }
    Ok(())
}

/// Receives each query as it comes.
pub type OnQuery = Arc<dyn Fn(&QueryEntry) + Send + Sync>;

pub(crate) struct Journal {
    entries: Mutex<VecDeque<QueryEntry>>,
    on_query: Option<OnQuery>,
}

impl Journal {
    pub(crate) fn new(on_query: Option<OnQuery>) -> Self {
        Self { entries: Mutex::default(), on_query }
    }

    pub(crate) fn add(&self, entry: QueryEntry) {
        if let Some(on_query) = &self.on_query {
            on_query(&entry);
        }
        let mut entries = lock(&self.entries);
        if entries.len() >= MAX_QUERIES {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    pub(crate) fn entries(&self) -> Vec<QueryEntry> {
        lock(&self.entries).iter().cloned().collect()
    }
}
