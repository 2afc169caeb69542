//! Where a request comes from and whom it means: our own hosts only, and changes from our own pages
//! only.

use std::net::SocketAddr;

use axum::http::{HeaderMap, Method, Uri, header};

/// Longest host that is looked at, in bytes: a DNS name and a port.
const LONGEST_HOST: usize = 255 + 6;

/// The hosts that the page answers to. Any other name that leads here belongs to somebody who wants
/// a browser to take our answers for theirs (DNS rebinding).
#[derive(Clone, Debug)]
pub struct Hosts {
    scheme: &'static str,
    /// Lowercase, with the port where it isn't the scheme's.
    hosts: Vec<String>,
}

/// Why a request is refused before anything is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Status 421: no host, two that differ, or one that isn't ours.
    #[error("this server doesn't answer to that name; open it by the address that it printed")]
    Host,
    /// Status 403: a change that no page of ours asked for.
    #[error(
        "this change was not asked for by a page of this server: reload the page and try again; a \
         program sends a token that the page's Status made: Authorization: Bearer TOKEN"
    )]
    Origin,
}

impl Hosts {
    /// The hosts of a listener: the address itself and `names`. For a loopback address, the three
    /// names of the loopback too.
    pub fn new(address: SocketAddr, tls: bool, names: &[String]) -> Self {
        let scheme = if tls { "https" } else { "http" };
        let port = address.port();
        let is_default = port == if tls { 443 } else { 80 };
        let mut hosts = Vec::new();
        let mut add = |name: &str| {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            if is_default {
                hosts.push(name.clone());
            }
            hosts.push(format!("{name}:{port}"));
        };
        let ip = |address: std::net::IpAddr| match address {
            std::net::IpAddr::V6(v6) => format!("[{v6}]"),
            std::net::IpAddr::V4(v4) => v4.to_string(),
        };
        if !address.ip().is_unspecified() {
            add(&ip(address.ip()));
        }
        if address.ip().is_loopback() || address.ip().is_unspecified() {
            ["localhost", "127.0.0.1", "[::1]"].into_iter().for_each(&mut add);
        }
        for name in names {
            match name.parse() {
                Ok(address) => add(&ip(address)),
                Err(_) => add(name),
            }
        }
        Self { scheme, hosts }
    }

    /// The host that a request means, if it is one of ours. HTTP/2 has it in `:authority`, HTTP/1.1
    /// in `Host`; where both are there they have to agree.
    ///
    /// # Errors
    /// [`Refused::Host`].
    pub fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<&str, Refused> {
        let mut given = headers.get_all(header::HOST).iter();
        let first =
            given.next().map(|host| host.to_str().map_err(|_| Refused::Host)).transpose()?;
        let authority = uri.authority().map(|authority| authority.as_str());
        let host = match (authority, first, given.next()) {
            (_, _, Some(_)) | (None, None, _) => return Err(Refused::Host),
            (Some(one), Some(other), None) if !one.eq_ignore_ascii_case(other) => {
                return Err(Refused::Host);
            }
            (Some(host), _, None) | (None, Some(host), None) => host,
        };
        if host.len() > LONGEST_HOST {
            return Err(Refused::Host);
        }
        let host = host.to_ascii_lowercase();
        self.hosts.iter().find(|ours| **ours == host).map(|ours| &**ours).ok_or(Refused::Host)
    }

    /// Checks that a request that changes something comes from a page of ours (Fetch Metadata, or
    /// `Origin` from browsers that don't send it). GET and HEAD change nothing.
    ///
    /// # Errors
    /// [`Refused::Origin`].
    pub fn check_change(
        &self,
        method: &Method,
        host: &str,
        headers: &HeaderMap,
    ) -> Result<(), Refused> {
        if matches!(*method, Method::GET | Method::HEAD) {
            return Ok(());
        }
        let is_ours = match headers.get("sec-fetch-site") {
            Some(site) => site == "same-origin",
            None => headers.get(header::ORIGIN).is_some_and(|origin| {
                origin.to_str().is_ok_and(|origin| self.is_origin(origin, host))
            }),
        };
        if is_ours { Ok(()) } else { Err(Refused::Origin) }
    }

    fn is_origin(&self, origin: &str, host: &str) -> bool {
        origin
            .strip_prefix(self.scheme)
            .and_then(|rest| rest.strip_prefix("://"))
            .is_some_and(|name| self.same_host(name, host))
    }

    /// Whether two hosts are one, with or without the scheme's port.
    fn same_host(&self, one: &str, other: &str) -> bool {
        let port = if self.scheme == "https" { ":443" } else { ":80" };
        let bare = |host: &str| host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
        bare(one) == bare(other)
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }
}

/// Who led the browser here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// A page of ours, the address bar, a bookmark, or a program.
    Own,
    /// Another site: no server is asked before somebody presses a button here, and what is sent
    /// isn't compressed.
    Foreign,
}

/// Who led the browser here, by Fetch Metadata; where there is none, by `Referer`.
pub fn arrival(host: &str, headers: &HeaderMap) -> Arrival {
    let is_own = match headers.get("sec-fetch-site") {
        Some(site) => site == "same-origin" || site == "none",
        None => headers.get(header::REFERER).is_none_or(|referrer| {
            let referrer = referrer.to_str().unwrap_or_default();
            let rest = referrer.strip_prefix("https://").or(referrer.strip_prefix("http://"));
            rest.and_then(|rest| rest.split('/').next()).is_some_and(|from| from == host)
        }),
    };
    if is_own { Arrival::Own } else { Arrival::Foreign }
}

