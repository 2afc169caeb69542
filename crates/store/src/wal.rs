//! The write-ahead log: what was pushed and isn't committed yet, durable on a local disk.
//!
//! A log is a folder of segments, each a header and frames. A frame has a number, the bookmarks that
//! its rows move, and the rows as an Arrow IPC stream. The number of the last frame that is in the
//! table is in the table itself, as a `txn` action in the same commit; so what a crash left is read
//! again from after that frame, and nothing is committed twice.
//!
//! Frames are acknowledged once a sync has succeeded that came after they were written. So a segment
//! whose end is no whole frame was cut before it was acknowledged. A frame that isn't whole with others
//! after it is damage: it is reported by its number, and what comes after it is read. A segment whose
//! sync failed is given up, and what wasn't synced is written into a new one, since the system may drop
//! what it couldn't write and call it clean.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use deltalake::arrow::ipc::reader::StreamReader;
use deltalake::arrow::ipc::writer::StreamWriter;
use deltalake::arrow::record_batch::RecordBatch;
use quarry_event::EventTime;
use quarry_lock::OwnedGuard;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::StoreError;
use crate::bookmarks::{Key, Mark};
use crate::{disk, files};

const MAGIC: &[u8; 8] = b"QUARRYW1";

/// The longest frame that is read. What is written is far shorter: a batch of rows has a GiB at most.
const LONGEST: usize = (1 << 31) - 1;
/// Rows that wait for a frame are written, though not synced, when they have so many bytes.
const BUFFERED: usize = 1 << 20;
/// How a frame's head begins, by which the next one is found after one that is damaged.
const HEAD: &[u8] = b"{\"number\":";
/// What of a frame is before its head: its length, its checksum, its head's length.
const BEFORE_HEAD: usize = 12;
/// How many times the bytes of a segment are checked at most while frames are looked for in it.
const SEARCHED: usize = 8;
/// How often a new log is begun until this process has one.
const TRIES: usize = 16;

/// A bookmark's move, as a frame has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    source: String,
    log: String,
    from: Option<i64>,
    to: i64,
    time: Option<u64>,
}

impl Step {
    pub(crate) fn new(key: &Key, from: Option<i64>, to: Mark) -> Self {
        Step {
            source: key.source.clone(),
            log: key.log.clone(),
            from,
            to: to.value,
            time: to.time.map(EventTime::as_filetime),
        }
    }

    pub(crate) fn key(&self) -> Key {
        Key::new(&self.source, &self.log)
    }

    pub(crate) fn from(&self) -> Option<i64> {
        self.from
    }

    pub(crate) fn to(&self) -> Mark {
        Mark { value: self.to, time: self.time.map(EventTime::from_filetime) }
    }
}

/// What precedes a frame's rows.
#[derive(Serialize, Deserialize)]
struct Frame {
    number: i64,
    steps: Vec<Step>,
}

/// A frame that was read.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) number: i64,
    pub(crate) steps: Vec<Step>,
    pub(crate) rows: Vec<RecordBatch>,
}

/// A write-ahead log that this process has to itself.
#[derive(Debug)]
pub(crate) struct Wal {
    folder: PathBuf,
    id: String,
    /// Keeps other processes off, for as long as this one lives.
    lock: OwnedGuard,
    /// Segments whose frames aren't all known to be committed.
    old: Vec<Old>,
    segment: Option<Segment>,
    /// The number of the segment that comes next.
    next_segment: u64,
    /// The number of the last frame.
    last: i64,
    /// What waits to be a frame.
    rows: Vec<RecordBatch>,
    steps: Vec<Step>,
    bytes: usize,
    /// Frames that are neither synced nor committed.
    unsynced: Vec<Unsynced>,
}

/// A frame that is to be written again should the sync fail.
#[derive(Debug)]
struct Unsynced {
    number: i64,
    bytes: Vec<u8>,
    /// Whether it is in the segment.
    written: bool,
}

/// A segment that isn't written to any more.
#[derive(Debug)]
struct Old {
    path: PathBuf,
    /// Its last frame.
    last: i64,
    /// Whether a part of it can't be read. It is kept under another name then.
    is_damaged: bool,
}

/// What a log has that isn't in the table.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// The frames that are whole.
    pub(crate) entries: Vec<Entry>,
    /// The numbers of those that are missing between or before them, where there is damage.
    pub(crate) missing: Vec<RangeInclusive<i64>>,
}

