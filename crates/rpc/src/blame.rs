//! Whose fault an error is.

/// Who is to act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The peer broke the protocol, or answered what makes no sense.
    Peer,
    /// The peer answered, lawfully, that it will not.
    Refusal,
    /// The credential was refused.
    Credential,
    /// The network, or a peer that is silent or gone.
    Network,
    /// The caller, or this machine.
    Us,
}
