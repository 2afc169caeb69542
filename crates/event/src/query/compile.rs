//! A query ready for testing: a quick look at an event's fields and data first, and its tree only
//! where that doesn't settle it.
//!
//! The quick look is exact for what stands in `<System>`. For anything else it may say
//! [`Look::Maybe`], never a wrong yes or no. An event has one `<System>` and one `<EventData>`, and
//! each child of `<System>` once: [`FieldSource::field`] is that child.

use std::ops::ControlFlow;

use super::ast::{Argument, Expr, Kind, Literal, NodeTest, Op, Operand, Path, Search, Step};
use super::tree::{Evaluator, Tree, milliseconds};
use super::{Body, Number, Query};
use crate::{EventTime, Field, FieldSource, PartialSource};

/// A query ready for testing events.
#[derive(Clone, Debug)]
pub struct CompiledQuery {
    now: EventTime,
    queries: Vec<Selection>,
}

/// Room for testing events, one for a thread.
#[derive(Default)]
pub struct Scratch {
    tree: Tree<'static>,
    text: Vec<u8>,
}

/// A query of a list.
#[derive(Clone, Debug)]
struct Selection {
    selects: Vec<Condition>,
    suppresses: Vec<Condition>,
}

#[derive(Clone, Debug)]
struct Condition {
    channel: Option<String>,
    quick: Test,
    /// What it means.
    expr: Expr,
}

/// What a quick look says; in the order in which `or` prefers them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Look {
    No,
    Maybe,
    Yes,
}

impl std::ops::Not for Look {
    type Output = Look;

    fn not(self) -> Look {
        match self {
            Look::No => Look::Yes,
            Look::Maybe => Look::Maybe,
            Look::Yes => Look::No,
        }
    }
}

impl From<bool> for Look {
    fn from(holds: bool) -> Self {
        if holds { Look::Yes } else { Look::No }
    }
}

/// A quick look.
#[derive(Clone, Debug)]
enum Test {
    /// What is not settled quickly.
    Maybe,
    /// The event is there.
    Event,
    Any(Vec<Test>),
    All(Vec<Test>),
    /// Whether a field is there.
    Field(Field),
    Compare(Field, Op, Literal),
    Band(Field, u64),
    /// Whether a field's value has a text in it, or at its start.
    Search(Field, Search, Literal),
    Not(Box<Test>),
    /// Milliseconds from a field to a time.
    TimeDiff {
        from: Field,
        to: EventTime,
        op: Op,
        number: Number,
    },
    /// Whether there may be a `<Data>` of a name, or any, with such a value.
    Data {
        name: Option<String>,
        op: Op,
        literal: Literal,
    },
}

impl CompiledQuery {
    pub(super) fn new(query: &Query, now: EventTime) -> Self {
        let condition = |expr: &Expr, channel: Option<&str>| Condition {
            channel: channel.map(str::to_owned),
            quick: Compiler { now }.expr(expr, Place::Root),
            expr: expr.clone(),
        };
        let queries = match &query.body {
            Body::XPath(expr) => {
                vec![Selection { selects: vec![condition(expr, None)], suppresses: Vec::new() }]
            }
            Body::List(queries) => queries
                .iter()
                .map(|query| {
                    let conditions = |suppresses| {
                        query
                            .clauses
                            .iter()
                            .filter(|clause| clause.suppresses == suppresses)
                            .map(|clause| condition(&clause.expr, query.channel(clause)))
                            .collect()
                    };
                    Selection { selects: conditions(false), suppresses: conditions(true) }
                })
                .collect(),
        };
        CompiledQuery { now, queries }
    }

    /// Whether an event is selected.
    pub fn matches<S: FieldSource>(&self, source: &S, scratch: &mut Scratch) -> bool {
        let mut event = Tested { source, now: self.now, tree: Tree::default(), scratch };
        let selected = self.queries.iter().any(|query| {
            query.selects.iter().any(|select| event.meets(select))
                && !query.suppresses.iter().any(|suppress| event.meets(suppress))
        });
        event.finish();
        selected
    }

