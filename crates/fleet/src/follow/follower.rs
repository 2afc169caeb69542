//! Following one log: from its last records on, over as many connections and subscriptions as it
//! takes, with every gap reported.

use std::convert::Infallible;
use std::time::Duration;

use quarry_event::filter::{Filter, Matcher, Verdict};
use quarry_event::output::Messages;
use quarry_event::{FieldSource, MessageSource};
use quarry_eventlog::{
    Batch, BatchReader, Batches, Bookmark, Cursor, Damage, Direction, EventLog, LogError, LogName,
    Query, RecordId, Start, Subscription,
};
use tokio::time::Instant;

use super::{EVERY_RECORD, FollowReport, MAX_LAST};
use crate::connection::{Connection, Connections, Fleet};
use crate::failure::Failure;
use crate::job::{FollowRequest, Job, Prepare};

/// The pause between two looks at what a filter has let pass unseen.
const REVIEW: Duration = Duration::from_secs(5);

/// How often in a row a log may have lost records without anything being paused.
const MAX_OVERWRITTEN: u32 = 3;

/// Follows a log of a source until there is no use in going on, and reports why.
pub(super) async fn follow_log(
    connections: &Connections<'_, FollowReport>,
    job: &Job<FollowRequest>,
    log: LogName,
    is_named: bool,
) {
    let (source, id) = (connections.source(), connections.id());
    let request = &*job.request;
    let cursor = request.cursors.get(&(source.address().to_owned(), log.clone())).copied();
    let mut follower = Follower {
        connection: connections.connection(),
        request,
        prepare: job.prepare.as_deref(),
        texts: job.texts.as_deref(),
        log,
        cursor,
        is_fresh: false,
        is_gap_open: false,
        is_overwritten: false,
        is_recreated: false,
    };
    let Err(error) = follower.run().await;
    let failure = Failure::of(source, &error, 0);
    let report = match is_of_log(&error) && !is_named {
        true => FollowReport::LeftOut { source: id, failure },
        false => FollowReport::Failed { source: id, failure },
    };
    connections.fleet().report(report).await;
}

/// Whether an error is the log's rather than the source's.
fn is_of_log(error: &LogError) -> bool {
    match error {
        LogError::Server(_) | LogError::Open(_) => false,
        LogError::Local(error) => !error.is_without_service(),
        _ => true,
    }
}

/// Follows one log.
struct Follower<'a> {
    connection: Connection<'a, FollowReport>,
    request: &'a FollowRequest,
    prepare: Option<&'a dyn Prepare>,
    texts: Option<&'a dyn MessageSource>,
    log: LogName,
    /// The last record that came, or that isn't wanted; 0 if there was none.
    cursor: Option<Cursor>,
    /// The log was found empty, and all that comes is new.
    is_fresh: bool,
    /// The log was empty when it had lost the cursor's record: the first record to come shows
    /// what is gone.
    is_gap_open: bool,
    /// The subscription has said that records after the cursor are gone.
    is_overwritten: bool,
    /// The log was recreated, so that the cursor's number means nothing in it.
    is_recreated: bool,
}

/// A subscription, and whether it passes over what is gone.
struct Subscribed {
    batches: Box<dyn Batches>,
    is_lenient: bool,
}

