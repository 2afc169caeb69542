//! Registry hives: enough of the format `regf` to look keys and values up, and of its logs to bring
//! a hive up to date that Windows had open.
//!
//! Microsoft hasn't published the format; this follows Maxim Suhanov's "Windows registry file format
//! specification", whose headings are named. A library for it would bring more than the rest of this
//! crate: `notatin` has a terminal interface and a spreadsheet writer among what it depends on.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Error;
use crate::bytes::{Bytes, utf16};

/// A registry hive.
#[derive(Debug)]
pub struct Hive {
    file: Vec<u8>,
    /// How many more entries of lists are looked at: lists may share what they hold.
    entries_left: AtomicUsize,
}

/// A key of a hive.
#[derive(Clone, Copy)]
pub struct Key<'h> {
    hive: &'h Hive,
    /// Where its node lies in the file.
    at: usize,
}

/// The value of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RegistryValue {
    /// Text (REG_SZ, REG_EXPAND_SZ, REG_LINK).
    Text(String),
    /// Several texts (REG_MULTI_SZ).
    Texts(Vec<String>),
    /// A number (REG_DWORD, REG_QWORD).
    Number(u64),
    /// Anything else.
    Bytes(Vec<u8>),
}

/// The length of the base block, after which the bins are.
const BASE_BLOCK: usize = 4096;
/// The root cell's offset in the base block.
const ROOT: usize = 36;
/// The length of the bins.
const BINS_LEN: usize = 40;
/// The checksum of the base block.
const CHECKSUM: usize = 508;
/// The parts of a hive that logs hold.
const SECTOR: usize = 512;

impl Hive {
    /// The largest hive, in bytes.
    pub const MAX_LEN: usize = 1 << 30;
    /// The most entries of lists of keys and values that are looked at in all. A whole registry has
    /// a tenth of that.
    pub const MAX_ENTRIES: usize = 1 << 22;
    /// The longest value that is read, in bytes.
    pub const MAX_VALUE: usize = 1 << 20;

    /// Reads a hive, and writes what its logs (`.LOG1`, `.LOG2`) say over it where it was not closed.
    /// Logs of another hive, damaged ones and those that the hive doesn't need are left alone.
    ///
    /// # Errors
    /// [`Error::NotA`] for a file of another kind, [`Error::Malformed`] for one that breaks off,
    /// [`Error::Limit`] for one of more than [`MAX_LEN`](Self::MAX_LEN) bytes.
    pub fn read(file: Vec<u8>, logs: &[&[u8]]) -> Result<Self, Error> {
        if file.len() > Self::MAX_LEN {
            let limit = Self::MAX_LEN as u64;
            return Err(Error::Limit { what: "bytes in a registry hive", limit });
        }
        if !file.starts_with(b"regf") {
            return Err(Error::NotA { expected: "a registry hive" });
        }
        if file.len() < BASE_BLOCK {
            return Err(Error::Malformed { structure: "registry hive", offset: file.len() as u64 });
        }
        let mut hive = Hive { file, entries_left: AtomicUsize::new(Self::MAX_ENTRIES) };
        if hive.is_dirty() {
            hive.replay(logs);
        }
        Ok(hive)
    }

    /// Whether the base block says that the hive was not closed, or is damaged.
    fn is_dirty(&self) -> bool {
        let data = Bytes::new(&self.file, "base block");
        let numbers = (data.u32(4).ok(), data.u32(8).ok());
        numbers.0 != numbers.1 || !has_checksum(&self.file)
    }

