//! Catalogues: what is written is read, little of it at first, and what is damaged is named.

use std::io::{Cursor, Read, Seek, SeekFrom, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use proptest::prelude::*;
use quarry_event::{Element, Event, Guid, Node};
use quarry_message::manifest::{EventDefinition, Name};
use quarry_message::{
    Catalogue, CatalogueBuilder, CatalogueInfo, CatalogueKind, Error, LanguageId, Manifest,
    MessageTable, Provider,
};

const GUID: Guid = Guid::from_bytes([7; 16]);

fn manifest(events: Vec<EventDefinition>) -> Manifest {
    Manifest {
        guid: GUID,
        name: Some("Test-Provider".to_owned()),
        message: None,
        channels: Vec::new(),
        levels: Vec::new(),
        tasks: vec![Name { value: 3, name: "Sweep".to_owned(), message: Some(100) }],
        opcodes: Vec::new(),
        keywords: Vec::new(),
        maps: Vec::new(),
        templates: Vec::new(),
        events,
    }
}

fn definition(id: u16, version: u8, message: u32) -> EventDefinition {
    EventDefinition {
        id,
        version,
        channel: 0,
        level: 4,
        opcode: 0,
        task: 3,
        keywords: 0,
        message: Some(message),
        template: None,
    }
}

/// A provider with a manifest and one without, which has a table of parameter strings.
fn small() -> CatalogueBuilder {
    let mut builder = CatalogueBuilder::new();
    let messages = MessageTable::new([
        (100, "Sweeping\r\n"),
        (0x1000_0001, "%1 was swept by %2.\r\n"),
        (0x1000_0002, "%1 was swept, %%7.\r\n"),
        (0xc000_0005, "It failed: %1\r\n"),
    ]);
    let messages = builder.add_table(messages);
    let parameters = builder.add_table(MessageTable::new([(7, "by hand\r\n")]));
    let system = builder.add_table(MessageTable::new([(5, "Access is denied.\r\n")]));
    builder.add_system(system);
    builder.add_provider(Provider {
        name: "Test-Provider".to_owned(),
        guid: Some(GUID),
        messages: vec![messages],
        parameters: vec![parameters],
        categories: Vec::new(),
        absent: Vec::new(),
        manifest: Some(manifest(vec![
            definition(1, 0, 0x1000_0001),
            definition(1, 2, 0x1000_0002),
        ])),
    });
    builder.add_provider(Provider {
        name: "Classic".to_owned(),
        messages: vec![messages],
        ..Provider::default()
    });
    builder
}

fn write(builder: CatalogueBuilder, info: CatalogueInfo) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    builder.write(info, &mut file).unwrap();
    file.into_inner()
}

fn event(id: u16, version: u8, qualifiers: Option<u16>, values: &[&str]) -> Event {
    let element = |name: &str, text: String| Element {
        children: vec![Node::Text(text)],
        ..Element::new(name)
    };
    let mut number = element("EventID", id.to_string());
    if let Some(qualifiers) = qualifiers {
        number.attributes.push(("Qualifiers".to_owned(), qualifiers.to_string()));
    }
    let mut system = Element::new("System");
    system.children.push(Node::Element(number));
    system.children.push(Node::Element(element("Version", version.to_string())));
    let mut data = Element::new("EventData");
    let values = values.iter().map(|value| Node::Element(element("Data", (*value).to_owned())));
    data.children.extend(values);
    let mut root = Element::new("Event");
    root.children = vec![Node::Element(system), Node::Element(data)];
    Event { root }
}

fn text(catalogue: &Catalogue, provider: &str, event: &Event) -> Option<String> {
    let mut out = Vec::new();
    let provider = catalogue.provider(provider, None)?;
    provider.push_message(event, &mut out).then(|| String::from_utf8(out).unwrap())
}

#[test]
fn what_is_written_is_read() {
    let info = CatalogueInfo {
        build: "10.0.20348".to_owned(),
        language: LanguageId(0x407),
        kind: CatalogueKind::Files,
    };
    let catalogue = Catalogue::read(Cursor::new(write(small(), info.clone()))).unwrap();
    catalogue.verify().unwrap();
    assert_eq!(*catalogue.info(), info);
    let providers: Vec<_> = catalogue.providers().collect();
    assert_eq!(providers, [("Classic", None), ("Test-Provider", Some(GUID))]);
    let provider = catalogue.provider("", Some(GUID)).expect("by its identifier");
    assert_eq!(provider.provider().name, "Test-Provider");
    let mut task = Vec::new();
    assert!(provider.push_task(3, &mut task));
    assert_eq!(task, b"Sweeping");
}

