//! Which files belong to which provider, as the registry has it.
//!
//! Providers with a manifest are in `SOFTWARE`, below `WINEVT\Publishers`, by their identifiers.
//! Sources of events without one are in `SYSTEM`, below `Services\EventLog`, by log and name; a
//! provider may be in both.

use std::collections::BTreeMap;

use quarry_event::Guid;

use crate::hive::{Hive, Key, RegistryValue};

/// A provider as the registry has it. Paths are as they stand there, with variables in them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RegisteredProvider {
    /// The name.
    pub name: String,
    /// The identifier.
    pub guid: Option<Guid>,
    /// The files with its messages.
    pub messages: Vec<String>,
    /// The files with its parameter strings.
    pub parameters: Vec<String>,
    /// The files with the names of its categories.
    pub categories: Vec<String>,
    /// The files with its manifest.
    pub resources: Vec<String>,
}

/// What the hives of a system say of its providers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Registry {
    /// The providers by their names in lower case.
    providers: BTreeMap<String, RegisteredProvider>,
    /// The build of the system: `10.0.26100`.
    pub build: Option<String>,
    /// The folder that `%SystemRoot%` stands for: `C:\Windows`.
    pub system_root: Option<String>,
}

impl Registry {
    /// The most providers.
    pub const MAX_PROVIDERS: usize = 1 << 15;

    /// Adds what a hive `SYSTEM` says.
    pub fn add_system(&mut self, hive: &Hive) {
        let Some(services) = control_set(hive) else { return };
        let Some(logs) = services.child("Services").and_then(|key| key.child("EventLog")) else {
            return;
        };
        for log in logs.children() {
            // The log's own values, and those of the source that is its primary module, serve the
            // sources that have none (Eventlog key, "PrimaryModule").
            let primary = log.text("PrimaryModule").and_then(|name| log.child(&name));
            let of_log = |name| match files(&log, name) {
                none if none.is_empty() => {
                    primary.map(|primary| files(&primary, name)).unwrap_or_default()
                }
                files => files,
            };
            let parameters = of_log("ParameterMessageFile");
            let categories = of_log("CategoryMessageFile");
            for source in log.children() {
                let or = |own: Vec<String>, logs: &Vec<String>| match own.is_empty() {
                    true => logs.clone(),
                    false => own,
                };
                self.add(RegisteredProvider {
                    name: source.name(),
                    guid: source.text("providerGuid").and_then(|guid| Guid::parse(guid.trim())),
                    messages: files(&source, "EventMessageFile"),
                    parameters: or(files(&source, "ParameterMessageFile"), &parameters),
                    categories: or(files(&source, "CategoryMessageFile"), &categories),
                    resources: Vec::new(),
                });
            }
        }
    }

    /// Adds what a hive `SOFTWARE` says.
    pub fn add_software(&mut self, hive: &Hive) {
        if let Some(version) = hive.key("Microsoft\\Windows NT\\CurrentVersion") {
            self.build = build(&version).or(self.build.take());
            self.system_root = version.text("SystemRoot").or(self.system_root.take());
        }
        let publishers = hive.key("Microsoft\\Windows\\CurrentVersion\\WINEVT\\Publishers");
        for publisher in publishers.iter().flat_map(Key::children) {
            let Some(guid) = Guid::parse(&publisher.name()) else { continue };
            self.add(RegisteredProvider {
                name: publisher.text("").unwrap_or_default(),
                guid: Some(guid),
                messages: files(&publisher, "MessageFileName"),
                parameters: files(&publisher, "ParameterFileName"),
                categories: Vec::new(),
                resources: files(&publisher, "ResourceFileName"),
            });
        }
    }

    /// All providers, in the order of their names.
    pub fn providers(&self) -> impl ExactSizeIterator<Item = &RegisteredProvider> {
        self.providers.values()
    }

    /// Adds a provider, or to the one that is known what that lacks.
    fn add(&mut self, provider: RegisteredProvider) {
        let key = match (&*provider.name, provider.guid) {
            ("", None) => return,
            ("", Some(guid)) => guid.to_string(),
            (name, _) => name.to_lowercase(),
        };
        if self.providers.len() >= Self::MAX_PROVIDERS && !self.providers.contains_key(&key) {
            return;
        }
        let known = self.providers.entry(key).or_default();
        if known.name.is_empty() {
            known.name = provider.name;
        }
        known.guid = known.guid.or(provider.guid);
        for (known, more) in [
            (&mut known.messages, provider.messages),
            (&mut known.parameters, provider.parameters),
            (&mut known.categories, provider.categories),
            (&mut known.resources, provider.resources),
        ] {
            for path in more {
                if !known.iter().any(|known| known.eq_ignore_ascii_case(&path)) {
                    known.push(path);
                }
            }
        }
    }
}

