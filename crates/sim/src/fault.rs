//! What can be wrong with a simulated server.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::nested;

/// A fault to order. By its text it is written as on the command line: its kind, and where the
/// kind has one, a colon and a number: `silent:500`.
///
/// Records are counted in the order in which a query reads its log, whether or not they match, so
/// that a second read of the log meets the fault in the same place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// `slow[:MS]`: alive, but each batch takes so many milliseconds. A call whose own time-out is
    /// over before that is answered with `ERROR_TIMEOUT`, and the search goes on.
    Slow(Duration),
    /// `silent[:N]`: after N records of a log no call for more is answered; the connection stays.
    Silent(u64),
    /// `reset[:N]`: after N records of a log the connection is reset (TCP RST), each time.
    Reset(u64),
    /// `restart[:N]`: after N records the connection is reset, once; afterwards all is well.
    Restart(u64),
    /// `black-hole`: no connection to the server ever comes about. On Linux its listen backlogs
    /// are full; elsewhere connections come about, and nothing is ever read or answered.
    BlackHole,
    /// `no-mapper`: the endpoint mapper's port refuses connections.
    NoMapper,
    /// `port-closed`: the mapper answers, the port that it names refuses connections.
    PortClosed,
    /// `port-dropped`: the mapper answers, the port that it names is a black hole: a firewall.
    PortDropped,
    /// `refuse-logon`: every credential is wrong.
    RefuseLogon,
    /// `refuse-once`: the first credential that is presented is called wrong, whatever it is;
    /// afterwards all is well.
    RefuseOnce,
    /// `busy`: every call is answered with the fault "server too busy", unsealed, and so is a wrong
    /// credential, which the server then seems not to have looked at.
    Busy,
    /// `drip[:MS]`: the challenge of the logon comes as it should; from then on, all that is sent
    /// comes a byte each so many milliseconds.
    Drip(Duration),
    /// `pending`: the event log is there over SMB only ([`SimServer::smb_port`]), and what follows
    /// on the challenge of the logon is that the answer will come later, again and again.
    ///
    /// [`SimServer::smb_port`]: crate::SimServer::smb_port
    Pending,
    /// `endless`: every call for records is answered with `ERROR_TIMEOUT` when its own time-out is
    /// over, for ever.
    Endless,
    /// `refuse-access[:CHANNEL]`: the channel's access list (or every channel's) keeps the caller
    /// out: return value 5.
    RefuseAccess(Option<String>),
    /// `big-batch[:BYTES]`: a batch of over 2 MiB (or so many bytes) fails with
    /// `RPC_S_INVALID_BOUND` (1734), and the query's position has moved past it all the same, as on
    /// servers before Windows 11 and 2025.
    BigBatch(u32),
    /// `few-clauses[:N]`: a select of more than N expressions is refused, rather than of more than
    /// [`MAX_CLAUSES`].
    FewClauses(u32),
    /// `refuse-query[:N]`: a query that filters is refused: with 1, one that has a wildcard in a
    /// step; with 2, also one that looks outside of `System`; with 3, also one that looks at
    /// anything but the time; with 4, every one.
    RefuseQuery(u32),
    /// `garbage`: the records of a batch are nonsense.
    Garbage,
    /// `oversized`: batches with absurd counts and lengths.
    Oversized,
    /// `nested`: events of a few kilobytes whose templates nest, so that each prints megabytes.
    Nested,
    /// `cleared[:N]`: a log is cleared when N of its records were read, once.
    Cleared(u64),
    /// `wrapped[:N]`: a log wraps when N of its records were read, once: half of those still to be
    /// read are gone.
    Wrapped(u64),
    /// `forwarded`: of generated events, a third has another computer's name and record id, and
    /// a third no record id at all.
    Forwarded,
    /// `no-wait`: a subscription's call for more is answered at once, its time-out
    /// notwithstanding.
    NoWait,
    /// `hollow`: the service is there in name only, as on Samba's domain controllers: queries are
    /// taken and answered with nothing for ever, and hardly anything else is served.
    Hollow,
    /// `no-messages`: what is known of publishers is refused: return value 5.
    NoMessages,
    /// `messages-hang`: no call about publishers and their messages is ever answered.
    MessagesHang,
    /// `messages-garbage`: messages and definitions are nonsense.
    MessagesGarbage,
    /// `messages-oversized`: a message always needs more room, 4 GiB.
    MessagesOversized,
}

