//! The task that drives a bound connection: as many calls at once as the server
//! allows, and an eye on how long each of them takes.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::client::Shared;
use super::connect::lost as lost_by;
use super::patience::{look_at_sockets, part_of, too_late};
use crate::client::{CallId, ClientEvent, ClientHalf};
use crate::error::{Error, NetworkError, NetworkErrorKind, Result, Stage};
use crate::framing::FrameBuffer;
use crate::limits::{DEFAULT_MAX_STUB, MIN_ANSWER_RATE};

/// What the handles of a connection ask of its driver.
#[derive(Debug)]
pub(super) enum Command {
    /// To make a call.
    Call { token: u64, opnum: u16, stub: Vec<u8>, silence: Duration, reply: Reply },
    /// That nobody waits for a call's answer any more.
    GiveUp { token: u64 },
}

pub(super) type Reply = oneshot::Sender<Result<Vec<u8>>>;

pub(super) struct Driver {
    half: ClientHalf,
    frames: FrameBuffer,
    shared: Arc<Shared>,
    waiting: VecDeque<Waiting>,
    open: Vec<Open>,
    clock: Clock,
}

struct Waiting {
    token: u64,
    opnum: u16,
    stub: Vec<u8>,
    silence: Duration,
    reply: Reply,
}

struct Open {
    call: CallId,
    token: u64,
    pace: Pace,
    reply: Reply,
}

/// Reads what comes. A connection on which nothing comes holds no memory for it.
async fn hear(
    stream: &mut (impl AsyncRead + Unpin),
    frames: &mut FrameBuffer,
) -> std::io::Result<usize> {
    poll_fn(|context| {
        let heard = pin!(stream.read_buf(frames.space())).poll(context);
        if heard.is_pending() {
            frames.rest();
        }
        heard
    })
    .await
}

impl Driver {
    pub(super) fn new(half: ClientHalf, frames: FrameBuffer, shared: Arc<Shared>) -> Self {
        let (waiting, open, clock) = (VecDeque::new(), Vec::new(), Clock::new());
        Self { half, frames, shared, waiting, open, clock }
    }

    pub(super) async fn run<S>(
        mut self,
        mut read: ReadHalf<S>,
        mut write: WriteHalf<S>,
        mut commands: mpsc::UnboundedReceiver<Command>,
    ) where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        // What came with the last answer of the handshake.
        if let Err(error) = self.on_bytes() {
            let _ = self.shared.end.set(error);
            return;
        }
        let end = loop {
            self.start_waiting();
            let part = self.part();
            let sending = !self.half.output().is_empty();
            let heard = tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => {
                        self.on_command(command);
                        None
                    }
                    None => break None,
                },
                heard = hear(&mut read, &mut self.frames) => Some(heard),
                sent = write.write(self.half.output()), if sending => match sent {
                    Ok(sent) => {
                        drop(self.half.output().drain(..sent));
                        None
                    }
                    Err(error) => break Some(lost_by(Stage::Call, &error)),
                },
                () = sleep(part), if !self.open.is_empty() => None,
            };
            self.clock.tick(part);
            let heard = match heard {
                None if self.overdue().is_some() => {
                    look_at_sockets().await;
                    tokio::select! {
                        biased;
                        heard = hear(&mut read, &mut self.frames) => Some(heard),
                        () = std::future::ready(()) => None,
                    }
                }
                heard => heard,
            };
            match heard {
                None => {}
                Some(Ok(0)) => break Some(lost(NetworkErrorKind::Closed)),
                Some(Ok(_)) => {
                    self.clock.heard();
                    if let Err(error) = self.on_bytes() {
                        break Some(error);
                    }
                }
                Some(Err(error)) => break Some(lost_by(Stage::Call, &error)),
            }
            if let Some(kind) = self.overdue() {
                break Some(lost(kind));
            }
        };
        let Some(end) = end else { return };
        // Set before the channel closes, so that whoever finds it closed finds
        // the reason too.
        let _ = self.shared.end.set(end.clone());
        commands.close();
        while let Ok(command) = commands.try_recv() {
            if let Command::Call { reply, .. } = command {
                let _ = reply.send(Err(end.clone()));
            }
        }
        for reply in self
            .open
            .into_iter()
            .map(|open| open.reply)
            .chain(self.waiting.into_iter().map(|waiting| waiting.reply))
        {
            let _ = reply.send(Err(end.clone()));
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Call { token, opnum, stub, silence, reply } => {
                self.waiting.push_back(Waiting { token, opnum, stub, silence, reply });
            }
            Command::GiveUp { token } => {
                self.waiting.retain(|waiting| waiting.token != token);
                if let Some(at) = self.open.iter().position(|open| open.token == token) {
                    let open = self.open.swap_remove(at);
                    self.half.abandon(open.call);
                }
            }
        }
    }

    fn start_waiting(&mut self) {
        while self.half.can_call() {
            let Some(Waiting { token, opnum, stub, silence, reply }) = self.waiting.pop_front()
            else {
                return;
            };
            match self.half.call(opnum, &stub) {
                Ok(call) => {
                    let pace = Pace::new(self.clock.now, silence);
                    self.open.push(Open { call, token, pace, reply });
                }
                Err(error) => drop(reply.send(Err(error.into()))),
            }
        }
    }

    fn on_bytes(&mut self) -> Result<()> {
        let before = self.half.accepted_bytes();
        while let Some(pdu) = self.frames.next_pdu() {
            let event = self.half.receive(pdu)?;
            if self.half.is_proven() {
                self.shared.proven.store(true, Ordering::Release);
            }
            match event {
                Some(ClientEvent::Answered { call, answer }) => {
                    if let Some(at) = self.open.iter().position(|open| open.call == call) {
                        let open = self.open.swap_remove(at);
                        let _ = open.reply.send(answer.map_err(Error::Fault));
                    }
                }
                Some(ClientEvent::Shutdown) => return Err(Error::Shutdown),
                Some(ClientEvent::Bound) | None => {}
            }
        }
        // Answers share the connection: what comes for one keeps the others waiting.
        let came = self.half.accepted_bytes() - before;
        for open in &mut self.open {
            open.pace.progress(self.clock.now, came);
        }
        Ok(())
    }

    /// How long to wait before the calls' time is looked at.
    fn part(&self) -> Duration {
        let part = |open: &Open| {
            let left = open.pace.due.saturating_sub(self.clock.now);
            part_of(open.pace.silence).min(left)
        };
        self.open.iter().map(part).min().unwrap_or_default()
    }

    /// Why the connection is given up, once a call has used up its time.
    fn overdue(&self) -> Option<NetworkErrorKind> {
        let open = self.open.iter().find(|open| open.pace.due <= self.clock.now)?;
        let Pace { since, silence, .. } = open.pace;
        let quiet = self.clock.now - self.clock.heard.max(since);
        Some(too_late(quiet, silence, self.clock.now - since))
    }
}

