//! The next records of a query or a subscription.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use quarry_even::limits::MAX_BATCH_SIZE;
use quarry_even::wire::EventBatch;
use quarry_even::{Refuse, Win32Error, encode_record};
use quarry_rpc::FaultStatus;
use quarry_rpc::tcp::CallContext;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::generate::mix;
use crate::handles::{Handles, Opened};
use crate::log::Log;
use crate::reader::{Peek, Reader, SLICE};
use crate::server::Server;

/// What a call asks for.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) records: usize,
    /// When the call's own time-out is over.
    pub(crate) deadline: Option<Instant>,
    /// Fail with 1734 beyond so many bytes, rather than send fewer records.
    pub(crate) big_batch: Option<u32>,
}

/// After how long an endless search says that it goes on to whoever would wait for ever.
const ENDLESS: Duration = Duration::from_secs(1);

type Answer = Result<(EventBatch, Win32Error), Refuse>;

/// What happens when there are no more records.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtEnd {
    /// Opnum 11 (3.1.4.13): that is the end.
    Ends,
    /// Opnums 1 and 2 (3.1.4.9, 3.1.4.10): what is to come is waited for.
    Waits,
}

/// The next records of a query or a subscription.
pub(crate) async fn records(
    server: &Server,
    context: &CallContext<Handles>,
    opened: &Opened,
    limits: Limits,
    at_end: AtEnd,
) -> Answer {
    if server.faults.hollow {
        return Ok((EventBatch::default(), Win32Error::SUCCESS));
    }
    let mut stop = Stop::new(opened, context);
    if server.faults.endless {
        let deadline = limits.deadline.unwrap_or_else(|| Instant::now() + ENDLESS);
        let status = tokio::select! {
            () = sleep_until(deadline) => Win32Error::TIMEOUT,
            () = stop.set() => Win32Error::CANCELLED,
        };
        return Ok((EventBatch::default(), status));
    }
    let mut reader = opened.reader.lock().await;
    if let Some(status) = search(server, &mut reader, limits, &mut stop).await {
        return Ok((EventBatch::default(), status));
    }
    let ends = at_end == AtEnd::Ends || server.faults.no_wait;
    let mut batch = Batch::default();
    loop {
        let appended = server.appended.notified();
        tokio::pin!(appended);
        // From here on nothing that is appended is missed.
        appended.as_mut().enable();
        let status = match batch.fill(server, &mut reader, limits) {
            Filled::Whole => Win32Error::SUCCESS,
            Filled::End if !batch.is_empty() => Win32Error::SUCCESS,
            Filled::End if ends => Win32Error::NO_MORE_ITEMS,
            Filled::End => tokio::select! {
                () = appended => continue,
                () = stop.set() => Win32Error::CANCELLED,
                () = over(limits.deadline) => Win32Error::TIMEOUT,
            },
            Filled::Stale => Win32Error::EVT_QUERY_RESULT_STALE,
            Filled::Fault(effect) if batch.is_empty() => {
                effect.happen(server)?;
                continue;
            }
            Filled::Fault(_) => Win32Error::SUCCESS,
            Filled::InPart if stop.is_set() => Win32Error::CANCELLED,
            Filled::InPart if is_over(limits.deadline) => Win32Error::TIMEOUT,
            Filled::InPart => {
                tokio::task::yield_now().await;
                continue;
            }
        };
        return batch.answer(server, status, limits);
    }
}

/// Opnum 3 (3.1.4.11): until there is something to take.
pub(crate) async fn wait(
    server: &Server,
    context: &CallContext<Handles>,
    opened: &Opened,
) -> Win32Error {
    let mut stop = Stop::new(opened, context);
    let mut reader = opened.reader.lock().await;
    let (mut binxml, mut subqueries) = (Vec::new(), Vec::new());
    loop {
        let appended = server.appended.notified();
        tokio::pin!(appended);
        appended.as_mut().enable();
        match reader.peek() {
            Peek::Record { channel, number, .. } => {
                let testers = &server.world.testers;
                if reader.test(channel, number, testers, &mut binxml, &mut subqueries) {
                    return Win32Error::SUCCESS;
                }
                reader.pass(channel, number);
            }
            // The call for more says so.
            Peek::Stale => return Win32Error::SUCCESS,
            Peek::End => tokio::select! {
                () = appended => {}
                () = stop.set() => return Win32Error::CANCELLED,
            },
        }
        if stop.is_set() {
            return Win32Error::CANCELLED;
        }
        tokio::task::yield_now().await;
    }
}

