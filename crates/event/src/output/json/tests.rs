use proptest::prelude::*;
use serde_json::{Value as Parsed, json};

use crate::output::fake::{Fake, element, logon, text, utf16};
use crate::output::{Column, Member, Printer, Scratch};
use crate::{
    AnyEvent, Element, Field, FieldSource, Message, MessageBy, MessageSource, NameOf, Node, Origin,
    Texts, Utf16, Value,
};

const FILE: Origin<'_> = Origin {
    source: "logs/a\"b.evtx",
    host: None,
    log: "Security",
    log_record: Some(crate::RecordId(7)),
    recovered: false,
};

const NONE: Texts<'_> = Texts { message: None, source: None, rules: &[] };

fn printed(printer: &Printer, source: &impl FieldSource, texts: Texts<'_>) -> String {
    let mut out = Vec::new();
    printer.event(source, &FILE, texts, &mut Scratch::default(), &mut out);
    String::from_utf8(out).unwrap()
}

fn parsed(source: &impl FieldSource) -> Parsed {
    serde_json::from_str(&printed(&Printer::jsonl(None), source, NONE)).unwrap()
}

#[test]
fn an_event_has_the_shape_that_the_design_shows() {
    let origin = Origin {
        source: "even6://dc01.corp",
        host: Some("dc01.corp"),
        log: "Security",
        log_record: Some(crate::RecordId(812)),
        recovered: false,
    };
    let message = Message { text: "An account was ...", by: MessageBy::Server };
    let mut out = Vec::new();
    let printer = Printer::jsonl(None);
    printer.event(&logon(), &origin, Texts::given(message), &mut Scratch::default(), &mut out);
    let expected = concat!(
        r#"{"v":1,"time":"2026-08-22T10:00:00.1234567Z","source":"even6://dc01.corp","#,
        r#""host":"dc01.corp","log":"Security","log_record":812,"computer":"DC01.corp","#,
        r#""channel":"Security","record_id":812,"#,
        r#""provider":"Microsoft-Windows-Security-Auditing","#,
        r#""provider_guid":"{54849625-5478-4994-a5ba-3e3b0328c30d}","event_id":4624,"#,
        r#""qualifiers":null,"version":2,"level":0,"level_name":"Audit Success","task":12544,"#,
        r#""opcode":0,"keywords":"0x8020000000000000","user_sid":null,"process_id":712,"#,
        r#""thread_id":900,"activity_id":null,"related_activity_id":null,"#,
        r#""data":{"TargetUserName":"alice","param2":"unnamed"},"user_data":null,"#,
        r#""message":"An account was ...","message_source":"server"}"#,
        "\n"
    );
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn a_file_has_the_computer_as_host_and_its_name_escaped() {
    let event = parsed(&logon());
    assert_eq!(event["source"], json!("logs/a\"b.evtx"));
    assert_eq!(event["host"], json!("DC01.corp"));
    assert_eq!(event["log_record"], json!(7));
    let empty = parsed(&Fake::default());
    assert_eq!(empty["host"], Parsed::Null);
    assert_eq!(empty["computer"], Parsed::Null);
}

#[test]
fn without_message_text_the_message_is_null_and_the_values_stand_in_data() {
    let event = parsed(&logon());
    assert_eq!(event["message"], Parsed::Null);
    assert_eq!(event["message_source"], Parsed::Null);
    assert_eq!(event["data"], json!({"TargetUserName": "alice", "param2": "unnamed"}));
    assert_eq!(event.get("names"), None);
    let empty = parsed(&Fake::default());
    assert_eq!(empty["message"], Parsed::Null);
    assert_eq!(empty["message_source"], Parsed::Null);
    assert_eq!(empty["data"], json!({}));
    assert_eq!(empty["time"], Parsed::Null);
    assert_eq!(empty["level_name"], Parsed::Null);
}

#[test]
fn a_name_that_comes_again_is_an_array_at_its_first_place() {
    let fake = Fake::new(&[], &[("A", "1"), ("B", "2"), ("A", "3"), ("", "4"), ("A", "")]);
    let line = printed(&Printer::jsonl(None), &fake, NONE);
    assert!(line.contains(r#""data":{"A":["1","3",""],"B":"2","param4":"4"}"#), "{line}");
}

#[test]
fn a_value_named_like_an_unnamed_one_is_kept_apart() {
    let fake = Fake::new(&[], &[("param2", "a"), ("", "b")]);
    assert_eq!(parsed(&fake)["data"], json!({"param2": "a", "#2": "b"}));
    let fake = Fake::new(&[], &[("", "a"), ("param1", "b"), ("#1", "c"), ("", "d")]);
    let expected = json!({"##1": "a", "param1": "b", "#1": "c", "param4": "d"});
    assert_eq!(parsed(&fake)["data"], expected);
    let columns = ["data.PARAM1", "data.#1", "data.param4", "data.#4", "data.#3"];
    let columns = columns.iter().map(|name| Column::parse(name).unwrap()).collect();
    let line = printed(&Printer::jsonl(Some(columns)), &fake, NONE);
    let line: Parsed = serde_json::from_str(&line).unwrap();
    let expected = json!({"data.PARAM1": "b", "data.#1": ["c", "a"], "data.param4": "d",
        "data.#4": "d", "data.#3": null});
    assert_eq!(line, expected);
    let fake = Fake::new(&[], &[("param1", "a"), ("param2", "b")]);
    assert_eq!(parsed(&fake)["data"], json!({"param1": "a", "param2": "b"}));
}

#[test]
fn events_of_very_many_values_keep_them_all() {
    let mut fake = Fake::default();
    for i in 0..5000 {
        fake.data.push((Some(format!("name{i}")), utf16("x")));
    }
    fake.data.push((Some("name17".into()), utf16("y")));
    let data = &parsed(&fake)["data"];
    assert_eq!(data.as_object().unwrap().len(), 5000);
    assert_eq!(data["name17"], json!(["x", "y"]));
    assert_eq!(data["name4999"], json!("x"));
}

#[test]
fn user_data_is_nested() {
    let mut fake = Fake::default();
    let inner = element(
        "EventXML",
        &[("xmlns", "Event_NS"), ("b", "\"")],
        vec![
            Node::Text("\n  ".into()),
            text("Param1", "one"),
            text("Many", "1"),
            Node::Text("\n".into()),
            text("Many", "2"),
            Node::Element(element("Empty", &[], vec![])),
            Node::Element(element("Named", &[("Type", "x")], vec![Node::Text("body".into())])),
        ],
    );
    fake.more.push(element("UserData", &[], vec![Node::Element(inner)]));
    let event = parsed(&fake);
    let expected = json!({"EventXML": {
        "@xmlns": "Event_NS", "@b": "\"", "Param1": "one", "Many": ["1", "2"], "Empty": "",
        "Named": {"@Type": "x", "#text": "body"}
    }});
    assert_eq!(event["user_data"], expected);
    assert_eq!(event.get("other"), None);
    assert_eq!(parsed(&fake.decoded()), event);
}

#[test]
fn values_of_user_data_are_fields() {
    let event = crate::testing::event(
        "<Event><System/><EventData><Data Name='A'>1</Data></EventData><UserData><x:Cleared \
         xmlns:x='u'><x:A n='3'>2</x:A><B><A>4</A></B></x:Cleared></UserData></Event>",
    );
    let columns = [
        "data.a",
        "user_data.cleared.A",
        "user_data.Cleared.B.A",
        "user_data.x:Cleared.A.@n",
        "user_data.Cleared.B",
        "user_data.A",
    ];
    let columns: Vec<Column> = columns.iter().map(|name| Column::parse(name).unwrap()).collect();
    let line = printed(&Printer::jsonl(Some(columns.clone())), &event, NONE);
    let expected = concat!(
        r#"{"data.a":["1","2","4"],"user_data.cleared.A":"2","user_data.Cleared.B.A":"4","#,
        r#""user_data.x:Cleared.A.@n":"3","user_data.Cleared.B":null,"user_data.A":null}"#,
        "\n"
    );
    assert_eq!(line, expected);
    let options = crate::output::CsvOptions {
        columns: Some(columns),
        recovered: false,
        cells: crate::output::CsvCells::Exact,
        ..crate::output::CsvOptions::default()
    };
    assert_eq!(printed(&Printer::csv(options), &event, NONE), "\"1, 2, 4\",2,4,3,,\r\n");
}

#[test]
fn text_beside_elements_in_data_is_in_other() {
    let event = crate::testing::event(
        "<Event><EventData>loose<Data Name='A'>pre <b>bold</b> post</Data>\n<Data>x</Data>\
         </EventData></Event>",
    );
    let event = parsed(&event);
    assert_eq!(event["data"], json!({"b": "bold", "param2": "x"}));
    let mixed = json!({"@Name": "A", "#text": ["pre ", " post"]});
    assert_eq!(event["other"]["EventData"]["#text"], "loose");
    assert_eq!(event["other"]["EventData"]["Data"], mixed);
}

#[test]
fn text_around_an_element_stays_with_the_element_it_is_in() {
    let mut fake = Fake::default();
    let inner = element("A", &[], vec![text("B", "in"), Node::Text("behind".into())]);
    fake.more.push(element("UserData", &[], vec![Node::Element(inner)]));
    assert_eq!(parsed(&fake)["user_data"], json!({"A": {"B": "in", "#text": "behind"}}));
}

#[test]
fn elements_with_very_many_children_keep_them_all() {
    let mut fake = Fake::default();
    let children = (0..5000).map(|i| text(&format!("n{}", i % 2500), "x")).collect();
    fake.more.push(element("UserData", &[], children));
    let event = parsed(&fake);
    assert_eq!(event["user_data"].as_object().unwrap().len(), 2500);
    assert_eq!(event["user_data"]["n2499"], json!(["x", "x"]));
}

#[test]
fn user_data_of_any_depth_can_be_read_again() {
    let mut inner = element("Leaf", &[], vec![Node::Text("deep".into())]);
    for _ in 0..300 {
        let twin = Node::Element(inner.clone());
        inner = element("Level", &[], vec![twin]);
        inner.children.push(Node::Element(Element::new("Level")));
    }
    let mut fake = Fake::default();
    fake.more.push(element("UserData", &[], vec![Node::Element(inner)]));
    let line = printed(&Printer::jsonl(None), &fake, NONE);
    serde_json::from_str::<Parsed>(&line).unwrap();
    assert!(line.contains("\"deep\""));
}

#[test]
fn a_forwarded_event_brings_its_message() {
    let mut fake = logon();
    let info = vec![text("Message", "An account \"logged on\"."), text("Level", "Information")];
    fake.more.push(element("RenderingInfo", &[("Culture", "en-US")], info));
    let event = parsed(&fake);
    assert_eq!(event["message"], json!("An account \"logged on\"."));
    assert_eq!(event["message_source"], json!("event"));
    assert_eq!(event["user_data"], Parsed::Null);
    let rest = json!({"RenderingInfo": {"@Culture": "en-US", "Level": "Information"}});
    assert_eq!(event["other"], rest);

    // It wins over one that was looked up: it was made where the event was logged.
    let message = Message { text: "From a catalogue.", by: MessageBy::Catalogue };
    let line = printed(&Printer::jsonl(None), &fake, Texts::given(message));
    assert_eq!(serde_json::from_str::<Parsed>(&line).unwrap(), event);
}

/// Knows text for every event.
struct Known;

impl MessageSource for Known {
    fn message(&self, event: &dyn AnyEvent, out: &mut Vec<u8>) -> Option<MessageBy> {
        out.extend_from_slice(format!("\"{}\"\n", event.field(Field::EventId)).as_bytes());
        Some(MessageBy::Mta)
    }

    fn name(&self, _event: &dyn AnyEvent, of: NameOf, out: &mut Vec<u8>) -> bool {
        let name: &[u8] = match of {
            NameOf::Task => b"Logon",
            NameOf::Keyword(0x0020_0000_0000_0000) => b"Audit Success",
            NameOf::Keyword(0x8000_0000_0000_0000) => b"Log\"ged",
            _ => return false,
        };
        out.extend_from_slice(name);
        true
    }

    fn words(&self, _: &dyn AnyEvent, _: &str, _: &Value<'_>, _: &mut Vec<u8>) -> bool {
        false
    }
}

#[test]
fn text_that_is_known_is_printed_with_who_knew_it() {
    let line = printed(&Printer::jsonl(None), &logon(), Texts::of(&Known));
    let event: Parsed = serde_json::from_str(&line).unwrap();
    assert_eq!(event["message"], json!("\"4624\"\n"));
    assert_eq!(event["message_source"], json!("mta"));
    let names = json!({"task": "Logon", "keywords": ["Audit Success", "Log\"ged"]});
    assert_eq!(event["names"], names);
    let columns = ["message_source", "names"].map(|name| Column::parse(name).unwrap()).to_vec();
    let line = printed(&Printer::jsonl(Some(columns)), &logon(), Texts::of(&Known));
    let chosen: Parsed = serde_json::from_str(&line).unwrap();
    assert_eq!(chosen, json!({"message_source": "mta", "names": names}));
}

#[test]
fn what_has_no_member_is_in_other() {
    let mut event = logon().decoded();
    let Node::Element(system) = &mut event.root.children[0] else { panic!() };
    system.children.push(text("Container", "x"));
    let Node::Element(provider) = &mut system.children[0] else { panic!() };
    provider.attributes.push(("EventSourceName".into(), "Old".into()));
    provider.attributes.push(("Odd".into(), "o".into()));
    event.root.attributes.push(("lang".into(), "en".into()));
    let Node::Element(data) = &mut event.root.children[1] else { panic!() };
    data.attributes.push(("Name".into(), "SERVICE".into()));
    let Node::Element(first) = &mut data.children[0] else { panic!() };
    first.attributes.push(("Type".into(), "t".into()));
    let error = element("ProcessingErrorData", &[], vec![text("ErrorCode", "15005")]);
    event.root.children.push(Node::Element(error));
    let expected = json!({
        "event_source_name": "Old",
        "@lang": "en",
        "System": {"Provider": {"@Odd": "o"}, "Container": "x"},
        "EventData": {
            "@Name": "SERVICE",
            "Data": {"@Name": "TargetUserName", "@Type": "t"}
        },
        "ProcessingErrorData": {"ErrorCode": "15005"},
    });
    assert_eq!(parsed(&event)["other"], expected);
}

#[test]
fn the_name_of_event_data_is_in_other() {
    let mut event = logon().decoded();
    let Node::Element(data) = &mut event.root.children[1] else { panic!() };
    data.attributes.push(("Name".into(), "SERVICE".into()));
    assert_eq!(parsed(&event)["other"], json!({"EventData": {"@Name": "SERVICE"}}));
}

#[test]
fn the_rarer_numbers_are_in_other() {
    let mut fake = Fake::default();
    fake.fields.push((Field::ProcessorId, Value::UInt(3)));
    fake.fields.push((Field::KernelTime, Value::UInt(15)));
    assert_eq!(parsed(&fake)["other"], json!({"processor_id": 3, "kernel_time": 15}));
    assert_eq!(parsed(&fake.decoded())["other"], json!({"processor_id": 3, "kernel_time": 15}));
}

#[test]
fn a_number_that_is_none_is_null_and_not_lost() {
    let mut fake = Fake::default();
    fake.fields.push((Field::Version, Value::Str("two")));
    fake.fields.push((Field::EventId, Value::Int(-1)));
    let event = parsed(&fake);
    assert_eq!(event["version"], Parsed::Null);
    assert_eq!(event["event_id"], Parsed::Null);
    assert_eq!(event["other"], json!({"System": {"EventID": "-1", "Version": "two"}}));
}

#[test]
fn chosen_members_come_in_the_order_chosen() {
    let columns = ["event_id", "data.TargetUserName", "data.none", "data.param2", "message", "v"];
    let columns = columns.map(|name| Column::parse(name).unwrap()).to_vec();
    let line = printed(&Printer::jsonl(Some(columns)), &logon(), NONE);
    let expected = concat!(
        r#"{"event_id":4624,"data.TargetUserName":"alice","data.none":null,"#,
        r#""data.param2":"unnamed","message":null,"v":1}"#,
        "\n"
    );
    assert_eq!(line, expected);
    let fake = Fake::new(&[], &[("A", "1"), ("A", "2")]);
    let columns = Some(vec![Column::Data("A".into())]);
    assert_eq!(printed(&Printer::jsonl(columns), &fake, NONE), "{\"data.A\":[\"1\",\"2\"]}\n");
}

#[test]
fn every_member_chosen_by_itself_is_what_the_whole_has() {
    let mut fake = logon();
    fake.fields.push((Field::ProcessorId, Value::UInt(3)));
    fake.more.push(element("UserData", &[], vec![text("A", "b")]));
    let whole = parsed(&fake);
    for (name, value) in whole.as_object().unwrap() {
        let columns = Some(vec![Column::parse(name).unwrap()]);
        let one: Parsed =
            serde_json::from_str(&printed(&Printer::jsonl(columns), &fake, NONE)).unwrap();
        assert_eq!(&one[name], value, "{name}");
    }
}

#[test]
fn an_array_of_events_is_one_document() {
    for pretty in [false, true] {
        let printer = Printer::json(None, pretty);
        let mut scratch = Scratch::default();
        let mut out = Vec::new();
        let mut events = Vec::new();
        printer.event(&logon(), &FILE, NONE, &mut scratch, &mut events);
        let mut document = printer.document();
        document.events(&events, &mut out).unwrap();
        // Of two events in one go, the printing thread writes what stands between.
        events.extend_from_slice(printer.separator());
        printer.event(&logon(), &FILE, NONE, &mut scratch, &mut events);
        document.events(&events, &mut out).unwrap();
        document.finish(&mut out).unwrap();
        let array: Parsed = serde_json::from_slice(&out).unwrap();
        assert_eq!(array, json!([parsed(&logon()), parsed(&logon()), parsed(&logon())]));
        let lines = out.iter().filter(|&&b| b == b'\n').count();
        assert_eq!(lines > 10, pretty);
    }
    let mut out = Vec::new();
    Printer::json(None, true).document().finish(&mut out).unwrap();
    assert_eq!(out, b"[]\n");
}

/// Text as events have it: mostly ordinary, with lone surrogates and control characters.
fn units() -> impl Strategy<Value = Vec<u8>> {
    let unit = prop_oneof![
        6 => 0x20u16..0x7f,
        1 => 1u16..0x20,
        1 => 0xd800u16..0xe000,
        1 => 1u16..=u16::MAX,
    ];
    prop::collection::vec(unit, 0..20)
        .prop_map(|units| units.into_iter().flat_map(u16::to_le_bytes).collect())
}

fn name() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        1 => Just(None),
        2 => "[ABC]".prop_map(Some),
        1 => "param[1-4]".prop_map(Some),
        1 => any::<String>().prop_map(Some),
    ]
}

fn node() -> impl Strategy<Value = Node> {
    let leaf = any::<String>().prop_map(Node::Text);
    leaf.prop_recursive(4, 30, 5, |inner| {
        let attributes = prop::collection::vec(("[a-c]", any::<String>()), 0..3);
        ("[A-C]", attributes, prop::collection::vec(inner, 0..5)).prop_map(
            |(name, attributes, children)| {
                Node::Element(Element { name, attributes, children, closed_empty: false })
            },
        )
    })
}

/// Every text and attribute of an element, but for what is for people who read XML.
fn texts(element: &Element, all: &mut Vec<String>) {
    all.extend(element.attributes.iter().map(|(_, value)| value.clone()));
    for node in &element.children {
        match node {
            Node::Text(text) if text.trim().is_empty() => {}
            Node::Text(text) => all.push(text.clone()),
            Node::Element(inner) => texts(inner, all),
        }
    }
}

/// Every string and name in JSON.
fn strings(value: &Parsed, all: &mut Vec<String>) {
    match value {
        Parsed::String(text) => all.push(text.clone()),
        Parsed::Array(items) => items.iter().for_each(|item| strings(item, all)),
        Parsed::Object(members) => {
            for (name, value) in members {
                all.push(name.clone());
                strings(value, all);
            }
        }
        _ => {}
    }
}

/// Children as a decoded event has them: no text is empty or follows another.
fn merged(children: Vec<Node>) -> Vec<Node> {
    let mut merged: Vec<Node> = Vec::new();
    for child in children {
        match (merged.last_mut(), child) {
            (_, Node::Text(text)) if text.is_empty() => {}
            (Some(Node::Text(last)), Node::Text(text)) => last.push_str(&text),
            (_, child) => merged.push(child),
        }
    }
    merged
}

/// An element with text before, between and after elements.
fn mixed() -> impl Strategy<Value = Element> {
    let text = || "[a-z<é]{0,3}( [0-9])?";
    let leaf = text().prop_map(|text| element("Data", &[("Name", "n")], vec![Node::Text(text)]));
    leaf.prop_recursive(3, 12, 3, move |inner| {
        let child = prop_oneof![inner.prop_map(Node::Element), text().prop_map(Node::Text)];
        ("Data|b|X", prop::collection::vec(child, 0..4))
            .prop_map(|(name, children)| element(&name, &[], merged(children)))
    })
}

proptest! {
    #[test]
    fn no_text_of_an_event_is_lost_in_json(
        data in prop::collection::vec(mixed(), 0..3),
        user in prop::collection::vec(mixed(), 0..3),
        loose in "[a-z]{0,3}",
    ) {
        let children = |elements: Vec<Element>| elements.into_iter().map(Node::Element);
        let mut event = logon().decoded();
        event.root.children.truncate(1);
        let data = merged(children(data).chain([Node::Text(loose)]).collect());
        for (name, children) in [("EventData", data), ("UserData", children(user).collect())] {
            event.root.children.push(Node::Element(element(name, &[], children)));
        }
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        event.root.elements().skip(1).for_each(|section| texts(section, &mut expected));
        strings(&parsed(&event), &mut found);
        for text in expected {
            prop_assert!(found.iter().any(|one| one.contains(&text)), "{} of {:?}", text, event);
        }
    }
}

proptest! {
    #[test]
    fn whatever_the_values_the_json_holds_them(
        data in prop::collection::vec((name(), units()), 0..12),
        computer in units(),
    ) {
        let computer: &'static [u8] = computer.leak();
        let mut fake = Fake { data, ..Fake::default() };
        fake.fields.push((Field::Computer, Value::Utf16(Utf16::new(computer))));
        let event = parsed(&fake);
        prop_assert_eq!(&event["computer"], &json!(Utf16::new(computer).to_string()));
        // The same by name, as a list each.
        let mut expected: Vec<(String, Vec<String>)> = Vec::new();
        for (i, (name, value)) in fake.data.iter().enumerate() {
            let is_name = |name: &String| fake.data.iter().any(|(n, _)| n.as_ref() == Some(name));
            let unnamed = || {
                let name = format!("param{}", i + 1);
                if is_name(&name) { format!("#{}", i + 1) } else { name }
            };
            let name = name.clone().unwrap_or_else(unnamed);
            let value = Utf16::new(value).to_string();
            match expected.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None => expected.push((name, vec![value])),
            }
        }
        let object = event["data"].as_object().unwrap();
        prop_assert_eq!(object.len(), expected.len());
        for ((name, value), (known, values)) in object.iter().zip(&expected) {
            prop_assert_eq!(name, known);
            match &values[..] {
                [one] => prop_assert_eq!(value, &json!(one)),
                many => prop_assert_eq!(value, &json!(many)),
            }
        }
    }

    #[test]
    fn whatever_stands_in_an_event_its_json_is_valid(
        sections in prop::collection::vec((any::<bool>(), prop::collection::vec(node(), 0..4)), 0..3),
    ) {
        let mut fake = logon();
        for (user, children) in sections {
            let name = if user { "UserData" } else { "RenderingInfo" };
            fake.more.push(element(name, &[], children));
        }
        let compact = printed(&Printer::jsonl(None), &fake, NONE);
        let event: Parsed = serde_json::from_str(&compact).unwrap();
        let pretty = printed(&Printer::json(None, true), &fake, NONE);
        prop_assert_eq!(&serde_json::from_str::<Parsed>(&pretty).unwrap(), &event);
        // serde_json writes indented JSON the same way, but for what acts on a terminal.
        let mut expected = String::new();
        for c in serde_json::to_string_pretty(&event).unwrap().chars() {
            match crate::text::is_active(c) && c != '\n' {
                true => c.encode_utf16(&mut [0; 2]).iter()
                    .for_each(|unit| expected += &format!("\\u{unit:04x}")),
                false => expected.push(c),
            }
        }
        prop_assert_eq!(pretty, expected);
    }
}

