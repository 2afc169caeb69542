//! Text for people that an event doesn't hold itself: its message, the names behind its numbers,
//! words behind its values.
//!
//! [`MessageSource`] is something that knows such text: an `.MTA` file, a catalogue, a live server.
//! This crate defines it and asks it where a printer or a filter needs text; the crate
//! `quarry-message` implements it. One `MessageSource` serves one source of events, as a server's
//! build or the file beside a log decides which text is right.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{DataName, Field, FieldSource, RuleName, Sink, Substituted, Value};

/// Something that knows message text.
///
/// Nothing here waits: an implementation that fetches text does so beside the threads that call
/// it, and answers `None` or `false` until the text is there. All text is UTF-8, written to the
/// end of `out`; where there is none, `out` is left as it was.
pub trait MessageSource: Send + Sync {
    /// Writes an event's message text, all of it, with its line ends, and says who knew it.
    fn message(&self, event: &dyn AnyEvent, out: &mut Vec<u8>) -> Option<MessageBy>;

    /// Whether the event's message text is still to come, so that what is shown now lacks it.
    fn awaits(&self, event: &dyn AnyEvent) -> bool {
        let _ = event;
        false
    }

    /// Writes the name behind a number of an event, as Event Viewer shows it. Says whether there
    /// is one.
    fn name(&self, event: &dyn AnyEvent, of: NameOf, out: &mut Vec<u8>) -> bool;

    /// Writes the words behind a data value, as `Network` for a `LogonType` of 3 or the text of a
    /// `%%1833`, without the value itself. `name` is the value's, `paramN` for the Nth where it has
    /// none. Says whether there are any.
    fn words(&self, event: &dyn AnyEvent, name: &str, value: &Value<'_>, out: &mut Vec<u8>)
    -> bool;

    /// A number for all that is known now; `None` where nothing may be kept.
    ///
    /// As long as it stays the same, [`name`](Self::name) and [`recipe`](Self::recipe) have the
    /// same answer for all events that have the same provider (name, identifier, source name),
    /// event number, version, qualifiers, task, opcode and keywords. So a printer asks once a kind
    /// of events.
    fn generation(&self) -> Option<Generation> {
        None
    }

    /// How the message of an event and of all others of its kind is made.
    fn recipe(&self, event: &dyn AnyEvent, form: MessageForm) -> Recipe {
        let _ = (event, form);
        Recipe::Ask
    }
}

/// What a [`MessageSource`] knows at one time: no other source, and no other time, has the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Generation([u64; 2]);

impl Generation {
    /// One that there was not before.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Generation([NEXT.fetch_add(1, Ordering::Relaxed), 0])
    }

    /// That of a source which asks another one too.
    #[must_use]
    pub fn with(self, other: Generation) -> Self {
        Generation([self.0[0], other.0[0]])
    }
}

/// How a message is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MessageForm {
    /// As it is ([`Plain`](crate::text::Plain)).
    Plain,
    /// As the inside of a JSON string ([`Json`](crate::text::Json)).
    Json,
}

/// How the messages of a kind of events are made.
#[derive(Debug)]
pub enum Recipe {
    /// By [`MessageSource::message`], for each event by itself.
    Ask,
    /// There is none.
    None,
    /// Of a text that is ready to be filled in.
    Made(MessageBy, Box<dyn MakeMessage>),
}

impl Recipe {
    /// Whether an event's values are used.
    #[inline]
    pub fn wants_inserts(&self) -> bool {
        matches!(self, Recipe::Made(_, made) if made.wants_inserts())
    }
}

/// A message of a kind of events, to be filled in with the values of each. It belongs to one thread,
/// so it can keep what it has made.
pub trait MakeMessage: Send + Sync + std::fmt::Debug {
    /// Writes the message, in the form that was asked for, to the end of `out`.
    /// `record` is the event's own number ([`Field::RecordId`]), and `inserts` are its values in their
    /// order, where they are [wanted](Self::wants_inserts).
    ///
    /// False, with `out` as it was, where the message of this event can't be made of these alone:
    /// then [`MessageSource::message`] is to be asked.
    fn push(&mut self, record: Option<u64>, inserts: &[Insert<'_>], out: &mut Vec<u8>) -> bool;

    /// Whether the event's values are used.
    fn wants_inserts(&self) -> bool;

    /// About how much memory it takes, in bytes.
    fn bytes(&self) -> usize;
}

/// A value of an event for its message.
#[derive(Clone, Debug)]
pub struct Insert<'a> {
    /// The value.
    pub value: Value<'a>,
    /// Where the event has it.
    pub of: InsertOf,
    /// Where the output has the value's text in the message's form already; `0..0` where it
    /// hasn't. All values are written or none is, one after the other.
    pub written: Range<usize>,
}

/// Where an event has a value for its message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InsertOf {
    /// In `<EventData>`.
    Data,
    /// There, by the name `Binary`, which an event without a manifest gives the bytes after its strings.
    Binary,
    /// In `<UserData>`, which all values of the event then are in.
    UserData,
}

