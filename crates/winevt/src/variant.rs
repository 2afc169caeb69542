//! Values as `EvtRender`, `EvtGetLogInfo` and `EvtGetQueryInfo` lay them into the caller's buffer
//! (`EVT_VARIANT` of `winevt.h`): an array of structures, and after it what their pointers point
//! to. Pointers are read as places in the buffer, and one that leads outside of it leads nowhere.
//!
//! | bytes | |
//! |---|---|
//! | 0 to 7 | a union: the value itself, or a pointer |
//! | 8 to 11 | `Count`: elements of an array, bytes of a binary value |
//! | 12 to 15 | `Type`: the type, and 0x80 for an array of it |

use std::num::NonZeroU8;

use quarry_event::{Ansi, EventTime, Guid, Sid, Utf16, Value};

/// The size of an `EVT_VARIANT`, with pointers of either size.
const VARIANT: usize = 16;

/// `EVT_VARIANT_TYPE_ARRAY`.
const ARRAY: u32 = 0x80;

/// Values in a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Values<'b> {
    memory: Memory<'b>,
    count: usize,
}

/// A buffer, and the address it has where its pointers come from.
#[derive(Clone, Copy, Debug)]
struct Memory<'b> {
    bytes: &'b [u8],
    address: u64,
    /// 4 or 8 bytes.
    pointer: NonZeroU8,
}

/// A value of any kind.
#[derive(Clone, Copy, Debug)]
pub enum Variant<'b> {
    /// One value; NULL too.
    Value(Value<'b>),
    /// An array.
    Array(Array<'b>),
    /// Of a type that is no event's (a handle), or that points to what isn't there.
    Unreadable,
}

/// The elements of an array, all of one type.
#[derive(Clone, Copy, Debug)]
pub struct Array<'b> {
    memory: Memory<'b>,
    kind: Kind,
    at: usize,
    count: usize,
}

/// The types (`EVT_VARIANT_TYPE`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Null,
    String,
    AnsiString,
    SByte,
    Byte,
    Int16,
    UInt16,
    Int32,
    UInt32,
    Int64,
    UInt64,
    Single,
    Double,
    Boolean,
    Binary,
    Guid,
    SizeT,
    FileTime,
    SysTime,
    Sid,
    HexInt32,
    HexInt64,
    EvtXml,
}

impl<'b> Values<'b> {
    /// `count` values that lie at the beginning of `bytes`, which had the address when they were
    /// written. Pointers have as many bytes as this program's.
    pub fn new(bytes: &'b [u8], address: usize, count: usize) -> Self {
        let pointer = const { NonZeroU8::new(size_of::<usize>() as u8).unwrap() };
        Values::with_pointers(bytes, address as u64, count, pointer)
    }

    fn with_pointers(bytes: &'b [u8], address: u64, count: usize, pointer: NonZeroU8) -> Self {
        // Whoever claims more has not written more.
        let count = count.min(bytes.len() / VARIANT);
        Values { memory: Memory { bytes, address, pointer }, count }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// A value by its place; NULL after the last.
    pub fn get(&self, place: usize) -> Variant<'b> {
        if place >= self.count {
            return Variant::Value(Value::Null);
        }
        self.memory.variant(place * VARIANT).unwrap_or(Variant::Unreadable)
    }

    /// A value by its place, where it is a single one; else NULL.
    pub fn value(&self, place: usize) -> Value<'b> {
        match self.get(place) {
            Variant::Value(value) => value,
            Variant::Array(_) | Variant::Unreadable => Value::Null,
        }
    }

    /// The values in their order.
    pub fn iter(&self) -> impl Iterator<Item = Variant<'b>> + use<'b> {
        let values = *self;
        (0..self.count).map(move |place| values.get(place))
    }
}

