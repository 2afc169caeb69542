//! The members `user_data` and `other`, and the message of a forwarded event: what only a walk
//! through the whole event tells.
//!
//! The walk keeps what has no member of its own: all of `<UserData>`, `<RenderingInfo>` and other
//! elements, and of `<System>` and `<EventData>` the elements and attributes that are not known.
//! What is kept lies in one buffer, escaped for its place, as nodes in the order of the document.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::ops::Range;

use super::put;
use crate::layout::MARK;
use crate::text::Escape;
use crate::{Field, FieldSource, Sink, Value};

/// How deep elements become objects; below, an element is the text inside it. Each level can be an
/// object in an array, and readers of JSON stop at 128 levels.
const MAX_DEPTH: usize = 48;

/// Elements whose repeated names are looked for one by one; above, in a map.
const MAX_SCANNED: usize = 32;

/// The name of text beside attributes and elements.
const TEXT: &[u8] = b"#text";

/// The namespace of events, which every event has.
const NAMESPACE: &[u8] = b"http://schemas.microsoft.com/win/2004/08/events/event";

/// What was kept of an event.
#[derive(Default, Debug)]
pub(in super::super) struct Tree {
    text: Vec<u8>,
    nodes: Vec<Node>,
    open: Vec<usize>,
    /// How many elements are open outside the outermost that is kept whole.
    whole: Option<usize>,
    /// The child of `<Event>` and the grandchild that the walk is in.
    section: Section,
    system_child: &'static str,
    /// Whether text that follows belongs to the text read last.
    in_text: bool,
    /// Whether marks stand for the values.
    has_marks: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Section {
    #[default]
    Other,
    System,
    Data,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Element,
    Attribute,
    Text,
}

#[derive(Debug)]
struct Node {
    kind: Kind,
    /// The name, an attribute's after `@`, text's is `#text`.
    name: Range<usize>,
    /// The text of an attribute or text.
    value: Range<usize>,
    /// Whether there is something in it to show.
    keep: bool,
    /// Whether it is text that is white space only.
    blank: bool,
    /// The node after the last one inside.
    end: usize,
}

impl Tree {
    /// Reads an event, and forgets the one before.
    pub(in super::super) fn read<E: Escape, S: FieldSource>(&mut self, source: &S) {
        self.begin(false);
        source.walk(&mut Reader::<E> { tree: self, escape: PhantomData });
        self.end();
    }

    /// Reads an event whose layout is known, with marks in the place of its values. Numbers in `<System>`
    /// are taken for such as their members can show.
    pub(super) fn read_layout<E: Escape, S: FieldSource>(&mut self, source: &S) {
        self.begin(true);
        source.walk_layout(&mut Reader::<E> { tree: self, escape: PhantomData });
        self.end();
    }

    fn begin(&mut self, has_marks: bool) {
        self.text.clear();
        self.nodes.clear();
        self.open.clear();
        self.whole = None;
        self.in_text = false;
        self.has_marks = has_marks;
        self.text.extend_from_slice(TEXT);
    }

    fn end(&mut self) {
        // A walk that ended early leaves elements open.
        while let Some(open) = self.open.pop() {
            self.nodes[open].end = self.nodes.len();
        }
    }

    /// Whether all that is made of the tree is the same whatever the values' text is: not so where it
    /// matters if that is blank.
    pub(super) fn is_settled(&self) -> bool {
        let mut mark = [0; 4];
        let mark = MARK.encode_utf8(&mut mark).as_bytes();
        let has_mark = |node: usize| {
            let Node { kind, value, .. } = &self.nodes[node];
            *kind == Kind::Text
                && self.text[value.clone()].windows(mark.len()).any(|bytes| bytes == mark)
        };
        let is_mixed = |node: &usize| {
            self.children(*node).any(|child| self.nodes[child].kind == Kind::Element)
                && self.children(*node).any(has_mark)
        };
        let mut elements = (0..self.nodes.len()).filter(|&n| self.nodes[n].kind == Kind::Element);
        !elements.any(|node| is_mixed(&node))
            && !self.sections(b"EventData").any(|data| self.children(data).any(has_mark))
    }

    /// Writes what is inside `<UserData>`, or null.
    pub(super) fn user_data(&self, out: &mut Vec<u8>) {
        let mut found = self.sections(b"UserData");
        let Some(first) = found.next() else { return put(b"null", out) };
        match found.next() {
            None => self.value(first, 0, out),
            Some(second) => {
                self.array([first, second].into_iter().chain(found), 0, out);
            }
        }
    }

