//! Events as rows: columns that grow by one event at a time.
//!
//! What an event has and no column holds is in `other`, as the JSON of an event has it; a value that
//! a column of its own can't hold (a number too large for it, a time that is none) is there in
//! `not_in_columns`, by the column's name.

mod columns;
mod odd;
mod text;

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use deltalake::arrow::array::{ArrayRef, ListArray, MapArray, StructArray};
use deltalake::arrow::datatypes::SchemaRef;
use deltalake::arrow::record_batch::RecordBatch;
use quarry_event::output::{Column, Member, Messages, Scratch};
use quarry_event::{EventTime, Field, FieldSource, Fields, Origin, RecordId, RuleName, Texts};

use crate::StoreError;
use crate::schema::{self, column};
use crate::shape::{self, Shapes};
use columns::{Numbers, Offsets, Text};
use odd::{Odd, narrow};

/// Bytes that the columns of one batch may have: offsets in them are of 32 bits.
const MOST_BYTES: usize = 1 << 30;

/// Names of one event that are compared one by one; more are looked up.
const MAX_SCANNED: usize = 96;

/// What is known of an event besides the event.
#[derive(Clone, Copy, Debug)]
pub struct EventMeta<'a> {
    /// Where it was read.
    pub origin: Origin<'a>,
    /// When it was read.
    pub received: EventTime,
    /// Its message text and the rules that it matches.
    pub texts: Texts<'a>,
}

/// What a row is about that is no event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NoticeKind {
    /// Records are missing.
    Gap,
    /// A source can't be read.
    Failure,
    /// A source can be read again.
    Recovery,
}

impl NoticeKind {
    /// The text in the column `kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            NoticeKind::Gap => "gap",
            NoticeKind::Failure => "failure",
            NoticeKind::Recovery => "recovery",
        }
    }
}

/// A row that is no event: what wasn't seen, and why.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'a> {
    /// What it is about.
    pub kind: NoticeKind,
    /// The source.
    pub source: &'a str,
    /// The host, where it is known.
    pub host: Option<&'a str>,
    /// The log; none where it is about the whole source.
    pub log: Option<&'a str>,
    /// The first record that is missing, where it is about records.
    pub log_record: Option<RecordId>,
    /// When it was noticed, or for a gap the time after which records are missing.
    pub time: EventTime,
    /// When the row is made.
    pub received: EventTime,
    /// What happened, for people. It is the row's message.
    pub text: &'a str,
}

/// Rows of the table that are being made.
#[derive(Debug)]
pub struct Rows {
    schema: SchemaRef,
    chosen: Vec<String>,
    len: usize,
    time: Numbers<i64>,
    tick: Numbers<i8>,
    filetime: Numbers<i64>,
    log_record: Numbers<i64>,
    received: Numbers<i64>,
    record_id: Numbers<i64>,
    event_id: Numbers<i32>,
    qualifiers: Numbers<i32>,
    version: Numbers<i16>,
    level: Numbers<i16>,
    task: Numbers<i32>,
    opcode: Numbers<i32>,
    keywords: Numbers<i64>,
    process_id: Numbers<i64>,
    thread_id: Numbers<i64>,
    source: Text,
    host: Text,
    log: Text,
    computer: Text,
    channel: Text,
    provider: Text,
    provider_guid: Text,
    user_sid: Text,
    activity_id: Text,
    related_activity_id: Text,
    data: Offsets,
    data_names: Text,
    data_values: Text,
    user_data: Text,
    other: Text,
    text: Text,
    message: Text,
    message_source: Text,
    rules: Offsets,
    rule_ids: Text,
    kind: Text,
    shape: Numbers<i32>,
    tree: Text,
    odd: Numbers<i8>,
    data_columns: Vec<Text>,
    scratch: Scratch,
    messages: Messages,
    shapes: Shapes,
    buffer: Vec<u8>,
}

/// Hands the columns of one value a row, but for the chosen ones, to a macro.
macro_rules! columns {
    ($then:ident!($($given:tt)*)) => {
        $then!(@ $($given)*; time tick filetime log_record received record_id event_id qualifiers
            version level task opcode keywords process_id thread_id source host log computer channel
            provider provider_guid user_sid activity_id related_activity_id user_data other text
            message message_source kind shape tree odd)
    };
}

