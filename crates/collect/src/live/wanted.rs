//! What of a batch's text has to be asked for.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use quarry_event::filter::Matcher;
use quarry_event::{AnyEvent, Field, FieldSource, Guid, PartialSource, RecordId, Value};
use quarry_eventlog::{Batch, BatchReader, Damage, EventDescriptor, Visitor};
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

/// The most kinds of events that are kept as settled, and parameters of them.
const MOST_KINDS: usize = 4096;

/// What is known already of the text of a server's events.
pub(super) trait Known {
    /// Whether a catalogue has a text of an event, so that no server needs to be asked.
    fn is_in_catalogue(&self, event: &dyn AnyEvent, text: TextOf) -> bool;

    /// Whether nothing more is to come of a provider's text: a server has sent it, or has none.
    fn is_settled(&self, provider: &str, guid: Option<Guid>, text: TextOf) -> bool;
}

/// What the batches of a server are looked through with, one after the other.
pub(super) struct Looker {
    matcher: Option<Matcher>,
    settled: Settled,
}

impl Looker {
    /// For events that may pass a filter.
    pub(super) fn new(matcher: Option<Matcher>) -> Self {
        Looker { matcher, settled: Settled::default() }
    }

    /// What is wanted of the events of a batch.
    pub(super) fn look(
        &mut self,
        reader: &mut BatchReader,
        batch: &Batch,
        known: &dyn Known,
    ) -> Wanted {
        let mut looking = Looking { looker: self, known, wanted: Wanted::new(), count: 0 };
        reader.read(batch, &mut looking);
        looking.wanted
    }
}

/// Kinds of events of whose text nothing more is to come: most events are of one, and needn't be decoded
/// to know that nothing is wanted of them.
#[derive(Debug, Default)]
struct Settled {
    /// By their numbers, which few kinds share.
    kinds: HashMap<(TextOf, EventDescriptor), Vec<Kind>>,
    /// How many kinds and parameters there are.
    count: usize,
}

/// What tells the text of events besides their numbers, and what their values refer to.
#[derive(Debug)]
struct Kind {
    names: [Option<Box<str>>; Kind::NAMES.len()],
    /// Those of which nothing more is to come.
    parameters: HashSet<u32>,
}

impl Kind {
    const NAMES: [Field; 3] = [Field::ProviderName, Field::ProviderGuid, Field::EventSourceName];

    fn is_of(&self, event: &impl PartialSource) -> bool {
        self.names.iter().zip(Kind::NAMES).all(|(name, field)| match name {
            Some(name) => event.known_field(field).is_text(name),
            None => event.known_field(field).is_null(),
        })
    }
}

