//! Against the witnesses in `../shared/corpus/sigma`: decided cases, the rules of SigmaHQ, and logs
//! with the hits on which two other engines agree.

mod audit;
mod differences;
mod on_4688;
mod regression;
mod rules;
mod semantics;

use std::fs;
use std::path::{Path, PathBuf};

use quarry_detect::{Rule, RuleError};

/// The rules of a folder, in the order of their paths, and those that are refused.
fn load(folder: &Path) -> (Vec<Rule>, Vec<RuleError>) {
    let (mut rules, mut errors) = (Vec::new(), Vec::new());
    for path in files(folder, "yml") {
        let text = fs::read_to_string(&path).unwrap();
        let shown = path.strip_prefix(folder).unwrap().to_str().unwrap();
        for rule in Rule::parse(shown, &text) {
            match rule {
                Ok(rule) => rules.push(rule),
                Err(error) => errors.push(error),
            }
        }
    }
    (rules, errors)
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
