//! The rules of SigmaHQ for Windows: each loads or is refused with a reason, and what can run where
//! adds up to what others counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use quarry_detect::{Engine, Mapping, Reach, RuleProblem};

use super::load;

const SYSMON: &str = "Microsoft-Windows-Sysmon/Operational";

#[test]
fn every_rule_loads_or_is_refused_and_what_runs_where_is_counted() {
    let Some(folder) = quarry_testkit::corpus_folder("sigma/rules.tar.xz") else { return };
    let (rules, errors) = load(&folder);
    assert_eq!(rules.len() + errors.len(), 2858);
    // Each that is refused wants the names of its user's domain controllers, on the line that it
    // is refused for.
    assert_eq!(errors.len(), 2);
    for error in &errors {
        assert_eq!(error.problem, RuleProblem::Placeholder("known_cdcs".into()));
        let text = fs::read_to_string(folder.join(&*error.file)).unwrap();
        assert!(text.lines().nth(error.line - 1).unwrap().contains("%known_cdcs%"), "{error}");
    }
    let engine = Engine::new(rules, Mapping::builtin());
    // Process creation: what of it can match on 4688. Others count 641 whole ones too; of their parts
    // docs/detection.md says why they have another sum.
    let mut on_4688 = [0; 4];
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for (rule, plan) in engine.rules().iter().zip(engine.plan().rules()) {
        if rule.source.category.as_deref() == Some("process_creation") {
            let mut routes = plan.routes.iter();
            on_4688[match routes.find(|route| route.channel == "Security").map(|r| &r.reach) {
                Some(Reach::Whole) => 0,
                Some(Reach::Part { branches: 1.., .. }) => 1,
                Some(Reach::Part { .. }) => 2,
                _ => 3,
            }] += 1;
        }
        let has = |channel| plan.routes.iter().any(|route| route.channel == channel);
        let kind = match (has(SYSMON), plan.routes.iter().any(|route| route.channel != SYSMON)) {
            (false, false) => "nothing",
            (true, false) => "Sysmon",
            (true, true) => "Sysmon or native",
            (false, true) => "native",
        };
        *kinds.entry(kind).or_default() += 1;
    }
    assert_eq!(on_4688, [641, 652, 18, 104]);
    // One of the registry's tests an id that only Sysmon has, which makes 495 of 494.
    let expected = [
        ("Sysmon", 495),
        ("Sysmon or native", 1415 + 268 + 61 - 1),
        ("native", 604 - 2),
        ("nothing", 16),
    ];
    assert_eq!(kinds, BTreeMap::from(expected));
    assert_eq!(engine.plan().reasons().values().map(Vec::len).sum::<usize>(), 16);
}

#[test]
fn routes_are_those_that_others_found() {
    let Some(folder) = quarry_testkit::corpus_folder("sigma/rules.tar.xz") else { return };
    let path = quarry_testkit::corpus_file("sigma/routes.json").unwrap();
    let text = fs::read_to_string(path).unwrap();
    type Routes = BTreeMap<String, Vec<(String, Option<u64>)>>;
    let expected: Routes = serde_json::from_str(&text).unwrap();
    let engine = Engine::new(load(&folder).0, Mapping::builtin());
    let mut different = Vec::new();
    for (rule, plan) in engine.rules().iter().zip(engine.plan().rules()) {
        let Some(expected) = expected.get(&rule.name.id) else {
            different.push(format!("{}: not there", rule.file));
            continue;
        };
        let expected: BTreeSet<(String, Option<u64>)> = expected.iter().cloned().collect();
        let mut found = BTreeSet::new();
        for route in &plan.routes {
            let channel = route.channel.to_lowercase();
            match &route.ids {
                None => drop(found.insert((channel, None))),
                Some(ids) => found.extend(ids.iter().map(|id| (channel.clone(), Some(*id)))),
            }
        }
        if expected != found {
            different.push(format!("{}: {found:?} is not {expected:?}", rule.file));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
