//! Events as they came. How they are decoded is [`reader`]'s.

mod reader;
#[cfg(windows)]
mod winevt;

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use quarry_binxml::Definitions;
use quarry_even::wire::EventBatch;
use quarry_logfile::{EvtLog, EvtxLog, ReadAt, Run};

use crate::types::{Damage, Direction, LogName};
pub(crate) use reader::end_times;
pub use reader::{BatchReader, ReadEvent, Visitor};
#[cfg(windows)]
pub(crate) use winevt::LocalBatch;

/// Some events of a log, not decoded yet; a chunk of a file is not even read yet.
pub struct Batch {
    direction: Direction,
    raw: Raw,
}

enum Raw {
    /// Damage that concerns the log as a whole.
    Damage(Vec<Damage>),
    Chunk {
        name: Arc<LogName>,
        log: Arc<EvtxLog>,
        n: u64,
        /// Only records with these numbers, where not all are meant.
        only: Option<RangeInclusive<u64>>,
        /// Whether what is meant are the records of its slack, rather than its own.
        slack: bool,
        /// Where records are recovered, the definitions for those whose own are gone.
        definitions: Option<Arc<Definitions>>,
    },
    /// Records that stand outside of any log's.
    Found { name: Arc<LogName>, found: Arc<Found>, runs: Range<usize> },
    /// A block of an `.evt` file, whose events are of a channel.
    Evt { name: Arc<LogName>, channel: Arc<str>, log: Arc<EvtLog>, n: u64 },
    /// Classic records, one after the other, all of which can be read.
    Classic { log: Arc<LogName>, channel: Arc<str>, bytes: Vec<u8>, sizes: Vec<usize> },
    /// A server's answer, all of whose records are well-formed.
    Wire { batch: EventBatch, logs: Arc<[LogName]> },
    /// Events of this machine, not rendered yet.
    #[cfg(windows)]
    Local(LocalBatch),
}

/// Records that were found in a file.
pub(crate) struct Found {
    pub(crate) file: Arc<dyn ReadAt>,
    pub(crate) runs: Vec<Run>,
    pub(crate) definitions: Arc<Definitions>,
}

impl Batch {
    pub(crate) fn damage(damage: Vec<Damage>) -> Self {
        Batch { direction: Direction::Forward, raw: Raw::Damage(damage) }
    }

    pub(crate) fn chunk(
        name: Arc<LogName>,
        log: Arc<EvtxLog>,
        n: u64,
        direction: Direction,
    ) -> Self {
        let raw = Raw::Chunk { name, log, n, only: None, slack: false, definitions: None };
        Batch { direction, raw }
    }

    /// The records of a chunk, or those of its slack, where records are recovered.
    pub(crate) fn chunk_recovered(
        name: Arc<LogName>,
        log: Arc<EvtxLog>,
        n: u64,
        direction: Direction,
        slack: bool,
        definitions: Arc<Definitions>,
    ) -> Self {
        let definitions = Some(definitions);
        Batch { direction, raw: Raw::Chunk { name, log, n, only: None, slack, definitions } }
    }

    /// Some of the runs that were found in a file.
    pub(crate) fn found(
        name: Arc<LogName>,
        found: Arc<Found>,
        runs: Range<usize>,
        direction: Direction,
    ) -> Self {
        Batch { direction, raw: Raw::Found { name, found, runs } }
    }

    pub(crate) fn evt(
        name: Arc<LogName>,
        channel: Arc<str>,
        log: Arc<EvtLog>,
        n: u64,
        direction: Direction,
    ) -> Self {
        Batch { direction, raw: Raw::Evt { name, channel, log, n } }
    }

    /// Some records of a chunk, without the damage, which was reported before. What the chunk gets
    /// between now and when it is read is none of them.
    pub(crate) fn chunk_records(
        name: Arc<LogName>,
        log: Arc<EvtxLog>,
        n: u64,
        only: RangeInclusive<u64>,
    ) -> Self {
        let raw = Raw::Chunk { name, log, n, only: Some(only), slack: false, definitions: None };
        Batch { direction: Direction::Forward, raw }
    }

    /// Records of a result set, whose logs are `logs`.
    pub(crate) fn wire(batch: EventBatch, logs: Arc<[LogName]>) -> Self {
        Batch { direction: Direction::Forward, raw: Raw::Wire { batch, logs } }
    }

