//! MS-EVEN read from servers of all tempers: as Windows is, as Samba is, and such as never end, lie
//! about sizes, or overwrite their logs while they are read. No server makes a query go on for ever
//! or lose a record unnoticed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use quarry_even::even::*;
use quarry_even::wire::Message;
use quarry_event::FieldSource;
use quarry_eventlog::*;
use quarry_rpc::ndr::ContextHandle;
use quarry_rpc::smb::{Dialect, NtStatus, SessionFacts, SigningAlgorithm};
use quarry_rpc::tcp::{CallContext, Client, Reply, Service, serve_connection};
use quarry_rpc::{
    Associations, ClientConfig, FaultStatus, IncomingCall, ServedInterface, ServerConfig,
};

/// How a server is.
#[derive(Clone, Copy, Debug)]
struct Temper {
    /// A name that it doesn't know opens Application.
    opens_default: bool,
    /// The end is success without a byte, not END_OF_FILE.
    end_is_empty: bool,
    /// A record that is not there is INVALID_PARAMETER, not the end.
    missing_is_invalid: bool,
    /// BUFFER_TOO_SMALL comes with records, and the position has moved past them.
    too_small_has_records: bool,
    trick: Trick,
}

/// What it does that no server should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trick {
    None,
    /// Success without a byte, always.
    NothingForEver,
    /// BUFFER_TOO_SMALL, always, and needs as little as this.
    TooSmallForEver(u32),
    /// The oldest record, wherever one seeks.
    SameForEver,
    /// Bytes that are no records.
    Garbage,
    /// The sequential position goes back to the start of the log after each read.
    LosesPosition,
    /// After so many reads, so many of the oldest records are overwritten.
    Overwrites(u32, u32),
    /// After so many reads, the log is cleared and filled with ten new ones from 1 on.
    Clears(u32),
}

const WINDOWS: Temper = Temper {
    opens_default: true,
    end_is_empty: false,
    missing_is_invalid: true,
    too_small_has_records: false,
    trick: Trick::None,
};

const SAMBA: Temper = Temper {
    opens_default: false,
    end_is_empty: true,
    missing_is_invalid: false,
    too_small_has_records: true,
    trick: Trick::None,
};

type Records = Vec<(u32, Vec<u8>)>;

/// A record whose only string has so many units.
fn record(number: u32, units: usize) -> (u32, Vec<u8>) {
    let mut body = [0u8; 48].to_vec();
    body[..4].copy_from_slice(b"LfLe");
    body[4..8].copy_from_slice(&number.to_le_bytes());
    body[22] = 1;
    body[32..36].copy_from_slice(&64u32.to_le_bytes());
    body.resize(52, 0);
    body.extend_from_slice(b"S\0\0\0C\0\0\0");
    body.extend(std::iter::repeat_n(*b"x\0", units).flatten());
    body.extend_from_slice(&[0, 0]);
    body.resize(body.len().next_multiple_of(4), 0);
    let len = (body.len() as u32 + 8).to_le_bytes();
    (number, [&len[..], &body, &len].concat())
}

fn log_from(first: u32, sizes: &[usize]) -> Records {
    sizes.iter().enumerate().map(|(n, size)| record(first.wrapping_add(n as u32), *size)).collect()
}

struct Server {
    temper: Temper,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    logs: HashMap<String, Records>,
    /// The log of each handle, and the record that a sequential read begins at.
    handles: Vec<(String, Option<u32>)>,
    reads: u32,
}

impl Service for Server {
    type Association = ();

    async fn call(self: Arc<Self>, _: CallContext<()>, call: IncomingCall) -> Reply {
        let mut state = self.state.lock().unwrap();
        let answer = match call.opnum {
            2 => answer::<CloseEL>(&call.stub, |_| CloseELResponse {
                log: LogHandle::default(),
                status: NtStatus::SUCCESS,
            }),
            4 => answer::<NumberOfRecords>(&call.stub, |q| NumberOfRecordsResponse {
                records: state.log(q.log).len() as u32,
                status: NtStatus::SUCCESS,
            }),
            5 => answer::<OldestRecord>(&call.stub, |q| OldestRecordResponse {
                oldest: state.log(q.log).first().map_or(0, |(number, _)| *number),
                status: NtStatus::SUCCESS,
            }),
            7 => answer::<OpenELW>(&call.stub, |q| {
                let mut name = q.module.to_string();
                if !state.logs.contains_key(&name) {
                    if !self.temper.opens_default {
                        let status = NtStatus::OBJECT_PATH_INVALID;
                        return OpenELWResponse { log: LogHandle::default(), status };
                    }
                    name = "Application".to_owned();
                }
                state.handles.push((name, None));
                let uuid = uuid::Uuid::from_u128(state.handles.len() as u128);
                let log = LogHandle(ContextHandle { attributes: 0, uuid });
                OpenELWResponse { log, status: NtStatus::SUCCESS }
            }),
            10 => answer::<ReadELW>(&call.stub, |q| state.read(self.temper, &q)),
            _ => None,
        };
        answer.map_or(Reply::Fault(FaultStatus::OP_RANGE), Reply::Stub)
    }
}

