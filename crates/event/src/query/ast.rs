//! A query's parts, and how they are written.

use std::fmt;

use super::Number;
use crate::{EventTime, Guid};

/// A condition on a node: true or false.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Expr {
    /// Any of at least two, none of which is an `Or` itself.
    Or(Vec<Expr>),
    /// All of at least two, none of which is an `And` itself.
    And(Vec<Expr>),
    /// Whether a node of the path is there.
    Path(Path),
    /// A comparison.
    Compare(Operand, Op, Literal),
    /// Whether both have a bit in common.
    Band(Argument, Argument),
    /// Whether the value of any of the path's nodes has a text in it, or at its start.
    Search(Search, Path, Literal),
    /// Whether a condition doesn't hold.
    Not(Box<Expr>),
}

/// A function that looks for text. Windows has none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Search {
    Contains,
    StartsWith,
}

impl Search {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Search::Contains => "contains",
            Search::StartsWith => "starts-with",
        }
    }

    /// Whether a value's text passes, case and all.
    pub(crate) fn holds(self, text: &str, wanted: &str) -> bool {
        match self {
            Search::Contains => text.contains(wanted),
            Search::StartsWith => text.starts_with(wanted),
        }
    }
}

/// What can be compared with a literal.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Operand {
    /// Any of the path's nodes.
    Path(Path),
    /// The context node's place among the nodes of its step, from 1.
    Position,
    /// Milliseconds from the first time to the second, or to now.
    TimeDiff(Argument, Option<Argument>),
}

/// An argument of a function.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Argument {
    Path(Path),
    /// For `band` a whole number, for `timediff` a time.
    Literal(Literal),
}

/// Steps down from the context node; without any, the node itself, which only functions that look
/// for text take.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Path {
    pub(crate) steps: Vec<Step>,
}

/// A step.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Step {
    pub(crate) test: NodeTest,
    /// Conditions that all have to hold; only on elements.
    pub(crate) predicates: Vec<Expr>,
}

/// Which nodes a step goes to. Attributes and text only end a path.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum NodeTest {
    /// Elements of the name, or all.
    Element(Option<String>),
    /// Attributes of the name, or all.
    Attribute(Option<String>),
    /// Text.
    Text,
}

/// A comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Path {
    /// Whether the path leads to an event's time, by its name.
    pub(crate) fn is_time(&self) -> bool {
        let last = self.steps.last().map(|step| &step.test);
        matches!(last, Some(NodeTest::Attribute(Some(name))) if name == "SystemTime")
    }
}

impl Op {
    /// The comparison of the same meaning with its sides exchanged.
    pub(crate) fn flipped(self) -> Op {
        match self {
            Op::Eq | Op::Ne => self,
            Op::Lt => Op::Gt,
            Op::Le => Op::Ge,
            Op::Gt => Op::Lt,
            Op::Ge => Op::Le,
        }
    }

    /// Whether the left side compares with the right one as it should.
    #[inline]
    pub(crate) fn holds<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        match self {
            Op::Eq => left == right,
            Op::Ne => left != right,
            Op::Lt => left < right,
            Op::Le => left <= right,
            Op::Gt => left > right,
            Op::Ge => left >= right,
        }
    }
}

/// A number, or text in quotes.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Literal {
    /// A number as it is written, or the text without its quotes.
    pub(crate) text: String,
    pub(crate) kind: Kind,
}

/// What a literal is taken for (MS-EVEN6 2.2.15.2: its syntax says so).
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Kind {
    /// A number without quotes.
    Number(Number),
    /// `'0x…'`.
    Hex(Number),
    /// `'2026-08-22T10:00:00.123Z'`.
    Time(EventTime),
    /// `'{54849625-5478-4994-a5ba-3e3b0328c30d}'`.
    Guid(Guid),
    /// Other text, and the number it may be for `<` and its like.
    Text(Option<Number>),
}

