//! The event object that a subscription sets, watched by the system's thread pool: no thread of
//! ours waits for it, however many subscriptions there are.

use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;

use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::Threading::{
    CreateEventW, INFINITE, RegisterWaitForSingleObject, UnregisterWaitEx, WT_EXECUTEINWAITTHREAD,
};

use super::call::last_error;
use crate::error::Error;

type Callback = Box<dyn Fn() + Send + Sync>;

/// An event object that calls a function each time it is set.
pub struct Signal {
    wait: HANDLE,
    event: ManuallyDrop<OwnedHandle>,
    /// What the wait points to; on the heap, as it must not move.
    callback: ManuallyDrop<Box<Callback>>,
}

// SAFETY: a wait handle is a pointer that any thread may give back, and nothing else is done with it.
unsafe impl Send for Signal {}

impl Signal {
    /// A signal that calls `on_signal`, on a thread of the system's. It has to be short, and must
    /// not panic or drop the signal.
    ///
    /// # Errors
    /// [`Error`]: there are no handles or no memory left.
    pub fn new(on_signal: impl Fn() + Send + Sync + 'static) -> Result<Self, Error> {
        // SAFETY: no attributes, no name. It resets itself: each time it is set is told once.
        let event = unsafe { CreateEventW(ptr::null(), 0, 0, ptr::null()) };
        if event.is_null() {
            return Err(last_error("CreateEventW"));
        }
        // SAFETY: the handle is new, and nobody else has it.
        let event = unsafe { OwnedHandle::from_raw_handle(event) };
        let callback: Box<Callback> = Box::new(Box::new(on_signal));
        let mut wait = ptr::null_mut();
        // SAFETY: the handle is open and the callback's memory stays where it is until the wait has
        // been unregistered, which is before either is given up.
        let registered = unsafe {
            RegisterWaitForSingleObject(
                &raw mut wait,
                event.as_raw_handle(),
                Some(signalled),
                ptr::from_ref(&*callback).cast(),
                INFINITE,
                WT_EXECUTEINWAITTHREAD,
            )
        };
        match registered {
            0 => Err(last_error("RegisterWaitForSingleObject")),
            _ => Ok(Signal {
                wait,
                event: ManuallyDrop::new(event),
                callback: ManuallyDrop::new(callback),
            }),
        }
    }

    pub(super) fn event(&self) -> HANDLE {
        self.event.as_raw_handle()
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        // SAFETY: the wait is registered, and isn't used any more.
        if unsafe { UnregisterWaitEx(self.wait, INVALID_HANDLE_VALUE) } == 0 {
            // It is registered still, so that what it points to stays.
            return;
        }
        // SAFETY: the call has returned when no callback runs any more, so that what it points to
        // can go; neither is used after this.
        unsafe {
            ManuallyDrop::drop(&mut self.event);
            ManuallyDrop::drop(&mut self.callback);
        }
    }
}

impl std::fmt::Debug for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signal").field("event", &self.event).finish_non_exhaustive()
    }
}

unsafe extern "system" fn signalled(callback: *mut c_void, _timed_out: bool) {
    // SAFETY: the context that was registered, which lives until the wait is unregistered.
    let callback = unsafe { &*callback.cast::<Callback>() };
    callback();
}
