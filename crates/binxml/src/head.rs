//! The beginning of an event: its own template and the values in it, which is where `<System>` is.
//! Most events that a filter rejects are rejected by that, and then the template inside, which has
//! the event's data, is not looked at, or only for the one value that is asked for.

use std::cell::Cell;
use std::ops::ControlFlow;

use encoding_rs::Encoding;
use quarry_event::filter::Word;
use quarry_event::text::eq_ignore_case;
use quarry_event::{Field, PartialSource, Value};

use crate::cache::Cache;
use crate::cursor::{Cursor, Dialect, token};
use crate::template::{Datum, DatumName, NameMark, Template, Text};
use crate::value::{ANSI_STRING, ARRAY, BIN_XML, NULL, decode};

/// What is known of an event of which only its own template's values were looked at. It is the
/// same that its [`Record`](crate::Record) says: an event where what is inside could change its
/// fields has no head.
pub struct Head<'d> {
    cache: &'d Cache,
    dialect: Dialect,
    ansi: &'static Encoding,
    instance: Shallow<'d>,
    inside: Inside<'d>,
}

/// What [`Head::inside`] has found, each part for itself and of another width than the next: what is written
/// in pieces and read at once waits for the writes to end.
struct Inside<'d> {
    is_known: Cell<bool>,
    template: Cell<Option<&'d Template>>,
    /// How many values there are, where they begin, and how many bytes they have.
    count: Cell<u16>,
    at: Cell<usize>,
    len: Cell<u32>,
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
        let instance = Shallow { template, values };
        let inside = Inside {
            is_known: Cell::new(false),
            template: Cell::new(None),
            count: Cell::new(0),
            at: Cell::new(0),
            len: Cell::new(0),
        };
        tidy.then_some(Head { cache, dialect, ansi, instance, inside })
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
    #[inline]
    fn nested(&self, slot: u16) -> Option<Shallow<'d>> {
        let inside =
            self.instance.template.nested_slots.iter().find(|nested| nested.slot == slot)?;
        let mut cursor = self.instance.values.cursor(slot)?;
        let at_hand = match self.dialect {
            Dialect::File => self.cache.at_hand(&mut cursor, inside.inside),
            Dialect::Wire => None,
        };
        let known = match at_hand {
            Some(known) => known,
            None => {
                skip_to_instance(&mut cursor)?;
                self.cache.known(&mut cursor, self.dialect, inside.inside)?
            }
        };
        let template = self.cache.get(known);
        let values = Values::read(&mut cursor)?;
        let is_alone = cursor.peek().is_none_or(|token| token == token::EOF);
        let tidy = template.has_plain_data
            && template.more.is_empty()
            && !values.has_arrays
            && values.binxml == 0;
        (is_alone && tidy).then_some(Shallow { template, values })
    }

    /// The one instance in the event's own template, which has its data, if that is all there is.
    #[inline(always)]
    fn inside(&self, slot: u16) -> Option<Shallow<'d>> {
        if !self.inside.is_known.get() {
            self.look_inside(slot);
        }
        let template = self.inside.template.get()?;
        let (bytes, at) = (self.instance.values.bytes, self.inside.at.get());
        let end = at + self.inside.len.get() as usize;
        // They stand right behind their descriptors.
        let begin = at.checked_sub(4 * usize::from(self.inside.count.get()))?;
        let (descriptors, _) = bytes.get(begin..at)?.as_chunks();
        let values = Values { descriptors, bytes, at, end, binxml: 0, has_arrays: false };
        Some(Shallow { template, values })
    }

    fn look_inside(&self, slot: u16) {
        let inside = &self.inside;
        inside.is_known.set(true);
        let Some(Shallow { template, values }) = self.nested(slot) else { return };
        inside.template.set(Some(template));
        // Of neither there are more: see `Values::read`.
        inside.count.set(values.descriptors.len() as u16);
        inside.at.set(values.at);
        inside.len.set((values.end - values.at) as u32);
    }

    /// Whether the event's data are values of its own template, or of the one that is in it.
    fn has_plain_data(&self) -> bool {
        let Shallow { template, values } = &self.instance;
        // What is in BinXML that has no data can make the event an odd one.
        let has_data =
            |datum: &Datum| matches!(datum, &Datum::Nested { slot, .. } if values.has_binxml(slot));
        match values.binxml {
            // There may be user data.
            _ if !template.more.is_empty() => false,
            0 => template.has_plain_data,
            1 => matches!(&*template.data, [datum] if has_data(datum)),
            _ => false,
        }
    }

    /// What has the event's data: its own template, or the one inside; no one where there are no data. `None`
    /// where it takes more to know them.
    #[inline(always)]
    fn with_data(&self) -> Option<Option<Shallow<'d>>> {
        if !self.has_plain_data() {
            return None;
        }
        match (self.instance.values.binxml, &*self.instance.template.data) {
            (0, _) => Some(Some(self.instance)),
            (_, &[Datum::Nested { slot, needs }]) => {
                match self.instance.is_dropped(self.instance.template.needs(needs)) {
                    true => Some(None),
                    false => self.inside(slot).map(Some),
                }
            }
            _ => None,
        }
    }

    /// Visits the values of a name, or all, in a template whose data are values.
    #[inline(always)]
    fn data<F>(
        &self,
        instance: &Shallow<'d>,
        wanted: Option<&str>,
        mark: NameMark,
        visit: &mut F,
    ) -> ControlFlow<()>
    where
        F: FnMut(Value<'d>) -> ControlFlow<()>,
    {
        for datum in instance.template.data_named(mark) {
            let Datum::Value { name, text, needs } = datum else { continue };
            let is_wanted = match name {
                DatumName::Known { text, .. } => {
                    wanted.is_none_or(|name| eq_ignore_case(text, name))
                }
                _ => wanted.is_none(),
            };
            if !is_wanted || instance.is_dropped(instance.template.needs(*needs)) {
                continue;
            }
            match self.text(instance, *text) {
                Value::Null => visit(Value::Str(""))?,
                value => visit(value)?,
            }
        }
        ControlFlow::Continue(())
    }
}

