//! NTLM's three messages (MS-NLMP 2.2.1), as far as the acceptor reads and
//! writes them and the initiator's flags are checked.

use crate::error::SecurityError;
use crate::limits::MAX_NTLM_AV_PAIRS;
use crate::security::SystemVersion;

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";
const CHALLENGE_PAYLOAD: usize = 56;
/// Where the MIC stands in an AUTHENTICATE_MESSAGE that has a version.
pub(super) const MIC_OFFSET: usize = 72;
pub(super) const MIC_LEN: usize = 16;

pub(crate) const NEGOTIATE_UNICODE: u32 = 0x0000_0001;
pub(crate) const REQUEST_TARGET: u32 = 0x0000_0004;
pub(crate) const NEGOTIATE_SIGN: u32 = 0x0000_0010;
pub(crate) const NEGOTIATE_SEAL: u32 = 0x0000_0020;
pub(crate) const NEGOTIATE_NTLM: u32 = 0x0000_0200;
pub(crate) const NEGOTIATE_ALWAYS_SIGN: u32 = 0x0000_8000;
pub(crate) const TARGET_TYPE_DOMAIN: u32 = 0x0001_0000;
pub(crate) const EXTENDED_SESSION_SECURITY: u32 = 0x0008_0000;
pub(crate) const NEGOTIATE_TARGET_INFO: u32 = 0x0080_0000;
pub(crate) const NEGOTIATE_VERSION: u32 = 0x0200_0000;
pub(crate) const NEGOTIATE_128: u32 = 0x2000_0000;
pub(crate) const NEGOTIATE_KEY_EXCHANGE: u32 = 0x4000_0000;
pub(crate) const NEGOTIATE_56: u32 = 0x8000_0000;

/// Which of the three messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum MessageType {
    Negotiate = 1,
    Challenge = 2,
    Authenticate = 3,
}

/// What packet privacy with 128 bits needs and `flags` lack.
pub(crate) fn missing_protection(flags: u32) -> Option<&'static str> {
    [
        (EXTENDED_SESSION_SECURITY, "NTLM without extended session security"),
        (NEGOTIATE_SIGN, "NTLM without signing"),
        (NEGOTIATE_SEAL, "NTLM without sealing"),
        (NEGOTIATE_128, "NTLM without 128-bit keys"),
        (NEGOTIATE_KEY_EXCHANGE, "NTLM without key exchange"),
        (NEGOTIATE_UNICODE, "NTLM without Unicode"),
    ]
    .into_iter()
    .find(|(flag, _)| flags & flag == 0)
    .map(|(_, what)| what)
}

/// The negotiated flags in a message, after its signature and type are checked.
pub(crate) fn message_flags(message: &[u8], expected: MessageType) -> Result<u32, SecurityError> {
    let at = match expected {
        MessageType::Negotiate => 12,
        MessageType::Challenge => 20,
        MessageType::Authenticate => 60,
    };
    let what = match expected {
        MessageType::Negotiate => "NTLM negotiate message",
        MessageType::Challenge => "NTLM challenge message",
        MessageType::Authenticate => "NTLM authenticate message",
    };
    let malformed = SecurityError::Malformed { what };
    if !message.starts_with(SIGNATURE) || long(message, 8) != Some(expected as u32) {
        return Err(malformed);
    }
    long(message, at).ok_or(malformed)
}

/// The version of the server's system, which its challenge says (VERSION, 2.2.2.10); nothing
/// where the build is 0.
pub(crate) fn challenge_version(message: &[u8]) -> Option<SystemVersion> {
    const VERSION: usize = 48;
    let flags = message_flags(message, MessageType::Challenge).ok()?;
    if flags & NEGOTIATE_VERSION == 0 {
        return None;
    }
    let build = short(message, VERSION + 2).filter(|build| *build != 0)?;
    let [major, minor] = *message.get(VERSION..)?.first_chunk::<2>()?;
    Some(SystemVersion { major, minor, build })
}