/// Does the same to each column of one value a row.
macro_rules! each_column {
    ($rows:expr, $column:ident => $do:expr) => {{
        let rows = $rows;
        columns!(each_column!(rows, $column => $do));
        for $column in &mut rows.data_columns {
            $do;
        }
    }};
    (@ $rows:ident, $column:ident => $do:expr; $($name:ident)*) => {
        $({
            let $column = &mut $rows.$name;
            $do;
        })*
    };
}

/// Adds each column of one value a row to that of other rows.
macro_rules! append_columns {
    (@ $to:ident, $from:ident; $($name:ident)*) => {
        $($to.$name.append(&$from.$name);)*
    };
}

impl Rows {
    /// No rows, of a table with the columns that were chosen from events' data.
    ///
    /// # Errors
    /// [`StoreError::ColumnName`], as [`schema::schema`].
    pub fn new(chosen: &[String]) -> Result<Self, StoreError> {
        Ok(Rows {
            schema: schema::schema(chosen)?,
            chosen: chosen.to_vec(),
            len: 0,
            time: Numbers::default(),
            tick: Numbers::default(),
            filetime: Numbers::default(),
            log_record: Numbers::default(),
            received: Numbers::default(),
            record_id: Numbers::default(),
            event_id: Numbers::default(),
            qualifiers: Numbers::default(),
            version: Numbers::default(),
            level: Numbers::default(),
            task: Numbers::default(),
            opcode: Numbers::default(),
            keywords: Numbers::default(),
            process_id: Numbers::default(),
            thread_id: Numbers::default(),
            source: Text::default(),
            host: Text::default(),
            log: Text::default(),
            computer: Text::default(),
            channel: Text::default(),
            provider: Text::default(),
            provider_guid: Text::default(),
            user_sid: Text::default(),
            activity_id: Text::default(),
            related_activity_id: Text::default(),
            data: Offsets::default(),
            data_names: Text::default(),
            data_values: Text::default(),
            user_data: Text::default(),
            other: Text::default(),
            text: Text::default(),
            message: Text::default(),
            message_source: Text::default(),
            rules: Offsets::default(),
            rule_ids: Text::default(),
            kind: Text::default(),
            shape: Numbers::default(),
            tree: Text::default(),
            odd: Numbers::default(),
            data_columns: chosen.iter().map(|_| Text::default()).collect(),
            scratch: Scratch::default(),
            messages: Messages::default(),
            shapes: Shapes::default(),
            buffer: Vec::new(),
        })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// About how many bytes the rows have.
    pub fn bytes(&self) -> usize {
        let texts = [
            &self.source,
            &self.host,
            &self.log,
            &self.computer,
            &self.channel,
            &self.provider,
            &self.provider_guid,
            &self.user_sid,
            &self.activity_id,
            &self.related_activity_id,
            &self.data_names,
            &self.data_values,
            &self.user_data,
            &self.other,
            &self.text,
            &self.message,
            &self.message_source,
            &self.rule_ids,
            &self.kind,
            &self.tree,
        ];
        let texts = texts.into_iter().chain(&self.data_columns).map(Text::bytes).sum::<usize>();
        /// What the numbers of a row take.
        const NUMBERS: usize = 8 * 8 + 4 * 4 + 2 * 2 + 1;
        texts + self.len * NUMBERS
    }

    /// Forgets all rows.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Forgets the rows after the first `len`.
    pub fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        each_column!(&mut *self, column => column.truncate(len));
        self.data_names.truncate(self.data.truncate(len));
        self.data_values.truncate(self.data_names.len());
        self.rule_ids.truncate(self.rules.truncate(len));
        self.len = len;
    }

    /// Adds the rows of another, which has the same columns.
    ///
    /// # Errors
    /// [`StoreError::Rows`] if the rows would have more than a GiB, or other columns were chosen. None
    /// was added then.
    pub fn append(&mut self, other: &Rows) -> Result<(), StoreError> {
        if self.chosen != other.chosen {
            return Err(StoreError::Rows { why: "their columns are not this store's".into() });
        }
        check_bytes(self.bytes_at_least() + other.bytes_at_least())?;
        columns!(append_columns!(self, other));
        for (to, from) in self.data_columns.iter_mut().zip(&other.data_columns) {
            to.append(from);
        }
        self.data.append(&other.data, self.data_names.len());
        self.data_names.append(&other.data_names);
        self.data_values.append(&other.data_values);
        self.rules.append(&other.rules, self.rule_ids.len());
        self.rule_ids.append(&other.rule_ids);
        self.len += other.len;
        Ok(())
    }

