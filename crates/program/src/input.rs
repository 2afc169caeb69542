//! Files as they are read: by themselves, unpacked, out of an archive, or from a pipe; and what is
//! known over all files of a scan.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use quarry_archive::{ArchiveError, Entry, Packing, ZipFile};
use quarry_collect::{FileInput, Selection, Stop};
use quarry_eventlog::{FileLog, LogError, LogName};
use quarry_logfile::{Definitions, OpenError, ReadAt};

use crate::error::{Failure, plain};

/// A file that can be read, or why a source can't be.
#[derive(Debug)]
pub enum Input {
    /// A file, which may be packed, or a pipe.
    File(PathBuf),
    /// A file in an archive.
    Member {
        /// The archive.
        archive: Arc<ZipFile>,
        /// The archive's name.
        path: PathBuf,
        /// The file in it.
        entry: Entry,
    },
    /// Standard input.
    Stdin,
    /// Nothing can be read.
    Failed(Failure),
}

impl Input {
    /// As it is named in what is printed.
    pub fn name(&self) -> String {
        match self {
            Input::File(path) => path.display().to_string(),
            Input::Member { path, entry, .. } => format!("{}/{}", path.display(), entry.name),
            Input::Stdin => "-".to_owned(),
            Input::Failed(failure) => failure.message.clone(),
        }
    }
}

/// How files are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FileOptions {
    /// Whether what logs have given up is wanted too, and what is left of them in other files.
    pub recover: bool,
    /// Whether it is told which files have records of another.
    pub tell_copies: bool,
}

/// The files of a scan.
pub struct Files {
    inputs: Vec<Input>,
    options: FileOptions,
    shared: Mutex<Shared>,
}

/// What is known over all files.
#[derive(Default)]
struct Shared {
    /// What came from pipes, by its place among the inputs: it comes only once.
    piped: HashMap<usize, File>,
    /// Template definitions of all files, once these were gone over.
    definitions: Option<Arc<Definitions>>,
    copies: Copies,
    /// Why files can't be read, by their places.
    failures: HashMap<usize, Failure>,
}

impl Files {
    /// Files that are read so.
    pub fn new(inputs: Vec<Input>, options: FileOptions) -> Self {
        Files { inputs, options, shared: Mutex::default() }
    }

    /// The files in their order, each to be opened when its turn comes.
    pub fn inputs(files: &Arc<Self>, selection: &Arc<Selection>) -> Vec<FileInput> {
        let input = |n: usize| {
            let opener = Arc::clone(files);
            let open = move |stop: &Stop| {
                opener.open(n, stop).map_err(|failure| {
                    opener.shared().failures.insert(n, failure);
                    LogError::from(OpenError::NotALog)
                })
            };
            FileInput::new(files.inputs[n].name(), Arc::clone(selection), open)
        };
        (0..files.inputs.len()).map(input).collect()
    }

    /// Why a file couldn't be opened, and what to do.
    pub fn failure(&self, n: usize) -> Option<Failure> {
        self.shared().failures.remove(&n)
    }

    /// Opens a file as the program may; or takes what was opened as somebody else, and opens nothing
    /// but the archive that it is in, which they may read.
    ///
    /// # Errors
    /// It can't be read, or is no log.
    pub fn open_given(
        &self,
        n: usize,
        given: Option<File>,
        stop: &Stop,
    ) -> Result<FileLog, Failure> {
        match (&self.inputs[n], given) {
            (Input::File(path), Some(file)) => {
                let name = path.display().to_string();
                let open = || -> Result<FileLog, Unread> {
                    if !file.metadata()?.is_file() || packing(&file)?.is_some() {
                        return self.open_file(&name, &name, file, stop);
                    }
                    let start = start(&file)?;
                    FileLog::of_open(path, file).map_err(|error| Unread::NoLog { error, start })
                };
                open().map_err(|e| e.named(&name))
            }
            _ => self.open(n, stop),
        }
    }

