//! Rules made ready: each in the groups of the channels and ids that it is about, and each group
//! compiled when its first event comes.

mod compile;
mod matcher;
mod routes;

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};

use crate::mapping::Mapping;
use crate::plan::{Plan, Route, RulePlan};
use crate::rule::Rule;

use compile::Compiled;
pub use matcher::{Channels, Matcher};

/// The most bytes of text that the rules of all groups may have, a rule counted in each.
const MAX_GROUPED: usize = 8 << 20;
/// The texts that a rule may have to be compiled with the others of its groups, in bytes: the largest
/// with which all groups are within [`MAX_GROUPED`].
const GROUPED: [usize; 5] = [16 << 10, 4 << 10, 1 << 10, 256, 0];
/// The most memory of the automata that are tables, in bytes. Others are slower and smaller.
const MAX_TABLES: usize = 64 << 20;

/// Rules, ready for events. Threads share it, each with a [`Matcher`] of its own.
pub struct Engine {
    rules: Vec<Rule>,
    mapping: Mapping,
    plan: Plan,
    /// By the channel's name in lowercase.
    channels: HashMap<String, Channel>,
    groups: Vec<Group>,
    /// The memory that automata which are tables may take yet, in bytes.
    tables_left: AtomicUsize,
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
    /// The groups of rules with much text, which other groups share: each has one rule.
    shared: Vec<usize>,
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
        let weights: Vec<usize> =
            rules.iter().map(|rule| compile::weight(&rule.detection)).collect();
        let mut groups = Groups::new(weights);
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
        let groups = groups.finish();
        let tables_left = AtomicUsize::new(MAX_TABLES);
        Engine { plan: Plan::new(plans), rules, mapping, channels, groups, tables_left }
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
        group.compiled.get_or_init(|| {
            compile::compile(&group.members, &self.rules, &self.mapping, &self.tables_left)
        })
    }

    /// The groups that are compiled on their own and belong to one.
    fn shared(&self, group: usize) -> &[usize] {
        &self.groups[group].shared
    }
}

/// Groups, each made once however many channels and ids have it.
struct Groups {
    known: HashMap<Vec<Member>, usize>,
    made: Vec<Vec<Member>>,
    /// How many bytes of text each rule has.
    weights: Vec<usize>,
}

impl Groups {
    fn new(weights: Vec<usize>) -> Self {
        Groups { known: HashMap::new(), made: Vec::new(), weights }
    }

    fn of(&mut self, mut members: Vec<Member>) -> usize {
        members.sort_by(|a, b| (a.rule, &a.fields).cmp(&(b.rule, &b.fields)));
        members.dedup();
        if let Some(&known) = self.known.get(&members) {
            return known;
        }
        let n = self.made.len();
        self.made.push(members.clone());
        self.known.insert(members, n);
        n
    }

    /// The groups. A rule without an id is in each group of its channel, so one with much text is
    /// compiled once for all of them.
    fn finish(self) -> Vec<Group> {
        let weights = self.weights;
        let weight = |member: &Member| weights[member.rule];
        let all = |most: usize| -> usize {
            let light = self.made.iter().flatten().map(weight).filter(|weight| *weight <= most);
            light.fold(0, usize::saturating_add)
        };
        let most = GROUPED.into_iter().find(|most| all(*most) <= MAX_GROUPED).unwrap_or(0);
        let mut alone: HashMap<Member, usize> = HashMap::new();
        let mut heavy = Vec::new();
        let count = self.made.len();
        let mut groups: Vec<Group> = Vec::with_capacity(count);
        for members in self.made {
            let (members, large): (Vec<Member>, Vec<Member>) =
                members.into_iter().partition(|member| weight(member) <= most);
            let shared = large.into_iter().map(|member| {
                *alone.entry(member.clone()).or_insert_with(|| {
                    heavy.push(Group::new(vec![member], Vec::new()));
                    count + heavy.len() - 1
                })
            });
            let shared = shared.collect();
            groups.push(Group::new(members, shared));
        }
        groups.extend(heavy);
        groups
    }
}

impl Group {
    fn new(members: Vec<Member>, shared: Vec<usize>) -> Self {
        Group { members, shared, compiled: OnceLock::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_with_much_text_is_compiled_once_however_many_groups_it_is_in() {
        let member = |rule| Member { rule, fields: None };
        let mut groups = Groups::new(vec![100, 100 << 10, 100]);
        assert_eq!(groups.of(vec![member(1), member(0)]), 0);
        assert_eq!(groups.of(vec![member(1), member(2)]), 1);
        assert_eq!(groups.of(vec![member(0), member(1)]), 0);
        let groups = groups.finish();
        let rules = |n: usize| groups[n].members.iter().map(|one| one.rule).collect::<Vec<_>>();
        assert_eq!((groups.len(), rules(0), rules(1), rules(2)), (3, vec![0], vec![2], vec![1]));
        assert_eq!((&groups[0].shared, &groups[1].shared), (&vec![2], &vec![2]));
    }

    #[test]
    fn so_many_groups_that_they_would_not_fit_have_their_rules_by_themselves() {
        let member = |rule| Member { rule, fields: None };
        let mut groups = Groups::new(vec![10 << 10; 2000]);
        for n in 0..1999 {
            groups.of(vec![member(n), member(1999)]);
        }
        let groups = groups.finish();
        assert_eq!(groups.len(), 1999 + 2000);
        assert!(groups[..1999].iter().all(|group| group.members.is_empty()));
    }
}
