//! What is asked: servers as they are now, files, and events that were stored, behind one trait.
//!
//! A [`Backend`] has some sources and answers questions about them. `Sources::ask` is the one way
//! to ask: it takes a [`Person`], and what that person may not read is nowhere in the answer, neither
//! as a row nor in a count. The answer is a `Search`, which fills while it is looked at, and says of
//! each part how exact it is.

mod cache;
mod counts;
mod files;
mod follow;
mod gather;
mod health;
mod kept;
mod memory;
mod persons;
mod question;
mod row;
mod search;
mod servers;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use quarry_event::EventTime;
use quarry_event::filter::Glob;
use quarry_event::words::{Key, Words};
use quarry_fleet::pattern::Pattern;
use serde_json::json;

use crate::access::Person;
use crate::problem::Problem;
pub use crate::stream::hub::Hub;
use crate::stream::hub::Hubs;
use crate::view::{From, View};

pub(crate) use counts::{Facet, Histogram, rule_title, rule_value};
pub use files::{FileSpec, Files, OpenFile};
pub(crate) use gather::{USUAL, Usual};
pub use health::{Activity, Health, LogHealth};
pub use kept::{Counted, Reached, Rows, Tally, bar_width};
pub use memory::Memory;
pub use question::Shown;
pub(crate) use question::{Question, Wanted, literal_text};
#[cfg(test)]
pub(crate) use row::row_of_a_test;
pub(crate) use row::{Detail, Row};
pub(crate) use search::{Exactness, Part, Search, State, Status};
pub use search::{Feed, Trouble};
pub use servers::{Remedy, ServerSpec, Servers};

use cache::Cache;
use kept::Stored;

/// Something that has sources and answers questions about them.
pub trait Backend: Send + Sync {
    /// Whether its events were stored before, rather than being read now.
    fn is_stored(&self) -> bool;

    /// Its sources. They stay the same.
    fn sources(&self) -> &[SourceInfo];

    /// Whether its sources are read as the person who asks, rather than as the program for everybody.
    fn reads_as_person(&self) -> bool;

    /// Begins to answer a question about some of its sources, by their places, and returns. What is
    /// found goes to the feed; the answer is complete when the feed is dropped.
    fn answer(&self, asked: Asked, sources: Vec<usize>, feed: Feed);

    /// Begins to follow some of its sources, by their places, until the hub is stopped, and returns.
    /// Whether there is anything to follow.
    fn follow(&self, asked: Asked, sources: Vec<usize>, hub: Arc<Hub>) -> bool;

    /// A number that changes when the sources' events do, as far as one can tell without reading
    /// them; nothing where they change all the time.
    fn state(&self) -> Option<u64>;

    /// How its sources are for a person, as far as that was found out; in their order.
    fn health(&self, person: &Person) -> Vec<Health>;

    /// Begins to find out how its sources are, where that is due, and returns. The receiver is told
    /// of each that was asked.
    fn survey(&self, person: &Person) -> tokio::sync::watch::Receiver<u64>;

    /// How far each log is, where its events were stored. What is read of the same log up to there is
    /// counted with what was stored.
    fn reached(&self) -> Vec<Reached> {
        Vec::new()
    }
}

/// A question, and which part of the answer is wanted.
#[derive(Clone, Debug)]
pub struct Asked {
    pub(crate) question: Arc<Question>,
    pub(crate) wanted: Arc<Wanted>,
}

/// A source, as it is listed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SourceInfo {
    /// What it is called; the word `on` asks for it by this name.
    pub name: String,
    /// The groups that it is in.
    pub groups: Vec<String>,
    /// What it is.
    pub kind: SourceKind,
}

/// What a source is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SourceKind {
    /// A server, or this machine.
    Server,
    /// A file.
    File,
    /// Stored events of a server or a file.
    Stored,
}

impl SourceInfo {
    /// A source that is in no group.
    pub fn new(name: impl Into<String>, kind: SourceKind) -> Self {
        SourceInfo { name: name.into(), groups: Vec::new(), kind }
    }

    /// The same in some groups.
    #[must_use]
    pub fn in_groups(self, groups: Vec<String>) -> Self {
        SourceInfo { groups, ..self }
    }

    /// Whether a file's name without its folders is this.
    fn is_file_called(&self, name: &str) -> bool {
        let last = self.name.rsplit(['/', '\\']).next().unwrap_or_default();
        self.kind == SourceKind::File && last.eq_ignore_ascii_case(name)
    }
}

