//! What is known of one provider, and the text and names that its events are shown by.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use quarry_event::text::Plain;
use quarry_event::{AnyEvent, Field, Guid, MessageBy, MessageForm, Recipe, Sink, Value};
use serde::{Deserialize, Serialize};

use crate::catalogue::{MAX_REFERENCES, bounded};
use crate::format::{FieldKind, Fill, MAX_MESSAGE, Text, Words, push_value, replace_parameters};
use crate::kinds::OutType;
use crate::learned::TextOf;
use crate::manifest::Manifest;
use crate::recipe::prepared;
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
    #[serde(deserialize_with = "bounded::<_, _, MAX_REFERENCES>")]
    pub messages: Vec<u32>,
    /// The tables with its parameter strings (ParameterMessageFile).
    #[serde(deserialize_with = "bounded::<_, _, MAX_REFERENCES>")]
    pub parameters: Vec<u32>,
    /// The tables with the names of its tasks, for events without a manifest
    /// (CategoryMessageFile).
    #[serde(deserialize_with = "bounded::<_, _, MAX_REFERENCES>")]
    pub categories: Vec<u32>,
    /// What its manifest says.
    pub manifest: Option<Manifest>,
    /// What a server was asked for and doesn't have, so that it isn't asked again.
    pub absent: Vec<TextOf>,
}

impl Provider {
    /// Adds what another description of the same provider has and this one lacks.
    pub(crate) fn merge(&mut self, other: Provider) {
        let lists = [
            (&mut self.messages, other.messages),
            (&mut self.parameters, other.parameters),
            (&mut self.categories, other.categories),
        ];
        for (ours, theirs) in lists {
            let new: Vec<u32> = theirs.into_iter().filter(|table| !ours.contains(table)).collect();
            ours.extend(new);
            ours.truncate(MAX_REFERENCES);
        }
        self.guid = self.guid.or(other.guid);
        self.manifest = self.manifest.take().or(other.manifest);
    }
}

/// The message tables of a provider, in the order in which they are looked through.
#[derive(Clone, Debug, Default)]
pub struct Tables(Vec<Arc<MessageTable>>);

impl Tables {
    /// Tables that are looked through in the given order.
    pub fn new(tables: Vec<Arc<MessageTable>>) -> Self {
        Tables(tables)
    }

    /// All messages, in the order of the tables.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        self.0.iter().flat_map(|table| table.iter())
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
    /// Texts of messages without an event, for each table.
    classic: Vec<Classic>,
    /// How many more bytes of texts are kept.
    left: AtomicUsize,
}

/// The most bytes of texts that are kept of a provider, taken apart: events of different numbers may share a
/// message. After these, events have none.
const MOST_KEPT: usize = 64 << 20;

/// Texts of a table's messages, made when they are first asked for. They are in blocks, so that a table costs
/// little before.
#[derive(Debug, Default)]
struct Classic(OnceLock<Box<[OnceLock<Box<Block>>]>>);

type Block = [OnceLock<Option<EventText>>; BLOCK];

const BLOCK: usize = 64;

impl Classic {
    /// The text of the message in a place of a table of `len` messages.
    fn get(
        &self,
        place: usize,
        len: usize,
        make: impl FnOnce() -> Option<EventText>,
    ) -> Option<&EventText> {
        let blocks = self.0.get_or_init(|| {
            std::iter::repeat_with(OnceLock::new).take(len.div_ceil(BLOCK)).collect()
        });
        let block = blocks.get(place / BLOCK)?;
        let block = block.get_or_init(|| Box::new([const { OnceLock::new() }; BLOCK]));
        block.get(place % BLOCK)?.get_or_init(make).as_ref()
    }
}

