//! Sigma rules from anywhere: any text is refused with a line, or is rules that can be explained,
//! and on any event the fast evaluator says what the slow one does.

use std::sync::Arc;

use quarry_detect::{Engine, Mapping, Rule};
use quarry_event::{Element, Event, Node};

/// What stands between the rules and the lines NAME=VALUE of an event.
const BETWEEN: &str = "\n%%%\n";

/// A rule file.
pub(crate) fn rule(text: &str) {
    let mut rules = Vec::new();
    for rule in Rule::parse("fuzz", text) {
        match rule {
            Ok(rule) => rules.push(rule),
            Err(error) => {
                // In YAML a carriage return alone ends a line too.
                assert!(error.line <= text.split(['\n', '\r']).count() + 1);
                assert!(error.to_string().len() < 4000 + text.len());
            }
        }
    }
    let engine = Engine::new(rules, Mapping::builtin());
    for n in 0..engine.rules().len() {
        assert!(!engine.explain(n).text.is_empty());
    }
    let _ = Mapping::parse(text);
}

/// A condition.
pub(crate) fn condition(text: &str) {
    let quoted = text.replace(['\n', '\r', '\0'], " ").replace('\'', "''");
    rule(&format!(
        "title: t\nlogsource: {{ service: security }}\ndetection:\n  a: {{ A: 1 }}\n  b_1: {{ B: x \
         }}\n  _c: [z]\n  condition: '{quoted}'\n"
    ));
}

/// Rules and an event.
pub(crate) fn event(text: &str) {
    let Some((rules, lines)) = text.split_once(BETWEEN) else { return };
    let rules: Vec<Rule> = Rule::parse("fuzz", rules).into_iter().flatten().collect();
    let count = rules.len();
    let mapping = "[category.test]\nsources = [{ channel = \"Test\" }, { channel = \"Other\", \
                   fields = \"security-4688\" }]";
    let Ok(mapping) = Mapping::parse(mapping) else { return };
    let Ok(mapping) = Mapping::builtin().overridden(mapping) else { return };
    let engine = Arc::new(Engine::new(rules, mapping));
    let mut matcher = engine.matcher();
    for channel in ["Test", "Other", "Security"] {
        let event = of_lines(channel, lines);
        let fast = matcher.matches(&event).to_vec();
        let slow: Vec<usize> =
            (0..count).filter(|rule| engine.matches_plainly(*rule, &event)).collect();
        assert_eq!(fast, slow);
    }
}

fn of_lines(channel: &str, lines: &str) -> Event {
    let element =
        |name: &str, children| Element { name: name.into(), children, ..Element::default() };
    let text = |name: &str, text: &str| element(name, vec![Node::Text(text.into())]);
    let mut data = Vec::new();
    for line in lines.lines().take(100) {
        let (name, value) = line.split_once('=').unwrap_or(("", line));
        let mut element = text("Data", value);
        element.attributes.push(("Name".into(), name.into()));
        data.push(Node::Element(element));
    }
    let system = vec![text("EventID", "4688"), text("Channel", channel)];
    let system = element("System", system.into_iter().map(Node::Element).collect());
    let data = element("EventData", data);
    Event { root: element("Event", vec![Node::Element(system), Node::Element(data)]) }
}
