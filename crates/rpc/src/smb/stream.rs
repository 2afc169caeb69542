//! The half over TCP with tokio: a stream of the pipe's bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::error::SmbError;
use super::half::{FRAME_LEN, PipeConfig, PipeHalf, SessionFacts};
use super::limits::MAX_MESSAGE;
use crate::error::{Error, NetworkError, NetworkErrorKind, Result, Stage};
use crate::security::Initiator;
use crate::tcp::{Patience, network_error_kind};

/// Room that is made for reading, in bytes.
const READ_ROOM: usize = 16 * 1024;

/// An open pipe. What is written must be whole RPC PDUs in the end; what is read
/// is the other end's.
pub struct PipeStream<S> {
    stream: S,
    half: PipeHalf,
    frames: SmbFrames,
    facts: SessionFacts,
    /// Who waits to write, and is to be woken by whoever makes room.
    writer: Option<Waker>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> PipeStream<S> {
    /// Signs in and opens the pipe, over a stream that is connected to the
    /// server. All of it takes no longer than `silence`.
    ///
    /// # Errors
    /// Any [`Error`]. A server that hangs up when it is spoken to in SMB 2 is
    /// [`SmbError::OldProtocol`].
    pub async fn open(
        stream: S,
        config: PipeConfig,
        initiator: Box<dyn Initiator>,
        silence: Duration,
    ) -> Result<Self> {
        Self::open_when(stream, config, initiator, silence, async || Ok(())).await
    }

    /// The same, with something to wait for before the credential is presented: the server has sent
    /// its challenge by then. That wait is not bounded here.
    ///
    /// # Errors
    /// As [`open`](Self::open), and what `ready` fails with.
    pub async fn open_when<E: From<Error>>(
        mut stream: S,
        config: PipeConfig,
        initiator: Box<dyn Initiator>,
        silence: Duration,
        ready: impl AsyncFnOnce() -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut half = PipeHalf::new(config, initiator)?;
        let mut frames = SmbFrames::default();
        let mut patience = Patience::new(silence);
        let lost = |half: &PipeHalf, kind| match kind {
            NetworkErrorKind::Closed | NetworkErrorKind::Reset if half.is_negotiating() => {
                SmbError::OldProtocol { proven: false }.into()
            }
            kind => Error::Network(NetworkError { during: Stage::Bind, kind }),
        };
        let mut ready = Some(ready);
        while !half.is_open() {
            if half.presents_credential()
                && let Some(ready) = ready.take()
            {
                ready().await?;
            }
            let out = std::mem::take(half.output());
            if !out.is_empty() {
                let sent = patience.wait(stream.write_all(&out)).await;
                sent.map_err(|kind| lost(&half, kind))?
                    .map_err(|error| lost(&half, network_error_kind(&error)))?;
            }
            if let Some(message) = frames.next_message().map_err(Error::from)? {
                half.receive(message)?;
                continue;
            }
            let read = patience.wait(stream.read_buf(frames.space())).await;
            match read.map_err(|kind| lost(&half, kind))? {
                Ok(0) => return Err(lost(&half, NetworkErrorKind::Closed).into()),
                Ok(_) => patience.heard(),
                Err(error) => return Err(lost(&half, network_error_kind(&error)).into()),
            }
        }
        let facts = half.facts().ok_or(SmbError::NotSmb("no dialect")).map_err(Error::from)?;
        Ok(Self { stream, half, frames, facts, writer: None })
    }
}

impl<S> PipeStream<S> {
    /// What the two sides agreed on.
    pub fn facts(&self) -> SessionFacts {
        self.facts
    }
}

impl<S> std::fmt::Debug for PipeStream<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PipeStream").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl<S: AsyncWrite + Unpin> PipeStream<S> {
    /// Sends what waits, as far as it goes.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.half.output().is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, self.half.output()))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.half.output().drain(..sent);
        }
        Poll::Ready(Ok(()))
    }

    fn wake_writer(&mut self) {
        if self.half.can_write()
            && let Some(writer) = self.writer.take()
        {
            writer.wake();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for PipeStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let input = this.half.input();
            if !input.is_empty() {
                let len = input.len().min(buf.remaining());
                buf.put_slice(&input[..len]);
                this.half.consume(len).map_err(io::Error::other)?;
                // The next read is asked for at once.
                let _ = this.poll_send(cx)?;
                return Poll::Ready(Ok(()));
            }
            if this.half.is_at_end() {
                return Poll::Ready(Ok(()));
            }
            let _ = this.poll_send(cx)?;
            if let Some(message) = this.frames.next_message().map_err(io::Error::other)? {
                this.half.receive(message).map_err(io::Error::other)?;
                this.wake_writer();
                continue;
            }
            let space = this.frames.space();
            let before = space.len();
            space.resize(before + READ_ROOM, 0);
            let mut part = ReadBuf::new(&mut space[before..]);
            let read = Pin::new(&mut this.stream).poll_read(cx, &mut part);
            let got = part.filled().len();
            space.truncate(before + got);
            match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) if got == 0 => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => {}
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for PipeStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if !this.half.can_write() {
            let _ = this.poll_send(cx)?;
            // Room is made when the server answers, which whoever reads finds.
            this.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        this.half.write(buf).map_err(io::Error::other)?;
        let _ = this.poll_send(cx)?;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // The end of the connection closes the pipe and ends the session (3.3.7.1).
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

/// Cuts a stream of bytes into messages (2.1).
#[derive(Debug, Default)]
pub struct SmbFrames {
    bytes: Vec<u8>,
    taken: usize,
}

impl SmbFrames {
    /// Where to append what was read.
    pub fn space(&mut self) -> &mut Vec<u8> {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.reserve(READ_ROOM);
        &mut self.bytes
    }

    /// The next whole message, without its length.
    ///
    /// # Errors
    /// [`SmbError::NotSmb`] and [`SmbError::LimitExceeded`].
    pub fn next_message(&mut self) -> Result<Option<&mut [u8]>, SmbError> {
        let rest = &self.bytes[self.taken..];
        let Some(frame) = rest.first_chunk::<FRAME_LEN>() else { return Ok(None) };
        let len = u32::from_be_bytes(*frame) as usize;
        if frame[0] != 0 {
            return Err(SmbError::NotSmb("another framing"));
        }
        if len > MAX_MESSAGE {
            let (value, limit) = (len as u64, MAX_MESSAGE as u64);
            return Err(SmbError::LimitExceeded { what: "bytes in a message", value, limit });
        }
        if rest.len() < FRAME_LEN + len {
            return Ok(None);
        }
        let start = self.taken + FRAME_LEN;
        self.taken = start + len;
        Ok(Some(&mut self.bytes[start..start + len]))
    }
}
