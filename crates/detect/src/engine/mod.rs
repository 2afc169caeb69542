//! Rules made ready: each in the groups of the channels and ids that it is about, and each group
//! compiled when its first event comes.

mod compile;
mod matcher;
mod routes;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use crate::mapping::Mapping;
use crate::plan::{Plan, Route, RulePlan};
use crate::rule::Rule;

use compile::Compiled;
pub use matcher::{Channels, Matcher};

/// Rules, ready for events. Threads share it, each with a [`Matcher`] of its own.
pub struct Engine {
    rules: Vec<Rule>,
    mapping: Mapping,
    plan: Plan,
    /// By the channel's name in lowercase.
    channels: HashMap<String, Channel>,
    groups: Vec<Group>,
}

/// The groups of a channel's events.
#[derive(Debug, Default)]
struct Channel {
    ids: HashMap<u64, usize>,
    /// Of events with another id.
    others: Option<usize>,
}

/// Rules that look at the same events.
struct Group {
    members: Vec<Member>,
    compiled: OnceLock<Compiled>,
}

/// A rule, and where it looks.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Member {
    rule: usize,
    /// The fields that are made for it, by their name in the mapping.
    fields: Option<String>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (rules, groups) = (self.rules.len(), self.groups.len());
        f.debug_struct("Engine").field("rules", &rules).field("groups", &groups).finish()
    }
}

impl Engine {
    /// Makes rules ready. Those that can't run stay in the [`plan`](Self::plan), with the reason.
    #[must_use]
    pub fn new(rules: Vec<Rule>, mapping: Mapping) -> Self {
        let plans: Vec<RulePlan> = rules.iter().map(|rule| routes::plan(rule, &mapping)).collect();
        // What each (channel, id) has, and what every event of a channel has.
        let mut by_id: HashMap<(String, u64), Vec<Member>> = HashMap::new();
        let mut whole: HashMap<String, Vec<Member>> = HashMap::new();
        for (n, plan) in plans.iter().enumerate() {
            for Route { channel, ids, fields, reach } in &plan.routes {
                if !reach.runs() {
                    continue;
                }
                let channel = channel.to_lowercase();
                let member = Member { rule: n, fields: fields.clone() };
                match ids {
                    None => whole.entry(channel).or_default().push(member),
                    Some(ids) => {
                        for &id in ids {
                            let key = (channel.clone(), id);
                            by_id.entry(key).or_default().push(member.clone());
                        }
                    }
                }
            }
        }
        let mut groups = Groups::default();
        let mut channels: HashMap<String, Channel> = HashMap::new();
        let mut keys: Vec<_> = by_id.into_iter().collect();
        keys.sort_by(|(a, _), (b, _)| a.cmp(b));
        for ((channel, id), mut members) in keys {
            members.extend(whole.get(&channel).into_iter().flatten().cloned());
            let group = groups.of(members);
            channels.entry(channel).or_default().ids.insert(id, group);
        }
        for (channel, members) in whole {
            channels.entry(channel).or_default().others = Some(groups.of(members));
        }
        let groups = groups.made;
        Engine { plan: Plan::new(plans), rules, mapping, channels, groups }
    }

    /// The rules, in the order given.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Which rules run, where, and why others can't.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where log sources are.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Something that tests events: for one thread.
    #[must_use]
    pub fn matcher(self: &Arc<Self>) -> Matcher {
        Matcher::new(Arc::clone(self))
    }

    fn compiled(&self, group: usize) -> &Compiled {
        let group = &self.groups[group];
        group.compiled.get_or_init(|| compile::compile(&group.members, &self.rules, &self.mapping))
    }
}

/// Groups, each made once however many channels and ids have it.
#[derive(Default)]
struct Groups {
    known: HashMap<Vec<Member>, usize>,
    made: Vec<Group>,
}

impl Groups {
    fn of(&mut self, mut members: Vec<Member>) -> usize {
        members.sort_by(|a, b| (a.rule, &a.fields).cmp(&(b.rule, &b.fields)));
        members.dedup();
        if let Some(&known) = self.known.get(&members) {
            return known;
        }
        let n = self.made.len();
        self.made.push(Group { members: members.clone(), compiled: OnceLock::new() });
        self.known.insert(members, n);
        n
    }
}
