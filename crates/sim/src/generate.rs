//! Generated events: the same bytes for the same seed, server, log and record number.
//!
//! What events of one kind have in common, template definitions foremost, is encoded once for
//! all servers. An event is then put together by copying: a definition, the values of its
//! `<System>`, and one of some encoded `<EventData>`.

use std::collections::BTreeMap;

use quarry_binxml::write::{
    Element, Fragment, Instance, Piece, Template, TypedValue, ValueType, WriteError, wire,
};
use quarry_event::{Event, EventTime, Guid, Sid};

use crate::kinds::{KINDS, Kind, Value};

/// Encoded `<EventData>` of each kind.
const VARIANTS: u64 = 16;
/// The largest event that is made to order, in bytes: `<EventData>` is one value, of at most
/// 65,535.
pub(crate) const MAX_EVENT_SIZE: usize = 60_000;
/// The end of a fragment (MS-EVEN6 2.2.12).
const EOF: u8 = 0;

/// The logs that have generated events.
pub(crate) const CHANNELS: [&str; 3] = ["System", "Security", "Application"];

/// What all generated events are made of.
pub(crate) struct Catalog {
    seed: u64,
    kinds: Vec<EncodedKind>,
    /// Of each of [`CHANNELS`], its kinds with the sum of the weights up to each.
    by_channel: [Vec<(u32, u16)>; 3],
}

struct EncodedKind {
    kind: &'static Kind,
    /// Everything up to the values' descriptors.
    start: Box<[u8]>,
    channel: Box<[u8]>,
    user: Option<Box<[u8]>>,
    /// `<EventData>` in BinXML.
    data: Vec<Box<[u8]>>,
}

/// What is particular about one event.
pub(crate) struct Particulars<'a> {
    /// A number of the server's, so that servers differ.
    pub(crate) server: u64,
    /// Which of [`CHANNELS`].
    pub(crate) channel: usize,
    /// The record's number in its log.
    pub(crate) number: u64,
    pub(crate) time: EventTime,
    /// The computer's name in UTF-16.
    pub(crate) computer: &'a [u8],
    /// What the event says of its own number.
    pub(crate) record_id: Option<u64>,
}

impl Catalog {
    /// Encodes every kind. With a `size`, events are filled up to about so many bytes.
    pub(crate) fn new(seed: u64, size: Option<usize>) -> Result<Self, WriteError> {
        let mut kinds = Vec::with_capacity(KINDS.len());
        let mut by_channel: [Vec<(u32, u16)>; 3] = Default::default();
        for (n, kind) in KINDS.iter().enumerate() {
            kinds.push(EncodedKind::new(kind, mix(seed, n as u64), size)?);
            let Some(at) = CHANNELS.iter().position(|name| *name == kind.channel) else { continue };
            let sum = by_channel[at].last().map_or(0, |(sum, _)| *sum) + kind.weight;
            by_channel[at].push((sum, n as u16));
        }
        Ok(Self { seed, kinds, by_channel })
    }

    /// Appends an event as MS-EVEN6 sends it.
    pub(crate) fn write(&self, event: &Particulars<'_>, out: &mut Vec<u8>) {
        let chance = self.chance(event.server, event.channel, event.number);
        let kinds = &self.by_channel[event.channel];
        let total = kinds.last().map_or(1, |(sum, _)| *sum);
        let pick = (chance % u64::from(total)) as u32;
        let at = kinds.partition_point(|(sum, _)| *sum <= pick);
        let Some(kind) = kinds.get(at).and_then(|(_, n)| self.kinds.get(usize::from(*n))) else {
            return;
        };
        kind.write(event, chance >> 16, out);
    }

    /// A number that nothing can be told from, of an event.
    pub(crate) fn chance(&self, server: u64, channel: usize, number: u64) -> u64 {
        mix(mix(self.seed, server ^ (channel as u64) << 60), number)
    }
}

