//! A new address of the page for whoever presses Enter where the program runs: the one before was used, or is
//! older than it may be.

use std::io::{self, IsTerminal as _, Write as _};

use quarry_web::site::Visits;

/// Prints another address whenever Enter is pressed, where a person is at both ends.
pub fn on_enter(visits: Visits) {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return;
    }
    // It waits for a line when the program ends, and ends with it.
    std::thread::spawn(move || {
        let mut line = String::new();
        while is_asked() && io::stdin().read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            line.clear();
            let Ok(Some(address)) = visits.another() else { return };
            let mut out = io::stdout().lock();
            if writeln!(out, "{address}").and_then(|()| out.flush()).is_err() {
                return;
            }
        }
    });
}

/// Waits for a line of this program. False where none can come.
#[cfg(unix)]
fn is_asked() -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    loop {
        let stdin = io::stdin();
        match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return false,
        }
        // In the background the line is another program's, and to read it would stop this one.
        let foreground = rustix::termios::tcgetpgrp(&stdin);
        match foreground {
            Ok(group) if group == rustix::process::getpgrp() => return true,
            Ok(_) => std::thread::sleep(std::time::Duration::from_secs(1)),
            Err(_) => return false,
        }
    }
}

#[cfg(not(unix))]
fn is_asked() -> bool {
    true
}
