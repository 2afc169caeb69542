//! A message that is ready to be filled in: its words are escaped for where it is written, its parameter
//! strings are in their places, and what is to be done with each value was decided.
//!
//! A value stands in a message mostly as it does in the event. In JSON that text has been written already
//! where the event's data was: then it is copied.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use quarry_event::text::{Escape, Json, Plain};
use quarry_event::{Insert, InsertOf, MakeMessage, MessageForm, Value};

use crate::format::{
    FieldKind, MAX_MESSAGE, Part, find_parameter, parameter, push_hex_upper, push_mark, push_value,
    replace_parameters,
};
use crate::kinds::{InType, OutType};
use crate::mta::Mta;
use crate::provider::{EventText, Parameters, ProviderTexts};

/// A message of one kind of events, written by the rules of `E`.
pub(crate) struct Prepared<E> {
    texts: Arc<ProviderTexts>,
    steps: Box<[Step]>,
    /// The words, and the parameter strings between them, escaped.
    literals: Box<[u8]>,
    /// The words after the last value.
    last: usize,
    /// The highest number of a value that there is a mark for.
    highest: usize,
    is_classic: bool,
    user_data: bool,
    parameters: Known<E>,
    buffer: Vec<u8>,
}

/// Makes a text ready.
pub(crate) fn prepared(
    texts: &Arc<ProviderTexts>,
    text: &EventText,
    form: MessageForm,
) -> Box<dyn MakeMessage> {
    match form {
        MessageForm::Plain => Box::new(Prepared::<Plain>::new(texts, text)),
        MessageForm::Json => Box::new(Prepared::<Json>::new(texts, text)),
    }
}

/// Words and the value after them.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// Where the words end; they begin where those before ended.
    end: usize,
    /// The place of the value among the event's.
    place: usize,
    way: Way,
    kind: FieldKind,
}

/// How a value is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// As it stands in the event, if it is of a type that a message shows as it is.
    Same,
    /// A number in hexadecimal digits, in upper case.
    HexUpper,
    /// By the rules for its kind.
    ByKind,
}

impl<E: Escape> Prepared<E> {
    fn new(texts: &Arc<ProviderTexts>, text: &EventText) -> Self {
        let mut literals = Vec::new();
        let mut steps = Vec::new();
        for piece in text.text().parts() {
            // Then no message of it is short enough: see `push`.
            if literals.len() > MAX_MESSAGE {
                break;
            }
            match piece {
                Part::Literal(words) => E::push_str(words, &mut literals),
                Part::Parameter(number) => {
                    let mut string = Vec::new();
                    if !texts.push_parameter(number, &mut string) {
                        push_mark(number, &mut string);
                    }
                    push_escaped::<E>(&string, &mut literals);
                }
                Part::Insert(number) => {
                    let place = usize::from(number).saturating_sub(1);
                    let kind = text.kinds().get(place).copied().unwrap_or_default();
                    steps.push(Step { end: literals.len(), place, way: Way::of(kind), kind });
                }
            }
        }
        Prepared {
            texts: Arc::clone(texts),
            last: literals.len(),
            literals: literals.into(),
            highest: text.text().highest_insert().into(),
            is_classic: text.is_classic(),
            user_data: text.has_user_data(),
            steps: steps.into(),
            parameters: Known::default(),
            buffer: Vec::new(),
        }
    }

    #[inline]
    fn push(&mut self, step: &Step, insert: &Insert<'_>, may_refer: bool, out: &mut Vec<u8>) {
        match (step.way, &insert.value) {
            (Way::HexUpper, Value::Hex(number) | Value::UInt(number)) => {
                push_hex_upper(*number, out);
            }
            (Way::Same, Value::Hex(number)) if step.kind.in_type == InType::NULL => {
                push_hex_upper(*number, out);
            }
            (Way::Same, Value::Utf16(_) | Value::Str(_) | Value::Ansi(_)) => {
                let start = out.len();
                copy::<E>(insert, out);
                if may_refer && find_parameter(&out[start..]).is_some() {
                    self.replace(start, out);
                }
            }
            (Way::ByKind, _) | (Way::Same, Value::Time(_)) | (Way::HexUpper, _) => {
                self.buffer.clear();
                push_value(&insert.value, step.kind, &*self.texts, &mut self.buffer);
                replace_parameters(0, &mut Parameters(&self.texts), &mut self.buffer);
                push_escaped::<E>(&self.buffer, out);
            }
            (Way::Same, _) => copy::<E>(insert, out),
        }
    }

