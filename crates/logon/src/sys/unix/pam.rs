//! PAM, loaded when it is first needed: a program that never logs anybody on runs where there is
//! no PAM, and builds where its headers are missing.

use std::{
    ffi::{CStr, CString, OsStr, OsString, c_char, c_int, c_void},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
    ptr,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicPtr, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use quarry_cred::Secret;

use super::Ids;
use crate::{Error, Logon, error::Refusal};

#[cfg(target_os = "linux")]
#[rustfmt::skip]
mod code {
    //! Linux-PAM's numbers, from `security/_pam_types.h`.
    use std::ffi::{CStr, c_int};
    pub(super) const LIBRARY: &CStr = c"libpam.so.0";
    pub(super) const SUCCESS: c_int = 0;
    pub(super) const OPEN_ERR: c_int = 1;
    pub(super) const SYMBOL_ERR: c_int = 2;
    pub(super) const SERVICE_ERR: c_int = 3;
    pub(super) const SYSTEM_ERR: c_int = 4;
    pub(super) const BUF_ERR: c_int = 5;
    pub(super) const NEW_AUTHTOK_REQD: c_int = 12;
    pub(super) const CONV_ERR: c_int = 19;
    pub(super) const ABORT: c_int = 26;
    pub(super) const DISALLOW_NULL_AUTHTOK: c_int = 1;
    pub(super) const ESTABLISH_CRED: c_int = 2;
    pub(super) const DELETE_CRED: c_int = 4;
    pub(super) const SILENT: c_int = 0x8000;
    /// An item of Linux-PAM only: what is called instead of sleeping.
    pub(super) const FAIL_DELAY: c_int = 10;
}

#[cfg(not(target_os = "linux"))]
#[rustfmt::skip]
mod code {
    //! OpenPAM's numbers, from `security/pam_constants.h`.
    use std::ffi::{CStr, c_int};
    pub(super) const LIBRARY: &CStr =
        if cfg!(target_vendor = "apple") { c"/usr/lib/libpam.2.dylib" } else { c"libpam.so" };
    pub(super) const SUCCESS: c_int = 0;
    pub(super) const OPEN_ERR: c_int = 1;
    pub(super) const SYMBOL_ERR: c_int = 2;
    pub(super) const SERVICE_ERR: c_int = 3;
    pub(super) const SYSTEM_ERR: c_int = 4;
    pub(super) const BUF_ERR: c_int = 5;
    pub(super) const CONV_ERR: c_int = 6;
    pub(super) const NEW_AUTHTOK_REQD: c_int = 10;
    pub(super) const ABORT: c_int = 25;
    pub(super) const SILENT: c_int = c_int::MIN;
    pub(super) const DISALLOW_NULL_AUTHTOK: c_int = 1;
    pub(super) const ESTABLISH_CRED: c_int = 1;
    pub(super) const DELETE_CRED: c_int = 2;
}

const USER: c_int = 2;
const TTY: c_int = 3;
const RHOST: c_int = 4;
const RUSER: c_int = 8;
const PROMPT_ECHO_OFF: c_int = 1;
const ERROR_MSG: c_int = 3;
const TEXT_INFO: c_int = 4;

/// How often the password is given to modules that ask. A stack may have several that check it.
const MOST_ANSWERS: u32 = 8;
/// Most messages of one conversation (`PAM_MAX_NUM_MSG`).
const MOST_MESSAGES: usize = 32;
/// Most variables that are taken from PAM.
const MOST_VARIABLES: usize = 1024;

/// A user whose password PAM's service has accepted, and whose account may be used.
pub(super) struct Accepted {
    handle: Handle,
    /// The name that the modules settled on.
    pub(super) user: String,
}

impl Accepted {
    /// What the modules have said so far.
    pub(super) fn said(&self) -> Vec<String> {
        self.handle.said()
    }
}

/// Asks PAM whether the password is right and the account may be used.
pub(super) fn accept(logon: &Logon, name: &str, secret: &Secret) -> Result<Accepted, Error> {
    let mut handle = Handle::of(logon, name)?;
    let status = handle.authenticate(secret);
    // Whatever depends on the account is a refusal: here the password has not been proven yet.
    match status {
        code::SUCCESS => {}
        status if is_not_set_up(status) => return Err(handle.not_set_up(logon, status)),
        _ => {
            let mut refusal = Refusal::new(handle.text(status));
            refusal.delay = handle.talk.delay();
            return Err(Error::Refused(refusal));
        }
    }
    // The password is proven: from here on what the modules say is for whoever gave it.
    handle.check_account(logon)?;
    let user = handle.user().unwrap_or_else(|| name.to_owned());
    Ok(Accepted { handle, user })
}

/// Asks PAM whether an account may be used, without its password, and for the name that the modules
/// settle on.
pub(super) fn check(logon: &Logon, name: &str) -> Result<String, Error> {
    let mut handle = Handle::of(logon, name)?;
    handle.check_account(logon)?;
    Ok(handle.user().unwrap_or_else(|| name.to_owned()))
}

/// Whether there is a PAM here with a logon's service.
pub(super) fn check_set_up(logon: &Logon) -> Result<(), Error> {
    if !is_service_there(&logon.service) {
        return Err(Error::NotSetUp {
            what: format!("PAM has no service {}", logon.service),
            reason: format!("there is no file /etc/pam.d/{}", logon.service),
        });
    }
    Pam::get().map(drop)
}

/// Whether a status says that PAM itself doesn't work, whoever the user is.
fn is_not_set_up(status: c_int) -> bool {
    [
        code::OPEN_ERR,
        code::SYMBOL_ERR,
        code::SERVICE_ERR,
        code::SYSTEM_ERR,
        code::BUF_ERR,
        code::ABORT,
    ]
    .contains(&status)
}

impl Accepted {
    /// Opens a session. Modules may give the user more groups meanwhile, which go into `ids`.
    pub(super) fn open_session(self, ids: &mut Ids) -> Result<Session, Error> {
        let Self { mut handle, user: _ } = self;
        let failed = |handle: &Handle, step: &str, status| Error::NotSetUp {
            what: format!("PAM did not {step}"),
            reason: handle.text(status),
        };
        // What gives groups adds to those that the process is in.
        let before = groups_of_process()?;
        if before != ids.groups {
            set_groups_of_process(&ids.groups)?;
        }
        let status = handle.call(handle.pam.setcred, code::SILENT | code::ESTABLISH_CRED);
        let given = groups_of_process()?;
        if given != before {
            set_groups_of_process(&before)?;
        }
        if status != code::SUCCESS {
            return Err(failed(&handle, "establish the user's credentials", status));
        }
        *ids = Ids::new(ids.uid, ids.gid, given);
        let status = handle.call(handle.pam.open_session, 0);
        if status != code::SUCCESS {
            handle.call(handle.pam.setcred, code::SILENT | code::DELETE_CRED);
            return Err(failed(&handle, "open a session", status));
        }
        Ok(Session { handle })
    }
}

/// An open session, closed on drop.
#[derive(Debug)]
pub(super) struct Session {
    handle: Handle,
}

impl Session {
    /// What the modules have said, from the check of the password to the opening of the session.
    pub(super) fn said(&self) -> Vec<String> {
        self.handle.said()
    }

    /// What the modules want in the environment of the user's programs.
    pub(super) fn environment(&self) -> Vec<(OsString, OsString)> {
        self.handle.environment()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Nothing can be done about a session that doesn't close.
        self.handle.call(self.handle.pam.close_session, code::SILENT);
        self.handle.call(self.handle.pam.setcred, code::SILENT | code::DELETE_CRED);
    }
}

#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct Response {
    text: *mut c_char,
    code: c_int,
}

