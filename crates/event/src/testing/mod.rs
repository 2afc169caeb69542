//! Generators of events, filters and queries for property tests.
