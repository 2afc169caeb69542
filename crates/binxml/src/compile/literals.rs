//! Literal text and names.

use quarry_event::Utf16;
use quarry_event::text::Plain;

use super::Compiler;
use crate::cursor::{Dialect, Name};
use crate::error::{Fault, Result};
use crate::limits::Limits;
use crate::name::is_name_character;
use crate::template::{Literal, NameUse};

impl Compiler {
    /// Remembers the use of a name whose bytes depend on the chunk.
    pub(super) fn used(&mut self, name: &Name<'_>) {
        if self.dialect == Dialect::File {
            let elsewhere = name.offset.map(|_| name.characters.into());
            self.names.push(NameUse { at: name.at - self.start, elsewhere, is_fixed: false });
        }
    }

    /// A name as literal text that XML can have as one; other characters become `_`.
    pub(super) fn xml_name(&mut self, name: &Name<'_>) -> Result<Literal> {
        self.used(name);
        let start = self.literals.len();
        for c in Utf16::new(name.characters).chars() {
            let first = self.literals.len() == start;
            self.literals.push(if is_name_character(c, first) { c } else { '_' });
        }
        if self.literals.len() == start {
            self.literals.push('_');
        }
        self.literal_since(start, name.at)
    }

    /// The character that an entity stands for; an entity that XML doesn't have stands for the
    /// text of the reference.
    pub(super) fn entity(&mut self, name: &Name<'_>) -> Result<Literal> {
        self.used(name);
        let start = self.literals.len();
        let entity: String = Utf16::new(name.characters).chars().collect();
        match &*entity {
            "amp" => self.literals.push('&'),
            "lt" => self.literals.push('<'),
            "gt" => self.literals.push('>'),
            "quot" => self.literals.push('"'),
            "apos" => self.literals.push('\''),
            other => {
                self.literals.push('&');
                self.literals.push_str(other);
                self.literals.push(';');
            }
        }
        self.literal_since(start, name.at)
    }

    pub(super) fn push_utf16(&mut self, text: &[u8], at: usize) -> Result<Literal> {
        let start = self.literals.len();
        self.scratch.clear();
        Utf16::new(text).push::<Plain>(&mut self.scratch);
        self.literals.push_str(std::str::from_utf8(&self.scratch).unwrap_or_default());
        self.literal_since(start, at)
    }

    pub(super) fn push_char(&mut self, c: u16) -> Literal {
        let start = self.literals.len() as u32;
        self.literals.push(char::from_u32(c.into()).unwrap_or(char::REPLACEMENT_CHARACTER));
        Literal { start, end: self.literals.len() as u32 }
    }

    fn literal_since(&self, start: usize, at: usize) -> Result<Literal> {
        if self.literals.len() > Limits::TEMPLATE_TEXT {
            return Err(Fault::Limit("literal text").at(at));
        }
        Ok(Literal { start: start as u32, end: self.literals.len() as u32 })
    }
}
