//! What is known of one provider, and the text and names that its events are shown by.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use quarry_event::{Field, FieldSource, Guid, Sink, Value};
use serde::{Deserialize, Serialize};

use crate::format::{FieldKind, Fill, Text, Words, push_value, replace_parameters};
use crate::kinds::OutType;
use crate::manifest::Manifest;
use crate::{MessageTable, standard};

/// A provider in a catalogue: what its manifest says, and which message tables it uses.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Provider {
    /// The name that events carry. It may be empty where only the identifier is known.
    pub name: String,
    /// The identifier, if there is one.
    #[serde(with = "crate::guid::optional")]
    pub guid: Option<Guid>,
    /// The tables with its messages (EventMessageFile, MessageFileName), by their numbers in the
    /// catalogue, in the order in which they are looked through.
    pub messages: Vec<u32>,
    /// The tables with its parameter strings (ParameterMessageFile).
    pub parameters: Vec<u32>,
    /// The tables with the names of its tasks, for events without a manifest
    /// (CategoryMessageFile).
    pub categories: Vec<u32>,
    /// What its manifest says.
    pub manifest: Option<Manifest>,
}

/// The message tables of a provider, in the order in which they are looked through.
#[derive(Clone, Debug, Default)]
pub struct Tables(Vec<Arc<MessageTable>>);

impl Tables {
    /// Tables that are looked through in the given order.
    pub fn new(tables: Vec<Arc<MessageTable>>) -> Self {
        Tables(tables)
    }

    /// The text of a message.
    pub fn get(&self, id: u32) -> Option<&str> {
        self.0.iter().find_map(|table| table.get(id))
    }
}

/// A provider whose events can be written as text.
#[derive(Debug)]
pub struct ProviderTexts {
    provider: Provider,
    /// `id << 8 | version` and the place of the event in the manifest, sorted.
    events: Vec<(u32, u32)>,
    messages: Tables,
    parameters: Tables,
    categories: Tables,
    system: Tables,
    /// Whether an event of another version serves, where the catalogue has no versions.
    any_version: bool,
    names: Names,
    /// Texts of the manifest's events, made when they are first asked for.
    described: Vec<OnceLock<Option<EventText>>>,
    /// Texts of messages without an event, a vector a table.
    classic: Vec<Vec<OnceLock<EventText>>>,
}

/// The message of an event, ready to be filled in.
#[derive(Debug)]
pub struct EventText {
    text: Text,
    /// What the manifest says of each value, in their order.
    kinds: Vec<FieldKind>,
    /// Whether the values stand in `<UserData>`.
    user_data: bool,
}

/// Names for values, sorted by these.
#[derive(Debug, Default)]
struct Names {
    levels: Vec<(u64, Box<str>)>,
    tasks: Vec<(u64, Box<str>)>,
    opcodes: Vec<(u64, Box<str>)>,
    keywords: Vec<(u64, Box<str>)>,
}

impl ProviderTexts {
    /// A provider with its tables, and with the tables of the system, which has the strings that
    /// every provider may refer to.
    pub fn new(
        provider: Provider,
        messages: Tables,
        parameters: Tables,
        categories: Tables,
        system: Tables,
    ) -> Self {
        let names = provider
            .manifest
            .as_ref()
            .map(|manifest| Names::new(manifest, &messages))
            .unwrap_or_default();
        let definitions = provider.manifest.iter().flat_map(|manifest| &manifest.events);
        let mut events: Vec<(u32, u32)> = definitions
            .enumerate()
            .map(|(place, event)| (key(event.id, event.version), place as u32))
            .collect();
        events.sort_unstable();
        let described = std::iter::repeat_with(OnceLock::new).take(events.len()).collect();
        let slots = |table: &Arc<MessageTable>| {
            std::iter::repeat_with(OnceLock::new).take(table.len()).collect()
        };
        let classic = messages.0.iter().map(slots).collect();
        ProviderTexts {
            provider,
            events,
            messages,
            parameters,
            categories,
            system,
            any_version: false,
            names,
            described,
            classic,
        }
    }

