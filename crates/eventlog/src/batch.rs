//! Events as they came, and their decoding.

#[cfg(windows)]
mod winevt;

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use quarry_binxml::{BinXmlError, ChunkDecoder, Decoder, Definitions};
use quarry_even::ResultSetRecord;
use quarry_even::wire::EventBatch;
use quarry_event::filter::Matcher;
use quarry_event::{Event, EventTime, Field, FieldSource, PartialSource};
use quarry_logfile::classic::{ClassicEvent, ClassicRecord};
use quarry_logfile::{
    Chunk, DamageKind, EvtItem, EvtLog, EvtxLog, Item, ReadAt, RecordHeader, Run, RunRecords,
};

use crate::types::{Damage, Direction, LogName, RecordId};
#[cfg(windows)]
pub(crate) use winevt::LocalBatch;

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
        /// Whether what is meant are the records of its slack, rather than its own.
        slack: bool,
        /// Where records are recovered, the definitions for those whose own are gone.
        definitions: Option<Arc<Definitions>>,
    },
    /// Records that stand outside of any log's.
    Found { name: Arc<LogName>, found: Arc<Found>, runs: Range<usize> },
    /// A block of an `.evt` file, whose events are of a channel.
    Evt { name: Arc<LogName>, channel: Arc<str>, log: Arc<EvtLog>, n: u64 },
    /// Classic records, one after the other, all of which can be read.
    Classic { log: Arc<LogName>, channel: Arc<str>, bytes: Vec<u8>, sizes: Vec<usize> },
    /// A server's answer, all of whose records are well-formed.
    Wire { batch: EventBatch, logs: Arc<[LogName]> },
    /// Events of this machine, not rendered yet.
    #[cfg(windows)]
    Local(LocalBatch),
}

