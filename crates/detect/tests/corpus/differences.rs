//! Against two other engines on all recorded logs: pySigma's SQL, run by SQLite on what the Python
//! package `evtx` reads, and rsigma's evaluator on what the crate `evtx` reads (recorded in
//! `engines/rsigma.tsv`). Each rule on which they
//! differ is decided in `engines/decisions.tsv`, with what the specification says, and each hit on which they do
//! is a line of `engines/differences.tsv`.
//!
//! The other engines get the events that a rule is about from a table (`routes.json`), and none whose
//! fields have to be computed first. Of 4688, pySigma's own pipeline for Windows' auditing renames the fields
//! of rules on process creation; what it can't rename is left out there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use quarry_detect::{Engine, Mapping, Matcher, Rule};
use quarry_event::{Field, FieldSource, PartialSource, RecordId};
use quarry_eventlog::{BatchReader, Damage, Direction, FileLog, Visitor};

use super::{files, load};

/// A rule's id, a file's name, a record's number.
type Hit = (String, String, u64);

struct Find<'h> {
    matcher: Matcher,
    file: String,
    hits: &'h mut Hits,
}

/// The hits, and those on 4688.
#[derive(Default)]
struct Hits {
    others: BTreeSet<Hit>,
    created: BTreeSet<Hit>,
}

impl Visitor for Find<'_> {
    fn wants<S: PartialSource>(&mut self, event: &S) -> bool {
        !self.matcher.rules_out(event)
    }

    fn event<S: FieldSource>(&mut self, event: &S, _: &str, log_record: Option<RecordId>) {
        let id = event.field(Field::EventId).as_u64();
        if event.field(Field::Channel).with_text(|channel| is_computed(channel, id)) {
            return;
        }
        let engine = Arc::clone(self.matcher.engine());
        for rule in self.matcher.matches(event) {
            let name = engine.rules()[*rule].name.id.clone();
            let hit = (name, self.file.clone(), log_record.unwrap_or_default().0);
            match event.field(Field::Channel).is_text("Security") && id == Some(4688) {
                true => self.hits.created.insert(hit),
                false => self.hits.others.insert(hit),
            };
        }
    }

    fn damage(&mut self, _: &Damage) {}
}

/// Whether fields of such events have to be computed first, which is not the other engines'.
fn is_computed(channel: &str, id: Option<u64>) -> bool {
    channel.eq_ignore_ascii_case("Security") && matches!(id, Some(4657 | 5156))
}

/// The folders of recorded logs, the rules, and the table of what each is about; nothing where they
/// aren't there.
fn corpus() -> Option<([PathBuf; 3], PathBuf, PathBuf)> {
    let logs = quarry_testkit::corpus_folder("sigma/regression.tar.xz")?;
    let rules = quarry_testkit::corpus_folder("sigma/rules.tar.xz")?;
    let routes = quarry_testkit::corpus_file("sigma/routes.json")?;
    let corpus = routes.parent()?.parent()?.to_owned();
    Some(([logs, corpus.join("mitre"), corpus.join("evtx-crate")], rules, routes))
}

fn ours(folders: &[PathBuf], rules: Vec<Rule>) -> Hits {
    let engine = Arc::new(Engine::new(rules, Mapping::builtin()));
    let mut hits = Hits::default();
    for path in folders.iter().flat_map(|folder| files(folder, "evtx")) {
        let Ok(log) = FileLog::open(&path) else { continue };
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut find = Find { matcher: engine.matcher(), file, hits: &mut hits };
        let mut reader = BatchReader::default();
        log.batches(Direction::Forward).for_each(|batch| reader.read(&batch, &mut find));
    }
    hits
}

/// A digest of what a record of another engine's hits depends on (FNV-1a): the rules and routes, and the
/// logs by their names and lengths.
fn digest(folders: &[PathBuf]) -> String {
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for name in ["sigma/rules.tar.xz", "sigma/routes.json"] {
        add(&fs::read(quarry_testkit::corpus_file(name).unwrap()).unwrap());
    }
    for path in folders.iter().flat_map(|folder| files(folder, "evtx")) {
        add(path.file_name().unwrap().as_encoded_bytes());
        add(&fs::metadata(&path).unwrap().len().to_le_bytes());
    }
    format!("{digest:016x}")
}

/// What another engine finds of the rules and files that it could read.
struct Theirs {
    name: &'static str,
    hits: BTreeSet<Hit>,
    /// The rules that were compared, by id.
    rules: BTreeSet<String>,
    unread: BTreeSet<String>,
}

