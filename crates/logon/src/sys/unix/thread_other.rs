//! Who a thread is, on a Unix other than Linux: whoever the process is.
//!
//! macOS has an identity a thread (`pthread_setugid_np`), but not groups a thread, and what it has
//! is deprecated. Half an identity would be the wrong user, so becoming somebody is refused here.
//! Logging on and running programs as the user work.

use std::io;

use super::{Ids, Token};
use crate::Error;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base(Ids);

impl Base {
    pub(crate) fn capture() -> Result<Self, Error> {
        effective_ids().map(Self)
    }

    /// Who a thread is that the calling one makes: the same.
    pub(crate) fn of_new_thread() -> Result<Self, Error> {
        Self::capture()
    }

    pub(crate) fn enter(&self, token: &Token) -> Result<(), Error> {
        if token.ids == self.0 {
            return Ok(());
        }
        Err(Error::Unsupported {
            what: "becoming another user on a thread",
            why: "this system has groups for processes only; run a program as the user instead",
        })
    }

    pub(crate) fn leave(&self, _: &Token) -> Result<(), String> {
        self.verify()
    }

    pub(crate) fn verify(&self) -> Result<(), String> {
        match effective_ids() {
            Ok(ids) if ids == self.0 => Ok(()),
            Ok(ids) => Err(format!("user {} with group {}", ids.uid, ids.gid)),
            Err(error) => Err(error.to_string()),
        }
    }
}

pub(super) fn effective_ids() -> Result<Ids, Error> {
    // SAFETY: with no room nothing is written.
    let count = unsafe { libc::getgroups(0, std::ptr::null_mut()) };
    let count = usize::try_from(count).map_err(|_| Error::last("ask for the process's groups"))?;
    let mut groups = vec![0; count];
    // SAFETY: there is room for as many groups as are said.
    let count = unsafe { libc::getgroups(groups.len() as libc::c_int, groups.as_mut_ptr()) };
    groups.truncate(usize::try_from(count).unwrap_or(0));
    // SAFETY: these take nothing and can't fail.
    Ok(unsafe { Ids::new(libc::geteuid(), libc::getegid(), groups) })
}

/// Says what this process lacks to run programs as other users.
///
/// # Errors
/// [`Error::Privilege`] if it isn't root's.
pub fn check_privileges() -> Result<(), Error> {
    // SAFETY: takes nothing and can't fail.
    if unsafe { libc::geteuid() } == 0 {
        return Ok(());
    }
    Err(Error::Privilege {
        what: "becoming another user",
        name: "root",
        advice: "run this as root",
    })
}

/// For a process that is about to become a program.
pub(super) fn become_for_good(ids: &Ids) -> io::Result<()> {
    // macOS takes 16 groups at most; it looks the others up by itself.
    let few = &ids.groups[..ids.groups.len().min(16)];
    // SAFETY: the pointer is to as many groups as are said; the rest are numbers.
    let done = unsafe {
        libc::setgroups(few.len() as _, few.as_ptr()) == 0
            && libc::setgid(ids.gid) == 0
            && libc::setuid(ids.uid) == 0
    };
    if !done {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: numbers only.
    let taken_back = ids.uid != 0 && unsafe { libc::setuid(0) } == 0;
    // SAFETY: these take nothing and can't fail.
    let (real, effective) = unsafe { (libc::getuid(), libc::geteuid()) };
    if taken_back || (real, effective) != (ids.uid, ids.uid) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(())
}

/// There are no such keyrings here.
pub(super) fn session_keyring() -> i64 {
    0
}

pub(super) fn leave_keyring() -> io::Result<()> {
    Ok(())
}

/// From the third descriptor on, nothing is open in the program that this process becomes.
pub(super) fn close_all_but_standard() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure can be written to.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    for descriptor in 3..limit.rlim_cur.min(1 << 16) as libc::c_int {
        // SAFETY: numbers only; one that isn't open is an error without consequence.
        unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}
