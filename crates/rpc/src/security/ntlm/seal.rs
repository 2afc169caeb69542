//! Message confidentiality with extended session security (MS-NLMP 3.4.4.2,
//! 3.4.5): HMAC-MD5 over sequence number and PDU, RC4 over body and checksum,
//! in place. What is received goes through [`Unseal`].

use std::ops::Range;

use hmac::Mac;
use rc4::{KeyInit, Rc4, StreamCipher};
use zeroize::Zeroizing;

use super::crypto::{HmacMd5, hmac, md5};
use super::unseal::Unseal;
use crate::security::{BadSignature, Sealer};

/// Length of an NTLM signature: version, checksum, sequence number.
pub(crate) const SIGNATURE_LEN: usize = 16;

/// Which side of the session this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// The key of a session with 128 bits and key exchange.
pub(crate) struct NtlmKeys {
    session_key: Zeroizing<[u8; 16]>,
    side: Side,
}

impl NtlmKeys {
    pub(crate) fn new(session_key: [u8; 16], side: Side) -> Self {
        Self { session_key: Zeroizing::new(session_key), side }
    }

    /// The session. After an exchange of `mechListMIC`s, which take number 0
    /// but leave the key stream at its start, `first_number` is 1 (MS-SPNG
    /// 3.2.5.1), else 0.
    pub(crate) fn sealer(&self, first_number: u32) -> NtlmSealer {
        let (send, receive) = self.directions();
        let [signing, sealing] = self.keys(receive);
        NtlmSealer {
            send: self.half(send, first_number),
            receive: Unseal::new(&signing, &sealing),
            receive_number: first_number,
        }
    }

    /// A signature over `data` as message number 0, for SPNEGO's `mechListMIC`.
    pub(crate) fn sign_first(&self, data: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.half(self.directions().0, 0).sign(data)
    }

    /// Verifies the other side's signature over `data` as its message number 0.
    pub(crate) fn verify_first(&self, data: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let signature = signature.try_into().map_err(|_| BadSignature)?;
        let expected = self.half(self.directions().1, 0).sign(data);
        // Compared as one number, in the same time whatever they are.
        match u128::from_ne_bytes(expected) == u128::from_ne_bytes(signature) {
            true => Ok(()),
            false => Err(BadSignature),
        }
    }

    fn directions(&self) -> (&'static Magic, &'static Magic) {
        match self.side {
            Side::Client => (&CLIENT_TO_SERVER, &SERVER_TO_CLIENT),
            Side::Server => (&SERVER_TO_CLIENT, &CLIENT_TO_SERVER),
        }
    }

    /// `SIGNKEY` and `SEALKEY` (MS-NLMP 3.4.5.2, 3.4.5.3).
    fn keys(&self, magic: &Magic) -> [Zeroizing<[u8; 16]>; 2] {
        [magic.signing, magic.sealing]
            .map(|magic| Zeroizing::new(md5(&[&*self.session_key, magic])))
    }

    fn half(&self, magic: &Magic, number: u32) -> Half {
        let [signing, sealing] = self.keys(magic);
        let rc4 = Rc4::new_from_slice(&*sealing).expect("RC4 takes keys of 16 bytes");
        Half { rc4, mac: hmac(&*signing), number }
    }
}

/// The constants of `SIGNKEY` and `SEALKEY`, with their terminators.
struct Magic {
    signing: &'static [u8],
    sealing: &'static [u8],
}

const CLIENT_TO_SERVER: Magic = Magic {
    signing: b"session key to client-to-server signing key magic constant\0",
    sealing: b"session key to client-to-server sealing key magic constant\0",
};
const SERVER_TO_CLIENT: Magic = Magic {
    signing: b"session key to server-to-client signing key magic constant\0",
    sealing: b"session key to server-to-client sealing key magic constant\0",
};

/// An NTLM session.
pub(crate) struct NtlmSealer {
    send: Half,
    receive: Unseal,
    /// The number of the next message to come.
    receive_number: u32,
}

impl Sealer for NtlmSealer {
    fn signature_len(&self) -> usize {
        SIGNATURE_LEN
    }

    fn seal(&mut self, pdu: &mut [u8], body: Range<usize>, signature: &mut [u8]) {
        let checksum = self.send.checksum(pdu);
        self.send.rc4.apply_keystream(&mut pdu[body]);
        signature.copy_from_slice(&self.send.finish(checksum));
    }

    fn unseal(
        &mut self,
        pdu: &mut [u8],
        body: Range<usize>,
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        let number = self.receive_number;
        let expected = self.receive.message(number, pdu, body);
        let signature: &[u8; SIGNATURE_LEN] = signature.try_into().map_err(|_| BadSignature)?;
        let mut checksum = [0; 8];
        checksum.copy_from_slice(&signature[4..12]);
        self.receive.decipher(&mut checksum);
        let expected = expected.first_chunk().map(|first| u64::from_ne_bytes(*first));
        // Compared as one number, in the same time whatever they are.
        let is_same = expected == Some(u64::from_ne_bytes(checksum));
        if signature[..4] != [1, 0, 0, 0] || signature[12..] != number.to_le_bytes() || !is_same {
            return Err(BadSignature);
        }
        self.receive_number = number.wrapping_add(1);
        Ok(())
    }
}

/// What is sent.
struct Half {
    rc4: Rc4,
    mac: HmacMd5,
    number: u32,
}

