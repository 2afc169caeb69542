use std::io::Cursor;

use proptest::prelude::*;
use quarry_event::{Element, Event, Node};

use super::*;
use crate::catalogue::{Catalogue, CatalogueInfo, CatalogueKind};

/// What a server makes of a message, written for this test: marks, escapes, parameters.
fn rendered(message: &str, values: &[String]) -> String {
    let mut out = String::new();
    let mut rest = message.strip_suffix("\r\n").unwrap_or(message);
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let mark = &rest[at + 1..];
        let digits = mark.bytes().take(2).take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            let number: usize = mark[..digits].parse().unwrap();
            out.push_str(&values[number - 1]);
            rest = mark[digits..].strip_prefix("!s!").unwrap_or(&mark[digits..]);
        } else {
            let c = mark.chars().next().unwrap();
            match c {
                'n' => out.push_str("\r\n"),
                't' => out.push('\t'),
                c => out.push(c),
            }
            rest = &mark[c.len_utf8()..];
        }
    }
    out.push_str(rest);
    out
}

fn event(id: u16, version: u8, qualifiers: Option<u16>, values: &[&str]) -> Event {
    let element = |name: &str, text: String| {
        let mut element = Element::new(name);
        element.children.push(Node::Text(text));
        element
    };
    let mut provider = Element::new("Provider");
    provider.attributes.push(("Name".into(), "P".into()));
    let mut number = element("EventID", id.to_string());
    if let Some(qualifiers) = qualifiers {
        number.attributes.push(("Qualifiers".into(), qualifiers.to_string().into()));
    }
    let mut system = Element::new("System");
    system.children.push(Node::Element(provider));
    system.children.push(Node::Element(number));
    system.children.push(Node::Element(element("Version", version.to_string())));
    let mut data = Element::new("EventData");
    for value in values {
        data.children.push(Node::Element(element("Data", (*value).to_owned())));
    }
    let mut root = Element::new("Event");
    root.children.push(Node::Element(system));
    root.children.push(Node::Element(data));
    Event { root }
}

fn text(texts: &ProviderTexts, event: &Event) -> Option<String> {
    let mut out = Vec::new();
    texts.push_message(event, &mut out).then(|| String::from_utf8(out).unwrap())
}

const OF: TextOf = TextOf::Event { id: 7, version: 2, qualifiers: None };

/// The text of an event with values, by way of a server that rendered it with others.
fn learned(message: &str, values: &[&str]) -> String {
    let mut learned = Learned::new("P", None);
    learned.add(OF, Asked::message(&rendered(message, &Asked::values())));
    text(&learned.texts(), &event(7, 2, None, values)).unwrap()
}

#[test]
fn a_message_that_was_rendered_with_places_is_filled_as_the_message_itself() {
    for message in [
        "The %1 service entered the %2 state.",
        "%2%1%2%n%n%t%1",
        "no marks",
        "%1",
        "%10 and %1",
        "100%% of %1%%",
        "%1!s!0 is no tenth value",
        "two lines%n%nand a blank one at the end%n%n",
        "a mark !x! behind %1!s!!x!",
    ] {
        let values = ["alpha", "50%", "c", "d", "e", "f", "g", "h", "i", "tenth"];
        let expected = rendered(message, &values.map(str::to_owned));
        assert_eq!(learned(message, &values), expected, "{message}");
    }
}

proptest! {
    #[test]
    fn any_text_with_values_in_it_comes_out_as_it_was_rendered(
        pieces in prop::collection::vec(("[a-z%!0-9 \r\n\u{f8f1}\u{f8f2}ä]{0,6}", 1u8..=4), 0..6),
    ) {
        // Two percent signs before a digit are a parameter's, which a server leaves unknown.
        let is_plain = |text: &str| !text.contains(['\u{f8f1}', '\u{f8f2}']);
        let is_parameter = |text: &str| {
            text.as_bytes().windows(2).any(|two| two[0] == b'%' && two[1].is_ascii_digit())
        };
        let values: Vec<String> = ["one", "two", "three", "four"].map(str::to_owned).into();
        let join = |values: &[String]| -> String {
            pieces.iter().map(|(text, n)| format!("{text}{}", values[usize::from(*n) - 1])).collect()
        };
        let message = Asked::message(&join(&Asked::values()));
        let mut learned = Learned::new("P", None);
        learned.add(OF, message);
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let shown = text(&learned.texts(), &event(7, 2, None, &values));
        prop_assert!(shown.is_some());
        let texts = pieces.iter().map(|(text, _)| &**text);
        if texts.clone().all(is_plain) && !texts.clone().any(is_parameter) {
            let values: Vec<String> = values.iter().map(|v| (*v).to_owned()).collect();
            prop_assert_eq!(shown.unwrap(), join(&values));
        }
    }
}

