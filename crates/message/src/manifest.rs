//! What a provider's manifest was compiled to: the resource WEVT_TEMPLATE, versions 3.1 and 5.1.
//!
//! No specification describes it. The layout is what libfwevt documents, with what that lacks
//! (the contents of value maps, the fields of structures, the name of the provider in PRVA) from
//! comparing resources with the manifests they were made of.
//!
//! | signature | what it holds |
//! |---|---|
//! | `CRIM` | the providers |
//! | `WEVT` | a provider: the offsets of all below |
//! | `CHAN`, `LEVL`, `TASK`, `OPCO`, `KEYW` | names, and the messages that they are shown by |
//! | `MAPS` with `VMAP`, `BMAP` | texts for values and for bits |
//! | `TTBL` with `TEMP` | the fields of events |
//! | `EVNT` | the events |
//! | `PRVA` | attributes of the provider, among them its name (5.1) |
//! | `EVTA` | attributes of events; not needed here |
//!
//! Offsets count from the beginning of the resource.

use std::collections::HashMap;

use quarry_event::Guid;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::bytes::{Bytes, utf16};
use crate::catalogue::bounded;
use crate::kinds::{InType, OutType};

/// A provider as its manifest describes it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The identifier of the provider.
    #[serde(with = "crate::guid")]
    pub guid: Guid,
    /// The provider's name, which version 5.1 of the resource has.
    pub name: Option<String>,
    /// The message that is the provider's display name.
    pub message: Option<u32>,
    /// Channels that the provider defines or imports. The value is the number that events have.
    #[serde(deserialize_with = "bounded::<_, _, { Manifest::MAX_ELEMENTS }>")]
    pub channels: Vec<Name>,
    /// Levels that the provider defines or uses.
    #[serde(deserialize_with = "bounded::<_, _, { Manifest::MAX_ELEMENTS }>")]
    pub levels: Vec<Name>,
    /// Tasks.
    #[serde(deserialize_with = "bounded::<_, _, { Manifest::MAX_ELEMENTS }>")]
    pub tasks: Vec<Name>,
    /// Opcodes. The value is `task | opcode << 16`, with 0 for an opcode of every task.
    #[serde(deserialize_with = "bounded::<_, _, { Manifest::MAX_ELEMENTS }>")]
    pub opcodes: Vec<Name>,
    /// Keywords. The value is the mask.
    #[serde(deserialize_with = "bounded::<_, _, { Manifest::MAX_ELEMENTS }>")]
    pub keywords: Vec<Name>,
    /// Texts for the values of fields.
    #[serde(deserialize_with = "bounded::<_, _, { Manifest::MAX_ELEMENTS }>")]
    pub maps: Vec<ValueMap>,
    /// The fields of events, which several events may share.
    #[serde(deserialize_with = "bounded::<_, _, { Manifest::MAX_ELEMENTS }>")]
    pub templates: Vec<Template>,
    /// The events.
    #[serde(deserialize_with = "bounded::<_, _, { Manifest::MAX_ELEMENTS }>")]
    pub events: Vec<EventDefinition>,
}

/// A value with a name, and the message that it is shown by.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Name {
    /// The value.
    pub value: u64,
    /// The name in the manifest: `win:Error`.
    pub name: String,
    /// The message, if there is one.
    pub message: Option<u32>,
}

/// An event of a provider.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EventDefinition {
    /// The event's number.
    pub id: u16,
    /// Its version.
    pub version: u8,
    /// The channel's value.
    pub channel: u8,
    /// The level.
    pub level: u8,
    /// The opcode.
    pub opcode: u8,
    /// The task.
    pub task: u16,
    /// The keywords: a set of bits.
    pub keywords: u64,
    /// The message's identifier in the message table. No rule makes it of the event's number.
    pub message: Option<u32>,
    /// The place of the event's fields among the templates.
    pub template: Option<u32>,
}

