//! As much of an SMB 2.1 server as it takes to keep a client waiting: it answers the offer and the
//! first leg of the logon, and puts off the answer to the second one, for ever (MS-SMB2 3.3.4.2).
//! Section numbers are MS-SMB2's.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use quarry_rpc::AcceptorFactory;
use quarry_rpc::pdu::AuthType;
use quarry_rpc::security::{AcceptStep, Acceptor};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::server::Server;

/// The header of each message (2.2.1.2), in bytes.
const HEADER: usize = 64;
/// The longest message taken.
const MAX_MESSAGE: usize = 64 * 1024;
/// How often the client is told that the answer comes later.
const EVERY: Duration = Duration::from_millis(300);

const NEGOTIATE: u16 = 0;
const SESSION_SETUP: u16 = 1;
const SUCCESS: u32 = 0;
const PENDING: u32 = 0x0000_0103;
const MORE_PROCESSING_REQUIRED: u32 = 0xc000_0016;

/// Serves a port until it is dropped, and its connections with it.
pub(crate) async fn serve(listener: TcpListener, acceptors: AcceptorFactory, server: Arc<Server>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    server.counts.connections.fetch_add(1, Relaxed);
                    let acceptor = acceptors(AuthType::NEGOTIATE);
                    connections.spawn(async move {
                        // What a client did wrong shows in what the client says.
                        let _ = put_off(stream, acceptor).await;
                    });
                }
                Err(_) => sleep(Duration::from_millis(20)).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

/// Serves one connection until it ends.
///
/// # Errors
/// What the client broke, or what the stream said.
pub(crate) async fn put_off<S>(mut stream: S, acceptor: Option<Box<dyn Acceptor>>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut acceptor = acceptor.ok_or(io::ErrorKind::Unsupported)?;
    loop {
        let request = receive(&mut stream).await?;
        match command(&request) {
            NEGOTIATE => send(&mut stream, &response(&request, SUCCESS, &negotiate())).await?,
            SESSION_SETUP if session(&request) == 0 => {
                let token = token(&request).ok_or(io::ErrorKind::InvalidData)?;
                let Ok(AcceptStep::Continue(challenge)) = acceptor.step(token) else {
                    return Err(io::ErrorKind::InvalidData.into());
                };
                let body = session_setup(&challenge);
                let status = MORE_PROCESSING_REQUIRED;
                send(&mut stream, &response(&request, status, &body)).await?;
            }
            _ => loop {
                // An error's body (2.2.2).
                send(&mut stream, &response(&request, PENDING, &[9, 0, 0, 0, 0, 0, 0, 0, 0]))
                    .await?;
                sleep(EVERY).await;
            },
        }
    }
}

/// A message, without the length before it (2.1).
async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let len = stream.read_u32().await? as usize;
    if !(HEADER..=MAX_MESSAGE).contains(&len) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; len];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> io::Result<()> {
    let mut framed = (message.len() as u32).to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}

fn command(message: &[u8]) -> u16 {
    u16::from_le_bytes([message[12], message[13]])
}

fn session(message: &[u8]) -> u64 {
    message[40..48].iter().rev().fold(0, |id, byte| id << 8 | u64::from(*byte))
}

/// The token of a request to set a session up (2.2.5).
fn token(message: &[u8]) -> Option<&[u8]> {
    let field = |at: usize| {
        let bytes = message.get(HEADER + at..HEADER + at + 2)?;
        Some(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
    };
    let (start, len) = (field(12)?, field(14)?);
    message.get(start..start.checked_add(len)?)
}

/// A header with a request's numbers, and a body after it.
fn response(request: &[u8], status: u32, body: &[u8]) -> Vec<u8> {
    const SERVER_TO_CLIENT: u8 = 1;
    let mut message = request[..HEADER].to_vec();
    message[8..12].copy_from_slice(&status.to_le_bytes());
    // Credits granted.
    message[14..16].copy_from_slice(&8u16.to_le_bytes());
    message[16..20].copy_from_slice(&[SERVER_TO_CLIENT, 0, 0, 0]);
    if command(request) != NEGOTIATE {
        message[40..48].copy_from_slice(&1u64.to_le_bytes());
    }
    message.extend_from_slice(body);
    message
}

/// The answer to the offer (2.2.4): dialect 2.1, without a token.
fn negotiate() -> Vec<u8> {
    let mut body = vec![0; 64];
    body[..2].copy_from_slice(&65u16.to_le_bytes());
    // Signing is enabled.
    body[2] = 1;
    body[4..6].copy_from_slice(&0x0210u16.to_le_bytes());
    for at in [28, 32, 36] {
        body[at..at + 4].copy_from_slice(&65_536u32.to_le_bytes());
    }
    body[56..58].copy_from_slice(&((HEADER + 64) as u16).to_le_bytes());
    body
}

/// The answer to a leg of the logon (2.2.6).
fn session_setup(token: &[u8]) -> Vec<u8> {
    let mut body = vec![9, 0, 0, 0];
    body.extend_from_slice(&((HEADER + 8) as u16).to_le_bytes());
    body.extend_from_slice(&(token.len() as u16).to_le_bytes());
    body.extend_from_slice(token);
    body
}
