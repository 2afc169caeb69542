//! Real events written to an `.evtx` file again: read back here they are the same, and three other
//! implementations read the same values: the crate `evtx` (which checks the checksums), libevtx's
//! `evtxexport` and python-evtx.
#![allow(clippy::print_stdout)] // The counts are what the test is for.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::peer::{Peer, difference, flat_xml};
use common::{corpus, corpus_folder, read, short_name};
use evtx::ParserSettings;
use quarry_binxml::write::{Packed, Packer};
use quarry_event::{Event, EventTime, FieldSource, Guid};
use quarry_logfile::classic::{ClassicEvent, ClassicRecord};
use quarry_logfile::{EvtItem, EvtLog, EvtxWriter};

/// Events, and the file that they make. Numbers begin with 1.
struct Saved {
    events: Vec<Event>,
    writer: EvtxWriter<Cursor<Vec<u8>>>,
    packer: Packer,
    /// Those that have no room in a chunk.
    too_large: usize,
}

impl Saved {
    fn new() -> Self {
        Saved {
            events: Vec::new(),
            writer: EvtxWriter::new(Cursor::new(Vec::new())).unwrap(),
            packer: Packer::default(),
            too_large: 0,
        }
    }

    fn add(&mut self, event: &impl FieldSource) {
        let mut values = Vec::new();
        let template = self.packer.pack(event, &mut values).unwrap();
        let packed = Packed { template: &template, values: &values };
        let written = EventTime::from_filetime(134_000_000_000_000_000);
        match self.writer.write_packed(packed, written) {
            Ok(number) => {
                self.events.push(Event::from_source(event));
                assert_eq!(number, self.events.len() as u64);
            }
            Err(_) => self.too_large += 1,
        }
    }

    fn finish(self) -> (Vec<Event>, Vec<u8>, usize) {
        (self.events, self.writer.finish().unwrap().into_inner(), self.too_large)
    }
}

/// The sample logs, the old one too, as they were saved.
fn samples() -> Vec<(String, Saved)> {
    let mut samples = Vec::new();
    for path in corpus() {
        let mut saved = Saved::new();
        read(std::fs::File::open(&path).unwrap(), |_, record| {
            if let Ok(record) = record {
                saved.add(&record);
            }
        });
        samples.push((short_name(&path), saved));
    }
    let old = corpus_folder().join("evt/SysEvent.Evt");
    if let Ok(file) = std::fs::File::open(&old) {
        let log = EvtLog::open(file).unwrap();
        let mut saved = Saved::new();
        let (mut buffer, mut items) = (Vec::new(), Vec::new());
        for n in 0..log.blocks() {
            log.block(n, &mut buffer, &mut items);
            for item in &items {
                let EvtItem::Record { bytes, .. } = item else { panic!("{item:?}") };
                let (record, _) = ClassicRecord::salvage(&buffer[bytes.clone()]).unwrap();
                saved.add(&ClassicEvent { record, log: "System" });
            }
        }
        assert_eq!(saved.events.len(), 6063);
        samples.push((short_name(&old), saved));
    }
    samples
}

fn xml(event: &Event) -> String {
    let mut out = Vec::new();
    event.write_xml(&mut out);
    String::from_utf8(out).unwrap()
}

/// Whether an event has what XML can't hold, for which each reader writes something of its own.
fn is_odd(xml: &str) -> bool {
    xml.contains('\u{fffd}')
}

