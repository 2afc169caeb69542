//! What the crate's errors mean to whoever has to do something about them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use krb5::{AsyncKdcClient, ClientError, ConfigError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::security::kerberos::{KerberosError, Principal, clock, error_name};
use crate::tcp::{Target, connect_stream};

/// How many key distribution centres are asked what time it is.
const MOST_ASKED: usize = 3;

/// What was asked of a key distribution centre.
pub(super) enum Asked {
    /// The ticket-granting ticket of a principal, with its password.
    WithPassword(String),
    /// The same with a keytab.
    WithKeytab(String),
    /// A service's ticket.
    Service(String),
}

impl Asked {
    fn what(&self) -> String {
        let (Self::WithPassword(name) | Self::WithKeytab(name) | Self::Service(name)) = self;
        name.clone()
    }
}

/// Sorts an error.
pub(super) fn error_of(error: ClientError, asked: &Asked) -> KerberosError {
    let what = asked.what();
    match (error, asked) {
        (ClientError::Kdc { code, .. }, _) => of_code(code, asked),
        (ClientError::Unreachable { realm, last }, _) => {
            KerberosError::NoKdc { realm, why: last.to_string() }
        }
        // Without pre-authentication the password shows only when the answer doesn't decrypt.
        (ClientError::Crypto(_), Asked::WithPassword(_)) => KerberosError::WrongPassword(what),
        (ClientError::Crypto(_), Asked::WithKeytab(_)) => KerberosError::WrongKey(what),
        (ClientError::NoKey(_), Asked::WithKeytab(_)) => KerberosError::NoKey(what),
        (ClientError::NoKey(_), _) => KerberosError::NoEncryptionType(what),
        (ClientError::Config(error), _) => of_configuration(error, &what),
        (error, _) => KerberosError::Nonsense(error.to_string()),
    }
}

/// Sorts an error of the configuration, or of finding a realm by it.
pub(super) fn of_configuration(error: ConfigError, realm: &str) -> KerberosError {
    match error {
        ConfigError::NoKdcs { .. } | ConfigError::NoKdcFound { .. } | ConfigError::Dns { .. } => {
            KerberosError::NoKdc { realm: realm.to_owned(), why: error.to_string() }
        }
        error => KerberosError::Configuration(error.to_string()),
    }
}

/// What a key distribution centre's code means (RFC 4120 7.5.9).
fn of_code(code: i32, asked: &Asked) -> KerberosError {
    let what = asked.what();
    match (code, asked) {
        (6, Asked::WithPassword(_) | Asked::WithKeytab(_)) => KerberosError::UnknownPrincipal(what),
        (7, Asked::Service(_)) => KerberosError::UnknownService(what),
        (14, _) => KerberosError::NoEncryptionType(what),
        (18, Asked::WithPassword(_) | Asked::WithKeytab(_)) => KerberosError::AccountRevoked(what),
        (23, Asked::WithPassword(_) | Asked::WithKeytab(_)) => KerberosError::PasswordExpired(what),
        (24 | 31, Asked::WithPassword(_)) => KerberosError::WrongPassword(what),
        (24 | 31, Asked::WithKeytab(_)) => KerberosError::WrongKey(what),
        (33 | 37, _) => {
            KerberosError::ClockSkew { whose: "the key distribution centre".into(), ahead: None }
        }
        (code, _) => KerberosError::Refused { code, name: error_name(code).to_owned() },
    }
}

/// Says by how much the clock is off, where that is what is wrong.
pub(super) async fn with_clock(
    error: KerberosError,
    name: &krb5::Principal,
    client: &AsyncKdcClient,
    limit: Duration,
) -> KerberosError {
    let KerberosError::ClockSkew { whose, ahead: None } = error else { return error };
    let krb5::Principal { name_type, components, realm } = name.clone();
    let question = clock::question(&Principal { name_type, components, realm });
    let mut ahead = None;
    for centre in client.client().kdcs().iter().take(MOST_ASKED) {
        // Found out for the message's sake alone: whatever fails, fails silently.
        let asking = ask_clock(centre, &question, limit);
        if let Ok(Some(theirs)) = timeout(limit, asking).await {
            let ours = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            ahead = Some(ours.as_secs() as i64 - theirs);
            break;
        }
    }
    KerberosError::ClockSkew { whose, ahead }
}

async fn ask_clock(centre: &str, question: &[u8], limit: Duration) -> Option<i64> {
    let mut stream = connect_stream(&target(centre), limit).await.ok()?;
    stream.write_all(question).await.ok()?;
    let mut bytes = Vec::new();
    while bytes.len() < clock::MAX_ANSWER {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if let Some(theirs) = clock::answer(&bytes) {
            return Some(theirs);
        }
    }
    None
}

/// The place of a key distribution centre that is written as the crate has it:
/// `host`, `host:port`, `address` or `[address]:port`.
fn target(centre: &str) -> Target {
    const PORT: u16 = 88;
    let bare = |host: &str| host.trim_start_matches('[').trim_end_matches(']').to_owned();
    match centre.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            Target::new(bare(host), port.parse().unwrap_or(PORT))
        }
        _ => Target::new(bare(centre), PORT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_distribution_centre_is_found_however_it_is_written() {
        for (text, host, port) in [
            ("dc01", "dc01", 88),
            ("dc01:8888", "dc01", 8888),
            ("192.0.2.1:88", "192.0.2.1", 88),
            ("fe80::1", "fe80::1", 88),
            ("[fe80::1]", "fe80::1", 88),
            ("[fe80::1]:89", "fe80::1", 89),
        ] {
            assert_eq!(target(text), Target::new(host, port), "{text}");
        }
    }

    #[test]
    fn codes_with_a_remedy_of_their_own_are_told_apart() {
        let name = || "ann@CORP".to_owned();
        let refused = |code| KerberosError::Refused { code, name: error_name(code).to_owned() };
        for (code, password, keytab, service) in [
            (6, KerberosError::UnknownPrincipal(name()), None, refused(6)),
            (7, refused(7), None, KerberosError::UnknownService(name())),
            (18, KerberosError::AccountRevoked(name()), None, refused(18)),
            (23, KerberosError::PasswordExpired(name()), None, refused(23)),
            (
                24,
                KerberosError::WrongPassword(name()),
                Some(KerberosError::WrongKey(name())),
                refused(24),
            ),
            (60, refused(60), None, refused(60)),
        ] {
            assert_eq!(of_code(code, &Asked::WithPassword(name())), password);
            let keytab = keytab.unwrap_or(password);
            assert_eq!(of_code(code, &Asked::WithKeytab(name())), keytab);
            assert_eq!(of_code(code, &Asked::Service(name())), service);
        }
    }
}
