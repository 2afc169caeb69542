#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod access;
mod api;
mod app;
mod assets;
pub mod keeper;
mod pages;
mod parts;
mod problem;
mod serve;
pub mod site;
pub mod sources;
mod stream;
pub mod view;

pub use app::{App, router};
pub use problem::Problem;
pub use serve::{Serving, serve};
pub use site::Site;
pub use sources::{Backend, Sources};