    /// Adds an event.
    ///
    /// # Errors
    /// [`StoreError::Rows`] if the rows have a GiB already. None was added then.
    pub fn event<S: FieldSource>(
        &mut self,
        event: &S,
        meta: &EventMeta<'_>,
    ) -> Result<(), StoreError> {
        check_bytes(self.bytes_at_least())?;
        let fields = event.fields();
        let mut odd = Odd::default();
        self.push_time(&fields, &mut odd);
        self.push_origin(&fields, meta);
        self.push_fields(&fields, &mut odd);
        self.push_data(event);
        self.push_more(event, meta, odd);
        self.push_texts(event, meta);
        self.push_shape(event, &fields);
        self.kind.push(b"event");
        self.len += 1;
        Ok(())
    }

    /// Adds a row that is no event.
    ///
    /// # Errors
    /// As [`event`](Self::event).
    pub fn notice(&mut self, notice: &Notice<'_>) -> Result<(), StoreError> {
        check_bytes(self.bytes_at_least())?;
        self.set_time(Some(notice.time));
        self.source.push(notice.source.as_bytes());
        self.host.push_optional(notice.host);
        self.log.push_optional(notice.log);
        self.log_record.push(notice.log_record.map(|record| record.0 as i64));
        self.received.push(microseconds(notice.received));
        self.message.push(notice.text.as_bytes());
        self.kind.push(notice.kind.as_str().as_bytes());
        self.data.end_row(self.data_names.len());
        self.rules.end_row(self.rule_ids.len());
        self.len += 1;
        let len = self.len;
        each_column!(&mut *self, column => column.fill(len));
        Ok(())
    }

    /// The columns that can become large.
    fn bytes_at_least(&self) -> usize {
        let large = [
            &self.data_values,
            &self.text,
            &self.user_data,
            &self.other,
            &self.message,
            &self.tree,
        ];
        large.into_iter().chain(&self.data_columns).map(Text::bytes).max().unwrap_or_default()
    }

    fn push_time(&mut self, fields: &Fields<'_>, odd: &mut Odd) {
        let value = fields.get(Field::TimeCreated);
        let time = value.as_time();
        if time.is_none() && !value.is_empty() {
            odd.add(column::TIME, &value);
        }
        self.set_time(time);
    }

    fn set_time(&mut self, time: Option<EventTime>) {
        let units = time.map(EventTime::as_filetime);
        let shown = time.and_then(microseconds);
        self.time.push(shown);
        self.tick.push(units.filter(|_| shown.is_some()).map(|units| (units % 10) as i8));
        self.filetime.push(units.filter(|_| shown.is_none()).map(|units| units as i64));
    }

    fn push_origin(&mut self, fields: &Fields<'_>, meta: &EventMeta<'_>) {
        self.source.push(meta.origin.source.as_bytes());
        match meta.origin.host {
            Some(host) => self.host.push(host.as_bytes()),
            None => self.host.push_value(&fields.get(Field::Computer)),
        }
        self.log.push(meta.origin.log.as_bytes());
        self.log_record.push(meta.origin.log_record.map(|record| record.0 as i64));
        self.received.push(microseconds(meta.received));
    }