    /// Classic records of a log, with the size of each.
    pub(crate) fn classic(log: Arc<LogName>, bytes: Vec<u8>, sizes: Vec<usize>) -> Self {
        let channel = log.0.as_str().into();
        Batch::classic_of(log, channel, bytes, sizes)
    }

    /// The same, where the log has another name than the channel.
    pub(crate) fn classic_of(
        log: Arc<LogName>,
        channel: Arc<str>,
        bytes: Vec<u8>,
        sizes: Vec<usize>,
    ) -> Self {
        let raw = Raw::Classic { log, channel, bytes, sizes };
        Batch { direction: Direction::Forward, raw }
    }

    /// Events of this machine.
    #[cfg(windows)]
    pub(crate) fn local(batch: LocalBatch) -> Self {
        Batch { direction: Direction::Forward, raw: Raw::Local(batch) }
    }

    /// Nothing, as a sign of life.
    pub(crate) fn empty() -> Self {
        Batch::damage(Vec::new())
    }

    /// Whether there is nothing in it: the source lives, and searches on.
    pub fn is_empty(&self) -> bool {
        match &self.raw {
            Raw::Damage(damage) => damage.is_empty(),
            Raw::Chunk { .. } | Raw::Found { .. } | Raw::Evt { .. } => false,
            Raw::Classic { sizes, .. } => sizes.is_empty(),
            Raw::Wire { batch, .. } => batch.is_empty(),
            #[cfg(windows)]
            Raw::Local(batch) => batch.len() == 0,
        }
    }

    /// Whether it reports that records of a log were overwritten unread.
    pub(crate) fn tells_overwritten(&self) -> bool {
        let is_gap = |damage: &Damage| matches!(damage, Damage::Overwritten(_));
        matches!(&self.raw, Raw::Damage(damage) if damage.iter().any(is_gap))
    }

    /// Leaves out the records of a result set that aren't kept.
    pub(crate) fn keep(&mut self, is_kept: &[bool]) {
        match &mut self.raw {
            Raw::Wire { batch, .. } => {
                let (offsets, sizes, buffer) = std::mem::take(batch).into_parts();
                let kept = |values: Vec<u32>| {
                    let kept = values.into_iter().zip(is_kept).filter(|(_, is_kept)| **is_kept);
                    kept.map(|(value, _)| value).collect::<Vec<_>>()
                };
                // What lay within the buffer still does.
                *batch = EventBatch::new(kept(offsets), kept(sizes), buffer).unwrap_or_default();
            }
            #[cfg(windows)]
            Raw::Local(batch) => batch.keep(is_kept),
            Raw::Damage(_)
            | Raw::Chunk { .. }
            | Raw::Found { .. }
            | Raw::Evt { .. }
            | Raw::Classic { .. } => {}
        }
    }

    /// The records of a server's answer, undecoded.
    #[cfg(test)]
    pub(crate) fn wire_records(&self) -> Vec<&[u8]> {
        match &self.raw {
            Raw::Wire { batch, .. } => batch.records().collect(),
            _ => Vec::new(),
        }
    }

    /// The damage that it reports.
    #[cfg(test)]
    pub(crate) fn reported(&self) -> &[Damage] {
        match &self.raw {
            Raw::Damage(damage) => damage,
            _ => &[],
        }
    }

    /// How many records there are, where that is known before they are read.
    pub fn records(&self) -> u64 {
        match &self.raw {
            Raw::Damage(_) | Raw::Chunk { .. } | Raw::Found { .. } | Raw::Evt { .. } => 0,
            Raw::Classic { sizes, .. } => sizes.len() as u64,
            Raw::Wire { batch, .. } => batch.len() as u64,
            #[cfg(windows)]
            Raw::Local(batch) => batch.len() as u64,
        }
    }

    /// How many bytes of memory the batch holds; about so many, where Windows holds them.
    pub fn bytes(&self) -> usize {
        match &self.raw {
            Raw::Damage(_) | Raw::Chunk { .. } | Raw::Found { .. } | Raw::Evt { .. } => 0,
            Raw::Classic { bytes, .. } => bytes.len(),
            Raw::Wire { batch, .. } => batch.buffer().len(),
            #[cfg(windows)]
            Raw::Local(batch) => batch.bytes(),
        }
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Batch");
        shown.field("records", &self.records()).field("bytes", &self.bytes());
        shown.finish_non_exhaustive()
    }
}
