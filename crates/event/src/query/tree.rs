//! The meaning of a query: conditions tested on an event's tree, node by node.
//!
//! The tree lies in vectors that are used again for the next event; its names and values are
//! borrowed from the event, and no value is made into text that isn't compared as text.
//!
//! XPath 1.0 with the data model of MS-EVEN6 2.2.15.1: an element with elements inside has no
//! value (a comparison with it is false), and namespace declarations are no attributes.

use super::ast::{Argument, Expr, Literal, NodeTest, Op, Operand, Path, Step};
use super::{MAX_PREDICATES, Number};
use crate::text::Plain;
use crate::{EventTime, FieldSource, Sink, Value};

/// An event's nodes in document order, after a root without a name.
#[derive(Default)]
pub(super) struct Tree<'a> {
    nodes: Vec<Node<'a>>,
    /// The parts of values; a node has a range of them.
    pieces: Vec<Value<'a>>,
    /// The elements that are open while the tree is built.
    open: Vec<usize>,
    /// Whether text would continue the last node.
    in_text: bool,
}

struct Node<'a> {
    kind: NodeKind,
    /// Empty for text.
    name: &'a str,
    /// For an element, those of its text where it has one.
    pieces: (usize, usize),
    /// The index after the node and all below it.
    end: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum NodeKind {
    /// An element that has a value: text or nothing.
    Leaf,
    /// An element with elements inside.
    Branch,
    Attribute,
    Text,
}

impl<'a> Tree<'a> {
    /// Fills the tree.
    pub(super) fn build<S: FieldSource>(&mut self, source: &'a S) {
        self.nodes.push(Node { kind: NodeKind::Branch, name: "", pieces: (0, 0), end: 0 });
        source.walk(self);
        while let Some(open) = self.open.pop() {
            self.nodes[open].end = self.nodes.len();
        }
        self.nodes[0].end = self.nodes.len();
    }

    pub(super) fn is_built(&self) -> bool {
        !self.nodes.is_empty()
    }

    /// The same vectors, empty, for an event that lives at another time.
    pub(super) fn recycled<'b>(self) -> Tree<'b> {
        Tree {
            nodes: recycled(self.nodes),
            pieces: recycled(self.pieces),
            open: recycled(self.open),
            in_text: false,
        }
    }

    fn push(&mut self, kind: NodeKind, name: &'a str) -> usize {
        let at = self.nodes.len();
        let pieces = (self.pieces.len(), self.pieces.len());
        self.nodes.push(Node { kind, name, pieces, end: at + 1 });
        at
    }
}

/// An empty vector with the room of another. Collecting in place keeps the allocation where the
/// two types have one layout, as they do when only lifetimes differ.
fn recycled<T, U>(mut vector: Vec<T>) -> Vec<U> {
    vector.clear();
    vector.into_iter().filter_map(|_| None).collect()
}

impl<'a> Sink<'a> for Tree<'a> {
    fn open(&mut self, name: &'a str) {
        self.in_text = false;
        if let Some(&parent) = self.open.last() {
            self.nodes[parent].kind = NodeKind::Branch;
        }
        let at = self.push(NodeKind::Leaf, name);
        self.open.push(at);
    }

    fn attribute(&mut self, name: &'a str, pieces: &[Value<'a>]) {
        if name == "xmlns" || name.starts_with("xmlns:") {
            return;
        }
        let at = self.push(NodeKind::Attribute, name);
        self.pieces.extend(pieces.iter().filter(|piece| !piece.is_empty()));
        self.nodes[at].pieces.1 = self.pieces.len();
    }

    fn text(&mut self, value: Value<'a>) {
        let Some(&parent) = self.open.last() else { return };
        if value.is_empty() {
            return;
        }
        if !self.in_text {
            self.push(NodeKind::Text, "");
            self.in_text = true;
        }
        self.pieces.push(value);
        let end = self.pieces.len();
        if let Some(text) = self.nodes.last_mut() {
            text.pieces.1 = end;
            let pieces = text.pieces;
            self.nodes[parent].pieces = pieces;
        }
    }

    fn close(&mut self, _name: &'a str, _empty: bool) {
        self.in_text = false;
        if let Some(at) = self.open.pop() {
            self.nodes[at].end = self.nodes.len();
        }
    }
}

/// Tests conditions on a tree.
pub(super) struct Evaluator<'t, 'a> {
    pub(super) tree: &'t Tree<'a>,
    pub(super) now: EventTime,
    pub(super) scratch: &'t mut Vec<u8>,
}

/// The node that a condition is tested on.
#[derive(Clone, Copy)]
struct Context {
    node: usize,
    /// Its place among the nodes of its step, from 1.
    position: u64,
}