#[test]
fn a_system_element_in_several_pieces_is_kept_whole() {
    // Found by fuzzing: a number, and after it what is none.
    struct Pieces;
    impl FieldSource for Pieces {
        fn field(&self, _field: Field) -> Value<'_> {
            Value::Null
        }
        fn each_data<'a, F>(&'a self, _visit: F) -> std::ops::ControlFlow<()>
        where
            F: FnMut(Option<crate::DataName<'a>>, Value<'a>) -> std::ops::ControlFlow<()>,
        {
            std::ops::ControlFlow::Continue(())
        }
        fn walk<'a, S: crate::Sink<'a>>(&'a self, sink: &mut S) {
            sink.open("Event");
            sink.open("System");
            sink.open("EventID");
            sink.text(Value::UInt(5));
            sink.text(Value::Str("0x1"));
            sink.close("EventID", false);
            sink.close("System", false);
            sink.close("Event", false);
        }
    }
    let line = printed(&Printer::jsonl(None), &Pieces, NONE);
    assert!(line.contains(r#""other":{"System":{"EventID":"50x1"}}"#), "{line}");
}

#[test]
fn members_in_the_order_of_json_are_what_each_of_them_is_alone() {
    let optional = ["recovered", "names", "rules", "other"];
    let members: Vec<Column> = Member::all()
        .filter(|member| !optional.contains(&member.name()))
        .map(Column::Member)
        .collect();
    let odd = Fake {
        more: vec![element("UserData", &[], vec![text("A", "x"), text("B", "y")])],
        ..Fake::new(&[(Field::EventId, Value::Str("no number"))], &[("N", "1"), ("N", "2")])
    };
    let event_id = [Column::Member(Member::EventId)];
    for event in [logon(), odd] {
        let alone = |column: &Column| {
            let line = printed(&Printer::jsonl(Some(vec![column.clone()])), &event, NONE);
            let inside = line.strip_prefix('{').and_then(|line| line.strip_suffix("}\n"));
            inside.unwrap().to_owned()
        };
        for columns in [
            members.clone(),
            [&event_id[..], &members, &event_id].concat(),
            [&members[..], &members].concat(),
            members[1..].to_vec(),
        ] {
            let expected: Vec<String> = columns.iter().map(alone).collect();
            let line = printed(&Printer::jsonl(Some(columns)), &event, NONE);
            assert_eq!(line, format!("{{{}}}\n", expected.join(",")));
        }
    }
}
