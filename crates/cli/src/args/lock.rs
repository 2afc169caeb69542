//! The command line of `quarry lock`.

use std::ffi::OsString;
use std::time::Duration;

use clap::ArgAction;
use quarry_lock::ByteRange;

use quarry_program::args::values::duration;

/// Run a command with a file locked.
///
/// The file is created if it is missing, and its content is never changed. The lock excludes
/// util-linux flock, cargo and everybody else who locks the whole file. It ends with the command;
/// on Unix it lasts until the last process that inherited it has ended (not with --close).
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "quarry lock [OPTIONS] FILE [--] COMMAND [ARGUMENT]...\n       \
                      quarry lock [OPTIONS] FILE -c COMMAND\n       \
                      quarry lock [OPTIONS] DESCRIPTOR\n       \
                      quarry lock --who FILE",
    after_help = "Exit status: that of COMMAND (128 + N if signal N ended it); 1, or that of -E, if the \
                  lock was not to be had; 64 usage, 65 the lock failed, 66 FILE can't be opened, 69 \
                  COMMAND can't be run, 71 the system failed, 73 FILE can't be created.\n\n\
                  On Windows nobody else, COMMAND included, can read or write a FILE that is locked \
                  exclusively, and a DESCRIPTOR and --no-fork do not exist."
)]
pub(crate) struct LockArgs {
    /// Get a shared lock: others may share it, and nobody has it exclusively
    #[arg(short, long, overrides_with_all = ["exclusive", "unlock"])]
    pub(crate) shared: bool,

    /// Get an exclusive lock (the default)
    #[arg(short = 'x', short_alias = 'e', long, overrides_with_all = ["shared", "unlock"])]
    pub(crate) exclusive: bool,

    /// Release the lock of a DESCRIPTOR
    #[arg(short, long, overrides_with_all = ["shared", "exclusive"])]
    pub(crate) unlock: bool,

    /// Fail rather than wait
    #[arg(short, long = "nonblock", visible_aliases = ["nb", "nonblocking"])]
    pub(crate) nonblock: bool,

    /// Wait this long at most: seconds, fractions are allowed, or 2s, 1m30s; 0 is as --nonblock
    #[arg(short = 'w', long, visible_alias = "wait", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,

    /// Exit with this when the lock was not to be had
    #[arg(short = 'E', long, value_name = "CODE", default_value_t = 1)]
    pub(crate) conflict_exit_code: u8,

    /// Don't let COMMAND inherit the lock, so that what it leaves running does not keep it
    #[arg(short = 'o', long)]
    pub(crate) close: bool,

    /// Become COMMAND instead of starting it
    #[arg(short = 'F', long, conflicts_with = "close")]
    pub(crate) no_fork: bool,

    /// Lock LEN bytes from START on, 0 being all that follow; k, M, G and T are understood. Range
    /// locks and whole-file locks do not see each other on Linux
    #[arg(long, value_name = "START:LEN", value_parser = range)]
    pub(crate) range: Option<ByteRange>,

    /// As --range 0:0
    #[arg(long, conflicts_with = "range")]
    pub(crate) fcntl: bool,

    /// As --range START:0, or with --length
    #[arg(long, value_name = "START", value_parser = size, conflicts_with = "range")]
    pub(crate) start: Option<u64>,

    /// As --range 0:LEN, or with --start
    #[arg(long, value_name = "LEN", value_parser = size, conflicts_with = "range")]
    pub(crate) length: Option<u64>,

    /// Say how long it took to get the lock and what is run then
    #[arg(long)]
    pub(crate) verbose: bool,

    /// Say who holds the lock and exit: 0 if somebody is known to, else 1
    #[arg(long)]
    pub(crate) who: bool,

    /// Don't write a holder file beside FILE. It names the process, the host and the program, but
    /// none of the program's arguments, and is what --who reads
    #[arg(long)]
    pub(crate) no_holder_file: bool,

    /// FILE or DESCRIPTOR, and what to run
    // One list, so that nothing after FILE is taken for a flag of ours.
    #[arg(required = true, trailing_var_arg = true, action = ArgAction::Append, value_name = "FILE [COMMAND]")]
    pub(crate) words: Vec<OsString>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .or_else(|| duration(text).ok())
        .ok_or_else(|| "neither a number of seconds nor a time such as 2s or 1m30s".to_owned())
}

fn range(text: &str) -> Result<ByteRange, String> {
    let (start, len) = text.split_once(':').ok_or("not of the form START:LEN")?;
    bytes(size(start)?, size(len)?)
}

/// So many bytes from a place on; all that follow, where there are 0.
pub(crate) fn bytes(start: u64, len: u64) -> Result<ByteRange, String> {
    let range = if len == 0 { ByteRange::starting_at(start) } else { ByteRange::new(start, len) };
    range.map_err(|error| error.to_string())
}

/// A number of bytes, with k, M, G or T for powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let power = match text[digits.len()..].trim_end_matches("iB") {
        "" => 0,
        "k" | "K" => 1,
        "m" | "M" => 2,
        "g" | "G" => 3,
        "t" | "T" => 4,
        _ => return Err("not a number of bytes".to_owned()),
    };
    digits
        .parse()
        .ok()
        .and_then(|number: u64| number.checked_mul(1 << (10 * power)))
        .ok_or_else(|| "not a number of bytes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_powers_of_1024_and_never_overflow() {
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("4k"), Ok(4096));
        assert_eq!(size("1MiB"), Ok(1 << 20));
        for bad in ["", "k", "1x", "-1", "1.5", "99999999999T", "18446744073709551616"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn seconds_may_have_fractions_and_may_not_be_negative() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        for bad in ["", "-1", "NaN", "inf", "1e400", "soon"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_range_of_no_length_reaches_to_the_end() {
        assert_eq!(range("5:0").map(|range| range.len()), Ok(None));
        assert_eq!(range("5:1k").map(|range| range.len()), Ok(Some(1024)));
        for bad in ["5", "5:", ":5", "5:5:5", "9223372036854775807:1"] {
            assert!(range(bad).is_err(), "{bad}");
        }
    }
}
