//! `quarry logons`: who signed in to what, from where and how, and who failed to and why.

use std::collections::HashMap;
use std::process::ExitCode;

use quarry_collect::{Found, Work};
use quarry_event::{EventTime, Field, FieldSource};

use super::{Gather, Rows, account, gather, print, route, text, text_cell, values};
use crate::args::AnswerArgs;
use crate::console::grouped;
use crate::error::Failure;
use crate::listing::{Cell, Column};

const SUCCESS: u64 = 4624;
const FAILURE: u64 = 4625;
/// What a domain controller logs of others' logons: a ticket was asked for, pre-authentication failed,
/// and credentials were checked for NTLM. Those that failed are read.
const TICKET: u64 = 4768;
const PRE_AUTHENTICATION: u64 = 4771;
const NTLM: u64 = 4776;

pub(crate) fn run(args: AnswerArgs) -> Result<ExitCode, Failure> {
    let routes = vec![route("Security", &[SUCCESS, FAILURE, TICKET, PRE_AUTHENTICATION, NTLM])];
    let (asked, logons) = gather(&args, routes, &Read, Logons::default())?;
    let zone = asked.zone.get();
    let mut lines: Vec<(Key, Times)> = logons.0.into_iter().collect();
    // Failures first, the most frequent first.
    lines.sort_by(|(a, x), (b, y)| {
        (a.succeeded, std::cmp::Reverse(x.count), a).cmp(&(
            b.succeeded,
            std::cmp::Reverse(y.count),
            b,
        ))
    });
    let rows: Vec<Vec<Cell>> = lines
        .iter()
        .map(|(key, times)| {
            vec![
                Cell::text(if key.succeeded { "success" } else { "failure" }),
                text_cell(&key.user),
                text_cell(&key.host),
                text_cell(&key.address),
                text_cell(&key.kind),
                text_cell(&key.reason),
                Cell::new(times.count, grouped(times.count)),
                Cell::time(times.first, &zone),
                Cell::time(times.last, &zone),
            ]
        })
        .collect();
    let columns = [
        Column::text("outcome"),
        Column::text("user").main().path(),
        Column::text("host").giving_way().dropped(3),
        Column::text("address").giving_way(),
        Column::text("type").giving_way().dropped(2),
        Column::text("reason").giving_way(),
        Column::number("events"),
        Column::time("first", &zone).dropped(1),
        Column::time("last", &zone),
    ];
    print(args, asked, "Logons", &columns, &rows)
}

/// What logons have in common that stand on one line.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    succeeded: bool,
    user: String,
    host: String,
    address: String,
    kind: String,
    reason: String,
}

#[derive(Default)]
struct Times {
    count: u64,
    first: Option<EventTime>,
    last: Option<EventTime>,
}

#[derive(Default)]
struct Logons(HashMap<Key, Times>);

impl Gather<(Key, Option<EventTime>)> for Logons {
    fn take(&mut self, (key, time): (Key, Option<EventTime>)) -> usize {
        let before = self.0.len();
        let bytes = key.user.len() + key.host.len() + key.address.len() + 200;
        let times = self.0.entry(key).or_default();
        times.count += 1;
        times.first = times.first.into_iter().chain(time).min();
        times.last = times.last.max(time);
        if self.0.len() > before { bytes } else { 0 }
    }
}

/// Reads logons.
struct Read;

impl Work for Read {
    type Worker = ();
    type Output = Rows<(Key, Option<EventTime>)>;

    fn worker(&self) {}

    fn event<S: FieldSource>(
        &self,
        (): &mut (),
        event: &S,
        _: &Found<'_>,
        output: &mut Self::Output,
    ) {
        let id = event.field(Field::EventId).as_u64();
        let succeeded = id == Some(SUCCESS);
        let [domain, name, kind, address, workstation, ntlm_workstation, status, sub_status] =
            values(
                event,
                [
                    "TargetDomainName",
                    "TargetUserName",
                    "LogonType",
                    "IpAddress",
                    "WorkstationName",
                    "Workstation",
                    "Status",
                    "SubStatus",
                ],
            );
        let (kind, reason) = match id {
            Some(TICKET | PRE_AUTHENTICATION) => ("Kerberos", kerberos_reason(&status)),
            Some(NTLM) => ("NTLM", reason(&status, "")),
            Some(SUCCESS) => (logon_type(&kind), String::new()),
            _ => (logon_type(&kind), reason(&status, &sub_status)),
        };
        // Of a domain controller's own, that it succeeded; the logon itself is another event.
        if matches!(id, Some(TICKET | PRE_AUTHENTICATION | NTLM)) && reason.is_empty() {
            return;
        }
        let workstation = if workstation.is_empty() { ntlm_workstation } else { workstation };
        let address = match (&*address, &*workstation) {
            ("" | "-", workstation) => workstation.to_owned(),
            (address, _) => address.strip_prefix("::ffff:").unwrap_or(address).to_owned(),
        };
        let key = Key {
            succeeded,
            user: account(&domain, &name),
            host: text(event.field(Field::Computer)),
            address: if address == "-" { String::new() } else { address },
            kind: kind.to_owned(),
            reason,
        };
        let bytes = key.user.len() + key.host.len() + key.address.len() + key.reason.len();
        output.add((key, event.field(Field::TimeCreated).as_time()), bytes);
    }
}

