//! Members that were asked for, in the order asked for.

use super::{MAIN, Scratch, data, field_member, known_member, main_members, put, quoted};
use crate::output::cell::each_name;
use crate::output::plan::{Choice, Row};
use crate::output::{Column, Member, Named};
use crate::{Field, FieldSource, Fields, Origin, PartialSource, Texts, Value};

/// Members that were asked for, in the order asked for.
#[derive(Debug)]
pub(in crate::output) struct Chosen {
    parts: Vec<(Start, Part)>,
    /// Whether [`Part::Main`] is one of them.
    has_main: bool,
    /// Whether fields and named values are all that there is to know for them: see [`Chosen::known`].
    is_known_early: bool,
    choice: Choice,
}

/// What was asked for.
#[derive(Debug)]
enum Part {
    Column(Column),
    /// All members of [`MAIN`], as they stand in an event of which all are written.
    Main,
}

/// What stands before a member's value: the brace or comma, and its name.
#[derive(Debug)]
struct Start {
    text: Vec<u8>,
    /// Its first bytes, with others after them where it is shorter.
    first: [u8; Start::SHORT],
}

impl Chosen {
    /// From so many members on, all fields of `<System>` are looked up at once.
    const MANY: usize = 12;

    pub(in crate::output) fn new(columns: Vec<Column>) -> Self {
        let is_known_early = columns.iter().all(Column::is_known_early);
        let mut parts = Vec::new();
        let mut rest = columns.as_slice();
        while let [column, behind @ ..] = rest {
            let mut start = vec![if parts.is_empty() { b'{' } else { b',' }];
            let is_main = rest.len() >= MAIN.len()
                && rest.iter().zip(MAIN).all(|(column, member)| *column == Column::Member(member));
            if is_main {
                parts.push((Start::new(start), Part::Main));
                rest = &rest[MAIN.len()..];
                continue;
            }
            match column {
                Column::EachData => quoted(Member::Data.name(), &mut start),
                column => quoted(&column.name(), &mut start),
            }
            start.push(b':');
            parts.push((Start::new(start), Part::Column(column.clone())));
            rest = behind;
        }
        let has_main = parts.iter().any(|(_, part)| matches!(part, Part::Main));
        Chosen { parts, has_main, is_known_early, choice: Choice::new() }
    }

    /// Whether a member is text that an event doesn't hold itself. Values stand as they are.
    pub(in crate::output) fn shows_texts(&self) -> bool {
        let shows = |part: &Part| match part {
            Part::Main => true,
            Part::Column(Column::Member(member)) => member.shows_texts(),
            Part::Column(Column::Name(_)) => true,
            Part::Column(_) => false,
        };
        self.parts.iter().any(|(_, part)| shows(part))
    }

    /// Writes the members of an event.
    // What dispatches on the format is one function with it, as it is with all members.
    #[inline(always)]
    pub(in crate::output) fn event<S: FieldSource>(
        &self,
        source: &S,
        origin: &Origin<'_>,
        texts: Texts<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) {
        scratch.begin();
        if self.parts.len() < Self::MANY && !self.has_main {
            let field = |field| source.field(field);
            return self.write(source, field, None, (origin, texts), scratch, out);
        }
        out.reserve(1024);
        let fields = source.fields();
        let field = |field| fields.get(field);
        self.write(source, field, Some(&fields), (origin, texts), scratch, out);
    }

