//! Events as they came, and their decoding.

use std::ops::RangeInclusive;
use std::sync::Arc;

use quarry_binxml::{BinXmlError, ChunkDecoder, Decoder};
use quarry_even::ResultSetRecord;
use quarry_even::wire::EventBatch;
use quarry_event::filter::Matcher;
use quarry_event::{Event, FieldSource, PartialSource};
use quarry_logfile::classic::{ClassicEvent, ClassicRecord};
use quarry_logfile::{Chunk, DamageKind, EvtItem, EvtLog, EvtxLog, Item, RecordHeader};

use crate::damage::Damage;
#[cfg(windows)]
use crate::local::{LocalBatch, LocalReader};
use crate::log::{Direction, LogName};

/// Some events of a log, not decoded yet; a chunk of a file is not even read yet.
pub struct Batch {
    direction: Direction,
    raw: Raw,
}

enum Raw {
    /// Damage that concerns the log as a whole.
    Damage(Vec<Damage>),
    Chunk {
        name: Arc<LogName>,
        log: Arc<EvtxLog>,
        n: u64,
        /// Only records with these numbers, where not all are meant.
        only: Option<RangeInclusive<u64>>,
        /// Whether records of slack are wanted too.
        recover: bool,
    },
    /// A block of an `.evt` file, whose events are of a channel.
    Evt { name: Arc<LogName>, channel: Arc<str>, log: Arc<EvtLog>, n: u64 },
    /// Classic records, one behind the other, all of which can be read.
    Classic { log: Arc<LogName>, channel: Arc<str>, bytes: Vec<u8>, sizes: Vec<usize> },
    /// A server's answer, all of whose records are well-formed.
    Wire { batch: EventBatch, logs: Arc<[LogName]> },
    /// Events of this machine, not rendered yet.
    #[cfg(windows)]
    Local(LocalBatch),
}

impl Batch {
    pub(crate) fn damage(damage: Vec<Damage>) -> Self {
        Batch { direction: Direction::Forward, raw: Raw::Damage(damage) }
    }

    pub(crate) fn chunk(
        name: Arc<LogName>,
        log: Arc<EvtxLog>,
        n: u64,
        direction: Direction,
        recover: bool,
    ) -> Self {
        Batch { direction, raw: Raw::Chunk { name, log, n, only: None, recover } }
    }

    pub(crate) fn evt(
        name: Arc<LogName>,
        channel: Arc<str>,
        log: Arc<EvtLog>,
        n: u64,
        direction: Direction,
    ) -> Self {
        Batch { direction, raw: Raw::Evt { name, channel, log, n } }
    }

    /// Some records of a chunk, without the damage: it is told of before. What the chunk gets
    /// between now and when it is read is none of them.
    pub(crate) fn chunk_records(
        name: Arc<LogName>,
        log: Arc<EvtxLog>,
        n: u64,
        only: RangeInclusive<u64>,
    ) -> Self {
        let raw = Raw::Chunk { name, log, n, only: Some(only), recover: false };
        Batch { direction: Direction::Forward, raw }
    }

    /// Records of a result set, whose logs are `logs`.
    pub(crate) fn wire(batch: EventBatch, logs: Arc<[LogName]>) -> Self {
        Batch { direction: Direction::Forward, raw: Raw::Wire { batch, logs } }
    }

    /// Classic records of a log, with the size of each.
    pub(crate) fn classic(log: Arc<LogName>, bytes: Vec<u8>, sizes: Vec<usize>) -> Self {
        let channel = log.0.as_str().into();
        Batch::classic_of(log, channel, bytes, sizes)
    }

    /// The same, where the log has another name than the channel.
    pub(crate) fn classic_of(
        log: Arc<LogName>,
        channel: Arc<str>,
        bytes: Vec<u8>,
        sizes: Vec<usize>,
    ) -> Self {
        let raw = Raw::Classic { log, channel, bytes, sizes };
        Batch { direction: Direction::Forward, raw }
    }

    /// Events of this machine.
    #[cfg(windows)]
    pub(crate) fn local(batch: LocalBatch) -> Self {
        Batch { direction: Direction::Forward, raw: Raw::Local(batch) }
    }

    /// Nothing, as a sign of life.
    pub(crate) fn empty() -> Self {
        Batch::damage(Vec::new())
    }

    /// Whether there is nothing in it: the source lives, and searches on.
    pub fn is_empty(&self) -> bool {
        match &self.raw {
            Raw::Damage(damage) => damage.is_empty(),
            Raw::Chunk { .. } | Raw::Evt { .. } => false,
            Raw::Classic { sizes, .. } => sizes.is_empty(),
            Raw::Wire { batch, .. } => batch.is_empty(),
            #[cfg(windows)]
            Raw::Local(batch) => batch.len() == 0,
        }
    }

