//! Events of a few hundred bytes that print megabytes.

use quarry_binxml::write::{
    Content, Element, Fragment, Instance, Piece, Template, TypedValue, ValueType, wire,
};
use quarry_event::Guid;

/// How often each of two templates shows its value, one inside the other.
const TIMES: usize = 200;

/// The characters of the value that is shown.
const VALUE: usize = 100;

/// The bytes that a [`nested_event`] prints at least.
pub const NESTED_SIZE: usize = TIMES * TIMES * VALUE;

/// An event of the log System whose template shows its value many times over, and whose value is
/// an instance of a template that does so too. It is valid, and expands to [`NESTED_SIZE`] bytes
/// and more.
pub fn nested_event() -> Fragment<'static> {
    let shows = |name: &str| {
        let mut element = Element::new(name);
        for _ in 0..TIMES {
            element.content.push(Content::Piece(Piece::value(0, ValueType::BinXml)));
        }
        element
    };
    let instance = |id: u8, root: Element, value: TypedValue<'static>| {
        let template = Template::new(Guid::from_bytes([id; 16]), root).expect("a valid template");
        Fragment::Instance(Instance { template, values: vec![value] })
    };
    let system = Element::new("System").child(Element::new("Channel").text("System"));
    let event = Element::new("Event").child(system).child(shows("EventData"));
    let value = TypedValue::String("x".repeat(VALUE).into());
    let inner = TypedValue::BinXml(Box::new(instance(2, shows("Data"), value)));
    instance(1, event, inner)
}

/// The same as a server sends it.
pub(crate) fn binxml() -> Vec<u8> {
    let mut out = Vec::new();
    wire(&nested_event(), &mut out).expect("a valid event");
    out
}
