//! The client's half of a connection to one pipe, sans I/O: whole messages go
//! in, bytes to send and the pipe's bytes come out.

use uuid::Uuid;

use super::crypto::{Keys, Preauth};
use super::dialect::{Cipher, Dialect, SigningAlgorithm};
use super::error::{NtStatus, SmbError};
use super::header::{Command, FLAG_RESPONSE, FLAG_SIGNED, Header, TransformHeader};
use super::limits::{MAX_CREDITS, MAX_INTERIMS, MAX_PAYLOAD, MAX_SETUP_LEGS, MAX_UNSENT};
use super::messages::{
    CAP_ENCRYPTION, FileId, Negotiated, Offer, SetUp, VALIDATE_NEGOTIATE, Validated, create,
    decode_create, decode_ioctl, decode_read, decode_tree, decode_write, ioctl, read,
    session_setup, tree_connect, write,
};
use crate::error::{Error, LogonRefusal, Result, SecurityError, UsageError};
use crate::framing::FrameBuffer;
use crate::security::{Initiator, Step};

/// Credits asked for with each request.
const CREDITS_WANTED: u16 = 16;
/// The length before each message on TCP (2.1): a zero, and 24 bits.
pub(super) const FRAME_LEN: usize = 4;

/// Which pipe, and what is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipeConfig {
    /// The server's name or address, as it goes into `\\HOST\IPC$`.
    pub host: String,
    /// The pipe's name, without `\PIPE\`.
    pub pipe: String,
    /// The dialects to offer.
    pub dialects: Vec<Dialect>,
    /// The ciphers to offer; with none nothing is encrypted at this level.
    pub ciphers: Vec<Cipher>,
    /// The signing algorithms to offer to a server of 3.1.1.
    pub signing: Vec<SigningAlgorithm>,
}

impl PipeConfig {
    /// Everything that this module knows, for a pipe of a host.
    pub fn new(host: impl Into<String>, pipe: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            pipe: pipe.into(),
            dialects: Dialect::ALL.to_vec(),
            ciphers: Cipher::ALL.to_vec(),
            signing: SigningAlgorithm::ALL.to_vec(),
        }
    }
}

/// What the two sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionFacts {
    /// The dialect.
    pub dialect: Dialect,
    /// What messages are signed with where they are not encrypted.
    pub signing: SigningAlgorithm,
    /// What messages are encrypted with, if they are.
    pub cipher: Option<Cipher>,
}

/// The client's half of one connection.
pub struct PipeHalf {
    config: PipeConfig,
    offer: Offer,
    initiator: Option<Box<dyn Initiator>>,
    /// The initiator has nothing more to say.
    authenticated: bool,
    stage: Stage,
    legs: u32,
    preauth: Preauth,
    negotiated: Option<(Negotiated, SessionFacts)>,
    keys: Option<Keys>,
    session_id: u64,
    tree_id: u32,
    file: Option<FileId>,
    credits: u32,
    next_message: u64,
    /// What was asked and not answered: a handful at most.
    open: Vec<Asked>,
    unsent: FrameBuffer,
    unsent_len: usize,
    input: Vec<u8>,
    input_taken: usize,
    written: bool,
    ended: bool,
    out: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Negotiate,
    SetUp,
    Tree,
    Validate,
    Create,
    Open,
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    message_id: u64,
    command: Command,
    /// Of a write.
    len: u32,
    /// How often the server has said that the answer comes later.
    interims: u32,
}

