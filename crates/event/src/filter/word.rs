//! A text that has to be in an event for a search to find anything in it, looked for in the event's
//! bytes before these are decoded.

use std::sync::atomic::{AtomicU64, Ordering};

use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ast::Ast;
use regex_syntax::hir::{Hir, HirKind, translate::TranslatorBuilder};

/// A text of ASCII that is in whatever an expression matches, and that only text can hold: no number,
/// time, GUID, SID or hexadecimal has it.
#[derive(Debug)]
pub struct Word {
    utf16: Utf16,
    utf8: Regex,
    memo: Memo,
}

/// What looks for it in UTF-16LE.
#[derive(Debug)]
enum Utf16 {
    /// As it is. An expression would find it too, but begins each search with more than most events take.
    Exact(Box<Finder<'static>>),
    /// In either case.
    EitherCase(Regex),
}

/// Of some texts, by the end of their numbers, whether the word is in them: twice the number, and one more where
/// it is.
#[derive(Debug)]
struct Memo([AtomicU64; Memo::LEN]);

impl Memo {
    const LEN: usize = 256;
    /// Nothing is known. There aren't that many texts.
    const NOTHING: u64 = u64::MAX;
}

impl Word {
    /// The longest text that an expression has in each of its matches, where that is a word.
    pub(super) fn of(expression: &str, ast: &Ast, ignores_case: bool) -> Option<Self> {
        let hir = TranslatorBuilder::new().utf8(false).build().translate(expression, ast).ok()?;
        let mut needed: Vec<&[u8]> = Vec::new();
        add_needed(&hir, &mut needed);
        let is_word = |text: &&[u8]| is_word(text, ignores_case);
        let text = needed.into_iter().filter(is_word).max_by_key(|text| text.len())?;
        let utf16 = match ignores_case {
            false => {
                let bytes: Vec<u8> = text.iter().flat_map(|&byte| [byte, 0]).collect();
                Utf16::Exact(Box::new(Finder::new(&bytes).into_owned()))
            }
            true => {
                let bytes: String = text.iter().map(|&byte| either_case(byte)).collect();
                Utf16::EitherCase(RegexBuilder::new(&bytes).unicode(false).build().ok()?)
            }
        };
        let utf8 = regex_syntax::escape(std::str::from_utf8(text).ok()?);
        let utf8 = RegexBuilder::new(&utf8).case_insensitive(ignores_case).build();
        let memo = Memo([const { AtomicU64::new(Memo::NOTHING) }; Memo::LEN]);
        Some(Word { utf16, utf8: utf8.ok()?, memo })
    }

    /// Whether it may be in UTF-16LE that lies somewhere in these bytes. If not, it is in none.
    #[inline]
    pub fn may_be_in(&self, bytes: &[u8]) -> bool {
        match &self.utf16 {
            Utf16::Exact(finder) => finder.find(bytes).is_some(),
            Utf16::EitherCase(expression) => expression.is_match(bytes),
        }
    }

    /// Whether it is in a text that many events share, which is looked through for the first of them. The number
    /// is the text's own: while the program runs, no other has it.
    #[inline]
    pub fn is_in_shared(&self, number: u64, text: &str) -> bool {
        let memo = &self.memo.0[number as usize % Memo::LEN];
        // Each entry tells for itself of which text it is.
        match memo.load(Ordering::Relaxed) {
            found if found >> 1 == number => found & 1 == 1,
            _ => {
                let is_in = self.is_in(text);
                memo.store(number << 1 | u64::from(is_in), Ordering::Relaxed);
                is_in
            }
        }
    }

    fn is_in(&self, text: &str) -> bool {
        self.utf8.is_match(text.as_bytes())
    }
}

/// Adds texts of which each is in whatever an expression matches.
fn add_needed<'h>(hir: &'h Hir, needed: &mut Vec<&'h [u8]>) {
    match hir.kind() {
        HirKind::Literal(literal) => needed.push(&literal.0),
        HirKind::Capture(capture) => add_needed(&capture.sub, needed),
        HirKind::Concat(parts) => parts.iter().for_each(|part| add_needed(part, needed)),
        HirKind::Repetition(repetition) if repetition.min > 0 => {
            add_needed(&repetition.sub, needed);
        }
        _ => {}
    }
}

