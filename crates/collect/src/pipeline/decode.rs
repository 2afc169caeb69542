//! A thread's share of the work: a job decoded, through the filter and the stages, into parts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use encoding_rs::Encoding;
use quarry_event::filter::{Matcher, Verdict};
use quarry_event::output::Messages;
use quarry_event::{FieldSource, Message, Origin, PartialSource, RecordId, Texts};
use quarry_eventlog::{BatchReader, Cursor, Damage, Visitor};
use quarry_fleet::Room;

use super::jobs::{BatchJob, Job};
use super::order::Parts;
use crate::cursor::LogCursor;
use crate::selection::Selection;
use crate::sink::{Delivery, Found, Notes, Notice, Output, Searched, Stage, Work};
use crate::source::Source;
use crate::stop::Stop;

/// What an output may hold before it is handed on as a part, in bytes.
const PART: usize = 256 << 10;

/// What damage holds, about, in bytes.
const DAMAGE: usize = 128;

/// Outputs that are kept to be used again.
const MAX_SPARE: usize = 64;

/// What a job comes to, in order.
pub(super) enum Part<O> {
    Notice(Arc<Source>, Notice),
    Cursor(Arc<Source>, LogCursor),
    Delivery {
        delivery: Delivery<O>,
        /// The run was stopped amid the batch. What follows of its log is not to be taken, or the
        /// rest of the batch would be missing before it.
        is_cut: bool,
    },
}

/// What all threads share.
pub(super) struct Decoding<'a, W: Work, S> {
    pub(super) work: &'a W,
    pub(super) stage: &'a S,
    pub(super) stop: &'a Stop,
    /// The code page of ANSI text.
    pub(super) ansi: &'static Encoding,
    /// Outputs to be used again.
    pub(super) spare: &'a Mutex<Vec<W::Output>>,
}

/// What a thread has for itself.
pub(super) struct Worker<W: Work, S: Stage> {
    reader: BatchReader,
    work: W::Worker,
    stage: S::Worker,
    notes: Notes,
    matchers: Matchers,
    messages: Messages,
    /// The text of a message.
    text: Vec<u8>,
}

impl<W: Work, S: Stage> Worker<W, S> {
    pub(super) fn new(decoding: &Decoding<'_, W, S>) -> Self {
        Worker {
            reader: BatchReader::with_code_page(decoding.ansi),
            work: decoding.work.worker(),
            stage: decoding.stage.worker(),
            notes: Notes::default(),
            matchers: Matchers::default(),
            messages: Messages::default(),
            text: Vec::new(),
        }
    }
}

/// A thread's matchers: one for each selection and kind of source.
#[derive(Default)]
struct Matchers(HashMap<(usize, bool), (Arc<Selection>, Option<Matcher>)>);

impl Matchers {
    /// What tests the events of a source; nothing where every event passes.
    fn of(&mut self, source: &Source) -> Option<&mut Matcher> {
        // The selection is kept, so that its address stays its own.
        let key = (Arc::as_ptr(&source.selection).addr(), source.is_server());
        let make = || {
            let selection = Arc::clone(&source.selection);
            let matcher = selection.matcher(!source.is_server());
            (selection, matcher)
        };
        let (_, matcher) = self.0.entry(key).or_insert_with(make);
        // What it was to find may have been found.
        if matcher.as_ref().is_some_and(Matcher::passes_all) {
            *matcher = None;
        }
        matcher.as_mut()
    }
}