#[test]
fn what_is_saved_is_read_back_by_this_and_by_other_implementations() {
    let python = has_samples().then(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testkit/python");
        quarry_testkit::python("evtx", &folder.join("evtx-requirements.txt"))
    });
    let (mut libevtx, mut python_evtx) = (Vec::new(), Vec::new());
    let (mut all, mut by_libevtx, mut by_python, mut too_large) = (0, 0, 0, 0);
    for (name, saved) in samples() {
        let (events, bytes, dropped) = saved.finish();
        too_large += dropped;
        all += events.len();
        // Here.
        let mut back = Vec::new();
        let damage = read(Cursor::new(bytes.clone()), |header, record| {
            back.push(Event::from_source(&record.unwrap()));
            assert_eq!(header.number, back.len() as u64);
        });
        assert_eq!((damage, back.len()), (vec![], events.len()), "{name}");
        for (event, back) in events.iter().zip(&back) {
            assert_eq!(xml(event), xml(back), "{name}");
            assert_eq!(event, back, "{name}");
        }
        // The crate `evtx`.
        let peer = Peer::with(&bytes, ParserSettings::new().validate_checksums(true));
        assert_eq!((peer.records(), peer.errors), (events.len(), vec![]), "{name}");
        for (n, event) in events.iter().enumerate() {
            let ours = xml(event);
            if !is_odd(&ours) {
                let theirs = flat_xml(&peer.xml[&(n as u64 + 1)][0]).unwrap();
                let found = difference(&flat_xml(&ours).unwrap(), &theirs);
                assert_eq!(found, None, "{name}: {ours}");
            }
        }
        // libevtx and python-evtx.
        let mut file = tempfile::NamedTempFile::with_suffix(".evtx").unwrap();
        file.write_all(&bytes).unwrap();
        by_libevtx += compare(&name, &events, &exported(file.path()), &mut libevtx);
        if let Some(python) = &python {
            by_python += compare(&name, &events, &dumped(python, file.path()), &mut python_evtx);
        }
    }
    println!(
        "{all} events saved, {by_libevtx} compared with libevtx's, {by_python} with python-evtx's; \
         {too_large} too large"
    );
    assert_eq!((libevtx, python_evtx), (vec![], vec![]));
    assert_eq!(too_large, 0);
    if has_samples() {
        assert!(all > 25_000 && (by_libevtx == 0 || by_libevtx > 25_000) && by_python > 500);
    }
}

fn has_samples() -> bool {
    corpus_folder().is_dir()
}

/// Finds documents that haven't the same texts as the event of their number; says how many have.
fn compare(name: &str, events: &[Event], documents: &[String], found: &mut Vec<String>) -> usize {
    let mut compared = 0;
    for document in documents {
        let (number, document) = document.split_once('\u{1}').unwrap();
        let number: usize = number.parse().unwrap();
        let ours = xml(&events[number]);
        if is_odd(&ours) {
            continue;
        }
        let Ok(theirs) = texts(document) else {
            // Neither escapes quotes in attributes.
            if !ours.contains("&quot;") {
                found.push(format!("{name} {number}: it is no XML: {document:.300}"));
            }
            continue;
        };
        match first_difference(&texts(&ours).unwrap(), &theirs) {
            None => compared += 1,
            Some(what) => found.push(format!("{name} {number}: {what}")),
        }
    }
    compared
}

type Texts = BTreeMap<String, Vec<Text>>;

/// The first text that is another, from a little before where it begins to be.
fn first_difference(ours: &Texts, theirs: &Texts) -> Option<String> {
    let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    for name in names {
        let of = |texts: &Texts, n: usize| match texts.get(name).and_then(|texts| texts.get(n)) {
            Some(text) => format!("{text:?}"),
            None => "nothing".to_owned(),
        };
        let lists = [ours.get(name), theirs.get(name)].map(|list| list.map_or(&[][..], |l| l));
        for n in 0..lists[0].len().max(lists[1].len()) {
            if lists[0].get(n) == lists[1].get(n) {
                continue;
            }
            let (mine, other) = (of(ours, n), of(theirs, n));
            let at = mine.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
            let near = |text: &str| -> String {
                text.chars().skip(at.saturating_sub(20)).take(60).collect()
            };
            return Some(format!("{name}: ours {:?}, theirs {:?}", near(&mine), near(&other)));
        }
    }
    None
}