/// What is wrong with a server's messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MessageFault {
    Refuse,
    Hang,
    Garbage,
    Oversized,
}

/// The most expressions of a select that a server without [`Fault::FewClauses`] takes.
pub const MAX_CLAUSES: usize = 22;

const RECORDS: u64 = 100;
const SLOW: Duration = Duration::from_secs(3);
const DRIP: Duration = Duration::from_secs(1);
const BATCH: u32 = quarry_even::limits::MAX_BATCH_SIZE;
const FEW: u32 = 8;
const ANY_FILTER: u32 = 4;

impl Fault {
    /// Every kind, as it is written, with what it does in a few words.
    pub const KINDS: [(&str, &str); 30] = [
        ("slow[:MS]", "alive but slow: each batch takes MS milliseconds (3000)"),
        ("silent[:N]", "says nothing more after N records of a log (100)"),
        ("reset[:N]", "connection reset after N records of a log (100)"),
        ("restart[:N]", "connection reset once, after N records (100); then all is well"),
        ("black-hole", "no connection ever comes about"),
        ("no-mapper", "the endpoint mapper's port refuses connections"),
        ("port-closed", "the mapper answers, the event log's port refuses"),
        ("port-dropped", "the mapper answers, the event log's port never does"),
        ("refuse-logon", "every credential is wrong"),
        ("refuse-once", "the first credential that is presented is called wrong"),
        ("busy", "every call, and a wrong credential, gets the fault \"server too busy\""),
        ("drip[:MS]", "after the logon's challenge, a byte each MS milliseconds (1000)"),
        ("pending", "over SMB only, where the logon is never answered but put off"),
        ("endless", "a call for records only ever times out"),
        ("refuse-access[:CHANNEL]", "no right to read a channel, or any"),
        ("big-batch[:BYTES]", "a batch over 2 MiB fails with 1734, and its records are passed"),
        ("few-clauses[:N]", "a query of more than N expressions is refused (8)"),
        (
            "refuse-query[:N]",
            "refuses wildcards (1), data (2), all but times (3), or any filter (4)",
        ),
        ("garbage", "records that are nonsense"),
        ("oversized", "batches with absurd counts and lengths"),
        ("nested", "events of a few kilobytes that print megabytes"),
        ("cleared[:N]", "a log is cleared after N of its records were read (100)"),
        ("wrapped[:N]", "a log wraps after N of its records were read (100)"),
        ("forwarded", "events with a foreign record id or none, of other computers"),
        ("no-wait", "a subscription's call for more doesn't wait for any"),
        ("hollow", "queries are taken and answered with nothing for ever, as by Samba"),
        ("no-messages", "message text is refused"),
        ("messages-hang", "questions about message text are never answered"),
        ("messages-garbage", "message text that is nonsense"),
        ("messages-oversized", "message text that always needs more room"),
    ];
}

