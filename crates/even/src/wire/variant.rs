//! `EvtRpcVariant` and its list (2.2.7 to 2.2.9). A variant is aligned to 8, its
//! union repeats the type, and each arm has its own alignment.

use quarry_rpc::ndr::{NdrReader, NdrWriter, WideString};
use quarry_rpc::{NdrError, UsageError};
use uuid::Uuid;

use crate::limits::*;

/// A value with its flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// 1 when a client changed the value that it sends back, else 0.
    pub flags: u32,
    /// The value.
    pub value: VariantValue,
}

/// The value of a [`Variant`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VariantValue {
    /// No value.
    Null,
    /// An octet; 0 is false.
    Boolean(bool),
    /// A 32-bit integer.
    UInt32(u32),
    /// A 64-bit integer.
    UInt64(u64),
    /// A string; may be null.
    String(Option<WideString>),
    /// A GUID; may be null.
    Guid(Option<Uuid>),
    /// Octets.
    BooleanArray(Vec<bool>),
    /// 32-bit integers.
    UInt32Array(Vec<u32>),
    /// 64-bit integers.
    UInt64Array(Vec<u64>),
    /// Strings, any of them null.
    StringArray(Vec<Option<WideString>>),
    /// GUIDs.
    GuidArray(Vec<Uuid>),
}

/// `EvtRpcVariantType` (2.2.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[expect(missing_docs, reason = "the names are the definition's")]
pub enum VariantType {
    Null = 0,
    Boolean,
    UInt32,
    UInt64,
    String,
    Guid,
    BooleanArray,
    UInt32Array,
    UInt64Array,
    StringArray,
    GuidArray,
}

impl VariantType {
    fn from_number(number: u32) -> Option<Self> {
        const ALL: [VariantType; 11] = [
            VariantType::Null,
            VariantType::Boolean,
            VariantType::UInt32,
            VariantType::UInt64,
            VariantType::String,
            VariantType::Guid,
            VariantType::BooleanArray,
            VariantType::UInt32Array,
            VariantType::UInt64Array,
            VariantType::StringArray,
            VariantType::GuidArray,
        ];
        ALL.get(number as usize).copied()
    }
}

impl VariantValue {
    /// The value's type.
    pub fn variant_type(&self) -> VariantType {
        match self {
            Self::Null => VariantType::Null,
            Self::Boolean(_) => VariantType::Boolean,
            Self::UInt32(_) => VariantType::UInt32,
            Self::UInt64(_) => VariantType::UInt64,
            Self::String(_) => VariantType::String,
            Self::Guid(_) => VariantType::Guid,
            Self::BooleanArray(_) => VariantType::BooleanArray,
            Self::UInt32Array(_) => VariantType::UInt32Array,
            Self::UInt64Array(_) => VariantType::UInt64Array,
            Self::StringArray(_) => VariantType::StringArray,
            Self::GuidArray(_) => VariantType::GuidArray,
        }
    }
}

impl From<&str> for VariantValue {
    fn from(text: &str) -> Self {
        Self::String(Some(text.into()))
    }
}

/// `EvtRpcVariantList`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VariantList(pub Vec<Variant>);

impl<T: Into<VariantValue>> FromIterator<T> for VariantList {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self(values.into_iter().map(|value| Variant { flags: 0, value: value.into() }).collect())
    }
}

/// Least size of a variant in an array, in bytes.
const MIN_VARIANT_LEN: usize = 13;

/// A list's count, and whether its array follows.
pub(super) struct ListShell {
    count: u32,
    set: bool,
}

/// A variant whose referent, if it has one, is still to come.
struct Shell {
    kind: VariantType,
    flags: u32,
    /// The value of a scalar, the count of an array.
    scalar: u64,
    set: bool,
}

impl VariantList {
    pub(super) fn write_shell(&self, w: &mut NdrWriter) -> Result<(), UsageError> {
        w.count("variants", self.0.len(), 0..=MAX_VARIANT_LIST_COUNT)?;
        w.pointer(!self.0.is_empty());
        Ok(())
    }

