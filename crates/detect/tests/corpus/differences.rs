//! Against other engines on all recorded logs: pySigma's SQL, run by SQLite on what the Python package
//! `evtx` reads. (What Zircolite and rsigma find is in the table of the regression logs.) Each rule on
//! which they differ is decided in `engines/differences.tsv`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use quarry_detect::{Engine, Mapping, Matcher};
use quarry_event::{Field, FieldSource, PartialSource};
use quarry_eventlog::{BatchReader, Damage, Direction, FileLog, Visitor};

use super::{files, load};

/// A rule's id, a file's name, a record's number.
type Hit = (String, String, u64);

struct Find<'h> {
    matcher: Matcher,
    file: String,
    hits: &'h mut BTreeSet<Hit>,
}

impl Visitor for Find<'_> {
    fn wants<S: PartialSource>(&mut self, event: &S) -> bool {
        !self.matcher.rules_out(event)
    }

    fn event<S: FieldSource>(&mut self, event: &S, _: &str, log_record: Option<u64>) {
        // What has to be computed first is not the other engine's.
        let id = event.field(Field::EventId).as_u64();
        let is_security = event.field(Field::Channel).is_text("Security");
        if is_security && matches!(id, Some(4688 | 4657 | 5156)) {
            return;
        }
        let engine = Arc::clone(self.matcher.engine());
        for rule in self.matcher.matches(event) {
            let id = engine.rules()[*rule].name.id.clone();
            self.hits.insert((id, self.file.clone(), log_record.unwrap_or_default()));
        }
    }

    fn damage(&mut self, _: &Damage) {}
}

#[test]
fn what_another_engine_finds_differs_in_rules_that_are_decided() {
    let Some(logs) = quarry_testkit::corpus_folder("sigma/regression.tar.xz") else { return };
    let rules = quarry_testkit::corpus_folder("sigma/rules.tar.xz").unwrap();
    let routes = quarry_testkit::corpus_file("sigma/routes.json").unwrap();
    let corpus = routes.parent().unwrap().parent().unwrap().to_owned();
    let folders = [logs, corpus.join("mitre"), corpus.join("evtx-crate")];
    let here = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engines"));
    let python = quarry_testkit::python("sigma", &here.join("requirements.txt"));
    let mut command = Command::new(python);
    command.arg(here.join("pysigma_sqlite.py")).arg(&rules).arg(&routes).args(&folders);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let mut theirs: BTreeSet<Hit> = BTreeSet::new();
    let mut unread = BTreeSet::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        match cells[0] {
            "unread" => drop(unread.insert(cells[1].to_owned())),
            rule => {
                theirs.insert((rule.to_owned(), cells[1].to_owned(), cells[2].parse().unwrap()));
            }
        }
    }
    // It converts no rule that has keywords.
    let (all, _) = load(&rules);
    let refused = |file: &str| said.lines().any(|line| line.starts_with(&format!("{file}: ")));
    let compared: BTreeSet<String> = all
        .iter()
        .filter(|rule| !refused(rule.file_name()))
        .map(|rule| rule.name.id.clone())
        .collect();
    assert!(all.len() - compared.len() < 20, "{said}");
    let engine = Arc::new(Engine::new(all, Mapping::builtin()));
    let mut ours = BTreeSet::new();
    for path in folders.iter().flat_map(|folder| files(folder, "evtx")) {
        let Ok(log) = FileLog::open(&path) else { continue };
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut find = Find { matcher: engine.matcher(), file, hits: &mut ours };
        let mut reader = BatchReader::default();
        log.batches(Direction::Forward).for_each(|batch| reader.read(&batch, &mut find));
    }
    let is_compared = |hit: &&Hit| compared.contains(&hit.0) && !unread.contains(&hit.1);
    let ours: BTreeSet<&Hit> = ours.iter().filter(is_compared).collect();
    let theirs: BTreeSet<&Hit> = theirs.iter().filter(is_compared).collect();
    assert!(theirs.len() > 700, "{}", theirs.len());
    let decisions = fs::read_to_string(here.join("differences.tsv")).unwrap();
    let mut decided = BTreeSet::new();
    for line in decisions.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        assert!(cells.len() == 4 && cells.iter().all(|cell| !cell.is_empty()), "{line}");
        decided.insert((cells[0], cells[1]));
    }
    let differ: BTreeSet<(&str, &str)> = ours
        .difference(&theirs)
        .map(|hit| (&*hit.0, "quarry"))
        .chain(theirs.difference(&ours).map(|hit| (&*hit.0, "pysigma")))
        .collect();
    // None that isn't decided, and no decision about nothing.
    assert_eq!(differ, decided);
}
