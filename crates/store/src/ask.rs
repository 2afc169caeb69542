//! What a page asks: the newest and oldest events by place, one event, and what its answers stand on.
//!
//! An event's place is its time, source, log and record. Pages begin at a place, never at an offset,
//! so that nothing is shown twice or left out while events come in.
//!
//! A page is looked for in spans of time, the newest first: the statistics of the files say which
//! files a span is in. So the newest hundred take a file or two, whatever else the table has.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use deltalake::arrow::array::AsArray;
use deltalake::arrow::datatypes::TimestampMicrosecondType;
use deltalake::datafusion::catalog::{MemTable, TableProvider};
use deltalake::datafusion::dataframe::DataFrame;
use deltalake::datafusion::logical_expr::{Expr, SortExpr};
use deltalake::datafusion::physical_plan::ExecutionPlan;
use deltalake::datafusion::prelude::{SessionContext, col, lit};
use quarry_event::filter::{Filter, Glob, Matcher};
use quarry_event::{EventTime, RecordId};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::counts::Asked;
use crate::event::{Batch, COLUMNS, StoredEvent};
use crate::facts::{FileFacts, Files};
use crate::grams::{self, Chosen};
use crate::predicate::{self, Access, Part, micros, split};
use crate::schema::column;
use crate::session::{Batches, Engine, Limits, Moment, is_event, of_engine, too_slow, union};
use crate::{Store, StoreError};

/// The most events of one page.
const MOST: usize = 10_000;
/// How many rows a first span has at least if there is a filter; the next has four times as many.
const FIRST_ROWS: u64 = 200_000;

/// Which rows are asked for, by whom, and what the answer may take.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Ask {
    /// What events have to pass.
    pub filter: Filter,
    /// Logs that events were read from, of which any has to match; none for all.
    pub logs: Vec<Glob>,
    /// Hosts that events were read from, exactly as rows have them; nothing for all.
    pub hosts: Option<Vec<String>>,
    /// Gaps, failures and recoveries rather than events. Filters look at events and find nothing in
    /// these but times.
    pub notices: bool,
    /// What may be read.
    pub access: Access,
    /// What the answer may take.
    pub limits: Limits,
    /// What `timediff` in a query counts from.
    pub now: EventTime,
}

impl Ask {
    /// Everything that may be read and passes a filter.
    pub fn new(filter: Filter, access: Access, now: EventTime) -> Self {
        Ask { filter, access, now, ..Ask::default() }
    }

    /// Whether every event is meant.
    pub(crate) fn is_everything(&self) -> bool {
        self.filter.is_empty()
            && (self.logs.is_empty() || self.logs.iter().any(Glob::matches_all))
            && self.hosts.is_none()
            && self.access.is_everything()
            && !self.notices
    }

    /// The minutes that are asked for, counted from 1601, if it is whole ones, and all that is in them.
    pub(crate) fn minutes(&self) -> Option<Range<u64>> {
        const MINUTE: u64 = 60 * EventTime::SECOND;
        let Filter { since, until, .. } = self.filter;
        let filter = Filter { since: None, until: None, ..self.filter.clone() };
        let since = since.unwrap_or_default().as_filetime();
        let until = until?.as_filetime().checked_add(1)?;
        let is_whole = since.is_multiple_of(MINUTE) && until.is_multiple_of(MINUTE);
        let is_all = Ask { filter, ..self.clone() }.is_everything();
        (is_whole && is_all && since < until).then_some(since / MINUTE..until / MINUTE)
    }
}

/// An event's place in the list of all: its time, then source, log and record. Where two have the same
/// time, the texts are compared by their bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// The time; the beginning of 1601 for an event without one.
    pub time: EventTime,
    /// The source.
    pub source: String,
    /// The log.
    pub log: String,
    /// The record's number there.
    pub record: Option<RecordId>,
}

impl Place {
    /// The place of a stored event.
    pub fn of(event: &StoredEvent) -> Self {
        Place {
            time: event.time().unwrap_or_default(),
            source: event.source.clone(),
            log: event.log.clone(),
            record: event.log_record,
        }
    }
}

/// Some events in the order that was asked for.
#[derive(Clone, Debug)]
pub struct Page {
    /// The events.
    pub events: Vec<StoredEvent>,
    /// Whether there are more after them.
    pub has_more: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    Newest,
    Oldest,
}