impl EncodedKind {
    fn new(kind: &'static Kind, seed: u64, size: Option<usize>) -> Result<Self, WriteError> {
        let template = system_template(kind)?;
        let values = vec![TypedValue::Null; VALUES];
        let instance = Fragment::Instance(Instance { template, values });
        let mut start = Vec::new();
        wire(&instance, &mut start)?;
        start.truncate(start.len() - 1 - 4 * VALUES);
        let template = data_template(kind, false)?;
        let padded = data_template(kind, true)?;
        let mut data = Vec::new();
        for variant in 0..VARIANTS {
            let chance = |n: usize| mix(mix(seed, variant), n as u64);
            let sids: Vec<_> =
                kind.data.iter().enumerate().map(|(n, (_, value))| value.sid(chance(n))).collect();
            let values: Vec<_> = kind
                .data
                .iter()
                .zip(&sids)
                .enumerate()
                .map(|(n, ((_, value), sid))| value.make(chance(n), sid))
                .collect();
            let encode = |template: &Template, values: Vec<TypedValue<'_>>| {
                let mut bytes = Vec::new();
                let instance = Instance { template: template.clone(), values };
                wire(&Fragment::Instance(instance), &mut bytes).map(|()| bytes)
            };
            let mut bytes = encode(&template, values.clone())?;
            if let Some(size) = size {
                let with = |units: usize| {
                    let mut values = values.clone();
                    values.push(TypedValue::String("Quarry ".repeat(units / 7 + 1).into()));
                    if let Some(TypedValue::String(text)) = values.last_mut() {
                        text.to_mut().truncate(units);
                    }
                    encode(&padded, values)
                };
                let empty = with(0)?.len() + start.len() + 4 * VALUES + TYPICAL_VALUES;
                if let Some(room) = size.min(MAX_EVENT_SIZE).checked_sub(empty) {
                    bytes = with(room / 2)?;
                }
            }
            data.push(bytes.into());
        }
        Ok(Self {
            kind,
            start: start.into(),
            channel: utf16(kind.channel),
            user: kind.user.map(|user| sid(&user)),
            data,
        })
    }

    fn write(&self, event: &Particulars<'_>, chance: u64, out: &mut Vec<u8>) {
        let kind = self.kind;
        let data = &self.data[(chance % self.data.len() as u64) as usize];
        let process = (400 + (chance >> 8) % 8000) as u32 & !3;
        let thread = (4 + (chance >> 24) % 12_000) as u32 & !3;
        let level = [kind.level];
        let opcode = [kind.opcode];
        let version = [kind.version];
        let task = kind.task.to_le_bytes();
        let id = kind.id.to_le_bytes();
        let qualifiers = kind.qualifiers.map(u16::to_le_bytes);
        let keywords = kind.keywords.to_le_bytes();
        let time = event.time.as_filetime().to_le_bytes();
        let process = process.to_le_bytes();
        let thread = thread.to_le_bytes();
        let record_id = event.record_id.map(u64::to_le_bytes);
        // In the order of their substitution ids; see `system_template`.
        let values: [(ValueType, Option<&[u8]>); VALUES] = [
            (ValueType::UInt8, Some(&level)),
            (ValueType::UInt8, Some(&opcode)),
            (ValueType::UInt16, Some(&task)),
            (ValueType::UInt16, Some(&id)),
            (ValueType::UInt16, qualifiers.as_ref().map(|bytes| &bytes[..])),
            (ValueType::HexInt64, Some(&keywords)),
            (ValueType::FileTime, Some(&time)),
            (ValueType::Guid, None),
            (ValueType::UInt32, Some(&process)),
            (ValueType::UInt32, Some(&thread)),
            (ValueType::UInt64, record_id.as_ref().map(|bytes| &bytes[..])),
            (ValueType::UInt8, Some(&version)),
            (ValueType::Sid, self.user.as_deref()),
            (ValueType::String, Some(&self.channel)),
            (ValueType::String, Some(event.computer)),
            (ValueType::BinXml, Some(data)),
        ];
        out.reserve(self.start.len() + data.len() + 4 * VALUES + 512);
        out.extend_from_slice(&self.start);
        for (kind, value) in values {
            let (len, kind) = value.map_or((0, ValueType::Null), |value| (value.len(), kind));
            out.extend_from_slice(&(len as u16).to_le_bytes());
            out.extend_from_slice(&[kind.code(), 0]);
        }
        for (_, value) in values {
            out.extend_from_slice(value.unwrap_or_default());
        }
        out.push(EOF);
    }
}