    fn push_fields(&mut self, fields: &Fields<'_>, odd: &mut Odd) {
        self.computer.push_value(&fields.get(Field::Computer));
        self.channel.push_value(&fields.get(Field::Channel));
        self.provider.push_value(&fields.get(Field::ProviderName));
        self.provider_guid.push_token(&fields.get(Field::ProviderGuid));
        self.user_sid.push_token(&fields.get(Field::UserId));
        self.activity_id.push_token(&fields.get(Field::ActivityId));
        self.related_activity_id.push_token(&fields.get(Field::RelatedActivityId));
        // The bits of a long.
        self.record_id.push(fields.get(Field::RecordId).as_u64().map(|number| number as i64));
        let bits = fields.get(Field::Keywords);
        self.keywords.push(bits.as_u64().map(|bits| bits as i64));
        if bits.as_u64().is_none() && !bits.is_empty() {
            odd.add(column::KEYWORDS, &bits);
        }
        let mut number = |field, name| narrow(fields.get(field), name, odd);
        self.event_id.push(number(Field::EventId, column::EVENT_ID));
        self.qualifiers.push(number(Field::Qualifiers, column::QUALIFIERS));
        self.task.push(number(Field::Task, column::TASK));
        self.opcode.push(number(Field::Opcode, column::OPCODE));
        self.version.push(narrow(fields.get(Field::Version), column::VERSION, odd));
        self.level.push(narrow(fields.get(Field::Level), column::LEVEL, odd));
        self.process_id.push(narrow(fields.get(Field::ProcessId), column::PROCESS_ID, odd));
        self.thread_id.push(narrow(fields.get(Field::ThreadId), column::THREAD_ID, odd));
    }

    fn push_data<S: FieldSource>(&mut self, event: &S) {
        let start = self.data_names.len();
        let distinct = event.has_distinct_names();
        let has_more = event.has_more();
        let row = self.len;
        let Rows { data_names, data_values, data_columns, chosen, text, .. } = self;
        let mut place = 0;
        let mut repeated = false;
        let _ = event.each_data(|name, value| {
            place += 1;
            match name {
                Some(name) => {
                    let name = name.as_str();
                    let is_chosen = |chosen: &String| {
                        chosen.len() == name.len() && chosen.eq_ignore_ascii_case(name)
                    };
                    if let Some(chosen) = chosen.iter().position(is_chosen) {
                        // The first of several values of a name.
                        data_columns[chosen].push_first(row, &value);
                    }
                    repeated |= !distinct
                        && (place > MAX_SCANNED || data_names.has_since(start, name.as_bytes()));
                    data_names.push(name.as_bytes());
                }
                None => data_names.push_number(b"#", place),
            }
            data_values.push_text(&value);
            if !has_more {
                let written = data_values.last();
                if !written.is_empty() {
                    text.add_line(|out| out.extend_from_slice(written));
                }
            }
            ControlFlow::Continue(())
        });
        if repeated {
            self.number_names(start);
        }
        self.data.end_row(self.data_names.len());
        let len = self.len + 1;
        self.data_columns.iter_mut().for_each(|column| column.fill(len));
    }

    /// Gives the names of a row that come again a number each, from `#2` on: keys of a map differ.
    #[cold]
    fn number_names(&mut self, start: usize) {
        let names: Vec<Vec<u8>> =
            (start..self.data_names.len()).map(|n| self.data_names.get(n).to_vec()).collect();
        self.data_names.truncate(start);
        let mut seen: HashSet<Vec<u8>> = HashSet::new();
        let mut counts: std::collections::HashMap<&[u8], usize> = Default::default();
        for name in &names {
            let mut key = name.clone();
            let count = counts.entry(name).or_insert(1);
            while !seen.insert(key.clone()) {
                *count += 1;
                key = [name, format!("#{count}").as_bytes()].concat();
            }
            self.data_names.push(&key);
        }
    }

    fn push_more<S: FieldSource>(&mut self, event: &S, meta: &EventMeta<'_>, odd: Odd) {
        let Rows { scratch, buffer, user_data, other, text, .. } = self;
        let mut member = |member, to: &mut Text| {
            buffer.clear();
            let column = Column::Member(member);
            column.write(event, &meta.origin, Texts::default(), scratch, buffer);
            if let (Member::Other, false) = (member, odd.is_empty()) {
                odd.add_to(buffer);
            }
            match buffer.is_empty() {
                true => to.push_null(),
                false => to.push(buffer),
            }
        };
        match event.has_more() {
            true => {
                member(Member::UserData, user_data);
                text::gather(event, text);
            }
            false => user_data.push_null(),
        }
        member(Member::Other, other);
        text.end_lines();
    }

