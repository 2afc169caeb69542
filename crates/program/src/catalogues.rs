//! The message catalogues in the user's data folder.

use std::fs;
use std::path::{Path, PathBuf};

/// The ending of a catalogue's name.
pub const EXTENSION: &str = "catalogue";

/// The folder that scans find catalogues in.
pub fn data_folder() -> Option<PathBuf> {
    use etcetera::BaseStrategy as _;
    let folders = etcetera::choose_base_strategy().ok()?;
    Some(folders.data_dir().join("quarry").join("catalogues"))
}

/// The catalogues in the data folder, in the order of their names.
pub fn installed() -> Vec<PathBuf> {
    data_folder().map_or_else(Vec::new, |folder| in_folder(&folder))
}

/// The catalogues in a folder, in the order of their names.
pub fn in_folder(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).ok();
    let mut paths: Vec<PathBuf> =
        entries.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == EXTENSION));
    paths.sort();
    paths
}
