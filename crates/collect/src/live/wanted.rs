//! What of a batch's text has to be asked for.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use quarry_event::filter::Matcher;
use quarry_event::{AnyEvent, Field, FieldSource, Guid, PartialSource, Value};
use quarry_eventlog::{Damage, EventDescriptor, Visitor};
use quarry_message::{TextOf, standard};

/// Texts that are wanted of a provider, each with an event that has it.
#[derive(Debug, Default)]
pub(super) struct OfProvider {
    pub(super) guid: Option<Guid>,
    pub(super) texts: HashMap<TextOf, Example>,
}

/// An event that has a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Example {
    pub(super) event: EventDescriptor,
    /// Its message.
    pub(super) message: TextOf,
}

/// Texts of a batch, by the providers' names.
pub(super) type Wanted = HashMap<String, OfProvider>;

/// The most texts that a batch can ask for: events can say anything of themselves.
const MOST: usize = 4096;

/// The longest name of a provider that is asked for, in bytes.
const MAX_NAME: usize = 512;

/// The most parameters of an event that are asked for.
const MOST_PARAMETERS: usize = 64;

/// The most kinds of events that are told apart by [`Settled`].
const MOST_KINDS: usize = 64;

/// Finds what is wanted of the events of a batch that may pass a filter.
pub(super) struct Looking<'w> {
    matcher: Option<Matcher>,
    /// Whether a text of an event is known without asking a server.
    is_known: &'w dyn Fn(&dyn AnyEvent, TextOf) -> bool,
    wanted: Wanted,
    count: usize,
    settled: Vec<Settled>,
}

/// Events of a kind whose message is known. Most events are of a few kinds, and of all but the first of these
/// only parameters that none before has had can be wanted: that is seen without decoding them.
struct Settled {
    provider: String,
    event: EventDescriptor,
    qualifiers: Option<u64>,
    /// Those of the events so far.
    parameters: HashSet<u32>,
}

impl Settled {
    fn is_of(&self, event: &impl PartialSource) -> bool {
        let number = |field| event.known_field(field).as_u64();
        number(Field::EventId) == Some(self.event.id.into())
            && number(Field::Qualifiers) == self.qualifiers
            && descriptor(number) == self.event
            && event.known_field(Field::ProviderName).with_text(|name| name == self.provider)
    }
}

impl<'w> Looking<'w> {
    pub(super) fn new(
        matcher: Option<Matcher>,
        is_known: &'w dyn Fn(&dyn AnyEvent, TextOf) -> bool,
    ) -> Self {
        Looking { matcher, is_known, wanted: Wanted::new(), count: 0, settled: Vec::new() }
    }

    /// What was found.
    pub(super) fn wanted(self) -> Wanted {
        self.wanted
    }

    /// Where the parameters of an event's kind are noted.
    fn settle(&mut self, event: &impl PartialSource, descriptor: EventDescriptor) -> Option<usize> {
        if let Some(known) = self.settled.iter().position(|settled| settled.is_of(event)) {
            return Some(known);
        }
        if self.settled.len() == MOST_KINDS {
            return None;
        }
        self.settled.push(Settled {
            provider: event.known_field(Field::ProviderName).with_text(str::to_owned),
            event: descriptor,
            qualifiers: event.known_field(Field::Qualifiers).as_u64(),
            parameters: HashSet::new(),
        });
        Some(self.settled.len() - 1)
    }
}

