//! The `quarry` command.
#![forbid(unsafe_code)]

fn main() {}
