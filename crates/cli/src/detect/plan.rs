//! `quarry detect --plan`: which rules can run where, before events are tested: on servers as far as
//! their logs tell, in files exactly.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::Arc;

use quarry_collect::{
    CountKinds, Delivery, Kinds, Next, Notice, Selection, Sink, Source, SourceId,
};
use quarry_detect::{Counts, Engine, PolicyChange, Reach, Route, RulePlan, Subcategory};
use quarry_event::EventTime;
use quarry_event::filter::Glob;
use quarry_eventlog::{Detail, Direction, EventLog, LogError};
use quarry_fleet::Surveyed;
use serde_json::Value as Json;

use super::{Detection, named};
use crate::args::{ListArgs, ScanArgs};
use crate::console::{Console, grouped};
use crate::error::{Closed, Failure, Outcome, delivered};
use crate::input::Input;
use crate::listing::{self, Cell, Column};
use crate::run::Run;
use crate::servers::Server;
use crate::source::Inputs;

/// The log that the audit policy is about.
const SECURITY: &str = "Security";
/// How many of its newest events are looked at.
const NEWEST: u64 = 2000;
/// Ids that are shown of a rule.
const MAX_IDS: usize = 4;

pub(super) fn run(rules: &Detection, args: ScanArgs) -> Result<ExitCode, Failure> {
    let list = |args: ScanArgs| -> Result<ListArgs, Failure> {
        Ok(ListArgs { output: super::by::format(args.output)?, terminal: args.show.terminal })
    };
    let engine = rules.engine();
    if args.read.sources.sources.is_empty() {
        let console = Console::of(&args.show.terminal);
        print(rules, &list(args)?)?;
        rules.summarize_plan(&console);
        return Ok(ExitCode::SUCCESS);
    }
    let mut run = Run::new(&args.show.terminal, &args.show.work, Direction::Forward);
    run.ansi = args.show.code_page.ansi_codepage;
    run.file_options.recover = args.files.recover;
    let inputs = run.inputs(&args.read.sources, &args.read.servers)?;
    let has_servers = !inputs.servers.is_empty();
    let mut rows = of_files(engine, &mut run, inputs.files)?;
    let (of_servers, limits) = of_servers(engine, &mut run, &inputs.servers)?;
    rows.extend(of_servers);
    let columns = [
        Column::field("source").main().path(),
        Column::number("run"),
        Column::number("without_branches").dropped(4),
        Column::number("without_filters").dropped(3),
        Column::number("cannot"),
        Column::number("unseen"),
        Column::field("because").below(),
        Column::field("has").dropped(2),
        Column::field("audit_changes").dropped(1),
    ];
    listing::print(&columns, &rows, &list(args)?)?;
    limits.iter().for_each(|limit| run.console.note(limit));
    if has_servers {
        rules.summarize_whole_logs(&run.console);
    }
    run.summarize_servers();
    let outcome = Outcome { matched: !rows.is_empty(), ..run.outcome() };
    Ok(outcome.exit_code())
}

/// Reads files, and says of each which rules can match what is in it.
fn of_files(engine: &Engine, run: &mut Run, files: Vec<Input>) -> Result<Vec<Vec<Cell>>, Failure> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let mut present = Present::default();
    let inputs = Inputs { files, ..Inputs::default() };
    let selection = Arc::new(Selection::default());
    delivered(run.read(inputs, &selection, &CountKinds, &mut present))?;
    let row = |(name, kinds): &(String, Kinds)| {
        let has = |route: &Route| kinds.has(&route.channel, route.ids.as_deref());
        let counts = engine.plan().counts_of(has);
        let because = reasons(engine, |rule| lack_in_file(rule, kinds));
        let has = kinds.channels().map(|(channel, ids)| {
            let ids: Vec<String> = ids.keys().map(u64::to_string).collect();
            (format!("{channel} {}", ids.join(",")), format!("{channel} ({} ids)", ids.len()))
        });
        let (whole, shown): (Vec<String>, Vec<String>) = has.unzip();
        row(name, &counts, None, &because, (&whole, &shown), kinds.changes())
    };
    Ok(present.0.values().map(row).collect())
}

/// What is in each file, by its place.
#[derive(Default)]
struct Present(BTreeMap<SourceId, (String, Kinds)>);

impl Present {
    fn of(&mut self, source: &Source) -> &mut Kinds {
        let nothing = || (source.name.clone(), Kinds::default());
        &mut self.0.entry(source.id).or_insert_with(nothing).1
    }
}

impl Sink for Present {
    type Output = Kinds;
    type Error = Closed;

    fn take(&mut self, delivery: &mut Delivery<Kinds>) -> Result<Next, Closed> {
        self.of(&delivery.source).merge(&delivery.output);
        Ok(Next::Go)
    }

    fn notice(&mut self, source: &Source, notice: Notice) -> Result<(), Closed> {
        if matches!(notice, Notice::Opened) {
            self.of(source);
        }
        Ok(())
    }
}

