//! From the tables of an inventory's text to servers with all that is said of them.
//!
//! Servers are gathered first, those of `[servers]` and those that only a group names; then globs
//! and groups can be worked out, since these are about all servers; then each server gets its
//! settings.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::Arc;

use quarry_event::filter::Glob;

use super::document::{Document, Entry, Text};
use super::error::{InventoryError, InventoryProblem};
use super::groups::{Draft, Groups, GroupsProblem};
use super::limits::*;
use super::select::glob;
use super::settings::{OwnSettings, Settings, brief, unknown_key};
use super::{CredentialEntry, Inventory};
use crate::name;
use crate::pattern::Pattern;

type Result<T> = std::result::Result<T, InventoryError>;

const KEYS: &[&str] = &["credential", "credentials", "servers", "groups", "overrides"];

pub(super) fn parse(text: &str) -> Result<Inventory> {
    parse_within(text, "an inventory", KEYS)
}

/// Reads an inventory out of a document that has other keys as well: those of `known` that aren't an
/// inventory's are passed over.
pub(super) fn parse_within(
    text: &str,
    document_is: &'static str,
    known: &'static [&'static str],
) -> Result<Inventory> {
    Document::read(text, |document, entries| {
        let mut builder = Builder::new(document);
        let mut tables: [Option<Entry<'_>>; 4] = Default::default();
        for entry in entries {
            match &*entry.key.value {
                "credential" => builder.credential = Some(document.text(&entry)?),
                "credentials" => tables[0] = Some(entry),
                "servers" => tables[1] = Some(entry),
                "overrides" => tables[2] = Some(entry),
                "groups" => tables[3] = Some(entry),
                "address" | "protocol" | "mapper-port" | "endpoint" | "smb-port"
                | "authentication" | "as" | "logs" => {
                    let instead = "what is said of a server goes into its table, [servers.NAME]; \
                                   what is said of all, into [overrides.\"*\"]";
                    let key = entry.key.value.clone();
                    let problem = InventoryProblem::Misplaced { key, instead };
                    return Err(document.error(entry.key.span.start, problem));
                }
                other if known.contains(&other) => {}
                _ => return Err(unknown_key(document, &entry, document_is, known)),
            }
        }
        // In this order, wherever in the text they are: each builds on those before it.
        let [credentials, servers, overrides, groups] = tables;
        builder.read_credentials(credentials.as_ref())?;
        builder.read_servers(servers.as_ref())?;
        builder.read_overrides(overrides.as_ref())?;
        builder.read_groups(groups.as_ref())?;
        builder.finish()
    })
}

struct Builder<'t> {
    document: Document<'t>,
    inventory: Inventory,
    /// The credential of every server that has no other.
    credential: Option<Text>,
    servers: Vec<Found>,
    /// Places in `servers` by [`name::key`].
    by_key: HashMap<String, usize>,
    /// Settings of the tables in `[servers]`.
    settings: Vec<Settings>,
    groups: Vec<Draft>,
    /// Places in `groups` by the name in lowercase.
    group_by_key: HashMap<String, usize>,
    /// Globs that are members of groups: the group, the glob, and where it is.
    globs: Vec<(usize, Glob, Text)>,
    /// References to groups: the group with the reference, the name, and where it is.
    references: Vec<(usize, Text)>,
    /// Names that ranges have stood for, of [`MAX_ALL_NAMES`].
    names: usize,
    /// Servers in groups by their own tables, of [`MAX_MEMBERSHIPS`].
    memberships: usize,
}

/// A server of which only this is known for now.
struct Found {
    name: String,
    key: String,
    /// Where the text first names it.
    at: usize,
    address: Option<String>,
    /// A place in the builder's settings.
    settings: Option<usize>,
}

impl<'t> Builder<'t> {
    fn new(document: Document<'t>) -> Self {
        Builder {
            document,
            inventory: Inventory::default(),
            credential: None,
            servers: Vec::new(),
            by_key: HashMap::new(),
            settings: Vec::new(),
            groups: Vec::new(),
            group_by_key: HashMap::new(),
            globs: Vec::new(),
            references: Vec::new(),
            names: 0,
            memberships: 0,
        }
    }

