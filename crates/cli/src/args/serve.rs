//! `quarry serve`.

use std::net::SocketAddr;

use clap::Args;

use super::{ServerArgs, SourceArgs, TextArgs};

const PAGE: &str = "Page";

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    #[command(flatten)]
    pub(crate) servers: ServerArgs,
    /// Open the page in the browser
    #[arg(long, help_heading = PAGE)]
    pub(crate) open: bool,
    /// Listen on this address of this machine [default: 127.0.0.1:8420, or another port where that
    /// one is taken]
    #[arg(long, value_name = "ADDRESS:PORT", help_heading = PAGE)]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) texts: TextArgs,
}