impl Half {
    fn sign(&mut self, data: &[u8]) -> [u8; SIGNATURE_LEN] {
        let checksum = self.checksum(data);
        self.finish(checksum)
    }

    fn checksum(&self, data: &[u8]) -> [u8; 8] {
        let mut mac = self.mac.clone();
        mac.update(&self.number.to_le_bytes());
        mac.update(data);
        let full: [u8; 16] = mac.finalize().into_bytes().into();
        let mut checksum = [0; 8];
        checksum.copy_from_slice(&full[..8]);
        checksum
    }

    fn finish(&mut self, mut checksum: [u8; 8]) -> [u8; SIGNATURE_LEN] {
        self.rc4.apply_keystream(&mut checksum);
        let mut signature = [0; SIGNATURE_LEN];
        signature[0] = 1;
        signature[4..12].copy_from_slice(&checksum);
        signature[12..].copy_from_slice(&self.number.to_le_bytes());
        self.number = self.number.wrapping_add(1);
        signature
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// MS-NLMP 4.2.4.4: "Plaintext" in UTF-16, sealed by the client with the
    /// session key 16 times 0x55, message number 0.
    #[test]
    fn the_specifications_example_comes_out() {
        let mut sealer = NtlmKeys::new([0x55; 16], Side::Client).sealer(0);
        let mut text: Vec<u8> = "Plaintext".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut signature = [0; 16];
        let len = text.len();
        sealer.seal(&mut text, 0..len, &mut signature);
        assert_eq!(
            text,
            [
                0x54, 0xe5, 0x01, 0x65, 0xbf, 0x19, 0x36, 0xdc, 0x99, 0x60, 0x20, 0xc1, 0x81, 0x1b,
                0x0f, 0x06, 0xfb, 0x5f
            ]
        );
        assert_eq!(
            signature,
            [1, 0, 0, 0, 0x7f, 0xb3, 0x8e, 0xc5, 0xc5, 0x5d, 0x49, 0x76, 0, 0, 0, 0]
        );
    }

    fn pair(first: u32) -> (NtlmSealer, NtlmSealer) {
        let key = [7; 16];
        let client = NtlmKeys::new(key, Side::Client).sealer(first);
        (client, NtlmKeys::new(key, Side::Server).sealer(first))
    }

    #[test]
    fn a_change_anywhere_a_replay_and_a_swap_are_found() {
        let sealed = |sealer: &mut NtlmSealer| {
            let mut pdu = (0..64).collect::<Vec<u8>>();
            let mut signature = [0; 16];
            sealer.seal(&mut pdu, 24..56, &mut signature);
            (pdu, signature)
        };
        for at in 0..64 {
            let (mut client, mut server) = pair(0);
            let (mut pdu, signature) = sealed(&mut client);
            pdu[at] ^= 0x10;
            assert_eq!(server.unseal(&mut pdu, 24..56, &signature), Err(BadSignature), "byte {at}");
        }
        for at in 0..16 {
            let (mut client, mut server) = pair(0);
            let (mut pdu, mut signature) = sealed(&mut client);
            signature[at] ^= 1;
            assert_eq!(server.unseal(&mut pdu, 24..56, &signature), Err(BadSignature), "byte {at}");
        }
        let (mut client, mut server) = pair(0);
        let first = sealed(&mut client);
        let mut again = first.clone();
        assert_eq!(server.unseal(&mut again.0, 24..56, &again.1), Ok(()));
        let mut replay = first;
        assert_eq!(server.unseal(&mut replay.0, 24..56, &replay.1), Err(BadSignature));
    }

    #[test]
    fn what_one_sends_to_itself_is_not_accepted() {
        let (mut client, _) = pair(0);
        let mut pdu = vec![0; 32];
        let mut signature = [0; 16];
        client.seal(&mut pdu, 0..32, &mut signature);
        assert_eq!(client.unseal(&mut pdu, 0..32, &signature), Err(BadSignature));
    }

    #[test]
    fn a_mic_takes_number_zero_and_leaves_the_key_stream_alone() {
        let client = NtlmKeys::new([9; 16], Side::Client);
        let server = NtlmKeys::new([9; 16], Side::Server);
        let mic = client.sign_first(b"mechanisms");
        assert_eq!(server.verify_first(b"mechanisms", &mic), Ok(()));
        assert_eq!(server.verify_first(b"mechanism5", &mic), Err(BadSignature));
        let (mut sender, mut receiver) = (client.sealer(1), server.sealer(1));
        let mut pdu = vec![1; 40];
        let mut signature = [0; 16];
        sender.seal(&mut pdu, 8..40, &mut signature);
        assert_eq!(signature[12], 1);
        assert_eq!(receiver.unseal(&mut pdu, 8..40, &signature), Ok(()));
        assert_eq!(pdu, [1; 40]);
    }

    proptest! {
        #[test]
        fn messages_of_any_length_arrive_in_order(lens in prop::collection::vec(0usize..300, 1..20)) {
            let (mut client, mut server) = pair(0);
            for len in lens {
                let mut pdu: Vec<u8> = (0..len + 24).map(|n| n as u8).collect();
                let mut signature = [0; 16];
                client.seal(&mut pdu, 16..16 + len, &mut signature);
                prop_assert_eq!(server.unseal(&mut pdu, 16..16 + len, &signature), Ok(()));
                let expected: Vec<u8> = (0..len + 24).map(|n| n as u8).collect();
                prop_assert_eq!(pdu, expected);
            }
        }
    }
}
