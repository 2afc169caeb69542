//! Catalogues: message text of one build of Windows and one language, in one file.
//!
//! The file begins with a header and ends with an index. Between them are sections, a provider or a
//! message table each, deflated one by one. Opening reads the index; a section is read when its
//! provider is first asked for, and then stays. Each part has a checksum. Numbers are little-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 0 to 7 | `QuarryMC` |
//! | 8 to 11 | the version of the format: 2 |
//! | 12 to 15 | the CRC-32 of the index as it is stored |
//! | 16 to 23, 24 to 27, 28 to 31 | offset, stored length and length of the index |
//!
//! Index and sections are in the form of the crate `postcard`.

mod bounded;
mod write;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use flate2::read::DeflateDecoder;
use quarry_event::Guid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(crate) use bounded::bounded;
pub use write::CatalogueBuilder;

use crate::bytes::Bytes;
use crate::provider::{Provider, ProviderTexts, Tables};
use crate::{Error, LanguageId, MessageTable};

const SIGNATURE: &[u8; 8] = b"QuarryMC";
const VERSION: u32 = 2;
const HEADER: usize = 32;

/// Where a catalogue's texts come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CatalogueKind {
    /// Provider files of the build that it names.
    #[default]
    Files,
    /// A server of that build.
    Server,
    /// A database of others', of which neither build nor versions of events are known.
    Foreign,
}

/// What a catalogue is about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CatalogueInfo {
    /// The build of Windows: `10.0.26100`; empty where it isn't known.
    pub build: String,
    /// The language of its texts.
    pub language: LanguageId,
    /// Where the texts come from.
    pub kind: CatalogueKind,
}

impl Default for CatalogueInfo {
    fn default() -> Self {
        CatalogueInfo {
            build: String::new(),
            language: LanguageId::ENGLISH,
            kind: CatalogueKind::default(),
        }
    }
}

/// Where a part of the file lies.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Span {
    offset: u64,
    /// Its length in the file.
    stored: u32,
    /// Its length when it is inflated.
    len: u32,
    /// The CRC-32 of what is stored.
    checksum: u32,
}

/// What is known of a provider before its section is read.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    name: String,
    #[serde(with = "crate::guid::optional")]
    guid: Option<Guid>,
    section: Span,
}

#[derive(Debug, Serialize, Deserialize)]
struct Index {
    info: CatalogueInfo,
    #[serde(deserialize_with = "bounded::<_, _, MAX_PROVIDERS>")]
    providers: Vec<Entry>,
    #[serde(deserialize_with = "bounded::<_, _, MAX_TABLES>")]
    tables: Vec<Span>,
    /// The tables of the system's own messages.
    #[serde(deserialize_with = "bounded::<_, _, MAX_REFERENCES>")]
    system: Vec<u32>,
}

/// The most providers of a catalogue. Windows has a thousand.
const MAX_PROVIDERS: usize = 1 << 16;
/// The most message tables.
const MAX_TABLES: usize = 1 << 16;
/// The most tables that a provider names for one purpose.
pub(crate) const MAX_REFERENCES: usize = 1 << 8;

/// Something that a catalogue is read from.
trait Source: Read + Seek + Send {}
impl<T: Read + Seek + Send> Source for T {}

/// An open catalogue, to be shared by all threads.
pub struct Catalogue {
    source: Mutex<Box<dyn Source>>,
    index: Index,
    by_name: HashMap<String, usize>,
    by_guid: HashMap<Guid, usize>,
    providers: Vec<OnceLock<Option<Arc<ProviderTexts>>>>,
    tables: Vec<OnceLock<Option<Arc<MessageTable>>>>,
}

impl std::fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalogue")
            .field("info", &self.index.info)
            .field("providers", &self.index.providers.len())
            .finish_non_exhaustive()
    }
}

impl Catalogue {
    /// The longest that a part of the file may be when it is inflated, in bytes.
    pub const MAX_SECTION: u32 = 36 << 20;

    /// The longest that a provider or the index may be when it is inflated, in bytes: their elements take some
    /// ten times the bytes that they are written with.
    pub const MAX_PROVIDER: u32 = 8 << 20;

    /// How long all parts together may be when they are inflated, in bytes: parts may share the
    /// bytes that they are stored in. All messages of Windows are some 10 MB.
    pub const MAX_INFLATED: u64 = 128 << 20;

