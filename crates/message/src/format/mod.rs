//! Making text of a message and an event's values: insertion marks, parameters and escapes, as
//! FormatMessage and EvtFormatMessage read them.
//!
//! | mark | what stands there |
//! |---|---|
//! | `%1` … `%99` | the value with that number; the mark itself where the event has none |
//! | `%1!s!` | the same: how a value looks depends on its type, not on the message |
//! | `%n`, `%r`, `%t`, `%b` | a line end, a carriage return, a tab, a blank |
//! | `%0` | the message ends here, without a line end |
//! | `%%` | a percent sign |
//! | `%%1936` | the parameter string with that number, in values too |
//! | `%.`, `%!`, any other | the character after the percent sign |

mod value;

/// The longest message that is made of a text and an event's values, in bytes. What would be longer counts as
/// none: a few bytes of a catalogue could otherwise stand for any number of them in the output.
pub const MAX_MESSAGE: usize = 1 << 20;

pub use value::FieldKind;
pub(crate) use value::{Words, push_hex_upper, push_value};

/// A piece of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part<'t> {
    /// Words.
    Literal(&'t str),
    /// The value with a number from 1 on.
    Insert(u8),
    /// A parameter string.
    Parameter(u32),
}

/// A message taken apart, to be filled in many times.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Text {
    literals: Box<str>,
    pieces: Box<[Piece]>,
    /// A bit for each number that there is a mark with; 99 is the highest.
    inserts: u128,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Piece {
    /// The literals from where the last one ended up to here.
    Literal(u32),
    /// The value with a number from 1 on.
    Insert(u8),
    /// A parameter string.
    Parameter(u32),
}

/// Who knows what stands for the marks of a message. What isn't known is answered by false, with
/// nothing written.
pub(crate) trait Fill {
    /// Writes the value with a number from 1 on.
    fn insert(&mut self, number: u8, out: &mut Vec<u8>) -> bool;
    /// Writes a parameter string.
    fn parameter(&mut self, number: u32, out: &mut Vec<u8>) -> bool;
}

impl Text {
    /// Takes a message apart. One line end at its very end is not part of the text.
    pub fn parse(message: &str) -> Self {
        let mut parser = Parser::default();
        let ends_early = parser.read(message);
        if !ends_early {
            parser.cut_line_end();
        }
        parser.close_literal();
        let inserts = parser.pieces.iter().fold(0, |bits, piece| match piece {
            Piece::Insert(number) => bits | 1 << number,
            _ => bits,
        });
        Text { literals: parser.literals.into(), pieces: parser.pieces.into(), inserts }
    }

    /// The message without values and parameters: its marks stay as they are.
    pub fn plain(message: &str) -> String {
        let mut out = Vec::new();
        Self::parse(message).push(&mut NoFill, &mut out);
        into_string(out)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The words between the marks, in their order.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.pieces.iter().filter_map(move |piece| match *piece {
            Piece::Literal(end) => {
                let literal = self.literals.get(start..end as usize);
                start = end as usize;
                literal
            }
            _ => None,
        })
    }

    /// The words and marks, in their order.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let mut start = 0;
        self.pieces.iter().map(move |piece| match *piece {
            Piece::Literal(end) => {
                let words = self.literals.get(start..end as usize).unwrap_or_default();
                start = end as usize;
                Part::Literal(words)
            }
            Piece::Insert(number) => Part::Insert(number),
            Piece::Parameter(number) => Part::Parameter(number),
        })
    }

    /// Whether the message has a mark for the value with a number.
    pub(crate) fn has_insert(&self, number: usize) -> bool {
        number < 128 && self.inserts >> number & 1 != 0
    }

    /// The highest number of a value that the message has a mark for; 0 without any.
    pub fn highest_insert(&self) -> u8 {
        self.inserts.checked_ilog2().unwrap_or(0) as u8
    }

    /// What stands before and after the value with a number, where the message has it once: the
    /// text of the other marks is what `other` says.
    pub(crate) fn around(
        &self,
        number: u8,
        other: impl Fn(u8) -> String,
    ) -> Option<(String, String)> {
        let is_it = |piece: &&Piece| **piece == Piece::Insert(number);
        if self.pieces.iter().filter(is_it).count() != 1 {
            return None;
        }
        let (mut before, mut after, mut start) = (None, String::new(), 0);
        for piece in &*self.pieces {
            match *piece {
                Piece::Literal(end) => {
                    after.push_str(self.literals.get(start..end as usize)?);
                    start = end as usize;
                }
                Piece::Insert(insert) if insert == number => {
                    before = Some(std::mem::take(&mut after));
                }
                Piece::Insert(insert) => after.push_str(&other(insert)),
                Piece::Parameter(parameter) => after.push_str(&format!("%%{parameter}")),
            }
        }
        Some((before?, after))
    }

    /// About how much memory it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.literals.len() + size_of_val(&*self.pieces)
    }

    /// Writes the text. False, with `out` as it was, where it would be longer than [`MAX_MESSAGE`].
    pub(crate) fn push(&self, fill: &mut impl Fill, out: &mut Vec<u8>) -> bool {
        let begin = out.len();
        let mut start = 0;
        for piece in &*self.pieces {
            if out.len() - begin > MAX_MESSAGE {
                break;
            }
            match *piece {
                Piece::Literal(end) => {
                    let end = end as usize;
                    out.extend_from_slice(&self.literals.as_bytes()[start..end]);
                    start = end;
                }
                Piece::Insert(number) => {
                    if !fill.insert(number, out) {
                        push_mark(number.into(), out);
                    }
                }
                // Without a parameter string, `%%` is the percent sign that it is elsewhere.
                Piece::Parameter(number) => {
                    if !fill.parameter(number, out) {
                        push_mark(number, out);
                    }
                }
            }
        }
        let fits = out.len() - begin <= MAX_MESSAGE;
        if !fits {
            out.truncate(begin);
        }
        fits
    }
}

