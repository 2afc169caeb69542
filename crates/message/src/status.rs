//! Status codes as text, in English: those that events about logons, services and networks have
//! most, in the words of MS-ERREF. The system's own message tables know all; these are for when there are none.

use crate::kinds::OutType;

/// The text of a status code that is shown as `kind`: an NTSTATUS, a Win32 error or an HRESULT.
pub fn text(kind: OutType, code: u32) -> Option<&'static str> {
    match kind {
        OutType::NTSTATUS => ntstatus(code),
        OutType::WIN32_ERROR | OutType::ERROR_CODE => win32(code),
        OutType::HRESULT => hresult(code),
        _ => None,
    }
}

/// An NTSTATUS (MS-ERREF 2.3.1).
pub fn ntstatus(code: u32) -> Option<&'static str> {
    find(NTSTATUS, code)
}

/// A Win32 error (MS-ERREF 2.2).
pub fn win32(code: u32) -> Option<&'static str> {
    find(WIN32, code)
}

/// An HRESULT (MS-ERREF 2.1). One of facility 7 is a Win32 error.
pub fn hresult(code: u32) -> Option<&'static str> {
    match code >> 16 {
        0x8007 => win32(code & 0xffff),
        _ => find(HRESULT, code),
    }
}

fn find(table: &[(u32, &'static str)], code: u32) -> Option<&'static str> {
    let at = table.binary_search_by_key(&code, |entry| entry.0).ok()?;
    Some(table[at].1)
}

const NTSTATUS: &[(u32, &str)] = &[
    (0x0000_0000, "The operation completed successfully."),
    (0xc000_0001, "{Operation Failed} The requested operation was unsuccessful."),
    (
        0xc000_0005,
        "The instruction at 0x%08lx referenced memory at 0x%08lx. The memory could not be %s.",
    ),
    (
        0xc000_0022,
        "{Access Denied} A process has requested access to an object but has not been granted those access rights.",
    ),
    (0xc000_0034, "The object name is not found."),
    (0xc000_005e, "No logon servers are currently available to service the logon request."),
    (0xc000_0064, "The specified account does not exist."),
    (
        0xc000_006a,
        "When trying to update a password, this return status indicates that the value provided as the current password is not correct.",
    ),
    (
        0xc000_006c,
        "When trying to update a password, this status indicates that some password update rule has been violated. For example, the password may not meet length criteria.",
    ),
    (
        0xc000_006d,
        "The attempted logon is invalid. This is either due to a bad username or authentication information.",
    ),
    (
        0xc000_006e,
        "Indicates a referenced user name and authentication information are valid, but some user account restriction has prevented successful authentication (such as time-of-day restrictions).",
    ),
    (
        0xc000_006f,
        "The user account has time restrictions and may not be logged onto at this time.",
    ),
    (
        0xc000_0070,
        "The user account is restricted so that it may not be used to log on from the source workstation.",
    ),
    (0xc000_0071, "The user account password has expired."),
    (0xc000_0072, "The referenced account is currently disabled and may not be logged on to."),
    (0xc000_00bb, "The request is not supported."),
    (
        0xc000_00dc,
        "Indicates the Sam Server was in the wrong state to perform the desired operation.",
    ),
    (0xc000_00df, "The specified domain did not exist."),
    (
        0xc000_0133,
        "The time at the primary domain controller is different from the time at the backup domain controller or member server by too large an amount.",
    ),
    (
        0xc000_015b,
        "A user has requested a type of logon (for example, interactive or network) that has not been granted. An administrator has control over who may logon interactively and through the network.",
    ),
    (
        0xc000_018c,
        "The logon request failed because the trust relationship between the primary domain and the trusted domain failed.",
    ),
    (
        0xc000_018d,
        "The logon request failed because the trust relationship between this workstation and the primary domain failed.",
    ),
    (0xc000_0192, "An attempt was made to logon, but the NetLogon service was not started."),
    (0xc000_0193, "The user account has expired."),
    (0xc000_0224, "The user password must be changed before logging on the first time."),
    (0xc000_0225, "The object was not found."),
    (
        0xc000_0234,
        "The user account has been automatically locked because too many invalid logon attempts or password change attempts have been requested.",
    ),
    (
        0xc000_0371,
        "The local account store does not contain secret material for the specified account.",
    ),
    (0xc000_0380, "An incorrect PIN was presented to the smart card."),
    (
        0xc000_0413,
        "Logon Failure: The machine you are logging onto is protected by an authentication firewall. The specified account is not allowed to authenticate to the machine.",
    ),
];

const WIN32: &[(u32, &str)] = &[
    (0, "The operation completed successfully."),
    (1, "Incorrect function."),
    (2, "The system cannot find the file specified."),
    (3, "The system cannot find the path specified."),
    (5, "Access is denied."),
    (6, "The handle is invalid."),
    (8, "Not enough storage is available to process this command."),
    (13, "The data is invalid."),
    (21, "The device is not ready."),
    (32, "The process cannot access the file because it is being used by another process."),
    (50, "The request is not supported."),
    (53, "The network path was not found."),
    (64, "The specified network name is no longer available."),
    (67, "The network name cannot be found."),
    (87, "The parameter is incorrect."),
    (109, "The pipe has been ended."),
    (112, "There is not enough space on the disk."),
    (121, "The semaphore timeout period has expired."),
    (122, "The data area passed to a system call is too small."),
    (126, "The specified module could not be found."),
    (127, "The specified procedure could not be found."),
    (183, "Cannot create a file when that file already exists."),
    (193, "%1 is not a valid Win32 application."),
    (258, "The wait operation timed out."),
    (997, "Overlapped I/O operation is in progress."),
    (1053, "The service did not respond to the start or control request in a timely fashion."),
    (1056, "An instance of the service is already running."),
    (
        1058,
        "The service cannot be started, either because it is disabled or because it has no enabled devices associated with it.",
    ),
    (1060, "The specified service does not exist as an installed service."),
    (1062, "The service has not been started."),
    (1066, "The service has returned a service-specific error code."),
    (1067, "The process terminated unexpectedly."),
    (1068, "The dependency service or group failed to start."),
    (1069, "The service did not start due to a logon failure."),
    (1115, "A system shutdown is in progress."),
    (1168, "Element not found."),
    (
        1219,
        "Multiple connections to a server or shared resource by the same user, using more than one user name, are not allowed. Disconnect all previous connections to the server or shared resource and try again.",
    ),
    (1222, "The network is not present or not started."),
    (
        1231,
        "The network location cannot be reached. For information about network troubleshooting, see Windows Help.",
    ),
    (1311, "There are currently no logon servers available to service the logon request."),
    (1326, "The user name or password is incorrect."),
    (
        1327,
        "Account restrictions are preventing this user from signing in. For example: blank passwords aren't allowed, sign-in times are limited, or a policy restriction has been enforced.",
    ),
    (1328, "Your account has time restrictions that keep you from signing in right now."),
    (1330, "The password for this account has expired."),
    (1331, "This user can't sign in because this account is currently disabled."),
    (1355, "The specified domain either does not exist or could not be contacted."),
    (
        1385,
        "Logon failure: the user has not been granted the requested logon type at this computer.",
    ),
    (1396, "The target account name is incorrect."),
    (1450, "Insufficient system resources exist to complete the requested service."),
    (1460, "This operation returned because the timeout period expired."),
    (1722, "The RPC server is unavailable."),
    (1726, "The remote procedure call failed."),
    (1753, "There are no more endpoints available from the endpoint mapper."),
    (
        1787,
        "The security database on the server does not have a computer account for this workstation trust relationship.",
    ),
    (1789, "The trust relationship between this workstation and the primary domain failed."),
    (1793, "The user's account has expired."),
    (1907, "The user's password must be changed before signing in."),
    (1909, "The referenced account is currently locked out and may not be logged on to."),
    (9002, "DNS server failure."),
    (9003, "DNS name does not exist."),
    (9005, "DNS operation refused."),
    (9017, "DNS bad key."),
    (
        10048,
        "Only one usage of each socket address (protocol/network address/port) is normally permitted.",
    ),
    (10054, "An existing connection was forcibly closed by the remote host."),
    (
        10060,
        "A connection attempt failed because the connected party did not properly respond after a period of time, or established connection failed because connected host has failed to respond.",
    ),
    (10061, "No connection could be made because the target machine actively refused it."),
    (11001, "No such host is known."),
];

const HRESULT: &[(u32, &str)] = &[
    (0x0000_0000, "The operation completed successfully."),
    (0x8000_4001, "Not implemented."),
    (0x8000_4002, "No such interface supported."),
    (0x8000_4004, "Operation aborted."),
    (0x8000_4005, "Unspecified error."),
    (0x8000_ffff, "Catastrophic failure."),
    (0x8009_030c, "The logon attempt failed."),
    (0x8009_030e, "No credentials are available in the security package."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted() {
        for table in [NTSTATUS, WIN32, HRESULT] {
            assert!(table.is_sorted_by(|a, b| a.0 < b.0));
        }
    }

    #[test]
    fn an_hresult_of_facility_seven_is_a_win32_error() {
        assert_eq!(hresult(0x8007_0005), win32(5));
        assert_eq!(text(OutType::HRESULT, 0x8007_0005), Some("Access is denied."));
        assert_eq!(text(OutType::NTSTATUS, 0x8007_0005), None);
    }
}
