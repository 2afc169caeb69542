//! SPNEGO (RFC 4178, MS-SPNG): the tokens, and the server's side with NTLM under
//! it. The client's sides are beside their mechanisms, NTLM and Kerberos.

use super::der::{
    APPLICATION_0, Der, ENUMERATED, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, context, element,
    put,
};
use super::ntlm::NtlmAcceptor;
use super::{AcceptError, AcceptStep, Acceptor};
use crate::error::SecurityError;
use crate::limits::MAX_SPNEGO_MECHANISMS;
use crate::security::ntlm::Leg;

/// 1.3.6.1.5.5.2.
const SPNEGO: &[u8] = &[0x2b, 6, 1, 5, 5, 2];
/// 1.3.6.1.4.1.311.2.2.10.
const NTLM: &[u8] = &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 2, 2, 10];

/// The client's first token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegTokenInit {
    /// Mechanisms (encoded object identifiers), the preferred one first.
    pub mechanisms: Vec<Vec<u8>>,
    /// `MechTypeList` as it was encoded: what a `mechListMIC` covers.
    pub mechanism_list: Vec<u8>,
    /// A token of the preferred mechanism.
    pub token: Option<Vec<u8>>,
}

impl NegTokenInit {
    /// An offer, with a token of the first mechanism.
    pub fn new(mechanisms: Vec<Vec<u8>>, token: Option<Vec<u8>>) -> Self {
        let list: Vec<u8> =
            mechanisms.iter().flat_map(|name| element(OBJECT_IDENTIFIER, name)).collect();
        Self { mechanism_list: element(SEQUENCE, &list), mechanisms, token }
    }

    /// Encodes the token with its GSS-API framing.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = element(context(0), &self.mechanism_list);
        if let Some(token) = &self.token {
            put(&mut fields, context(2), &element(OCTET_STRING, token));
        }
        let choice = element(context(0), &element(SEQUENCE, &fields));
        let framed = [element(OBJECT_IDENTIFIER, SPNEGO), choice].concat();
        element(APPLICATION_0, &framed)
    }

    /// Decodes the token with its GSS-API framing.
    ///
    /// # Errors
    /// [`SecurityError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, SecurityError> {
        const WHAT: &str = "SPNEGO init token";
        let mut framed = Der::new(Der::only(bytes, APPLICATION_0, WHAT)?, WHAT);
        if framed.expect(OBJECT_IDENTIFIER)? != SPNEGO {
            return Err(framed.malformed());
        }
        let choice = framed.expect(context(0))?;
        let mut fields = Der::new(Der::only(choice, SEQUENCE, WHAT)?, WHAT);
        let mechanism_list = fields.expect(context(0))?.to_vec();
        let mut list = Der::new(Der::only(&mechanism_list, SEQUENCE, WHAT)?, WHAT);
        let mut mechanisms = Vec::new();
        while !list.is_empty() {
            mechanisms.push(list.expect(OBJECT_IDENTIFIER)?.to_vec());
            if mechanisms.len() > MAX_SPNEGO_MECHANISMS {
                return Err(list.malformed());
            }
        }
        let mut token = None;
        while !fields.is_empty() {
            // Request flags and the hints of Windows' own form don't matter.
            if let (tag, content) = fields.any()?
                && tag == context(2)
            {
                token = Some(Der::only(content, OCTET_STRING, WHAT)?.to_vec());
            }
        }
        Ok(Self { mechanisms, mechanism_list, token })
    }
}

/// How a negotiation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NegState {
    /// Over and good.
    AcceptCompleted,
    /// More tokens are to come.
    AcceptIncomplete,
    /// Over and bad.
    Reject,
    /// More tokens are to come, and a MIC.
    RequestMic,
}

