//! The security headers that every answer has, failures and redirections too.

use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// What the page may load and do: its own scripts, style, images and streams, and nothing else.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
    style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Every feature of browsers that asks for a permission, switched off. One that a browser doesn't know
/// is a warning on its console, so those that were given up aren't here.
const PERMISSIONS_POLICY: &str = "accelerometer=(), autoplay=(), \
    browsing-topics=(), camera=(), display-capture=(), \
    encrypted-media=(), fullscreen=(), gamepad=(), geolocation=(), gyroscope=(), hid=(), \
    identity-credentials-get=(), idle-detection=(), local-fonts=(), magnetometer=(), \
    microphone=(), midi=(), otp-credentials=(), payment=(), picture-in-picture=(), \
    publickey-credentials-create=(), publickey-credentials-get=(), screen-wake-lock=(), serial=(), \
    storage-access=(), usb=(), window-management=(), xr-spatial-tracking=()";

/// A year, for a certificate that browsers trust.
const STRICT_TRANSPORT_SECURITY: &str = "max-age=31536000";

/// What browsers are told to forget on sign-out: pages. Not cookies, as the device's stays and the
/// session's is taken back by name; nor storage, which has settings and nothing that was shown.
pub const CLEAR_SITE_DATA: &str = "\"cache\"";

/// The headers that don't depend on the answer.
pub const ALWAYS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), PERMISSIONS_POLICY),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// Whether browsers trust the certificate, which is when they may be told to insist on TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// Plain HTTP on the loopback, or a certificate of one's own.
    Untrusted,
    /// A certificate of an authority's.
    Trusted,
}

/// Puts the security headers on an answer, in place of any that it has. What the answer says about
/// caching stays; where it says nothing, it is private and asked for again each time.
pub fn secure(headers: &mut HeaderMap, transport: Transport) {
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if transport == Transport::Trusted {
        let value = HeaderValue::from_static(STRICT_TRANSPORT_SECURITY);
        headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transport_security_is_promised_only_with_a_trusted_certificate() {
        let of = |transport| {
            let mut headers = HeaderMap::new();
            secure(&mut headers, transport);
            headers
        };
        let name = header::STRICT_TRANSPORT_SECURITY;
        assert!(!of(Transport::Untrusted).contains_key(&name));
        assert_eq!(of(Transport::Trusted)[&name], "max-age=31536000");
        assert_eq!(of(Transport::Trusted).len(), ALWAYS.len() + 2);
    }

    #[test]
    fn a_handler_cannot_weaken_the_policy_and_may_say_how_it_is_cached() {
        let mut headers = HeaderMap::new();
        headers.append(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src *"));
        headers.append(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("x"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        secure(&mut headers, Transport::Untrusted);
        let policies: Vec<_> = headers.get_all(header::CONTENT_SECURITY_POLICY).iter().collect();
        assert_eq!(policies, [CONTENT_SECURITY_POLICY]);
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    }
}
