//! What is made of an event once, and kept for others like it.

use std::hash::Hasher;

/// What is kept for all events of a kind, or of a [layout](crate::layout).
pub trait Kept {
    /// About how much memory it takes besides its own size, in bytes.
    fn bytes(&self) -> usize;
}

/// The hash of a key, which is one already.
#[derive(Default, Debug)]
pub(crate) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.0 = self.0.rotate_left(8) ^ u64::from(byte));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
