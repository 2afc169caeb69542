//! The counts of a table's files, added up and kept in memory.
//!
//! A version of the table has most files that the one before had, so what came is added and what went is
//! taken away. Who asks of an older version, as it began before, does that for itself.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use deltalake::arrow::array::Array;
use deltalake::datafusion::prelude::{SessionContext, col};
use deltalake::delta_datafusion::DeltaScanNext;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use super::total::{Total, Way};
use super::{COLUMNS, Counts, Steps, read, write};
use crate::StoreError;
use crate::event::EPOCH;
use crate::facts::{FileFacts, Files};
use crate::session::{Batches, Engine, Limits, Moment, of_engine, too_slow};

/// Files whose counts are made or read at once.
const AT_ONCE: usize = 8;
/// Files that come into a sum, or go, before others see it.
const STEP: usize = 64;
/// The most files whose counts are in memory only and in no sum, and the most bytes of them.
const UNWRITTEN: (usize, usize) = (4096, 32 << 20);
/// The most minutes of a file that are kept in memory. Where there are more they are read when they are
/// asked for.
const KEPT_MINUTES: usize = 256;

/// What is known of the counts of files and batches.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    sum: Arc<Sum>,
    /// The bytes of the counts of files that have none beside them and are in no sum, the oldest first.
    unwritten: VecDeque<(String, Bytes)>,
    /// Of batches in memory, by their first columns: while those are known, others can't have their
    /// addresses.
    batches: Vec<(Weak<dyn Array>, Arc<Counts>)>,
}

/// The counts of some files, added up.
#[derive(Clone, Debug, Default)]
struct Sum {
    /// The version that it was last brought nearer to. It may not have all files of it yet, and some of
    /// an earlier one still.
    version: u64,
    total: Total,
    files: HashMap<Arc<str>, Summed>,
}

/// What is kept of a file that is in a sum.
#[derive(Clone, Debug)]
struct Summed {
    minutes: Minutes,
    /// The bytes of its counts, if there are none beside it.
    unwritten: Option<Bytes>,
}

/// The events of a file by minute.
#[derive(Clone, Debug)]
enum Minutes {
    Kept(Arc<Steps>),
    /// They are many, and read when they are wanted.
    Beside,
    /// They are too many to be told apart.
    Unknown,
}

/// The counts of a file, and their bytes if there are none beside it.
struct OfFile {
    counts: Counts,
    unwritten: Option<Bytes>,
}

impl Sum {
    fn add(&mut self, path: &str, OfFile { mut counts, unwritten }: OfFile) {
        let minutes = match counts.minutes.take() {
            Some(minutes) if minutes.len() <= KEPT_MINUTES => Minutes::Kept(Arc::new(minutes)),
            Some(_) => Minutes::Beside,
            None => Minutes::Unknown,
        };
        self.total.change(&counts, Way::Come);
        self.files.insert(path.into(), Summed { minutes, unwritten });
    }

    fn has(&self, file: &FileFacts) -> bool {
        self.files.contains_key(&*file.path)
    }
}

impl Kept {
    /// Notes the counts of a file that is about to be in the table and gets none beside it.
    pub(crate) fn note(&mut self, path: &str, counts: Vec<u8>) {
        self.unwritten.push_back((path.to_owned(), counts.into()));
        let mut bytes: usize = self.unwritten.iter().map(|(_, counts)| counts.len()).sum();
        while self.unwritten.len() > UNWRITTEN.0 || bytes > UNWRITTEN.1 {
            let oldest = self.unwritten.pop_front();
            bytes -= oldest.map_or(0, |(_, counts)| counts.len());
        }
    }

    /// Forgets the counts of files that went, or that will never be in the table.
    pub(crate) fn forget<'a>(&mut self, paths: impl Iterator<Item = &'a str>) {
        let gone: HashSet<&str> = paths.collect();
        self.unwritten.retain(|(path, _)| !gone.contains(&**path));
    }

    /// Lets others see a sum; gives the one before.
    fn publish(&mut self, sum: &Arc<Sum>) -> Arc<Sum> {
        self.unwritten.retain(|(path, _)| !sum.files.contains_key(&**path));
        std::mem::replace(&mut self.sum, Arc::clone(sum))
    }

    /// The bytes of the counts of a file that has none beside it.
    fn unwritten(&self, path: &str) -> Option<Bytes> {
        let found = self.unwritten.iter().find(|(known, _)| known == path);
        let waiting = found.map(|(_, counts)| counts.clone());
        waiting.or_else(|| self.sum.files.get(path)?.unwritten.clone())
    }
}

