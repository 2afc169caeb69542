//! `cargo xtask windows`: builds the workspace for Windows and runs under Wine what Wine can run.
//!
//! There is no Windows target in the toolchain that builds everything else. Debian's compiler
//! (`rustc-web`) has the target, and `rust-web-src` the standard library's source, which cargo builds
//! along with us. What Wine can't show is in `docs/unverified.md`.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

use crate::{sh, tools};

const TARGET: &str = "x86_64-pc-windows-gnu";
const RUSTC: &str = "/usr/bin/rustc";
const PACKAGES: [&str; 5] = ["rustc-web", "rust-web-src", "gcc-mingw-w64-x86-64", "wine", "wine64"];

/// What the tests of the lock do and Wine 8 does not: it deletes and replaces a file that is
/// open elsewhere only when that is closed, as Windows did before version 10.
const NOT_UNDER_WINE: [&str; 4] = [
    "a_waiter_starts_again_on_the_new_file_when_the_old_one_is_deleted",
    "a_waiting_task_follows_a_file_that_is_replaced",
    "ten_thousand_rounds_of_deleting_and_creating_the_file_let_nobody_in_twice",
    "a_file_that_others_rename_into_place_is_followed",
];

/// Wine would offer to install these.
const NOT_OFFERED: &str = "mscoree,mshtml=";

/// Rust's standard library takes random numbers from a library that Wine 8 lacks.
const RANDOM_SHIM: &str = r#"
#include <windows.h>
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size)
{
	return RtlGenRandom(data, (ULONG)size);
}
"#;

/// Installs what is missing, builds the workspace, and runs the Windows half of its tests.
pub(crate) fn run() -> anyhow::Result<()> {
    install_missing()?;
    let place = Place::new()?;
    step("building the workspace for Windows");
    // The daemon isn't built for Windows: its store alone would take longer than all the rest.
    place.cargo([
        "build",
        "--workspace",
        "--exclude",
        "xtask",
        "--exclude",
        "quarry-store",
        "--exclude",
        "quarry-server",
        "--exclude",
        "quarry-bench",
    ])?;

    let wine = Wine::new(&place)?;
    step("quarry-lock under Wine");
    let mut tests = wine.cargo(&place, ["test", "-p", "quarry-lock", "--lib", "--tests", "--"]);
    // In turns: Wine wakes a waiter late when many processes start at once.
    tests.arg("--test-threads=1");
    for test in NOT_UNDER_WINE {
        step(&format!("not under Wine: {test}"));
        tests.args(["--skip", test]);
    }
    run_to_success(&mut tests)?;

    step("quarry lock under Wine");
    let arguments =
        ["test", "-p", "quarry-cli", "--test", "lock_windows", "--", "--test-threads=1"];
    run_to_success(&mut wine.cargo(&place, arguments))?;

    step("quarry-logon under Wine");
    run_to_success(
        &mut wine.cargo(&place, ["test", "-p", "quarry-logon", "--lib", "--test", "windows"]),
    )?;

    step("quarry scan under Wine");
    scan_says_the_same(&place, &wine)?;

    step("messages as Wine fills them");
    messages_are_filled_alike(&place, &wine)?;

    step("this machine, under Wine as it is");
    run_to_success(
        &mut wine.cargo(&place, ["test", "-p", "quarry-cli", "--test", "local_windows"]),
    )?;
    run_to_success(&mut wine.cargo(&place, ["test", "-p", "quarry-winevt", "--lib"]))?;
    step("this machine, with a stand-in for the Windows Event Log API");
    let _api = StandIn::new(&place)?;
    for (package, test) in [("quarry-winevt", "fake_api"), ("quarry-cli", "local_windows")] {
        let arguments = ["test", "-p", package, "--test", test, "--", "--ignored"];
        let mut tests = wine.cargo(&place, arguments);
        tests.env("WINEDLLOVERRIDES", format!("{NOT_OFFERED};wevtapi=n,b"));
        run_to_success(&mut tests)?;
    }
    Ok(())
}