fn answer<O: Operation>(
    stub: &[u8],
    make: impl FnOnce(O::Request) -> O::Response,
) -> Option<Vec<u8>> {
    make(O::Request::decode(stub).ok()?).encode().ok()
}

impl State {
    fn handle(&mut self, handle: LogHandle) -> &mut (String, Option<u32>) {
        let number = handle.0.uuid.as_u128() as usize;
        &mut self.handles[number - 1]
    }

    fn log(&mut self, handle: LogHandle) -> &mut Records {
        let name = self.handle(handle).0.clone();
        self.logs.get_mut(&name).unwrap()
    }

    fn read(&mut self, temper: Temper, q: &ReadELWRequest) -> ReadELWResponse {
        let wanted = q.wanted.0 as usize;
        let give = |records: Vec<u8>, needed, status| {
            let read = records.len() as u32;
            let mut buffer = records;
            buffer.resize(wanted, 0xee);
            ReadELWResponse { buffer: Buffer(buffer), read, needed, status }
        };
        self.reads += 1;
        assert!(self.reads < 10_000, "it goes on for ever");
        let reads = self.reads;
        let is_seek = q.flags.0 & 2 != 0;
        let forwards = q.flags.0 & 4 != 0;
        match temper.trick {
            Trick::NothingForEver => return give(vec![], 0, NtStatus::SUCCESS),
            Trick::TooSmallForEver(needed) => {
                return give(vec![], needed, NtStatus::BUFFER_TOO_SMALL);
            }
            Trick::SameForEver => {
                let first = self.log(q.log)[0].1.clone();
                return give(first, 0, NtStatus::SUCCESS);
            }
            Trick::Garbage => return give(vec![0x41; 200], 0, NtStatus::SUCCESS),
            Trick::Overwrites(after, count) if reads == after => {
                drop(self.log(q.log).drain(..count as usize));
            }
            Trick::Clears(after) if reads == after => {
                *self.log(q.log) = log_from(1, &[5; 10]);
            }
            _ => {}
        }
        let log = self.log(q.log).clone();
        let position = self.handle(q.log).1;
        let start = match (is_seek, position) {
            (true, _) => Some(q.offset),
            (false, Some(number)) => Some(number),
            // A fresh handle, whatever the direction.
            (false, None) => log.first().map(|(number, _)| *number),
        };
        let at = start.and_then(|start| log.iter().position(|(number, _)| *number == start));
        let Some(at) = at else {
            let status = match (is_seek && temper.missing_is_invalid, temper.end_is_empty) {
                (true, _) => NtStatus::INVALID_PARAMETER,
                (false, true) => NtStatus::SUCCESS,
                (false, false) => NtStatus::END_OF_FILE,
            };
            return give(vec![], 0, status);
        };
        let due: Vec<&(u32, Vec<u8>)> = match forwards {
            true => log[at..].iter().collect(),
            false => log[..=at].iter().rev().collect(),
        };
        let mut bytes = Vec::new();
        let mut next = None;
        let mut last = start.unwrap();
        for (number, record) in due {
            if bytes.len() + record.len() > wanted {
                next = Some((*number, record.len() as u32));
                break;
            }
            bytes.extend_from_slice(record);
            last = *number;
        }
        let behind = if forwards { last.wrapping_add(1) } else { last.wrapping_sub(1) };
        self.handle(q.log).1 = Some(match temper.trick {
            Trick::LosesPosition => log[0].0,
            _ => next.map_or(behind, |(number, _)| number),
        });
        match next {
            Some((_, needed)) if bytes.is_empty() => {
                give(bytes, needed, NtStatus::BUFFER_TOO_SMALL)
            }
            Some((_, needed)) if temper.too_small_has_records && needed as usize > wanted => {
                give(bytes, needed, NtStatus::BUFFER_TOO_SMALL)
            }
            _ => give(bytes, 0, NtStatus::SUCCESS),
        }
    }
}

