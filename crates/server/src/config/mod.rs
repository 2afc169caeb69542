//! The configuration: one TOML text with the inventory that `quarry` has, what is followed of it, the
//! store, the page, and detection rules.
//!
//! ```toml
//! [servers."dc[01:12].corp"]
//! groups = ["dcs"]
//!
//! [follow]
//! "@all" = ["System", "Application"]
//! "@dcs" = ["Security"]
//!
//! [store]
//! url = "/var/lib/quarry/events"
//! retention = "400d"
//! ```
//!
//! Reading one does no I/O but for the file itself. What is wrong is told with its line and column.

mod error;
mod text;
mod value;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quarry_event::filter::Glob;
use quarry_fleet::inventory::{Inventory, ServerEntry};
use quarry_fleet::{EVERY_RECORD, MAX_LAST};
use quarry_program::public::{PublicPage, Words};
use serde::Deserialize;
use toml::Spanned;

pub(crate) use error::ConfigError;
use text::Text;
use value::{First, Length, Retention};

/// Every key at the top of a configuration.
const KEYS: &[&str] = &[
    "credential",
    "credentials",
    "servers",
    "groups",
    "overrides",
    "follow",
    "collect",
    "store",
    "page",
    "detect",
];

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The folder that relative paths start from.
    pub(crate) folder: PathBuf,
    pub(crate) inventory: Inventory,
    /// What is followed, in the inventory's order; each server once.
    pub(crate) followed: Vec<Followed>,
    pub(crate) collect: Collect,
    pub(crate) store: Store,
    pub(crate) page: Option<Page>,
    /// Files and folders with detection rules.
    pub(crate) detect: Vec<PathBuf>,
}

/// A server, and which of its logs are followed: those it has by default where there are none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Followed {
    pub(crate) entry: ServerEntry,
    pub(crate) logs: Vec<String>,
}

/// How servers are followed.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Collect {
    /// How many of a log's last records are taken when it is met for the first time.
    first: First,
    /// Where message text comes from.
    pub(crate) messages: Messages,
    /// The folder of message catalogues; the user's data folder otherwise.
    pub(crate) catalogues: Option<PathBuf>,
    /// How long a batch waits for its text.
    message_timeout: Length,
    connect_timeout: Length,
    timeout: Length,
    /// What this collector is called among others of one store; the machine's name otherwise.
    pub(crate) name: Option<String>,
}

/// Where message text comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Messages {
    /// Catalogues, and then the servers.
    #[default]
    Server,
    /// Catalogues alone.
    Local,
    /// Nowhere.
    Never,
}

/// Where events are kept.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Store {
    /// A folder, or `s3://…`, `az://…`, `gs://…`.
    pub(crate) url: String,
    /// Names of event data with a column of their own.
    pub(crate) columns: Vec<String>,
    retention: Retention,
    flush_every: Length,
    flush_megabytes: u64,
    memory_megabytes: u64,
    /// Whether several collectors write.
    pub(crate) writers: Writers,
    maintain_every: Length,
    /// The folder of the write-ahead log, where the table is on object storage.
    pub(crate) log_folder: Option<PathBuf>,
}

/// How many collectors write into the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Writers {
    #[default]
    One,
    Several,
}

/// Where the page is served, and for whom.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Page {
    #[serde(default = "Page::usual", deserialize_with = "value::listen")]
    pub(crate) listen: SocketAddr,
    /// The rules for accounts of this system; without them, the page is of who starts the program.
    access: Option<PathBuf>,
    audit: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    #[serde(default)]
    names: Vec<String>,
    run_as: Option<String>,
}

/// What the keys of a page for accounts are called.
const WORDS: Words = Words {
    access: "page.access",
    audit: "page.audit",
    names: " = ",
    run_as: "page.run-as",
    without: "leave page.access out, for a page of your own",
};

/// The parts of the document that aren't the inventory's.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Document {
    #[serde(default)]
    follow: BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
    #[serde(default)]
    collect: Collect,
    #[serde(default)]
    store: Store,
    page: Option<Page>,
    #[serde(default)]
    detect: Detect,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Detect {
    #[serde(default)]
    rules: Paths,
}

/// One path, or several.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a path or a list of paths")]
enum Paths {
    One(PathBuf),
    Many(Vec<PathBuf>),
}

