//! What Kerberos needs of this machine: `krb5.conf`, keytabs, and where the user's tickets are. The
//! environment is read here; the rest is the libraries'.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quarry_cred::{Account, Credential, Gate, KerberosCredential, Keytab, MAX_KEYTAB_BYTES};
use quarry_rpc::tickets::{Configuration, Tickets};
use zeroize::Zeroizing;

use crate::console::Console;
use crate::error::{Failure, plain};
use crate::secret;

/// The variable with the configuration's files, as MIT's and Heimdal's programs have it.
const CONFIGURATION: &str = "KRB5_CONFIG";
/// The variable with the name of the ticket cache.
const CACHE: &str = "KRB5CCNAME";

/// Tickets that a password gets, which has a gate.
pub(crate) fn by_password(
    credential: Credential,
    gate: Gate,
    timeout: Duration,
) -> Result<Tickets, Failure> {
    tickets(KerberosCredential::Password(credential), timeout, Some(gate))
}

/// Tickets that a keytab gets, for an account or whoever it seems to be made for.
pub(crate) fn by_keytab(
    account: Option<Account>,
    path: &Path,
    timeout: Duration,
    console: &Console,
) -> Result<Tickets, Failure> {
    let keytab = Arc::new(read_keytab(path, console)?);
    tickets(KerberosCredential::Keytab { account, keytab }, timeout, None)
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
    tickets(KerberosCredential::Cache { account, name }, timeout, None)
}

fn tickets(
    credential: KerberosCredential,
    timeout: Duration,
    gate: Option<Gate>,
) -> Result<Tickets, Failure> {
    let files = match std::env::var_os(CONFIGURATION) {
        Some(list) => named_configuration(&list)?,
        None => vec![default_configuration()],
    };
    let configuration =
        Configuration::load(files).map_err(|error| Failure::new(error.to_string()))?;
    Ok(Tickets::new(credential, configuration, timeout, gate))
}

/// The files of a list, of which one at least has to be there: the library passes over the others.
fn named_configuration(list: &OsStr) -> Result<Vec<PathBuf>, Failure> {
    let files: Vec<PathBuf> = std::env::split_paths(list).collect();
    if !files.iter().any(|file| file.exists()) {
        let list = list.to_string_lossy();
        return Err(Failure::new(format!("no file of {CONFIGURATION} is there: {list}")));
    }
    Ok(files)
}

/// Where the configuration is unless it is named.
fn default_configuration() -> PathBuf {
    if cfg!(windows) {
        let data = std::env::var_os("ProgramData").unwrap_or_else(|| r"C:\ProgramData".into());
        return Path::new(&data).join("MIT").join("Kerberos5").join("krb5.ini");
    }
    PathBuf::from("/etc/krb5.conf")
}

fn read_keytab(path: &Path, console: &Console) -> Result<Keytab, Failure> {
    let shown = path.display();
    // A byte more than there may be, so that what is too long is found; room for all, so that no
    // copies are left behind when it grows.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_KEYTAB_BYTES + 1));
    File::open(path)
        .and_then(|file| {
            secret::warn_of_others(&file, path, console);
            file.take(MAX_KEYTAB_BYTES as u64 + 1).read_to_end(&mut bytes)
        })
        .map_err(|e| Failure::new(format!("the keytab {shown}: {}", plain(&e))))?;
    Keytab::from_bytes(std::mem::take(&mut *bytes))
        .map_err(|e| Failure::new(format!("the keytab {shown}: {e}")))
}
