//! The names of files in archives.

use crate::Packing;

/// What a file's name says that it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Member {
    /// An event log.
    Log,
    /// An event log that is compressed by itself.
    Packed(Packing),
    /// A zip archive.
    Archive,
}

/// What a file's name says that it is; nothing where it is neither a log nor an archive.
pub fn member_kind(name: &str) -> Option<Member> {
    let is_log = |name: &str| ["evtx", "evt"].iter().any(|log| without(name, log).is_some());
    if is_log(name) {
        return Some(Member::Log);
    }
    if without(name, "zip").is_some() {
        return Some(Member::Archive);
    }
    let packings = [("gz", Packing::Gzip), ("zst", Packing::Zstd)];
    packings.into_iter().find_map(|(extension, packing)| {
        without(name, extension).filter(|name| is_log(name)).map(|_| Member::Packed(packing))
    })
}

/// A name without an extension, if it has that one.
fn without<'n>(name: &'n str, extension: &str) -> Option<&'n str> {
    let (stem, found) = name.rsplit_once('.')?;
    found.eq_ignore_ascii_case(extension).then_some(stem)
}

/// An entry's name as it is shown: with slashes, none at its beginning, and without characters that
/// act on a terminal. It is no path, and nothing is opened by it.
pub(crate) fn shown(name: &str) -> String {
    let visible = |c: char| match c {
        '\\' => '/',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    let name: String = name.chars().map(visible).collect();
    name.trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_is_is_told_by_its_name_without_regard_to_case() {
        assert_eq!(member_kind("C/Windows/Security.evtx"), Some(Member::Log));
        assert_eq!(member_kind("SysEvent.Evt"), Some(Member::Log));
        assert_eq!(member_kind("a.EVTX.GZ"), Some(Member::Packed(Packing::Gzip)));
        assert_eq!(member_kind("a.evt.zst"), Some(Member::Packed(Packing::Zstd)));
        assert_eq!(member_kind("inner.zip"), Some(Member::Archive));
        for other in ["a.txt", "evtx", "a.gz", "a.evtx.bak", "a.evtx.zip.txt", ""] {
            assert_eq!(member_kind(other), None, "{other}");
        }
    }

    #[test]
    fn a_name_is_shown_with_slashes_and_never_begins_with_one() {
        assert_eq!(shown("C\\Windows\\a.evtx"), "C/Windows/a.evtx");
        assert_eq!(shown("//etc/a.evtx"), "etc/a.evtx");
        assert_eq!(shown("../a.evtx"), "../a.evtx");
        assert_eq!(shown("a\u{1b}[2J\n.evtx"), "a\u{fffd}[2J\u{fffd}.evtx");
    }
}
