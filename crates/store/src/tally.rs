//! Counts: how many events pass, by time, and by the values of a field.
//!
//! | asked of | how |
//! |---|---|
//! | everything, by a column that is counted, or in steps of hours | from the counts kept beside the table |
//! | what a condition says exactly, by a column | the engine counts |
//! | all else | each event that the condition lets through is made again, tested and counted, on all cores |

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use deltalake::arrow::array::{Array, AsArray, RecordBatch};
use deltalake::arrow::datatypes::{DataType, Int16Type, Int64Type};
use deltalake::datafusion::dataframe::DataFrame;
use deltalake::datafusion::functions_aggregate::expr_fn::count;
use deltalake::datafusion::logical_expr::{Expr, bitwise_and, cast};
use deltalake::datafusion::physical_plan::execute_stream_partitioned;
use deltalake::datafusion::prelude::{col, lit};
use futures_util::StreamExt;
use quarry_event::output::{Column, Member, Scratch};
use quarry_event::{EventTime, Field, FieldSource, Keywords, Level, LevelName, Value};
use tokio::task::JoinSet;

use crate::ask::{Ask, Question};
use crate::counts::{Asked, COUNTED, Counts, Steps, word_of};
use crate::event::{Batch, COLUMNS, EPOCH, StoredEvent, Texts2};
use crate::schema::column;
use crate::session::{Limits, of_engine, too_slow};
use crate::{Store, StoreError};

/// The most values of a field that are told apart; events with others are counted together.
const VALUES: usize = 20_000;
/// The longest value that is told apart, in bytes.
const VALUE_BYTES: usize = 256;
/// The most steps of a histogram.
const STEPS: usize = 100_000;
/// The most kinds of events of a histogram that are told apart.
const SERIES: usize = 10;
/// What events are called for which there is no room.
const OTHERS: &str = "others";

/// What events are told apart by.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum By {
    /// The word of their level, as filters have it: `error`, `audit-failure`.
    Level,
    /// A column of outputs: a field of `<System>`, `data.NAME`, `user_data.A.B`.
    Column(Column),
    /// The identifiers of the detection rules that they match, each by itself.
    Rules,
}

/// How many events there are in each step of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// The width of a step in seconds. Steps are counted from the beginning of 1601, which was a
    /// Monday.
    pub step: u64,
    /// What the kinds of events are called.
    pub series: Vec<String>,
    /// The steps that have events, by where they begin, with how many of each kind.
    pub bars: BTreeMap<EventTime, Vec<u64>>,
    /// Events that have no time.
    pub untimed: u64,
}

/// The values that most events have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Top {
    /// Values with their events, the most first, then by their text.
    pub values: Vec<(String, u64)>,
    /// How many different values there are, those that aren't shown among them.
    pub distinct: usize,
    /// Events with values for which there was no room, which are in none of these.
    pub others: u64,
}

impl Store {
    /// How many events pass.
    ///
    /// # Errors
    /// [`StoreError::Limit`], and what reading the table says.
    pub async fn count(&self, ask: &Ask) -> Result<u64, StoreError> {
        let question = Question::new(self, ask).await?;
        if ask.is_everything() {
            return Ok(question.counts(self).await?.events);
        }
        if question.part.exact {
            let rows = question.rows(None).await?;
            let sums = question.sums(rows, vec![]).await?;
            return Ok(sums.iter().map(|batch| number(batch, batch.num_columns() - 1, 0)).sum());
        }
        let sums = question.fold(|| 0_u64, |sum, _| *sum += 1).await?;
        Ok(sums.into_iter().sum())
    }

