#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod args;
pub mod catalogues;
pub mod console;
pub mod demo;
pub mod error;
pub mod files;
pub mod filter;
pub mod hints;
pub mod input;
pub mod interrupt;
pub mod kerberos;
pub mod listing;
pub mod network;
pub mod public;
pub mod record;
pub mod rules;
pub mod run;
pub mod secret;
pub mod servers;
pub mod signals;
pub mod source;
pub mod texts;
pub mod trace;
pub mod undumped;
pub mod visits;
