//! Regular expressions, as `--grep` and `--data NAME~=REGEX` have them.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ast;

use super::error::{FilterError, FilterProblem};

/// A regular expression, searched for anywhere in a value. Case counts if there is an uppercase
/// letter in it that stands for itself ("smart case", as in ripgrep); `(?i)` and `(?-i)` decide
/// otherwise.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: Regex,
    /// Whether a match depends on what stands around it: `^`, `$`, `\b`.
    looks_around: bool,
}

impl Pattern {
    /// The most bytes of a regular expression's text.
    pub const MAX_LENGTH: usize = 16 << 10;
    /// The most bytes of a compiled regular expression.
    const MAX_COMPILED: usize = 8 << 20;

    /// Reads a regular expression in the syntax of the crate `regex`.
    ///
    /// # Errors
    ///
    /// [`FilterProblem::Regex`] for what is none or is too large when compiled, and
    /// [`FilterProblem::TooLong`] over [`MAX_LENGTH`](Self::MAX_LENGTH).
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
        let of_ast = |error: ast::Error| wrong(error.kind().to_string(), error.span().start.offset);
        let ast = ast::parse::Parser::new().parse(part).map_err(of_ast)?;
        let ignores_case = Letters::of(&ast) == Letters::LowercaseOnly;
        // The translator's own error says where; the error of a compiled regex doesn't.
        let hir = regex_syntax::hir::translate::TranslatorBuilder::new()
            .utf8(false)
            .case_insensitive(ignores_case)
            .build()
            .translate(part, &ast)
            .map_err(|error| wrong(error.kind().to_string(), error.span().start.offset))?;
        let looks_around = !hir.properties().look_set().is_empty();
        let mut builder = RegexBuilder::new(part);
        match builder.case_insensitive(ignores_case).size_limit(Self::MAX_COMPILED).build() {
            Ok(regex) => Ok(Pattern { regex, looks_around }),
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

    /// Whether the expression is somewhere in a value, or in the value with its name before it,
    /// `NAME=VALUE`. Both are UTF-8; `pair` is what the second is made in.
    pub(crate) fn is_in_pair(&self, name: &str, value: &[u8], pair: &mut Vec<u8>) -> bool {
        // What is in the value is in both together, unless the place counts.
        if self.looks_around && self.is_in(value) {
            return true;
        }
        pair.clear();
        pair.extend_from_slice(name.as_bytes());
        pair.push(b'=');
        pair.extend_from_slice(value);
        self.is_in(pair)
    }
}

/// The letters of an expression that stand for themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Letters {
    None,
    LowercaseOnly,
    Uppercase,
}

impl Letters {
    fn of(ast: &ast::Ast) -> Self {
        // The visitor doesn't fail.
        ast::visit(ast, Letters::None).unwrap_or(Letters::Uppercase)
    }

    fn add(&mut self, c: char) {
        if c.is_uppercase() {
            *self = Letters::Uppercase;
        } else if *self == Letters::None {
            *self = Letters::LowercaseOnly;
        }
    }
}

impl ast::Visitor for Letters {
    type Output = Letters;
    type Err = std::convert::Infallible;

    fn finish(self) -> Result<Letters, Self::Err> {
        Ok(self)
    }

    fn visit_pre(&mut self, ast: &ast::Ast) -> Result<(), Self::Err> {
        if let ast::Ast::Literal(literal) = ast {
            self.add(literal.c);
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ast::ClassSetItem) -> Result<(), Self::Err> {
        match item {
            ast::ClassSetItem::Literal(literal) => self.add(literal.c),
            ast::ClassSetItem::Range(range) => {
                self.add(range.start.c);
                self.add(range.end.c);
            }
            _ => {}
        }
        Ok(())
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
    fn an_uppercase_letter_makes_case_count() {
        for (pattern, text, expected) in [
            ("alice", "ALICE", true),
            ("Alice", "ALICE", false),
            ("Alice", "xAlicey", true),
            (r"\Salice\W", "xALICE!", true),
            ("[a-c]x", "BX", true),
            ("[A-C]x", "bx", false),
            (r"\p{Lu}x", "aX", true),
            ("(?-i)alice", "ALICE", false),
            ("(?i)Alice", "ALICE", true),
            ("4624", "4624", true),
        ] {
            let found = Pattern::parse(pattern).unwrap().is_in(text.as_bytes());
            assert_eq!(found, expected, "{pattern} {text}");
        }
    }

    #[test]
    fn an_expression_is_found_in_a_value_and_with_its_name() {
        let is_in = |pattern: &str, name: &str, value: &str| {
            let pair = &mut Vec::new();
            Pattern::parse(pattern).unwrap().is_in_pair(name, value.as_bytes(), pair)
        };
        assert!(is_in("a=x", "A", "xy"));
        assert!(is_in("^x", "A", "xy"));
        assert!(is_in("^A=x", "A", "xy"));
        assert!(is_in("(?m)^xy$", "A", "xy"));
        assert!(!is_in("^y", "A", "xy"));
        assert!(!is_in("b=x", "A", "xy"));
    }

    #[test]
    fn an_expression_is_found_anywhere() {
        let pattern = Pattern::parse("(?i)über.z").unwrap();
        assert!(pattern.is_in("xÜber\u{e9}z".as_bytes()));
        assert!(!pattern.is_in(b"uber"));
    }
}
