//! Points in time as Windows counts them.

/// A FILETIME (MS-DTYP 2.3.3): units of 100 nanoseconds since 1601-01-01 in UTC. All seven
/// decimal places of a second are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EventTime(u64);

/// The text of a time: its bytes and how many of them count.
pub struct TimeText {
    bytes: [u8; 29],
    len: usize,
}

impl TimeText {
    /// The text, ASCII.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[29 - self.len..]
    }
}

const DAY: u64 = 24 * 60 * 60 * EventTime::SECOND;
/// Days from 1601-01-01 to 1970-01-01.
const DAYS_TO_1970: i64 = 134_774;
/// Days from 0000-03-01, where the era arithmetic starts, to 1601-01-01.
const DAYS_TO_1601: u64 = 584_694;

impl EventTime {
    /// Units in a second.
    pub const SECOND: u64 = 10_000_000;
    /// Units in a millisecond.
    pub const MILLISECOND: u64 = 10_000;

    /// A time from its FILETIME.
    pub const fn from_filetime(units: u64) -> Self {
        EventTime(units)
    }

    /// The FILETIME.
    pub const fn as_filetime(self) -> u64 {
        self.0
    }

    /// A time from a SYSTEMTIME's sixteen bytes (MS-DTYP 2.3.13), where they are one.
    pub fn from_systemtime(bytes: &[u8; 16]) -> Option<Self> {
        let part = |i: usize| u64::from(u16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]]));
        if part(0) > 30827 {
            return None;
        }
        // The second part is the day of the week.
        Self::from_civil(part(0), part(1), part(3), part(4), part(5), part(6))
            .map(|time| EventTime(time.0 + part(7).min(999) * Self::MILLISECOND))
    }

    /// A time from its parts in UTC, where there is such a time that a FILETIME can hold.
    fn from_civil(
        year: u64,
        month: u64,
        day: u64,
        hour: u64,
        minute: u64,
        second: u64,
    ) -> Option<Self> {
        const DAYS: [u64; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        if !(1601..=60056).contains(&year) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let leap =
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let last = *DAYS.get(month.checked_sub(1)? as usize)?;
        if day == 0 || day > last || (month == 2 && day == 29 && !leap) {
            return None;
        }
        // Years that begin in March, so that the leap day is the last of its year.
        let (year, shifted) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * shifted + 2) / 5 + day
            - 1
            - DAYS_TO_1601;
        let seconds = (days * 24 + hour) * 3600 + minute * 60 + second;
        seconds.checked_mul(Self::SECOND).map(EventTime)
    }

    /// Reads the text of a time as events and queries have it: `2026-08-22T10:00:00.1234567Z`,
    /// the fraction of any length or absent, digits past the seventh cut.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.trim().strip_suffix('Z')?.split_once('T')?;
        let mut date = date.splitn(3, '-').map(number);
        let mut clock = time.splitn(3, ':');
        let (hour, minute) = (number(clock.next()?)?, number(clock.next()?)?);
        let second = clock.next()?;
        let (second, fraction) = second.split_once('.').unwrap_or((second, ""));
        let base = Self::from_civil(
            date.next()??,
            date.next()??,
            date.next()??,
            hour,
            minute,
            number(second)?,
        )?;
        if !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let units = fraction
            .bytes()
            .chain(std::iter::repeat(b'0'))
            .take(7)
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        base.0.checked_add(units).map(EventTime)
    }

    /// Reads the text of a time as people write it in queries: as [`parse`](Self::parse) does, or
    /// with a blank for the `T`, without seconds, the date alone, with an offset from UTC for the
    /// `Z`, or without any, which is UTC.
    pub fn parse_loosely(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(time) = Self::parse(text) {
            return Some(time);
        }
        let end = text.find(['T', 't', ' ']).unwrap_or(text.len());
        let (date, rest) = text.split_at(end);
        let rest = rest.get(1..).unwrap_or_default().trim_start();
        let at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
        let (clock, zone) = rest.split_at(at);
        let offset = offset_of(zone)?;
        let clock = match clock.trim_end() {
            "" if end == text.len() => "00:00:00".to_owned(),
            clock if clock.bytes().filter(|&b| b == b':').count() == 1 => format!("{clock}:00"),
            clock => clock.to_owned(),
        };
        let time = Self::parse(&format!("{date}T{clock}Z"))?;
        let units = offset.unsigned_abs().checked_mul(Self::SECOND)?;
        match offset < 0 {
            true => time.0.checked_add(units).map(EventTime),
            false => time.0.checked_sub(units).map(EventTime),
        }
    }

    /// The canonical text: `2026-08-22T10:00:00.1234567Z`. A year past 9999 has five digits.
    pub fn to_text(self) -> TimeText {
        let (days, in_day) = (self.0 / DAY, self.0 % DAY);
        // Civil date of a day number, in 400-year eras of years that begin in March.
        let day = days + DAYS_TO_1601;
        let (era, of_era) = (day / 146_097, day % 146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let date = (of_year - (153 * shifted + 2) / 5 + 1) as u32;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 } as u32;
        let year = (era * 400 + year_of_era) as u32 + u32::from(month <= 2);

        let mut text = TimeText { bytes: *b"00000-00-00T00:00:00.0000000Z", len: 28 };
        let seconds = (in_day / Self::SECOND) as u32;
        let fraction = (in_day % Self::SECOND) as u32;
        let bytes = &mut text.bytes;
        bytes[0] = b'0' + (year / 10_000) as u8;
        let pairs = [
            (1, year / 100 % 100),
            (3, year % 100),
            (6, month),
            (9, date),
            (12, seconds / 3600),
            (15, seconds / 60 % 60),
            (18, seconds % 60),
            (21, fraction / 100_000),
            (23, fraction / 1000 % 100),
            (25, fraction / 10 % 100),
        ];
        for (at, number) in pairs {
            [bytes[at], bytes[at + 1]] = PAIRS[number as usize];
        }
        bytes[27] = b'0' + (fraction % 10) as u8;
        if year > 9999 {
            text.len = 29;
        }
        text
    }

    /// The time in jiff's terms, where jiff reaches that far (to the year 9999).
    pub fn to_timestamp(self) -> Option<jiff::Timestamp> {
        let seconds = (self.0 / Self::SECOND) as i64 - DAYS_TO_1970 * 86_400;
        jiff::Timestamp::new(seconds, (self.0 % Self::SECOND) as i32 * 100).ok()
    }

    /// The time of a jiff timestamp, cut to 100 ns; the first of all times for one before 1601.
    pub fn from_timestamp(time: jiff::Timestamp) -> Self {
        let units = time.as_nanosecond().div_euclid(100)
            + i128::from(DAYS_TO_1970) * 86_400 * i128::from(Self::SECOND);
        EventTime(u64::try_from(units).unwrap_or(0))
    }
}

