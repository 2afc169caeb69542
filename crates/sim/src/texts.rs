//! The message text of the simulated providers, and its rendering as a server does it.
//!
//! A message is written as in a message table: `%1` is a value, `%n` a line end, `%t` a tab.

use crate::kinds::{KINDS, Kind, Value};

const AUDITING: &str = "Microsoft-Windows-Security-Auditing";
const UPDATES: &str = "Microsoft-Windows-WindowsUpdateClient";
const SERVICES: &str = "Service Control Manager";

/// The messages of events, by provider and number.
const MESSAGES: &[(&str, u16, &str)] = &[
    (
        AUDITING,
        4624,
        "An account was successfully logged on.%n%nSubject:%n%tSecurity ID:%t%t%1%n%tAccount \
         Name:%t%t%2%n%tAccount Domain:%t%t%3%n%tLogon ID:%t%t%4%n%nLogon Information:%n%tLogon \
         Type:%t%t%9%n%tRestricted Admin Mode:%t%22%n%tVirtual Account:%t%t%25%n%tElevated \
         Token:%t%t%27%n%nImpersonation Level:%t%t%21%n%nNew Logon:%n%tSecurity \
         ID:%t%t%5%n%tAccount Name:%t%t%6%n%tAccount Domain:%t%t%7%n%tLogon \
         ID:%t%t%8%n%tLinked Logon ID:%t%t%26%n%tNetwork Account Name:%t%23%n%tNetwork Account \
         Domain:%t%24%n%tLogon GUID:%t%t%13%n%nProcess Information:%n%tProcess \
         ID:%t%t%17%n%tProcess Name:%t%t%18%n%nNetwork Information:%n%tWorkstation \
         Name:%t%12%n%tSource Network Address:%t%19%n%tSource Port:%t%t%20%n%nDetailed \
         Authentication Information:%n%tLogon Process:%t%t%10%n%tAuthentication \
         Package:%t%11%n%tTransited Services:%t%14%n%tPackage Name (NTLM only):%t%15%n%tKey \
         Length:%t%t%16",
    ),
    (
        AUDITING,
        4625,
        "An account failed to log on.%n%nSubject:%n%tSecurity ID:%t%t%1%n%tAccount \
         Name:%t%t%2%n%tAccount Domain:%t%t%3%n%tLogon ID:%t%t%4%n%nLogon Type:%t%t%t%11%n%n\
         Account For Which Logon Failed:%n%tSecurity ID:%t%t%5%n%tAccount Name:%t%t%6%n%tAccount \
         Domain:%t%t%7%n%nFailure Information:%n%tFailure Reason:%t%t%9%n%tStatus:%t%t%t%8%n%tSub \
         Status:%t%t%10%n%nProcess Information:%n%tCaller Process ID:%t%18%n%tCaller Process \
         Name:%t%19%n%nNetwork Information:%n%tWorkstation Name:%t%14%n%tSource Network \
         Address:%t%20%n%tSource Port:%t%t%21%n%nDetailed Authentication Information:%n%tLogon \
         Process:%t%t%12%n%tAuthentication Package:%t%13%n%tTransited Services:%t%15%n%tPackage \
         Name (NTLM only):%t%16%n%tKey Length:%t%t%17",
    ),
    (
        AUDITING,
        4634,
        "An account was logged off.%n%nSubject:%n%tSecurity ID:%t%t%1%n%tAccount \
         Name:%t%t%2%n%tAccount Domain:%t%t%3%n%tLogon ID:%t%t%4%n%nLogon Type:%t%t%t%5",
    ),
    (
        AUDITING,
        4672,
        "Special privileges assigned to new logon.%n%nSubject:%n%tSecurity \
         ID:%t%t%1%n%tAccount Name:%t%t%2%n%tAccount Domain:%t%t%3%n%tLogon ID:%t%t%4%n%n\
         Privileges:%t%t%5",
    ),
    (
        AUDITING,
        4688,
        "A new process has been created.%n%nCreator Subject:%n%tSecurity ID:%t%t%1%n%tAccount \
         Name:%t%t%2%n%tAccount Domain:%t%t%3%n%tLogon ID:%t%t%4%n%nTarget Subject:%n%tSecurity \
         ID:%t%t%10%n%tAccount Name:%t%t%11%n%tAccount Domain:%t%t%12%n%tLogon ID:%t%t%13%n%n\
         Process Information:%n%tNew Process ID:%t%t%5%n%tNew Process Name:%t%6%n%tToken \
         Elevation Type:%t%7%n%tMandatory Label:%t%t%15%n%tCreator Process ID:%t%8%n%tCreator \
         Process Name:%t%14%n%tProcess Command Line:%t%9",
    ),
    (
        AUDITING,
        4776,
        "The computer attempted to validate the credentials for an account.%n%nAuthentication \
         Package:%t%1%nLogon Account:%t%2%nSource Workstation:%t%3%nError Code:%t%4",
    ),
    (SERVICES, 7036, "The %1 service entered the %2 state."),
    (
        SERVICES,
        7031,
        "The %1 service terminated unexpectedly.  It has done this %2 time(s).  The following \
         corrective action will be taken in %3 milliseconds: %5.",
    ),
    (
        "Microsoft-Windows-DistributedCOM",
        10016,
        "The %1 permission settings do not grant %2 %3 permission for the COM Server application \
         with CLSID %n%4%n and APPID %n%5%n to the user %6\\%7 SID (%8) from address %9 running \
         in the application container %10 SID (%11). This security permission can be modified \
         using the Component Services administrative tool.",
    ),
    (
        UPDATES,
        19,
        "Installation Successful: Windows successfully installed the following update: %1",
    ),
    (
        "Microsoft-Windows-Kernel-General",
        16,
        "The access history in hive %2 was cleared updating %3 keys and creating %4 modified \
         pages.",
    ),
    (
        "Microsoft-Windows-Kernel-Power",
        41,
        "The system has rebooted without cleanly shutting down first. This error could be caused \
         if the system stopped responding, crashed, or lost power unexpectedly.",
    ),
    (
        "Application Error",
        1000,
        "Faulting application name: %1, version: %2, time stamp: 0x%3%nFaulting module name: %4, \
         version: %5, time stamp: 0x%6%nException code: 0x%7%nFault offset: 0x%8%nFaulting \
         process id: 0x%9%nFaulting application start time: 0x%10%nFaulting application path: \
         %11%nFaulting module path: %12%nReport Id: %13",
    ),
    (
        "Windows Error Reporting",
        1001,
        "Fault bucket %1, type %2%nEvent Name: %3%nResponse: %4%nCab Id: 0%n%nProblem \
         signature:%nP1: %5%nP2: %6%nP3: %7%n%nAttached files:%8",
    ),
    (".NET Runtime", 1026, "%1"),
    (
        "Microsoft-Windows-Security-SPP",
        16384,
        "Successfully scheduled Software Protection service for re-start at %1. Reason: %2.",
    ),
    ("MsiInstaller", 11707, "%1"),
];

