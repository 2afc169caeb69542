//! An undecoded event.

use std::ops::ControlFlow;

use quarry_event::text::{Plain, eq_ignore_case};
use quarry_event::{
    DataName, Field, FieldSource, Fields, Guid, InsertOf, Sink, Substituted, Value, layout,
};

use crate::decoder::{Decoder, Instance, InstanceIndex, Slot, TemplateIndex};
use crate::template::{
    Datum, DatumName, Dependencies, FieldText, NameMark, Piece, Substitutions, Template, Text,
};
use crate::value::{ARRAY, BIN_XML, NULL, decode, decode_to, is_empty, split_item};
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
        let at = slot.at() as usize;
        self.bytes.get(at..at + usize::from(slot.len())).unwrap_or_default()
    }

    /// The value of a slot that is no array.
    #[inline]
    fn decoded(&self, slot: Slot) -> Value<'d> {
        decode(slot.kind(), self.slot_bytes(slot), self.decoder.ansi())
    }

    #[inline]
    fn is_null(&self, instance: &Instance, slot: u16) -> bool {
        self.slot(instance, slot).is_none_or(|slot| slot.kind() == NULL)
    }

    /// What of a slot the tree depends on, in two bits.
    #[inline]
    fn state(&self, slot: Option<Slot>) -> u64 {
        match slot {
            None => 0,
            Some(slot) if slot.kind() == NULL => 0,
            Some(slot) if slot.nested().is_some() => 1,
            Some(slot) => 2 + u64::from(is_empty(slot.kind(), self.slot_bytes(slot))),
        }
    }

    /// Whether a value that something needs is NULL.
    #[inline]
    pub(crate) fn is_dropped(&self, instance: &Instance, needs: Dependencies) -> bool {
        !needs.is_empty()
            && self.template(instance).needs(needs).iter().any(|&slot| self.is_null(instance, slot))
    }

    /// A slot's value; of an array, its first item. BinXML has no text.
    #[inline]
    fn value(&self, instance: &Instance, slot: u16) -> Value<'d> {
        let Some(slot) = self.slot(instance, slot) else { return Value::Null };
        if !slot.is_array() {
            return self.decoded(slot);
        }
        match split_item(slot.kind(), self.slot_bytes(slot)) {
            Some((item, _)) => decode(slot.kind() & !ARRAY, item, self.decoder.ansi()),
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
        let is_array = |slot| self.slot(instance, slot).is_some_and(|slot: Slot| slot.is_array());
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
                    Some(slot) if slot.is_array() => {
                        let mut first = true;
                        self.items(slot, |item| {
                            if !std::mem::take(&mut first) {
                                visit(Value::Str(","));
                            }
                            visit(item);
                        });
                    }
                    _ => visit(self.value(instance, slot)),
                },
            }
        }
    }

    /// The items of an array.
    fn items(&self, array: Slot, mut visit: impl FnMut(Value<'d>)) {
        let mut rest = self.slot_bytes(array);
        while let Some((item, behind)) = split_item(array.kind(), rest) {
            visit(decode(array.kind() & !ARRAY, item, self.decoder.ansi()));
            rest = behind;
        }
    }

    /// The values of an instance.
    #[inline]
    fn slots(&self, instance: &Instance) -> &'d [Slot] {
        let start = instance.slots as usize;
        self.decoder.slots.get(start..start + instance.count as usize).unwrap_or_default()
    }

    #[inline]
    fn field_text(&self, instance: &Instance, place: &FieldText) -> Value<'d> {
        let mut value = Value::Null;
        self.show_field(instance, place, &mut value);
        value
    }

    /// Writes what a field shows over a NULL.
    fn show_field(&self, instance: &Instance, place: &FieldText, value: &mut Value<'d>) {
        if !matches!(place.text, Text::Absent) && !self.is_dropped(instance, place.needs) {
            *value = self.text(instance, place.text);
            place.show(value);
        }
    }

    pub(crate) fn instance(&self, index: InstanceIndex) -> &'d Instance {
        &self.decoder.instances[usize::from(index.get())]
    }

    /// The values of a name in one instance: only these are decoded.
    fn named_data<F>(
        &self,
        instance: &'d Instance,
        wanted: &str,
        mark: NameMark,
        visit: &mut F,
    ) -> ControlFlow<()>
    where
        F: FnMut(Value<'d>) -> ControlFlow<()>,
    {
        let template = self.template(instance);
        for datum in template.data_named(mark) {
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
                        let mut nested = self.slot(instance, slot).and_then(Slot::nested);
                        while let Some(index) = nested {
                            let instance = self.instance(index);
                            self.named_data(instance, wanted, mark, visit)?;
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
        let slots = self.slots(instance);
        self.template(instance).data.iter().try_for_each(|datum| {
            // As nearly all are: a name that is known, and one value.
            if let Datum::Value {
                name: DatumName::Known { text, json },
                text: Text::Slot(n),
                needs,
            } = datum
                && needs.is_empty()
                && let Some(&slot) = slots.get(usize::from(*n))
                && !slot.is_array()
                && slot.kind() != NULL
            {
                return visit(Some(DataName::with_json_member(text, json)), self.decoded(slot));
            }
            self.datum(instance, datum, visit)
        })
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
                        Some(slot) if slot.is_array() => {
                            return self.array_data(instance, name, slot, visit);
                        }
                        Some(slot) => self.decoded(slot),
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
                let nested = self.slot(instance, *slot).and_then(Slot::nested);
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
        while let Some((item, behind)) = split_item(slot.kind(), rest) {
            visit(name, decode(slot.kind() & !ARRAY, item, self.decoder.ansi()))?;
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

/// The states of slots, packed into a layout's key.
struct States {
    word: u64,
    used: u32,
}

impl States {
    /// How many bits say what a slot has.
    const BITS: u32 = 2;

    #[inline]
    fn push(&mut self, state: u64, key: &mut Vec<u64>) {
        if self.used == u64::BITS {
            key.push(std::mem::take(&mut self.word));
            self.used = 0;
        }
        self.word |= state << self.used;
        self.used += Self::BITS;
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
                let slots = self.slots(instance);
                for &field in &template.present {
                    let place = &template.fields[field as usize];
                    let value = fields.get_mut(field);
                    // As nearly all are. Each is written where it stays: see `decode`.
                    if let Text::Slot(slot) = place.text
                        && place.needs.is_empty()
                        && let Some(&slot) = slots.get(usize::from(slot))
                        && !slot.is_array()
                    {
                        let bytes = self.slot_bytes(slot);
                        decode_to(slot.kind(), bytes, self.decoder.ansi(), |decoded| {
                            *value = decoded
                        });
                        place.show(value);
                    } else {
                        self.show_field(instance, place, value);
                    }
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
            Some(instance) => {
                record.named_data(instance, wanted, NameMark::new(wanted), &mut visit)
            }
            None => ControlFlow::Continue(()),
        }
    }

    fn substituted(&self) -> Option<Substituted> {
        // The first instance is the event's own.
        for instance in self.decoder.instances.iter().skip(1) {
            let (of, is_data) = match self.template(instance).substitutions {
                Substitutions::None => continue,
                Substitutions::Data { in_order } => {
                    let is_whole = self.template(instance).data.len() == instance.count as usize;
                    (InsertOf::Data, in_order && is_whole)
                }
                Substitutions::UserData => (InsertOf::UserData, false),
            };
            let slots = instance.slots..instance.slots + instance.count;
            let has_arrays = self.decoder.has_arrays;
            let is_data = is_data && !has_arrays && self.decoder.odd.is_none();
            let template = Guid::from_bytes(self.template(instance).guid);
            return Some(Substituted { template, of, slots, is_data, has_arrays });
        }
        None
    }

    fn each_item<'a, F: FnMut(Value<'a>)>(&'a self, number: u32, mut visit: F) {
        let record: Record<'a> = Record { decoder: self.decoder, bytes: self.bytes };
        match self.decoder.slots.get(number as usize) {
            Some(&slot) if slot.is_array() => record.items(slot, visit),
            Some(&slot) => visit(record.decoded(slot)),
            None => {}
        }
    }

    fn walk<'a, S: Sink<'a>>(&'a self, sink: &mut S) {
        let record: Record<'a> = Record { decoder: self.decoder, bytes: self.bytes };
        // A record that would print without end was refused when it was parsed.
        let _ = Walker::new(record, sink).root();
    }

    fn layout(&self, of: layout::Part, key: &mut Vec<u64>) -> bool {
        let Decoder { slots, instances, .. } = self.decoder;
        if self.decoder.odd.is_some() || self.decoder.has_arrays || slots.len() > layout::SLOTS {
            return false;
        }
        for instance in instances {
            let template = self.template(instance);
            let TemplateIndex::Cached(_) = instance.template else { return false };
            key.push(template.id << 1 | u64::from(instance.next.is_some()));
            let own = self.slots(instance);
            // The instances after this one have their values after so many.
            let mut states = States { word: u64::from(instance.count), used: u32::BITS };
            match (of, &template.layout) {
                (layout::Part::Whole, _) => {
                    own.iter().for_each(|&slot| states.push(self.state(Some(slot)), key));
                }
                (layout::Part::More, Some(decisive)) => {
                    let states_of = decisive.iter().map(|&slot| own.get(usize::from(slot)));
                    states_of.for_each(|slot| states.push(self.state(slot.copied()), key));
                }
                (layout::Part::More, None) => return false,
            }
            key.push(states.word);
        }
        true
    }

    #[inline]
    fn slot(&self, number: u32) -> Value<'_> {
        match self.decoder.slots.get(number as usize) {
            Some(&slot) => self.decoded(slot),
            None => Value::Null,
        }
    }

    fn walk_layout<'a, S: Sink<'a>>(&'a self, sink: &mut S) {
        let record: Record<'a> = Record { decoder: self.decoder, bytes: self.bytes };
        let _ = Walker::with_marks(record, sink).root();
    }

    fn has_more(&self) -> bool {
        if let Some(event) = &self.decoder.odd {
            return event.has_more();
        }
        self.decoder.instances.iter().any(|instance| {
            let template = self.template(instance);
            // A value in <EventData> itself, beside its elements.
            let is_text = |slot: Slot| !matches!(slot.kind(), NULL | BIN_XML);
            template.more.iter().any(|&needs| !self.is_dropped(instance, needs))
                || template
                    .section_slots
                    .iter()
                    .any(|&n| self.slot(instance, n).is_some_and(is_text))
        })
    }
}
