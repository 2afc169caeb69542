//! What a fleet is made of.

use std::sync::Arc;

use quarry_cred::Account;
use quarry_event::filter::Glob;
use quarry_eventlog::{BoxFuture, EventLog, LogError};
use quarry_rpc::tickets::Tickets;

use crate::failure::{Failure, Listener};
use crate::protocol::Protocol;

/// Something that can be opened as an event log, perhaps several times: a lost connection is made
/// again.
pub trait Source: Send + Sync {
    /// What the user calls it.
    fn name(&self) -> &str;

    /// Its name in an event's identity, once it is open.
    fn address(&self) -> &str;

    /// Who signs in there.
    fn account(&self) -> Option<&Account> {
        None
    }

    /// What listens on a port of it that could not be connected to: errors have other remedies at
    /// one than at another.
    fn listener(&self, _: u16) -> Listener {
        Listener::EventLog
    }

    /// The logs to read of it, where nobody asks for others.
    fn logs(&self) -> &[Glob] {
        &[]
    }

    /// Whether it is the machine that this runs on.
    fn is_this_machine(&self) -> bool {
        false
    }

    /// What is spoken with it, once it is open and where that can be said.
    fn protocol(&self) -> Option<Protocol> {
        None
    }

    /// Why it isn't read in the way in which that is tried first.
    fn passed_over(&self) -> Option<Failure> {
        None
    }

    /// Whether there is another way to read it after this error, before a record has come. It is
    /// opened in that way from then on.
    fn falls_back(&self, _: &LogError) -> bool {
        false
    }

    /// Gets what opening it needs of others than itself, such as Kerberos' tickets. Only so many
    /// sources are opened at once, and this isn't to keep the others waiting.
    fn prepare(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Called before another attempt, after its credential was refused and a pause of minutes: where
    /// the credential had been accepted before, an attempt may pass again.
    fn reconsider_credential(&self) {}

    /// The same, opened with the tickets of whoever asks, where it is one that is asked as them;
    /// otherwise nothing.
    fn of_person(&self, _: &Tickets) -> Option<Arc<dyn Source>> {
        None
    }

    /// Whether it is opened with the tickets of whoever asks.
    fn is_of_persons(&self) -> bool {
        false
    }

    /// Opens it.
    ///
    /// # Errors
    /// The log or the server can't be reached, refuses, or isn't what it was said to be.
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn EventLog>, LogError>>;
}
