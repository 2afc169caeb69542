//! Events of any source as templates and values, for many of them.
//!
//! An event is walked through once. What it has in common with others of its kind is its shape
//! (elements, attributes, literal text, the types of values), by which its template is found again;
//! its values are written as they will lie in a record. So only the first event of a kind is
//! described as a tree.

use hashbrown::HashMap;
use quarry_event::text::Plain;
use quarry_event::{Field, FieldSource, Guid, Sink, Value};

use crate::limits::Limits;
use crate::write::event::{fnv1a, typed};
use crate::write::value::push_text;
use crate::write::{Content, Element, Piece, Template, TypedValue, ValueType, WriteError};

/// An event that is ready to be written to a file: what a [`Packer`] has made of it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Packed<'a> {
    /// The template.
    pub template: &'a Template,
    /// The values as they will lie in the record: their count, the length and type of each, and
    /// their bytes.
    pub values: &'a [u8],
}

/// Makes events [`Packed`], and keeps the templates for those to come.
///
/// A template has what events of one kind have in common: elements, attributes, the names of data,
/// the provider. Values have the type that the source knows them to have, those of `<System>` the
/// type that Windows gives them, where their text is that of the type. Elements and attributes that
/// the source leaves out are in no template.
#[derive(Default)]
pub struct Packer {
    templates: HashMap<Box<[u8]>, Template>,
    shape: Shape,
}

impl Packer {
    /// Packs an event: gives its template, and puts its values after what is in `out`. The same
    /// event gives the same, whatever was packed before.
    ///
    /// # Errors
    /// [`WriteError`], where there is more to it than a template can have.
    pub fn pack(
        &mut self,
        source: &impl FieldSource,
        out: &mut Vec<u8>,
    ) -> Result<Template, WriteError> {
        self.shape.clear();
        source.walk(&mut self.shape);
        let template = match self.templates.get(&*self.shape.steps) {
            Some(template) => template.clone(),
            None => self.describe()?,
        };
        let Shape { descriptors, values, .. } = &self.shape;
        out.extend_from_slice(&((descriptors.len() / 4) as u32).to_le_bytes());
        out.extend_from_slice(descriptors);
        out.extend_from_slice(values);
        Ok(template)
    }

    #[cold]
    fn describe(&mut self) -> Result<Template, WriteError> {
        let root = self.shape.element();
        // The identifier isn't part of what it is made of.
        let anonymous = Template::new(Guid::from_bytes([0; 16]), root)?;
        let guid = Guid::from_bytes(fnv1a(anonymous.wire()).to_le_bytes());
        let template = Template::new(guid, anonymous.root().clone())?;
        if self.templates.len() >= Limits::TEMPLATES {
            self.templates.clear();
        }
        self.templates.insert(self.shape.steps.as_slice().into(), template.clone());
        Ok(template)
    }
}

/// What a walk through an event has met.
#[derive(Default)]
struct Shape {
    /// The steps, one after the other, as bytes.
    steps: Vec<u8>,
    descriptors: Vec<u8>,
    values: Vec<u8>,
    depth: usize,
    /// Whether the element of depth 2 is `<System>`.
    in_system: bool,
    /// The first field of the element of depth 3 that is in it.
    first_field: Option<Field>,
    text: Vec<u8>,
}

// The steps. A name or text has its length before it, in four bytes.
/// The bytes of a step and its length.
const STEP: usize = 5;
const OPEN: u8 = b'<';
const ATTRIBUTE: u8 = b'@';
const TEXT: u8 = b'"';
const VALUE: u8 = b'%';
const CLOSE: u8 = b'>';
const CLOSE_EMPTY: u8 = b'/';

impl<'a> Sink<'a> for Shape {
    fn open(&mut self, name: &'a str) {
        self.depth += 1;
        match self.depth {
            2 => self.in_system = name == "System",
            3 if self.in_system => {
                self.first_field = Field::all().find(|field| field.element() == name);
            }
            _ => {}
        }
        self.step(OPEN, name);
    }

