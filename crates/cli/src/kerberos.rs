//! What Kerberos needs of this machine: `krb5.conf`, keytabs, and where the user's tickets are. The
//! environment is read here; the rest is the libraries'.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quarry_cred::{Account, Credential, KerberosCredential, Keytab, MAX_KEYTAB_BYTES};
use quarry_rpc::tickets::{Configuration, Tickets};
use zeroize::Zeroizing;

use crate::error::{Failure, plain};

/// The variable with the configuration's files, as MIT's and Heimdal's programs have it.
const CONFIGURATION: &str = "KRB5_CONFIG";
/// The variable with the name of the ticket cache.
const CACHE: &str = "KRB5CCNAME";

/// Tickets that a password gets.
pub(crate) fn by_password(credential: Credential, timeout: Duration) -> Result<Tickets, Failure> {
    tickets(KerberosCredential::Password(credential), timeout)
}

/// Tickets that a keytab gets, for an account or whoever comes first in it.
pub(crate) fn by_keytab(
    account: Option<Account>,
    path: &Path,
    timeout: Duration,
) -> Result<Tickets, Failure> {
    let keytab = Arc::new(read_keytab(path)?);
    tickets(KerberosCredential::Keytab { account, keytab }, timeout)
}

/// The tickets that the user has.
pub(crate) fn of_cache(account: Option<Account>, timeout: Duration) -> Result<Tickets, Failure> {
    let name = match std::env::var(CACHE) {
        Ok(name) if !name.is_empty() => Some(name),
        Ok(_) | Err(std::env::VarError::NotPresent) => None,
        Err(std::env::VarError::NotUnicode(_)) => {
            return Err(Failure::new(format!("the variable {CACHE} is not text")));
        }
    };
    tickets(KerberosCredential::Cache { account, name }, timeout)
}

fn tickets(credential: KerberosCredential, timeout: Duration) -> Result<Tickets, Failure> {
    let files = match std::env::var_os(CONFIGURATION) {
        Some(list) => std::env::split_paths(&list).collect(),
        None => vec![default_configuration()],
    };
    let configuration =
        Configuration::load(files).map_err(|error| Failure::new(error.to_string()))?;
    Ok(Tickets::new(credential, configuration, timeout))
}

/// Where the configuration is unless it is named.
fn default_configuration() -> PathBuf {
    if cfg!(windows) {
        let data = std::env::var_os("ProgramData").unwrap_or_else(|| r"C:\ProgramData".into());
        return Path::new(&data).join("MIT").join("Kerberos5").join("krb5.ini");
    }
    PathBuf::from("/etc/krb5.conf")
}

fn read_keytab(path: &Path) -> Result<Keytab, Failure> {
    let shown = path.display();
    // A byte more than there may be, so that what is too long is found; room for all, so that no
    // copies are left behind when it grows.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_KEYTAB_BYTES + 1));
    File::open(path)
        .and_then(|file| file.take(MAX_KEYTAB_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|e| Failure::new(format!("the keytab {shown}: {}", plain(&e))))?;
    Keytab::from_bytes(std::mem::take(&mut *bytes))
        .map_err(|e| Failure::new(format!("the keytab {shown}: {e}")))
}
