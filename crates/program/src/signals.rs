//! What is known of signals.

/// Whether the program was started with a signal ignored (nohup(1) does that). It should stay
/// ignored, for whatever it starts too.
#[cfg(unix)]
pub fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    ignored.is_some_and(|ignored| ignored & (1 << (signal - 1)) != 0)
}

/// The status that stands for how another program ended, as shells have it: its own, or 128 and the signal.
#[cfg(unix)]
pub fn exit_code(status: std::process::ExitStatus) -> Option<u8> {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
}
