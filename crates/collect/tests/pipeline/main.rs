//! The pipeline on files that are read once and on a file that is followed: what is handed on, in
//! which order, and when cursors move.

mod by_time;
mod cursors;
mod detect;
mod observer;
mod stages;
mod tasks;

use std::fs::File;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quarry_binxml::write::{Element, Fragment};
use quarry_collect::{
    Delivery, FileInput, FleetInput, Found, Next, Output, Pipeline, Selection, Sink, Stop, Work,
};
use quarry_event::filter::{Filter, Glob, Ids};
use quarry_event::{EventTime, FieldSource};
use quarry_eventlog::{BoxFuture, Direction, EventLog, FileLog, LogError};
use quarry_logfile::EvtxWriter;
use tempfile::TempDir;

/// A log of so many records. Each has its number as its id, and a value that fills it.
fn write(path: &Path, records: u64, size: usize) {
    let mut writer = EvtxWriter::new(File::create(path).unwrap()).unwrap();
    for number in 1..=records {
        let element = |name: &str, text: String| Element::new(name).text(text);
        let system = Element::new("System").child(element("EventID", number.to_string()));
        let data = Element::new("EventData").child(element("Data", "x".repeat(size)));
        let event = Element::new("Event").child(system).child(data);
        let time = EventTime::from_filetime(1 << 56);
        writer.write(&Fragment::Element(event), time).unwrap();
    }
    writer.finish().unwrap();
}

/// Gives each event's place: its source and its number.
struct Places;

#[derive(Default)]
struct Made {
    places: Vec<(String, u64)>,
    /// What it is said to hold.
    bytes: usize,
}

impl Output for Made {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn clear(&mut self) {
        *self = Made::default();
    }

    fn truncate(&mut self, events: u64) {
        self.places.truncate(events as usize);
    }
}

impl Work for Places {
    type Worker = ();
    type Output = Made;

    fn worker(&self) {}

    fn event<S: FieldSource>(&self, (): &mut (), _: &S, found: &Found<'_>, output: &mut Made) {
        let name = Path::new(found.origin.source).file_stem().unwrap();
        let number = found.origin.log_record.unwrap().0;
        output.places.push((name.to_str().unwrap().to_owned(), number));
        output.bytes += 10_000;
    }
}

/// Keeps what comes.
#[derive(Default)]
struct Kept {
    places: Vec<(String, u64)>,
    deliveries: usize,
    /// After so many events no more is wanted.
    enough: Option<usize>,
}

impl Sink for Kept {
    type Output = Made;
    type Error = &'static str;

    fn take(&mut self, delivery: &mut Delivery<Made>) -> Result<Next, &'static str> {
        assert_eq!(delivery.matched, delivery.output.places.len() as u64);
        self.deliveries += 1;
        self.places.append(&mut delivery.output.places);
        let is_enough = self.enough.is_some_and(|enough| self.places.len() >= enough);
        Ok(if is_enough { Next::Stop } else { Next::Go })
    }
}

/// Files `a` to `c` in a folder, of 300, 0 and 200 records.
fn files() -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(format!("{name}.evtx"));
    let paths = vec![path("a"), path("b"), path("c")];
    for (path, records) in paths.iter().zip([300, 0, 200]) {
        write(path, records, 1000);
    }
    (folder, paths)
}

fn inputs(paths: &[PathBuf], selection: Selection) -> Vec<FileInput> {
    let selection = Arc::new(selection);
    let input = |path: &PathBuf| {
        let opened = path.clone();
        let open = move |_: &Stop| Ok(FileLog::open(&opened)?);
        FileInput::new(path.display().to_string(), Arc::clone(&selection), open)
    };
    paths.iter().map(input).collect()
}

fn threads(threads: usize) -> NonZeroUsize {
    NonZeroUsize::new(threads).unwrap()
}

fn places(name: &str, numbers: impl IntoIterator<Item = u64>) -> Vec<(String, u64)> {
    numbers.into_iter().map(|number| (name.to_owned(), number)).collect()
}