impl Store {
    /// The newest `n` events, those older than a place if one is given; the newest first.
    ///
    /// # Errors
    /// [`StoreError::Limit`], and what reading the table says.
    pub async fn newest(
        &self,
        ask: &Ask,
        n: usize,
        before: Option<&Place>,
    ) -> Result<Page, StoreError> {
        Question::new(self, ask).await?.page(n, before, Order::Newest).await
    }

    /// The oldest `n` events, those newer than a place if one is given; the oldest first.
    ///
    /// # Errors
    /// As [`newest`](Self::newest).
    pub async fn oldest(
        &self,
        ask: &Ask,
        n: usize,
        after: Option<&Place>,
    ) -> Result<Page, StoreError> {
        Question::new(self, ask).await?.page(n, after, Order::Oldest).await
    }

    /// The event at a place, if it passes the filter and may be read.
    ///
    /// # Errors
    /// As [`newest`](Self::newest).
    pub async fn at(&self, ask: &Ask, place: &Place) -> Result<Option<StoredEvent>, StoreError> {
        let mut ask = ask.clone();
        ask.filter.since = ask.filter.since.max(Some(place.time));
        ask.filter.until = Some(ask.filter.until.map_or(place.time, |until| until.min(place.time)));
        if place.time == EventTime::default() {
            // It may have none.
            (ask.filter.since, ask.filter.until) = (None, None);
        }
        let question = Question::new(self, &ask).await?;
        let record = match place.record {
            Some(record) => col(column::LOG_RECORD).eq(lit(record.0 as i64)),
            None => col(column::LOG_RECORD).is_null(),
        };
        let here = col(column::SOURCE)
            .eq(lit(place.source.as_str()))
            .and(col(column::LOG).eq(lit(place.log.as_str())))
            .and(record);
        let mut best = Best::new(1, Order::Newest);
        question.look(Some(here), &mut best).await?;
        Ok(best.events().into_iter().find(|event| Place::of(event).time == place.time))
    }
}

/// The table, and the rows beside it.
type Scanned = (Arc<dyn TableProvider>, Option<Arc<MemTable>>);

/// A question on its way: the moment that it is about, and its condition.
pub(crate) struct Question<'a> {
    pub(crate) ask: &'a Ask,
    pub(crate) begun: Instant,
    pub(crate) moment: Moment,
    pub(crate) files: Arc<Files>,
    pub(crate) context: SessionContext,
    pub(crate) part: Part,
    /// Which rows of files can pass.
    chosen: Chosen,
    /// The table and the rows beside it, as the engine scans them, once it does.
    table: OnceCell<Scanned>,
}

impl<'a> Question<'a> {
    pub(crate) async fn new(store: &Store, ask: &'a Ask) -> Result<Self, StoreError> {
        let begun = Instant::now();
        let moment = store.moment()?;
        Self::of_moment(moment, store.engine(), ask, begun).await
    }

    pub(crate) async fn of_moment(
        moment: Moment,
        engine: &Engine,
        ask: &'a Ask,
        begun: Instant,
    ) -> Result<Self, StoreError> {
        let files = engine.files(&moment)?;
        let needs_names =
            !ask.filter.grep.is_empty() || ask.filter.not.iter().any(|not| !not.grep.is_empty());
        let context = engine.context(&ask.limits)?;
        let mut facts = files.facts(&moment);
        if needs_names {
            let (moment, files, context) = (&moment, &*files, &context);
            let asked = Asked { moment, files, context, limits: &ask.limits, begun };
            facts.names = engine.names(asked).await?;
        }
        let mut part = predicate::of_filter(&ask.filter, &facts).and(predicate::of_logs(&ask.logs));
        let kind = if ask.notices { is_event().is_not_true() } else { is_event() };
        part = part.and(Part::exact(kind));
        if let Some(hosts) = &ask.hosts {
            let hosts = predicate::among(column::HOST, hosts);
            part = part.and(Part::exact(hosts));
        }
        if let Some(access) = ask.access.expr() {
            part = part.and(Part::exact(access));
        }
        let table = OnceCell::new();
        let chosen = match part.needs.is_empty() {
            true => Chosen::new(),
            false => {
                let storage = moment.log_store.object_store(None);
                grams::choose(&*storage, &files.all, &part.needs).await
            }
        };
        Ok(Question { ask, begun, moment, files, context, part, chosen, table })
    }

