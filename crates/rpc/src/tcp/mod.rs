//! The halves over TCP, or any other stream, with tokio.

mod client;
mod connect;
mod mapper;
mod server;

pub(crate) use connect::network_error_kind;

pub use client::Client;
pub use connect::{Target, Timeouts, connect_stream};
pub use mapper::{EndpointMap, resolve_port};
pub use server::{CallContext, Reply, Service, serve_connection};
