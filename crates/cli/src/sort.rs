//! Printed events in the order of their time, more than fit in memory.
//!
//! Each delivery's events are a run of their own, and the runs are merged: while more comes, up to the time
//! that nothing is before any more; at the end, all that is left. Runs that take too much memory are merged
//! into a temporary file, and too many files into one, so that few are open.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::ops::Range;

use quarry_event::EventTime;

/// What is kept in memory before it goes to a file, in bytes.
const MEMORY: usize = 64 << 20;
/// Files before they are merged into one.
const MAX_FILES: usize = 64;

/// Where an event stands among all: by its time, then by the place of its delivery, then by when that came. Those
/// of one delivery stay in their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
struct Key {
    /// The time, or what is left after it where the newest comes first.
    time: u64,
    place: u64,
    number: u64,
}

/// Sorts printed events.
pub(crate) struct Sorter {
    newest_first: bool,
    /// How many events are still wanted.
    wanted: usize,
    /// What runs in memory may hold, and what they do.
    memory: usize,
    held: usize,
    /// How many deliveries there were.
    number: u64,
    runs: BinaryHeap<Reverse<Head>>,
    /// How many of them are in files.
    files: usize,
}

impl Sorter {
    /// Sorts; at most so many of the first events are wanted, where there is a limit.
    pub(crate) fn new(newest_first: bool, limit: Option<u64>) -> Self {
        Self::with_memory(newest_first, limit, MEMORY)
    }

    fn with_memory(newest_first: bool, limit: Option<u64>, memory: usize) -> Self {
        let wanted = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let runs = BinaryHeap::new();
        Sorter { newest_first, wanted, memory, held: 0, number: 0, runs, files: 0 }
    }

    /// Adds the events of a delivery, each with where it lies in the text. Of events of one time, those of the
    /// lower place come first, then those added first.
    pub(crate) fn add(
        &mut self,
        place: u64,
        text: Vec<u8>,
        events: impl Iterator<Item = (EventTime, Range<usize>)>,
    ) -> io::Result<()> {
        let mut events: Vec<(u64, Range<usize>)> =
            events.map(|(time, text)| (self.time(time), text)).collect();
        events.sort_by_key(|&(time, _)| time);
        events.truncate(self.wanted);
        let held = text.capacity() + size_of_val(&events[..]);
        let key = Key { time: 0, place, number: self.number };
        self.number += 1;
        let run = Run::Memory { text, events: events.into_iter(), event: 0..0, held };
        if self.push(Head { key, run: Box::new(run) })? {
            self.held += held;
        }
        if self.held > self.memory { self.spill() } else { Ok(()) }
    }

    /// Hands on the events before a time, in order: nothing that is added later comes before it; or all that are
    /// left. Ends when `take` fails. `failed` makes its error of one of the temporary files'.
    pub(crate) fn release<E>(
        &mut self,
        before: Option<EventTime>,
        take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
        failed: fn(&io::Error) -> E,
    ) -> Result<(), E> {
        let before = before.map(|time| self.time(time));
        while let Some(mut head) = self.runs.peek_mut()
            && before.is_none_or(|before| head.0.key.time < before)
        {
            if self.wanted > 0 {
                self.wanted -= 1;
                take(head.0.run.text())?;
            }
            let has_more = head.0.advance().map_err(|error| failed(&error))?;
            if !has_more {
                match *PeekMut::pop(head).0.run {
                    Run::Memory { held, .. } => self.held -= held,
                    Run::File { .. } => self.files -= 1,
                }
            }
        }
        Ok(())
    }

    fn time(&self, time: EventTime) -> u64 {
        let time = time.as_filetime();
        if self.newest_first { u64::MAX - time } else { time }
    }

    /// Adds a run, if there is anything in it.
    fn push(&mut self, mut head: Head) -> io::Result<bool> {
        let has_any = head.advance()?;
        if has_any {
            self.runs.push(Reverse(head));
        }
        Ok(has_any)
    }

