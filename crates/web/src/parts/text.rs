//! Text of events, which may be anything, as a page shows it.

use std::borrow::Cow;

use quarry_event::EventTime;
use quarry_event::text::{harmless, is_active};

/// Text with marks in place of the characters that act on what shows them: pictures of control
/// characters, the numbers of those that turn the direction of text or are invisible. A script can
/// show it as text too, and has the same.
pub(crate) fn marked(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_active) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            '\r' => {}
            c if is_active(c) && harmless(c) == char::REPLACEMENT_CHARACTER => {
                shown.push_str(&format!("\u{27e8}U+{:04X}\u{27e9}", u32::from(c)));
            }
            c => shown.push(harmless(c)),
        }
    }
    shown.into()
}

/// What a source is called where there is little room: a file without its folders.
pub(crate) fn brief_source(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().filter(|last| !last.is_empty()).unwrap_or(name)
}

/// A number with its digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 server`, `2 servers`.
pub(crate) fn many(number: usize, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        number => format!("{} {one}s", grouped(number as u64)),
    }
}

/// A time to the millisecond in a zone, without the zone's name.
pub(crate) fn clock(time: EventTime, zone: &jiff::tz::TimeZone) -> String {
    match time.to_timestamp() {
        Some(timestamp) => {
            timestamp.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
        }
        None => time.to_string(),
    }
}

/// How long ago a time is.
pub(crate) fn ago(time: EventTime, now: EventTime) -> String {
    let seconds = now.as_filetime().saturating_sub(time.as_filetime()) / EventTime::SECOND;
    match seconds {
        0 => "<1 s".to_owned(),
        1..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A length of time in words: of a bar, of a range.
pub(crate) fn span(seconds: u64) -> String {
    let (number, unit) = match seconds {
        0..60 => (seconds, "s"),
        60..3600 => (seconds / 60, "min"),
        3600..86_400 => (seconds / 3600, "h"),
        _ => (seconds / 86_400, "days"),
    };
    match (number, unit) {
        (1, "days") => "1 day".to_owned(),
        _ => format!("{number} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_page_is_marked_and_markup_is_text() {
        assert_eq!(
            marked("a\u{202e}b\0c\x1b[31m"),
            "a\u{27e8}U+202E\u{27e9}b\u{2400}c\u{241b}[31m"
        );
        assert_eq!(marked("<b>\nplain"), "<b>\nplain");
        let row = maud::html! { td { (marked("<script>\u{200b}")) } }.into_string();
        assert_eq!(row, "<td>&lt;script&gt;\u{27e8}U+200B\u{27e9}</td>");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
