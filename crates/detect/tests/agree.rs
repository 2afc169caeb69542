//! The fast evaluator and the slow one agree, on rules and events made at random.

use std::sync::Arc;

use proptest::prelude::*;
use quarry_detect::{Engine, Mapping, Rule};
use quarry_event::{Element, Event, Node};

/// What values and events are made of.
const TEXTS: &[&str] = &[
    "a",
    "A",
    "ab",
    "b a",
    r"\",
    r"a\b",
    "*",
    "a*b",
    "?",
    r"\*",
    r"\\*",
    " -x",
    " /X ",
    "é",
    "É",
    "10.0.0.1",
    "::1",
    "7",
    "0x7",
    "-1",
    "x ",
    "2026-11-29T10:00:00Z",
    "ß",
    "ŝ",
    "Kk",
    "\u{212a}",
];

const FIELDS: &[&str] = &["A", "B", "LogonProcessName", "EventID", "Channel", "Made"];

const MODIFIERS: &[&str] = &[
    "",
    "|contains",
    "|startswith",
    "|endswith",
    "|contains|all",
    "|cased",
    "|contains|cased",
    "|re",
    "|re|i",
    "|windash|contains",
    "|windash",
    "|base64offset|contains",
    "|neq",
    "|gt",
    "|lte",
    "|fieldref",
    "|fieldref|endswith",
    "|all",
    "|hour",
    "|wide|base64offset|contains",
];

const CONDITIONS: &[&str] = &[
    "s1",
    "not s1",
    "s1 and s2",
    "s1 or s2",
    "s1 and not s2",
    "1 of s*",
    "all of s*",
    "not 1 of s*",
    "not (s1 and not s2) or s3",
    "s1 and s2 and not s3",
    "s3 or not s2",
];

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(TEXTS).prop_map(str::to_owned),
        1 => (proptest::sample::select(TEXTS), proptest::sample::select(TEXTS))
            .prop_map(|(a, b)| format!("{a}{b}")),
    ]
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A search: a field, modifiers and values; `null`, `exists` and keywords too.
fn search() -> impl Strategy<Value = String> {
    let field = (
        proptest::sample::select(FIELDS),
        proptest::sample::select(MODIFIERS),
        proptest::collection::vec(value(), 1..4),
    );
    let field = field.prop_map(|(field, modifiers, values)| {
        let values: Vec<String> = values
            .iter()
            .map(|value| match modifiers {
                "|re" | "|re|i" => regex_of(value),
                "|gt" | "|lte" | "|hour" => value.len().to_string(),
                "|fieldref" | "|fieldref|endswith" => FIELDS[value.len() % FIELDS.len()].to_owned(),
                "|base64offset|contains" | "|wide|base64offset|contains" => {
                    value.replace(['*', '?', '\\'], "x")
                }
                _ => value.clone(),
            })
            .map(|value| quoted(&value))
            .collect();
        format!("{{ '{field}{modifiers}': [{}] }}", values.join(", "))
    });
    let empty = proptest::sample::select(FIELDS).prop_map(|field| format!("{{ '{field}': null }}"));
    let exists = (proptest::sample::select(FIELDS), any::<bool>())
        .prop_map(|(field, is_there)| format!("{{ '{field}|exists': {is_there} }}"));
    let keywords = proptest::collection::vec(value(), 1..3).prop_map(|values| {
        let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
        format!("[{}]", values.join(", "))
    });
    let one = prop_oneof![8 => field, 1 => empty, 1 => exists, 1 => keywords];
    proptest::collection::vec(one, 1..3).prop_map(|maps| match &*maps {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    })
}

fn regex_of(value: &str) -> String {
    let escaped: String = value
        .chars()
        .flat_map(|c| match c {
            '*' => vec!['.', '*'],
            c if c.is_alphanumeric() || c == ' ' => vec![c],
            c => vec!['\\', c],
        })
        .collect();
    // Not each character may be escaped.
    match regex_is_plain(&escaped) {
        true => escaped,
        false => "a.?b".to_owned(),
    }
}

fn regex_is_plain(text: &str) -> bool {
    !text.contains("\\:") || text.is_ascii()
}

fn rule() -> impl Strategy<Value = String> {
    let searches = (search(), search(), search());
    (searches, proptest::sample::select(CONDITIONS)).prop_map(|((one, two, three), condition)| {
        format!(
            "title: t\nlogsource: {{ category: test }}\ndetection:\n  s1: {one}\n  s2: {two}\n  \
             s3: {three}\n  condition: {condition}\n"
        )
    })
}

fn event() -> impl Strategy<Value = Event> {
    let data = (proptest::sample::select(FIELDS), proptest::option::of(value()));
    proptest::collection::vec(data, 0..5).prop_map(|data| {
        let element = |name: &str, text: Option<String>| Element {
            name: name.into(),
            children: text.into_iter().map(Node::Text).collect(),
            ..Element::default()
        };
        let data = data.into_iter().map(|(name, value)| {
            let mut data = element("Data", value);
            data.attributes.push(("Name".into(), name.into()));
            Node::Element(data)
        });
        let system = [("EventID", "7"), ("Channel", "Test")];
        let system = system.map(|(name, text)| Node::Element(element(name, Some(text.to_owned()))));
        let with = |name: &str, children| Element { children, ..element(name, None) };
        let parts = [with("System", system.to_vec()), with("EventData", data.collect())];
        Event { root: with("Event", parts.map(Node::Element).to_vec()) }
    })
}

const MAPPING: &str = r#"
[category.test]
sources = [{ channel = "test", fields = "test" }]
[fields.test]
native = ["A", "B", "LogonProcessName"]
[fields.test.computed]
Made = { as = "account", from = ["A", "B"], why = "a test" }
"#;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]
    #[test]
    fn the_fast_evaluator_and_the_slow_one_agree(
        texts in proptest::collection::vec(rule(), 1..6),
        events in proptest::collection::vec(event(), 1..6),
    ) {
        let mapping = Mapping::builtin().overridden(Mapping::parse(MAPPING).unwrap()).unwrap();
        let mut rules = Vec::new();
        for text in &texts {
            for rule in Rule::parse("test", text) {
                let rule = rule.map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
                rules.push(rule);
            }
        }
        let engine = Arc::new(Engine::new(rules, mapping));
        let mut matcher = engine.matcher();
        for event in &events {
            let fast = matcher.matches(event).to_vec();
            let slow: Vec<usize> =
                (0..texts.len()).filter(|rule| engine.matches_plainly(*rule, event)).collect();
            prop_assert_eq!(&fast, &slow, "{:?}\n{}", event, texts.join("\n"));
            for rule in 0..texts.len() {
                let explained = engine.explain_event(rule, event);
                // A rule that no such event can match isn't routed to any.
                if explained.is_routed == Some(true) {
                    prop_assert_eq!(explained.matches, Some(slow.contains(&rule)));
                }
            }
        }
    }
}