/// The library that stands in for Windows' own where programs and tests load theirs from, as long
/// as this lives.
struct StandIn([PathBuf; 2]);

impl StandIn {
    fn new(place: &Place) -> anyhow::Result<Self> {
        let folder = place.folder.join(TARGET).join("debug");
        let library = StandIn(["", "deps"].map(|below| folder.join(below).join("wevtapi.dll")));
        let source = place.workspace.join("crates/winevt/tests/fake/wevtapi.c");
        let [beside_programs, beside_tests] = &library.0;
        run_to_success(
            Command::new("x86_64-w64-mingw32-gcc")
                .args(["-shared", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-o"])
                .arg(beside_programs)
                .arg(source),
        )?;
        fs::copy(beside_programs, beside_tests)?;
        Ok(library)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

/// Every small log that the checkout has, printed by the Windows program and by the native one.
fn scan_says_the_same(place: &Place, wine: &Wine) -> anyhow::Result<()> {
    let mut logs = logs_in(&place.workspace.join("fuzz/seeds/evtx"))?;
    let corpus = place.workspace.join("../shared/corpus/mitre");
    if corpus.is_dir() {
        logs.extend(logs_in(&corpus)?);
    }
    anyhow::ensure!(!logs.is_empty(), "there is no log to scan");
    run_to_success(&mut sh::command("cargo", &["build", "--locked", "-p", "quarry-cli"]))?;
    let native = sh::target().join("debug").join("quarry");
    let scan = |mut command: Command| -> anyhow::Result<Vec<u8>> {
        // The same names on both sides: paths are in what is printed.
        // Nor do catalogues count that somebody has on this side.
        let arguments = ["scan", "-q", "-o", "jsonl", "--messages", "never"];
        command.current_dir(&place.workspace).args(arguments).args(&logs);
        Ok(command.output()?.stdout)
    };
    let expected = scan(Command::new(native))?;
    let mut program = wine.command();
    program.arg(place.program("quarry.exe"));
    let printed = scan(program)?;
    anyhow::ensure!(!expected.is_empty(), "the native program printed nothing");
    anyhow::ensure!(printed == expected, "quarry scan prints something else under Wine");
    step(&format!("{} logs, {} bytes, the same", logs.len(), printed.len()));
    Ok(())
}

/// Messages filled in by `FormatMessageW`, and by the crate `message` on this side.
fn messages_are_filled_alike(place: &Place, wine: &Wine) -> anyhow::Result<()> {
    let program = place.folder.join("format_message.exe");
    run_to_success(
        Command::new("x86_64-w64-mingw32-gcc")
            .args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(&program)
            .arg(place.workspace.join("crates/message/tests/wine/format_message.c")),
    )?;
    let arguments = [
        "test",
        "--locked",
        "-p",
        "quarry-message",
        "--test",
        "witnesses",
        "wine::",
        "--",
        "--nocapture",
    ];
    let mut tests = sh::command("cargo", &arguments);
    tests.env("QUARRY_FORMAT_MESSAGE", program);
    wine.configure(&mut tests);
    run_to_success(&mut tests)
}

fn logs_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("{}", folder.display()))? {
        logs.push(entry?.path());
    }
    logs.sort();
    Ok(logs)
}

fn install_missing() -> anyhow::Result<()> {
    let missing: Vec<&str> = PACKAGES.into_iter().filter(|name| !is_installed(name)).collect();
    tools::apt_install(&missing).context("the Windows build needs Debian's packages")
}

pub(crate) fn is_installed(package: &str) -> bool {
    let query = Command::new("dpkg-query").args(["-W", "-f=${db:Status-Status}", package]).output();
    query.is_ok_and(|output| output.stdout == b"installed")
}

/// Where things are.
struct Place {
    workspace: PathBuf,
    /// `target/windows`: what cargo builds, Wine's files, and the shim.
    folder: PathBuf,
}

impl Place {
    fn new() -> anyhow::Result<Self> {
        let workspace =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("a workspace")?.to_path_buf();
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| workspace.join("target"), |folder| workspace.join(folder));
        let folder = target.join("windows");
        fs::create_dir_all(&folder)?;
        Ok(Self { workspace, folder })
    }

    fn cargo<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> anyhow::Result<()> {
        run_to_success(&mut self.cargo_command(arguments))
    }

    /// Cargo, set up for the Windows target. Its own options follow the subcommand.
    fn cargo_command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut arguments = arguments.into_iter();
        let mut command = sh::command("cargo", arguments.next().as_slice());
        command
            .args(["--target", TARGET, "-Zbuild-std=std,panic_unwind,test"])
            // Most of the time goes into compiling dependencies, and nothing here runs long.
            .args(["--config", "profile.dev.package.\"*\".opt-level=0"])
            .args(["--config", "profile.dev.debug=false"])
            .args(arguments)
            .env("RUSTC", RUSTC)
            // What lets a stable compiler build the standard library.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_DIR", &self.folder)
            .env_remove("RUSTC_WRAPPER")
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        command
    }

