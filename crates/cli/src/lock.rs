//! `quarry lock`: run a command with a file locked, as util-linux `flock` does, on Windows too.
//!
//! Flags, forms and exit codes are those of flock(1) 2.38 and, for `--fcntl`, `--start` and
//! `--length`, of 2.41. What is added: `--range`, `--who`, saying who holds the lock while
//! one waits at a terminal, and passing signals on to the command.

pub(crate) mod child;
mod who;

use std::{
    ffi::OsString,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::ArgAction;
use quarry_lock::{Access, Announcement, ByteRange, Error, Mode, Options, OwnedGuard, Wait};

/// Exit codes of sysexits(3), which flock(1) uses.
pub(crate) const USAGE: u8 = 64;
const BAD_LOCK: u8 = 65;
const CANNOT_OPEN: u8 = 66;
const CANNOT_RUN: u8 = 69;
const SYSTEM_FAILED: u8 = 71;
const CANNOT_CREATE: u8 = 73;

/// Run a command with a file locked.
///
/// The file is created if it is missing, and its content is never changed. The lock excludes
/// util-linux flock, cargo and everybody else who locks the whole file. It ends with the command;
/// on Unix it lasts until the last process that inherited it has ended (not with --close).
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "quarry lock [OPTIONS] FILE [--] COMMAND [ARGUMENT]...\n       \
                      quarry lock [OPTIONS] FILE -c COMMAND\n       \
                      quarry lock [OPTIONS] DESCRIPTOR\n       \
                      quarry lock --who FILE",
    after_help = "Exit status: that of COMMAND (128 + N if signal N ended it); 1, or that of -E, if the \
                  lock was not to be had; 64 usage, 65 the lock failed, 66 FILE can't be opened, 69 \
                  COMMAND can't be run, 71 the system failed, 73 FILE can't be created.\n\n\
                  On Windows nobody else, COMMAND included, can read or write a FILE that is locked \
                  exclusively, and a DESCRIPTOR and --no-fork do not exist."
)]
pub(crate) struct LockArgs {
    /// Get a shared lock: others may share it, and nobody has it exclusively
    #[arg(short, long, overrides_with_all = ["exclusive", "unlock"])]
    shared: bool,

    /// Get an exclusive lock (the default)
    #[arg(short = 'x', short_alias = 'e', long, overrides_with_all = ["shared", "unlock"])]
    exclusive: bool,

    /// Release the lock of a DESCRIPTOR
    #[arg(short, long, overrides_with_all = ["shared", "exclusive"])]
    unlock: bool,

    /// Fail rather than wait
    #[arg(short, long = "nonblock", visible_aliases = ["nb", "nonblocking"])]
    nonblock: bool,

    /// Wait this long at most: seconds, fractions are allowed, or 2s, 1m30s; 0 is as --nonblock
    #[arg(short = 'w', long, visible_alias = "wait", value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,

    /// Exit with this when the lock was not to be had
    #[arg(short = 'E', long, value_name = "CODE", default_value_t = 1)]
    conflict_exit_code: u8,

    /// Don't let COMMAND inherit the lock, so that what it leaves running does not keep it
    #[arg(short = 'o', long)]
    close: bool,

    /// Become COMMAND instead of starting it
    #[arg(short = 'F', long, conflicts_with = "close")]
    no_fork: bool,

    /// Lock LEN bytes from START on, 0 being all that follow; k, M, G and T are understood. Range
    /// locks and whole-file locks do not see each other on Linux
    #[arg(long, value_name = "START:LEN", value_parser = range)]
    range: Option<ByteRange>,

    /// As --range 0:0
    #[arg(long, conflicts_with = "range")]
    fcntl: bool,

    /// As --range START:0, or with --length
    #[arg(long, value_name = "START", value_parser = size, conflicts_with = "range")]
    start: Option<u64>,

    /// As --range 0:LEN, or with --start
    #[arg(long, value_name = "LEN", value_parser = size, conflicts_with = "range")]
    length: Option<u64>,

    /// Say how long it took to get the lock and what is run then
    #[arg(long)]
    verbose: bool,

    /// Say who holds the lock and exit: 0 if somebody is known to, else 1
    #[arg(long)]
    who: bool,

    /// Don't write a holder file beside FILE. It names the process, the host and the program, but
    /// none of the program's arguments, and is what --who reads
    #[arg(long)]
    no_holder_file: bool,

    /// FILE or DESCRIPTOR, and what to run
    // One list, so that nothing after FILE is taken for a flag of ours.
    #[arg(required = true, trailing_var_arg = true, action = ArgAction::Append, value_name = "FILE [COMMAND]")]
    words: Vec<OsString>,
}

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
        let signals = if self.no_fork { None } else { Some(child::Forwarder::prepare()) };
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

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .or_else(|| crate::args::duration(text).ok())
        .ok_or_else(|| "neither a number of seconds nor a time such as 2s or 1m30s".to_owned())
}

fn range(text: &str) -> Result<ByteRange, String> {
    let (start, len) = text.split_once(':').ok_or("not of the form START:LEN")?;
    bytes(size(start)?, size(len)?)
}

fn bytes(start: u64, len: u64) -> Result<ByteRange, String> {
    let range = if len == 0 { ByteRange::starting_at(start) } else { ByteRange::new(start, len) };
    range.map_err(|error| error.to_string())
}

/// A number of bytes, with k, M, G or T for powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let power = match text[digits.len()..].trim_end_matches("iB") {
        "" => 0,
        "k" | "K" => 1,
        "m" | "M" => 2,
        "g" | "G" => 3,
        "t" | "T" => 4,
        _ => return Err("not a number of bytes".to_owned()),
    };
    digits
        .parse()
        .ok()
        .and_then(|number: u64| number.checked_mul(1 << (10 * power)))
        .ok_or_else(|| "not a number of bytes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_powers_of_1024_and_never_overflow() {
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("4k"), Ok(4096));
        assert_eq!(size("1MiB"), Ok(1 << 20));
        for bad in ["", "k", "1x", "-1", "1.5", "99999999999T", "18446744073709551616"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn seconds_may_have_fractions_and_may_not_be_negative() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        for bad in ["", "-1", "NaN", "inf", "1e400", "soon"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_range_of_no_length_reaches_to_the_end() {
        assert_eq!(range("5:0").map(|range| range.len()), Ok(None));
        assert_eq!(range("5:1k").map(|range| range.len()), Ok(Some(1024)));
        for bad in ["5", "5:", ":5", "5:5:5", "9223372036854775807:1"] {
            assert!(range(bad).is_err(), "{bad}");
        }
    }
}
