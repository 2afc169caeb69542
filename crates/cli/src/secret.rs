//! Reads secrets from where they are said to be.

use std::fs::File;
use std::io::{self, Read as _};

use quarry_cred::{MAX_SECRET_BYTES, Secret, SecretSource};
use zeroize::Zeroizing;

use crate::error::{Failure, plain};

/// Reads a secret; `account` is whose it is, for the question on the terminal.
pub(crate) fn read(source: &SecretSource, account: &str) -> Result<Secret, Failure> {
    let (shown, bytes) = match source {
        SecretSource::Prompt => {
            let prompt = format!("Password for {account}: ");
            let text = rpassword::prompt_password(prompt).map_err(|e| {
                Failure::new(format!("the password can't be asked for: {}", plain(&e)))
                    .hint("without a terminal, give --password-file or --password-fd")
            })?;
            let secret = Secret::new(text);
            return secret.map_err(|e| Failure::new(format!("the password typed: {e}")));
        }
        SecretSource::File(path) => {
            let shown = path.display().to_string();
            (shown.clone(), File::open(path).and_then(limited).map_err(|e| (shown, e)))
        }
        SecretSource::Descriptor(number) => {
            let shown = format!("descriptor {number}");
            (shown.clone(), descriptor(*number).and_then(limited).map_err(|e| (shown, e)))
        }
        SecretSource::Environment(name) => {
            let value = std::env::var(name)
                .map(String::into_bytes)
                .map_err(|_| Failure::new(format!("the environment has no password in {name}")))?;
            (format!("the variable {name}"), Ok(value))
        }
    };
    let bytes = bytes.map_err(|(shown, e)| {
        Failure::new(format!("the password can't be read from {shown}: {}", plain(&e)))
    })?;
    Secret::from_bytes(bytes).map_err(|e| Failure::new(format!("the password in {shown}: {e}")))
}

/// What is there, up to a byte more than a secret can have. The memory is reserved at once: what
/// grows leaves copies behind.
fn limited(from: impl io::Read) -> io::Result<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SECRET_BYTES + 2));
    from.take(MAX_SECRET_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(std::mem::take(&mut *bytes))
}

/// An open descriptor, by the name that the system has for it.
#[cfg(unix)]
fn descriptor(number: u32) -> io::Result<File> {
    File::open(format!("/dev/fd/{number}"))
}

#[cfg(not(unix))]
fn descriptor(_: u32) -> io::Result<File> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "there are no descriptors on this system"))
}
