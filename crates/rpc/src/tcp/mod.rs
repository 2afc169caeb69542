//! The halves over TCP, or any other stream, with tokio.

mod client;
mod connect;
mod driver;
mod mapper;
mod patience;
mod presentation;
mod server;

pub(crate) use connect::network_error_kind;

pub use client::Client;
pub use connect::{Target, Timeouts, connect_stream};
pub use mapper::{EndpointMap, resolve_port};
pub use patience::Patience;
pub use presentation::Presentation;
pub use server::{CallContext, Reply, Service, serve_connection};
