//! Values with their types.

use std::borrow::Cow;

use encoding_rs::Encoding;
use quarry_event::{EventTime, Guid, Sid};

use crate::cursor::Dialect;
use crate::write::{Fragment, ValueType, WriteError};

/// A value of a type.
#[derive(Clone, PartialEq, Debug)]
pub enum TypedValue<'a> {
    /// No value.
    Null,
    /// Text. Readers end it at a NUL.
    String(Cow<'a, str>),
    /// Text as UTF-16 units, which need not be whole characters.
    Utf16(Cow<'a, [u16]>),
    /// Text in the bytes of a code page: see [`ansi`](Self::ansi).
    AnsiString(Cow<'a, [u8]>),
    /// A signed integer of one byte.
    Int8(i8),
    /// An unsigned integer of one byte.
    UInt8(u8),
    /// A signed integer of two bytes.
    Int16(i16),
    /// An unsigned integer of two bytes.
    UInt16(u16),
    /// A signed integer of four bytes.
    Int32(i32),
    /// An unsigned integer of four bytes.
    UInt32(u32),
    /// A signed integer of eight bytes.
    Int64(i64),
    /// An unsigned integer of eight bytes.
    UInt64(u64),
    /// A number of single precision.
    Real32(f32),
    /// A number of double precision.
    Real64(f64),
    /// True or false: four bytes in a file, one on the wire.
    Bool(bool),
    /// Bytes.
    Binary(Cow<'a, [u8]>),
    /// A GUID.
    Guid(Guid),
    /// A size or pointer of a server of 32 bits.
    Size32(u32),
    /// A size or pointer of a server of 64 bits.
    Size64(u64),
    /// A point in time.
    FileTime(EventTime),
    /// A point in time as a SYSTEMTIME, which keeps milliseconds only.
    SysTime(EventTime),
    /// A security identifier.
    Sid(Sid<'a>),
    /// Four bytes, shown in hexadecimal.
    HexInt32(u32),
    /// Eight bytes, shown in hexadecimal.
    HexInt64(u64),
    /// BinXML of its own, for a place in the content of an element.
    BinXml(Box<Fragment<'a>>),
    /// Values of one type: any but NULL, binary, BinXML and arrays. A Boolean in an array has
    /// four bytes in both dialects.
    Array {
        /// The items' type.
        of: ValueType,
        /// The items.
        items: Vec<TypedValue<'a>>,
    },
}

impl<'a> TypedValue<'a> {
    /// Text in a code page, where the code page has all of its characters.
    ///
    /// # Errors
    /// [`WriteError::CodePage`]: the code page lacks a character, or is one that is only decoded.
    pub fn ansi(text: &'a str, code_page: &'static Encoding) -> Result<Self, WriteError> {
        let (bytes, encoding, has_unmappable) = code_page.encode(text);
        // An encoding that is only decoded gives UTF-8 instead.
        if has_unmappable || encoding != code_page {
            return Err(WriteError::CodePage);
        }
        Ok(TypedValue::AnsiString(bytes))
    }

    /// The value's type.
    pub fn value_type(&self) -> ValueType {
        match self {
            TypedValue::Null => ValueType::Null,
            TypedValue::String(_) | TypedValue::Utf16(_) => ValueType::String,
            TypedValue::AnsiString(_) => ValueType::AnsiString,
            TypedValue::Int8(_) => ValueType::Int8,
            TypedValue::UInt8(_) => ValueType::UInt8,
            TypedValue::Int16(_) => ValueType::Int16,
            TypedValue::UInt16(_) => ValueType::UInt16,
            TypedValue::Int32(_) => ValueType::Int32,
            TypedValue::UInt32(_) => ValueType::UInt32,
            TypedValue::Int64(_) => ValueType::Int64,
            TypedValue::UInt64(_) => ValueType::UInt64,
            TypedValue::Real32(_) => ValueType::Real32,
            TypedValue::Real64(_) => ValueType::Real64,
            TypedValue::Bool(_) => ValueType::Bool,
            TypedValue::Binary(_) => ValueType::Binary,
            TypedValue::Guid(_) => ValueType::Guid,
            TypedValue::Size32(_) | TypedValue::Size64(_) => ValueType::SizeT,
            TypedValue::FileTime(_) => ValueType::FileTime,
            TypedValue::SysTime(_) => ValueType::SysTime,
            TypedValue::Sid(_) => ValueType::Sid,
            TypedValue::HexInt32(_) => ValueType::HexInt32,
            TypedValue::HexInt64(_) => ValueType::HexInt64,
            TypedValue::BinXml(_) => ValueType::BinXml,
            TypedValue::Array { of, .. } => of.array().unwrap_or(*of),
        }
    }

    /// Writes the bytes of any value but BinXML.
    pub(crate) fn push(&self, dialect: Dialect, out: &mut Vec<u8>) -> Result<(), WriteError> {
        match self {
            TypedValue::Null | TypedValue::BinXml(_) => {}
            TypedValue::String(text) => push_text(text, out),
            TypedValue::Utf16(units) => push_units(units.iter().copied(), out),
            TypedValue::AnsiString(bytes) | TypedValue::Binary(bytes) => {
                out.extend_from_slice(bytes);
            }
            TypedValue::Int8(number) => out.extend_from_slice(&number.to_le_bytes()),
            TypedValue::UInt8(number) => out.push(*number),
            TypedValue::Int16(number) => out.extend_from_slice(&number.to_le_bytes()),
            TypedValue::UInt16(number) => out.extend_from_slice(&number.to_le_bytes()),
            TypedValue::Int32(number) => out.extend_from_slice(&number.to_le_bytes()),
            TypedValue::UInt32(number) => out.extend_from_slice(&number.to_le_bytes()),
            TypedValue::Int64(number) => out.extend_from_slice(&number.to_le_bytes()),
            TypedValue::UInt64(number) => out.extend_from_slice(&number.to_le_bytes()),
            TypedValue::Real32(number) => out.extend_from_slice(&number.to_le_bytes()),
            TypedValue::Real64(number) => out.extend_from_slice(&number.to_le_bytes()),
            TypedValue::Bool(value) => match dialect {
                Dialect::Wire => out.push((*value).into()),
                Dialect::File => out.extend_from_slice(&u32::from(*value).to_le_bytes()),
            },
            TypedValue::Guid(guid) => out.extend_from_slice(&guid.to_bytes()),
            TypedValue::Size32(number) => out.extend_from_slice(&number.to_le_bytes()),
            TypedValue::Size64(number) => out.extend_from_slice(&number.to_le_bytes()),
            TypedValue::FileTime(time) => out.extend_from_slice(&time.as_filetime().to_le_bytes()),
            TypedValue::SysTime(time) => push_system_time(*time, out)?,
            TypedValue::Sid(sid) => out.extend_from_slice(sid.as_bytes()),
            TypedValue::HexInt32(number) => out.extend_from_slice(&number.to_le_bytes()),
            TypedValue::HexInt64(number) => out.extend_from_slice(&number.to_le_bytes()),
            TypedValue::Array { of, items } => push_array(*of, items, out)?,
        }
        Ok(())
    }
}

fn push_array(
    of: ValueType,
    items: &[TypedValue<'_>],
    out: &mut Vec<u8>,
) -> Result<(), WriteError> {
    let wrong = WriteError::ArrayItem { of };
    if of.array().is_none() {
        return Err(wrong);
    }
    for item in items {
        // Readers take the items of an array to be of eight bytes when they don't know better.
        if item.value_type() != of || matches!(item, TypedValue::Size32(_)) {
            return Err(wrong);
        }
        let start = out.len();
        item.push(Dialect::File, out)?;
        // Text ends with a NUL, by which the items are told apart.
        match of {
            ValueType::String => {
                if out[start..].chunks_exact(2).any(|unit| unit == [0, 0]) {
                    return Err(wrong);
                }
                out.extend_from_slice(&[0, 0]);
            }
            ValueType::AnsiString => {
                if out[start..].contains(&0) {
                    return Err(wrong);
                }
                out.push(0);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Writes text as UTF-16.
pub(crate) fn push_text(text: &str, out: &mut Vec<u8>) {
    if !text.is_ascii() {
        return push_units(text.encode_utf16(), out);
    }
    let start = out.len();
    out.resize(start + 2 * text.len(), 0);
    let (units, _) = out[start..].as_chunks_mut::<2>();
    units.iter_mut().zip(text.as_bytes()).for_each(|(unit, byte)| unit[0] = *byte);
}

pub(crate) fn push_units(units: impl Iterator<Item = u16>, out: &mut Vec<u8>) {
    units.for_each(|unit| out.extend_from_slice(&unit.to_le_bytes()));
}

/// A SYSTEMTIME (MS-DTYP 2.3.13), which has years up to 30827.
fn push_system_time(time: EventTime, out: &mut Vec<u8>) -> Result<(), WriteError> {
    const DAY: u64 = 24 * 60 * 60 * EventTime::SECOND;
    let text = time.to_string();
    let number = |text: &str| text.parse::<u16>().map_err(|_| WriteError::Time);
    let (date, clock) = text.split_once('T').ok_or(WriteError::Time)?;
    let mut date = date.splitn(3, '-');
    let mut clock = clock.split([':', '.', 'Z']);
    let mut parts = [0; 7];
    for (i, part) in parts.iter_mut().enumerate() {
        let next = if i < 3 { date.next() } else { clock.next() };
        let digits = next.ok_or(WriteError::Time)?;
        // Of the fraction's seven digits, three are milliseconds.
        *part = number(if i == 6 { digits.get(..3).unwrap_or(digits) } else { digits })?;
    }
    let [year, month, day, hour, minute, second, milliseconds] = parts;
    if year > 30_827 {
        return Err(WriteError::Time);
    }
    // 1601-01-01 was a Monday, and weeks begin with Sunday.
    let weekday = ((time.as_filetime() / DAY + 1) % 7) as u16;
    push_units([year, month, weekday, day, hour, minute, second, milliseconds].into_iter(), out);
    Ok(())
}
