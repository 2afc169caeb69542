//! Names with ranges: `dc[01:12].corp` is the twelve names from `dc01.corp` to `dc12.corp`.
//!
//! A range is `[FIRST:LAST]` or `[FIRST:LAST:STEP]`, of whole numbers or of single letters, both
//! ends included; zeros before the first number are kept. A text may have several ranges, of which
//! the last one runs fastest. Brackets without a colon are no range: they are left for a glob, in
//! which `[a-z]` is one letter. An IPv6 address in brackets is no range either.

use std::fmt::Write;

use crate::name;

/// The most bytes of a text with ranges.
pub const MAX_PATTERN_BYTES: usize = 1024;
/// The most names that one text may stand for.
pub const MAX_NAMES: usize = 100_000;
/// The most digits of a number in a range.
const MAX_DIGITS: usize = 9;

/// A text that stands for one name or, by its ranges, for many.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    parts: Vec<Part>,
    count: usize,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(String),
    Range(Range),
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Range {
    first: u32,
    count: usize,
    step: u32,
    written: Written,
}

/// How the members of a range are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Written {
    /// As numbers with at least so many digits.
    Number { digits: usize },
    /// As the letter with this code.
    Letter,
}

/// Why a text's ranges can't be understood. The fault is the text's author's.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{problem}")]
pub struct PatternError {
    /// Where in the text, in bytes from its beginning.
    pub at: usize,
    /// What is wrong there.
    pub problem: PatternProblem,
}

/// What is wrong with a range.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PatternProblem {
    /// Brackets with a colon, but neither two numbers nor two letters in them.
    #[error("`{0}` is not a range; ranges are [1:12], [01:12], [a:f] and, with a step, [0:100:5]")]
    Form(String),
    /// The last is before the first.
    #[error("the range `{0}` ends before it begins")]
    Backwards(String),
    /// Zeros in front, and ends of different length.
    #[error("the ends of the range `{0}` have zeros in front but not the same number of digits")]
    Digits(String),
    /// A step of 0.
    #[error("the step of the range `{0}` is 0")]
    Step(String),
    /// More than [`MAX_NAMES`] names.
    #[error("this stands for more than the {MAX_NAMES} names that are allowed")]
    TooMany,
    /// Longer than [`MAX_PATTERN_BYTES`].
    #[error("longer than the {MAX_PATTERN_BYTES} bytes that are allowed")]
    TooLong,
}

impl Pattern {
    /// Reads a text. What is outside of ranges is taken as it is.
    ///
    /// # Errors
    /// [`PatternError`], with the place in the text.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(PatternError { at: MAX_PATTERN_BYTES, problem: PatternProblem::TooLong });
        }
        let mut pattern = Pattern { parts: Vec::new(), count: 1 };
        let mut plain = String::new();
        let mut at = 0;
        while let Some(found) = text[at..].find('[') {
            let start = at + found;
            let end = text[start..].find(']').map(|length| start + length + 1);
            let Some(end) = end.filter(|&end| text[start..end].contains(':')) else {
                plain.push_str(&text[at..=start]);
                at = start + 1;
                continue;
            };
            if name::is_ipv6(text) {
                break;
            }
            let range = Range::parse(&text[start..end])
                .map_err(|problem| PatternError { at: start, problem })?;
            pattern.count = pattern
                .count
                .checked_mul(range.count)
                .filter(|&count| count <= MAX_NAMES)
                .ok_or(PatternError { at: start, problem: PatternProblem::TooMany })?;
            plain.push_str(&text[at..start]);
            pattern.parts.push(Part::Text(std::mem::take(&mut plain)));
            pattern.parts.push(Part::Range(range));
            at = end;
        }
        plain.push_str(&text[at..]);
        pattern.parts.push(Part::Text(plain));
        Ok(pattern)
    }

    /// How many names the text stands for: at least 1, at most [`MAX_NAMES`].
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether the text has a range, be it one of a single name.
    pub fn has_range(&self) -> bool {
        self.parts.len() > 1
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.count).map(|number| self.name(number))
    }

    /// The name with a number, counted from 0: what the digits of the number are in a system
    /// whose bases are the sizes of the ranges.
    fn name(&self, mut number: usize) -> String {
        let mut below = self.count;
        let mut name = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Range(range) => {
                    below /= range.count;
                    range.write(number / below, &mut name);
                    number %= below;
                }
            }
        }
        name
    }
}

