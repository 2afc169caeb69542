//! Status codes as text, in English: those that events about logons, services and networks have
//! most. The system's own message tables know all; these are for when there are none.

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
    (0xc000_0001, "The requested operation was unsuccessful."),
    (0xc000_0005, "An access violation occurred."),
    (0xc000_0022, "Access was denied."),
    (0xc000_0034, "The object name was not found."),
    (0xc000_005e, "No logon servers are available to service the logon request."),
    (0xc000_0064, "The user name does not exist."),
    (0xc000_006a, "The user name is correct but the password is wrong."),
    (0xc000_006c, "The password does not meet the password policy."),
    (0xc000_006d, "The user name or authentication information is wrong."),
    (0xc000_006e, "An account restriction prevented the logon."),
    (0xc000_006f, "The account may not log on at this time."),
    (0xc000_0070, "The account may not log on from this workstation."),
    (0xc000_0071, "The password of the account has expired."),
    (0xc000_0072, "The account is disabled."),
    (0xc000_00bb, "The request is not supported."),
    (0xc000_00dc, "The SAM server was in the wrong state."),
    (0xc000_00df, "The domain does not exist."),
    (0xc000_0133, "The clocks of client and server differ too much."),
    (0xc000_015b, "The account has not been granted the requested type of logon."),
    (0xc000_018c, "The trust relationship between the primary and the trusted domain failed."),
    (0xc000_018d, "The trust relationship between this workstation and the domain failed."),
    (0xc000_0192, "The Netlogon service is not running."),
    (0xc000_0193, "The account has expired."),
    (0xc000_0224, "The password has to be changed at the next logon."),
    (0xc000_0225, "The object was not found."),
    (0xc000_0234, "The account is locked out."),
    (0xc000_0371, "The local account store has no secret material for the account."),
    (0xc000_0380, "The smart card PIN is wrong."),
    (0xc000_0413, "The authentication firewall denied the logon."),
    (0xc000_05d9, "Policy does not allow authentication by NTLM."),
];

const WIN32: &[(u32, &str)] = &[
    (0, "The operation completed successfully."),
    (1, "The function is incorrect."),
    (2, "The file was not found."),
    (3, "The path was not found."),
    (5, "Access is denied."),
    (6, "The handle is invalid."),
    (8, "Not enough memory is available."),
    (13, "The data is invalid."),
    (21, "The device is not ready."),
    (32, "The file is in use by another process."),
    (50, "The request is not supported."),
    (53, "The network path was not found."),
    (64, "The network name is no longer available."),
    (67, "The network name was not found."),
    (87, "The parameter is incorrect."),
    (109, "The pipe has been ended."),
    (112, "There is not enough space on the disk."),
    (121, "The semaphore time-out period has expired."),
    (122, "The data area is too small."),
    (126, "The module was not found."),
    (127, "The procedure was not found."),
    (183, "The file already exists."),
    (193, "The file is not a valid application."),
    (258, "The wait operation timed out."),
    (997, "An overlapped operation is in progress."),
    (1053, "The service did not respond to the start or control request in time."),
    (1056, "An instance of the service is already running."),
    (1058, "The service is disabled or has no enabled devices."),
    (1060, "The service is not installed."),
    (1062, "The service has not been started."),
    (1066, "The service returned an error of its own."),
    (1067, "The process terminated unexpectedly."),
    (1068, "A service or group that this one depends on failed to start."),
    (1069, "The service failed to start because of a logon failure."),
    (1115, "The system is shutting down."),
    (1168, "The element was not found."),
    (1219, "The server already has a connection under another user name."),
    (1222, "The network is not there or not started."),
    (1231, "The network location cannot be reached."),
    (1311, "No logon servers are available."),
    (1326, "The user name or password is wrong."),
    (1327, "An account restriction prevented the logon."),
    (1328, "The account may not log on at this time."),
    (1330, "The password of the account has expired."),
    (1331, "The account is disabled."),
    (1355, "The domain does not exist or cannot be reached."),
    (1385, "The account has not been granted the requested type of logon."),
    (1396, "The target account name is wrong."),
    (1450, "The system lacks the resources for the request."),
    (1460, "The operation timed out."),
    (1722, "The RPC server is unavailable."),
    (1726, "The remote procedure call failed."),
    (1753, "The endpoint mapper has no more endpoints."),
    (1787, "The security database has no account for this workstation's trust."),
    (1789, "The trust relationship between this workstation and the domain failed."),
    (1793, "The account has expired."),
    (1907, "The password has to be changed at the next logon."),
    (1909, "The account is locked out."),
    (9002, "The DNS server failed."),
    (9003, "The DNS name does not exist."),
    (9005, "The DNS server refused the operation."),
    (9017, "The DNS signature failed to verify."),
    (10048, "The address is already in use."),
    (10054, "The connection was reset by the peer."),
    (10060, "The connection attempt timed out."),
    (10061, "The connection was refused."),
    (11001, "The host is not known."),
];

const HRESULT: &[(u32, &str)] = &[
    (0x0000_0000, "The operation completed successfully."),
    (0x0000_0001, "The operation completed, and the answer is no."),
    (0x8000_4001, "Not implemented."),
    (0x8000_4002, "The interface is not supported."),
    (0x8000_4004, "The operation was aborted."),
    (0x8000_4005, "An error occurred that is not specified."),
    (0x8000_ffff, "Catastrophic failure."),
    (0x8009_030c, "The logon attempt failed."),
    (0x8009_030e, "No credentials are available."),
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
