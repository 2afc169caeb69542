//! Tests of the store through its public side. One program, as linking it is dear.

mod basics;
mod cloud;
mod crash;
mod damage;
mod engines;
mod faults;
mod fence;
#[path = "../../../binxml/tests/generate/mod.rs"]
mod generate;
mod maintenance;
mod members;
mod others;
mod questions;
mod read;
mod readers;
mod rows;
mod stock;
mod support;
mod syncs;
