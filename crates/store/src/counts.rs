//! Counts kept beside the table, so that what is asked of all events needs no scan.
//!
//! A data file never changes, so neither do its counts: `_quarry/counts/FILE.json` is a function of the
//! file alone. Counts of the table are those of the files that one version of it has, added up, and of
//! the rows in memory. Nothing has to be kept in step: a crash leaves at most counts of a file that
//! no version has, several writers name their files apart, and what is put together anew is a new file.
//! They are made with the file, and kept beside it unless it is soon to be put together with others: then
//! they are in memory only. Where they are missing or damaged they are made from the file again, and kept.

mod kept;
mod total;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deltalake::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use deltalake::arrow::datatypes::{Int16Type, Int32Type, Int64Type, TimestampMicrosecondType};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use quarry_event::{Element, Keywords, Level, LevelName};
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::event::{EPOCH, Texts2};
use crate::schema::column;
use crate::shape;

pub(crate) use kept::{Asked, Kept};

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
    pub(crate) fn new() -> Self {
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
    pub(crate) fn of(batch: &RecordBatch) -> Result<Self, StoreError> {
        let mut counts = Counts::new();
        counts.count(batch)?;
        Ok(counts)
    }

    /// Counts some rows more.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub(crate) fn count(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
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
            (Some(names), Some(theirs)) => {
                for name in theirs {
                    // Most are known.
                    if !names.contains(name) {
                        names.insert(name.clone());
                    }
                }
            }
            (names, _) => *names = None,
        }
    }

    /// What is kept of them.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Nothing where it is something else.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let counts: Counts = serde_json::from_slice(bytes).ok()?;
        (counts.version == VERSION).then_some(counts)
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

/// The folder of the counts.
pub(crate) const FOLDER: &str = "_quarry/counts";

/// Where the counts of a data file are.
pub(crate) fn path_of(file: &str) -> Path {
    Path::from(format!("{FOLDER}/{}.json", file.replace('/', "_")))
}

/// The data file that counts are of, by the name of the counts.
pub(crate) fn file_of(counts: &str) -> Option<&str> {
    counts.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(".json")
}

/// Reads the counts that are kept of a data file; nothing where there are none that can be used.
///
/// # Errors
/// The storage's.
async fn read(storage: &dyn ObjectStore, file: &str) -> object_store::Result<Option<Counts>> {
    let found = match storage.get(&path_of(file)).await {
        Ok(found) if found.meta.size <= MOST_BYTES => found,
        Ok(_) | Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Counts::parse(&found.bytes().await?))
}

/// Keeps the bytes of a data file's counts. Where that fails they are made again.
pub(crate) async fn write(storage: &dyn ObjectStore, file: &str, bytes: Vec<u8>) {
    let path = path_of(file);
    if let Err(error) = storage.put(&path, bytes.into()).await {
        tracing::warn!(%path, %error, "counts were not kept");
    }
}
