//! What the libraries do, step by step, on standard error: for whoever looks for a fault.

use std::io::{self, Write};

use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::console::Console;

/// The environment variable that says of which parts, and how much.
const VARIABLE: &str = "QUARRY_LOG";

/// Shows what `-v` (connections), `-vv` (calls and batches too) or `QUARRY_LOG` ask for.
pub fn show(verbosity: u8, console: &Console) {
    let asked = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
    let filter = match (&asked, verbosity) {
        (Some(text), _) => EnvFilter::try_new(text),
        (None, 0) => return,
        (None, 1) => EnvFilter::try_new("info"),
        (None, _) => EnvFilter::try_new("debug"),
    };
    let filter = match filter {
        Ok(filter) => filter,
        Err(error) => return console.warning(&format!("{VARIABLE} is left aside: {error}")),
    };
    // Other crates may say what is in messages, which holds secrets.
    let own = filter_fn(|metadata| metadata.target().starts_with("quarry"));
    let layer = fmt::layer().without_time().with_ansi(false).with_writer(Lines);
    // There may be one already, of the command that `quarry demo` shows.
    let _ = tracing_subscriber::registry().with(layer.with_filter(own.and(filter))).try_init();
}

/// The same for a daemon: what it says begins with its time, except where standard error is systemd's journal,
/// which adds one.
pub fn show_for_daemon(verbosity: u8, console: &Console) {
    if !goes_to_journal() {
        Console::show_times();
    }
    show(verbosity, console);
}

/// Whether standard error is the journal: systemd.exec(5), `JOURNAL_STREAM`.
#[cfg(unix)]
fn goes_to_journal() -> bool {
    use std::fs::File;
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::MetadataExt as _;
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else { return false };
    let stderr = io::stderr().as_fd().try_clone_to_owned().map(File::from);
    let own = stderr.and_then(|file| file.metadata());
    own.is_ok_and(|own| stream.to_str() == Some(&format!("{}:{}", own.dev(), own.ino())))
}

#[cfg(not(unix))]
fn goes_to_journal() -> bool {
    false
}

/// Writes lines beside the progress.
struct Lines;

/// A line while it is put together.
#[derive(Default)]
struct Line(Vec<u8>);

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Line;

    fn make_writer(&'w self) -> Line {
        Line::default()
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.0);
        Console::line(text.trim_end());
    }
}
