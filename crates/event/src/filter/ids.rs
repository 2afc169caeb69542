//! Event ids: `4624,4700-4720,!4634`.

use super::error::{FilterError, FilterProblem};
use super::numbers::Ranges;

/// A set of event ids.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ids {
    pub(crate) ranges: Ranges,
}

impl Ids {
    /// Reads ids, ranges of them and exclusions of both, with commas between. Exclusions alone
    /// mean all other ids.
    ///
    /// # Errors
    /// [`FilterError`], with the place in the text, if a part is no id and no range of ids.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let (mut included, mut excluded) = (Vec::new(), Vec::new());
        for item in text.split(',') {
            let part = item.trim();
            if part.is_empty() {
                let problem = FilterProblem::Empty("an event id such as 4624 is needed");
                return Err(FilterError::about(text, item, |_| problem));
            }
            match part.strip_prefix('!') {
                Some(rest) => excluded.push(range(text, rest.trim_start())?),
                None => included.push(range(text, part)?),
            }
        }
        let ranges = Ranges::new(included, excluded);
        if ranges.is_empty() {
            return Err(FilterError {
                place: crate::Place::new(text, 0),
                ..FilterError::about(text, text.trim(), FilterProblem::NoIds)
            });
        }
        Ok(Ids { ranges })
    }

    /// These ids; there may be none, which no event has.
    pub fn of(ids: impl IntoIterator<Item = u64>) -> Self {
        Ids { ranges: Ranges::of(ids.into_iter().map(|id| (id, id)).collect()) }
    }

    /// The ids as ranges that are sorted and apart from each other; both ends belong to a range. One
    /// that begins at 0 and holds more has no lower end, one that ends at [`u64::MAX`] no upper end.
    pub fn ranges(&self) -> &[(u64, u64)] {
        self.ranges.as_slice()
    }

    /// Whether no event has any of them.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ids that both have.
    #[must_use]
    pub fn intersection(&self, other: &Ids) -> Ids {
        Ids { ranges: self.ranges.intersection(&other.ranges) }
    }

    /// The ids that either has.
    #[must_use]
    pub fn union(&self, other: &Ids) -> Ids {
        Ids { ranges: self.ranges.union(&other.ranges) }
    }
}

fn range(text: &str, part: &str) -> Result<(u64, u64), FilterError> {
    let number = |digits: &str| {
        let digits = digits.trim();
        let decimal = digits.bytes().all(|b| b.is_ascii_digit());
        match digits.parse::<u32>() {
            Ok(number) if decimal => Ok(u64::from(number)),
            _ => Err(FilterError::about(text, part, FilterProblem::Id)),
        }
    };
    let (low, high) = match part.split_once('-') {
        Some((low, high)) => (number(low)?, number(high)?),
        None => (number(part)?, number(part)?),
    };
    if low > high {
        return Err(FilterError::about(text, part, FilterProblem::Backwards));
    }
    Ok((low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(text: &str) -> Vec<(u64, u64)> {
        Ids::parse(text).unwrap().ranges.as_slice().to_vec()
    }

    #[test]
    fn ids_ranges_and_exclusions_make_one_set() {
        assert_eq!(ranges("4624, 4700-4720,!4710"), [(4624, 4624), (4700, 4709), (4711, 4720)]);
        assert_eq!(ranges("!4634"), [(0, 4633), (4635, u64::MAX)]);
        assert_eq!(ranges("3,1-2"), [(1, 3)]);
    }

    #[test]
    fn what_is_no_set_of_ids_is_refused_at_its_place() {
        for (text, at, about) in [
            ("", 0, "nothing here"),
            ("1,,2", 2, "nothing here"),
            ("4624,46x4", 5, "`46x4` is not an event id"),
            ("+5", 0, "`+5` is not an event id"),
            ("4294967296", 0, "not an event id"),
            ("1, 9-5", 3, "ends before it begins"),
            ("!", 1, "`` is not an event id"),
            ("5,!5", 0, "excludes every id"),
            ("5-", 0, "`5-` is not an event id"),
        ] {
            let error = Ids::parse(text).unwrap_err();
            assert_eq!(error.place.byte(), at, "{text}");
            assert!(error.to_string().contains(about), "{text}: {error}");
        }
    }
}