impl Follower<'_> {
    /// Follows it until there is no use in going on.
    async fn run(&mut self) -> Result<Infallible, LogError> {
        let mut overwritten = 0;
        loop {
            let open = self.connection.open().await?;
            let cursor = self.cursor;
            let Err(error) = self.follow(&*open).await;
            if self.cursor != cursor {
                overwritten = 0;
            }
            if matches!(error, LogError::Overwritten | LogError::Recreated) {
                overwritten += 1;
                self.is_overwritten = true;
                self.is_recreated |= matches!(error, LogError::Recreated);
                // A file is to be opened again.
                self.connection.leave(false);
                if overwritten > MAX_OVERWRITTEN {
                    self.connection.pause(&error).await;
                }
                continue;
            }
            self.connection.failed(error).await?;
        }
    }

    async fn follow(&mut self, open: &dyn EventLog) -> Result<Infallible, LogError> {
        if self.cursor.is_none() {
            self.begin(open).await?;
        }
        loop {
            let Subscribed { mut batches, is_lenient } = self.subscribe(open).await?;
            self.connection.served();
            // It may know when the cursor's record was written.
            let known = batches.bookmark().and_then(cursor);
            let is_same = |known: &Cursor| self.cursor.is_some_and(|c| c.record == known.record);
            self.cursor = known.filter(is_same).or(self.cursor);
            self.report_cursor().await;
            self.take(open, &mut *batches, is_lenient).await?;
            batches.close().await;
        }
    }

    /// Takes what comes. A lenient subscription ends with its first records.
    async fn take(
        &mut self,
        open: &dyn EventLog,
        batches: &mut dyn Batches,
        is_lenient: bool,
    ) -> Result<(), LogError> {
        let mut review = Review { due: Instant::now() + REVIEW, unwanted: None };
        let mut is_idle = false;
        loop {
            // What is idle holds no room, or many idle logs would leave none for the others.
            let room = match is_idle {
                true => None,
                false => Some(self.fleet().budget.room(batches.expected_bytes()).await),
            };
            let batch = match batches.next().await {
                Some(batch) => batch?,
                None => return Err(LogError::Nonsense("a subscription that ends")),
            };
            let came = Instant::now();
            self.connection.answered(batch.records());
            is_idle = batch.is_empty();
            if is_idle {
                drop(room);
                if batches.is_filtered() {
                    self.review(open, &mut review).await?;
                }
                continue;
            }
            review.unwanted = None;
            let room = match room {
                Some(mut room) => {
                    room.shrink(batch.bytes());
                    room
                }
                None => self.fleet().budget.room(batch.bytes()).await,
            };
            if self.is_gap_open {
                self.close_gap(open, &batch).await?;
            }
            if let Some(prepare) = self.prepare {
                prepare.prepare(open, &batch).await;
            }
            let cursor = batches.bookmark().and_then(cursor);
            self.cursor = cursor.or(self.cursor);
            let (source, log) = (self.connection.of().id(), self.log.clone());
            let report = FollowReport::Batch { source, log, batch, cursor, room };
            self.fleet().report(report).await;
            if is_lenient && cursor.is_some() {
                return Ok(());
            }
            let gather = self.fleet().gather;
            if !gather.is_zero() && !batches.may_have_more() {
                tokio::time::sleep_until(came + gather).await;
            }
        }
    }

    fn fleet(&self) -> &Fleet<FollowReport> {
        self.connection.of().fleet()
    }

    async fn report_cursor(&self) {
        let (source, log, cursor) =
            (self.connection.of().id(), self.log.clone(), self.cursor.unwrap_or_default());
        self.fleet().report(FollowReport::Following { source, log, cursor }).await;
    }

    /// The number of the cursor's record.
    fn number(&self) -> RecordId {
        self.cursor.unwrap_or_default().record
    }

    async fn report_gap(&self, last: Option<RecordId>) {
        let (source, log, first) =
            (self.connection.of().id(), self.log.clone(), self.number().after());
        self.fleet().report(FollowReport::Gap { source, log, first, last }).await;
    }

    /// Finds the place before the last records that are wanted. They come again from there, with
    /// what follows them.
    async fn begin(&mut self, open: &dyn EventLog) -> Result<(), LogError> {
        let newest = self.end(open, Direction::Backward).await?;
        self.is_fresh = newest.is_none();
        let wanted = self.request.last.min(MAX_LAST);
        let first = match (wanted, newest) {
            (_, Some(_)) if self.request.last == EVERY_RECORD => {
                self.end(open, Direction::Forward).await?.map(|oldest| oldest.record)
            }
            (1.., Some(_)) => self.first_of_last(open, wanted).await?,
            _ => None,
        };
        let first = first.map(|first| Cursor::at(first.before()));
        self.cursor = Some(first.or(newest).unwrap_or_default());
        Ok(())
    }

    /// The number of the first of the last records that pass the filter.
    async fn first_of_last(
        &self,
        open: &dyn EventLog,
        wanted: u64,
    ) -> Result<Option<RecordId>, LogError> {
        let FollowRequest { filter, matcher, .. } = self.request;
        let query = Query {
            filter: filter.clone(),
            limit: Some(wanted),
            ..Query::new(self.log.clone(), Direction::Backward)
        };
        let mut batches = open.query(&query).await?;
        let mut reader = BatchReader::default();
        let (texts, text) = (self.texts, Vec::new());
        let messages = Messages::default();
        let mut last =
            Last { matcher: matcher.clone(), texts, messages, text, wanted, first: None };
        // Text is needed where it is searched.
        let searches = |filter: &Filter| !filter.grep.is_empty();
        let is_searched = searches(filter) || filter.not.iter().any(searches);
        let prepare = self.prepare.filter(|_| is_searched);
        while last.wanted > 0 {
            let _room = self.fleet().budget.room(batches.expected_bytes()).await;
            let Some(batch) = batches.next().await.transpose()? else { break };
            if let Some(prepare) = prepare {
                prepare.prepare(open, &batch).await;
            }
            reader.read(&batch, &mut last);
        }
        batches.close().await;
        Ok(last.first)
    }

    /// Subscribes after the cursor, and reports what is gone there.
    async fn subscribe(&mut self, open: &dyn EventLog) -> Result<Subscribed, LogError> {
        let cursor = self.number();
        let is_fresh = std::mem::take(&mut self.is_fresh);
        let bookmark = Bookmark::single(self.log.clone(), self.cursor.unwrap_or_default());
        let (log, filter) = (self.log.clone(), self.request.filter.clone());
        let at = |start| Subscription { logs: vec![log.clone()], filter: filter.clone(), start };
        self.is_gap_open = false;
        if cursor.0 > 0 && !self.is_overwritten {
            match open.subscribe(&at(Start::After(bookmark.clone()))).await {
                Err(LogError::Overwritten) => {}
                Err(LogError::Recreated) => self.is_recreated = true,
                subscribed => return Ok(Subscribed { batches: subscribed?, is_lenient: false }),
            }
        }
        let batches = open.subscribe(&at(Start::Oldest)).await?;
        self.is_overwritten = false;
        // Only now: what goes until the subscription begins would be in no gap.
        let oldest = self.end(open, Direction::Forward).await?.map(|oldest| oldest.record);
        let newest = self.end(open, Direction::Backward).await?;
        match (oldest, newest) {
            _ if is_fresh => {}
            (None, _) | (_, None) => self.is_gap_open = true,
            (_, Some(newest)) if newest.record < cursor || self.is_recreated => {
                self.report_gap(None).await;
                self.cursor = Some(Cursor::default());
            }
            (Some(oldest), _) if oldest.before() > cursor => {
                self.report_gap(Some(oldest.before())).await;
                self.cursor = Some(Cursor::at(oldest.before()));
            }
            (Some(oldest), _) if oldest.before() == cursor => {}
            // Only the cursor's own record is not there.
            _ => {
                batches.close().await;
                let batches = open.subscribe(&at(Start::AfterOrLater(bookmark))).await?;
                return Ok(Subscribed { batches, is_lenient: true });
            }
        }
        self.is_recreated = false;
        Ok(Subscribed { batches, is_lenient: false })
    }

    /// Reports what is gone before the first records of a log that was empty.
    async fn close_gap(&mut self, open: &dyn EventLog, batch: &Batch) -> Result<(), LogError> {
        let oldest = self.end(open, Direction::Forward).await?.map(|oldest| oldest.record);
        let came = first_number(batch);
        let Some(oldest) = oldest.into_iter().chain(came).min() else { return Ok(()) };
        let cursor = self.number();
        if oldest <= cursor {
            self.report_gap(None).await;
        } else if oldest.before() > cursor {
            self.report_gap(Some(oldest.before())).await;
        }
        self.is_gap_open = false;
        Ok(())
    }

    /// After an answer without records, where the source leaves out what doesn't match: moves the
    /// cursor over records that nobody wants. Else it would stay where the last one was that
    /// matched, and when the log wraps past that, records would seem to be lost that were not.
    ///
    /// A query shows that nothing matches between the cursor and the newest record. What has gone
    /// before the query was passed by the subscription by then, if its next answer is not that it
    /// has missed something.
    async fn review(&mut self, open: &dyn EventLog, review: &mut Review) -> Result<(), LogError> {
        if let Some(unwanted) = review.unwanted.take() {
            self.cursor = Some(unwanted);
            self.report_cursor().await;
        }
        if Instant::now() < review.due || self.is_gap_open {
            return Ok(());
        }
        let cursor = self.number();
        let newest = self.end(open, Direction::Backward).await?;
        if let Some(newest) = newest.filter(|newest| newest.record > cursor)
            && !self.has_match(open).await?
        {
            review.unwanted = Some(newest);
        }
        review.due = Instant::now() + REVIEW;
        Ok(())
    }

    /// Whether the source has a record after the cursor that it selects.
    async fn has_match(&self, open: &dyn EventLog) -> Result<bool, LogError> {
        let cursor = self.cursor.filter(|cursor| cursor.record.0 > 0);
        let query = Query {
            filter: self.request.filter.clone(),
            limit: Some(1),
            after: cursor.map(|cursor| Bookmark::single(self.log.clone(), cursor)),
            ..Query::new(self.log.clone(), Direction::Forward)
        };
        let mut batches = open.query(&query).await?;
        let mut has_match = false;
        while !has_match {
            let Some(batch) = batches.next().await.transpose()? else { break };
            has_match = batch.records() > 0;
        }
        batches.close().await;
        Ok(has_match)
    }

    /// The log's first record in a direction.
    async fn end(
        &self,
        open: &dyn EventLog,
        direction: Direction,
    ) -> Result<Option<Cursor>, LogError> {
        let query = Query { limit: Some(1), ..Query::new(self.log.clone(), direction) };
        let mut batches = open.query(&query).await?;
        let mut first = None;
        while first.is_none() {
            let Some(batch) = batches.next().await.transpose()? else { break };
            first = first_number(&batch).map(Cursor::at);
        }
        // More than the one record may have come, whose time is then not the first's.
        let at_bookmark = batches.bookmark().and_then(cursor);
        let first =
            at_bookmark.filter(|cursor| Some(cursor.record) == first.map(|f| f.record)).or(first);
        batches.close().await;
        Ok(first)
    }
}

