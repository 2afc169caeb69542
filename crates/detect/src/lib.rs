#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod audit;
mod engine;
mod explain;
mod fields;
mod mapping;
mod pattern;
mod plain;
mod plan;
mod rule;
mod test;
mod yaml;

pub use audit::{PolicyChange, Subcategory};
pub use engine::{Channels, Engine, Matcher};
pub use explain::Explanation;
pub use mapping::{
    DEFAULT as DEFAULT_MAPPING, MAX_BYTES as MAX_MAPPING_BYTES, Mapping, MappingError,
};
pub use plan::{ChannelIds, Counts, Plan, Reach, Route, RulePlan};
pub use rule::{LogSource, Rule, RuleError, RuleProblem};
pub use yaml::MAX_BYTES as MAX_RULE_BYTES;
