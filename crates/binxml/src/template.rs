//! A template, compiled: its tree, and where each field of an event is found in it.

use std::sync::atomic::{AtomicU64, Ordering};

use quarry_event::{Field, Value};

/// Where in an event a template stands, so far as fields depend on it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) enum Place {
    /// It is the event.
    #[default]
    Document,
    /// In `<Event>`.
    Event,
    /// In `<System>`.
    System,
    /// In `<EventData>`, at any depth.
    EventData,
    /// In `<UserData>`, where the provider's own element is.
    UserData,
    /// Anywhere else.
    Elsewhere,
}

/// A range of the template's literal text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Literal {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// A piece of text.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Piece {
    Literal(Literal),
    Slot { slot: u16, optional: bool },
}

impl Piece {
    pub(crate) fn slot(&self) -> Option<u16> {
        match *self {
            Piece::Literal(_) => None,
            Piece::Slot { slot, .. } => Some(slot),
        }
    }
}

/// A range of `Template::dependencies`: slots of which none may be NULL.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dependencies {
    pub(crate) start: u16,
    pub(crate) end: u16,
}

impl Dependencies {
    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// A step of a template's tree, in document order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Node {
    /// `<name`, and where the element's `Close` is.
    Open {
        name: Literal,
        /// NULL in one of these drops the element.
        needs: Dependencies,
        close: u32,
        /// Whether there are slots in the element's own content: an array in one repeats the
        /// element (MS-EVEN6 2.2.12.1, 3.1.4.7.5).
        repeats: bool,
    },
    /// An attribute of the element whose `Open` came before, from `Template::pieces`.
    Attribute { name: Literal, start: u32, end: u32 },
    /// Text, or an element, in the innermost element.
    Content(Piece),
    /// The innermost element's end.
    Close { name: Literal, empty: bool },
}

/// Where the text of a field or value comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Text {
    /// There is none in this template.
    Absent,
    /// An element that is there, without text.
    Empty,
    Literal(Literal),
    Slot(u16),
    /// Several pieces, put together when a record is parsed: an index of `Template::joined`.
    Joined(u16),
}

/// A field of `<System>`: its text, and what drops it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldText {
    pub(crate) text: Text,
    pub(crate) needs: Dependencies,
    /// An attribute without text isn't there; an element is.
    pub(crate) attribute: bool,
    /// Whether the field isn't there when its value is NULL.
    pub(crate) optional: bool,
}

/// A value of `<EventData>`, or a slot in it that may hold elements with values.
#[derive(Debug)]
pub(crate) enum Datum {
    Value { name: DatumName, text: Text, needs: Dependencies },
    Nested { slot: u16, needs: Dependencies },
}

/// Whether a template is what its provider's manifest makes of `<EventData>` or `<UserData>`. Then its slots
/// are the fields of the manifest's template, and the marks of a message count them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Substitutions {
    /// It is something else, or data of the classic API, which have no names.
    #[default]
    None,
    /// `<EventData>`; whether `data` are one value for each slot, in their order.
    Data { in_order: bool },
    /// `<UserData>`.
    UserData,
}

/// What a value of `<EventData>` is called.
#[derive(Debug)]
pub(crate) enum DatumName {
    Unnamed,
    /// The name, and how it begins a member of JSON.
    Known {
        text: Box<str>,
        json: Box<str>,
    },
    /// The text of the attribute `Name`, which takes a record to know; where that is empty, the
    /// element's name, unless it is `Data`.
    Unknown {
        attribute: Text,
        element: Option<Literal>,
    },
}

/// A name's length and some of its letters in lowercase, to see that it is another one without
/// comparing it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NameMark(u32);

impl NameMark {
    /// That of what may have any name, and of names of which a spelling may have another length.
    pub(crate) const ANY: NameMark = NameMark(0);
    /// That of what has none: no name has this letter, which UTF-8 doesn't have.
    const NONE: NameMark = NameMark(u32::MAX);

    #[inline]
    pub(crate) fn new(name: &str) -> Self {
        if !name.is_ascii() {
            return NameMark::ANY;
        }
        let letter = |at: usize| name.as_bytes().get(at).map_or(0, u8::to_ascii_lowercase);
        let len = name.len();
        NameMark(u32::from_le_bytes([
            len as u8,
            letter(0),
            letter(len / 2),
            letter(len.wrapping_sub(1)),
        ]))
    }

    pub(crate) fn of(datum: &Datum) -> Self {
        match datum {
            Datum::Value { name: DatumName::Known { text, .. }, .. } => NameMark::new(text),
            Datum::Value { name: DatumName::Unnamed, .. } => NameMark::NONE,
            Datum::Value { name: DatumName::Unknown { .. }, .. } | Datum::Nested { .. } => {
                NameMark::ANY
            }
        }
    }
}

