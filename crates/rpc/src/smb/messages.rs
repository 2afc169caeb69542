//! The bodies of requests (written) and responses (read), 2.2.3 to 2.2.32.

use uuid::Uuid;

use super::dialect::{Cipher, Dialect, SigningAlgorithm};
use super::error::{NtStatus, SmbError};
use super::header::{Command, HEADER_LEN, Header};
use super::limits::MAX_NEGOTIATE_CONTEXTS;

/// Signing is enabled and required.
pub(super) const SECURITY_MODE: u16 = 3;
/// SMB2_GLOBAL_CAP_ENCRYPTION.
pub(super) const CAP_ENCRYPTION: u32 = 0x40;
/// FSCTL_VALIDATE_NEGOTIATE_INFO.
pub(super) const VALIDATE_NEGOTIATE: u32 = 0x0014_0204;
/// SMB2_SHARE_TYPE_PIPE.
const SHARE_TYPE_PIPE: u8 = 2;
/// SMB2_SHAREFLAG_ENCRYPT_DATA.
const SHAREFLAG_ENCRYPT_DATA: u32 = 0x8000;

const CONTEXT_PREAUTH: u16 = 1;
const CONTEXT_ENCRYPTION: u16 = 2;
const CONTEXT_SIGNING: u16 = 8;
/// The only hash that is defined: SHA-512.
const SHA_512: u16 = 1;

/// A pipe that is open on the server (2.2.14.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId([u8; 16]);

impl FileId {
    /// What a control that is about no file names.
    pub(super) const NONE: Self = Self([0xff; 16]);
}

/// Writes the fields of a request's body, one after the other.
#[derive(Default)]
struct Body(Vec<u8>);

impl Body {
    fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }
    fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_le_bytes())
    }
    fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_le_bytes())
    }
    fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_le_bytes())
    }
    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// What the client says of itself, once at the start and again under signature.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) dialects: Vec<Dialect>,
    pub(super) client: Uuid,
    pub(super) salt: [u8; 32],
    pub(super) ciphers: Vec<Cipher>,
    pub(super) signing: Vec<SigningAlgorithm>,
}

impl Offer {
    pub(super) fn capabilities(&self) -> u32 {
        let smb3 = self.dialects.iter().any(|dialect| *dialect >= Dialect::Smb300);
        if smb3 && !self.ciphers.is_empty() { CAP_ENCRYPTION } else { 0 }
    }

    /// NEGOTIATE (2.2.3).
    pub(super) fn negotiate(&self) -> Vec<u8> {
        const FIXED: usize = 36;
        let v311 = self.dialects.contains(&Dialect::Smb311);
        let dialects_end = HEADER_LEN + FIXED + 2 * self.dialects.len();
        let contexts_at = dialects_end.next_multiple_of(8);
        let contexts = self.contexts();
        let mut body = Body::default()
            .u16(FIXED as u16)
            .u16(self.dialects.len() as u16)
            .u16(SECURITY_MODE)
            .u16(0)
            .u32(self.capabilities())
            .bytes(&self.client.to_bytes_le());
        body = if v311 {
            body.u32(contexts_at as u32).u16(contexts.len() as u16).u16(0)
        } else {
            body.u64(0)
        };
        for dialect in &self.dialects {
            body = body.u16(*dialect as u16);
        }
        let mut out = body.0;
        if v311 {
            for (kind, data) in contexts {
                out.resize((out.len() + HEADER_LEN).next_multiple_of(8) - HEADER_LEN, 0);
                let context = Body::default().u16(kind).u16(data.len() as u16).u32(0).bytes(&data);
                out.extend_from_slice(&context.0);
            }
        }
        out
    }

    fn contexts(&self) -> Vec<(u16, Vec<u8>)> {
        let preauth = Body::default().u16(1).u16(32).u16(SHA_512).bytes(&self.salt);
        let mut contexts = vec![(CONTEXT_PREAUTH, preauth.0)];
        if !self.ciphers.is_empty() {
            let count = Body::default().u16(self.ciphers.len() as u16);
            let list = self.ciphers.iter().fold(count, |body, cipher| body.u16(*cipher as u16));
            contexts.push((CONTEXT_ENCRYPTION, list.0));
        }
        let count = Body::default().u16(self.signing.len() as u16);
        let list = self.signing.iter().fold(count, |body, algorithm| body.u16(*algorithm as u16));
        contexts.push((CONTEXT_SIGNING, list.0));
        contexts
    }

