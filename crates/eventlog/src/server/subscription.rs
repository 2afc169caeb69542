//! A pull subscription (3.1.4.8, 3.1.4.10): records that are there, and new ones as they come.

use std::sync::Arc;
use std::time::Duration;

use quarry_even::wire::{EventBatch, OperationControlHandle, SubscriptionHandle};
use quarry_even::{EventClient, Next, SubscribeFlags, Win32Error};
use tokio::time::Instant;

use super::batches::check_channels;
use super::position::Position;
use super::recovery::MAX_SKIPPED;
use super::size::BatchSize;
use super::{QueryText, ReadOptions, result_logs};
use crate::batch::Batch;
use crate::damage::Damage;
use crate::error::LogError;
use crate::log::{Batches, Bookmark, BoxFuture, Direction, LogName, Start, Subscription};

/// How long to wait at least before a server is asked again that had nothing and didn't take its
/// time to say so, and how long at most, after a while in which that went on.
const POLL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// The batches of a subscription. They don't end; one is empty when nothing came for
/// [`ReadOptions::idle_heartbeat`].
pub(super) struct SubscriptionBatches {
    client: EventClient,
    options: ReadOptions,
    text: QueryText,
    start: Start,
    handle: SubscriptionHandle,
    control: OperationControlHandle,
    asked: Vec<LogName>,
    logs: Arc<[LogName]>,
    position: Position,
    size: BatchSize,
    resumed: bool,
    /// How long was last waited for a server that doesn't wait itself.
    poll: Duration,
    /// What is to be told before the next records.
    damage: Vec<Damage>,
    /// Records that were too large, since the last that came.
    skipped: u32,
    failed: bool,
}

impl SubscriptionBatches {
    pub(super) async fn open(
        client: EventClient,
        options: ReadOptions,
        subscription: &Subscription,
    ) -> Result<Self, LogError> {
        let Subscription { logs, filter, start } = subscription;
        // Before it begins, so that nothing is lost between.
        let now = match start {
            Start::Now => super::info::last_records(&client, logs).await?,
            _ => None,
        };
        let mut text = QueryText::new(logs, filter);
        let registered = match register(&client, &text, logs, start).await {
            Err(error) if error.is_query_refused() && text.filters => {
                text = QueryText::everything(logs);
                register(&client, &text, logs, start).await?
            }
            registered => registered?,
        };
        let after = match start {
            Start::After(bookmark) | Start::AfterOrLater(bookmark) => Some(bookmark),
            Start::Now => now.as_ref(),
            Start::Oldest => None,
        };
        let names = result_logs(&registered.channels, logs);
        Ok(SubscriptionBatches {
            client,
            options,
            text,
            start: start.clone(),
            handle: registered.handle,
            control: registered.control,
            asked: logs.clone(),
            logs: names.clone().into(),
            position: Position::new(names, Direction::Forward, after),
            size: BatchSize::new(options.batch_bytes),
            resumed: after.is_some() && now.is_none(),
            poll: Duration::ZERO,
            damage: Vec::new(),
            skipped: 0,
            failed: false,
        })
    }

    /// Waits for records, for at most a heartbeat.
    async fn next_batch(&mut self) -> Result<Batch, LogError> {
        let asked = Instant::now();
        let next = loop {
            if !self.damage.is_empty() {
                return Ok(Batch::damage(std::mem::take(&mut self.damage)));
            }
            let (count, heartbeat) = (self.size.count(), self.options.idle_heartbeat);
            match self.client.subscription_next(self.handle, count, heartbeat).await {
                Err(error) if error.is_batch_too_large() => {
                    self.ask_for_less(error).await?;
                }
                next => break next.map_err(|error| LogError::of_log(error, &self.asked[0]))?,
            }
        };
        let batch = match next {
            Next::Events(batch) | Next::TimedOut(batch) => batch,
            Next::End => EventBatch::default(),
        };
        if batch.is_empty() {
            self.rest(asked).await;
            return Ok(Batch::empty());
        }
        self.poll = Duration::ZERO;
        let (records, bytes) = (batch.len(), batch.buffer().len());
        let batch = self.position.advance(batch, std::mem::take(&mut self.resumed))?;
        self.size.succeeded(records, bytes);
        self.skipped = 0;
        Ok(Batch::wire(batch, Arc::clone(&self.logs)))
    }

