//! Every limit of this crate in one place. A peer that breaks one gets a typed
//! error; what we would send beyond one is refused before it is sent.

use std::time::Duration;

/// Largest fragment that we offer to receive and to send, in bytes. Windows'
/// own servers offer 5,840.
pub const DEFAULT_FRAGMENT: u16 = 5840;

/// Smallest fragment that every implementation must take (C706 12.6.3.1,
/// `MustRecvFragSize`). A peer that offers less is refused.
pub const MIN_FRAGMENT: u16 = 1432;

/// Largest stub put together from fragments, in bytes, unless configured
/// otherwise. MS-EVEN6's largest answer is 2 MiB of events and 8 KiB of offsets;
/// its largest lists are 8,192 strings.
pub const DEFAULT_MAX_STUB: usize = 8 * 1024 * 1024;

/// Most fragments in one request or response. At the smallest legal size this
/// is more than [`DEFAULT_MAX_STUB`]; it stops a peer that sends fragments with
/// next to nothing in them.
pub const MAX_FRAGMENTS_PER_CALL: u32 = 16 * 1024;

/// Most calls open at once on one connection, either half.
pub const MAX_CALLS_IN_FLIGHT: usize = 64;

/// Most presentation contexts in a bind or alter_context, and most on one
/// connection.
pub const MAX_CONTEXTS: usize = 16;

/// Most transfer syntaxes offered for one presentation context.
pub const MAX_TRANSFER_SYNTAXES: usize = 8;

/// Most versions listed in a bind_nak.
pub const MAX_NAK_VERSIONS: usize = 16;

/// Largest security token, in bytes. Windows' own limit for Negotiate is 48,000.
pub const MAX_TOKEN: usize = 48_000;

/// Most legs (tokens that we send) of a security handshake.
pub const MAX_HANDSHAKE_LEGS: u32 = 8;

/// Deepest nesting of NDR types that a decoder may enter.
pub const MAX_NDR_DEPTH: u32 = 16;

/// Most non-null pointers in one stub.
pub const MAX_NDR_REFERENTS: u32 = 256 * 1024;

/// Most floors in a protocol tower (a TCP tower has 5, an HTTP one 6).
pub const MAX_TOWER_FLOORS: u16 = 16;

/// Largest encoded tower, in bytes.
pub const MAX_TOWER_BYTES: u32 = 2048;

/// Most towers asked for and accepted in one `ept_map`.
pub const MAX_TOWERS: u32 = 16;

/// Most attribute-value pairs in an NTLM target information block.
pub const MAX_NTLM_AV_PAIRS: usize = 64;

/// Most mechanisms in an SPNEGO offer.
pub const MAX_SPNEGO_MECHANISMS: usize = 32;

/// How long a TCP connection may take to come about, unless configured.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a server may say nothing while an answer is due, unless configured.
pub const DEFAULT_SILENCE: Duration = Duration::from_secs(30);

/// Most addresses of one host name that are tried.
pub const MAX_ADDRESSES: usize = 8;

/// Most association groups that the server half keeps.
pub const MAX_ASSOCIATION_GROUPS: usize = 64 * 1024;
