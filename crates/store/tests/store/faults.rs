//! Storage that fails, forgets to answer, or is full.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};
use quarry_store::{Options, StoreError, WrapStorage, Writers};

use crate::support::{expected, open, records, rows, store, to};

const A: &str = "even6://a";

/// What happens to the next puts of commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process ends as if it were killed, and nothing is put.
    Dies,
    /// The file is put, and the answer lost.
    Lost,
    /// Nothing is put.
    Fails,
    /// Nothing is put now; it is once the next put of the same file has begun, before that one.
    Late,
}

/// A storage with faults to order.
#[derive(Debug)]
struct Faulty {
    inner: Arc<dyn ObjectStore>,
    orders: Arc<Orders>,
}

#[derive(Debug, Default)]
pub(crate) struct Orders {
    pub(crate) commits: Mutex<Vec<Fault>>,
    data: AtomicUsize,
    /// How many bytes more than it says come of a commit.
    more: AtomicUsize,
    /// Whether commits have to wait, and how many do.
    is_slow: AtomicBool,
    /// Whether what creates a file has no answer and is put again, whose answer it gets.
    is_repeated: AtomicBool,
    waiting: AtomicUsize,
    late: Mutex<Option<(Path, PutPayload, PutOptions)>>,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

fn failed(why: &'static str) -> Error {
    Error::Generic { store: "faulty", source: why.into() }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let name = location.as_ref();
        if self.orders.is_repeated.load(Ordering::SeqCst) && options.mode == PutMode::Create {
            let _ = self.inner.put_opts(location, payload.clone(), options.clone()).await;
        }
        if name.contains("_delta_log") && name.ends_with(".json") {
            if self.orders.is_slow.load(Ordering::SeqCst) {
                self.orders.waiting.fetch_add(1, Ordering::SeqCst);
                while self.orders.is_slow.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            let late = self.orders.late.lock().unwrap().take();
            if let Some((location, payload, options)) = late {
                self.inner.put_opts(&location, payload, options).await?;
            }
            let fault = self.orders.commits.lock().unwrap().pop();
            match fault {
                Some(Fault::Dies) => std::process::abort(),
                Some(Fault::Lost) => {
                    self.inner.put_opts(location, payload, options).await?;
                    return Err(failed("the answer is lost"));
                }
                Some(Fault::Fails) => return Err(failed("it is refused")),
                Some(Fault::Late) => {
                    let put = (location.clone(), payload, options);
                    *self.orders.late.lock().unwrap() = Some(put);
                    return Err(failed("it takes too long"));
                }
                None => {}
            }
        } else if name.ends_with(".parquet") {
            let left = self.orders.data.load(Ordering::SeqCst);
            if left > 0 {
                self.orders.data.store(left - 1, Ordering::SeqCst);
                return Err(failed("no space left on device"));
            }
        }
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let found = self.inner.get_opts(location, options).await?;
        let more = self.orders.more.load(Ordering::SeqCst);
        if more == 0 || !location.as_ref().ends_with(".json") {
            return Ok(found);
        }
        let (meta, range) = (found.meta.clone(), found.range.clone());
        let attributes = found.attributes.clone();
        let parts = [found.bytes().await?, vec![b' '; more].into()].map(Ok);
        let payload = GetResultPayload::Stream(Box::pin(futures_util::stream::iter(parts)));
        Ok(GetResult { payload, meta, range, attributes })
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[Range<u64>],
    ) -> Result<Vec<bytes::Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// Options with a storage that has faults, and where to order them.
pub(crate) fn faulty() -> (Options, Arc<Orders>) {
    let orders = Arc::new(Orders::default());
    let known = orders.clone();
    let wrap: WrapStorage =
        Arc::new(move |inner| Arc::new(Faulty { inner, orders: known.clone() }));
    let options = Options::default().writers(Writers::Several).through(wrap);
    (options.commit_time(Duration::from_secs(30)), orders)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_was_lost_is_known_as_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (options, orders) = faulty();
    let one = open(folder.path(), options).await;
    let appender = one.appender().unwrap();
    one.take(A).await.unwrap();
    orders.commits.lock().unwrap().push(Fault::Lost);
    let flushed = flush_until_done(&appender, &one, 1..11).await;
    assert_eq!((flushed.version, flushed.rows), (1, 10));
    assert!(flushed.fenced.is_empty(), "its own commit isn't another's: {flushed:?}");
    store(&appender, &one, A, 11..21).await.unwrap();
    assert_eq!(one.version(), 2);
    assert_eq!(records(folder.path()).await, expected(A, "Security", 1..21));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_creates_a_file_twice_as_no_answer_came_is_not_taken_for_another() {
    let folder = tempfile::tempdir().unwrap();
    let (options, orders) = faulty();
    orders.is_repeated.store(true, Ordering::SeqCst);
    let one = open(folder.path(), options.writers(Writers::Several)).await;
    let appender = one.appender().unwrap();
    one.take(A).await.unwrap();
    for from in [1, 11] {
        let flushed = store(&appender, &one, A, from..from + 10).await.unwrap();
        assert_eq!((flushed.rows, flushed.fenced.len()), (10, 0));
    }
    assert_eq!(one.version(), 2);
    assert_eq!(records(folder.path()).await, expected(A, "Security", 1..21));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_sends_more_than_it_said_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (options, orders) = faulty();
    let one = open(folder.path(), options.clone()).await;
    let appender = one.appender().unwrap();
    one.take(A).await.unwrap();
    store(&appender, &one, A, 1..11).await.unwrap();
    drop((appender, one));
    orders.more.store(1, Ordering::SeqCst);
    let url = folder.path().to_str().unwrap();
    let error = quarry_store::Store::open(url, options.clone()).await.unwrap_err().to_string();
    assert!(error.contains(".json is damaged: more came than its "), "{error}");
    orders.more.store(0, Ordering::SeqCst);
    assert_eq!(open(folder.path(), options).await.bookmarks()[0].record.0, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_pushed_synced_and_asked_for_while_others_are_committed() {
    let folder = tempfile::tempdir().unwrap();
    let wal = tempfile::tempdir().unwrap();
    let (options, orders) = faulty();
    let one = open(folder.path(), options.log_folder(wal.path())).await;
    let appender = Arc::new(one.appender().unwrap());
    one.take(A).await.unwrap();
    appender.push(&rows(&one, A, "Security", 1..11), &[to(A, "Security", 10)]).unwrap();
    orders.is_slow.store(true, Ordering::SeqCst);
    let flush = tokio::spawn({
        let appender = appender.clone();
        async move { appender.flush().await.unwrap() }
    });
    while orders.waiting.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    appender.push(&rows(&one, A, "Security", 11..31), &[to(A, "Security", 30)]).unwrap();
    appender.sync().unwrap();
    assert_eq!(appender.waiting().rows, 30, "none is committed yet");
    let count = || async {
        let ask = crate::stock::ask(quarry_event::filter::Filter::default());
        one.count(&ask).await.unwrap()
    };
    assert_eq!(count().await, 30, "and each is seen once");
    assert!(!flush.is_finished());
    orders.is_slow.store(false, Ordering::SeqCst);
    let flushed = flush.await.unwrap();
    assert_eq!((flushed.version, flushed.rows), (1, 10), "those that had been pushed before");
    assert_eq!(records(folder.path()).await, expected(A, "Security", 1..11));
    assert_eq!((appender.waiting().rows, count().await), (20, 30));
    let flushed = appender.flush().await.unwrap();
    assert_eq!((flushed.version, flushed.rows), (2, 20));
    assert_eq!(records(folder.path()).await, expected(A, "Security", 1..31));
    // What had been synced meanwhile isn't committed again.
    drop((appender, one));
    let one = open(folder.path(), Options::default().log_folder(wal.path())).await;
    assert_eq!(one.version(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_that_arrives_late_is_the_same_commit() {
    let folder = tempfile::tempdir().unwrap();
    let (options, orders) = faulty();
    let one = open(folder.path(), options).await;
    let appender = one.appender().unwrap();
    one.take(A).await.unwrap();
    orders.commits.lock().unwrap().push(Fault::Late);
    let flushed = flush_until_done(&appender, &one, 1..11).await;
    assert_eq!((flushed.version, flushed.rows), (1, 10));
    assert_eq!(one.version(), 1);
    assert_eq!(records(folder.path()).await, expected(A, "Security", 1..11));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_known_though_others_have_read_the_commit_first() {
    let folder = tempfile::tempdir().unwrap();
    let (options, orders) = faulty();
    let one = open(folder.path(), options).await;
    let appender = one.appender().unwrap();
    one.take(A).await.unwrap();
    orders.commits.lock().unwrap().push(Fault::Lost);
    appender.push(&rows(&one, A, "Security", 1..11), &[to(A, "Security", 10)]).unwrap();
    assert!(appender.flush().await.is_err(), "a disk's failure is told at once");
    // A query refreshes the table, and another process goes on with another log.
    one.refresh().await.unwrap();
    let two = open(folder.path(), Options::default().writers(Writers::Several)).await;
    let other = two.appender().unwrap();
    two.take("even6://b").await.unwrap();
    store(&other, &two, "even6://b", 1..3).await.unwrap();
    let flushed = appender.flush().await.unwrap();
    assert_eq!((flushed.version, flushed.rows), (1, 10));
    assert!(flushed.fenced.is_empty(), "{flushed:?}");
    let all = [expected(A, "Security", 1..11), expected("even6://b", "Security", 1..3)].concat();
    assert_eq!(records(folder.path()).await, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_known_though_the_commit_is_in_a_checkpoint_and_its_file_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (options, orders) = faulty();
    let one = open(folder.path(), options).await;
    let appender = one.appender().unwrap();
    one.take(A).await.unwrap();
    orders.commits.lock().unwrap().push(Fault::Lost);
    appender.push(&rows(&one, A, "Security", 1..11), &[to(A, "Security", 10)]).unwrap();
    assert!(appender.flush().await.is_err());
    // It is cut off for long: others go on, put files together, and cut the log.
    let two = open(folder.path(), Options::default().writers(Writers::Several)).await;
    let other = two.appender().unwrap();
    two.take("even6://b").await.unwrap();
    for n in 0..3 {
        store(&other, &two, "even6://b", n * 2 + 1..n * 2 + 3).await.unwrap();
    }
    let policy = quarry_store::Policy {
        checkpoint_commits: 1,
        keep_log: Duration::ZERO,
        ..quarry_store::Policy::default()
    };
    assert!(two.maintain(&policy).await.unwrap().log_files > 2);
    let flushed = appender.flush().await.unwrap();
    assert!(flushed.fenced.is_empty() && flushed.rows == 10, "{flushed:?}");
    let all = [expected(A, "Security", 1..11), expected("even6://b", "Security", 1..7)].concat();
    assert_eq!(records(folder.path()).await, all);
    one.refresh().await.unwrap();
    let everything = crate::stock::ask(quarry_event::filter::Filter::default());
    assert_eq!(one.count(&everything).await.unwrap(), 16);
    store(&appender, &one, A, 11..21).await.unwrap();
    assert_eq!(records(folder.path()).await.len(), 26);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_files_that_were_cleaned_up_before_their_commit_are_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let (options, orders) = faulty();
    let one = open(folder.path(), options).await;
    let appender = one.appender().unwrap();
    one.take(A).await.unwrap();
    orders.commits.lock().unwrap().push(Fault::Fails);
    appender.push(&rows(&one, A, "Security", 1..11), &[to(A, "Security", 10)]).unwrap();
    assert!(appender.flush().await.is_err());
    let two = open(folder.path(), Options::default().writers(Writers::Several)).await;
    let policy =
        quarry_store::Policy { safe_age: Duration::ZERO, ..quarry_store::Policy::default() };
    assert_eq!(two.maintain(&policy).await.unwrap().vacuumed, 1);
    assert_eq!(appender.flush().await.unwrap().rows, 10);
    assert_eq!(records(folder.path()).await, expected(A, "Security", 1..11));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_fails_keeps_rows_waiting_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let (options, orders) = faulty();
    let one = open(folder.path(), options).await;
    let appender = one.appender().unwrap();
    one.take(A).await.unwrap();
    orders.data.store(2, Ordering::SeqCst);
    appender.push(&rows(&one, A, "Security", 1..11), &[to(A, "Security", 10)]).unwrap();
    appender.sync().unwrap();
    let error = appender.flush().await.unwrap_err();
    assert!(error.to_string().contains("no space left on device"), "{error}");
    assert!(matches!(error, StoreError::Storage { .. }));
    assert_eq!(appender.waiting().rows, 10);
    // More comes meanwhile.
    appender.push(&rows(&one, A, "Security", 11..21), &[to(A, "Security", 20)]).unwrap();
    assert!(appender.flush().await.is_err());
    orders.commits.lock().unwrap().extend([Fault::Fails, Fault::Fails]);
    assert!(appender.flush().await.is_err());
    assert!(appender.flush().await.is_err());
    let flushed = appender.flush().await.unwrap();
    assert_eq!((flushed.rows, appender.waiting().rows), (20, 0));
    assert_eq!(records(folder.path()).await, expected(A, "Security", 1..21));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_may_wait_is_refused_and_taken_after_a_flush() {
    let folder = tempfile::tempdir().unwrap();
    let one = open(folder.path(), Options::default().memory(64 << 10)).await;
    let appender = one.appender().unwrap();
    one.take(A).await.unwrap();
    let mut next = 1;
    let refused = loop {
        let rows = rows(&one, A, "Security", next..next + 20);
        match appender.push(&rows, &[to(A, "Security", next + 19)]) {
            Ok(()) => next += 20,
            Err(error) => break error,
        }
        assert!(next < 10_000, "it is never full");
    };
    assert!(matches!(refused, StoreError::Full { most: 65536, .. }), "{refused:?}");
    assert!(next > 1);
    appender.flush().await.unwrap();
    store(&appender, &one, A, next..next + 20).await.unwrap();
    assert_eq!(records(folder.path()).await, expected(A, "Security", 1..next + 20));
}

/// Flushes until it succeeds: a disk's failure ends a flush at once.
async fn flush_until_done(
    appender: &quarry_store::Appender,
    one: &quarry_store::Store,
    records: Range<u64>,
) -> quarry_store::Flushed {
    let last = records.end - 1;
    appender.push(&rows(one, A, "Security", records), &[to(A, "Security", last)]).unwrap();
    for _ in 0..3 {
        if let Ok(flushed) = appender.flush().await {
            return flushed;
        }
    }
    panic!("it never succeeds");
}
