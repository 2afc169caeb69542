//! The client's side of NTLM and of SPNEGO with NTLM. The crate `sspi` makes
//! the tokens; what they agree on is checked here, and the session's key is
//! taken over for sealing.

use quarry_cred::Credential;
use sspi::{
    AuthIdentityBuffers, BufferType, ClientRequestFlags, CredentialsBuffers, DataRepresentation,
    NTLM_HASH_PREFIX, Negotiate, NegotiateConfig, Ntlm, SecurityBuffer, SecurityStatus, Sspi,
    SspiImpl,
};

use zeroize::Zeroizing;

use super::ntlm::{
    MessageType, NtHash, NtlmKeys, Side, challenge_version, message_flags, missing_protection,
};
use super::spnego::{NegState, NegTokenResp};
use super::{Initiator, Step, SystemVersion};
use crate::error::{Error, LogonRefusal, SecurityError};
use crate::pdu::AuthType;

/// Packet privacy as `sspi` knows it.
const REQUIREMENTS: ClientRequestFlags = ClientRequestFlags::MUTUAL_AUTH
    .union(ClientRequestFlags::REPLAY_DETECT)
    .union(ClientRequestFlags::SEQUENCE_DETECT)
    .union(ClientRequestFlags::CONFIDENTIALITY)
    .union(ClientRequestFlags::INTEGRITY)
    .union(ClientRequestFlags::USE_DCE_STYLE);

/// NTLM by itself (authentication type 10).
pub struct NtlmInitiator {
    ntlm: Ntlm,
    identity: Option<AuthIdentityBuffers>,
    server_version: Option<SystemVersion>,
}

impl NtlmInitiator {
    /// A fresh handshake for a credential.
    pub fn new(credential: &Credential) -> Self {
        Self { ntlm: Ntlm::new(), identity: Some(buffers(credential)), server_version: None }
    }
}

impl Initiator for NtlmInitiator {
    fn auth_type(&self) -> AuthType {
        AuthType::NTLM
    }

    fn step(&mut self, token: Option<&[u8]>) -> Result<Step, Error> {
        if let Some(challenge) = token {
            check_flags(challenge, MessageType::Challenge)?;
            self.server_version = challenge_version(challenge);
        }
        let (status, out) = run(&mut self.ntlm, &mut self.identity, token)?;
        match status {
            SecurityStatus::ContinueNeeded => Ok(Step::Continue(out)),
            SecurityStatus::Ok if token.is_some() => {
                check_flags(&out, MessageType::Authenticate)?;
                self.identity = None;
                let keys = session_keys(&self.ntlm)?;
                Ok(Step::Done {
                    token: Some(out),
                    session: Box::new(keys.sealer(0)),
                    proven: false,
                })
            }
            _ => Err(SecurityError::OutOfSequence.into()),
        }
    }

    fn presents_credential(&self) -> bool {
        self.identity.is_none()
    }

    fn server_version(&self) -> Option<SystemVersion> {
        self.server_version
    }

    fn session_key(&self) -> Option<Zeroizing<Vec<u8>>> {
        if self.identity.is_some() {
            return None;
        }
        session_key(&self.ntlm).ok().map(|key| Zeroizing::new(key.to_vec()))
    }
}

/// SPNEGO that offers NTLM (authentication type 9).
pub struct NegotiateInitiator {
    negotiate: Negotiate,
    identity: Option<CredentialsBuffers>,
    authenticated: bool,
    server_version: Option<SystemVersion>,
}

impl NegotiateInitiator {
    /// A fresh handshake for a credential.
    ///
    /// # Errors
    /// [`SecurityError::Local`] when `sspi` does not take the configuration.
    pub fn new(credential: &Credential) -> Result<Self, Error> {
        // Kerberos is not looked for: that would mean DNS and configuration files.
        let config = NegotiateConfig::new(
            Box::new(sspi::ntlm::NtlmConfig::default()),
            Some("ntlm,!kerberos,!pku2u".to_owned()),
            String::new(),
        );
        Ok(Self {
            negotiate: Negotiate::new_client(config).map_err(local)?,
            identity: Some(CredentialsBuffers::AuthIdentity(buffers(credential))),
            authenticated: false,
            server_version: None,
        })
    }
}

impl Initiator for NegotiateInitiator {
    fn auth_type(&self) -> AuthType {
        AuthType::NEGOTIATE
    }

    fn step(&mut self, token: Option<&[u8]>) -> Result<Step, Error> {
        let answer = token.map(NegTokenResp::decode).transpose()?;
        let mut mic_came = false;
        if let Some(answer) = &answer {
            if answer.state == Some(NegState::Reject) {
                return Err(Error::LogonRefused(LogonRefusal::Rejected));
            }
            if let Some(inner) = &answer.token {
                check_flags(inner, MessageType::Challenge)?;
                self.server_version = challenge_version(inner);
            }
            mic_came = answer.mic.is_some();
        }
        let (status, out) = run(&mut self.negotiate, &mut self.identity, token)?;
        // The second token that we send is the one with AUTHENTICATE in it.
        if !self.authenticated
            && answer.is_some()
            && let Some(inner) = NegTokenResp::decode(&out).ok().and_then(|resp| resp.token)
        {
            check_flags(&inner, MessageType::Authenticate)?;
            self.authenticated = true;
        }
        match status {
            SecurityStatus::ContinueNeeded if !out.is_empty() => Ok(Step::Continue(out)),
            // The server's signature over the offer was verified: it knows the key.
            SecurityStatus::Ok if self.authenticated && mic_came => {
                self.identity = None;
                let keys = session_keys(&self.negotiate)?;
                let token = (!out.is_empty()).then_some(out);
                Ok(Step::Done { token, session: Box::new(keys.sealer(1)), proven: true })
            }
            _ => Err(SecurityError::OutOfSequence.into()),
        }
    }

