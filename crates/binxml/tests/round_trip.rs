//! What is written is read: any event, in both dialects, and by field as well as whole.

mod generate;

use std::ops::ControlFlow;

use generate::{Flavour, fragment, rendered};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use quarry_binxml::Decoder;
use quarry_binxml::write::{ChunkTables, Element, Fragment, templated, wire};
use quarry_event::{Event, Field, FieldSource};

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

/// The record is the expected event, and a decoded one agrees with it on every field and value.
fn check(record: &impl FieldSource, expected: &Event) -> Result<(), TestCaseError> {
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
    let [raw, decoded] = out.map(|xml| String::from_utf8(xml).unwrap());
    prop_assert_eq!(raw, decoded);
    Ok(())
}

fn check_wire(
    decoder: &mut Decoder,
    fragment: &Fragment<'_>,
    expected: &Event,
) -> Result<(), TestCaseError> {
    let mut bytes = Vec::new();
    wire(fragment, &mut bytes).unwrap();
    check(&decoder.event(&bytes).unwrap(), expected)
}

proptest! {
    #[test]
    fn events_on_the_wire_are_read_as_they_were_written(
        fragments in prop::collection::vec(fragment(Flavour::Any), 1..3)
    ) {
        let mut decoder = Decoder::new();
        for fragment in &fragments {
            check_wire(&mut decoder, fragment, &rendered(fragment))?;
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
        let mut decoder = Decoder::new();
        let mut decoder = decoder.chunk(&chunk);
        for (range, fragment) in ranges.into_iter().zip(fragments.iter().chain(&fragments)) {
            check(&decoder.event(range).unwrap(), &rendered(fragment))?;
        }
    }

    #[test]
    fn a_decoded_event_is_the_same_when_it_is_written_again(fragment in fragment(Flavour::Any)) {
        let event = rendered(&fragment);
        let mut decoder = Decoder::new();
        let literal = Fragment::Element(Element::from(&event.root));
        check_wire(&mut decoder, &literal, &event)?;
        let templated = Fragment::from(templated(&event).unwrap());
        check_wire(&mut decoder, &templated, &event)?;
    }
}
