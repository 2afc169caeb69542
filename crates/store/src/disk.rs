//! A local folder as object storage, with every file synced before it is there.
//!
//! `object_store`'s own local storage never syncs: after a crash of the machine, a file that a commit
//! names may have no bytes, and a commit may have none either. Here a file is written under a name
//! that listings leave out, synced, linked or renamed to its own, and the folder is synced.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, UploadPart,
};

/// The local file system, from its root.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    files: LocalFileSystem,
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

#[async_trait]
impl ObjectStore for Disk {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let to = self.files.path_to_filesystem(location)?;
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return self.files.put_opts(location, payload, options).await,
        };
        blocking(move || {
            let mut staged = Staged::new(to)?;
            for bytes in &payload {
                staged.write(bytes)?;
            }
            staged.publish(create)
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let to = self.files.path_to_filesystem(location)?;
        let staged = blocking(move || Staged::new(to)).await?;
        Ok(Box::new(Upload { staged: Arc::new(Mutex::new(Some(staged))), end: 0 }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[Range<u64>],
    ) -> Result<Vec<bytes::Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.files.rename_opts(from, to, options).await
    }
}

/// A file that is uploaded in parts.
#[derive(Debug)]
struct Upload {
    staged: Arc<Mutex<Option<Staged>>>,
    end: u64,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (staged, at) = (self.staged.clone(), self.end);
        self.end += data.content_length() as u64;
        Box::pin(blocking(move || {
            let mut staged = lock(&staged);
            let staged = staged.as_mut().ok_or_else(ended)?;
            staged.file.seek(SeekFrom::Start(at)).map_err(|e| staged.failed("write", e))?;
            data.iter().try_for_each(|bytes| staged.write(bytes))
        }))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let staged = lock(&self.staged).take().ok_or_else(ended)?;
        blocking(move || staged.publish(false)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        lock(&self.staged).take();
        Ok(())
    }
}

fn lock(staged: &Mutex<Option<Staged>>) -> std::sync::MutexGuard<'_, Option<Staged>> {
    staged.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn ended() -> Error {
    Error::Generic { store: "local", source: "the upload has ended".into() }
}

/// A file that is being written beside its place. Dropped, it is removed.
#[derive(Debug)]
struct Staged {
    file: File,
    staging: PathBuf,
    to: PathBuf,
}

impl Staged {
    fn new(to: PathBuf) -> Result<Self> {
        let folder = to.parent().unwrap_or(FsPath::new("/"));
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        // Listings leave out what ends in `#` and digits.
        let number: u64 = uuid::Uuid::new_v4().as_u64_pair().0;
        let staging = folder.join(format!("{name}#{number}"));
        let open = || OpenOptions::new().write(true).create_new(true).open(&staging);
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create_folders(folder).and_then(|()| open())
            }
            opened => opened,
        };
        match file {
            Ok(file) => Ok(Staged { file, staging, to }),
            Err(error) => Err(failed("create", &staging, error)),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| self.failed("write", e))
    }

    /// Makes the file durable and gives it its name; with `create` only where nothing has it.
    fn publish(self, create: bool) -> Result<()> {
        self.file.sync_all().map_err(|e| self.failed("sync", e))?;
        if create {
            // A link fails where the name is taken; a rename would take it from another.
            match fs::hard_link(&self.staging, &self.to) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let path = self.to.display().to_string();
                    return Err(Error::AlreadyExists { path, source: error.into() });
                }
                Err(error) => return Err(self.failed("link", error)),
            }
        } else {
            fs::rename(&self.staging, &self.to).map_err(|e| self.failed("rename", e))?;
        }
        let folder = self.to.parent().unwrap_or(FsPath::new("/"));
        sync_folder(folder).map_err(|e| failed("sync", folder, e))
    }

    fn failed(&self, doing: &str, error: io::Error) -> Error {
        failed(doing, &self.to, error)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // What was renamed isn't there any more.
        let _ = fs::remove_file(&self.staging);
    }
}

fn failed(doing: &str, path: &FsPath, error: io::Error) -> Error {
    let text = format!("cannot {doing} {}: {error}", path.display());
    Error::Generic { store: "local", source: io::Error::new(error.kind(), text).into() }
}

/// Creates a folder and those it is in, durably.
pub(crate) fn create_folders(folder: &FsPath) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let Some(parent) = folder.parent() else { return Ok(()) };
    create_folders(parent)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_folder(parent),
    }
}

/// Makes the names in a folder durable.
#[cfg(unix)]
pub(crate) fn sync_folder(folder: &FsPath) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { FsPath::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

/// Windows has no call for it: NTFS logs its names.
#[cfg(not(unix))]
pub(crate) fn sync_folder(_folder: &FsPath) -> io::Result<()> {
    Ok(())
}

/// Does what blocks where it may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(work).await?,
        Err(_) => work(),
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;

    use super::*;

    fn folder() -> (tempfile::TempDir, Path) {
        let folder = tempfile::tempdir().unwrap();
        let root = Path::from_absolute_path(folder.path()).unwrap();
        (folder, root)
    }

    #[tokio::test]
    async fn a_file_is_created_once() {
        let (folder, root) = folder();
        let path = root.join("a").join("b.json");
        let create = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        Disk::default().put_opts(&path, "one".into(), create()).await.unwrap();
        let second = Disk::default().put_opts(&path, "two".into(), create()).await;
        assert!(matches!(second, Err(Error::AlreadyExists { .. })), "{second:?}");
        let kept = fs::read_dir(folder.path().join("a")).unwrap().count();
        assert_eq!(kept, 1, "nothing staged is left");
        let bytes = Disk::default().get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(&bytes[..], b"one");
    }

    #[tokio::test]
    async fn parts_are_put_together_in_their_order() {
        let (folder, root) = folder();
        let path = root.join("parts");
        let mut upload = Disk::default().put_multipart(&path).await.unwrap();
        let (first, second) = (upload.put_part("one,".into()), upload.put_part("two".into()));
        second.await.unwrap();
        first.await.unwrap();
        assert!(!folder.path().join("parts").exists());
        upload.complete().await.unwrap();
        assert_eq!(fs::read(folder.path().join("parts")).unwrap(), b"one,two");
    }

    #[tokio::test]
    async fn what_is_given_up_leaves_nothing() {
        let (folder, root) = folder();
        let mut upload = Disk::default().put_multipart(&root.join("parts")).await.unwrap();
        upload.put_part("x".into()).await.unwrap();
        upload.abort().await.unwrap();
        drop(upload);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