    /// The entries of one of the outermost tables, if it is there and not too large.
    fn entries<'v>(
        &self,
        table: Option<&Entry<'v>>,
        what: &'static str,
        limit: usize,
    ) -> Result<Vec<Entry<'v>>> {
        let Some(table) = table else { return Ok(Vec::new()) };
        let entries = self.document.table(table)?;
        match entries.get(limit) {
            Some(entry) => Err(self.too_many(entry.key.span.start, what, limit)),
            None => Ok(entries),
        }
    }

    fn read_credentials(&mut self, table: Option<&Entry<'_>>) -> Result<()> {
        for entry in self.entries(table, "credentials", MAX_CREDENTIALS)? {
            let name = self.document.key(&entry)?.value.clone();
            let credential = CredentialEntry::read(self.document, &entry)?;
            self.inventory.credentials.push((name, credential));
        }
        if let Some(credential) = &self.credential {
            self.check_credential(credential)?;
        }
        Ok(())
    }

    fn read_servers(&mut self, table: Option<&Entry<'_>>) -> Result<()> {
        for entry in self.entries(table, "servers", MAX_SERVERS)? {
            let text = self.document.key(&entry)?;
            let own = OwnSettings::of_server(self.document, &entry)?;
            self.check_settings(&own.settings)?;
            let names = self.expand(text)?;
            let mut addresses = match &own.address {
                Some(address) => self.addresses(address, &names)?.into_iter(),
                None => Vec::new().into_iter(),
            };
            let groups = self.groups_of_server(&own.groups)?;
            self.memberships += groups.len().saturating_mul(names.len());
            if self.memberships > MAX_MEMBERSHIPS {
                return Err(self.too_many(text.span.start, MEMBERSHIPS, MAX_MEMBERSHIPS));
            }
            let settings = self.settings.len();
            self.settings.push(own.settings);
            for name in names {
                let name = self.check_name(text, &name)?.to_owned();
                let key = name::key(&name);
                if let Some(&other) = self.by_key.get(&key) {
                    let (line, column) = self.document.line_and_column(self.servers[other].at);
                    let problem = InventoryProblem::SameServer { name, line, column };
                    return Err(self.document.error(text.span.start, problem));
                }
                let place = self.add_server(name, key, text.span.start)?;
                self.servers[place].address = addresses.next();
                self.servers[place].settings = Some(settings);
                for &group in &groups {
                    self.groups[group].servers.push(place);
                }
            }
        }
        Ok(())
    }

    /// Addresses for the servers of one table, one for each.
    fn addresses(&mut self, text: &Text, names: &[String]) -> Result<Vec<String>> {
        let addresses = self.expand(text)?;
        if addresses.len() != names.len() {
            let addresses = match addresses.len() {
                1 => "1 address".to_owned(),
                more => format!("{more} addresses"),
            };
            let problem = InventoryProblem::Addresses { servers: names.len(), addresses };
            return Err(self.document.error(text.span.start, problem));
        }
        let checked = addresses.iter().map(|address| self.check_name(text, address));
        checked.map(|address| address.map(str::to_owned)).collect()
    }

    /// Places of the groups that a server's table names; a group that is nowhere else begins here.
    fn groups_of_server(&mut self, names: &[Text]) -> Result<Vec<usize>> {
        let mut places = Vec::with_capacity(names.len());
        for name in names {
            let place = match self.group_by_key.get(&name.value.to_lowercase()) {
                Some(&place) => place,
                None => self.add_group(name)?,
            };
            places.push(place);
        }
        places.sort_unstable();
        places.dedup();
        Ok(places)
    }

    fn read_overrides(&mut self, table: Option<&Entry<'_>>) -> Result<()> {
        for entry in self.entries(table, "overrides", MAX_OVERRIDES)? {
            let text = self.document.key(&entry)?;
            let settings = Settings::of_override(self.document, &entry)?;
            self.check_settings(&settings)?;
            self.inventory.overrides.add(settings);
            for name in self.expand(text)? {
                if name::is_glob(&name) {
                    let glob = self.glob(text, &name)?;
                    self.inventory.overrides.for_glob(glob);
                } else {
                    let key = name::key(self.check_name(text, &name)?);
                    self.inventory.overrides.for_key(key);
                }
            }
        }
        Ok(())
    }

    fn read_groups(&mut self, table: Option<&Entry<'_>>) -> Result<()> {
        let mut own_places = HashMap::new();
        for entry in self.entries(table, "groups", MAX_GROUPS)? {
            let name = self.document.key(&entry)?;
            let place = match self.group_by_key.get(&name.value.to_lowercase()) {
                Some(&place) => place,
                None => self.add_group(name)?,
            };
            match own_places.entry(place) {
                Slot::Vacant(slot) => slot.insert(name.span.start),
                Slot::Occupied(other) => {
                    let (line, column) = self.document.line_and_column(*other.get());
                    let name_of = name.value.clone();
                    let problem = InventoryProblem::SameGroup { name: name_of, line, column };
                    return Err(self.document.error(name.span.start, problem));
                }
            };
            // The group's own table says best how it is written.
            self.groups[place].name.clone_from(&name.value);
            for member in self.document.texts(&entry)? {
                self.add_member(place, member)?;
            }
        }
        Ok(())
    }

    fn add_member(&mut self, group: usize, member: Text) -> Result<()> {
        if member.value.eq_ignore_ascii_case("@all") {
            let glob = self.glob(&member, "*")?;
            self.globs.push((group, glob, member));
            return Ok(());
        }
        if member.value.starts_with('@') {
            self.references.push((group, member));
            return Ok(());
        }
        for name in self.expand(&member)? {
            if name::is_glob(&name) {
                let glob = self.glob(&member, &name)?;
                self.globs.push((group, glob, member.clone()));
                continue;
            }
            let name = self.check_name(&member, &name)?;
            let key = name::key(name);
            let place = match self.by_key.get(&key) {
                Some(&place) => place,
                None => self.add_server(name.to_owned(), key, member.span.start)?,
            };
            self.groups[group].servers.push(place);
        }
        Ok(())
    }

    /// Puts all together, once every table has been read.
    fn finish(mut self) -> Result<Inventory> {
        self.match_globs()?;
        self.follow_references()?;
        self.sort();
        let groups = Groups::new(&self.groups).map_err(|problem| self.groups_error(problem))?;
        let mut inventory = self.inventory;
        inventory.credential = self.credential.map(|credential| credential.value);
        for found in &self.servers {
            let mut server = inventory.unlisted(&found.name, &found.key);
            if let Some(settings) = found.settings {
                self.settings[settings].apply(&mut server);
            }
            if let Some(address) = &found.address {
                server.address.clone_from(address);
            }
            inventory.servers.push(server);
        }
        for (name, members) in groups.all() {
            for &member in members {
                inventory.servers[member].groups.push(Arc::clone(name));
            }
        }
        inventory.by_key = self.by_key;
        inventory.groups = groups;
        Ok(inventory)
    }

    fn match_globs(&mut self) -> Result<()> {
        let globs = self.globs.len() + self.inventory.overrides.globs();
        if globs.saturating_mul(self.servers.len()) > MAX_GLOB_TESTS {
            let what = "names to try against globs (the globs times the servers)";
            return Err(self.too_many(0, what, MAX_GLOB_TESTS));
        }
        let mut matches = 0;
        for (group, glob, text) in &self.globs {
            let before = self.groups[*group].servers.len();
            let servers = self.servers.iter().enumerate();
            let found = servers.filter(|(_, server)| glob.is_match(&server.key));
            self.groups[*group].servers.extend(found.map(|(place, _)| place));
            let found = self.groups[*group].servers.len() - before;
            matches += found;
            if found == 0 {
                let problem = InventoryProblem::NoMatch(brief(glob.as_str()));
                return Err(self.document.error(text.span.start, problem));
            }
            if matches > MAX_MEMBERSHIPS {
                return Err(self.too_many(text.span.start, MEMBERSHIPS, MAX_MEMBERSHIPS));
            }
        }
        Ok(())
    }

    fn follow_references(&mut self) -> Result<()> {
        for (group, text) in std::mem::take(&mut self.references) {
            let name = &text.value[1..];
            let key = name.to_lowercase();
            let Some(&inner) = self.group_by_key.get(&key) else {
                let known = self.groups.iter().map(|group| &*group.name);
                let near = name::nearest(name, known).map(str::to_owned);
                let problem = InventoryProblem::UnknownGroup { name: brief(name), near };
                return Err(self.document.error(text.span.start, problem));
            };
            self.groups[group].groups.push((inner, text.span.start));
        }
        Ok(())
    }

    /// Puts servers and groups into the order of the text.
    fn sort(&mut self) {
        let moved = sort_by_place(&mut self.servers, |server| server.at);
        for place in self.by_key.values_mut() {
            *place = moved[*place];
        }
        for group in &mut self.groups {
            for place in &mut group.servers {
                *place = moved[*place];
            }
        }
        let moved = sort_by_place(&mut self.groups, |group| group.at);
        for group in &mut self.groups {
            for (place, _) in &mut group.groups {
                *place = moved[*place];
            }
        }
    }

    fn add_server(&mut self, name: String, key: String, at: usize) -> Result<usize> {
        let place = self.servers.len();
        if place == MAX_SERVERS {
            return Err(self.too_many(at, "servers", MAX_SERVERS));
        }
        self.by_key.insert(key.clone(), place);
        self.servers.push(Found { name, key, at, address: None, settings: None });
        Ok(place)
    }

    fn add_group(&mut self, name: &Text) -> Result<usize> {
        let place = self.groups.len();
        if place == MAX_GROUPS {
            return Err(self.too_many(name.span.start, "groups", MAX_GROUPS));
        }
        let bad = |c: char| c.is_whitespace() || "@*?[]{},:\"'/\\".contains(c);
        if let Some((at, c)) = name.value.char_indices().find(|&(_, c)| bad(c)) {
            return Err(self.document.error_in(name, at, InventoryProblem::GroupName(c)));
        }
        let key = name.value.to_lowercase();
        if key == "all" {
            return Err(self.document.error(name.span.start, InventoryProblem::All));
        }
        self.group_by_key.insert(key, place);
        let (name, at) = (name.value.clone(), name.span.start);
        self.groups.push(Draft { name, at, servers: Vec::new(), groups: Vec::new() });
        Ok(place)
    }

    /// The names that a text stands for.
    fn expand(&mut self, text: &Text) -> Result<Vec<String>> {
        let pattern = Pattern::parse(&text.value).map_err(|error| {
            self.document.error_in(text, error.at, InventoryProblem::Range(error.problem))
        })?;
        self.names += pattern.count();
        if self.names > MAX_ALL_NAMES {
            return Err(self.too_many(text.span.start, "names by ranges", MAX_ALL_NAMES));
        }
        Ok(pattern.names().collect())
    }

    /// Checks a name that `text` is or has in a range; gives it without an address's brackets.
    fn check_name<'n>(&self, text: &Text, name: &'n str) -> Result<&'n str> {
        name::check(name).map_err(|(at, problem)| {
            // In a name out of a range, bytes are elsewhere than in the text.
            let at = if name == text.value { at } else { 0 };
            self.document.error_in(text, at, InventoryProblem::Name(problem))
        })
    }

    /// Reads a glob that `text` is or has in a range.
    fn glob(&self, text: &Text, name: &str) -> Result<Glob> {
        if self.globs.len() + self.inventory.overrides.globs() == MAX_GLOBS {
            return Err(self.too_many(text.span.start, "globs", MAX_GLOBS));
        }
        glob(name).map_err(|error| {
            let at = if name == text.value { error.place.byte() } else { 0 };
            self.document.error_in(text, at, InventoryProblem::Glob(error.problem))
        })
    }

    fn check_settings(&self, settings: &Settings) -> Result<()> {
        settings.credential.as_ref().map_or(Ok(()), |credential| self.check_credential(credential))
    }

    fn check_credential(&self, text: &Text) -> Result<()> {
        if self.inventory.credential(&text.value).is_some() {
            return Ok(());
        }
        let known = self.inventory.credentials.iter().map(|(name, _)| &**name);
        let near = name::nearest(&text.value, known).map(str::to_owned);
        let problem = InventoryProblem::UnknownCredential { name: brief(&text.value), near };
        Err(self.document.error(text.span.start, problem))
    }

    fn groups_error(&self, problem: GroupsProblem) -> InventoryError {
        match problem {
            GroupsProblem::Cycle(at, names) => {
                let names: Vec<_> = names.iter().map(|name| format!("@{name}")).collect();
                self.document.error(at, InventoryProblem::Cycle(names.join(" has ")))
            }
            GroupsProblem::TooDeep(at) => self.document.error(at, InventoryProblem::TooDeep),
            GroupsProblem::TooMany(at) => self.too_many(at, MEMBERSHIPS, MAX_MEMBERSHIPS),
        }
    }

    fn too_many(&self, at: usize, what: &'static str, limit: usize) -> InventoryError {
        self.document.error(at, InventoryProblem::TooMany { what, limit })
    }
}

const MEMBERSHIPS: &str = "servers in groups, counted in each group,";

/// Sorts by the place in the text, those of one place in the order they have; gives for each old
/// place the new one.
fn sort_by_place<T>(items: &mut Vec<T>, place: impl Fn(&T) -> usize) -> Vec<usize> {
    let mut with_old: Vec<_> = std::mem::take(items).into_iter().enumerate().collect();
    with_old.sort_by_key(|(_, item)| place(item));
    let mut moved = vec![0; with_old.len()];
    for (new, (old, item)) in with_old.into_iter().enumerate() {
        moved[old] = new;
        items.push(item);
    }
    moved
}
