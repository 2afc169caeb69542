//! Where an event's text is looked for, in order: the `.MTA` file beside its log, the catalogues of
//! its build, the server that has it, other catalogues.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use quarry_event::text::Plain;
use quarry_event::{
    AnyEvent, Field, Generation, Guid, MessageBy, MessageForm, MessageSource, NameOf, Recipe, Value,
};

use crate::catalogue::{Catalogue, CatalogueKind};
use crate::learned::TextOf;
use crate::provider::ProviderTexts;
use crate::recipe::Saved;
use crate::{Mta, standard, status};

/// Everything that knows text for the events of one source.
///
/// Text that an event carries itself (`<RenderingInfo>`) comes before all of these; whoever prints
/// it has it at hand.
pub struct Sources {
    generation: Generation,
    mta: Option<Arc<Mta>>,
    catalogues: Vec<(Trust, Arc<Catalogue>)>,
    server: Option<Arc<dyn MessageSource>>,
    /// What was found for a provider's name, and the identifier that went with it.
    found: RwLock<HashMap<String, (Option<Guid>, ProviderSources)>>,
}

impl Default for Sources {
    fn default() -> Self {
        Sources {
            generation: Generation::next(),
            mta: None,
            catalogues: Vec::new(),
            server: None,
            found: RwLock::default(),
        }
    }
}

/// The texts of a provider, in the order in which the catalogues were added.
type ProviderSources = Arc<[(Trust, Arc<ProviderTexts>)]>;

/// What is known of a catalogue's build, beside that of the events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trust {
    /// It is the same.
    Same,
    /// That of the events isn't known, as those of files: each event shows by its template whether it
    /// is of that build.
    Unknown,
    /// It is another one, or nobody knows.
    Other,
}

impl Trust {
    /// Who knows an event's message, where this catalogue has it.
    fn of(self, texts: &ProviderTexts, event: &dyn AnyEvent) -> MessageBy {
        match self {
            Trust::Same => MessageBy::Catalogue,
            Trust::Unknown if texts.has_template_of(event) => MessageBy::Catalogue,
            Trust::Unknown | Trust::Other => MessageBy::Foreign,
        }
    }
}

/// The texts that are asked for an event as those of its build, or as others.
fn texts_by<'s>(
    texts: &'s ProviderSources,
    event: &'s dyn AnyEvent,
    by: MessageBy,
) -> impl Iterator<Item = &'s Arc<ProviderTexts>> {
    texts.iter().filter(move |(trust, texts)| trust.of(texts, event) == by).map(|(_, texts)| texts)
}

/// The texts that know names and words for an event, those of its build first.
fn all_texts<'s>(
    texts: &'s ProviderSources,
    event: &'s dyn AnyEvent,
) -> impl Iterator<Item = &'s Arc<ProviderTexts>> {
    let by = |by| texts_by(texts, event, by);
    by(MessageBy::Catalogue).chain(by(MessageBy::Foreign))
}

