//! CSV as in RFC 4180: a header line, lines end with CR LF, a cell with a comma, quote or line end
//! stands in quotes.

use super::cell::Made;
use super::plan::{Choice, Row};
use super::{Column, Member, Scratch, cell, row};
use crate::text::{Plain, any_below_or_equal, harmless};
use crate::{FieldSource, Origin, PartialSource, Texts, Value};

/// How CSV is made.
#[derive(Clone, Debug, Default)]
pub struct CsvOptions {
    /// The columns; without, one for each member of JSON but the version.
    pub columns: Option<Vec<Column>>,
    /// Whether there is a column `recovered` without being asked for, for those who look at slack.
    pub recovered: bool,
    /// Whether there is a column `rules` without being asked for, for those who test rules.
    pub rules: bool,
    /// What stands in cells.
    pub cells: CsvCells,
    /// Whether it is written to a terminal, on which only harmless characters are shown.
    pub terminal: bool,
}

/// What stands in the cells of CSV.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum CsvCells {
    /// Text that no spreadsheet takes for a formula: an apostrophe stands before one of `=`, `+`,
    /// `-`, `@`, a tab or a carriage return that a cell begins with, unless the cell is a number or
    /// `-` alone. So it does after a semicolon, tab or line end inside the cell, where spreadsheets
    /// of some languages and settings begin another.
    #[default]
    Spreadsheet,
    /// Text exactly as it is, for programs.
    Exact,
}

#[derive(Debug)]
pub(super) struct Csv {
    columns: Vec<Column>,
    cells: CsvCells,
    terminal: bool,
    /// Whether a column stands for each value, so that rows are on their way as [`row`]s.
    spreads: bool,
    is_known_early: bool,
    choice: Choice,
}

impl Csv {
    pub(super) fn new(options: CsvOptions) -> Self {
        let CsvOptions { columns, recovered, rules, cells, terminal } = options;
        let is_usual = |member: &Member| match member {
            Member::V => false,
            Member::Recovered => recovered,
            Member::Rules => rules,
            _ => true,
        };
        let all = || Member::all().filter(is_usual).map(Column::Member);
        let columns: Vec<Column> = columns.unwrap_or_else(|| all().collect());
        let spreads = columns.contains(&Column::EachData);
        let is_known_early = columns.iter().all(Column::is_known_early);
        Csv { columns, cells, terminal, spreads, is_known_early, choice: Choice::new() }
    }

    /// The columns.
    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Whether rows have to be seen before the header can be written.
    pub(super) fn spreads(&self) -> bool {
        self.spreads
    }

    /// Writes the header, with the given names for a column that stands for each value.
    pub(super) fn header(&self, names: &[Vec<u8>], out: &mut Vec<u8>) {
        let start = out.len();
        let mut cells = 0;
        let mut add = |text: &[u8], out: &mut Vec<u8>| {
            out.extend_from_slice(if cells == 0 { b"" } else { b"," });
            cells += 1;
            let at = out.len();
            out.extend_from_slice(text);
            self.settle(at, out);
        };
        for column in &self.columns {
            match column {
                Column::EachData => names.iter().for_each(|name| add(name, out)),
                column => add(column.name().as_bytes(), out),
            }
        }
        end_line(start, out);
    }

