//! Where an event's text is looked for, in order: the `.MTA` file beside its log, the catalogues of
//! its build, the server that has it, other catalogues.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use quarry_event::{AnyEvent, Field, Guid, MessageBy, MessageSource, NameOf, Value};

use crate::catalogue::{Catalogue, CatalogueKind};
use crate::provider::ProviderTexts;
use crate::{Mta, standard, status};

/// Everything that knows text for the events of one source.
///
/// Text that an event carries itself (`<RenderingInfo>`) comes before all of these; whoever prints
/// it has it at hand.
#[derive(Default)]
pub struct Sources {
    mta: Option<Arc<Mta>>,
    catalogues: Vec<Arc<Catalogue>>,
    server: Option<Arc<dyn MessageSource>>,
    others: Vec<Arc<Catalogue>>,
    /// What was found for a provider's name, and the identifier that went with it.
    found: RwLock<HashMap<String, (Option<Guid>, ProviderSources)>>,
}

/// The texts of a provider, in the order in which they are asked: those of the build, the others.
type ProviderSources = Arc<[(MessageBy, Arc<ProviderTexts>)]>;

/// The most names of providers that are kept. Names are from events, which can say anything.
const MAX_NAMES: usize = 4096;

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources")
            .field("mta", &self.mta.is_some())
            .field("catalogues", &self.catalogues)
            .field("server", &self.server.is_some())
            .field("others", &self.others)
            .finish_non_exhaustive()
    }
}

impl Sources {
    /// No text but the standard's names and words.
    pub fn new() -> Self {
        Self::default()
    }

    /// With the display strings that were saved with the log.
    #[must_use]
    pub fn with_mta(self, mta: Arc<Mta>) -> Self {
        Sources { mta: Some(mta), ..self }
    }

    /// With a server that renders its events itself.
    #[must_use]
    pub fn with_server(self, server: Arc<dyn MessageSource>) -> Self {
        Sources { server: Some(server), ..self }
    }

    /// With a catalogue: of the events' own build (`build`, as in [`CatalogueInfo`]), where that is
    /// known, or of another one. Without a build to compare, one that was built of provider files
    /// counts as the right one.
    ///
    /// [`CatalogueInfo`]: crate::CatalogueInfo
    #[must_use]
    pub fn with_catalogue(mut self, catalogue: Arc<Catalogue>, build: Option<&str>) -> Self {
        let info = catalogue.info();
        let same_build = build.is_none_or(|build| build == info.build);
        match info.kind {
            CatalogueKind::Foreign => self.others.push(catalogue),
            _ if same_build => self.catalogues.push(catalogue),
            _ => self.others.push(catalogue),
        }
        self
    }

    /// Whether there is nothing that knows messages.
    pub fn is_empty(&self) -> bool {
        self.mta.is_none()
            && self.server.is_none()
            && self.catalogues.is_empty()
            && self.others.is_empty()
    }

    /// Whether the saved display strings or a catalogue of the events' own build have an event's
    /// message: then nobody else has to be asked.
    pub fn knows_message(&self, event: &dyn AnyEvent) -> bool {
        let has_text = |(by, texts): &(MessageBy, Arc<ProviderTexts>)| {
            *by != MessageBy::Foreign && texts.text_of(event).is_some()
        };
        self.mta.is_some() || self.texts(event).iter().any(has_text)
    }

    /// What the catalogues have of an event's provider.
    fn texts(&self, event: &dyn AnyEvent) -> ProviderSources {
        let name = event.field(Field::ProviderName);
        let guid = match event.field(Field::ProviderGuid) {
            Value::Guid(guid) => Some(guid),
            Value::Null => None,
            text => text.with_text(Guid::parse),
        };
        name.with_text(|name| {
            let found = self.found.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((known, texts)) = found.get(name)
                && *known == guid
            {
                return Arc::clone(texts);
            }
            drop(found);
            let texts = self.find(name, guid, event);
            let mut found = self.found.write().unwrap_or_else(PoisonError::into_inner);
            if found.len() < MAX_NAMES {
                found.entry(name.to_owned()).or_insert_with(|| (guid, Arc::clone(&texts)));
            }
            texts
        })
    }