/// What a server says of itself.
struct Told {
    logs: Vec<Surveyed>,
    /// The newest events of Security, and how many that log has; or why it can't be read.
    security: Option<Result<(Kinds, u64), LogError>>,
}

async fn ask(log: Arc<dyn EventLog>) -> Result<Told, LogError> {
    // A glob, so that a log that isn't there is no failure.
    let every: Vec<Glob> = Glob::parse("*").into_iter().collect();
    let logs = quarry_fleet::survey(Arc::clone(&log), every, Detail::Records).await?;
    let security = logs.iter().find(|(name, _)| name.0.eq_ignore_ascii_case(SECURITY));
    let security = match security {
        Some((name, Ok(info))) if info.records > 0 => {
            let kinds = quarry_collect::newest_kinds(&*log, name, NEWEST).await;
            Some(kinds.map(|kinds| (kinds, info.records)))
        }
        Some((_, Err(error))) => Some(Err(error.clone())),
        _ => None,
    };
    Ok(Told { logs, security })
}

/// Asks servers for their logs and the newest events of Security, and says of each which rules can
/// run there; and what can't be known.
fn of_servers(
    engine: &Engine,
    run: &mut Run,
    servers: &[Server],
) -> Result<(Vec<Vec<Cell>>, Vec<String>), Failure> {
    let wanted: Vec<Glob> = engine
        .plan()
        .channels()
        .iter()
        .map(|one| Glob::parse(&one.channel))
        .collect::<Result<_, _>>()
        .map_err(|e| Failure::of_option("--mapping", &e))?;
    let mut rows = Vec::new();
    let mut limits = BTreeSet::new();
    let asked = run.ask(servers, |_: quarry_fleet::SourceId, log| ask(log), |_, n, told: Told, _| {
        let mut has = BTreeSet::new();
        for (log, info) in told.logs {
            let is_wanted = wanted.iter().any(|glob| glob.is_match(&log.0));
            let is_empty = info.as_ref().is_ok_and(|info| info.records == 0);
            if is_wanted && info.is_ok() && !is_empty {
                has.insert(log.0.to_lowercase());
            }
        }
        let name = servers[n].name().to_owned();
        match &told.security {
            Some(Ok((kinds, all))) if kinds.records() < *all => {
                limits.insert(format!(
                    "  unseen: not among the newest {} events of Security. Over the event protocols a \
                     server doesn't tell its audit policy: they may be off, or not have happened",
                    grouped(NEWEST)
                ));
            }
            Some(Ok(_)) => {
                limits.insert(
                    "  unseen: not in Security at all. Over the event protocols a server doesn't \
                     tell its audit policy: they may be off, or not have happened"
                        .to_owned(),
                );
            }
            Some(Err(error)) => {
                limits.insert(format!("  {name}: Security can't be read: {error}"));
            }
            None => {}
        }
        let seen = told.security.and_then(Result::ok).map(|(kinds, _)| kinds);
        rows.push((name, has, seen));
        Vec::new()
    });
    if let Err(Closed::Failed(failure)) = asked {
        return Err(failure);
    }
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    let row = |(name, has, seen): &(String, BTreeSet<String>, Option<Kinds>)| {
        let counts = engine.plan().counts(|channel| has.contains(&channel.to_lowercase()));
        let mut because = reasons(engine, |rule| lack(rule, has));
        let mut unseen = None;
        let mut names: Vec<String> = Vec::new();
        let mut changes = &[][..];
        if let Some(seen) = seen {
            let rules = reasons(engine, |rule| match lack(rule, has) {
                None => is_unseen(rule, has, seen),
                Some(_) => None,
            });
            unseen = Some(rules.iter().map(|(_, rules)| rules).sum());
            because.extend(rules);
            names = seen.subcategories().map(|one| one.name.to_owned()).collect();
            changes = seen.changes();
        }
        let brief = match names.len() {
            0 => Vec::new(),
            n => vec![format!("{n} of {} audit subcategories", Subcategory::all().len())],
        };
        row(name, &counts, unseen, &because, (&names, &brief), changes)
    };
    Ok((rows.iter().map(row).collect(), limits.into_iter().collect()))
}

/// Reasons with how many rules each has, the most frequent first.
fn reasons(engine: &Engine, why: impl Fn(&RulePlan) -> Option<String>) -> Vec<(String, usize)> {
    let mut because: BTreeMap<String, usize> = BTreeMap::new();
    for why in engine.plan().rules().iter().filter_map(why) {
        *because.entry(why).or_default() += 1;
    }
    let mut because: Vec<(String, usize)> = because.into_iter().collect();
    because.sort_by_key(|(why, rules)| (std::cmp::Reverse(*rules), why.clone()));
    because
}

