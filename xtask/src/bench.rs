//! `cargo xtask bench`: figures, as ratios of what was measured in the same run.

pub(crate) mod lock;
