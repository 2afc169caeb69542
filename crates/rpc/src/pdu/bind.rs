//! Bind, bind_ack, bind_nak, alter_context and its answer (C706 12.6.4;
//! MS-RPCE 2.2.2.4, 2.2.2.5).

use std::fmt;

use super::{PduReader, PduType, PduWriter};
use crate::error::ProtocolError;
use crate::limits::{MAX_CONTEXTS, MAX_NAK_VERSIONS, MAX_TRANSFER_SYNTAXES, MIN_FRAGMENT};
use crate::syntax::SyntaxId;

/// An offer of one interface with the transfer syntaxes that the client speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextElement {
    /// The client's number for it.
    pub context_id: u16,
    /// The interface.
    pub interface: SyntaxId,
    /// Transfer syntaxes, at least one.
    pub transfer_syntaxes: Vec<SyntaxId>,
}

/// The body of a bind; that of an alter_context has the same form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Largest fragment that the client will send, in bytes.
    pub max_transmit: u16,
    /// Largest fragment that the client takes, in bytes.
    pub max_receive: u16,
    /// The association group to join, 0 for a new one.
    pub association_group: u32,
    /// The interfaces offered.
    pub contexts: Vec<ContextElement>,
}

/// The body of an alter_context.
pub type AlterContext = Bind;

impl Bind {
    /// Encodes the body.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = PduWriter::default();
        w.u16(self.max_transmit);
        w.u16(self.max_receive);
        w.u32(self.association_group);
        w.u8(self.contexts.len() as u8);
        w.u8(0);
        w.u16(0);
        for context in &self.contexts {
            w.u16(context.context_id);
            w.u8(context.transfer_syntaxes.len() as u8);
            w.u8(0);
            w.syntax(&context.interface);
            context.transfer_syntaxes.iter().for_each(|syntax| w.syntax(syntax));
        }
        w.body
    }

    /// Decodes the body of a bind or alter_context.
    ///
    /// # Errors
    /// [`ProtocolError`] for a truncated body, too many contexts or syntaxes.
    pub fn decode(pdu: PduType, body: &[u8]) -> Result<Self, ProtocolError> {
        let mut r = PduReader::new(pdu, body);
        let max_transmit = r.u16("max_xmit_frag")?;
        let max_receive = r.u16("max_recv_frag")?;
        let association_group = r.u32("assoc_group_id")?;
        let count = usize::from(r.u8("n_context_elem")?);
        r.take(3, "reserved")?;
        if count == 0 {
            return Err(r.bad("n_context_elem", 0));
        }
        r.limit("presentation contexts", count, MAX_CONTEXTS)?;
        let mut contexts = Vec::with_capacity(count);
        for _ in 0..count {
            let context_id = r.u16("p_cont_id")?;
            let syntaxes = usize::from(r.u8("n_transfer_syn")?);
            r.u8("reserved")?;
            if syntaxes == 0 {
                return Err(r.bad("n_transfer_syn", 0));
            }
            r.limit("transfer syntaxes", syntaxes, MAX_TRANSFER_SYNTAXES)?;
            let interface = r.syntax("abstract_syntax")?;
            let transfer_syntaxes = (0..syntaxes)
                .map(|_| r.syntax("transfer_syntax"))
                .collect::<Result<Vec<_>, _>>()?;
            contexts.push(ContextElement { context_id, interface, transfer_syntaxes });
        }
        Ok(Self { max_transmit, max_receive, association_group, contexts })
    }
}

/// What became of one offered context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextResult {
    /// Accepted, with the transfer syntax to use.
    Accepted(SyntaxId),
    /// The answer to an offer of bind time features: those that the server has.
    FeaturesAcknowledged(u16),
    /// Refused by the server's user or runtime.
    Rejected(ContextReason),
}

/// Why an interface was refused (C706 12.6.3.1, `p_provider_reason_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContextReason {
    /// No reason given.
    NotSpecified,
    /// The interface is not served here.
    AbstractSyntax,
    /// None of the transfer syntaxes is spoken here.
    TransferSyntaxes,
    /// A limit of the server's.
    LocalLimit,
    /// Something else.
    Other(u16),
}

