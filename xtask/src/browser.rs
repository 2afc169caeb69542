//! The page in a browser: Debian's Chromium, driven by `playwright-core`, with axe-core; and the types
//! of its scripts.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::{sh, tools};

/// The test files, each with a program and a browser of its own.
const FILES: [&str; 6] = ["pages", "live", "access", "work", "rules", "walk"];
/// Longest time that a test, and a file of them, may take, in milliseconds: it hangs, then. Two cores
/// that build something beside it take minutes for a file.
const LONGEST: u32 = 900_000;

/// Runs the browser's tests. Fails where they can't be run.
pub(crate) fn run() -> Result<()> {
    let tests = tests();
    let folder = folder(&tests)?;
    let modules = folder.join("node_modules");
    let tsc = modules.join("typescript/bin/tsc");
    let mut types = sh::command("node", &[tsc.as_os_str(), "--project".as_ref()]);
    sh::run_command(types.arg(tests.join("tsconfig.json")))?;

    // With the program, which the demo is, and by which commands run that are copied out of the page. Of the
    // whole workspace, as the tests are built: packages by themselves would build their dependencies anew.
    let built = ["build", "--locked", "--workspace", "--example", "page", "--bin", "quarry"];
    sh::run("cargo", &built)?;
    let page = sh::target().join("debug/examples").join(format!("page{}", env::consts::EXE_SUFFIX));
    let shots = folder.join("screenshots");
    let mut node = sh::command("node", &["--test", "--test-concurrency=1"]);
    node.arg(format!("--test-timeout={LONGEST}"))
        .args(FILES.map(|file| tests.join(format!("{file}.test.mjs"))))
        .envs(environment()?)
        .env("QUARRY_PAGE", page)
        .env("QUARRY_PROGRAMS", sh::target().join("debug"))
        .env("QUARRY_SHOTS", &shots);
    sh::run_command(&mut node)?;
    println!("screenshots: {}", shots.display());
    Ok(())
}

/// The variables by which scripts find the driver, its modules and the browser, which are installed.
pub(crate) fn environment() -> Result<Vec<(&'static str, OsString)>> {
    let modules = folder(&tests())?.join("node_modules");
    Ok(vec![
        ("QUARRY_NODE_MODULES", modules.into_os_string()),
        ("QUARRY_CHROMIUM", chromium()?.into_os_string()),
    ])
}

fn tests() -> PathBuf {
    sh::root().join("crates/web/tests/browser")
}

/// Installs the programs and the packages, and says where the packages are.
fn folder(tests: &Path) -> Result<PathBuf> {
    tools::apt(&[("chromium", "chromium"), ("nodejs", "node"), ("npm", "npm")])?;
    install(tests)
}

/// The packages that the tests need, in a folder under the target folder: those of the lock file, and
/// anew when that has changed.
fn install(tests: &Path) -> Result<PathBuf> {
    let folder = sh::target().join("browser");
    fs::create_dir_all(&folder)?;
    let lock = fs::read_to_string(tests.join("package-lock.json"))?;
    let stamp = folder.join("stamp");
    if fs::read_to_string(&stamp).ok().as_deref() != Some(&lock) {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(tests.join(file), folder.join(file)).context(file)?;
        }
        let mut npm = sh::command("npm", &["ci", "--ignore-scripts", "--silent"]);
        sh::run_command(npm.current_dir(&folder))?;
        fs::write(&stamp, &lock)?;
    }
    Ok(folder)
}

/// Where the browser is.
fn chromium() -> Result<PathBuf> {
    let paths = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&paths).map(|folder| folder.join("chromium"));
    match found.into_iter().find(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => bail!("chromium is installed and isn't on the path"),
    }
}
