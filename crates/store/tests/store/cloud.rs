//! Object storage, as far as servers of other people's on this machine are it.

use quarry_store::{Options, Policy, Store, StoreError, Writers};
use quarry_testkit::{ObjectStorage, Storage};

use crate::support::{Record, expected, store};

/// How many commits race, unless `QUARRY_RACE_COMMITS` says it.
const COMMITS: u64 = 96;

fn options(server: &ObjectStorage) -> Options {
    Options::default().writers(Writers::Several).storage(server.storage.clone())
}

/// The records of a table there, as the Python package `deltalake` reads them.
fn records(server: &ObjectStorage) -> Vec<Record> {
    let options = serde_json::to_string(&server.storage).unwrap();
    crate::support::witness(&["deltalake", &server.url, &options])
        .into_iter()
        .map(|row| {
            let text = |n: usize| row[n].as_str().unwrap().to_owned();
            (text(0), text(1), row[2].as_u64().unwrap())
        })
        .collect()
}

/// Lets writers race for commits, and other holders of a log come between.
#[expect(clippy::print_stdout, reason = "what a race came to is said")]
async fn race(kind: Storage, writers: u64) {
    let Some(server) = ObjectStorage::start(kind) else { return };
    let all = std::env::var("QUARRY_RACE_COMMITS").ok().and_then(|n| n.parse().ok());
    // Each writer has a turn for a log of its own and one for the shared log.
    let commits = all.unwrap_or(COMMITS).div_ceil(2 * writers);
    let mut tasks = Vec::new();
    for writer in 0..writers {
        let (url, options) = (server.url.clone(), options(&server));
        tasks.push(tokio::spawn(async move {
            let one = Store::open(&url, options).await.unwrap();
            let appender = one.appender().unwrap();
            assert!(matches!(appender.sync(), Err(quarry_store::StoreError::NoLog)));
            let source = format!("even6://w{writer}");
            one.take(&source).await.unwrap();
            // A log that all of them want: each record is one's.
            one.take("even6://shared").await.unwrap();
            let mut fenced = 0;
            for n in 0..commits {
                store(&appender, &one, &source, n * 2 + 1..n * 2 + 3).await.unwrap();
                let next = one.take("even6://shared").await.unwrap();
                let next = next.first().map_or(1, |bookmark| bookmark.record.0 + 1);
                let stored = store(&appender, &one, "even6://shared", next..next + 2).await;
                fenced += stored.unwrap().fenced.len();
            }
            fenced
        }));
    }
    let mut fenced = 0;
    for task in tasks {
        fenced += task.await.unwrap() as u64;
    }
    let one = Store::open(&server.url, options(&server)).await.unwrap();
    let shared = one.take("even6://shared").await.unwrap()[0].record.0;
    assert_eq!(shared, (writers * commits - fenced) * 2, "each commit has moved it or was fenced");
    let policy = Policy { small_files: 8, keep: None, ..Policy::default() };
    let report = one.maintain(&policy).await.unwrap();
    assert!(report.merged > 8, "{report:?}");
    let mut all = expected("even6://shared", "Security", 1..shared + 1);
    for writer in 0..writers {
        all.extend(expected(&format!("even6://w{writer}"), "Security", 1..commits * 2 + 1));
    }
    assert_eq!(records(&server), all);
    println!(
        "{kind:?}: {writers} writers, {} commits and {fenced} that were fenced, {} records",
        2 * writers * commits - fenced,
        all.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_writers_on_moto_lose_and_double_nothing() {
    race(Storage::Moto, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_writers_on_moto_lose_and_double_nothing() {
    race(Storage::Moto, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_writers_on_azurite_lose_and_double_nothing() {
    race(Storage::Azurite, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_writers_on_azurite_lose_and_double_nothing() {
    race(Storage::Azurite, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_ignores_conditions_has_one_writer_only() {
    let Some(server) = ObjectStorage::start(Storage::S3rver) else { return };
    let refused = Store::open(&server.url, options(&server)).await.unwrap_err();
    let StoreError::NoConditionalPut { winners, tried, .. } = refused else { panic!("{refused}") };
    assert!(winners > 1 && tried == 8, "{winners} of {tried}");
    // Alone, one can write there.
    let one = Store::open(&server.url, options(&server).writers(Writers::One)).await.unwrap();
    let appender = one.appender().unwrap();
    one.take("even6://a").await.unwrap();
    store(&appender, &one, "even6://a", 1..4).await.unwrap();
    assert_eq!(one.version(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_on_object_storage_has_its_write_ahead_log_on_the_disk() {
    let Some(server) = ObjectStorage::start(Storage::Moto) else { return };
    let log = tempfile::tempdir().unwrap();
    let options = || options(&server).log_folder(log.path());
    let one = Store::open(&server.url, options()).await.unwrap();
    let appender = one.appender().unwrap();
    one.take("even6://a").await.unwrap();
    let rows = crate::support::rows(&one, "even6://a", "Security", 1..8);
    appender.push(&rows, &[crate::support::to("even6://a", "Security", 7)]).unwrap();
    appender.sync().unwrap();
    drop((appender, one));
    let one = Store::open(&server.url, options()).await.unwrap();
    assert_eq!(one.bookmarks()[0].record.0, 7);
    assert_eq!(records(&server), expected("even6://a", "Security", 1..8));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_wrong_is_refused_at_once_and_not_told() {
    let Some(server) = ObjectStorage::start(Storage::Azurite) else { return };
    let wrong = "d3JvbmctaHVudGVyMi13cm9uZy1odW50ZXIyLXdyb25nLWh1bnRlcjI=";
    let mut storage = server.storage.clone();
    storage.insert("azure_storage_account_key".into(), wrong.into());
    let refused = Store::open(&server.url, options(&server).storage(storage)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Storage { .. }), "{refused:?}");
    let told = refused.to_string();
    assert!(told.starts_with("cannot ") && told.contains("403"), "{told}");
    assert!(!told.contains(wrong), "{told}");
    // With the right one there is nothing yet.
    let reading = options(&server).read_only(true);
    let none = Store::open(&server.url, reading).await.unwrap_err();
    assert!(matches!(none, StoreError::NoTable { .. }), "{none:?}");
}
