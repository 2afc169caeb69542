//! Going over a file before its records are recovered.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use quarry_binxml::{Decoder, Definitions};

use super::carve::{Carver, Wanted};
use super::run::{Run, RunRecords};
use crate::chunk::{CHUNK_SIZE, Chunk, Item, RecordHeader};
use crate::log::EvtxLog;
use crate::read_at::ReadAt;

/// Chunks that are gone over in a step.
const CHUNKS_A_STEP: u64 = 64;

/// Goes over a file in steps: finds the records that stand outside of its chunks, and the template
/// definitions that stand anywhere in it. It needs the memory of a step, and for what it has found:
/// 24 bytes a run, and what [`Definitions`] says.
pub struct Survey {
    file: Arc<dyn ReadAt>,
    /// A log whose chunks are still to be gone over, and the next of them.
    log: Option<(Arc<EvtxLog>, u64)>,
    /// Which chunks of the log are none.
    no_chunks: Vec<u64>,
    carver: Carver,
    runs: Vec<Run>,
    definitions: Definitions,
    reader: Reader,
}

/// What chunks and runs are read with.
#[derive(Default)]
struct Reader {
    decoder: Decoder,
    buffer: Vec<u8>,
    items: Vec<Item>,
    slack: Vec<RecordHeader>,
}

impl Survey {
    /// Of a log: its chunks, and what is in their place where there is none. `definitions` are
    /// those that are known already.
    pub fn of_log(log: Arc<EvtxLog>, definitions: Definitions) -> Self {
        let mut survey = Survey::of(Arc::clone(log.file()), Vec::new(), Wanted::All, definitions);
        survey.log = Some((log, 0));
        survey
    }

    /// Of a file of any kind, up to the size that it has now.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn of_file(file: Arc<dyn ReadAt>, definitions: Definitions) -> io::Result<Self> {
        let all = 0..file.size()?;
        Ok(Survey::of(file, vec![all], Wanted::All, definitions))
    }

    /// Of an `.evt` file without a header, which may be something else: for records of `.evtx`
    /// files only.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn for_evtx(file: Arc<dyn ReadAt>, definitions: Definitions) -> io::Result<Self> {
        let all = 0..file.size()?;
        Ok(Survey::of(file, vec![all], Wanted::Evtx, definitions))
    }

    fn of(
        file: Arc<dyn ReadAt>,
        ranges: Vec<Range<u64>>,
        wanted: Wanted,
        definitions: Definitions,
    ) -> Self {
        Survey {
            carver: Carver::new(Arc::clone(&file), ranges, wanted),
            file,
            log: None,
            no_chunks: Vec::new(),
            runs: Vec::new(),
            definitions,
            reader: Reader::default(),
        }
    }

    /// Goes on, for about 4 MiB. Gives whether there is more to go over.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn step(&mut self) -> io::Result<bool> {
        if let Some((log, next)) = self.log.take() {
            let end = log.chunks().min(next + CHUNKS_A_STEP);
            for n in next..end {
                if !self.reader.chunk(&log, n, &mut self.definitions) {
                    self.no_chunks.push(n);
                }
            }
            if end < log.chunks() {
                self.log = Some((log, end));
            } else {
                let ranges = ranges(&log, &self.no_chunks);
                self.carver = Carver::new(Arc::clone(&self.file), ranges, Wanted::All);
            }
            return Ok(true);
        }
        let before = self.runs.len();
        let more = self.carver.step(&mut self.runs)?;
        for run in &self.runs[before..] {
            self.reader.run(run, &*self.file, &mut self.definitions)?;
        }
        Ok(more)
    }

    /// The runs that were found since they were taken last, in the order of their places.
    pub fn take_runs(&mut self) -> Vec<Run> {
        std::mem::take(&mut self.runs)
    }

    /// How many runs were found since they were taken last.
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// The definitions that were found so far.
    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    /// The chunks of the log, as [`EvtxLog::chunk`] counts them, that are none. What is in their
    /// place is given as runs.
    pub fn no_chunks(&self) -> &[u64] {
        &self.no_chunks
    }

    /// The file.
    pub fn file(&self) -> &Arc<dyn ReadAt> {
        &self.file
    }
}

/// Where the chunks are that are none.
fn ranges(log: &EvtxLog, no_chunks: &[u64]) -> Vec<Range<u64>> {
    let mut places: Vec<u64> = no_chunks.iter().map(|n| log.chunk_offset(*n)).collect();
    places.sort_unstable();
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for place in places {
        let end = place.saturating_add(CHUNK_SIZE as u64);
        match ranges.last_mut() {
            Some(last) if last.end == place => last.end = end,
            _ => ranges.push(place..end),
        }
    }
    ranges
}

impl Reader {
    /// Collects the definitions of a chunk, if there is one.
    fn chunk(&mut self, log: &EvtxLog, n: u64, definitions: &mut Definitions) -> bool {
        // Damage is told when the records are read.
        let Ok(chunk) = log.chunk(n, &mut self.buffer) else { return true };
        if !chunk.is_one() {
            return false;
        }
        chunk.items(&mut self.items);
        chunk.slack(&self.items, &mut self.slack);
        let mut decoder = self.decoder.chunk(chunk.bytes());
        decoder.set_generations(Chunk::generations(&self.items, &self.slack));
        for item in &self.items {
            if let Item::Record(record) = item {
                decoder.collect(record.binxml.clone(), definitions);
            }
        }
        for record in &self.slack {
            decoder.collect(record.binxml.clone(), definitions);
        }
        true
    }

    fn run(
        &mut self,
        run: &Run,
        file: &dyn ReadAt,
        definitions: &mut Definitions,
    ) -> io::Result<()> {
        if !run.has_place() {
            return Ok(());
        }
        if let RunRecords::Evtx { records, generation } = run.read(file, &mut self.buffer)? {
            let mut decoder = self.decoder.chunk(&self.buffer);
            decoder.set_generations([generation]);
            for record in records {
                decoder.collect(record.binxml, definitions);
            }
        }
        Ok(())
    }
}
