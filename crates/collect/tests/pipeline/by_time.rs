//! Files that are read in the order of time.

use std::fs;
use std::io::Cursor;

use quarry_event::Field;
use quarry_eventlog::LogName;

use super::*;

/// A log whose records have these times, in seconds, and a value that makes a chunk of a few dozen.
fn write_times(path: &Path, times: &[u64]) {
    let mut writer = EvtxWriter::new(File::create(path).unwrap()).unwrap();
    for seconds in times {
        let time = EventTime::from_filetime((1 << 56) + seconds * EventTime::SECOND);
        let created = Element::new("TimeCreated").attribute("SystemTime", time.to_string());
        let data = Element::new("EventData").child(Element::new("Data").text("x".repeat(500)));
        let event = Element::new("Event").child(Element::new("System").child(created)).child(data);
        // What the record says of itself is no help.
        writer.write(&Fragment::Element(event), EventTime::default()).unwrap();
    }
    writer.finish().unwrap();
}

/// Gives each event's time.
struct Times;

#[derive(Default)]
struct OfTimes(Vec<EventTime>);

impl Output for OfTimes {
    fn bytes(&self) -> usize {
        // Batches are handed on in parts.
        20_000 * self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    fn truncate(&mut self, events: u64) {
        self.0.truncate(events as usize);
    }
}

impl Work for Times {
    type Worker = ();
    type Output = OfTimes;

    fn worker(&self) {}

    fn event<S: FieldSource>(&self, (): &mut (), event: &S, _: &Found<'_>, output: &mut OfTimes) {
        output.0.push(event.field(Field::TimeCreated).as_time().unwrap());
    }
}

/// What was delivered.
#[derive(Default)]
struct Turns(Vec<Taken>);

/// A delivery's edge and place, its source and its events' times.
struct Taken {
    turn: Option<(EventTime, u64)>,
    source: String,
    times: Vec<EventTime>,
}

impl Sink for Turns {
    type Output = OfTimes;
    type Error = &'static str;

    fn take(&mut self, delivery: &mut Delivery<OfTimes>) -> Result<Next, &'static str> {
        let turn = delivery.turn.map(|turn| (turn.edge, turn.place));
        let times = std::mem::take(&mut delivery.output.0);
        self.0.push(Taken { turn, source: delivery.source.name.clone(), times });
        Ok(Next::Go)
    }
}

impl Turns {
    fn of(files: Vec<FileInput>, direction: Direction, count: usize) -> Self {
        let mut turns = Turns::default();
        let pipeline = Pipeline::scan(files).threads(threads(count)).direction(direction);
        let (summary, result) = pipeline.by_time(true).run(&Times, &mut turns, None);
        result.unwrap();
        assert_eq!(summary.matched, turns.times().len() as u64);
        turns
    }

    fn times(&self) -> Vec<EventTime> {
        self.0.iter().flat_map(|taken| taken.times.clone()).collect()
    }
}

/// Logs whose times lie between one another's, with chunks out of order, and without any record.
fn overlapping() -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(format!("{name}.evtx"));
    let paths = vec![path("a"), path("b"), path("c"), path("d")];
    write_times(&paths[0], &(0..400).map(|n| 2 * n).collect::<Vec<_>>());
    write_times(&paths[1], &(0..400).map(|n| (n * 37) % 1000).collect::<Vec<_>>());
    write_times(&paths[2], &[]);
    write_times(&paths[3], &(0..300).map(|n| 5000 - 9 * n).collect::<Vec<_>>());
    (folder, paths)
}

#[test]
fn what_comes_later_is_never_before_a_delivery_s_edge() {
    let (_folder, paths) = overlapping();
    for direction in [Direction::Forward, Direction::Backward] {
        let one = Turns::of(inputs(&paths, Selection::default()), direction, 1);
        assert!(one.0.iter().filter(|taken| !taken.times.is_empty()).count() > 20);
        assert_eq!(one.times().len(), 1100);
        for (n, taken) in one.0.iter().enumerate() {
            let (edge, _) = taken.turn.unwrap();
            let rest = one.0[n..].iter().flat_map(|taken| &taken.times);
            let is_past = |time: &EventTime| match direction {
                Direction::Forward => *time < edge,
                Direction::Backward => *time > edge,
            };
            assert_eq!(rest.filter(|time| is_past(time)).count(), 0, "{n}");
        }
        // The edges tell something: of what came, much can be handed on before the last quarter comes.
        let late = one.0[one.0.len() * 3 / 4].turn.unwrap().0;
        let passed = one.times().into_iter().filter(|time| match direction {
            Direction::Forward => *time < late,
            Direction::Backward => *time > late,
        });
        assert!(passed.count() > 300, "{direction:?}");
        let two = Turns::of(inputs(&paths, Selection::default()), direction, 2);
        assert_eq!(two.times(), one.times());
    }
}

#[test]
fn a_delivery_s_place_is_that_of_files_one_after_the_other() {
    let (_folder, paths) = overlapping();
    for direction in [Direction::Forward, Direction::Backward] {
        let mut by_time = Turns::of(inputs(&paths, Selection::default()), direction, 1);
        by_time.0.sort_by_key(|taken| taken.turn.unwrap().1);
        let mut in_turn = Turns::default();
        let files = inputs(&paths, Selection::default());
        let pipeline = Pipeline::scan(files).threads(threads(1)).direction(direction);
        pipeline.run(&Times, &mut in_turn, None).1.unwrap();
        assert!(in_turn.0.iter().all(|taken| taken.turn.is_none()));
        assert_eq!(by_time.times(), in_turn.times());
    }
}

#[test]
fn files_that_cannot_be_read_twice_are_read_one_after_the_other() {
    let (_folder, paths) = overlapping();
    let mut files = inputs(&paths, Selection::default());
    let bytes = fs::read(&paths[1]).unwrap();
    let open = move |_: &Stop| {
        let name = LogName("piped".into());
        Ok(FileLog::new("piped".into(), name, Cursor::new(bytes))?)
    };
    files[1] = FileInput::new("piped", Arc::new(Selection::default()), open);
    let turns = Turns::of(files, Direction::Forward, 2);
    assert!(turns.0.iter().all(|taken| taken.turn.is_none()));
    let mut names: Vec<&str> = turns
        .0
        .iter()
        .filter(|taken| !taken.times.is_empty())
        .map(|taken| Path::new(&taken.source).file_stem().unwrap().to_str().unwrap())
        .collect();
    names.dedup();
    assert_eq!(names, ["a", "piped", "d"]);
    assert_eq!(turns.times().len(), 1100);
}
