//! What the demo's events come to: read once more, and counted.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use quarry_collect::{Delivery, FleetInput, Found, Next, Output, Pipeline, Selection, Sink, Work};
use quarry_even::ConnectOptions;
use quarry_event::filter::{Filter, Glob, Ids};
use quarry_event::{EventTime, Field, FieldSource};
use quarry_eventlog::Direction;
use quarry_fleet::{Options, Server};
use quarry_program::demo::failed;
use quarry_sim::Sim;
use tokio::runtime::Handle;

use crate::error::Failure;

const HOURS: Duration = Duration::from_secs(8 * 3600);

/// What happened most, in sentences.
pub(super) fn of(sim: &Sim, runtime: &Handle) -> Result<Vec<String>, Failure> {
    let now = EventTime::from_timestamp(jiff::Timestamp::now());
    let since = now.as_filetime().saturating_sub((HOURS.as_nanos() / 100) as u64);
    let filter = Filter {
        ids: Some(Ids::parse("7031,4625").map_err(|e| failed(&e))?),
        since: Some(EventTime::from_filetime(since)),
        ..Filter::default()
    };
    let logs = ["System", "Security"].map(Glob::parse);
    let logs = logs.into_iter().collect::<Result<Vec<_>, _>>().map_err(|e| failed(&e))?;
    let selection = Arc::new(Selection::new(logs, filter, now).map_err(|e| failed(&e))?);
    let input = |server: &quarry_sim::SimServer| {
        let (address, credential) = (server.address().to_string(), sim.credential().clone());
        let mut connect = ConnectOptions::new(address, credential);
        connect.mapper_port = server.mapper_port();
        let server = Server::new(server.name(), connect);
        FleetInput::server(Arc::new(server), Arc::clone(&selection))
    };
    let servers = sim.servers().iter().map(input).collect();
    // The one that dies is tried again as often as before, and needs no pause.
    let options = Options::default().first_pause(Duration::from_millis(1));
    let mut tally = Tally::default();
    let pipeline = Pipeline::scan(Vec::new()).and_servers(runtime, servers, options);
    // As they were shown, so that as much comes of the one that dies.
    let pipeline = pipeline.direction(Direction::Backward);
    let (_, Ok(())) = pipeline.run(&Facts, &mut tally, None) else {
        return Err(failed(&"they can't be counted"));
    };
    Ok(tally.sentences())
}

/// A fact of an event: what kind, what about, where.
type Fact = (u64, String, String);

/// Takes the facts of events.
struct Facts;

#[derive(Default)]
struct Told(Vec<Fact>);

impl Work for Facts {
    type Worker = ();
    type Output = Told;

    fn worker(&self) {}

    fn event<S: FieldSource>(&self, (): &mut (), event: &S, found: &Found<'_>, output: &mut Told) {
        let id = event.field(Field::EventId).as_u64().unwrap_or(0);
        let value = |wanted: &str| {
            let mut text = String::new();
            let _ = event.each_data(|name, value| match name {
                Some(name) if name.as_str() == wanted => {
                    text = value.to_string();
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            });
            text
        };
        let (what, place) = match id {
            7031 => (value("param1"), found.origin.host.unwrap_or_default().to_owned()),
            _ => (value("TargetUserName"), value("IpAddress")),
        };
        output.0.push((id, what, place));
    }
}

impl Output for Told {
    fn bytes(&self) -> usize {
        self.0.iter().map(|(_, what, place)| size_of::<Fact>() + what.len() + place.len()).sum()
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    fn truncate(&mut self, events: u64) {
        self.0.truncate(usize::try_from(events).unwrap_or(usize::MAX));
    }
}

/// How often each thing happened, and in how many places.
#[derive(Default)]
struct Tally(BTreeMap<(u64, String), (u64, BTreeSet<String>)>);

impl Sink for Tally {
    type Output = Told;
    type Error = Infallible;

    fn take(&mut self, delivery: &mut Delivery<Told>) -> Result<Next, Infallible> {
        for (id, what, place) in delivery.output.0.drain(..) {
            let (times, places) = self.0.entry((id, what)).or_default();
            *times += 1;
            places.insert(place);
        }
        Ok(Next::Go)
    }
}

impl Tally {
    fn sentences(&self) -> Vec<String> {
        let most = |id: u64| {
            let of_kind = self.0.iter().filter(|((kind, _), _)| *kind == id);
            of_kind.max_by_key(|(_, (times, _))| *times)
        };
        let counted = |count: usize, one: &str, many: &str| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {many}"),
        };
        let service = most(7031).map(|((_, service), (times, servers))| {
            let servers = counted(servers.len(), "server", "servers");
            format!("{service} ended unexpectedly {times} times on {servers}")
        });
        let user = most(4625).map(|((_, user), (times, addresses))| {
            let addresses = counted(addresses.len(), "address", "addresses");
            format!("and user {user} failed to log on {times} times from {addresses}.")
        });
        service.into_iter().chain(user).collect()
    }
}
