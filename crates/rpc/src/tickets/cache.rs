//! Reading the cache of tickets that the user has.

use krb5::ccache::{CCache, DEFAULT_CCACHE_NAME, expand_tokens};
use krb5::{CacheName, Credentials, Krb5Conf};
use quarry_cred::Account;

use super::principal::is_same;
use super::{SESSION_TYPES, is_good};
use crate::security::kerberos::KerberosError;

/// What a cache has.
pub(super) struct Cached {
    /// Its name.
    pub(super) cache: String,
    /// Whose it is, as it is shown.
    pub(super) principal: String,
    pub(super) owner: krb5::Principal,
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
    let tickets = own(&cache);
    let is_granting = |ticket: &&Credentials| {
        ticket.server.components == ["krbtgt", &realm] && ticket.server.realm == realm
    };
    let granting = tickets.iter().filter(is_granting).max_by_key(|ticket| ticket.endtime);
    let none = match granting {
        // Expired, or it will have by the time that it is used.
        Some(ticket) if !is_good(ticket) => {
            KerberosError::TicketExpired { principal: found.clone(), cache: name.clone() }
        }
        _ => KerberosError::NoTicket(name.clone()),
    };
    let is_service = |ticket: &Credentials| {
        SESSION_TYPES.contains(&ticket.session_key.enctype()) && is_good(ticket)
    };
    let ticket = granting.filter(|ticket| is_good(ticket)).cloned();
    Ok(Cached {
        cache: name,
        principal: found,
        owner: cache.principal.clone(),
        none: ticket.is_none().then_some(none),
        ticket,
        found: tickets.into_iter().filter(is_service).collect(),
    })
}

/// The tickets that were issued to whoever the cache belongs to, for services' own keys. A cache may
/// have others' too: those that a service got on behalf of its users (S4U), and such as are for one
/// ticket of a user (RFC 4120 3.7).
fn own(cache: &CCache) -> Vec<Credentials> {
    let is_own = |ticket: &Credentials| {
        ticket.client.components == cache.principal.components
            && ticket.client.realm == cache.principal.realm
    };
    let entries = cache.entries.iter().filter(|entry| !entry.is_skey);
    entries.filter_map(|entry| entry.credentials()).filter(is_own).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use super::*;

    /// The parts of a cache in MIT's format, version 4, by hand from its documentation.
    fn principal(name: &[&str], realm: &str) -> Vec<u8> {
        let mut out = [1u32, name.len() as u32].map(u32::to_be_bytes).concat();
        for text in [&[realm], name].concat() {
            out.extend_from_slice(&(text.len() as u32).to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        out
    }

    /// A ticket of somebody for something, good for so many seconds.
    fn ticket(client: &[u8], server: &[u8], seconds: u64, is_skey: bool) -> Vec<u8> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let times = [now, now, now + seconds, 0].map(|at| (at as u32).to_be_bytes()).concat();
        // A `Ticket` of which the reader looks for the encryption type alone.
        let encrypted = [&[0xa0, 3, 2, 1, 18][..], &[0xa2, 2, 4, 0]].concat();
        let encrypted = [&[0x30, encrypted.len() as u8][..], &encrypted].concat();
        let fields = [
            &[0xa0, 3, 2, 1, 5, 0xa1, 3, 0x1b, 1, b'C'][..],
            &[0xa2, 16, 0x30, 14, 0xa0, 3, 2, 1, 1, 0xa1, 7, 0x30, 5, 0x1b, 3, b'x', b'y', b'z'],
            &[0xa3, encrypted.len() as u8],
            &encrypted,
        ]
        .concat();
        let fields = [&[0x30, fields.len() as u8][..], &fields].concat();
        let der = [&[0x61, fields.len() as u8][..], &fields].concat();
        let blob = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
        [
            client,
            server,
            &18u16.to_be_bytes(),
            &blob(&[7; 32]),
            &times,
            &[is_skey.into()],
            &[0; 4],
            &[0; 8],
            &blob(&der),
            &blob(&[]),
        ]
        .concat()
    }

    fn read_cache(tickets: &[Vec<u8>]) -> Result<Cached, KerberosError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes = [&[5, 4, 0, 0][..], &principal(&["ann"], "CORP"), &tickets.concat()].concat();
        std::fs::write(file.path(), bytes).unwrap();
        let name = format!("FILE:{}", file.path().display());
        read(None, Some(&name), &Krb5Conf::empty())
    }

    #[test]
    fn tickets_of_others_and_for_others_tickets_are_not_taken() {
        let (ann, ben) = (principal(&["ann"], "CORP"), principal(&["ben"], "CORP"));
        let granting = principal(&["krbtgt", "CORP"], "CORP");
        let service = principal(&["cifs", "nas"], "CORP");
        let read = |client: &[u8], is_skey| {
            let tickets = [&granting, &service].map(|server| ticket(client, server, 3600, is_skey));
            let cached = read_cache(&tickets).unwrap();
            (cached.ticket.is_some(), cached.found.len())
        };
        assert_eq!(read(&ann, false), (true, 2));
        assert_eq!(read(&ben, false), (false, 0), "somebody else's");
        assert_eq!(read(&ann, true), (false, 0), "user to user");
        assert_eq!(read(&principal(&["ann"], "LAB"), false), (false, 0), "of another realm");
        // What another realm's key distribution centre granted is no ticket for more of this one's.
        let foreign = principal(&["krbtgt", "CORP"], "LAB");
        assert!(read_cache(&[ticket(&ann, &foreign, 3600, false)]).unwrap().ticket.is_none());
    }

    #[test]
    fn a_ticket_that_expires_meanwhile_has_expired() {
        let (ann, granting) = (principal(&["ann"], "CORP"), principal(&["krbtgt", "CORP"], "CORP"));
        let margin = super::super::MARGIN + Duration::from_secs(60);
        for (seconds, is_good) in [(60, false), (margin.as_secs(), true)] {
            let cached = read_cache(&[ticket(&ann, &granting, seconds, false)]).unwrap();
            assert_eq!(cached.ticket.is_some(), is_good);
            let says = matches!(cached.none, Some(KerberosError::TicketExpired { .. }));
            assert_eq!(says, !is_good);
        }
        assert!(matches!(read_cache(&[]).unwrap().none, Some(KerberosError::NoTicket(_))));
    }
}
