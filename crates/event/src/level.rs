//! Levels and keywords (MS-EVEN6 2.2.13), and the name that an event's level is shown by.

/// The level of an event as it stands in the event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Level(pub u8);

/// The keywords of an event: a set of bits, of which the upper sixteen are Windows' own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Keywords(pub u64);

impl Keywords {
    /// An audited attempt that failed.
    pub const AUDIT_FAILURE: Keywords = Keywords(0x0010_0000_0000_0000);
    /// An audited attempt that succeeded.
    pub const AUDIT_SUCCESS: Keywords = Keywords(0x0020_0000_0000_0000);
    /// An event raised through the classic API (`ReportEvent`).
    pub const CLASSIC: Keywords = Keywords(0x0080_0000_0000_0000);

    /// Whether any bit of the other is set here.
    pub fn intersects(self, other: Keywords) -> bool {
        self.0 & other.0 != 0
    }
}

/// What an event's level is called. The order is that of severity, the worst first; audits rank
/// with information, as Windows gives them no severity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LevelName {
    /// 1.
    Critical,
    /// 2.
    Error,
    /// 3.
    Warning,
    /// 4, and 0 (an event that is always logged).
    Information,
    /// 5.
    Verbose,
    /// A level of 0 or 4 with the keyword for it.
    AuditSuccess,
    /// A level of 0 or 4 with the keyword for it.
    AuditFailure,
    /// A provider's own level, 6 to 255.
    Other(u8),
}

impl LevelName {
    /// The name for an event's level and keywords.
    pub fn of(level: Level, keywords: Keywords) -> Self {
        match level.0 {
            1 => LevelName::Critical,
            2 => LevelName::Error,
            3 => LevelName::Warning,
            0 | 4 if keywords.intersects(Keywords::AUDIT_FAILURE) => LevelName::AuditFailure,
            0 | 4 if keywords.intersects(Keywords::AUDIT_SUCCESS) => LevelName::AuditSuccess,
            0 | 4 => LevelName::Information,
            5 => LevelName::Verbose,
            other => LevelName::Other(other),
        }
    }

    /// The word that filters have for it; a provider's own level ranks with verbose.
    pub fn word(self) -> &'static str {
        match self {
            LevelName::Critical => "critical",
            LevelName::Error => "error",
            LevelName::Warning => "warning",
            LevelName::Information => "information",
            LevelName::Verbose | LevelName::Other(_) => "verbose",
            LevelName::AuditSuccess => "audit-success",
            LevelName::AuditFailure => "audit-failure",
        }
    }

    /// The name as Event Viewer shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            LevelName::Critical => "Critical",
            LevelName::Error => "Error",
            LevelName::Warning => "Warning",
            LevelName::Information => "Information",
            LevelName::Verbose => "Verbose",
            LevelName::AuditSuccess => "Audit Success",
            LevelName::AuditFailure => "Audit Failure",
            LevelName::Other(_) => "Other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audits_are_named_by_their_keywords() {
        let name = |level, keywords| LevelName::of(Level(level), Keywords(keywords)).as_str();
        assert_eq!(name(0, 0x8020_0000_0000_0000), "Audit Success");
        assert_eq!(name(0, 0x8010_0000_0000_0000), "Audit Failure");
        assert_eq!(name(0, 0x8000_0000_0000_0000), "Information");
        assert_eq!(name(2, 0x8010_0000_0000_0000), "Error");
        assert_eq!(name(9, 0), "Other");
    }
}
