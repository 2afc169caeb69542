//! CSV as in RFC 4180: a header line, lines end with CR LF, a cell with a comma, quote or line end
//! stands in quotes.

use super::{Column, Member, Scratch, cell};
use crate::{FieldSource, Origin, Texts};

#[derive(Debug)]
pub(super) struct Csv {
    columns: Vec<Column>,
}

impl Csv {
    pub(super) fn new(columns: Option<Vec<Column>>) -> Self {
        let is_usual = |member: &Member| !matches!(member, Member::V | Member::Recovered);
        let all = || Member::all().filter(is_usual).map(Column::Member);
        Csv { columns: columns.unwrap_or_else(|| all().collect()) }
    }

    /// The same with the column `recovered`.
    pub(super) fn with_recovered() -> Self {
        let all = Member::all().filter(|&member| member != Member::V).map(Column::Member);
        Csv { columns: all.collect() }
    }

    pub(super) fn header(&self, out: &mut Vec<u8>) {
        self.line(out, |column, out| out.extend_from_slice(column.name().as_bytes()));
    }

    pub(super) fn event<S: FieldSource>(
        &self,
        source: &S,
        origin: &Origin<'_>,
        texts: Texts<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) {
        self.line(out, |column, out| cell::push(column, source, origin, texts, scratch, out));
    }

    fn line(&self, out: &mut Vec<u8>, mut cell: impl FnMut(&Column, &mut Vec<u8>)) {
        for (i, column) in self.columns.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            let start = out.len();
            cell(column, out);
            // An empty line would be no row at all.
            let alone = self.columns.len() == 1 && out.len() == start;
            if alone || out[start..].iter().any(|b| matches!(b, b',' | b'"' | b'\r' | b'\n')) {
                quote(start, out);
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Puts the cell that begins at `start` in quotes.
fn quote(start: usize, out: &mut Vec<u8>) {
    let quotes = out[start..].iter().filter(|&&b| b == b'"').count();
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
        log_record: Some(812),
        recovered: false,
    };

    fn csv(columns: Option<Vec<Column>>, events: &[Fake]) -> Vec<u8> {
        let printer = Printer::csv(columns);
        let mut scratch = Scratch::default();
        let mut out = Vec::new();
        let mut document = printer.document();
        for event in events {
            let mut text = Vec::new();
            printer.event(event, &ORIGIN, Texts::default(), &mut scratch, &mut text);
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
