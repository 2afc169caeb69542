//! Wine's `FormatMessageW` as a second opinion, on what it and Windows' service for event messages
//! document alike: values, their `!s!`, line ends, tabs, percent signs, the end at `%0`.
//!
//! `cargo xtask windows` has Wine; it builds `tests/wine/format_message.c` and says where it is.

use std::io::Write as _;
use std::process::{Command, Stdio};

use quarry_event::{Element, Event, Node};
use quarry_message::{LanguageId, MessageTable, Provider, ProviderTexts, Resources, Tables};

use crate::files;

/// Where the program is that asks Wine.
const VARIABLE: &str = "QUARRY_FORMAT_MESSAGE";

const CASES: [&str; 18] = [
    "The %1 service entered the %2 state.",
    "%2%1%2%n%n%t%1",
    "no marks",
    "%1",
    "%10 and %1",
    "%99",
    "%100",
    "100%% of %1%%",
    "%1!s!0 is no tenth value",
    "two lines%n%nand%ra return",
    "stop%0 not this",
    "%.%! and % x",
    "%1%%%2",
    "two\r\nlines\r\n\r\n",
    "one line\r\n",
    "größer %1 \u{20ac}",
    "\t%1\r\n\t\t%2",
    "%% %1 %%%%",
];

#[test]
fn what_format_message_and_events_document_alike_is_filled_as_wine_fills_it() {
    let Some(program) = std::env::var_os(VARIABLE) else {
        println!("not compared with Wine: cargo xtask windows does");
        return;
    };
    let mut messages: Vec<String> = CASES.map(str::to_owned).into();
    for file in [files::ADTSCHEMA, files::LSASRV, files::SERVICES, files::WEVTSVC] {
        let Some(bytes) = file.read() else { continue };
        let resources = Resources::read(&bytes[..]).unwrap();
        let Some(table) = resources.table(LanguageId::ENGLISH) else { continue };
        messages
            .extend(table.iter().map(|(_, text)| text.to_owned()).filter(|text| is_alike(text)));
    }
    let values: Vec<String> = (1..=99).map(|n| format!("<{n} %1 é>")).collect();
    let theirs = ask(&program, &messages, &values);
    assert_eq!(theirs.len(), messages.len());
    for (message, theirs) in messages.iter().zip(theirs) {
        let theirs = theirs.unwrap_or_else(|| panic!("Wine refuses {message:?}"));
        // Event messages lose one line end at their end, which is part of a message here.
        let ends_early = message.contains("%0");
        let theirs =
            if ends_early { &*theirs } else { theirs.strip_suffix("\r\n").unwrap_or(&theirs) };
        assert_eq!(filled(message, &values), theirs, "{message:?}");
    }
    println!("{} messages are filled alike", messages.len());
}

/// Whether a real message has only what both document alike: no parameter string, which is a percent
/// sign to the one, no blank by `%b`, no formats but `!s!`, and no line feed alone.
fn is_alike(message: &str) -> bool {
    let without = message.replace("!s!", "");
    let bytes = without.as_bytes();
    let parameter = bytes.windows(3).any(|w| w.starts_with(b"%%") && w[2].is_ascii_digit());
    let format = bytes.windows(2).any(|w| w[0].is_ascii_digit() && w[1] == b'!');
    let blank = bytes.windows(2).any(|w| w == b"%b");
    let feed =
        bytes.iter().enumerate().any(|(n, &b)| b == b'\n' && (n == 0 || bytes[n - 1] != b'\r'));
    !(parameter || format || blank || feed)
}

/// What Wine makes of messages; nothing where it refuses one.
fn ask(program: &std::ffi::OsStr, messages: &[String], values: &[String]) -> Vec<Option<String>> {
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let values: String = values.iter().map(|value| format!(" {}", hex(value))).collect();
    let input: String = messages.iter().map(|text| format!("{}{values}\n", hex(text))).collect();
    let mut child = Command::new("wine")
        .arg(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = |line: &str| -> Option<String> {
        let digits = line.trim_end();
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        let bytes = || (0..digits.len()).step_by(2).map(byte).collect();
        (digits != "-").then(|| String::from_utf8(bytes()).unwrap())
    };
    String::from_utf8(output.stdout).unwrap().lines().map(text).collect()
}

fn filled(message: &str, values: &[String]) -> String {
    let table = |messages: Vec<(u32, &str)>| Tables::new(vec![MessageTable::new(messages).into()]);
    let none = || table(Vec::new());
    let texts =
        ProviderTexts::new(Provider::default(), table(vec![(1, message)]), none(), none(), none());
    let element = |name: &str, text: &str| {
        let mut element = Element::new(name);
        element.children.push(Node::Text(text.to_owned()));
        Node::Element(element)
    };
    let mut system = Element::new("System");
    system.children.push(element("EventID", "1"));
    let mut data = Element::new("EventData");
    data.children = values.iter().map(|value| element("Data", value)).collect();
    let mut root = Element::new("Event");
    root.children = vec![Node::Element(system), Node::Element(data)];
    let mut out = Vec::new();
    assert!(texts.push_message(&Event { root }, &mut out));
    String::from_utf8(out).unwrap()
}
