#![doc = include_str!("../README.md")]
//!
//! # Where is what
//!
//! * [`Resources`] reads provider files (`.dll`, `.exe`, `.sys`, `.mui`): message tables and compiled
//!   [manifests](manifest). [`hive`] and [`registry`] say which file belongs to which provider.
//! * A [`Catalogue`] holds the messages of one build of Windows and one language in one file, of
//!   which little is read until it is needed. [`build`](mod@build) makes one of files, folders or a mounted
//!   disk, [`import`] of databases that others made.
//! * [`Mta`] reads the display strings that Event Viewer saves beside an exported log.
//! * [`ProviderTexts`] makes the text of an event: [`format`](mod@format) has the rules.
//! * [`Learned`] keeps what a server was asked for, text by text, for a catalogue of its build.
//! * [`Sources`] asks all of these in their order, for printers and filters: it is a
//!   [`MessageSource`](quarry_event::MessageSource).
//! * [`standard`] and [`status`] have the names and codes that need no file.
//!
//! Files are hostile: counts, lengths and depths in them are bounded, and what breaks the bounds or
//! the format is a typed [`Error`].
#![forbid(unsafe_code)]

pub mod build;
mod bytes;
pub mod catalogue;
mod error;
pub mod format;
mod guid;
pub mod hive;
pub mod import;
mod kinds;
mod language;
mod learned;
pub mod manifest;
mod mta;
mod provider;
mod recipe;
pub mod registry;
mod resources;
mod sources;
pub mod standard;
pub mod status;
mod table;

pub use catalogue::{Catalogue, CatalogueBuilder, CatalogueInfo, CatalogueKind};
pub use error::Error;
pub use kinds::{InType, OutType};
pub use language::LanguageId;
pub use learned::{Asked, Carrier, Learned, TextOf};
pub use manifest::Manifest;
pub use mta::Mta;
pub use provider::{EventText, Provider, ProviderTexts, Tables};
pub use resources::{FileVersion, Mui, Resources};
pub use sources::Sources;
pub use table::MessageTable;
