//! The text of an event that has more than fields and data: every value outside `<System>`.

use quarry_event::text::Plain;
use quarry_event::{FieldSource, Sink, Value};

use super::columns::Text;

/// Adds a line for each attribute and each run of text outside `<System>`, where `grep` looks too.
pub(super) fn gather<S: FieldSource>(event: &S, text: &mut Text) {
    event.walk(&mut Gather { text, depth: 0, section: "", run: Vec::new() });
}

struct Gather<'t, 'a> {
    text: &'t mut Text,
    /// How many elements are open.
    depth: usize,
    /// The child of `<Event>` that the walk is in.
    section: &'a str,
    /// The text since the last tag.
    run: Vec<u8>,
}

impl Gather<'_, '_> {
    fn end_run(&mut self) {
        if !self.run.trim_ascii().is_empty() {
            self.text.add_line(|out| out.extend_from_slice(&self.run));
        }
        self.run.clear();
    }

    fn is_gathered(&self) -> bool {
        self.depth > 1 && self.section != "System"
    }
}

impl<'a> Sink<'a> for Gather<'_, 'a> {
    fn open(&mut self, name: &'a str) {
        self.end_run();
        self.depth += 1;
        if self.depth == 2 {
            self.section = name;
        }
    }

    fn attribute(&mut self, name: &'a str, pieces: &[Value<'a>]) {
        let is_namespace = name == "xmlns" || name.starts_with("xmlns:");
        let is_name = self.section == "EventData" && name == "Name";
        if self.is_gathered() && !is_namespace && !is_name {
            pieces.iter().for_each(|piece| piece.push::<Plain>(&mut self.run));
            self.end_run();
        }
    }

    fn text(&mut self, value: Value<'a>) {
        if self.is_gathered() {
            value.push::<Plain>(&mut self.run);
        }
    }

    fn close(&mut self, _name: &'a str, _empty: bool) {
        self.end_run();
        self.depth = self.depth.saturating_sub(1);
    }
}