    /// How many events there are in each step of time. A step is a number of seconds above 0.
    ///
    /// # Errors
    /// [`StoreError::Limit`], also for more steps than 100,000, and what reading the table says.
    pub async fn histogram(&self, ask: &Ask, step: u64, by: &By) -> Result<Histogram, StoreError> {
        let step = step.max(1);
        let question = Question::new(self, ask).await?;
        let mut counted = Counted::new(step);
        if ask.is_everything() && *by == By::Level && step.is_multiple_of(3600) {
            let counts = question.counts(self).await?;
            if let Some(hours) = &counts.hours {
                let mut timed = 0;
                for (hour, levels) in hours {
                    for (word, events) in levels {
                        counted.add(Some(hour * 3600 / step), word, *events);
                        timed += events;
                    }
                }
                counted.untimed = counts.events - timed;
                return counted.finish();
            }
        }
        if *by == By::Level
            && step.is_multiple_of(60)
            && let Some(minutes) = question.minutes(self).await?
        {
            for (minute, levels) in minutes {
                for (word, events) in levels {
                    counted.add(Some(minute * 60 / step), &word, events);
                }
            }
            return counted.finish();
        }
        match question.plain(by) {
            Some(kind) if question.part.exact => {
                let rows = question.rows(None).await?;
                let sums = question.sums(rows, [vec![bucket(step)], kind.exprs()].concat()).await?;
                for batch in &sums {
                    let buckets = batch.column(0).as_primitive::<Int64Type>();
                    for row in 0..batch.num_rows() {
                        let at = buckets.is_valid(row).then(|| buckets.value(row) as u64);
                        let events = number(batch, batch.num_columns() - 1, row);
                        kind.with_text(batch, 1, row, |text| counted.add(at, text, events));
                    }
                }
            }
            _ => {
                let make = || (Counted::new(step), Kind::new(by));
                let folded = question
                    .fold(make, move |(counted, kind), event| {
                        let at =
                            event.time().map(|time| time.as_filetime() / EventTime::SECOND / step);
                        kind.with_text(event, |text| counted.add(at, text, 1));
                    })
                    .await?;
                folded.into_iter().for_each(|(other, _)| counted.merge(other));
            }
        }
        counted.finish()
    }

    /// The `n` values that most events have in a field. Events without a value aren't counted.
    ///
    /// # Errors
    /// [`StoreError::Limit`], and what reading the table says.
    pub async fn top(&self, ask: &Ask, by: &By, n: usize) -> Result<Top, StoreError> {
        let question = Question::new(self, ask).await?;
        let plain = question.plain(by);
        if let (true, Some(kind)) = (ask.is_everything(), &plain) {
            let counts = question.counts(self).await?;
            if let Some(known) = kind.known(&counts) {
                return Ok(known.top(n));
            }
        }
        let mut values = Values::default();
        match plain {
            None if *by == By::Rules && question.part.exact => question.rules(&mut values).await?,
            Some(kind) if question.part.exact => {
                let rows = question.rows(None).await?;
                let sums = question.sums(rows, kind.exprs()).await?;
                for batch in &sums {
                    for row in 0..batch.num_rows() {
                        let events = number(batch, batch.num_columns() - 1, row);
                        kind.with_text(batch, 0, row, |text| values.add(text, events));
                    }
                }
            }
            _ => {
                let make = || (Values::default(), Kind::new(by));
                let folded = question
                    .fold(make, |(values, kind), event| match kind.by {
                        By::Rules => event.rules().iter().for_each(|rule| values.add(&rule.id, 1)),
                        _ => kind.with_text(event, |text| values.add(text, 1)),
                    })
                    .await?;
                folded.into_iter().for_each(|(other, _)| values.merge(other));
            }
        }
        Ok(values.top(n))
    }
}

/// The step of a row, counted from 1601; null where it has no time.
fn bucket(step: u64) -> Expr {
    let micros = cast(col(column::TIME), DataType::Int64) + lit(EPOCH);
    let width = i64::try_from(step).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    (micros / lit(width)).alias("bucket")
}

fn number(batch: &RecordBatch, column: usize, row: usize) -> u64 {
    batch.column(column).as_primitive_opt::<Int64Type>().map_or(0, |sums| sums.value(row) as u64)
}