impl Literal {
    /// The literal of a text in quotes.
    pub(crate) fn quoted(text: &str) -> Self {
        let number = Number::parse(text);
        let kind = if let Some(time) = EventTime::parse(text) {
            Kind::Time(time)
        } else if let Some(guid) = Guid::parse(text) {
            Kind::Guid(guid)
        } else if let Some(number) = number
            && (text.starts_with("0x") || text.starts_with("0X"))
        {
            Kind::Hex(number)
        } else {
            Kind::Text(number)
        };
        Literal { text: text.to_owned(), kind }
    }

    /// The literal of a time in quotes, however it is written (see
    /// [`EventTime::parse_loosely`]); nothing where it is none.
    pub(crate) fn time(text: &str) -> Option<Self> {
        let time = EventTime::parse_loosely(text)?;
        let is_windows = EventTime::parse(text).is_some();
        // A server takes three digits of a second.
        let is_whole = time.as_filetime().is_multiple_of(EventTime::MILLISECOND);
        let mut canonical = time.to_string();
        if is_whole {
            canonical.truncate(canonical.len() - "0000Z".len());
            canonical.push('Z');
        }
        let text = if is_windows { text.to_owned() } else { canonical };
        Some(Literal { text, kind: Kind::Time(time) })
    }

    /// Whether the literal is text that is taken for nothing else but a decimal number.
    pub(crate) fn is_plain_text(&self) -> bool {
        matches!(self.kind, Kind::Text(_))
    }

    /// The number that the literal is.
    pub(crate) fn number(&self) -> Option<Number> {
        match self.kind {
            Kind::Number(number) | Kind::Hex(number) => Some(number),
            Kind::Text(number) => number,
            Kind::Time(_) | Kind::Guid(_) => None,
        }
    }

    /// The set of bits that the literal is.
    pub(crate) fn bits(&self) -> Option<u64> {
        self.number()?.as_u64()
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Or(terms) => separated(f, terms, " or "),
            Expr::And(terms) => {
                for (i, term) in terms.iter().enumerate() {
                    let between = if i > 0 { " and " } else { "" };
                    match term {
                        Expr::Or(_) => write!(f, "{between}({term})")?,
                        _ => write!(f, "{between}{term}")?,
                    }
                }
                Ok(())
            }
            Expr::Path(path) => path.fmt(f),
            Expr::Compare(left, op, right) => write!(f, "{left}{op}{right}"),
            Expr::Band(a, b) => write!(f, "band({a},{b})"),
            Expr::Search(search, path, text) => write!(f, "{}({path},{text})", search.name()),
            Expr::Not(inner) => write!(f, "not({inner})"),
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Path(path) => path.fmt(f),
            Operand::Position => f.write_str("position()"),
            Operand::TimeDiff(from, None) => write!(f, "timediff({from})"),
            Operand::TimeDiff(from, Some(to)) => write!(f, "timediff({from},{to})"),
        }
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Argument::Path(path) => path.fmt(f),
            Argument::Literal(literal) => literal.fmt(f),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.steps.is_empty() {
            true => f.write_str("."),
            false => separated(f, &self.steps, "/"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.test {
            NodeTest::Element(name) => f.write_str(name.as_deref().unwrap_or("*"))?,
            NodeTest::Attribute(name) => write!(f, "@{}", name.as_deref().unwrap_or("*"))?,
            NodeTest::Text => f.write_str("text()")?,
        }
        self.predicates.iter().try_for_each(|predicate| write!(f, "[{predicate}]"))
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Op::Eq => "=",
            Op::Ne => "!=",
            Op::Lt => "<",
            Op::Le => "<=",
            Op::Gt => ">",
            Op::Ge => ">=",
        })
    }
}

impl fmt::Display for Literal {
    /// A text has no two kinds of quotes, as it was itself read from between quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Number(_) => f.write_str(&self.text),
            _ if self.text.contains('\'') => write!(f, "\"{}\"", self.text),
            _ => write!(f, "'{}'", self.text),
        }
    }
}

fn separated<T: fmt::Display>(f: &mut fmt::Formatter<'_>, parts: &[T], by: &str) -> fmt::Result {
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            f.write_str(by)?;
        }
        part.fmt(f)?;
    }
    Ok(())
}
