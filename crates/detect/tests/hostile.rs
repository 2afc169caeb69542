//! Rules that are made to cost: each is refused, or its cost is bounded.

use std::sync::Arc;

use quarry_detect::{Engine, MAX_RULE_BYTES, Mapping, Rule, RuleProblem};
use quarry_event::{Element, Event, Node};

fn rule(search: &str) -> String {
    format!(
        "title: t\nlogsource: {{ service: security }}\ndetection:\n  a:\n{search}\n  condition: a\n"
    )
}

fn problem(text: &str) -> RuleProblem {
    Rule::parse("hostile", text).remove(0).unwrap_err().problem
}

fn event(value: &str) -> Event {
    let element =
        |name: &str, children| Element { name: name.into(), children, ..Element::default() };
    let mut data = element("Data", vec![Node::Text(value.into())]);
    data.attributes.push(("Name".into(), "F".into()));
    let channel = element("Channel", vec![Node::Text("Security".into())]);
    let parts = [("System", channel), ("EventData", data)];
    let parts = parts.map(|(name, child)| Node::Element(element(name, vec![Node::Element(child)])));
    Event { root: element("Event", parts.to_vec()) }
}

#[test]
fn nested_wildcards_cost_no_more_than_the_product_of_both_lengths() {
    let text = rule(&format!("    F: '{}c'", "*a".repeat(2000)));
    let rules = Rule::parse("hostile", &text).into_iter().map(Result::unwrap).collect();
    let engine = Arc::new(Engine::new(rules, Mapping::builtin()));
    let mut matcher = engine.matcher();
    assert!(matcher.matches(&event(&"a".repeat(32_000))).is_empty());
    assert_eq!(matcher.matches(&event(&format!("{}c", "a".repeat(32_000)))), [0]);
}

#[test]
fn regular_expressions_are_bounded_in_length_size_and_number() {
    let long = rule(&format!("    F|re: '{}'", "a".repeat(10 << 20)));
    assert!(long.len() > MAX_RULE_BYTES);
    assert!(matches!(problem(&long), RuleProblem::Yaml(_)));
    let longish = rule(&format!("    F|re: '{}'", "a".repeat(100_000)));
    assert!(matches!(problem(&longish), RuleProblem::Malformed(_)));
    let large = rule(r"    F|re: '(\w{500}){500}'");
    assert!(matches!(problem(&large), RuleProblem::Unsupported(_)));
    let many = vec![r"'\w{40}x'"; 2000].join(", ");
    assert!(matches!(problem(&rule(&format!("    F|re: [{many}]"))), RuleProblem::Unsupported(_)));
    let nested = rule(&format!("    F|re: '{}a{}'", "(".repeat(2000), ")".repeat(2000)));
    assert!(matches!(problem(&nested), RuleProblem::Malformed(_)));
    for (text, name) in
        [("a(?=b)", "lookahead"), ("(?<!a)b", "lookbehind"), (r"(a)\1", "backreference")]
    {
        match problem(&rule(&format!("    F|re: '{text}'"))) {
            RuleProblem::Unsupported(what) => assert!(what.contains(name), "{text}: {what}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn a_search_that_a_condition_names_again_and_again_is_bounded() {
    let values = (0..2000).map(|n| format!("v{n}")).collect::<Vec<_>>().join(", ");
    let condition = vec!["a"; 4000].join(" or ");
    let text = format!(
        "title: t\nlogsource: {{ service: security }}\ndetection:\n  a: {{ F: [{values}] }}\n  \
         condition: {condition}\n"
    );
    assert!(matches!(problem(&text), RuleProblem::Malformed(why) if why.contains("tests")));
}

#[test]
fn other_kinds_of_sigma_are_refused_by_name() {
    for (text, name) in [
        ("title: t\ncorrelation: { type: event_count }\n", "correlations"),
        ("title: t\nfilter: { rules: [x] }\n", "Sigma filters"),
        ("action: global\ntitle: t\n", "collections"),
    ] {
        match problem(text) {
            RuleProblem::Unsupported(what) => assert!(what.contains(name), "{what}"),
            other => panic!("{other:?}"),
        }
    }
    let counted = rule("    F: 1").replace("condition: a", "condition: a | count() > 5");
    assert!(matches!(problem(&counted), RuleProblem::Unsupported(what) if what.contains("counts")));
    let placeholder = rule("    F|expand: '%admins%'");
    assert_eq!(problem(&placeholder), RuleProblem::Placeholder("admins".into()));
}