/// What a slow server does before it has a batch.
async fn search(
    server: &Server,
    reader: &mut Reader,
    limits: Limits,
    stop: &mut Stop,
) -> Option<Win32Error> {
    if stop.is_set() {
        return Some(Win32Error::CANCELLED);
    }
    let slow = server.faults.slow?;
    let due = *reader.due.get_or_insert_with(|| Instant::now() + slow);
    tokio::select! {
        () = sleep_until(limits.deadline.map_or(due, |deadline| deadline.min(due))) => {}
        () = stop.set() => return Some(Win32Error::CANCELLED),
    }
    if Instant::now() < due {
        return Some(Win32Error::TIMEOUT);
    }
    reader.due = None;
    None
}

fn is_over(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}

async fn over(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Whether the client wants the call to end: by the control handle, or by RPC's own means.
struct Stop {
    handle: watch::Receiver<bool>,
    call: watch::Receiver<bool>,
}

impl Stop {
    fn new(opened: &Opened, context: &CallContext<Handles>) -> Self {
        Self { handle: opened.cancelled.clone(), call: context.cancelled.clone() }
    }

    fn is_set(&self) -> bool {
        *self.handle.borrow() || *self.call.borrow()
    }

    async fn set(&mut self) {
        let (one, other) = (&mut self.handle, &mut self.call);
        tokio::select! {
            () = becomes_true(one) => {}
            () = becomes_true(other) => {}
        }
    }
}

async fn becomes_true(flag: &mut watch::Receiver<bool>) {
    if flag.wait_for(|set| *set).await.is_err() {
        // The control handle was closed.
        std::future::pending::<()>().await;
    }
}

/// A batch in the making.
#[derive(Default)]
struct Batch {
    sizes: Vec<u32>,
    buffer: Vec<u8>,
    /// Records that were passed after the batch had become too big.
    lost: usize,
    binxml: Vec<u8>,
    subqueries: Vec<u32>,
    record_ids: Vec<u64>,
}

enum Filled {
    /// As many records as were asked for, or as there is room for.
    Whole,
    /// There is more to look at.
    InPart,
    End,
    Stale,
    Fault(Effect),
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.sizes.is_empty() && self.lost == 0
    }

    /// Looks at some more records.
    fn fill(&mut self, server: &Server, reader: &mut Reader, limits: Limits) -> Filled {
        let mut read = 0;
        let filled = self.fill_slice(server, reader, limits, &mut read);
        server.counts.records_read.fetch_add(read, Relaxed);
        filled
    }

    fn fill_slice(
        &mut self,
        server: &Server,
        reader: &mut Reader,
        limits: Limits,
        read: &mut u64,
    ) -> Filled {
        for _ in 0..SLICE {
            if self.sizes.len() + self.lost >= limits.records {
                return Filled::Whole;
            }
            let (channel, number, ordinal) = match reader.peek() {
                Peek::Record { channel, number, ordinal } => (channel, number, ordinal),
                Peek::End => return Filled::End,
                Peek::Stale => return Filled::Stale,
            };
            let log = &reader.plan.channels[channel].log;
            if let Some(effect) = Effect::due(server, log, ordinal, reader.reverse) {
                return Filled::Fault(effect);
            }
            *read += 1;
            let testers = &server.world.testers;
            if !reader.test(channel, number, testers, &mut self.binxml, &mut self.subqueries) {
                reader.pass(channel, number);
                continue;
            }
            if let Some(nested) = &server.faults.nested {
                self.binxml.clear();
                self.binxml.extend_from_slice(nested);
            }
            let channels = reader.plan.channels.len();
            let size = 48 + self.binxml.len() + 4 * self.subqueries.len() + 8 * channels;
            let max = limits.big_batch.unwrap_or(MAX_BATCH_SIZE) as usize;
            if self.buffer.len() + size > max || self.lost > 0 {
                if limits.big_batch.is_none() && !self.sizes.is_empty() {
                    return Filled::Whole;
                }
                self.lost += 1;
            }
            reader.pass(channel, number);
            reader.came(channel, number);
            if self.lost > 0 {
                continue;
            }
            reader.record_ids(&mut self.record_ids);
            let before = self.buffer.len();
            encode_record(
                &mut self.buffer,
                &self.binxml,
                &self.subqueries,
                &self.record_ids,
                channel as u32,
                reader.reverse,
            );
            self.sizes.push((self.buffer.len() - before) as u32);
        }
        Filled::InPart
    }

    /// What the server answers: what there is, or why there is nothing.
    fn answer(mut self, server: &Server, status: Win32Error, limits: Limits) -> Answer {
        if self.lost > 0 && limits.big_batch.is_some() {
            return Err(Refuse::Fault(FaultStatus::INVALID_BOUND));
        }
        if self.sizes.is_empty() {
            return Ok((EventBatch::default(), status));
        }
        if server.faults.garbage {
            let seed = self.buffer.len() as u64;
            for (n, bytes) in self.buffer.chunks_mut(8).enumerate() {
                let nonsense = mix(seed, n as u64).to_le_bytes();
                bytes.copy_from_slice(&nonsense[..bytes.len()]);
            }
        }
        server.counts.records_sent.fetch_add(self.sizes.len() as u64, Relaxed);
        server.counts.bytes_sent.fetch_add(self.buffer.len() as u64, Relaxed);
        let batch = EventBatch::contiguous(self.sizes, self.buffer);
        let batch = batch.map_err(|_| FaultStatus::UNSPECIFIED)?;
        Ok((batch, Win32Error::SUCCESS))
    }
}

