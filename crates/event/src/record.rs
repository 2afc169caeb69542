//! The number of a record.

/// The number of a record in its log, as the file's record header or the server's bookmark data
/// have it. Numbers begin at 1, so 0 stands before the first record. An event's own
/// `EventRecordID` is another number where the event was forwarded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct RecordId(pub u64);

impl RecordId {
    /// The number before it; of 0, which is before the first record, itself.
    #[must_use]
    pub fn before(self) -> Self {
        RecordId(self.0.saturating_sub(1))
    }

    /// The number after it.
    #[must_use]
    pub fn after(self) -> Self {
        RecordId(self.0.saturating_add(1))
    }
}

impl std::fmt::Display for RecordId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u64> for RecordId {
    fn from(number: u64) -> Self {
        RecordId(number)
    }
}
