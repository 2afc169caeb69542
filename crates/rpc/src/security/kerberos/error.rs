//! What goes wrong with Kerberos, each with a remedy of its own.

use std::fmt;

use crate::blame::Blame;

/// Why there is no ticket, or why a server doesn't take it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum KerberosError {
    /// The password is wrong.
    #[error("the password of {0} is wrong")]
    WrongPassword(String),
    /// The keytab has a key, and it is not the account's.
    #[error("the key of {0} in the keytab is not the account's any more")]
    WrongKey(String),
    /// The realm has no such account.
    #[error("there is no account {0}")]
    UnknownPrincipal(String),
    /// The password has expired, or has to be changed at the first logon. It may be wrong
    /// besides: some key distribution centres look at that first.
    #[error("the password of {0} has expired")]
    PasswordExpired(String),
    /// Locked, disabled, or expired.
    #[error("the account {0} is locked, disabled or expired")]
    AccountRevoked(String),
    /// This machine's clock and another's differ by more than is allowed.
    #[error("{}", skew(whose, *ahead))]
    ClockSkew {
        /// Whose clock ours was compared to.
        whose: String,
        /// How far ours is ahead of it, in seconds, where that was told.
        ahead: Option<i64>,
    },
    /// No key distribution centre of a realm is known or answers.
    #[error("no key distribution centre of {realm}: {why}")]
    NoKdc {
        /// The realm.
        realm: String,
        /// What was tried.
        why: String,
    },
    /// A key distribution centre that was there didn't answer what proves the password, or the
    /// key. It may have counted it, so nothing else is tried with it.
    #[error("the key distribution centre of {realm} does not answer: {why}")]
    NoAnswer {
        /// The realm.
        realm: String,
        /// What happened.
        why: String,
    },
    /// Somebody else has refused the same password.
    #[error(transparent)]
    CredentialRefused(#[from] quarry_cred::Refusal),
    /// The server refuses who comes with a ticket, or the ticket.
    #[error("the server refuses the ticket: {0}")]
    TicketRefused(String),
    /// The realm has no account with this service principal name.
    #[error("nobody is registered as {0}")]
    UnknownService(String),
    /// The server can't decrypt the ticket: the name is another account's.
    #[error("the server doesn't have the key that the ticket is for")]
    NotTheServersTicket,
    /// The cache has a ticket that has expired.
    #[error("the ticket of {principal} in {cache} has expired")]
    TicketExpired {
        /// Whose.
        principal: String,
        /// The cache.
        cache: String,
    },
    /// A session's ticket has expired, or the session has ended.
    #[error("the Kerberos ticket that {0} got by signing in has expired")]
    SessionOver(String),
    /// Who signed in got no ticket by it.
    #[error("{account} got no Kerberos ticket by signing in: {why}")]
    NoSessionTicket {
        /// Who signed in.
        account: String,
        /// Why.
        why: String,
    },
    /// There is no cache, or it can't be read.
    #[error("no ticket cache {cache}: {why}")]
    NoCache {
        /// Its name.
        cache: String,
        /// What is the matter with it.
        why: String,
    },
    /// The cache has no ticket-granting ticket.
    #[error("the cache {0} has no ticket for more tickets")]
    NoTicket(String),
    /// The cache belongs to somebody else.
    #[error("the cache {cache} is that of {found}, not of {wanted}")]
    OtherPrincipal {
        /// The cache.
        cache: String,
        /// Who was asked for.
        wanted: String,
        /// Whose it is.
        found: String,
    },
    /// The keytab has no key that can be used.
    #[error("the keytab has no AES key of {0}")]
    NoKey(String),
    /// The keytab can't be read as one.
    #[error("this is no keytab: {0}")]
    Keytab(String),
    /// Nothing says which realm an account is in.
    #[error("nothing says which realm {0} is in")]
    NoRealm(String),
    /// Tickets are for names, and there is only an address.
    #[error("{0} is an address, and tickets are for names")]
    NotAName(String),
    /// Neither side's AES is the other's.
    #[error("encryption type {0}, where AES with SHA-1 is spoken")]
    EncryptionType(i32),
    /// The key distribution centre and this account have no AES in common.
    #[error("no encryption type in common for {0}")]
    NoEncryptionType(String),
    /// The configuration (`krb5.conf`) is wrong.
    #[error("Kerberos' configuration: {0}")]
    Configuration(String),
    /// Refused with a code that has no remedy of its own (RFC 4120 7.5.9).
    #[error("refused with {name} ({code})")]
    Refused {
        /// The number.
        code: i32,
        /// Its name, as far as it has one.
        name: String,
    },
    /// The server's part of the handshake does not decode, or not with our key.
    #[error("the peer's {0} is malformed or was changed on its way")]
    Malformed(&'static str),
    /// The key distribution centre's answer makes no sense.
    #[error("the key distribution centre's answer: {0}")]
    Nonsense(String),
}

impl KerberosError {
    /// Whether Kerberos can't be used for this server, which is not the fault of
    /// the credential: NTLM may be tried where it is allowed.
    pub fn rules_kerberos_out(&self) -> bool {
        matches!(
            self,
            Self::NoKdc { .. }
                | Self::UnknownService(_)
                | Self::NotAName(_)
                | Self::NoRealm(_)
                | Self::NoEncryptionType(_)
        )
    }

    /// Who is to act on it.
    pub fn blame(&self) -> Blame {
        match self {
            Self::WrongPassword(_)
            | Self::WrongKey(_)
            | Self::UnknownPrincipal(_)
            | Self::PasswordExpired(_)
            | Self::AccountRevoked(_)
            | Self::CredentialRefused(_)
            | Self::SessionOver(_)
            | Self::NoSessionTicket { .. }
            | Self::TicketExpired { .. } => Blame::Credential,
            Self::NoKdc { .. } | Self::NoAnswer { .. } => Blame::Network,
            Self::UnknownService(_)
            | Self::NotTheServersTicket
            | Self::TicketRefused(_)
            | Self::Refused { .. } => Blame::Refusal,
            Self::Malformed(_) | Self::Nonsense(_) => Blame::Peer,
            _ => Blame::Us,
        }
    }

    /// Whether it is a server's word on a ticket, which may have become old: the server may have
    /// another key by now, or another clock.
    pub fn is_about_ticket(&self) -> bool {
        matches!(self, Self::NotTheServersTicket | Self::TicketRefused(_))
            // KRB_AP_ERR_TKT_EXPIRED.
            || matches!(self, Self::Refused { code: 32, .. })
    }

    /// Whether the same may succeed later without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::NoKdc { .. } | Self::NoAnswer { .. })
    }

    /// What a server says in a KRB_ERROR (RFC 4120 5.9.1) in place of its answer.
    pub(super) fn of_server(code: i32, ahead: Option<i64>) -> Self {
        match code {
            // KRB_AP_ERR_SKEW and KRB_AP_ERR_TKT_NYV.
            37 | 33 => Self::ClockSkew { whose: "the server".into(), ahead },
            // KRB_AP_ERR_MODIFIED, KRB_AP_ERR_NOKEY, KRB_AP_ERR_BADKEYVER.
            41 | 44 | 45 => Self::NotTheServersTicket,
            code => Self::Refused { code, name: error_name(code).to_owned() },
        }
    }
}

