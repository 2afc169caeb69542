//! Who asks, and what they may read.
//!
//! Everything that reads events takes a [`Person`]. A request has one once the [`gate`] has let it
//! in; one that has none is answered 401 by the extractor, so that a route can't forget to ask.
//! [`Visit`] is the same with the session, the audit and the bounds: a question begins with
//! [`Visit::question`].
//!
//! | module | has |
//! |---|---|
//! | `gate` | what stands before all routes, in order |
//! | `origin` | our hosts; changes from our own pages only |
//! | `headers` | what every answer says to browsers |
//! | `session`, `token` | who is signed in; the first visit's token, and those of programs |
//! | `accounts`, `helper` | passwords, and files opened as the person who asks |
//! | `rules` | which logs of which servers somebody may read |
//! | `running` | what is being answered, and the queue of questions that ask servers |
//! | `limits` | bounds on a person, an address and everybody |
//! | `audit` | who read what |
//! | `tls` | certificates |

pub mod accounts;
pub mod audit;
pub mod clock;
pub mod gate;
pub mod headers;
#[cfg(target_os = "linux")]
pub mod helper;
pub mod limits;
pub mod origin;
mod person;
pub mod rules;
pub mod running;
mod secret;
pub mod session;
mod sign_in;
pub mod tls;
pub mod token;
mod visit;

pub use gate::{Connection, Gate, GateError};
pub use person::Person;
pub use visit::{Question, Visit};

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Makes or empties a file that only its owner may read.
fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