/// What is known of records that a filter has hidden.
struct Review {
    /// When to look again.
    due: Instant,
    /// Nothing up to this record matches.
    unwanted: Option<Cursor>,
}

fn cursor(bookmark: &Bookmark) -> Option<Cursor> {
    bookmark.current().map(|entry| entry.cursor)
}

/// The number of a batch's first record.
fn first_number(batch: &Batch) -> Option<RecordId> {
    let mut first = First(None);
    BatchReader::default().read(batch, &mut first);
    first.0
}

struct First(Option<RecordId>);

impl quarry_eventlog::Visitor for First {
    fn event<S: quarry_event::FieldSource>(
        &mut self,
        _: &S,
        _: &str,
        log_record: Option<RecordId>,
    ) {
        self.0 = self.0.or(log_record);
    }

    fn damage(&mut self, damage: &Damage) {
        self.0 = self.0.or(damage.record());
    }
}

/// Counts records that pass, from the last on.
struct Last<'a> {
    matcher: Option<Matcher>,
    texts: Option<&'a dyn MessageSource>,
    messages: Messages,
    /// The text of a message.
    text: Vec<u8>,
    wanted: u64,
    first: Option<RecordId>,
}

impl Last<'_> {
    fn passes(&mut self, event: &impl FieldSource) -> bool {
        let Some(matcher) = &mut self.matcher else { return true };
        match matcher.verdict(event) {
            Verdict::Yes => true,
            Verdict::No => false,
            Verdict::IfMessageMatches => {
                self.text.clear();
                let found = self
                    .texts
                    .and_then(|texts| self.messages.push_known(event, texts, &mut self.text));
                let text = found.and_then(|_| std::str::from_utf8(&self.text).ok());
                matcher.message_matches(text)
            }
        }
    }
}

impl quarry_eventlog::Visitor for Last<'_> {
    fn event<S: FieldSource>(&mut self, event: &S, _: &str, number: Option<RecordId>) {
        if self.wanted > 0 && self.passes(event) {
            self.wanted -= 1;
            self.first = number.or(self.first);
        }
    }

    fn damage(&mut self, _: &Damage) {}
}
