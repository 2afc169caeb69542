//! Providers, events, fields and names of real files, as the crate `evtx` reads them.
//!
//! What it lacks is not compared: the members of structures, which it leaves out, and maps. `manifests`
//! has both from their source.

use evtx::wevt_templates::extract_wevt_template_resources;
use evtx::wevt_templates::manifest::{CrimManifest, Provider, TemplateDefinition, TemplateItem};
use quarry_message::Resources;
use quarry_message::manifest::{EventDefinition, Extent, Manifest, Name, TemplateField};

use crate::files;

/// How many of each were compared.
#[derive(Debug, Default)]
struct Compared {
    providers: usize,
    events: usize,
    fields: usize,
    names: usize,
}

#[test]
fn real_files_are_read_as_the_crate_evtx_does() {
    let mut compared = Compared::default();
    let mut files = 0;
    for file in files::ALL {
        let Some(bytes) = file.read() else { continue };
        let ours = Resources::read(&*bytes).unwrap().manifests;
        let resources = extract_wevt_template_resources(&bytes).unwrap();
        let theirs: Vec<CrimManifest<'_>> =
            resources.iter().map(|one| CrimManifest::parse(&one.data).unwrap()).collect();
        let theirs: Vec<&Provider<'_>> =
            theirs.iter().flat_map(|manifest| &manifest.providers).collect();
        assert_eq!(ours.len(), theirs.len(), "{}", file.name);
        for (ours, theirs) in ours.iter().zip(theirs) {
            same_provider(&format!("{} {}", file.name, ours.guid), ours, theirs, &mut compared);
        }
        files += 1;
    }
    println!("{files} files: {compared:?}");
    // Of three files of that crate alone.
    assert!(files == 0 || compared.events > 400 && compared.fields > 3000, "{compared:?}");
}

fn same_provider(what: &str, ours: &Manifest, theirs: &Provider<'_>, compared: &mut Compared) {
    compared.providers += 1;
    let guid = format!("{{{}}}", theirs.guid.to_string().trim_matches(['{', '}']));
    assert_eq!(ours.guid.to_string().to_lowercase(), guid.to_lowercase(), "{what}");
    assert_eq!(ours.message, theirs.wevt.message_identifier, "{what}");
    let elements = &theirs.wevt.elements;

    let events = elements.events.as_ref().map_or(&[][..], |events| &events.events);
    assert_eq!(ours.events.len(), events.len(), "{what}");
    for (event, theirs) in ours.events.iter().zip(events) {
        let what = format!("{what} {} {}", event.id, event.version);
        let EventDefinition { id, version, channel, level, opcode, task, keywords, .. } = *event;
        assert_eq!(
            (id, version, channel, level, opcode, task, keywords),
            (
                theirs.identifier,
                theirs.version,
                theirs.channel,
                theirs.level,
                theirs.opcode,
                theirs.task,
                theirs.keywords
            ),
            "{what}"
        );
        assert_eq!(event.message.unwrap_or(u32::MAX), theirs.message_identifier, "{what}");
        let template = event.template.map(|template| &ours.templates[template as usize]);
        let of_theirs = theirs.template_offset.map(|offset| {
            let table = elements.templates.as_ref().unwrap();
            table.templates.iter().find(|template| template.offset == offset).unwrap()
        });
        assert_eq!(template.is_some(), of_theirs.is_some(), "{what}");
        compared.events += 1;
        let (Some(template), Some(of_theirs)) = (template, of_theirs) else { continue };
        assert_eq!(template.top_level, of_theirs.item_descriptor_count, "{what}");
        let top_level = &template.fields[..template.top_level as usize];
        assert_eq!(fields(top_level), items(of_theirs), "{what}");
        compared.fields += top_level.len();
    }

    let same = |kind: &str, ours: &[Name], theirs: Vec<(u64, Option<u32>, Option<&str>)>| {
        let ours: Vec<_> =
            ours.iter().map(|one| (one.value, one.message, Some(&*one.name))).collect();
        assert_eq!(ours, theirs, "{what}: {kind}");
        ours.len()
    };
    macro_rules! named {
        ($element:ident) => {
            elements
                .$element
                .iter()
                .flat_map(|all| &all.$element)
                .map(|one| (u64::from(one.identifier), one.message_identifier, one.name.as_deref()))
        };
    }
    compared.names += same("levels", &ours.levels, named!(levels).collect())
        + same("tasks", &ours.tasks, named!(tasks).collect())
        + same("opcodes", &ours.opcodes, named!(opcodes).collect())
        + same("keywords", &ours.keywords, named!(keywords).collect());
    // Its number of a channel is a flag, and not the one that events have.
    let channels: Vec<_> =
        ours.channels.iter().map(|one| (Some(&*one.name), one.message)).collect();
    let of_theirs = elements.channels.iter().flat_map(|all| &all.channels);
    let of_theirs: Vec<_> =
        of_theirs.map(|one| (one.name.as_deref(), one.message_identifier)).collect();
    assert_eq!(channels, of_theirs, "{what}");
}

/// Of each field its name, its two types, and its count and length as they are stored.
type Field = (String, u8, u8, u16, u16);

fn fields(fields: &[TemplateField]) -> Vec<Field> {
    let number = |extent: Extent| match extent {
        Extent::Fixed(number) | Extent::Field(number) => number,
        _ => 0,
    };
    let field = |field: &TemplateField| {
        // A structure's first two numbers stand where others have types.
        let (in_type, out_type) = match field.members {
            Some((first, _)) => (first as u8, (first >> 8) as u8),
            None => (field.in_type.0, field.out_type.0),
        };
        (field.name.clone(), in_type, out_type, number(field.count), number(field.length))
    };
    fields.iter().map(field).collect()
}

fn items(template: &TemplateDefinition<'_>) -> Vec<Field> {
    let item = |item: &TemplateItem| {
        let name = item.name.clone().unwrap_or_default();
        (name, item.input_type, item.output_type, item.count, item.length)
    };
    template.items.iter().map(item).collect()
}