/// Whether a request is somebody going to a page, rather than a page taking an image, a frame or data
/// in (Fetch Metadata's resource isolation). Browsers that don't say are believed.
pub fn is_visit(headers: &HeaderMap) -> bool {
    let is = |name: &str, value: &str| headers.get(name).is_none_or(|given| given == value);
    is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        map
    }

    fn loopback() -> Hosts {
        Hosts::new("127.0.0.1:8080".parse().expect("an address"), false, &[])
    }

    #[test]
    fn only_hosts_of_ours_are_answered() {
        let hosts = loopback();
        let asked = |uri: &str, host: &[(&'static str, &str)]| {
            hosts.check_host(&uri.parse().expect("a URI"), &headers(host)).map(str::to_owned)
        };
        for ours in ["127.0.0.1:8080", "localhost:8080", "LOCALHOST:8080", "[::1]:8080"] {
            assert_eq!(asked("/", &[("host", ours)]), Ok(ours.to_lowercase()), "{ours}");
            assert_eq!(asked(&format!("http://{ours}/"), &[]), Ok(ours.to_lowercase()), "{ours}");
        }
        for foreign in [
            "evil.example:8080",
            "127.0.0.1",
            "127.0.0.1:80",
            "localhost.evil.example:8080",
            "",
            "a@localhost:8080",
        ] {
            assert_eq!(asked("/", &[("host", foreign)]), Err(Refused::Host), "{foreign}");
        }
        assert_eq!(asked("/", &[]), Err(Refused::Host));
        let two = [("host", "localhost:8080"), ("host", "localhost:8080")];
        assert_eq!(asked("/", &two), Err(Refused::Host));
        let differ = asked("http://localhost:8080/", &[("host", "evil.example:8080")]);
        assert_eq!(differ, Err(Refused::Host));
    }

    #[test]
    fn the_port_of_the_scheme_may_be_left_out() {
        let hosts = Hosts::new(
            "192.0.2.7:443".parse().expect("an address"),
            true,
            &["Logs.corp.example.".to_owned()],
        );
        for ours in ["logs.corp.example", "logs.corp.example:443", "192.0.2.7"] {
            let host = headers(&[("host", ours)]);
            assert!(hosts.check_host(&Uri::from_static("/"), &host).is_ok(), "{ours}");
            for origin in ["https://logs.corp.example", "https://logs.corp.example:443"] {
                let from = headers(&[("origin", origin)]);
                let checked = hosts.check_change(&Method::POST, "logs.corp.example", &from);
                assert_eq!(checked, Ok(()), "{origin}");
            }
        }
        let localhost = headers(&[("host", "localhost")]);
        assert_eq!(hosts.check_host(&Uri::from_static("/"), &localhost), Err(Refused::Host));
    }

    #[test]
    fn a_change_needs_a_page_of_ours() {
        let hosts = loopback();
        let host = "localhost:8080";
        let post = |pairs: &[(&'static str, &str)]| {
            hosts.check_change(&Method::POST, host, &headers(pairs)).is_ok()
        };
        assert!(post(&[("sec-fetch-site", "same-origin")]));
        assert!(post(&[("origin", "http://localhost:8080")]));
        for refused in [
            &[][..],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            // What Fetch Metadata says counts, whatever else is there.
            &[("sec-fetch-site", "cross-site"), ("origin", "http://localhost:8080")],
            &[("origin", "null")],
            &[("origin", "https://localhost:8080")],
            &[("origin", "http://localhost:9090")],
            &[("origin", "http://localhost:8080.evil.example")],
            &[("origin", "http://127.0.0.1:8080")],
            &[("referer", "http://localhost:8080/events")],
        ] {
            assert!(!post(refused), "{refused:?}");
        }
        for method in [Method::GET, Method::HEAD] {
            assert!(hosts.check_change(&method, host, &HeaderMap::new()).is_ok());
        }
        for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS, Method::TRACE] {
            assert!(hosts.check_change(&method, host, &HeaderMap::new()).is_err(), "{method}");
        }
    }

    #[test]
    fn an_address_from_another_site_is_known_as_such() {
        let from = |pairs: &[(&'static str, &str)]| arrival("localhost:8080", &headers(pairs));
        assert_eq!(from(&[]), Arrival::Own);
        assert_eq!(from(&[("sec-fetch-site", "none")]), Arrival::Own);
        assert_eq!(from(&[("sec-fetch-site", "same-origin")]), Arrival::Own);
        assert_eq!(from(&[("referer", "http://localhost:8080/")]), Arrival::Own);
        assert_eq!(from(&[("sec-fetch-site", "cross-site")]), Arrival::Foreign);
        assert_eq!(from(&[("sec-fetch-site", "same-site")]), Arrival::Foreign);
        assert_eq!(from(&[("referer", "http://localhost:8081/")]), Arrival::Foreign);
        assert_eq!(from(&[("referer", "https://evil.example/localhost:8080")]), Arrival::Foreign);
        let is_visit = |pairs: &[(&'static str, &str)]| super::is_visit(&headers(pairs));
        assert!(is_visit(&[]));
        assert!(is_visit(&[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]));
        assert!(!is_visit(&[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")]));
        assert!(!is_visit(&[("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")]));
        assert!(!is_visit(&[("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")]));
    }
}
