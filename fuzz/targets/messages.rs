//! What message text is read from: provider files, compiled manifests, MTA files, registry hives,
//! catalogues. Called by fuzz_targets/ and, with the seeds, by the test
//! crates/message/tests/fuzz_seeds.rs. Each says how much it could read.
#![allow(dead_code, unreachable_pub)] // Each caller uses a part of it.

use std::io::{Cursor, Write};

use quarry_message::hive::{Hive, Key};
use quarry_message::registry::Registry;
use quarry_message::{Catalogue, LanguageId, Mta, Resources, manifest};

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
    known
}

fn read_catalogue(file: Vec<u8>) -> usize {
    let Ok(catalogue) = Catalogue::read(Cursor::new(file)) else { return 0 };
    let _ = catalogue.verify();
    let names: Vec<String> =
        catalogue.providers().take(20).map(|(name, _)| name.to_owned()).collect();
    let providers = names.iter().filter_map(|name| catalogue.provider(name, None));
    providers.filter(|provider| provider.event(1, 0, None).is_some()).count()
}
