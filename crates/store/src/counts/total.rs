//! Counts of files added up, so that those of each can be taken away again.

use std::collections::HashMap;

use super::{COUNTED, Counts, NAMES, VALUES, VERSION};

/// Where in [`Total::lacking`] hours and names are; the columns are before them.
const HOURS_LACK: usize = COUNTED.len();
const NAMES_LACK: usize = COUNTED.len() + 1;

/// Whether counts come or go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    Come,
    Go,
}

type Sums = HashMap<String, u64>;

/// The sums.
#[derive(Clone, Debug, Default)]
pub(super) struct Total {
    events: u64,
    levels: Sums,
    /// In the order of [`COUNTED`].
    values: [Sums; COUNTED.len()],
    hours: HashMap<u64, Sums>,
    /// How many files have each name.
    names: Sums,
    /// How many files have too many values in a column to be told apart, or too many hours or names.
    lacking: [u64; COUNTED.len() + 2],
}

impl Total {
    /// Adds the counts of a file, or takes away those that were added once.
    pub(super) fn change(&mut self, counts: &Counts, way: Way) {
        way.of(&mut self.events, counts.events);
        way.of_all(&mut self.levels, &counts.levels);
        for (n, name) in COUNTED.iter().enumerate() {
            match counts.values.get(*name) {
                Some(Some(values)) => way.of_all(&mut self.values[n], values),
                _ => way.of(&mut self.lacking[n], 1),
            }
        }
        match &counts.hours {
            Some(hours) => {
                for (hour, levels) in hours {
                    let sums = self.hours.entry(*hour).or_default();
                    way.of_all(sums, levels);
                    if sums.is_empty() {
                        self.hours.remove(hour);
                    }
                }
            }
            None => way.of(&mut self.lacking[HOURS_LACK], 1),
        }
        match &counts.names {
            Some(names) => way.of_all(&mut self.names, names.iter().map(|name| (name, &1))),
            None => way.of(&mut self.lacking[NAMES_LACK], 1),
        }
    }

    /// What they come to; nothing of what a file lacks, or what there is too much of in all.
    pub(super) fn counts(&self) -> Counts {
        let is_known = |n: usize, most: usize, there: usize| self.lacking[n] == 0 && there <= most;
        let values = COUNTED.iter().zip(&self.values).enumerate().map(|(n, (name, sums))| {
            ((*name).to_owned(), is_known(n, VALUES, sums.len()).then(|| sums.clone()))
        });
        let sorted = |sums: &Sums| sums.iter().map(|(word, n)| (word.clone(), *n)).collect();
        let hours = || self.hours.iter().map(|(hour, sums)| (*hour, sorted(sums))).collect();
        Counts {
            version: VERSION,
            events: self.events,
            levels: sorted(&self.levels),
            values: values.collect(),
            hours: is_known(HOURS_LACK, usize::MAX, 0).then(hours),
            minutes: None,
            names: is_known(NAMES_LACK, 16 * NAMES, self.names.len())
                .then(|| self.names.keys().cloned().collect()),
        }
    }
}

impl Way {
    fn of(self, sum: &mut u64, by: u64) {
        *sum = match self {
            Way::Come => sum.saturating_add(by),
            Way::Go => sum.saturating_sub(by),
        };
    }

    fn of_all<'a>(self, sums: &mut Sums, by: impl IntoIterator<Item = (&'a String, &'a u64)>) {
        for (key, by) in by {
            match sums.get_mut(key) {
                Some(sum) => {
                    self.of(sum, *by);
                    if *sum == 0 {
                        sums.remove(key);
                    }
                }
                None if self == Way::Come => {
                    sums.insert(key.clone(), *by);
                }
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::counts::Steps;

    /// Counts of a file, in which something may be missing.
    fn counts() -> impl Strategy<Value = Counts> {
        let levels = || prop::collection::btree_map("[ab]", 1_u64..9, 0..3);
        let values =
            || prop::option::weighted(0.8, prop::collection::hash_map("[abc]", 1_u64..9, 0..3));
        let hours =
            prop::option::weighted(0.8, prop::collection::btree_map(0_u64..3, levels(), 0..3));
        let names = prop::option::weighted(0.8, prop::collection::btree_set("[a-d]", 0..3));
        let columns = prop::collection::vec(values(), COUNTED.len());
        (1_u64..9, levels(), columns, hours, names).prop_map(
            |(events, levels, columns, hours, names): (
                _,
                _,
                _,
                Option<Steps>,
                Option<BTreeSet<_>>,
            )| {
                let names_of = COUNTED.iter().map(|&name| name.to_owned());
                let values = names_of.zip(columns).collect();
                Counts { version: VERSION, events, levels, values, hours, minutes: None, names }
            },
        )
    }

    /// What the same files come to without anything that is taken away.
    fn merged<'a>(files: impl IntoIterator<Item = &'a Counts>) -> Counts {
        let mut all = Counts::new();
        files.into_iter().for_each(|counts| all.merge(counts));
        all.minutes = None;
        // A step without events is none.
        if let Some(hours) = &mut all.hours {
            hours.retain(|_, levels| !levels.is_empty());
        }
        all
    }

    proptest! {
        #[test]
        fn what_came_and_went_leaves_what_is_there(
            files in prop::collection::vec((counts(), any::<bool>()), 0..6),
        ) {
            let mut total = Total::default();
            files.iter().for_each(|(counts, _)| total.change(counts, Way::Come));
            prop_assert_eq!(total.counts(), merged(files.iter().map(|(counts, _)| counts)));
            let gone = files.iter().filter(|(_, goes)| *goes);
            gone.for_each(|(counts, _)| total.change(counts, Way::Go));
            let left = files.iter().filter(|(_, goes)| !goes).map(|(counts, _)| counts);
            prop_assert_eq!(total.counts(), merged(left));
        }
    }
}