/// The message of an event, ready to be filled in.
#[derive(Debug)]
pub struct EventText {
    text: Text,
    /// What the manifest says of each value, in their order.
    kinds: Vec<FieldKind>,
    /// The place of the event's fields among the manifest's templates.
    template: Option<u32>,
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
        let classic = messages.0.iter().map(|_| Classic::default()).collect();
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
            left: AtomicUsize::new(MOST_KEPT),
        }
    }

    /// Lets an event of another version serve: for catalogues that have no versions.
    #[must_use]
    pub fn with_any_version(self) -> Self {
        ProviderTexts { any_version: true, ..self }
    }

    /// The tables of its messages and of its parameter strings.
    pub(crate) fn tables(&self) -> (&Tables, &Tables) {
        (&self.messages, &self.parameters)
    }

    /// What the catalogue says of the provider.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// The text of a message, as it is in its table.
    pub fn message(&self, id: u32) -> Option<&str> {
        self.messages.get(id)
    }

    /// All messages with their identifiers, in the order of the tables.
    pub fn messages(&self) -> impl Iterator<Item = (u32, &str)> {
        self.messages.iter()
    }

    /// The messages whose identifiers end in an event's number: an event without a manifest has one
    /// of these.
    pub fn messages_of(&self, id: u16) -> impl Iterator<Item = (u32, &str)> {
        self.messages.iter().filter(move |(message, _)| *message as u16 == id)
    }

    /// The text of an event: by the manifest, or by the message's identifier, which an event
    /// without a manifest carries in two parts.
    ///
    /// An event that the manifest lacks, though it has events, is of another version of the provider: the
    /// message of its number would be that of this version's event.
    pub fn event(&self, id: u16, version: u8, qualifiers: Option<u16>) -> Option<&EventText> {
        let described = self.described(id, version);
        if described.is_some() || qualifiers.is_none() && !self.events.is_empty() {
            return described;
        }
        self.classic(u32::from(qualifiers.unwrap_or(0)) << 16 | u32::from(id))
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
        let text = self.kept(self.messages.get(event.message?)?)?;
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
            template: event.template,
            user_data: template.is_some_and(|template| template.user_data),
        })
    }

    /// Takes a message apart, to be kept.
    fn kept(&self, message: &str) -> Option<Text> {
        let text = Text::parse(message);
        let relaxed = Ordering::Relaxed;
        let spent = |left: usize| left.checked_sub(text.bytes());
        self.left.fetch_update(relaxed, relaxed, spent).is_ok().then_some(text)
    }

    fn classic(&self, id: u32) -> Option<&EventText> {
        let mut tables = self.messages.0.iter().zip(&self.classic);
        tables.find_map(|(table, texts)| {
            texts.get(table.position(id)?, table.len(), || {
                let text = self.kept(table.get(id)?)?;
                Some(EventText { text, kinds: Vec::new(), template: None, user_data: false })
            })
        })
    }

    /// The text of an event by the numbers that it carries.
    pub fn text_of(&self, event: &dyn AnyEvent) -> Option<&EventText> {
        let number = |field| event.field(field).as_u64();
        let small = |field| number(field).and_then(|number| u16::try_from(number).ok());
        let version = number(Field::Version).and_then(|version| u8::try_from(version).ok());
        self.event(small(Field::EventId)?, version.unwrap_or(0), small(Field::Qualifiers))
    }

    /// Whether the manifest has the event with the very template that the event was written with: then both
    /// are of the same version of the provider, so far as the event's values show.
    pub fn has_template_of(&self, event: &dyn AnyEvent) -> bool {
        let written = event.substituted().map(|substituted| substituted.template);
        let manifest = self.provider.manifest.as_ref();
        let described = self.text_of(event).and_then(|text| text.template);
        let template = described.and_then(|at| manifest?.templates.get(at as usize));
        written.is_some() && written == template.map(|template| template.guid)
    }

    /// Writes the text of an event of this provider, and says whether there is one.
    pub fn push_message(&self, event: &dyn AnyEvent, out: &mut Vec<u8>) -> bool {
        self.text_of(event).is_some_and(|text| self.push(text, event, out))
    }

    /// How the text of an event and of those of its kind is made.
    pub fn recipe(
        self: &Arc<Self>,
        by: MessageBy,
        event: &dyn AnyEvent,
        form: MessageForm,
    ) -> Option<Recipe> {
        Some(Recipe::Made(by, prepared(self, self.text_of(event)?, form)))
    }

    /// Writes a text with an event's values. False, with `out` as it was, where it is longer than
    /// [`MAX_MESSAGE`].
    pub fn push(&self, text: &EventText, event: &dyn AnyEvent, out: &mut Vec<u8>) -> bool {
        let mut inserts = Inserts { provider: self, text, ends: Vec::new(), values: Vec::new() };
        let highest = usize::from(text.text.highest_insert());
        if highest > 0 {
            // Most values are short, and growing step by step costs more than the values do.
            inserts.ends.reserve_exact(highest);
            inserts.values.reserve_exact(32 * highest);
            inserts.read(event);
        }
        text.text.push(&mut inserts, out)
    }

    /// Writes the words for a value of an event: the text of a map, of a status code, of the
    /// parameter strings in it. Says whether there are any.
    pub fn push_words(
        &self,
        event: &dyn AnyEvent,
        name: &str,
        value: &Value<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        let kind = self.text_of(event).and_then(|text| self.kind_of(text, name));
        if let Some(kind) = kind {
            let number = value.as_u64();
            if let (Some(map), Some(number)) = (kind.map, number)
                && self.mapped(map, number, out)
            {
                return true;
            }
            if let Some(code) = number.and_then(|number| u32::try_from(number).ok())
                && self.status(kind.out_type, code, out)
            {
                return true;
            }
        }
        push_parameters(value, &mut Parameters(self), out)
    }

    fn kind_of(&self, text: &EventText, name: &str) -> Option<FieldKind> {
        let template = self.provider.manifest.as_ref()?.templates.get(text.template? as usize)?;
        let place = template.fields.iter().position(|field| field.name == name)?;
        text.kinds.get(place).copied()
    }

    /// Writes the text of a status code of a kind: the system's own, or else one of [`status`](crate::status).
    /// Says whether there is one.
    pub fn push_status(&self, kind: OutType, code: u32, out: &mut Vec<u8>) -> bool {
        self.status(kind, code, out)
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
        Text::parse(name).push(&mut Parameters(self), out)
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
        text.is_some_and(|text| Text::parse(text).push(&mut NoMarks, out))
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

    /// Whether it is the message of events without a manifest.
    pub(crate) fn is_classic(&self) -> bool {
        self.template.is_none()
    }

    /// Whether the values stand in `<UserData>`.
    pub(crate) fn has_user_data(&self) -> bool {
        self.user_data
    }
}