    /// Lets an event of another version serve: for catalogues that have no versions.
    #[must_use]
    pub fn with_any_version(self) -> Self {
        ProviderTexts { any_version: true, ..self }
    }

    /// What the catalogue says of the provider.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// The text of a message, as it is in its table.
    pub fn message(&self, id: u32) -> Option<&str> {
        self.messages.get(id)
    }

    /// The text of an event: by the manifest, or by the message's identifier, which an event
    /// without a manifest carries in two parts.
    pub fn event(&self, id: u16, version: u8, qualifiers: Option<u16>) -> Option<&EventText> {
        self.described(id, version)
            .or_else(|| self.classic(u32::from(qualifiers.unwrap_or(0)) << 16 | u32::from(id)))
    }

    fn described(&self, id: u16, version: u8) -> Option<&EventText> {
        let place = match self.events.binary_search_by_key(&key(id, version), |event| event.0) {
            Ok(at) => self.events[at].1,
            Err(at) if self.any_version => {
                // The version before it, or else the one after.
                let same = |at: usize| self.events.get(at).filter(|e| e.0 >> 8 == u32::from(id));
                same(at.wrapping_sub(1)).or_else(|| same(at))?.1
            }
            Err(_) => return None,
        };
        let text = self.described.get(place as usize)?;
        text.get_or_init(|| self.describe(place as usize)).as_ref()
    }

    fn describe(&self, place: usize) -> Option<EventText> {
        let manifest = self.provider.manifest.as_ref()?;
        let event = manifest.events.get(place)?;
        let text = Text::parse(self.messages.get(event.message?)?);
        let template = event.template.and_then(|at| manifest.templates.get(at as usize));
        let fields = template
            .map(|template| template.fields.get(..template.top_level as usize).unwrap_or_default());
        let kinds = fields.unwrap_or_default().iter().map(|field| FieldKind {
            in_type: field.in_type,
            out_type: field.out_type,
            map: field.map,
        });
        Some(EventText {
            text,
            kinds: kinds.collect(),
            user_data: template.is_some_and(|template| template.user_data),
        })
    }

    fn classic(&self, id: u32) -> Option<&EventText> {
        let mut tables = self.messages.0.iter().zip(&self.classic);
        tables.find_map(|(table, texts)| {
            let text = texts.get(table.position(id)?)?;
            Some(text.get_or_init(|| EventText {
                text: Text::parse(table.get(id).unwrap_or_default()),
                kinds: Vec::new(),
                user_data: false,
            }))
        })
    }

    /// Writes the text of an event of this provider, and says whether there is one.
    pub fn push_message(&self, event: &impl FieldSource, out: &mut Vec<u8>) -> bool {
        let number = |field| event.field(field).as_u64();
        let small = |field| number(field).and_then(|number| u16::try_from(number).ok());
        let Some(id) = small(Field::EventId) else { return false };
        let version = number(Field::Version).and_then(|version| u8::try_from(version).ok());
        let qualifiers = small(Field::Qualifiers);
        let Some(text) = self.event(id, version.unwrap_or(0), qualifiers) else { return false };
        self.push(text, event, out);
        true
    }

    /// Writes a text with an event's values.
    pub fn push(&self, text: &EventText, event: &impl FieldSource, out: &mut Vec<u8>) {
        let mut values = Vec::new();
        if text.text.highest_insert() > 0 {
            if !text.user_data {
                data_values(event, text.kinds.is_empty(), &mut values);
            }
            if values.is_empty() && event.has_more() {
                user_values(event, &mut values);
            }
        }
        text.text.push(&mut Inserts { provider: self, text, values: &values }, out);
    }

    /// The name of a level; the standard's where the provider has none of its own.
    pub fn level(&self, level: u8) -> Option<&str> {
        named(&self.names.levels, level.into()).or_else(|| standard::level(level))
    }

    /// The name of a task, written where there is one.
    pub fn push_task(&self, task: u16, out: &mut Vec<u8>) -> bool {
        if let Some(name) = named(&self.names.tasks, task.into()) {
            out.extend_from_slice(name.as_bytes());
            return true;
        }
        let Some(name) = self.categories.get(task.into()).filter(|_| task != 0) else {
            return false;
        };
        Text::parse(name).push(&mut Parameters(self), out);
        true
    }

