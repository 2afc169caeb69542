//! Events as they came, and their decoding.

use std::ops::RangeInclusive;
use std::sync::Arc;

use quarry_binxml::Decoder;
use quarry_even::ResultSetRecord;
use quarry_even::wire::EventBatch;
use quarry_event::filter::Matcher;
use quarry_event::{Event, FieldSource, PartialSource};
use quarry_logfile::classic::{ClassicEvent, ClassicRecord};
use quarry_logfile::{Chunk, DamageKind, EvtxLog, Item};

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
    },
    /// Classic records, one behind the other, all of them well-formed.
    Classic { log: Arc<LogName>, bytes: Vec<u8>, sizes: Vec<usize> },
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
    ) -> Self {
        Batch { direction, raw: Raw::Chunk { name, log, n, only: None } }
    }

    /// Some records of a chunk, without the damage: it is told of before. What the chunk gets
    /// between now and when it is read is none of them.
    pub(crate) fn chunk_records(
        name: Arc<LogName>,
        log: Arc<EvtxLog>,
        n: u64,
        only: RangeInclusive<u64>,
    ) -> Self {
        let raw = Raw::Chunk { name, log, n, only: Some(only) };
        Batch { direction: Direction::Forward, raw }
    }

    /// Records of a result set, whose logs are `logs`.
    pub(crate) fn wire(batch: EventBatch, logs: Arc<[LogName]>) -> Self {
        Batch { direction: Direction::Forward, raw: Raw::Wire { batch, logs } }
    }

    /// Classic records of a log, with the size of each.
    pub(crate) fn classic(log: Arc<LogName>, bytes: Vec<u8>, sizes: Vec<usize>) -> Self {
        Batch { direction: Direction::Forward, raw: Raw::Classic { log, bytes, sizes } }
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
            Raw::Chunk { .. } => false,
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
            Raw::Damage(_) | Raw::Chunk { .. } => 0,
            Raw::Classic { sizes, .. } => sizes.len() as u64,
            Raw::Wire { batch, .. } => batch.len() as u64,
            #[cfg(windows)]
            Raw::Local(batch) => batch.len() as u64,
        }
    }

    /// How many bytes of memory the batch holds; about so many, where Windows holds them.
    pub fn bytes(&self) -> usize {
        match &self.raw {
            Raw::Damage(_) | Raw::Chunk { .. } => 0,
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

    /// Something that couldn't be read.
    fn damage(&mut self, damage: &Damage);
}

/// Decodes batches; keeps buffers and compiled templates for the next. A thread has one.
pub struct BatchReader {
    decoder: Decoder,
    bytes: Vec<u8>,
    items: Vec<Item>,
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
            #[cfg(windows)]
            local: LocalReader::default(),
        }
    }

    /// Reads a batch.
    pub fn read(&mut self, batch: &Batch, visitor: &mut impl Visitor) {
        match &batch.raw {
            Raw::Damage(damage) => damage.iter().for_each(|damage| visitor.damage(damage)),
            Raw::Chunk { name, log, n, only } => match log.chunk(*n, &mut self.bytes) {
                Ok(chunk) => {
                    chunk.items(&mut self.items);
                    if let Some(only) = only {
                        self.items.retain(
                            |item| matches!(item, Item::Record(r) if only.contains(&r.number)),
                        );
                    }
                    let (decoder, items) = (&mut self.decoder, &mut self.items);
                    read_chunk(decoder, items, chunk, &name.0, batch.direction, visitor);
                }
                Err(damage) => visitor.damage(&damage.into()),
            },
            Raw::Classic { log, bytes, .. } => read_classic(bytes, &log.0, visitor),
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

fn read_chunk(
    decoder: &mut Decoder,
    items: &mut [Item],
    chunk: Chunk<'_>,
    log: &str,
    direction: Direction,
    visitor: &mut impl Visitor,
) {
    if direction == Direction::Backward {
        items.reverse();
    }
    let mut decoder = decoder.chunk(chunk.bytes());
    for item in items.iter() {
        match item {
            Item::Damage(damage) => visitor.damage(&(*damage).into()),
            Item::Record(record) => {
                match decoder.event_if(record.binxml.clone(), |head| visitor.wants(head)) {
                    Ok(Some(event)) => visitor.event(&event, log, Some(record.number)),
                    Ok(None) => {}
                    Err(error) => {
                        let damage = quarry_logfile::Damage {
                            offset: record.offset,
                            record: Some(record.number),
                            kind: DamageKind::Record(error),
                        };
                        visitor.damage(&damage.into());
                    }
                }
            }
        }
    }
}

fn read_classic(mut bytes: &[u8], log: &str, visitor: &mut impl Visitor) {
    // Checked when the batch came.
    while let Ok((record, rest)) = ClassicRecord::split(bytes) {
        let event = ClassicEvent { record, log };
        if visitor.wants(&event) {
            visitor.event(&event, log, Some(record.number().into()));
        }
        bytes = rest;
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
