//! What a server was asked for about one provider, text by text.
//!
//! A server renders a message with values; what is wanted is the message itself, so that no event
//! costs a call. So it is rendered once with [values that stand for their places](Asked), which are
//! found again in what comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quarry_event::Guid;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event as Xml};

use crate::MessageTable;
use crate::catalogue::CatalogueBuilder;
use crate::format::Text;
use crate::kinds::{InType, OutType};
use crate::manifest::{EventDefinition, Extent, Manifest, Name, Template, TemplateField};
use crate::provider::{Provider, ProviderTexts, Tables};

/// Values that stand for their places in a message: what a server is asked to insert.
///
/// Each is a number between two characters of the private use area, which no message has.
#[derive(Clone, Copy, Debug)]
pub struct Asked;

impl Asked {
    /// The most values that a message has marks for.
    pub const VALUES: u8 = 99;
    const OPEN: char = '\u{f8f1}';
    const CLOSE: char = '\u{f8f2}';

    /// The values, in the order of their places.
    pub fn values() -> Vec<String> {
        (1..=Self::VALUES).map(Self::value).collect()
    }

    fn value(place: u8) -> String {
        format!("{}{place}{}", Self::OPEN, Self::CLOSE)
    }

    /// The message that a server made this text of, as it could stand in a message table.
    ///
    /// A `%%N` that the server left is kept as the mark that it is. One line end at the end is part
    /// of the text, as the server has taken the message's own.
    pub fn message(rendered: &str) -> String {
        let mut out = String::with_capacity(rendered.len());
        let mut rest = rendered;
        while let Some(at) = rest.find(['%', Self::OPEN]) {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(inside) = rest.strip_prefix(Self::OPEN) {
                let place = inside.split_once(Self::CLOSE).and_then(|(number, after)| {
                    let number: u8 = number.parse().ok()?;
                    (1..=Self::VALUES).contains(&number).then_some((number, after))
                });
                match place {
                    // With a format, so that a digit that follows is none of the mark's.
                    Some((number, after)) => {
                        out.push_str(&format!("%{number}!s!"));
                        rest = after;
                    }
                    None => rest = inside,
                }
                continue;
            }
            let percents = rest.bytes().take_while(|byte| *byte == b'%').count();
            let is_digit = rest[percents..].starts_with(|c: char| c.is_ascii_digit());
            // The last two of them are a parameter's, where a number follows.
            let plain = if is_digit && percents >= 2 { percents - 2 } else { percents };
            (0..plain).for_each(|_| out.push_str("%%"));
            if is_digit && percents >= 2 {
                out.push_str("%%");
            }
            rest = &rest[percents..];
        }
        out.push_str(rest);
        if out.ends_with(['\r', '\n']) {
            out.push_str("\r\n");
        }
        out
    }
}

/// A text of a provider.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize,
)]
#[non_exhaustive]
pub enum TextOf {
    /// The message of an event; one without a manifest has qualifiers.
    Event {
        /// The event's number.
        id: u16,
        /// Its version.
        version: u8,
        /// Its qualifiers.
        qualifiers: Option<u16>,
    },
    /// The definitions of all events: how their values are shown.
    Definitions,
    /// The name of a level.
    Level(u8),
    /// The name of a task.
    Task(u16),
    /// The name of an opcode of a task.
    Opcode {
        /// The task.
        task: u16,
        /// The opcode.
        opcode: u8,
    },
    /// The name of a keyword: one bit.
    Keyword(u64),
    /// What stands for a `%%N`.
    Parameter(u32),
}

/// What is known of a provider by asking a server.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    name: String,
    guid: Option<Guid>,
    texts: BTreeMap<TextOf, String>,
    /// What the server was asked for and doesn't have.
    absent: BTreeSet<TextOf>,
    /// The fields of events, by number and version.
    templates: BTreeMap<(u16, u8), Template>,
    /// Bytes of all texts.
    size: usize,
}

