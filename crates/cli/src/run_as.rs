//! `quarry run-as`: run a command as another user, who is logged on for it.

#[cfg(unix)]
mod terminal;

use std::io;
use std::process::ExitCode;

use quarry_cred::{Account, AccountForm, Secret, SecretSource};
#[cfg(windows)]
use quarry_logon::Child;
use quarry_logon::{Command, Environment, Error, Folder, Logon, LogonType, Provider};

#[cfg(windows)]
use crate::args::ProviderName;
use crate::args::{RunAsArgs, TypeName, When};
use crate::console::Console;
use crate::error::Failure;
use crate::lock::child::exit_code;
use crate::secret::{self, NoSecret};
use crate::signals::Forwarder;
use crate::undumped::Undumped;

/// Exit codes of env(1), nohup(1) and their kin, which no command of its own is likely to have.
const FAILED: u8 = 125;
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;
const INTERRUPTED: u8 = 130;

/// What ends it before there is an exit status of the command's.
enum End {
    Failed(u8, Failure),
    Interrupted,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(FAILED, failure)
    }
}

/// Runs the command and returns its exit status, or one of ours.
pub(crate) fn run(args: &RunAsArgs) -> ExitCode {
    let console = Console::new(When::Auto, false);
    match run_or_fail(args, &console) {
        Ok(status) => status,
        Err(End::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(End::Failed(code, failure)) => {
            console.error(&failure);
            ExitCode::from(code)
        }
    }
}

fn run_or_fail(args: &RunAsArgs, console: &Console) -> Result<ExitCode, End> {
    let account = args.account().map_err(|failure| End::Failed(2, failure))?;
    let logon = args.logon(account.clone());
    // Whoever can't succeed is not asked for a password.
    before_asking(args, &account)?;
    let signals = Forwarder::prepare().map_err(|error| Failure::io("signals", &error))?;
    // The limit of core dumps is the command's own again.
    let undumped = Undumped::begin();
    let secret = args.secret(&account, console)?;
    let begun = args.begin(&logon, secret, console);
    drop(undumped);
    let command = begun.map_err(|error| refused(&account, &error, console))?;
    let command = args.furnish(command);
    #[cfg(unix)]
    let (command, terminal) =
        terminal::prepare(command).map_err(|error| Failure::io("a terminal", &error))?;
    #[cfg(unix)]
    let signals = signals.elsewhere();
    signals.begin().map_err(|error| Failure::io("signals", &error))?;
    let mut child = command.spawn().map_err(|error| match &error {
        Error::Run { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            End::Failed(NOT_FOUND, describe(&error))
        }
        Error::Run { .. } => End::Failed(CANNOT_RUN, describe(&error)),
        _ => refused(&account, &error, console),
    })?;
    #[cfg(unix)]
    let status = match terminal {
        Some(terminal) => terminal.relay(signals, child.as_std_mut()),
        None => signals.wait(child.as_std_mut(), || {}),
    };
    #[cfg(windows)]
    let status = wait(signals, &mut child);
    let status = status.map_err(|error| Failure::io("waiting for the command", &error))?;
    // The session ends before we do.
    drop(child);
    Ok(exit_code(status))
}

impl RunAsArgs {
    fn account(&self) -> Result<Account, Failure> {
        let account: Account =
            self.user.parse().map_err(|error| Failure::new(format!("{}: {error}", self.user)))?;
        match &self.domain {
            None => Ok(account),
            Some(domain) if account.form() == AccountForm::Bare => {
                let text = format!(r"{domain}\{}", account.user());
                text.parse().map_err(|error| Failure::new(format!("{text}: {error}")))
            }
            Some(_) => Err(Failure::new(format!("{account} has a domain, and --domain is given"))),
        }
    }

    fn logon(&self, account: Account) -> Logon {
        let logon_type = if self.netonly {
            LogonType::NewCredentials
        } else {
            match self.logon_type {
                TypeName::Interactive => LogonType::Interactive,
                TypeName::Network => LogonType::Network,
                TypeName::NetworkCleartext => LogonType::NetworkCleartext,
                TypeName::Batch => LogonType::Batch,
                TypeName::Service => LogonType::Service,
                TypeName::Unlock => LogonType::Unlock,
                TypeName::NewCredentials => LogonType::NewCredentials,
            }
        };
        let logon = Logon::new(account)
            .logon_type(logon_type)
            .session(true)
            .terminal(terminal())
            .asked_by(asked_by())
            .provider(self.provider());
        #[cfg(unix)]
        let logon = logon.service(self.service.clone());
        logon
    }

    #[cfg(unix)]
    fn provider(&self) -> Provider {
        Provider::Default
    }

    #[cfg(windows)]
    fn provider(&self) -> Provider {
        match self.provider {
            ProviderName::Default => Provider::Default,
            ProviderName::Negotiate => Provider::Negotiate,
            ProviderName::Ntlm => Provider::Ntlm,
        }
    }

    fn secret(&self, account: &Account, console: &Console) -> Result<Secret, End> {
        let source = match (self.password_fd, &self.password_file) {
            _ if self.keyring => SecretSource::Keyring,
            (Some(number), _) => SecretSource::Descriptor(number),
            (None, Some(path)) => SecretSource::File(path.clone()),
            (None, None) => SecretSource::Prompt,
        };
        let prompt = format!("Password of {account}: ");
        secret::read(&source, account, &prompt, console).map_err(|error| match error {
            NoSecret::Interrupted => End::Interrupted,
            NoSecret::Failed(failure) => failure.into(),
        })
    }

    /// Logs the user on, and has the program or the user's shell ready to start.
    #[cfg(unix)]
    fn begin(&self, logon: &Logon, secret: Secret, console: &Console) -> Result<Command, Error> {
        let token = logon.log_on(secret)?;
        token.messages().iter().for_each(|message| console.note(message));
        if let Some((program, arguments)) = self.command.split_first() {
            return Ok(token.command(program).args(arguments.iter().cloned()));
        }
        let shell = token.identity().shell().unwrap_or(std::path::Path::new("/bin/sh")).to_owned();
        let mut command = token.command(&shell);
        if self.login {
            // What tells a shell that it is the first of a login.
            let mut name = std::ffi::OsString::from("-");
            name.push(shell.file_name().unwrap_or(shell.as_os_str()));
            command = command.name(name);
        }
        Ok(command)
    }

    /// Windows logs the user on as it starts the program.
    #[cfg(windows)]
    fn begin(&self, logon: &Logon, secret: Secret, _: &Console) -> Result<Command, Error> {
        let Some((program, arguments)) = self.command.split_first() else {
            let shell = std::env::var_os("COMSPEC").filter(|shell| !shell.is_empty());
            return logon.command(secret, shell.unwrap_or_else(|| "cmd.exe".into()));
        };
        Ok(logon.command(secret, program)?.args(arguments.iter().cloned()))
    }

    fn furnish(&self, mut command: Command) -> Command {
        if self.login || self.env_clean {
            command = command.environment(Environment::Users);
            if let Some(term) = std::env::var_os("TERM") {
                command = command.env("TERM", term);
            }
        }
        if self.login {
            command = command.folder(Folder::Home);
        }
        command
    }
}

#[cfg(unix)]
fn before_asking(args: &RunAsArgs, account: &Account) -> Result<(), End> {
    if quarry_logon::started_with_privileges() {
        let failure = Failure::new(
            "quarry run-as does not run with the set-user-id bit or file capabilities",
        );
        return Err(failure
            .hint("whoever starts it would choose the rules; use sudo or doas")
            .into());
    }
    if args.netonly || args.logon_type == TypeName::NewCredentials {
        let failure =
            Failure::new("there are no network-only credentials for programs on this system");
        return Err(failure.hint("for reading servers: quarry scan -u USER").into());
    }
    let myself = quarry_logon::Token::current().ok();
    if myself.is_some_and(|myself| myself.identity().user() == account.user()) {
        // Being oneself takes no privilege.
        return Ok(());
    }
    quarry_logon::check_privileges().map_err(|error| describe(&error).into())
}

#[cfg(windows)]
fn before_asking(_: &RunAsArgs, _: &Account) -> Result<(), End> {
    Ok(())
}

#[cfg(unix)]
fn terminal() -> Option<String> {
    let name = rustix::termios::ttyname(io::stdin(), Vec::new())
        .or_else(|_| rustix::termios::ttyname(io::stderr(), Vec::new()));
    let name = name.ok()?.into_string().ok()?;
    Some(name.strip_prefix("/dev/").unwrap_or(&name).to_owned())
}

#[cfg(unix)]
fn asked_by() -> Option<String> {
    let me = quarry_logon::Token::current().ok()?;
    Some(me.identity().user().to_owned())
}

#[cfg(windows)]
fn terminal() -> Option<String> {
    None
}

#[cfg(windows)]
fn asked_by() -> Option<String> {
    None
}

/// An error of the logon: for the log with its reason, and for the user without.
fn refused(account: &Account, error: &Error, console: &Console) -> End {
    if error.is_refusal()
        && let Err(unheard) = quarry_logon::log_refusal("quarry run-as", account, error)
    {
        console.warning(&Failure::io("the system's log can't be written to", &unheard).message);
    }
    describe(error).into()
}

fn describe(error: &Error) -> Failure {
    let failure = Failure::new(error.to_string());
    match error {
        Error::Run { program, source } => Failure::io(&format!("cannot run {program}"), source),
        Error::Privilege { what, name, advice } => {
            Failure::new(format!("{what} needs {name}")).hint(*advice)
        }
        Error::NotSetUp { .. } if cfg!(unix) => failure.hint(
            "quarry comes with crates/logon/assets/pam.d/quarry.debian and quarry.redhat: install \
             the one for your system as /etc/pam.d/quarry",
        ),
        _ => failure,
    }
}

#[cfg(windows)]
fn wait(_signals: Forwarder, child: &mut Child) -> io::Result<std::process::ExitStatus> {
    child.wait()
}