impl<W: Work, S: Stage> Decoding<'_, W, S> {
    pub(super) fn job(
        &self,
        worker: &mut Worker<W, S>,
        job: Job,
        parts: &mut Parts<'_, Part<W::Output>>,
    ) {
        match job {
            Job::Notices(source, notices) => self.notices(&source, notices, parts),
            Job::Moved(source, notices, cursor) => {
                self.notices(&source, notices, parts);
                parts.push(Part::Cursor(source, cursor), size_of::<LogCursor>());
            }
            Job::Batch(job) => self.batch(worker, job, parts),
        }
    }

    fn notices(
        &self,
        source: &Arc<Source>,
        notices: Vec<Notice>,
        parts: &mut Parts<'_, Part<W::Output>>,
    ) {
        for notice in notices {
            parts.push(Part::Notice(Arc::clone(source), notice), size_of::<Notice>());
        }
    }

    fn batch(
        &self,
        worker: &mut Worker<W, S>,
        job: BatchJob,
        parts: &mut Parts<'_, Part<W::Output>>,
    ) {
        let BatchJob { source, log, batch, cursor, room, turn } = job;
        let Worker { reader, work, stage, notes, matchers, messages, text } = worker;
        self.stage.begins(stage, &source);
        let empty = || Delivery {
            source: Arc::clone(&source),
            log: log.clone(),
            records: 0,
            matched: 0,
            late: 0,
            searched: Searched::default(),
            output: self.output(),
            damage: Vec::new(),
            cursor: None,
            room: Room::default(),
            turn,
        };
        let mut reading = Reading {
            decoding: self,
            stop: self.stop.flag(),
            matcher: matchers.of(&source),
            work,
            stage,
            notes,
            messages,
            text,
            wants_all: false,
            takes_known: false,
            left: source.selection.limit().unwrap_or(u64::MAX),
            last: None,
            is_cut: false,
            delivery: empty(),
            empty: &empty,
            parts,
        };
        // Whatever looks for text has the event decoded.
        reading.takes_known = S::PASSES_ALL
            && self.work.takes_known(source.texts.is_some())
            && reading.matcher.as_ref().is_none_or(|matcher| matcher.is_of_fields());
        reading.wants_all = reading.matcher.is_none()
            && source.selection.limit().is_none()
            && !S::RULES_OUT
            && !reading.takes_known;
        reader.read(&batch, &mut reading);
        let Reading { mut delivery, last, is_cut, .. } = reading;
        delivery.room = room;
        let bytes = bytes(&delivery);
        // Of a file that is followed only the last batch has one. The time of the last record isn't
        // known as the source has it.
        let at_last = || {
            let address = source.remote.as_ref()?.address().to_owned();
            Some(LogCursor { source: address, log: log.clone()?, cursor: Cursor::at(last?) })
        };
        delivery.cursor = cursor.filter(|_| !is_cut).or_else(at_last);
        parts.push(Part::Delivery { delivery, is_cut }, bytes);
    }

    fn output(&self) -> W::Output {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps an output for another batch.
    pub(super) fn use_again(&self, mut output: W::Output) {
        output.clear();
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < MAX_SPARE {
            spare.push(output);
        }
    }
}

fn bytes<O: Output>(delivery: &Delivery<O>) -> usize {
    delivery.output.bytes() + delivery.damage.len() * DAMAGE
}

/// An event's message text, where its source has something that knows it.
fn message<'t>(
    texts: &Texts<'_>,
    event: &impl FieldSource,
    messages: &mut Messages,
    text: &'t mut Vec<u8>,
) -> Option<Message<'t>> {
    text.clear();
    let by = messages.push_known(event, texts.source?, text)?;
    let text = std::str::from_utf8(text).ok()?;
    Some(Message { text, by })
}

/// A batch while it is read.
struct Reading<'r, 'p, W: Work, S: Stage, E> {
    decoding: &'r Decoding<'r, W, S>,
    stop: &'r AtomicBool,
    matcher: Option<&'r mut Matcher>,
    work: &'r mut W::Worker,
    stage: &'r mut S::Worker,
    notes: &'r mut Notes,
    messages: &'r mut Messages,
    text: &'r mut Vec<u8>,
    /// Whether each event is wanted.
    wants_all: bool,
    /// Whether one that isn't ruled out is taken without being decoded, where the work can.
    takes_known: bool,
    /// How many events of the batch can still be wanted.
    left: u64,
    /// The number of the last record that was looked at.
    last: Option<RecordId>,
    /// The rest was not looked at.
    is_cut: bool,
    /// What was made since the last part.
    delivery: Delivery<W::Output>,
    empty: &'r E,
    parts: &'r mut Parts<'p, Part<W::Output>>,
}

impl<W: Work, S: Stage, E: Fn() -> Delivery<W::Output>> Reading<'_, '_, W, S, E> {
    /// Whether the run is to end, which is looked at for each record.
    #[inline]
    fn ends(&mut self) -> bool {
        if self.stop.load(Ordering::Relaxed) {
            self.is_cut = true;
        }
        self.is_cut
    }

