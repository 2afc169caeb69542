//! One `LockFileEx` request: started, waited for, cancelled, and always collected.

use std::{
    fs::File,
    io,
    os::windows::io::{AsRawHandle, OwnedHandle},
    ptr,
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, Instant},
};

use windows_sys::Win32::{
    Foundation::{
        ERROR_IO_PENDING, ERROR_LOCK_VIOLATION, ERROR_NOT_FOUND, ERROR_OPERATION_ABORTED,
        GetLastError, HANDLE, STATUS_PENDING, WAIT_OBJECT_0,
    },
    Storage::FileSystem::{
        LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY, LockFileEx, UnlockFileEx,
    },
    System::{
        IO::{CancelIoEx, GetOverlappedResult, OVERLAPPED, OVERLAPPED_0, OVERLAPPED_0_0},
        Threading::{INFINITE, ResetEvent, WaitForSingleObject},
    },
};

use super::windows::Span;
use crate::{Mode, Wait, backoff::Backoff};

/// How long the first wait of the process goes before it is looked into whether this system
/// completes such requests at all.
const TRIAL: Duration = Duration::from_millis(50);
/// How long a request that can't be cancelled any more, because it is done, may take to say so.
const COMPLETION: u32 = 200;

/// Whether this system completes a lock request that had to wait: not known yet, it does, or it
/// never does, as with Wine, where asking again is all that is left.
static COMPLETES: AtomicU8 = AtomicU8::new(UNKNOWN);
const UNKNOWN: u8 = 0;
const YES: u8 = 1;
const NEVER: u8 = 2;

