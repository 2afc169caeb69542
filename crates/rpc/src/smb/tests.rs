//! The half against a server made of the same parts, which misbehaves as told.

use std::ops::Range;

use zeroize::Zeroizing;

use super::crypto::{Keys, Preauth};
use super::error::{NtStatus, SmbError};
use super::half::{PipeConfig, PipeHalf};
use super::header::{Command, FLAG_RESPONSE, FLAG_SIGNED, HEADER_LEN, Header, TransformHeader};
use super::{Cipher, Dialect, SigningAlgorithm};
use crate::error::{Error, LogonRefusal};
use crate::pdu::AuthType;
use crate::security::{BadSignature, Initiator, Sealer, Step};

const SESSION_KEY: [u8; 16] = *b"0123456789abcdef";
const SESSION_ID: u64 = 0x1_0000_0005;

/// Two legs, and a key that both sides know.
struct Handshake(u32);

impl Initiator for Handshake {
    fn auth_type(&self) -> AuthType {
        AuthType::NEGOTIATE
    }

    fn step(&mut self, token: Option<&[u8]>) -> Result<Step, Error> {
        self.0 += 1;
        Ok(match (self.0, token) {
            (1, None) => Step::Continue(b"one".to_vec()),
            (2, Some(b"two")) => Step::Continue(b"three".to_vec()),
            (3, Some(b"four")) => {
                Step::Done { token: None, session: Box::new(NoSealer), proven: true }
            }
            _ => panic!("the handshake's order is kept"),
        })
    }

    fn session_key(&self) -> Option<Zeroizing<Vec<u8>>> {
        (self.0 == 3).then(|| Zeroizing::new(SESSION_KEY.to_vec()))
    }
}

struct NoSealer;

impl Sealer for NoSealer {
    fn signature_len(&self) -> usize {
        0
    }
    fn seal(&mut self, _: &mut [u8], _: Range<usize>, _: &mut [u8]) {}
    fn unseal(&mut self, _: &mut [u8], _: Range<usize>, _: &[u8]) -> Result<(), BadSignature> {
        Ok(())
    }
}

/// What the server does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The session is a guest's.
    Guest,
    /// The session is nobody's.
    Anonymous,
    /// The last answer of the handshake is not signed.
    UnsignedSession,
    /// The handshake that the server saw is not the one that was sent.
    AlteredHandshake,
    /// It remembers another dialect than it answered with.
    TalkedDown,
    /// It answers in the clear once the session is there.
    Unprotected,
    /// A signed answer with another signature.
    WrongSignature,
    /// It says that the password is wrong.
    Denied,
    /// It is SMB 1.
    Smb1,
    /// The tree is a disk.
    Disk,
    /// It grants no credits.
    NoCredits,
    /// It answers to a number that nobody asked with.
    WrongNumber,
    /// It puts the answer to a leg of the logon off, again and again.
    PutsOff,
}

struct Server {
    dialect: Dialect,
    fault: Fault,
    preauth: Preauth,
    keys: Option<Keys>,
    /// What was written into the pipe comes out of it.
    pipe: Vec<u8>,
    waiting: Option<u64>,
}

impl Server {
    fn cipher(&self) -> Option<Cipher> {
        (self.dialect >= Dialect::Smb300).then_some(Cipher::Aes128Ccm)
    }

    fn derive(&self) -> Keys {
        let signing = match self.dialect {
            Dialect::Smb202 | Dialect::Smb210 => SigningAlgorithm::HmacSha256,
            _ => SigningAlgorithm::AesCmac,
        };
        Keys::derive(&SESSION_KEY, self.dialect, signing, self.cipher(), &self.preauth)
    }