    /// The input of VALIDATE_NEGOTIATE_INFO (2.2.31.4).
    pub(super) fn validate(&self) -> Vec<u8> {
        let body = Body::default()
            .u32(self.capabilities())
            .bytes(&self.client.to_bytes_le())
            .u16(SECURITY_MODE)
            .u16(self.dialects.len() as u16);
        self.dialects.iter().fold(body, |body, dialect| body.u16(*dialect as u16)).0
    }
}

/// SESSION_SETUP (2.2.5).
pub(super) fn session_setup(token: &[u8]) -> Vec<u8> {
    Body::default()
        .u16(25)
        .u8(0)
        .u8(SECURITY_MODE as u8)
        .u32(0)
        .u32(0)
        .u16((HEADER_LEN + 24) as u16)
        .u16(token.len() as u16)
        .u64(0)
        .bytes(token)
        .0
}

/// TREE_CONNECT (2.2.9).
pub(super) fn tree_connect(path: &str) -> Vec<u8> {
    let path = utf16(path);
    Body::default().u16(9).u16(0).u16((HEADER_LEN + 8) as u16).u16(path.len() as u16).bytes(&path).0
}

/// CREATE of a pipe that is there (2.2.13).
pub(super) fn create(pipe: &str) -> Vec<u8> {
    const IMPERSONATION: u32 = 2;
    /// Data, attributes and extended ones, reading and writing; READ_CONTROL,
    /// SYNCHRONIZE: what Windows' own clients ask for.
    const ACCESS: u32 = 0x0012_019f;
    const SHARE_READ_WRITE: u32 = 3;
    const OPEN: u32 = 1;
    let name = utf16(pipe);
    Body::default()
        .u16(57)
        .u8(0)
        .u8(0)
        .u32(IMPERSONATION)
        .u64(0)
        .u64(0)
        .u32(ACCESS)
        .u32(0)
        .u32(SHARE_READ_WRITE)
        .u32(OPEN)
        .u32(0)
        .u16((HEADER_LEN + 56) as u16)
        .u16(name.len() as u16)
        .u32(0)
        .u32(0)
        .bytes(&name)
        .0
}

/// READ (2.2.19).
pub(super) fn read(file: FileId, len: u32) -> Vec<u8> {
    /// Where the data is wanted in the answer, from the header on.
    const DATA_AT: u8 = (HEADER_LEN + 16) as u8;
    Body::default()
        .u16(49)
        .u8(DATA_AT)
        .u8(0)
        .u32(len)
        .u64(0)
        .bytes(&file.0)
        .u32(0)
        .u32(0)
        .u32(0)
        .u32(0)
        .u8(0)
        .0
}

/// WRITE (2.2.21).
pub(super) fn write(file: FileId, data: &[u8]) -> Vec<u8> {
    Body::default()
        .u16(49)
        .u16((HEADER_LEN + 48) as u16)
        .u32(data.len() as u32)
        .u64(0)
        .bytes(&file.0)
        .u32(0)
        .u32(0)
        .u32(0)
        .u32(0)
        .bytes(data)
        .0
}

/// IOCTL with a file-system control (2.2.31).
pub(super) fn ioctl(code: u32, file: FileId, input: &[u8], max_output: u32) -> Vec<u8> {
    const IS_FSCTL: u32 = 1;
    Body::default()
        .u16(57)
        .u16(0)
        .u32(code)
        .bytes(&file.0)
        .u32((HEADER_LEN + 56) as u32)
        .u32(input.len() as u32)
        .u32(0)
        .u32(0)
        .u32(0)
        .u32(max_output)
        .u32(IS_FSCTL)
        .u32(0)
        .bytes(input)
        .0
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Reads the fields of a response, at offsets from the header's start.
struct Fields<'m> {
    command: Command,
    message: &'m [u8],
}

impl<'m> Fields<'m> {
    /// `size` is the structure's, as it stands in its first field.
    fn new(command: Command, message: &'m [u8], size: u16) -> Result<Self, SmbError> {
        let fields = Self { command, message };
        match fields.u16(0, "structure size")? {
            found if found == size => Ok(fields),
            found => Err(fields.bad("structure size", found.into())),
        }
    }

    fn array<const N: usize>(&self, at: usize, field: &'static str) -> Result<[u8; N], SmbError> {
        self.message
            .get(HEADER_LEN + at..)
            .and_then(|rest| rest.first_chunk())
            .copied()
            .ok_or(SmbError::Truncated { command: self.command, field })
    }
    fn u8(&self, at: usize, field: &'static str) -> Result<u8, SmbError> {
        Ok(self.array::<1>(at, field)?[0])
    }
    fn u16(&self, at: usize, field: &'static str) -> Result<u16, SmbError> {
        Ok(u16::from_le_bytes(self.array(at, field)?))
    }
    fn u32(&self, at: usize, field: &'static str) -> Result<u32, SmbError> {
        Ok(u32::from_le_bytes(self.array(at, field)?))
    }

