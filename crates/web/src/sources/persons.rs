//! Servers that are asked as whoever asks, with the tickets that they got by signing in: what a server
//! shows one person, and whether it lets them in at all, is nothing to another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use quarry_fleet::{KerberosError, Options, Tickets};
use tokio::sync::watch;

use super::health::Health;
use super::search::Feed;
use super::servers::{Remedy, ServerSpec, Servers};
use super::{Asked, Backend, SourceInfo, Sources};
use crate::access::Person;
use crate::stream::hub::Hub;

impl Sources {
    /// With servers, too, each asked as it is to be: by the program, or as whoever asks.
    #[must_use]
    pub fn with_servers(
        self,
        servers: Vec<ServerSpec>,
        options: Options,
        runtime: &tokio::runtime::Handle,
        remedy: Remedy,
    ) -> Self {
        let (persons, own): (Vec<_>, Vec<_>) =
            servers.into_iter().partition(|server| server.source.is_of_persons());
        let mut sources = self;
        if !own.is_empty() {
            let own = Servers::new(own, options.clone(), runtime.clone(), Arc::clone(&remedy));
            sources = sources.with(Arc::new(own));
        }
        if !persons.is_empty() {
            let persons = OfPersons::new(persons, options, runtime.clone(), remedy);
            sources = sources.with(Arc::new(persons));
        }
        sources
    }
}

/// Servers that are asked as whoever asks.
pub(super) struct OfPersons {
    specs: Vec<ServerSpec>,
    infos: Vec<SourceInfo>,
    options: Options,
    runtime: tokio::runtime::Handle,
    remedy: Remedy,
    /// The servers as the sessions ask them, by the numbers of these.
    sessions: Mutex<HashMap<u64, OfSession>>,
}

struct OfSession {
    tickets: Tickets,
    servers: Arc<Servers>,
}

impl OfPersons {
    pub(super) fn new(
        specs: Vec<ServerSpec>,
        options: Options,
        runtime: tokio::runtime::Handle,
        remedy: Remedy,
    ) -> Self {
        let infos = specs.iter().map(ServerSpec::info).collect();
        OfPersons { specs, infos, options, runtime, remedy, sessions: Mutex::default() }
    }

    /// The servers as a person asks them.
    fn of(&self, person: &Person) -> Arc<Servers> {
        let Some(session) = person.tickets() else {
            // It wasn't foreseen that this page has servers that are asked so.
            return self.asked_with(&Tickets::none(KerberosError::NoSessionTicket {
                account: person.name().to_owned(),
                why: "this page gets none".to_owned(),
            }));
        };
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, of| !of.tickets.has_ended());
        if let Some(of) = sessions.get(&session.number) {
            return Arc::clone(&of.servers);
        }
        let servers = self.asked_with(&session.tickets);
        if !session.tickets.has_ended() {
            let of = OfSession { tickets: session.tickets.clone(), servers: Arc::clone(&servers) };
            sessions.insert(session.number, of);
        }
        servers
    }

    fn asked_with(&self, tickets: &Tickets) -> Arc<Servers> {
        let of_person = |spec: &ServerSpec| {
            let source = spec.source.of_person(tickets);
            ServerSpec {
                source: source.unwrap_or_else(|| Arc::clone(&spec.source)),
                ..spec.clone()
            }
        };
        let specs = self.specs.iter().map(of_person).collect();
        let (options, runtime) = (self.options.clone(), self.runtime.clone());
        Arc::new(Servers::new(specs, options, runtime, Arc::clone(&self.remedy)))
    }
}

impl Backend for OfPersons {
    fn is_stored(&self) -> bool {
        false
    }

    fn sources(&self) -> &[SourceInfo] {
        &self.infos
    }

    fn reads_as_person(&self) -> bool {
        true
    }

    fn answer(&self, asked: Asked, sources: Vec<usize>, feed: Feed) {
        self.of(&asked.question.person).answer(asked, sources, feed);
    }

    fn follow(&self, asked: Asked, sources: Vec<usize>, hub: Arc<Hub>) -> bool {
        self.of(&asked.question.person).follow(asked, sources, hub)
    }

    fn state(&self) -> Option<u64> {
        None
    }

    fn health(&self, person: &Person) -> Vec<Health> {
        self.of(person).health(person)
    }

    fn survey(&self, person: &Person) -> watch::Receiver<u64> {
        self.of(person).survey(person)
    }
}
