//! Who a thread is, on Linux.
//!
//! POSIX has one identity for a process, so the C library's `setuid` and its kin change every
//! thread, by a signal to each. The kernel knows better: credentials are a thread's. So the system
//! calls are made here directly.
//!
//! A thread becomes a user in its real and effective ids, and keeps who it was as its saved user
//! id alone. So a program started meanwhile is the user for good (starting one overwrites the
//! saved id), where one started with only the effective id changed would have root as its real
//! id, and bash would go back to it by itself. Permitted capabilities stay with the thread, none is
//! effective or inheritable; the way back restores them.

use std::{io, mem::MaybeUninit, ptr};

use super::{Ids, Token};
use crate::Error;

/// The system calls with 32-bit ids. Older architectures have others under the plain names.
mod number {
    #[cfg(not(any(target_arch = "x86", target_arch = "arm", target_arch = "sparc")))]
    pub(super) use libc::{
        SYS_setfsgid as SETFSGID, SYS_setfsuid as SETFSUID, SYS_setgroups as SETGROUPS,
        SYS_setresgid as SETRESGID, SYS_setresuid as SETRESUID,
    };
    #[cfg(any(target_arch = "x86", target_arch = "arm", target_arch = "sparc"))]
    pub(super) use libc::{
        SYS_setfsgid32 as SETFSGID, SYS_setfsuid32 as SETFSUID, SYS_setgroups32 as SETGROUPS,
        SYS_setresgid32 as SETRESGID, SYS_setresuid32 as SETRESUID,
    };
}

const CAP_SETGID: u64 = 1 << 6;
const CAP_SETUID: u64 = 1 << 7;
/// How many groups are looked at without memory from the heap.
const FEW: usize = 64;
/// The most that the kernel gives a thread (`NGROUPS_MAX`).
const MOST_GROUPS: usize = 65_536;
/// An id that is none: the call changes nothing, and says what is.
const ASK: u32 = u32::MAX;

/// Who a thread was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    /// Real, effective and saved.
    uids: [u32; 3],
    gids: [u32; 3],
    groups: Vec<u32>,
    capabilities: Capabilities,
    /// The ambient capabilities, which are among the inheritable ones.
    ambient: u64,
}

impl Base {
    /// Who the calling thread is.
    pub(crate) fn capture() -> Result<Self, Error> {
        let capabilities = Capabilities::get().map_err(no_capabilities)?;
        Ok(Self {
            uids: uids(),
            gids: gids(),
            groups: groups()?,
            capabilities,
            ambient: ambient_among(capabilities.inheritable),
        })
    }

    /// Who a thread is that the calling one makes: the same.
    pub(crate) fn of_new_thread() -> Result<Self, Error> {
        Self::capture()
    }

    /// Makes the calling thread, which is this, the token's user. On an error it is this again.
    pub(crate) fn enter(&self, token: &Token) -> Result<(), Error> {
        if self.is(&token.ids) {
            return self.verify().map_err(|found| mismatch(&token.ids, found));
        }
        self.capabilities.allow_becoming()?;
        let became =
            become_ids(&token.ids, self.uids[1]).and_then(|()| self.check_that_it_is(token));
        match became {
            Ok(()) => Ok(()),
            Err(failure) => {
                if let Err(reason) = self.restore() {
                    crate::stack::die(&reason);
                }
                Err(failure.into_error(&token.ids))
            }
        }
    }

    /// Makes the calling thread, which is the token's user, this again.
    pub(crate) fn leave(&self, token: &Token) -> Result<(), String> {
        if self.is(&token.ids) {
            return self.verify();
        }
        // Whoever changed it meanwhile, what was done since may have been done as the wrong user.
        // Groups need no look: without capabilities nobody could have changed them.
        let (now, expected) = (uids(), token.ids.entered_uids(self.uids[1]));
        if now != expected {
            return Err(format!(
                "somebody else changed who the thread is: its user ids are {now:?}, and they were \
                 {expected:?}"
            ));
        }
        self.restore()
    }

    /// Whether the calling thread is this.
    pub(crate) fn verify(&self) -> Result<(), String> {
        self.verify_ids()?;
        let capabilities = Capabilities::get().map_err(|error| error.to_string())?;
        if capabilities != self.capabilities {
            return Err(format!("with the capabilities {capabilities:x?}"));
        }
        check_file_system_ids(self.uids[1], self.gids[1])
    }

