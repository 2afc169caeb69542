//! One round: a connection on which something is changed, and what is read over it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use quarry_even::wire::{EventBatch, Message, QueryNextResponse, RemoteSubscriptionNextResponse};
use quarry_even::{EventClient, INTERFACE, Opnum, ResultSetRecord, encode_record};
use quarry_event::filter::{Filter, Ids};
use quarry_event::output::{Printer, Scratch};
use quarry_event::{Event, FieldSource, Origin, RecordId, Texts};
use quarry_eventlog::{
    BatchReader, Batches, Bookmark, Damage, Direction, Even6Log, EventLog, LogError, LogName,
    Query, ReadOptions, Start, Subscription, Visitor,
};
use quarry_rpc::security::{Initiator, NegotiateInitiator, NtlmInitiator};
use quarry_rpc::smb::{PipeConfig, PipeStream, SmbFrames};
use quarry_rpc::tcp::Client;
use quarry_rpc::{Blame, ClientConfig, FrameBuffer};
use quarry_sim::{AlterAnswer, Sim, StreamOptions};
use tokio::io::duplex;
use tokio::task::JoinSet;

use crate::mutate::mutate;
use crate::relay;

/// Batches of a round; a server that goes on for ever is not at fault.
const BATCHES: usize = 60;
/// A server that says nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(5);
/// By the client's clock, which runs as fast as nothing happens.
const HANG: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Layer {
    /// What is sent, sealed.
    Sealed,
    /// What is sent without a seal.
    Plain,
    /// Answers before they are sent.
    Answers,
    /// The BinXML of records.
    Records,
    /// What SMB sends until there would be a session.
    Smb,
}

/// What came of a round.
pub(crate) struct Outcome {
    pub(crate) layer: &'static str,
    /// Whether anything was changed.
    pub(crate) altered: bool,
    pub(crate) errors: Vec<String>,
    pub(crate) events: u64,
}

/// The events as an untouched connection has them, by server, log and number, as XML.
pub(crate) struct Truth(HashMap<(&'static str, String, u64), Vec<u8>>);

impl Truth {
    pub(crate) fn read(sim: &Arc<Sim>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut truth = HashMap::new();
            for server in ["fred", "barney"] {
                let mut tasks = JoinSet::new();
                let (ours, theirs) = duplex(1 << 16);
                serve(&mut tasks, sim, server, theirs, false, 5840, None);
                let log = bind(ours, None).await.expect("an untouched server answers");
                for name in ["System", "Security"] {
                    let query = Query::new(name.into(), Direction::Forward);
                    let mut batches = log.query(&query).await.expect("a query");
                    let mut seen = Seen::default();
                    while let Some(batch) = batches.next().await {
                        BatchReader::default().read(&batch.expect("a batch"), &mut seen);
                    }
                    assert_eq!(seen.came.len(), 12, "{name}");
                    let keyed = |(log, number, xml)| ((server, log, number), xml);
                    truth.extend(seen.came.into_iter().map(keyed));
                }
            }
            Truth(truth)
        })
    }
}

