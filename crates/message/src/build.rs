//! Building a catalogue of provider files: single ones, folders of them, or a mounted system disk.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use object::ReadCache;

use crate::catalogue::{CatalogueBuilder, CatalogueInfo, CatalogueKind};
use crate::hive::Hive;
use crate::provider::Provider;
use crate::registry::{RegisteredProvider, Registry, path_parts};
use crate::{Error, FileVersion, LanguageId, MessageTable, Resources};

/// How a catalogue is built.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BuildOptions {
    /// The language of the catalogue. Where a file has none of it, another one serves.
    pub language: LanguageId,
    /// The name of that language's folders of `.mui` files: `en-US`.
    pub language_name: String,
}

impl Default for BuildOptions {
    fn default() -> Self {
        BuildOptions { language: LanguageId::ENGLISH, language_name: "en-US".to_owned() }
    }
}

/// What came of building a catalogue.
#[derive(Debug)]
pub struct Build {
    /// What goes into the catalogue.
    pub builder: CatalogueBuilder,
    /// The build of Windows that it is of, as the registry or the files say.
    pub info: CatalogueInfo,
    /// How many files were read.
    pub files: usize,
    /// The files that couldn't be read, and why.
    pub failures: Vec<(PathBuf, Error)>,
    /// Files that the registry names and that aren't there.
    pub missing: Vec<String>,
    /// How many files have messages, but none in the language of the catalogue: others serve.
    pub other_language: usize,
    /// Files whose messages are in a `.mui` file that isn't there.
    pub without_mui: Vec<PathBuf>,
}

/// The most files that are looked at in folders.
pub const MAX_FILES: usize = 1 << 20;
/// The deepest folder that is looked into.
pub const MAX_DEPTH: usize = 32;
/// The largest file that is read, in bytes.
pub const MAX_FILE: u64 = 1 << 30;

/// Reads provider files, folders of them, and mounted system disks, and puts together what
/// their providers say.
///
/// A folder with `Windows/System32/config` in it is a system disk (so is a Windows folder by
/// itself): its registry says which file belongs to which provider, and only those are read. In
/// another folder every provider file is read, and hives named `SYSTEM` and `SOFTWARE` are used.
///
/// # Errors
/// [`Error::Io`] where one of the given paths can't be read. Files below them that can't be read are
/// named in the answer.
pub fn build(paths: &[PathBuf], options: &BuildOptions) -> Result<Build, Error> {
    let mut work = Work {
        options,
        files: Files::default(),
        registry: Registry::default(),
        read: HashMap::new(),
        builder: CatalogueBuilder::new(),
        failures: Vec::new(),
        missing: Vec::new(),
        other_language: 0,
        without_mui: Vec::new(),
    };
    for path in paths {
        work.add(path)?;
    }
    work.finish()
}

/// The files that are there.
#[derive(Default)]
struct Files {
    /// The roots of system disks.
    disks: Vec<PathBuf>,
    /// Other files, by their names in lower case.
    by_name: HashMap<String, Vec<PathBuf>>,
    count: usize,
    folders: Folders,
}

/// What is in folders that were looked into, by the names in lower case.
#[derive(Default)]
struct Folders(RefCell<HashMap<PathBuf, HashMap<String, PathBuf>>>);

impl Folders {
    /// A file by the parts of its path in lower case, whatever the case on the disk is.
    fn find(&self, root: &Path, parts: &[&str]) -> Option<PathBuf> {
        let mut path = root.to_owned();
        for part in parts {
            let mut folders = self.0.borrow_mut();
            let folder = folders.entry(path.clone()).or_insert_with(|| {
                let entries = fs::read_dir(&path).into_iter().flatten().flatten().take(MAX_FILES);
                let name =
                    |entry: &fs::DirEntry| entry.file_name().to_string_lossy().to_lowercase();
                entries.map(|entry| (name(&entry), entry.path())).collect()
            });
            path = folder.get(*part)?.clone();
        }
        Some(path)
    }
}

