//! The file that says where each log was read to.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use quarry_eventlog::LogName;
use quarry_lock::{Mode, Options, OwnedGuard};
use serde_json::{Value as Json, json};

use crate::error::{Failure, plain};

/// How long what was printed may go unsaved. After a kill that much comes again.
const UNSAVED: Duration = Duration::from_millis(500);

/// The largest file that is one of ours.
const MAX_BYTES: u64 = 64 << 20;

/// A log of a source, by its address.
pub(crate) type Key = (String, LogName);

/// Cursors, and the file that they are kept in.
pub(crate) struct Cursors {
    path: PathBuf,
    /// Keeps others from using the file.
    _lock: OwnedGuard,
    cursors: HashMap<Key, u64>,
    /// Since when the file is behind.
    unsaved: Option<Instant>,
}

impl Cursors {
    /// Takes the file, which need not be there yet.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let lock_path = beside(path, ".lock");
        let lock = match Options::new().create(true).try_lock(&lock_path, Mode::Exclusive) {
            Ok(Some(lock)) => lock,
            Ok(None) => {
                return Err(Failure::new(format!("{shown} is in use by another quarry tail"))
                    .hint(format!("quarry lock --who {}", lock_path.display())));
            }
            Err(e) => return Err(Failure::new(format!("{}: {e}", lock_path.display()))),
        };
        let cursors = match fs::metadata(path) {
            Ok(metadata) if metadata.len() > MAX_BYTES => {
                return Err(Failure::new(format!("{shown} is too large for a cursor file")));
            }
            Ok(_) => {
                let text = fs::read_to_string(path)
                    .map_err(|e| Failure::new(format!("{shown}: {}", plain(&e))))?;
                parse(&text).ok_or_else(|| {
                    Failure::new(format!("{shown} is not a cursor file"))
                        .hint("name another file, or delete it to begin anew")
                })?
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => HashMap::new(),
            Err(e) => return Err(Failure::new(format!("{shown}: {}", plain(&e)))),
        };
        Ok(Cursors { path: path.to_owned(), _lock: lock, cursors, unsaved: None })
    }

    /// Where each log was read to.
    pub(crate) fn all(&self) -> HashMap<Key, u64> {
        self.cursors.clone()
    }

    /// Whether there is one of a source with this address.
    pub(crate) fn know(&self, address: &str) -> bool {
        self.cursors.keys().any(|(source, _)| source == address)
    }

    /// A log was read to a record, and that was printed.
    pub(crate) fn set(&mut self, key: Key, record: u64) {
        self.cursors.insert(key, record);
        self.unsaved.get_or_insert_with(Instant::now);
    }

    /// Saves when it is time.
    pub(crate) fn tick(&mut self) -> Result<(), Failure> {
        match self.unsaved {
            Some(since) if since.elapsed() >= UNSAVED => self.save(),
            _ => Ok(()),
        }
    }

    /// Replaces the file: whoever reads it sees the old one or the new one whole.
    pub(crate) fn save(&mut self) -> Result<(), Failure> {
        if self.unsaved.is_none() {
            return Ok(());
        }
        let new = beside(&self.path, ".new");
        let write = || {
            let mut file = fs::File::create(&new)?;
            file.write_all(print(&self.cursors).as_bytes())?;
            file.sync_data()?;
            fs::rename(&new, &self.path)
        };
        write().map_err(|e| Failure::new(format!("{}: {}", self.path.display(), plain(&e))))?;
        self.unsaved = None;
        Ok(())
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

fn print(cursors: &HashMap<Key, u64>) -> String {
    let mut list: Vec<(&Key, &u64)> = cursors.iter().collect();
    list.sort_unstable();
    let each = |((source, log), record): &(&Key, &u64)| json!({ "source": source, "log": log.0, "record": record });
    format!("{:#}\n", json!({ "v": 1, "cursors": list.iter().map(each).collect::<Vec<_>>() }))
}

fn parse(text: &str) -> Option<HashMap<Key, u64>> {
    let file: Json = serde_json::from_str(text).ok()?;
    if file["v"] != 1 {
        return None;
    }
    let each = |cursor: &Json| {
        let log = LogName::from(cursor["log"].as_str()?);
        Some(((cursor["source"].as_str()?.to_owned(), log), cursor["record"].as_u64()?))
    };
    file["cursors"].as_array()?.iter().map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_what_is_read_and_nobody_else_has_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.cursor");
        let key = |log: &str| ("even6://fred".to_owned(), LogName::from(log));
        let mut cursors = Cursors::open(&path).unwrap();
        assert!(cursors.all().is_empty());
        cursors.set(key("System"), 812);
        cursors.set(key("a\"b/ü"), u64::MAX);
        cursors.save().unwrap();
        let error = Cursors::open(&path).map(drop).unwrap_err();
        assert!(error.message.contains("in use"), "{}", error.message);
        let saved = cursors.all();
        drop(cursors);
        assert_eq!(Cursors::open(&path).unwrap().all(), saved);
    }

    #[test]
    fn another_file_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        for text in ["", "{}", "[1]", r#"{"v":2,"cursors":[]}"#, r#"{"v":1,"cursors":[{}]}"#] {
            fs::write(&path, text).unwrap();
            assert!(Cursors::open(&path).is_err(), "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