/// The fields of an event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Template {
    /// The identifier, which records refer to.
    #[serde(with = "crate::guid")]
    pub guid: Guid,
    /// Whether the fields stand in `<UserData>` and not in `<EventData>`.
    pub user_data: bool,
    /// How many of the fields are the event's own, in the order of the insertion marks. The fields
    /// after these are members of structures.
    pub top_level: u32,
    /// The fields.
    pub fields: Vec<TemplateField>,
}

/// A field of an event, or a structure of fields.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TemplateField {
    /// The name.
    pub name: String,
    /// How the value is stored; for a structure, null.
    pub in_type: InType,
    /// How the value is shown.
    pub out_type: OutType,
    /// The place of the map of its values among the maps.
    pub map: Option<u32>,
    /// How many of it there are.
    pub count: Extent,
    /// The length of one, in characters or bytes, where the type doesn't say.
    pub length: Extent,
    /// The members of a structure: the place of the first among the fields, and how many.
    pub members: Option<(u16, u16)>,
}

/// A count or a length.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Extent {
    /// It isn't given: one, or as long as the value is.
    #[default]
    Unset,
    /// A number.
    Fixed(u16),
    /// The value of the field at a place among the fields.
    Field(u16),
}

/// Texts for values.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ValueMap {
    /// The name.
    pub name: String,
    /// Whether the values are bits, of which several can be set.
    pub bits: bool,
    /// Values and their messages.
    pub entries: Vec<(u32, Option<u32>)>,
}

impl Manifest {
    /// The most events, templates, fields and map entries together of a provider.
    pub const MAX_ELEMENTS: usize = 1 << 18;
    /// The most text of the names in a resource, in times the resource's length: names may be shared.
    const MAX_SHARED: usize = 8;

    /// A provider of which no more is known yet.
    pub(crate) fn new(guid: Guid) -> Self {
        Manifest {
            guid,
            name: None,
            message: None,
            channels: Vec::new(),
            levels: Vec::new(),
            tasks: Vec::new(),
            opcodes: Vec::new(),
            keywords: Vec::new(),
            maps: Vec::new(),
            templates: Vec::new(),
            events: Vec::new(),
        }
    }
}

/// Reads the resource WEVT_TEMPLATE: the providers that it describes.
///
/// # Errors
/// [`Error::NotA`] for something else, [`Error::Version`] for an unknown version of it,
/// [`Error::Malformed`] for a damaged one, [`Error::Limit`] for one of more than
/// [`Manifest::MAX_ELEMENTS`] elements.
pub fn read(resource: &[u8]) -> Result<Vec<Manifest>, Error> {
    const DESCRIPTOR: usize = 20;
    let data = Bytes::new(resource, "CRIM");
    data.signature(0, b"CRIM").map_err(|_| Error::NotA { expected: "a compiled manifest" })?;
    match (data.u16(8)?, data.u16(10)?) {
        (3 | 5, 1) => {}
        (major, minor) => {
            let version = u32::from(major) << 16 | u32::from(minor);
            return Err(Error::Version { format: "the compiled manifest", version });
        }
    }
    let count = data.count(12, 16, DESCRIPTOR)?;
    let mut budget = Budget {
        elements: Manifest::MAX_ELEMENTS,
        text: resource.len().saturating_mul(Manifest::MAX_SHARED),
    };
    budget.spend(count)?;
    (0..count)
        .map(|i| {
            let at = 16 + i * DESCRIPTOR;
            let guid = Guid::from_bytes(data.array(at)?);
            Reader { data: data.named("WEVT"), budget: &mut budget }
                .provider(guid, data.size(at + 16)?)
        })
        .collect()
}

/// How much more is read. What lies in the resource once may be referred to many times.
struct Budget {
    elements: usize,
    /// Bytes of names.
    text: usize,
}

impl Budget {
    fn spend(&mut self, count: usize) -> Result<(), Error> {
        match self.elements.checked_sub(count) {
            Some(rest) => {
                self.elements = rest;
                Ok(())
            }
            None => {
                let limit = Manifest::MAX_ELEMENTS as u64;
                Err(Error::Limit { what: "elements of compiled manifests", limit })
            }
        }
    }
}

struct Reader<'a, 'b> {
    data: Bytes<'a>,
    budget: &'b mut Budget,
}