impl ContextReason {
    fn from_number(number: u16) -> Self {
        match number {
            0 => Self::NotSpecified,
            1 => Self::AbstractSyntax,
            2 => Self::TransferSyntaxes,
            3 => Self::LocalLimit,
            other => Self::Other(other),
        }
    }

    fn number(self) -> u16 {
        match self {
            Self::NotSpecified => 0,
            Self::AbstractSyntax => 1,
            Self::TransferSyntaxes => 2,
            Self::LocalLimit => 3,
            Self::Other(other) => other,
        }
    }
}

impl fmt::Display for ContextReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSpecified => f.write_str("no reason given"),
            Self::AbstractSyntax => f.write_str("interface not supported"),
            Self::TransferSyntaxes => f.write_str("transfer syntax not supported"),
            Self::LocalLimit => f.write_str("local limit exceeded"),
            Self::Other(other) => write!(f, "reason {other}"),
        }
    }
}

/// The body of a bind_ack or alter_context_resp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindAck {
    /// Largest fragment that the server will send, in bytes.
    pub max_transmit: u16,
    /// Largest fragment that the server takes, in bytes.
    pub max_receive: u16,
    /// The association group, for further connections to join.
    pub association_group: u32,
    /// The server's secondary address: its port as text; empty in an
    /// alter_context_resp.
    pub secondary_address: Vec<u8>,
    /// One result for each context offered, in order.
    pub results: Vec<ContextResult>,
}

impl BindAck {
    /// Encodes the body. A secondary address is written with its terminating NUL.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = PduWriter::default();
        w.u16(self.max_transmit);
        w.u16(self.max_receive);
        w.u32(self.association_group);
        if self.secondary_address.is_empty() {
            w.u16(0);
        } else {
            w.u16(self.secondary_address.len() as u16 + 1);
            w.bytes(&self.secondary_address);
            w.u8(0);
        }
        // 8 + 2 + n bytes stand before; the header keeps the alignment.
        w.align4();
        w.u8(self.results.len() as u8);
        w.u8(0);
        w.u16(0);
        let none = SyntaxId::new(uuid::Uuid::nil(), 0, 0);
        for result in &self.results {
            let (result, reason, syntax) = match result {
                ContextResult::Accepted(syntax) => (0, 0, *syntax),
                ContextResult::FeaturesAcknowledged(bits) => (3, *bits, none),
                ContextResult::Rejected(reason) => (2, reason.number(), none),
            };
            w.u16(result);
            w.u16(reason);
            w.syntax(&syntax);
        }
        w.body
    }

    /// Decodes the body of a bind_ack or alter_context_resp.
    ///
    /// # Errors
    /// [`ProtocolError`] for a truncated body, unknown results, or fragment
    /// sizes below what every implementation must take.
    pub fn decode(pdu: PduType, body: &[u8]) -> Result<Self, ProtocolError> {
        let mut r = PduReader::new(pdu, body);
        let max_transmit = r.u16("max_xmit_frag")?;
        let max_receive = r.u16("max_recv_frag")?;
        if pdu == PduType::BindAck && max_receive < MIN_FRAGMENT {
            return Err(r.bad("max_recv_frag", max_receive.into()));
        }
        let association_group = r.u32("assoc_group_id")?;
        let address_len = r.u16("sec_addr length")?;
        let address = r.take(address_len.into(), "sec_addr")?;
        let secondary_address = address.strip_suffix(b"\0").unwrap_or(address).to_vec();
        r.align4();
        let count = usize::from(r.u8("n_results")?);
        r.take(3, "reserved")?;
        r.limit("presentation results", count, MAX_CONTEXTS)?;
        let mut results = Vec::with_capacity(count);
        for _ in 0..count {
            let result = r.u16("result")?;
            let reason = r.u16("reason")?;
            let syntax = r.syntax("transfer_syntax")?;
            results.push(match result {
                0 => ContextResult::Accepted(syntax),
                1 | 2 => ContextResult::Rejected(ContextReason::from_number(reason)),
                3 => ContextResult::FeaturesAcknowledged(reason),
                other => return Err(r.bad("result", other.into())),
            });
        }
        Ok(Self { max_transmit, max_receive, association_group, secondary_address, results })
    }
}

