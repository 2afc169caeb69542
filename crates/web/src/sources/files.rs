//! Files, all of which are read for a question: what is counted is exact.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use quarry_collect::{
    Delivery, FileInput, FleetInput, Next, Notice, Pipeline, Selection, Sink, Source, Stop,
};
use quarry_event::MessageSource;
use quarry_fleet::FileSource;
use quarry_fleet::eventlog::{Detail, EventLog as _, FileLog, LogError, LogName};
use tokio::sync::watch;

use super::follow::follow;
use super::gather::{Allowed, Gather, Gathered};
use super::health::{Health, Known};
use super::search::{Feed, Trouble};
use super::{Asked, Backend, SourceInfo, SourceKind};
use crate::access::Person;
use crate::stream::hub::Hub;

/// Opens a file, or says why it can't be read. Where somebody else asks than who started the program,
/// it is given what was opened as them, and nothing else is opened.
pub type OpenFile = dyn Fn(Option<File>, &Stop) -> Result<FileLog, Trouble> + Send + Sync;

/// A file that can be asked.
#[derive(Clone)]
pub struct FileSpec {
    /// Its name in an event's identity, which is also what it is called.
    pub name: String,
    /// Where it lies, or the archive that it is in: its size and time tell when it has changed, and
    /// the system decides by it who may read it.
    pub path: PathBuf,
    /// Whether it is in an archive.
    pub is_packed: bool,
    /// What knows message text for its events.
    pub texts: Option<Arc<dyn MessageSource>>,
    /// What opens it, each time it is asked.
    pub open: Arc<OpenFile>,
}

impl std::fmt::Debug for FileSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileSpec").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Files that are asked.
#[derive(Debug)]
pub struct Files {
    files: Vec<FileSpec>,
    infos: Vec<SourceInfo>,
    runtime: tokio::runtime::Handle,
    health: Arc<Known>,
}

impl Files {
    /// Files, read on threads of a runtime that may block.
    pub fn new(files: Vec<FileSpec>, runtime: tokio::runtime::Handle) -> Self {
        let infos = files.iter().map(|file| SourceInfo::new(&*file.name, SourceKind::File));
        let health = Known::new(files.len());
        Files { infos: infos.collect(), files, runtime, health }
    }
}

impl Backend for Files {
    fn is_stored(&self) -> bool {
        false
    }

    fn sources(&self) -> &[SourceInfo] {
        &self.infos
    }

    fn reads_as_person(&self) -> bool {
        true
    }

    fn answer(&self, asked: Asked, sources: Vec<usize>, feed: Feed) {
        let files: Vec<FileSpec> = sources.iter().map(|&n| self.files[n].clone()).collect();
        let runtime = self.runtime.clone();
        self.runtime.spawn_blocking(move || read(&asked, files, &runtime, &feed));
    }

    fn state(&self) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        for file in &self.files {
            if let Ok(metadata) = file.path.metadata() {
                metadata.len().hash(&mut hasher);
                metadata.modified().ok().hash(&mut hasher);
            }
        }
        Some(hasher.finish())
    }

    fn follow(&self, asked: Asked, sources: Vec<usize>, hub: Arc<Hub>) -> bool {
        let selection = asked.question.selection(&asked.wanted, true, false);
        let Ok(selection) = selection.map(Arc::new) else { return false };
        let files = sources.into_iter().filter_map(|n| {
            let file = Some(&self.files[n]).filter(|file| !file.is_packed)?;
            let source = FileSource::new(&*file.path);
            let person = asked.question.person.clone();
            let source = Arc::new(match person.opens_as_program() {
                true => source,
                false => source.opened_by(Arc::new(move |path: &Path| {
                    let person = person.clone();
                    async move { person.open(path).await }.boxed()
                })),
            });
            let input = FleetInput::file(source, Arc::clone(&selection));
            Some(input.with_texts(file.texts.clone()))
        });
        let files: Vec<FleetInput> = files.collect();
        let is_any = !files.is_empty();
        if is_any {
            let runtime = self.runtime.clone();
            self.runtime.spawn_blocking(move || follow(&asked, files, &runtime, None, &hub));
        }
        is_any
    }

    fn health(&self, _: &Person) -> Vec<Health> {
        self.health.all()
    }

    fn survey(&self, _: &Person) -> watch::Receiver<u64> {
        let changes = self.health.changes();
        if self.health.begin() {
            let (files, health) = (self.files.clone(), Arc::clone(&self.health));
            let runtime = self.runtime.clone();
            self.runtime.spawn_blocking(move || {
                for (n, file) in files.iter().enumerate() {
                    let info = (file.open)(None, &Stop::default()).map(|log| {
                        let name = runtime.block_on(log.logs()).unwrap_or_default().pop();
                        let name = name.unwrap_or_else(|| LogName(file.name.clone()));
                        let info = runtime.block_on(log.info(&name, Detail::Properties));
                        let info = info.map_err(|error| error.to_string());
                        vec![(name.0, info)]
                    });
                    health.set(n, info);
                }
                health.end();
            });
        }
        changes
    }
}

