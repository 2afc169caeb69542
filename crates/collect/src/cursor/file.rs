//! Cursors in a file of JSON.

use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quarry_event::EventTime;
use quarry_eventlog::{Cursor, LogName, RecordId};
use quarry_lock::{Mode, Options, OwnedGuard};
use serde_json::{Value as Json, json};

use super::{CursorError, CursorStore, LogCursor};

/// The largest file that is one of ours.
const MAX_BYTES: u64 = 64 << 20;

/// What the names of files begin and end with that are not whole yet.
const UNFINISHED: (&str, &str) = (".", ".cursors");

/// Cursors, and the file that they are kept in, which nobody else uses meanwhile.
///
/// The path is resolved once. Whatever other name leads there, by links or otherwise, the lock is
/// the same, and saving replaces the file itself, with its mode, rather than a link to it: whoever
/// reads it sees the old one or the new one whole, after a crash too.
#[derive(Debug)]
pub struct FileCursors {
    /// As it was named, for messages.
    named: PathBuf,
    path: PathBuf,
    _lock: OwnedGuard,
    /// Of the file that is replaced, where there is one.
    permissions: Option<Permissions>,
    cursors: Arc<quarry_fleet::Cursors>,
    is_saved: bool,
}

impl FileCursors {
    /// Takes a file, which need not be there yet.
    ///
    /// # Errors
    /// [`CursorError`] if another process uses it, if it isn't a regular file with cursors, or can't
    /// be read. It is left as it was.
    pub fn open(named: &Path) -> Result<Self, CursorError> {
        let failed = |error| CursorError::Io { path: named.to_owned(), error };
        let path = resolve(named).map_err(failed)?;
        let lock = lock(named, &path)?;
        let found = read(named, &path)?;
        let (cursors, permissions) = match found {
            Some((text, permissions)) => {
                let cursors = parse(&text).ok_or(CursorError::NotCursors(named.to_owned()))?;
                (cursors, Some(permissions))
            }
            None => (quarry_fleet::Cursors::default(), None),
        };
        remove_unfinished(&path);
        Ok(FileCursors {
            named: named.to_owned(),
            path,
            _lock: lock,
            permissions,
            cursors: Arc::new(cursors),
            is_saved: true,
        })
    }

    /// Whether there is a cursor of a source with this address.
    pub fn knows(&self, address: &str) -> bool {
        self.cursors.keys().any(|(source, _)| source == address)
    }

    fn replace(&self) -> io::Result<()> {
        let folder = folder(&self.path);
        let mut builder = tempfile::Builder::new();
        let prefix = unfinished(&self.path);
        builder.prefix(&prefix).suffix(UNFINISHED.1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            // Of which the user's mask takes what it takes of any new file.
            builder.permissions(Permissions::from_mode(0o666));
        }
        let mut new = builder.tempfile_in(folder)?;
        if let Some(permissions) = &self.permissions {
            new.as_file().set_permissions(permissions.clone())?;
        }
        new.write_all(print(&self.cursors).as_bytes())?;
        new.as_file().sync_all()?;
        new.persist(&self.path).map_err(|e| e.error)?;
        sync_folder(folder)
    }
}

impl CursorStore for FileCursors {
    fn cursors(&self) -> Arc<quarry_fleet::Cursors> {
        Arc::clone(&self.cursors)
    }

    fn acknowledge(&mut self, cursor: LogCursor) {
        let LogCursor { source, log, cursor } = cursor;
        let cursors = Arc::make_mut(&mut self.cursors);
        let before = cursors.insert((source, log), cursor);
        self.is_saved &= before == Some(cursor);
    }

    fn save(&mut self) -> Result<(), CursorError> {
        if !self.is_saved {
            self.replace().map_err(|error| CursorError::Io { path: self.named.clone(), error })?;
            self.is_saved = true;
        }
        Ok(())
    }
}