/// A logon's type in words (SECURITY_LOGON_TYPE).
fn logon_type(number: &str) -> &str {
    match number {
        "0" => "system",
        "2" => "interactive",
        "3" => "network",
        "4" => "batch",
        "5" => "service",
        "7" => "unlock",
        "8" => "network, in clear text",
        "9" => "new credentials",
        "10" => "remote desktop",
        "11" => "cached interactive",
        "12" => "cached remote desktop",
        "13" => "cached unlock",
        other => other,
    }
}

/// A status as a number; nothing where it says that all went well.
fn failed(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    u32::from_str_radix(digits, 16).ok().filter(|status| *status != 0)
}

/// Why Kerberos refused, in words (RFC 4120, section 7.5.9); empty where it didn't.
fn kerberos_reason(status: &str) -> String {
    let Some(status) = failed(status) else { return String::new() };
    let words = match status {
        0x1 => "client's entry expired",
        0x2 => "server's entry expired",
        0x6 => "no such user",
        0x7 => "no such service",
        0x9 => "no key",
        0xb => "start time in the future",
        0xc => "refused by policy",
        0xe => "encryption type not supported",
        0xf => "checksum type not supported",
        0x10 => "pre-authentication type not supported",
        0x12 => "account disabled, expired or locked",
        0x13 => "service revoked",
        0x15 => "client not valid yet",
        0x17 => "password expired",
        0x18 => "wrong password",
        0x19 => "pre-authentication required",
        0x1b => "user to user only",
        0x1f => "integrity check failed",
        0x20 => "ticket expired",
        0x21 => "ticket not valid yet",
        0x22 => "replayed",
        0x25 => "clocks differ too much",
        0x29 => "message modified",
        0x3c => "generic error",
        0x44 => "wrong realm",
        other => return format!("Kerberos error 0x{other:x}"),
    };
    words.to_owned()
}

/// Why a logon failed, in words: the more exact status, where there is one (MS-ERREF 2.3).
fn reason(status: &str, sub_status: &str) -> String {
    let Some(status) = failed(sub_status).or_else(|| failed(status)) else { return String::new() };
    let words = match status {
        0xc000_0064 => "no such user",
        0xc000_006a => "wrong password",
        0xc000_006d => "wrong user name or password",
        0xc000_006e => "account restriction",
        0xc000_006f => "outside of the allowed hours",
        0xc000_0070 => "not allowed from this workstation",
        0xc000_0071 => "password expired",
        0xc000_0072 => "account disabled",
        0xc000_00dc => "server in the wrong state",
        0xc000_0133 => "clocks differ too much",
        0xc000_015b => "logon type not granted",
        0xc000_018c => "trust relationship failed",
        0xc000_018d => "trust with the domain failed",
        0xc000_0192 => "Netlogon isn't running",
        0xc000_0193 => "account expired",
        0xc000_0224 => "password must be changed",
        0xc000_0225 => "not found",
        0xc000_0234 => "account locked",
        0xc000_0413 => "refused by the authentication firewall",
        other => return format!("status 0x{other:08x}"),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_the_more_exact_of_its_two_statuses() {
        assert_eq!(reason("0xC000006D", "0xC000006A"), "wrong password");
        assert_eq!(reason("0xc0000234", "0x0"), "account locked");
        assert_eq!(reason("0xc0ffee00", "0x00000000"), "status 0xc0ffee00");
        assert_eq!(reason("", ""), "");
        // RFC 4120, section 7.5.9: KDC_ERR_C_PRINCIPAL_UNKNOWN, KDC_ERR_PREAUTH_FAILED.
        assert_eq!(kerberos_reason("0x6"), "no such user");
        assert_eq!(kerberos_reason("0x18"), "wrong password");
        assert_eq!(kerberos_reason("0x0"), "");
        assert_eq!(kerberos_reason("0x7f"), "Kerberos error 0x7f");
        assert_eq!(logon_type("10"), "remote desktop");
        assert_eq!(logon_type("99"), "99");
    }
}
