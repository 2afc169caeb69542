//! Where a secret is to be read, as data. Reading it is the program's part.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Longest name of an environment variable accepted, in bytes.
const MAX_VARIABLE_BYTES: usize = 255;

/// Where a secret comes from; written `prompt`, `file:PATH`, `fd:NUMBER`,
/// `env:NAME` or `keyring`. There is no form that holds the secret itself: it would end up
/// in shell histories, process lists and inventories.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SecretSource {
    /// Asked for on the terminal.
    Prompt,
    /// The content of a file.
    File(PathBuf),
    /// What can be read from an open file descriptor.
    Descriptor(u32),
    /// An environment variable.
    Environment(String),
    /// The system's keyring, under the account's name.
    Keyring,
}

/// Why a text names no source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretSourceError {
    /// Not one of the five forms. The text is not repeated: it may be the
    /// secret itself, put here by mistake.
    #[error("a secret's source is prompt, file:PATH, fd:NUMBER, env:NAME or keyring")]
    Form,
    /// `file:` without a path.
    #[error("file: needs a path")]
    NoPath,
    /// `fd:` without a number of 0 or more.
    #[error("fd: needs the number of an open file descriptor")]
    Descriptor,
    /// `env:` without a name that a variable can have.
    #[error("env: needs the name of an environment variable")]
    Variable,
}

impl FromStr for SecretSource {
    type Err = SecretSourceError;

    fn from_str(text: &str) -> Result<Self, SecretSourceError> {
        match text {
            "prompt" => return Ok(Self::Prompt),
            "keyring" => return Ok(Self::Keyring),
            _ => {}
        }
        match text.split_once(':') {
            Some(("file", "")) => Err(SecretSourceError::NoPath),
            Some(("file", path)) if path.contains('\0') => Err(SecretSourceError::NoPath),
            Some(("file", path)) => Ok(Self::File(path.into())),
            Some(("fd", number)) => {
                // `parse` alone would take "+3".
                if !number.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(SecretSourceError::Descriptor);
                }
                match number.parse::<u32>() {
                    Ok(fd) if i32::try_from(fd).is_ok() => Ok(Self::Descriptor(fd)),
                    _ => Err(SecretSourceError::Descriptor),
                }
            }
            Some(("env", name)) => {
                let bad = name.is_empty()
                    || name.len() > MAX_VARIABLE_BYTES
                    || name.chars().any(|c| c == '=' || c.is_control());
                if bad {
                    Err(SecretSourceError::Variable)
                } else {
                    Ok(Self::Environment(name.into()))
                }
            }
            _ => Err(SecretSourceError::Form),
        }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prompt => f.write_str("prompt"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Descriptor(fd) => write!(f, "fd:{fd}"),
            Self::Environment(name) => write!(f, "env:{name}"),
            Self::Keyring => f.write_str("keyring"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read_and_written_back() {
        for (text, source) in [
            ("prompt", SecretSource::Prompt),
            ("keyring", SecretSource::Keyring),
            ("file:/run/secret", SecretSource::File("/run/secret".into())),
            (r"file:C:\secret.txt", SecretSource::File(r"C:\secret.txt".into())),
            ("fd:3", SecretSource::Descriptor(3)),
            ("env:QUARRY_PASSWORD", SecretSource::Environment("QUARRY_PASSWORD".into())),
        ] {
            assert_eq!(text.parse(), Ok(source.clone()));
            assert_eq!(source.to_string(), text);
        }
    }

    #[test]
    fn a_password_put_where_its_source_belongs_is_not_repeated() {
        let error = "hunter2".parse::<SecretSource>().unwrap_err();
        assert_eq!(error, SecretSourceError::Form);
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn incomplete_forms_say_what_is_missing() {
        for (text, why) in [
            ("file:", SecretSourceError::NoPath),
            ("fd:", SecretSourceError::Descriptor),
            ("fd:-1", SecretSourceError::Descriptor),
            ("fd:+3", SecretSourceError::Descriptor),
            ("fd:4294967295", SecretSourceError::Descriptor),
            ("env:", SecretSourceError::Variable),
            ("env:A=B", SecretSourceError::Variable),
            ("", SecretSourceError::Form),
            ("Prompt", SecretSourceError::Form),
        ] {
            assert_eq!(text.parse::<SecretSource>(), Err(why), "{text:?}");
        }
    }
}
