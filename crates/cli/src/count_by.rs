//! `quarry count --by`: how many events there are for each combination of some fields' texts, over
//! all sources, the most frequent first.
//!
//! Memory is bounded: up to [`MAX_GROUPS`] groups and [`MAX_BYTES`] of their texts are told apart.
//! A group that is there is counted exactly; events of groups that come after that are counted
//! together, in a row that says so.

use std::process::ExitCode;
use std::sync::Arc;

use hashbrown::HashMap;
use quarry_collect::{Delivery, Next, Sink};
use quarry_event::output::Column as EventColumn;
use serde_json::Value as Json;

use crate::args::CountArgs;
use crate::console::grouped;
use crate::error::{Closed, Failure, delivered};
use crate::filter::{Question, Zone};
use crate::listing::{self, Cell, Column};
use crate::print;
use crate::run::Run;
use crate::source::Inputs;
use crate::tallies::{Count, Key, Tallies, Tally};

/// Groups that are told apart.
const MAX_GROUPS: usize = 1_000_000;
/// The bytes of their texts.
const MAX_BYTES: usize = 128 << 20;

/// The fields that events are counted by; nothing where there are none.
pub(crate) fn fields(args: &CountArgs) -> Result<Option<Vec<EventColumn>>, Failure> {
    let fields = print::columns("--by", &args.by)?;
    if fields.as_ref().is_some_and(|fields| fields.contains(&EventColumn::EachData)) {
        return Err(Failure::new("--by: data.* is not one value").hint("name one: data.NAME"));
    }
    Ok(fields)
}

/// Counts, and prints the groups.
pub(crate) fn run(
    mut run: Run,
    inputs: Inputs,
    question: Question,
    fields: Vec<EventColumn>,
    args: &CountArgs,
) -> Result<ExitCode, Failure> {
    let selection = Arc::new(question.selection);
    let count = Count::by(Key::Fields(fields.clone()));
    let mut groups = Groups::default();
    delivered(run.read(inputs, &selection, &count, &mut groups))?;
    let zone = listing::zone(&Zone::new(&args.output.terminal)?, &args.output);
    let others = groups.others;
    let row = |texts: Vec<Cell>, tally: &Tally, is_others: bool| {
        let mut row = texts;
        row.push(Cell::new(tally.events, grouped(tally.events)));
        row.extend([tally.oldest, tally.newest].map(|time| Cell::time(time, &zone)));
        row.extend(others.map(|_| Cell::new(is_others, if is_others { "yes" } else { "" })));
        row
    };
    let sorted = groups.sorted();
    let shown = args.lines.map_or(sorted.len(), |lines| lines.min(sorted.len()));
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for (key, tally) in &sorted[..shown] {
        let texts = key.split('\0').zip(&fields).map(|(text, field)| cell(text, field)).collect();
        rows.push(row(texts, tally, false));
    }
    if let Some(tally) = &others {
        let texts = fields.iter().map(|_| Cell::new(Json::Null, "(others)")).collect();
        rows.push(row(texts, tally, true));
    }
    let mut columns: Vec<Column> =
        fields.iter().map(|field| Column::field(&field.name())).collect();
    columns.push(Column::number("records"));
    columns.extend(["oldest", "newest"].map(|name| Column::time(name, &zone)));
    columns.extend(others.map(|_| Column::text("others")));
    listing::print(&columns, &rows, &args.output)?;
    if let Some(tally) = &others {
        run.console.warning(&format!(
            "more than {} groups, too many to tell apart: {} records of those that came last are \
             counted together",
            grouped(sorted.len() as u64),
            grouped(tally.events)
        ));
    }
    if shown < sorted.len() {
        let records: u64 = sorted[shown..].iter().map(|(_, tally)| tally.events).sum();
        let more = grouped((sorted.len() - shown) as u64);
        run.console.note(&format!("{more} more groups with {} records", grouped(records)));
    }
    run.summarize();
    Ok(run.outcome().exit_code())
}

/// The cell of a field: a number is one in JSON too, without its name, and no text is null.
fn cell(text: &str, field: &EventColumn) -> Cell {
    let number = text.split_once(" (").filter(|_| field.named().is_some());
    match (text, number.map_or(text, |(number, _)| number).parse::<u64>()) {
        ("", _) => Cell::new(Json::Null, ""),
        (_, Ok(number)) if field.is_number() => Cell::new(number, text),
        _ => Cell::text(text),
    }
}

/// What was counted.
pub(crate) struct Groups {
    groups: HashMap<String, Tally>,
    bytes: usize,
    max_groups: usize,
    max_bytes: usize,
    /// Events of groups for which there was no room.
    others: Option<Tally>,
}

impl Default for Groups {
    fn default() -> Self {
        Groups::new(MAX_GROUPS, MAX_BYTES)
    }
}

impl Sink for Groups {
    type Output = Tallies;
    type Error = Closed;

    fn take(&mut self, delivery: &mut Delivery<Tallies>) -> Result<Next, Closed> {
        self.add(&delivery.output);
        Ok(Next::Go)
    }
}

impl Groups {
    fn new(max_groups: usize, max_bytes: usize) -> Self {
        Groups { groups: HashMap::new(), bytes: 0, max_groups, max_bytes, others: None }
    }

    /// Adds what a batch has.
    fn add(&mut self, batch: &Tallies) {
        for (key, tally) in batch.iter() {
            if let Some(sum) = self.groups.get_mut(key) {
                sum.add(tally);
            } else if self.groups.len() < self.max_groups
                && self.bytes + key.len() <= self.max_bytes
            {
                self.bytes += key.len();
                self.groups.insert(key.to_owned(), *tally);
            } else {
                self.others.get_or_insert_default().add(tally);
            }
        }
    }

    /// The groups, the most frequent first; those that are as frequent in the order of their texts.
    pub(crate) fn sorted(self) -> Vec<(String, Tally)> {
        let mut groups: Vec<(String, Tally)> = self.groups.into_iter().collect();
        groups.sort_unstable_by(|(a, x), (b, y)| y.events.cmp(&x.events).then_with(|| a.cmp(b)));
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_beyond_the_bound_are_counted_together_and_those_within_exactly() {
        let batch = |keys: &[&str]| {
            let tally = Tally { events: 2, ..Tally::default() };
            let mut batch = Tallies::default();
            keys.iter().for_each(|key| batch.add(key, &tally));
            batch
        };
        let mut groups = Groups::new(2, 100);
        groups.add(&batch(&["a", "b"]));
        groups.add(&batch(&["a", "c", "d"]));
        groups.add(&batch(&["b", "d"]));
        assert_eq!(groups.others.unwrap().events, 6);
        let sorted: Vec<_> = groups.sorted().into_iter().map(|(k, t)| (k, t.events)).collect();
        assert_eq!(sorted, [("a".to_owned(), 4), ("b".to_owned(), 4)]);
        let mut groups = Groups::new(100, 3);
        groups.add(&batch(&["long", "ok"]));
        assert_eq!((groups.groups.len(), groups.others.unwrap().events), (1, 2));
    }
}