    /// Merges the runs in memory into a file; and the files, if there are too many.
    fn spill(&mut self) -> io::Result<()> {
        self.merge(|run| matches!(run, Run::Memory { .. }))?;
        self.held = 0;
        self.files += 1;
        if self.files >= MAX_FILES {
            self.merge(|run| matches!(run, Run::File { .. }))?;
            self.files = 1;
        }
        Ok(())
    }

    /// Merges some runs into a file, and forgets what can't be among those wanted.
    fn merge(&mut self, is_one: impl Fn(&Run) -> bool) -> io::Result<()> {
        let all = std::mem::take(&mut self.runs).into_iter();
        let (merged, others): (BinaryHeap<_>, BinaryHeap<_>) =
            all.partition(|head: &Reverse<Head>| is_one(&head.0.run));
        self.runs = others;
        let mut merged = merged;
        let mut writer = RunWriter::new()?;
        while let Some(mut head) = merged.peek_mut()
            && writer.events < self.wanted as u64
        {
            writer.write(head.0.key, head.0.run.text())?;
            if !head.0.advance()? {
                PeekMut::pop(head);
            }
        }
        let run = Box::new(writer.finish()?);
        self.push(Head { key: Key::default(), run }).map(drop)
    }
}

/// A run, and where the event stands that it has come to.
struct Head {
    key: Key,
    run: Box<Run>,
}

