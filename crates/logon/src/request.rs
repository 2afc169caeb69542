//! What is asked for in a logon, and the logon itself: delayed when it is refused.

use std::time::{Duration, Instant};

use quarry_cred::{Account, Credential, Secret};

#[cfg(unix)]
use crate::Identity;
use crate::{Error, Task, Token, sys, task};

/// The delay of a refusal where nothing else is said.
const REFUSAL_DELAY: Duration = Duration::from_secs(3);

/// What a logon is for. It decides what the token can do and what is checked.
///
/// On Unix each type is checked by PAM's authentication and account steps, whose rules are in the
/// service's file; the type decides only whether a session is opened. On Windows the account needs
/// the right that goes with the type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LogonType {
    /// At the console. On Windows needs "allow log on locally", and the password is cached for
    /// when no domain controller is there.
    #[default]
    Interactive,
    /// From elsewhere, and going no further: the token has no credentials for other machines, and
    /// on Windows it can only be impersonated, not be given to a process.
    Network,
    /// From elsewhere, with credentials to go on to other machines.
    NetworkCleartext,
    /// For a batch job. On Windows needs "log on as a batch job".
    Batch,
    /// For a service. On Windows needs "log on as a service".
    Service,
    /// To prove that whoever locked the screen is back.
    Unlock,
    /// Nobody is logged on here: locally the token is whoever made it, and towards other machines
    /// the other account, whose password is not checked until one of them does.
    NewCredentials,
}

/// Who checks the password, on Windows. Unix has its PAM service for that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Provider {
    /// The system's choice.
    #[default]
    Default,
    /// Negotiate, which network-only logons need. Kerberos where it can be.
    Negotiate,
    /// NTLM, for names without a domain of Kerberos.
    Ntlm,
}

/// A logon to be made.
///
/// ```no_run
/// use quarry_cred::Secret;
/// use quarry_logon::{Logon, LogonType};
///
/// # fn f(password: String) -> Result<(), Box<dyn std::error::Error>> {
/// let token = Logon::new(r"CORP\ann".parse()?)
///     .logon_type(LogonType::Network)
///     .log_on(Secret::new(password)?)?;
/// let text = token.run(|| std::fs::read_to_string("/home/ann/notes"))??;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Logon {
    pub(crate) account: Account,
    pub(crate) logon_type: LogonType,
    #[cfg_attr(unix, allow(dead_code, reason = "PAM's service says who checks"))]
    pub(crate) provider: Provider,
    #[cfg_attr(windows, allow(dead_code, reason = "there is no PAM"))]
    pub(crate) service: String,
    #[cfg_attr(windows, allow(dead_code, reason = "a logon is a session there"))]
    pub(crate) session: bool,
    #[cfg_attr(windows, allow(dead_code, reason = "a logon has no terminal there"))]
    pub(crate) terminal: Option<String>,
    #[cfg_attr(windows, allow(dead_code, reason = "the system knows who asks"))]
    pub(crate) asked_by: Option<String>,
    #[cfg_attr(windows, allow(dead_code, reason = "the call has no place for it"))]
    pub(crate) asked_from: Option<String>,
    refusal_delay: Duration,
}

impl Logon {
    /// A logon of an account, interactive where nothing else is said.
    pub fn new(account: Account) -> Self {
        Self {
            account,
            logon_type: LogonType::default(),
            provider: Provider::default(),
            service: "quarry".to_owned(),
            session: false,
            terminal: None,
            asked_by: None,
            asked_from: None,
            refusal_delay: REFUSAL_DELAY,
        }
    }

    /// What the logon is for.
    pub fn logon_type(mut self, logon_type: LogonType) -> Self {
        self.logon_type = logon_type;
        self
    }

    /// Who checks the password, on Windows.
    pub fn provider(mut self, provider: Provider) -> Self {
        self.provider = provider;
        self
    }

