//! SOURCE: what is to be read. A text becomes a [`Source`] by its form alone; [`expand`] looks
//! at the disk and makes the list of files, in order.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Failure, plain};

/// What a SOURCE on the command line means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// `-`: a file on standard input.
    Stdin,
    /// A file or a folder.
    Path(PathBuf),
    /// `.`: this machine.
    ThisMachine,
    /// `even6://…` or `even://…`: a server, with its protocol.
    Server(String),
    /// `@group` of the inventory.
    Group(String),
}

impl Source {
    /// Reads a SOURCE. A text that could be a host's name is a path here; whether there is such
    /// a file tells [`expand`].
    pub(crate) fn parse(text: &OsStr) -> Self {
        match text.to_str() {
            Some("-") => Source::Stdin,
            Some(".") => Source::ThisMachine,
            Some(server) if server.starts_with("even6://") || server.starts_with("even://") => {
                Source::Server(server.to_owned())
            }
            Some(text) if text.starts_with('@') && !Path::new(text).exists() => {
                Source::Group(text[1..].to_owned())
            }
            _ => Source::Path(text.into()),
        }
    }
}

/// Something that can be read, or why it can't.
#[derive(Debug)]
pub(crate) enum Input {
    File(PathBuf),
    Stdin,
    Failed(Failure),
}

/// The files that the sources stand for, in the order given, those of a folder by name; and notes
/// on what was left out.
pub(crate) fn expand(sources: &[std::ffi::OsString]) -> (Vec<Input>, Vec<String>) {
    let mut inputs = Vec::new();
    let mut notes = Vec::new();
    for text in sources {
        match Source::parse(text) {
            Source::Stdin => inputs.push(Input::Stdin),
            Source::Path(path) => expand_path(path, &mut inputs, &mut notes),
            Source::ThisMachine => inputs.push(Input::Failed(
                Failure::new(". is this machine, whose logs can't be read yet")
                    .hint("write ./ for the current folder"),
            )),
            Source::Server(server) => inputs.push(Input::Failed(not_yet(&server))),
            Source::Group(group) => inputs.push(Input::Failed(not_yet(&format!("@{group}")))),
        }
    }
    (inputs, notes)
}

fn not_yet(source: &str) -> Failure {
    Failure::new(format!("{source} is not a file or folder"))
        .hint("servers can't be read yet, only .evtx files and folders of them")
}

fn expand_path(path: PathBuf, inputs: &mut Vec<Input>, notes: &mut Vec<String>) {
    let shown = path.display();
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => search(path, inputs, notes),
        Ok(_) => inputs.push(Input::File(path)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let is_path = path.components().count() > 1 || extension(&path).is_some();
            let failure = if is_path {
                Failure::new(format!("there is no file or folder {shown}"))
            } else {
                not_yet(&shown.to_string())
            };
            inputs.push(Input::Failed(failure));
        }
        Err(e) => {
            inputs.push(Input::Failed(Failure::new(format!("{shown}: {}", plain(&e)))));
        }
    }
}

/// The kinds of log file that a name tells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extension {
    Evtx,
    Evt,
}

fn extension(path: &Path) -> Option<Extension> {
    let extension = path.extension()?;
    if extension.eq_ignore_ascii_case("evtx") {
        Some(Extension::Evtx)
    } else if extension.eq_ignore_ascii_case("evt") {
        Some(Extension::Evt)
    } else {
        None
    }
}

/// Searches a folder and those in it. Links to folders are not followed, so that it ends.
fn search(folder: PathBuf, inputs: &mut Vec<Input>, notes: &mut Vec<String>) {
    let before = inputs.len();
    let mut old = 0u64;
    let mut open = vec![folder.clone()];
    while let Some(path) = open.pop() {
        if path != folder && path.is_file() {
            inputs.push(Input::File(path));
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
            match extension(&path) {
                _ if is_folder => open.push(path),
                Some(Extension::Evtx) if path.is_file() => open.push(path),
                Some(Extension::Evt) => old += 1,
                _ => {}
            }
        }
    }
    let shown = folder.display();
    if old > 0 {
        let files = if old == 1 { "file" } else { "files" };
        notes.push(format!("{shown}: {old} .evt {files} left out, which can't be read yet"));
    }
    if inputs.len() == before {
        let failure = Failure::new(format!("there are no .evtx files in the folder {shown}"));
        inputs.push(Input::Failed(failure));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_told_by_its_form() {
        let parse = |text: &str| Source::parse(OsStr::new(text));
        assert_eq!(parse("-"), Source::Stdin);
        assert_eq!(parse("."), Source::ThisMachine);
        assert_eq!(parse("./"), Source::Path("./".into()));
        assert_eq!(parse("a.evtx"), Source::Path("a.evtx".into()));
        assert_eq!(parse("even6://dc01"), Source::Server("even6://dc01".into()));
        assert_eq!(parse("@web"), Source::Group("web".into()));
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
        let (inputs, notes) = expand(&[root.as_os_str().to_owned()]);
        let names: Vec<String> = inputs
            .iter()
            .map(|input| match input {
                Input::File(path) => {
                    path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/")
                }
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(names, ["a/b/c.evtx", "a/z.EVTX", "b.evtx", "c/d.evtx"]);
        assert_eq!(notes.len(), 1);
        assert!(notes[0].ends_with("1 .evt file left out, which can't be read yet"));
    }
}
