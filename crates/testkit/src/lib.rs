//! For tests only: finds the test rigs beside the repository, makes the Python
//! environment that they need, and starts their servers.
//!
//! Where the rigs or the tools are missing a test says so and passes, except
//! under `CI=true`, where it fails.
#![forbid(unsafe_code)]
#![expect(clippy::print_stderr, reason = "a test that is skipped must say so")]

#[cfg(unix)]
pub mod accounts;
mod domain;
mod even6;
mod packages;
mod samba;
mod storage;
#[cfg(unix)]
mod visitor;

pub use domain::SambaDomain;
pub use even6::{Even6Server, even6_python};
pub use packages::{Package, corpus_file, corpus_folder, package_file, unpack_xz};
pub use samba::SambaServer;
pub use storage::{ObjectStorage, Storage};
#[cfg(unix)]
pub use visitor::Visitor;

use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The seeds of a fuzz target, in order. There has to be one.
pub fn fuzz_seeds(target: &str) -> Vec<PathBuf> {
    let folder = root().join("fuzz/seeds").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut seeds: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{target} has seeds");
    seeds
}

/// The most memory that a process has held so far, in bytes, where the system tells (Linux).
pub fn peak_memory(process: u32) -> Option<usize> {
    status(process, "VmHWM:")
}

/// The memory that a process holds, in bytes, where the system tells (Linux).
pub fn memory(process: u32) -> Option<usize> {
    status(process, "VmRSS:")
}

/// A number of kilobytes of a process's, in bytes.
fn status(process: u32, name: &str) -> Option<usize> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse::<usize>().ok().map(|kilobytes| kilobytes << 10)
}

/// Says why a test does not run. Under `CI=true` that is a failure.
pub fn skip(what: &str, why: &str) {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{what}: {why}, and under CI=true that is a failure"
    );
    eprintln!("SKIPPED {what}: {why}");
}

/// A folder of the rigs beside the repository, or `None` after saying so.
pub fn rig(name: &str) -> Option<PathBuf> {
    let path = root().join("../shared/rigs").join(name);
    if path.is_dir() {
        return path.canonicalize().ok();
    }
    skip(name, "the test rigs are not beside the repository (../shared/rigs)");
    None
}

/// Whether a program is there, or false after saying so.
pub fn has_program(name: &str, package: &str) -> bool {
    if Command::new(name).arg("--help").output().is_ok() {
        return true;
    }
    skip(name, &format!("the program is missing (Debian: {package})"));
    false
}

/// A Python with a requirements file's packages, in an environment under the
/// target folder that is made once and remade when the file changes.
///
/// # Panics
/// When it cannot be made.
pub fn python(name: &str, requirements: &Path) -> PathBuf {
    let wanted = fs::read_to_string(requirements).expect("the requirements can be read");
    // One whose requirements are others, under the same name, must not take it away while it is in use.
    let mut hasher = std::hash::DefaultHasher::new();
    wanted.hash(&mut hasher);
    let folder = target().join("python").join(format!("{name}-{:016x}", hasher.finish()));
    fs::create_dir_all(&folder).expect("the target folder can be written");
    // Tests of several processes want it at once.
    let lock = fs::File::create(folder.join("lock")).expect("the lock file can be made");
    lock.lock().expect("the lock can be taken");
    let stamp = folder.join("stamp");
    let venv = folder.join("venv");
    let python = venv.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    if fs::read_to_string(&stamp).ok().as_deref() != Some(&wanted) {
        eprintln!("making the Python environment {}", venv.display());
        let _ = fs::remove_dir_all(&venv);
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
            .arg(requirements));
        fs::write(&stamp, wanted).expect("the stamp can be written");
    }
    python
}

/// The folder with npm's packages of a lock file, under the target folder, made once and remade when
/// the file changes; or `None` after saying so where there is no Node.js or npm.
///
/// # Panics
/// When it cannot be made.
pub fn node(name: &str, package: &Path) -> Option<PathBuf> {
    if !has_program("node", "nodejs") || !has_program("npm", "npm") {
        return None;
    }
    let folder = target().join("node").join(name);
    fs::create_dir_all(&folder).expect("the target folder can be written");
    let lock = fs::File::create(folder.join("lock")).expect("the lock file can be made");
    lock.lock().expect("the lock can be taken");
    let wanted =
        fs::read_to_string(package.join("package-lock.json")).expect("there is a lock file");
    let stamp = folder.join("stamp");
    if fs::read_to_string(&stamp).ok().as_deref() != Some(&wanted) {
        eprintln!("fetching the packages of {}", package.display());
        for file in ["package.json", "package-lock.json"] {
            fs::copy(package.join(file), folder.join(file)).expect("it can be copied");
        }
        let options = ["ci", "--ignore-scripts", "--silent", "--no-audit", "--no-fund"];
        run(Command::new("npm").args(options).current_dir(&folder));
        fs::write(&stamp, wanted).expect("the stamp can be written");
    }
    Some(folder.join("node_modules"))
}

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
