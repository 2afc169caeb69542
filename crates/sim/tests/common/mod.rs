//! A simulation and clients of it.

#![allow(dead_code, reason = "each test uses its part")]

use std::time::Duration;

use quarry_binxml::Decoder;
use quarry_cred::{Credential, Secret};
use quarry_even::{
    ConnectOptions, EventClient, Next, QueryFlags, ResultSetRecord, wire::LogQueryHandle,
};
use quarry_event::{Event, Field};
use quarry_sim::{Fault, ServerOptions, Sim, SimOptions};

pub(crate) const FORWARD: QueryFlags = QueryFlags(0x101);
pub(crate) const REVERSE: QueryFlags = QueryFlags(0x201);
/// For what comes at once on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// For what never comes.
pub(crate) const SHORT: Duration = Duration::from_secs(1);

/// What to simulate, with 300 events in each log and few channels.
pub(crate) fn options(servers: Vec<ServerOptions>) -> SimOptions {
    let account = r"SIM\quarry".parse().unwrap();
    let password = Secret::new("Passw0rd!".to_owned()).unwrap();
    let mut options = SimOptions::new(servers, account, password);
    options.events = 300;
    options.empty_channels = 20;
    options
}

/// One server with some faults.
pub(crate) async fn fred(faults: &[Fault]) -> Sim {
    let server = ServerOptions { name: "fred".into(), faults: faults.into(), ..Default::default() };
    Sim::start(options(vec![server])).await.unwrap()
}

pub(crate) fn connect_options(sim: &Sim, server: &str) -> ConnectOptions {
    let server = sim.server(server).unwrap();
    let credential: Credential = sim.credential().clone();
    let mut options = ConnectOptions::new(server.address().to_string(), credential);
    options.mapper_port = server.mapper_port();
    options.timeouts.connect = PATIENCE;
    options.timeouts.silence = PATIENCE;
    options
}

pub(crate) async fn connect(sim: &Sim, server: &str) -> EventClient {
    EventClient::connect(&connect_options(sim, server)).await.unwrap()
}

/// A record as it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Got {
    pub(crate) number: u64,
    pub(crate) event: Event,
    pub(crate) subqueries: Vec<u32>,
    pub(crate) ids: Vec<u64>,
    pub(crate) size: usize,
}

impl Got {
    pub(crate) fn field(&self, field: Field) -> String {
        use quarry_event::FieldSource;
        self.event.field(field).to_string()
    }
}

pub(crate) fn records(batch: &quarry_even::wire::EventBatch) -> Vec<Got> {
    let mut decoder = Decoder::new();
    batch
        .records()
        .map(|bytes| {
            let record = ResultSetRecord::parse(bytes).unwrap();
            let event = decoder.event(record.binxml).unwrap();
            Got {
                number: record.position.record_id(),
                event: Event::from_source(&event),
                subqueries: record.subqueries.iter().collect(),
                ids: record.position.record_ids().collect(),
                size: record.binxml.len(),
            }
        })
        .collect()
}

/// Reads a query to its end.
pub(crate) async fn rest(client: &EventClient, query: LogQueryHandle, batch: u32) -> Vec<Got> {
    let mut all = Vec::new();
    loop {
        match client.query_next(query, batch, PATIENCE).await.unwrap() {
            Next::Events(events) | Next::TimedOut(events) => all.extend(records(&events)),
            Next::End => return all,
        }
    }
}

/// All that a query selects.
pub(crate) async fn read(
    client: &EventClient,
    path: &str,
    query: &str,
    flags: QueryFlags,
) -> Vec<Got> {
    let query = client.register_log_query(Some(path), query, flags).await.unwrap();
    rest(client, query.handle, 100).await
}

pub(crate) fn numbers(records: &[Got]) -> Vec<u64> {
    records.iter().map(|record| record.number).collect()
}
