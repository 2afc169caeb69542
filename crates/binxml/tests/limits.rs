//! Records that are small and would print without end, or nest without end: refused soon, with
//! the limit that they pass.

use std::time::{Duration, Instant};

use quarry_binxml::write::{
    Content, Element, Fragment, Instance, Piece, Template, TypedValue, ValueType, WriteError, wire,
};
use quarry_binxml::{Decoder, Fault, Limits};
use quarry_event::{Event, FieldSource, Guid};

/// Far more than a refusal takes, in a test profile on a busy machine.
const SOON: Duration = Duration::from_secs(20);

fn written(fragment: &Fragment<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire(fragment, &mut bytes).unwrap();
    bytes
}

#[track_caller]
fn assert_refused(bytes: &[u8], limit: &'static str) {
    let start = Instant::now();
    let mut decoder = Decoder::new();
    let fault = decoder.event(bytes).map(drop).unwrap_err().fault;
    assert_eq!(fault, Fault::Limit(limit));
    assert!(start.elapsed() < SOON, "it took {:?}", start.elapsed());
}

fn instance<'a>(root: Element, values: Vec<TypedValue<'a>>) -> Fragment<'a> {
    let template = Template::new(Guid::from_bytes([1; 16]), root).unwrap();
    Fragment::Instance(Instance { template, values })
}

fn event(child: Element) -> Element {
    Element::new("Event").child(child)
}

/// An element that shows a value as often.
fn shows(id: u16, times: usize) -> Element {
    let mut element = Element::new("Data");
    for _ in 0..times {
        element.content.push(Content::Piece(Piece::value(id, ValueType::BinXml)));
    }
    element
}

#[test]
fn templates_that_show_a_value_again_and_again_are_refused() {
    let mut value = TypedValue::String("ha".into());
    for _ in 0..Limits::INSTANCE_DEPTH - 1 {
        value = TypedValue::BinXml(Box::new(instance(shows(0, 20), vec![value])));
    }
    let bytes = written(&instance(event(shows(0, 20)), vec![value]));
    assert!(bytes.len() < 10_000);
    assert_refused(&bytes, "text in an event");
}

#[test]
fn arrays_that_repeat_a_large_element_are_refused() {
    let large = Element::new("Data")
        .attribute("Name", "x".repeat(Limits::TEMPLATE_TEXT / 2))
        .piece(Piece::value(0, ValueType::UInt8Array));
    let items = vec![TypedValue::UInt8(0); 65_535];
    let array = TypedValue::Array { of: ValueType::UInt8, items };
    assert_refused(&written(&instance(event(large), vec![array])), "text in an event");
}

#[test]
fn a_large_value_shown_often_is_refused() {
    let value = TypedValue::String("x".repeat(32_767).into());
    let bytes = written(&instance(event(shows(0, 8_000)), vec![value]));
    assert_refused(&bytes, "text in an event");
}

#[test]
fn names_of_data_that_are_large_values_are_put_together_within_bounds() {
    let mut data = Element::new("EventData");
    for _ in 0..2_000 {
        let name = vec![Piece::value(0, ValueType::String), Piece::value(0, ValueType::String)];
        data = data.child(Element::new("Data").attribute_of("Name", name));
    }
    let value = TypedValue::String("x".repeat(32_767).into());
    assert_refused(&written(&instance(event(data), vec![value])), "text in an event");
}

#[test]
fn an_event_that_prints_much_is_still_read() {
    let value = TypedValue::String("x".repeat(32_000).into());
    let bytes = written(&instance(event(shows(0, 100)), vec![value]));
    let mut decoder = Decoder::new();
    let mut xml = Vec::new();
    decoder.event(&bytes).unwrap().write_xml(&mut xml);
    assert!(xml.len() > 3_200_000);
}

