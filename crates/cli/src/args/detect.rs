//! The options of `quarry detect`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::ScanArgs;

pub(super) const RULES: &str = "Which rules";

pub(super) const AFTER_DETECT: &str = "\
Examples:
  quarry detect --rules sigma/rules/windows logs/         the events that match a rule, and which
  quarry detect --rules sigma.zip @dcs -S 1d --level high servers are asked for what rules look at
  quarry detect --rules rules/ triage.zip --by rule       how often each rule matches
  quarry detect --rules rules/ @all --follow -o jsonl     from now on
  quarry detect --rules rules/ --plan dc01                which rules can run there, and why others can't
  quarry detect --rules rules/ --explain 0022869c Sysmon.evtx#812
                                                          why an event matches a rule, or doesn't

Rules are Sigma rules (sigmahq.io); none come with quarry. docs/detection.md says what is supported,
and what was decided where the specification leaves it open.";

#[derive(Debug, Args)]
pub(crate) struct DetectArgs {
    /// Take the rules of this folder, file or zip archive; repeatable
    #[arg(long, value_name = "FOLDER", required = true, value_hint = ValueHint::AnyPath, help_heading = RULES)]
    pub(crate) rules: Vec<PathBuf>,
    /// Only rules of this level or worse: informational, low, medium, high, critical
    #[arg(id = "rule-level", long = "level", value_name = "LEVEL", help_heading = RULES)]
    pub(crate) level: Option<RuleLevel>,
    /// Only rules of these: stable, test, experimental, deprecated, unsupported; repeatable, commas
    #[arg(long, value_name = "STATUS", value_delimiter = ',', help_heading = RULES)]
    pub(crate) status: Vec<String>,
    /// Only rules with this tag; a glob, repeatable, any has to match: 'attack.t1059*'
    #[arg(long, value_name = "TAG", value_delimiter = ',', help_heading = RULES)]
    pub(crate) tag: Vec<String>,
    /// Leave out the rules that this file names, by id, title or file name, a line each; what comes
    /// after # at the beginning of a line or after a blank is a comment
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = RULES)]
    pub(crate) exclude: Option<PathBuf>,
    /// Read where log sources are, and how fields are computed, from this file too; what it has
    /// takes the place of what quarry knows (docs/detection.md)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = RULES)]
    pub(crate) mapping: Option<PathBuf>,

    /// Test no events: list the rules with where each looks, how much of it can run there, and why
    /// those that can't run don't; of files by the channels and ids that they have, of servers by
    /// their logs and what these show of the audit policy
    #[arg(long, conflicts_with_all = [
        "explain", "by", "follow", "log", "since", "until", "around", "id", "level", "provider",
        "computer", "event_user", "data", "grep", "xpath", "not", "lines", "reverse", "sort",
        "unique", "fields",
    ], help_heading = RULES)]
    pub(crate) plan: bool,
    /// Read no source: show what a rule tests, where, and what a server is asked for; and of EVENT
    /// in the place of SOURCE (LOG.evtx#RECORD, or a file of events or fields as JSON), which of
    /// the tests hold
    #[arg(long, value_name = "RULE", conflicts_with_all = [
        "by", "follow", "log", "since", "until", "around", "id", "level", "provider", "computer",
        "event_user", "data", "grep", "xpath", "not", "lines", "reverse", "sort", "unique",
        "fields", "output", "recover",
    ], help_heading = RULES)]
    pub(crate) explain: Option<String>,

    /// Count the events that match, by rule, host or level, instead of printing them
    #[arg(long, value_name = "WHAT", conflicts_with_all = [
        "follow", "reverse", "sort", "unique", "fields", "per_source",
    ], help_heading = super::ORDER)]
    pub(crate) by: Option<By>,
    /// Go on for ever: print events that match as they come, and with -n first those among the last
    /// N of each log
    #[arg(long, conflicts_with_all = ["reverse", "sort", "unique", "recover"], help_heading = super::ORDER)]
    pub(crate) follow: bool,
    /// With --follow, keep in this file where each log was read to, and go on there the next time
    #[arg(long, value_name = "FILE", requires = "follow", value_hint = ValueHint::FilePath, help_heading = super::ORDER)]
    pub(crate) cursor_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) scan: ScanArgs,
}

/// The levels of rules, the least first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum RuleLevel {
    Informational,
    Low,
    Medium,
    High,
    Critical,
}

/// What hits are counted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum By {
    /// By rule
    Rule,
    /// By host
    Host,
    /// By the rules' level
    Level,
}
