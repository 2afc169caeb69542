//! Ctrl-C: what ends a run before its time.

use std::sync::LazyLock;

use quarry_collect::Stop;

use crate::console::Console;

static INTERRUPTED: LazyLock<Stop> = LazyLock::new(Stop::default);

/// Lets Ctrl-C end the reading, so that what was read is printed and summed up; a second one ends
/// the process.
pub fn catch(console: &Console) {
    let handler = || {
        if !INTERRUPTED.set() {
            std::process::exit(130);
        }
    };
    if let Err(e) = ctrlc::set_handler(handler) {
        console.warning(&format!("Ctrl-C will end quarry without a summary: {e}"));
    }
}

/// Ends the run as Ctrl-C does, where that was typed as an answer.
pub fn set() {
    INTERRUPTED.set();
}

/// Whether the run was interrupted.
pub fn is_set() -> bool {
    INTERRUPTED.is_set()
}

/// What stops a run once it is interrupted.
pub fn stop() -> &'static Stop {
    &INTERRUPTED
}

/// Waits for an interrupt, on a thread that does nothing else.
pub fn wait() {
    match tokio::runtime::Builder::new_current_thread().build() {
        Ok(runtime) => runtime.block_on(stop().wait()),
        Err(_) => {
            while !is_set() {
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        }
    }
}
