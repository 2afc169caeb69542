//! Who may read which logs of which servers: rules of groups, and the one predicate that they come
//! to for a person.
//!
//! ```toml
//! [sign-in]
//! groups = ['CORP\dc-admins', 'CORP\helpdesk']   # who may sign in at all
//!
//! [access.helpdesk]
//! groups = ['CORP\helpdesk']
//! on     = ["*"]
//! logs   = ["System", "Application"]
//! ```
//!
//! Rules only ever add: what no rule allows is hidden. `Security` is never meant by wildcards alone.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use quarry_event::filter::Glob;
use quarry_fleet::inventory::Inventory;
use quarry_fleet::pattern::Pattern;
use serde::Deserialize;

/// The log that has to be named: it has names, addresses and command lines of everybody.
const SECURITY: &str = "Security";
/// Most rules, and most entries of each of a rule's lists.
const MOST: usize = 1000;

/// The rules of a file.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    sign_in: Option<Vec<String>>,
    rules: Vec<Arc<Rule>>,
    number: u64,
}

#[derive(Debug)]
struct Rule {
    name: String,
    groups: Vec<String>,
    on: Servers,
    logs: Vec<Glob>,
    /// Whether `Security` is among the logs.
    security: bool,
    may: Vec<Right>,
}

/// A right besides reading events.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Right {
    /// To read who read what.
    Audit,
}

/// The servers that a rule is about.
#[derive(Debug, Default)]
struct Servers {
    names: HashSet<String>,
    globs: Vec<Glob>,
}

