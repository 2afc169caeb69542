//! The text of events: what Event Viewer shows, made without Windows.
#![forbid(unsafe_code)]

mod bytes;
pub mod catalogue;
mod error;
pub mod format;
mod guid;
mod kinds;
mod language;
pub mod manifest;
mod mta;
mod provider;
mod resources;
pub mod standard;
pub mod status;
mod table;

pub use catalogue::{Catalogue, CatalogueBuilder, CatalogueInfo, CatalogueKind};
pub use error::Error;
pub use kinds::{InType, OutType};
pub use language::LanguageId;
pub use manifest::Manifest;
pub use mta::Mta;
pub use provider::{EventText, Provider, ProviderTexts, Tables};
pub use resources::{FileVersion, Mui, Resources};
pub use table::MessageTable;
