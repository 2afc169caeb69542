//! Unix: PAM checks the password, the name service knows the user, and system calls do the rest.

mod child;
mod nss;
mod pam;
#[cfg_attr(target_os = "linux", path = "thread_linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "thread_other.rs")]
mod thread;

use std::{
    ffi::OsString,
    io,
    os::unix::net::UnixDatagram,
    sync::{Mutex, PoisonError},
};

use quarry_cred::{Account, AccountForm, Secret};

use crate::{Error, Identity, Logon, LogonType, PrincipalId};

pub(crate) use child::spawn;
pub(crate) use std::process::Child;
pub(crate) use thread::Base;
pub use thread::check_privileges;

/// The numbers that make a thread or process somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) uid: libc::uid_t,
    pub(crate) gid: libc::gid_t,
    /// In ascending order and each once, as the kernel keeps them.
    pub(crate) groups: Vec<libc::gid_t>,
}

impl Ids {
    fn new(uid: libc::uid_t, gid: libc::gid_t, mut groups: Vec<libc::gid_t>) -> Self {
        groups.sort_unstable();
        groups.dedup();
        Self { uid, gid, groups }
    }
}

/// A user who is logged on.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) ids: Ids,
    /// What PAM's modules want in the environment of the user's programs.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// What PAM's modules said after the password was proven right.
    pub(crate) said: Vec<String>,
    /// The keyring that came with the session, which its programs are to keep.
    keyring: Option<i64>,
    /// Closed when the token is dropped.
    session: Mutex<Option<pam::Session>>,
}

impl Token {
    /// Whether the calling thread has the keyring of the token's session. A session that another
    /// thread opened gave it to that one.
    fn is_keyring_here(&self) -> bool {
        self.keyring.is_some_and(|keyring| keyring == thread::session_keyring())
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let session = self.session.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // Modules expect to be whoever opened the session.
        crate::stack::as_base(|| drop(session));
    }
}

/// Logs a user on.
pub(crate) fn log_on(logon: &Logon, secret: &Secret) -> Result<(Token, Identity), Error> {
    if started_with_privileges() {
        return Err(Error::Unsupported {
            what: "logging on from a program with the set-user-id bit or file capabilities",
            why: "its caller would choose the rules; start it with the privileges instead",
        });
    }
    if logon.logon_type == LogonType::NewCredentials {
        return current();
    }
    let session = logon.session
        && matches!(
            logon.logon_type,
            LogonType::Interactive | LogonType::Batch | LogonType::Service
        );
    let name = system_name(&logon.account);
    let accepted = pam::accept(logon, &name, secret)?;
    let known = nss::user_by_name(&accepted.user)?
        .ok_or_else(|| Error::UnknownToSystem { user: name.clone() })?;
    let mut ids = Ids::new(known.uid, known.gid, nss::groups_of(&accepted.user, known.gid)?);
    let keyring = thread::session_keyring();
    let said = accepted.said();
    let session = session.then(|| accepted.open_session(&mut ids)).transpose()?;
    let said = session.as_ref().map_or(said, pam::Session::said);
    let environment = session.as_ref().map(pam::Session::environment).unwrap_or_default();
    let identity = identity_of(&ids, known, logon.account.authority());
    let keyring =
        Some(thread::session_keyring()).filter(|&new| session.is_some() && new != keyring);
    Ok((Token { ids, environment, said, keyring, session: Mutex::new(session) }, identity))
}

/// Whether an account may be used now, without its password, and who it is.
pub(crate) fn check(logon: &Logon) -> Result<Identity, Error> {
    let name = system_name(&logon.account);
    let user = pam::check(logon, &name)?;
    identity_by_name(&user, logon.account.authority())?.ok_or(Error::UnknownToSystem { user: name })
}

pub(crate) fn check_set_up(logon: &Logon) -> Result<(), Error> {
    pam::check_set_up(logon)
}

/// Who an account is, by the name service.
pub(crate) fn look_up(account: &Account) -> Result<Option<Identity>, Error> {
    identity_by_name(&system_name(account), account.authority())
}

fn identity_by_name(name: &str, asked: Option<&str>) -> Result<Option<Identity>, Error> {
    let Some(known) = nss::user_by_name(name)? else { return Ok(None) };
    let ids = Ids::new(known.uid, known.gid, nss::groups_of(name, known.gid)?);
    Ok(Some(identity_of(&ids, known, asked)))
}

/// The names of a user's groups, as far as they have any.
pub(crate) fn group_names(identity: &Identity) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for group in identity.groups() {
        if let PrincipalId::Unix(gid) = group {
            names.extend(nss::group_name(*gid)?);
        }
    }
    Ok(names)
}

/// Whoever this process is.
pub(crate) fn current() -> Result<(Token, Identity), Error> {
    let ids = thread::effective_ids()?;
    let known = nss::user_by_id(ids.uid)?.unwrap_or_else(|| nss::User {
        name: ids.uid.to_string(),
        uid: ids.uid,
        gid: ids.gid,
        home: None,
        shell: None,
    });
    let identity = identity_of(&ids, known, None);
    let token = Token {
        ids,
        environment: Vec::new(),
        said: Vec::new(),
        keyring: None,
        session: Mutex::new(None),
    };
    Ok((token, identity))
}

/// Whether this program got privileges from its file, by the set-user-id or set-group-id bit or by
/// file capabilities. Whoever started it may then not be trusted with its options, its environment
/// or its open files, and logging on is refused.
pub fn started_with_privileges() -> bool {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: takes a number and returns one.
        unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
    }
    #[cfg(not(target_os = "linux"))]
    {
        // SAFETY: takes nothing and returns a number.
        unsafe { libc::issetugid() != 0 }
    }
}

/// Writes a line to syslog, as `authpriv.notice`.
pub(crate) fn log(program: &str, text: &str) -> io::Result<()> {
    const AUTHPRIV_NOTICE: u32 = 10 << 3 | 5;
    let place = if cfg!(target_os = "macos") { "/var/run/syslog" } else { "/dev/log" };
    let line = format!("<{AUTHPRIV_NOTICE}>{program}[{}]: {text}", std::process::id());
    let socket = UnixDatagram::unbound()?;
    // A full queue must not hold a logon up.
    socket.set_nonblocking(true)?;
    socket.send_to(line.as_bytes(), place).map(drop)
}

/// Writes to standard error, whoever may hold its lock.
pub(crate) fn last_word(text: &str) {
    // SAFETY: the pointer and the length are those of one text.
    unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
}

/// The account as PAM and the name service write it. `.\ann` is an account of this machine.
fn system_name(account: &Account) -> String {
    match account.form() {
        AccountForm::DownLevel if account.authority() == Some(".") => account.user().to_owned(),
        _ => account.to_string(),
    }
}

fn identity_of(ids: &Ids, known: nss::User, asked: Option<&str>) -> Identity {
    let domain = match known.name.split_once('\\') {
        Some((domain, _)) => Some(domain.to_owned()),
        None => asked.filter(|&domain| domain != ".").map(str::to_owned),
    };
    let others = ids.groups.iter().filter(|&&group| group != ids.gid);
    Identity {
        user: known.name,
        domain,
        id: PrincipalId::Unix(ids.uid),
        groups: std::iter::once(&ids.gid).chain(others).map(|&id| PrincipalId::Unix(id)).collect(),
        home: known.home,
        shell: known.shell,
    }
}