/// Fails if the hits differ in a rule that isn't decided, or a decision is about nothing.
fn compare(ours: &BTreeSet<Hit>, theirs: &Theirs) {
    let is_compared = |hit: &&Hit| theirs.rules.contains(&hit.0) && !theirs.unread.contains(&hit.1);
    let ours: BTreeSet<&Hit> = ours.iter().filter(is_compared).collect();
    let hits: BTreeSet<&Hit> = theirs.hits.iter().filter(is_compared).collect();
    assert!(hits.len() > 700, "{}", hits.len());
    let here = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engines"));
    let read = |name: &str| fs::read_to_string(here.join(name)).unwrap();
    let lines = |text: &str, cells: usize| -> Vec<Vec<String>> {
        let line = |line: &str| line.split('\t').map(str::to_owned).collect::<Vec<_>>();
        let lines: Vec<Vec<String>> = text.lines().skip(1).map(line).collect();
        for line in &lines {
            assert!(line.len() == cells && line.iter().all(|cell| !cell.is_empty()), "{line:?}");
        }
        lines
    };
    let decisions = lines(&read("decisions.tsv"), 4);
    let is_theirs = |line: &&Vec<String>| line[1] == theirs.name;
    let decided: BTreeSet<String> = lines(&read("differences.tsv"), 5)
        .iter()
        .filter(is_theirs)
        .map(|line| line.join("\t"))
        .collect();
    let differ = |who: &str, hit: &Hit| {
        let (rule, file, record) = hit;
        format!("{rule}\t{}\t{who}\t{file}\t{record}", theirs.name)
    };
    let differ: BTreeSet<String> = ours
        .difference(&hits)
        .map(|hit| differ("quarry", hit))
        .chain(hits.difference(&ours).map(|hit| differ(theirs.name, hit)))
        .collect();
    let new: Vec<&String> = differ.difference(&decided).collect();
    let gone: Vec<&String> = decided.difference(&differ).collect();
    assert!(new.is_empty() && gone.is_empty(), "new: {new:#?}\ngone: {gone:#?}");
    // Each rule is decided, and each decision about one.
    let rules = |lines: &mut dyn Iterator<Item = &str>| lines.map(str::to_owned).collect();
    let of_lines: BTreeSet<String> =
        rules(&mut differ.iter().map(|line| line.split('\t').next().unwrap_or_default()));
    let of_decisions: BTreeSet<String> =
        rules(&mut decisions.iter().filter(is_theirs).map(|line| &*line[0]));
    assert_eq!(of_lines, of_decisions);
}

#[test]
fn what_pysigma_finds_differs_in_rules_that_are_decided() {
    let Some((folders, rules, routes)) = corpus() else { return };
    let here = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engines"));
    let python = quarry_testkit::python("sigma", &here.join("requirements.txt"));
    let mut command = Command::new(python);
    command.arg(here.join("pysigma_sqlite.py")).arg(&rules).arg(&routes).args(&folders);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let mut hits: BTreeSet<Hit> = BTreeSet::new();
    let (mut unread, mut apart) = (BTreeSet::new(), BTreeSet::new());
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        match cells[0] {
            "unread" => drop(unread.insert(cells[1].to_owned())),
            "apart" => drop(apart.insert(cells[1].to_owned())),
            rule => {
                hits.insert((rule.to_owned(), cells[1].to_owned(), cells[2].parse().unwrap()));
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
    let Hits { others, created } = ours(&folders, all);
    let is_compared = |hit: &&Hit| !apart.contains(&hit.0);
    let created: BTreeSet<Hit> = created.iter().filter(is_compared).cloned().collect();
    assert!(created.len() > 200, "{}", created.len());
    let ours = &others | &created;
    compare(&ours, &Theirs { name: "pysigma", hits, rules: compared, unread });
}

#[test]
fn what_rsigma_finds_differs_in_rules_that_are_decided() {
    let Some((folders, rules, _)) = corpus() else { return };
    let here = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engines"));
    // Recorded, as its evaluator has many dependencies; `rsigma` beside it makes it, and its first line is
    // the digest of what it was made of.
    let recorded = fs::read_to_string(here.join("rsigma.tsv")).unwrap();
    assert!(recorded.starts_with("corpus\t"));
    let (mut hits, mut unread, mut refused) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for line in recorded.lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        match cells[0] {
            "unread" => drop(unread.insert(cells[1].to_owned())),
            "refused" => drop(refused.insert(cells[1].to_owned())),
            // Of another corpus it would say nothing.
            "corpus" => assert_eq!(cells[1], digest(&folders), "record it again"),
            rule => {
                hits.insert((rule.to_owned(), cells[1].to_owned(), cells[2].parse().unwrap()));
            }
        }
    }
    let (all, _) = load(&rules);
    let compared: BTreeSet<String> = all
        .iter()
        .filter(|rule| !refused.contains(rule.file_name()))
        .map(|rule| rule.name.id.clone())
        .collect();
    assert!(all.len() - compared.len() < 20, "{refused:?}");
    let ours = ours(&folders, all).others;
    compare(&ours, &Theirs { name: "rsigma", hits, rules: compared, unread });
}