impl Reader<'_, '_> {
    fn provider(mut self, guid: Guid, at: usize) -> Result<Manifest, Error> {
        let data = self.data;
        data.signature(at, b"WEVT")?;
        let mut manifest = Manifest::new(guid);
        manifest.message = message(data.u32(at + 8)?);
        // A number for the kind of element, and its offset. The signature there says the same.
        let count = data.count(at + 12, at + 16, 8)?;
        self.budget.spend(count)?;
        let elements: Vec<usize> =
            (0..count).map(|i| data.size(at + 20 + 8 * i)).collect::<Result<_, _>>()?;
        let find = |signature: &[u8; 4]| {
            elements.iter().copied().find(|&at| data.signature(at, signature).is_ok())
        };
        if let Some(at) = find(b"PRVA") {
            manifest.name = self.provider_name(at)?;
        }
        if let Some(at) = find(b"CHAN") {
            // A flag for imported ones, the name, the value, the message.
            manifest.channels =
                self.names(at, "CHAN", 16, (4, 8, 12), |id| u64::from(id & 0xff))?;
        }
        if let Some(at) = find(b"LEVL") {
            manifest.levels = self.names(at, "LEVL", 12, (8, 0, 4), u64::from)?;
        }
        if let Some(at) = find(b"OPCO") {
            manifest.opcodes = self.names(at, "OPCO", 12, (8, 0, 4), u64::from)?;
        }
        if let Some(at) = find(b"TASK") {
            // The value, the message, a GUID for old readers of traces, the name.
            manifest.tasks = self.names(at, "TASK", 28, (24, 0, 4), u64::from)?;
        }
        if let Some(at) = find(b"KEYW") {
            manifest.keywords = self.keywords(at)?;
        }
        let mut maps = HashMap::new();
        if let Some(at) = find(b"MAPS") {
            (manifest.maps, maps) = self.maps(at)?;
        }
        let mut templates = HashMap::new();
        if let Some(at) = find(b"TTBL") {
            (manifest.templates, templates) = self.templates(at, &maps)?;
        }
        if let Some(at) = find(b"EVNT") {
            manifest.events = self.events(at, &templates)?;
        }
        Ok(manifest)
    }