impl Range {
    /// Reads a range, of which `text` has the brackets too.
    fn parse(text: &str) -> Result<Self, PatternProblem> {
        let form = || PatternProblem::Form(text.to_owned());
        let mut fields = text[1..text.len() - 1].split(':');
        let (Some(first), Some(last), step, None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(form());
        };
        let step = step.map_or(Ok(1), |step| number(step).ok_or_else(form))?;
        let (low, high, written) = match (number(first), number(last)) {
            (Some(low), Some(high)) => {
                let padded = |text: &str| text.len() > 1 && text.starts_with('0');
                if (padded(first) || padded(last)) && first.len() != last.len() {
                    return Err(PatternProblem::Digits(text.to_owned()));
                }
                let digits = if padded(first) { first.len() } else { 1 };
                (low, high, Written::Number { digits })
            }
            _ => match (first.as_bytes(), last.as_bytes()) {
                ([low], [high])
                    if low.is_ascii_lowercase() && high.is_ascii_lowercase()
                        || low.is_ascii_uppercase() && high.is_ascii_uppercase() =>
                {
                    (u32::from(*low), u32::from(*high), Written::Letter)
                }
                _ => return Err(form()),
            },
        };
        if step == 0 {
            return Err(PatternProblem::Step(text.to_owned()));
        }
        let Some(between) = high.checked_sub(low) else {
            return Err(PatternProblem::Backwards(text.to_owned()));
        };
        Ok(Range { first: low, count: (between / step) as usize + 1, step, written })
    }

    /// Writes the member with a number, counted from 0 and below `count`.
    fn write(&self, number: usize, name: &mut String) {
        // No more than the range's last member, which is a u32.
        let value = self.first + number as u32 * self.step;
        match self.written {
            // Writing to a string can't fail.
            Written::Number { digits } => {
                let _ = write!(name, "{value:0digits$}");
            }
            Written::Letter => name.extend(char::from_u32(value)),
        }
    }
}