/// All that can be asked.
#[derive(Default)]
pub struct Sources {
    backends: Vec<Arc<dyn Backend>>,
    /// Of each source its backend's place, and its own there.
    all: Vec<(usize, usize)>,
    /// What is asked where nobody says.
    usual: From,
    cache: Cache,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").field("sources", &self.all.len()).finish_non_exhaustive()
    }
}

impl Sources {
    /// Nothing to ask.
    pub fn new() -> Self {
        Sources::default()
    }

    /// With what a backend has, too.
    #[must_use]
    pub fn with(mut self, backend: Arc<dyn Backend>) -> Self {
        let place = self.backends.len();
        self.all.extend((0..backend.sources().len()).map(|n| (place, n)));
        self.backends.push(backend);
        self
    }

    /// Has what was stored asked alone where nobody says from where: servers are asked when somebody
    /// wants that.
    #[must_use]
    pub fn stored_first(self) -> Self {
        Sources { usual: From::Stored, ..self }
    }

    /// Up to when the events of some sources were stored: the newest time that was reached. Not for
    /// somebody from whom some are hidden: it may be the time of one of those.
    pub(crate) fn stored_to(
        &self,
        chosen: &[(usize, usize)],
        person: &Person,
    ) -> Option<EventTime> {
        if !person.scope().is_everything() {
            return None;
        }
        let names: HashSet<&str> = self.names(chosen).into_iter().collect();
        let mut places: Vec<usize> = chosen.iter().map(|at| at.0).collect();
        places.dedup();
        let all = places.into_iter().flat_map(|place| self.backends[place].reached());
        all.filter(|reached| names.contains(&*reached.on)).filter_map(|reached| reached.time).max()
    }

    /// Every source.
    pub(crate) fn list(&self) -> impl Iterator<Item = &SourceInfo> {
        self.all.iter().map(|&(backend, n)| &self.backends[backend].sources()[n])
    }

    /// How each source is that a person may read something of, in the order of the list, with the
    /// logs that they may read.
    pub(crate) fn health(&self, person: &Person) -> Vec<(SourceInfo, Health)> {
        let scope = person.scope();
        let of = |backend: &Arc<dyn Backend>| {
            let infos = backend.sources().to_vec();
            infos.into_iter().zip(backend.health(person)).collect::<Vec<_>>()
        };
        let all: Vec<(SourceInfo, Health)> = self.backends.iter().flat_map(of).collect();
        joined(all)
            .into_iter()
            .filter(|(info, _)| scope.has_server(&info.name))
            .map(|(info, mut health)| {
                health.logs.retain(|(log, _)| scope.has_log(&info.name, log));
                health.activity.retain(|activity| match &activity.channel {
                    None => scope.has_log(&info.name, &activity.log),
                    Some(channel) => scope.has_event(&info.name, &activity.log, Some(channel)),
                });
                if info.kind == SourceKind::File && !person.opens_as_program() {
                    // What the program could read of a file isn't for who may not open it.
                    health = Health { checked: health.checked, ..Health::default() };
                }
                (info, health)
            })
            .collect()
    }

    /// Finds out how each source is, where that is due, and waits until all are known or the time is
    /// over.
    pub(crate) async fn survey(&self, person: &Person, most: Duration) {
        let each = self.backends.iter().map(|backend| async {
            let mut changes = backend.survey(person);
            while backend.health(person).iter().any(|health| health.checked.is_none()) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        });
        // What isn't known by then is shown as that.
        let _ = tokio::time::timeout(most, futures_util::future::join_all(each)).await;
    }

    /// How many of some sources are servers.
    pub(crate) fn servers(&self, chosen: &[(usize, usize)]) -> usize {
        chosen.iter().filter(|at| self.kind(&[**at]) == SourceKind::Server).count()
    }

    /// What some sources are called.
    pub(crate) fn names(&self, chosen: &[(usize, usize)]) -> Vec<&str> {
        chosen.iter().map(|&(b, n)| &*self.backends[b].sources()[n].name).collect()
    }

    /// What the first of some sources is.
    pub(crate) fn kind(&self, chosen: &[(usize, usize)]) -> SourceKind {
        let info = |&(b, n): &(usize, usize)| self.backends[b].sources()[n].kind;
        chosen.first().map_or(SourceKind::File, info)
    }

