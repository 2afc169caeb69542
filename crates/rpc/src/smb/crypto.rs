//! Keys, signatures and encryption (3.1.4.1 to 3.1.4.3).

use aes::{Aes128, Aes256};
use aes_gcm::aead::consts::{U11, U16};
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use ccm::Ccm;
use cmac::{Cmac, Mac};
use hmac::Hmac;
use sha2::{Digest, Sha256, Sha512};
use zeroize::Zeroizing;

use super::dialect::{Cipher, Dialect, SigningAlgorithm};
use super::error::SmbError;
use super::header::{SIGNATURE_AT, TRANSFORM_AAD, TRANSFORM_LEN, TransformHeader};

/// The running hash over the handshake of 3.1.1 (3.1.4.4.1 and 3.2.5.2).
#[derive(Clone, Copy)]
pub(super) struct Preauth([u8; 64]);

impl Preauth {
    pub(super) fn new() -> Self {
        Self([0; 64])
    }

    pub(super) fn update(&mut self, message: &[u8]) {
        let hash = Sha512::new().chain_update(self.0).chain_update(message);
        self.0.copy_from_slice(&hash.finalize());
    }
}

/// The keys of a session.
pub(super) struct Keys {
    signer: Signer,
    /// To and from the server.
    ciphers: Option<(Sealer, Sealer)>,
}

impl Keys {
    /// Derives them from the key of the authentication (3.2.5.3).
    pub(super) fn derive(
        session_key: &[u8],
        dialect: Dialect,
        signing: SigningAlgorithm,
        cipher: Option<Cipher>,
        preauth: &Preauth,
    ) -> Self {
        // The first 16 bytes, filled up with zeros.
        let mut key = Zeroizing::new([0; 16]);
        for (to, from) in key.iter_mut().zip(session_key) {
            *to = *from;
        }
        if dialect < Dialect::Smb300 {
            return Self {
                signer: Signer::new(SigningAlgorithm::HmacSha256, &*key),
                ciphers: None,
            };
        }
        let v311 = dialect == Dialect::Smb311;
        let context = |old: &'static [u8]| if v311 { preauth.0.to_vec() } else { old.to_vec() };
        let label = |old: &'static [u8], new: &'static [u8]| if v311 { new } else { old };
        let signing_key =
            derive(&*key, label(b"SMB2AESCMAC\0", b"SMBSigningKey\0"), &context(b"SmbSign\0"), 16);
        let ciphers = cipher.map(|cipher| {
            let len = cipher.key_len();
            // A key of 256 bits is made from all of the session's key.
            let from = if len == 32 { session_key } else { &key[..] };
            let to = label(b"SMB2AESCCM\0", b"SMBC2SCipherKey\0");
            let back = label(b"SMB2AESCCM\0", b"SMBS2CCipherKey\0");
            (
                Sealer::new(cipher, &derive(from, to, &context(b"ServerIn \0"), len)),
                Sealer::new(cipher, &derive(from, back, &context(b"ServerOut\0"), len)),
            )
        });
        Self { signer: Signer::new(signing, &signing_key), ciphers }
    }

    pub(super) fn can_encrypt(&self) -> bool {
        self.ciphers.is_some()
    }

    /// Puts the signature into a request's header, which says that it is signed.
    pub(super) fn sign(&self, message: &mut [u8], message_id: u64) {
        message[SIGNATURE_AT].fill(0);
        let signature = self.signer.signature(message, message_id, false);
        message[SIGNATURE_AT].copy_from_slice(&signature);
    }

    /// Checks the signature of a response.
    pub(super) fn verify(&self, message: &mut [u8], message_id: u64) -> Result<(), SmbError> {
        let mut theirs = [0; 16];
        theirs.copy_from_slice(&message[SIGNATURE_AT]);
        message[SIGNATURE_AT].fill(0);
        let ours = self.signer.signature(message, message_id, true);
        message[SIGNATURE_AT].copy_from_slice(&theirs);
        if same(&ours, &theirs) { Ok(()) } else { Err(SmbError::BadSignature) }
    }

