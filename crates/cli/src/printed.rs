//! Events printed on every core, and then written in order.

use std::collections::HashMap;
use std::ops::Range;

use quarry_collect::{Delivery, Found, Next, Output, Sink, SourceId, Work};
use quarry_event::output::{Printer, Scratch};
use quarry_event::{EventTime, Field, FieldSource, PartialSource, Value};

use crate::console::Console;
use crate::error::Closed;
use crate::out::{self, Out};
use crate::sort::Sorter;
use crate::unique::{Identifier, Unique};

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
    /// What tells events, where each is wanted once: then they have to be apart, too.
    pub(crate) identifier: Option<Identifier>,
}

/// Printed events.
#[derive(Default)]
pub(crate) struct Printed {
    pub(crate) text: Vec<u8>,
    count: u64,
    /// Of each event where its text ends, and its time.
    ends: Vec<(usize, EventTime)>,
    /// What tells each, where that is wanted.
    identities: Vec<u128>,
}

impl Work for Print {
    type Worker = (Scratch, Vec<u8>);
    type Output = Printed;

    fn worker(&self) -> Self::Worker {
        Default::default()
    }

    fn takes_known(&self, has_texts: bool) -> bool {
        self.identifier.is_none()
            && self.printer.is_known_early()
            && !(has_texts && self.printer.shows_texts())
    }

    #[inline]
    fn known<S: PartialSource>(
        &self,
        (scratch, _): &mut Self::Worker,
        event: &S,
        found: &Found<'_>,
        output: &mut Printed,
    ) -> bool {
        let start = output.text.len();
        if output.count > 0 {
            output.text.extend_from_slice(self.separator);
        }
        if !self.printer.known(event, &found.origin, found.texts, scratch, &mut output.text) {
            output.text.truncate(start);
            return false;
        }
        output.count += 1;
        if self.apart {
            output.end_event(self.times.then(|| event.known_field(Field::TimeCreated)));
        }
        true
    }

    #[inline]
    fn event<S: FieldSource>(
        &self,
        (scratch, identity): &mut Self::Worker,
        event: &S,
        found: &Found<'_>,
        output: &mut Printed,
    ) {
        if output.count > 0 {
            output.text.extend_from_slice(self.separator);
        }
        self.printer.event(event, &found.origin, found.texts, scratch, &mut output.text);
        output.count += 1;
        if let Some(identifier) = &self.identifier {
            output.identities.push(identifier.of(event, &found.origin, identity));
        }
        if self.apart {
            output.end_event(self.times.then(|| event.field(Field::TimeCreated)));
        }
    }
}

impl Output for Printed {
    #[inline]
    fn bytes(&self) -> usize {
        self.text.len() + size_of_val(&self.ends[..]) + size_of_val(&self.identities[..])
    }

    fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(KEPT);
        self.count = 0;
        self.ends.clear();
        self.ends.shrink_to(KEPT / size_of::<(usize, EventTime)>());
        self.identities.clear();
        self.identities.shrink_to(KEPT / size_of::<u128>());
    }

    fn truncate(&mut self, events: u64) {
        self.count = self.count.min(events);
        let kept = usize::try_from(events).unwrap_or(usize::MAX);
        self.ends.truncate(kept);
        self.identities.truncate(kept);
        self.text.truncate(self.ends.last().map_or(0, |&(end, _)| end));
    }
}

impl Printed {
    /// Keeps where the text of an event ends, and its time where that is wanted.
    fn end_event(&mut self, time: Option<Value<'_>>) {
        let time = time.and_then(|time| time.as_time()).unwrap_or_default();
        self.ends.push((self.text.len(), time));
    }

    /// How many events there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Keeps only the events that are none of those before; `separator` stands between two.
    pub(crate) fn keep_new(&mut self, unique: &mut Unique, separator: &[u8]) {
        let (mut start, mut kept) = (0, 0);
        let mut ends = Vec::with_capacity(self.ends.len());
        for (n, (&(end, time), &identity)) in self.ends.iter().zip(&self.identities).enumerate() {
            if unique.is_new(identity) {
                // The first one has none before it.
                let is_moved_up = n > 0 && ends.is_empty();
                let from = if is_moved_up { start + separator.len() } else { start };
                self.text.copy_within(from..end, kept);
                kept += end - from;
                ends.push((kept, time));
            }
            start = end;
        }
        self.text.truncate(kept);
        self.count = ends.len() as u64;
        self.ends = ends;
        self.identities.clear();
    }

