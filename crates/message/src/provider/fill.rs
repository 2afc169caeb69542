//! What stands for the marks of a text.

use std::ops::ControlFlow;

use quarry_event::text::Plain;
use quarry_event::{AnyEvent, Sink, Value};

use super::{EventText, ProviderTexts};
use crate::format::{FieldKind, Fill, MAX_MESSAGE, push_value, replace_parameters};

/// Writes a text value with the parameter strings for its `%%N`, if it has any that are known.
pub(super) fn push_parameters(value: &Value<'_>, fill: &mut impl Fill, out: &mut Vec<u8>) -> bool {
    if !matches!(value, Value::Str(_) | Value::Utf16(_) | Value::Ansi(_)) {
        return false;
    }
    let start = out.len();
    value.push::<Plain>(out);
    let replaced = replace_parameters(start, fill, out);
    if !replaced {
        out.truncate(start);
    }
    replaced
}

/// What stands for the marks of an event's message: its values, written one after another.
pub(super) struct Inserts<'p> {
    provider: &'p ProviderTexts,
    text: &'p EventText,
    values: Vec<u8>,
    /// Where each value ends.
    ends: Vec<usize>,
}

impl<'p> Inserts<'p> {
    /// A mark has two digits.
    const MOST: usize = 99;

    /// The values of an event, so far as its text has marks.
    pub(super) fn of(
        provider: &'p ProviderTexts,
        text: &'p EventText,
        event: &dyn AnyEvent,
    ) -> Self {
        let mut inserts = Inserts { provider, text, ends: Vec::new(), values: Vec::new() };
        let highest = usize::from(text.text.highest_insert());
        if highest > 0 {
            // Most values are short, and growing step by step costs more than the values do.
            inserts.ends.reserve_exact(highest);
            inserts.values.reserve_exact(32 * highest);
            inserts.read(event);
        }
        inserts
    }

    fn read(&mut self, event: &dyn AnyEvent) {
        if let Some(substituted) = event.substituted() {
            substituted.slots.for_each(|slot| self.add_slot(event, slot));
            return;
        }
        if !self.text.user_data {
            self.read_data(event);
        }
        if self.ends.is_empty() && event.has_more() {
            event.walk(&mut Leaves::new(self));
        }
    }

    /// Takes the values of `<EventData>`. `<Binary>`, which an event without a manifest may have
    /// after them, has no insertion mark.
    fn read_data(&mut self, event: &dyn AnyEvent) {
        let classic = self.text.template.is_none();
        let highest = usize::from(self.text.text.highest_insert());
        let _ = event.each_data(&mut |name, value| {
            if !(classic && name.is_some_and(|name| name.as_str() == "Binary")) {
                self.add(&value);
            }
            if self.ends.len() < highest {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
    }

    fn add(&mut self, value: &Value<'_>) {
        self.add_of(|kind, texts, out| push_value(value, kind, texts, out));
    }

    /// Takes a value by its number in the event; an array is one.
    fn add_slot(&mut self, event: &dyn AnyEvent, slot: u32) {
        self.add_of(|kind, texts, out| {
            let mut is_first = true;
            event.each_item(slot, &mut |item| {
                if !std::mem::take(&mut is_first) {
                    out.push(b',');
                }
                push_value(&item, kind, texts, out);
            });
        });
    }

    /// Takes what `push` writes for a value of a kind, if there is a mark for it.
    fn add_of(&mut self, push: impl FnOnce(FieldKind, &ProviderTexts, &mut Vec<u8>)) {
        let place = self.ends.len();
        if place >= Self::MOST {
            return;
        }
        // After so much the message is too long.
        if self.text.text.has_insert(place + 1) && self.values.len() <= MAX_MESSAGE {
            let start = self.values.len();
            let kind = self.text.kinds.get(place).copied().unwrap_or_default();
            push(kind, self.provider, &mut self.values);
            replace_parameters(start, &mut Parameters(self.provider), &mut self.values);
        }
        self.ends.push(self.values.len());
    }
}

impl Fill for Inserts<'_> {
    fn insert(&mut self, number: u8, out: &mut Vec<u8>) -> bool {
        let place = usize::from(number) - 1;
        let Some(&end) = self.ends.get(place) else { return false };
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        out.extend_from_slice(&self.values[start..end]);
        true
    }

    fn parameter(&mut self, number: u32, out: &mut Vec<u8>) -> bool {
        self.provider.push_parameter(number, out)
    }
}

/// Takes the values of `<UserData>` of an event that is decoded and so has nothing of its template left: the
/// text of the elements that have none inside, in their order. That is mostly the order of the
/// template's fields, but for those that are attributes.
struct Leaves<'i, 'p, 'a> {
    inserts: &'i mut Inserts<'p>,
    depth: usize,
    /// Whether this is inside of `<UserData>`.
    inside: bool,
    /// Whether the element that was closed last is inside of the one that closes next.
    has_children: bool,
    /// The text of the innermost element, in the pieces that it comes in.
    text: Option<Value<'a>>,
    more: String,
}

impl<'i, 'p> Leaves<'i, 'p, '_> {
    fn new(inserts: &'i mut Inserts<'p>) -> Self {
        Leaves {
            inserts,
            depth: 0,
            inside: false,
            has_children: false,
            text: None,
            more: String::new(),
        }
    }
}

impl<'a> Sink<'a> for Leaves<'_, '_, 'a> {
    fn open(&mut self, name: &'a str) {
        if self.depth == 1 {
            self.inside = name == "UserData";
        }
        self.depth += 1;
        self.has_children = false;
        self.text = None;
        self.more.clear();
    }

    fn attribute(&mut self, _: &'a str, _: &[Value<'a>]) {}

    fn text(&mut self, value: Value<'a>) {
        if !self.inside || value.is_null() {
            return;
        }
        match &self.text {
            None => self.text = Some(value),
            Some(_) => self.more.push_str(&value.to_string()),
        }
    }

    fn close(&mut self, _: &'a str, _: bool) {
        self.depth = self.depth.saturating_sub(1);
        // Below <UserData> there is one element, with the values in it.
        if self.inside && self.depth > 2 && !self.has_children {
            match self.text.take() {
                Some(text) if self.more.is_empty() => self.inserts.add(&text),
                Some(text) => {
                    let joined = format!("{text}{}", self.more);
                    self.inserts.add(&Value::Str(&joined));
                }
                None => self.inserts.add(&Value::Str("")),
            }
        }
        self.text = None;
        self.more.clear();
        self.has_children = true;
    }
}

/// Parameter strings alone, for values and names.
pub(crate) struct Parameters<'p>(pub(crate) &'p ProviderTexts);

impl Fill for Parameters<'_> {
    fn insert(&mut self, _: u8, _: &mut Vec<u8>) -> bool {
        false
    }

    fn parameter(&mut self, number: u32, out: &mut Vec<u8>) -> bool {
        self.0.push_parameter(number, out)
    }
}

/// Nothing, for parameter strings themselves: one in another would never end.
pub(super) struct NoMarks;

impl Fill for NoMarks {
    fn insert(&mut self, _: u8, _: &mut Vec<u8>) -> bool {
        false
    }

    fn parameter(&mut self, _: u32, _: &mut Vec<u8>) -> bool {
        false
    }
}
