//! Every record of every sample log is the same event as the crate `evtx` reads.
#![allow(clippy::print_stdout)] // The counts are what the test is for.

mod common;

use std::collections::HashSet;
use std::fs::File;
use std::ops::ControlFlow;

use common::peer::{Peer, described, difference, flat_json, flat_xml};
use common::{corpus, read, short_name};
use quarry_event::output::{Printer, Scratch};
use quarry_event::{Event, Field, FieldSource, Origin, Texts};

/// How a record is not the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Difference {
    /// `evtx` doesn't read it.
    OursOnly,
    /// `evtx` reads it when it is asked to recover records, and then it is the same event.
    Recovered,
    /// Only `evtx` reads it.
    TheirsOnly,
    /// It is another event, as XML.
    Xml,
    /// It is another event, as JSON.
    Json,
}

/// Differences that are faults of `evtx`, or where a file's damage leaves a choice.
struct Known {
    file: &'static str,
    /// The first and last number of records that follow one another.
    records: &'static [(u64, u64)],
    differences: &'static [Difference],
    /// The lines of the event's tree that are different, ours and theirs.
    lines: &'static [(&'static str, &'static str)],
    /// Why, with the section of the specification that says what is right.
    #[allow(dead_code)] // For those who read this.
    because: &'static str,
}

/// A character that XML 1.0 can't hold (section 2.2, Char).
const NO_CHARACTER: &str = "the value has a control character or half a surrogate pair, which XML \
    can't hold; `evtx` writes `_` for it, which reads as if the value had that, and here it is \
    U+FFFD. In JSON, which can hold it, both have the character";

/// Pages of 4 KiB in the middle of two chunks that are of a later time than the rest.
const LATER_PAGES: &str = "the numbers of these records are not between the first and the last of \
    the chunk's header, and `evtx` takes them for leftovers; they are whole records of this log, \
    and the same when `evtx` is asked to recover leftovers";

const KNOWN: &[Known] = &[
    Known {
        file: "security.evtx",
        records: &[(55, 55)],
        differences: &[Difference::Xml],
        lines: &[
            ("/Event/EventData/Data=\u{fffd}", "/Event/EventData/Data=_"),
            ("/Event/EventData/Data=\u{fffd}", "/Event/EventData/Data=_"),
        ],
        because: NO_CHARACTER,
    },
    Known {
        file: "security_bad_string_cache.evtx",
        records: &[(55, 55)],
        differences: &[Difference::Xml],
        lines: &[
            ("/Event/EventData/Data=\u{fffd}", "/Event/EventData/Data=_"),
            ("/Event/EventData/Data=\u{fffd}", "/Event/EventData/Data=_"),
        ],
        because: NO_CHARACTER,
    },
    Known {
        file: "ID-4765---SID-history-added.evtx",
        records: &[(1, 1)],
        differences: &[Difference::Xml],
        lines: &[("/Event/EventData/Data=ǿ\u{fffd}-", "/Event/EventData/Data=ǿ_-")],
        because: NO_CHARACTER,
    },
    Known {
        file: "Microsoft-Windows-HelloForBusiness-Operational.evtx",
        records: &[(6, 6)],
        differences: &[Difference::Xml, Difference::Json],
        lines: &[(
            "/Event/System/Security@UserID=000000000000000000000000",
            "/Event/System/Security@UserID=S-0-0",
        )],
        because: "twelve bytes of zero are no SID, whose revision is 1 (MS-DTYP 2.4.2.2); `evtx` \
            reads `S-0-0` out of the first eight, here they are shown as bytes",
    },
    Known {
        file: "sample-with-zero-data-size-event.evtx",
        records: &[(3, 3)],
        differences: &[Difference::OursOnly],
        lines: &[],
        because: "the size in the record's header is 0, and `evtx` gives the record up; its BinXML \
            is whole, for that says itself how long it is (MS-EVEN6 2.2.12, EOFToken)",
    },
    Known {
        file: "2-vss_0-Microsoft-Windows-RemoteDesktopServices-RdpCoreTS-Operational.evtx",
        records: &[
            (6_951_742, 6_951_771),
            (6_952_133, 6_952_135),
            (6_952_137, 6_952_139),
            (6_952_143, 6_952_143),
            (6_952_149, 6_952_150),
        ],
        differences: &[Difference::Recovered],
        lines: &[],
        because: LATER_PAGES,
    },
    Known {
        file: "2-vss_0-Microsoft-Windows-RemoteDesktopServices-RdpCoreTS-Operational.evtx",
        records: &[(6_951_741, 6_951_741)],
        differences: &[Difference::OursOnly],
        lines: &[],
        because: "the first whole record of such pages, which `evtx` doesn't find when it recovers \
            either, for it begins to look behind the place where it gave up",
    },
];

