//! How many records to ask for at once.

use quarry_even::limits::{MAX_BATCH_SIZE, MAX_RECORD_COUNT};

/// Asked for at first, when nothing is known of the records. Records are seldom over 40 KB.
const FIRST: u32 = 50;

/// Asked for when a server searches long.
const FEW: u32 = 8;

/// Successful batches after which more is tried again.
const TRUST: u32 = 8;

/// Adapts the count of records to the bytes seen. A batch over 2 MiB fails on servers before
/// Windows 11 and 2025, so it aims well below.
#[derive(Clone, Debug)]
pub(crate) struct BatchSize {
    target: usize,
    count: u32,
    /// More has failed.
    ceiling: u32,
    successes: u32,
    /// Bytes of a record, of the last batch.
    average: usize,
}

impl BatchSize {
    /// Batches of about `target` bytes.
    pub(crate) fn new(target: usize) -> Self {
        let target = target.clamp(1, MAX_BATCH_SIZE as usize / 2);
        BatchSize { target, count: FIRST, ceiling: MAX_RECORD_COUNT, successes: 0, average: 2048 }
    }

    /// How many records to ask for next.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// How many bytes these will probably have.
    pub(crate) fn expected_bytes(&self) -> usize {
        (self.count as usize).saturating_mul(self.average).min(MAX_BATCH_SIZE as usize)
    }

    /// A batch came.
    pub(crate) fn succeeded(&mut self, records: usize, bytes: usize) {
        if records == 0 {
            return;
        }
        self.successes += 1;
        if self.successes >= TRUST {
            self.ceiling = self.ceiling.saturating_mul(2).min(MAX_RECORD_COUNT);
            self.successes = 0;
        }
        self.average = (bytes / records).max(1);
        let wanted = u32::try_from(self.target / self.average).unwrap_or(MAX_RECORD_COUNT);
        // The next records may be larger: no more than four times as many as have been seen.
        let most = self.count.saturating_mul(4).min(self.ceiling).max(1);
        self.count = wanted.clamp(1, most);
    }

    /// Nothing was found in the time of a call. Few records are asked for then, so that a slow
    /// server doesn't hold much of a budget.
    pub(crate) fn waited(&mut self) {
        self.count = self.count.min(FEW);
    }

    /// A batch was too large of which so many records were asked for. False if there is no smaller
    /// one.
    pub(crate) fn halve(&mut self, asked: u32) -> bool {
        self.count = self.count.min(asked.max(1));
        if self.count == 1 {
            return false;
        }
        self.count = (self.count / 2).max(1);
        self.ceiling = self.count;
        self.successes = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_records_are_asked_for_in_growing_numbers_and_large_ones_in_few() {
        let mut size = BatchSize::new(512 << 10);
        assert_eq!(size.count(), 50);
        size.succeeded(50, 50 * 500);
        assert_eq!(size.count(), 200);
        size.succeeded(200, 200 * 500);
        assert_eq!(size.count(), 800);
        size.succeeded(800, 800 * 500);
        assert_eq!(size.count(), MAX_RECORD_COUNT);
        size.succeeded(1024, 1024 * 60_000);
        assert_eq!(size.count(), 8);
        assert_eq!(size.expected_bytes(), 480_000);
    }

    #[test]
    fn what_has_failed_is_tried_again_only_after_some_time() {
        let mut size = BatchSize::new(512 << 10);
        assert!(size.halve(50));
        assert_eq!(size.count(), 25);
        for _ in 0..TRUST - 1 {
            size.succeeded(25, 25 * 100);
            assert_eq!(size.count(), 25);
        }
        size.succeeded(25, 25 * 100);
        assert_eq!(size.count(), 50);
        while size.count() > 1 {
            assert!(size.halve(u32::MAX));
        }
        assert!(!size.halve(u32::MAX));
    }

    #[test]
    fn what_is_halved_is_what_was_asked_for() {
        let mut size = BatchSize::new(512 << 10);
        assert!(size.halve(10));
        assert_eq!(size.count(), 5);
        assert!(!size.halve(1), "a single one was too large");
        assert_eq!(size.count(), 1);
    }

    #[test]
    fn the_count_grows_back_after_a_record_that_was_too_large() {
        let mut size = BatchSize::new(512 << 10);
        while size.halve(u32::MAX) {}
        for _ in 0..100 {
            let count = size.count() as usize;
            size.succeeded(count, count * 2048);
        }
        assert_eq!(size.count(), 256);
    }

    proptest! {
        #[test]
        fn the_count_is_always_one_that_may_be_asked_for(
            steps in prop::collection::vec((0usize..2000, 0usize..4_000_000, any::<bool>()), 0..50),
            target: usize,
        ) {
            let mut size = BatchSize::new(target);
            for (records, bytes, fails) in steps {
                if fails { size.halve(u32::MAX); } else { size.succeeded(records, bytes); }
                prop_assert!((1..=MAX_RECORD_COUNT).contains(&size.count()));
                prop_assert!(size.expected_bytes() <= MAX_BATCH_SIZE as usize);
            }
        }
    }
}
