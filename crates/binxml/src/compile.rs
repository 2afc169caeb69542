//! From tokens to a [`Template`]: one pass over an element, in either dialect.

mod finish;
mod literals;

use quarry_event::text::{Escape, Json};
use quarry_event::{Event, Field};

use crate::cursor::{Cursor, Dialect, STRING_TYPE, token};
use crate::error::{Fault, Result};
use crate::limits::Limits;
use crate::template::{
    ContentSlot, Datum, DatumName, Dependencies, Literal, NameUse, Node, Piece, Place, Template,
    Text,
};

/// The children of `<System>` in the order in which Windows writes them, and their attributes.
const SYSTEM: [(&str, &[&str]); 14] = [
    ("Provider", &["Name", "Guid", "EventSourceName"]),
    ("EventID", &["Qualifiers"]),
    ("Version", &[]),
    ("Level", &[]),
    ("Task", &[]),
    ("Opcode", &[]),
    ("Keywords", &[]),
    ("TimeCreated", &["SystemTime"]),
    ("EventRecordID", &[]),
    ("Correlation", &["ActivityID", "RelatedActivityID"]),
    ("Execution", &["ProcessID", "ThreadID", "ProcessorID", "SessionID", "KernelTime", "UserTime"]),
    ("Channel", &[]),
    ("Computer", &[]),
    ("Security", &["UserID"]),
];

/// "No dependency" as a dependency id.
const NO_DEPENDENCY: u16 = 0xffff;

/// Compiles the element that comes next, after an optional fragment header. In a template
/// definition, elements have a dependency id and text can be substituted; elsewhere not.
pub(crate) fn compile(
    cursor: &mut Cursor<'_>,
    dialect: Dialect,
    place: Place,
    in_template: bool,
) -> Result<Template> {
    let start = cursor.at;
    while cursor.peek() == Some(token::FRAGMENT_HEADER) {
        cursor.take(4)?;
    }
    let mut compiler = Compiler { dialect, in_template, start, root: place, ..Compiler::default() };
    loop {
        let at = cursor.at;
        let token = cursor.u8()?;
        let open = !compiler.open.is_empty();
        match token & !token::MORE {
            token::OPEN_START_ELEMENT => compiler.element(cursor, token & token::MORE != 0)?,
            token::END_ELEMENT if open => compiler.close(false)?,
            token::VALUE_TEXT if open => {
                let text = literal_text(cursor)?;
                compiler.content_text(text, at)?;
            }
            token::CDATA_SECTION if open => {
                let text = counted_text(cursor)?;
                compiler.content_text(text, at)?;
            }
            token::CHAR_REF if open => {
                let c = cursor.u16()?;
                compiler.content_char(c, at)?;
            }
            token::ENTITY_REF if open => {
                let name = cursor.name(dialect)?;
                let literal = compiler.entity(&name)?;
                compiler.content(Piece::Literal(literal), at)?;
            }
            token::NORMAL_SUBSTITUTION | token::OPTIONAL_SUBSTITUTION if open => {
                let piece = compiler.substitution(cursor, token, at)?;
                compiler.content(piece, at)?;
            }
            // Processing instructions mean nothing in an event and are left out.
            token::PI_TARGET => {
                let name = cursor.name(dialect)?;
                compiler.used(&name);
            }
            token::PI_DATA => {
                counted_text(cursor)?;
            }
            _ => return Err(Fault::Token(token).at(at)),
        }
        if compiler.open.is_empty() && !compiler.nodes.is_empty() {
            return compiler.finish(cursor.at);
        }
    }
}

fn literal_text<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8]> {
    let at = cursor.at;
    match cursor.u8()? {
        STRING_TYPE => counted_text(cursor),
        other => Err(Fault::LiteralType(other).at(at)),
    }
}

fn counted_text<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8]> {
    let units = cursor.u16()?;
    cursor.take(2 * usize::from(units))
}

/// What an element is for an event's fields.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A child of `<System>`; whether it is the first of its name.
    SystemChild {
        first: bool,
    },
    /// In `<EventData>`.
    Data,
    Other,
}

/// An element that has begun.
struct Open {
    node: usize,
    name: Literal,
    role: Role,
    /// Where its children stand.
    inside: Place,
    /// Its index in `Compiler::elements`.
    element: usize,
    /// Its own text.
    content: Vec<Piece>,
    has_elements: bool,
    /// The text of its attribute `Name`.
    name_attribute: Text,
}

