//! Listening: the ports of a simulated server, and connections that behave as ordered.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use quarry_even::{EventServer, Opnum};
use quarry_rpc::tcp::{CallContext, Reply, Service, serve_connection};
use quarry_rpc::{Associations, FaultStatus, IncomingCall, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};

use crate::handles::Handles;
use crate::oversized;
use crate::server::Server;
use crate::sim::AlterAnswer;

/// The most connections to one port at once.
const MAX_CONNECTIONS: usize = 1024;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// How long a connection on loopback takes at most.
const FILLING: Duration = Duration::from_millis(400);

/// Listens on a port, a free one if it is 0.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // What a server that stopped has left behind doesn't keep it from starting again. (On Windows
    // this would let others have the port too.)
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Keeps a free port that refuses connections.
pub(crate) fn closed(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(address)?;
    Ok(socket)
}

/// A port on which no connection comes about.
pub(crate) struct BlackHole {
    _listener: TcpListener,
    /// What fills the backlog.
    _filling: Vec<TcpStream>,
}

impl BlackHole {
    /// A listener that never accepts; see [`fill`](Self::fill).
    pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(address)?;
        socket.listen(1)
    }

    /// Fills its backlog. Linux then ignores who knocks; other systems refuse or let in.
    pub(crate) async fn fill(listener: TcpListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let mut filling = Vec::new();
        while cfg!(target_os = "linux") && filling.len() < 8 {
            match timeout(FILLING, TcpStream::connect(address)).await {
                Ok(stream) => filling.push(stream?),
                Err(_) => break,
            }
        }
        Ok(Self { _listener: listener, _filling: filling })
    }
}

