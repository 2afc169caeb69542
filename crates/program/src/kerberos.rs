//! What Kerberos needs of this machine: `krb5.conf`, keytabs, and where the user's tickets are. The
//! environment is read here; the rest is the libraries'.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use quarry_cred::{Keytab, MAX_KEYTAB_BYTES};
use quarry_rpc::tickets::Configuration;
use zeroize::Zeroizing;

use crate::console::Console;
use crate::error::{Failure, plain};
use crate::secret;

/// The variable with the configuration's files, as MIT's and Heimdal's programs have it.
const CONFIGURATION: &str = "KRB5_CONFIG";
/// The variable with the name of the ticket cache.
const CACHE: &str = "KRB5CCNAME";

/// The name of the user's ticket cache, where the environment has one.
pub(crate) fn ticket_cache() -> Result<Option<String>, Failure> {
    match std::env::var(CACHE) {
        Ok(name) if !name.is_empty() => Ok(Some(name)),
        Ok(_) | Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Failure::new(format!("the variable {CACHE} is not text")))
        }
    }
}

/// Reads `krb5.conf`.
///
/// # Errors
/// It can't be read, or has a mistake.
pub fn configuration() -> Result<Configuration, Failure> {
    let files = match std::env::var_os(CONFIGURATION) {
        Some(list) => named_configuration(&list)?,
        None => vec![default_configuration()],
    };
    Configuration::load(files).map_err(|error| Failure::new(error.to_string()))
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

/// Reads a keytab.
pub(crate) fn keytab(path: &Path, console: &Console) -> Result<Keytab, Failure> {
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
