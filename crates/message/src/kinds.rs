//! The types of fields, by the numbers they have in a compiled manifest and in TDH.

use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($(#[$doc:meta])* $name:ident { $($constant:ident = $number:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
        pub struct $name(pub u8);

        #[allow(missing_docs)] // Each is the type that `as_str` names.
        impl $name {
            $(pub const $constant: $name = $name($number);)*

            /// The type that a name in a manifest stands for; null for one that isn't known.
            pub fn from_name(name: &str) -> Self {
                match name {
                    $($text if !$text.is_empty() => $name::$constant,)*
                    _ => $name::default(),
                }
            }

            /// The name in a manifest; none for a number that isn't known, or for null.
            pub fn as_str(self) -> Option<&'static str> {
                match self {
                    $($name::$constant if !$text.is_empty() => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// How a field's value is stored (TDH_INTYPE).
    InType {
        NULL = 0 "",
        UNICODE_STRING = 1 "win:UnicodeString",
        ANSI_STRING = 2 "win:AnsiString",
        INT8 = 3 "win:Int8",
        UINT8 = 4 "win:UInt8",
        INT16 = 5 "win:Int16",
        UINT16 = 6 "win:UInt16",
        INT32 = 7 "win:Int32",
        UINT32 = 8 "win:UInt32",
        INT64 = 9 "win:Int64",
        UINT64 = 10 "win:UInt64",
        FLOAT = 11 "win:Float",
        DOUBLE = 12 "win:Double",
        BOOLEAN = 13 "win:Boolean",
        BINARY = 14 "win:Binary",
        GUID = 15 "win:GUID",
        POINTER = 16 "win:Pointer",
        FILETIME = 17 "win:FILETIME",
        SYSTEMTIME = 18 "win:SYSTEMTIME",
        SID = 19 "win:SID",
        HEX_INT32 = 20 "win:HexInt32",
        HEX_INT64 = 21 "win:HexInt64",
    }
}

kinds! {
    /// How a field's value is shown (TDH_OUTTYPE).
    OutType {
        NULL = 0 "",
        STRING = 1 "xs:string",
        DATE_TIME = 2 "xs:dateTime",
        BYTE = 3 "xs:byte",
        UNSIGNED_BYTE = 4 "xs:unsignedByte",
        SHORT = 5 "xs:short",
        UNSIGNED_SHORT = 6 "xs:unsignedShort",
        INT = 7 "xs:int",
        UNSIGNED_INT = 8 "xs:unsignedInt",
        LONG = 9 "xs:long",
        UNSIGNED_LONG = 10 "xs:unsignedLong",
        FLOAT = 11 "xs:float",
        DOUBLE = 12 "xs:double",
        BOOLEAN = 13 "xs:boolean",
        GUID = 14 "xs:GUID",
        HEX_BINARY = 15 "xs:hexBinary",
        HEX_INT8 = 16 "win:HexInt8",
        HEX_INT16 = 17 "win:HexInt16",
        HEX_INT32 = 18 "win:HexInt32",
        HEX_INT64 = 19 "win:HexInt64",
        PID = 20 "win:PID",
        TID = 21 "win:TID",
        PORT = 22 "win:Port",
        IPV4 = 23 "win:IPv4",
        IPV6 = 24 "win:IPv6",
        SOCKET_ADDRESS = 25 "win:SocketAddress",
        CIM_DATE_TIME = 26 "win:CIMDateTime",
        ETW_TIME = 27 "win:ETWTIME",
        XML = 28 "win:Xml",
        ERROR_CODE = 29 "win:ErrorCode",
        WIN32_ERROR = 30 "win:Win32Error",
        NTSTATUS = 31 "win:NTSTATUS",
        HRESULT = 32 "win:HResult",
        DATE_TIME_CULTURE_INSENSITIVE = 33 "win:DateTimeCultureInsensitive",
        JSON = 34 "win:Json",
        UTF8 = 35 "win:Utf8",
    }
}