    /// Bytes that lie past the `fixed` part.
    fn blob(
        &self,
        fixed: usize,
        offset: usize,
        len: usize,
        field: &'static str,
    ) -> Result<&'m [u8], SmbError> {
        if len == 0 {
            return Ok(&[]);
        }
        if offset < HEADER_LEN + fixed {
            return Err(self.bad(field, offset as u64));
        }
        self.message
            .get(offset..)
            .and_then(|rest| rest.get(..len))
            .ok_or(SmbError::Truncated { command: self.command, field })
    }

    fn bad(&self, field: &'static str, value: u64) -> SmbError {
        SmbError::BadField { command: self.command, field, value }
    }
}

/// What the server chose (2.2.4). Its first token is left alone: it is a hint
/// that nothing protects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Negotiated {
    pub(super) security_mode: u16,
    pub(super) dialect: u16,
    pub(super) server: Uuid,
    pub(super) capabilities: u32,
    pub(super) max_transact: u32,
    pub(super) max_read: u32,
    pub(super) max_write: u32,
    /// Of 3.1.1; `None` for what the server did not answer.
    pub(super) hash: Option<u16>,
    pub(super) cipher: Option<u16>,
    pub(super) signing: Option<u16>,
}

impl Negotiated {
    pub(super) fn decode(message: &[u8]) -> Result<Self, SmbError> {
        let fields = Fields::new(Command::Negotiate, message, 65)?;
        let mut found = Self {
            security_mode: fields.u16(2, "security mode")?,
            dialect: fields.u16(4, "dialect")?,
            server: Uuid::from_bytes_le(fields.array(8, "server GUID")?),
            capabilities: fields.u32(24, "capabilities")?,
            max_transact: fields.u32(28, "largest transaction")?,
            max_read: fields.u32(32, "largest read")?,
            max_write: fields.u32(36, "largest write")?,
            hash: None,
            cipher: None,
            signing: None,
        };
        let (offset, len) = (fields.u16(56, "token offset")?, fields.u16(58, "token length")?);
        fields.blob(64, offset.into(), len.into(), "token")?;
        if found.dialect == Dialect::Smb311 as u16 {
            let count = fields.u16(6, "context count")?;
            let offset = fields.u32(60, "context offset")?;
            found.decode_contexts(&fields, count, offset as usize)?;
        }
        Ok(found)
    }

    fn decode_contexts(
        &mut self,
        fields: &Fields<'_>,
        count: u16,
        mut offset: usize,
    ) -> Result<(), SmbError> {
        const HEAD: usize = 8;
        if count > MAX_NEGOTIATE_CONTEXTS {
            let (value, limit) = (count.into(), MAX_NEGOTIATE_CONTEXTS.into());
            return Err(SmbError::LimitExceeded { what: "negotiate contexts", value, limit });
        }
        for _ in 0..count {
            let head = fields.blob(64, offset, HEAD, "negotiate context")?;
            let short = |bytes: &[u8], at: usize| match bytes.get(at..at + 2) {
                Some(pair) => Ok(u16::from_le_bytes([pair[0], pair[1]])),
                None => Err(SmbError::Truncated {
                    command: Command::Negotiate,
                    field: "negotiate context",
                }),
            };
            let (kind, len) = (short(head, 0)?, usize::from(short(head, 2)?));
            let data = fields.blob(64, offset + HEAD, len, "negotiate context")?;
            let slot = match kind {
                CONTEXT_PREAUTH => Some((&mut self.hash, 4)),
                CONTEXT_ENCRYPTION => Some((&mut self.cipher, 2)),
                CONTEXT_SIGNING => Some((&mut self.signing, 2)),
                _ => None,
            };
            if let Some((slot, at)) = slot {
                // A list of exactly one choice.
                if short(data, 0)? != 1 || slot.is_some() {
                    return Err(fields.bad("negotiate context", kind.into()));
                }
                *slot = Some(short(data, at)?);
            }
            offset = (offset + HEAD + len).next_multiple_of(8);
        }
        match self.hash {
            Some(SHA_512) => Ok(()),
            other => Err(fields.bad("preauthentication hash", other.unwrap_or(0).into())),
        }
    }
}

/// SESSION_SETUP's answer (2.2.6).
pub(super) struct SetUp<'m> {
    pub(super) flags: u16,
    pub(super) token: &'m [u8],
}

