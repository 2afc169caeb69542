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
fn a_pattern_is_tried_once_on_a_value_however_often_its_longest_text_is_there() {
    // Its longest text is at every place of the value, where each try takes as long as the value.
    let rules = Rule::parse("hostile", &rule("    F: '*aa??b*'"));
    let rules = rules.into_iter().map(Result::unwrap).collect();
    let engine = Arc::new(Engine::new(rules, Mapping::builtin()));
    let mut matcher = engine.matcher();
    let start = std::time::Instant::now();
    for _ in 0..3 {
        assert!(matcher.matches(&event(&"a".repeat(34_070))).is_empty());
    }
    assert_eq!(matcher.matches(&event(&format!("{}xyb", "a".repeat(34_070)))), [0]);
    // Minutes, if it were tried at each.
    assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn aliases_are_bounded_in_bytes_and_not_in_nodes_alone() {
    // Few nodes, each of which stands for a long text: 2 GiB if they were copied.
    let long = "x".repeat(100_000);
    let aliases = vec!["*a"; 20_000].join(", ");
    let text = rule(&format!("    F: [&a {long}, {aliases}]"));
    assert!(text.len() < MAX_RULE_BYTES);
    assert!(matches!(problem(&text), RuleProblem::Yaml(why) if why.contains("bytes of text")));
}

#[test]
fn the_texts_of_a_rule_are_bounded_and_so_are_its_wildcards() {
    let many = (0..20_000).map(|n| format!("'text number {n}'")).collect::<Vec<_>>().join(", ");
    assert!(matches!(
        problem(&rule(&format!("    F|contains: [{many}]"))),
        RuleProblem::Unsupported(what) if what.contains("bytes of text")
    ));
    // Few bytes, of which the dashes make many.
    let dashed = vec!["'-a -b -c -d'"; 1200].join(", ");
    assert!(matches!(
        problem(&rule(&format!("    F|windash|contains: [{dashed}]"))),
        RuleProblem::Unsupported(what) if what.contains("bytes of text")
    ));
    let ones = format!("'*aa{}b*'", "?".repeat(10_001));
    assert!(matches!(
        problem(&rule(&format!("    F: {ones}"))),
        RuleProblem::Unsupported(what) if what.contains("wildcards")
    ));
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
    let many = vec![r"'\pL{40}x'"; 2000].join(", ");
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
