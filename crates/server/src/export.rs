//! `quarryd export`: the events of files and servers as one Parquet file, with the table's columns.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quarry_collect::{Delivery, Next, Sink};
use quarry_eventlog::Direction;
use quarry_program::error::{Closed, Failure, Outcome, plain};
use quarry_program::filter::{Question, Zone};
use quarry_program::input::Input;
use quarry_program::interrupt;
use quarry_program::run::Setup;
use quarry_store::schema::schema;
use quarry_store::{Export, WriteError};
use tempfile::NamedTempFile;

use crate::args::ExportArgs;
use crate::collect::work::{Made, MakeRows};

pub(crate) fn run(args: &ExportArgs) -> Result<Outcome, Failure> {
    if args.lines == Some(0) {
        return Err(Failure::new("--lines: 0 events are none").hint("quarry count counts them"));
    }
    let zone = Zone::new(&args.show.terminal)?;
    let question = Question::new(&args.read.filter, &zone, &[])?;
    schema(&args.columns).map_err(|error| Failure::new(format!("--columns: {error}")))?;
    let direction = if args.reverse { Direction::Backward } else { Direction::Forward };
    let setup = Setup { shows_texts: true, direction, ..Setup::of(&args.show) };
    // From here on Ctrl-C leaves no temporary file behind.
    let (mut run, inputs) = setup.begin(&question, &args.read)?;
    let target = Target::new(&args.output)?;
    target.check_against(&inputs.files)?;
    let out = target.writer().map_err(|error| target.failed(&error))?;
    let export = Export::new(&args.columns, out);
    let export = export.map_err(|error| Failure::new(error.to_string()))?;
    let selection = Arc::new(question.selection.with_limit(args.lines));
    let work = MakeRows { columns: args.columns.as_slice().into() };
    let mut writing = Writing { export, target: &target };
    let read = run.read(inputs, &selection, &work, &mut writing);
    let export = writing.export;
    let written = read.and_then(|()| export.finish().map_err(|error| target.closed(error)));
    let Outcome { read, matched, .. } = run.outcome();
    // Where nothing could be read, or not all that was wanted, there is no file.
    let is_wanted = !interrupt::is_set() && (read > 0 || matched);
    let written = written.and_then(|_| match is_wanted {
        true => target.finish().map_err(Closed::Failed),
        false => Ok(()),
    });
    run.conclude(written, |_| ())
}

/// Writes rows as they come.
struct Writing<'t> {
    export: Export,
    target: &'t Target,
}

impl Sink for Writing<'_> {
    type Output = Made;
    type Error = Closed;

    fn take(&mut self, delivery: &mut Delivery<Made>) -> Result<Next, Closed> {
        if let Some(error) = delivery.output.failed.take() {
            return Err(Closed::Failed(Failure::new(error.to_string())));
        }
        if let Some(rows) = delivery.output.rows() {
            self.export.write(rows).map_err(|error| self.target.closed(error))?;
        }
        Ok(Next::Go)
    }
}

/// What is written to.
enum Target {
    Stdout,
    /// A device or a pipe, which nothing can take the place of.
    Special(PathBuf),
    /// A file, which appears when it is whole.
    File {
        temporary: NamedTempFile,
        path: PathBuf,
    },
}

impl Target {
    fn new(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            if io::stdout().is_terminal() {
                return Err(Failure::new("a Parquet file is no text for a terminal")
                    .hint("write it to a file: -o events.parquet"));
            }
            return Ok(Target::Stdout);
        }
        // A link leads to what is written.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        match path.metadata() {
            Ok(found) if found.is_dir() => {
                return Err(Failure::new(format!("{} is a folder", path.display()))
                    .hint("name a file in it"));
            }
            Ok(found) if !found.is_file() => return Ok(Target::Special(path)),
            _ => {}
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut builder = tempfile::Builder::new();
        builder.prefix(".quarryd-export-").suffix(".tmp");
        #[cfg(unix)]
        {
            // As any file that a program makes: the umask says who may read it.
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let temporary = builder.tempfile_in(folder.unwrap_or(Path::new(".")));
        Ok(Target::File { temporary: temporary.map_err(|error| named(&path, &error))?, path })
    }

    /// # Errors
    /// What is written would take the place of what is read.
    fn check_against(&self, inputs: &[Input]) -> Result<(), Failure> {
        let Target::File { path, .. } = self else { return Ok(()) };
        let is_it = |input: &Input| match input {
            Input::File(read) | Input::Member { path: read, .. } => {
                read.canonicalize().is_ok_and(|read| read == *path)
            }
            _ => false,
        };
        match inputs.iter().any(is_it) {
            true => Err(Failure::new(format!("{} is one of the sources", path.display()))
                .hint("name another file: the log would be gone")),
            false => Ok(()),
        }
    }

    fn writer(&self) -> io::Result<Box<dyn Write + Send>> {
        Ok(match self {
            Target::Stdout => Box::new(BufWriter::new(io::stdout())),
            Target::Special(path) => Box::new(File::options().write(true).open(path)?),
            Target::File { temporary, .. } => Box::new(temporary.as_file().try_clone()?),
        })
    }

    /// Gives the file, which has come to its end, its name, once it is durable.
    fn finish(self) -> Result<(), Failure> {
        let Target::File { temporary, path } = self else { return Ok(()) };
        temporary.as_file().sync_all().map_err(|error| named(&path, &error))?;
        temporary.persist(&path).map_err(|error| named(&path, &error.error))?;
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> Failure {
        match self {
            Target::Stdout => Failure::io("standard output", error),
            Target::Special(path) | Target::File { path, .. } => named(path, error),
        }
    }

    /// Why no more can be written.
    fn closed(&self, error: WriteError) -> Closed {
        match error {
            WriteError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Closed::Pipe,
            WriteError::Output(error) => Closed::Failed(self.failed(&error)),
            error => Closed::Failed(Failure::new(error.to_string())),
        }
    }
}

fn named(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("{}: {}", path.display(), plain(error)))
}