/// Opens a file as the person who asks: the system decides whether they may read it.
fn open_as(
    person: &Person,
    file: &FileSpec,
    runtime: &tokio::runtime::Handle,
    stop: &Stop,
) -> Result<FileLog, Trouble> {
    if person.opens_as_program() {
        return (file.open)(None, stop);
    }
    let opened = runtime.block_on(person.open(&file.path)).map_err(|error| {
        let text = error.to_string().to_lowercase();
        let what = text.split(" (os error ").next().unwrap_or_default();
        let remedy = (error.kind() == std::io::ErrorKind::PermissionDenied)
            .then(|| format!("{} may not read it on that machine", person.name()));
        Trouble::new(&*file.name, what, remedy)
    })?;
    (file.open)(Some(opened), stop)
}

fn read(asked: &Asked, files: Vec<FileSpec>, runtime: &tokio::runtime::Handle, feed: &Feed) {
    let (selection, limit) =
        match asked.question.selection(&asked.wanted, true, asked.wanted.counts) {
            Ok(selection) if asked.wanted.is_quick => limited(selection, asked.wanted.rows),
            Ok(selection) => (Arc::new(selection), None),
            Err(problem) => {
                let trouble = Trouble::new("", problem.detail, None);
                return (0..files.len()).for_each(|n| feed.trouble(n, trouble.clone(), true));
            }
        };
    let failed: Arc<Mutex<HashMap<usize, Trouble>>> = Arc::default();
    let input = |(n, file): (usize, FileSpec)| {
        let (failed, name, texts) = (Arc::clone(&failed), file.name.clone(), file.texts.clone());
        let (person, runtime) = (asked.question.person.clone(), runtime.clone());
        let open = move |stop: &Stop| {
            open_as(&person, &file, &runtime, stop).map_err(|trouble| {
                failed.lock().unwrap_or_else(PoisonError::into_inner).insert(n, trouble);
                LogError::Nonsense("the file can't be read")
            })
        };
        FileInput::new(name, Arc::clone(&selection), open).with_texts(texts)
    };
    let inputs = files.into_iter().enumerate().map(input).collect();
    let gather = Gather::new(&asked.wanted, asked.wanted.counts, &feed.threshold());
    let mut sink = Feeding { feed, failed, is_counted: asked.wanted.counts, limit };
    let pipeline = Pipeline::scan(inputs)
        .direction(asked.wanted.direction())
        .stop(feed.stop())
        .stage(Allowed::new(asked, asked.wanted.counts));
    let (summary, _) = pipeline.run(&gather, &mut sink, None);
    tracing::debug!(records = summary.records, matched = summary.matched, "files were read");
}

/// Gives what a pipeline delivers to a search.
pub(super) struct Feeding<'f> {
    pub(super) feed: &'f Feed,
    /// Why files can't be read, by their places.
    pub(super) failed: Arc<Mutex<HashMap<usize, Trouble>>>,
    pub(super) is_counted: bool,
    /// How many events of each source were asked for.
    pub(super) limit: Option<u64>,
}

impl Sink for Feeding<'_> {
    type Output = Gathered;
    type Error = Infallible;

    fn take(&mut self, delivery: &mut Delivery<Gathered>) -> Result<Next, Infallible> {
        let Delivery { source, records, matched, output, damage, .. } = delivery;
        if !damage.is_empty() {
            self.feed.hole(source.id.index());
        }
        self.feed.gathered(source.id.index(), *records, *matched, output, self.is_counted);
        Ok(if self.feed.check_time() { Next::Stop } else { Next::Go })
    }

    fn notice(&mut self, source: &Source, notice: Notice) -> Result<(), Infallible> {
        let n = source.id.index();
        match notice {
            Notice::Opened => self.feed.opened(n),
            Notice::FileFailed(error) => {
                let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                let trouble = failed
                    .remove(&n)
                    .unwrap_or_else(|| Trouble::new(&*source.shown, error.to_string(), None));
                self.feed.trouble(n, trouble, true);
            }
            Notice::Ended => self.feed.ended(n, self.limit),
            Notice::Gap { log, first, last } => {
                let what = match last {
                    Some(last) => format!("records {first} to {last} of {log} were overwritten"),
                    None => format!("{log} began anew before record {first}"),
                };
                self.feed.trouble(n, Trouble::new(&*source.shown, what, None), false);
            }
            _ => {}
        }
        Ok(())
    }

    fn tick(&mut self, _: bool) -> Result<(), Infallible> {
        self.feed.check_time();
        Ok(())
    }
}

/// What a selection is of the sources that are read once.
pub(super) fn limited(selection: Selection, rows: usize) -> (Arc<Selection>, Option<u64>) {
    let limit = u64::try_from(rows.max(1)).ok();
    (Arc::new(selection.with_limit(limit)), limit)
}
