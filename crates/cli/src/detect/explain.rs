//! `quarry detect --explain`: what a rule tests, where it looks, what a server is asked for; and
//! which of its tests hold of an event.

use std::fs::File;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use quarry_detect::{Engine, Explanation, Reach};
use quarry_event::filter::{Filter, Glob, Ids};
use quarry_event::text::harmless;
use quarry_event::{Element, Event, Node};
use serde_json::Value as Json;

use super::{Detection, load};
use crate::args::ScanArgs;
use crate::error::{Closed, Failure, plain};
use crate::record;

/// The most bytes of a file of events as JSON.
const MAX_JSON: u64 = 16 << 20;
/// Rules of one name that are listed.
const MAX_LISTED: usize = 10;

pub(super) fn run(rules: &Detection, wanted: &str, args: &ScanArgs) -> Result<ExitCode, Failure> {
    let engine = rules.engine();
    let rule = find(engine, wanted)?;
    let mut text = head(engine, rule);
    let mut matched = None;
    if args.read.sources.sources.is_empty() {
        text += "\n";
        text += &engine.explain(rule).text;
    }
    for source in &args.read.sources.sources {
        let name = source.to_string_lossy();
        for (shown, explanation) in explain(engine, rule, &name)? {
            let shown = clean(&shown);
            text += &format!("\n{shown}: {}\n{}", verdict(&explanation), explanation.text);
            let matches = explanation.matches == Some(true) && explanation.is_routed == Some(true);
            matched = Some(matched.unwrap_or(false) | matches);
        }
    }
    match io::stdout().lock().write_all(text.as_bytes()).map_err(Closed::from) {
        Err(Closed::Failed(failure)) => Err(failure),
        Err(Closed::Pipe) | Ok(()) => Ok(ExitCode::from(u8::from(matched == Some(false)))),
    }
}

/// A rule's text on one line, in which nothing acts on a terminal.
fn clean(text: &str) -> String {
    text.chars().map(harmless).collect()
}

fn find(engine: &Engine, wanted: &str) -> Result<usize, Failure> {
    let glob = Glob::parse(wanted).map_err(|e| Failure::of_option("--explain", &e))?;
    let rules = engine.rules();
    let found: Vec<usize> =
        (0..rules.len()).filter(|n| load::is_named(&rules[*n], &glob)).collect();
    match &*found {
        [one] => Ok(*one),
        [] => Err(Failure::new(format!("--explain: there is no rule {wanted}"))
            .hint("name its id, the beginning of one, its title or its file, or part of one: '*mimikatz*'")),
        many => {
            let names = many.iter().take(MAX_LISTED).map(|n| clean(&format!("  {}  {}", rules[*n].name.id, rules[*n].name.title)));
            let mut failure = Failure::new(format!("--explain: {} rules are {wanted}", many.len()));
            failure.shown = Some(names.collect::<Vec<_>>().join("\n"));
            Err(failure.hint("name one by its id"))
        }
    }
}

/// What a rule is, and where it looks.
fn head(engine: &Engine, rule: usize) -> String {
    let (plan, rule) = (&engine.plan().rules()[rule], &engine.rules()[rule]);
    let mut text = format!("{}\n", clean(&rule.name.title));
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text += &format!("  {name:<9}{}\n", clean(value));
        }
    };
    line("id", &rule.name.id);
    line("file", &format!("{}:{}", rule.file, rule.line));
    line("level", &rule.name.level);
    line("status", &rule.status);
    line("tags", &rule.name.tags.join(", "));
    line("looks at", &rule.source.to_string());
    if let Some(why) = &plan.cannot {
        line("can't run", why);
    }
    for route in &plan.routes {
        let ids = match &route.ids {
            Some(ids) => ids.iter().map(u64::to_string).collect::<Vec<_>>().join(","),
            None => "all ids".to_owned(),
        };
        line("route", &format!("{} {ids}: {}", route.channel, route.reach));
        if !matches!(route.reach, Reach::Never { .. }) {
            let ids = route.ids.as_ref().map(|ids| Ids::of(ids.iter().copied()));
            let filter = Filter { ids, ..Filter::default() };
            for select in filter.to_xpath(&Default::default()).selects {
                line("XPath", &select);
            }
        }
    }
    text
}

fn verdict(explanation: &Explanation) -> &'static str {
    match (explanation.matches, explanation.is_routed) {
        (Some(true), Some(true)) => "it matches",
        (Some(true), _) => {
            "the tests hold, but it is of a channel or id that the rule doesn't look at"
        }
        _ => "it doesn't match",
    }
}

