//! Overrides: settings for whatever has a matching name, in the inventory or not.

use std::collections::HashMap;

use quarry_event::filter::Glob;

use super::ServerEntry;
use super::settings::Settings;

/// All overrides of an inventory.
#[derive(Clone, Default, Debug)]
pub(super) struct Overrides {
    /// In the order of the text.
    settings: Vec<Settings>,
    /// Which of them a name without wildcards has, by [`crate::name::key`]. A map, since a range
    /// may be large and a server is looked up often.
    by_key: HashMap<String, Vec<usize>>,
    /// The rest.
    globs: Vec<(Glob, usize)>,
}

impl Overrides {
    /// Adds an override after the others, for now for no name.
    pub(super) fn add(&mut self, settings: Settings) {
        self.settings.push(settings);
    }

    /// Makes the last override one for a name's key, too.
    pub(super) fn for_key(&mut self, key: String) {
        let last = self.settings.len() - 1;
        self.by_key.entry(key).or_default().push(last);
    }

    /// Makes the last override one for a glob, too.
    pub(super) fn for_glob(&mut self, glob: Glob) {
        self.globs.push((glob, self.settings.len() - 1));
    }

    pub(super) fn globs(&self) -> usize {
        self.globs.len()
    }

    /// Puts the settings of every override that a name has into its server, so that the last one
    /// wins.
    pub(super) fn apply(&self, key: &str, server: &mut ServerEntry) {
        let globs = self.globs.iter().filter(|(glob, _)| glob.is_match(key)).map(|&(_, at)| at);
        let mut all: Vec<usize> = self.by_key.get(key).into_iter().flatten().copied().collect();
        all.extend(globs);
        all.sort_unstable();
        for at in all {
            self.settings[at].apply(server);
        }
    }
}
