//! Times as people read them, in a zone, and what a zone is called.

use std::io::Write;

use crate::EventTime;

/// How a time is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    /// `2026-08-22 12:00:00`
    Local,
    /// `2026-08-22 12:00:00+02:00`
    Second,
    /// `2026-08-22 12:00:00.123+02:00`
    Millisecond,
}

/// A time in a zone, which is told elsewhere: `2026-08-22 12:00:00`.
pub fn clock_time(time: EventTime, zone: &jiff::tz::TimeZone) -> String {
    text(time, zone, Precision::Local)
}

/// A time in a zone: `2026-08-22 12:00:00+02:00`.
pub fn local_time(time: EventTime, zone: &jiff::tz::TimeZone) -> String {
    text(time, zone, Precision::Second)
}

fn text(time: EventTime, zone: &jiff::tz::TimeZone, precision: Precision) -> String {
    let mut text = Vec::new();
    push_time(time, zone, precision, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

pub(super) fn push_time(
    time: EventTime,
    zone: &jiff::tz::TimeZone,
    precision: Precision,
    out: &mut Vec<u8>,
) {
    let Some(timestamp) = time.to_timestamp() else {
        return out.extend_from_slice(time.to_text().as_bytes());
    };
    let offset = zone.to_offset(timestamp);
    let local = offset.to_datetime(timestamp);
    // Writing to a vector can't fail.
    let _ = write!(
        out,
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        local.year(),
        local.month(),
        local.day(),
        local.hour(),
        local.minute(),
        local.second()
    );
    if precision == Precision::Millisecond {
        let _ = write!(out, ".{:03}", local.subsec_nanosecond() / 1_000_000);
    }
    if precision != Precision::Local {
        push_offset(offset, out);
    }
}

fn push_offset(offset: jiff::tz::Offset, out: &mut Vec<u8>) {
    let seconds = offset.seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    // Writing to a vector can't fail.
    let _ = write!(out, "{sign}{:02}:{:02}", minutes / 60, minutes % 60);
}

/// What a zone is called: its name in the IANA database, or the offset if it has only one, or the
/// abbreviations of winter and summer.
pub(super) fn zone_name(zone: &jiff::tz::TimeZone) -> String {
    match zone.iana_name() {
        // Names of one zone, of which a system chooses any.
        Some(
            "Etc/UTC" | "Etc/UCT" | "Etc/Universal" | "Etc/Zulu" | "UCT" | "Universal" | "Zulu",
        ) => {
            return "UTC".to_owned();
        }
        Some(name) => return name.to_owned(),
        None => {}
    }
    if let Ok(offset) = zone.to_fixed_offset() {
        if offset.is_zero() {
            return "UTC".to_owned();
        }
        let mut text = Vec::new();
        push_offset(offset, &mut text);
        return String::from_utf8_lossy(&text).into_owned();
    }
    // Any year will do; this is one in which winter and summer differ where they still do.
    let [winter, summer] = [1_767_225_600, 1_782_864_000].map(|second| {
        let timestamp = jiff::Timestamp::from_second(second).unwrap_or_default();
        zone.to_offset_info(timestamp).abbreviation().to_owned()
    });
    if winter == summer { winter } else { format!("{winter}/{summer}") }
}

/// The heading of a column of times, `TIME Europe/Berlin`. Where `width` is given and that is too
/// long, the zone is named by the last part of its name: `TIME New_York`.
pub fn time_heading(name: &str, zone: &jiff::tz::TimeZone, width: Option<usize>) -> String {
    let zone = zone_name(zone);
    let whole = format!("{name} {zone}");
    match width {
        Some(width) if whole.chars().count() > width => {
            format!("{name} {}", zone.rsplit('/').next().unwrap_or(&zone))
        }
        _ => whole,
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::{TimeZone, offset};

    use super::*;

    #[test]
    fn the_heading_names_the_zone_at_every_width() {
        let heading = |zone: &TimeZone| time_heading("TIME", zone, Some(19));
        assert_eq!(heading(&TimeZone::UTC), "TIME UTC");
        assert_eq!(heading(&TimeZone::fixed(offset(-3))), "TIME -03:00");
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert_eq!(heading(&berlin), "TIME CET/CEST");
        assert_eq!(heading(&TimeZone::posix("JST-9").unwrap()), "TIME JST");
        let Ok(york) = TimeZone::get("America/New_York") else { return };
        assert_eq!(heading(&york), "TIME New_York");
        assert_eq!(TimeZone::get("Etc/UTC").map(|utc| heading(&utc)).ok(), Some("TIME UTC".into()));
        assert_eq!(time_heading("TIME", &york, None), "TIME America/New_York");
    }
}
