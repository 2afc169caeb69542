//! The types that values have.

use crate::value::ARRAY;

/// The type of a value (MS-EVEN6 2.2.12, ValueType).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
#[allow(missing_docs)] // They are called as in the specification.
#[non_exhaustive]
pub enum ValueType {
    Null = 0x00,
    String = 0x01,
    AnsiString = 0x02,
    Int8 = 0x03,
    UInt8 = 0x04,
    Int16 = 0x05,
    UInt16 = 0x06,
    Int32 = 0x07,
    UInt32 = 0x08,
    Int64 = 0x09,
    UInt64 = 0x0a,
    Real32 = 0x0b,
    Real64 = 0x0c,
    Bool = 0x0d,
    Binary = 0x0e,
    Guid = 0x0f,
    SizeT = 0x10,
    FileTime = 0x11,
    SysTime = 0x12,
    Sid = 0x13,
    HexInt32 = 0x14,
    HexInt64 = 0x15,
    BinXml = 0x21,
    StringArray = 0x81,
    AnsiStringArray = 0x82,
    Int8Array = 0x83,
    UInt8Array = 0x84,
    Int16Array = 0x85,
    UInt16Array = 0x86,
    Int32Array = 0x87,
    UInt32Array = 0x88,
    Int64Array = 0x89,
    UInt64Array = 0x8a,
    Real32Array = 0x8b,
    Real64Array = 0x8c,
    BoolArray = 0x8d,
    GuidArray = 0x8f,
    SizeTArray = 0x90,
    FileTimeArray = 0x91,
    SysTimeArray = 0x92,
    SidArray = 0x93,
    HexInt32Array = 0x94,
    HexInt64Array = 0x95,
}

impl ValueType {
    /// The type of an array of values of this type, where there can be arrays of it.
    pub fn array(self) -> Option<ValueType> {
        use ValueType as T;
        Some(match self {
            T::String => T::StringArray,
            T::AnsiString => T::AnsiStringArray,
            T::Int8 => T::Int8Array,
            T::UInt8 => T::UInt8Array,
            T::Int16 => T::Int16Array,
            T::UInt16 => T::UInt16Array,
            T::Int32 => T::Int32Array,
            T::UInt32 => T::UInt32Array,
            T::Int64 => T::Int64Array,
            T::UInt64 => T::UInt64Array,
            T::Real32 => T::Real32Array,
            T::Real64 => T::Real64Array,
            T::Bool => T::BoolArray,
            T::Guid => T::GuidArray,
            T::SizeT => T::SizeTArray,
            T::FileTime => T::FileTimeArray,
            T::SysTime => T::SysTimeArray,
            T::Sid => T::SidArray,
            T::HexInt32 => T::HexInt32Array,
            T::HexInt64 => T::HexInt64Array,
            _ => return None,
        })
    }

    /// The type's number, which in an array has a bit set.
    pub fn code(self) -> u8 {
        let code = self as u8;
        debug_assert!(code & ARRAY == 0 || code & !ARRAY <= 0x15);
        code
    }
}
