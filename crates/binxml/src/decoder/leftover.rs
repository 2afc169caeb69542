//! Records that a log has given up, and whose templates and names others may have overwritten.

use std::ops::Range;
use std::sync::Arc;

use super::{ChunkDecoder, Decoder};
use crate::cache::Identity;
use crate::cursor::{Cursor, Dialect};
use crate::definitions::{Definitions, definitions_in};
use crate::error::{Fault, Result};
use crate::limits::Limits;
use crate::name::name_hash;
use crate::record::Record;
use crate::template::{Place, Template};

/// What is left of an event. See [`ChunkDecoder::leftover`].
pub struct Leftover<'d> {
    /// The event.
    pub record: Record<'d>,
    /// Whether the names of its data were overwritten. Its values are those of `<EventData>` then
    /// and have none, whatever they were once.
    pub has_lost_names: bool,
    /// Whether a template of another source was used, as no own one is left.
    pub has_borrowed_template: bool,
}

impl ChunkDecoder<'_> {
    /// Says which ranges of the chunk were written in one go each, so that what stands in one of
    /// them and refers to a name in the same one means that name. They are in the order of their
    /// places and apart.
    ///
    /// Those of before are forgotten. Where none are known, only the names are sure that every
    /// event has.
    pub fn set_generations(&mut self, generations: impl IntoIterator<Item = Range<usize>>) {
        self.decoder.generations.clear();
        self.decoder.generations.extend(generations);
    }

    /// The event of a record that was left over in the chunk: the chunk has others now, which may
    /// have overwritten templates and names that it refers to. That is an error then, but for the
    /// names of its data.
    ///
    /// # Errors
    /// What is left is no whole event, or a template that it refers to was overwritten
    /// ([`Fault::Overwritten`]).
    pub fn leftover(&mut self, range: Range<usize>) -> Result<Leftover<'_>> {
        let cursor = Cursor::new(self.chunk, range.start, range.end);
        self.decoder.is_leftover = true;
        let is_whole = self.decoder.parse(cursor, Dialect::File, None).map(drop);
        self.decoder.is_leftover = false;
        is_whole?;
        let Decoder { has_lost_names, has_borrowed_template, .. } = *self.decoder;
        let record = Record::new(self.decoder, self.chunk);
        Ok(Leftover { record, has_lost_names, has_borrowed_template })
    }

    /// Adds the template definitions that stand in a record, so far as the names are still there
    /// that they refer to: those of the range's own [generation](Self::set_generations), and those
    /// that every event has.
    pub fn collect(&mut self, range: Range<usize>, definitions: &mut Definitions) {
        let decoder = &mut *self.decoder;
        for found in definitions_in(Cursor::new(self.chunk, range.start, range.end)) {
            let (at, len) = (found.body.start, found.body.len());
            let identity = Identity {
                guid: found.guid,
                len: len as u32,
                place: found.place,
                dialect: Dialect::File,
            };
            let index = decoder.cache.find(identity, self.chunk, at, found.body.end);
            if index
                .is_ok_and(|index| decoder.has_its_names(decoder.cache.get(index), self.chunk, at))
            {
                definitions.insert_from(self.chunk, found.guid, at, len);
            }
        }
    }
}

impl Decoder {
    /// Gives the definitions that serve leftover records where those that they refer to are gone.
    /// Those of before are forgotten.
    pub fn set_definitions(&mut self, definitions: Arc<Definitions>) {
        self.definitions = definitions;
    }

    /// The template of a record that was left over: where it says, if it is still there; one of
    /// the chunk with its identifier; one that was seen elsewhere, if the values fit it; or, for
    /// the event's data, one that gives no value a name.
    #[cold]
    pub(super) fn leftover_definition(
        &mut self,
        cursor: &Cursor<'_>,
        place: Place,
        id: [u8; 4],
        offset: u32,
    ) -> Result<u32> {
        let chunk = cursor.bytes;
        let said = Some(offset).filter(|offset| chunk_id(chunk, *offset) == Some(&id));
        for offset in said.into_iter().chain(known_definition(chunk, id)) {
            if let Ok((index, at, _)) = self.definition_at(chunk, offset, place)
                && self.has_its_names(self.cache.get(index), chunk, at)
            {
                return Ok(index);
            }
        }
        match self.other_definition(cursor, place, id, None) {
            Some(found) => Ok(found),
            None => self.without_names(cursor, place, "template"),
        }
    }

