//! Whom this thread is, as a stack: whoever it was at first, and the users that it became since.
//!
//! The thread is always whoever is on top. Becoming the next user goes through who the thread was
//! at first, since only that one may become somebody. Where the way back fails the process is
//! aborted, as it would go on as the wrong user.

use std::{cell::RefCell, fmt::Display, sync::Arc};

use crate::{Error, sys};

thread_local! {
    static STACK: RefCell<Stack> = const { RefCell::new(Stack::new()) };
}

struct Stack {
    /// Who the thread was before the first frame. There while there are frames.
    base: Option<sys::Base>,
    frames: Vec<Frame>,
    next: u64,
}

struct Frame {
    id: u64,
    token: Arc<sys::Token>,
}

impl Stack {
    const fn new() -> Self {
        Self { base: None, frames: Vec::new(), next: 0 }
    }

    fn base(&self) -> &sys::Base {
        self.base.as_ref().unwrap_or_else(|| die(&"who the thread was has been lost"))
    }

    fn leave_top(&self) {
        if let Some(top) = self.frames.last()
            && let Err(reason) = self.base().leave(&top.token)
        {
            die(&reason);
        }
    }

    fn enter_top(&self) {
        if let Some(top) = self.frames.last()
            && let Err(error) = self.base().enter(&top.token)
        {
            die(&error);
        }
    }
}

/// Becomes the token's user. On an error the thread is whoever it was.
pub(crate) fn push(token: &Arc<sys::Token>) -> Result<u64, Error> {
    STACK.with_borrow_mut(|stack| {
        if stack.frames.is_empty() {
            let base = sys::Base::capture()?;
            base.enter(token)?;
            stack.base = Some(base);
        } else {
            stack.leave_top();
            if let Err(error) = stack.base().enter(token) {
                stack.enter_top();
                return Err(error);
            }
        }
        stack.next += 1;
        let id = stack.next;
        stack.frames.push(Frame { id, token: Arc::clone(token) });
        Ok(id)
    })
}

/// Takes a user off the stack, wherever it is: when it is not on top, the thread stays as it is.
pub(crate) fn pop(id: u64) {
    let popped = STACK.try_with(|stack| {
        let mut stack = stack.borrow_mut();
        let at = stack.frames.iter().rposition(|frame| frame.id == id);
        let at = at.unwrap_or_else(|| die(&"a guard is not on the thread that made it"));
        let is_top = at + 1 == stack.frames.len();
        if is_top {
            stack.leave_top();
        }
        let frame = stack.frames.remove(at);
        if is_top {
            stack.enter_top();
        }
        if stack.frames.is_empty() {
            stack.base = None;
        }
        frame
    });
    // The token may be closed by this, and that looks at the stack too.
    drop(popped.unwrap_or_else(|_| die(&"a guard outlived its thread")));
}

/// Does something as whoever the thread was at first, and then is again whom it was just now.
pub(crate) fn as_base<R>(work: impl FnOnce() -> R) -> R {
    struct Suspended(Vec<Frame>, Option<sys::Base>);
    impl Drop for Suspended {
        fn drop(&mut self) {
            STACK.with_borrow_mut(|stack| {
                if !stack.frames.is_empty() {
                    die(&"a guard was left behind while the thread was itself");
                }
                stack.frames = std::mem::take(&mut self.0);
                stack.base = self.1.take();
                stack.enter_top();
            });
        }
    }
    let suspended = STACK.try_with(|stack| {
        let mut stack = stack.borrow_mut();
        if stack.frames.is_empty() {
            return None;
        }
        stack.leave_top();
        Some(Suspended(std::mem::take(&mut stack.frames), stack.base.take()))
    });
    // Without a stack the thread ends, and has nobody on it.
    let _suspended = suspended.ok().flatten();
    work()
}

/// Ends the process at once. What is said is its last word: nothing else may run any more.
pub(crate) fn die(reason: &dyn Display) -> ! {
    sys::last_word(&format!(
        "quarry-logon: the thread can't be itself again, so the process is aborted: {reason}\n"
    ));
    std::process::abort()
}