/// Why a bind was refused as a whole (C706 12.6.3.1, `p_reject_reason_t`;
/// MS-RPCE 2.2.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NakReason {
    /// No reason given.
    NotSpecified,
    /// The server has too much to do.
    TemporaryCongestion,
    /// A limit of the server's.
    LocalLimitExceeded,
    /// The version of the protocol is not spoken.
    ProtocolVersion,
    /// The authentication type is not known.
    AuthenticationType,
    /// The token's checksum is wrong.
    InvalidChecksum,
    /// Something else.
    Other(u16),
}

impl NakReason {
    fn from_number(number: u16) -> Self {
        match number {
            0 => Self::NotSpecified,
            1 => Self::TemporaryCongestion,
            2 => Self::LocalLimitExceeded,
            4 => Self::ProtocolVersion,
            8 => Self::AuthenticationType,
            9 => Self::InvalidChecksum,
            other => Self::Other(other),
        }
    }

    fn number(self) -> u16 {
        match self {
            Self::NotSpecified => 0,
            Self::TemporaryCongestion => 1,
            Self::LocalLimitExceeded => 2,
            Self::ProtocolVersion => 4,
            Self::AuthenticationType => 8,
            Self::InvalidChecksum => 9,
            Self::Other(other) => other,
        }
    }
}

impl fmt::Display for NakReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSpecified => f.write_str("no reason given"),
            Self::TemporaryCongestion => f.write_str("temporary congestion"),
            Self::LocalLimitExceeded => f.write_str("local limit exceeded"),
            Self::ProtocolVersion => f.write_str("protocol version not supported"),
            Self::AuthenticationType => f.write_str("authentication type not recognized"),
            Self::InvalidChecksum => f.write_str("invalid checksum"),
            Self::Other(other) => write!(f, "reason {other}"),
        }
    }
}

/// The body of a bind_nak. Extended error information after the versions is
/// skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindNak {
    /// Why.
    pub reason: NakReason,
    /// Versions (major, minor) that the server speaks.
    pub versions: Vec<(u8, u8)>,
}

