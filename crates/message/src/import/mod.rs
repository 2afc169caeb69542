//! Databases of others', as catalogues: plaso's `winevt-rc.db`, and the ones that were made of the
//! NSA's Windows Event Log Messages (WELM).
//!
//! Both are of builds that need not be the event's, and say little of values, so their catalogues
//! are marked as foreign.

mod sqlite;

use std::collections::{BTreeMap, HashMap};

use quarry_event::Guid;

use self::sqlite::Database;
use crate::catalogue::{CatalogueBuilder, CatalogueInfo, CatalogueKind};
use crate::manifest::{EventDefinition, Manifest};
use crate::provider::Provider;
use crate::{Error, LanguageId, MessageTable};

/// The largest database that is imported, in bytes.
pub const MAX_DATABASE: u64 = 512 << 20;

/// Makes a catalogue of a database, whichever of the two it is.
///
/// # Errors
/// [`Error::NotA`] for something that isn't an SQLite database, [`Error::Malformed`] for a damaged
/// one, [`Error::Database`] for one of another kind.
pub fn import(database: &[u8]) -> Result<(CatalogueBuilder, CatalogueInfo), Error> {
    let database = Database::open(database)?;
    if database.has_table("winevtrc_message_string") {
        return plaso(&database);
    }
    if database.has_table("messages") && database.has_table("providers") {
        return welm(&database);
    }
    let what = "table winevtrc_message_string (plaso) or messages (WELM)".to_owned();
    Err(Error::Database { what })
}

fn foreign(build: String, language: LanguageId) -> CatalogueInfo {
    CatalogueInfo { build, language, kind: CatalogueKind::Foreign }
}

/// An event with a message, and no more.
fn event(id: u16, version: u8, message: u32) -> EventDefinition {
    EventDefinition {
        id,
        version,
        channel: 0,
        level: 0,
        opcode: 0,
        task: 0,
        keywords: 0,
        message: Some(message),
        template: None,
    }
}

/// A manifest with events, and no more.
fn manifest(guid: Guid, name: String, events: Vec<EventDefinition>) -> Manifest {
    Manifest { name: Some(name), events, ..Manifest::new(guid) }
}

/// WELM: a list of providers, and of their events' numbers and messages. White space in the messages
/// is flattened, and nothing tells an event's versions apart: the first message counts.
fn welm(database: &Database<'_>) -> Result<(CatalogueBuilder, CatalogueInfo), Error> {
    let mut names = BTreeMap::new();
    database.each_row("providers", ["id", "name"], |[id, name]| {
        if let (Some(id), Some(name)) = (id.int(), name.text()) {
            names.insert(id, name.to_owned());
        }
    })?;
    let mut messages: HashMap<i64, Vec<(u16, String)>> = HashMap::new();
    let columns = ["provider_id", "event_id", "message"];
    database.each_row("messages", columns, |[provider, event, message]| {
        if let (Some(provider), Some(event), Some(text)) =
            (provider.int(), event.int(), message.text())
        {
            // An identifier with the qualifiers above the number.
            let id = event as u32 as u16;
            messages.entry(provider).or_default().push((id, text.to_owned()));
        }
    })?;
    let mut builder = CatalogueBuilder::new();
    for (number, name) in names {
        let mut texts: BTreeMap<u16, String> = BTreeMap::new();
        for (id, text) in messages.remove(&number).unwrap_or_default() {
            texts.entry(id).or_insert(text);
        }
        let events = texts.keys().map(|&id| event(id, 0, id.into())).collect();
        let table = MessageTable::new(texts.iter().map(|(&id, text)| (id.into(), text)));
        let table = builder.add_table(table);
        builder.add_provider(Provider {
            guid: None,
            messages: vec![table],
            manifest: Some(manifest(Guid::from_bytes([0; 16]), name.clone(), events)),
            name,
            ..Provider::default()
        });
    }
    Ok((builder, foreign(String::new(), LanguageId::ENGLISH)))
}

