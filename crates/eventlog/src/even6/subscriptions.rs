//! A pull subscription (3.1.4.8, 3.1.4.10): records that are there, and new ones as they come.

use std::time::Duration;

use quarry_even::wire::{OperationControlHandle, SubscriptionHandle};
use quarry_even::{EventClient, Next, RegisteredSubscription, SubscribeFlags, Win32Error};
use tokio::time::Instant;

use super::queries::{Records, check_channels};
use super::{info, result_logs};
use crate::resume::{Answer, Ladder, QueryText, Rest, ResumingSubscription, SubscriptionCursor};
use crate::types::{Bookmark, LogError, LogName, ReadOptions, Start, Subscription};

/// How long to wait at least before a server is asked again that had nothing and didn't take its
/// time to say so, and how long at most, after a while in which that went on.
const POLL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Begins a subscription, with as much of its filter as the server takes.
pub(super) async fn open(
    client: EventClient,
    options: ReadOptions,
    subscription: &Subscription,
) -> Result<ResumingSubscription<PullCursor>, LogError> {
    let Subscription { logs, filter, start } = subscription;
    // Before it begins, so that nothing is lost between.
    let last = match start {
        Start::Now => info::last_records(&client, logs).await?,
        _ => None,
    };
    let mut ladder = Ladder::new(logs, filter);
    let registered = loop {
        match register(&client, ladder.text(), logs, start).await {
            Ok(registered) => break registered,
            Err(error) => ladder.step_down(error)?,
        }
    };
    let text = ladder.into_text();
    let names = result_logs(&registered.channels, logs);
    let cursor = PullCursor {
        client,
        heartbeat: options.idle_heartbeat,
        text: text.clone(),
        asked: logs.clone(),
        opened: Opened { handle: registered.handle, control: registered.control },
        records: Records::new(names.clone()),
        poll: Duration::ZERO,
        asked_at: Instant::now(),
    };
    // Only now: a log that is recreated from here on ends the subscription.
    if let Start::After(bookmark) = start {
        for entry in &bookmark.entries {
            let found = match entry.cursor.time {
                Some(_) => info::time_of(&cursor.client, options, entry).await,
                None => continue,
            };
            match found {
                Ok(time) if entry.cursor.is_another(time) => {
                    cursor.release().await;
                    return Err(LogError::Recreated);
                }
                Ok(_) => {}
                Err(error) => {
                    cursor.release().await;
                    return Err(error);
                }
            }
        }
    }
    Ok(ResumingSubscription::new(cursor, text, names, start, last.as_ref(), options))
}

/// A subscription that a server has open.
pub(super) struct PullCursor {
    client: EventClient,
    heartbeat: Duration,
    text: QueryText,
    asked: Vec<LogName>,
    opened: Opened,
    records: Records,
    /// How long was last waited for a server that doesn't wait itself.
    poll: Duration,
    /// When the server was last asked.
    asked_at: Instant,
}

/// The server's handles for a subscription.
#[derive(Clone, Copy, Debug)]
struct Opened {
    handle: SubscriptionHandle,
    control: OperationControlHandle,
}

impl PullCursor {
    /// Gives the handles back. That this fails is of no consequence: they go with the connection.
    async fn release(&self) {
        let Opened { handle, control } = self.opened;
        let _ = tokio::join!(self.client.close(handle.into()), self.client.close(control.into()));
    }
}

impl SubscriptionCursor for PullCursor {
    async fn next(&mut self, count: u32) -> Result<Answer, LogError> {
        self.asked_at = Instant::now();
        let next = self.client.subscription_next(self.opened.handle, count, self.heartbeat).await;
        let fail = |error| LogError::of_log(error, &self.asked[0]);
        let batch = match next {
            Ok(Next::End) => return Ok(Answer::End),
            Ok(Next::Events(batch) | Next::TimedOut(batch)) => batch,
            Err(error) if error.is_batch_too_large() => return Ok(Answer::TooLarge(fail(error))),
            Err(error) => return Err(fail(error)),
        };
        if batch.is_empty() {
            return Ok(Answer::Searching);
        }
        self.poll = Duration::ZERO;
        self.records.answer(batch)
    }

    /// A server that answers at once, time-out or not, is asked again after a while, which gets
    /// longer.
    async fn rest(&mut self, _begun: Instant) -> Rest {
        let (least, most) = POLL;
        self.poll = (self.poll * 2).clamp(least, most);
        tokio::time::sleep_until(self.asked_at + self.poll.min(self.heartbeat)).await;
        Rest::Heartbeat
    }

    async fn reopen(&mut self, after: Option<&Bookmark>, is_strict: bool) -> Result<(), LogError> {
        self.release().await;
        let start = match (after.cloned(), is_strict) {
            (Some(bookmark), true) => Start::After(bookmark),
            (Some(bookmark), false) => Start::AfterOrLater(bookmark),
            (None, _) => Start::Oldest,
        };
        let registered = register(&self.client, &self.text, &self.asked, &start).await?;
        self.opened = Opened { handle: registered.handle, control: registered.control };
        Ok(())
    }

    async fn close(self) {
        self.release().await;
    }
}

async fn register(
    client: &EventClient,
    text: &QueryText,
    logs: &[LogName],
    start: &Start,
) -> Result<RegisteredSubscription, LogError> {
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
