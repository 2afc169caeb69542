//! The file in which a holder says who it is.
//!
//! It is text, a name and a value a line:
//!
//! ```text
//! quarry-lock holder record 1
//! note: this file only says who holds the lock. Deleting it unlocks nothing.
//! pid: 4242
//! host: collector1
//! since: 1732264800.123456
//! mode: exclusive
//! range: 0:10
//! command: quarry tail dc01
//! ```

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{Announcement, Holder, Source};
use crate::{ByteRange, Mode, region::Region, sys};

const HEADER: &str = "quarry-lock holder record 1";
const NOTE: &str = "note: this file only says who holds the lock. Deleting it unlocks nothing.";
const LONGEST_COMMAND: usize = 1000;
const LONGEST_RECORD: u64 = 4096;
/// What follows the name of the locked file and `.holder-` for the one exclusive holder.
const EXCLUSIVE: &str = "exclusive";
/// How many entries of a folder are looked through for records, and how many records are read.
const MOST_ENTRIES: usize = 100_000;
const MOST_RECORDS: usize = 1000;

/// A record of ours. It goes with the lock.
pub(crate) struct Record {
    path: PathBuf,
    /// Open and locked as a sign of life.
    #[cfg_attr(not(unix), allow(dead_code))]
    file: File,
}

impl Record {
    /// Writes the record beside the locked file. `None` if that can't be done: a lock does not
    /// depend on it. Must be called, and the record dropped, with the lock held.
    pub(crate) fn write(
        locked: &Path,
        announcement: &Announcement,
        region: Region,
        mode: Mode,
    ) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Hosts may share the folder, so the process id alone does not make the name unique.
        let unique = format!(
            "{}-{}-{}",
            std::process::id(),
            since.as_micros(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let prefix = prefix(locked)?;
        let beside = |name: &str| {
            let mut path = prefix.clone();
            path.push(name);
            locked.with_file_name(path)
        };
        let unfinished = beside(&format!("{unique}.new"));
        // There is one exclusive holder at a time, and its record replaces that of a dead one. Those
        // of the dead among the others have to be looked for.
        let path = if (region, mode) == (Region::Whole, Mode::Exclusive) {
            beside(EXCLUSIVE)
        } else {
            remove_stale(locked);
            beside(&unique)
        };
        let text = format(announcement, region, mode, since);
        // It gets its name when it is complete and locked. So whoever finds it unlocked knows
        // that its writer is gone.
        let written = sys::create_record(&unfinished).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            std::fs::rename(&unfinished, &path)?;
            Ok(file)
        });
        match written {
            Ok(file) => Some(Self { path, file }),
            Err(_) => {
                let _ = std::fs::remove_file(&unfinished);
                None
            }
        }
    }

    #[cfg(unix)]
    pub(crate) fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.file)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // If it stays, it is stale, and the next one to announce itself clears it away.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Every record beside the locked file.
pub(super) fn read_all(locked: &Path) -> io::Result<Vec<Holder>> {
    Ok(records(locked)?.iter().filter_map(|path| read(path).ok().flatten()).collect())
}

fn remove_stale(locked: &Path) {
    for path in records(locked).unwrap_or_default() {
        if let Ok(Some(Holder { stale: true, .. })) = read(&path) {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn records(locked: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(folder), Some(prefix)) = (locked.parent(), prefix(locked)) else {
        return Ok(Vec::new());
    };
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    Ok(entries
        .take(MOST_ENTRIES)
        .filter_map(Result::ok)
        .filter(|entry| is_record(&entry.file_name(), &prefix))
        .map(|entry| entry.path())
        .take(MOST_RECORDS)
        .collect())
}

fn prefix(locked: &Path) -> Option<OsString> {
    let mut name = locked.file_name()?.to_os_string();
    name.push(".holder-");
    Some(name)
}

fn is_record(name: &OsStr, prefix: &OsStr) -> bool {
    name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes()).is_some_and(|rest| {
        rest == EXCLUSIVE.as_bytes()
            || rest.iter().all(|&byte| byte.is_ascii_digit() || byte == b'-')
    })
}

fn format(announcement: &Announcement, region: Region, mode: Mode, since: Duration) -> String {
    let command =
        &announcement.command[..announcement.command.floor_char_boundary(LONGEST_COMMAND)];
    let mode = match mode {
        Mode::Shared => "shared",
        Mode::Exclusive => "exclusive",
    };
    let range = match region {
        Region::Whole => String::new(),
        Region::Range(range) => format!("range: {range}\n"),
    };
    format!(
        "{HEADER}\n{NOTE}\npid: {}\nhost: {}\nsince: {}.{:06}\nmode: {mode}\n{range}command: {}\n",
        std::process::id(),
        one_line(&sys::host_name()),
        since.as_secs(),
        since.subsec_micros(),
        one_line(command),
    )
}

/// A value is a line, whatever is in it.
fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

/// `None` if the file is no record, whoever put it there.
fn read(path: &Path) -> io::Result<Option<Holder>> {
    let file = sys::open_record(path)?;
    // Alive is asked first: its writer may end, and remove it, at any time after.
    let stale = !sys::record_is_live(&file)?;
    let mut text = Vec::new();
    (&file).take(LONGEST_RECORD).read_to_end(&mut text)?;
    Ok(parse(&String::from_utf8_lossy(&text)).map(|holder| Holder { stale, ..holder }))
}

fn parse(text: &str) -> Option<Holder> {
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        return None;
    }
    let mut holder = Holder {
        pid: None,
        host: None,
        command: None,
        since: None,
        mode: Mode::Exclusive,
        range: None,
        source: Source::Announced,
        stale: false,
    };
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        // Whoever wrote it: nothing in it reaches a terminal as a command.
        let value = &*one_line(value);
        match name {
            "pid" => holder.pid = value.parse().ok(),
            "host" => holder.host = Some(value.into()),
            "command" => holder.command = Some(value.into()),
            "since" => holder.since = parse_since(value),
            "mode" if value == "shared" => holder.mode = Mode::Shared,
            "range" => holder.range = parse_range(value),
            _ => {}
        }
    }
    Some(holder)
}

