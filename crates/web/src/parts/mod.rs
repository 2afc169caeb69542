//! Parts that pages are made of.

pub(crate) mod facets;
pub(crate) mod histogram;
pub(crate) mod layout;
pub(crate) mod pills;
pub(crate) mod row;
pub(crate) mod sources;
pub(crate) mod text;
