//! The file that says where each log was read to.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use quarry_event::EventTime;
use quarry_eventlog::{Cursor, LogName, RecordId};
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
    cursors: HashMap<Key, Cursor>,
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
    pub(crate) fn all(&self) -> HashMap<Key, Cursor> {
        self.cursors.clone()
    }

    /// Whether there is one of a source with this address.
    pub(crate) fn know(&self, address: &str) -> bool {
        self.cursors.keys().any(|(source, _)| source == address)
    }

    /// A log was read to a record, and that was printed.
    pub(crate) fn set(&mut self, key: Key, cursor: Cursor) {
        self.cursors.insert(key, cursor);
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

fn print(cursors: &HashMap<Key, Cursor>) -> String {
    let mut list: Vec<(&Key, &Cursor)> = cursors.iter().collect();
    list.sort_unstable_by_key(|(key, _)| *key);
    let each = |((source, log), cursor): &(&Key, &Cursor)| {
        let mut json = json!({ "source": source, "log": log.0, "record": cursor.record.0 });
        // Tells the record from one of the same number in a log that was recreated.
        if let Some(time) = cursor.time {
            json["time"] = time.to_string().into();
        }
        json
    };
    format!("{:#}\n", json!({ "v": 1, "cursors": list.iter().map(each).collect::<Vec<_>>() }))
}

fn parse(text: &str) -> Option<HashMap<Key, Cursor>> {
    let file: Json = serde_json::from_str(text).ok()?;
    if file["v"] != 1 {
        return None;
    }
    let each = |cursor: &Json| {
        let log = LogName::from(cursor["log"].as_str()?);
        let record = RecordId(cursor["record"].as_u64()?);
        let time = match &cursor["time"] {
            Json::Null => None,
            time => Some(EventTime::parse(time.as_str()?)?),
        };
        Some(((cursor["source"].as_str()?.to_owned(), log), Cursor { record, time }))
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
        let time = EventTime::parse("2026-08-22T10:00:00.1234567Z");
        cursors.set(key("System"), Cursor { record: RecordId(812), time });
        cursors.set(key("a\"b/ü"), u64::MAX.into());
        cursors.save().unwrap();
        let error = Cursors::open(&path).map(drop).unwrap_err();
        assert!(error.message.contains("in use"), "{}", error.message);
        let saved = cursors.all();
        drop(cursors);
        assert_eq!(Cursors::open(&path).unwrap().all(), saved);
    }

    #[test]
    fn a_file_of_before_cursors_had_times_is_read() {
        let text = r#"{"v":1,"cursors":[{"source":"even6://fred","log":"System","record":7}]}"#;
        let key = ("even6://fred".to_owned(), LogName::from("System"));
        assert_eq!(parse(text).unwrap(), HashMap::from([(key, Cursor::at(7))]));
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