    #[inline]
    fn write<'s, S: FieldSource>(
        &self,
        source: &'s S,
        field: impl Fn(Field) -> Value<'s>,
        fields: Option<&Fields<'s>>,
        (origin, texts): (&Origin<'_>, Texts<'_>),
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) {
        for (start, part) in &self.parts {
            start.put(out);
            match part {
                Part::Main => {
                    if let Some(fields) = fields {
                        main_members(source, fields, origin, texts, false, scratch, out);
                    }
                }
                Part::Column(Column::EachData) => data::object(source, &mut scratch.names, out),
                Part::Column(Column::Name(named)) => name(source, *named, texts, scratch, out),
                Part::Column(column @ (Column::Data(_) | Column::UserData(_))) => {
                    data::values(source, column, out);
                }
                Part::Column(Column::Member(member)) => {
                    super::member(source, &field, origin, texts, *member, scratch, out);
                }
            }
        }
        self.end(out);
    }

    /// Writes what stands after the last member.
    #[inline]
    fn end(&self, out: &mut Vec<u8>) {
        if self.parts.is_empty() {
            out.push(b'{');
        }
        out.push(b'}');
    }

    /// Whether [`known`](Self::known) can write any event.
    pub(in crate::output) fn is_known_early(&self) -> bool {
        self.is_known_early
    }

    /// The same as [`event`](Self::event) of an event that is not decoded, where what is known of it is enough.
    /// Says whether it is; otherwise nothing is written.
    #[inline]
    pub(in crate::output) fn known<S: PartialSource>(
        &self,
        source: &S,
        origin: &Origin<'_>,
        texts: Texts<'_>,
        scratch: &mut crate::output::Scratch,
        out: &mut Vec<u8>,
    ) -> bool {
        if !self.is_known_early {
            return false;
        }
        let begin = out.len();
        let crate::output::Scratch { json: scratch, plans, .. } = scratch;
        let row = Known { chosen: self, origin, texts, scratch };
        let is_known = plans.write(&self.choice, row, source, out);
        if !is_known {
            out.truncate(begin);
        }
        is_known
    }
}

/// The members of an event that is not decoded.
struct Known<'k> {
    chosen: &'k Chosen,
    origin: &'k Origin<'k>,
    texts: Texts<'k>,
    scratch: &'k mut Scratch,
}

impl<S: PartialSource> Row<S> for Known<'_> {
    #[inline]
    fn columns(&self) -> usize {
        self.chosen.parts.len()
    }

    #[inline]
    fn before(&self, column: usize, out: &mut Vec<u8>) {
        self.chosen.parts[column].0.put(out);
    }

    #[inline(always)]
    fn value(&mut self, column: usize, source: &S, out: &mut Vec<u8>) -> bool {
        match &self.chosen.parts[column].1 {
            Part::Column(Column::Data(name)) => data::known_values(source, name, out),
            Part::Column(Column::Member(member)) => match member.field() {
                // Looked up at one place, where it isn't a call.
                Some(field) => {
                    field_member(*member, source.known_field(field), self.scratch, out);
                    true
                }
                None => {
                    let field = |field| source.known_field(field);
                    known_member(field, self.origin, self.texts, *member, self.scratch, out)
                }
            },
            Part::Main | Part::Column(Column::Name(_) | Column::EachData | Column::UserData(_)) => {
                false
            }
        }
    }

    fn end(&self, out: &mut Vec<u8>) {
        self.chosen.end(out);
    }

    fn is_fixed(&self, column: usize, source: &S) -> bool {
        match &self.chosen.parts[column].1 {
            Part::Column(column) => column.is_fixed(source),
            Part::Main => false,
        }
    }
}

/// Writes a name, or a list of those of keywords; null where none is known.
fn name<S: FieldSource>(
    source: &S,
    named: Named,
    texts: Texts<'_>,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    let is_list = named == Named::Keywords;
    each_name(source, named, texts, &mut scratch.buffer, |name| {
        match (out.len() == start, is_list) {
            (true, true) => out.push(b'['),
            (false, _) => out.push(b','),
            (true, false) => {}
        }
        quoted(&crate::text::lossy(name), out);
    });
    match (out.len() == start, is_list) {
        (true, _) => put(b"null", out),
        (false, true) => out.push(b']'),
        (false, false) => {}
    }
}

impl Start {
    /// What is written at once, as that is cheaper than a part of it.
    const SHORT: usize = 32;

    fn new(text: Vec<u8>) -> Self {
        let mut first = [0; Start::SHORT];
        first.iter_mut().zip(&text).for_each(|(to, byte)| *to = *byte);
        Start { text, first }
    }

    #[inline(always)]
    fn put(&self, out: &mut Vec<u8>) {
        if self.text.len() > Start::SHORT {
            return put(&self.text, out);
        }
        let end = out.len() + self.text.len();
        put(&self.first, out);
        out.truncate(end);
    }
}
