//! What is done with events: on every core, stage after stage, and then in order.
//!
//! A record passes through these, of which the first two are the pipeline's own:
//!
//! 1. The filter, on the undecoded record: what doesn't match is never decoded further.
//! 2. Message text of the source's [`MessageSource`](quarry_event::MessageSource), where the filter
//!    has to look at it.
//! 3. [`Stage`]s, which learn more about the event or drop it: detection rules, for instance.
//! 4. [`Work`], which makes something of the event: printed text, a row, a count.
//!
//! All that is made of the records of a batch is a [`Delivery`], which a [`Sink`] takes in order.

use std::sync::Arc;

use quarry_event::{EventTime, FieldSource, Origin, PartialSource, RuleName, Texts};
use quarry_eventlog::{Damage, LogName, RecordId, Strength};
use quarry_fleet::Room;

use crate::cursor::LogCursor;
use crate::source::{Source, SourceId};
use crate::summary::Summary;

/// What is made of events, on any thread.
pub trait Work: Sync {
    /// What a thread has for itself, such as buffers.
    type Worker;
    /// What is made of the events of a batch, or of a part of one.
    type Output: Output;

    /// Makes what a thread has for itself.
    fn worker(&self) -> Self::Worker;

    /// Whether [`known`](Self::known) can take events, which are given to it without what knows text for
    /// them; `has_texts` says that something does.
    fn takes_known(&self, _has_texts: bool) -> bool {
        false
    }

    /// The same as [`event`](Self::event) of an event that is not decoded, if what is known of it is enough.
    /// Says whether it is; otherwise nothing is added.
    #[inline]
    fn known<S: PartialSource>(
        &self,
        _worker: &mut Self::Worker,
        _event: &S,
        _found: &Found<'_>,
        _output: &mut Self::Output,
    ) -> bool {
        false
    }

    /// Takes an event that passed the filter and the stages, and adds what is made of it.
    fn event<S: FieldSource>(
        &self,
        worker: &mut Self::Worker,
        event: &S,
        found: &Found<'_>,
        output: &mut Self::Output,
    );
}

/// What is made of some events. It is used again for others.
pub trait Output: Default + Send {
    /// How many bytes of memory it holds, about. The pipeline counts them against its budget, and
    /// hands on what has become large.
    fn bytes(&self) -> usize;

    /// Removes everything, and keeps a modest amount of memory.
    fn clear(&mut self);

    /// Keeps what was made of the first events only. Called where a selection has a limit.
    fn truncate(&mut self, events: u64);
}

/// What is known of an event besides itself.
#[derive(Debug)]
#[non_exhaustive]
pub struct Found<'a> {
    /// Where it was read.
    pub origin: Origin<'a>,
    /// What knows text for it, and its message, if the filter had to look at that.
    pub texts: Texts<'a>,
    /// What the stages have learned.
    pub notes: &'a Notes,
}

/// What stages have learned about an event.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Notes {
    /// The detection rules that it matches.
    pub rules: Vec<Arc<RuleName>>,
}

impl Notes {
    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }
}

/// A stage between the filter and the work, on any thread.
///
/// `()` is a stage that passes everything; a pair of stages is the one and then the other.
pub trait Stage: Sync {
    /// What a thread has for itself.
    type Worker;

    /// Whether [`rules_out`](Self::rules_out) rules out any event. Where it doesn't, events are decoded
    /// without asking it.
    const RULES_OUT: bool = true;

    /// Whether every event passes, and nothing is learned about any. Where that is so, events may go on
    /// without being decoded, or shown to it.
    const PASSES_ALL: bool = false;

    /// Makes what a thread has for itself.
    fn worker(&self) -> Self::Worker;

    /// The events after this are of a source, until it is called again.
    #[inline]
    fn begins(&self, _worker: &mut Self::Worker, _source: &Source) {}

    /// Whether an event can't go on, as what is known of it tells, before it is decoded.
    #[inline]
    fn rules_out<S: PartialSource>(&self, _worker: &mut Self::Worker, _event: &S) -> bool {
        false
    }

    /// Whether an event goes on. What is learned about it goes into its notes.
    fn passes<S: FieldSource>(
        &self,
        worker: &mut Self::Worker,
        event: &S,
        origin: &Origin<'_>,
        notes: &mut Notes,
    ) -> bool;
}

impl Stage for () {
    type Worker = ();

    const RULES_OUT: bool = false;
    const PASSES_ALL: bool = true;

    fn worker(&self) -> Self::Worker {}

    #[inline]
    fn passes<S: FieldSource>(&self, (): &mut (), _: &S, _: &Origin<'_>, _: &mut Notes) -> bool {
        true
    }
}

impl<A: Stage, B: Stage> Stage for (A, B) {
    type Worker = (A::Worker, B::Worker);

    const RULES_OUT: bool = A::RULES_OUT || B::RULES_OUT;
    const PASSES_ALL: bool = A::PASSES_ALL && B::PASSES_ALL;

    fn worker(&self) -> Self::Worker {
        (self.0.worker(), self.1.worker())
    }

    fn begins(&self, (a, b): &mut Self::Worker, source: &Source) {
        self.0.begins(a, source);
        self.1.begins(b, source);
    }

    #[inline]
    fn rules_out<S: PartialSource>(&self, (a, b): &mut Self::Worker, event: &S) -> bool {
        self.0.rules_out(a, event) || self.1.rules_out(b, event)
    }

    #[inline]
    fn passes<S: FieldSource>(
        &self,
        (a, b): &mut Self::Worker,
        event: &S,
        origin: &Origin<'_>,
        notes: &mut Notes,
    ) -> bool {
        self.0.passes(a, event, origin, notes) && self.1.passes(b, event, origin, notes)
    }
}