async fn serve(temper: Temper, logs: Vec<(&str, Records)>) -> EvenLog {
    serve_changing(temper, logs).await.0
}

/// The same, and the server, whose logs can be changed.
async fn serve_changing(temper: Temper, logs: Vec<(&str, Records)>) -> (EvenLog, Arc<Server>) {
    let logs = logs.into_iter().map(|(name, records)| (name.to_owned(), records)).collect();
    let state = Mutex::new(State { logs, ..State::default() });
    let service = Arc::new(Server { temper, state });
    let (near, far) = tokio::io::duplex(64 * 1024);
    let interface = ServedInterface { syntax: INTERFACE, privacy: false };
    let config = ServerConfig::new(vec![interface], 1, Arc::new(|_| None));
    let serving = Arc::clone(&service);
    tokio::spawn(serve_connection(far, config, Associations::default(), serving));
    let silence = Duration::from_secs(10);
    let rpc = Client::bind(near, ClientConfig::new(INTERFACE), None, silence).await.unwrap();
    let (dialect, signing) = (Dialect::Smb311, SigningAlgorithm::AesCmac);
    let facts = SessionFacts { dialect, signing, cipher: None };
    let client = EvenClient::from_rpc(rpc, facts, false);
    let options = ReadOptions::default().batch_bytes(16 << 10);
    (EvenLog::new("even://test".to_owned(), client, options), service)
}

/// What came of a query.
#[derive(Debug, Default)]
struct Came {
    numbers: Vec<u64>,
    damage: Vec<Damage>,
    error: Option<LogError>,
}

impl Visitor for Came {
    fn event<S: FieldSource>(&mut self, _: &S, _: &str, log_record: Option<RecordId>) {
        self.numbers.push(log_record.unwrap().0);
    }
    fn recovered<S: FieldSource>(&mut self, _event: &S, _log: &str, _log_record: Option<RecordId>) {
        panic!("nobody asked for slack");
    }

    fn damage(&mut self, damage: &Damage) {
        self.damage.push(damage.clone());
    }
}

