//! Reads and writes structured queries: `<QueryList>` documents (MS-EVEN6 2.2.16).

use std::fmt;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event as Xml};

use super::ast::Expr;
use super::error::QueryProblem;
use super::parse::{self, Wrong};
use crate::text::{Escape, XmlAttribute, XmlText};

/// A query of a list.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct SubQuery {
    pub(crate) id: Option<i64>,
    /// Where the clauses look that don't say it themselves.
    pub(crate) path: Option<String>,
    pub(crate) clauses: Vec<Clause>,
}

/// A `<Select>` or `<Suppress>`.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Clause {
    pub(crate) suppresses: bool,
    /// A channel, or a file as `file://…`.
    pub(crate) path: Option<String>,
    pub(crate) expr: Expr,
}

impl SubQuery {
    /// The channel that a clause looks at; nothing for any: none is given, or a file.
    pub(crate) fn channel<'a>(&'a self, clause: &'a Clause) -> Option<&'a str> {
        let path = clause.path.as_deref().or(self.path.as_deref())?;
        let is_file = path.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("file://"));
        (!is_file).then_some(path)
    }
}

/// Reads a document.
pub(super) fn parse(text: &str, terms: &mut usize) -> Result<Vec<SubQuery>, Wrong> {
    let mut document = Document { text, reader: Reader::from_str(text), terms };
    document.reader.config_mut().expand_empty_elements = true;
    let list = document.list()?;
    if list.is_empty() {
        return Err((0, QueryProblem::SelectsNothing("QueryList", "Query")));
    }
    Ok(list)
}

/// A document that is being read, with where in it that is.
struct Document<'t> {
    text: &'t str,
    reader: Reader<&'t [u8]>,
    terms: &'t mut usize,
}

impl<'t> Document<'t> {
    /// The next event that matters, and where it begins.
    fn next(&mut self) -> Result<(usize, Xml<'t>), Wrong> {
        loop {
            let start = self.position();
            let event = self.reader.read_event().map_err(|error| {
                let at = usize::try_from(self.reader.error_position()).unwrap_or(start);
                (at, QueryProblem::Xml(brief(&error.to_string())))
            })?;
            match event {
                Xml::Decl(_) | Xml::Comment(_) | Xml::PI(_) => {}
                Xml::DocType(_) => {
                    let why = "a document type is not allowed".to_owned();
                    return Err((start, QueryProblem::Xml(why)));
                }
                event => return Ok((start, event)),
            }
        }
    }

    fn position(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX).min(self.text.len())
    }

    /// The whole document.
    fn list(&mut self) -> Result<Vec<SubQuery>, Wrong> {
        const WANTED: &str = "a structured query is one <QueryList>";
        let mut queries = None;
        loop {
            match self.next()? {
                (at, Xml::Start(start)) => {
                    if start.name().as_ref() != "QueryList" || queries.is_some() {
                        return Err(element(at, &start, WANTED));
                    }
                    queries = Some(self.queries()?);
                }
                (at, Xml::Eof) => {
                    return queries.ok_or((
                        at,
                        QueryProblem::Expected {
                            wanted: "<QueryList>",
                            found: "the end".to_owned(),
                        },
                    ));
                }
                (at, event) => self.blank(at, &event)?,
            }
        }
    }

    /// What is in `<QueryList>`.
    fn queries(&mut self) -> Result<Vec<SubQuery>, Wrong> {
        let mut queries = Vec::new();
        loop {
            match self.next()? {
                (at, Xml::Start(start)) if start.name().as_ref() == "Query" => {
                    queries.push(self.query(at, &start)?);
                }
                (at, Xml::Start(start)) => {
                    return Err(element(at, &start, "a <QueryList> has elements <Query>"));
                }
                (_, Xml::End(_)) => return Ok(queries),
                (at, event) => self.blank(at, &event)?,
            }
        }
    }

    /// A `<Query>`.
    fn query(&mut self, at: usize, start: &BytesStart<'_>) -> Result<SubQuery, Wrong> {
        const WANTED: &str = "it has Id, Path and Target";
        let mut query = SubQuery { id: None, path: None, clauses: Vec::new() };
        each_attribute(at, start, |name, value| match name {
            "Id" => {
                let id = value.trim().parse().map_err(|_| QueryProblem::Id(brief(value)))?;
                query.id = Some(id);
                Ok(())
            }
            "Path" => {
                query.path = Some(value.to_owned());
                Ok(())
            }
            // Hosts or their containers: files and servers that are asked have no such difference.
            "Target" => Ok(()),
            _ => {
                let attribute = name.to_owned();
                Err(QueryProblem::Attribute { element: "Query", attribute, wanted: WANTED })
            }
        })?;
        loop {
            match self.next()? {
                (at, Xml::Start(start)) => {
                    let suppresses = match start.name().as_ref() {
                        "Select" => false,
                        "Suppress" => true,
                        _ => {
                            let wanted = "a <Query> has elements <Select> and <Suppress>";
                            return Err(element(at, &start, wanted));
                        }
                    };
                    query.clauses.push(self.clause(at, &start, suppresses)?);
                }
                (_, Xml::End(_)) => break,
                (at, event) => self.blank(at, &event)?,
            }
        }
        if query.clauses.iter().all(|clause| clause.suppresses) {
            return Err((at, QueryProblem::SelectsNothing("Query", "Select")));
        }
        Ok(query)
    }

    /// A `<Select>` or `<Suppress>`.
    fn clause(
        &mut self,
        at: usize,
        start: &BytesStart<'_>,
        suppresses: bool,
    ) -> Result<Clause, Wrong> {
        let mut path = None;
        each_attribute(at, start, |name, value| match name {
            "Path" => {
                path = Some(value.to_owned());
                Ok(())
            }
            _ => Err(QueryProblem::Attribute {
                element: if suppresses { "Suppress" } else { "Select" },
                attribute: name.to_owned(),
                wanted: "it has Path",
            }),
        })?;
        let (text, places) = self.expression()?;
        let expr = parse::parse(&text, self.terms)
            .map_err(|(at, problem)| (original(&places, at), problem))?;
        Ok(Clause { suppresses, path, expr })
    }

    /// The text in a clause, and where its parts stand in the document: pairs of a position in the
    /// text and one in the document.
    fn expression(&mut self) -> Result<(String, Vec<(usize, usize)>), Wrong> {
        let (mut text, mut places) = (String::new(), vec![(0, self.position())]);
        loop {
            let (at, event) = self.next()?;
            match event {
                Xml::Text(_) => {
                    places.push((text.len(), at));
                    text.push_str(self.text.get(at..self.position()).unwrap_or_default());
                }
                Xml::CData(data) => {
                    places.push((text.len(), at + "<![CDATA[".len()));
                    text.push_str(&data);
                }
                Xml::GeneralRef(reference) => {
                    places.push((text.len(), at));
                    let c = match reference.resolve_char_ref() {
                        Ok(Some(c)) => Some(c),
                        Ok(None) => quick_xml::escape::resolve_xml_entity(&reference)
                            .and_then(|text| text.chars().next()),
                        Err(_) => None,
                    };
                    match c {
                        Some(c) => text.push(c),
                        None => {
                            let why = format!("`&{};` is not known", &*reference);
                            return Err((at, QueryProblem::Xml(why)));
                        }
                    }
                }
                Xml::Start(start) => {
                    return Err(element(at, &start, "an XPath expression stands here"));
                }
                Xml::End(_) => {
                    places.push((text.len(), at));
                    break;
                }
                _ => {
                    let why = "the document ends too early".to_owned();
                    return Err((at, QueryProblem::Xml(why)));
                }
            }
        }
        if let Some((at, _)) = text.char_indices().find(|&(_, c)| !is_xml_char(c)) {
            let why = "a character that XML can't hold".to_owned();
            return Err((original(&places, at), QueryProblem::Xml(why)));
        }
        Ok((text, places))
    }

    /// Refuses anything but white space.
    fn blank(&self, at: usize, event: &Xml<'_>) -> Result<(), Wrong> {
        let text = self.text.get(at..self.position()).unwrap_or_default();
        match event {
            Xml::Text(_) if text.trim_matches([' ', '\t', '\r', '\n']).is_empty() => Ok(()),
            Xml::Eof => Err((at, QueryProblem::Xml("the document ends too early".to_owned()))),
            _ => {
                let blanks = text.len() - text.trim_start().len();
                Err((at + blanks, QueryProblem::StrayText))
            }
        }
    }
}