impl Question<'_> {
    pub(crate) async fn counts(&self, store: &Store) -> Result<Counts, StoreError> {
        store.engine().counts(self.asked()).await
    }

    /// What counts are asked of.
    fn asked(&self) -> Asked<'_> {
        let Question { moment, files, context, ask, begun, .. } = self;
        Asked { moment, files, context, limits: &ask.limits, begun: *begun }
    }

    /// The events of each minute from the counts beside the files, where whole minutes are asked for
    /// and nothing else.
    async fn minutes(&self, store: &Store) -> Result<Option<Steps>, StoreError> {
        let Question { moment, files, ask, .. } = self;
        if !files.facts(moment).none_odd || !files.all_timed(moment) {
            return Ok(None);
        }
        let Some(minutes) = ask.minutes() else { return Ok(None) };
        store.engine().minutes(self.asked(), minutes).await
    }

    /// How a column has the text of a field, where it does for every event that there is.
    fn plain(&self, by: &By) -> Option<Plain> {
        let none_odd = self.files.facts(&self.moment).none_odd;
        match by {
            By::Level => none_odd.then_some(Plain::Level),
            By::Column(Column::Member(member)) => match member {
                Member::Source => Some(Plain::Text(column::SOURCE)),
                Member::Host => Some(Plain::Text(column::HOST)),
                Member::Log => Some(Plain::Text(column::LOG)),
                Member::Channel => Some(Plain::Text(column::CHANNEL)),
                Member::Provider => Some(Plain::Text(column::PROVIDER)),
                Member::ProviderGuid => Some(Plain::Text(column::PROVIDER_GUID)),
                Member::Computer => Some(Plain::Text(column::COMPUTER)),
                Member::UserSid => Some(Plain::Text(column::USER_SID)),
                Member::ActivityId => Some(Plain::Text(column::ACTIVITY_ID)),
                Member::EventId if none_odd => Some(Plain::Number(column::EVENT_ID)),
                Member::Task if none_odd => Some(Plain::Number(column::TASK)),
                Member::Opcode if none_odd => Some(Plain::Number(column::OPCODE)),
                Member::ProcessId if none_odd => Some(Plain::Number(column::PROCESS_ID)),
                _ => None,
            },
            By::Column(_) | By::Rules => None,
        }
    }

    /// Counts the rules of all events, of which nothing else is looked at.
    async fn rules(&self, values: &mut Values) -> Result<(), StoreError> {
        let wrong =
            || StoreError::Rows { why: "the column rules is not as it should be".to_owned() };
        let frame = self.rows(None).await?.select(vec![col(column::RULES)]);
        let frame = frame.map_err(|error| of_engine(error, &self.ask.limits))?;
        // What is looked at is no answer yet.
        let limits = Limits { rows: usize::MAX, bytes: usize::MAX, ..self.ask.limits };
        let mut batches = self.batches(frame, &limits).await?;
        while let Some(batch) = batches.next().await? {
            let list = batch.column(0).as_list_opt::<i32>().ok_or_else(wrong)?;
            let ids = Texts2::new(list.values()).ok_or_else(wrong)?;
            let offsets = list.value_offsets();
            for row in (0..list.len()).filter(|row| list.is_valid(*row)) {
                let ids = (offsets[row]..offsets[row + 1]).filter_map(|n| ids.get(n as usize));
                ids.for_each(|id| values.add(id, 1));
            }
        }
        Ok(())
    }

    /// How many rows there are of each group; the number is the last column.
    async fn sums(
        &self,
        rows: DataFrame,
        groups: Vec<Expr>,
    ) -> Result<Vec<RecordBatch>, StoreError> {
        let frame = rows
            .aggregate(groups, vec![count(lit(1_i64)).alias("events")])
            .map_err(|error| of_engine(error, &self.ask.limits))?;
        let mut batches = self.batches(frame, &self.ask.limits).await?;
        let mut all = Vec::new();
        while let Some(batch) = batches.next().await? {
            all.push(batch);
        }
        Ok(all)
    }

    /// Makes something of all events that pass, on all cores, and gives what each made.
    async fn fold<T: Send + 'static>(
        &self,
        make: impl Fn() -> T,
        work: impl Fn(&mut T, &StoredEvent) + Send + Sync + 'static,
    ) -> Result<Vec<T>, StoreError> {
        let limits = self.ask.limits;
        let wrong = move |error| of_engine(error, &limits);
        let deadline = self.begun + limits.time;
        let frame = self.rows(None).await?.select(COLUMNS.map(col).to_vec()).map_err(wrong)?;
        let plan = self.plan(frame).await?;
        let streams = execute_stream_partitioned(plan, self.context.task_ctx()).map_err(wrong)?;
        let work = Arc::new(work);
        // They end when the set is dropped.
        let mut tasks = JoinSet::new();
        for mut stream in streams {
            let (mut made, mut matcher) = (make(), self.matcher());
            let work = Arc::clone(&work);
            tasks.spawn(async move {
                while let Some(batch) = stream.next().await {
                    let batch = Batch::new(&batch.map_err(wrong)?)?;
                    for row in 0..batch.len() {
                        let event = batch.event(row);
                        let passes = matcher.as_mut().is_none_or(|matcher| event.passes(matcher));
                        if passes {
                            work(&mut made, &event);
                        }
                    }
                    tokio::task::yield_now().await;
                }
                Ok::<T, StoreError>(made)
            });
        }
        let mut all = Vec::new();
        loop {
            match tokio::time::timeout_at(deadline, tasks.join_next()).await {
                Ok(Some(Ok(made))) => all.push(made?),
                Ok(Some(Err(error))) => return Err(StoreError::engine("count events", error)),
                Ok(None) => return Ok(all),
                Err(_) => return Err(too_slow(&limits)),
            }
        }
    }
}