impl Learned {
    /// The most bytes of text that are kept of one provider.
    pub const MAX_SIZE: usize = 16 << 20;
    /// The most texts that are kept of one provider, and as many that it doesn't have.
    pub const MAX_TEXTS: usize = 1 << 16;
    /// The most fields of an event.
    const MAX_FIELDS: usize = 1024;
    /// The most definitions of events that are kept.
    const MAX_TEMPLATES: usize = 1 << 14;

    /// Nothing is known yet.
    pub fn new(name: impl Into<String>, guid: Option<Guid>) -> Self {
        Learned { name: name.into(), guid, ..Learned::default() }
    }

    /// What a catalogue of a server's has of a provider.
    pub fn from_texts(texts: &ProviderTexts) -> Self {
        let provider = texts.provider();
        let mut learned = Learned::new(&*provider.name, provider.guid);
        let (messages, parameters) = texts.tables();
        learned.absent = provider.absent.iter().copied().collect();
        for (number, text) in parameters.iter() {
            learned.put(TextOf::Parameter(number), text.to_owned());
        }
        let mut described = BTreeSet::new();
        if let Some(manifest) = &provider.manifest {
            for event in &manifest.events {
                let (id, version) = (event.id, event.version);
                if let Some((message, text)) =
                    event.message.and_then(|message| Some((message, messages.get(message)?)))
                {
                    described.insert(message);
                    learned.put(TextOf::Event { id, version, qualifiers: None }, text.to_owned());
                }
                if let Some(template) =
                    event.template.and_then(|at| manifest.templates.get(at as usize))
                {
                    learned.templates.insert((id, version), template.clone());
                }
            }
            for Name { value, name, .. } in &manifest.levels {
                learned.put(TextOf::Level(*value as u8), name.clone());
            }
            for Name { value, name, .. } in &manifest.tasks {
                learned.put(TextOf::Task(*value as u16), name.clone());
            }
            for Name { value, name, .. } in &manifest.opcodes {
                let (task, opcode) = (*value as u16, (*value >> 16) as u8);
                learned.put(TextOf::Opcode { task, opcode }, name.clone());
            }
            for Name { value, name, .. } in &manifest.keywords {
                learned.put(TextOf::Keyword(*value), name.clone());
            }
        }
        for (message, text) in messages.iter().filter(|(id, _)| !described.contains(id)) {
            let (id, qualifiers) = (message as u16, Some((message >> 16) as u16));
            learned.put(TextOf::Event { id, version: 0, qualifiers }, text.to_owned());
        }
        learned
    }

    /// Takes what another one knows and this one doesn't.
    pub fn merge(&mut self, other: Learned) {
        if self.name.is_empty() {
            self.name = other.name;
        }
        self.guid = self.guid.or(other.guid);
        for (of, text) in other.texts {
            if !self.texts.contains_key(&of) {
                self.put(of, text);
            }
        }
        for (key, template) in other.templates {
            self.templates.entry(key).or_insert(template);
        }
        self.absent.extend(other.absent);
        let texts = &self.texts;
        self.absent.retain(|of| !texts.contains_key(of));
    }

    /// The provider's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Keeps a text: a message as it could stand in a message table, a name as it is shown. What
    /// is too much is left out.
    pub fn add(&mut self, of: TextOf, text: String) {
        match of {
            // Its own percent signs are no marks.
            TextOf::Parameter(_) => self.put(of, Asked::message(&text)),
            _ => self.put(of, text),
        }
    }

    fn put(&mut self, of: TextOf, text: String) {
        let of = of.kept();
        if self.size + text.len() <= Self::MAX_SIZE && self.texts.len() < Self::MAX_TEXTS {
            self.size += text.len();
            self.absent.remove(&of);
            self.texts.insert(of, text);
        }
    }