    /// The text of `<RenderingInfo><Message>`, which a forwarded event carries.
    pub(in super::super) fn message(&self) -> Option<&[u8]> {
        let info = self.sections(b"RenderingInfo").next()?;
        let message = self.children(info).find(|&child| self.is_message(child))?;
        let text = &self.nodes[self.only_text(message)?].value;
        (!text.is_empty()).then(|| &self.text[text.clone()])
    }

    /// Calls `visit` with the name and the text of each element in `<UserData>` that has one text
    /// and no element inside, in the order of the document.
    pub(in super::super) fn each_leaf(&self, mut visit: impl FnMut(&[u8], &[u8])) {
        for section in self.sections(b"UserData") {
            for node in section + 1..self.nodes[section].end {
                if let Some(text) = self.only_text(node) {
                    visit(self.name(node), &self.text[self.nodes[text].value.clone()]);
                }
            }
        }
    }

    /// Writes what is kept but for `<UserData>`, as members of an object whose inside begins at
    /// `inside`. A message that was used already is left out.
    pub(super) fn others(&self, message_used: bool, inside: usize, out: &mut Vec<u8>) {
        if self.nodes.is_empty() {
            return;
        }
        let is_info = |node: usize| message_used && self.name(node) == b"RenderingInfo";
        let shown: Vec<usize> = self
            .children(0)
            .filter(|&node| self.nodes[node].keep && self.nodes[node].kind != Kind::Text)
            .filter(|&node| self.name(node) != b"UserData")
            .filter(|&node| !(is_info(node) && self.children(node).all(|c| self.is_message(c))))
            .collect();
        self.members(&shown, out.len() == inside, out, &|tree, node, out| {
            if is_info(node) {
                let rest: Vec<usize> =
                    tree.children(node).filter(|&child| !tree.is_message(child)).collect();
                tree.object(&rest, 1, out);
            } else {
                tree.value(node, 1, out);
            }
        });
    }

    fn name(&self, node: usize) -> &[u8] {
        &self.text[self.nodes[node].name.clone()]
    }

    fn is_message(&self, node: usize) -> bool {
        self.nodes[node].kind == Kind::Element && self.name(node) == b"Message"
    }

    /// The children of `<Event>` that have a name.
    fn sections<'t>(&'t self, name: &'static [u8]) -> impl Iterator<Item = usize> + 't {
        let root = (!self.nodes.is_empty()).then_some(0);
        root.into_iter()
            .flat_map(|root| self.children(root))
            .filter(move |&node| self.nodes[node].kind == Kind::Element && self.name(node) == name)
    }

    fn children(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        let end = self.nodes[node].end;
        let first = Some(node + 1).filter(|&first| first < end);
        std::iter::successors(first, move |&child| {
            Some(self.nodes[child].end).filter(|&next| next < end)
        })
    }

    /// The text of an element that has one text and no element inside.
    fn only_text(&self, node: usize) -> Option<usize> {
        if self.nodes[node].kind != Kind::Element {
            return None;
        }
        let mut inside =
            self.children(node).filter(|&child| self.nodes[child].kind != Kind::Attribute);
        let text = inside.next().filter(|&child| self.nodes[child].kind == Kind::Text)?;
        inside.next().is_none().then_some(text)
    }

    /// Writes a node's value: a string, or an object for an element with more than text.
    fn value(&self, node: usize, depth: usize, out: &mut Vec<u8>) {
        if self.nodes[node].kind != Kind::Element {
            out.push(b'"');
            put(&self.text[self.nodes[node].value.clone()], out);
            out.push(b'"');
            return;
        }
        let is_shown = |node: &Node| node.keep || node.kind == Kind::Attribute;
        let inside = || self.children(node).filter(|&child| is_shown(&self.nodes[child]));
        if depth >= MAX_DEPTH || inside().all(|child| self.nodes[child].kind == Kind::Text) {
            return self.all_text(node, out);
        }
        // Blanks between elements are for people who read XML.
        let elements = inside().any(|child| self.nodes[child].kind == Kind::Element);
        let shown: Vec<usize> =
            inside().filter(|&child| !(elements && self.nodes[child].blank)).collect();
        self.object(&shown, depth + 1, out);
    }