/// Of what counts are asked, and how much that may take.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) moment: &'a Moment,
    /// The files of the moment.
    pub(crate) files: &'a Files,
    pub(crate) context: &'a SessionContext,
    pub(crate) limits: &'a Limits,
    /// Since when the time runs.
    pub(crate) begun: Instant,
}

impl Asked<'_> {
    /// What comes of something, unless it takes too long.
    async fn within<T>(&self, what: impl Future<Output = T>) -> Result<T, StoreError> {
        let done = timeout_at(self.begun + self.limits.time, what).await;
        done.map_err(|_| too_slow(self.limits))
    }
}

impl Engine {
    /// The counts of all rows of a moment.
    ///
    /// # Errors
    /// [`StoreError::Limit`] if they aren't known and counting took too long, and what reading the
    /// table says.
    pub(crate) async fn counts(&self, asked: Asked<'_>) -> Result<Counts, StoreError> {
        let all: Vec<&FileFacts> = asked.files.all.iter().collect();
        let mut total = self.sum(asked, &all).await?.total.counts();
        for counts in self.of_memory(asked.moment)? {
            total.merge(&counts);
        }
        Ok(total)
    }

    /// How many events there are in each minute from one on and before another, counted from 1601;
    /// nothing where that isn't known of all rows of that time. Each row has to have a time.
    ///
    /// # Errors
    /// As [`counts`](Self::counts).
    pub(crate) async fn minutes(
        &self,
        asked: Asked<'_>,
        span: Range<u64>,
    ) -> Result<Option<Steps>, StoreError> {
        let micros = |minute: u64| {
            i64::try_from(minute)
                .unwrap_or(i64::MAX)
                .saturating_mul(60_000_000)
                .saturating_sub(EPOCH)
        };
        let (from, to) = (micros(span.start), micros(span.end));
        let mut steps = Steps::new();
        let mut add = |minutes: &Steps| {
            for (minute, levels) in minutes.range(span.clone()) {
                let step = steps.entry(*minute).or_default();
                levels.iter().for_each(|(word, n)| *step.entry(word.clone()).or_default() += n);
            }
        };
        let is_among = |file: &&FileFacts| file.newest >= from && file.oldest < to;
        let wanted: Vec<&FileFacts> = asked.files.all.iter().filter(is_among).collect();
        let sum = self.sum(asked, &wanted).await?;
        let mut beside = Vec::new();
        for file in &wanted {
            match sum.files.get(&*file.path).map(|file| &file.minutes) {
                Some(Minutes::Kept(minutes)) => add(minutes),
                Some(Minutes::Unknown) => return Ok(None),
                Some(Minutes::Beside) | None => beside.push(self.of_file(asked, &file.path)),
            }
        }
        let mut beside = stream::iter(beside).buffer_unordered(AT_ONCE);
        while let Some(file) = beside.next().await {
            let Some(minutes) = file?.counts.minutes else { return Ok(None) };
            add(&minutes);
        }
        for counts in self.of_memory(asked.moment)? {
            let Some(minutes) = &counts.minutes else { return Ok(None) };
            add(minutes);
        }
        Ok(Some(steps))
    }

    /// The names of values of all rows, where there aren't too many.
    ///
    /// # Errors
    /// As [`counts`](Self::counts).
    pub(crate) async fn names(
        &self,
        asked: Asked<'_>,
    ) -> Result<Option<Arc<BTreeSet<String>>>, StoreError> {
        Ok(self.counts(asked).await?.names.map(Arc::new))
    }

    /// Keeps the counts of files beside these.
    ///
    /// # Errors
    /// As [`counts`](Self::counts).
    pub(crate) async fn keep_counts(
        &self,
        asked: Asked<'_>,
        files: &[&str],
    ) -> Result<(), StoreError> {
        let storage = asked.moment.log_store.object_store(None);
        for file in files {
            let known = self.kept_counts().unwritten(file);
            let bytes = match known {
                Some(bytes) => bytes.into(),
                None => scan(asked, file).await?.bytes(),
            };
            write(&*storage, file, bytes).await;
        }
        Ok(())
    }

