//! What the calls have in common: handles, texts, errors, buffers that grow.

use std::cell::Cell;
use std::marker::PhantomData;
use std::num::NonZeroIsize;
use std::slice;

use windows_sys::Win32::Foundation::{ERROR_INSUFFICIENT_BUFFER, GetLastError};
use windows_sys::Win32::System::EventLog::{EVT_HANDLE, EvtClose};

use crate::error::Error;

/// The most that is rendered into one buffer, in bytes. Events have 64 KiB at most when they are
/// written; as XML they are some times as large.
const MAX_BUFFER: u32 = 16 << 20;

/// How often a buffer may turn out to be too small: what is asked for may grow between.
const MAX_TRIES: u32 = 4;

/// A handle of the API, closed when it is dropped. It goes from thread to thread, and is used by
/// one at a time.
#[derive(Debug)]
pub(super) struct Handle {
    raw: NonZeroIsize,
    _not_sync: PhantomData<Cell<()>>,
}

impl Handle {
    /// Takes what `call` gave, just now.
    ///
    /// # Safety
    /// The handle is none, or open and nobody else's.
    pub(super) unsafe fn new(call: &'static str, raw: EVT_HANDLE) -> Result<Self, Error> {
        match NonZeroIsize::new(raw) {
            // SAFETY: as the caller says.
            Some(raw) => Ok(unsafe { Handle::own(raw) }),
            None => Err(last_error(call)),
        }
    }

    /// # Safety
    /// The handle is open and nobody else's.
    pub(super) unsafe fn own(raw: NonZeroIsize) -> Self {
        Handle { raw, _not_sync: PhantomData }
    }

    pub(super) fn raw(&self) -> EVT_HANDLE {
        self.raw.get()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is ours, open, and not used any more.
        unsafe { EvtClose(self.raw.get()) };
    }
}

/// Why the call that was just made failed.
pub(super) fn last_error(call: &'static str) -> Error {
    // SAFETY: it reads a value of this thread's.
    match unsafe { GetLastError() } {
        0 => Error::NoReason { call },
        status => Error::Refused { call, status },
    }
}

/// A text with the NUL that ends it.
pub(super) fn wide(text: &str) -> Result<Vec<u16>, Error> {
    if text.contains('\0') {
        return Err(Error::Nul);
    }
    Ok(text.encode_utf16().chain([0]).collect())
}

/// UTF-16 up to its NUL, or all of it. A lone surrogate becomes U+FFFD.
pub(super) fn narrow(units: &[u16]) -> String {
    let text = units.split(|&unit| unit == 0).next().unwrap_or_default();
    String::from_utf16_lossy(text)
}

/// Memory for what a call writes, aligned as an `EVT_VARIANT` has to be, and used again.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    memory: Vec<u64>,
    used: usize,
}

impl Buffer {
    /// Calls `write` with a place to write to and its size in bytes, which sets the size that it
    /// used or needs; again with more room, where that was too little.
    pub(super) fn fill(
        &mut self,
        call: &'static str,
        mut write: impl FnMut(*mut u64, u32, &mut u32) -> bool,
    ) -> Result<(), Error> {
        self.used = 0;
        if self.memory.is_empty() {
            self.memory.resize(512, 0);
        }
        for _ in 0..MAX_TRIES {
            let size = u32::try_from(self.memory.len() * 8).unwrap_or(MAX_BUFFER);
            let mut used = 0;
            if write(self.memory.as_mut_ptr(), size, &mut used) {
                // Some functions say that they used more than there is.
                self.used = used.min(size) as usize;
                return Ok(());
            }
            let error = last_error(call);
            if error.status() != Some(ERROR_INSUFFICIENT_BUFFER) {
                return Err(error);
            }
            if used > MAX_BUFFER {
                return Err(Error::TooLarge { call, bytes: used.into() });
            }
            let needed = used.max(size.saturating_mul(2)).min(MAX_BUFFER);
            self.memory.resize(needed.div_ceil(8) as usize, 0);
        }
        Err(Error::Nonsense { call, what: "a size that is too small again and again" })
    }

    /// What was written.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the vector's memory is initialised, `used` is at most its size, and any byte is
        // a valid `u8`.
        unsafe { slice::from_raw_parts(self.memory.as_ptr().cast(), self.used) }
    }

    /// What was written, as UTF-16 without the NUL at its end. One within is part of the text: an
    /// event may have it in a string.
    pub(super) fn text(&self) -> String {
        let units = self.bytes().chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
        let mut units: Vec<u16> = units.collect();
        while units.pop_if(|unit| *unit == 0).is_some() {}
        String::from_utf16_lossy(&units)
    }

    /// Where it was written to: what pointers in it are relative to.
    pub(super) fn address(&self) -> usize {
        self.memory.as_ptr().addr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_ends_where_the_call_says_and_not_at_its_first_nul() {
        let written: Vec<u16> = "<a>b\0c</a>\0".encode_utf16().collect();
        let mut buffer = Buffer::default();
        buffer
            .fill("EvtRender", |place, size, used| {
                assert!(size as usize >= 2 * written.len());
                // SAFETY: there is room for it, as was just seen, and it is elsewhere.
                unsafe { place.cast::<u16>().copy_from(written.as_ptr(), written.len()) };
                *used = 2 * written.len() as u32;
                true
            })
            .unwrap();
        assert_eq!(buffer.text(), "<a>b\0c</a>");
    }
}
