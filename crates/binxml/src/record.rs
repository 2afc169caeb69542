//! An undecoded event.

use std::ops::ControlFlow;

use quarry_event::text::Plain;
use quarry_event::{DataName, Field, FieldSource, Fields, Sink, Value};

use crate::decoder::{Decoder, Instance, InstanceIndex, Slot};
use crate::error::{Fault, Result};
use crate::limits::Limits;
use crate::template::{Datum, DatumName, Dependencies, FieldText, Node, Piece, Template, Text};
use crate::value::{ARRAY, NULL, decode, split_item};

/// An event whose values still lie in the bytes it came in.
#[derive(Clone, Copy)]
pub struct Record<'d> {
    decoder: &'d Decoder,
    bytes: &'d [u8],
}

impl<'d> Record<'d> {
    #[inline]
    pub(crate) fn new(decoder: &'d Decoder, bytes: &'d [u8]) -> Self {
        Record { decoder, bytes }
    }

    #[inline]
    fn template(&self, instance: &Instance) -> &'d Template {
        self.decoder.template(instance.template)
    }

    #[inline]
    fn slot(&self, instance: &Instance, slot: u16) -> Option<Slot> {
        if u32::from(slot) < instance.count {
            self.decoder.slots.get(instance.slots as usize + usize::from(slot)).copied()
        } else {
            None
        }
    }

    #[inline]
    fn slot_bytes(&self, slot: Slot) -> &'d [u8] {
        let at = slot.at as usize;
        self.bytes.get(at..at + usize::from(slot.len)).unwrap_or_default()
    }

    #[inline]
    fn is_null(&self, instance: &Instance, slot: u16) -> bool {
        self.slot(instance, slot).is_none_or(|slot| slot.kind == NULL)
    }

    /// Whether a value that something needs is NULL.
    #[inline]
    fn is_dropped(&self, instance: &Instance, needs: Dependencies) -> bool {
        needs.start != needs.end
            && self.template(instance).dependencies[needs.start.into()..needs.end.into()]
                .iter()
                .any(|&slot| self.is_null(instance, slot))
    }

    /// A slot's value; of an array, its first item. BinXML has no text.
    #[inline]
    fn value(&self, instance: &Instance, slot: u16) -> Value<'d> {
        let Some(slot) = self.slot(instance, slot) else { return Value::Null };
        let bytes = self.slot_bytes(slot);
        if slot.kind & ARRAY == 0 {
            return decode(slot.kind, bytes, self.decoder.ansi());
        }
        match split_item(slot.kind, bytes) {
            Some((item, _)) => decode(slot.kind & !ARRAY, item, self.decoder.ansi()),
            None => Value::Str(""),
        }
    }

    #[inline]
    fn text(&self, instance: &Instance, text: Text) -> Value<'d> {
        match text {
            Text::Absent => Value::Null,
            Text::Empty => Value::Str(""),
            Text::Literal(literal) => Value::Str(self.template(instance).literal(literal)),
            Text::Slot(slot) => self.value(instance, slot),
            Text::Joined(index) => {
                let range = self.decoder.joined.get((instance.joined + u32::from(index)) as usize);
                match range {
                    Some(&Some((start, end))) => Value::Str(
                        self.decoder
                            .joined_text
                            .get(start as usize..end as usize)
                            .unwrap_or_default(),
                    ),
                    _ => Value::Null,
                }
            }
        }
    }

    /// Writes a text of several pieces; nothing where an optional one of them is NULL.
    pub(crate) fn join(
        &self,
        instance: &Instance,
        start: u32,
        end: u32,
        out: &mut Vec<u8>,
    ) -> Option<(u32, u32)> {
        let template = self.template(instance);
        let pieces = &template.pieces[start as usize..end as usize];
        if self.lacks_optional(instance, pieces) {
            return None;
        }
        let start = out.len() as u32;
        self.each_piece(instance, pieces, |value| value.push::<Plain>(out));
        Some((start, out.len() as u32))
    }

    /// Whether fields and data can't be read from the slots.
    pub(crate) fn is_odd(&self) -> bool {
        self.decoder.instances.iter().any(|instance| {
            let template = self.template(instance);
            let has_binxml = |&slot| self.slot(instance, slot).is_some_and(|s| s.nested.is_some());
            template.odd
                || self.decoder.instances.len() > 1 && template.plain_slots.iter().any(has_binxml)
                || self.decoder.has_arrays && self.has_odd_array(instance)
        })
    }

    /// Whether there is an array in a field, or with other text or data in an element, which it
    /// repeats.
    fn has_odd_array(&self, instance: &Instance) -> bool {
        let template = self.template(instance);
        let is_array =
            |slot| self.slot(instance, slot).is_some_and(|slot: Slot| slot.kind & ARRAY != 0);
        let in_field = template.present.iter().any(|&field| {
            matches!(template.fields[field as usize].text, Text::Slot(slot) if is_array(slot))
        });
        let pieces = template.joined.iter();
        let mut pieces = pieces.flat_map(|&(a, b)| &template.pieces[a as usize..b as usize]);
        in_field
            || template.section_slots.iter().any(|&slot| is_array(slot))
            || pieces.any(|p| matches!(*p, Piece::Slot { slot, .. } if is_array(slot)))
    }

    fn lacks_optional(&self, instance: &Instance, pieces: &[Piece]) -> bool {
        pieces.iter().any(|piece| match piece {
            Piece::Slot { slot, optional: true } => self.is_null(instance, *slot),
            _ => false,
        })
    }

    /// The values of pieces of text; the items of an array with commas between them.
    fn each_piece(&self, instance: &Instance, pieces: &[Piece], mut visit: impl FnMut(Value<'d>)) {
        for piece in pieces {
            match *piece {
                Piece::Literal(literal) => {
                    visit(Value::Str(self.template(instance).literal(literal)));
                }
                Piece::Slot { slot, .. } => match self.slot(instance, slot) {
                    Some(slot) if slot.kind & ARRAY != 0 => {
                        let mut rest = self.slot_bytes(slot);
                        let mut first = true;
                        while let Some((item, behind)) = split_item(slot.kind, rest) {
                            if !std::mem::take(&mut first) {
                                visit(Value::Str(","));
                            }
                            visit(decode(slot.kind & !ARRAY, item, self.decoder.ansi()));
                            rest = behind;
                        }
                    }
                    _ => visit(self.value(instance, slot)),
                },
            }
        }
    }

    #[inline]
    fn field_text(&self, instance: &Instance, place: &FieldText) -> Value<'d> {
        if matches!(place.text, Text::Absent) || self.is_dropped(instance, place.needs) {
            return Value::Null;
        }
        let value = self.text(instance, place.text);
        if place.attribute && value.is_empty() {
            Value::Null
        } else if value.is_null() && !place.optional {
            Value::Str("")
        } else {
            value
        }
    }

    fn instance(&self, index: InstanceIndex) -> &'d Instance {
        &self.decoder.instances[usize::from(index.get())]
    }

    /// The values of a name in one instance: only these are decoded.
    fn named_data<F>(&self, instance: &'d Instance, wanted: &str, visit: &mut F) -> ControlFlow<()>
    where
        F: FnMut(Value<'d>) -> ControlFlow<()>,
    {
        let template = self.template(instance);
        for datum in &template.data {
            match datum {
                Datum::Value { name, .. } => {
                    let same = match name {
                        DatumName::Unnamed => false,
                        DatumName::Known { text, .. } => **text == *wanted,
                        name => {
                            self.data_name(instance, name).is_some_and(|n| n.as_str() == wanted)
                        }
                    };
                    if same {
                        self.datum(instance, datum, &mut |name, value| match name {
                            Some(name) if name.as_str() == wanted => visit(value),
                            _ => ControlFlow::Continue(()),
                        })?;
                    }
                }
                &Datum::Nested { slot, needs } => {
                    if !self.is_dropped(instance, needs) {
                        let mut nested = self.slot(instance, slot).and_then(|slot| slot.nested);
                        while let Some(index) = nested {
                            let instance = self.instance(index);
                            self.named_data(instance, wanted, visit)?;
                            nested = instance.next;
                        }
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// The values in one instance.
    fn instance_data<F>(&self, instance: &'d Instance, visit: &mut F) -> ControlFlow<()>
    where
        F: FnMut(Option<DataName<'d>>, Value<'d>) -> ControlFlow<()>,
    {
        self.template(instance).data.iter().try_for_each(|datum| self.datum(instance, datum, visit))
    }

    /// A value of an instance, or the values it stands for.
    #[inline]
    fn datum<F>(&self, instance: &'d Instance, datum: &'d Datum, visit: &mut F) -> ControlFlow<()>
    where
        F: FnMut(Option<DataName<'d>>, Value<'d>) -> ControlFlow<()>,
    {
        match datum {
            Datum::Value { name, text, needs } => {
                let (text, needs) = (*text, *needs);
                if self.is_dropped(instance, needs) {
                    return ControlFlow::Continue(());
                }
                let value = match text {
                    Text::Slot(index) => match self.slot(instance, index) {
                        Some(slot) if slot.kind & ARRAY != 0 => {
                            return self.array_data(instance, name, slot, visit);
                        }
                        Some(slot) => decode(slot.kind, self.slot_bytes(slot), self.decoder.ansi()),
                        None => Value::Null,
                    },
                    text => self.text(instance, text),
                };
                let value = if value.is_null() { Value::Str("") } else { value };
                visit(self.data_name(instance, name), value)
            }
            Datum::Nested { slot, needs } => {
                if self.is_dropped(instance, *needs) {
                    return ControlFlow::Continue(());
                }
                let nested = self.slot(instance, *slot).and_then(|slot| slot.nested);
                self.nested_data(nested, visit)
            }
        }
    }

    fn nested_data<F>(&self, mut nested: Option<InstanceIndex>, visit: &mut F) -> ControlFlow<()>
    where
        F: FnMut(Option<DataName<'d>>, Value<'d>) -> ControlFlow<()>,
    {
        while let Some(index) = nested {
            let instance = self.instance(index);
            self.instance_data(instance, visit)?;
            nested = instance.next;
        }
        ControlFlow::Continue(())
    }

    /// The items of an array, each a value of the same name.
    fn array_data<F>(
        &self,
        instance: &'d Instance,
        name: &'d DatumName,
        slot: Slot,
        visit: &mut F,
    ) -> ControlFlow<()>
    where
        F: FnMut(Option<DataName<'d>>, Value<'d>) -> ControlFlow<()>,
    {
        let name = self.data_name(instance, name);
        let mut rest = self.slot_bytes(slot);
        if rest.is_empty() {
            return visit(name, Value::Str(""));
        }
        while let Some((item, behind)) = split_item(slot.kind, rest) {
            visit(name, decode(slot.kind & !ARRAY, item, self.decoder.ansi()))?;
            rest = behind;
        }
        ControlFlow::Continue(())
    }

    #[inline]
    fn data_name(&self, instance: &Instance, name: &'d DatumName) -> Option<DataName<'d>> {
        match name {
            DatumName::Unnamed => None,
            DatumName::Known { text, json } => Some(DataName::with_json_member(text, json)),
            DatumName::Unknown { attribute, element } => match self.text(instance, *attribute) {
                Value::Str(text) if !text.is_empty() => Some(DataName::new(text)),
                _ => element.map(|name| DataName::new(self.template(instance).literal(name))),
            },
        }
    }

    /// Walks through the record with a bound, to see that it doesn't print too much.
    pub(crate) fn check_expansion(&self, at: usize) -> Result<()> {
        let mut walker = Walker { record: *self, sink: &mut Nowhere, budget: Limits::EXPANSION };
        match walker.root() {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Fault::Limit("text in an event").at(at)),
        }
    }
}

impl FieldSource for Record<'_> {
    #[inline]
    fn field(&self, field: Field) -> Value<'_> {
        match (&self.decoder.odd, self.decoder.instances.first()) {
            (Some(event), _) => event.field(field),
            (None, Some(instance)) => {
                self.field_text(instance, &self.template(instance).fields[field as usize])
            }
            (None, None) => Value::Null,
        }
    }

    #[inline]
    fn fields(&self) -> Fields<'_> {
        let mut fields = Fields::default();
        match (&self.decoder.odd, self.decoder.instances.first()) {
            (Some(event), _) => return event.fields(),
            (None, Some(instance)) => {
                let template = self.template(instance);
                for &field in &template.present {
                    fields.set(field, self.field_text(instance, &template.fields[field as usize]));
                }
            }
            (None, None) => {}
        }
        fields
    }

    fn has_distinct_names(&self) -> bool {
        // <EventData> in one piece, in the event's own template or in one of its own.
        let mut instances = self.decoder.instances.iter();
        let Some(event) = instances.next() else { return false };
        let template = match *self.template(event).data {
            [Datum::Nested { .. }] => match (instances.next(), instances.next()) {
                (Some(data), None) => self.template(data),
                _ => return false,
            },
            _ => self.template(event),
        };
        template.distinct && !self.decoder.has_arrays && self.decoder.odd.is_none()
    }

    fn each_data<'a, F>(&'a self, mut visit: F) -> ControlFlow<()>
    where
        F: FnMut(Option<DataName<'a>>, Value<'a>) -> ControlFlow<()>,
    {
        let record: Record<'a> = Record { decoder: self.decoder, bytes: self.bytes };
        if let Some(event) = &record.decoder.odd {
            return event.each_data(visit);
        }
        match record.decoder.instances.first() {
            Some(instance) => record.instance_data(instance, &mut visit),
            None => ControlFlow::Continue(()),
        }
    }

    fn each_data_named<'a, F>(&'a self, wanted: &str, mut visit: F) -> ControlFlow<()>
    where
        F: FnMut(Value<'a>) -> ControlFlow<()>,
    {
        let record: Record<'a> = Record { decoder: self.decoder, bytes: self.bytes };
        if let Some(event) = &record.decoder.odd {
            return event.each_data_named(wanted, visit);
        }
        match record.decoder.instances.first() {
            Some(instance) => record.named_data(instance, wanted, &mut visit),
            None => ControlFlow::Continue(()),
        }
    }

    fn walk<'a, S: Sink<'a>>(&'a self, sink: &mut S) {
        let record: Record<'a> = Record { decoder: self.decoder, bytes: self.bytes };
        // A record that would print without end was refused when it was parsed.
        let _ = Walker { record, sink, budget: usize::MAX }.root();
    }

    fn has_more(&self) -> bool {
        if let Some(event) = &self.decoder.odd {
            return event.has_more();
        }
        self.decoder.instances.iter().any(|instance| {
            self.template(instance).more.iter().any(|&needs| !self.is_dropped(instance, needs))
        })
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
struct Walker<'d, 's, S> {
    record: Record<'d>,
    sink: &'s mut S,
    budget: usize,
}

impl<'d, S: Sink<'d>> Walker<'d, '_, S> {
    fn root(&mut self) -> ControlFlow<()> {
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
        let Node::Open { needs, repeats, .. } = self.record.template(instance).nodes[open] else {
            return ControlFlow::Continue(());
        };
        if self.record.is_dropped(instance, needs) {
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
        while let Some((item, behind)) = split_item(array.kind, rest) {
            let value = decode(array.kind & !ARRAY, item, self.record.decoder.ansi());
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
                    if let Some(slot) = slot.filter(|slot| slot.kind & ARRAY != 0 && slot.len > 0) {
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
        self.record.each_piece(instance, pieces, |value| {
            bytes += 1 + size(&value);
            if !value.is_empty() {
                values.push(value);
            }
        });
        self.spend(bytes)?;
        if !values.is_empty() {
            self.sink.attribute(name, &values);
        }
        ControlFlow::Continue(())
    }

    fn content(&mut self, instance: &'d Instance, piece: Piece) -> ControlFlow<()> {
        if let Piece::Slot { slot, .. } = piece
            && let Some(Slot { nested: nested @ Some(_), .. }) = self.record.slot(instance, slot)
        {
            self.spend(0)?;
            return self.instances(nested);
        }
        let mut bytes = 0;
        let Walker { record, sink, .. } = self;
        record.each_piece(instance, &[piece], |value| {
            bytes += 1 + size(&value);
            if !value.is_empty() {
                sink.text(value);
            }
        });
        self.spend(bytes)
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
