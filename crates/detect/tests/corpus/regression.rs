//! Logs of SigmaHQ's regression tests: the hits of all rules are those on which Zircolite 3.7.0 and
//! rsigma 0.23 agree.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use quarry_detect::{Engine, Mapping, Matcher};
use quarry_event::{Event, Field, FieldSource, PartialSource, RecordId};
use quarry_eventlog::{BatchReader, Damage, Direction, FileLog, Visitor};

use super::{files, load};

/// A rule's id, a file's name, a record's number.
type Hit = (String, String, u64);

struct Find<'h> {
    matcher: Matcher,
    file: String,
    hits: &'h mut BTreeSet<Hit>,
    /// How many times the slow evaluator was asked.
    compared: u64,
    ruled_out: u64,
}

impl Visitor for Find<'_> {
    fn wants<S: PartialSource>(&mut self, event: &S) -> bool {
        let is_wanted = !self.matcher.rules_out(event);
        self.ruled_out += u64::from(!is_wanted);
        is_wanted
    }

    fn event<S: FieldSource>(&mut self, event: &S, _log: &str, _: Option<RecordId>) {
        let record = event.field(Field::RecordId).as_u64().unwrap();
        let engine = Arc::clone(self.matcher.engine());
        let found = self.matcher.matches(event).to_vec();
        // A decoded event gives the same.
        assert_eq!(self.matcher.matches(&Event::from_source(event)), found);
        for rule in &found {
            let id = engine.rules()[*rule].name.id.clone();
            self.hits.insert((id, self.file.clone(), record));
        }
        // And so does the slow evaluator, for some of the rules.
        let step = engine.rules().len() / 40 + 1;
        for rule in (self.compared as usize % step..engine.rules().len()).step_by(step) {
            let plainly = engine.matches_plainly(rule, event);
            assert_eq!(plainly, found.contains(&rule), "{}", engine.rules()[rule].file);
        }
        self.compared += 1;
    }

    fn damage(&mut self, _: &Damage) {}
}

#[test]
fn the_hits_are_those_on_which_two_other_engines_agree() {
    let Some(logs) = quarry_testkit::corpus_folder("sigma/regression.tar.xz") else { return };
    let rules = quarry_testkit::corpus_folder("sigma/rules.tar.xz").unwrap();
    let table = quarry_testkit::corpus_file("sigma/regression.tsv").unwrap();
    let engine = Arc::new(Engine::new(load(&rules).0, Mapping::builtin()));
    let mut hits = BTreeSet::new();
    let mut compared = 0;
    for path in files(&logs, "evtx") {
        let log = FileLog::open(&path).unwrap();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let matcher = engine.matcher();
        let mut find = Find { matcher, file, hits: &mut hits, compared, ruled_out: 0 };
        let mut reader = BatchReader::default();
        log.batches(Direction::Forward).for_each(|batch| reader.read(&batch, &mut find));
        compared = find.compared;
    }
    let text = fs::read_to_string(table).unwrap();
    let expected: BTreeSet<Hit> = text
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split('\t').collect();
            (cells[0].to_owned(), cells[2].to_owned(), cells[3].parse().unwrap())
        })
        .collect();
    let missing: Vec<&Hit> = expected.difference(&hits).collect();
    let more: Vec<&Hit> = hits.difference(&expected).collect();
    assert_eq!((missing, more), (vec![], vec![]));
    assert_eq!(hits.len(), 352);
    // Each rule that a log is for matches it.
    for path in files(&logs, "evtx") {
        let id = path.file_stem().unwrap().to_str().unwrap();
        assert!(hits.iter().any(|(rule, file, _)| rule == id && file.starts_with(id)), "{id}");
    }
}
