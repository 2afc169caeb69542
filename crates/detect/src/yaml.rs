//! YAML of unknown origin as a tree, within bounds.
//!
//! Only what Sigma needs: scalars keep whether they were quoted, since `'4688'` is text and `4688`
//! a number. Aliases are expanded and count against the bounds on nodes and on bytes, so that an
//! alias bomb is an error, not memory.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle};

/// The most bytes of a document stream.
pub const MAX_BYTES: usize = 1 << 20;
/// The most nodes of a document stream, those of expanded aliases included.
const MAX_NODES: usize = 100_000;
/// The most bytes of the scalars of a document stream, those of expanded aliases included.
const MAX_TEXT: usize = 4 * MAX_BYTES;
/// How deep nodes may be in each other.
const MAX_DEPTH: usize = 32;

/// A node and the line where it begins, from 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// A scalar's text, and whether it was written without quotes.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// In the order of the document.
    Map(Vec<(Node, Node)>),
}

/// What an unquoted scalar is (YAML 1.2, section 10.3.2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scalar<'n> {
    Null,
    Bool(bool),
    /// A number, by its text in decimal.
    Number(&'n str),
    Text(&'n str),
}

/// Why a text is no YAML that is read here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) line: usize,
    pub(crate) why: String,
}

impl Node {
    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        let Kind::Map(entries) = &self.kind else { return None };
        entries.iter().find(|(key, _)| key.text() == Some(name)).map(|(_, value)| value)
    }

    /// A scalar's text.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// A scalar by its type.
    pub(crate) fn scalar(&self) -> Option<Scalar<'_>> {
        let Kind::Scalar { text, plain } = &self.kind else { return None };
        if !plain {
            return Some(Scalar::Text(text));
        }
        Some(match text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
            "true" | "True" | "TRUE" => Scalar::Bool(true),
            "false" | "False" | "FALSE" => Scalar::Bool(false),
            text if is_number(text) => Scalar::Number(text),
            text => Scalar::Text(text),
        })
    }

    /// The items of a list, or the node itself as the only one.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    /// How many nodes it is, and how many bytes of text they have.
    fn weight(&self) -> (usize, usize) {
        let sum = |(nodes, bytes): (usize, usize), node: &Node| {
            let (more, longer) = node.weight();
            (nodes + more, bytes + longer)
        };
        match &self.kind {
            Kind::Scalar { text, .. } => (1, text.len()),
            Kind::List(items) => items.iter().fold((1, 0), sum),
            Kind::Map(entries) => entries.iter().fold((1, 0), |all, (k, v)| sum(sum(all, k), v)),
        }
    }

    fn depth(&self) -> usize {
        1 + match &self.kind {
            Kind::Scalar { .. } => 0,
            Kind::List(items) => items.iter().map(Node::depth).max().unwrap_or(0),
            Kind::Map(entries) => entries.iter().map(|(_, v)| v.depth()).max().unwrap_or(0),
        }
    }
}

/// Whether a plain scalar is a decimal number.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_digits(whole) && is_digits(part)
}

/// Reads all documents of a stream.
pub(crate) fn documents(text: &str) -> Result<Vec<Node>, Wrong> {
    if text.len() > MAX_BYTES {
        let why = format!("it has more than {MAX_BYTES} bytes");
        return Err(Wrong { line: 1, why });
    }
    let mut reader = Reader {
        open: Vec::new(),
        done: Vec::new(),
        anchors: HashMap::new(),
        left: MAX_NODES,
        bytes_left: MAX_TEXT,
    };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Wrong {
            line: error.marker().line(),
            why: format!("it is no YAML: {}", error.info()),
        })?;
        reader.take(event, span.start.line())?;
    }
    Ok(reader.done)
}

/// A list or map that has not ended.
struct Open {
    line: usize,
    anchor: usize,
    /// Of a map, keys and values in turn.
    nodes: Vec<Node>,
    is_map: bool,
}

struct Reader {
    open: Vec<Open>,
    done: Vec<Node>,
    anchors: HashMap<usize, Node>,
    /// How many nodes there may be yet.
    left: usize,
    /// How many bytes of text there may be yet.
    bytes_left: usize,
}