/// Writes a CHALLENGE_MESSAGE. With a `build` of 0 nothing is said of the system.
pub(super) fn challenge(
    flags: u32,
    build: u16,
    server_challenge: &[u8; 8],
    target_name: &[u8],
    target_info: &[u8],
) -> Vec<u8> {
    let mut out = SIGNATURE.to_vec();
    let mut offset = CHALLENGE_PAYLOAD;
    out.extend_from_slice(&(MessageType::Challenge as u32).to_le_bytes());
    put_field(&mut out, target_name.len(), &mut offset);
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(server_challenge);
    out.extend_from_slice(&[0; 8]);
    put_field(&mut out, target_info.len(), &mut offset);
    // 10.0, the build, revision 15.
    out.extend_from_slice(&[10, 0]);
    out.extend_from_slice(&build.to_le_bytes());
    out.extend_from_slice(&[0, 0, 0, 15]);
    out.extend_from_slice(target_name);
    out.extend_from_slice(target_info);
    out
}

fn put_field(out: &mut Vec<u8>, len: usize, offset: &mut usize) {
    let short = (len as u16).to_le_bytes();
    out.extend_from_slice(&short);
    out.extend_from_slice(&short);
    out.extend_from_slice(&(*offset as u32).to_le_bytes());
    *offset += len;
}

/// What the acceptor needs of an AUTHENTICATE_MESSAGE.
pub(super) struct Authenticate<'a> {
    pub(super) flags: u32,
    pub(super) nt_response: &'a [u8],
    pub(super) domain: Vec<u16>,
    pub(super) user: Vec<u16>,
    pub(super) encrypted_session_key: &'a [u8],
}

impl<'a> Authenticate<'a> {
    pub(super) fn decode(message: &'a [u8]) -> Result<Self, SecurityError> {
        let flags = message_flags(message, MessageType::Authenticate)?;
        let field = |at: usize, what: &'static str| {
            let malformed = SecurityError::Malformed { what };
            let len = usize::from(short(message, at).ok_or(malformed.clone())?);
            let offset = long(message, at + 4).ok_or(malformed.clone())? as usize;
            // An empty field's offset may be anything.
            if len == 0 {
                return Ok(&message[..0]);
            }
            message.get(offset..).and_then(|rest| rest.get(..len)).ok_or(malformed)
        };
        let units = |bytes: &[u8], what: &'static str| {
            let (pairs, odd) = bytes.as_chunks::<2>();
            if !odd.is_empty() || pairs.len() > 512 {
                return Err(SecurityError::Malformed { what });
            }
            Ok(pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect())
        };
        Ok(Self {
            flags,
            nt_response: field(20, "NTLM response")?,
            domain: units(field(28, "NTLM domain name")?, "NTLM domain name")?,
            user: units(field(36, "NTLM user name")?, "NTLM user name")?,
            encrypted_session_key: field(52, "NTLM session key")?,
        })
    }
}

/// Attribute ids (MS-NLMP 2.2.2.1).
pub(super) const AV_EOL: u16 = 0;
pub(super) const AV_NB_COMPUTER: u16 = 1;
pub(super) const AV_NB_DOMAIN: u16 = 2;
pub(super) const AV_DNS_COMPUTER: u16 = 3;
pub(super) const AV_DNS_DOMAIN: u16 = 4;
pub(super) const AV_FLAGS: u16 = 6;
pub(super) const AV_TIMESTAMP: u16 = 7;

/// The bit of [`AV_FLAGS`] that says that the message has a MIC.
const AV_FLAG_MIC: u32 = 2;

pub(super) fn put_av(out: &mut Vec<u8>, id: u16, value: &[u8]) {
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
}

/// Whether an NTLMv2 response says that its message has a MIC. The pairs begin
/// after the proof (16) and the fixed part of the client's challenge (28).
pub(super) fn response_has_mic(nt_response: &[u8]) -> Result<bool, SecurityError> {
    let malformed = SecurityError::Malformed { what: "NTLM target information" };
    let mut rest = nt_response.get(44..).ok_or(malformed.clone())?;
    for _ in 0..MAX_NTLM_AV_PAIRS {
        let id = short(rest, 0).ok_or(malformed.clone())?;
        let len = usize::from(short(rest, 2).ok_or(malformed.clone())?);
        let value = rest.get(4..4 + len).ok_or(malformed.clone())?;
        match id {
            AV_EOL => return Ok(false),
            AV_FLAGS => {
                let flags = long(value, 0).ok_or(malformed)?;
                return Ok(flags & AV_FLAG_MIC != 0);
            }
            _ => rest = &rest[4 + len..],
        }
    }
    Err(malformed)
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_le_bytes(*bytes))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*bytes))
}
