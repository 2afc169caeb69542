//! Classic records: the `EVENTLOGRECORD` of `ReadEventLog`, of MS-EVEN (2.2.3
//! there) and of `.evt` files. Windows itself shows one as an event of today in
//! this way, and so does this module:
//!
//! * the event id is the id's low word, the qualifiers its high one;
//! * the type becomes the level, and for audits the keyword of the result;
//! * the category is the task;
//! * the strings are nameless values, the data is `<Binary>`;
//! * the time is that at which the event was raised, in whole seconds.
//!
//! A record does not know its channel: that is the log it was read from.

use std::convert::Infallible;
use std::ops::ControlFlow;

use quarry_event::{
    DataName, Event, EventTime, Field, FieldSource, Keywords, Sid, Sink, Utf16, Value,
};

/// Length of the part of a record that each has, in bytes.
pub(crate) const FIXED_LEN: usize = 56;
/// Length of the length after a record.
const TRAILER_LEN: usize = 4;
/// What follows a record's size, and that of the header of an `.evt` file.
pub(crate) const SIGNATURE: [u8; 4] = *b"LfLe";

/// The least that a record can be, in bytes: with two empty names.
pub const MIN_RECORD_LEN: usize = FIXED_LEN + TRAILER_LEN + 4;

/// Why bytes are no record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClassicError {
    /// They end before the record does.
    #[error("a classic record ends within its {0}")]
    Truncated(&'static str),
    /// There is no `LfLe`.
    #[error("a classic record without its signature")]
    Signature,
    /// The length before the record is not one of a record.
    #[error("a classic record that says to have {0} bytes")]
    Length(u32),
    /// A part that does not lie within the record.
    #[error("a classic record whose {0} does not lie within it")]
    Outside(&'static str),
}

/// What a record's type says (MS-EVEN 2.2.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EventType(pub u16);

impl EventType {
    /// Something went well that is worth telling: shown as information.
    pub const SUCCESS: Self = Self(0);
    /// An error.
    pub const ERROR: Self = Self(1);
    /// A warning.
    pub const WARNING: Self = Self(2);
    /// Information.
    pub const INFORMATION: Self = Self(4);
    /// An audited attempt that succeeded.
    pub const AUDIT_SUCCESS: Self = Self(8);
    /// An audited attempt that failed.
    pub const AUDIT_FAILURE: Self = Self(16);

    /// The level of an event of the type. Audits, and types that are not
    /// defined, have the level 0, which is always logged.
    pub fn level(self) -> u8 {
        match self {
            Self::ERROR => 2,
            Self::WARNING => 3,
            Self::INFORMATION | Self::SUCCESS => 4,
            _ => 0,
        }
    }

    /// The keywords of an event of the type.
    pub fn keywords(self) -> Keywords {
        let audit = match self {
            Self::AUDIT_SUCCESS => Keywords::AUDIT_SUCCESS.0,
            Self::AUDIT_FAILURE => Keywords::AUDIT_FAILURE.0,
            _ => 0,
        };
        Keywords(Keywords::CLASSIC.0 | audit)
    }
}

/// A classic record, borrowed from the bytes it came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClassicRecord<'a> {
    /// The whole record.
    bytes: &'a [u8],
    source: &'a [u8],
    computer: &'a [u8],
    /// From the first string to the end of what may hold strings.
    strings: &'a [u8],
    strings_count: u16,
    sid: Option<&'a [u8]>,
    data: &'a [u8],
}

impl<'a> ClassicRecord<'a> {
    /// The record that `bytes` begin with, and the bytes after it.
    ///
    /// A record whose strings are cut short has as many as there are; a SID that
    /// is none is left out.
    ///
    /// # Errors
    /// [`ClassicError`].
    pub fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ClassicError> {
        let Some(head) = bytes.first_chunk::<8>() else {
            return Err(ClassicError::Truncated("header"));
        };
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        if head[4..] != SIGNATURE {
            return Err(ClassicError::Signature);
        }
        let len = length as usize;
        if len < MIN_RECORD_LEN {
            return Err(ClassicError::Length(length));
        }
        let Some((record, rest)) = bytes.split_at_checked(len) else {
            return Err(ClassicError::Truncated("content"));
        };
        Ok((Self::parse(record)?, rest))
    }

