//! Parts that pages are made of.

pub(crate) mod layout;