    pub(super) fn write_referents(&self, w: &mut NdrWriter) -> Result<(), UsageError> {
        if self.0.is_empty() {
            return Ok(());
        }
        w.u32(self.0.len() as u32);
        self.0.iter().try_for_each(|variant| write_variant(w, variant))?;
        self.0.iter().try_for_each(|variant| write_referent(w, &variant.value))
    }

    pub(super) fn read_shell(r: &mut NdrReader<'_>) -> Result<ListShell, NdrError> {
        let count = r.count("variants", 0..=MAX_VARIANT_LIST_COUNT, 0)? as u32;
        Ok(ListShell { count, set: r.pointer()? })
    }

    pub(super) fn read_referents(
        r: &mut NdrReader<'_>,
        shell: ListShell,
    ) -> Result<Self, NdrError> {
        if !shell.set {
            if shell.count != 0 {
                return Err(NdrError::Null("variants"));
            }
            return Ok(Self::default());
        }
        r.nested(|r| {
            let count = r.same_count("variants", shell.count, MIN_VARIANT_LEN)?;
            let mut shells = Vec::with_capacity(count);
            for _ in 0..count {
                shells.push(read_variant(r)?);
            }
            let variants = shells.into_iter().map(|shell| {
                let flags = shell.flags;
                Ok(Variant { flags, value: read_referent(r, shell)? })
            });
            variants.collect::<Result<_, _>>().map(Self)
        })
    }
}

fn write_variant(w: &mut NdrWriter, variant: &Variant) -> Result<(), UsageError> {
    w.align(8);
    let kind = variant.value.variant_type() as u32;
    w.u32(kind);
    w.u32(variant.flags);
    w.u32(kind);
    let mut array = |len: usize, max: u32| {
        w.count("array in a variant", len, 0..=max)?;
        w.pointer(len != 0);
        Ok(())
    };
    match &variant.value {
        VariantValue::BooleanArray(values) => return array(values.len(), MAX_BOOL_ARRAY_COUNT),
        VariantValue::UInt32Array(values) => return array(values.len(), MAX_UINT32_ARRAY_COUNT),
        VariantValue::UInt64Array(values) => return array(values.len(), MAX_UINT64_ARRAY_COUNT),
        VariantValue::StringArray(values) => return array(values.len(), MAX_STRING_ARRAY_COUNT),
        VariantValue::GuidArray(values) => return array(values.len(), MAX_GUID_ARRAY_COUNT),
        VariantValue::Null => w.u32(0),
        VariantValue::Boolean(value) => w.u8((*value).into()),
        VariantValue::UInt32(value) => w.u32(*value),
        VariantValue::UInt64(value) => w.u64(*value),
        VariantValue::String(value) => w.pointer(value.is_some()),
        VariantValue::Guid(value) => w.pointer(value.is_some()),
    }
    Ok(())
}

fn write_referent(w: &mut NdrWriter, value: &VariantValue) -> Result<(), UsageError> {
    let text = |w: &mut NdrWriter, text: &WideString| {
        w.wide_string("string in a variant", text, 1..=MAX_STRING_LENGTH)
    };
    match value {
        VariantValue::String(Some(value)) => return text(w, value),
        VariantValue::Guid(Some(value)) => w.uuid(value),
        VariantValue::BooleanArray(values) if !values.is_empty() => {
            w.u32(values.len() as u32);
            values.iter().for_each(|value| w.u8((*value).into()));
        }
        VariantValue::UInt32Array(values) if !values.is_empty() => {
            w.u32(values.len() as u32);
            w.u32_array(values);
        }
        VariantValue::UInt64Array(values) if !values.is_empty() => {
            w.u32(values.len() as u32);
            values.iter().for_each(|value| w.u64(*value));
        }
        VariantValue::StringArray(values) if !values.is_empty() => {
            w.u32(values.len() as u32);
            values.iter().for_each(|value| w.pointer(value.is_some()));
            return values.iter().flatten().try_for_each(|value| text(w, value));
        }
        VariantValue::GuidArray(values) if !values.is_empty() => {
            w.u32(values.len() as u32);
            values.iter().for_each(|value| w.uuid(value));
        }
        _ => {}
    }
    Ok(())
}

