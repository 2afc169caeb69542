//! `quarry processes`: which process started which, by host, with their command lines.

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;

use quarry_collect::{Found, Work};
use quarry_event::{EventTime, Field, FieldSource};
use serde_json::Value as Json;

use super::{Gather, Rows, account, gather, print, route, text, text_cell, values};
use crate::args::AnswerArgs;
use crate::error::Failure;
use crate::listing::{Cell, Column};

const SYSMON: &str = "Microsoft-Windows-Sysmon/Operational";
const SYSMON_START: u64 = 1;
const SYSMON_END: u64 = 5;
const START: u64 = 4688;
const END: u64 = 4689;

/// How far the times of a Sysmon 1 and of the 4688 about the same process may be apart, in units of
/// 100 ns: ten seconds.
const NEAR: i64 = 100_000_000;

/// The deepest that a tree is indented; what is deeper stands there too.
const MAX_INDENT: usize = 40;

pub(crate) fn run(args: AnswerArgs) -> Result<ExitCode, Failure> {
    let routes = vec![route(SYSMON, &[SYSMON_START, SYSMON_END]), route("Security", &[START, END])];
    let (asked, hosts) = gather(&args, routes, &Read, Hosts::default())?;
    let zone = asked.zone.get();
    let mut rows = Vec::new();
    let mut both = Vec::new();
    for (host, mut events) in hosts.0 {
        if without_doubles(&mut events) > 0 {
            both.push(host.clone());
        }
        for Line { process, depth, parent } in tree(events) {
            let start = &process.start;
            let name = if start.command.is_empty() { &start.image } else { &start.command };
            let shown = format!("{}{name}", "· ".repeat(depth.min(MAX_INDENT)));
            let number = |n: Option<u64>| match n {
                Some(n) => Cell::new(n, n.to_string()),
                None => Cell::new(Json::Null, ""),
            };
            rows.push(vec![
                text_cell(&host),
                Cell::time(start.time, &zone),
                Cell::time(process.end, &zone),
                number(start.pid),
                number(parent.or(start.parent_pid)),
                Cell::new(depth as u64, depth.to_string()),
                text_cell(&start.user),
                text_cell(&start.image),
                Cell::new(if name.is_empty() { Json::Null } else { name.clone().into() }, shown),
            ]);
        }
    }
    if let [first, rest @ ..] = &*both {
        let more =
            if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
        let what = "has both Sysmon 1 and 4688 of processes, and Sysmon's are shown of these";
        asked.run.console.note(&format!("{first}{more} {what}"));
    }
    let columns = [
        Column::text("host").giving_way().dropped(6),
        Column::time("started", &zone),
        Column::time("ended", &zone).dropped(2),
        Column::number("pid"),
        Column::number("parent").dropped(4),
        Column::number("depth").dropped(1),
        Column::text("user").giving_way().dropped(5),
        Column::text("image").giving_way().path().dropped(3),
        Column::text("command").main(),
    ];
    print(args, asked, "Processes", &columns, &rows)
}

/// An event about a process.
#[derive(Clone, Debug, Default)]
struct Event {
    host: String,
    of_sysmon: bool,
    is_start: bool,
    time: Option<EventTime>,
    pid: Option<u64>,
    parent_pid: Option<u64>,
    /// What tells the process for ever, where there is such: Sysmon's.
    guid: String,
    parent_guid: String,
    user: String,
    image: String,
    command: String,
}

#[derive(Debug)]
struct Process {
    start: Event,
    end: Option<EventTime>,
    children: Vec<usize>,
}

/// A process at its place in the tree.
struct Line {
    process: Process,
    depth: usize,
    /// The number of the process that started it, where that is in the tree.
    parent: Option<u64>,
}

/// Leaves out each 4688 of a process that Sysmon has too, which has more to say, and counts
/// them: one of the same number, and about the same time.
fn without_doubles(events: &mut Vec<Event>) -> usize {
    let mut of_sysmon: HashMap<u64, Vec<Option<EventTime>>> = HashMap::new();
    for event in events.iter().filter(|event| event.of_sysmon && event.is_start) {
        of_sysmon.entry(event.pid.unwrap_or_default()).or_default().push(event.time);
    }
    // What has no time is least, and first.
    of_sysmon.values_mut().for_each(|times| times.sort_unstable());
    let is_double = |event: &Event| {
        let times = of_sysmon.get(&event.pid.unwrap_or_default())?;
        let Some(time) = event.time else { return Some(true) };
        let shifted =
            |by: i64| Some(EventTime::from_filetime(time.as_filetime().saturating_add_signed(by)));
        let first = times.partition_point(|other| *other < shifted(-NEAR));
        Some(times.get(first).is_some_and(|other| *other <= shifted(NEAR)))
    };
    let before = events.len();
    events.retain(|event| event.of_sysmon || !event.is_start || !is_double(event).unwrap_or(false));
    before - events.len()
}

