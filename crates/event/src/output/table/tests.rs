use proptest::prelude::*;
use unicode_width::UnicodeWidthStr;

use super::*;
use crate::output::Printer;
use crate::output::fake::{Fake, logon};
use crate::{Message, MessageBy, Utf16, Value};

const ORIGIN: Origin<'_> = Origin {
    source: "even6://dc01.corp",
    host: Some("dc01.corp"),
    log: "Microsoft-Windows-TaskScheduler/Operational",
    log_record: Some(crate::RecordId(812)),
    recovered: false,
};

fn options(width: Option<usize>) -> TableOptions {
    // Central European time, by its rule.
    let zone = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    TableOptions { columns: None, width, color: false, zone, highlight: None }
}

fn table(options: TableOptions, events: &[Fake]) -> String {
    table_with(options, Texts::default(), events)
}

fn table_with(options: TableOptions, texts: Texts<'_>, events: &[Fake]) -> String {
    let printer = Printer::table(options);
    let mut scratch = Scratch::default();
    let mut out = Vec::new();
    let mut document = printer.document();
    for event in events {
        let mut text = Vec::new();
        printer.event(event, &ORIGIN, texts, &mut scratch, &mut text);
        document.events(&text, &mut out).unwrap();
    }
    document.finish(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn samples() -> Vec<Fake> {
    let event = |time, computer, provider, id, level, keywords, data: &[(&str, &str)]| {
        let fields = [
            (Field::TimeCreated, Value::Str(time)),
            (Field::Computer, Value::Str(computer)),
            (Field::ProviderName, Value::Str(provider)),
            (Field::EventId, Value::UInt(id)),
            (Field::Level, Value::UInt(level)),
            (Field::Keywords, Value::Hex(keywords)),
        ];
        Fake::new(&fields, data)
    };
    vec![
        logon(),
        event(
            "2026-01-05T23:59:59.9999999Z",
            "10.0.0.17",
            "Service Control Manager",
            7036,
            4,
            0x80_0000_0000_0000,
            &[("param1", "Windows Update"), ("param2", "läuft\r\n\tjetzt")],
        ),
        event(
            "2026-03-29T01:00:00Z",
            "東京サーバー.例え.jp",
            "Microsoft-Windows-Kernel-Power",
            41,
            1,
            0,
            &[("", "\u{1b}[31mred\u{7}\u{202e}abc"), ("", &"x".repeat(300))],
        ),
        event("", "dc02", "A", 70000, 3, 0x10_0000_0000_0000, &[]),
    ]
}

#[test]
fn a_table_fits_80_columns() {
    insta::assert_snapshot!(table(options(Some(80)), &samples()));
}

#[test]
fn a_table_fits_120_columns() {
    insta::assert_snapshot!(table(options(Some(120)), &samples()));
}

#[test]
fn a_table_fits_200_columns() {
    insta::assert_snapshot!(table(options(Some(200)), &samples()));
}

#[test]
fn a_table_that_is_not_for_a_terminal_is_not_cut() {
    let text = table(options(None), &samples());
    assert!(text.contains(&"x".repeat(300)));
}

#[test]
fn chosen_columns_share_the_width() {
    let columns = ["time", "record_id", "data.TargetUserName", "message"];
    let columns = columns.map(|name| Column::parse(name).unwrap()).to_vec();
    let options = TableOptions { columns: Some(columns), ..options(Some(80)) };
    insta::assert_snapshot!(table(options, &samples()));
}

#[test]
fn of_a_message_of_several_lines_a_terminal_has_the_first_and_the_values() {
    let data = [("SubjectUserName", "-"), ("TargetUserName", "bob"), ("IpAddress", "10.0.0.5")];
    let event = Fake::new(&[(Field::EventId, Value::UInt(4625))], &data);
    let text = "An account failed to log on.\r\n\r\nSubject:\r\n\tAccount Name:\t-";
    let texts = Texts::given(Message { text, by: MessageBy::Catalogue });
    let shown = |options: TableOptions| {
        let table = table_with(options, texts, std::slice::from_ref(&event));
        table.lines().nth(1).unwrap().to_owned()
    };
    let values =
        "An account failed to log on. TargetUserName=bob, IpAddress=10.0.0.5, SubjectUserName=-";
    assert!(shown(options(Some(200))).ends_with(values), "{}", shown(options(Some(200))));
    // What was searched for is seen wherever it is.
    let highlight = |word| Some(Pattern::parse(word).unwrap());
    let searched = |word| shown(TableOptions { highlight: highlight(word), ..options(Some(200)) });
    assert!(searched("Account Name").ends_with("log on. Subject: Account Name: -"));
    assert!(searched("failed").ends_with(values));
    // Who asks for messages has them.
    let columns = Some(vec![Column::parse("message").unwrap()]);
    assert!(shown(TableOptions { columns, ..options(Some(200)) }).ends_with("Account Name: -"));
    assert!(shown(options(None)).ends_with("Account Name: -"));
}

#[test]
fn levels_are_coloured_when_asked() {
    let options = TableOptions { color: true, ..options(Some(80)) };
    let text = table(options, &samples());
    let line = text.lines().find(|line| line.contains("Crit")).unwrap();
    assert!(line.contains("\u{1b}[1m\u{1b}[31mCrit\u{1b}[0m   "), "{line:?}");
    // What the event brings of its own is still made safe.
    assert_eq!(line.matches('\u{1b}').count(), 3);
    assert_eq!(text.lines().nth(1).unwrap().matches('\u{1b}').count(), 0);
}

#[test]
fn text_is_cut_at_the_width_of_its_characters() {
    let cut = |text: &str, width| {
        let mut out = Vec::new();
        let used = safe::push_safe(text.as_bytes(), Some(width), &mut out);
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out.width(), used);
        out
    };
    assert_eq!(cut("abcde", 5), "abcde");
    assert_eq!(cut("abcdef", 5), "abcd…");
    assert_eq!(cut("東京都", 6), "東京都");
    assert_eq!(cut("東京都", 5), "東京…");
    assert_eq!(cut("東京都", 4), "東…");
    assert_eq!(cut("ab  \n c ", 9), "ab c");
    assert_eq!(cut("e\u{301}e\u{301}", 2), "e\u{301}e\u{301}");
    assert_eq!(cut("abc", 1), "…");
    assert_eq!(cut("abc", 0), "");
    assert_eq!(cut(&format!("e{}", "\u{301}".repeat(1000)), 3).chars().count(), 5);
}

proptest! {
    #[test]
    fn no_line_is_wider_than_the_terminal_and_no_control_character_comes_through(
        width in 60usize..250,
        units in prop::collection::vec(any::<u16>(), 0..40),
        name in any::<String>(),
        columns in prop::option::of(prop::collection::vec(0usize..29, 1..4)),
    ) {
        let mut fake = logon();
        let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let bytes: &'static [u8] = bytes.leak();
        fake.fields.insert(0, (Field::Computer, Value::Utf16(Utf16::new(bytes))));
        fake.data.insert(0, (Some(name), bytes.to_vec()));
        let all: Vec<Member> = Member::all().collect();
        let columns = columns.map(|columns| {
            columns.into_iter().map(|i| Column::Member(all[i])).collect()
        });
        let text = table(TableOptions { columns, ..options(Some(width)) }, &[fake]);
        prop_assert_eq!(text.lines().count(), 2);
        prop_assert_eq!(text.matches('\n').count(), 2);
        for line in text.lines() {
            prop_assert!(line.width() <= width, "{} columns: {:?}", line.width(), line);
            prop_assert!(!line.chars().any(char::is_control), "{:?}", line);
        }
    }
}
