//! Messages that are kept ready to be filled in, against those that are made event by event: what is
//! printed is the same, whatever a message, its values and the definitions of these are.

use std::io::Cursor;
use std::ops::ControlFlow;
use std::sync::Arc;

use proptest::prelude::*;
use quarry_binxml::Decoder;
use quarry_binxml::write::{
    Element as Written, Fragment, Instance, Piece, Template as Definition, TypedValue, ValueType,
    templated, wire,
};
use quarry_event::output::{Column, CsvOptions, Printer, Scratch};
use quarry_event::testing::TypedEvent;
use quarry_event::{
    AnyEvent, DataName, Element, Event, Field, FieldSource, Guid, MessageBy, MessageSource, NameOf,
    Node, Origin, Sink, Texts, Value,
};
use quarry_message::manifest::{EventDefinition, Extent, Name, Template, TemplateField, ValueMap};
use quarry_message::{
    Catalogue, CatalogueBuilder, CatalogueInfo, InType, Manifest, MessageTable, OutType, Provider,
    Sources,
};

const GUID: &str = "{11111111-2222-3333-4444-555555555555}";

/// Asks for each event by itself.
struct OneByOne<'s>(&'s Sources);

impl MessageSource for OneByOne<'_> {
    fn message(&self, event: &dyn AnyEvent, out: &mut Vec<u8>) -> Option<MessageBy> {
        self.0.message(event, out)
    }

    fn name(&self, event: &dyn AnyEvent, of: NameOf, out: &mut Vec<u8>) -> bool {
        self.0.name(event, of, out)
    }

    fn words(
        &self,
        event: &dyn AnyEvent,
        name: &str,
        value: &Value<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        self.0.words(event, name, value, out)
    }
}

/// An event whose names are ready for JSON, as a record's of a template are.
struct Ready {
    event: TypedEvent,
    members: Vec<String>,
}

impl FieldSource for Ready {
    fn field(&self, field: Field) -> Value<'_> {
        FieldSource::field(&self.event, field)
    }

    fn each_data<'a, F>(&'a self, mut visit: F) -> ControlFlow<()>
    where
        F: FnMut(Option<DataName<'a>>, Value<'a>) -> ControlFlow<()>,
    {
        let mut members = self.members.iter();
        FieldSource::each_data(&self.event, |name, value| {
            let name = name.zip(members.next());
            let named = name.map(|(name, json)| DataName::with_json_member(name.as_str(), json));
            visit(named, value)
        })
    }

    fn has_distinct_names(&self) -> bool {
        true
    }

    fn walk<'a, S: Sink<'a>>(&'a self, sink: &mut S) {
        FieldSource::walk(&self.event, sink);
    }

    fn has_more(&self) -> bool {
        FieldSource::has_more(&self.event)
    }
}

/// What an event has.
#[derive(Clone, Debug)]
struct Case {
    id: u16,
    version: u8,
    qualifiers: Option<u16>,
    task: u16,
    keywords: u64,
    values: Vec<String>,
    has_binary: bool,
    in_user_data: bool,
    seed: u64,
}

impl Case {
    fn event(&self) -> Event {
        let element = |name: &str, attributes: &[(&str, &str)], text: &str| {
            let mut element = Element::new(name);
            element.attributes =
                attributes.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
            if !text.is_empty() {
                element.children.push(Node::Text(text.to_owned()));
            }
            element
        };
        let mut system = Element::new("System");
        let mut id = element("EventID", &[], &self.id.to_string());
        if let Some(qualifiers) = self.qualifiers {
            id.attributes.push(("Qualifiers".to_owned(), qualifiers.to_string()));
        }
        system.children = [
            element("Provider", &[("Name", "P")], ""),
            id,
            element("Version", &[], &self.version.to_string()),
            element("Task", &[], &self.task.to_string()),
            element("Keywords", &[], &format!("{:#x}", self.keywords)),
        ]
        .map(Node::Element)
        .into();
        let mut data = Element::new(if self.in_user_data { "UserData" } else { "EventData" });
        let mut values: Vec<Node> = self
            .values
            .iter()
            .enumerate()
            .map(|(n, text)| Node::Element(element("Data", &[("Name", &format!("v{n}"))], text)))
            .collect();
        if self.has_binary {
            values.push(Node::Element(element("Binary", &[], "00FF")));
        }
        data.children = match self.in_user_data {
            true => {
                let mut inner = Element::new("Values");
                inner.children = values;
                vec![Node::Element(inner)]
            }
            false => values,
        };
        let mut root = Element::new("Event");
        root.children = vec![Node::Element(system), Node::Element(data)];
        Event { root }
    }
}