/// plaso: message files with their strings, providers that name them, and the messages of events by
/// their versions.
fn plaso(database: &Database<'_>) -> Result<(CatalogueBuilder, CatalogueInfo), Error> {
    let mut builder = CatalogueBuilder::new();
    let (files, language) = plaso_tables(database, &mut builder)?;

    let mut events: HashMap<Guid, Vec<EventDefinition>> = HashMap::new();
    let columns =
        ["provider_identifier", "event_identifier", "event_version", "message_identifier"];
    database.each_row(
        "winevtrc_message_string_mapping",
        columns,
        |[guid, id, version, message]| {
            if let (Some(guid), Some(id), Some(version), Some(message)) =
                (guid.text().and_then(Guid::parse), id.int(), version.int(), message.int())
            {
                let event = event(id as u32 as u16, version as u8, message as u32);
                events.entry(guid).or_default().push(event);
            }
        },
    )?;

    let numbers = |paths: Option<&str>| -> Vec<u32> {
        let paths = paths.map(json_strings).unwrap_or_default();
        paths.iter().filter_map(|path| files.get(&path.to_lowercase()).copied()).collect()
    };
    let mut build = String::new();
    let mut providers = Vec::new();
    let columns = [
        "identifier",
        "log_sources",
        "log_types",
        "name",
        "event_message_files",
        "parameter_message_files",
        "category_message_files",
        "windows_version",
    ];
    database.each_row("winevtrc_eventlog_provider", columns, |cells| {
        let [guid, sources, logs, name, messages, parameters, categories, version] =
            cells.map(|cell| cell.text().map(str::to_owned));
        let guid = guid.as_deref().and_then(Guid::parse);
        let mut names = sources.as_deref().map(json_strings).unwrap_or_default();
        if let Some(name) = name.filter(|name| !names.contains(name)) {
            names.push(name);
        }
        if let Some(version) = version {
            build = version;
        }
        let logs = logs.as_deref().map(json_strings).unwrap_or_default();
        for name in names {
            let manifest = guid
                .and_then(|guid| Some(manifest(guid, name.clone(), events.get(&guid)?.clone())));
            let provider = Provider {
                name,
                guid,
                messages: numbers(messages.as_deref()),
                parameters: numbers(parameters.as_deref()),
                categories: numbers(categories.as_deref()),
                manifest,
                absent: Vec::new(),
            };
            providers.push((logs.clone(), provider));
        }
    })?;
    // The strings of a log's own parameter file serve the sources that name none.
    let mut of_log: HashMap<String, Vec<u32>> = HashMap::new();
    for (logs, provider) in &providers {
        for log in logs {
            let all = of_log.entry(log.clone()).or_default();
            all.extend(
                provider
                    .parameters
                    .iter()
                    .filter(|number| !all.contains(number))
                    .copied()
                    .collect::<Vec<_>>(),
            );
        }
    }
    for (logs, mut provider) in providers {
        if let ([log], true) = (&*logs, provider.parameters.is_empty()) {
            provider.parameters = of_log.get(log).cloned().unwrap_or_default();
        }
        builder.add_provider(provider);
    }
    Ok((builder, foreign(build, language)))
}

/// The tables of the message files by their paths in lower case, and their language.
fn plaso_tables(
    database: &Database<'_>,
    builder: &mut CatalogueBuilder,
) -> Result<(HashMap<String, u32>, LanguageId), Error> {
    let mut paths = HashMap::new();
    database.each_row("winevtrc_message_file", ["_identifier", "windows_path"], |[id, path]| {
        if let (Some(id), Some(path)) = (id.int(), path.text()) {
            paths.insert(format!("winevtrc_message_file.{id}"), path.to_lowercase());
        }
    })?;
    let mut language = None;
    let mut tables: BTreeMap<String, (String, Vec<(u32, String)>)> = BTreeMap::new();
    let columns = ["_identifier", "_message_file_identifier", "language_identifier"];
    database.each_row("winevtrc_message_table", columns, |[id, file, lcid]| {
        let lcid = lcid.int().and_then(|lcid| u16::try_from(lcid).ok()).map(LanguageId);
        // One language a catalogue.
        if lcid.is_some() && *language.get_or_insert(lcid) != lcid {
            return;
        }
        if let (Some(id), Some(path)) = (id.int(), file.text().and_then(|file| paths.get(file))) {
            let key = format!("winevtrc_message_table.{id}");
            tables.insert(key, (path.clone(), Vec::new()));
        }
    })?;
    let columns = ["_message_table_identifier", "message_identifier", "text"];
    database.each_row("winevtrc_message_string", columns, |[table, id, text]| {
        if let (Some(table), Some(id), Some(text)) =
            (table.text().and_then(|table| tables.get_mut(table)), id.int(), text.text())
        {
            table.1.push((id as u32, insertion_marks(text)));
        }
    })?;
    let mut files = HashMap::new();
    for (path, messages) in tables.into_values() {
        let number = builder.add_table(MessageTable::new(messages));
        // The system's messages, in the order of their paths.
        let name = path.rsplit('\\').next().unwrap_or_default();
        if ["kernel32.dll", "kernelbase.dll", "ntdll.dll"].contains(&name) {
            builder.add_system(number);
        }
        files.insert(path, number);
    }
    Ok((files, language.flatten().unwrap_or(LanguageId::ENGLISH)))
}

