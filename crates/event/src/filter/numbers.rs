//! Sets of whole numbers, which event ids and levels are tested against.

use crate::Value;
use crate::query::Number;

/// Whole numbers as ranges that are sorted, apart from each other and not empty; both ends belong
/// to a range.
///
/// A range that begins at 0 (and holds more than that) has no lower end, one that ends at
/// [`u64::MAX`] has no upper end: so `!4634` is every other number, and is the same when it is
/// written as XPath.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// The numbers that `included` has and `excluded` hasn't. Nothing included means everything.
    pub(crate) fn new(mut included: Vec<(u64, u64)>, mut excluded: Vec<(u64, u64)>) -> Self {
        if included.is_empty() {
            included.push((0, u64::MAX));
        }
        excluded.sort_unstable();
        let mut ranges = Vec::new();
        for (low, high) in merged(included) {
            let mut low = Some(low);
            for &(from, to) in &excluded {
                let Some(start) = low else { break };
                if to < start || from > high {
                    continue;
                }
                if from > start {
                    ranges.push((start, from - 1));
                }
                low = (to < high).then_some(to.saturating_add(1));
            }
            ranges.extend(low.map(|low| (low, high)));
        }
        Ranges(merged(ranges))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn as_slice(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// The numbers of these ranges and no others, which may be none.
    pub(crate) fn of(ranges: Vec<(u64, u64)>) -> Self {
        Ranges(merged(ranges))
    }

    /// The numbers that both have.
    pub(crate) fn intersection(&self, other: &Ranges) -> Self {
        let pairs = self.0.iter().flat_map(|&(low, high)| {
            other.0.iter().map(move |&(from, to)| (low.max(from), high.min(to)))
        });
        Ranges::of(pairs.filter(|(low, high)| low <= high).collect())
    }

    /// The numbers that either has.
    pub(crate) fn union(&self, other: &Ranges) -> Self {
        Ranges::of([&*self.0, &*other.0].concat())
    }

    /// At most `count` ranges that hold every number of these; the nearest are joined.
    pub(crate) fn widened(&self, count: usize) -> Self {
        let mut ranges = self.0.clone();
        while ranges.len() > count.max(1) {
            let gap = |i: usize| ranges[i + 1].0 - ranges[i].1;
            let nearest = (0..ranges.len() - 1).min_by_key(|&i| gap(i)).unwrap_or(0);
            ranges[nearest].1 = ranges[nearest + 1].1;
            ranges.remove(nearest + 1);
        }
        Ranges(ranges)
    }

    /// Whether the value is a number of the set.
    #[inline(always)]
    pub(crate) fn contains(&self, value: &Value<'_>) -> bool {
        match value {
            Value::UInt(number) => self.contains_u64(*number),
            Value::Null => false,
            _ => match value.as_u64() {
                Some(number) => self.contains_u64(number),
                None => self.contains_odd(value),
            },
        }
    }

    #[inline]
    fn contains_u64(&self, number: u64) -> bool {
        self.0.iter().any(|&(low, high)| low <= number && number <= high)
    }

    /// The same for what is a number, but not one of 64 bits without a sign.
    #[cold]
    fn contains_odd(&self, value: &Value<'_>) -> bool {
        let Some(number) = Number::of_value(value) else { return false };
        let at_least = |low: u64| number >= Number::from(low);
        let at_most = |high: u64| number <= Number::from(high);
        self.0.iter().any(|&range| match range {
            (low, high) if low == high => number == Number::from(low),
            (low, u64::MAX) => at_least(low),
            (0, high) => at_most(high),
            (low, high) => at_least(low) && at_most(high),
        })
    }
}

/// The ranges sorted, those that overlap or touch joined.
fn merged(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
    for (low, high) in ranges {
        match merged.last_mut() {
            Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
            _ => merged.push((low, high)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs() -> impl Strategy<Value = Vec<(u64, u64)>> {
        let range = (0u64..40, 0u64..6).prop_map(|(low, length)| (low, low + length));
        prop::collection::vec(range, 0..6)
    }

    proptest! {
        #[test]
        fn a_set_holds_what_is_included_and_not_excluded(included in pairs(), excluded in pairs()) {
            let within = |ranges: &[(u64, u64)], n| ranges.iter().any(|r| r.0 <= n && n <= r.1);
            let set = Ranges::new(included.clone(), excluded.clone());
            for n in 0..60 {
                let expected = (included.is_empty() || within(&included, n))
                    && !within(&excluded, n);
                prop_assert_eq!(set.contains(&Value::UInt(n)), expected, "{}", n);
                prop_assert_eq!(set.contains(&Value::Str(&n.to_string())), expected);
            }
            prop_assert!(set.0.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }

        #[test]
        fn a_widened_set_holds_at_least_as_much(included in pairs(), count in 1usize..4) {
            let set = Ranges::new(included, Vec::new());
            let wide = set.widened(count);
            prop_assert!(wide.0.len() <= count);
            for n in 0..60 {
                let value = Value::UInt(n);
                prop_assert!(!set.contains(&value) || wide.contains(&value));
            }
        }
    }

    #[test]
    fn odd_numbers_are_in_a_set_by_what_its_xpath_says() {
        let others = Ranges::new(vec![], vec![(5, 5)]);
        let some = Ranges::new(vec![(0, 0), (2, 3)], vec![]);
        for (text, in_others, in_some) in [
            ("-1", true, false),
            ("99999999999999999999", true, false),
            ("2.5", true, true),
            ("5.0", false, false),
            ("4.5", false, false),
            (" 3 ", true, true),
            ("0.0", true, true),
            ("", false, false),
            ("five", false, false),
        ] {
            assert_eq!(others.contains(&Value::Str(text)), in_others, "{text}");
            assert_eq!(some.contains(&Value::Str(text)), in_some, "{text}");
        }
        assert!(others.contains(&Value::Int(-1)));
        assert!(!others.contains(&Value::Null));
    }

    #[test]
    fn exclusions_at_the_ends_leave_the_rest() {
        let all = || vec![(0, u64::MAX)];
        assert!(Ranges::new(all(), all()).is_empty());
        assert_eq!(Ranges::new(vec![], vec![(0, 0)]).as_slice(), [(1, u64::MAX)]);
        assert_eq!(Ranges::new(vec![], vec![(5, u64::MAX)]).as_slice(), [(0, 4)]);
    }
}
