//! Logging on, and what a refusal means.

use std::{io, os::windows::io::OwnedHandle, ptr};

use quarry_cred::{Account, AccountForm, Secret};
use windows_sys::Win32::{
    Foundation::{
        ERROR_ACCOUNT_DISABLED, ERROR_ACCOUNT_EXPIRED, ERROR_ACCOUNT_LOCKED_OUT,
        ERROR_ACCOUNT_RESTRICTION, ERROR_INVALID_LOGON_HOURS, ERROR_INVALID_WORKSTATION,
        ERROR_LOGON_FAILURE, ERROR_LOGON_TYPE_NOT_GRANTED, ERROR_NO_SUCH_USER,
        ERROR_PASSWORD_EXPIRED, ERROR_PASSWORD_MUST_CHANGE, ERROR_PRIVILEGE_NOT_HELD,
    },
    Security::{
        LOGON32_LOGON_BATCH, LOGON32_LOGON_INTERACTIVE, LOGON32_LOGON_NETWORK,
        LOGON32_LOGON_NETWORK_CLEARTEXT, LOGON32_LOGON_NEW_CREDENTIALS, LOGON32_LOGON_SERVICE,
        LOGON32_LOGON_UNLOCK, LOGON32_PROVIDER_DEFAULT, LOGON32_PROVIDER_WINNT40,
        LOGON32_PROVIDER_WINNT50, LogonUserW, LookupAccountNameW,
    },
};
use zeroize::Zeroizing;

use super::{
    Token,
    token::{self, failed},
    wide,
};
use crate::{Error, Identity, Logon, LogonType, Provider, error::Refusal};

/// Logs a user on.
pub(crate) fn log_on(logon: &Logon, secret: &Secret) -> Result<(Token, Identity), Error> {
    let names = Names::of(&logon.account, secret);
    let mut handle = ptr::null_mut();
    // SAFETY: the texts end with a NUL, a null domain is allowed, and the result can be written to.
    let made = unsafe {
        LogonUserW(
            names.user.as_ptr(),
            names.domain(),
            names.password.as_ptr(),
            type_number(logon.logon_type),
            provider_number(logon),
            &mut handle,
        )
    };
    let handle: OwnedHandle =
        token::owned(made, handle).map_err(|error| refused(logon.logon_type, error))?;
    let identity = token::identity(&handle)?;
    Ok((Token::new(handle, false)?, identity))
}

/// Whoever this process is.
pub(crate) fn current() -> Result<(Token, Identity), Error> {
    let handle =
        token::of_process().map_err(|source| failed("open the process's token", source))?;
    let identity = token::identity(&handle)?;
    Ok((Token::new(handle, true)?, identity))
}

/// What the system's calls take, with a NUL at each end. The password is wiped when dropped.
pub(super) struct Names {
    pub(super) user: Vec<u16>,
    domain: Option<Vec<u16>>,
    pub(super) password: Zeroizing<Vec<u16>>,
}

impl Names {
    pub(super) fn of(account: &Account, secret: &Secret) -> Self {
        // The room is there before the first unit, as growing would leave copies behind.
        let text = secret.expose();
        let mut password = Zeroizing::new(Vec::with_capacity(text.len() + 1));
        password.extend(text.encode_utf16().chain([0]));
        let (user, domain) = match account.form() {
            // A principal name is one text, without a domain.
            AccountForm::Principal => (account.to_string(), None),
            AccountForm::DownLevel => {
                (account.user().to_owned(), account.authority().map(str::to_owned))
            }
            // The call wants a domain for such a name. The machine's own accounts come first.
            AccountForm::Bare => {
                let domain = domain_of(account.user()).unwrap_or_else(|| ".".to_owned());
                (account.user().to_owned(), Some(domain))
            }
        };
        let domain = domain.map(|domain| wide(domain.as_ref()));
        Self { user: wide(user.as_ref()), domain, password }
    }

    pub(super) fn domain(&self) -> *const u16 {
        self.domain.as_ref().map_or(ptr::null(), |domain| domain.as_ptr())
    }
}

