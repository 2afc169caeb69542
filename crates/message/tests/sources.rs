//! In which order an event's text is looked for, and what names and words there are.

use std::io::Cursor;
use std::sync::Arc;

use quarry_event::Guid;
use quarry_event::output::{Column, Printer, Scratch};
use quarry_event::{
    AnyEvent, Element, Event, MessageBy, MessageSource, NameOf, Node, Origin, Texts, Value,
};
use quarry_message::manifest::{EventDefinition, Extent, Name, Template, TemplateField, ValueMap};
use quarry_message::{
    Catalogue, CatalogueBuilder, CatalogueInfo, CatalogueKind, InType, LanguageId, Manifest,
    MessageTable, OutType, Provider, Sources,
};

const GUID: &str = "{11111111-2222-3333-4444-555555555555}";

fn element(name: &str, text: &str) -> Node {
    Node::Element(Element { children: vec![Node::Text(text.to_owned())], ..Element::new(name) })
}

fn event(provider: &str, id: u16, values: &[(&str, &str)]) -> Event {
    let mut name = Element::new("Provider");
    name.attributes.push(("Name".to_owned(), provider.to_owned()));
    let mut system = Element::new("System");
    system.children = vec![
        Node::Element(name),
        element("EventID", &id.to_string()),
        element("Version", "1"),
        element("Level", "0"),
        element("Task", "7"),
        element("Opcode", "1"),
        element("EventRecordID", "22"),
    ];
    let mut data = Element::new("EventData");
    for (name, value) in values {
        let mut value =
            Element { children: vec![Node::Text((*value).to_owned())], ..Element::new("Data") };
        value.attributes.push(("Name".to_owned(), (*name).to_owned()));
        data.children.push(Node::Element(value));
    }
    let mut root = Element::new("Event");
    root.children = vec![Node::Element(system), Node::Element(data)];
    Event { root }
}

/// A catalogue of one provider whose event 1 says by whom it is.
fn catalogue(provider: &str, says: &str, kind: CatalogueKind, build: &str) -> Arc<Catalogue> {
    let field = |name: &str, in_type, out_type, map| TemplateField {
        name: name.to_owned(),
        in_type,
        out_type,
        map,
        count: Extent::Unset,
        length: Extent::Unset,
        members: None,
    };
    let fields = vec![
        field("Colour", InType::UINT32, OutType::NULL, Some(0)),
        field("Access", InType::UINT32, OutType::NULL, Some(1)),
        field("Result", InType::HEX_INT32, OutType::NTSTATUS, None),
        field("Kind", InType::UNICODE_STRING, OutType::STRING, None),
    ];
    let mut builder = CatalogueBuilder::new();
    let table = builder.add_table(MessageTable::new([
        (1, format!("{says}: %1, %2, %3, %4, %5\r\n")),
        (2, "red\r\n".to_owned()),
        (4, "read\r\n".to_owned()),
        (5, "write\r\n".to_owned()),
        (7, "Painting\r\n".to_owned()),
    ]));
    let parameters = builder.add_table(MessageTable::new([(1833, "Impersonation\r\n")]));
    builder.add_provider(Provider {
        name: provider.to_owned(),
        guid: Guid::parse(GUID),
        messages: vec![table],
        parameters: vec![parameters],
        categories: Vec::new(),
        absent: Vec::new(),
        manifest: Some(Manifest {
            guid: Guid::parse(GUID).unwrap(),
            name: None,
            message: None,
            channels: Vec::new(),
            levels: Vec::new(),
            tasks: vec![Name { value: 7, name: "T".to_owned(), message: Some(7) }],
            opcodes: vec![Name { value: 1 << 16 | 7, name: "Begin".to_owned(), message: None }],
            keywords: vec![Name { value: 4, name: "Own".to_owned(), message: None }],
            maps: vec![
                ValueMap { name: "C".to_owned(), bits: false, entries: vec![(2, Some(2))] },
                ValueMap {
                    name: "A".to_owned(),
                    bits: true,
                    entries: vec![(1, Some(4)), (2, Some(5))],
                },
            ],
            templates: vec![Template {
                guid: Guid::parse(GUID).unwrap(),
                user_data: false,
                top_level: 4,
                fields,
            }],
            events: vec![EventDefinition {
                id: 1,
                version: 1,
                channel: 0,
                level: 0,
                opcode: 1,
                task: 7,
                keywords: 4,
                message: Some(1),
                template: Some(0),
            }],
        }),
    });
    let info = CatalogueInfo { build: build.to_owned(), language: LanguageId::ENGLISH, kind };
    let mut file = Cursor::new(Vec::new());
    builder.write(info, &mut file).unwrap();
    Arc::new(Catalogue::read(file).unwrap())
}

