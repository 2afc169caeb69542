//! Tokens, and what they say of themselves.

use std::{
    io,
    os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle},
    ptr,
};

use windows_sys::{
    Win32::{
        Foundation::{ERROR_NOT_ALL_ASSIGNED, GetLastError, HANDLE, LUID, LocalFree},
        Security::{
            AdjustTokenPrivileges, Authorization::ConvertSidToStringSidW, GetTokenInformation,
            LUID_AND_ATTRIBUTES, LookupAccountSidW, LookupPrivilegeValueW, PSID,
            SE_PRIVILEGE_ENABLED, TOKEN_ADJUST_PRIVILEGES, TOKEN_DUPLICATE, TOKEN_GROUPS,
            TOKEN_IMPERSONATE, TOKEN_INFORMATION_CLASS, TOKEN_PRIMARY_GROUP, TOKEN_PRIVILEGES,
            TOKEN_QUERY, TOKEN_STATISTICS, TOKEN_USER, TokenGroups, TokenImpersonationLevel,
            TokenPrimaryGroup, TokenPrivileges, TokenStatistics, TokenUser,
        },
        System::{
            SystemServices::SE_GROUP_ENABLED,
            Threading::{GetCurrentProcess, OpenProcessToken},
        },
        UI::Shell::GetUserProfileDirectoryW,
    },
    core::PWSTR,
};

use crate::{Error, Identity, PrincipalId};

/// A user who is logged on.
#[derive(Debug)]
pub(crate) struct Token {
    pub(super) handle: OwnedHandle,
    /// Which logon it is of. A duplicate is of the same.
    pub(super) logon: LogonId,
    /// Whether it is this process's own.
    pub(super) is_own: bool,
}

/// A logon session's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogonId(pub(super) u64);

impl Token {
    pub(super) fn new(handle: OwnedHandle, is_own: bool) -> Result<Self, Error> {
        let logon =
            logon_id(&handle).map_err(|source| failed("ask a token for its logon", source))?;
        Ok(Self { handle, logon, is_own })
    }
}

/// This process's token.
pub(super) fn of_process() -> io::Result<OwnedHandle> {
    let mut handle = ptr::null_mut();
    let access = TOKEN_QUERY | TOKEN_DUPLICATE | TOKEN_IMPERSONATE | TOKEN_ADJUST_PRIVILEGES;
    // SAFETY: the pseudo handle needs no closing, and the result can be written to.
    let opened = unsafe { OpenProcessToken(GetCurrentProcess(), access, &mut handle) };
    owned(opened, handle)
}