    /// The sum of some files of a moment. Where they are all of them, there are no others in it.
    async fn sum(&self, asked: Asked<'_>, wanted: &[&FileFacts]) -> Result<Arc<Sum>, StoreError> {
        let files = asked.files;
        let are_all = wanted.len() == files.all.len();
        let is_done = |sum: &Sum| {
            wanted.iter().all(|file| sum.has(file)) && (!are_all || sum.files.len() == wanted.len())
        };
        let mut sum = Arc::clone(&self.kept_counts().sum);
        if is_done(&sum) {
            return Ok(sum);
        }
        let there: HashSet<&str> = files.all.iter().map(|file| &*file.path).collect();
        loop {
            // Who asks meanwhile goes on from there, rather than count the same files.
            let _turn = asked.within(self.counting().lock()).await?;
            let newest = Arc::clone(&self.kept_counts().sum);
            if newest.version <= files.version {
                sum = newest;
            }
            if is_done(&sum) {
                return Ok(sum);
            }
            let changed = Arc::make_mut(&mut sum);
            changed.version = files.version;
            let stepped = match self.take_away(asked, changed, &there).await {
                Ok(true) => self.add(asked, changed, wanted).await,
                taken => taken.map(drop),
            };
            let mut kept = self.kept_counts();
            // As far as it came, if it isn't of an older version than others have seen.
            let before = (kept.sum.version <= files.version).then(|| kept.publish(&sum));
            drop(kept);
            drop(before);
            stepped?;
        }
    }

    /// Takes the next files away that a version doesn't have; whether those were all.
    async fn take_away(
        &self,
        asked: Asked<'_>,
        sum: &mut Sum,
        there: &HashSet<&str>,
    ) -> Result<bool, StoreError> {
        let is_gone = |path: &&Arc<str>| !there.contains(&***path);
        let mut gone: Vec<Arc<str>> = sum.files.keys().filter(is_gone).cloned().collect();
        let is_read = |path: &&Arc<str>| sum.files[&***path].unwritten.is_none();
        if gone.iter().filter(is_read).count() > sum.files.len() / 2 {
            self.start_over(sum, there);
            return Ok(true);
        }
        let are_all = gone.len() <= STEP;
        gone.truncate(STEP);
        let known = gone.iter().map(async |path| (path, self.known(asked, path).await));
        let mut known = stream::iter(known).buffer_unordered(AT_ONCE);
        while let Some((path, found)) = known.next().await {
            match found? {
                Some(OfFile { counts, .. }) => sum.total.change(&counts, Way::Go),
                None => {
                    // What it had isn't known any more.
                    self.start_over(sum, there);
                    return Ok(true);
                }
            }
            sum.files.remove(path);
        }
        Ok(are_all)
    }

    /// Empties a sum; what is known of the files that stay is kept.
    fn start_over(&self, sum: &mut Sum, there: &HashSet<&str>) {
        let left = std::mem::take(sum);
        sum.version = left.version;
        let staying = left.files.into_iter().filter(|(path, _)| there.contains(&**path));
        let unwritten =
            staying.filter_map(|(path, file)| Some((path.to_string(), file.unwritten?)));
        self.kept_counts().unwritten.extend(unwritten);
    }

    /// Adds the next files of those that are wanted.
    async fn add(
        &self,
        asked: Asked<'_>,
        sum: &mut Sum,
        wanted: &[&FileFacts],
    ) -> Result<(), StoreError> {
        let next: Vec<&FileFacts> =
            wanted.iter().filter(|file| !sum.has(file)).take(STEP).copied().collect();
        let found = next.iter().map(async |file| (file, self.of_file(asked, &file.path).await));
        let mut found = stream::iter(found).buffer_unordered(AT_ONCE);
        while let Some((file, found)) = found.next().await {
            sum.add(&file.path, found?);
        }
        Ok(())
    }

    fn of_memory(&self, moment: &Moment) -> Result<Vec<Arc<Counts>>, StoreError> {
        let known = std::mem::take(&mut self.kept_counts().batches);
        let mut now = Vec::with_capacity(moment.memory.len());
        for batch in &moment.memory {
            let Some(first) = batch.columns().first().map(Arc::downgrade) else { continue };
            let counts = match known.iter().find(|(other, _)| other.ptr_eq(&first)) {
                Some((_, counts)) => Arc::clone(counts),
                None => Arc::new(Counts::of(batch)?),
            };
            now.push((first, counts));
        }
        let all = now.iter().map(|(_, counts)| Arc::clone(counts)).collect();
        self.kept_counts().batches = now;
        Ok(all)
    }