/// Takes a lock on a handle that was opened for overlapped I/O; false if it could not be had in
/// the time given.
pub(super) fn lock(
    file: &File,
    event: &OwnedHandle,
    span: Span,
    mode: Mode,
    wait: Wait,
) -> io::Result<bool> {
    if try_lock_with(file, event.as_raw_handle(), span, mode)? {
        return Ok(true);
    }
    let deadline = match wait {
        Wait::Never => return Ok(false),
        Wait::Forever => None,
        Wait::Until(at) => Some(at),
    };
    let event = event.as_raw_handle();
    while COMPLETES.load(Ordering::Relaxed) != NEVER {
        let request = match Request::start(file.as_raw_handle(), event, span, mode, 0)? {
            Started::Done(true) => return Ok(true),
            // Some servers refuse at once, though they were asked to wait.
            Started::Done(false) => break,
            Started::Waiting(request) => request,
        };
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let known = COMPLETES.load(Ordering::Relaxed) == YES;
        let patience = match left {
            None if known => None,
            None => Some(TRIAL),
            Some(left) if known => Some(left),
            Some(left) => Some(left.min(TRIAL)),
        };
        match request.finish_within(patience)? {
            Outcome::Taken => return Ok(true),
            Outcome::Refused => break,
            Outcome::Cancelled => {
                if deadline.is_some_and(|at| at <= Instant::now()) {
                    return Ok(false);
                }
            }
            Outcome::Unanswered => COMPLETES.store(NEVER, Ordering::Relaxed),
        }
    }
    let mut backoff = Backoff::new();
    while backoff.sleep_until(deadline) {
        if try_lock_with(file, event, span, mode)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes a lock if nobody is in the way.
pub(super) fn try_lock(file: &File, span: Span, mode: Mode) -> io::Result<bool> {
    try_lock_with(file, ptr::null_mut(), span, mode)
}

/// Releases a lock of exactly this range.
pub(super) fn unlock(file: &File, (start, len): Span) -> io::Result<()> {
    let mut overlapped = overlapped_at(start, ptr::null_mut());
    let (low, high) = halves(len);
    // SAFETY: the handle is open. Releasing never waits, so the structure is not used after the call.
    if unsafe { UnlockFileEx(file.as_raw_handle(), 0, low, high, &raw mut overlapped) } == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// An `OVERLAPPED` for a request at this offset, marked as not done: Windows does so itself,
/// Wine does not, and would have us read an unanswered request as a success.
pub(super) fn overlapped_at(offset: u64, event: HANDLE) -> OVERLAPPED {
    let (low, high) = halves(offset);
    OVERLAPPED {
        Internal: STATUS_PENDING as usize,
        InternalHigh: 0,
        Anonymous: OVERLAPPED_0 { Anonymous: OVERLAPPED_0_0 { Offset: low, OffsetHigh: high } },
        hEvent: event,
    }
}

fn try_lock_with(file: &File, event: HANDLE, span: Span, mode: Mode) -> io::Result<bool> {
    let flags = LOCKFILE_FAIL_IMMEDIATELY;
    match Request::start(file.as_raw_handle(), event, span, mode, flags)? {
        Started::Done(taken) => Ok(taken),
        // A server on the network is asked. It answers at once, but not in no time.
        Started::Waiting(request) => match request.collect()? {
            Outcome::Taken => Ok(true),
            _ => Ok(false),
        },
    }
}

fn halves(number: u64) -> (u32, u32) {
    (number as u32, (number >> 32) as u32)
}

enum Started {
    Done(bool),
    Waiting(Request),
}

enum Outcome {
    Taken,
    Refused,
    Cancelled,
    /// It can't be cancelled, and it does not complete.
    Unanswered,
}

/// A request that the system may still write to. Each way out of it either collects the result or
/// leaves the memory to the system for good.
struct Request {
    file: HANDLE,
    overlapped: *mut OVERLAPPED,
}

impl Request {
    fn start(
        file: HANDLE,
        event: HANDLE,
        (start, len): Span,
        mode: Mode,
        flags: u32,
    ) -> io::Result<Started> {
        let exclusive = if mode == Mode::Exclusive { LOCKFILE_EXCLUSIVE_LOCK } else { 0 };
        let (low, high) = halves(len);
        if !event.is_null() {
            // SAFETY: the event is open. A failure shows in the wait.
            unsafe { ResetEvent(event) };
        }
        let overlapped = Box::into_raw(Box::new(overlapped_at(start, event)));
        // SAFETY: the handle is open, and the structure stays in place until the request is done.
        let done = unsafe { LockFileEx(file, flags | exclusive, 0, low, high, overlapped) };
        // SAFETY: reads this thread's last error only.
        let error = if done == 0 { unsafe { GetLastError() } } else { 0 };
        let request = Self { file, overlapped };
        if error == ERROR_IO_PENDING {
            return Ok(Started::Waiting(request));
        }
        request.free();
        match error {
            0 => Ok(Started::Done(true)),
            ERROR_LOCK_VIOLATION => Ok(Started::Done(false)),
            error => Err(io::Error::from_raw_os_error(error as i32)),
        }
    }

    /// Waits for the answer, `None` being for ever, and cancels the request if none comes.
    fn finish_within(self, patience: Option<Duration>) -> io::Result<Outcome> {
        let forever_less_one = u128::from(INFINITE - 1);
        let milliseconds = patience.map_or(INFINITE, |patience| {
            patience.as_micros().div_ceil(1000).min(forever_less_one) as u32
        });
        if self.is_done_within(milliseconds) {
            COMPLETES.store(YES, Ordering::Relaxed);
            return self.collect();
        }
        // SAFETY: the handle is open and the structure is that of a request on it.
        let cancelling = unsafe { CancelIoEx(self.file, self.overlapped) } != 0;
        // SAFETY: reads this thread's last error only.
        let error = if cancelling { 0 } else { unsafe { GetLastError() } };
        if error == ERROR_NOT_FOUND && !self.is_done_within(COMPLETION) {
            // There is no such request, and yet it is not done. The memory is left to the system.
            return Ok(Outcome::Unanswered);
        }
        COMPLETES.store(YES, Ordering::Relaxed);
        self.collect()
    }

    fn is_done_within(&self, milliseconds: u32) -> bool {
        // SAFETY: the structure is there until the request is done, and its event is open.
        unsafe {
            let event = (*self.overlapped).hEvent;
            WaitForSingleObject(event, milliseconds) == WAIT_OBJECT_0
        }
    }

    /// Waits until the request is done, which it is or will be at once, and says how.
    fn collect(self) -> io::Result<Outcome> {
        let mut count = 0;
        // SAFETY: the handle is open, the structure is that of a request on it, and the call
        // returns only when that is done.
        let taken =
            unsafe { GetOverlappedResult(self.file, self.overlapped, &raw mut count, 1) } != 0;
        // SAFETY: reads this thread's last error only.
        let error = if taken { 0 } else { unsafe { GetLastError() } };
        self.free();
        match error {
            0 => Ok(Outcome::Taken),
            ERROR_LOCK_VIOLATION => Ok(Outcome::Refused),
            ERROR_OPERATION_ABORTED => Ok(Outcome::Cancelled),
            error => Err(io::Error::from_raw_os_error(error as i32)),
        }
    }

    /// Frees the memory of a request that is done.
    fn free(self) {
        // SAFETY: it came from a box, and the system has no use for it any more.
        drop(unsafe { Box::from_raw(self.overlapped) });
    }
}