/// Sources with a manifest for the events 1 and 2, and messages without events from 3 on.
fn sources(messages: &[String], fields: &[(InType, OutType, Option<u32>)], user: bool) -> Sources {
    Sources::new().with_catalogue(catalogue(messages, fields, user, GUID), Some(""))
}

fn catalogue(
    messages: &[String],
    fields: &[(InType, OutType, Option<u32>)],
    user: bool,
    template: &str,
) -> Arc<Catalogue> {
    let field =
        |(n, &(in_type, out_type, map)): (usize, &(InType, OutType, Option<u32>))| TemplateField {
            name: format!("v{n}"),
            in_type,
            out_type,
            map,
            count: Extent::Unset,
            length: Extent::Unset,
            members: None,
        };
    let fields: Vec<_> = fields.iter().enumerate().map(field).collect();
    let mut builder = CatalogueBuilder::new();
    let texts = messages.iter().enumerate().map(|(n, text)| (n as u32 + 1, text.clone()));
    let extra = [(101, "red\r\n"), (102, "%%1833 \"blue\"\r\n"), (103, "Painting\r\n")];
    let table = MessageTable::new(texts.chain(extra.map(|(id, text)| (id, text.to_owned()))));
    let table = builder.add_table(table);
    let parameters =
        builder.add_table(MessageTable::new([(1833, "Imperson\tation\r\n"), (1834, "\"%1%%7\"")]));
    let maps = [false, true].map(|bits| ValueMap {
        name: "M".to_owned(),
        bits,
        entries: vec![(1, Some(101)), (2, Some(102))],
    });
    let event = |id: u16, version: u8, template| EventDefinition {
        id,
        version,
        channel: 0,
        level: 0,
        opcode: 0,
        task: 7,
        keywords: 4,
        message: Some(id.into()),
        template,
    };
    builder.add_provider(Provider {
        name: "P".to_owned(),
        guid: None,
        messages: vec![table],
        parameters: vec![parameters],
        categories: vec![table],
        absent: Vec::new(),
        manifest: Some(Manifest {
            guid: Guid::parse(GUID).unwrap(),
            name: None,
            message: None,
            channels: Vec::new(),
            levels: Vec::new(),
            tasks: vec![Name { value: 7, name: "T".to_owned(), message: Some(103) }],
            opcodes: Vec::new(),
            keywords: vec![Name { value: 4, name: "Own".to_owned(), message: None }],
            maps: maps.into(),
            templates: vec![Template {
                guid: Guid::parse(template).unwrap(),
                user_data: user,
                top_level: fields.len() as u32,
                fields,
            }],
            events: vec![event(1, 0, Some(0)), event(2, 1, Some(0)), event(2, 0, None)],
        }),
    });
    let mut file = Cursor::new(Vec::new());
    builder.write(CatalogueInfo::default(), &mut file).unwrap();
    Arc::new(Catalogue::read(file).unwrap())
}

fn kinds() -> impl Strategy<Value = (InType, OutType, Option<u32>)> {
    let map =
        prop_oneof![6 => Just(None), 1 => Just(Some(0)), 1 => Just(Some(1)), 1 => Just(Some(9))];
    let in_type = prop_oneof![Just(1u8), Just(20), Just(21), Just(16), 0u8..22];
    let out_type = prop_oneof![Just(0u8), 0u8..36];
    (in_type, out_type, map)
        .prop_map(|(in_type, out_type, map)| (InType(in_type), OutType(out_type), map))
}

fn values() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        "%%1833",
        "a %%1833%%1834\r\n\t%%12 %%",
        "%%99999999999",
        "0x3e7",
        "0x0",
        "1",
        "2",
        "3",
        "-1073741715",
        "3221225581",
        "167772165",
        "true",
        "0.5",
        "S-1-5-21-1-2-3-500",
        GUID,
        "2022-08-03T18:35:11.6433608Z",
        "02000035AC1227050000000000000000",
        "00112233445566778899AABBCCDDEEFF",
        "\u{fffd}x",
        "",
    ]);
    prop_oneof![special.prop_map(str::to_owned), "[a%0-9\"\\\\\u{1b}\u{e9}\u{200e}]{0,20}"]
}

