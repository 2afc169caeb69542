//! What connections need of the system: threads that wait for them, and a file descriptor each.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// The most file descriptors that are asked for.
const FILES: u64 = 65_536;
/// How many of them are for others than servers.
const OTHERS: u64 = 128;
/// How many a server may take while it is opened: the endpoint mapper's is closed once the other is there.
const EACH: u64 = 2;

/// A runtime with so many threads, or one for each processor, in a process that may have many connections.
///
/// # Errors
/// The system's: it gives no threads, or nothing to wait with.
pub fn runtime(threads: Option<usize>) -> io::Result<Runtime> {
    allow_files(FILES);
    let mut builder = Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads);
    }
    builder.enable_all().build()
}

/// The most servers that can be open at once.
pub(crate) fn most_servers() -> usize {
    let most = allow_files(FILES).saturating_sub(OTHERS) / EACH;
    usize::try_from(most).unwrap_or(usize::MAX).max(1)
}

/// Asks the system for so many file descriptors, as far as it gives them; says how many there are.
pub fn allow_files(wanted: u64) -> u64 {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        let Some(before) = limit.current.filter(|current| *current < wanted) else {
            return limit.current.unwrap_or(u64::MAX);
        };
        /// macOS gives no process more, and says that there is no limit (`OPEN_MAX`).
        const DARWIN: u64 = 10_240;
        for wanted in [wanted, wanted.min(DARWIN)] {
            let wanted = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
            limit.current = Some(wanted);
            if wanted <= before || setrlimit(Resource::Nofile, limit).is_ok() {
                return wanted.max(before);
            }
        }
        before
    }
    #[cfg(not(unix))]
    {
        // There is no such limit.
        let _ = wanted;
        u64::MAX
    }
}
