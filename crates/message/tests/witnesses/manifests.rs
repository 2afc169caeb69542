//! Compiled manifests against the manifests they were compiled of.

use std::collections::HashMap;

use quarry_event::Guid;
use quarry_message::manifest::{Extent, Name, TemplateField};
use quarry_message::{LanguageId, Manifest, MessageTable, Resources};

use crate::files;
use crate::xml::{self, Element};

#[test]
fn everything_of_the_manifest_is_read_in_version_3_1() {
    compare(&files::CLR_2, "messages/ClrEtwAll-2.0.0.man.xz");
}

#[test]
fn everything_of_the_manifest_is_read_in_version_5_1() {
    compare(&files::CLR_3, "messages/ClrEtwAll-3.1.23.man.xz");
}

fn compare(file: &files::File, manifest: &str) {
    let (Some(bytes), Some(manifest)) = (file.read(), quarry_testkit::corpus_file(manifest)) else {
        return;
    };
    let source = String::from_utf8(quarry_testkit::unpack_xz(&manifest)).unwrap();
    let source = xml::parse(source.trim_start_matches('\u{feff}'));
    let read = Resources::read(&*bytes).unwrap();
    let table = read.table(LanguageId::ENGLISH).expect("a message table");
    let strings: HashMap<&str, &str> = source
        .all("string")
        .into_iter()
        .map(|string| (string.get("id"), string.get("value")))
        .collect();
    let providers = source.all("provider");
    assert_eq!(providers.len(), read.manifests.len());
    let mut events = 0;
    for provider in providers {
        let guid = Guid::parse(provider.get("guid")).unwrap();
        let compiled = read.manifests.iter().find(|manifest| manifest.guid == guid).unwrap();
        if let Some(name) = &compiled.name {
            assert_eq!(name, provider.get("name"));
        }
        let witness = Witness { provider, strings: &strings, compiled, table };
        witness.names();
        witness.maps();
        events += witness.events();
    }
    assert!(events > 390, "{events} events");
}

/// A provider in its manifest, beside what was compiled of it.
struct Witness<'a> {
    provider: &'a Element,
    strings: &'a HashMap<&'a str, &'a str>,
    compiled: &'a Manifest,
    table: &'a MessageTable,
}

