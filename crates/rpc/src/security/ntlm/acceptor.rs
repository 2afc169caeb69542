//! The server's side of NTLM (MS-NLMP 3.2.5): sends a challenge, and verifies
//! the proof, the session key's exchange and the message integrity code itself.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::Mac;
use rc4::{KeyInit, Rc4, StreamCipher};

use super::crypto::{NtHash, hmac, hmac_md5};
use super::messages::*;
use super::seal::{NtlmKeys, Side};
use crate::error::{SecurityError, UsageError};
use crate::security::{AcceptError, AcceptStep, Acceptor, Identity};

/// The length of a version 1 response.
const V1_RESPONSE: usize = 24;
/// The shortest version 2 response: proof, fixed part, end of list.
const MIN_V2_RESPONSE: usize = 48;
/// 100 ns units between 1601 and 1970.
const FILETIME_OF_1970: u64 = 116_444_736_000_000_000;

/// Knows the accounts that may sign in.
pub trait Accounts: Send + Sync {
    /// The NT hash of an account's password. User and domain are as the client
    /// wrote them.
    fn nt_hash(&self, user: &str, domain: &str) -> Option<NtHash>;
}

/// The names with which a server presents itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NtlmTarget {
    /// Its domain's NetBIOS name.
    pub netbios_domain: String,
    /// Its NetBIOS name.
    pub netbios_computer: String,
    /// Its domain's DNS name.
    pub dns_domain: String,
    /// Its DNS name.
    pub dns_computer: String,
}

/// Accepts one NTLM handshake.
pub struct NtlmAcceptor {
    target: Arc<NtlmTarget>,
    build: u16,
    accounts: Arc<dyn Accounts>,
    state: State,
}

enum State {
    Start,
    Challenged { negotiate: Vec<u8>, challenge: Vec<u8>, server_challenge: [u8; 8] },
    Over,
}

/// What an accepted handshake leaves.
pub(crate) struct Accepted {
    pub(crate) keys: NtlmKeys,
    pub(crate) identity: Identity,
    /// The AUTHENTICATE_MESSAGE had a MIC, so SPNEGO must have one too
    /// (MS-SPNG 3.3.5.1, note on NTLM).
    pub(crate) had_mic: bool,
}

pub(crate) enum Leg {
    Challenge(Vec<u8>),
    Accepted(Accepted),
}

impl NtlmAcceptor {
    /// A fresh handshake.
    pub fn new(target: Arc<NtlmTarget>, accounts: Arc<dyn Accounts>) -> Self {
        Self { target, build: 0, accounts, state: State::Start }
    }

    /// The same, and its challenge says that the system is this build of Windows 10.0.
    #[must_use]
    pub fn of_build(self, build: u16) -> Self {
        Self { build, ..self }
    }

