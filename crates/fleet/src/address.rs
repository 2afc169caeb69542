//! Where a server is, as a URL: `even6://HOST[:MAPPER-PORT][?endpoint=PORT]` is read in MS-EVEN6,
//! `even://HOST[:PORT]` in MS-EVEN over SMB. A URL is also a server's name in an event's identity.

use std::fmt;
use std::str::FromStr;

use quarry_rpc::smb::SMB_PORT;

use crate::inventory::{Inventory, MAPPER_PORT, ProtocolChoice, ServerEntry};
use crate::name::{self, NameProblem};
use crate::protocol::Protocol;

/// A server's URL. Ports that it doesn't name are the inventory's, or the usual ones.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ServerUrl {
    /// `even6://HOST[:MAPPER-PORT][?endpoint=PORT]`.
    Even6 {
        /// A name or an address; IPv6 without brackets.
        host: String,
        /// The TCP port of the endpoint mapper.
        mapper_port: Option<u16>,
        /// The TCP port of the event log interface itself, where the mapper is not to be asked.
        endpoint: Option<u16>,
    },
    /// `even://HOST[:PORT]`.
    Even {
        /// A name or an address; IPv6 without brackets.
        host: String,
        /// The TCP port of SMB.
        smb_port: Option<u16>,
    },
}

/// A text that begins as a URL and is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text}: {problem}")]
pub struct UrlError {
    /// The text.
    pub text: String,
    /// The protocol that its scheme names.
    pub protocol: Option<Protocol>,
    /// What is wrong with it.
    pub problem: UrlProblem,
}

/// What is wrong with a URL.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UrlProblem {
    /// Neither `even6://` nor `even://`.
    #[error("not a URL of a server")]
    Scheme,
    /// A bracket that doesn't end.
    #[error("a [ without its ]")]
    Bracket,
    /// Something other than a port after an address in brackets.
    #[error("something after the ]")]
    AfterBracket,
    /// No host's name or address.
    #[error(transparent)]
    Host(NameProblem),
    /// No port; which one it was to be.
    #[error("{0} is a number from 1 to 65535")]
    Port(&'static str),
    /// Something other than an endpoint after the question mark.
    #[error("only ?endpoint=PORT may follow the host")]
    Query,
}

impl ServerUrl {
    /// Whether a text begins as a URL does, so that it is one or a mistake.
    pub fn is_meant(text: &str) -> bool {
        split_scheme(text).is_some()
    }

    /// What the inventory says of the server, with the protocol and the ports of the URL.
    pub fn entry(&self, inventory: &Inventory) -> ServerEntry {
        match self {
            ServerUrl::Even6 { host, mapper_port, endpoint } => {
                let mut entry = inventory.server(host);
                entry.protocol = Some(ProtocolChoice::Even6);
                entry.mapper_port = mapper_port.unwrap_or(entry.mapper_port);
                entry.endpoint = endpoint.or(entry.endpoint);
                entry
            }
            ServerUrl::Even { host, smb_port } => {
                let mut entry = inventory.server(host);
                entry.protocol = Some(ProtocolChoice::Even);
                entry.smb_port = smb_port.unwrap_or(entry.smb_port);
                entry
            }
        }
    }

    /// The URL of a server in a protocol. Ports are part of it where the server has no name of its
    /// own, as they may be all that tells it from another one.
    pub(crate) fn of(entry: &ServerEntry, protocol: Protocol) -> Self {
        let host = entry.name.clone();
        let has_name = entry.name != entry.address;
        let unusual = |port, usual| (port != usual && !has_name).then_some(port);
        match protocol {
            Protocol::Even6 => ServerUrl::Even6 {
                host,
                mapper_port: unusual(entry.mapper_port, MAPPER_PORT),
                endpoint: entry.endpoint.filter(|_| !has_name),
            },
            Protocol::Even => ServerUrl::Even { host, smb_port: unusual(entry.smb_port, SMB_PORT) },
        }
    }
}

impl FromStr for ServerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let scheme = split_scheme(text);
        let protocol = scheme.map(|(protocol, _)| protocol);
        let parsed = scheme.ok_or(UrlProblem::Scheme).and_then(|(protocol, rest)| match protocol {
            Protocol::Even6 => even6(rest),
            Protocol::Even => even(rest),
        });
        parsed.map_err(|problem| UrlError { text: text.to_owned(), protocol, problem })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            ServerUrl::Even6 { host, mapper_port, .. } => ("even6", host, mapper_port),
            ServerUrl::Even { host, smb_port } => ("even", host, smb_port),
        };
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]")?,
            false => write!(f, "{scheme}://{host}")?,
        }
        if let Some(port) = port {
            write!(f, ":{port}")?;
        }
        match self {
            ServerUrl::Even6 { endpoint: Some(endpoint), .. } => write!(f, "?endpoint={endpoint}"),
            _ => Ok(()),
        }
    }
}

/// The protocol that a scheme names, in whatever case (RFC 3986, section 3.1), and what follows it.
fn split_scheme(text: &str) -> Option<(Protocol, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let schemes = [("even6", Protocol::Even6), ("even", Protocol::Even)];
    let named = schemes.into_iter().find(|(name, _)| scheme.eq_ignore_ascii_case(name));
    named.map(|(_, protocol)| (protocol, rest))
}

fn even6(rest: &str) -> Result<ServerUrl, UrlProblem> {
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (rest, None),
    };
    let (host, mapper_port) = host_and_port(place, "the mapper's port")?;
    let endpoint = match query.map(|query| query.split_once('=')) {
        None => None,
        Some(Some(("endpoint", text))) => Some(port(text, "the endpoint")?),
        Some(_) => return Err(UrlProblem::Query),
    };
    Ok(ServerUrl::Even6 { host, mapper_port, endpoint })
}