impl Default for Paths {
    fn default() -> Self {
        Paths::Many(Vec::new())
    }
}

impl Default for Collect {
    fn default() -> Self {
        Collect {
            first: First(EVERY_RECORD),
            messages: Messages::default(),
            catalogues: None,
            message_timeout: Length::seconds(2),
            connect_timeout: Length::seconds(5),
            timeout: Length::seconds(30),
            name: None,
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Store {
            url: "events".to_owned(),
            columns: Vec::new(),
            retention: Retention(None),
            flush_every: Length::seconds(10),
            flush_megabytes: 64,
            memory_megabytes: 256,
            writers: Writers::default(),
            maintain_every: Length::seconds(300),
            log_folder: None,
        }
    }
}

impl Collect {
    /// As [`Pipeline::follow`](quarry_collect::Pipeline::follow) takes it.
    pub(crate) fn first(&self) -> u64 {
        self.first.0
    }

    pub(crate) fn message_timeout(&self) -> Duration {
        self.message_timeout.0
    }

    pub(crate) fn timeouts(&self) -> quarry_fleet::Timeouts {
        quarry_fleet::Timeouts { connect: self.connect_timeout.0, silence: self.timeout.0 }
    }
}

impl Store {
    /// How long events are kept; for ever where nothing is said.
    pub(crate) fn retention(&self) -> Option<Duration> {
        self.retention.0
    }

    /// How long events may gather at their servers before they are asked for: a part of what they wait
    /// for their commit.
    pub(crate) fn gather(&self) -> Duration {
        (self.flush_every() / 2).min(Duration::from_secs(1))
    }

    /// The longest that an event waits for its commit.
    pub(crate) fn flush_every(&self) -> Duration {
        self.flush_every.0
    }

    /// How many bytes wait for a commit at most.
    pub(crate) fn flush_bytes(&self) -> usize {
        bytes(self.flush_megabytes)
    }

    /// How many bytes may wait while the store takes none, before nothing more is read.
    pub(crate) fn memory(&self) -> usize {
        bytes(self.memory_megabytes)
    }

    pub(crate) fn maintain_every(&self) -> Duration {
        self.maintain_every.0
    }

    /// The table's address, in which a relative path starts from the configuration's folder.
    pub(crate) fn address(&self, folder: &Path) -> String {
        match self.url.contains("://") {
            true => self.url.clone(),
            false => folder.join(&self.url).display().to_string(),
        }
    }
}

fn bytes(megabytes: u64) -> usize {
    usize::try_from(megabytes.saturating_mul(1 << 20)).unwrap_or(usize::MAX)
}

impl Page {
    fn usual() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 8420))
    }

    /// The page for accounts, where it is one. Relative paths start from the configuration's folder.
    pub(crate) fn public(&self, folder: &Path) -> Option<PublicPage> {
        let at = |path: &PathBuf| folder.join(path);
        Some(PublicPage {
            access: at(self.access.as_ref()?),
            audit: self.audit.as_ref().map(at),
            certificate: self.certificate.as_ref().map(at).zip(self.key.as_ref().map(at)),
            names: self.names.clone(),
            run_as: self.run_as.clone().unwrap_or_else(|| "quarryd".to_owned()),
            words: &WORDS,
        })
    }

    fn check(&self, text: &Text) -> Result<(), ConfigError> {
        let wrong = |what: String, hint: &str| {
            let hint = Some(hint.to_owned());
            Err(ConfigError { hint, ..text.without_place(what) })
        };
        if self.access.is_none() {
            let Page { listen, audit, certificate, key, names, run_as, .. } = self;
            if !listen.ip().is_loopback() {
                return wrong(
                    format!("page.listen: {listen} can be reached by others"),
                    "say in page.access who may read what; or listen on 127.0.0.1, and reach it by \
                     ssh -L 8420:127.0.0.1:8420",
                );
            }
            let of_accounts = [
                ("audit", audit.is_some()),
                ("certificate", certificate.is_some()),
                ("key", key.is_some()),
                ("names", !names.is_empty()),
                ("run-as", run_as.is_some()),
            ];
            if let Some((name, _)) = of_accounts.into_iter().find(|(_, is_there)| *is_there) {
                return wrong(
                    format!("page.{name}: that is for a page that accounts sign in to"),
                    "say in page.access who may read what, or leave it out",
                );
            }
        } else if self.audit.is_none() {
            return wrong(
                "page.access needs page.audit: who reads what is written down".to_owned(),
                "name a file that the account of page.run-as can write",
            );
        } else if self.certificate.is_some() != self.key.is_some() {
            return wrong(
                "page.certificate and page.key belong together".to_owned(),
                "name both; without them the page makes a certificate of its own",
            );
        }
        Ok(())
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// It can't be read, or has a mistake.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = Text::read(path)?;
        Self::parse(&text)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// The first mistake.
    pub(crate) fn parse(text: &Text) -> Result<Self, ConfigError> {
        let inventory = Inventory::parse_within(&text.content, "a configuration", KEYS)
            .map_err(|error| text.of_inventory(&error))?;
        let document: Document =
            toml::from_str(&text.content).map_err(|error| text.of_toml(&error))?;
        // As a file is for a moment while it is copied. To follow nobody from then on isn't what is meant.
        if toml::from_str::<toml::Table>(&text.content).is_ok_and(|table| table.is_empty()) {
            return Err(text.without_place("it is empty: a configuration has servers".to_owned()));
        }
        let followed = followed(text, &inventory, &document.follow)?;
        let collect = document.collect;
        if let First(number) = collect.first
            && number > MAX_LAST
            && number != EVERY_RECORD
        {
            let message = format!("collect.first: at most the last {MAX_LAST} records, or \"all\"");
            return Err(text.without_place(message));
        }
        let store = document.store;
        check_store(text, &store)?;
        if let Some(page) = &document.page {
            page.check(text)?;
        }
        let folder = text.folder();
        let detect = match document.detect.rules {
            Paths::One(path) => vec![folder.join(path)],
            Paths::Many(paths) => paths.into_iter().map(|path| folder.join(path)).collect(),
        };
        Ok(Config { folder, inventory, followed, collect, store, page: document.page, detect })
    }
}