/// The names of the codes of RFC 4120 7.5.9 that a server or a key distribution
/// centre of a domain may come up with.
pub fn error_name(code: i32) -> &'static str {
    match code {
        3 => "KDC_ERR_BAD_PVNO",
        6 => "KDC_ERR_C_PRINCIPAL_UNKNOWN",
        7 => "KDC_ERR_S_PRINCIPAL_UNKNOWN",
        8 => "KDC_ERR_PRINCIPAL_NOT_UNIQUE",
        9 => "KDC_ERR_NULL_KEY",
        12 => "KDC_ERR_POLICY",
        13 => "KDC_ERR_BADOPTION",
        14 => "KDC_ERR_ETYPE_NOSUPP",
        15 => "KDC_ERR_SUMTYPE_NOSUPP",
        16 => "KDC_ERR_PADATA_TYPE_NOSUPP",
        18 => "KDC_ERR_CLIENT_REVOKED",
        19 => "KDC_ERR_SERVICE_REVOKED",
        20 => "KDC_ERR_TGT_REVOKED",
        23 => "KDC_ERR_KEY_EXPIRED",
        24 => "KDC_ERR_PREAUTH_FAILED",
        25 => "KDC_ERR_PREAUTH_REQUIRED",
        26 => "KDC_ERR_SERVER_NOMATCH",
        29 => "KDC_ERR_SVC_UNAVAILABLE",
        31 => "KRB_AP_ERR_BAD_INTEGRITY",
        32 => "KRB_AP_ERR_TKT_EXPIRED",
        33 => "KRB_AP_ERR_TKT_NYV",
        34 => "KRB_AP_ERR_REPEAT",
        35 => "KRB_AP_ERR_NOT_US",
        36 => "KRB_AP_ERR_BADMATCH",
        37 => "KRB_AP_ERR_SKEW",
        41 => "KRB_AP_ERR_MODIFIED",
        44 => "KRB_AP_ERR_BADKEYVER",
        45 => "KRB_AP_ERR_NOKEY",
        50 => "KRB_AP_ERR_INAPP_CKSUM",
        52 => "KRB_ERR_RESPONSE_TOO_BIG",
        60 => "KRB_ERR_GENERIC",
        68 => "KDC_ERR_WRONG_REALM",
        _ => "an error without a name here",
    }
}