pub(crate) async fn round(sim: &Arc<Sim>, truth: &Truth, mut random: Rng) -> Outcome {
    let layer = match random.usize(..5) {
        0 => Layer::Sealed,
        1 => Layer::Plain,
        2 => Layer::Answers,
        3 => Layer::Records,
        _ => return smb_round(sim, truth, random).await,
    };
    let server = if random.usize(..3) == 0 { "barney" } else { "fred" };
    let altered = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    let fragment = [5840, 1432, 4280, 65_535][random.usize(..4)];
    let is_wire = matches!(layer, Layer::Sealed | Layer::Plain);
    // What is changed before it is sealed comes sealed now and then.
    let sealed = layer == Layer::Sealed || (!is_wire && random.usize(..16) == 0);
    let (ours, theirs) = duplex(1 << 16);
    let stream = if is_wire {
        serve(&mut tasks, sim, server, theirs, sealed, fragment, None);
        let (near, client) = duplex(1 << 16);
        let (from_server, to_server) = tokio::io::split(ours);
        let (from_client, to_client) = tokio::io::split(near);
        tasks.spawn(relay::forward(from_client, to_server));
        let first = random.usize(..14);
        let (random, altered) = (random.fork(), Arc::clone(&altered));
        let frames = FrameBuffer::new();
        tasks.spawn(relay::tamper(frames, from_server, to_client, random, first, move || {
            altered.store(true, Relaxed);
        }));
        client
    } else {
        let alter = alter(layer, random.fork(), Arc::clone(&altered));
        serve(&mut tasks, sim, server, theirs, sealed, fragment, Some(alter));
        ours
    };
    let mut session = Session { errors: Vec::new(), events: 0, truth, server, layer };
    let work = async {
        let initiator: Option<Box<dyn Initiator>> = match (sealed, random.usize(..2) == 0) {
            (false, _) => None,
            (true, true) => {
                let initiator = NegotiateInitiator::new(sim.credential()).expect("random numbers");
                Some(Box::new(initiator))
            }
            (true, false) => Some(Box::new(NtlmInitiator::new(sim.credential()))),
        };
        match bind(stream, initiator).await {
            Ok(log) => session.work(&log, &mut random).await,
            Err(error) => {
                session.note(&LogError::from(quarry_even::Error::from(error)));
            }
        }
    };
    let done = tokio::time::timeout(HANG, work).await;
    assert!(done.is_ok(), "a hang");
    let Session { errors, events, .. } = session;
    let layer = match layer {
        Layer::Sealed => "sealed",
        Layer::Plain => "plain",
        Layer::Answers => "answers",
        Layer::Records => "records",
        Layer::Smb => "smb",
    };
    Outcome { layer, altered: altered.load(Relaxed), errors, events }
}

/// A logon over SMB that the server puts off for ever, with all that it says changed on its way: it
/// fails, and in its time.
async fn smb_round(sim: &Arc<Sim>, truth: &Truth, mut random: Rng) -> Outcome {
    let altered = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    let (ours, theirs) = duplex(1 << 16);
    let serving = Arc::clone(sim);
    tasks.spawn(async move {
        serving.server("fred").expect("a server").serve_smb_stream(theirs).await;
    });
    let (near, client) = duplex(1 << 16);
    let (from_server, to_server) = tokio::io::split(ours);
    let (from_client, to_client) = tokio::io::split(near);
    tasks.spawn(relay::forward(from_client, to_server));
    let (first, seed) = (random.usize(..4), random.fork());
    let is_altered = Arc::clone(&altered);
    let frames = SmbFrames::default();
    tasks.spawn(relay::tamper(frames, from_server, to_client, seed, first, move || {
        is_altered.store(true, Relaxed);
    }));
    let initiator = NegotiateInitiator::new(sim.credential()).expect("random numbers");
    let config = PipeConfig::new("fred", "eventlog");
    let begun = tokio::time::Instant::now();
    let opened = PipeStream::open(client, config, Box::new(initiator), SILENCE).await;
    assert!(begun.elapsed() <= SILENCE + Duration::from_millis(100), "a hang");
    let error = opened.expect_err("nobody has proved that it knows the password");
    let (layer, server) = (Layer::Smb, "fred");
    let mut session = Session { errors: Vec::new(), events: 0, truth, server, layer };
    session.note(&LogError::from(quarry_even::Error::from(error)));
    let (layer, errors, events) = ("smb", session.errors, 0);
    Outcome { layer, altered: altered.load(Relaxed), errors, events }
}

fn serve(
    tasks: &mut JoinSet<()>,
    sim: &Arc<Sim>,
    server: &'static str,
    stream: tokio::io::DuplexStream,
    privacy: bool,
    max_fragment: u16,
    alter: Option<AlterAnswer>,
) {
    let sim = Arc::clone(sim);
    tasks.spawn(async move {
        let options = StreamOptions { privacy, max_fragment, alter };
        sim.server(server).expect("a server").serve_stream(stream, options).await;
    });
}

async fn bind(
    stream: tokio::io::DuplexStream,
    initiator: Option<Box<dyn Initiator>>,
) -> quarry_rpc::Result<Even6Log> {
    let rpc = Client::bind(stream, ClientConfig::new(INTERFACE), initiator, SILENCE).await?;
    let second = Duration::from_secs(1);
    let options =
        ReadOptions::default().heartbeat(second).idle_heartbeat(second).batch_bytes(20_000);
    Ok(Even6Log::new("even6://hostile".to_owned(), EventClient::from_rpc(rpc), options))
}

