//! Messages of events as plain text, one event after the other.

use super::json;
use super::kinds::{Inserts, Kinds};
use crate::layout::Layouts;
use crate::text::Plain;
use crate::{Field, FieldSource, MessageBy, MessageForm, MessageSource, Recipe, Texts};

/// Makes events' messages, and keeps what those of a kind have alike. A thread has its own.
#[derive(Default, Debug)]
pub struct Messages {
    kinds: Kinds<Recipe>,
    inserts: Inserts,
    outlines: Layouts<json::Outline>,
    tree: json::Tree,
}

impl Messages {
    /// Writes the message that there is for an event, and says who knew it: its own, the one that was
    /// made already, or what the source has.
    pub fn push<S: FieldSource>(
        &mut self,
        event: &S,
        texts: Texts<'_>,
        out: &mut Vec<u8>,
    ) -> Option<MessageBy> {
        if self.push_own(event, out) {
            return Some(MessageBy::Event);
        }
        if let Some(message) = texts.message {
            out.extend_from_slice(message.text.as_bytes());
            return Some(message.by);
        }
        self.push_known(event, texts.source?, out)
    }

    /// Writes the message that a source has for an event, as [`MessageSource::message`] does. One that
    /// the event carries isn't looked at.
    pub fn push_known<S: FieldSource>(
        &mut self,
        event: &S,
        known: &dyn MessageSource,
        out: &mut Vec<u8>,
    ) -> Option<MessageBy> {
        let field = |field| event.field(field);
        let kind = self.kinds.find(known, field, || known.recipe(event, MessageForm::Plain));
        match kind.and_then(|kind| self.kinds.get_mut(kind)) {
            Some(Recipe::None) => return None,
            Some(Recipe::Made(by, made)) => {
                let mut inserts = self.inserts.take();
                if made.wants_inserts() {
                    json::inserts(event, &mut inserts);
                }
                let record = event.field(Field::RecordId).as_u64();
                let is_made = made.push(record, &inserts, out);
                self.inserts.keep(inserts);
                if is_made {
                    return Some(*by);
                }
            }
            Some(Recipe::Ask) | None => {}
        }
        known.message(event, out)
    }

    /// Writes the message that an event carries. Says whether there is one.
    fn push_own<S: FieldSource>(&mut self, event: &S, out: &mut Vec<u8>) -> bool {
        if !event.has_more() {
            return false;
        }
        let Messages { outlines, tree, .. } = self;
        if let Some(place) = outlines.find(event, || json::Outline::of(event, tree)) {
            let outline = outlines.get(place);
            return outline.is_some_and(|outline| outline.plain_message(event, out));
        }
        self.tree.read::<Plain, S>(event);
        self.tree.message().map(|text| out.extend_from_slice(text)).is_some()
    }
}
