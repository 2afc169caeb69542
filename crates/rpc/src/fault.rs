//! Fault status codes (C706 appendix E, MS-ERREF 2.2).

/// The status of a fault PDU: an NCA code, or a Win32 error where Windows'
/// runtime answers itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FaultStatus(pub u32);

crate::codes! {
    FaultStatus, "0x{code:08x} ({name})", "0x{code:08x}";
    /// The logon or the interface's policy keeps the caller out.
    ACCESS_DENIED = 0x0000_0005, "access denied";
    /// Not enough memory at the server.
    OUT_OF_MEMORY = 0x0000_000e, "out of memory";
    /// The server has too much to do (1723).
    RPC_SERVER_TOO_BUSY = 0x0000_06bb, "server too busy";
    /// A count is out of bounds (1734): an answer over 2 MiB, on servers before 2025.
    INVALID_BOUND = 0x0000_06c6, "array bounds are invalid";
    /// The operation number is out of range (1745).
    RPC_PROCNUM_OUT_OF_RANGE = 0x0000_06d1, "operation number out of range";
    /// The request did not decode (1783).
    BAD_STUB_DATA = 0x0000_06f7, "bad stub data";
    /// The call was cancelled (1818).
    CALL_CANCELLED = 0x0000_071a, "call cancelled";
    /// The security package said no (1825).
    SECURITY_PACKAGE = 0x0000_0721, "security package error";
    /// nca_s_fault_invalid_tag: a union's discriminant.
    INVALID_TAG = 0x1c00_0006, "invalid union tag";
    /// nca_s_fault_invalid_bound.
    NCA_INVALID_BOUND = 0x1c00_0007, "array bounds are invalid (nca)";
    /// nca_s_fault_cancel.
    CANCEL = 0x1c00_000d, "cancelled";
    /// nca_s_fault_unspec.
    UNSPECIFIED = 0x1c00_0012, "unspecified failure";
    /// nca_s_fault_context_mismatch: no such context handle.
    CONTEXT_MISMATCH = 0x1c00_001a, "no such context handle";
    /// nca_s_fault_remote_no_memory.
    REMOTE_NO_MEMORY = 0x1c00_001b, "server out of memory";
    /// nca_s_invalid_pres_context_id.
    INVALID_CONTEXT_ID = 0x1c00_001c, "no such presentation context";
    /// nca_s_unsupported_authn_level.
    UNSUPPORTED_LEVEL = 0x1c00_001d, "authentication level not supported";
    /// nca_s_invalid_checksum.
    INVALID_CHECKSUM = 0x1c00_001f, "invalid checksum";
    /// nca_s_op_rng_error.
    OP_RANGE = 0x1c01_0002, "operation number out of range (nca)";
    /// nca_s_unk_if.
    UNKNOWN_INTERFACE = 0x1c01_0003, "unknown interface";
    /// nca_s_proto_error.
    PROTOCOL_ERROR = 0x1c01_000b, "protocol error";
    /// nca_s_out_args_too_big.
    OUT_ARGS_TOO_BIG = 0x1c01_0013, "answer too large";
    /// nca_s_server_too_busy.
    SERVER_TOO_BUSY = 0x1c01_0014, "server too busy (nca)";
}

impl FaultStatus {
    /// Whether this status, as the first answer on a connection, means that the
    /// logon was refused. Windows says access denied or security package error,
    /// Samba protocol error.
    pub(crate) fn refuses_logon(self) -> bool {
        matches!(
            self,
            Self::ACCESS_DENIED
                | Self::SECURITY_PACKAGE
                | Self::PROTOCOL_ERROR
                | Self::INVALID_CHECKSUM
        )
    }
}
