//! `quarry lock`: run a command with a file locked, as util-linux `flock` does, on Windows too.
//!
//! Flags, forms and exit codes are those of flock(1) 2.38 and, for `--fcntl`, `--start` and
//! `--length`, of 2.41. What is added: `--range`, `--who`, saying who holds the lock while
//! one waits at a terminal, and passing signals on to the command.

pub(crate) mod child;
mod who;

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use quarry_lock::{Access, Announcement, ByteRange, Error, Mode, Options, OwnedGuard, Wait};

use crate::args::{LockArgs, bytes};
use crate::signals::Forwarder;

/// Exit codes of sysexits(3), which flock(1) uses.
pub(crate) const USAGE: u8 = 64;
const BAD_LOCK: u8 = 65;
const CANNOT_OPEN: u8 = 66;
const CANNOT_RUN: u8 = 69;
const SYSTEM_FAILED: u8 = 71;
const CANNOT_CREATE: u8 = 73;

/// Runs the command and returns its exit status, or one of ours.
pub(crate) fn run(args: LockArgs) -> anyhow::Result<ExitCode> {
    Ok(run_or_fail(args).unwrap_or_else(|failure| {
        if let Some(message) = failure.message {
            say(&message);
        }
        ExitCode::from(failure.code)
    }))
}

/// Why no command was run.
struct Failure {
    code: u8,
    message: Option<String>,
}

impl Failure {
    fn new(code: u8, message: impl std::fmt::Display) -> Self {
        Self { code, message: Some(message.to_string()) }
    }
}

/// What the words on the command line ask for.
enum Form {
    Who(PathBuf),
    Descriptor(i32),
    Run(PathBuf, child::Program),
}

fn run_or_fail(args: LockArgs) -> Result<ExitCode, Failure> {
    let range = args.byte_range()?;
    match args.form()? {
        Form::Who(path) => who::show(&path),
        Form::Descriptor(number) => lock_descriptor(&args, range, number),
        Form::Run(path, program) if args.unlock => {
            // flock(1) opens the file and has nothing to release.
            args.options(range).open(&path).map_err(describe)?;
            child::run(&program, None, || {})
        }
        Form::Run(path, program) => match range {
            None => {
                let options = args.options(range);
                let file = options.open(&path).map_err(describe)?;
                args.with_lock(&path, &program, file, |file, wait| {
                    file.lock_owned_waiting(args.mode(), wait)
                })
            }
            Some(range) => {
                let options = args.options(Some(range));
                let file = options.open_range(&path).map_err(describe)?;
                args.with_lock(&path, &program, file, |file, wait| {
                    file.lock_owned_waiting(range, args.mode(), wait)
                })
            }
        },
    }
}

impl LockArgs {
    fn form(&self) -> Result<Form, Failure> {
        let (first, rest) = self.words.split_first().expect("clap asks for one word at least");
        // `FILE -- COMMAND` and `FILE COMMAND` are the same.
        let rest = if rest.first().is_some_and(|word| word == "--") { &rest[1..] } else { rest };
        match rest {
            [] if self.who => Ok(Form::Who(first.into())),
            _ if self.who => Err(Failure::new(USAGE, "--who takes a file and no command")),
            [] if cfg!(windows) => {
                Err(Failure::new(USAGE, "what is to be run with the lock held?"))
            }
            [] => match first.to_str().and_then(|number| number.parse().ok()) {
                Some(number) => Ok(Form::Descriptor(number)),
                None => Err(Failure::new(
                    USAGE,
                    format!("{first:?} is no descriptor, and no command follows it"),
                )),
            },
            [flag, line] if flag == "-c" || flag == "--command" => {
                Ok(Form::Run(first.into(), child::Program::Shell(line.clone())))
            }
            [flag, ..] if flag == "-c" || flag == "--command" => {
                Err(Failure::new(USAGE, format!("{flag:?} takes exactly one command")))
            }
            [name, arguments @ ..] => {
                Ok(Form::Run(first.into(), child::Program::Words(name.clone(), arguments.to_vec())))
            }
        }
    }

    fn mode(&self) -> Mode {
        if self.shared { Mode::Shared } else { Mode::Exclusive }
    }

    fn wait(&self) -> Wait {
        match self.timeout {
            _ if self.nonblock => Wait::Never,
            Some(Duration::ZERO) => Wait::Never,
            Some(time) => Wait::at_most(time),
            None => Wait::Forever,
        }
    }

    fn byte_range(&self) -> Result<Option<ByteRange>, Failure> {
        if !self.fcntl && self.start.is_none() && self.length.is_none() {
            return Ok(self.range);
        }
        bytes(self.start.unwrap_or(0), self.length.unwrap_or(0))
            .map(Some)
            .map_err(|error| Failure::new(USAGE, error))
    }

    fn options(&self, range: Option<ByteRange>) -> Options {
        // An exclusive range lock needs the file open for writing; nothing else does, and a file
        // that can only be read can be locked.
        let access = match (range, self.mode()) {
            (Some(_), Mode::Exclusive) => Access::ReadWrite,
            _ => Access::ReadOnly,
        };
        Options::new().access(access)
    }