/// The marks of a template's data.
#[derive(Debug)]
pub(crate) struct NameMarks {
    /// With a block behind them of such as no name has.
    marks: Vec<NameMark>,
    /// Where marks were found that were asked for last, one for each hash of a mark.
    found: [AtomicU64; NameMarks::KEPT],
}

/// Where a mark was found first.
#[derive(Clone, Copy)]
struct FirstFound {
    /// Behind the last mark where it wasn't.
    at: u32,
    /// Whether it isn't found again after that.
    is_only: bool,
}

impl NameMarks {
    /// The marks that are looked at together.
    const BLOCK: usize = 8;
    /// The marks of which it is kept where they were found.
    const KEPT: usize = 4;

    pub(crate) fn of(data: &[Datum]) -> Self {
        let marks = data.iter().map(NameMark::of).chain([NameMark::NONE; Self::BLOCK]).collect();
        // Nobody asks for this mark.
        let nothing = u64::from(NameMark::NONE.0) << 32;
        NameMarks { marks, found: std::array::from_fn(|_| AtomicU64::new(nothing)) }
    }

    /// The first place where a name of a mark may be. Event after event is asked for the same.
    #[inline(always)]
    fn first(&self, wanted: NameMark) -> FirstFound {
        // The upper bits of a product depend on all letters.
        let kept = &self.found[(wanted.0.wrapping_mul(0x9e37_79b9) >> 30) as usize];
        let word = kept.load(Ordering::Relaxed);
        if (word >> 32) as u32 == wanted.0 && wanted != NameMark::ANY {
            return FirstFound { at: word as u32 >> 1, is_only: word & 1 != 0 };
        }
        self.look(wanted, kept)
    }

    #[cold]
    fn look(&self, wanted: NameMark, kept: &AtomicU64) -> FirstFound {
        let at = self.find(wanted, 0);
        let is_only = at.is_none_or(|at| self.find(wanted, at + 1).is_none());
        let at = at.unwrap_or(self.marks.len()) as u32;
        // A template has not nearly so many values.
        if wanted != NameMark::ANY && at < 1 << 31 {
            let found = u64::from(at) << 1 | u64::from(is_only);
            kept.store(u64::from(wanted.0) << 32 | found, Ordering::Relaxed);
        }
        FirstFound { at, is_only }
    }

    /// The first place from one on where a name of a mark may be.
    #[inline]
    fn find(&self, wanted: NameMark, from: usize) -> Option<usize> {
        let is_all = wanted == NameMark::ANY;
        let may_be = |mark: NameMark| is_all | (mark == NameMark::ANY) | (mark == wanted);
        let mut at = from;
        // A block without branches first, as most have none.
        while let Some(block) = self.marks.get(at..)?.first_chunk::<{ Self::BLOCK }>() {
            if block.iter().fold(false, |any, &mark| any | may_be(mark)) {
                return Some(at + block.iter().position(|&mark| may_be(mark))?);
            }
            at += Self::BLOCK;
        }
        None
    }
}

/// A use of a name that stands elsewhere in the chunk, or brings a chunk's offset along.
#[derive(Debug)]
pub(crate) struct NameUse {
    /// Where the use stands in the definition.
    pub(crate) at: usize,
    /// The name, where it stands elsewhere.
    pub(crate) elsewhere: Option<Box<[u8]>>,
    /// Whether it is what every event has at this place, and no event anything else.
    pub(crate) is_fixed: bool,
}

/// A slot in the content of elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContentSlot {
    pub(crate) slot: u16,
    /// Where it stands.
    pub(crate) inside: Place,
    /// Whether BinXML in it makes an event odd: see `Template::odd`.
    pub(crate) plain: bool,
}

