//! What the tests of several files need.
#![allow(dead_code, reason = "not every file needs everything")]

use std::{
    fs,
    io::{Read, Seek},
    path::Path,
    process::Command,
    time::Duration,
};

use quarry_cred::Secret;
use quarry_logon::{Error, Logon, LogonType, Token};
use quarry_testkit::accounts::PASSWORD;

pub(crate) fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned()).expect("a password")
}

/// A logon whose refusals are not delayed.
pub(crate) fn logon(account: &str) -> Logon {
    let account = account.parse().expect("an account's name");
    Logon::new(account).logon_type(LogonType::Network).refusal_delay(Duration::ZERO)
}

pub(crate) fn try_log_on(account: &str, password: &str) -> Result<Token, Error> {
    logon(account).log_on(secret(password))
}

pub(crate) fn token(account: &str) -> Token {
    try_log_on(account, PASSWORD).unwrap_or_else(|error| panic!("{account}: {error}"))
}

pub(crate) fn log_on(account: &str, logon_type: LogonType) -> Token {
    logon(account).logon_type(logon_type).log_on(secret(PASSWORD)).expect("the password is right")
}

pub(crate) fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

pub(crate) fn read_back(mut file: fs::File) -> String {
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).expect("it can be read");
    text
}

/// What the kernel says of a thread or process: not what the calls say that set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    /// Real, effective, saved, and for files.
    pub(crate) uids: [u32; 4],
    pub(crate) gids: [u32; 4],
    pub(crate) groups: Vec<u32>,
    pub(crate) effective: u64,
    pub(crate) permitted: u64,
    pub(crate) inheritable: u64,
    pub(crate) ambient: u64,
}

impl Status {
    pub(crate) fn parse(text: &str) -> Self {
        let field = |name: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            found.unwrap_or_else(|| panic!("no {name} in {text}")).trim()
        };
        let numbers = |name: &str| -> Vec<u32> {
            field(name).split_whitespace().map(|n| n.parse().expect("a number")).collect()
        };
        let set = |name: &str| u64::from_str_radix(field(name), 16).expect("a number");
        Self {
            uids: numbers("Uid").try_into().expect("four"),
            gids: numbers("Gid").try_into().expect("four"),
            groups: numbers("Groups"),
            effective: set("CapEff"),
            permitted: set("CapPrm"),
            inheritable: set("CapInh"),
            ambient: set("CapAmb"),
        }
    }
}

pub(crate) fn status_of(path: &Path) -> Status {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    Status::parse(&text)
}

pub(crate) fn status_of_this() -> Status {
    status_of("/proc/thread-self/status".as_ref())
}
