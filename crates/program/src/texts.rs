//! Message text for the events of a run: the catalogues in the data folder, the display strings
//! that were saved beside an exported log, and the servers themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quarry_collect::{FleetInput, LiveOptions, LiveTexts, NoTexts, Selection};
use quarry_event::MessageSource;
use quarry_message::{Catalogue, CatalogueKind, LanguageId, Mta, Sources};

use crate::args::{MessagesFrom, TextArgs};
use crate::catalogues::{data_folder, in_folder};
use crate::console::Console;
use crate::error::plain;
use crate::servers::Server;

/// The longest `.MTA` file that is read, in bytes.
const MAX_MTA: u64 = 1 << 30;

/// What knows message text for the sources of a run.
#[derive(Default)]
pub struct RunTexts {
    from: MessagesFrom,
    catalogues: Vec<Arc<Catalogue>>,
    /// What serves every source that has nothing of its own.
    shared: Option<Arc<Sources>>,
    /// What fetches the servers' own text, where that is wanted.
    live: Option<LiveTexts>,
    patience: Duration,
}

impl RunTexts {
    /// Opens the catalogues, of which little is read until it is needed. One that can't be read is
    /// left out with a warning. Servers are asked where text `is_shown` or searched.
    pub fn open(args: &TextArgs, is_shown: bool, console: &Console) -> Self {
        let (from, patience) = (args.messages, args.message_timeout);
        if from == MessagesFrom::Never {
            return RunTexts { from, ..RunTexts::default() };
        }
        let folder = args.folder.clone().or_else(data_folder);
        let mut catalogues = Vec::new();
        for path in folder.as_deref().map_or_else(Vec::new, in_folder) {
            match Catalogue::open(&path) {
                Ok(catalogue) => catalogues.push(Arc::new(catalogue)),
                Err(quarry_message::Error::Io(e)) => {
                    console.warning(&format!("{}: {}", path.display(), plain(&e)));
                }
                Err(e) => console.warning(&format!("{}: {e}", path.display())),
            }
        }
        // Built catalogues before databases of others, English before other languages, and the newest
        // build before older ones.
        catalogues.sort_by_key(|catalogue| {
            let info = catalogue.info();
            let numbers = info.build.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
            let is_english = info.language == LanguageId::ENGLISH;
            (info.kind != CatalogueKind::Foreign, is_english, numbers.collect::<Vec<_>>())
        });
        catalogues.reverse();
        let mut texts = RunTexts { from, catalogues, shared: None, live: None, patience };
        let shared = texts.sources();
        texts.shared = texts.is_wanted(&shared).then(|| Arc::new(shared));
        if is_shown && matches!(from, MessagesFrom::Auto | MessagesFrom::Server) {
            let mut options = LiveOptions::default();
            options.folder = folder;
            options.patience = patience;
            options.catalogues = texts.catalogues.clone();
            texts.live = Some(LiveTexts::new(options));
        }
        texts
    }

    /// Has the standard's words beside values where nothing else knows text, unless none are wanted: for
    /// output that people read.
    #[must_use]
    pub fn with_standard_words(mut self, is_for_people: bool) -> Self {
        if is_for_people && self.are_wanted() && self.shared.is_none() {
            self.shared = Some(Arc::new(Sources::new()));
        }
        self
    }

    /// A server, or this machine, with what knows text for its events.
    pub fn server(&self, server: Server, selection: &Arc<Selection>) -> FleetInput {
        let input = FleetInput::server(Arc::clone(&server), Arc::clone(selection));
        match &self.live {
            Some(live) if !server.is_this_machine() => {
                input.with_live_texts(live.of_server(server, selection))
            }
            _ => input.with_texts(self.shared()),
        }
    }

    /// What fetches the servers' own text, where that is wanted.
    pub fn live(&self) -> Option<&LiveTexts> {
        self.live.as_ref()
    }

    /// The servers that turned out to have no text since this was last asked.
    pub fn without_texts(&self) -> Vec<NoTexts> {
        self.live.as_ref().map(LiveTexts::without_texts).unwrap_or_default()
    }

    /// How long a batch waits for its text.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Whether text is wanted at all.
    pub fn are_wanted(&self) -> bool {
        self.from != MessagesFrom::Never
    }

    /// Keeps what servers have sent for the next run.
    pub fn save(&self, console: &Console) {
        for (path, error) in self.live.iter().flat_map(LiveTexts::save) {
            let why = match &error {
                quarry_message::Error::Io(error) => plain(error),
                error => error.to_string(),
            };
            console.warning(&format!("message text is not kept: {}: {why}", path.display()));
        }
    }

    /// What knows text for any source.
    pub fn shared(&self) -> Option<Arc<dyn MessageSource>> {
        Some(Arc::clone(self.shared.as_ref()?) as _)
    }

    /// What knows text for the events of a file.
    pub fn of_file(&self, path: &Path, console: &Console) -> Option<Arc<dyn MessageSource>> {
        if self.from == MessagesFrom::Never {
            return None;
        }
        let Some(saved) = display_strings(path) else { return self.shared() };
        let read = || -> Result<Mta, quarry_message::Error> {
            let len = fs::metadata(&saved)?.len();
            if len > MAX_MTA {
                return Err(quarry_message::Error::Limit { what: "bytes", limit: MAX_MTA });
            }
            Mta::read(fs::read(&saved)?)
        };
        match read() {
            Ok(mta) => Some(Arc::new(self.sources().with_mta(Arc::new(mta)))),
            Err(e) => {
                console.warning(&format!("{}: {e}", saved.display()));
                self.shared()
            }
        }
    }

    fn sources(&self) -> Sources {
        let all = self.catalogues.iter().cloned();
        all.fold(Sources::new(), |sources, catalogue| sources.with_catalogue(catalogue, None))
    }

    fn is_wanted(&self, sources: &Sources) -> bool {
        matches!(self.from, MessagesFrom::Local | MessagesFrom::Server) || !sources.is_empty()
    }
}

/// The `.MTA` file beside an exported log: `LocaleMetaData/NAME_LCID.MTA`, the English one of several.
fn display_strings(log: &Path) -> Option<PathBuf> {
    let stem = log.file_stem()?.to_string_lossy().to_lowercase();
    let parent = match log.parent()? {
        empty if empty.as_os_str().is_empty() => Path::new("."),
        parent => parent,
    };
    let mut found: Vec<(bool, PathBuf)> = fs::read_dir(parent.join("LocaleMetaData"))
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().to_lowercase();
            let language = name.strip_suffix(".mta")?.strip_prefix(&*stem)?.strip_prefix('_')?;
            let language: u16 = language.parse().ok()?;
            Some((language != LanguageId::ENGLISH.0, entry.path()))
        })
        .collect();
    found.sort();
    found.into_iter().next().map(|(_, path)| path)
}
