//! The command line of `quarry run-as`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ValueEnum;

/// Run a command as another user.
///
/// The user is logged on with a password, which is asked for on the terminal. COMMAND gets the
/// user's identity for good, a session of the user's, on Unix a terminal of its own, and the signals
/// that are sent to quarry; without COMMAND it is the user's shell. On Unix this needs root, or
/// CAP_SETUID and CAP_SETGID, and a PAM service called quarry.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "quarry run-as [OPTIONS] USER [-- COMMAND [ARGUMENT]...]",
    after_help = "Examples:
  quarry run-as ann -- id
  quarry run-as --login ann
  quarry run-as 'CORP\\ann' --netonly -- mmc eventvwr.msc
  quarry run-as ann --password-fd 3 -- ./job.sh  3< secret

Exit status: that of COMMAND (128 + N if signal N ended it); 125 if the logon was refused or failed,
126 if COMMAND can't be run, 127 if there is no such command, 2 usage, 130 interrupted.

Becoming a user on Linux or macOS gives no identity on the network. There COMMAND runs in a session
of its own, on a pseudo-terminal whose other side is copied to this one, so that it can't type into
yours (a program in your session can, where the sysctl dev.tty.legacy_tiocsti is 1 and on Linux
before 6.2). Where no standard file is a terminal, it has none. Ctrl-Z is COMMAND's."
)]
pub(crate) struct RunAsArgs {
    /// The account: ann, CORP\ann, .\ann (of this machine) or ann@corp.example
    pub(crate) user: String,

    /// The account's domain, where USER has none
    #[arg(short, long, value_name = "DOMAIN")]
    pub(crate) domain: Option<String>,

    /// What the logon is for. Windows asks for the right that goes with it; on Unix the first,
    /// batch and service open a session
    #[arg(short = 't', long = "type", value_name = "TYPE", default_value = "interactive")]
    pub(crate) logon_type: TypeName,

    /// Be the account towards other machines only, and oneself on this one (Windows; as runas
    /// /netonly). The password is not checked until one of them does
    #[arg(long, conflicts_with_all = ["logon_type", "login"])]
    pub(crate) netonly: bool,

    /// Begin as the user would: in the home folder, with the user's environment only, and a shell
    /// as a login shell
    #[arg(short, long)]
    pub(crate) login: bool,

    /// Give COMMAND the user's environment only. Otherwise it has quarry's, in which USER, LOGNAME,
    /// HOME and SHELL are the user's, and nothing is of the caller's session
    #[arg(long)]
    pub(crate) env_clean: bool,

    /// Read the password from an open descriptor, up to the end of its first line
    #[arg(long, value_name = "N", group = "source")]
    pub(crate) password_fd: Option<u32>,

    /// Read the password from a file
    #[arg(long, value_name = "FILE", group = "source", value_hint = clap::ValueHint::FilePath)]
    pub(crate) password_file: Option<PathBuf>,

    /// Take the password from the system's keyring: the kernel's on Linux, the credential manager
    /// of Windows, under the service quarry and the account
    #[arg(long, group = "source")]
    pub(crate) keyring: bool,

    /// The PAM service whose rules apply
    #[cfg(unix)]
    #[arg(long, value_name = "NAME", default_value = "quarry")]
    pub(crate) service: String,

    /// Who checks the password
    #[cfg(windows)]
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) provider: ProviderName,

    /// What to run
    #[arg(last = true, value_name = "COMMAND", value_hint = clap::ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<OsString>,
}

/// The types of logon, as one writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TypeName {
    Interactive,
    Network,
    NetworkCleartext,
    Batch,
    Service,
    Unlock,
    NewCredentials,
}

/// The providers, as one writes them.
#[cfg(windows)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProviderName {
    Default,
    Negotiate,
    Ntlm,
}