impl Settled {
    /// Whether nothing is wanted of an event, as far as can be told without decoding it.
    fn has(&self, event: &impl PartialSource) -> bool {
        let Some(numbers) = numbers(event) else { return false };
        let kinds = self.kinds.get(&numbers);
        let kind = kinds.and_then(|kinds| kinds.iter().find(|kind| kind.is_of(event)));
        let Some(Kind { parameters, .. }) = kind else { return false };
        let is_settled = event.known_data(None, |value| {
            let mut is_settled = true;
            each_reference(&value, |number| is_settled &= parameters.contains(&number));
            if is_settled { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        !event.may_have_user_data() && is_settled.is_some_and(|flow| flow.is_continue())
    }

    fn add(
        &mut self,
        numbers: (TextOf, EventDescriptor),
        event: &impl FieldSource,
        parameters: &[u32],
    ) {
        // Events can say anything of themselves.
        if self.count >= MOST_KINDS {
            *self = Settled::default();
        }
        let kinds = self.kinds.entry(numbers).or_default();
        let place = kinds.iter().position(|kind| kind.is_of(event)).unwrap_or_else(|| {
            let text = |value: Value<'_>| (!value.is_null()).then(|| value.to_string().into());
            let names = Kind::NAMES.map(|field| text(event.field(field)));
            kinds.push(Kind { names, parameters: HashSet::new() });
            self.count += 1;
            kinds.len() - 1
        });
        for number in parameters {
            self.count += usize::from(kinds[place].parameters.insert(*number));
        }
    }
}

/// Finds what is wanted of the events of a batch.
struct Looking<'l> {
    looker: &'l mut Looker,
    known: &'l dyn Known,
    wanted: Wanted,
    count: usize,
}

impl Looking<'_> {
    fn look_at(&mut self, event: &impl FieldSource, name: &str) {
        let Some(numbers) = numbers(event) else { return };
        if name.is_empty() || name.len() > MAX_NAME {
            return;
        }
        let (message, descriptor) = numbers;
        let provider = match self.wanted.contains_key(name) {
            true => self.wanted.get_mut(name),
            false => Some(self.wanted.entry(name.to_owned()).or_default()),
        };
        let Some(provider) = provider else { return };
        provider.guid = provider.guid.or_else(|| event.field(Field::ProviderGuid).as_guid());
        let (known, guid, before) = (self.known, provider.guid, provider.texts.len());
        // Whoever has the message may lack what the values refer to, and the names.
        let has_message = known.is_in_catalogue(event, message);
        let is_known =
            |text| known.is_in_catalogue(event, text) || known.is_settled(name, guid, text);
        // Says whether nothing more is to come of a text.
        let mut want = |text| {
            let is_known = is_known(text);
            if !is_known {
                let example = || Example { event: descriptor, message };
                provider.texts.entry(text).or_insert_with(example);
            }
            is_known
        };
        let mut is_settled = has_message || want(message);
        names(&descriptor, &mut |text| is_settled &= want(text));
        // What is empty may be a number in other events.
        let (mut has_numbers, mut may_have_numbers) = (false, false);
        let (mut parameters, mut settled) = (0, Vec::new());
        let _ = AnyEvent::each_data(event, &mut |_, value| {
            match value {
                Value::Utf16(_) | Value::Str(_) | Value::Ansi(_) => {
                    may_have_numbers |= value.is_text("");
                    each_reference(&value, |number| {
                        parameters += 1;
                        if want(TextOf::Parameter(number)) {
                            settled.push(number);
                        }
                    });
                }
                Value::Null => may_have_numbers = true,
                Value::Guid(_) | Value::Sid(_) => {}
                _ => has_numbers = true,
            }
            match parameters < MOST_PARAMETERS {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        // Without a manifest an event has strings only.
        let is_described = matches!(message, TextOf::Event { qualifiers: None, .. });
        if !has_message && is_described {
            is_settled &= match has_numbers || event.has_more() {
                true => want(TextOf::Definitions),
                false => !may_have_numbers || is_known(TextOf::Definitions),
            };
        }
        self.count += provider.texts.len() - before;
        if is_settled {
            self.looker.settled.add(numbers, event, &settled);
        }
    }
}

impl Visitor for Looking<'_> {
    fn wants<T: PartialSource>(&mut self, event: &T) -> bool {
        let Looker { matcher, settled } = &mut *self.looker;
        self.count < MOST
            && !matcher.as_mut().is_some_and(|matcher| matcher.rules_out(event))
            && !settled.has(event)
    }

    fn event<T: FieldSource>(&mut self, event: &T, _: &str, _: Option<RecordId>) {
        if self.count < MOST {
            event.field(Field::ProviderName).with_text(|name| self.look_at(event, name));
        }
    }

    fn damage(&mut self, _: &Damage) {}
}

/// What an event's text is known by: its message, and its numbers.
fn numbers(event: &impl PartialSource) -> Option<(TextOf, EventDescriptor)> {
    Some((message(|field| event.known_field(field))?, descriptor(event)))
}

/// The message that an event has.
pub(super) fn of_event(event: &(impl AnyEvent + ?Sized)) -> Option<TextOf> {
    message(|field| event.field(field))
}

/// The message of an event that has these fields.
fn message<'e>(field: impl Fn(Field) -> Value<'e>) -> Option<TextOf> {
    let number = |of| field(of).as_u64();
    let id = number(Field::EventId).and_then(|id| u16::try_from(id).ok())?;
    let version = number(Field::Version).and_then(|version| u8::try_from(version).ok());
    let qualifiers = number(Field::Qualifiers).and_then(|q| u16::try_from(q).ok());
    Some(TextOf::Event { id, version: version.unwrap_or(0), qualifiers })
}

fn descriptor(event: &impl PartialSource) -> EventDescriptor {
    let number = |field| event.known_field(field).as_u64().unwrap_or(0);
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

/// The numbers of the `%%N` in a value. Few have one, and the others needn't be made text to know it.
fn each_reference(value: &Value<'_>, found: impl FnMut(u32)) {
    match value {
        Value::Utf16(text) if memchr::memmem::find(text.text_bytes(), b"%\0%\0").is_none() => {}
        Value::Utf16(_) | Value::Str(_) | Value::Ansi(_) => {
            value.with_text(|text| each_parameter(text, found));
        }
        _ => {}
    }
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

    /// A catalogue has the messages, and the text of one parameter.
    struct Catalogued;

    impl Known for Catalogued {
        fn is_in_catalogue(&self, _: &dyn AnyEvent, text: TextOf) -> bool {
            matches!(text, TextOf::Event { .. } | TextOf::Parameter(1833))
        }

        fn is_settled(&self, _: &str, _: Option<Guid>, text: TextOf) -> bool {
            text == TextOf::Task(9)
        }
    }

    fn event(task: &str, text: &str) -> Event {
        let element = |name: &str, text: &str| {
            let children = vec![Node::Text(text.to_owned())];
            Node::Element(Element { children, ..Element::new(name) })
        };
        let mut provider = Element::new("Provider");
        provider.attributes.push(("Name".to_owned(), "P".to_owned()));
        let mut system = Element::new("System");
        system.children =
            vec![Node::Element(provider), element("EventID", "1"), element("Task", task)];
        let mut data = Element::new("EventData");
        data.children = vec![element("Data", text)];
        let mut root = Element::new("Event");
        root.children = vec![Node::Element(system), Node::Element(data)];
        Event { root }
    }

    /// Looks at an event, if it has to be decoded for that, and says what is wanted.
    fn look(looker: &mut Looker, event: &Event) -> Option<HashSet<TextOf>> {
        let wanted = Wanted::new();
        let mut looking = Looking { looker, known: &Catalogued, wanted, count: 0 };
        Visitor::wants(&mut looking, event)
            .then(|| Visitor::event(&mut looking, event, "", None))?;
        Some(looking.wanted.remove("P")?.texts.into_keys().collect())
    }

    #[test]
    fn of_an_event_whose_message_is_known_the_rest_is_still_wanted() {
        let wanted = look(&mut Looker::new(None), &event("7", "%%1833 and %%1834"));
        assert_eq!(wanted, Some([TextOf::Task(7), TextOf::Parameter(1834)].into()));
    }

    #[test]
    fn of_a_kind_whose_text_has_come_only_events_that_refer_to_more_are_decoded() {
        let looker = &mut Looker::new(None);
        assert_eq!(look(looker, &event("9", "a %%1833")), Some(HashSet::new()));
        assert_eq!(look(looker, &event("9", "b")), None);
        assert_eq!(look(looker, &event("9", "%%1833 again")), None);
        let more = Some([TextOf::Parameter(1834)].into());
        assert_eq!(look(looker, &event("9", "%%1833 and %%1834")), more);
        // It hasn't come yet, and neither has the name of another task.
        assert_eq!(look(looker, &event("9", "%%1834")), more);
        let other = Some([TextOf::Task(7)].into());
        assert_eq!(look(looker, &event("7", "b")), other);
        assert_eq!(look(looker, &event("7", "b")), other);
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
