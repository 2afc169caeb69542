//! `.MTA` files: the display strings that Event Viewer saves beside an exported log, in the folder
//! `LocaleMetaData`, as `NAME_LCID.MTA`.
//!
//! No specification describes them. A file has three lists: `MSG`, a pool of strings; `EVT`, for
//! each event its record number and the number of its message; `PUB`, for each provider the names of
//! levels, tasks, opcodes and keywords, with `DEFAULT_PUBLISHER` for those of the standard. A list is
//! a chain of pages, with the offsets of up to 100 elements in each.

use std::collections::{HashMap, HashSet};

use quarry_event::Utf16;

use crate::Error;
use crate::bytes::{Bytes, utf16};
use crate::format::MAX_MESSAGE;

/// The display strings of an exported log.
#[derive(Debug)]
pub struct Mta {
    file: Box<[u8]>,
    /// Where each string lies, by its number.
    strings: HashMap<u64, (usize, usize)>,
    /// Events' record numbers, in order, and where their messages lie.
    events: Box<[(u64, (usize, usize))]>,
    providers: HashMap<String, Provider>,
}

/// Names of a provider: for values, the numbers of their strings.
#[derive(Debug, Default)]
struct Provider {
    levels: HashMap<u32, u64>,
    tasks: HashMap<u32, u64>,
    opcodes: HashMap<u32, u64>,
    keywords: HashMap<u32, u64>,
}

/// The name of the provider that has the standard's names.
const STANDARD: &str = "DEFAULT_PUBLISHER";

impl Mta {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`Error::NotA`] for a file of another kind, [`Error::Version`] for an unknown version of it,
    /// [`Error::Malformed`] for a damaged one.
    pub fn read(file: impl Into<Box<[u8]>>) -> Result<Self, Error> {
        const LISTS: usize = 0x18;
        let file = file.into();
        let data = Bytes::new(&file, "MTA file");
        if data.slice(0, 8).ok() != Some(b"MTAFile\0") {
            return Err(Error::NotA { expected: "an MTA file" });
        }
        match data.u32(8)? {
            1 => {}
            version => return Err(Error::Version { format: "the MTA file", version }),
        }
        let mut strings = HashMap::new();
        let mut events: HashMap<u64, u64> = HashMap::new();
        let mut providers = HashMap::new();
        let mut at = LISTS;
        // Each list is there once; if lists shared their elements, these would be read for each.
        let mut seen = HashSet::new();
        // Each provider lies in the file once.
        let mut left = file.len();
        // Offset, length and name of each list.
        for _ in 0..data.count(0x14, LISTS, 20)? {
            let place = |at: usize| -> Result<usize, Error> {
                usize::try_from(data.u64(at)?).map_err(|_| data.malformed(at))
            };
            let (start, len) = (place(at)?, place(at + 8)?);
            let name_len = data.size(at + 16)?;
            let name = utf16(data.slice(at + 20, name_len)?);
            let list = Bytes::new(data.slice(start, len)?, "list of an MTA file");
            at = (at + 20).checked_add(name_len).ok_or_else(|| data.malformed(at))?;
            if !["MSG", "EVT", "PUB"].contains(&&*name) {
                continue;
            }
            if !seen.insert(name.clone()) {
                return Err(data.malformed(at));
            }
            each_element(list, |element| {
                match &*name {
                    "MSG" => {
                        let text = list.size(element + 8)?;
                        list.slice(element + 12, text)?;
                        let number = list.u32(element)?.into();
                        strings.insert(number, (start + element + 12, text));
                    }
                    "EVT" => {
                        events.insert(list.u64(element + 8)?, list.u64(element + 16)?);
                    }
                    "PUB" => {
                        let len = list.size(element + 4)?;
                        left = left.checked_sub(len).ok_or_else(|| list.malformed(element))?;
                        let provider = Bytes::new(list.slice(element + 8, len)?, "provider");
                        let (name, names) = read_provider(provider)?;
                        providers.insert(name.to_lowercase(), names);
                    }
                    _ => {}
                }
                Ok(())
            })?;
        }
        let place = |(record, string)| Some((record, *strings.get(&string)?));
        let mut events: Box<[_]> = events.into_iter().filter_map(place).collect();
        events.sort_unstable_by_key(|event| event.0);
        Ok(Mta { strings, events, providers, file })
    }

    /// How many events have a message.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether no event has one.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The message of an event, by its record number in the log (`EventRecordID`).
    pub fn message(&self, record: u64) -> Option<String> {
        self.text(record).map(|text| text.to_string())
    }

    /// The same, as it lies in the file. A message that is longer than any is none: events can share it.
    pub(crate) fn text(&self, record: u64) -> Option<Utf16<'_>> {
        let at = self.events.binary_search_by_key(&record, |event| event.0).ok()?;
        let place = self.events[at].1;
        if place.1 > MAX_MESSAGE {
            return None;
        }
        self.slice(place)
    }

    /// The name of a level.
    pub fn level(&self, provider: &str, level: u8) -> Option<String> {
        self.named(provider, |names| names.levels.get(&level.into()))
    }

    /// The name of a task.
    pub fn task(&self, provider: &str, task: u16) -> Option<String> {
        self.named(provider, |names| names.tasks.get(&task.into()))
    }

    /// The name of an opcode of a task.
    pub fn opcode(&self, provider: &str, task: u16, opcode: u8) -> Option<String> {
        let value = u32::from(opcode) << 16;
        self.named(provider, |names| {
            names.opcodes.get(&(value | u32::from(task))).or_else(|| names.opcodes.get(&value))
        })
    }

    /// The names of the keywords that are set, from the lowest bit on.
    pub fn keywords(&self, provider: &str, keywords: u64) -> Vec<String> {
        let set = (0..64).filter(|bit| keywords & 1 << bit != 0);
        set.filter_map(|bit| self.named(provider, |names| names.keywords.get(&bit))).collect()
    }

    fn named(&self, provider: &str, find: impl Fn(&Provider) -> Option<&u64>) -> Option<String> {
        let own = self.providers.get(&*provider.to_lowercase()).and_then(&find);
        let number =
            own.or_else(|| self.providers.get(&*STANDARD.to_lowercase()).and_then(&find))?;
        self.string(*number)
    }

    fn string(&self, number: u64) -> Option<String> {
        self.string_at(number).map(|text| text.to_string())
    }

    fn string_at(&self, number: u64) -> Option<Utf16<'_>> {
        self.slice(*self.strings.get(&number)?)
    }

    fn slice(&self, (at, len): (usize, usize)) -> Option<Utf16<'_>> {
        Some(Utf16::new(self.file.get(at..at + len)?))
    }
}

