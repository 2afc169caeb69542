//! Points in time as people write them.

use jiff::civil::{Date, Time};
use jiff::fmt::friendly::SpanParser;
use jiff::tz::{Offset, TimeZone};
use jiff::{ToSpan, Zoned};

use super::error::{FilterError, FilterProblem};
use crate::EventTime;

/// The most bytes of a time's text.
const MAX_LENGTH: usize = 200;

/// Reads a point in time: `8h`, `1h30m` and `"2 days ago"` (all of them ago), `now`, `today`,
/// `yesterday`, `14:30`, `yesterday 14:00`, `2026-11-22`, `2026-11-22T06:00`,
/// `2026-11-22 06:00:01.5`. Dates and clock times may end in a zone (`Z`, `+02:00`,
/// `[Europe/Berlin]`, or the last two together) and are in the zone of `now` otherwise; a day by
/// itself is its beginning.
///
/// A local time that a clock change skips is read as if the clock hadn't been changed yet; one
/// that comes twice is the first.
pub fn parse_time(text: &str, now: &Zoned) -> Result<EventTime, FilterError> {
    let trimmed = text.trim();
    let not_a_time = || FilterError::about(text, trimmed, FilterProblem::Time);
    if trimmed.is_empty() {
        let problem = FilterProblem::Empty("a time such as 8h, yesterday or 2026-11-22 is needed");
        return Err(FilterError::new(text, 0, problem));
    }
    if trimmed.len() > MAX_LENGTH {
        return Err(FilterError::new(text, MAX_LENGTH, FilterProblem::TooLong(MAX_LENGTH)));
    }
    let lower = trimmed.to_ascii_lowercase();
    if lower == "now" {
        return Ok(EventTime::from_timestamp(now.timestamp()));
    }
    let failed =
        |why: String| FilterError::about(text, trimmed, |_| FilterProblem::NoSuchTime(why));
    for (word, days_ago) in [("today", 0), ("yesterday", 1)] {
        let Some(rest) = lower.strip_prefix(word) else { continue };
        let rest = &trimmed[trimmed.len() - rest.len()..];
        let (clock, zone) = zone(rest.trim(), 0).map_err(failed)?;
        let clock = match clock {
            "" => Time::midnight(),
            clock if rest.starts_with(' ') => {
                time(clock).ok_or_else(not_a_time)?.map_err(failed)?
            }
            _ => return Err(not_a_time()),
        };
        let zoned = zone.at(now);
        let date = zoned.date().checked_sub(days_ago.days()).map_err(|e| failed(e.to_string()))?;
        return zone.resolve(date, clock, now).map_err(failed);
    }
    if is_date(trimmed) {
        let (civil, zone) = zone(trimmed, "2026-11-22".len()).map_err(failed)?;
        let (date, clock) = match civil.split_once(['T', 't', ' ']) {
            Some((date, clock)) => (date, Some(clock.trim())),
            None => (civil, None),
        };
        let day = date.parse::<Date>().map_err(|_| failed(format!("there is no day {date}")))?;
        let clock = match clock {
            None => Time::midnight(),
            Some(clock) => time(clock).ok_or_else(not_a_time)?.map_err(failed)?,
        };
        return zone.resolve(day, clock, now).map_err(failed);
    }
    if let (clock, zone) = zone(trimmed, 0).map_err(failed)?
        && let Some(clock) = time(clock)
    {
        let date = zone.at(now).date();
        return zone.resolve(date, clock.map_err(failed)?, now).map_err(failed);
    }
    let span = match lower.starts_with('+') {
        true => return Err(not_a_time()),
        false => SpanParser::new().parse_span(&lower).map_err(|_| not_a_time())?,
    };
    match now.checked_sub(span.abs()) {
        Ok(then) => Ok(EventTime::from_timestamp(then.timestamp())),
        Err(_) => Err(failed(format!("`{trimmed}` is too long ago"))),
    }
}

/// Whether the text begins as a date does.
fn is_date(text: &str) -> bool {
    matches!(text.as_bytes(), [a, b, c, d, b'-', ..] if [a, b, c, d].iter().all(|b| b.is_ascii_digit()))
}

