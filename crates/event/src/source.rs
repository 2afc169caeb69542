//! What a filter can test and an output can print, whatever form an event is in.

use std::ops::{ControlFlow, Range};

use crate::filter::Word;
use crate::layout::Part;
use crate::text::eq_ignore_case;
use crate::{Field, Guid, InsertOf, RecordId, Value};

/// Something that has an event's fields: an undecoded BinXML record, a decoded [`Event`](crate::Event).
///
/// Two sources of one event give values of the same text, if not of the same type: a decoded
/// event may hold as text what a record holds as a number.
pub trait FieldSource {
    /// A field of `<System>`; NULL where the event has none.
    fn field(&self, field: Field) -> Value<'_>;

    /// All fields of `<System>` at once, for those who want most of them.
    #[inline]
    fn fields(&self) -> Fields<'_> {
        let mut fields = Fields::default();
        Field::all().for_each(|field| fields.set(field, self.field(field)));
        fields
    }

    /// The values of `<EventData>`, in the event's order, until `visit` breaks. An element with
    /// elements inside stands for these.
    fn each_data<'a, F>(&'a self, visit: F) -> ControlFlow<()>
    where
        F: FnMut(Option<DataName<'a>>, Value<'a>) -> ControlFlow<()>;

    /// The values of [`each_data`](Self::each_data) that have a name, which is compared without
    /// regard to case ([`eq_ignore_case`](crate::text::eq_ignore_case)), until `visit` breaks.
    fn each_data_named<'a, F>(&'a self, wanted: &str, mut visit: F) -> ControlFlow<()>
    where
        F: FnMut(Value<'a>) -> ControlFlow<()>,
    {
        self.each_data(|name, value| match name {
            Some(name) if eq_ignore_case(name.as_str(), wanted) => visit(value),
            _ => ControlFlow::Continue(()),
        })
    }

    /// Whether it is known, without looking at the values, that each value of
    /// [`each_data`](Self::each_data) has a name that no other has.
    fn has_distinct_names(&self) -> bool {
        false
    }

    /// The values that the marks of a message count, where the event says it itself: it has `<EventData>`
    /// or `<UserData>` as its provider's manifest makes them, of a template with values to substitute, which
    /// may stand in attributes, in another order, or nowhere. `None` where that isn't known, and for
    /// events of the classic API.
    fn substituted(&self) -> Option<Substituted> {
        None
    }

    /// One of the values that [`substituted`](Self::substituted) counts; of an array, its items.
    fn each_item<'a, F: FnMut(Value<'a>)>(&'a self, number: u32, mut visit: F) {
        visit(self.slot(number));
    }

    /// The whole event as a tree, in document order, beginning with `<Event>`. Elements and
    /// attributes that depend on a NULL value are left out.
    fn walk<'a, S: Sink<'a>>(&'a self, sink: &mut S);

    /// Writes what a part of the event's tree depends on, but for the text of its values: of two events that
    /// write the same, that part is the same ([`walk_layout`](Self::walk_layout)), and value N of each
    /// ([`slot`](Self::slot)) stands in the same places of it. False where that isn't known; `key` may
    /// have been written to.
    fn layout(&self, _of: Part, _key: &mut Vec<u64>) -> bool {
        false
    }

    /// A value by its number in the event's [`layout`](Self::layout); NULL where there is none.
    fn slot(&self, _number: u32) -> Value<'_> {
        Value::Null
    }

    /// The event's tree, as [`walk`](Self::walk) gives it, with a [`mark`](crate::layout::mark) in the
    /// place of each value that isn't empty. Only for an event whose [`layout`](Self::layout) is known.
    fn walk_layout<'a, S: Sink<'a>>(&'a self, sink: &mut S) {
        self.walk(sink);
    }

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

/// Where an event has the values that the marks of a message count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Substituted {
    /// The identifier of the template, which the provider's manifest has too.
    pub template: Guid,
    /// What the values are of.
    pub of: InsertOf,
    /// Their numbers, for [`slot`](FieldSource::slot) and [`each_item`](FieldSource::each_item).
    pub slots: Range<u32>,
    /// Whether they are the values of [`each_data`](FieldSource::each_data), one by one.
    pub is_data: bool,
    /// Whether one of the event's values is an array, of which [`slot`](FieldSource::slot) says nothing.
    pub has_arrays: bool,
}

/// What is known of an event of which not everything was looked at. Any [`FieldSource`] knows it
/// as well.
pub trait PartialSource {
    /// A field of `<System>`; NULL where the event has none.
    fn known_field(&self, field: Field) -> Value<'_>;

