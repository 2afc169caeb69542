//! Events printed on every core.

use std::io;

use quarry_collect::{Found, Output, Work};
use quarry_event::output::{Printer, Scratch};
use quarry_event::{EventTime, Field, FieldSource};

/// The memory that is kept for the next batch, in bytes.
const KEPT: usize = 1 << 20;

/// Prints events.
pub(crate) struct Print {
    pub(crate) printer: Printer,
    /// What stands between two events of a batch.
    pub(crate) separator: &'static [u8],
    /// Whether it is kept where each event's text ends, so that events can be told apart.
    pub(crate) apart: bool,
    /// Whether the events' times are kept as well.
    pub(crate) times: bool,
}

/// Printed events.
#[derive(Default)]
pub(crate) struct Printed {
    pub(crate) text: Vec<u8>,
    count: u64,
    /// Of each event where its text ends, and its time.
    ends: Vec<(usize, EventTime)>,
}

impl Work for Print {
    type Worker = Scratch;
    type Output = Printed;

    fn worker(&self) -> Scratch {
        Scratch::default()
    }

    #[inline]
    fn event<S: FieldSource>(
        &self,
        scratch: &mut Scratch,
        event: &S,
        found: &Found<'_>,
        output: &mut Printed,
    ) {
        if output.count > 0 {
            output.text.extend_from_slice(self.separator);
        }
        self.printer.event(event, &found.origin, found.texts, scratch, &mut output.text);
        output.count += 1;
        if self.apart {
            let time = match self.times {
                true => event.field(Field::TimeCreated).as_time().unwrap_or_default(),
                false => EventTime::default(),
            };
            output.ends.push((output.text.len(), time));
        }
    }
}

impl Output for Printed {
    #[inline]
    fn bytes(&self) -> usize {
        self.text.len() + size_of_val(&self.ends[..])
    }

    fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(KEPT);
        self.count = 0;
        self.ends.clear();
        self.ends.shrink_to(KEPT / size_of::<(usize, EventTime)>());
    }

    fn truncate(&mut self, events: u64) {
        self.count = self.count.min(events);
        self.ends.truncate(usize::try_from(events).unwrap_or(usize::MAX));
        self.text.truncate(self.ends.last().map_or(0, |&(end, _)| end));
    }
}

impl Printed {
    /// Each event's time and text.
    pub(crate) fn each(
        &self,
        mut take: impl FnMut(EventTime, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut start = 0;
        self.ends.iter().try_for_each(|&(end, time)| {
            take(time, &self.text[std::mem::replace(&mut start, end)..end])
        })
    }
}
