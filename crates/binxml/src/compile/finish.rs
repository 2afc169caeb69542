//! What is known of a template once all of it was read.

use std::sync::atomic::{AtomicU64, Ordering};

use quarry_event::{Field, layout};

use super::Compiler;
use crate::error::{Fault, Result};
use crate::template::{
    Datum, DatumName, Dependencies, FieldText, NameMarks, Node, Place, Substitutions, Template,
    Text,
};

impl Compiler {
    /// Settles what drops what, now that all optional substitutions are known.
    pub(super) fn finish(mut self, end: usize) -> Result<Template> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        if self.root == Place::Document
            && let Some(event) = self.elements.first_mut()
        {
            // Real events have <Event> depend on their EventData: it stays without.
            event.slots.clear();
        }
        for (node, element) in std::mem::take(&mut self.opened) {
            let slots = self.elements[element].slots.clone();
            let range = self.dependencies(&slots, end)?;
            if let Node::Open { needs, .. } = &mut self.nodes[node] {
                *needs = range;
            }
        }
        let absent = FieldText {
            text: Text::Absent,
            needs: Dependencies::default(),
            attribute: false,
            optional: false,
        };
        let mut fields = [absent; Field::COUNT];
        for (field, text, element) in std::mem::take(&mut self.fields) {
            let mut needs = self.all_needs(element, end)?;
            let attribute = field.attribute().is_some();
            let mut optional = attribute;
            // Most fields are one value that they depend on, and that is looked at anyway.
            if let Text::Slot(slot) = text
                && needs.start != needs.end
                && self.dependencies[needs.start.into()..needs.end.into()]
                    .iter()
                    .all(|&needed| needed == slot)
            {
                needs = Dependencies::default();
                optional = true;
            }
            let place = &mut fields[field as usize];
            if matches!(place.text, Text::Absent) {
                *place = FieldText { text, needs, attribute, optional };
            }
        }
        let mut data = Vec::with_capacity(self.data.len());
        for (mut datum, element) in std::mem::take(&mut self.data) {
            let (Datum::Value { needs, .. } | Datum::Nested { needs, .. }) = &mut datum;
            *needs = self.all_needs(element, end)?;
            data.push(datum);
        }
        let mut more = Vec::new();
        for element in std::mem::take(&mut self.more) {
            more.push(self.all_needs(element, end)?);
        }
        let distinct = has_distinct_names(&data);
        let substitutions = self.substitutions(&data);
        let is_always_there = |system: usize| self.elements[system].slots.is_empty();
        let is_joined = |field: &FieldText| matches!(field.text, Text::Joined(_));
        let has_head = !self.odd
            && self.root == Place::Document
            && self.system.is_some_and(is_always_there)
            && !fields.iter().any(is_joined);
        let nested = self.content_slots.iter().filter(|slot| !slot.plain);
        let nested_slots = nested.copied().collect();
        let data_marks = NameMarks::of(&data);
        let has_plain_data = !self.odd && data.iter().all(is_plain);
        let present = Field::all()
            .filter(|&field| !matches!(fields[field as usize].text, Text::Absent))
            .collect();
        let layout = self.layout();
        Ok(Template {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            layout,
            odd: self.odd,
            section_slots: self.section_slots,
            present,
            distinct,
            substitutions,
            literals: self.literals,
            nodes: self.nodes,
            pieces: self.pieces,
            dependencies: self.dependencies,
            fields,
            data,
            joined: self.joined,
            content_slots: self.content_slots,
            nested_slots,
            has_plain_data,
            data_marks,
            has_head,
            more,
            reuses: self.reuses,
            definition: Box::default(),
            mask: Box::default(),
            guid: [0; 16],
            names: self.names,
        })
    }

    /// What the slots are for the marks of a message.
    fn substitutions(&self, data: &[Datum]) -> Substitutions {
        let Some(Node::Open { name, .. }) = self.nodes.first() else { return Substitutions::None };
        match self.root {
            Place::Event => {}
            Place::UserData => return Substitutions::UserData,
            _ => return Substitutions::None,
        }
        let is_named = |datum: &Datum| match datum {
            Datum::Value { name: DatumName::Known { text, .. }, .. } => &**text != "Binary",
            Datum::Value { name, .. } => matches!(name, DatumName::Unknown { .. }),
            Datum::Nested { .. } => false,
        };
        let is_in_order = |(n, datum): (usize, &Datum)| match datum {
            Datum::Value { text: Text::Slot(slot), needs, .. } => {
                usize::from(*slot) == n && needs.is_empty()
            }
            _ => false,
        };
        match &self.literals[name.start as usize..name.end as usize] {
            "UserData" => Substitutions::UserData,
            "EventData" if data.iter().any(is_named) => {
                Substitutions::Data { in_order: data.iter().enumerate().all(is_in_order) }
            }
            _ => Substitutions::None,
        }
    }

    /// The slots that decide on what an event's tree has besides fields and data.
    fn layout(&mut self) -> Option<Box<[u16]>> {
        let mut slots = std::mem::take(&mut self.layout_slots);
        slots.sort_unstable();
        slots.dedup();
        let is_known = !self.odd && !self.has_odd_parts;
        (is_known && !self.literals.contains(layout::MARK)).then(|| slots.into())
    }

    /// What drops an element or one that it is in.
    fn all_needs(&mut self, element: usize, at: usize) -> Result<Dependencies> {
        let mut slots = Vec::new();
        let mut next = Some(element);
        while let Some(element) = next {
            slots.extend_from_slice(&self.elements[element].slots);
            next = self.elements[element].parent;
        }
        self.dependencies(&slots, at)
    }

    fn dependencies(&mut self, slots: &[u16], at: usize) -> Result<Dependencies> {
        if slots.is_empty() {
            return Ok(Dependencies::default());
        }
        let len = self.dependencies.len();
        if !self.dependencies.ends_with(slots) {
            self.dependencies.extend_from_slice(slots);
        }
        let end = u16::try_from(self.dependencies.len())
            .map_err(|_| Fault::Limit("dependencies").at(at))?;
        debug_assert!(usize::from(end) >= len);
        Ok(Dependencies { start: end - slots.len() as u16, end })
    }
}

/// Whether a datum is a value in one piece with a name that is known, or none.
fn is_plain(datum: &Datum) -> bool {
    match datum {
        Datum::Value { name, text, .. } => {
            !matches!(name, DatumName::Unknown { .. }) && !matches!(text, Text::Joined(_))
        }
        Datum::Nested { .. } => false,
    }
}

/// Whether the data are values with names that are known, each another one.
fn has_distinct_names(data: &[Datum]) -> bool {
    let mut names = hashbrown::HashSet::new();
    data.iter().all(|datum| match datum {
        Datum::Value { name: DatumName::Known { text, .. }, .. } => names.insert(text),
        _ => false,
    })
}
