//! The server's half of a connection, sans I/O. It refuses what goes below
//! packet privacy on interfaces that demand it, and never looks into a request
//! before its signature is verified.

use std::sync::Arc;

use uuid::Uuid;

use crate::error::{Error, ProtocolError, Result, UsageError};
use crate::fault::FaultStatus;
use crate::fragments::{Assembly, Carrier, Protection, write_stub};
use crate::limits::{
    DEFAULT_FRAGMENT, DEFAULT_MAX_STUB, MAX_CALLS_IN_FLIGHT, MAX_CONTEXTS, MAX_HANDSHAKE_LEGS,
    MAX_TOKEN, MIN_FRAGMENT,
};
use crate::pdu::{
    AuthLevel, AuthType, Bind, BindAck, BindNak, ContextElement, ContextReason, ContextResult,
    Fault, HEADER_LEN, Header, NakReason, PFC_CONC_MPX, PFC_DID_NOT_EXECUTE, PFC_FIRST_FRAG,
    PFC_LAST_FRAG, PFC_SUPPORT_HEADER_SIGN, PduType, Request, SecTrailer, encode_bare,
    encode_with_token, split_token,
};
use crate::security::{AcceptStep, Acceptor, Identity};
use crate::syntax::{FEATURE_KEEP_CONNECTION_ON_ORPHAN, NDR, SyntaxId, offered_features};
use crate::verification;

/// An interface that a server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServedInterface {
    /// Its identifier.
    pub syntax: SyntaxId,
    /// Whether calls must come sealed from somebody who signed in. False is for
    /// the endpoint mapper only.
    pub privacy: bool,
}

/// Makes an acceptor for an authentication type, if the server has that.
pub type AcceptorFactory = Arc<dyn Fn(AuthType) -> Option<Box<dyn Acceptor>> + Send + Sync>;

/// Gives out association groups: a client's wish (0 for a new one) to the group
/// that it gets. An unknown group may be answered with a new one.
pub type GroupAssigner = Box<dyn FnOnce(u32) -> Result<u32, NakReason> + Send>;

/// How a server answers binds.
#[derive(Clone)]
pub struct ServerConfig {
    /// What it serves.
    pub interfaces: Vec<ServedInterface>,
    /// Largest fragment in both directions, in bytes.
    pub max_fragment: u16,
    /// Largest request, in bytes.
    pub max_stub: usize,
    /// The port that it listens on, as text, for the bind_ack.
    pub secondary_address: String,
    /// Its authentication types.
    pub acceptors: AcceptorFactory,
    /// The fault of whoever signs in with a wrong credential, or not at all
    /// where that must be.
    pub refusal: FaultStatus,
}

impl ServerConfig {
    /// The defaults of [`limits`](crate::limits).
    pub fn new(interfaces: Vec<ServedInterface>, port: u16, acceptors: AcceptorFactory) -> Self {
        Self {
            interfaces,
            max_fragment: DEFAULT_FRAGMENT,
            max_stub: DEFAULT_MAX_STUB,
            secondary_address: port.to_string(),
            acceptors,
            refusal: FaultStatus::ACCESS_DENIED,
        }
    }
}

/// What a received PDU came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// A call to answer, by [`ServerHalf::respond`] or [`ServerHalf::fault`].
    Call(IncomingCall),
    /// The client would like the call to stop; it is to be answered all the same.
    Cancelled(u32),
    /// The client has no interest in the call any more; it is not to be answered.
    Orphaned(u32),
}

/// A call as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingCall {
    /// The client's number for it.
    pub call_id: u32,
    /// Which of the interfaces in [`ServerConfig::interfaces`].
    pub interface: usize,
    /// The operation.
    pub opnum: u16,
    /// The object, when one was named.
    pub object: Option<Uuid>,
    /// The parameters.
    pub stub: Vec<u8>,
}

/// The server's half of one connection.
pub struct ServerHalf {
    config: ServerConfig,
    assign_group: Option<GroupAssigner>,
    bound: bool,
    group: u32,
    header_signing: bool,
    max_transmit: u16,
    contexts: Vec<(u16, usize)>,
    security: Security,
    legs: u32,
    identity: Option<Identity>,
    incoming: Vec<Incoming>,
    open: Vec<OpenCall>,
    out: Vec<u8>,
}

