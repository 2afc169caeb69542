//! What is read: files once, servers once, servers and files for ever.

use std::sync::Arc;

use quarry_event::MessageSource;
use quarry_eventlog::{FileLog, LogError};

use crate::live::ServerTexts;
use crate::selection::Selection;
use crate::stop::Stop;

/// A source's place, from 0, among those of a run: files that are read once come first, then the others, each as
/// they were given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SourceId(pub usize);

impl SourceId {
    /// The place.
    pub fn index(self) -> usize {
        self.0
    }

    /// The place in the fleet of a run that has so many files, if it is one of the fleet.
    pub(crate) fn of_fleet(self, files: usize) -> Option<quarry_fleet::SourceId> {
        self.0.checked_sub(files).map(quarry_fleet::SourceId)
    }
}

/// A source that is read, as far as it is known now.
#[derive(Clone)]
#[non_exhaustive]
pub struct Source {
    /// Its place among all sources of the run.
    pub id: SourceId,
    /// Its name in an event's identity: a path, or a server's address.
    pub name: String,
    /// What the user calls it.
    pub shown: String,
    /// The host, of a server.
    pub host: Option<String>,
    /// The one log of a file that is read once.
    pub log: Option<String>,
    /// The fleet's own, where it is one of a fleet.
    pub remote: Option<Arc<dyn quarry_fleet::Source>>,
    pub(crate) selection: Arc<Selection>,
    pub(crate) texts: Option<Arc<dyn MessageSource>>,
}

impl Source {
    /// Whether it is a server, rather than a file.
    pub fn is_server(&self) -> bool {
        self.host.is_some()
    }

    /// What is wanted of it.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("id", &self.id).field("name", &self.name).finish()
    }
}

/// A file that is read once.
pub struct FileInput {
    pub(crate) name: String,
    pub(crate) selection: Arc<Selection>,
    pub(crate) texts: Option<Arc<dyn MessageSource>>,
    pub(crate) open: Box<OpenFile>,
}

type OpenFile = dyn FnOnce(&Stop) -> Result<FileLog, LogError> + Send;

impl FileInput {
    /// A file by its name in an event's identity, what is wanted of it, and what opens it when its
    /// turn comes. What takes long to open, such as a pipe, gives up when the run is stopped.
    /// The error of `open` is reported as [`Notice::FileFailed`](crate::Notice::FileFailed).
    pub fn new(
        name: impl Into<String>,
        selection: Arc<Selection>,
        open: impl FnOnce(&Stop) -> Result<FileLog, LogError> + Send + 'static,
    ) -> Self {
        FileInput { name: name.into(), selection, texts: None, open: Box::new(open) }
    }

    /// The same, with what knows message text for its events, if anything does.
    #[must_use]
    pub fn with_texts(self, texts: Option<Arc<dyn MessageSource>>) -> Self {
        FileInput { texts, ..self }
    }
}

impl std::fmt::Debug for FileInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileInput").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A source of a fleet: a server, this machine, or a file that is followed.
#[derive(Clone)]
#[non_exhaustive]
pub struct FleetInput {
    /// What opens it.
    pub source: Arc<dyn quarry_fleet::Source>,
    /// What is wanted of it.
    pub selection: Arc<Selection>,
    /// Whether it is a file: one log, whose events say which channel they are of.
    pub is_file: bool,
    /// What knows message text for its events.
    pub texts: Option<Arc<dyn MessageSource>>,
    /// What its batches go through before they are decoded.
    pub prepare: Option<Arc<dyn quarry_fleet::Prepare>>,
}

impl FleetInput {
    /// A server, or this machine.
    pub fn server(source: Arc<dyn quarry_fleet::Source>, selection: Arc<Selection>) -> Self {
        FleetInput { source, selection, is_file: false, texts: None, prepare: None }
    }

    /// A file.
    pub fn file(source: Arc<dyn quarry_fleet::Source>, selection: Arc<Selection>) -> Self {
        FleetInput { source, selection, is_file: true, texts: None, prepare: None }
    }

    /// The same, with what knows message text for its events, if anything does.
    #[must_use]
    pub fn with_texts(self, texts: Option<Arc<dyn MessageSource>>) -> Self {
        FleetInput { texts, ..self }
    }

    /// The same, with the server's own message text, which is fetched as its batches need it.
    #[must_use]
    pub fn with_live_texts(self, texts: Arc<ServerTexts>) -> Self {
        FleetInput { texts: Some(Arc::clone(&texts) as _), prepare: Some(texts), ..self }
    }
}

impl std::fmt::Debug for FleetInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FleetInput").field("source", &self.source.name()).finish_non_exhaustive()
    }
}
