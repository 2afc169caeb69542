//! The printer that the options ask for.

use std::io::{self, IsTerminal};

use quarry_event::filter::Pattern;
use quarry_event::output::{
    Column, CsvCells, CsvOptions, ListOptions, Printer, TableOptions, UnknownColumn,
};

use crate::args::{Format, When};
use crate::console::{stdout_color, stdout_width};
use crate::error::Failure;
use crate::filter::Zone;

/// How events are to be printed.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) format: Option<Format>,
    pub(crate) fields: &'a [String],
    pub(crate) color: When,
    /// Whether there may be records of slack, which are marked.
    pub(crate) recover: bool,
    /// Whether events are marked with rules.
    pub(crate) rules: bool,
    /// What was searched for.
    pub(crate) grep: Option<&'a Pattern>,
    /// The zone that times are shown in.
    pub(crate) zone: &'a Zone,
}

impl Wanted<'_> {
    /// The printer for it.
    pub(crate) fn printer(self) -> Result<Printer, Failure> {
        let terminal = io::stdout().is_terminal();
        let format = self.format.unwrap_or(if terminal { Format::Table } else { Format::Jsonl });
        let mut columns = columns("--fields", self.fields)?;
        if let (true, Some(columns)) = (self.recover, &mut columns) {
            // Nothing else would tell records of slack.
            let mark = Column::Member(quarry_event::output::Member::Recovered);
            if !columns.contains(&mark) {
                columns.push(mark);
            }
        }
        if self.rules && format == Format::Table && columns.is_none() {
            use quarry_event::output::Member::{Computer, EventId, Message, Rules, Time};
            let members = [Time, Computer, EventId, Rules, Message];
            columns = Some(members.map(Column::Member).to_vec());
        }
        let zone = || self.zone.get();
        let color = || stdout_color(self.color);
        Ok(match format {
            Format::Jsonl => Printer::jsonl(columns),
            Format::Json => Printer::json(columns, terminal),
            Format::Csv | Format::CsvExact => Printer::csv(CsvOptions {
                columns,
                recovered: self.recover,
                rules: self.rules,
                cells: match format {
                    Format::Csv => CsvCells::Spreadsheet,
                    _ => CsvCells::Exact,
                },
                terminal,
            }),
            Format::Table => Printer::table(TableOptions {
                columns,
                width: stdout_width(),
                color: color(),
                zone: zone(),
                highlight: self.grep.cloned(),
            }),
            Format::List => Printer::list(ListOptions { columns, color: color(), zone: zone() }),
            Format::Xml if columns.is_some() => {
                return Err(Failure::new("--fields: xml has no columns")
                    .hint("leave out --fields, or choose jsonl, json, csv, table or list"));
            }
            Format::Xml => Printer::xml(),
        })
    }
}

/// The columns that a list of fields names; nothing where there is no list.
pub(crate) fn columns(option: &str, fields: &[String]) -> Result<Option<Vec<Column>>, Failure> {
    let names = fields.iter().map(|name| name.trim()).filter(|name| !name.is_empty());
    let columns = names.map(Column::parse).collect::<Result<Vec<_>, _>>().map_err(|e| {
        let failure = Failure::new(format!("{option}: {e}"));
        let known = UnknownColumn::known();
        failure.hint(match e.nearest {
            Some(nearest) => format!("did you mean {nearest}? the fields are {known}"),
            None => format!("the fields are {known}"),
        })
    })?;
    match (columns.is_empty(), fields.is_empty()) {
        (true, true) => Ok(None),
        (true, false) => Err(Failure::new(format!("{option}: there is no field in the list"))
            .hint(format!("the fields are {}", UnknownColumn::known()))),
        (false, _) => Ok(Some(columns)),
    }
}