/// Every token after the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NegTokenResp {
    /// How the negotiation stands.
    pub state: Option<NegState>,
    /// The mechanism that was chosen, an encoded object identifier.
    pub mechanism: Option<Vec<u8>>,
    /// A token of it.
    pub token: Option<Vec<u8>>,
    /// The mechanism's signature over the list of mechanisms.
    pub mic: Option<Vec<u8>>,
}

impl NegTokenResp {
    /// Decodes the token.
    ///
    /// # Errors
    /// [`SecurityError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, SecurityError> {
        const WHAT: &str = "SPNEGO response token";
        let choice = Der::only(bytes, context(1), WHAT)?;
        let mut fields = Der::new(Der::only(choice, SEQUENCE, WHAT)?, WHAT);
        let mut token = Self::default();
        while !fields.is_empty() {
            let (tag, content) = fields.any()?;
            match tag & 0x1f {
                _ if tag & 0xe0 != 0xa0 => return Err(fields.malformed()),
                0 => {
                    token.state = Some(match Der::only(content, ENUMERATED, WHAT)? {
                        [0] => NegState::AcceptCompleted,
                        [1] => NegState::AcceptIncomplete,
                        [2] => NegState::Reject,
                        [3] => NegState::RequestMic,
                        _ => return Err(fields.malformed()),
                    });
                }
                1 => {
                    let mechanism = Der::only(content, OBJECT_IDENTIFIER, WHAT)?;
                    token.mechanism = Some(mechanism.to_vec());
                }
                2 => token.token = Some(Der::only(content, OCTET_STRING, WHAT)?.to_vec()),
                3 => token.mic = Some(Der::only(content, OCTET_STRING, WHAT)?.to_vec()),
                _ => return Err(fields.malformed()),
            }
        }
        Ok(token)
    }

    /// Encodes the token.
    pub fn encode(&self) -> Vec<u8> {
        let mut fields = Vec::new();
        let mut field = |n: u8, tag: u8, content: &[u8]| {
            put(&mut fields, context(n), &element(tag, content));
        };
        if let Some(state) = self.state {
            field(0, ENUMERATED, &[state as u8]);
        }
        if let Some(mechanism) = &self.mechanism {
            field(1, OBJECT_IDENTIFIER, mechanism);
        }
        if let Some(token) = &self.token {
            field(2, OCTET_STRING, token);
        }
        if let Some(mic) = &self.mic {
            field(3, OCTET_STRING, mic);
        }
        element(context(1), &element(SEQUENCE, &fields))
    }
}

/// Accepts one SPNEGO handshake that ends in NTLM.
pub struct NegotiateAcceptor {
    ntlm: NtlmAcceptor,
    state: State,
}

enum State {
    Start,
    Negotiating { mechanism_list: Vec<u8>, mic_required: bool },
    Over,
}

impl NegotiateAcceptor {
    /// A fresh handshake.
    pub fn new(ntlm: NtlmAcceptor) -> Self {
        Self { ntlm, state: State::Start }
    }

    fn start(&mut self, token: &[u8]) -> Result<AcceptStep, AcceptError> {
        let init = NegTokenInit::decode(token)?;
        let at = init.mechanisms.iter().position(|mechanism| mechanism == NTLM);
        let preferred = match at {
            Some(at) => at == 0,
            None => return Err(SecurityError::NoMechanism.into()),
        };
        let mut answer = NegTokenResp {
            state: Some(NegState::AcceptIncomplete),
            mechanism: Some(NTLM.to_vec()),
            ..NegTokenResp::default()
        };
        match init.token.filter(|_| preferred) {
            Some(token) => match self.ntlm.leg(&token)? {
                Leg::Challenge(challenge) => answer.token = Some(challenge),
                Leg::Accepted(_) => return Err(SecurityError::OutOfSequence.into()),
            },
            // The token is another mechanism's; the client sends NTLM's first
            // one in answer to this.
            None => answer.state = Some(NegState::RequestMic),
        }
        self.state =
            State::Negotiating { mechanism_list: init.mechanism_list, mic_required: !preferred };
        Ok(AcceptStep::Continue(answer.encode()))
    }

