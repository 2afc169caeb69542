#![doc = include_str!("../README.md")]
//!
//! # How it works
//!
//! A [`Sim`] is any number of servers in one process, each with an endpoint mapper, NTLM and
//! SPNEGO sign-in, packet privacy, and logs that are really filtered by the queries that come.
//! Their events are generated, the same for the same seed, or come out of `.evtx` files
//! ([`FileLogs`]). Generated events are made when they are asked for, so that a thousand servers
//! with a million events each take no memory for them.
//!
//! A server can have [`Fault`]s, and its logs can be appended to, cleared and wrapped while it runs
//! ([`SimServer`]). What it was asked is in [`Sim::queries`], what it did in [`SimServer::stats`].
#![forbid(unsafe_code)]

mod accounts;
mod channels;
mod fault;
mod files;
mod generate;
mod handles;
mod journal;
mod kinds;
mod log;
mod nested;
mod net;
mod next;
mod options;
mod oversized;
mod pending;
mod plan;
mod publishers;
mod reader;
mod server;
mod service;
mod sim;
mod texts;
mod upheaval;

pub use fault::{Fault, FaultError, MAX_CLAUSES};
pub use files::{FileError, FileLogs};
pub use handles::MAX_HANDLES;
pub use journal::{MAX_QUERIES, OnQuery, QueryEntry, QueryKind};
pub use log::MAX_APPENDED;
pub use nested::{NESTED_SIZE, nested_event};
pub use options::{MAX_SERVERS, ServerOptions, SimError, SimOptions};
pub use server::Stats;
pub use sim::{AlterAnswer, Sim, SimServer, StreamOptions};
pub use upheaval::Upheaval;
