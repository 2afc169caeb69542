//! `BinXmlVariant` (2.2.18): in which a log's properties are answered.

/// Length of the encoded form, in bytes.
pub const BINXML_VARIANT_LEN: usize = 16;

/// A value with its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinXmlVariant {
    /// `BinXmlVarUInt32`.
    UInt32(u32),
    /// `BinXmlVarUInt64`.
    UInt64(u64),
    /// `BinXmlVarBool`.
    Bool(bool),
    /// `BinXmlVarFileTime`: 100 ns units since 1601, UTC.
    FileTime(u64),
}

impl BinXmlVariant {
    /// Encodes the value; what the definition leaves open is zero.
    pub fn encode(&self) -> [u8; BINXML_VARIANT_LEN] {
        let (value, kind) = match *self {
            Self::UInt32(value) => (u64::from(value), 0x08u32),
            Self::UInt64(value) => (value, 0x0a),
            Self::Bool(value) => (u64::from(value), 0x0d),
            Self::FileTime(value) => (value, 0x11),
        };
        let mut bytes = [0; BINXML_VARIANT_LEN];
        bytes[..8].copy_from_slice(&value.to_le_bytes());
        // Not used, and ignored when read.
        bytes[8..12].copy_from_slice(&1u32.to_le_bytes());
        bytes[12..].copy_from_slice(&kind.to_le_bytes());
        bytes
    }

    /// Decodes a value; `None` for fewer bytes or an unknown type.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<BINXML_VARIANT_LEN>()?;
        let (value, rest) = bytes.split_first_chunk::<8>()?;
        let (_, kind) = rest.split_first_chunk::<4>()?;
        let value = u64::from_le_bytes(*value);
        Some(match u32::from_le_bytes(*kind.first_chunk()?) {
            // Four bytes after the value are arbitrary.
            0x08 => Self::UInt32(value as u32),
            0x0a => Self::UInt64(value),
            0x0d => Self::Bool(value as u32 != 0),
            0x11 => Self::FileTime(value),
            _ => return None,
        })
    }

    /// The value of a count or a time, whatever its width.
    pub fn as_u64(&self) -> u64 {
        match *self {
            Self::UInt32(value) => value.into(),
            Self::UInt64(value) | Self::FileTime(value) => value,
            Self::Bool(value) => value.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_laid_out_as_2_2_18_says() {
        let bytes = [32, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x0a, 0, 0, 0];
        assert_eq!(BinXmlVariant::decode(&bytes), Some(BinXmlVariant::UInt64(32)));
        assert_eq!(BinXmlVariant::UInt64(32).encode(), bytes);
    }

    #[test]
    fn bytes_after_a_narrow_value_are_ignored() {
        let bytes = [1, 0, 0, 0, 9, 9, 9, 9, 7, 7, 7, 7, 0x0d, 0, 0, 0];
        assert_eq!(BinXmlVariant::decode(&bytes), Some(BinXmlVariant::Bool(true)));
        let bytes = [2, 0, 0, 0, 9, 9, 9, 9, 7, 7, 7, 7, 0x08, 0, 0, 0];
        assert_eq!(BinXmlVariant::decode(&bytes), Some(BinXmlVariant::UInt32(2)));
    }

    #[test]
    fn unknown_types_and_short_values_are_none() {
        assert_eq!(BinXmlVariant::decode(&[0; 15]), None);
        assert_eq!(BinXmlVariant::decode(&[0; 16]), None);
    }
}
