//! What of an event its row's columns can't give back.
//!
//! Most events are of one build: a few fields in the standard's order, then named values. Of these the
//! columns have everything but which elements were there at all, which is the row's `shape`. Any other
//! event (user data, rendered text, elements of a provider's own, a number that is none) is kept
//! whole beside its columns, as its `tree`. So a row always gives back the event that it was made of.

use std::fmt::Write as _;

use quarry_event::layout::{Kept, Layouts, MARK, OfLayout, Part};
use quarry_event::{Element, Event, EventTime, Field, FieldSource, Fields, Node, Sink, Value};
use serde_json::Value as Json;

/// The children of `<System>` in the standard's order (MS-EVEN6 2.2.13), each with whether it has
/// attributes only, and so is written `<a/>`.
pub(crate) const PLACES: [(&str, bool); 14] = [
    ("Provider", true),
    ("EventID", false),
    ("Version", false),
    ("Level", false),
    ("Task", false),
    ("Opcode", false),
    ("Keywords", false),
    ("TimeCreated", true),
    ("EventRecordID", false),
    ("Correlation", true),
    ("Execution", true),
    ("Channel", false),
    ("Computer", false),
    ("Security", true),
];

/// Bits of a shape: from bit 0 the children of `<System>` that are there, then these.
pub(crate) const NAMESPACE: i32 = 1 << 16;
pub(crate) const SYSTEM: i32 = 1 << 17;
pub(crate) const DATA: i32 = 1 << 18;
/// `<EventData/>` without anything in it.
pub(crate) const DATA_CLOSED: i32 = 1 << 19;
/// Values without text are written `<Data/>`.
pub(crate) const VALUES_CLOSED: i32 = 1 << 20;

/// What an event's columns can't say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Which elements there are.
    pub(crate) bits: i32,
    /// Whether the columns and the bits give back the whole event.
    pub(crate) is_plain: bool,
    /// Whether a field of `<System>` has a text that its column can't hold.
    pub(crate) is_odd: bool,
}

/// What an event's elements say of its shape, whatever its fields have: the same for all events of a
/// [layout](quarry_event::layout).
#[derive(Clone, Copy, Debug)]
struct Structure {
    bits: i32,
    is_plain: bool,
}

impl Kept for Structure {
    fn bytes(&self) -> usize {
        0
    }
}

impl OfLayout for Structure {
    const PART: Part = Part::Whole;
}

impl Structure {
    fn of<S: FieldSource>(source: &S) -> Self {
        let mut look = Look::new();
        source.walk(&mut look);
        Structure { bits: look.bits, is_plain: look.is_plain }
    }

    /// That of all events of a layout; nothing where it depends on the text of a value.
    fn of_layout<S: FieldSource>(source: &S) -> Option<Self> {
        let mut look = Look::new();
        source.walk_layout(&mut look);
        (!look.is_open).then_some(Structure { bits: look.bits, is_plain: look.is_plain })
    }
}

/// Tells the shapes of events, and keeps what those of a layout have alike.
#[derive(Default, Debug)]
pub(crate) struct Shapes(Layouts<Structure>);

impl Shapes {
    /// Looks at an event.
    pub(crate) fn look<S: FieldSource>(&mut self, source: &S, fields: &Fields<'_>) -> Shape {
        let place = self.0.find(source, || Structure::of_layout(source));
        let known = place.and_then(|place| self.0.get(place)).copied();
        let Structure { bits, is_plain } = known.unwrap_or_else(|| Structure::of(source));
        let (mut is_odd, mut is_usual) = (false, true);
        for field in Field::all() {
            let value = fields.get(field);
            is_odd |= !is_held(field, &value);
            is_usual &= self::is_usual(field, &value);
        }
        Shape { bits, is_plain: is_plain && is_usual && !is_odd, is_odd }
    }
}