/// Time in which the server was listened to.
struct Clock {
    now: Duration,
    heard: Duration,
    ticked: Instant,
}

impl Clock {
    fn new() -> Self {
        Self { now: Duration::ZERO, heard: Duration::ZERO, ticked: Instant::now() }
    }

    /// What has passed since the last tick, no more than was to pass.
    fn tick(&mut self, part: Duration) {
        let ticked = std::mem::replace(&mut self.ticked, Instant::now());
        self.now += (self.ticked - ticked).min(part);
    }

    fn heard(&mut self) {
        self.heard = self.now;
    }
}

/// By when a call has to be answered, as [`DEFAULT_SILENCE`](crate::limits::DEFAULT_SILENCE) says.
/// All times are the [`Clock`]'s.
struct Pace {
    since: Duration,
    due: Duration,
    silence: Duration,
    /// How much more time it may get.
    credit: Duration,
}

impl Pace {
    fn new(now: Duration, silence: Duration) -> Self {
        let credit = time_for(DEFAULT_MAX_STUB as u64);
        Self { since: now, due: now.saturating_add(silence), silence, credit }
    }

    /// So many bytes of answers have come.
    fn progress(&mut self, now: Duration, bytes: u64) {
        let earned = time_for(bytes).min(self.credit);
        self.credit -= earned;
        let due = self.due.saturating_add(earned).min(now.saturating_add(self.silence));
        // What was allowed before stays so.
        self.due = due.max(self.due);
    }
}

/// What a server may take for so many bytes.
fn time_for(bytes: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / f64::from(MIN_ANSWER_RATE))
}

fn lost(kind: NetworkErrorKind) -> Error {
    Error::Network(NetworkError { during: Stage::Call, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_secs(30);
    const RATE: u64 = MIN_ANSWER_RATE as u64;

    /// How long a server can hold a call with so many bytes each second, in seconds.
    fn holds(bytes_a_second: u64) -> u64 {
        let mut pace = Pace::new(Duration::ZERO, SILENCE);
        (1..)
            .find(|second| {
                let now = Duration::from_secs(*second);
                pace.progress(now, bytes_a_second);
                pace.due <= now
            })
            .unwrap()
    }

    #[test]
    fn a_server_that_drips_is_given_up_when_a_silent_one_is() {
        assert_eq!(holds(0), 30);
        assert_eq!(holds(1), 31);
        assert_eq!(holds(RATE / 2), 60);
    }

    #[test]
    fn no_call_takes_longer_than_the_largest_answer_at_the_least_rate() {
        let most = 30 + DEFAULT_MAX_STUB as u64 / RATE;
        for rate in [RATE - 1, RATE, 2 * RATE, 1 << 20, 1 << 40] {
            assert!(holds(rate) <= most + 1, "{rate}");
        }
    }

    #[test]
    fn what_came_fast_does_not_pay_for_a_long_silence_after_it() {
        let mut pace = Pace::new(Duration::ZERO, SILENCE);
        pace.progress(Duration::from_secs(1), 2 << 20);
        assert_eq!(pace.due, Duration::from_secs(31));
    }
}
