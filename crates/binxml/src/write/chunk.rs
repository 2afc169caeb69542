//! Names and definitions in a chunk of an `.evtx` file.
//!
//! The first use of a name brings its characters along, and a template's first instance the
//! definition; later uses are offsets in the chunk. All of a chunk are found through two tables
//! in its header: lists by hash, of which the newest comes first and says where the next is.

use hashbrown::HashMap;

use crate::cursor::Dialect;
use crate::name::name_hash;
use crate::write::encode::{Encoder, Placement};
use crate::write::{Fragment, Packed, Template, WriteError};

/// What a chunk has: where its names and definitions stand.
pub struct ChunkTables {
    strings: [u32; Self::STRINGS],
    templates: [u32; Self::TEMPLATES],
    names: HashMap<Box<str>, u32>,
    definitions: HashMap<Box<[u8]>, u32>,
    /// The same for templates that were used, which are found sooner.
    used: HashMap<usize, (Template, u32)>,
    /// What the fragment that is being written has put in.
    added: Vec<Added>,
}

enum Added {
    Name { name: Box<str>, bucket: usize, before: u32 },
    Definition { wire: Box<[u8]>, bucket: usize, before: u32 },
}

impl Default for ChunkTables {
    fn default() -> Self {
        ChunkTables {
            strings: [0; Self::STRINGS],
            templates: [0; Self::TEMPLATES],
            names: HashMap::new(),
            definitions: HashMap::new(),
            used: HashMap::new(),
            added: Vec::new(),
        }
    }
}

impl ChunkTables {
    /// Lists in the table of strings.
    pub const STRINGS: usize = 64;
    /// Lists in the table of templates.
    pub const TEMPLATES: usize = 32;

    /// Of each list of strings, the offset of its first; 0 where it is empty.
    pub fn strings(&self) -> &[u32; Self::STRINGS] {
        &self.strings
    }

    /// Of each list of templates, the offset of its first; 0 where it is empty.
    pub fn templates(&self) -> &[u32; Self::TEMPLATES] {
        &self.templates
    }

    /// Writes a fragment after what there is of a chunk, up to `end`. `chunk` begins with the
    /// chunk, since offsets count from there. When the fragment can't be written, the chunk and
    /// the tables are as they were before.
    ///
    /// # Errors
    /// The fragment can't be written, or takes more than `end` leaves
    /// ([`WriteError::TooLarge`]): it may fit in another chunk then.
    pub fn write(
        &mut self,
        fragment: &Fragment<'_>,
        chunk: &mut Vec<u8>,
        end: usize,
    ) -> Result<(), WriteError> {
        self.write_by(chunk, end, |encoder| encoder.fragment(fragment, 0))
    }

    /// The same for an event that is packed.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_packed(
        &mut self,
        packed: Packed<'_>,
        chunk: &mut Vec<u8>,
        end: usize,
    ) -> Result<(), WriteError> {
        self.write_by(chunk, end, |encoder| encoder.packed(packed))
    }

    fn write_by(
        &mut self,
        chunk: &mut Vec<u8>,
        end: usize,
        write: impl FnOnce(&mut Encoder<'_, InChunk<'_>>) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let start = chunk.len();
        self.added.clear();
        let mut encoder = Encoder::new(chunk, end, InChunk { tables: self });
        let outcome = write(&mut encoder);
        if outcome.is_err() {
            chunk.truncate(start);
            self.undo();
        }
        outcome
    }

    fn undo(&mut self) {
        self.used.clear();
        while let Some(added) = self.added.pop() {
            match added {
                Added::Name { name, bucket, before } => {
                    self.names.remove(&name);
                    self.strings[bucket] = before;
                }
                Added::Definition { wire, bucket, before } => {
                    self.definitions.remove(&wire);
                    self.templates[bucket] = before;
                }
            }
        }
    }
}

/// Names and definitions once a chunk.
struct InChunk<'t> {
    tables: &'t mut ChunkTables,
}

impl Placement for InChunk<'_> {
    const DIALECT: Dialect = Dialect::File;

    fn name(encoder: &mut Encoder<'_, Self>, name: &str) -> Result<(), WriteError> {
        if let Some(&offset) = encoder.placement.tables.names.get(name) {
            return encoder.put_u32(offset);
        }
        let offset = encoder.at() as u32 + 4;
        encoder.put_u32(offset)?;
        let bucket = usize::from(name_hash(name.encode_utf16())) % ChunkTables::STRINGS;
        let tables = &mut *encoder.placement.tables;
        let before = std::mem::replace(&mut tables.strings[bucket], offset);
        tables.names.insert(name.into(), offset);
        tables.added.push(Added::Name { name: name.into(), bucket, before });
        encoder.put_u32(before)?;
        encoder.name_characters(name)
    }

    fn template(encoder: &mut Encoder<'_, Self>, template: &Template) -> Result<(), WriteError> {
        let guid = template.guid();
        encoder.put(&[1])?;
        encoder.put(&guid.to_bytes()[..4])?;
        let tables = &mut *encoder.placement.tables;
        // The template is kept, so that no other one can have its address.
        let address = template.address();
        if let Some(&(_, offset)) = tables.used.get(&address) {
            return encoder.put_u32(offset);
        }
        if let Some(&offset) = tables.definitions.get(template.wire()) {
            tables.used.insert(address, (template.clone(), offset));
            return encoder.put_u32(offset);
        }
        let offset = encoder.at() as u32 + 4;
        encoder.put_u32(offset)?;
        let bucket = template_bucket(guid.to_bytes());
        let tables = &mut *encoder.placement.tables;
        let before = std::mem::replace(&mut tables.templates[bucket], offset);
        tables.definitions.insert(template.wire().into(), offset);
        tables.added.push(Added::Definition { wire: template.wire().into(), bucket, before });
        encoder.put_u32(before)?;
        encoder.definition(guid, template.root(), template.waste())
    }
}

/// The list that a template is in: identifiers are hashed as if they were names of eight units.
fn template_bucket(guid: [u8; 16]) -> usize {
    let units = guid.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    usize::from(name_hash(units)) % ChunkTables::TEMPLATES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_in_the_lists_that_windows_puts_them_in() {
        // From the first chunk of a log that Windows wrote: list and identifier.
        for (bucket, guid) in [
            (0, 0xda9d_b85e_788f_e757_0a26_7641_acf8_b32e_u128),
            (12, 0x91f6_baf7_397b_9157_4179_a141_6c2c_37b6),
            (12, 0x06c1_0b4c_4e63_8154_abd3_20bb_efcb_0e1d),
            (31, 0x018c_3916_8328_b857_f66e_4c26_24bd_40a8),
        ] {
            assert_eq!(template_bucket(guid.to_be_bytes()), bucket);
        }
    }
}