    /// Writes what the logs hold over the hive ("Dirty state").
    fn replay(&mut self, logs: &[&[u8]]) {
        let mut entries = Vec::new();
        let mut base = None;
        for log in logs {
            let is_log = log.len() >= SECTOR && log.starts_with(b"regf") && has_checksum(log);
            if !is_log {
                continue;
            }
            if log.get(SECTOR..SECTOR + 4) == Some(b"DIRT") {
                // The old format: one state of the hive, whole.
                if self.replay_old(log).is_some() {
                    return;
                }
                continue;
            }
            entries.extend(log_entries(log));
            // The log with the later number has the later base block.
            let number = Bytes::new(log, "log").u32(8).unwrap_or(0);
            if base.is_none_or(|(newest, _)| number > newest) {
                base = Some((number, *log));
            }
        }
        if !has_checksum(&self.file)
            && let Some((_, log)) = base
        {
            self.file[..SECTOR].copy_from_slice(&log[..SECTOR]);
        }
        // What was written to the hive itself last has its second number. Later entries follow one
        // another without a gap; what is after a gap is of another time.
        let written = Bytes::new(&self.file, "base block").u32(8).unwrap_or(0);
        entries.sort_by_key(|entry| entry.number);
        let most = self.room(logs.iter().map(|log| log.len()).sum());
        let mut last: Option<u32> = None;
        for entry in entries.iter().filter(|entry| entry.number >= written) {
            match last {
                Some(last) if entry.number == last => continue,
                Some(last) if entry.number != last.wrapping_add(1) => break,
                _ => {}
            }
            self.apply(entry, most);
            last = Some(entry.number);
        }
    }

    /// How long the hive may become by logs of so many bytes: bins that are added are written to the
    /// logs whole.
    fn room(&self, logs: usize) -> usize {
        self.file.len().saturating_add(logs).min(Self::MAX_LEN)
    }

    fn apply(&mut self, entry: &LogEntry<'_>, most: usize) {
        let end_of = |&(offset, bytes): &(usize, &[u8])| {
            BASE_BLOCK.saturating_add(offset).saturating_add(bytes.len())
        };
        let end = BASE_BLOCK.saturating_add(entry.bins_len).min(most);
        let ends = entry.pages.iter().map(end_of).filter(|&page| page <= end);
        if let Some(len) = ends.max().filter(|&len| len > self.file.len()) {
            self.file.resize(len, 0);
        }
        for &(offset, bytes) in &entry.pages {
            let at = BASE_BLOCK.saturating_add(offset);
            if let Some(place) = self.file.get_mut(at..at.saturating_add(bytes.len())) {
                place.copy_from_slice(bytes);
            }
        }
        self.file[BINS_LEN..BINS_LEN + 4].copy_from_slice(&(entry.bins_len as u32).to_le_bytes());
    }

    /// Writes a log of the old format over the hive: a bit for each sector, and the sectors whose
    /// bits are set.
    fn replay_old(&mut self, log: &[u8]) -> Option<()> {
        let bins_len = Bytes::new(log, "log").size(BINS_LEN).ok()?;
        if bins_len > Self::MAX_LEN {
            return None;
        }
        let bits = log.get(SECTOR + 4..)?.get(..(bins_len / SECTOR).div_ceil(8))?;
        let mut from = (SECTOR + 4 + bits.len()).next_multiple_of(SECTOR);
        let is_set = |&sector: &usize| bits[sector / 8] & 1 << (sector % 8) != 0;
        let sectors = (0..bins_len / SECTOR).filter(is_set);
        let end = sectors.clone().next_back().map_or(0, |last| BASE_BLOCK + (last + 1) * SECTOR);
        if end > self.room(log.len()) {
            return None;
        }
        self.file.resize(self.file.len().max(end), 0);
        for sector in sectors {
            let bytes = log.get(from..from + SECTOR)?;
            let at = BASE_BLOCK + sector * SECTOR;
            self.file.get_mut(at..at + SECTOR)?.copy_from_slice(bytes);
            from += SECTOR;
        }
        self.file[..SECTOR].copy_from_slice(&log[..SECTOR]);
        Some(())
    }

