//! A log file that grows, as a source that can be followed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quarry_event::filter::Glob;
use quarry_eventlog::{BoxFuture, EventLog, FileLog, LogError, OpenError};

use crate::source::Source;

/// An `.evtx` or `.evt` file by its path. It is opened again each time, so it may be replaced
/// meanwhile.
#[derive(Clone)]
pub struct FileSource {
    path: PathBuf,
    name: String,
    address: String,
    logs: Vec<Glob>,
    opener: Option<Arc<Opener>>,
}

/// Opens a file as somebody else.
pub type Opener = dyn Fn(&Path) -> BoxFuture<'_, io::Result<File>> + Send + Sync;

impl std::fmt::Debug for FileSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileSource").field("path", &self.path).finish_non_exhaustive()
    }
}

impl FileSource {
    /// The file with a path, which is also what it is called. Its address is the same path from the
    /// root, so that what is remembered of it holds in any folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = path.display().to_string();
        let address = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        let address = address.display().to_string();
        // The one log it has, whatever its name.
        let logs = Glob::parse("*").into_iter().collect();
        FileSource { path, name, address, logs, opener: None }
    }

    /// The same, opened by somebody who may read what this program may not. What takes the file's
    /// place isn't seen then.
    #[must_use]
    pub fn opened_by(self, opener: Arc<Opener>) -> Self {
        FileSource { opener: Some(opener), ..self }
    }

    /// The path, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Source for FileSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn logs(&self) -> &[Glob] {
        &self.logs
    }

    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn EventLog>, LogError>> {
        Box::pin(async {
            let log = match &self.opener {
                None => FileLog::open(&self.path)?,
                Some(open) => {
                    let file = open(&self.path).await.map_err(OpenError::from)?;
                    FileLog::of_open(&self.path, file)?
                }
            };
            Ok(Arc::new(log) as Arc<dyn EventLog>)
        })
    }
}
