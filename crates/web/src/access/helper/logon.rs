//! The process a logon: it checks one password, and from then on is that person where a file is to
//! be opened.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use quarry_cred::{Account, Credential, KerberosCredential, Secret};
use quarry_fleet::{Configuration, KerberosError, Tickets};
use quarry_logon::{Error, Identity, Logon, LogonType, PrincipalId, Token, log_refusal};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::process::{Signal, set_parent_process_death_signal};
use zeroize::Zeroizing;

use super::KERBEROS;
use super::channel::Channel;
use super::wire::{Answer, Answered, Asked, Hidden, Request, bounded};

/// Does what the helper asks until it closes its end: checks a password by a PAM service, once, and
/// then gets its Kerberos ticket, by the configuration that `kerberos` reads where one is asked for,
/// opens files as that person and asks about the account. It is killed with the helper.
///
/// # Errors
/// When the channel fails, or a frame on it is none.
pub fn serve_logon(
    channel: &Channel,
    service: &str,
    kerberos: impl Fn() -> Result<Configuration, String>,
) -> io::Result<()> {
    // A module that hangs would outlive a helper that is gone.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut logged_on = None;
    while let Some(packet) = channel.receive(None)? {
        let asked = Asked::decode(&packet.frame).map_err(io::Error::other)?;
        let (answer, file) = match (asked.request, &mut logged_on) {
            (Request::LogOn { account, password, from, ticket }, None) => {
                match log_on(account, password, from, service) {
                    Ok((mut person, answer)) => {
                        if ticket {
                            person.credentials = credentials(account, person.user(), password);
                        }
                        logged_on = Some(person);
                        (answer, None)
                    }
                    Err(answer) => (answer, None),
                }
            }
            (Request::Ticket { .. }, Some(person)) => (person.ticket(&kerberos), None),
            (Request::Forget { .. }, Some(person)) => {
                person.credentials.clear();
                (Answer::Forgotten, None)
            }
            (Request::StillGood { .. }, Some(person)) => (person.still_good(), None),
            (Request::Open { path, .. }, Some(person)) => match person.open(path) {
                Ok(file) => (Answer::Opened, Some(file)),
                Err(answer) => (answer, None),
            },
            (Request::LogOff { .. }, _) => return Ok(()),
            _ => (Answer::Gone, None),
        };
        let answer = Answered { number: asked.number, answer };
        let frame = answer.encode().map_err(io::Error::other)?;
        channel.send(&frame, file.as_ref().map(AsFd::as_fd))?;
    }
    Ok(())
}

/// Somebody who is logged on.
struct Person {
    logon: Logon,
    token: Token,
    /// What a ticket is got with, by the names that the realm may know: until that is done.
    credentials: Vec<Credential>,
}

/// A password with the names that its account may have in a realm: the one that the modules settled on
/// if it tells a domain, since it is who signed in, and the one that was typed.
fn credentials(typed: &str, settled: &str, password: &str) -> Vec<Credential> {
    let account = |name: &str| name.parse::<Account>().ok();
    let settled = account(settled).filter(|account| account.authority().is_some());
    let accounts = settled.into_iter().chain(account(typed));
    let credential =
        |account| Some(Credential::new(account, Secret::new(password.to_owned()).ok()?));
    accounts.filter_map(credential).collect()
}

