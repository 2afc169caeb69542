//! Message text for the events of a run: the catalogues in the data folder, and the display strings
//! that were saved beside an exported log.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quarry_event::MessageSource;
use quarry_message::{Catalogue, CatalogueKind, LanguageId, Mta, Sources};

use crate::args::{MessagesFrom, TextArgs};
use crate::catalogues::installed;
use crate::console::Console;
use crate::error::plain;

/// The longest `.MTA` file that is read, in bytes.
const MAX_MTA: u64 = 1 << 30;

/// What knows message text on this machine.
#[derive(Default)]
pub(crate) struct LocalTexts {
    from: MessagesFrom,
    catalogues: Vec<Arc<Catalogue>>,
    /// What serves every source that has nothing of its own.
    shared: Option<Arc<Sources>>,
}

impl LocalTexts {
    /// Opens the catalogues, of which little is read until it is needed. One that can't be read is
    /// left out with a warning.
    pub(crate) fn open(args: &TextArgs, console: &Console) -> Self {
        if args.messages == MessagesFrom::Never {
            return LocalTexts { from: MessagesFrom::Never, ..LocalTexts::default() };
        }
        let mut catalogues = Vec::new();
        for path in installed() {
            match Catalogue::open(&path) {
                Ok(catalogue) => catalogues.push(Arc::new(catalogue)),
                Err(quarry_message::Error::Io(e)) => {
                    console.warning(&format!("{}: {}", path.display(), plain(&e)));
                }
                Err(e) => console.warning(&format!("{}: {e}", path.display())),
            }
        }
        // Built catalogues before databases of others, and the newest build before older ones.
        catalogues.sort_by_key(|catalogue| {
            let info = catalogue.info();
            let numbers = info.build.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
            (info.kind != CatalogueKind::Foreign, numbers.collect::<Vec<_>>())
        });
        catalogues.reverse();
        let mut texts = LocalTexts { from: args.messages, catalogues, shared: None };
        let shared = texts.sources();
        texts.shared = texts.is_wanted(&shared).then(|| Arc::new(shared));
        texts
    }

    /// What knows text for any source.
    pub(crate) fn shared(&self) -> Option<Arc<dyn MessageSource>> {
        Some(Arc::clone(self.shared.as_ref()?) as _)
    }

    /// What knows text for the events of a file.
    pub(crate) fn of_file(&self, path: &Path, console: &Console) -> Option<Arc<dyn MessageSource>> {
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
        self.from == MessagesFrom::Local || !sources.is_empty()
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
