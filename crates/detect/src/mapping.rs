//! Where log sources are, and how fields are made where events lack them: data, which anybody can
//! read (`mapping.toml`) and put other data over.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::fields::key;
use crate::rule::LogSource;

/// The mapping's own text.
pub const DEFAULT: &str = include_str!("mapping.toml");

/// The most bytes of a mapping's text.
pub const MAX_BYTES: usize = 1 << 20;
/// The most ids of a source.
const MAX_IDS: usize = 10_000;

/// Where log sources are.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    #[serde(default)]
    category: BTreeMap<String, Sources>,
    #[serde(default)]
    service: BTreeMap<String, Sources>,
    #[serde(default)]
    fields: BTreeMap<String, FieldMap>,
    #[serde(default)]
    padded: Vec<String>,
}

/// Why a mapping can't be used.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MappingError {
    /// It is no TOML of this form.
    #[error("{0}")]
    Form(String),
    /// It is too long.
    #[error("the mapping has more than {MAX_BYTES} bytes")]
    TooLong,
    /// A source has fields that there are none of.
    #[error("a source's fields are `{0}`, which are nowhere in the mapping")]
    NoFields(String),
    /// A source has too many ids.
    #[error("a source of {0} has more than {MAX_IDS} ids")]
    TooManyIds(String),
}

/// The sources of a category or service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sources {
    #[serde(default)]
    sources: Vec<Source>,
    #[serde(default)]
    absent: Option<String>,
}

/// A channel that a log source is in.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    pub(crate) channel: String,
    /// Of all events, where there are none.
    #[serde(default)]
    pub(crate) ids: Option<Vec<u64>>,
    #[serde(default)]
    pub(crate) fields: Option<String>,
}

/// The fields of events that aren't of the form that rules are written for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldMap {
    #[serde(default)]
    native: Option<Vec<String>>,
    #[serde(default)]
    computed: BTreeMap<String, Computed>,
    /// The keys of both.
    #[serde(skip)]
    native_keys: BTreeSet<String>,
    /// The name of each computed field by its key.
    #[serde(skip)]
    computed_keys: BTreeMap<String, String>,
}

/// How a field is made.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(deny_unknown_fields)]
pub(crate) struct Computed {
    #[serde(rename = "as")]
    pub(crate) how: How,
    pub(crate) from: Vec<String>,
    /// Where that is known from.
    pub(crate) why: String,
}

/// What is made of an event's own values.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum How {
    /// The value as it is.
    Copy,
    /// A number in decimal.
    Decimal,
    /// `DOMAIN\name` of two values.
    Account,
    /// The name of the level that a mandatory label (`S-1-16-N`) stands for.
    Integrity,
    /// Key and value of the registry, as Sysmon writes them.
    RegistryPath,
    /// A value's type and text, as Sysmon writes them.
    RegistryDetails,
    /// What was done to a value of the registry, as Sysmon calls it.
    RegistryOperation,
    /// Whether a connection is an outbound one: `true` or `false`.
    Direction,
    /// The name of a protocol of IP.
    Protocol,
    /// The text after the field's own name in a text of lines `NAME=VALUE`.
    Line,
}

impl Mapping {
    /// The mapping that comes with this crate.
    ///
    /// # Panics
    /// Never: a test reads it.
    #[must_use]
    pub fn builtin() -> Self {
        Mapping::parse(DEFAULT).unwrap_or_default()
    }

    /// Reads a mapping.
    ///
    /// # Errors
    /// [`MappingError`]; a source's fields may be the built-in mapping's.
    pub fn parse(text: &str) -> Result<Self, MappingError> {
        if text.len() > MAX_BYTES {
            return Err(MappingError::TooLong);
        }
        let mut mapping: Mapping =
            toml::from_str(text).map_err(|error| MappingError::Form(error.to_string()))?;
        for sources in mapping.category.values().chain(mapping.service.values()) {
            for source in &sources.sources {
                if source.ids.as_ref().is_some_and(|ids| ids.len() > MAX_IDS) {
                    return Err(MappingError::TooManyIds(source.channel.clone()));
                }
            }
        }
        mapping.padded.iter_mut().for_each(|name| *name = key(name));
        for fields in mapping.fields.values_mut() {
            fields.native_keys = fields.native.iter().flatten().map(|name| key(name)).collect();
            let names = fields.computed.keys();
            fields.computed_keys = names.map(|name| (key(name), name.clone())).collect();
        }
        let lowered = |entries: BTreeMap<String, Sources>| {
            entries.into_iter().map(|(name, sources)| (name.to_lowercase(), sources)).collect()
        };
        mapping.category = lowered(mapping.category);
        mapping.service = lowered(mapping.service);
        Ok(mapping)
    }

