//! The page in a browser: Debian's Chromium, driven by `playwright-core`, with axe-core; and the types
//! of its scripts.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::{sh, tools};

/// The test files, each with a program and a browser of its own.
const FILES: [&str; 3] = ["pages", "live", "access"];
/// Longest time that a test may take, in milliseconds: it hangs, then.
const LONGEST: u32 = 180_000;

/// Runs the browser's tests. Fails where they can't be run.
pub(crate) fn run() -> Result<()> {
    tools::apt(&[("chromium", "chromium"), ("nodejs", "node"), ("npm", "npm")])?;
    let tests = sh::root().join("crates/web/tests/browser");
    let folder = install(&tests)?;
    let modules = folder.join("node_modules");
    let tsc = modules.join("typescript/bin/tsc");
    let mut types = sh::command("node", &[tsc.as_os_str(), "--project".as_ref()]);
    sh::run_command(types.arg(tests.join("tsconfig.json")))?;

    sh::run("cargo", &["build", "--locked", "--package", "quarry-web", "--example", "page"])?;
    let page = sh::target().join("debug/examples").join(format!("page{}", env::consts::EXE_SUFFIX));
    let shots = folder.join("screenshots");
    let mut node = sh::command("node", &["--test", "--test-concurrency=1"]);
    node.arg(format!("--test-timeout={LONGEST}"))
        .args(FILES.map(|file| tests.join(format!("{file}.test.mjs"))))
        .env("QUARRY_NODE_MODULES", &modules)
        .env("QUARRY_PAGE", page)
        .env("QUARRY_CHROMIUM", chromium()?)
        .env("QUARRY_SHOTS", &shots);
    sh::run_command(&mut node)?;
    println!("screenshots: {}", shots.display());
    Ok(())
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