    fn verify_ids(&self) -> Result<(), String> {
        let (uids, gids) = (uids(), gids());
        if (uids, gids) != (self.uids, self.gids) {
            return Err(format!("user ids {uids:?} and group ids {gids:?}"));
        }
        if !are_groups(&self.groups).map_err(|error| error.to_string())? {
            return Err("in other groups".to_owned());
        }
        Ok(())
    }

    /// Whether nothing has to be done to become that.
    fn is(&self, ids: &Ids) -> bool {
        self.uids == [ids.uid; 3] && self.gids == [ids.gid; 3] && self.groups == ids.groups
    }

    fn check_that_it_is(&self, token: &Token) -> Result<(), Failure> {
        let ids = &token.ids;
        let (uids, gids) = (uids(), gids());
        if uids != ids.entered_uids(self.uids[1]) || gids != [ids.gid; 3] {
            return Err(Failure::Found(format!("user ids {uids:?} and group ids {gids:?}")));
        }
        if !are_groups(&ids.groups).map_err(Failure::System)? {
            return Err(Failure::Found("in other groups".to_owned()));
        }
        if ids.uid == 0 {
            return Ok(());
        }
        // Becoming an ordinary user takes root's capabilities away, but not those that a service
        // was given, and not where securebits say otherwise.
        let mut capabilities = Capabilities::get().map_err(Failure::System)?;
        if capabilities.effective != 0 || capabilities.inheritable != 0 {
            Capabilities { effective: 0, inheritable: 0, ..capabilities }
                .set()
                .map_err(Failure::System)?;
            capabilities = Capabilities::get().map_err(Failure::System)?;
        }
        if capabilities.effective != 0 || capabilities.inheritable != 0 {
            return Err(Failure::Found(format!("with the capabilities {capabilities:x?}")));
        }
        Ok(())
    }

    /// Makes the calling thread this, whoever it is: the saved id allows it.
    fn restore(&self) -> Result<(), String> {
        let failed = |error: io::Error| error.to_string();
        let [real, effective, saved] = self.uids;
        if self.uids == [effective; 3] {
            set(number::SETRESUID, self.uids).map_err(failed)?;
        } else {
            set(number::SETRESUID, [ASK, effective, ASK]).map_err(failed)?;
        }
        // Being root again makes all permitted capabilities effective, and mostly that is what root
        // had. That it has happened is seen by the groups, which only CAP_SETGID can change.
        let Capabilities { effective: had, permitted, inheritable } = self.capabilities;
        let had_all = self.uids == [0; 3] && had == permitted && inheritable == 0;
        if had_all && self.restore_groups().is_ok() {
            return self.verify_ids();
        }
        self.capabilities.set().map_err(failed)?;
        raise_ambient(self.ambient).map_err(failed)?;
        if self.uids != [effective; 3] {
            set(number::SETRESUID, [real, effective, saved]).map_err(failed)?;
        }
        self.restore_groups().map_err(failed)?;
        self.verify()
    }

    fn restore_groups(&self) -> io::Result<()> {
        set(number::SETRESGID, self.gids)?;
        set_groups(&self.groups)
    }
}

impl Ids {
    /// Real and effective are the user's, and the saved one is the way back.
    fn entered_uids(&self, way_back: u32) -> [u32; 3] {
        [self.uid, self.uid, way_back]
    }
}

/// Who the calling thread is towards the kernel.
pub(super) fn effective_ids() -> Result<Ids, Error> {
    Ok(Ids::new(uids()[1], gids()[1], groups()?))
}

/// Says what this process lacks to become other users and to run programs as them.
///
/// # Errors
/// [`Error::Privilege`] with the name of the first capability that is missing.
pub fn check_privileges() -> Result<(), Error> {
    crate::stack::as_base(|| Capabilities::get().map_err(no_capabilities)?.allow_becoming())
}

