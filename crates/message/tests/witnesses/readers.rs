//! Message tables, events and fields of real files, as other readers read them: pefile with libwrc
//! and libfwevt.
//!
//! What those lack is not compared: libfwevt has no contents of maps and no numbers of tasks.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use quarry_event::Guid;
use quarry_message::{LanguageId, Manifest, Resources};
use serde::Deserialize;

use crate::files::{self, File};

/// What the other readers say of a file.
#[derive(Deserialize)]
struct Witness {
    tables: BTreeMap<u16, BTreeMap<u32, String>>,
    providers: Vec<WitnessProvider>,
}

/// The name and the two types of a field.
type Field = (String, u8, u8);

#[derive(Deserialize)]
struct WitnessProvider {
    guid: String,
    channels: Vec<(u8, String)>,
    /// Number, version, message, and the names and types of the fields.
    events: Vec<(u16, u8, u32, Option<Vec<Field>>)>,
}

#[test]
fn real_files_are_read_as_other_readers_do() {
    let requirements = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/witnesses/requirements.txt");
    if !quarry_testkit::has_program("python3", "python3-venv") {
        return;
    }
    let python = quarry_testkit::python("message", Path::new(requirements));
    let (mut messages, mut events, mut fields) = (0, 0, 0);
    for file in files::ALL {
        let Some(path) = file.fetch() else { continue };
        let resources = Resources::read(&*std::fs::read(&path).unwrap()).unwrap();
        let output = Command::new(&python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/witnesses/read_file.py"))
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", file.name);
        let witness: Witness = serde_json::from_slice(&output.stdout).unwrap();
        messages += same_tables(file, &resources, &witness);
        let found = same_providers(file, &resources, &witness);
        events += found.0;
        fields += found.1;
    }
    println!("{messages} messages, {events} events, {fields} fields");
}

fn same_tables(file: &File, resources: &Resources, witness: &Witness) -> usize {
    let languages: Vec<u16> = resources.tables.iter().map(|(language, _)| language.0).collect();
    assert_eq!(languages, witness.tables.keys().copied().collect::<Vec<_>>(), "{}", file.name);
    let mut compared = 0;
    for (LanguageId(language), table) in &resources.tables {
        let theirs = &witness.tables[language];
        assert_eq!(table.len(), theirs.len(), "{}, {language}", file.name);
        for (id, text) in table.iter() {
            assert_eq!(
                text,
                theirs[&id].trim_end_matches('\0'),
                "{}, {language}, {id:#x}",
                file.name
            );
            compared += 1;
        }
    }
    compared
}

fn same_providers(file: &File, resources: &Resources, witness: &Witness) -> (usize, usize) {
    assert_eq!(resources.manifests.len(), witness.providers.len(), "{}", file.name);
    let (mut events, mut fields) = (0, 0);
    for (ours, theirs) in resources.manifests.iter().zip(&witness.providers) {
        assert_eq!(Some(ours.guid), Guid::parse(&theirs.guid), "{}", file.name);
        assert_eq!(ours.events.len(), theirs.events.len(), "{} {}", file.name, ours.guid);
        // Its number of a channel is a flag, and not the one that events have.
        let channels: Vec<&str> = ours.channels.iter().map(|channel| &*channel.name).collect();
        let expected: Vec<&str> = theirs.channels.iter().map(|(_, name)| &**name).collect();
        assert_eq!(channels, expected, "{} {}", file.name, ours.guid);
        // The events that have a channel have one of these.
        let known =
            |channel: u8| ours.channels.iter().any(|known| known.value == u64::from(channel));
        let mut channels =
            ours.events.iter().map(|event| event.channel).filter(|&channel| channel != 0);
        assert!(channels.all(known), "{} {}", file.name, ours.guid);
        for (event, theirs) in ours.events.iter().zip(&theirs.events) {
            let (id, version, message, template) = theirs;
            let what = format!("{} {} {id} {version}", file.name, ours.guid);
            assert_eq!((event.id, event.version), (*id, *version), "{what}");
            assert_eq!(event.message.unwrap_or(u32::MAX), *message, "{what}");
            let ours = fields_of(ours, event.template);
            assert_eq!(ours, *template, "{what}");
            events += 1;
            fields += ours.map_or(0, |fields| fields.len());
        }
    }
    (events, fields)
}

/// Names and types of a template's fields. libfwevt shows a structure's first two numbers as types.
fn fields_of(manifest: &Manifest, template: Option<u32>) -> Option<Vec<Field>> {
    let template = &manifest.templates[template? as usize];
    let fields = template.fields.iter().map(|field| {
        let (in_type, out_type) = match field.members {
            Some((first, _)) => (first as u8, (first >> 8) as u8),
            None => (field.in_type.0, field.out_type.0),
        };
        (field.name.clone(), in_type, out_type)
    });
    Some(fields.collect())
}
