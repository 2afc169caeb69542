//! The names of the channels.

use windows_sys::Win32::Foundation::{ERROR_INSUFFICIENT_BUFFER, ERROR_NO_MORE_ITEMS};
use windows_sys::Win32::System::EventLog::{EvtNextChannelPath, EvtOpenChannelEnum};

use super::call::{Handle, last_error, narrow};
use crate::error::Error;

/// The longest name, in UTF-16 units; real ones have 255 at most.
const MAX_NAME: u32 = 32 << 10;

/// Goes through the names of the channels that are registered here.
#[derive(Debug)]
pub struct Channels {
    handle: Handle,
    name: Vec<u16>,
    /// An error ends it.
    ended: bool,
}

impl Channels {
    /// Begins.
    ///
    /// # Errors
    /// [`Error`]: `EvtOpenChannelEnum` failed.
    pub fn open() -> Result<Self, Error> {
        // SAFETY: there are no pointers; no session means this machine.
        let raw = unsafe { EvtOpenChannelEnum(0, 0) };
        // SAFETY: it was just made.
        let handle = unsafe { Handle::new("EvtOpenChannelEnum", raw)? };
        Ok(Channels { handle, name: vec![0; 256], ended: false })
    }

    fn next_name(&mut self) -> Result<Option<String>, Error> {
        const CALL: &str = "EvtNextChannelPath";
        // A name that is too long for the buffer is asked for once more.
        for _ in 0..2 {
            let mut used = 0;
            // SAFETY: the buffer has as many units as is said, and is written to in this call only.
            let done = unsafe {
                EvtNextChannelPath(
                    self.handle.raw(),
                    self.name.len() as u32,
                    self.name.as_mut_ptr(),
                    &raw mut used,
                )
            };
            if done != 0 {
                return Ok(Some(narrow(&self.name)));
            }
            let error = last_error(CALL);
            match error.status() {
                Some(ERROR_NO_MORE_ITEMS) => return Ok(None),
                Some(ERROR_INSUFFICIENT_BUFFER) if used <= MAX_NAME => {
                    self.name.resize(used.max(1) as usize, 0);
                }
                Some(ERROR_INSUFFICIENT_BUFFER) => {
                    return Err(Error::TooLarge { call: CALL, bytes: u64::from(used) * 2 });
                }
                _ => return Err(error),
            }
        }
        Err(Error::Nonsense { call: CALL, what: "a size that is too small" })
    }
}

impl Iterator for Channels {
    type Item = Result<String, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.next_name();
        self.ended = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}