/// A number of a range, which has digits only; `parse` alone would take a sign.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits && text.len() <= MAX_DIGITS { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(text: &str) -> Vec<String> {
        let pattern = Pattern::parse(text).unwrap();
        let names: Vec<_> = pattern.names().collect();
        assert_eq!(names.len(), pattern.count());
        names
    }

    #[test]
    fn a_range_is_each_name_from_its_first_to_its_last() {
        for (text, expected) in [
            ("fred", &["fred"][..]),
            ("dc[1:3].corp", &["dc1.corp", "dc2.corp", "dc3.corp"]),
            ("dc[08:11]", &["dc08", "dc09", "dc10", "dc11"]),
            ("dc[8:11]", &["dc8", "dc9", "dc10", "dc11"]),
            ("[0:1]", &["0", "1"]),
            ("[000:001]", &["000", "001"]),
            ("db-[a:c]", &["db-a", "db-b", "db-c"]),
            ("db-[X:Z]", &["db-X", "db-Y", "db-Z"]),
            ("x[0:10:5]", &["x0", "x5", "x10"]),
            ("x[1:10:5]", &["x1", "x6"]),
            ("x[a:e:2]", &["xa", "xc", "xe"]),
            ("x[7:7]", &["x7"]),
            ("[a:b][1:2]", &["a1", "a2", "b1", "b2"]),
            ("é[1:2]é", &["é1é", "é2é"]),
        ] {
            assert_eq!(names(text), expected, "{text}");
        }
    }

    #[test]
    fn brackets_without_a_colon_and_addresses_are_left_alone() {
        for text in ["", "dc[1-3]", "dc[!a]", "[", "]", "[]", "a]b[", "[::1]", "[fe80::1%eth0]"] {
            assert_eq!(names(text), [text]);
            assert!(!Pattern::parse(text).unwrap().has_range());
        }
        assert_eq!(names("[ab][1:2]"), ["[ab]1", "[ab]2"]);
        assert!(Pattern::parse("x[7:7]").unwrap().has_range());
    }

    #[test]
    fn what_is_no_range_is_refused_at_its_bracket() {
        let own = |text: &str| text.to_owned();
        for (text, at, problem) in [
            ("dc[1:", 0, None),
            ("dc[:]", 2, Some(PatternProblem::Form(own("[:]")))),
            ("dc[:3]", 2, Some(PatternProblem::Form(own("[:3]")))),
            ("dc[1:]", 2, Some(PatternProblem::Form(own("[1:]")))),
            ("dc[1:2:3:4]", 2, Some(PatternProblem::Form(own("[1:2:3:4]")))),
            ("dc[1:2:]", 2, Some(PatternProblem::Form(own("[1:2:]")))),
            ("dc[+1:2]", 2, Some(PatternProblem::Form(own("[+1:2]")))),
            ("dc[-1:2]", 2, Some(PatternProblem::Form(own("[-1:2]")))),
            ("dc[1: 2]", 2, Some(PatternProblem::Form(own("[1: 2]")))),
            ("dc[a:9]", 2, Some(PatternProblem::Form(own("[a:9]")))),
            ("dc[a:F]", 2, Some(PatternProblem::Form(own("[a:F]")))),
            ("dc[aa:bb]", 2, Some(PatternProblem::Form(own("[aa:bb]")))),
            ("dc[é:ü]", 2, Some(PatternProblem::Form(own("[é:ü]")))),
            ("[1:2]dc[1:9999999999]", 7, Some(PatternProblem::Form(own("[1:9999999999]")))),
            ("dc[3:1]", 2, Some(PatternProblem::Backwards(own("[3:1]")))),
            ("dc[f:a]", 2, Some(PatternProblem::Backwards(own("[f:a]")))),
            ("dc[01:100]", 2, Some(PatternProblem::Digits(own("[01:100]")))),
            ("dc[1:012]", 2, Some(PatternProblem::Digits(own("[1:012]")))),
            ("dc[1:3:0]", 2, Some(PatternProblem::Step(own("[1:3:0]")))),
            ("dc[1:100001]", 2, Some(PatternProblem::TooMany)),
            ("[1:1000]-[1:101]", 9, Some(PatternProblem::TooMany)),
        ] {
            let expected = problem.map(|problem| PatternError { at, problem });
            assert_eq!(Pattern::parse(text).err(), expected, "{text}");
        }
        assert_eq!(Pattern::parse("dc[1:100000]").unwrap().count(), MAX_NAMES);
        let long = "x".repeat(MAX_PATTERN_BYTES + 1);
        let problem = PatternProblem::TooLong;
        let error = PatternError { at: MAX_PATTERN_BYTES, problem };
        assert_eq!(Pattern::parse(&long), Err(error));
    }

    /// What is inside one pair of brackets, member by member, with nothing shared with the above.
    fn naive_range(first: &str, last: &str, step: usize) -> Vec<String> {
        if let Ok(low) = first.parse::<u64>() {
            let high: u64 = last.parse().unwrap();
            let padded = first.len() > 1 && first.starts_with('0');
            let mut members = Vec::new();
            for value in low..=high {
                let mut member = value.to_string();
                while padded && member.len() < first.len() {
                    member.insert(0, '0');
                }
                members.push(member);
            }
            return members.into_iter().step_by(step).collect();
        }
        let alphabet: Vec<String> = ('A'..='z').map(String::from).collect();
        let place = |letter: &str| alphabet.iter().position(|other| other == letter).unwrap();
        alphabet[place(first)..=place(last)].iter().step_by(step).cloned().collect()
    }

    fn ranges() -> impl Strategy<Value = (String, String, usize)> {
        let numbers =
            (0u32..60, 0u32..12, 0usize..4, 1usize..5).prop_map(|(low, more, zeros, step)| {
                let (low, high) = (low.to_string(), (low + more).to_string());
                // Ends of the same length, if there are zeros in front.
                let width = if zeros == 0 { 0 } else { high.len() + zeros };
                let pad = |text: String| format!("{text:0>width$}");
                (pad(low), pad(high), step)
            });
        let letters =
            (0u8..26, 0u8..26, any::<bool>(), 1usize..5).prop_map(|(a, b, upper, step)| {
                let base = if upper { b'A' } else { b'a' };
                let letter = |n: u8| char::from(base + n).to_string();
                (letter(a.min(b)), letter(a.max(b)), step)
            });
        prop_oneof![numbers, letters]
    }

    proptest! {
        #[test]
        fn ranges_are_what_counting_them_out_gives(
            head in "[a-zé.-]{0,3}",
            tail in prop::collection::vec((ranges(), "[a-zé.-]{0,3}"), 0..3),
        ) {
            let mut text = head.clone();
            let mut expected = vec![head];
            for ((first, last, step), after) in &tail {
                let members = naive_range(first, last, *step);
                match step {
                    1 => text += &format!("[{first}:{last}]{after}"),
                    _ => text += &format!("[{first}:{last}:{step}]{after}"),
                }
                expected = expected
                    .iter()
                    .flat_map(|name| members.iter().map(move |m| format!("{name}{m}{after}")))
                    .collect();
            }
            prop_assert_eq!(names(&text), expected);
        }

        #[test]
        fn any_text_is_read_or_refused_at_a_place_in_it(text in "[\\[\\]:0-9a-f%é]{0,20}") {
            match Pattern::parse(&text) {
                Ok(pattern) => prop_assert!(pattern.names().take(50).count() >= 1),
                Err(error) => prop_assert!(text[error.at..].starts_with('[')),
            }
        }
    }
}