/// The values of an event's outer template.
const VALUES: usize = 16;
/// What the values of `<System>` take, about, and the end.
const TYPICAL_VALUES: usize = 110;

/// `<Event>` with `<System>`, as Windows' templates are: the provider is literal, the data are a
/// value, and the root depends on them.
fn system_template(kind: &Kind) -> Result<Template, WriteError> {
    use ValueType as T;
    const DATA: u16 = VALUES as u16 - 1;
    let field = |name: &str, id, kind| Element::new(name).piece(Piece::value(id, kind));
    let of = |name: &str, attributes: &[(&str, u16, T)]| {
        attributes.iter().fold(Element::new(name).closed_empty(), |element, (name, id, kind)| {
            element.attribute_of(*name, vec![Piece::optional(*id, *kind)])
        })
    };
    let mut provider = Element::new("Provider").attribute("Name", kind.provider);
    if let Some(guid) = kind.guid {
        provider = provider.attribute("Guid", guid);
    }
    let id = Element::new("EventID")
        .attribute_of("Qualifiers", vec![Piece::optional(4, T::UInt16)])
        .piece(Piece::value(3, T::UInt16));
    let number = Element::new("EventRecordID").piece(Piece::optional(10, T::UInt64)).depends_on(10);
    let system = Element::new("System")
        .child(provider.closed_empty())
        .child(id)
        .child(field("Version", 11, T::UInt8))
        .child(field("Level", 0, T::UInt8))
        .child(field("Task", 2, T::UInt16))
        .child(field("Opcode", 1, T::UInt8))
        .child(field("Keywords", 5, T::HexInt64))
        .child(of("TimeCreated", &[("SystemTime", 6, T::FileTime)]))
        .child(number)
        .child(of("Correlation", &[("ActivityID", 7, T::Guid)]))
        .child(of("Execution", &[("ProcessID", 8, T::UInt32), ("ThreadID", 9, T::UInt32)]))
        .child(field("Channel", 13, T::String))
        .child(field("Computer", 14, T::String))
        .child(of("Security", &[("UserID", 12, T::Sid)]));
    let event = Element::new("Event")
        .attribute("xmlns", Event::NAMESPACE)
        .child(system)
        .piece(Piece::optional(DATA, T::BinXml))
        .depends_on(DATA);
    Template::new(template_guid(kind, 0), event)
}

/// `<EventData>`, with room for a filling.
fn data_template(kind: &Kind, padded: bool) -> Result<Template, WriteError> {
    let filling = ("Filling", Value::Of(&[""]));
    let data = kind.data.iter().copied().chain(padded.then_some(filling));
    let mut element = Element::new("EventData");
    for (id, (name, value)) in data.enumerate() {
        let value_type = value.value_type();
        let mut child = match value {
            Value::Binary(_) => Element::new("Binary"),
            _ => Element::new("Data"),
        };
        if !name.is_empty() {
            child = child.attribute("Name", name);
        }
        element = element.child(child.piece(Piece::value(id as u16, value_type)));
    }
    Template::new(template_guid(kind, if padded { 2 } else { 1 }), element)
}