    #[inline]
    fn take<T: FieldSource>(
        &mut self,
        event: &T,
        log: &str,
        log_record: Option<RecordId>,
        recovered: bool,
    ) {
        if self.ends() {
            return;
        }
        self.delivery.records += 1;
        self.last = log_record.or(self.last);
        if self.left == 0 {
            return;
        }
        let source = &*self.delivery.source;
        let mut texts = Texts { source: source.texts.as_deref(), ..Texts::default() };
        match self.matcher.as_mut().map(|matcher| matcher.verdict(event)) {
            None | Some(Verdict::Yes) => {}
            Some(Verdict::No) => return,
            Some(Verdict::IfMessageMatches) => {
                texts.message = message(&texts, event, self.messages, self.text);
                self.delivery.searched.all += 1;
                self.delivery.searched.without += u64::from(texts.message.is_none());
                // A negated search holds where there is no message.
                let text = texts.message.map(|message| message.text);
                if !self.matcher.as_ref().is_some_and(|matcher| matcher.message_matches(text)) {
                    return;
                }
            }
        }
        let host = source.host.as_deref();
        let origin = Origin { source: &source.name, host, log, log_record, recovered };
        self.notes.clear();
        if !self.decoding.stage.passes(self.stage, event, &origin, self.notes) {
            return;
        }
        if self.matcher.as_ref().is_some_and(|matcher| !matcher.rules_pass(&self.notes.rules)) {
            return;
        }
        texts.rules = &self.notes.rules;
        let found = Found { origin, texts, notes: self.notes };
        self.decoding.work.event(self.work, event, &found, &mut self.delivery.output);
        if found.texts.message.is_none() && texts.source.is_some_and(|known| known.awaits(event)) {
            self.delivery.late += 1;
        }
        self.count();
    }

    /// Counts an event that matched.
    #[inline]
    fn count(&mut self) {
        self.delivery.matched += 1;
        self.left -= 1;
        if self.delivery.output.bytes() >= PART {
            self.hand_on();
        }
    }

    /// Whether an event would match by its message only, and has none.
    #[inline]
    fn is_searched_in_vain<T: PartialSource>(&mut self, event: &T) -> bool {
        let is_in_vain = self.delivery.source.texts.is_none()
            && self.matcher.as_ref().is_some_and(|matcher| matcher.lacks_a_word(event));
        self.delivery.searched.all += u64::from(is_in_vain);
        self.delivery.searched.without += u64::from(is_in_vain);
        is_in_vain
    }

    /// Hands on what was made so far, and waits while there is no room for it.
    #[cold]
    fn hand_on(&mut self) {
        let part = std::mem::replace(&mut self.delivery, (self.empty)());
        let bytes = bytes(&part);
        self.is_cut |= !self.parts.push(Part::Delivery { delivery: part, is_cut: false }, bytes);
    }
}

impl<W, S, E> Visitor for Reading<'_, '_, W, S, E>
where
    W: Work,
    S: Stage,
    E: Fn() -> Delivery<W::Output>,
{
    // Most events of a selective scan get no further, so it is no call.
    #[inline(always)]
    fn wants<T: PartialSource>(&mut self, event: &T) -> bool {
        if self.ends() {
            return false;
        }
        let is_wanted = self.left > 0
            && !self.matcher.as_mut().is_some_and(|matcher| matcher.rules_out(event))
            && !self.decoding.stage.rules_out(self.stage, event)
            && !self.is_searched_in_vain(event);
        // One that isn't wanted is read all the same.
        self.delivery.records += u64::from(!is_wanted);
        is_wanted
    }

    fn wants_all(&self) -> bool {
        self.wants_all
    }

    #[inline(always)]
    fn takes<T: PartialSource>(
        &mut self,
        event: &T,
        log: &str,
        log_record: Option<RecordId>,
    ) -> bool {
        if !self.takes_known || !event.is_whole() {
            return false;
        }
        let source = &*self.delivery.source;
        let host = source.host.as_deref();
        let found = Found {
            origin: Origin { source: &source.name, host, log, log_record, recovered: false },
            texts: Texts::default(),
            notes: self.notes,
        };
        if !self.decoding.work.known(self.work, event, &found, &mut self.delivery.output) {
            return false;
        }
        self.delivery.records += 1;
        self.last = log_record.or(self.last);
        self.count();
        true
    }

    #[inline]
    fn event<T: FieldSource>(&mut self, event: &T, log: &str, log_record: Option<RecordId>) {
        self.take(event, log, log_record, false);
    }

    fn recovered<T: FieldSource>(&mut self, event: &T, log: &str, log_record: Option<RecordId>) {
        self.take(event, log, log_record, true);
    }

    fn damage(&mut self, damage: &Damage) {
        if !self.ends() {
            self.delivery.records += damage.records();
            self.last = damage.record().or(self.last);
            self.delivery.damage.push(damage.clone());
        }
    }
}