    /// Whether an event is selected, as far as what is known of it tells.
    pub(crate) fn look<S: PartialSource>(&self, source: &S, scratch: &mut Scratch) -> Look {
        let mut any = |conditions: &[Condition]| {
            let looks = conditions.iter().map(|one| one.look(source, &mut scratch.text));
            first_or_max(looks)
        };
        let of_query = |query: &Selection| match any(&query.selects) {
            Look::No => Look::No,
            selected => selected.min(!any(&query.suppresses)),
        };
        first_or_max(self.queries.iter().map(of_query))
    }

    /// The same without a quick look, to test that by.
    #[cfg(any(test, feature = "testing"))]
    pub fn matches_slowly<S: FieldSource>(&self, source: &S) -> bool {
        let mut all_maybe = self.clone();
        for query in &mut all_maybe.queries {
            for condition in query.selects.iter_mut().chain(&mut query.suppresses) {
                condition.quick = Test::Maybe;
            }
        }
        all_maybe.matches(source, &mut Scratch::default())
    }
}

/// An event under test. Its tree is built when it is first needed.
struct Tested<'a, 's, S> {
    source: &'a S,
    now: EventTime,
    tree: Tree<'a>,
    scratch: &'s mut Scratch,
}

impl<S: FieldSource> Tested<'_, '_, S> {
    fn meets(&mut self, condition: &Condition) -> bool {
        match condition.look(self.source, &mut self.scratch.text) {
            Look::No => false,
            Look::Yes => true,
            Look::Maybe => {
                if !self.tree.is_built() {
                    self.tree = std::mem::take(&mut self.scratch.tree).recycled();
                    self.tree.build(self.source);
                }
                let scratch = &mut self.scratch.text;
                Evaluator { tree: &self.tree, now: self.now, scratch }.selects(&condition.expr)
            }
        }
    }

    /// Gives back the room.
    fn finish(self) {
        if self.tree.is_built() {
            self.scratch.tree = self.tree.recycled();
        }
    }
}

impl Condition {
    fn look<S: PartialSource>(&self, source: &S, scratch: &mut Vec<u8>) -> Look {
        if let Some(channel) = &self.channel {
            let same = |text: &str| same_channel(text, channel);
            let of_event = source.known_field(Field::Channel);
            if of_event.is_empty() || !of_event.with_text(same) {
                return Look::No;
            }
        }
        self.quick.look(source, scratch)
    }
}

/// The most that any says, without asking further after one that says yes.
fn first_or_max(looks: impl Iterator<Item = Look>) -> Look {
    let mut best = Look::No;
    for look in looks {
        best = best.max(look);
        if best == Look::Yes {
            break;
        }
    }
    best
}

fn same_channel(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    one.chars().flat_map(char::to_lowercase).eq(other.chars().flat_map(char::to_lowercase))
}