    /// The counts of a file: those that are known, or made from it and kept then.
    async fn of_file(&self, asked: Asked<'_>, path: &str) -> Result<OfFile, StoreError> {
        // Where they can't be read, the file may be.
        if let Ok(Some(known)) = self.known(asked, path).await {
            return Ok(known);
        }
        let counts = scan(asked, path).await?;
        let bytes = counts.bytes();
        if !self.writes_counts() {
            return Ok(OfFile { counts, unwritten: Some(bytes.into()) });
        }
        write(&*asked.moment.log_store.object_store(None), path, bytes).await;
        Ok(OfFile { counts, unwritten: None })
    }

    /// The counts of a file that are in memory or beside it.
    async fn known(&self, asked: Asked<'_>, path: &str) -> Result<Option<OfFile>, StoreError> {
        let unwritten = self.kept_counts().unwritten(path);
        if let Some(bytes) = unwritten {
            let of_file = |counts| OfFile { counts, unwritten: Some(bytes.clone()) };
            return Ok(Counts::parse(&bytes).map(of_file));
        }
        let storage = asked.moment.log_store.object_store(None);
        let found = asked.within(read(&*storage, path)).await?;
        let found =
            found.map_err(|error| StoreError::storage("read the counts of", path, error))?;
        Ok(found.map(|counts| OfFile { counts, unwritten: None }))
    }
}

/// Counts the rows of one file.
async fn scan(asked: Asked<'_>, path: &str) -> Result<Counts, StoreError> {
    let Asked { moment, context, limits, begun, .. } = asked;
    let table = DeltaScanNext::builder()
        .with_log_store(Arc::clone(&moment.log_store))
        .with_eager_snapshot(Arc::clone(&moment.snapshot))
        .with_session(Arc::new(context.state()))
        .with_file_paths([path.to_owned()])
        .await;
    let frame = table
        .and_then(|table| context.read_table(table))
        .and_then(|frame| frame.select(COLUMNS.map(col).to_vec()))
        .map_err(|error| of_engine(error, limits))?;
    let limits = Limits { rows: usize::MAX, bytes: usize::MAX, ..*limits };
    let mut batches = Batches::of(frame, &limits, begun).await?;
    let mut counts = Counts::new();
    while let Some(batch) = batches.next().await? {
        counts.count(&batch)?;
        tokio::task::yield_now().await;
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use quarry_event::Origin;
    use quarry_event::testing::{event, now};

    use super::*;
    use crate::{EventMeta, Move, Options, Policy, Store};

    async fn add(store: &Store, record: u64) {
        let text = format!("<Event><System><EventID>{record}</EventID></System></Event>");
        let origin = Origin {
            source: "a",
            host: Some("a"),
            log: "System",
            log_record: Some(quarry_event::RecordId(record)),
            recovered: false,
        };
        let meta = EventMeta { origin, received: now(), texts: Default::default() };
        let mut rows = store.rows().unwrap();
        rows.event(&event(&text), &meta).unwrap();
        let appender = store.appender().unwrap();
        store.take("a").await.unwrap();
        let to = (quarry_event::RecordId(record), None);
        let to = Move { source: "a".into(), log: "System".into(), to, new_generation: false };
        appender.push(&rows, &[to]).unwrap();
        appender.flush().await.unwrap();
        store.refresh().await.unwrap();
    }

    #[tokio::test]
    async fn who_asks_of_an_older_version_gets_its_counts_and_spoils_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().to_str().unwrap(), Options::default()).await.unwrap();
        let engine = store.engine();
        let limits = Limits::default();
        let context = engine.context(&limits).unwrap();
        let counted = async |moment: &Moment| {
            let files = &*engine.files(moment).unwrap();
            let (limits, context, begun) = (&limits, &context, Instant::now());
            let counts = engine.counts(Asked { moment, files, context, limits, begun }).await;
            let counts = counts.unwrap();
            assert_eq!(counts.values["event_id"].as_ref().unwrap().len() as u64, counts.events);
            counts.events
        };
        for record in 1..5 {
            add(&store, record).await;
        }
        let old = store.moment().unwrap();
        assert_eq!(counted(&old).await, 4);
        let policy = Policy { small_files: 1, ..Policy::default() };
        assert_eq!(store.maintain(&policy).await.unwrap().merged, 4);
        add(&store, 5).await;
        let new = store.moment().unwrap();
        for _ in 0..2 {
            assert_eq!(counted(&new).await, 5);
            assert_eq!(counted(&old).await, 4);
            let kept = engine.kept_counts();
            assert_eq!((kept.sum.version, kept.sum.files.len()), (new.snapshot.version(), 2));
            assert_eq!(kept.sum.total.counts().events, 5);
            // What is in the sum isn't kept twice, and what went isn't kept.
            assert_eq!(kept.unwritten.len(), 0);
        }
    }
}
