//! Channels with the ids that are wanted of each.

use super::Ids;
use crate::text::eq_ignore_case;
use crate::{Field, PartialSource, Value};

/// A channel, and which of its events are wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The channel, without regard to case.
    pub channel: String,
    /// The ids; nothing for all.
    pub ids: Option<Ids>,
}

impl Route {
    pub(super) fn is_of(&self, channel: &str) -> bool {
        eq_ignore_case(&self.channel, channel)
    }

    /// Whether an event is of the route, as far as that is known.
    pub(super) fn has<S: PartialSource>(&self, source: &S) -> bool {
        let is_channel = match source.known_field(Field::Channel) {
            Value::Str(channel) => self.is_of(channel),
            Value::Utf16(channel) => channel.eq_ignore_case(&self.channel),
            other => other.with_text(|channel| self.is_of(channel)),
        };
        let has_id = |ids: &Ids| ids.ranges.contains(&source.known_field(Field::EventId));
        is_channel && self.ids.as_ref().is_none_or(has_id)
    }
}