fn log_on(
    account: &str,
    password: &str,
    from: &str,
    service: &str,
) -> Result<(Person, Answer), Answer> {
    let account: Account = account.parse().map_err(|_| Answer::Refused)?;
    let secret = Secret::new(password.to_owned()).map_err(|_| Answer::Refused)?;
    let logon = Logon::new(account.clone())
        .logon_type(LogonType::Network)
        .service(service)
        .asked_from(Some(from.to_owned()));
    let token = logon.log_on(secret).map_err(|error| {
        if error.is_refusal() {
            // There may be no log; the refusal stands.
            let _ = log_refusal("quarry-web", &account, &error);
        }
        answer_of(&error)
    })?;
    // By number: the name may be another.
    if token.identity().id() == &PrincipalId::Unix(0) {
        return Err(Answer::Refused);
    }
    let groups = groups_of(token.identity())?;
    let user = token.identity().user().to_owned();
    // What is asked about later is who the modules settled on.
    let settled: Account = user.parse().map_err(|_| Answer::Refused)?;
    let logon = Logon::new(settled).logon_type(LogonType::Network).service(service);
    let person = Person { logon, token, credentials: Vec::new() };
    Ok((person, Answer::LoggedOn { logon: 0, user, groups }))
}

impl Person {
    fn user(&self) -> &str {
        self.token.identity().user()
    }

    /// Gets the ticket of the password, which is wiped.
    fn ticket(&mut self, kerberos: &impl Fn() -> Result<Configuration, String>) -> Answer {
        let credentials = std::mem::take(&mut self.credentials);
        let none = |why: String, is_counted| Answer::NoTicket {
            account: self.user().to_owned(),
            why: why.chars().take(1000).collect(),
            is_counted,
        };
        let configuration = match kerberos() {
            Ok(configuration) => configuration,
            Err(why) => return none(why, false),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return none(error.to_string(), false),
        };
        let mut last = KerberosError::NoRealm(self.user().to_owned());
        for credential in credentials {
            let credential = KerberosCredential::Password(credential);
            let tickets = Tickets::new(credential, configuration.clone(), KERBEROS, None);
            match runtime.block_on(tickets.granting()) {
                Ok(ticket) => {
                    let ticket = Hidden(Zeroizing::new(ticket.as_bytes().to_vec()));
                    return Answer::Ticket { ticket };
                }
                Err(error) => last = error,
            }
            // Only a name that is in no realm was tried at none.
            if !matches!(last, KerberosError::NoRealm(_)) {
                break;
            }
        }
        let is_counted =
            matches!(last, KerberosError::WrongPassword(_) | KerberosError::NoAnswer { .. });
        none(last.to_string(), is_counted)
    }

    fn still_good(&self) -> Answer {
        match self.logon.check() {
            // The same name may be somebody else's by now.
            Ok(identity) if identity.id() != self.token.identity().id() => Answer::Refused,
            Ok(identity) => {
                groups_of(&identity).map_or_else(|answer| answer, |groups| Answer::Good { groups })
            }
            Err(error) => answer_of(&error),
        }
    }

    /// Opens a file or folder as the person, for reading.
    fn open(&self, path: &[u8]) -> Result<File, Answer> {
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        if !path.is_absolute() {
            return Err(not_opened(rustix::io::Errno::INVAL));
        }
        // What isn't a file must not be waited for, or have its say.
        let how = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = self.token.run(|| open(path, how, Mode::empty()));
        let file = opened.map_err(|error| answer_of(&error))?.map_err(not_opened)?;
        let kind = fstat(&file).map_err(not_opened)?.st_mode;
        match FileType::from_raw_mode(kind) {
            FileType::RegularFile | FileType::Directory => Ok(file.into()),
            _ => Err(Answer::NotAFile),
        }
    }
}

fn not_opened(errno: rustix::io::Errno) -> Answer {
    Answer::NotOpened { errno: errno.raw_os_error() }
}

fn groups_of(identity: &Identity) -> Result<Vec<String>, Answer> {
    identity.group_names().map(bounded).map_err(|error| answer_of(&error))
}

fn answer_of(error: &Error) -> Answer {
    match error {
        Error::Refused(_) | Error::UnknownToSystem { .. } => Answer::Refused,
        Error::Restricted(_) | Error::PasswordExpired { .. } => {
            Answer::Restricted { why: error.to_string().chars().take(1000).collect() }
        }
        _ => Answer::NotPossible { why: error.to_string().chars().take(1000).collect() },
    }
}
