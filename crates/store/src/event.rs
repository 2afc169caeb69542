//! A row as the event that it was made of.
//!
//! A stored event prints and matches as the original did, in every format. What a row doesn't keep:
//! the types of values (a number is its text), whether the record was recovered from slack, names
//! behind numbers (`names` in JSON), the titles and levels of detection rules (the row has their
//! identifiers), and the bytes of the record.

use std::ops::ControlFlow;
use std::sync::Arc;

use deltalake::arrow::array::{
    Array, ArrayRef, AsArray, Int8Array, Int16Array, Int32Array, Int64Array, ListArray, MapArray,
    RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray,
};
use deltalake::arrow::compute::cast;
use deltalake::arrow::datatypes::{
    DataType, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use quarry_event::filter::Matcher;
use quarry_event::{
    DataName, Event, EventTime, Field, FieldSource, Message, MessageBy, Origin, RecordId, RuleName,
    Sink, Texts, Value,
};

use crate::StoreError;
use crate::schema::column;
use crate::shape::{self, Columns};

/// Microseconds from 1601 to 1970.
pub(crate) const EPOCH: i64 = 11_644_473_600_000_000;

/// An event that was stored, or what a row says that is no event.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    event: Event,
    /// What the row is: `event`, or `gap`, `failure` or `recovery`, of which
    /// [`message`](Self::message) has the text.
    pub kind: String,
    /// Where the event was read.
    pub source: String,
    /// The host that it was read from.
    pub host: Option<String>,
    /// The log that it was read from.
    pub log: String,
    /// The record's number there.
    pub log_record: Option<RecordId>,
    /// When the row was made.
    pub received: Option<EventTime>,
    /// The event's time.
    time: Option<EventTime>,
    message: Option<(String, Option<MessageBy>)>,
    rules: Vec<Arc<RuleName>>,
}

impl StoredEvent {
    /// The event's time; that of the gap or the failure where the row is no event.
    pub fn time(&self) -> Option<EventTime> {
        self.time
    }

    /// Where the event was read, which is its identity.
    pub fn origin(&self) -> Origin<'_> {
        Origin {
            source: &self.source,
            host: self.host.as_deref(),
            log: &self.log,
            log_record: self.log_record,
            recovered: false,
        }
    }

    /// The message text that was stored.
    pub fn message(&self) -> Option<&str> {
        self.message.as_ref().map(|(text, _)| &**text)
    }

    /// The text that was stored with the event, as printers take it.
    pub fn texts(&self) -> Texts<'_> {
        let message =
            self.message.as_ref().and_then(|(text, by)| Some(Message { text, by: (*by)? }));
        Texts { message, source: None, rules: &self.rules }
    }

    /// The detection rules that the event matched when it was stored, by their identifiers alone.
    pub fn rules(&self) -> &[Arc<RuleName>] {
        &self.rules
    }

    /// Whether a filter passes the event, with the message and the rules that were stored.
    pub(crate) fn passes(&self, matcher: &mut Matcher) -> bool {
        matcher.matches(self, self.message()) && matcher.rules_pass(&self.rules)
    }

    /// The event as a tree.
    pub fn event(&self) -> &Event {
        &self.event
    }
}

impl FieldSource for StoredEvent {
    fn field(&self, field: Field) -> Value<'_> {
        self.event.field(field)
    }

    fn each_data<'a, F>(&'a self, visit: F) -> ControlFlow<()>
    where
        F: FnMut(Option<DataName<'a>>, Value<'a>) -> ControlFlow<()>,
    {
        self.event.each_data(visit)
    }

    fn walk<'a, S: Sink<'a>>(&'a self, sink: &mut S) {
        self.event.walk(sink);
    }

    fn has_more(&self) -> bool {
        self.event.has_more()
    }
}

/// Text of either of the two layouts that a scan gives.
#[derive(Clone, Debug)]
pub(crate) enum Texts2 {
    Plain(StringArray),
    View(StringViewArray),
}

impl Texts2 {
    pub(crate) fn new(array: &ArrayRef) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Utf8 => Texts2::Plain(array.as_string::<i32>().clone()),
            DataType::Utf8View => Texts2::View(array.as_string_view().clone()),
            DataType::LargeUtf8 | DataType::Dictionary(..) => {
                Texts2::Plain(cast(array, &DataType::Utf8).ok()?.as_string::<i32>().clone())
            }
            _ => return None,
        })
    }

    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        match self {
            Texts2::Plain(array) => (!array.is_null(row)).then(|| array.value(row)),
            Texts2::View(array) => (!array.is_null(row)).then(|| array.value(row)),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Texts2::Plain(array) => array.len(),
            Texts2::View(array) => array.len(),
        }
    }
}

