//! Modifiers of a field (Sigma 2.1.0, appendix "Modifiers"): which there are, which go together, and
//! what those make of a value that change it.

use super::RuleProblem;
use super::search::Place;
use crate::pattern::{MOST_DASHED, Pattern};

/// A value on its way through the modifiers.
#[derive(Clone)]
pub(super) enum Value {
    Text(Pattern),
    /// Text whose escapes and wildcards are nobody's: of a regular expression, a name.
    Raw(String),
    Bytes(Vec<u8>),
    Null,
}

/// What the modifiers of a field say together.
#[derive(Default)]
pub(super) struct Modifiers<'m> {
    /// Those that change the value, in order.
    pub(super) changes: Vec<&'m str>,
    pub(super) all: bool,
    pub(super) cased: bool,
    pub(super) not: bool,
    pub(super) flags: String,
    /// The kind of test, where it is none of text.
    pub(super) kind: Option<&'m str>,
    pub(super) place: Option<Place>,
}

/// The kinds of tests, each with the modifiers that go with it besides `all` and `neq`: another one
/// would have no effect, or say otherwise.
const KINDS: [(&[&str], &[&str]); 7] = [
    // Of text.
    (
        &[""],
        &[
            "contains",
            "startswith",
            "endswith",
            "cased",
            "expand",
            "windash",
            "wide",
            "utf16le",
            "utf16be",
            "utf16",
            "base64",
            "base64offset",
        ],
    ),
    (&["re"], &["i", "m", "s", "expand"]),
    (&["cidr"], &["expand"]),
    (&["lt", "lte", "gt", "gte"], &[]),
    (&["fieldref"], &["contains", "startswith", "endswith", "cased"]),
    (&["exists"], &[]),
    (&["minute", "hour", "day", "week", "month", "year"], &[]),
];

/// Those that change a value, in the order in which they make sense: one of a line at most.
const CHANGES: [&[&str]; 4] = [
    &["expand"],
    &["windash"],
    &["wide", "utf16le", "utf16be", "utf16"],
    &["base64", "base64offset"],
];

