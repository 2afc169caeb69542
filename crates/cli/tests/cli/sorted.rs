//! `-n` with `--sort`.

use super::*;

fn users(ran: &Ran) -> Vec<String> {
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    let user = |line| json(line)["data"]["TargetUserName"].as_str().unwrap().to_owned();
    ran.lines().into_iter().map(user).collect()
}

#[test]
fn lines_of_what_is_sorted_are_of_the_whole_unless_they_are_asked_for_per_source() {
    let folder = logs();
    let scan = |arguments: &[&str]| {
        let all = [&["scan", "./", "-o", "jsonl", "--sort", "time"], arguments].concat();
        users(&run(folder.path(), &all))
    };
    assert_eq!(scan(&["-n", "2"]), ["dave", "alice"]);
    assert_eq!(scan(&["-n", "2", "-r"]), ["alice", "Alice"]);
    assert_eq!(scan(&["-n", "100"]).len(), 6);
    // The first of each file, and those in one order.
    assert_eq!(scan(&["-n", "2", "--per-source"]), ["dave", "alice", "bob", "Alice"]);
    assert_eq!(scan(&["-n", "1", "-r", "--per-source"]), ["alice", "Alice"]);
}

/// The lines of a scan.
fn lines(folder: &Path, arguments: &[&str]) -> Vec<String> {
    let ran = run(folder, &[&["scan", "./", "-o", "jsonl"], arguments].concat());
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    ran.lines().into_iter().map(str::to_owned).collect()
}

#[test]
fn events_of_many_chunks_come_in_the_order_of_time_and_those_of_one_time_in_that_of_their_sources()
{
    let folder = tempfile::tempdir().unwrap();
    // Times that come again in each file and from file to file, in chunks out of order.
    for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
        let chunk = |chunk: u64| {
            let first = (chunk * 29 + n as u64) % 40;
            (0..40).map(|i| event(chunk * 100 + i, first + i / 2, 4624, name)).collect()
        };
        let chunks: Vec<Vec<Event>> = (0..30).map(chunk).collect();
        fs::write(folder.path().join(format!("{name}.evtx")), file(&chunks)).unwrap();
    }
    let time = |line: &String| json(line)["time"].as_str().unwrap().to_owned();
    for threads in ["1", "3"] {
        let more = ["--threads", threads];
        // The same by the standard library, whose sort keeps the order of equals.
        let mut oldest = lines(folder.path(), &more);
        oldest.sort_by_key(time);
        assert_eq!(oldest.len(), 3600);
        let mut newest = lines(folder.path(), &[&more[..], &["-r"]].concat());
        newest.sort_by_key(|line| std::cmp::Reverse(time(line)));
        let sort = |arguments: &[&str]| {
            lines(folder.path(), &[&more[..], &["--sort", "time"], arguments].concat())
        };
        assert_eq!(sort(&[]), oldest);
        assert_eq!(sort(&["-r"]), newest);
        assert_eq!(sort(&["-n", "100"]), oldest[..100]);
        assert_eq!(sort(&["-n", "100", "-r"]), newest[..100]);
        // These read files one after the other.
        assert_eq!(sort(&["--unique"]), oldest);
        let few = ["--fields", "time,log_record,source"];
        assert_eq!(sort(&few).len(), 3600);
    }
}