#[test]
fn an_event_is_found_by_its_version_or_by_the_two_parts_of_its_identifier() {
    let catalogue = Catalogue::read(Cursor::new(write(small(), CatalogueInfo::default()))).unwrap();
    let swept = |version| text(&catalogue, "test-provider", &event(1, version, None, &["A", "B"]));
    assert_eq!(swept(0).as_deref(), Some("A was swept by B."));
    assert_eq!(swept(2).as_deref(), Some("A was swept, by hand."));
    assert_eq!(swept(1), None);
    let failed = |qualifiers| text(&catalogue, "CLASSIC", &event(5, 0, qualifiers, &["%%5"]));
    assert_eq!(failed(Some(0xc000)).as_deref(), Some("It failed: Access is denied."));
    assert_eq!(failed(None), None);
}

#[test]
fn a_foreign_catalogue_has_no_versions_and_the_next_lower_serves() {
    let info = CatalogueInfo { kind: CatalogueKind::Foreign, ..CatalogueInfo::default() };
    let catalogue = Catalogue::read(Cursor::new(write(small(), info))).unwrap();
    let swept = |version| text(&catalogue, "Test-Provider", &event(1, version, None, &["A", "B"]));
    assert_eq!(swept(1).as_deref(), Some("A was swept by B."));
    assert_eq!(swept(9).as_deref(), Some("A was swept, by hand."));
}

#[test]
fn the_same_content_is_the_same_bytes_and_a_table_is_there_once() {
    assert_eq!(write(small(), CatalogueInfo::default()), write(small(), CatalogueInfo::default()));
    let mut builder = small();
    let again = MessageTable::new([(5, "Access is denied.\r\n")]);
    assert_eq!(builder.add_table(again), 2);
}

/// Counts what is read.
struct Counted(Cursor<Vec<u8>>, Arc<AtomicU64>);

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn nine_hundred_providers_with_fifty_thousand_messages_open_in_20_ms_and_stay_unread() {
    let mut builder = CatalogueBuilder::new();
    for provider in 0..900u32 {
        // Text that doesn't deflate to nothing.
        let words = |id: u32| (0..20).map(move |n| (id * 31 + n * provider) % 9973);
        let text = |id| words(id).map(|word| format!("w{word} ")).collect::<String>();
        let table = builder.add_table(MessageTable::new((0..56).map(|id| (id, text(id)))));
        builder.add_provider(Provider {
            name: format!("Microsoft-Windows-Provider-Of-Some-Length-{provider}"),
            guid: Some(Guid::from_bytes([provider as u8; 16])),
            messages: vec![table],
            ..Provider::default()
        });
    }
    let file = write(builder, CatalogueInfo::default());
    let size = file.len();
    let read = Arc::new(AtomicU64::new(0));
    let open = || Catalogue::read(Counted(Cursor::new(file.clone()), read.clone())).unwrap();
    open();
    let index = read.load(Ordering::Relaxed);
    assert!(index < 200_000 && (index as usize) < size / 10, "{index} of {size} bytes were read");
    let times = (0..10).map(|_| {
        let file = Counted(Cursor::new(file.clone()), read.clone());
        let start = Instant::now();
        Catalogue::read(file).unwrap();
        start.elapsed()
    });
    let fastest = times.min().unwrap();
    assert!(fastest.as_millis() < 20, "{fastest:?}");
    let catalogue = open();
    let before = read.load(Ordering::Relaxed);
    let found = catalogue.provider("microsoft-windows-provider-of-some-length-77", None).unwrap();
    assert!(found.message(55).is_some_and(|text| text.starts_with('w')));
    let used = read.load(Ordering::Relaxed) - before;
    assert!((used as usize) < size / 300, "{used} of {size} bytes were read for one provider");
}

#[test]
fn a_damaged_part_is_named_and_the_others_still_serve() {
    let mut file = write(small(), CatalogueInfo::default());
    file[40] ^= 1; // in the first section, the messages
    let catalogue = Catalogue::read(Cursor::new(file.clone())).unwrap();
    assert_eq!(
        catalogue.verify().unwrap_err().to_string(),
        "the checksum of message table 0 is wrong"
    );
    assert!(catalogue.provider("Classic", None).is_none());
    let last = file.len() - 1;
    file[last] ^= 1;
    let error = Catalogue::read(Cursor::new(file)).unwrap_err();
    assert_eq!(error.to_string(), "the checksum of the index is wrong");
}

