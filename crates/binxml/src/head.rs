//! The beginning of an event: its own template and the values in it, which is where `<System>` is.
//! Most events that a filter rejects are rejected by that, and then the template inside, which has
//! the event's data, is never looked at.

use encoding_rs::Encoding;
use quarry_event::{Field, SystemFields, Value};

use crate::template::{Template, Text};
use crate::value::{ARRAY, BIN_XML, NULL, decode};

/// The fields of an event of which only its own template's values were looked at. They are those
/// of its [`Record`](crate::Record): an event where what is inside could change them has no head.
pub struct Head<'d> {
    template: &'d Template,
    values: Values<'d>,
    ansi: &'static Encoding,
}

impl<'d> Head<'d> {
    /// The head of an event, if it has one.
    #[inline]
    pub(crate) fn new(
        template: &'d Template,
        values: Values<'d>,
        ansi: &'static Encoding,
    ) -> Option<Self> {
        // BinXML that is part of a field, or of what isn't expected to have any.
        let is_nested = |&&slot: &&u16| values.get(slot).is_some_and(|(kind, _)| kind == BIN_XML);
        let tidy = template.has_head
            && !values.has_arrays
            && (values.binxml == 0
                || template.nested_slots.iter().filter(is_nested).count() == values.binxml);
        tidy.then_some(Head { template, values, ansi })
    }
}

impl SystemFields for Head<'_> {
    #[inline]
    fn system_field(&self, field: Field) -> Value<'_> {
        let place = &self.template.fields[field as usize];
        let value = match place.text {
            // A template with text of several pieces in a field has no head.
            Text::Absent | Text::Joined(_) => return Value::Null,
            Text::Empty => Value::Str(""),
            Text::Literal(literal) => Value::Str(self.template.literal(literal)),
            Text::Slot(slot) => match self.values.get(slot) {
                Some((kind, bytes)) => decode(kind, bytes, self.ansi),
                None => Value::Null,
            },
        };
        let is_null = |&slot: &u16| self.values.get(slot).is_none_or(|(kind, _)| kind == NULL);
        match self.template.needs(place.needs).iter().any(is_null) {
            true => Value::Null,
            false => place.shown(value),
        }
    }
}

/// The substitution values of an instance, which are found when they are asked for.
#[derive(Clone, Copy)]
pub(crate) struct Values<'d> {
    /// Length, type and a reserved byte of each (MS-EVEN6 2.2.12, TemplateInstanceData).
    descriptors: &'d [[u8; 4]],
    bytes: &'d [u8],
    /// How many are BinXML.
    binxml: usize,
    has_arrays: bool,
}

impl<'d> Values<'d> {
    /// Values whose bytes stand at the beginning of `bytes`, if they are all there.
    #[inline]
    pub(crate) fn new(descriptors: &'d [[u8; 4]], bytes: &'d [u8]) -> Option<Self> {
        // One pass without branches, for several descriptors at once.
        let (mut len, mut kinds, mut binxml) = (0u64, 0, 0u32);
        for &descriptor in descriptors {
            let descriptor = u32::from_le_bytes(descriptor);
            len += u64::from(descriptor & 0xffff);
            kinds |= descriptor;
            binxml += u32::from(descriptor >> 16 & 0xff == u32::from(BIN_XML));
        }
        let bytes = bytes.get(..usize::try_from(len).ok()?)?;
        let has_arrays = kinds >> 16 & u32::from(ARRAY) != 0;
        Some(Values { descriptors, bytes, binxml: binxml as usize, has_arrays })
    }

    /// A value's type and bytes.
    #[inline]
    fn get(&self, slot: u16) -> Option<(u8, &'d [u8])> {
        let &[low, high, kind, _] = self.descriptors.get(usize::from(slot))?;
        let before = &self.descriptors[..usize::from(slot)];
        let len = |low, high| usize::from(u16::from_le_bytes([low, high]));
        let at: usize = before.iter().map(|&[low, high, ..]| len(low, high)).sum();
        Some((kind, self.bytes.get(at..at + len(low, high))?))
    }
}
