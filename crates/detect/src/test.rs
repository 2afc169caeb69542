//! One test of one value.

use jiff::civil::DateTime;
use quarry_event::EventTime;

use crate::rule::{Compare, Place, Test, TimePart};

/// A value's text, as it is and for comparing without regard to case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'v> {
    pub(crate) raw: &'v str,
    pub(crate) folded: &'v str,
}

impl Test {
    /// Whether the values of a field pass; there are none where it is missing. `others` gives the
    /// values of another field.
    pub(crate) fn holds<'v>(
        &self,
        mut values: impl Iterator<Item = Text<'v>>,
        others: impl Fn(&str, &mut dyn FnMut(Text<'_>) -> bool) -> bool,
    ) -> bool {
        match self {
            Test::Exists(is_there) => values.next().is_some() == *is_there,
            Test::Null => values.all(|text| text.raw.is_empty()),
            Test::FieldRef { other, place, cased } => values.any(|text| {
                let value = if *cased { text.raw } else { text.folded };
                others(other, &mut |other| {
                    let other = if *cased { other.raw } else { other.folded };
                    match place {
                        Place::Whole => value == other,
                        Place::Start => value.starts_with(other),
                        Place::End => value.ends_with(other),
                        Place::Anywhere => value.contains(other),
                    }
                })
            }),
            test => values.any(|text| test.holds_of(text)),
        }
    }

    /// Whether one value passes, for the tests that look at one.
    fn holds_of(&self, text: Text<'_>) -> bool {
        match self {
            Test::Text { pattern, cased: false } => pattern.matches(text.folded),
            Test::Text { pattern, cased: true } => pattern.matches(text.raw),
            Test::Regex(regex) => regex.is_match(text.raw),
            Test::Cidr(network) => network.contains(text.raw),
            Test::Compare(compare, number) => is_number(text.raw).is_some_and(|value| {
                let number = number.get();
                match compare {
                    Compare::Less => value < number,
                    Compare::LessOrEqual => value <= number,
                    Compare::Greater => value > number,
                    Compare::GreaterOrEqual => value >= number,
                }
            }),
            Test::Part(part, number) => time_part(text.raw, *part) == Some(*number),
            Test::FieldRef { .. } | Test::Exists(_) | Test::Null => false,
        }
    }

    /// Whether the test holds where the field is missing.
    pub(crate) fn holds_of_nothing(&self) -> bool {
        matches!(self, Test::Exists(false) | Test::Null)
    }
}

/// A text that is a number: decimal, or hexadecimal as Windows writes it.
fn is_number(text: &str) -> Option<f64> {
    let text = text.trim();
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok().map(|number| number as f64),
        None => text.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

/// A part of a time in UTC.
fn time_part(text: &str, part: TimePart) -> Option<i64> {
    let time: DateTime = match EventTime::parse(text) {
        Some(time) => time.to_string().trim_end_matches('Z').parse().ok()?,
        None => text.trim().parse().ok()?,
    };
    Some(match part {
        TimePart::Minute => time.minute().into(),
        TimePart::Hour => time.hour().into(),
        TimePart::Day => time.day().into(),
        TimePart::Week => time.date().iso_week_date().week().into(),
        TimePart::Month => time.month().into(),
        TimePart::Year => time.year().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_times_are_those_of_utc() {
        let part = |part| time_part("2026-11-29 23:59:01.123", part);
        assert_eq!(part(TimePart::Minute), Some(59));
        assert_eq!(part(TimePart::Hour), Some(23));
        // The Sunday that ends ISO week 48.
        assert_eq!(part(TimePart::Week), Some(48));
        assert_eq!(time_part("2026-11-29T01:02:03.1234567Z", TimePart::Month), Some(11));
        assert_eq!(time_part("yesterday", TimePart::Year), None);
        assert_eq!(is_number("0x10"), Some(16.0));
        assert_eq!(is_number("inf"), None);
    }
}
