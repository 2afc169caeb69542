//! Counts kept beside the table, so that what is asked of all events needs no scan.
//!
//! A data file never changes, so neither do its counts: `_quarry/counts/FILE.json` is a function of the
//! file alone. Counts of the table are those of the files that one version of it has, added up, and of
//! the rows in memory. Nothing has to be kept in step: a crash leaves at most counts of a file that
//! no version has, several writers name their files apart, and what is put together anew is a new file.
//! Where a file's counts are missing or damaged they are made from it again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Weak};

use deltalake::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use deltalake::arrow::datatypes::{Int16Type, Int32Type, Int64Type, TimestampMicrosecondType};
use deltalake::datafusion::prelude::{SessionContext, col};
use deltalake::delta_datafusion::DeltaScanNext;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use quarry_event::{Element, Keywords, Level, LevelName};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::StoreError;
use crate::event::{EPOCH, Texts2};
use crate::facts::{FileFacts, Files};
use crate::schema::column;
use crate::session::{Batches, Engine, Limits, Moment, of_engine, too_slow};
use crate::shape;

/// The version of what is kept.
const VERSION: u32 = 2;
/// The most values of a column that are told apart.
const VALUES: usize = 20_000;
/// The longest value that is told apart, and the longest name.
const VALUE_BYTES: usize = 256;
/// The most names of values of one file.
const NAMES: usize = 4096;
/// The most hours of one file that are told apart, and the most minutes: those of two weeks.
const HOURS: usize = 100_000;
const MINUTES: usize = 20_160;
/// The largest file of counts that is read.
const MOST_BYTES: u64 = 64 << 20;
/// Files whose counts are made or read at once.
const AT_ONCE: usize = 8;

/// The columns whose values are counted, besides the level.
pub(crate) const COUNTED: [&str; 6] = [
    column::HOST,
    column::LOG,
    column::CHANNEL,
    column::PROVIDER,
    column::COMPUTER,
    column::EVENT_ID,
];

/// The columns that counts are made from.
const COLUMNS: [&str; 12] = [
    column::TIME,
    column::LEVEL,
    column::KEYWORDS,
    column::HOST,
    column::LOG,
    column::CHANNEL,
    column::PROVIDER,
    column::COMPUTER,
    column::EVENT_ID,
    column::KIND,
    column::DATA,
    column::TREE,
];

/// Events by step of time, counted from 1601, and by the word of the level.
pub(crate) type Steps = BTreeMap<u64, BTreeMap<String, u64>>;

/// The events of some rows, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    version: u32,
    /// Events, rather than gaps and failures.
    pub(crate) events: u64,
    /// By the word of the level.
    pub(crate) levels: BTreeMap<String, u64>,
    /// By the values of each counted column; nothing of a column that has too many.
    pub(crate) values: BTreeMap<String, Option<HashMap<String, u64>>>,
    /// By hour since 1601 and the word of the level; nothing where there are too many.
    pub(crate) hours: Option<Steps>,
    /// The same by minute. Counts of the table don't have them, those of a file or a batch do.
    pub(crate) minutes: Option<Steps>,
    /// Names of values and elements; nothing where there are too many.
    pub(crate) names: Option<BTreeSet<String>>,
}

impl Counts {
    fn new() -> Self {
        Counts {
            version: VERSION,
            values: COUNTED.iter().map(|&name| (name.to_owned(), Some(HashMap::new()))).collect(),
            hours: Some(Steps::new()),
            minutes: Some(Steps::new()),
            names: Some(BTreeSet::new()),
            ..Counts::default()
        }
    }

    /// Counts some rows, which may have more columns than are counted.
    ///
    /// # Errors
    /// [`StoreError::Rows`]: a column is missing.
    pub(crate) fn of(batches: &[RecordBatch]) -> Result<Self, StoreError> {
        let mut counts = Counts::new();
        for batch in batches {
            counts.count(batch)?;
        }
        Ok(counts)
    }

