//! From a [`Fragment`] to tokens, in either dialect.

use quarry_event::Guid;

use crate::cursor::{Dialect, STRING_TYPE, token};
use crate::limits::Limits;
use crate::name::name_hash;
use crate::value::BIN_XML;
use crate::write::value::push_text;
use crate::write::{
    Content, Element, Fragment, Instance, Packed, Piece, Template, TypedValue, WriteError,
};

/// Version 1.1, and flags that mean nothing (MS-EVEN6 2.2.12, FragmentHeader).
const FRAGMENT_HEADER: [u8; 4] = [token::FRAGMENT_HEADER, 1, 1, 0];
const NO_DEPENDENCY: u16 = 0xffff;

/// Writes a fragment as MS-EVEN6 sends it, at the end of `out`. Nothing is written when it can't
/// be.
///
/// # Errors
/// The fragment can't be written, or is longer than [`Limits::WIRE_EVENT`].
pub fn wire(fragment: &Fragment<'_>, out: &mut Vec<u8>) -> Result<(), WriteError> {
    let start = out.len();
    let end = start.saturating_add(Limits::WIRE_EVENT);
    let mut encoder = Encoder::new(out, end, InPlace);
    let outcome = encoder.fragment(fragment, 0);
    if outcome.is_err() {
        out.truncate(start);
    }
    outcome
}

/// The identifier, the length and the definition of a template in the dialect of the wire.
pub(crate) fn definition(
    guid: Guid,
    root: &Element,
    waste: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), WriteError> {
    Encoder::new(out, Limits::WIRE_EVENT, InPlace).definition(guid, root, waste)
}

/// Where names and definitions are put: the difference between the dialects.
pub(crate) trait Placement: Sized {
    const DIALECT: Dialect;

    /// A name at its place of use.
    fn name(encoder: &mut Encoder<'_, Self>, name: &str) -> Result<(), WriteError>;

    /// What stands between the token of a template instance and its values.
    fn template(encoder: &mut Encoder<'_, Self>, template: &Template) -> Result<(), WriteError>;
}

/// Names and definitions where they are used.
pub(crate) struct InPlace;

impl Placement for InPlace {
    const DIALECT: Dialect = Dialect::Wire;

    fn name(encoder: &mut Encoder<'_, Self>, name: &str) -> Result<(), WriteError> {
        encoder.name_characters(name)
    }

    fn template(encoder: &mut Encoder<'_, Self>, template: &Template) -> Result<(), WriteError> {
        encoder.put(&[0])?; // Reserved.
        encoder.put(template.wire())
    }
}

/// Writes tokens to the end of a buffer, up to a bound.
pub(crate) struct Encoder<'o, P> {
    out: &'o mut Vec<u8>,
    start: usize,
    end: usize,
    instances: usize,
    values: usize,
    pub(crate) placement: P,
}

impl<'o, P: Placement> Encoder<'o, P> {
    /// Writes after what is in `out`, up to `end`.
    pub(crate) fn new(out: &'o mut Vec<u8>, end: usize, placement: P) -> Self {
        let start = out.len();
        Encoder { out, start, end, instances: 0, values: 0, placement }
    }