/// Why rules can't be understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// It isn't TOML, or has keys or values that rules don't have.
    #[error("{0}")]
    Text(#[from] toml::de::Error),
    /// An entry of a rule is wrong.
    #[error("access.{rule}: {entry:?}: {problem}")]
    Entry {
        /// The rule's name.
        rule: String,
        /// The entry as it is written.
        entry: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A rule without groups, or one that allows nothing.
    #[error("access.{rule}: {problem}")]
    Empty {
        /// The rule's name.
        rule: String,
        /// What it lacks.
        problem: &'static str,
    },
    /// More rules or entries than are allowed.
    #[error("there are more than {MOST} rules, or entries of a rule")]
    TooMany,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Document {
    sign_in: Option<SignIn>,
    #[serde(default)]
    access: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    groups: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    groups: Vec<String>,
    #[serde(default)]
    on: Vec<String>,
    #[serde(default)]
    logs: Vec<String>,
    #[serde(default)]
    may: Vec<Right>,
}

impl Rules {
    /// Reads rules. `@groups` of servers are the inventory's.
    ///
    /// # Errors
    /// The first [`RulesError`] that is found.
    pub fn parse(text: &str, inventory: &Inventory) -> Result<Self, RulesError> {
        let document: Document = toml::from_str(text)?;
        if document.access.len() > MOST {
            return Err(RulesError::TooMany);
        }
        let rules = document
            .access
            .into_iter()
            .map(|(name, entry)| Rule::new(name, entry, inventory).map(Arc::new))
            .collect::<Result<_, _>>()?;
        let sign_in = document.sign_in.map(|sign_in| sign_in.groups);
        Ok(Self { sign_in, rules, number: 0 })
    }

    /// How many of the gate's rules were before these.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The same, as those that come after others.
    pub(super) fn after(self, others: &Self) -> Self {
        Self { number: others.number + 1, ..self }
    }

    /// The groups whose members may sign in; `None` where there is no such list, and then nobody
    /// but administrators of this machine may.
    pub fn sign_in_groups(&self) -> Option<&[String]> {
        self.sign_in.as_deref()
    }

    /// Whether there are any rules, or groups that may sign in.
    pub fn are_there(&self) -> bool {
        self.sign_in.is_some() || !self.rules.is_empty()
    }

    /// Whether a member of these groups may sign in at all.
    pub fn may_sign_in(&self, groups: &[String], is_administrator: bool) -> bool {
        match &self.sign_in {
            Some(allowed) => any_is_in(groups, allowed),
            None => is_administrator,
        }
    }

    /// What a member of these groups may read.
    pub fn scope(&self, groups: &[String]) -> Scope {
        let of_person = |rule: &&Arc<Rule>| any_is_in(groups, &rule.groups);
        Scope(Reach::Rules(self.rules.iter().filter(of_person).cloned().collect()))
    }

    /// Whether a member of these groups has a right.
    pub fn has_right(&self, groups: &[String], right: Right) -> bool {
        let of_person = |rule: &&Arc<Rule>| any_is_in(groups, &rule.groups);
        self.rules.iter().filter(of_person).any(|rule| rule.may.contains(&right))
    }

    /// The groups that may read a log, to be named to who may not.
    pub fn readers(&self, server: &str, log: &str) -> Vec<&str> {
        let allowing = self.rules.iter().filter(|rule| rule.allows(server, log));
        let mut groups: Vec<&str> =
            allowing.flat_map(|rule| rule.groups.iter().map(String::as_str)).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}

/// Whether any of a person's groups is in a list. Names ignore case, as both systems' do for a
/// domain's groups.
fn any_is_in(groups: &[String], list: &[String]) -> bool {
    groups
        .iter()
        .any(|group| list.iter().any(|other| quarry_event::text::eq_ignore_case(group, other)))
}

impl Rule {
    fn new(name: String, entry: Entry, inventory: &Inventory) -> Result<Self, RulesError> {
        let empty = |problem| RulesError::Empty { rule: name.clone(), problem };
        if [&entry.groups, &entry.on, &entry.logs].iter().any(|list| list.len() > MOST) {
            return Err(RulesError::TooMany);
        }
        if entry.groups.is_empty() {
            return Err(empty("no groups; name whom the rule is for"));
        }
        if entry.on.is_empty() != entry.logs.is_empty() {
            return Err(empty("`on` and `logs` go together: which logs of which servers"));
        }
        if entry.on.is_empty() && entry.may.is_empty() {
            return Err(empty("it allows nothing; give it `on` and `logs`, or `may`"));
        }
        let wrong = |entry: &str, problem: String| RulesError::Entry {
            rule: name.clone(),
            entry: entry.to_owned(),
            problem,
        };
        let mut on = Servers::default();
        for text in &entry.on {
            on.add(text, inventory).map_err(|problem| wrong(text, problem))?;
        }
        let glob =
            |text: &String| Glob::parse(text).map_err(|error| wrong(text, error.to_string()));
        let logs = entry.logs.iter().map(glob).collect::<Result<_, _>>()?;
        let security = entry.logs.iter().any(|log| names_security(log));
        Ok(Self { name, groups: entry.groups, on, logs, security, may: entry.may })
    }

    fn allows(&self, server: &str, log: &str) -> bool {
        let is_named = if quarry_event::text::eq_ignore_case(log, SECURITY) {
            self.security
        } else {
            self.logs.iter().any(|glob| glob.is_match(log))
        };
        is_named && self.on.contains(server)
    }
}

/// Whether an entry of `logs` means Security: it has to be spelled out, so that no wildcard that
/// was meant for something else can mean it too.
fn names_security(entry: &str) -> bool {
    quarry_event::text::eq_ignore_case(entry, SECURITY)
}

impl Servers {
    fn add(&mut self, text: &str, inventory: &Inventory) -> Result<(), String> {
        if text.starts_with('@') {
            let servers = inventory.select(text).map_err(|error| error.to_string())?;
            self.names.extend(servers.into_iter().map(|server| key(&server.name)));
            return Ok(());
        }
        let pattern = Pattern::parse(text).map_err(|error| error.to_string())?;
        if pattern.has_range() {
            self.names.extend(pattern.names().map(|name| key(&name)));
        } else if text.contains(['*', '?', '[', '{']) {
            self.globs.push(Glob::parse(text).map_err(|error| error.to_string())?);
        } else if text.is_empty() {
            return Err("name a server, a @group, a range or a glob".to_owned());
        } else {
            self.names.insert(key(text));
        }
        Ok(())
    }

    fn contains(&self, server: &str) -> bool {
        let key = key(server);
        self.names.contains(&key) || self.globs.iter().any(|glob| glob.is_match(&key))
    }
}

/// A server's name as it is compared.
fn key(name: &str) -> String {
    name.trim_end_matches('.').to_lowercase()
}

/// What a person may read: the predicate that stands under every question, before its own filter, for
/// rows, counts, facets, histograms, neighbours, exports and the tail alike.
#[derive(Clone, Debug)]
pub struct Scope(Reach);

#[derive(Clone, Debug)]
enum Reach {
    Everything,
    Rules(Arc<[Arc<Rule>]>),
}

impl Scope {
    /// Everything that is there: of whoever started the program, on their own machine.
    pub fn everything() -> Self {
        Self(Reach::Everything)
    }

    /// Nothing at all.
    pub fn nothing() -> Self {
        Self(Reach::Rules(Arc::new([])))
    }

    /// Whether nothing is hidden.
    pub fn is_everything(&self) -> bool {
        matches!(self.0, Reach::Everything)
    }

    /// Whether any log of a server may be read: one of which none may isn't shown at all.
    pub fn has_server(&self, server: &str) -> bool {
        match &self.0 {
            Reach::Everything => true,
            Reach::Rules(rules) => {
                rules.iter().any(|rule| !rule.logs.is_empty() && rule.on.contains(server))
            }
        }
    }

    /// Whether a log of a server may be read.
    pub fn has_log(&self, server: &str, log: &str) -> bool {
        match &self.0 {
            Reach::Everything => true,
            Reach::Rules(rules) => rules.iter().any(|rule| rule.allows(server, log)),
        }
    }

    /// Whether an event may be read that stands in a log of a server. `channel` is what the event says
    /// itself: of one that was forwarded, or saved into another log, it is the log that it was
    /// written to, and that has to be allowed as well.
    pub fn has_event(&self, server: &str, log: &str, channel: Option<&str>) -> bool {
        let elsewhere = channel.filter(|channel| !quarry_event::text::eq_ignore_case(channel, log));
        self.has_log(server, log) && elsewhere.is_none_or(|channel| self.has_log(server, channel))
    }

    /// The names of the rules that it comes from, for the status page.
    pub fn rules(&self) -> Vec<&str> {
        match &self.0 {
            Reach::Everything => Vec::new(),
            Reach::Rules(rules) => rules.iter().map(|rule| &*rule.name).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVENTORY: &str = r#"
        [servers]
        dc01 = {}
        DC02 = {}
        web01 = {}
        [groups]
        dcs = ["dc01", "DC02"]
    "#;

    const RULES: &str = r#"
        [sign-in]
        groups = ['CORP\dc-admins', 'CORP\helpdesk', 'CORP\audit']
        [access.dc-admins]
        groups = ['CORP\dc-admins']
        on = ["@dcs"]
        logs = ["*"]
        [access.helpdesk]
        groups = ['CORP\helpdesk']
        on = ["*"]
        logs = ["System", "Application", "S*"]
        [access.auditors]
        groups = ['CORP\audit']
        may = ["audit"]
        [access.hunters]
        groups = ['CORP\hunt']
        on = ["web[01:03]", "db?.corp"]
        logs = ["security", "Microsoft-Windows-*"]
    "#;

    fn rules() -> Rules {
        let inventory = Inventory::parse(INVENTORY).expect("an inventory");
        Rules::parse(RULES, &inventory).expect("rules")
    }

    fn scope(groups: &[&str]) -> Scope {
        rules().scope(&groups.iter().map(|&group| group.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn security_has_to_be_spelled_out() {
        let admins = scope(&[r"CORP\dc-admins"]);
        assert!(admins.has_log("dc01", "System"));
        assert!(!admins.has_log("dc01", "Security"));
        assert!(!admins.has_log("dc01", "SECURITY"));
        // `S*` was written for System and Setup.
        let helpdesk = scope(&[r"CORP\helpdesk"]);
        assert!(helpdesk.has_log("dc01", "Setup"));
        assert!(!helpdesk.has_log("dc01", "Security"));
        let hunters = scope(&[r"corp\HUNT"]);
        assert!(hunters.has_log("web02", "Security"));
        assert!(!hunters.has_log("web04", "Security"));
    }

    #[test]
    fn a_forwarded_event_of_security_needs_both_logs() {
        let admins = scope(&[r"CORP\dc-admins"]);
        assert!(admins.has_event("dc01", "ForwardedEvents", Some("System")));
        assert!(!admins.has_event("dc01", "ForwardedEvents", Some("Security")));
        assert!(admins.has_event("dc01", "ForwardedEvents", None));
        assert!(!admins.has_event("dc01", "Security", None));
        assert!(Scope::everything().has_event("dc01", "Security", Some("Security")));
    }

    #[test]
    fn servers_are_groups_names_ranges_and_globs() {
        let admins = scope(&[r"CORP\dc-admins"]);
        assert!(admins.has_server("dc02") && admins.has_server("DC01."));
        assert!(!admins.has_server("web01"));
        let hunters = scope(&[r"CORP\hunt"]);
        for (server, seen) in [
            ("web01", true),
            ("WEB03", true),
            ("web4", false),
            ("db1.corp", true),
            ("db10.corp", false),
        ] {
            assert_eq!(hunters.has_server(server), seen, "{server}");
        }
    }

    #[test]
    fn without_a_rule_nothing_is_seen() {
        for nobody in
            [scope(&[]), scope(&[r"CORP\other"]), Scope::nothing(), scope(&[r"CORP\audit"])]
        {
            assert!(!nobody.has_server("dc01"));
            assert!(!nobody.has_log("dc01", "System"));
        }
        assert!(!Rules::default().scope(&["root".to_owned()]).has_server("dc01"));
    }

    #[test]
    fn who_may_sign_in_is_a_list_and_without_one_administrators() {
        let of = |groups: &[&str]| groups.iter().map(|&group| group.to_owned()).collect::<Vec<_>>();
        assert!(rules().may_sign_in(&of(&[r"corp\Audit"]), false));
        assert!(!rules().may_sign_in(&of(&["sudo"]), true));
        assert!(Rules::default().may_sign_in(&of(&[]), true));
        assert!(!Rules::default().may_sign_in(&of(&["users"]), false));
        let nobody = Rules::parse("[sign-in]\ngroups = []", &Inventory::default()).expect("rules");
        assert!(!nobody.may_sign_in(&of(&["sudo"]), true));
    }

    #[test]
    fn rights_are_the_rules_too_and_readers_are_named() {
        let of = |group: &str| vec![group.to_owned()];
        assert!(rules().has_right(&of(r"CORP\audit"), Right::Audit));
        assert!(!rules().has_right(&of(r"CORP\dc-admins"), Right::Audit));
        assert_eq!(rules().readers("dc01", "System"), [r"CORP\dc-admins", r"CORP\helpdesk"]);
        assert_eq!(rules().readers("web01", "Security"), [r"CORP\hunt"]);
    }

    #[test]
    fn what_is_wrong_in_rules_is_named() {
        let inventory = Inventory::parse(INVENTORY).expect("an inventory");
        let error = |text: &str| Rules::parse(text, &inventory).expect_err(text).to_string();
        let all = |body: &str| error(&format!("[access.a]\n{body}"));
        assert!(all("groups=['x']\non=['@nowhere']\nlogs=['*']").contains("@nowhere"));
        assert!(all("groups=['x']\non=['dc[1:x]']\nlogs=['*']").contains("range"));
        assert!(all("groups=['x']\non=['*']\nlogs=['[a']").contains("[a"));
        assert!(all("groups=[]\non=['*']\nlogs=['*']").contains("no groups"));
        assert!(all("groups=['x']\non=['*']").contains("go together"));
        assert!(all("groups=['x']").contains("allows nothing"));
        assert!(all("groups=['x']\nmay=['everything']").contains("everything"));
        assert!(all("group=['x']").contains("group"));
        assert!(error("[acess.a]\ngroups=['x']").contains("acess"));
    }
}
