//! Detection rules as a stage.

use std::collections::BTreeSet;

use quarry_collect::Detect;
use quarry_detect::{Engine, Mapping, Rule};

use super::*;

const RULES: &str = "title: Tens
logsource: { category: test }
detection: { a: { EventID: [10, 20, 30] }, no: { EventID: 20 }, condition: a and not no }
";

/// Gives the places of events that are marked with rules, with how many.
struct Marked;

impl Work for Marked {
    type Worker = ();
    type Output = Made;

    fn worker(&self) {}

    fn event<S: FieldSource>(&self, (): &mut (), _: &S, found: &Found<'_>, output: &mut Made) {
        let title = found.texts.rules.first().map_or("", |rule| &rule.title);
        output.places.push((title.to_owned(), found.origin.log_record.unwrap().0));
    }
}

fn detect() -> Detect {
    let rules = Rule::parse("rules.yml", RULES).into_iter().map(Result::unwrap).collect();
    // These events have no channel.
    let mapping = Mapping::parse("[category.test]\nsources = [{ channel = \"\" }]").unwrap();
    Detect::new(Arc::new(Engine::new(rules, mapping)))
}

#[test]
fn events_that_match_a_rule_go_on_or_all_do_and_hits_are_counted() {
    let (_folder, paths) = files();
    for passes_all in [false, true] {
        let detect = detect();
        let detect = Arc::new(if passes_all { detect.passing_all() } else { detect });
        let mut kept = Kept::default();
        let pipeline = Pipeline::scan(inputs(&paths[2..], Selection::default()));
        let pipeline = pipeline.stage(Arc::clone(&detect));
        let (summary, result) = pipeline.run(&Marked, &mut kept, None);
        result.unwrap();
        let marked = |(title, _): &&(String, u64)| title == "Tens";
        let hits: Vec<u64> = kept.places.iter().filter(marked).map(|(_, number)| *number).collect();
        assert_eq!(hits, [10, 30]);
        let passed = if passes_all { 200 } else { 2 };
        assert_eq!((summary.records, summary.matched), (200, passed));
        assert_eq!(kept.places.len() as u64, passed);
        assert_eq!(detect.hits(), [2]);
        // Of each source, where what matches no rule ends here.
        let of_source = BTreeSet::from([String::new()]);
        let sources = if passes_all { 0 } else { paths.len() - 2 };
        let expected = (0..sources).map(|place| (place, of_source.clone())).collect();
        assert_eq!(detect.channels(), expected);
    }
}
