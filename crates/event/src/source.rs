//! What a filter can test and an output can print, whatever form an event is in.

use std::ops::ControlFlow;

use crate::{Field, Value};

/// Something that has an event's fields: an undecoded BinXML record, a decoded [`Event`](crate::Event).
///
/// Two sources of one event give values of the same text, if not of the same type: a decoded
/// event may hold as text what a record holds as a number.
pub trait FieldSource {
    /// A field of `<System>`; NULL where the event has none.
    fn field(&self, field: Field) -> Value<'_>;

    /// The values of `<EventData>`, in the event's order, until `visit` breaks. An element with
    /// elements inside stands for these.
    fn each_data<'a, F>(&'a self, visit: F) -> ControlFlow<()>
    where
        F: FnMut(Option<DataName<'a>>, Value<'a>) -> ControlFlow<()>;

    /// The whole event as a tree, in document order, beginning with `<Event>`. Elements and
    /// attributes that depend on a NULL value are left out.
    fn walk<'a, S: Sink<'a>>(&'a self, sink: &mut S);

    /// Writes the event as XML in its canonical form, on one line but for line ends in values.
    fn write_xml(&self, out: &mut Vec<u8>) {
        self.walk(&mut crate::output::xml::XmlSink::new(out));
    }

    /// Whether the event has something that neither a field nor [`each_data`](Self::each_data)
    /// gives: user data, rendering information, debug or error data, elements of others.
    fn has_more(&self) -> bool {
        true
    }
}

/// Takes an event's tree in document order.
pub trait Sink<'a> {
    /// An element begins.
    fn open(&mut self, name: &'a str);
    /// An attribute of the element that has just begun; its text is that of the pieces together.
    fn attribute(&mut self, name: &'a str, pieces: &[Value<'a>]);
    /// Text in the innermost element.
    fn text(&mut self, value: Value<'a>);
    /// The innermost element ends. `empty` says that it was written as `<a/>`.
    fn close(&mut self, name: &'a str, empty: bool);
}

/// The name of a value of `<EventData>`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DataName<'a> {
    text: &'a str,
    plain: bool,
}

impl<'a> DataName<'a> {
    /// A name.
    pub fn new(text: &'a str) -> Self {
        let plain = text.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\');
        DataName { text, plain }
    }

    /// A name of which it is known whether JSON can hold it as it is, from
    /// [`is_plain`](Self::is_plain).
    pub fn with_plain(text: &'a str, plain: bool) -> Self {
        DataName { text, plain }
    }

    /// The name.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// Whether the name is printable ASCII that no output needs to escape in JSON.
    pub fn is_plain(&self) -> bool {
        self.plain
    }
}

/// Where an event was read, which is its identity: source, log and record number there. What the
/// event says of itself can differ: a forwarded event carries its origin's number, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The server or file.
    pub source: &'a str,
    /// The host, where it is known apart from the event (a server has one, a file hasn't).
    pub host: Option<&'a str>,
    /// The log there.
    pub log: &'a str,
    /// The record number there.
    pub log_record: Option<u64>,
}