/// The one path of a file, whatever it was named by.
fn resolve(named: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(named) {
        // It isn't there yet; a link that leads nowhere is.
        Err(e) if e.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(named).is_err() => {
            let name = named.file_name().ok_or(io::ErrorKind::InvalidInput)?;
            Ok(fs::canonicalize(folder(named))?.join(name))
        }
        resolved => resolved,
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn lock(named: &Path, path: &Path) -> Result<OwnedGuard, CursorError> {
    let mut lock = OsString::from(path);
    lock.push(".lock");
    let lock = PathBuf::from(lock);
    match Options::new().create(true).try_lock(&lock, Mode::Exclusive) {
        Ok(Some(guard)) => Ok(guard),
        Ok(None) => Err(CursorError::InUse { path: named.to_owned(), lock }),
        Err(error) => Err(CursorError::Lock { path: lock, error }),
    }
}

/// The file's text and mode, if it is there.
fn read(named: &Path, path: &Path) -> Result<Option<(String, Permissions)>, CursorError> {
    let failed = |error| CursorError::Io { path: named.to_owned(), error };
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt as _;
        // The path was resolved: a link is one that somebody has put there since. And a pipe would
        // be waited for.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
    }
    let file = match options.open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(CursorError::NotAFile(named.to_owned()));
    }
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::nlink(&metadata) > 1 {
        return Err(CursorError::Linked(named.to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(CursorError::TooLarge(named.to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|_| CursorError::NotCursors(named.to_owned()))?;
    Ok(Some((text, metadata.permissions())))
}

/// What the names begin with of files that are to replace one.
fn unfinished(path: &Path) -> OsString {
    let mut name = OsString::from(UNFINISHED.0);
    name.push(path.file_name().unwrap_or_default());
    name.push(".");
    name
}

/// Removes what a process left that was killed while it saved. Nobody saves now.
fn remove_unfinished(path: &Path) {
    let prefix = unfinished(path);
    let is_left = |name: &OsStr| {
        let name = name.as_encoded_bytes();
        name.starts_with(prefix.as_encoded_bytes()) && name.ends_with(UNFINISHED.1.as_bytes())
    };
    let Ok(entries) = fs::read_dir(folder(path)) else { return };
    for entry in entries.flatten().filter(|entry| is_left(&entry.file_name())) {
        // One that stays takes up room, and that is all.
        let _ = fs::remove_file(entry.path());
    }
}

/// Makes a new name in a folder durable, where the system can.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    match fs::File::open(folder)?.sync_all() {
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

fn print(cursors: &quarry_fleet::Cursors) -> String {
    let mut list: Vec<_> = cursors.iter().collect();
    list.sort_unstable_by_key(|(key, _)| *key);
    let each = |((source, log), cursor): &(&(String, LogName), &Cursor)| {
        let mut json = json!({ "source": source, "log": log.0, "record": cursor.record.0 });
        // Tells the record from one of the same number in a log that was recreated.
        if let Some(time) = cursor.time {
            json["time"] = time.to_string().into();
        }
        json
    };
    format!("{:#}\n", json!({ "v": 1, "cursors": list.iter().map(each).collect::<Vec<_>>() }))
}

fn parse(text: &str) -> Option<quarry_fleet::Cursors> {
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

    fn cursor(log: &str, cursor: impl Into<Cursor>) -> LogCursor {
        let (source, log) = ("even6://fred".to_owned(), LogName::from(log));
        LogCursor { source, log, cursor: cursor.into() }
    }

    fn saved(path: &Path, record: u64) {
        let mut cursors = FileCursors::open(path).unwrap();
        cursors.acknowledge(cursor("System", record));
        cursors.save().unwrap();
    }

    #[test]
    fn what_is_saved_is_what_is_read_and_nobody_else_has_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.cursor");
        let mut cursors = FileCursors::open(&path).unwrap();
        assert!(cursors.cursors().is_empty());
        let time = EventTime::parse("2026-08-22T10:00:00.1234567Z");
        cursors.acknowledge(cursor("System", Cursor { record: RecordId(812), time }));
        cursors.acknowledge(cursor("a\"b/ü", u64::MAX));
        cursors.save().unwrap();
        let error = FileCursors::open(&path).unwrap_err();
        assert!(matches!(error, CursorError::InUse { .. }), "{error}");
        let saved = cursors.cursors();
        drop(cursors);
        assert_eq!(FileCursors::open(&path).unwrap().cursors(), saved);
    }

    #[test]
    fn a_file_of_before_cursors_had_times_is_read() {
        let text = r#"{"v":1,"cursors":[{"source":"even6://fred","log":"System","record":7}]}"#;
        let key = ("even6://fred".to_owned(), LogName::from("System"));
        assert_eq!(parse(text).unwrap(), quarry_fleet::Cursors::from([(key, Cursor::at(7))]));
    }

    #[test]
    fn another_file_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let texts: [&[u8]; 6] =
            [b"", b"{}", b"[1]", br#"{"v":2,"cursors":[]}"#, br#"{"v":1,"cursors":[{}]}"#, b"\xff"];
        for text in texts {
            fs::write(&path, text).unwrap();
            let error = FileCursors::open(&path).unwrap_err();
            assert!(matches!(error, CursorError::NotCursors(_)), "{error}");
            assert_eq!(fs::read(&path).unwrap(), text);
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(FileCursors::open(&path).is_err());
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let left = folder.path().join(".x.abc123.cursors");
        let others = [".xy.abc123.cursors", "x.abc123.cursors", ".x.abc123"];
        fs::write(&left, "half").unwrap();
        others.iter().for_each(|name| fs::write(folder.path().join(name), "").unwrap());
        saved(&path, 1);
        assert!(!left.exists());
        others.iter().for_each(|name| assert!(folder.path().join(name).exists(), "{name}"));
    }

    #[cfg(unix)]
    mod unix {
        use std::os::unix::fs::{PermissionsExt as _, symlink};

        use super::*;

        #[test]
        fn a_link_is_resolved_and_stays_and_the_lock_is_one_by_every_name() {
            let folder = tempfile::tempdir().unwrap();
            let (real, link) = (folder.path().join("real"), folder.path().join("link"));
            saved(&real, 1);
            symlink("real", &link).unwrap();
            symlink(".", folder.path().join("here")).unwrap();
            let held = FileCursors::open(&link).unwrap();
            for name in ["real", "link", "here/real", "./here/here/link"] {
                let error = FileCursors::open(&folder.path().join(name)).unwrap_err();
                assert!(matches!(error, CursorError::InUse { .. }), "{name}: {error}");
            }
            drop(held);
            saved(&link, 2);
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            let numbers = FileCursors::open(&real).unwrap().cursors();
            assert_eq!(numbers.values().copied().collect::<Vec<_>>(), [Cursor::at(2)]);
        }

        #[test]
        fn a_file_with_two_names_a_link_to_nothing_and_a_pipe_are_refused_at_once() {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            saved(&path("a"), 1);
            fs::hard_link(path("a"), path("b")).unwrap();
            assert!(matches!(FileCursors::open(&path("b")), Err(CursorError::Linked(_))));
            symlink("nothing", path("dangling")).unwrap();
            assert!(matches!(FileCursors::open(&path("dangling")), Err(CursorError::Io { .. })));
            assert!(!path("nothing").exists());
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), kind, mode, 0).unwrap();
            // Nobody writes to it: whoever opens it as a file waits for ever.
            assert!(matches!(FileCursors::open(&path("pipe")), Err(CursorError::NotAFile(_))));
        }

        #[test]
        fn the_mode_is_kept_and_no_link_of_a_stranger_is_written_through() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x");
            saved(&path, 1);
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
            fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
            let victim = folder.path().join("victim");
            fs::write(&victim, "precious").unwrap();
            // A name that could be foreseen.
            for name in ["x.new", ".x.cursors", ".x.new"] {
                symlink(&victim, folder.path().join(name)).unwrap();
            }
            saved(&path, 2);
            assert_eq!(mode(&path), 0o640);
            assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        }
    }
}
