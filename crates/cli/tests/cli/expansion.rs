//! Small files that print much: output in waiting is bounded by its bytes, and Ctrl-C acts between
//! two records.
#![cfg(target_os = "linux")]

use std::io::Read as _;
use std::process::Child;

use quarry_sim::NESTED_SIZE as PRINTED;
use quarry_testkit::peak_memory;

use super::nested::nested;
use super::*;

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
        most = most.max(peak_memory(child.id()).unwrap());
        match stdout.read(&mut buffer).unwrap() {
            0 => break,
            count => printed += count,
        }
        if printed > (RECORDS - 1) * PRINTED {
            break;
        }
    }
    assert!(printed > (RECORDS - 1) * PRINTED, "{printed} bytes");
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
