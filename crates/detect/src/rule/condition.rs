//! The condition of a rule (Sigma 2.1.0, "Condition"): what its searches have to give together.

/// How deep parentheses and `not` may be in each other.
const MAX_DEPTH: usize = 64;
/// The most bytes of a condition.
const MAX_BYTES: usize = 64 << 10;
/// The most terms of a condition, and of all conditions of a rule.
pub(super) const MAX_TERMS: usize = 10_000;

/// A condition as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    /// A search by its name.
    Search(String),
    /// `1 of` or `all of` the searches that a name with wildcards, or `them`, means.
    Of {
        all: bool,
        names: Names,
    },
}

/// Which searches are meant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Names {
    /// All but those whose name begins with `_`.
    Them,
    /// Those that the glob matches.
    Glob(String),
}

impl Names {
    pub(crate) fn contain(&self, name: &str) -> bool {
        match self {
            Names::Them => !name.starts_with('_'),
            Names::Glob(glob) => is_match(glob, name),
        }
    }
}

/// `*` matches any text in a name.
fn is_match(glob: &str, name: &str) -> bool {
    let mut parts = glob.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Reads a condition. An error says what is wrong, without a place: a condition is a line.
pub(crate) fn parse(text: &str) -> Result<Condition, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("the condition has more than {MAX_BYTES} bytes"));
    }
    let tokens = tokens(text)?;
    if tokens.len() > MAX_TERMS {
        return Err(format!("the condition has more than {MAX_TERMS} words"));
    }
    let mut parser = Parser { tokens: &tokens, depth: 0 };
    let condition = parser.or()?;
    match parser.tokens.first() {
        None => Ok(condition),
        Some(token) => {
            Err(format!("the condition ends before `{token}`, or an operator is missing"))
        }
    }
}

fn tokens(text: &str) -> Result<Vec<&str>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(c) = rest.chars().next() {
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '*' | '.');
        let end = match c {
            '(' | ')' => 1,
            '|' => {
                return Err("the condition counts events (`|`), which is not supported: \
                            aggregations are deprecated, and correlations took their place"
                    .to_owned());
            }
            c if is_name(c) => rest.find(|c| !is_name(c)).unwrap_or(rest.len()),
            c => return Err(format!("the condition has a `{c}`, which means nothing there")),
        };
        let (token, more) = rest.split_at(end);
        tokens.push(token);
        rest = more.trim_start();
    }
    Ok(tokens)
}

struct Parser<'t> {
    tokens: &'t [&'t str],
    depth: usize,
}

impl<'t> Parser<'t> {
    fn next(&mut self) -> Option<&'t str> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn takes(&mut self, word: &str) -> bool {
        let is_next = self.tokens.first().is_some_and(|token| token.eq_ignore_ascii_case(word));
        if is_next {
            self.next();
        }
        is_next
    }

    fn or(&mut self) -> Result<Condition, String> {
        let mut terms = vec![self.and()?];
        while self.takes("or") {
            terms.push(self.and()?);
        }
        Ok(one_or(terms, Condition::Or))
    }

    fn and(&mut self) -> Result<Condition, String> {
        let mut terms = vec![self.not()?];
        while self.takes("and") {
            terms.push(self.not()?);
        }
        Ok(one_or(terms, Condition::And))
    }

    fn not(&mut self) -> Result<Condition, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("the condition is nested more than {MAX_DEPTH} deep"));
        }
        let condition = match self.takes("not") {
            true => Condition::Not(Box::new(self.not()?)),
            false => self.primary()?,
        };
        self.depth -= 1;
        Ok(condition)
    }

    fn primary(&mut self) -> Result<Condition, String> {
        let Some(token) = self.next() else {
            return Err("the condition ends where a search is expected".to_owned());
        };
        let is_of = self.tokens.first().is_some_and(|next| next.eq_ignore_ascii_case("of"));
        if is_of {
            let all = match token.to_ascii_lowercase().as_str() {
                "all" => true,
                "1" | "any" => false,
                _ => {
                    return Err(format!(
                        "`{token} of` is not supported; there are `1 of`, `any of` and `all of`"
                    ));
                }
            };
            self.next();
            let Some(names) = self.next().filter(|name| !["(", ")"].contains(name)) else {
                return Err(format!("`{token} of` has no name after it"));
            };
            let names = match names.eq_ignore_ascii_case("them") {
                true => Names::Them,
                false => Names::Glob(names.to_owned()),
            };
            return Ok(Condition::Of { all, names });
        }
        match token {
            "(" => {
                let condition = self.or()?;
                match self.takes(")") {
                    true => Ok(condition),
                    false => Err("a `(` of the condition is not closed".to_owned()),
                }
            }
            ")" => Err("the condition has a `)` where a search is expected".to_owned()),
            word if ["and", "or", "of"].iter().any(|known| word.eq_ignore_ascii_case(known)) => {
                Err(format!("the condition has `{word}` where a search is expected"))
            }
            name => Ok(Condition::Search(name.to_owned())),
        }
    }
}

fn one_or(mut terms: Vec<Condition>, many: impl Fn(Vec<Condition>) -> Condition) -> Condition {
    match terms.len() {
        1 => terms.remove(0),
        _ => many(terms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(name: &str) -> Condition {
        Condition::Search(name.to_owned())
    }

    #[test]
    fn and_binds_more_than_or_and_not_more_than_both() {
        let not = Condition::Not(Box::new(search("c")));
        let and = Condition::And(vec![search("b"), not]);
        assert_eq!(parse("a or b and not c"), Ok(Condition::Or(vec![search("a"), and])));
        let or = Condition::Or(vec![search("a"), search("b")]);
        assert_eq!(parse("(a OR b) and c"), Ok(Condition::And(vec![or, search("c")])));
    }

    #[test]
    fn searches_are_meant_by_globs() {
        let of = |all, names| Ok(Condition::Of { all, names });
        assert_eq!(parse("1 of them"), of(false, Names::Them));
        assert_eq!(parse("all of sel_*"), of(true, Names::Glob("sel_*".to_owned())));
        for (glob, name, is_meant) in [
            ("s_*_x", "s_a_x", true),
            ("s_*_x", "s_x", false),
            ("*", "", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("*a*b", "xaxb", true),
            ("*a*b", "xb", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(is_match(glob, name), is_meant, "{glob} {name}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, why) in [
            ("", "ends"),
            ("a and", "ends"),
            ("a b", "operator"),
            ("(a", "not closed"),
            ("a)", "`)`"),
            ("a | count() > 5", "aggregations"),
            ("2 of sel*", "2 of"),
            ("1 of", "no name"),
            ("a and or b", "`or`"),
            ("a; b", "`;`"),
        ] {
            let wrong = parse(text).unwrap_err();
            assert!(wrong.contains(why), "{text}: {wrong}");
        }
        assert!(parse(&"(".repeat(1000)).unwrap_err().contains("deep"));
        assert!(parse(&"not ".repeat(1000)).unwrap_err().contains("deep"));
    }
}