/// What a [`MessageSource`] can name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NameOf {
    /// The event's level.
    Level,
    /// The event's task.
    Task,
    /// The event's opcode.
    Opcode,
    /// One bit of the event's keywords.
    Keyword(u64),
}

/// Who knew an event's message text; in this order they are asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum MessageBy {
    /// The event itself, in its `<RenderingInfo>`: a forwarded event carries it.
    Event,
    /// The `.MTA` file beside an exported log.
    Mta,
    /// A catalogue of the build that the event is of.
    Catalogue,
    /// The server that has the event.
    Server,
    /// A catalogue of another build, or of one of which nothing shows that it is the event's, or a database
    /// that others made.
    Foreign,
}

impl MessageBy {
    /// All of them, in the order they are asked.
    pub const ALL: [MessageBy; 5] = [
        MessageBy::Event,
        MessageBy::Mta,
        MessageBy::Catalogue,
        MessageBy::Server,
        MessageBy::Foreign,
    ];

    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            MessageBy::Event => "event",
            MessageBy::Mta => "mta",
            MessageBy::Catalogue => "catalogue",
            MessageBy::Server => "server",
            MessageBy::Foreign => "foreign",
        }
    }
}

/// Message text that was made for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The text.
    pub text: &'a str,
    /// Who knew it.
    pub by: MessageBy,
}

/// The text there is for an event that is printed. The default is none.
#[derive(Clone, Copy, Default)]
pub struct Texts<'a> {
    /// The message, where it was made already, as for a filter that searches it.
    pub message: Option<Message<'a>>,
    /// What knows the rest, asked only for what is printed.
    pub source: Option<&'a dyn MessageSource>,
    /// The detection rules that the event matches.
    pub rules: &'a [Arc<RuleName>],
}

impl<'a> Texts<'a> {
    /// Text of a source.
    pub fn of(source: &'a dyn MessageSource) -> Self {
        Texts { source: Some(source), ..Texts::default() }
    }

    /// A message that was made already.
    pub fn given(message: Message<'a>) -> Self {
        Texts { message: Some(message), ..Texts::default() }
    }
}

impl std::fmt::Debug for Texts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Texts").field("message", &self.message).finish_non_exhaustive()
    }
}

/// An event of any type behind a reference: [`FieldSource`] without type parameters.
pub trait AnyEvent {
    /// As [`FieldSource::field`].
    fn field(&self, field: Field) -> Value<'_>;

    /// As [`FieldSource::each_data`].
    fn each_data(&self, visit: &mut VisitData<'_>) -> ControlFlow<()>;

    /// As [`FieldSource::substituted`].
    fn substituted(&self) -> Option<Substituted> {
        None
    }

    /// As [`FieldSource::each_item`].
    fn each_item(&self, number: u32, visit: &mut VisitItem<'_>) {
        let _ = (number, visit);
    }

    /// As [`FieldSource::walk`].
    fn walk<'a>(&'a self, sink: &mut dyn Sink<'a>);

    /// As [`FieldSource::has_more`].
    fn has_more(&self) -> bool;
}

/// Takes a data value and its name.
pub type VisitData<'v> = dyn for<'a> FnMut(Option<DataName<'a>>, Value<'a>) -> ControlFlow<()> + 'v;

/// Takes an item of a value.
pub type VisitItem<'v> = dyn for<'a> FnMut(Value<'a>) + 'v;

impl<S: FieldSource> AnyEvent for S {
    fn field(&self, field: Field) -> Value<'_> {
        FieldSource::field(self, field)
    }

    fn each_data(&self, visit: &mut VisitData<'_>) -> ControlFlow<()> {
        FieldSource::each_data(self, visit)
    }

    fn substituted(&self) -> Option<Substituted> {
        FieldSource::substituted(self)
    }

    fn each_item(&self, number: u32, visit: &mut VisitItem<'_>) {
        FieldSource::each_item(self, number, visit);
    }

    fn walk<'a>(&'a self, mut sink: &mut dyn Sink<'a>) {
        FieldSource::walk(self, &mut sink);
    }

    fn has_more(&self) -> bool {
        FieldSource::has_more(self)
    }
}

impl<'a> Sink<'a> for &mut dyn Sink<'a> {
    fn open(&mut self, name: &'a str) {
        (**self).open(name);
    }

    fn attribute(&mut self, name: &'a str, pieces: &[Value<'a>]) {
        (**self).attribute(name, pieces);
    }

    fn text(&mut self, value: Value<'a>) {
        (**self).text(value);
    }

    fn close(&mut self, name: &'a str, empty: bool) {
        (**self).close(name, empty);
    }
}
