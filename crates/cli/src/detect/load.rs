//! Rules out of folders, files and zip archives, and the options that choose among them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quarry_collect::Detect;
use quarry_detect::{Engine, MAX_MAPPING_BYTES, MAX_RULE_BYTES, Mapping, Rule, RuleError};
use quarry_event::RuleName;
use quarry_event::filter::Glob;

use super::Detection;
use crate::args::{DetectArgs, RuleLevel};
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
/// The most bytes of the file of `--exclude`.
const MAX_EXCLUDE: usize = 4 << 20;

/// Rules as they are read.
#[derive(Default)]
struct Loading {
    rules: Vec<Rule>,
    refused: Vec<RuleError>,
    files: usize,
    bytes: usize,
    regex_bytes: usize,
}

impl Detection {
    /// Reads the rules that the options name.
    pub(super) fn load(args: &DetectArgs, console: &Console) -> Result<Self, Failure> {
        let mapping = mapping(args.mapping.as_deref())?;
        let chosen = Chosen::new(args)?;
        let mut read = Loading::default();
        for path in &args.rules {
            read.path(path)?;
        }
        if read.files == 0 {
            let paths: Vec<String> = args.rules.iter().map(|p| p.display().to_string()).collect();
            return Err(Failure::new(format!("there are no rules in {}", paths.join(", ")))
                .hint("rules are files of the form .yml; sigmahq.io has thousands"));
        }
        for error in read.refused.iter().take(MAX_NAMED) {
            console.warning(&error.to_string());
        }
        if let Some(more @ 1..) = read.refused.len().checked_sub(MAX_NAMED) {
            console.warning(&format!("{} more rules are refused", grouped(more as u64)));
        }
        let all = read.rules.len();
        let rules: Vec<Rule> = read.rules.into_iter().filter(|rule| chosen.has(rule)).collect();
        if rules.is_empty() {
            let failure = Failure::new(match all {
                0 => format!("all {} rules are refused", grouped(read.refused.len() as u64)),
                all => format!(
                    "none of the {} rules is one that the options ask for",
                    grouped(all as u64)
                ),
            });
            return Err(failure);
        }
        let left_out = all - rules.len();
        let detect = Arc::new(Detect::new(Arc::new(Engine::new(rules, mapping))));
        Ok(Detection { detect, refused: read.refused, left_out })
    }
}

fn mapping(path: Option<&Path>) -> Result<Mapping, Failure> {
    let Some(path) = path else { return Ok(Mapping::builtin()) };
    let text = text(path, MAX_MAPPING_BYTES)?;
    let wrong = |error| {
        Failure::new(format!("{}: {error}", path.display()))
            .hint("docs/detection.md shows the form")
    };
    let mapping = Mapping::parse(&text).map_err(wrong)?;
    Mapping::builtin().overridden(mapping).map_err(wrong)
}

/// A file's text of at most so many bytes.
fn text(path: &Path, most: usize) -> Result<String, Failure> {
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
    Ok((bytes.len() <= most).then(|| String::from_utf8_lossy(&bytes).into_owned()))
}

fn is_rule(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with(".yml") || name.ends_with(".yaml")
}

impl Loading {
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

    fn file(&mut self, path: &Path, name: &str) -> Result<(), Failure> {
        let file = File::open(path)
            .map_err(|e| Failure::new(format!("{}: {}", path.display(), plain(&e))))?;
        self.rules(name, file).map_err(|e| Failure::new(format!("{name}: {}", plain(&e))))?;
        self.check()
    }

    fn archive(&mut self, path: &Path) -> Result<(), Failure> {
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
            let member = archive.by_index(n).map_err(|error| named(&error))?;
            self.rules(&name, member).map_err(|e| named(&format!("{name}: {}", plain(&e))))?;
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

/// Which rules are wanted.
struct Chosen {
    level: Option<usize>,
    status: Vec<String>,
    tags: Vec<Glob>,
    rules: Vec<Glob>,
    excluded: Vec<String>,
}

impl Chosen {
    fn new(args: &DetectArgs) -> Result<Self, Failure> {
        let globs = |option: &str, texts: &[String]| {
            let globs = texts.iter().map(|text| Glob::parse(text));
            globs.collect::<Result<Vec<_>, _>>().map_err(|e| Failure::of_option(option, &e))
        };
        const STATUS: [&str; 5] = ["stable", "test", "experimental", "deprecated", "unsupported"];
        for status in &args.status {
            if !STATUS.contains(&&*status.to_lowercase()) {
                return Err(Failure::new(format!("--status: there is no status `{status}`"))
                    .hint(format!("there are {}", STATUS.join(", "))));
            }
        }
        let level = args.level.map(|level| match level {
            RuleLevel::Informational => 0,
            RuleLevel::Low => 1,
            RuleLevel::Medium => 2,
            RuleLevel::High => 3,
            RuleLevel::Critical => 4,
        });
        let excluded = match &args.exclude {
            None => Vec::new(),
            Some(path) => {
                let text = text(path, MAX_EXCLUDE)?;
                let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
                let lines = lines.map(|line| line.trim().to_lowercase());
                lines.filter(|line| !line.is_empty()).collect()
            }
        };
        Ok(Chosen {
            level,
            status: args.status.iter().map(|status| status.to_lowercase()).collect(),
            tags: globs("--tag", &args.tag)?,
            rules: globs("--rule", &args.rule)?,
            excluded,
        })
    }

    fn has(&self, rule: &Rule) -> bool {
        let RuleName { id, title, tags, .. } = &*rule.name;
        let file = rule.file_name();
        let has_level =
            self.level.is_none_or(|least| rule.name.rank().is_some_and(|rank| rank >= least));
        let has_status =
            self.status.is_empty() || self.status.contains(&rule.status.to_lowercase());
        let has_tag = self.tags.is_empty()
            || self.tags.iter().any(|tag| tags.iter().any(|t| tag.is_match(t)));
        let is_named = self.rules.is_empty() || self.rules.iter().any(|glob| is_named(rule, glob));
        let is_excluded = self.excluded.iter().any(|excluded| {
            *excluded == id.to_lowercase()
                || *excluded == title.to_lowercase()
                || *excluded == file.to_lowercase()
                || *excluded == rule.file.to_lowercase()
        });
        has_level && has_status && has_tag && is_named && !is_excluded
    }
}

/// Whether a rule has a title, file name or id that a glob matches, or an id that begins with it.
pub(super) fn is_named(rule: &Rule, glob: &Glob) -> bool {
    let file = rule.file_name();
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let begins = rule.name.id.get(..glob.as_str().len());
    // Fewer characters of an id are none.
    let is_id = glob.as_str().len() >= 6
        && begins.is_some_and(|begin| begin.eq_ignore_ascii_case(glob.as_str()));
    is_id
        || [&*rule.name.id, &*rule.name.title, file, stem, &*rule.file]
            .iter()
            .any(|name| !name.is_empty() && glob.is_match(name))
}