impl PartialSource for Head<'_> {
    #[inline(always)]
    fn known_field(&self, field: Field) -> Value<'_> {
        let instance = &self.instance;
        let place = &instance.template.fields[field as usize];
        match place.text {
            Text::Absent => Value::Null,
            _ if !place.needs.is_empty()
                && instance.is_dropped(instance.template.needs(place.needs)) =>
            {
                Value::Null
            }
            text => place.shown(self.text(instance, text)),
        }
    }

    #[inline]
    fn known_data<'a, F>(&'a self, wanted: Option<&str>, mut visit: F) -> Option<ControlFlow<()>>
    where
        F: FnMut(Value<'a>) -> ControlFlow<()>,
    {
        let mark = wanted.map_or(NameMark::ANY, NameMark::new);
        Some(match self.with_data()? {
            // The values live longer than is asked for.
            Some(instance) => self.data(&instance, wanted, mark, &mut |value| visit(value)),
            None => ControlFlow::Continue(()),
        })
    }

    fn lacks(&self, word: &Word) -> bool {
        if !self.has_plain_data() {
            return false;
        }
        match (self.instance.values.binxml, &*self.instance.template.data) {
            (0, _) => self.instance.lacks(word),
            (_, &[Datum::Nested { slot, .. }]) => {
                self.inside(slot).is_some_and(|inside| inside.lacks(word))
            }
            _ => false,
        }
    }

    #[inline(always)]
    fn kind(&self) -> Option<u64> {
        Some(self.instance.template.id)
    }

    #[inline(always)]
    fn is_fixed(&self, field: Field) -> bool {
        let place = &self.instance.template.fields[field as usize];
        matches!(place.text, Text::Absent | Text::Empty | Text::Literal(_))
            && place.needs.is_empty()
    }

    /// What decoding the rest would find wrong is looked for here.
    fn is_whole(&self) -> bool {
        let Shallow { template, values } = &self.instance;
        if template.reuses || !self.has_plain_data() {
            return false;
        }
        match (values.binxml, &*template.data) {
            (0, _) => true,
            (_, &[Datum::Nested { slot, .. }]) => {
                self.inside(slot).is_some_and(|inside| !inside.template.reuses)
            }
            _ => false,
        }
    }

    /// The data of an event that has more aren't known.
    fn may_have_user_data(&self) -> bool {
        false
    }
}

