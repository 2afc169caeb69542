//! What is said of the rules: how many can run, before servers are asked, and how many ran.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use quarry_detect::Counts;

use super::Detection;
use crate::console::{Console, grouped};
use crate::run::Run;

/// Names that are shown where several have something in common.
const MAX_NAMES: usize = 3;
/// Lines about sources in which different numbers of rules had events.
const MAX_GROUPS: usize = 4;

impl Detection {
    /// Says, before servers are asked, how many rules can run and which make a server send a whole log.
    pub(crate) fn announce(&self, console: &Console, servers: usize) {
        if servers > 0 {
            self.summarize_plan(console);
            self.summarize_whole_logs(console);
        }
    }

    /// Says how many rules ran, and why others didn't: in all, and in each source.
    pub(crate) fn summarize(&self, run: &Run) {
        let console = &run.console;
        let by_source = self.detect.channels();
        let seen: BTreeSet<&str> = by_source.values().flatten().map(String::as_str).collect();
        let plan = self.engine().plan();
        let counts = plan.counts(|channel| seen.contains(&*channel.to_lowercase()));
        let idle = counts.cannot - plan.counts(|_| true).cannot;
        self.summarize_counts(console, &counts, ["ran", "had no event to look at"], idle);
        if run.sources().len() > 1 {
            self.summarize_sources(run, &by_source);
        }
        if idle == 0 {
            return;
        }
        let mut missing: BTreeMap<&str, usize> = BTreeMap::new();
        for rule in plan.rules() {
            let mut routes = rule.routes.iter().filter(|route| route.reach.runs());
            let first = routes.clone().next();
            if let Some(first) = first
                && !routes.any(|route| seen.contains(&*route.channel.to_lowercase()))
            {
                *missing.entry(&first.channel).or_default() += 1;
            }
        }
        let mut missing: Vec<(&str, usize)> = missing.into_iter().collect();
        missing.sort_by_key(|(channel, rules)| (Reverse(*rules), *channel));
        let channels: Vec<String> = missing
            .iter()
            .map(|(channel, rules)| format!("{channel} ({})", grouped(*rules as u64)))
            .collect();
        let channels: Vec<&str> = channels.iter().map(String::as_str).collect();
        console.note(&format!("  no event came of {}", named(&channels)));
    }

    /// Says how many rules had an event to look at in which sources.
    fn summarize_sources(&self, run: &Run, by_source: &BTreeMap<usize, BTreeSet<String>>) {
        let plan = self.engine().plan();
        // Most sources have what others have.
        let mut known: HashMap<&BTreeSet<String>, usize> = HashMap::new();
        let none = BTreeSet::new();
        let mut alike: BTreeMap<Reverse<usize>, Vec<&str>> = BTreeMap::new();
        for (id, name) in run.sources() {
            let seen = by_source.get(&id.index()).unwrap_or(&none);
            let rules = *known.entry(seen).or_insert_with(|| {
                let counts = plan.counts(|channel| seen.contains(&channel.to_lowercase()));
                counts.whole + counts.without_branches + counts.without_filters
            });
            alike.entry(Reverse(rules)).or_default().push(name);
        }
        let without = alike.remove(&Reverse(0));
        for (Reverse(rules), sources) in alike.iter().take(MAX_GROUPS) {
            let rules = grouped(*rules as u64);
            run.console
                .note(&format!("  {rules} had events of their channels in {}", named(sources)));
        }
        let mut rest = alike.iter().skip(MAX_GROUPS);
        if let Some((Reverse(most), first)) = rest.next() {
            let least = alike.last_key_value().map_or(*most, |(Reverse(least), _)| *least);
            let sources = first.len() + rest.map(|(_, sources)| sources.len()).sum::<usize>();
            let (least, most) = (grouped(least as u64), grouped(*most as u64));
            let fewer = if least == most { most } else { format!("{least} to {most}") };
            let sources = grouped(sources as u64);
            run.console.note(&format!(
                "  {fewer} had events of their channels in {sources} more; --plan counts them by \
                 source"
            ));
        }
        if let Some(sources) = without {
            run.console
                .note(&format!("  none had events of their channels in {}", named(&sources)));
        }
    }

    /// Names the rules that make servers send whole logs.
    pub(super) fn summarize_whole_logs(&self, console: &Console) {
        let engine = self.engine();
        let mut whole: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (rule, channel) in engine.plan().whole_logs() {
            whole.entry(channel).or_default().push(engine.rules()[rule].file_name());
        }
        for (channel, rules) in whole {
            let shown = named(&rules);
            console.note(&format!(
                "  {channel} is read whole, because of {shown}; --exclude FILE leaves rules out"
            ));
        }
    }

    /// Says how many rules can run, and why others can't.
    pub(super) fn summarize_plan(&self, console: &Console) {
        let counts = self.engine().plan().counts(|_| true);
        self.summarize_counts(console, &counts, ["can run", ""], 0);
    }

    fn summarize_counts(&self, console: &Console, counts: &Counts, words: [&str; 2], idle: usize) {
        let [ran, were_idle] = words;
        let engine = self.engine();
        let mut parts = vec![format!("{} {ran}", grouped(counts.whole as u64))];
        for (count, what) in [
            (counts.without_branches, &*format!("{ran} without some branches")),
            (counts.without_filters, &*format!("{ran} without some filters")),
            (idle, were_idle),
            (counts.cannot - idle, "can't run"),
            (self.refused.len(), "refused"),
        ] {
            if count > 0 {
                parts.push(format!("{} {what}", grouped(count as u64)));
            }
        }
        let all = engine.rules().len() + self.refused.len();
        let rules = if all == 1 { "rule" } else { "rules" };
        console.note(&format!("{} {rules}: {}", grouped(all as u64), parts.join(", ")));
        let mut elsewhere = 0;
        for (why, rules) in engine.plan().reasons() {
            if rules.iter().all(|rule| is_elsewhere(&engine.rules()[*rule])) {
                elsewhere += rules.len();
                console.detail(|| format!("can't run: {why}: {} rules", rules.len()));
                continue;
            }
            let files: Vec<&str> =
                rules.iter().map(|rule| engine.rules()[*rule].file_name()).collect();
            console.note(&format!("  can't run: {why}: {}", named(&files)));
        }
        if elsewhere > 0 {
            let are = if elsewhere == 1 { "rule is" } else { "rules are" };
            console.note(&format!(
                "  can't run: {} {are} for products other than windows",
                grouped(elsewhere as u64)
            ));
        }
        if self.left_out > 0 {
            console.note(&format!("  {} left out, as asked for", grouped(self.left_out as u64)));
        }
    }
}

/// Whether a rule is for another product.
fn is_elsewhere(rule: &quarry_detect::Rule) -> bool {
    rule.source.product.as_deref().is_some_and(|product| product != "windows")
}

/// Some names, and how many more there are.
pub(super) fn named(names: &[&str]) -> String {
    let shown = names.iter().take(MAX_NAMES).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_NAMES) {
        0 => shown,
        more => format!("{shown} and {} more", grouped(more as u64)),
    }
}
