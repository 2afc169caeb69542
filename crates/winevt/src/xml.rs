//! An event's XML, as `EvtRender` writes it, made into an [`Event`].
//!
//! What Windows writes is taken as it is where a parser might refuse it: control characters and
//! references to them are in real events. Text is not normalised, so line ends and blanks in
//! values stay.

use quarry_event::{Element, Event, EventTime, Field, Guid, Node, Value};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event as Token};

use crate::error::Error;

/// The deepest nesting; MS-EVEN6's BinXML has no deeper one in practice, and an event's tree is
/// walked recursively.
const MAX_DEPTH: usize = 64;

/// Reads one event.
pub(crate) fn parse(xml: &str) -> Result<Event, Error> {
    root(xml).map(canonical)
}

/// The root element.
fn root(xml: &str) -> Result<Element, Error> {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = true;
    let mut open: Vec<Element> = Vec::new();
    loop {
        match reader.read_event().map_err(|_| Error::Xml("it is not well-formed"))? {
            Token::Start(_) if open.len() >= MAX_DEPTH => {
                return Err(Error::Xml("its elements are nested too deep"));
            }
            Token::Start(start) => open.push(element(&start)?),
            Token::Empty(start) => {
                let element = Element { closed_empty: true, ..element(&start)? };
                if let Some(root) = close(&mut open, element) {
                    return Ok(root);
                }
            }
            Token::End(_) => {
                let Some(element) = open.pop() else {
                    return Err(Error::Xml("an element ends that didn't begin"));
                };
                if let Some(root) = close(&mut open, element) {
                    return Ok(root);
                }
            }
            Token::Text(text) => push_text(&mut open, &text),
            Token::CData(text) => push_text(&mut open, &text),
            Token::GeneralRef(name) => {
                let text = resolve(&name).map_or_else(|| format!("&{};", &*name), String::from);
                push_text(&mut open, &text);
            }
            Token::Eof => return Err(Error::Xml("it ends before the event does")),
            Token::Comment(_) | Token::Decl(_) | Token::PI(_) | Token::DocType(_) => {}
        }
    }
}

/// Puts an element that has ended into the one around it; gives it back if it is the root.
fn close(open: &mut [Element], element: Element) -> Option<Element> {
    match open.last_mut() {
        Some(parent) => {
            parent.children.push(Node::Element(element));
            None
        }
        None => Some(element),
    }
}

fn element(start: &BytesStart<'_>) -> Result<Element, Error> {
    let mut element = Element::new(start.name().as_ref());
    for attribute in start.attributes().with_checks(false) {
        let attribute = attribute.map_err(|_| Error::Xml("an attribute is not well-formed"))?;
        element.attributes.push((attribute.key.as_ref().to_owned(), unescape(&attribute.value)));
    }
    Ok(element)
}

fn push_text(open: &mut [Element], text: &str) {
    let Some(element) = open.last_mut() else { return };
    match element.children.last_mut() {
        _ if text.is_empty() => {}
        Some(Node::Text(before)) => before.push_str(text),
        _ => element.children.push(Node::Text(text.to_owned())),
    }
}

/// The text of an attribute's value. What isn't a reference stays as it is.
fn unescape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, behind)) = rest.split_once('&') {
        text.push_str(before);
        match behind.split_once(';').and_then(|(name, after)| Some((resolve(name)?, after))) {
            Some((c, after)) => {
                text.push(c);
                rest = after;
            }
            None => {
                text.push('&');
                rest = behind;
            }
        }
    }
    text.push_str(rest);
    text
}

/// The character that a reference stands for. A surrogate stands for U+FFFD, as it does wherever
/// an event has one.
fn resolve(name: &str) -> Option<char> {
    let number = match name.strip_prefix('#') {
        Some(number) => match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        },
        None => {
            return Some(match name {
                "lt" => '<',
                "gt" => '>',
                "amp" => '&',
                "quot" => '"',
                "apos" => '\'',
                _ => return None,
            });
        }
    };
    Some(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER))
}