    /// The sources that some words ask for; all of them where they don't say.
    ///
    /// # Errors
    /// A name that no source has, with the nearest one.
    pub(crate) fn choose(&self, words: &Words, from: From) -> Result<Vec<(usize, usize)>, Problem> {
        let from = if from == From::Usual { self.usual } else { from };
        let is_from = |&&(backend, _): &&(usize, usize)| match from {
            From::Usual | From::Both => true,
            From::Stored => self.backends[backend].is_stored(),
            From::Live => !self.backends[backend].is_stored(),
        };
        let mut wanted = words.values(Key::On).peekable();
        if wanted.peek().is_none() {
            return Ok(self.all.iter().filter(is_from).copied().collect());
        }
        let mut chosen = Vec::new();
        for text in wanted {
            let matches = matcher(text);
            let before = chosen.len();
            let mut is_known = false;
            for at in self.all.iter().filter(|&&(b, n)| matches(&self.backends[b].sources()[n])) {
                is_known = true;
                if is_from(&at) && !chosen.contains(at) {
                    chosen.push(*at);
                }
            }
            if chosen.len() == before && !is_known {
                return Err(self.unknown(text));
            }
        }
        Ok(chosen)
    }

    fn unknown(&self, text: &str) -> Problem {
        let brief: String = text.chars().take(60).collect();
        let names = self.list().map(|source| &*source.name);
        let nearest = names
            .filter(|name| name.len() < 200)
            .map(|name| (edits(&text.to_lowercase(), &name.to_lowercase()), name))
            .min()
            .filter(|(edits, name)| *edits <= name.len() / 3);
        let meant = nearest.map_or_else(
            || "; the fleet page lists those there are".to_owned(),
            |(_, name)| format!("; did you mean {name}?"),
        );
        Problem::not_found(format!("no source is called {brief}{meant}"))
            .with("word", format!("on:{text}"))
    }

    /// Asks as a person. What they may not read is no part of the answer.
    ///
    /// # Errors
    /// What the words say can't be asked.
    pub(crate) fn ask(
        &self,
        view: &View,
        person: &Person,
        wanted: Wanted,
    ) -> Result<Arc<Search>, Problem> {
        let chosen = self.choose(&view.words, view.from)?;
        let question = Question::new(view, person)?;
        self.ask_these(chosen, question, wanted)
    }

    /// Follows what a person asks; for others who ask the same and may read the same too. Nothing where
    /// too much is followed already.
    ///
    /// # Errors
    /// What the words say can't be asked.
    pub(crate) fn follow(
        &self,
        hubs: &Hubs,
        view: &View,
        person: &Person,
        wanted: Wanted,
    ) -> Result<Option<Arc<Hub>>, Problem> {
        // What was stored doesn't happen.
        let from = if view.from == From::Usual { From::Both } else { view.from };
        let chosen = self.choose(&view.words, from)?;
        // What is read as the program is followed once for all who may read the same of it.
        let is_own = |at: &(usize, usize)| self.backends[at.0].reads_as_person();
        let shared = (!chosen.iter().any(is_own)).then(|| person.anybody_alike());
        let person = shared.as_ref().unwrap_or(person);
        let question = Question::new(view, person)?;
        // It is one question however its relative times move on.
        let key = format!("{} {} {}", view.query(), person.key(), wanted.key());
        let asked = Asked { question: Arc::new(question), wanted: Arc::new(wanted) };
        Ok(hubs.get(&key, |hub| {
            let mut is_followed = false;
            if asked.question.filter.tests_rules() {
                hub.source(json!({ "kind": "lost", "on": "", "remedy": STORED, "what": NO_RULES }));
                return hub.end();
            }
            for (place, backend) in self.backends.iter().enumerate() {
                let mine = chosen.iter().filter(|at| at.0 == place).map(|at| at.1);
                let mine: Vec<usize> = mine.collect();
                if !mine.is_empty() {
                    is_followed |= backend.follow(asked.clone(), mine, Arc::clone(&hub));
                }
            }
            if !is_followed {
                hub.end();
            }
        }))
    }