/// Takes what a call opened, if it succeeded.
pub(super) fn owned(succeeded: i32, handle: HANDLE) -> io::Result<OwnedHandle> {
    if succeeded == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so the handle is open and ours.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

pub(super) fn logon_id(token: &OwnedHandle) -> io::Result<LogonId> {
    let mut statistics = TOKEN_STATISTICS::default();
    fixed(token, TokenStatistics, &mut statistics)?;
    let LUID { LowPart, HighPart } = statistics.AuthenticationId;
    Ok(LogonId(u64::from(HighPart as u32) << 32 | u64::from(LowPart)))
}

/// How far a thread with this token is its user: `SECURITY_IMPERSONATION_LEVEL`.
pub(super) fn impersonation_level(token: &OwnedHandle) -> io::Result<i32> {
    let mut level = 0_i32;
    fixed(token, TokenImpersonationLevel, &mut level)?;
    Ok(level)
}

/// Who the token stands for.
pub(super) fn identity(token: &OwnedHandle) -> Result<Identity, Error> {
    let user =
        variable(token, TokenUser).map_err(|source| failed("ask a token for its user", source))?;
    // SAFETY: the buffer holds what the class asks for, aligned for pointers, and the SID in it.
    let sid = unsafe { (*user.as_ptr().cast::<TOKEN_USER>()).User.Sid };
    let (name, domain) = account_of(sid);
    let id = sid_text(sid).map_err(|source| failed("write a SID as text", source))?;
    Ok(Identity {
        user: name.unwrap_or_else(|| id.clone()),
        domain: domain.filter(|domain| !domain.is_empty()),
        id: PrincipalId::Sid(id),
        groups: groups(token).map_err(|source| failed("ask a token for its groups", source))?,
        home: home(token).map(Into::into),
        shell: None,
    })
}

/// Says whether this process may become other users on its threads.
///
/// # Errors
/// [`Error::Privilege`] with the name of the privilege that is missing.
pub fn check_privileges() -> Result<(), Error> {
    let token = of_process().map_err(|source| failed("open the process's token", source))?;
    let buffer = variable(&token, TokenPrivileges)
        .map_err(|source| failed("ask the process's token for its privileges", source))?;
    let wanted = privilege("SeImpersonatePrivilege")
        .map_err(|source| failed("look a privilege up", source))?;
    // SAFETY: the buffer holds what the class asks for: a count, and so many entries after it.
    let held = unsafe {
        let privileges = buffer.as_ptr().cast::<TOKEN_PRIVILEGES>();
        let first = (&raw const (*privileges).Privileges).cast::<LUID_AND_ATTRIBUTES>();
        std::slice::from_raw_parts(first, (*privileges).PrivilegeCount as usize)
    };
    let is_wanted = |luid: LUID| luid.LowPart == wanted.LowPart && luid.HighPart == wanted.HighPart;
    if held.iter().any(|held| is_wanted(held.Luid)) { Ok(()) } else { Err(may_not_impersonate()) }
}

pub(super) fn may_not_impersonate() -> Error {
    Error::Privilege {
        what: "becoming another user",
        name: "SeImpersonatePrivilege",
        advice: "give it to the account (Local Security Policy: Impersonate a client after \
                 authentication), or run this as an administrator, elevated, or as a service",
    }
}

/// Switches a privilege of this process on. One that it doesn't have is an error.
pub(super) fn enable(name: &str) -> io::Result<()> {
    let token = of_process()?;
    let luid = privilege(name)?;
    let wanted = TOKEN_PRIVILEGES {
        PrivilegeCount: 1,
        Privileges: [LUID_AND_ATTRIBUTES { Luid: luid, Attributes: SE_PRIVILEGE_ENABLED }],
    };
    // SAFETY: the token is open for it, and the structure has the one entry that it says.
    let adjusted = unsafe {
        AdjustTokenPrivileges(
            token.as_raw_handle(),
            0,
            &wanted,
            0,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    // SAFETY: takes nothing. It succeeds even where it did nothing, and says so here.
    let error = unsafe { GetLastError() };
    match (adjusted, error) {
        (0, error) | (_, error @ ERROR_NOT_ALL_ASSIGNED) => {
            Err(io::Error::from_raw_os_error(error as i32))
        }
        _ => Ok(()),
    }
}

fn privilege(name: &str) -> io::Result<LUID> {
    let name = super::wide(name.as_ref());
    let mut luid = LUID::default();
    // SAFETY: the name ends with a NUL, a null system is this one, and the result can be written to.
    if unsafe { LookupPrivilegeValueW(ptr::null(), name.as_ptr(), &mut luid) } == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(luid)
}

/// The primary group first, and then all that count.
fn groups(token: &OwnedHandle) -> io::Result<Vec<PrincipalId>> {
    let buffer = variable(token, TokenPrimaryGroup)?;
    // SAFETY: the buffer holds what the class asks for, and the SID in it.
    let primary =
        sid_text(unsafe { (*buffer.as_ptr().cast::<TOKEN_PRIMARY_GROUP>()).PrimaryGroup })?;
    let mut all = vec![PrincipalId::Sid(primary)];
    let buffer = variable(token, TokenGroups)?;
    // SAFETY: the buffer holds what the class asks for: a count, and so many entries after it.
    let groups = unsafe {
        let groups = buffer.as_ptr().cast::<TOKEN_GROUPS>();
        let first = (&raw const (*groups).Groups).cast();
        std::slice::from_raw_parts::<windows_sys::Win32::Security::SID_AND_ATTRIBUTES>(
            first,
            (*groups).GroupCount as usize,
        )
    };
    for group in groups.iter().filter(|group| group.Attributes & SE_GROUP_ENABLED as u32 != 0) {
        let id = PrincipalId::Sid(sid_text(group.Sid)?);
        if !all.contains(&id) {
            all.push(id);
        }
    }
    Ok(all)
}

/// A SID in its text form. The SID is one that the system gave.
fn sid_text(sid: PSID) -> io::Result<String> {
    let mut text: PWSTR = ptr::null_mut();
    // SAFETY: the SID is the system's, and the result can be written to.
    if unsafe { ConvertSidToStringSidW(sid, &mut text) } == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call made a text with a NUL at its end.
    let units = unsafe { until_nul(text) };
    let copy = String::from_utf16_lossy(units);
    // SAFETY: it was allocated for us by the call, and is not used any more.
    unsafe { LocalFree(text.cast()) };
    Ok(copy)
}

/// The name and the domain of a SID, where they are known.
fn account_of(sid: PSID) -> (Option<String>, Option<String>) {
    let (mut name, mut domain) = ([0_u16; 300], [0_u16; 300]);
    let (mut name_units, mut domain_units) = (name.len() as u32, domain.len() as u32);
    let mut kind = 0;
    // SAFETY: the SID is the system's, and there is as much room as is said.
    let found = unsafe {
        LookupAccountSidW(
            ptr::null(),
            sid,
            name.as_mut_ptr(),
            &mut name_units,
            domain.as_mut_ptr(),
            &mut domain_units,
            &mut kind,
        )
    };
    if found == 0 {
        return (None, None);
    }
    let text = |units: &[u16], count: u32| {
        Some(String::from_utf16_lossy(&units[..units.len().min(count as usize)]))
    };
    (text(&name, name_units), text(&domain, domain_units))
}

/// The profile's folder, if the user has been logged on here before.
fn home(token: &OwnedHandle) -> Option<std::ffi::OsString> {
    use std::os::windows::ffi::OsStringExt;
    let mut path = vec![0_u16; 1024];
    let mut units = path.len() as u32;
    // SAFETY: the token is open, and there is as much room as is said.
    let found =
        unsafe { GetUserProfileDirectoryW(token.as_raw_handle(), path.as_mut_ptr(), &mut units) };
    let length = path.iter().position(|&unit| unit == 0)?;
    (found != 0).then(|| std::ffi::OsString::from_wide(&path[..length]))
}

/// Asks a token for something of a size that is known.
fn fixed<T>(token: &OwnedHandle, class: TOKEN_INFORMATION_CLASS, value: &mut T) -> io::Result<()> {
    let mut size = 0;
    // SAFETY: the token is open, and the value has the size that is said. The callers pass the
    // type that the class asks for.
    let asked = unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            class,
            ptr::from_mut(value).cast(),
            size_of::<T>() as u32,
            &mut size,
        )
    };
    if asked == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Asks a token for something of a size that it says itself. The buffer is aligned for pointers.
fn variable(token: &OwnedHandle, class: TOKEN_INFORMATION_CLASS) -> io::Result<Vec<usize>> {
    /// Far over what a token can hold.
    const LARGEST: u32 = 1 << 20;
    let mut size = 1024;
    loop {
        let mut buffer = vec![0_usize; (size as usize).div_ceil(size_of::<usize>())];
        let room = (buffer.len() * size_of::<usize>()) as u32;
        // SAFETY: the token is open, and there is as much room as is said.
        let asked = unsafe {
            GetTokenInformation(
                token.as_raw_handle(),
                class,
                buffer.as_mut_ptr().cast(),
                room,
                &mut size,
            )
        };
        if asked != 0 {
            return Ok(buffer);
        }
        let error = io::Error::last_os_error();
        if size <= room || size > LARGEST {
            return Err(error);
        }
    }
}

/// A text up to its NUL.
///
/// # Safety
/// It must have one, and live as long as what is returned is used.
unsafe fn until_nul<'a>(text: *const u16) -> &'a [u16] {
    let mut length = 0;
    // SAFETY: there is a NUL, and this goes no further.
    while unsafe { *text.add(length) } != 0 {
        length += 1;
    }
    // SAFETY: so many units stand before it.
    unsafe { std::slice::from_raw_parts(text, length) }
}

pub(super) fn failed(what: &'static str, source: io::Error) -> Error {
    Error::System { what, source }
}