    /// The root key.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the base block doesn't lead to one.
    pub fn root(&self) -> Result<Key<'_>, Error> {
        let root = Bytes::new(&self.file, "base block").size(ROOT)?;
        self.node(root)
    }

    /// A key by its path, with backslashes, without regard to case. Nothing where a part of it is
    /// missing or damaged.
    pub fn key(&self, path: &str) -> Option<Key<'_>> {
        let mut key = self.root().ok()?;
        for name in path.split('\\') {
            key = key.child(name)?;
        }
        Some(key)
    }

    /// The bytes of a cell ("Cell").
    fn cell(&self, offset: usize, structure: &'static str) -> Result<Bytes<'_>, Error> {
        let file = Bytes::new(&self.file, structure);
        let at = BASE_BLOCK.checked_add(offset).ok_or_else(|| file.malformed(0))?;
        // Allocated cells have a negative length.
        let len = (file.u32(at)? as i32).unsigned_abs() as usize;
        let bytes = file.slice(at, len)?;
        Ok(Bytes::new(bytes.get(4..).ok_or_else(|| file.malformed(at))?, structure))
    }

    /// Counts an entry of a list.
    fn spend(&self) -> Result<(), Error> {
        let spent = |left: usize| left.checked_sub(1);
        let relaxed = Ordering::Relaxed;
        let limit = Self::MAX_ENTRIES as u64;
        match self.entries_left.fetch_update(relaxed, relaxed, spent) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::Limit { what: "entries in a registry hive", limit }),
        }
    }

    fn node(&self, offset: usize) -> Result<Key<'_>, Error> {
        let cell = self.cell(offset, "key node")?;
        if cell.slice(0, 2)? != b"nk" {
            return Err(cell.malformed(0));
        }
        Ok(Key { hive: self, at: offset })
    }
}

