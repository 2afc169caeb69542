//! Provider files (`.dll`, `.exe`, `.sys`, `.mui`): the resources of a PE file that have to do with
//! messages. Nothing but the headers and the section with the resources is read.

use object::read::pe::{ImageNtHeaders, PeFile, ResourceDirectoryEntryData, ResourceNameOrId};
use object::{FileKind, LittleEndian as LE, ReadRef};

use crate::bytes::{Bytes, utf16};
use crate::language::LanguageId;
use crate::manifest::{self, Manifest};
use crate::{Error, MessageTable};

/// The resource type RT_MESSAGETABLE.
const MESSAGE_TABLE: u16 = 11;
/// The resource type RT_VERSION.
const VERSION: u16 = 16;

/// What a provider file says of messages.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Resources {
    /// The message tables, one a language. Where a language has several resources, they are one.
    pub tables: Vec<(LanguageId, MessageTable)>,
    /// The providers that the file describes.
    pub manifests: Vec<Manifest>,
    /// Where the resources that depend on a language are, if the file says so.
    pub mui: Option<Mui>,
    /// The version of the file.
    pub version: Option<FileVersion>,
    /// How many bytes of messages and manifests were read.
    read: usize,
}

/// The resource MUI: how a file's resources are shared out between it and the `.mui` files beside it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mui {
    /// Whether the file is the one without a language, to which `.mui` files belong.
    pub is_neutral: bool,
    /// Whether its messages are in the file itself.
    pub messages_here: bool,
    /// Whether its messages are in the `.mui` file.
    pub messages_in_mui: bool,
    /// The language of the file, or the one that its `.mui` files fall back to, as a name: `en-US`.
    pub language: String,
}

/// The four numbers of a file's version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileVersion(pub [u16; 4]);

impl std::fmt::Display for FileVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [major, minor, build, revision] = self.0;
        write!(f, "{major}.{minor}.{build}.{revision}")
    }
}

impl Resources {
    /// The most resources that are looked at.
    pub const MAX_RESOURCES: usize = 1 << 12;

    /// The most text of messages, and of compiled manifests, in one file, in bytes.
    pub const MAX_TEXT: usize = 128 << 20;

    /// The most providers that one file describes.
    pub const MAX_PROVIDERS: usize = 1 << 10;

    /// Reads a PE file.
    ///
    /// # Errors
    /// [`Error::NotA`] for something that isn't a PE file, [`Error::Malformed`] for a damaged one,
    /// [`Error::Limit`] where there is too much of something.
    pub fn read<'data>(file: impl ReadRef<'data>) -> Result<Self, Error> {
        match FileKind::parse(file) {
            Ok(FileKind::Pe32) => read::<object::pe::ImageNtHeaders32, _>(file),
            Ok(FileKind::Pe64) => read::<object::pe::ImageNtHeaders64, _>(file),
            _ => Err(Error::NotA { expected: "a PE file" }),
        }
    }

    /// The message table for a language, or the one that serves best.
    pub fn table(&self, language: LanguageId) -> Option<&MessageTable> {
        let best = self.tables.iter().min_by_key(|(other, _)| language.distance(*other));
        best.map(|(_, table)| table)
    }

    /// Whether there is a message table for a language, be it without a country, or for none.
    pub fn has_language(&self, language: LanguageId) -> bool {
        self.tables
            .iter()
            .any(|(other, _)| language.distance(*other) <= LanguageId::DISTANCE_NEUTRAL)
    }

    /// Counts what is read: resources may share their bytes.
    fn spend(&mut self, bytes: usize) -> Result<(), Error> {
        self.read = self.read.saturating_add(bytes);
        let limit = Self::MAX_TEXT as u64;
        match self.read > Self::MAX_TEXT {
            true => Err(Error::Limit { what: "bytes of messages in a file", limit }),
            false => Ok(()),
        }
    }

    fn add_table(&mut self, language: LanguageId, table: MessageTable) {
        match self.tables.iter_mut().find(|(other, _)| *other == language) {
            Some((_, known)) => *known = known.merged(&table),
            None => self.tables.push((language, table)),
        }
    }
}

