//! What an event is.
#![forbid(unsafe_code)]
