//! The command that runs with the lock held.

use std::{
    ffi::OsString,
    fmt, io,
    process::{Command, ExitCode, ExitStatus},
};

use super::{CANNOT_RUN, Failure, SYSTEM_FAILED};
use crate::signals::Forwarder;

/// What to run.
pub(super) enum Program {
    /// A line for the shell.
    Shell(OsString),
    /// A program and its arguments.
    Words(OsString, Vec<OsString>),
}

impl Program {
    /// What others may know of it: the program, and nothing of its arguments, which may be secrets.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Shell(_) => self.command().get_program().to_string_lossy().into_owned(),
            Self::Words(name, _) => name.to_string_lossy().into_owned(),
        }
    }

    #[cfg(unix)]
    fn command(&self) -> Command {
        match self {
            Self::Shell(line) => {
                let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
                let mut command = Command::new(shell.unwrap_or_else(|| "/bin/sh".into()));
                command.arg("-c").arg(line);
                command
            }
            Self::Words(name, arguments) => {
                let mut command = Command::new(name);
                command.args(arguments);
                command
            }
        }
    }

    #[cfg(windows)]
    fn command(&self) -> Command {
        use std::os::windows::process::CommandExt;
        match self {
            Self::Shell(line) => {
                let shell = std::env::var_os("COMSPEC").filter(|shell| !shell.is_empty());
                let mut command = Command::new(shell.unwrap_or_else(|| "cmd.exe".into()));
                // With /S, what is between the outer quotes is taken as it is.
                let mut quoted = OsString::from("\"");
                quoted.push(line);
                quoted.push("\"");
                command.arg("/S").arg("/C").raw_arg(quoted);
                command
            }
            Self::Words(name, arguments) => {
                let mut command = Command::new(name);
                command.args(arguments);
                command
            }
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shell(line) => write!(f, "{}", line.to_string_lossy()),
            Self::Words(name, arguments) => {
                write!(f, "{}", name.to_string_lossy())?;
                arguments.iter().try_for_each(|word| write!(f, " {}", word.to_string_lossy()))
            }
        }
    }
}

/// Runs the program and returns its exit status. Without a forwarder nothing is held that would
/// have to outlive a signal. `meanwhile` is what is left to do once the program has been started;
/// where it can be told, one that ends at once is not held up by it.
pub(super) fn run(
    program: &Program,
    signals: Option<Forwarder>,
    meanwhile: impl FnOnce(),
) -> Result<ExitCode, Failure> {
    if let Some(signals) = &signals {
        signals.begin().map_err(|error| Failure::new(SYSTEM_FAILED, error))?;
    }
    let mut child = program.command().spawn().map_err(|error| cannot_run(program, &error))?;
    let waited = match signals {
        Some(signals) => signals.wait(&mut child, meanwhile),
        None => child.wait(),
    };
    waited
        .map(exit_code)
        .map_err(|error| Failure::new(1, format!("waiting for {program}: {error}")))
}

/// Replaces this process by the program. Returns only if that fails.
#[cfg(unix)]
pub(super) fn become_program(program: &Program) -> Failure {
    use std::os::unix::process::CommandExt;
    cannot_run(program, &program.command().exec())
}

#[cfg(windows)]
pub(super) fn become_program(_: &Program) -> Failure {
    Failure::new(super::USAGE, "--no-fork does not exist on Windows")
}

fn cannot_run(program: &Program, error: &io::Error) -> Failure {
    let code = match error.kind() {
        io::ErrorKind::OutOfMemory => SYSTEM_FAILED,
        // No process to be had.
        io::ErrorKind::WouldBlock => SYSTEM_FAILED,
        _ => CANNOT_RUN,
    };
    Failure::new(code, format!("cannot run {program}: {error}"))
}

#[cfg(unix)]
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    ExitCode::from(quarry_program::signals::exit_code(status).unwrap_or(SYSTEM_FAILED))
}

#[cfg(windows)]
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or(SYSTEM_FAILED.into());
    match u8::try_from(code) {
        Ok(code) => ExitCode::from(code),
        // Only so can all 32 bits be passed on. The lock goes with the process.
        Err(_) => std::process::exit(code),
    }
}
