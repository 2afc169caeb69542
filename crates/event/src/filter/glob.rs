//! Globs: texts with wildcards, as names and values are asked for.

use regex::bytes::{Regex, RegexBuilder};

use super::error::{FilterError, FilterProblem};
use crate::Value;
use crate::text::{eq_ignore_case, fold};

/// A text with wildcards, which matches without regard to case.
///
/// `*` is any text, `?` one character, `[a-z]` and `[!a-z]` one that is or isn't among these,
/// `{a,b}` either; all else stands for itself, the backslash, the slash and braces without a comma
/// too. A wildcard in brackets stands for itself: `[*]`, `[[]`. The whole text has to match.
///
/// Case is ignored by Unicode's simple case folding, as regular expressions do.
#[derive(Clone, Debug)]
pub struct Glob {
    text: String,
    is_ascii: bool,
    matcher: Matcher,
}

#[derive(Clone, Debug)]
enum Matcher {
    /// The glob's text, in which nothing has case.
    Exact,
    /// The glob's text in any case.
    AnyCase,
    Regex(Regex),
}

impl Glob {
    /// The most bytes of a glob's text.
    pub const MAX_LENGTH: usize = 16 << 10;

    /// Reads a glob that is not empty, as names are asked for.
    ///
    /// # Errors
    ///
    /// [`FilterProblem::Empty`], [`FilterProblem::Glob`] for brackets and braces that are not
    /// closed, and [`FilterProblem::TooLong`] over [`MAX_LENGTH`](Self::MAX_LENGTH).
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        if text.is_empty() {
            let problem = FilterProblem::Empty("a name or a glob is needed");
            return Err(FilterError::new(text, 0, problem));
        }
        Self::parse_in(text, text)
    }

    /// Reads a glob, which may be empty, that is a part of an option's text.
    pub(crate) fn parse_in(whole: &str, text: &str) -> Result<Self, FilterError> {
        let wrong = |at: usize, problem| {
            let mut error = FilterError::about(whole, text, |_| problem);
            error.place = crate::Place::new(whole, error.place.byte() + at);
            error
        };
        if text.len() > Self::MAX_LENGTH {
            return Err(wrong(0, FilterProblem::TooLong(Self::MAX_LENGTH)));
        }
        let has_case = |c: char| fold(c) != c || c.is_lowercase() || c.is_uppercase();
        let matcher = match text.contains(['*', '?', '[', '{']) {
            false if text.chars().any(has_case) => Matcher::AnyCase,
            false => Matcher::Exact,
            true => Matcher::Regex(
                regex_of(text)
                    .and_then(|regex| {
                        RegexBuilder::new(&regex)
                            .case_insensitive(true)
                            .dot_matches_new_line(true)
                            .build()
                            .map_err(|_| (0, "too large"))
                    })
                    .map_err(|(at, why)| wrong(at, FilterProblem::Glob(why)))?,
            ),
        };
        Ok(Glob { text: text.to_owned(), is_ascii: text.is_ascii(), matcher })
    }

    /// The glob's text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether every name matches.
    pub fn matches_all(&self) -> bool {
        self.text.bytes().all(|byte| byte == b'*')
    }

    /// The longest text without wildcards that every match has somewhere, in any case; empty where
    /// there is none.
    pub fn required(&self) -> &str {
        match self.matcher {
            Matcher::Exact | Matcher::AnyCase => &self.text,
            // What is in brackets or braces needn't be there.
            Matcher::Regex(_) if self.text.contains(['[', '{']) => "",
            Matcher::Regex(_) => {
                let parts = self.text.split(['*', '?']);
                parts.max_by_key(|part| part.len()).unwrap_or_default()
            }
        }
    }

    /// All texts that the glob matches, where these are at most so many.
    pub(crate) fn literals(&self, most: usize) -> Option<Vec<String>> {
        match self.matcher {
            Matcher::Exact => (most > 0).then(|| vec![self.text.clone()]),
            Matcher::AnyCase => cases(&self.text, most),
            Matcher::Regex(_) => None,
        }
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
            (Matcher::AnyCase, Value::Utf16(name)) => Some(name.eq_ignore_case(&self.text)),
            _ => None,
        }
    }

    /// Whether a name matches, which is UTF-8.
    #[inline]
    pub(crate) fn matches_utf8(&self, name: &[u8]) -> bool {
        match &self.matcher {
            Matcher::Exact => name == self.text.as_bytes(),
            // As most that are compared are: ASCII, and another name.
            Matcher::AnyCase if name.eq_ignore_ascii_case(self.text.as_bytes()) => true,
            Matcher::AnyCase if self.is_ascii && name.is_ascii() => false,
            Matcher::AnyCase => {
                std::str::from_utf8(name).is_ok_and(|name| eq_ignore_case(name, &self.text))
            }
            Matcher::Regex(regex) => regex.is_match(name),
        }
    }
}