enum Security {
    None,
    Handshake {
        trailer: SecTrailer,
        acceptor: Box<dyn Acceptor>,
    },
    Established(Protection),
    /// What comes is answered with "access denied".
    Failed,
}

/// A request of which fragments are missing.
struct Incoming {
    call_id: u32,
    context_id: u16,
    opnum: u16,
    object: Option<Uuid>,
    assembly: Assembly,
}

/// A request that is being served.
struct OpenCall {
    call_id: u32,
    context_id: u16,
}

impl ServerHalf {
    /// A fresh connection.
    pub fn new(config: ServerConfig, assign_group: GroupAssigner) -> Self {
        Self {
            max_transmit: config.max_fragment,
            config,
            assign_group: Some(assign_group),
            bound: false,
            group: 0,
            header_signing: false,
            contexts: Vec::new(),
            security: Security::None,
            legs: 0,
            identity: None,
            incoming: Vec::new(),
            open: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Bytes to send; the caller takes what it has sent off the front. There may
    /// be some after an error, too: they say why the connection is closed.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Who signed in, once that is so.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The association group; 0 before the bind.
    pub fn association_group(&self) -> u32 {
        self.group
    }

    /// Whether both sides said that they support header signing.
    pub fn header_signing(&self) -> bool {
        self.header_signing
    }

    /// Answers a call. A call that is not open (orphaned meanwhile) is ignored.
    ///
    /// # Errors
    /// [`UsageError::Range`] for a stub that is too long; the call stays open.
    pub fn respond(&mut self, call_id: u32, stub: &[u8]) -> Result<(), UsageError> {
        let Some(at) = self.open.iter().position(|call| call.call_id == call_id) else {
            return Ok(());
        };
        let carrier = Carrier::Response { context_id: self.open[at].context_id };
        let protection = match &mut self.security {
            Security::Established(protection) => Some(protection),
            _ => None,
        };
        write_stub(&mut self.out, carrier, call_id, stub, self.max_transmit, protection)?;
        self.open.swap_remove(at);
        Ok(())
    }

    /// Answers a call with a fault, unsealed as Windows' and Samba's are.
    pub fn fault(&mut self, call_id: u32, status: FaultStatus) {
        let Some(at) = self.open.iter().position(|call| call.call_id == call_id) else { return };
        let call = self.open.swap_remove(at);
        self.send_fault(call_id, call.context_id, status, 0);
    }

    /// Asks the client to hang up.
    pub fn shutdown(&mut self) {
        encode_bare(&mut self.out, PduType::Shutdown, 0);
    }

    /// Takes one whole PDU; a sealed one is decrypted in place.
    ///
    /// # Errors
    /// Any [`Error`]: send what is in the output and close the connection.
    pub fn receive(&mut self, pdu: &mut [u8]) -> Result<Option<ServerEvent>> {
        let Some(first) = pdu.first_chunk::<HEADER_LEN>() else {
            return Err(UsageError::State("less than a PDU header was passed in").into());
        };
        let header = match Header::decode(first, self.config.max_fragment) {
            Ok(header) => header,
            Err(error) => {
                if matches!(error, ProtocolError::Version { .. }) && !self.bound {
                    self.send_nak(0, NakReason::ProtocolVersion)?;
                }
                return Err(error.into());
            }
        };
        if pdu.len() != usize::from(header.frag_len) {
            return Err(UsageError::State("not exactly one PDU was passed in").into());
        }
        match header.pdu_type {
            PduType::Bind if !self.bound => self.on_bind(&header, pdu).map(|()| None),
            PduType::AlterContext if self.bound => self.on_alter(&header, pdu).map(|()| None),
            PduType::Auth3 if self.bound => self.on_auth3(&header, pdu).map(|()| None),
            PduType::Request if self.bound => self.on_request(&header, pdu),
            PduType::Cancel if self.bound => {
                Ok(self.is_open(header.call_id).then_some(ServerEvent::Cancelled(header.call_id)))
            }
            PduType::Orphaned if self.bound => {
                self.incoming.retain(|call| call.call_id != header.call_id);
                let open = self.is_open(header.call_id);
                self.open.retain(|call| call.call_id != header.call_id);
                Ok(open.then_some(ServerEvent::Orphaned(header.call_id)))
            }
            got => Err(ProtocolError::UnexpectedPdu { got }.into()),
        }
    }

    fn is_open(&self, call_id: u32) -> bool {
        self.open.iter().any(|call| call.call_id == call_id)
    }

    fn on_bind(&mut self, header: &Header, pdu: &[u8]) -> Result<()> {
        let (body, token) = split_token(header, pdu)?;
        let bind = Bind::decode(PduType::Bind, body)?;
        if bind.max_receive < MIN_FRAGMENT {
            let value = bind.max_receive.into();
            self.send_nak(header.call_id, NakReason::LocalLimitExceeded)?;
            let (pdu, field) = (PduType::Bind, "max_recv_frag");
            return Err(ProtocolError::BadField { pdu, field, value }.into());
        }
        let assign = self.assign_group.take().ok_or(UsageError::State("bound twice"))?;
        self.group = match assign(bind.association_group) {
            Ok(group) => group,
            Err(reason) => {
                self.send_nak(header.call_id, reason)?;
                return Err(Error::BindRefused(reason));
            }
        };
        self.bound = true;
        self.max_transmit = self.config.max_fragment.min(bind.max_receive);
        self.header_signing = header.flags & PFC_SUPPORT_HEADER_SIGN != 0;
        let results = self.negotiate_contexts(&bind.contexts)?;
        let answer = match token {
            None => None,
            Some((trailer, token)) => {
                let trailer = SecTrailer { pad_len: 0, ..trailer };
                match (self.config.acceptors)(trailer.auth_type) {
                    Some(acceptor) => {
                        self.security = Security::Handshake { trailer, acceptor };
                        let answer = self.handshake(token)?;
                        if matches!(self.security, Security::Failed) {
                            self.send_nak(header.call_id, NakReason::NotSpecified)?;
                            return Err(Error::BindRefused(NakReason::NotSpecified));
                        }
                        answer
                    }
                    None => {
                        let reason = NakReason::AuthenticationType;
                        self.send_nak(header.call_id, reason)?;
                        return Err(Error::BindRefused(reason));
                    }
                }
            }
        };
        let ack = BindAck {
            max_transmit: self.max_transmit,
            max_receive: self.config.max_fragment.min(bind.max_transmit.max(MIN_FRAGMENT)),
            association_group: self.group,
            secondary_address: self.config.secondary_address.clone().into_bytes(),
            results,
        };
        let flags = PFC_FIRST_FRAG
            | PFC_LAST_FRAG
            | (header.flags & (PFC_SUPPORT_HEADER_SIGN | PFC_CONC_MPX));
        self.send_ack(PduType::BindAck, flags, header.call_id, &ack, answer)
    }

    fn on_alter(&mut self, header: &Header, pdu: &[u8]) -> Result<()> {
        let (body, token) = split_token(header, pdu)?;
        let alter = Bind::decode(PduType::AlterContext, body)?;
        let results = self.negotiate_contexts(&alter.contexts)?;
        let mut answer = None;
        if let Some((trailer, token)) = token {
            let trailer = SecTrailer { pad_len: 0, ..trailer };
            let expected = match &self.security {
                Security::Handshake { trailer, .. } => Some(*trailer),
                _ => None,
            };
            // One security context a connection.
            if expected != Some(trailer) {
                self.send_fault(header.call_id, 0, FaultStatus::ACCESS_DENIED, PFC_DID_NOT_EXECUTE);
                return Ok(());
            }
            answer = self.handshake(token)?;
            if matches!(self.security, Security::Failed) {
                self.send_fault(header.call_id, 0, self.config.refusal, PFC_DID_NOT_EXECUTE);
                return Ok(());
            }
        }
        let ack = BindAck {
            max_transmit: self.max_transmit,
            max_receive: self.config.max_fragment,
            association_group: self.group,
            secondary_address: Vec::new(),
            results,
        };
        let flags = PFC_FIRST_FRAG | PFC_LAST_FRAG | (header.flags & PFC_SUPPORT_HEADER_SIGN);
        self.send_ack(PduType::AlterContextResp, flags, header.call_id, &ack, answer)
    }

    /// Never answered: a failure shows on the next request (MS-RPCE 2.2.2.10).
    fn on_auth3(&mut self, header: &Header, pdu: &[u8]) -> Result<()> {
        let (_, token) = split_token(header, pdu)?;
        let expected = match &self.security {
            Security::Handshake { trailer, .. } => Some(*trailer),
            _ => None,
        };
        match token {
            Some((trailer, token)) if expected == Some(SecTrailer { pad_len: 0, ..trailer }) => {
                self.handshake(token)?;
                if matches!(self.security, Security::Handshake { .. }) {
                    self.security = Security::Failed;
                }
            }
            _ => self.security = Security::Failed,
        }
        Ok(())
    }

    /// One leg. A failure is kept and shows on the next request.
    fn handshake(&mut self, token: &[u8]) -> Result<Option<(SecTrailer, Vec<u8>)>> {
        if token.len() > MAX_TOKEN {
            let (value, limit) = (token.len() as u64, MAX_TOKEN as u64);
            return Err(
                ProtocolError::LimitExceeded { what: "bytes in a token", value, limit }.into()
            );
        }
        let Security::Handshake { trailer, mut acceptor } =
            std::mem::replace(&mut self.security, Security::Failed)
        else {
            return Ok(None);
        };
        self.legs += 1;
        if self.legs > MAX_HANDSHAKE_LEGS {
            return Ok(None);
        }
        match acceptor.step(token) {
            Ok(AcceptStep::Continue(token)) => {
                self.security = Security::Handshake { trailer, acceptor };
                Ok(Some((trailer, token)))
            }
            // Below packet privacy nobody gets in, however right the password.
            Ok(AcceptStep::Done { .. }) if trailer.auth_level != AuthLevel::PACKET_PRIVACY => {
                Ok(None)
            }
            Ok(AcceptStep::Done { token, session, identity }) => {
                self.identity = Some(identity);
                self.security = Security::Established(Protection { trailer, session });
                Ok(token.map(|token| (trailer, token)))
            }
            Err(_) => Ok(None),
        }
    }

    fn negotiate_contexts(&mut self, offered: &[ContextElement]) -> Result<Vec<ContextResult>> {
        let mut results = Vec::with_capacity(offered.len());
        for element in offered {
            if let Some(features) = offered_features(&element.transfer_syntaxes[0]) {
                let kept = features & FEATURE_KEEP_CONNECTION_ON_ORPHAN;
                results.push(ContextResult::FeaturesAcknowledged(kept));
                continue;
            }
            let interface = self
                .config
                .interfaces
                .iter()
                .position(|served| served.syntax.serves(&element.interface));
            results.push(match interface {
                None => ContextResult::Rejected(ContextReason::AbstractSyntax),
                Some(_) if !element.transfer_syntaxes.contains(&NDR) => {
                    ContextResult::Rejected(ContextReason::TransferSyntaxes)
                }
                Some(interface) => {
                    self.contexts.retain(|(id, _)| *id != element.context_id);
                    if self.contexts.len() == MAX_CONTEXTS {
                        ContextResult::Rejected(ContextReason::LocalLimit)
                    } else {
                        self.contexts.push((element.context_id, interface));
                        ContextResult::Accepted(NDR)
                    }
                }
            });
        }
        Ok(results)
    }

    fn on_request(&mut self, header: &Header, pdu: &mut [u8]) -> Result<Option<ServerEvent>> {
        let stub_start = Request::stub_offset(header);
        // What is read here is needed to answer at all, and is covered by the
        // signature that is verified before it is acted upon.
        let request = Request::decode(header, pdu)?;
        let refuse = |half: &mut Self, status| {
            half.send_fault(header.call_id, request.context_id, status, PFC_DID_NOT_EXECUTE);
            Ok(None)
        };
        let interface = self.contexts.iter().find(|(id, _)| *id == request.context_id);
        let Some(&(_, interface)) = interface else {
            return refuse(self, FaultStatus::UNKNOWN_INTERFACE);
        };
        let stub = match &mut self.security {
            Security::Established(protection) => match protection.open(header, pdu, stub_start) {
                Ok(stub) => stub,
                Err(error) => {
                    refuse(self, FaultStatus::ACCESS_DENIED)?;
                    return Err(error.into());
                }
            },
            _ if self.config.interfaces[interface].privacy => {
                let status = self.config.refusal;
                return refuse(self, status);
            }
            _ if header.auth_len != 0 => return refuse(self, FaultStatus::ACCESS_DENIED),
            _ => stub_start.min(pdu.len())..pdu.len(),
        };
        self.assemble(header, &request, interface, &pdu[stub])
    }

    fn assemble(
        &mut self,
        header: &Header,
        request: &Request,
        interface: usize,
        part: &[u8],
    ) -> Result<Option<ServerEvent>> {
        let at = self.incoming.iter().position(|call| call.call_id == header.call_id);
        let at = match at {
            Some(at) => at,
            None => {
                let busy = self.incoming.len() + self.open.len() >= MAX_CALLS_IN_FLIGHT;
                if busy || self.is_open(header.call_id) {
                    self.send_fault(
                        header.call_id,
                        request.context_id,
                        FaultStatus::SERVER_TOO_BUSY,
                        PFC_DID_NOT_EXECUTE,
                    );
                    let (value, limit) =
                        (MAX_CALLS_IN_FLIGHT as u64 + 1, MAX_CALLS_IN_FLIGHT as u64);
                    return Err(ProtocolError::LimitExceeded {
                        what: "calls in flight",
                        value,
                        limit,
                    }
                    .into());
                }
                self.incoming.push(Incoming {
                    call_id: header.call_id,
                    context_id: request.context_id,
                    opnum: request.opnum,
                    object: request.object,
                    assembly: Assembly::default(),
                });
                self.incoming.len() - 1
            }
        };
        let call = &mut self.incoming[at];
        if (call.context_id, call.opnum) != (request.context_id, request.opnum) {
            return Err(ProtocolError::FragmentOrder(PduType::Request).into());
        }
        let max_stub = self.config.max_stub;
        if !call.assembly.push(header, request.alloc_hint, part, max_stub)? {
            return Ok(None);
        }
        let call = self.incoming.swap_remove(at);
        let mut stub = call.assembly.into_stub();
        if matches!(self.security, Security::Established(_)) {
            let expected = verification::Expected {
                interface: self.config.interfaces[interface].syntax,
                call_id: call.call_id,
                context_id: call.context_id,
                opnum: call.opnum,
            };
            if let Err(what) = verification::check_and_strip(&mut stub, &expected) {
                let (context, status) = (call.context_id, FaultStatus::ACCESS_DENIED);
                self.send_fault(call.call_id, context, status, PFC_DID_NOT_EXECUTE);
                return Err(ProtocolError::VerificationTrailer(what).into());
            }
        }
        self.open.push(OpenCall { call_id: call.call_id, context_id: call.context_id });
        Ok(Some(ServerEvent::Call(IncomingCall {
            call_id: call.call_id,
            interface,
            opnum: call.opnum,
            object: call.object,
            stub,
        })))
    }

    fn send_ack(
        &mut self,
        pdu_type: PduType,
        flags: u8,
        call_id: u32,
        ack: &BindAck,
        token: Option<(SecTrailer, Vec<u8>)>,
    ) -> Result<()> {
        let token = token.as_ref().map(|(trailer, token)| (*trailer, token.as_slice()));
        encode_with_token(&mut self.out, pdu_type, flags, call_id, &ack.encode(), token)?;
        Ok(())
    }

    fn send_nak(&mut self, call_id: u32, reason: NakReason) -> Result<()> {
        let body = BindNak { reason, versions: vec![(5, 0), (5, 1)] }.encode();
        let flags = PFC_FIRST_FRAG | PFC_LAST_FRAG;
        encode_with_token(&mut self.out, PduType::BindNak, flags, call_id, &body, None)?;
        Ok(())
    }

    fn send_fault(&mut self, call_id: u32, context_id: u16, status: FaultStatus, flags: u8) {
        let body = Fault { context_id, status }.encode();
        let header = Header {
            pdu_type: PduType::Fault,
            flags: PFC_FIRST_FRAG | PFC_LAST_FRAG | flags,
            frag_len: (HEADER_LEN + body.len()) as u16,
            auth_len: 0,
            call_id,
        };
        self.out.extend_from_slice(&header.encode());
        self.out.extend_from_slice(&body);
    }
}
