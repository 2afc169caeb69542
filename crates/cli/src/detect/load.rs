//! The rules that the options choose among those that are read.

use std::path::Path;
use std::sync::Arc;

use quarry_collect::Detect;
use quarry_detect::{Engine, MAX_MAPPING_BYTES, Mapping, Rule};
use quarry_event::RuleName;
use quarry_event::filter::Glob;
use quarry_program::rules::{self, text};

use super::Detection;
use crate::args::{DetectArgs, RuleLevel};
use crate::console::{Console, grouped};
use crate::error::Failure;

/// The most bytes of the file of `--exclude`.
const MAX_EXCLUDE: usize = 4 << 20;

impl Detection {
    /// Reads the rules that the options name.
    pub(super) fn load(args: &DetectArgs, console: &Console) -> Result<Self, Failure> {
        let mapping = mapping(args.mapping.as_deref())?;
        let chosen = Chosen::new(args)?;
        let read = rules::load(&args.rules, console)?;
        let all = read.rules.len();
        for name in
            chosen.excluded.iter().filter(|name| !read.rules.iter().any(|r| is_called(r, name)))
        {
            console.warning(&format!("--exclude: {name} is no rule that was read"));
        }
        let rules: Vec<Rule> = read.rules.into_iter().filter(|rule| chosen.has(rule)).collect();
        if rules.is_empty() {
            let failure = Failure::new(match all {
                0 => format!("all {} rules are refused", grouped(read.refused.len() as u64)),
                all => format!(
                    "none of the {} rules is one that the options ask for",
                    grouped(all as u64)
                ),
            });
            return Err(
                match args.scan.read.filter.rule.iter().find(|name| !name.contains(['*', '?'])) {
                    Some(name) => {
                        failure.hint(format!("part of a title is a glob: --rule '*{name}*'"))
                    }
                    None => failure,
                },
            );
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
                let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
                let lines = text.lines().map(|line| uncommented(line).trim().to_lowercase());
                lines.filter(|line| !line.is_empty()).collect()
            }
        };
        Ok(Chosen {
            level,
            status: args.status.iter().map(|status| status.to_lowercase()).collect(),
            tags: globs("--tag", &args.tag)?,
            rules: globs("--rule", &args.scan.read.filter.rule)?,
            excluded,
        })
    }

    fn has(&self, rule: &Rule) -> bool {
        let RuleName { tags, .. } = &*rule.name;
        let has_level =
            self.level.is_none_or(|least| rule.name.rank().is_some_and(|rank| rank >= least));
        let has_status =
            self.status.is_empty() || self.status.contains(&rule.status.to_lowercase());
        let has_tag = self.tags.is_empty()
            || self.tags.iter().any(|tag| tags.iter().any(|t| tag.is_match(t)));
        let is_named = self.rules.is_empty() || self.rules.iter().any(|glob| is_named(rule, glob));
        let is_excluded = self.excluded.iter().any(|excluded| is_called(rule, excluded));
        has_level && has_status && has_tag && is_named && !is_excluded
    }
}

/// A line without its comment: what comes after a `#` at its beginning or after a blank.
fn uncommented(line: &str) -> &str {
    let mut at = line.match_indices('#').map(|(at, _)| at);
    let begins = |at: &usize| line[..*at].chars().next_back().is_none_or(char::is_whitespace);
    at.find(begins).map_or(line, |at| &line[..at])
}

/// Whether a rule's id, title or file is a name in lowercase.
fn is_called(rule: &Rule, name: &str) -> bool {
    [&*rule.name.id, &*rule.name.title, rule.file_name(), &*rule.file]
        .iter()
        .any(|own| !own.is_empty() && own.to_lowercase() == name)
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