impl PipeHalf {
    /// Begins a connection; the offer is in [`output`](Self::output).
    ///
    /// # Errors
    /// [`Error::Usage`] for a configuration without dialects, or with a name that
    /// is empty or too long.
    pub fn new(config: PipeConfig, initiator: Box<dyn Initiator>) -> Result<Self> {
        let usage = |what| Error::Usage(UsageError::State(what));
        if config.dialects.is_empty() || config.signing.is_empty() {
            return Err(usage("no dialect or signing algorithm to offer"));
        }
        if config.pipe.is_empty() || config.pipe.len() > 255 || config.host.len() > 255 {
            return Err(usage("the pipe's or host's name is empty or too long"));
        }
        let mut random = [0; 48];
        getrandom::fill(&mut random).map_err(|_| UsageError::NoRandomness)?;
        let (mut client, mut salt) = ([0; 16], [0; 32]);
        client.copy_from_slice(&random[..16]);
        salt.copy_from_slice(&random[16..]);
        let offer = Offer {
            dialects: config.dialects.clone(),
            client: Uuid::from_bytes(client),
            salt,
            ciphers: config.ciphers.clone(),
            signing: config.signing.clone(),
        };
        let mut half = Self {
            config,
            offer,
            initiator: Some(initiator),
            authenticated: false,
            stage: Stage::Negotiate,
            legs: 0,
            preauth: Preauth::new(),
            negotiated: None,
            keys: None,
            session_id: 0,
            tree_id: 0,
            file: None,
            credits: 1,
            next_message: 0,
            open: Vec::new(),
            unsent: FrameBuffer::new(),
            unsent_len: 0,
            input: Vec::new(),
            input_taken: 0,
            written: false,
            ended: false,
            out: Vec::new(),
        };
        let body = half.offer.negotiate();
        half.send(Command::Negotiate, &body, 0)?;
        Ok(half)
    }

    /// Bytes to send; the caller takes what it has sent off the front.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Whether the pipe is open.
    pub fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// Whether the offer is not answered yet.
    pub fn is_negotiating(&self) -> bool {
        self.stage == Stage::Negotiate
    }

    /// Whether what was sent, or is to be sent, presents the credential: the
    /// server has sent its challenge.
    pub fn presents_credential(&self) -> bool {
        self.initiator.as_ref().is_some_and(|initiator| initiator.presents_credential())
    }

    /// Whether the pipe's other end has gone, and all of its bytes are taken.
    pub fn is_at_end(&self) -> bool {
        self.ended && self.input().is_empty()
    }

    /// What was agreed on, once it is.
    pub fn facts(&self) -> Option<SessionFacts> {
        self.negotiated.as_ref().map(|(_, facts)| *facts)
    }

    /// What came out of the pipe and was not taken yet.
    pub fn input(&self) -> &[u8] {
        &self.input[self.input_taken..]
    }

    /// Takes bytes of the [`input`](Self::input) off its front.
    ///
    /// # Errors
    /// As [`write`](Self::write): where there is room, more is asked for.
    pub fn consume(&mut self, len: usize) -> Result<()> {
        self.input_taken = (self.input_taken + len).min(self.input.len());
        if self.input_taken == self.input.len() {
            self.input.clear();
            self.input_taken = 0;
        }
        self.pump()
    }

    /// Whether [`write`](Self::write) would take something.
    pub fn can_write(&self) -> bool {
        self.stage == Stage::Open && self.unsent_len < MAX_UNSENT
    }