fn parse_since(value: &str) -> Option<SystemTime> {
    let (seconds, micros) = value.split_once('.')?;
    let micros = micros.parse().ok().filter(|&micros: &u64| micros < 1_000_000)?;
    UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds.parse().ok()?))?
        .checked_add(Duration::from_micros(micros))
}

fn parse_range(value: &str) -> Option<ByteRange> {
    let (start, len) = value.split_once(':')?;
    let (start, len) = (start.parse().ok()?, len.parse().ok()?);
    if len == 0 { ByteRange::starting_at(start) } else { ByteRange::new(start, len) }.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        let range = ByteRange::new(3, 4).expect("a valid range");
        let announcement = Announcement::new("copy a\nto b");
        let since = Duration::new(1_700_000_000, 123_456_000);
        let text = format(&announcement, Region::Range(range), Mode::Shared, since);
        let holder = parse(&text).expect("a record");
        assert_eq!(holder.pid, Some(std::process::id()));
        assert_eq!(holder.host.as_deref(), Some(&*sys::host_name()));
        assert_eq!(holder.command.as_deref(), Some("copy a to b"));
        assert_eq!(holder.since, Some(UNIX_EPOCH + since));
        assert_eq!(holder.mode, Mode::Shared);
        assert_eq!(holder.range, Some(range));
    }

    #[test]
    fn a_long_command_is_cut_between_characters_and_the_record_stays_within_its_limit() {
        let announcement = Announcement::new("ä".repeat(10_000));
        let text = format(&announcement, Region::Whole, Mode::Exclusive, Duration::ZERO);
        assert!(text.len() as u64 <= LONGEST_RECORD);
        let holder = parse(&text).expect("a record");
        assert_eq!(holder.command, Some("ä".repeat(500)));
    }

    #[test]
    fn what_is_no_record_is_passed_over_and_nonsense_in_one_does_no_harm() {
        assert_eq!(parse(""), None);
        assert_eq!(parse("pid: 1\n"), None);
        let text = format!("{HEADER}\npid: -1\nsince: 99999999999999999999.5\nrange: 9:x\nmode\n");
        let holder = parse(&text).expect("a record");
        assert_eq!((holder.pid, holder.since, holder.range), (None, None, None));
        let far = format!(
            "{HEADER}\nsince: 18446744073709551615.999999\nrange: 5:18446744073709551615\n"
        );
        let holder = parse(&far).expect("a record");
        assert_eq!((holder.since, holder.range), (None, None));
    }

    #[test]
    fn only_names_that_continue_the_locked_files_are_records() {
        let prefix = OsStr::new("a.lock.holder-");
        assert!(is_record(OsStr::new("a.lock.holder-12-34-0"), prefix));
        assert!(is_record(OsStr::new("a.lock.holder-exclusive"), prefix));
        assert!(!is_record(OsStr::new("a.lock.holder-exclusively"), prefix));
        assert!(!is_record(OsStr::new("a.lock.holder-12-34-0.new"), prefix));
        assert!(!is_record(OsStr::new("a.lock"), prefix));
        assert!(!is_record(OsStr::new("b.lock.holder-1-2-3"), prefix));
    }
}
