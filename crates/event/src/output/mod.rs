//! Events as text: JSON, XML, CSV and tables.

pub mod xml;
