//! What is known of the texts of one build: what a catalogue of it has, and what was fetched in
//! this run.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use quarry_event::{
    AnyEvent, Field, Generation, Guid, MessageBy, MessageForm, MessageSource, NameOf, Recipe, Value,
};
use quarry_message::{
    Catalogue, CatalogueBuilder, CatalogueInfo, CatalogueKind, Error, LanguageId, Learned,
    ProviderTexts, Sources, TextOf,
};
use tokio::sync::Notify;

use super::wanted::of_event;

/// The most providers of a build that are kept.
const MAX_PROVIDERS: usize = 4096;

/// The texts of one build, shared by all servers of it.
pub(super) struct Store {
    info: CatalogueInfo,
    /// Where they are kept from one run to the next.
    path: Option<PathBuf>,
    /// What an earlier run has fetched.
    stored: Option<Catalogue>,
    known: RwLock<HashMap<String, Known>>,
    /// Texts that some server is being asked for.
    claimed: Mutex<HashSet<(String, TextOf)>>,
    /// Says that texts came, or that some are not being asked for any more.
    pub(super) changed: Notify,
    /// Whether something is to be saved.
    unsaved: Mutex<bool>,
    /// Another one whenever something came.
    generation: RwLock<Generation>,
}

/// What is known of a provider.
struct Known {
    learned: Learned,
    texts: Arc<ProviderTexts>,
    /// [`MessageBy::Catalogue`], or the server once something was fetched in this run.
    by: MessageBy,
}

impl Store {
    /// A store for a build. What `path` has of an earlier run is known already.
    pub(super) fn open(info: CatalogueInfo, path: Option<PathBuf>) -> Self {
        // What can't be read is fetched again, and written anew.
        let stored = path.as_deref().and_then(|path| Catalogue::open(path).ok());
        Store {
            stored: stored.filter(|stored| *stored.info() == info),
            info,
            path,
            known: RwLock::default(),
            claimed: Mutex::default(),
            changed: Notify::new(),
            unsaved: Mutex::new(false),
            generation: RwLock::new(Generation::next()),
        }
    }

    fn lookup<R>(&self, name: &str, guid: Option<Guid>, look: impl Fn(&Known) -> R) -> Option<R> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(name) {
            return Some(look(known));
        }
        drop(known);
        let stored = self.stored.as_ref()?.provider(name, guid)?;
        let learned = Learned::from_texts(&stored);
        let found = Known { learned, texts: stored, by: MessageBy::Catalogue };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        match known.len() < MAX_PROVIDERS {
            true => Some(look(known.entry(name.to_owned()).or_insert(found))),
            false => Some(look(&found)),
        }
    }

    fn texts_of(&self, event: &dyn AnyEvent) -> Option<(MessageBy, Arc<ProviderTexts>)> {
        let guid = event.field(Field::ProviderGuid).as_guid();
        let name = event.field(Field::ProviderName);
        name.with_text(|name| self.lookup(name, guid, |known| (known.by, Arc::clone(&known.texts))))
    }

    /// Looks at what is known of a provider.
    pub(super) fn look<R>(
        &self,
        name: &str,
        guid: Option<Guid>,
        look: impl Fn(&Learned) -> R,
    ) -> Option<R> {
        self.lookup(name, guid, |known| look(&known.learned))
    }

    /// Adds what was fetched of a provider.
    pub(super) fn learn(&self, name: &str, guid: Option<Guid>, add: impl FnOnce(&mut Learned)) {
        // What is stored of it comes first.
        let _ = self.lookup(name, guid, |_| ());
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if !known.contains_key(name) && known.len() >= MAX_PROVIDERS {
            return;
        }
        let one = known.entry(name.to_owned()).or_insert_with(|| {
            let learned = Learned::new(name, guid);
            Known { texts: Arc::new(learned.texts()), learned, by: MessageBy::Server }
        });
        add(&mut one.learned);
        one.texts = Arc::new(one.learned.texts());
        one.by = MessageBy::Server;
        *self.generation.write().unwrap_or_else(PoisonError::into_inner) = Generation::next();
        drop(known);
        *lock(&self.unsaved) = true;
    }

    /// Claims a text for whoever asks first. False where somebody else asks for it already.
    pub(super) fn claim(&self, name: &str, text: TextOf) -> bool {
        lock(&self.claimed).insert((name.to_owned(), text))
    }

    /// Gives a claim back: the text is known, or can't be had there.
    pub(super) fn release(&self, name: &str, text: TextOf) {
        lock(&self.claimed).remove(&(name.to_owned(), text));
    }

    /// Writes what was fetched into the catalogue, with what others have written there meanwhile.
    pub(super) fn save(&self) -> Result<(), (PathBuf, Error)> {
        let Some(path) = &self.path else { return Ok(()) };
        if !std::mem::take(&mut *lock(&self.unsaved)) {
            return Ok(());
        }
        let mut all: HashMap<String, Learned> = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.iter().map(|(name, one)| (name.clone(), one.learned.clone())).collect()
        };
        let written = Catalogue::open(path).ok().filter(|written| *written.info() == self.info);
        if let Some(written) = written {
            for (name, guid) in written.providers() {
                let Some(texts) = written.provider(name, guid) else { continue };
                let known = Learned::from_texts(&texts);
                match all.get_mut(name) {
                    Some(learned) => learned.merge(known),
                    None => drop(all.insert(name.to_owned(), known)),
                }
            }
        }
        self.write(path, all).map_err(|error| (path.clone(), error))
    }

    fn write(&self, path: &Path, all: HashMap<String, Learned>) -> Result<(), Error> {
        let mut builder = CatalogueBuilder::new();
        let mut all: Vec<Learned> = all.into_values().collect();
        all.sort_by(|a, b| a.name().cmp(b.name()));
        all.iter().for_each(|learned| learned.add_to(&mut builder));
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        // Whole or not at all, whoever else writes it at the same time.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        let mut to = BufWriter::new(file.as_file_mut());
        builder.write(self.info.clone(), &mut to)?;
        to.flush()?;
        drop(to);
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}

