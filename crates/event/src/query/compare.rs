//! How a value of an event compares with a literal of a query.
//!
//! Only the value's text counts, so that a record's typed value and a decoded event's text always
//! agree; where the type makes the answer plain, the text isn't made.

use super::Number;
use super::ast::{Kind, Literal, Op};
use crate::text::Plain;
use crate::{EventTime, Guid, Value};

impl Literal {
    /// Whether a value compares with the literal as it should. NULL is taken as empty text.
    ///
    /// * With a number, numbers compare: text that is none is unequal to every number (XPath 1.0,
    ///   3.4).
    /// * With a time or a GUID, times or GUIDs compare, and nothing else does (MS-EVEN6 2.2.15.2).
    /// * With `'0x…'`, numbers compare too.
    /// * With other text, `=` and `!=` compare text, case and all, the others numbers.
    #[inline]
    pub(crate) fn compares(&self, value: &Value<'_>, op: Op, scratch: &mut Vec<u8>) -> bool {
        match (&self.kind, value) {
            (Kind::Number(number) | Kind::Hex(number), Value::UInt(n) | Value::Hex(n)) => {
                op.holds(&Number::from(*n), number)
            }
            (Kind::Time(time), Value::Time(t)) => op.holds(t, time),
            (Kind::Text(_), Value::Str(text)) => self.compares_text(text, op),
            (Kind::Text(_), Value::Utf16(text)) if op == Op::Eq => *text == *self.text,
            (Kind::Text(_), Value::Utf16(text)) if op == Op::Ne => *text != *self.text,
            _ => {
                scratch.clear();
                value.push::<Plain>(scratch);
                match std::str::from_utf8(scratch) {
                    Ok(text) => self.compares_text(text, op),
                    Err(_) => false,
                }
            }
        }
    }

    /// The same for a value's text.
    pub(crate) fn compares_text(&self, text: &str, op: Op) -> bool {
        match &self.kind {
            Kind::Number(number) | Kind::Hex(number) => match Number::parse(text) {
                Some(n) => op.holds(&n, number),
                None => op == Op::Ne,
            },
            Kind::Time(time) => EventTime::parse(text).is_some_and(|t| op.holds(&t, time)),
            Kind::Guid(guid) => match (Guid::parse(text), op) {
                (Some(g), Op::Eq) => g == *guid,
                (Some(g), Op::Ne) => g != *guid,
                _ => false,
            },
            Kind::Text(number) => match op {
                Op::Eq => *text == *self.text,
                Op::Ne => *text != *self.text,
                _ => match (Number::parse(text), number) {
                    (Some(n), Some(number)) => op.holds(&n, number),
                    _ => false,
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Sid, Utf16};

    fn number(text: &str) -> Literal {
        Literal { text: text.to_owned(), kind: Kind::Number(Number::parse(text).unwrap()) }
    }

    #[test]
    fn a_number_compares_with_numbers_in_any_notation() {
        for (value, op, literal, expected) in [
            ("4624", Op::Eq, "4624", true),
            ("0x1210", Op::Eq, "4624", true),
            ("4624.0", Op::Eq, "4624", true),
            ("10", Op::Gt, "9", true),
            ("abc", Op::Eq, "1", false),
            ("abc", Op::Ne, "1", true),
            ("abc", Op::Lt, "1", false),
            ("", Op::Eq, "0", false),
        ] {
            assert_eq!(
                number(literal).compares_text(value, op),
                expected,
                "{value} {op} {literal}"
            );
        }
    }

    #[test]
    fn text_in_quotes_compares_as_its_syntax_says() {
        let guid = "{54849625-5478-4994-a5ba-3e3b0328c30d}";
        for (value, op, literal, expected) in [
            ("Alice", Op::Eq, "Alice", true),
            ("Alice", Op::Eq, "alice", false),
            ("4624", Op::Eq, "4624", true),
            ("4624", Op::Eq, "04624", false),
            ("10", Op::Gt, "9", true),
            ("b", Op::Gt, "a", false),
            ("255", Op::Eq, "0xFF", true),
            ("0xff", Op::Eq, "0xFF", true),
            ("0xff", Op::Eq, "255", false),
            ("2026-08-22T10:00:00.1230000Z", Op::Eq, "2026-08-22T10:00:00.123Z", true),
            ("2026-08-22T10:00:00.1230001Z", Op::Le, "2026-08-22T10:00:00.123Z", false),
            ("later", Op::Ne, "2026-08-22T10:00:00.123Z", false),
            (guid, Op::Eq, "{54849625-5478-4994-A5BA-3E3B0328C30D}", true),
            ("x", Op::Ne, guid, false),
            (guid, Op::Lt, guid, false),
        ] {
            let literal = Literal::quoted(literal);
            assert_eq!(literal.compares_text(value, op), expected, "{value} {op} {literal}");
        }
    }

    #[test]
    fn typed_values_compare_as_their_text_does() {
        let utf16: Vec<u8> = "0x1f".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let (sid, _) = Sid::split(&[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0]).unwrap();
        let values = [
            Value::UInt(31),
            Value::Int(-31),
            Value::Hex(31),
            Value::Bool(true),
            Value::Float32(0.1),
            Value::Float64(31.0),
            Value::Binary(&[0x31]),
            Value::Time(EventTime::from_filetime(u64::MAX)),
            Value::Time(EventTime::from_filetime(5)),
            Value::Guid(Guid::from_bytes([7; 16])),
            Value::Sid(sid),
            Value::Utf16(Utf16::new(&utf16)),
            Value::Null,
        ];
        let mut texts: Vec<String> = values.iter().map(Value::to_string).collect();
        texts.extend(["0x1F".to_owned(), "31".to_owned(), "1601-01-01T00:00:00Z".to_owned()]);
        let mut literals: Vec<_> = texts.iter().map(|text| Literal::quoted(text)).collect();
        literals.extend(["31", "0.1", "3.1e1"].map(number));
        for value in values {
            for literal in &literals {
                for op in [Op::Eq, Op::Ne, Op::Lt, Op::Le, Op::Gt, Op::Ge] {
                    assert_eq!(
                        literal.compares(&value, op, &mut Vec::new()),
                        literal.compares_text(&value.to_string(), op),
                        "{value:?} {op} {literal}"
                    );
                }
            }
        }
    }
}