/// Puts a host's processes in the order of a tree: each after the one that started it.
fn tree(mut events: Vec<Event>) -> Vec<Line> {
    events.sort_by_key(|event| (event.time, !event.is_start));
    let mut processes: Vec<Process> = Vec::new();
    let mut by_guid: HashMap<String, usize> = HashMap::new();
    // Numbers are used again: the last that has one is meant.
    let mut by_pid: HashMap<u64, usize> = HashMap::new();
    let mut roots = Vec::new();
    for event in events {
        let known = match event.guid.is_empty() {
            false => by_guid.get(&event.guid).copied(),
            true => event.pid.and_then(|pid| by_pid.get(&pid).copied()),
        };
        if !event.is_start {
            if let Some(known) = known {
                processes[known].end = event.time;
                if let Some(pid) = event.pid.filter(|pid| by_pid.get(pid) == Some(&known)) {
                    by_pid.remove(&pid);
                }
            }
            continue;
        }
        // A copy of a log has it again.
        let is_copy = |known: usize| {
            let start = &processes[known].start;
            start.time == event.time && start.image == event.image && start.command == event.command
        };
        if known.is_some_and(is_copy) {
            continue;
        }
        let parent = match event.parent_guid.is_empty() {
            // One that only 4688 tells of has no identifier.
            false => by_guid.get(&event.parent_guid).copied().or_else(|| {
                let parent = event.parent_pid.and_then(|pid| by_pid.get(&pid).copied())?;
                processes[parent].start.guid.is_empty().then_some(parent)
            }),
            true => event.parent_pid.and_then(|pid| by_pid.get(&pid).copied()),
        };
        let n = processes.len();
        match parent {
            Some(parent) => processes[parent].children.push(n),
            None => roots.push(n),
        }
        if !event.guid.is_empty() {
            by_guid.insert(event.guid.clone(), n);
        }
        by_pid.extend(event.pid.map(|pid| (pid, n)));
        processes.push(Process { start: event, end: None, children: Vec::new() });
    }
    let mut lines = Vec::with_capacity(processes.len());
    let mut slots: Vec<Option<Process>> = processes.into_iter().map(Some).collect();
    // Not by calls, as a chain of processes may be as long as its log.
    let mut open: Vec<(usize, usize, Option<u64>)> =
        roots.into_iter().rev().map(|root| (root, 0, None)).collect();
    while let Some((n, depth, parent)) = open.pop() {
        let Some(process) = slots[n].take() else { continue };
        let pid = process.start.pid;
        open.extend(process.children.iter().rev().map(|child| (*child, depth + 1, pid)));
        lines.push(Line { process, depth, parent });
    }
    lines
}

/// Events by host.
#[derive(Default)]
struct Hosts(BTreeMap<String, Vec<Event>>);

impl Gather<Event> for Hosts {
    fn take(&mut self, event: Event) -> usize {
        let bytes = event.bytes();
        self.0.entry(event.host.clone()).or_default().push(event);
        bytes
    }
}

impl Event {
    fn bytes(&self) -> usize {
        let texts = [&self.host, &self.guid, &self.parent_guid, &self.user, &self.image];
        texts.iter().map(|text| text.len()).sum::<usize>() + self.command.len() + size_of::<Event>()
    }
}

/// Reads events about processes.
struct Read;

impl Work for Read {
    type Worker = ();
    type Output = Rows<Event>;

    fn worker(&self) {}

    fn event<S: FieldSource>(
        &self,
        (): &mut (),
        event: &S,
        _: &Found<'_>,
        output: &mut Rows<Event>,
    ) {
        let id = event.field(Field::EventId).as_u64();
        let made = Event {
            host: text(event.field(Field::Computer)),
            time: event.field(Field::TimeCreated).as_time(),
            ..match id {
                Some(START | END) => of_security(event, id == Some(START)),
                _ => of_sysmon(event, id == Some(SYSMON_START)),
            }
        };
        let bytes = made.bytes();
        output.add(made, bytes);
    }
}

