//! BinXML as a server sends it: any bytes.

use quarry_binxml::Decoder;
use quarry_binxml::write::{Element, Fragment, templated, wire};
use quarry_event::Event;

use super::use_event::{compare_head, known, names, use_event};

pub fn run(data: &[u8]) {
    let mut decoder = Decoder::new();
    let Ok(record) = decoder.event(data) else { return };
    use_event(&record);
    // What is read can be written, if it isn't too large, and is the same event then.
    let event = Event::from_source(&record);
    let names = names(&record);
    let mut head = None;
    let again = decoder.event_if(data, |event| {
        head = Some(known(event, &names));
        true
    });
    let again = again.expect("it was read before").expect("it is wanted");
    if let Some(head) = head {
        compare_head(&head, &known(&again, &names));
    }
    let literal = Fragment::Element(Element::from(&event.root));
    let templated = templated(&event).map(Fragment::from);
    for fragment in [Ok(literal), templated].into_iter().flatten() {
        let mut bytes = Vec::new();
        if wire(&fragment, &mut bytes).is_ok() {
            let mut decoder = Decoder::new();
            let again = decoder.event(&bytes).expect("what is written is read");
            assert_eq!(Event::from_source(&again), event);
        }
    }
}
