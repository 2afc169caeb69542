//! What to write: elements, templates, instances.

use std::sync::Arc;

use quarry_event::Guid;

use crate::limits::Limits;
use crate::name::is_name;
use crate::write::encode::definition;
use crate::write::{TypedValue, ValueType, WriteError};

/// One event, or the BinXML in a value (MS-EVEN6 2.2.12, Fragment).
#[derive(Clone, PartialEq, Debug)]
pub enum Fragment<'a> {
    /// An element that is in no template: its text is literal.
    Element(Element),
    /// A template with values.
    Instance(Instance<'a>),
}

/// A template with values (TemplateInstance).
#[derive(Clone, PartialEq, Debug)]
pub struct Instance<'a> {
    /// The template.
    pub template: Template,
    /// The values, by their substitution id. There may be more than the template uses.
    pub values: Vec<TypedValue<'a>>,
}

/// An element (Element).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Element {
    /// The name, with a prefix if it has one.
    pub name: String,
    /// The attributes, namespace declarations among them.
    pub attributes: Vec<Attribute>,
    /// The substitution id of a value without which there is no element (DependencyId). In
    /// templates only.
    pub depends_on: Option<u16>,
    /// What is inside.
    pub content: Vec<Content>,
    /// Whether an element with nothing inside is written `<a/>` rather than `<a></a>`.
    pub closed_empty: bool,
}

/// An attribute (Attribute).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attribute {
    /// The name.
    pub name: String,
    /// The value. A reader leaves out an attribute without text (2.2.12.2).
    pub value: Vec<Piece>,
}

/// A piece of text (CharData, CharRef, EntityRef).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// Literal text, of any length. A NUL in it is written as a character reference, since
    /// readers end text at one.
    Text(String),
    /// A character by its number.
    CharRef(u16),
    /// An entity of XML by its name: `amp`, `lt`, `gt`, `quot`, `apos`.
    EntityRef(String),
    /// A value. In templates only.
    Substitution {
        /// Its place among the instance's values.
        id: u16,
        /// The type that values are expected to have. The value's own type counts for readers.
        expected: ValueType,
        /// Whether NULL drops the attribute or element (3.1.4.7.2).
        optional: bool,
    },
}

/// What can be inside an element (Content).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// Text.
    Piece(Piece),
    /// Text in a CDATA section, up to 65,535 UTF-16 units.
    CData(String),
    /// An element.
    Element(Element),
    /// A processing instruction.
    Pi {
        /// Its name.
        target: String,
        /// Its text, up to 65,535 UTF-16 units.
        data: String,
    },
}

/// A template definition (TemplateDef), checked. It is cheap to clone.
#[derive(Clone)]
pub struct Template(Arc<Inner>);

struct Inner {
    guid: Guid,
    root: Element,
    waste: Vec<u8>,
    /// The values that the definition uses: one more than the highest substitution id.
    values: usize,
    /// The identifier, the length and the definition as they stand on the wire.
    wire: Box<[u8]>,
}

impl Template {
    /// A template.
    ///
    /// # Errors
    /// A name that XML doesn't allow, an attribute that is there twice, or a bound of
    /// [`Limits`](crate::Limits) that is passed.
    pub fn new(guid: Guid, root: Element) -> Result<Self, WriteError> {
        Template::with_waste(guid, root, Vec::new())
    }

    /// A template whose length counts bytes after its end that mean nothing, as definitions
    /// from Windows sometimes have (the example in MS-EVEN6 4.8).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_waste(guid: Guid, root: Element, waste: Vec<u8>) -> Result<Self, WriteError> {
        let values = Checker { in_template: true, ..Checker::default() }.check(&root)?;
        let mut wire = Vec::new();
        definition(guid, &root, &waste, &mut wire)?;
        Ok(Template(Arc::new(Inner { guid, root, waste, values, wire: wire.into() })))
    }

    /// The identifier.
    pub fn guid(&self) -> Guid {
        self.0.guid
    }

    /// The element that the template is.
    pub fn root(&self) -> &Element {
        &self.0.root
    }

    /// How many values an instance has to have.
    pub fn values(&self) -> usize {
        self.0.values
    }

    /// What tells a template and its clones from all others that there are at a time.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    pub(crate) fn waste(&self) -> &[u8] {
        &self.0.waste
    }

    /// The identifier, the length and the definition as they stand on the wire.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.0.wire
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.0.wire == other.0.wire
    }
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Template").field("guid", &self.0.guid).field("root", &self.0.root).finish()
    }
}

impl Element {
    /// An element with a name and nothing inside.
    pub fn new(name: impl Into<String>) -> Self {
        Element { name: name.into(), ..Element::default() }
    }

    /// With an attribute of literal text.
    pub fn attribute(self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.attribute_of(name, vec![Piece::Text(text.into())])
    }

