//! Provider files, databases and logs that others made, against what others read in them.
#![allow(clippy::print_stdout)] // The counts are what the tests are for.

mod building;
mod compiler;
mod databases;
mod evtx;
mod files;
mod hives;
mod manifests;
mod mta;
mod pairs;
mod readers;
mod user_data;
mod wine;
mod xml;
