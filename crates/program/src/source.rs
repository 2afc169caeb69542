//! SOURCE: what is to be read. A text becomes a [`Source`] by its form alone; [`expand`] looks
//! at the disk and at the inventory, and makes the lists of files and of servers, in order.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quarry_archive::{Member, Packing, ZipFile, member_kind};
use quarry_fleet::ServerUrl;

use crate::error::{Failure, plain};
use crate::input::{Input, archive_failure, packing};
use crate::servers::{Server, Servers};

/// What a SOURCE on the command line means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// `-`: a file on standard input.
    Stdin,
    /// A file or a folder.
    Path(PathBuf),
    /// `.`: this machine.
    ThisMachine,
    /// `even6://…`, `even://…` or `@group`: servers without doubt.
    Servers(String),
}

impl Source {
    /// Reads a SOURCE. A text that could be a host's name is a path here; whether there is such
    /// a file tells [`expand`].
    pub fn parse(text: &OsStr) -> Self {
        match text.to_str() {
            Some("-") => Source::Stdin,
            Some(".") => Source::ThisMachine,
            Some(server) if ServerUrl::is_meant(server) => Source::Servers(server.to_owned()),
            Some(text) if text.starts_with('@') && !Path::new(text).exists() => {
                Source::Servers(text.to_owned())
            }
            _ => Source::Path(text.into()),
        }
    }
}

/// What sources stand for.
#[derive(Default)]
pub struct Inputs {
    /// The files, in the order given, those of a folder by name; and what failed.
    pub files: Vec<Input>,
    /// The servers, in the order given, each once; this machine may be among them.
    pub servers: Vec<Server>,
    /// Those that are read over a network.
    pub remote: Vec<Arc<quarry_fleet::Server>>,
    /// Why servers can't even be asked.
    pub failed_servers: Vec<Failure>,
    /// Texts that stand for no server: mistakes in the words, which are no servers that failed.
    pub mistakes: Vec<Failure>,
}

/// The files and servers that the sources stand for.
pub fn expand(sources: &[std::ffi::OsString], servers: &mut Servers<'_>) -> Inputs {
    let mut inputs = Inputs::default();
    for text in sources {
        match Source::parse(text) {
            Source::Stdin => inputs.files.push(Input::Stdin),
            Source::Path(path) => expand_path(path, &mut inputs, servers),
            Source::ThisMachine => expand_this_machine(&mut inputs, servers),
            Source::Servers(text) => expand_servers(&text, &mut inputs, servers),
        }
    }
    inputs
}

#[cfg(windows)]
fn expand_this_machine(inputs: &mut Inputs, servers: &Servers<'_>) {
    if !inputs.servers.iter().any(|server| server.is_this_machine()) {
        inputs.servers.push(servers.this_machine());
    }
}

#[cfg(not(windows))]
fn expand_this_machine(inputs: &mut Inputs, _: &Servers<'_>) {
    let failure = Failure::new(". is this machine, which isn't Windows and has no event logs")
        .hint("name a server or a .evtx file, or write ./ for the current folder");
    inputs.files.push(Input::Failed(failure));
}

fn expand_servers(text: &str, inputs: &mut Inputs, servers: &mut Servers<'_>) {
    let entries = match servers.entries(text) {
        Ok(entries) => entries,
        Err(failure) => return inputs.mistakes.push(failure),
    };
    // Many that can't be signed in to for one reason are reported once.
    let mut told: Option<String> = None;
    for entry in entries {
        match servers.open(&entry) {
            Ok(server) => {
                if !inputs.remote.iter().any(|other| other.is_same(&server)) {
                    inputs.servers.push(Arc::clone(&server) as Server);
                    inputs.remote.push(server);
                }
            }
            Err(failure) if told.as_ref() == Some(&failure.message) => {}
            Err(failure) => {
                told = Some(failure.message.clone());
                inputs.failed_servers.push(failure);
            }
        }
    }
}

fn expand_path(path: PathBuf, inputs: &mut Inputs, servers: &mut Servers<'_>) {
    let shown = path.display();
    if path.as_os_str().is_empty() {
        let failure = Failure::new("a source is empty").hint("name a server, a file or a folder");
        return inputs.mistakes.push(failure);
    }
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => search(path, &mut inputs.files),
        Ok(metadata) if metadata.is_file() && is_zip(&path) => {
            search_archive(path, &mut inputs.files, Some(""));
        }
        Ok(_) => inputs.files.push(Input::File(path)),
        Err(_) if let Some((archive, inside)) = place_in_archive(&path) => {
            search_archive(archive, &mut inputs.files, Some(&inside));
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let is_path = path.components().count() > 1 || kind(&path).is_some();
            match path.to_str() {
                Some(name) if !is_path => {
                    let before = (inputs.failed_servers.len(), inputs.mistakes.len());
                    expand_servers(name, inputs, servers);
                    // It may have been meant as a file.
                    let failed = inputs.failed_servers[before.0..].iter_mut();
                    for failure in failed.chain(&mut inputs.mistakes[before.1..]) {
                        let hint = failure.hint.take().map_or_else(String::new, |hint| hint + "; ");
                        failure.hint = Some(format!("{hint}there is no file {name} here either"));
                    }
                }
                _ => {
                    let failure = Failure::new(format!("there is no file or folder {shown}"));
                    inputs.files.push(Input::Failed(failure));
                }
            }
        }
        Err(e) => {
            let failure = Failure::new(format!("{shown}: {}", plain(&e)));
            inputs.files.push(Input::Failed(failure));
        }
    }
}

