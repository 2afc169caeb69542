//! Per-message tokens (RFC 4121) in the form that DCE/RPC has them (MS-KILE
//! 3.4.5.4.1, MS-RPCE 2.2.2.12): the stub is encrypted where it stands, and all
//! else of the token is the signature.
//!
//! In a token as the RFC has it, `random | body | filler | header` is encrypted
//! and followed by its checksum. Rotated right by everything that is after the
//! body, the body comes last, and what is before it is the signature: `header |
//! filler | header | checksum | random`. The PDU's header and security trailer
//! are covered by the checksum, before and after the body.

use std::ops::Range;

use zeroize::Zeroizing;

use super::crypto::{BLOCK, CHECKSUM, Checksum, Cipher, Key};
use crate::error::UsageError;
use crate::security::{BadSignature, Sealer};

/// Length of a token's header.
const HEADER: usize = 16;
/// How much follows the body, without the filler.
const BEHIND: usize = HEADER + CHECKSUM;
/// Length of a signature without a filler.
const SIGNATURE: usize = HEADER + BEHIND + BLOCK;

/// RFC 4121 2.
const ACCEPTOR_SEAL: u32 = 22;
const ACCEPTOR_SIGN: u32 = 23;
const INITIATOR_SEAL: u32 = 24;
const INITIATOR_SIGN: u32 = 25;

const SENT_BY_ACCEPTOR: u8 = 1;
const SEALED: u8 = 2;
const ACCEPTOR_SUBKEY: u8 = 4;

/// Which side of the session this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Initiator,
    Acceptor,
}

/// What a handshake ended in.
pub(super) struct Session {
    pub(super) key: Key,
    /// Whether it is the acceptor's.
    pub(super) acceptors: bool,
    pub(super) side: Side,
    /// The numbers of the next message each way.
    pub(super) send: u64,
    pub(super) receive: u64,
    /// The other side has signed something before it sealed anything.
    pub(super) signed: bool,
}

impl Session {
    /// Signs data that the other side has, for SPNEGO's `mechListMIC`: a MIC token
    /// (4.2.6.1), which takes a number.
    pub(super) fn sign(&mut self, data: &[u8]) -> Vec<u8> {
        let flags = self.flags(self.side);
        let mut token = mic_header(flags, self.send).to_vec();
        let checksum = self.key.signing(sign_usage(self.side)).of(&[data, &token]);
        token.extend_from_slice(&checksum);
        self.send = self.send.wrapping_add(1);
        token
    }

    /// Verifies the other side's.
    pub(super) fn verify(&mut self, data: &[u8], token: &[u8]) -> Result<(), BadSignature> {
        let from = other(self.side);
        let header = mic_header(self.flags(from), self.receive);
        let (theirs, checksum) = token.split_at_checked(HEADER).ok_or(BadSignature)?;
        self.key.signing(sign_usage(from)).verify(&[data, theirs], checksum)?;
        if theirs != header {
            return Err(BadSignature);
        }
        self.receive = self.receive.wrapping_add(1);
        self.signed = true;
        Ok(())
    }

    /// What seals and unseals.
    pub(super) fn sealer(&self) -> Result<KerberosSealer, UsageError> {
        let half = |side: Side, number: u64| {
            let (cipher, checksum) = self.key.sealing(seal_usage(side));
            Half { cipher, checksum, flags: self.flags(side) | SEALED, number, or_before: false }
        };
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed).map_err(|_| UsageError::NoRandomness)?;
        Ok(KerberosSealer {
            send: half(self.side, self.send),
            // Whether the signature takes a number, the specifications don't say.
            receive: Half { or_before: self.signed, ..half(other(self.side), self.receive) },
            random: Cipher::new(&*seed),
            scratch: Zeroizing::new(Vec::new()),
        })
    }

    fn flags(&self, from: Side) -> u8 {
        let acceptor = if from == Side::Initiator { 0 } else { SENT_BY_ACCEPTOR };
        acceptor | if self.acceptors { ACCEPTOR_SUBKEY } else { 0 }
    }
}

/// A session.
pub(super) struct KerberosSealer {
    send: Half,
    receive: Half,
    /// Makes the random block of each message, out of its number.
    random: Cipher,
    /// What is encrypted or was decrypted, in one piece.
    scratch: Zeroizing<Vec<u8>>,
}

/// One direction.
struct Half {
    cipher: Cipher,
    checksum: Checksum,
    flags: u8,
    number: u64,
    /// The next number may also be the one before it.
    or_before: bool,
}