/// The control set that is in use.
fn control_set(hive: &Hive) -> Option<Key<'_>> {
    let current = hive.key("Select").and_then(|select| select.value("Current"));
    let number = match current {
        Some(RegistryValue::Number(number)) => number,
        _ => 1,
    };
    hive.key(&format!("ControlSet{number:03}")).or_else(|| hive.key("ControlSet001"))
}

/// The files in a value: a list with semicolons, or several texts.
fn files(key: &Key<'_>, name: &str) -> Vec<String> {
    let texts = match key.value(name) {
        Some(RegistryValue::Text(text)) => vec![text],
        Some(RegistryValue::Texts(texts)) => texts,
        _ => Vec::new(),
    };
    let paths = texts.iter().flat_map(|text| text.split(';')).map(str::trim);
    paths.filter(|path| !path.is_empty()).map(str::to_owned).collect()
}

/// The build as the numbers that files of it have.
fn build(version: &Key<'_>) -> Option<String> {
    let build = version.text("CurrentBuildNumber")?;
    let number = |name| match version.value(name) {
        Some(RegistryValue::Number(number)) => Some(number),
        _ => None,
    };
    Some(match (number("CurrentMajorVersionNumber"), number("CurrentMinorVersionNumber")) {
        (Some(major), Some(minor)) => format!("{major}.{minor}.{build}"),
        _ => format!("{}.{build}", version.text("CurrentVersion")?),
    })
}

/// The parts of a path in the registry below the system drive, in lower case: variables replaced,
/// the drive and prefixes of the object manager cut off. `system_root` is what stands for
/// `%SystemRoot%`, the Windows folder.
pub(crate) fn path_parts(path: &str, system_root: &str) -> Vec<String> {
    let mut path = path.trim().trim_matches('"').replace('/', "\\").to_lowercase();
    // A resource of a file may be named after it.
    if let Some((file, _)) = path.strip_prefix('@').and_then(|path| path.split_once(',')) {
        path = file.to_owned();
    }
    let root = system_root.to_lowercase();
    let root = root.split_once(":\\").map_or(&*root, |(_, root)| root).trim_matches('\\');
    let variables = [
        ("%systemroot%", root),
        ("%windir%", root),
        ("\\systemroot", root),
        ("%systemdrive%", ""),
        ("%programfiles%", "program files"),
        ("%programfiles(x86)%", "program files (x86)"),
        ("%programw6432%", "program files"),
        ("%commonprogramfiles%", "program files\\common files"),
        ("%commonprogramfiles(x86)%", "program files (x86)\\common files"),
        ("%programdata%", "programdata"),
        ("%allusersprofile%", "programdata"),
    ];
    for (variable, value) in variables {
        if let Some(rest) = path.strip_prefix(variable) {
            path = format!("{value}\\{}", rest.trim_start_matches('\\'));
        }
    }
    let path = path.trim_start_matches("\\??\\").trim_start_matches("\\\\?\\");
    let path = match path.split_once(':') {
        Some((drive, rest)) if drive.len() == 1 => rest,
        _ => path,
    };
    let parts: Vec<String> = path
        .split('\\')
        .filter(|part| !part.is_empty() && !matches!(*part, "." | ".."))
        .map(str::to_owned)
        .collect();
    // A name alone is looked for where programs are.
    match &*parts {
        [_] => {
            root.split('\\').chain(["system32"]).map(str::to_owned).chain(parts.clone()).collect()
        }
        _ => parts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_drives_and_prefixes_are_replaced() {
        let cases = [
            ("%SystemRoot%\\System32\\adtschema.dll", "windows\\system32\\adtschema.dll"),
            ("%windir%/system32/a.dll", "windows\\system32\\a.dll"),
            ("\\SystemRoot\\System32\\drivers\\ntfs.sys", "windows\\system32\\drivers\\ntfs.sys"),
            ("\\??\\C:\\Program Files\\X\\x.dll", "program files\\x\\x.dll"),
            ("C:\\Windows\\x.dll", "windows\\x.dll"),
            ("%ProgramFiles(x86)%\\X\\x.dll", "program files (x86)\\x\\x.dll"),
            ("netevent.dll", "windows\\system32\\netevent.dll"),
            ("\"C:\\..\\a\\.\\b.dll\"", "a\\b.dll"),
            ("@%SystemRoot%\\system32\\tz.dll,-10", "windows\\system32\\tz.dll"),
        ];
        for (path, parts) in cases {
            assert_eq!(path_parts(path, "C:\\Windows").join("\\"), parts, "{path}");
        }
    }
}
