//! Template definitions apart from the chunk they stood in, for records that are left over.
//!
//! A record of a file refers to its template by an offset in its chunk and the first four bytes
//! of the template's identifier. Where the chunk is gone, or has been written over, a definition
//! of the same template often stands in another chunk. [`Definitions`] keeps those that were seen,
//! with the names that they refer to, and finds the one that a record's values fit.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use crate::cursor::{Cursor, Dialect, token};
use crate::error::{Fault, Result};
use crate::limits::Limits;
use crate::name::name_hash;
use crate::template::Place;
use crate::value::{BIN_XML, HEX_INT32, HEX_INT64, NULL, SIZE_T};

/// Template definitions that were seen somewhere, each once.
///
/// They are collected by [`ChunkDecoder::collect`](crate::ChunkDecoder::collect), and used by
/// [`ChunkDecoder::leftover`](crate::ChunkDecoder::leftover) once they are
/// [given](crate::Decoder::set_definitions) to a decoder. At most [`Limits::DEFINITIONS`] are
/// kept, of [`Limits::DEFINITION_BYTES`] in sum; those that come later are left out.
#[derive(Clone, Default)]
pub struct Definitions {
    by_id: HashMap<[u8; 4], Vec<Arc<Definition>>>,
    known: HashSet<Arc<Definition>>,
    bytes: usize,
    /// Those of other sources, which serve where none of these does.
    others: Option<Arc<Definitions>>,
}

/// A template definition that refers to nothing outside of it.
#[derive(PartialEq, Eq, Hash, Debug)]
pub(crate) struct Definition {
    guid: [u8; 16],
    /// As a server would send it: each name stands where it is used.
    bytes: Box<[u8]>,
    slots: Slots,
}

/// What a definition says of the values that are substituted in it.
#[derive(PartialEq, Eq, Hash, Debug, Default)]
struct Slots {
    /// The slots with their types, in the order of their use.
    uses: Vec<(u16, u8)>,
    /// One more than the last that is used.
    count: usize,
}

/// A definition that fits.
pub(crate) struct Found {
    pub(crate) definition: Arc<Definition>,
    /// Whether it is one of another source.
    pub(crate) is_borrowed: bool,
}

impl Definitions {
    /// Nothing yet; where nothing that is collected fits, the definitions of other sources serve.
    pub fn with_others(others: Arc<Definitions>) -> Self {
        Definitions { others: Some(others), ..Definitions::default() }
    }

    /// How many there are, without those of other sources.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there are none, without those of other sources.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Takes over what another collection has; not the other sources that it knows of.
    pub fn add(&mut self, other: &Definitions) {
        other.known.iter().for_each(|definition| self.insert(Arc::clone(definition)));
    }

    fn insert(&mut self, definition: Arc<Definition>) {
        let bytes = self.bytes + definition.bytes.len();
        if self.known.len() >= Limits::DEFINITIONS
            || bytes > Limits::DEFINITION_BYTES
            || !self.known.insert(Arc::clone(&definition))
        {
            return;
        }
        self.bytes = bytes;
        self.by_id.entry(definition.id()).or_default().push(definition);
    }

    /// Adds the definition whose `len` bytes stand at `at` in a chunk, with names that are there.
    pub(crate) fn insert_from(&mut self, chunk: &[u8], guid: [u8; 16], at: usize, len: usize) {
        if let Ok((bytes, slots)) = with_names_inline(Cursor::new(chunk, at, at + len)) {
            self.insert(Arc::new(Definition { guid, bytes: bytes.into(), slots }));
        }
    }

    /// The one definition that values fit, whose count and descriptors come next in `values`.
    /// Where two fit that are not the same, none does.
    ///
    /// `guid` is the whole identifier, where the record says it.
    pub(crate) fn find(
        &self,
        id: [u8; 4],
        guid: Option<[u8; 16]>,
        values: Cursor<'_>,
    ) -> Option<Found> {
        let own = self.fitting(id, guid, values);
        let others = || Some(self.others.as_ref()?.fitting(id, guid, values));
        match own {
            Fit::One(definition) => Some(Found { definition, is_borrowed: false }),
            Fit::Several => None,
            Fit::None => match others() {
                Some(Fit::One(definition)) => Some(Found { definition, is_borrowed: true }),
                _ => None,
            },
        }
    }

    fn fitting(&self, id: [u8; 4], guid: Option<[u8; 16]>, values: Cursor<'_>) -> Fit {
        let candidates = self.by_id.get(&id).into_iter().flatten();
        let mut fitting = candidates
            .filter(|definition| guid.is_none_or(|guid| guid == definition.guid))
            .filter(|definition| definition.slots.fit(values));
        match (fitting.next(), fitting.next()) {
            (None, _) => Fit::None,
            (Some(one), None) => Fit::One(Arc::clone(one)),
            (Some(_), Some(_)) => Fit::Several,
        }
    }
}