impl MessageSource for Store {
    fn message(&self, event: &dyn AnyEvent, out: &mut Vec<u8>) -> Option<MessageBy> {
        let (by, texts) = self.texts_of(event)?;
        texts.push_message(event, out).then_some(by)
    }

    fn name(&self, event: &dyn AnyEvent, of: NameOf, out: &mut Vec<u8>) -> bool {
        let Some((_, texts)) = self.texts_of(event) else { return false };
        let number = |field| event.field(field).as_u64();
        let small = |field| number(field).and_then(|number| u8::try_from(number).ok());
        let task = number(Field::Task).and_then(|task| u16::try_from(task).ok()).unwrap_or(0);
        let name = match of {
            NameOf::Level => small(Field::Level).and_then(|level| texts.level(level)),
            NameOf::Task => return texts.push_task(task, out),
            NameOf::Opcode => small(Field::Opcode).and_then(|opcode| texts.opcode(task, opcode)),
            NameOf::Keyword(mask) => texts.keywords(mask).next(),
        };
        name.map(|name| out.extend_from_slice(name.as_bytes())).is_some()
    }

    fn words(
        &self,
        event: &dyn AnyEvent,
        name: &str,
        value: &Value<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        self.texts_of(event).is_some_and(|(_, texts)| texts.push_words(event, name, value, out))
    }

    fn generation(&self) -> Option<Generation> {
        Some(*self.generation.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn recipe(&self, event: &dyn AnyEvent, form: MessageForm) -> Recipe {
        let found = self.texts_of(event);
        found.and_then(|(by, texts)| texts.recipe(by, event, form)).unwrap_or(Recipe::None)
    }

    fn awaits(&self, event: &dyn AnyEvent) -> bool {
        let Some(text) = of_event(event) else { return false };
        let claimed = lock(&self.claimed);
        let name = event.field(Field::ProviderName);
        !claimed.is_empty() && name.with_text(|name| claimed.contains(&(name.to_owned(), text)))
    }
}

/// What serves the events of a build's servers: the catalogues that there are, and the store.
pub(super) fn sources(store: &Arc<Store>, build: &str, catalogues: &[Arc<Catalogue>]) -> Sources {
    // The store has its own catalogue.
    let is_store = |info: &CatalogueInfo| {
        info.kind == CatalogueKind::Server && info.build == build && !build.is_empty()
    };
    let others = catalogues.iter().filter(|catalogue| !is_store(catalogue.info()));
    let none = Sources::new().with_server(Arc::clone(store) as _);
    // What isn't known to be of this build is of another one.
    let build = if build.is_empty() { "?" } else { build };
    others.fold(none, |sources, one| sources.with_catalogue(Arc::clone(one), Some(build)))
}

/// The name of a catalogue's file.
pub(super) fn file_name(of: &str, language: LanguageId) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '_' };
    let of: String = of.chars().take(100).map(plain).collect();
    format!("{of}-{language}-server.catalogue")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that panics happens under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
