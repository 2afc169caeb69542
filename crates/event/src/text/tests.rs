use super::*;
use proptest::prelude::*;

fn encode(units: &[u16]) -> Vec<u8> {
    units.iter().flat_map(|unit| unit.to_le_bytes()).collect()
}

fn pushed<E: Escape>(units: &[u16]) -> String {
    let mut out = Vec::new();
    Utf16::new(&encode(units)).push::<E>(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn case_is_ignored_as_regular_expressions_ignore_it() {
    use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};
    // The standard library may know letters of a later version of Unicode.
    let unassigned = regex::Regex::new(r"^\p{Cn}$").unwrap();
    let known = ('\0'..=char::MAX).filter(|c| !unassigned.is_match(c.encode_utf8(&mut [0; 4])));
    for c in known {
        let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
        class.case_fold_simple();
        let alike: Vec<char> = class.iter().flat_map(|range| range.start()..=range.end()).collect();
        assert!(alike.contains(&fold(c)), "{c:?} {:?}", fold(c));
        assert!(alike.iter().all(|&other| fold(other) == fold(c)), "{c:?}: {alike:?}");
    }
}

#[test]
fn utf16_is_compared_without_regard_to_case_as_utf8_is() {
    let texts = [
        "",
        "k",
        "K",
        "\u{212a}",
        "s",
        "\u{17f}",
        "Stra\u{df}e",
        "STRASSE",
        "stra\u{1e9e}E",
        "\u{130}",
        "i",
        "\u{131}",
        "I",
        "abc",
        "ABC",
        "abcd",
        "\u{e9}",
        "\u{c9}",
        "\u{10400}",
        "\u{10428}",
    ];
    for one in texts {
        for other in texts {
            let folded = |text: &str| text.chars().map(fold).collect::<String>();
            let expected = folded(one) == folded(other);
            assert_eq!(eq_ignore_case(one, other), expected, "{one} {other}");
            for ending in [&[][..], &[0], &[0, 0x41]] {
                let mut units: Vec<u16> = one.encode_utf16().collect();
                units.extend(ending);
                let same = Utf16::new(&encode(&units)).eq_ignore_case(other);
                assert_eq!(same, expected, "{one} {other} {ending:?}");
            }
        }
    }
}

/// The same by the standard library, a character at a time.
fn expected<E: Escape>(units: &[u16]) -> String {
    let mut out = Vec::new();
    char::decode_utf16(units.iter().copied().take_while(|&unit| unit != 0))
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .for_each(|c| E::push_char(c, &mut out));
    String::from_utf8(out).unwrap()
}

fn units() -> impl Strategy<Value = Vec<u16>> {
    let unit = prop_oneof![
        8 => 0x20u16..0x7f,
        1 => 0u16..0x20,
        1 => 0xd800u16..0xe000,
        1 => any::<u16>(),
    ];
    prop::collection::vec(unit, 0..60)
}

proptest! {
    #[test]
    fn every_place_gets_what_the_standard_library_decodes(units in units()) {
        prop_assert_eq!(pushed::<Plain>(&units), expected::<Plain>(&units));
        prop_assert_eq!(pushed::<Json>(&units), expected::<Json>(&units));
        prop_assert_eq!(pushed::<XmlText>(&units), expected::<XmlText>(&units));
        prop_assert_eq!(pushed::<XmlAttribute>(&units), expected::<XmlAttribute>(&units));
    }

    #[test]
    fn utf8_and_utf16_are_escaped_alike(text in "[ -~\\x00-\\x1f\u{fffe}\u{e9}]{0,30}") {
        prop_assume!(!text.contains('\0'));
        let units: Vec<u16> = text.encode_utf16().collect();
        let mut out = Vec::new();
        Json::push_str(&text, &mut out);
        prop_assert_eq!(String::from_utf8(out).unwrap(), pushed::<Json>(&units));
        let mut out = Vec::new();
        XmlAttribute::push_str(&text, &mut out);
        prop_assert_eq!(String::from_utf8(out).unwrap(), pushed::<XmlAttribute>(&units));
    }

    #[test]
    fn text_equals_what_it_decodes_to(units in units(), other in "[ -~\u{e9}]{0,12}") {
        let bytes = encode(&units);
        let text = Utf16::new(&bytes);
        prop_assert!(text == *text.to_string());
        prop_assert_eq!(text == *other, text.to_string() == other);
    }
}

#[test]
fn any_unit_amid_long_plain_text_is_what_the_standard_library_decodes() {
    for unit in (0..0x180).chain([0x2028, 0x225b, 0x5c00, 0xd83d, 0xde00, 0xffff]) {
        for at in [0, 7, 8, 15, 16, 31, 40, 63, 79] {
            let mut units = vec![u16::from(b'x'); 80];
            units[at] = unit;
            assert_eq!(pushed::<Plain>(&units), expected::<Plain>(&units));
            assert_eq!(pushed::<Json>(&units), expected::<Json>(&units));
            assert_eq!(pushed::<XmlText>(&units), expected::<XmlText>(&units));
            assert_eq!(pushed::<XmlAttribute>(&units), expected::<XmlAttribute>(&units));
        }
    }
}

#[test]
fn what_acts_on_a_terminal_is_escaped_in_json_and_xml() {
    let text = "a\u{1b}\u{7f}\u{9b}\u{202e}\u{2066}\u{feff}\u{e0041}é";
    let units: Vec<u16> = text.encode_utf16().collect();
    let json = r"a\u001b\u007f\u009b\u202e\u2066\ufeff\udb40\udc41é";
    assert_eq!(pushed::<Json>(&units), json);
    let xml = "a\u{fffd}&#127;&#155;&#8238;&#8294;&#65279;&#917569;é";
    assert_eq!(pushed::<XmlText>(&units), xml);
    assert_eq!(pushed::<XmlAttribute>(&units), xml);
    let shown: String = text.chars().map(harmless).collect();
    assert_eq!(shown, "a␛␡\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}é");
}

#[test]
fn every_control_and_format_character_of_unicode_is_active_but_those_that_shape_letters() {
    // The categories Cc and Cf, by the crate `regex`.
    let known = regex::Regex::new(r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]").unwrap();
    // Joiners of letters; marks around the numbers and verses of Arabic, Syriac, Kaithi,
    // Egyptian; shorthand and musical notation.
    let shapes = regex::Regex::new(
        r"[\u{200c}\u{200d}\u{600}-\u{605}\u{6dd}\u{70f}\u{890}\u{891}\u{8e2}\u{110bd}\u{110cd}\u{13430}-\u{1345f}\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}]",
    )
    .unwrap();
    for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
        let is = |set: &regex::Regex| set.is_match(c.encode_utf8(&mut [0; 4]));
        let unassigned = matches!(c, '\u{2065}' | '\u{e0000}'..='\u{e001f}');
        if !unassigned {
            assert_eq!(is_active(c), is(&known) && !is(&shapes), "{c:?}");
        }
    }
}

#[test]
fn a_nul_ends_text() {
    let units: Vec<u16> = "eight units\0more".encode_utf16().collect();
    assert_eq!(pushed::<Plain>(&units), "eight units");
    assert!(Utf16::new(&encode(&[0, 65])).is_empty());
    assert_eq!(Ansi::new(b"caf\xe9\0x", encoding_rs::WINDOWS_1252).decode(), "café");
}

#[test]
fn what_xml_cannot_hold_is_replaced() {
    assert_eq!(pushed::<XmlText>(&[0x1, 0xd800, 0x41, 0xfffe]), "\u{fffd}\u{fffd}A\u{fffd}");
    assert_eq!(pushed::<XmlText>(&[13, 10]), "&#13;\n");
    assert_eq!(pushed::<XmlAttribute>(&[34, 10]), "&quot;&#10;");
}
