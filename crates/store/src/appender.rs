//! The appender: rows into memory and the write-ahead log, and from there into the table.

mod held;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use crate::table::{Inner, Store};
use crate::{Bookmark, Move, Rows, StoreError};

pub(crate) use held::Held;
pub(crate) use writer::{Writer, remove_files};

/// Puts rows into a store. There is one of a store at a time.
///
/// A source's rows are taken once its logs' bookmarks were read with [`Store::take`]: what they are
/// there is what they have to be in the table still when the rows are committed. If another process
/// has moved one, the rows of that log are dropped, and [`Flushed::fenced`] names it.
#[derive(Debug)]
pub struct Appender {
    inner: Arc<Inner>,
    /// There until it is dropped.
    writer: Option<Writer>,
}

/// What a flush has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flushed {
    /// The table's version that has the rows; the newest known one if there were none.
    pub version: u64,
    /// Rows that were committed.
    pub rows: usize,
    /// Logs, with their sources, that another process has moved. Their rows were dropped, and they
    /// aren't held any more: end reading them, then take the source again or leave it.
    pub fenced: Vec<(String, String)>,
}

/// What was pushed and isn't committed yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// Bytes, about.
    pub bytes: usize,
    /// Rows.
    pub rows: usize,
    /// For how long the oldest has waited.
    pub age: Option<Duration>,
}

impl Store {
    /// The appender.
    ///
    /// # Errors
    /// [`StoreError::AppenderTaken`] while there is one, [`StoreError::ReadOnly`].
    pub fn appender(&self) -> Result<Appender, StoreError> {
        if self.0.options.read_only {
            return Err(StoreError::ReadOnly);
        }
        match self.0.writer().take() {
            Some(writer) => Ok(Appender { inner: self.0.clone(), writer: Some(writer) }),
            None => Err(StoreError::AppenderTaken),
        }
    }

    /// Takes a source, to push its rows: says where each of its logs has been read to, as the table
    /// has it at this moment, or as rows have it that wait here. Reading goes on from there, and
    /// what of an earlier reading is still on its way has to be dropped before.
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::Damaged`], [`StoreError::Changed`] from looking at the
    /// table.
    pub async fn take(&self, source: &str) -> Result<Vec<Bookmark>, StoreError> {
        self.0.log.advance().await?;
        let mut held = self.0.held();
        // With the logs held, so that no flush ends between.
        let table = self.0.log.look(|tail| tail.marks_of(source));
        let held = held.entry(source.to_owned()).or_default();
        held.take(table);
        let mut bookmarks: Vec<Bookmark> =
            held.marks(source).map(|(key, mark)| mark.bookmark(&key)).collect();
        bookmarks.sort_by(|a, b| a.log.cmp(&b.log));
        Ok(bookmarks)
    }

    /// Gives a source up. Rows of it that wait are committed all the same, if nobody has moved its
    /// bookmarks by then.
    pub fn release(&self, source: &str) {
        let mut sources = self.0.held();
        if let Some(held) = sources.get_mut(source)
            && held.release()
        {
            sources.remove(source);
        }
    }
}

impl Appender {
    /// Takes rows and what they move, however few they are: they are put together into batches. They are
    /// in queries and durable after [`sync`](Self::sync) or [`flush`](Self::flush), and may be in queries
    /// before. Nothing is taken after an error.
    ///
    /// # Errors
    /// [`StoreError::Full`] if they must wait, [`StoreError::Rows`] if they aren't of this store's
    /// columns, [`StoreError::NotTaken`] for a log whose source isn't held, or was lost to another
    /// process; [`StoreError::Backwards`], [`StoreError::TooLarge`].
    pub fn push(&self, rows: &Rows, moves: &[Move]) -> Result<(), StoreError> {
        match &self.writer {
            Some(writer) => writer.push(&self.inner, rows, moves),
            None => Err(StoreError::AppenderTaken),
        }
    }

    /// Makes durable what was pushed: writes the write-ahead log and syncs it. Blocks for as long as
    /// the disk takes. After an error nothing is lost, and the next call tries again.
    ///
    /// # Errors
    /// [`StoreError::Disk`]; [`StoreError::NoLog`] where there is no write-ahead log, so that only a
    /// flush makes rows durable; they are in queries all the same.
    pub fn sync(&self) -> Result<(), StoreError> {
        match &self.writer {
            Some(writer) => writer.sync(&self.inner),
            None => Err(StoreError::AppenderTaken),
        }
    }

    /// Commits what was pushed before, in one commit. Rows can be pushed and synced meanwhile; they
    /// are for the next. After an error nothing is lost, and the next call goes on with it; the rows
    /// may be in the table already.
    ///
    /// # Errors
    /// [`StoreError::Contended`] if it took longer than [`Options::commit_time`](crate::Options);
    /// [`StoreError::Storage`], [`StoreError::Disk`], [`StoreError::Changed`],
    /// [`StoreError::Damaged`].
    pub async fn flush(&self) -> Result<Flushed, StoreError> {
        match &self.writer {
            Some(writer) => writer.flush(&self.inner).await,
            None => Err(StoreError::AppenderTaken),
        }
    }

    /// What was pushed and isn't committed yet.
    pub fn waiting(&self) -> Waiting {
        let (mut bytes, mut rows) = self.inner.state().memory.waiting();
        if let Some((more_bytes, more_rows)) = self.writer.as_ref().map(Writer::gathered) {
            (bytes, rows) = (bytes + more_bytes, rows + more_rows);
        }
        let age = self.writer.as_ref().and_then(Writer::age);
        Waiting { bytes, rows, age }
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        *self.inner.writer() = self.writer.take();
    }
}