/// The names of tasks.
const TASKS: &[(&str, u16, &str)] = &[
    (AUDITING, 12544, "Logon"),
    (AUDITING, 12545, "Logoff"),
    (AUDITING, 12548, "Special Logon"),
    (AUDITING, 13312, "Process Creation"),
    (AUDITING, 14336, "Credential Validation"),
    (UPDATES, 1, "Windows Update Agent"),
    ("Application Error", 100, "Application Crashing Events"),
];

const OPCODES: &[(&str, u8, &str)] = &[(UPDATES, 13, "Installation")];

const KEYWORDS: &[(&str, u64, &str)] =
    &[(UPDATES, 0x8, "Installation"), (UPDATES, 0x10, "Success")];

/// What stands for a `%%N`.
const PARAMETERS: &[(&str, u32, &str)] = &[
    (AUDITING, 1833, "Impersonation"),
    (AUDITING, 1840, "Delegation"),
    (AUDITING, 1842, "Yes"),
    (AUDITING, 1843, "No"),
    (AUDITING, 1936, "TokenElevationTypeDefault (1)"),
    (AUDITING, 1937, "TokenElevationTypeFull (2)"),
    (AUDITING, 1938, "TokenElevationTypeLimited (3)"),
    (AUDITING, 2304, "An Error occured during Logon."),
    (AUDITING, 2307, "Account locked out."),
    (AUDITING, 2313, "Unknown user name or bad password."),
];

