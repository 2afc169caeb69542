//! Servers of object storage that others have made, for as long as a test wants one.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Azurite's account and key, which its documentation gives to everybody.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Whose object storage it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Storage {
    /// PyPI's moto, which is S3.
    Moto,
    /// npm's Azurite, which is Azure Blob Storage and knows its account's key.
    Azurite,
    /// npm's s3rver, which is S3 without conditional puts.
    S3rver,
}

/// A server with one empty bucket, which ends when this is dropped.
#[derive(Debug)]
pub struct ObjectStorage {
    process: Child,
    /// An address in its bucket.
    pub url: String,
    /// How its clients reach it and sign in, by the names that the crate `object_store` has for it.
    pub storage: BTreeMap<String, String>,
    _folder: Option<tempfile::TempDir>,
}

impl Drop for ObjectStorage {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl ObjectStorage {
    /// Starts one, or `None` after saying what it needs.
    ///
    /// # Panics
    /// When it doesn't start.
    pub fn start(storage: Storage) -> Option<Self> {
        match storage {
            Storage::Moto => Some(moto()),
            Storage::Azurite => azurite(),
            Storage::S3rver => s3rver(),
        }
    }

    /// The server's process.
    pub fn process(&self) -> u32 {
        self.process.id()
    }

    /// What its clients need, as variables of the environment, for a program that reads them from there.
    pub fn environment(&self) -> impl Iterator<Item = (String, &str)> {
        self.storage.iter().map(|(name, value)| {
            let prefix = match self.url.starts_with("az:") {
                true => "AZURE_",
                false => "AWS_",
            };
            let name = name.to_ascii_uppercase();
            let name = if name.starts_with(prefix) { name } else { format!("{prefix}{name}") };
            (name, value.as_str())
        })
    }
}

/// Where the packages of these servers are written down.
fn witnesses() -> PathBuf {
    super::root().join("crates/store/tests/witnesses")
}

fn python() -> PathBuf {
    super::python("store", &witnesses().join("requirements.txt"))
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

fn moto() -> ObjectStorage {
    let mut process = Command::new(python())
        .arg(witnesses().join("servers.py"))
        .arg("moto")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut line = String::new();
    let said = process.stdout.take().expect("it is piped");
    BufReader::new(said).read_line(&mut line).expect("moto's port can be read");
    let port = line.trim().parse().unwrap_or_else(|_| panic!("moto says `{line}`"));
    ObjectStorage { process, url: "s3://bucket/table".into(), storage: s3(port), _folder: None }
}

fn azurite() -> Option<ObjectStorage> {
    let (port, mut server) = node_server("azurite/dist/src/blob/main.js", |folder| {
        let words = ["--silent", "--skipApiVersionCheck", "--disableTelemetry"];
        let words = words.into_iter().chain(["--blobPort", "0", "--location", folder]);
        words.map(str::to_owned).collect()
    })?;
    let made = Command::new(python())
        .arg(witnesses().join("servers.py"))
        .args(["azurite-container", &port.to_string(), KEY])
        .status()
        .expect("Python starts");
    assert!(made.success(), "{made}");
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

fn s3rver() -> Option<ObjectStorage> {
    let started = node_server("s3rver/bin/s3rver.js", |folder| {
        let words = ["-a", "127.0.0.1", "-p", "0", "--silent", "--configure-bucket", "bucket"];
        words.into_iter().chain(["-d", folder]).map(str::to_owned).collect()
    });
    started.map(|(_, server)| server)
}

/// Starts a program of npm's, given port 0, and waits until it says which it has.
fn node_server(
    script: &str,
    arguments: impl Fn(&str) -> Vec<String>,
) -> Option<(u16, ObjectStorage)> {
    let modules = super::node("store", &witnesses())?;
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let mut process = Command::new("node")
        .arg(modules.join(script))
        .args(arguments(folder.path().to_str().expect("temporary folders are text")))
        .stdout(Stdio::piped())
        .spawn()
        .expect("Node.js starts");
    let mut said = BufReader::new(process.stdout.take().expect("it is piped"));
    let url = "s3://bucket/table".to_owned();
    let mut server =
        ObjectStorage { process, url, storage: BTreeMap::new(), _folder: Some(folder) };
    let mut all = String::new();
    let port = loop {
        let before = all.len();
        let read = said.read_line(&mut all).expect("what it says is text");
        assert!(read > 0, "{script} doesn't listen, and says `{all}`");
        // Azurite first says where it is starting, on port 0.
        let port = all[before..].trim_end().rsplit(':').next().and_then(|port| port.parse().ok());
        if let Some(port) = port.filter(|&port: &u16| port != 0) {
            break port;
        }
    };
    // It goes on to speak, and isn't to wait for who listens.
    std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
    server.storage = s3(port);
    Some((port, server))
}