    /// The PAM service whose rules apply, on Unix; `quarry` where nothing is said. Don't take it
    /// from whom it is to restrict: some services ask for no password.
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.service = service.into();
        self
    }

    /// Whether to open a PAM session too, on Unix, for as long as the token lives. Its modules may
    /// change *the process*: resource limits, the umask, the audit identity, the control group,
    /// and the groups of all threads. So this is for a process that exists for one user, as
    /// `quarry run-as` does, and not for a server. Types `Network`, `NetworkCleartext`, `Unlock`
    /// and `NewCredentials` have no session whatever is said here.
    pub fn session(mut self, session: bool) -> Self {
        self.session = session;
        self
    }

    /// The terminal that the user is at, for PAM's rules and logs: `pts/3`.
    pub fn terminal(mut self, terminal: Option<String>) -> Self {
        self.terminal = terminal;
        self
    }

    /// Who asks for the logon, for PAM's rules and logs.
    pub fn asked_by(mut self, user: Option<String>) -> Self {
        self.asked_by = user;
        self
    }

    /// The host from which the logon is asked for, where it is another: for PAM's rules and logs,
    /// by which whoever guesses passwords can be shut out.
    pub fn asked_from(mut self, host: Option<String>) -> Self {
        self.asked_from = host;
        self
    }

    /// How long a refusal takes, from the beginning of the logon on; a logon that took longer is
    /// answered at the next multiple. So the time doesn't tell what was wrong, and guessing is
    /// slow. 3 s where nothing is said, and never less than what a PAM module asks for.
    /// With zero there is no delay at all, and whoever calls has to see to both.
    pub fn refusal_delay(mut self, delay: Duration) -> Self {
        self.refusal_delay = delay;
        self
    }

    /// Logs the user on. Blocks: the password may be checked by another machine, and a refusal is
    /// delayed.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Restricted`] and [`Error::PasswordExpired`] are about the
    /// user; everything else is about this system.
    pub fn log_on(&self, secret: Secret) -> Result<Token, Error> {
        self.with_delay(|| self.attempt(secret))
    }

    /// Answers a refusal no sooner than it is to be.
    pub(crate) fn with_delay<T>(
        &self,
        attempt: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let began = Instant::now();
        let result = attempt();
        if let Err(error) = &result
            && error.is_refusal()
            && !self.refusal_delay.is_zero()
        {
            let delay = self.refusal_delay.max(error.delay_asked());
            std::thread::sleep(until_answer(began.elapsed(), delay));
        }
        result
    }

    /// Logs the user on, on a thread made for it: nothing of it runs on the thread that polls.
    /// If the task is dropped, the logon is still made and its token closed.
    ///
    /// # Errors
    /// As [`log_on`](Self::log_on), or no thread can be made.
    pub fn log_on_async(&self, secret: Secret) -> Task<Result<Token, Error>> {
        let logon = self.clone();
        task::on_a_thread("quarry-logon", move || logon.log_on(secret))
            .unwrap_or_else(|error| Task::ready(Err(error)))
    }

    /// Asks whether the account may still be used, without its password: PAM's account step, for
    /// somebody who logged on a while ago. Returns who it is now, with the groups of now. Blocks, as
    /// another machine may be asked.
    ///
    /// It is no logon: whoever has no [`Token`] yet gets none by it.
    ///
    /// # Errors
    /// [`Error::Restricted`] and [`Error::PasswordExpired`] where it may not;
    /// [`Error::UnknownToSystem`] where it is gone.
    #[cfg(unix)]
    pub fn check(&self) -> Result<Identity, Error> {
        crate::stack::as_base(|| sys::check(self))
    }

    /// Checks that the system has what it needs to check passwords for this service: libpam, and the
    /// service's file. Nobody is logged on, and no module is asked.
    ///
    /// # Errors
    /// [`Error::NotSetUp`], which says what is missing.
    #[cfg(unix)]
    pub fn check_set_up(&self) -> Result<(), Error> {
        sys::check_set_up(self)
    }

    /// A program to be run as the user, whom the system logs on as it starts it. For an interactive
    /// and for a network-only logon that needs no privilege, unlike [`Token::command`]. With other
    /// types the user is logged on here.
    ///
    /// # Errors
    /// As [`Logon::log_on`], where the user is logged on here.
    #[cfg(windows)]
    pub fn command(
        &self,
        secret: Secret,
        program: impl Into<std::ffi::OsString>,
    ) -> Result<crate::Command, Error> {
        match self.logon_type {
            LogonType::Interactive | LogonType::NewCredentials => {
                let who = crate::child::Who::Logon(self.clone(), secret);
                Ok(crate::Command::new(who, program.into()))
            }
            _ => Ok(self.log_on(secret)?.command(program)),
        }
    }

    fn attempt(&self, secret: Secret) -> Result<Token, Error> {
        let credential = Credential::new(self.account.clone(), secret);
        // Neither PAM's modules nor Windows' privileges should see whom this thread is just now.
        crate::stack::as_base(|| {
            let (inner, identity) = sys::log_on(self, credential.secret())?;
            let network =
                (self.logon_type == LogonType::NewCredentials).then(|| credential.clone());
            Ok(Token::new(inner, identity, network))
        })
    }
}

/// What is left to sleep when `spent` has gone by. The delay is not zero.
fn until_answer(spent: Duration, delay: Duration) -> Duration {
    let steps = spent.as_nanos() / delay.as_nanos() + 1;
    let end = u32::try_from(steps).map_or(spent, |steps| delay.saturating_mul(steps));
    end.saturating_sub(spent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_answered_at_a_multiple_of_its_delay() {
        let left = |spent, delay| {
            until_answer(Duration::from_millis(spent), Duration::from_millis(delay)).as_millis()
        };
        assert_eq!(left(0, 3000), 3000);
        assert_eq!(left(1, 3000), 2999);
        assert_eq!(left(2999, 3000), 1);
        assert_eq!(left(3000, 3000), 3000);
        assert_eq!(left(7500, 3000), 1500);
    }
}
