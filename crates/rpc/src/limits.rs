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

/// How long a TCP connection may take to come about, unless configured: all of
/// it, from looking the name up on.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a server may keep us waiting, unless configured. Silence isn't the
/// only way to do that, so it bounds these:
///
/// * a handshake as a whole, whatever comes meanwhile: that of a bind, and SMB's
///   up to the open pipe. The wait for a password's [`Gate`](quarry_cred::Gate)
///   doesn't count;
/// * a call: it has this time, and one second more for each
///   [`MIN_ANSWER_RATE`] bytes of answers that came whole and verified, but at no
///   moment more than this time from then on. So a server that sends a byte a
///   second is given up when one is that sends nothing, and the largest answer
///   takes at most this and [`DEFAULT_MAX_STUB`] / [`MIN_ANSWER_RATE`] seconds;
/// * a PDU, by that: a part of one is no progress.
///
/// Time counts only as far as this side could have listened (`tcp::Patience`).
pub const DEFAULT_SILENCE: Duration = Duration::from_secs(30);

/// The least that a server has to send of an answer, in bytes of stub data a
/// second, averaged over [`DEFAULT_SILENCE`] or what is configured. Each of a
/// thousand servers has more on a line of 10 Mbit/s.
pub const MIN_ANSWER_RATE: u32 = 1024;

/// After how long an attempt to sign in that is undecided lets one other server
/// be shown the credential.
pub const TICKET_PATIENCE: Duration = Duration::from_secs(1);

/// How long an attempt to sign in that is undecided counts as one at the gate.
/// It goes on after that, and what comes of it is heard; but whoever hangs, or
/// drips, keeps the others waiting no longer.
pub const TICKET_LIFE: Duration = Duration::from_secs(30);

/// Largest answer of an endpoint mapper, in bytes.
pub const MAX_MAPPER_STUB: usize = 64 * 1024;

/// Most addresses of one host name that are tried.
pub const MAX_ADDRESSES: usize = 8;

/// Most association groups that the server half keeps.
pub const MAX_ASSOCIATION_GROUPS: usize = 64 * 1024;
