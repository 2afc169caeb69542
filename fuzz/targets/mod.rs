//! What the targets for BinXML and `.evtx` do: called by fuzz_targets/ and, with the seeds, by the
//! test crates/eventlog/tests/fuzz_seeds.rs.
#![allow(dead_code, unreachable_pub)] // Each caller uses a part of it.

pub mod binxml_file;
pub mod binxml_wire;
pub mod classic;
pub mod evt;
pub mod evtx;
pub mod recover;
mod use_event;