impl<'m> Modifiers<'m> {
    pub(super) fn parse(names: &[&'m str]) -> Result<Self, RuleProblem> {
        let mut modifiers = Modifiers::default();
        let malformed = |why: String| Err(RuleProblem::Malformed(why));
        let is_kind = |name: &str| KINDS.iter().any(|(kinds, _)| kinds.contains(&name));
        let mut step = None;
        for (n, &name) in names.iter().enumerate() {
            if names[..n].contains(&name) {
                return malformed(format!("the modifier `{name}` stands twice"));
            }
            match name {
                "contains" | "startswith" | "endswith" => {
                    let place = match name {
                        "contains" => Place::Anywhere,
                        "startswith" => Place::Start,
                        _ => Place::End,
                    };
                    if modifiers.place.replace(place).is_some() {
                        return malformed(format!(
                            "`{name}` and another one of `contains`, `startswith` and `endswith`"
                        ));
                    }
                }
                "all" => modifiers.all = true,
                "cased" => modifiers.cased = true,
                "neq" => modifiers.not = true,
                "i" | "m" | "s" if modifiers.kind == Some("re") => modifiers.flags.push_str(name),
                name if !name.is_empty() && is_kind(name) => {
                    if let Some(other) = modifiers.kind.replace(name) {
                        return malformed(format!(
                            "the modifiers `{other}` and `{name}` of one field"
                        ));
                    }
                }
                _ => match CHANGES.iter().position(|names| names.contains(&name)) {
                    Some(at) if step.is_some_and(|step| at <= step) => {
                        let before = modifiers.changes.last().copied().unwrap_or_default();
                        return malformed(format!("the modifier `{name}` after `{before}`"));
                    }
                    Some(at) => {
                        step = Some(at);
                        modifiers.changes.push(name);
                    }
                    None => return malformed(format!("unknown modifier `{name}`")),
                },
            }
        }
        let kind = modifiers.kind.unwrap_or_default();
        let allowed = KINDS.iter().find(|(kinds, _)| kinds.contains(&kind)).map(|(_, with)| *with);
        let allowed = allowed.unwrap_or_default();
        let is_general = |name: &&str| *name == kind || matches!(*name, "all" | "neq");
        let mut others = names.iter().filter(|name| !is_general(name));
        match others.find(|name| !allowed.contains(*name)) {
            Some(name) => malformed(format!("the modifier `{name}` doesn't go with `{kind}`")),
            None => Ok(modifiers),
        }
    }
}

/// The first placeholder of a text: a name between percent signs, of which the first has no backslash
/// before it.
pub(super) fn placeholder(text: &str) -> Option<&str> {
    text.match_indices('%').find_map(|(at, _)| {
        let rest = &text[at + 1..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'))?;
        let is_one = end > 0 && rest[end..].starts_with('%') && !text[..at].ends_with('\\');
        is_one.then(|| &rest[..end])
    })
}

/// Applies a modifier that changes a value. A value may become several, of which any is meant.
pub(super) fn apply(change: &str, value: Value, shown: &str) -> Result<Vec<Value>, RuleProblem> {
    // The texts of a value, one for each that its dashes make of it.
    let bytes = |value: Value| -> Result<Vec<Vec<u8>>, RuleProblem> {
        let pattern = match value {
            Value::Bytes(bytes) => return Ok(vec![bytes]),
            Value::Text(pattern) => pattern,
            _ => return Err(RuleProblem::malformed(format!("`{change}` needs text"))),
        };
        let forms = pattern.dashed(MOST_DASHED).ok_or_else(|| {
            let why = format!("`{shown}` has more dashes than `windash` and `{change}` go with");
            RuleProblem::malformed(why)
        })?;
        let literal = |form: &Pattern| form.as_literal().map(|text| text.as_bytes().to_vec());
        forms.iter().map(literal).collect::<Option<Vec<_>>>().ok_or_else(|| {
            let why = format!("`{shown}` has wildcards, which `{change}` can't encode");
            RuleProblem::malformed(why)
        })
    };
    let text = |text: String| Value::Text(Pattern::literal(&text));
    Ok(match change {
        "expand" => match placeholder(shown) {
            Some(name) => return Err(RuleProblem::Placeholder(name.to_owned())),
            // A percent sign that is escaped is one.
            None => match value {
                Value::Text(_) => vec![Value::Text(Pattern::parse(&shown.replace(r"\%", "%")))],
                value => vec![value],
            },
        },
        "windash" => match value {
            Value::Text(pattern) => vec![Value::Text(pattern.with_dashes())],
            _ => return Err(RuleProblem::malformed("`windash` needs text")),
        },
        "wide" | "utf16le" | "utf16be" | "utf16" => {
            let big = change == "utf16be";
            let unit = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
            let mark = (change == "utf16").then_some(0xfeff);
            let encoded = |bytes: Vec<u8>| {
                let utf8 = String::from_utf8_lossy(&bytes).into_owned();
                let units = mark.into_iter().chain(utf8.encode_utf16().collect::<Vec<_>>());
                Value::Bytes(units.flat_map(unit).collect())
            };
            bytes(value)?.into_iter().map(encoded).collect()
        }
        "base64" => bytes(value)?.iter().map(|bytes| text(base64(bytes))).collect(),
        "base64offset" => {
            let all = bytes(value)?;
            let inside =
                |bytes: &Vec<u8>| [0, 1, 2].map(|offset| text(base64_inside(bytes, offset)));
            all.iter().flat_map(inside).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modifiers_that_would_have_no_effect_together_are_refused_by_name() {
        for (names, said) in [
            ("cased|re", "`cased` doesn't go with `re`"),
            ("startswith|endswith", "`endswith` and another one"),
            ("contains|cidr", "`contains` doesn't go with `cidr`"),
            ("startswith|gt", "`startswith` doesn't go with `gt`"),
            ("cased|gt", "`cased` doesn't go with `gt`"),
            ("cased|exists", "`cased` doesn't go with `exists`"),
            ("windash|re", "`windash` doesn't go with `re`"),
            ("base64|cidr", "`base64` doesn't go with `cidr`"),
            ("base64offset|wide", "`wide` after `base64offset`"),
            ("gt|lt", "`gt` and `lt`"),
            ("i|re", "unknown modifier `i`"),
            ("contains|contains", "stands twice"),
        ] {
            let names: Vec<&str> = names.split('|').collect();
            let Err(RuleProblem::Malformed(why)) = Modifiers::parse(&names) else {
                panic!("{names:?}");
            };
            assert!(why.contains(said), "{names:?}: {why}");
        }
        for names in ["fieldref|cased", "re|i|m", "windash|wide|base64offset|contains", "neq|gt"] {
            let names: Vec<&str> = names.split('|').collect();
            assert!(Modifiers::parse(&names).is_ok(), "{names:?}");
        }
    }

    #[test]
    fn a_placeholder_is_a_name_between_percent_signs() {
        assert_eq!(placeholder("a %x% b"), Some("x"));
        assert_eq!(placeholder("%%x_1%"), Some("x_1"));
        assert_eq!(placeholder("50% of %x%"), Some("x"));
        assert_eq!(placeholder(r"\%x%"), None);
        assert_eq!(placeholder("50% or 60%"), None);
        assert_eq!(placeholder("%%"), None);
    }

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
}
