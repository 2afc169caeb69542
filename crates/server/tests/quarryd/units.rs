//! The unit for systemd, as far as that can be told without starting it: it is read without a complaint, and
//! the program makes no system call that the unit forbids.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn unit() -> PathBuf {
    quarry_testkit::root().join("dist/quarryd.service")
}

fn systemd_analyze(arguments: &[&str]) -> String {
    let output = Command::new("systemd-analyze").args(arguments).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// The system calls that a unit's filters leave, by what systemd knows of its groups.
fn allowed(unit: &str) -> BTreeSet<String> {
    let listed = systemd_analyze(&["syscall-filter", "--no-pager"]);
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut group = None;
    for line in listed.lines().filter(|line| !line.trim_start().starts_with('#')) {
        match line.strip_prefix(' ') {
            Some(call) if !call.trim().is_empty() => {
                groups.entry(group.unwrap_or_default()).or_default().push(call.trim());
            }
            _ => group = Some(line.trim()),
        }
    }
    let mut allowed = BTreeSet::new();
    for line in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let mut calls = BTreeSet::new();
        let names = line.trim_start_matches('~').split_whitespace();
        names.for_each(|name| expand(name, &groups, &mut calls));
        match line.starts_with('~') {
            true => allowed.retain(|call| !calls.contains(call)),
            false => allowed.extend(calls),
        }
    }
    allowed
}

/// The system calls of a group, and of the groups in it.
fn expand<'a>(
    name: &'a str,
    groups: &BTreeMap<&'a str, Vec<&'a str>>,
    calls: &mut BTreeSet<String>,
) {
    match groups.get(name) {
        Some(members) => members.iter().for_each(|member| expand(member, groups, calls)),
        None => drop(calls.insert(name.to_owned())),
    }
}

/// Whether all the programs are there, or false after saying so.
fn has_programs() -> bool {
    quarry_testkit::has_program("systemd-analyze", "systemd")
        && quarry_testkit::has_program("strace", "strace")
}

#[test]
fn the_unit_is_one_that_systemd_reads_and_finds_confined() {
    if !has_programs() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quarryd.service");
    let text = std::fs::read_to_string(unit()).unwrap();
    // It has to be there, and here it is elsewhere.
    let here = text.replace("/usr/bin/quarryd", program().to_str().unwrap());
    std::fs::write(&path, here).unwrap();
    let path = path.to_str().unwrap();
    systemd_analyze(&["verify", "--man=no", path]);
    // In tenths, of a hundred.
    let _ = systemd_analyze(&["security", "--offline=true", "--threshold=20", path]);
}

#[test]
fn the_program_makes_no_system_call_that_its_unit_forbids() {
    if !has_programs() {
        return;
    }
    let allowed = allowed(&std::fs::read_to_string(unit()).unwrap());
    assert!(allowed.contains("read") && !allowed.contains("mount"), "{allowed:?}");
    let fleet = Fleet::new(2, 20);
    fleet.configure("quarryd.toml", &format!("{USUAL}[page]\nlisten = \"127.0.0.1:0\"\n"));
    let counts = fleet.root().join("calls");
    let log = fleet.root().join("quarryd.toml.log");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-o"]).arg(&counts).arg(program()).args(["serve", "quarryd.toml"]);
    strace.current_dir(fleet.root()).stdin(Stdio::null()).stdout(Stdio::null());
    strace.env("HOME", fleet.root()).env("XDG_DATA_HOME", fleet.root());
    strace.stderr(File::create(&log).unwrap());
    let tracer = Daemon { child: strace.spawn().unwrap(), log };
    wait(|| fleet.rows().count() == 80, || tracer.said());
    let traced = {
        let id = tracer.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        Pid::from_raw(children.trim().parse().unwrap()).unwrap()
    };
    kill_process(traced, Signal::HUP).unwrap();
    tracer.wait_for("the configuration was taken up", 1);
    fleet.server(1).append_generated("System", 5).unwrap();
    wait(|| fleet.rows().count() == 85, || tracer.said());
    kill_process(traced, Signal::TERM).unwrap();
    tracer.ends();

    let counts = std::fs::read_to_string(counts).unwrap();
    let made: BTreeSet<&str> = counts
        .lines()
        // Share and seconds; between the rows strace says which processes it lost sight of.
        .filter(|line| line.split_whitespace().take(2).all(|word| word.parse::<f64>().is_ok()))
        .filter_map(|line| line.split_whitespace().next_back())
        .filter(|call| *call != "total")
        .collect();
    assert!(made.contains("fsync") && made.contains("execve"), "{counts}");
    let forbidden: Vec<_> = made.iter().filter(|call| !allowed.contains(**call)).collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
}