    /// The answers to one message.
    fn answer(&mut self, message: &[u8]) -> Vec<Vec<u8>> {
        let mut message = message.to_vec();
        let message = match &self.keys {
            Some(keys) if TransformHeader::is_at(&message) => {
                keys.decrypt_request(&mut message, SESSION_ID).unwrap().to_vec()
            }
            Some(_) if self.dialect >= Dialect::Smb300 => panic!("a request is not encrypted"),
            _ => message,
        };
        let request = Header::decode(&message).unwrap();
        assert_eq!(request.credit_charge > 0, self.has_charge(&request));
        if self.keys.is_none() {
            self.preauth.update(&message);
        } else if self.dialect < Dialect::Smb300 {
            assert_ne!(request.flags & FLAG_SIGNED, 0, "a request is not signed");
        }
        match request.command {
            Command::Negotiate => vec![self.negotiate(&request)],
            Command::SessionSetup if self.fault == Fault::PutsOff => {
                vec![self.response(&request, NtStatus::PENDING, &[9; 9]); 100]
            }
            Command::SessionSetup => vec![self.set_up(&request)],
            Command::TreeConnect => {
                let kind = if self.fault == Fault::Disk { 1 } else { 2 };
                vec![
                    self.protected(&request, &[16, 0, kind, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]),
                ]
            }
            Command::Ioctl => {
                let mut body = vec![0; 48];
                body[0] = 49;
                body[32..36].copy_from_slice(&((HEADER_LEN + 48) as u32).to_le_bytes());
                body[36] = 24;
                body.extend_from_slice(&self.capabilities().to_le_bytes());
                body.extend_from_slice(&[9; 16]);
                let talked_down = self.fault == Fault::TalkedDown;
                let dialect = if talked_down { Dialect::Smb302 } else { self.dialect };
                body.extend_from_slice(&1u16.to_le_bytes());
                body.extend_from_slice(&(dialect as u16).to_le_bytes());
                vec![self.protected(&request, &body)]
            }
            Command::Create => {
                let mut body = vec![0; 88];
                body[0] = 89;
                body[64..80].fill(7);
                vec![self.protected(&request, &body)]
            }
            Command::Write => {
                let data = &message[HEADER_LEN + 48..];
                self.pipe.extend_from_slice(data);
                let mut body = vec![0; 16];
                body[0] = 17;
                body[4..8].copy_from_slice(&(data.len() as u32).to_le_bytes());
                let mut answers = vec![self.protected(&request, &body)];
                answers.extend(self.read());
                answers
            }
            Command::Read => {
                self.waiting = Some(request.message_id);
                let mut pending = self.response(&request, NtStatus::PENDING, &[9; 9]);
                if self.dialect >= Dialect::Smb300 {
                    pending = self.seal(pending);
                }
                let mut answers = vec![pending];
                answers.extend(self.read());
                answers
            }
            other => panic!("{other}"),
        }
    }

    fn has_charge(&self, request: &Header) -> bool {
        request.command != Command::Negotiate && self.dialect >= Dialect::Smb210
    }

    fn capabilities(&self) -> u32 {
        if self.dialect >= Dialect::Smb300 { 0x40 } else { 0 }
    }

    fn read(&mut self) -> Option<Vec<u8>> {
        if self.pipe.is_empty() {
            return None;
        }
        let message_id = self.waiting.take()?;
        let mut body = vec![0; 16];
        (body[0], body[2]) = (17, (HEADER_LEN + 16) as u8);
        body[4..8].copy_from_slice(&(self.pipe.len() as u32).to_le_bytes());
        body.append(&mut self.pipe);
        let request = Header {
            credit_charge: 1,
            status: NtStatus::SUCCESS,
            command: Command::Read,
            credits: 1,
            flags: 0,
            message_id,
            tree_id: 3,
            session_id: SESSION_ID,
        };
        Some(self.protected(&request, &body))
    }