#[test]
fn what_was_learned_is_the_same_after_a_catalogue() {
    let mut learned = Learned::new("P", Some(Guid::from_bytes([7; 16])));
    learned.add(OF, "seven %1!s!".to_owned());
    let classic = |version| TextOf::Event { id: 9, version, qualifiers: Some(0xc000) };
    learned.add(classic(3), "nine".to_owned());
    // An identifier that the events' own would have.
    let top = TextOf::Event { id: 0xffff, version: 0, qualifiers: Some(0xffff) };
    learned.add(top, "top".to_owned());
    learned.add(TextOf::Level(16), "Loud".to_owned());
    learned.add(TextOf::Task(3), "Third".to_owned());
    learned.add(TextOf::Opcode { task: 3, opcode: 11 }, "Do".to_owned());
    learned.add(TextOf::Keyword(4), "Key".to_owned());
    learned.add(TextOf::Parameter(1833), "100% Impersonation".to_owned());
    learned.add_absent(TextOf::Task(4));
    learned.add_template(
        7,
        2,
        "<template xmlns='x'><data name='id' inType='win:Pointer' outType='win:HexInt64'/>\
         <struct name='s'><data name='inside' inType='win:GUID'/></struct>\
         <data name='last' inType='win:UInt32' outType='win:HexInt32'/></template>",
    );
    let mut builder = CatalogueBuilder::new();
    learned.add_to(&mut builder);
    let info = CatalogueInfo {
        build: "10.0.20348".to_owned(),
        kind: CatalogueKind::Server,
        ..CatalogueInfo::default()
    };
    let mut file = Cursor::new(Vec::new());
    builder.write(info, &mut file).unwrap();
    let catalogue = Catalogue::read(Cursor::new(file.into_inner())).unwrap();
    let texts = catalogue.provider("p", None).unwrap();
    let again = Learned::from_texts(&texts);
    for of in [OF, classic(0), classic(9), top, TextOf::Task(4), TextOf::Definitions] {
        assert!(again.knows(of), "{of:?}");
    }
    assert_eq!(again.texts, learned.texts);
    assert_eq!(again.absent, learned.absent);
    assert_eq!(again.templates, learned.templates);
    assert!(!again.knows(TextOf::Task(5)));

    let shown = |id, version, qualifiers, values: &[&str]| {
        text(&texts, &event(id, version, qualifiers, values))
    };
    assert_eq!(shown(7, 2, None, &["0xABC"]).as_deref(), Some("seven 0xABC"));
    assert_eq!(shown(7, 2, None, &["%%1833"]).as_deref(), Some("seven 100% Impersonation"));
    assert_eq!(shown(9, 1, Some(0xc000), &[]).as_deref(), Some("nine"));
    assert_eq!(shown(0xffff, 0, Some(0xffff), &[]).as_deref(), Some("top"));
    assert_eq!(shown(7, 3, None, &[]), None);
    assert_eq!((texts.level(16), texts.opcode(3, 11)), (Some("Loud"), Some("Do")));
    // Structures have one mark, and their members none.
    let fields = |learned: &Learned| learned.templates[&(7, 2)].fields.len();
    assert_eq!(fields(&learned), 3);
}

#[test]
fn a_parameter_is_asked_for_in_a_message_that_has_a_value_once() {
    let mut learned = Learned::new("P", None);
    assert!(learned.carrier(5).is_none());
    learned.add(OF, Asked::message(&rendered("%1 is %1", &Asked::values())));
    assert!(learned.carrier(5).is_none());
    let of = TextOf::Event { id: 8, version: 0, qualifiers: None };
    let message = "%1 %1: [%2]%n";
    learned.add(of, Asked::message(&rendered(message, &Asked::values())));
    let carrier = learned.carrier(5).unwrap();
    assert_eq!((carrier.of, &*carrier.values[1]), (of, "%%5"));
    let replaced = |by: &str| {
        let mut values = carrier.values.clone();
        values[1] = by.to_owned();
        rendered(message, &values)
    };
    assert_eq!(carrier.parameter(&replaced("five]")), Some("five]"));
    // The server doesn't replace it.
    assert_eq!(carrier.parameter(&replaced("%%5")), None);
    assert_eq!(carrier.parameter("something else"), None);
}

#[test]
fn definitions_that_make_no_sense_are_left_out() {
    let many = format!("<template>{}</template>", "<data name='a'/>".repeat(2000));
    let deep = "<a>".repeat(100_000);
    for template in
        ["", "<template/>", "<template><data name='", "</template>", "<data", &many, &deep]
    {
        assert_eq!(read_template(template), None, "{:.40}", template);
    }
    let entities = "<!DOCTYPE x [<!ENTITY a 'aaaa'>]><template><data name='&a;'/></template>";
    assert_eq!(read_template(entities), None);
}

#[test]
fn more_than_a_provider_may_have_is_left_out() {
    let mut learned = Learned::new("P", None);
    let large = "x".repeat(Learned::MAX_SIZE / 2 + 1);
    learned.add(TextOf::Task(1), large.clone());
    learned.add(TextOf::Task(2), large);
    assert!(learned.knows(TextOf::Task(1)) && !learned.knows(TextOf::Task(2)));
    learned.add(TextOf::Task(3), "small".to_owned());
    assert!(learned.knows(TextOf::Task(3)));
}