/// What a file's name says that it is.
fn kind(path: &Path) -> Option<Member> {
    member_kind(&path.file_name().unwrap_or_default().to_string_lossy())
}

/// Whether a file is a zip archive, by what is in it.
fn is_zip(path: &Path) -> bool {
    let packing = fs::File::open(path).and_then(|file| packing(&file));
    packing.is_ok_and(|packing| packing == Some(Packing::Zip))
}

/// The archive that a path leads into, and the name of the file or folder in it, as the events of
/// such a file have it in their source.
fn place_in_archive(path: &Path) -> Option<(PathBuf, String)> {
    let archive = path.ancestors().skip(1).find(|above| above.is_file())?;
    let inside = path.strip_prefix(archive).ok()?;
    is_zip(archive).then(|| (archive.to_owned(), inside.to_string_lossy().replace('\\', "/")))
}

/// Finds the logs in a zip archive, in the order of their names: those of a name or in a folder of
/// it, or all where this is empty. Where nobody named it, an archive without logs is left alone.
fn search_archive(path: PathBuf, inputs: &mut Vec<Input>, inside: Option<&str>) {
    let shown = path.display().to_string();
    let opened = fs::File::open(&path).map_err(Into::into).and_then(ZipFile::open);
    let archive = match opened {
        Ok(archive) => Arc::new(archive),
        Err(error) => return inputs.push(Input::Failed(archive_failure(&shown, &error))),
    };
    let mut entries = archive.entries().to_vec();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let folder = inside.unwrap_or_default();
    entries.retain(|entry| {
        let rest = entry.name.strip_prefix(folder);
        rest.is_some_and(|rest| folder.is_empty() || rest.is_empty() || rest.starts_with('/'))
    });
    if entries.is_empty() && inside.is_some() {
        let what = match folder {
            "" => "there are no .evtx or .evt files".to_owned(),
            folder => format!("there is no .evtx or .evt file {folder}"),
        };
        let failure = Failure::new(format!("{what} in the archive {shown}"));
        return inputs.push(Input::Failed(failure));
    }
    for entry in entries {
        let (archive, path) = (Arc::clone(&archive), path.clone());
        inputs.push(Input::Member { archive, path, entry });
    }
}

/// Searches a folder and those in it. Links to folders are not followed, so that it ends.
fn search(folder: PathBuf, inputs: &mut Vec<Input>) {
    let before = inputs.len();
    let mut open = vec![folder.clone()];
    while let Some(path) = open.pop() {
        if path != folder && path.is_file() {
            match kind(&path) {
                Some(Member::Archive) => search_archive(path, inputs, None),
                _ => inputs.push(Input::File(path)),
            }
            continue;
        }
        let entries = match fs::read_dir(&path).and_then(|entries| entries.collect()) {
            Ok(entries) => entries,
            Err(e) => {
                let message = format!("{}: {}", path.display(), plain(&e));
                inputs.push(Input::Failed(Failure::new(message)));
                continue;
            }
        };
        let mut entries: Vec<fs::DirEntry> = entries;
        // The stack gives the last one first.
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
        for entry in entries {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let path = entry.path();
            if is_folder || kind(&path).is_some() && path.is_file() {
                open.push(path);
            }
        }
    }
    let shown = folder.display();
    if inputs.len() == before {
        let failure =
            Failure::new(format!("there are no .evtx or .evt files in the folder {shown}"));
        inputs.push(Input::Failed(failure));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Words {
        #[command(flatten)]
        servers: crate::args::ServerArgs,
    }

    #[test]
    fn a_source_is_told_by_its_form() {
        let parse = |text: &str| Source::parse(OsStr::new(text));
        assert_eq!(parse("-"), Source::Stdin);
        assert_eq!(parse("."), Source::ThisMachine);
        assert_eq!(parse("./"), Source::Path("./".into()));
        assert_eq!(parse("a.evtx"), Source::Path("a.evtx".into()));
        assert_eq!(parse("even6://dc01"), Source::Servers("even6://dc01".into()));
        assert_eq!(parse("@web"), Source::Servers("@web".into()));
    }

    #[test]
    fn a_folder_is_searched_in_the_order_of_names() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["b.evtx", "a/z.EVTX", "a/b/c.evtx", "c/d.evtx", "c.txt", "old.evt"] {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), "").unwrap();
        }
        fs::create_dir(root.join("dir.evtx")).unwrap();
        let inventory = folder.path().join("inventory.toml");
        fs::write(&inventory, "").unwrap();
        let words = ["".as_ref(), "--inventory".as_ref(), inventory.as_os_str()];
        let args = <Words as clap::Parser>::try_parse_from(words).unwrap();
        let console = crate::console::Console::new(crate::args::When::Never, true);
        let mut servers = Servers::new(&args.servers, &console).unwrap();
        let Inputs { files, .. } = expand(&[root.as_os_str().to_owned()], &mut servers);
        let names: Vec<String> = files
            .iter()
            .map(|input| match input {
                Input::File(path) => {
                    path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/")
                }
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(names, ["a/b/c.evtx", "a/z.EVTX", "b.evtx", "c/d.evtx", "old.evt"]);
    }
}
