//! `quarry detect`: the events of the sources that match Sigma rules.

mod by;
mod explain;
mod load;
mod plan;

use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::process::ExitCode;
use std::sync::Arc;

use quarry_collect::Detect;
use quarry_detect::{Counts, Engine, RuleError};
use quarry_event::filter::{Ids, Route};

use crate::args::{DetectArgs, Format, ScanFormat, TailArgs};
use crate::console::{Console, grouped};
use crate::error::{Failure, Outcome};
use crate::run::Run;
use crate::{scan, tail};

/// Rules that are named where several have something in common.
const MAX_NAMES: usize = 3;

pub(crate) fn run(mut args: DetectArgs) -> Result<ExitCode, Failure> {
    let console = Console::of(&args.scan.show.terminal);
    // The system takes all memory back when the program ends; nobody waits for thousands of rules to
    // give theirs back piece by piece.
    let rules = ManuallyDrop::new(Detection::load(&args, &console)?);
    // These rules, and no others, are what events are tested for.
    args.scan.read.filter.rule.clear();
    if let Some(rule) = &args.explain {
        return explain::run(&rules, rule, &args.scan);
    }
    if args.plan {
        return plan::run(&rules, args.scan);
    }
    match args.by {
        Some(by) => by::run(&rules, by, args.scan).map(Outcome::exit_code),
        None if args.follow => follow(&rules, args),
        None => scan::read(&args.scan, Some(&rules)).map(Outcome::exit_code),
    }
}

fn follow(rules: &Detection, args: DetectArgs) -> Result<ExitCode, Failure> {
    let scan = args.scan;
    let output = match scan.output {
        Some(ScanFormat::Evtx) => {
            return Err(Failure::new("-o evtx: a log file has an end, and --follow has none")
                .hint("leave out --follow, or choose another format"));
        }
        output => output.and_then(ScanFormat::text),
    };
    let args = TailArgs {
        read: scan.read,
        lines: scan.lines.unwrap_or(0),
        cursor_file: args.cursor_file,
        code_page: scan.show.code_page,
        output: output as Option<Format>,
        fields: scan.fields,
        texts: scan.show.texts,
        terminal: scan.show.terminal,
    };
    tail::follow(&args, Some(rules))
}

/// The rules that events are tested for, and how that goes.
pub(crate) struct Detection {
    detect: Arc<Detect>,
    /// Rules that are refused.
    refused: Vec<RuleError>,
    /// How many were left out, as the options say.
    left_out: usize,
}

impl Detection {
    /// What events pass through.
    pub(crate) fn stage(&self) -> Arc<Detect> {
        Arc::clone(&self.detect)
    }

    fn engine(&self) -> &Engine {
        self.detect.engine()
    }

    /// The events that the rules look at.
    pub(crate) fn routes(&self) -> Vec<Route> {
        let channels = self.engine().plan().channels();
        let route = |one: quarry_detect::ChannelIds| Route {
            channel: one.channel,
            ids: one.ids.map(Ids::of),
        };
        channels.into_iter().map(route).collect()
    }

    /// Says, before servers are asked, how many rules can run and which make a server send a whole log.
    pub(crate) fn announce(&self, console: &Console, servers: usize) {
        if servers > 0 {
            self.summarize_plan(console);
            self.summarize_whole_logs(console);
        }
    }

    /// Says how many rules ran, and why others didn't.
    pub(crate) fn summarize(&self, run: &Run) {
        let console = &run.console;
        let seen = self.detect.channels();
        let plan = self.engine().plan();
        let counts = plan.counts(|channel| seen.contains(&channel.to_lowercase()));
        let idle = counts.cannot - plan.counts(|_| true).cannot;
        self.summarize_counts(console, &counts, ["ran", "had no event to look at"], idle);
        if idle == 0 {
            return;
        }
        let mut missing: BTreeMap<&str, usize> = BTreeMap::new();
        for rule in plan.rules() {
            let mut routes = rule.routes.iter().filter(|route| route.reach.runs());
            let first = routes.clone().next();
            if let Some(first) = first
                && !routes.any(|route| seen.contains(&route.channel.to_lowercase()))
            {
                *missing.entry(&first.channel).or_default() += 1;
            }
        }
        let mut missing: Vec<(&str, usize)> = missing.into_iter().collect();
        missing.sort_by_key(|(channel, rules)| (std::cmp::Reverse(*rules), *channel));
        let channels: Vec<String> = missing
            .iter()
            .map(|(channel, rules)| format!("{channel} ({})", grouped(*rules as u64)))
            .collect();
        let channels: Vec<&str> = channels.iter().map(String::as_str).collect();
        console.note(&format!("  no event came of {}", named(&channels)));
    }

    /// Names the rules that make servers send whole logs.
    fn summarize_whole_logs(&self, console: &Console) {
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
    fn summarize_plan(&self, console: &Console) {
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
fn named(names: &[&str]) -> String {
    let shown = names.iter().take(MAX_NAMES).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_NAMES) {
        0 => shown,
        more => format!("{shown} and {} more", grouped(more as u64)),
    }
}
