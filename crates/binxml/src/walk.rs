//! A record's tree in document order, for as long as a bound allows.

use std::ops::ControlFlow;

use quarry_event::{Sink, Value, layout};

use crate::decoder::{Instance, InstanceIndex, Slot};
use crate::error::{Fault, Result};
use crate::limits::Limits;
use crate::record::Record;
use crate::template::{Node, Piece};
use crate::value::{ARRAY, decode, split_item};

/// Walks through a record with a bound, to see that it doesn't print too much.
pub(crate) fn check_expansion(record: Record<'_>, at: usize) -> Result<()> {
    let budget = Limits::EXPANSION;
    let mut walker = Walker { record, sink: &mut Nowhere, budget, has_marks: false };
    match walker.root() {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Fault::Limit("text in an event").at(at)),
    }
}

struct Nowhere;

impl<'a> Sink<'a> for Nowhere {
    fn open(&mut self, _name: &'a str) {}
    fn attribute(&mut self, _name: &'a str, _pieces: &[Value<'a>]) {}
    fn text(&mut self, _value: Value<'a>) {}
    fn close(&mut self, _name: &'a str, _empty: bool) {}
}

/// Walks through an event's tree, for as many steps and bytes as the budget allows.
pub(crate) struct Walker<'d, 's, S> {
    record: Record<'d>,
    sink: &'s mut S,
    budget: usize,
    /// Whether marks stand for values that aren't empty.
    has_marks: bool,
}

impl<'d, 's, S: Sink<'d>> Walker<'d, 's, S> {
    /// A walk without a bound, for a record that was measured when it was parsed.
    pub(crate) fn new(record: Record<'d>, sink: &'s mut S) -> Self {
        Walker { record, sink, budget: usize::MAX, has_marks: false }
    }

    /// The same with marks for values, in a record without arrays.
    pub(crate) fn with_marks(record: Record<'d>, sink: &'s mut S) -> Self {
        Walker { has_marks: true, ..Walker::new(record, sink) }
    }

    pub(crate) fn root(&mut self) -> ControlFlow<()> {
        match self.record.decoder.instances.first() {
            Some(instance) => self.instance(instance),
            None => ControlFlow::Continue(()),
        }
    }

    fn spend(&mut self, cost: usize) -> ControlFlow<()> {
        match self.budget.checked_sub(cost + 1) {
            Some(left) => {
                self.budget = left;
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        }
    }

    fn instance(&mut self, instance: &'d Instance) -> ControlFlow<()> {
        if self.record.template(instance).nodes.is_empty() {
            return ControlFlow::Continue(());
        }
        self.child(instance, 0)
    }

    fn instances(&mut self, mut next: Option<InstanceIndex>) -> ControlFlow<()> {
        while let Some(index) = next {
            let instance = self.record.instance(index);
            self.instance(instance)?;
            next = instance.next;
        }
        ControlFlow::Continue(())
    }

    /// The element that begins at a node, as often as an array in it says, or not at all.
    fn child(&mut self, instance: &'d Instance, open: usize) -> ControlFlow<()> {
        let template = self.record.template(instance);
        let Node::Open { name, needs, repeats, .. } = template.nodes[open] else {
            return ControlFlow::Continue(());
        };
        if self.record.is_dropped(instance, needs) || self.sink.skips(template.literal(name)) {
            return ControlFlow::Continue(());
        }
        let array = match repeats && self.record.decoder.has_arrays {
            true => self.array_in(instance, open),
            false => None,
        };
        let Some((at, array)) = array else {
            return self.element(instance, open, None);
        };
        let mut rest = self.record.slot_bytes(array);
        while let Some((item, behind)) = split_item(array.kind(), rest) {
            let value = decode(array.kind() & !ARRAY, item, self.record.decoder.ansi());
            self.spend(item.len())?;
            self.element(instance, open, Some((at, value)))?;
            rest = behind;
        }
        ControlFlow::Continue(())
    }

    /// The first array in an element's own content, and the node where it is.
    fn array_in(&self, instance: &'d Instance, open: usize) -> Option<(usize, Slot)> {
        let nodes = &self.record.template(instance).nodes;
        let mut at = open + 1;
        loop {
            match *nodes.get(at)? {
                Node::Open { close, .. } => at = close as usize,
                Node::Content(Piece::Slot { slot, .. }) => {
                    let slot = self.record.slot(instance, slot);
                    if let Some(slot) = slot.filter(|slot| slot.is_array() && slot.len() > 0) {
                        return Some((at, slot));
                    }
                }
                Node::Close { .. } => return None,
                Node::Content(_) | Node::Attribute { .. } => {}
            }
            at += 1;
        }
    }

    /// An element once; `item` is an item of an array, and the node that it stands for.
    fn element(
        &mut self,
        instance: &'d Instance,
        open: usize,
        item: Option<(usize, Value<'d>)>,
    ) -> ControlFlow<()> {
        let template = self.record.template(instance);
        let Node::Open { name, close, .. } = template.nodes[open] else {
            return ControlFlow::Continue(());
        };
        self.spend((name.end - name.start) as usize)?;
        self.sink.open(template.literal(name));
        let mut at = open + 1;
        while at < close as usize {
            match template.nodes[at] {
                Node::Open { close, .. } => {
                    self.child(instance, at)?;
                    at = close as usize;
                }
                Node::Attribute { name, start, end } => {
                    let pieces = &template.pieces[start as usize..end as usize];
                    self.attribute(instance, template.literal(name), pieces)?;
                }
                Node::Content(piece) => match item {
                    Some((node, value)) if node == at => self.sink.text(value),
                    _ => self.content(instance, piece)?,
                },
                Node::Close { .. } => {}
            }
            at += 1;
        }
        if let Node::Close { name, empty } = template.nodes[close as usize] {
            self.sink.close(template.literal(name), empty);
        }
        ControlFlow::Continue(())
    }

    fn attribute(
        &mut self,
        instance: &'d Instance,
        name: &'d str,
        pieces: &[Piece],
    ) -> ControlFlow<()> {
        if self.record.lacks_optional(instance, pieces) {
            return ControlFlow::Continue(());
        }
        // Nearly every attribute is one piece.
        if let [Piece::Literal(literal)] = *pieces {
            let text = self.record.template(instance).literal(literal);
            self.spend(name.len() + text.len())?;
            if !text.is_empty() {
                self.sink.attribute(name, &[Value::Str(text)]);
            }
            return ControlFlow::Continue(());
        }
        let mut values = Vec::new();
        let mut bytes = name.len();
        for &piece in pieces {
            let mark = self.mark(instance, piece);
            self.record.each_piece(instance, &[piece], |value| {
                bytes += 1 + size(&value);
                if !value.is_empty() {
                    values.push(mark.unwrap_or(value));
                }
            });
        }
        self.spend(bytes)?;
        if !values.is_empty() {
            self.sink.attribute(name, &values);
        }
        ControlFlow::Continue(())
    }

    fn content(&mut self, instance: &'d Instance, piece: Piece) -> ControlFlow<()> {
        if let Piece::Slot { slot, .. } = piece
            && let Some(first) = self.record.slot(instance, slot).and_then(Slot::nested)
        {
            self.spend(0)?;
            return self.instances(Some(first));
        }
        let mut bytes = 0;
        let mark = self.mark(instance, piece);
        let Walker { record, sink, .. } = self;
        record.each_piece(instance, &[piece], |value| {
            bytes += 1 + size(&value);
            if !value.is_empty() {
                sink.text(mark.unwrap_or(value));
            }
        });
        self.spend(bytes)
    }

    /// What stands for a value where marks do.
    #[inline]
    fn mark(&self, instance: &Instance, piece: Piece) -> Option<Value<'d>> {
        let slot = piece.slot().filter(|_| self.has_marks)?;
        layout::mark(instance.slots + u32::from(slot)).map(Value::Str)
    }
}

/// About how many bytes a value takes to print.
fn size(value: &Value<'_>) -> usize {
    match value {
        Value::Str(text) => text.len(),
        Value::Binary(bytes) => 2 * bytes.len(),
        Value::Utf16(text) => text.len_bytes(),
        Value::Ansi(text) => text.len_bytes(),
        _ => 32,
    }
}
