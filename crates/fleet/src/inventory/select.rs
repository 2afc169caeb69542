//! Selecting servers by a text: a group, a glob, a range or a name.

use quarry_event::filter::{FilterError, Glob};

use super::Inventory;
use super::error::SelectError;
use super::limits::MAX_GLOBS;
use super::settings::brief;
use crate::name;
use crate::pattern::Pattern;

/// A glob on servers' keys, so that case doesn't count.
pub(super) fn glob(text: &str) -> Result<Glob, FilterError> {
    // As it is written first: what is wrong is told with its place there.
    Glob::parse(text)?;
    Glob::parse(&text.to_lowercase())
}

impl Inventory {
    /// The places of the servers that a text selects, in order and each once.
    pub(super) fn find(&self, text: &str) -> Result<Vec<usize>, SelectError> {
        if let Some(group) = text.strip_prefix('@') {
            return self.find_group(group);
        }
        let mut found = match self.names(text)? {
            Some(names) => {
                names.iter().map(|name| self.find_name(name)).collect::<Result<Vec<_>, _>>()?
            }
            None => self.find_globs(text)?,
        };
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// The names that a text is or has in a range; `None` if it selects by group or glob.
    pub(super) fn names(&self, text: &str) -> Result<Option<Vec<String>>, SelectError> {
        if text.starts_with('@') {
            return Ok(None);
        }
        let pattern = Pattern::parse(text).map_err(|error| SelectError::Range(error.problem))?;
        let mut names = Vec::with_capacity(pattern.count());
        for name in pattern.names() {
            if name::is_glob(&name) {
                return Ok(None);
            }
            name::check(&name).map_err(|(_, problem)| SelectError::Name(problem))?;
            names.push(name);
        }
        Ok(Some(names))
    }

    fn find_group(&self, group: &str) -> Result<Vec<usize>, SelectError> {
        let found = match group.to_lowercase() {
            all if all == "all" => (0..self.servers.len()).collect(),
            key => match self.groups.members(&key) {
                Some(members) => members.to_vec(),
                None => {
                    let known = self.groups.names().chain(["all"]);
                    let near = name::nearest(group, known).map(str::to_owned);
                    return Err(SelectError::UnknownGroup { name: brief(group), near });
                }
            },
        };
        if found.is_empty() {
            return Err(SelectError::EmptyGroup(group.to_owned()));
        }
        Ok(found)
    }

    fn find_name(&self, name: &str) -> Result<usize, SelectError> {
        self.by_key.get(&name::key(name)).copied().ok_or_else(|| {
            let known = self.servers.iter().map(|server| &*server.name);
            let near = name::nearest(name, known).map(str::to_owned);
            SelectError::UnknownServer { name: brief(name), near }
        })
    }

    fn find_globs(&self, text: &str) -> Result<Vec<usize>, SelectError> {
        let pattern = Pattern::parse(text).map_err(|error| SelectError::Range(error.problem))?;
        if pattern.count() > MAX_GLOBS {
            return Err(SelectError::TooManyGlobs);
        }
        let mut found = Vec::new();
        for text in pattern.names() {
            let glob = glob(&text).map_err(|error| SelectError::Glob(error.problem))?;
            let matches = |key: &str| glob.is_match(key);
            found.extend(self.by_key.iter().filter(|(key, _)| matches(key)).map(|(_, &at)| at));
        }
        if found.is_empty() {
            return Err(SelectError::NoMatch(brief(text)));
        }
        Ok(found)
    }
}
