//! An undecoded event.

use std::ops::ControlFlow;

use quarry_event::text::{Plain, eq_ignore_case};
use quarry_event::{DataName, Field, FieldSource, Fields, Sink, Value};

use crate::decoder::{Decoder, Instance, InstanceIndex, Slot};
use crate::template::{Datum, DatumName, Dependencies, FieldText, Piece, Template, Text};
use crate::value::{ARRAY, BIN_XML, NULL, decode, split_item};
use crate::walk::Walker;

/// An event whose values still lie in the bytes it came in.
#[derive(Clone, Copy)]
pub struct Record<'d> {
    pub(crate) decoder: &'d Decoder,
    bytes: &'d [u8],
}

impl<'d> Record<'d> {
    #[inline]
    pub(crate) fn new(decoder: &'d Decoder, bytes: &'d [u8]) -> Self {
        Record { decoder, bytes }
    }

    #[inline]
    pub(crate) fn template(&self, instance: &Instance) -> &'d Template {
        self.decoder.template(instance.template)
    }

    #[inline]
    pub(crate) fn slot(&self, instance: &Instance, slot: u16) -> Option<Slot> {
        if u32::from(slot) < instance.count {
            self.decoder.slots.get(instance.slots as usize + usize::from(slot)).copied()
        } else {
            None
        }
    }

    #[inline]
    pub(crate) fn slot_bytes(&self, slot: Slot) -> &'d [u8] {
        let at = slot.at as usize;
        self.bytes.get(at..at + usize::from(slot.len)).unwrap_or_default()
    }

    #[inline]
    fn is_null(&self, instance: &Instance, slot: u16) -> bool {
        self.slot(instance, slot).is_none_or(|slot| slot.kind == NULL)
    }

    /// Whether a value that something needs is NULL.
    #[inline]
    pub(crate) fn is_dropped(&self, instance: &Instance, needs: Dependencies) -> bool {
        needs.start != needs.end
            && self.template(instance).needs(needs).iter().any(|&slot| self.is_null(instance, slot))
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
        let instances = &self.decoder.instances;
        self.decoder.has_odd_binxml
            || instances.iter().any(|instance| self.template(instance).odd)
            || self.decoder.has_arrays && instances.iter().any(|i| self.has_odd_array(i))
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

    pub(crate) fn lacks_optional(&self, instance: &Instance, pieces: &[Piece]) -> bool {
        pieces.iter().any(|piece| match piece {
            Piece::Slot { slot, optional: true } => self.is_null(instance, *slot),
            _ => false,
        })
    }

    /// The values of pieces of text; the items of an array with commas between them.
    pub(crate) fn each_piece(
        &self,
        instance: &Instance,
        pieces: &[Piece],
        mut visit: impl FnMut(Value<'d>),
    ) {
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
        place.shown(self.text(instance, place.text))
    }

    pub(crate) fn instance(&self, index: InstanceIndex) -> &'d Instance {
        &self.decoder.instances[usize::from(index.get())]
    }

    /// The values of a name in one instance: only these are decoded.
    fn named_data<F>(&self, instance: &'d Instance, wanted: &str, visit: &mut F) -> ControlFlow<()>
    where
        F: FnMut(Value<'d>) -> ControlFlow<()>,
    {
        let template = self.template(instance);
        for datum in template.data_named(Some(wanted)) {
            match datum {
                Datum::Value { name, .. } => {
                    let same = match name {
                        DatumName::Unnamed => false,
                        DatumName::Known { text, .. } => eq_ignore_case(text, wanted),
                        name => self
                            .data_name(instance, name)
                            .is_some_and(|name| eq_ignore_case(name.as_str(), wanted)),
                    };
                    if same {
                        self.datum(instance, datum, &mut |name, value| match name {
                            Some(name) if eq_ignore_case(name.as_str(), wanted) => visit(value),
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
        let _ = Walker::new(record, sink).root();
    }

    fn has_more(&self) -> bool {
        if let Some(event) = &self.decoder.odd {
            return event.has_more();
        }
        self.decoder.instances.iter().any(|instance| {
            let template = self.template(instance);
            // A value in <EventData> itself, beside its elements.
            let is_text = |slot: Slot| !matches!(slot.kind, NULL | BIN_XML);
            template.more.iter().any(|&needs| !self.is_dropped(instance, needs))
                || template
                    .section_slots
                    .iter()
                    .any(|&n| self.slot(instance, n).is_some_and(is_text))
        })
    }
}