/// The range of the column of a field that is a number.
fn range(field: Field) -> Option<u64> {
    use Field::*;
    match field {
        EventId | Qualifiers | Task | Opcode => Some(i32::MAX as u64),
        Version | Level => Some(i16::MAX as u64),
        ProcessId | ThreadId => Some(i64::MAX as u64),
        Keywords | RecordId => Some(u64::MAX),
        _ => None,
    }
}

/// Whether a field's column has all that tests of the field look at.
fn is_held(field: Field, value: &Value<'_>) -> bool {
    if value.is_empty() {
        return true;
    }
    match (range(field), field) {
        (Some(most), _) => value.as_u64().is_some_and(|number| number <= most),
        (None, Field::TimeCreated) => value.as_time().is_some(),
        (None, _) => true,
    }
}

/// Whether a field's value has the text that its column's value is written with.
fn is_usual(field: Field, value: &Value<'_>) -> bool {
    if value.is_empty() {
        return true;
    }
    let is_text = |wanted: &str| value.is_text(wanted);
    match (range(field), field) {
        (Some(_), Field::Keywords) => match value {
            Value::Hex(_) => true,
            other => other.as_u64().is_some_and(|bits| is_text(&format!("{bits:#x}"))),
        },
        (Some(_), _) => match value {
            Value::UInt(_) => true,
            other => other.as_u64().is_some_and(|number| is_text(&number.to_string())),
        },
        (None, Field::TimeCreated) => match value {
            Value::Time(_) => true,
            other => other.as_time().is_some_and(|time| is_text(&time.to_string())),
        },
        // Of these the column `other` has the numbers.
        (
            None,
            Field::ProcessorId
            | Field::SessionId
            | Field::KernelTime
            | Field::UserTime
            | Field::ProcessorTime,
        ) => value.as_u64().is_some_and(|number| is_text(&number.to_string())),
        (None, _) => true,
    }
}

/// Whether the name of a value could be taken for one that a row has made up: `A#2` for the second
/// `A`, `#2` for the second value, which has none.
fn is_made_up(name: &str) -> bool {
    numbered(name).is_some()
}

/// Whether a value stands for those of all events of a layout.
fn is_mark(value: &Value<'_>) -> bool {
    matches!(value, Value::Str(text) if text.starts_with(MARK))
}

/// A name and the number after it.
fn numbered(name: &str) -> Option<(&str, &str)> {
    let (before, digits) = name.rsplit_once('#')?;
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some((before, digits))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    None,
    System,
    Data,
}

/// Walks through an event and looks for what is unusual.
struct Look {
    bits: i32,
    is_plain: bool,
    depth: usize,
    section: Section,
    /// The place among [`PLACES`] that comes next.
    next: usize,
    /// The field that the next attribute may be, at least.
    field: usize,
    texts: usize,
    is_named: bool,
    /// Whether a value without text was written `<Data/>`, and whether one was not.
    closed: bool,
    open: bool,
    values: usize,
    /// Whether a mark stands for a value whose text matters.
    is_open: bool,
}

impl Look {
    fn new() -> Self {
        Look {
            bits: 0,
            is_plain: true,
            depth: 0,
            section: Section::None,
            next: 0,
            field: 0,
            texts: 0,
            is_named: false,
            closed: false,
            open: false,
            values: 0,
            is_open: false,
        }
    }

    fn require(&mut self, is_usual: bool) {
        self.is_plain &= is_usual;
    }

    fn place(&self) -> &'static str {
        PLACES[self.next.saturating_sub(1)].0
    }
}

impl<'a> Sink<'a> for Look {
    fn open(&mut self, name: &'a str) {
        self.depth += 1;
        self.texts = 0;
        match (self.depth, self.section) {
            (1, _) => self.require(name == "Event"),
            (2, _) => {
                let (bit, section) = match name {
                    "System" => (SYSTEM, Section::System),
                    "EventData" => (DATA, Section::Data),
                    _ => (0, Section::None),
                };
                // In this order, each once.
                self.require(section != Section::None && self.bits & (bit | DATA) == 0);
                self.bits |= bit;
                self.section = section;
            }
            (3, Section::System) => {
                let found = PLACES[self.next..].iter().position(|place| place.0 == name);
                match found {
                    Some(skipped) => {
                        self.next += skipped;
                        self.bits |= 1 << self.next;
                        self.next += 1;
                        self.field = 0;
                    }
                    None => self.is_plain = false,
                }
            }
            (3, Section::Data) => {
                self.values += 1;
                self.is_named = false;
                self.require(name == "Data");
            }
            _ => self.is_plain = false,
        }
    }