fn check_store(text: &Text, store: &Store) -> Result<(), ConfigError> {
    let wrong = |what: &str| Err(text.without_place(format!("store.{what}")));
    if store.url.is_empty() {
        return wrong("url: it is empty");
    }
    if !(1..=1024).contains(&store.flush_megabytes) {
        return wrong("flush-megabytes: from 1 to 1024");
    }
    if store.memory_megabytes < store.flush_megabytes {
        return wrong("memory-megabytes: at least as many as flush-megabytes");
    }
    if !(1..=3600).contains(&store.flush_every().as_secs()) {
        return wrong("flush-every: from 1s to 1h");
    }
    Ok(())
}

/// What is followed: each server that any key selects, with the logs of all keys that do. Without
/// any, every server of the inventory with the logs that are its own.
fn followed(
    text: &Text,
    inventory: &Inventory,
    follow: &BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
) -> Result<Vec<Followed>, ConfigError> {
    if follow.is_empty() {
        let own = |entry: &ServerEntry| Followed { entry: entry.clone(), logs: Vec::new() };
        return Ok(inventory.servers().iter().map(own).collect());
    }
    let mut keys: Vec<_> = follow.iter().collect();
    keys.sort_by_key(|(key, _)| key.span().start);
    let mut wanted: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (key, logs) in keys {
        for log in logs {
            if let Err(error) = Glob::parse(log.get_ref()) {
                return Err(text.at(log.span().start, error.to_string(), None));
            }
        }
        let selected = inventory.select(key.get_ref()).map_err(|error| {
            let hint = quarry_program::hints::select(&error, inventory.servers().is_empty());
            text.at(key.span().start, error.to_string(), hint)
        })?;
        for entry in selected {
            let own: &[String] = if logs.is_empty() { &entry.logs } else { &[] };
            let logs = logs.iter().map(|log| log.get_ref().clone()).chain(own.iter().cloned());
            let all = wanted.entry(&entry.name).or_default();
            for log in logs {
                if !all.iter().any(|known| known.eq_ignore_ascii_case(&log)) {
                    all.push(log);
                }
            }
        }
    }
    let of = |entry: &ServerEntry| {
        let logs = wanted.remove(&*entry.name)?;
        Some(Followed { entry: entry.clone(), logs })
    };
    Ok(inventory.servers().iter().filter_map(of).collect())
}

#[cfg(test)]
mod tests;
