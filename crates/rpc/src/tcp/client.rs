//! The client's half with a task that drives it: handles to call through, as
//! many calls at once as the server allows, and an eye on silence.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::connect::{Target, Timeouts, connect_stream, lost as lost_by};
use crate::client::{CallId, ClientConfig, ClientEvent, ClientHalf};
use crate::error::{Error, NetworkError, NetworkErrorKind, Result, Stage};
use crate::framing::FrameBuffer;
use crate::security::Initiator;

/// A bound connection. Clones are the same connection; it is closed when the
/// last of them is dropped.
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::UnboundedSender<Command>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    association_group: u32,
    header_signing: bool,
    max_calls: usize,
    silence: Duration,
    proven: AtomicBool,
    /// Why the connection ended.
    end: OnceLock<Error>,
}

#[derive(Debug)]
enum Command {
    Call { ticket: u64, opnum: u16, stub: Vec<u8>, silence: Duration, reply: Reply },
    GiveUp { ticket: u64 },
}

type Reply = oneshot::Sender<Result<Vec<u8>>>;

impl Client {
    /// Connects to a target and binds.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn connect(
        target: &Target,
        config: ClientConfig,
        initiator: Option<Box<dyn Initiator>>,
        timeouts: Timeouts,
    ) -> Result<Self> {
        let stream = connect_stream(target, timeouts.connect).await?;
        Self::bind(stream, config, initiator, timeouts.silence).await
    }

    /// Binds over a stream that is connected. No wait for the server is longer
    /// than `silence`.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn bind<S>(
        stream: S,
        config: ClientConfig,
        initiator: Option<Box<dyn Initiator>>,
        silence: Duration,
    ) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        Self::bind_when(stream, config, initiator, silence, async || Ok(())).await
    }

    /// The same, with something to wait for when the server has answered for the first time: what
    /// NTLM sends before that proves nothing of the credential, what it sends next does.
    ///
    /// # Errors
    /// Any [`Error`], and what `ready` fails with.
    pub async fn bind_when<S, E>(
        stream: S,
        config: ClientConfig,
        initiator: Option<Box<dyn Initiator>>,
        silence: Duration,
        ready: impl AsyncFnOnce() -> Result<(), E>,
    ) -> Result<Self, E>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
        E: From<Error>,
    {
        let mut half = ClientHalf::new(config, initiator)?;
        let (mut read, mut write) = tokio::io::split(stream);
        let mut frames = FrameBuffer::new();
        let fail = |kind| Error::Network(NetworkError { during: Stage::Bind, kind });
        let mut ready = Some(ready);
        loop {
            let out = std::mem::take(half.output());
            if !out.is_empty() {
                match timeout(silence, write.write_all(&out)).await {
                    Ok(sent) => sent.map_err(|error| lost_by(Stage::Bind, &error))?,
                    Err(_) => return Err(fail(NetworkErrorKind::Silent(silence)).into()),
                }
            }
            if half.is_bound() {
                break;
            }
            let Some(pdu) = frames.next_pdu() else {
                match timeout(silence, read.read_buf(frames.space())).await {
                    Ok(Ok(0)) => return Err(fail(NetworkErrorKind::Closed).into()),
                    Ok(Ok(_)) => continue,
                    Ok(Err(error)) => return Err(lost_by(Stage::Bind, &error).into()),
                    Err(_) => return Err(fail(NetworkErrorKind::Silent(silence)).into()),
                }
            };
            if let Some(ready) = ready.take() {
                ready().await?;
            }
            if let Some(ClientEvent::Shutdown) = half.receive(pdu)? {
                return Err(Error::Shutdown.into());
            }
        }
        let shared = Arc::new(Shared {
            association_group: half.association_group(),
            header_signing: half.header_signing(),
            max_calls: half.max_calls(),
            silence,
            proven: AtomicBool::new(half.is_proven()),
            end: OnceLock::new(),
        });
        let (commands, receiver) = mpsc::unbounded_channel();
        let driver = Driver {
            half,
            frames,
            shared: Arc::clone(&shared),
            waiting: VecDeque::new(),
            open: Vec::new(),
            last_heard: Instant::now(),
        };
        tokio::spawn(driver.run(read, write, receiver));
        Ok(Self { commands, shared })
    }

    /// Calls an operation. Dropping the future gives the call up.
    ///
    /// # Errors
    /// [`Error::Fault`] when the server answers with one; any other [`Error`]
    /// ends the connection, and further calls return it too.
    pub async fn call(&self, opnum: u16, stub: Vec<u8>) -> Result<Vec<u8>> {
        self.call_within(opnum, stub, self.shared.silence).await
    }

    /// The same for a call that lawfully takes longer than others to be
    /// answered: the server may be silent for so long.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn call_within(
        &self,
        opnum: u16,
        stub: Vec<u8>,
        silence: Duration,
    ) -> Result<Vec<u8>> {
        let (reply, answer) = oneshot::channel();
        let ticket = next_ticket();
        let command = Command::Call { ticket, opnum, stub, silence, reply };
        if self.commands.send(command).is_err() {
            return Err(self.end());
        }
        let mut guard = GiveUp { commands: &self.commands, ticket, armed: true };
        let answer = answer.await;
        guard.armed = false;
        answer.unwrap_or_else(|_| Err(self.end()))
    }

    /// The association group, for further connections to join.
    pub fn association_group(&self) -> u32 {
        self.shared.association_group
    }

    /// Whether the server said that it supports header signing.
    pub fn header_signing(&self) -> bool {
        self.shared.header_signing
    }

    /// How many calls the server allows at once; more wait for each other.
    pub fn max_calls(&self) -> usize {
        self.shared.max_calls
    }

    /// Whether the server has accepted the credential beyond doubt. With bare
    /// NTLM that is so from the first answer on.
    pub fn is_proven(&self) -> bool {
        self.shared.proven.load(Ordering::Acquire)
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.commands.is_closed()
    }

    fn end(&self) -> Error {
        let closed = NetworkError { during: Stage::Call, kind: NetworkErrorKind::Closed };
        self.shared.end.get().cloned().unwrap_or(Error::Network(closed))
    }
}

