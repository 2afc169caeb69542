//! Message text of live servers, fetched beside the pipeline.
//!
//! No event costs a call. Before a batch of a server is decoded, what its events need is compared
//! with what is known of the server's build ([`store`]); what is missing is asked for once, each
//! text by itself, over a connection of its own ([`fetch`]), and kept as a template that later
//! events are filled into. The batch waits for it, for [`LiveOptions::patience`] at most; whatever
//! comes later serves the next one. So a server that is slow with its texts, refuses them or hangs
//! costs its own events their text, and nobody any time beyond that.
//!
//! Servers of one build share what was fetched, and none is asked for what another one is being
//! asked for. In [`LiveOptions::folder`] it is kept as a catalogue of that build, so that the next
//! run asks for nothing that this one was told.

mod all;
mod fetch;
mod server;
mod store;
mod wanted;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quarry_eventlog::{BatchReader, EventLog};
use quarry_message::{Catalogue, CatalogueInfo, CatalogueKind, Error, LanguageId, Sources};
use tokio::sync::Semaphore;

use crate::selection::Selection;
pub use all::{ServerCatalogue, read_server};
pub use server::ServerTexts;
use store::Store;

/// Connections for message text at once, over all servers.
const CONNECTIONS: usize = 64;

/// Decoders that are kept to be used again.
const MAX_SPARE: usize = 16;

/// How message text is fetched.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LiveOptions {
    /// Where what was fetched is kept as catalogues; nothing is kept without.
    pub folder: Option<PathBuf>,
    /// The language of the texts. A server that lacks it gives its own.
    pub language: LanguageId,
    /// The longest that a batch waits for its text.
    pub patience: Duration,
    /// Catalogues that there are already.
    pub catalogues: Vec<Arc<Catalogue>>,
}

impl Default for LiveOptions {
    /// English, two seconds; nothing is kept.
    fn default() -> Self {
        LiveOptions {
            folder: None,
            language: LanguageId::ENGLISH,
            patience: Duration::from_secs(2),
            catalogues: Vec::new(),
        }
    }
}

/// A server without message text, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoTexts {
    /// What the user calls the server.
    pub source: String,
    /// Why there is no text.
    pub why: String,
}

/// The message text of all servers of a run. Clones are the same.
#[derive(Clone)]
pub struct LiveTexts(Arc<Shared>);

impl std::fmt::Debug for LiveTexts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveTexts").field("options", &self.0.options).finish_non_exhaustive()
    }
}

struct Shared {
    options: LiveOptions,
    stores: Mutex<HashMap<String, Arc<Opened>>>,
    connections: Semaphore,
    without: Mutex<Vec<NoTexts>>,
    spare: Mutex<Vec<BatchReader>>,
}

/// What serves the servers of a build.
struct Opened {
    store: Arc<Store>,
    /// The catalogues of the build, the store, and other catalogues, in this order.
    sources: Sources,
}

impl LiveTexts {
    /// Nothing is fetched until a batch needs it.
    pub fn new(options: LiveOptions) -> Self {
        LiveTexts(Arc::new(Shared {
            options,
            stores: Mutex::default(),
            connections: Semaphore::new(CONNECTIONS),
            without: Mutex::default(),
            spare: Mutex::default(),
        }))
    }

    /// The texts of a server, for the events that pass a selection.
    pub fn of_server(
        &self,
        source: Arc<dyn quarry_fleet::Source>,
        selection: &Selection,
    ) -> Arc<ServerTexts> {
        ServerTexts::new(Arc::clone(&self.0), source, selection)
    }

    /// The servers that turned out to have no message text since this was last asked.
    pub fn without_texts(&self) -> Vec<NoTexts> {
        std::mem::take(&mut *lock(&self.0.without))
    }

    /// Writes what was fetched into the catalogues of the builds.
    ///
    /// # Errors
    /// For each catalogue that can't be written, its path and why. What was fetched is lost to the
    /// next run then, and not to this one.
    pub fn save(&self) -> Vec<(PathBuf, Error)> {
        let stores: Vec<_> = lock(&self.0.stores).values().cloned().collect();
        stores.iter().filter_map(|opened| opened.store.save().err()).collect()
    }
}

impl Shared {
    /// What serves a server: that of its build, or its own where it doesn't say its build.
    fn open(&self, log: &dyn EventLog) -> Arc<Opened> {
        let build = log.build();
        let key = build.clone().unwrap_or_else(|| log.source().to_owned());
        let mut stores = lock(&self.stores);
        let opened = stores.entry(key).or_insert_with_key(|key| {
            let LiveOptions { folder, language, catalogues, .. } = &self.options;
            let build = build.unwrap_or_default();
            let info = CatalogueInfo {
                build: build.clone(),
                language: *language,
                kind: CatalogueKind::Server,
            };
            let file = |folder: &PathBuf| folder.join(store::file_name(key, *language));
            let store = Arc::new(Store::open(info, folder.as_ref().map(file)));
            let sources = store::sources(&store, &build, catalogues);
            Arc::new(Opened { store, sources })
        });
        Arc::clone(opened)
    }

    /// Uses a decoder.
    fn read<R>(&self, read: impl FnOnce(&mut BatchReader) -> R) -> R {
        let mut reader = lock(&self.spare).pop().unwrap_or_default();
        let result = read(&mut reader);
        let mut spare = lock(&self.spare);
        if spare.len() < MAX_SPARE {
            spare.push(reader);
        }
        result
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that panics happens under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
