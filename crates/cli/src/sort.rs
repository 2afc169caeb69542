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
    memory: usize,
    number: u64,
    text: Vec<u8>,
    entries: Vec<(Key, usize, usize)>,
    runs: Vec<Run>,
}

impl Sorter {
    pub(crate) fn new(newest_first: bool) -> Self {
        Self::with_memory(newest_first, MEMORY)
    }

    fn with_memory(newest_first: bool, memory: usize) -> Self {
        Sorter {
            newest_first,
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

    /// Hands on all events in order, until `take` fails.
    pub(crate) fn finish(
        mut self,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.runs.is_empty() {
            self.entries.sort_unstable();
            return self.entries.iter().try_for_each(|&(_, a, b)| take(&self.text[a..b]));
        }
        self.spill()?;
        merge(self.runs, &mut |_, text| take(text))
    }

    fn spill(&mut self) -> io::Result<()> {
        if self.entries.is_empty() {
            return Ok(());
        }
        self.entries.sort_unstable();
        let mut writer = RunWriter::new()?;
        for &(key, start, end) in &self.entries {
            writer.write(key, &self.text[start..end])?;
        }
        self.runs.push(writer.finish()?);
        self.text.clear();
        self.entries.clear();
        if self.runs.len() >= MAX_RUNS {
            let mut writer = RunWriter::new()?;
            merge(std::mem::take(&mut self.runs), &mut |key, text| writer.write(key, text))?;
            self.runs.push(writer.finish()?);
        }
        Ok(())
    }
}

/// Hands on the events of sorted runs in one order.
fn merge(mut runs: Vec<Run>, take: &mut dyn FnMut(Key, &[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut heads = BinaryHeap::new();
    for (i, run) in runs.iter_mut().enumerate() {
        if run.advance()? {
            heads.push(Reverse((run.key, i)));
        }
    }
    while let Some(Reverse((key, i))) = heads.pop() {
        take(key, &runs[i].text)?;
        if runs[i].advance()? {
            heads.push(Reverse((runs[i].key, i)));
        }
    }
    Ok(())
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
            memory in 1usize..2000,
        ) {
            let mut sorter = Sorter::with_memory(newest_first, memory);
            for (i, time) in times.iter().enumerate() {
                let text = format!("{time}:{i}");
                sorter.add(EventTime::from_filetime(*time), text.as_bytes()).unwrap();
            }
            let mut sorted = Vec::new();
            sorter.finish(&mut |text| {
                sorted.push(String::from_utf8(text.to_vec()).unwrap());
                Ok(())
            }).unwrap();
            let mut expected: Vec<(usize, u64)> = times.into_iter().enumerate().collect();
            // The standard library's sort keeps the order of equals.
            match newest_first {
                true => expected.sort_by_key(|&(_, time)| Reverse(time)),
                false => expected.sort_by_key(|&(_, time)| time),
            }
            let expected: Vec<String> =
                expected.into_iter().map(|(i, time)| format!("{time}:{i}")).collect();
            prop_assert_eq!(sorted, expected);
        }
    }

    #[test]
    fn an_error_of_the_reader_ends_it() {
        let mut sorter = Sorter::new(false);
        sorter.add(EventTime::default(), b"a").unwrap();
        sorter.add(EventTime::default(), b"b").unwrap();
        let mut seen = 0;
        let result = sorter.finish(&mut |_| {
            seen += 1;
            Err(io::ErrorKind::BrokenPipe.into())
        });
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(seen, 1);
    }
}