    /// Whether it tells that records of a log were overwritten unread.
    pub(crate) fn tells_overwritten(&self) -> bool {
        let is_gap = |damage: &Damage| matches!(damage, Damage::Overwritten { .. });
        matches!(&self.raw, Raw::Damage(damage) if damage.iter().any(is_gap))
    }

    /// How many records there are, where that is known before they are read.
    pub fn records(&self) -> u64 {
        match &self.raw {
            Raw::Damage(_) | Raw::Chunk { .. } | Raw::Evt { .. } => 0,
            Raw::Classic { sizes, .. } => sizes.len() as u64,
            Raw::Wire { batch, .. } => batch.len() as u64,
            #[cfg(windows)]
            Raw::Local(batch) => batch.len() as u64,
        }
    }

    /// How many bytes of memory the batch holds; about so many, where Windows holds them.
    pub fn bytes(&self) -> usize {
        match &self.raw {
            Raw::Damage(_) | Raw::Chunk { .. } | Raw::Evt { .. } => 0,
            Raw::Classic { bytes, .. } => bytes.len(),
            Raw::Wire { batch, .. } => batch.buffer().len(),
            #[cfg(windows)]
            Raw::Local(batch) => batch.bytes(),
        }
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Batch");
        shown.field("records", &self.records()).field("bytes", &self.bytes());
        shown.finish_non_exhaustive()
    }
}

/// Takes what is in a batch, in its order.
pub trait Visitor {
    /// Whether an event is wanted, so far as its fields tell, which is asked before the rest of it
    /// is decoded. One that isn't is not visited. Events of an odd shape are, without asking.
    #[inline]
    fn wants<S: PartialSource>(&mut self, _event: &S) -> bool {
        true
    }

    /// An event, the log it was read from, and its record number there.
    fn event<S: FieldSource>(&mut self, event: &S, log: &str, log_record: Option<u64>);

    /// An event that was recovered from slack, of a source that was opened so that it gives them:
    /// see [`FileLog::recovering`](crate::FileLog::recovering).
    #[inline]
    fn recovered<S: FieldSource>(&mut self, event: &S, log: &str, log_record: Option<u64>) {
        self.event(event, log, log_record);
    }

    /// Something that couldn't be read.
    fn damage(&mut self, damage: &Damage);
}

/// Decodes batches; keeps buffers and compiled templates for the next. A thread has one.
pub struct BatchReader {
    decoder: Decoder,
    bytes: Vec<u8>,
    items: Vec<Item>,
    slack: Vec<RecordHeader>,
    evt_items: Vec<EvtItem>,
    #[cfg(windows)]
    local: LocalReader,
}

impl Default for BatchReader {
    fn default() -> Self {
        BatchReader::new(Decoder::new())
    }
}

impl BatchReader {
    /// A reader that uses the given decoder.
    pub fn new(decoder: Decoder) -> Self {
        BatchReader {
            decoder,
            bytes: Vec::new(),
            items: Vec::new(),
            slack: Vec::new(),
            evt_items: Vec::new(),
            #[cfg(windows)]
            local: LocalReader::default(),
        }
    }

    /// Reads a batch.
    pub fn read(&mut self, batch: &Batch, visitor: &mut impl Visitor) {
        match &batch.raw {
            Raw::Damage(damage) => damage.iter().for_each(|damage| visitor.damage(damage)),
            Raw::Chunk { name, log, n, only, recover } => match log.chunk(*n, &mut self.bytes) {
                Ok(chunk) => {
                    chunk.items(&mut self.items);
                    if let Some(only) = only {
                        self.items.retain(
                            |item| matches!(item, Item::Record(r) if only.contains(&r.number)),
                        );
                    }
                    self.slack.clear();
                    if *recover {
                        chunk.slack(&self.items, &mut self.slack);
                    }
                    let (decoder, items) = (&mut self.decoder, &mut self.items);
                    let slack = &mut self.slack;
                    read_chunk(decoder, items, slack, chunk, &name.0, batch.direction, visitor);
                }
                Err(damage) => visitor.damage(&damage.into()),
            },
            Raw::Evt { name, channel, log, n } => {
                log.block(*n, &mut self.bytes, &mut self.evt_items);
                if batch.direction == Direction::Backward {
                    self.evt_items.reverse();
                }
                read_evt(&self.bytes, &self.evt_items, &name.0, channel, visitor);
            }
            Raw::Classic { log, channel, bytes, sizes } => {
                read_classic(bytes, sizes, &log.0, channel, visitor);
            }
            Raw::Wire { batch, logs } => read_wire(&mut self.decoder, batch, logs, visitor),
            #[cfg(windows)]
            Raw::Local(batch) => self.local.read(batch, visitor),
        }
    }
}

/// An event that was decoded whole, and where it was read.
#[derive(Clone, PartialEq, Debug)]
pub struct ReadEvent {
    /// The event.
    pub event: Event,
    /// The log.
    pub log: String,
    /// Its record number there.
    pub log_record: Option<u64>,
}

