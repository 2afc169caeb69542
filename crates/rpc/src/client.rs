//! The client's half of a connection, sans I/O: whole PDUs go in, events and
//! bytes to send come out.

use std::collections::VecDeque;

use crate::error::{Error, LogonRefusal, ProtocolError, Result, SecurityError, UsageError};
use crate::fault::FaultStatus;
use crate::fragments::{Assembly, Carrier, Protection, write_stub};
use crate::limits::{
    DEFAULT_FRAGMENT, DEFAULT_MAX_STUB, MAX_CALLS_IN_FLIGHT, MAX_HANDSHAKE_LEGS, MAX_TOKEN,
    MIN_FRAGMENT,
};
use crate::pdu::{
    AuthLevel, Bind, BindAck, BindNak, CALL_HEADER_LEN, ContextElement, ContextReason,
    ContextResult, Fault, HEADER_LEN, Header, NakReason, PFC_CONC_MPX, PFC_FIRST_FRAG,
    PFC_LAST_FRAG, PFC_SUPPORT_HEADER_SIGN, PduType, Response, SecTrailer, encode_bare,
    encode_with_token, split_token,
};
use crate::security::{Initiator, Step, SystemVersion};
use crate::syntax::{
    FEATURE_KEEP_CONNECTION_ON_ORPHAN, FEATURE_SECURITY_CONTEXT_MULTIPLEXING, NDR, SyntaxId,
    feature_syntax,
};

/// The one presentation context that carries calls.
const CONTEXT_ID: u16 = 0;
/// The one security context of a connection.
const SECURITY_CONTEXT_ID: u32 = 0;
/// The call id of bind and all that belongs to it.
const BIND_CALL_ID: u32 = 1;
/// How many abandoned calls are remembered, whose answers may yet come.
const MAX_ABANDONED: usize = MAX_CALLS_IN_FLIGHT;

/// How a client binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// The interface to call.
    pub interface: SyntaxId,
    /// Largest fragment offered in both directions, in bytes.
    pub max_fragment: u16,
    /// Largest answer accepted, in bytes.
    pub max_stub: usize,
    /// The association group to join, 0 for a new one. Context handles are
    /// valid on all connections of a group.
    pub association_group: u32,
}

impl ClientConfig {
    /// The defaults of [`limits`](crate::limits) for an interface.
    pub fn new(interface: SyntaxId) -> Self {
        Self {
            interface,
            max_fragment: DEFAULT_FRAGMENT,
            max_stub: DEFAULT_MAX_STUB,
            association_group: 0,
        }
    }
}

/// Names an open call on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u32);

/// What a received PDU came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The connection is bound and can carry calls.
    Bound,
    /// A call is answered.
    Answered {
        /// Which.
        call: CallId,
        /// The response's stub, or the fault's status.
        answer: std::result::Result<Vec<u8>, FaultStatus>,
    },
    /// The server asks to hang up.
    Shutdown,
}

/// The client's half of one connection.
pub struct ClientHalf {
    config: ClientConfig,
    initiator: Option<Box<dyn Initiator>>,
    protection: Option<Protection>,
    state: State,
    legs: u32,
    max_transmit: u16,
    association_group: u32,
    header_signing: bool,
    multiplexing: bool,
    features: u16,
    proven: bool,
    accepted: u64,
    calls: Vec<(CallId, Assembly)>,
    abandoned: VecDeque<CallId>,
    last_call: u32,
    out: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Binding,
    Authenticating,
    Bound,
    Dead,
}