    fn attribute(&mut self, name: &'a str, pieces: &[Value<'a>]) {
        if pieces.iter().all(Value::is_empty) {
            return;
        }
        self.step(ATTRIBUTE, name);
        let field = self.field(Some(name));
        let is_provider = matches!(field, Some(Field::ProviderName | Field::ProviderGuid));
        let is_same_for_all = name == "Name" || name == "xmlns" || name.starts_with("xmlns:");
        match pieces {
            _ if is_provider || field.is_none() && is_same_for_all => self.literal(pieces),
            [value] => self.value(*value, field),
            pieces => {
                let mut text = Vec::new();
                pieces.iter().for_each(|piece| piece.push::<Plain>(&mut text));
                self.value(Value::Str(&String::from_utf8_lossy(&text)), field);
            }
        }
    }

    fn text(&mut self, value: Value<'a>) {
        if !value.is_empty() {
            let field = self.field(None);
            self.value(value, field);
        }
    }

    fn close(&mut self, _name: &'a str, empty: bool) {
        self.steps.push(if empty { CLOSE_EMPTY } else { CLOSE });
        self.depth -= 1;
    }
}

impl Shape {
    fn clear(&mut self) {
        self.steps.clear();
        self.descriptors.clear();
        self.values.clear();
        self.depth = 0;
        self.in_system = false;
    }

    fn step(&mut self, step: u8, text: &str) {
        let [a, b, c, d] = (text.len() as u32).to_le_bytes();
        self.steps.reserve(STEP + text.len());
        self.steps.extend_from_slice(&[step, a, b, c, d]);
        self.steps.extend_from_slice(text.as_bytes());
    }

    /// The field that text in the current element, or in an attribute of it, is of.
    fn field(&self, attribute: Option<&str>) -> Option<Field> {
        if !self.in_system || self.depth != 3 {
            return None;
        }
        // The fields of an element stand one after the other.
        let first = self.first_field?;
        let mut fields = Field::all().skip(first as usize);
        fields
            .by_ref()
            .take_while(|field| field.element() == first.element())
            .find(|field| field.attribute() == attribute)
    }

