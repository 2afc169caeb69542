//! Windows event queries.
