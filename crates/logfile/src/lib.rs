//! Part of Quarry.
#![forbid(unsafe_code)]