impl ClientHalf {
    /// Begins a connection; the bind is in [`output`](Self::output). Without an
    /// initiator nothing is protected: for the endpoint mapper only.
    ///
    /// # Errors
    /// [`Error::Security`] from the initiator's first leg, [`Error::Usage`] for
    /// a fragment size below [`MIN_FRAGMENT`].
    pub fn new(config: ClientConfig, initiator: Option<Box<dyn Initiator>>) -> Result<Self> {
        if config.max_fragment < MIN_FRAGMENT {
            return Err(UsageError::Range {
                what: "largest fragment",
                value: config.max_fragment.into(),
                min: MIN_FRAGMENT.into(),
                max: u16::MAX.into(),
            }
            .into());
        }
        let mut half = Self {
            max_transmit: config.max_fragment,
            association_group: config.association_group,
            config,
            initiator,
            protection: None,
            state: State::Binding,
            legs: 0,
            header_signing: false,
            multiplexing: false,
            features: 0,
            proven: false,
            accepted: 0,
            calls: Vec::new(),
            abandoned: VecDeque::new(),
            last_call: BIND_CALL_ID,
            out: Vec::new(),
        };
        half.send_bind()?;
        Ok(half)
    }

    /// Bytes to send; the caller takes what it has sent off the front.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Whether calls can be made.
    pub fn is_bound(&self) -> bool {
        self.state == State::Bound
    }

    /// Whether a further call can be made now: bound, below
    /// [`MAX_CALLS_IN_FLIGHT`], and below 1 where the server allows no more.
    pub fn can_call(&self) -> bool {
        self.state == State::Bound && self.calls.len() < self.max_calls()
    }

    /// How many calls the server allows at once.
    pub fn max_calls(&self) -> usize {
        if self.multiplexing { MAX_CALLS_IN_FLIGHT } else { 1 }
    }

    /// How many calls are open.
    pub fn calls_in_flight(&self) -> usize {
        self.calls.len()
    }

    /// The association group, for further connections to join.
    pub fn association_group(&self) -> u32 {
        self.association_group
    }

    /// Whether the server said that it supports header signing. With NTLM's
    /// extended session security headers are signed either way.
    pub fn header_signing(&self) -> bool {
        self.header_signing
    }

    /// Whether the server has accepted the credential beyond doubt: its
    /// handshake or an answer proved that it knows the session's key. Nothing
    /// that comes unsealed does, and without security nothing at all.
    pub fn is_proven(&self) -> bool {
        self.proven
    }

    /// Whether what was sent, or is to be sent, presents the credential: the
    /// server has sent its challenge.
    pub fn presents_credential(&self) -> bool {
        self.initiator.as_ref().is_some_and(|initiator| initiator.presents_credential())
    }

    /// The version of the server's system, where the handshake said it.
    pub fn server_version(&self) -> Option<SystemVersion> {
        self.initiator.as_ref().and_then(|initiator| initiator.server_version())
    }

    /// Bytes of answers to open calls that came whole and verified, over all
    /// calls.
    pub fn accepted_bytes(&self) -> u64 {
        self.accepted
    }

    /// Begins a call.
    ///
    /// # Errors
    /// [`UsageError`] when [`can_call`](Self::can_call) is false or the stub is
    /// too long.
    pub fn call(&mut self, opnum: u16, stub: &[u8]) -> Result<CallId, UsageError> {
        if !self.can_call() {
            return Err(UsageError::State("the connection cannot carry a further call now"));
        }
        self.last_call = self.last_call.wrapping_add(1).max(BIND_CALL_ID + 1);
        let id = CallId(self.last_call);
        let carrier = Carrier::Request { context_id: CONTEXT_ID, opnum };
        let max = self.max_transmit;
        write_stub(&mut self.out, carrier, id.0, stub, max, self.protection.as_mut())?;
        self.calls.push((id, Assembly::default()));
        Ok(id)
    }

    /// Asks the server to stop a call; the call stays open and is answered,
    /// with a fault if the server did stop.
    pub fn cancel(&mut self, call: CallId) {
        if self.calls.iter().any(|(id, _)| *id == call) {
            encode_bare(&mut self.out, PduType::Cancel, call.0);
        }
    }

    /// Gives a call up: its answer, should it come, is dropped. The server is
    /// told by co_cancel, and by orphaned where it keeps the connection then.
    pub fn abandon(&mut self, call: CallId) {
        let Some(at) = self.calls.iter().position(|(id, _)| *id == call) else { return };
        encode_bare(&mut self.out, PduType::Cancel, call.0);
        if self.features & FEATURE_KEEP_CONNECTION_ON_ORPHAN != 0 {
            encode_bare(&mut self.out, PduType::Orphaned, call.0);
        }
        self.calls.swap_remove(at);
        if self.abandoned.len() == MAX_ABANDONED {
            self.abandoned.pop_front();
        }
        self.abandoned.push_back(call);
    }

