//! What is written is read: any event, in both dialects, and by field as well as whole.

mod generate;

use std::collections::HashMap;
use std::ops::ControlFlow;

use generate::{Flavour, fragment, rendered, replace_values, value};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use quarry_binxml::Decoder;
use quarry_binxml::write::{
    ChunkTables, Element, Fragment, Instance, Piece, Template, TypedValue, ValueType, templated,
    wire,
};
use quarry_event::layout::Part;
use quarry_event::output::{Column, CsvOptions, Member, Printer, Scratch};
use quarry_event::{Event, Field, FieldSource, Guid, Origin, Sink, Texts, Value};

const CHUNK: usize = 65_536;
const CHUNK_HEADER: usize = 512;

/// The values of `<EventData>`, with their names, as text.
fn data(source: &impl FieldSource) -> Vec<(Option<String>, String)> {
    let mut data = Vec::new();
    let _ = source.each_data(|name, value| {
        data.push((name.map(|name| name.as_str().to_owned()), value.to_string()));
        ControlFlow::Continue(())
    });
    data
}

/// The record is the expected event, and a decoded one agrees with it on every field and value, and is
/// printed alike. What is kept from record to record in `scratch` makes no difference.
fn check(
    record: &impl FieldSource,
    expected: &Event,
    scratch: &mut Scratch,
) -> Result<(), TestCaseError> {
    let decoded = Event::from_source(record);
    prop_assert_eq!(&decoded, expected);
    for field in Field::all() {
        let (raw, decoded) = (record.field(field), decoded.field(field));
        prop_assert_eq!(raw.is_null(), decoded.is_null(), "{:?} is NULL", field);
        prop_assert_eq!(raw.to_string(), decoded.to_string(), "{:?}", field);
    }
    prop_assert_eq!(data(record), data(&decoded));
    // A record may take something for there that NULL drops, never the other way round.
    prop_assert!(record.has_more() || !decoded.has_more());
    let mut out = [Vec::new(), Vec::new()];
    record.write_xml(&mut out[0]);
    decoded.write_xml(&mut out[1]);
    let [raw, whole] = out.map(|xml| String::from_utf8(xml).unwrap());
    prop_assert_eq!(raw, whole);
    let members = ["user_data", "other", "message", "data"];
    let members = members.map(|name| Column::parse(name).unwrap()).to_vec();
    let message = Some(vec![Column::parse("message").unwrap()]);
    let csv = CsvOptions { columns: message, ..CsvOptions::default() };
    // Those in the order of JSON are written together, between others that look at the same things.
    let apart = [Member::Recovered, Member::Names, Member::Rules, Member::Other];
    let in_order = Member::all().filter(|member| !apart.contains(member)).map(Column::Member);
    let around = members.iter().cloned().chain(in_order).chain(members.iter().cloned()).collect();
    for printer in [
        Printer::jsonl(None),
        Printer::jsonl(Some(members)),
        Printer::jsonl(Some(around)),
        Printer::csv(csv),
    ] {
        // The second time, its layout is known.
        for _ in 0..2 {
            let raw = printed(&printer, record, scratch);
            prop_assert_eq!(raw, printed(&printer, &decoded, &mut Scratch::default()));
        }
    }
    Ok(())
}

fn printed(printer: &Printer, event: &impl FieldSource, scratch: &mut Scratch) -> String {
    let origin = Origin { source: "s", host: None, log: "l", log_record: None, recovered: false };
    let mut out = Vec::new();
    printer.event(event, &origin, Texts::default(), scratch, &mut out);
    String::from_utf8(out).unwrap()
}

fn check_wire(
    decoder: &mut Decoder,
    fragment: &Fragment<'_>,
    expected: &Event,
    scratch: &mut Scratch,
) -> Result<(), TestCaseError> {
    let mut bytes = Vec::new();
    wire(fragment, &mut bytes).unwrap();
    check(&decoder.event(&bytes).unwrap(), expected, scratch)
}

#[test]
fn events_of_one_template_have_one_layout_until_other_values_are_there() {
    let value = |name: &str, id| Element::new(name).piece(Piece::value(id, ValueType::String));
    let root = Element::new("Event").child(Element::new("System")).child(
        Element::new("UserData")
            .child(Element::new("Outer").child(value("A", 0)).child(value("B", 1).depends_on(1))),
    );
    let template = Template::new(Guid::from_bytes([7; 16]), root).unwrap();
    let mut decoder = Decoder::new();
    let mut layout = |a: &'static str, b: Option<&'static str>| {
        let text = |text: &'static str| TypedValue::String(text.into());
        let values = vec![text(a), b.map_or(TypedValue::Null, text)];
        let fragment = Fragment::Instance(Instance { template: template.clone(), values });
        let mut bytes = Vec::new();
        wire(&fragment, &mut bytes).unwrap();
        let (mut key, record) = (Vec::new(), decoder.event(&bytes).unwrap());
        assert!(record.layout(Part::More, &mut key));
        assert_eq!([record.slot(0).to_string(), record.slot(1).to_string()], [a, b.unwrap_or("")]);
        key
    };
    let known = layout("x", Some("y"));
    assert_eq!(layout("longer", Some("other")), known);
    assert_ne!(layout("x", None), known);
    assert_ne!(layout("", Some("y")), known);
}

