//! What an appender does, apart from the store that it does it to.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deltalake::arrow::array::{Array, AsArray, BooleanArray};
use deltalake::arrow::compute::filter_record_batch;
use deltalake::arrow::record_batch::RecordBatch;
use object_store::path::Path;

use super::Flushed;
use super::held::{Way, not_taken};
use crate::bookmarks::{Key, Mark};
use crate::commit::{Added, Draft, Outcome};
use crate::files::{self, DataFile, Name};
use crate::order::Ordered;
use crate::schema::column;
use crate::table::{FOLDER, Inner, with_columns};
use crate::wal::{Left, Step, Wal};
use crate::{Move, Rows, StoreError, checkpoint};

/// Commits that a handle may lag behind, since loading costs more than a commit.
const LAG: u64 = 32;
/// What of the memory for rows may be committed and not loaded yet: one part of so many.
const LAGGING: usize = 16;
/// Rows and bytes of a batch that is made of rows of many sources.
const BATCH: (usize, usize) = (8192, 4 << 20);

/// Rows on their way into the table. They are pushed while others are committed.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    desk: Mutex<Desk>,
    air: tokio::sync::Mutex<Air>,
}

/// Where rows wait.
#[derive(Debug, Default)]
struct Desk {
    wal: Option<Wal>,
    /// Rows that aren't a batch yet, and where they bring logs.
    gathered: Option<Rows>,
    gathered_ways: HashMap<Key, Way>,
    /// Whether rows that were gathered couldn't be made a batch: nothing may be committed after them.
    is_spoiled: bool,
    /// Where the rows that wait bring logs, and from where.
    marks: HashMap<Key, Way>,
    /// Since when rows have waited.
    since: Option<Instant>,
    /// The same of rows whose commit has begun.
    aloft: Option<Instant>,
}

/// Where rows are committed, one commit at a time.
#[derive(Debug, Default)]
struct Air {
    /// The commit that was begun and isn't known to have ended.
    flight: Option<Flight>,
    /// Logs that were lost and that no flush has reported yet.
    fenced: Vec<(String, String)>,
    /// The last frame of the write-ahead log that nobody needs any more.
    landed: Option<i64>,
}

/// Follows the moves of each log through the frames that an earlier process has left. Where one
/// doesn't begin where the one before it ended, a frame between them is gone. What comes after that of
/// the log is left aside, so that its bookmark stays before the hole: all of it is read again from
/// there.
#[derive(Debug, Default)]
struct Chain {
    /// Whether frames are known to be missing.
    has_hole: bool,
    at: HashMap<Key, i64>,
    broken: HashSet<Key>,
}

impl Chain {
    /// Whether a step begins where its log is.
    fn goes_on(&mut self, step: &Step, inner: &Inner) -> bool {
        let key = step.key();
        if self.broken.contains(&key) {
            return false;
        }
        let known = self.at.get(&key).copied();
        let at = match known {
            None if self.has_hole => inner.log.look(|tail| tail.mark(&key)).map(|mark| mark.value),
            // If the table has another place, the fence knows.
            None => step.from(),
            at => at,
        };
        if at == step.from() {
            self.at.insert(key, step.to().value);
            return true;
        }
        let record = at.map(|value| Mark { value, time: None }.record()).unwrap_or_default();
        tracing::error!(
            source = key.source,
            log = key.log,
            record,
            "the write-ahead log lacks records after this one; they and those that follow are to be \
             read again"
        );
        self.broken.insert(key);
        false
    }

    /// The logs whose rows are left aside.
    fn lost(&self) -> HashSet<(&str, &str)> {
        self.broken.iter().map(|key| (key.source.as_str(), key.log.as_str())).collect()
    }
}

/// A commit on its way.
#[derive(Debug)]
struct Flight {
    draft: Draft,
    marks: HashMap<Key, Way>,
    /// The write-ahead log's identifier, and the last frame of it that it has.
    frame: Option<(String, i64)>,
    /// Whether its data files are there.
    written: bool,
}