type Converse = extern "C" fn(c_int, *mut *const Message, *mut *mut Response, *mut c_void) -> c_int;

#[repr(C)]
struct Conversation {
    converse: Converse,
    data: *mut c_void,
}

#[repr(C)]
struct Opaque([u8; 0]);

type Start = unsafe extern "C" fn(
    *const c_char,
    *const c_char,
    *const Conversation,
    *mut *mut Opaque,
) -> c_int;
type Step = unsafe extern "C" fn(*mut Opaque, c_int) -> c_int;
type SetItem = unsafe extern "C" fn(*mut Opaque, c_int, *const c_void) -> c_int;
type GetItem = unsafe extern "C" fn(*const Opaque, c_int, *mut *const c_void) -> c_int;
type StrError = unsafe extern "C" fn(*mut Opaque, c_int) -> *const c_char;
type GetEnvList = unsafe extern "C" fn(*mut Opaque) -> *mut *mut c_char;

/// The library's functions.
struct Pam {
    start: Start,
    end: Step,
    authenticate: Step,
    acct_mgmt: Step,
    setcred: Step,
    open_session: Step,
    close_session: Step,
    set_item: SetItem,
    get_item: GetItem,
    strerror: StrError,
    getenvlist: GetEnvList,
}

impl std::fmt::Debug for Pam {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pam")
    }
}