impl Names {
    fn new(manifest: &Manifest, messages: &Tables) -> Self {
        // Names may share a message.
        let left = std::cell::Cell::new(MAX_MESSAGE);
        let sort = |names: &[crate::manifest::Name]| {
            let named = names.iter().filter_map(|name| {
                let text = match name.message.and_then(|id| messages.get(id)) {
                    Some(message) => Text::plain(message),
                    // What the standard names is shown by the standard's text.
                    None if name.name.is_empty() || name.name.starts_with("win:") => return None,
                    None => name.name.clone(),
                };
                left.set(left.get().checked_sub(text.len())?);
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

impl ProviderTexts {
    /// The system's own text for a status code: an NTSTATUS is a message of ntdll.dll, the others
    /// are kernel32.dll's, and the numbers of both begin with 0.
    fn system_status(&self, kind: OutType, code: u32) -> Option<&str> {
        const STATUS_UNSUCCESSFUL: u32 = 0xc000_0001;
        let (is_ntstatus, code) = match kind {
            OutType::NTSTATUS => (true, code),
            // An HRESULT of facility 7 is a Win32 error.
            OutType::HRESULT if code >> 16 == 0x8007 => (false, code & 0xffff),
            OutType::HRESULT | OutType::WIN32_ERROR | OutType::ERROR_CODE => (false, code),
            _ => return None,
        };
        let of_kind =
            |table: &&Arc<MessageTable>| table.get(STATUS_UNSUCCESSFUL).is_some() == is_ntstatus;
        self.system.0.iter().filter(of_kind).find_map(|table| table.get(code))
    }
}

/// Writes a text value with the parameter strings for its `%%N`, if it has any that are known.
fn push_parameters(value: &Value<'_>, fill: &mut impl Fill, out: &mut Vec<u8>) -> bool {
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
struct Inserts<'p> {
    provider: &'p ProviderTexts,
    text: &'p EventText,
    values: Vec<u8>,
    /// Where each value ends.
    ends: Vec<usize>,
}

impl Inserts<'_> {
    /// A mark has two digits.
    const MOST: usize = 99;

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
            text.is_some_and(|text| Text::parse(text).push(&mut Parameters(self), out))
        };
        if !map.bits {
            let found = map.entries.iter().find(|entry| u64::from(entry.0) == value);
            return found.is_some_and(|entry| push(entry.1, out));
        }
        let start = out.len();
        for (bit, id) in &map.entries {
            if out.len() - start > MAX_MESSAGE {
                break;
            }
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
        if let Some(text) = self.system_status(kind, code) {
            return Text::parse(text).push(&mut NoMarks, out);
        }
        let text = crate::status::text(kind, code);
        text.map(|text| out.extend_from_slice(text.as_bytes())).is_some()
    }
}