    fn literal(&mut self, pieces: &[Value<'_>]) {
        self.step(TEXT, "");
        let start = self.steps.len();
        pieces.iter().for_each(|piece| piece.push::<Plain>(&mut self.steps));
        let len = (self.steps.len() - start) as u32;
        self.steps[start - 4..start].copy_from_slice(&len.to_le_bytes());
    }

    /// A value, or literal text where it can't be one.
    fn value(&mut self, value: Value<'_>, field: Option<Field>) {
        let start = self.values.len();
        let kind = field.and_then(|field| self.field_value(field, value));
        let kind = kind.or_else(|| self.other_value(value));
        let len = u16::try_from(self.values.len() - start).ok();
        // 0xffff is no substitution id, as a dependency it says that there is none.
        let is_id = self.descriptors.len() / 4 < usize::from(u16::MAX);
        match (kind, len) {
            (Some(kind), Some(len)) if is_id => {
                let [low, high] = len.to_le_bytes();
                self.descriptors.extend_from_slice(&[low, high, kind.code(), 0]);
                self.steps.extend_from_slice(&[VALUE, kind.code()]);
            }
            _ => {
                self.values.truncate(start);
                self.literal(&[value]);
            }
        }
    }

    /// The value of a field in the type that Windows gives it, where that has the same text.
    fn field_value(&mut self, field: Field, value: Value<'_>) -> Option<ValueType> {
        let typed = match (field, value) {
            (Field::EventId | Field::Qualifiers | Field::Task, Value::UInt(number)) => {
                TypedValue::UInt16(number.try_into().ok()?)
            }
            (
                Field::Version | Field::Level | Field::Opcode | Field::ProcessorId,
                Value::UInt(number),
            ) => TypedValue::UInt8(number.try_into().ok()?),
            (
                Field::ProcessId
                | Field::ThreadId
                | Field::SessionId
                | Field::KernelTime
                | Field::UserTime
                | Field::ProcessorTime,
                Value::UInt(number),
            ) => TypedValue::UInt32(number.try_into().ok()?),
            // These are what they are.
            (_, Value::UInt(_) | Value::Hex(_) | Value::Time(_) | Value::Guid(_)) => return None,
            (_, Value::Sid(_) | Value::Binary(_)) => return None,
            (field, value) => value.with_text(|text| typed(field, text))?,
        };
        let kind = typed.value_type();
        typed.push(crate::Dialect::File, &mut self.values).ok()?;
        Some(kind)
    }

    /// A value in its own type. Nothing where it is text that a value can't hold.
    fn other_value(&mut self, value: Value<'_>) -> Option<ValueType> {
        let out = &mut self.values;
        Some(match value {
            Value::Null => return None,
            Value::Utf16(text) => {
                out.extend_from_slice(text.text_bytes());
                ValueType::String
            }
            Value::Int(number) => {
                out.extend_from_slice(&number.to_le_bytes());
                ValueType::Int64
            }
            Value::UInt(number) => {
                out.extend_from_slice(&number.to_le_bytes());
                ValueType::UInt64
            }
            Value::Hex(number) => {
                out.extend_from_slice(&number.to_le_bytes());
                ValueType::HexInt64
            }
            Value::Binary(bytes) => {
                out.extend_from_slice(bytes);
                ValueType::Binary
            }
            Value::Guid(guid) => {
                out.extend_from_slice(&guid.to_bytes());
                ValueType::Guid
            }
            Value::Time(time) => {
                out.extend_from_slice(&time.as_filetime().to_le_bytes());
                ValueType::FileTime
            }
            Value::Sid(sid) => {
                out.extend_from_slice(sid.as_bytes());
                ValueType::Sid
            }
            Value::Str(text) => {
                // Readers end a value at a NUL.
                if text.as_bytes().contains(&0) {
                    return None;
                }
                push_text(text, out);
                ValueType::String
            }
            // Numbers with fractions are written in more ways than one; their text is kept.
            Value::Ansi(_) | Value::Float32(_) | Value::Float64(_) | Value::Bool(_) => {
                self.text.clear();
                value.push::<Plain>(&mut self.text);
                let text = std::str::from_utf8(&self.text).ok()?;
                push_text(text, out);
                ValueType::String
            }
        })
    }

    /// The tree of which the steps are.
    fn element(&self) -> Element {
        let mut steps = &self.steps[..];
        let mut open: Vec<Element> = Vec::new();
        let mut root = Element::default();
        let mut attribute: Option<String> = None;
        let mut id = 0;
        while let Some((step, rest)) = steps.split_first() {
            steps = rest;
            let piece = match *step {
                OPEN => {
                    open.push(Element::new(take_text(&mut steps)));
                    continue;
                }
                ATTRIBUTE => {
                    attribute = Some(take_text(&mut steps));
                    continue;
                }
                TEXT => Piece::Text(take_text(&mut steps)),
                VALUE => {
                    let (kind, rest) = steps.split_first().unwrap_or((&0, &[]));
                    steps = rest;
                    id += 1;
                    Piece::value(id - 1, kind_of(*kind))
                }
                _ => {
                    let Some(mut element) = open.pop() else { continue };
                    element.closed_empty = *step == CLOSE_EMPTY;
                    match open.last_mut() {
                        Some(parent) => parent.content.push(Content::Element(element)),
                        None => root = element,
                    }
                    continue;
                }
            };
            let Some(element) = open.last_mut() else { continue };
            match attribute.take() {
                Some(name) => *element = std::mem::take(element).attribute_of(name, vec![piece]),
                None => element.content.push(Content::Piece(piece)),
            }
        }
        root
    }
}

/// The types that values are packed as.
fn kind_of(code: u8) -> ValueType {
    use ValueType as T;
    let all = [
        T::UInt8,
        T::UInt16,
        T::UInt32,
        T::Int64,
        T::UInt64,
        T::Binary,
        T::Guid,
        T::FileTime,
        T::Sid,
        T::HexInt64,
    ];
    all.into_iter().find(|kind| kind.code() == code).unwrap_or(T::String)
}

fn take_text(steps: &mut &[u8]) -> String {
    let Some((len, rest)) = steps.split_first_chunk() else { return String::new() };
    let len = (u32::from_le_bytes(*len) as usize).min(rest.len());
    let (text, rest) = rest.split_at(len);
    *steps = rest;
    String::from_utf8_lossy(text).into_owned()
}