fn case() -> impl Strategy<Value = Case> {
    let fields = (1u16..5, 0u8..3, prop::option::of(0u16..2), 6u16..9, 3u64..6);
    let data = (prop::collection::vec(values(), 0..6), any::<bool>(), prop::bool::weighted(0.4));
    (fields, data, any::<u64>()).prop_map(|(fields, (values, has_binary, in_user_data), seed)| {
        let (id, version, qualifiers, task, keywords) = fields;
        Case { id, version, qualifiers, task, keywords, values, has_binary, in_user_data, seed }
    })
}

fn printed<S: FieldSource>(
    printer: &Printer,
    event: &S,
    texts: Texts<'_>,
    scratch: &mut Scratch,
) -> String {
    let origin = Origin { source: "S", host: None, log: "L", log_record: None, recovered: false };
    let mut out = Vec::new();
    printer.event(event, &origin, texts, scratch, &mut out);
    String::from_utf8(out).unwrap()
}

proptest! {
    #[test]
    fn what_is_kept_of_a_kind_of_events_prints_what_each_event_is_asked_for(
        messages in prop::collection::vec("([%0-9!nrt\r\n\"\\\\a\u{e9}\u{200e}]|%[1-6]|%%1833){0,20}", 4),
        fields in prop::collection::vec(kinds(), 0..6),
        in_user_data in prop::bool::weighted(0.4),
        cases in prop::collection::vec(case(), 1..8),
    ) {
        let sources = sources(&messages, &fields, in_user_data);
        let asked = OneByOne(&sources);
        let members = ["names", "message", "message_source", "data"];
        let columns = members.map(|name| Column::parse(name).unwrap()).to_vec();
        let text = ["message", "message_source"].map(|name| Column::parse(name).unwrap()).to_vec();
        let csv = CsvOptions { columns: Some(text), ..CsvOptions::default() };
        for printer in [Printer::jsonl(None), Printer::jsonl(Some(columns)), Printer::csv(csv)] {
            let (mut kept, mut none) = (Scratch::default(), Scratch::default());
            let mut decoder = Decoder::new();
            for case in &cases {
                let event = case.event();
                let names = case.values.len() + usize::from(case.has_binary);
                let member = |n: usize| match n < case.values.len() {
                    true => format!(",\"v{n}\":\""),
                    false => ",\"Binary\":\"".to_owned(),
                };
                let ready = Ready {
                    event: TypedEvent::new(&event, case.seed),
                    members: (0..names).map(member).collect(),
                };
                let typed = TypedEvent::new(&event, case.seed);
                let by_kind = printed(&printer, &typed, Texts::of(&sources), &mut kept);
                let expected = printed(&printer, &typed, Texts::of(&asked), &mut none);
                prop_assert_eq!(by_kind, expected);
                let by_kind = printed(&printer, &ready, Texts::of(&sources), &mut kept);
                let expected = printed(&printer, &ready, Texts::of(&asked), &mut none);
                prop_assert_eq!(by_kind, expected);
                let by_kind = printed(&printer, &event, Texts::of(&sources), &mut kept);
                let expected = printed(&printer, &event, Texts::of(&asked), &mut none);
                prop_assert_eq!(by_kind, expected);
                // A record, whose layout is known.
                let mut bytes = Vec::new();
                wire(&Fragment::from(templated(&event).unwrap()), &mut bytes).unwrap();
                let record = decoder.event(&bytes).unwrap();
                for _ in 0..2 {
                    let by_kind = printed(&printer, &record, Texts::of(&sources), &mut kept);
                    let expected = printed(&printer, &record, Texts::of(&asked), &mut none);
                    prop_assert_eq!(by_kind, expected);
                }
            }
        }
    }
}

/// An event as providers with a manifest write it: the values are those of a template inside.
fn nested(data: Written, values: Vec<TypedValue<'static>>) -> Vec<u8> {
    let guid = Guid::parse(GUID).unwrap();
    let data = Instance { template: Definition::new(guid, data).unwrap(), values };
    let system = Written::new("System")
        .child(Written::new("Provider").attribute("Name", "P"))
        .child(Written::new("EventID").text("1"))
        .child(Written::new("Version").text("0"));
    let inside = Piece::optional(0, ValueType::BinXml);
    let event = Written::new("Event").child(system);
    // Of user data, the template is the provider's own element.
    let event = match data.template.root().name == "EventData" {
        true => event.piece(inside),
        false => event.child(Written::new("UserData").piece(inside)),
    };
    let other = Guid::parse("{22222222-2222-3333-4444-555555555555}").unwrap();
    let event = Instance {
        template: Definition::new(other, event).unwrap(),
        values: vec![TypedValue::BinXml(Box::new(Fragment::Instance(data)))],
    };
    let mut bytes = Vec::new();
    wire(&Fragment::Instance(event), &mut bytes).unwrap();
    bytes
}