/// The event of this number is described in version 1 alone, and its message has that number too, as most of
/// Security's have: the text is that version's, with its values.
#[test]
fn an_event_of_another_version_is_not_shown_by_the_text_of_this_one() {
    let ours = catalogue("P", "ours", CatalogueKind::Files, "10.0.1");
    let theirs = catalogue("P", "theirs", CatalogueKind::Foreign, "");
    let sources = Sources::new().with_catalogue(ours, Some("10.0.1"));
    let mut newer = event("P", 1, &[]);
    let Node::Element(system) = &mut newer.root.children[0] else { unreachable!() };
    system.children[2] = element("Version", "2");
    assert_eq!(message(&sources, &newer), None);
    // Others are asked.
    let sources = sources.with_catalogue(theirs, None);
    assert_eq!(
        message(&sources, &newer),
        Some((MessageBy::Foreign, "theirs: %1, %2, %3, %4, %5".to_owned()))
    );
    // An event of the classic API says the message itself.
    let Node::Element(system) = &mut newer.root.children[0] else { unreachable!() };
    let Node::Element(id) = &mut system.children[1] else { unreachable!() };
    id.attributes.push(("Qualifiers".to_owned(), "0".to_owned()));
    assert_eq!(message(&sources, &newer).map(|(by, _)| by), Some(MessageBy::Catalogue));
}

fn message(sources: &Sources, event: &Event) -> Option<(MessageBy, String)> {
    let mut out = b"before ".to_vec();
    let by = sources.message(event, &mut out);
    let text = String::from_utf8(out.split_off(7)).unwrap();
    match by {
        Some(by) => Some((by, text)),
        None => {
            assert_eq!(text, "");
            None
        }
    }
}

/// A server that knows event 1 of one provider.
struct Server;

impl MessageSource for Server {
    fn message(&self, event: &dyn AnyEvent, out: &mut Vec<u8>) -> Option<MessageBy> {
        let knows = event.field(quarry_event::Field::ProviderName).is_text("OnServer");
        out.extend_from_slice(if knows { b"by the server" } else { b"" });
        knows.then_some(MessageBy::Server)
    }

    fn name(&self, _: &dyn AnyEvent, _: NameOf, _: &mut Vec<u8>) -> bool {
        false
    }

    fn words(&self, _: &dyn AnyEvent, _: &str, _: &Value<'_>, _: &mut Vec<u8>) -> bool {
        false
    }
}

const VALUES: [(&str, &str); 4] =
    [("Colour", "2"), ("Access", "3"), ("Result", "0xc000006d"), ("Kind", "%%1833 and %%1")];

#[test]
fn text_comes_from_the_build_then_the_server_then_others() {
    let own = catalogue("P", "own", CatalogueKind::Files, "10.0.20348");
    let other = catalogue("P", "other", CatalogueKind::Files, "10.0.17763");
    let only_other = catalogue("Q", "other", CatalogueKind::Files, "10.0.17763");
    let foreign = catalogue("OnServer", "foreign", CatalogueKind::Foreign, "");
    let sources = [foreign, only_other, other, own]
        .into_iter()
        .fold(Sources::new(), |sources, one| sources.with_catalogue(one, Some("10.0.20348")))
        .with_server(Arc::new(Server));
    let said = |provider| {
        message(&sources, &event(provider, 1, &VALUES))
            .map(|(by, text)| (by, text.split(':').next().unwrap().to_owned()))
    };
    assert_eq!(said("P"), Some((MessageBy::Catalogue, "own".to_owned())));
    assert_eq!(said("Q"), Some((MessageBy::Foreign, "other".to_owned())));
    assert_eq!(said("OnServer"), Some((MessageBy::Server, "by the server".to_owned())));
    assert_eq!(said("Nobody"), None);
    // Again, from what was kept of the first time.
    assert_eq!(said("P"), Some((MessageBy::Catalogue, "own".to_owned())));
}

#[test]
fn values_are_words_in_the_message_and_a_mark_without_a_value_stays() {
    let own = catalogue("P", "own", CatalogueKind::Files, "");
    let sources = Sources::new().with_catalogue(own, None);
    let (_, text) = message(&sources, &event("P", 1, &VALUES)).unwrap();
    assert_eq!(
        text,
        "own: red, read, write, The attempted logon is invalid. This is either due to a bad username \
         or authentication information., \
         Impersonation and %%1, %5"
    );
}

