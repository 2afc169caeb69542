//! Text patterns of rules: literals and wildcards, read and tested.
//!
//! The escapes are those of the specification (Sigma 2.1.0, "Escaping"): `*` and `?` are wildcards,
//! `\*` and `\?` stand for themselves, `\\` is one backslash, so `\\*` is a backslash and a wildcard,
//! and any other lone backslash is itself.

use quarry_event::text::fold;

/// What is searched for, piece by piece.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pattern {
    pieces: Vec<Piece>,
}

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Piece {
    /// This text.
    Text(String),
    /// `*`: any text, none and line ends too.
    Any,
    /// `?`: any one character.
    One,
    /// Any of the dashes that Windows' programs take for one another: the modifier `windash`.
    Dash,
}

/// The characters that begin an option, to some program or other.
pub(crate) const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];

/// The most texts that the dashes of a pattern are made into beforehand.
pub(crate) const MOST_DASHED: usize = 25;

impl Pattern {
    /// Reads a value with wildcards and escapes.
    pub(crate) fn parse(text: &str) -> Self {
        let mut pattern = Pattern { pieces: Vec::new() };
        let mut rest = text;
        while let Some(at) = rest.find(['\\', '*', '?']) {
            pattern.push_text(&rest[..at]);
            let special = &rest[at..];
            let (meant, length) = match special.as_bytes() {
                [b'\\', b'\\' | b'*' | b'?', ..] => (&special[1..2], 2),
                _ => (&special[..1], 1),
            };
            match (meant, length) {
                ("*", 1) => pattern.push(Piece::Any),
                ("?", 1) => pattern.push(Piece::One),
                (text, _) => pattern.push_text(text),
            }
            rest = &special[length..];
        }
        pattern.push_text(rest);
        pattern
    }

    /// A text without wildcards.
    pub(crate) fn literal(text: &str) -> Self {
        let mut pattern = Pattern { pieces: Vec::new() };
        if !text.is_empty() {
            pattern.push(Piece::Text(text.to_owned()));
        }
        pattern
    }

    fn push_char(&mut self, c: char) {
        match self.pieces.last_mut() {
            Some(Piece::Text(text)) => text.push(c),
            _ => self.pieces.push(Piece::Text(c.into())),
        }
    }

    fn push_text(&mut self, more: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Text(text)) => text.push_str(more),
            _ if more.is_empty() => {}
            _ => self.pieces.push(Piece::Text(more.to_owned())),
        }
    }

    fn push(&mut self, piece: Piece) {
        // Two wildcards for any text are one.
        if piece != Piece::Any || self.pieces.last() != Some(&Piece::Any) {
            self.pieces.push(piece);
        }
    }

    /// The text, where there is no wildcard.
    pub(crate) fn as_literal(&self) -> Option<&str> {
        match &*self.pieces {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// How many bytes of text all forms have that the dashes make of the pattern.
    pub(crate) fn bytes(&self) -> usize {
        let sizes = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.len(),
            _ => 1,
        });
        let dashes = self.pieces.iter().filter(|piece| **piece == Piece::Dash).count();
        let forms = match dashes {
            0 => 1,
            1 => DASHES.len(),
            _ => MOST_DASHED,
        };
        sizes.sum::<usize>().saturating_mul(forms)
    }

    /// How many of its pieces are one character of several.
    pub(crate) fn ones(&self) -> usize {
        self.pieces.iter().filter(|piece| matches!(piece, Piece::One | Piece::Dash)).count()
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The same at any place of a text.
    pub(crate) fn contained(self) -> Self {
        self.starting().ending()
    }

    /// The same at the beginning of a text.
    pub(crate) fn starting(mut self) -> Self {
        self.push(Piece::Any);
        self
    }

    /// The same at the end of a text.
    pub(crate) fn ending(mut self) -> Self {
        if self.pieces.first() != Some(&Piece::Any) {
            self.pieces.insert(0, Piece::Any);
        }
        self
    }

    /// The same with each dash that begins an option (one before a word, not in one) standing for
    /// all of them.
    pub(crate) fn with_dashes(self) -> Self {
        let mut pattern = Pattern { pieces: Vec::new() };
        for piece in self.pieces {
            let Piece::Text(text) = piece else {
                pattern.push(piece);
                continue;
            };
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let mut before = None;
            let mut chars = text.chars().peekable();
            while let Some(c) = chars.next() {
                let is_first = !before.is_some_and(is_word);
                let begins = is_first && chars.peek().is_some_and(|&next| is_word(next));
                match DASHES.contains(&c) && begins {
                    true => pattern.push(Piece::Dash),
                    false => pattern.push_char(c),
                }
                before = Some(c);
            }
        }
        pattern
    }

    /// The same with its text folded, for a text that is.
    pub(crate) fn folded(&self) -> Self {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => Piece::Text(folded(text)),
            other => other.clone(),
        });
        Pattern { pieces: pieces.collect() }
    }

    /// The same without blanks at its end.
    pub(crate) fn trimmed_end(&self) -> Self {
        let mut pattern = self.clone();
        if let Some(Piece::Text(text)) = pattern.pieces.last_mut() {
            text.truncate(text.trim_end_matches(' ').len());
            if text.is_empty() {
                pattern.pieces.pop();
            }
        }
        pattern
    }

    /// Each text that the dashes make of the pattern, with each dash for each; nothing where there
    /// are more than `most`.
    pub(crate) fn dashed(&self, most: usize) -> Option<Vec<Pattern>> {
        let dashes = self.pieces.iter().filter(|piece| **piece == Piece::Dash).count();
        if dashes == 0 {
            return Some(vec![self.clone()]);
        }
        let all = DASHES.len().checked_pow(u32::try_from(dashes).ok()?)?;
        if all > most {
            return None;
        }
        let mut made = vec![Pattern { pieces: Vec::new() }];
        for piece in &self.pieces {
            let choices: Vec<Piece> = match piece {
                Piece::Dash => DASHES.iter().map(|&dash| Piece::Text(dash.into())).collect(),
                other => vec![other.clone()],
            };
            made = made
                .iter()
                .flat_map(|start| choices.iter().map(move |piece| start.joined(piece)))
                .collect();
        }
        Some(made)
    }

    fn joined(&self, piece: &Piece) -> Pattern {
        let mut pattern = self.clone();
        match piece {
            Piece::Text(text) => pattern.push_text(text),
            other => pattern.push(other.clone()),
        }
        pattern
    }

    /// Whether a whole text is what the pattern says, with regard to case.
    ///
    /// Takes at most the product of both lengths: of wildcards for any text, only the last one is
    /// ever tried again, since what an earlier one would match, it can.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let (mut piece, mut at) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        loop {
            let step = match self.pieces.get(piece) {
                Some(Piece::Any) if piece + 1 == self.pieces.len() => return true,
                Some(Piece::Any) => {
                    piece += 1;
                    retry = Some((piece, at));
                    continue;
                }
                Some(Piece::Text(wanted)) => {
                    text[at..].starts_with(&**wanted).then_some(wanted.len())
                }
                Some(Piece::One) => text[at..].chars().next().map(char::len_utf8),
                Some(Piece::Dash) => {
                    text[at..].chars().next().filter(|c| DASHES.contains(c)).map(char::len_utf8)
                }
                None => (at == text.len()).then_some(0),
            };
            match (step, &mut retry) {
                (Some(_), _) if piece == self.pieces.len() => return true,
                (Some(bytes), _) => {
                    piece += 1;
                    at += bytes;
                }
                (None, Some((from, start))) => {
                    let Some(c) = text[*start..].chars().next() else { return false };
                    *start += c.len_utf8();
                    // To where the next piece can be at all.
                    if let Some(Piece::Text(wanted)) = self.pieces.get(*from) {
                        let Some(found) = text[*start..].find(&**wanted) else { return false };
                        *start += found;
                    }
                    (piece, at) = (*from, *start);
                }
                (None, None) => return false,
            }
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => f.write_str(text)?,
                Piece::Any => f.write_str("*")?,
                Piece::One => f.write_str("?")?,
                Piece::Dash => f.write_str("[-/\u{2013}\u{2014}\u{2015}]")?,
            }
        }
        Ok(())
    }
}