impl Shallow<'_> {
    /// Whether a word is neither in the template, which has the names, nor in a value.
    fn lacks(&self, word: &Word) -> bool {
        self.template.data.is_empty()
            || !self.values.has_ansi()
                && !word.may_be_in(self.values.all())
                && !word.is_in_shared(self.template.id, &self.template.literals)
    }

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
    /// Where the last of them ends.
    end: usize,
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
        let (bytes, end, binxml) = (cursor.bytes, cursor.at, binxml as usize);
        Some(Values { descriptors, bytes, at, end, binxml, has_arrays })
    }

    /// The bytes of all values together.
    fn all(&self) -> &'d [u8] {
        &self.bytes[self.at..self.end]
    }

    /// Whether any is text in a code page.
    fn has_ansi(&self) -> bool {
        let is_ansi = |&[_, _, kind, _]: &[u8; 4]| kind == ANSI_STRING;
        self.descriptors.iter().fold(false, |any, descriptor| any | is_ansi(descriptor))
    }

    #[inline]
    fn kind(&self, slot: u16) -> Option<u8> {
        self.descriptors.get(usize::from(slot)).map(|&[_, _, kind, _]| kind)
    }

    #[inline]
    fn has_binxml(&self, slot: u16) -> bool {
        self.kind(slot) == Some(BIN_XML)
    }

    /// Where a value's bytes are.
    #[inline(always)]
    fn range(&self, slot: u16) -> Option<(usize, usize)> {
        let slot = usize::from(slot);
        let own = *self.descriptors.get(slot)?;
        let at = self.at + lengths(&self.descriptors[..slot]);
        Some((at, at + length(own)))
    }

    /// The bytes of a value that has others inside. It is most often the last, so it is found from the end.
    #[inline]
    fn cursor(&self, slot: u16) -> Option<Cursor<'d>> {
        let (own, after) = self.descriptors.get(usize::from(slot)..)?.split_first()?;
        let end = self.end - lengths(after);
        Some(Cursor::new(self.bytes, end - length(*own), end))
    }

    /// A value's type and bytes.
    #[inline(always)]
    fn get(&self, slot: u16) -> Option<(u8, &'d [u8])> {
        let (at, end) = self.range(slot)?;
        Some((self.kind(slot)?, self.bytes.get(at..end)?))
    }
}

/// The length of a value.
#[inline(always)]
fn length(descriptor: [u8; 4]) -> usize {
    (u32::from_le_bytes(descriptor) & 0xffff) as usize
}

/// The lengths of values together: of so many as there are, they fit in 32 bits.
#[inline(always)]
fn lengths(descriptors: &[[u8; 4]]) -> usize {
    // Two at a time, in the halves of a word.
    let (pairs, rest) = descriptors.as_chunks();
    let both = pairs.iter().fold(0, |sum, &[[a, b, c, d], [e, f, g, h]]| {
        sum + (u64::from_le_bytes([a, b, c, d, e, f, g, h]) & 0x0000_ffff_0000_ffff)
    });
    let last = rest.first().map_or(0, |&last| length(last));
    (both as u32 + (both >> 32) as u32) as usize + last
}
