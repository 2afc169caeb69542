//! An event as a row of a list shows it.

use std::sync::Arc;

use quarry_binxml::write::{Template, WriteError};
use quarry_event::{LevelName, RuleName};

use crate::view::Place;

/// An event in a list.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Its identity, and its place in the list.
    pub(crate) place: Place,
    /// What its source is called.
    pub(crate) on: Arc<str>,
    pub(crate) level: LevelName,
    pub(crate) id: Option<u64>,
    pub(crate) channel: String,
    pub(crate) provider: String,
    pub(crate) computer: String,
    /// The beginning of its message, or of its values where it has none.
    pub(crate) message: String,
    /// Whether there is message text, rather than values alone.
    pub(crate) has_message: bool,
    /// The detection rules that it matches, the worst first.
    pub(crate) rules: Vec<Arc<RuleName>>,
    /// The texts of further columns.
    pub(crate) more: Vec<String>,
    /// As a program asked for it.
    pub(crate) printed: Vec<u8>,
    /// As it is saved in a log file.
    pub(crate) packed: Option<Box<PackedEvent>>,
    /// All of it, where that was asked for.
    pub(crate) detail: Option<Box<Detail>>,
}

/// An event as it is saved in a log file, or why it can't be.
#[derive(Clone)]
pub(crate) struct PackedEvent {
    pub(crate) template: Result<Template, WriteError>,
    pub(crate) values: Vec<u8>,
}

impl std::fmt::Debug for PackedEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackedEvent").field("bytes", &self.values.len()).finish_non_exhaustive()
    }
}

/// All of an event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Detail {
    /// The message, whole.
    pub(crate) message: String,
    pub(crate) message_by: Option<&'static str>,
    /// Name, value and the words behind it.
    pub(crate) values: Vec<(String, String, String)>,
    /// Fields of `<System>` that it has, by the name of their column.
    pub(crate) system: Vec<(&'static str, String)>,
    pub(crate) json: String,
    pub(crate) xml: String,
}

impl Detail {
    /// The text of a field of `<System>`.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.system.iter().find(|(known, _)| *known == name).map(|(_, text)| &**text)
    }

    /// The first value of a name.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|value| value.0.eq_ignore_ascii_case(name)).map(|value| &*value.1)
    }
}

impl Row {
    /// About how many bytes it holds.
    pub(crate) fn bytes(&self) -> usize {
        let more: usize = self.more.iter().map(String::len).sum();
        let detail = self.detail.as_ref().map_or(0, |detail| {
            2 * detail.message.len() + 2 * detail.json.len() + detail.xml.len()
        });
        size_of::<Row>()
            + self.place.source.len()
            + self.place.log.len()
            + self.channel.len()
            + self.provider.len()
            + self.computer.len()
            + self.message.len()
            + self.printed.len()
            + size_of_val(&*self.rules)
            + self.packed.as_ref().map_or(0, |packed| packed.values.len())
            + more
            + detail
    }
}

/// A row with a number.
#[cfg(test)]
pub(crate) fn row_of_a_test(number: u64, level: LevelName) -> Row {
    Row {
        place: Place {
            time: quarry_event::EventTime::from_filetime(number),
            source: "a".to_owned(),
            log: "System".to_owned(),
            record: Some(quarry_event::RecordId(number)),
        },
        on: "a".into(),
        level,
        id: Some(1),
        channel: "System".to_owned(),
        provider: "P".to_owned(),
        computer: "c".to_owned(),
        message: String::new(),
        has_message: false,
        rules: Vec::new(),
        more: Vec::new(),
        printed: Vec::new(),
        packed: None,
        detail: None,
    }
}