/// Where the system finds an account of this name.
fn domain_of(user: &str) -> Option<String> {
    let user = wide(user.as_ref());
    let mut sid = [0_u64; 16];
    let mut domain = [0_u16; 300];
    let (mut sid_bytes, mut domain_units) = (size_of_val(&sid) as u32, domain.len() as u32);
    let mut kind = 0;
    // SAFETY: the name ends with a NUL, a null system is this one, and there is as much room as
    // is said.
    let found = unsafe {
        LookupAccountNameW(
            ptr::null(),
            user.as_ptr(),
            sid.as_mut_ptr().cast(),
            &mut sid_bytes,
            domain.as_mut_ptr(),
            &mut domain_units,
            &mut kind,
        )
    };
    let length = domain.len().min(domain_units as usize);
    (found != 0 && length > 0).then(|| String::from_utf16_lossy(&domain[..length]))
}

/// What an error of a logon means. What can depend on the account before its password has been
/// proven is a refusal, whose reason goes to the log only.
pub(super) fn refused(logon_type: LogonType, error: io::Error) -> Error {
    let code = error.raw_os_error().unwrap_or(0) as u32;
    match code {
        ERROR_PASSWORD_EXPIRED | ERROR_PASSWORD_MUST_CHANGE => {
            Error::PasswordExpired { said: String::new() }
        }
        ERROR_LOGON_TYPE_NOT_GRANTED => {
            Error::Restricted(Refusal::new(format!("it lacks the right {}", right(logon_type))))
        }
        ERROR_LOGON_FAILURE
        | ERROR_NO_SUCH_USER
        | ERROR_ACCOUNT_RESTRICTION
        | ERROR_INVALID_LOGON_HOURS
        | ERROR_INVALID_WORKSTATION
        | ERROR_ACCOUNT_DISABLED
        | ERROR_ACCOUNT_EXPIRED
        | ERROR_ACCOUNT_LOCKED_OUT => Error::Refused(Refusal::new(error.to_string())),
        ERROR_PRIVILEGE_NOT_HELD => Error::Privilege {
            what: "logging a user on",
            name: "SeTcbPrivilege",
            advice: "run this as a service, as Local System",
        },
        _ => failed("log the user on", error),
    }
}

/// The account's right that goes with a type, as the local security policy has it.
fn right(logon_type: LogonType) -> &'static str {
    match logon_type {
        LogonType::Interactive | LogonType::Unlock => {
            "SeInteractiveLogonRight (Allow log on locally)"
        }
        LogonType::Network | LogonType::NetworkCleartext | LogonType::NewCredentials => {
            "SeNetworkLogonRight (Access this computer from the network)"
        }
        LogonType::Batch => "SeBatchLogonRight (Log on as a batch job)",
        LogonType::Service => "SeServiceLogonRight (Log on as a service)",
    }
}

fn type_number(logon_type: LogonType) -> u32 {
    match logon_type {
        LogonType::Interactive => LOGON32_LOGON_INTERACTIVE,
        LogonType::Network => LOGON32_LOGON_NETWORK,
        LogonType::NetworkCleartext => LOGON32_LOGON_NETWORK_CLEARTEXT,
        LogonType::Batch => LOGON32_LOGON_BATCH,
        LogonType::Service => LOGON32_LOGON_SERVICE,
        LogonType::Unlock => LOGON32_LOGON_UNLOCK,
        LogonType::NewCredentials => LOGON32_LOGON_NEW_CREDENTIALS,
    }
}

fn provider_number(logon: &Logon) -> u32 {
    match logon.provider {
        // Only this one knows such logons.
        _ if logon.logon_type == LogonType::NewCredentials => LOGON32_PROVIDER_WINNT50,
        Provider::Default => LOGON32_PROVIDER_DEFAULT,
        Provider::Negotiate => LOGON32_PROVIDER_WINNT50,
        Provider::Ntlm => LOGON32_PROVIDER_WINNT40,
    }
}