    pub(super) fn event<S: FieldSource>(
        &self,
        source: &S,
        origin: &Origin<'_>,
        texts: Texts<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) {
        if self.spreads {
            return self.row(source, origin, texts, scratch, out);
        }
        let start = out.len();
        for (i, column) in self.columns.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            let at = out.len();
            if cell::push(column, source, origin, texts, scratch, out) == Made::Text {
                self.settle(at, out);
            }
        }
        end_line(start, out);
    }

    /// Whether [`known`](Self::known) can write any event.
    pub(super) fn is_known_early(&self) -> bool {
        self.is_known_early
    }

    /// The same as [`event`](Self::event) of an event that is not decoded, where what is known of it is enough.
    /// Says whether it is; otherwise nothing is written.
    #[inline]
    pub(super) fn known<S: PartialSource>(
        &self,
        source: &S,
        origin: &Origin<'_>,
        texts: Texts<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> bool {
        if !self.is_known_early {
            return false;
        }
        let start = out.len();
        let Scratch { text: scratch, plans, .. } = scratch;
        let row = Known { csv: self, origin, texts, scratch };
        let is_known = plans.write(&self.choice, row, source, out);
        match is_known {
            true => end_line(start, out),
            false => out.truncate(start),
        }
        is_known
    }

    /// Writes the cell of a member that one field tells. A name that most events of a log have alike is made
    /// once for those that follow each other.
    #[inline]
    fn member(
        &self,
        member: Member,
        value: Value<'_>,
        scratch: &mut cell::Scratch,
        out: &mut Vec<u8>,
    ) {
        let repeated = match member {
            Member::Computer => Some(&mut scratch.repeated[0]),
            Member::Channel => Some(&mut scratch.repeated[1]),
            Member::Provider => Some(&mut scratch.repeated[2]),
            _ => None,
        };
        let at = out.len();
        if let (Some(repeated), Value::Utf16(text)) = (repeated, value) {
            // What is made of the same bytes differs with these.
            let kind = 1 + u8::from(self.cells == CsvCells::Exact) + 2 * u8::from(self.terminal);
            return repeated.put(kind, text.bytes(), out, |out| {
                value.push::<Plain>(out);
                self.settle(at, out);
            });
        }
        if cell::push_field(member, value, &mut scratch.clock, out) == Made::Text {
            self.settle(at, out);
        }
    }

    /// Writes an event's cells, those of each value with its name.
    fn row<S: FieldSource>(
        &self,
        source: &S,
        origin: &Origin<'_>,
        texts: Texts<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) {
        let start = row::begin(0, out);
        for column in &self.columns {
            row::cell(out, |out| {
                let at = out.len();
                if *column != Column::EachData {
                    cell::push(column, source, origin, texts, scratch, out);
                    self.settle(at, out);
                    return 0;
                }
                let values = &mut scratch.text.values;
                values.read(source, texts, &mut scratch.text.tree);
                for (name, value) in values.by_name() {
                    for (text, is_value) in [(name, false), (&value, true)] {
                        row::cell(out, |out| {
                            let at = out.len();
                            out.extend_from_slice(text);
                            if is_value {
                                self.settle(at, out);
                            }
                            0
                        });
                    }
                }
                0
            });
        }
        row::end(start, out);
    }

    /// Writes the line of a row, with a column for each of the names.
    pub(super) fn line(&self, row: row::Row<'_>, names: &Names, out: &mut Vec<u8>) {
        let start = out.len();
        let mut cells = 0;
        let mut add = |text: &[u8], out: &mut Vec<u8>| {
            out.extend_from_slice(if cells == 0 { b"" } else { b"," });
            cells += 1;
            out.extend_from_slice(text);
        };
        for (column, cell) in self.columns.iter().zip(row.cells()) {
            if *column != Column::EachData {
                add(cell.text, out);
                continue;
            }
            let mut values: Vec<&[u8]> = vec![b""; names.list.len()];
            for (name, value) in row::Cells::of(cell).pairs() {
                if let Some(&place) = names.places.get(name.text) {
                    values[place] = value.text;
                }
            }
            values.into_iter().for_each(|value| add(value, out));
        }
        end_line(start, out);
    }

    /// Makes the cell that begins at `start` what it has to be.
    fn settle(&self, start: usize, out: &mut Vec<u8>) {
        settle(start, self.cells, self.terminal, out);
    }
}

/// The cells of an event that is not decoded.
struct Known<'k> {
    csv: &'k Csv,
    origin: &'k Origin<'k>,
    texts: Texts<'k>,
    scratch: &'k mut cell::Scratch,
}

impl<S: PartialSource> Row<S> for Known<'_> {
    #[inline]
    fn columns(&self) -> usize {
        self.csv.columns.len()
    }

    #[inline]
    fn before(&self, column: usize, out: &mut Vec<u8>) {
        if column > 0 {
            out.push(b',');
        }
    }

    #[inline(always)]
    fn value(&mut self, column: usize, source: &S, out: &mut Vec<u8>) -> bool {
        let Known { csv, origin, texts, scratch } = self;
        let column = &csv.columns[column];
        if let Column::Member(member) = column
            && let Some(field) = member.field()
        {
            // Looked up at one place, where it isn't a call.
            csv.member(*member, source.known_field(field), scratch, out);
            return true;
        }
        let at = out.len();
        match cell::known(column, source, origin, *texts, scratch, out) {
            Some(Made::Tame) => true,
            Some(Made::Text) => {
                csv.settle(at, out);
                true
            }
            None => false,
        }
    }

    fn end(&self, _: &mut Vec<u8>) {}

    fn is_fixed(&self, column: usize, source: &S) -> bool {
        self.csv.columns[column].is_fixed(source)
    }
}

