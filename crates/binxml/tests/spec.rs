//! The worked examples of MS-EVEN6, read and written.
#![allow(clippy::print_stdout)] // A test that can do less says so.

use quarry_binxml::Decoder;
use quarry_binxml::write::{
    Element, Fragment, Instance, Piece, Template, TypedValue, ValueType, wire,
};
use quarry_event::{Event, EventTime, Field, FieldSource, Guid, Sid};

const SIMPLE: &[u8] = include_bytes!("fixtures/spec-4.4.bin");
const TEMPLATES: &[u8] = include_bytes!("fixtures/spec-4.8.bin");

fn xml(source: &impl FieldSource) -> String {
    let mut out = Vec::new();
    source.write_xml(&mut out);
    String::from_utf8(out).unwrap()
}

fn written(fragment: &Fragment<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    wire(fragment, &mut out).unwrap();
    out
}

fn entity(name: &str) -> Piece {
    Piece::EntityRef(name.into())
}

/// The example of section 4.4.
fn simple() -> Fragment<'static> {
    Fragment::Element(
        Element::new("Event")
            .child(Element::new("Element1").text("abc"))
            .child(
                Element::new("Element2")
                    .text(" def ")
                    .piece(entity("amp"))
                    .piece(Piece::CharRef(60))
                    .text(" ghi "),
            )
            .child(
                Element::new("Element3")
                    .attribute("AttrA", "abc")
                    .attribute_of(
                        "AttrB",
                        vec![
                            Piece::Text("def".into()),
                            entity("amp"),
                            Piece::CharRef(60),
                            Piece::Text("ghi".into()),
                        ],
                    )
                    .closed_empty(),
            ),
    )
}

/// The example of section 4.8.
fn templates() -> Fragment<'static> {
    use TypedValue::{Null, UInt8, UInt16, UInt32, UInt64};
    use ValueType as T;
    let optional =
        |name, id, expected| Element::new(name).piece(Piece::optional(id, expected)).depends_on(id);
    let attribute = |id, expected| vec![Piece::optional(id, expected)];
    let system = Element::new("System")
        .child(
            Element::new("Provider")
                .attribute("Name", "Microsoft-Windows-Wevttest")
                .attribute("Guid", "{03f41308-fa7b-4fb3-98b8-c2ed0a40d1ef}")
                .closed_empty(),
        )
        .child(
            optional("EventID", 3, T::UInt16).attribute_of("Qualifiers", attribute(4, T::UInt16)),
        )
        .child(optional("Version", 11, T::UInt8))
        .child(optional("Level", 0, T::UInt8))
        .child(optional("Task", 2, T::UInt16))
        .child(optional("Opcode", 1, T::UInt8))
        .child(optional("Keywords", 5, T::HexInt64))
        .child(
            Element::new("TimeCreated")
                .attribute_of("SystemTime", attribute(6, T::FileTime))
                .closed_empty(),
        )
        .child(optional("EventRecordID", 10, T::UInt64))
        .child(
            Element::new("Correlation")
                .attribute_of("ActivityID", attribute(7, T::Guid))
                .attribute_of("RelatedActivityID", attribute(18, T::Guid))
                .closed_empty(),
        )
        .child(
            Element::new("Execution")
                .attribute_of("ProcessID", attribute(8, T::UInt32))
                .attribute_of("ThreadID", attribute(9, T::UInt32))
                .closed_empty(),
        )
        .child(Element::new("Channel").text("Microsoft-Windows-Wevttest/Operational/Wevttest"))
        .child(Element::new("Computer").text("michaelm4-lh.ntdev.corp.microsoft.com"))
        .child(
            Element::new("Security").attribute_of("UserID", attribute(12, T::Sid)).closed_empty(),
        );
    let event = Element::new("Event")
        .attribute("xmlns", "http://schemas.microsoft.com/win/2004/08/events/event")
        .child(system)
        .child(optional("UserData", 19, T::BinXml));
    let outer =
        Template::new(Guid::parse("cc4c464a-dc16-8e46-80a2-dc45ea949cbd").unwrap(), event).unwrap();

    let mine = Element::new("MyEvent")
        .attribute("xmlns:auto-ns2", "http://schemas.microsoft.com/win/2004/08/events")
        .attribute("xmlns", "myNs")
        .child(Element::new("Property").piece(Piece::value(0, T::UInt32)))
        .child(Element::new("Property2").piece(Piece::value(1, T::UInt32)));
    // The bytes between the inner definition's end and its values.
    let waste = TEMPLATES[0x6c6..0x70e].to_vec();
    let inner = Template::with_waste(
        Guid::parse("7a0565a7-8402-a1f0-67ab-96df090d39a7").unwrap(),
        mine,
        waste,
    )
    .unwrap();
    let inner = Instance { template: inner, values: vec![UInt32(1), UInt32(2)] };

    const SID: [u8; 28] = [
        1, 5, 0, 0, 0, 0, 0, 5, 0x15, 0, 0, 0, 0x59, 0x51, 0xb8, 0x17, 0x66, 0x72, 0x5d, 0x25,
        0x64, 0x63, 0x3b, 0x0b, 0x1e, 0x49, 0x2d, 0,
    ];
    Fragment::Instance(Instance {
        template: outer,
        values: vec![
            UInt8(1),
            UInt8(1),
            UInt16(100),
            UInt16(100),
            Null,
            TypedValue::HexInt64(0x4000_0000_00e0_0000),
            TypedValue::FileTime(EventTime::parse("2006-06-14T21:40:54.6258076Z").unwrap()),
            Null,
            UInt32(2088),
            UInt32(2464),
            UInt64(6),
            UInt8(0),
            TypedValue::Sid(Sid::split(&SID).unwrap().0),
            Null,
            Null,
            Null,
            Null,
            Null,
            Null,
            TypedValue::BinXml(Box::new(Fragment::Instance(inner))),
        ],
    })
}

