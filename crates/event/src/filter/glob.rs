//! Globs: names with wildcards, as providers, computers, users and channels are asked for.

use regex::bytes::{Regex, RegexBuilder};

use super::error::{FilterError, FilterProblem};
use crate::Value;

/// A name with wildcards.
///
/// `*` is any text, `?` one character, `[a-z]` and `[!a-z]` one that is or isn't among these,
/// `{a,b}` either; all else stands for itself, the backslash and the slash too. The whole name
/// has to match.
///
/// A glob without an uppercase letter matches in either case, one with an uppercase letter as it
/// is written.
#[derive(Clone, Debug)]
pub struct Glob {
    text: String,
    matcher: Matcher,
}

#[derive(Clone, Debug)]
enum Matcher {
    /// Exactly the glob's text.
    Exact,
    /// The glob's text, which is ASCII and has no uppercase letter, in either case.
    EitherCase,
    Regex(Regex),
}

impl Glob {
    /// The most bytes of a glob's text.
    pub const MAX_LENGTH: usize = 1024;

    /// Reads a glob.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        if text.is_empty() {
            let problem = FilterProblem::Empty("a name or a glob is needed");
            return Err(FilterError::new(text, 0, problem));
        }
        if text.len() > Self::MAX_LENGTH {
            let problem = FilterProblem::TooLong(Self::MAX_LENGTH);
            return Err(FilterError::new(text, Self::MAX_LENGTH, problem));
        }
        let either_case = !text.chars().any(char::is_uppercase);
        let cased = text.chars().any(char::is_alphabetic);
        let matcher = match text.contains(['*', '?', '[', '{']) {
            false if !either_case || !cased => Matcher::Exact,
            false if text.is_ascii() => Matcher::EitherCase,
            _ => Matcher::Regex(
                RegexBuilder::new(&regex_of(text)?)
                    .case_insensitive(either_case)
                    .dot_matches_new_line(true)
                    .build()
                    .map_err(|_| FilterError::new(text, 0, FilterProblem::Glob("too large")))?,
            ),
        };
        Ok(Glob { text: text.to_owned(), matcher })
    }

    /// The glob's text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether every name matches.
    pub fn matches_all(&self) -> bool {
        self.text.bytes().all(|byte| byte == b'*')
    }

    /// The one name that the glob matches, where there is only one.
    pub fn literal(&self) -> Option<&str> {
        matches!(self.matcher, Matcher::Exact).then_some(&*self.text)
    }

    /// Whether a name matches.
    #[inline]
    pub fn is_match(&self, name: &str) -> bool {
        self.matches_utf8(name.as_bytes())
    }

    /// Whether a value's text matches, where that can be said without making it; `None` where it
    /// can't.
    #[inline]
    pub(super) fn matches_value(&self, value: &Value<'_>) -> Option<bool> {
        match (&self.matcher, value) {
            (_, Value::Str(name)) => Some(self.matches_utf8(name.as_bytes())),
            (Matcher::Exact, Value::Utf16(name)) => Some(*name == *self.text),
            (Matcher::EitherCase, Value::Utf16(name)) => {
                let lower = |unit: u16| match unit {
                    0x41..=0x5a => unit + 0x20,
                    _ => unit,
                };
                Some(name.units().map(lower).eq(self.text.bytes().map(u16::from)))
            }
            _ => None,
        }
    }

    /// Whether a name matches, which is UTF-8.
    #[inline]
    pub(crate) fn matches_utf8(&self, name: &[u8]) -> bool {
        match &self.matcher {
            Matcher::Exact => name == self.text.as_bytes(),
            Matcher::EitherCase => name.eq_ignore_ascii_case(self.text.as_bytes()),
            Matcher::Regex(regex) => regex.is_match(name),
        }
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Glob {}

/// A glob as a regular expression, searched for anywhere. Ends that may be anything are left out,
/// so that the search can begin with what has to be there.
fn regex_of(text: &str) -> Result<String, FilterError> {
    let wrong = |at, why| Err(FilterError::new(text, at, FilterProblem::Glob(why)));
    let inner = text.trim_start_matches('*');
    let mut regex = String::from(if inner.len() < text.len() { "" } else { "^" });
    let end = inner.trim_end_matches('*').len();
    let mut braces = None;
    let mut at = text.len() - inner.len();
    let end = at + end;
    while let Some(c) = text[at..end].chars().next() {
        let start = at;
        at += c.len_utf8();
        match c {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '{' if braces.is_some() => return wrong(start, "braces stand inside braces"),
            '{' => {
                braces = Some(start);
                regex.push_str("(?:");
            }
            '}' if braces.take().is_some() => regex.push(')'),
            ',' if braces.is_some() => regex.push('|'),
            '[' => match class(&text[at..], &mut regex) {
                Ok(length) => at += length,
                Err(why) => return wrong(start, why),
            },
            _ => push_char(c, &mut regex),
        }
    }
    if let Some(start) = braces {
        return wrong(start, "a brace is not closed");
    }
    if end == text.len() {
        regex.push('$');
    }
    Ok(regex)
}

/// Writes a class, of which `text` is what follows the bracket; gives how long it is with its
/// closing bracket. A bracket that comes first stands for itself.
fn class(text: &str, regex: &mut String) -> Result<usize, &'static str> {
    let inner = text.strip_prefix(['!', '^']);
    regex.push_str(if inner.is_some() { "[^" } else { "[" });
    let inner = inner.unwrap_or(text);
    let end = inner.char_indices().skip(1).find(|&(_, c)| c == ']').map(|(at, _)| at);
    let mut rest = &inner[..end.ok_or("a bracket is not closed")?];
    while let Some(low) = rest.chars().next() {
        rest = &rest[low.len_utf8()..];
        push_char(low, regex);
        let mut range = rest.chars();
        if let (Some('-'), Some(high)) = (range.next(), range.next()) {
            if high < low {
                return Err("a range in brackets ends before it begins");
            }
            rest = range.as_str();
            regex.push('-');
            push_char(high, regex);
        }
    }
    regex.push(']');
    Ok(text.len() - inner.len() + end.unwrap_or_default() + 1)
}