    fn count(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        let wrong = |name: &str| StoreError::Rows {
            why: format!("the column {name} is not as it should be"),
        };
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| wrong(name));
        let text = |name: &str| Texts2::new(column(name)?).ok_or_else(|| wrong(name));
        let kind = text(column::KIND)?;
        let is_event: Vec<bool> =
            (0..batch.num_rows()).map(|row| kind.get(row) == Some("event")).collect();
        self.events += is_event.iter().filter(|&&is_event| is_event).count() as u64;
        for name in COUNTED {
            let Some(Some(values)) = self.values.get_mut(name) else { continue };
            let is_whole = match name {
                column::EVENT_ID => {
                    let array = column(name)?.as_primitive_opt::<Int32Type>();
                    let array = array.ok_or_else(|| wrong(name))?;
                    let ids = tally(&is_event, |row| array.is_valid(row).then(|| array.value(row)));
                    ids.into_iter().all(|(id, events)| add(values, &id.to_string(), events))
                }
                name => {
                    let array = text(name)?;
                    let texts = tally(&is_event, |row| array.get(row).filter(|t| !t.is_empty()));
                    texts.into_iter().all(|(text, events)| add(values, text, events))
                }
            };
            if !is_whole {
                self.values.insert(name.to_owned(), None);
            }
        }
        let time = column(column::TIME)?.as_primitive_opt::<TimestampMicrosecondType>();
        let time = time.ok_or_else(|| wrong(column::TIME))?;
        let level = column(column::LEVEL)?.as_primitive_opt::<Int16Type>();
        let level = level.ok_or_else(|| wrong(column::LEVEL))?;
        let keywords = column(column::KEYWORDS)?.as_primitive_opt::<Int64Type>();
        let keywords = keywords.ok_or_else(|| wrong(column::KEYWORDS))?;
        let of_row = |row: usize| {
            let level = level.is_valid(row).then(|| level.value(row));
            let bits = keywords.is_valid(row).then(|| keywords.value(row));
            let minute = time
                .is_valid(row)
                .then(|| time.value(row).saturating_add(EPOCH).max(0) as u64 / 60_000_000);
            Some((word_of(level, bits), minute))
        };
        for ((word, minute), events) in tally(&is_event, of_row) {
            *self.levels.entry(word.to_owned()).or_default() += events;
            let Some(minute) = minute else { continue };
            for (steps, step) in [(&mut self.hours, minute / 60), (&mut self.minutes, minute)] {
                let Some(steps) = steps else { continue };
                *steps.entry(step).or_default().entry(word.to_owned()).or_default() += events;
            }
        }
        for (steps, most) in [(&mut self.hours, HOURS), (&mut self.minutes, MINUTES)] {
            if steps.as_ref().is_some_and(|steps| steps.len() > most) {
                *steps = None;
            }
        }
        self.count_names(column(column::DATA)?, &text(column::TREE)?);
        Ok(())
    }

    fn count_names(&mut self, data: &ArrayRef, trees: &Texts2) {
        let Some(mut names) = self.names.take() else { return };
        let keys = data.as_map_opt().and_then(|map| Texts2::new(map.keys()));
        let Some(keys) = keys else { return };
        let mut before: Option<&str> = None;
        for n in 0..keys.len() {
            let key = keys.get(n);
            if key == before {
                continue;
            }
            before = key;
            // `#2` has no name, and `A#2` is another `A`, which was there before.
            let is_name = |key: &&str| !key.strip_prefix('#').is_some_and(is_number);
            if let Some(key) = key.filter(|key| is_name(key) && !names.contains(*key)) {
                names.insert(key.to_owned());
            }
            if names.len() > NAMES {
                return;
            }
        }
        for row in 0..trees.len() {
            let Some(tree) = trees.get(row) else { continue };
            // What can't be read may have any.
            let Some(event) = shape::event_of_tree(tree) else { return };
            gather_names(&event.root, &mut names);
            if names.len() > NAMES {
                return;
            }
        }
        if names.iter().all(|name| name.len() <= VALUE_BYTES) {
            self.names = Some(names);
        }
    }

    /// Adds what was counted elsewhere.
    pub(crate) fn merge(&mut self, other: &Counts) {
        self.events += other.events;
        for (word, events) in &other.levels {
            *self.levels.entry(word.clone()).or_default() += events;
        }
        for name in COUNTED {
            let (Some(mine), theirs) = (self.values.get_mut(name), other.values.get(name)) else {
                continue;
            };
            match (mine.as_mut(), theirs) {
                (Some(known), Some(Some(theirs))) => {
                    if !theirs.iter().all(|(value, events)| add(known, value, *events)) {
                        *mine = None;
                    }
                }
                _ => *mine = None,
            }
        }
        self.minutes = None;
        match (&mut self.hours, &other.hours) {
            (Some(hours), Some(theirs)) => {
                for (hour, levels) in theirs {
                    let mine = hours.entry(*hour).or_default();
                    for (word, events) in levels {
                        *mine.entry(word.clone()).or_default() += events;
                    }
                }
            }
            (hours, _) => *hours = None,
        }
        match (&mut self.names, &other.names) {
            (Some(names), Some(theirs)) => names.extend(theirs.iter().cloned()),
            (names, _) => *names = None,
        }
    }
}

