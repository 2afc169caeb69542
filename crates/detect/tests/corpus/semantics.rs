//! Decided cases: a rule, an event, and whether the specification says that it matches.

use std::fs;
use std::sync::Arc;

use quarry_detect::{Engine, Mapping, Rule, RuleProblem};
use quarry_event::{Element, Event, Node};
use serde_json::Value;

/// An event with these fields as data.
fn event(fields: &Value) -> Event {
    let element =
        |name: &str, children| Element { name: name.into(), children, ..Element::default() };
    let mut data = Vec::new();
    for (name, value) in fields.as_object().unwrap() {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        for value in values {
            let text = match value {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            };
            let mut element = element("Data", text.map(Node::Text).into_iter().collect());
            element.attributes.push(("Name".into(), name.clone()));
            data.push(Node::Element(element));
        }
    }
    let text = |name, text: &str| Node::Element(element(name, vec![Node::Text(text.into())]));
    let system = element("System", vec![text("EventID", "1"), text("Channel", "Test")]);
    let data = element("EventData", data);
    Event { root: element("Event", vec![Node::Element(system), Node::Element(data)]) }
}

#[test]
fn every_decided_case_is_decided_so() {
    let Some(path) = quarry_testkit::corpus_file("sigma/semantics.jsonl") else { return };
    let test = "[category.test]\nsources = [{ channel = \"Test\" }]";
    let mapping = Mapping::builtin().overridden(Mapping::parse(test).unwrap()).unwrap();
    let (mut decided, mut refused, mut wrong) = (0, Vec::new(), Vec::new());
    for line in fs::read_to_string(path).unwrap().lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let Some(expected) = case["exp"].as_bool() else { continue };
        let id = case["id"].as_str().unwrap();
        decided += 1;
        let rule = Rule::parse(id, case["rule"].as_str().unwrap()).remove(0);
        let rule = match rule {
            Ok(rule) => rule,
            Err(error) => {
                refused.push((id.to_owned(), error.problem));
                continue;
            }
        };
        let engine = Arc::new(Engine::new(vec![rule], mapping.clone()));
        let event = event(&case["event"]);
        let matches = !engine.matcher().matches(&event).is_empty();
        if matches != expected || engine.matches_plainly(0, &event) != expected {
            wrong.push(format!("{id}: {}", engine.explain_event(0, &event).text));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(decided > 80);
    // Its evaluation can't be bounded, so it is refused by name.
    let lookahead = RuleProblem::Unsupported("lookahead in a regular expression".into());
    assert_eq!(refused, [("re09 lookahead".to_owned(), lookahead)]);
}