fn text(text: &'static str) -> TypedValue<'static> {
    TypedValue::String(text.into())
}

/// The message that a record is printed with, which is the same in all ways to make it.
fn message_of(sources: &Sources, bytes: &[u8]) -> String {
    let mut decoder = Decoder::new();
    let record = decoder.event(bytes).unwrap();
    let mut message = Vec::new();
    sources.message(&record, &mut message).unwrap();
    let message = String::from_utf8(message).unwrap();
    let chosen = Printer::jsonl(Some(vec![Column::parse("message").unwrap()]));
    for printer in [Printer::jsonl(None), chosen] {
        let line = printed(&printer, &record, Texts::of(sources), &mut Scratch::default());
        let expected = format!("\"message\":{}", serde_json::to_string(&message).unwrap());
        assert!(line.contains(&expected), "{line}");
    }
    message
}

/// The marks count the values of the provider's template, wherever it puts them.
#[test]
fn marks_count_the_values_of_the_template_and_not_of_the_document() {
    let string = |id| Piece::value(id, ValueType::String);
    let data = |name: &str, id| Written::new("Data").attribute("Name", name).piece(string(id));
    let message = ["%1|%2|%3|%4".to_owned()];
    let in_data = sources(&message, &[], false);
    let in_user_data = sources(&message, &[], true);

    let values = || vec![text("one"), text("two"), text("three")];
    let reversed =
        Written::new("EventData").child(data("c", 2)).child(data("b", 1)).child(data("a", 0));
    assert_eq!(message_of(&in_data, &nested(reversed, values())), "one|two|three|%4");

    // In attributes, in another order, and one nowhere.
    let inner = Written::new("Inner").attribute_of("x", vec![string(2)]);
    let inner = inner.child(Written::new("First").piece(string(0)));
    for sources in [&in_data, &in_user_data] {
        assert_eq!(message_of(sources, &nested(inner.clone(), values())), "one|two|three|%4");
    }

    // An element that a NULL drops doesn't move those after it.
    let optional = |name: &str, id: u16| {
        let piece = Piece::optional(id, ValueType::String);
        Written::new("Data").attribute("Name", name).piece(piece).depends_on(id)
    };
    let dropped = Written::new("EventData")
        .child(optional("a", 0))
        .child(optional("b", 1))
        .child(optional("c", 2));
    let values = vec![text("one"), TypedValue::Null, text("three")];
    assert_eq!(message_of(&in_data, &nested(dropped, values)), "one||three|%4");
}

/// Logs say nothing of the build that they are of. A record has the identifier of its template, and so has the
/// manifest.
#[test]
fn a_catalogue_is_of_an_event_s_build_where_it_has_the_event_s_template() {
    let string = |id| Piece::value(id, ValueType::String);
    let data = Written::new("EventData")
        .child(Written::new("Data").attribute("Name", "a").piece(string(0)));
    let bytes = nested(data, vec![text("one")]);
    let by = |template: &str| {
        let catalogue = catalogue(&["%1".to_owned()], &[], false, template);
        let other = catalogue_of_event_one();
        let sources = Sources::new().with_catalogue(other, None).with_catalogue(catalogue, None);
        let mut decoder = Decoder::new();
        let record = decoder.event(&bytes).unwrap();
        let mut message = Vec::new();
        let by = sources.message(&record, &mut message).unwrap();
        (by.as_str(), String::from_utf8(message).unwrap())
    };
    // What has the template comes before what was there first.
    assert_eq!(by(GUID), ("catalogue", "one".to_owned()));
    assert_eq!(by("{33333333-2222-3333-4444-555555555555}"), ("foreign", "three".to_owned()));
}

#[test]
fn an_array_is_one_value_but_for_an_event_of_the_classic_api() {
    let message = ["%1|%2|%3".to_owned()];
    let sources = sources(&message, &[], false);
    let array = |items: &[&'static str]| TypedValue::Array {
        of: ValueType::String,
        items: items.iter().map(|item| text(item)).collect(),
    };
    let of_strings = ValueType::String.array().unwrap();
    let named = Written::new("EventData")
        .child(Written::new("Data").attribute("Name", "a").piece(Piece::value(0, of_strings)))
        .child(
            Written::new("Data").attribute("Name", "b").piece(Piece::value(1, ValueType::String)),
        );
    let values = vec![array(&["one", "two"]), text("three")];
    assert_eq!(message_of(&sources, &nested(named, values)), "one,two|three|%3");
    let classic = Written::new("EventData")
        .child(Written::new("Data").piece(Piece::value(0, of_strings)))
        .child(Written::new("Binary").piece(Piece::value(1, ValueType::Binary)));
    let values = vec![array(&["one", "two", "three"]), TypedValue::Binary([1, 2][..].into())];
    assert_eq!(message_of(&sources, &nested(classic, values)), "one|two|three");
}

/// 30,000 marks with 300 characters each would be 9 MB, out of a message of 60 kB.
#[test]
fn a_message_of_more_than_a_mebibyte_counts_as_none() {
    let value = "x".repeat(300);
    for (marks, is_shown) in [(3_000, true), (30_000, false)] {
        let sources = sources(&["%1".repeat(marks)], &[], false);
        let case = Case {
            id: 1,
            version: 0,
            qualifiers: None,
            task: 7,
            keywords: 4,
            values: vec![value.clone()],
            has_binary: false,
            in_user_data: false,
            seed: 1,
        };
        let event = case.event();
        let mut bytes = Vec::new();
        wire(&Fragment::from(templated(&event).unwrap()), &mut bytes).unwrap();
        let mut decoder = Decoder::new();
        let record = decoder.event(&bytes).unwrap();
        let columns = ["message", "message_source"].map(|name| Column::parse(name).unwrap());
        let chosen = Printer::jsonl(Some(columns.to_vec()));
        for printer in [chosen, Printer::jsonl(None)] {
            let line = printed(&printer, &record, Texts::of(&sources), &mut Scratch::default());
            let expected = match is_shown {
                true => format!(
                    "\"message\":\"{}\",\"message_source\":\"catalogue\"",
                    value.repeat(marks)
                ),
                false => "\"message\":null,\"message_source\":null".to_owned(),
            };
            assert!(line.contains(&expected), "{marks} marks, {} bytes", line.len());
        }
    }
}

#[test]
fn what_a_source_learns_is_printed_from_then_on() {
    let one = sources(&["one %1\r\n".to_owned()], &[], false);
    let two = sources(&["two %1\r\n".to_owned()], &[], false);
    let case = Case {
        id: 1,
        version: 0,
        qualifiers: None,
        task: 7,
        keywords: 4,
        values: vec!["x".to_owned()],
        has_binary: false,
        in_user_data: false,
        seed: 1,
    };
    let event = case.event();
    let printer = Printer::jsonl(Some(vec![Column::parse("message").unwrap()]));
    let mut scratch = Scratch::default();
    for _ in 0..2 {
        for (sources, text) in [(&one, "one x"), (&two, "two x")] {
            let line = printed(&printer, &event, Texts::of(sources), &mut scratch);
            assert_eq!(line, format!("{{\"message\":\"{text}\"}}\n"));
        }
    }
    // A catalogue more is another state of what is known.
    let more = Sources::new();
    let line = printed(&printer, &event, Texts::of(&more), &mut scratch);
    assert_eq!(line, "{\"message\":null}\n");
    let catalogue = catalogue_of_event_one();
    let more = more.with_catalogue(catalogue, Some(""));
    let line = printed(&printer, &event, Texts::of(&more), &mut scratch);
    assert_eq!(line, "{\"message\":\"three\"}\n");
}

fn catalogue_of_event_one() -> Arc<Catalogue> {
    let mut builder = CatalogueBuilder::new();
    let table = builder.add_table(MessageTable::new([(1, "three\r\n")]));
    builder.add_provider(Provider {
        name: "P".to_owned(),
        messages: vec![table],
        ..Provider::default()
    });
    let mut file = Cursor::new(Vec::new());
    builder.write(CatalogueInfo::default(), &mut file).unwrap();
    Arc::new(Catalogue::read(file).unwrap())
}
