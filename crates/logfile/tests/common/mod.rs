//! Log files to test with, and the records in them.
#![allow(dead_code)] // Each test uses a part of it.

use std::path::{Path, PathBuf};

use quarry_binxml::{BinXmlError, Decoder, Record};
use quarry_logfile::{Damage, DamageKind, EvtxLog, Item, ReadAt, RecordHeader};

pub(crate) mod peer;

/// The folder of samples beside the workspace.
pub(crate) fn corpus_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus")
}

/// The sample logs, in the order of their names. Where there are none, which must not be in CI,
/// says so.
pub(crate) fn corpus() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let folders = std::fs::read_dir(corpus_folder()).into_iter().flatten().flatten();
    for folder in folders.filter(|entry| entry.path().is_dir()) {
        let entries = std::fs::read_dir(folder.path()).into_iter().flatten().flatten();
        files.extend(
            entries
                .map(|entry| entry.path())
                .filter(|path| path.extension() == Some("evtx".as_ref())),
        );
    }
    files.sort();
    if files.is_empty() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI has the sample logs");
        println!("the sample logs are not here; only logs made by the tests are read");
    }
    files
}

/// The name that the tests' lists have for a file.
pub(crate) fn short_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Reads a log, and calls `visit` with each record; gives the damage.
pub(crate) fn read(
    file: impl ReadAt + 'static,
    mut visit: impl FnMut(&RecordHeader, Result<Record<'_>, BinXmlError>),
) -> Vec<Damage> {
    let log = match EvtxLog::open(file) {
        Ok(log) => log,
        Err(_) => return Vec::new(),
    };
    let mut damage = log.damage().to_vec();
    let mut decoder = Decoder::new();
    let mut buffer = Vec::new();
    let mut items = Vec::new();
    for n in 0..log.chunks() {
        let chunk = match log.chunk(n, &mut buffer) {
            Ok(chunk) => chunk,
            Err(d) => {
                damage.push(d);
                continue;
            }
        };
        chunk.items(&mut items);
        let mut decoder = decoder.chunk(chunk.bytes());
        for item in &items {
            match item {
                Item::Damage(d) => damage.push(*d),
                Item::Record(record) => {
                    let decoded = decoder.event(record.binxml.clone());
                    if let Err(error) = &decoded {
                        damage.push(Damage {
                            offset: record.offset,
                            record: Some(record.number),
                            kind: DamageKind::Record(*error),
                        });
                    }
                    visit(record, decoded);
                }
            }
        }
    }
    damage
}
