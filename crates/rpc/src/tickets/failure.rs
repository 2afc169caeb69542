//! What the crate's errors mean to whoever has to do something about them.

use krb5::{ClientError, ConfigError};

use super::Origin;
use crate::security::kerberos::{KerberosError, error_name};

/// What was asked of a key distribution centre.
pub(super) enum Asked {
    /// The ticket-granting ticket of a principal, with its password.
    WithPassword(String),
    /// The same with a keytab.
    WithKeytab(String),
    /// A service's ticket.
    Service {
        /// Which.
        service: String,
        /// For whom.
        principal: String,
        /// Where the ticket is from that it was asked for with.
        origin: Origin,
    },
}

impl Asked {
    /// Who asked.
    fn principal(&self) -> String {
        let (Self::WithPassword(name)
        | Self::WithKeytab(name)
        | Self::Service { principal: name, .. }) = self;
        name.clone()
    }

    /// What can't be had: a service's ticket, or the account's.
    fn what(&self) -> String {
        match self {
            Self::Service { service, .. } => service.clone(),
            asked => asked.principal(),
        }
    }
}

/// Sorts an error.
pub(super) fn error_of(error: ClientError, asked: &Asked) -> KerberosError {
    let what = asked.what();
    match (error, asked) {
        (ClientError::Kdc { code, .. }, _) => of_code(code, asked),
        // What was sent is a proof of the password, which may have arrived and been counted.
        (
            ClientError::Unreachable { realm, last },
            Asked::WithPassword(_) | Asked::WithKeytab(_),
        ) => KerberosError::NoAnswer { realm, why: last.to_string() },
        (ClientError::Unreachable { realm, last }, Asked::Service { .. }) => {
            KerberosError::NoKdc { realm, why: last.to_string() }
        }
        // Without pre-authentication the password shows only when the answer doesn't decrypt.
        (ClientError::Crypto(error), Asked::WithPassword(_)) if is_of_the_reply(&error) => {
            KerberosError::WrongPassword(what)
        }
        (ClientError::NoKey(_), Asked::WithKeytab(_)) => KerberosError::NoKey(what),
        (ClientError::NoKey(_), _) => KerberosError::NoEncryptionType(what),
        (ClientError::Config(error), _) => of_configuration(error, &what),
        (error, _) => KerberosError::Nonsense(error.to_string()),
    }
}

/// Whether it is the reply's decryption that failed, and not, for instance, parameters that the
/// key distribution centre has for the password's key: the crate says so in words alone.
fn is_of_the_reply(error: &krb5::key::KeyError) -> bool {
    error.0.starts_with("cannot decrypt AS-REP")
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
    let (what, principal) = (asked.what(), asked.principal());
    match (code, asked) {
        (6, _) => KerberosError::UnknownPrincipal(principal),
        (7, Asked::Service { .. }) => KerberosError::UnknownService(what),
        (14, _) => KerberosError::NoEncryptionType(what),
        (18, _) => KerberosError::AccountRevoked(principal),
        // KDC_ERR_TGT_REVOKED, KRB_AP_ERR_TKT_EXPIRED: of the ticket that was shown.
        (20 | 32, Asked::Service { origin: Origin::Cache(cache), .. }) => {
            KerberosError::TicketExpired { principal, cache: cache.clone() }
        }
        (20 | 32, Asked::Service { origin: Origin::Session, .. }) => {
            KerberosError::SessionOver(principal)
        }
        (23, _) => KerberosError::PasswordExpired(principal),
        (24 | 31, Asked::WithPassword(_)) => KerberosError::WrongPassword(what),
        (24 | 31, Asked::WithKeytab(_)) => KerberosError::WrongKey(what),
        (33 | 37, _) => {
            KerberosError::ClockSkew { whose: "the key distribution centre".into(), ahead: None }
        }
        (code, _) => KerberosError::Refused { code, name: error_name(code).to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_with_a_remedy_of_their_own_are_told_apart() {
        let name = || "ann@CORP".to_owned();
        let refused = |code| KerberosError::Refused { code, name: error_name(code).to_owned() };
        let expired =
            || KerberosError::TicketExpired { principal: name(), cache: "FILE:/c".to_owned() };
        // With a password, with a keytab, and for a service with a cache's ticket.
        for (code, password, keytab, service) in [
            (6, KerberosError::UnknownPrincipal(name()), None, None),
            (7, refused(7), None, Some(KerberosError::UnknownService("host/dc".into()))),
            (18, KerberosError::AccountRevoked(name()), None, None),
            (20, refused(20), None, Some(expired())),
            (23, KerberosError::PasswordExpired(name()), None, None),
            (
                24,
                KerberosError::WrongPassword(name()),
                Some(KerberosError::WrongKey(name())),
                Some(refused(24)),
            ),
            (32, refused(32), None, Some(expired())),
            (60, refused(60), None, None),
        ] {
            let of = |asked: Asked| of_code(code, &asked);
            assert_eq!(of(Asked::WithPassword(name())), password);
            assert_eq!(of(Asked::WithKeytab(name())), keytab.unwrap_or(password.clone()));
            let (host, origin) = ("host/dc".to_owned(), Origin::Cache("FILE:/c".to_owned()));
            let asked = Asked::Service { service: host, principal: name(), origin };
            assert_eq!(of(asked), service.unwrap_or(password));
        }
        let of = |origin| Asked::Service { service: name(), principal: name(), origin };
        assert_eq!(of_code(32, &of(Origin::Credential)), refused(32));
        assert_eq!(of_code(32, &of(Origin::Session)), KerberosError::SessionOver(name()));
    }

    /// Whoever is a key distribution centre on the way could end an account's use so, or have it
    /// tried again.
    #[test]
    fn a_password_is_wrong_only_where_the_reply_does_not_decrypt() {
        let asked = || Asked::WithPassword("ann@CORP".to_owned());
        let few = krb5::Key::from_password(18, "x", b"salt", Some([0, 0, 0, 1])).unwrap_err();
        let parameters = error_of(ClientError::Crypto(few.clone()), &asked());
        assert!(matches!(parameters, KerberosError::Nonsense(_)), "{parameters:?}");
        let mut reply = few;
        "cannot decrypt AS-REP (wrong password?): integrity".clone_into(&mut reply.0);
        let wrong = error_of(ClientError::Crypto(reply), &asked());
        assert_eq!(wrong, KerberosError::WrongPassword("ann@CORP".to_owned()));
        let last = std::io::ErrorKind::TimedOut.into();
        let late = error_of(ClientError::Unreachable { realm: "CORP".into(), last }, &asked());
        assert!(matches!(late, KerberosError::NoAnswer { .. }) && !late.rules_kerberos_out());
    }
}