    /// The provider's name, an attribute with the number 1.
    fn provider_name(&mut self, at: usize) -> Result<Option<String>, Error> {
        const NAME: u32 = 0x1000_0001;
        let data = self.data.named("PRVA");
        let count = data.count(at + 8, at + 12, 8)?;
        self.budget.spend(count)?;
        for i in 0..count {
            let entry = at + 12 + 8 * i;
            if data.u32(entry)? == NAME {
                // It ends at a NUL.
                let name = utf16(data.from(data.size(entry + 4)?)?);
                let spent = self.budget.text.checked_sub(2 * name.len());
                self.budget.text = spent.ok_or_else(|| data.malformed(entry))?;
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// Elements that are names. The three places in an entry are those of the name's offset, the
    /// value and the message.
    fn names(
        &mut self,
        at: usize,
        structure: &'static str,
        entry: usize,
        (name, value, text): (usize, usize, usize),
        read_value: impl Fn(u32) -> u64,
    ) -> Result<Vec<Name>, Error> {
        let data = self.data.named(structure);
        let count = data.count(at + 8, at + 12, entry)?;
        self.budget.spend(count)?;
        (0..count)
            .map(|i| {
                let at = at + 12 + i * entry;
                Ok(Name {
                    value: read_value(data.u32(at + value)?),
                    name: counted_text(data, data.size(at + name)?, self.budget)?,
                    message: message(data.u32(at + text)?),
                })
            })
            .collect()
    }

    fn keywords(&mut self, at: usize) -> Result<Vec<Name>, Error> {
        const ENTRY: usize = 16;
        let data = self.data.named("KEYW");
        let count = data.count(at + 8, at + 12, ENTRY)?;
        self.budget.spend(count)?;
        (0..count)
            .map(|i| {
                let at = at + 12 + i * ENTRY;
                Ok(Name {
                    value: data.u64(at)?,
                    name: counted_text(data, data.size(at + 12)?, self.budget)?,
                    message: message(data.u32(at + 8)?),
                })
            })
            .collect()
    }

    /// The maps, and the place of each by its offset.
    fn maps(&mut self, at: usize) -> Result<(Vec<ValueMap>, HashMap<usize, u32>), Error> {
        let data = self.data.named("MAPS");
        let count = data.count(at + 8, at + 12, 4)?;
        self.budget.spend(count)?;
        let mut maps = Vec::new();
        let mut places = HashMap::new();
        for i in 0..count {
            let map = data.size(at + 12 + 4 * i)?;
            places.insert(map, maps.len() as u32);
            maps.push(self.map(map)?);
        }
        Ok((maps, places))
    }

    fn map(&mut self, at: usize) -> Result<ValueMap, Error> {
        const HEADER: usize = 20;
        let bits = self.data.signature(at, b"BMAP").is_ok();
        let data = self.data.named(if bits { "BMAP" } else { "VMAP" });
        if !bits {
            data.signature(at, b"VMAP")?;
        }
        let count = data.count(at + 16, at + HEADER, 8)?;
        self.budget.spend(count)?;
        let entries = (0..count).map(|i| {
            let at = at + HEADER + 8 * i;
            Ok((data.u32(at)?, message(data.u32(at + 4)?)))
        });
        let entries = entries.collect::<Result<_, Error>>()?;
        Ok(ValueMap { name: counted_text(data, data.size(at + 8)?, self.budget)?, bits, entries })
    }

    /// The templates, and the place of each by its offset.
    fn templates(
        &mut self,
        at: usize,
        maps: &HashMap<usize, u32>,
    ) -> Result<(Vec<Template>, HashMap<usize, u32>), Error> {
        const SMALLEST: usize = 40;
        let data = self.data.named("TTBL");
        let count = data.count(at + 8, at + 12, SMALLEST)?;
        self.budget.spend(count)?;
        let mut templates = Vec::new();
        let mut places = HashMap::new();
        let mut at = at + 12;
        for _ in 0..count {
            places.insert(at, templates.len() as u32);
            templates.push(self.template(at, maps)?);
            let len = data.size(at + 4)?;
            if len < SMALLEST {
                return Err(data.malformed(at));
            }
            at = at.checked_add(len).ok_or_else(|| data.malformed(at))?;
        }
        Ok((templates, places))
    }

    fn template(&mut self, at: usize, maps: &HashMap<usize, u32>) -> Result<Template, Error> {
        const FIELD: usize = 20;
        const USER_DATA: u32 = 2;
        let data = self.data.named("TEMP");
        data.signature(at, b"TEMP")?;
        let top_level = data.size(at + 8)?;
        let first = data.size(at + 16)?;
        // This count has the members of structures in it.
        let count = data.count(at + 12, first, FIELD)?;
        if top_level > count {
            return Err(data.malformed(at + 8));
        }
        self.budget.spend(count)?;
        Ok(Template {
            guid: Guid::from_bytes(data.array(at + 24)?),
            user_data: data.u32(at + 20)? == USER_DATA,
            top_level: top_level as u32,
            fields: (0..count)
                .map(|i| field(data, first + FIELD * i, maps, self.budget))
                .collect::<Result<_, _>>()?,
        })
    }

    fn events(
        &mut self,
        at: usize,
        templates: &HashMap<usize, u32>,
    ) -> Result<Vec<EventDefinition>, Error> {
        const ENTRY: usize = 48;
        let data = self.data.named("EVNT");
        let count = data.count(at + 8, at + 16, ENTRY)?;
        self.budget.spend(count)?;
        (0..count)
            .map(|i| {
                let at = at + 16 + i * ENTRY;
                let template = match data.size(at + 20)? {
                    0 => None,
                    offset => {
                        let place = templates.get(&offset).copied();
                        Some(place.ok_or_else(|| data.malformed(at + 20))?)
                    }
                };
                Ok(EventDefinition {
                    id: data.u16(at)?,
                    version: data.u8(at + 2)?,
                    channel: data.u8(at + 3)?,
                    level: data.u8(at + 4)?,
                    opcode: data.u8(at + 5)?,
                    task: data.u16(at + 6)?,
                    keywords: data.u64(at + 8)?,
                    message: message(data.u32(at + 16)?),
                    template,
                })
            })
            .collect()
    }
}

fn field(
    data: Bytes<'_>,
    at: usize,
    maps: &HashMap<usize, u32>,
    budget: &mut Budget,
) -> Result<TemplateField, Error> {
    const STRUCTURE: u32 = 1;
    const LENGTH_FIELD: u32 = 4;
    const COUNT_FIXED: u32 = 8;
    const COUNT_FIELD: u32 = 0x10;
    let flags = data.u32(at)?;
    let is_structure = flags & STRUCTURE != 0;
    let map = match data.size(at + 8)? {
        // A structure's types and map are where its members are.
        _ if is_structure => None,
        0 => None,
        offset => Some(maps.get(&offset).copied().ok_or_else(|| data.malformed(at + 8))?),
    };
    let (count, length) = (data.u16(at + 12)?, data.u16(at + 14)?);
    Ok(TemplateField {
        name: counted_text(data, data.size(at + 16)?, budget)?,
        in_type: if is_structure { InType::NULL } else { InType(data.u8(at + 4)?) },
        out_type: if is_structure { OutType::NULL } else { OutType(data.u8(at + 5)?) },
        map,
        count: match () {
            () if flags & COUNT_FIELD != 0 => Extent::Field(count),
            () if flags & COUNT_FIXED != 0 => Extent::Fixed(count),
            () => Extent::Unset,
        },
        length: match length {
            _ if flags & LENGTH_FIELD != 0 => Extent::Field(length),
            0 => Extent::Unset,
            length => Extent::Fixed(length),
        },
        members: match is_structure {
            true => Some((data.u16(at + 4)?, data.u16(at + 6)?)),
            false => None,
        },
    })
}

/// A message's identifier; all bits are set where there is none.
fn message(id: u32) -> Option<u32> {
    (id != u32::MAX).then_some(id)
}

/// UTF-16 with its length before it, in bytes with that of the length; nothing at offset 0.
fn counted_text(data: Bytes<'_>, at: usize, budget: &mut Budget) -> Result<String, Error> {
    if at == 0 {
        return Ok(String::new());
    }
    let len = data.size(at)?.checked_sub(4).ok_or_else(|| data.malformed(at))?;
    budget.text = budget.text.checked_sub(len).ok_or_else(|| data.malformed(at))?;
    Ok(utf16(data.slice(at + 4, len)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A resource of one provider with `count` keywords, which share a name of `len` bytes.
    fn keywords(count: u32, len: u32) -> Vec<u8> {
        let element = 36 + 16 + 8;
        let name = element + 12 + 16 * count;
        let mut out = b"CRIM\0\0\0\0".to_vec();
        out.extend([5, 0, 1, 0, 1, 0, 0, 0]);
        out.extend([7; 16]);
        out.extend(36u32.to_le_bytes());
        out.extend(b"WEVT");
        [0, u32::MAX, 1, 3, element].iter().for_each(|word| out.extend(word.to_le_bytes()));
        out.extend(b"KEYW");
        [0, count].iter().for_each(|word| out.extend(word.to_le_bytes()));
        for keyword in 0..u64::from(count) {
            out.extend(keyword.to_le_bytes());
            out.extend(u32::MAX.to_le_bytes());
            out.extend(name.to_le_bytes());
        }
        out.extend((len + 4).to_le_bytes());
        out.extend(b"n\0".repeat(len as usize / 2));
        out
    }

    #[test]
    fn names_that_share_their_text_are_bounded() {
        let manifests = read(&keywords(3, 8)).unwrap();
        assert_eq!(manifests[0].keywords.len(), 3);
        assert_eq!(manifests[0].keywords[2].name, "nnnn");
        let error = read(&keywords(4000, 60_000)).unwrap_err();
        assert!(matches!(error, Error::Malformed { structure: "KEYW", .. }), "{error}");
    }
}