/// One for each template: clients keep templates by it.
fn template_guid(kind: &Kind, which: u8) -> Guid {
    let mut bytes = *b"quarry sim event";
    let provider = kind.provider.bytes().fold(0, |sum: u64, byte| mix(sum, byte.into()));
    bytes[..8].copy_from_slice(&provider.to_le_bytes());
    bytes[8..10].copy_from_slice(&kind.id.to_le_bytes());
    bytes[10] = which;
    Guid::from_bytes(bytes)
}

impl Value {
    fn value_type(self) -> ValueType {
        match self {
            Value::Of(_) | Value::Address | Value::Port => ValueType::String,
            Value::Sid | Value::WellKnown(_) => ValueType::Sid,
            Value::LogonId | Value::Hex64 => ValueType::HexInt64,
            Value::Status(_) => ValueType::HexInt32,
            Value::Guid => ValueType::Guid,
            Value::U32(_) => ValueType::UInt32,
            Value::Binary(_) => ValueType::Binary,
        }
    }

    /// The SID that the value is, if it is one (MS-DTYP 2.4.2.2).
    fn sid(self, chance: u64) -> Box<[u8]> {
        const DOMAIN: [u32; 4] = [21, 1_004_336_348, 1_177_238_915, 682_003_330];
        match self {
            Value::Sid => {
                let [a, b, c, d] = DOMAIN;
                sid(&[a, b, c, d, 1100 + (chance % 400) as u32])
            }
            // S-1-0-0, the null SID.
            Value::WellKnown(0) => Box::new([1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            Value::WellKnown(last) => sid(&[last]),
            _ => Box::default(),
        }
    }

    fn make(self, chance: u64, sid: &[u8]) -> TypedValue<'_> {
        let pick = |len: usize| (chance % len.max(1) as u64) as usize;
        let numbers = |list: &'static [u32]| list.get(pick(list.len())).copied().unwrap_or(0);
        match self {
            Value::Of(texts) => {
                TypedValue::String(texts.get(pick(texts.len())).copied().unwrap_or("").into())
            }
            Value::Sid | Value::WellKnown(_) => {
                Sid::split(sid).map_or(TypedValue::Null, |(sid, _)| TypedValue::Sid(sid))
            }
            Value::LogonId => TypedValue::HexInt64(chance % 0x4000_0000),
            Value::Hex64 => TypedValue::HexInt64((chance % 0x4000) & !3),
            Value::Status(list) => TypedValue::HexInt32(numbers(list)),
            Value::Guid => {
                let mut bytes = [0; 16];
                bytes[..8].copy_from_slice(&chance.to_le_bytes());
                bytes[8..].copy_from_slice(&mix(chance, 2).to_le_bytes());
                TypedValue::Guid(Guid::from_bytes(bytes))
            }
            Value::U32(list) => TypedValue::UInt32(numbers(list)),
            Value::Address => {
                let [a, b, ..] = chance.to_le_bytes();
                TypedValue::String(format!("10.20.{}.{b}", a % 8).into())
            }
            Value::Port => TypedValue::String((49_152 + chance % 16_000).to_string().into()),
            Value::Binary(len) => {
                let bytes: Vec<u8> = (0..len).map(|n| mix(chance, n as u64) as u8).collect();
                TypedValue::Binary(bytes.into())
            }
        }
    }
}

/// `S-1-5-…`.
fn sid(authorities: &[u32]) -> Box<[u8]> {
    let mut bytes = vec![1, authorities.len() as u8, 0, 0, 0, 0, 0, 5];
    authorities.iter().for_each(|part| bytes.extend_from_slice(&part.to_le_bytes()));
    bytes.into()
}

/// Text in UTF-16, little-endian.
pub(crate) fn utf16(text: &str) -> Box<[u8]> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A number that looks random, from two (the finaliser of SplitMix64).
pub(crate) fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_add((b.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The providers of generated events, with the channels that they write to.
pub(crate) fn providers() -> BTreeMap<&'static str, &'static str> {
    KINDS.iter().map(|kind| (kind.provider, kind.channel)).collect()
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use quarry_binxml::Decoder;
    use quarry_event::{Field, FieldSource};

    use super::*;

    fn generated(catalog: &Catalog, channel: usize, number: u64) -> Vec<u8> {
        let computer = utf16("fred.sim.test");
        let mut bytes = Vec::new();
        let event = Particulars {
            server: 7,
            channel,
            number,
            time: EventTime::parse("2026-11-22T10:00:00.1234567Z").unwrap(),
            computer: &computer,
            record_id: Some(number),
        };
        catalog.write(&event, &mut bytes);
        bytes
    }

    #[test]
    fn every_kind_comes_with_its_fields_and_values() {
        let catalog = Catalog::new(3, None).unwrap();
        let mut decoder = Decoder::new();
        let mut seen = std::collections::BTreeSet::new();
        for channel in 0..CHANNELS.len() {
            for number in 1..2000 {
                let bytes = generated(&catalog, channel, number);
                let event = decoder.event(&bytes).unwrap();
                let text = |field| event.field(field).to_string();
                let id: u16 = text(Field::EventId).parse().unwrap();
                let provider = text(Field::ProviderName);
                let kind =
                    KINDS.iter().find(|kind| kind.id == id && kind.provider == provider).unwrap();
                assert_eq!(text(Field::ProviderGuid), kind.guid.unwrap_or_default());
                assert_eq!(text(Field::Level), kind.level.to_string());
                assert_eq!(text(Field::Version), kind.version.to_string());
                assert_eq!(text(Field::Task), kind.task.to_string());
                assert_eq!(text(Field::Opcode), kind.opcode.to_string());
                assert_eq!(text(Field::Keywords), format!("{:#x}", kind.keywords));
                let qualifiers = kind.qualifiers.map(|q| q.to_string()).unwrap_or_default();
                assert_eq!(text(Field::Qualifiers), qualifiers);
                assert_eq!(text(Field::TimeCreated), "2026-11-22T10:00:00.1234567Z");
                assert_eq!(text(Field::RecordId), number.to_string());
                assert_eq!(text(Field::Channel), kind.channel);
                assert_eq!(text(Field::Computer), "fred.sim.test");
                let user = kind.user.map(|[user]| format!("S-1-5-{user}")).unwrap_or_default();
                assert_eq!(text(Field::UserId), user);
                let mut names = Vec::new();
                let _ = event.each_data(|name, _| {
                    names.push(name.map(|name| name.as_str().to_owned()).unwrap_or_default());
                    ControlFlow::Continue(())
                });
                let expected = kind.data.iter().map(|(name, value)| match value {
                    // The element's name is the value's.
                    Value::Binary(_) => "Binary",
                    _ => name,
                });
                assert!(names.iter().map(String::as_str).eq(expected), "{id}: {names:?}");
                assert!((1000..6000).contains(&bytes.len()), "{id}: {} bytes", bytes.len());
                seen.insert((id, provider));
            }
        }
        assert_eq!(seen.len(), KINDS.len());
    }

    #[test]
    fn the_same_seed_makes_the_same_events_and_another_others() {
        let [one, same, other] = [3, 3, 4].map(|seed| Catalog::new(seed, None).unwrap());
        let all = |catalog: &Catalog| -> Vec<_> {
            (1..100).map(|number| generated(catalog, 1, number)).collect()
        };
        assert_eq!(all(&one), all(&same));
        assert_ne!(all(&one), all(&other));
    }

    #[test]
    fn events_are_filled_up_to_the_size_that_is_ordered() {
        for size in [6000, 20_000, MAX_EVENT_SIZE, usize::MAX] {
            let catalog = Catalog::new(3, Some(size)).unwrap();
            for number in 1..50 {
                let bytes = generated(&catalog, 0, number);
                assert!(bytes.len().abs_diff(size.min(MAX_EVENT_SIZE)) < 60, "{}", bytes.len());
                Decoder::new().event(&bytes).unwrap();
            }
        }
    }
}
