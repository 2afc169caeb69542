//! A search of a rule: fields, modifiers and values (Sigma 2.1.0, "Detection" and the appendix
//! "Modifiers").

use std::sync::Arc;

use super::detection::Expr;
use super::modifiers::{Modifiers, Value, apply, placeholder};
use super::network::Network;
use super::regex::{TextRegex, regex};
use super::{Kind, Node, RuleProblem, Scalar, Wrong};
use crate::pattern::Pattern;

/// The most memory of the regular expressions of a rule, in bytes.
pub(super) const RULE_REGEX_BYTES: usize = 32 << 20;
/// The most bytes of the texts of a rule, with all that modifiers make of them.
const RULE_TEXT_BYTES: usize = 256 << 10;
/// The most wildcards of a rule for one character; each may be tried at every place of a value.
const RULE_ONES: usize = 10_000;

/// A field, and what of its values has to hold.
#[derive(Clone, Debug)]
pub(crate) struct Match {
    /// The field; nothing for keywords, which are searched for in every value.
    pub(crate) field: Option<String>,
    pub(crate) tests: Vec<Test>,
    /// Whether all of the tests have to hold, rather than any.
    pub(crate) all: bool,
    /// The field and its modifiers as the rule writes them.
    pub(crate) shown: String,
    pub(crate) line: usize,
}

/// A test of a field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Test {
    /// The whole value, folded or, if `cased`, as it is.
    Text {
        pattern: Pattern,
        cased: bool,
    },
    Regex(TextRegex),
    Cidr(Network),
    Compare(Compare, Bits),
    /// A part of a time, by its name, is a number.
    Part(TimePart, i64),
    /// The value is that of another field.
    FieldRef {
        other: String,
        place: Place,
        cased: bool,
    },
    /// The field is there, or not, whatever its value.
    Exists(bool),
    /// The field is missing or empty.
    Null,
}

/// Where in the value that of another field has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Whole,
    Start,
    End,
    Anywhere,
}

/// A comparison of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Compare {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A number by its bits, to be equal and hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bits(u64);

impl Bits {
    pub(crate) fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

/// A part of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TimePart {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Test {
    /// How many bytes of text an automaton has of it.
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Test::Text { pattern, .. } => pattern.bytes(),
            _ => 0,
        }
    }

    /// The same for a field whose values have no blanks at their end.
    pub(crate) fn unpadded(&self) -> Test {
        match self {
            Test::Text { pattern, cased } => {
                Test::Text { pattern: pattern.trimmed_end(), cased: *cased }
            }
            other => other.clone(),
        }
    }
}

impl std::fmt::Display for Test {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Test::Text { pattern, cased } => {
                write!(f, "{pattern}{}", if *cased { " (case counts)" } else { "" })
            }
            Test::Regex(regex) => write!(f, "{regex}"),
            Test::Cidr(network) => write!(f, "an address of {network}"),
            Test::Compare(compare, number) => {
                let sign = match compare {
                    Compare::Less => "<",
                    Compare::LessOrEqual => "<=",
                    Compare::Greater => ">",
                    Compare::GreaterOrEqual => ">=",
                };
                write!(f, "{sign} {}", number.get())
            }
            Test::Part(part, number) => write!(f, "{part:?} {number}"),
            Test::FieldRef { other, .. } => write!(f, "the value of {other}"),
            Test::Exists(true) => f.write_str("anything, if only it is there"),
            Test::Exists(false) => f.write_str("not there"),
            Test::Null => f.write_str("missing or empty"),
        }
    }
}