/// The most names of providers that are kept. Names are from events, which can say anything.
const MAX_NAMES: usize = 4096;

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources")
            .field("mta", &self.mta.is_some())
            .field("catalogues", &self.catalogues)
            .field("server", &self.server.is_some())
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
        Sources { generation: Generation::next(), mta: Some(mta), ..self }
    }

    /// With a server that renders its events itself.
    #[must_use]
    pub fn with_server(self, server: Arc<dyn MessageSource>) -> Self {
        Sources { generation: Generation::next(), server: Some(server), ..self }
    }

    /// With a catalogue: of the events' own build (`build`, as in [`CatalogueInfo`]), where that is
    /// known, or of another one. Without a build to compare, an event decides: one that was
    /// written with the template that the catalogue has for it is of that build.
    ///
    /// [`CatalogueInfo`]: crate::CatalogueInfo
    #[must_use]
    pub fn with_catalogue(mut self, catalogue: Arc<Catalogue>, build: Option<&str>) -> Self {
        self.generation = Generation::next();
        self.found = RwLock::default();
        let info = catalogue.info();
        let trust = match (info.kind, build) {
            (CatalogueKind::Foreign, _) => Trust::Other,
            (_, None) => Trust::Unknown,
            (_, Some(build)) if build == info.build => Trust::Same,
            (_, Some(_)) => Trust::Other,
        };
        self.catalogues.push((trust, catalogue));
        self
    }

    /// Whether there is nothing that knows messages.
    pub fn is_empty(&self) -> bool {
        self.mta.is_none() && self.server.is_none() && self.catalogues.is_empty()
    }

    /// Whether the saved display strings or a catalogue of the events' own build have an event's
    /// message: then nobody else has to be asked.
    pub fn knows_message(&self, event: &dyn AnyEvent) -> bool {
        let texts = self.texts(event);
        let mut ours = texts_by(&texts, event, MessageBy::Catalogue);
        self.mta.is_some() || ours.any(|texts| texts.text_of(event).is_some())
    }

    /// Whether the saved display strings or a catalogue of the events' own build have a text of an
    /// event: then nobody else has to be asked for it.
    pub fn knows(&self, event: &dyn AnyEvent, text: TextOf) -> bool {
        let task = |texts: &ProviderTexts, task| texts.push_task(task, &mut Vec::new());
        let has_text = |texts: &Arc<ProviderTexts>| match text {
            TextOf::Parameter(number) => texts.push_parameter(number, &mut Vec::new()),
            TextOf::Level(level) => texts.level(level).is_some(),
            TextOf::Task(number) => task(texts, number),
            TextOf::Opcode { task, opcode } => texts.opcode(task, opcode).is_some(),
            TextOf::Keyword(mask) => texts.keywords(mask).next().is_some(),
            TextOf::Event { .. } | TextOf::Definitions => texts.text_of(event).is_some(),
        };
        let texts = self.texts(event);
        let mut ours = texts_by(&texts, event, MessageBy::Catalogue);
        self.mta.is_some() || ours.any(has_text)
    }

    /// What the catalogues have of an event's provider.
    fn texts(&self, event: &dyn AnyEvent) -> ProviderSources {
        let name = event.field(Field::ProviderName);
        let guid = event.field(Field::ProviderGuid).as_guid();
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
        let found = self.catalogues.iter().filter_map(|(trust, catalogue)| {
            // An event of the classic API may name its source apart from its provider.
            let source = || {
                let source = event.field(Field::EventSourceName);
                source.with_text(|source| catalogue.provider(source, None))
            };
            Some((*trust, catalogue.provider(name, guid).or_else(source)?))
        });
        found.collect()
    }
}

impl MessageSource for Sources {
    fn message(&self, event: &dyn AnyEvent, out: &mut Vec<u8>) -> Option<MessageBy> {
        if let Some(mta) = &self.mta
            && let Some(record) = event.field(Field::RecordId).as_u64()
            && let Some(text) = mta.text(record)
        {
            text.push::<Plain>(out);
            return Some(MessageBy::Mta);
        }
        let texts = self.texts(event);
        let push = |by: MessageBy, out: &mut Vec<u8>| {
            texts_by(&texts, event, by).any(|texts| texts.push_message(event, out)).then_some(by)
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
        let known = all_texts(&texts, event).any(|texts| match of {
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
            // Where names are looked for, as Event Viewer shows one that isn't there.
            NameOf::Task if !self.is_empty() => push(Some(&standard::unnamed(task)), out),
            NameOf::Task => push(standard::task(task), out),
            NameOf::Opcode => push(small(Field::Opcode).and_then(standard::opcode), out),
            NameOf::Keyword(mask) => push(standard::keyword(mask), out),
        }
    }

    fn generation(&self) -> Option<Generation> {
        match &self.server {
            None => Some(self.generation),
            Some(server) => Some(self.generation.with(server.generation()?)),
        }
    }

    fn recipe(&self, event: &dyn AnyEvent, form: MessageForm) -> Recipe {
        if let Some(mta) = &self.mta {
            // What it lacks is asked for.
            return Recipe::Made(MessageBy::Mta, Box::new(Saved(Arc::clone(mta), form)));
        }
        let texts = self.texts(event);
        let made = |by: MessageBy| {
            texts_by(&texts, event, by).find_map(|texts| texts.recipe(by, event, form))
        };
        let by_server = || {
            let recipe = self.server.as_ref()?.recipe(event, form);
            (!matches!(recipe, Recipe::None)).then_some(recipe)
        };
        made(MessageBy::Catalogue)
            .or_else(by_server)
            .or_else(|| made(MessageBy::Foreign))
            .unwrap_or(Recipe::None)
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
        let by_catalogue = |out: &mut Vec<u8>| {
            let texts = self.texts(event);
            all_texts(&texts, event).any(|texts| texts.push_words(event, name, value, out))
        };
        if !self.catalogues.is_empty() && by_catalogue(out)
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