    /// The name of an opcode of a task; the standard's where the provider has none of its own.
    pub fn opcode(&self, task: u16, opcode: u8) -> Option<&str> {
        let value = u64::from(opcode) << 16;
        named(&self.names.opcodes, value | u64::from(task))
            .or_else(|| named(&self.names.opcodes, value))
            .or_else(|| standard::opcode(opcode))
    }

    /// The names of the keywords that are set, from the lowest bit on; those without a name are
    /// left out.
    pub fn keywords(&self, keywords: u64) -> impl Iterator<Item = &str> {
        let set = (0..64).map(|bit| 1 << bit).filter(move |mask| keywords & mask != 0);
        set.filter_map(|mask| named(&self.names.keywords, mask).or_else(|| standard::keyword(mask)))
    }

    /// The text of a parameter string: the provider's, or one of the system's.
    pub fn push_parameter(&self, number: u32, out: &mut Vec<u8>) -> bool {
        let text = self.parameters.get(number).or_else(|| self.system.get(number));
        match text {
            Some(text) => Text::parse(text).push(&mut NoMarks, out),
            None => return false,
        }
        true
    }
}

impl EventText {
    /// The message without values.
    pub fn text(&self) -> &Text {
        &self.text
    }

    /// What the manifest says of each value; nothing of those of an event without a manifest.
    pub fn kinds(&self) -> &[FieldKind] {
        &self.kinds
    }
}

impl Names {
    fn new(manifest: &Manifest, messages: &Tables) -> Self {
        let sort = |names: &[crate::manifest::Name]| {
            let named = names.iter().filter_map(|name| {
                let text = match name.message.and_then(|id| messages.get(id)) {
                    Some(message) => Text::plain(message),
                    // What the standard names is shown by the standard's text.
                    None if name.name.is_empty() || name.name.starts_with("win:") => return None,
                    None => name.name.clone(),
                };
                Some((name.value, text.into_boxed_str()))
            });
            let by_value: HashMap<u64, Box<str>> = named.collect();
            let mut sorted: Vec<_> = by_value.into_iter().collect();
            sorted.sort_unstable();
            sorted
        };
        Names {
            levels: sort(&manifest.levels),
            tasks: sort(&manifest.tasks),
            opcodes: sort(&manifest.opcodes),
            keywords: sort(&manifest.keywords),
        }
    }
}

fn named(names: &[(u64, Box<str>)], value: u64) -> Option<&str> {
    let at = names.binary_search_by_key(&value, |name| name.0).ok()?;
    Some(&names[at].1)
}

fn key(id: u16, version: u8) -> u32 {
    u32::from(id) << 8 | u32::from(version)
}

/// A value of an event: as it lies in it, or put together of several pieces.
enum Insert<'a> {
    Value(Value<'a>),
    Joined(String),
}

/// The values of `<EventData>`. `<Binary>`, which an event without a manifest may have behind them,
/// has no insertion mark.
fn data_values<'a>(event: &'a impl FieldSource, classic: bool, values: &mut Vec<Insert<'a>>) {
    // A mark has two digits.
    const MOST: usize = 99;
    let _ = event.each_data(|name, value| {
        if !(classic && name.is_some_and(|name| name.as_str() == "Binary")) {
            values.push(Insert::Value(value));
        }
        if values.len() < MOST { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
}

/// The values of `<UserData>`: the text of the elements that have none inside, in their order,
/// which is that of the template's fields.
fn user_values<'a>(event: &'a impl FieldSource, values: &mut Vec<Insert<'a>>) {
    event.walk(&mut Leaves { values, depth: 0, inside: false, has_children: false, text: None });
}

struct Leaves<'a, 'v> {
    values: &'v mut Vec<Insert<'a>>,
    depth: usize,
    /// Whether this is inside of `<UserData>`.
    inside: bool,
    /// Whether the element that was closed last is inside of the one that closes next.
    has_children: bool,
    text: Option<Insert<'a>>,
}

impl<'a> Sink<'a> for Leaves<'a, '_> {
    fn open(&mut self, name: &'a str) {
        if self.depth == 1 {
            self.inside = name == "UserData";
        }
        self.depth += 1;
        self.has_children = false;
        self.text = None;
    }

    fn attribute(&mut self, _: &'a str, _: &[Value<'a>]) {}

    fn text(&mut self, value: Value<'a>) {
        if !self.inside || value.is_null() {
            return;
        }
        self.text = Some(match self.text.take() {
            None => Insert::Value(value),
            Some(Insert::Value(first)) => Insert::Joined(format!("{first}{value}")),
            Some(Insert::Joined(text)) => Insert::Joined(format!("{text}{value}")),
        });
    }

    fn close(&mut self, _: &'a str, _: bool) {
        self.depth = self.depth.saturating_sub(1);
        let text = self.text.take();
        if self.inside && self.depth > 1 && !self.has_children && self.values.len() < 99 {
            self.values.push(text.unwrap_or(Insert::Value(Value::Str(""))));
        }
        self.has_children = true;
    }
}

