//! Makes `.evt` files as the service of Windows does: a ring of records between a header and the
//! end of the file, after them the record that marks the end. It also knows what is left of the
//! records that it has overwritten.
#![allow(dead_code)] // Each test uses a part of it.

use std::collections::VecDeque;

const HEADER: usize = 48;
const END: usize = 40;
/// The part of a record that never stands across the end of the file.
const FIXED: usize = 56;

/// A file in the making.
#[derive(Clone)]
pub(crate) struct Ring {
    /// The file, but for its header.
    pub(crate) bytes: Vec<u8>,
    /// How much it grows by at a time, and how large it becomes.
    step: usize,
    max: usize,
    end: usize,
    next: u32,
    oldest: u32,
    has_wrapped: bool,
    live: VecDeque<Written>,
    /// All that was ever written, in its order.
    pub(crate) written: Vec<Written>,
    /// What the header said when it was written last.
    header: [u32; 4],
}

/// A record and where it begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Written {
    pub(crate) at: usize,
    pub(crate) number: u32,
    pub(crate) bytes: Vec<u8>,
}

impl Ring {
    /// A log without records, whose file grows by `step` bytes at a time up to `max`.
    pub(crate) fn new(step: usize, max: usize, first: u32) -> Self {
        assert!(max.is_multiple_of(4) && step.is_multiple_of(4) && step > HEADER + END);
        let mut ring = Ring {
            bytes: vec![0; step.min(max)],
            step,
            max,
            end: HEADER,
            next: first,
            oldest: 0,
            has_wrapped: false,
            live: VecDeque::new(),
            written: Vec::new(),
            header: [0; 4],
        };
        ring.mark_end();
        ring.flush();
        ring
    }

    /// Appends a record; it is made with its number.
    pub(crate) fn write(&mut self, record: impl FnOnce(u32) -> Vec<u8>) {
        let bytes = record(self.next);
        assert!(bytes.len() + END + HEADER + 2 * FIXED <= self.max, "it fits in the file");
        while self.end + bytes.len() + END > self.bytes.len() && self.bytes.len() < self.max {
            let grown = (self.bytes.len() + self.step).min(self.max);
            self.bytes.resize(grown, 0);
        }
        if self.bytes.len() - self.end < FIXED {
            // What is in the way there has been given up.
            let from = self.end;
            self.give_up(from, self.bytes.len() - from);
            let filled = self.bytes.len();
            for place in self.bytes[from..filled].chunks_mut(4) {
                place.copy_from_slice(&0x27u32.to_le_bytes()[..place.len()]);
            }
            self.end = HEADER;
            self.has_wrapped = true;
        }
        let at = self.end;
        self.give_up(at, bytes.len() + END);
        self.put(at, &bytes);
        self.end = self.behind(at, bytes.len());
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let record = Written { at, number, bytes };
        self.live.push_back(record.clone());
        self.written.push(record);
        self.oldest = self.live[0].number;
        self.mark_end();
    }

    /// Empties the log, as an administrator does; the bytes stay.
    pub(crate) fn clear(&mut self) {
        self.live.clear();
        (self.end, self.next, self.oldest) = (HEADER, 1, 0);
        self.has_wrapped = false;
        self.mark_end();
        self.flush();
    }

    /// Writes the header.
    pub(crate) fn flush(&mut self) {
        self.header = [self.begin() as u32, self.end as u32, self.next, self.oldest];
    }

    /// The file of a log that is closed.
    pub(crate) fn closed(&self) -> Vec<u8> {
        let mut ring = self.clone();
        ring.flush();
        ring.file(0)
    }

    /// The file of a log that is open: its header is that of the last flush.
    pub(crate) fn open(&self) -> Vec<u8> {
        self.file(1)
    }

    /// The numbers of its records.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.live.iter().map(|record| record.number).collect()
    }

    /// Where the record that marks the end begins.
    pub(crate) fn end(&self) -> usize {
        self.end
    }

    /// The records that the log has given up and of which every byte is still there.
    pub(crate) fn given_up(&self) -> Vec<&Written> {
        let mut covered = vec![false; self.bytes.len()];
        let mut cover = |at: usize, len: usize| -> bool {
            let places: Vec<usize> = (0..len).map(|i| self.behind(at, i)).collect();
            let is_free = places.iter().all(|&place| !covered[place]);
            places.into_iter().for_each(|place| covered[place] = true);
            is_free
        };
        self.live.iter().for_each(|record| {
            cover(record.at, record.bytes.len());
        });
        cover(self.end, END);
        let is_live = |record: &Written| {
            self.live.iter().any(|live| live.number == record.number && live.at == record.at)
        };
        // The newest first, as it has overwritten the others.
        let mut left: Vec<&Written> = Vec::new();
        for record in self.written.iter().rev().filter(|record| !is_live(record)) {
            let is_there = (0..record.bytes.len())
                .all(|i| self.bytes[self.behind(record.at, i)] == record.bytes[i]);
            if is_there && cover(record.at, record.bytes.len()) {
                left.push(record);
            }
        }
        left
    }

    fn file(&self, dirty: u32) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let [begin, end, next, oldest] = self.header;
        let wrapped = u32::from(self.has_wrapped) * 2;
        let max = self.max as u32;
        let header = [48, 0x654c_664c, 1, 1, begin, end, next, oldest, max, dirty | wrapped, 0, 48];
        for (place, value) in bytes.chunks_mut(4).zip(header) {
            place.copy_from_slice(&u32::to_le_bytes(value));
        }
        bytes
    }

    fn begin(&self) -> usize {
        self.live.front().map_or(self.end, |record| record.at)
    }

    /// Gives up the oldest records, as far as they are in the way of what is to be written.
    fn give_up(&mut self, at: usize, len: usize) {
        let size = self.bytes.len() - HEADER;
        let place = |offset: usize| offset - HEADER;
        let is_in_the_way = |record: &Written| {
            // How far it is ahead, round the ring.
            let ahead = (place(record.at) + size - place(at)) % size;
            ahead < len || ahead + record.bytes.len() > size
        };
        while self.live.front().is_some_and(is_in_the_way) {
            self.live.pop_front();
        }
    }

    fn mark_end(&mut self) {
        let words = [
            40,
            0x1111_1111,
            0x2222_2222,
            0x3333_3333,
            0x4444_4444,
            self.begin() as u32,
            self.end as u32,
            self.next,
            self.oldest,
            40,
        ];
        let bytes: Vec<u8> = words.iter().flat_map(|&word| u32::to_le_bytes(word)).collect();
        self.put(self.end, &bytes);
    }

    /// Writes bytes; those that don't fit before the end of the file go after the header.
    fn put(&mut self, at: usize, bytes: &[u8]) {
        for (i, byte) in bytes.iter().enumerate() {
            let place = self.behind(at, i);
            self.bytes[place] = *byte;
        }
        self.has_wrapped |= at + bytes.len() > self.bytes.len();
    }

    fn behind(&self, at: usize, len: usize) -> usize {
        let size = self.bytes.len() - HEADER;
        HEADER + (at - HEADER + len) % size
    }
}
