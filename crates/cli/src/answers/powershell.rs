//! `quarry powershell`: script blocks, joined of their parts.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::process::ExitCode;

use quarry_collect::{Found, Work};
use quarry_event::{EventTime, Field, FieldSource};
use serde_json::Value as Json;

use super::{Gather, Rows, gather, print, route, text, text_cell, values};
use crate::args::AnswerArgs;
use crate::error::Failure;
use crate::listing::{Cell, Column};

const SCRIPT_BLOCK: u64 = 4104;

/// The most parts of a block; a block of 10 MiB has some 600.
const MAX_PARTS: u32 = 100_000;

/// Missing parts that are named each in a table.
const MAX_NAMED: usize = 20;
/// Missing parts that are named each in JSON.
const MAX_LISTED: usize = 1000;

pub(crate) fn run(args: AnswerArgs) -> Result<ExitCode, Failure> {
    let channels = ["Microsoft-Windows-PowerShell/Operational", "PowerShellCore/Operational"];
    let routes = channels.iter().map(|channel| route(channel, &[SCRIPT_BLOCK])).collect();
    let (asked, blocks) = gather(&args, routes, &Read, Blocks::default())?;
    let zone = asked.zone.get();
    let mut blocks: Vec<((String, String), Block)> = blocks.0.into_iter().collect();
    blocks.sort_by(|(a, x), (b, y)| (x.first, a).cmp(&(y.first, b)));
    let rows: Vec<Vec<Cell>> = blocks
        .iter()
        .map(|((host, id), block)| {
            let shown = block.missing();
            let missing: Vec<u32> = block.gaps().flatten().take(MAX_LISTED).collect();
            let parts = block.parts.len() as u64;
            let of = format!("{parts} of {}", block.total.max(block.highest()));
            vec![
                Cell::time(block.first, &zone),
                text_cell(host),
                text_cell(&block.user),
                Cell::text(id),
                text_cell(&block.path),
                Cell::text(of),
                Cell::new(if missing.is_empty() { Json::Null } else { missing.into() }, shown),
                Cell::text(block.text()),
            ]
        })
        .collect();
    let columns = [
        Column::time("time", &zone),
        Column::text("host").giving_way().dropped(5),
        Column::text("user").giving_way().dropped(2),
        Column::text("id").giving_way().dropped(1),
        Column::text("path").giving_way().path().dropped(3),
        Column::text("parts").dropped(4),
        Column::text("missing").giving_way(),
        Column::text("script").main(),
    ];
    print(args, asked, "PowerShell script blocks", &columns, &rows)
}

/// A part of a block.
struct Part {
    host: String,
    id: String,
    user: String,
    path: String,
    number: u32,
    total: u32,
    script: String,
    time: Option<EventTime>,
}

#[derive(Default)]
struct Block {
    first: Option<EventTime>,
    user: String,
    path: String,
    total: u32,
    parts: BTreeMap<u32, String>,
}

impl Block {
    fn highest(&self) -> u32 {
        self.parts.last_key_value().map_or(0, |(number, _)| *number)
    }

    /// The parts that are missing.
    fn gaps(&self) -> impl Iterator<Item = RangeInclusive<u32>> {
        let all = self.total.max(self.highest()).min(MAX_PARTS);
        let mut next = 1;
        let ends = self.parts.keys().copied().chain([all.saturating_add(1)]);
        ends.filter_map(move |number| {
            let gap = next..=number.saturating_sub(1);
            next = number.saturating_add(1);
            (!gap.is_empty()).then_some(gap)
        })
    }

    /// The numbers of the parts that are missing, the first of many.
    fn missing(&self) -> String {
        let mut missing = self.gaps().flatten();
        let named: Vec<String> = missing.by_ref().take(MAX_NAMED).map(|n| n.to_string()).collect();
        match missing.count() {
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        }
    }

    /// The parts in their order. Where some are missing, a line says so.
    fn text(&self) -> String {
        let mut gaps = self.gaps().peekable();
        let mut text = String::new();
        let mut mark = |before: u32, text: &mut String| {
            while let Some(gap) = gaps.next_if(|gap| *gap.start() < before) {
                let (first, last) = (*gap.start(), *gap.end());
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push('\n');
                }
                text.push_str(&match first == last {
                    true => format!("[part {first} is missing]\n"),
                    false => format!("[parts {first} to {last} are missing]\n"),
                });
            }
        };
        for (number, part) in &self.parts {
            mark(*number, &mut text);
            text.push_str(part);
        }
        mark(u32::MAX, &mut text);
        text
    }
}

/// Blocks by host and id.
#[derive(Default)]
struct Blocks(HashMap<(String, String), Block>);

impl Gather<Part> for Blocks {
    fn take(&mut self, part: Part) -> usize {
        let Part { host, id, user, path, number, total, script, time } = part;
        let mut bytes = 0;
        let block = self.0.entry((host, id)).or_insert_with(|| {
            bytes += 400;
            Block::default()
        });
        block.first = block.first.into_iter().chain(time).min();
        block.total = block.total.max(total);
        for (known, new) in [(&mut block.user, user), (&mut block.path, path)] {
            if known.is_empty() {
                bytes += new.len();
                *known = new;
            }
        }
        // A copy of a log has the same parts again.
        block.parts.entry(number).or_insert_with(|| {
            bytes += script.len() + 64;
            script
        });
        bytes
    }
}

/// Reads parts of script blocks.
struct Read;

impl Work for Read {
    type Worker = ();
    type Output = Rows<Part>;

    fn worker(&self) {}

    fn event<S: FieldSource>(
        &self,
        (): &mut (),
        event: &S,
        _: &Found<'_>,
        output: &mut Rows<Part>,
    ) {
        let names = ["MessageNumber", "MessageTotal", "ScriptBlockText", "ScriptBlockId", "Path"];
        let [number, total, script, id, path] = values(event, names);
        let count = |text: &str| text.parse::<u32>().unwrap_or(1).clamp(1, MAX_PARTS);
        let part = Part {
            host: text(event.field(Field::Computer)),
            id,
            user: text(event.field(Field::UserId)),
            path,
            number: count(&number),
            total: count(&total),
            script,
            time: event.field(Field::TimeCreated).as_time(),
        };
        let bytes = part.script.len() + part.path.len() + 200;
        output.add(part, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined_in_their_order_and_missing_ones_are_named() {
        let part = |number: u32, script: &str| Part {
            host: "h".into(),
            id: "i".into(),
            user: String::new(),
            path: String::new(),
            number,
            total: 4,
            script: script.into(),
            time: None,
        };
        let mut blocks = Blocks::default();
        for (number, script) in [(3, "c"), (1, "a"), (3, "again")] {
            blocks.take(part(number, script));
        }
        let block = blocks.0.values().next().unwrap();
        assert_eq!(
            (block.text().as_str(), block.missing().as_str()),
            ("a\n[part 2 is missing]\nc\n[part 4 is missing]\n", "2, 4")
        );
        blocks.take(part(2, "b"));
        blocks.take(part(4, "d"));
        let block = blocks.0.values().next().unwrap();
        assert_eq!((block.text().as_str(), block.missing().as_str()), ("abcd", ""));
    }
}