#[test]
fn every_record_is_the_same_event_as_the_crate_evtx_reads() {
    let mut found: Vec<(String, u64, Difference, String)> = Vec::new();
    let mut compared = 0;
    for path in corpus() {
        let name = short_name(&path);
        let bytes = std::fs::read(&path).unwrap();
        let mut peer = Peer::read(&bytes);
        let mut recovered: Option<Peer> = None;
        let mut json = std::mem::take(&mut peer.json);
        read(File::open(&path).unwrap(), |header, record| {
            let Ok(record) = record else { return };
            let number = header.number;
            let mut ours = Vec::new();
            record.write_xml(&mut ours);
            let ours = String::from_utf8(ours).unwrap();
            let Some(theirs) = peer.xml.get_mut(&number).filter(|v| !v.is_empty()) else {
                let recovered = recovered.get_or_insert_with(|| Peer::recovered(&bytes));
                let theirs = recovered.xml.get(&number).map_or(&[][..], |records| records);
                let mine = flat_xml(&ours).expect("what we write is XML");
                let same = |theirs: &String| {
                    flat_xml(theirs).is_ok_and(|theirs| difference(&mine, &theirs).is_none())
                };
                let kind = match theirs.iter().any(same) {
                    true => Difference::Recovered,
                    false => Difference::OursOnly,
                };
                found.push((name.clone(), number, kind, format!("{ours} recovered {theirs:?}")));
                return;
            };
            let theirs = theirs.remove(0);
            compared += 1;
            let mine = flat_xml(&ours).expect("what we write is XML");
            match flat_xml(&theirs) {
                Ok(theirs) => {
                    if let Some(what) = difference(&mine, &theirs) {
                        found.push((name.clone(), number, Difference::Xml, what));
                    }
                }
                Err(e) => {
                    let what = format!("theirs is no XML: {e}: {theirs}");
                    found.push((name.clone(), number, Difference::Xml, what));
                }
            }
            let theirs = json.get_mut(&number).filter(|v| !v.is_empty()).map(|v| v.remove(0));
            let theirs = theirs.expect("what it has as XML it has as JSON");
            let (ours, theirs) = (our_values(&record), their_values(&theirs));
            if ours != theirs {
                let only = |a: &[String], b: &[String]| -> Vec<String> {
                    a.iter().filter(|value| !b.contains(value)).cloned().collect()
                };
                let (mine, other) = (only(&ours, &theirs), only(&theirs, &ours));
                let what = format!("ours {mine:?} theirs {other:?}");
                found.push((name.clone(), number, Difference::Json, what));
            }
        });
        for (number, left) in peer.xml {
            for theirs in left {
                found.push((name.clone(), number, Difference::TheirsOnly, theirs));
            }
        }
    }
    println!("{compared} records compared, {} known differences", found.len());
    let mut expected = HashSet::new();
    for Known { file, records, differences, lines, .. } in KNOWN {
        for (number, difference) in records
            .iter()
            .flat_map(|&(first, last)| first..=last)
            .flat_map(|number| differences.iter().map(move |difference| (number, *difference)))
        {
            let what = match difference {
                Difference::Xml => described(lines.iter().copied()),
                _ => String::new(),
            };
            expected.insert((file.to_string(), number, difference, what));
        }
    }
    let mut unknown = Vec::new();
    for (file, number, difference, what) in found {
        let lines = if difference == Difference::Xml { what.clone() } else { String::new() };
        if !expected.remove(&(file.clone(), number, difference, lines)) {
            unknown.push(format!("{file} {number} {difference:?}: {what:.1000}"));
        }
    }
    unknown.sort();
    assert!(unknown.is_empty(), "{} differences:\n{}", unknown.len(), unknown.join("\n"));
    assert!(compared == 0 || expected.is_empty(), "no longer different: {expected:?}");
}

/// The values of our JSON, in any order.
fn our_values(record: &impl FieldSource) -> Vec<String> {
    let origin = Origin { source: "", host: Some(""), log: "", log_record: None, recovered: false };
    let mut line = Vec::new();
    let mut scratch = Scratch::default();
    Printer::jsonl(None).event(record, &origin, Texts::default(), &mut scratch, &mut line);
    let line: serde_json::Value = serde_json::from_slice(&line).expect("what we write is JSON");
    let mut values = Vec::new();
    for (name, value) in line.as_object().expect("an object") {
        // What isn't in the event, and a name for what is.
        if !matches!(&**name, "v" | "level_name" | "message_source" | "log_record" | "message") {
            flat_json(value, &mut values);
        }
    }
    // A message that the event carries; another is made of its values.
    if line["message_source"] == "event" {
        flat_json(&line["message"], &mut values);
    }
    values.sort();
    values
}

fn their_values(event: &serde_json::Value) -> Vec<String> {
    let mut values = Vec::new();
    flat_json(event, &mut values);
    values.sort();
    values
}

#[test]
fn a_decoded_event_and_its_record_agree_on_every_field_and_value() {
    let mut compared = 0;
    for path in corpus() {
        read(File::open(&path).unwrap(), |header, record| {
            let Ok(record) = record else { return };
            let at = || format!("{} {}", short_name(&path), header.number);
            let event = Event::from_source(&record);
            for field in Field::all() {
                let (raw, decoded) = (record.field(field), event.field(field));
                assert_eq!(raw.is_null(), decoded.is_null(), "{} {field:?}", at());
                assert_eq!(raw.to_string(), decoded.to_string(), "{} {field:?}", at());
            }
            assert_eq!(data(&record), data(&event), "{}", at());
            assert!(record.has_more() || !event.has_more(), "{}", at());
            let mut xml = [Vec::new(), Vec::new()];
            record.write_xml(&mut xml[0]);
            event.write_xml(&mut xml[1]);
            assert_eq!(xml[0], xml[1], "{}", at());
            compared += 1;
        });
    }
    println!("{compared} records compared");
}

fn data(source: &impl FieldSource) -> Vec<(Option<String>, String)> {
    let mut data = Vec::new();
    let _ = source.each_data(|name, value| {
        data.push((name.map(|name| name.as_str().to_owned()), value.to_string()));
        ControlFlow::Continue(())
    });
    data
}