    /// Keeps in mind that there is no such text.
    pub fn add_absent(&mut self, of: TextOf) {
        let of = of.kept();
        if self.absent.len() < Self::MAX_TEXTS && !self.texts.contains_key(&of) {
            self.absent.insert(of);
        }
    }

    /// Keeps the fields of an event, of its definition's `<template>`. One that can't be read is
    /// left out, and its values are shown by their own types.
    pub fn add_template(&mut self, id: u16, version: u8, template: &str) {
        if self.templates.len() < Self::MAX_TEMPLATES
            && let Some(template) = read_template(template)
        {
            self.templates.insert((id, version), template);
        }
    }

    /// Whether a text is known, or known not to be there.
    pub fn knows(&self, of: TextOf) -> bool {
        let of = of.kept();
        let is_known = of == TextOf::Definitions && !self.templates.is_empty();
        is_known || self.texts.contains_key(&of) || self.absent.contains(&of)
    }

    /// Whether there is a message of an event.
    pub fn has_event(&self) -> bool {
        self.texts.keys().any(|of| matches!(of, TextOf::Event { .. }))
    }

    /// How to ask for what stands for a `%%N`: a message in which a value stands once.
    pub fn carrier(&self, number: u32) -> Option<Carrier> {
        self.texts.iter().find_map(|(of, text)| {
            let TextOf::Event { .. } = of else { return None };
            let text = Text::parse(text);
            let around = |place: u8| {
                text.has_insert(place.into()).then(|| text.around(place, Asked::value)).flatten()
            };
            let (place, (before, after)) =
                (1..=Asked::VALUES).find_map(|place| Some((place, around(place)?)))?;
            let mut values = Asked::values();
            values[usize::from(place) - 1] = format!("%%{number}");
            Some(Carrier { of: *of, values, number, before, after })
        })
    }

    /// The provider with its texts.
    pub fn texts(&self) -> ProviderTexts {
        let (provider, messages, parameters) = self.parts();
        let table = |table| Tables::new(vec![Arc::new(table)]);
        let none = Tables::default();
        ProviderTexts::new(provider, table(messages), table(parameters), none.clone(), none)
    }

    /// Adds the provider to a catalogue.
    pub fn add_to(&self, builder: &mut CatalogueBuilder) {
        let (mut provider, messages, parameters) = self.parts();
        if !messages.is_empty() {
            provider.messages.push(builder.add_table(messages));
        }
        if !parameters.is_empty() {
            provider.parameters.push(builder.add_table(parameters));
        }
        builder.add_provider(provider);
    }

    fn parts(&self) -> (Provider, MessageTable, MessageTable) {
        let mut manifest = Manifest::new(self.guid.unwrap_or(Guid::from_bytes([0; 16])));
        manifest.name = Some(self.name.clone());
        let (mut messages, mut parameters) = (BTreeMap::new(), Vec::new());
        let mut events: BTreeMap<(u16, u8), Option<&str>> = BTreeMap::new();
        for (of, text) in &self.texts {
            let name = |value| Name { value, name: text.clone(), message: None };
            match *of {
                TextOf::Event { id, version, qualifiers: None } => {
                    events.insert((id, version), Some(text));
                }
                TextOf::Event { id, qualifiers: Some(qualifiers), .. } => {
                    messages.insert(u32::from(qualifiers) << 16 | u32::from(id), &**text);
                }
                TextOf::Level(level) => manifest.levels.push(name(level.into())),
                TextOf::Task(task) => manifest.tasks.push(name(task.into())),
                TextOf::Opcode { task, opcode } => {
                    manifest.opcodes.push(name(u64::from(opcode) << 16 | u64::from(task)));
                }
                TextOf::Keyword(mask) => manifest.keywords.push(name(mask)),
                TextOf::Parameter(number) => parameters.push((number, text)),
                TextOf::Definitions => {}
            }
        }
        for key in self.templates.keys() {
            events.entry(*key).or_default();
        }
        // Identifiers for the messages that are known by their events.
        let mut unused = u32::MAX;
        for ((id, version), text) in events {
            let message = text.map(|text| {
                while messages.contains_key(&unused) {
                    unused -= 1;
                }
                messages.insert(unused, text);
                unused
            });
            let template = self.templates.get(&(id, version)).map(|template| {
                manifest.templates.push(template.clone());
                manifest.templates.len() as u32 - 1
            });
            manifest.events.push(EventDefinition {
                id,
                version,
                channel: 0,
                level: 0,
                opcode: 0,
                task: 0,
                keywords: 0,
                message,
                template,
            });
        }
        let provider = Provider {
            name: self.name.clone(),
            guid: self.guid,
            manifest: Some(manifest),
            absent: self.absent.iter().copied().collect(),
            ..Provider::default()
        };
        (provider, MessageTable::new(messages), MessageTable::new(parameters))
    }
}

