//! What to do about errors, by their cause: the one place where the words of remedies are.
//! Libraries say what happened; what to type then is the program's.

use quarry_eventlog::{Damage, FileDamage};
use quarry_fleet::address::UrlError;
use quarry_fleet::inventory::SelectError;
use quarry_fleet::sign_in::SignInError;
use quarry_fleet::{Cause, KerberosError, Listener, NameProblem, Protocol};
use quarry_logfile::DamageKind;

use crate::error::Failure;

/// What to do about a part of a log that is missing or doubtful, where that can be said.
pub fn of_damage(damage: &Damage) -> Option<&'static str> {
    match damage {
        Damage::Copy { .. } => Some("quarry scan --unique prints each event once"),
        Damage::File(FileDamage(damage)) => match damage.kind {
            DamageKind::UnusedChunks { .. } => Some("--recover shows what is in it"),
            _ => None,
        },
        _ => None,
    }
}

/// What to do about a source that failed, where that can be said.
pub fn remedy(failure: &quarry_fleet::Failure) -> Option<String> {
    let name = &failure.source;
    Some(match &failure.cause {
        Cause::UnknownHost => "check the name, or give its address".to_owned(),
        Cause::NoAnswer { listener: Listener::Mapper, .. } => {
            "is it up, and is the firewall rule \"Remote Event Log Management\" on?".to_owned()
        }
        Cause::NoAnswer { listener: Listener::EventLog, .. } => {
            "its endpoint mapper answers, so a firewall is in the way: is the rule \"Remote \
             Event Log Management (RPC)\" on?"
                .to_owned()
        }
        Cause::NoAnswer { listener: Listener::Smb, .. } => {
            "is it up, and is the firewall rule \"Remote Event Log Management (NP-In)\" on?"
                .to_owned()
        }
        Cause::Refused { listener: Listener::Mapper, .. } => {
            "is it a Windows server, and does its RPC service run?".to_owned()
        }
        Cause::Refused { listener: Listener::EventLog, .. } => {
            "does its event log service run?".to_owned()
        }
        Cause::Refused { listener: Listener::Smb, .. } => {
            "does it run Windows' Server service, or Samba?".to_owned()
        }
        Cause::Unreachable => "check the network and the routes to it".to_owned(),
        Cause::Silent(_) => "it may be overloaded; --timeout allows it more silence".to_owned(),
        Cause::TooSlow(_) => {
            "it may be overloaded, or the network slow; --timeout allows it more time".to_owned()
        }
        Cause::Busy => "try again later".to_owned(),
        Cause::Lost(_) => "try again; its event log has why, if it went down".to_owned(),
        Cause::LogonRefused(_) => {
            "check the user name and the password, and whether the account is locked".to_owned()
        }
        Cause::NotTried { .. } => {
            "a wrong password is tried once, so that it locks no account".to_owned()
        }
        Cause::Kerberos(error) => return kerberos(error),
        Cause::Security(_) => {
            "only sealed connections with NTLMv2 or Kerberos and 128 bits are made".to_owned()
        }
        Cause::NotServed(Protocol::Even6) => {
            format!("Windows Vista, 2008 and later have it; even://{name} reads others over SMB")
        }
        Cause::NotServed(Protocol::Even) => {
            "Windows has it, and Samba where it is switched on".to_owned()
        }
        Cause::NoService => "start it: net start EventLog".to_owned(),
        Cause::AccessDenied(_) if failure.is_this_machine => {
            "run this as administrator, or as a member of Event Log Readers".to_owned()
        }
        Cause::AccessDenied(_) => "members of Event Log Readers may".to_owned(),
        Cause::NoSuchLog(_) if failure.is_this_machine => {
            "quarry logs . lists those there are".to_owned()
        }
        Cause::NoSuchLog(_) => format!("quarry logs {name} lists those there are"),
        Cause::Nonsense(_) => "is it a Windows server? If so, please report it".to_owned(),
        Cause::Deadline => "give it more time with --deadline, or ask for less".to_owned(),
        _ => return None,
    })
}

