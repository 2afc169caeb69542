//! Points in time as people write them.

use jiff::civil::{Date, Time, Weekday};
use jiff::fmt::friendly::SpanParser;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan, Zoned};

use super::error::{FilterError, FilterProblem};
use crate::EventTime;

/// The most bytes of a time's text.
const MAX_LENGTH: usize = 200;

/// Reads a point in time: `8h`, `1h30m` and `"2 days ago"` (all of them ago), `now`, `today`,
/// `yesterday`, `monday` (the latest, today if it is one), `last monday` (the latest before today),
/// `last week` (a week ago, as `last hour`, `last day`, `last month` and `last year`), `14:30`,
/// `yesterday 14:00`, `2026-11-22`, `2026-11-22T06:00`, `2026-11-22 06:00:01.5`, and seconds since
/// 1970 as `@1700000000` or `1700000000`. Dates and clock times may end in a zone (`Z`, `+02:00`,
/// `[Europe/Berlin]`, or the last two together) and are in the zone of `now` otherwise; a day by
/// itself is its beginning.
///
/// A local time that a clock change skips is read as if the clock hadn't been changed yet; one
/// that comes twice is the first.
///
/// # Errors
///
/// [`FilterProblem::Time`] for what is no time, [`FilterProblem::NoSuchTime`] for what looks like
/// one, [`FilterProblem::MinuteOrMonth`] for `1M`, and [`FilterProblem::Empty`] and
/// [`FilterProblem::TooLong`].
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
    if let Some(seconds) = since_1970(trimmed) {
        let seconds = seconds.ok_or_else(not_a_time)?;
        return Ok(EventTime::from_timestamp(seconds));
    }
    if let Some((day, rest)) = Day::before(&lower) {
        let rest = &trimmed[trimmed.len() - rest.len()..];
        let (clock, zone) = zone(rest.trim(), 0).map_err(failed)?;
        let clock = match clock {
            "" => Time::midnight(),
            clock if rest.starts_with(' ') => {
                time(clock).ok_or_else(not_a_time)?.map_err(failed)?
            }
            _ => return Err(not_a_time()),
        };
        let date = day.of(zone.at(now).date()).map_err(|e| failed(e.to_string()))?;
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
    if is_minute_or_month(trimmed) {
        return Err(FilterError::about(text, trimmed, FilterProblem::MinuteOrMonth));
    }
    let span = match lower.strip_prefix("last ") {
        Some(unit) if unit.trim().bytes().all(|b| b.is_ascii_lowercase()) => format!("1 {unit}"),
        Some(_) => return Err(not_a_time()),
        None if lower.starts_with('+') => return Err(not_a_time()),
        None => lower,
    };
    let span = SpanParser::new().parse_span(&span).map_err(|_| not_a_time())?;
    match now.checked_sub(span.abs()) {
        Ok(then) => Ok(EventTime::from_timestamp(then.timestamp())),
        Err(_) => Err(failed(format!("`{trimmed}` is too long ago"))),
    }
}

/// Reads a time zone: `UTC`, `local`, an offset such as `+02:00`, or a name of the IANA database
/// such as `Europe/Berlin`, in whatever case.
///
/// # Errors
///
/// [`FilterProblem::Zone`].
pub fn parse_zone(text: &str) -> Result<TimeZone, FilterError> {
    let name = text.trim();
    let unknown = || FilterError::about(text, name, FilterProblem::Zone);
    match name.to_ascii_lowercase().as_str() {
        "utc" | "z" => return Ok(TimeZone::UTC),
        "local" => return Ok(TimeZone::system()),
        _ => {}
    }
    if let Some(digits) = name.strip_prefix(['+', '-']) {
        let offset = offset(digits, name.starts_with('-')).ok_or_else(unknown)?;
        return Ok(offset.to_time_zone());
    }
    TimeZone::get(name).map_err(|_| unknown())
}

/// A day that is named by where it is from today.
#[derive(Clone, Copy)]
enum Day {
    Ago(i32),
    /// The latest of that name, today or before.
    Latest(Weekday),
    /// The latest of that name before today.
    Last(Weekday),
}

impl Day {
    /// The day that a text in lowercase begins with, and what follows it.
    fn before(text: &str) -> Option<(Day, &str)> {
        const DAYS: [(&str, Weekday); 14] = [
            ("monday", Weekday::Monday),
            ("tuesday", Weekday::Tuesday),
            ("wednesday", Weekday::Wednesday),
            ("thursday", Weekday::Thursday),
            ("friday", Weekday::Friday),
            ("saturday", Weekday::Saturday),
            ("sunday", Weekday::Sunday),
            ("mon", Weekday::Monday),
            ("tue", Weekday::Tuesday),
            ("wed", Weekday::Wednesday),
            ("thu", Weekday::Thursday),
            ("fri", Weekday::Friday),
            ("sat", Weekday::Saturday),
            ("sun", Weekday::Sunday),
        ];
        for (word, days) in [("today", 0), ("yesterday", 1)] {
            if let Some(rest) = text.strip_prefix(word) {
                return Some((Day::Ago(days), rest));
            }
        }
        let last = text.strip_prefix("last ").map(str::trim_start);
        let named = last.unwrap_or(text);
        let is_whole = |rest: &&str| !rest.starts_with(|c: char| c.is_ascii_alphabetic());
        let (rest, day) = DAYS
            .iter()
            .find_map(|&(name, day)| Some((named.strip_prefix(name).filter(is_whole)?, day)))?;
        Some((if last.is_some() { Day::Last(day) } else { Day::Latest(day) }, rest))
    }