/// A time of day, if the text looks like one: digits, colons and one point.
fn time(text: &str) -> Option<Result<Time, String>> {
    let looks = text.contains(':')
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b':' | b'.'));
    let padded = if text.find(':') == Some(1) { format!("0{text}") } else { text.to_owned() };
    looks.then(|| padded.parse().map_err(|_| format!("there is no time of day {text}")))
}

/// The zone that a text ends in.
#[derive(Default)]
struct Zone {
    offset: Option<Offset>,
    name: Option<TimeZone>,
}

impl Zone {
    /// The present in the zone.
    fn at(&self, now: &Zoned) -> Zoned {
        match (&self.name, self.offset) {
            (Some(name), _) => now.with_time_zone(name.clone()),
            (None, Some(offset)) => now.with_time_zone(offset.to_time_zone()),
            (None, None) => now.clone(),
        }
    }

    /// The point in time of a civil time in the zone.
    fn resolve(&self, date: Date, time: Time, now: &Zoned) -> Result<EventTime, String> {
        let civil = date.to_datetime(time);
        let zone = match self.offset {
            Some(offset) => offset.to_time_zone(),
            None => self.name.clone().unwrap_or_else(|| now.time_zone().clone()),
        };
        let zoned = civil.to_zoned(zone).map_err(|error| error.to_string())?;
        if let (Some(offset), Some(name)) = (self.offset, &self.name)
            && name.to_offset(zoned.timestamp()) != offset
        {
            let zone = name.iana_name().unwrap_or("the zone");
            return Err(format!("{zone} isn't at {offset} at {civil}"));
        }
        Ok(EventTime::from_timestamp(zoned.timestamp()))
    }
}

/// Takes the zone off the end of a text. The first `skip` bytes, a date, have no offset in them.
fn zone(text: &str, skip: usize) -> Result<(&str, Zone), String> {
    let mut zone = Zone::default();
    let mut rest = text;
    if let Some((before, name)) = text.strip_suffix(']').and_then(|text| text.rsplit_once('[')) {
        let found = TimeZone::get(name).map_err(|_| format!("there is no time zone `{name}`"))?;
        zone.name = Some(found);
        rest = before.trim_end();
    }
    if let Some(before) = rest.strip_suffix(['Z', 'z']) {
        zone.offset = Some(Offset::UTC);
        rest = before.trim_end();
    } else if let Some(at) = rest.rfind(['+', '-']).filter(|&at| at >= skip && at > 0) {
        let digits = &rest[at + 1..];
        let is_offset = digits.bytes().all(|b| b.is_ascii_digit() || b == b':');
        if rest[..at].contains(':') || (skip > 0 && is_offset) {
            let wrong = || format!("`{}` is not an offset from UTC such as +02:00", &rest[at..]);
            let offset = offset(digits, rest.as_bytes()[at] == b'-').ok_or_else(wrong)?;
            zone.offset = Some(offset);
            rest = rest[..at].trim_end();
        }
    }
    Ok((rest, zone))
}