/// Writes text as a cell of CSV, in quotes where it needs them.
pub fn push_csv(text: &str, cells: CsvCells, terminal: bool, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(text.as_bytes());
    settle(start, cells, terminal, out);
}

/// Makes the cell that begins at `start` what it has to be.
fn settle(start: usize, cells: CsvCells, terminal: bool, out: &mut Vec<u8>) {
    if terminal && out[start..].iter().any(|b| !(0x20..0x7f).contains(b)) {
        let text = String::from_utf8_lossy(&out[start..]);
        let text: String = text.chars().map(harmless).collect();
        out.truncate(start);
        out.extend_from_slice(text.as_bytes());
    }
    let has_special = has_special(&out[start..]);
    // Without any of these a formula can only begin with the cell.
    if cells == CsvCells::Spreadsheet && (has_special || !is_harmless_start(&out[start..])) {
        defuse(start, out);
    }
    if has_special {
        quote(start, out);
    }
}

/// The bytes that make a cell need quotes.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut bytes: &[u8] = b",\"\r\n;\t";
    while let [first, rest @ ..] = bytes {
        special[*first as usize] = true;
        bytes = rest;
    }
    special
};

/// Whether a cell has any of [`SPECIAL`], which few have.
#[inline]
fn has_special(cell: &[u8]) -> bool {
    let may_have = any_below_or_equal(cell, b'\r' + 1, *b"\",;");
    may_have && cell.iter().any(|&b| SPECIAL[usize::from(b)])
}

/// Whether a cell begins with what begins no formula, whatever comes after it.
fn is_harmless_start(cell: &[u8]) -> bool {
    cell.first().is_none_or(|first| first.is_ascii_alphanumeric() || *first == b'{')
}

/// The names that columns for each value have.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) list: Vec<Vec<u8>>,
    places: std::collections::HashMap<Vec<u8>, usize>,
    bytes: usize,
}

impl Names {
    /// Names that there can be: as many columns as a spreadsheet has.
    pub(super) const MOST: usize = 16_384;
    /// And the bytes of all together.
    const MOST_BYTES: usize = 1 << 20;

    /// Adds the names in rows. Says whether there was room for all.
    pub(super) fn learn(&mut self, csv: &Csv, rows: &[u8]) -> bool {
        for row in row::rows(rows) {
            for (column, cell) in csv.columns.iter().zip(row.cells()) {
                if *column != Column::EachData {
                    continue;
                }
                for (name, _) in row::Cells::of(cell).pairs() {
                    if self.places.contains_key(name.text) {
                        continue;
                    }
                    self.bytes += name.text.len();
                    if self.list.len() >= Self::MOST || self.bytes > Self::MOST_BYTES {
                        return false;
                    }
                    self.places.insert(name.text.to_vec(), self.list.len());
                    self.list.push(name.text.to_vec());
                }
            }
        }
        true
    }
}

/// Ends the line that began at `start`. An empty one would be no row at all.
fn end_line(start: usize, out: &mut Vec<u8>) {
    if out.len() == start {
        out.extend_from_slice(b"\"\"");
    }
    out.extend_from_slice(b"\r\n");
}

/// Puts an apostrophe before what a spreadsheet would take for a formula's beginning in the cell
/// that begins at `start`.
fn defuse(start: usize, out: &mut Vec<u8>) {
    let cell = &out[start..];
    let begins = |text: &[u8]| match text {
        [b'=' | b'+' | b'-' | b'@', ..] => true,
        // The same in full width, which spreadsheets of East Asia take for these.
        [0xef, 0xbc, 0x9d | 0x8b | 0x8d | 0xa0, ..] => true,
        _ => false,
    };
    let mut places = Vec::new();
    if matches!(cell, [b'\t' | b'\r' | b'\n', ..]) || begins(cell) && !is_plain(cell) {
        places.push(0);
    }
    for (at, byte) in cell.iter().enumerate() {
        if matches!(byte, b';' | b'\t' | b'\r' | b'\n') {
            let blanks = cell[at + 1..].iter().take_while(|&&b| b == b' ').count();
            let next = at + 1 + blanks;
            if begins(&cell[next..]) {
                places.push(next);
            }
        }
    }
    for place in places.into_iter().rev() {
        out.insert(start + place, b'\'');
    }
}