impl Writer {
    /// Opens the write-ahead log, and commits what processes before this one have left in it.
    pub(crate) async fn open(inner: &Inner) -> Result<Writer, StoreError> {
        let writer = Writer::default();
        let folder = match (&inner.options.log_folder, &inner.storage.folder) {
            (Some(folder), _) => folder.join(inner.log.look(|tail| tail.table.id.clone())),
            (None, Some(folder)) => folder.join(FOLDER).join("wal"),
            (None, None) => return Ok(writer),
        };
        let mut first = None;
        for wal in Wal::take_all(&folder)? {
            writer.replay(inner, wal).await?;
            let wal = writer.desk().wal.take();
            match (&first, wal) {
                (None, wal) => first = wal,
                (Some(_), Some(wal)) => wal.remove(),
                (Some(_), None) => {}
            }
        }
        writer.desk().wal = first;
        Ok(writer)
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        lock(&self.desk)
    }

    async fn replay(&self, inner: &Inner, mut wal: Wal) -> Result<(), StoreError> {
        let committed = inner.log.look(|tail| tail.txn(&wal.app_id())).unwrap_or_default();
        let Left { entries, missing } = wal.read(committed)?;
        for frames in &missing {
            let (table, first, last) = (&inner.storage.url, frames.start(), frames.end());
            tracing::error!(%table, first, last, "frames of the write-ahead log are damaged");
        }
        self.desk().wal = Some(wal);
        let mut chain = Chain { has_hole: !missing.is_empty(), ..Chain::default() };
        for entry in &entries {
            for step in &entry.steps {
                if !chain.goes_on(step, inner) {
                    continue;
                }
                let key = step.key();
                inner.held().entry(key.source.clone()).or_default().replay(step);
                note(&mut self.desk().marks, &key, Way { from: step.from(), to: step.to() });
            }
            let lost = chain.lost();
            for rows in &entry.rows {
                let rows = with_columns(rows, &inner.schema)?;
                inner.change().memory.push(without(&rows, &lost)?);
            }
        }
        let flushed = self.flush(inner).await?;
        if !entries.is_empty() {
            tracing::info!(
                table = %inner.storage.url, rows = flushed.rows, fenced = flushed.fenced.len(),
                "what an earlier process had left in the write-ahead log is committed"
            );
        }
        if let Some(wal) = &mut self.desk().wal {
            let last = wal.last();
            wal.forget(last);
        }
        Ok(())
    }

    pub(super) fn push(
        &self,
        inner: &Inner,
        rows: &Rows,
        moves: &[Move],
    ) -> Result<(), StoreError> {
        let mut desk = self.desk();
        let bytes = rows.bytes();
        desk.check_room(inner, bytes)?;
        let is_full =
            |there: &Rows| there.len() + rows.len() > BATCH.0 || there.bytes() + bytes > BATCH.1;
        if desk.gathered.as_ref().is_some_and(is_full) {
            desk.gather(inner)?;
        }
        let mut gathered = match desk.gathered.take() {
            Some(gathered) => gathered,
            None => Rows::new(&inner.chosen)?,
        };
        let before = gathered.len();
        let taken = gathered.append(rows).and_then(|()| desk.advance(inner, moves));
        if taken.is_err() {
            gathered.truncate(before);
        }
        desk.gathered = Some(gathered);
        for (key, way) in taken? {
            note(&mut desk.gathered_ways, &key, way);
        }
        Ok(())
    }

    /// Makes rows durable that were taken, and shows them to queries.
    pub(super) fn sync(&self, inner: &Inner) -> Result<(), StoreError> {
        let mut desk = self.desk();
        desk.gather(inner)?;
        desk.wal.as_mut().ok_or(StoreError::NoLog)?.sync()
    }

    /// Bytes and rows that aren't a batch yet.
    pub(super) fn gathered(&self) -> (usize, usize) {
        self.desk().gathered()
    }

    pub(super) fn age(&self) -> Option<Duration> {
        let desk = self.desk();
        desk.aloft.or(desk.since).map(|since| since.elapsed())
    }