/// Changes some of the answers.
fn alter(layer: Layer, random: Rng, altered: Arc<AtomicBool>) -> AlterAnswer {
    let random = Mutex::new(random);
    Arc::new(move |opnum, mut stub| {
        let random = &mut *random.lock().expect("no panic");
        if layer == Layer::Answers {
            if random.usize(..3) == 0 {
                altered.store(true, Relaxed);
                mutate(random, &mut stub, 100_000);
            }
            return stub;
        }
        let changed = match Opnum::from_number(opnum) {
            Some(Opnum::QueryNext) => {
                QueryNextResponse::decode(&stub).ok().and_then(|mut answer| {
                    answer.batch = alter_records(random, &answer.batch)?;
                    answer.encode().ok()
                })
            }
            Some(Opnum::RemoteSubscriptionNext) => {
                RemoteSubscriptionNextResponse::decode(&stub).ok().and_then(|mut answer| {
                    answer.batch = alter_records(random, &answer.batch)?;
                    answer.encode().ok()
                })
            }
            _ => None,
        };
        altered.fetch_or(changed.is_some(), Relaxed);
        changed.unwrap_or(stub)
    })
}

/// Changes the BinXML of some records, or a record's own fields.
fn alter_records(random: &mut Rng, batch: &EventBatch) -> Option<EventBatch> {
    let (mut sizes, mut buffer) = (Vec::new(), Vec::new());
    for bytes in batch.records() {
        let record = ResultSetRecord::parse(bytes).ok()?;
        let before = buffer.len();
        if random.usize(..8) == 0 {
            let mut bytes = bytes.to_vec();
            mutate(random, &mut bytes, 100_000);
            buffer.extend(bytes);
        } else {
            let mut binxml = record.binxml.to_vec();
            if random.usize(..2) == 0 {
                mutate(random, &mut binxml, 100_000);
            }
            let subqueries: Vec<u32> = record.subqueries.iter().collect();
            let ids: Vec<u64> = record.position.record_ids().collect();
            let (current, reverse) = (record.position.current_channel, record.position.reverse);
            encode_record(&mut buffer, &binxml, &subqueries, &ids, current, reverse);
        }
        sizes.push((buffer.len() - before) as u32);
    }
    EventBatch::contiguous(sizes, buffer).ok()
}

/// What is read on one connection.
struct Session<'t> {
    errors: Vec<String>,
    events: u64,
    truth: &'t Truth,
    server: &'static str,
    layer: Layer,
}

