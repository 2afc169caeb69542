//! What of a batch's text has to be asked for.

use std::collections::HashMap;
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

/// Finds what is wanted of the events of a batch that may pass a filter.
pub(super) struct Looking<'w> {
    pub(super) matcher: Option<Matcher>,
    /// Whether a text of an event is known without asking a server.
    pub(super) is_known: &'w dyn Fn(&dyn AnyEvent, TextOf) -> bool,
    pub(super) wanted: Wanted,
    pub(super) count: usize,
}

impl Visitor for Looking<'_> {
    fn wants<T: PartialSource>(&mut self, event: &T) -> bool {
        self.count < MOST && !self.matcher.as_mut().is_some_and(|matcher| matcher.rules_out(event))
    }

    fn event<T: FieldSource>(&mut self, event: &T, _: &str, _: Option<u64>) {
        if self.count >= MOST {
            return;
        }
        let Some(key) = of_event(event) else { return };
        let descriptor = descriptor(event);
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
        let mut parameters = 0;
        let _ = AnyEvent::each_data(event, &mut |_, value| {
            match value {
                Value::Utf16(text) if !may_refer(text.text_bytes()) => {}
                Value::Utf16(_) | Value::Str(_) | Value::Ansi(_) => value.with_text(|text| {
                    each_parameter(text, |number| {
                        parameters += 1;
                        want(TextOf::Parameter(number));
                    });
                }),
                Value::Null | Value::Guid(_) | Value::Sid(_) => {}
                _ => has_numbers = true,
            }
            match parameters < MOST_PARAMETERS {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        // Without a manifest an event has strings only.
        let is_described = matches!(key, TextOf::Event { qualifiers: None, .. });
        if !has_message && is_described && (has_numbers || event.has_more()) {
            want(TextOf::Definitions);
        }
        self.count += provider.texts.len() - before;
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

fn descriptor(event: &impl AnyEvent) -> EventDescriptor {
    let number = |field| event.field(field).as_u64().unwrap_or(0);
    let small = |field| u8::try_from(number(field)).unwrap_or(0);
    let short = |field| u16::try_from(number(field)).unwrap_or(0);
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

/// Whether a text in UTF-16 has a `%%`: few have one, and the others needn't be made text to know it.
fn may_refer(utf16: &[u8]) -> bool {
    memchr::memmem::find(utf16, b"%\0%\0").is_some()
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

    #[test]
    fn of_an_event_whose_message_is_known_the_rest_is_still_wanted() {
        let element = |name: &str, text: &str| {
            let children = vec![Node::Text(text.to_owned())];
            Node::Element(Element { children, ..Element::new(name) })
        };
        let mut provider = Element::new("Provider");
        provider.attributes.push(("Name".to_owned(), "P".to_owned()));
        let mut system = Element::new("System");
        system.children =
            vec![Node::Element(provider), element("EventID", "1"), element("Task", "7")];
        let mut data = Element::new("EventData");
        data.children = vec![element("Data", "%%1833 and %%1834")];
        let mut root = Element::new("Event");
        root.children = vec![Node::Element(system), Node::Element(data)];
        let known =
            |_: &dyn AnyEvent, text| matches!(text, TextOf::Event { .. } | TextOf::Parameter(1833));
        let wanted = Wanted::new();
        let mut looking = Looking { matcher: None, is_known: &known, wanted, count: 0 };
        Visitor::event(&mut looking, &Event { root }, "", None);
        let texts: std::collections::HashSet<TextOf> =
            looking.wanted.remove("P").unwrap().texts.into_keys().collect();
        assert_eq!(texts, [TextOf::Task(7), TextOf::Parameter(1834)].into());
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