    /// Commits what had been pushed when it began; what is pushed meanwhile waits for the next.
    pub(super) async fn flush(&self, inner: &Inner) -> Result<Flushed, StoreError> {
        let mut air = self.air.lock().await;
        let before = inner.log.look(|tail| tail.version);
        let mut flushed = Flushed { version: before, ..Flushed::default() };
        // First what an earlier flush has begun.
        self.fly(&mut air, inner, &mut flushed).await?;
        air.flight = self.desk().board(inner)?;
        self.fly(&mut air, inner, &mut flushed).await?;
        flushed.fenced = std::mem::take(&mut air.fenced);
        drop(air);
        self.keep_up(inner, before, flushed.version).await;
        Ok(flushed)
    }

    /// Commits what is on its way, if anything is.
    async fn fly(
        &self,
        air: &mut Air,
        inner: &Inner,
        flushed: &mut Flushed,
    ) -> Result<(), StoreError> {
        while air.flight.is_some() {
            air.fly(inner, &self.desk, flushed).await?;
        }
        // Nothing is on its way: it has landed, or was dropped.
        let mut desk = self.desk();
        desk.aloft = None;
        if let (Some(wal), Some(frame)) = (&mut desk.wal, air.landed.take()) {
            wal.forget(frame);
        }
        Ok(())
    }
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes where rows bring a log: from where the first of them did.
fn note(ways: &mut HashMap<Key, Way>, key: &Key, way: Way) {
    match ways.get_mut(key) {
        Some(noted) => noted.to = way.to,
        None => {
            ways.insert(key.clone(), way);
        }
    }
}

impl Desk {
    fn gathered(&self) -> (usize, usize) {
        let rows = self.gathered.as_ref().filter(|rows| !rows.is_empty());
        rows.map_or((0, 0), |rows| (rows.bytes(), rows.len()))
    }

    /// What alone is too much is taken when nothing waits.
    fn check_room(&self, inner: &Inner, bytes: usize) -> Result<(), StoreError> {
        let waiting = inner.state().memory.waiting().0 + self.gathered().0;
        let most = inner.options.memory;
        match waiting > 0 && waiting + bytes > most {
            true => Err(StoreError::Full { waiting, most }),
            false => Ok(()),
        }
    }

    /// Notes where rows bring logs, if all of these are held.
    fn advance(&mut self, inner: &Inner, moves: &[Move]) -> Result<Vec<(Key, Way)>, StoreError> {
        let mut ways = Vec::with_capacity(moves.len());
        let mut held = inner.held();
        for (n, to) in moves.iter().enumerate() {
            let twice = moves[..n].iter().any(|m| m.source == to.source && m.log == to.log);
            if twice {
                return Err(StoreError::Rows { why: format!("they move {} twice", to.log) });
            }
            let source = held.get(&to.source).ok_or_else(|| not_taken(to))?;
            ways.push((Key::new(&to.source, &to.log), source.way(to)?));
        }
        for (key, way) in &ways {
            if let Some(source) = held.get_mut(&key.source) {
                source.advance(&key.log, way.to);
            }
            note(&mut self.marks, key, *way);
        }
        self.since.get_or_insert_with(Instant::now);
        Ok(ways)
    }

    /// Takes rows into the write-ahead log and into memory.
    fn take(&mut self, inner: &Inner, rows: RecordBatch, ways: &[(Key, Way)]) {
        if let Some(wal) = &mut self.wal {
            let step = |(key, way): &(Key, Way)| Step::new(key, way.from, way.to);
            wal.push(&rows, &ways.iter().map(step).collect::<Vec<_>>());
        }
        inner.change().memory.push(rows);
    }

    /// Makes a batch of the rows that were gathered.
    fn gather(&mut self, inner: &Inner) -> Result<(), StoreError> {
        if self.is_spoiled {
            let why = "some that were taken before could not be made a batch".into();
            return Err(StoreError::Rows { why });
        }
        let Some(mut rows) = self.gathered.take() else { return Ok(()) };
        self.is_spoiled = true;
        let rows = rows.finish()?;
        self.is_spoiled = false;
        let ways: Vec<_> = self.gathered_ways.drain().collect();
        self.take(inner, rows, &ways);
        Ok(())
    }

