//! Object storage, as far as servers of other people's on this machine are it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use quarry_store::{Options, Policy, Store, StoreError, Writers};

use crate::support::{Record, expected, python, store, witnesses};

/// Azurite's account and key, which its documentation gives to everybody.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A server that ends with the test.
struct Server {
    process: Child,
    url: String,
    storage: BTreeMap<String, String>,
    _folder: Option<tempfile::TempDir>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn options(&self) -> Options {
        Options::default().writers(Writers::Several).storage(self.storage.clone())
    }

    /// The records of a table there, as the Python package `deltalake` reads them.
    fn records(&self) -> Vec<Record> {
        let options = serde_json::to_string(&self.storage).unwrap();
        crate::support::witness(&["deltalake", &self.url, &options])
            .into_iter()
            .map(|row| {
                let text = |n: usize| row[n].as_str().unwrap().to_owned();
                (text(0), text(1), row[2].as_u64().unwrap())
            })
            .collect()
    }
}

fn s3(port: u16) -> BTreeMap<String, String> {
    [
        ("aws_endpoint", format!("http://127.0.0.1:{port}")),
        ("allow_http", "true".into()),
        ("aws_region", "us-east-1".into()),
        ("aws_access_key_id", "S3RVER".into()),
        ("aws_secret_access_key", "S3RVER".into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn moto() -> Server {
    let mut process = Command::new(python())
        .arg(witnesses().join("servers.py"))
        .arg("moto")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port = line.trim().parse().unwrap_or_else(|_| panic!("moto says `{line}`"));
    Server { process, url: "s3://bucket/table".into(), storage: s3(port), _folder: None }
}

/// Starts a program of npm's on a port of its own.
fn node_server(
    script: &str,
    arguments: impl Fn(u16, &Path) -> Vec<String>,
) -> Option<(u16, Server)> {
    let modules = quarry_testkit::node("store", &witnesses())?;
    let folder = tempfile::tempdir().unwrap();
    // Free a moment ago; who takes it meanwhile fails the test.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let process = Command::new("node")
        .arg(modules.join(script))
        .args(arguments(port, folder.path()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let url = "s3://bucket/table".to_owned();
    let server = Server { process, url, storage: s3(port), _folder: Some(folder) };
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < Duration::from_secs(60), "{script} doesn't listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    Some((port, server))
}

fn azurite() -> Option<Server> {
    let (port, mut server) = node_server("azurite/dist/src/blob/main.js", |port, folder| {
        let location = folder.to_str().unwrap().to_owned();
        let port = port.to_string();
        let words =
            ["--silent", "--skipApiVersionCheck", "--disableTelemetry", "--blobPort", &port];
        let words = words.into_iter().map(str::to_owned);
        words.chain(["--location".to_owned(), location]).collect()
    })?;
    let made = Command::new(python())
        .arg(witnesses().join("servers.py"))
        .args(["azurite-container", &port.to_string(), KEY])
        .status()
        .unwrap();
    assert!(made.success());
    server.url = "az://bucket/table".into();
    server.storage = [
        ("azure_storage_account_name", ACCOUNT.to_owned()),
        ("azure_storage_account_key", KEY.to_owned()),
        ("azure_storage_endpoint", format!("http://127.0.0.1:{port}/{ACCOUNT}")),
        ("allow_http", "true".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    Some(server)
}

/// Lets writers race for commits, and a second holder of a log come between.
async fn race(server: &Server, writers: u64, commits: u64) {
    let mut tasks = Vec::new();
    for writer in 0..writers {
        let (url, options) = (server.url.clone(), server.options());
        tasks.push(tokio::spawn(async move {
            let one = Store::open(&url, options).await.unwrap();
            let appender = one.appender().unwrap();
            assert!(!appender.has_log(), "no folder was given for one");
            let source = format!("even6://w{writer}");
            one.take(&source).await.unwrap();
            // A log that all of them want: each record is one's.
            one.take("even6://shared").await.unwrap();
            let mut fenced = 0;
            for n in 0..commits {
                store(&appender, &one, &source, n * 2 + 1..n * 2 + 3).await.unwrap();
                let next = one.take("even6://shared").await.unwrap();
                let next = next.first().map_or(1, |bookmark| bookmark.record + 1);
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
    let one = Store::open(&server.url, server.options()).await.unwrap();
    let shared = one.take("even6://shared").await.unwrap()[0].record;
    assert_eq!(shared, (writers * commits - fenced) * 2, "each commit has moved it or was fenced");
    let policy = Policy { small_files: 8, keep: None, ..Policy::default() };
    let report = one.maintain(&policy).await.unwrap();
    assert!(report.merged > 8, "{report:?}");
    let mut all = expected("even6://shared", "Security", 1..shared + 1);
    for writer in 0..writers {
        all.extend(expected(&format!("even6://w{writer}"), "Security", 1..commits * 2 + 1));
    }
    assert_eq!(server.records(), all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_writers_on_moto_lose_and_double_nothing() {
    race(&moto(), 4, 12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_on_azurite_lose_and_double_nothing() {
    if let Some(server) = azurite() {
        race(&server, 2, 12).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_ignores_conditions_has_one_writer_only() {
    let started = node_server("s3rver/bin/s3rver.js", |port, folder| {
        let folder = folder.to_str().unwrap().to_owned();
        let port = port.to_string();
        ["-a", "127.0.0.1", "-p", &port, "--silent", "--configure-bucket", "bucket", "-d", &folder]
            .map(str::to_owned)
            .to_vec()
    });
    let Some((_, server)) = started else { return };
    let refused = Store::open(&server.url, server.options()).await.unwrap_err();
    let StoreError::NoConditionalPut { winners, tried, .. } = refused else { panic!("{refused}") };
    assert!(winners > 1 && tried == 8, "{winners} of {tried}");
    // Alone, one can write there.
    let one = Store::open(&server.url, server.options().writers(Writers::One)).await.unwrap();
    let appender = one.appender().unwrap();
    one.take("even6://a").await.unwrap();
    store(&appender, &one, "even6://a", 1..4).await.unwrap();
    assert_eq!(one.version(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_on_object_storage_has_its_write_ahead_log_on_the_disk() {
    let server = moto();
    let log = tempfile::tempdir().unwrap();
    let options = || server.options().log_folder(log.path());
    let one = Store::open(&server.url, options()).await.unwrap();
    let appender = one.appender().unwrap();
    one.take("even6://a").await.unwrap();
    let rows = crate::support::rows(&one, "even6://a", "Security", 1..8);
    appender.push(rows, &[crate::support::to("even6://a", "Security", 7)]).unwrap();
    appender.sync().unwrap();
    drop((appender, one));
    let one = Store::open(&server.url, options()).await.unwrap();
    assert_eq!(one.bookmarks()[0].record, 7);
    assert_eq!(server.records(), expected("even6://a", "Security", 1..8));
}
