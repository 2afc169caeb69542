//! Programs run as the user.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    path::PathBuf,
    process::ExitStatus,
};

use crate::{Error, Token, stack, sys};

/// The environment that a program starts with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Environment {
    /// This process's own, except that what names the user is the user's (`USER`, `LOGNAME`,
    /// `HOME`, `SHELL`; on Windows `USERNAME`, `USERDOMAIN`, `USERPROFILE` and their kin), and
    /// that what belongs to the caller's session (its bus, its runtime folder, its Kerberos
    /// tickets) is not there.
    #[default]
    Callers,
    /// Only the user's: what PAM or the user's profile says, what names the user, a search path,
    /// and `TERM`.
    Users,
}

/// The folder that a program starts in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Folder {
    /// The one that this process is in.
    #[default]
    Callers,
    /// The user's home folder, or the root folder when that can't be entered.
    Home,
    /// This one. The program doesn't start when the user can't enter it.
    At(PathBuf),
}

/// The session, in the sense of setsid(2), that a program runs in on Unix. Whoever is in the session
/// of a terminal may read what is typed there, and on Linux type into it himself where
/// `dev.tty.legacy_tiocsti` is 1, which it always is before Linux 6.2.
#[derive(Debug, Default)]
#[non_exhaustive]
pub enum Session {
    /// The one that this process is in, with its terminal.
    #[default]
    Callers,
    /// A new one without a terminal.
    New,
    /// A new one with this terminal, the slave side of a pseudo-terminal, which becomes the user's.
    OnTerminal(File),
}

/// A program to be run as a token's user.
///
/// On Unix everything of the caller's is dropped for good before it starts: real, effective and
/// saved ids, groups, all capabilities, and every open file but the standard three. That it can't
/// be taken back is checked. On Windows it is started with the token as its primary one.
#[derive(Debug)]
pub struct Command {
    pub(crate) who: Who,
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    /// Zeroth argument where it isn't the program's name.
    #[cfg_attr(windows, allow(dead_code, reason = "there is no zeroth argument"))]
    pub(crate) name: Option<OsString>,
    pub(crate) environment: Environment,
    pub(crate) variables: Vec<(OsString, OsString)>,
    pub(crate) folder: Folder,
    #[cfg_attr(windows, allow(dead_code, reason = "sessions of terminals are Unix's"))]
    pub(crate) session: Session,
    /// Standard input, output, error where they aren't this process's.
    pub(crate) files: [Option<File>; 3],
}

/// As whom a program is started.
#[derive(Debug)]
pub(crate) enum Who {
    Token(Token),
    /// The system logs the user on as it starts the program.
    #[cfg(windows)]
    Logon(crate::Logon, quarry_cred::Secret),
}

impl Command {
    pub(crate) fn new(who: Who, program: OsString) -> Self {
        Self {
            who,
            program,
            arguments: Vec::new(),
            name: None,
            environment: Environment::default(),
            variables: Vec::new(),
            folder: Folder::default(),
            session: Session::default(),
            files: [const { None }; 3],
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    pub fn args<S: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// What the program is told that it is called, on Unix: `-sh` makes a shell a login shell.
    pub fn name(mut self, name: impl Into<OsString>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Which environment to start with.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// Sets a variable, whatever the environment says.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Which folder to start in.
    pub fn folder(mut self, folder: Folder) -> Self {
        self.folder = folder;
        self
    }

    /// Which session to run in, on Unix.
    pub fn session(mut self, session: Session) -> Self {
        self.session = session;
        self
    }

    /// The file that is the program's standard input.
    pub fn stdin(mut self, file: File) -> Self {
        self.files[0] = Some(file);
        self
    }

    /// The file that is the program's standard output.
    pub fn stdout(mut self, file: File) -> Self {
        self.files[1] = Some(file);
        self
    }

    /// The file that is the program's standard error.
    pub fn stderr(mut self, file: File) -> Self {
        self.files[2] = Some(file);
        self
    }

    /// Starts the program.
    ///
    /// # Errors
    /// [`Error::Privilege`] if this process may not start programs as others, and
    /// [`Error::Run`] if the user can't run the program or enter the folder.
    pub fn spawn(self) -> Result<Child, Error> {
        let token = match &self.who {
            Who::Token(token) => Some(token.clone()),
            #[cfg(windows)]
            Who::Logon(logon, _) => {
                let logon = logon.clone();
                let start = || stack::as_base(|| sys::spawn(self));
                return Ok(Child { inner: logon.with_delay(start)?, _token: None });
            }
        };
        let inner = stack::as_base(|| sys::spawn(self))?;
        Ok(Child { inner, _token: token })
    }
}

/// A program that runs as a user. The logon, and the session if there is one, last until this is
/// dropped. Dropping it neither ends nor waits for the program.
#[derive(Debug)]
pub struct Child {
    inner: sys::Child,
    _token: Option<Token>,
}

impl Child {
    /// The process's number.
    pub fn id(&self) -> u32 {
        self.inner.id()
    }

    /// Waits for the program to end.
    ///
    /// # Errors
    /// What the system says.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.inner.wait()
    }

    /// How the program ended, if it has.
    ///
    /// # Errors
    /// What the system says.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.inner.try_wait()
    }

    /// Ends the program at once.
    ///
    /// # Errors
    /// What the system says.
    pub fn kill(&mut self) -> io::Result<()> {
        self.inner.kill()
    }

    /// The child as the standard library knows it.
    #[cfg(unix)]
    pub fn as_std_mut(&mut self) -> &mut std::process::Child {
        &mut self.inner
    }
}
