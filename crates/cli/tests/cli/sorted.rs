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