/// What was read of a provider file.
#[derive(Clone, Default)]
struct Contents {
    /// The number of its table in the catalogue.
    table: Option<u32>,
    manifests: Vec<crate::Manifest>,
    version: Option<FileVersion>,
}

struct Work<'o> {
    options: &'o BuildOptions,
    files: Files,
    registry: Registry,
    read: HashMap<PathBuf, Contents>,
    builder: CatalogueBuilder,
    failures: Vec<(PathBuf, Error)>,
    missing: Vec<String>,
    other_language: usize,
    without_mui: Vec<PathBuf>,
}

impl Work<'_> {
    fn add(&mut self, path: &Path) -> Result<(), Error> {
        if !fs::metadata(path)?.is_dir() {
            self.files.add(path.to_owned());
            return Ok(());
        }
        let root = if self.files.folders.find(path, &["windows", "system32", "config"]).is_some() {
            Some(path.to_owned())
        } else if self.files.folders.find(path, &["system32", "config"]).is_some() {
            // The Windows folder by itself.
            path.parent().map(Path::to_owned)
        } else {
            None
        };
        match root {
            Some(root) => {
                for name in ["system", "software"] {
                    let parts = ["windows", "system32", "config", name];
                    if let Some(hive) = self.files.folders.find(&root, &parts) {
                        self.add_hive(&hive);
                    }
                }
                self.files.disks.push(root);
            }
            None => self.walk(path)?,
        }
        Ok(())
    }

    /// Goes through a folder. Links are not followed, so that no folder is seen twice.
    fn walk(&mut self, folder: &Path) -> Result<(), Error> {
        let mut open = vec![(folder.to_owned(), 0)];
        while let Some((folder, depth)) = open.pop() {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(e) if depth == 0 => return Err(e.into()),
                Err(e) => {
                    self.failures.push((folder, e.into()));
                    continue;
                }
            };
            let mut entries: Vec<_> = entries.flatten().collect();
            entries.sort_by_key(std::fs::DirEntry::file_name);
            for entry in entries {
                let Ok(kind) = entry.file_type() else { continue };
                let path = entry.path();
                if kind.is_dir() && depth < MAX_DEPTH {
                    open.push((path, depth + 1));
                } else if kind.is_file() {
                    let name = entry.file_name().to_string_lossy().to_lowercase();
                    if name == "system" || name == "software" {
                        self.add_hive(&path);
                    } else if is_provider_file(&name) && self.files.count < MAX_FILES {
                        self.files.add(path);
                    }
                }
            }
        }
        Ok(())
    }

    fn add_hive(&mut self, path: &Path) {
        let logs: Vec<Vec<u8>> = ["LOG1", "LOG2", "LOG"]
            .iter()
            .filter_map(|extension| {
                let mut name = path.file_name()?.to_owned();
                name.push(".");
                name.push(extension);
                let log = self
                    .files
                    .folders
                    .find(path.parent()?, &[&*name.to_string_lossy().to_lowercase()])?;
                read_file(&log).ok()
            })
            .collect();
        let logs: Vec<&[u8]> = logs.iter().map(Vec::as_slice).collect();
        match read_file(path).and_then(|file| Hive::read(file, &logs)) {
            Ok(hive) => {
                // A hive is one or the other, whatever its name is.
                self.registry.add_system(&hive);
                self.registry.add_software(&hive);
            }
            Err(e) => self.failures.push((path.to_owned(), e)),
        }
    }

    fn finish(mut self) -> Result<Build, Error> {
        let registered: Vec<RegisteredProvider> = self.registry.providers().cloned().collect();
        for provider in &registered {
            self.add_registered(provider);
        }
        self.add_unregistered();
        self.add_system_messages();
        let build = self.registry.build.clone().unwrap_or_else(|| self.build_of_files());
        self.missing.sort();
        self.missing.dedup();
        Ok(Build {
            builder: self.builder,
            info: CatalogueInfo {
                build,
                language: self.options.language,
                kind: CatalogueKind::Files,
            },
            files: self.read.len(),
            failures: self.failures,
            missing: self.missing,
            other_language: self.other_language,
            without_mui: self.without_mui,
        })
    }

    /// Adds a provider that the registry has, if one of its files is there.
    fn add_registered(&mut self, registered: &RegisteredProvider) {
        let mut manifest = None;
        let mut tables = |work: &mut Self, paths: &[String]| {
            let mut tables = Vec::new();
            for path in paths {
                let Some(contents) = work.registered_file(path) else { continue };
                if let Some(guid) = registered.guid {
                    let ours = contents.manifests.into_iter().find(|known| known.guid == guid);
                    manifest = manifest.take().or(ours);
                }
                tables.extend(contents.table.filter(|table| !tables.contains(table)));
            }
            tables
        };
        let mut messages = tables(self, &registered.messages);
        // Messages of a manifest may be in the file that has it.
        for table in tables(self, &registered.resources) {
            if !messages.contains(&table) {
                messages.push(table);
            }
        }
        let parameters = tables(self, &registered.parameters);
        let categories = tables(self, &registered.categories);
        if messages.is_empty() && manifest.is_none() {
            return;
        }
        self.builder.add_provider(Provider {
            name: registered.name.clone(),
            guid: registered.guid,
            messages,
            parameters,
            categories,
            manifest,
            absent: Vec::new(),
        });
    }

    /// Adds the providers of files that were given themselves, and that the registry doesn't have.
    fn add_unregistered(&mut self) {
        let mut known: Vec<_> = self.registry.providers().filter_map(|known| known.guid).collect();
        let used: Vec<PathBuf> = self.read.keys().cloned().collect();
        let mut given: Vec<PathBuf> = self.files.by_name.values().flatten().cloned().collect();
        given.sort();
        for path in given {
            if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("mui")) {
                continue;
            }
            let contents = self.contents(&path);
            for manifest in &contents.manifests {
                if known.contains(&manifest.guid) {
                    continue;
                }
                known.push(manifest.guid);
                self.builder.add_provider(Provider {
                    name: manifest.name.clone().unwrap_or_default(),
                    guid: Some(manifest.guid),
                    messages: contents.table.into_iter().collect(),
                    manifest: Some(manifest.clone()),
                    ..Provider::default()
                });
            }
            // Event sources without a manifest are often named as their file is.
            if contents.manifests.is_empty()
                && !used.contains(&path)
                && let (Some(table), Some(stem)) = (contents.table, path.file_stem())
            {
                self.builder.add_provider(Provider {
                    name: stem.to_string_lossy().into_owned(),
                    messages: vec![table],
                    ..Provider::default()
                });
            }
        }
    }

    /// The messages of the system itself: Win32 errors and NTSTATUS.
    fn add_system_messages(&mut self) {
        for name in ["kernel32.dll", "kernelbase.dll", "ntdll.dll"] {
            if let Some(path) = self.files.registered(name, "C:\\Windows")
                && let Some(table) = self.contents(&path).table
            {
                self.builder.add_system(table);
            }
        }
    }

    fn registered_file(&mut self, path: &str) -> Option<Contents> {
        let root = self.registry.system_root.as_deref().unwrap_or("C:\\Windows");
        match self.files.registered(path, root) {
            Some(path) => Some(self.contents(&path)),
            None => {
                self.missing.push(path.to_owned());
                None
            }
        }
    }

    /// What is in a provider file and in the `.mui` file of its language, read once.
    fn contents(&mut self, path: &Path) -> Contents {
        if let Some(known) = self.read.get(path) {
            return known.clone();
        }
        let own = match read_resources(path) {
            Ok(resources) => resources,
            Err(e) => {
                self.failures.push((path.to_owned(), e));
                Resources::default()
            }
        };
        let language = self.options.language;
        let mut table = MessageTable::default();
        // Whether one of the files has messages, and whether one has them in the language.
        let (mut has_any, mut has_language) = (false, false);
        let mut look = |resources: &Resources| {
            has_any |= resources.table(language).is_some();
            has_language |= resources.has_language(language);
        };
        look(&own);
        if let Some(mui) = self.files.mui(path, &self.options.language_name, &own) {
            match read_resources(&mui) {
                Ok(resources) => {
                    look(&resources);
                    table = resources.table(language).cloned().unwrap_or_default();
                }
                Err(e) => self.failures.push((mui, e)),
            }
        }
        if let Some(own) = own.table(language) {
            table = table.merged(own);
        }
        self.other_language += usize::from(has_any && !has_language);
        if !has_any && own.mui.as_ref().is_some_and(|mui| mui.messages_in_mui) {
            self.without_mui.push(path.to_owned());
        }
        let contents = Contents {
            table: (!table.is_empty()).then(|| self.builder.add_table(table)),
            manifests: own.manifests,
            version: own.version,
        };
        self.read.insert(path.to_owned(), contents.clone());
        contents
    }

    /// The build that most files are of that are Windows' own.
    fn build_of_files(&self) -> String {
        let mut builds: BTreeMap<[u16; 3], usize> = BTreeMap::new();
        for FileVersion([major, minor, build, _]) in self.read.values().filter_map(|c| c.version) {
            if (6..=10).contains(&major) {
                *builds.entry([major, minor, build]).or_default() += 1;
            }
        }
        let most = builds.into_iter().max_by_key(|(_, count)| *count);
        most.map_or(String::new(), |([major, minor, build], _)| format!("{major}.{minor}.{build}"))
    }
}

