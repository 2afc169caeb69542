//! Small files that print much: output in waiting is bounded by its bytes, and Ctrl-C acts between
//! two records.
#![cfg(target_os = "linux")]

use std::io::Read as _;
use std::process::Child;

use quarry_binxml::write::{
    Content, Element, Fragment, Instance, Piece, Template, TypedValue, ValueType,
};
use quarry_event::{EventTime, Guid};
use quarry_logfile::EvtxWriter;

use super::*;

/// How often each of two templates shows its value, one inside the other.
const TIMES: usize = 200;

/// What is shown.
const VALUE: usize = 100;

/// What each record prints at least.
const PRINTED: usize = TIMES * TIMES * VALUE;

/// A file of so many records, all in one chunk, whose templates nest.
fn nested(records: u64) -> Vec<u8> {
    let shows = |name: &str| {
        let mut element = Element::new(name);
        for _ in 0..TIMES {
            element.content.push(Content::Piece(Piece::value(0, ValueType::BinXml)));
        }
        element
    };
    let instance = |id: u8, root: Element, value: TypedValue<'static>| {
        let template = Template::new(Guid::from_bytes([id; 16]), root).unwrap();
        Fragment::Instance(Instance { template, values: vec![value] })
    };
    let event = Element::new("Event").child(Element::new("System")).child(shows("EventData"));
    let mut writer = EvtxWriter::new(std::io::Cursor::new(Vec::new())).unwrap();
    for _ in 0..records {
        let value = TypedValue::String("x".repeat(VALUE).into());
        let inner = TypedValue::BinXml(Box::new(instance(2, shows("Data"), value)));
        let fragment = instance(1, event.clone(), inner);
        writer.write(&fragment, EventTime::from_filetime(1 << 56)).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// The most memory that a program has held, in bytes.
fn peak(child: &Child) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

fn scan(folder: &Path, threads: &str) -> Child {
    let mut command = quarry(folder);
    command.args(["scan", "nested.evtx", "-o", "jsonl", "--threads", threads]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_small_file_that_prints_gigabytes_takes_little_memory() {
    const RECORDS: usize = 90;
    let folder = tempfile::tempdir().unwrap();
    let file = nested(RECORDS as u64);
    // Two blocks of header and one chunk.
    assert!(file.len() <= 4096 + 65_536, "{}", file.len());
    fs::write(folder.path().join("nested.evtx"), file).unwrap();
    let mut child = scan(folder.path(), "4");
    let mut stdout = child.stdout.take().unwrap();
    let (mut printed, mut most) = (0, 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        // It is still there: its memory isn't looked at after the end.
        most = most.max(peak(&child));
        match stdout.read(&mut buffer).unwrap() {
            0 => break,
            count => printed += count,
        }
        if printed > (RECORDS - 1) * PRINTED {
            break;
        }
    }
    if printed <= (RECORDS - 1) * PRINTED {
        let out = child.wait_with_output().unwrap();
        panic!("{printed} bytes: {}", String::from_utf8_lossy(&out.stderr));
    }
    drop(stdout);
    child.wait().unwrap();
    println!("{} MiB for {} MiB of output", most >> 20, printed >> 20);
    // 360 MB of output; 16 MiB of it may wait, and each thread has one event in hand.
    assert!(most < 150 << 20, "{} MiB", most >> 20);
}

#[test]
fn ctrl_c_acts_between_two_records_of_a_chunk() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("nested.evtx"), nested(200)).unwrap();
    let mut child = scan(folder.path(), "2");
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 1024]).unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&child),
        rustix::process::Signal::INT,
    )
    .unwrap();
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // What was decoded by then is printed: whole records, few of the two hundred.
    assert!(rest.ends_with(b"\n"));
    assert!(rest.len() < 24 * PRINTED, "{} records", rest.len() / PRINTED);
}
