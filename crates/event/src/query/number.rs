//! Numbers as queries compare them: whole ones exactly, whatever their size.

use crate::Value;
use crate::text::Plain;

/// A number of a query or of an event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Whole(i128),
    /// Never NaN.
    Float(f64),
}

impl Number {
    /// The number that a text is (MS-EVEN6 2.2.15.2, Double and UINT64): decimal with a sign, a
    /// fraction and an exponent, or `0x…` of up to 64 bits; blanks around it don't count.
    pub(crate) fn parse(text: &str) -> Option<Number> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            let digits = !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
            return digits.then(|| u64::from_str_radix(hex, 16).ok())?.map(Number::from);
        }
        // What begins otherwise is no number; so `inf` and `nan` are none, which Rust would read.
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return None;
        }
        match text.parse() {
            Ok(whole) => Some(Number::Whole(whole)),
            Err(_) => text.parse().ok().map(Number::Float),
        }
    }

    /// The number that a value's text is.
    #[inline]
    pub(crate) fn of_value(value: &Value<'_>) -> Option<Number> {
        match value {
            Value::UInt(number) | Value::Hex(number) => Some(Number::from(*number)),
            Value::Int(number) => Some(Number::Whole((*number).into())),
            Value::Str(text) => Number::parse(text),
            Value::Null | Value::Bool(_) | Value::Guid(_) | Value::Time(_) | Value::Sid(_) => None,
            _ => {
                let mut text = Vec::new();
                value.push::<Plain>(&mut text);
                Number::parse(std::str::from_utf8(&text).ok()?)
            }
        }
    }

    /// The set of bits that a value's text is: a whole number of up to 64 bits.
    #[inline]
    pub(crate) fn bits(value: &Value<'_>) -> Option<u64> {
        match value {
            Value::UInt(bits) | Value::Hex(bits) => Some(*bits),
            _ => Number::of_value(value)?.as_u64(),
        }
    }

    /// The number where it is a whole one of up to 64 bits.
    pub(crate) fn as_u64(self) -> Option<u64> {
        match self {
            Number::Whole(whole) => u64::try_from(whole).ok(),
            Number::Float(_) => None,
        }
    }
}

impl From<u64> for Number {
    #[inline]
    fn from(number: u64) -> Self {
        Number::Whole(number.into())
    }
}

impl PartialEq for Number {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.partial_cmp(other) == Some(std::cmp::Ordering::Equal)
    }
}

impl PartialOrd for Number {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        let float = |number: &Number| match number {
            Number::Whole(whole) => *whole as f64,
            Number::Float(float) => *float,
        };
        match (self, other) {
            (Number::Whole(a), Number::Whole(b)) => Some(a.cmp(b)),
            _ => float(self).partial_cmp(&float(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_a_number_as_the_specification_says() {
        let same = |text, number: f64| {
            assert_eq!(Number::parse(text), Some(Number::Float(number)), "{text}");
        };
        same("4624", 4624.0);
        same(" -5\n", -5.0);
        same("+1.50", 1.5);
        same(".5", 0.5);
        same("1.", 1.0);
        same("1e3", 1000.0);
        same("0xFf", 255.0);
        same("18446744073709551616", 18446744073709551616.0);
        for text in ["", "-", ".", "x", "0x", "0x1g", "0x10000000000000000", "1 2", "inf", "NaN"] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
        assert_eq!(Number::parse("-inf"), None);
    }

    #[test]
    fn whole_numbers_of_64_bits_are_told_apart() {
        assert!(Number::from(u64::MAX) > Number::from(u64::MAX - 1));
        assert_eq!(Number::of_value(&Value::Hex(7)), Number::parse("7"));
        assert!(Number::of_value(&Value::Float32(0.1)) == Number::parse("0.1"));
        assert_eq!(Number::of_value(&Value::Binary(&[0x12])), Number::parse("12"));
        assert!(Number::of_value(&Value::Float64(f64::NAN)).is_none());
    }
}
