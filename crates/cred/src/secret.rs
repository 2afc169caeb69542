//! Passwords in memory: wiped when dropped, never shown.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

/// Longest secret accepted from a file, descriptor or variable, in bytes.
pub const MAX_SECRET_BYTES: usize = 4096;
/// Longest password in UTF-16 units. Windows' own limit is 256 (`PWLEN`);
/// group managed accounts come close to it.
pub const MAX_SECRET_UNITS: usize = 256;

/// A password. `Debug` never shows it and it is wiped on drop.
pub struct Secret(Zeroizing<String>);

/// Why bytes are no secret. The message never holds any of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// No characters before the end or the first line break.
    #[error("the secret is empty")]
    Empty,
    /// Over [`MAX_SECRET_BYTES`] or [`MAX_SECRET_UNITS`].
    #[error("the secret is longer than {MAX_SECRET_UNITS} characters")]
    TooLong,
    /// Neither UTF-8 nor UTF-16 with a byte order mark.
    #[error("the secret is not text in UTF-8 or in UTF-16 with a byte order mark")]
    NotText,
    /// More follows the first line.
    #[error("the secret has more than one line")]
    SeveralLines,
    /// A NUL, which no Windows password can hold.
    #[error("the secret contains a NUL character")]
    Nul,
}

impl Secret {
    /// Takes a password as typed. Nothing is trimmed.
    ///
    /// # Errors
    /// [`SecretError::Empty`], [`SecretError::TooLong`], [`SecretError::Nul`].
    pub fn new(text: String) -> Result<Self, SecretError> {
        let text = Zeroizing::new(text);
        if text.is_empty() {
            return Err(SecretError::Empty);
        }
        if text.contains('\0') {
            return Err(SecretError::Nul);
        }
        if text.encode_utf16().count() > MAX_SECRET_UNITS {
            return Err(SecretError::TooLong);
        }
        Ok(Self(text))
    }

    /// Takes what a file, descriptor or variable held: UTF-8, or UTF-16 with a
    /// byte order mark as Windows' shells write it. One line break at the end
    /// is not part of the secret. The bytes are wiped whatever comes of it.
    ///
    /// # Errors
    /// Any [`SecretError`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, SecretError> {
        let bytes = Zeroizing::new(bytes);
        if bytes.len() > MAX_SECRET_BYTES {
            return Err(SecretError::TooLong);
        }
        let mut text = Zeroizing::new(decode(&bytes)?);
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        if text.contains(['\n', '\r']) {
            return Err(SecretError::SeveralLines);
        }
        Self::new(std::mem::take(&mut *text))
    }

    /// The secret itself; for the code that presents it to a server.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// The capacity is reserved before the first character goes in: a string that
/// grows leaves copies behind that nobody wipes.
fn decode(bytes: &[u8]) -> Result<String, SecretError> {
    let wide = match bytes {
        [0xFF, 0xFE, rest @ ..] => Some((rest, u16::from_le_bytes as fn([u8; 2]) -> u16)),
        [0xFE, 0xFF, rest @ ..] => Some((rest, u16::from_be_bytes as fn([u8; 2]) -> u16)),
        _ => None,
    };
    if let Some((rest, unit)) = wide {
        let (pairs, odd) = rest.as_chunks::<2>();
        if !odd.is_empty() {
            return Err(SecretError::NotText);
        }
        let mut text = String::with_capacity(rest.len() * 2);
        for c in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
            match c {
                Ok(c) => text.push(c),
                Err(_) => {
                    text.zeroize();
                    return Err(SecretError::NotText);
                }
            }
        }
        return Ok(text);
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| SecretError::NotText)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Result<String, SecretError> {
        Secret::from_bytes(bytes.to_vec()).map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn one_line_break_at_the_end_is_not_part_of_the_secret() {
        assert_eq!(text(b"hunter2"), Ok("hunter2".into()));
        assert_eq!(text(b"hunter2\n"), Ok("hunter2".into()));
        assert_eq!(text(b"hunter2\r\n"), Ok("hunter2".into()));
        assert_eq!(text(b" hunter2 \n"), Ok(" hunter2 ".into()));
        assert_eq!(text(b"hunter2\n\n"), Err(SecretError::SeveralLines));
        assert_eq!(text(b"hunter2\nhunter3\n"), Err(SecretError::SeveralLines));
    }

    #[test]
    fn files_written_by_windows_shells_are_read() {
        assert_eq!(text(b"\xEF\xBB\xBFp\xC3\xA4ss\r\n"), Ok("päss".into()));
        assert_eq!(text(b"\xFF\xFEp\0\xE4\0s\0\r\0\n\0"), Ok("päs".into()));
        assert_eq!(text(b"\xFE\xFF\0p\0\xE4\0s"), Ok("päs".into()));
        assert_eq!(text(b"\xFF\xFEp\0\xE4"), Err(SecretError::NotText));
        assert_eq!(text(b"\xFF\xFE\x00\xD8"), Err(SecretError::NotText));
    }

    #[test]
    fn what_cannot_be_a_password_is_refused() {
        assert_eq!(text(b""), Err(SecretError::Empty));
        assert_eq!(text(b"\n"), Err(SecretError::Empty));
        assert_eq!(text(b"a\0b"), Err(SecretError::Nul));
        assert_eq!(text(b"\xFFabc"), Err(SecretError::NotText));
        assert_eq!(text(&[b'a'; 257]), Err(SecretError::TooLong));
        assert_eq!(text(&[b'a'; 5000]), Err(SecretError::TooLong));
    }

    #[test]
    fn debugging_output_never_holds_the_secret() {
        let secret = Secret::new("hunter2".into()).unwrap();
        assert!(!format!("{secret:?} {secret:#?}").contains("hunter2"));
        let credential = crate::Credential::new("ann".parse().unwrap(), secret);
        let shown = format!("{credential:?}");
        assert!(shown.contains("ann") && !shown.contains("hunter2"), "{shown}");
    }
}
