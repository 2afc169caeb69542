//! What of a log couldn't be read, while the rest was.

use quarry_binxml::BinXmlError;

use super::{LogName, RecordId};

/// A part of a log that is missing or doubtful. The rest of the log is read all the same.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// In a file.
    #[error(transparent)]
    File(#[from] FileDamage),
    /// A record of a server whose BinXML can't be read.
    #[error("record {record} of {log} can't be read: {error}")]
    Record {
        /// The log.
        log: LogName,
        /// The record's number in it.
        record: RecordId,
        /// What is wrong with it.
        error: BinXmlError,
    },
    /// A record of this machine that can't be rendered, or only in part.
    #[error("record {record} of {log} can't be read{}: {error}", if *.in_part { " whole" } else { "" })]
    Local {
        /// The log.
        log: LogName,
        /// The record's number in it.
        record: RecordId,
        /// What is wrong.
        error: quarry_winevt::Error,
        /// Whether the event came, without its data.
        in_part: bool,
    },
    /// No damage: another file of the same scan has records of this one, too.
    #[error("it is a copy: records of it are in {of} too")]
    Copy {
        /// The other file.
        of: String,
    },
    /// Records that are larger than the source can send.
    #[error("{0} missing: too large for the server to send")]
    TooLarge(Hole),
    /// Records that were gone before they were read: the log was cleared or has wrapped.
    #[error("{0} missing: the log was cleared or overwritten meanwhile")]
    Overwritten(Hole),
}

/// Consecutive records that weren't read, by the records around them. Its text names a range:
/// `records 21 to 301 of System`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hole {
    /// The log. `None` in a query of several logs that has read none of them yet.
    pub log: Option<LogName>,
    /// The record that was read before it; for a query from the newest record on, a larger number.
    /// `None` at the beginning.
    pub after: Option<RecordId>,
    /// The first record that was read after it. `None` where there is none, or none yet.
    pub before: Option<RecordId>,
    /// How many records there are in it. `None` where nobody knows.
    pub records: Option<u64>,
}

impl Hole {
    /// The records around it, the one with the smaller number first.
    fn neighbours(&self) -> (Option<u64>, Option<u64>) {
        let (after, before) = (self.after.map(|id| id.0), self.before.map(|id| id.0));
        match (after, before) {
            (Some(after), Some(before)) if after > before => (Some(before), Some(after)),
            neighbours => neighbours,
        }
    }
}

impl std::fmt::Display for Hole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = self.log.as_ref().map(|log| format!(" of {log}")).unwrap_or_default();
        let several = |count: u64| format!("{count} record{}", if count == 1 { "" } else { "s" });
        let count = self.records.map_or_else(|| "records".to_owned(), several);
        match self.neighbours() {
            (Some(low), Some(high)) => match high.saturating_sub(low).saturating_sub(1) {
                1 => write!(f, "record {}{of}", low + 1),
                all if all > 0 && self.records.is_none_or(|records| records == all) => {
                    write!(f, "records {} to {}{of}", low + 1, high - 1)
                }
                _ => write!(f, "{count}{of} between {low} and {high}"),
            },
            // Past it in the order of reading, whichever that is.
            (Some(last), None) => write!(f, "{count}{of} past {last}"),
            (None, Some(next)) => write!(f, "{count}{of} before {next}"),
            (None, None) => write!(f, "{count}{of}"),
        }
    }
}

/// Damage in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct FileDamage(pub quarry_logfile::Damage);

impl From<quarry_logfile::Damage> for Damage {
    fn from(damage: quarry_logfile::Damage) -> Self {
        Damage::File(FileDamage(damage))
    }
}

impl Damage {
    /// The number of the record that it is in, where that is known.
    pub fn record(&self) -> Option<RecordId> {
        match self {
            Damage::File(FileDamage(damage)) => damage.record.map(RecordId),
            Damage::Record { record, .. } | Damage::Local { record, .. } => Some(*record),
            Damage::TooLarge(_) | Damage::Overwritten(_) | Damage::Copy { .. } => None,
        }
    }

    /// How many records it stands for that count as read, though they couldn't be decoded.
    pub fn records(&self) -> u64 {
        match self {
            Damage::File(FileDamage(damage)) => {
                matches!(damage.kind, quarry_logfile::DamageKind::Record(_)).into()
            }
            Damage::Record { .. } => 1,
            Damage::TooLarge(hole) => hole.records.unwrap_or(0),
            Damage::Local { in_part, .. } => (!in_part).into(),
            Damage::Overwritten(_) | Damage::Copy { .. } => 0,
        }
    }

    /// Whether records that the source has, or had when it was asked, did not come: a live source
    /// couldn't send them, they couldn't be decoded, or they were overwritten first. What is
    /// damaged in a file is no hole in its reading: all that the file holds was read.
    pub fn is_hole(&self) -> bool {
        match self {
            Damage::TooLarge(_) | Damage::Overwritten(_) | Damage::Record { .. } => true,
            Damage::Local { in_part, .. } => !in_part,
            Damage::File(_) | Damage::Copy { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hole(after: Option<u64>, before: Option<u64>, records: Option<u64>) -> String {
        let (after, before) = (after.map(RecordId), before.map(RecordId));
        Hole { log: Some("System".into()), after, before, records }.to_string()
    }

    #[test]
    fn a_hole_is_named_as_a_range_as_far_as_it_is_known() {
        assert_eq!(hole(Some(20), Some(302), Some(281)), "records 21 to 301 of System");
        assert_eq!(hole(Some(302), Some(20), Some(281)), "records 21 to 301 of System");
        assert_eq!(hole(Some(7), Some(9), Some(1)), "record 8 of System");
        assert_eq!(hole(Some(7), Some(9), None), "record 8 of System");
        assert_eq!(hole(Some(7), Some(10), None), "records 8 to 9 of System");
        // Of a filter's records, not all that are between.
        assert_eq!(hole(Some(7), Some(90), Some(2)), "2 records of System between 7 and 90");
        assert_eq!(hole(Some(20), None, Some(281)), "281 records of System past 20");
        assert_eq!(hole(Some(20), None, None), "records of System past 20");
        assert_eq!(hole(None, Some(5), Some(1)), "1 record of System before 5");
        assert_eq!(hole(None, None, Some(2)), "2 records of System");
        assert_eq!(Hole::default().to_string(), "records");
        let last = u64::MAX;
        assert_eq!(hole(Some(last), None, None), format!("records of System past {last}"));
    }
}