/// Writes a mark that nothing stands for.
pub(crate) fn push_mark(number: u32, out: &mut Vec<u8>) {
    out.push(b'%');
    out.extend_from_slice(number.to_string().as_bytes());
}

/// Replaces the parameters `%%N` in the value that was written from `start` on, and says whether
/// there was one that is known. None is replaced after [`MAX_MESSAGE`] bytes.
pub(crate) fn replace_parameters(start: usize, fill: &mut impl Fill, out: &mut Vec<u8>) -> bool {
    let Some(first) = find_parameter(&out[start..]) else { return false };
    let mut replaced = false;
    let value = out.split_off(start);
    out.extend_from_slice(&value[..first]);
    let mut rest = &value[first..];
    while let Some((number, len)) = parameter(rest) {
        if out.len() - start <= MAX_MESSAGE && fill.parameter(number, out) {
            replaced = true;
        } else {
            out.extend_from_slice(&rest[..len]);
        }
        rest = &rest[len..];
        let next = find_parameter(rest).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..next]);
        rest = &rest[next..];
    }
    replaced
}

/// Where the first parameter begins.
pub(crate) fn find_parameter(text: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'%', text).find(|&at| parameter(&text[at..]).is_some())
}

/// The number of the parameter that the text begins with, and how long the mark is.
pub(crate) fn parameter(text: &[u8]) -> Option<(u32, usize)> {
    let digits = text.strip_prefix(b"%%")?;
    let len = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = std::str::from_utf8(&digits[..len]).ok()?.parse().ok()?;
    Some((number, 2 + len))
}

/// Text that was put together of whole characters.
pub(crate) fn into_string(utf8: Vec<u8>) -> String {
    String::from_utf8(utf8).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

struct NoFill;

impl Fill for NoFill {
    fn insert(&mut self, _: u8, _: &mut Vec<u8>) -> bool {
        false
    }

    fn parameter(&mut self, _: u32, _: &mut Vec<u8>) -> bool {
        false
    }
}

#[derive(Default)]
struct Parser {
    literals: String,
    /// Where the literal that is being read began.
    start: usize,
    pieces: Vec<Piece>,
}

impl Parser {
    /// Reads a message, and says whether `%0` ended it.
    fn read(&mut self, message: &str) -> bool {
        let mut rest = message;
        while let Some(at) = rest.find('%') {
            self.literals.push_str(&rest[..at]);
            let mark = &rest[at..];
            if let Some((number, len)) = parameter(mark.as_bytes()) {
                self.piece(Piece::Parameter(number));
                rest = &mark[len..];
                continue;
            }
            let mut behind = mark[1..].chars();
            match behind.next() {
                None => {
                    self.literals.push('%');
                    return false;
                }
                Some('0') => return true,
                Some('1'..='9') => {
                    let digits = mark[1..].bytes().take(2);
                    let len = digits.take_while(u8::is_ascii_digit).count();
                    let number = mark[1..=len].parse().unwrap_or_default();
                    self.piece(Piece::Insert(number));
                    rest = after_format(&mark[1 + len..]);
                    continue;
                }
                Some('n') => self.literals.push_str("\r\n"),
                Some('r') => self.literals.push('\r'),
                Some('t') => self.literals.push('\t'),
                Some('b') => self.literals.push(' '),
                Some(other) => self.literals.push(other),
            }
            rest = behind.as_str();
        }
        self.literals.push_str(rest);
        false
    }

    fn piece(&mut self, piece: Piece) {
        self.close_literal();
        self.pieces.push(piece);
    }

    fn close_literal(&mut self) {
        if self.literals.len() > self.start {
            self.start = self.literals.len();
            self.pieces.push(Piece::Literal(self.start as u32));
        }
    }

    /// Takes one line end off the end, if there is one in this literal.
    fn cut_line_end(&mut self) {
        let last = &self.literals[self.start..];
        let cut = ["\r\n", "\n", "\r"].into_iter().find(|end| last.ends_with(end));
        self.literals.truncate(self.literals.len() - cut.map_or(0, str::len));
    }
}

/// What is after the `!s!` that may follow a mark.
fn after_format(text: &str) -> &str {
    let format = text.strip_prefix('!').and_then(|rest| rest.split_once('!'));
    match format {
        Some((_, behind)) => behind,
        None => text,
    }
}

#[cfg(test)]
mod tests;