impl BindNak {
    /// Encodes the body.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = PduWriter::default();
        w.u16(self.reason.number());
        w.u8(self.versions.len() as u8);
        for (major, minor) in &self.versions {
            w.u8(*major);
            w.u8(*minor);
        }
        w.body
    }

    /// Decodes the body.
    ///
    /// # Errors
    /// [`ProtocolError`] for a truncated body or too many versions.
    pub fn decode(body: &[u8]) -> Result<Self, ProtocolError> {
        let mut r = PduReader::new(PduType::BindNak, body);
        let reason = NakReason::from_number(r.u16("provider_reject_reason")?);
        // Some send no list at all.
        if r.is_at_end() {
            return Ok(Self { reason, versions: Vec::new() });
        }
        let count = usize::from(r.u8("n_protocols")?);
        r.limit("versions in a bind_nak", count, MAX_NAK_VERSIONS)?;
        let versions = (0..count)
            .map(|_| Ok((r.u8("p_protocols")?, r.u8("p_protocols")?)))
            .collect::<Result<Vec<_>, ProtocolError>>()?;
        Ok(Self { reason, versions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::{ENDPOINT_MAPPER, NDR, feature_syntax};
    use proptest::prelude::*;

    #[test]
    fn a_bind_as_c706_lays_it_out() {
        // Written by hand from C706 12.6.4.3: the endpoint mapper over NDR.
        let mut expected = vec![0xd0, 0x16, 0xd0, 0x16, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0];
        expected.extend([0x08, 0x83, 0xaf, 0xe1, 0x1f, 0x5d, 0xc9, 0x11]);
        expected.extend([0x91, 0xa4, 0x08, 0x00, 0x2b, 0x14, 0xa0, 0xfa, 3, 0, 0, 0]);
        expected.extend([0x04, 0x5d, 0x88, 0x8a, 0xeb, 0x1c, 0xc9, 0x11]);
        expected.extend([0x9f, 0xe8, 0x08, 0x00, 0x2b, 0x10, 0x48, 0x60, 2, 0, 0, 0]);
        let bind = Bind {
            max_transmit: 5840,
            max_receive: 5840,
            association_group: 0,
            contexts: vec![ContextElement {
                context_id: 0,
                interface: ENDPOINT_MAPPER,
                transfer_syntaxes: vec![NDR],
            }],
        };
        assert_eq!(bind.encode(), expected);
        assert_eq!(Bind::decode(PduType::Bind, &expected), Ok(bind));
    }

    #[test]
    fn a_bind_ack_is_aligned_after_its_address() {
        for address in ["", "1", "135", "49664", "\\PIPE\\eventlog"] {
            let ack = BindAck {
                max_transmit: 5840,
                max_receive: 4280,
                association_group: 0x1234,
                secondary_address: address.as_bytes().to_vec(),
                results: vec![
                    ContextResult::Accepted(NDR),
                    ContextResult::FeaturesAcknowledged(3),
                    ContextResult::Rejected(ContextReason::TransferSyntaxes),
                ],
            };
            let body = ack.encode();
            assert_eq!(body.len() % 4, 0);
            assert_eq!(BindAck::decode(PduType::BindAck, &body), Ok(ack));
        }
    }

    #[test]
    fn a_server_that_takes_too_small_fragments_is_refused() {
        let ack = BindAck {
            max_transmit: 5840,
            max_receive: 100,
            association_group: 1,
            secondary_address: vec![],
            results: vec![],
        };
        let error = BindAck::decode(PduType::BindAck, &ack.encode()).unwrap_err();
        assert!(matches!(error, ProtocolError::BadField { field: "max_recv_frag", .. }));
    }

    #[test]
    fn counts_over_the_limits_are_refused_before_anything_is_allocated() {
        let mut body = vec![0u8; 2000];
        body[8] = 17;
        let error = Bind::decode(PduType::Bind, &body).unwrap_err();
        assert!(matches!(error, ProtocolError::LimitExceeded { value: 17, limit: 16, .. }));
        body[8] = 1;
        body[14] = 200;
        let error = Bind::decode(PduType::Bind, &body).unwrap_err();
        assert!(matches!(error, ProtocolError::LimitExceeded { value: 200, .. }));
    }

    fn syntax() -> impl Strategy<Value = SyntaxId> {
        (any::<u128>(), any::<u16>(), any::<u16>())
            .prop_map(|(id, major, minor)| SyntaxId::new(uuid::Uuid::from_u128(id), major, minor))
    }

    proptest! {
        #[test]
        fn binds_survive_a_round_trip(
            max_transmit: u16, max_receive: u16, association_group: u32,
            contexts in prop::collection::vec(
                (any::<u16>(), syntax(), prop::collection::vec(syntax(), 1..8)), 1..16),
        ) {
            let contexts = contexts.into_iter().map(|(context_id, interface, transfer_syntaxes)|
                ContextElement { context_id, interface, transfer_syntaxes }).collect();
            let bind = Bind { max_transmit, max_receive, association_group, contexts };
            prop_assert_eq!(Bind::decode(PduType::Bind, &bind.encode()), Ok(bind));
        }

        #[test]
        fn any_bytes_are_a_body_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Bind::decode(PduType::Bind, &bytes);
            let _ = BindAck::decode(PduType::BindAck, &bytes);
            let _ = BindNak::decode(&bytes);
        }

        #[test]
        fn naks_survive_a_round_trip(reason: u16, versions in prop::collection::vec(any::<(u8, u8)>(), 0..16)) {
            let nak = BindNak { reason: NakReason::from_number(reason), versions };
            prop_assert_eq!(BindNak::decode(&nak.encode()), Ok(nak));
        }
    }

    #[test]
    fn feature_offers_and_interfaces_share_the_form() {
        let element = ContextElement {
            context_id: 1,
            interface: ENDPOINT_MAPPER,
            transfer_syntaxes: vec![feature_syntax(3)],
        };
        let bind = Bind {
            max_transmit: 5840,
            max_receive: 5840,
            association_group: 0,
            contexts: vec![element],
        };
        let back = Bind::decode(PduType::Bind, &bind.encode()).unwrap();
        let features = crate::syntax::offered_features(&back.contexts[0].transfer_syntaxes[0]);
        assert_eq!(features, Some(3));
    }
}