/// A field that a column has as it is.
enum Plain {
    Level,
    Text(&'static str),
    Number(&'static str),
}

impl Plain {
    fn exprs(&self) -> Vec<Expr> {
        match self {
            Plain::Level => {
                let audits = Keywords::AUDIT_SUCCESS.0 | Keywords::AUDIT_FAILURE.0;
                let audits = bitwise_and(col(column::KEYWORDS), lit(audits as i64));
                vec![col(column::LEVEL), audits.alias("audits")]
            }
            Plain::Text(name) => vec![col(*name)],
            Plain::Number(name) => vec![cast(col(*name), DataType::Int64).alias("number")],
        }
    }

    /// The text of a group, which stands in the columns from `first` on.
    fn with_text(&self, batch: &RecordBatch, first: usize, row: usize, f: impl FnOnce(&str)) {
        match self {
            Plain::Level => {
                let level = batch.column(first).as_primitive::<Int16Type>();
                let audits = batch.column(first + 1).as_primitive::<Int64Type>();
                let level = level.is_valid(row).then(|| level.value(row));
                f(word_of(level, audits.is_valid(row).then(|| audits.value(row))));
            }
            Plain::Text(_) => {
                let texts = Texts2::new(batch.column(first));
                f(texts.as_ref().and_then(|texts| texts.get(row)).unwrap_or_default());
            }
            Plain::Number(_) => {
                let numbers = batch.column(first).as_primitive::<Int64Type>();
                let number = numbers.is_valid(row).then(|| numbers.value(row).to_string());
                f(&number.unwrap_or_default());
            }
        }
    }

    /// The values, where counts have them.
    fn known(&self, counts: &Counts) -> Option<Values> {
        let mut values = Values::default();
        match self {
            Plain::Level => {
                counts.levels.iter().for_each(|(word, events)| values.add(word, *events));
            }
            Plain::Text(name) | Plain::Number(name) if COUNTED.contains(name) => {
                let known = counts.values.get(*name)?.as_ref()?;
                known.iter().for_each(|(value, events)| values.add(value, *events));
            }
            _ => return None,
        }
        Some(values)
    }
}

/// Writes the text of a field of an event.
struct Kind {
    by: By,
    scratch: Scratch,
    text: Vec<u8>,
}

impl Kind {
    fn new(by: &By) -> Self {
        Kind { by: by.clone(), scratch: Scratch::default(), text: Vec::new() }
    }

    fn with_text(&mut self, event: &StoredEvent, f: impl FnOnce(&str)) {
        self.text.clear();
        match &self.by {
            By::Level => return f(word_of_event(event)),
            By::Column(column) => {
                let (origin, texts) = (event.origin(), event.texts());
                column.write(event, &origin, texts, &mut self.scratch, &mut self.text);
            }
            By::Rules => {
                let ids: Vec<&str> = event.rules().iter().map(|rule| &*rule.id).collect();
                self.text.extend_from_slice(ids.join(", ").as_bytes());
            }
        }
        f(&String::from_utf8_lossy(&self.text));
    }
}

fn word_of_event(event: &StoredEvent) -> &'static str {
    let number = |field| Value::as_u64(&event.field(field));
    let level = number(Field::Level).and_then(|level| u8::try_from(level).ok());
    let keywords = Keywords(number(Field::Keywords).unwrap_or_default());
    LevelName::of(Level(level.unwrap_or_default()), keywords).word()
}

/// Events by the text of a field.
#[derive(Default)]
struct Values {
    known: HashMap<String, u64>,
    others: u64,
}

impl Values {
    fn add(&mut self, text: &str, events: u64) {
        if text.is_empty() {
            return;
        }
        let text = &text[..text.floor_char_boundary(VALUE_BYTES)];
        if let Some(sum) = self.known.get_mut(text) {
            *sum += events;
        } else if self.known.len() < VALUES {
            self.known.insert(text.to_owned(), events);
        } else {
            self.others += events;
        }
    }