impl<'a> Evaluator<'_, 'a> {
    /// Whether the condition holds for the event.
    pub(super) fn selects(&mut self, expr: &Expr) -> bool {
        self.holds(expr, Context { node: 0, position: 1 })
    }

    fn holds(&mut self, expr: &Expr, context: Context) -> bool {
        match expr {
            Expr::Or(terms) => terms.iter().any(|term| self.holds(term, context)),
            Expr::And(terms) => terms.iter().all(|term| self.holds(term, context)),
            Expr::Path(path) => self.any(path, context, &mut |_, _| true),
            Expr::Compare(Operand::Path(path), op, literal) => {
                self.any(path, context, &mut |this, node| this.compares(node, *op, literal))
            }
            Expr::Compare(Operand::Position, op, literal) => literal
                .number()
                .is_some_and(|number| op.holds(&Number::from(context.position), &number)),
            Expr::Compare(Operand::TimeDiff(from, to), op, literal) => {
                let Some(number) = literal.number() else { return false };
                self.any_time(from, context, &mut |this, from| match to {
                    None => op.holds(&milliseconds(from, this.now), &number),
                    Some(to) => this.any_time(to, context, &mut |_, to| {
                        op.holds(&milliseconds(from, to), &number)
                    }),
                })
            }
            Expr::Band(a, b) => self.any_bits(a, context, &mut |this, a| {
                this.any_bits(b, context, &mut |_, b| a & b != 0)
            }),
            Expr::Search(search, path, text) => self.any(path, context, &mut |this, node| {
                this.pieces(node).is_some_and(|pieces| {
                    with_text(pieces, &mut Vec::new(), |value| search.holds(value, &text.text))
                })
            }),
            Expr::Not(inner) => !self.holds(inner, context),
        }
    }

    /// Whether any node of a path passes a test.
    fn any(
        &mut self,
        path: &Path,
        context: Context,
        test: &mut dyn FnMut(&mut Self, usize) -> bool,
    ) -> bool {
        self.any_below(&path.steps, context.node, test)
    }

    fn any_below(
        &mut self,
        steps: &[Step],
        node: usize,
        test: &mut dyn FnMut(&mut Self, usize) -> bool,
    ) -> bool {
        let Some((step, rest)) = steps.split_first() else { return test(self, node) };
        // How many nodes of the step have come to each predicate so far.
        let mut positions = [0; MAX_PREDICATES];
        let mut child = node + 1;
        while child < self.tree.nodes[node].end {
            if self.passes(step, child, &mut positions) && self.any_below(rest, child, test) {
                return true;
            }
            child = self.tree.nodes[child].end;
        }
        false
    }

    fn passes(&mut self, step: &Step, at: usize, positions: &mut [u64; MAX_PREDICATES]) -> bool {
        let node = &self.tree.nodes[at];
        let named = |name: &Option<String>| name.as_ref().is_none_or(|name| node.name == name);
        let is_one = match (&step.test, node.kind) {
            (NodeTest::Element(name), NodeKind::Leaf | NodeKind::Branch) => named(name),
            (NodeTest::Attribute(name), NodeKind::Attribute) => named(name),
            (NodeTest::Text, NodeKind::Text) => true,
            _ => false,
        };
        is_one
            && step.predicates.iter().zip(positions).all(|(predicate, position)| {
                *position += 1;
                self.holds(predicate, Context { node: at, position: *position })
            })
    }

    fn compares(&mut self, node: usize, op: Op, literal: &Literal) -> bool {
        let scratch = std::mem::take(self.scratch);
        let mut scratch = scratch;
        let compares = match self.pieces(node) {
            None => false,
            Some([]) => literal.compares_text("", op),
            Some([value]) => literal.compares(value, op, &mut scratch),
            Some(pieces) => with_text(pieces, &mut scratch, |text| literal.compares_text(text, op)),
        };
        *self.scratch = scratch;
        compares
    }

    /// The parts of a node's value; nothing for one that has no value.
    fn pieces(&self, node: usize) -> Option<&[Value<'a>]> {
        let node = &self.tree.nodes[node];
        (node.kind != NodeKind::Branch).then(|| &self.tree.pieces[node.pieces.0..node.pieces.1])
    }

    /// Whether any of an argument's times passes a test.
    fn any_time(
        &mut self,
        argument: &Argument,
        context: Context,
        test: &mut dyn FnMut(&mut Self, EventTime) -> bool,
    ) -> bool {
        match argument {
            Argument::Literal(literal) => {
                EventTime::parse(&literal.text).is_some_and(|time| test(self, time))
            }
            Argument::Path(path) => self.any(path, context, &mut |this, node| {
                let time = match this.pieces(node) {
                    Some([value]) => value.as_time(),
                    Some(pieces @ [_, ..]) => with_text(pieces, &mut Vec::new(), EventTime::parse),
                    _ => None,
                };
                time.is_some_and(|time| test(this, time))
            }),
        }
    }

    /// Whether any of an argument's sets of bits passes a test.
    fn any_bits(
        &mut self,
        argument: &Argument,
        context: Context,
        test: &mut dyn FnMut(&mut Self, u64) -> bool,
    ) -> bool {
        match argument {
            Argument::Literal(literal) => literal.bits().is_some_and(|bits| test(self, bits)),
            Argument::Path(path) => self.any(path, context, &mut |this, node| {
                let bits = match this.pieces(node) {
                    Some([value]) => Number::bits(value),
                    Some(pieces @ [_, ..]) => {
                        with_text(pieces, &mut Vec::new(), |text| Number::bits(&Value::Str(text)))
                    }
                    _ => None,
                };
                bits.is_some_and(|bits| test(this, bits))
            }),
        }
    }
}

/// Whole milliseconds from one time to another.
#[inline]
pub(super) fn milliseconds(from: EventTime, to: EventTime) -> Number {
    let units = i128::from(to.as_filetime()) - i128::from(from.as_filetime());
    Number::Whole(units / i128::from(EventTime::MILLISECOND))
}

/// Calls `f` with the text of values together.
fn with_text<R>(pieces: &[Value<'_>], scratch: &mut Vec<u8>, f: impl FnOnce(&str) -> R) -> R {
    scratch.clear();
    pieces.iter().for_each(|piece| piece.push::<Plain>(scratch));
    f(&String::from_utf8_lossy(scratch))
}
