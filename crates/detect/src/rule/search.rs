//! A search of a rule: fields, modifiers and values (Sigma 2.1.0, "Detection" and the appendix
//! "Modifiers").

use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use super::detection::Expr;
use super::{Kind, Node, RuleProblem, Scalar, Wrong};
use crate::pattern::Pattern;

/// The most memory of a compiled regular expression, in bytes.
const REGEX_BYTES: usize = 4 << 20;
/// The sizes that one is tried with, each of which counts against those of its rule.
const REGEX_STEPS: [usize; 3] = [32 << 10, 512 << 10, REGEX_BYTES];
/// The most memory of the regular expressions of a rule, in bytes.
const RULE_REGEX_BYTES: usize = 32 << 20;
/// How deep a regular expression may be nested.
const REGEX_DEPTH: u32 = 64;
/// The longest regular expression, in bytes.
const REGEX_LENGTH: usize = 16 << 10;

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

/// A regular expression, which is equal to another of the same text and flags.
#[derive(Clone, Debug)]
pub(crate) struct TextRegex {
    pub(crate) regex: Regex,
    flags: String,
}

impl PartialEq for TextRegex {
    fn eq(&self, other: &Self) -> bool {
        self.regex.as_str() == other.regex.as_str() && self.flags == other.flags
    }
}

impl Eq for TextRegex {}

impl Hash for TextRegex {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.regex.as_str(), &self.flags).hash(state);
    }
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

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address.parse::<IpAddr>().ok()?, Some(bits.parse().ok()?)),
            None => (text.parse::<IpAddr>().ok()?, None),
        };
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Network { address, bits })
    }

    /// Whether a text is an address of the network. An IPv4 address that is written as IPv6
    /// (`::ffff:10.1.2.3`, as Windows does in event 4624) is the IPv4 address.
    pub(crate) fn contains(&self, text: &str) -> bool {
        let Ok(address) = text.trim().parse::<IpAddr>() else { return false };
        let same = |a: u128, b: u128, width: u8| {
            let shift = u32::from(width - self.bits);
            a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
        };
        match (self.address, address) {
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
            (a, b) => match (a, b.to_canonical()) {
                (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
                _ => false,
            },
        }
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Test {
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
            Test::Regex(regex) => write!(f, "/{}/{}", regex.regex.as_str(), regex.flags),
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
    regex_bytes: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Budget { regex_bytes: RULE_REGEX_BYTES }
    }

    /// How many bytes the regular expressions take, at most.
    pub(super) fn regex_bytes(&self) -> usize {
        RULE_REGEX_BYTES - self.regex_bytes
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

/// A value on its way through the modifiers.
#[derive(Clone)]
enum Value {
    Text(Pattern),
    /// Text whose escapes and wildcards are nobody's: of a regular expression, a name.
    Raw(String),
    Bytes(Vec<u8>),
    Null,
}

/// What the modifiers of a field say together.
#[derive(Default)]
struct Modifiers<'m> {
    /// Those that change the value, in order.
    changes: Vec<&'m str>,
    all: bool,
    cased: bool,
    not: bool,
    regex: bool,
    flags: String,
    kind: Option<&'m str>,
    place: Option<Place>,
}

impl<'m> Modifiers<'m> {
    fn parse(names: &[&'m str]) -> Result<Self, RuleProblem> {
        let mut modifiers = Modifiers::default();
        for &name in names {
            match name {
                "contains" => modifiers.place = Some(Place::Anywhere),
                "startswith" => modifiers.place = Some(Place::Start),
                "endswith" => modifiers.place = Some(Place::End),
                "all" => modifiers.all = true,
                "cased" => modifiers.cased = true,
                "neq" => modifiers.not = true,
                "re" => modifiers.regex = true,
                "i" | "m" | "s" if modifiers.regex => modifiers.flags.push_str(name),
                "base64" | "base64offset" | "wide" | "utf16le" | "utf16be" | "utf16"
                | "windash" | "expand" => modifiers.changes.push(name),
                "cidr" | "lt" | "lte" | "gt" | "gte" | "fieldref" | "exists" | "minute"
                | "hour" | "day" | "week" | "month" | "year" => {
                    if let Some(other) = modifiers.kind.replace(name) {
                        let why = format!("the modifiers `{other}` and `{name}` of one field");
                        return Err(RuleProblem::malformed(why));
                    }
                }
                _ => return Err(RuleProblem::malformed(format!("unknown modifier `{name}`"))),
            }
        }
        if modifiers.regex && (modifiers.kind.is_some() || modifiers.place.is_some()) {
            return Err(RuleProblem::malformed("`re` goes with no other kind of test"));
        }
        Ok(modifiers)
    }
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
    if let Some(kind) = modifiers.kind {
        if !modifiers.changes.is_empty() || is_keyword {
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
                Test::FieldRef { other: text.to_owned(), place }
            }
            "lt" | "lte" | "gt" | "gte" => {
                let number: f64 = text.parse().map_err(|_| wrong("number"))?;
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
        _ if modifiers.regex => Value::Raw(text.to_owned()),
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
                    Test::Text { pattern, cased }
                }
            })
        })
        .collect()
}