    /// Opens a file, if it is wanted until it is open. Where records are recovered, the first one
    /// waits until all were gone over for the templates that are in them.
    ///
    /// # Errors
    /// It can't be read, or is no log.
    pub fn open(&self, n: usize, stop: &Stop) -> Result<FileLog, Failure> {
        let input = &self.inputs[n];
        let mut log = self.open_one(n, stop)?;
        if self.options.recover && self.inputs.len() > 1 {
            log.set_other_definitions(self.definitions(stop));
        }
        if self.options.tell_copies
            && self.inputs.len() > 1
            && let Some(other) = self.shared().copies.add(&input.name(), &log)
        {
            log.set_copy_of(other);
        }
        Ok(log)
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The definitions of all files.
    fn definitions(&self, stop: &Stop) -> Arc<Definitions> {
        if let Some(known) = &self.shared().definitions {
            return Arc::clone(known);
        }
        let mut all = Definitions::default();
        for n in 0..self.inputs.len() {
            // What can't be read is told when it is to be printed.
            let log = self.open_one(n, stop);
            let is_wanted = || !stop.is_set();
            if let Ok(Ok(definitions)) = log.map(|log| log.definitions(is_wanted)) {
                all.add(&definitions);
            }
        }
        Arc::clone(self.shared().definitions.insert(Arc::new(all)))
    }

    fn open_one(&self, n: usize, stop: &Stop) -> Result<FileLog, Failure> {
        let input = &self.inputs[n];
        let name = input.name();
        match input {
            Input::Failed(failure) => Err(failure.clone()),
            Input::File(path) if !is_pipe(path) => self.open_path(path, stop),
            Input::File(path) => {
                let path = path.clone();
                self.open_piped(n, stop, move || File::open(path))
                    .and_then(|file| self.open_file(&name, &name, file, stop))
                    .map_err(|e| e.named(&name))
            }
            Input::Stdin => {
                let file = match stdin_file() {
                    Ok(Some(file)) => Ok(file),
                    Ok(None) => self.open_piped(n, stop, || Ok(io::stdin())),
                    Err(e) => Err(e.into()),
                };
                file.and_then(|file| self.open_file(&name, &name, file, stop))
                    .map_err(|e| e.named("standard input"))
            }
            Input::Member { archive, entry, .. } => {
                let is_wanted = || !stop.is_set();
                archive
                    .unpack(entry, &is_wanted)
                    .map_err(Unread::from)
                    .and_then(|file| self.open_log(&name, &entry.name, file))
                    .map_err(|e| e.named(&name))
            }
        }
    }

    fn open_path(&self, path: &Path, stop: &Stop) -> Result<FileLog, Failure> {
        let name = path.display().to_string();
        let open = || -> Result<FileLog, Unread> {
            let file = File::open(path)?;
            if file.metadata()?.is_file() && packing(&file)?.is_none() && !self.options.recover {
                let start = start(&file)?;
                return FileLog::open(path).map_err(|error| Unread::NoLog { error, start });
            }
            self.open_file(&name, &name, file, stop)
        };
        open().map_err(|e| e.named(&name))
    }

    /// Opens a file that may be packed.
    fn open_file(
        &self,
        name: &str,
        log_name: &str,
        file: File,
        stop: &Stop,
    ) -> Result<FileLog, Unread> {
        let Some(packing) = packing(&file)? else { return self.open_log(name, log_name, file) };
        if packing == Packing::Zip {
            return Err(Unread::Zip);
        }
        let is_wanted = || !stop.is_set();
        let unpacked = quarry_archive::unpack(packing, &file, &is_wanted)?;
        let (log_name, _) = log_name.rsplit_once('.').unwrap_or((log_name, ""));
        self.open_log(name, log_name, unpacked)
    }

    fn open_log(
        &self,
        name: &str,
        log_name: &str,
        file: impl ReadAt + 'static,
    ) -> Result<FileLog, Unread> {
        let log_name = match name {
            "-" => LogName("-".to_owned()),
            _ => LogName::of_file(Path::new(log_name)),
        };
        let start = start(&file)?;
        let log = match self.options.recover {
            true => FileLog::of_any(name.to_owned(), log_name, file),
            false => FileLog::new(name.to_owned(), log_name, file),
        };
        log.map_err(|error| Unread::NoLog { error, start })
    }

    /// What a pipe gives, as a file.
    fn open_piped<R: io::Read>(
        &self,
        n: usize,
        stop: &Stop,
        open: impl FnOnce() -> io::Result<R> + Send + 'static,
    ) -> Result<File, Unread> {
        if let Some(file) = self.shared().piped.get(&n) {
            return Ok(file.try_clone()?);
        }
        let file = spool(open, stop)?;
        if self.options.recover && self.inputs.len() > 1 {
            self.shared().piped.insert(n, file.try_clone()?);
        }
        Ok(file)
    }
}

/// Why a file can't be read as a log.
enum Unread {
    Archive(ArchiveError),
    /// It is a zip archive, which only a file with a name is searched as.
    Zip,
    NoLog {
        error: OpenError,
        /// What it begins with.
        start: Vec<u8>,
    },
}

impl From<ArchiveError> for Unread {
    fn from(error: ArchiveError) -> Self {
        Unread::Archive(error)
    }
}

impl From<OpenError> for Unread {
    fn from(error: OpenError) -> Self {
        Unread::NoLog { error, start: Vec::new() }
    }
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        OpenError::Io(error).into()
    }
}