/// What happens to a server in the midst of a log.
enum Effect {
    Silence,
    Reset,
    Restart,
    Clear(Arc<Log>),
    /// Records below this number are gone.
    Wrap(Arc<Log>, u64),
}

impl Effect {
    /// What happens when so many records of a log were read.
    fn due(server: &Server, log: &Arc<Log>, ordinal: u64, reverse: bool) -> Option<Self> {
        let faults = &server.faults;
        let reached = |limit: Option<u64>| limit.is_some_and(|limit| ordinal >= limit);
        if reached(faults.silent) {
            return Some(Effect::Silence);
        }
        if reached(faults.reset) {
            return Some(Effect::Reset);
        }
        if reached(faults.restart) && !server.has_happened("restart", "") {
            return Some(Effect::Restart);
        }
        if reached(faults.cleared) && !server.has_happened("cleared", &log.name) {
            return Some(Effect::Clear(Arc::clone(log)));
        }
        if reached(faults.wrapped) && !server.has_happened("wrapped", &log.name) {
            let state = log.read();
            let oldest = match reverse {
                // One who reads newest first has the older half ahead.
                true => state.oldest + (state.next - state.oldest).saturating_sub(ordinal) / 2,
                false => {
                    let at = state.oldest + ordinal;
                    at + state.next.saturating_sub(at).div_ceil(2)
                }
            };
            return Some(Effect::Wrap(Arc::clone(log), oldest));
        }
        None
    }

    fn happen(self, server: &Server) -> Result<(), Refuse> {
        match self {
            Effect::Silence => return Err(Refuse::Silence),
            Effect::Reset => {
                server.dies.store(true, Relaxed);
                return Err(Refuse::Hangup);
            }
            Effect::Restart => {
                server.happens("restart", "");
                server.dies.store(true, Relaxed);
                return Err(Refuse::Hangup);
            }
            Effect::Clear(log) => {
                server.happens("cleared", &log.name);
                log.write().clear();
            }
            Effect::Wrap(log, oldest) => {
                server.happens("wrapped", &log.name);
                log.write().drop_below(oldest);
            }
        }
        Ok(())
    }
}