#[test]
fn another_file_or_version_is_told_from_a_damaged_one() {
    let error = Catalogue::read(Cursor::new(b"MZ".repeat(100))).unwrap_err();
    assert!(matches!(error, Error::NotA { .. }), "{error}");
    assert!(matches!(Catalogue::read(Cursor::new(Vec::new())), Err(Error::NotA { .. })));
    let mut file = write(small(), CatalogueInfo::default());
    file[8] = 9;
    let error = Catalogue::read(Cursor::new(file)).unwrap_err();
    assert_eq!(error.to_string(), "version 9 of the catalogue is not known");
}

#[test]
fn what_another_catalogue_has_is_added_to_what_is_here() {
    let older = Catalogue::read(Cursor::new(write(small(), CatalogueInfo::default()))).unwrap();
    let mut builder = CatalogueBuilder::new();
    let table = MessageTable::new([(0x1000_0001, "new\r\n"), (0xc000_0005, "new: %1\r\n")]);
    let messages = builder.add_table(table);
    builder.add_provider(Provider {
        name: "CLASSIC".to_owned(),
        messages: vec![messages],
        ..Provider::default()
    });
    builder.add_catalogue(&older).unwrap();
    let file = write(builder, CatalogueInfo::default());
    let both = Catalogue::read(Cursor::new(file.clone())).unwrap();
    both.verify().unwrap();
    let names: Vec<_> = both.providers().map(|(name, _)| name).collect();
    assert_eq!(names, ["CLASSIC", "Test-Provider"]);
    let classic =
        |id, qualifiers| text(&both, "Classic", &event(id, 0, Some(qualifiers), &["%%5"]));
    assert_eq!(classic(5, 0xc000).as_deref(), Some("new: Access is denied."));
    assert_eq!(classic(100, 0).as_deref(), Some("Sweeping"));
    let swept = text(&both, "Test-Provider", &event(1, 2, None, &["A"]));
    assert_eq!(swept.as_deref(), Some("A was swept, by hand."));
    // What is there already is there once.
    let mut again = CatalogueBuilder::new();
    again.add_catalogue(&both).unwrap();
    again.add_catalogue(&both).unwrap();
    assert_eq!(write(again, CatalogueInfo::default()), file);
}

/// A catalogue of parts that a builder doesn't make: tables, providers with a name, the index.
fn hostile(parts: &[Vec<u8>], index: impl FnOnce(&[Vec<u8>]) -> Vec<u8>) -> Vec<u8> {
    let deflated = |part: &[u8]| {
        let mut to = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        to.write_all(part).unwrap();
        to.finish().unwrap()
    };
    let mut body = Vec::new();
    let mut spans = Vec::new();
    for part in parts {
        let stored = deflated(part);
        let span = (32 + body.len() as u64, stored.len() as u32, part.len() as u32);
        let span = (span, crc32fast::hash(&stored));
        spans.push(postcard::to_stdvec(&span).unwrap());
        body.extend_from_slice(&stored);
    }
    let index = index(&spans);
    let stored = deflated(&index);
    let mut file = b"QuarryMC".to_vec();
    file.extend_from_slice(&2u32.to_le_bytes());
    file.extend_from_slice(&crc32fast::hash(&stored).to_le_bytes());
    file.extend_from_slice(&(32 + body.len() as u64).to_le_bytes());
    file.extend_from_slice(&(stored.len() as u32).to_le_bytes());
    file.extend_from_slice(&(index.len() as u32).to_le_bytes());
    file.extend_from_slice(&body);
    file.extend_from_slice(&stored);
    file
}

/// What begins an index: a build that isn't known, English, provider files.
fn info() -> Vec<u8> {
    postcard::to_stdvec(&("", 0x409u16, 0u8)).unwrap()
}

fn count(count: usize) -> Vec<u8> {
    postcard::to_stdvec(&count).unwrap()
}