impl Test {
    fn look<S: PartialSource>(&self, source: &S, scratch: &mut Vec<u8>) -> Look {
        match self {
            Test::Maybe => Look::Maybe,
            Test::Event => Look::Yes,
            Test::Any(tests) => first_or_max(tests.iter().map(|test| test.look(source, scratch))),
            Test::All(tests) => {
                let mut worst = Look::Yes;
                for test in tests {
                    worst = worst.min(test.look(source, scratch));
                    if worst == Look::No {
                        break;
                    }
                }
                worst
            }
            // Empty is either there without text, or not there at all: only the tree tells.
            Test::Field(field) if source.known_field(*field).is_empty() => Look::Maybe,
            Test::Field(_) => Look::Yes,
            Test::Compare(field, op, literal) => {
                let value = source.known_field(*field);
                match literal.compares(&value, *op, scratch) {
                    true if value.is_empty() => Look::Maybe,
                    holds => holds.into(),
                }
            }
            Test::Band(field, mask) => Number::bits(&source.known_field(*field))
                .is_some_and(|bits| bits & mask != 0)
                .into(),
            Test::Search(field, search, text) => {
                let value = source.known_field(*field);
                match value.is_empty() {
                    // Empty is either there without text, or not there at all.
                    true if search.holds("", &text.text) => Look::Maybe,
                    true => Look::No,
                    false => value.with_text(|value| search.holds(value, &text.text)).into(),
                }
            }
            Test::Not(test) => !test.look(source, scratch),
            Test::TimeDiff { from, to, op, number } => match source.known_field(*from).as_time() {
                Some(from) => op.holds(&milliseconds(from, *to), number).into(),
                None => Look::No,
            },
            Test::Data { name, op, literal } => {
                let found = source.known_data(name.as_deref(), |value| {
                    match literal.compares(&value, *op, scratch) {
                        true => ControlFlow::Break(()),
                        false => ControlFlow::Continue(()),
                    }
                });
                // A value of that name may be of an element other than <Data>, or deeper.
                match found {
                    Some(ControlFlow::Continue(())) => Look::No,
                    Some(ControlFlow::Break(())) | None => Look::Maybe,
                }
            }
        }
    }
}

/// Where in an event a path has come to.
#[derive(Clone, Copy)]
enum Place<'q> {
    Root,
    Event,
    System,
    /// A child of `<System>`.
    Field(&'q str),
    /// An attribute of that.
    FieldLeaf(Field),
    EventData,
    Elsewhere,
}

impl<'q> Place<'q> {
    fn below(self, test: &'q NodeTest) -> Place<'q> {
        match (self, test) {
            (Place::Root, NodeTest::Element(_)) => Place::Event,
            (Place::Event, NodeTest::Element(Some(name))) => match &**name {
                "System" => Place::System,
                "EventData" => Place::EventData,
                _ => Place::Elsewhere,
            },
            (Place::System, NodeTest::Element(Some(name))) => Place::Field(name),
            (Place::Field(element), NodeTest::Attribute(Some(name))) => {
                Field::at(element, Some(name)).map_or(Place::Elsewhere, Place::FieldLeaf)
            }
            _ => Place::Elsewhere,
        }
    }

    /// The field whose value a node here has.
    fn field(self) -> Option<Field> {
        match self {
            Place::Field(element) => Field::at(element, None),
            Place::FieldLeaf(field) => Some(field),
            _ => None,
        }
    }
}

/// Makes quick looks of conditions.
struct Compiler {
    now: EventTime,
}

impl Compiler {
    fn expr<'q>(&self, expr: &'q Expr, place: Place<'q>) -> Test {
        let each = |terms: &'q [Expr]| terms.iter().map(|term| self.expr(term, place)).collect();
        match expr {
            Expr::Or(terms) => Test::Any(each(terms)),
            Expr::And(terms) => all(each(terms)),
            Expr::Path(path) => self.path(&path.steps, place, None),
            Expr::Compare(Operand::Path(path), op, literal) => {
                self.path(&path.steps, place, Some((*op, literal)))
            }
            Expr::Compare(Operand::Position, ..) => Test::Maybe,
            Expr::Compare(Operand::TimeDiff(from, to), op, literal) => {
                let to = match to {
                    None => Some(self.now),
                    Some(Argument::Literal(Literal { kind: Kind::Time(time), .. })) => Some(*time),
                    Some(_) => None,
                };
                match (self.field(from, place), to, literal.number()) {
                    (Some(from), Some(to), Some(number)) => {
                        Test::TimeDiff { from, to, op: *op, number }
                    }
                    _ => Test::Maybe,
                }
            }
            Expr::Band(Argument::Literal(literal), path)
            | Expr::Band(path, Argument::Literal(literal)) => {
                match (self.field(path, place), literal.bits()) {
                    (Some(field), Some(bits)) => Test::Band(field, bits),
                    _ => Test::Maybe,
                }
            }
            Expr::Band(..) => Test::Maybe,
            Expr::Search(search, path, text) => {
                let argument = self.field_at(&path.steps, place);
                argument.map_or(Test::Maybe, |field| Test::Search(field, *search, text.clone()))
            }
            Expr::Not(inner) => Test::Not(Box::new(self.expr(inner, place))),
        }
    }

