//! What a user asks for: a filter.