/// What the searches of a rule may still take.
pub(super) struct Budget {
    pub(super) regex_bytes: usize,
    text_bytes: usize,
    ones: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Budget { regex_bytes: RULE_REGEX_BYTES, text_bytes: RULE_TEXT_BYTES, ones: RULE_ONES }
    }

    /// How many bytes the regular expressions take, at most.
    pub(super) fn regex_bytes(&self) -> usize {
        RULE_REGEX_BYTES - self.regex_bytes
    }

    fn take(&mut self, pattern: &Pattern) -> Result<(), RuleProblem> {
        let over = |what: String| RuleProblem::Unsupported(format!("{what} in a rule"));
        self.text_bytes = self
            .text_bytes
            .checked_sub(pattern.bytes())
            .ok_or_else(|| over(format!("more than {RULE_TEXT_BYTES} bytes of text")))?;
        self.ones = self
            .ones
            .checked_sub(pattern.ones())
            .ok_or_else(|| over(format!("more than {RULE_ONES} wildcards for one character")))?;
        Ok(())
    }
}

/// Reads a search: a map of fields, or a list of maps and keywords of which any has to hold.
pub(super) fn read(node: &Node, budget: &mut Budget) -> Result<Expr, Wrong> {
    match &node.kind {
        Kind::Map(entries) if entries.is_empty() => {
            Err((node.line, RuleProblem::malformed("a search is empty")))
        }
        Kind::Map(entries) => {
            let terms = entries.iter().map(|(key, value)| field(key, value, budget));
            Ok(Expr::all(terms.collect::<Result<_, _>>()?))
        }
        Kind::List(items) if items.is_empty() => {
            Err((node.line, RuleProblem::malformed("a search is empty")))
        }
        Kind::List(items) => {
            let (maps, keywords): (Vec<_>, Vec<_>) =
                items.iter().partition(|item| !matches!(item.kind, Kind::Scalar { .. }));
            let maps = maps.into_iter().map(|map| read(map, budget));
            let mut terms = maps.collect::<Result<Vec<_>, _>>()?;
            if !keywords.is_empty() {
                let values: Vec<&Node> = keywords;
                terms.push(tests("", &values, node.line, budget)?);
            }
            Ok(Expr::any(terms))
        }
        Kind::Scalar { .. } => tests("", &[node], node.line, budget),
    }
}

fn field(key: &Node, value: &Node, budget: &mut Budget) -> Result<Expr, Wrong> {
    let name = key
        .text()
        .ok_or_else(|| (key.line, RuleProblem::malformed("a field's name is no text")))?;
    let values: Vec<&Node> = value.items().iter().collect();
    if values.is_empty() {
        return Err((value.line, RuleProblem::malformed(format!("`{name}` has no values"))));
    }
    tests(name, &values, key.line, budget)
}

fn tests(name: &str, values: &[&Node], line: usize, budget: &mut Budget) -> Result<Expr, Wrong> {
    let mut parts = name.split('|');
    let field = parts.next().unwrap_or_default().trim();
    let names: Vec<&str> = parts.map(str::trim).collect();
    let modifiers = Modifiers::parse(&names).map_err(|problem| (line, problem))?;
    let is_keyword = field.is_empty();
    let mut groups: Vec<Vec<Test>> = Vec::new();
    for node in values {
        let read = read_value(node, &modifiers, is_keyword, budget);
        groups.push(read.map_err(|why| (node.line, why))?);
    }
    let field = (!is_keyword).then(|| field.to_owned());
    let of = |tests: Vec<Test>, all: bool| {
        let shown = if is_keyword { "keywords".to_owned() } else { name.to_owned() };
        Expr::Match(Arc::new(Match { field: field.clone(), tests, all, shown, line }))
    };
    // A value that stands for several is any of them, also where all values have to be there.
    let is_one_each = groups.iter().all(|tests| tests.len() == 1);
    let expr = match modifiers.all && !is_one_each {
        false => of(groups.concat(), modifiers.all),
        true => Expr::all(groups.into_iter().map(|tests| of(tests, false)).collect()),
    };
    Ok(if modifiers.not { Expr::Not(Box::new(expr)) } else { expr })
}