    /// Takes the lock, and then runs the program.
    fn with_lock<F: quarry_lock::Lockable>(
        &self,
        path: &Path,
        program: &child::Program,
        file: F,
        take: impl Fn(F, Wait) -> Result<Result<OwnedGuard<F>, F>, Error>,
    ) -> Result<ExitCode, Failure> {
        let signals = if self.no_fork { None } else { Some(Forwarder::prepare()) };
        let signals = signals.transpose().map_err(|error| Failure::new(SYSTEM_FAILED, error))?;
        let began = Instant::now();
        let wait = self.wait();
        // First without waiting, to be able to say whom the wait is for.
        let first = if wait != Wait::Never && io::stderr().is_terminal() {
            match take(file, Wait::Never).map_err(describe)? {
                Ok(guard) => Ok(guard),
                Err(file) => {
                    say(&who::waiting_for(path));
                    take(file, wait).map_err(describe)?
                }
            }
        } else {
            take(file, wait).map_err(describe)?
        };
        let Ok(mut guard) = first else { return Err(self.conflict(wait)) };
        if self.verbose {
            say(&format!("getting the lock took {:.6} seconds", began.elapsed().as_secs_f64()));
            say(&format!("running {program}"));
        }
        let announce = |guard: &mut OwnedGuard<F>| {
            if !self.no_holder_file {
                guard.announce(Announcement::new(program.name()));
            }
        };
        if self.no_fork {
            announce(&mut guard);
        }
        #[cfg(unix)]
        if !self.close {
            quarry_lock::unix::share_with_children(&guard).map_err(|error| {
                Failure::new(SYSTEM_FAILED, format!("the lock can't be passed on: {error}"))
            })?;
        }
        if self.no_fork {
            return Err(child::become_program(program));
        }
        // The lock is not held longer for being announced: the command runs already.
        let status = child::run(program, signals, || announce(&mut guard));
        // What the command left running has inherited the lock, unless --close was given. So it
        // is let go, not released: the system ends it with its last holder.
        if self.close {
            drop(guard)
        } else {
            guard.leave_locked()
        }
        status
    }

    fn conflict(&self, wait: Wait) -> Failure {
        let message = match wait {
            Wait::Never => "somebody else holds the lock",
            _ => "the time to wait for the lock is over",
        };
        Failure { code: self.conflict_exit_code, message: self.verbose.then(|| message.to_owned()) }
    }
}

/// `quarry lock 9`: a descriptor that was inherited, whose lock outlives this process.
#[cfg(unix)]
fn lock_descriptor(
    args: &LockArgs,
    range: Option<ByteRange>,
    number: i32,
) -> Result<ExitCode, Failure> {
    use quarry_lock::{LockFile, RangeFile, unix};

    let failed = |error: io::Error| Failure::new(BAD_LOCK, format!("descriptor {number}: {error}"));
    let fd = unix::inherited(number).map_err(failed)?;
    if args.unlock {
        unix::release(fd, range).map_err(failed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (mode, wait) = (args.mode(), args.wait());
    let bad = |error: Error| Failure::new(BAD_LOCK, format!("descriptor {number}: {error}"));
    let began = Instant::now();
    let taken = match range {
        None => LockFile::from_file(fd.into())
            .and_then(|file| file.lock_owned_waiting(mode, wait))
            .map_err(bad)?
            .map(OwnedGuard::leave_locked)
            .is_ok(),
        Some(range) => RangeFile::from_file(fd.into())
            .and_then(|file| file.lock_owned_waiting(range, mode, wait))
            .map_err(bad)?
            .map(OwnedGuard::leave_locked)
            .is_ok(),
    };
    if !taken {
        return Err(args.conflict(wait));
    }
    if args.verbose {
        say(&format!("getting the lock took {:.6} seconds", began.elapsed().as_secs_f64()));
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(windows)]
fn lock_descriptor(_: &LockArgs, _: Option<ByteRange>, _: i32) -> Result<ExitCode, Failure> {
    Err(Failure::new(USAGE, "there are no descriptors to lock on Windows"))
}

fn describe(error: Error) -> Failure {
    let code = match &error {
        Error::Open { source, .. } => match source.kind() {
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::StorageFull => CANNOT_CREATE,
            io::ErrorKind::OutOfMemory => SYSTEM_FAILED,
            _ if is_out_of_files(source) => SYSTEM_FAILED,
            _ => CANNOT_OPEN,
        },
        _ => match error.io() {
            Some(source) if source.kind() == io::ErrorKind::OutOfMemory => SYSTEM_FAILED,
            Some(source) if is_out_of_locks(source) => SYSTEM_FAILED,
            _ => BAD_LOCK,
        },
    };
    Failure::new(code, error)
}

#[cfg(unix)]
fn is_out_of_files(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(unix)]
fn is_out_of_locks(error: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::NOLCK)
}

#[cfg(windows)]
fn is_out_of_files(_: &io::Error) -> bool {
    false
}

#[cfg(windows)]
fn is_out_of_locks(_: &io::Error) -> bool {
    false
}

fn say(message: &str) {
    // If nobody can be told, there is nobody to tell that to.
    let _ = writeln!(io::stderr(), "quarry lock: {message}");
}
