//! A Sigma rule as it is read (Sigma 2.1.0, "Sigma Rules Specification").

mod condition;
mod detection;
mod modifiers;
mod network;
mod regex;
mod search;

use std::sync::Arc;

use quarry_event::RuleName;

use crate::yaml::{self, Kind, Node, Scalar};

pub(crate) use detection::Expr;
pub(crate) use search::{Compare, Match, Place, Test, TimePart};

/// A rule: what it says of itself, where it looks, and what for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Rule {
    /// Its identity, as events that it hits are marked with.
    pub name: Arc<RuleName>,
    /// `stable`, `test`, `experimental`, `deprecated` or `unsupported`; empty where it has none.
    pub status: String,
    /// Where it looks.
    pub source: LogSource,
    /// The file that it is from, and the line where it begins, from 1.
    pub file: Arc<str>,
    /// The line of the file where the rule begins.
    pub line: usize,
    /// What it says of itself.
    pub description: String,
    pub(crate) detection: Expr,
    regex_bytes: usize,
}

/// Where a rule looks (Sigma 2.1.0, "Log source").
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The specification's own names.
#[non_exhaustive]
pub struct LogSource {
    pub product: Option<String>,
    pub category: Option<String>,
    pub service: Option<String>,
}

impl std::fmt::Display for LogSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts =
            [("product", &self.product), ("category", &self.category), ("service", &self.service)];
        let parts =
            parts.iter().filter_map(|(name, part)| Some(format!("{name} {}", part.as_ref()?)));
        f.write_str(&parts.collect::<Vec<_>>().join(", "))
    }
}

/// Why a rule is not used: with file, line and reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
#[non_exhaustive]
pub struct RuleError {
    /// The file.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: RuleProblem,
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleProblem {
    /// It is no YAML, or over a bound.
    #[error("{0}")]
    Yaml(String),
    /// It is no Sigma rule.
    #[error("{0}")]
    Malformed(String),
    /// It uses something that Sigma has and this doesn't; the text names it.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// It needs values that only its user has.
    #[error("the placeholder %{0}% has no values: write them into the rule")]
    Placeholder(String),
}

impl RuleProblem {
    fn malformed(why: impl Into<String>) -> Self {
        RuleProblem::Malformed(why.into())
    }
}

/// A problem and its line.
type Wrong = (usize, RuleProblem);

impl Rule {
    /// Reads the rules of a file: each document is one. `file` is what messages call it.
    ///
    /// # Errors
    /// For each rule: [`RuleError`].
    pub fn parse(file: &str, text: &str) -> Vec<Result<Rule, RuleError>> {
        let file: Arc<str> = file.into();
        let error = |(line, problem)| RuleError { file: Arc::clone(&file), line, problem };
        let documents = match yaml::documents(text) {
            Ok(documents) => documents,
            Err(wrong) => return vec![Err(error((wrong.line, RuleProblem::Yaml(wrong.why))))],
        };
        if documents.is_empty() {
            return vec![Err(error((1, RuleProblem::malformed("it is empty"))))];
        }
        // After a last `---` there is nothing.
        let is_empty = |document: &&Node| document.scalar() == Some(Scalar::Null);
        let is_one = documents.len() == 1;
        let documents = documents.iter().filter(|document| is_one || !is_empty(document));
        documents.map(|document| read(&file, document).map_err(error)).collect()
    }

    /// How many bytes of memory the rule's regular expressions take, at most.
    pub fn regex_bytes(&self) -> usize {
        self.regex_bytes
    }

    /// The file's name without its folders.
    pub fn file_name(&self) -> &str {
        self.file.rsplit(['/', '\\']).next().unwrap_or_default()
    }
}

fn read(file: &Arc<str>, document: &Node) -> Result<Rule, Wrong> {
    let line = document.line;
    if !matches!(document.kind, Kind::Map(_)) {
        return Err((line, RuleProblem::malformed("it is no map of a rule's attributes")));
    }
    for (name, what) in [
        ("correlation", "correlations"),
        ("filter", "Sigma filters"),
        ("action", "collections of rules by `action`"),
    ] {
        if let Some(node) = document.get(name) {
            return Err((node.line, RuleProblem::Unsupported(what.to_owned())));
        }
    }
    let text = |name| document.get(name).and_then(Node::text).unwrap_or_default().to_owned();
    let title = text("title");
    if title.is_empty() {
        return Err((line, RuleProblem::malformed("it has no title")));
    }
    let level = text("level");
    if !level.is_empty() && !quarry_event::RuleName::LEVELS.contains(&&*level) {
        let known = quarry_event::RuleName::LEVELS.join(", ");
        let line = document.get("level").map_or(line, |node| node.line);
        let why = format!("the level `{level}` is none of {known}");
        return Err((line, RuleProblem::malformed(why)));
    }
    let tags = document.get("tags").map(texts).unwrap_or_default();
    let source = document
        .get("logsource")
        .ok_or_else(|| (line, RuleProblem::malformed("it has no logsource")))?;
    let part = |name| source.get(name).and_then(Node::text).map(str::to_lowercase);
    let source = LogSource {
        product: part("product"),
        category: part("category"),
        service: part("service"),
    };
    let node = document
        .get("detection")
        .ok_or_else(|| (line, RuleProblem::malformed("it has no detection")))?;
    let (detection, regex_bytes) = detection::read(node)?;
    let name = RuleName { id: text("id"), title, level, tags };
    Ok(Rule {
        name: Arc::new(name),
        status: text("status"),
        source,
        file: Arc::clone(file),
        line,
        description: text("description"),
        detection,
        regex_bytes,
    })
}

fn texts(node: &Node) -> Vec<String> {
    node.items().iter().filter_map(|item| item.text().map(str::to_owned)).collect()
}
