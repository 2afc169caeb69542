//! `quarry detect --by`: how many events match, by rule, host or level.

use quarry_collect::{Found, Work};
use quarry_event::text::Plain;
use quarry_event::{Field, FieldSource, RuleName};

use super::Detection;
use crate::args::{By, ListArgs, ListFormat, ScanArgs, ScanFormat};
use crate::console::grouped;
use crate::count_by::Groups;
use crate::error::{Failure, Outcome, delivered};
use crate::filter::{Question, Zone};
use crate::input::FileOptions;
use crate::listing::{self, Cell, Column};
use crate::run::Setup;
use crate::tallies::{Tallies, Tally};

pub(super) fn run(rules: &Detection, by: By, args: ScanArgs) -> Result<Outcome, Failure> {
    let output = format(args.output)?;
    let zone = Zone::new(&args.show.terminal)?;
    let question = Question::beside_rules(&args.read.filter, &zone, &[])?;
    let files = FileOptions { recover: args.files.recover, tell_copies: true };
    let setup = Setup { files, is_routed: true, ..Setup::of(&args.show) };
    let (mut run, inputs) = setup.begin(&question, &args.read)?;
    rules.announce(&run.console, inputs.servers.len());
    let wanted = question.wanted(Some(rules.routes()), &inputs, None)?;
    let mut groups = Groups::default();
    delivered(run.read_through(inputs, &wanted, rules.stage(), &CountHits(by), &mut groups))?;
    let zone = zone.get();
    let mut sorted = groups.sorted();
    if by == By::Level {
        // The worst first, whatever is frequent.
        sorted.sort_by_key(|(level, _)| std::cmp::Reverse(rank(level)));
    }
    let shown = args.lines.and_then(|lines| usize::try_from(lines).ok()).unwrap_or(usize::MAX);
    let rows: Vec<Vec<Cell>> =
        sorted.iter().take(shown).map(|(key, tally)| row(by, key, tally, &zone)).collect();
    let names: &[&str] = match by {
        By::Rule => &["level", "rule", "id"],
        By::Host => &["host"],
        By::Level => &["level"],
    };
    let column = |name: &&str| match *name {
        "level" => Column::text("level"),
        "id" => Column::field("id").dropped(1),
        name => Column::field(name).main(),
    };
    let mut columns: Vec<Column> = names.iter().map(column).collect();
    columns.push(Column::number("events"));
    columns.extend([Column::time("oldest", &zone).dropped(2), Column::time("newest", &zone)]);
    let list = ListArgs { output, terminal: args.show.terminal };
    listing::print(&columns, &rows, &list)?;
    if let Some(more) = sorted.len().checked_sub(shown).filter(|more| *more > 0) {
        run.console.note(&format!("{} more lines", grouped(more as u64)));
    }
    run.summarize();
    rules.summarize(&run);
    Ok(run.outcome())
}

pub(super) fn format(output: Option<ScanFormat>) -> Result<Option<ListFormat>, Failure> {
    let format = match output {
        None => return Ok(None),
        Some(ScanFormat::Table) => ListFormat::Table,
        Some(ScanFormat::Jsonl) => ListFormat::Jsonl,
        Some(ScanFormat::Json) => ListFormat::Json,
        Some(ScanFormat::Csv) => ListFormat::Csv,
        Some(ScanFormat::CsvExact) => ListFormat::CsvExact,
        Some(ScanFormat::List | ScanFormat::Xml | ScanFormat::Evtx) => {
            return Err(Failure::new(
                "-o: counts have the formats table, jsonl, json, csv and csv-exact",
            )
            .hint("leave out --by to print the events"));
        }
    };
    Ok(Some(format))
}

fn rank(level: &str) -> Option<usize> {
    RuleName::LEVELS.iter().position(|known| *known == level)
}

fn row(by: By, key: &str, tally: &Tally, zone: &jiff::tz::TimeZone) -> Vec<Cell> {
    let mut row: Vec<Cell> = match by {
        By::Rule => key.split('\0').map(Cell::text).collect(),
        By::Host | By::Level => vec![Cell::text(key)],
    };
    row.push(Cell::new(tally.events, grouped(tally.events)));
    row.extend([tally.oldest, tally.newest].map(|time| Cell::time(time, zone)));
    row
}

/// Counts events by what is said of their rules.
struct CountHits(By);

impl Work for CountHits {
    type Worker = String;
    type Output = Tallies;

    fn worker(&self) -> String {
        String::new()
    }

    fn event<S: FieldSource>(
        &self,
        key: &mut String,
        event: &S,
        found: &Found<'_>,
        output: &mut Tallies,
    ) {
        let recovered = u64::from(found.origin.recovered);
        let time = event.field(Field::TimeCreated).as_time().filter(|_| !found.origin.recovered);
        let tally = Tally { events: 1, recovered, oldest: time, newest: time, ..Tally::default() };
        let mut add = |key: &str| output.add(key, &tally);
        match self.0 {
            By::Rule => {
                for rule in &found.notes.rules {
                    key.clear();
                    for (n, part) in [&rule.level, &rule.title, &rule.id].into_iter().enumerate() {
                        key.push_str(if n > 0 { "\0" } else { "" });
                        key.extend(part.chars().filter(|c| *c != '\0'));
                    }
                    add(key);
                }
            }
            By::Host => match found.origin.host {
                Some(host) => add(host),
                None => {
                    let mut text = Vec::new();
                    event.field(Field::Computer).push::<Plain>(&mut text);
                    add(&String::from_utf8_lossy(&text));
                }
            },
            By::Level => {
                let worst = found.notes.rules.iter().max_by_key(|rule| rule.rank());
                add(worst.map_or("", |rule| &rule.level));
            }
        }
    }
}