    fn attribute(&mut self, name: &'a str, pieces: &[Value<'a>]) {
        let joined: String;
        let value = match pieces {
            [value] => *value,
            pieces => {
                joined = pieces.iter().map(ToString::to_string).collect();
                Value::Str(&joined)
            }
        };
        let is_open = pieces.iter().any(is_mark);
        match (self.depth, self.section) {
            (1, _) => {
                let is_usual = name == "xmlns" && self.bits & NAMESPACE == 0;
                self.is_open |= is_open;
                self.require(is_usual && value.is_text(Event::NAMESPACE));
                self.bits |= NAMESPACE;
            }
            (3, Section::System) => match Field::at(self.place(), Some(name)) {
                Some(field) if field as usize >= self.field && !value.is_empty() => {
                    self.field = field as usize + 1;
                }
                _ => self.is_plain = false,
            },
            (3, Section::Data) if name == "Name" && !self.is_named && !value.is_null() => {
                self.is_named = true;
                self.is_open |= is_open;
                self.require(value.with_text(|name| !is_made_up(name)));
            }
            _ => self.is_plain = false,
        }
    }

    fn text(&mut self, value: Value<'a>) {
        if value.is_empty() {
            return;
        }
        self.texts += 1;
        match (self.depth, self.section) {
            (3, Section::System) => {
                self.require(Field::at(self.place(), None).is_some());
            }
            (3, Section::Data) => {}
            _ => self.is_plain = false,
        }
    }

    fn close(&mut self, _: &'a str, empty: bool) {
        match (self.depth, self.section) {
            (1, _) => {
                self.require(!empty);
                self.require(!(self.closed && self.open));
                if self.closed {
                    self.bits |= VALUES_CLOSED;
                }
            }
            (2, Section::Data) => {
                self.require(!empty || self.values == 0);
                if empty {
                    self.bits |= DATA_CLOSED;
                }
            }
            (2, _) => self.require(!empty),
            (3, Section::System) => {
                let is_closed = PLACES[self.next.saturating_sub(1)].1;
                self.require(empty == is_closed && (self.texts == 0) == is_closed);
            }
            (3, Section::Data) => {
                self.closed |= empty;
                self.open |= self.texts == 0 && !empty;
                self.require(!empty || self.texts == 0);
            }
            _ => {}
        }
        self.depth = self.depth.saturating_sub(1);
        self.texts = usize::MAX / 2;
        if self.depth < 2 {
            self.section = Section::None;
            self.texts = 0;
        }
    }
}

/// Writes an event as [JsonML](http://www.jsonml.org): an element is an array of its name, an object of
/// its attributes if it has any, and what is inside. An element without anything inside that is not
/// written `<a/>` has an empty text inside.
pub(crate) fn tree(source: &impl FieldSource) -> String {
    let mut writer = Writer { out: String::new(), in_head: false, in_text: false, is_empty: true };
    source.walk(&mut writer);
    writer.out
}

struct Writer {
    out: String,
    /// Whether an object of attributes is open.
    in_head: bool,
    /// Whether a text is open.
    in_text: bool,
    is_empty: bool,
}

impl Writer {
    fn settle(&mut self) {
        if std::mem::take(&mut self.in_head) {
            self.out.push('}');
        }
        if std::mem::take(&mut self.in_text) {
            self.out.push('"');
        }
    }

    fn quoted(&mut self, text: &str) {
        self.out.push('"');
        self.escaped(text);
        self.out.push('"');
    }

