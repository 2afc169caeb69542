//! Which of the names that were asked for occur in the events of a scan: one that doesn't is
//! likely mistyped, and nothing else would show it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Filter;
use crate::text::eq_ignore_case;
use crate::{Field, FieldSource, PartialSource, user_data};

/// The most names kept of those that occur, to find the nearest to one that doesn't.
const MAX_SEEN: usize = 4096;
/// The longest name kept, in bytes.
const MAX_NAME: usize = 128;

/// Names of data values that were asked for, and whether any event has them. All threads of a scan
/// share it, through [`Matcher::watching`](super::Matcher::watching).
#[derive(Debug)]
pub struct Names {
    asked: Vec<(String, AtomicBool)>,
    /// How many no event had so far.
    left: AtomicUsize,
    /// Whether an event was looked at.
    any: AtomicBool,
    /// Names that occur.
    seen: Mutex<BTreeSet<String>>,
}

/// A name that no event had.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MissingName {
    /// The name.
    pub name: String,
    /// The name most like it among those that occurred, if one is like it.
    pub nearest: Option<String>,
}

impl Names {
    /// The names that a filter's tests on data and its query look for, and others.
    pub fn new(filter: &Filter, others: impl IntoIterator<Item = String>) -> Arc<Self> {
        let of = |filter: &Filter| filter.data.iter().map(|test| test.name.clone()).collect();
        let mut names: Vec<String> = of(filter);
        names.extend(filter.not.iter().flat_map(of));
        let queries = std::iter::once(filter).chain(&filter.not).filter_map(|f| f.query.as_ref());
        names.extend(queries.flat_map(|query| query.data_names()));
        names.extend(others);
        let asked: Vec<_> = names.into_iter().map(|name| (name, AtomicBool::new(false))).collect();
        Arc::new(Names {
            left: AtomicUsize::new(asked.len()),
            asked,
            any: AtomicBool::new(false),
            seen: Mutex::default(),
        })
    }