/// Visits the offset of each element of a list.
fn each_element(
    list: Bytes<'_>,
    mut visit: impl FnMut(usize) -> Result<(), Error>,
) -> Result<(), Error> {
    /// Sixteen numbers; the number of the page, the offsets of the next one and of the last one.
    const HEADER: usize = 88;
    const NEXT: usize = 72;
    const ELEMENTS: usize = 100;
    let mut page = 0;
    loop {
        for i in 0..ELEMENTS {
            let at = page + HEADER + 8 * i;
            let element = usize::try_from(list.u64(at)?).map_err(|_| list.malformed(at))?;
            if element != 0 {
                // So that the element's offsets can't overflow.
                list.from(element)?;
                visit(element)?;
            }
        }
        let next = usize::try_from(list.u64(page + NEXT)?).unwrap_or(usize::MAX);
        // The last page names itself, or nothing. A chain that goes back would never end, and pages
        // that overlap would take the same elements again and again.
        if next <= page {
            return Ok(());
        }
        if next - page < HEADER + 8 * ELEMENTS {
            return Err(list.malformed(page + NEXT));
        }
        list.slice(next, HEADER)?;
        page = next;
    }
}

/// Reads the names of a provider: four tables of values and strings, and then its name.
fn read_provider(data: Bytes<'_>) -> Result<(String, Provider), Error> {
    let mut at = 0;
    let mut table = |value: fn(u32) -> u32| -> Result<HashMap<u32, u64>, Error> {
        let count = data.count(at, at + 4, 8)?;
        at += 4;
        let mut names = HashMap::new();
        for _ in 0..count {
            names.insert(value(data.u32(at)?), data.u32(at + 4)?.into());
            at += 8;
        }
        Ok(names)
    };
    let levels = table(|level| level)?;
    // What is above the task's number is not known.
    let tasks = table(|task| task & 0xffff)?;
    let opcodes = table(|opcode| opcode)?;
    let keywords = table(|bit| bit)?;
    let name = utf16(data.slice(at + 4, data.size(at)?)?);
    Ok((name, Provider { levels, tasks, opcodes, keywords }))
}