    /// After an answer without records. Whoever answers at once, time-out or not, is asked
    /// again after a while, which gets longer.
    async fn rest(&mut self, asked: Instant) {
        self.size.waited();
        let (least, most) = POLL;
        self.poll = (self.poll * 2).clamp(least, most);
        let due = asked + self.poll.min(self.options.idle_heartbeat);
        tokio::time::sleep_until(due).await;
    }

    /// The position has moved past records that never came: these are asked for again, fewer at
    /// once. A single one that is too large is told of, and behind it goes on.
    async fn ask_for_less(&mut self, error: quarry_even::Error) -> Result<(), LogError> {
        if self.size.halve(u32::MAX) {
            return self.subscribe_again().await;
        }
        self.skipped += 1;
        if self.skipped > MAX_SKIPPED {
            return Err(error.into());
        }
        let (log, after) = self.position.last();
        self.damage.push(Damage::TooLarge { log, after });
        Ok(())
    }

    /// Behind the last record that came.
    async fn subscribe_again(&mut self) -> Result<(), LogError> {
        self.release().await;
        let start = match (self.position.bookmark(), &self.start) {
            (Some(bookmark), Start::AfterOrLater(_)) => Start::AfterOrLater(bookmark.clone()),
            (Some(bookmark), _) => Start::After(bookmark.clone()),
            // There was nothing at all: what is the oldest now, came since.
            (None, Start::Now) => Start::Oldest,
            (None, start) => start.clone(),
        };
        let registered = register(&self.client, &self.text, &self.asked, &start).await?;
        (self.handle, self.control) = (registered.handle, registered.control);
        self.resumed = true;
        Ok(())
    }

    /// Gives the handles back. That this fails is of no consequence: they go with the connection.
    async fn release(&self) {
        let (handle, control) = (self.handle.into(), self.control.into());
        let _ = tokio::join!(self.client.close(handle), self.client.close(control));
    }
}

impl Batches for SubscriptionBatches {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Batch, LogError>>> {
        Box::pin(async {
            if self.failed {
                return None;
            }
            let next = self.next_batch().await;
            self.failed = next.is_err();
            Some(next)
        })
    }

    fn expected_bytes(&self) -> usize {
        self.size.expected_bytes()
    }

    fn bookmark(&self) -> Option<&Bookmark> {
        self.position.bookmark()
    }

    fn is_filtered(&self) -> bool {
        self.text.filters
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.release().await })
    }
}

async fn register(
    client: &EventClient,
    text: &QueryText,
    logs: &[LogName],
    start: &Start,
) -> Result<quarry_even::RegisteredSubscription, LogError> {
    // Without "strict" the server would pass over what is gone without a word, also later.
    let strict = SubscribeFlags::STRICT;
    let (flags, bookmark) = match start {
        Start::Now => (SubscribeFlags::FUTURE_EVENTS | strict, None),
        Start::Oldest => (SubscribeFlags::START_AT_OLDEST | strict, None),
        Start::After(bookmark) => {
            (SubscribeFlags::START_AFTER_BOOKMARK | strict, Some(bookmark.to_xml()))
        }
        Start::AfterOrLater(bookmark) => {
            (SubscribeFlags::START_AFTER_BOOKMARK, Some(bookmark.to_xml()))
        }
    };
    let (path, query) = (text.path.as_deref(), &*text.query);
    let flags = SubscribeFlags::PULL | flags;
    let registered = client.register_subscription(path, query, bookmark.as_deref(), flags).await;
    let registered = registered.map_err(|error| match error.status() {
        Some(Win32Error::NOT_FOUND) => LogError::Overwritten,
        _ => LogError::of_log(error, &logs[0]),
    })?;
    check_channels(&registered.channels, logs)?;
    Ok(registered)
}