impl Files {
    fn add(&mut self, path: PathBuf) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        self.by_name.entry(name).or_default().push(path);
        self.count += 1;
    }

    /// The file that a path in the registry means.
    fn registered(&self, path: &str, system_root: &str) -> Option<PathBuf> {
        let parts = path_parts(path, system_root);
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        if let Some(found) = self.disks.iter().find_map(|disk| self.folders.find(disk, &parts)) {
            return Some(found);
        }
        // In a folder of files, the one with the name, and of several the one whose folders are
        // most alike.
        let candidates = self.by_name.get(*parts.last()?)?;
        let alike = |path: &&PathBuf| {
            let theirs = path.iter().rev().map(|part| part.to_string_lossy().to_lowercase());
            theirs.zip(parts.iter().rev()).take_while(|(a, b)| a == *b).count()
        };
        candidates.iter().rev().max_by_key(alike).cloned()
    }

    /// The `.mui` file of a provider file, in the folder of its language or beside it.
    fn mui(&self, path: &Path, language: &str, resources: &Resources) -> Option<PathBuf> {
        if resources.mui.as_ref().is_some_and(|mui| !mui.messages_in_mui) {
            return None;
        }
        let name = format!("{}.mui", path.file_name()?.to_string_lossy().to_lowercase());
        let folder = path.parent()?;
        let language = language.to_lowercase();
        let primary = language.split('-').next().unwrap_or_default();
        let find = |parts: &[&str]| self.folders.find(folder, parts);
        find(&[&language, &name])
            .or_else(|| find(&[primary, &name]))
            .or_else(|| find(&[&name]))
            .or_else(|| self.by_name.get(&name)?.first().cloned())
    }
}

/// Whether a file may have messages, by its name in lower case.
fn is_provider_file(name: &str) -> bool {
    let extension = name.rsplit('.').next().unwrap_or_default();
    ["dll", "exe", "sys", "mui", "ocx", "cpl", "drv", "efi", "pyd"].contains(&extension)
}

/// Reads the headers and the resources of a file.
fn read_resources(path: &Path) -> Result<Resources, Error> {
    let file = open(path)?;
    let cache = ReadCache::new(file);
    Resources::read(&cache)
}

fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens a regular file that isn't too large.
fn open(path: &Path) -> Result<File, Error> {
    // Opening a named pipe would wait for somebody who writes to it.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(std::io::Error::from(std::io::ErrorKind::InvalidInput).into());
    }
    if metadata.len() > MAX_FILE {
        return Err(Error::Limit { what: "bytes in a file", limit: MAX_FILE });
    }
    Ok(File::open(path)?)
}
