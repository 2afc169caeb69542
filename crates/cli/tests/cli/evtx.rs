//! Makes small `.evtx` files for tests, with BinXML that needs no templates. The layout is that of
//! the specifications that the crates `logfile` and `binxml` name.

use std::collections::HashMap;

/// An event to be.
pub(crate) struct Event {
    pub(crate) record: u64,
    /// The number that it has itself: another where a log was exported.
    pub(crate) own: u64,
    pub(crate) time: String,
    pub(crate) provider: &'static str,
    pub(crate) id: u32,
    pub(crate) level: u8,
    pub(crate) channel: &'static str,
    pub(crate) computer: &'static str,
    pub(crate) data: Vec<(&'static str, String)>,
}

/// An event with a number, a second of the year 2026 and a value.
pub(crate) fn event(record: u64, seconds: u64, id: u32, user: &str) -> Event {
    Event {
        record,
        own: record,
        time: format!(
            "2026-08-22T{:02}:{:02}:{:02}.5000000Z",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        ),
        provider: "Microsoft-Windows-Security-Auditing",
        id,
        level: if id == 4625 { 2 } else { 4 },
        channel: "Security",
        computer: "dc01.corp.example",
        data: vec![("TargetUserName", user.to_owned()), ("", "unnamed".to_owned())],
    }
}

/// A file of chunks of events.
pub(crate) fn file(chunks: &[Vec<Event>]) -> Vec<u8> {
    let mut file = vec![0; 4096];
    file[..8].copy_from_slice(b"ElfFile\0");
    put(&mut file, 16, &(chunks.len().saturating_sub(1) as u64).to_le_bytes());
    put(&mut file, 32, &128u32.to_le_bytes());
    put(&mut file, 36, &[1, 0, 3, 0]);
    put(&mut file, 40, &4096u16.to_le_bytes());
    put(&mut file, 42, &(chunks.len() as u16).to_le_bytes());
    let checksum = crc32fast::hash(&file[..120]);
    put(&mut file, 124, &checksum.to_le_bytes());
    chunks.iter().for_each(|events| file.extend(chunk(events)));
    file
}

fn chunk(events: &[Event]) -> Vec<u8> {
    let mut chunk = vec![0; 512];
    let mut names = HashMap::new();
    for event in events {
        let start = chunk.len();
        chunk.extend_from_slice(b"**\0\0\0\0\0\0");
        chunk.extend_from_slice(&event.record.to_le_bytes());
        let time = quarry_event::EventTime::parse(&event.time).unwrap_or_default();
        chunk.extend_from_slice(&time.as_filetime().to_le_bytes());
        chunk.extend_from_slice(&[0x0f, 1, 1, 0]);
        Writer { chunk: &mut chunk, names: &mut names }.event(event);
        chunk.push(0);
        let size = (chunk.len() + 4 - start) as u32;
        chunk.extend_from_slice(&size.to_le_bytes());
        put(&mut chunk, start + 4, &size.to_le_bytes());
    }
    let end = chunk.len();
    assert!(end <= 65_536, "too many events for a chunk");
    chunk[..8].copy_from_slice(b"ElfChnk\0");
    let (first, last) = match events {
        [first, .., last] => (first.record, last.record),
        [one] => (one.record, one.record),
        [] => (1, 0),
    };
    for (at, number) in [(8, first), (16, last), (24, first), (32, last)] {
        put(&mut chunk, at, &number.to_le_bytes());
    }
    put(&mut chunk, 40, &128u32.to_le_bytes());
    put(&mut chunk, 48, &(end as u32).to_le_bytes());
    let records = crc32fast::hash(&chunk[512..]);
    put(&mut chunk, 52, &records.to_le_bytes());
    let mut header = crc32fast::Hasher::new();
    header.update(&chunk[..120]);
    header.update(&chunk[128..512]);
    put(&mut chunk, 124, &header.finalize().to_le_bytes());
    chunk.resize(65_536, 0);
    chunk
}

/// The bytes of an event by itself, as a server sends it: names stand where they are used.
pub(crate) fn wire(event: &Event) -> Vec<u8> {
    let mut bytes = vec![0x0f, 1, 1, 0];
    WireWriter { bytes: &mut bytes }.event(event);
    bytes.push(0);
    bytes
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Writes tokens (MS-EVEN6 2.2.12).
trait Tokens {
    fn out(&mut self) -> &mut Vec<u8>;
    fn name(&mut self, name: &str);

    fn event(&mut self, event: &Event) {
        let namespace = "http://schemas.microsoft.com/win/2004/08/events/event";
        self.open("Event", &[("xmlns", namespace)]);
        self.open("System", &[]);
        self.leaf("Provider", &[("Name", event.provider)], "");
        self.leaf("EventID", &[], &event.id.to_string());
        self.leaf("Level", &[], &event.level.to_string());
        self.leaf("Keywords", &[], "0x8000000000000000");
        self.leaf("TimeCreated", &[("SystemTime", &event.time)], "");
        self.leaf("EventRecordID", &[], &event.own.to_string());
        self.leaf("Channel", &[], event.channel);
        self.leaf("Computer", &[], event.computer);
        self.close();
        self.open("EventData", &[]);
        for (name, value) in &event.data {
            match *name {
                "" => self.leaf("Data", &[], value),
                name => self.leaf("Data", &[("Name", name)], value),
            }
        }
        self.close();
        self.close();
    }

    fn open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.out().push(if attributes.is_empty() { 0x01 } else { 0x41 });
        self.out().extend_from_slice(&[0; 4]);
        self.name(name);
        if !attributes.is_empty() {
            self.out().extend_from_slice(&[0; 4]);
        }
        for (i, (name, value)) in attributes.iter().enumerate() {
            self.out().push(if i + 1 < attributes.len() { 0x46 } else { 0x06 });
            self.name(name);
            self.text(value);
        }
        self.out().push(0x02);
    }

    fn close(&mut self) {
        self.out().push(0x04);
    }

    fn leaf(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) {
        self.open(name, attributes);
        if !text.is_empty() {
            self.text(text);
        }
        self.close();
    }

    fn text(&mut self, text: &str) {
        let units: Vec<u16> = text.encode_utf16().collect();
        self.out().extend_from_slice(&[0x05, 0x01]);
        self.out().extend_from_slice(&(units.len() as u16).to_le_bytes());
        self.out().extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
    }

    /// Hash (which readers don't need), count, UTF-16 and a NUL.
    fn characters(&mut self, name: &str) {
        let units: Vec<u16> = name.encode_utf16().collect();
        // The low half of the hash of a name (MS-EVEN6 2.2.12).
        let hash = units
            .iter()
            .fold(0u32, |hash, unit| hash.wrapping_mul(65_599).wrapping_add(u32::from(*unit)));
        self.out().extend_from_slice(&(hash as u16).to_le_bytes());
        self.out().extend_from_slice(&(units.len() as u16).to_le_bytes());
        self.out().extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        self.out().extend_from_slice(&[0; 2]);
    }
}

struct Writer<'c> {
    chunk: &'c mut Vec<u8>,
    names: &'c mut HashMap<String, u32>,
}

impl Tokens for Writer<'_> {
    fn out(&mut self) -> &mut Vec<u8> {
        self.chunk
    }

    fn name(&mut self, name: &str) {
        let here = self.chunk.len() as u32 + 4;
        let offset = *self.names.entry(name.to_owned()).or_insert(here);
        self.chunk.extend_from_slice(&offset.to_le_bytes());
        if offset == here {
            self.chunk.extend_from_slice(&[0; 4]);
            self.characters(name);
        }
    }
}

struct WireWriter<'b> {
    bytes: &'b mut Vec<u8>,
}

impl Tokens for WireWriter<'_> {
    fn out(&mut self) -> &mut Vec<u8> {
        self.bytes
    }

    fn name(&mut self, name: &str) {
        self.characters(name);
    }
}