/// For a process that is about to become a program: makes its only thread the user, with no way
/// back. Nothing in here allocates or locks.
pub(super) fn become_for_good(ids: &Ids) -> io::Result<()> {
    set_groups(&ids.groups)?;
    set(number::SETRESGID, [ids.gid; 3])?;
    // SAFETY: numbers only.
    unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    set(number::SETRESUID, [ids.uid; 3])?;
    if ids.uid != 0 {
        let none = Capabilities { effective: 0, permitted: 0, inheritable: 0 };
        none.set()?;
        if Capabilities::get()? != none || ambient_among(u64::MAX) != 0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
    }
    let taken_back = ids.uid != 0 && set(number::SETRESUID, [0, 0, 0]).is_ok();
    if taken_back || uids() != [ids.uid; 3] || gids() != [ids.gid; 3] || !are_groups(&ids.groups)? {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(())
}

/// Which keyring the calling thread's session has; zero where the kernel has none.
pub(super) fn session_keyring() -> i64 {
    const GET_KEYRING_ID: libc::c_int = 0;
    const SESSION_KEYRING: libc::c_int = -3;
    // SAFETY: numbers only.
    unsafe { libc::syscall(libc::SYS_keyctl, GET_KEYRING_ID, SESSION_KEYRING, 0) as i64 }.max(0)
}

/// Gives a process that is about to become a program a session keyring of its own, empty and the
/// user's. Whoever has a keyring may read the keys in it, whoever they belong to.
pub(super) fn leave_keyring() -> io::Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: a null name asks for a new keyring without one.
    let joined = unsafe {
        libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, ptr::null::<libc::c_char>())
    };
    if joined >= 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    // A kernel, or a container's filter of system calls, that has no keyrings.
    let none = [libc::ENOSYS, libc::EPERM, libc::EACCES, libc::EOPNOTSUPP];
    if error.raw_os_error().is_some_and(|code| none.contains(&code)) { Ok(()) } else { Err(error) }
}

