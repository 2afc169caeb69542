#![doc = include_str!("../README.md")]
//!
//! # Where is what
//!
//! All but [`tcp`] and [`tickets`] is sans-I/O: bytes go in, bytes and events come
//! out. `tcp` drives the halves over TCP with tokio; [`smb`] is the way to a named
//! pipe, with a shell of its own; [`security`] has the mechanisms, [`limits`] every
//! bound.
#![forbid(unsafe_code)]

mod association;
mod blame;
mod client;
mod codes;
mod error;
mod fault;
mod fragments;
mod framing;
mod server;
mod syntax;
mod verification;

pub mod epm;
pub mod limits;
pub mod ndr;
pub mod pdu;
pub mod security;
pub mod smb;
#[cfg(feature = "tcp")]
pub mod tcp;
#[cfg(feature = "tcp")]
pub mod tickets;

pub use association::{Associations, Member, Seat};
pub use blame::Blame;
pub use client::{CallId, ClientConfig, ClientEvent, ClientHalf};
pub use error::{
    Error, LogonRefusal, NdrError, NetworkError, NetworkErrorKind, ProtocolError, Result,
    SecurityError, Stage, UsageError,
};
pub use fault::FaultStatus;
pub use framing::FrameBuffer;
pub use server::{
    AcceptorFactory, GroupAssigner, IncomingCall, ServedInterface, ServerConfig, ServerEvent,
    ServerHalf,
};
pub use syntax::{
    ENDPOINT_MAPPER, FEATURE_KEEP_CONNECTION_ON_ORPHAN, FEATURE_SECURITY_CONTEXT_MULTIPLEXING, NDR,
    SyntaxId, feature_syntax, offered_features,
};