/// The texts and attributes of a document's elements, by name.
fn texts(document: &str) -> Result<Texts, roxmltree::Error> {
    let parsed = roxmltree::Document::parse(document)?;
    let mut texts = Texts::new();
    for element in parsed.descendants().filter(roxmltree::Node::is_element) {
        let name = element.tag_name().name();
        let mut add = |name: String, text: &str| {
            let text = normal(text);
            if text != Text::Other(String::new()) {
                texts.entry(name).or_default().push(text);
            }
        };
        for attribute in element.attributes() {
            add(format!("{name}@{}", attribute.name()), attribute.value());
        }
        let own: String = element
            .children()
            .filter_map(|node| match node.is_text() {
                true => node.text(),
                false => None,
            })
            .collect();
        add(name.to_owned(), &own);
    }
    Ok(texts)
}

/// Text without what is a matter of form.
#[derive(Debug)]
enum Text {
    Other(String),
    /// In units of 100 ns. Others round to a millionth of a second, and not always well.
    Time(u64),
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Text::Other(one), Text::Other(other)) => {
                one == other || base64(one).as_ref() == Some(other)
            }
            (Text::Time(one), Text::Time(other)) => one.abs_diff(*other) <= 50,
            _ => false,
        }
    }
}

/// The base64 of hexadecimal digits, as which python-evtx writes bytes.
fn base64(hex: &str) -> Option<String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let pairs = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes = pairs.map(byte).collect::<Option<Vec<u8>>>()?;
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            out.push(if digit > three.len() { '=' } else { DIGITS[value as usize].into() });
        }
    }
    Some(out)
}

/// Without white space at the ends, the kind of line ends, the case and braces of GUIDs, zeros
/// before hexadecimal digits, and the forms of times.
fn normal(text: &str) -> Text {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let text = text.trim();
    if let Some(guid) = Guid::parse(text) {
        return Text::Other(guid.to_string());
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return Text::Other(format!("0x{}", digits.trim_start_matches('0').to_lowercase()));
    }
    let iso = text.replacen(' ', "T", 1).replace("+00:00", "Z");
    let (seconds, fraction) = match iso.trim_end_matches('Z').split_once('.') {
        Some((seconds, fraction)) => (seconds.to_owned(), fraction.to_owned()),
        None => (iso.trim_end_matches('Z').to_owned(), String::new()),
    };
    let fraction: String = fraction.chars().take(7).collect();
    match EventTime::parse(&format!("{seconds}.{fraction:0<7}Z")) {
        Some(time) => Text::Time(time.as_filetime()),
        None => Text::Other(text.to_owned()),
    }
}

fn exported(path: &Path) -> Vec<String> {
    let Ok(output) = Command::new("evtxexport").args(["-f", "xml"]).arg(path).output() else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI has evtxexport");
        println!("libevtx's evtxexport is not here, so it has read nothing");
        return Vec::new();
    };
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let starts: Vec<usize> = text.match_indices("<Event ").map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let document = |(n, (start, end)): (usize, (&usize, usize))| {
        let document = &text[*start..end];
        let end = document.rfind("</Event>").map_or(document.len(), |at| at + "</Event>".len());
        format!("{n}\u{1}{}", &document[..end])
    };
    starts.iter().zip(ends).enumerate().map(document).collect()
}

/// A few of each file, because it is slow.
const DUMP: &str = "
import sys
from Evtx.Evtx import Evtx
with Evtx(sys.argv[1]) as log:
    assert log.get_file_header().verify()
    n = 0
    for chunk in log.chunks():
        assert chunk.verify()
        for record in chunk.records():
            if n % 197 < 4:
                sys.stdout.buffer.write(f'{n}\\x01{record.xml()}\\x02'.encode('utf-8', 'replace'))
            n += 1
sys.stdout.buffer.write(str(n).encode())
";

fn dumped(python: &PathBuf, path: &Path) -> Vec<String> {
    let output = Command::new(python).args(["-c", DUMP]).arg(path).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut documents: Vec<String> = text.split('\u{2}').map(str::to_owned).collect();
    documents.pop();
    documents
}