    fn merge(&mut self, other: Values) {
        other.known.iter().for_each(|(text, events)| self.add(text, *events));
        self.others += other.others;
    }

    fn top(self, n: usize) -> Top {
        let (distinct, others) = (self.known.len(), self.others);
        let mut values: Vec<(String, u64)> = self.known.into_iter().collect();
        values.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        values.truncate(n);
        Top { values, distinct, others }
    }
}

/// Events by step and kind.
struct Counted {
    step: u64,
    bars: BTreeMap<u64, HashMap<String, u64>>,
    untimed: u64,
    too_many: bool,
}

impl Counted {
    fn new(step: u64) -> Self {
        Counted { step, bars: BTreeMap::new(), untimed: 0, too_many: false }
    }

    fn add(&mut self, at: Option<u64>, kind: &str, events: u64) {
        let Some(at) = at else {
            self.untimed += events;
            return;
        };
        if self.bars.len() >= STEPS && !self.bars.contains_key(&at) {
            self.too_many = true;
            return;
        }
        let bar = self.bars.entry(at).or_default();
        if let Some(sum) = bar.get_mut(kind) {
            *sum += events;
        } else if bar.len() < VALUES {
            bar.insert(kind.to_owned(), events);
        } else {
            *bar.entry(OTHERS.to_owned()).or_default() += events;
        }
    }

    fn merge(&mut self, other: Counted) {
        self.untimed += other.untimed;
        self.too_many |= other.too_many;
        for (at, bar) in other.bars {
            bar.into_iter().for_each(|(kind, events)| self.add(Some(at), &kind, events));
        }
    }

    /// Tells apart the kinds that most events are of.
    fn finish(self) -> Result<Histogram, StoreError> {
        if self.too_many {
            let most = format!("{STEPS} steps; ask for wider ones, or for less time");
            return Err(StoreError::Limit { what: "the histogram has more than", most });
        }
        let mut totals: HashMap<&str, u64> = HashMap::new();
        for (kind, events) in self.bars.values().flatten() {
            *totals.entry(kind).or_default() += events;
        }
        let mut kinds: Vec<(&str, u64)> = totals.into_iter().collect();
        kinds.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let has_others = kinds.len() > SERIES;
        if has_others {
            kinds.truncate(SERIES - 1);
        }
        let mut series: Vec<String> = kinds.iter().map(|(kind, _)| (*kind).to_owned()).collect();
        if has_others && !series.iter().any(|kind| kind == OTHERS) {
            series.push(OTHERS.to_owned());
        }
        let others = series.iter().position(|kind| kind == OTHERS);
        let mut bars = BTreeMap::new();
        for (at, bar) in &self.bars {
            let mut sums = vec![0; series.len()];
            for (kind, events) in bar {
                let place = series.iter().position(|known| known == kind).or(others);
                if let Some(sum) = place.and_then(|place| sums.get_mut(place)) {
                    *sum += events;
                }
            }
            let units = at.saturating_mul(self.step).saturating_mul(EventTime::SECOND);
            bars.insert(EventTime::from_filetime(units), sums);
        }
        Ok(Histogram { step: self.step, series, bars, untimed: self.untimed })
    }
}
