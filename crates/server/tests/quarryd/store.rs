//! `quarryd store`: what looks after the table.

use std::fs;
use std::time::SystemTime;

use super::*;

fn expire(fleet: &Fleet, more: &[&str]) -> String {
    let words = [&["store", "expire", "quarryd.toml"], more].concat();
    let output = quarryd(fleet.root(), &words).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Names as data files have them.
const OLD: &str = "part-7f9c24e8-3b12-4fef-91e0-56a2b5bf5a01.zstd.parquet";
const YOUNG: &str = "part-0b0e5b0a-6c3f-4a53-8f5c-1d7a9e2f4c02.zstd.parquet";

#[test]
fn files_that_nothing_refers_to_are_listed_and_deleted_once_they_are_old() {
    let fleet = Fleet::new(1, 20);
    fleet.configure("quarryd.toml", USUAL);
    let daemon = Daemon::start(&fleet, "quarryd.toml");
    wait(|| fleet.table().exists() && Rows::read(&fleet.table()).count() == 40, || daemon.said());
    daemon.stop();
    let place = |name: &str| fleet.table().join(name);
    // As a collector leaves them that is killed before its commit. What somebody else has put there stays.
    let others = "part-sales.zstd.parquet";
    for (name, days) in [(OLD, 2), (YOUNG, 0), (others, 2)] {
        fs::write(place(name), "PAR1").unwrap();
        let file = File::options().write(true).open(place(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(days * 86_400)).unwrap();
    }
    let said = expire(&fleet, &["--dry-run"]);
    assert!(said.contains(&format!("{OLD}  4 bytes  48 hours old\n")), "{said}");
    assert!(said.ends_with("1 files with 4 bytes would be deleted\n"), "{said}");
    assert!(expire(&fleet, &["--older-than", "50h"]).starts_with("0 files"));
    assert!(place(OLD).exists());
    let said = expire(&fleet, &[]);
    assert!(said.ends_with("1 files with 4 bytes were deleted\n"), "{said}");
    assert!(!place(OLD).exists());
    assert!(place(YOUNG).exists() && place(others).exists());
    assert_eq!(Rows::read(&fleet.table()).count(), 40);
    let words = ["store", "expire", "quarryd.toml", "--older-than", "5m"];
    let output = quarryd(fleet.root(), &words).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("it has to be an hour or more"), "{said}");
}