fn row(
    name: &str,
    counts: &Counts,
    unseen: Option<usize>,
    because: &[(String, usize)],
    (has, shown): (&[String], &[String]),
    changes: &[(EventTime, PolicyChange)],
) -> Vec<Cell> {
    let Counts { whole, without_branches, without_filters, cannot, .. } = *counts;
    let number = |n: usize| Cell::new(n as u64, grouped(n as u64));
    let several = |texts: &[String], shown: &[String]| {
        let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
        Cell::new(texts.to_vec(), named(&shown))
    };
    let because: Vec<String> =
        because.iter().map(|(why, rules)| format!("{why} ({})", grouped(*rules as u64))).collect();
    let changes: Vec<String> = changes
        .iter()
        .map(|(time, change)| {
            let name = change.subcategory.map_or("a subcategory", |one| one.name);
            format!("{time} {name}: {}", change.what)
        })
        .collect();
    vec![
        Cell::text(name),
        number(whole),
        number(without_branches),
        number(without_filters),
        number(cannot),
        unseen.map_or_else(|| Cell::new(Json::Null, ""), number),
        Cell::new(because, ""),
        several(has, shown),
        several(&changes, &changes),
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

/// Why a rule can't match any of the events of a file.
fn lack_in_file(rule: &RulePlan, kinds: &Kinds) -> Option<String> {
    if let Some(why) = &rule.cannot {
        return Some(why.clone());
    }
    let routes = || rule.routes.iter().filter(|route| route.reach.runs());
    if routes().any(|route| kinds.has(&route.channel, route.ids.as_deref())) {
        return None;
    }
    let first = routes().next()?;
    Some(match routes().find(|route| kinds.has(&route.channel, None)) {
        Some(Route { channel, ids: Some(ids), .. }) => {
            format!("{channel} has none of {}", of_ids(channel, ids))
        }
        _ => format!("no records of {}", first.channel),
    })
}

/// What a rule looks for in Security, and nowhere else that there is, and of which no event was
/// seen.
fn is_unseen(rule: &RulePlan, has: &BTreeSet<String>, seen: &Kinds) -> Option<String> {
    let is_here = |route: &&Route| has.contains(&route.channel.to_lowercase());
    let routes = || rule.routes.iter().filter(|route| route.reach.runs()).filter(is_here);
    let is_security = |route: &Route| route.channel.eq_ignore_ascii_case(SECURITY);
    let is_open = |route: &Route| {
        !is_security(route) || route.ids.is_none() || seen.has(SECURITY, route.ids.as_deref())
    };
    if routes().any(is_open) {
        return None;
    }
    let ids = routes().next()?.ids.as_ref()?;
    Some(format!("unseen: {}", of_ids(SECURITY, ids)))
}

/// Ids in words: `4688 (Process Creation)`.
fn of_ids(channel: &str, ids: &[u64]) -> String {
    let shown: Vec<String> = ids.iter().take(MAX_IDS).map(u64::to_string).collect();
    let more = if ids.len() > MAX_IDS { ",..." } else { "" };
    let mut text = shown.join(",") + more;
    if channel.eq_ignore_ascii_case(SECURITY) {
        let names: BTreeSet<&str> =
            ids.iter().flat_map(|id| Subcategory::of_id(*id)).map(|one| one.name).collect();
        // An id of objects may be of many.
        if (1..=2).contains(&names.len()) {
            let names: Vec<&str> = names.into_iter().collect();
            text += &format!(" ({})", names.join(", "));
        }
    }
    text
}

/// Each rule, where it looks, and how much of it can run.
fn print(rules: &Detection, list: &ListArgs) -> Result<(), Failure> {
    let engine = rules.engine();
    let mut rows = Vec::new();
    for (rule, plan) in engine.rules().iter().zip(engine.plan().rules()) {
        let mut row = |channel: &str, ids: String, runs: &str, because: Option<String>| {
            rows.push(vec![
                Cell::text(rule.name.level.clone()),
                Cell::text(rule.name.title.clone()),
                Cell::text(rule.name.id.clone()),
                Cell::text(channel),
                Cell::text(ids),
                Cell::text(runs),
                Cell::new(Vec::from_iter(because), ""),
            ]);
        };
        if let (Some(why), true) = (&plan.cannot, plan.routes.is_empty()) {
            row("", String::new(), "never", Some(why.clone()));
        }
        for route in &plan.routes {
            let ids = match &route.ids {
                Some(ids) => ids.iter().map(u64::to_string).collect::<Vec<_>>().join(","),
                None => "all".to_owned(),
            };
            let (runs, because) = match &route.reach {
                Reach::Whole => ("whole", None),
                Reach::Part { .. } => ("part", Some(route.reach.to_string())),
                _ => ("never", Some(route.reach.to_string())),
            };
            row(&route.channel, ids, runs, because);
        }
    }
    for error in &rules.refused {
        rows.push(vec![
            Cell::text(""),
            Cell::text(format!("{}:{}", error.file, error.line)),
            Cell::text(""),
            Cell::text(""),
            Cell::text(""),
            Cell::text("refused"),
            Cell::new(vec![error.problem.to_string()], ""),
        ]);
    }
    let columns = [
        Column::text("level"),
        Column::field("rule").main(),
        Column::field("id").dropped(1),
        Column::field("channel").at_least(22).path(),
        Column::field("ids").dropped(2),
        Column::text("runs"),
        Column::field("because").below(),
    ];
    listing::print(&columns, &rows, list)
}