impl std::fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl<'h> Key<'h> {
    fn cell(&self) -> Result<Bytes<'h>, Error> {
        self.hive.cell(self.at, "key node")
    }

    /// The name; empty where it can't be read.
    pub fn name(&self) -> String {
        let name = || {
            let cell = self.cell()?;
            let len = cell.u16(72)?.into();
            Ok::<_, Error>(name(cell.slice(76, len)?, cell.u16(2)? & 0x20 != 0))
        };
        name().unwrap_or_default()
    }

    /// The keys below this one. Damaged ones are left out.
    pub fn children(&self) -> Vec<Key<'h>> {
        let mut keys = Vec::new();
        let list = || -> Result<usize, Error> {
            let cell = self.cell()?;
            // Without a key below there is no list.
            if cell.u32(20)? == 0 { Ok(usize::MAX) } else { cell.size(28) }
        };
        if let Ok(list) = list()
            && list != usize::MAX
        {
            // A damaged list ends early.
            let _ = self.list(list, 0, &mut keys);
        }
        keys
    }

    /// Reads a list of keys ("Subkeys list"): a plain one, or one of lists.
    fn list(&self, offset: usize, depth: u8, keys: &mut Vec<Key<'h>>) -> Result<(), Error> {
        let cell = self.hive.cell(offset, "subkeys list")?;
        let count = usize::from(cell.u16(2)?);
        let signature: [u8; 2] = cell.array(0)?;
        let element = match &signature {
            b"lf" | b"lh" => 8,
            b"li" => 4,
            // A list of lists has plain ones.
            b"ri" if depth == 0 => 4,
            _ => return Err(cell.malformed(0)),
        };
        for i in 0..count {
            let offset = cell.size(4 + element * i)?;
            self.hive.spend()?;
            match &signature {
                b"ri" => self.list(offset, depth + 1, keys)?,
                _ => keys.extend(self.hive.node(offset)),
            }
        }
        Ok(())
    }

    /// The key of a name below this one, without regard to case.
    pub fn child(&self, name: &str) -> Option<Key<'h>> {
        self.children().into_iter().find(|key| same(&key.name(), name))
    }

    /// The value of a name, without regard to case; the empty name is that of the default value.
    /// Nothing where it isn't there or is damaged.
    pub fn value(&self, name: &str) -> Option<RegistryValue> {
        let read = || -> Result<Option<RegistryValue>, Error> {
            let cell = self.cell()?;
            let count = cell.size(36)?;
            if count == 0 {
                return Ok(None);
            }
            let list = self.hive.cell(cell.size(40)?, "values list")?;
            for i in 0..count {
                self.hive.spend()?;
                let value = self.hive.cell(list.size(4 * i)?, "key value")?;
                if value.slice(0, 2)? != b"vk" {
                    return Err(value.malformed(0));
                }
                let len = usize::from(value.u16(2)?);
                let its_name = self::name(value.slice(20, len)?, value.u16(16)? & 1 != 0);
                if same(&its_name, name) {
                    return self.read_value(value).map(Some);
                }
            }
            Ok(None)
        };
        read().ok().flatten()
    }

    /// The text of a value; of several texts the first.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.value(name)? {
            RegistryValue::Text(text) => Some(text),
            RegistryValue::Texts(texts) => texts.into_iter().next(),
            _ => None,
        }
    }

    fn read_value(&self, value: Bytes<'h>) -> Result<RegistryValue, Error> {
        const INLINE: u32 = 1 << 31;
        /// What fits into one cell of the newer format.
        const SEGMENT: usize = 16344;
        let len = value.u32(4)?;
        let bytes = if len & INLINE != 0 {
            value.slice(8, ((len & !INLINE) as usize).min(4))?.to_vec()
        } else {
            let len = len as usize;
            if len > Hive::MAX_VALUE {
                let limit = Hive::MAX_VALUE as u64;
                return Err(Error::Limit { what: "bytes in a registry value", limit });
            }
            let data = self.hive.cell(value.size(8)?, "value data")?;
            if len > SEGMENT && data.slice(0, 2).is_ok_and(|signature| signature == b"db") {
                let segments = usize::from(data.u16(2)?);
                let list = self.hive.cell(data.size(4)?, "big data list")?;
                let mut bytes = Vec::new();
                for i in 0..segments {
                    let segment = self.hive.cell(list.size(4 * i)?, "big data")?;
                    let part = (len - bytes.len()).min(SEGMENT);
                    bytes.extend_from_slice(segment.slice(0, part)?);
                }
                bytes
            } else {
                data.slice(0, len)?.to_vec()
            }
        };
        Ok(match (value.u32(12)?, &*bytes) {
            (1 | 2 | 6, text) => RegistryValue::Text(utf16(text)),
            (7, texts) => RegistryValue::Texts(strings(texts)),
            (4, &[a, b, c, d]) => RegistryValue::Number(u32::from_le_bytes([a, b, c, d]).into()),
            (11, bytes) if bytes.len() == 8 => {
                RegistryValue::Number(Bytes::new(bytes, "value data").u64(0)?)
            }
            (_, bytes) => RegistryValue::Bytes(bytes.to_vec()),
        })
    }
}

/// A name, in Latin-1 or in UTF-16.
fn name(bytes: &[u8], is_latin: bool) -> String {
    match is_latin {
        true => bytes.iter().map(|&byte| char::from(byte)).collect(),
        false => utf16(bytes),
    }
}

fn same(name: &str, other: &str) -> bool {
    name.len() == other.len() && name.eq_ignore_ascii_case(other)
        || name.to_lowercase() == other.to_lowercase()
}

/// The texts of a REG_MULTI_SZ: each ends with a NUL, and the last one is empty.
fn strings(bytes: &[u8]) -> Vec<String> {
    let units: Vec<u16> =
        bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
    let texts = units.split(|&unit| unit == 0).map(String::from_utf16_lossy);
    texts.take_while(|text| !text.is_empty()).collect()
}