fn read<'data, H: ImageNtHeaders, R: ReadRef<'data>>(file: R) -> Result<Resources, Error> {
    let damaged = |structure| move |_: object::Error| Error::malformed(structure);
    let pe = PeFile::<H, R>::parse(file).map_err(damaged("PE headers"))?;
    let sections = pe.section_table();
    let directory = pe
        .data_directories()
        .resource_directory(file, &sections)
        .map_err(damaged("resource directory"))?;
    let mut found = Resources::default();
    let Some(directory) = directory else { return Ok(found) };
    let in_directory = damaged("resource directory");
    let mut looked_at = 0;
    // Types, their names, the languages of these: three tables deep, whatever the file says.
    for kind in directory.root().map_err(in_directory)?.entries {
        let wanted = match kind.name_or_id() {
            ResourceNameOrId::Id(MESSAGE_TABLE) => Kind::Messages,
            ResourceNameOrId::Id(VERSION) => Kind::Version,
            ResourceNameOrId::Id(_) => continue,
            ResourceNameOrId::Name(name) => {
                let name = name.to_string_lossy(directory).map_err(in_directory)?;
                match () {
                    () if name.eq_ignore_ascii_case("WEVT_TEMPLATE") => Kind::Manifest,
                    () if name.eq_ignore_ascii_case("MUI") => Kind::Mui,
                    () => continue,
                }
            }
        };
        let Some(names) = kind.data(directory).map_err(in_directory)?.table() else {
            return Err(Error::malformed("resource directory"));
        };
        for name in names.entries {
            let Some(languages) = name.data(directory).map_err(in_directory)?.table() else {
                return Err(Error::malformed("resource directory"));
            };
            for entry in languages.entries {
                looked_at += 1;
                if looked_at > Resources::MAX_RESOURCES {
                    let limit = Resources::MAX_RESOURCES as u64;
                    return Err(Error::Limit { what: "resources", limit });
                }
                let language = match entry.name_or_id() {
                    ResourceNameOrId::Id(id) => LanguageId(id),
                    ResourceNameOrId::Name(_) => LanguageId::NEUTRAL,
                };
                let data = match entry.data(directory).map_err(in_directory)? {
                    ResourceDirectoryEntryData::Data(data) => data,
                    ResourceDirectoryEntryData::Table(_) => {
                        return Err(Error::malformed("resource directory"));
                    }
                };
                let (at, len) = (data.offset_to_data.get(LE), data.size.get(LE) as usize);
                let bytes = sections
                    .pe_data_at(file, at)
                    .and_then(|bytes| bytes.get(..len))
                    .ok_or(Error::Malformed { structure: "resource", offset: at.into() })?;
                wanted.read(bytes, language, &mut found)?;
            }
        }
    }
    found.tables.sort_by_key(|(language, _)| *language);
    Ok(found)
}

/// A kind of resource that is read.
#[derive(Clone, Copy)]
enum Kind {
    Messages,
    Manifest,
    Mui,
    Version,
}

impl Kind {
    fn read(self, bytes: &[u8], language: LanguageId, found: &mut Resources) -> Result<(), Error> {
        match self {
            Kind::Messages => {
                let table = MessageTable::read(bytes, language)?;
                found.spend(table.len() + table.text_len())?;
                found.add_table(language, table);
            }
            Kind::Manifest => {
                found.spend(bytes.len())?;
                for manifest in manifest::read(bytes)? {
                    // A file may have the same description in several languages.
                    if !found.manifests.iter().any(|known| known.guid == manifest.guid) {
                        found.manifests.push(manifest);
                    }
                }
                if found.manifests.len() > Resources::MAX_PROVIDERS {
                    let limit = Resources::MAX_PROVIDERS as u64;
                    return Err(Error::Limit { what: "providers in a file", limit });
                }
            }
            Kind::Mui => found.mui = Some(read_mui(bytes)?),
            Kind::Version => found.version = found.version.or(read_version(bytes)),
        }
        Ok(())
    }
}

/// Reads the resource MUI, which no specification describes: a header with offsets and lengths of
/// lists of resource types.
fn read_mui(bytes: &[u8]) -> Result<Mui, Error> {
    let data = Bytes::new(bytes, "MUI resource");
    data.signature(0, &[0xcd, 0xfe, 0xcd, 0xfe])?;
    let list = |at: usize| -> Result<&[u8], Error> {
        match (data.size(at)?, data.size(at + 4)?) {
            (0, _) | (_, 0) => Ok(&[]),
            (start, len) => data.slice(start, len),
        }
    };
    let has_messages = |ids: &[u8]| {
        let is_table = |id: &[u8]| id == u32::from(MESSAGE_TABLE).to_le_bytes();
        ids.chunks_exact(4).any(is_table)
    };
    // Offsets and lengths from byte 84 on: the names and the numbers of types in the file itself,
    // those in the `.mui` file, the language, the language to fall back to.
    const TYPES_HERE: usize = 92;
    const TYPES_IN_MUI: usize = 108;
    const LANGUAGE: usize = 116;
    const FALLBACK: usize = 124;
    let language = match utf16(list(LANGUAGE)?) {
        empty if empty.is_empty() => utf16(list(FALLBACK)?),
        language => language,
    };
    Ok(Mui {
        is_neutral: data.u32(16)? & 1 != 0,
        messages_here: has_messages(list(TYPES_HERE)?),
        messages_in_mui: has_messages(list(TYPES_IN_MUI)?),
        language,
    })
}

/// The file version in VS_FIXEDFILEINFO, if there is one.
fn read_version(bytes: &[u8]) -> Option<FileVersion> {
    // The key of VS_VERSIONINFO has a fixed length, and the structure is aligned to 4 bytes.
    let info = Bytes::new(bytes.get(40..)?, "version");
    info.signature(0, &0xfeef_04bd_u32.to_le_bytes()).ok()?;
    let half = |at| info.u16(at).ok();
    Some(FileVersion([half(10)?, half(8)?, half(14)?, half(12)?]))
}