/// What can drop an element: its dependency, and optional substitutions in it.
struct ElementNeeds {
    parent: Option<usize>,
    slots: Vec<u16>,
}

#[derive(Default)]
struct Compiler {
    dialect: Dialect,
    in_template: bool,
    start: usize,
    root: Place,
    literals: String,
    scratch: Vec<u8>,
    nodes: Vec<Node>,
    pieces: Vec<Piece>,
    joined: Vec<(u32, u32)>,
    open: Vec<Open>,
    elements: Vec<ElementNeeds>,
    /// The element of each `Node::Open`, for its needs.
    opened: Vec<(usize, usize)>,
    /// The children of `<System>` that there were, by their first field.
    system_children: hashbrown::HashSet<Field>,
    fields: Vec<(Field, Text, usize)>,
    data: Vec<(Datum, usize)>,
    more: Vec<usize>,
    content_slots: Vec<ContentSlot>,
    content_slot_of: hashbrown::HashMap<u16, usize>,
    section_slots: Vec<u16>,
    systems: usize,
    /// The element `<System>`, if nothing before it in `<Event>` could be another one.
    system: Option<usize>,
    odd: bool,
    /// The slots in what is neither a field nor a value of `<EventData>`.
    layout_slots: Vec<u16>,
    /// Whether there is something in fields or data that is neither.
    has_odd_parts: bool,
    used_slots: hashbrown::HashSet<u16>,
    reuses: bool,
    names: Vec<NameUse>,
    /// How many of `SYSTEM`, and of the attributes of the last one, there can't be any more.
    system_passed: usize,
    attributes_passed: usize,
    dependencies: Vec<u16>,
}

impl Compiler {
    /// An element's start tag, and its end where it is empty.
    fn element(&mut self, cursor: &mut Cursor<'_>, has_attributes: bool) -> Result<()> {
        let at = cursor.at;
        if self.open.len() >= Limits::ELEMENT_DEPTH {
            return Err(Fault::Limit("elements inside one another").at(at));
        }
        let dependency = if self.in_template { cursor.u16()? } else { NO_DEPENDENCY };
        cursor.u32()?; // The element's length; the tokens say it too.
        let name = cursor.name(self.dialect)?;
        let literal = self.xml_name(&name)?;

        let place = self.open.last().map_or(self.root, |open| open.inside);
        self.mark_fixed_element(place, literal);
        let parent = self.open.last().map(|open| open.element);
        let element = self.elements.len();
        let mut slots = Vec::new();
        if dependency != NO_DEPENDENCY {
            slots.push(dependency);
        }
        self.elements.push(ElementNeeds { parent, slots });
        if let Some(open) = self.open.last_mut() {
            open.has_elements = true;
        }
        let (role, inside) = self.role(place, literal, element);
        if role == Role::Other && dependency != NO_DEPENDENCY {
            self.layout_slots.push(dependency);
        }
        let node = self.nodes.len();
        self.opened.push((node, element));
        self.push_node(
            Node::Open { name: literal, needs: Dependencies::default(), close: 0, repeats: false },
            at,
        )?;
        self.open.push(Open {
            node,
            name: literal,
            role,
            inside,
            element,
            content: Vec::new(),
            has_elements: false,
            name_attribute: Text::Absent,
        });
        if has_attributes {
            cursor.u32()?; // The attributes' length.
            self.attributes(cursor)?;
        }
        let at = cursor.at;
        match cursor.u8()? {
            token::CLOSE_START_ELEMENT => Ok(()),
            token::CLOSE_EMPTY_ELEMENT => self.close(true),
            other => Err(Fault::Token(other).at(at)),
        }
    }

    /// What an element in a place is for, and what place it makes for those inside.
    fn role(&mut self, place: Place, name: Literal, element: usize) -> (Role, Place) {
        let text = &self.literals[name.start as usize..name.end as usize];
        match place {
            Place::Document if text == "Event" => (Role::Other, Place::Event),
            Place::Document => {
                self.odd = true;
                (Role::Other, Place::Elsewhere)
            }
            Place::Event if text == "System" => {
                self.systems += 1;
                let is_slot = |piece: &Piece| matches!(piece, Piece::Slot { .. });
                let is_first = |event: &Open| !event.content.iter().any(is_slot);
                self.system = self.open.last().is_some_and(is_first).then_some(element);
                self.odd |= self.systems > 1 || self.root != Place::Document;
                (Role::Other, Place::System)
            }
            Place::Event if text == "EventData" => (Role::Other, Place::EventData),
            Place::System => {
                let known = Field::all().find(|field| field.element() == text);
                let first = known.is_some_and(|field| self.system_children.insert(field));
                self.odd |= known.is_some() && !first || self.root == Place::System;
                if !first {
                    self.push_odd_part(element);
                }
                (Role::SystemChild { first }, Place::Elsewhere)
            }
            Place::EventData => (Role::Data, Place::EventData),
            Place::Event => {
                let is_user_data = text == "UserData";
                self.more.push(element);
                (Role::Other, if is_user_data { Place::UserData } else { Place::Elsewhere })
            }
            Place::UserData | Place::Elsewhere => (Role::Other, Place::Elsewhere),
        }
    }