/// A text for comparing without regard to case.
pub(crate) fn folded(text: &str) -> String {
    let mut folded = String::new();
    fold_into(text, &mut folded);
    folded
}

/// Writes a text for comparing without regard to case.
#[inline]
pub(crate) fn fold_into(text: &str, out: &mut String) {
    let start = out.len();
    out.push_str(text);
    if text.is_ascii() {
        out[start..].make_ascii_lowercase();
    } else {
        out.truncate(start);
        out.extend(text.chars().map(fold));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::parse(pattern).matches(text)
    }

    #[test]
    fn escapes_are_those_of_the_specification() {
        for (pattern, text) in [
            (r"a\b", r"a\b"),
            (r"a\\b", r"a\b"),
            (r"a\\\\b", r"a\\b"),
            (r"a\\\b", r"a\\b"),
            (r"a\*b", "a*b"),
            (r"a\\*", r"a\xyz"),
            (r"a\\\*", r"a\*"),
            (r"a\?b", "a?b"),
            (r"\Temp\", r"\Temp\"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [(r"a\*b", "axb"), (r"a\\*", "axyz"), (r"a\\\*", r"a\x")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_dash_before_a_word_stands_for_each_and_one_in_a_word_for_itself() {
        let pattern = Pattern::parse(" -foo-bar /x").with_dashes();
        assert!(pattern.matches(" /foo-bar \u{2014}x"));
        assert!(!pattern.matches(" /foo/bar /x"));
        assert_eq!(pattern.dashed(25).unwrap().len(), 25);
        assert_eq!(pattern.dashed(24), None);
    }

    /// The same by trying everything.
    fn slow(pieces: &[Piece], text: &str) -> bool {
        let rest = |c: char| &text[c.len_utf8()..];
        match pieces {
            [] => text.is_empty(),
            [Piece::Text(wanted), more @ ..] => {
                text.strip_prefix(&**wanted).is_some_and(|rest| slow(more, rest))
            }
            [Piece::Any, more @ ..] => {
                slow(more, text) || text.chars().next().is_some_and(|c| slow(pieces, rest(c)))
            }
            [Piece::One, more @ ..] => text.chars().next().is_some_and(|c| slow(more, rest(c))),
            [Piece::Dash, more @ ..] => {
                text.chars().next().is_some_and(|c| DASHES.contains(&c) && slow(more, rest(c)))
            }
        }
    }

    proptest! {
        #[test]
        fn trying_the_last_wildcard_again_is_trying_everything(
            pattern in r"[ab*?\\\-]{0,8}", text in r"[ab*\\\-–]{0,10}", dashes: bool,
        ) {
            let pattern = Pattern::parse(&pattern);
            let pattern = if dashes { pattern.with_dashes() } else { pattern };
            prop_assert_eq!(pattern.matches(&text), slow(pattern.pieces(), &text));
        }

        #[test]
        fn any_bytes_are_a_pattern(pattern: String, text: String) {
            let pattern = Pattern::parse(&pattern);
            prop_assert_eq!(pattern.matches(&text), pattern.matches(&text));
            prop_assert!(pattern.contained().with_dashes().to_string().starts_with('*'));
        }
    }
}
