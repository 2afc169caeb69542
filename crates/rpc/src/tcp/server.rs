//! The server's half with a task a connection and a task a call.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinSet};

use super::connect::network_error_kind;
use crate::association::{Associations, Seat};
use crate::error::{Error, NetworkError, NetworkErrorKind, Result, Stage};
use crate::fault::FaultStatus;
use crate::framing::FrameBuffer;
use crate::security::Identity;
use crate::server::{IncomingCall, ServerConfig, ServerEvent, ServerHalf};

/// Answers calls.
pub trait Service: Send + Sync + 'static {
    /// What is kept for a client's association group: its context handles.
    type Association: Default + Send + Sync + 'static;

    /// Answers one call. Several run at once, on one connection too; the future
    /// is dropped when the client gives the call up or is gone.
    fn call(
        self: Arc<Self>,
        context: CallContext<Self::Association>,
        call: IncomingCall,
    ) -> impl Future<Output = Reply> + Send;
}

/// Who calls.
#[derive(Clone, Debug)]
pub struct CallContext<T> {
    /// Who signed in; `None` on an interface without privacy.
    pub identity: Option<Identity>,
    /// What is kept for the client's association group.
    pub association: Arc<T>,
    /// Becomes true when the client would like the call to stop.
    pub cancelled: watch::Receiver<bool>,
}

/// What comes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The parameters of the answer.
    Stub(Vec<u8>),
    /// A fault.
    Fault(FaultStatus),
    /// No answer, and the connection is closed: a server that dies.
    Hangup,
    /// No answer, and the connection stays: a server that hangs.
    Silence,
}

impl From<Result<Vec<u8>, FaultStatus>> for Reply {
    fn from(result: Result<Vec<u8>, FaultStatus>) -> Self {
        result.map_or_else(Self::Fault, Self::Stub)
    }
}

/// Serves one connection until it ends. What the client did wrong is the error;
/// a client that closes between calls is `Ok`.
///
/// # Errors
/// [`Error::Network`] when the connection is lost, else what the client broke.
pub async fn serve_connection<S, V>(
    stream: S,
    config: ServerConfig,
    associations: Associations<V::Association>,
    service: Arc<V>,
) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
    V: Service,
{
    let (mut read, mut write) = tokio::io::split(stream);
    let (assigner, seat) = associations.seat();
    let mut connection = Connection {
        half: ServerHalf::new(config, assigner),
        seat,
        service,
        tasks: JoinSet::new(),
        calls: HashMap::new(),
    };
    let mut frames = FrameBuffer::new();
    let result = loop {
        let sending = !connection.half.output().is_empty();
        tokio::select! {
            heard = read.read_buf(frames.space()) => match heard {
                Ok(0) if frames.is_within_pdu() => break Err(lost(NetworkErrorKind::Closed)),
                Ok(0) => break Ok(()),
                Ok(_) => {
                    if let Err(error) = connection.on_bytes(&mut frames) {
                        break Err(error);
                    }
                }
                Err(error) => break Err(lost(network_error_kind(&error))),
            },
            sent = write.write(connection.half.output()), if sending => match sent {
                Ok(sent) => drop(connection.half.output().drain(..sent)),
                Err(error) => break Err(lost(network_error_kind(&error))),
            },
            Some(done) = connection.tasks.join_next_with_id() => {
                if connection.on_done(done) {
                    break Ok(());
                }
            }
        }
    };
    // Why it ends, or what was answered before.
    let _ = write.write_all(connection.half.output()).await;
    let _ = write.shutdown().await;
    result
}

struct Connection<V: Service> {
    half: ServerHalf,
    seat: Seat<V::Association>,
    service: Arc<V>,
    tasks: JoinSet<Reply>,
    /// By the client's number for the call.
    calls: HashMap<u32, Running>,
}

struct Running {
    task: Id,
    abort: AbortHandle,
    cancel: watch::Sender<bool>,
}

impl<V: Service> Connection<V> {
    fn on_bytes(&mut self, frames: &mut FrameBuffer) -> Result<()> {
        while let Some(pdu) = frames.next_pdu() {
            match self.half.receive(pdu)? {
                None => {}
                Some(ServerEvent::Call(call)) => self.start(call),
                Some(ServerEvent::Cancelled(id)) => {
                    if let Some(running) = self.calls.get(&id) {
                        running.cancel.send_replace(true);
                    }
                }
                Some(ServerEvent::Orphaned(id)) => {
                    if let Some(running) = self.calls.remove(&id) {
                        running.abort.abort();
                    }
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, call: IncomingCall) {
        // A call comes after the bind, and that fills the seat.
        let Some(member) = self.seat.get() else { return };
        let (cancel, cancelled) = watch::channel(false);
        let context = CallContext {
            identity: self.half.identity().cloned(),
            association: Arc::clone(member.value()),
            cancelled,
        };
        let id = call.call_id;
        let abort = self.tasks.spawn(Arc::clone(&self.service).call(context, call));
        self.calls.insert(id, Running { task: abort.id(), abort, cancel });
    }

    /// True: hang up.
    fn on_done(&mut self, done: Result<(Id, Reply), tokio::task::JoinError>) -> bool {
        let (task, reply) = match done {
            Ok((task, reply)) => (task, reply),
            Err(error) if error.is_cancelled() => return false,
            // A service that panics is a server that fails this call.
            Err(error) => (error.id(), Reply::Fault(FaultStatus::UNSPECIFIED)),
        };
        let Some(id) =
            self.calls.iter().find(|(_, running)| running.task == task).map(|(id, _)| *id)
        else {
            return false;
        };
        self.calls.remove(&id);
        match reply {
            Reply::Stub(stub) => {
                if self.half.respond(id, &stub).is_err() {
                    self.half.fault(id, FaultStatus::OUT_ARGS_TOO_BIG);
                }
            }
            Reply::Fault(status) => self.half.fault(id, status),
            Reply::Hangup => return true,
            Reply::Silence => {}
        }
        false
    }
}

fn lost(kind: NetworkErrorKind) -> Error {
    Error::Network(NetworkError { during: Stage::Call, kind })
}
