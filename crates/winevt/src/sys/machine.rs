//! What this machine is called.

use windows_sys::Win32::System::SystemInformation::{
    ComputerNamePhysicalDnsFullyQualified, GetComputerNameExW,
};

use super::call::{last_error, narrow};
use crate::error::Error;

/// The longest name that is asked for, in UTF-16 units; DNS has 255 at most.
const MAX_NAME: u32 = 1024;

/// The machine's full DNS name, as it stands in the `Computer` of its events.
///
/// # Errors
/// [`Error`]: `GetComputerNameExW` failed.
pub fn computer_name() -> Result<String, Error> {
    let mut name = vec![0u16; MAX_NAME as usize];
    let mut len = MAX_NAME;
    // SAFETY: the buffer has as many units as is said, and is written to in this call only.
    let done = unsafe {
        GetComputerNameExW(ComputerNamePhysicalDnsFullyQualified, name.as_mut_ptr(), &raw mut len)
    };
    match done {
        0 => Err(last_error("GetComputerNameExW")),
        _ => Ok(narrow(&name)),
    }
}