/// The event with times and GUIDs of `<System>` in our one form: how Windows writes them has
/// changed over its versions.
fn canonical(mut root: Element) -> Event {
    let fields =
        [Field::ProviderGuid, Field::TimeCreated, Field::ActivityId, Field::RelatedActivityId];
    for node in &mut root.children {
        let Node::Element(system) = node else { continue };
        if system.name != "System" {
            continue;
        }
        for node in &mut system.children {
            let Node::Element(element) = node else { continue };
            for (name, text) in &mut element.attributes {
                let field = Field::at(&element.name, Some(name));
                if field.is_some_and(|field| fields.contains(&field)) {
                    if let Some(time) = EventTime::parse(text) {
                        *text = Value::Time(time).to_string();
                    } else if let Some(guid) = Guid::parse(text) {
                        *text = guid.to_string();
                    }
                }
            }
        }
    }
    Event { root }
}

/// Writes those data of an event in our one form that are times or GUIDs, as their values tell:
/// a string that looks like one stays as it is. Nothing is done where the values don't belong to
/// the data one by one.
pub(crate) fn canonical_data<'v>(event: &mut Event, values: impl Iterator<Item = Value<'v>>) {
    let values: Vec<Value<'v>> = values.collect();
    let mut texts = Vec::new();
    for node in &mut event.root.children {
        if let Node::Element(element) = node
            && matches!(&*element.name, "EventData" | "UserData")
        {
            element.children.iter_mut().for_each(|node| each_leaf(node, &mut texts));
        }
    }
    if texts.len() != values.len() {
        return;
    }
    for (text, value) in texts.into_iter().zip(values) {
        let Some(text) = text else { continue };
        let is_same = match value {
            Value::Guid(guid) => Guid::parse(text) == Some(guid),
            // A SYSTEMTIME has milliseconds.
            Value::Time(time) => EventTime::parse(text) == Some(time),
            _ => false,
        };
        if is_same {
            *text = value.to_string();
        }
    }
}

/// The texts of the innermost elements, in order; none of one that is empty.
fn each_leaf<'e>(node: &'e mut Node, texts: &mut Vec<Option<&'e mut String>>) {
    let Node::Element(element) = node else { return };
    if element.elements().next().is_some() {
        return element.children.iter_mut().for_each(|node| each_leaf(node, texts));
    }
    texts.push(match element.children.first_mut() {
        Some(Node::Text(text)) => Some(text),
        _ => None,
    });
}

#[cfg(test)]
mod tests {
    use quarry_event::FieldSource;
    use quarry_event::testing;

    use super::*;

    /// As Windows 10 writes it: apostrophes, nine digits, GUIDs in capitals, empty elements.
    const LOGON: &str = "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'>\
        <System><Provider Name='Microsoft-Windows-Security-Auditing' \
        Guid='{54849625-5478-4994-A5BA-3E3B0328C30D}'/><EventID>4624</EventID>\
        <TimeCreated SystemTime='2026-08-22T10:00:00.123456700Z'/>\
        <Correlation ActivityID='{0102030A-0506-0708-090A-0B0C0D0E0F10}'/>\
        <Execution ProcessID='712' ThreadID='900'/><Security/></System>\
        <EventData><Data Name='Who'>a &amp; b&#13;&#10;&#x1;</Data><Data></Data>\
        <Data Name='Guid'>{54849625-5478-4994-A5BA-3E3B0328C30D}</Data>\
        <Data Name='Text'>{54849625-5478-4994-A5BA-3E3B0328C30D}</Data></EventData></Event>";

    fn data(event: &Event) -> Vec<(Option<String>, String)> {
        let mut data = Vec::new();
        let _ = event.each_data(|name, value| {
            data.push((name.map(|name| name.as_str().to_owned()), value.to_string()));
            std::ops::ControlFlow::Continue(())
        });
        data
    }