    /// The rows that pass the condition, and another.
    pub(crate) async fn rows(&self, more: Option<Expr>) -> Result<DataFrame, StoreError> {
        let condition = match (self.part.expr.clone(), more) {
            (Some(one), Some(other)) => Some(other.and(one)),
            (one, other) => one.or(other),
        };
        let (table, memory) = self
            .table
            .get_or_try_init(|| async {
                let table = self.moment.table(&self.context).await?;
                let memory = self.moment.memory(&table.schema())?;
                Ok::<_, StoreError>((table, memory))
            })
            .await?;
        union(&self.context, Arc::clone(table), memory.clone(), condition)
            .map_err(|error| StoreError::engine("plan a scan", error))
    }

    /// The plan of a frame of [`rows`](Self::rows).
    pub(crate) async fn plan(
        &self,
        frame: DataFrame,
    ) -> Result<Arc<dyn ExecutionPlan>, StoreError> {
        let limits = &self.ask.limits;
        let planned =
            tokio::time::timeout_at(self.begun + limits.time, frame.create_physical_plan()).await;
        let plan = planned.map_err(|_| too_slow(limits))?;
        plan.and_then(|plan| grams::narrowed(plan, &self.chosen))
            .map_err(|error| of_engine(error, limits))
    }

    /// The batches of a frame of [`rows`](Self::rows).
    pub(crate) async fn batches(
        &self,
        frame: DataFrame,
        limits: &Limits,
    ) -> Result<Batches, StoreError> {
        let plan = self.plan(frame).await?;
        Batches::of_plan(plan, self.context.task_ctx(), limits, self.begun)
    }

    /// Something that tests what the condition lets through, where it has to be.
    pub(crate) fn matcher(&self) -> Option<Matcher> {
        (!self.part.exact).then(|| self.ask.filter.matcher(self.ask.now))
    }

    async fn page(
        &self,
        n: usize,
        bound: Option<&Place>,
        order: Order,
    ) -> Result<Page, StoreError> {
        let n = n.min(MOST);
        let mut best = Best::new(n + 1, order);
        for span in self.spans(n as u64 + 1, bound, order) {
            if best.is_full() {
                break;
            }
            let mut condition = span.condition();
            let is_timed = matches!(span, Span::Between(..) | Span::Until(..));
            if let (true, Some(bound)) = (is_timed, bound) {
                condition = condition.and(beyond(bound, order));
            }
            match is_timed && self.part.exact {
                true => self.take(condition, &mut best).await?,
                _ => {
                    best.bound = bound.cloned();
                    self.look(Some(condition), &mut best).await?;
                }
            }
        }
        let mut events = best.events();
        let has_more = events.len() > n;
        events.truncate(n);
        Ok(Page { events, has_more })
    }

    /// Takes the first rows that pass an exact condition, as the engine sorts them. Where they end is
    /// found out before, by the times alone: nothing else is read of the rows beyond.
    async fn take(&self, condition: Expr, best: &mut Best) -> Result<(), StoreError> {
        let wrong = |error| of_engine(error, &self.ask.limits);
        let room = best.most - best.found.len();
        let Some(condition) = self.up_to(condition, room, best.order).await? else {
            return Ok(());
        };
        let rows = self.rows(Some(condition)).await?;
        let frame = rows
            .select(COLUMNS.map(col).to_vec())
            .and_then(|frame| frame.sort(best.order.keys()))
            .and_then(|frame| frame.limit(0, Some(room)))
            .map_err(wrong)?;
        let mut batches = self.batches(frame, &self.ask.limits).await?;
        while let Some(batch) = batches.next().await? {
            let batch = Batch::new(&batch)?;
            (0..batch.len()).for_each(|row| best.add(&batch, row, None));
        }
        Ok(())
    }

