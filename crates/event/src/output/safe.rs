//! Text for a terminal: made harmless, measured in columns, cut, with matches marked.

use std::ops::Range;

use unicode_width::UnicodeWidthChar;

use crate::text::harmless;

/// What stands before and after a match in text of [`push_marked`]: harmless text has no controls.
pub(super) const MATCH_START: u8 = 2;
pub(super) const MATCH_END: u8 = 3;

/// Marks that pile up on one letter.
const MAX_MARKS: usize = 4;

/// Writes text for a cell of at most `width` columns of the terminal, and says how many it takes.
/// What does not fit is cut and ends in `…`; control characters are made visible.
pub fn push_cell(text: &str, width: Option<usize>, out: &mut Vec<u8>) -> usize {
    push_safe(text.as_bytes(), width, out)
}

/// Writes text as far as it fits, and says how many columns it takes. What does not fit is cut,
/// and ends in `…`.
pub(super) fn push_safe(text: &[u8], width: Option<usize>, out: &mut Vec<u8>) -> usize {
    let text = crate::text::lossy(text);
    let mut cutter = Cutter::new(width.unwrap_or(usize::MAX), out);
    let mut harmless = Harmless::default();
    for c in text.trim_end().chars() {
        let Some((c, columns)) = harmless.next(c) else { continue };
        if !cutter.push(c, columns, out) {
            break;
        }
    }
    cutter.used
}

/// Writes a line of text with all its blanks; control characters are made visible.
pub(super) fn push_line(text: &str, out: &mut Vec<u8>) {
    let mut harmless = Harmless { keeps_blanks: true, ..Harmless::default() };
    for c in text.trim_end().chars() {
        if let Some((c, _)) = harmless.next(c) {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

/// Writes text with its matches between [`MATCH_START`] and [`MATCH_END`], and says how many
/// columns it takes. Where `keep` is given, not much more than `keep` columns before and after the
/// beginning of the first match are written, and `…` in place of what is left out: enough to choose
/// what to show in a column of at most `keep`.
pub(super) fn push_marked(
    text: &[u8],
    matches: &[Range<usize>],
    keep: Option<usize>,
    out: &mut Vec<u8>,
) -> usize {
    let Ok(text) = std::str::from_utf8(text) else { return push_safe(text, None, out) };
    let text = text.trim_end();
    let first = matches.first().map_or(0, |found| found.start);
    let start = match keep {
        Some(keep) if first > 2 * keep => text.floor_char_boundary(first - keep),
        _ => 0,
    };
    let most = keep.map_or(usize::MAX, |keep| 4 * keep);
    let mut used = 0;
    if start > 0 {
        out.extend_from_slice("…".as_bytes());
        used = 1;
    }
    let mut matches = matches.iter().peekable();
    let mut inside = false;
    let mut harmless = Harmless::default();
    for (at, c) in text[start..].char_indices() {
        let at = start + at;
        while matches.peek().is_some_and(|found| found.end <= at) {
            matches.next();
        }
        let is_match = matches.peek().is_some_and(|found| found.contains(&at));
        if is_match != inside {
            out.push(if is_match { MATCH_START } else { MATCH_END });
            inside = is_match;
        }
        let Some((c, columns)) = harmless.next(c) else { continue };
        if used + columns > most {
            out.extend_from_slice("…".as_bytes());
            used += 1;
            break;
        }
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        used += columns;
    }
    if inside {
        out.push(MATCH_END);
    }
    used
}

/// Writes text of [`push_marked`] that takes `columns` columns into `width` columns, with `style`
/// for matches, and says how many it takes. Of text that is too long, the part with the first match
/// is shown.
pub(super) fn push_window(
    text: &[u8],
    columns: usize,
    width: usize,
    style: anstyle::Style,
    out: &mut Vec<u8>,
) -> usize {
    use std::io::Write as _;
    let text = crate::text::lossy(text);
    let skip = if columns > width { skipped(&text, columns, width) } else { 0 };
    let mut cutter = Cutter::new(width, out);
    if skip > 0 {
        cutter.push('…', 1, out);
    }
    let mut passed = 0;
    let mut styled = false;
    for c in text.chars() {
        // Writing to a vector can't fail.
        match c {
            '\u{2}' => {
                styled = true;
                let _ = write!(out, "{style}");
            }
            '\u{3}' => drop(write!(out, "{style:#}")),
            c => {
                let columns = c.width().unwrap_or(0);
                passed += columns;
                if passed <= skip {
                    continue;
                }
                if !cutter.push(c, columns, out) {
                    break;
                }
            }
        }
    }
    // The end of a style may have been cut off.
    if styled {
        let _ = write!(out, "{style:#}");
    }
    cutter.used
}

/// How many columns to leave out, so that the first match is seen with some text before it.
fn skipped(text: &str, columns: usize, width: usize) -> usize {
    let (mut at, mut start) = (0, None);
    let mut end = None;
    for c in text.chars() {
        match c {
            '\u{2}' => start = start.or(Some(at)),
            '\u{3}' => end = end.or(Some(at)),
            c => at += c.width().unwrap_or(0),
        }
    }
    match (start, end) {
        // One column is the `…` where the text is cut.
        (Some(start), Some(end)) if end >= width => {
            let before = (width / 3).min(width.saturating_sub(end - start + 2));
            // No further than to show the text's end.
            start.saturating_sub(before).min(columns - width + 1)
        }
        _ => 0,
    }
}

/// Makes characters harmless: blanks in a row become one, unless they are kept, and marks don't pile
/// up.
#[derive(Default)]
struct Harmless {
    keeps_blanks: bool,
    /// Whether the last was anything but a blank.
    in_word: bool,
    marks: usize,
}

impl Harmless {
    /// The character to show and its columns; nothing where none is to be shown.
    fn next(&mut self, c: char) -> Option<(char, usize)> {
        let c = harmless(c);
        let in_word = std::mem::replace(&mut self.in_word, c != ' ');
        if c == ' ' && !in_word && !self.keeps_blanks {
            return None;
        }
        let columns = c.width().unwrap_or(0);
        self.marks = if columns == 0 { self.marks + 1 } else { 0 };
        (self.marks <= MAX_MARKS).then_some((c, columns))
    }
}

/// Writes characters up to a width, and `…` where there are more.
struct Cutter {
    width: usize,
    used: usize,
    /// Where the text would be cut, and the columns used up to there.
    cut: (usize, usize),
}

impl Cutter {
    fn new(width: usize, out: &[u8]) -> Self {
        Cutter { width, used: 0, cut: (out.len(), 0) }
    }

    /// Writes a character; where there is no room, cuts and says so.
    fn push(&mut self, c: char, columns: usize, out: &mut Vec<u8>) -> bool {
        if columns > self.width - self.used {
            out.truncate(self.cut.0);
            self.used = 0;
            if self.width > 0 {
                out.extend_from_slice("…".as_bytes());
                self.used = self.cut.1 + 1;
            }
            return false;
        }
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        self.used += columns;
        if self.used < self.width {
            self.cut = (out.len(), self.used);
        }
        true
    }
}