    /// A record from bytes that may be damaged: without the parts that don't lie within them, of
    /// which the first is named. Its length is that of the bytes, whatever it says itself. Where
    /// that isn't after it either, it has no text that isn't known to be whole.
    ///
    /// Nothing where there are fewer than [`MIN_RECORD_LEN`] bytes, or no signature.
    pub fn salvage(bytes: &'a [u8]) -> Option<(Self, Option<&'static str>)> {
        if bytes.len() < MIN_RECORD_LEN || bytes[4..8] != SIGNATURE {
            return None;
        }
        let body_end = bytes.len() - TRAILER_LEN;
        let is_whole = bytes[body_end..] == bytes[..TRAILER_LEN];
        let mut left_out = None;
        let record = Self::read(bytes, if is_whole { body_end } else { bytes.len() }, |what| {
            left_out.get_or_insert(what);
            Ok::<(), Infallible>(())
        });
        let Ok(mut record) = record;
        if !is_whole {
            // What goes on to the end may have gone on after it.
            let ended = |at: usize| {
                let (pairs, _) = bytes[at..].as_chunks::<2>();
                let units = pairs.iter().position(|pair| *pair == [0, 0])?;
                Some((&bytes[at..at + 2 * units], at + 2 * units + 2))
            };
            let source = ended(FIXED_LEN);
            let computer = source.and_then(|(_, at)| ended(at));
            let text = |text: Option<(&'a [u8], usize)>| text.map_or(&bytes[..0], |(text, _)| text);
            (record.source, record.computer) = (text(source), text(computer));
            let (pairs, _) = record.strings.as_chunks::<2>();
            let ended = pairs.iter().rposition(|pair| *pair == [0, 0]).map_or(0, |last| last + 1);
            record.strings = &record.strings[..2 * ended];
        }
        Some((record, left_out))
    }

    /// A record from its own bytes, of which there are [`MIN_RECORD_LEN`] at least.
    fn parse(bytes: &'a [u8]) -> Result<Self, ClassicError> {
        let body_end = bytes.len() - TRAILER_LEN;
        if bytes[body_end..] != bytes[..TRAILER_LEN] {
            let trailer = long(bytes, body_end);
            return Err(ClassicError::Length(trailer));
        }
        Self::read(bytes, body_end, |what| Err(ClassicError::Outside(what)))
    }

    /// A record whose parts lie before `body_end`; those that don't are left out where `outside`
    /// lets it.
    fn read<E>(
        bytes: &'a [u8],
        body_end: usize,
        mut outside: impl FnMut(&'static str) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut part = |at: usize, len: usize, what| {
            if len == 0 {
                return Ok(&bytes[..0]);
            }
            let inside = (FIXED_LEN..body_end).contains(&at) && len <= body_end - at;
            if !inside {
                outside(what)?;
                return Ok(&bytes[..0]);
            }
            Ok(&bytes[at..at + len])
        };
        let (source, at) = text(bytes, FIXED_LEN, body_end);
        let (computer, _) = text(bytes, at, body_end);
        let sid = part(long(bytes, 44) as usize, long(bytes, 40) as usize, "user")?;
        let data_at = long(bytes, 52) as usize;
        let data = part(data_at, long(bytes, 48) as usize, "data")?;
        let strings_count = short(bytes, 26);
        let strings_at = long(bytes, 36) as usize;
        let strings = if strings_count == 0 {
            &bytes[..0]
        } else {
            // They end where the data begins.
            let end = if data.is_empty() || data_at < strings_at { body_end } else { data_at };
            part(strings_at, end.saturating_sub(strings_at).max(1), "strings")?
        };
        Ok(Self {
            bytes,
            source,
            computer,
            strings,
            strings_count,
            sid: (!sid.is_empty()).then_some(sid),
            data,
        })
    }

    /// The record's number in its log: 32 bits, which wrap.
    pub fn number(&self) -> u32 {
        long(self.bytes, 8)
    }

    /// When the event was raised.
    pub fn time_generated(&self) -> EventTime {
        seconds(long(self.bytes, 12))
    }

    /// When it was written.
    pub fn time_written(&self) -> EventTime {
        seconds(long(self.bytes, 16))
    }

    /// The whole id: severity, facility and code.
    pub fn full_id(&self) -> u32 {
        long(self.bytes, 20)
    }

    /// The type.
    pub fn event_type(&self) -> EventType {
        EventType(short(self.bytes, 24))
    }

    /// The category.
    pub fn category(&self) -> u16 {
        short(self.bytes, 28)
    }

    /// The source, which is the provider.
    pub fn source(&self) -> Utf16<'a> {
        Utf16::new(self.source)
    }