    /// Puts another mapping over this one: its entries take the place of those of the same name.
    ///
    /// # Errors
    /// [`MappingError::NoFields`] if a source's fields are in neither.
    pub fn overridden(mut self, other: Mapping) -> Result<Self, MappingError> {
        self.category.extend(other.category);
        self.service.extend(other.service);
        self.fields.extend(other.fields);
        self.padded.extend(other.padded);
        for sources in self.category.values().chain(self.service.values()) {
            let mut named = sources.sources.iter().filter_map(|source| source.fields.as_ref());
            if let Some(name) = named.find(|name| !self.fields.contains_key(*name)) {
                return Err(MappingError::NoFields(name.clone()));
            }
        }
        Ok(self)
    }

    /// The sources of a rule, or why there are none.
    pub(crate) fn sources(&self, source: &LogSource) -> Result<Vec<Source>, String> {
        if let Some(product) = source.product.as_deref().filter(|product| *product != "windows") {
            return Err(format!("its product is {product}, not windows"));
        }
        let known = |kind: &str, name: &Option<String>, map: &BTreeMap<String, Sources>| {
            let Some(name) = name else { return Ok(None) };
            match map.get(name) {
                Some(sources) if !sources.sources.is_empty() => Ok(Some(sources.sources.clone())),
                Some(Sources { absent: Some(why), .. }) => Err(format!("{kind} {name}: {why}")),
                _ => Err(format!("the {kind} {name} is in no event log that the mapping knows")),
            }
        };
        let category = known("category", &source.category, &self.category)?;
        let service = known("service", &source.service, &self.service)?;
        match (category, service) {
            (Some(sources), None) | (None, Some(sources)) => Ok(sources),
            (Some(category), Some(service)) => {
                let is_in = |source: &Source| {
                    service.iter().any(|one| one.channel.eq_ignore_ascii_case(&source.channel))
                };
                let both: Vec<Source> = category.into_iter().filter(is_in).collect();
                match both.is_empty() {
                    true => {
                        Err("its category and its service have no channel in common".to_owned())
                    }
                    false => Ok(both),
                }
            }
            (None, None) => Err("its log source names neither category nor service".to_owned()),
        }
    }

    pub(crate) fn fields(&self, source: &Source) -> Option<&FieldMap> {
        self.fields.get(source.fields.as_ref()?)
    }

    pub(crate) fn field_map(&self, name: &str) -> Option<&FieldMap> {
        self.fields.get(name)
    }

    /// Whether blanks at the end of a field's values don't count.
    pub(crate) fn is_padded(&self, field: &str) -> bool {
        self.padded.contains(&key(field))
    }

    /// All fields that are computed, each with the name of its list, how, of what and why.
    pub fn computed(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.fields.iter().flat_map(|(list, fields)| {
            fields.computed.iter().map(move |(name, how)| (&**list, &**name, &*how.why))
        })
    }
}

impl FieldMap {
    /// Whether events can't have a field of the name.
    pub(crate) fn lacks(&self, name: &str) -> bool {
        if self.native.is_none() {
            return false;
        }
        let key = key(name);
        let is_known = self.native_keys.contains(&key) || self.computed_keys.contains_key(&key);
        !is_known && crate::fields::system_field(name).is_none()
    }

    /// How a field is made.
    pub(crate) fn computed(&self, name: &str) -> Option<&Computed> {
        self.computed.get(self.computed_keys.get(&key(name))?)
    }
}