/// What to do where Kerberos fails.
pub fn kerberos(error: &KerberosError) -> Option<String> {
    Some(match error {
        KerberosError::WrongPassword(_) => {
            "it was tried once, for all servers, so that it locks no account".to_owned()
        }
        KerberosError::WrongKey(_) => {
            "its password was changed since: export the keytab again".to_owned()
        }
        KerberosError::UnknownPrincipal(_) => {
            "check the user name and the realm: write USER@REALM".to_owned()
        }
        KerberosError::PasswordExpired(name) => format!("change it, such as with kpasswd {name}"),
        KerberosError::AccountRevoked(_) => {
            "an administrator of the domain has to unlock or enable it".to_owned()
        }
        KerberosError::ClockSkew { .. } => {
            "set the clock; Kerberos allows five minutes of difference".to_owned()
        }
        KerberosError::NoAnswer { .. } => "try again later; until then the password isn't tried \
             once more, as it may have been counted"
            .to_owned(),
        KerberosError::TicketRefused(_) => "may the account sign in there? Was the server joined \
             to the domain anew, is its clock right, and is the name its own or an alias?"
            .to_owned(),
        // KDC_ERR_WRONG_REALM.
        KerberosError::Refused { code: 68, .. } => {
            "the account is in another realm: write USER@REALM with that one".to_owned()
        }
        KerberosError::Refused { .. } => {
            "the domain's policy or the account's settings say so; the domain controller's log \
             has why"
                .to_owned()
        }
        KerberosError::NoKdc { .. } => "check the realm, and whether port 88 of a domain \
             controller can be reached; krb5.conf may name one under [realms]"
            .to_owned(),
        KerberosError::UnknownService(name) => format!(
            "use the name that the server has in its domain, not an alias of it (setspn -Q {name} \
             finds who has it); or allow NTLM, which takes a password, with -k --authentication \
             negotiate"
        ),
        KerberosError::NotTheServersTicket => {
            "the name belongs to another computer, or the server was joined anew: use its own name"
                .to_owned()
        }
        KerberosError::TicketExpired { principal, .. } => format!("kinit {principal}"),
        KerberosError::SessionOver(_) => "sign out, and in again".to_owned(),
        KerberosError::NoSessionTicket { .. } => {
            "sign in with an account of the servers' domain, such as ann@CORP.EXAMPLE; where the \
             inventory says as = \"service\" of them, they are asked with its credential"
                .to_owned()
        }
        KerberosError::NoCache { .. } => "get a ticket with kinit, and name a cache of another \
             kind than FILE, DIR or KCM by KRB5CCNAME; or give a password or a keytab"
            .to_owned(),
        KerberosError::NoTicket(_) => "get a ticket with kinit".to_owned(),
        KerberosError::OtherPrincipal { wanted, .. } => {
            format!("kinit {wanted}, or set KRB5CCNAME to that account's cache")
        }
        KerberosError::NoKey(_) => {
            "klist -e -k FILE lists the keys of a keytab; export it with AES keys".to_owned()
        }
        KerberosError::NoRealm(_) => {
            "write USER@REALM, or set default_realm in krb5.conf".to_owned()
        }
        KerberosError::NotAName(_) => {
            "give the server's name; or allow NTLM, which takes a password, with -k \
             --authentication negotiate"
                .to_owned()
        }
        KerberosError::NoEncryptionType(_) | KerberosError::EncryptionType(_) => {
            "AES has to be allowed for the account, and its password set since it was".to_owned()
        }
        _ => return None,
    })
}

/// What to do about a server that can't be signed in to.
pub fn of_sign_in(error: SignInError<Failure>) -> Failure {
    let failure = Failure::new(error.to_string());
    match error {
        // It has its own.
        SignInError::Secret(failure) => failure,
        SignInError::NoAccount { .. } => failure.hint(
            "give -u USER (or -u 'DOMAIN\\USER'), -k for Kerberos, or a credential in the inventory",
        ),
        SignInError::Contradiction { .. } => {
            failure.hint("leave the authentication ntlm out, or -k and the keytab")
        }
        _ => failure,
    }
}

/// How a URL is written.
pub fn url(error: &UrlError) -> Option<String> {
    let form = match error.protocol? {
        Protocol::Even6 => {
            "the form is even6://HOST[:MAPPER-PORT][?endpoint=PORT], IPv6 in brackets"
        }
        Protocol::Even => {
            "the form is even://HOST[:PORT], IPv6 in brackets; the port is 445 by default"
        }
        _ => return None,
    };
    Some(form.to_owned())
}

/// Where servers are looked for that the inventory doesn't have.
pub fn select(error: &SelectError, is_empty: bool) -> Option<String> {
    if matches!(error, SelectError::Name(NameProblem::Colon(_))) {
        return Some("a port stands in a URL: even6://HOST:PORT, or even://HOST:PORT".to_owned());
    }
    let is_missing = matches!(
        error,
        SelectError::UnknownGroup { .. } | SelectError::NoMatch(_) | SelectError::EmptyGroup(_)
    );
    (is_missing && is_empty).then(|| "there is no inventory; --inventory FILE names one".to_owned())
}
