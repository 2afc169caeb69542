//! The names that winmeta.xml, the standard's manifest, gives to levels, opcodes, tasks and
//! keywords, as Event Viewer shows them in English.

/// The name of a level. Level 0, "always logged", shows as information.
pub fn level(level: u8) -> Option<&'static str> {
    Some(match level {
        0 | 4 => "Information",
        1 => "Critical",
        2 => "Error",
        3 => "Warning",
        5 => "Verbose",
        _ => return None,
    })
}

/// The name of an opcode (`win:Info` to `win:Receive`).
pub fn opcode(opcode: u8) -> Option<&'static str> {
    Some(match opcode {
        0 => "Info",
        1 => "Start",
        2 => "Stop",
        3 => "DCStart",
        4 => "DCStop",
        5 => "Extension",
        6 => "Reply",
        7 => "Resume",
        8 => "Suspend",
        9 => "Send",
        240 => "Receive",
        _ => return None,
    })
}

/// The name of a task: the standard has only the one for none.
pub fn task(task: u16) -> Option<&'static str> {
    (task == 0).then_some("None")
}

/// What stands for a task without a name: its number, as Event Viewer shows it.
pub fn unnamed(task: u16) -> String {
    match self::task(task) {
        Some(name) => name.to_owned(),
        None => format!("({task})"),
    }
}

/// The name of a keyword's bit.
pub fn keyword(mask: u64) -> Option<&'static str> {
    Some(match mask {
        0x0001_0000_0000_0000 => "Response Time",
        0x0002_0000_0000_0000 => "WDI Context",
        0x0004_0000_0000_0000 => "WDI Diag",
        0x0008_0000_0000_0000 => "SQM",
        0x0010_0000_0000_0000 => "Audit Failure",
        0x0020_0000_0000_0000 => "Audit Success",
        0x0040_0000_0000_0000 => "Correlation Hint",
        0x0080_0000_0000_0000 => "Classic",
        _ => return None,
    })
}

/// A type of logon (SECURITY_LOGON_TYPE), as events 4624 and 4625 have it.
pub fn logon_type(number: u32) -> Option<&'static str> {
    Some(match number {
        0 => "System",
        2 => "Interactive",
        3 => "Network",
        4 => "Batch",
        5 => "Service",
        6 => "Proxy",
        7 => "Unlock",
        8 => "NetworkCleartext",
        9 => "NewCredentials",
        10 => "RemoteInteractive",
        11 => "CachedInteractive",
        12 => "CachedRemoteInteractive",
        13 => "CachedUnlock",
        _ => return None,
    })
}
