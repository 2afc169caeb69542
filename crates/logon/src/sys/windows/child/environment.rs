//! Environment blocks: `NAME=value`, a NUL after each and one more at the end.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString, c_void},
    io,
    os::windows::ffi::{OsStrExt, OsStringExt},
    ptr,
};

use windows_sys::Win32::{
    Foundation::HANDLE,
    System::Environment::{CreateEnvironmentBlock, DestroyEnvironmentBlock},
};

use super::super::token::failed;
use crate::{Command, Environment, Error, Logon};

/// Most units of a block that are read.
const LONGEST: usize = 1 << 20;

/// What is the user's in an environment of the caller's.
const OF_THE_USER: [&str; 11] = [
    "APPDATA",
    "HOMEDRIVE",
    "HOMEPATH",
    "HOMESHARE",
    "LOCALAPPDATA",
    "TEMP",
    "TMP",
    "USERDOMAIN",
    "USERDOMAIN_ROAMINGPROFILE",
    "USERNAME",
    "USERPROFILE",
];

/// A block, or nothing, which leaves it to the system to make one of the user's profile.
pub(super) struct Block(Option<Vec<u16>>);

impl Block {
    pub(super) fn pointer(&self) -> *const c_void {
        self.0.as_ref().map_or(ptr::null(), |block| block.as_ptr().cast())
    }
}

/// For a program with a token.
pub(super) fn of_token(command: &Command, token: HANDLE) -> Result<Block, Error> {
    let users = users(token).map_err(|source| failed("make the user's environment", source))?;
    let mut variables = match command.environment {
        Environment::Users => users,
        Environment::Callers => {
            let mut variables = callers();
            for name in OF_THE_USER {
                let name = Name::new(OsStr::new(name));
                variables.remove(&name);
                if let Some(value) = users.get(&name) {
                    variables.insert(name, value.clone());
                }
            }
            variables
        }
    };
    add(&mut variables, command);
    Ok(Block(Some(written(&variables))))
}

/// For a program that is logged on as it starts. What the profile says can't be known before.
pub(super) fn of_logon(command: &Command, logon: &Logon, is_netonly: bool) -> Result<Block, Error> {
    let mut variables = match command.environment {
        Environment::Users if command.variables.is_empty() => return Ok(Block(None)),
        Environment::Users => {
            return Err(Error::Unsupported {
                what: "adding variables to the user's environment before the logon",
                why: "the system makes it as it starts the program",
            });
        }
        Environment::Callers => callers(),
    };
    // Locally one is oneself with network-only credentials.
    if !is_netonly {
        for name in OF_THE_USER {
            variables.remove(&Name::new(OsStr::new(name)));
        }
        let account = &logon.account;
        variables.insert(Name::new("USERNAME".as_ref()), account.user().into());
        if let Some(domain) = account.authority().filter(|&domain| domain != ".") {
            variables.insert(Name::new("USERDOMAIN".as_ref()), domain.into());
        }
    }
    add(&mut variables, command);
    Ok(Block(Some(written(&variables))))
}

fn add(variables: &mut BTreeMap<Name, OsString>, command: &Command) {
    for (name, value) in &command.variables {
        variables.insert(Name::new(name), value.clone());
    }
}

/// A variable's name. Case doesn't count, and blocks are sorted without it.
#[derive(Clone, Debug)]
struct Name {
    folded: String,
    written: OsString,
}

impl Name {
    fn new(name: &OsStr) -> Self {
        Self { folded: name.to_string_lossy().to_uppercase(), written: name.to_owned() }
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.folded.cmp(&other.folded)
    }
}

/// This process's own: it is passed on, and nothing is decided by it.
fn callers() -> BTreeMap<Name, OsString> {
    std::env::vars_os().map(|(name, value)| (Name::new(&name), value)).collect()
}

fn users(token: HANDLE) -> io::Result<BTreeMap<Name, OsString>> {
    let mut block = ptr::null_mut();
    // SAFETY: the token is open, and the result can be written to.
    if unsafe { CreateEnvironmentBlock(&mut block, token, 0) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let mut variables = BTreeMap::new();
    let mut at = block.cast::<u16>().cast_const();
    let mut left = LONGEST;
    loop {
        let mut length = 0;
        // SAFETY: each text of the block ends with a NUL, and this goes no further.
        while left > length && unsafe { *at.add(length) } != 0 {
            length += 1;
        }
        if length == 0 || length >= left {
            break;
        }
        // SAFETY: so many units stand before the NUL.
        let text = unsafe { std::slice::from_raw_parts(at, length) };
        // Names of the system's own begin with an equals sign.
        if let Some(equals) = text.iter().skip(1).position(|&unit| unit == u16::from(b'=')) {
            let (name, value) = (&text[..=equals], &text[equals + 2..]);
            variables.insert(Name::new(&OsString::from_wide(name)), OsString::from_wide(value));
        }
        // SAFETY: after the NUL is the next text, or the NUL that ends the block.
        at = unsafe { at.add(length + 1) };
        left -= length + 1;
    }
    // SAFETY: the call above made it, and it is not used any more.
    unsafe { DestroyEnvironmentBlock(block) };
    Ok(variables)
}

fn written(variables: &BTreeMap<Name, OsString>) -> Vec<u16> {
    let mut block = Vec::new();
    for (name, value) in variables {
        block.extend(name.written.encode_wide());
        block.push(b'='.into());
        block.extend(value.encode_wide());
        block.push(0);
    }
    if block.is_empty() {
        block.push(0);
    }
    block.push(0);
    block
}