/// The position in the document of one in an expression.
fn original(places: &[(usize, usize)], at: usize) -> usize {
    let next = places.partition_point(|&(in_text, _)| in_text <= at);
    places.get(next.saturating_sub(1)).map_or(0, |&(in_text, place)| place + (at - in_text))
}

/// The beginning of a text that can hold as much of the document as it likes, on one line.
fn brief(text: &str) -> String {
    const SHOWN: usize = 200;
    text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn element(at: usize, start: &BytesStart<'_>, wanted: &'static str) -> Wrong {
    let found = start.name().as_ref().chars().take(40).collect();
    (at, QueryProblem::Element { found, wanted })
}

/// Calls `take` with the name and value of each attribute but namespace declarations.
fn each_attribute(
    at: usize,
    start: &BytesStart<'_>,
    mut take: impl FnMut(&str, &str) -> Result<(), QueryProblem>,
) -> Result<(), Wrong> {
    for attribute in start.attributes() {
        let xml = |why: String| (at, QueryProblem::Xml(why));
        let attribute = attribute.map_err(|error| xml(brief(&error.to_string())))?;
        let name = attribute.key.as_ref();
        if name == "xmlns" || name.starts_with("xmlns:") {
            continue;
        }
        let value = attribute
            .normalized_value(quick_xml::XmlVersion::Implicit1_0)
            .map_err(|error| xml(brief(&error.to_string())))?;
        if !value.chars().all(is_xml_char) {
            return Err(xml("a character that XML can't hold".to_owned()));
        }
        take(name, &value).map_err(|problem| (at, problem))?;
    }
    Ok(())
}

/// `Char` of XML 1.0.
fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// Writes a document on one line.
pub(super) fn write(queries: &[SubQuery], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("<QueryList>")?;
    for query in queries {
        f.write_str("<Query")?;
        if let Some(id) = query.id {
            write!(f, " Id=\"{id}\"")?;
        }
        if let Some(path) = &query.path {
            write!(f, " Path=\"{}\"", escaped::<XmlAttribute>(path))?;
        }
        f.write_str(">")?;
        for clause in &query.clauses {
            let name = if clause.suppresses { "Suppress" } else { "Select" };
            write!(f, "<{name}")?;
            if let Some(path) = &clause.path {
                write!(f, " Path=\"{}\"", escaped::<XmlAttribute>(path))?;
            }
            write!(f, ">{}</{name}>", escaped::<XmlText>(&clause.expr.to_string()))?;
        }
        f.write_str("</Query>")?;
    }
    f.write_str("</QueryList>")
}

/// Text as it is written in XML.
pub(crate) fn escaped<E: Escape>(text: &str) -> String {
    let mut out = Vec::new();
    E::push_str(text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
