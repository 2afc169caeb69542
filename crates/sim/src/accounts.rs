//! Who may sign in to a simulated server.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use quarry_cred::Credential;
use quarry_rpc::AcceptorFactory;
use quarry_rpc::pdu::AuthType;
use quarry_rpc::security::{
    Acceptor, Accounts, NegotiateAcceptor, NtHash, NtlmAcceptor, NtlmTarget,
};

use crate::server::Server;

/// The account that every server knows.
pub(crate) struct OneAccount {
    user: String,
    domain: String,
    hash: NtHash,
}

impl OneAccount {
    pub(crate) fn new(credential: &Credential) -> Self {
        let (user, domain) = credential.account().ntlm_names();
        Self { user, domain, hash: NtHash::of_password(credential.secret().expose()) }
    }
}

impl Accounts for OneAccount {
    fn nt_hash(&self, user: &str, domain: &str) -> Option<NtHash> {
        let same = |one: &str, other: &str| one.to_lowercase() == other.to_lowercase();
        // As on a server whose own account it is, the domain may be left out.
        let known = same(user, &self.user) && (domain.is_empty() || same(domain, &self.domain));
        known.then(|| self.hash.clone())
    }
}

/// Counts the attempts to sign in: an acceptor asks for each once.
pub(crate) struct Counted {
    pub(crate) accounts: Arc<dyn Accounts>,
    pub(crate) server: Arc<Server>,
}

impl Accounts for Counted {
    fn nt_hash(&self, user: &str, domain: &str) -> Option<NtHash> {
        let before = self.server.counts.logons.fetch_add(1, Relaxed);
        if self.server.faults.refuse_once && before == 0 {
            return None;
        }
        self.accounts.nt_hash(user, domain)
    }
}

/// Nobody may.
pub(crate) struct Nobody;

impl Accounts for Nobody {
    fn nt_hash(&self, _: &str, _: &str) -> Option<NtHash> {
        None
    }
}

/// What accepts who signs in to a server, which says that it is of a build of Windows 10.0.
pub(crate) fn acceptors(name: &str, build: u16, accounts: Arc<dyn Accounts>) -> AcceptorFactory {
    // NetBIOS names have at most 15 characters.
    let netbios: String = name.chars().take(15).collect();
    let target = Arc::new(NtlmTarget {
        netbios_domain: "SIM".into(),
        netbios_computer: netbios.to_uppercase(),
        dns_domain: "sim.test".into(),
        dns_computer: format!("{name}.sim.test"),
    });
    Arc::new(move |auth_type| {
        let ntlm = NtlmAcceptor::new(Arc::clone(&target), Arc::clone(&accounts));
        let ntlm = ntlm.of_build(build);
        match auth_type {
            AuthType::NTLM => Some(Box::new(ntlm) as Box<dyn Acceptor>),
            AuthType::NEGOTIATE => Some(Box::new(NegotiateAcceptor::new(ntlm))),
            _ => None,
        }
    })
}