impl Computed {
    /// The same of fields that may have several values: the first of each, or for lines, the first
    /// that has the line.
    pub(crate) fn make_any(&self, name: &str, values: &[Vec<&str>]) -> Option<String> {
        match (self.how, values) {
            (How::Line, [texts, ..]) => {
                texts.iter().find_map(|text| self.make(name, &[Some(text)])).map(Cow::into_owned)
            }
            _ => {
                let first: Vec<Option<&str>> =
                    values.iter().map(|values| values.first().copied()).collect();
                self.make(name, &first).map(Cow::into_owned)
            }
        }
    }

    /// The field made of the values that it is made from; nothing where they don't make one.
    pub(crate) fn make<'v>(&self, name: &str, values: &[Option<&'v str>]) -> Option<Cow<'v, str>> {
        let value = |n: usize| values.get(n).copied().flatten();
        let first = value(0);
        Some(match self.how {
            How::Copy => first?.into(),
            How::Decimal => number(first?)?.to_string().into(),
            How::Account => match (first, value(1)?) {
                (None | Some("" | "-"), user) => user.into(),
                (Some(domain), user) => format!("{domain}\\{user}").into(),
            },
            How::Integrity => integrity(first?)?.into(),
            How::RegistryPath => registry_path(first?, value(1)).into(),
            How::RegistryDetails => registry_details(first?, value(1)?),
            How::RegistryOperation => match first? {
                "%%1904" | "%%1905" => "SetValue".into(),
                "%%1906" => "DeleteValue".into(),
                _ => return None,
            },
            How::Direction => match first? {
                "%%14593" => "true".into(),
                "%%14592" => "false".into(),
                _ => return None,
            },
            How::Protocol => match first? {
                "6" => "tcp".into(),
                "17" => "udp".into(),
                other => other.into(),
            },
            How::Line => line(name, first?)?.into(),
        })
    }
}

/// A number in decimal or `0x…`.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A mandatory label as Sysmon names it (MS-DTYP 2.4.2.4).
fn integrity(label: &str) -> Option<&'static str> {
    let (_, level) = label.rsplit_once('-')?;
    Some(match level.parse::<u32>().ok()? {
        0..0x1000 => "Untrusted",
        0x1000..0x2000 => "Low",
        0x2000..0x3000 => "Medium",
        0x3000..0x4000 => "High",
        0x4000..0x5000 => "System",
        _ => "Protected",
    })
}

/// A key's name in the kernel and a value's, as Sysmon writes them.
fn registry_path(key: &str, value: Option<&str>) -> String {
    let is_start = |text: &str, start: &str| {
        text.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
    };
    let hives = [(r"\REGISTRY\MACHINE", "HKLM"), (r"\REGISTRY\USER", "HKU")];
    let hive = hives.iter().find(|(long, _)| {
        is_start(key, long) && matches!(key.as_bytes().get(long.len()), None | Some(b'\\'))
    });
    let mut path = match hive {
        Some((long, short)) => format!("{short}{}", &key[long.len()..]),
        None => key.to_owned(),
    };
    // The set in use has the number that the boot loader chose, and Sysmon shows its link.
    const SETS: &str = r"HKLM\SYSTEM\ControlSet";
    if is_start(&path, SETS)
        && path.as_bytes()[SETS.len()..].iter().take(3).filter(|b| b.is_ascii_digit()).count() == 3
        && matches!(path.as_bytes().get(SETS.len() + 3), None | Some(b'\\'))
    {
        path.replace_range(SETS.len() - "ControlSet".len()..SETS.len() + 3, "CurrentControlSet");
    }
    if let Some(value) = value.filter(|value| !value.is_empty() && *value != "-") {
        path.push('\\');
        path.push_str(value);
    }
    path
}

/// A value's text as Sysmon writes it, by its type.
fn registry_details<'v>(kind: &str, value: &'v str) -> Cow<'v, str> {
    match (kind, number(value)) {
        ("%%1875", _) => "Binary Data".into(),
        ("%%1876", Some(number)) => format!("DWORD (0x{number:08x})").into(),
        ("%%1883", Some(number)) => {
            format!("QWORD (0x{:08x}-0x{:08x})", number >> 32, number & 0xffff_ffff).into()
        }
        _ => value.into(),
    }
}

