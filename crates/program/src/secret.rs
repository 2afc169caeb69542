//! Reading a password from where it is said to be: the terminal, a descriptor, a file, a variable
//! or the keyring. It is never taken from the command line, which others can see.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use quarry_cred::{Account, MAX_SECRET_BYTES, Secret, SecretError, SecretSource};

use crate::console::Console;
use crate::error::{Failure, plain};
use crate::undumped::Undumped;

/// What entries of the system's keyring are filed under, beside the account.
#[cfg(any(target_os = "linux", windows))]
const KEYRING_SERVICE: &str = "quarry";

/// Why there is no password.
#[derive(Debug)]
pub enum NoSecret {
    /// Ctrl-C at the prompt.
    #[cfg_attr(windows, allow(dead_code, reason = "it ends the process there"))]
    Interrupted,
    /// It can't be read.
    Failed(Failure),
}

impl From<Failure> for NoSecret {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Reads an account's password. `prompt` is what is asked on the terminal.
///
/// # Errors
/// [`NoSecret`]: it can't be read, is none, or was not given.
pub fn read(
    source: &SecretSource,
    account: &Account,
    prompt: &str,
    console: &Console,
) -> Result<Secret, NoSecret> {
    // Whoever holds it for a while only has said so before.
    Undumped::begin().for_good();
    let bytes = match source {
        SecretSource::Prompt => terminal::ask(prompt)?,
        SecretSource::File(path) => from_file(path, console)?,
        SecretSource::Descriptor(number) => from_descriptor(*number)?,
        SecretSource::Environment(name) => match std::env::var_os(name) {
            Some(value) => value.into_encoded_bytes(),
            None => return Err(Failure::new(format!("there is no variable {name}")).into()),
        },
        SecretSource::Keyring => return from_keyring(&account.to_string()).map_err(NoSecret::from),
        other => return Err(Failure::new(format!("no secret can be read from {other}")).into()),
    };
    Secret::from_bytes(bytes).map_err(|error| not_a_password(source, &error).into())
}

/// Reads the password of an account from the kernel's keyring: from what the session keyring
/// holds or links to.
#[cfg(target_os = "linux")]
fn from_keyring(account: &str) -> Result<Secret, Failure> {
    use linux_keyutils::{KeyRing, KeyRingIdentifier};

    Undumped::begin().for_good();
    let name = format!("{KEYRING_SERVICE}:{account}");
    let key = KeyRing::from_special_id(KeyRingIdentifier::Session, false)
        .and_then(|session| session.search(&name))
        .and_then(|key| key.read_to_vec());
    let bytes = key.map_err(|error| {
        Failure::new(format!("the keyring has no key {name} to read: {error}"))
            .hint(format!("to put it there: keyctl padd user '{name}' @s"))
    })?;
    Secret::from_bytes(bytes)
        .map_err(|error| Failure::new(format!("the keyring's key {name}: {error}")))
}

/// Reads the password of an account from the credential manager.
#[cfg(windows)]
fn from_keyring(account: &str) -> Result<Secret, Failure> {
    let failed = |error: keyring::Error| {
        Failure::new(format!("the keyring has no password for {account}: {error}")).hint(format!(
            "to put it there: cmdkey /generic:{account}.{KEYRING_SERVICE} /user:{account} /pass"
        ))
    };
    let entry = keyring::Entry::new(KEYRING_SERVICE, account).map_err(failed)?;
    let text = entry.get_password().map_err(failed)?;
    Secret::from_bytes(text.into_bytes())
        .map_err(|error| Failure::new(format!("the keyring's entry for {account}: {error}")))
}

/// There is none that this is built for.
#[cfg(not(any(target_os = "linux", windows)))]
fn from_keyring(_: &str) -> Result<Secret, Failure> {
    Err(Failure::new("quarry knows no keyring on this system"))
}

fn not_a_password(source: &SecretSource, error: &SecretError) -> Failure {
    match source {
        SecretSource::Prompt => Failure::new(error.to_string()),
        // Its text may be anything, but it says where the mistake is.
        source => Failure::new(format!("{source}: {error}")),
    }
}

/// Warns where others may read a file that has a secret in it, or change it.
pub fn warn_of_others(file: &File, path: &Path, console: &Console) {
    #[cfg(unix)]
    if let Ok(metadata) = file.metadata()
        && std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0
        && metadata.is_file()
    {
        console.caution(&format!("{} can be read or written by others", path.display()));
    }
    #[cfg(windows)]
    let _ = (file, path, console);
}

fn from_file(path: &Path, console: &Console) -> Result<Vec<u8>, Failure> {
    let failed = |error: &io::Error| Failure::io(&path.display().to_string(), error);
    let mut file = File::open(path).map_err(|error| failed(&error))?;
    warn_of_others(&file, path, console);
    read_all(&mut file).map_err(|error| failed(&error))
}

fn from_descriptor(number: u32) -> Result<Vec<u8>, Failure> {
    let what = format!("descriptor {number}");
    let failed = |error: io::Error| {
        let mut failure = Failure::io(&what, &error);
        if error.kind() == io::ErrorKind::Unsupported {
            failure = Failure::new("on this system --password-fd can only be 0, standard input");
        }
        failure
    };
    let mut file = duplicate(number).map_err(failed)?;
    read_line(&mut file).map_err(failed)
}

#[cfg(unix)]
fn duplicate(number: u32) -> io::Result<File> {
    let number = i32::try_from(number).map_err(io::Error::other)?;
    quarry_lock::unix::inherited(number).map(File::from)
}

#[cfg(windows)]
fn duplicate(number: u32) -> io::Result<File> {
    use std::os::windows::io::AsHandle;
    if number != 0 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    io::stdin().as_handle().try_clone_to_owned().map(File::from)
}

/// The first line and no more, so that what follows is the command's to read. A text in UTF-16 is
/// read to its end: a line break there is not a single byte.
fn read_line(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(MAX_SECRET_BYTES + 1);
    let mut byte = [0];
    while bytes.len() <= MAX_SECRET_BYTES {
        match source.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => {
                bytes.push(byte[0]);
                let wide = bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]);
                if byte[0] == b'\n' && !wide {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// All there is, up to one byte more than a password can have. The memory is there before the
/// first byte: growing would leave copies behind.
fn read_all(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(MAX_SECRET_BYTES + 1);
    source.take(MAX_SECRET_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn no_terminal(error: &io::Error) -> Failure {
    Failure::new(format!("the password can't be asked for on the terminal: {}", plain(error)))
        .hint("give it by --password-fd or --password-file")
}

#[cfg(unix)]
mod terminal {
    //! The controlling terminal, whatever the standard files are.

    use std::fs::File;
    use std::io::{self, Read, Write};
    use std::os::unix::net::UnixStream;

    use quarry_cred::MAX_SECRET_BYTES;
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::termios::{
        LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
    };
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    use signal_hook::iterator::{backend::SignalDelivery, exfiltrator::SignalOnly};
    use signal_hook::low_level::emulate_default_handler;

    use super::{NoSecret, no_terminal};
    use crate::signals::is_ignored;

    const CTRL_C: u8 = 3;

    /// What would end the process and leave the terminal silent.
    const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

    /// How a question to the terminal ended.
    enum Answer {
        Line(Vec<u8>),
        /// By Ctrl-C, or a signal that is the same.
        Interrupted,
        /// By a signal, which has yet to do what it does.
        Signal(i32),
    }

    /// Puts the terminal back as it was.
    struct Restore<'a> {
        terminal: &'a File,
        was: Termios,
    }

    impl Drop for Restore<'_> {
        fn drop(&mut self) {
            // A terminal that is gone needs nothing.
            let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.was);
        }
    }

    pub(super) fn ask(prompt: &str) -> Result<Vec<u8>, NoSecret> {
        match ask_on_terminal(prompt) {
            Ok(Answer::Line(line)) => Ok(line),
            Ok(Answer::Interrupted | Answer::Signal(SIGINT)) => Err(NoSecret::Interrupted),
            Ok(Answer::Signal(signal)) => {
                // It doesn't come back from one that ends the process.
                let _ = emulate_default_handler(signal);
                Err(NoSecret::Interrupted)
            }
            Err(error) => Err(no_terminal(&error).into()),
        }
    }

    /// The line that is typed. The terminal is as it was before this returns.
    fn ask_on_terminal(prompt: &str) -> io::Result<Answer> {
        let terminal = File::options().read(true).write(true).open("/dev/tty")?;
        let (ours, theirs) = UnixStream::pair()?;
        let wanted = ENDING.into_iter().filter(|&signal| !is_ignored(signal));
        let mut signals = SignalDelivery::with_pipe(ours, theirs, SignalOnly, wanted)?;
        let was = tcgetattr(&terminal)?;
        let mut hidden = was.clone();
        // Ctrl-C would end us and leave the terminal silent, so it ends the line instead.
        hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        hidden.local_modes.insert(LocalModes::ECHONL | LocalModes::ICANON);
        hidden.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
        let _restore = Restore { terminal: &terminal, was };
        tcsetattr(&terminal, OptionalActions::Flush, &hidden)?;
        (&terminal).write_all(prompt.as_bytes())?;
        let mut line = Vec::with_capacity(MAX_SECRET_BYTES + 1);
        let mut part = zeroed();
        loop {
            // A read would begin again after a signal, as if there had been none.
            let mut arrivals = [
                PollFd::new(&terminal, PollFlags::IN),
                PollFd::new(signals.get_read(), PollFlags::IN),
            ];
            match poll(&mut arrivals, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let is_there = !arrivals[0].revents().is_empty();
            if let Some(signal) = signals.pending().next() {
                (&terminal).write_all(b"\n")?;
                return Ok(Answer::Signal(signal));
            }
            if !is_there {
                continue;
            }
            match (&terminal).read(&mut *part) {
                Ok(0) => break,
                Ok(count) => line.extend_from_slice(&part[..count.min(MAX_SECRET_BYTES + 1)]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if line.last() == Some(&CTRL_C) {
                (&terminal).write_all(b"\n")?;
                return Ok(Answer::Interrupted);
            }
            if line.ends_with(b"\n") || line.len() > MAX_SECRET_BYTES {
                break;
            }
        }
        Ok(Answer::Line(line))
    }

    /// Wiped when dropped.
    fn zeroed() -> zeroize::Zeroizing<[u8; 512]> {
        zeroize::Zeroizing::new([0; 512])
    }
}

#[cfg(windows)]
mod terminal {
    //! The console.

    use super::{NoSecret, no_terminal};

    pub(super) fn ask(prompt: &str) -> Result<Vec<u8>, NoSecret> {
        rpassword::prompt_password(prompt)
            .map(String::into_bytes)
            .map_err(|error| no_terminal(&error).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_descriptor_the_first_line_is_taken_and_nothing_more() {
        let mut source: &[u8] = b"hunter2\r\nfor the command\n";
        assert_eq!(read_line(&mut source).expect("memory"), b"hunter2\r\n");
        assert_eq!(source, b"for the command\n");
        let mut wide: &[u8] = b"\xFF\xFEp\0\r\0\n\0";
        assert_eq!(read_line(&mut wide).expect("memory"), b"\xFF\xFEp\0\r\0\n\0");
    }

    #[test]
    fn what_has_no_end_is_read_no_further_than_a_password_can_be_long() {
        let mut endless = io::repeat(b'x');
        assert_eq!(read_line(&mut endless).expect("memory").len(), MAX_SECRET_BYTES + 1);
        let bytes = read_all(&mut endless).expect("memory");
        assert_eq!(bytes.len(), MAX_SECRET_BYTES + 1);
        assert!(Secret::from_bytes(bytes).is_err());
    }
}