    pub(crate) fn leg(&mut self, token: &[u8]) -> Result<Leg, AcceptError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Start => self.challenge(token).map(Leg::Challenge),
            State::Challenged { negotiate, challenge, server_challenge } => self
                .authenticate(token, &negotiate, &challenge, server_challenge)
                .map(Leg::Accepted),
            State::Over => Err(SecurityError::OutOfSequence.into()),
        }
    }

    fn challenge(&mut self, negotiate: &[u8]) -> Result<Vec<u8>, AcceptError> {
        let offered = message_flags(negotiate, MessageType::Negotiate)?;
        let ours = NEGOTIATE_UNICODE
            | REQUEST_TARGET
            | NEGOTIATE_SIGN
            | NEGOTIATE_SEAL
            | NEGOTIATE_NTLM
            | NEGOTIATE_ALWAYS_SIGN
            | EXTENDED_SESSION_SECURITY
            | NEGOTIATE_VERSION
            | NEGOTIATE_128
            | NEGOTIATE_KEY_EXCHANGE
            | NEGOTIATE_56;
        let flags = (offered & ours) | NEGOTIATE_TARGET_INFO | TARGET_TYPE_DOMAIN | REQUEST_TARGET;
        let mut server_challenge = [0; 8];
        getrandom::fill(&mut server_challenge).map_err(|_| UsageError::NoRandomness)?;
        let message = challenge(
            flags,
            self.build,
            &server_challenge,
            &utf16(&self.target.netbios_domain),
            &self.target_info(),
        );
        self.state = State::Challenged {
            negotiate: negotiate.to_vec(),
            challenge: message.clone(),
            server_challenge,
        };
        Ok(message)
    }

    fn target_info(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_av(&mut out, AV_NB_DOMAIN, &utf16(&self.target.netbios_domain));
        put_av(&mut out, AV_NB_COMPUTER, &utf16(&self.target.netbios_computer));
        put_av(&mut out, AV_DNS_DOMAIN, &utf16(&self.target.dns_domain));
        put_av(&mut out, AV_DNS_COMPUTER, &utf16(&self.target.dns_computer));
        // With a timestamp the client must send a MIC.
        put_av(&mut out, AV_TIMESTAMP, &filetime_now().to_le_bytes());
        put_av(&mut out, AV_EOL, &[]);
        out
    }

    fn authenticate(
        &self,
        message: &[u8],
        negotiate: &[u8],
        challenge: &[u8],
        server_challenge: [u8; 8],
    ) -> Result<Accepted, AcceptError> {
        let auth = Authenticate::decode(message)?;
        if let Some(what) = missing_protection(auth.flags) {
            return Err(SecurityError::TooWeak(what).into());
        }
        if auth.user.is_empty() || auth.nt_response.is_empty() {
            return Err(SecurityError::TooWeak("an anonymous logon").into());
        }
        if auth.nt_response.len() == V1_RESPONSE {
            return Err(SecurityError::TooWeak("NTLM version 1").into());
        }
        if auth.nt_response.len() < MIN_V2_RESPONSE {
            return Err(SecurityError::Malformed { what: "NTLM response" }.into());
        }
        let user = String::from_utf16_lossy(&auth.user);
        let domain = String::from_utf16_lossy(&auth.domain);
        // For an account that does not exist the same work is done.
        let known = self.accounts.nt_hash(&user, &domain);
        let exists = known.is_some();
        let hash = known.unwrap_or_else(|| NtHash::from_bytes([0; 16]));
        let key = hash.v2(&auth.user, &auth.domain);
        let (proof, blob) = auth.nt_response.split_at(16);
        let mut mac = hmac(&*key);
        mac.update(&server_challenge);
        mac.update(blob);
        // Compared in constant time.
        if mac.verify_slice(proof).is_err() || !exists {
            return Err(AcceptError::Denied);
        }
        let base_key = hmac_md5(&*key, &[proof]);
        let mut session_key: [u8; 16] = auth
            .encrypted_session_key
            .try_into()
            .map_err(|_| SecurityError::Malformed { what: "NTLM session key" })?;
        Rc4::new_from_slice(&base_key)
            .expect("RC4 takes keys of 16 bytes")
            .apply_keystream(&mut session_key);
        let had_mic = response_has_mic(auth.nt_response)?;
        if had_mic {
            verify_mic(&session_key, negotiate, challenge, message)?;
        }
        let keys = NtlmKeys::new(session_key, Side::Server);
        Ok(Accepted { keys, identity: Identity { user, domain }, had_mic })
    }
}

impl Acceptor for NtlmAcceptor {
    fn step(&mut self, token: &[u8]) -> Result<AcceptStep, AcceptError> {
        Ok(match self.leg(token)? {
            Leg::Challenge(token) => AcceptStep::Continue(token),
            Leg::Accepted(Accepted { keys, identity, .. }) => {
                AcceptStep::Done { token: None, session: Box::new(keys.sealer(0)), identity }
            }
        })
    }
}

/// The MIC covers all three messages, itself as zeros (MS-NLMP 3.2.5.1.2).
fn verify_mic(
    session_key: &[u8; 16],
    negotiate: &[u8],
    challenge: &[u8],
    authenticate: &[u8],
) -> Result<(), SecurityError> {
    let end = MIC_OFFSET + MIC_LEN;
    let mic = authenticate
        .get(MIC_OFFSET..end)
        .ok_or(SecurityError::Malformed { what: "NTLM authenticate message" })?;
    let mut mac = hmac(session_key);
    mac.update(negotiate);
    mac.update(challenge);
    mac.update(&authenticate[..MIC_OFFSET]);
    mac.update(&[0; MIC_LEN]);
    mac.update(&authenticate[end..]);
    mac.verify_slice(mic).map_err(|_| SecurityError::HandshakeAltered)
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn filetime_now() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    FILETIME_OF_1970 + since_1970.as_nanos() as u64 / 100
}