/// Applies a modifier that changes a value.
fn apply(change: &str, value: Value, shown: &str) -> Result<Vec<Value>, RuleProblem> {
    let bytes = |value: Value| match value {
        Value::Bytes(bytes) => Ok(bytes),
        Value::Text(pattern) => match pattern.as_literal() {
            Some(text) => Ok(text.as_bytes().to_vec()),
            None => Err(RuleProblem::malformed(format!(
                "`{shown}` has wildcards, which `{change}` can't encode"
            ))),
        },
        _ => Err(RuleProblem::malformed(format!("`{change}` needs text"))),
    };
    let text = |text: String| Value::Text(Pattern::literal(&text));
    Ok(match change {
        "expand" => {
            let has_placeholder = shown.split('%').count() > 2;
            match shown.split('%').nth(1).filter(|name| has_placeholder && !name.is_empty()) {
                Some(name) => return Err(RuleProblem::Placeholder(name.to_owned())),
                None => vec![value],
            }
        }
        "windash" => match value {
            Value::Text(pattern) => vec![Value::Text(pattern.with_dashes())],
            _ => return Err(RuleProblem::malformed("`windash` needs text")),
        },
        "wide" | "utf16le" | "utf16be" | "utf16" => {
            let bytes = bytes(value)?;
            let utf8 = String::from_utf8(bytes)
                .map_err(|_| RuleProblem::malformed(format!("`{change}` needs text")))?;
            let big = change == "utf16be";
            let unit = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
            let mark = (change == "utf16").then_some(0xfeff);
            vec![Value::Bytes(mark.into_iter().chain(utf8.encode_utf16()).flat_map(unit).collect())]
        }
        "base64" => vec![text(base64(&bytes(value)?))],
        "base64offset" => {
            let bytes = bytes(value)?;
            (0..3).map(|offset| text(base64_inside(&bytes, offset))).collect()
        }
        _ => vec![value],
    })
}

/// Bytes in base64 (RFC 4648, section 4), padded.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |n: usize| u32::from(chunk.get(n).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for n in 0..4 {
            match n <= chunk.len() {
                true => text.push(char::from(DIGITS[(bits >> (18 - 6 * n) & 63) as usize])),
                false => text.push('='),
            }
        }
    }
    text
}

/// The digits that bytes surely give inside of others, after `offset` (0, 1 or 2) bytes of a group
/// of three: those that have a part of what stands before or after are left out.
fn base64_inside(bytes: &[u8], offset: usize) -> String {
    let all = [&[0; 2][..offset], bytes].concat();
    let text = base64(&all);
    let start = [0, 2, 3][offset];
    let end = text.len() - [0, 3, 2][all.len() % 3];
    text.get(start..end).unwrap_or_default().to_owned()
}

fn regex(text: &str, flags: &str, budget: &mut Budget) -> Result<TextRegex, RuleProblem> {
    if text.len() > REGEX_LENGTH {
        let why = format!("a regular expression has more than {REGEX_LENGTH} bytes");
        return Err(RuleProblem::Malformed(why));
    }
    let mut wrong = None;
    for bytes in REGEX_STEPS {
        if bytes > budget.regex_bytes {
            let why =
                format!("regular expressions of more than {RULE_REGEX_BYTES} bytes in a rule");
            return Err(RuleProblem::Unsupported(why));
        }
        let regex = RegexBuilder::new(text)
            .case_insensitive(flags.contains('i'))
            .multi_line(flags.contains('m'))
            .dot_matches_new_line(flags.contains('s'))
            .nest_limit(REGEX_DEPTH)
            .size_limit(bytes)
            .build();
        match regex {
            Ok(regex) => {
                budget.regex_bytes -= bytes;
                return Ok(TextRegex { regex, flags: flags.to_owned() });
            }
            Err(error) => {
                let is_larger = matches!(error, regex::Error::CompiledTooBig(_));
                wrong = Some(unsupported(text, &error));
                if !is_larger {
                    break;
                }
            }
        }
    }
    Err(wrong.unwrap_or_else(|| RuleProblem::malformed("a regular expression can't be read")))
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
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn what_is_searched_for_is_in_whatever_stands_around_it() {
        for length in 1..20 {
            let inner: Vec<u8> = (0..length).map(|n| b'a' + n).collect();
            for before in 0..6 {
                for after in 0..6 {
                    let all = [&vec![b'<'; before][..], &inner, &vec![b'>'; after]].concat();
                    let found = base64_inside(&inner, before % 3);
                    assert!(base64(&all).contains(&found), "{before} {after} {length}");
                    assert!(length < 3 || !found.is_empty());
                }
            }
        }
    }

    #[test]
    fn a_network_has_addresses_not_texts() {
        let network = |text| Network::parse(text).unwrap();
        assert!(network("10.0.0.0/8").contains("10.1.2.3"));
        assert!(network("10.0.0.0/8").contains("::ffff:10.1.2.3"));
        assert!(!network("10.0.0.0/8").contains("100.1.2.3"));
        assert!(!network("10.0.0.0/8").contains("10.host"));
        assert!(network("::1/128").contains("0:0:0:0:0:0:0:1"));
        assert!(network("0.0.0.0/0").contains("1.2.3.4"));
        assert!(!network("0.0.0.0/0").contains("fe80::1"));
        assert_eq!(Network::parse("10.0.0.0/33"), None);
    }
}
