//! Regular expressions, as `--grep` and `--data NAME~=REGEX` have them.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ast::{self, LiteralKind};

use super::error::{FilterError, FilterProblem};
use super::word::Word;

/// A regular expression, searched for anywhere in a value. Case counts if there is an uppercase
/// letter in it that stands for itself ("smart case", as in ripgrep); `(?i)` and `(?-i)` decide
/// otherwise.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As it was written.
    text: Box<str>,
    regex: Regex,
    /// Whether a match depends on what stands around it: `^`, `$`, `\b`.
    looks_around: bool,
}

impl Pattern {
    /// The most bytes of a regular expression's text.
    pub const MAX_LENGTH: usize = 16 << 10;
    /// The most bytes of a compiled regular expression.
    const MAX_COMPILED: usize = 8 << 20;

    /// Reads a regular expression in the syntax of the crate `regex`, in which a blank stands for any
    /// white space: messages have tabs and line ends where they are printed with a blank.
    ///
    /// # Errors
    ///
    /// [`FilterProblem::Regex`] for what is none or is too large when compiled, and
    /// [`FilterProblem::TooLong`] over [`MAX_LENGTH`](Self::MAX_LENGTH).
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Self::build(text, text, true)
    }

    /// Reads a regular expression that is a part of an option's text. A blank is a blank.
    pub(crate) fn parse_in(text: &str, part: &str) -> Result<Self, FilterError> {
        Self::build(text, part, false)
    }

    fn build(text: &str, part: &str, has_wide_blanks: bool) -> Result<Self, FilterError> {
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
        let expression = if has_wide_blanks { widened(part, &ast) } else { part.to_owned() };
        let mut builder = RegexBuilder::new(&expression);
        match builder.case_insensitive(ignores_case).size_limit(Self::MAX_COMPILED).build() {
            Ok(regex) => Ok(Pattern { text: part.into(), regex, looks_around }),
            Err(_) => Err(wrong("it is too large when compiled".to_owned(), 0)),
        }
    }

    /// The expression's text, as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What the expression means, as a tree.
    fn ast(&self) -> Option<ast::Ast> {
        ast::parse::Parser::new().parse(self.regex.as_str()).ok()
    }

    /// What has to be in an event for the expression to be in it, if that can be told from its bytes.
    pub(super) fn word(&self) -> Option<Word> {
        let ast = self.ast()?;
        Word::of(self.regex.as_str(), &ast, Letters::of(&ast) == Letters::LowercaseOnly)
    }

    /// The longest text that every match has somewhere, in any case; empty where there is none or it
    /// isn't easily found.
    pub fn required(&self) -> String {
        self.ast().map(|ast| Required::of(&ast)).unwrap_or_default()
    }

    /// Whether the expression is a text that stands for itself.
    pub fn is_literal(&self) -> bool {
        self.ast().is_some_and(|ast| match &ast {
            ast::Ast::Literal(_) => true,
            ast::Ast::Concat(all) => all.asts.iter().all(|ast| matches!(ast, ast::Ast::Literal(_))),
            _ => false,
        })
    }

    /// Whether the expression is somewhere in the text, which is UTF-8.
    #[inline]
    pub fn is_in(&self, utf8: &[u8]) -> bool {
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

/// An expression in which each run of blanks that stand for themselves is any white space.
fn widened(expression: &str, ast: &ast::Ast) -> String {
    let mut blanks = Blanks::default();
    blanks.add(ast, 0);
    let mut wide = String::with_capacity(expression.len());
    let mut end = 0;
    for run in blanks.runs {
        wide.push_str(&expression[end..run.start]);
        wide.push_str(r"\s+");
        end = run.end;
    }
    wide.push_str(&expression[end..]);
    wide
}

/// Where blanks stand for themselves, each once: not in a class, and not repeated.
#[derive(Default)]
struct Blanks {
    runs: Vec<std::ops::Range<usize>>,
}

impl Blanks {
    /// How deep groups are looked into.
    const DEPTH: usize = 50;

    fn add(&mut self, ast: &ast::Ast, depth: usize) {
        match ast {
            ast::Ast::Literal(literal)
                if literal.c == ' ' && literal.kind == LiteralKind::Verbatim =>
            {
                let (start, end) = (literal.span.start.offset, literal.span.end.offset);
                match self.runs.last_mut() {
                    Some(run) if run.end == start => run.end = end,
                    _ => self.runs.push(start..end),
                }
            }
            ast::Ast::Concat(all) if depth < Self::DEPTH => {
                all.asts.iter().for_each(|ast| self.add(ast, depth + 1));
            }
            ast::Ast::Alternation(all) if depth < Self::DEPTH => {
                all.asts.iter().for_each(|ast| self.add(ast, depth + 1));
            }
            ast::Ast::Group(group) if depth < Self::DEPTH => self.add(&group.ast, depth + 1),
            // A blank that is repeated by itself stays as it is.
            ast::Ast::Repetition(repetition)
                if depth < Self::DEPTH && !matches!(*repetition.ast, ast::Ast::Literal(_)) =>
            {
                self.add(&repetition.ast, depth + 1);
            }
            _ => {}
        }
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

/// Looks for the longest run of letters that an expression can't do without.
#[derive(Default)]
struct Required {
    longest: String,
    run: String,
    /// Whether characters stand for bytes somewhere, which are no characters of a text.
    has_bytes: bool,
}

impl Required {
    /// How deep groups are looked into.
    const DEPTH: usize = 50;

    fn of(ast: &ast::Ast) -> String {
        let mut required = Required::default();
        required.add(ast, 0);
        required.end();
        if required.has_bytes { String::new() } else { required.longest }
    }

    fn add(&mut self, ast: &ast::Ast, depth: usize) {
        match ast {
            ast::Ast::Literal(literal) => self.run.push(literal.c),
            ast::Ast::Concat(all) if depth < Self::DEPTH => {
                all.asts.iter().for_each(|ast| self.add(ast, depth + 1));
            }
            ast::Ast::Group(group) if depth < Self::DEPTH => {
                self.note(group.flags());
                self.add(&group.ast, depth + 1);
            }
            ast::Ast::Flags(flags) => self.note(Some(&flags.flags)),
            // They take no room.
            ast::Ast::Assertion(_) | ast::Ast::Empty(_) => {}
            _ => self.end(),
        }
    }

    fn note(&mut self, flags: Option<&ast::Flags>) {
        let is_text = flags.and_then(|flags| flags.flag_state(ast::Flag::Unicode)) != Some(false);
        self.has_bytes |= !is_text;
    }

    fn end(&mut self) {
        let run = std::mem::take(&mut self.run);
        if run.len() > self.longest.len() {
            self.longest = run;
        }
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
    fn every_match_has_what_is_required() {
        for (pattern, required) in [
            ("alice", "alice"),
            ("^alice$", "alice"),
            ("a(bc)d.efgh", "abcd"),
            ("alice|bob", ""),
            ("x(alice)?yz", "yz"),
            ("(?i)Alice", "Alice"),
            ("[ab]c+", ""),
            ("(?x) a b # c", "ab"),
            (r"a(?-u:\xc3)b", ""),
            (r"(?-u)\xc3", ""),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().required(), required, "{pattern}");
        }
        assert!(Pattern::parse_in("a b=c", "a b=c").unwrap().is_literal());
        assert_eq!(Pattern::parse("account name").unwrap().required(), "account");
        assert!(Pattern::parse(r"a\.b").unwrap().is_literal());
        assert!(!Pattern::parse("^a").unwrap().is_literal());
    }

    #[test]
    fn a_blank_is_any_white_space_where_text_is_searched() {
        for (pattern, text, expected) in [
            ("Account Name: ann", "Account Name:\t\tann", true),
            ("logon. Subject", "logged on.\r\n\r\nSubject", false),
            ("on. Subject", "logged on.\r\n\r\nSubject", true),
            ("sc  create", "sc create", true),
            ("(a b|c d)e", "c\u{a0}de", true),
            ("[ x]y", "\ty", false),
            ("a *b", "a\tb", false),
            ("(a b)+c", "a\tba\nbc", true),
            (r"a\x20b", "a\tb", false),
            ("(?x) a b", "ab", true),
            ("a b", "ab", false),
        ] {
            let found = Pattern::parse(pattern).unwrap().is_in(text.as_bytes());
            assert_eq!(found, expected, "{pattern} {text:?}");
        }
        assert!(!Pattern::parse_in("a b", "a b").unwrap().is_in(b"a\tb"));
        assert_eq!(Pattern::parse("a b").unwrap().as_str(), "a b");
    }

    #[test]
    fn an_expression_is_found_anywhere() {
        let pattern = Pattern::parse("(?i)über.z").unwrap();
        assert!(pattern.is_in("xÜber\u{e9}z".as_bytes()));
        assert!(!pattern.is_in(b"uber"));
    }
}
