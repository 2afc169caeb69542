//! `quarry serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use quarry_program::public::{PublicPage, Words};

use super::{ServerArgs, SourceArgs, TextArgs};

const PAGE: &str = "Page";
const OTHERS: &str = "Page for others";

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    #[command(flatten)]
    pub(crate) servers: ServerArgs,
    /// Open the page in the browser
    #[arg(long, help_heading = PAGE)]
    pub(crate) open: bool,
    /// Listen on this address of this machine; one that other machines reach needs --access
    /// [default: 127.0.0.1:8420, or another port where that one is taken]
    #[arg(long, value_name = "ADDRESS:PORT", help_heading = PAGE)]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) public: PublicArgs,
    #[command(flatten)]
    pub(crate) texts: TextArgs,
}

/// A page for the accounts of this system.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = OTHERS)]
pub(crate) struct PublicArgs {
    /// Let accounts of this system sign in over TLS, and read what the rules in this file let their
    /// groups read; Linux, started as root
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "open")]
    pub(crate) access: Option<PathBuf>,
    /// Write who reads what to this file, as lines of JSON; nothing is read while that fails
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "access")]
    pub(crate) audit: Option<PathBuf>,
    /// The certificate and its chain, in PEM; read again when the file changes [default: one of the
    /// page's own, whose fingerprint is printed]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires_all = ["access", "key"])]
    pub(crate) certificate: Option<PathBuf>,
    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "certificate")]
    pub(crate) key: Option<PathBuf>,
    /// A name that browsers call the page by, repeatable [default: this machine's]
    #[arg(long = "name", value_name = "HOST", value_hint = ValueHint::Hostname, requires = "access")]
    pub(crate) names: Vec<String>,
    /// The account of the process that faces the network; it has to be able to read the files that
    /// are named here
    #[arg(long, value_name = "ACCOUNT", value_hint = ValueHint::Username, default_value = "quarryd")]
    pub(crate) run_as: String,
    /// This is that process
    #[arg(long, hide = true)]
    pub(crate) unprivileged: bool,
}

/// What the options of a page for accounts are called.
const WORDS: Words = Words {
    access: "--access",
    audit: "--audit",
    names: " ",
    run_as: "--run-as",
    without: "leave --access out, for a page of your own",
};

impl PublicArgs {
    /// The page for accounts, where one is asked for.
    pub(crate) fn page(&self) -> Option<PublicPage> {
        Some(PublicPage {
            access: self.access.clone()?,
            audit: self.audit.clone(),
            certificate: self.certificate.clone().zip(self.key.clone()),
            names: self.names.clone(),
            run_as: self.run_as.clone(),
            words: &WORDS,
        })
    }
}

/// The process of a logon, which the helper of a page starts.
#[derive(Debug, Args)]
pub(crate) struct LogonProcessArgs {
    /// The PAM service
    pub(crate) service: String,
}