    /// Whether there is nothing to watch for.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// The names that no event had, each once, where any event was looked at.
    pub fn missing(&self) -> Vec<MissingName> {
        let mut missing: Vec<MissingName> = Vec::new();
        if !self.any.load(Ordering::Relaxed) {
            return missing;
        }
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, is_met) in &self.asked {
            let is_known = missing.iter().any(|known| eq_ignore_case(&known.name, name));
            if !is_met.load(Ordering::Relaxed) && !is_known {
                missing.push(MissingName { name: name.clone(), nearest: nearest(name, &seen) });
            }
        }
        missing
    }

    fn meet(&self, n: usize) {
        if let Some((_, is_met)) = self.asked.get(n)
            && !is_met.swap(true, Ordering::Relaxed)
        {
            self.left.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A thread's share of the watch.
#[derive(Clone, Debug)]
pub(super) struct NameWatch {
    names: Arc<Names>,
    /// A bit for each kind of event seen, by a hash of it.
    kinds: Vec<u64>,
}

impl NameWatch {
    const KINDS: usize = 1 << 16;

    /// Nothing where all names were met.
    pub(super) fn new(names: &Arc<Names>) -> Option<Self> {
        let watch = NameWatch { names: Arc::clone(names), kinds: vec![0; Self::KINDS / 64] };
        (!watch.is_settled()).then_some(watch)
    }

    /// Whether every name was met, by any thread.
    #[inline]
    pub(super) fn is_settled(&self) -> bool {
        self.names.left.load(Ordering::Relaxed) == 0
    }

    /// An event has a value of the filter's test on data of that number.
    #[inline]
    pub(super) fn meet(&self, n: usize) {
        self.names.meet(n);
    }

    /// Whether no event of its kind was looked at yet, and there is still a name to be met.
    pub(super) fn is_new<S: PartialSource>(&self, source: &S) -> bool {
        let (at, bit) = place(source);
        !self.is_settled() && self.kinds[at] & bit == 0
    }

    /// Notes the names that an event has.
    pub(super) fn observe<S: FieldSource>(&mut self, source: &S) {
        let (at, bit) = place(source);
        let is_new = self.kinds[at] & bit == 0;
        self.kinds[at] |= bit;
        self.names.any.store(true, Ordering::Relaxed);
        let names = &*self.names;
        let note = |name: &str| {
            for (n, (asked, is_met)) in names.asked.iter().enumerate() {
                if !is_met.load(Ordering::Relaxed) && eq_ignore_case(asked, name) {
                    names.meet(n);
                }
            }
            if is_new && name.len() <= MAX_NAME {
                let mut seen = names.seen.lock().unwrap_or_else(PoisonError::into_inner);
                if seen.len() < MAX_SEEN && !seen.contains(name) {
                    seen.insert(name.to_owned());
                }
            }
        };
        let mut place = 0usize;
        let _ = source.each_data(|name, _| {
            place += 1;
            match name {
                Some(name) => note(name.as_str()),
                None => note(&format!("param{place}")),
            }
            ControlFlow::Continue(())
        });
        if source.has_more() {
            user_data::each(source, |leaf| {
                if !leaf.is_attribute() {
                    note(leaf.name());
                    note(leaf.local_name());
                }
                note(&leaf.path());
                true
            });
        }
    }
}

/// Where the bit of an event's kind is: of its provider, id and version.
fn place<S: PartialSource>(source: &S) -> (usize, u64) {
    let number = |field| source.known_field(field).as_u64().unwrap_or_default();
    let mut hash = number(Field::EventId) << 8 ^ number(Field::Version);
    source.known_field(Field::ProviderName).with_text(|name| {
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    });
    let place = (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize % NameWatch::KINDS;
    (place / 64, 1 << (place % 64))
}

/// The name that is most like another.
fn nearest(name: &str, seen: &BTreeSet<String>) -> Option<String> {
    /// From where on names are alike, of 1.
    const ALIKE: f64 = 0.6;
    if name.len() > MAX_NAME {
        return None;
    }
    let wanted = name.to_lowercase();
    let likeness = |other: &String| {
        let other = other.to_lowercase();
        let is_part = wanted.len() > 3 && (other.contains(&wanted) || wanted.contains(&other));
        let likeness = strsim::normalized_damerau_levenshtein(&wanted, &other);
        if is_part { likeness.max(ALIKE) } else { likeness }
    };
    seen.iter()
        .map(|other| (likeness(other), other))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, other)| other.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventTime;
    use crate::filter::{DataTest, Ids};
    use crate::testing::event;

    fn data(id: u32, name: &str) -> crate::Event {
        event(&format!(
            "<Event><System><EventID>{id}</EventID></System><EventData><Data Name='{name}'>x</Data>\
             <Data>y</Data></EventData></Event>"
        ))
    }

    /// What is missing after a scan that looks at heads first, as scans do.
    fn missing(filter: &Filter, others: &[&str], events: &[crate::Event]) -> Vec<MissingName> {
        let names = Names::new(filter, others.iter().map(|&name| name.to_owned()));
        let mut matcher = filter.matcher(EventTime::default()).watching(&names);
        for event in events {
            if !matcher.rules_out(event) {
                matcher.verdict(event);
            }
        }
        names.missing()
    }

    fn one(name: &str, nearest: Option<&str>) -> Vec<MissingName> {
        vec![MissingName { name: name.to_owned(), nearest: nearest.map(str::to_owned) }]
    }

    #[test]
    fn a_name_that_no_event_has_is_told_with_the_nearest_that_one_has() {
        let filter =
            |test: &str| Filter { data: vec![DataTest::parse(test).unwrap()], ..Filter::default() };
        let events = [data(1, "SubjectUserName"), data(2, "TargetUserName"), data(2, "Other")];
        let nearest = Some("TargetUserName");
        assert_eq!(
            missing(&filter("TargetUsrName=x"), &[], &events),
            one("TargetUsrName", nearest)
        );
        assert_eq!(missing(&filter("TargetUser=x"), &[], &events), one("TargetUser", nearest));
        assert_eq!(missing(&filter("Zebra=x"), &[], &events), one("Zebra", None));
        assert_eq!(missing(&filter("TARGETUSERNAME=nobody"), &[], &events), []);
        assert_eq!(missing(&filter("param2=nobody"), &[], &events), []);
        assert_eq!(missing(&filter("param3=nobody"), &[], &events), one("param3", Some("param2")));
        // The third event is of a kind that was seen before.
        assert_eq!(missing(&filter("Other=nobody"), &[], &events), []);
        assert_eq!(missing(&filter("Zebra=x"), &[], &[]), []);
        let query = |text: &str| Filter {
            query: Some(crate::query::Query::parse(text).unwrap()),
            ..Filter::default()
        };
        let of_query = query("*[EventData[Data[@Name='TargetUsrName']='x']]");
        assert_eq!(missing(&of_query, &[], &events), one("TargetUsrName", nearest));
        let of_query = query("*[EventData[Data[@Name='TargetUserName']='nobody']]");
        assert_eq!(missing(&of_query, &[], &events), []);
        let not = Filter { not: vec![filter("Zebra=x")], ..Filter::default() };
        assert_eq!(missing(&not, &[], &events), one("Zebra", None));
    }

    #[test]
    fn names_of_fields_are_watched_in_what_a_filter_rules_out_too() {
        let filter = Filter { ids: Some(Ids::parse("9").unwrap()), ..Filter::default() };
        assert_eq!(missing(&filter, &["imge"], &[data(1, "Image")]), one("imge", Some("Image")));
        assert_eq!(missing(&filter, &["image"], &[data(1, "Image")]), []);
        let user =
            event("<Event><System/><UserData><e:X><e:User>u</e:User></e:X></UserData></Event>");
        assert_eq!(missing(&filter, &["User", "user_data.e:x.e:user"], &[user]), []);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let filter =
            Filter { data: vec![DataTest::parse("Zebra=x").unwrap()], ..Filter::default() };
        let names = Names::new(&filter, []);
        let mut matcher = filter.matcher(EventTime::default()).watching(&names);
        for id in 0..2 * MAX_SEEN as u32 {
            matcher.verdict(&data(id, &format!("name{id}")));
        }
        matcher.verdict(&data(1, &"n".repeat(MAX_NAME + 1)));
        assert_eq!(names.seen.lock().unwrap().len(), MAX_SEEN);
    }
}
