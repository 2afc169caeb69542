use proptest::prelude::*;

use super::*;

/// Values one to nine are `<1>` to `<9>`; the parameter 1936 is `TYPE`.
struct Marks;

impl Fill for Marks {
    fn insert(&mut self, number: u8, out: &mut Vec<u8>) -> bool {
        if number < 10 {
            out.extend_from_slice(format!("<{number}>").as_bytes());
        }
        number < 10
    }

    fn parameter(&mut self, number: u32, out: &mut Vec<u8>) -> bool {
        if number == 1936 {
            out.extend_from_slice(b"TYPE");
        }
        number == 1936
    }
}

fn filled(message: &str) -> String {
    let mut out = Vec::new();
    Text::parse(message).push(&mut Marks, &mut out);
    String::from_utf8(out).unwrap()
}

/// FormatMessage's documentation has a line for each of these marks.
#[test]
fn marks_mean_what_format_message_documents() {
    let cases = [
        ("%1 and %2", "<1> and <2>"),
        ("a%nb%tc%rd%be", "a\r\nb\tc\rd e"),
        ("100%% of %1", "100% of <1>"),
        ("stop%0 not this\r\n", "stop"),
        ("%1!s! %2!08x! %3!-10.5ls!.", "<1> <2> <3>."),
        ("%1!", "<1>!"),
        ("%.%!% x", ".! x"),
        ("%", "%"),
        ("%ü", "ü"),
    ];
    for (message, text) in cases {
        assert_eq!(filled(message), text, "{message}");
    }
}

#[test]
fn a_mark_has_two_digits_at_most() {
    assert_eq!(filled("%9%99%100"), "<9>%99%100");
    // `%100` is the value 10 and a 0.
    assert_eq!(Text::parse("%100").highest_insert(), 10);
}

#[test]
fn a_mark_without_a_value_stays() {
    assert_eq!(filled("%10 %99 %42!s!"), "%10 %99 %42");
}

#[test]
fn exactly_one_line_end_is_removed_and_none_of_a_value() {
    assert_eq!(filled("text\r\n"), "text");
    assert_eq!(filled("text\r\n\r\n"), "text\r\n");
    assert_eq!(filled("text%n"), "text");
    assert_eq!(filled("text\n"), "text");
    assert_eq!(filled("text%r%n%0\r\n"), "text\r\r\n");
    assert_eq!(filled("%1\r\n"), "<1>");
    assert_eq!(filled("\r\n%1"), "\r\n<1>");
}

#[test]
fn parameters_are_replaced_in_the_text_and_inside_of_values() {
    assert_eq!(filled("kind: %%1936."), "kind: TYPE.");
    assert_eq!(filled("%%7 and %%x"), "%7 and %x");
    let mut value = b"before %%1936\r\n\t\t%%1936 %%12 %% 5%".to_vec();
    replace_parameters(7, &mut Marks, &mut value);
    assert_eq!(value, b"before TYPE\r\n\t\tTYPE %%12 %% 5%");
    // A number that no identifier can be.
    let mut value = b"%%99999999999".to_vec();
    replace_parameters(0, &mut Marks, &mut value);
    assert_eq!(value, b"%%99999999999");
}

proptest! {
    #[test]
    fn any_message_is_taken_apart(message in "[%0-9!nrtb\r\n\u{e9}x]{0,40}") {
        let text = Text::parse(&message);
        let mut out = Vec::new();
        text.push(&mut Marks, &mut out);
        prop_assert!(std::str::from_utf8(&out).is_ok());
    }

    #[test]
    fn text_without_marks_comes_out_as_it_went_in(message in "[a-z\r\n\u{e9}]{0,40}x") {
        prop_assert_eq!(filled(&message), message);
    }
}
