//! The protocols that event logs are read in.

use std::fmt;

/// How a server's event log is read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Protocol {
    /// MS-EVEN6, over TCP: Windows Vista, 2008 and later.
    Even6,
    /// MS-EVEN, over SMB: every Windows, as far as it speaks SMB 2, and Samba.
    Even,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Even6 => "MS-EVEN6",
            Protocol::Even => "MS-EVEN over SMB",
        })
    }
}