/// A compiled template.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) literals: String,
    pub(crate) nodes: Vec<Node>,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) dependencies: Vec<u16>,
    pub(crate) fields: [FieldText; Field::COUNT],
    /// Those of `fields` that are here.
    pub(crate) present: Vec<Field>,
    pub(crate) data: Vec<Datum>,
    /// What can be seen of their names at once: see `data_named`.
    pub(crate) data_marks: NameMarks,
    /// Whether `data` are values in one piece whose names are known, or that have none, in a
    /// template that isn't odd.
    pub(crate) has_plain_data: bool,
    /// Whether `data` are values of one name each, none of them twice.
    pub(crate) distinct: bool,
    /// What the slots are for the marks of a message.
    pub(crate) substitutions: Substitutions,
    /// Ranges of `pieces` that make one text.
    pub(crate) joined: Vec<(u32, u32)>,
    /// Slots in the content of elements, which may hold BinXML; each once.
    pub(crate) content_slots: Vec<ContentSlot>,
    /// Those of them that aren't plain.
    pub(crate) nested_slots: Vec<ContentSlot>,
    /// Whether the fields of an event of this template are those of `fields`, whatever is inside:
    /// see [`Head`](crate::Head).
    pub(crate) has_head: bool,
    /// Whether `fields` and `data` can't say what an event has, because the template isn't built
    /// as Windows builds them: elements in elements of data, several `<System>`, fields that
    /// come twice. Such an event is decoded whole.
    pub(crate) odd: bool,
    /// The slots where an array makes an event as odd, because it repeats `<EventData>`.
    pub(crate) section_slots: Vec<u16>,
    /// What drops each of the parts of an event that are neither fields nor data.
    pub(crate) more: Vec<Dependencies>,
    /// What no other template has, for as long as the program runs.
    pub(crate) id: u64,
    /// The slots of which it depends what an event's tree has besides fields and data: whether they are
    /// NULL, empty, or have elements in them. Nothing where that depends on more.
    pub(crate) layout: Option<Box<[u16]>>,
    /// Whether a slot is used more than once, so that a record may print more than it holds.
    pub(crate) reuses: bool,
    /// The definition's bytes and its uses of names, to recognise it in another chunk.
    pub(crate) definition: Box<[u8]>,
    /// The bits of the definition that are the same in every chunk.
    pub(crate) mask: Box<[u8]>,
    /// The identifier that the definition has; zeros where there is none.
    pub(crate) guid: [u8; 16],
    pub(crate) names: Vec<NameUse>,
}

impl Template {
    #[inline]
    pub(crate) fn literal(&self, literal: Literal) -> &str {
        self.literals.get(literal.start as usize..literal.end as usize).unwrap_or_default()
    }

    /// The data that may have a name of this mark, in whatever case, or that may bring values of it
    /// along; or all.
    #[inline]
    pub(crate) fn data_named(&self, wanted: NameMark) -> impl Iterator<Item = &Datum> {
        let first = self.data_marks.first(wanted);
        let at = first.at as usize;
        // Most often it is the only one.
        let mut next = if first.is_only { usize::MAX } else { at + 1 };
        let others = std::iter::from_fn(move || {
            let at = self.data_marks.find(wanted, next)?;
            next = at + 1;
            self.data.get(at)
        });
        self.data.get(at).into_iter().chain(others)
    }

    /// The slots of which none may be NULL.
    #[inline]
    pub(crate) fn needs(&self, needs: Dependencies) -> &[u16] {
        &self.dependencies[needs.start.into()..needs.end.into()]
    }
}

impl FieldText {
    /// Makes of the value of a field's text what the field shows.
    #[inline]
    pub(crate) fn show(&self, value: &mut Value<'_>) {
        if self.attribute && value.is_empty() {
            *value = Value::Null;
        } else if value.is_null() && !self.optional {
            *value = Value::Str("");
        }
    }

    /// What a field shows whose text has a value.
    #[inline]
    pub(crate) fn shown<'v>(&self, mut value: Value<'v>) -> Value<'v> {
        self.show(&mut value);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_alike_however_often_and_in_whatever_turn_they_are_asked_for() {
        let datum = |name: Option<&str>| Datum::Value {
            name: match name {
                Some(text) => DatumName::Known { text: text.into(), json: "".into() },
                None => DatumName::Unnamed,
            },
            text: Text::Empty,
            needs: Dependencies::default(),
        };
        let names = ["SubjectUserSid", "Status", "STATUS", "LogonType", "été", "Bxxxxd", "Bzzxzd"];
        let mut data: Vec<Datum> = names.iter().map(|name| datum(Some(name))).collect();
        data.extend((0..20).map(|_| datum(None)));
        data.extend([
            datum(Some("status")),
            Datum::Nested { slot: 0, needs: Dependencies::default() },
        ]);
        let marks = NameMarks::of(&data);
        let all = |wanted: NameMark| {
            let first = marks.first(wanted);
            let mut found = Vec::from_iter(Some(first.at as usize).filter(|&at| at < data.len()));
            while !first.is_only
                && let Some(at) = marks.find(wanted, found[found.len() - 1] + 1)
                && at < data.len()
            {
                found.push(at);
            }
            found
        };
        let expected = |wanted: NameMark| {
            let marks = data.iter().map(NameMark::of).enumerate();
            let may_be = |mark| mark == wanted || mark == NameMark::ANY || wanted == NameMark::ANY;
            marks.filter(|&(_, mark)| may_be(mark)).map(|(at, _)| at).collect::<Vec<_>>()
        };
        for _ in 0..3 {
            for name in names.iter().chain(&["status", "Image", "", "logontype", "ÉTÉ"]) {
                let mark = NameMark::new(name);
                assert_eq!(all(mark), expected(mark), "{name}");
            }
        }
        let empty = NameMarks::of(&[]);
        for _ in 0..2 {
            let first = empty.first(NameMark::new("a"));
            assert!(first.at as usize >= NameMarks::BLOCK && first.is_only);
        }
    }
}
