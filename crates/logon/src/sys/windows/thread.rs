//! Who a thread is, on Windows: the process, unless it has a token of its own. A thread or program
//! made meanwhile starts as the process.

use std::{
    io,
    os::windows::io::{AsRawHandle, OwnedHandle},
    ptr,
};

use windows_sys::Win32::{
    Foundation::{ERROR_NO_TOKEN, HANDLE},
    Security::{
        ImpersonateLoggedOnUser, RevertToSelf, SecurityImpersonation, TOKEN_IMPERSONATE,
        TOKEN_QUERY,
    },
    System::Threading::{GetCurrentThread, OpenThreadToken, SetThreadToken},
};

use super::{
    Token,
    token::{self, LogonId, failed},
};
use crate::Error;

/// Who a thread was: whoever the process is, or somebody by a token that others gave it.
#[derive(Debug)]
pub(crate) struct Base {
    token: Option<(OwnedHandle, LogonId)>,
}

impl Base {
    /// Who the calling thread is.
    pub(crate) fn capture() -> Result<Self, Error> {
        let token = of_thread(TOKEN_QUERY | TOKEN_IMPERSONATE)
            .and_then(|token| {
                token.map(|token| token::logon_id(&token).map(|id| (token, id))).transpose()
            })
            .map_err(|source| failed("ask who the thread is", source))?;
        Ok(Self { token })
    }

    /// Who a thread is that the calling one makes: the process.
    pub(crate) fn of_new_thread() -> Result<Self, Error> {
        Ok(Self { token: None })
    }

    /// Makes the calling thread, which is this, the token's user. On an error it is this again.
    pub(crate) fn enter(&self, token: &Token) -> Result<(), Error> {
        // SAFETY: the token is open.
        if unsafe { ImpersonateLoggedOnUser(token.handle.as_raw_handle()) } == 0 {
            let error = io::Error::last_os_error();
            self.restore_or_die();
            return Err(match error.kind() {
                io::ErrorKind::PermissionDenied => token::may_not_impersonate(),
                _ => failed("become another user", error),
            });
        }
        let became = check_that_it_is(token);
        if became.is_err() {
            self.restore_or_die();
        }
        became
    }

    /// Makes the calling thread, which is the token's user, this again.
    pub(crate) fn leave(&self, token: &Token) -> Result<(), String> {
        let now = logon_of_thread().map_err(|error| error.to_string())?;
        if now != Some(token.logon) {
            return Err(format!("somebody else changed who the thread is: its logon is {now:x?}"));
        }
        self.restore()
    }

    /// Whether the calling thread is this.
    pub(crate) fn verify(&self) -> Result<(), String> {
        let expected = self.token.as_ref().map(|(_, logon)| *logon);
        match logon_of_thread() {
            Ok(now) if now == expected => Ok(()),
            Ok(now) => Err(format!("of the logon {now:x?} and not {expected:x?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    fn restore(&self) -> Result<(), String> {
        let done = match &self.token {
            // SAFETY: takes nothing.
            None => unsafe { RevertToSelf() },
            // SAFETY: a null thread is the calling one, and the token is open for impersonation.
            Some((token, _)) => unsafe { SetThreadToken(ptr::null(), token.as_raw_handle()) },
        };
        if done == 0 {
            return Err(io::Error::last_os_error().to_string());
        }
        self.verify()
    }

    fn restore_or_die(&self) {
        if let Err(reason) = self.restore() {
            crate::stack::die(&reason);
        }
    }
}

/// The call succeeds even without the privilege, and the thread then has a token that says who the
/// user is but isn't good for anything. So both are looked at.
fn check_that_it_is(token: &Token) -> Result<(), Error> {
    let what = "ask who the thread has become";
    let now = of_thread(TOKEN_QUERY).map_err(|source| failed(what, source))?;
    let mismatch = |found: String| Error::Mismatch {
        wanted: format!("of the logon {:x?}", token.logon),
        found,
    };
    let now = now.ok_or_else(|| mismatch("whoever the process is".to_owned()))?;
    let level = token::impersonation_level(&now).map_err(|source| failed(what, source))?;
    if level < SecurityImpersonation {
        return Err(token::may_not_impersonate());
    }
    let logon = token::logon_id(&now).map_err(|source| failed(what, source))?;
    if logon == token.logon { Ok(()) } else { Err(mismatch(format!("of the logon {logon:x?}"))) }
}

fn logon_of_thread() -> io::Result<Option<LogonId>> {
    of_thread(TOKEN_QUERY)?.map(|token| token::logon_id(&token)).transpose()
}

/// The calling thread's own token. It is asked for as the process, since the user may not be
/// allowed to.
fn of_thread(access: u32) -> io::Result<Option<OwnedHandle>> {
    const AS_PROCESS: i32 = 1;
    let mut handle: HANDLE = ptr::null_mut();
    // SAFETY: the pseudo handle needs no closing, and the result can be written to.
    let opened = unsafe { OpenThreadToken(GetCurrentThread(), access, AS_PROCESS, &mut handle) };
    match token::owned(opened, handle) {
        Ok(token) => Ok(Some(token)),
        Err(error) if error.raw_os_error() == Some(ERROR_NO_TOKEN as i32) => Ok(None),
        Err(error) => Err(error),
    }
}