fn push_char(c: char, regex: &mut String) {
    use std::fmt::Write;
    // Writing to a string can't fail.
    let _ = write!(regex, "\\x{{{:x}}}", u32::from(c));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(glob: &str, name: &str) -> bool {
        Glob::parse(glob).unwrap().is_match(name)
    }

    #[test]
    fn wildcards_match_what_shells_match() {
        for (glob, name, expected) in [
            ("*", "", true),
            ("**", "x", true),
            ("*b*", "abc", true),
            ("*b*", "ac", false),
            ("b*", "ab", false),
            ("*b", "ba", false),
            ("*b", "ab", true),
            ("*", "any\nthing/at all", true),
            ("dc?", "dc1", true),
            ("dc?", "dc", false),
            ("dc?", "dcé", true),
            ("dc0[1-3]", "dc02", true),
            ("dc0[1-3]", "dc04", false),
            ("dc0[!1-3]", "dc04", true),
            ("[]x]", "]", true),
            ("[-a]", "-", true),
            ("[*]", "*", true),
            ("[*]", "x", false),
            ("{web,db}-*", "db-1", true),
            ("{web,db}-*", "dc-1", false),
            ("{,x}y", "y", true),
            ("a.b", "axb", false),
            ("a.b*", "axb", false),
            (r"corp\*", r"corp\alice", true),
            ("*/operational", "Microsoft-Windows-X/Operational", true),
            ("ab", "xab", false),
            ("a*b}", "a,b}", true),
        ] {
            assert_eq!(matches(glob, name), expected, "{glob} {name}");
        }
    }

    #[test]
    fn a_glob_matches_utf16_as_it_matches_utf8() {
        for glob in ["security", "Security", "sec*", "s-1", "\u{17f}ecurity", "größe"] {
            let glob = Glob::parse(glob).unwrap();
            for name in ["security", "SECURITY", "Security", "securit", "securityx", "", "größe"]
            {
                let bytes: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
                let value = Value::Utf16(crate::Utf16::new(&bytes));
                let answer = glob.matches_value(&value).unwrap_or_else(|| glob.is_match(name));
                assert_eq!(answer, glob.is_match(name), "{glob:?} {name}");
            }
        }
    }

    #[test]
    fn an_uppercase_letter_makes_case_count() {
        assert!(matches("security", "Security"));
        assert!(matches("sec*", "SECURITY"));
        assert!(matches("größe", "GRÖSSE") || matches("größe", "GRÖßE"));
        assert!(!matches("Security", "security"));
        assert!(!matches("Sec*", "SECURITY"));
        assert!(matches("S-1-5-18", "S-1-5-18"));
    }

    #[test]
    fn only_what_matches_one_name_is_literal() {
        let literal = |text| Glob::parse(text).unwrap().literal().map(str::to_owned);
        assert_eq!(literal("DC01.corp"), Some("DC01.corp".to_owned()));
        assert_eq!(literal("1.2.3.4"), Some("1.2.3.4".to_owned()));
        assert_eq!(literal("dc01"), None);
        assert_eq!(literal("DC*"), None);
    }

    #[test]
    fn what_is_no_glob_is_refused_at_its_place() {
        for (text, at, about) in [
            ("", 0, "nothing here"),
            ("dc[1", 2, "bracket is not closed"),
            ("[a*", 0, "bracket is not closed"),
            ("dc[]", 2, "bracket is not closed"),
            ("dc[!]", 2, "bracket is not closed"),
            ("dc{a", 2, "brace is not closed"),
            ("a{b{c}}", 3, "inside braces"),
            ("[z-a]", 0, "ends before it begins"),
        ] {
            let error = Glob::parse(text).unwrap_err();
            assert_eq!(error.place.byte(), at, "{text}");
            assert!(error.to_string().contains(about), "{text}: {error}");
        }
    }
}