#[test]
fn what_comes_is_the_same_with_any_number_of_threads_and_any_room() {
    let (_folder, paths) = files();
    let expected = [places("a", 1..=300), places("c", 1..=200)].concat();
    for count in [1, 2, 5] {
        for bytes in [0, 100_000, 1 << 30] {
            let mut kept = Kept::default();
            let pipeline = Pipeline::scan(inputs(&paths, Selection::default()));
            let pipeline = pipeline.threads(threads(count)).output_bytes(bytes);
            let (summary, result) = pipeline.run(&Places, &mut kept, None);
            result.unwrap();
            assert_eq!(kept.places, expected, "{count} threads, {bytes} bytes");
            assert_eq!((summary.records, summary.matched), (500, 500));
            assert_eq!((summary.files.all, summary.files.read, summary.files.failed), (3, 3, 0));
            // What has become large comes in parts.
            assert!(kept.deliveries > 500 / 30, "{} deliveries", kept.deliveries);
        }
    }
}

#[test]
fn a_limit_is_of_each_source_in_either_direction() {
    let (_folder, paths) = files();
    for (direction, expected) in [
        (Direction::Forward, [places("a", 1..=150), places("c", 1..=150)].concat()),
        (
            Direction::Backward,
            [places("a", (151..=300).rev()), places("c", (51..=200).rev())].concat(),
        ),
    ] {
        for count in [1, 4] {
            let mut kept = Kept::default();
            let selection = Selection::default().with_limit(Some(150));
            let pipeline = Pipeline::scan(inputs(&paths, selection)).direction(direction);
            let (summary, result) = pipeline.threads(threads(count)).run(&Places, &mut kept, None);
            result.unwrap();
            assert_eq!(kept.places, expected);
            assert_eq!((summary.matched, summary.files.read), (300, 3));
        }
    }
}

#[test]
fn a_selection_is_a_source_s_own() {
    let (_folder, paths) = files();
    let ids = |text: &str| {
        let filter = Filter { ids: Some(Ids::parse(text).unwrap()), ..Filter::default() };
        Selection::new(Vec::new(), filter, EventTime::default()).unwrap()
    };
    let none = Glob::parse("Security").unwrap();
    let nowhere = Selection::new(vec![none], Filter::default(), EventTime::default()).unwrap();
    let mut files = inputs(&paths[..1], ids("7-9"));
    files.extend(inputs(&paths[2..], ids("100")));
    files.extend(inputs(&paths[..1], nowhere));
    let mut kept = Kept::default();
    let (summary, result) = Pipeline::scan(files).run(&Places, &mut kept, None);
    result.unwrap();
    assert_eq!(kept.places, [places("a", 7..=9), places("c", [100])].concat());
    assert_eq!((summary.records, summary.matched), (800, 4));
}

#[test]
fn a_sink_that_has_enough_and_a_stop_end_the_run() {
    let (_folder, paths) = files();
    let mut kept = Kept { enough: Some(40), ..Kept::default() };
    let pipeline = Pipeline::scan(inputs(&paths, Selection::default()));
    let (summary, result) = pipeline.run(&Places, &mut kept, None);
    result.unwrap();
    assert!((40..100).contains(&kept.places.len()), "{}", kept.places.len());
    assert_eq!(kept.places, places("a", 1..=kept.places.len() as u64));
    assert_eq!(summary.files.read, 0);

    let stop = Stop::default();
    assert!(stop.set() && !stop.set());
    let mut kept = Kept::default();
    let pipeline = Pipeline::scan(inputs(&paths, Selection::default())).stop(stop);
    let (summary, result) = pipeline.run(&Places, &mut kept, None);
    result.unwrap();
    assert_eq!((kept.places.len(), summary.records), (0, 0));
}

#[test]
fn a_file_that_cannot_be_opened_fails_alone() {
    let (folder, mut paths) = files();
    paths.insert(1, folder.path().join("missing.evtx"));
    let mut kept = Kept::default();
    let pipeline = Pipeline::scan(inputs(&paths, Selection::default()));
    let (summary, result) = pipeline.run(&Places, &mut kept, None);
    result.unwrap();
    assert_eq!(kept.places.len(), 500);
    assert_eq!((summary.files.all, summary.files.read, summary.files.failed), (4, 3, 1));
}

/// A file that is followed.
struct Followed(PathBuf, [Glob; 1]);

impl Followed {
    fn input(path: &Path, selection: Selection) -> FleetInput {
        let source = Followed(path.to_owned(), [Glob::parse("*").unwrap()]);
        FleetInput::file(Arc::new(source), Arc::new(selection))
    }
}

impl quarry_fleet::Source for Followed {
    fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn address(&self) -> &str {
        "the address"
    }

    fn logs(&self) -> &[Glob] {
        &self.1
    }

    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn EventLog>, LogError>> {
        Box::pin(async { Ok(Arc::new(FileLog::open(&self.0)?) as Arc<dyn EventLog>) })
    }
}