    /// Asks some sources, which were chosen before.
    pub(crate) fn ask_these(
        &self,
        chosen: Vec<(usize, usize)>,
        question: Question,
        wanted: Wanted,
    ) -> Result<Arc<Search>, Problem> {
        // What doesn't change while nobody writes is kept for the session.
        let mut states = Vec::new();
        for (place, backend) in self.backends.iter().enumerate() {
            if chosen.iter().any(|at| at.0 == place) {
                states.push(backend.state());
            }
        }
        let states: Option<Vec<u64>> = states.into_iter().collect();
        // What is handed on as it comes is nobody else's.
        let states = states.filter(|_| !wanted.is_stream);
        let key = states.map(|states| (states, question.key(), wanted.key(), chosen.clone()));
        let begin = || {
            let infos = chosen.iter().map(|&(b, n)| self.backends[b].sources()[n].clone());
            let search = Search::new(infos.collect(), &question, &wanted);
            let question = Arc::new(question);
            let wanted = Arc::new(wanted);
            let stored = chosen.iter().any(|at| self.backends[at.0].is_stored());
            let stored = stored.then(|| {
                let all = self.backends.iter().flat_map(|backend| backend.reached());
                Arc::new(Stored::new(all))
            });
            for (place, backend) in self.backends.iter().enumerate() {
                let (mut mine, mut places) = (Vec::new(), Vec::new());
                for (at, &(_, n)) in chosen.iter().enumerate().filter(|(_, at)| at.0 == place) {
                    mine.push(n);
                    places.push(at);
                }
                if !mine.is_empty() {
                    let besides = stored.clone().filter(|_| !backend.is_stored());
                    let feed = search.feed(places, besides);
                    if question.filter.tests_rules() && !backend.is_stored() {
                        for (at, &n) in mine.iter().enumerate() {
                            feed.trouble(at, no_rules(&backend.sources()[n].name), true);
                        }
                        continue;
                    }
                    let asked =
                        Asked { question: Arc::clone(&question), wanted: Arc::clone(&wanted) };
                    backend.answer(asked, mine, feed);
                }
            }
            search
        };
        Ok(match key {
            Some(key) => self.cache.get_or(&format!("{key:?}"), begin),
            None => begin(),
        })
    }
}

/// Servers whose events are stored too, as one: how it is now, and what was stored of it where it can't
/// be asked.
fn joined(all: Vec<(SourceInfo, Health)>) -> Vec<(SourceInfo, Health)> {
    let (stored, mut others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(info, _)| info.kind == SourceKind::Stored);
    let mut places: HashMap<String, usize> = HashMap::new();
    for (n, (info, _)) in others.iter().enumerate() {
        if info.kind == SourceKind::Server {
            places.insert(info.name.clone(), n);
        }
    }
    for (info, health) in stored {
        match places.get(&info.name) {
            Some(&n) if others[n].1.logs.is_empty() => others[n].1.logs = health.logs,
            Some(_) => {}
            None => others.push((info, health)),
        }
    }
    others
}

/// Why a source can't be asked about detection rules.
const NO_RULES: &str = "events aren't tested for rules as they are read";
/// What to do then.
const STORED: &str = "what was stored carries the rules that it matches: ask with from=stored";

fn no_rules(source: &str) -> Trouble {
    Trouble::new(source, NO_RULES, Some(STORED.to_owned()))
}

/// Tests whether a source is meant by the value of a word `on`.
fn matcher(text: &str) -> Box<dyn Fn(&SourceInfo) -> bool> {
    let text = text.to_owned();
    if let Some(group) = text.strip_prefix('@') {
        let group = group.to_owned();
        return Box::new(move |source| {
            group == "all" && source.kind != SourceKind::File
                || source.groups.iter().any(|name| name.eq_ignore_ascii_case(&group))
        });
    }
    let names: Vec<String> = match Pattern::parse(&text) {
        Ok(pattern) if pattern.has_range() => pattern.names().collect(),
        _ => Vec::new(),
    };
    let glob = Glob::parse(&text).ok();
    Box::new(move |source| {
        source.name.eq_ignore_ascii_case(&text)
            || source.is_file_called(&text)
            || names.iter().any(|name| name.eq_ignore_ascii_case(&source.name))
            || glob.as_ref().is_some_and(|glob| glob.is_match(&source.name))
    })
}

/// How many letters two names differ by (Levenshtein's distance).
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().take(200).enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = before + usize::from(a != *b);
            before = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(before + 1);
        }
    }
    row[other.len()]
}