    /// Takes one whole PDU; a sealed one is decrypted in place.
    ///
    /// # Errors
    /// Any [`Error`]. The connection is of no further use then: a call's fault
    /// is an event and not an error.
    pub fn receive(&mut self, pdu: &mut [u8]) -> Result<Option<ClientEvent>> {
        let event = self.dispatch(pdu);
        if event.is_err() {
            self.state = State::Dead;
        }
        event
    }

    fn dispatch(&mut self, pdu: &mut [u8]) -> Result<Option<ClientEvent>> {
        let Some(first) = pdu.first_chunk::<HEADER_LEN>() else {
            return Err(UsageError::State("less than a PDU header was passed in").into());
        };
        let header = Header::decode(first, self.config.max_fragment)?;
        if pdu.len() != usize::from(header.frag_len) {
            return Err(UsageError::State("not exactly one PDU was passed in").into());
        }
        match (self.state, header.pdu_type) {
            (State::Dead, _) => Err(UsageError::State("the connection is dead").into()),
            (State::Binding, PduType::BindAck) => self.on_bind_ack(&header, pdu),
            (State::Binding, PduType::BindNak) => Err(self.on_bind_nak(&header, pdu)),
            (State::Authenticating, PduType::AlterContextResp) => self.on_alter_resp(&header, pdu),
            (State::Binding | State::Authenticating, PduType::Fault) => {
                let status = Fault::decode(&header, pdu)?.status;
                if self.initiator.is_some() && status.refuses_logon() {
                    return Err(Error::LogonRefused(LogonRefusal::Handshake(status)));
                }
                Err(Error::Fault(status))
            }
            (State::Bound, PduType::Response) => self.on_response(&header, pdu),
            (State::Bound, PduType::Fault) => self.on_fault(&header, pdu),
            (_, PduType::Shutdown) => Ok(Some(ClientEvent::Shutdown)),
            (_, got) => Err(ProtocolError::UnexpectedPdu { got }.into()),
        }
    }

    fn contexts(&self) -> Vec<ContextElement> {
        vec![ContextElement {
            context_id: CONTEXT_ID,
            interface: self.config.interface,
            transfer_syntaxes: vec![NDR],
        }]
    }

    fn send_bind(&mut self) -> Result<()> {
        let token = match &mut self.initiator {
            None => None,
            Some(initiator) => match initiator.step(None)? {
                Step::Continue(token) => Some((trailer(&**initiator), token)),
                Step::Done { .. } => return Err(SecurityError::OutOfSequence.into()),
            },
        };
        let mut contexts = self.contexts();
        contexts.push(ContextElement {
            context_id: CONTEXT_ID + 1,
            interface: self.config.interface,
            transfer_syntaxes: vec![feature_syntax(
                FEATURE_SECURITY_CONTEXT_MULTIPLEXING | FEATURE_KEEP_CONNECTION_ON_ORPHAN,
            )],
        });
        let bind = self.bind_body(contexts);
        let mut flags = PFC_FIRST_FRAG | PFC_LAST_FRAG | PFC_CONC_MPX;
        if token.is_some() {
            flags |= PFC_SUPPORT_HEADER_SIGN;
        }
        self.send(PduType::Bind, flags, &bind.encode(), token)
    }

    fn bind_body(&self, contexts: Vec<ContextElement>) -> Bind {
        Bind {
            max_transmit: self.config.max_fragment,
            max_receive: self.config.max_fragment,
            association_group: self.association_group,
            contexts,
        }
    }

    fn send(
        &mut self,
        pdu_type: PduType,
        flags: u8,
        body: &[u8],
        token: Option<(SecTrailer, Vec<u8>)>,
    ) -> Result<()> {
        let token = token.as_ref().map(|(trailer, token)| (*trailer, token.as_slice()));
        encode_with_token(&mut self.out, pdu_type, flags, BIND_CALL_ID, body, token)?;
        Ok(())
    }