#[test]
fn the_simple_example_is_read() {
    let mut decoder = Decoder::new();
    let record = decoder.event(SIMPLE).unwrap();
    assert_eq!(
        xml(&record),
        "<Event><Element1>abc</Element1><Element2> def &amp;&lt; ghi </Element2>\
         <Element3 AttrA=\"abc\" AttrB=\"def&amp;&lt;ghi\"/></Event>"
    );
}

#[test]
fn the_simple_example_is_written_byte_for_byte() {
    assert_eq!(written(&simple()), SIMPLE);
}

#[test]
fn the_example_with_templates_is_read() {
    let mut decoder = Decoder::new();
    let record = decoder.event(TEMPLATES).unwrap();
    // The section's text has another time and record number than its bytes: these are the bytes'.
    let expected = concat!(
        r#"<Event xmlns="http://schemas.microsoft.com/win/2004/08/events/event"><System>"#,
        r#"<Provider Name="Microsoft-Windows-Wevttest" Guid="{03f41308-fa7b-4fb3-98b8-c2ed0a40d1ef}"/>"#,
        r#"<EventID>100</EventID><Version>0</Version><Level>1</Level><Task>100</Task>"#,
        r#"<Opcode>1</Opcode><Keywords>0x4000000000e00000</Keywords>"#,
        r#"<TimeCreated SystemTime="2006-06-14T21:40:54.6258076Z"/>"#,
        r#"<EventRecordID>6</EventRecordID><Correlation/>"#,
        r#"<Execution ProcessID="2088" ThreadID="2464"/>"#,
        r#"<Channel>Microsoft-Windows-Wevttest/Operational/Wevttest</Channel>"#,
        r#"<Computer>michaelm4-lh.ntdev.corp.microsoft.com</Computer>"#,
        r#"<Security UserID="S-1-5-21-397955417-626881126-188441444-2967838"/></System>"#,
        r#"<UserData><MyEvent xmlns:auto-ns2="http://schemas.microsoft.com/win/2004/08/events" xmlns="myNs">"#,
        r#"<Property>1</Property><Property2>2</Property2></MyEvent></UserData></Event>"#,
    );
    assert_eq!(xml(&record), expected);
    assert_eq!(record.field(Field::EventId).as_u64(), Some(100));
    assert!(record.field(Field::Qualifiers).is_null());
    assert!(record.field(Field::ActivityId).is_null());
    assert_eq!(
        record.field(Field::UserId).to_string(),
        "S-1-5-21-397955417-626881126-188441444-2967838"
    );
    let event = Event::from_source(&record);
    assert_eq!(xml(&event), expected);
}

#[test]
fn the_example_with_templates_is_written_byte_for_byte() {
    // A definition may begin with a fragment header or not. The example's outer one does, its
    // inner one doesn't; ours always do.
    const INNER_VALUE_LENGTH: usize = 0x559;
    const INNER_LENGTH: usize = 0x5b6;
    const INNER: usize = 0x5ba;
    let mut expected = TEMPLATES.to_vec();
    expected[INNER_VALUE_LENGTH] += 4;
    expected[INNER_LENGTH] += 4;
    expected.splice(INNER..INNER, [0x0f, 1, 1, 0]);
    let bytes = written(&templates());
    let differing = bytes.iter().zip(&expected).position(|(a, b)| a != b);
    assert_eq!((differing, bytes.len()), (None, expected.len()));
}

/// An event captured from Windows, with the XML that Windows showed for it, from the test data of
/// another project; not part of this repository.
#[test]
fn an_event_captured_from_windows_is_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/rigs/even6/fixtures");
    let Ok(bytes) = std::fs::read(format!("{folder}/event-28493.bin")) else {
        println!("the capture is not here, so it was not read");
        return;
    };
    let mut decoder = Decoder::new();
    let record = decoder.event(&bytes).unwrap();
    let windows = std::fs::read_to_string(format!("{folder}/event-28493.xml")).unwrap();
    // Windows' GUIDs were in upper case then, and its times had nine digits.
    let windows = windows
        .replace("54849625-5478-4994-A5BA-3E3B0328C30D", "54849625-5478-4994-a5ba-3e3b0328c30d")
        .replace(".295235300Z", ".2952353Z")
        .replace(" />", "/>");
    let windows: String = windows.lines().map(str::trim).collect();
    assert_eq!(xml(&record), windows);
}