/// A text that is no fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// No such kind.
    #[error("{0:?} is not a kind of fault")]
    Kind(String),
    /// A kind without a number has one, or the number is none.
    #[error("{kind} can't be of {value:?}")]
    Value {
        /// The kind.
        kind: String,
        /// What follows the colon.
        value: String,
    },
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (kind, value) = match text.split_once(':') {
            Some((kind, value)) => (kind, Some(value)),
            None => (text, None),
        };
        let wrong = || FaultError::Value {
            kind: kind.to_owned(),
            value: value.unwrap_or_default().to_owned(),
        };
        let number = |default: u64, max: u64| match value {
            None => Ok(default),
            Some(value) => value.parse().ok().filter(|number| *number <= max).ok_or_else(wrong),
        };
        let records = || number(RECORDS, u64::MAX);
        // A day, so that no sum of times overflows.
        let milliseconds = |default: Duration| {
            number(default.as_millis() as u64, 86_400_000).map(Duration::from_millis)
        };
        let bare = |fault: Fault| if value.is_none() { Ok(fault) } else { Err(wrong()) };
        Ok(match kind {
            "slow" => Fault::Slow(milliseconds(SLOW)?),
            "silent" => Fault::Silent(records()?),
            "reset" => Fault::Reset(records()?),
            "restart" => Fault::Restart(records()?),
            "black-hole" => bare(Fault::BlackHole)?,
            "no-mapper" => bare(Fault::NoMapper)?,
            "port-closed" => bare(Fault::PortClosed)?,
            "port-dropped" => bare(Fault::PortDropped)?,
            "refuse-logon" => bare(Fault::RefuseLogon)?,
            "refuse-once" => bare(Fault::RefuseOnce)?,
            "busy" => bare(Fault::Busy)?,
            "drip" => Fault::Drip(milliseconds(DRIP)?),
            "pending" => bare(Fault::Pending)?,
            "endless" => bare(Fault::Endless)?,
            "refuse-access" => match value {
                Some("") => return Err(wrong()),
                channel => Fault::RefuseAccess(channel.map(str::to_owned)),
            },
            "big-batch" => Fault::BigBatch(number(BATCH.into(), BATCH.into())? as u32),
            "few-clauses" => Fault::FewClauses(number(FEW.into(), u32::MAX.into())? as u32),
            "refuse-query" => {
                Fault::RefuseQuery(number(ANY_FILTER.into(), u32::MAX.into())? as u32)
            }
            "garbage" => bare(Fault::Garbage)?,
            "oversized" => bare(Fault::Oversized)?,
            "nested" => bare(Fault::Nested)?,
            "cleared" => Fault::Cleared(records()?),
            "wrapped" => Fault::Wrapped(records()?),
            "forwarded" => bare(Fault::Forwarded)?,
            "no-wait" => bare(Fault::NoWait)?,
            "hollow" => bare(Fault::Hollow)?,
            "no-messages" => bare(Fault::NoMessages)?,
            "messages-hang" => bare(Fault::MessagesHang)?,
            "messages-garbage" => bare(Fault::MessagesGarbage)?,
            "messages-oversized" => bare(Fault::MessagesOversized)?,
            _ => return Err(FaultError::Kind(kind.to_owned())),
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Slow(time) => write!(f, "slow:{}", time.as_millis()),
            Fault::Silent(records) => write!(f, "silent:{records}"),
            Fault::Reset(records) => write!(f, "reset:{records}"),
            Fault::Restart(records) => write!(f, "restart:{records}"),
            Fault::BlackHole => f.write_str("black-hole"),
            Fault::NoMapper => f.write_str("no-mapper"),
            Fault::PortClosed => f.write_str("port-closed"),
            Fault::PortDropped => f.write_str("port-dropped"),
            Fault::RefuseLogon => f.write_str("refuse-logon"),
            Fault::RefuseOnce => f.write_str("refuse-once"),
            Fault::Busy => f.write_str("busy"),
            Fault::Drip(time) => write!(f, "drip:{}", time.as_millis()),
            Fault::Pending => f.write_str("pending"),
            Fault::Endless => f.write_str("endless"),
            Fault::RefuseAccess(None) => f.write_str("refuse-access"),
            Fault::RefuseAccess(Some(channel)) => write!(f, "refuse-access:{channel}"),
            Fault::BigBatch(bytes) => write!(f, "big-batch:{bytes}"),
            Fault::FewClauses(count) => write!(f, "few-clauses:{count}"),
            Fault::RefuseQuery(kinds) => write!(f, "refuse-query:{kinds}"),
            Fault::Garbage => f.write_str("garbage"),
            Fault::Oversized => f.write_str("oversized"),
            Fault::Nested => f.write_str("nested"),
            Fault::Cleared(records) => write!(f, "cleared:{records}"),
            Fault::Wrapped(records) => write!(f, "wrapped:{records}"),
            Fault::Forwarded => f.write_str("forwarded"),
            Fault::NoWait => f.write_str("no-wait"),
            Fault::Hollow => f.write_str("hollow"),
            Fault::NoMessages => f.write_str("no-messages"),
            Fault::MessagesHang => f.write_str("messages-hang"),
            Fault::MessagesGarbage => f.write_str("messages-garbage"),
            Fault::MessagesOversized => f.write_str("messages-oversized"),
        }
    }
}