    fn on_bind_ack(&mut self, header: &Header, pdu: &[u8]) -> Result<Option<ClientEvent>> {
        let (body, token) = split_token(header, pdu)?;
        let ack = BindAck::decode(PduType::BindAck, body)?;
        // The interface and the offer of features.
        self.check_results(PduType::BindAck, &ack, 2)?;
        if let [_, ContextResult::FeaturesAcknowledged(bits)] = ack.results[..] {
            self.features = bits;
        }
        self.max_transmit = self.config.max_fragment.min(ack.max_receive);
        self.association_group = ack.association_group;
        self.multiplexing = header.flags & PFC_CONC_MPX != 0;
        self.header_signing = header.flags & PFC_SUPPORT_HEADER_SIGN != 0;
        self.advance(PduType::BindAck, token)
    }

    fn on_alter_resp(&mut self, header: &Header, pdu: &[u8]) -> Result<Option<ClientEvent>> {
        let (body, token) = split_token(header, pdu)?;
        let ack = BindAck::decode(PduType::AlterContextResp, body)?;
        self.check_results(PduType::AlterContextResp, &ack, 1)?;
        self.advance(PduType::AlterContextResp, token)
    }

    fn check_results(&self, pdu: PduType, ack: &BindAck, offered: usize) -> Result<()> {
        if ack.results.len() != offered {
            let answered = ack.results.len();
            return Err(ProtocolError::ContextCount { pdu, answered, offered }.into());
        }
        match ack.results[0] {
            ContextResult::Accepted(NDR) => Ok(()),
            ContextResult::Rejected(reason) => Err(Error::InterfaceRefused(reason)),
            ContextResult::Accepted(_) | ContextResult::FeaturesAcknowledged(_) => {
                Err(Error::InterfaceRefused(ContextReason::TransferSyntaxes))
            }
        }
    }

    /// The handshake's next leg, after the server's answer.
    fn advance(
        &mut self,
        pdu: PduType,
        token: Option<(SecTrailer, &[u8])>,
    ) -> Result<Option<ClientEvent>> {
        let Some(initiator) = &mut self.initiator else {
            if token.is_some() {
                return Err(ProtocolError::WrongSecurityTrailer(pdu).into());
            }
            self.state = State::Bound;
            return Ok(Some(ClientEvent::Bound));
        };
        let ours = trailer(&**initiator);
        let (theirs, token) = match token {
            Some(token) => token,
            // The last leg of some has nothing in it, and then there is no trailer either.
            None if pdu == PduType::AlterContextResp => (ours, &[][..]),
            None => return Err(SecurityError::TooWeak("no security context at all").into()),
        };
        if initiator.needs_header_signing() && !self.header_signing {
            return Err(SecurityError::TooWeak("no signatures over headers").into());
        }
        if (SecTrailer { pad_len: 0, ..theirs }) != ours {
            return Err(ProtocolError::WrongSecurityTrailer(pdu).into());
        }
        if token.len() > MAX_TOKEN {
            let (value, limit) = (token.len() as u64, MAX_TOKEN as u64);
            return Err(
                ProtocolError::LimitExceeded { what: "bytes in a token", value, limit }.into()
            );
        }
        self.legs += 1;
        if self.legs > MAX_HANDSHAKE_LEGS {
            return Err(SecurityError::OutOfSequence.into());
        }
        match initiator.step(Some(token))? {
            Step::Continue(token) => {
                let body = self.bind_body(self.contexts()).encode();
                let flags = PFC_FIRST_FRAG | PFC_LAST_FRAG | PFC_SUPPORT_HEADER_SIGN;
                self.send(PduType::AlterContext, flags, &body, Some((ours, token)))?;
                self.state = State::Authenticating;
                Ok(None)
            }
            Step::Done { token, session, proven } => {
                if let Some(token) = token {
                    // Four bytes that mean nothing (MS-RPCE 2.2.2.10).
                    let flags = PFC_FIRST_FRAG | PFC_LAST_FRAG;
                    self.send(PduType::Auth3, flags, &[0; 4], Some((ours, token)))?;
                }
                self.protection = Some(Protection { trailer: ours, session });
                self.proven = proven;
                self.state = State::Bound;
                Ok(Some(ClientEvent::Bound))
            }
        }
    }