    /// Replaces the parameters in the escaped value that was written from `start` on. Neither escaping
    /// nor what is escaped has percent signs, so this is the same as before escaping.
    #[cold]
    fn replace(&mut self, start: usize, out: &mut Vec<u8>) {
        let Prepared { texts, parameters, buffer, .. } = self;
        buffer.clear();
        buffer.extend_from_slice(&out[start..]);
        out.truncate(start);
        let mut rest = &**buffer;
        loop {
            let next = find_parameter(rest).unwrap_or(rest.len());
            out.extend_from_slice(&rest[..next]);
            rest = &rest[next..];
            let Some((number, len)) = parameter(rest) else { break };
            if out.len() - start > MAX_MESSAGE || !parameters.push(number, texts, out) {
                out.extend_from_slice(&rest[..len]);
            }
            rest = &rest[len..];
        }
    }
}

impl<E: Escape + Send + Sync> MakeMessage for Prepared<E> {
    fn push(&mut self, _record: Option<u64>, inserts: &[Insert<'_>], out: &mut Vec<u8>) -> bool {
        let mut inserts = inserts;
        if self.highest > 0 {
            // Bytes after an event's strings have no mark.
            if self.is_classic
                && let [strings @ .., last] = inserts
                && last.of == InsertOf::Binary
            {
                inserts = strings;
            }
            let has_binary = || inserts.iter().any(|insert| insert.of == InsertOf::Binary);
            let is_odd = self.is_classic && has_binary();
            // Values that aren't where the manifest says may be anywhere in the event.
            let is_elsewhere = match inserts.first() {
                Some(first) => self.user_data && first.of != InsertOf::UserData,
                None => true,
            };
            if is_odd || is_elsewhere {
                return false;
            }
        }
        let may_refer = may_refer(inserts, out);
        if self.literals.len() > MAX_MESSAGE {
            return false;
        }
        out.reserve(self.literals.len() + 32 * self.steps.len());
        let begin = out.len();
        let mut start = 0;
        for n in 0..self.steps.len() {
            let step = self.steps[n];
            out.extend_from_slice(&self.literals[start..step.end]);
            start = step.end;
            match inserts.get(step.place) {
                Some(insert) => self.push(&step, insert, may_refer, out),
                None => push_mark(step.place as u32 + 1, out),
            }
            // Escaped it may be longer than it is: the other way says whether it counts.
            if out.len() - begin > MAX_MESSAGE {
                out.truncate(begin);
                return false;
            }
        }
        out.extend_from_slice(&self.literals[start..self.last]);
        true
    }

    fn wants_inserts(&self) -> bool {
        self.highest > 0
    }

    fn bytes(&self) -> usize {
        self.literals.len() + self.steps.len() * size_of::<Step>()
    }
}

impl<E> fmt::Debug for Prepared<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let literals = String::from_utf8_lossy(&self.literals);
        f.debug_struct("Prepared").field("literals", &literals).finish_non_exhaustive()
    }
}

/// Messages that were saved with the log, a record each.
#[derive(Debug)]
pub(crate) struct Saved(pub(crate) Arc<Mta>, pub(crate) MessageForm);

