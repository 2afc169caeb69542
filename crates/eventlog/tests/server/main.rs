//! A server's logs, against simulated servers: batches that are too large, records that are gone,
//! refusals, subscriptions. What is expected is what the simulation holds, by its numbers.

mod queries;
mod subscriptions;

use std::time::Duration;

use quarry_cred::Secret;
use quarry_even::ConnectOptions;
use quarry_event::{Event, EventTime, Field, FieldSource};
use quarry_eventlog::{
    BatchReader, Batches, Damage, Detail, Direction, Even6Log, EventLog, Hole, LogError, LogName,
    Query, ReadOptions, RecordId, Visitor,
};
use quarry_sim::{Fault, ServerOptions, Sim, SimOptions};

const SECOND: Duration = Duration::from_secs(1);
/// Events in each log of a server.
const EVENTS: u64 = 300;
const LOGS: [&str; 3] = ["System", "Security", "Application"];

/// One server with some faults, `kind[:number]`.
async fn fred(faults: &[&str]) -> Sim {
    fred_with(faults, EVENTS).await
}

async fn fred_with(faults: &[&str], events: u64) -> Sim {
    let faults = faults.iter().map(|fault| fault.parse::<Fault>().unwrap()).collect();
    let server = ServerOptions { name: "fred".into(), faults, ..Default::default() };
    let password = Secret::new("Passw0rd!".to_owned()).unwrap();
    let mut options = SimOptions::new(vec![server], r"SIM\quarry".parse().unwrap(), password);
    options.events = events;
    options.empty_channels = 40;
    Sim::start(options).await.unwrap()
}

async fn open(sim: &Sim) -> Even6Log {
    open_with(sim, ReadOptions::default().heartbeat(SECOND)).await
}

async fn open_with(sim: &Sim, options: ReadOptions) -> Even6Log {
    let server = &sim.servers()[0];
    let mut connect = ConnectOptions::new(server.address().to_string(), sim.credential().clone());
    connect.mapper_port = server.mapper_port();
    connect.timeouts.silence = 5 * SECOND;
    Even6Log::connect("even6://fred".to_owned(), &connect, options).await.unwrap()
}

fn query(logs: &[&str], direction: Direction) -> Query {
    Query { logs: names(logs), direction, ..Query::default() }
}

fn names(logs: &[&str]) -> Vec<LogName> {
    logs.iter().copied().map(LogName::from).collect()
}

/// What came of a query or a subscription, in order.
#[derive(Default)]
struct Came {
    records: Vec<(String, u64)>,
    times: Vec<EventTime>,
    damage: Vec<Damage>,
    /// How many records had come when a damage was told.
    damage_at: Vec<usize>,
}

impl Came {
    fn of(&self, log: &str) -> Vec<u64> {
        self.records.iter().filter(|(name, _)| name == log).map(|(_, number)| *number).collect()
    }
}

impl Visitor for Came {
    fn event<S: FieldSource>(&mut self, event: &S, log: &str, log_record: Option<RecordId>) {
        self.records.push((log.to_owned(), log_record.unwrap().0));
        self.times.push(event.field(Field::TimeCreated).as_time().unwrap());
    }

    fn recovered<S: FieldSource>(&mut self, _event: &S, _log: &str, _log_record: Option<RecordId>) {
        panic!("nobody asked for slack");
    }

    fn damage(&mut self, damage: &Damage) {
        self.damage.push(damage.clone());
        self.damage_at.push(self.records.len());
    }
}

/// Reads to the end.
async fn read(log: &Even6Log, query: &Query) -> Result<Came, LogError> {
    let mut batches = log.query(query).await?;
    let mut came = Came::default();
    rest(&mut *batches, &mut came).await?;
    batches.close().await;
    Ok(came)
}

async fn rest(batches: &mut dyn Batches, came: &mut Came) -> Result<(), LogError> {
    let mut reader = BatchReader::default();
    while let Some(batch) = batches.next().await {
        reader.read(&batch?, came);
    }
    Ok(())
}

/// Reads until so many records came, or nothing more does.
async fn take(batches: &mut dyn Batches, records: usize) -> Came {
    let (mut reader, mut came) = (BatchReader::default(), Came::default());
    while came.records.len() < records {
        match batches.next().await {
            Some(batch) => reader.read(&batch.unwrap(), &mut came),
            None => break,
        }
    }
    came
}

/// Records of a log that are missing between two others.
fn hole(log: &str, after: Option<u64>, before: Option<u64>, records: Option<u64>) -> Hole {
    let (after, before) = (after.map(RecordId), before.map(RecordId));
    Hole { log: Some(log.into()), after, before, records }
}

/// An event with so many bytes of text in it.
fn large(bytes: usize) -> Event {
    let units = "x".repeat(bytes / 2);
    quarry_event::testing::event(&format!(
        "<Event><System><Provider Name='Large'/><EventID>77</EventID>\
         <TimeCreated SystemTime='2026-08-22T10:00:00.0000000Z'/></System>\
         <EventData><Data Name='a'>{units}</Data></EventData></Event>"
    ))
}

fn numbers(range: impl Iterator<Item = u64>, direction: Direction) -> Vec<u64> {
    let mut numbers: Vec<u64> = range.collect();
    if direction == Direction::Backward {
        numbers.reverse();
    }
    numbers
}
