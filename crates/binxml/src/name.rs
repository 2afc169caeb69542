//! Names of elements and attributes.

/// Whether a character may stand in a name, and, if it is the first one, begin it. A little less
/// than XML 1.0 allows (section 2.3), and all that events have.
pub(crate) fn is_name_character(c: char, first: bool) -> bool {
    match c {
        'a'..='z' | 'A'..='Z' | '_' | ':' => true,
        '0'..='9' | '-' | '.' => !first,
        '\u{80}'.. => c.is_alphanumeric(),
        _ => false,
    }
}

/// Whether a text is a name.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().enumerate().all(|(i, c)| is_name_character(c, i == 0))
}

/// The low half of a name's hash (MS-EVEN6 2.2.12, NameHash), of which a file's string table
/// takes the bucket too.
pub(crate) fn name_hash(units: impl IntoIterator<Item = u16>) -> u16 {
    let hash = |hash: u32, unit| hash.wrapping_mul(65_599).wrapping_add(u32::from(unit));
    units.into_iter().fold(0, hash) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_specification() {
        // MS-EVEN6 4.4 and 4.8.
        let hash = |name: &str| name_hash(name.encode_utf16());
        assert_eq!(hash("Event"), 0x0cba);
        assert_eq!(hash("Element1"), 0x79b5);
        assert_eq!(hash("xmlns:auto-ns2"), 0x774d);
        assert_eq!(hash("RelatedActivityID"), 0xc535);
    }

    #[test]
    fn names_are_those_of_xml() {
        for name in ["Event", "xmlns:auto-ns2", "_1", "Größe"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "1a", "a b", "a<", "-a"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
