//! Linux: the kernel's table of locks, `/proc/locks` (proc_locks(5)), and who has them open.

use std::{fs, io::Read, path::Path};

use super::{Holder, Source};
use crate::{ByteRange, Mode, sys::FileId};

/// The most that is read of the table, about 100,000 locks.
const LONGEST_TABLE: u64 = 8 << 20;
/// How often the table is read for a lock that isn't in it. The kernel gives it a page at a time, and
/// of a lock that is released in between the next one is passed over.
const READS: usize = 3;
const LONGEST_COMMAND: u64 = 1000;
const MOST_PROCESSES: usize = 100_000;
const MOST_DESCRIPTORS: usize = 100_000;

/// The holders of whole-file and range locks on a file, without those who only wait.
pub(super) fn holders(id: FileId) -> Vec<Holder> {
    let locks = (0..READS).map(|_| locks_on(id)).find(|locks| !locks.is_empty());
    let locks = locks.unwrap_or_default();
    let mut holders = Vec::new();
    // The table names the process that took the lock. Range locks have none, and the one that
    // took a whole-file lock may be gone while those who inherited it are there.
    let mut unknown = Vec::new();
    for lock in locks {
        match lock.pid.filter(|pid| Path::new("/proc").join(pid.to_string()).exists()) {
            Some(pid) => holders.push(lock.holder(Some(pid))),
            None => unknown.push(lock),
        }
    }
    if !unknown.is_empty() {
        let found = open_by(id);
        if found.is_empty() {
            holders.extend(unknown.iter().map(|lock| lock.holder(None)));
        } else {
            holders.extend(found.iter().map(|(pid, lock)| lock.holder(Some(*pid))));
        }
    }
    let mut once: Vec<Holder> = Vec::new();
    for holder in holders {
        if !once.contains(&holder) {
            once.push(holder);
        }
    }
    once
}

/// The table's locks on a file.
fn locks_on(id: FileId) -> Vec<Lock> {
    let mut table = String::new();
    let Ok(file) = fs::File::open("/proc/locks") else { return Vec::new() };
    if file.take(LONGEST_TABLE).read_to_string(&mut table).is_err() {
        return Vec::new();
    }
    table.lines().filter_map(|line| Lock::parse(line, id)).collect()
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Lock {
    pid: Option<u32>,
    mode: Mode,
    range: Option<ByteRange>,
}

impl Lock {
    /// A line such as `1: FLOCK  ADVISORY  WRITE 4242 fe:00:1234 0 EOF`, if it is about this file
    /// and says that a lock is held.
    fn parse(line: &str, id: FileId) -> Option<Self> {
        let fields: Vec<&str> = line.split_ascii_whitespace().take(9).collect();
        let [_, kind @ ("FLOCK" | "OFDLCK" | "POSIX"), _, mode, pid, file, start, end] = fields[..]
        else {
            return None;
        };
        let (major, minor, inode) = id.device_and_inode();
        let mut parts = file.splitn(3, ':');
        let number = |part: Option<&str>| u32::from_str_radix(part?, 16).ok();
        if number(parts.next()) != Some(major)
            || number(parts.next()) != Some(minor)
            || parts.next()?.parse() != Ok(inode)
        {
            return None;
        }
        let range = if kind == "FLOCK" { None } else { Some(parse_range(start, end)?) };
        let mode = if mode == "WRITE" { Mode::Exclusive } else { Mode::Shared };
        Some(Self { pid: pid.parse().ok().filter(|&pid| pid > 0), mode, range })
    }

    fn holder(&self, pid: Option<u32>) -> Holder {
        Holder {
            pid,
            host: None,
            command: pid.and_then(command_of),
            since: None,
            mode: self.mode,
            range: self.range,
            source: Source::Kernel,
            stale: false,
        }
    }
}

fn parse_range(start: &str, end: &str) -> Option<ByteRange> {
    let start: u64 = start.parse().ok()?;
    if end == "EOF" {
        return ByteRange::starting_at(start).ok();
    }
    let last: u64 = end.parse().ok()?;
    ByteRange::new(start, last.checked_sub(start)?.checked_add(1)?).ok()
}

/// Which processes have the file open with a lock on it. Those of other users can't be seen.
fn open_by(id: FileId) -> Vec<(u32, Lock)> {
    let mut found = Vec::new();
    let mut descriptors = 0;
    for process in entries("/proc".as_ref()).take(MOST_PROCESSES) {
        let Some(pid) = process.file_name().and_then(|name| name.to_str()?.parse().ok()) else {
            continue;
        };
        for descriptor in entries(&process.join("fdinfo")) {
            descriptors += 1;
            if descriptors > MOST_DESCRIPTORS {
                return found;
            }
            let text = fs::read_to_string(descriptor).unwrap_or_default();
            let locks = text.lines().filter_map(|line| line.strip_prefix("lock:"));
            found.extend(locks.filter_map(|line| Some((pid, Lock::parse(line, id)?))));
        }
    }
    found
}

fn entries(folder: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path())
}

fn command_of(pid: u32) -> Option<String> {
    let mut command = Vec::new();
    let file = fs::File::open(format!("/proc/{pid}/cmdline")).ok()?;
    file.take(LONGEST_COMMAND).read_to_end(&mut command).ok()?;
    let text = String::from_utf8_lossy(&command);
    let text = text.trim_end_matches('\0').replace(|c: char| c.is_control(), " ");
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of_a_file() -> (FileId, String) {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let id = crate::sys::id_of_path(file.path()).expect("a look at it").expect("it is there");
        let (major, minor, inode) = id.device_and_inode();
        (id, format!("{major:02x}:{minor:02x}:{inode}"))
    }

    #[test]
    fn a_line_says_who_holds_what() {
        let (id, file) = id_of_a_file();
        assert_eq!(
            Lock::parse(&format!("1: FLOCK  ADVISORY  WRITE 4242 {file} 0 EOF"), id),
            Some(Lock { pid: Some(4242), mode: Mode::Exclusive, range: None })
        );
        assert_eq!(
            Lock::parse(&format!("7: OFDLCK ADVISORY  READ -1 {file} 10 19"), id),
            Some(Lock {
                pid: None,
                mode: Mode::Shared,
                range: Some(ByteRange::new(10, 10).expect("a valid range"))
            })
        );
    }

    #[test]
    fn waiters_leases_other_files_and_nonsense_are_passed_over() {
        let (id, file) = id_of_a_file();
        for line in [
            &format!("1: -> FLOCK  ADVISORY  WRITE 4242 {file} 0 EOF"),
            &format!("1: LEASE  ACTIVE    WRITE 4242 {file} 0 EOF"),
            "1: FLOCK  ADVISORY  WRITE 4242 ff:ff:1 0 EOF",
            "1: FLOCK",
            "",
            &format!("1: OFDLCK ADVISORY  READ -1 {file} 10 9"),
        ] {
            assert_eq!(Lock::parse(line, id), None, "{line}");
        }
    }
}
