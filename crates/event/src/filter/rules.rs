//! Detection rules that an event was found to match, which stand beside it.

use std::sync::Arc;

use super::{Filter, Glob};
use crate::RuleName;

impl Filter {
    /// Whether the detection rules decide that an event matches.
    pub fn tests_rules(&self) -> bool {
        !self.rules.is_empty() || !self.not_rules.is_empty()
    }

    /// Whether an event that matches these detection rules, and no others, passes
    /// [`rules`](Self::rules) and [`not_rules`](Self::not_rules).
    pub fn rules_pass(&self, rules: &[Arc<RuleName>]) -> bool {
        let is_any =
            |globs: &[Glob]| rules.iter().any(|rule| globs.iter().any(|glob| rule.is_named(glob)));
        (self.rules.is_empty() || is_any(&self.rules)) && !is_any(&self.not_rules)
    }
}

impl RuleName {
    /// Whether a glob matches the rule's identifier or title.
    pub fn is_named(&self, glob: &Glob) -> bool {
        let is_match = |name: &str| !name.is_empty() && glob.is_match(name);
        is_match(&self.id) || is_match(&self.title)
    }
}
