//! The beginning of an event: its own template and the values in it, which is where `<System>` is.
//! Most events that a filter rejects are rejected by that, and then the template inside, which has
//! the event's data, is not looked at, or only for the one value that is asked for.

use std::ops::ControlFlow;

use encoding_rs::Encoding;
use quarry_event::text::eq_ignore_case;
use quarry_event::{Field, PartialSource, Value};

use crate::cache::Cache;
use crate::cursor::{Cursor, Dialect, token};
use crate::template::{Datum, DatumName, Template, Text};
use crate::value::{ARRAY, BIN_XML, NULL, decode};

/// What is known of an event of which only its own template's values were looked at. It is the
/// same that its [`Record`](crate::Record) says: an event where what is inside could change its
/// fields has no head.
pub struct Head<'d> {
    cache: &'d Cache,
    dialect: Dialect,
    ansi: &'static Encoding,
    instance: Shallow<'d>,
}

/// A template and its values, and nothing of what is inside of these.
#[derive(Clone, Copy)]
struct Shallow<'d> {
    template: &'d Template,
    values: Values<'d>,
}

impl<'d> Head<'d> {
    /// The head of an event that begins with an instance of a template, if it has one.
    #[inline]
    pub(crate) fn new(
        cache: &'d Cache,
        dialect: Dialect,
        ansi: &'static Encoding,
        template: u32,
        values: Values<'d>,
    ) -> Option<Self> {
        let template = cache.get(template);
        // BinXML that is part of a field, or of what isn't expected to have any.
        let binxml =
            || template.nested_slots.iter().filter(|nested| values.has_binxml(nested.slot));
        let tidy = template.has_head
            && !values.has_arrays
            && (values.binxml == 0 || binxml().count() == values.binxml);
        tidy.then_some(Head { cache, dialect, ansi, instance: Shallow { template, values } })
    }

    // Several kinds of work look at heads, so without `always` it would be a call for each field.
    #[inline(always)]
    fn text(&self, instance: &Shallow<'d>, text: Text) -> Value<'d> {
        match text {
            // Where there is text of several pieces, this isn't called.
            Text::Absent | Text::Joined(_) => Value::Null,
            Text::Empty => Value::Str(""),
            Text::Literal(literal) => Value::Str(instance.template.literal(literal)),
            Text::Slot(slot) => match instance.values.get(slot) {
                Some((kind, bytes)) => decode(kind, bytes, self.ansi),
                None => Value::Null,
            },
        }
    }

    /// The instance in a slot, if it is one of a template that is known, with nothing inside and
    /// nothing beside it.
    fn nested(&self, slot: u16) -> Option<Shallow<'d>> {
        let inside =
            self.instance.template.nested_slots.iter().find(|nested| nested.slot == slot)?;
        let mut cursor = self.instance.values.cursor(slot)?;
        skip_to_instance(&mut cursor)?;
        let known = self.cache.known(&mut cursor, self.dialect, inside.inside)?;
        let template = self.cache.get(known);
        let values = Values::read(&mut cursor)?;
        let is_alone = cursor.peek().is_none_or(|token| token == token::EOF);
        let tidy = template.has_plain_data
            && template.more.is_empty()
            && !values.has_arrays
            && values.binxml == 0;
        (is_alone && tidy).then_some(Shallow { template, values })
    }

    /// Visits the values of a name, or all; `None` where it takes more to know them.
    fn data<F>(
        &self,
        instance: &Shallow<'d>,
        wanted: Option<&str>,
        visit: &mut F,
    ) -> Option<ControlFlow<()>>
    where
        F: FnMut(Value<'d>) -> ControlFlow<()>,
    {
        for datum in instance.template.data_named(wanted) {
            let (Datum::Value { needs, .. } | Datum::Nested { needs, .. }) = *datum;
            if instance.is_dropped(instance.template.needs(needs)) {
                continue;
            }
            let flow = match datum {
                Datum::Value { name, text, .. } => {
                    let is_wanted = match name {
                        DatumName::Unnamed => wanted.is_none(),
                        DatumName::Known { text, .. } => {
                            wanted.is_none_or(|name| eq_ignore_case(text, name))
                        }
                        DatumName::Unknown { .. } => return None,
                    };
                    match self.text(instance, *text) {
                        _ if !is_wanted => continue,
                        Value::Null => visit(Value::Str("")),
                        value => visit(value),
                    }
                }
                Datum::Nested { slot, .. } if instance.values.has_binxml(*slot) => {
                    let nested = self.nested(*slot)?;
                    self.data(&nested, wanted, visit)?
                }
                Datum::Nested { .. } => continue,
            };
            if flow.is_break() {
                return Some(flow);
            }
        }
        Some(ControlFlow::Continue(()))
    }
}

impl PartialSource for Head<'_> {
    #[inline(always)]
    fn known_field(&self, field: Field) -> Value<'_> {
        let instance = &self.instance;
        let place = &instance.template.fields[field as usize];
        match place.text {
            Text::Absent => Value::Null,
            _ if instance.is_dropped(instance.template.needs(place.needs)) => Value::Null,
            text => place.shown(self.text(instance, text)),
        }
    }

    fn known_data<'a, F>(&'a self, wanted: Option<&str>, mut visit: F) -> Option<ControlFlow<()>>
    where
        F: FnMut(Value<'a>) -> ControlFlow<()>,
    {
        let Shallow { template, values } = &self.instance;
        // What is in BinXML that has no data can make the event an odd one.
        let has_data =
            |datum: &Datum| matches!(datum, &Datum::Nested { slot, .. } if values.has_binxml(slot));
        match values.binxml {
            // There may be user data.
            _ if !template.more.is_empty() => return None,
            0 if template.has_plain_data => {}
            1 if matches!(&*template.data, [datum] if has_data(datum)) => {}
            _ => return None,
        }
        self.data(&self.instance, wanted, &mut visit)
    }

    /// The data of an event that has more aren't known.
    fn may_have_user_data(&self) -> bool {
        false
    }
}