/// Whether the checksum of a base block is right.
fn has_checksum(block: &[u8]) -> bool {
    let Some(block) = block.get(..CHECKSUM + 4) else { return false };
    let mut words =
        block.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    let sum = words.clone().take(CHECKSUM / 4).fold(0, |sum, word| sum ^ word);
    let sum = match sum {
        0 => 1,
        u32::MAX => u32::MAX - 1,
        sum => sum,
    };
    words.next_back() == Some(sum)
}

/// An entry of a log of the newer format ("New format", from Windows 8.1 on).
struct LogEntry<'l> {
    number: u32,
    bins_len: usize,
    /// Offsets among the bins, and what is written there.
    pages: Vec<(usize, &'l [u8])>,
}

/// The entries of a log up to the first that isn't whole.
fn log_entries(log: &[u8]) -> Vec<LogEntry<'_>> {
    let mut entries = Vec::new();
    let mut at = SECTOR;
    while let Some((entry, len)) = log_entry(log, at) {
        entries.push(entry);
        at += len;
    }
    entries
}

fn log_entry(log: &[u8], at: usize) -> Option<(LogEntry<'_>, usize)> {
    const HEADER: usize = 40;
    const HASHES: usize = 24;
    const SEED: u64 = 0x82ef_4d88_7a4e_55c5;
    let data = Bytes::new(log.get(at..)?, "log entry");
    data.signature(0, b"HvLE").ok()?;
    let len = data.size(4).ok()?;
    if len < HEADER || !len.is_multiple_of(SECTOR) {
        return None;
    }
    let data = Bytes::new(data.slice(0, len).ok()?, "log entry");
    // Of what is after the header, and of the header with that hash in it.
    let of_pages = marvin32(SEED, data.from(HEADER).ok()?);
    let of_header = marvin32(SEED, data.slice(0, HEADER - 8).ok()?);
    if (of_pages, of_header) != (data.u64(HASHES).ok()?, data.u64(HASHES + 8).ok()?) {
        return None;
    }
    let count = data.count(20, HEADER, 8).ok()?;
    let mut from = HEADER + 8 * count;
    let mut pages = Vec::new();
    for i in 0..count {
        let place = HEADER + 8 * i;
        let (offset, len) = (data.size(place).ok()?, data.size(place + 4).ok()?);
        pages.push((offset, data.slice(from, len).ok()?));
        from += len;
    }
    let entry = LogEntry { number: data.u32(12).ok()?, bins_len: data.size(16).ok()?, pages };
    Some((entry, len))
}