/// Adds events with a value; whether there was room.
fn add(values: &mut HashMap<String, u64>, value: &str, events: u64) -> bool {
    if let Some(sum) = values.get_mut(value) {
        *sum += events;
        return true;
    }
    if values.len() >= VALUES || value.len() > VALUE_BYTES {
        return false;
    }
    values.insert(value.to_owned(), events);
    true
}

/// How many events have each value.
fn tally<V: std::hash::Hash + Eq + Copy>(
    is_event: &[bool],
    value: impl Fn(usize) -> Option<V>,
) -> HashMap<V, u64> {
    let mut counts: HashMap<V, u64> = HashMap::new();
    // Rows of one value often follow each other.
    let mut run: Option<(V, u64)> = None;
    for (row, _) in is_event.iter().enumerate().filter(|(_, is_event)| **is_event) {
        match (value(row), &mut run) {
            (None, _) => {}
            (Some(value), Some((known, events))) if *known == value => *events += 1,
            (Some(value), run) => {
                if let Some((known, events)) = run.replace((value, 1)) {
                    *counts.entry(known).or_default() += events;
                }
            }
        }
    }
    if let Some((known, events)) = run {
        *counts.entry(known).or_default() += events;
    }
    counts
}

/// The word for the level of a row.
pub(crate) fn word_of(level: Option<i16>, keywords: Option<i64>) -> &'static str {
    let level = level.and_then(|level| u8::try_from(level).ok()).unwrap_or_default();
    let keywords = keywords.unwrap_or_default() as u64;
    LevelName::of(Level(level), Keywords(keywords)).word()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// The names that a value of an event is searched with.
fn gather_names(element: &Element, names: &mut BTreeSet<String>) {
    if names.len() > NAMES {
        return;
    }
    if let Some(name) = element.attribute("Name") {
        names.insert(name.to_owned());
    }
    names.insert(element.name.clone());
    element.elements().for_each(|inside| gather_names(inside, names));
}

/// What is known of the counts of files and batches.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    files: HashMap<String, Arc<Counts>>,
    /// Of batches in memory, by their first columns: while those are known, others can't have their
    /// addresses.
    batches: Vec<(Weak<dyn Array>, Arc<Counts>)>,
}

