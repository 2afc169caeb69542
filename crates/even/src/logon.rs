//! Who signs in to a server and by what, and what that comes to for one of them.

use std::fmt;
use std::str::FromStr;

use quarry_cred::{Account, Credential};
use quarry_rpc::security::kerberos::{
    KerberosError, KerberosInitiator, NegotiateKerberosInitiator, ServiceTicket,
};
use quarry_rpc::security::{Initiator, NegotiateInitiator, NtlmInitiator};
use quarry_rpc::tickets::{Tickets, is_address};
use quarry_rpc::{Error as RpcError, UsageError};

use crate::error::{Error, Result};

/// How to sign in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Authentication {
    /// SPNEGO, authentication type 9.
    #[default]
    Negotiate,
    /// NTLM by itself, authentication type 10, where a server wants it.
    Ntlm,
    /// Kerberos by itself, authentication type 16.
    Kerberos,
}

/// A text that is no [`Authentication`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is not a way to authenticate; there are negotiate, ntlm and kerberos")]
pub struct UnknownAuthentication(pub String);

impl FromStr for Authentication {
    type Err = UnknownAuthentication;

    fn from_str(text: &str) -> std::result::Result<Self, UnknownAuthentication> {
        match text {
            "negotiate" => Ok(Self::Negotiate),
            "ntlm" => Ok(Self::Ntlm),
            "kerberos" => Ok(Self::Kerberos),
            _ => Err(UnknownAuthentication(text.to_owned())),
        }
    }
}

impl fmt::Display for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Negotiate => "negotiate",
            Self::Ntlm => "ntlm",
            Self::Kerberos => "kerberos",
        })
    }
}

/// Who signs in, and by what.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LogOn {
    /// By NTLM.
    Ntlm(Credential),
    /// By Kerberos, and by nothing else.
    Kerberos(Tickets),
    /// By Kerberos; and by NTLM to a server for which that can't be, such as one that
    /// only has an address. The tickets are those of the same credential, and have the
    /// same gate: what Kerberos refuses is not tried by NTLM.
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
    pub(crate) async fn choose(&self, service: &'static str, host: &str) -> Result<Chosen<'_>> {
        let (tickets, credential) = match self {
            Self::Ntlm(credential) => return Ok(Chosen::Ntlm(credential)),
            Self::Kerberos(tickets) => (tickets, None),
            Self::KerberosOrNtlm(tickets, credential) => (tickets, Some(credential)),
        };
        let error = match tickets.service(service, host).await {
            Ok(ticket) => {
                let host = host.to_owned();
                return Ok(Chosen::Kerberos(Shown {
                    ticket,
                    tickets: tickets.clone(),
                    service,
                    host,
                }));
            }
            Err(error) => error,
        };
        let Some(credential) = credential.filter(|_| error.rules_kerberos_out()) else {
            return Err(of_tickets(error));
        };
        // That tickets aren't for addresses says nothing of the password, which NTLM must not try
        // if it is wrong.
        match tickets.sign_in().await {
            Ok(()) => Ok(Chosen::Ntlm(credential)),
            Err(error) if error.rules_kerberos_out() => Ok(Chosen::Ntlm(credential)),
            Err(error) => Err(of_tickets(error)),
        }
    }

    /// Gets the ticket for a service of a host ahead of time. What goes wrong is told when it is
    /// used.
    pub(crate) async fn prepare(&self, service: &'static str, host: &str) {
        if let Self::Kerberos(tickets) | Self::KerberosOrNtlm(tickets, _) = self {
            let _ = tickets.service(service, host).await;
        }
    }
}

fn of_tickets(error: KerberosError) -> Error {
    match error {
        KerberosError::CredentialRefused(refusal) => Error::CredentialRefused(refusal),
        error => RpcError::from(error).into(),
    }
}

/// What one server is shown.
pub(crate) enum Chosen<'l> {
    Ntlm(&'l Credential),
    Kerberos(Shown),
}

/// A ticket that a server is shown, and where it is from.
pub(crate) struct Shown {
    ticket: ServiceTicket,
    tickets: Tickets,
    service: &'static str,
    host: String,
}

