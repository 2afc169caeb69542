//! XML: one canonical form of what Windows renders.
//!
//! GUIDs are lowercase in braces, times have seven digits, elements and attributes that depend on
//! a NULL value are left out; attributes are in double quotes. Of an event that was recovered from
//! slack `<Event>` has the attribute `recovered`, which Windows doesn't know.

use crate::text::{XmlAttribute, XmlText};
use crate::{FieldSource, Sink, Value};

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

/// Writes an event with an attribute that says it was recovered from slack.
pub(super) fn write_recovered<S: FieldSource>(source: &S, out: &mut Vec<u8>) {
    source.walk(&mut Recovered { sink: XmlSink::new(out), told: false });
}

/// Marks the first element.
struct Recovered<'o> {
    sink: XmlSink<'o>,
    told: bool,
}

impl<'a> Sink<'a> for Recovered<'_> {
    fn open(&mut self, name: &'a str) {
        self.sink.open(name);
        if !std::mem::replace(&mut self.told, true) {
            self.sink.attribute("recovered", &[Value::Str("true")]);
        }
    }

    fn attribute(&mut self, name: &'a str, pieces: &[Value<'a>]) {
        self.sink.attribute(name, pieces);
    }

    fn text(&mut self, value: Value<'a>) {
        self.sink.text(value);
    }

    fn close(&mut self, name: &'a str, empty: bool) {
        self.sink.close(name, empty);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quick_xml::Reader;
    use quick_xml::events::Event as Token;

    use crate::output::fake::{Fake, element, logon, text};
    use crate::output::{Printer, Scratch};
    use crate::{Field, Origin, Texts, Utf16, Value};

    const ORIGIN: Origin<'_> =
        Origin { source: "", host: None, log: "", log_record: None, recovered: false };

    fn document(events: &[Fake]) -> String {
        let printer = Printer::xml();
        let mut out = Vec::new();
        let mut document = printer.document();
        for event in events {
            let mut text = Vec::new();
            printer.event(event, &ORIGIN, Texts::default(), &mut Scratch::default(), &mut text);
            document.events(&text, &mut out).unwrap();
        }
        document.finish(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// The text of each element and attribute with the name.
    fn read(document: &str, name: &str) -> Vec<String> {
        let mut reader = Reader::from_str(document);
        reader.config_mut().check_end_names = true;
        let mut found = Vec::new();
        let mut inside = false;
        let mut depth = 0;
        loop {
            match reader.read_event().unwrap() {
                Token::Eof => break,
                Token::Start(start) => {
                    depth += 1;
                    for attribute in start.attributes() {
                        let attribute = attribute.unwrap();
                        let value =
                            attribute.normalized_value(quick_xml::XmlVersion::Explicit1_0).unwrap();
                        if attribute.key.as_ref() == name {
                            found.push(value.into_owned());
                        }
                    }
                    inside = start.name().as_ref() == name;
                    if inside {
                        found.push(String::new());
                    }
                }
                Token::End(_) => {
                    depth -= 1;
                    inside = false;
                }
                Token::Text(text) if inside => {
                    found.last_mut().unwrap().push_str(&text.xml10_content());
                }
                Token::GeneralRef(reference) if inside => {
                    let c = match reference.resolve_char_ref().unwrap() {
                        Some(c) => c.to_string(),
                        None => match reference.as_ref() {
                            "amp" => "&".into(),
                            "lt" => "<".into(),
                            "gt" => ">".into(),
                            other => panic!("{other}"),
                        },
                    };
                    found.last_mut().unwrap().push_str(&c);
                }
                _ => {}
            }
        }
        assert_eq!(depth, 0);
        found
    }

    #[test]
    fn events_are_lines_of_one_document() {
        let expected = concat!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Events>\n",
            "<Event xmlns=\"http://schemas.microsoft.com/win/2004/08/events/event\">",
            "<System><EventID>1</EventID></System>",
            "<UserData><A>&lt;</A></UserData></Event>\n",
            "<Event xmlns=\"http://schemas.microsoft.com/win/2004/08/events/event\">",
            "<System></System></Event>\n",
            "</Events>\n"
        );
        let mut event = Fake::new(&[(Field::EventId, Value::UInt(1))], &[]);
        event.more.push(element("UserData", &[], vec![text("A", "<")]));
        assert_eq!(document(&[event, Fake::default()]), expected);
    }

    proptest! {
        #[test]
        fn whatever_the_values_the_document_holds_them(
            units in prop::collection::vec(prop_oneof![3 => 0x20u16..0x7f, 1 => any::<u16>()], 0..30),
        ) {
            let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
            let leaked: &'static [u8] = bytes.clone().leak();
            // As XML 1.0 can hold it (section 2.2).
            let expected: String = Utf16::new(leaked).chars().map(|c| match c {
                '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'.. => c,
                _ => '\u{fffd}',
            }).collect();
            let mut event = logon();
            event.fields.insert(0, (Field::Computer, Value::Utf16(Utf16::new(leaked))));
            event.fields.insert(0, (Field::ProviderGuid, Value::Utf16(Utf16::new(leaked))));
            event.data.push((None, bytes));
            let document = document(&[event]);
            prop_assert_eq!(read(&document, "Computer"), [expected.clone()]);
            prop_assert_eq!(read(&document, "Guid"), [expected.clone()]);
            prop_assert_eq!(&read(&document, "Data")[2], &expected);
        }
    }
}