impl Session<'_> {
    async fn work(&mut self, log: &Even6Log, random: &mut Rng) {
        // The same connection for as long as it lasts.
        for _ in 0..1 + random.usize(..3) {
            if !self.step(log, random).await {
                return;
            }
        }
    }

    /// Does one thing. False: the connection is of no further use.
    async fn step(&mut self, log: &Even6Log, random: &mut Rng) -> bool {
        let direction =
            if random.usize(..2) == 0 { Direction::Forward } else { Direction::Backward };
        let logs: Vec<LogName> = match random.usize(..4) {
            0 => vec!["System".into(), "Security".into()],
            1 => vec!["Security".into()],
            _ => vec!["System".into()],
        };
        let bookmark = Bookmark::single("System", 1 + random.usize(..12) as u64);
        let filter = match random.usize(..6) == 0 {
            true => Filter { ids: Ids::parse("!1").ok(), ..Filter::default() },
            false => Filter::default(),
        };
        match random.usize(..10) {
            0 => match log.logs().await {
                Ok(logs) => assert!(logs.len() <= 8192),
                Err(error) => return self.note(&error),
            },
            1 => {
                if let Err(error) = log.info(&logs[0], quarry_eventlog::Detail::Properties).await {
                    return self.note(&error);
                }
            }
            2 | 3 => {
                let start = match random.usize(..4) {
                    0 => Start::Now,
                    1 => Start::After(bookmark),
                    2 => Start::AfterOrLater(bookmark),
                    _ => Start::Oldest,
                };
                match log.subscribe(&Subscription { logs, filter, start }).await {
                    Ok(batches) => {
                        return self.read(batches, Direction::Forward, 4).await;
                    }
                    Err(error) => return self.note(&error),
                }
            }
            _ => {
                let limit = (random.usize(..4) == 0).then(|| 1 + random.usize(..12) as u64);
                let after = (random.usize(..5) == 0).then_some(bookmark);
                let query = Query { logs, direction, filter, limit, after };
                match log.query(&query).await {
                    Ok(batches) => return self.read(batches, direction, BATCHES).await,
                    Err(error) => return self.note(&error),
                }
            }
        }
        true
    }

    async fn read(
        &mut self,
        mut batches: Box<dyn Batches>,
        direction: Direction,
        most: usize,
    ) -> bool {
        let mut reader = BatchReader::default();
        let mut seen = Seen::default();
        let mut usable = true;
        for _ in 0..most {
            assert!(batches.expected_bytes() <= 4 << 20);
            match batches.next().await {
                Some(Ok(batch)) => {
                    assert!(batch.bytes() <= 4 << 20, "a batch of {} bytes", batch.bytes());
                    reader.read(&batch, &mut seen);
                }
                Some(Err(error)) => {
                    usable = self.note(&error);
                    assert!(batches.next().await.is_none(), "something after {error}");
                    break;
                }
                None => break,
            }
        }
        batches.close().await;
        self.check(&seen, direction);
        usable
    }

    /// Each record of a log once and in order; and where nobody could change it, as it is.
    fn check(&mut self, seen: &Seen, direction: Direction) {
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        for (n, (log, number, xml)) in seen.came.iter().enumerate() {
            // Nobody can make that of sealed answers.
            if self.layer != Layer::Sealed && seen.anew.contains(&n) {
                last.clear();
            }
            if let Some(last) = last.insert(log, *number) {
                let in_order = match direction {
                    Direction::Forward => last < *number,
                    Direction::Backward => last > *number,
                };
                assert!(in_order, "{log}: {number} after {last}");
            }
            if self.layer == Layer::Sealed {
                let truth = self.truth.0.get(&(self.server, log.clone(), *number));
                assert!(truth == Some(xml), "record {number} of {log} is another");
            }
        }
        if self.layer == Layer::Sealed {
            assert_eq!(seen.damaged, 0, "a record that nobody could change");
        }
        self.events += seen.came.len() as u64;
    }

    /// An error: not by us, in words, and whether the connection can be used still.
    fn note(&mut self, error: &LogError) -> bool {
        assert_ne!(error.blame(), Blame::Us, "{error}: {error:?}");
        assert!(!error.to_string().is_empty());
        let mut kind = format!("{error:?}");
        // Without what is different each time.
        kind.retain(|c| !c.is_ascii_digit());
        let end = kind.char_indices().nth(64).map_or(kind.len(), |(at, _)| at);
        kind.truncate(end);
        self.errors.push(kind);
        error.leaves_connection_usable()
    }
}

/// The events that came, as XML; and all else that can be asked of them.
#[derive(Default)]
struct Seen {
    came: Vec<(String, u64, Vec<u8>)>,
    /// How many had come when the client said that a log's numbers may begin anew.
    anew: Vec<usize>,
    damaged: u64,
    scratch: Scratch,
}

impl Visitor for Seen {
    fn event<S: FieldSource>(&mut self, event: &S, log: &str, log_record: Option<RecordId>) {
        let mut xml = Vec::new();
        event.write_xml(&mut xml);
        let origin = Origin { source: "hostile", host: None, log, log_record, recovered: false };
        let mut json = Vec::new();
        Printer::jsonl(None).event(event, &origin, Texts::default(), &mut self.scratch, &mut json);
        assert!(std::str::from_utf8(&xml).is_ok() && std::str::from_utf8(&json).is_ok());
        drop(Event::from_source(event));
        self.came.push((log.to_owned(), log_record.expect("a number").0, xml));
    }

    fn recovered<S: FieldSource>(&mut self, _event: &S, _log: &str, _log_record: Option<RecordId>) {
        panic!("nobody asked for slack");
    }

    fn damage(&mut self, damage: &Damage) {
        assert!(!damage.to_string().is_empty());
        // A server may say, unsealed, that a batch is too large, and so hold a record back.
        self.damaged += u64::from(matches!(damage, Damage::Record { .. }));
        // By the time of a record that it remembers: it is another log's, which is read as a whole.
        if matches!(damage, Damage::Overwritten(hole) if hole.before.is_none()) {
            self.anew.push(self.came.len());
        }
    }
}
