//! From the bytes of an event to a [`Record`]: which templates, and where each value lies.

mod leftover;

use std::ops::Range;
use std::sync::Arc;

use encoding_rs::Encoding;
use quarry_event::Event;

use crate::cache::{Cache, Identity, chunk_identity};
use crate::compile::compile;
use crate::cursor::{Cursor, Dialect, token};
use crate::definitions::Definitions;
use crate::error::{Fault, Result};
use crate::head::{Head, Values, skip_to_instance};
use crate::limits::Limits;
use crate::record::Record;
use crate::template::{ContentSlot, Place, Template};
use crate::value::{ARRAY, BIN_XML};
use crate::walk::check_expansion;

pub use leftover::Leftover;

/// Decodes events, and keeps the templates it has compiled for those to come.
///
/// One thread uses one decoder; a decoder can be used for any number of sources.
pub struct Decoder {
    cache: Cache,
    ansi: &'static Encoding,
    /// Whether what a record refers to may be overwritten.
    is_leftover: bool,
    /// The ranges of the chunk that were written in one go, for leftover records.
    generations: Vec<Range<usize>>,
    /// The definitions that serve leftover records whose own are gone.
    definitions: Arc<Definitions>,
    /// Whether names that the current record refers to were overwritten.
    has_lost_names: bool,
    /// Whether a template of another source serves the current record.
    has_borrowed_template: bool,
    /// Elements of the current record that stand outside of any template, compiled for it alone.
    loose: Vec<Template>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) instances: Vec<Instance>,
    /// Whether any value is an array.
    pub(crate) has_arrays: bool,
    /// Whether there are elements where fields and data don't expect them.
    pub(crate) has_odd_binxml: bool,
    /// The texts of the current record that are made of several pieces.
    pub(crate) joined_text: String,
    pub(crate) joined: Vec<Option<(u32, u32)>>,
    /// The current record decoded, where its fields and data can't be read from its slots.
    pub(crate) odd: Option<Event>,
}

/// A substitution value: its type, and where it lies. A record has dozens, so one is made of its
/// descriptor in a few instructions: from the low bits on these are the place, the length, the type,
/// and whether it is BinXML in the content of an element, with the first instance in it for a length.
#[derive(Clone, Copy)]
pub(crate) struct Slot(u64);

impl Slot {
    const NESTED: u64 = 1 << 56;

    /// The value of a descriptor as it lies in the record: length, type and a reserved byte.
    #[inline]
    fn new(at: u32, descriptor: u32) -> Self {
        Slot(u64::from(descriptor & 0x00ff_ffff) << 32 | u64::from(at))
    }

    /// BinXML with the first instance in it.
    fn with_nested(at: u32, first: InstanceIndex) -> Self {
        Slot(Slot::NESTED | u64::from(BIN_XML) << 48 | u64::from(first.get()) << 32 | u64::from(at))
    }

    #[inline]
    pub(crate) fn at(self) -> u32 {
        self.0 as u32
    }

    #[inline]
    pub(crate) fn len(self) -> u16 {
        if self.0 & Slot::NESTED == 0 { (self.0 >> 32) as u16 } else { 0 }
    }

    #[inline]
    pub(crate) fn kind(self) -> u8 {
        (self.0 >> 48) as u8
    }

    #[inline]
    pub(crate) fn is_array(self) -> bool {
        self.kind() & ARRAY != 0
    }

    /// For BinXML in the content of an element: the first instance in it.
    #[inline]
    pub(crate) fn nested(self) -> Option<InstanceIndex> {
        if self.0 & Slot::NESTED == 0 { None } else { InstanceIndex::new((self.0 >> 32) as u16) }
    }
}

/// A template and its values.
#[derive(Clone, Copy)]
pub(crate) struct Instance {
    pub(crate) template: TemplateIndex,
    /// The first value in `Decoder::slots`, and how many there are.
    pub(crate) slots: u32,
    pub(crate) count: u32,
    /// The first of the template's joined texts in `Decoder::joined`.
    pub(crate) joined: u32,
    /// The instance after this one in the same value.
    pub(crate) next: Option<InstanceIndex>,
}

