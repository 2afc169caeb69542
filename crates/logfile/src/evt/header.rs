//! The header of an `.evt` file, and the record that marks the end of its log.

use crate::header::u32_at;

/// What follows a header's or record's size: `LfLe`.
pub(super) const SIGNATURE: &[u8; 4] = &crate::classic::SIGNATURE;

/// `ELF_LOGFILE_HEADER`. It has no checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    /// Where the oldest record begins.
    pub(super) begin: u64,
    /// Where the newest ends.
    pub(super) end: u64,
    /// The number of the next record to be written.
    pub(super) next: u32,
    /// The number of the oldest record; 0 in an empty log.
    pub(super) oldest: u32,
    /// How large the file may become, in bytes.
    pub(super) max_size: u64,
    pub(super) is_dirty: bool,
    /// Whether sizes and version are what they always are.
    pub(super) is_right: bool,
}

impl Header {
    pub(super) const LEN: usize = 48;
    const DIRTY: u32 = 1;

    /// Reads a header; there is none without its signature.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < Self::LEN || &bytes[4..8] != SIGNATURE {
            return None;
        }
        let len = Self::LEN as u32;
        Some(Header {
            begin: u32_at(bytes, 16).into(),
            end: u32_at(bytes, 20).into(),
            next: u32_at(bytes, 24),
            oldest: u32_at(bytes, 28),
            max_size: u32_at(bytes, 32).into(),
            is_dirty: u32_at(bytes, 36) & Self::DIRTY != 0,
            is_right: [u32_at(bytes, 0), u32_at(bytes, 44)] == [len, len]
                && [u32_at(bytes, 8), u32_at(bytes, 12)] == [1, 1],
        })
    }
}

/// `ELF_EOF_RECORD`: the record after the newest one. Unlike the header it is always up to date.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct EndRecord {
    /// Where it says that the oldest record begins.
    pub(super) begin: u64,
    /// Where it says that it is.
    pub(super) end: u64,
    /// The number of the next record to be written.
    pub(super) next: u32,
    /// The number of the oldest record; 0 in an empty log.
    pub(super) oldest: u32,
}

impl EndRecord {
    pub(super) const LEN: usize = 40;
    /// What follows its size.
    pub(super) const MAGIC: &[u8; 16] =
        b"\x11\x11\x11\x11\x22\x22\x22\x22\x33\x33\x33\x33\x44\x44\x44\x44";

    /// Reads one; its sizes and its magic tell it.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let len = Self::LEN as u32;
        if bytes.len() < Self::LEN
            || &bytes[4..20] != Self::MAGIC
            || [u32_at(bytes, 0), u32_at(bytes, 36)] != [len, len]
        {
            return None;
        }
        Some(EndRecord {
            begin: u32_at(bytes, 20).into(),
            end: u32_at(bytes, 24).into(),
            next: u32_at(bytes, 28),
            oldest: u32_at(bytes, 32),
        })
    }
}