    /// What it takes to make the event of the row again.
    fn push_shape<S: FieldSource>(&mut self, event: &S, fields: &Fields<'_>) {
        let shape = self.shapes.look(event, fields);
        self.shape.push(Some(shape.bits));
        match shape.is_plain {
            true => self.tree.push_null(),
            false => self.tree.push(shape::tree(event).as_bytes()),
        }
        self.odd.push(shape.is_odd.then_some(1));
    }

    fn push_texts<S: FieldSource>(&mut self, event: &S, meta: &EventMeta<'_>) {
        let Rows { messages, buffer, message, message_source, .. } = self;
        buffer.clear();
        let by = messages.push(event, meta.texts, buffer);
        match by {
            Some(by) => {
                message.push(buffer);
                message_source.push(by.as_str().as_bytes());
            }
            None => {
                message.push_null();
                message_source.push_null();
            }
        }
        for rule in meta.texts.rules {
            self.rule_ids.push(rule_id(rule).as_bytes());
        }
        self.rules.end_row(self.rule_ids.len());
    }

    /// The rows as a batch. Afterwards there are none.
    ///
    /// # Errors
    /// [`StoreError::Engine`] if Arrow refuses the columns.
    pub fn finish(&mut self) -> Result<RecordBatch, StoreError> {
        let failed = |error| StoreError::engine("make a batch of rows", error);
        let [key, value] = schema::map_entry();
        let entries = StructArray::new(
            vec![key, value].into(),
            vec![self.data_names.finish(), self.data_values.finish()],
            None,
        );
        let entry = match self.schema.field_with_name(column::DATA).map(|f| f.data_type().clone()) {
            Ok(deltalake::arrow::datatypes::DataType::Map(entry, _)) => entry,
            _ => return Err(StoreError::Rows { why: "`data` is no map".into() }),
        };
        let data = MapArray::try_new(entry, self.data.finish(), entries, None, false);
        let ids = self.rule_ids.finish();
        let rules = ListArray::try_new(Arc::new(schema::element()), self.rules.finish(), ids, None);
        let mut arrays: Vec<ArrayRef> = vec![
            self.time.finish_time(),
            self.tick.finish(),
            self.filetime.finish(),
            self.source.finish(),
            self.host.finish(),
            self.log.finish(),
            self.log_record.finish(),
            self.received.finish_time(),
            self.computer.finish(),
            self.channel.finish(),
            self.record_id.finish(),
            self.provider.finish(),
            self.provider_guid.finish(),
            self.user_sid.finish(),
            self.activity_id.finish(),
            self.related_activity_id.finish(),
            self.event_id.finish(),
            self.qualifiers.finish(),
            self.version.finish(),
            self.level.finish(),
            self.task.finish(),
            self.opcode.finish(),
            self.keywords.finish(),
            self.process_id.finish(),
            self.thread_id.finish(),
            Arc::new(data.map_err(failed)?),
            self.user_data.finish(),
            self.other.finish(),
            self.text.finish(),
            self.message.finish(),
            self.message_source.finish(),
            Arc::new(rules.map_err(failed)?),
            self.kind.finish(),
            self.shape.finish(),
            self.tree.finish(),
            self.odd.finish(),
        ];
        arrays.extend(self.data_columns.iter_mut().map(Text::finish));
        self.len = 0;
        RecordBatch::try_new(self.schema.clone(), arrays).map_err(failed)
    }
}

fn check_bytes(bytes: usize) -> Result<(), StoreError> {
    if bytes < MOST_BYTES {
        return Ok(());
    }
    Err(StoreError::Rows { why: format!("one batch can't have more than {MOST_BYTES} bytes") })
}

/// The name that a rule goes by.
fn rule_id(rule: &RuleName) -> &str {
    if rule.id.is_empty() { &rule.title } else { &rule.id }
}

/// A time as microseconds since 1970; nothing after the year 9999.
pub(crate) fn microseconds(time: EventTime) -> Option<i64> {
    /// From 1601 to 1970, in units of 100 ns.
    const TO_1970: i64 = 116_444_736_000_000_000;
    /// The end of the year 9999.
    const END: u64 = 2_650_467_744_000_000_000;
    let units = time.as_filetime();
    (units < END).then(|| (units as i64 - TO_1970).div_euclid(10))
}