fn skew(whose: &str, ahead: Option<i64>) -> String {
    let Some(ahead) = ahead else {
        return format!("this machine's clock and that of {whose} differ by too much");
    };
    let way = if ahead < 0 { "behind" } else { "ahead of" };
    format!("this machine's clock is {} {way} that of {whose}", Span(ahead.unsigned_abs()))
}

/// A span of seconds, in the unit that fits.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..=119 => write!(f, "{} s", self.0),
            120..=7199 => write!(f, "{} min", self.0 / 60),
            7200..=172_799 => write!(f, "{} h", self.0 / 3600),
            seconds => write!(f, "{} days", seconds / 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A password that was refused would be refused once more, and counted.
    #[test]
    fn nothing_that_a_password_is_blamed_for_rules_kerberos_out() {
        let name = || "ann@CORP".to_owned();
        for error in [
            KerberosError::WrongPassword(name()),
            KerberosError::WrongKey(name()),
            KerberosError::UnknownPrincipal(name()),
            KerberosError::PasswordExpired(name()),
            KerberosError::AccountRevoked(name()),
            KerberosError::TicketExpired { principal: name(), cache: name() },
        ] {
            assert_eq!((error.blame(), error.rules_kerberos_out()), (Blame::Credential, false));
        }
        let why = String::new();
        for error in [
            KerberosError::NotAName(name()),
            KerberosError::UnknownService(name()),
            KerberosError::NoKdc { realm: name(), why },
            KerberosError::NoRealm(name()),
            KerberosError::NoEncryptionType(name()),
        ] {
            assert!(error.rules_kerberos_out(), "{error}");
        }
    }

    #[test]
    fn how_far_a_clock_is_off_is_told_in_the_unit_that_fits() {
        let said = |ahead| {
            let whose = "dc01".to_owned();
            KerberosError::ClockSkew { whose, ahead }.to_string()
        };
        assert_eq!(said(Some(-100)), "this machine's clock is 100 s behind that of dc01");
        assert_eq!(said(Some(400)), "this machine's clock is 6 min ahead of that of dc01");
        assert_eq!(said(Some(-7200)), "this machine's clock is 2 h behind that of dc01");
        assert_eq!(said(Some(86_400 * 3)), "this machine's clock is 3 days ahead of that of dc01");
        assert_eq!(said(None), "this machine's clock and that of dc01 differ by too much");
    }
}
