//! Compiled templates, found again by what they are: identifier, length and bytes.
//!
//! An identifier alone is not enough, since a file may hold another definition under it. In a
//! file, a definition's bytes hold offsets of names in its chunk; a template is the same in
//! another chunk when everything but these is, and the names at the new offsets are.

use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;

use crate::compile::compile;
use crate::cursor::{Cursor, Dialect, is_chunk_name, token};
use crate::error::Result;
use crate::limits::Limits;
use crate::template::{Place, Template};

/// What a definition says of itself, and where it is used.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) guid: [u8; 16],
    pub(crate) len: u32,
    pub(crate) place: Place,
    pub(crate) dialect: Dialect,
}

/// The templates at some offsets, one for each hash of them: an offset, the place that the template
/// there is compiled for, and its index, in one word. What a head finds is noted here too, so it takes no
/// more than a look at the cache.
struct AtHand([AtomicU64; AtHand::LEN]);

impl AtHand {
    const LEN: usize = 64;
    /// The bits of an index; of so high a one nothing is noted.
    const INDEX: u64 = (1 << 29) - 1;

    #[inline]
    fn at(&self, offset: u32, place: Place) -> &AtomicU64 {
        // Definitions are far from each other and at even places.
        &self.0[(offset >> 1 ^ offset >> 7 ^ place as u32) as usize % AtHand::LEN]
    }

    /// What stands above the bits of the index.
    #[inline]
    fn key(offset: u32, place: Place) -> u64 {
        u64::from(offset) << 3 | place as u64
    }

    #[inline]
    fn get(&self, offset: u32, place: Place) -> Option<u32> {
        let entry = self.at(offset, place).load(Ordering::Relaxed);
        let (key, index) = (entry / (Self::INDEX + 1), entry & Self::INDEX);
        (key == Self::key(offset, place) && index != Self::INDEX).then_some(index as u32)
    }

    #[inline]
    fn set(&self, offset: u32, place: Place, index: u32) {
        let index = u64::from(index).min(Self::INDEX);
        let entry = (Self::key(offset, place) * (Self::INDEX + 1)) | index;
        self.at(offset, place).store(entry, Ordering::Relaxed);
    }
}

impl Default for AtHand {
    fn default() -> Self {
        AtHand([const { AtomicU64::new(AtHand::INDEX) }; AtHand::LEN])
    }
}

#[derive(Default)]
pub(crate) struct Cache {
    templates: Vec<Template>,
    by_identity: HashMap<Identity, Vec<u32>>,
    /// The templates at offsets of the current chunk.
    by_offset: HashMap<(u32, Place), u32>,
    /// The same of one for each hash of them, where most are found.
    at_hand: AtHand,
    /// Templates of so many values without names.
    unnamed: HashMap<(u32, Place), u32>,
}

impl Cache {
    #[inline]
    pub(crate) fn get(&self, index: u32) -> &Template {
        &self.templates[index as usize]
    }

    /// Forgets what is known by its offset, because another chunk begins.
    pub(crate) fn begin_chunk(&mut self) {
        self.by_offset.clear();
        self.at_hand = AtHand::default();
        self.trim();
    }

    /// Starts anew when there are more templates than any honest source has.
    pub(crate) fn trim(&mut self) {
        if self.templates.len() > Limits::TEMPLATES {
            *self = Cache::default();
        }
    }

    #[inline]
    pub(crate) fn at_offset(&self, offset: u32, place: Place) -> Option<u32> {
        let known = || self.by_offset.get(&(offset, place)).copied();
        self.at_hand.get(offset, place).or_else(known)
    }

    /// The template of the instance that a fragment of a chunk begins with, if that was looked up in this
    /// chunk before; goes on to its values then. Nearly all are found so, by one look at their first bytes.
    #[inline(always)]
    pub(crate) fn at_hand(&self, cursor: &mut Cursor<'_>, place: Place) -> Option<u32> {
        // A fragment's header, and an instance's token, a reserved byte, the first bytes of the
        // identifier, and the offset of the definition.
        const LEN: usize = 4 + 2 + 4 + 4;
        let &[header, _, _, _, instance, _, _, _, _, _, a, b, c, d] =
            cursor.rest().first_chunk::<LEN>()?;
        let is_instance =
            header == token::FRAGMENT_HEADER && instance & !token::MORE == token::TEMPLATE_INSTANCE;
        let offset = u32::from_le_bytes([a, b, c, d]);
        // The definition itself may come next.
        if !is_instance || offset as usize == cursor.at + LEN {
            return None;
        }
        let known = self.at_hand.get(offset, place)?;
        cursor.at += LEN;
        Some(known)
    }

    /// The template of the instance that comes next, if it is one that was compiled before; goes on
    /// to its values then.
    #[inline]
    pub(crate) fn known(
        &self,
        cursor: &mut Cursor<'_>,
        dialect: Dialect,
        place: Place,
    ) -> Option<u32> {
        cursor.take(2).ok()?; // The token and a reserved byte.
        if dialect == Dialect::File {
            cursor.u32().ok()?; // The first four bytes of the identifier.
            let offset = cursor.u32().ok()?;
            let is_here = offset as usize == cursor.at;
            if !is_here && let Some(known) = self.at_offset(offset, place) {
                return Some(known);
            }
            let mut definition = Cursor::new(cursor.bytes, offset as usize, cursor.bytes.len());
            let (identity, at) = chunk_identity(&mut definition, place).ok()?;
            let known = self.find_known(identity, cursor.bytes, at)?;
            self.at_hand.set(offset, place, known);
            if is_here {
                cursor.take(definition.at - cursor.at).ok()?;
            }
            return Some(known);
        }
        let guid = cursor.array().ok()?;
        let len = cursor.u32().ok()?;
        let at = cursor.at;
        cursor.take(len as usize).ok()?;
        let identity = Identity { guid, len, place, dialect };
        self.find_known(identity, cursor.bytes, at)
    }