/// The checksum Marvin32.
fn marvin32(seed: u64, bytes: &[u8]) -> u64 {
    let (mut low, mut high) = (seed as u32, (seed >> 32) as u32);
    let mut mix = |word: u32| {
        low = low.wrapping_add(word);
        high ^= low;
        low = low.rotate_left(20).wrapping_add(high);
        high = high.rotate_left(9) ^ low;
        low = low.rotate_left(27).wrapping_add(high);
        high = high.rotate_left(19);
    };
    let words = bytes.chunks_exact(4);
    let rest = words.remainder();
    words.for_each(|word| mix(u32::from_le_bytes([word[0], word[1], word[2], word[3]])));
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    last[rest.len()] = 0x80;
    mix(u32::from_le_bytes(last));
    mix(0);
    u64::from(high) << 32 | u64::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of .NET's own tests of Marvin.
    #[test]
    fn marvin32_has_the_published_values() {
        const SEED: u64 = 0x004f_b61a_001b_dbcc;
        let cases: [(&[u8], u64); 5] = [
            (&[], 0x30ed_35c1_00cd_3c7d),
            (&[0xaf], 0x48e7_3fc7_7d75_ddc1),
            (&[0xe7, 0x0f], 0xb5f6_e1fc_485d_bff8),
            (&[0x37, 0xf4, 0x95], 0xf0b0_7c78_9b8c_f7e8),
            (&[0x86, 0x42, 0xdc, 0x59], 0x7008_f2e8_7e9c_f556),
        ];
        for (bytes, hash) in cases {
            assert_eq!(marvin32(SEED, bytes), hash, "{bytes:x?}");
        }
    }

    /// A log with one entry, which says how long the bins are and has one page.
    fn log(bins_len: u32, offset: u32, page: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend(offset.to_le_bytes());
        body.extend((page.len() as u32).to_le_bytes());
        body.extend(page);
        let len = (40 + body.len()).next_multiple_of(SECTOR);
        body.resize(len - 40, 0);
        let mut entry = b"HvLE".to_vec();
        let numbers = [len as u32, 0, 41, bins_len, 1];
        numbers.into_iter().for_each(|number| entry.extend(number.to_le_bytes()));
        const SEED: u64 = 0x82ef_4d88_7a4e_55c5;
        entry.extend(marvin32(SEED, &body).to_le_bytes());
        entry.extend(marvin32(SEED, &entry).to_le_bytes());
        let mut file = base_block(43, 43)[..SECTOR].to_vec();
        file.extend(entry);
        file.extend(body);
        file
    }

    fn base_block(first: u32, second: u32) -> Vec<u8> {
        let mut block = b"regf".to_vec();
        block.extend(first.to_le_bytes());
        block.extend(second.to_le_bytes());
        block.resize(BASE_BLOCK, 0);
        block[BINS_LEN..BINS_LEN + 4].copy_from_slice(&4096u32.to_le_bytes());
        let words = block[..CHECKSUM].chunks_exact(4);
        let sum = words.fold(0, |sum, word| sum ^ u32::from_le_bytes(word.try_into().unwrap()));
        block[CHECKSUM..CHECKSUM + 4].copy_from_slice(&sum.to_le_bytes());
        block
    }

    #[test]
    fn a_hive_grows_by_what_its_logs_hold_and_by_no_more() {
        let mut file = base_block(42, 41);
        file.resize(8192, 0);
        let read = |log: &[u8]| Hive::read(file.clone(), &[log]).unwrap().file;
        // After the bins that there are, with the page that the log has.
        let grown = read(&log(8192, 4096, &[7; 512]));
        assert_eq!((grown.len(), grown[8191], grown[8192]), (8704, 0, 7));
        // A gibibyte of bins of which the log has nothing, or a page at their end.
        assert_eq!(read(&log(0x3fff_e000, 0, &[7; 512])).len(), 8192);
        assert_eq!(read(&log(0x3fff_e000, 0x3fff_d000, &[7; 512])).len(), 8192);
        // The same in the old format, of which the bits of all sectors are there.
        let mut old = base_block(43, 43)[..SECTOR].to_vec();
        old.extend(b"DIRT");
        let sectors = 0x3fff_e000 / SECTOR;
        old.resize(SECTOR + 4 + sectors / 8, 0);
        *old.last_mut().unwrap() = 0x80;
        old[BINS_LEN..BINS_LEN + 4].copy_from_slice(&0x3fff_e000u32.to_le_bytes());
        let sum = old[..CHECKSUM].chunks_exact(4);
        let sum = sum.fold(0, |sum, word| sum ^ u32::from_le_bytes(word.try_into().unwrap()));
        old[CHECKSUM..CHECKSUM + 4].copy_from_slice(&sum.to_le_bytes());
        old.resize(old.len() + 4096, 7);
        assert!(read(&old).len() < 1 << 20);
    }

    #[test]
    fn what_is_no_hive_is_an_error() {
        assert!(matches!(Hive::read(b"MZ".to_vec(), &[]), Err(Error::NotA { .. })));
        assert!(matches!(Hive::read(b"regf".to_vec(), &[]), Err(Error::Malformed { .. })));
        let mut empty = b"regf".to_vec();
        empty.resize(8192, 0);
        let hive = Hive::read(empty, &[]).unwrap();
        assert!(hive.root().is_err());
        assert!(hive.key("a\\b").is_none());
    }
}