    /// The condition, and that a row's time is none after those of the first rows that pass; nothing
    /// where no row passes.
    async fn up_to(
        &self,
        condition: Expr,
        rows: usize,
        order: Order,
    ) -> Result<Option<Expr>, StoreError> {
        let wrong = |error| of_engine(error, &self.ask.limits);
        let ascending = order == Order::Oldest;
        let times = self.rows(Some(condition.clone())).await?;
        let frame = times
            .select(vec![col(column::TIME)])
            .and_then(|frame| frame.sort(vec![col(column::TIME).sort(ascending, ascending)]))
            .and_then(|frame| frame.limit(0, Some(rows)))
            .map_err(wrong)?;
        let mut batches = self.batches(frame, &self.ask.limits).await?;
        let (mut found, mut last) = (0, None);
        while let Some(batch) = batches.next().await? {
            let times = batch.column(0).as_primitive_opt::<TimestampMicrosecondType>();
            let times = times.ok_or_else(|| StoreError::Rows { why: "a time is none".into() })?;
            found += times.len();
            last = times.iter().last().flatten().or(last);
        }
        Ok(match last {
            None => None,
            // All of them.
            Some(_) if found < rows => Some(condition),
            Some(last) => Some(condition.and(match order {
                Order::Newest => col(column::TIME).gt_eq(micros(last)),
                Order::Oldest => col(column::TIME).lt_eq(micros(last)),
            })),
        })
    }

    /// Looks at every row that a condition lets through.
    async fn look(&self, condition: Option<Expr>, best: &mut Best) -> Result<(), StoreError> {
        let rows = self.rows(condition).await?;
        let frame = rows
            .select(COLUMNS.map(col).to_vec())
            .map_err(|error| of_engine(error, &self.ask.limits))?;
        // What is looked at is no answer yet.
        let limits = Limits { rows: usize::MAX, bytes: usize::MAX, ..self.ask.limits };
        let mut batches = self.batches(frame, &limits).await?;
        let mut matcher = self.matcher();
        while let Some(batch) = batches.next().await? {
            let batch = Batch::new(&batch)?;
            (0..batch.len()).for_each(|row| best.add(&batch, row, matcher.as_mut()));
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// The spans of time that events are looked for in, in their order.
    fn spans(&self, rows: u64, bound: Option<&Place>, order: Order) -> Vec<Span> {
        let is_filtered = !self.ask.is_everything();
        let mut wanted = if is_filtered { FIRST_ROWS.max(rows) } else { rows };
        let bound = bound.map(|place| split(place.time).0);
        let mut files: Vec<&FileFacts> = self.files.all.iter().collect();
        let memory = self.files.memory(&self.moment);
        files.extend(&memory);
        let mut spans = Vec::new();
        if !self.files.all_timed(&self.moment) {
            spans.push(if order == Order::Newest { Span::Far } else { Span::Never });
        }
        // As if time ran backward, so that one loop does both.
        let flip = |time: i64| if order == Order::Newest { time } else { time.saturating_neg() };
        let mut ends: Vec<(i64, i64, u64)> = files
            .iter()
            .map(|file| match order {
                Order::Newest => (file.newest, file.oldest, file.rows),
                Order::Oldest => (flip(file.oldest), flip(file.newest), file.rows),
            })
            // A file that begins past the bound has nothing.
            .filter(|&(_, last, _)| bound.is_none_or(|bound| last <= flip(bound)))
            .collect();
        ends.sort_unstable_by(|one, other| other.cmp(one));
        let (mut from, mut sum) = (i64::MAX, 0);
        for n in 0..ends.len() {
            sum += ends[n].2;
            // Later files have nothing past this.
            let next = ends.get(n + 1).map(|end| end.0);
            if let Some(next) = next
                && sum >= wanted
                && next < from
            {
                spans.push(Span::between(flip(from), flip(next), order));
                from = next;
                wanted = wanted.saturating_mul(4);
            }
        }
        spans.push(Span::between(flip(from), flip(i64::MIN + 1), order));
        if !self.files.all_timed(&self.moment) {
            spans.push(if order == Order::Newest { Span::Never } else { Span::Far });
        }
        spans
    }
}

/// A span of time in which events are looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Span {
    /// After the first and up to the second, in microseconds since 1970.
    Between(i64, i64),
    /// From the first on and before the second.
    Until(i64, i64),
    /// Past the year 9999.
    Far,
    /// Events without a time.
    Never,
}

impl Span {
    /// From an end, which belongs to it, to one that doesn't.
    fn between(from: i64, to: i64, order: Order) -> Self {
        match order {
            Order::Newest => Span::Between(to, from),
            Order::Oldest => Span::Until(from, to),
        }
    }

