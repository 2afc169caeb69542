//! Writing catalogues.

use std::collections::HashMap;
use std::io::{Seek, SeekFrom, Write};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde::Serialize;

use super::{
    Catalogue, CatalogueInfo, Entry, HEADER, Index, MAX_PROVIDERS, MAX_REFERENCES, MAX_TABLES,
    SIGNATURE, Span, VERSION,
};
use crate::provider::Provider;
use crate::{Error, MessageTable};

/// Collects providers and message tables, and writes them as a catalogue.
#[derive(Debug, Default)]
pub struct CatalogueBuilder {
    providers: Vec<Provider>,
    tables: Vec<MessageTable>,
    numbers: HashMap<MessageTable, u32>,
    system: Vec<u32>,
}

impl CatalogueBuilder {
    /// A catalogue without anything in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a message table, and gives its number, by which providers refer to it. A table that is
    /// there already has the number that it had.
    pub fn add_table(&mut self, table: MessageTable) -> u32 {
        let tables = &mut self.tables;
        *self.numbers.entry(table).or_insert_with_key(|table| {
            tables.push(table.clone());
            tables.len() as u32 - 1
        })
    }

    /// Says that a table has messages of the system's own, which all providers may refer to.
    pub fn add_system(&mut self, table: u32) {
        if !self.system.contains(&table) {
            self.system.push(table);
        }
    }

    /// Adds a provider. Of two with one name the first counts.
    pub fn add_provider(&mut self, mut provider: Provider) {
        let lists = [&mut provider.messages, &mut provider.parameters, &mut provider.categories];
        lists.into_iter().for_each(|tables| tables.truncate(MAX_REFERENCES));
        self.providers.push(provider);
    }

    /// Adds what another catalogue has: the providers that aren't here, and the messages of the others, which
    /// are looked through after those that are here.
    ///
    /// # Errors
    /// As [`Catalogue::verify`], where a part of the other catalogue isn't whole.
    pub fn add_catalogue(&mut self, other: &Catalogue) -> Result<(), Error> {
        let key = |provider: &Provider| match provider.name.is_empty() {
            true => (String::new(), provider.guid),
            false => (provider.name.to_lowercase(), None),
        };
        let mut numbers = HashMap::new();
        let mut places: HashMap<_, _> = HashMap::new();
        for (place, provider) in self.providers.iter().enumerate() {
            places.entry(key(provider)).or_insert(place);
        }
        for place in 0..other.providers().len() {
            let mut provider = other.read_provider(place)?;
            let lists =
                [&mut provider.messages, &mut provider.parameters, &mut provider.categories];
            for number in lists.into_iter().flatten() {
                *number = self.number_of(other, *number, &mut numbers)?;
            }
            match places.get(&key(&provider)) {
                Some(&known) => self.providers[known].merge(provider),
                None => {
                    places.insert(key(&provider), self.providers.len());
                    self.add_provider(provider);
                }
            }
        }
        for &number in other.system() {
            let number = self.number_of(other, number, &mut numbers)?;
            self.add_system(number);
        }
        Ok(())
    }

    /// The number here of a table that another catalogue has.
    fn number_of(
        &mut self,
        other: &Catalogue,
        number: u32,
        numbers: &mut HashMap<u32, u32>,
    ) -> Result<u32, Error> {
        if let Some(&known) = numbers.get(&number) {
            return Ok(known);
        }
        let table = other.table(number).ok_or_else(|| Error::malformed("catalogue index"))?;
        let ours = self.add_table(MessageTable::clone(&table));
        numbers.insert(number, ours);
        Ok(ours)
    }

    /// How many providers were added.
    pub fn len(&self) -> usize {
        self.providers.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.providers.is_empty()
    }

    /// How many messages the tables have.
    pub fn messages(&self) -> usize {
        self.tables.iter().map(MessageTable::len).sum()
    }

    /// Writes the catalogue. The same content is always written as the same bytes.
    ///
    /// # Errors
    /// [`Error::Io`] where it can't be written, [`Error::Limit`] where a provider or a table is
    /// larger than a catalogue can hold.
    pub fn write(mut self, info: CatalogueInfo, mut to: impl Write + Seek) -> Result<(), Error> {
        let counts = [
            ("providers in a catalogue", self.providers.len(), MAX_PROVIDERS),
            ("message tables in a catalogue", self.tables.len(), MAX_TABLES),
        ];
        for (what, count, limit) in counts {
            if count > limit {
                return Err(Error::Limit { what, limit: limit as u64 });
            }
        }
        self.system.truncate(MAX_REFERENCES);
        self.providers.sort_by_cached_key(|provider| {
            (provider.name.to_lowercase(), provider.guid.map(|guid| guid.to_bytes()))
        });
        let start = to.stream_position()?;
        to.write_all(&[0; HEADER])?;
        let mut offset = HEADER as u64;
        let mut tables = Vec::new();
        for table in &self.tables {
            tables.push(section(table, Catalogue::MAX_SECTION, &mut offset, &mut to)?);
        }
        let mut providers = Vec::new();
        for provider in self.providers {
            let section = section(&provider, Catalogue::MAX_PROVIDER, &mut offset, &mut to)?;
            providers.push(Entry { name: provider.name, guid: provider.guid, section });
        }
        let index = Index { info, providers, tables, system: self.system };
        let index = section(&index, Catalogue::MAX_PROVIDER, &mut offset, &mut to)?;
        to.seek(SeekFrom::Start(start))?;
        to.write_all(SIGNATURE)?;
        to.write_all(&VERSION.to_le_bytes())?;
        to.write_all(&index.checksum.to_le_bytes())?;
        to.write_all(&index.offset.to_le_bytes())?;
        to.write_all(&index.stored.to_le_bytes())?;
        to.write_all(&index.len.to_le_bytes())?;
        to.flush()?;
        Ok(())
    }
}

fn section(
    part: &impl Serialize,
    limit: u32,
    offset: &mut u64,
    to: &mut impl Write,
) -> Result<Span, Error> {
    let bytes = postcard::to_stdvec(part).map_err(|_| Error::malformed("part of a catalogue"))?;
    let len = u32::try_from(bytes.len()).ok().filter(|&len| len <= limit);
    let limit = limit.into();
    let len = len.ok_or(Error::Limit { what: "bytes in a part of a catalogue", limit })?;
    let mut deflated = DeflateEncoder::new(Vec::new(), Compression::best());
    deflated.write_all(&bytes)?;
    let stored = deflated.finish()?;
    let span = Span {
        offset: *offset,
        // What can't be deflated grows by a few bytes in a thousand.
        stored: stored.len() as u32,
        len,
        checksum: crc32fast::hash(&stored),
    };
    to.write_all(&stored)?;
    *offset += stored.len() as u64;
    Ok(span)
}