    fn negotiate(&mut self, request: &Header) -> Vec<u8> {
        if self.fault == Fault::Smb1 {
            return b"\xffSMB\x72".iter().copied().chain([0; 60]).collect();
        }
        let mut body = vec![0; 64];
        (body[0], body[2]) = (65, 1);
        body[4..6].copy_from_slice(&(self.dialect as u16).to_le_bytes());
        body[8..24].fill(9);
        body[24..28].copy_from_slice(&self.capabilities().to_le_bytes());
        for at in [28, 32, 36] {
            body[at..at + 4].copy_from_slice(&65_536u32.to_le_bytes());
        }
        if self.dialect == Dialect::Smb311 {
            body[6] = 2;
            body[60..64].copy_from_slice(&((HEADER_LEN + 64) as u32).to_le_bytes());
            // SHA-512 with no salt, and padding; AES-128-CCM.
            body.extend_from_slice(&[1, 0, 6, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
            body.extend_from_slice(&[2, 0, 4, 0, 0, 0, 0, 0, 1, 0, 1, 0]);
        }
        let answer = self.response(request, NtStatus::SUCCESS, &body);
        self.preauth.update(&answer);
        answer
    }

    fn set_up(&mut self, request: &Header) -> Vec<u8> {
        let body = |flags: u8, token: &[u8]| {
            let at = (HEADER_LEN + 8) as u8;
            let head = [9, 0, flags, 0, at, 0, token.len() as u8, 0];
            [&head, token].concat()
        };
        if request.session_id == 0 {
            let status = NtStatus::MORE_PROCESSING_REQUIRED;
            let mut answer = self.response(request, status, &body(0, b"two"));
            self.preauth.update(&answer);
            if self.fault == Fault::AlteredHandshake {
                // Somebody in between changes what the client sees.
                answer[HEADER_LEN + 2] = 8;
            }
            return answer;
        }
        let flags = match self.fault {
            Fault::Guest => 1,
            Fault::Anonymous => 2,
            Fault::Denied => return self.response(request, NtStatus::LOGON_FAILURE, &[9; 9]),
            _ => 0,
        };
        let keys = self.derive();
        let mut answer = self.response(request, NtStatus::SUCCESS, &body(flags, b"four"));
        if self.fault != Fault::UnsignedSession {
            answer[16] |= FLAG_SIGNED as u8;
            keys.sign_response(&mut answer, request.message_id);
        }
        self.keys = Some(keys);
        answer
    }

    fn response(&self, request: &Header, status: NtStatus, body: &[u8]) -> Vec<u8> {
        let off = u64::from(self.fault == Fault::WrongNumber) * 3;
        let header = Header {
            status,
            credits: if self.fault == Fault::NoCredits { 0 } else { 2 },
            flags: FLAG_RESPONSE,
            message_id: request.message_id + off,
            session_id: if request.command == Command::Negotiate { 0 } else { SESSION_ID },
            tree_id: 3,
            ..*request
        };
        let mut message = Vec::new();
        header.encode(&mut message);
        message.extend_from_slice(body);
        message
    }

    fn protected(&mut self, request: &Header, body: &[u8]) -> Vec<u8> {
        let mut message = self.response(request, NtStatus::SUCCESS, body);
        if self.fault == Fault::Unprotected {
            return message;
        }
        if self.dialect >= Dialect::Smb300 {
            return self.seal(message);
        }
        message[16] |= FLAG_SIGNED as u8;
        if let Some(keys) = &self.keys {
            keys.sign_response(&mut message, request.message_id);
        }
        if self.fault == Fault::WrongSignature {
            message[50] ^= 1;
        }
        message
    }

    fn seal(&mut self, message: Vec<u8>) -> Vec<u8> {
        let keys = self.keys.as_mut().unwrap();
        let mut sealed = keys.encrypt_response(&message, SESSION_ID).unwrap();
        if self.fault == Fault::WrongSignature {
            sealed[10] ^= 1;
        }
        sealed
    }
}

/// Opens a pipe on such a server, and writes three PDUs that come back.
fn run(dialect: Dialect, fault: Fault) -> Result<(), Error> {
    let preauth = Preauth::new();
    let mut server =
        Server { dialect, fault, preauth, keys: None, pipe: Vec::new(), waiting: None };
    let config = PipeConfig::new("host", "eventlog");
    let mut half = PipeHalf::new(config, Box::new(Handshake(0)))?;
    let pdu = |len: u16| {
        let mut pdu = vec![len as u8; len.into()];
        pdu[4] = 0x10;
        pdu[8..10].copy_from_slice(&len.to_le_bytes());
        pdu
    };
    let sent: Vec<u8> = [pdu(100), pdu(3000), pdu(16)].concat();
    let mut unsent = Some(&sent);
    let mut came = Vec::new();
    for _ in 0..40 {
        if half.is_open()
            && let Some(bytes) = unsent.take()
        {
            half.write(bytes)?;
        }
        let out = std::mem::take(half.output());
        let mut rest = &out[..];
        while let Some((len, behind)) = rest.split_first_chunk::<4>() {
            let (message, behind) = behind.split_at(u32::from_be_bytes(*len) as usize);
            rest = behind;
            for mut answer in server.answer(message) {
                half.receive(&mut answer)?;
            }
        }
        came.extend_from_slice(half.input());
        let taken = half.input().len();
        half.consume(taken)?;
    }
    assert_eq!(came, sent);
    assert_eq!(half.facts().map(|facts| facts.dialect), Some(dialect));
    Ok(())
}

#[test]
fn a_pipe_is_opened_and_carries_bytes_in_every_dialect() {
    for dialect in Dialect::ALL {
        assert_eq!(run(dialect, Fault::None), Ok(()), "{dialect}");
    }
}

#[test]
fn a_server_that_breaks_a_rule_is_refused_for_it() {
    let smb = |dialect, fault| match run(dialect, fault) {
        Err(Error::Smb(error)) => error,
        other => panic!("{fault:?}: {other:?}"),
    };
    for dialect in Dialect::ALL {
        let is_3 = dialect >= Dialect::Smb300;
        assert!(matches!(smb(dialect, Fault::Guest), SmbError::NotTheAccount(_)));
        assert!(matches!(smb(dialect, Fault::Anonymous), SmbError::NotTheAccount(_)));
        let unsigned = SmbError::Unprotected(Command::SessionSetup, "signed");
        assert_eq!(smb(dialect, Fault::UnsignedSession), unsigned);
        let how = if is_3 { "encrypted" } else { "signed" };
        let bare = SmbError::Unprotected(Command::TreeConnect, how);
        assert_eq!(smb(dialect, Fault::Unprotected), bare);
        assert_eq!(smb(dialect, Fault::WrongSignature), SmbError::BadSignature);
        assert_eq!(smb(dialect, Fault::Smb1), SmbError::OldProtocol { proven: true });
        assert_eq!(smb(dialect, Fault::Disk), SmbError::NotPipes);
        assert_eq!(smb(dialect, Fault::NoCredits), SmbError::NoCredit);
        assert!(matches!(smb(dialect, Fault::WrongNumber), SmbError::Unexpected { .. }));
        let put_off =
            SmbError::LimitExceeded { what: "interim answers to a request", value: 5, limit: 4 };
        assert_eq!(smb(dialect, Fault::PutsOff), put_off);
        let denied = LogonRefusal::SessionSetUp(NtStatus::LOGON_FAILURE);
        assert_eq!(run(dialect, Fault::Denied), Err(Error::LogonRefused(denied)));
    }
    assert_eq!(smb(Dialect::Smb311, Fault::AlteredHandshake), SmbError::BadSignature);
    for dialect in [Dialect::Smb202, Dialect::Smb210, Dialect::Smb300] {
        assert_eq!(smb(dialect, Fault::TalkedDown), SmbError::Downgrade("dialect"));
    }
}

/// Between two interim answers there is as much time as the server likes, but no more in all.
#[cfg(feature = "tcp")]
#[tokio::test(start_paused = true)]
async fn a_logon_that_is_put_off_is_over_when_a_silent_one_is() {
    use crate::error::{NetworkError, NetworkErrorKind, Stage};
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let (near, mut far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        let (dialect, fault, preauth) = (Dialect::Smb311, Fault::PutsOff, Preauth::new());
        let mut server =
            Server { dialect, fault, preauth, keys: None, pipe: Vec::new(), waiting: None };
        loop {
            let mut message = vec![0; far.read_u32().await.unwrap() as usize];
            far.read_exact(&mut message).await.unwrap();
            for answer in server.answer(&message) {
                tokio::time::sleep(Duration::from_secs(7)).await;
                if far.write_u32(answer.len() as u32).await.is_err() {
                    return;
                }
                let _ = far.write_all(&answer).await;
            }
        }
    });
    let silence = Duration::from_secs(20);
    let begun = tokio::time::Instant::now();
    let config = PipeConfig::new("host", "eventlog");
    let open = super::PipeStream::open(near, config, Box::new(Handshake(0)), silence).await;
    let kind = NetworkErrorKind::TooSlow(silence);
    assert_eq!(open.err(), Some(NetworkError { during: Stage::Bind, kind }.into()));
    assert_eq!(begun.elapsed(), silence);
}

/// Writes the seeds of the fuzz target `smb`: what servers answer until there is a
/// session.
#[test]
#[ignore = "writes into fuzz/seeds; run it when the messages change"]
fn write_the_seeds_of_the_fuzz_target() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/smb");
    std::fs::create_dir_all(folder).unwrap();
    for dialect in Dialect::ALL {
        let preauth = Preauth::new();
        let (fault, pipe) = (Fault::None, b"from the pipe".to_vec());
        let mut server = Server { dialect, fault, preauth, keys: None, pipe, waiting: Some(7) };
        let mut half =
            PipeHalf::new(PipeConfig::new("host", "eventlog"), Box::new(Handshake(0))).unwrap();
        let mut stream = Vec::new();
        for _ in 0..3 {
            let out = std::mem::take(half.output());
            for mut answer in server.answer(&out[4..]) {
                stream.extend_from_slice(&(answer.len() as u32).to_be_bytes());
                stream.extend_from_slice(&answer);
                half.receive(&mut answer).unwrap();
            }
        }
        // The later ones as they are below the session's protection.
        server.dialect = Dialect::Smb210;
        for command in [Command::TreeConnect, Command::Create, Command::Ioctl] {
            let request = Header {
                credit_charge: 1,
                status: NtStatus::SUCCESS,
                command,
                credits: 1,
                flags: FLAG_SIGNED,
                message_id: 3,
                tree_id: 3,
                session_id: SESSION_ID,
            };
            let mut message = Vec::new();
            request.encode(&mut message);
            for answer in server.answer(&message) {
                stream.extend_from_slice(&(answer.len() as u32).to_be_bytes());
                stream.extend_from_slice(&answer);
            }
        }
        let answer = server.read().unwrap();
        stream.extend_from_slice(&(answer.len() as u32).to_be_bytes());
        stream.extend_from_slice(&answer);
        std::fs::write(format!("{folder}/{:04x}", dialect as u16), stream).unwrap();
    }
}