    /// A program that was built.
    fn program(&self, name: &str) -> PathBuf {
        self.folder.join(TARGET).join("debug").join(name)
    }
}

/// A Wine of our own: its settings are in the build folder, and nobody else's are touched.
struct Wine {
    prefix: PathBuf,
    shim: PathBuf,
}

impl Wine {
    fn new(place: &Place) -> anyhow::Result<Self> {
        let wine = Self { prefix: place.folder.join("wine"), shim: place.folder.join("shim") };
        fs::create_dir_all(&wine.shim)?;
        let source = wine.shim.join("random.c");
        fs::write(&source, RANDOM_SHIM)?;
        run_to_success(
            Command::new("x86_64-w64-mingw32-gcc")
                .args(["-shared", "-O2", "-Wall", "-Werror", "-o"])
                .arg(wine.shim.join("bcryptprimitives.dll"))
                .arg(source)
                .arg("-ladvapi32"),
        )?;
        if !wine.prefix.join("system.reg").exists() {
            step("setting Wine up");
            run_to_success(wine.command().args(["wineboot", "--init"]))?;
        }
        Ok(wine)
    }

    /// `wine`, to which a program and its arguments are to be added.
    fn command(&self) -> Command {
        let mut command = Command::new("wine");
        self.configure(&mut command);
        command
    }

    /// Cargo with Wine to run what it builds.
    fn cargo<'a>(&self, place: &Place, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = place.cargo_command(arguments);
        let runner = format!("CARGO_TARGET_{}_RUNNER", TARGET.to_uppercase().replace('-', "_"));
        command.env(runner, "wine");
        self.configure(&mut command);
        command
    }

    fn configure(&self, command: &mut Command) {
        let mut path = std::ffi::OsString::from("Z:");
        path.push(&self.shim);
        command
            .env("WINEPREFIX", &self.prefix)
            .env("WINEPATH", path)
            .env("WINEARCH", "win64")
            .env("WINEDEBUG", "-all")
            .env("WINEDLLOVERRIDES", NOT_OFFERED)
            .env_remove("DISPLAY");
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        // Only the server of this prefix. It ends by itself otherwise, but keeps the folder busy.
        let mut server = Command::new("/usr/lib/wine/wineserver64");
        self.configure(&mut server);
        let _ = server.arg("-k").status();
    }
}

fn run_to_success(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_owned();
    let status = command.status().with_context(|| format!("{name:?} does not start"))?;
    if !status.success() {
        let arguments: Vec<&OsStr> = command.get_args().collect();
        bail!("{name:?} {arguments:?}: {status}");
    }
    Ok(())
}

#[allow(clippy::print_stderr, reason = "a task says what it does")]
fn step(what: &str) {
    eprintln!("==> {what}");
}