    /// A number that the event has alike with others of which the same fields
    /// [are fixed](Self::is_fixed), and have the same values. No other events have it, for as long as the
    /// program runs. `None` where none are known.
    #[inline]
    fn kind(&self) -> Option<u64> {
        None
    }

    /// Whether a field is the same in all events of this [kind](Self::kind).
    #[inline]
    fn is_fixed(&self, _field: Field) -> bool {
        false
    }

    /// The values of `<EventData>` that have a name, which is compared without regard to case, or
    /// all of them, until `visit` breaks. `None` where they aren't known; some may have been
    /// visited.
    fn known_data<'a, F>(&'a self, wanted: Option<&str>, visit: F) -> Option<ControlFlow<()>>
    where
        F: FnMut(Value<'a>) -> ControlFlow<()>;

    /// Whether the event may have `<UserData>`, whose values
    /// [`known_data`](Self::known_data) doesn't tell.
    fn may_have_user_data(&self) -> bool {
        true
    }

    /// Whether it is known that the event can be read to its end, and that it has nothing but its fields and
    /// the values that [`known_data`](Self::known_data) gives: whoever needs no more needn't decode it.
    fn is_whole(&self) -> bool {
        false
    }

    /// Whether it is known, without decoding them, that a word is in no value of the event besides
    /// those of `<System>`, and in no name of one.
    fn lacks(&self, _word: &Word) -> bool {
        false
    }
}

impl<S: FieldSource> PartialSource for S {
    #[inline]
    fn known_field(&self, field: Field) -> Value<'_> {
        self.field(field)
    }

    #[inline]
    fn known_data<'a, F>(&'a self, wanted: Option<&str>, mut visit: F) -> Option<ControlFlow<()>>
    where
        F: FnMut(Value<'a>) -> ControlFlow<()>,
    {
        Some(match wanted {
            Some(wanted) => self.each_data_named(wanted, visit),
            None => self.each_data(|_, value| visit(value)),
        })
    }

    fn may_have_user_data(&self) -> bool {
        self.has_more()
    }

    fn is_whole(&self) -> bool {
        !self.has_more()
    }
}

/// Takes an event's tree in document order.
pub trait Sink<'a> {
    /// Whether nothing is wanted of an element that comes next in the innermost one. It may be left out then,
    /// with all that is in it.
    #[inline]
    fn skips(&self, _name: &str) -> bool {
        false
    }
    /// An element begins.
    fn open(&mut self, name: &'a str);
    /// An attribute of the element that has just begun; its text is that of the pieces together.
    fn attribute(&mut self, name: &'a str, pieces: &[Value<'a>]);
    /// Text in the innermost element.
    fn text(&mut self, value: Value<'a>);
    /// The innermost element ends. `empty` says that it was written as `<a/>`.
    fn close(&mut self, name: &'a str, empty: bool);
}

/// The fields of `<System>` of one event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields<'a>([Value<'a>; Field::COUNT]);

impl<'a> Fields<'a> {
    /// A field; NULL where the event has none.
    #[inline]
    pub fn get(&self, field: Field) -> Value<'a> {
        self.0[field as usize]
    }

    /// A field, to be changed.
    #[inline]
    pub fn get_mut(&mut self, field: Field) -> &mut Value<'a> {
        &mut self.0[field as usize]
    }

    /// Sets a field.
    #[inline]
    pub fn set(&mut self, field: Field, value: Value<'a>) {
        *self.get_mut(field) = value;
    }
}

/// The name of a value of `<EventData>`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DataName<'a> {
    text: &'a str,
    json: &'a str,
}

impl<'a> DataName<'a> {
    /// A name.
    pub fn new(text: &'a str) -> Self {
        DataName { text, json: "" }
    }

    /// A name with its [`json_member`](Self::json_member).
    pub fn with_json_member(text: &'a str, json: &'a str) -> Self {
        DataName { text, json }
    }

    /// The name.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// What begins a member of this name behind another member, up to the inside of its value:
    /// `,"NAME":"`, escaped for JSON. Only for a name that was given it, as a name from a template
    /// is, which is used many times.
    pub fn json_member(&self) -> Option<&'a str> {
        (!self.json.is_empty()).then_some(self.json)
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
    pub log_record: Option<RecordId>,
    /// Whether the record was recovered from slack: the log had given it up.
    pub recovered: bool,
}
