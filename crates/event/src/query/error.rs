//! What can be wrong with a query.

use super::{MAX_DEPTH, MAX_LENGTH, MAX_PREDICATES, MAX_TERMS};
use crate::Place;

/// A query that can't be understood, or that asks for what Windows event queries don't have.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{problem}")]
pub struct QueryError {
    /// Where in the query's text.
    pub place: Place,
    /// What is wrong there.
    pub problem: QueryProblem,
}

/// What is wrong with a query, and what is allowed instead.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryProblem {
    /// Something else should stand here.
    #[error("expected {wanted}, found {found}")]
    Expected {
        /// What should.
        wanted: &'static str,
        /// What does.
        found: String,
    },
    /// A quote without its partner.
    #[error("the text in quotes that begins here doesn't end")]
    OpenQuote,
    /// A first step that can't lead to an event.
    #[error(
        "a query begins with * or Event, such as *[System[EventID=4624]]; `{0}` would select \
         nothing"
    )]
    FirstStep(String),
    /// `/Event`.
    #[error("absolute paths are not allowed in event queries; begin with * or Event")]
    Absolute,
    /// `//Data`.
    #[error("`//` is not allowed in event queries; name every step, such as Event/EventData/Data")]
    Descendant,
    /// An axis other than child and attribute.
    #[error("the axis `{0}` is not allowed in event queries; there are child and attribute (@)")]
    Axis(String),
    /// `.` or `..`.
    #[error(
        "`{0}` is not allowed in event queries; there are only steps to children and attributes, and text()"
    )]
    Abbreviation(&'static str),
    /// A namespace prefix.
    #[error("event queries have no namespaces; leave out the prefix `{0}:`")]
    Prefix(String),
    /// A function that XPath or nobody has.
    #[error(
        "the function {0}() is not allowed in event queries; there are position(), band(), \
         timediff(), contains(), starts-with(), not() and the node test text()"
    )]
    Function(String),
    /// `|`.
    #[error("`|` is not allowed in event queries; use `or` inside brackets")]
    Union,
    /// `+` and the like.
    #[error(
        "`{0}` is not allowed: event queries have no arithmetic; write a negative number in quotes"
    )]
    Arithmetic(&'static str),
    /// `$name`.
    #[error("variables are not allowed in event queries")]
    Variable,
    /// `0x10` without quotes.
    #[error("a hexadecimal number is written in quotes: '{0}'")]
    Hexadecimal(String),
    /// `&lt;` outside of XML.
    #[error("`{0}` belongs in a <QueryList>; here the character itself is written")]
    Entity(&'static str),
    /// Something that is neither true nor false stands where a condition should.
    #[error("{0} by itself is no condition; compare it with something")]
    NoCondition(&'static str),
    /// A condition in a comparison.
    #[error("a condition can't be compared: it is true or false by itself")]
    ComparedCondition,
    /// No literal on either side, or on both.
    #[error(
        "one side of a comparison has to be a number or text in quotes, the other a path, position() or timediff()"
    )]
    Sides,
    /// A comparison with a number that has none.
    #[error("{0} is compared with a number")]
    NotANumber(&'static str),
    /// Something else than a time, compared with one.
    #[error(
        "@SystemTime is compared with a time in quotes such as '2026-11-22T06:00:00.000Z' or \
         '2026-11-22 06:00', which is UTC; `{0}` is none"
    )]
    NotATime(String),
    /// An argument of the wrong kind.
    #[error("{0}")]
    Argument(&'static str),
    /// A step below an attribute or text, or a predicate on one.
    #[error("a path ends with an attribute or text()")]
    AfterLeaf,
    /// `*[position()=1]`.
    #[error("position() counts inside an event; the place of an event in its log is not known")]
    EventPosition,
    /// Longer than [`MAX_LENGTH`].
    #[error("a query has at most {MAX_LENGTH} bytes")]
    TooLong,
    /// More parentheses and brackets in each other than [`MAX_DEPTH`].
    #[error("parentheses and brackets are at most {MAX_DEPTH} deep")]
    TooDeep,
    /// More steps and comparisons than [`MAX_TERMS`].
    #[error("a query has at most {MAX_TERMS} steps and comparisons")]
    TooMany,
    /// More than [`MAX_PREDICATES`].
    #[error("a step has at most {MAX_PREDICATES} predicates")]
    Predicates,
    /// Not well-formed XML; why.
    #[error("not well-formed XML: {0}")]
    Xml(String),
    /// An element that is not of a query list.
    #[error("<{found}> is not allowed here; {wanted}")]
    Element {
        /// The element.
        found: String,
        /// What is allowed.
        wanted: &'static str,
    },
    /// An attribute that the element doesn't have.
    #[error("<{element}> has no attribute {attribute}; {wanted}")]
    Attribute {
        /// The element.
        element: &'static str,
        /// The attribute.
        attribute: String,
        /// The attributes it has.
        wanted: &'static str,
    },
    /// An Id that is not a number.
    #[error("Id is a whole number, not `{0}`")]
    Id(String),
    /// Text between elements.
    #[error("text is only allowed in <Select> and <Suppress>")]
    StrayText,
    /// A select or suppress without an XPath expression.
    #[error("an XPath expression is missing; * is every event")]
    NoExpression,
    /// A query or a list that can't select anything.
    #[error("<{0}> selects nothing; it needs a <{1}>")]
    SelectsNothing(&'static str, &'static str),
}
