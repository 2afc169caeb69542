//! Changes of the configuration's file, and the signals that a daemon gets.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use quarry_program::interrupt;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// The configuration is to be read again.
    Reload,
    /// Time has passed.
    Tick,
    /// The program is to end.
    Stop,
}

/// Looks at the file, and waits for signals.
pub(crate) struct Watch {
    path: PathBuf,
    seen: Option<(SystemTime, u64)>,
    #[cfg(unix)]
    signals: Signals,
}

#[cfg(unix)]
struct Signals {
    hang_up: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Watch {
    /// Watches a file from now on. Needs a runtime.
    ///
    /// # Errors
    /// Signals can't be caught.
    pub(crate) fn new(path: &Path) -> std::io::Result<Self> {
        #[cfg(unix)]
        let signals = {
            use tokio::signal::unix::{SignalKind, signal};
            Signals {
                hang_up: signal(SignalKind::hangup())?,
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            }
        };
        Ok(Watch {
            path: path.to_owned(),
            seen: look(path),
            #[cfg(unix)]
            signals,
        })
    }

    /// Watches another file from now on.
    pub(crate) fn turn_to(&mut self, path: &Path) {
        self.seen = look(path);
        path.clone_into(&mut self.path);
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What happens next; at the latest after a second or two.
    pub(crate) async fn next(&mut self) -> Event {
        let event = self.signal_or(LOOK).await;
        if event == Event::Stop {
            interrupt::set();
        }
        let seen = look(&self.path);
        let is_changed = seen.is_some() && seen != self.seen;
        if is_changed {
            self.seen = seen;
        }
        match event {
            Event::Tick if is_changed => Event::Reload,
            event => event,
        }
    }

    #[cfg(unix)]
    async fn signal_or(&mut self, most: Duration) -> Event {
        let Signals { hang_up, terminate, interrupt } = &mut self.signals;
        tokio::select! {
            _ = terminate.recv() => Event::Stop,
            _ = interrupt.recv() => Event::Stop,
            _ = hang_up.recv() => Event::Reload,
            () = tokio::time::sleep(most) => Event::Tick,
        }
    }

    #[cfg(not(unix))]
    async fn signal_or(&mut self, most: Duration) -> Event {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => Event::Stop,
            () = tokio::time::sleep(most) => Event::Tick,
        }
    }
}

/// When a file was changed, and its length.
fn look(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