    /// Lets everything that waits go with one commit; there is none where nothing waits.
    fn board(&mut self, inner: &Inner) -> Result<Option<Flight>, StoreError> {
        self.gather(inner)?;
        if inner.state().memory.is_idle() && self.marks.is_empty() {
            return Ok(None);
        }
        let rotate = |wal: &mut Wal| wal.rotate().map(|frame| (wal.app_id(), frame));
        let frame = self.wal.as_mut().map(rotate).transpose()?;
        let draft = Draft::new("WRITE", true);
        inner.change().memory.board(&draft.id);
        let marks = std::mem::take(&mut self.marks);
        self.aloft = self.since.take();
        Ok(Some(Flight { draft, marks, frame, written: false }))
    }
}

impl Air {
    /// Commits what is on its way, or loses some of it.
    async fn fly(
        &mut self,
        inner: &Inner,
        desk: &Mutex<Desk>,
        flushed: &mut Flushed,
    ) -> Result<(), StoreError> {
        let Some(flight) = &mut self.flight else { return Ok(()) };
        if !flight.written {
            let rows = inner.state().memory.aboard(&flight.draft.id);
            flight.draft.added = write_files(inner, rows).await?;
            flight.draft.fence.clear();
            flight.draft.txns.clear();
            for (key, Way { from, to }) in &flight.marks {
                flight.draft.fence.push((key.clone(), *from));
                flight.draft.txns.push((key.app_id(), to.value));
                let time = to.time.map_or(0, |time| time.as_filetime() as i64);
                flight.draft.txns.push((key.time_id(), time));
            }
            if let Some((log, frame)) = &flight.frame {
                flight.draft.txns.push((log.clone(), *frame));
                flight.draft.stamp = Some((log.clone(), *frame));
            }
            flight.written = true;
        } else if is_missing(inner, &flight.draft.added).await? {
            // They waited for their commit until somebody took them for left over.
            let rows = inner.state().memory.aboard(&flight.draft.id);
            flight.draft.added = write_files(inner, rows).await?;
        }
        match inner.log.commit(&mut flight.draft).await? {
            Outcome::Done(version) => {
                flushed.version = version;
                flushed.rows += flight.draft.added.iter().map(|added| added.rows).sum::<usize>();
                inner.change().memory.land(&flight.draft.id, version);
                inner.log.settle(&flight.draft.id);
                let mut held = inner.held();
                for (key, way) in &flight.marks {
                    if let Some(source) = held.get_mut(&key.source) {
                        source.settle(&key.log, way.to);
                    }
                }
                held.retain(|_, source| !source.is_done());
            }
            Outcome::Fenced(keys) => {
                for key in &keys {
                    tracing::warn!(
                        source = key.source,
                        log = key.log,
                        "another process has moved the bookmark; the rows are dropped"
                    );
                }
                let old = lose(inner, &mut lock(desk), flight, &keys)?;
                self.fenced.extend(keys.into_iter().map(|key| (key.source, key.log)));
                if !old.in_doubt {
                    remove_files(inner, &old.added).await;
                }
                let rows = inner.state().memory.aboard(&flight.draft.id);
                if !flight.marks.is_empty() || !rows.is_empty() {
                    return Ok(());
                }
            }
            Outcome::Overtaken => {
                return Err(StoreError::Changed { why: "its files were removed".into() });
            }
        }
        self.landed = flight.frame.take().map(|(_, frame)| frame);
        self.flight = None;
        Ok(())
    }
}

impl Writer {
    /// Writes a checkpoint when one is due, and loads the table when it lags. Neither is what the
    /// caller waits for, so an error is none of the flush.
    async fn keep_up(&self, inner: &Inner, before: u64, version: u64) {
        let due = version / checkpoint::EVERY > before / checkpoint::EVERY;
        let (loaded, committed) = {
            let state = inner.state();
            (state.table.version().unwrap_or_default(), state.memory.committed())
        };
        let lags =
            version.saturating_sub(loaded) > LAG || committed > inner.options.memory / LAGGING;
        let kept = match (due, lags) {
            (true, _) => inner.checkpoint().await,
            (false, true) => inner.reload().await,
            (false, false) => Ok(()),
        };
        if let Err(error) = kept {
            tracing::warn!(%error, table = %inner.storage.url, "the table isn't kept up with");
        }
    }
}

/// Drops the rows of logs that another process has moved, and lets the others go with a new commit.
/// Gives what was begun instead.
///
/// Rows that were pushed meanwhile follow those that are dropped, so they are dropped too: once the
/// source is taken again its records come again, and the fence sees only where rows begin.
fn lose(
    inner: &Inner,
    desk: &mut Desk,
    flight: &mut Flight,
    keys: &[Key],
) -> Result<Draft, StoreError> {
    desk.gather(inner)?;
    let draft = Draft::new("WRITE", true);
    let lost: HashSet<(&str, &str)> =
        keys.iter().map(|key| (key.source.as_str(), key.log.as_str())).collect();
    let keep = |rows: &RecordBatch| without(rows, &lost);
    let is_idle = {
        let memory = &mut inner.change().memory;
        memory.change(&flight.draft.id, &draft.id, keep)?;
        memory.keep_waiting(keep)?;
        memory.is_idle()
    };
    let mut held = inner.held();
    for key in keys {
        flight.marks.remove(key);
        desk.marks.remove(key);
        if let Some(source) = held.get_mut(&key.source) {
            source.lose(&key.log);
        }
    }
    held.retain(|_, source| !source.is_done());
    drop(held);
    if is_idle && desk.marks.is_empty() {
        desk.since = None;
    }
    let old = std::mem::replace(&mut flight.draft, draft);
    flight.written = false;
    inner.log.settle(&old.id);
    Ok(old)
}

/// The rows that aren't of certain logs.
fn without(rows: &RecordBatch, lost: &HashSet<(&str, &str)>) -> Result<RecordBatch, StoreError> {
    if lost.is_empty() {
        return Ok(rows.clone());
    }
    let text = |name| rows.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
    let (Some(sources), Some(logs)) = (text(column::SOURCE), text(column::LOG)) else {
        return Err(StoreError::Rows { why: "they have no source or log".into() });
    };
    let keep: BooleanArray = (0..rows.num_rows())
        .map(|row| {
            let is_lost = sources.is_valid(row)
                && logs.is_valid(row)
                && lost.contains(&(sources.value(row), logs.value(row)));
            Some(!is_lost)
        })
        .collect();
    filter_record_batch(rows, &keep).map_err(|error| StoreError::engine("drop rows", error))
}

/// Writes rows as data files, durably.
pub(crate) async fn write_files(
    inner: &Inner,
    rows: Vec<RecordBatch>,
) -> Result<Vec<Added>, StoreError> {
    let make = move || -> Result<Vec<DataFile>, StoreError> {
        let parts = Ordered::by(&rows, &files::SORTED)?.live_and_late()?;
        parts.iter().map(|part| files::write(part, Name::Part)).collect()
    };
    let made = tokio::task::spawn_blocking(make)
        .await
        .map_err(|error| StoreError::engine("write Parquet", error))??;
    let mut added = Vec::new();
    for file in made {
        added.push(file.added);
        let path = Path::from(added[added.len() - 1].path.as_str());
        if let Err(error) = inner.storage.write(&path, file.bytes).await {
            remove_files(inner, &added).await;
            return Err(error);
        }
        inner.engine.kept_counts().note(&added[added.len() - 1].path, file.counts);
    }
    Ok(added)
}

/// Whether one of some data files isn't there any more.
async fn is_missing(inner: &Inner, added: &[Added]) -> Result<bool, StoreError> {
    for added in added {
        if !inner.storage.exists(&Path::from(added.path.as_str())).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes data files that no commit has. What is left is found by vacuum.
pub(crate) async fn remove_files(inner: &Inner, added: &[Added]) {
    inner.engine.kept_counts().forget(added.iter().map(|added| &*added.path));
    for added in added {
        if let Err(error) = inner.storage.delete(&Path::from(added.path.as_str())).await {
            tracing::debug!(%error, "a data file that no commit has is left");
        }
    }
}