impl<'b> Array<'b> {
    /// The elements. One that can't be read is NULL.
    pub fn iter(&self) -> impl Iterator<Item = Value<'b>> + use<'b> {
        let Array { memory, kind, at, count } = *self;
        (0..count).map(move |n| memory.element(kind, at, n).unwrap_or_default())
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Kind {
    fn new(number: u32) -> Option<Self> {
        Some(match number {
            0 => Kind::Null,
            1 => Kind::String,
            2 => Kind::AnsiString,
            3 => Kind::SByte,
            4 => Kind::Byte,
            5 => Kind::Int16,
            6 => Kind::UInt16,
            7 => Kind::Int32,
            8 => Kind::UInt32,
            9 => Kind::Int64,
            10 => Kind::UInt64,
            11 => Kind::Single,
            12 => Kind::Double,
            13 => Kind::Boolean,
            14 => Kind::Binary,
            15 => Kind::Guid,
            16 => Kind::SizeT,
            17 => Kind::FileTime,
            18 => Kind::SysTime,
            19 => Kind::Sid,
            20 => Kind::HexInt32,
            21 => Kind::HexInt64,
            35 => Kind::EvtXml,
            _ => return None,
        })
    }

    /// The bytes that an element of an array takes: the value, or a pointer to it. Binary values
    /// have no arrays.
    fn stride(self, pointer: NonZeroU8) -> Option<usize> {
        Some(match self {
            Kind::Null | Kind::Binary => return None,
            Kind::SByte | Kind::Byte => 1,
            Kind::Int16 | Kind::UInt16 => 2,
            Kind::Int32 | Kind::UInt32 | Kind::HexInt32 | Kind::Single | Kind::Boolean => 4,
            Kind::Int64 | Kind::UInt64 | Kind::HexInt64 | Kind::Double | Kind::FileTime => 8,
            Kind::Guid | Kind::SysTime => 16,
            Kind::String | Kind::AnsiString | Kind::Sid | Kind::EvtXml | Kind::SizeT => {
                pointer.get().into()
            }
        })
    }
}

impl<'b> Memory<'b> {
    fn variant(&self, at: usize) -> Option<Variant<'b>> {
        let count = self.u32(at + 8)? as usize;
        let number = self.u32(at + 12)?;
        let Some(kind) = Kind::new(number & !ARRAY) else { return Some(Variant::Unreadable) };
        if number & ARRAY != 0 {
            return self.array(kind, at, count).map(Variant::Array);
        }
        let value = match kind {
            Kind::Null => Value::Null,
            Kind::Binary if count == 0 => Value::Binary(&[]),
            Kind::Binary => Value::Binary(self.behind(self.pointer(at)?)?.get(..count)?),
            Kind::Guid | Kind::SysTime => self.inline(kind, self.pointer(at)?)?,
            kind => self.inline(kind, at)?,
        };
        Some(Variant::Value(value))
    }

    fn array(&self, kind: Kind, at: usize, count: usize) -> Option<Array<'b>> {
        let stride = kind.stride(self.pointer)?;
        if count == 0 {
            return Some(Array { memory: *self, kind, at: 0, count });
        }
        let at = self.pointer(at)?;
        let is_inside = self.behind(at)?.len() >= count.checked_mul(stride)?;
        is_inside.then_some(Array { memory: *self, kind, at, count })
    }

    fn element(&self, kind: Kind, at: usize, n: usize) -> Option<Value<'b>> {
        self.inline(kind, at + n * kind.stride(self.pointer)?)
    }

    /// A value, or one that is pointed to from there.
    fn inline(&self, kind: Kind, at: usize) -> Option<Value<'b>> {
        Some(match kind {
            Kind::Null | Kind::Binary => return None,
            Kind::String | Kind::EvtXml => Value::Utf16(self.utf16(self.pointer(at)?)?),
            Kind::AnsiString => {
                let bytes = self.behind(self.pointer(at)?)?;
                Value::Ansi(Ansi::new(bytes, encoding_rs::WINDOWS_1252))
            }
            Kind::SByte => Value::Int(i8::from_le_bytes(self.array_at(at)?).into()),
            Kind::Byte => Value::UInt(u8::from_le_bytes(self.array_at(at)?).into()),
            Kind::Int16 => Value::Int(i16::from_le_bytes(self.array_at(at)?).into()),
            Kind::UInt16 => Value::UInt(u16::from_le_bytes(self.array_at(at)?).into()),
            Kind::Int32 => Value::Int(i32::from_le_bytes(self.array_at(at)?).into()),
            Kind::UInt32 => Value::UInt(self.u32(at)?.into()),
            Kind::Int64 => Value::Int(i64::from_le_bytes(self.array_at(at)?)),
            Kind::UInt64 => Value::UInt(self.u64(at)?),
            Kind::Single => Value::Float32(f32::from_le_bytes(self.array_at(at)?)),
            Kind::Double => Value::Float64(f64::from_le_bytes(self.array_at(at)?)),
            Kind::Boolean => Value::Bool(self.u32(at)? != 0),
            Kind::Guid => Value::Guid(Guid::from_bytes(self.array_at(at)?)),
            Kind::SizeT => Value::Hex(self.word(at)?),
            Kind::FileTime => Value::Time(EventTime::from_filetime(self.u64(at)?)),
            Kind::SysTime => Value::Time(EventTime::from_systemtime(&self.array_at(at)?)?),
            Kind::Sid => Value::Sid(Sid::split(self.behind(self.pointer(at)?)?)?.0),
            Kind::HexInt32 => Value::Hex(self.u32(at)?.into()),
            Kind::HexInt64 => Value::Hex(self.u64(at)?),
        })
    }

    /// Text up to its NUL, which has to be there.
    fn utf16(&self, at: usize) -> Option<Utf16<'b>> {
        let bytes = self.behind(at)?;
        let units = bytes.chunks_exact(2).position(|unit| unit == [0, 0])?;
        Some(Utf16::new(&bytes[..2 * units]))
    }

    /// Where in the buffer a pointer leads, if it does.
    fn pointer(&self, at: usize) -> Option<usize> {
        let offset = self.word(at)?.checked_sub(self.address)?;
        usize::try_from(offset).ok().filter(|offset| *offset < self.bytes.len())
    }

    fn behind(&self, at: usize) -> Option<&'b [u8]> {
        self.bytes.get(at..)
    }

    /// As many bytes as a pointer has, as a number.
    fn word(&self, at: usize) -> Option<u64> {
        match self.pointer.get() {
            4 => self.u32(at).map(u64::from),
            _ => self.u64(at),
        }
    }

    fn u32(&self, at: usize) -> Option<u32> {
        self.array_at(at).map(u32::from_le_bytes)
    }

    fn u64(&self, at: usize) -> Option<u64> {
        self.array_at(at).map(u64::from_le_bytes)
    }

    fn array_at<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.behind(at)?.first_chunk().copied()
    }
}

#[cfg(test)]
mod tests;
