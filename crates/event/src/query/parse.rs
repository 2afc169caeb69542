//! Reads XPath: the subset that Windows has (MS-EVEN6 2.2.15.1), and nothing else.
//!
//! A recursive descent that follows the productions of XPath 1.0; it recurses only into
//! parentheses and brackets, and their depth is bounded.

use super::ast::{Argument, Expr, Kind, Literal, NodeTest, Op, Operand, Path, Search, Step};
use super::error::QueryProblem;
use super::{MAX_DEPTH, MAX_PREDICATES, Number};
use crate::EventTime;

/// What is wrong, and at which byte of the expression.
pub(super) type Wrong = (usize, QueryProblem);
type Parsed<T> = Result<T, Wrong>;

/// Reads an expression; `terms` is how many steps and comparisons it may still have.
pub(super) fn parse(text: &str, terms: &mut usize) -> Parsed<Expr> {
    let mut parser = Parser { text, at: 0, depth: 0, terms, context: Context::Root };
    let start = parser.skip_space();
    if start == text.len() {
        return Err((start, QueryProblem::NoExpression));
    }
    let operand = parser.or()?;
    let expr = condition(operand, start)?;
    match parser.peek() {
        None => Ok(expr),
        Some(_) => Err(parser.expected("`and`, `or` or the end")),
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    terms: &'t mut usize,
    context: Context,
}

/// What kind of node a relative path begins at.
#[derive(Clone, Copy, PartialEq)]
enum Context {
    /// The virtual document that events stand in.
    Root,
    /// An event.
    Event,
    /// An element in an event.
    Inside,
}

/// An operand before it is known what stands around it.
enum Term {
    Condition(Expr),
    Operand(Operand),
    Literal(Literal),
}

/// Takes an operand that begins at `start` as a condition.
fn condition(term: Term, start: usize) -> Parsed<Expr> {
    let what = match term {
        Term::Condition(expr) => return Ok(expr),
        Term::Operand(Operand::Path(path)) => return Ok(Expr::Path(path)),
        Term::Operand(Operand::Position) => "position()",
        Term::Operand(Operand::TimeDiff(..)) => "timediff()",
        Term::Literal(Literal { kind: Kind::Number(_), .. }) => "a number",
        Term::Literal(_) => "text in quotes",
    };
    Err((start, QueryProblem::NoCondition(what)))
}

impl<'t> Parser<'t> {
    /// `OrExpr`
    fn or(&mut self) -> Parsed<Term> {
        self.condition_of("or", Self::and, Expr::Or, |expr| match expr {
            Expr::Or(inner) => inner,
            expr => vec![expr],
        })
    }

    /// `AndExpr`
    fn and(&mut self) -> Parsed<Term> {
        self.condition_of("and", Self::comparison, Expr::And, |expr| match expr {
            Expr::And(inner) => inner,
            expr => vec![expr],
        })
    }

    /// A term as it is, or several with a word between any two as one condition, into which those that are of
    /// its kind go with their parts.
    fn condition_of(
        &mut self,
        word: &str,
        term: fn(&mut Self) -> Parsed<Term>,
        of: fn(Vec<Expr>) -> Expr,
        parts: fn(Expr) -> Vec<Expr>,
    ) -> Parsed<Term> {
        let mut terms = self.joined(word, term)?;
        if terms.len() == 1
            && let Some((_, term)) = terms.pop()
        {
            return Ok(term);
        }
        let mut flat = Vec::new();
        for (start, term) in terms {
            flat.extend(parts(condition(term, start)?));
        }
        Ok(Term::Condition(of(flat)))
    }

    /// At least one term, with a word between any two; each with where it begins.
    fn joined(
        &mut self,
        word: &str,
        term: fn(&mut Self) -> Parsed<Term>,
    ) -> Parsed<Vec<(usize, Term)>> {
        let mut terms = Vec::new();
        loop {
            let start = self.skip_space();
            terms.push((start, term(self)?));
            if !self.keyword(word) {
                return Ok(terms);
            }
        }
    }

    /// `EqualityExpr` and `RelationalExpr`: one comparison at most, of an operand with a literal.
    fn comparison(&mut self) -> Parsed<Term> {
        let start = self.skip_space();
        let left = self.primary()?;
        let Some(op) = self.operator()? else { return Ok(left) };
        let right_start = self.skip_space();
        let right = self.primary()?;
        self.count(start)?;
        let (operand, op, literal, literal_start) = match (left, right) {
            (Term::Operand(operand), Term::Literal(literal)) => (operand, op, literal, right_start),
            (Term::Literal(literal), Term::Operand(operand)) => {
                (operand, op.flipped(), literal, start)
            }
            (Term::Condition(_), _) => return Err((start, QueryProblem::ComparedCondition)),
            (_, Term::Condition(_)) => return Err((right_start, QueryProblem::ComparedCondition)),
            _ => return Err((right_start, QueryProblem::Sides)),
        };
        let literal = match &operand {
            Operand::Path(path) if path.is_time() => {
                let quoted = !matches!(literal.kind, Kind::Number(_));
                let time = Literal::time(&literal.text).filter(|_| quoted);
                time.ok_or_else(|| {
                    let text = literal.text.chars().take(40).collect();
                    (literal_start, QueryProblem::NotATime(text))
                })?
            }
            _ => literal,
        };
        let number = match operand {
            Operand::Path(_) => None,
            Operand::Position => Some("position()"),
            Operand::TimeDiff(..) => Some("timediff()"),
        };
        if let Some(what) = number
            && literal.number().is_none()
        {
            return Err((literal_start, QueryProblem::NotANumber(what)));
        }
        let again = self.skip_space();
        if self.operator()?.is_some() {
            return Err((again, QueryProblem::ComparedCondition));
        }
        Ok(Term::Condition(Expr::Compare(operand, op, literal)))
    }

    /// An operator of a comparison, if one is next. Operators that there are not are refused.
    fn operator(&mut self) -> Parsed<Option<Op>> {
        let at = self.skip_space();
        let rest = self.rest();
        const OPERATORS: [(&str, Op); 6] = [
            ("!=", Op::Ne),
            ("<=", Op::Le),
            (">=", Op::Ge),
            ("=", Op::Eq),
            ("<", Op::Lt),
            (">", Op::Gt),
        ];
        if let Some((text, op)) = OPERATORS.iter().find(|(text, _)| rest.starts_with(text)) {
            self.at += text.len();
            return Ok(Some(*op));
        }
        for entity in ["&lt;", "&gt;", "&amp;", "&quot;", "&apos;"] {
            if rest.starts_with(entity) {
                return Err((at, QueryProblem::Entity(entity)));
            }
        }
        if rest.starts_with('|') {
            return Err((at, QueryProblem::Union));
        }
        for sign in ["+", "-", "*"] {
            if rest.starts_with(sign) {
                return Err((at, QueryProblem::Arithmetic(sign)));
            }
        }
        for word in ["div", "mod"] {
            if self.is_word(word) {
                return Err((at, QueryProblem::Arithmetic(word)));
            }
        }
        Ok(None)
    }

    /// `PrimaryExpr` or `LocationPath`
    fn primary(&mut self) -> Parsed<Term> {
        let start = self.skip_space();
        match self.peek() {
            Some('(') => {
                self.at += 1;
                self.deeper(start)?;
                let term = self.or()?;
                self.expect(')', "`and`, `or` or `)`")?;
                self.depth -= 1;
                Ok(term)
            }
            Some('\'' | '"') => self.quoted().map(Term::Literal),
            Some('0'..='9') => self.number().map(Term::Literal),
            Some('.') if self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.number().map(Term::Literal)
            }
            Some('-') => Err((start, QueryProblem::Arithmetic("-"))),
            Some('+') => Err((start, QueryProblem::Arithmetic("+"))),
            Some('$') => Err((start, QueryProblem::Variable)),
            _ => match self.function()? {
                Some(term) => Ok(term),
                None => self.path().map(|path| Term::Operand(Operand::Path(path))),
            },
        }
    }

    /// A call of a function, if one is next.
    fn function(&mut self) -> Parsed<Option<Term>> {
        let start = self.at;
        let name = self.name();
        self.skip_space();
        if name.is_empty() || self.peek() != Some('(') || name == "text" {
            self.at = start;
            return Ok(None);
        }
        let term = match name {
            "position" | "band" | "timediff" | "contains" | "starts-with" | "not" => {
                self.at += 1;
                self.count(start)?;
                match name {
                    "position" => self.position(start)?,
                    "band" => self.band()?,
                    "contains" => self.search(Search::Contains)?,
                    "starts-with" => self.search(Search::StartsWith)?,
                    "not" => self.not(start)?,
                    _ => self.time_diff()?,
                }
            }
            _ => return Err((start, QueryProblem::Function(name.to_owned()))),
        };
        self.expect(')', "`)`")?;
        Ok(Some(term))
    }

    fn position(&mut self, start: usize) -> Parsed<Term> {
        if self.context != Context::Inside {
            return Err((start, QueryProblem::EventPosition));
        }
        Ok(Term::Operand(Operand::Position))
    }

    fn band(&mut self) -> Parsed<Term> {
        const WRONG: &str = "band() takes a path and a whole number, or two paths";
        let as_it_is = |literal| literal;
        let right = |argument: &Argument| match argument {
            Argument::Path(_) => true,
            Argument::Literal(literal) => literal.bits().is_some(),
        };
        let a = self.argument(WRONG, as_it_is, right)?;
        self.expect(',', "`,` and a second argument of band()")?;
        let second = self.skip_space();
        let b = self.argument(WRONG, as_it_is, right)?;
        if matches!((&a, &b), (Argument::Literal(_), Argument::Literal(_))) {
            return Err((second, QueryProblem::Argument(WRONG)));
        }
        Ok(Term::Condition(Expr::Band(a, b)))
    }

    /// The arguments of a function that looks for text.
    fn search(&mut self, search: Search) -> Parsed<Term> {
        let wrong = match search {
            Search::Contains => "contains() takes a path or `.`, and text in quotes",
            Search::StartsWith => "starts-with() takes a path or `.`, and text in quotes",
        };
        let start = self.skip_space();
        let path = match self.peek() {
            Some('.') if self.rest().starts_with("..") => self.path()?,
            Some('.') if self.context != Context::Root => {
                self.at += 1;
                Path { steps: Vec::new() }
            }
            Some('\'' | '"' | '0'..='9' | '.') => {
                return Err((start, QueryProblem::Argument(wrong)));
            }
            _ => self.path()?,
        };
        self.expect(',', "`,` and text in quotes")?;
        let second = self.skip_space();
        let text = match self.peek() {
            Some('\'' | '"') => self.quoted()?,
            _ => return Err((second, QueryProblem::Argument(wrong))),
        };
        Ok(Term::Condition(Expr::Search(search, path, text)))
    }

    fn not(&mut self, start: usize) -> Parsed<Term> {
        self.deeper(start)?;
        let inner = self.skip_space();
        let term = self.or()?;
        self.depth -= 1;
        Ok(Term::Condition(Expr::Not(Box::new(condition(term, inner)?))))
    }

    fn time_diff(&mut self) -> Parsed<Term> {
        const WRONG: &str = "timediff() takes a path, and a second path or a time such as \
                             '2026-11-22T06:00:00.000Z'";
        let right = |argument: &Argument| match argument {
            Argument::Path(_) => true,
            Argument::Literal(literal) => matches!(literal.kind, Kind::Time(_)),
        };
        let start = self.skip_space();
        let time = |literal: Literal| Literal::time(&literal.text).unwrap_or(literal);
        let from = self.argument(WRONG, time, right)?;
        let mut to = None;
        if self.skip_space() < self.text.len() && self.peek() == Some(',') {
            self.at += 1;
            to = Some(self.argument(WRONG, time, right)?);
        }
        if matches!((&from, &to), (Argument::Literal(_), None | Some(Argument::Literal(_)))) {
            return Err((start, QueryProblem::Argument(WRONG)));
        }
        Ok(Term::Operand(Operand::TimeDiff(from, to)))
    }

    /// An argument that a function takes.
    fn argument(
        &mut self,
        wrong: &'static str,
        read: impl Fn(Literal) -> Literal,
        right: impl Fn(&Argument) -> bool,
    ) -> Parsed<Argument> {
        let start = self.skip_space();
        let argument = match self.peek() {
            Some('\'' | '"') => Argument::Literal(read(self.quoted()?)),
            Some('0'..='9') => Argument::Literal(self.number()?),
            _ => Argument::Path(self.path()?),
        };
        if right(&argument) { Ok(argument) } else { Err((start, QueryProblem::Argument(wrong))) }
    }

    /// `RelativeLocationPath`
    fn path(&mut self) -> Parsed<Path> {
        let context = self.context;
        let mut steps = Vec::new();
        loop {
            let start = self.skip_space();
            let step = self.step()?;
            if steps.is_empty() && context == Context::Root {
                match &step.test {
                    NodeTest::Element(None) => {}
                    NodeTest::Element(Some(name)) if name == "Event" => {}
                    _ => {
                        let text = self.text[start..self.at].split('[').next();
                        let first = text.unwrap_or_default().trim_end().to_owned();
                        return Err((start, QueryProblem::FirstStep(first)));
                    }
                }
            }
            let leaf = !matches!(step.test, NodeTest::Element(_));
            steps.push(step);
            self.context = Context::Inside;
            let slash = self.skip_space();
            if self.peek() != Some('/') {
                self.context = context;
                return Ok(Path { steps });
            }
            self.at += 1;
            if self.peek() == Some('/') {
                return Err((slash, QueryProblem::Descendant));
            }
            if leaf {
                return Err((slash, QueryProblem::AfterLeaf));
            }
        }
    }

    /// `Step`
    fn step(&mut self) -> Parsed<Step> {
        let start = self.skip_space();
        self.count(start)?;
        let test = self.node_test()?;
        let mut step = Step { test, predicates: Vec::new() };
        loop {
            let bracket = self.skip_space();
            if self.peek() != Some('[') {
                return Ok(step);
            }
            if !matches!(step.test, NodeTest::Element(_)) {
                return Err((bracket, QueryProblem::AfterLeaf));
            }
            if step.predicates.len() == MAX_PREDICATES {
                return Err((bracket, QueryProblem::Predicates));
            }
            step.predicates.push(self.predicate(bracket)?);
        }
    }

    /// `Predicate`
    fn predicate(&mut self, start: usize) -> Parsed<Expr> {
        self.at += 1;
        self.deeper(start)?;
        let outer = self.context;
        self.context = match outer {
            Context::Root => Context::Event,
            Context::Event | Context::Inside => Context::Inside,
        };
        let inner = self.skip_space();
        let expr = match self.or()? {
            // XPath 1.0, 2.4: a number stands for the position.
            Term::Literal(number @ Literal { kind: Kind::Number(_), .. }) => {
                self.position(inner)?;
                Expr::Compare(Operand::Position, Op::Eq, number)
            }
            term => condition(term, inner)?,
        };
        self.context = outer;
        self.expect(']', "`and`, `or` or `]`")?;
        self.depth -= 1;
        Ok(expr)
    }

    /// `AxisSpecifier` and `NodeTest`
    fn node_test(&mut self) -> Parsed<NodeTest> {
        let start = self.skip_space();
        match self.peek() {
            Some('@') => {
                self.at += 1;
                return self.name_test("the name of an attribute or *").map(NodeTest::Attribute);
            }
            Some('*') => return self.name_test("").map(NodeTest::Element),
            Some('/') if self.rest().starts_with("//") => {
                return Err((start, QueryProblem::Descendant));
            }
            Some('/') => return Err((start, QueryProblem::Absolute)),
            Some('.') if self.rest().starts_with("..") => {
                return Err((start, QueryProblem::Abbreviation("..")));
            }
            Some('.') => return Err((start, QueryProblem::Abbreviation("."))),
            Some('$') => return Err((start, QueryProblem::Variable)),
            _ => {}
        }
        let name = self.name();
        let after_name = self.at;
        self.skip_space();
        if !name.is_empty() && self.rest().starts_with("::") {
            self.at += 2;
            return match name {
                "child" if self.is_text_test() => Ok(NodeTest::Text),
                "child" => self.name_test("the name of an element or *").map(NodeTest::Element),
                "attribute" => {
                    self.name_test("the name of an attribute or *").map(NodeTest::Attribute)
                }
                _ => Err((start, QueryProblem::Axis(name.to_owned()))),
            };
        }
        self.at = start;
        if self.is_text_test() {
            return Ok(NodeTest::Text);
        }
        if !name.is_empty() {
            self.at = after_name;
            self.skip_space();
            if self.peek() == Some('(') {
                return Err((start, QueryProblem::Function(name.to_owned())));
            }
            self.at = start;
        }
        self.name_test("a path, a function, a number or text in quotes").map(NodeTest::Element)
    }

    /// Takes `text()` if it is next.
    fn is_text_test(&mut self) -> bool {
        let start = self.skip_space();
        if self.name() == "text" {
            self.skip_space();
            if self.peek() == Some('(') {
                self.at += 1;
                self.skip_space();
                if self.peek() == Some(')') {
                    self.at += 1;
                    return true;
                }
            }
        }
        self.at = start;
        false
    }

    /// A name, or `*`.
    fn name_test(&mut self, wanted: &'static str) -> Parsed<Option<String>> {
        let start = self.skip_space();
        if self.peek() == Some('*') {
            self.at += 1;
            return Ok(None);
        }
        let name = self.name();
        if name.is_empty() {
            return Err(self.expected(wanted));
        }
        if self.peek() == Some(':') {
            return Err((start, QueryProblem::Prefix(name.to_owned())));
        }
        Ok(Some(name.to_owned()))
    }

    /// `Literal`
    fn quoted(&mut self) -> Parsed<Literal> {
        let start = self.at;
        let quote = &self.rest()[..1];
        let text = &self.rest()[1..];
        let length = text.find(quote).ok_or((start, QueryProblem::OpenQuote))?;
        self.at += length + 2;
        Ok(Literal::quoted(&text[..length]))
    }

    /// `Number`
    fn number(&mut self) -> Parsed<Literal> {
        let start = self.at;
        let rest = self.rest();
        let word = |c: char| is_name_char(c) || c == '.';
        let text = &rest[..rest.find(|c| !word(c)).unwrap_or(rest.len())];
        let digits = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        match Number::parse(text) {
            Some(number) if digits => {
                self.at += text.len();
                Ok(Literal { text: text.to_owned(), kind: Kind::Number(number) })
            }
            _ if text.starts_with("0x") || text.starts_with("0X") => {
                Err((start, QueryProblem::Hexadecimal(text.to_owned())))
            }
            _ if EventTime::parse(rest.split(']').next().unwrap_or_default()).is_some() => Err((
                start,
                QueryProblem::Expected { wanted: "a time in quotes", found: format!("`{text}`") },
            )),
            _ => Err((
                start,
                QueryProblem::Expected { wanted: "a number", found: format!("`{text}`") },
            )),
        }
    }

    /// `NCName`; empty if none is next.
    fn name(&mut self) -> &'t str {
        let rest = self.rest();
        if !rest.starts_with(is_name_start) {
            return "";
        }
        let name = &rest[..rest.find(|c| !is_name_char(c)).unwrap_or(rest.len())];
        self.at += name.len();
        name
    }

    /// Takes a word if it is next.
    fn keyword(&mut self, word: &str) -> bool {
        self.skip_space();
        let is_next = self.is_word(word);
        if is_next {
            self.at += word.len();
        }
        is_next
    }

    fn is_word(&self, word: &str) -> bool {
        self.rest().strip_prefix(word).is_some_and(|after| !after.starts_with(is_name_char))
    }

    fn expect(&mut self, c: char, wanted: &'static str) -> Parsed<()> {
        self.skip_space();
        if self.peek() != Some(c) {
            return Err(self.expected(wanted));
        }
        self.at += c.len_utf8();
        Ok(())
    }

    fn expected(&self, wanted: &'static str) -> Wrong {
        let found = match self.rest().trim_start().chars().next() {
            None => "the end".to_owned(),
            Some(c) if is_name_char(c) => {
                let rest = self.rest().trim_start();
                let end = rest.find(|c| !is_name_char(c)).unwrap_or(rest.len());
                format!("`{}`", rest[..end].chars().take(40).collect::<String>())
            }
            Some(c) => format!("`{}`", c.escape_debug()),
        };
        (self.at, QueryProblem::Expected { wanted, found })
    }

    /// Goes one parenthesis or bracket deeper.
    fn deeper(&mut self, start: usize) -> Parsed<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err((start, QueryProblem::TooDeep)) } else { Ok(()) }
    }

    /// Counts a step or a comparison.
    fn count(&mut self, start: usize) -> Parsed<()> {
        *self.terms = self.terms.checked_sub(1).ok_or((start, QueryProblem::TooMany))?;
        Ok(())
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Skips white space; gives the place after it.
    fn skip_space(&mut self) -> usize {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        self.at
    }
}

/// `NameStartChar` of XML 1.0 without the colon.
fn is_name_start(c: char) -> bool {
    matches!(c,
        'A'..='Z' | '_' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}'
        | '\u{f8}'..='\u{2ff}' | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}'
        | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}'
        | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}'
        | '\u{10000}'..='\u{effff}')
}

/// `NameChar` of XML 1.0 without the colon.
fn is_name_char(c: char) -> bool {
    is_name_start(c)
        || matches!(c, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}
