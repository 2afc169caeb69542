//! Comparing without regard to case.

/// A character for comparing without regard to case: characters that differ in case only have the
/// same. This is Unicode's simple case folding, by which regular expressions ignore case too, up to
/// the choice of the character that stands for all.
#[inline]
pub fn fold(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    fold_other(c)
}

#[cold]
fn fold_other(c: char) -> char {
    let single = |chars: &mut dyn Iterator<Item = char>| match (chars.next(), chars.next()) {
        (Some(one), None) => Some(one),
        _ => None,
    };
    match c {
        // Only Turkish and Azeri pair these with I and i.
        'ı' | 'İ' => c,
        // Two of a kind that have no other case.
        '\u{1fd3}' => '\u{390}',
        '\u{1fe3}' => '\u{3b0}',
        '\u{fb05}' => '\u{fb06}',
        _ => {
            let upper = single(&mut c.to_uppercase()).unwrap_or(c);
            single(&mut upper.to_lowercase()).unwrap_or(upper)
        }
    }
}

/// Whether two texts are the same but for case.
#[inline]
pub fn eq_ignore_case(one: &str, other: &str) -> bool {
    // As they mostly are, or of another length: case takes longer.
    if one == other {
        return true;
    }
    if one.is_ascii() && other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    one.chars().map(fold).eq(other.chars().map(fold))
}