/// The tests that a value stands for, of which any has to hold.
fn read_value(
    node: &Node,
    modifiers: &Modifiers<'_>,
    is_keyword: bool,
    budget: &mut Budget,
) -> Result<Vec<Test>, RuleProblem> {
    let Some(scalar) = node.scalar() else {
        return Err(RuleProblem::malformed("a value is a list or map inside of a list"));
    };
    let text = node.text().unwrap_or_default();
    let wrong = |what: &str| RuleProblem::malformed(format!("`{text}` is no {what}"));
    if let Some(kind) = modifiers.kind.filter(|kind| *kind != "re") {
        if modifiers.changes.contains(&"expand")
            && let Some(name) = placeholder(text)
        {
            return Err(RuleProblem::Placeholder(name.to_owned()));
        }
        if is_keyword {
            let why = format!("the modifier `{kind}` can't be used here");
            return Err(RuleProblem::malformed(why));
        }
        return Ok(vec![match kind {
            "cidr" => {
                Test::Cidr(Network::parse(text).ok_or_else(|| wrong("network in CIDR notation"))?)
            }
            "exists" => match scalar {
                Scalar::Bool(is_there) => Test::Exists(is_there),
                _ => return Err(wrong("value of `exists`, which is true or false")),
            },
            "fieldref" => {
                if text.is_empty() {
                    return Err(wrong("field"));
                }
                let place = modifiers.place.unwrap_or(Place::Whole);
                Test::FieldRef { other: text.to_owned(), place, cased: modifiers.cased }
            }
            "lt" | "lte" | "gt" | "gte" => {
                let number = text.parse().ok().filter(|number: &f64| number.is_finite());
                let number = number.ok_or_else(|| wrong("number"))?;
                let compare = match kind {
                    "lt" => Compare::Less,
                    "lte" => Compare::LessOrEqual,
                    "gt" => Compare::Greater,
                    _ => Compare::GreaterOrEqual,
                };
                Test::Compare(compare, Bits(number.to_bits()))
            }
            _ => {
                let part = match kind {
                    "minute" => TimePart::Minute,
                    "hour" => TimePart::Hour,
                    "day" => TimePart::Day,
                    "week" => TimePart::Week,
                    "month" => TimePart::Month,
                    _ => TimePart::Year,
                };
                Test::Part(part, text.parse().map_err(|_| wrong("whole number"))?)
            }
        }]);
    }
    let value = match scalar {
        Scalar::Null if is_keyword => return Err(wrong("keyword")),
        Scalar::Null => Value::Null,
        _ if modifiers.kind == Some("re") => Value::Raw(text.to_owned()),
        Scalar::Text(text) => Value::Text(Pattern::parse(text)),
        Scalar::Number(_) | Scalar::Bool(_) => Value::Text(Pattern::literal(text)),
    };
    let mut values = vec![value];
    for change in &modifiers.changes {
        let changed = values.into_iter().map(|value| apply(change, value, text));
        values = changed.collect::<Result<Vec<_>, _>>()?.concat();
    }
    let cased = modifiers.cased;
    values
        .into_iter()
        .map(|value| {
            Ok(match value {
                Value::Null => Test::Null,
                Value::Raw(text) => Test::Regex(regex(&text, &modifiers.flags, budget)?),
                Value::Bytes(_) => {
                    let why = "a value as UTF-16 has to be encoded by base64 or base64offset";
                    return Err(RuleProblem::malformed(why));
                }
                Value::Text(pattern) => {
                    let pattern = match modifiers.place {
                        None if is_keyword => pattern.contained(),
                        None | Some(Place::Whole) => pattern,
                        Some(Place::Anywhere) => pattern.contained(),
                        Some(Place::Start) => pattern.starting(),
                        Some(Place::End) => pattern.ending(),
                    };
                    let pattern = if cased { pattern } else { pattern.folded() };
                    budget.take(&pattern)?;
                    Test::Text { pattern, cased }
                }
            })
        })
        .collect()
}
