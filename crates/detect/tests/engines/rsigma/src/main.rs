//! Hits of Sigma rules on `.evtx` files by other people's code: rsigma's evaluator on what the crate
//! `evtx` reads. Prints RULE-ID, FILE and RECORD, tabs between; of a file that isn't read to its end,
//! `unread` and its name; of a rule that is refused, `refused` and its file. Before them the record has a
//! line `corpus` with the digest of rules and logs, which the test that reads it computes.
//!
//! Usage: rsigma-hits RULES ROUTES.json FOLDER...
//!
//! ROUTES.json says which (channel, id) each rule looks at; those of Windows' own auditing that stand
//! in for Sysmon's are left out, since they need fields that have to be computed first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use evtx::EvtxParser;
use rsigma_eval::{Engine, JsonEvent};
use rsigma_parser::{SigmaRule, parse_sigma_yaml};
use serde_json::{Map, Value};

type Place = (String, Option<u64>);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [rules, routes, folders @ ..] = &*arguments else {
        return Err("usage: rsigma-hits RULES ROUTES.json FOLDER...".into());
    };
    let routes: BTreeMap<String, Vec<Place>> =
        serde_json::from_str(&std::fs::read_to_string(routes)?)?;
    let mut lines = BTreeSet::new();
    let mut by_place: BTreeMap<Place, Vec<SigmaRule>> = BTreeMap::new();
    for path in files(rules.as_ref(), "yml")? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let read = parse_sigma_yaml(&std::fs::read_to_string(&path)?);
        let read = read.map(|read| read.rules).unwrap_or_default();
        let is_good = |rule: &SigmaRule| Engine::new().add_rule(rule).is_ok();
        if read.is_empty() || !read.iter().all(is_good) {
            lines.insert(format!("refused\t{name}\t0"));
            continue;
        }
        for rule in read {
            let places = rule.id.as_ref().and_then(|id| routes.get(id));
            for place in places.into_iter().flatten() {
                by_place.entry(place.clone()).or_default().push(rule.clone());
            }
        }
    }
    let mut engines: BTreeMap<(String, u64), Engine> = BTreeMap::new();
    let mut paths = Vec::new();
    for folder in folders {
        paths.extend(files(folder.as_ref(), "evtx")?);
    }
    for path in paths {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Ok(mut parser) = EvtxParser::from_path(&path) else {
            lines.insert(format!("unread\t{file}\t0"));
            continue;
        };
        for record in parser.records_json_value() {
            // It reads on after damage; what it lost can't be told.
            let Ok(record) = record else {
                lines.insert(format!("unread\t{file}\t0"));
                continue;
            };
            let mut row = Map::new();
            flat(&record.data["Event"], "", &mut row);
            let channel = row.get("Channel").and_then(Value::as_str).unwrap_or_default();
            let Some(id) = row.get("EventID").and_then(Value::as_u64) else { continue };
            let place = (channel.to_lowercase(), id);
            if place.0 == "security" && matches!(id, 4688 | 4657 | 5156) {
                continue;
            }
            let engine = engines.entry(place.clone()).or_insert_with(|| {
                let here = [(place.0.clone(), Some(id)), (place.0.clone(), None)];
                let mut engine = Engine::new();
                let rules = here.iter().filter_map(|place| by_place.get(place)).flatten();
                rules.for_each(|rule| drop(engine.add_rule(rule)));
                engine
            });
            for hit in engine.evaluate(&JsonEvent::owned(Value::Object(row))) {
                let rule = hit.header.rule_id.unwrap_or_default();
                lines.insert(format!("{rule}\t{file}\t{}", record.event_record_id));
            }
        }
    }
    lines.iter().for_each(|line| println!("{line}"));
    Ok(())
}

fn files(folder: &Path, extension: &str) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// An event's values by their names; several of one name as a list.
fn flat(event: &Value, name: &str, row: &mut Map<String, Value>) {
    match event {
        Value::Object(members) => {
            for (key, value) in members {
                match (&**key, value.as_object()) {
                    ("#attributes", Some(attributes)) => {
                        let known =
                            attributes.iter().filter(|(attribute, _)| *attribute != "xmlns");
                        known.for_each(|(key, value)| add(&format!("{name}_{key}"), value, row));
                    }
                    ("#text", _) => flat(value, name, row),
                    _ => flat(value, key, row),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| flat(value, name, row)),
        value => add(name, value, row),
    }
}

fn add(name: &str, value: &Value, row: &mut Map<String, Value>) {
    match row.get_mut(name) {
        None => drop(row.insert(name.to_owned(), value.clone())),
        Some(Value::Array(values)) => values.push(value.clone()),
        Some(known) => *known = Value::Array(vec![known.take(), value.clone()]),
    }
}