enum Fit {
    None,
    One(Arc<Definition>),
    Several,
}

impl std::fmt::Debug for Definitions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let others = self.others.as_ref().map(|others| others.len());
        f.debug_struct("Definitions").field("len", &self.len()).field("others", &others).finish()
    }
}

impl Definition {
    fn id(&self) -> [u8; 4] {
        [self.guid[0], self.guid[1], self.guid[2], self.guid[3]]
    }

    pub(crate) fn guid(&self) -> [u8; 16] {
        self.guid
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Slots {
    /// Whether values fit: there are as many as are substituted, as in all records of Windows, and
    /// each is NULL or of the type that is expected of it.
    fn fit(&self, mut values: Cursor<'_>) -> bool {
        let Ok(count) = values.u32() else { return false };
        let Ok(descriptors) = values.take(4 * count as usize) else { return false };
        let (descriptors, _) = descriptors.as_chunks::<4>();
        descriptors.len() == self.count
            && self.uses.iter().all(|&(slot, expected)| {
                descriptors
                    .get(usize::from(slot))
                    .is_some_and(|&[_, _, kind, _]| kind == NULL || is_alike(kind, expected))
            })
    }
}

/// Whether a value of a type is what Windows puts where a type is expected: that type, and for one
/// that is as wide as the machine's addresses (SizeT) a number in hexadecimal of that width.
fn is_alike(kind: u8, expected: u8) -> bool {
    kind == expected || expected == SIZE_T && matches!(kind, HEX_INT32 | HEX_INT64)
}

/// Where in its chunk the BinXML of a record began, in bytes, as a definition says that stands in
/// it at its first use, or the name of an element that is in no template. Nothing where there is
/// none. Damage may say anything.
pub fn place_in_chunk(binxml: &[u8]) -> Option<usize> {
    let mut place = place_by_name(Cursor::new(binxml, 0, binxml.len())).ok().flatten();
    if place.is_some() {
        return place;
    }
    let mut visit = |instance: &Instance| {
        if let Some(definition) = &instance.definition {
            place = (instance.offset as usize).checked_sub(definition.header);
        }
        place.is_none()
    };
    Instances { is_in_chunk: false, visit: &mut visit }
        .each(Cursor::new(binxml, 0, binxml.len()), 0);
    place
}

/// The same by the name of the first element, where it stands there.
fn place_by_name(mut cursor: Cursor<'_>) -> Result<Option<usize>> {
    while cursor.peek() == Some(token::FRAGMENT_HEADER) {
        cursor.take(4)?;
    }
    if cursor.u8()? & !token::MORE != token::OPEN_START_ELEMENT {
        return Ok(None);
    }
    cursor.u32()?; // The element's length.
    let offset = cursor.u32()? as usize;
    let at = cursor.at;
    cursor.u32()?; // The offset of the next name with the hash.
    let hash = cursor.u16()?;
    let units = cursor.u16()?;
    let (units, _) = cursor.take(2 * usize::from(units))?.as_chunks::<2>();
    let is_here =
        !units.is_empty() && hash == name_hash(units.iter().map(|unit| u16::from_le_bytes(*unit)));
    Ok(if is_here { offset.checked_sub(at) } else { None })
}

/// The definitions that stand in a record of a chunk, at any depth.
pub(crate) fn definitions_in(record: Cursor<'_>) -> Vec<InPlace> {
    let mut found = Vec::new();
    let mut visit = |instance: &Instance| {
        found.extend(instance.definition.clone());
        true
    };
    Instances { is_in_chunk: true, visit: &mut visit }.each(record, 0);
    found
}

/// A definition where it stands in a record.
#[derive(Clone)]
pub(crate) struct InPlace {
    pub(crate) guid: [u8; 16],
    /// Where it begins, with the offset of the next one.
    header: usize,
    /// Where its own bytes are.
    pub(crate) body: Range<usize>,
    /// Where it stands in an event, so far as it matters which names are sure.
    pub(crate) place: Place,
}

/// A template instance in a record.
struct Instance {
    /// Where in the chunk the record says that the definition is.
    offset: u32,
    /// The definition, if it stands here.
    definition: Option<InPlace>,
}

/// Goes over the template instances of a record, also those in its values, whether their
/// templates are known or not, until `visit` says that it has seen enough.
struct Instances<'v> {
    /// Whether offsets are those of the cursor; else a definition is told by its identifier.
    is_in_chunk: bool,
    visit: &'v mut dyn FnMut(&Instance) -> bool,
}

impl Instances<'_> {
    /// Whether there may be more to see.
    fn each(&mut self, mut cursor: Cursor<'_>, depth: usize) -> bool {
        if depth > Limits::INSTANCE_DEPTH {
            return true;
        }
        while let Some(token) = cursor.peek() {
            let goes_on = match token & !token::MORE {
                token::FRAGMENT_HEADER => cursor.take(4).map(|_| true),
                token::TEMPLATE_INSTANCE => self.instance(&mut cursor, depth),
                _ => return true,
            };
            match goes_on {
                Ok(true) => {}
                Ok(false) => return false,
                // What is damaged is no instance.
                Err(_) => return true,
            }
        }
        true
    }