    fn of(self, today: Date) -> Result<Date, jiff::Error> {
        let back = |weekday: Weekday| i32::from(today.weekday().since(weekday));
        today.checked_sub(match self {
            Day::Ago(days) => days.days(),
            Day::Latest(weekday) => back(weekday).days(),
            Day::Last(weekday) if back(weekday) == 0 => 7.days(),
            Day::Last(weekday) => back(weekday).days(),
        })
    }
}

/// The seconds since 1970 that a text is, after an at sign or in nine digits at least: `None` if
/// it is not of that form, nothing inside if there is no such time.
fn since_1970(text: &str) -> Option<Option<Timestamp>> {
    let is_number = |text: &str| {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        [whole, fraction].iter().all(|part| {
            !part.is_empty() && part.len() <= 18 && part.bytes().all(|b| b.is_ascii_digit())
        })
    };
    let number = match text.strip_prefix('@') {
        Some(number) => number,
        None if (9..=11).contains(&text.len()) && is_number(text) && !text.contains('.') => text,
        None => return None,
    };
    if !is_number(number) {
        return Some(None);
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let nanoseconds = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanoseconds = nanoseconds.fold(0, |sum, digit| sum * 10 + i32::from(digit - b'0'));
    Some(whole.parse().ok().and_then(|whole| Timestamp::new(whole, nanoseconds).ok()))
}

/// Whether a duration has the unit `M`, which is a minute in one tool and a month in another.
fn is_minute_or_month(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_word = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphabetic);
    text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
        && text.match_indices('M').any(|(at, _)| {
            !is_word(at + 1) && text[..at].trim_end().ends_with(|c: char| c.is_ascii_digit())
        })
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
        // The last days of the year 9999 are past the last time there is, and stand for the end.
        let Ok(zoned) = civil.to_zoned(zone) else {
            return Ok(EventTime::from_timestamp(Timestamp::MAX));
        };
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
    fn days_of_the_week_are_the_latest() {
        for (text, expected) in [
            ("sunday", "2026-11-21T23:00:00.0000000Z"),
            ("last sunday", "2026-11-14T23:00:00.0000000Z"),
            ("monday", "2026-11-15T23:00:00.0000000Z"),
            ("Last Monday", "2026-11-15T23:00:00.0000000Z"),
            ("sat 06:00Z", "2026-11-21T06:00:00.0000000Z"),
            ("friday 06:00", "2026-11-20T05:00:00.0000000Z"),
            ("last week", "2026-11-15T14:16:17.1234567Z"),
            ("last hour", "2026-11-22T13:16:17.1234567Z"),
            ("last month", "2026-10-22T13:16:17.1234567Z"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn seconds_since_1970_are_a_time() {
        for (text, expected) in [
            ("@1700000000", "2023-11-14T22:13:20.0000000Z"),
            ("1700000000", "2023-11-14T22:13:20.0000000Z"),
            ("@1700000000.25", "2023-11-14T22:13:20.2500000Z"),
            ("@0", "1970-01-01T00:00:00.0000000Z"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn a_zone_is_a_name_an_offset_or_utc() {
        let summer = "2026-07-01T00:00:00Z".parse::<Timestamp>().unwrap();
        let offset = |text: &str| parse_zone(text).map(|zone| zone.to_offset(summer).seconds());
        assert_eq!(offset("Europe/Berlin"), Ok(7200));
        assert_eq!(offset("europe/berlin"), Ok(7200));
        assert_eq!(offset("utc"), Ok(0));
        assert_eq!(offset("-03:30"), Ok(-12_600));
        assert_eq!(offset("+02"), Ok(7200));
        for text in ["", "Mars/Crater", "+25:00", "+2"] {
            let error = parse_zone(text).unwrap_err().to_string();
            assert!(error.contains("Europe/Berlin"), "{text}: {error}");
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
            // Past the last time there is.
            ("9999-12-31", "9999-12-30T22:00:00.9999999Z"),
            ("9999-12-31T23:59:59Z", "9999-12-30T22:00:00.9999999Z"),
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
            ("1M", "a minute is 1m, a month 1mo"),
            ("2h 30M ago", "a minute is 1m"),
            ("@", "is not a time"),
            ("@1e9", "is not a time"),
            ("@999999999999999999", "is not a time"),
            ("20261122", "is not a time"),
            ("mondays", "is not a time"),
            ("last", "is not a time"),
            ("last 8h", "is not a time"),
            ("last tea", "is not a time"),
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