    fn escaped(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                // Writing to a string can't fail.
                c if c < ' ' => drop(write!(self.out, "\\u{:04x}", u32::from(c))),
                c => self.out.push(c),
            }
        }
    }
}

impl<'a> Sink<'a> for Writer {
    fn open(&mut self, name: &'a str) {
        self.settle();
        if !self.out.is_empty() {
            self.out.push(',');
        }
        self.out.push('[');
        self.quoted(name);
        self.is_empty = true;
    }

    fn attribute(&mut self, name: &'a str, pieces: &[Value<'a>]) {
        self.out.push_str(if self.in_head { "," } else { ",{" });
        self.in_head = true;
        self.quoted(name);
        self.out.push_str(":\"");
        pieces.iter().for_each(|piece| piece.with_text(|text| self.escaped(text)));
        self.out.push('"');
    }

    fn text(&mut self, value: Value<'a>) {
        if value.is_empty() {
            return;
        }
        if !self.in_text {
            self.settle();
            self.out.push_str(",\"");
            self.in_text = true;
        }
        self.is_empty = false;
        value.with_text(|text| self.escaped(text));
    }

    fn close(&mut self, _: &'a str, empty: bool) {
        self.settle();
        if self.is_empty && !empty {
            self.out.push_str(",\"\"");
        }
        self.out.push(']');
        self.is_empty = false;
    }
}

/// Reads what [`tree`] wrote; nothing where it is something else.
pub(crate) fn event_of_tree(text: &str) -> Option<Event> {
    let Ok(Json::Array(parts)) = serde_json::from_str(text) else { return None };
    element_of(parts).map(|root| Event { root })
}

fn element_of(parts: Vec<Json>) -> Option<Element> {
    let mut parts = parts.into_iter().peekable();
    let Some(Json::String(name)) = parts.next() else { return None };
    let mut element = Element::new(name);
    if let Some(Json::Object(attributes)) = parts.next_if(Json::is_object) {
        for (name, value) in attributes {
            let Json::String(value) = value else { return None };
            element.attributes.push((name, value));
        }
    }
    element.closed_empty = parts.peek().is_none();
    for part in parts {
        match part {
            Json::String(text) if text.is_empty() => {}
            Json::String(text) => element.children.push(Node::Text(text)),
            Json::Array(inside) => element.children.push(Node::Element(element_of(inside)?)),
            _ => return None,
        }
    }
    Some(element)
}

/// The columns of a row that an event is made of again.
pub(crate) trait Columns {
    /// The text that a field of `<System>` has, where it has one.
    fn field(&self, field: Field) -> Option<String>;

    /// The values of `<EventData>` by the names that the row has for them.
    fn data(&self) -> Vec<(String, String)>;
}

/// The text of a time as events have it.
pub(crate) fn time_text(time: EventTime) -> String {
    time.to_string()
}