impl Reader {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Wrong> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let text = Cow::into_owned(text);
                self.add(Node { line, kind: Kind::Scalar { text, plain } }, anchor)
            }
            Event::SequenceStart(anchor, _) => self.begin(line, anchor, false),
            Event::MappingStart(anchor, _) => self.begin(line, anchor, true),
            Event::SequenceEnd | Event::MappingEnd => self.end(line),
            Event::Alias(anchor) => {
                let wrong = |why: &str| Wrong { line, why: why.to_owned() };
                let node = self.anchors.get(&anchor).ok_or_else(|| {
                    wrong("an alias stands inside of what it stands for, or for nothing")
                })?;
                if self.open.len() + node.depth() > MAX_DEPTH {
                    return Err(too_deep(line));
                }
                let weight = node.weight();
                // Before it is copied.
                self.spend(weight, line)?;
                let node = self.anchors.get(&anchor).cloned();
                self.place(node.ok_or_else(|| wrong("an alias stands for nothing"))?);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, line: usize, anchor: usize, is_map: bool) -> Result<(), Wrong> {
        if self.open.len() + 1 >= MAX_DEPTH {
            return Err(too_deep(line));
        }
        self.open.push(Open { line, anchor, nodes: Vec::new(), is_map });
        Ok(())
    }

    fn end(&mut self, line: usize) -> Result<(), Wrong> {
        let Some(Open { line: start, anchor, nodes, is_map }) = self.open.pop() else {
            return Err(Wrong { line, why: "something ends that has not begun".to_owned() });
        };
        let kind = match is_map {
            false => Kind::List(nodes),
            true => {
                let mut nodes = nodes.into_iter();
                let mut entries: Vec<(Node, Node)> = Vec::with_capacity(nodes.len() / 2);
                while let (Some(key), Some(value)) = (nodes.next(), nodes.next()) {
                    entries.push((key, value));
                }
                if let Some(key) = repeated(&entries) {
                    let why = format!("`{}` stands twice in one map", key.text().unwrap_or(""));
                    return Err(Wrong { line: key.line, why });
                }
                Kind::Map(entries)
            }
        };
        self.add(Node { line: start, kind }, anchor)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Wrong> {
        let bytes = match &node.kind {
            Kind::Scalar { text, .. } => text.len(),
            // What is in it has been counted.
            _ => 0,
        };
        self.spend((1, bytes), node.line)?;
        if anchor > 0 {
            // The copy for the aliases counts as well.
            self.spend(node.weight(), node.line)?;
            self.anchors.insert(anchor, node.clone());
        }
        self.place(node);
        Ok(())
    }

    fn place(&mut self, node: Node) {
        match self.open.last_mut() {
            Some(open) => open.nodes.push(node),
            None => self.done.push(node),
        }
    }

    fn spend(&mut self, (nodes, bytes): (usize, usize), line: usize) -> Result<(), Wrong> {
        self.left = self.left.checked_sub(nodes).ok_or_else(|| too_many(line))?;
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or_else(|| too_long(line))?;
        Ok(())
    }
}

/// The first key that another one before it is equal to.
fn repeated(entries: &[(Node, Node)]) -> Option<&Node> {
    /// So many are compared each with each, which needs no memory.
    const FEW: usize = 16;
    let keys = || entries.iter().filter_map(|(key, _)| Some((key, key.text()?)));
    if entries.len() <= FEW {
        let is_known = |n: usize, text: &str| keys().take(n).any(|(_, known)| known == text);
        return keys()
            .enumerate()
            .find(|&(n, (_, text))| is_known(n, text))
            .map(|(_, (key, _))| key);
    }
    let mut known = HashSet::new();
    keys().find(|(_, text)| !known.insert(*text)).map(|(key, _)| key)
}

fn too_many(line: usize) -> Wrong {
    Wrong { line, why: format!("it has more than {MAX_NODES} nodes, aliases expanded") }
}

fn too_long(line: usize) -> Wrong {
    Wrong { line, why: format!("it has more than {MAX_TEXT} bytes of text, aliases expanded") }
}

fn too_deep(line: usize) -> Wrong {
    Wrong { line, why: format!("it is nested more than {MAX_DEPTH} deep") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_have_the_type_that_their_style_says() {
        let documents = documents("a: 4688\nb: '4688'\nc:\nd: true\ne: 1.5\nf: 0x10\n").unwrap();
        let kind = |name| documents[0].get(name).unwrap().scalar().unwrap();
        assert_eq!(kind("a"), Scalar::Number("4688"));
        assert_eq!(kind("b"), Scalar::Text("4688"));
        assert_eq!(kind("c"), Scalar::Null);
        assert_eq!(kind("d"), Scalar::Bool(true));
        assert_eq!(kind("e"), Scalar::Number("1.5"));
        assert_eq!(kind("f"), Scalar::Text("0x10"));
    }

    #[test]
    fn an_alias_bomb_is_an_error() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let before = n - 1;
            let aliases = vec![format!("*a{before}"); 10].join(", ");
            text += &format!("a{n}: &a{n} [{aliases}]\n");
        }
        let wrong = documents(&text).unwrap_err();
        assert!(wrong.why.contains("nodes"), "{wrong:?}");
        let deep = "- ".repeat(40) + "x";
        assert!(documents(&deep).unwrap_err().why.contains("deep"));
        assert!(documents(&"[".repeat(500_000)).is_err());
        let long = "a".repeat(MAX_BYTES + 1);
        assert!(documents(&long).unwrap_err().why.contains("bytes"));
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        assert_eq!(documents("a: 1\nb: 2\na: 3\n").unwrap_err().line, 3);
        assert_eq!(documents("a: 1\nb: [\n").unwrap_err().line, 3);
        assert!(documents("a: &x [*x]").is_err());
        let many: String = (0..40).map(|n| format!("k{n}: 1\n")).collect();
        assert!(documents(&many).is_ok());
        assert_eq!(documents(&format!("{many}k7: 1\n")).unwrap_err().line, 41);
    }
}
