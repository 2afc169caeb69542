#![doc = include_str!("../README.md")]
//!
//! # Secrets
//!
//! [`SecretSource`] says where a secret is to be read; the program reads it and
//! hands the bytes to [`Secret::from_bytes`], which wipes them.
//!
//! # The gate
//!
//! Whoever is about to present a credential takes a [`Ticket`] first, and as
//! long as no server has accepted it only one at a time gets one.
#![forbid(unsafe_code)]

mod account;
mod gate;
mod kerberos;
mod secret;
mod source;

pub use account::{Account, AccountError, AccountForm, MAX_AUTHORITY_CHARS, MAX_USER_CHARS};
pub use gate::{Enter, Entry, Gate, GatePolicy, Refusal, Ticket};
pub use kerberos::{
    KerberosCredential, Keytab, KeytabError, KeytabKey, MAX_COMPONENTS, MAX_KEYTAB_BYTES,
    MAX_KEYTAB_KEYS,
};
pub use secret::{MAX_SECRET_BYTES, MAX_SECRET_UNITS, Secret, SecretError};
pub use source::{SecretSource, SecretSourceError};

use std::fmt;
use std::sync::Arc;

/// Who signs in and with what. Clones share the one copy of the secret.
#[derive(Clone)]
pub struct Credential {
    account: Account,
    secret: Arc<Secret>,
}

impl Credential {
    /// Puts an account and its secret together.
    pub fn new(account: Account, secret: Secret) -> Self {
        Self { account, secret: Arc::new(secret) }
    }

    /// The account that signs in.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The account's secret.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("account", &self.account).finish_non_exhaustive()
    }
}