#[derive(Debug)]
struct Segment {
    file: File,
    path: PathBuf,
    /// The length up to which it is synced, and the last frame there; none before the first sync.
    synced: Option<(u64, i64)>,
    /// Its length.
    len: u64,
}

impl Wal {
    /// Takes every log in a folder that no process has, or begins one. The first is to go on with.
    pub(crate) fn take_all(folder: &Path) -> Result<Vec<Wal>, StoreError> {
        disk::create_folders(folder).map_err(|e| StoreError::disk("create", folder, e))?;
        let list = fs::read_dir(folder).map_err(|e| StoreError::disk("list", folder, e))?;
        let mut names: Vec<String> = list
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| Uuid::try_parse(name).is_ok())
            .collect();
        names.sort();
        let mut taken = Vec::new();
        for name in names {
            taken.extend(Wal::take(folder.join(&name), name)?);
        }
        // Another process may take a new one before this one does.
        for _ in 0..TRIES {
            if !taken.is_empty() {
                return Ok(taken);
            }
            let id = Uuid::new_v4().to_string();
            let path = folder.join(&id);
            disk::create_folders(&path).map_err(|e| StoreError::disk("create", &path, e))?;
            taken.extend(Wal::take(path, id)?);
        }
        match taken.is_empty() {
            true => Err(StoreError::InUse { path: folder.to_owned() }),
            false => Ok(taken),
        }
    }

    fn take(folder: PathBuf, id: String) -> Result<Option<Wal>, StoreError> {
        let options = quarry_lock::Options::new();
        let lock = match options.try_lock(folder.join("lock"), quarry_lock::Mode::Exclusive) {
            Ok(Some(lock)) => lock,
            Ok(None) => return Ok(None),
            // Whoever had it has removed it.
            Err(_) if !folder.exists() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(Some(Wal {
            folder,
            id,
            lock,
            old: Vec::new(),
            segment: None,
            next_segment: 0,
            last: 0,
            rows: Vec::new(),
            steps: Vec::new(),
            bytes: 0,
            unsynced: Vec::new(),
        }))
    }

    /// The identifier of the `txn` action that has the number of the last frame in the table.
    pub(crate) fn app_id(&self) -> String {
        format!("quarry-log:{}", self.id)
    }

    /// The number of the last frame.
    pub(crate) fn last(&self) -> i64 {
        self.last
    }

    /// Reads the frames after the last one that is in the table.
    pub(crate) fn read(&mut self, committed: i64) -> Result<Left, StoreError> {
        self.last = committed;
        let failed = |error| StoreError::disk("list", &self.folder, error);
        let mut segments = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(Ok(number)) = name.strip_suffix(".wal").map(str::parse::<u64>) {
                segments.push((number, path));
            }
        }
        segments.sort();
        let (mut left, mut has_damage) = (Left::default(), false);
        for (number, path) in segments {
            self.next_segment = self.next_segment.max(number + 1);
            let bytes = fs::read(&path).map_err(|e| StoreError::disk("read", &path, e))?;
            let (read, damage) = read_segment(&bytes);
            let is_whole =
                |part: &Range<usize>| part.end < bytes.len() || !is_cut(&bytes[part.clone()]);
            let is_damaged = damage.iter().any(is_whole);
            has_damage |= !damage.is_empty();
            for part in damage {
                let is_whole = is_whole(&part);
                let (path, begin, length) = (path.display(), part.start, part.len());
                match is_whole {
                    true => tracing::error!(
                        %path, begin, length,
                        "a part of the write-ahead log is damaged; what comes after it is read, and \
                         the file is kept"
                    ),
                    false => tracing::warn!(
                        %path, begin, length,
                        "the write-ahead log ends amid a frame: as a rule one that was being written \
                         and wasn't acknowledged"
                    ),
                }
            }
            let last = read.last().map_or(0, |entry| entry.number);
            // A frame can be in two segments, where the sync of the first had failed.
            for entry in read {
                if entry.number > self.last {
                    // Frames of rows that were dropped, as others had moved their logs, are in no
                    // commit and in no segment.
                    if has_damage && entry.number > self.last + 1 {
                        left.missing.push(self.last + 1..=entry.number - 1);
                    }
                    self.last = entry.number;
                    left.entries.push(entry);
                }
            }
            self.old.push(Old { path, last, is_damaged });
        }
        Ok(left)
    }

    /// Takes rows and moves. They are durable after the next [`sync`](Self::sync).
    pub(crate) fn push(&mut self, rows: &RecordBatch, steps: &[Step]) {
        self.bytes += files::size(rows);
        if rows.num_rows() > 0 {
            self.rows.push(rows.clone());
        }
        self.steps.extend_from_slice(steps);
        // Written early, so that a sync has less to do. An error shows again at the sync.
        if self.bytes >= BUFFERED && self.frame().is_ok() {
            let _ = self.write();
        }
    }

    /// Makes a frame of what waits.
    fn frame(&mut self) -> Result<(), StoreError> {
        if self.rows.is_empty() && self.steps.is_empty() {
            return Ok(());
        }
        let failed = |error| StoreError::engine("write a batch into the write-ahead log", error);
        let frame = Frame { number: self.last + 1, steps: self.steps.clone() };
        let head = serde_json::to_vec(&frame)
            .map_err(|error| StoreError::engine("write the write-ahead log", error))?;
        let mut bytes = (head.len() as u32).to_le_bytes().to_vec();
        bytes.extend_from_slice(&head);
        if let Some(rows) = files::joined(&self.rows)? {
            let mut writer = StreamWriter::try_new(&mut bytes, &rows.schema()).map_err(failed)?;
            writer.write(&rows).map_err(failed)?;
            writer.finish().map_err(failed)?;
        }
        let mut frame = (bytes.len() as u32).to_le_bytes().to_vec();
        frame.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        frame.extend_from_slice(&bytes);
        self.last += 1;
        self.unsynced.push(Unsynced { number: self.last, bytes: frame, written: false });
        self.rows.clear();
        self.steps.clear();
        self.bytes = 0;
        Ok(())
    }

    /// Writes the frames that weren't, without a sync.
    fn write(&mut self) -> Result<(), StoreError> {
        if self.unsynced.iter().all(|frame| frame.written) {
            return Ok(());
        }
        let mut segment = match self.segment.take() {
            Some(segment) => segment,
            None => self.begin()?,
        };
        for frame in self.unsynced.iter_mut().filter(|frame| !frame.written) {
            if let Err(error) = segment.file.write_all(&frame.bytes) {
                return Err(self.give_up(segment, "write", error));
            }
            segment.len += frame.bytes.len() as u64;
            frame.written = true;
        }
        self.segment = Some(segment);
        Ok(())
    }

    fn begin(&mut self) -> Result<Segment, StoreError> {
        let path = self.folder.join(format!("{:08}.wal", self.next_segment));
        self.next_segment += 1;
        let begin = || -> io::Result<File> {
            let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
            file.write_all(MAGIC)?;
            Ok(file)
        };
        match begin() {
            Ok(file) => Ok(Segment { file, path, synced: None, len: MAGIC.len() as u64 }),
            Err(error) => {
                let _ = fs::remove_file(&path);
                Err(StoreError::disk("write", path, error))
            }
        }
    }

    /// Makes durable what was pushed. Blocks for as long as the disk takes.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        self.frame()?;
        self.write()?;
        // A segment that is taken is put back, or `forget` would never see it.
        let Some(last) = self.unsynced.last().map(|frame| frame.number) else { return Ok(()) };
        let Some(mut segment) = self.segment.take() else { return Ok(()) };
        let mut synced = segment.file.sync_data();
        if synced.is_ok() && segment.synced.is_none() {
            synced = disk::sync_folder(&self.folder);
        }
        if let Err(error) = synced {
            return Err(self.give_up(segment, "sync", error));
        }
        segment.synced = Some((segment.len, last));
        self.segment = Some(segment);
        self.unsynced.clear();
        Ok(())
    }

    /// Leaves a segment that can't be written: what wasn't synced goes into another.
    fn give_up(&mut self, segment: Segment, doing: &'static str, error: io::Error) -> StoreError {
        self.unsynced.iter_mut().for_each(|frame| frame.written = false);
        match segment.synced {
            // The room may be what is missing.
            Some((len, last)) => {
                let _ = segment.file.set_len(len);
                let path = segment.path.clone();
                self.old.push(Old { path, last, is_damaged: false });
            }
            None => drop(fs::remove_file(&segment.path)),
        }
        StoreError::disk(doing, segment.path, error)
    }

    /// Ends a segment, so that what comes is apart from what is about to be committed: everything
    /// up to the frame whose number it says.
    pub(crate) fn rotate(&mut self) -> Result<i64, StoreError> {
        self.frame()?;
        if let Some(segment) = self.segment.take() {
            // What wasn't synced in it is written again, unless it is committed first.
            self.unsynced.iter_mut().for_each(|frame| frame.written = false);
            self.old.push(Old { path: segment.path, last: self.last, is_damaged: false });
        }
        Ok(self.last)
    }

    /// Forgets the frames that are in the table, up to a number.
    pub(crate) fn forget(&mut self, committed: i64) {
        self.unsynced.retain(|frame| frame.number > committed);
        self.old.retain(|Old { path, last, is_damaged }| {
            if *last > committed {
                return true;
            }
            let done = match is_damaged {
                true => fs::rename(path, path.with_extension("damaged")),
                false => fs::remove_file(path),
            };
            // What can't be removed is passed over when it is read again.
            done.is_err() && path.exists()
        });
    }

    /// Removes the log, whose frames are all in the table.
    pub(crate) fn remove(mut self) {
        if let Ok(last) = self.rotate() {
            self.forget(last);
        }
        if self.old.is_empty() && self.lock.unlock_and_remove().is_ok() {
            let _ = fs::remove_dir(&self.folder);
        }
    }
}