    /// The one template that was seen elsewhere and that the values fit which come next.
    pub(super) fn other_definition(
        &mut self,
        cursor: &Cursor<'_>,
        place: Place,
        id: [u8; 4],
        guid: Option<[u8; 16]>,
    ) -> Option<u32> {
        let found = self.definitions.find(id, guid, *cursor)?;
        let bytes = found.definition.bytes();
        let (guid, len) = (found.definition.guid(), bytes.len() as u32);
        let identity = Identity { guid, len, place, dialect: Dialect::Wire };
        let index = self.cache.find(identity, bytes, 0, bytes.len()).ok()?;
        self.has_borrowed_template |= found.is_borrowed;
        Some(index)
    }

    /// For the event's data, a template that gives no value a name, in place of one that was lost.
    pub(super) fn without_names(
        &mut self,
        cursor: &Cursor<'_>,
        place: Place,
        lost: &'static str,
    ) -> Result<u32> {
        let count = Cursor { ..*cursor }.u32()?;
        if place != Place::Event || count > Limits::UNNAMED {
            return Err(Fault::Overwritten(lost).at(cursor.at));
        }
        self.has_lost_names = true;
        self.cache.unnamed(count, place).map_err(|error| error.fault.at(cursor.at))
    }

    /// Whether the names are still there that a definition or element at `at` refers to.
    ///
    /// A name with its hash may be another one that was written later, where the first of the
    /// chunk's records are of one layout. So it has to be of the generation that refers to it, or
    /// be the only one that an event can have there.
    pub(super) fn has_its_names(&self, template: &Template, chunk: &[u8], at: usize) -> bool {
        let u16_at = |at: usize| Some(u16::from_le_bytes(*chunk.get(at..)?.first_chunk()?));
        let generation = self.generation_of(at);
        template.names.iter().all(|name| {
            let Some(characters) = &name.elsewhere else { return true };
            let offset = chunk.get(at + name.at..).and_then(|rest| rest.first_chunk());
            let Some(offset) = offset.map(|offset| u32::from_le_bytes(*offset) as usize) else {
                return false;
            };
            let is_of_it = generation.is_some_and(|generation| generation.contains(&offset));
            // Behind the offset of the next name with it.
            let hash = offset.checked_add(4).and_then(u16_at);
            let (units, _) = characters.as_chunks::<2>();
            (is_of_it || name.is_fixed)
                && hash == Some(name_hash(units.iter().map(|unit| u16::from_le_bytes(*unit))))
        })
    }

    /// The range around a place that was written in one go.
    fn generation_of(&self, at: usize) -> Option<&Range<usize>> {
        let next = self.generations.partition_point(|generation| generation.start <= at);
        let last = self.generations.get(next.checked_sub(1)?)?;
        last.contains(&at).then_some(last)
    }
}

/// The first four bytes of the identifier of the definition at an offset.
fn chunk_id(chunk: &[u8], offset: u32) -> Option<&[u8; 4]> {
    chunk.get((offset as usize).checked_add(4)?..)?.first_chunk()
}

/// Where the chunk's own table has a definition with an identifier that begins so.
fn known_definition(chunk: &[u8], id: [u8; 4]) -> Option<u32> {
    /// The heads of 32 lists, each linked by the offset that a definition begins with.
    const TABLE: Range<usize> = 384..512;
    /// More than there is room for; the lists of a damaged chunk may have no end.
    const MOST: usize = 2000;
    let u32_at = |at: usize| Some(u32::from_le_bytes(*chunk.get(at..)?.first_chunk()?));
    let mut steps = 0..MOST;
    for head in TABLE.step_by(4) {
        let mut offset = u32_at(head)?;
        while offset != 0 {
            steps.next()?;
            if chunk_id(chunk, offset) == Some(&id) {
                return Some(offset);
            }
            match u32_at(offset as usize) {
                Some(next) => offset = next,
                None => break,
            }
        }
    }
    None
}
