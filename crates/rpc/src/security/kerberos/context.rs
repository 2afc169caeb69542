//! The handshake itself: `AP-REQ`, `AP-REP`, and in DCE style one more `AP-REP`.

use std::time::SystemTime;

use super::ServiceTicket;
use super::crypto::Key;
use super::error::KerberosError;
use super::messages::{Accepted, Authenticator, TokenId, application, frame, unframe};
use super::seal::{Session, Side};
use crate::error::{Error, SecurityError};

/// GSS-API's flags: RFC 4121 4.1.1.1 and MS-KILE 3.2.5.1.
const MUTUAL: u32 = 2;
const REPLAY: u32 = 4;
const SEQUENCE: u32 = 8;
const CONFIDENTIALITY: u32 = 0x10;
const INTEGRITY: u32 = 0x20;
const DCE_STYLE: u32 = 0x1000;

/// How the tokens look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Two legs, in GSS-API's framing: SMB.
    Plain,
    /// Three legs, bare: RPC (MS-KILE 3.4.5.1).
    Dce,
}

/// The client's side of a handshake.
pub(super) struct Context {
    ticket: ServiceTicket,
    style: Style,
    asked: Option<(Authenticator, Key)>,
}

impl Context {
    pub(super) fn new(ticket: ServiceTicket, style: Style) -> Self {
        Self { ticket, style, asked: None }
    }

    /// The first token.
    pub(super) fn ask(&mut self) -> Result<Vec<u8>, Error> {
        if self.asked.is_some() {
            return Err(SecurityError::OutOfSequence.into());
        }
        let ServiceTicket { client, ticket, key_type, session_key } = &self.ticket;
        let session_key = Key::new(*key_type, session_key)?;
        let flags = MUTUAL | REPLAY | SEQUENCE | CONFIDENTIALITY | INTEGRITY;
        let dce = if self.style == Style::Dce { DCE_STYLE } else { 0 };
        let authenticator = Authenticator::new(*key_type, flags | dce, SystemTime::now())?;
        let message = authenticator.ap_req(client, ticket, &session_key)?;
        self.asked = Some((authenticator, session_key));
        Ok(match self.style {
            Style::Plain => frame(TokenId::ApReq, &message),
            Style::Dce => message,
        })
    }

    /// Takes the server's answer. What is to be sent then is DCE style's third leg.
    pub(super) fn answer(&mut self, token: &[u8]) -> Result<(Session, Option<Vec<u8>>), Error> {
        let (authenticator, session_key) = self.asked.take().ok_or(SecurityError::OutOfSequence)?;
        let message = match self.style {
            Style::Plain => unframe(token)?,
            // A refusal comes in the framing also here: Heimdal's acceptors send it so.
            Style::Dce if token.first() == Some(&application(0)) => unframe(token)?,
            Style::Dce => token,
        };
        let Accepted { subkey, number } = authenticator.check_ap_rep(message, &session_key)?;
        let third = match self.style {
            Style::Plain => None,
            Style::Dce => Some(authenticator.ap_rep(number, &session_key)?),
        };
        let (send, receive) = (authenticator.number.into(), number.into());
        let acceptors = subkey.is_some();
        let key = subkey.unwrap_or(authenticator.subkey);
        let side = Side::Initiator;
        Ok((Session { key, acceptors, side, send, receive, signed: false }, third))
    }

    /// What a server says that refuses: a `KRB-ERROR`, if that is what it is.
    pub(super) fn refusal(&mut self, token: &[u8]) -> Option<KerberosError> {
        match self.answer(token) {
            Err(Error::Kerberos(error)) => Some(error),
            _ => None,
        }
    }
}
