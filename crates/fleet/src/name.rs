//! Servers' names: what may be one, and when two are the same.

use std::net::Ipv6Addr;

/// The most bytes of a server's name: a DNS name has no more.
pub const MAX_NAME_BYTES: usize = 255;
/// The most bytes between two dots of a name (RFC 1035, 2.3.4).
const MAX_LABEL_BYTES: usize = 63;

/// Why a text is not a server's name or address.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NameProblem {
    /// Nothing.
    #[error("a server's name is missing")]
    Empty,
    /// Longer than [`MAX_NAME_BYTES`].
    #[error("a server's name has at most {MAX_NAME_BYTES} bytes")]
    TooLong,
    /// A character that no name has.
    #[error("a server's name may not contain {0:?}")]
    Character(char),
    /// A wildcard, or half of a range.
    #[error("a server's name may not contain the wildcard {0:?}")]
    Wildcard(char),
    /// A colon, but no IPv6 address.
    #[error("`{0}` is neither a name nor an IPv6 address")]
    Colon(String),
    /// Nothing between two dots, or too much.
    #[error("between the dots of a server's name are 1 to {MAX_LABEL_BYTES} bytes")]
    Label,
    /// A hyphen in front, as options have it.
    #[error("a server's name doesn't begin with a hyphen")]
    Hyphen,
}

/// Checks a name or an address; gives it without the brackets that an IPv6 address may have, or
/// where in it what is wrong.
pub(crate) fn check(text: &str) -> Result<&str, (usize, NameProblem)> {
    if text.is_empty() {
        return Err((0, NameProblem::Empty));
    }
    if text.len() > MAX_NAME_BYTES {
        return Err((MAX_NAME_BYTES, NameProblem::TooLong));
    }
    if is_ipv6(text) {
        return Ok(without_brackets(text));
    }
    for (at, c) in text.char_indices() {
        match c {
            '*' | '?' | '[' | ']' | '{' | '}' => return Err((at, NameProblem::Wildcard(c))),
            ':' => return Err((at, NameProblem::Colon(text.to_owned()))),
            '.' | '-' | '_' => {}
            _ if c.is_alphanumeric() => {}
            // Marks that stand above or below a letter.
            _ if !c.is_ascii() && !c.is_whitespace() && !c.is_control() => {}
            _ => return Err((at, NameProblem::Character(c))),
        }
    }
    if text.starts_with('-') {
        return Err((0, NameProblem::Hyphen));
    }
    let mut at = 0;
    for label in text.strip_suffix('.').unwrap_or(text).split('.') {
        if label.is_empty() || label.len() > MAX_LABEL_BYTES {
            return Err((at, NameProblem::Label));
        }
        at += label.len() + 1;
    }
    Ok(text)
}

/// What is equal for two names of one server: case doesn't count, nor does a dot at the end, nor
/// how an IPv6 address is written.
pub(crate) fn key(name: &str) -> String {
    if let Some((address, zone)) = ipv6(name) {
        return format!("{address}{}", zone.to_lowercase());
    }
    name.strip_suffix('.').unwrap_or(name).to_lowercase()
}

/// Whether a text is an IPv6 address, with or without brackets and zone.
pub(crate) fn is_ipv6(text: &str) -> bool {
    ipv6(text).is_some()
}

/// Whether a text has wildcards, so that it is a glob.
pub(crate) fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', '{']) && !is_ipv6(text)
}

/// The text without the brackets of an IPv6 address, if it is one.
pub(crate) fn without_brackets(text: &str) -> &str {
    if is_ipv6(text) { text.trim_start_matches('[').trim_end_matches(']') } else { text }
}

/// The name of those that there are which is nearest, if one is near: with the fewest edits, at
/// most a third of its letters.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Names are hardly longer, and there may be very many of them.
    const MAX_CHARS: usize = 64;
    let name = name.to_lowercase();
    let length = name.chars().count();
    let most = (length / 3).max(1);
    // One letter is near to any other.
    if !(2..=MAX_CHARS).contains(&length) {
        return None;
    }
    let near = known.into_iter().filter(|other| other.chars().count().abs_diff(length) <= most);
    near.map(|other| (strsim::osa_distance(&name, &other.to_lowercase()), other))
        .filter(|&(edits, _)| edits <= most)
        .min_by_key(|&(edits, _)| edits)
        .map(|(_, other)| other)
}

/// An IPv6 address and its zone with the percent sign in front, such as `%eth0`.
fn ipv6(text: &str) -> Option<(Ipv6Addr, &str)> {
    let inner = match text.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None => text,
    };
    let (address, zone) = inner.split_at(inner.find('%').unwrap_or(inner.len()));
    let sound = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let address = address.parse().ok()?;
    match zone.strip_prefix('%') {
        Some(name) if name.is_empty() || !name.chars().all(sound) => None,
        _ => Some((address, zone)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_taken_and_brackets_dropped() {
        for (text, name) in [
            ("fred", "fred"),
            ("DC01.corp.example", "DC01.corp.example"),
            ("fred.corp.", "fred.corp."),
            ("srv_1", "srv_1"),
            ("größe.corp", "größe.corp"),
            ("10.0.0.1", "10.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("[fe80::1%eth0]", "fe80::1%eth0"),
        ] {
            assert_eq!(check(text), Ok(name));
        }
    }

    #[test]
    fn what_is_no_name_is_refused_at_its_place() {
        let long = "a".repeat(256);
        let label = format!("a.{}", "b".repeat(64));
        for (text, at, problem) in [
            ("", 0, NameProblem::Empty),
            (&long, 255, NameProblem::TooLong),
            ("fred barney", 4, NameProblem::Character(' ')),
            (r"\\fred", 0, NameProblem::Character('\\')),
            ("even6://fred", 5, NameProblem::Colon("even6://fred".to_owned())),
            ("fred:135", 4, NameProblem::Colon("fred:135".to_owned())),
            ("fred*", 4, NameProblem::Wildcard('*')),
            ("[::1", 0, NameProblem::Wildcard('[')),
            ("::1]", 0, NameProblem::Colon("::1]".to_owned())),
            ("fe80::1%", 4, NameProblem::Colon("fe80::1%".to_owned())),
            ("@all", 0, NameProblem::Character('@')),
            (".", 0, NameProblem::Label),
            ("a..b", 2, NameProblem::Label),
            (&label, 2, NameProblem::Label),
            ("-n", 0, NameProblem::Hyphen),
            ("a\u{a0}b", 1, NameProblem::Character('\u{a0}')),
        ] {
            assert_eq!(check(text), Err((at, problem)), "{text}");
        }
    }

    #[test]
    fn one_server_has_one_key_however_it_is_written() {
        assert_eq!(key("DC01.Corp."), key("dc01.corp"));
        assert_eq!(key("GRÖSSE"), key("grösse"));
        assert_eq!(key("[FE80:0:0::1%Eth0]"), key("fe80::1%eth0"));
        assert_ne!(key("fe80::1%eth0"), key("fe80::1%eth1"));
        assert_ne!(key("dc01"), key("dc01.corp"));
    }

    #[test]
    fn only_a_name_that_is_near_is_suggested() {
        let known = ["fred", "barney", "wilma", "betty"];
        assert_eq!(nearest("frde", known), Some("fred"));
        assert_eq!(nearest("BARNY", known), Some("barney"));
        assert_eq!(nearest("dino", known), None);
        assert_eq!(nearest(&"x".repeat(100), known), None);
        assert_eq!(nearest("a", ["b"]), None);
    }
}