/// An offset from `02:00`, `0200` or `02`.
fn offset(text: &str, is_negative: bool) -> Option<Offset> {
    let (hours, minutes) = match text.len() {
        2 => (text, "0"),
        4 => text.split_at_checked(2)?,
        5 => text.split_once(':')?,
        _ => return None,
    };
    if !hours.bytes().chain(minutes.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = (hours.parse::<i32>().ok()?, minutes.parse::<i32>().ok()?);
    let seconds = (hours <= 23 && minutes <= 59).then_some(hours * 3600 + minutes * 60)?;
    Offset::from_seconds(if is_negative { -seconds } else { seconds }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sunday, 2026-11-22, 15:16:17.123456789 in Berlin, an hour before UTC.
    fn now() -> Zoned {
        "2026-11-22T15:16:17.123456789+01:00[Europe/Berlin]".parse().unwrap()
    }

    fn read(text: &str) -> String {
        parse_time(text, &now()).unwrap().to_string()
    }

    #[test]
    fn a_duration_is_ago() {
        for (text, expected) in [
            ("8h", "2026-11-22T06:16:17.1234567Z"),
            ("90m", "2026-11-22T12:46:17.1234567Z"),
            ("1h30m", "2026-11-22T12:46:17.1234567Z"),
            ("1h 30m ago", "2026-11-22T12:46:17.1234567Z"),
            ("2 days ago", "2026-11-20T14:16:17.1234567Z"),
            ("2 DAYS", "2026-11-20T14:16:17.1234567Z"),
            ("1 week", "2026-11-15T14:16:17.1234567Z"),
            ("-30s", "2026-11-22T14:15:47.1234567Z"),
            ("1mo", "2026-10-22T13:16:17.1234567Z"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn days_and_clock_times_are_local_unless_they_have_a_zone() {
        for (text, expected) in [
            ("now", "2026-11-22T14:16:17.1234567Z"),
            ("today", "2026-11-21T23:00:00.0000000Z"),
            ("Yesterday", "2026-11-20T23:00:00.0000000Z"),
            ("yesterday 14:00", "2026-11-21T13:00:00.0000000Z"),
            ("yesterday 14:00Z", "2026-11-21T14:00:00.0000000Z"),
            ("today 9:05:06.5", "2026-11-22T08:05:06.5000000Z"),
            ("14:30", "2026-11-22T13:30:00.0000000Z"),
            ("14:30 [Asia/Tokyo]", "2026-11-22T05:30:00.0000000Z"),
            ("2026-11-22", "2026-11-21T23:00:00.0000000Z"),
            ("2026-07-01", "2026-06-30T22:00:00.0000000Z"),
            ("2026-11-22T06:00", "2026-11-22T05:00:00.0000000Z"),
            ("2026-11-22 06:00:01.5", "2026-11-22T05:00:01.5000000Z"),
            ("2026-11-22T06:00Z", "2026-11-22T06:00:00.0000000Z"),
            ("2026-11-22T06:00+02:00", "2026-11-22T04:00:00.0000000Z"),
            ("2026-11-22 06:00 -0330", "2026-11-22T09:30:00.0000000Z"),
            ("2026-11-22Z", "2026-11-22T00:00:00.0000000Z"),
            ("2026-11-22T06:00[Asia/Tokyo]", "2026-11-21T21:00:00.0000000Z"),
            ("2026-11-22T06:00+09:00[Asia/Tokyo]", "2026-11-21T21:00:00.0000000Z"),
            ("2026-11-22T06:00:00.1234567Z", "2026-11-22T06:00:00.1234567Z"),
            // The hour from 2 to 3 is skipped in spring, and comes twice in autumn.
            ("2026-03-29T02:30", "2026-03-29T01:30:00.0000000Z"),
            ("2026-10-25T02:30", "2026-10-25T00:30:00.0000000Z"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_the_reason() {
        for (text, about) in [
            ("", "nothing here"),
            ("8", "`8` is not a time"),
            ("noon", "`noon` is not a time"),
            ("+8h", "`+8h` is not a time"),
            ("yesterday1", "is not a time"),
            ("yesterday noon", "is not a time"),
            ("2026-11", "there is no day 2026-11"),
            ("2026-02-30", "there is no day 2026-02-30"),
            ("2026-11-22T", "is not a time"),
            ("2026-11-22T25:00", "no time of day 25:00"),
            ("24:61", "no time of day 24:61"),
            ("2026-11-22T06:00[Mars/Crater]", "no time zone `Mars/Crater`"),
            ("2026-11-22T06:00+2", "`+2` is not an offset"),
            ("2026-11-22T06:00+01:00[Asia/Tokyo]", "Asia/Tokyo isn't at +01"),
            ("99999 years ago", "is not a time"),
            ("19000 years ago", "too long ago"),
        ] {
            let error = parse_time(text, &now()).unwrap_err();
            assert!(error.to_string().contains(about), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_time_or_refused(text in "[ 0-9a-zT:.+\\-\\[\\]/é]{0,24}") {
            let _ = parse_time(&text, &now());
        }

        #[test]
        fn an_event_s_own_time_is_read_back(units in 0..2_650_467_743_990_000_000u64) {
            let time = EventTime::from_filetime(units);
            prop_assert_eq!(parse_time(&time.to_string(), &now()), Ok(time));
        }
    }
}
