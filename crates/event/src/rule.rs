//! Which detection rule an event matches.

/// A detection rule, as an event that it matches is marked with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RuleName {
    /// Its identifier, a UUID as a rule; empty where it has none.
    pub id: String,
    /// What it is called.
    pub title: String,
    /// One of [`LEVELS`](Self::LEVELS); empty where it has none.
    pub level: String,
    /// Its tags, such as `attack.t1059.001`.
    pub tags: Vec<String>,
}

impl RuleName {
    /// The levels, the least first (Sigma 2.1.0, "Level").
    pub const LEVELS: [&'static str; 5] = ["informational", "low", "medium", "high", "critical"];

    /// The level's place among [`LEVELS`](Self::LEVELS); nothing where there is none.
    pub fn rank(&self) -> Option<usize> {
        Self::LEVELS.iter().position(|level| *level == self.level)
    }
}