/// From the third descriptor on, nothing is open in the program that this process becomes.
pub(super) fn close_all_but_standard() -> io::Result<()> {
    const FIRST: libc::c_uint = 3;
    // SAFETY: numbers only. Descriptors stay open until the program is there.
    let closed = unsafe {
        libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    if closed == 0 {
        return Ok(());
    }
    // Before Linux 5.11. Each that could be open is marked.
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure can be written to.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    for descriptor in FIRST as libc::c_int..limit.rlim_cur.min(1 << 20) as libc::c_int {
        // SAFETY: numbers only; one that isn't open is an error without consequence.
        unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

/// What kept a thread from becoming a user.
enum Failure {
    System(io::Error),
    Found(String),
}

impl Failure {
    fn into_error(self, ids: &Ids) -> Error {
        match self {
            // The capability is there, so a user namespace or the like is in the way.
            Self::System(source) => Error::System { what: "become another user", source },
            Self::Found(found) => mismatch(ids, found),
        }
    }
}

fn no_capabilities(source: io::Error) -> Error {
    Error::System { what: "ask for the thread's capabilities", source }
}

fn mismatch(ids: &Ids, found: String) -> Error {
    Error::Mismatch { wanted: format!("user {} with group {}", ids.uid, ids.gid), found }
}

fn become_ids(ids: &Ids, way_back: u32) -> Result<(), Failure> {
    set_groups(&ids.groups).map_err(Failure::System)?;
    set(number::SETRESGID, [ids.gid; 3]).map_err(Failure::System)?;
    set(number::SETRESUID, ids.entered_uids(way_back)).map_err(Failure::System)
}

fn set(call: libc::c_long, ids: [u32; 3]) -> io::Result<()> {
    // SAFETY: the call takes three numbers.
    done(unsafe { libc::syscall(call, ids[0], ids[1], ids[2]) })
}

fn set_groups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: the pointer is to as many groups as are said.
    done(unsafe { libc::syscall(number::SETGROUPS, groups.len(), groups.as_ptr()) })
}

fn done(result: libc::c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn uids() -> [u32; 3] {
    let mut ids = [ASK; 3];
    let [real, effective, saved] = &mut ids;
    // SAFETY: three numbers that can be written to. It can't fail otherwise.
    unsafe { libc::getresuid(real, effective, saved) };
    ids
}

fn gids() -> [u32; 3] {
    let mut ids = [ASK; 3];
    let [real, effective, saved] = &mut ids;
    // SAFETY: as above.
    unsafe { libc::getresgid(real, effective, saved) };
    ids
}

fn groups() -> Result<Vec<u32>, Error> {
    let failed = |source| Error::System { what: "ask for the thread's groups", source };
    let mut few = [MaybeUninit::uninit(); FEW];
    if let Some(groups) = groups_into(&mut few).map_err(failed)? {
        return Ok(groups.to_vec());
    }
    let mut many = vec![MaybeUninit::uninit(); MOST_GROUPS];
    Ok(groups_into(&mut many).map_err(failed)?.unwrap_or_default().to_vec())
}

/// The thread's groups; nothing if there is no room for them.
fn groups_into(room: &mut [MaybeUninit<u32>]) -> io::Result<Option<&[u32]>> {
    // SAFETY: there is room for as many groups as are said.
    let count = unsafe { libc::getgroups(room.len() as libc::c_int, room.as_mut_ptr().cast()) };
    match usize::try_from(count) {
        // SAFETY: so many were written.
        Ok(count) => Ok(Some(unsafe { room[..count].assume_init_ref() })),
        Err(_) => {
            let error = io::Error::last_os_error();
            if error.raw_os_error() == Some(libc::EINVAL) { Ok(None) } else { Err(error) }
        }
    }
}

/// Whether the thread is in exactly these groups. Most users are in few, and those are compared
/// without memory of their own: between fork and exec there is none to be had.
fn are_groups(expected: &[u32]) -> io::Result<bool> {
    let mut few = [MaybeUninit::uninit(); FEW];
    if expected.len() <= few.len() {
        // Where they don't fit they are more than expected.
        return Ok(groups_into(&mut few)?.is_some_and(|groups| groups == expected));
    }
    let mut many = vec![MaybeUninit::uninit(); expected.len()];
    Ok(groups_into(&mut many)?.is_some_and(|groups| groups == expected))
}

/// The ids that count for files follow the effective ones in the same system call, so they are
/// not looked at each time. Afterwards somebody could set them apart.
fn check_file_system_ids(uid: u32, gid: u32) -> Result<(), String> {
    // SAFETY: an id that is none changes nothing; the call returns the one that is.
    let found =
        unsafe { (libc::syscall(number::SETFSUID, ASK), libc::syscall(number::SETFSGID, ASK)) };
    // On 32 bits a large id is negative, so it is compared as what it is.
    if (found.0 as u32, found.1 as u32) == (uid, gid) {
        Ok(())
    } else {
        Err(format!("user {} and group {} towards files", found.0, found.1))
    }
}

/// The three sets of capset(2), a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Capabilities {
    effective: u64,
    permitted: u64,
    inheritable: u64,
}

/// What capget(2) and capset(2) take, of version 3.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    thread: libc::c_int,
}

impl CapabilityHeader {
    /// The calling thread.
    const fn new() -> Self {
        Self { version: 0x2008_0522, thread: 0 }
    }
}

impl Capabilities {
    fn get() -> io::Result<Self> {
        let mut header = CapabilityHeader::new();
        let mut sets = [[0_u32; 3]; 2];
        // SAFETY: the header is one of version 3, for which two triples are written.
        done(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) })?;
        let both = |which: usize| u64::from(sets[1][which]) << 32 | u64::from(sets[0][which]);
        Ok(Self { effective: both(0), permitted: both(1), inheritable: both(2) })
    }

    fn set(self) -> io::Result<()> {
        let mut header = CapabilityHeader::new();
        let half = |shift: u32| {
            [self.effective, self.permitted, self.inheritable].map(|set| (set >> shift) as u32)
        };
        let sets = [half(0), half(32)];
        // SAFETY: the header is one of version 3, for which two triples are read.
        done(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr()) })
    }

    fn allow_becoming(self) -> Result<(), Error> {
        for (bit, name) in [(CAP_SETUID, "CAP_SETUID"), (CAP_SETGID, "CAP_SETGID")] {
            if self.effective & bit == 0 {
                return Err(Error::Privilege {
                    what: "becoming another user",
                    name,
                    advice: "run this as root, or as a service with \
                             AmbientCapabilities=CAP_SETUID CAP_SETGID",
                });
            }
        }
        Ok(())
    }
}

/// Which of these are ambient. Only inheritable ones can be, and most programs have none.
fn ambient_among(inheritable: u64) -> u64 {
    if inheritable == 0 {
        return 0;
    }
    // SAFETY: numbers only. For a capability that the kernel doesn't know it is -1.
    let is_set = |bit: u32| unsafe {
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_IS_SET, bit, 0, 0) == 1
    };
    (0..64)
        .filter(|&bit| inheritable & (1 << bit) != 0 && is_set(bit))
        .fold(0, |set, bit| set | 1 << bit)
}

fn raise_ambient(set: u64) -> io::Result<()> {
    for bit in (0..64_u32).filter(|bit| set & (1 << bit) != 0) {
        // SAFETY: numbers only.
        let raised =
            unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, bit, 0, 0) };
        if raised != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