    /// The encrypted form of a message, header and all.
    pub(super) fn encrypt(&mut self, message: &[u8], session_id: u64) -> Option<Vec<u8>> {
        let (sealer, _) = self.ciphers.as_mut()?;
        sealer.number += 1;
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&sealer.number.to_le_bytes());
        let message_len = message.len() as u32;
        let mut header = TransformHeader { signature: [0; 16], nonce, message_len, session_id };
        let mut out = header.encode().to_vec();
        out.extend_from_slice(message);
        let (head, body) = out.split_at_mut(TRANSFORM_LEN);
        header.signature = sealer.seal(&nonce, &head[TRANSFORM_AAD], body);
        out[..TRANSFORM_LEN].copy_from_slice(&header.encode());
        Some(out)
    }

    /// Decrypts a message in place; what is returned is the message within.
    pub(super) fn decrypt<'m>(
        &self,
        message: &'m mut [u8],
        session_id: u64,
    ) -> Result<&'m mut [u8], SmbError> {
        match &self.ciphers {
            Some((_, opener)) => Self::open_with(opener, message, session_id),
            None => Err(SmbError::NotSmb("encrypted without a key")),
        }
    }

    fn open_with<'m>(
        opener: &Sealer,
        message: &'m mut [u8],
        session_id: u64,
    ) -> Result<&'m mut [u8], SmbError> {
        let header = TransformHeader::decode(message)?;
        if header.session_id != session_id {
            return Err(SmbError::NotSmb("encrypted for another session"));
        }
        let (head, body) = message.split_at_mut(TRANSFORM_LEN);
        if header.message_len as usize != body.len() {
            return Err(SmbError::NotSmb("encrypted with another length"));
        }
        opener.open(&header.nonce, &head[TRANSFORM_AAD], body, &header.signature)?;
        Ok(body)
    }
}

/// SP800-108 in counter mode with HMAC-SHA256 (3.1.4.2); at most 32 bytes, so
/// one round.
pub(super) fn derive(key: &[u8], label: &[u8], context: &[u8], len: usize) -> Zeroizing<Vec<u8>> {
    let mut mac = hmac_sha256(key);
    mac.update(&1u32.to_be_bytes());
    mac.update(label);
    mac.update(&[0]);
    mac.update(context);
    mac.update(&(len as u32 * 8).to_be_bytes());
    Zeroizing::new(mac.finalize().into_bytes()[..len].to_vec())
}

