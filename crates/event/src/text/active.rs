//! Characters that act on what shows them.

/// Whether a character acts on what shows it instead of being shown: the controls (C0, DEL, C1),
/// line and paragraph separators, what turns the direction of text (UAX #9), and what is invisible
/// but for its effect (U+00AD, U+200B, U+2060 to U+206F, U+FEFF, U+FFF9 to U+FFFB, tags).
pub fn is_active(c: char) -> bool {
    matches!(
        c,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// The character to show in place of another on a terminal: a blank for what ends a line and for a
/// tab, the picture of another C0 control or DEL, U+FFFD for what else [`is_active`].
pub fn harmless(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
        '\0'..='\x1f' => char::from_u32(0x2400 + c as u32).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\x7f' => '\u{2421}',
        c if is_active(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}
