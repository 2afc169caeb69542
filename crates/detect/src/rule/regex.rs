//! Regular expressions of rules (the modifier `re`): bounded, and with PCRE's meaning, which the
//! specification names as theirs, where the crate `regex` has another.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use regex::{Regex, RegexBuilder};
use regex_syntax::ast::{self, AssertionKind, Ast, ClassPerl, ClassPerlKind, ClassSetItem, Flag};
use regex_syntax::hir::{Class, Hir, HirKind};
use regex_syntax::utf8::Utf8Sequences;

use super::RuleProblem;
use super::search::{Budget, RULE_REGEX_BYTES};

/// The most memory of a compiled regular expression, in bytes.
const REGEX_BYTES: usize = 4 << 20;
/// The sizes that one is tried with, each of which counts against those of its rule.
const REGEX_STEPS: [usize; 3] = [32 << 10, 512 << 10, REGEX_BYTES];
/// What a state of one takes at most, in bytes, its transitions included.
const STATE_BYTES: u64 = 64;
/// How deep a regular expression may be nested.
const REGEX_DEPTH: u32 = 64;
/// The longest regular expression, in bytes.
const REGEX_LENGTH: usize = 16 << 10;

/// A regular expression, which is equal to another of the same text and flags. It is compiled when
/// the first value is tested: of a folder of rules, most are about events that there are none of.
#[derive(Clone, Debug)]
pub(crate) struct TextRegex {
    /// As the rule writes it.
    text: Arc<str>,
    /// The same for the crate `regex`.
    translated: Arc<str>,
    flags: String,
    compiled: Arc<OnceLock<Option<Regex>>>,
}

impl PartialEq for TextRegex {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.flags == other.flags
    }
}

impl Eq for TextRegex {}

impl Hash for TextRegex {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.text, &self.flags).hash(state);
    }
}

impl TextRegex {
    pub(crate) fn is_match(&self, text: &str) -> bool {
        // It was read before, and its size was bounded then; so it compiles.
        let compile = || build(&self.translated, &self.flags, usize::MAX).ok();
        self.compiled.get_or_init(compile).as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

impl std::fmt::Display for TextRegex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "/{}/{}", self.text, self.flags)
    }
}

pub(super) fn regex(
    written: &str,
    flags: &str,
    budget: &mut Budget,
) -> Result<TextRegex, RuleProblem> {
    if written.len() > REGEX_LENGTH {
        let why = format!("a regular expression has more than {REGEX_LENGTH} bytes");
        return Err(RuleProblem::Malformed(why));
    }
    let translated = translate(written, flags)?;
    let text = &*translated;
    let made = |bytes: usize, compiled: OnceLock<Option<Regex>>, budget: &mut Budget| {
        budget.regex_bytes -= bytes;
        let flags = flags.to_owned();
        let (text, translated) = (written.into(), text.into());
        TextRegex { text, translated, flags, compiled: Arc::new(compiled) }
    };
    // One that is surely small enough is compiled when it is needed.
    if let Some(bytes) = most_bytes(text, flags)
        && bytes <= REGEX_BYTES.min(budget.regex_bytes)
    {
        return Ok(made(bytes, OnceLock::new(), budget));
    }
    let mut wrong = None;
    for bytes in REGEX_STEPS {
        if bytes > budget.regex_bytes {
            let why =
                format!("regular expressions of more than {RULE_REGEX_BYTES} bytes in a rule");
            return Err(RuleProblem::Unsupported(why));
        }
        match build(text, flags, bytes) {
            Ok(regex) => return Ok(made(bytes, OnceLock::from(Some(regex)), budget)),
            Err(error) => {
                let is_larger = matches!(error, regex::Error::CompiledTooBig(_));
                wrong = Some(unsupported(written, &error));
                if !is_larger {
                    break;
                }
            }
        }
    }
    Err(wrong.unwrap_or_else(|| RuleProblem::malformed("a regular expression can't be read")))
}

/// An expression for the crate `regex` that means what PCRE makes of the text: `\d`, `\w`, `\s` and
/// `\b` are about ASCII, `$` is also before a last line end, `\<` and `\>` are characters. What can't
/// be said otherwise is refused. One that can't be read stays as it is, to be refused later.
fn translate(text: &str, flags: &str) -> Result<String, RuleProblem> {
    let parsed = ast::parse::ParserBuilder::new().nest_limit(REGEX_DEPTH).build().parse(text);
    let Ok(parsed) = parsed else { return Ok(text.to_owned()) };
    let translation = Translation { edits: Vec::new(), ends: Vec::new(), is_multi_line: false };
    let Translation { mut edits, ends, is_multi_line } = ast::visit(&parsed, translation)?;
    if !is_multi_line && !flags.contains('m') {
        edits.extend(ends.into_iter().map(|(start, end)| (start, end, r"(?:\n?\z)")));
    }
    edits.sort_unstable();
    let mut translated = String::with_capacity(text.len());
    let mut done = 0;
    for (start, end, by) in edits {
        translated.push_str(text.get(done..start).unwrap_or_default());
        translated.push_str(by);
        done = end;
    }
    translated.push_str(text.get(done..).unwrap_or_default());
    Ok(translated)
}

