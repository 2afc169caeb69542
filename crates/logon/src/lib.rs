#![doc = include_str!("../README.md")]

mod child;
mod error;
mod identity;
#[cfg(any(windows, test))]
mod quoting;
mod refusal_log;
mod request;
mod stack;
mod sys;
mod task;
mod token;

pub use child::{Child, Command, Environment, Folder, Session};
pub use error::{Error, Refusal};
pub use identity::{Identity, PrincipalId};
pub use refusal_log::{log_line, log_refusal};
pub use request::{Logon, LogonType, Provider};
pub use sys::{check_privileges, started_with_privileges};
pub use task::Task;
pub use token::{Guard, Token};
