//! Archives and compressed files: those of other programs (zip 3.0, zstd 1.5, in `fixtures`), and
//! hostile ones that are made here.

use std::fs::File;
use std::io::{Cursor, Seek, Write};
use std::path::Path;

use flate2::write::GzEncoder;
use proptest::prelude::*;
use quarry_archive::{ArchiveError, Limits, Member, Packing, ZipFile, unpack};
use quarry_logfile::ReadAt;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn fixture(name: &str) -> File {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    File::open(path).unwrap()
}

fn all(file: &impl ReadAt) -> Vec<u8> {
    let mut bytes = vec![0; file.size().unwrap() as usize];
    assert_eq!(file.read_full_at(&mut bytes, 0).unwrap(), bytes.len());
    bytes
}

fn temporary(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

/// A zip archive of files with their names.
fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, bytes) in files {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn unpacked(packing: Packing, bytes: &[u8]) -> Result<Vec<u8>, ArchiveError> {
    unpack(packing, &Cursor::new(bytes.to_vec()), &|| true).map(|spooled| all(&spooled))
}

#[test]
fn the_logs_of_an_archive_are_listed_and_unpacked_and_what_is_encrypted_is_told() {
    let archive = ZipFile::open(fixture("mixed.zip")).unwrap();
    let entries = archive.entries();
    let names: Vec<_> = entries.iter().map(|entry| (&*entry.name, entry.kind)).collect();
    let expected = [
        ("C/Windows/Security.evtx", Member::Log),
        ("C/secret.evtx", Member::Log),
        ("inner.zip", Member::Archive),
    ];
    assert_eq!(names, expected);
    let open = |n: usize| archive.unpack(&entries[n], &|| true);
    assert_eq!(all(&open(0).unwrap()), b"log of Security");
    assert!(matches!(open(1).unwrap_err(), ArchiveError::Encrypted));
    assert!(matches!(open(2).unwrap_err(), ArchiveError::Nested));
    // The others can still be read.
    assert_eq!(all(&open(0).unwrap()), b"log of Security");
}

#[test]
fn each_frame_of_zstandard_is_read_and_what_stands_between_is_skipped() {
    let bytes = all(&fixture("frames.zst"));
    assert_eq!(Packing::of(&bytes), Some(Packing::Zstd));
    assert_eq!(unpacked(Packing::Zstd, &bytes).unwrap(), b"first second");
}

#[test]
fn each_member_of_gzip_is_read() {
    let bytes = [gzip(b"first "), gzip(b"second")].concat();
    assert_eq!(Packing::of(&bytes), Some(Packing::Gzip));
    assert_eq!(unpacked(Packing::Gzip, &bytes).unwrap(), b"first second");
}

#[test]
fn a_compressed_log_in_an_archive_is_unpacked_twice() {
    let bytes = zip(&[("logs/a.evtx.gz", &gzip(b"log"))]);
    let archive = ZipFile::open(temporary(&bytes)).unwrap();
    let [entry] = archive.entries() else { panic!("one log") };
    assert_eq!(all(&archive.unpack(entry, &|| true).unwrap()), b"log");
}

#[test]
fn names_of_an_archive_are_only_shown() {
    let hostile = ["/etc/a.evtx", "../../b.evtx", "C:\\c.evtx", "d\u{1b}[2J.evtx"];
    let bytes = zip(&hostile.map(|name| (name, &b"log"[..])));
    let archive = ZipFile::open(temporary(&bytes)).unwrap();
    let names: Vec<_> = archive.entries().iter().map(|entry| &*entry.name).collect();
    assert_eq!(names, ["etc/a.evtx", "../../b.evtx", "C:/c.evtx", "d\u{fffd}[2J.evtx"]);
    for entry in archive.entries() {
        assert_eq!(all(&archive.unpack(entry, &|| true).unwrap()), b"log");
    }
    assert!(!Path::new("etc").exists() && !Path::new("../../b.evtx").exists());
}

#[test]
fn a_bomb_is_refused_once_it_is_larger_than_any_log_of_its_size() {
    // A thousand to one.
    let zeros = vec![0; 16 << 20];
    let bytes: Vec<u8> = std::iter::repeat_n(gzip(&zeros), 40).flatten().collect();
    let error = unpacked(Packing::Gzip, &bytes).unwrap_err();
    let allowed = Limits::FREE + Limits::RATIO * bytes.len() as u64;
    assert!(matches!(error, ArchiveError::TooLarge { allowed: a } if a == allowed), "{error}");
}

#[test]
fn what_all_entries_of_an_archive_unpack_to_is_bounded_together() {
    let zeros = vec![0; 200 << 20];
    let bytes = zip(&[("a.evtx", &zeros), ("b.evtx", &zeros)]);
    assert!((bytes.len() as u64) * Limits::RATIO + Limits::FREE < 2 * zeros.len() as u64);
    let archive = ZipFile::open(temporary(&bytes)).unwrap();
    let [a, b] = archive.entries() else { panic!("two logs") };
    let open = |entry| archive.unpack(entry, &|| true);
    // One that is unpacked again counts once.
    assert_eq!(open(a).unwrap().size().unwrap(), zeros.len() as u64);
    assert_eq!(open(a).unwrap().size().unwrap(), zeros.len() as u64);
    let error = open(b).unwrap_err();
    assert!(matches!(error, ArchiveError::TooLarge { .. }), "{error}");
}

#[test]
fn a_directory_of_more_than_the_bound_is_refused_before_it_is_held() {
    let name = "x".repeat(60_000);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for n in 0..400 {
        writer.start_file(format!("{n}{name}"), options).unwrap();
    }
    let bytes = writer.finish().unwrap().into_inner();
    let error = ZipFile::open(temporary(&bytes)).unwrap_err();
    assert!(matches!(error, ArchiveError::Entries), "{error}");
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for n in 0..=Limits::ENTRIES {
        writer.start_file(format!("{n}"), options).unwrap();
    }
    let bytes = writer.finish().unwrap().into_inner();
    let error = ZipFile::open(temporary(&bytes)).unwrap_err();
    assert!(matches!(error, ArchiveError::Entries), "{error}");
}

#[test]
fn damage_in_what_is_packed_is_told_and_never_an_event() {
    let mut bytes = gzip(&[7; 10_000]);
    let end = bytes.len() - 6;
    bytes[end] ^= 1;
    let error = unpacked(Packing::Gzip, &bytes).unwrap_err();
    assert!(matches!(error, ArchiveError::Damaged(_)), "{error}");
    let mut bytes = all(&fixture("frames.zst"));
    let end = bytes.len() - 1;
    bytes[end] ^= 1;
    let error = unpacked(Packing::Zstd, &bytes).unwrap_err();
    assert!(error.to_string().contains("checksum"), "{error}");
    let cut = &zip(&[("a.evtx", b"log")])[..40];
    assert!(ZipFile::open(temporary(cut)).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is in a file, reading it ends, without a panic and within the bounds.
    #[test]
    fn any_bytes_are_read_or_refused(
        kind in 0..3usize,
        cut in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = match kind {
            0 => zip(&[("a.evtx", b"some log"), ("b/c.evt.gz", &gzip(b"another"))]),
            1 => gzip(b"some log, some log"),
            _ => all(&fixture("frames.zst")),
        };
        let at = place.index(bytes.len());
        bytes[at] = byte;
        let len = bytes.len();
        bytes.truncate(len - cut.index(len) / 4);
        match kind {
            0 => {
                if let Ok(archive) = ZipFile::open(temporary(&bytes)) {
                    for entry in archive.entries() {
                        let _ = archive.unpack(entry, &|| true);
                    }
                }
            }
            1 => drop(unpacked(Packing::Gzip, &bytes)),
            _ => drop(unpacked(Packing::Zstd, &bytes)),
        }
    }
}