impl TextOf {
    /// As it is kept: events with qualifiers have their message by these, whatever their version.
    fn kept(self) -> Self {
        match self {
            TextOf::Event { id, qualifiers: qualifiers @ Some(_), .. } => {
                TextOf::Event { id, version: 0, qualifiers }
            }
            other => other,
        }
    }
}

/// A message that a `%%N` is asked for in.
#[derive(Clone, Debug)]
pub struct Carrier {
    /// Which message: that of an event.
    pub of: TextOf,
    /// What to insert.
    pub values: Vec<String>,
    number: u32,
    before: String,
    after: String,
}

impl Carrier {
    /// What the server put in the `%%N`'s place; nothing where it left it.
    pub fn parameter<'r>(&self, rendered: &'r str) -> Option<&'r str> {
        let found = rendered.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        (!found.is_empty() && found != format!("%%{}", self.number)).then_some(found)
    }
}

/// Reads an event's `<template>`: its fields in their order, with those of structures after them.
fn read_template(text: &str) -> Option<Template> {
    let mut reader = Reader::from_str(text);
    let mut template = Template {
        guid: Guid::from_bytes([0; 16]),
        user_data: false,
        top_level: 0,
        fields: Vec::new(),
    };
    // Members of structures have no insertion mark of their own.
    let mut depth = 0usize;
    let mut struct_depth = None;
    loop {
        let (start, is_empty) = match reader.read_event().ok()? {
            Xml::Start(start) => (start, false),
            Xml::Empty(start) => (start, true),
            Xml::End(_) => {
                depth = depth.checked_sub(1)?;
                if struct_depth == Some(depth) {
                    struct_depth = None;
                }
                continue;
            }
            Xml::Eof => break,
            Xml::DocType(_) => return None,
            _ => continue,
        };
        let name = start.local_name();
        match name.as_ref() {
            name @ ("data" | "struct") if struct_depth.is_none() && !template.user_data => {
                if template.fields.len() >= Learned::MAX_FIELDS {
                    return None;
                }
                template.fields.push(field(&start)?);
                if name == "struct" && !is_empty {
                    struct_depth = Some(depth);
                }
            }
            "UserData" => template.user_data = true,
            _ => {}
        }
        if !is_empty {
            depth += 1;
        }
    }
    template.top_level = template.fields.len() as u32;
    (template.top_level > 0).then_some(template)
}

fn field(start: &BytesStart<'_>) -> Option<TemplateField> {
    let (mut name, mut in_type, mut out_type) = (String::new(), InType::NULL, OutType::NULL);
    for attribute in start.attributes() {
        let attribute = attribute.ok()?;
        let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).ok()?;
        match attribute.key.as_ref() {
            "name" => name = value.into_owned(),
            "inType" => in_type = InType::from_name(&value),
            "outType" => out_type = OutType::from_name(&value),
            _ => {}
        }
    }
    Some(TemplateField {
        name,
        in_type,
        out_type,
        map: None,
        count: Extent::Unset,
        length: Extent::Unset,
        members: None,
    })
}

#[cfg(test)]
mod tests;
