//! Values of a configuration.

use std::net::SocketAddr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use quarry_fleet::EVERY_RECORD;

/// The units of a length of time, in seconds.
const UNITS: [(&str, u64); 6] =
    [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("w", 604_800), ("y", 31_557_600)];

/// The longest time, in seconds.
const MOST: u64 = 100 * 31_557_600;

/// A length of time: `30s`, `5m`, `12h`, `400d`, `8w`, `7y`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Length(pub(super) Duration);

impl Length {
    pub(super) const fn seconds(seconds: u64) -> Self {
        Length(Duration::from_secs(seconds))
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = text[..digits].parse().ok()?;
        let (_, seconds) = UNITS.iter().find(|(unit, _)| *unit == text[digits..].trim())?;
        let seconds =
            number.checked_mul(*seconds).filter(|seconds| (1..=MOST).contains(seconds))?;
        Some(Length::seconds(seconds))
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Length::parse(&text).ok_or_else(|| {
            D::Error::custom(
                "a length of time is a number above 0 and s, m, h, d, w or y: \"30s\", \"400d\"",
            )
        })
    }
}

/// An address and a port.
pub(super) fn listen<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(from)?;
    let form = "it is an address and a port: \"127.0.0.1:8420\", \"[::]:8443\"";
    text.parse().map_err(|_| D::Error::custom(form))
}

/// How long events are kept; nothing for `forever`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Retention(pub(super) Option<Duration>);

impl<'de> Deserialize<'de> for Retention {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        match &*text {
            "forever" => Ok(Retention(None)),
            // Minutes would be all but none, and `m` is easily meant as months.
            text => Length::parse(text)
                .filter(|_| text.ends_with(['d', 'w', 'y']))
                .map(|length| Retention(Some(length.0)))
                .ok_or_else(|| {
                    let form = "retention is \"forever\", or a number and d, w or y: \"400d\"";
                    D::Error::custom(form)
                }),
        }
    }
}

/// How many of a log's last records are taken at first: a number or `all`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct First(pub(super) u64);

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a number of records, or \"all\"")]
        enum Either {
            Number(u64),
            Word(String),
        }
        match Either::deserialize(from)? {
            Either::Number(number) => Ok(First(number)),
            Either::Word(word) if word == "all" => Ok(First(EVERY_RECORD)),
            Either::Word(_) => Err(D::Error::custom("a number of records, or \"all\"")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_a_number_and_a_unit() {
        let seconds = |text| Length::parse(text).map(|length| length.0.as_secs());
        assert_eq!(seconds("30s"), Some(30));
        assert_eq!(seconds("5m"), Some(300));
        assert_eq!(seconds("400d"), Some(400 * 86_400));
        for text in
            ["", "30", "s", "0s", "5 minutes", "-1d", "99999999999999999999d", "5ms", "1000y"]
        {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
