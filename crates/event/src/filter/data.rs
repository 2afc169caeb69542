//! Tests on an event's data values: `TargetUserName=alice`, `param3~=^svc`.

use super::error::{FilterError, FilterProblem};
use super::pattern::Pattern;

/// A test on the data values of a name. An event without such a value doesn't pass; one with
/// several passes if any of them does.
#[derive(Clone, PartialEq, Debug)]
pub struct DataTest {
    /// The name, exact and case-sensitive. `paramN` is also the value without a name that is the
    /// N-th of all the event's data values, from 1.
    pub(crate) name: String,
    pub(crate) wanted: Wanted,
    /// The N of `paramN`.
    pub(crate) place: Option<u32>,
}

/// What a data value has to be.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Wanted {
    /// Exactly this text.
    Text(String),
    /// Text in which this is.
    Pattern(Pattern),
}

impl DataTest {
    /// Reads `NAME=VALUE` or `NAME~=REGEX`; the name ends at the first equals sign.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let wrong = || FilterError::new(text, 0, FilterProblem::Data(text.to_owned()));
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let (name, wanted) = match name.strip_suffix('~') {
            Some(name) => (name, Wanted::Pattern(Pattern::parse_in(text, value)?)),
            None => (name, Wanted::Text(value.to_owned())),
        };
        if name.is_empty() {
            return Err(wrong());
        }
        Ok(DataTest { place: place(name), name: name.to_owned(), wanted })
    }

    /// The name whose values are tested.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The N of `paramN`.
fn place(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("param")?;
    let canonical = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    canonical.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_equals_sign_ends_the_name() {
        let test = DataTest::parse("Query=a=b").unwrap();
        assert_eq!((&*test.name, test.wanted), ("Query", Wanted::Text("a=b".to_owned())));
        let test = DataTest::parse("Query~=a=~b").unwrap();
        assert!(matches!(test.wanted, Wanted::Pattern(pattern) if pattern.as_str() == "a=~b"));
        assert_eq!(DataTest::parse("A=").unwrap().wanted, Wanted::Text(String::new()));
    }

    #[test]
    fn a_place_is_param_and_a_number() {
        let place = |text| DataTest::parse(text).unwrap().place;
        assert_eq!(place("param12=x"), Some(12));
        for text in ["param=x", "param0=x", "param01=x", "Param1=x", "param1x=x", "param-1=x"] {
            assert_eq!(place(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_test_is_refused() {
        for text in ["", "name", "=value", "~=value"] {
            let error = DataTest::parse(text).unwrap_err();
            assert!(error.to_string().contains("NAME=VALUE"), "{error}");
        }
        let error = DataTest::parse("Name~=a[").unwrap_err();
        assert_eq!(error.place.byte(), 7);
    }
}