/// Records that were found in a file.
pub(crate) struct Found {
    pub(crate) file: Arc<dyn ReadAt>,
    pub(crate) runs: Vec<Run>,
    pub(crate) definitions: Arc<Definitions>,
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
        let raw = Raw::Chunk { name, log, n, only: None, slack: false, definitions: None };
        Batch { direction, raw }
    }

    /// The records of a chunk, or those of its slack, where records are recovered.
    pub(crate) fn chunk_recovered(
        name: Arc<LogName>,
        log: Arc<EvtxLog>,
        n: u64,
        direction: Direction,
        slack: bool,
        definitions: Arc<Definitions>,
    ) -> Self {
        let definitions = Some(definitions);
        Batch { direction, raw: Raw::Chunk { name, log, n, only: None, slack, definitions } }
    }

    /// Some of the runs that were found in a file.
    pub(crate) fn found(
        name: Arc<LogName>,
        found: Arc<Found>,
        runs: Range<usize>,
        direction: Direction,
    ) -> Self {
        Batch { direction, raw: Raw::Found { name, found, runs } }
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
        let raw = Raw::Chunk { name, log, n, only: Some(only), slack: false, definitions: None };
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
            Raw::Chunk { .. } | Raw::Found { .. } | Raw::Evt { .. } => false,
            Raw::Classic { sizes, .. } => sizes.is_empty(),
            Raw::Wire { batch, .. } => batch.is_empty(),
            #[cfg(windows)]
            Raw::Local(batch) => batch.len() == 0,
        }
    }

    /// Whether it reports that records of a log were overwritten unread.
    pub(crate) fn tells_overwritten(&self) -> bool {
        let is_gap = |damage: &Damage| matches!(damage, Damage::Overwritten(_));
        matches!(&self.raw, Raw::Damage(damage) if damage.iter().any(is_gap))
    }

    /// Leaves out the records of a result set that aren't kept.
    pub(crate) fn keep(&mut self, is_kept: &[bool]) {
        match &mut self.raw {
            Raw::Wire { batch, .. } => {
                let (offsets, sizes, buffer) = std::mem::take(batch).into_parts();
                let kept = |values: Vec<u32>| {
                    let kept = values.into_iter().zip(is_kept).filter(|(_, is_kept)| **is_kept);
                    kept.map(|(value, _)| value).collect::<Vec<_>>()
                };
                // What lay within the buffer still does.
                *batch = EventBatch::new(kept(offsets), kept(sizes), buffer).unwrap_or_default();
            }
            #[cfg(windows)]
            Raw::Local(batch) => batch.keep(is_kept),
            Raw::Damage(_)
            | Raw::Chunk { .. }
            | Raw::Found { .. }
            | Raw::Evt { .. }
            | Raw::Classic { .. } => {}
        }
    }

    /// The records of a server's answer, undecoded.
    #[cfg(test)]
    pub(crate) fn wire_records(&self) -> Vec<&[u8]> {
        match &self.raw {
            Raw::Wire { batch, .. } => batch.records().collect(),
            _ => Vec::new(),
        }
    }

    /// The damage that it reports.
    #[cfg(test)]
    pub(crate) fn reported(&self) -> &[Damage] {
        match &self.raw {
            Raw::Damage(damage) => damage,
            _ => &[],
        }
    }

    /// How many records there are, where that is known before they are read.
    pub fn records(&self) -> u64 {
        match &self.raw {
            Raw::Damage(_) | Raw::Chunk { .. } | Raw::Found { .. } | Raw::Evt { .. } => 0,
            Raw::Classic { sizes, .. } => sizes.len() as u64,
            Raw::Wire { batch, .. } => batch.len() as u64,
            #[cfg(windows)]
            Raw::Local(batch) => batch.len() as u64,
        }
    }

    /// How many bytes of memory the batch holds; about so many, where Windows holds them.
    pub fn bytes(&self) -> usize {
        match &self.raw {
            Raw::Damage(_) | Raw::Chunk { .. } | Raw::Found { .. } | Raw::Evt { .. } => 0,
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
    /// see [`FileLog::recovering`](crate::FileLog::recovering). It is not one of the log's own,
    /// and has to be told apart from them. Ignored by those who open no source so.
    fn recovered<S: FieldSource>(&mut self, event: &S, log: &str, log_record: Option<u64>) {
        let _ = (event, log, log_record);
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
    local: winevt::LocalReader,
}

impl Default for BatchReader {
    fn default() -> Self {
        BatchReader::new(Decoder::new())
    }
}

impl BatchReader {
    /// A reader that takes ANSI text to be in the given code page.
    pub fn with_code_page(ansi: &'static encoding_rs::Encoding) -> Self {
        BatchReader::new(Decoder::with_code_page(ansi))
    }

    /// A reader that uses the given decoder.
    pub fn new(decoder: Decoder) -> Self {
        BatchReader {
            decoder,
            bytes: Vec::new(),
            items: Vec::new(),
            slack: Vec::new(),
            evt_items: Vec::new(),
            #[cfg(windows)]
            local: winevt::LocalReader::default(),
        }
    }

    /// Reads a batch.
    pub fn read(&mut self, batch: &Batch, visitor: &mut impl Visitor) {
        match &batch.raw {
            Raw::Damage(damage) => damage.iter().for_each(|damage| visitor.damage(damage)),
            Raw::Chunk { name, log, n, only, slack, definitions } => {
                match log.chunk(*n, &mut self.bytes) {
                    Ok(chunk) => {
                        chunk.items(&mut self.items);
                        if let Some(definitions) = definitions {
                            self.decoder.set_definitions(Arc::clone(definitions));
                        }
                        let mut decoder = self.decoder.chunk(chunk.bytes());
                        if *slack {
                            chunk.slack(&self.items, &mut self.slack);
                            decoder.set_generations(Chunk::generations(&self.items, &self.slack));
                            if batch.direction == Direction::Backward {
                                self.slack.reverse();
                            }
                            for record in &self.slack {
                                read_leftover(&mut decoder, record, &name.0, visitor);
                            }
                            return;
                        }
                        if definitions.is_some() {
                            decoder.set_generations(Chunk::generations(&self.items, &[]));
                        }
                        if let Some(only) = only {
                            self.items.retain(
                                |item| matches!(item, Item::Record(r) if only.contains(&r.number)),
                            );
                        }
                        if batch.direction == Direction::Backward {
                            self.items.reverse();
                        }
                        let is_recovered = definitions.is_some();
                        read_chunk(decoder, &self.items, is_recovered, &name.0, visitor);
                    }
                    // It is told with the chunk's own records.
                    Err(_) if *slack => {}
                    Err(damage) => visitor.damage(&damage.into()),
                }
            }
            Raw::Found { name, found, runs } => {
                self.decoder.set_definitions(Arc::clone(&found.definitions));
                let runs = &found.runs[runs.clone()];
                match batch.direction {
                    Direction::Forward => {
                        for run in runs {
                            self.read_run(run, found, batch.direction, &name.0, visitor);
                        }
                    }
                    Direction::Backward => {
                        for run in runs.iter().rev() {
                            self.read_run(run, found, batch.direction, &name.0, visitor);
                        }
                    }
                }
            }
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

impl BatchReader {
    /// Reads records that stand one right after the other, outside of any log's.
    fn read_run(
        &mut self,
        run: &Run,
        found: &Found,
        direction: Direction,
        log: &str,
        visitor: &mut impl Visitor,
    ) {
        match run.read(&*found.file, &mut self.bytes) {
            Ok(RunRecords::Evtx { mut records, generation }) => {
                if direction == Direction::Backward {
                    records.reverse();
                }
                let mut decoder = self.decoder.chunk(&self.bytes);
                decoder.set_generations([generation]);
                for record in &records {
                    read_leftover(&mut decoder, record, log, visitor);
                }
            }
            Ok(RunRecords::Evt(mut records)) => {
                if direction == Direction::Backward {
                    records.reverse();
                }
                for bytes in records {
                    // The channel is told by the name of the log's file, which is lost.
                    read_evt_record(&self.bytes[bytes], true, log, "", visitor);
                }
            }
            Err(e) => {
                let (offset, kind) = (run.offset(), DamageKind::Io(e.kind()));
                visitor.damage(&quarry_logfile::Damage { offset, record: None, kind }.into());
            }
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
    /// Whether it was recovered from slack.
    pub recovered: bool,
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

impl Events<'_> {
    fn add<S: FieldSource>(&mut self, event: &S, log: &str, log_record: Option<u64>, left: bool) {
        if self.matcher.matches(event, None) {
            let event = Event::from_source(event);
            self.found.push(ReadEvent { event, log: log.to_owned(), log_record, recovered: left });
        }
    }
}

impl Visitor for Events<'_> {
    fn wants<S: PartialSource>(&mut self, event: &S) -> bool {
        !self.matcher.rules_out(event)
    }

    fn event<S: FieldSource>(&mut self, event: &S, log: &str, log_record: Option<u64>) {
        self.add(event, log, log_record, false);
    }

    fn recovered<S: FieldSource>(&mut self, event: &S, log: &str, log_record: Option<u64>) {
        self.add(event, log, log_record, true);
    }

    fn damage(&mut self, _damage: &Damage) {}
}

fn read_chunk<V: Visitor>(
    mut decoder: ChunkDecoder<'_>,
    items: &[Item],
    is_recovered: bool,
    log: &str,
    visitor: &mut V,
) {
    for item in items {
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
            // Where its template is damaged, another place may have it.
            Err(_) if is_recovered => read_leftover(&mut decoder, record, log, visitor),
            Err(error) => visitor.damage(&unread(record, error)),
        }
    }
}

/// A record that was left over.
fn read_leftover(
    decoder: &mut ChunkDecoder<'_>,
    record: &RecordHeader,
    log: &str,
    visitor: &mut impl Visitor,
) {
    match decoder.leftover(record.binxml.clone()) {
        Ok(left) => {
            if !visitor.wants(&left.record) {
                return;
            }
            visitor.recovered(&left.record, log, Some(record.number));
            if left.has_lost_names {
                visitor.damage(&of_record(record, DamageKind::LostNames));
            }
            if left.has_borrowed_template {
                visitor.damage(&of_record(record, DamageKind::BorrowedTemplate));
            }
        }
        Err(error) => visitor.damage(&unread(record, error)),
    }
}

fn unread(record: &RecordHeader, error: BinXmlError) -> Damage {
    of_record(record, DamageKind::Record(error))
}

fn of_record(record: &RecordHeader, kind: DamageKind) -> Damage {
    quarry_logfile::Damage { offset: record.offset, record: Some(record.number), kind }.into()
}

fn read_evt(bytes: &[u8], items: &[EvtItem], log: &str, channel: &str, visitor: &mut impl Visitor) {
    for item in items {
        match item {
            EvtItem::Damage(damage) => visitor.damage(&(*damage).into()),
            EvtItem::Record { bytes: range, recovered, .. } => {
                read_evt_record(&bytes[range.clone()], *recovered, log, channel, visitor);
            }
        }
    }
}

fn read_evt_record(
    bytes: &[u8],
    recovered: bool,
    log: &str,
    channel: &str,
    visitor: &mut impl Visitor,
) {
    // The damage of what is left out of it is told apart.
    let Some((record, _)) = ClassicRecord::salvage(bytes) else { return };
    let event = ClassicEvent { record, log: channel };
    if !visitor.wants(&event) {
        return;
    }
    let number = Some(record.number().into());
    match recovered {
        true => visitor.recovered(&event, log, number),
        false => visitor.event(&event, log, number),
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
                let record = RecordId(number);
                visitor.damage(&Damage::Record { log: log.clone(), record, error });
            }
        }
    }
}

/// The times of the first and the last record of a result set, where they have one.
pub(crate) fn end_times(decoder: &mut Decoder, batch: &EventBatch) -> [Option<EventTime>; 2] {
    let mut records = batch.records();
    let all = records.len();
    let first = records.next().and_then(|record| time_of(decoder, record));
    match records.nth(all.saturating_sub(2)) {
        Some(last) => [first, time_of(decoder, last)],
        None => [first, first],
    }
}

fn time_of(decoder: &mut Decoder, record: &[u8]) -> Option<EventTime> {
    let binxml = ResultSetRecord::parse(record).ok()?.binxml;
    let mut time = None;
    // The rest of the event is not read, where the time can be had without it.
    let event = decoder.event_if(binxml, |head| {
        time = head.known_field(Field::TimeCreated).as_time();
        time.is_none()
    });
    time.or_else(|| event.ok()??.field(Field::TimeCreated).as_time())
}