    /// How far the buffer is filled: in a chunk, the offset of what comes next.
    pub(crate) fn at(&self) -> usize {
        self.out.len()
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        if self.out.len().saturating_add(bytes.len()) > self.end {
            return Err(WriteError::TooLarge { room: self.end.saturating_sub(self.start) });
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn put_u16(&mut self, number: u16) -> Result<(), WriteError> {
        self.put(&number.to_le_bytes())
    }

    pub(crate) fn put_u32(&mut self, number: u32) -> Result<(), WriteError> {
        self.put(&number.to_le_bytes())
    }

    /// A fragment, and the token that ends it.
    pub(crate) fn fragment(
        &mut self,
        fragment: &Fragment<'_>,
        depth: usize,
    ) -> Result<(), WriteError> {
        if depth > Limits::INSTANCE_DEPTH {
            return Err(WriteError::Limit("instances inside one another"));
        }
        self.instances += 1;
        if self.instances > Limits::INSTANCES {
            return Err(WriteError::Limit("template instances"));
        }
        self.put(&FRAGMENT_HEADER)?;
        match fragment {
            Fragment::Element(element) => {
                element.check_loose()?;
                self.element(element, false)?;
            }
            Fragment::Instance(instance) => self.instance(instance, depth)?,
        }
        self.put(&[token::EOF])
    }

    /// An event that is packed, for a file.
    pub(crate) fn packed(&mut self, packed: Packed<'_>) -> Result<(), WriteError> {
        self.put(&FRAGMENT_HEADER)?;
        self.put(&[token::TEMPLATE_INSTANCE])?;
        P::template(self, packed.template)?;
        self.put(packed.values)?;
        self.put(&[token::EOF])
    }

    fn instance(&mut self, instance: &Instance<'_>, depth: usize) -> Result<(), WriteError> {
        let Instance { template, values } = instance;
        if values.len() < template.values() {
            return Err(WriteError::MissingValues {
                needed: template.values(),
                given: values.len(),
            });
        }
        self.values += values.len();
        if self.values > Limits::VALUES {
            return Err(WriteError::Limit("values"));
        }
        self.put(&[token::TEMPLATE_INSTANCE])?;
        P::template(self, template)?;
        self.put_u32(values.len() as u32)?;
        let descriptors = self.at();
        for value in values {
            self.put(&[0, 0, value.value_type().code(), 0])?;
        }
        for (i, value) in values.iter().enumerate() {
            let start = self.at();
            match value {
                TypedValue::BinXml(fragment) => self.fragment(fragment, depth + 1)?,
                value => self.value(value)?,
            }
            let len = self.at() - start;
            let len = u16::try_from(len).map_err(|_| WriteError::ValueTooLong(len))?;
            let at = descriptors + 4 * i;
            self.out[at..at + 2].copy_from_slice(&len.to_le_bytes());
        }
        Ok(())
    }

    fn value(&mut self, value: &TypedValue<'_>) -> Result<(), WriteError> {
        debug_assert_ne!(value.value_type().code(), BIN_XML);
        let start = self.at();
        value.push(P::DIALECT, self.out)?;
        // A value too long for its length is that, however much room there is.
        let len = self.at() - start;
        if len > usize::from(u16::MAX) {
            return Err(WriteError::ValueTooLong(len));
        }
        self.put(&[])
    }

    /// A template definition: its identifier, length and element.
    pub(crate) fn definition(
        &mut self,
        guid: Guid,
        root: &Element,
        waste: &[u8],
    ) -> Result<(), WriteError> {
        self.put(&guid.to_bytes())?;
        let len = self.begin_length()?;
        self.put(&FRAGMENT_HEADER)?;
        self.element(root, true)?;
        self.put(&[token::EOF])?;
        self.put(waste)?;
        self.end_length(len);
        Ok(())
    }

    fn element(&mut self, element: &Element, in_template: bool) -> Result<(), WriteError> {
        let has_attributes = !element.attributes.is_empty();
        self.token(token::OPEN_START_ELEMENT, has_attributes)?;
        if in_template {
            self.put_u16(element.depends_on.unwrap_or(NO_DEPENDENCY))?;
        }
        let len = self.begin_length()?;
        P::name(self, &element.name)?;
        if has_attributes {
            let len = self.begin_length()?;
            for (i, attribute) in element.attributes.iter().enumerate() {
                self.token(token::ATTRIBUTE, i + 1 < element.attributes.len())?;
                P::name(self, &attribute.name)?;
                for (i, piece) in attribute.value.iter().enumerate() {
                    self.piece(piece, i + 1 < attribute.value.len())?;
                }
            }
            self.end_length(len);
        }
        if element.content.is_empty() && element.closed_empty {
            self.put(&[token::CLOSE_EMPTY_ELEMENT])?;
        } else {
            self.put(&[token::CLOSE_START_ELEMENT])?;
            for (i, content) in element.content.iter().enumerate() {
                let next = element.content.get(i + 1);
                let more = matches!(next, Some(Content::Piece(_) | Content::CData(_)));
                self.content(content, more, in_template)?;
            }
            self.put(&[token::END_ELEMENT])?;
        }
        self.end_length(len);
        Ok(())
    }

    fn content(
        &mut self,
        content: &Content,
        more: bool,
        in_template: bool,
    ) -> Result<(), WriteError> {
        match content {
            Content::Element(child) => self.element(child, in_template),
            Content::Piece(piece) => self.piece(piece, more),
            Content::CData(text) => {
                self.token(token::CDATA_SECTION, more)?;
                self.counted_text(text)
            }
            Content::Pi { target, data } => {
                self.put(&[token::PI_TARGET])?;
                P::name(self, target)?;
                self.put(&[token::PI_DATA])?;
                self.counted_text(data)
            }
        }
    }

    fn piece(&mut self, piece: &Piece, more: bool) -> Result<(), WriteError> {
        match piece {
            Piece::Text(text) => self.text(text, more),
            Piece::CharRef(c) => {
                self.token(token::CHAR_REF, more)?;
                self.put_u16(*c)
            }
            Piece::EntityRef(name) => {
                self.token(token::ENTITY_REF, more)?;
                P::name(self, name)
            }
            Piece::Substitution { id, expected, optional } => {
                self.put(&[match optional {
                    true => token::OPTIONAL_SUBSTITUTION,
                    false => token::NORMAL_SUBSTITUTION,
                }])?;
                self.put_u16(*id)?;
                self.put(&[expected.code()])
            }
        }
    }

    /// Literal text: a token for each run that a count can say, and for each NUL.
    fn text(&mut self, text: &str, more: bool) -> Result<(), WriteError> {
        let mut rest = text;
        loop {
            let (run, behind) = split_run(rest);
            let more = more || !behind.is_empty();
            match run {
                "\0" => {
                    self.token(token::CHAR_REF, more)?;
                    self.put_u16(0)?;
                }
                run => {
                    self.token(token::VALUE_TEXT, more)?;
                    self.put(&[STRING_TYPE])?;
                    self.counted_text(run)?;
                }
            }
            if behind.is_empty() {
                return Ok(());
            }
            rest = behind;
        }
    }

    fn counted_text(&mut self, text: &str) -> Result<(), WriteError> {
        let units = units(text);
        let units = u16::try_from(units).map_err(|_| WriteError::Limit("text in one token"))?;
        self.put_u16(units)?;
        self.put_text(text)
    }

    /// A name's hash, count, characters and a NUL.
    pub(crate) fn name_characters(&mut self, name: &str) -> Result<(), WriteError> {
        let units = units(name);
        let units = u16::try_from(units).map_err(|_| WriteError::Limit("characters in a name"))?;
        self.put_u16(name_hash(name.encode_utf16()))?;
        self.put_u16(units)?;
        self.put_text(name)?;
        self.put_u16(0)
    }

    fn put_text(&mut self, text: &str) -> Result<(), WriteError> {
        push_text(text, self.out);
        self.put(&[])
    }

    fn token(&mut self, token: u8, more: bool) -> Result<(), WriteError> {
        self.put(&[if more { token | token::MORE } else { token }])
    }

    /// Leaves room for a length, which [`end_length`](Self::end_length) fills in.
    fn begin_length(&mut self) -> Result<usize, WriteError> {
        self.put_u32(0)?;
        Ok(self.at())
    }

    fn end_length(&mut self, behind: usize) {
        let len = (self.at() - behind) as u32;
        self.out[behind - 4..behind].copy_from_slice(&len.to_le_bytes());
    }
}

/// The units of UTF-16 that a text has.
fn units(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.encode_utf16().count() }
}

/// Splits off a NUL, or what stands before the next one, so far as a token's count can say.
fn split_run(text: &str) -> (&str, &str) {
    if text.len() <= usize::from(u16::MAX) && !text.as_bytes().contains(&0) {
        return (text, "");
    }
    if text.starts_with('\0') {
        return text.split_at(1);
    }
    let mut units = 0;
    let end = text.char_indices().find(|&(_, c)| {
        units += c.len_utf16();
        c == '\0' || units > usize::from(u16::MAX)
    });
    text.split_at(end.map_or(text.len(), |(at, _)| at))
}