/// A batch of rows, looked at by column.
#[derive(Debug)]
pub(crate) struct Batch {
    time: TimestampMicrosecondArray,
    tick: Int8Array,
    filetime: Int64Array,
    received: TimestampMicrosecondArray,
    pub(crate) source: Texts2,
    pub(crate) host: Texts2,
    pub(crate) log: Texts2,
    log_record: Int64Array,
    texts: [Texts2; 7],
    longs: [Int64Array; 4],
    ints: [Int32Array; 4],
    shorts: [Int16Array; 2],
    data: MapArray,
    names: Texts2,
    values: Texts2,
    other: Texts2,
    message: Texts2,
    message_source: Texts2,
    rules: ListArray,
    kind: Texts2,
    shape: Int32Array,
    tree: Texts2,
    len: usize,
}

/// The columns that an event is made of, in an order that reads well in a plan.
pub(crate) const COLUMNS: [&str; 33] = [
    column::TIME,
    column::TICK,
    column::FILETIME,
    column::SOURCE,
    column::HOST,
    column::LOG,
    column::LOG_RECORD,
    column::RECEIVED,
    column::COMPUTER,
    column::CHANNEL,
    column::RECORD_ID,
    column::PROVIDER,
    column::PROVIDER_GUID,
    column::USER_SID,
    column::ACTIVITY_ID,
    column::RELATED_ACTIVITY_ID,
    column::EVENT_ID,
    column::QUALIFIERS,
    column::VERSION,
    column::LEVEL,
    column::TASK,
    column::OPCODE,
    column::KEYWORDS,
    column::PROCESS_ID,
    column::THREAD_ID,
    column::DATA,
    column::OTHER,
    column::MESSAGE,
    column::MESSAGE_SOURCE,
    column::RULES,
    column::KIND,
    column::SHAPE,
    column::TREE,
];

/// A time from its columns.
pub(crate) fn time_of(
    time: Option<i64>,
    tick: Option<i8>,
    filetime: Option<i64>,
) -> Option<EventTime> {
    match (time, filetime) {
        (_, Some(units)) => Some(EventTime::from_filetime(units as u64)),
        (Some(micros), None) => {
            let micros = u64::try_from(micros.checked_add(EPOCH)?).ok()?;
            let tick = u64::try_from(tick.unwrap_or_default()).unwrap_or_default();
            Some(EventTime::from_filetime(micros.checked_mul(10)?.checked_add(tick)?))
        }
        (None, None) => None,
    }
}

