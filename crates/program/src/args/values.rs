//! What the texts of options stand for.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use encoding_rs::Encoding;
use quarry_fleet::Authentication;

/// A length of time: `500ms`, `5s`, `2m`, `1h30m`; a number alone is seconds.
///
/// # Errors
/// The text is no length of time, or one over a year.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text} is no length of time such as 500ms, 5s or 2m");
    let time = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
            Duration::try_from(span).map_err(|_| wrong())?
        }
    };
    match time <= MAX_TIME {
        true => Ok(time),
        false => Err(format!("{text} is over a year")),
    }
}

/// The longest time-out.
const MAX_TIME: Duration = Duration::from_secs(366 * 86_400);

/// A number of threads. More of them than any machine has cores would only keep it from working.
///
/// # Errors
/// The text is no number from 1 to 1024.
pub fn threads(text: &str) -> Result<NonZeroUsize, String> {
    const MOST: usize = 1024;
    let number = text.parse().ok().filter(|number: &NonZeroUsize| number.get() <= MOST);
    number.ok_or_else(|| format!("it is from 1 to {MOST}"))
}

/// A code page of Windows by its number, or an encoding by its name.
///
/// # Errors
/// The text names no ANSI code page.
pub fn code_page(text: &str) -> Result<&'static Encoding, String> {
    let number = text.strip_prefix("cp").or(text.strip_prefix("CP")).unwrap_or(text);
    let encoding = match number.parse() {
        Ok(number) => codepage::to_encoding(number),
        Err(_) => Encoding::for_label(text.as_bytes()),
    };
    let is_ansi = |encoding: &&Encoding| {
        *encoding != encoding_rs::UTF_16LE && *encoding != encoding_rs::UTF_16BE
    };
    encoding.filter(is_ansi).ok_or_else(|| {
        format!(
            "{text} is no ANSI code page of Windows: 874, 932, 936, 949, 950, 1250 to 1258, or utf-8"
        )
    })
}

/// The ways to authenticate, each with what it means.
pub fn authentication() -> impl TypedValueParser<Value = Authentication> {
    let values = [
        PossibleValue::new("negotiate").help("SPNEGO: what both sides have"),
        PossibleValue::new("ntlm").help("NTLM by itself"),
        PossibleValue::new("kerberos").help("Kerberos by itself"),
    ];
    PossibleValuesParser::new(values).try_map(|word| word.parse::<Authentication>())
}
