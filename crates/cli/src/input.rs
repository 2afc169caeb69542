//! Opening what is read once: a file, a pipe, standard input.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use quarry_collect::{FileInput, Selection, Stop};
use quarry_eventlog::{FileLog, LogError, LogName};
use quarry_logfile::OpenError;

use crate::error::{Failure, plain};

/// How often it is looked whether a pipe is still to be waited for.
const GLANCE: Duration = Duration::from_millis(50);

/// A file, to be read when its turn comes; what is in its slack too, if that is to be recovered.
pub(crate) fn file(path: PathBuf, recover: bool, selection: &Arc<Selection>) -> FileInput {
    let name = path.display().to_string();
    let log_name = name.clone();
    let open = move |stop: &Stop| {
        let log = match is_pipe(&path) {
            // A pipe that the shell gives a name. Opening it waits for the other end, too.
            true => spool(move || File::open(path), stop)
                .map_err(OpenError::Io)
                .and_then(|file| FileLog::new(log_name.clone(), LogName(log_name), file)),
            false => FileLog::open(&path),
        };
        recovering(log, recover)
    };
    FileInput::new(name, Arc::clone(selection), open)
}

/// A file on standard input.
pub(crate) fn stdin(recover: bool, selection: &Arc<Selection>) -> FileInput {
    let name = "-".to_owned();
    let log = LogName(name.clone());
    let open = move |stop: &Stop| {
        let file = open_stdin(stop).map_err(OpenError::Io);
        recovering(file.and_then(|file| FileLog::new(log.0.clone(), log, file)), recover)
    };
    FileInput::new(name, Arc::clone(selection), open)
}

/// Why a file can't be read as a log, and what to do.
pub(crate) fn refusal(name: &str, error: &LogError) -> Failure {
    let shown = if name == "-" { "standard input" } else { name };
    let of_system = match error {
        LogError::Open(error) => match &**error {
            OpenError::Io(error) => Some(error),
            _ => None,
        },
        _ => None,
    };
    match of_system {
        Some(error) => Failure::new(format!("{shown}: {}", plain(error))),
        None => {
            let failure = Failure::new(format!("{shown}: {error}"));
            match name != "-" && is_packed(Path::new(name)) {
                true => failure.hint("it is compressed: unpack it, or pipe it to quarry scan -"),
                false => failure,
            }
        }
    }
}

fn recovering(log: Result<FileLog, OpenError>, recover: bool) -> Result<FileLog, LogError> {
    let log = match recover {
        true => log.and_then(FileLog::recovering),
        false => log,
    };
    Ok(log?)
}

/// Whether a file begins as archives and compressed files do.
fn is_packed(path: &Path) -> bool {
    const MAGIC: [&[u8]; 6] =
        [b"\x1f\x8b", b"PK\x03\x04", b"7z\xbc\xaf", b"\xfd7zX", b"BZh", b"\x28\xb5\x2f\xfd"];
    if is_pipe(path) {
        return false;
    }
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(4).read_to_end(&mut start));
    read.is_ok() && MAGIC.iter().any(|magic| start.starts_with(magic))
}

fn is_pipe(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// Standard input as a file: itself where it is one, else a temporary copy.
fn open_stdin(stop: &Stop) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        if file.metadata()?.is_file() {
            return Ok(file);
        }
    }
    spool(|| Ok(io::stdin()), stop)
}

/// Copies what is read from a pipe to a temporary file, of which any part can be read.
fn spool<R: io::Read>(
    open: impl FnOnce() -> io::Result<R> + Send + 'static,
    stop: &Stop,
) -> io::Result<File> {
    let (sender, receiver) = mpsc::channel();
    // A read from a pipe can't be interrupted, so another thread waits in it.
    std::thread::spawn(move || {
        let copy = tempfile::tempfile().and_then(|mut file| {
            io::copy(&mut open()?, &mut file)?;
            Ok(file)
        });
        // Nobody listens when the run was interrupted.
        let _ = sender.send(copy);
    });
    loop {
        match receiver.recv_timeout(GLANCE) {
            Ok(copy) => return copy,
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(io::ErrorKind::Other.into()),
            Err(mpsc::RecvTimeoutError::Timeout) if stop.is_set() => {
                return Err(io::ErrorKind::Interrupted.into());
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
    }
}