impl Visitor for Looking<'_> {
    fn wants<T: PartialSource>(&mut self, event: &T) -> bool {
        self.count < MOST && !self.matcher.as_mut().is_some_and(|matcher| matcher.rules_out(event))
    }

    fn takes<T: PartialSource>(&mut self, event: &T, _: &str, _: Option<u64>) -> bool {
        let Some(settled) = self.settled.iter().find(|settled| settled.is_of(event)) else {
            return false;
        };
        let mut is_new = !event.is_whole();
        let looked = event.known_data(None, |value| {
            parameters(&value, |number| is_new |= !settled.parameters.contains(&number));
            match is_new {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        looked.is_some() && !is_new
    }

    fn event<T: FieldSource>(&mut self, event: &T, _: &str, _: Option<u64>) {
        if self.count >= MOST {
            return;
        }
        let Some(key) = of_event(event) else { return };
        let descriptor = descriptor(|field| FieldSource::field(event, field).as_u64());
        let name = event.field(Field::ProviderName);
        let wanted = &mut self.wanted;
        let provider = name.with_text(|name| {
            let is_name = !name.is_empty() && name.len() <= MAX_NAME;
            is_name.then(|| match wanted.contains_key(name) {
                true => wanted.get_mut(name),
                false => Some(wanted.entry(name.to_owned()).or_default()),
            })
        });
        let Some(Some(provider)) = provider else { return };
        provider.guid = provider.guid.or_else(|| guid(&event.field(Field::ProviderGuid)));
        let before = provider.texts.len();
        // Whoever has the message may lack what the values refer to, and the names.
        let is_known = self.is_known;
        let has_message = is_known(event, key);
        let mut want = |text| {
            if !provider.texts.contains_key(&text) && !is_known(event, text) {
                provider.texts.insert(text, Example { event: descriptor, message: key });
            }
        };
        if !has_message {
            want(key);
        }
        names(&descriptor, &mut want);
        let mut has_numbers = false;
        let mut found = Vec::new();
        let _ = AnyEvent::each_data(event, &mut |_, value| {
            match value {
                Value::Utf16(_) | Value::Str(_) | Value::Ansi(_) => {
                    let mut left = MOST_PARAMETERS - found.len();
                    parameters(&value, |number| {
                        if left > 0 {
                            found.push(number);
                            left -= 1;
                        }
                    });
                }
                Value::Null | Value::Guid(_) | Value::Sid(_) => {}
                _ => has_numbers = true,
            }
            match found.len() < MOST_PARAMETERS {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        found.iter().for_each(|number| want(TextOf::Parameter(*number)));
        // Without a manifest an event has strings only.
        let is_described = matches!(key, TextOf::Event { qualifiers: None, .. });
        if !has_message && is_described && (has_numbers || event.has_more()) {
            want(TextOf::Definitions);
        }
        self.count += provider.texts.len() - before;
        if has_message && let Some(place) = self.settle(event, descriptor) {
            self.settled[place].parameters.extend(found);
        }
    }

    fn damage(&mut self, _: &Damage) {}
}

/// The message that an event has.
pub(super) fn of_event(event: &(impl AnyEvent + ?Sized)) -> Option<TextOf> {
    let number = |field| event.field(field).as_u64();
    let id = number(Field::EventId).and_then(|id| u16::try_from(id).ok())?;
    let version = number(Field::Version).and_then(|version| u8::try_from(version).ok());
    let qualifiers = number(Field::Qualifiers).and_then(|q| u16::try_from(q).ok());
    Some(TextOf::Event { id, version: version.unwrap_or(0), qualifiers })
}

fn descriptor(field: impl Fn(Field) -> Option<u64>) -> EventDescriptor {
    let number = |name| field(name).unwrap_or(0);
    let small = |name| u8::try_from(number(name)).unwrap_or(0);
    let short = |name| u16::try_from(number(name)).unwrap_or(0);
    EventDescriptor {
        id: short(Field::EventId),
        version: small(Field::Version),
        // The number that a manifest gave the channel, which no event says.
        channel: 0,
        level: small(Field::Level),
        opcode: small(Field::Opcode),
        task: short(Field::Task),
        keywords: number(Field::Keywords),
    }
}

/// The names of an event's numbers that the standard doesn't know.
pub(super) fn names(event: &EventDescriptor, want: &mut impl FnMut(TextOf)) {
    if standard::level(event.level).is_none() {
        want(TextOf::Level(event.level));
    }
    if event.task != 0 {
        want(TextOf::Task(event.task));
    }
    if standard::opcode(event.opcode).is_none() {
        want(TextOf::Opcode { task: event.task, opcode: event.opcode });
    }
    // Of the upper 16 bits the standard's have names, and the others are of channels.
    for bit in (0..48).map(|bit| 1 << bit).filter(|bit| event.keywords & bit != 0) {
        want(TextOf::Keyword(bit));
    }
}

pub(super) fn guid(value: &Value<'_>) -> Option<Guid> {
    match value {
        Value::Guid(guid) => Some(*guid),
        Value::Null => None,
        text => text.with_text(Guid::parse),
    }
}

/// The numbers of the `%%N` in a value, if it is text.
fn parameters(value: &Value<'_>, found: impl FnMut(u32)) {
    match value {
        // Few have one, and the others needn't be made text to know it.
        Value::Utf16(text) if !may_refer(text.text_bytes()) => {}
        Value::Utf16(_) | Value::Str(_) | Value::Ansi(_) => {
            value.with_text(|text| each_parameter(text, found));
        }
        _ => {}
    }
}

/// Whether a text in UTF-16 has a `%%`.
fn may_refer(utf16: &[u8]) -> bool {
    memchr::memchr_iter(b'%', utf16).any(|at| utf16[at..].starts_with(b"%\0%\0"))
}

/// The numbers of the `%%N` in a text.
fn each_parameter(text: &str, mut found: impl FnMut(u32)) {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("%%") {
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        if let Ok(number) = after[..digits].parse() {
            found(number);
        }
        rest = &after[digits..];
    }
}

#[cfg(test)]
mod tests {
    use quarry_event::{Element, Event, Node};

    use super::*;

    /// An event of a provider `P`, with a task that has no name of the standard's.
    fn event(id: &str, data: &str) -> Event {
        let element = |name: &str, text: &str| {
            let children = vec![Node::Text(text.to_owned())];
            Node::Element(Element { children, ..Element::new(name) })
        };
        let mut provider = Element::new("Provider");
        provider.attributes.push(("Name".to_owned(), "P".to_owned()));
        let mut system = Element::new("System");
        system.children =
            vec![Node::Element(provider), element("EventID", id), element("Task", "7")];
        let mut values = Element::new("EventData");
        values.children = vec![element("Data", data)];
        let mut root = Element::new("Event");
        root.children = vec![Node::Element(system), Node::Element(values)];
        Event { root }
    }

    /// The same, of which that is seen before it is decoded.
    struct Head(Event);

    impl PartialSource for Head {
        fn known_field(&self, field: Field) -> Value<'_> {
            FieldSource::field(&self.0, field)
        }

        fn known_data<'a, F>(&'a self, _: Option<&str>, mut visit: F) -> Option<ControlFlow<()>>
        where
            F: FnMut(Value<'a>) -> ControlFlow<()>,
        {
            Some(FieldSource::each_data(&self.0, |_, value| visit(value)))
        }

        fn is_whole(&self) -> bool {
            true
        }
    }

    #[test]
    fn of_an_event_whose_message_is_known_the_rest_is_still_wanted() {
        let known =
            |_: &dyn AnyEvent, text| matches!(text, TextOf::Event { .. } | TextOf::Parameter(1833));
        let mut looking = Looking::new(None, &known);
        Visitor::event(&mut looking, &event("1", "%%1833 and %%1834"), "", None);
        let texts: HashSet<TextOf> =
            looking.wanted().remove("P").unwrap().texts.into_keys().collect();
        assert_eq!(texts, [TextOf::Task(7), TextOf::Parameter(1834)].into());
    }

    #[test]
    fn what_an_event_of_a_kind_wants_is_looked_for_once() {
        let known = |_: &dyn AnyEvent, text| matches!(text, TextOf::Event { id: 1, .. });
        let mut looking = Looking::new(None, &known);
        let seen = [event("1", "%%1833"), event("2", "a")];
        seen.iter().for_each(|event| Visitor::event(&mut looking, event, "", None));
        for (id, data, is_taken) in [
            ("1", "nothing, 5 % and %%", true),
            ("1", "%%1833", true),
            // It was not seen yet.
            ("1", "%%1833%%1834", false),
            // Its values may say more of what is wanted.
            ("2", "a", false),
            ("3", "a", false),
        ] {
            let head = Head(event(id, data));
            assert_eq!(looking.takes(&head, "", None), is_taken, "{id} {data}");
        }
    }

    #[test]
    fn parameters_are_found_in_longer_texts_too() {
        let mut found = Vec::new();
        for text in ["%%1833", "a %%1 b%%22%%333.", "%% 5 %5 %%", "%%99999999999"] {
            each_parameter(text, |number| found.push(number));
        }
        assert_eq!(found, [1833, 1, 22, 333]);
    }
}
