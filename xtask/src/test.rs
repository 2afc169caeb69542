//! `cargo xtask test`: everything CI runs, in order of cost.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{browser, circles, deps, licences, sh, tools, windows};

pub(crate) struct Stage {
    pub(crate) name: &'static str,
    run: fn() -> Result<()>,
}

/// The stages, in order. All are run unless some are named.
pub(crate) const STAGES: [Stage; 13] = [
    Stage { name: "set-up", run: set_up },
    Stage { name: "format", run: format },
    Stage { name: "crates", run: deps::check },
    Stage { name: "circles", run: circles::check },
    Stage { name: "lints", run: lints },
    Stage { name: "licences", run: licences::check },
    Stage { name: "advisories", run: licences::advisories },
    Stage { name: "minimum", run: licences::minimum_version },
    Stage { name: "tests", run: tests },
    Stage { name: "browser", run: browser::run },
    Stage { name: "busy", run: busy },
    Stage { name: "features", run: deps::features },
    Stage { name: "windows", run: windows::run },
];

pub(crate) fn run(named: &[&str]) -> Result<()> {
    for name in named {
        if !STAGES.iter().any(|stage| stage.name == *name) {
            bail!("there is no stage {name}; there are: {}", STAGES.map(|s| s.name).join(", "));
        }
    }
    if sh::corpus().is_none() {
        if sh::is_ci() {
            bail!("../shared/corpus is not there, and CI leaves nothing out");
        }
        println!("../shared/corpus is not there: the tests run on logs that they make themselves");
    }
    for stage in &STAGES {
        if !named.is_empty() && !named.contains(&stage.name) {
            continue;
        }
        println!("\n== {}", stage.name);
        let start = Instant::now();
        (stage.run)().with_context(|| format!("stage {}", stage.name))?;
        println!("== {}: {:.0} s", stage.name, start.elapsed().as_secs_f64());
    }
    println!("\nall stages passed");
    Ok(())
}

fn set_up() -> Result<()> {
    tools::apt(&[
        ("gcc", "gcc"),
        // Builds the allocator of `quarryd`.
        ("make", "make"),
        // Provider files that others published are fetched as witnesses.
        ("npm", "npm"),
        ("python3-venv", "python3"),
        ("util-linux", "flock"),
        ("samba-testsuite", "ndrdump"),
        // Makes message tables.
        ("binutils-mingw-w64-x86-64", "x86_64-w64-mingw32-windmc"),
        ("libevt-utils", "evtexport"),
        ("libevtx-utils", "evtxexport"),
        ("bsdutils", "script"),
        ("strace", "strace"),
        // Reads the unit of `quarryd`.
        ("systemd", "systemd-analyze"),
        // Boots a container in which systemd starts it.
        ("systemd-container", "systemd-nspawn"),
        // A domain for `quarry run-as`, and who else logs on through PAM.
        ("pamtester", "pamtester"),
        ("samba", "smbd"),
        ("winbind", "winbindd"),
        ("krb5-user", "kinit"),
        ("faketime", "faketime"),
        ("iproute2", "ip"),
    ])?;
    // These bring no program to look for.
    let libraries = [
        "krb5-config",
        "libnss-winbind",
        "libpam-winbind",
        "samba-ad-provision",
        "samba-dsdb-modules",
        "samba-vfs-modules",
        "smbclient",
    ];
    let missing: Vec<&str> =
        libraries.into_iter().filter(|package| !windows::is_installed(package)).collect();
    tools::apt_install(&missing)
}

fn format() -> Result<()> {
    sh::run("cargo", &["fmt", "--all", "--check"])
}

fn lints() -> Result<()> {
    sh::run(
        "cargo",
        &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
    )?;
    let mut docs = sh::command("cargo", &["doc", "--workspace", "--no-deps", "--locked"]);
    sh::run_command(docs.env("RUSTDOCFLAGS", "-D warnings"))
}

fn tests() -> Result<()> {
    let mut tests = sh::command("cargo", &["test", "--workspace", "--locked", "--no-fail-fast"]);
    // A minute of processes that kill each other, rather than a few seconds.
    sh::run_command(tests.env("QUARRY_LOCK_STRESS_SECONDS", "60"))
}

/// The tests of whole programs once more while every core has other work, as on a machine that people
/// use: what is late isn't dead.
fn busy() -> Result<()> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, NonZeroUsize::get) {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let tests = ["test", "--locked", "--workspace", "--test", "live"];
        let done = sh::run("cargo", &tests);
        is_over.store(true, Ordering::Relaxed);
        done
    })
}
