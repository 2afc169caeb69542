//! Who signs in to a server and by what, and what that comes to for one of them.

use quarry_cred::{Account, Credential};
use quarry_rpc::security::kerberos::{
    KerberosInitiator, NegotiateKerberosInitiator, ServiceTicket,
};
use quarry_rpc::security::{Initiator, NegotiateInitiator, NtlmInitiator};
use quarry_rpc::tickets::{Tickets, is_address};
use quarry_rpc::{Error as RpcError, UsageError};

use crate::error::Result;

/// How to sign in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Authentication {
    /// SPNEGO, authentication type 9.
    #[default]
    Negotiate,
    /// NTLM by itself, authentication type 10, where a server wants it.
    Ntlm,
    /// Kerberos by itself, authentication type 16.
    Kerberos,
}

/// Who signs in, and by what.
#[derive(Clone, Debug)]
pub enum LogOn {
    /// By NTLM.
    Ntlm(Credential),
    /// By Kerberos, and by nothing else.
    Kerberos(Tickets),
    /// By Kerberos; and by NTLM to a server for which that can't be, such as one that
    /// only has an address. A password that Kerberos refuses isn't tried again.
    KerberosOrNtlm(Tickets, Credential),
}

impl From<Credential> for LogOn {
    fn from(credential: Credential) -> Self {
        Self::Ntlm(credential)
    }
}

impl From<Tickets> for LogOn {
    fn from(tickets: Tickets) -> Self {
        Self::Kerberos(tickets)
    }
}

impl LogOn {
    /// Who signs in, as far as that was told.
    pub fn account(&self) -> Option<&Account> {
        match self {
            Self::Ntlm(credential) | Self::KerberosOrNtlm(_, credential) => {
                Some(credential.account())
            }
            Self::Kerberos(tickets) => tickets.account(),
        }
    }

    /// Gets the ticket for a service of a host, or finds that it is to be NTLM.
    pub(crate) async fn choose(&self, service: &str, host: &str) -> Result<Chosen<'_>> {
        let (tickets, credential) = match self {
            Self::Ntlm(credential) => return Ok(Chosen::Ntlm(credential)),
            Self::Kerberos(tickets) => (tickets, None),
            Self::KerberosOrNtlm(tickets, credential) => (tickets, Some(credential)),
        };
        match (tickets.service(service, host).await, credential) {
            (Ok(ticket), _) => Ok(Chosen::Kerberos(ticket)),
            (Err(error), Some(credential)) if error.rules_kerberos_out() => {
                Ok(Chosen::Ntlm(credential))
            }
            (Err(error), _) => Err(RpcError::from(error).into()),
        }
    }
}

/// What one server is shown.
pub(crate) enum Chosen<'l> {
    Ntlm(&'l Credential),
    Kerberos(ServiceTicket),
}

impl Chosen<'_> {
    /// Whether it is a password's proof, of which a server may think that it is wrong.
    pub(crate) fn is_guess(&self) -> bool {
        matches!(self, Self::Ntlm(_))
    }

    /// A fresh handshake for RPC.
    pub(crate) fn for_rpc(&self, how: Authentication) -> Result<Box<dyn Initiator>> {
        Ok(match (self, how) {
            (Self::Ntlm(credential), Authentication::Negotiate) => {
                Box::new(NegotiateInitiator::new(credential)?)
            }
            (Self::Ntlm(credential), Authentication::Ntlm) => {
                Box::new(NtlmInitiator::new(credential))
            }
            (Self::Kerberos(ticket), Authentication::Negotiate) => {
                Box::new(NegotiateKerberosInitiator::for_rpc(ticket.clone()))
            }
            (Self::Kerberos(ticket), Authentication::Kerberos) => {
                Box::new(KerberosInitiator::new(ticket.clone()))
            }
            (Self::Ntlm(_), Authentication::Kerberos)
            | (Self::Kerberos(_), Authentication::Ntlm) => {
                let what = "the credential is not for the authentication asked for";
                return Err(RpcError::from(UsageError::State(what)).into());
            }
        })
    }

    /// A fresh handshake for SMB, which negotiates always.
    pub(crate) fn for_smb(&self) -> Result<Box<dyn Initiator>> {
        Ok(match self {
            Self::Ntlm(credential) => Box::new(NegotiateInitiator::new(credential)?),
            Self::Kerberos(ticket) => Box::new(NegotiateKerberosInitiator::for_smb(ticket.clone())),
        })
    }
}

/// The host for which a ticket is: what is connected to, by its name, or else what the user calls
/// it. An inventory may have an address for a name.
pub(crate) fn service_host<'n>(host: &'n str, name: &'n str) -> &'n str {
    if is_address(host) && !is_address(name) { name } else { host }
}

#[cfg(test)]
mod tests {
    use super::service_host;

    #[test]
    fn a_ticket_is_for_the_name_that_is_connected_to_or_else_for_the_users() {
        for (host, name, of) in [
            ("dc01.corp", "dc01.corp", "dc01.corp"),
            ("dc01.corp", "first", "dc01.corp"),
            ("192.0.2.1", "dc01.corp", "dc01.corp"),
            ("fe80::1%eth0", "dc01.corp", "dc01.corp"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "[2001:db8::1]", "2001:db8::1"),
        ] {
            assert_eq!(service_host(host, name), of, "{host}, {name}");
        }
    }
}