fn next_ticket() -> u64 {
    static LAST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

/// Tells the driver when nobody waits for an answer any more.
struct GiveUp<'a> {
    commands: &'a mpsc::UnboundedSender<Command>,
    ticket: u64,
    armed: bool,
}

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        if self.armed {
            let _ = self.commands.send(Command::GiveUp { ticket: self.ticket });
        }
    }
}

struct Driver {
    half: ClientHalf,
    frames: FrameBuffer,
    shared: Arc<Shared>,
    waiting: VecDeque<Waiting>,
    open: Vec<Open>,
    last_heard: Instant,
}

struct Waiting {
    ticket: u64,
    opnum: u16,
    stub: Vec<u8>,
    silence: Duration,
    reply: Reply,
}

struct Open {
    call: CallId,
    ticket: u64,
    since: Instant,
    silence: Duration,
    reply: Reply,
}

impl Driver {
    async fn run<S>(
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
            let (deadline, silence) = self.deadline();
            let sending = !self.half.output().is_empty();
            tokio::select! {
                // The time-out is looked at last: a busy machine that comes late to what the
                // server sent in time must not call it silent.
                biased;
                command = commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => break None,
                },
                heard = read.read_buf(self.frames.space()) => match heard {
                    Ok(0) => break Some(lost(NetworkErrorKind::Closed)),
                    Ok(_) => {
                        self.last_heard = Instant::now();
                        if let Err(error) = self.on_bytes() {
                            break Some(error);
                        }
                    }
                    Err(error) => break Some(lost_by(Stage::Call, &error)),
                },
                sent = write.write(self.half.output()), if sending => match sent {
                    Ok(sent) => drop(self.half.output().drain(..sent)),
                    Err(error) => break Some(lost_by(Stage::Call, &error)),
                },
                () = sleep_until(deadline), if !self.open.is_empty() => {
                    break Some(lost(NetworkErrorKind::Silent(silence)));
                }
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
            Command::Call { ticket, opnum, stub, silence, reply } => {
                self.waiting.push_back(Waiting { ticket, opnum, stub, silence, reply });
            }
            Command::GiveUp { ticket } => {
                self.waiting.retain(|waiting| waiting.ticket != ticket);
                if let Some(at) = self.open.iter().position(|open| open.ticket == ticket) {
                    let open = self.open.swap_remove(at);
                    self.half.abandon(open.call);
                }
            }
        }
    }

    fn start_waiting(&mut self) {
        while self.half.can_call() {
            let Some(Waiting { ticket, opnum, stub, silence, reply }) = self.waiting.pop_front()
            else {
                return;
            };
            match self.half.call(opnum, &stub) {
                Ok(call) => {
                    self.open.push(Open { call, ticket, since: Instant::now(), silence, reply });
                }
                Err(error) => drop(reply.send(Err(error.into()))),
            }
        }
    }

    fn on_bytes(&mut self) -> Result<()> {
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
        Ok(())
    }

    /// When the server will have been silent for too long.
    fn deadline(&self) -> (Instant, Duration) {
        self.open
            .iter()
            .map(|open| (open.since.max(self.last_heard) + open.silence, open.silence))
            .min()
            .unwrap_or((self.last_heard, Duration::ZERO))
    }
}

fn lost(kind: NetworkErrorKind) -> Error {
    Error::Network(NetworkError { during: Stage::Call, kind })
}