/// What stands after a name and `=` on a line of its own; blanks and case of names don't count.
fn line<'v>(name: &str, text: &'v str) -> Option<&'v str> {
    let name = key(name);
    text.lines().find_map(|line| {
        let (named, value) = line.split_once('=')?;
        (key(named.trim()) == name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mapping_that_comes_with_it_is_sound() {
        let mapping = Mapping::parse(DEFAULT).unwrap();
        assert!(mapping.category.len() > 30 && mapping.service.len() > 40);
        assert!(mapping.computed().all(|(_, _, why)| !why.is_empty()));
        Mapping::default().overridden(mapping).unwrap();
    }

    #[test]
    fn a_registry_value_is_named_as_sysmon_does() {
        let path = |key, value| registry_path(key, Some(value));
        assert_eq!(path(r"\REGISTRY\MACHINE\SOFTWARE\A", "v"), r"HKLM\SOFTWARE\A\v");
        assert_eq!(path(r"\Registry\User\S-1-5-18\A", ""), r"HKU\S-1-5-18\A");
        assert_eq!(
            path(r"\REGISTRY\MACHINE\SYSTEM\ControlSet001\Services\x", "ImagePath"),
            r"HKLM\SYSTEM\CurrentControlSet\Services\x\ImagePath"
        );
        assert_eq!(path(r"\REGISTRY\MACHINES\A", "-"), r"\REGISTRY\MACHINES\A");
        assert_eq!(registry_details("%%1876", "1"), "DWORD (0x00000001)");
        assert_eq!(registry_details("%%1883", "4294967298"), "QWORD (0x00000001-0x00000002)");
        assert_eq!(registry_details("%%1873", "1"), "1");
    }

    #[test]
    fn other_fields_are_made_of_what_windows_writes() {
        let make = |how, name: &str, values: &[&str]| {
            let values: Vec<Option<&str>> = values.iter().copied().map(Some).collect();
            let computed = Computed { how, from: Vec::new(), why: String::new() };
            computed.make(name, &values).map(Cow::into_owned)
        };
        assert_eq!(make(How::Decimal, "", &["0x1f4"]).as_deref(), Some("500"));
        assert_eq!(make(How::Account, "", &["CORP", "ann"]).as_deref(), Some(r"CORP\ann"));
        assert_eq!(make(How::Account, "", &["-", "ann"]).as_deref(), Some("ann"));
        assert_eq!(make(How::Integrity, "", &["S-1-16-12288"]).as_deref(), Some("High"));
        assert_eq!(make(How::Direction, "", &["%%14593"]).as_deref(), Some("true"));
        assert_eq!(make(How::Protocol, "", &["6"]).as_deref(), Some("tcp"));
        let text = "\tHostName=ConsoleHost\r\n\tHostApplication=powershell -c a=b\r\n";
        assert_eq!(make(How::Line, "HostName", &[text]).as_deref(), Some("ConsoleHost"));
        assert_eq!(make(How::Line, "hostname", &[text]).as_deref(), Some("ConsoleHost"));
        assert_eq!(
            make(How::Line, "HostApplication", &[text]).as_deref(),
            Some("powershell -c a=b")
        );
        assert_eq!(
            make(How::Line, "HostApplication", &["Host Application = x.exe"]).as_deref(),
            Some("x.exe")
        );
    }

    #[test]
    fn an_entry_put_over_another_takes_its_place() {
        let text = "[category.process_creation]\nsources = [{ channel = \"A/B\", ids = [7] }]";
        let mapping = Mapping::builtin().overridden(Mapping::parse(text).unwrap()).unwrap();
        let source = LogSource { category: Some("process_creation".into()), ..Default::default() };
        assert_eq!(mapping.sources(&source).unwrap()[0].channel, "A/B");
        let text = "[service.x]\nsources = [{ channel = \"A\", fields = \"none\" }]";
        let wrong = Mapping::builtin().overridden(Mapping::parse(text).unwrap());
        assert!(matches!(wrong, Err(MappingError::NoFields(_))));
        assert!(Mapping::parse("[category.a]\nfoo = 1").is_err());
    }
}