fn read_variant(r: &mut NdrReader<'_>) -> Result<Shell, NdrError> {
    r.align(8)?;
    let number = r.u32()?;
    let flags = r.u32()?;
    let switch = r.u32()?;
    if switch != number {
        let what = "type of a variant";
        return Err(NdrError::Disagree { what, one: number.into(), other: switch.into() });
    }
    let kind = VariantType::from_number(number)
        .ok_or(NdrError::BadValue { what: "type of a variant", value: number.into() })?;
    let mut array = |max: u32| {
        // The pointer follows at once, so the count is held against it later.
        let count = r.count("array in a variant", 0..=max, 0)?;
        Ok((count as u64, r.pointer()?))
    };
    let (scalar, set) = match kind {
        VariantType::BooleanArray => array(MAX_BOOL_ARRAY_COUNT)?,
        VariantType::UInt32Array => array(MAX_UINT32_ARRAY_COUNT)?,
        VariantType::UInt64Array => array(MAX_UINT64_ARRAY_COUNT)?,
        VariantType::StringArray => array(MAX_STRING_ARRAY_COUNT)?,
        VariantType::GuidArray => array(MAX_GUID_ARRAY_COUNT)?,
        VariantType::Null => (r.u32()?.into(), false),
        VariantType::Boolean => (r.u8()?.into(), false),
        VariantType::UInt32 => (r.u32()?.into(), false),
        VariantType::UInt64 => (r.u64()?, false),
        VariantType::String | VariantType::Guid => (0, r.pointer()?),
    };
    Ok(Shell { kind, flags, scalar, set })
}

fn read_referent(r: &mut NdrReader<'_>, shell: Shell) -> Result<VariantValue, NdrError> {
    const TEXT: &str = "string in a variant";
    let mut count = |min_size: usize| {
        if !shell.set {
            return match shell.scalar {
                0 => Ok(0),
                _ => Err(NdrError::Null("array in a variant")),
            };
        }
        r.same_count("array in a variant", shell.scalar as u32, min_size)
    };
    Ok(match shell.kind {
        VariantType::Null => VariantValue::Null,
        VariantType::Boolean => VariantValue::Boolean(shell.scalar != 0),
        VariantType::UInt32 => VariantValue::UInt32(shell.scalar as u32),
        VariantType::UInt64 => VariantValue::UInt64(shell.scalar),
        VariantType::String if !shell.set => VariantValue::String(None),
        VariantType::String => {
            VariantValue::String(Some(r.wide_string(TEXT, 1..=MAX_STRING_LENGTH)?))
        }
        VariantType::Guid if !shell.set => VariantValue::Guid(None),
        VariantType::Guid => VariantValue::Guid(Some(r.uuid()?)),
        VariantType::BooleanArray => {
            let count = count(1)?;
            VariantValue::BooleanArray(r.bytes(count)?.iter().map(|value| *value != 0).collect())
        }
        VariantType::UInt32Array => {
            let count = count(4)?;
            VariantValue::UInt32Array(if count == 0 { Vec::new() } else { r.u32_array(count)? })
        }
        VariantType::UInt64Array => {
            let count = count(8)?;
            VariantValue::UInt64Array((0..count).map(|_| r.u64()).collect::<Result<_, _>>()?)
        }
        VariantType::StringArray => {
            let count = count(4)?;
            let set = (0..count).map(|_| r.pointer()).collect::<Result<Vec<_>, _>>()?;
            let text =
                |set: bool| set.then(|| r.wide_string(TEXT, 1..=MAX_STRING_LENGTH)).transpose();
            VariantValue::StringArray(set.into_iter().map(text).collect::<Result<_, _>>()?)
        }
        VariantType::GuidArray => {
            let count = count(16)?;
            VariantValue::GuidArray((0..count).map(|_| r.uuid()).collect::<Result<_, _>>()?)
        }
    })
}