fn of_sysmon<S: FieldSource>(event: &S, is_start: bool) -> Event {
    let [guid, parent_guid, pid, parent_pid, user, image, command] = values(
        event,
        [
            "ProcessGuid",
            "ParentProcessGuid",
            "ProcessId",
            "ParentProcessId",
            "User",
            "Image",
            "CommandLine",
        ],
    );
    Event {
        of_sysmon: true,
        is_start,
        pid: number(&pid),
        parent_pid: number(&parent_pid),
        guid,
        parent_guid,
        user,
        image,
        command,
        ..Event::default()
    }
}

/// 4688 has the new process' number in NewProcessId and its creator's in ProcessId, 4689 that of
/// what ended in ProcessId.
fn of_security<S: FieldSource>(event: &S, is_start: bool) -> Event {
    let [new, pid, domain, name, image, command] = values(
        event,
        [
            "NewProcessId",
            "ProcessId",
            "SubjectDomainName",
            "SubjectUserName",
            "NewProcessName",
            "CommandLine",
        ],
    );
    Event {
        is_start,
        pid: number(if is_start { &new } else { &pid }),
        parent_pid: number(&pid).filter(|_| is_start),
        user: account(&domain, &name),
        image,
        command,
        ..Event::default()
    }
}

/// A number in decimal or `0x…`.
fn number(text: &str) -> Option<u64> {
    quarry_event::Value::Str(text).as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(is_start: bool, time: u64, pid: u64, parent: u64, image: &str) -> Event {
        Event {
            is_start,
            time: Some(EventTime::from_filetime(time)),
            pid: Some(pid),
            parent_pid: Some(parent),
            image: image.to_owned(),
            ..Event::default()
        }
    }

    fn shown(mut events: Vec<Event>) -> Vec<String> {
        let line = |line: Line| format!("{}{}", "-".repeat(line.depth), line.process.start.image);
        without_doubles(&mut events);
        tree(events).into_iter().map(line).collect()
    }

    #[test]
    fn a_4688_is_left_out_where_sysmon_tells_of_the_same_process() {
        const SECOND: u64 = 10_000_000;
        let sysmon = |time, pid, image: &str| Event {
            of_sysmon: true,
            guid: format!("{{{image}}}"),
            parent_guid: "{0}".to_owned(),
            ..event(true, time, pid, 1, image)
        };
        let events = vec![
            event(true, 100 * SECOND, 5, 1, "before Sysmon was there"),
            sysmon(200 * SECOND, 6, "both"),
            event(true, 203 * SECOND, 6, 5, "the same"),
            // The number again, long after.
            event(true, 300 * SECOND, 6, 5, "another"),
        ];
        assert_eq!(shown(events), ["before Sysmon was there", "-another", "both"]);
    }

    #[test]
    fn a_process_stands_after_the_one_that_started_it_and_numbers_are_used_again() {
        let events = vec![
            event(true, 30, 8, 5, "c"),
            event(true, 10, 5, 1, "a"),
            event(true, 20, 7, 5, "b"),
            event(true, 25, 9, 7, "b1"),
            event(false, 26, 7, 0, ""),
            // Another one with the number of b, which has ended.
            event(true, 40, 7, 8, "d"),
            event(true, 50, 11, 7, "d1"),
            event(true, 60, 12, 99, "e"),
            // A copy.
            event(true, 60, 12, 99, "e"),
        ];
        assert_eq!(shown(events), ["a", "-b", "--b1", "-c", "--d", "---d1", "e"]);
    }

    #[test]
    fn sysmon_s_own_identifiers_count_more_than_numbers() {
        let sysmon = |time, pid, parent, guid: &str, parent_guid: &str| Event {
            of_sysmon: true,
            guid: guid.to_owned(),
            parent_guid: parent_guid.to_owned(),
            ..event(true, time, pid, parent, guid)
        };
        let events = vec![
            sysmon(10, 5, 1, "{a}", "{0}"),
            sysmon(20, 5, 1, "{b}", "{0}"),
            sysmon(30, 6, 5, "{c}", "{a}"),
            event(true, 40, 9, 5, "of 4688"),
        ];
        assert_eq!(shown(events), ["{a}", "-{c}", "{b}", "-of 4688"]);
    }

    #[test]
    fn a_chain_of_any_length_is_a_tree() {
        let events = (0..100_000).map(|n| event(true, n, n + 1, n, "x")).collect();
        assert_eq!(shown(events).len(), 100_000);
    }
}