/// What stands for the marks of an event's message.
struct Inserts<'p, 'a> {
    provider: &'p ProviderTexts,
    text: &'p EventText,
    values: &'a [Insert<'a>],
}

impl Fill for Inserts<'_, '_> {
    fn insert(&mut self, number: u8, out: &mut Vec<u8>) -> bool {
        let place = usize::from(number) - 1;
        let Some(insert) = self.values.get(place) else { return false };
        let start = out.len();
        match insert {
            Insert::Value(value) => {
                let kind = self.text.kinds.get(place).copied().unwrap_or_default();
                push_value(value, kind, self.provider, out);
            }
            Insert::Joined(text) => out.extend_from_slice(text.as_bytes()),
        }
        replace_parameters(start, &mut Parameters(self.provider), out);
        true
    }

    fn parameter(&mut self, number: u32, out: &mut Vec<u8>) -> bool {
        self.provider.push_parameter(number, out)
    }
}

/// Parameter strings alone, for values and names.
struct Parameters<'p>(&'p ProviderTexts);

impl Fill for Parameters<'_> {
    fn insert(&mut self, _: u8, _: &mut Vec<u8>) -> bool {
        false
    }

    fn parameter(&mut self, number: u32, out: &mut Vec<u8>) -> bool {
        self.0.push_parameter(number, out)
    }
}

/// Nothing, for parameter strings themselves: one in another would never end.
struct NoMarks;

impl Fill for NoMarks {
    fn insert(&mut self, _: u8, _: &mut Vec<u8>) -> bool {
        false
    }

    fn parameter(&mut self, _: u32, _: &mut Vec<u8>) -> bool {
        false
    }
}

impl Words for ProviderTexts {
    fn mapped(&self, map: u32, value: u64, out: &mut Vec<u8>) -> bool {
        let manifest = self.provider.manifest.as_ref();
        let Some(map) = manifest.and_then(|manifest| manifest.maps.get(map as usize)) else {
            return false;
        };
        let push = |id: Option<u32>, out: &mut Vec<u8>| {
            let text = id.and_then(|id| self.messages.get(id));
            text.map(|text| Text::parse(text).push(&mut Parameters(self), out)).is_some()
        };
        if !map.bits {
            let found = map.entries.iter().find(|entry| u64::from(entry.0) == value);
            return found.is_some_and(|entry| push(entry.1, out));
        }
        let start = out.len();
        for (bit, id) in &map.entries {
            if *bit != 0 && value & u64::from(*bit) == u64::from(*bit) {
                if out.len() > start {
                    out.extend_from_slice(b", ");
                }
                push(*id, out);
            }
        }
        out.len() > start
    }

    fn status(&self, kind: OutType, code: u32, out: &mut Vec<u8>) -> bool {
        match self.system.get(code) {
            Some(text) => Text::parse(text).push(&mut NoMarks, out),
            None => match crate::status::text(kind, code) {
                Some(text) => out.extend_from_slice(text.as_bytes()),
                None => return false,
            },
        }
        true
    }
}
