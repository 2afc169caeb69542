//! Regular expressions, as `--grep` and `--data NAME~=REGEX` have them.

use regex::bytes::{Regex, RegexBuilder};

use super::error::{FilterError, FilterProblem};

/// A regular expression, searched for anywhere in a value.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: Regex,
}

impl Pattern {
    /// The most bytes of a regular expression's text.
    pub const MAX_LENGTH: usize = 16 << 10;
    /// The most bytes of a compiled regular expression.
    const MAX_COMPILED: usize = 8 << 20;

    /// Reads a regular expression in the syntax of the crate `regex`; `(?i)` makes it match in
    /// either case.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Self::parse_in(text, text)
    }

    /// Reads a regular expression that is a part of an option's text.
    pub(crate) fn parse_in(text: &str, part: &str) -> Result<Self, FilterError> {
        let wrong = |why: String, at: usize| {
            let mut error = FilterError::about(text, part, |_| FilterProblem::Regex(why));
            error.place = crate::Place::new(text, error.place.byte() + at);
            error
        };
        if part.len() > Self::MAX_LENGTH {
            let problem = FilterProblem::TooLong(Self::MAX_LENGTH);
            return Err(FilterError::new(text, Self::MAX_LENGTH, problem));
        }
        // The parser's own error says where; the error of a compiled regex doesn't.
        if let Err(error) = regex_syntax::Parser::new().parse(part) {
            return Err(match &error {
                regex_syntax::Error::Parse(e) => wrong(e.kind().to_string(), e.span().start.offset),
                regex_syntax::Error::Translate(e) => {
                    wrong(e.kind().to_string(), e.span().start.offset)
                }
                _ => wrong("it can't be read".to_owned(), 0),
            });
        }
        match RegexBuilder::new(part).size_limit(Self::MAX_COMPILED).build() {
            Ok(regex) => Ok(Pattern { regex }),
            Err(_) => Err(wrong("it is too large when compiled".to_owned(), 0)),
        }
    }

    /// The expression's text.
    pub fn as_str(&self) -> &str {
        self.regex.as_str()
    }

    /// Whether the expression is somewhere in the text, which is UTF-8.
    #[inline]
    pub(crate) fn is_in(&self, utf8: &[u8]) -> bool {
        self.regex.is_match(utf8)
    }

    /// Where the expression is in the text, which is UTF-8.
    pub(crate) fn find_in<'t>(
        &'t self,
        utf8: &'t [u8],
    ) -> impl Iterator<Item = std::ops::Range<usize>> + 't {
        self.regex.find_iter(utf8).map(|found| found.range())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_expression_is_refused_at_its_place() {
        let error = Pattern::parse("ab(c").unwrap_err();
        assert_eq!(
            (error.place.byte(), error.to_string()),
            (2, "not a regular expression: unclosed group".to_owned())
        );
        assert!(Pattern::parse("a{1000}{1000}{1000}").unwrap_err().to_string().contains("large"));
        let long = "a".repeat(Pattern::MAX_LENGTH + 1);
        assert!(Pattern::parse(&long).unwrap_err().to_string().contains("16384 bytes"));
    }

    #[test]
    fn an_expression_is_found_anywhere() {
        let pattern = Pattern::parse("(?i)über.z").unwrap();
        assert!(pattern.is_in("xÜber\u{e9}z".as_bytes()));
        assert!(!pattern.is_in(b"uber"));
    }
}