/// Writes the texts of times that follow each other: those of one minute differ in the seconds only.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// The minute, from 1601-01-01 on, and its text up to the seconds; empty at first.
    minute: u64,
    text: Vec<u8>,
}

impl Clock {
    const MINUTE: u64 = 60 * EventTime::SECOND;

    /// Writes [`EventTime::to_text`].
    #[inline]
    pub(crate) fn push(&mut self, time: EventTime, out: &mut Vec<u8>) {
        let (minute, in_minute) = (time.0 / Self::MINUTE, time.0 % Self::MINUTE);
        if self.minute != minute || self.text.is_empty() {
            return self.set(minute, time, out);
        }
        let [tens, ones] = PAIRS[(in_minute / EventTime::SECOND) as usize];
        let fraction = (in_minute % EventTime::SECOND) as u32;
        // The last of eight digits is not one of the fraction's. What is written in pieces and copied at once
        // waits for the writes to end, so no more than this is written at a time.
        let fraction = eight_digits(10 * fraction) & !(0xff << 56) | u64::from(b'Z') << 56;
        out.extend_from_slice(&self.text);
        out.extend_from_slice(&[tens, ones, b'.']);
        out.extend_from_slice(&fraction.to_le_bytes());
    }

    fn set(&mut self, minute: u64, time: EventTime, out: &mut Vec<u8>) {
        let text = time.to_text();
        let text = text.as_bytes();
        out.extend_from_slice(text);
        let start = text.len() - "00.0000000Z".len();
        self.minute = minute;
        self.text.clear();
        self.text.extend_from_slice(&text[..start]);
    }
}

/// The decimal digits of a number below 100,000,000, the first in the lowest byte.
#[inline]
fn eight_digits(number: u32) -> u64 {
    // The number's halves side by side, the halves of these, and again. What they are multiplied with and
    // shifted by divides by 100 and 10.
    let halves = u64::from(number / 10_000) | u64::from(number % 10_000) << 32;
    let hundreds = (halves * 10_486) >> 20 & 0x0000_007f_0000_007f;
    let pairs = hundreds | (halves - 100 * hundreds) << 16;
    let tens = (pairs * 103) >> 10 & 0x000f_000f_000f_000f;
    let digits = tens | (pairs - 10 * tens) << 8;
    digits | 0x3030_3030_3030_3030
}