struct Translation {
    /// What takes the place of some bytes.
    edits: Vec<(usize, usize, &'static str)>,
    /// Where `$` stands.
    ends: Vec<(usize, usize)>,
    is_multi_line: bool,
}

impl Translation {
    fn put(&mut self, span: &ast::Span, by: &'static str) {
        self.edits.push((span.start.offset, span.end.offset, by));
    }

    fn perl(&mut self, class: &ClassPerl) {
        let by = match (&class.kind, class.negated) {
            (ClassPerlKind::Digit, false) => "[0-9]",
            (ClassPerlKind::Digit, true) => "[^0-9]",
            (ClassPerlKind::Space, false) => r"[\t-\r ]",
            (ClassPerlKind::Space, true) => r"[^\t-\r ]",
            (ClassPerlKind::Word, false) => "[0-9A-Za-z_]",
            (ClassPerlKind::Word, true) => "[^0-9A-Za-z_]",
        };
        self.put(&class.span, by);
    }

    fn flags(&mut self, flags: &ast::Flags) -> Result<(), RuleProblem> {
        for item in &flags.items {
            match item.kind {
                ast::FlagsItemKind::Flag(Flag::MultiLine) => self.is_multi_line = true,
                ast::FlagsItemKind::Flag(Flag::Unicode | Flag::CRLF) => {
                    return refuse("a flag that PCRE doesn't have");
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn refuse<T>(what: &str) -> Result<T, RuleProblem> {
    Err(RuleProblem::Unsupported(format!("{what} in a regular expression")))
}

impl ast::Visitor for Translation {
    type Output = Self;
    type Err = RuleProblem;

    fn finish(self) -> Result<Self, RuleProblem> {
        Ok(self)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), RuleProblem> {
        match ast {
            Ast::ClassPerl(class) => self.perl(class),
            Ast::Flags(set) => self.flags(&set.flags)?,
            Ast::Group(group) => {
                if let ast::GroupKind::NonCapturing(flags) = &group.kind {
                    self.flags(flags)?;
                }
            }
            Ast::Repetition(outer) => {
                let is_plus = matches!(outer.op.kind, ast::RepetitionKind::OneOrMore);
                if is_plus && matches!(*outer.ast, Ast::Repetition(_)) {
                    return refuse("a possessive repetition");
                }
            }
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::EndLine => {
                    let ast::Span { start, end } = assertion.span;
                    self.ends.push((start.offset, end.offset));
                }
                AssertionKind::WordBoundaryStartAngle => self.put(&assertion.span, "<"),
                AssertionKind::WordBoundaryEndAngle => self.put(&assertion.span, ">"),
                AssertionKind::WordBoundary => self.put(&assertion.span, r"(?-u:\b)"),
                AssertionKind::WordBoundaryStart
                | AssertionKind::WordBoundaryEnd
                | AssertionKind::WordBoundaryStartHalf
                | AssertionKind::WordBoundaryEndHalf => {
                    return refuse(r"`\b` before a brace");
                }
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), RuleProblem> {
        match item {
            ClassSetItem::Perl(class) => self.perl(class),
            ClassSetItem::Bracketed(_) => {
                return refuse(r"`[` inside of a class, which `\[` would be,");
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_binary_op_pre(
        &mut self,
        _: &ast::ClassSetBinaryOp,
    ) -> Result<(), RuleProblem> {
        refuse("`&&`, `--` or `~~` inside of a class")
    }
}

fn build(text: &str, flags: &str, bytes: usize) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text)
        .case_insensitive(flags.contains('i'))
        .multi_line(flags.contains('m'))
        .dot_matches_new_line(flags.contains('s'))
        .nest_limit(REGEX_DEPTH)
        .size_limit(bytes)
        .build()
}

/// A number of bytes that a regular expression takes at most when it is compiled; nothing where it
/// can't be read.
fn most_bytes(text: &str, flags: &str) -> Option<usize> {
    let hir = regex_syntax::ParserBuilder::new()
        .case_insensitive(flags.contains('i'))
        .multi_line(flags.contains('m'))
        .dot_matches_new_line(flags.contains('s'))
        .nest_limit(REGEX_DEPTH)
        .build()
        .parse(text)
        .ok()?;
    // Those around it, for a match that begins anywhere.
    let states = most_states(&hir).saturating_add(16);
    usize::try_from(states.saturating_mul(STATE_BYTES)).ok()
}

/// A number of states that an expression has at most as an automaton.
fn most_states(hir: &Hir) -> u64 {
    let sum = |terms: &[Hir]| {
        terms.iter().fold(0_u64, |sum, term| sum.saturating_add(most_states(term) + 2))
    };
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Class(Class::Bytes(class)) => 1 + class.ranges().len() as u64,
        HirKind::Class(Class::Unicode(class)) => {
            // Each sequence of bytes has four at most.
            let sequences = class.ranges().iter().map(|range| match range.end().is_ascii() {
                true => 1,
                false => 4 * Utf8Sequences::new(range.start(), range.end()).count() as u64,
            });
            1 + sequences.sum::<u64>()
        }
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(repetition.min).max(1);
            (most_states(&repetition.sub) + 2).saturating_mul(u64::from(times) + 1)
        }
        HirKind::Capture(capture) => most_states(&capture.sub).saturating_add(2),
        HirKind::Concat(terms) | HirKind::Alternation(terms) => sum(terms),
    }
}

/// Why a regular expression is refused, by the name of what it uses.
fn unsupported(text: &str, error: &regex::Error) -> RuleProblem {
    use regex_syntax::ast::{ErrorKind, parse::Parser};
    if let regex::Error::CompiledTooBig(_) = error {
        let why = format!("a regular expression of more than {REGEX_BYTES} bytes when compiled");
        return RuleProblem::Unsupported(why);
    }
    if text.contains("(?<=") || text.contains("(?<!") {
        return RuleProblem::Unsupported("lookbehind in a regular expression".to_owned());
    }
    match Parser::new().parse(text).map_err(|error| error.kind().clone()) {
        Err(ErrorKind::UnsupportedLookAround) => {
            RuleProblem::Unsupported("lookahead in a regular expression".to_owned())
        }
        Err(ErrorKind::UnsupportedBackreference) => {
            RuleProblem::Unsupported("a backreference in a regular expression".to_owned())
        }
        Err(kind) => RuleProblem::Malformed(format!("a regular expression can't be read: {kind}")),
        Ok(_) => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default().trim();
            let last = last.strip_prefix("error: ").unwrap_or(last);
            RuleProblem::Malformed(format!("a regular expression can't be read: {last}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What each is of in PCRE2 10.42 (`pcre2test -8`, with the flag `utf`).
    #[test]
    fn an_expression_means_what_pcre_says() {
        let is_match = |text: &str, flags: &str, value: &str| {
            regex(text, flags, &mut Budget::new()).unwrap().is_match(value)
        };
        for (text, value, expected) in [
            (r"\<b\>", "<b>", true),
            (r"\<b\>", "a b c", false),
            (r"a$", "a\n", true),
            (r"a$", "a\nb", false),
            (r"a$", "a\n\n", false),
            (r"^\d$", "3", true),
            (r"^\d$", "\u{664}", false),
            (r"^\D$", "\u{664}", true),
            (r"^[\d.]+$", "1.2", true),
            (r"^[^\d]$", "\u{664}", true),
            (r"^\w$", "é", false),
            (r"\s", "\u{a0}", false),
            (r"\s", "\u{b}", true),
            (r"\ba", "éa", true),
            (r"\\$", "x\\", true),
            (r"[$]", "$", true),
            (r"\$", "$", true),
        ] {
            assert_eq!(is_match(text, "", value), expected, "{text} {value:?}");
        }
        assert!(is_match("a$", "m", "a\nb") && is_match("(?m)a$", "", "a\nb"));
        for text in ["[a&&b]", "[a--b]", "[a[b]]", r"\b{start}a", "a++a", "(?R)a$", "(?-u:a)"] {
            let wrong = regex(text, "", &mut Budget::new()).unwrap_err();
            assert!(matches!(wrong, RuleProblem::Unsupported(_)), "{text}: {wrong}");
        }
    }

    const ATOMS: &[&str] = &[
        "a",
        "[ab]",
        "[^ab]",
        r"\w",
        r"\pL",
        r"\s",
        "é",
        "[ż-ſ]",
        ".",
        "^",
        "$",
        r"\b",
        "[a-€]",
        r"\x{10400}",
        "(ab|a)",
        "(?:é|.)",
        "[^\u{80}]",
        "(?-u:[a-c])",
    ];
    const TIMES: &[&str] = &["", "", "*", "+?", "?", "{3}", "{2,9}", "{5,}", "|"];

    proptest! {
        #[test]
        fn what_is_compiled_later_fits_what_was_counted_for_it(
            parts in proptest::collection::vec(
                (proptest::sample::select(ATOMS), proptest::sample::select(TIMES)), 1..6,
            ),
            repeated in proptest::sample::select(TIMES),
            flags in "[ims]{0,2}",
        ) {
            let parts: String = parts.iter().map(|(atom, times)| format!("{atom}{times}")).collect();
            let text = format!("({parts}){repeated}");
            let bytes = most_bytes(&text, &flags).unwrap();
            let built = build(&text, &flags, bytes);
            prop_assert!(built.is_ok(), "{text} {flags} {bytes}: {built:?}");
        }
    }

    #[test]
    fn a_usual_expression_waits_and_a_large_one_is_compiled_at_once() {
        let waits = |text: &str| {
            let mut budget = Budget::new();
            let made = regex(text, "i", &mut budget).unwrap();
            assert!(budget.regex_bytes() > 0);
            let waits = made.compiled.get().is_none();
            assert!(made.is_match("abc 12") && !made.is_match("-"), "{text}");
            waits
        };
        assert!(waits(r"^\w+\s\d{2}$"));
        assert!(!waits(r"^\pL{1,20}\s\d{2}$"));
        assert!(most_bytes("(", "").is_none());
    }
}