    /// An element of a field or of data that has something else.
    fn push_odd_part(&mut self, element: usize) {
        self.more.push(element);
        self.has_odd_parts = true;
    }

    /// Notes of an element's name, which was used last, whether it is fixed in its place.
    fn mark_fixed_element(&mut self, place: Place, name: Literal) {
        let text = &self.literals[name.start as usize..name.end as usize];
        let is_fixed = match place {
            Place::Document => text == "Event",
            Place::Event if text == "System" => self.root == Place::Document && self.systems == 0,
            // No other name in their places is as long (the schema of events).
            Place::Event => text == "EventData",
            Place::EventData => text == "Data",
            Place::System if self.root == Place::Document => {
                let left = &SYSTEM[self.system_passed..];
                let ahead = left.iter().position(|(element, _)| *element == text);
                // Behind one that isn't where it should be, none is sure.
                self.system_passed += ahead.map_or(left.len(), |ahead| ahead + 1);
                self.attributes_passed = 0;
                ahead.is_some()
            }
            Place::System | Place::UserData | Place::Elsewhere => false,
        };
        self.mark_last_name(is_fixed);
    }

    /// The same of an attribute's name, of the innermost element.
    fn mark_fixed_attribute(&mut self, name: Literal) {
        let text = &self.literals[name.start as usize..name.end as usize];
        let Some(open) = self.open.last() else { return };
        let is_fixed = match (open.role, self.system_passed.checked_sub(1)) {
            (Role::SystemChild { .. }, Some(child)) => {
                let (element, attributes) = SYSTEM[child];
                let left = &attributes[self.attributes_passed..];
                let ahead = left.iter().position(|attribute| *attribute == text);
                self.attributes_passed += ahead.map_or(left.len(), |ahead| ahead + 1);
                let is_child =
                    &self.literals[open.name.start as usize..open.name.end as usize] == element;
                is_child && ahead.is_some()
            }
            (Role::Data, _) => text == "Name",
            _ => open.inside == Place::Event && text == "xmlns",
        };
        self.mark_last_name(is_fixed);
    }

    fn mark_last_name(&mut self, is_fixed: bool) {
        if let Some(name) = self.names.last_mut() {
            name.is_fixed = is_fixed;
        }
    }

    fn attributes(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        let mut seen: Vec<Literal> = Vec::new();
        while let Some(token) = cursor.peek() {
            let at = cursor.at;
            if token & !token::MORE != token::ATTRIBUTE {
                break;
            }
            cursor.u8()?;
            let name = cursor.name(self.dialect)?;
            let name = self.xml_name(&name)?;
            self.mark_fixed_attribute(name);
            let pieces = self.attribute_pieces(cursor)?;
            if seen.len() >= Limits::ATTRIBUTES {
                return Err(Fault::Limit("attributes").at(at));
            }
            let same = |a: Literal, b: Literal| {
                self.literals[a.start as usize..a.end as usize]
                    == self.literals[b.start as usize..b.end as usize]
            };
            // A second attribute of one name would not be XML.
            if !seen.iter().any(|&other| same(other, name)) {
                seen.push(name);
                self.attribute(name, pieces, at)?;
            }
        }
        Ok(())
    }

