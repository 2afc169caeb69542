//! Where a table is: a folder, or a place in object storage.

use std::collections::HashSet;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    Error, GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt, ObjectStoreScheme, PutMode,
    PutOptions, RetryConfig,
};
use url::Url;

use crate::disk::{self, Disk};
use crate::options::Wrap;
use crate::{Options, StoreError};

/// How long the client tries a request again by itself. Whoever writes tries again after that, and
/// whoever asks is told.
const RETRIED: Duration = Duration::from_secs(15);

/// The most bytes of a file that isn't a data file: a commit, a part of a checkpoint. A commit of
/// this crate has some MiB at most, a checkpoint about a KiB for each file and log.
pub(crate) const MOST_OF_LOG: u64 = 1 << 30;
/// The most bytes of a file with a line or two in it.
pub(crate) const MOST_OF_NOTE: u64 = 1 << 16;

/// The storage of one table.
#[derive(Clone)]
pub(crate) struct Storage {
    /// The table's address, without secrets, with a slash at its end.
    pub(crate) url: Url,
    /// From the table's folder on.
    pub(crate) files: Arc<dyn ObjectStore>,
    /// What `deltalake` reads the table through.
    pub(crate) log: LogStoreRef,
    /// The table's folder, where it is on this machine's disk.
    pub(crate) folder: Option<PathBuf>,
}

/// What is wrong with an address of another kind.
const OTHER_SCHEME: &str = "it begins with neither `s3:`, `az:`, `gs:` nor `file:`";

impl Storage {
    /// The storage at an address: a path, `file://`, `s3://`, `az://`, `gs://`.
    pub(crate) fn open(address: &str, options: &Options) -> Result<Self, StoreError> {
        let refuse = |why: String| StoreError::Address { url: address.to_owned(), why };
        let (url, folder) = parse(address).map_err(refuse)?;
        if let Some(folder) = &folder
            && !options.read_only
        {
            disk::create_folders(folder).map_err(|e| StoreError::disk("create", folder, e))?;
        }
        let (scheme, prefix) =
            ObjectStoreScheme::parse(&url).map_err(|error| refuse(error.to_string()))?;
        let root: Arc<dyn ObjectStore> = match scheme {
            ObjectStoreScheme::Local => Arc::new(Disk::default()),
            ObjectStoreScheme::AmazonS3 => {
                let mut builder = AmazonS3Builder::new().with_url(url.as_str()).with_retry(retry());
                for (name, value) in known::<AmazonS3ConfigKey>(options)? {
                    builder = builder.with_config(name, value);
                }
                Arc::new(builder.build().map_err(|error| unusable(&error))?)
            }
            ObjectStoreScheme::MicrosoftAzure => {
                let mut builder =
                    MicrosoftAzureBuilder::new().with_url(url.as_str()).with_retry(retry());
                for (name, value) in known::<AzureConfigKey>(options)? {
                    builder = builder.with_config(name, value);
                }
                Arc::new(builder.build().map_err(|error| unusable(&error))?)
            }
            ObjectStoreScheme::GoogleCloudStorage => {
                let mut builder =
                    GoogleCloudStorageBuilder::new().with_url(url.as_str()).with_retry(retry());
                for (name, value) in known::<GoogleConfigKey>(options)? {
                    builder = builder.with_config(name, value);
                }
                Arc::new(builder.build().map_err(|error| unusable(&error))?)
            }
            _ => return Err(refuse(OTHER_SCHEME.to_owned())),
        };
        let root = match &options.wrap {
            Some(Wrap(wrap)) => wrap(root),
            None => root,
        };
        let files: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(root.clone(), prefix));
        let log = default_logstore(files.clone(), root, &url, &StorageConfig::default());
        Ok(Storage { url, files, log, folder })
    }

    /// The bytes of a file; nothing where there is none. One with more than `most` bytes, or with
    /// more than it said before it came, is refused.
    pub(crate) async fn read(&self, path: &Path, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let failed = |error| StoreError::storage("read", path, error);
        let refused = |why| Err(StoreError::Damaged { path: path.to_string(), why });
        let found = match self.files.get(path).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let size = found.meta.size;
        if size > most {
            return refused(format!("it has {size} bytes, and should have {most} at most"));
        }
        if matches!(found.payload, GetResultPayload::File(..)) {
            // As much as was announced, in one read.
            return found.bytes().await.map(|bytes| Some(bytes.into())).map_err(failed);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        let mut parts = found.into_stream();
        while let Some(part) = parts.try_next().await.map_err(failed)? {
            if (bytes.len() + part.len()) as u64 > size {
                return refused(format!("more came than its {size} bytes"));
            }
            bytes.extend_from_slice(&part);
        }
        Ok(Some(bytes))
    }

    /// Whether there is a file.
    pub(crate) async fn exists(&self, path: &Path) -> Result<bool, StoreError> {
        match self.files.head(path).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(StoreError::storage("look at", path, error)),
        }
    }

    /// Writes a file, over one that is there.
    pub(crate) async fn write(&self, path: &Path, bytes: Vec<u8>) -> Result<(), StoreError> {
        let put = self.files.put(path, bytes.into()).await;
        put.map(drop).map_err(|error| StoreError::storage("write", path, error))
    }

    /// Creates a file; false where there is one.
    pub(crate) async fn create(&self, path: &Path, bytes: Vec<u8>) -> Result<bool, Error> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.files.put_opts(path, bytes.into(), options).await {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes a file, if it is there.
    pub(crate) async fn delete(&self, path: &Path) -> Result<(), StoreError> {
        match self.files.delete(path).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(StoreError::storage("delete", path, error)),
        }
    }

    /// The files in a folder and its folders.
    pub(crate) async fn list(&self, folder: Option<&Path>) -> Result<Vec<ObjectMeta>, StoreError> {
        let failed = |error| StoreError::storage("list", folder.unwrap_or(&Path::default()), error);
        self.files.list(folder).try_collect().await.map_err(failed)
    }

    /// The names of the files in a folder and its folders.
    pub(crate) async fn names(&self, folder: &Path) -> Result<HashSet<Path>, StoreError> {
        let listed = self.list(Some(folder)).await?;
        Ok(listed.into_iter().map(|file| file.location).collect())
    }

    /// Those of a folder's files that come after a name.
    pub(crate) async fn list_after(
        &self,
        folder: &Path,
        name: &Path,
    ) -> Result<Vec<ObjectMeta>, StoreError> {
        let listed = self.files.list_with_offset(Some(folder), name);
        listed.try_collect().await.map_err(|error| StoreError::storage("list", folder, error))
    }
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Storage").field(&self.url.as_str()).finish()
    }
}