    /// Takes bytes of RPC PDUs for the pipe. Each PDU is written by itself, as
    /// pipes of messages want it.
    ///
    /// # Errors
    /// [`SmbError::NoCredit`], [`SmbError::LimitExceeded`] for a PDU that the
    /// server takes in no single write.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.unsent.space().extend_from_slice(bytes);
        self.unsent_len += bytes.len();
        self.pump()
    }

    /// Takes one whole message, without the length before it; an encrypted one
    /// is decrypted in place.
    ///
    /// # Errors
    /// Any [`Error`]. The connection is of no further use then.
    pub fn receive(&mut self, message: &mut [u8]) -> Result<()> {
        let done = self.dispatch(message).and_then(|()| self.pump());
        if done.is_err() {
            self.stage = Stage::Dead;
        }
        done
    }

    fn dispatch(&mut self, message: &mut [u8]) -> Result<()> {
        let encrypted = TransformHeader::is_at(message);
        let message = match (&self.keys, encrypted) {
            (Some(keys), true) => keys.decrypt(message, self.session_id)?,
            (None, true) => return Err(SmbError::NotSmb("encrypted without a key").into()),
            (_, false) => message,
        };
        let header = Header::decode(message)?;
        let unexpected = || {
            let (command, message_id) = (header.command, header.message_id);
            Error::Smb(SmbError::Unexpected { command, message_id })
        };
        if header.flags & FLAG_RESPONSE == 0 {
            return Err(unexpected());
        }
        let at = self.open.iter().position(|asked| {
            asked.message_id == header.message_id && asked.command == header.command
        });
        let at = at.ok_or_else(unexpected)?;
        if self.keys.is_some() {
            self.check_protection(&header, message, encrypted)?;
        }
        self.credits = (self.credits + u32::from(header.credits)).min(MAX_CREDITS);
        if header.status == NtStatus::PENDING {
            let asked = &mut self.open[at];
            asked.interims += 1;
            return match asked.interims > MAX_INTERIMS {
                true => Err(SmbError::LimitExceeded {
                    what: "interim answers to a request",
                    value: asked.interims.into(),
                    limit: MAX_INTERIMS.into(),
                }
                .into()),
                false => Ok(()),
            };
        }
        let asked = self.open.swap_remove(at);
        match self.stage {
            Stage::Negotiate => self.on_negotiated(&header, message),
            Stage::SetUp => self.on_set_up(&header, message),
            Stage::Tree => self.on_tree(&header, message),
            Stage::Validate => self.on_validated(&header, message),
            Stage::Create => self.on_created(&header, message),
            Stage::Open if asked.command == Command::Read => self.on_read(&header, message),
            Stage::Open => self.on_written(&header, message, asked.len),
            Stage::Dead => Err(UsageError::State("the connection is dead").into()),
        }
    }

    /// Within a session every answer is protected as the requests are (3.2.5.1).
    fn check_protection(
        &self,
        header: &Header,
        message: &mut [u8],
        encrypted: bool,
    ) -> Result<(), SmbError> {
        let Some(keys) = &self.keys else { return Ok(()) };
        if header.session_id != self.session_id {
            return Err(SmbError::NotSmb("of another session"));
        }
        if encrypted {
            return Ok(());
        }
        // That an answer will come later is said without a signature, and believed:
        // nothing follows from it, and it isn't said often.
        if header.status == NtStatus::PENDING {
            return Ok(());
        }
        if keys.can_encrypt() {
            return Err(SmbError::Unprotected(header.command, "encrypted"));
        }
        if header.flags & FLAG_SIGNED == 0 {
            return Err(SmbError::Unprotected(header.command, "signed"));
        }
        keys.verify(message, header.message_id)
    }

    /// Sends a request, which takes a credit.
    fn send(&mut self, command: Command, body: &[u8], len: u32) -> Result<()> {
        if self.credits == 0 {
            return Err(SmbError::NoCredit.into());
        }
        self.credits -= 1;
        let message_id = self.next_message;
        self.next_message += 1;
        let multi_credit = self.facts().is_some_and(|facts| facts.dialect >= Dialect::Smb210);
        let protected = self.keys.is_some();
        let encrypted = self.keys.as_ref().is_some_and(Keys::can_encrypt);
        let header = Header {
            credit_charge: multi_credit.into(),
            status: NtStatus::SUCCESS,
            command,
            credits: CREDITS_WANTED,
            flags: if protected && !encrypted { FLAG_SIGNED } else { 0 },
            message_id,
            tree_id: self.tree_id,
            session_id: self.session_id,
        };
        let mut message = Vec::with_capacity(super::header::HEADER_LEN + body.len());
        header.encode(&mut message);
        message.extend_from_slice(body);
        match &mut self.keys {
            None => self.preauth.update(&message),
            Some(keys) => match keys.encrypt(&message, self.session_id) {
                Some(sealed) => message = sealed,
                None => keys.sign(&mut message, message_id),
            },
        }
        debug_assert!(message.len() < 1 << 24);
        self.out.extend_from_slice(&(message.len() as u32).to_be_bytes());
        self.out.extend_from_slice(&message);
        self.open.push(Asked { message_id, command, len, interims: 0 });
        Ok(())
    }

    fn on_negotiated(&mut self, header: &Header, message: &[u8]) -> Result<()> {
        check(header)?;
        let negotiated = Negotiated::decode(message)?;
        let dialect = Dialect::from_number(negotiated.dialect)
            .filter(|dialect| self.offer.dialects.contains(dialect))
            .ok_or(SmbError::Dialect(negotiated.dialect))?;
        let bad = |field, value: u16| {
            let command = Command::Negotiate;
            Error::Smb(SmbError::BadField { command, field, value: value.into() })
        };
        let can_encrypt = negotiated.capabilities & CAP_ENCRYPTION != 0;
        let cipher = match (dialect, negotiated.cipher) {
            (Dialect::Smb202 | Dialect::Smb210, _) | (Dialect::Smb311, None | Some(0)) => None,
            (Dialect::Smb300 | Dialect::Smb302, _) => Some(Cipher::Aes128Ccm)
                .filter(|cipher| can_encrypt && self.offer.ciphers.contains(cipher)),
            (Dialect::Smb311, Some(number)) => Some(
                Cipher::from_number(number)
                    .filter(|cipher| self.offer.ciphers.contains(cipher))
                    .ok_or_else(|| bad("cipher", number))?,
            ),
        };
        let signing = match (dialect, negotiated.signing) {
            (Dialect::Smb202 | Dialect::Smb210, _) => SigningAlgorithm::HmacSha256,
            (Dialect::Smb311, Some(number)) => SigningAlgorithm::from_number(number)
                .filter(|algorithm| self.offer.signing.contains(algorithm))
                .ok_or_else(|| bad("signing algorithm", number))?,
            _ => SigningAlgorithm::AesCmac,
        };
        for size in [negotiated.max_read, negotiated.max_write, negotiated.max_transact] {
            // The least that any server has (3.3.5.4).
            if size < u32::from(crate::limits::MIN_FRAGMENT) {
                return Err(bad("largest size", size as u16));
            }
        }
        self.preauth.update(message);
        self.negotiated = Some((negotiated, SessionFacts { dialect, signing, cipher }));
        self.stage = Stage::SetUp;
        let initiator = self.initiator.as_mut().ok_or(SecurityError::OutOfSequence)?;
        match initiator.step(None)? {
            Step::Continue(token) => self.send_token(&token),
            Step::Done { token: Some(token), .. } => {
                self.authenticated = true;
                self.send_token(&token)
            }
            Step::Done { token: None, .. } => Err(SecurityError::OutOfSequence.into()),
        }
    }

    fn send_token(&mut self, token: &[u8]) -> Result<()> {
        self.legs += 1;
        if self.legs > MAX_SETUP_LEGS || token.len() > crate::limits::MAX_TOKEN {
            return Err(SecurityError::OutOfSequence.into());
        }
        self.send(Command::SessionSetup, &session_setup(token), 0)
    }

    fn on_set_up(&mut self, header: &Header, message: &mut [u8]) -> Result<()> {
        match header.status {
            NtStatus::MORE_PROCESSING_REQUIRED => {
                self.preauth.update(message);
                if self.session_id == 0 {
                    self.session_id = header.session_id;
                } else if self.session_id != header.session_id {
                    return Err(SmbError::NotSmb("of another session").into());
                }
                let answer = SetUp::decode(message)?;
                let initiator = self.initiator.as_mut().ok_or(SecurityError::OutOfSequence)?;
                if self.authenticated {
                    return Err(SecurityError::OutOfSequence.into());
                }
                match initiator.step(Some(answer.token))? {
                    Step::Continue(token) => self.send_token(&token),
                    Step::Done { token: Some(token), .. } => {
                        self.authenticated = true;
                        self.send_token(&token)
                    }
                    Step::Done { token: None, .. } => Err(SecurityError::OutOfSequence.into()),
                }
            }
            NtStatus::SUCCESS => self.on_signed_in(header, message),
            status if status.refuses_logon() => {
                Err(Error::LogonRefused(LogonRefusal::SessionSetUp(status)))
            }
            status => Err(SmbError::Status { command: Command::SessionSetup, status }.into()),
        }
    }

    fn on_signed_in(&mut self, header: &Header, message: &mut [u8]) -> Result<()> {
        let answer = SetUp::decode(message)?;
        let flags = answer.flags;
        if flags & SetUp::GUEST != 0 {
            return Err(SmbError::NotTheAccount("a guest").into());
        }
        if flags & SetUp::ANONYMOUS != 0 {
            return Err(SmbError::NotTheAccount("an anonymous user").into());
        }
        let mut initiator = self.initiator.take().ok_or(SecurityError::OutOfSequence)?;
        if !self.authenticated {
            match initiator.step(Some(answer.token))? {
                Step::Done { token: None, .. } => self.authenticated = true,
                _ => return Err(SecurityError::OutOfSequence.into()),
            }
        }
        let key = initiator.session_key().ok_or(SecurityError::OutOfSequence)?;
        let facts = self.facts().ok_or(SecurityError::OutOfSequence)?;
        if self.session_id == 0 {
            self.session_id = header.session_id;
        } else if self.session_id != header.session_id {
            return Err(SmbError::NotSmb("of another session").into());
        }
        let keys = Keys::derive(&key, facts.dialect, facts.signing, facts.cipher, &self.preauth);
        // The signature proves that the server knows the key, so it has accepted
        // the account; with 3.1.1 also that nobody changed the handshake.
        if header.flags & FLAG_SIGNED == 0 {
            return Err(SmbError::Unprotected(header.command, "signed").into());
        }
        keys.verify(message, header.message_id)?;
        self.require_encryption(flags & SetUp::ENCRYPT != 0, &keys)?;
        self.keys = Some(keys);
        self.stage = Stage::Tree;
        let path = format!("\\\\{}\\IPC$", self.config.host);
        self.send(Command::TreeConnect, &tree_connect(&path), 0)
    }

    fn require_encryption(&self, required: bool, keys: &Keys) -> Result<(), SmbError> {
        if required && !keys.can_encrypt() {
            return Err(SmbError::TooWeak("encryption is required, and no cipher is in common"));
        }
        Ok(())
    }

    fn on_tree(&mut self, header: &Header, message: &[u8]) -> Result<()> {
        check(header)?;
        let encrypt = decode_tree(message)?;
        if let Some(keys) = &self.keys {
            self.require_encryption(encrypt, keys)?;
        }
        self.tree_id = header.tree_id;
        let could = self.offer.dialects.iter().any(|dialect| *dialect >= Dialect::Smb300);
        match self.facts() {
            Some(facts) if facts.dialect < Dialect::Smb311 && could => {
                self.stage = Stage::Validate;
                let input = self.offer.validate();
                let body = ioctl(VALIDATE_NEGOTIATE, FileId::NONE, &input, 24);
                self.send(Command::Ioctl, &body, 0)
            }
            _ => self.open_pipe(),
        }
    }

    /// The same questions as at the start, now under signature (3.2.5.5).
    fn on_validated(&mut self, header: &Header, message: &[u8]) -> Result<()> {
        let Some((then, facts)) = &self.negotiated else {
            return Err(SecurityError::OutOfSequence.into());
        };
        match header.status {
            NtStatus::SUCCESS => {
                let now = Validated::decode(decode_ioctl(message)?)?;
                let differs = [
                    (now.dialect != then.dialect, "dialect"),
                    (now.capabilities != then.capabilities, "set of capabilities"),
                    (now.security_mode != then.security_mode, "security mode"),
                    (now.server != then.server, "server"),
                ];
                if let Some((_, what)) = differs.into_iter().find(|(differs, _)| *differs) {
                    return Err(SmbError::Downgrade(what).into());
                }
            }
            // A server that has never heard of the question speaks SMB 2 only, and
            // says so under signature.
            NtStatus::NOT_SUPPORTED
            | NtStatus::INVALID_DEVICE_REQUEST
            | NtStatus::INVALID_PARAMETER
            | NtStatus::FILE_CLOSED
                if facts.dialect < Dialect::Smb300 => {}
            status => {
                return Err(SmbError::Status { command: Command::Ioctl, status }.into());
            }
        }
        self.open_pipe()
    }

    fn open_pipe(&mut self) -> Result<()> {
        self.stage = Stage::Create;
        let body = create(&self.config.pipe);
        self.send(Command::Create, &body, 0)
    }

    fn on_created(&mut self, header: &Header, message: &[u8]) -> Result<()> {
        check(header)?;
        self.file = Some(decode_create(message)?);
        self.stage = Stage::Open;
        Ok(())
    }

    fn on_read(&mut self, header: &Header, message: &[u8]) -> Result<()> {
        match header.status {
            NtStatus::SUCCESS | NtStatus::BUFFER_OVERFLOW => {
                self.input.extend_from_slice(decode_read(message)?);
                Ok(())
            }
            status if status.ends_pipe() => {
                self.ended = true;
                Ok(())
            }
            status => Err(SmbError::Status { command: Command::Read, status }.into()),
        }
    }

    fn on_written(&mut self, header: &Header, message: &[u8], len: u32) -> Result<()> {
        if header.status.ends_pipe() {
            self.ended = true;
            return Ok(());
        }
        check(header)?;
        match decode_write(message)? {
            taken if taken == len => Ok(()),
            taken => {
                let (command, field, value) = (Command::Write, "count", taken.into());
                Err(SmbError::BadField { command, field, value }.into())
            }
        }
    }

    /// Asks for what can be asked for now. One write and one read at a time: a
    /// server may serve two of a kind in another order. Both at once save a
    /// round trip a call.
    fn pump(&mut self) -> Result<()> {
        let (Stage::Open, Some(file), false) = (self.stage, self.file, self.ended) else {
            return Ok(());
        };
        let Some((negotiated, _)) = &self.negotiated else { return Ok(()) };
        let (max_read, max_write) = (negotiated.max_read, negotiated.max_write);
        let waits = |half: &Self, command| half.open.iter().any(|asked| asked.command == command);
        if self.credits > 0
            && !waits(self, Command::Write)
            && let Some(pdu) = self.unsent.next_pdu()
        {
            let len = pdu.len();
            let limit = max_write.min(MAX_PAYLOAD);
            if len > limit as usize {
                let (value, limit) = (len as u64, limit.into());
                let what = "bytes in a PDU for the pipe";
                return Err(SmbError::LimitExceeded { what, value, limit }.into());
            }
            let body = write(file, pdu);
            self.unsent_len -= len;
            self.written = true;
            self.send(Command::Write, &body, len as u32)?;
        }
        let room = self.input().len() < MAX_PAYLOAD as usize;
        if self.credits > 0 && room && self.written && !waits(self, Command::Read) {
            self.send(Command::Read, &read(file, max_read.min(MAX_PAYLOAD)), 0)?;
        }
        if self.credits == 0 && self.open.is_empty() {
            return Err(SmbError::NoCredit.into());
        }
        Ok(())
    }
}

fn check(header: &Header) -> Result<(), SmbError> {
    match header.status {
        status if status.is_success() => Ok(()),
        status => Err(SmbError::Status { command: header.command, status }),
    }
}
