//! Levels: `error`, `warning..error`, `audit-failure`.

use super::error::{FilterError, FilterProblem};
use super::numbers::Ranges;
use crate::query::Number;
use crate::{Field, Keywords, PartialSource};

/// A set of levels, and of audits.
///
/// A level by itself means that one and the worse ones. Level 0, which events have that are
/// always logged, ranks with information, and so do audits; a provider's own level, above 5, ranks
/// with verbose. The two audits are told by their keywords.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Levels {
    /// The levels; none where only audits are asked for.
    pub(crate) ranges: Option<Ranges>,
    /// Keywords of which any may be set instead; none where no audits are asked for.
    pub(crate) audits: Keywords,
}

/// How severe a level is, from 1 (critical) to 5 (verbose).
type Rank = u64;

impl Levels {
    /// Reads levels, ranges of them and audits, with commas between: an event of any of these.
    ///
    /// # Errors
    /// [`FilterError`], with the place in the text, if a part is no level, range or audit.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let (mut ranges, mut audits) = (Vec::new(), Keywords::default());
        for item in text.split(',') {
            let part = item.trim();
            if part.is_empty() {
                let problem = FilterProblem::Empty("a level such as error is needed");
                return Err(FilterError::about(text, item, |_| problem));
            }
            if let Some(audit) = audit(part) {
                audits.0 |= audit.0;
                continue;
            }
            let (one, other) = match part.split_once("..") {
                Some((one, other)) => (rank(text, one, true)?, rank(text, other, true)?),
                None => (1, rank(text, part, false)?),
            };
            add_ranks(one.min(other), one.max(other), &mut ranges);
        }
        let ranges = (!ranges.is_empty()).then(|| Ranges::new(ranges, Vec::new()));
        Ok(Levels { ranges, audits })
    }

    /// The levels as ranges, as [`Ids::ranges`](super::Ids::ranges) has ids; nothing where only audits
    /// are asked for.
    pub fn ranges(&self) -> &[(u64, u64)] {
        self.ranges.as_ref().map_or(&[], Ranges::as_slice)
    }

    /// Keywords of which any may be set instead; none where no audits are asked for.
    pub fn audits(&self) -> Keywords {
        self.audits
    }

    /// Whether an event has one of the levels, or of the audits.
    #[inline]
    pub(crate) fn contain<S: PartialSource>(&self, source: &S) -> bool {
        if let Some(ranges) = &self.ranges
            && ranges.contains(&source.known_field(Field::Level))
        {
            return true;
        }
        self.audits.0 != 0
            && Number::bits(&source.known_field(Field::Keywords))
                .is_some_and(|keywords| Keywords(keywords).intersects(self.audits))
    }
}

fn audit(part: &str) -> Option<Keywords> {
    match &*part.to_ascii_lowercase() {
        "audit-success" => Some(Keywords::AUDIT_SUCCESS),
        "audit-failure" => Some(Keywords::AUDIT_FAILURE),
        _ => None,
    }
}

fn rank(text: &str, part: &str, in_range: bool) -> Result<Rank, FilterError> {
    let part = part.trim();
    if in_range && audit(part).is_some() {
        return Err(FilterError::about(text, part, FilterProblem::AuditInRange));
    }
    match &*part.to_ascii_lowercase() {
        // Also the names that syslog and journalctl have.
        "critical" | "crit" | "alert" | "emerg" => Ok(1),
        "error" | "err" => Ok(2),
        "warning" | "warn" => Ok(3),
        "information" | "info" | "notice" => Ok(4),
        "verbose" | "debug" => Ok(5),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => match digits.parse::<u8>() {
            Ok(0) => Ok(4),
            Ok(level) => Ok(u64::from(level).min(5)),
            Err(_) => Err(FilterError::about(text, part, FilterProblem::Level)),
        },
        _ => Err(FilterError::about(text, part, FilterProblem::Level)),
    }
}

/// The levels of the ranks from `first` to `last`.
fn add_ranks(first: Rank, last: Rank, ranges: &mut Vec<(u64, u64)>) {
    ranges.push((first, if last == 5 { u64::MAX } else { last }));
    if (first..=last).contains(&4) {
        ranges.push((0, 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(text: &str) -> Vec<(u64, u64)> {
        Levels::parse(text).unwrap().ranges.unwrap().as_slice().to_vec()
    }

    #[test]
    fn a_level_means_that_and_worse() {
        assert_eq!(ranges("error"), [(1, 2)]);
        assert_eq!(ranges("2"), [(1, 2)]);
        let names = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
        let known = names.map(|name| ranges(name)[0].1);
        assert_eq!(known, [1, 1, 1, 2, 3, 4, 4, u64::MAX], "as journalctl -p has them");
        assert_eq!(ranges("Information"), [(0, 4)]);
        assert_eq!(ranges("0"), [(0, 4)]);
        assert_eq!(ranges("verbose"), [(0, u64::MAX)]);
        assert_eq!(ranges("200"), [(0, u64::MAX)]);
    }

    #[test]
    fn a_range_holds_both_its_ends_in_either_order() {
        assert_eq!(ranges("warning..error"), [(2, 3)]);
        assert_eq!(ranges("error..warning"), [(2, 3)]);
        assert_eq!(ranges("info..info"), [(0, 0), (4, 4)]);
        assert_eq!(ranges("5..5"), [(5, u64::MAX)]);
        assert_eq!(ranges("critical, verbose..verbose"), [(1, 1), (5, u64::MAX)]);
    }

    #[test]
    fn audits_are_told_by_keywords() {
        let levels = Levels::parse("audit-failure").unwrap();
        assert_eq!((levels.ranges, levels.audits), (None, Keywords::AUDIT_FAILURE));
        let both = Levels::parse("error,Audit-Success,audit-failure").unwrap();
        assert_eq!(both.audits.0, 0x0030_0000_0000_0000);
        assert!(both.ranges.is_some());
    }

    #[test]
    fn what_is_no_level_is_refused_at_its_place() {
        for (text, at, about) in [
            ("", 0, "nothing here"),
            ("error,", 6, "nothing here"),
            ("error,fatal", 6, "`fatal` is not a level"),
            ("256", 0, "`256` is not a level"),
            ("-1", 0, "not a level"),
            ("error..", 7, "`` is not a level"),
            ("error..audit-failure", 7, "no severity"),
        ] {
            let error = Levels::parse(text).unwrap_err();
            assert_eq!(error.place.byte(), at, "{text}");
            assert!(error.to_string().contains(about), "{text}: {error}");
        }
    }
}