    /// With an attribute.
    pub fn attribute_of(mut self, name: impl Into<String>, value: Vec<Piece>) -> Self {
        self.attributes.push(Attribute { name: name.into(), value });
        self
    }

    /// With an element inside, after what is there.
    pub fn child(mut self, child: Element) -> Self {
        self.content.push(Content::Element(child));
        self
    }

    /// With literal text inside, after what is there.
    pub fn text(self, text: impl Into<String>) -> Self {
        self.piece(Piece::Text(text.into()))
    }

    /// With a piece of text inside, after what is there.
    pub fn piece(mut self, piece: Piece) -> Self {
        self.content.push(Content::Piece(piece));
        self
    }

    /// Not there when the value is NULL.
    pub fn depends_on(mut self, id: u16) -> Self {
        self.depends_on = Some(id);
        self
    }

    /// Written `<a/>` when there is nothing inside.
    pub fn closed_empty(mut self) -> Self {
        self.closed_empty = true;
        self
    }

    /// Sees that it can be written outside of a template.
    pub(crate) fn check_loose(&self) -> Result<(), WriteError> {
        Checker::default().check(self).map(drop)
    }
}

impl Piece {
    /// A value, an empty one included.
    pub fn value(id: u16, expected: ValueType) -> Self {
        Piece::Substitution { id, expected, optional: false }
    }

    /// A value that drops the attribute or element when it is NULL.
    pub fn optional(id: u16, expected: ValueType) -> Self {
        Piece::Substitution { id, expected, optional: true }
    }
}

/// Sees that an element can be written and read again, and counts the values that it uses.
#[derive(Default)]
struct Checker {
    in_template: bool,
    values: usize,
    nodes: usize,
    text: usize,
}

impl Checker {
    fn check(mut self, root: &Element) -> Result<usize, WriteError> {
        self.element(root, 1)?;
        Ok(self.values)
    }

    fn element(&mut self, element: &Element, depth: usize) -> Result<(), WriteError> {
        if depth > Limits::ELEMENT_DEPTH {
            return Err(WriteError::Limit("elements inside one another"));
        }
        self.node()?;
        name(&element.name)?;
        self.text(element.name.len())?;
        if let Some(id) = element.depends_on {
            self.uses(id)?;
        }
        if element.attributes.len() > Limits::ATTRIBUTES {
            return Err(WriteError::Limit("attributes"));
        }
        let mut names = hashbrown::HashSet::new();
        for attribute in &element.attributes {
            name(&attribute.name)?;
            self.text(attribute.name.len())?;
            if !names.insert(&attribute.name) {
                return Err(WriteError::DuplicateAttribute(attribute.name.clone()));
            }
            self.node()?;
            for piece in &attribute.value {
                // A reader keeps pieces of an attribute twice when they are several.
                self.node()?;
                self.piece(piece)?;
            }
        }
        for content in &element.content {
            match content {
                Content::Piece(piece) => self.piece(piece)?,
                Content::CData(text) => {
                    self.node()?;
                    self.text(text.len())?;
                }
                Content::Element(child) => self.element(child, depth + 1)?,
                Content::Pi { target, .. } => name(target)?,
            }
        }
        // The element's end.
        self.node()
    }

    fn piece(&mut self, piece: &Piece) -> Result<(), WriteError> {
        self.node()?;
        match piece {
            Piece::Substitution { id, .. } => self.uses(*id),
            Piece::EntityRef(entity) => {
                name(entity)?;
                self.text(entity.len() + 2)
            }
            Piece::Text(text) => self.text(text.len()),
            Piece::CharRef(_) => self.text(3),
        }
    }

    fn text(&mut self, len: usize) -> Result<(), WriteError> {
        self.text += len;
        if self.text > Limits::TEMPLATE_TEXT {
            return Err(WriteError::Limit("literal text"));
        }
        Ok(())
    }

    fn uses(&mut self, id: u16) -> Result<(), WriteError> {
        if !self.in_template {
            return Err(WriteError::StraySubstitution);
        }
        // 0xffff says that there is no dependency.
        if id == u16::MAX {
            return Err(WriteError::Limit("values"));
        }
        self.values = self.values.max(usize::from(id) + 1);
        Ok(())
    }

    fn node(&mut self) -> Result<(), WriteError> {
        self.nodes += 1;
        if self.nodes > Limits::TEMPLATE_NODES {
            return Err(WriteError::Limit("elements in a template"));
        }
        Ok(())
    }
}

fn name(name: &str) -> Result<(), WriteError> {
    if !is_name(name) {
        return Err(WriteError::Name(name.to_owned()));
    }
    if name.len() > usize::from(u16::MAX) {
        return Err(WriteError::Limit("characters in a name"));
    }
    Ok(())
}