impl Chosen<'_> {
    /// Whether it is a password's proof, of which a server may think that it is wrong.
    pub(crate) fn is_guess(&self) -> bool {
        matches!(self, Self::Ntlm(_))
    }

    /// What a refused logon means: with a ticket it says nothing of the password, which the server
    /// has never seen.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match (self, error) {
            (Self::Kerberos(_), Error::Rpc(RpcError::LogonRefused(reason))) => {
                RpcError::from(KerberosError::TicketRefused(reason.to_string())).into()
            }
            (_, error) => error,
        }
    }

    /// Whether another ticket may do better after this error.
    pub(crate) async fn may_do_better(&self, error: &Error) -> bool {
        match (self, error) {
            (Self::Kerberos(shown), Error::Rpc(RpcError::Kerberos(error)))
                if error.is_about_ticket() =>
            {
                let Shown { ticket, tickets, service, host } = shown;
                tickets.forget(service, host, ticket).await
            }
            _ => false,
        }
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
            (Self::Kerberos(shown), Authentication::Negotiate) => {
                Box::new(NegotiateKerberosInitiator::for_rpc(shown.ticket.clone()))
            }
            (Self::Kerberos(shown), Authentication::Kerberos) => {
                Box::new(KerberosInitiator::new(shown.ticket.clone()))
            }
            _ => return Err(self.contradiction(how)),
        })
    }

    /// A fresh handshake for SMB, which negotiates always, but not anything.
    pub(crate) fn for_smb(&self, how: Authentication) -> Result<Box<dyn Initiator>> {
        Ok(match (self, how) {
            (Self::Ntlm(credential), Authentication::Negotiate | Authentication::Ntlm) => {
                Box::new(NegotiateInitiator::new(credential)?)
            }
            (Self::Kerberos(shown), Authentication::Negotiate | Authentication::Kerberos) => {
                Box::new(NegotiateKerberosInitiator::for_smb(shown.ticket.clone()))
            }
            _ => return Err(self.contradiction(how)),
        })
    }

    fn contradiction(&self, how: Authentication) -> Error {
        let what = match (self, how) {
            (Self::Ntlm(_), _) => "NTLM is what there is, and Kerberos was asked for",
            (Self::Kerberos(_), _) => "a ticket is what there is, and NTLM was asked for",
        };
        RpcError::from(UsageError::State(what)).into()
    }
}

/// The host for which a ticket is: what is connected to, by its name, or else what the user calls
/// it. An inventory may have an address for a name.
pub(crate) fn service_host<'n>(host: &'n str, name: &'n str) -> &'n str {
    if is_address(host) && !is_address(name) { name } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever asks for Kerberos isn't given NTLM in its place, over SMB neither, and the other way
    /// round.
    #[test]
    fn what_is_asked_for_and_what_there_is_may_not_exclude_each_other() {
        use quarry_cred::{KerberosCredential, Secret};
        use quarry_rpc::security::kerberos::Principal;
        use quarry_rpc::tickets::Configuration;

        let secret = Secret::new("pebbles".into()).unwrap();
        let credential = Credential::new("fred".parse().unwrap(), secret);
        let (client, key) = (
            Principal { name_type: 1, components: vec!["fred".into()], realm: "CORP".into() },
            vec![7; 32],
        );
        let shown = Shown {
            ticket: ServiceTicket {
                client,
                ticket: vec![0x61, 0],
                key_type: 18,
                session_key: key.into(),
            },
            tickets: Tickets::new(
                KerberosCredential::Password(credential.clone()),
                Configuration::default(),
                std::time::Duration::from_secs(1),
                None,
            ),
            service: "cifs",
            host: "nas".to_owned(),
        };
        for (chosen, excluded, rpc, smb) in [
            (Chosen::Ntlm(&credential), Authentication::Kerberos, 2, 2),
            (Chosen::Kerberos(shown), Authentication::Ntlm, 2, 2),
        ] {
            let all = [Authentication::Negotiate, Authentication::Ntlm, Authentication::Kerberos];
            let goes = |how: &&Authentication| chosen.for_rpc(**how).is_ok();
            assert_eq!(all.iter().filter(goes).count(), rpc);
            let goes = |how: &&Authentication| chosen.for_smb(**how).is_ok();
            assert_eq!(all.iter().filter(goes).count(), smb);
            for error in [chosen.for_rpc(excluded).err(), chosen.for_smb(excluded).err()] {
                assert!(
                    matches!(error, Some(Error::Rpc(RpcError::Usage(UsageError::State(_))))),
                    "{excluded:?}"
                );
            }
            // And only NTLM's refusal is one of the password.
            let refused = RpcError::LogonRefused(quarry_rpc::LogonRefusal::Rejected);
            let explained = chosen.explain(refused.into());
            let expected = match chosen.is_guess() {
                true => quarry_rpc::Blame::Credential,
                false => quarry_rpc::Blame::Refusal,
            };
            assert_eq!(explained.blame(), expected);
        }
    }

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