/// Turns Python's places for values back into insertion marks: `{0:s}` is `%1`, `{{` a brace, `\%` what was
/// `%%`, and `\n`, `\r`, `\t` are line ends and tabs. Other backslashes are as they were: `\\{0:s}` is a server.
fn insertion_marks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}', '%', '\\']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let place = rest.strip_prefix('{').and_then(|rest| rest.split_once(":s}"));
        let place = place.and_then(|(number, rest)| Some((number.parse::<u8>().ok()?, rest)));
        if let Some((number, behind)) = place.filter(|(number, _)| *number < 99) {
            out.push_str(&format!("%{}", number + 1));
            // A digit would become part of the mark, which this doesn't change.
            if behind.starts_with(|c: char| c.is_ascii_digit()) {
                out.push_str("!s!");
            }
            rest = behind;
            continue;
        }
        let escapes = [("{{", "{"), ("}}", "}"), ("\\%", "%%"), ("%", "%%")];
        let controls = [("\\r\\n", "\r\n"), ("\\n", "\r\n"), ("\\r", "\r"), ("\\t", "\t")];
        let controls = controls.into_iter().filter(|_| !goes_on_with_a_path(&out, rest));
        let (from, to) = escapes
            .into_iter()
            .chain(controls)
            .find(|(from, _)| rest.starts_with(from))
            .unwrap_or((&rest[..1], &rest[..1]));
        out.push_str(to);
        rest = &rest[from.len()..];
    }
    out.push_str(rest);
    out
}

/// Whether a backslash is part of a path, as in `%windir%\system32\wbem\repository`: there is one before it in
/// the same word, and a small letter after it begins a name.
fn goes_on_with_a_path(before: &str, rest: &str) -> bool {
    let name = rest.get(1..).and_then(|rest| rest.split(|c: char| !c.is_ascii_lowercase()).next());
    let word = before.rsplit(|c: char| c.is_whitespace() || "\"'()".contains(c)).next();
    name.is_some_and(|name| name.len() > 1) && word.is_some_and(|word| word.contains('\\'))
}

/// The strings of a flat JSON list, as plaso keeps lists.
fn json_strings(list: &str) -> Vec<String> {
    let mut strings = Vec::new();
    let mut chars = list.chars();
    while chars.by_ref().any(|c| c == '"') {
        let mut string = String::new();
        loop {
            match chars.next() {
                None | Some('"') => break,
                Some('\\') => match chars.next() {
                    Some('u') => {
                        let digits: String = chars.by_ref().take(4).collect();
                        let code = u32::from_str_radix(&digits, 16).ok();
                        string.push(code.and_then(char::from_u32).unwrap_or('\u{fffd}'));
                    }
                    Some('n') => string.push('\n'),
                    Some('t') => string.push('\t'),
                    Some(other) => string.push(other),
                    None => break,
                },
                Some(other) => string.push(other),
            }
        }
        strings.push(string);
    }
    strings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_for_values_become_insertion_marks_again() {
        let cases = [
            ("{0:s}: {1:s}", "%1: %2"),
            ("{0:s}5", "%1!s!5"),
            ("{{Delayed}} \\%{2:s} 5%", "{Delayed} %%%3 5%%"),
            ("a {x} \\n\\tb\\\\c", "a {x} \r\n\tb\\\\c"),
            ("in %windir%\\wbem\\repository.", "in %%windir%%\\wbem\\repository."),
        ];
        for (python, marks) in cases {
            assert_eq!(insertion_marks(python), marks);
        }
    }

    #[test]
    fn lists_are_read() {
        assert_eq!(
            json_strings(r#"["%SystemRoot%\\a.dll", "b\"c\u00e9"]"#),
            [r"%SystemRoot%\a.dll", "b\"cé"]
        );
        assert!(json_strings("[]").is_empty());
    }
}
