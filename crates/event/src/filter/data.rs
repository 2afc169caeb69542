//! Tests on an event's data values: `TargetUserName=alice`, `param3~=^svc`.

use std::ops::ControlFlow;

use super::Glob;
use super::error::{FilterError, FilterProblem};
use super::matcher::text_of;
use super::pattern::Pattern;
use crate::text::eq_ignore_case;
use crate::{FieldSource, PartialSource, Value, user_data};

/// A test on the data values of a name: those of `<EventData>`, and the elements of `<UserData>`
/// that have no elements inside. An event without such a value doesn't pass; one with several
/// passes if any of them does.
#[derive(Clone, PartialEq, Debug)]
pub struct DataTest {
    /// The name, without regard to case. `paramN` is also the value without a name that is the
    /// N-th of all the values of `<EventData>`, from 1.
    pub(crate) name: String,
    pub(crate) wanted: Wanted,
    /// The N of `paramN`.
    pub(crate) place: Option<u32>,
}

/// What a data value has to be.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Wanted {
    /// Text that matches this.
    Glob(Glob),
    /// Text in which this is.
    Pattern(Pattern),
}

/// What is known of an event's values of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    /// Whether one passes; nothing where that isn't known.
    pub(super) passes: Option<bool>,
    /// Whether there is one.
    pub(super) any: bool,
}

impl DataTest {
    /// Reads `NAME=GLOB` or `NAME~=REGEX`; the name ends at the first equals sign.
    ///
    /// # Errors
    ///
    /// [`FilterProblem::Data`] where there is no name or no equals sign, and what [`Glob`] and
    /// [`Pattern`] refuse.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let wrong = || FilterError::about(text, text, FilterProblem::Data);
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let (name, wanted) = match name.strip_suffix('~') {
            Some(name) => (name, Wanted::Pattern(Pattern::parse_in(text, value)?)),
            None => (name, Wanted::Glob(Glob::parse_in(text, value)?)),
        };
        if name.is_empty() {
            return Err(wrong());
        }
        Ok(DataTest { place: place(name), name: name.to_owned(), wanted })
    }

    /// The longest text that every value that passes has somewhere, in any case; empty where there is
    /// none.
    pub fn required(&self) -> String {
        match &self.wanted {
            Wanted::Glob(glob) => glob.required().to_owned(),
            Wanted::Pattern(pattern) => pattern.required(),
        }
    }

    /// The name whose values are tested.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What can be said of an event of which not everything is known.
    #[inline]
    pub(super) fn look<S: PartialSource>(&self, source: &S, scratch: &mut Vec<u8>) -> Found {
        if self.place.is_some() {
            // A place takes all the data to count.
            return Found { passes: None, any: false };
        }
        let mut any = false;
        let flow = source.known_data(Some(&self.name), |value| {
            any = true;
            self.visit(&value, scratch)
        });
        let passes = match flow {
            Some(ControlFlow::Break(())) => Some(true),
            Some(ControlFlow::Continue(())) if !source.may_have_user_data() => Some(false),
            _ => None,
        };
        Found { passes, any }
    }

    /// Whether an event passes.
    pub(super) fn passes<S: FieldSource>(&self, source: &S, scratch: &mut Vec<u8>) -> bool {
        let found = match self.place {
            None => source.each_data_named(&self.name, |value| self.visit(&value, scratch)),
            Some(wanted) => {
                let mut place = 0u32;
                source.each_data(|name, value| {
                    place = place.saturating_add(1);
                    let asked = match name {
                        Some(name) => eq_ignore_case(name.as_str(), &self.name),
                        None => place == wanted,
                    };
                    match asked {
                        true => self.visit(&value, scratch),
                        false => ControlFlow::Continue(()),
                    }
                })
            }
        };
        if found.is_break() || !source.has_more() {
            return found.is_break();
        }
        let mut passes = false;
        user_data::each(source, |leaf| {
            if leaf.is_named(&self.name) {
                passes = self.visit(&Value::Str(leaf.text()), scratch).is_break();
            }
            !passes
        });
        passes
    }

    #[inline]
    fn visit(&self, value: &Value<'_>, scratch: &mut Vec<u8>) -> ControlFlow<()> {
        let is_wanted = match &self.wanted {
            Wanted::Glob(glob) => match glob.matches_value(value) {
                Some(matches) => matches,
                None => glob.matches_utf8(text_of(value, scratch)),
            },
            Wanted::Pattern(pattern) => pattern.is_in(text_of(value, scratch)),
        };
        if is_wanted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// The N of `paramN`.
fn place(name: &str) -> Option<u32> {
    let (param, digits) = name.split_at_checked("param".len())?;
    if !param.eq_ignore_ascii_case("param") {
        return None;
    }
    let canonical = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    canonical.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_equals_sign_ends_the_name() {
        let test = DataTest::parse("Query=a=b").unwrap();
        let is_glob = |test: &DataTest, text| matches!(&test.wanted, Wanted::Glob(glob) if glob.as_str() == text);
        assert_eq!(&*test.name, "Query");
        assert!(is_glob(&test, "a=b"));
        let test = DataTest::parse("Query~=a=~b").unwrap();
        assert!(matches!(test.wanted, Wanted::Pattern(pattern) if pattern.as_str() == "a=~b"));
        assert!(is_glob(&DataTest::parse("A=").unwrap(), ""));
    }

    #[test]
    fn a_place_is_param_and_a_number() {
        let place = |text| DataTest::parse(text).unwrap().place;
        assert_eq!(place("param12=x"), Some(12));
        assert_eq!(place("Param1=x"), Some(1));
        for text in ["param=x", "param0=x", "param01=x", "parm1=x", "param1x=x", "param-1=x"] {
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
        let error = DataTest::parse("Name=a[").unwrap_err();
        assert_eq!(error.place.byte(), 6);
        assert!(error.to_string().contains("bracket is not closed"), "{error}");
    }
}