#[test]
fn a_small_catalogue_of_very_many_empty_parts_is_refused_before_they_take_room() {
    // Nothing but zeros: an empty name, no identifier, an empty part, each.
    let many = hostile(&[], |_| [info(), count(1 << 20), vec![0; 6 << 20], vec![0, 0]].concat());
    assert!(many.len() < 10_000);
    let error = Catalogue::read(Cursor::new(many)).unwrap_err();
    assert_eq!(error.to_string(), "damaged part of a catalogue at byte 0");
    let longer = hostile(&[], |_| [info(), count(10_000_000), vec![0; 60_000_002]].concat());
    let error = Catalogue::read(Cursor::new(longer)).unwrap_err();
    assert_eq!(error.to_string(), "more than 8388608 bytes in a part of a catalogue");
}

#[test]
fn parts_that_share_what_is_stored_are_bounded_together() {
    let table = [count(400_000), vec![0; 800_000], count(0)].concat();
    let index = |spans: &[Vec<u8>]| {
        [info(), count(0), count(1000), spans[0].repeat(1000), count(0)].concat()
    };
    let error = Catalogue::read(Cursor::new(hostile(&[table], index))).unwrap_err();
    assert_eq!(error.to_string(), "more than 134217728 bytes in the parts of a catalogue");
}

#[test]
fn a_table_of_more_messages_than_any_has_is_refused() {
    let table = [count(1_000_000), vec![0; 2_000_000], count(0)].concat();
    let index =
        |spans: &[Vec<u8>]| [info(), count(0), count(1), spans[0].clone(), count(0)].concat();
    let catalogue = Catalogue::read(Cursor::new(hostile(&[table], index))).unwrap();
    let error = catalogue.verify().unwrap_err();
    assert_eq!(error.to_string(), "damaged part of a catalogue at byte 0");
}

#[test]
fn a_table_that_a_provider_names_again_and_again_is_looked_through_once() {
    let messages = 400_000;
    let table = [count(messages), vec![0; 2 * messages], count(0)].concat();
    let provider = |references: usize| {
        let tables = [count(references), vec![0; references]].concat();
        [vec![1, b'P', 0], tables, vec![0, 0, 0, 0]].concat()
    };
    let index = |spans: &[Vec<u8>]| {
        let entry = [&[1, b'P', 0], &*spans[1]].concat();
        [info(), count(1), entry, count(1), spans[0].clone(), count(0)].concat()
    };
    let open = |references| {
        let file = hostile(&[table.clone(), provider(references)], index);
        Catalogue::read(Cursor::new(file)).unwrap()
    };
    let catalogue = open(200);
    catalogue.verify().unwrap();
    let provider = catalogue.provider("P", None).unwrap();
    // All of them have the number 0.
    assert_eq!(provider.messages_of(0).count(), messages);
    assert!(open(1000).verify().is_err());
}

#[test]
fn parameter_strings_in_a_value_are_bounded_too() {
    let mut builder = CatalogueBuilder::new();
    let messages = builder.add_table(MessageTable::new([(1, "%1"), (2, "%%7")]));
    let long = "x".repeat(60_000);
    let parameters = builder.add_table(MessageTable::new([(7, long.clone())]));
    builder.add_provider(Provider {
        name: "Classic".to_owned(),
        messages: vec![messages],
        parameters: vec![parameters],
        ..Provider::default()
    });
    let file = write(builder, CatalogueInfo::default());
    let catalogue = Catalogue::read(Cursor::new(file)).unwrap();
    let shown = |id, value: &str| text(&catalogue, "Classic", &event(id, 0, None, &[value]));
    assert_eq!(shown(2, ""), Some(long.clone()));
    assert_eq!(shown(1, "%%7%%7"), Some(long.repeat(2)));
    assert_eq!(shown(1, &"%%7".repeat(1000)), None);
}

/// The length of an entry of a message table has 16 bits.
#[test]
fn a_text_that_no_message_table_can_hold_is_left_out() {
    let table = MessageTable::new([(1, "%5".repeat(400_000)), (2, "%5".repeat(400))]);
    assert_eq!(table.iter().map(|(id, _)| id).collect::<Vec<_>>(), [2]);
}

proptest! {
    #[test]
    fn a_changed_byte_never_panics(at in any::<prop::sample::Index>(), bit in 0u32..8) {
        let mut file = write(small(), CatalogueInfo::default());
        let at = at.index(file.len());
        file[at] ^= 1 << bit;
        if let Ok(catalogue) = Catalogue::read(Cursor::new(file)) {
            let _ = catalogue.verify();
            text(&catalogue, "Test-Provider", &event(1, 0, None, &["A"]));
        }
    }
}
