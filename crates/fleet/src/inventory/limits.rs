//! What an inventory may have at most. The worst texts that were tried take seven seconds (globs
//! that are hard to tell apart, over very long names) and 1.3 GB (16 MiB of nothing but commas); a
//! usual inventory takes milliseconds, and one of 100,000 tables half a second.

/// Bytes of an inventory's text.
pub const MAX_TEXT_BYTES: usize = 16 << 20;
/// Servers of an inventory.
pub const MAX_SERVERS: usize = 100_000;
/// Names that the ranges of an inventory stand for, all together: a server may also be in groups
/// and overrides, and have an address.
pub const MAX_ALL_NAMES: usize = 500_000;
/// Groups of an inventory.
pub const MAX_GROUPS: usize = 10_000;
/// Groups that have each other as members, one in the next.
pub const MAX_GROUP_DEPTH: usize = 32;
/// Servers in groups, each counted in every group that it is in.
pub const MAX_MEMBERSHIPS: usize = 2_000_000;
/// Globs in the groups and overrides of an inventory.
pub const MAX_GLOBS: usize = 1_000;
/// Names that are tried against globs: how many globs there are times how many servers.
pub const MAX_GLOB_TESTS: usize = 10_000_000;
/// Credentials of an inventory.
pub const MAX_CREDENTIALS: usize = 1_000;
/// Overrides of an inventory.
pub const MAX_OVERRIDES: usize = 10_000;
/// Logs of a server.
pub const MAX_LOGS: usize = 512;
/// Bytes of one text in the inventory, such as a path or a log's name.
pub const MAX_TEXT_VALUE_BYTES: usize = 1024;
