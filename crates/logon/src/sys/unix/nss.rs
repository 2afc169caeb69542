//! Users and groups by the name service: local, SSSD and winbind alike.

use std::{
    ffi::{CStr, CString, OsStr, c_char},
    io,
    mem::MaybeUninit,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    ptr,
};

use crate::Error;

/// Longest entry of the user database that is taken, in bytes.
const LONGEST_ENTRY: usize = 1 << 20;
/// Most groups of a user (`NGROUPS_MAX`).
const MOST_GROUPS: usize = 65_536;

pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: libc::uid_t,
    pub(super) gid: libc::gid_t,
    pub(super) home: Option<PathBuf>,
    pub(super) shell: Option<PathBuf>,
}

pub(super) fn user_by_name(name: &str) -> Result<Option<User>, Error> {
    let Ok(name) = CString::new(name) else { return Ok(None) };
    look_up(|entry, buffer, size, found| {
        // SAFETY: the name ends with a NUL, the entry and the result can be written to, and the
        // buffer has the size that is said.
        unsafe { libc::getpwnam_r(name.as_ptr(), entry, buffer, size, found) }
    })
}

pub(super) fn user_by_id(uid: libc::uid_t) -> Result<Option<User>, Error> {
    look_up(|entry, buffer, size, found| {
        // SAFETY: the entry and the result can be written to, and the buffer has the size that is
        // said.
        unsafe { libc::getpwuid_r(uid, entry, buffer, size, found) }
    })
}

/// All groups of a user, the given one among them.
pub(super) fn groups_of(name: &str, primary: libc::gid_t) -> Result<Vec<libc::gid_t>, Error> {
    #[cfg(target_vendor = "apple")]
    type Group = libc::c_int;
    #[cfg(not(target_vendor = "apple"))]
    type Group = libc::gid_t;

    let failed = |source| Error::System { what: "look up the user's groups", source };
    let name = CString::new(name).map_err(|error| failed(error.into()))?;
    let mut room = 64;
    loop {
        let mut groups: Vec<Group> = vec![0; room];
        let mut count = room as libc::c_int;
        // SAFETY: the name ends with a NUL, and there is room for as many groups as `count` says.
        let fits = unsafe {
            libc::getgrouplist(name.as_ptr(), primary as Group, groups.as_mut_ptr(), &mut count)
        };
        if fits >= 0 {
            groups.truncate(usize::try_from(count).unwrap_or(0));
            return Ok(groups.into_iter().map(|group| group as libc::gid_t).collect());
        }
        // Not every system says how many there are.
        room = room.saturating_mul(2).max(usize::try_from(count).unwrap_or(0));
        if room > MOST_GROUPS * 2 {
            return Err(failed(io::Error::other("the user is in too many groups")));
        }
    }
}

/// The name of a group, if it has one.
pub(super) fn group_name(gid: libc::gid_t) -> Result<Option<String>, Error> {
    let mut size = 1024;
    loop {
        let mut entry = MaybeUninit::<libc::group>::uninit();
        let mut buffer: Vec<c_char> = vec![0; size];
        let mut found = ptr::null_mut();
        // SAFETY: the entry and the result can be written to, and the buffer has the size that is
        // said.
        let status = unsafe {
            libc::getgrgid_r(gid, entry.as_mut_ptr(), buffer.as_mut_ptr(), size, &mut found)
        };
        match status {
            0 if found.is_null() => return Ok(None),
            0 => {
                // SAFETY: a result was found, so the entry is filled, with pointers into `buffer`,
                // which lives until the end of this block.
                let name = text(unsafe { entry.assume_init_ref() }.gr_name, &buffer);
                return Ok(Some(String::from_utf8_lossy(name).into_owned()));
            }
            // A group with many members has a long entry.
            libc::ERANGE if size < LONGEST_ENTRY => size *= 2,
            libc::EINTR => {}
            libc::ENOENT | libc::ESRCH => return Ok(None),
            error => {
                let source = io::Error::from_raw_os_error(error);
                return Err(Error::System { what: "look up a group", source });
            }
        }
    }
}

fn look_up(
    ask: impl Fn(*mut libc::passwd, *mut c_char, usize, *mut *mut libc::passwd) -> libc::c_int,
) -> Result<Option<User>, Error> {
    let mut size = 1024;
    loop {
        let mut entry = MaybeUninit::<libc::passwd>::uninit();
        let mut buffer: Vec<c_char> = vec![0; size];
        let mut found = ptr::null_mut();
        let status = ask(entry.as_mut_ptr(), buffer.as_mut_ptr(), size, &mut found);
        match status {
            0 if found.is_null() => return Ok(None),
            0 => {
                // SAFETY: a result was found, so the entry is filled, with pointers into `buffer`,
                // which lives until the end of this block.
                let entry = unsafe { entry.assume_init_ref() };
                return Ok(Some(User {
                    name: String::from_utf8_lossy(text(entry.pw_name, &buffer)).into_owned(),
                    uid: entry.pw_uid,
                    gid: entry.pw_gid,
                    home: path(text(entry.pw_dir, &buffer)),
                    shell: path(text(entry.pw_shell, &buffer)),
                }));
            }
            libc::ERANGE if size < LONGEST_ENTRY => size *= 2,
            libc::EINTR => {}
            // So some name services say that there is no such user.
            libc::ENOENT | libc::ESRCH => return Ok(None),
            error => {
                let source = io::Error::from_raw_os_error(error);
                return Err(Error::System { what: "look up the user", source });
            }
        }
    }
}

/// The text at a pointer that the name service set.
fn text(pointer: *const c_char, _buffer: &[c_char]) -> &[u8] {
    if pointer.is_null() {
        return b"";
    }
    // SAFETY: it is a text with a NUL at its end, in the buffer or static, and the buffer outlives
    // what is returned.
    unsafe { CStr::from_ptr(pointer) }.to_bytes()
}

fn path(bytes: &[u8]) -> Option<PathBuf> {
    (!bytes.is_empty()).then(|| OsStr::from_bytes(bytes).into())
}
