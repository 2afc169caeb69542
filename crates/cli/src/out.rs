//! Standard output: printed events, whole deliveries at a time.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal, Write};

use quarry_event::output::{Document, Printer, TooManyNames};

use crate::console::Console;
use crate::error::{Closed, Failure};
use crate::spool::Spool;

/// Bytes that are gathered before they are written, where nobody waits for each event.
const GATHERED: usize = 64 << 10;
/// Bytes that aren't gathered with others, as to write them takes no longer than to copy them.
const MUCH: usize = 4 << 10;

/// Standard output, and what stands around the events.
///
/// Where it is a regular file, half a line that is its end is ended before anything is added, and
/// a delivery that doesn't fit on the disk is taken back: what comes next begins a line.
pub(crate) struct Out {
    document: Document,
    gathered: Gathered,
    /// Where deliveries end that aren't written yet, counted in bytes from the first.
    ends: VecDeque<u64>,
    /// Where the last delivery ends that was written whole.
    whole: u64,
    /// Whether each delivery is written when it comes.
    at_once: bool,
    /// Events that wait for the first line, which only all of them tell.
    spool: Option<Spool>,
}

impl Out {
    /// For events that are printed with `printer`; each delivery is written at once if that is
    /// wanted, or if somebody looks on.
    pub(crate) fn new(printer: &Printer, at_once: bool) -> Result<Self, Closed> {
        if io::stdout().is_terminal() && !printer.ends_lines() {
            Console::hide_progress();
        }
        let document = printer.document();
        let spool = document.spreads().then(Spool::default);
        Ok(Out {
            document,
            gathered: Gathered { target: Target::new()?, pending: Vec::new() },
            ends: VecDeque::new(),
            whole: 0,
            at_once: at_once || io::stdout().is_terminal(),
            spool,
        })
    }

    /// Takes the events of a delivery, of which the first was printed without anything before it.
    pub(crate) fn deliver(&mut self, text: &[u8]) -> Result<(), Closed> {
        self.hold(text)?;
        if self.at_once && self.spool.is_none() { self.flush() } else { Ok(()) }
    }

    /// Takes events of which more come soon.
    pub(crate) fn hold(&mut self, text: &[u8]) -> Result<(), Closed> {
        let taken = match &mut self.spool {
            None => self.document.events(text, &mut self.gathered),
            Some(_) if text.is_empty() => Ok(()),
            Some(spool) => {
                let learned = self.document.learn(text).map_err(io::Error::other);
                learned.and_then(|()| spool.write(text))
            }
        };
        self.delivered(taken)
    }

    /// Ends the output, an empty one too.
    pub(crate) fn finish(&mut self) -> Result<(), Closed> {
        if let Some(spool) = self.spool.take() {
            let (document, gathered) = (&mut self.document, &mut self.gathered);
            let printed = spool.each(&mut |text| document.events(text, gathered));
            self.delivered(printed)?;
        }
        let finished = self.document.finish(&mut self.gathered);
        self.delivered(finished)?;
        let flushed = self.gathered.flush();
        self.written(flushed)
    }

    /// Writes everything, and makes it durable where it goes to a file.
    pub(crate) fn persist(&mut self) -> Result<(), Closed> {
        self.flush()?;
        Ok(self.gathered.target.sync()?)
    }

    /// Fails when nobody reads what is printed any more, which would else show with the next event.
    pub(crate) fn check(&self) -> Result<(), Closed> {
        if is_closed() { Err(Closed::Pipe) } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Closed> {
        let held = self.document.flush(&mut self.gathered);
        self.delivered(held)?;
        let flushed = self.gathered.flush();
        self.written(flushed)
    }

    /// A delivery was taken in, or was not.
    fn delivered(&mut self, result: io::Result<()>) -> Result<(), Closed> {
        if result.is_ok() {
            let end = self.gathered.target.written + self.gathered.pending.len() as u64;
            self.ends.push_back(end);
        }
        self.written(result)
    }

    /// Something may have been written. If that failed, what isn't whole is taken back.
    fn written(&mut self, result: io::Result<()>) -> Result<(), Closed> {
        let written = self.gathered.target.written;
        while let Some(end) = self.ends.front().copied().filter(|end| *end <= written) {
            self.whole = end;
            self.ends.pop_front();
        }
        result.map_err(|error| {
            // It has failed anyway; this is as well as it can be left.
            let _ = self.gathered.target.take_back(written - self.whole);
            closed(error)
        })
    }
}

/// Gathers what is little, and passes on what is much.
struct Gathered {
    target: Target,
    pending: Vec<u8>,
}

impl Write for Gathered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_much = bytes.len() >= MUCH;
        if is_much || self.pending.len() + bytes.len() > GATHERED {
            self.write_pending()?;
        }
        match is_much {
            true => self.target.write(bytes)?,
            false => self.pending.extend_from_slice(bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_pending()?;
        self.target.out.flush()
    }
}

impl Gathered {
    fn write_pending(&mut self) -> io::Result<()> {
        let result = self.target.write(&self.pending);
        self.pending.clear();
        result
    }
}

/// Where it goes.
struct Target {
    #[cfg(unix)]
    out: File,
    #[cfg(not(unix))]
    out: io::StdoutLock<'static>,
    /// The same, where it is a regular file.
    file: Option<File>,
    /// Bytes that were written.
    written: u64,
}

impl Target {
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use std::os::fd::AsFd as _;
        // What Rust's own standard output has in its buffer when a write fails, nobody can tell.
        let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let is_file = out.metadata().is_ok_and(|metadata| metadata.is_file());
        let file = if is_file { Some(out.try_clone()?) } else { None };
        Ok(Target { out, file, written: 0 })
    }

