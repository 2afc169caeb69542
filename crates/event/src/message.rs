//! Text for people that an event doesn't hold itself: its message, the names behind its numbers,
//! words behind its values.
//!
//! [`MessageSource`] is something that knows such text: an `.MTA` file, a catalogue, a live server.
//! This crate defines it and asks it where a printer or a filter needs text; the crate
//! `quarry-message` implements it. One `MessageSource` serves one source of events, as a server's
//! build or the file beside a log decides which text is right.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::{DataName, Field, FieldSource, RuleName, Sink, Value};

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
    /// A catalogue of another build, or a database that others made.
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

    /// As [`FieldSource::walk`].
    fn walk<'a>(&'a self, sink: &mut dyn Sink<'a>);

    /// As [`FieldSource::has_more`].
    fn has_more(&self) -> bool;
}

/// Takes a data value and its name.
pub type VisitData<'v> = dyn for<'a> FnMut(Option<DataName<'a>>, Value<'a>) -> ControlFlow<()> + 'v;

impl<S: FieldSource> AnyEvent for S {
    fn field(&self, field: Field) -> Value<'_> {
        FieldSource::field(self, field)
    }

    fn each_data(&self, visit: &mut VisitData<'_>) -> ControlFlow<()> {
        FieldSource::each_data(self, visit)
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