#[test]
fn an_mta_file_comes_first_and_has_its_own_names() {
    let Some(path) = quarry_testkit::corpus_file("messages/viewer_1033.MTA") else { return };
    let mta = Arc::new(quarry_message::Mta::read(std::fs::read(path).unwrap()).unwrap());
    let own = catalogue("P", "own", CatalogueKind::Files, "");
    let sources = Sources::new().with_catalogue(own, None).with_mta(mta);
    let (by, text) = message(&sources, &event("P", 1, &VALUES)).unwrap();
    assert_eq!(by, MessageBy::Mta);
    assert!(text.starts_with("A reboot is necessary before package KB5011048"), "{text}");
}

#[test]
fn names_are_the_provider_s_or_the_standard_s() {
    let own = catalogue("P", "own", CatalogueKind::Files, "");
    let sources = Sources::new().with_catalogue(own, None);
    let name = |sources: &Sources, of| {
        let mut out = Vec::new();
        let known = sources.name(&event("P", 1, &VALUES), of, &mut out);
        known.then(|| String::from_utf8(out).unwrap())
    };
    assert_eq!(name(&sources, NameOf::Level).as_deref(), Some("Information"));
    assert_eq!(name(&sources, NameOf::Task).as_deref(), Some("Painting"));
    assert_eq!(name(&sources, NameOf::Opcode).as_deref(), Some("Begin"));
    assert_eq!(name(&sources, NameOf::Keyword(4)).as_deref(), Some("Own"));
    let classic = NameOf::Keyword(0x0080_0000_0000_0000);
    assert_eq!(name(&sources, classic).as_deref(), Some("Classic"));
    // A task that the provider doesn't name is shown so by Event Viewer (viewer.csv has 239).
    let mut unnamed = event("P", 1, &VALUES);
    let Node::Element(system) = &mut unnamed.root.children[0] else { unreachable!() };
    system.children[4] = element("Task", "8");
    let mut task = Vec::new();
    assert!(sources.name(&unnamed, NameOf::Task, &mut task));
    assert_eq!(task, b"(8)");
    // Without any file the standard knows its own.
    let none = Sources::new();
    assert!(none.is_empty());
    assert_eq!(name(&none, NameOf::Opcode).as_deref(), Some("Start"));
    assert_eq!(name(&none, NameOf::Task), None);
}

#[test]
fn names_are_fields() {
    let own = catalogue("P", "own", CatalogueKind::Files, "");
    let sources = Sources::new().with_catalogue(own, None);
    let columns = |names: &[&str]| -> Option<Vec<Column>> {
        Some(names.iter().map(|name| Column::parse(name).unwrap()).collect())
    };
    let names = columns(&["names.task", "names.opcode", "names.keywords", "task"]);
    let mut event = event("P", 1, &VALUES);
    let Node::Element(system) = &mut event.root.children[0] else { unreachable!() };
    system.children.push(element("Keywords", "0x80000000000004"));
    let print = |printer: Printer| {
        let origin =
            Origin { source: "S", host: None, log: "L", log_record: None, recovered: false };
        let mut out = Vec::new();
        printer.event(&event, &origin, Texts::of(&sources), &mut Scratch::default(), &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(
        print(Printer::jsonl(names.clone())),
        "{\"names.task\":\"Painting\",\"names.opcode\":\"Begin\",\
         \"names.keywords\":[\"Own\",\"Classic\"],\"task\":7}\n"
    );
}

#[test]
fn words_stand_beside_codes_maps_and_parameters() {
    let own = catalogue("P", "own", CatalogueKind::Files, "");
    let sources = Sources::new().with_catalogue(own, None);
    let words = |name: &str, value: &str| {
        let mut out = Vec::new();
        let event = event("P", 1, &VALUES);
        let known = sources.words(&event, name, &Value::Str(value), &mut out);
        assert_eq!(known, !out.is_empty());
        known.then(|| String::from_utf8(out).unwrap())
    };
    assert_eq!(words("Colour", "2").as_deref(), Some("red"));
    assert_eq!(words("Colour", "9"), None);
    assert_eq!(words("Access", "3").as_deref(), Some("read, write"));
    assert_eq!(words("Kind", "%%1833").as_deref(), Some("Impersonation"));
    assert_eq!(words("Kind", "%%1"), None);
    assert_eq!(words("LogonType", "3").as_deref(), Some("Network"));
    assert_eq!(
        words("SubStatus", "0xc0000234").as_deref(),
        Some(
            "The user account has been automatically locked because too many invalid logon attempts or \
         password change attempts have been requested."
        )
    );
    // Kerberos' results have the same name.
    assert_eq!(words("Status", "0x0"), None);
}