impl Engine {
    /// The counts of all rows of a moment.
    ///
    /// # Errors
    /// [`StoreError::Limit`] if they aren't known and counting took too long, and what reading the
    /// table says.
    pub(crate) async fn counts(
        &self,
        moment: &Moment,
        files: &Files,
        context: &SessionContext,
        limits: &Limits,
        begun: Instant,
    ) -> Result<Counts, StoreError> {
        let mut total = Counts::new();
        let mut left: Vec<&FileFacts> = files.all.iter().collect();
        loop {
            self.add_kept(&mut left, &mut total);
            if left.is_empty() {
                break;
            }
            // Who asks meanwhile counts the next of them, rather than the same ones.
            let turn = tokio::time::timeout_at(begun + limits.time, self.counting().lock()).await;
            let _turn = turn.map_err(|_| too_slow(limits))?;
            self.add_kept(&mut left, &mut total);
            let next = left.drain(..left.len().min(AT_ONCE));
            let all = next.map(|file| self.of_file(moment, file, context, limits, begun));
            for counts in futures_util::future::join_all(all).await {
                total.merge(&*counts?);
            }
        }
        self.forget_files(files);
        for counts in self.of_memory(moment)? {
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
        moment: &Moment,
        files: &Files,
        context: &SessionContext,
        limits: &Limits,
        begun: Instant,
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
        let mut add = |counts: &Counts| {
            let Some(minutes) = &counts.minutes else { return false };
            for (minute, levels) in minutes.range(span.clone()) {
                let step = steps.entry(*minute).or_default();
                levels.iter().for_each(|(word, n)| *step.entry(word.clone()).or_default() += n);
            }
            true
        };
        for file in files.all.iter().filter(|file| file.newest >= from && file.oldest < to) {
            let kept = self.kept_counts().files.get(&file.path).cloned();
            let counts = match kept {
                Some(counts) => counts,
                None => self.of_file(moment, file, context, limits, begun).await?,
            };
            if !add(&counts) {
                return Ok(None);
            }
        }
        let is_known = self.of_memory(moment)?.iter().all(|counts| add(counts));
        Ok(is_known.then_some(steps))
    }

    /// The names of values of all rows, where there aren't too many.
    ///
    /// # Errors
    /// As [`counts`](Self::counts).
    pub(crate) async fn names(
        &self,
        moment: &Moment,
        files: &Files,
        context: &SessionContext,
        limits: &Limits,
        begun: Instant,
    ) -> Result<Option<Arc<BTreeSet<String>>>, StoreError> {
        Ok(self.counts(moment, files, context, limits, begun).await?.names.map(Arc::new))
    }

    /// Adds the counts of files that are known, and leaves the others.
    fn add_kept(&self, left: &mut Vec<&FileFacts>, total: &mut Counts) {
        let kept = self.kept_counts();
        left.retain(|file| match kept.files.get(&file.path) {
            Some(counts) => {
                total.merge(counts);
                false
            }
            None => true,
        });
    }

    /// Drops the counts of files that a version doesn't have any more.
    fn forget_files(&self, files: &Files) {
        let mut kept = self.kept_counts();
        if kept.files.len() > files.all.len() + files.all.len() / 4 + 16 {
            let live: std::collections::HashSet<&str> =
                files.all.iter().map(|file| &*file.path).collect();
            kept.files.retain(|path, _| live.contains(&**path));
        }
    }

    fn of_memory(&self, moment: &Moment) -> Result<Vec<Arc<Counts>>, StoreError> {
        let known = std::mem::take(&mut self.kept_counts().batches);
        let mut now = Vec::with_capacity(moment.memory.len());
        for batch in &moment.memory {
            let Some(first) = batch.columns().first().map(Arc::downgrade) else { continue };
            let counts = match known.iter().find(|(other, _)| other.ptr_eq(&first)) {
                Some((_, counts)) => Arc::clone(counts),
                None => Arc::new(Counts::of(std::slice::from_ref(batch))?),
            };
            now.push((first, counts));
        }
        let all = now.iter().map(|(_, counts)| Arc::clone(counts)).collect();
        self.kept_counts().batches = now;
        Ok(all)
    }

    /// The counts of a file: those kept beside it, or made from it and kept then.
    async fn of_file(
        &self,
        moment: &Moment,
        file: &FileFacts,
        context: &SessionContext,
        limits: &Limits,
        begun: Instant,
    ) -> Result<Arc<Counts>, StoreError> {
        let storage = moment.log_store.object_store(None);
        let beside = path_of(&file.path);
        let counts = match read(&*storage, &beside).await {
            Some(counts) => counts,
            None => {
                let counts = scan(moment, file, context, limits, begun).await?;
                if self.writes_counts() {
                    write(&*storage, &beside, &counts).await;
                }
                counts
            }
        };
        let counts = Arc::new(counts);
        self.kept_counts().files.insert(file.path.clone(), Arc::clone(&counts));
        Ok(counts)
    }
}

/// Where the counts of a data file are.
pub(crate) fn path_of(file: &str) -> Path {
    Path::from(format!("_quarry/counts/{}.json", file.replace('/', "_")))
}

/// The data file that counts are of, by the name of the counts.
pub(crate) fn file_of(counts: &str) -> Option<&str> {
    counts.strip_prefix("_quarry/counts/")?.strip_suffix(".json")
}

/// Reads counts; nothing where there are none that can be used.
async fn read(storage: &dyn ObjectStore, path: &Path) -> Option<Counts> {
    let found = storage.get(path).await.ok()?;
    if found.meta.size > MOST_BYTES {
        return None;
    }
    let counts: Counts = serde_json::from_slice(&found.bytes().await.ok()?).ok()?;
    (counts.version == VERSION).then_some(counts)
}

/// Keeps counts. Where that fails they are made again.
async fn write(storage: &dyn ObjectStore, path: &Path, counts: &Counts) {
    let Ok(text) = serde_json::to_vec(counts) else { return };
    if let Err(error) = storage.put(path, text.into()).await {
        tracing::warn!(%path, %error, "counts were not kept");
    }
}

/// Counts the rows of one file.
async fn scan(
    moment: &Moment,
    file: &FileFacts,
    context: &SessionContext,
    limits: &Limits,
    begun: Instant,
) -> Result<Counts, StoreError> {
    let table = DeltaScanNext::builder()
        .with_log_store(Arc::clone(&moment.log_store))
        .with_eager_snapshot(Arc::clone(&moment.snapshot))
        .with_session(Arc::new(context.state()))
        .with_file_paths([file.path.clone()])
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
