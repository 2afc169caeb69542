//! Small files that print much.

use quarry_binxml::write::{
    Content, Element, Fragment, Instance, Piece, Template, TypedValue, ValueType,
};
use quarry_event::{EventTime, Guid};
use quarry_logfile::EvtxWriter;

/// How often each of two templates shows its value, one inside the other.
const TIMES: usize = 200;

/// What is shown.
const VALUE: usize = 100;

/// What each record prints at least.
pub(crate) const PRINTED: usize = TIMES * TIMES * VALUE;

/// A file of so many records, all in one chunk, whose templates nest.
pub(crate) fn nested(records: u64) -> Vec<u8> {
    let shows = |name: &str| {
        let mut element = Element::new(name);
        for _ in 0..TIMES {
            element.content.push(Content::Piece(Piece::value(0, ValueType::BinXml)));
        }
        element
    };
    let instance = |id: u8, root: Element, value: TypedValue<'static>| {
        let template = Template::new(Guid::from_bytes([id; 16]), root).unwrap();
        Fragment::Instance(Instance { template, values: vec![value] })
    };
    let system = Element::new("System").child(Element::new("Channel").text("System"));
    let event = Element::new("Event").child(system).child(shows("EventData"));
    let mut writer = EvtxWriter::new(std::io::Cursor::new(Vec::new())).unwrap();
    for _ in 0..records {
        let value = TypedValue::String("x".repeat(VALUE).into());
        let inner = TypedValue::BinXml(Box::new(instance(2, shows("Data"), value)));
        let fragment = instance(1, event.clone(), inner);
        writer.write(&fragment, EventTime::from_filetime(1 << 56)).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// The most memory that a program has held, in bytes.
pub(crate) fn peak(child: &std::process::Child) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}
