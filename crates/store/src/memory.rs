//! The rows that were pushed and that the table's handle doesn't have yet.
//!
//! A row is in a query once: either the handle is of a version that has it, or its part of the
//! memory is shown. A part knows the commit that it is on its way in, and the log knows that commit's
//! version before it lets anybody see that there is one; and a handle is never of a later version
//! than the log has read. So there is no moment at which a query has a row twice, or not at all.

use deltalake::arrow::record_batch::RecordBatch;

use crate::StoreError;
use crate::commit::Log;
use crate::files;

/// Rows in a part that others are joined to.
const JOINED: usize = 8192;

/// Where the rows of a part are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// In memory, and in the write-ahead log if there is one.
    Waiting,
    /// On their way in the commit with this identifier.
    Flight(String),
    /// In the table from this version on.
    Committed(u64),
}

#[derive(Clone, Debug)]
struct Part {
    rows: RecordBatch,
    bytes: usize,
    stage: Stage,
}

/// Rows in memory.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    parts: Vec<Part>,
}

impl Memory {
    /// Adds rows that wait.
    pub(crate) fn push(&mut self, rows: RecordBatch) {
        if rows.num_rows() == 0 {
            return;
        }
        let bytes = files::size(&rows);
        self.parts.push(Part { rows, bytes, stage: Stage::Waiting });
        self.join();
    }

    /// Joins small parts that wait, the last ones: a part is joined only to one that isn't much
    /// longer, so that a row is copied few times. A batch of a few rows takes many times their bytes.
    fn join(&mut self) {
        while let [.., before, last] = &*self.parts {
            let waits = |part: &Part| part.stage == Stage::Waiting;
            let (long, short) = (before.rows.num_rows(), last.rows.num_rows());
            if !(waits(before) && waits(last)) || long > 2 * short || long + short > JOINED {
                return;
            }
            let Ok(Some(rows)) = files::joined(&[before.rows.clone(), last.rows.clone()]) else {
                return;
            };
            let bytes = before.bytes + last.bytes;
            self.parts.truncate(self.parts.len() - 2);
            self.parts.push(Part { rows, bytes, stage: Stage::Waiting });
        }
    }

    /// Bytes and rows that aren't committed.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let parts = self.parts.iter().filter(|part| !matches!(part.stage, Stage::Committed(_)));
        parts.fold((0, 0), |(bytes, rows), part| (bytes + part.bytes, rows + part.rows.num_rows()))
    }

    /// Bytes that are committed and still here.
    pub(crate) fn committed(&self) -> usize {
        let parts = self.parts.iter().filter(|part| matches!(part.stage, Stage::Committed(_)));
        parts.map(|part| part.bytes).sum()
    }

    /// Lets all rows that wait go with a commit.
    pub(crate) fn board(&mut self, id: &str) {
        for part in &mut self.parts {
            if part.stage == Stage::Waiting {
                part.stage = Stage::Flight(id.to_owned());
            }
        }
    }

    /// The rows that go with a commit.
    pub(crate) fn aboard(&self, id: &str) -> Vec<RecordBatch> {
        let is_aboard = |part: &&Part| matches!(&part.stage, Stage::Flight(flight) if flight == id);
        self.parts.iter().filter(is_aboard).map(|part| part.rows.clone()).collect()
    }

    /// Whether no rows wait.
    pub(crate) fn is_idle(&self) -> bool {
        self.parts.iter().all(|part| part.stage != Stage::Waiting)
    }

    /// Lets rows go with another commit, as far as `keep` keeps them.
    pub(crate) fn change(
        &mut self,
        from: &str,
        to: &str,
        keep: impl Fn(&RecordBatch) -> Result<RecordBatch, StoreError>,
    ) -> Result<(), StoreError> {
        self.keep(&Stage::Flight(from.to_owned()), &Stage::Flight(to.to_owned()), keep)
    }

    /// Lets rows wait on only as far as `keep` keeps them.
    pub(crate) fn keep_waiting(
        &mut self,
        keep: impl Fn(&RecordBatch) -> Result<RecordBatch, StoreError>,
    ) -> Result<(), StoreError> {
        self.keep(&Stage::Waiting, &Stage::Waiting, keep)
    }

    fn keep(
        &mut self,
        from: &Stage,
        to: &Stage,
        keep: impl Fn(&RecordBatch) -> Result<RecordBatch, StoreError>,
    ) -> Result<(), StoreError> {
        for part in self.parts.iter_mut().filter(|part| part.stage == *from) {
            part.rows = keep(&part.rows)?;
            part.bytes = files::size(&part.rows);
            part.stage = to.clone();
        }
        self.parts.retain(|part| part.rows.num_rows() > 0);
        Ok(())
    }

    /// Notes that a commit is there.
    pub(crate) fn land(&mut self, id: &str, version: u64) {
        for part in &mut self.parts {
            if matches!(&part.stage, Stage::Flight(flight) if flight == id) {
                part.stage = Stage::Committed(version);
            }
        }
    }

    /// Forgets what a handle of a version has.
    pub(crate) fn prune(&mut self, version: u64) {
        self.parts.retain(|part| !matches!(part.stage, Stage::Committed(at) if at <= version));
    }

    /// The rows that a handle of a version doesn't have.
    pub(crate) fn beside(&self, version: u64, log: &Log) -> Vec<RecordBatch> {
        let is_beside = |part: &&Part| match &part.stage {
            Stage::Waiting => true,
            Stage::Flight(id) => log.version_of(id).is_none_or(|at| at > version),
            Stage::Committed(at) => *at > version,
        };
        self.parts.iter().filter(is_beside).map(|part| part.rows.clone()).collect()
    }
}
