//! Printed events in the order of their time, more than fit in memory.
//!
//! Events are gathered up to a bound, sorted and written to a temporary file as a run; at the end
//! the runs are merged. Too many runs are merged into one, so that few files are open.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

use quarry_event::EventTime;

/// What is kept in memory before it becomes a run, in bytes.
const MEMORY: usize = 16 << 20;
/// Runs before they are merged into one.
const MAX_RUNS: usize = 64;

/// Where an event stands among all: its time, its source's place, and its place there. The order
/// of the last two is always the order they were given in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Key {
    /// The time, or what is left after it where the newest comes first.
    time: u64,
    number: u64,
}

/// Sorts printed events.
pub(crate) struct Sorter {
    newest_first: bool,
    /// How many of the first events are wanted.
    limit: usize,
    memory: usize,
    number: u64,
    text: Vec<u8>,
    entries: Vec<(Key, usize, usize)>,
    runs: Vec<Run>,
}

impl Sorter {
    /// Sorts; at most so many of the first events are wanted, where there is a limit.
    pub(crate) fn new(newest_first: bool, limit: Option<u64>) -> Self {
        Self::with_memory(newest_first, limit, MEMORY)
    }

    fn with_memory(newest_first: bool, limit: Option<u64>, memory: usize) -> Self {
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Sorter {
            newest_first,
            limit,
            memory,
            number: 0,
            text: Vec::new(),
            entries: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Adds an event. Of events of one time, those added first come first.
    pub(crate) fn add(&mut self, time: EventTime, text: &[u8]) -> io::Result<()> {
        let time = time.as_filetime();
        let time = if self.newest_first { u64::MAX - time } else { time };
        let key = Key { time, number: self.number };
        self.number += 1;
        let start = self.text.len();
        self.text.extend_from_slice(text);
        self.entries.push((key, start, self.text.len()));
        if self.text.len() + size_of_val(&self.entries[..]) < self.memory {
            return Ok(());
        }
        self.spill()
    }

    /// Hands on the events in order, until `take` fails. `failed` makes its error of one of the
    /// temporary files'.
    pub(crate) fn finish<E>(
        mut self,
        take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
        failed: fn(&io::Error) -> E,
    ) -> Result<(), E> {
        if self.runs.is_empty() {
            self.sort();
            return self.entries.iter().try_for_each(|&(_, a, b)| take(&self.text[a..b]));
        }
        self.spill().map_err(|error| failed(&error))?;
        let mut merge = Merge::new(self.runs, self.limit).map_err(|error| failed(&error))?;
        while let Some((_, text)) = merge.next().map_err(|error| failed(&error))? {
            take(text)?;
        }
        Ok(())
    }

    /// Sorts what is in memory, and forgets what can't be among the first.
    fn sort(&mut self) {
        self.entries.sort_unstable();
        self.entries.truncate(self.limit);
    }

    fn spill(&mut self) -> io::Result<()> {
        if self.entries.is_empty() {
            return Ok(());
        }
        self.sort();
        let mut writer = RunWriter::new()?;
        for &(key, start, end) in &self.entries {
            writer.write(key, &self.text[start..end])?;
        }
        self.runs.push(writer.finish()?);
        self.text.clear();
        self.entries.clear();
        if self.runs.len() >= MAX_RUNS {
            let mut writer = RunWriter::new()?;
            let mut merge = Merge::new(std::mem::take(&mut self.runs), self.limit)?;
            while let Some((key, text)) = merge.next()? {
                writer.write(key, text)?;
            }
            self.runs.push(writer.finish()?);
        }
        Ok(())
    }
}

/// The first events of sorted runs, in one order.
struct Merge {
    runs: Vec<Run>,
    heads: BinaryHeap<Reverse<(Key, usize)>>,
    /// The run whose event was given last.
    given: Option<usize>,
    left: usize,
}

impl Merge {
    fn new(runs: Vec<Run>, limit: usize) -> io::Result<Self> {
        let mut merge = Merge { runs, heads: BinaryHeap::new(), given: None, left: limit };
        for run in 0..merge.runs.len() {
            merge.advance(run)?;
        }
        Ok(merge)
    }

    fn advance(&mut self, run: usize) -> io::Result<()> {
        if self.runs[run].advance()? {
            self.heads.push(Reverse((self.runs[run].key, run)));
        }
        Ok(())
    }

    fn next(&mut self) -> io::Result<Option<(Key, &[u8])>> {
        if let Some(run) = self.given.take() {
            self.advance(run)?;
        }
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        let Some(Reverse((key, run))) = self.heads.pop() else { return Ok(None) };
        self.left = left;
        self.given = Some(run);
        Ok(Some((key, &self.runs[run].text)))
    }
}

/// A temporary file of sorted events: of each the key, the length and the text.
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
        self.file.write_all(&key.time.to_le_bytes())?;
        self.file.write_all(&key.number.to_le_bytes())?;
        self.file.write_all(&(text.len() as u64).to_le_bytes())?;
        self.file.write_all(text)
    }

    fn finish(self) -> io::Result<Run> {
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(Run {
            file: BufReader::with_capacity(1 << 16, file),
            left: self.events,
            key: Key { time: 0, number: 0 },
            text: Vec::new(),
        })
    }
}

/// A run and the event it has come to.
struct Run {
    file: BufReader<File>,
    left: u64,
    key: Key,
    text: Vec<u8>,
}

impl Run {
    fn advance(&mut self) -> io::Result<bool> {
        if self.left == 0 {
            return Ok(false);
        }
        self.left -= 1;
        let mut head = [0; 24];
        self.file.read_exact(&mut head)?;
        let part = |i: usize| u64::from_le_bytes(std::array::from_fn(|j| head[8 * i + j]));
        self.key = Key { time: part(0), number: part(1) };
        self.text.resize(part(2) as usize, 0);
        self.file.read_exact(&mut self.text)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn events_come_in_order_however_little_memory_there_is(
            times in prop::collection::vec(0u64..50, 0..700),
            newest_first in any::<bool>(),
            limit in prop::option::of(0u64..800),
            memory in 1usize..2000,
        ) {
            let mut sorter = Sorter::with_memory(newest_first, limit, memory);
            for (i, time) in times.iter().enumerate() {
                let text = format!("{time}:{i}");
                sorter.add(EventTime::from_filetime(*time), text.as_bytes()).unwrap();
            }
            let mut sorted = Vec::new();
            sorter.finish(&mut |text| {
                sorted.push(String::from_utf8(text.to_vec()).unwrap());
                Ok(())
            }, |error| panic!("{error}")).unwrap();
            let mut expected: Vec<(usize, u64)> = times.into_iter().enumerate().collect();
            // The standard library's sort keeps the order of equals.
            match newest_first {
                true => expected.sort_by_key(|&(_, time)| Reverse(time)),
                false => expected.sort_by_key(|&(_, time)| time),
            }
            expected.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
            let expected: Vec<String> =
                expected.into_iter().map(|(i, time)| format!("{time}:{i}")).collect();
            prop_assert_eq!(sorted, expected);
        }
    }

    #[test]
    fn an_error_of_the_reader_ends_it() {
        let mut sorter = Sorter::new(false, None);
        sorter.add(EventTime::default(), b"a").unwrap();
        sorter.add(EventTime::default(), b"b").unwrap();
        let mut seen = 0;
        let mut take = |_: &[u8]| {
            seen += 1;
            Err("closed")
        };
        let result = sorter.finish(&mut take, |_| "temporary files");
        assert_eq!(result, Err("closed"));
        assert_eq!(seen, 1);
    }
}