/// An index of `Decoder::instances`, which is never 0 where it is optional: the first instance is
/// the record's own.
pub(crate) type InstanceIndex = std::num::NonZeroU16;

#[derive(Clone, Copy)]
pub(crate) enum TemplateIndex {
    Cached(u32),
    Loose(u32),
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder::new()
    }
}

impl Decoder {
    /// A decoder that takes ANSI text to be in the code page 1252.
    pub fn new() -> Self {
        Decoder::with_code_page(encoding_rs::WINDOWS_1252)
    }

    /// A decoder that takes ANSI text to be in the given code page.
    pub fn with_code_page(ansi: &'static Encoding) -> Self {
        Decoder {
            cache: Cache::default(),
            ansi,
            is_leftover: false,
            generations: Vec::new(),
            definitions: Arc::default(),
            has_lost_names: false,
            has_borrowed_template: false,
            loose: Vec::new(),
            slots: Vec::new(),
            instances: Vec::new(),
            has_arrays: false,
            has_odd_binxml: false,
            joined_text: String::new(),
            joined: Vec::new(),
            odd: None,
        }
    }

    /// The code page of ANSI text.
    pub(crate) fn ansi(&self) -> &'static Encoding {
        self.ansi
    }

    /// Decodes the records of one chunk of an `.evtx` file, given whole: names and template
    /// definitions are referred to by their offset in it.
    pub fn chunk<'d>(&'d mut self, chunk: &'d [u8]) -> ChunkDecoder<'d> {
        self.cache.begin_chunk();
        self.generations.clear();
        ChunkDecoder { decoder: self, chunk }
    }

    /// An event as MS-EVEN6 sends it.
    ///
    /// # Errors
    /// The bytes are no event, end within it, or pass a bound of [`Limits`].
    pub fn event<'d>(&'d mut self, bytes: &'d [u8]) -> Result<Record<'d>> {
        self.cache.trim();
        let cursor = Cursor::new(bytes, 0, bytes.len());
        self.whole(cursor, Dialect::Wire)
    }

    /// [`event`](Self::event), if it is wanted; without what isn't.
    ///
    /// # Errors
    /// As [`event`](Self::event), so far as the event was looked at.
    pub fn event_if<'d>(
        &'d mut self,
        bytes: &'d [u8],
        is_wanted: impl FnOnce(&Head<'_>) -> bool,
    ) -> Result<Option<Record<'d>>> {
        self.cache.trim();
        self.parse_if(Cursor::new(bytes, 0, bytes.len()), Dialect::Wire, is_wanted)
    }

    #[inline]
    pub(crate) fn template(&self, index: TemplateIndex) -> &Template {
        match index {
            TemplateIndex::Cached(index) => self.cache.get(index),
            TemplateIndex::Loose(index) => &self.loose[index as usize],
        }
    }

    #[inline]
    fn whole<'d>(&'d mut self, cursor: Cursor<'d>, dialect: Dialect) -> Result<Record<'d>> {
        let mut values = cursor;
        let template = self.begin(&mut values, dialect);
        self.parse(cursor, dialect, template.map(|template| (template, values)))
    }

    #[inline]
    fn parse_if<'d>(
        &'d mut self,
        cursor: Cursor<'d>,
        dialect: Dialect,
        is_wanted: impl FnOnce(&Head<'_>) -> bool,
    ) -> Result<Option<Record<'d>>> {
        let mut begin = cursor;
        let template = self.begin(&mut begin, dialect);
        let mut values = begin;
        if let Some(template) = template
            && let Some(values) = Values::read(&mut values)
            && let Some(head) = Head::new(&self.cache, dialect, self.ansi, template, values)
            && !is_wanted(&head)
        {
            return Ok(None);
        }
        self.parse(cursor, dialect, template.map(|template| (template, begin))).map(Some)
    }

    /// The event's own template, if it has one. The cursor goes on to where the values for it begin. What is
    /// wrong with an event [`parse`](Self::parse) tells.
    #[inline]
    fn begin(&mut self, cursor: &mut Cursor<'_>, dialect: Dialect) -> Option<u32> {
        if dialect == Dialect::File
            && !self.is_leftover
            && let Some(known) = self.cache.at_hand(cursor, Place::Document)
        {
            return Some(known);
        }
        self.look_up(cursor, dialect)
    }

    /// The same, where it isn't at hand.
    #[inline(never)]
    fn look_up(&mut self, cursor: &mut Cursor<'_>, dialect: Dialect) -> Option<u32> {
        skip_to_instance(cursor)?;
        self.definition(cursor, dialect, Place::Document).ok()
    }

    /// An event. What [`begin`](Self::begin) has found of it isn't looked for again.
    fn parse<'d>(
        &'d mut self,
        mut cursor: Cursor<'d>,
        dialect: Dialect,
        begun: Option<(u32, Cursor<'d>)>,
    ) -> Result<Record<'d>> {
        let Cursor { bytes, at, end } = cursor;
        self.slots.clear();
        self.instances.clear();
        self.has_arrays = false;
        self.has_odd_binxml = false;
        self.has_lost_names = false;
        self.has_borrowed_template = false;
        self.loose.clear();
        self.joined.clear();
        self.joined_text.clear();
        self.odd = None;
        match begun {
            Some((template, mut values)) => {
                self.push_instance();
                self.values(0, template, &mut values, dialect, 0)?;
            }
            None => drop(self.fragments(&mut cursor, dialect, Place::Document, 0)?),
        }
        if self.instances.is_empty() {
            return Err(Fault::Empty.at(at));
        }
        let expansion = self.may_expand(end - at);
        let joins = self.instances.iter().any(|i| !self.template(i.template).joined.is_empty());
        if expansion {
            check_expansion(Record::new(self, bytes), at)?;
        }
        if joins {
            self.join(bytes);
        }
        let record = Record::new(self, bytes);
        if record.is_odd() {
            self.odd = Some(Event::from_source(&record));
        }
        Ok(Record::new(self, bytes))
    }

    /// What stands at the cursor, up to its end: elements and template instances. Gives the first
    /// of them.
    fn fragments(
        &mut self,
        cursor: &mut Cursor<'_>,
        dialect: Dialect,
        place: Place,
        depth: usize,
    ) -> Result<Option<InstanceIndex>> {
        if depth > Limits::INSTANCE_DEPTH {
            return Err(Fault::Limit("instances inside one another").at(cursor.at));
        }
        let mut first = None;
        let mut last: Option<usize> = None;
        while let Some(token) = cursor.peek() {
            let at = cursor.at;
            match token & !token::MORE {
                token::EOF => break,
                token::FRAGMENT_HEADER => {
                    cursor.take(4)?;
                    continue;
                }
                token::PI_TARGET => {
                    cursor.u8()?;
                    cursor.name(dialect)?;
                    continue;
                }
                token::PI_DATA => {
                    cursor.u8()?;
                    let units = cursor.u16()?;
                    cursor.take(2 * usize::from(units))?;
                    continue;
                }
                // The record's own event is one; what follows it is of no event.
                _ if depth == 0 && last.is_some() => break,
                token::TEMPLATE_INSTANCE | token::OPEN_START_ELEMENT => {}
                _ => return Err(Fault::Token(token).at(at)),
            }
            let index = self.instances.len();
            if index >= Limits::INSTANCES {
                return Err(Fault::Limit("template instances").at(at));
            }
            self.push_instance();
            if token & !token::MORE == token::TEMPLATE_INSTANCE {
                let template = self.definition(cursor, dialect, place)?;
                self.values(index, template, cursor, dialect, depth)?;
            } else {
                let template = compile(cursor, dialect, place, false)?;
                if self.is_leftover && !self.has_its_names(&template, cursor.bytes, at) {
                    return Err(Fault::Overwritten("name").at(at));
                }
                self.instances[index].template = TemplateIndex::Loose(self.loose.len() as u32);
                self.loose.push(template);
            }
            let this = u16::try_from(index).ok().and_then(InstanceIndex::new);
            match last.replace(index) {
                Some(before) => self.instances[before].next = this,
                None => first = this,
            }
        }
        Ok(first)
    }

    /// An instance of which nothing is known yet.
    fn push_instance(&mut self) {
        self.instances.push(Instance {
            template: TemplateIndex::Loose(0),
            slots: self.slots.len() as u32,
            count: 0,
            joined: 0,
            next: None,
        });
    }

    /// What comes after a template instance's definition: where its values lie, and the BinXML
    /// among them.
    fn values(
        &mut self,
        index: usize,
        template: u32,
        cursor: &mut Cursor<'_>,
        dialect: Dialect,
        depth: usize,
    ) -> Result<()> {
        let count = cursor.u32()? as usize;
        let at = cursor.at;
        if self.slots.len() + count > Limits::VALUES {
            return Err(Fault::Limit("values").at(at));
        }
        let (descriptors, _) = cursor.take(4 * count)?.as_chunks();
        let start = self.slots.len();
        // One pass without branches, over several descriptors at once.
        let (mut kinds, mut binxml) = (0, 0u32);
        for &descriptor in descriptors {
            let descriptor = u32::from_le_bytes(descriptor);
            kinds |= descriptor;
            binxml += u32::from(descriptor >> 16 & 0xff == u32::from(BIN_XML));
        }
        let mut value_at = cursor.at as u32;
        self.slots.extend(descriptors.iter().map(|&descriptor| {
            let descriptor = u32::from_le_bytes(descriptor);
            let slot = Slot::new(value_at, descriptor);
            value_at += descriptor & 0xffff;
            slot
        }));
        cursor.take(value_at as usize - cursor.at)?;
        self.has_arrays |= kinds >> 16 & u32::from(ARRAY) != 0;
        self.instances[index] = Instance {
            template: TemplateIndex::Cached(template),
            slots: start as u32,
            count: count as u32,
            joined: 0,
            next: None,
        };
        let is_binxml = |&[_, _, kind, _]: &[u8; 4]| kind == BIN_XML;
        match binxml {
            0 => Ok(()),
            // As in nearly all that have any.
            1 => {
                let only = descriptors.iter().position(is_binxml).unwrap_or_default();
                let mut content = self.cache.get(template).content_slots.iter();
                match content.find(|content| usize::from(content.slot) == only) {
                    Some(&content) => self.nested(start, content, cursor.bytes, dialect, depth),
                    None => Ok(()),
                }
            }
            _ => {
                for i in 0..self.cache.get(template).content_slots.len() {
                    let content = self.cache.get(template).content_slots[i];
                    if usize::from(content.slot) < count {
                        self.nested(start, content, cursor.bytes, dialect, depth)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// What is in a value of an instance, whose first value is `start`, if that is BinXML.
    fn nested(
        &mut self,
        start: usize,
        content: ContentSlot,
        bytes: &[u8],
        dialect: Dialect,
        depth: usize,
    ) -> Result<()> {
        let place = start + usize::from(content.slot);
        let slot = self.slots[place];
        if slot.kind() == BIN_XML && slot.len() > 0 {
            let at = slot.at() as usize;
            let mut value = Cursor::new(bytes, at, at + usize::from(slot.len()));
            let first = self.fragments(&mut value, dialect, content.inside, depth + 1)?;
            if let Some(first) = first {
                self.slots[place] = Slot::with_nested(slot.at(), first);
                self.has_odd_binxml |= content.plain;
            }
        }
        Ok(())
    }

    /// The template of the instance that comes next.
    #[inline]
    fn definition(
        &mut self,
        cursor: &mut Cursor<'_>,
        dialect: Dialect,
        place: Place,
    ) -> Result<u32> {
        cursor.take(2)?; // The token and a reserved byte.
        match dialect {
            Dialect::File => self.chunk_definition(cursor, place),
            Dialect::Wire => {
                let guid = cursor.array()?;
                let len = cursor.u32()?;
                let at = cursor.at;
                cursor.take(len as usize)?;
                let identity = Identity { guid, len, place, dialect };
                self.cache.find(identity, cursor.bytes, at, cursor.at)
            }
        }
    }

    /// The template at the offset that comes next; the definition itself may stand right there.
    #[inline]
    fn chunk_definition(&mut self, cursor: &mut Cursor<'_>, place: Place) -> Result<u32> {
        /// The offset of the next definition, identifier and length.
        const HEADER: usize = 4 + 16 + 4;
        let id: [u8; 4] = cursor.array()?; // The first four bytes of the identifier.
        let offset = cursor.u32()?;
        if self.is_leftover && offset as usize != cursor.at {
            return self.leftover_definition(cursor, place, id, offset);
        }
        let is_here = offset as usize == cursor.at;
        if !is_here && let Some(known) = self.cache.at_offset(offset, place) {
            return Ok(known);
        }
        let found = self.definition_at(cursor.bytes, offset, place);
        if self.is_leftover {
            if let Ok((index, at, len)) = found
                && self.has_its_names(self.cache.get(index), cursor.bytes, at)
            {
                cursor.take(HEADER + len)?;
                return Ok(index);
            }
            cursor.u32()?;
            let guid = cursor.array()?;
            let len = cursor.u32()? as usize;
            cursor.take(len)?;
            return match self.other_definition(cursor, place, id, Some(guid)) {
                Some(found) => Ok(found),
                None => self.without_names(cursor, place, "name"),
            };
        }
        let (index, _, len) = found?;
        if is_here {
            cursor.take(HEADER + len)?;
        }
        self.cache.remember_offset(offset, place, index);
        Ok(index)
    }

    /// The template whose definition stands at an offset of a chunk, where its bytes begin, and
    /// how many these are.
    fn definition_at(
        &mut self,
        chunk: &[u8],
        offset: u32,
        place: Place,
    ) -> Result<(u32, usize, usize)> {
        let mut header = Cursor::new(chunk, offset as usize, chunk.len());
        let (identity, at) = chunk_identity(&mut header, place)?;
        let index = self.cache.find(identity, chunk, at, header.at)?;
        Ok((index, at, identity.len as usize))
    }

    /// Whether the record might print far more than it holds, so that it has to be measured.
    fn may_expand(&self, len: usize) -> bool {
        let mut text = len;
        for instance in &self.instances {
            let template = self.template(instance.template);
            if template.reuses {
                return true;
            }
            text += template.literals.len();
        }
        if !self.has_arrays {
            return false;
        }
        let mut arrays = self.slots.iter().filter(|slot| slot.is_array());
        match (arrays.next(), arrays.next()) {
            (None, _) => false,
            (Some(array), None) => usize::from(array.len()) * text > Limits::EXPANSION,
            _ => true,
        }
    }

    /// Puts the texts together that are made of several pieces.
    fn join(&mut self, bytes: &[u8]) {
        let mut text = Vec::new();
        let mut ranges = Vec::new();
        let mut starts = Vec::with_capacity(self.instances.len());
        {
            let record = Record::new(self, bytes);
            for instance in &self.instances {
                starts.push(ranges.len() as u32);
                for &(start, end) in &self.template(instance.template).joined {
                    ranges.push(record.join(instance, start, end, &mut text));
                }
            }
        }
        for (instance, start) in self.instances.iter_mut().zip(starts) {
            instance.joined = start;
        }
        self.joined = ranges;
        self.joined_text = String::from_utf8(text)
            .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
    }
}

/// Decodes the records of one chunk. See [`Decoder::chunk`].
pub struct ChunkDecoder<'d> {
    decoder: &'d mut Decoder,
    chunk: &'d [u8],
}

impl ChunkDecoder<'_> {
    /// The event whose BinXML stands in a range of the chunk.
    ///
    /// # Errors
    /// The range has no whole event, or passes a bound of [`Limits`].
    pub fn event(&mut self, range: Range<usize>) -> Result<Record<'_>> {
        let cursor = Cursor::new(self.chunk, range.start, range.end);
        self.decoder.whole(cursor, Dialect::File)
    }

    /// The event whose BinXML stands in a range of the chunk, if it is wanted. Whether it is, is
    /// asked before it is known how the rest of it reads: damage in the rest of an event that
    /// isn't wanted goes unnoticed. An event of an odd shape is given without asking.
    ///
    /// # Errors
    /// As [`event`](Self::event), so far as the event was looked at.
    #[inline]
    pub fn event_if(
        &mut self,
        range: Range<usize>,
        is_wanted: impl FnOnce(&Head<'_>) -> bool,
    ) -> Result<Option<Record<'_>>> {
        let cursor = Cursor::new(self.chunk, range.start, range.end);
        self.decoder.parse_if(cursor, Dialect::File, is_wanted)
    }
}