impl Witness<'_> {
    /// The text that `$(string.ID)` stands for.
    fn text(&self, element: &Element) -> Option<&str> {
        let id = element.attribute("message")?.strip_prefix("$(string.")?.strip_suffix(')')?;
        Some(self.strings.get(id).unwrap_or_else(|| panic!("no string {id}")))
    }

    /// That a message has the text that an element says; the compiler ends it with a line end.
    fn same_message(&self, element: &Element, message: Option<u32>) {
        let compiled = message.and_then(|id| self.table.get(id));
        let compiled = compiled.map(|text| text.strip_suffix("\r\n").unwrap_or(text));
        assert_eq!(compiled, self.text(element), "{element:?}");
    }

    fn named<'n>(&self, names: &'n [Name], name: &str) -> &'n Name {
        names.iter().find(|known| known.name == name).unwrap_or_else(|| panic!("no {name}"))
    }

    fn names(&self) {
        let mut keywords = 0;
        for keyword in self.provider.inside("keywords") {
            let compiled = self.named(&self.compiled.keywords, keyword.get("name"));
            assert_eq!(compiled.value, number(keyword.get("mask")), "{compiled:?}");
            self.same_message(keyword, compiled.message);
            keywords += 1;
        }
        assert_eq!(self.compiled.keywords.len(), keywords);
        let mut opcodes = 0;
        let mut opcode = |element: &Element, task: u64| {
            let value = number(element.get("value")) << 16 | task;
            let known = self.compiled.opcodes.iter().find(|known| known.value == value);
            let known = known.unwrap_or_else(|| panic!("no opcode {value:#x}"));
            assert_eq!(known.name, element.get("name"));
            self.same_message(element, known.message);
            opcodes += 1;
        };
        let mut tasks = 0;
        for task in self.provider.inside("tasks") {
            let value = number(task.get("value"));
            let compiled = self.named(&self.compiled.tasks, task.get("name"));
            assert_eq!(compiled.value, value);
            self.same_message(task, compiled.message);
            task.inside("opcodes").iter().for_each(|element| opcode(element, value));
            tasks += 1;
        }
        assert_eq!(self.compiled.tasks.len(), tasks);
        self.provider.inside("opcodes").iter().for_each(|element| opcode(element, 0));
        // The others are the standard's.
        let standard = self.compiled.opcodes.iter().filter(|known| known.name.starts_with("win:"));
        assert_eq!(self.compiled.opcodes.len(), opcodes + standard.count());
    }

    fn maps(&self) {
        let maps = self.provider.inside("maps");
        assert_eq!(self.compiled.maps.len(), maps.len());
        for map in maps {
            let compiled = self.compiled.maps.iter().find(|known| known.name == map.get("name"));
            let compiled = compiled.unwrap_or_else(|| panic!("no map {map:?}"));
            assert_eq!(compiled.bits, map.name == "bitMap");
            assert_eq!(compiled.entries.len(), map.children.len(), "{map:?}");
            for entry in &map.children {
                let value = number(entry.get("value")) as u32;
                let known = compiled.entries.iter().find(|known| known.0 == value);
                self.same_message(entry, known.unwrap_or_else(|| panic!("{entry:?}")).1);
            }
        }
    }

    fn events(&self) -> usize {
        let templates: HashMap<&str, &Element> = self
            .provider
            .inside("templates")
            .iter()
            .map(|template| (template.get("tid"), template))
            .collect();
        let events = self.provider.inside("events");
        assert_eq!(self.compiled.events.len(), events.len());
        for event in events {
            let id = number(event.get("value")) as u16;
            let version = event.attribute("version").map_or(0, number) as u8;
            let compiled = self
                .compiled
                .events
                .iter()
                .find(|known| (known.id, known.version) == (id, version))
                .unwrap_or_else(|| panic!("no event {id}, {version}"));
            let level = match event.attribute("level") {
                None | Some("win:LogAlways") => 0,
                Some("win:Informational") => 4,
                Some("win:Verbose") => 5,
                Some(other) => self.named(&self.compiled.levels, other).value,
            };
            assert_eq!(u64::from(compiled.level), level, "{event:?}");
            let task = event.attribute("task");
            let task = task.map_or(0, |task| self.named(&self.compiled.tasks, task).value);
            assert_eq!(u64::from(compiled.task), task, "{event:?}");
            let opcode = event.attribute("opcode").map_or(0, |name| {
                let of_task = |known: &&Name| {
                    known.name == name && [0, task].contains(&(known.value & 0xffff))
                };
                let known = self.compiled.opcodes.iter().find(of_task);
                known.unwrap_or_else(|| panic!("no opcode {name}")).value >> 16
            });
            assert_eq!(u64::from(compiled.opcode), opcode, "{event:?}");
            let keywords = event.attribute("keywords").unwrap_or_default().split_whitespace();
            let keywords = keywords.map(|name| self.named(&self.compiled.keywords, name).value);
            assert_eq!(compiled.keywords, keywords.fold(0, |all, one| all | one), "{event:?}");
            self.same_message(event, compiled.message);
            let template = compiled.template.map(|at| &self.compiled.templates[at as usize]);
            match (event.attribute("template").map(|tid| templates[tid]), template) {
                (None, None) => {}
                (Some(source), Some(compiled)) => {
                    let user_data = source.children.iter().any(|child| child.name == "UserData");
                    assert_eq!(compiled.user_data, user_data, "{event:?}");
                    let top = compiled.top_level as usize;
                    let fields: Vec<&Element> =
                        source.children.iter().filter(|child| child.name != "UserData").collect();
                    assert_eq!(top, fields.len(), "{event:?}");
                    for (source, field) in fields.into_iter().zip(&compiled.fields[..top]) {
                        self.field(source, field, &compiled.fields);
                    }
                }
                both => panic!("{event:?}: {both:?}"),
            }
        }
        events.len()
    }

    fn field(&self, source: &Element, field: &TemplateField, all: &[TemplateField]) {
        assert_eq!(field.name, source.get("name"));
        let same_extent = |name: &str, extent: Extent| match (source.attribute(name), extent) {
            (None, Extent::Unset) => true,
            (Some(text), Extent::Fixed(number)) => text.parse() == Ok(number),
            (Some(text), Extent::Field(at)) => all[usize::from(at)].name == text,
            _ => false,
        };
        assert!(same_extent("count", field.count), "{source:?}: {field:?}");
        assert!(same_extent("length", field.length), "{source:?}: {field:?}");
        if source.name == "struct" {
            let (first, count) = field.members.expect("a structure");
            let members = &all[usize::from(first)..][..usize::from(count)];
            assert_eq!(members.len(), source.children.len());
            for (source, member) in source.children.iter().zip(members) {
                self.field(source, member, all);
            }
            return;
        }
        assert_eq!(field.members, None);
        assert_eq!(field.in_type.as_str(), Some(source.get("inType")), "{source:?}");
        if let Some(out_type) = source.attribute("outType") {
            assert_eq!(field.out_type.as_str(), Some(out_type), "{source:?}");
        }
        let map = field.map.map(|at| &*self.compiled.maps[at as usize].name);
        assert_eq!(map, source.attribute("map"), "{source:?}");
    }
}

fn number(text: &str) -> u64 {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    }
    .unwrap_or_else(|_| panic!("{text} is no number"))
}