/// Serves a port until it is dropped, and its connections with it; but for the times in which the
/// server is stopped.
pub(crate) async fn serve<V: Service>(
    mut listener: TcpListener,
    config: ServerConfig,
    service: Arc<V>,
    server: Arc<Server>,
    line: Line,
) {
    let mut turns = server.turns.subscribe();
    let Ok(address) = listener.local_addr() else { return };
    loop {
        tokio::select! {
            () = serve_on(&listener, &config, &service, &server, line) => {}
            _ = turns.changed() => {}
        }
        drop(listener);
        // The sender is in the server, which is here.
        if turns.wait_for(|turns| turns.is_multiple_of(2)).await.is_err() {
            return;
        }
        listener = loop {
            match listen(address) {
                Ok(listener) => break listener,
                // What is left of old connections goes.
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        };
    }
}

async fn serve_on<V: Service>(
    listener: &TcpListener,
    config: &ServerConfig,
    service: &Arc<V>,
    server: &Arc<Server>,
    line: Line,
) {
    let associations = Associations::default();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < MAX_CONNECTIONS => {
                    server.counts.connections.fetch_add(1, Relaxed);
                    // It only costs time if it fails.
                    let _ = stream.set_nodelay(true);
                    let wire = Wire::new(stream, Arc::clone(server), line);
                    let (config, service) = (config.clone(), Arc::clone(service));
                    let served = serve_connection(wire, config, associations.clone(), service);
                    connections.spawn(async move {
                        // What a client did wrong shows in what the client says.
                        let _ = served.await;
                    });
                }
                Ok(_) => {}
                // Out of file descriptors, most likely.
                Err(_) => sleep(Duration::from_millis(20)).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

/// The event log's interface, and what of its faults is not about records.
pub(crate) struct Endpoint {
    server: Arc<Server>,
    events: Arc<EventServer<Server>>,
    batches: AtomicU64,
}

impl Endpoint {
    pub(crate) fn new(server: Arc<Server>) -> Self {
        let events = Arc::new(EventServer::new(Arc::clone(&server)));
        Self { server, events, batches: AtomicU64::new(0) }
    }
}

impl Service for Endpoint {
    type Association = Handles;

    async fn call(self: Arc<Self>, context: CallContext<Handles>, call: IncomingCall) -> Reply {
        self.server.counts.calls.fetch_add(1, Relaxed);
        let opnum = Opnum::from_number(call.opnum);
        if self.server.faults.oversized
            && matches!(opnum, Some(Opnum::QueryNext | Opnum::RemoteSubscriptionNext))
        {
            return Reply::Stub(oversized::batch(self.batches.fetch_add(1, Relaxed)));
        }
        if self.server.faults.busy {
            return Reply::Fault(FaultStatus::SERVER_TOO_BUSY);
        }
        Arc::clone(&self.events).call(context, call).await
    }
}

/// The same with answers that are changed.
pub(crate) struct Altered {
    pub(crate) inner: Arc<Endpoint>,
    pub(crate) alter: Option<AlterAnswer>,
}

impl Service for Altered {
    type Association = Handles;

    async fn call(self: Arc<Self>, context: CallContext<Handles>, call: IncomingCall) -> Reply {
        let opnum = call.opnum;
        match (Arc::clone(&self.inner).call(context, call).await, &self.alter) {
            (Reply::Stub(stub), Some(alter)) => Reply::Stub(alter(opnum, stub)),
            (reply, _) => reply,
        }
    }
}

/// How fast connections to a port are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Line {
    /// How long a question is on its way.
    pub(crate) latency: Duration,
    /// How long each byte takes that is sent after the first answer.
    pub(crate) drip: Option<Duration>,
}

/// A connection with a network's latency, and an end that can be a reset.
struct Wire {
    stream: TcpStream,
    server: Arc<Server>,
    line: Line,
    /// The next byte of what drips.
    drop: Option<Pin<Box<Sleep>>>,
    /// Questions that came, as far as they don't come together.
    questions: u32,
    /// What came and is still under way.
    held: Vec<u8>,
    at: usize,
    delay: Option<Pin<Box<Sleep>>>,
    /// The next bytes are a new question, not the rest of one.
    asked: bool,
}

impl Wire {
    const HELD: usize = 16 * 1024;

    fn new(stream: TcpStream, server: Arc<Server>, line: Line) -> Self {
        let (held, at, delay, drop) = (Vec::new(), 0, None, None);
        Self { stream, server, line, drop, questions: 0, held, at, delay, asked: true }
    }

    fn read_at_once(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before && std::mem::take(&mut self.asked) {
            self.questions = self.questions.saturating_add(1);
            if !self.line.latency.is_zero() {
                self.delay = Some(Box::pin(sleep(self.line.latency)));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.line.latency.is_zero() {
            return this.read_at_once(cx, buf);
        }
        loop {
            if let Some(delay) = &mut this.delay {
                ready!(delay.as_mut().poll(cx));
                this.delay = None;
            }
            if let Some(rest) = this.held.get(this.at..).filter(|rest| !rest.is_empty()) {
                let len = rest.len().min(buf.remaining());
                buf.put_slice(&rest[..len]);
                this.at += len;
                return Poll::Ready(Ok(()));
            }
            this.at = 0;
            let mut held = std::mem::take(&mut this.held);
            held.resize(Self::HELD, 0);
            let mut room = ReadBuf::new(&mut held);
            let read = this.read_at_once(cx, &mut room);
            let len = room.filled().len();
            held.truncate(len);
            this.held = held;
            match read {
                Poll::Ready(Ok(())) if len > 0 => {}
                other => return other,
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.asked = true;
        let Some(pause) = this.line.drip.filter(|_| this.questions > 1) else {
            return Pin::new(&mut this.stream).poll_write(cx, bytes);
        };
        let drop = this.drop.get_or_insert_with(|| Box::pin(sleep(pause)));
        ready!(drop.as_mut().poll(cx));
        let first = &bytes[..bytes.len().min(1)];
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, first));
        this.drop = None;
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.server.dies.load(Relaxed) {
            // Without an orderly end, closing it resets it. To a client that has closed its side
            // that is all the same.
            return Poll::Ready(this.stream.set_zero_linger());
        }
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}