    #[cfg(windows)]
    fn new() -> io::Result<Self> {
        use std::os::windows::io::AsHandle as _;
        let file = io::stdout().as_handle().try_clone_to_owned().map(File::from).ok();
        let is_file = |file: &File| file.metadata().is_ok_and(|metadata| metadata.is_file());
        let is_terminal = io::stdout().is_terminal();
        let file = file.filter(|file| !is_terminal && is_file(file));
        Ok(Target { out: io::stdout().lock(), file, written: 0 })
    }

    #[cfg(not(any(unix, windows)))]
    fn new() -> io::Result<Self> {
        Ok(Target { out: io::stdout().lock(), file: None, written: 0 })
    }

    /// Writes all of it, and counts what was written also where that fails.
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if self.written == 0 && !bytes.is_empty() {
            self.end_half_a_line()?;
        }
        while !bytes.is_empty() {
            match self.out.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.written += count as u64;
                    bytes = &bytes[count..];
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Cuts bytes off that were written last, if they are the end of a file.
    #[cfg(unix)]
    fn take_back(&mut self, bytes: u64) -> io::Result<()> {
        use std::io::Seek as _;
        let Some(file) = self.file.as_mut().filter(|_| bytes > 0) else { return Ok(()) };
        let at = file.stream_position()?;
        // Others may write to it too.
        if file.metadata()?.len() == at {
            file.set_len(at - bytes.min(at))?;
            file.seek(io::SeekFrom::End(0))?;
        }
        Ok(())
    }

    #[cfg(not(unix))]
    fn take_back(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }

    /// Ends the last line of a file that is added to, where that wasn't written to its end: a
    /// program was killed, or the disk was full.
    #[cfg(target_os = "linux")]
    fn end_half_a_line(&mut self) -> io::Result<()> {
        use std::io::Seek as _;
        use std::os::fd::AsRawFd as _;
        use std::os::unix::fs::FileExt as _;
        let Some(file) = &mut self.file else { return Ok(()) };
        let length = file.metadata()?.len();
        let appends = rustix::fs::fcntl_getfl(&*file)?.contains(rustix::fs::OFlags::APPEND);
        if length == 0 || (!appends && file.stream_position()? != length) {
            return Ok(());
        }
        // It is open for writing only.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let mut last = [0];
        let read = File::open(path).and_then(|file| file.read_exact_at(&mut last, length - 1));
        match (read, last) {
            (Ok(()), [b'\n']) | (Err(_), _) => Ok(()),
            (Ok(()), _) => self.out.write_all(b"\n"),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn end_half_a_line(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_data)
    }
}

#[cfg(unix)]
fn is_closed() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stdout = io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&now)).is_ok()
        && polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

#[cfg(not(unix))]
fn is_closed() -> bool {
    false
}

/// Why no more could be written.
fn closed(error: io::Error) -> Closed {
    match error.get_ref().and_then(|why| why.downcast_ref::<TooManyNames>()) {
        Some(why) => Closed::Failed(
            Failure::new(format!("--fields: {why}"))
                .hint("name the values that are wanted, or choose jsonl"),
        ),
        None => Closed::from(error),
    }
}

/// An error of the temporary files that events are sorted in.
pub(crate) fn of_sorting(error: &io::Error) -> Closed {
    Closed::Failed(Failure::io("temporary files", error))
}