    fn attribute_pieces(&mut self, cursor: &mut Cursor<'_>) -> Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        while let Some(token) = cursor.peek() {
            let at = cursor.at;
            let piece = match token & !token::MORE {
                token::VALUE_TEXT => {
                    cursor.u8()?;
                    let text = literal_text(cursor)?;
                    Piece::Literal(self.push_utf16(text, at)?)
                }
                token::CHAR_REF => {
                    cursor.u8()?;
                    let c = cursor.u16()?;
                    Piece::Literal(self.push_char(c))
                }
                token::ENTITY_REF => {
                    cursor.u8()?;
                    let name = cursor.name(self.dialect)?;
                    Piece::Literal(self.entity(&name)?)
                }
                token::NORMAL_SUBSTITUTION | token::OPTIONAL_SUBSTITUTION => {
                    cursor.u8()?;
                    self.substitution(cursor, token, at)?
                }
                _ => break,
            };
            push_merged(&mut pieces, piece);
            if pieces.len() > Limits::TEMPLATE_NODES {
                return Err(Fault::Limit("pieces of text").at(at));
            }
        }
        Ok(pieces)
    }

    fn attribute(&mut self, name: Literal, pieces: Vec<Piece>, at: usize) -> Result<()> {
        let start = self.pieces.len() as u32;
        self.pieces.extend_from_slice(&pieces);
        let end = self.pieces.len() as u32;
        self.push_node(Node::Attribute { name, start, end }, at)?;
        let names_data = self.open.last().is_some_and(|open| open.role == Role::Data)
            && &self.literals[name.start as usize..name.end as usize] == "Name";
        let text = match *pieces {
            // A name is given out as text, which only a joined one is.
            [Piece::Slot { .. }] if names_data => self.joined_text(&pieces, at)?,
            _ => self.text_of(&pieces, at)?,
        };
        if self.open.last().is_some_and(|open| open.role == Role::Other) {
            self.layout_slots.extend(pieces.iter().filter_map(Piece::slot));
        }
        let is_namespace = matches!(text, Text::Literal(text)
            if self.literals[text.start as usize..text.end as usize] == *Event::NAMESPACE);
        let name = &self.literals[name.start as usize..name.end as usize];
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        match open.role {
            Role::SystemChild { first } => {
                let element = &self.literals[open.name.start as usize..open.name.end as usize];
                match Field::at(element, Some(name)) {
                    Some(field) if first => self.fields.push((field, text, open.element)),
                    _ => {
                        let element = open.element;
                        self.push_odd_part(element);
                    }
                }
            }
            Role::Data if names_data => open.name_attribute = text,
            Role::Data => {
                let element = open.element;
                self.push_odd_part(element);
            }
            // The namespace is known; <System> and <EventData> have no attribute that is.
            Role::Other if open.inside == Place::Event && name == "xmlns" && is_namespace => {}
            Role::Other if !matches!(open.inside, Place::UserData | Place::Elsewhere) => {
                self.more.push(open.element);
            }
            Role::Other => {}
        }
        Ok(())
    }

    fn substitution(&mut self, cursor: &mut Cursor<'_>, token: u8, at: usize) -> Result<Piece> {
        if !self.in_template {
            return Err(Fault::StraySubstitution.at(at));
        }
        let slot = cursor.u16()?;
        cursor.u8()?; // The value's own type counts, not the one that was expected here.
        self.reuses |= !self.used_slots.insert(slot);
        Ok(Piece::Slot { slot, optional: token & !token::MORE == token::OPTIONAL_SUBSTITUTION })
    }

    fn content_text(&mut self, text: &[u8], at: usize) -> Result<()> {
        let literal = self.push_utf16(text, at)?;
        self.content(Piece::Literal(literal), at)
    }

    fn content_char(&mut self, c: u16, at: usize) -> Result<()> {
        let literal = self.push_char(c);
        self.content(Piece::Literal(literal), at)
    }

    /// A piece of the innermost element's content.
    fn content(&mut self, piece: Piece, at: usize) -> Result<()> {
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        if let Piece::Slot { slot, optional } = piece {
            if optional {
                self.elements[open.element].slots.push(slot);
            }
            if open.role == Role::Other {
                self.layout_slots.push(slot);
            }
            let new = self.content_slots.len();
            let index = *self.content_slot_of.entry(slot).or_insert(new);
            if index == new {
                let inside = open.inside;
                self.content_slots.push(ContentSlot { slot, inside, plain: false });
            }
            // Elements of fields, in data, or in two kinds of places.
            let known = &mut self.content_slots[index];
            known.plain |= open.inside == Place::System
                || open.role != Role::Other
                || open.inside != known.inside;
            if open.inside == Place::EventData && open.role == Role::Other {
                self.section_slots.push(slot);
            }
            // BinXML in <Event> or <EventData> itself may bring values along.
            if matches!(open.inside, Place::Event | Place::EventData) && open.role == Role::Other {
                self.data
                    .push((Datum::Nested { slot, needs: Dependencies::default() }, open.element));
            }
        }
        if let Piece::Literal(literal) = piece
            && open.inside == Place::EventData
            && open.role == Role::Other
            && !self.literals[literal.start as usize..literal.end as usize].trim().is_empty()
        {
            // Text beside the data.
            self.more.push(open.element);
            self.has_odd_parts = true;
        }
        push_merged(&mut open.content, piece);
        match (self.nodes.last_mut(), piece) {
            (Some(Node::Content(Piece::Literal(last))), Piece::Literal(next))
                if last.end == next.start =>
            {
                last.end = next.end;
                Ok(())
            }
            _ => self.push_node(Node::Content(piece), at),
        }
    }

    /// The innermost element's end.
    fn close(&mut self, empty: bool) -> Result<()> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let at = self.start;
        let close = self.nodes.len() as u32;
        self.push_node(Node::Close { name: open.name, empty }, at)?;
        if let Node::Open { close: place, repeats, .. } = &mut self.nodes[open.node] {
            *place = close;
            // There is one event only.
            let is_event = self.root == Place::Document && self.open.is_empty();
            let has_slots = open.content.iter().any(|piece| matches!(piece, Piece::Slot { .. }));
            *repeats = has_slots && !is_event;
        }
        let name = &self.literals[open.name.start as usize..open.name.end as usize];
        self.odd |= open.has_elements && open.role != Role::Other;
        match open.role {
            Role::SystemChild { first } => match Field::at(name, None) {
                Some(field) if first && !open.has_elements => {
                    let text = self.text_of(&open.content, at)?;
                    self.fields.push((field, text, open.element));
                }
                None if open.content.is_empty() && !open.has_elements => {}
                _ if first => self.push_odd_part(open.element),
                _ => {}
            },
            Role::Data if !open.has_elements => {
                let element = (name != "Data").then_some(open.name);
                let name = self.datum_name(open.name_attribute, element);
                let text = self.text_of(&open.content, at)?;
                let needs = Dependencies::default();
                self.data.push((Datum::Value { name, text, needs }, open.element));
            }
            _ => {}
        }
        Ok(())
    }

    fn datum_name(&self, attribute: Text, element: Option<Literal>) -> DatumName {
        let literal = match (attribute, element) {
            (Text::Literal(name), _) if name.start != name.end => name,
            (Text::Absent | Text::Empty | Text::Literal(_), Some(name)) => name,
            (Text::Absent | Text::Empty | Text::Literal(_), None) => return DatumName::Unnamed,
            _ => return DatumName::Unknown { attribute, element },
        };
        let text = &self.literals[literal.start as usize..literal.end as usize];
        let mut json = b",\"".to_vec();
        Json::push_str(text, &mut json);
        json.extend_from_slice(b"\":\"");
        let json = String::from_utf8(json).unwrap_or_default();
        DatumName::Known { text: text.into(), json: json.into() }
    }

    fn text_of(&mut self, pieces: &[Piece], at: usize) -> Result<Text> {
        Ok(match *pieces {
            [] => Text::Empty,
            [Piece::Literal(literal)] => Text::Literal(literal),
            [Piece::Slot { slot, .. }] => Text::Slot(slot),
            _ => self.joined_text(pieces, at)?,
        })
    }

    fn joined_text(&mut self, pieces: &[Piece], at: usize) -> Result<Text> {
        let start = self.pieces.len() as u32;
        self.pieces.extend_from_slice(pieces);
        self.joined.push((start, self.pieces.len() as u32));
        let last = self.joined.len() - 1;
        let last = u16::try_from(last).map_err(|_| Fault::Limit("pieces of text").at(at))?;
        Ok(Text::Joined(last))
    }

    fn push_node(&mut self, node: Node, at: usize) -> Result<()> {
        if self.nodes.len() >= Limits::TEMPLATE_NODES || self.pieces.len() >= Limits::TEMPLATE_NODES
        {
            return Err(Fault::Limit("elements in a template").at(at));
        }
        self.nodes.push(node);
        Ok(())
    }
}

fn push_merged(pieces: &mut Vec<Piece>, piece: Piece) {
    match (pieces.last_mut(), piece) {
        (Some(Piece::Literal(last)), Piece::Literal(next)) if last.end == next.start => {
            last.end = next.end;
        }
        _ => pieces.push(piece),
    }
}
