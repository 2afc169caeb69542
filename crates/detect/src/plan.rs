//! What is known of rules before any event is read: which run, where, and why others don't.

use std::collections::{BTreeMap, BTreeSet};

/// What is known of each rule.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    rules: Vec<RulePlan>,
}

/// What is known of a rule.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RulePlan {
    /// The events that it looks at.
    pub routes: Vec<Route>,
    /// Why it can't run anywhere.
    pub cannot: Option<String>,
}

/// Events that a rule looks at.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Route {
    /// Their channel.
    pub channel: String,
    /// Their ids, ascending; nothing for all of the channel.
    pub ids: Option<Vec<u64>>,
    /// The list of the mapping that has their fields.
    pub fields: Option<String>,
    /// How much of the rule they can meet.
    pub reach: Reach,
}

/// How much of a rule some events can meet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reach {
    /// All of it.
    Whole,
    /// All but what looks at fields that they lack.
    Part {
        /// Tests that can't hold.
        branches: usize,
        /// Tests that can't take an event away.
        filters: usize,
        /// The fields.
        missing: Vec<String>,
    },
    /// Nothing: it needs fields that they lack.
    Never {
        /// The fields.
        missing: Vec<String>,
    },
}

impl Reach {
    /// Whether the rule can match at all.
    pub fn runs(&self) -> bool {
        !matches!(self, Reach::Never { .. })
    }
}

impl std::fmt::Display for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = |n: usize, one: &str, many: &str| match n {
            1 => format!("1 {one}"),
            n => format!("{n} {many}"),
        };
        match self {
            Reach::Whole => f.write_str("runs"),
            Reach::Part { branches, filters, missing } => {
                let branches = (*branches > 0).then(|| of(*branches, "branch", "branches"));
                let filters = (*filters > 0).then(|| of(*filters, "filter", "filters"));
                let parts: Vec<String> = branches.into_iter().chain(filters).collect();
                write!(f, "runs without {} (no {})", parts.join(" and "), missing.join(", "))
            }
            Reach::Never { missing } => {
                write!(f, "can't match, as its events have no {}", missing.join(", "))
            }
        }
    }
}

/// How many rules run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Whole, wherever they look.
    pub whole: usize,
    /// Somewhere without branches.
    pub without_branches: usize,
    /// Somewhere without filters, and nowhere without branches.
    pub without_filters: usize,
    /// Nowhere.
    pub cannot: usize,
}

/// The events that some rules are about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelIds {
    /// The channel.
    pub channel: String,
    /// The ids, ascending; nothing for all.
    pub ids: Option<Vec<u64>>,
}

impl Plan {
    pub(crate) fn new(rules: Vec<RulePlan>) -> Self {
        Plan { rules }
    }

    /// What is known of each rule, in the engine's order.
    pub fn rules(&self) -> &[RulePlan] {
        &self.rules
    }

    /// How many rules run where there are events of the given channels.
    pub fn counts(&self, has: impl Fn(&str) -> bool) -> Counts {
        self.counts_of(|route| has(&route.channel))
    }

    /// How many rules run where there are events of the given routes.
    pub fn counts_of(&self, has: impl Fn(&Route) -> bool) -> Counts {
        let mut counts = Counts::default();
        for rule in &self.rules {
            let here = rule.routes.iter().filter(|route| route.reach.runs() && has(route));
            let reaches: Vec<&Reach> = here.map(|route| &route.reach).collect();
            // Where one source has it whole, nothing is lost that another source lacks.
            let lost = |of: fn(usize, usize) -> bool| {
                let is_lost = |reach: &&&Reach| match reach {
                    Reach::Part { branches, filters, .. } => of(*branches, *filters),
                    _ => false,
                };
                reaches.iter().any(|reach| is_lost(&reach))
            };
            match () {
                () if reaches.is_empty() => counts.cannot += 1,
                () if reaches.contains(&&Reach::Whole) => counts.whole += 1,
                () if lost(|branches, _| branches > 0) => counts.without_branches += 1,
                () if lost(|_, filters| filters > 0) => counts.without_filters += 1,
                () => counts.whole += 1,
            }
        }
        counts
    }

    /// Why rules can't run at all, each reason with the rules' places.
    pub fn reasons(&self) -> BTreeMap<&str, Vec<usize>> {
        let mut reasons: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (n, rule) in self.rules.iter().enumerate() {
            if let Some(why) = &rule.cannot {
                reasons.entry(why).or_default().push(n);
            }
        }
        reasons
    }

    /// Rules that look at every event of a channel, with the channel.
    pub fn whole_logs(&self) -> impl Iterator<Item = (usize, &str)> {
        self.rules.iter().enumerate().flat_map(|(n, rule)| {
            let whole =
                rule.routes.iter().filter(|route| route.ids.is_none() && route.reach.runs());
            whole.map(move |route| (n, &*route.channel))
        })
    }

    /// The events that the rules are about, by channel.
    pub fn channels(&self) -> Vec<ChannelIds> {
        let mut channels: BTreeMap<String, (String, Option<BTreeSet<u64>>)> = BTreeMap::new();
        let routes = self.rules.iter().flat_map(|rule| &rule.routes);
        for Route { channel, ids, .. } in routes.filter(|route| route.reach.runs()) {
            let (_, known) = channels
                .entry(channel.to_lowercase())
                .or_insert_with(|| (channel.clone(), Some(BTreeSet::new())));
            match (known.as_mut(), ids) {
                (Some(known), Some(ids)) => known.extend(ids),
                (_, None) => *known = None,
                (None, _) => {}
            }
        }
        channels
            .into_values()
            .map(|(channel, ids)| ChannelIds { channel, ids: ids.map(Vec::from_iter) })
            .collect()
    }
}