#[test]
fn elements_inside_one_another_are_read_up_to_the_limit() {
    let nested =
        |depth| (1..depth).fold(Element::new("a"), |inner, _| Element::new("a").child(inner));
    let deep = Fragment::Element(nested(Limits::ELEMENT_DEPTH));
    let mut decoder = Decoder::new();
    let read = Event::from_source(&decoder.event(&written(&deep)).unwrap());
    let mut depth = 1;
    let mut element = &read.root;
    while let Some(child) = element.child("a") {
        element = child;
        depth += 1;
    }
    assert_eq!(depth, Limits::ELEMENT_DEPTH);

    let deeper = Fragment::Element(nested(Limits::ELEMENT_DEPTH + 1));
    let error = wire(&deeper, &mut Vec::new()).unwrap_err();
    assert_eq!(error, WriteError::Limit("elements inside one another"));
    // Start tags without end, each of an element without attributes called `a`.
    let mut bytes = vec![0x0f, 1, 1, 0];
    for _ in 0..100_000 {
        bytes.extend_from_slice(&[0x01, 0xff, 0xff, 0, 0, 97, 0, 1, 0, 97, 0, 0, 0, 0x02]);
    }
    assert_refused(&bytes, "elements inside one another");
}

#[test]
fn thousands_of_attributes_are_refused() {
    // One element with attributes a0, a1, and so on, each `x`.
    let mut bytes = vec![0x0f, 1, 1, 0, 0x41, 0, 0, 0, 0, 97, 0, 1, 0, 97, 0, 0, 0, 0, 0, 0, 0];
    for i in 0..5_000 {
        let name: Vec<u16> = format!("a{i}").encode_utf16().collect();
        bytes.extend_from_slice(&[0x46, 0, 0, name.len() as u8, 0]);
        name.iter().for_each(|unit| bytes.extend_from_slice(&unit.to_le_bytes()));
        bytes.extend_from_slice(&[0, 0, 0x05, 1, 1, 0, b'x', 0]);
    }
    assert_refused(&bytes, "attributes");
}

#[test]
fn templates_inside_one_another_are_read_up_to_the_limit() {
    let nested = |depth| {
        let mut value = TypedValue::String("innermost".into());
        for _ in 1..depth {
            value = TypedValue::BinXml(Box::new(instance(shows(0, 1), vec![value])));
        }
        instance(event(shows(0, 1)), vec![value])
    };
    let mut decoder = Decoder::new();
    let bytes = written(&nested(Limits::INSTANCE_DEPTH + 1));
    let mut xml = Vec::new();
    decoder.event(&bytes).unwrap().write_xml(&mut xml);
    assert!(String::from_utf8(xml).unwrap().contains(">innermost<"));
    let error = wire(&nested(Limits::INSTANCE_DEPTH + 2), &mut Vec::new()).unwrap_err();
    assert_eq!(error, WriteError::Limit("instances inside one another"));

    // As bytes first, which are then said to be BinXML.
    let inner = written(&nested(Limits::INSTANCE_DEPTH + 1));
    let outer = instance(event(shows(0, 1)), vec![TypedValue::Binary((&inner).into())]);
    let mut bytes = written(&outer);
    let descriptor = [(inner.len() as u16).to_le_bytes().as_slice(), &[0x0e, 0]].concat();
    let at = bytes.windows(4).position(|window| window == descriptor).unwrap();
    bytes[at + 2] = ValueType::BinXml.code();
    assert_refused(&bytes, "instances inside one another");
}

#[test]
fn more_values_than_there_are_bytes_for_are_refused() {
    let bytes = written(&instance(event(shows(0, 1)), vec![TypedValue::Null]));
    let count = bytes.len() - 9;
    assert_eq!(bytes[count..count + 4], [1, 0, 0, 0]);
    for claimed in [u32::MAX, 1 << 31, Limits::VALUES as u32 + 1] {
        let mut bytes = bytes.clone();
        bytes[count..count + 4].copy_from_slice(&claimed.to_le_bytes());
        assert_refused(&bytes, "values");
    }
}