/// Whether an address can be one of a table, without looking whether there is one.
///
/// # Errors
/// [`StoreError::Address`].
pub fn check_address(address: &str) -> Result<(), StoreError> {
    let refuse = |why: String| StoreError::Address { url: address.to_owned(), why };
    let (url, _) = parse(address).map_err(refuse)?;
    match ObjectStoreScheme::parse(&url).map_err(|error| refuse(error.to_string()))?.0 {
        ObjectStoreScheme::Local
        | ObjectStoreScheme::AmazonS3
        | ObjectStoreScheme::MicrosoftAzure
        | ObjectStoreScheme::GoogleCloudStorage => Ok(()),
        _ => Err(refuse(OTHER_SCHEME.to_owned())),
    }
}

/// The address as a URL, and the folder that it is.
fn parse(address: &str) -> Result<(Url, Option<PathBuf>), String> {
    let has_scheme = address.split_once("://").is_some_and(|(scheme, _)| {
        scheme.len() > 1 && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    });
    let folder = match has_scheme {
        false if address.is_empty() => return Err("it is empty".into()),
        false => PathBuf::from(address),
        true => {
            let mut url = Url::parse(address).map_err(|error| error.to_string())?;
            if url.scheme() != "file" {
                if url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
                    return Err("it has a password, a query or a fragment".into());
                }
                let path = format!("{}/", url.path().trim_end_matches('/'));
                url.set_path(&path);
                return Ok((url, None));
            }
            url.to_file_path().map_err(|()| "it is no path of this machine".to_owned())?
        }
    };
    let folder = std::path::absolute(&folder).map_err(|error| error.to_string())?;
    // Folders that aren't there yet can't be resolved; those that are may be links.
    let folder = resolve(&folder);
    let url = Url::from_directory_path(&folder).map_err(|()| "it is no path".to_owned())?;
    Ok((url, Some(folder)))
}

/// The path without links, as far as it is there.
fn resolve(path: &FsPath) -> PathBuf {
    if let Ok(path) = path.canonicalize() {
        return path;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => resolve(parent).join(name),
        _ => path.to_owned(),
    }
}

/// The options by the client's own names; those from the environment as far as they are known.
fn known<K: std::str::FromStr + Eq + std::hash::Hash>(
    options: &Options,
) -> Result<Vec<(K, String)>, StoreError> {
    let parse = |name: &str| name.to_ascii_lowercase().parse::<K>().ok();
    let mut found = Vec::new();
    for (name, value) in &options.environment {
        found.extend(parse(name).map(|key| (key, value.clone())));
    }
    for (name, value) in &options.storage {
        match parse(name) {
            Some(key) => found.push((key, value.clone())),
            None => {
                let why = "the storage's client doesn't know it".into();
                return Err(StoreError::StorageOption { name: name.clone(), why });
            }
        }
    }
    Ok(found)
}

fn retry() -> RetryConfig {
    RetryConfig { retry_timeout: RETRIED, ..RetryConfig::default() }
}

/// The client refuses its options. It names them, not their values.
fn unusable(error: &Error) -> StoreError {
    StoreError::StorageOption { name: "…".into(), why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_folder_of_this_machine() {
        let (url, folder) = parse("some folder/table").unwrap();
        let folder = folder.unwrap();
        assert!(folder.is_absolute() && folder.ends_with("some folder/table"), "{folder:?}");
        assert!(url.as_str().ends_with("/some%20folder/table/"), "{url}");
        assert_eq!(parse(url.as_str()).unwrap(), (url, Some(folder)));
    }

    #[test]
    fn an_address_in_object_storage_is_kept() {
        for (address, expected) in [
            ("s3://bucket/a/b", "s3://bucket/a/b/"),
            ("az://container/t/", "az://container/t/"),
            ("gs://bucket", "gs://bucket/"),
        ] {
            let (url, folder) = parse(address).unwrap();
            assert_eq!((url.as_str(), folder), (expected, None));
        }
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        for address in ["", "s3://a:secret@b/c", "s3://b/c?x=y", "http://example/t", "ftp://x/y"] {
            let refused = Storage::open(address, &Options::default());
            assert!(matches!(refused, Err(StoreError::Address { .. })), "{address}: {refused:?}");
        }
    }

    #[test]
    fn an_option_that_the_client_does_not_know_is_refused_without_its_value() {
        let options = Options::default().storage([("aws_sekret".into(), "hunter2".into())]);
        let error = Storage::open("s3://bucket/t", &options).unwrap_err().to_string();
        assert!(error.contains("aws_sekret") && !error.contains("hunter2"), "{error}");
        let options = Options::default().environment([("AWS_PROFILE".into(), "x".into())]);
        assert!(Storage::open("s3://bucket/t", &options).is_ok());
    }
}
