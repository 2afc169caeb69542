//! Bookmarks: where a reader is in its result set.

use std::ptr;

use windows_sys::Win32::System::EventLog::{
    EvtCreateBookmark, EvtRender, EvtRenderBookmark, EvtUpdateBookmark,
};

use super::call::{Buffer, Handle, last_error, wide};
use super::results::Event;
use crate::error::Error;

/// A bookmark. Its XML (MS-EVEN6 2.2.14) has the number of the last record in each log.
#[derive(Debug)]
pub struct Bookmark {
    handle: Handle,
    buffer: Buffer,
}

impl Bookmark {
    /// One that is nowhere yet.
    ///
    /// # Errors
    /// [`Error`]: `EvtCreateBookmark` failed.
    pub fn new() -> Result<Self, Error> {
        // SAFETY: no text is a new bookmark.
        let raw = unsafe { EvtCreateBookmark(ptr::null()) };
        // SAFETY: it was just made.
        unsafe { Bookmark::of(raw) }
    }

    /// One from its XML.
    ///
    /// # Errors
    /// [`Error`]: `EvtCreateBookmark` failed.
    pub fn from_xml(xml: &str) -> Result<Self, Error> {
        let xml = wide(xml)?;
        // SAFETY: the text ends with a NUL and lives longer than the call.
        let raw = unsafe { EvtCreateBookmark(xml.as_ptr()) };
        // SAFETY: it was just made.
        unsafe { Bookmark::of(raw) }
    }

    /// # Safety
    /// The handle is none, or open and nobody else's.
    unsafe fn of(raw: isize) -> Result<Self, Error> {
        // SAFETY: as the caller says.
        let handle = unsafe { Handle::new("EvtCreateBookmark", raw)? };
        Ok(Bookmark { handle, buffer: Buffer::default() })
    }

    /// Moves it to an event of a result set.
    ///
    /// # Errors
    /// [`Error`]: `EvtUpdateBookmark` failed.
    pub fn update(&mut self, event: &Event) -> Result<(), Error> {
        // SAFETY: both handles are open.
        match unsafe { EvtUpdateBookmark(self.handle.raw(), event.handle().raw()) } {
            0 => Err(last_error("EvtUpdateBookmark")),
            _ => Ok(()),
        }
    }

    /// Its XML.
    ///
    /// # Errors
    /// [`Error`]: `EvtRender` failed.
    pub fn to_xml(&mut self) -> Result<String, Error> {
        let handle = self.handle.raw();
        self.buffer.fill("EvtRender", |place, size, used| {
            let mut count = 0;
            // SAFETY: the place has as many bytes as is said, and is written to in this call only;
            // the handle is an open bookmark, which is rendered without a context.
            unsafe {
                EvtRender(0, handle, EvtRenderBookmark, size, place.cast(), used, &raw mut count)
                    != 0
            }
        })?;
        Ok(self.buffer.text())
    }

    pub(super) fn raw(&self) -> isize {
        self.handle.raw()
    }
}
