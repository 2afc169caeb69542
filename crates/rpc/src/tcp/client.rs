//! The client's half over a stream: the handshake, and handles to call through.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tracing::{Instrument as _, debug, debug_span};

use super::connect::{Target, Timeouts, connect_stream, lost as lost_by};
use super::driver::{Command, Driver};
use super::patience::Patience;
use crate::client::{ClientConfig, ClientEvent, ClientHalf};
use crate::error::{Error, NetworkError, NetworkErrorKind, Result, Stage};
use crate::framing::FrameBuffer;
use crate::security::{Initiator, SystemVersion};

/// A bound connection. Clones are the same connection; it is closed when the
/// last of them is dropped.
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::UnboundedSender<Command>,
    shared: Arc<Shared>,
}

/// What the handles and the driver of a connection share.
#[derive(Debug)]
pub(super) struct Shared {
    association_group: u32,
    header_signing: bool,
    max_calls: usize,
    server_version: Option<SystemVersion>,
    silence: Duration,
    pub(super) proven: AtomicBool,
    /// Why the connection ended.
    pub(super) end: OnceLock<Error>,
}

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

    /// Binds over a stream that is connected. The handshake as a whole takes no
    /// longer than `silence`, and calls as [`DEFAULT_SILENCE`] says.
    ///
    /// [`DEFAULT_SILENCE`]: crate::limits::DEFAULT_SILENCE
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

    /// The same, with something to wait for before the credential is presented: the server has sent
    /// its challenge by then. That wait is not bounded here.
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
        let span = debug_span!("bind", interface = %config.interface.uuid);
        let binding = Self::handshake(stream, config, initiator, silence, ready);
        let bound = binding.instrument(span.clone()).await;
        span.in_scope(|| match &bound {
            Ok(client) => debug!(proven = client.is_proven(), "bound"),
            Err(_) => debug!("failed"),
        });
        bound
    }

    async fn handshake<S, E>(
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
        let mut patience = Patience::new(silence);
        let fail = |kind| Error::Network(NetworkError { during: Stage::Bind, kind });
        let mut ready = Some(ready);
        loop {
            if half.presents_credential()
                && let Some(ready) = ready.take()
            {
                ready().await?;
            }
            let out = std::mem::take(half.output());
            if !out.is_empty() {
                let sent = patience.wait(write.write_all(&out)).await.map_err(fail)?;
                sent.map_err(|error| lost_by(Stage::Bind, &error))?;
            }
            if half.is_bound() {
                break;
            }
            let Some(pdu) = frames.next_pdu() else {
                let read = patience.wait(read.read_buf(frames.space())).await.map_err(fail)?;
                match read.map_err(|error| lost_by(Stage::Bind, &error))? {
                    0 => return Err(fail(NetworkErrorKind::Closed).into()),
                    _ => patience.heard(),
                }
                continue;
            };
            if let Some(ClientEvent::Shutdown) = half.receive(pdu)? {
                return Err(Error::Shutdown.into());
            }
        }
        let shared = Arc::new(Shared {
            association_group: half.association_group(),
            header_signing: half.header_signing(),
            max_calls: half.max_calls(),
            server_version: half.server_version(),
            silence,
            proven: AtomicBool::new(half.is_proven()),
            end: OnceLock::new(),
        });
        let (commands, receiver) = mpsc::unbounded_channel();
        let driver = Driver::new(half, frames, Arc::clone(&shared));
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
    /// answered: `silence` takes the place of the connection's.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn call_within(
        &self,
        opnum: u16,
        stub: Vec<u8>,
        silence: Duration,
    ) -> Result<Vec<u8>> {
        let span = debug_span!("call", opnum, bytes = stub.len());
        let answer = self.answer(opnum, stub, silence).instrument(span.clone()).await;
        span.in_scope(|| match &answer {
            Ok(stub) => debug!(bytes = stub.len(), "answered"),
            Err(error) => debug!(%error, "failed"),
        });
        answer
    }

    async fn answer(&self, opnum: u16, stub: Vec<u8>, silence: Duration) -> Result<Vec<u8>> {
        let (reply, answer) = oneshot::channel();
        let token = next_token();
        let command = Command::Call { token, opnum, stub, silence, reply };
        if self.commands.send(command).is_err() {
            return Err(self.end());
        }
        let mut guard = GiveUp { commands: &self.commands, token, armed: true };
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

    /// The version of the server's system, where the handshake said it: that of NTLM does,
    /// Kerberos' doesn't.
    pub fn server_version(&self) -> Option<SystemVersion> {
        self.shared.server_version
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

/// Names a call before it has a number on its connection.
fn next_token() -> u64 {
    static LAST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

/// Tells the driver when nobody waits for an answer any more.
struct GiveUp<'a> {
    commands: &'a mpsc::UnboundedSender<Command>,
    token: u64,
    armed: bool,
}

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        if self.armed {
            let _ = self.commands.send(Command::GiveUp { token: self.token });
        }
    }
}
