//! The decoding of batches, each on any thread.

use std::ops::RangeInclusive;
use std::sync::Arc;

use quarry_binxml::{BinXmlError, ChunkDecoder, Decoder};
use quarry_even::ResultSetRecord;
use quarry_even::wire::EventBatch;
use quarry_event::filter::Matcher;
use quarry_event::{Event, EventTime, Field, FieldSource, PartialSource, Value};
use quarry_logfile::classic::{ClassicEvent, ClassicRecord};
use quarry_logfile::{Chunk, DamageKind, EvtItem, Item, RecordHeader, Run, RunRecords};

#[cfg(windows)]
use super::winevt;
use super::{Batch, Found, Raw};
use crate::types::{Damage, Direction, LogName, RecordId};

/// Takes what is in a batch, in its order.
pub trait Visitor {
    /// Whether an event is wanted, so far as its fields tell, which is asked before the rest of it
    /// is decoded. One that isn't is not visited. Events of an odd shape are, without asking.
    #[inline]
    fn wants<S: PartialSource>(&mut self, _event: &S) -> bool {
        true
    }

    /// Whether each event of the batch is wanted whole, so that neither [`wants`](Self::wants) nor
    /// [`takes`](Self::takes) needs to be asked.
    fn wants_all(&self) -> bool {
        false
    }

    /// Takes an event that is wanted, of which not everything was looked at, if what is known of it is enough.
    /// Says whether it was; it isn't visited then. Not every event is given so: most that are
    /// ordinary.
    #[inline]
    fn takes<S: PartialSource>(
        &mut self,
        _event: &S,
        _log: &str,
        _log_record: Option<RecordId>,
    ) -> bool {
        false
    }

    /// An event, the log it was read from, and its record number there.
    fn event<S: FieldSource>(&mut self, event: &S, log: &str, log_record: Option<RecordId>);

    /// An event that was recovered from slack, of a source that was opened so that it gives them:
    /// see [`FileLog::recovering`](crate::FileLog::recovering). It is not one of the log's own,
    /// and has to be told apart from them. Ignored by those who open no source so.
    fn recovered<S: FieldSource>(&mut self, event: &S, log: &str, log_record: Option<RecordId>) {
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

impl BatchReader {
    /// The least and the greatest time of a batch's events, of which little else is decoded. An event without a
    /// time counts as one of 1601. `None` where no event can be read.
    pub fn times(&mut self, batch: &Batch) -> Option<RangeInclusive<EventTime>> {
        let mut times = Times::default();
        self.read(batch, &mut times);
        times.0
    }
}

/// Notes times.
#[derive(Default)]
struct Times(Option<RangeInclusive<EventTime>>);

impl Times {
    fn note(&mut self, time: Value<'_>) {
        let time = time.as_time().unwrap_or_default();
        self.0 = Some(match self.0.take() {
            None => time..=time,
            Some(range) => time.min(*range.start())..=time.max(*range.end()),
        });
    }
}

impl Visitor for Times {
    #[inline]
    fn wants<S: PartialSource>(&mut self, event: &S) -> bool {
        self.note(event.known_field(Field::TimeCreated));
        false
    }

    fn event<S: FieldSource>(&mut self, event: &S, _log: &str, _log_record: Option<RecordId>) {
        self.note(event.field(Field::TimeCreated));
    }

    fn recovered<S: FieldSource>(&mut self, event: &S, _log: &str, _log_record: Option<RecordId>) {
        self.note(event.field(Field::TimeCreated));
    }

    fn damage(&mut self, _damage: &Damage) {}
}

/// An event that was decoded whole, and where it was read.
#[derive(Clone, PartialEq, Debug)]
pub struct ReadEvent {
    /// The event.
    pub event: Event,
    /// The log.
    pub log: String,
    /// Its record number there.
    pub log_record: Option<RecordId>,
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
    fn add<S: FieldSource>(
        &mut self,
        event: &S,
        log: &str,
        log_record: Option<RecordId>,
        left: bool,
    ) {
        if self.matcher.matches(event, None) {
            let event = Event::from_source(event);
            self.found.push(ReadEvent { event, log: log.to_owned(), log_record, recovered: left });
        }
    }
}

impl Visitor for Events<'_> {
    fn wants<S: PartialSource>(&mut self, event: &S) -> bool {
        !self.matcher.rules_out(event) && !self.matcher.lacks_a_word(event)
    }

    fn event<S: FieldSource>(&mut self, event: &S, log: &str, log_record: Option<RecordId>) {
        self.add(event, log, log_record, false);
    }

    fn recovered<S: FieldSource>(&mut self, event: &S, log: &str, log_record: Option<RecordId>) {
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
    let wants_all = visitor.wants_all();
    for item in items {
        let record = match item {
            Item::Damage(damage) => {
                visitor.damage(&(*damage).into());
                continue;
            }
            Item::Record(record) => record,
        };
        let range = record.binxml.clone();
        let event = match wants_all {
            true => decoder.event(range).map(Some),
            false => decoder.event_if(range, |head| {
                visitor.wants(head) && !visitor.takes(head, log, Some(RecordId(record.number)))
            }),
        };
        match event {
            Ok(Some(event)) => visitor.event(&event, log, Some(RecordId(record.number))),
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
            visitor.recovered(&left.record, log, Some(RecordId(record.number)));
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
    let number = Some(RecordId(u64::from(record.number())));
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
            visitor.event(&event, log, Some(RecordId(u64::from(record.number()))));
        }
    }
}

fn read_wire(
    decoder: &mut Decoder,
    batch: &EventBatch,
    logs: &[LogName],
    visitor: &mut impl Visitor,
) {
    let wants_all = visitor.wants_all();
    for record in batch.records() {
        // Checked when the batch came.
        let Ok(record) = ResultSetRecord::parse(record) else { continue };
        let number = RecordId(record.position.record_id());
        let Some(log) = logs.get(record.position.current_channel as usize) else { continue };
        let event = match wants_all {
            true => decoder.event(record.binxml).map(Some),
            false => decoder.event_if(record.binxml, |head| {
                visitor.wants(head) && !visitor.takes(head, &log.0, Some(number))
            }),
        };
        match event {
            Ok(Some(event)) => visitor.event(&event, &log.0, Some(number)),
            Ok(None) => {}
            Err(error) => {
                visitor.damage(&Damage::Record { log: log.clone(), record: number, error });
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