    /// Takes the text, and of each event its time and where it lies there.
    pub(crate) fn take_apart(
        &mut self,
    ) -> (Vec<u8>, impl Iterator<Item = (EventTime, Range<usize>)> + '_) {
        // Memory that is hardly used stays for the next batch.
        let text = match self.text.len() > self.text.capacity() / 2 {
            true => {
                // The next one takes about as much, and what this one has grown beyond its bytes would count as
                // held.
                let next = Vec::with_capacity(self.text.len());
                let mut text = std::mem::replace(&mut self.text, next);
                text.shrink_to_fit();
                text
            }
            false => self.text.clone(),
        };
        let mut start = 0;
        let ends = self.ends.iter();
        (text, ends.map(move |&(end, time)| (time, std::mem::replace(&mut start, end)..end)))
    }
}

/// Writes printed events as they come, or sorts them first.
pub(crate) struct Printing<'u> {
    pub(crate) out: Out,
    pub(crate) sorter: Option<Sorter>,
    /// Where each event is wanted once.
    pub(crate) once: Option<Once<'u>>,
}

/// Leaves out events that were printed, and then those of a source that are too many.
pub(crate) struct Once<'u> {
    unique: &'u mut Unique,
    separator: &'static [u8],
    /// The most events of a source.
    of_each: Option<u64>,
    /// How many of each there were, by its place.
    printed: HashMap<SourceId, u64>,
}

impl<'u> Once<'u> {
    /// Nothing was printed yet; `separator` stands between two events.
    pub(crate) fn new(
        unique: &'u mut Unique,
        separator: &'static [u8],
        of_each: Option<u64>,
    ) -> Self {
        Once { unique, separator, of_each, printed: HashMap::new() }
    }

    /// Whether more of the source is wanted.
    fn keep(&mut self, delivery: &mut Delivery<Printed>) -> bool {
        delivery.output.keep_new(self.unique, self.separator);
        let Some(most) = self.of_each else { return true };
        let printed = self.printed.entry(delivery.source.id).or_default();
        delivery.output.truncate(most - *printed);
        *printed += delivery.output.count();
        *printed < most
    }
}

impl Sink for Printing<'_> {
    type Output = Printed;
    type Error = Closed;

    fn take(&mut self, delivery: &mut Delivery<Printed>) -> Result<Next, Closed> {
        let is_wanted = self.once.as_mut().is_none_or(|once| once.keep(delivery));
        let (turn, printed, out) = (delivery.turn, &mut delivery.output, &mut self.out);
        match &mut self.sorter {
            Some(sorter) => {
                if let Some(turn) = turn {
                    let take = &mut |text: &[u8]| out.hold(text);
                    Console::beside(|| sorter.release(Some(turn.edge), take, out::of_sorting))?;
                }
                let (text, events) = printed.take_apart();
                let added = sorter.add(turn.map_or(0, |turn| turn.place), text, events);
                added.map_err(|error| out::of_sorting(&error))?;
            }
            None => Console::beside(|| out.deliver(&printed.text))?,
        }
        Ok(if is_wanted { Next::Go } else { Next::Skip })
    }

    fn persist(&mut self) -> Result<(), Closed> {
        self.out.persist()
    }

    fn tick(&mut self, is_idle: bool) -> Result<(), Closed> {
        if is_idle { self.out.check() } else { Ok(()) }
    }
}

impl Printing<'_> {
    /// Ends the output; what is still to be sorted isn't, if not all of it came.
    pub(crate) fn finish(mut self, is_interrupted: bool) -> Result<(), Closed> {
        let out = &mut self.out;
        if let Some(mut sorter) = self.sorter.filter(|_| !is_interrupted) {
            sorter.release(None, &mut |text| out.hold(text), out::of_sorting)?;
        }
        out.finish()
    }
}