    fn instance(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<bool> {
        cursor.take(2)?; // The token and a reserved byte.
        let id: [u8; 4] = cursor.array()?;
        let offset = cursor.u32()?;
        let header = cursor.at;
        let mut ahead = *cursor;
        ahead.u32()?;
        let guid: [u8; 16] = ahead.array().unwrap_or_default();
        let is_here = guid.starts_with(&id) && (!self.is_in_chunk || offset as usize == header);
        let mut definition = None;
        if is_here {
            let len = ahead.u32()? as usize;
            let body = ahead.at..ahead.at + ahead.take(len)?.len();
            let place = if depth == 0 { Place::Document } else { Place::Event };
            definition = Some(InPlace { guid, header, body, place });
            *cursor = ahead;
        }
        if !(self.visit)(&Instance { offset, definition }) {
            return Ok(false);
        }
        let count = cursor.u32()? as usize;
        if count > Limits::VALUES {
            return Err(Fault::Limit("values").at(cursor.at));
        }
        let (descriptors, _) = cursor.take(4 * count)?.as_chunks::<4>();
        for &[low, high, kind, _] in descriptors {
            let at = cursor.at;
            cursor.take(u16::from_le_bytes([low, high]).into())?;
            let value = Cursor::new(cursor.bytes, at, cursor.at);
            if kind == BIN_XML && !self.each(value, depth + 1) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A definition of a file with each name where it is used, as a server sends it; and the values
/// that it takes.
fn with_names_inline(mut cursor: Cursor<'_>) -> Result<(Vec<u8>, Slots)> {
    let mut out = Vec::with_capacity(cursor.rest().len());
    let mut slots = Slots::default();
    while let Some(token) = cursor.peek() {
        let at = cursor.at;
        // What stands before and after a name.
        let (before, has_name, behind) = match token & !token::MORE {
            token::EOF => break,
            token::FRAGMENT_HEADER => (4, false, 0),
            // A dependency and a length before the name, the attributes' length after it.
            token::OPEN_START_ELEMENT => (7, true, if token & token::MORE != 0 { 4 } else { 0 }),
            token::CLOSE_START_ELEMENT | token::CLOSE_EMPTY_ELEMENT | token::END_ELEMENT => {
                (1, false, 0)
            }
            token::VALUE_TEXT => (2, false, 2),
            token::CDATA_SECTION | token::PI_DATA => (1, false, 2),
            token::ATTRIBUTE | token::ENTITY_REF | token::PI_TARGET => (1, true, 0),
            token::CHAR_REF => (3, false, 0),
            token::NORMAL_SUBSTITUTION | token::OPTIONAL_SUBSTITUTION => (4, false, 0),
            _ => return Err(Fault::Token(token).at(at)),
        };
        let head = cursor.take(before)?;
        let start = out.len();
        out.extend_from_slice(head);
        if token & !token::MORE == token::OPEN_START_ELEMENT {
            // Lengths differ with the names that stand here; without, equal definitions are equal.
            out[start + 3..].fill(0);
        }
        if has_name {
            let characters = cursor.name(Dialect::File)?.characters;
            let (units, _) = characters.as_chunks::<2>();
            let hash = name_hash(units.iter().map(|unit| u16::from_le_bytes(*unit)));
            out.extend_from_slice(&hash.to_le_bytes());
            out.extend_from_slice(&(units.len() as u16).to_le_bytes());
            out.extend_from_slice(characters);
            out.extend_from_slice(&[0, 0]);
            out.extend(cursor.take(behind)?.iter().map(|_| 0));
        } else if behind > 0 {
            let units = cursor.u16()?;
            out.extend_from_slice(&units.to_le_bytes());
            out.extend_from_slice(cursor.take(2 * usize::from(units))?);
        }
        if let (token::NORMAL_SUBSTITUTION | token::OPTIONAL_SUBSTITUTION, &[_, low, high, kind]) =
            (token & !token::MORE, head)
        {
            let slot = u16::from_le_bytes([low, high]);
            slots.count = slots.count.max(usize::from(slot) + 1);
            slots.uses.push((slot, kind));
        }
        if out.len() > Limits::TEMPLATE_TEXT {
            return Err(Fault::Limit("literal text").at(at));
        }
    }
    Ok((out, slots))
}
