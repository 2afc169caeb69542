//! `quarry detect --plan`: which rules can run where, before anything is read.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use quarry_detect::{Counts, Engine, RulePlan};
use quarry_event::filter::Glob;
use quarry_eventlog::{Detail, Direction};
use quarry_fleet::SourceId;

use super::{Detection, named};
use crate::args::{ListArgs, ScanArgs};
use crate::console::{Console, grouped};
use crate::error::{Closed, Failure, Outcome};
use crate::listing::{self, Cell, Column};
use crate::run::Run;

pub(super) fn run(rules: &Detection, args: ScanArgs) -> Result<ExitCode, Failure> {
    let list = |args: ScanArgs| -> Result<ListArgs, Failure> {
        Ok(ListArgs { output: super::by::format(args.output)?, terminal: args.terminal })
    };
    let engine = rules.engine();
    if args.sources.sources.is_empty() {
        let console = Console::of(&args.terminal);
        print(engine, &list(args)?)?;
        rules.summarize_plan(&console);
        return Ok(ExitCode::SUCCESS);
    }
    let mut run = Run::new(&args.terminal, &args.work, Direction::Forward);
    let inputs = run.inputs(&args.sources, &args.servers)?;
    if let Some(file) = inputs.files.first() {
        return Err(Failure::new(format!("--plan: {}: only servers say what they have", file.name()))
            .hint("leave out --plan: what a file lacks is in the summary; --plan alone lists where rules look"));
    }
    let wanted: Vec<Glob> = engine
        .plan()
        .channels()
        .iter()
        .map(|one| Glob::parse(&one.channel))
        .collect::<Result<_, _>>()
        .map_err(|e| Failure::of_option("--mapping", &e))?;
    // A glob each, so that a log that isn't there is no failure.
    let every: Vec<Glob> = Glob::parse("*").into_iter().collect();
    let mut rows = Vec::new();
    let question = move |_: SourceId, log| {
        let every = every.clone();
        async move { quarry_fleet::survey(log, every, Detail::Records).await }
    };
    let asked = run.ask(&inputs.servers, question, |_, n, surveyed, _| {
        let mut has = BTreeSet::new();
        for (log, info) in surveyed {
            let is_wanted = wanted.iter().any(|glob| glob.is_match(&log.0));
            let is_empty = info.as_ref().is_ok_and(|info| info.records == 0);
            if is_wanted && info.is_ok() && !is_empty {
                has.insert(log.0.to_lowercase());
            }
        }
        rows.push((inputs.servers[n].name().to_owned(), has));
        Vec::new()
    });
    if let Err(Closed::Failed(failure)) = asked {
        return Err(failure);
    }
    rows.sort();
    let rows: Vec<Vec<Cell>> =
        rows.iter().map(|(name, has)| of_server(engine, name, has)).collect();
    let columns = [
        Column::text("server"),
        Column::number("run"),
        Column::number("without_branches"),
        Column::number("without_filters"),
        Column::number("cannot"),
        Column::field("because"),
    ];
    listing::print(&columns, &rows, &list(args)?)?;
    run.summarize_servers();
    let outcome = Outcome { matched: true, ..run.outcome() };
    Ok(outcome.exit_code())
}

/// How many rules can run on a server with records of these channels, and why others can't.
fn of_server(engine: &Engine, name: &str, has: &BTreeSet<String>) -> Vec<Cell> {
    let plan = engine.plan();
    let Counts { whole, without_branches, without_filters, cannot, .. } =
        plan.counts(|channel| has.contains(&channel.to_lowercase()));
    let mut because: BTreeMap<String, usize> = BTreeMap::new();
    for rule in plan.rules() {
        if let Some(why) = lack(rule, has) {
            *because.entry(why).or_default() += 1;
        }
    }
    let mut because: Vec<(String, usize)> = because.into_iter().collect();
    because.sort_by_key(|(why, rules)| (std::cmp::Reverse(*rules), why.clone()));
    let because: Vec<String> =
        because.iter().map(|(why, rules)| format!("{why} ({})", grouped(*rules as u64))).collect();
    let number = |n: usize| Cell::new(n as u64, grouped(n as u64));
    let shown: Vec<&str> = because.iter().map(String::as_str).collect();
    vec![
        Cell::text(name),
        number(whole),
        number(without_branches),
        number(without_filters),
        number(cannot),
        Cell::new(because.join("; "), named(&shown)),
    ]
}

/// Why a rule can't run where there are records of these channels only.
fn lack(rule: &RulePlan, has: &BTreeSet<String>) -> Option<String> {
    if let Some(why) = &rule.cannot {
        return Some(why.clone());
    }
    let mut routes = rule.routes.iter().filter(|route| route.reach.runs());
    let first = &routes.clone().next()?.channel;
    let is_there = routes.any(|route| has.contains(&route.channel.to_lowercase()));
    (!is_there).then(|| format!("no records of {first}"))
}

/// Each rule, where it looks, and how much of it can run.
fn print(engine: &Engine, list: &ListArgs) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for (rule, plan) in engine.rules().iter().zip(engine.plan().rules()) {
        let mut row = |channel: &str, ids: String, runs: String| {
            rows.push(vec![
                Cell::text(rule.name.level.clone()),
                Cell::text(rule.name.title.clone()),
                Cell::text(rule.name.id.clone()),
                Cell::text(channel),
                Cell::text(ids),
                Cell::text(runs),
            ]);
        };
        if let (Some(why), true) = (&plan.cannot, plan.routes.is_empty()) {
            row("", String::new(), format!("can't run: {why}"));
        }
        for route in &plan.routes {
            let ids = match &route.ids {
                Some(ids) => ids.iter().map(u64::to_string).collect::<Vec<_>>().join(","),
                None => "all".to_owned(),
            };
            row(&route.channel, ids, route.reach.to_string());
        }
    }
    let columns = [
        Column::text("level"),
        Column::field("rule"),
        Column::field("id"),
        Column::field("channel"),
        Column::field("ids"),
        Column::field("runs"),
    ];
    listing::print(&columns, &rows, list)
}