impl Head {
    /// Goes on to the run's next event. Says whether there is one.
    fn advance(&mut self) -> io::Result<bool> {
        match &mut *self.run {
            Run::Memory { events, event, .. } => {
                let Some((time, range)) = events.next() else { return Ok(false) };
                self.key.time = time;
                *event = range;
            }
            Run::File { file, left, text } => {
                let Some(rest) = left.checked_sub(1) else { return Ok(false) };
                *left = rest;
                let mut head = [0; 32];
                file.read_exact(&mut head)?;
                let part = |i: usize| u64::from_le_bytes(std::array::from_fn(|j| head[8 * i + j]));
                self.key = Key { time: part(0), place: part(1), number: part(2) };
                text.resize(part(3) as usize, 0);
                file.read_exact(text)?;
            }
        }
        Ok(true)
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Head {}

/// Events in order, and the one that was come to.
enum Run {
    Memory {
        text: Vec<u8>,
        /// Those to come: the time of each, and where it lies in the text.
        events: std::vec::IntoIter<(u64, Range<usize>)>,
        event: Range<usize>,
        /// Bytes of memory.
        held: usize,
    },
    /// A temporary file: of each event the key, the length and the text.
    File { file: BufReader<File>, left: u64, text: Vec<u8> },
}

impl Run {
    /// The text of the event.
    fn text(&self) -> &[u8] {
        match self {
            Run::Memory { text, event, .. } => &text[event.clone()],
            Run::File { text, .. } => text,
        }
    }
}

/// Writes a run to a temporary file.
struct RunWriter {
    file: BufWriter<File>,
    events: u64,
}

impl RunWriter {
    fn new() -> io::Result<Self> {
        Ok(RunWriter { file: BufWriter::with_capacity(1 << 18, tempfile::tempfile()?), events: 0 })
    }

    fn write(&mut self, key: Key, text: &[u8]) -> io::Result<()> {
        self.events += 1;
        for part in [key.time, key.place, key.number, text.len() as u64] {
            self.file.write_all(&part.to_le_bytes())?;
        }
        self.file.write_all(text)
    }

    fn finish(self) -> io::Result<Run> {
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        let file = BufReader::with_capacity(1 << 16, file);
        Ok(Run::File { file, left: self.events, text: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The sorter's events as text, as they are handed on.
    fn release(sorter: &mut Sorter, before: Option<u64>, sorted: &mut Vec<String>) {
        let mut take = |text: &[u8]| {
            sorted.push(String::from_utf8(text.to_vec()).unwrap());
            Ok(())
        };
        let before = before.map(EventTime::from_filetime);
        sorter.release(before, &mut take, |error| panic!("{error}")).unwrap();
    }

    /// Adds a delivery of events with these times.
    fn add(sorter: &mut Sorter, place: u64, times: &[u64]) {
        let mut text = Vec::new();
        let mut events = Vec::new();
        for (n, time) in times.iter().enumerate() {
            let start = text.len();
            text.extend_from_slice(format!("{time}:{place}:{n}").as_bytes());
            events.push((EventTime::from_filetime(*time), start..text.len()));
        }
        sorter.add(place, text, events.into_iter()).unwrap();
    }

    /// The same by the standard library, whose sort keeps the order of equals.
    fn expected(deliveries: &[Vec<u64>], newest_first: bool, limit: Option<u64>) -> Vec<String> {
        let all = deliveries.iter().enumerate();
        let mut all: Vec<(u64, usize, usize)> = all
            .flat_map(|(place, times)| {
                times.iter().enumerate().map(move |(n, time)| (*time, place, n))
            })
            .collect();
        match newest_first {
            true => all.sort_by_key(|&(time, ..)| Reverse(time)),
            false => all.sort_by_key(|&(time, ..)| time),
        }
        all.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
        all.into_iter().map(|(time, place, n)| format!("{time}:{place}:{n}")).collect()
    }

    fn deliveries() -> impl Strategy<Value = Vec<Vec<u64>>> {
        prop::collection::vec(prop::collection::vec(0u64..50, 0..12), 0..90)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn events_come_in_order_however_little_memory_there_is(
            deliveries in deliveries(),
            newest_first in any::<bool>(),
            limit in prop::option::of(0u64..800),
            memory in 1usize..4000,
        ) {
            let mut sorter = Sorter::with_memory(newest_first, limit, memory);
            for (place, times) in deliveries.iter().enumerate() {
                add(&mut sorter, place as u64, times);
            }
            let mut sorted = Vec::new();
            release(&mut sorter, None, &mut sorted);
            prop_assert_eq!(sorted, expected(&deliveries, newest_first, limit));
            prop_assert_eq!((sorter.held, sorter.files), (0, 0));
        }

        #[test]
        fn what_nothing_comes_before_any_more_is_handed_on_at_once(
            deliveries in deliveries(),
            newest_first in any::<bool>(),
            limit in prop::option::of(0u64..800),
            memory in 1usize..4000,
        ) {
            let mut sorter = Sorter::with_memory(newest_first, limit, memory);
            // In the order of what each begins with; what has no event comes first.
            let edge = |times: &[u64]| match newest_first {
                true => times.iter().max().copied().unwrap_or(u64::MAX),
                false => times.iter().min().copied().unwrap_or(0),
            };
            let mut order: Vec<(usize, &Vec<u64>)> = deliveries.iter().enumerate().collect();
            order.sort_by_key(|(_, times)| edge(times));
            if newest_first {
                order.reverse();
            }
            let mut sorted = Vec::new();
            for (place, times) in order {
                release(&mut sorter, Some(edge(times)), &mut sorted);
                let is_past = |event: &String| {
                    let time = event.split(':').next().unwrap().parse::<u64>().unwrap();
                    if newest_first { time > edge(times) } else { time < edge(times) }
                };
                prop_assert!(sorted.iter().all(is_past));
                add(&mut sorter, place as u64, times);
            }
            release(&mut sorter, None, &mut sorted);
            prop_assert_eq!(sorted, expected(&deliveries, newest_first, limit));
        }
    }

    #[test]
    fn an_error_of_the_reader_ends_it() {
        let mut sorter = Sorter::new(false, None);
        add(&mut sorter, 0, &[1, 2]);
        let mut seen = 0;
        let mut take = |_: &[u8]| {
            seen += 1;
            Err("closed")
        };
        let result = sorter.release(None, &mut take, |_| "temporary files");
        assert_eq!(result, Err("closed"));
        assert_eq!(seen, 1);
    }
}