/// The spellings of a text of ASCII that differ in case only, where these are at most so many.
fn cases(text: &str, most: usize) -> Option<Vec<String>> {
    if !text.is_ascii() {
        return None;
    }
    let mut all = vec![String::new()];
    for c in text.chars() {
        let mut class =
            regex_syntax::hir::ClassUnicode::new([regex_syntax::hir::ClassUnicodeRange::new(c, c)]);
        class.try_case_fold_simple().ok()?;
        let alike: Vec<char> = class.iter().flat_map(|range| range.start()..=range.end()).collect();
        if all.len() * alike.len() > most {
            return None;
        }
        all = all.iter().flat_map(|text| alike.iter().map(move |c| format!("{text}{c}"))).collect();
    }
    Some(all)
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Glob {}

/// A glob as a regular expression, searched for anywhere. Ends that may be anything are left out,
/// so that the search can begin with what has to be there.
fn regex_of(text: &str) -> Result<String, (usize, &'static str)> {
    let wrong = |at, why| Err((at, why));
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
            // As shells do: a GUID is written in braces.
            '{' if !has_comma(&text[at..end]) => push_char(c, &mut regex),
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

/// Whether braces of which `text` is what follows the first have alternatives: a comma, or no end.
fn has_comma(text: &str) -> bool {
    text.find([',', '}']).is_none_or(|at| text[at..].starts_with(','))
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
        for glob in ["security", "Security", "sec*", "s-1", "\u{17f}ecurity", "größe", "1"] {
            let glob = Glob::parse(glob).unwrap();
            for name in
                ["security", "SECURITY", "\u{17f}ecurity", "securit", "securityx", "", "GRÖßE", "1"]
            {
                let bytes: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
                let value = Value::Utf16(crate::Utf16::new(&bytes));
                let answer = glob.matches_value(&value).unwrap_or_else(|| glob.is_match(name));
                assert_eq!(answer, glob.is_match(name), "{glob:?} {name}");
            }
        }
    }

    #[test]
    fn case_does_not_count() {
        assert!(matches("security", "Security"));
        assert!(matches("Security", "security"));
        assert!(matches("Sec*", "SECURITY"));
        assert!(matches("[A-C]x", "bX"));
        assert!(matches("gr\u{f6}\u{df}e", "GR\u{d6}\u{1e9e}E"));
        assert!(matches("S-1-5-18", "s-1-5-18"));
        assert!(!matches("gr\u{f6}\u{df}e", "GR\u{d6}SSE"));
    }

    #[test]
    fn a_guid_in_braces_stands_for_itself() {
        let guid = "{54849625-5478-4994-A5BA-3E3B0328C30D}";
        assert!(matches(guid, &guid.to_lowercase()));
        assert!(!matches(guid, guid.trim_matches(['{', '}'])));
        assert!(matches("{5*}", "{54849625}"));
        assert!(matches("{a}{b,c}", "{A}C"));
    }

    #[test]
    fn few_spellings_are_listed() {
        let literals = |text, most| Glob::parse(text).unwrap().literals(most);
        assert_eq!(literals("1.2.3.4", 1), Some(vec!["1.2.3.4".to_owned()]));
        assert_eq!(literals("a1", 2), Some(vec!["A1".to_owned(), "a1".to_owned()]));
        // The long s and the Kelvin sign count.
        assert_eq!(literals("s", 8).map(|all| all.len()), Some(3));
        assert_eq!(literals("ok", 8).map(|all| all.len()), Some(6));
        assert_eq!(literals("alice", 8), None);
        assert_eq!(literals("1*", 8), None);
    }

    #[test]
    fn what_is_no_glob_is_refused_at_its_place() {
        for (text, at, about) in [
            ("", 0, "nothing here"),
            ("dc[1", 2, "bracket is not closed"),
            ("[a*", 0, "bracket is not closed"),
            ("dc[]", 2, "bracket is not closed"),
            ("dc[!]", 2, "bracket is not closed"),
            ("dc{a,b", 2, "brace is not closed"),
            ("dc{a", 2, "brace is not closed"),
            ("a{b,{c,d}}", 4, "inside braces"),
            ("[z-a]", 0, "ends before it begins"),
        ] {
            let error = Glob::parse(text).unwrap_err();
            assert_eq!(error.place.byte(), at, "{text}");
            assert!(error.to_string().contains(about), "{text}: {error}");
        }
    }
}