impl Sealer for KerberosSealer {
    /// With a filler of a block, as Windows has it.
    fn signature_len(&self) -> usize {
        SIGNATURE + BLOCK
    }

    fn takes_signature_of(&self, len: usize) -> bool {
        (SIGNATURE..=SIGNATURE + BLOCK).contains(&len)
    }

    fn seal(&mut self, pdu: &mut [u8], body: Range<usize>, signature: &mut [u8]) {
        let Self { send, random, scratch, .. } = self;
        let mut confounder = [0; BLOCK];
        confounder[..8].copy_from_slice(&send.number.to_le_bytes());
        random.encrypt(&mut confounder);
        let filler = [0xff; BLOCK];
        let header = wrap_header(send.flags, BLOCK as u16, 0, send.number);
        let checksum = send.checksum.of(&[&confounder, pdu, &filler, &header]);
        let len = body.len();
        scratch.clear();
        for part in [&confounder, &pdu[body.clone()], &filler, &header] {
            scratch.extend_from_slice(part);
        }
        send.cipher.encrypt(scratch);
        pdu[body].copy_from_slice(&scratch[BLOCK..BLOCK + len]);
        let rotation = BEHIND as u16;
        let header = wrap_header(send.flags, BLOCK as u16, rotation, send.number);
        let parts = [&header, &scratch[BLOCK + len..], &checksum, &scratch[..BLOCK]];
        let mut rest = signature;
        for part in parts {
            let (to, behind) = std::mem::take(&mut rest).split_at_mut(part.len());
            to.copy_from_slice(part);
            rest = behind;
        }
        send.number = send.number.wrapping_add(1);
    }

    fn unseal(
        &mut self,
        pdu: &mut [u8],
        body: Range<usize>,
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        let Self { receive, scratch, .. } = self;
        let filler = signature.len().checked_sub(SIGNATURE).filter(|len| *len <= BLOCK);
        let filler = filler.ok_or(BadSignature)?;
        let (header, rest) = signature.split_at(HEADER);
        // The number has to be the next one: nothing is left out, repeated or swapped.
        let before = receive.number.wrapping_sub(1);
        let is_before = receive.or_before && header[8..] == before.to_be_bytes();
        let number = if is_before { before } else { receive.number };
        if header != wrap_header(receive.flags, filler as u16, BEHIND as u16, number) {
            return Err(BadSignature);
        }
        let (behind, rest) = rest.split_at(filler + HEADER);
        let (checksum, confounder) = rest.split_at(CHECKSUM);
        let len = body.len();
        scratch.clear();
        for part in [confounder, &pdu[body.clone()], behind] {
            scratch.extend_from_slice(part);
        }
        receive.cipher.decrypt(scratch);
        pdu[body].copy_from_slice(&scratch[BLOCK..BLOCK + len]);
        let (confounder, behind) = (&scratch[..BLOCK], &scratch[BLOCK + len..]);
        receive.checksum.verify(&[confounder, pdu, behind], checksum)?;
        // The encrypted header is what proves the one in front, which nothing covers.
        let within = wrap_header(receive.flags, filler as u16, 0, number);
        if behind[filler..] != within {
            return Err(BadSignature);
        }
        receive.number = number.wrapping_add(1);
        receive.or_before = false;
        Ok(())
    }
}

/// 4.2.6.2.
fn wrap_header(flags: u8, filler: u16, rotation: u16, number: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&[5, 4, flags, 0xff]);
    header[4..6].copy_from_slice(&filler.to_be_bytes());
    header[6..8].copy_from_slice(&rotation.to_be_bytes());
    header[8..].copy_from_slice(&number.to_be_bytes());
    header
}

/// 4.2.6.1.
fn mic_header(flags: u8, number: u64) -> [u8; HEADER] {
    let mut header = [0xff; HEADER];
    header[..3].copy_from_slice(&[4, 4, flags]);
    header[8..].copy_from_slice(&number.to_be_bytes());
    header
}

fn other(side: Side) -> Side {
    match side {
        Side::Initiator => Side::Acceptor,
        Side::Acceptor => Side::Initiator,
    }
}

fn seal_usage(from: Side) -> u32 {
    if from == Side::Initiator { INITIATOR_SEAL } else { ACCEPTOR_SEAL }
}

fn sign_usage(from: Side) -> u32 {
    if from == Side::Initiator { INITIATOR_SIGN } else { ACCEPTOR_SIGN }
}
