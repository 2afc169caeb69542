//! Reading the cache of tickets that the user has.

use krb5::ccache::{DEFAULT_CCACHE_NAME, expand_tokens};
use krb5::{CacheName, Credentials, Krb5Conf};
use quarry_cred::Account;

use super::principal::is_same;
use super::{SESSION_TYPES, is_good};
use crate::security::kerberos::KerberosError;

/// What a cache has.
pub(super) struct Cached {
    /// Whose it is.
    pub(super) principal: String,
    pub(super) realm: String,
    /// The ticket for more tickets.
    pub(super) ticket: Option<Credentials>,
    /// What is said where there is none.
    pub(super) none: Option<KerberosError>,
    /// Tickets for services.
    pub(super) found: Vec<Credentials>,
}

/// Reads a cache, by its name or the configuration's.
pub(super) fn read(
    account: Option<&Account>,
    name: Option<&str>,
    configuration: &Krb5Conf,
) -> Result<Cached, KerberosError> {
    let no_cache = |cache: &str, error: krb5::CacheError| KerberosError::NoCache {
        cache: cache.to_owned(),
        why: error.to_string(),
    };
    let name = match name {
        Some(name) => name.to_owned(),
        None => {
            let configured = configuration.get(&["libdefaults", "default_ccache_name"]);
            let template = configured.unwrap_or(DEFAULT_CCACHE_NAME);
            expand_tokens(template).map_err(|error| no_cache(template, error))?
        }
    };
    let cache = CacheName::parse_with(&name, configuration)
        .and_then(|name| name.read())
        .map_err(|error| no_cache(&name, error))?;
    let (found, realm) = (cache.principal.to_string(), cache.principal.realm.clone());
    if let Some(account) = account
        && !is_same(account, &cache.principal.components, &realm)
    {
        return Err(KerberosError::OtherPrincipal {
            cache: name,
            wanted: account.to_string(),
            found,
        });
    }
    let tickets: Vec<Credentials> = cache.credentials().collect();
    let is_granting = |ticket: &&Credentials| {
        ticket.server.components.first().is_some_and(|name| name == "krbtgt")
            && ticket.server.components.get(1) == Some(&realm)
    };
    let granting = tickets.iter().filter(is_granting).max_by_key(|ticket| ticket.endtime);
    // One that is about to expire is no better.
    let none = match granting {
        Some(_) => KerberosError::TicketExpired { principal: found.clone(), cache: name },
        None => KerberosError::NoTicket(name),
    };
    let is_service = |ticket: &Credentials| {
        SESSION_TYPES.contains(&ticket.session_key.enctype()) && is_good(ticket)
    };
    let ticket = granting.filter(|ticket| is_good(ticket)).cloned();
    Ok(Cached {
        principal: found,
        realm,
        none: ticket.is_none().then_some(none),
        ticket,
        found: tickets.into_iter().filter(is_service).collect(),
    })
}
