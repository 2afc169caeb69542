//! Windows: tokens. A logon makes one, a thread takes one on, a program is started with one.

mod child;
mod logon;
mod thread;
mod token;

pub(crate) use child::{Child, spawn};
pub(crate) use logon::{current, log_on};
pub(crate) use thread::Base;
pub(crate) use token::Token;
pub use token::check_privileges;

use std::{ffi::OsStr, io, os::windows::ffi::OsStrExt, ptr};

use windows_sys::Win32::{
    Foundation::INVALID_HANDLE_VALUE,
    Storage::FileSystem::WriteFile,
    System::{
        Console::{GetStdHandle, STD_ERROR_HANDLE},
        EventLog::{
            DeregisterEventSource, EVENTLOG_WARNING_TYPE, RegisterEventSourceW, ReportEventW,
        },
    },
};

/// Whether this program got privileges from its file. There is no such thing on Windows.
pub fn started_with_privileges() -> bool {
    false
}

/// Writes a warning to the Application log. The source needs no registration to be shown, with the
/// text among what Windows says of that.
pub(crate) fn log(program: &str, text: &str) -> io::Result<()> {
    let program = wide(program.as_ref());
    let text = wide(text.as_ref());
    // SAFETY: the name ends with a NUL; a null server is this machine.
    let source = unsafe { RegisterEventSourceW(ptr::null(), program.as_ptr()) };
    if source.is_null() {
        return Err(io::Error::last_os_error());
    }
    let texts = [text.as_ptr()];
    // SAFETY: the source is open, and there is one text, which ends with a NUL.
    let reported = unsafe {
        ReportEventW(
            source,
            EVENTLOG_WARNING_TYPE,
            0,
            1,
            ptr::null_mut(),
            1,
            0,
            texts.as_ptr(),
            ptr::null(),
        )
    };
    let result = if reported == 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    // SAFETY: the source is open, and this is the last use of it.
    unsafe { DeregisterEventSource(source) };
    result
}

/// Writes to standard error, whoever may hold its lock.
pub(crate) fn last_word(text: &str) {
    // SAFETY: takes a number.
    let file = unsafe { GetStdHandle(STD_ERROR_HANDLE) };
    if file.is_null() || file == INVALID_HANDLE_VALUE {
        return;
    }
    let mut written = 0;
    // SAFETY: the pointer and the length are those of one text, and the count can be written to.
    unsafe {
        WriteFile(file, text.as_ptr(), text.len() as u32, &mut written, ptr::null_mut());
    }
}

/// A text with a NUL at its end.
fn wide(text: &OsStr) -> Vec<u16> {
    text.encode_wide().chain([0]).collect()
}