    fn presents_credential(&self) -> bool {
        self.authenticated
    }

    fn server_version(&self) -> Option<SystemVersion> {
        self.server_version
    }

    fn session_key(&self) -> Option<Zeroizing<Vec<u8>>> {
        if self.identity.is_some() {
            return None;
        }
        session_key(&self.negotiate).ok().map(|key| Zeroizing::new(key.to_vec()))
    }
}

/// One leg of any of `sspi`'s packages.
fn run<P>(
    package: &mut P,
    credentials: &mut P::CredentialsHandle,
    token: Option<&[u8]>,
) -> Result<(SecurityStatus, Vec<u8>), Error>
where
    P: SspiImpl + Sspi,
{
    let mut input = [SecurityBuffer::new(token.unwrap_or_default().to_vec(), BufferType::Token)];
    let mut output = [SecurityBuffer::new(Vec::new(), BufferType::Token)];
    let mut builder = package
        .initialize_security_context()
        .with_credentials_handle(credentials)
        .with_context_requirements(REQUIREMENTS)
        .with_target_data_representation(DataRepresentation::Native)
        .with_output(&mut output);
    if token.is_some() {
        builder = builder.with_input(&mut input);
    }
    let result = package
        .initialize_security_context_impl(&mut builder)
        .and_then(|mut generator| generator.resolve_to_result())
        .map_err(|error| from_sspi(error, token.is_some()))?;
    let out = std::mem::take(&mut output[0].buffer);
    Ok((result.status, out))
}

fn session_keys(package: &impl Sspi) -> Result<NtlmKeys, Error> {
    Ok(NtlmKeys::new(*session_key(package)?, Side::Client))
}

fn session_key(package: &impl Sspi) -> Result<Zeroizing<[u8; 16]>, Error> {
    let keys = package.query_context_session_key().map_err(local)?;
    let key: &Vec<u8> = keys.session_key.as_ref();
    let key: [u8; 16] = key
        .as_slice()
        .try_into()
        .map_err(|_| SecurityError::Local("a session key of another length".into()))?;
    Ok(Zeroizing::new(key))
}

fn check_flags(message: &[u8], expected: MessageType) -> Result<(), SecurityError> {
    match missing_protection(message_flags(message, expected)?) {
        Some(what) => Err(SecurityError::TooWeak(what)),
        None => Ok(()),
    }
}

/// The password's hash, which is all that NTLM needs of it: of the password itself `sspi` would make
/// copies that it doesn't wipe, and take one that begins with the mark of a hash for one.
fn buffers(credential: &Credential) -> AuthIdentityBuffers {
    let (user, domain) = credential.account().ntlm_names();
    let hash = NtHash::of_password(credential.secret().expose());
    AuthIdentityBuffers::from_utf8(&user, &domain, &marked(&hash))
}

/// A hash as `sspi` takes it in a password's place. Its own conversion leaves copies behind.
fn marked(hash: &NtHash) -> Zeroizing<String> {
    let bytes = hash.as_bytes();
    let mut text = Zeroizing::new(String::with_capacity(NTLM_HASH_PREFIX.len() + 2 * bytes.len()));
    text.push_str(NTLM_HASH_PREFIX);
    for byte in bytes {
        for digit in [byte >> 4, byte & 0xf] {
            text.extend(char::from_digit(digit.into(), 16));
        }
    }
    text
}

/// Whose fault it is, `sspi` doesn't always say: fields of the peer's token that it can't read are
/// errors of I/O to it, which it counts as its own.
fn from_sspi(error: sspi::Error, has_token: bool) -> Error {
    use sspi::ErrorKind as Kind;
    match error.error_type {
        Kind::InvalidToken | Kind::OutOfSequence => {
            SecurityError::Malformed { what: "security token" }.into()
        }
        Kind::MessageAltered | Kind::BadBindings | Kind::DowngradeDetected => {
            SecurityError::HandshakeAltered.into()
        }
        Kind::LogonDenied => Error::LogonRefused(LogonRefusal::Rejected),
        Kind::InternalError if has_token && !error.description.starts_with("rand") => {
            SecurityError::Malformed { what: "security token" }.into()
        }
        _ => local(error).into(),
    }
}

fn local(error: sspi::Error) -> SecurityError {
    SecurityError::Local(format!("{:?}: {}", error.error_type, error.description))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_written_as_the_crate_writes_it_and_in_one_allocation() {
        let hash = NtHash::of_password("Yabba-dabba-d0o!");
        let text = marked(&hash);
        let theirs = sspi::NtlmHash::from(*hash.as_bytes());
        assert_eq!(
            AuthIdentityBuffers::from_utf8("ann", "CORP", &text),
            AuthIdentityBuffers::from_utf8_with_hash("ann", "CORP", &theirs)
        );
        // A larger one would have left its first part after, unwiped.
        assert_eq!(text.capacity(), text.len());
    }
}