/// Whether a text is printable ASCII without an equals sign, which joins names and values, and has a
/// character that is in no value but text.
fn is_word(text: &[u8], ignores_case: bool) -> bool {
    // Digits and signs; hexadecimal, `0x`; the marks of times, SIDs and GUIDs, and what separates
    // items; `true`, `false`; `INF`, `NaN`, `e` of an exponent.
    const OTHERS: &[u8] = b"0123456789+-.:,{} abcdefABCDEFxTZSrulstINaN";
    let is_other = |byte: u8| match ignores_case {
        true => OTHERS.iter().any(|other| other.eq_ignore_ascii_case(&byte)),
        false => OTHERS.contains(&byte),
    };
    text.iter().all(|byte| (b' '..=b'~').contains(byte) && *byte != b'=')
        && text.iter().any(|&byte| !is_other(byte))
}

/// A character in UTF-16LE as an expression over bytes, with those that differ from it in case only.
fn either_case(byte: u8) -> String {
    if !byte.is_ascii_alphabetic() {
        return format!(r"\x{byte:02x}\x00");
    }
    let (lower, upper) = (byte.to_ascii_lowercase(), byte.to_ascii_uppercase());
    match lower {
        // The Kelvin sign and the long s.
        b'k' => format!(r"(?:[\x{lower:02x}\x{upper:02x}]\x00|\x2a\x21)"),
        b's' => format!(r"(?:[\x{lower:02x}\x{upper:02x}]\x00|\x7f\x01)"),
        _ => format!(r"[\x{lower:02x}\x{upper:02x}]\x00"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pattern;

    fn word(pattern: &str) -> Option<super::Word> {
        Pattern::parse(pattern).unwrap().word()
    }

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn an_expression_has_a_word_where_all_it_matches_holds_text_that_no_number_has() {
        for pattern in
            ["VSSVC", "VSSVC.*exe", "(mimi)+", "x(y|z)key", r"\\pipe\\", "^Logon$", "dead beef/"]
        {
            assert!(word(pattern).is_some(), "{pattern}");
        }
        for pattern in [
            "",
            "4624",
            "S-1-5-21",
            "dead beef",
            "0x1f",
            "true",
            "false",
            "NaN",
            "(?i)key",
            "a|key",
            "(key)*",
            "Name=key",
            "größe",
            ".*",
            "2016-07-08T18",
            "k|y",
        ] {
            assert!(word(pattern).is_none(), "{pattern}");
        }
    }

    #[test]
    fn a_word_is_found_in_bytes_wherever_the_expression_is_found_in_their_text() {
        for (pattern, text) in [
            ("VSSVC", "C:\\VSSVC.exe"),
            ("vssvc", "C:\\VSSVC.exe"),
            ("key", "\u{212a}EY"),
            ("keys", "a\u{212a}EY\u{17f}"),
            ("oops.*kk", "OOP\u{17f}\u{e9}K\u{212a}"),
            (r"pipe\\q", "PIPE\\Q"),
        ] {
            let expression = Pattern::parse(pattern).unwrap();
            assert!(expression.is_in(text.as_bytes()), "{pattern} {text}");
            let word = expression.word().unwrap();
            assert!(word.may_be_in(&utf16(text)), "{pattern} {text}");
            // Whatever stands around it, and at whatever place.
            let around = [&[7][..], &utf16(text), &[0, 1]].concat();
            assert!(word.may_be_in(&around), "{pattern} {text}");
        }
        assert!(!word("VSSVC").unwrap().may_be_in(&utf16("vssvc")));
        assert!(!word("vssvc").unwrap().may_be_in(&utf16("vss vc")));
        assert!(word("vssvc").unwrap().is_in("xVSSVC"));
    }

    #[test]
    fn each_shared_text_is_looked_through_once_and_for_itself() {
        let word = word("vssvc").unwrap();
        let len = super::Memo::LEN as u64;
        for _ in 0..2 {
            // The first three take each other's place.
            for (number, text, expected) in [
                (1, "VSSVC", true),
                (1 + len, "other", false),
                (1 + 2 * len, "a vssvc", true),
                (2, "", false),
                (0, "vssvc", true),
            ] {
                assert_eq!(word.is_in_shared(number, text), expected, "{number}");
            }
            assert!(word.is_in_shared(0, "what is known isn't looked through"));
        }
    }
}
