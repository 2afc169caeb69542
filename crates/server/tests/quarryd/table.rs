//! What is in a table, as others' code reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

/// A host and its log.
pub(crate) type Key = (String, String);

/// The rows of a table.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// How often each record is there, by host, log and number.
    pub(crate) events: BTreeMap<Key, BTreeMap<u64, usize>>,
    /// Records that gaps name.
    pub(crate) gaps: BTreeMap<Key, BTreeSet<u64>>,
    /// The texts of all rows that are no events.
    pub(crate) notices: Vec<(String, String)>,
}

impl Rows {
    /// Reads a table; nothing where there is none yet.
    pub(crate) fn read(folder: &Path) -> Self {
        Rows::read_from(folder.as_os_str(), &BTreeMap::new())
    }

    /// Reads a table at an address, whose storage takes options.
    pub(crate) fn read_from(url: &OsStr, options: &BTreeMap<String, String>) -> Self {
        let options = serde_json::to_string(options).unwrap();
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/quarryd");
        let python = quarry_testkit::python("deltalake", &here.join("requirements.txt"));
        let mut read = Command::new(python);
        let output = read.arg(here.join("read.py")).arg(url).arg(options).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut rows = Rows::default();
        for line in text.lines() {
            let row: Json = serde_json::from_str(line).unwrap();
            let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
            let key = (text("host"), text("log"));
            match &*text("kind") {
                "event" => {
                    let number = row["log_record"].as_u64().unwrap();
                    *rows.events.entry(key).or_default().entry(number).or_default() += 1;
                }
                kind => {
                    let message = text("message");
                    if kind == "gap" {
                        rows.gaps.entry(key).or_default().extend(numbers(&message));
                    }
                    rows.notices.push((kind.to_owned(), message));
                }
            }
        }
        rows
    }

    pub(crate) fn count(&self) -> usize {
        self.events.values().map(BTreeMap::len).sum()
    }

    /// Records that are there more than once.
    pub(crate) fn repeated(&self) -> Vec<(Key, u64)> {
        let of = |(key, numbers): (&Key, &BTreeMap<u64, usize>)| {
            let more = numbers.iter().filter(|(_, times)| **times > 1);
            more.map(|(number, _)| (key.clone(), *number)).collect::<Vec<_>>()
        };
        self.events.iter().flat_map(of).collect()
    }

    /// Records up to the last of each log that are neither there nor in a gap, a few of each.
    pub(crate) fn missing(&self, last: &BTreeMap<Key, u64>) -> Vec<(Key, u64)> {
        let of = |(key, last): (&Key, &u64)| {
            let is_missing = |number: &u64| {
                !self.events.get(key).is_some_and(|numbers| numbers.contains_key(number))
                    && !self.gaps.get(key).is_some_and(|numbers| numbers.contains(number))
            };
            let missing = (1..=*last).filter(is_missing).take(5);
            missing.map(|number| (key.clone(), number)).collect::<Vec<_>>()
        };
        last.iter().flat_map(of).collect()
    }
}

/// The records that a gap's text names.
fn numbers(text: &str) -> std::ops::RangeInclusive<u64> {
    let words: Vec<&str> = text.split(' ').collect();
    let ["records", first, "to", last, ..] = words[..] else { panic!("{text}") };
    first.parse().unwrap()..=last.parse().unwrap()
}
