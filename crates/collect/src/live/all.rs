//! Everything that a server knows of its publishers' texts, as a catalogue.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _};
use quarry_eventlog::{EventDescriptor, EventLog, EventMetadata, LogError, Publisher, Rendering};
use quarry_message::{
    Asked, Catalogue, CatalogueBuilder, CatalogueInfo, CatalogueKind, LanguageId, Learned, TextOf,
};

use super::fetch::{CALLS, is_refusal, name};
use super::wanted::names;

/// What a server told.
#[derive(Debug)]
#[non_exhaustive]
pub struct ServerCatalogue {
    /// The texts, by the publishers' names.
    pub publishers: BTreeMap<String, Learned>,
    /// What they are of.
    pub info: CatalogueInfo,
    /// Publishers that the server has and says nothing about, and why.
    pub failures: Vec<(String, LogError)>,
}

impl ServerCatalogue {
    /// Adds what a catalogue of the same has besides, such as the messages of events without a
    /// definition. One of something else adds nothing.
    pub fn add(&mut self, known: &Catalogue) {
        if *known.info() != self.info {
            return;
        }
        for (name, guid) in known.providers() {
            if let Some(texts) = known.provider(name, guid) {
                let learned = Learned::from_texts(&texts);
                self.publishers.entry(name.to_owned()).or_default().merge(learned);
            }
        }
    }

    /// The catalogue, to be written.
    pub fn builder(&self) -> CatalogueBuilder {
        let mut builder = CatalogueBuilder::new();
        self.publishers.values().for_each(|learned| learned.add_to(&mut builder));
        builder
    }
}

/// Reads the message of each event that a server's publishers define, and the names of their
/// levels, tasks, opcodes and keywords: a call for each, eight at a time. Events without a
/// definition are only asked for when they come.
///
/// # Errors
/// [`LogError`]: the server has no texts, or its connection was lost.
pub async fn read_server(
    log: &dyn EventLog,
    language: LanguageId,
) -> Result<ServerCatalogue, LogError> {
    let publishers = log.publishers().await?;
    let calls = log.calls_at_once().clamp(1, CALLS);
    let read = |publisher: String| async move {
        let read = read_publisher(log, &publisher, language).await;
        (publisher, read)
    };
    let mut reading = stream::iter(publishers.into_iter().map(read)).buffer_unordered(calls);
    let (mut all, mut failures) = (BTreeMap::new(), Vec::new());
    while let Some((publisher, read)) = reading.next().await {
        match read {
            Ok(Some(learned)) => drop(all.insert(publisher, learned)),
            Ok(None) => {}
            Err(error) if is_refusal(&error) => failures.push((publisher, error)),
            Err(error) => return Err(error),
        }
    }
    let build = log.build().unwrap_or_default();
    let info = CatalogueInfo { build, language, kind: CatalogueKind::Server };
    Ok(ServerCatalogue { publishers: all, info, failures })
}

/// What a server knows of a publisher; nothing where that is nothing.
async fn read_publisher(
    log: &dyn EventLog,
    publisher: &str,
    language: LanguageId,
) -> Result<Option<Learned>, LogError> {
    let Some(open) = log.publisher(publisher, language.0.into()).await? else { return Ok(None) };
    let read = read_events(&*open, publisher).await;
    open.close().await;
    read.map(|learned| learned.has_event().then_some(learned))
}

async fn read_events(publisher: &dyn Publisher, name: &str) -> Result<Learned, LogError> {
    let mut learned = Learned::new(name, None);
    let values = Asked::values();
    let mut asked = BTreeSet::new();
    for EventMetadata { descriptor: event, template, .. } in publisher.events().await? {
        let of = TextOf::Event { id: event.id, version: event.version, qualifiers: None };
        match publisher.render(Rendering::Event, event, &values).await? {
            Some(text) => learned.add(of, Asked::message(&text)),
            None => learned.add_absent(of),
        }
        learned.add_template(event.id, event.version, &template);
        add_names(&mut learned, publisher, event, &mut asked).await?;
    }
    learned.add_absent(TextOf::Definitions);
    Ok(learned)
}

/// Adds the names of an event's numbers that weren't asked for yet.
async fn add_names(
    learned: &mut Learned,
    publisher: &dyn Publisher,
    event: EventDescriptor,
    asked: &mut BTreeSet<TextOf>,
) -> Result<(), LogError> {
    let mut wanted = Vec::new();
    names(&event, &mut |of| wanted.push(of));
    for of in wanted {
        if !asked.insert(of) {
            continue;
        }
        match name(publisher, event, of).await? {
            Some(text) => learned.add(of, text),
            None => learned.add_absent(of),
        }
    }
    Ok(())
}
