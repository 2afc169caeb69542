//! XML: one canonical form of what Windows renders.
//!
//! GUIDs are lowercase in braces, times have seven digits, elements and attributes that depend on
//! a NULL value are left out; attributes are in double quotes.

use crate::text::{XmlAttribute, XmlText};
use crate::{Sink, Value};

/// Writes an event's tree as XML.
pub struct XmlSink<'o> {
    out: &'o mut Vec<u8>,
    /// Whether the start tag of the innermost element is still to be closed with `>`.
    in_tag: bool,
}

impl<'o> XmlSink<'o> {
    /// Writes to the end of `out`.
    pub fn new(out: &'o mut Vec<u8>) -> Self {
        XmlSink { out, in_tag: false }
    }

    fn end_tag(&mut self) {
        if std::mem::take(&mut self.in_tag) {
            self.out.push(b'>');
        }
    }
}

impl<'a> Sink<'a> for XmlSink<'_> {
    fn open(&mut self, name: &'a str) {
        self.end_tag();
        self.out.push(b'<');
        self.out.extend_from_slice(name.as_bytes());
        self.in_tag = true;
    }

    fn attribute(&mut self, name: &'a str, pieces: &[Value<'a>]) {
        self.out.push(b' ');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"=\"");
        pieces.iter().for_each(|piece| piece.push::<XmlAttribute>(self.out));
        self.out.push(b'"');
    }

    fn text(&mut self, value: Value<'a>) {
        self.end_tag();
        value.push::<XmlText>(self.out);
    }

    fn close(&mut self, name: &'a str, empty: bool) {
        if self.in_tag && empty {
            self.out.extend_from_slice(b"/>");
            self.in_tag = false;
            return;
        }
        self.end_tag();
        self.out.extend_from_slice(b"</");
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'>');
    }
}