impl Unread {
    /// What is wrong, and what to do.
    fn named(self, name: &str) -> Failure {
        match self {
            Unread::Archive(error) => archive_failure(name, &error),
            Unread::Zip => Failure::new(format!("{name}: a zip archive is only read as a file"))
                .hint("save it, and name that file"),
            Unread::NoLog { error: OpenError::Io(e), .. } => {
                Failure::new(format!("{name}: {}", plain(&e)))
            }
            Unread::NoLog { error, start } => {
                let failure = Failure::new(format!("{name}: {error}"));
                match error {
                    OpenError::NotALog if is_packed_otherwise(&start) => {
                        failure.hint("it is compressed in a way that is not read: unpack it first")
                    }
                    OpenError::NotALog => failure
                        .hint("quarry scan --recover finds what is left of event logs in a file of any kind"),
                    _ => failure,
                }
            }
        }
    }
}

/// Why an archive, or a file in it, can't be read, and what to do.
pub fn archive_failure(name: &str, error: &ArchiveError) -> Failure {
    let failure = match error {
        ArchiveError::Io(e) => return Failure::new(format!("{name}: {}", plain(e))),
        error => Failure::new(format!("{name}: {error}")),
    };
    match error {
        ArchiveError::Encrypted => failure.hint("unpack it with its password first"),
        ArchiveError::Nested | ArchiveError::Method(_) => failure.hint("unpack it first"),
        ArchiveError::Damaged(_) => {
            failure.hint("unpack it as far as that goes, and name the file that comes of it")
        }
        ArchiveError::TooLarge { .. } | ArchiveError::Entries => {
            failure.hint("if it is to be trusted, unpack it first")
        }
        _ => failure,
    }
}

/// How a file is packed, if it is in a way that is read.
///
/// # Errors
/// It can't be read.
pub fn packing(file: &impl ReadAt) -> io::Result<Option<Packing>> {
    start(file).map(|start| Packing::of(&start))
}

/// Whether a file is packed in a way that is read.
pub fn is_packed(path: &Path) -> bool {
    !is_pipe(path)
        && File::open(path).and_then(|file| packing(&file)).is_ok_and(|packing| packing.is_some())
}

fn start(file: &impl ReadAt) -> io::Result<Vec<u8>> {
    let mut start = vec![0; 6];
    let read = file.read_full_at(&mut start, 0)?;
    start.truncate(read);
    Ok(start)
}

/// Whether a file begins as archives and compressed files do that are not read.
fn is_packed_otherwise(start: &[u8]) -> bool {
    const MAGIC: [&[u8]; 4] = [b"7z\xbc\xaf\x27\x1c", b"\xfd7zXZ\0", b"BZh", b"Rar!"];
    MAGIC.iter().any(|magic| start.starts_with(magic))
}

fn is_pipe(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// Standard input, where it is a file.
fn stdin_file() -> io::Result<Option<File>> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        if file.metadata()?.is_file() {
            return Ok(Some(file));
        }
    }
    Ok(None)
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
            io::Seek::rewind(&mut file)?;
            Ok(file)
        });
        // Nobody listens when the run was interrupted.
        let _ = sender.send(copy);
    });
    loop {
        match receiver.recv_timeout(std::time::Duration::from_millis(50)) {
            Ok(copy) => return copy,
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(io::ErrorKind::Other.into()),
            Err(mpsc::RecvTimeoutError::Timeout) if stop.is_set() => {
                return Err(io::ErrorKind::Interrupted.into());
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Which files have records that another has too. A log goes on at its beginning when it is full,
/// so that copies of different days begin with different records; but a chunk that both have
/// begins with the same one.
#[derive(Default)]
struct Copies {
    /// Which file has a chunk that begins so.
    seen: HashMap<(u64, u64), Arc<str>>,
}

impl Copies {
    /// The most beginnings that are remembered: of 64 GiB of logs.
    const MOST: usize = 1 << 20;

    /// Adds a file; gives the name of one that has records of it.
    fn add(&mut self, name: &str, log: &FileLog) -> Option<String> {
        let name: Arc<str> = name.into();
        let mut other = None;
        for begin in log.beginnings() {
            match self.seen.get(&begin) {
                Some(known) => {
                    other.get_or_insert_with(|| known.to_string());
                }
                None if self.seen.len() < Self::MOST => {
                    self.seen.insert(begin, Arc::clone(&name));
                }
                None => {}
            }
        }
        other.filter(|other| **other != *name)
    }
}