    /// Writes all text inside an element, from whatever depth.
    fn all_text(&self, node: usize, out: &mut Vec<u8>) {
        out.push(b'"');
        for inside in &self.nodes[node + 1..self.nodes[node].end] {
            if inside.kind == Kind::Text {
                put(&self.text[inside.value.clone()], out);
            }
        }
        out.push(b'"');
    }

    fn array(&self, nodes: impl Iterator<Item = usize>, depth: usize, out: &mut Vec<u8>) {
        for (i, node) in nodes.enumerate() {
            out.push(if i == 0 { b'[' } else { b',' });
            self.value(node, depth, out);
        }
        out.push(b']');
    }

    fn object(&self, nodes: &[usize], depth: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        self.members(nodes, true, out, &|tree, node, out| tree.value(node, depth, out));
        out.push(b'}');
    }

    /// Writes nodes as members of an object, those of one name as an array at the first's place.
    fn members(
        &self,
        nodes: &[usize],
        mut first: bool,
        out: &mut Vec<u8>,
        value: &dyn Fn(&Tree, usize, &mut Vec<u8>),
    ) {
        let mut groups: HashMap<&[u8], Vec<usize>> = HashMap::new();
        let few = nodes.len() <= MAX_SCANNED;
        if !few {
            for &node in nodes {
                groups.entry(self.name(node)).or_default().push(node);
            }
        }
        for (i, &node) in nodes.iter().enumerate() {
            let name = self.name(node);
            let same: &mut dyn Iterator<Item = usize> = if few {
                if nodes[..i].iter().any(|&before| self.name(before) == name) {
                    continue;
                }
                &mut nodes[i..].iter().copied().filter(|&other| self.name(other) == name)
            } else {
                match groups.remove(name) {
                    Some(group) => &mut group.into_iter(),
                    None => continue,
                }
            };
            put(if first { b"\"" } else { b",\"" }, out);
            first = false;
            put(name, out);
            put(b"\":", out);
            let value_at = out.len();
            let mut count = 0;
            for node in same {
                if count > 0 {
                    out.push(b',');
                }
                value(self, node, out);
                count += 1;
            }
            if count > 1 {
                out.insert(value_at, b'[');
                out.push(b']');
            }
        }
    }

    fn add(&mut self, kind: Kind, name: Range<usize>, value: Range<usize>, keep: bool) {
        let end = self.nodes.len() + 1;
        self.in_text = kind == Kind::Text;
        self.nodes.push(Node { kind, name, value, keep, blank: false, end });
        if keep
            && kind != Kind::Element
            && let Some(&parent) = self.open.last()
        {
            self.nodes[parent].keep = true;
        }
    }

    /// Whether the walk is in an element of `<System>` that has a place among the fields, and the
    /// text is of a kind that the field's member shows.
    fn is_shown(&self, attribute: Option<&str>, text: Range<usize>) -> bool {
        let Some(field) = Field::at(self.system_child, attribute) else { return false };
        let text = std::str::from_utf8(&self.text[text]).unwrap_or_default();
        self.has_marks
            || !is_number(field)
            || text.is_empty()
            || Value::Str(text).as_u64().is_some()
    }

    /// Keeps the text of an element of `<EventData>` that has ended, if it stands beside elements: of
    /// such an element the data are those of the elements in it.
    fn settle_mixed(&mut self, node: usize) {
        let is_section = self.open.len() == 1;
        let inside: Vec<usize> = self.children(node).collect();
        if !is_section && inside.iter().all(|&child| self.nodes[child].kind != Kind::Element) {
            return;
        }
        for child in inside {
            if self.nodes[child].kind == Kind::Text && !self.nodes[child].blank {
                self.nodes[child].keep = true;
                self.nodes[node].keep = true;
            }
        }
    }