/// Makes the event of a plain shape again.
pub(crate) fn event_of_columns(bits: i32, columns: &impl Columns) -> Event {
    let mut root = Element::new("Event");
    if bits & NAMESPACE != 0 {
        root.attributes.push(("xmlns".to_owned(), Event::NAMESPACE.to_owned()));
    }
    if bits & SYSTEM != 0 {
        let mut system = Element::new("System");
        for (n, &(name, closed)) in PLACES.iter().enumerate() {
            if bits & 1 << n == 0 {
                continue;
            }
            let mut element = Element { closed_empty: closed, ..Element::new(name) };
            for field in Field::all().filter(|field| field.element() == name) {
                let Some(text) = columns.field(field) else { continue };
                match field.attribute() {
                    Some(attribute) => element.attributes.push((attribute.to_owned(), text)),
                    None => element.children.push(Node::Text(text)),
                }
            }
            system.children.push(Node::Element(element));
        }
        root.children.push(Node::Element(system));
    }
    if bits & DATA != 0 {
        let mut data = Element::new("EventData");
        data.closed_empty = bits & DATA_CLOSED != 0;
        for (name, value) in columns.data() {
            let mut element = Element::new("Data");
            match numbered(&name) {
                Some(("", _)) => {}
                Some((before, _)) => {
                    element.attributes.push(("Name".to_owned(), before.to_owned()))
                }
                None => element.attributes.push(("Name".to_owned(), name)),
            }
            element.closed_empty = value.is_empty() && bits & VALUES_CLOSED != 0;
            if !value.is_empty() {
                element.children.push(Node::Text(value));
            }
            data.children.push(Node::Element(element));
        }
        root.children.push(Node::Element(data));
    }
    Event { root }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quarry_event::testing::{TypedEvent, event, events};

    use super::*;

    fn shape(source: &impl FieldSource) -> Shape {
        Shapes::default().look(source, &source.fields())
    }

    fn xml(source: &impl FieldSource) -> String {
        let mut out = Vec::new();
        source.write_xml(&mut out);
        String::from_utf8(out).unwrap()
    }

    const USUAL: &str = r#"<Event xmlns="http://schemas.microsoft.com/win/2004/08/events/event"><System>
        <Provider Name="P" Guid="{54849625-5478-4994-a5ba-3e3b0328c30d}"/><EventID>4624</EventID>
        <Version>2</Version><Level>0</Level><Task>1</Task><Opcode>0</Opcode>
        <Keywords>0x8020000000000000</Keywords>
        <TimeCreated SystemTime="2026-08-22T10:00:00.1234567Z"/><EventRecordID>5</EventRecordID>
        <Correlation/><Execution ProcessID="1" ThreadID="2"/><Channel>Security</Channel>
        <Computer>dc</Computer><Security/></System><EventData><Data Name="A">x</Data>
        <Data>y</Data><Data Name="A"></Data></EventData></Event>"#;

    #[test]
    fn an_event_as_most_are_is_plain() {
        let shape = shape(&event(USUAL));
        assert!(shape.is_plain && !shape.is_odd, "{shape:?}");
    }

    #[test]
    fn what_a_column_can_not_say_is_not_plain() {
        for (usual, odd, is_odd) in [
            ("<EventID>4624", "<EventID>04624", false),
            ("<EventID>4624", "<EventID>many", true),
            ("<EventID>4624", "<EventID>4294967295", true),
            ("<Keywords>0x8020", "<Keywords>0x08020", false),
            ("10:00:00.1234567Z", "10:00:00.1Z", false),
            ("2026-08-22T10:00:00.1234567Z", "yesterday", true),
            ("<Correlation/>", "<Correlation></Correlation>", false),
            ("<Level>0</Level><Task>1</Task>", "<Task>1</Task><Level>0</Level>", false),
            ("<Security/>", "<Security/><More/>", false),
            ("Name=\"A\">x", "Name=\"A#2\">x", false),
            ("<Data>y</Data>", "<Data/>", false),
            ("<Data>y</Data>", "<Other>y</Other>", false),
            ("</EventData>", "</EventData><UserData><a/></UserData>", false),
            ("ThreadID=\"2\"", "ThreadID=\"2\" ProcessorID=\"one\"", false),
        ] {
            assert!(USUAL.contains(usual), "{usual}");
            let shape = shape(&event(&USUAL.replace(usual, odd)));
            assert_eq!((shape.is_plain, shape.is_odd), (false, is_odd), "{odd}");
        }
    }

    proptest! {
        #[test]
        fn a_tree_is_the_event_again(event in events(), seed: u64) {
            let typed = TypedEvent::new(&event, seed);
            let tree = tree(&typed);
            let read = event_of_tree(&tree);
            prop_assert_eq!(read.as_ref().map(xml), Some(xml(&event)), "{}", tree);
        }

        #[test]
        fn a_type_makes_no_difference(event in events(), seed: u64) {
            let typed = TypedEvent::new(&event, seed);
            let (one, other) = (shape(&event), shape(&typed));
            prop_assert_eq!(one.is_odd, other.is_odd);
        }

        #[test]
        fn any_text_is_a_tree_or_none(text in ".{0,80}") {
            let _ = event_of_tree(&text);
        }
    }
}