/// What a walk gives, step by step.
#[derive(Default)]
struct Steps(Vec<String>);

impl<'a> Sink<'a> for Steps {
    fn open(&mut self, name: &'a str) {
        self.0.push(format!("<{name}"));
    }

    fn attribute(&mut self, name: &'a str, pieces: &[Value<'a>]) {
        self.0.push(format!("{name}={pieces:?}"));
    }

    fn text(&mut self, value: Value<'a>) {
        self.0.push(format!("{value:?}"));
    }

    fn close(&mut self, name: &'a str, empty: bool) {
        self.0.push(format!("{name}> {empty}"));
    }
}

/// Records of one layout are one tree, but for the text of their values.
fn check_layout(
    record: &impl FieldSource,
    known: &mut HashMap<Vec<u64>, Vec<String>>,
) -> Result<(), TestCaseError> {
    let mut key = Vec::new();
    if record.layout(Part::Whole, &mut key) {
        let mut steps = Steps::default();
        record.walk_layout(&mut steps);
        let known = known.entry(key).or_insert_with(|| steps.0.clone());
        prop_assert_eq!(&steps.0, known);
    }
    Ok(())
}

proptest! {
    #[test]
    fn events_on_the_wire_are_read_as_they_were_written(
        fragments in prop::collection::vec(fragment(Flavour::Any), 1..3)
    ) {
        let (mut decoder, mut scratch) = (Decoder::new(), Scratch::default());
        for fragment in &fragments {
            check_wire(&mut decoder, fragment, &rendered(fragment), &mut scratch)?;
        }
    }

    #[test]
    fn events_in_a_chunk_are_read_as_they_were_written(
        fragments in prop::collection::vec(fragment(Flavour::Any), 1..4)
    ) {
        let mut tables = ChunkTables::default();
        let mut chunk = vec![0; CHUNK_HEADER];
        let mut ranges = Vec::new();
        // The second time, names and definitions are there already.
        for fragment in fragments.iter().chain(&fragments) {
            let start = chunk.len();
            tables.write(fragment, &mut chunk, CHUNK).unwrap();
            ranges.push(start..chunk.len());
        }
        prop_assert!(ranges[fragments.len()].len() <= ranges[0].len());
        let (mut decoder, mut scratch) = (Decoder::new(), Scratch::default());
        let mut decoder = decoder.chunk(&chunk);
        for (range, fragment) in ranges.into_iter().zip(fragments.iter().chain(&fragments)) {
            check(&decoder.event(range).unwrap(), &rendered(fragment), &mut scratch)?;
        }
    }

    /// Events of one template have one layout, or another where other values are there.
    #[test]
    fn events_of_one_template_are_read_as_they_were_written(
        fragment in fragment(Flavour::Any),
        others in prop::collection::vec(prop::collection::vec(value(Flavour::Any), 14), 1..6)
    ) {
        let (mut decoder, mut scratch) = (Decoder::new(), Scratch::default());
        let mut layouts = HashMap::new();
        check_wire(&mut decoder, &fragment, &rendered(&fragment), &mut scratch)?;
        for values in others {
            let mut fragment = fragment.clone();
            replace_values(&mut fragment, &mut values.into_iter());
            check_wire(&mut decoder, &fragment, &rendered(&fragment), &mut scratch)?;
            let mut bytes = Vec::new();
            wire(&fragment, &mut bytes).unwrap();
            check_layout(&decoder.event(&bytes).unwrap(), &mut layouts)?;
        }
    }

    #[test]
    fn a_decoded_event_is_the_same_when_it_is_written_again(fragment in fragment(Flavour::Any)) {
        let event = rendered(&fragment);
        let (mut decoder, mut scratch) = (Decoder::new(), Scratch::default());
        let literal = Fragment::Element(Element::from(&event.root));
        check_wire(&mut decoder, &literal, &event, &mut scratch)?;
        let templated = Fragment::from(templated(&event).unwrap());
        check_wire(&mut decoder, &templated, &event, &mut scratch)?;
    }
}