    /// Keeps the text of a child of `<System>` that has ended, unless a field shows it.
    fn settle_text(&mut self, node: usize) {
        let inside: Vec<usize> = self
            .children(node)
            .filter(|&child| self.nodes[child].kind != Kind::Attribute)
            .collect();
        if let [text] = *inside
            && self.is_shown(None, self.nodes[text].value.clone())
        {
            return;
        }
        for child in inside {
            if self.nodes[child].kind == Kind::Text {
                self.nodes[child].keep = true;
                self.nodes[node].keep = true;
            }
        }
    }
}

/// The fields whose members are numbers.
fn is_number(field: Field) -> bool {
    use Field::*;
    matches!(
        field,
        EventId
            | Qualifiers
            | Version
            | Level
            | Task
            | Opcode
            | RecordId
            | ProcessId
            | ThreadId
            | ProcessorId
            | SessionId
            | KernelTime
            | UserTime
            | ProcessorTime
    )
}

fn is_blank(value: &Value<'_>) -> bool {
    match value {
        Value::Utf16(text) => text.chars().all(char::is_whitespace),
        Value::Str(text) => text.chars().all(char::is_whitespace),
        Value::Ansi(text) => text.decode().chars().all(char::is_whitespace),
        _ => false,
    }
}

struct Reader<'t, E> {
    tree: &'t mut Tree,
    escape: PhantomData<E>,
}

impl<'a, E: Escape> Sink<'a> for Reader<'_, E> {
    fn open(&mut self, name: &'a str) {
        let tree = &mut *self.tree;
        let depth = tree.open.len();
        if tree.whole.is_none() {
            match (depth, tree.section) {
                (0, _) => {}
                (1, _) => {
                    tree.section = match name {
                        "System" => Section::System,
                        "EventData" => Section::Data,
                        _ => Section::Other,
                    };
                    if tree.section == Section::Other {
                        tree.whole = Some(depth);
                    }
                }
                (2, Section::System) => {
                    match Field::all().map(Field::element).find(|&element| element == name) {
                        Some(element) => tree.system_child = element,
                        None => tree.whole = Some(depth),
                    }
                }
                (_, Section::System) => tree.whole = Some(depth),
                _ => {}
            }
        }
        let start = tree.text.len();
        E::push_str(name, &mut tree.text);
        let index = tree.nodes.len();
        let keep = tree.whole.is_some();
        tree.add(Kind::Element, start..tree.text.len(), 0..0, keep);
        tree.open.push(index);
    }

    fn attribute(&mut self, name: &'a str, pieces: &[Value<'a>]) {
        let tree = &mut *self.tree;
        let start = tree.text.len();
        tree.text.push(b'@');
        E::push_str(name, &mut tree.text);
        let middle = tree.text.len();
        pieces.iter().for_each(|piece| piece.push::<E>(&mut tree.text));
        let end = tree.text.len();
        // A value's name says nothing by itself.
        let mut keep = true;
        if tree.whole.is_none() {
            match (tree.open.len(), tree.section) {
                (3, Section::System) if tree.is_shown(Some(name), middle..end) => return,
                (3.., Section::Data) => keep = name != "Name",
                _ => {}
            }
        }
        if tree.open.len() == 1 && name == "xmlns" && tree.text[middle..] == *NAMESPACE {
            return;
        }
        tree.add(Kind::Attribute, start..middle, middle..end, keep);
    }

    fn text(&mut self, value: Value<'a>) {
        let tree = &mut *self.tree;
        if value.is_empty() {
            return;
        }
        // Text around the sections is line ends. Whether a field shows the text, or the data do, is
        // known when all of it is here.
        let whole = tree.whole.is_some();
        if !whole
            && !matches!(
                (tree.open.len(), tree.section),
                (3, Section::System) | (2.., Section::Data)
            )
        {
            return;
        }
        let start = tree.text.len();
        value.push::<E>(&mut tree.text);
        let end = tree.text.len();
        // An element's text can come in pieces.
        let in_text = tree.in_text;
        if !in_text {
            tree.add(Kind::Text, 0..TEXT.len(), start..end, whole);
        }
        if let Some(text) = tree.nodes.last_mut() {
            text.value.end = end;
            text.blank = (text.blank || !in_text) && is_blank(&value);
        }
    }

    fn close(&mut self, _name: &'a str, _empty: bool) {
        let tree = &mut *self.tree;
        let Some(node) = tree.open.pop() else { return };
        tree.nodes[node].end = tree.nodes.len();
        tree.in_text = false;
        if tree.whole.is_none() && (tree.open.len(), tree.section) == (2, Section::System) {
            tree.settle_text(node);
        }
        if tree.whole.is_none() && tree.section == Section::Data {
            tree.settle_mixed(node);
        }
        if tree.nodes[node].keep
            && let Some(&parent) = tree.open.last()
        {
            tree.nodes[parent].keep = true;
        }
        if tree.whole == Some(tree.open.len()) {
            tree.whole = None;
        }
    }
}
