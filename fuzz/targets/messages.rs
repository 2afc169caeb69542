//! What message text is read from: provider files, compiled manifests, MTA files, registry hives,
//! catalogues, what a server renders. Called by fuzz_targets/ and, with the seeds, by the test
//! crates/message/tests/fuzz_seeds.rs. Each says how much it could read.
#![allow(dead_code, unreachable_pub)] // Each caller uses a part of it.

use std::io::{Cursor, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use quarry_event::text::{Escape, Json};
use quarry_event::{
    Element, Event, FieldSource, Insert, InsertOf, MessageBy, MessageForm, Node, Recipe,
};
use quarry_message::hive::{Hive, Key};
use quarry_message::registry::Registry;
use quarry_message::{
    Asked, Catalogue, CatalogueBuilder, CatalogueInfo, LanguageId, Learned, Mta, ProviderTexts,
    Resources, TextOf, manifest,
};

pub fn provider_file(data: &[u8]) -> usize {
    let Ok(resources) = Resources::read(data) else { return 0 };
    let table = resources.table(LanguageId::ENGLISH);
    let messages = table.map_or(0, |table| table.iter().map(|(_, text)| text.len()).sum::<usize>());
    messages + resources.manifests.len()
}

pub fn manifests(data: &[u8]) -> usize {
    let Ok(manifests) = manifest::read(data) else { return 0 };
    for manifest in &manifests {
        for event in &manifest.events {
            if let Some(place) = event.template {
                let template = &manifest.templates[place as usize];
                assert!(template.top_level as usize <= template.fields.len());
                for field in &template.fields {
                    assert!(field.map.is_none_or(|map| (map as usize) < manifest.maps.len()));
                }
            }
        }
    }
    manifests.iter().map(|manifest| manifest.events.len()).sum()
}

pub fn mta(data: &[u8]) -> usize {
    let Ok(mta) = Mta::read(data) else { return 0 };
    for record in 0..300 {
        let _ = mta.message(record);
    }
    let _ = mta.keywords("Test-Provider", u64::MAX);
    let _ = mta.task("Test-Provider", 0);
    mta.len()
}

pub fn hive(data: &[u8]) -> usize {
    // The hive may be its own log.
    let Ok(hive) = Hive::read(data.to_vec(), &[data, &data[data.len() / 2..]]) else { return 0 };
    let mut registry = Registry::default();
    registry.add_system(&hive);
    registry.add_software(&hive);
    let mut left = 500;
    if let Ok(root) = hive.root() {
        visit(&root, 0, &mut left);
    }
    registry.providers().len()
}

fn visit(key: &Key<'_>, depth: usize, left: &mut usize) {
    for child in key.children() {
        if *left == 0 || depth > 8 {
            return;
        }
        *left -= 1;
        let _ = child.value("EventMessageFile");
        visit(&child, depth + 1, left);
    }
}

pub fn catalogue(data: &[u8]) -> usize {
    let known = read_catalogue(data.to_vec());
    // The same bytes as the index and as each section, with checksums that are right.
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), Default::default());
    deflate.write_all(data).expect("memory can be written");
    let stored = deflate.finish().expect("memory can be written");
    let mut file = b"QuarryMC".to_vec();
    file.extend_from_slice(&2u32.to_le_bytes());
    file.extend_from_slice(&crc32fast::hash(&stored).to_le_bytes());
    file.extend_from_slice(&32u64.to_le_bytes());
    file.extend_from_slice(&(stored.len() as u32).to_le_bytes());
    file.extend_from_slice(&(data.len() as u32).to_le_bytes());
    file.extend_from_slice(&stored);
    read_catalogue(file);
    read_catalogue(parts(data));
    known
}

/// A catalogue of one table and one provider that names it, whose parts are the bytes: the first says how
/// many of these are the table's. An index has each of them several times.
fn parts(data: &[u8]) -> Vec<u8> {
    let (len, data) = data.split_first().map_or((0, data), |(len, data)| (usize::from(*len), data));
    let (table, provider) = data.split_at(len.min(data.len()));
    let mut file = vec![0; 32];
    let part = |bytes: &[u8], file: &mut Vec<u8>| {
        let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), Default::default());
        deflate.write_all(bytes).expect("memory can be written");
        let stored = deflate.finish().expect("memory can be written");
        let span = (file.len() as u64, stored.len() as u32, bytes.len() as u32);
        file.extend_from_slice(&stored);
        (span, crc32fast::hash(&stored))
    };
    let spans = [table, provider].map(|bytes| part(bytes, &mut file));
    // Numbers in the index have seven bits a byte, and a bit that says whether there are more.
    let number = |mut number: u64, index: &mut Vec<u8>| {
        while number > 0x7f {
            index.push(number as u8 | 0x80);
            number >>= 7;
        }
        index.push(number as u8);
    };
    let span = |((offset, stored, len), checksum): ((u64, u32, u32), u32), index: &mut Vec<u8>| {
        let parts = [offset, stored.into(), len.into(), checksum.into()];
        parts.into_iter().for_each(|part| number(part, index));
    };
    // No build, language 9, provider files; two providers, P and Q.
    let mut index = vec![0, 9, 0, 2];
    for name in *b"PQ" {
        index.extend([1, name, 0]);
        span(spans[1], &mut index);
    }
    index.push(3);
    (0..3).for_each(|_| span(spans[0], &mut index));
    index.push(0);
    let ((offset, stored, len), checksum) = part(&index, &mut file);
    file[..8].copy_from_slice(b"QuarryMC");
    file[8..12].copy_from_slice(&2u32.to_le_bytes());
    file[12..16].copy_from_slice(&checksum.to_le_bytes());
    file[16..24].copy_from_slice(&offset.to_le_bytes());
    file[24..28].copy_from_slice(&stored.to_le_bytes());
    file[28..32].copy_from_slice(&len.to_le_bytes());
    file
}