async fn read(log: &EvenLog, query: Query) -> Came {
    let mut came = Came::default();
    let mut batches = match log.query(&query).await {
        Ok(batches) => batches,
        Err(error) => return Came { error: Some(error), ..came },
    };
    let mut reader = BatchReader::default();
    while let Some(batch) = batches.next().await {
        match batch {
            Ok(batch) => reader.read(&batch, &mut came),
            Err(error) => came.error = Some(error),
        }
    }
    came
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn query(direction: Direction) -> Query {
    Query::new("System".into(), direction)
}

fn application() -> (&'static str, Records) {
    ("Application", log_from(1, &[1, 2, 3]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_record_comes_once_and_in_order_from_any_lawful_server(
        sizes in prop::collection::vec(prop_oneof![0usize..40, 0usize..400, 1000usize..12_000], 1..60),
        first in prop_oneof![Just(1u32), any::<u32>(), (u32::MAX - 20)..=u32::MAX],
        tempers in any::<[bool; 4]>(),
        loses_position: bool,
        backward: bool,
    ) {
        let temper = Temper {
            opens_default: tempers[0],
            end_is_empty: tempers[1],
            missing_is_invalid: tempers[2],
            too_small_has_records: tempers[3],
            trick: if loses_position { Trick::LosesPosition } else { Trick::None },
        };
        let direction = if backward { Direction::Backward } else { Direction::Forward };
        let records = log_from(first, &sizes);
        let mut due: Vec<u64> = records.iter().map(|(number, _)| u64::from(*number)).collect();
        if backward {
            due.reverse();
        }
        let came = run(async {
            let log = serve(temper, vec![application(), ("System", records)]).await;
            read(&log, query(direction)).await
        });
        prop_assert!(came.error.is_none() && came.damage.is_empty(), "{:?}", came);
        prop_assert_eq!(came.numbers, due);
    }

    #[test]
    fn a_query_behind_a_bookmark_goes_on_there(
        count in 1usize..40, at in 0usize..40, backward: bool, first in any::<u32>(),
    ) {
        let direction = if backward { Direction::Backward } else { Direction::Forward };
        let records = log_from(first, &vec![3; count]);
        let mut due: Vec<u64> = records.iter().map(|(number, _)| u64::from(*number)).collect();
        if backward {
            due.reverse();
        }
        let at = at % count;
        let after = Some(Bookmark::single("System", due[at]));
        let came = run(async {
            let log = serve(WINDOWS, vec![application(), ("System", records)]).await;
            read(&log, Query { after, ..query(direction) }).await
        });
        prop_assert!(came.error.is_none() && came.damage.is_empty(), "{:?}", came);
        prop_assert_eq!(&came.numbers, &due[at + 1..]);
    }
}

#[test]
fn an_unknown_log_that_windows_answers_with_application_is_refused() {
    for sizes in [vec![1, 2, 3], vec![7]] {
        run(async {
            let logs = vec![("Application", log_from(5, &sizes)), ("System", log_from(5, &[9]))];
            let log = serve(WINDOWS, logs).await;
            let came = read(&log, Query::new("Nonesuch".into(), Direction::Forward)).await;
            assert!(matches!(came.error, Some(LogError::NoSuchLog(_))), "{came:?}");
            let info = log.info(&"Nonesuch".into(), Detail::Records).await;
            assert!(matches!(info, Err(LogError::NoSuchLog(_))), "{info:?}");
            for (name, count) in [("Application", sizes.len()), ("System", 1)] {
                assert_eq!(
                    log.info(&name.into(), Detail::Records).await.unwrap().records,
                    count as u64
                );
            }
            let names: Vec<String> = log.logs().await.unwrap().into_iter().map(|l| l.0).collect();
            assert_eq!(names, ["Application", "System"]);
        });
    }
}

#[test]
fn an_unknown_log_can_not_be_told_from_an_empty_one_while_application_is_empty() {
    run(async {
        let log = serve(WINDOWS, vec![("Application", vec![])]).await;
        let came = read(&log, Query::new("Nonesuch".into(), Direction::Forward)).await;
        assert!(came.error.is_none() && came.numbers.is_empty(), "{came:?}");
    });
}

#[test]
fn no_trick_makes_a_query_go_on_for_ever() {
    let tricks = [
        Trick::NothingForEver,
        Trick::TooSmallForEver(0),
        Trick::TooSmallForEver(4097),
        Trick::TooSmallForEver(u32::MAX),
        Trick::SameForEver,
        Trick::Garbage,
    ];
    for trick in tricks {
        for direction in [Direction::Forward, Direction::Backward] {
            let came = run(async {
                let temper = Temper { trick, ..SAMBA };
                let log = serve(temper, vec![("System", log_from(100, &[5; 30]))]).await;
                tokio::time::timeout(Duration::from_secs(20), read(&log, query(direction))).await
            });
            let came = came.unwrap_or_else(|_| panic!("{trick:?} hangs"));
            assert!(came.numbers.len() <= 1, "{trick:?}: {came:?}");
            // Something is told.
            assert!(came.error.is_some() || !came.damage.is_empty(), "{trick:?}: {came:?}");
        }
    }
}

/// Records of System that are gone between two others.
fn overwritten(after: u64, before: u64) -> Damage {
    let (after, before) = (Some(RecordId(after)), Some(RecordId(before)));
    Damage::Overwritten(Hole { log: Some("System".into()), after, before, records: None })
}

#[test]
fn records_that_are_overwritten_while_a_log_is_read_are_told_of() {
    run(async {
        for temper in [SAMBA, WINDOWS] {
            // Two records an answer, by their size; 20 of them go before the third read of ours.
            let trick = Trick::Overwrites(3, 40);
            let log = serve(
                Temper { trick, opens_default: false, ..temper },
                vec![("System", log_from(1, &[7000; 60]))],
            )
            .await;
            let came = read(&log, query(Direction::Forward)).await;
            assert!(came.error.is_none(), "{came:?}");
            let gap = came.numbers.windows(2).find(|pair| pair[1] != pair[0] + 1).unwrap();
            assert_eq!(gap[1], 41);
            assert_eq!(came.damage, [overwritten(gap[0], gap[1])]);
            assert_eq!(came.numbers.last(), Some(&60));
        }
    });
}

#[test]
fn a_log_that_is_cleared_while_it_is_read_ends_with_word_of_it() {
    run(async {
        for direction in [Direction::Forward, Direction::Backward] {
            let temper = Temper { trick: Trick::Clears(3), ..SAMBA };
            let log = serve(temper, vec![("System", log_from(500, &[7000; 60]))]).await;
            let came = read(&log, query(direction)).await;
            assert!(came.error.is_none(), "{came:?}");
            assert!(came.numbers.len() < 60 && came.numbers.iter().all(|n| *n >= 500));
            assert!(matches!(came.damage[..], [Damage::Overwritten(_)]), "{came:?}");
        }
    });
}

#[test]
fn a_bookmark_whose_successor_is_gone_is_told_of() {
    run(async {
        let log = serve(SAMBA, vec![("System", log_from(100, &[5; 10]))]).await;
        let after = Some(Bookmark::single("System", 42));
        let came = read(&log, Query { after, ..query(Direction::Forward) }).await;
        assert_eq!(came.numbers, (100..110).collect::<Vec<u64>>());
        assert_eq!(came.damage, [overwritten(42, 100)]);
        // The very next one is there.
        let after = Some(Bookmark::single("System", 99));
        let came = read(&log, Query { after, ..query(Direction::Forward) }).await;
        assert!(came.damage.is_empty() && came.numbers.len() == 10, "{came:?}");
    });
}

/// Takes what a subscription has, until it has nothing more.
async fn drain(batches: &mut dyn Batches) -> Came {
    let (mut came, mut reader) = (Came::default(), BatchReader::default());
    // The first empty batch after a query says that it is over, the next that nothing is new.
    let mut empty = 0;
    while empty < 2 {
        let batch = batches.next().await.expect("it never ends").unwrap();
        empty = if batch.is_empty() { empty + 1 } else { 0 };
        reader.read(&batch, &mut came);
    }
    came
}

fn subscription(start: Start) -> Subscription {
    Subscription { logs: vec!["System".into()], start, ..Subscription::default() }
}

#[test]
fn new_records_are_polled_for_and_come_once() {
    run(async {
        let after = |number| Start::After(Bookmark::single("System", number));
        for (first, start, there) in [
            (1, Start::Oldest, 1..6),
            (1, Start::Now, 6..6),
            (1, after(3), 4..6),
            // Behind the last, and before the first.
            (1, after(5), 6..6),
            (100, after(99), 100..105),
        ] {
            let logs = vec![("System", log_from(first, &[5; 5]))];
            let (log, server) = serve_changing(SAMBA, logs).await;
            let mut batches = log.subscribe(&subscription(start.clone())).await.unwrap();
            assert_eq!(
                drain(&mut *batches).await.numbers,
                there.collect::<Vec<u64>>(),
                "{start:?}"
            );
            for more in [1, 3] {
                let next = first + server.state.lock().unwrap().logs["System"].len() as u32;
                let new = log_from(next, &vec![7; more]);
                server.state.lock().unwrap().logs.get_mut("System").unwrap().extend(new);
                let came = drain(&mut *batches).await;
                let expected: Vec<u64> = (u64::from(next)..).take(more).collect();
                assert_eq!((came.numbers, came.damage), (expected.clone(), vec![]), "{start:?}");
                let bookmark = batches.bookmark().unwrap();
                assert_eq!(bookmark.entries[0].cursor.record.0, *expected.last().unwrap());
            }
        }
    });
}

#[test]
fn an_empty_log_is_followed_from_its_first_record_on() {
    run(async {
        for start in [Start::Now, Start::Oldest] {
            let (log, server) = serve_changing(SAMBA, vec![("System", Vec::new())]).await;
            let mut batches = log.subscribe(&subscription(start)).await.unwrap();
            assert_eq!(drain(&mut *batches).await.numbers, []);
            server.state.lock().unwrap().logs.insert("System".to_owned(), log_from(1, &[5; 2]));
            let came = drain(&mut *batches).await;
            assert_eq!((came.numbers, came.damage), (vec![1, 2], vec![]));
        }
    });
}

#[test]
fn records_that_are_gone_before_they_are_polled_for_are_told_of() {
    run(async {
        let (log, server) = serve_changing(SAMBA, vec![("System", log_from(100, &[5; 10]))]).await;
        let strict = subscription(Start::After(Bookmark::single("System", 42)));
        assert!(matches!(log.subscribe(&strict).await, Err(LogError::Overwritten)));
        let later = subscription(Start::AfterOrLater(Bookmark::single("System", 42)));
        let mut batches = log.subscribe(&later).await.unwrap();
        let came = drain(&mut *batches).await;
        assert_eq!(came.numbers, (100..110).collect::<Vec<u64>>());
        assert_eq!(came.damage, [overwritten(42, 100)]);
        // The log wraps while nobody looks.
        server.state.lock().unwrap().logs.insert("System".to_owned(), log_from(120, &[5; 3]));
        let gone = batches.next().await.expect("it never ends");
        assert!(matches!(gone, Err(LogError::Overwritten)), "{gone:?}");
        assert_eq!(batches.bookmark().unwrap().entries[0].cursor.record, RecordId(109));
    });
}