fn even(rest: &str) -> Result<ServerUrl, UrlProblem> {
    let (host, smb_port) = host_and_port(rest, "SMB's port")?;
    Ok(ServerUrl::Even { host, smb_port })
}

/// A host, an IPv6 address without its brackets, and a port.
fn host_and_port(text: &str, what: &'static str) -> Result<(String, Option<u16>), UrlProblem> {
    let place = text.strip_suffix('/').unwrap_or(text);
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or(UrlProblem::Bracket)?;
            match after.strip_prefix(':') {
                Some(text) => (host, Some(port(text, what)?)),
                None if after.is_empty() => (host, None),
                None => return Err(UrlProblem::AfterBracket),
            }
        }
        None => match place.split_once(':') {
            Some((host, text)) => (host, Some(port(text, what)?)),
            None => (place, None),
        },
    };
    let host = name::check(host).map_err(|(_, problem)| UrlProblem::Host(problem))?;
    Ok((host.to_owned(), port))
}

fn port(text: &str, what: &'static str) -> Result<u16, UrlProblem> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(UrlProblem::Port(what)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn even6_url(host: &str, mapper_port: Option<u16>, endpoint: Option<u16>) -> ServerUrl {
        ServerUrl::Even6 { host: host.to_owned(), mapper_port, endpoint }
    }

    fn even_url(host: &str, smb_port: Option<u16>) -> ServerUrl {
        ServerUrl::Even { host: host.to_owned(), smb_port }
    }

    #[test]
    fn a_url_names_a_host_and_ports() {
        for (text, expected) in [
            ("even6://dc01", even6_url("dc01", None, None)),
            ("even6://dc01/", even6_url("dc01", None, None)),
            ("EVEN6://dc01", even6_url("dc01", None, None)),
            ("even6://dc01:4000", even6_url("dc01", Some(4000), None)),
            ("even6://dc01?endpoint=5", even6_url("dc01", None, Some(5))),
            ("even6://[::1]:4000?endpoint=5", even6_url("::1", Some(4000), Some(5))),
            ("even6://[fe80::1%eth0]", even6_url("fe80::1%eth0", None, None)),
            ("even://nas", even_url("nas", None)),
            ("even://nas:4450/", even_url("nas", Some(4450))),
            ("even://[::1]:4450", even_url("::1", Some(4450))),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused_with_its_reason() {
        let mapper = UrlProblem::Port("the mapper's port");
        for (text, problem) in [
            ("dc01", UrlProblem::Scheme),
            ("even7://dc01", UrlProblem::Scheme),
            ("even6://", UrlProblem::Host(NameProblem::Empty)),
            ("even6://dc01:", mapper.clone()),
            ("even6://dc01:0", mapper.clone()),
            ("even6://dc01:70000", mapper.clone()),
            ("even6://::1", mapper),
            ("even6://[::1", UrlProblem::Bracket),
            ("even6://[::1]x", UrlProblem::AfterBracket),
            ("even6://a b", UrlProblem::Host(NameProblem::Character(' '))),
            ("even6://a/b", UrlProblem::Host(NameProblem::Character('/'))),
            ("even6://a*", UrlProblem::Host(NameProblem::Wildcard('*'))),
            ("even6://dc01?x=1", UrlProblem::Query),
            ("even6://dc01?", UrlProblem::Query),
            ("even6://dc01?endpoint=x", UrlProblem::Port("the endpoint")),
            ("even://", UrlProblem::Host(NameProblem::Empty)),
            ("even://nas:0", UrlProblem::Port("SMB's port")),
            ("even://nas?endpoint=5", UrlProblem::Host(NameProblem::Wildcard('?'))),
        ] {
            let error = text.parse::<ServerUrl>().unwrap_err();
            assert_eq!((error.text.as_str(), &error.problem), (text, &problem));
        }
    }

    #[test]
    fn a_url_counts_more_than_the_inventory_and_the_inventory_more_than_the_usual_ports() {
        let inventory = Inventory::parse(
            "[servers.dc01]\nmapper-port = 1135\nendpoint = 5000\nsmb-port = 1445\n",
        )
        .unwrap();
        let entry = |text: &str| text.parse::<ServerUrl>().unwrap().entry(&inventory);
        let ports = |entry: ServerEntry| (entry.mapper_port, entry.endpoint, entry.smb_port);
        assert_eq!(ports(entry("even6://dc01")), (1135, Some(5000), 1445));
        assert_eq!(ports(entry("even6://dc01:7?endpoint=8")), (7, Some(8), 1445));
        assert_eq!(ports(entry("even://dc01:9")), (1135, Some(5000), 9));
        assert_eq!(ports(entry("even://other")), (135, None, 445));
        assert_eq!(entry("even6://other").speaks(), Some(Protocol::Even6));
        assert_eq!(entry("even://other").speaks(), Some(Protocol::Even));
    }

    proptest! {
        #[test]
        fn a_url_is_read_as_it_is_written(
            host in r"[a-z][a-z0-9-]{0,20}(\.[a-z]{1,10})?|[0-9a-f]{1,4}(:[0-9a-f]{1,4}){7}",
            port in proptest::option::of(1..=u16::MAX),
            endpoint in proptest::option::of(1..=u16::MAX),
        ) {
            for url in [even6_url(&host, port, endpoint), even_url(&host, port)] {
                prop_assert_eq!(url.to_string().parse(), Ok(url));
            }
        }

        #[test]
        fn no_text_is_too_much_for_it(text in ".{0,200}") {
            for scheme in ["", "even6://", "even://"] {
                let _ = format!("{scheme}{text}").parse::<ServerUrl>();
            }
        }
    }
}