/// Whether a cell is a number, or `-` alone, as events have it for nothing.
fn is_plain(cell: &[u8]) -> bool {
    let number = || {
        let digits = cell.strip_prefix(b"-").or_else(|| cell.strip_prefix(b"+")).unwrap_or(cell);
        digits.first().is_some_and(u8::is_ascii_digit)
            && digits.iter().all(|b| b.is_ascii_digit() || *b == b'.')
            && digits.iter().filter(|&&b| b == b'.').count() <= 1
    };
    cell == b"-" || number()
}

/// Puts the cell that begins at `start` in quotes.
fn quote(start: usize, out: &mut Vec<u8>) {
    let quotes = out[start..].iter().filter(|&&b| b == b'"').count();
    if quotes == 0 {
        out.insert(start, b'"');
        return out.push(b'"');
    }
    // From the end on, so that every byte moves once.
    let mut from = out.len();
    out.resize(from + quotes + 2, 0);
    let mut to = out.len() - 1;
    out[to] = b'"';
    while from > start {
        from -= 1;
        to -= 1;
        out[to] = out[from];
        if out[from] == b'"' {
            to -= 1;
            out[to] = b'"';
        }
    }
    out[start] = b'"';
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::output::Printer;
    use crate::output::fake::{Fake, element, logon, text};
    use crate::{Field, Texts, Utf16, Value};

    const ORIGIN: Origin<'_> = Origin {
        source: "a,b.evtx",
        host: None,
        log: "Security",
        log_record: Some(crate::RecordId(812)),
        recovered: false,
    };

    fn csv(columns: Option<Vec<Column>>, events: &[Fake]) -> Vec<u8> {
        made(CsvOptions { columns, cells: CsvCells::Exact, ..CsvOptions::default() }, events)
    }

    fn made(options: CsvOptions, events: &[Fake]) -> Vec<u8> {
        let printer = Printer::csv(options);
        let mut scratch = Scratch::default();
        let mut out = Vec::new();
        let mut document = printer.document();
        let mut texts = Vec::new();
        for event in events {
            let mut text = Vec::new();
            printer.event(event, &ORIGIN, Texts::default(), &mut scratch, &mut text);
            if document.spreads() {
                document.learn(&text).unwrap();
            }
            texts.push(text);
        }
        for text in texts {
            document.events(&text, &mut out).unwrap();
        }
        document.finish(&mut out).unwrap();
        out
    }

    #[test]
    fn an_event_is_a_line_under_a_header() {
        let mut event = logon();
        event.more.push(element("UserData", &[], vec![text("A", "x\"y")]));
        let expected = concat!(
            "time,source,host,log,log_record,computer,channel,record_id,provider,provider_guid,",
            "event_id,qualifiers,version,level,level_name,task,opcode,keywords,user_sid,",
            "process_id,thread_id,activity_id,related_activity_id,data,user_data,message,",
            "message_source,names,other\r\n",
            "2026-08-22T10:00:00.1234567Z,\"a,b.evtx\",DC01.corp,Security,812,DC01.corp,Security,",
            "812,Microsoft-Windows-Security-Auditing,{54849625-5478-4994-a5ba-3e3b0328c30d},4624,",
            ",2,0,Audit Success,12544,0,0x8020000000000000,,712,900,,,",
            "\"{\"\"TargetUserName\"\":\"\"alice\"\",\"\"param2\"\":\"\"unnamed\"\"}\",",
            "\"{\"\"A\"\":\"\"x\\\"\"y\"\"}\",,,,\r\n",
        );
        assert_eq!(String::from_utf8(csv(None, &[event])).unwrap(), expected);
    }

    /// Cells, read by the crate `csv`.
    fn cells(columns: &[&str], cells: CsvCells, terminal: bool, event: Fake) -> Vec<Vec<String>> {
        let columns = columns.iter().map(|name| Column::parse(name).unwrap()).collect();
        let options =
            CsvOptions { columns: Some(columns), cells, terminal, ..CsvOptions::default() };
        let printed = made(options, &[event]);
        let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(&printed[..]);
        let text = |record: ::csv::StringRecord| record.iter().map(str::to_owned).collect();
        reader.records().map(|record| text(record.unwrap())).collect()
    }

    #[test]
    fn no_cell_begins_as_a_formula_in_a_spreadsheet() {
        let spreadsheet = |value: &str| {
            let event = Fake::new(&[], &[("A", value)]);
            cells(&["data.A"], CsvCells::Spreadsheet, false, event)[1][0].clone()
        };
        for value in
            ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\tx", "\r=1", "＝1+1", "-cmd|'/c x'!A0", "-1.2.3"]
        {
            let cell = spreadsheet(value);
            assert!(cell.starts_with('\''), "{value:?} {cell:?}");
            assert_eq!(cell.replace('\'', ""), value.replace('\'', ""));
        }
        // Where a spreadsheet splits at semicolons or tabs, or a quoted line end ends the row.
        assert_eq!(spreadsheet("x;=1+1;y"), "x;'=1+1;y");
        assert_eq!(spreadsheet("x\t @y"), "x\t '@y");
        assert_eq!(spreadsheet("x\r\n=1"), "x\r\n'=1");
        for value in ["-", "-5", "+49123", "-1.5", "a=b", "x-y", "a@b.c", "", "'x"] {
            assert_eq!(spreadsheet(value), value);
        }
        let event = Fake::new(&[], &[("A", "=1+1")]);
        assert_eq!(cells(&["data.A"], CsvCells::Exact, false, event)[1][0], "=1+1");
        // A name of a value is a cell of the header.
        let event = Fake::new(&[], &[("=1+1", "x")]);
        assert_eq!(cells(&["data.*"], CsvCells::Spreadsheet, false, event)[0][0], "'=1+1");
    }

    #[test]
    fn nothing_acts_on_a_terminal() {
        let event = || Fake::new(&[], &[("A", "\u{1b}[2J\u{9b}\u{202e}\u{7f}é\r\nx")]);
        for format in [CsvCells::Exact, CsvCells::Spreadsheet] {
            let shown = &cells(&["data.A", "data.*"], format, true, event())[1];
            let expected = "␛[2J\u{fffd}\u{fffd}␡é  x";
            assert_eq!(shown, &[expected, expected]);
        }
        let exact = &cells(&["data.A"], CsvCells::Exact, false, event())[1];
        assert_eq!(exact[0], "\u{1b}[2J\u{9b}\u{202e}\u{7f}é\r\nx");
    }

    #[test]
    fn each_value_has_a_column_by_its_name() {
        let columns = ["event_id", "data.*", "level"].map(|name| Column::parse(name).unwrap());
        let options = CsvOptions { columns: Some(columns.to_vec()), ..CsvOptions::default() };
        let events = [
            Fake::new(&[(Field::EventId, Value::UInt(1))], &[("A", "a,b"), ("B", "b"), ("A", "c")]),
            Fake::new(&[(Field::EventId, Value::UInt(2))], &[("", "first"), ("B", "")]),
            Fake::new(&[(Field::EventId, Value::UInt(3))], &[]),
        ];
        let expected = "event_id,A,B,param1,level\r\n1,\"a,b, c\",b,,\r\n2,,,first,\r\n3,,,,\r\n";
        assert_eq!(String::from_utf8(made(options, &events)).unwrap(), expected);
    }

    #[test]
    fn an_empty_cell_alone_is_still_a_row() {
        let columns = Some(vec![Column::Member(Member::UserSid)]);
        assert_eq!(csv(columns, &[logon()]), b"user_sid\r\n\"\"\r\n");
    }

    proptest! {
        #[test]
        fn whatever_the_values_csv_holds_them(
            units in prop::collection::vec(any::<u16>(), 0..20),
            texts in prop::collection::vec("[a\",\r\n; ]{0,6}", 1..4),
        ) {
            let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
            let bytes: &'static [u8] = bytes.leak();
            let mut fake = Fake::new(&[(Field::Computer, Value::Utf16(Utf16::new(bytes)))], &[]);
            for (i, text) in texts.iter().enumerate() {
                fake.data.push((Some(format!("n{i}")), crate::output::fake::utf16(text)));
            }
            let mut columns = vec![Column::Member(Member::Computer)];
            columns.extend((0..texts.len()).map(|i| Column::Data(format!("n{i}"))));
            let printed = csv(Some(columns), &[fake]);
            let mut reader = ::csv::Reader::from_reader(&printed[..]);
            let mut expected = vec![Utf16::new(bytes).to_string()];
            expected.extend(texts);
            let rows: Vec<_> = reader.records().collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(rows.len(), 1);
            let cells: Vec<String> = rows[0].iter().map(str::to_owned).collect();
            prop_assert_eq!(cells, expected);
        }
    }
}