    fn condition(self) -> Expr {
        let time = || col(column::TIME);
        match self {
            Span::Between(after, to) => time().gt(micros(after)).and(time().lt_eq(micros(to))),
            Span::Until(from, before) => time().gt_eq(micros(from)).and(time().lt(micros(before))),
            Span::Far => col(column::FILETIME).is_not_null(),
            Span::Never => time().is_null().and(col(column::FILETIME).is_null()),
        }
    }
}

impl Order {
    fn keys(self) -> Vec<SortExpr> {
        let ascending = self == Order::Oldest;
        // A row without a number is before those with one.
        [column::TIME, column::TICK, column::SOURCE, column::LOG, column::LOG_RECORD]
            .map(|name| col(name).sort(ascending, ascending))
            .to_vec()
    }
}

/// That a row is past a place, in an order.
fn beyond(place: &Place, order: Order) -> Expr {
    let (time, tick) = split(place.time);
    let past = |column: Expr, value: Expr| match order {
        Order::Newest => column.lt(value),
        Order::Oldest => column.gt(value),
    };
    let column = col(column::LOG_RECORD);
    let mut expr = match (place.record, order) {
        (Some(record), Order::Newest) => {
            column.clone().lt(lit(record.0 as i64)).or(column.is_null())
        }
        (Some(record), Order::Oldest) => column.gt(lit(record.0 as i64)),
        (None, Order::Newest) => lit(false),
        (None, Order::Oldest) => column.is_not_null(),
    };
    for (name, value) in [
        (column::LOG, lit(place.log.as_str())),
        (column::SOURCE, lit(place.source.as_str())),
        (column::TICK, lit(tick)),
        (column::TIME, micros(time)),
    ] {
        expr = past(col(name), value.clone()).or(col(name).eq(value).and(expr));
    }
    let side = match order {
        Order::Newest => col(column::TIME).lt_eq(micros(time)),
        Order::Oldest => col(column::TIME).gt_eq(micros(time)),
    };
    side.and(expr)
}

/// The first events that were found, in an order.
struct Best {
    most: usize,
    order: Order,
    bound: Option<Place>,
    /// By place; rows of one place (of a log that was cleared within 100 ns) by when they were found.
    found: BTreeMap<(Place, usize), StoredEvent>,
    seen: usize,
}

impl Best {
    fn new(most: usize, order: Order) -> Self {
        Best { most, order, bound: None, found: BTreeMap::new(), seen: 0 }
    }

    fn is_full(&self) -> bool {
        self.found.len() >= self.most
    }

    /// Adds a row, if it is among the first and the matcher lets it pass.
    fn add(&mut self, batch: &Batch, row: usize, matcher: Option<&mut Matcher>) {
        let place = Place {
            time: batch.time(row).unwrap_or_default(),
            source: batch.source.get(row).unwrap_or_default().to_owned(),
            log: batch.log.get(row).unwrap_or_default().to_owned(),
            record: batch.log_record(row),
        };
        let is_before = |one: &Place, other: &Place| match self.order {
            Order::Newest => one > other,
            Order::Oldest => one < other,
        };
        if self.bound.as_ref().is_some_and(|bound| !is_before(bound, &place)) {
            return;
        }
        if self.is_full() && self.worst().is_some_and(|worst| !is_before(&place, worst)) {
            return;
        }
        let event = batch.event(row);
        if matcher.is_some_and(|matcher| !event.passes(matcher)) {
            return;
        }
        self.seen += 1;
        self.found.insert((place, self.seen), event);
        if self.found.len() > self.most {
            match self.order {
                Order::Newest => self.found.pop_first(),
                Order::Oldest => self.found.pop_last(),
            };
        }
    }

    fn worst(&self) -> Option<&Place> {
        let worst = match self.order {
            Order::Newest => self.found.first_key_value(),
            Order::Oldest => self.found.last_key_value(),
        };
        worst.map(|((place, _), _)| place)
    }

    fn events(self) -> Vec<StoredEvent> {
        match self.order {
            Order::Newest => self.found.into_values().rev().collect(),
            Order::Oldest => self.found.into_values().collect(),
        }
    }
}