/// What was made of some records of a source, in their order.
#[derive(Debug)]
#[non_exhaustive]
pub struct Delivery<O> {
    /// Of which source.
    pub source: Arc<Source>,
    /// Of which log, where the source is followed; a scan reads several as one.
    pub log: Option<LogName>,
    /// How many records were read, those that didn't match too.
    pub records: u64,
    /// How many events matched.
    pub matched: u64,
    /// How many of those are without their message text, as it didn't come in time.
    pub late: u64,
    /// How many events were searched for a word that may be in their message, and how many of them
    /// have none.
    pub searched: Searched,
    /// What was made of the events.
    pub output: O,
    /// What couldn't be read.
    pub damage: Vec<Damage>,
    /// The cursor after these records, where they are the last of a batch and the source is
    /// followed. [`Sink::take`] acknowledges it.
    pub cursor: Option<LogCursor>,
    /// Their share of the fleet's byte budget, which is given back when this is dropped.
    pub room: Room,
    /// Where they stand, if files are read in the order of time: see
    /// [`Pipeline::by_time`](crate::Pipeline::by_time).
    pub turn: Option<Turn>,
}

/// Where a delivery stands if files are read in the order of time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub struct Turn {
    /// No event of this delivery or of a later one is before this time; after it, where the newest come first.
    pub edge: EventTime,
    /// Where the delivery would stand if the files were read one after the other. Parts of one batch have it
    /// alike, and come in their order.
    pub place: u64,
}

/// Events whose message text was searched.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Searched {
    /// All of them.
    pub all: u64,
    /// Those without a message, of which the values alone were searched.
    pub without: u64,
}

/// Takes what comes of sources, in order, on the thread that runs the pipeline.
pub trait Sink {
    /// What it takes: the output of a [`Work`].
    type Output: Output;
    /// Why no more can be taken.
    type Error;

    /// Takes a delivery. When this returns, its cursor is acknowledged; it is saved when
    /// [`persist`](Sink::persist) has returned after that. The output may be taken out.
    ///
    /// # Errors
    /// The sink's own, which ends the run; the delivery's cursor isn't acknowledged then.
    fn take(&mut self, delivery: &mut Delivery<Self::Output>) -> Result<Next, Self::Error>;

    /// Makes everything taken so far as durable as the sink promises. Called before cursors are
    /// saved.
    ///
    /// # Errors
    /// The sink's own, which ends the run without the cursors being saved.
    fn persist(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Hears what happens to a source besides what is read of it.
    ///
    /// # Errors
    /// The sink's own, which ends the run.
    fn notice(&mut self, source: &Source, notice: Notice) -> Result<(), Self::Error> {
        let _ = (source, notice);
        Ok(())
    }

    /// A source of which no more is wanted, whatever comes of it; it counts as read.
    /// Asked until there is none, after each delivery and notice, and 20 times a second while nothing
    /// comes.
    fn dismisses(&mut self) -> Option<SourceId> {
        None
    }

    /// Called after each delivery and notice, and 20 times a second while nothing comes, which `is_idle`
    /// tells. A sink that can't go on says so here.
    ///
    /// # Errors
    /// The sink's own, which ends the run.
    fn tick(&mut self, is_idle: bool) -> Result<(), Self::Error> {
        let _ = is_idle;
        Ok(())
    }
}

/// Is told how a run goes, each time before the sink is, and can't change it: what tells people of a run is the
/// same, whatever is made of its events.
///
/// `()` ignores all of it.
pub trait Observer {
    /// Something was read of a source, and this was made of it.
    fn delivery<O>(&mut self, _delivery: &Delivery<O>) {}

    /// Something has happened to a source.
    fn notice(&mut self, _source: &Source, _notice: &Notice) {}

    /// Called after each delivery and notice, and 20 times a second while nothing comes.
    fn progress(&mut self, _summary: &Summary) {}
}

impl Observer for () {}

impl<T: Observer> Observer for &mut T {
    fn delivery<O>(&mut self, delivery: &Delivery<O>) {
        (**self).delivery(delivery);
    }

    fn notice(&mut self, source: &Source, notice: &Notice) {
        (**self).notice(source, notice);
    }

    fn progress(&mut self, summary: &Summary) {
        (**self).progress(summary);
    }
}

/// What a sink wants after a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// What comes next.
    Go,
    /// No more of this source, which counts as read.
    Skip,
    /// No more at all.
    Stop,
}

/// What happens to a source.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice {
    /// It was opened, perhaps again and in another way.
    Opened,
    /// One of its logs is followed from now on, or is again after the source was lost.
    Following {
        /// The log.
        log: LogName,
        /// Whether the source was lost before.
        again: bool,
    },
    /// Records of a log are gone that were not read: it was cleared or has wrapped.
    Gap {
        /// The log.
        log: LogName,
        /// The first record that is missing.
        first: RecordId,
        /// The last one; nothing where the log's numbers began anew.
        last: Option<RecordId>,
    },
    /// Its connection was lost, or can't be made yet, and is made again. Told once until it is
    /// followed again.
    Lost(quarry_fleet::Failure),
    /// The source refused the filter as it is, and was asked for this much of it.
    Weakened(Strength),
    /// A log that nobody named can't be read.
    LeftOut(quarry_fleet::Failure),
    /// The source, or a log of it that was named, can't be read.
    Failed(quarry_fleet::Failure),
    /// A file can't be opened.
    FileFailed(quarry_eventlog::LogError),
    /// It was read to its end, with or without failures.
    Ended,
}
