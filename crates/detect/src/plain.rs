//! A slow evaluator that tests one rule by its tree, value by value: the definition that the fast
//! one is held to, and what explains a rule.

use std::collections::HashMap;

use quarry_event::text::Plain;
use quarry_event::{Field, FieldSource};

use crate::fields::{self, Origin, Slot};
use crate::mapping::{FieldMap, Mapping};
use crate::pattern::folded;
use crate::rule::{Expr, Match};
use crate::test::Text;

/// All values of an event.
pub(crate) struct Values {
    system: HashMap<Field, String>,
    data: Vec<(String, String)>,
}

/// A field's values with their folded texts.
type Texts = Vec<(String, String)>;

impl Values {
    pub(crate) fn of<S: FieldSource>(event: &S) -> Self {
        let text = |value: quarry_event::Value<'_>| {
            let mut text = Vec::new();
            value.push::<Plain>(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        };
        let fields = Field::all().map(|field| (field, event.field(field)));
        let system = fields.filter(|(_, value)| !value.is_null());
        let system = system.map(|(field, value)| (field, text(value))).collect();
        let mut data = Vec::new();
        fields::each_value(event, |key, value| data.push((key.to_owned(), text(value))));
        Values { system, data }
    }

    fn named(&self, key: &str) -> Vec<&str> {
        let named = self.data.iter().filter(|(name, _)| name == key);
        named.map(|(_, value)| &**value).collect()
    }

    /// The values of a slot.
    pub(crate) fn get(&self, slot: &Slot) -> Texts {
        let system = |field| self.system.get(field).map(|text| text.to_owned());
        let values: Vec<String> = match &slot.origin {
            Origin::System(field) => system(field).into_iter().collect(),
            Origin::Data { key, or } => {
                let values: Vec<String> = self.named(key).into_iter().map(str::to_owned).collect();
                match values.is_empty() {
                    true => or.as_ref().and_then(system).into_iter().collect(),
                    false => values,
                }
            }
            Origin::Computed { name, computed, inputs } => {
                let all: Vec<Vec<&str>> = inputs.iter().map(|key| self.named(key)).collect();
                computed.make_any(name, &all).into_iter().collect()
            }
            Origin::Every => self.data.iter().map(|(_, value)| value.clone()).collect(),
        };
        let trimmed = values.into_iter().map(|value| match slot.padded {
            true => value.trim_end_matches(' ').to_owned(),
            false => value,
        });
        trimmed.map(|value| (value.clone(), folded(&value))).collect()
    }
}

/// Tests a rule's tree.
pub(crate) struct Evaluator<'e> {
    pub(crate) values: &'e Values,
    pub(crate) map: Option<&'e FieldMap>,
    pub(crate) mapping: &'e Mapping,
}

impl Evaluator<'_> {
    pub(crate) fn holds(&self, expr: &Expr) -> bool {
        match expr {
            Expr::And(terms) => terms.iter().all(|term| self.holds(term)),
            Expr::Or(terms) => terms.iter().any(|term| self.holds(term)),
            Expr::Not(term) => !self.holds(term),
            Expr::Search(_, term) => self.holds(term),
            Expr::Match(one) => match one.all {
                true => self.each(one).iter().all(|holds| *holds),
                false => self.each(one).iter().any(|holds| *holds),
            },
        }
    }

    /// The values of a match's field; nothing where the events can't have it.
    pub(crate) fn texts(&self, one: &Match) -> Option<Texts> {
        let slot = Slot::of(one.field.as_deref(), self.map, self.mapping)?;
        Some(self.values.get(&slot))
    }

    /// Whether each of the tests holds.
    pub(crate) fn each(&self, one: &Match) -> Vec<bool> {
        let values = self.texts(one).unwrap_or_default();
        let padded = one.field.as_deref().is_some_and(|field| self.mapping.is_padded(field));
        let others = |name: &str, take: &mut dyn FnMut(Text<'_>) -> bool| {
            let slot = Slot::of(Some(name), self.map, self.mapping);
            let values = slot.map(|slot| self.values.get(&slot)).unwrap_or_default();
            values.iter().any(|(raw, folded)| take(Text { raw, folded }))
        };
        let tests = one.tests.iter().map(|test| {
            let texts = values.iter().map(|(raw, folded)| Text { raw, folded });
            match padded {
                true => test.unpadded().holds(texts, others),
                false => test.holds(texts, others),
            }
        });
        tests.collect()
    }
}
