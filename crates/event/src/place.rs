//! Where in a text that a person wrote something is wrong, so that it can be shown with a caret.

/// A place in a text: the text itself and a byte position in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    text: String,
    at: usize,
}

impl Place {
    /// A place; a position past the end or inside a character is moved back to one that is none
    /// of these.
    pub fn new(text: &str, at: usize) -> Self {
        Place { text: text.to_owned(), at: text.floor_char_boundary(at) }
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The position in bytes, from 0 up to the text's length.
    pub fn byte(&self) -> usize {
        self.at
    }

    /// The line, from 1.
    pub fn line(&self) -> usize {
        1 + self.text[..self.at].matches('\n').count()
    }

    /// The column in characters, from 1.
    pub fn column(&self) -> usize {
        1 + self.text[self.line_start()..self.at].chars().count()
    }

    /// Two lines to print below a message: the line of the text, cut to 72 characters around the
    /// place, and a caret under the place. Control characters are not printed.
    pub fn snippet(&self) -> String {
        const BEFORE: usize = 48;
        const AFTER: usize = 24;
        let start = self.line_start();
        let line = self.text[start..].split(['\n', '\r']).next().unwrap_or_default();
        let column = self.column() - 1;
        let skipped = column.saturating_sub(BEFORE);
        let shown = line.chars().skip(skipped).take(column - skipped + AFTER);
        let shown: String = shown.map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("{}\n{:width$}^", shown.trim_end(), "", width = column - skipped)
    }

    fn line_start(&self) -> usize {
        self.text[..self.at].rfind('\n').map_or(0, |newline| newline + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_stands_under_the_place() {
        let place = Place::new("*[\n  Système[ü!]", 16);
        assert_eq!((place.line(), place.column(), place.byte()), (2, 12, 16));
        assert_eq!(place.snippet(), "  Système[ü!]\n           ^");
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = "x".repeat(1000) + "!" + &"y".repeat(1000);
        let snippet = Place::new(&text, 1000).snippet();
        let (line, caret) = snippet.split_once('\n').unwrap();
        assert_eq!(line.chars().count(), 72);
        assert_eq!(line.find('!'), caret.find('^'));
    }

    #[test]
    fn a_position_past_the_end_is_the_end() {
        let place = Place::new("é", 9);
        assert_eq!((place.byte(), place.column()), (2, 2));
        assert_eq!(Place::new("é", 1).byte(), 0);
    }
}