fn read_catalogue(file: Vec<u8>) -> usize {
    let Ok(catalogue) = Catalogue::read(Cursor::new(file)) else { return 0 };
    let _ = catalogue.verify();
    let names: Vec<String> =
        catalogue.providers().take(20).map(|(name, _)| name.to_owned()).collect();
    let providers = names.iter().filter_map(|name| catalogue.provider(name, None));
    providers.filter(|provider| provider.event(1, 0, None).is_some()).count()
}

/// What a server answers about one provider, a text after each NUL. The first character says what
/// it was asked for: `e` an event, `c` one without a manifest, `t` the definition of the event before,
/// `p` a parameter string, `a` a message that one was asked for in, `n` a name; `v` is a value that
/// events have.
pub fn learned(data: &[u8]) -> usize {
    let data = String::from_utf8_lossy(data);
    let mut learned = Learned::new("P", None);
    let (mut events, mut values) = (Vec::new(), Vec::new());
    for (n, part) in data.split('\0').take(64).enumerate() {
        let n = n as u16;
        let Some(kind) = part.chars().next() else { continue };
        let text = &part[kind.len_utf8()..];
        match kind {
            'e' | 'c' => {
                let qualifiers = (kind == 'c').then_some(n);
                let of = TextOf::Event { id: n, version: 0, qualifiers };
                learned.add(of, Asked::message(text));
                assert!(learned.knows(of));
                events.push((n, qualifiers, text));
            }
            't' => {
                let id = events.last().map_or(0, |event| event.0);
                learned.add_template(id, 0, text);
            }
            'p' => learned.add(TextOf::Parameter(1833), text.to_owned()),
            'a' => {
                let carrier = learned.carrier(1834);
                if let Some(string) =
                    carrier.and_then(|carrier| carrier.parameter(text).map(str::to_owned))
                {
                    learned.add(TextOf::Parameter(1834), string);
                }
            }
            'n' => learned.add(TextOf::Task(n), text.to_owned()),
            'v' => values.push(text.to_owned()),
            _ => learned.add_absent(TextOf::Task(n)),
        }
    }
    let texts = Arc::new(learned.texts());
    for (id, qualifiers, text) in &events {
        let is_template = learned_templates(&texts, *id);
        filled(&texts, &event(*id, *qualifiers, &values));
        let shown = filled(&texts, &event(*id, *qualifiers, &Asked::values()));
        // What the server had put in for the values comes out again, and all the rest of the text.
        let rest =
            Asked::values().iter().fold((*text).to_owned(), |rest, value| rest.replace(value, ""));
        if !is_template && !rest.contains(['%', '\u{f8f1}', '\u{f8f2}']) {
            assert_eq!(shown, *text);
        }
    }
    // Nothing is lost in a catalogue.
    let mut builder = CatalogueBuilder::new();
    learned.add_to(&mut builder);
    let mut file = Cursor::new(Vec::new());
    builder.write(CatalogueInfo::default(), &mut file).expect("memory can be written");
    let catalogue = Catalogue::read(file).expect("a catalogue that was written");
    let stored = catalogue.provider("P", None).expect("the provider that was written");
    let again = Learned::from_texts(&stored);
    for (id, qualifiers, _) in &events {
        assert!(again.knows(TextOf::Event { id: *id, version: 0, qualifiers: *qualifiers }));
        let event = event(*id, *qualifiers, &values);
        assert_eq!(filled(&stored, &event), filled(&texts, &event));
    }
    events.len()
}

/// Whether the definition of an event is known, which may say that its values stand elsewhere.
fn learned_templates(texts: &ProviderTexts, id: u16) -> bool {
    let manifest = texts.provider().manifest.as_ref();
    let mut events = manifest.iter().flat_map(|manifest| &manifest.events);
    events.any(|event| event.id == id && event.template.is_some())
}

/// The text of an event, which is the same ready for JSON.
fn filled(texts: &Arc<ProviderTexts>, event: &Event) -> String {
    let mut text = Vec::new();
    assert!(texts.push_message(event, &mut text));
    let text = String::from_utf8(text).expect("text of whole characters");
    let recipe = texts.recipe(MessageBy::Server, event, MessageForm::Json);
    let Some(Recipe::Made(_, mut made)) = recipe else { panic!("the text is known") };
    let mut inserts = Vec::new();
    let _ = FieldSource::each_data(event, |_, value| {
        inserts.push(Insert { value, of: InsertOf::Data, written: 0..0 });
        ControlFlow::Continue(())
    });
    let (mut json, mut expected) = (Vec::new(), Vec::new());
    if made.push(None, &inserts, &mut json) {
        Json::push_str(&text, &mut expected);
        assert_eq!(String::from_utf8_lossy(&json), String::from_utf8_lossy(&expected));
    }
    text
}

fn event(id: u16, qualifiers: Option<u16>, values: &[String]) -> Event {
    let element = |name: &str, text: String| {
        let mut element = Element::new(name);
        element.children.push(Node::Text(text));
        element
    };
    let mut number = element("EventID", id.to_string());
    let qualifiers = qualifiers.map(|qualifiers| ("Qualifiers".to_owned(), qualifiers.to_string()));
    number.attributes.extend(qualifiers);
    let mut system = Element::new("System");
    system.children.push(Node::Element(number));
    let mut data = Element::new("EventData");
    let value = |value: &String| Node::Element(element("Data", value.clone()));
    data.children = values.iter().map(value).collect();
    let mut root = Element::new("Event");
    root.children = vec![Node::Element(system), Node::Element(data)];
    Event { root }
}