    fn find(&self, name: &str, guid: Option<Guid>, event: &dyn AnyEvent) -> ProviderSources {
        let of = |by: MessageBy, catalogues: &[Arc<Catalogue>]| {
            let found = catalogues.iter().filter_map(|catalogue| {
                // An event of the classic API may name its source apart from its provider.
                let source = || {
                    let source = event.field(Field::EventSourceName);
                    source.with_text(|source| catalogue.provider(source, None))
                };
                Some((by, catalogue.provider(name, guid).or_else(source)?))
            });
            found.collect::<Vec<_>>()
        };
        let mut texts = of(MessageBy::Catalogue, &self.catalogues);
        texts.extend(of(MessageBy::Foreign, &self.others));
        texts.into()
    }
}

impl MessageSource for Sources {
    fn message(&self, event: &dyn AnyEvent, out: &mut Vec<u8>) -> Option<MessageBy> {
        if let Some(mta) = &self.mta
            && let Some(record) = event.field(Field::RecordId).as_u64()
            && let Some(text) = mta.message(record)
        {
            out.extend_from_slice(text.as_bytes());
            return Some(MessageBy::Mta);
        }
        let texts = self.texts(event);
        let push = |by: MessageBy, out: &mut Vec<u8>| {
            let mut ours = texts.iter().filter(|(their, _)| *their == by);
            ours.any(|(_, texts)| texts.push_message(event, out)).then_some(by)
        };
        push(MessageBy::Catalogue, out)
            .or_else(|| self.server.as_ref()?.message(event, out))
            .or_else(|| push(MessageBy::Foreign, out))
    }

    fn name(&self, event: &dyn AnyEvent, of: NameOf, out: &mut Vec<u8>) -> bool {
        let number = |field| event.field(field).as_u64();
        let task = number(Field::Task).and_then(|task| u16::try_from(task).ok()).unwrap_or(0);
        let small = |field| number(field).and_then(|number| u8::try_from(number).ok());
        if let Some(mta) = &self.mta {
            let provider = event.field(Field::ProviderName).to_string();
            let name = match of {
                // Event Viewer's list shows the standard's word for a level.
                NameOf::Level => None,
                NameOf::Task => mta.task(&provider, task),
                NameOf::Opcode => {
                    small(Field::Opcode).and_then(|opcode| mta.opcode(&provider, task, opcode))
                }
                NameOf::Keyword(mask) => mta.keywords(&provider, mask).into_iter().next(),
            };
            if let Some(name) = name {
                out.extend_from_slice(name.as_bytes());
                return true;
            }
        }
        let push = |name: Option<&str>, out: &mut Vec<u8>| {
            name.map(|name| out.extend_from_slice(name.as_bytes())).is_some()
        };
        let texts = self.texts(event);
        let known = texts.iter().any(|(_, texts)| match of {
            NameOf::Level => push(small(Field::Level).and_then(|level| texts.level(level)), out),
            NameOf::Task => texts.push_task(task, out),
            NameOf::Opcode => {
                push(small(Field::Opcode).and_then(|opcode| texts.opcode(task, opcode)), out)
            }
            NameOf::Keyword(mask) => push(texts.keywords(mask).next(), out),
        });
        if known || self.server.as_ref().is_some_and(|server| server.name(event, of, out)) {
            return true;
        }
        match of {
            NameOf::Level => push(small(Field::Level).and_then(standard::level), out),
            NameOf::Task => push(standard::task(task), out),
            NameOf::Opcode => push(small(Field::Opcode).and_then(standard::opcode), out),
            NameOf::Keyword(mask) => push(standard::keyword(mask), out),
        }
    }

    fn awaits(&self, event: &dyn AnyEvent) -> bool {
        let Some(server) = &self.server else { return false };
        server.awaits(event) && !self.knows_message(event)
    }

    fn words(
        &self,
        event: &dyn AnyEvent,
        name: &str,
        value: &Value<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        if self.texts(event).iter().any(|(_, texts)| texts.push_words(event, name, value, out))
            || self.server.as_ref().is_some_and(|server| server.words(event, name, value, out))
        {
            return true;
        }
        let Some(number) = value.as_u64().and_then(|number| u32::try_from(number).ok()) else {
            return false;
        };
        let words = match name {
            "LogonType" => standard::logon_type(number),
            // A field of this name may have codes of other kinds too, but no other errors of them
            // have the two highest bits set.
            "Status" | "SubStatus" if number >= 0xc000_0000 => status::ntstatus(number),
            _ => None,
        };
        words.map(|words| out.extend_from_slice(words.as_bytes())).is_some()
    }
}