/// The frames of a segment that are whole, and the parts of it that are none.
pub(crate) fn read_segment(bytes: &[u8]) -> (Vec<Entry>, Vec<Range<usize>>) {
    let (mut entries, mut damage) = (Vec::new(), Vec::new());
    let mut at = if bytes.starts_with(MAGIC) { MAGIC.len() } else { 0 };
    let mut work = SEARCHED * bytes.len();
    while at < bytes.len() {
        if let Some((entry, after)) = read_frame(&bytes[at..]) {
            entries.push(entry);
            at = bytes.len() - after.len();
            continue;
        }
        let next = find_frame(bytes, at + 1, &mut work).unwrap_or(bytes.len());
        damage.push(at..next);
        at = next;
    }
    (entries, damage)
}

/// Whether what is no frame, at a segment's end, is the beginning of one that was being written: its length
/// says that more was to come, or nothing of it came. A whole one with another checksum was acknowledged.
fn is_cut(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return true };
    let length = u32::from_le_bytes(*length) as usize;
    bytes.iter().all(|byte| *byte == 0)
        || (1..=LONGEST).contains(&length) && rest.len() < 4 + length
}

/// Where the next whole frame begins, from a place on. What text of events looks like one costs no more
/// than so much work in all.
fn find_frame(bytes: &[u8], from: usize, work: &mut usize) -> Option<usize> {
    let heads = bytes.get(from..)?.windows(HEAD.len()).enumerate();
    let heads = heads.filter(|(_, window)| *window == HEAD).map(|(n, _)| from + n);
    for head in heads {
        let Some(start) = head.checked_sub(BEFORE_HEAD).filter(|start| *start >= from) else {
            continue;
        };
        let (length, _) = bytes[start..].split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > bytes.len() - start {
            continue;
        }
        *work = work.checked_sub(length)?;
        if read_frame(&bytes[start..]).is_some() {
            return Some(start);
        }
    }
    None
}

fn read_frame(bytes: &[u8]) -> Option<(Entry, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    if !(1..=LONGEST).contains(&length) {
        return None;
    }
    let (frame, rest) = rest.split_at_checked(length)?;
    if crc32fast::hash(frame) != u32::from_le_bytes(*sum) {
        return None;
    }
    let (head, stream) = frame.split_first_chunk::<4>()?;
    let (head, mut stream) = stream.split_at_checked(u32::from_le_bytes(*head) as usize)?;
    let head: Frame = serde_json::from_slice(head).ok()?;
    let rows = match stream.is_empty() {
        true => Vec::new(),
        false => {
            let reader = StreamReader::try_new(stream.by_ref(), None).ok()?;
            reader.collect::<Result<_, _>>().ok()?
        }
    };
    Some((Entry { number: head.number, steps: head.steps, rows }, rest))
}
