//! What an event has besides fields and data, kept for all events of one layout: user data, the message
//! of a forwarded event, and all else that is in `other`.
//!
//! Each is what the [tree](super::tree) makes of it, with the values left open.

use super::tree::Tree;
use crate::FieldSource;
use crate::layout::{Kept, OfLayout, Part, Pieces};
use crate::text::{Json, Plain};

/// What an event of a layout has.
#[derive(Debug)]
pub(in super::super) struct Outline {
    /// The member `user_data`.
    user_data: Pieces,
    /// The members of `other` that aren't fields, without a comma before them.
    others: Pieces,
    message: Option<Own>,
}

/// The message that an event carries.
#[derive(Debug)]
struct Own {
    json: Pieces,
    plain: Pieces,
}

impl Kept for Outline {
    fn bytes(&self) -> usize {
        let message = self.message.as_ref();
        self.user_data.bytes()
            + self.others.bytes()
            + message.map_or(0, |own| own.json.bytes() + own.plain.bytes())
    }
}

impl OfLayout for Outline {
    const PART: Part = Part::More;
}

impl Outline {
    /// Makes the outline of an event's layout; nothing where its tree is to be read. `tree` is room to
    /// work in.
    pub(in super::super) fn of<S: FieldSource>(source: &S, tree: &mut Tree) -> Option<Self> {
        let mut text = Vec::new();
        let mut split = |write: &dyn Fn(&mut Vec<u8>)| {
            text.clear();
            write(&mut text);
            Pieces::split(&text)
        };
        tree.read_layout::<Json, S>(source);
        if !tree.is_settled() {
            return None;
        }
        let user_data = split(&|out| tree.user_data(out))?;
        let has_message = tree.message().is_some();
        let others = split(&|out| tree.others(has_message, 0, out))?;
        let json = Pieces::split(tree.message().unwrap_or_default())?;
        tree.read_layout::<Plain, S>(source);
        let plain = Pieces::split(tree.message().unwrap_or_default())?;
        let message = has_message.then_some(Own { json, plain });
        Some(Outline { user_data, others, message })
    }

    /// Writes the member `user_data`.
    #[inline]
    pub(super) fn user_data<S: FieldSource>(&self, source: &S, out: &mut Vec<u8>) {
        self.user_data.push::<Json, S>(source, out);
    }

    /// Writes the members of `other` as [`Tree::others`] does.
    pub(super) fn others<S: FieldSource>(&self, source: &S, inside: usize, out: &mut Vec<u8>) {
        if self.others.is_empty() {
            return;
        }
        if out.len() > inside {
            out.push(b',');
        }
        self.others.push::<Json, S>(source, out);
    }

    /// Whether the event carries its message.
    pub(in super::super) fn has_message(&self) -> bool {
        self.message.is_some()
    }

    /// Writes the message that the event carries, as the inside of a string.
    pub(super) fn json_message<S: FieldSource>(&self, source: &S, out: &mut Vec<u8>) {
        if let Some(own) = &self.message {
            own.json.push::<Json, S>(source, out);
        }
    }

    /// Writes the message that the event carries. Says whether there is one.
    pub(in super::super) fn plain_message<S: FieldSource>(
        &self,
        source: &S,
        out: &mut Vec<u8>,
    ) -> bool {
        if let Some(own) = &self.message {
            own.plain.push::<Plain, S>(source, out);
        }
        self.message.is_some()
    }
}