/// What a provider's server renders.
pub(crate) struct Publisher(pub(crate) &'static str);

impl Publisher {
    /// The provider with a name, in any case.
    pub(crate) fn find(name: &str) -> Option<Self> {
        let kind = KINDS.iter().find(|kind| kind.provider.eq_ignore_ascii_case(name))?;
        Some(Publisher(kind.provider))
    }

    /// The kinds of its events.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &'static Kind> {
        let name = self.0;
        KINDS.iter().filter(move |kind| kind.provider == name)
    }

    /// The message of an event that a manifest describes.
    pub(crate) fn event(&self, id: u16, version: u8) -> Option<&'static str> {
        let is_it = |kind: &&Kind| kind.id == id && kind.version == version && kind.guid.is_some();
        self.kinds().find(is_it)?;
        named(MESSAGES, self.0, id)
    }

    /// The message with an identifier, which events without a manifest carry in two parts.
    pub(crate) fn message(&self, id: u32) -> Option<&'static str> {
        let is_it = |kind: &&Kind| kind.qualifiers.is_some() && identifier(kind) == id;
        named(MESSAGES, self.0, self.kinds().find(is_it)?.id)
    }

    pub(crate) fn task(&self, task: u16) -> Option<&'static str> {
        if task == 0 { Some("None") } else { named(TASKS, self.0, task) }
    }

    pub(crate) fn opcode(&self, opcode: u8) -> Option<&'static str> {
        match opcode {
            0 => Some("Info"),
            1 => Some("Start"),
            2 => Some("Stop"),
            _ => named(OPCODES, self.0, opcode),
        }
    }

    pub(crate) fn keyword(&self, keyword: u64) -> Option<&'static str> {
        match keyword {
            0x0010_0000_0000_0000 => Some("Audit Failure"),
            0x0020_0000_0000_0000 => Some("Audit Success"),
            0x0080_0000_0000_0000 => Some("Classic"),
            _ => named(KEYWORDS, self.0, keyword),
        }
    }

    /// Puts values into a message; `%%N` in them is replaced.
    pub(crate) fn fill(&self, message: &str, values: &[String]) -> String {
        let mut out = String::new();
        let mut rest = message;
        while let Some((before, mark)) = rest.split_once('%') {
            out.push_str(before);
            let digits = mark.bytes().take(2).take_while(u8::is_ascii_digit).count();
            let (what, after) = mark.split_at(digits.max(1).min(mark.len()));
            rest = after;
            match (what, what.parse::<usize>()) {
                ("n", _) => out.push_str("\r\n"),
                ("t", _) => out.push('\t'),
                (_, Ok(number)) => match number.checked_sub(1).and_then(|n| values.get(n)) {
                    Some(value) => self.push_value(value, &mut out),
                    None => out.extend(["%", what]),
                },
                (other, _) => out.push_str(other),
            }
        }
        out.push_str(rest);
        out
    }

    fn push_value(&self, value: &str, out: &mut String) {
        let mut rest = value;
        while let Some((before, after)) = rest.split_once("%%") {
            out.push_str(before);
            let digits = after.bytes().take_while(u8::is_ascii_digit).count();
            let parameter = after[..digits].parse().ok();
            match parameter.and_then(|number: u32| named(PARAMETERS, self.0, number)) {
                Some(text) => out.push_str(text),
                None => out.extend(["%%", &after[..digits]]),
            }
            rest = &after[digits..];
        }
        out.push_str(rest);
    }
}

fn named<K: PartialEq>(
    list: &[(&str, K, &'static str)],
    provider: &str,
    key: K,
) -> Option<&'static str> {
    list.iter().find(|(of, known, _)| *of == provider && *known == key).map(|(.., text)| *text)
}

/// The identifier of a classic event's message.
pub(crate) fn identifier(kind: &Kind) -> u32 {
    u32::from(kind.qualifiers.unwrap_or(0)) << 16 | u32::from(kind.id)
}

/// The `<template>` of a kind's definition (3.1.4.28).
pub(crate) fn template(kind: &Kind) -> String {
    use std::fmt::Write as _;
    let mut text =
        String::from("<template xmlns=\"http://schemas.microsoft.com/win/2004/08/events\">\r\n");
    for (name, value) in kind.data {
        let (in_type, out_type) = match value {
            Value::Of(_) | Value::Address | Value::Port => ("win:UnicodeString", "xs:string"),
            Value::Sid | Value::WellKnown(_) => ("win:SID", "xs:string"),
            Value::LogonId => ("win:HexInt64", "win:HexInt64"),
            Value::Hex64 => ("win:Pointer", "win:HexInt64"),
            Value::Status(_) => ("win:HexInt32", "win:HexInt32"),
            Value::Guid => ("win:GUID", "xs:GUID"),
            Value::U32(_) => ("win:UInt32", "xs:unsignedInt"),
            Value::Binary(_) => ("win:Binary", "xs:hexBinary"),
        };
        let _ = writeln!(
            text,
            "  <data name=\"{name}\" inType=\"{in_type}\" outType=\"{out_type}\"/>\r"
        );
    }
    text + "</template>\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_event_has_a_message_with_marks_for_values_that_it_has() {
        for kind in KINDS {
            let publisher = Publisher::find(&kind.provider.to_uppercase()).unwrap();
            let text = match kind.qualifiers {
                None => publisher.event(kind.id, kind.version),
                Some(_) => publisher.message(identifier(kind)),
            };
            let text = text.unwrap_or_else(|| panic!("{} {}", kind.provider, kind.id));
            let values: Vec<String> = (1..=kind.data.len()).map(|n| format!("<{n}>")).collect();
            let filled = publisher.fill(text, &values);
            assert!(!filled.contains('%'), "{filled}");
        }
    }

    #[test]
    fn values_are_put_in_and_parameters_replaced_where_they_are_known() {
        let publisher = Publisher(AUDITING);
        let values = ["a".to_owned(), "%%1833, %%9 %%1842!".to_owned()];
        assert_eq!(publisher.fill("%1%n%t%2 %3", &values), "a\r\n\tImpersonation, %%9 Yes! %3");
    }
}