fn hmac_sha256(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

enum Signer {
    Hmac(Hmac<Sha256>),
    Cmac(Box<Cmac<Aes128>>),
    Gmac(Box<Aes128Gcm>),
}

impl Signer {
    /// `key` has 16 bytes.
    fn new(algorithm: SigningAlgorithm, key: &[u8]) -> Self {
        const LENGTH: &str = "a key of 16 bytes";
        match algorithm {
            SigningAlgorithm::HmacSha256 => Self::Hmac(hmac_sha256(key)),
            SigningAlgorithm::AesCmac => {
                Self::Cmac(Box::new(Cmac::new_from_slice(key).expect(LENGTH)))
            }
            SigningAlgorithm::AesGmac => {
                Self::Gmac(Box::new(Aes128Gcm::new_from_slice(key).expect(LENGTH)))
            }
        }
    }

    fn signature(&self, message: &[u8], message_id: u64, response: bool) -> [u8; 16] {
        let mut signature = [0; 16];
        match self {
            Self::Hmac(mac) => {
                let mut mac = mac.clone();
                mac.update(message);
                signature.copy_from_slice(&mac.finalize().into_bytes()[..16]);
            }
            Self::Cmac(mac) => {
                let mut mac = mac.clone();
                mac.update(message);
                signature.copy_from_slice(&mac.finalize().into_bytes());
            }
            Self::Gmac(gcm) => {
                // The message's number, and whose it is (3.1.4.1). Cancel would
                // have a bit too, but is never sent.
                let mut nonce = [0; 12];
                nonce[..8].copy_from_slice(&message_id.to_le_bytes());
                nonce[8] = response.into();
                let mut nothing = [0; 0];
                let tag = gcm
                    .encrypt_inout_detached(&nonce.into(), message, (&mut nothing[..]).into())
                    .expect("messages are far below GCM's limit");
                signature.copy_from_slice(&tag);
            }
        }
        signature
    }
}

/// One direction's cipher.
struct Sealer {
    cipher: SealerCipher,
    /// Of the last nonce; each is used once.
    number: u64,
}

enum SealerCipher {
    Gcm128(Box<Aes128Gcm>),
    Gcm256(Box<Aes256Gcm>),
    Ccm128(Box<Ccm<Aes128, U16, U11>>),
    Ccm256(Box<Ccm<Aes256, U16, U11>>),
}

impl Sealer {
    fn new(cipher: Cipher, key: &[u8]) -> Self {
        const LENGTH: &str = "a key of the cipher's length";
        let cipher = match cipher {
            Cipher::Aes128Gcm => {
                SealerCipher::Gcm128(Box::new(KeyInit::new_from_slice(key).expect(LENGTH)))
            }
            Cipher::Aes256Gcm => {
                SealerCipher::Gcm256(Box::new(KeyInit::new_from_slice(key).expect(LENGTH)))
            }
            Cipher::Aes128Ccm => {
                SealerCipher::Ccm128(Box::new(KeyInit::new_from_slice(key).expect(LENGTH)))
            }
            Cipher::Aes256Ccm => {
                SealerCipher::Ccm256(Box::new(KeyInit::new_from_slice(key).expect(LENGTH)))
            }
        };
        Self { cipher, number: 0 }
    }

    fn seal(&self, nonce: &[u8; 16], aad: &[u8], body: &mut [u8]) -> [u8; 16] {
        let (gcm, ccm) = nonces(nonce);
        let tag = match &self.cipher {
            SealerCipher::Gcm128(c) => c.encrypt_inout_detached(&gcm.into(), aad, body.into()),
            SealerCipher::Gcm256(c) => c.encrypt_inout_detached(&gcm.into(), aad, body.into()),
            SealerCipher::Ccm128(c) => c.encrypt_inout_detached(&ccm.into(), aad, body.into()),
            SealerCipher::Ccm256(c) => c.encrypt_inout_detached(&ccm.into(), aad, body.into()),
        };
        tag.expect("messages are far below the ciphers' limits").into()
    }

    fn open(
        &self,
        nonce: &[u8; 16],
        aad: &[u8],
        body: &mut [u8],
        tag: &[u8; 16],
    ) -> Result<(), SmbError> {
        let (gcm, ccm) = nonces(nonce);
        let tag = (*tag).into();
        match &self.cipher {
            SealerCipher::Gcm128(c) => {
                c.decrypt_inout_detached(&gcm.into(), aad, body.into(), &tag)
            }
            SealerCipher::Gcm256(c) => {
                c.decrypt_inout_detached(&gcm.into(), aad, body.into(), &tag)
            }
            SealerCipher::Ccm128(c) => {
                c.decrypt_inout_detached(&ccm.into(), aad, body.into(), &tag)
            }
            SealerCipher::Ccm256(c) => {
                c.decrypt_inout_detached(&ccm.into(), aad, body.into(), &tag)
            }
        }
        .map_err(|_| SmbError::BadSignature)
    }
}

/// The parts of the nonce field that GCM and CCM use.
fn nonces(nonce: &[u8; 16]) -> ([u8; 12], [u8; 11]) {
    let (mut gcm, mut ccm) = ([0; 12], [0; 11]);
    gcm.copy_from_slice(&nonce[..12]);
    ccm.copy_from_slice(&nonce[..11]);
    (gcm, ccm)
}

/// Compares in a time that does not depend on the content.
fn same(one: &[u8; 16], other: &[u8; 16]) -> bool {
    one.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// The server's side of the same, for tests.
#[cfg(test)]
impl Keys {
    pub(super) fn sign_response(&self, message: &mut [u8], message_id: u64) {
        message[SIGNATURE_AT].fill(0);
        let signature = self.signer.signature(message, message_id, true);
        message[SIGNATURE_AT].copy_from_slice(&signature);
    }

    pub(super) fn encrypt_response(&mut self, message: &[u8], session_id: u64) -> Option<Vec<u8>> {
        self.turn_round();
        let sealed = self.encrypt(message, session_id);
        self.turn_round();
        sealed
    }

    pub(super) fn decrypt_request<'m>(
        &self,
        message: &'m mut [u8],
        session_id: u64,
    ) -> Result<&'m mut [u8], SmbError> {
        let (opener, _) = self.ciphers.as_ref().ok_or(SmbError::BadSignature)?;
        Self::open_with(opener, message, session_id)
    }

    fn turn_round(&mut self) {
        self.ciphers = self.ciphers.take().map(|(to, back)| (back, to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pair =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    /// "SMB 2 and SMB 3 security in Windows 10: the anatomy of signing and
    /// cryptographic keys", appendix (Microsoft's Open Specifications blog).
    #[test]
    fn keys_are_those_of_microsofts_examples() {
        let of_30 = hex("7CD451825D0450D235424E44BA6E78CC");
        let key = |label: &[u8], context: &[u8]| derive(&of_30, label, context, 16).to_vec();
        assert_eq!(key(b"SMB2AESCMAC\0", b"SmbSign\0"), hex("0B7E9C5CAC36C0F6EA9AB275298CEDCE"));
        assert_eq!(key(b"SMB2AESCCM\0", b"ServerIn \0"), hex("FAD27796665B313EBB578F388632B4F7"));
        assert_eq!(key(b"SMB2AESCCM\0", b"ServerOut\0"), hex("B0F0427F7CEB416D1D9DCC0CD4F99447"));
        let of_311 = hex("270E1BA896585EEB7AF3472D3B4C75A7");
        let hash = hex("0DD13628CC3ED218EF9DF9772D436D0887AB9814BFAE63A80AA845F36909DB79
             28622DDDAD522D9751640A459762C5A9D6BB084CBB3CE6BDADEF5D5BCE3C6C01");
        let key = |label: &[u8]| derive(&of_311, label, &hash, 16).to_vec();
        assert_eq!(key(b"SMBSigningKey\0"), hex("73FE7A9A77BEF0BDE49C650D8CCB5F76"));
        assert_eq!(key(b"SMBC2SCipherKey\0"), hex("629BCBC54422A0F572B97F45989B6073"));
        assert_eq!(key(b"SMBS2CCipherKey\0"), hex("E2AF0DCEFAC68DA71A0DFBD0D1350D74"));
    }

    /// The last answer of the handshake in the same appendix.
    #[test]
    fn the_signature_of_microsofts_example_is_right_and_a_changed_one_wrong() {
        let mut preauth = Preauth::new();
        preauth.0.copy_from_slice(&hex(
            "0DD13628CC3ED218EF9DF9772D436D0887AB9814BFAE63A80AA845F36909DB79
             28622DDDAD522D9751640A459762C5A9D6BB084CBB3CE6BDADEF5D5BCE3C6C01",
        ));
        let keys = Keys::derive(
            &hex("270E1BA896585EEB7AF3472D3B4C75A7"),
            Dialect::Smb311,
            SigningAlgorithm::AesCmac,
            Some(Cipher::Aes128Gcm),
            &preauth,
        );
        let mut message =
            hex("FE534D4240000100000000000100800009000000000000000300000000000000FFFE000000000000
             1900000000100000EBE146DA120BA25FC3376A49DFE31BC10900000048001D00A11B3019A0030A01
             00A3120410010000003B453CDC3524164200000000");
        assert_eq!(keys.verify(&mut message, 3), Ok(()));
        message[70] ^= 1;
        assert_eq!(keys.verify(&mut message, 3), Err(SmbError::BadSignature));
    }

    #[test]
    fn every_cipher_opens_what_it_sealed_and_nothing_that_was_changed() {
        for cipher in Cipher::ALL {
            let derive = || {
                let preauth = Preauth::new();
                let (dialect, signing) = (Dialect::Smb311, SigningAlgorithm::AesGmac);
                Keys::derive(&[7; 16], dialect, signing, Some(cipher), &preauth)
            };
            let (mut client, mut server) = (derive(), derive());
            server.turn_round();
            let sealed = client.encrypt(b"a message", 9).unwrap();
            assert_ne!(client.encrypt(b"a message", 9).unwrap(), sealed, "nonces are used once");
            assert_eq!(server.decrypt(&mut sealed.clone(), 9).unwrap(), b"a message");
            assert!(server.decrypt(&mut sealed.clone(), 8).is_err());
            assert!(client.decrypt(&mut sealed.clone(), 9).is_err(), "{cipher}: reflected");
            // Behind the protocol id, which says that it is encrypted at all.
            for at in 4..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 4;
                let opened = server.decrypt(&mut changed, 9);

                assert!(opened.is_err(), "{cipher}: byte {at}");
            }
        }
    }
}