impl Pam {
    fn get() -> Result<&'static Self, Error> {
        static PAM: OnceLock<Result<Pam, String>> = OnceLock::new();
        PAM.get_or_init(Self::load).as_ref().map_err(|reason| Error::NotSetUp {
            what: "there is no PAM on this system (Debian: libpam0g)".to_owned(),
            reason: reason.clone(),
        })
    }

    /// The library stays loaded until the process ends.
    fn load() -> Result<Self, String> {
        // SAFETY: the name ends with a NUL. Loading runs the library's initialisers, as linking
        // with it would.
        let library =
            unsafe { libc::dlopen(code::LIBRARY.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if library.is_null() {
            // SAFETY: after a failure it is a text that lives until the next call of the family
            // by this thread, and it is copied here.
            let reason = unsafe { libc::dlerror() };
            return Err(if reason.is_null() {
                "it can't be loaded".to_owned()
            } else {
                // SAFETY: as said, it ends with a NUL.
                unsafe { CStr::from_ptr(reason) }.to_string_lossy().into_owned()
            });
        }
        macro_rules! function {
            ($name:literal as $type:ty) => {{
                // SAFETY: the library is loaded and the name ends with a NUL.
                let address = unsafe { libc::dlsym(library, $name.as_ptr()) };
                if address.is_null() {
                    return Err(format!("it lacks {}", $name.to_string_lossy()));
                }
                // SAFETY: the function of that name has the type of the field that this goes to,
                // by PAM's headers (X/Open XSSO).
                unsafe { std::mem::transmute::<*mut c_void, $type>(address) }
            }};
        }
        Ok(Self {
            start: function!(c"pam_start" as Start),
            end: function!(c"pam_end" as Step),
            authenticate: function!(c"pam_authenticate" as Step),
            acct_mgmt: function!(c"pam_acct_mgmt" as Step),
            setcred: function!(c"pam_setcred" as Step),
            open_session: function!(c"pam_open_session" as Step),
            close_session: function!(c"pam_close_session" as Step),
            set_item: function!(c"pam_set_item" as SetItem),
            get_item: function!(c"pam_get_item" as GetItem),
            strerror: function!(c"pam_strerror" as StrError),
            getenvlist: function!(c"pam_getenvlist" as GetEnvList),
        })
    }
}

/// A transaction with PAM.
#[derive(Debug)]
struct Handle {
    pam: &'static Pam,
    raw: *mut Opaque,
    status: c_int,
    /// PAM has its address.
    talk: Box<Talk>,
}

// SAFETY: a handle may be used by any thread, by one at a time; all that use it take it as their
// own or by `&mut`, but for calls that only read.
unsafe impl Send for Handle {}

/// What the conversation with PAM is about.
#[derive(Debug, Default)]
struct Talk {
    /// The password, while it may be given to who asks.
    secret: AtomicPtr<Secret>,
    answers: AtomicU32,
    /// The longest delay that a module asked for, in microseconds.
    delay: AtomicU32,
    /// What the modules said.
    said: Mutex<Vec<String>>,
}

impl Talk {
    fn delay(&self) -> Duration {
        Duration::from_micros(self.delay.load(Relaxed).into())
    }
}

impl Handle {
    /// A transaction of a logon's service about a user.
    fn of(logon: &Logon, name: &str) -> Result<Self, Error> {
        check_set_up(logon)?;
        let mut handle = Self::start(&logon.service, name)?;
        handle.set_text(TTY, logon.terminal.as_deref())?;
        handle.set_text(RUSER, logon.asked_by.as_deref())?;
        handle.set_text(RHOST, logon.asked_from.as_deref())?;
        Ok(handle)
    }

    /// PAM's account step: whether the account may be used now.
    fn check_account(&mut self, logon: &Logon) -> Result<(), Error> {
        match self.call(self.pam.acct_mgmt, code::DISALLOW_NULL_AUTHTOK) {
            code::SUCCESS => Ok(()),
            code::NEW_AUTHTOK_REQD => Err(Error::PasswordExpired { said: self.said().join("; ") }),
            status if is_not_set_up(status) => Err(self.not_set_up(logon, status)),
            status => Err(Error::Restricted(Refusal::new(self.text(status)))),
        }
    }

    fn start(service: &str, user: &str) -> Result<Self, Error> {
        let pam = Pam::get()?;
        let nul = |_| Error::NotSetUp {
            what: "PAM can't be asked".to_owned(),
            reason: "a name contains a NUL".to_owned(),
        };
        let service = CString::new(service).map_err(nul)?;
        let user = CString::new(user).map_err(nul)?;
        let mut talk = Box::<Talk>::default();
        let conversation = Conversation { converse, data: (&raw mut *talk).cast() };
        let mut raw = ptr::null_mut();
        // SAFETY: the texts end with a NUL; PAM copies them and the conversation, whose data lives
        // in a box of the handle and so longer than the transaction.
        let status =
            unsafe { (pam.start)(service.as_ptr(), user.as_ptr(), &conversation, &mut raw) };
        if status != code::SUCCESS || raw.is_null() {
            return Err(Error::NotSetUp {
                what: "PAM can't be asked".to_owned(),
                reason: format!("pam_start: {status}"),
            });
        }
        let handle = Self { pam, raw, status, talk };
        #[cfg(target_os = "linux")]
        {
            let instead: extern "C" fn(c_int, libc::c_uint, *mut c_void) = note_delay;
            // SAFETY: the item is a function of this type.
            unsafe { (pam.set_item)(raw, code::FAIL_DELAY, instead as *const c_void) };
        }
        Ok(handle)
    }

    fn set_text(&mut self, item: c_int, text: Option<&str>) -> Result<(), Error> {
        let Some(text) = text.and_then(|text| CString::new(text).ok()) else { return Ok(()) };
        // SAFETY: the transaction is open, and PAM copies the text.
        self.status = unsafe { (self.pam.set_item)(self.raw, item, text.as_ptr().cast()) };
        match self.status {
            code::SUCCESS => Ok(()),
            status => Err(Error::NotSetUp {
                what: "PAM can't be asked".to_owned(),
                reason: self.text(status),
            }),
        }
    }

    fn authenticate(&mut self, secret: &Secret) -> c_int {
        self.talk.secret.store(ptr::from_ref(secret).cast_mut(), Relaxed);
        let status = self.call(self.pam.authenticate, code::SILENT | code::DISALLOW_NULL_AUTHTOK);
        self.talk.secret.store(ptr::null_mut(), Relaxed);
        status
    }

    fn call(&mut self, step: Step, flags: c_int) -> c_int {
        // SAFETY: the transaction is open, and the steps take it and flags.
        self.status = unsafe { step(self.raw, flags) };
        self.status
    }

    /// Whom the transaction is about, by what the modules settled on.
    fn user(&self) -> Option<String> {
        let mut item = ptr::null();
        // SAFETY: the transaction is open, and the item is a text that it owns.
        let status = unsafe { (self.pam.get_item)(self.raw, USER, &mut item) };
        if status != code::SUCCESS || item.is_null() {
            return None;
        }
        // SAFETY: it ends with a NUL and is copied here.
        unsafe { CStr::from_ptr(item.cast()) }.to_str().ok().map(str::to_owned)
    }

    /// What a status means, and what the modules said.
    fn text(&self, status: c_int) -> String {
        // SAFETY: the transaction is open, and the text is static or the transaction's.
        let text = unsafe { (self.pam.strerror)(self.raw, status) };
        let mut text = if text.is_null() {
            format!("PAM's status {status}")
        } else {
            // SAFETY: it ends with a NUL and is copied here.
            unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
        };
        for said in self.said() {
            text.push_str("; ");
            text.push_str(&said);
        }
        text
    }

    /// What the modules have said: at most 32 messages of 200 characters.
    fn said(&self) -> Vec<String> {
        self.talk.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn not_set_up(&self, logon: &Logon, status: c_int) -> Error {
        Error::NotSetUp {
            what: format!("PAM's service {} does not work", logon.service),
            reason: self.text(status),
        }
    }

    fn environment(&self) -> Vec<(OsString, OsString)> {
        let mut variables = Vec::new();
        // SAFETY: the transaction is open. The list and each text in it are ours to free.
        let list = unsafe { (self.pam.getenvlist)(self.raw) };
        if list.is_null() {
            return variables;
        }
        for at in 0.. {
            // SAFETY: the list ends with a null pointer, and this goes no further.
            let text = unsafe { *list.add(at) };
            if text.is_null() {
                break;
            }
            // SAFETY: it is a text with a NUL at its end.
            let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
            if let Some(equals) = bytes.iter().position(|&byte| byte == b'=')
                && variables.len() < MOST_VARIABLES
            {
                let (name, value) = (&bytes[..equals], &bytes[equals + 1..]);
                variables
                    .push((OsStr::from_bytes(name).to_owned(), OsString::from_vec(value.to_vec())));
            }
            // SAFETY: it was allocated for us, and is not used any more.
            unsafe { libc::free(text.cast()) };
        }
        // SAFETY: the same for the list.
        unsafe { libc::free(list.cast()) };
        variables
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the transaction is open, and this is the last use of it.
        unsafe { (self.pam.end)(self.raw, self.status) };
    }
}

/// Answers PAM. No panic can come out of here: nothing in it does.
extern "C" fn converse(
    count: c_int,
    messages: *mut *const Message,
    responses: *mut *mut Response,
    data: *mut c_void,
) -> c_int {
    let count = usize::try_from(count).unwrap_or(0);
    if count == 0 || count > MOST_MESSAGES || messages.is_null() || responses.is_null() {
        return code::CONV_ERR;
    }
    // SAFETY: PAM hands back the address that it was started with, of a `Talk` that lives as long
    // as the transaction.
    let talk = unsafe { &*data.cast::<Talk>() };
    // SAFETY: sizes and counts only; the memory is zeroed, so all answers are null.
    let answers = unsafe { libc::calloc(count, size_of::<Response>()) }.cast::<Response>();
    if answers.is_null() {
        return code::BUF_ERR;
    }
    for at in 0..count {
        // SAFETY: there are `count` messages, by an array of pointers (Linux-PAM and OpenPAM).
        let message = unsafe { &**messages.add(at) };
        let answered = match message.style {
            PROMPT_ECHO_OFF => answer(talk),
            ERROR_MSG | TEXT_INFO => {
                note(talk, message.text);
                Some(ptr::null_mut())
            }
            _ => None,
        };
        let Some(text) = answered else {
            forget_answers(answers, count);
            return code::CONV_ERR;
        };
        // SAFETY: there is room for `count` answers.
        unsafe { (*answers.add(at)).text = text };
    }
    // SAFETY: PAM wants the address of the answers there, and frees them.
    unsafe { *responses = answers };
    code::SUCCESS
}

/// A copy of the password for PAM to free, if there is one to be given.
fn answer(talk: &Talk) -> Option<*mut c_char> {
    let secret = talk.secret.load(Relaxed);
    if secret.is_null() || talk.answers.fetch_add(1, Relaxed) >= MOST_ANSWERS {
        return None;
    }
    // SAFETY: it is set from a reference, and taken back before that ends.
    let secret = unsafe { &*secret }.expose();
    // SAFETY: sizes only; the memory is zeroed, so that the text ends with a NUL.
    let copy = unsafe { libc::calloc(secret.len() + 1, 1) };
    if copy.is_null() {
        return None;
    }
    // SAFETY: there is room for the text, and the two don't overlap.
    unsafe { ptr::copy_nonoverlapping(secret.as_ptr(), copy.cast(), secret.len()) };
    Some(copy.cast())
}

fn note(talk: &Talk, text: *const c_char) {
    if text.is_null() {
        return;
    }
    // SAFETY: a message's text ends with a NUL.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let mut said = talk.said.lock().unwrap_or_else(PoisonError::into_inner);
    if said.len() < MOST_MESSAGES {
        let text: String = text.trim().chars().take(200).collect();
        if !text.is_empty() {
            said.push(text);
        }
    }
}

/// Wipes and frees answers that PAM does not get.
fn forget_answers(answers: *mut Response, count: usize) {
    for at in 0..count {
        // SAFETY: there are `count` answers, whose texts are null or ours with a NUL at the end.
        unsafe {
            let text = (*answers.add(at)).text;
            if !text.is_null() {
                for byte in 0..libc::strlen(text) {
                    ptr::write_volatile(text.add(byte), 0);
                }
                libc::free(text.cast());
            }
        }
    }
    // SAFETY: they were allocated by the caller of this, who does not use them any more.
    unsafe { libc::free(answers.cast()) };
}

/// Called by Linux-PAM instead of sleeping: whoever logs on sleeps, see `Logon::refusal_delay`.
#[cfg(target_os = "linux")]
extern "C" fn note_delay(_: c_int, microseconds: libc::c_uint, data: *mut c_void) {
    if !data.is_null() {
        // SAFETY: it is the conversation's data, as in `converse`.
        unsafe { &*data.cast::<Talk>() }.delay.fetch_max(microseconds, Relaxed);
    }
}

/// Whether PAM has rules for the service. Without any, those of `other` would apply, which on most
/// systems refuse everybody: a mistake in setting up would look like a wrong password.
fn is_service_there(service: &str) -> bool {
    let etc = Path::new("/etc/pam.d");
    // A system with one file for all services is left to PAM.
    !etc.is_dir()
        || [etc, Path::new("/usr/lib/pam.d"), Path::new("/usr/local/etc/pam.d")]
            .iter()
            .any(|folder| !service.contains('/') && folder.join(service).exists())
}

fn groups_of_process() -> Result<Vec<libc::gid_t>, Error> {
    Ok(super::thread::effective_ids()?.groups)
}

/// Sets the groups of every thread: the modules' own calls do so too.
fn set_groups_of_process(groups: &[libc::gid_t]) -> Result<(), Error> {
    // SAFETY: the pointer is to as many groups as are said.
    let done = unsafe { libc::setgroups(groups.len() as _, groups.as_ptr()) };
    if done == 0 { Ok(()) } else { Err(Error::last("set the session's groups")) }
}
