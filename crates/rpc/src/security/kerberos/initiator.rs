//! The client's side: Kerberos by itself, and within SPNEGO.

use zeroize::Zeroizing;

use super::ServiceTicket;
use super::context::{Context, Style};
use super::messages::KERBEROS;
use super::seal::Session;
use crate::error::{Error, LogonRefusal, SecurityError};
use crate::pdu::AuthType;
use crate::security::spnego::{NegState, NegTokenInit, NegTokenResp};
use crate::security::{Initiator, Step};

/// 1.2.840.48018.1.2.2: what Windows calls Kerberos, by a slip that stayed.
const WINDOWS_KERBEROS: &[u8] = &[0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 1, 2, 2];

/// Kerberos by itself, in DCE style (authentication type 16). It has four legs, as MS-RPCE 2.2.1.1.7
/// says: the last one is the server's and has nothing in it.
pub struct KerberosInitiator {
    context: Context,
    session: Option<Session>,
    key: Option<Zeroizing<Vec<u8>>>,
}

impl KerberosInitiator {
    /// A fresh handshake with a ticket.
    pub fn new(ticket: ServiceTicket) -> Self {
        Self { context: Context::new(ticket, Style::Dce), session: None, key: None }
    }
}

impl Initiator for KerberosInitiator {
    fn auth_type(&self) -> AuthType {
        AuthType::KERBEROS
    }

    fn needs_header_signing(&self) -> bool {
        true
    }

    fn step(&mut self, token: Option<&[u8]>) -> Result<Step, Error> {
        let Some(token) = token else { return Ok(Step::Continue(self.context.ask()?)) };
        if let Some(session) = self.session.take() {
            if !token.is_empty() {
                return Err(SecurityError::OutOfSequence.into());
            }
            let session = Box::new(session.sealer()?);
            return Ok(Step::Done { token: None, session, proven: true });
        }
        let (session, third) = self.context.answer(token)?;
        self.key = Some(key_of(&session));
        self.session = Some(session);
        Ok(Step::Continue(third.ok_or(SecurityError::OutOfSequence)?))
    }

    fn session_key(&self) -> Option<Zeroizing<Vec<u8>>> {
        self.key.clone()
    }
}

/// SPNEGO that offers Kerberos and nothing else (authentication type 9).
pub struct NegotiateKerberosInitiator {
    context: Context,
    style: Style,
    offer: Vec<u8>,
    session: Option<Session>,
    key: Option<Zeroizing<Vec<u8>>>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Asked,
    /// Our `mechListMIC` is sent; the server's last word is awaited.
    Signed,
    Over,
}

impl NegotiateKerberosInitiator {
    /// A fresh handshake for RPC.
    pub fn for_rpc(ticket: ServiceTicket) -> Self {
        Self::new(ticket, Style::Dce)
    }

    /// A fresh handshake for SMB's session set-up.
    pub fn for_smb(ticket: ServiceTicket) -> Self {
        Self::new(ticket, Style::Plain)
    }

    fn new(ticket: ServiceTicket, style: Style) -> Self {
        let context = Context::new(ticket, style);
        let (offer, state) = (Vec::new(), State::Start);
        Self { context, style, offer, session: None, key: None, state }
    }

    fn start(&mut self) -> Result<Step, Error> {
        let token = self.context.ask()?;
        let mechanisms = vec![WINDOWS_KERBEROS.to_vec(), KERBEROS.to_vec()];
        let init = NegTokenInit::new(mechanisms, Some(token));
        self.offer.clone_from(&init.mechanism_list);
        self.state = State::Asked;
        Ok(Step::Continue(init.encode()))
    }

    fn asked(&mut self, answer: NegTokenResp) -> Result<Step, Error> {
        if let Some(mechanism) = &answer.mechanism
            && mechanism != WINDOWS_KERBEROS
            && mechanism != KERBEROS
        {
            return Err(SecurityError::NoMechanism.into());
        }
        let Some(inner) = &answer.token else { return Err(SecurityError::NoMechanism.into()) };
        let (mut session, third) = self.context.answer(inner)?;
        self.key = Some(key_of(&session));
        let completed = answer.state == Some(NegState::AcceptCompleted);
        if self.style == Style::Plain && completed {
            return self.finish(session, answer.mic.as_deref());
        }
        if completed {
            // In DCE style the third leg is still to come.
            return Err(SecurityError::OutOfSequence.into());
        }
        if let Some(mic) = &answer.mic {
            session.verify(&self.offer, mic).map_err(|_| SecurityError::HandshakeAltered)?;
        }
        // Samba asks for the signature with AES, Windows takes it.
        let mic = Some(session.sign(&self.offer));
        self.session = Some(session);
        self.state = State::Signed;
        Ok(Step::Continue(NegTokenResp { token: third, mic, ..NegTokenResp::default() }.encode()))
    }

    fn finish(&mut self, mut session: Session, mic: Option<&[u8]>) -> Result<Step, Error> {
        // Only Kerberos was offered, so there is nothing to be talked down to.
        if let Some(mic) = mic {
            session.verify(&self.offer, mic).map_err(|_| SecurityError::HandshakeAltered)?;
        }
        self.state = State::Over;
        Ok(Step::Done { token: None, session: Box::new(session.sealer()?), proven: true })
    }
}

impl Initiator for NegotiateKerberosInitiator {
    fn auth_type(&self) -> AuthType {
        AuthType::NEGOTIATE
    }

    fn needs_header_signing(&self) -> bool {
        true
    }

    fn step(&mut self, token: Option<&[u8]>) -> Result<Step, Error> {
        let answer = token.map(NegTokenResp::decode).transpose()?;
        if let Some(answer) = &answer
            && answer.state == Some(NegState::Reject)
        {
            let why = answer.token.as_deref().and_then(|token| self.context.refusal(token));
            self.state = State::Over;
            return Err(match why {
                Some(why) => why.into(),
                None => Error::LogonRefused(LogonRefusal::Rejected),
            });
        }
        match (self.state, answer) {
            (State::Start, None) => self.start(),
            (State::Asked, Some(answer)) => self.asked(answer),
            (State::Signed, Some(answer)) => {
                let session = self.session.take().ok_or(SecurityError::OutOfSequence)?;
                if answer.state != Some(NegState::AcceptCompleted) {
                    return Err(SecurityError::OutOfSequence.into());
                }
                self.finish(session, answer.mic.as_deref())
            }
            _ => Err(SecurityError::OutOfSequence.into()),
        }
    }

    fn session_key(&self) -> Option<Zeroizing<Vec<u8>>> {
        self.key.clone()
    }
}

fn key_of(session: &Session) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(session.key.bytes().to_vec())
}