    fn on_bind_nak(&self, header: &Header, pdu: &[u8]) -> Error {
        match BindNak::decode(&pdu[HEADER_LEN..header.body_end()]) {
            Ok(BindNak { reason: NakReason::InvalidChecksum, .. }) => {
                Error::LogonRefused(LogonRefusal::Nak(NakReason::InvalidChecksum))
            }
            Ok(nak) => Error::BindRefused(nak.reason),
            Err(error) => error.into(),
        }
    }

    fn on_response(&mut self, header: &Header, pdu: &mut [u8]) -> Result<Option<ClientEvent>> {
        let stub = match &mut self.protection {
            Some(protection) => protection.open(header, pdu, CALL_HEADER_LEN)?,
            None if header.auth_len != 0 => {
                return Err(ProtocolError::WrongSecurityTrailer(PduType::Response).into());
            }
            None => CALL_HEADER_LEN.min(pdu.len())..pdu.len(),
        };
        // Only from here on is what the PDU says worth anything.
        self.proven |= self.protection.is_some();
        let response = Response::decode(header, pdu)?;
        let id = CallId(header.call_id);
        if self.abandoned.contains(&id) {
            if header.is_last() {
                self.abandoned.retain(|abandoned| *abandoned != id);
            }
            return Ok(None);
        }
        let Some(at) = self.calls.iter().position(|(open, _)| *open == id) else {
            let (pdu, call_id) = (PduType::Response, header.call_id);
            return Err(ProtocolError::UnknownCall { pdu, call_id }.into());
        };
        if response.context_id != CONTEXT_ID {
            let (field, value) = ("p_cont_id", response.context_id.into());
            return Err(ProtocolError::BadField { pdu: PduType::Response, field, value }.into());
        }
        self.accepted += stub.len() as u64;
        let assembly = &mut self.calls[at].1;
        if !assembly.push(header, response.alloc_hint, &pdu[stub], self.config.max_stub)? {
            return Ok(None);
        }
        let (call, assembly) = self.calls.swap_remove(at);
        Ok(Some(ClientEvent::Answered { call, answer: Ok(assembly.into_stub()) }))
    }

    fn on_fault(&mut self, header: &Header, pdu: &mut [u8]) -> Result<Option<ClientEvent>> {
        /// Up to and with the status; servers that seal faults begin after it.
        const FAULT_HEADER_LEN: usize = CALL_HEADER_LEN + 8;
        let opened = match &mut self.protection {
            Some(protection) if header.auth_len != 0 => {
                protection.open(header, pdu, FAULT_HEADER_LEN)?;
                true
            }
            _ => false,
        };
        let status = Fault::decode(header, pdu)?.status;
        let id = CallId(header.call_id);
        if !self.proven && self.protection.is_some() && status.refuses_logon() {
            return Err(Error::LogonRefused(LogonRefusal::FirstCall(status)));
        }
        // An unsealed fault proves nothing; it is believed as an error only.
        self.proven |= opened;
        if self.abandoned.contains(&id) {
            self.abandoned.retain(|abandoned| *abandoned != id);
            return Ok(None);
        }
        let Some(at) = self.calls.iter().position(|(open, _)| *open == id) else {
            let (pdu, call_id) = (PduType::Fault, header.call_id);
            return Err(ProtocolError::UnknownCall { pdu, call_id }.into());
        };
        let (call, _) = self.calls.swap_remove(at);
        Ok(Some(ClientEvent::Answered { call, answer: Err(status) }))
    }
}

fn trailer(initiator: &dyn Initiator) -> SecTrailer {
    SecTrailer {
        auth_type: initiator.auth_type(),
        auth_level: AuthLevel::PACKET_PRIVACY,
        pad_len: 0,
        context_id: SECURITY_CONTEXT_ID,
    }
}