impl Batch {
    /// # Errors
    /// [`StoreError::Rows`]: a column is missing or of another type.
    pub(crate) fn new(batch: &RecordBatch) -> Result<Self, StoreError> {
        let wrong = |name: &str| StoreError::Rows {
            why: format!("the column {name} is not as it should be"),
        };
        let column = |name: &'static str| batch.column_by_name(name).ok_or_else(|| wrong(name));
        let text = |name: &'static str| Texts2::new(column(name)?).ok_or_else(|| wrong(name));
        let long = |name: &'static str| {
            column(name)?.as_primitive_opt::<Int64Type>().cloned().ok_or_else(|| wrong(name))
        };
        let int = |name: &'static str| {
            column(name)?.as_primitive_opt::<Int32Type>().cloned().ok_or_else(|| wrong(name))
        };
        let short = |name: &'static str| {
            column(name)?.as_primitive_opt::<Int16Type>().cloned().ok_or_else(|| wrong(name))
        };
        let time = |name: &'static str| {
            let array = column(name)?.as_primitive_opt::<TimestampMicrosecondType>();
            array.cloned().ok_or_else(|| wrong(name))
        };
        let data = column(column::DATA)?.as_map_opt().ok_or_else(|| wrong(column::DATA))?;
        let entry = |array: &ArrayRef| Texts2::new(array).ok_or_else(|| wrong(column::DATA));
        let rules = column(column::RULES)?;
        Ok(Batch {
            time: time(column::TIME)?,
            tick: column(column::TICK)?
                .as_primitive_opt::<Int8Type>()
                .cloned()
                .ok_or_else(|| wrong(column::TICK))?,
            filetime: long(column::FILETIME)?,
            received: time(column::RECEIVED)?,
            source: text(column::SOURCE)?,
            host: text(column::HOST)?,
            log: text(column::LOG)?,
            log_record: long(column::LOG_RECORD)?,
            texts: [
                text(column::PROVIDER)?,
                text(column::PROVIDER_GUID)?,
                text(column::ACTIVITY_ID)?,
                text(column::RELATED_ACTIVITY_ID)?,
                text(column::CHANNEL)?,
                text(column::COMPUTER)?,
                text(column::USER_SID)?,
            ],
            longs: [
                long(column::KEYWORDS)?,
                long(column::RECORD_ID)?,
                long(column::PROCESS_ID)?,
                long(column::THREAD_ID)?,
            ],
            ints: [
                int(column::EVENT_ID)?,
                int(column::QUALIFIERS)?,
                int(column::TASK)?,
                int(column::OPCODE)?,
            ],
            shorts: [short(column::VERSION)?, short(column::LEVEL)?],
            names: entry(data.keys())?,
            values: entry(data.values())?,
            data: data.clone(),
            other: text(column::OTHER)?,
            message: text(column::MESSAGE)?,
            message_source: text(column::MESSAGE_SOURCE)?,
            rules: rules.as_list_opt().cloned().ok_or_else(|| wrong(column::RULES))?,
            kind: text(column::KIND)?,
            shape: int(column::SHAPE)?,
            tree: text(column::TREE)?,
            len: batch.num_rows(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn time(&self, row: usize) -> Option<EventTime> {
        time_of(
            valid(&self.time, row).then(|| self.time.value(row)),
            valid(&self.tick, row).then(|| self.tick.value(row)),
            valid(&self.filetime, row).then(|| self.filetime.value(row)),
        )
    }

    pub(crate) fn log_record(&self, row: usize) -> Option<RecordId> {
        valid(&self.log_record, row).then(|| RecordId(self.log_record.value(row) as u64))
    }

    /// The event of a row.
    pub(crate) fn tree(&self, row: usize) -> Event {
        let whole = self.tree.get(row).and_then(shape::event_of_tree);
        whole.unwrap_or_else(|| {
            let bits = if valid(&self.shape, row) { self.shape.value(row) } else { 0 };
            shape::event_of_columns(bits, &Row { batch: self, row })
        })
    }

    /// The stored event of a row.
    pub(crate) fn event(&self, row: usize) -> StoredEvent {
        let text = |texts: &Texts2| texts.get(row).map(str::to_owned);
        let by = |name: &str| MessageBy::ALL.into_iter().find(|by| by.as_str() == name);
        let rule = |id: &str| Arc::new(RuleName { id: id.to_owned(), ..RuleName::default() });
        let rules = match valid(&self.rules, row).then(|| Texts2::new(&self.rules.value(row))) {
            Some(Some(ids)) => (0..ids.len()).filter_map(|n| ids.get(n).map(rule)).collect(),
            _ => Vec::new(),
        };
        StoredEvent {
            event: self.tree(row),
            kind: text(&self.kind).unwrap_or_default(),
            source: text(&self.source).unwrap_or_default(),
            host: text(&self.host),
            log: text(&self.log).unwrap_or_default(),
            log_record: self.log_record(row),
            received: time_of(
                valid(&self.received, row).then(|| self.received.value(row)),
                None,
                None,
            ),
            time: self.time(row),
            message: text(&self.message)
                .map(|text| (text, self.message_source.get(row).and_then(by))),
            rules,
        }
    }
}

fn valid(array: &dyn Array, row: usize) -> bool {
    !array.is_null(row)
}

struct Row<'b> {
    batch: &'b Batch,
    row: usize,
}

impl Row<'_> {
    fn other(&self, name: &str) -> Option<String> {
        let text = self.batch.other.get(self.row)?;
        let other: serde_json::Value = serde_json::from_str(text).ok()?;
        match other.get(name)? {
            serde_json::Value::String(text) => Some(text.clone()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

impl Columns for Row<'_> {
    fn field(&self, field: Field) -> Option<String> {
        let Row { batch, row } = *self;
        let text = |n: usize| batch.texts[n].get(row).map(str::to_owned);
        let int = |n: usize| {
            let array = &batch.ints[n];
            valid(array, row).then(|| array.value(row).to_string())
        };
        let short = |n: usize| {
            let array = &batch.shorts[n];
            valid(array, row).then(|| array.value(row).to_string())
        };
        let long = |n: usize| {
            let array = &batch.longs[n];
            valid(array, row).then(|| array.value(row) as u64)
        };
        use Field::*;
        match field {
            ProviderName => text(0),
            ProviderGuid => text(1),
            ActivityId => text(2),
            RelatedActivityId => text(3),
            Channel => text(4),
            Computer => text(5),
            UserId => text(6),
            Keywords => long(0).map(|bits| format!("{bits:#x}")),
            RecordId => long(1).map(|number| number.to_string()),
            ProcessId => long(2).map(|number| number.to_string()),
            ThreadId => long(3).map(|number| number.to_string()),
            EventId => int(0),
            Qualifiers => int(1),
            Task => int(2),
            Opcode => int(3),
            Version => short(0),
            Level => short(1),
            TimeCreated => batch.time(row).map(shape::time_text),
            EventSourceName => self.other("event_source_name"),
            ProcessorId => self.other("processor_id"),
            SessionId => self.other("session_id"),
            KernelTime => self.other("kernel_time"),
            UserTime => self.other("user_time"),
            ProcessorTime => self.other("processor_time"),
        }
    }

    fn data(&self) -> Vec<(String, String)> {
        let Row { batch, row } = *self;
        if batch.data.is_null(row) {
            return Vec::new();
        }
        let offsets = batch.data.value_offsets();
        let range = offsets[row] as usize..offsets[row + 1] as usize;
        range
            .map(|n| {
                let name = batch.names.get(n).unwrap_or_default().to_owned();
                (name, batch.values.get(n).unwrap_or_default().to_owned())
            })
            .collect()
    }
}