/// The seconds of an offset from UTC: `Z`, `+02:00`, `-0330`, `+02`, or nothing.
fn offset_of(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let (sign, digits) = match text.split_at_checked(1)? {
        ("Z" | "z", "") => return Some(0),
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits.len() {
        2 => (digits, "0"),
        4 => digits.split_at_checked(2)?,
        5 => digits.split_once(':')?,
        _ => return None,
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let seconds = (hours <= 23 && minutes <= 59).then_some(hours * 3600 + minutes * 60)?;
    Some(sign * i64::try_from(seconds).ok()?)
}

fn number(text: &str) -> Option<u64> {
    (!text.is_empty() && text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

/// The two decimal digits of each number below 100.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

impl std::fmt::Display for EventTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::str::from_utf8(self.to_text().as_bytes()).unwrap_or_default())
    }
}

impl std::fmt::Debug for EventTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_epoch_is_1601() {
        assert_eq!(EventTime::default().to_string(), "1601-01-01T00:00:00.0000000Z");
        assert_eq!(EventTime::parse("1601-01-01T00:00:00Z"), Some(EventTime::default()));
    }

    #[test]
    fn the_specification_s_event_has_its_time() {
        // The TimeCreated of MS-EVEN6 4.8. Its text there, 21:40:16.312, is not what its bytes
        // say; Python's datetime agrees with this.
        let time = EventTime::from_filetime(0x01c6_8ffb_36d6_f49c);
        assert_eq!(time.to_string(), "2006-06-14T21:40:54.6258076Z");
    }

    proptest! {
        #[test]
        fn times_after_each_other_have_the_text_that_each_has_by_itself(
            start in any::<u64>(),
            steps in prop::collection::vec(0..3 * Clock::MINUTE, 0..20),
        ) {
            let mut clock = Clock::default();
            let mut units = start;
            for step in steps {
                units = units.wrapping_add(step);
                let time = EventTime::from_filetime(units);
                let mut out = Vec::new();
                clock.push(time, &mut out);
                prop_assert_eq!(String::from_utf8(out).unwrap(), time.to_string());
            }
        }
    }

    #[test]
    fn digits_are_those_of_the_number() {
        for number in (0..100_000_000).step_by(9_973).chain([9_999, 10_000, 99_999_999]) {
            let digits = eight_digits(number).to_le_bytes();
            assert_eq!(std::str::from_utf8(&digits), Ok(&*format!("{number:08}")));
        }
    }

    #[test]
    fn the_last_filetime_is_printed() {
        let last = EventTime::from_filetime(u64::MAX);
        assert!(last.to_string().starts_with("60056-05-28T"));
        assert_eq!(EventTime::parse(&last.to_string()), Some(last));
        assert_eq!(EventTime::parse("60056-05-28T23:59:59Z"), None);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.1x1Z",
            "2026-01-01T00:00Z",
            "1600-01-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
        ] {
            assert_eq!(EventTime::parse(text), None, "{text}");
        }
        assert_eq!(EventTime::from_systemtime(&[0; 16]), None);
    }

    #[test]
    fn a_time_without_a_zone_is_utc() {
        let at = |text| EventTime::parse_loosely(text).map(|time| time.to_string());
        for (text, expected) in [
            ("2024-05-06T07:10:09", "2024-05-06T07:10:09.0000000Z"),
            ("2024-05-06T07:10:09.000", "2024-05-06T07:10:09.0000000Z"),
            ("2024-05-06 07:10:09.5Z", "2024-05-06T07:10:09.5000000Z"),
            ("2024-05-06t07:10", "2024-05-06T07:10:00.0000000Z"),
            ("2024-05-06", "2024-05-06T00:00:00.0000000Z"),
            ("2024-05-06T07:10:09+02:00", "2024-05-06T05:10:09.0000000Z"),
            ("2024-05-06 07:10:09 -0330", "2024-05-06T10:40:09.0000000Z"),
            ("2024-05-06T07:10:09.1234567z", "2024-05-06T07:10:09.1234567Z"),
        ] {
            assert_eq!(at(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "x",
            "07:10",
            "2024-05",
            "2024-05-06T",
            "2024-05-06Z",
            "2024-05-06T07",
            "2024-13-01",
            "2024-05-06T07:10:09+2",
            "2024-05-06T07:10:09+24:00",
            "2024-05-06T24:00:00",
            "é",
            "2024é",
            "2024-05-06T07:10:09 CET",
            "1601-01-01T00:00:00+01:00",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_time_in_a_query_or_none(text in "[ 0-9TZ:.+\\-é]{0,30}") {
            let _ = EventTime::parse_loosely(&text);
        }

        #[test]
        fn the_calendar_is_jiff_s(units in 0..2_650_467_743_990_000_000u64) {
            let time = EventTime::from_filetime(units);
            let timestamp = time.to_timestamp().unwrap();
            prop_assert_eq!(time.to_string(), format!("{timestamp:.7}"));
            prop_assert_eq!(EventTime::from_timestamp(timestamp), time);
            prop_assert_eq!(EventTime::parse(&time.to_string()), Some(time));
        }
    }
}