    #[test]
    fn system_is_in_the_one_form_and_data_are_as_windows_shows_them() {
        let event = parse(LOGON).unwrap();
        let field = |field| event.field(field).to_string();
        assert_eq!(field(Field::ProviderGuid), "{54849625-5478-4994-a5ba-3e3b0328c30d}");
        assert_eq!(field(Field::TimeCreated), "2026-08-22T10:00:00.1234567Z");
        assert_eq!(field(Field::ActivityId), "{0102030a-0506-0708-090a-0b0c0d0e0f10}");
        assert_eq!(field(Field::ThreadId), "900");
        assert!(event.field(Field::UserId).is_null());
        let data = data(&event);
        assert_eq!(data[0], (Some("Who".into()), "a & b\r\n\u{1}".into()));
        assert_eq!(data[1], (None, String::new()));
        assert_eq!(data[2].1, "{54849625-5478-4994-A5BA-3E3B0328C30D}");
    }

    #[test]
    fn a_guid_among_the_data_is_told_from_a_text_by_its_value() {
        let guid = Guid::parse("54849625-5478-4994-a5ba-3e3b0328c30d").unwrap();
        let text = Value::Str("{54849625-5478-4994-A5BA-3E3B0328C30D}");
        let values = [Value::Str("a & b"), Value::Null, Value::Guid(guid), text];
        let mut event = parse(LOGON).unwrap();
        canonical_data(&mut event, values[..3].iter().copied());
        assert_eq!(event, parse(LOGON).unwrap(), "fewer values than data");
        canonical_data(&mut event, values.iter().copied());
        let data = data(&event);
        assert_eq!(data[2].1, "{54849625-5478-4994-a5ba-3e3b0328c30d}");
        assert_eq!(data[3].1, "{54849625-5478-4994-A5BA-3E3B0328C30D}");
    }

    #[test]
    fn user_data_have_the_one_form_too_where_their_values_belong_to_them_one_by_one() {
        let xml = LOGON.split_once("<EventData>").unwrap().0.to_owned()
            + "<UserData><Fake xmlns='urn:fake'><Number>7</Number><Inner>\
            <Guid>{54849625-5478-4994-A5BA-3E3B0328C30D}</Guid></Inner></Fake></UserData></Event>";
        let guid = Value::Guid(Guid::parse("54849625-5478-4994-a5ba-3e3b0328c30d").unwrap());
        let mut event = parse(&xml).unwrap();
        canonical_data(&mut event, [guid].into_iter());
        assert_eq!(event, parse(&xml).unwrap(), "fewer values than elements");
        canonical_data(&mut event, [Value::UInt(7), guid].into_iter());
        let mut written = Vec::new();
        event.write_xml(&mut written);
        let written = String::from_utf8(written).unwrap();
        assert!(
            written.contains("<Guid>{54849625-5478-4994-a5ba-3e3b0328c30d}</Guid>"),
            "{written}"
        );
    }

    #[test]
    fn what_is_no_event_is_refused_without_harm() {
        let deep = "<a>".repeat(100_000);
        for wrong in ["", "text", "<Event>", "<Event></Even>", "</Event>", "<Event a=x/>", &deep] {
            assert!(matches!(parse(wrong), Err(Error::Xml(_))), "{wrong:.20}");
        }
        // As deep as is allowed.
        let nested = format!("{}{}", "<a>".repeat(MAX_DEPTH), "</a>".repeat(MAX_DEPTH));
        assert!(parse(&nested).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back_the_same(event in testing::events()) {
            let mut xml = Vec::new();
            event.write_xml(&mut xml);
            let xml = String::from_utf8(xml).unwrap();
            let mut again = Vec::new();
            let root = root(&xml).unwrap_or_else(|e| panic!("{e}: {xml}"));
            Event { root }.write_xml(&mut again);
            proptest::prop_assert_eq!(String::from_utf8(again).unwrap(), xml);
        }

        #[test]
        fn no_text_makes_it_panic(xml in "(<[a-c]( x='[^']{0,5}')?/?>|</[a-c]>|&[a-z#0-9]{0,4};?|[^<]{0,4}){0,20}") {
            let _ = parse(&xml);
        }
    }
}
