//! A log file that grows, as a source that can be followed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use quarry_event::filter::Glob;
use quarry_eventlog::{BoxFuture, EventLog, FileLog, LogError};

use crate::source::Source;

/// An `.evtx` or `.evt` file by its path. It is opened again each time, so it may be replaced
/// meanwhile.
#[derive(Clone, Debug)]
pub struct FileSource {
    path: PathBuf,
    name: String,
    address: String,
    logs: Vec<Glob>,
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
        FileSource { path, name, address, logs: Glob::parse("*").into_iter().collect() }
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
            let log = FileLog::open(&self.path)?;
            Ok(Arc::new(log) as Arc<dyn EventLog>)
        })
    }
}