    fn find_known(&self, identity: Identity, bytes: &[u8], at: usize) -> Option<u32> {
        let mut variants = self.by_identity.get(&identity)?.iter().copied();
        variants.find(|&index| is_same(&self.templates[index as usize], identity, bytes, at))
    }

    pub(crate) fn remember_offset(&mut self, offset: u32, place: Place, index: u32) {
        self.by_offset.insert((offset, place), index);
        self.at_hand.set(offset, place, index);
    }

    /// A template of `<EventData>` with so many values, none of which has a name.
    pub(crate) fn unnamed(&mut self, count: u32, place: Place) -> Result<u32> {
        if let Some(known) = self.unnamed.get(&(count, place)) {
            return Ok(*known);
        }
        let definition = unnamed_data(count);
        let mut cursor = Cursor::new(&definition, 0, definition.len());
        let template = compile(&mut cursor, Dialect::Wire, place, true)?;
        let index = self.templates.len() as u32;
        self.templates.push(template);
        self.unnamed.insert((count, place), index);
        Ok(index)
    }

    /// The template of a definition that stands at `at`, compiled if it isn't known.
    pub(crate) fn find(
        &mut self,
        identity: Identity,
        bytes: &[u8],
        at: usize,
        end: usize,
    ) -> Result<u32> {
        if let Some(known) = self.find_known(identity, bytes, at) {
            return Ok(known);
        }
        let mut cursor = Cursor::new(bytes, at, end);
        let mut template = compile(&mut cursor, identity.dialect, identity.place, true)?;
        template.definition = bytes[at..cursor.at].into();
        if identity.dialect == Dialect::File {
            template.mask = mask(&template);
        }
        template.guid = identity.guid;
        let index = self.templates.len() as u32;
        self.templates.push(template);
        let variants = self.by_identity.entry(identity).or_default();
        if variants.len() >= Limits::TEMPLATE_VARIANTS {
            variants.remove(0);
        }
        variants.push(index);
        Ok(index)
    }
}

/// What the definition says of itself that stands at the cursor, in a chunk, and where its bytes begin. The
/// cursor goes on to their end.
pub(crate) fn chunk_identity(cursor: &mut Cursor<'_>, place: Place) -> Result<(Identity, usize)> {
    cursor.u32()?; // The offset of the next definition.
    let guid = cursor.array()?;
    let len = cursor.u32()?;
    let at = cursor.at;
    cursor.take(len as usize)?;
    Ok((Identity { guid, len, place, dialect: Dialect::File }, at))
}

/// The definition of `<EventData>` with so many `<Data>`, as a server would send it.
fn unnamed_data(count: u32) -> Vec<u8> {
    let open = |name: &str, out: &mut Vec<u8>| {
        out.push(token::OPEN_START_ELEMENT);
        out.extend_from_slice(&[0xff, 0xff]); // It depends on no value.
        out.extend_from_slice(&[0; 4 + 2]); // Its length and its name's hash, which nobody needs.
        out.extend_from_slice(&(name.len() as u16).to_le_bytes());
        out.extend(name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes));
        out.push(token::CLOSE_START_ELEMENT);
    };
    let mut out = Vec::new();
    open("EventData", &mut out);
    for slot in 0..count {
        open("Data", &mut out);
        out.push(token::NORMAL_SUBSTITUTION);
        // Each value has a type of its own.
        out.extend_from_slice(&[slot as u8, (slot >> 8) as u8, 0]);
        out.push(token::END_ELEMENT);
    }
    out.push(token::END_ELEMENT);
    out
}

fn is_same(template: &Template, identity: Identity, bytes: &[u8], at: usize) -> bool {
    let definition = &*template.definition;
    let Some(here) = bytes.get(at..).and_then(|here| here.get(..definition.len())) else {
        return false;
    };
    if identity.dialect == Dialect::Wire {
        return here == definition;
    }
    // In one pass without branches, over many bytes at once: names are a few letters apart.
    let bytes_of = here.iter().zip(definition).zip(&*template.mask);
    if bytes_of.fold(0, |all, ((here, known), mask)| all | ((here ^ known) & mask)) != 0 {
        return false;
    }
    template.names.iter().all(|name| {
        let Some(offset) = here.get(name.at..).and_then(|rest| rest.first_chunk()) else {
            return false;
        };
        let offset = u32::from_le_bytes(*offset) as usize;
        let is_here = offset == at + name.at + 4;
        match &name.elsewhere {
            None => is_here,
            Some(characters) => !is_here && is_chunk_name(bytes, offset, characters),
        }
    })
}

/// The bits of a definition that are the same in every chunk: all but the offsets of names.
fn mask(template: &Template) -> Box<[u8]> {
    let mut mask = vec![u8::MAX; template.definition.len()];
    for name in &template.names {
        // After its own offset, a name that stands here has that of the next one with its hash.
        let len = if name.elsewhere.is_none() { 8 } else { 4 };
        if let Some(offsets) = mask.get_mut(name.at..name.at + len) {
            offsets.fill(0);
        }
    }
    mask.into()
}