    fn go_on(
        &mut self,
        token: &[u8],
        mechanism_list: Vec<u8>,
        mic_required: bool,
    ) -> Result<AcceptStep, AcceptError> {
        let resp = NegTokenResp::decode(token)?;
        if resp.state == Some(NegState::Reject) {
            return Err(SecurityError::NoMechanism.into());
        }
        let inner = resp.token.ok_or(SecurityError::Malformed { what: "SPNEGO response token" })?;
        let accepted = match self.ntlm.leg(&inner)? {
            Leg::Challenge(challenge) => {
                self.state = State::Negotiating { mechanism_list, mic_required };
                let answer = NegTokenResp {
                    state: Some(NegState::AcceptIncomplete),
                    token: Some(challenge),
                    ..NegTokenResp::default()
                };
                return Ok(AcceptStep::Continue(answer.encode()));
            }
            Leg::Accepted(accepted) => accepted,
        };
        let mut answer =
            NegTokenResp { state: Some(NegState::AcceptCompleted), ..NegTokenResp::default() };
        let first_number = match resp.mic {
            Some(mic) => {
                accepted
                    .keys
                    .verify_first(&mechanism_list, &mic)
                    .map_err(|_| SecurityError::HandshakeAltered)?;
                answer.mic = Some(accepted.keys.sign_first(&mechanism_list).to_vec());
                1
            }
            None if mic_required || accepted.had_mic => {
                return Err(SecurityError::HandshakeAltered.into());
            }
            None => 0,
        };
        Ok(AcceptStep::Done {
            token: Some(answer.encode()),
            session: Box::new(accepted.keys.sealer(first_number)),
            identity: accepted.identity,
        })
    }
}

impl Acceptor for NegotiateAcceptor {
    fn step(&mut self, token: &[u8]) -> Result<AcceptStep, AcceptError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Start => self.start(token),
            State::Negotiating { mechanism_list, mic_required } => {
                self.go_on(token, mechanism_list, mic_required)
            }
            State::Over => Err(SecurityError::OutOfSequence.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_init_token_that_offers_ntlm_alone_is_read() {
        // By hand from RFC 4178 4.2.1.
        let bytes = [
            &[0x60, 0x20, 0x06, 0x06, 0x2b, 6, 1, 5, 5, 2][..],
            &[0xa0, 0x16, 0x30, 0x14, 0xa0, 0x0e, 0x30, 0x0c, 0x06, 0x0a],
            NTLM,
            &[0xa2, 0x02, 0x04, 0x00],
        ]
        .concat();
        let init = NegTokenInit::decode(&bytes).unwrap();
        assert_eq!(init.mechanisms, [NTLM]);
        assert_eq!(init.token, Some(vec![]));
        assert_eq!(init.mechanism_list, bytes[18 - 4 + 2..18 - 4 + 2 + 14]);
        assert_eq!(NegTokenInit::new(vec![NTLM.to_vec()], Some(vec![])).encode(), bytes);
    }

    proptest! {
        #[test]
        fn response_tokens_survive_a_round_trip(
            state in 0u8..5,
            mechanism in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
            token in prop::option::of(prop::collection::vec(any::<u8>(), 0..70_000)),
            mic in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
        ) {
            let state = match state {
                0 => Some(NegState::AcceptCompleted),
                1 => Some(NegState::AcceptIncomplete),
                2 => Some(NegState::Reject),
                3 => Some(NegState::RequestMic),
                _ => None,
            };
            let resp = NegTokenResp { state, mechanism, token, mic };
            prop_assert_eq!(NegTokenResp::decode(&resp.encode()), Ok(resp));
        }

        #[test]
        fn any_bytes_are_a_token_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = NegTokenInit::decode(&bytes);
            let _ = NegTokenResp::decode(&bytes);
        }
    }
}