impl<'m> SetUp<'m> {
    pub(super) const GUEST: u16 = 1;
    pub(super) const ANONYMOUS: u16 = 2;
    pub(super) const ENCRYPT: u16 = 4;

    pub(super) fn decode(message: &'m [u8]) -> Result<Self, SmbError> {
        let fields = Fields::new(Command::SessionSetup, message, 9)?;
        let (offset, len) = (fields.u16(4, "token offset")?, fields.u16(6, "token length")?);
        let token = fields.blob(8, offset.into(), len.into(), "token")?;
        Ok(Self { flags: fields.u16(2, "session flags")?, token })
    }
}

/// TREE_CONNECT's answer (2.2.10): whether messages must be encrypted.
pub(super) fn decode_tree(message: &[u8]) -> Result<bool, SmbError> {
    let fields = Fields::new(Command::TreeConnect, message, 16)?;
    if fields.u8(2, "share type")? != SHARE_TYPE_PIPE {
        return Err(SmbError::NotPipes);
    }
    fields.u32(12, "access")?;
    Ok(fields.u32(4, "share flags")? & SHAREFLAG_ENCRYPT_DATA != 0)
}

/// CREATE's answer (2.2.14).
pub(super) fn decode_create(message: &[u8]) -> Result<FileId, SmbError> {
    let fields = Fields::new(Command::Create, message, 89)?;
    let (offset, len) = (fields.u32(80, "context offset")?, fields.u32(84, "context length")?);
    fields.blob(88, offset as usize, len as usize, "create contexts")?;
    Ok(FileId(fields.array(64, "file id")?))
}

/// READ's answer (2.2.20).
pub(super) fn decode_read(message: &[u8]) -> Result<&[u8], SmbError> {
    let fields = Fields::new(Command::Read, message, 17)?;
    let (offset, len) = (fields.u8(2, "data offset")?, fields.u32(4, "data length")?);
    fields.blob(16, offset.into(), len as usize, "data")
}

/// WRITE's answer (2.2.22): how many bytes were taken.
pub(super) fn decode_write(message: &[u8]) -> Result<u32, SmbError> {
    Fields::new(Command::Write, message, 17)?.u32(4, "count")
}

/// IOCTL's answer (2.2.32): its output.
pub(super) fn decode_ioctl(message: &[u8]) -> Result<&[u8], SmbError> {
    let fields = Fields::new(Command::Ioctl, message, 49)?;
    let (offset, len) = (fields.u32(32, "output offset")?, fields.u32(36, "output length")?);
    fields.blob(48, offset as usize, len as usize, "output")
}

/// What the server remembers of the negotiation (2.2.32.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validated {
    pub(super) capabilities: u32,
    pub(super) server: Uuid,
    pub(super) security_mode: u16,
    pub(super) dialect: u16,
}

impl Validated {
    pub(super) fn decode(output: &[u8]) -> Result<Self, SmbError> {
        let Ok(bytes) = <&[u8; 24]>::try_from(output) else {
            return Err(SmbError::Truncated {
                command: Command::Ioctl,
                field: "validated negotiation",
            });
        };
        let mut server = [0; 16];
        server.copy_from_slice(&bytes[4..20]);
        Ok(Self {
            capabilities: u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            server: Uuid::from_bytes_le(server),
            security_mode: u16::from_le_bytes([bytes[20], bytes[21]]),
            dialect: u16::from_le_bytes([bytes[22], bytes[23]]),
        })
    }
}

/// Decodes a message as the response that its header says it is, and drops it:
/// all of the parser, without a session. For the fuzz target.
///
/// # Errors
/// Any [`SmbError`].
pub fn decode_any_response(message: &[u8]) -> Result<(), SmbError> {
    let header = Header::decode(message)?;
    if !header.status.is_success() && header.status != NtStatus::BUFFER_OVERFLOW {
        return Err(SmbError::Status { command: header.command, status: header.status });
    }
    match header.command {
        Command::Negotiate => Negotiated::decode(message).map(drop),
        Command::SessionSetup => SetUp::decode(message).map(drop),
        Command::TreeConnect => decode_tree(message).map(drop),
        Command::Create => decode_create(message).map(drop),
        Command::Read => decode_read(message).map(drop),
        Command::Write => decode_write(message).map(drop),
        Command::Ioctl => Validated::decode(decode_ioctl(message)?).map(drop),
        Command::Echo | Command::Other => {
            Err(SmbError::Unexpected { command: header.command, message_id: header.message_id })
        }
    }
}