    /// The computer.
    pub fn computer(&self) -> Utf16<'a> {
        Utf16::new(self.computer)
    }

    /// The user, where there is one.
    pub fn user(&self) -> Option<Sid<'a>> {
        self.sid.and_then(Sid::split).map(|(sid, _)| sid)
    }

    /// The strings to be inserted into the message.
    pub fn strings(&self) -> impl Iterator<Item = Utf16<'a>> + use<'a> {
        let mut left = self.strings;
        (0..self.strings_count).map_while(move |_| {
            if left.len() < 2 {
                return None;
            }
            let (string, at) = text(left, 0, left.len());
            left = &left[at..];
            Some(Utf16::new(string))
        })
    }

    /// The binary data.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The record's own bytes.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// A classic record as an event of the log it was read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClassicEvent<'a> {
    /// The record.
    pub record: ClassicRecord<'a>,
    /// The log, which is the event's channel; empty where nobody knows.
    pub log: &'a str,
}

impl FieldSource for ClassicEvent<'_> {
    fn field(&self, field: Field) -> Value<'_> {
        let record = &self.record;
        match field {
            Field::ProviderName => Value::Utf16(record.source()),
            Field::EventId => Value::UInt((record.full_id() & 0xffff).into()),
            Field::Qualifiers => Value::UInt((record.full_id() >> 16).into()),
            Field::Level => Value::UInt(record.event_type().level().into()),
            Field::Task => Value::UInt(record.category().into()),
            Field::Keywords => Value::Hex(record.event_type().keywords().0),
            Field::TimeCreated => Value::Time(record.time_generated()),
            Field::RecordId => Value::UInt(record.number().into()),
            Field::Channel if self.log.is_empty() => Value::Null,
            Field::Channel => Value::Str(self.log),
            Field::Computer => Value::Utf16(record.computer()),
            Field::UserId => record.user().map_or(Value::Null, Value::Sid),
            _ => Value::Null,
        }
    }

    fn each_data<'a, F>(&'a self, mut visit: F) -> ControlFlow<()>
    where
        F: FnMut(Option<DataName<'a>>, Value<'a>) -> ControlFlow<()>,
    {
        for string in self.record.strings() {
            visit(None, Value::Utf16(string))?;
        }
        match self.record.data() {
            [] => ControlFlow::Continue(()),
            data => visit(Some(DataName::new("Binary")), Value::Binary(data)),
        }
    }

    fn walk<'a, S: Sink<'a>>(&'a self, sink: &mut S) {
        sink.open("Event");
        sink.attribute("xmlns", &[Value::Str(Event::NAMESPACE)]);
        sink.open("System");
        let mut fields = Field::all().peekable();
        while let Some(field) = fields.next() {
            let name = field.element();
            // The element's other fields stand right after.
            let mut of_element = vec![field];
            while let Some(next) = fields.next_if(|next| next.element() == name) {
                of_element.push(next);
            }
            if of_element.iter().all(|field| self.field(*field).is_null()) {
                continue;
            }
            sink.open(name);
            let mut text = None;
            for field in of_element {
                match (field.attribute(), self.field(field)) {
                    (_, Value::Null) => {}
                    (Some(attribute), value) => sink.attribute(attribute, &[value]),
                    (None, value) => text = Some(value),
                }
            }
            if let Some(value) = text {
                sink.text(value);
            }
            sink.close(name, text.is_none());
        }
        sink.close("System", false);
        if self.record.strings().next().is_some() || !self.record.data().is_empty() {
            sink.open("EventData");
            let _ = self.each_data(|name, value| {
                let element = name.map_or("Data", |name| name.as_str());
                sink.open(element);
                sink.text(value);
                sink.close(element, false);
                ControlFlow::Continue(())
            });
            sink.close("EventData", false);
        }
        sink.close("Event", false);
    }

    fn has_more(&self) -> bool {
        false
    }
}

/// The units up to a NUL or the end, and the place after.
fn text(bytes: &[u8], at: usize, end: usize) -> (&[u8], usize) {
    let at = at.min(end);
    let (pairs, _) = bytes[at..end].as_chunks::<2>();
    match pairs.iter().position(|pair| *pair == [0, 0]) {
        Some(units) => (&bytes[at..at + 2 * units], at + 2 * units + 2),
        None => (&bytes[at..at + 2 * pairs.len()], end),
    }
}

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from(short(bytes, at)) | u32::from(short(bytes, at + 2)) << 16
}

/// Seconds since 1970, of the unsigned kind: until 2106.
fn seconds(unix: u32) -> EventTime {
    /// Seconds from 1601 to 1970.
    const BETWEEN: u64 = 11_644_473_600;
    EventTime::from_filetime((BETWEEN + u64::from(unix)) * 10_000_000)
}