impl Shallow<'_> {
    /// Whether a value that something needs is NULL.
    #[inline]
    fn is_dropped(&self, needs: &[u16]) -> bool {
        needs.iter().any(|&slot| self.values.kind(slot).is_none_or(|kind| kind == NULL))
    }
}

/// Goes to the template instance that a fragment begins with, if it does.
#[inline]
pub(crate) fn skip_to_instance(cursor: &mut Cursor<'_>) -> Option<()> {
    while cursor.peek()? == token::FRAGMENT_HEADER {
        cursor.take(4).ok()?;
    }
    (cursor.peek()? & !token::MORE == token::TEMPLATE_INSTANCE).then_some(())
}

/// The substitution values of an instance, which are found when they are asked for.
#[derive(Clone, Copy)]
pub(crate) struct Values<'d> {
    /// Length, type and a reserved byte of each (MS-EVEN6 2.2.12, TemplateInstanceData).
    descriptors: &'d [[u8; 4]],
    /// What the values are in, and where the first of them is.
    bytes: &'d [u8],
    at: usize,
    /// How many are BinXML.
    binxml: usize,
    has_arrays: bool,
}

impl<'d> Values<'d> {
    /// The most values that are looked at so. Events have a few dozen; of very many, finding each
    /// by itself would take long.
    const MAX: usize = 256;

    /// The values whose number comes next, if they are all there.
    #[inline]
    pub(crate) fn read(cursor: &mut Cursor<'d>) -> Option<Self> {
        let count = cursor.u32().ok()? as usize;
        if count > Self::MAX {
            return None;
        }
        let (descriptors, _) = cursor.take(4 * count).ok()?.as_chunks();
        // One pass without branches, over several descriptors at once.
        let (mut len, mut kinds, mut binxml) = (0u32, 0, 0u32);
        for &descriptor in descriptors {
            let descriptor = u32::from_le_bytes(descriptor);
            len += descriptor & 0xffff;
            kinds |= descriptor;
            binxml += u32::from(descriptor >> 16 & 0xff == u32::from(BIN_XML));
        }
        let has_arrays = kinds >> 16 & u32::from(ARRAY) != 0;
        let at = cursor.at;
        cursor.take(len as usize).ok()?;
        Some(Values { descriptors, bytes: cursor.bytes, at, binxml: binxml as usize, has_arrays })
    }

    #[inline]
    fn kind(&self, slot: u16) -> Option<u8> {
        self.descriptors.get(usize::from(slot)).map(|&[_, _, kind, _]| kind)
    }

    #[inline]
    fn has_binxml(&self, slot: u16) -> bool {
        self.kind(slot) == Some(BIN_XML)
    }

    /// A value's bytes.
    #[inline]
    fn cursor(&self, slot: u16) -> Option<Cursor<'d>> {
        let slot = usize::from(slot);
        let len = |&[low, high, ..]: &[u8; 4]| usize::from(u16::from_le_bytes([low, high]));
        let own = len(self.descriptors.get(slot)?);
        let at = self.at + self.descriptors[..slot].iter().map(len).sum::<usize>();
        Some(Cursor::new(self.bytes, at, at + own))
    }

    /// A value's type and bytes.
    #[inline]
    fn get(&self, slot: u16) -> Option<(u8, &'d [u8])> {
        Some((self.kind(slot)?, self.cursor(slot)?.rest()))
    }
}
