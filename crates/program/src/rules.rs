//! Detection rules out of folders, files and zip archives.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use quarry_detect::{MAX_RULE_BYTES, Rule, RuleError};

use crate::console::{Console, grouped};
use crate::error::{Failure, plain};

/// The most files that are read.
const MAX_FILES: usize = 100_000;
/// The most bytes of all rules.
const MAX_TOTAL: usize = 256 << 20;
/// The most memory of all regular expressions, in bytes.
const MAX_REGEX: usize = 1 << 30;
/// Rules that are refused and named each.
const MAX_NAMED: usize = 20;

/// Rules as they are read.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The rules.
    pub rules: Vec<Rule>,
    /// Those that can't be used, and why.
    pub refused: Vec<RuleError>,
    /// Files that are read, by their whole paths: one that two arguments name is read once.
    known: HashSet<PathBuf>,
    /// Members of archives that can't be read, and why.
    unread: Vec<String>,
    files: usize,
    bytes: usize,
    regex_bytes: usize,
}

/// Reads the rules that are in files, folders and archives. Those that can't be used are named in a warning.
///
/// # Errors
/// A file can't be read, there are no rules, or there are too many.
pub fn load(paths: &[PathBuf], console: &Console) -> Result<Loaded, Failure> {
    let mut read = Loaded::default();
    for path in paths {
        read.path(path)?;
    }
    if read.files == 0 {
        let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
        return Err(Failure::new(format!("there are no rules in {}", paths.join(", ")))
            .hint("rules are files of the form .yml; sigmahq.io has thousands"));
    }
    let refused = read.refused.iter().map(ToString::to_string);
    let reasons: Vec<String> = read.unread.iter().cloned().chain(refused).collect();
    for reason in reasons.iter().take(MAX_NAMED) {
        console.warning(reason);
    }
    if let Some(more @ 1..) = reasons.len().checked_sub(MAX_NAMED) {
        let hint = "-v names them";
        console.warning(&format!("{} more rules are refused: {hint}", grouped(more as u64)));
    }
    for reason in reasons.iter().skip(MAX_NAMED) {
        console.detail(|| reason.clone());
    }
    Ok(read)
}

/// A file's text of at most so many bytes.
///
/// # Errors
/// It can't be read, or has more.
pub fn text(path: &Path, most: usize) -> Result<String, Failure> {
    let named = |e: &io::Error| Failure::new(format!("{}: {}", path.display(), plain(e)));
    let file = File::open(path).map_err(|e| named(&e))?;
    read_text(file, most)
        .map_err(|e| named(&e))?
        .ok_or_else(|| Failure::new(format!("{}: it has more than {most} bytes", path.display())))
}

/// Text of at most so many bytes; nothing where there is more.
fn read_text(source: impl Read, most: usize) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    source.take(most as u64 + 1).read_to_end(&mut bytes)?;
    let text = |bytes| {
        String::from_utf8(bytes)
            .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    };
    Ok((bytes.len() <= most).then(|| text(bytes)))
}

fn is_rule(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with(".yml") || name.ends_with(".yaml")
}

impl Loaded {
    fn path(&mut self, path: &Path) -> Result<(), Failure> {
        let shown = path.display();
        let metadata =
            fs::metadata(path).map_err(|e| Failure::new(format!("{shown}: {}", plain(&e))))?;
        if metadata.is_dir() {
            return self.folder(path);
        }
        let name = path.to_string_lossy();
        match name.to_ascii_lowercase().ends_with(".zip") {
            true => self.archive(path),
            false => self.file(path, &name),
        }
    }

    /// The rules of a folder and those in it, by name. Links to folders are not followed.
    fn folder(&mut self, folder: &Path) -> Result<(), Failure> {
        let mut open = vec![folder.to_owned()];
        while let Some(path) = open.pop() {
            if path != folder && path.is_file() {
                let name =
                    path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
                self.file(&path, &name)?;
                continue;
            }
            let entries = fs::read_dir(&path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
            let mut entries =
                entries.map_err(|e| Failure::new(format!("{}: {}", path.display(), plain(&e))))?;
            // The stack gives the last one first.
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
            for entry in entries {
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                let path: PathBuf = entry.path();
                if is_folder || is_rule(&entry.file_name().to_string_lossy()) && path.is_file() {
                    open.push(path);
                }
            }
        }
        Ok(())
    }

    /// Whether a file is not read yet.
    fn is_new(&mut self, path: &Path) -> bool {
        fs::canonicalize(path).map_or(true, |whole| self.known.insert(whole))
    }

    fn file(&mut self, path: &Path, name: &str) -> Result<(), Failure> {
        if !self.is_new(path) {
            return Ok(());
        }
        let file = File::open(path)
            .map_err(|e| Failure::new(format!("{}: {}", path.display(), plain(&e))))?;
        self.rules(name, file).map_err(|e| Failure::new(format!("{name}: {}", plain(&e))))?;
        self.check()
    }

    fn archive(&mut self, path: &Path) -> Result<(), Failure> {
        if !self.is_new(path) {
            return Ok(());
        }
        let shown = path.display();
        let named = |error: &dyn std::fmt::Display| Failure::new(format!("{shown}: {error}"));
        let file = File::open(path).map_err(|e| named(&plain(&e)))?;
        let mut archive =
            zip::ZipArchive::new(io::BufReader::new(file)).map_err(|error| named(&error))?;
        let mut names: Vec<(String, usize)> = Vec::new();
        for n in 0..archive.len() {
            let member = archive.by_index_raw(n).map_err(|error| named(&error))?;
            let name = String::from_utf8_lossy(member.name_raw()).into_owned();
            if is_rule(&name) && !member.is_dir() {
                names.push((name, n));
            }
        }
        names.sort();
        for (name, n) in names {
            // One that is damaged says nothing of the others.
            let read = match archive.by_index(n) {
                Ok(member) => self.rules(&name, member).map_err(|e| plain(&e)),
                Err(error) => Err(error.to_string()),
            };
            if let Err(why) = read {
                self.unread.push(format!("{shown}: {name}: {why}"));
            }
            self.check()?;
        }
        Ok(())
    }

    fn rules(&mut self, name: &str, source: impl Read) -> io::Result<()> {
        self.files += 1;
        // What is too long is refused as a rule is, with its name.
        let text =
            read_text(source, MAX_RULE_BYTES)?.unwrap_or_else(|| " ".repeat(MAX_RULE_BYTES + 1));
        self.bytes += text.len();
        for rule in Rule::parse(name, &text) {
            match rule {
                Ok(rule) => {
                    self.regex_bytes += rule.regex_bytes();
                    self.rules.push(rule);
                }
                Err(error) => self.refused.push(error),
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Failure> {
        if self.regex_bytes > MAX_REGEX {
            let most = MAX_REGEX >> 20;
            return Err(Failure::new(format!(
                "the regular expressions of the rules take more than {most} MiB"
            )));
        }
        match self.files <= MAX_FILES && self.bytes <= MAX_TOTAL {
            true => Ok(()),
            false => Err(Failure::new(format!(
                "there are more than {MAX_FILES} files of rules, or more than {} MiB of them",
                MAX_TOTAL >> 20
            ))),
        }
    }
}
