//! What of a log couldn't be read, while the rest was.

use quarry_binxml::BinXmlError;

use crate::log::LogName;

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
        record: u64,
        /// What is wrong with it.
        error: BinXmlError,
    },
    /// A record of this machine that can't be rendered, or only in part.
    #[error("record {record} of {log} can't be read{}: {error}", if *.in_part { " whole" } else { "" })]
    Local {
        /// The log.
        log: LogName,
        /// The record's number in it.
        record: u64,
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
    /// A record that is larger than the server can send.
    #[error("{}: the server can't send a record, it is too large", behind(.log, .after))]
    TooLarge {
        /// The log of the last record that came, where one did.
        log: Option<LogName>,
        /// That record's number.
        after: Option<u64>,
    },
    /// The log was cleared or has wrapped, and records are gone that were not read yet.
    #[error("{}: the log was cleared or overwritten meanwhile, records are missing", behind(.log, .after))]
    Overwritten {
        /// The log of the last record that came, where one did.
        log: Option<LogName>,
        /// That record's number.
        after: Option<u64>,
    },
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
    pub fn record(&self) -> Option<u64> {
        match self {
            Damage::File(FileDamage(damage)) => damage.record,
            Damage::Record { record, .. } | Damage::Local { record, .. } => Some(*record),
            Damage::Copy { .. } | Damage::TooLarge { .. } | Damage::Overwritten { .. } => None,
        }
    }

    /// Whether it is a record, which counts as one that was read.
    pub fn is_record(&self) -> bool {
        match self {
            Damage::File(FileDamage(damage)) => {
                matches!(damage.kind, quarry_logfile::DamageKind::Record(_))
            }
            Damage::Record { .. } | Damage::TooLarge { .. } => true,
            Damage::Local { in_part, .. } => !in_part,
            Damage::Copy { .. } | Damage::Overwritten { .. } => false,
        }
    }
}

fn behind(log: &Option<LogName>, after: &Option<u64>) -> String {
    match (log, after) {
        (Some(log), Some(after)) => format!("after record {after} of {log}"),
        _ => "before the first record".to_owned(),
    }
}
