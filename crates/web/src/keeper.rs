//! What a program that keeps events adds to the page: how it is itself, its numbers, and SQL.

use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::access::Person;

/// The most parts of an answer that wait for a slow reader.
pub const PARTS: usize = 8;

/// A program that keeps events.
pub trait Keeper: Send + Sync {
    /// How it is, for whoever restarts it otherwise. It says nothing that only some may know.
    fn health(&self) -> KeeperHealth;

    /// Adds its numbers in the text format of Prometheus; of servers, those alone that may be shown.
    fn metrics(&self, may_show: &dyn Fn(&str) -> bool, text: &mut String);

    /// Begins to answer a statement of SQL as a person. What they may not read is no part of it.
    ///
    /// # Errors
    /// The statement can't be understood, isn't allowed, or can't be answered now.
    fn query(
        &self,
        statement: String,
        format: String,
        person: Person,
    ) -> BoxFuture<'_, Result<SqlAnswer, SqlRefused>>;
}

/// How a program that keeps events is.
#[derive(Clone, Debug)]
pub struct KeeperHealth {
    /// Whether it does what it is there for.
    pub is_well: bool,
    /// More about it: members of the object that is answered.
    pub about: Value,
}

/// An answer in parts.
#[derive(Debug)]
pub struct SqlAnswer {
    /// What it is.
    pub media_type: &'static str,
    /// The parts, of which an error is the last; the connection breaks then, so that what came
    /// doesn't look whole. Dropping it ends the work.
    pub parts: mpsc::Receiver<Result<Vec<u8>, String>>,
}

/// Why a statement isn't answered.
#[derive(Clone, Debug)]
pub struct SqlRefused {
    /// Whether the statement is at fault, rather than the store.
    pub is_statement: bool,
    /// What is wrong.
    pub detail: String,
}