/// What a server's faults come to, looked up once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) slow: Option<Duration>,
    pub(crate) silent: Option<u64>,
    pub(crate) reset: Option<u64>,
    pub(crate) restart: Option<u64>,
    pub(crate) black_hole: bool,
    pub(crate) no_mapper: bool,
    pub(crate) port_closed: bool,
    pub(crate) port_dropped: bool,
    pub(crate) refuse_logon: bool,
    pub(crate) refuse_once: bool,
    pub(crate) busy: bool,
    pub(crate) drip: Option<Duration>,
    pub(crate) pending: bool,
    pub(crate) endless: bool,
    pub(crate) refuse_all: bool,
    pub(crate) refuse_channels: Vec<String>,
    pub(crate) big_batch: Option<u32>,
    pub(crate) clauses: Option<u32>,
    pub(crate) refused_queries: u32,
    pub(crate) garbage: bool,
    pub(crate) oversized: bool,
    /// What is sent for each event.
    pub(crate) nested: Option<Arc<[u8]>>,
    pub(crate) cleared: Option<u64>,
    pub(crate) wrapped: Option<u64>,
    pub(crate) forwarded: bool,
    pub(crate) no_wait: bool,
    pub(crate) hollow: bool,
    pub(crate) messages: Option<MessageFault>,
}

impl Faults {
    pub(crate) fn new(faults: &[Fault]) -> Self {
        let mut all = Faults::default();
        for fault in faults {
            match fault {
                Fault::Slow(time) => all.slow = Some(*time),
                Fault::Silent(records) => all.silent = Some(*records),
                Fault::Reset(records) => all.reset = Some(*records),
                Fault::Restart(records) => all.restart = Some(*records),
                Fault::BlackHole => all.black_hole = true,
                Fault::NoMapper => all.no_mapper = true,
                Fault::PortClosed => all.port_closed = true,
                Fault::PortDropped => all.port_dropped = true,
                Fault::RefuseLogon => all.refuse_logon = true,
                Fault::RefuseOnce => all.refuse_once = true,
                Fault::Busy => all.busy = true,
                Fault::Drip(time) => all.drip = Some(*time),
                Fault::Pending => all.pending = true,
                Fault::Endless => all.endless = true,
                Fault::RefuseAccess(None) => all.refuse_all = true,
                Fault::RefuseAccess(Some(channel)) => {
                    all.refuse_channels.push(channel.to_lowercase());
                }
                Fault::BigBatch(bytes) => all.big_batch = Some(*bytes),
                Fault::FewClauses(count) => all.clauses = Some(*count),
                Fault::RefuseQuery(kinds) => all.refused_queries = *kinds,
                Fault::Garbage => all.garbage = true,
                Fault::Oversized => all.oversized = true,
                Fault::Nested => all.nested = Some(nested::binxml().into()),
                Fault::Cleared(records) => all.cleared = Some(*records),
                Fault::Wrapped(records) => all.wrapped = Some(*records),
                Fault::Forwarded => all.forwarded = true,
                Fault::NoWait => all.no_wait = true,
                Fault::Hollow => all.hollow = true,
                Fault::NoMessages => all.messages = Some(MessageFault::Refuse),
                Fault::MessagesHang => all.messages = Some(MessageFault::Hang),
                Fault::MessagesGarbage => all.messages = Some(MessageFault::Garbage),
                Fault::MessagesOversized => all.messages = Some(MessageFault::Oversized),
            }
        }
        all
    }

    /// Whether the channel's access list keeps everybody out.
    pub(crate) fn denies(&self, channel: &str) -> bool {
        self.refuse_all || self.refuse_channels.contains(&channel.to_lowercase())
    }

    pub(crate) fn max_clauses(&self) -> usize {
        self.clauses.map_or(MAX_CLAUSES, |clauses| clauses as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_and_written() {
        for (kind, _) in Fault::KINDS {
            let (name, value) = match kind.split_once('[') {
                Some((name, value)) => (name, value.trim_end_matches(']')),
                None => (kind, ""),
            };
            let bare: Fault = name.parse().unwrap();
            assert_eq!(bare.to_string().parse(), Ok(bare.clone()));
            assert!(bare.to_string().starts_with(name));
            let given = match value {
                "" => ":1",
                ":CHANNEL" => ":Security",
                _ => ":7",
            };
            let given = format!("{name}{given}");
            match given.parse::<Fault>() {
                Ok(fault) if !value.is_empty() => assert_eq!(fault.to_string(), given),
                Err(FaultError::Value { .. }) if value.is_empty() => {}
                other => panic!("{given}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_fault_is_refused() {
        for text in ["", "sleepy", "silent:", "silent:x", "silent:-1", "big-batch:99999999999"] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
        assert_eq!("quiet:5".parse::<Fault>(), Err(FaultError::Kind("quiet".to_owned())));
    }
}