/// The events that a name means, explained.
fn explain(
    engine: &Engine,
    rule: usize,
    name: &str,
) -> Result<Vec<(String, Explanation)>, Failure> {
    if let Some((path, number)) = record::named(name) {
        let explanation = engine.explain_event(rule, &record::find(path, number)?);
        return Ok(vec![(format!("{path}, record {number}"), explanation)]);
    }
    if name.to_ascii_lowercase().ends_with(".evtx") || name.to_ascii_lowercase().ends_with(".evt") {
        return Err(Failure::new(format!("{name}: which event of it?"))
            .hint(format!("name its record: '{name}#812'; quarry scan shows it as log_record")));
    }
    let mut text = String::new();
    let read = match name {
        "-" => io::stdin().take(MAX_JSON).read_to_string(&mut text),
        name => File::open(name).and_then(|file| file.take(MAX_JSON).read_to_string(&mut text)),
    };
    read.map_err(|e| Failure::new(format!("{name}: {}", plain(&e))))?;
    const HINT: &str =
        "it is to have events as quarry scan -o json or jsonl prints them, or objects of fields";
    let mut events = Vec::new();
    for value in serde_json::Deserializer::from_str(&text).into_iter::<Json>() {
        match value {
            Ok(Json::Array(several)) => events.extend(several),
            Ok(event) => events.push(event),
            Err(error) => return Err(Failure::new(format!("{name}: {error}")).hint(HINT)),
        }
    }
    let mut explained = Vec::new();
    for (n, event) in events.iter().enumerate() {
        let shown = format!("{name}, event {}", n + 1);
        if !event.is_object() {
            return Err(Failure::new(format!("{shown}: it is no object")).hint(HINT));
        }
        explained.push((shown, engine.explain_event(rule, &event_of(event))));
    }
    match explained.is_empty() {
        true => Err(Failure::new(format!("{name}: there is no event in it"))),
        false => Ok(explained),
    }
}

/// An event as it is printed, or an object of fields.
fn event_of(json: &Json) -> Event {
    let text = |value: &Json| match value {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let leaf = |name: &str, value: &Json| Element {
        name: name.into(),
        children: text(value).into_iter().map(Node::Text).collect(),
        ..Element::default()
    };
    let is_printed = json.get("v").is_some() && json.get("event_id").is_some();
    let mut system = Vec::new();
    let members = [
        ("EventID", "event_id"),
        ("Version", "version"),
        ("Level", "level"),
        ("Task", "task"),
        ("Opcode", "opcode"),
        ("Keywords", "keywords"),
        ("Channel", "channel"),
        ("Computer", "computer"),
    ];
    for (field, member) in members {
        let name = if is_printed { member } else { field };
        if let Some(value) = json.get(name).filter(|value| !value.is_null()) {
            system.push(leaf(field, value));
        }
    }
    if let Some(provider) = json.get(if is_printed { "provider" } else { "Provider_Name" }) {
        let mut element = leaf("Provider", &Json::Null);
        element.attributes.extend(text(provider).map(|text| ("Name".into(), text)));
        system.push(element);
    }
    let mut data = Vec::new();
    let fields = if is_printed { json.get("data") } else { Some(json) };
    // What stands in System is no data.
    let is_system = |name: &str| {
        !is_printed && (name == "Provider_Name" || members.iter().any(|(field, _)| *field == name))
    };
    for (name, value) in fields.and_then(Json::as_object).into_iter().flatten() {
        if is_system(name) {
            continue;
        }
        // An unnamed value is called so where it is printed.
        let is_unnamed =
            is_printed && name.strip_prefix("param").is_some_and(|n| n.parse::<u32>().is_ok());
        let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        for value in values {
            let mut element = leaf("Data", value);
            if !is_unnamed {
                element.attributes.push(("Name".into(), name.clone()));
            }
            data.push(element);
        }
    }
    let parent = |name: &str, children: Vec<Element>| Element {
        name: name.into(),
        children: children.into_iter().map(Node::Element).collect(),
        ..Element::default()
    };
    let mut parts = vec![parent("System", system), parent("EventData", data)];
    if let Some(user_data) = json.get("user_data").filter(|data| is_printed && data.is_object()) {
        parts.push(parent("UserData", nested(user_data, 0)));
    }
    Event { root: parent("Event", parts) }
}

/// The elements of user data as it is printed.
fn nested(json: &Json, depth: usize) -> Vec<Element> {
    const MAX_DEPTH: usize = 64;
    let mut elements = Vec::new();
    for (name, value) in json.as_object().into_iter().flatten() {
        let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        for value in values.iter().filter(|_| depth < MAX_DEPTH && !name.starts_with(['@', '#'])) {
            let children = match value {
                Json::Object(_) => {
                    nested(value, depth + 1).into_iter().map(Node::Element).collect()
                }
                Json::String(text) => vec![Node::Text(text.clone())],
                Json::Null => Vec::new(),
                other => vec![Node::Text(other.to_string())],
            };
            elements.push(Element { name: name.clone(), children, ..Element::default() });
        }
    }
    elements
}