impl BatchReader {
    /// The events of a batch that pass a filter, each decoded whole: simpler than a [`Visitor`],
    /// and slower. What can't be read is left out.
    pub fn events(&mut self, batch: &Batch, matcher: &mut Matcher) -> Vec<ReadEvent> {
        let mut events = Events { matcher, found: Vec::new() };
        self.read(batch, &mut events);
        events.found
    }
}

/// Decodes events that match.
struct Events<'m> {
    matcher: &'m mut Matcher,
    found: Vec<ReadEvent>,
}

impl Visitor for Events<'_> {
    fn wants<S: PartialSource>(&mut self, event: &S) -> bool {
        !self.matcher.rules_out(event)
    }

    fn event<S: FieldSource>(&mut self, event: &S, log: &str, log_record: Option<u64>) {
        if self.matcher.matches(event, None) {
            let event = Event::from_source(event);
            self.found.push(ReadEvent { event, log: log.to_owned(), log_record });
        }
    }

    fn damage(&mut self, _damage: &Damage) {}
}

fn read_chunk<V: Visitor>(
    decoder: &mut Decoder,
    items: &mut [Item],
    slack: &mut [RecordHeader],
    chunk: Chunk<'_>,
    log: &str,
    direction: Direction,
    visitor: &mut V,
) {
    if direction == Direction::Backward {
        items.reverse();
        slack.reverse();
    }
    let mut decoder = decoder.chunk(chunk.bytes());
    // What is in a chunk's slack is older than its records.
    if direction == Direction::Forward {
        read_slack(&mut decoder, slack, log, visitor);
    }
    for item in items.iter() {
        let record = match item {
            Item::Damage(damage) => {
                visitor.damage(&(*damage).into());
                continue;
            }
            Item::Record(record) => record,
        };
        match decoder.event_if(record.binxml.clone(), |head| visitor.wants(head)) {
            Ok(Some(event)) => visitor.event(&event, log, Some(record.number)),
            Ok(None) => {}
            Err(error) => visitor.damage(&unread(record, error)),
        }
    }
    if direction == Direction::Backward {
        read_slack(&mut decoder, slack, log, visitor);
    }
}

/// The records that were left over in a chunk.
fn read_slack(
    decoder: &mut ChunkDecoder<'_>,
    slack: &[RecordHeader],
    log: &str,
    visitor: &mut impl Visitor,
) {
    for record in slack {
        match decoder.leftover(record.binxml.clone()) {
            Ok(event) => {
                if visitor.wants(&event) {
                    visitor.recovered(&event, log, Some(record.number));
                }
            }
            Err(error) => visitor.damage(&unread(record, error)),
        }
    }
}

fn unread(record: &RecordHeader, error: BinXmlError) -> Damage {
    let kind = DamageKind::Record(error);
    quarry_logfile::Damage { offset: record.offset, record: Some(record.number), kind }.into()
}

fn read_evt(bytes: &[u8], items: &[EvtItem], log: &str, channel: &str, visitor: &mut impl Visitor) {
    for item in items {
        match item {
            EvtItem::Damage(damage) => visitor.damage(&(*damage).into()),
            EvtItem::Record { bytes: range, recovered, .. } => {
                // The damage of what is left out of it is an item of its own.
                let Some((record, _)) = ClassicRecord::salvage(&bytes[range.clone()]) else {
                    continue;
                };
                let event = ClassicEvent { record, log: channel };
                if !visitor.wants(&event) {
                    continue;
                }
                let number = Some(record.number().into());
                match recovered {
                    true => visitor.recovered(&event, log, number),
                    false => visitor.event(&event, log, number),
                }
            }
        }
    }
}

fn read_classic(
    mut bytes: &[u8],
    sizes: &[usize],
    log: &str,
    channel: &str,
    visitor: &mut impl Visitor,
) {
    for size in sizes {
        let Some((record, rest)) = bytes.split_at_checked(*size) else { return };
        bytes = rest;
        // Checked when the batch came.
        let Some((record, _)) = ClassicRecord::salvage(record) else { continue };
        let event = ClassicEvent { record, log: channel };
        if visitor.wants(&event) {
            visitor.event(&event, log, Some(record.number().into()));
        }
    }
}

fn read_wire(
    decoder: &mut Decoder,
    batch: &EventBatch,
    logs: &[LogName],
    visitor: &mut impl Visitor,
) {
    for record in batch.records() {
        // Checked when the batch came.
        let Ok(record) = ResultSetRecord::parse(record) else { continue };
        let number = record.position.record_id();
        let Some(log) = logs.get(record.position.current_channel as usize) else { continue };
        match decoder.event_if(record.binxml, |head| visitor.wants(head)) {
            Ok(Some(event)) => visitor.event(&event, &log.0, Some(number)),
            Ok(None) => {}
            Err(error) => {
                visitor.damage(&Damage::Record { log: log.clone(), record: number, error });
            }
        }
    }
}