    /// The field that an argument is, without conditions on the way.
    fn field<'q>(&self, argument: &'q Argument, place: Place<'q>) -> Option<Field> {
        let Argument::Path(Path { steps }) = argument else { return None };
        self.field_at(steps, place)
    }

    fn field_at<'q>(&self, steps: &'q [Step], mut place: Place<'q>) -> Option<Field> {
        for step in steps {
            if !step.predicates.is_empty() {
                return None;
            }
            place = place.below(&step.test);
        }
        place.field()
    }

    /// A path from a place, and how its nodes have to compare, or that there is one.
    fn path<'q>(
        &self,
        steps: &'q [Step],
        mut place: Place<'q>,
        compare: Option<(Op, &Literal)>,
    ) -> Test {
        let mut tests = Vec::new();
        let mut last_has_predicates = false;
        for (i, step) in steps.iter().enumerate() {
            if let (Place::EventData, NodeTest::Element(Some(name))) = (place, &step.test)
                && name == "Data"
                && i + 1 == steps.len()
            {
                tests.push(data(step, compare));
                return all(tests);
            }
            place = place.below(&step.test);
            tests.extend(step.predicates.iter().map(|predicate| self.expr(predicate, place)));
            last_has_predicates = !step.predicates.is_empty();
        }
        match (place, place.field(), compare) {
            (_, Some(field), Some((op, literal))) => {
                tests.push(Test::Compare(field, op, literal.clone()));
            }
            (Place::Event, _, None) => tests.push(Test::Event),
            // A condition on something in it that holds says that it is there.
            (Place::System | Place::Field(_), _, None) if last_has_predicates => {}
            (_, Some(field), None) => tests.push(Test::Field(field)),
            _ => tests.push(Test::Maybe),
        }
        all(tests)
    }
}

/// All of some looks, as one without others of that kind inside.
fn all(tests: Vec<Test>) -> Test {
    let mut flat = Vec::new();
    for test in tests {
        match test {
            Test::All(inner) => flat.extend(inner),
            Test::Event => {}
            test => flat.push(test),
        }
    }
    match flat.pop() {
        None => Test::Event,
        Some(only) if flat.is_empty() => only,
        Some(last) => {
            flat.push(last);
            Test::All(flat)
        }
    }
}

/// A look for `<Data>` in `<EventData>`: for the name and the value that it has to have. What else
/// has to hold is left to the tree.
fn data(step: &Step, compare: Option<(Op, &Literal)>) -> Test {
    // What `text()` is compared with doesn't help: data that have elements besides have no value.
    let name = step.predicates.iter().flat_map(conjuncts).find_map(|conjunct| match conjunct {
        Expr::Compare(Operand::Path(Path { steps }), Op::Eq, literal)
            if literal.is_plain_text()
                && matches!(&**steps, [Step { test: NodeTest::Attribute(Some(name)), .. }]
                    if name == "Name") =>
        {
            Some(literal.text.clone())
        }
        _ => None,
    });
    match compare {
        Some((op, literal)) => Test::Data { name, op, literal: literal.clone() },
        // One with elements inside isn't found by its own name.
        None => Test::Maybe,
    }
}

/// The conditions that all have to hold for one to hold.
fn conjuncts(expr: &Expr) -> &[Expr] {
    match expr {
        Expr::And(terms) => terms,
        other => std::slice::from_ref(other),
    }
}