    /// Opens a file, and reads its index.
    ///
    /// # Errors
    /// [`Error::Io`] where it can't be read, [`Error::NotA`], [`Error::Version`],
    /// [`Error::Checksum`] and [`Error::Malformed`] where it isn't a whole catalogue.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::read(File::open(path)?)
    }

    /// Reads the index of a catalogue.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn read(source: impl Read + Seek + Send + 'static) -> Result<Self, Error> {
        let mut source: Box<dyn Source> = Box::new(source);
        let mut header = [0; HEADER];
        source.seek(SeekFrom::Start(0))?;
        match source.read_exact(&mut header) {
            Ok(()) if header.starts_with(SIGNATURE) => {}
            Ok(()) => return Err(Error::NotA { expected: "a message catalogue" }),
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(Error::NotA { expected: "a message catalogue" });
            }
            Err(e) => return Err(e.into()),
        }
        let data = Bytes::new(&header, "catalogue header");
        match data.u32(8)? {
            VERSION => {}
            version => return Err(Error::Version { format: "the catalogue", version }),
        }
        let span = Span {
            checksum: data.u32(12)?,
            offset: data.u64(16)?,
            stored: data.u32(24)?,
            len: data.u32(28)?,
        };
        let index: Index = load(&mut *source, span, Self::MAX_PROVIDER, || "the index".to_owned())?;
        let sections = index.providers.iter().map(|entry| &entry.section);
        let inflated = |sum: u64, span: &Span| sum + u64::from(span.len);
        if sections.chain(&index.tables).fold(0, inflated) > Self::MAX_INFLATED {
            let limit = Self::MAX_INFLATED;
            return Err(Error::Limit { what: "bytes in the parts of a catalogue", limit });
        }
        let mut by_name = HashMap::new();
        let mut by_guid = HashMap::new();
        for (place, entry) in index.providers.iter().enumerate() {
            if !entry.name.is_empty() {
                by_name.entry(entry.name.to_lowercase()).or_insert(place);
            }
            if let Some(guid) = entry.guid {
                by_guid.entry(guid).or_insert(place);
            }
        }
        Ok(Catalogue {
            providers: index.providers.iter().map(|_| OnceLock::new()).collect(),
            tables: index.tables.iter().map(|_| OnceLock::new()).collect(),
            source: Mutex::new(source),
            index,
            by_name,
            by_guid,
        })
    }

    /// What the catalogue is about.
    pub fn info(&self) -> &CatalogueInfo {
        &self.index.info
    }

    /// The names and identifiers of its providers, in the order of the names.
    pub fn providers(&self) -> impl ExactSizeIterator<Item = (&str, Option<Guid>)> {
        self.index.providers.iter().map(|entry| (&*entry.name, entry.guid))
    }

    /// A provider by its name, without regard to case, or else by its identifier. The first time its
    /// section is read. A damaged section counts as none; [`verify`](Self::verify) names it.
    pub fn provider(&self, name: &str, guid: Option<Guid>) -> Option<Arc<ProviderTexts>> {
        let by_name = || match self.by_name.get(name) {
            Some(place) => Some(place),
            None => self.by_name.get(&name.to_lowercase()),
        };
        let place = *by_name().or_else(|| self.by_guid.get(&guid?))?;
        self.providers.get(place)?.get_or_init(|| self.load_provider(place).ok()).clone()
    }

    /// Reads all parts, and says what is wrong with the first one that isn't whole.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn verify(&self) -> Result<(), Error> {
        for (number, span) in self.index.tables.iter().enumerate() {
            let name = || format!("message table {number}");
            load::<MessageTable>(&mut **self.source(), *span, Self::MAX_SECTION, name)?;
        }
        for place in 0..self.index.providers.len() {
            self.load_provider(place)?;
        }
        Ok(())
    }

    /// The numbers of the tables of the system's own messages.
    pub(crate) fn system(&self) -> &[u32] {
        &self.index.system
    }

    /// What a provider's section says.
    pub(crate) fn read_provider(&self, place: usize) -> Result<Provider, Error> {
        let Some(entry) = self.index.providers.get(place) else {
            return Err(Error::malformed("catalogue index"));
        };
        let name = || format!("provider {}", entry.name);
        load(&mut **self.source(), entry.section, Self::MAX_PROVIDER, name)
    }

    fn load_provider(&self, place: usize) -> Result<Arc<ProviderTexts>, Error> {
        let provider = self.read_provider(place)?;
        let tables = |numbers: &[u32]| -> Result<Tables, Error> {
            let mut seen = HashSet::new();
            let numbers = numbers.iter().filter(|&&number| seen.insert(number));
            let tables = numbers.map(|&number| {
                self.table(number).ok_or_else(|| Error::malformed("catalogue index"))
            });
            Ok(Tables::new(tables.collect::<Result<_, _>>()?))
        };
        let messages = tables(&provider.messages)?;
        let parameters = tables(&provider.parameters)?;
        let categories = tables(&provider.categories)?;
        let system = tables(&self.index.system)?;
        let texts = ProviderTexts::new(provider, messages, parameters, categories, system);
        Ok(Arc::new(match self.index.info.kind {
            CatalogueKind::Foreign => texts.with_any_version(),
            _ => texts,
        }))
    }

    /// A message table by its number.
    pub(crate) fn table(&self, number: u32) -> Option<Arc<MessageTable>> {
        let span = *self.index.tables.get(number as usize)?;
        let load = || {
            let name = || format!("message table {number}");
            let table = load(&mut **self.source(), span, Self::MAX_SECTION, name);
            table.ok().map(Arc::new)
        };
        self.tables.get(number as usize)?.get_or_init(load).clone()
    }

    fn source(&self) -> std::sync::MutexGuard<'_, Box<dyn Source>> {
        // Nothing that panics happens under the lock, and reading begins with a seek.
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a part of the file.
fn load<T: DeserializeOwned>(
    source: &mut dyn Source,
    span: Span,
    limit: u32,
    name: impl Fn() -> String,
) -> Result<T, Error> {
    if span.len > limit || span.stored > limit {
        let limit = limit.into();
        return Err(Error::Limit { what: "bytes in a part of a catalogue", limit });
    }
    source.seek(SeekFrom::Start(span.offset))?;
    let mut stored = Vec::new();
    source.take(span.stored.into()).read_to_end(&mut stored)?;
    if stored.len() != span.stored as usize || crc32fast::hash(&stored) != span.checksum {
        return Err(Error::Checksum { part: name() });
    }
    let mut bytes = Vec::new();
    let limit = u64::from(span.len) + 1;
    let inflated = DeflateDecoder::new(&*stored).take(limit).read_to_end(&mut bytes);
    if inflated.is_err() || bytes.len() != span.len as usize {
        return Err(Error::Checksum { part: name() });
    }
    postcard::from_bytes(&bytes).map_err(|_| Error::malformed("part of a catalogue"))
}