impl MakeMessage for Saved {
    fn push(&mut self, record: Option<u64>, _inserts: &[Insert<'_>], out: &mut Vec<u8>) -> bool {
        let Some(text) = record.and_then(|record| self.0.text(record)) else { return false };
        match self.1 {
            MessageForm::Plain => text.push::<Plain>(out),
            MessageForm::Json => text.push::<Json>(out),
        }
        true
    }

    fn wants_inserts(&self) -> bool {
        false
    }

    fn bytes(&self) -> usize {
        0
    }
}

impl Way {
    /// What [`push_value`] does with values of a kind.
    fn of(kind: FieldKind) -> Self {
        if kind.map.is_some() {
            return Way::ByKind;
        }
        match kind.out_type {
            OutType::HEX_INT8 | OutType::HEX_INT16 | OutType::HEX_INT32 | OutType::HEX_INT64
                if kind.in_type != InType::POINTER =>
            {
                return Way::HexUpper;
            }
            OutType::WIN32_ERROR
            | OutType::NTSTATUS
            | OutType::HRESULT
            | OutType::ERROR_CODE
            | OutType::IPV4
            | OutType::IPV6
            | OutType::SOCKET_ADDRESS => return Way::ByKind,
            _ => {}
        }
        match kind.in_type {
            InType::FILETIME | InType::SYSTEMTIME => Way::ByKind,
            InType::HEX_INT32 | InType::HEX_INT64 => Way::HexUpper,
            _ => Way::Same,
        }
    }
}

/// Parameter strings that were asked for, escaped: by number, in one piece of memory.
struct Known<E> {
    strings: Vec<u8>,
    /// Sorted by number; where there is no string, `None`.
    places: Vec<(u32, Option<(u32, u32)>)>,
    escape: PhantomData<E>,
}

impl<E> Default for Known<E> {
    fn default() -> Self {
        Known { strings: Vec::new(), places: Vec::new(), escape: PhantomData }
    }
}

impl<E: Escape> Known<E> {
    /// The most that is kept, in bytes and numbers: a value can have any number in it.
    const MOST_BYTES: usize = 8 << 10;
    const MOST: usize = 128;

    /// Writes a parameter string. Says whether there is one.
    fn push(&mut self, number: u32, texts: &ProviderTexts, out: &mut Vec<u8>) -> bool {
        let place = match self.places.binary_search_by_key(&number, |place| place.0) {
            Ok(at) => self.places[at].1,
            Err(at) => {
                if self.places.len() >= Self::MOST || self.strings.len() >= Self::MOST_BYTES {
                    let mut string = Vec::new();
                    let is_known = texts.push_parameter(number, &mut string);
                    push_escaped::<E>(&string, out);
                    return is_known;
                }
                let mut string = Vec::new();
                let place = texts.push_parameter(number, &mut string).then(|| {
                    let start = self.strings.len() as u32;
                    push_escaped::<E>(&string, &mut self.strings);
                    (start, self.strings.len() as u32)
                });
                self.places.insert(at, (number, place));
                place
            }
        };
        let Some((start, end)) = place else { return false };
        out.extend_from_slice(&self.strings[start as usize..end as usize]);
        true
    }
}

/// Whether there is a percent sign in the values, which may refer to a parameter string. Values that have
/// been written, one after another, are looked through at once.
fn may_refer(inserts: &[Insert<'_>], out: &[u8]) -> bool {
    let (Some(first), Some(last)) = (inserts.first(), inserts.last()) else { return false };
    let written = (last.written.start > 0).then_some(first.written.start..last.written.end);
    match written.and_then(|written| out.get(written)) {
        Some(written) => memchr::memchr(b'%', written).is_some(),
        None => true,
    }
}

/// Writes a value as it stands in the event.
#[inline]
fn copy<E: Escape>(insert: &Insert<'_>, out: &mut Vec<u8>) {
    if insert.written.is_empty() {
        insert.value.push::<E>(out);
    } else {
        out.extend_from_within(insert.written.clone());
    }
}

/// Writes text that was put together of whole characters.
fn push_escaped<E: Escape>(utf8: &[u8], out: &mut Vec<u8>) {
    E::push_str(&String::from_utf8_lossy(utf8), out);
}
