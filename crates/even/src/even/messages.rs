//! Each operation's request and response (3.1.4), parameter by parameter in the
//! definition's order. A response ends in the operation's return value, here
//! `status`.

use quarry_rpc::ndr::{ContextHandle, NdrReader, NdrWriter, WideString};
use quarry_rpc::smb::NtStatus;
use quarry_rpc::{NdrError, UsageError};

use super::Opnum;
use super::limits::{MAX_BATCH_BUFFER, MAX_INFORMATION};
use crate::wire::{Direction, Message};

/// An operation of the interface.
pub trait Operation {
    /// Which.
    const OPNUM: Opnum;
    /// What goes in.
    type Request: Message + Send;
    /// What comes out.
    type Response: Message + Send + Answer;
}

/// What every response has.
pub trait Answer {
    /// The operation's return value.
    fn status(&self) -> NtStatus;
}

/// `IELF_HANDLE` (2.2.6): an open log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LogHandle(pub ContextHandle);

/// `ElfrReadELW`'s ReadFlags (2.2.3): one way of positioning, one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ReadFlags(pub u32);

impl ReadFlags {
    /// From where the last read of the handle ended.
    pub const SEQUENTIAL: Self = Self(1);
    /// From a record number.
    pub const SEEK: Self = Self(2);
    /// Towards the newest.
    pub const FORWARDS: Self = Self(4);
    /// Towards the oldest.
    pub const BACKWARDS: Self = Self(8);
}

impl std::ops::BitOr for ReadFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// How one kind of parameter is written and read.
trait Parameter: Sized {
    fn put(&self, w: &mut NdrWriter) -> Result<(), UsageError>;
    fn get(r: &mut NdrReader<'_>) -> Result<Self, NdrError>;
}

impl Parameter for u32 {
    fn put(&self, w: &mut NdrWriter) -> Result<(), UsageError> {
        w.u32(*self);
        Ok(())
    }
    fn get(r: &mut NdrReader<'_>) -> Result<Self, NdrError> {
        r.u32()
    }
}

impl Parameter for NtStatus {
    fn put(&self, w: &mut NdrWriter) -> Result<(), UsageError> {
        self.0.put(w)
    }
    fn get(r: &mut NdrReader<'_>) -> Result<Self, NdrError> {
        r.u32().map(Self)
    }
}

impl Parameter for ReadFlags {
    fn put(&self, w: &mut NdrWriter) -> Result<(), UsageError> {
        self.0.put(w)
    }
    fn get(r: &mut NdrReader<'_>) -> Result<Self, NdrError> {
        r.u32().map(Self)
    }
}

impl Parameter for LogHandle {
    fn put(&self, w: &mut NdrWriter) -> Result<(), UsageError> {
        w.context_handle(&self.0);
        Ok(())
    }
    fn get(r: &mut NdrReader<'_>) -> Result<Self, NdrError> {
        r.context_handle().map(Self)
    }
}

/// `RPC_UNICODE_STRING` (MS-DTYP 2.3.10): lengths in bytes, then the units
/// behind a pointer. Neither has to have a terminator, and Windows' own clients
/// leave it out; one that is there is left alone.
impl Parameter for WideString {
    fn put(&self, w: &mut NdrWriter) -> Result<(), UsageError> {
        const MAX_UNITS: u32 = u16::MAX as u32 / 2;
        let units = self.units();
        if units.len() > MAX_UNITS as usize {
            let (value, max) = (units.len() as u64, MAX_UNITS.into());
            return Err(UsageError::Range { what: "units of a string", value, min: 0, max });
        }
        let bytes = units.len() as u16 * 2;
        w.align(4);
        w.u16(bytes);
        w.u16(bytes);
        // Some servers don't take a null pointer for an empty string.
        w.pointer(true);
        w.u32(units.len() as u32);
        w.u32(0);
        w.u32(units.len() as u32);
        units.iter().for_each(|unit| w.bytes(&unit.to_le_bytes()));
        w.align(4);
        Ok(())
    }

    fn get(r: &mut NdrReader<'_>) -> Result<Self, NdrError> {
        const WHAT: &str = "RPC_UNICODE_STRING";
        r.align(4)?;
        let (len, max_len) = (r.u16()?, r.u16()?);
        if len > max_len || len % 2 != 0 || max_len % 2 != 0 {
            let (one, other) = (len.into(), max_len.into());
            return Err(NdrError::Disagree { what: WHAT, one, other });
        }
        if !r.pointer()? {
            return match len {
                0 => Ok(Self::default()),
                _ => Err(NdrError::Null(WHAT)),
            };
        }
        r.same_count(WHAT, u32::from(max_len) / 2, 0)?;
        let offset = r.u32()?;
        if offset != 0 {
            return Err(NdrError::BadValue { what: WHAT, value: offset.into() });
        }
        let units = r.same_count(WHAT, u32::from(len) / 2, 2)?;
        let (pairs, _) = r.bytes(units * 2)?.as_chunks::<2>();
        Ok(Self::from_units(pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect()))
    }
}

/// A unique pointer.
impl Parameter for Option<WideString> {
    fn put(&self, w: &mut NdrWriter) -> Result<(), UsageError> {
        w.pointer(self.is_some());
        self.as_ref().map_or(Ok(()), |string| string.put(w))
    }
    fn get(r: &mut NdrReader<'_>) -> Result<Self, NdrError> {
        if r.pointer()? { WideString::get(r).map(Some) } else { Ok(None) }
    }
}

/// `EVENTLOG_HANDLE_W` (2.2.7): a unique pointer to one unit, for the client's
/// own use. Servers ignore it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServerName(pub Option<u16>);

impl Parameter for ServerName {
    fn put(&self, w: &mut NdrWriter) -> Result<(), UsageError> {
        w.pointer(self.0.is_some());
        if let Some(unit) = self.0 {
            w.u16(unit);
            w.align(4);
        }
        Ok(())
    }
    fn get(r: &mut NdrReader<'_>) -> Result<Self, NdrError> {
        if !r.pointer()? {
            return Ok(Self(None));
        }
        let unit = r.u16()?;
        r.align(4)?;
        Ok(Self(Some(unit)))
    }
}

/// A conformant array of bytes, as long as was asked for, whatever is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buffer<const MAX: u32>(pub Vec<u8>);

impl<const MAX: u32> Parameter for Buffer<MAX> {
    fn put(&self, w: &mut NdrWriter) -> Result<(), UsageError> {
        w.count("buffer", self.0.len(), 0..=MAX)?;
        w.bytes(&self.0);
        w.align(4);
        Ok(())
    }
    fn get(r: &mut NdrReader<'_>) -> Result<Self, NdrError> {
        let len = r.count("buffer", 0..=MAX, 1)?;
        let bytes = r.bytes(len)?.to_vec();
        r.align(4)?;
        Ok(Self(bytes))
    }
}

/// A number with a range from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct UpTo<const MAX: u32>(pub u32);

impl<const MAX: u32> Parameter for UpTo<MAX> {
    fn put(&self, w: &mut NdrWriter) -> Result<(), UsageError> {
        w.count("bytes asked for", self.0 as usize, 0..=MAX)
    }
    fn get(r: &mut NdrReader<'_>) -> Result<Self, NdrError> {
        r.count("bytes asked for", 0..=MAX, 0).map(|len| Self(len as u32))
    }
}

macro_rules! message {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Message for $name {
            fn write(&self, w: &mut NdrWriter) -> Result<(), UsageError> {
                $(self.$field.put(w)?;)*
                Ok(())
            }

            fn read(r: &mut NdrReader<'_>) -> Result<Self, NdrError> {
                Ok(Self { $($field: Parameter::get(r)?,)* })
            }
        }
    };
}

macro_rules! operations {
    ($(
        $(#[$doc:meta])* $name:ident;
        $request:ident { $($(#[$qd:meta])* $qf:ident: $qt:ty,)* }
        $response:ident { $($(#[$rd:meta])* $rf:ident: $rt:ty,)* }
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub enum $name {}

            impl Operation for $name {
                const OPNUM: Opnum = Opnum::$name;
                type Request = $request;
                type Response = $response;
            }

            message! {
                #[doc = concat!("What goes into [`", stringify!($name), "`].")]
                $request { $($(#[$qd])* $qf: $qt,)* }
            }

            message! {
                #[doc = concat!("What comes out of [`", stringify!($name), "`].")]
                $response {
                    $($(#[$rd])* $rf: $rt,)*
                    /// The return value.
                    status: NtStatus,
                }
            }

            impl Answer for $response {
                fn status(&self) -> NtStatus {
                    self.status
                }
            }
        )*

        /// Decodes a stub and encodes what came of it, in this crate's form: for
        /// tools that check stubs. `None` for an operation that is not here.
        ///
        /// # Errors
        /// [`Error::Stub`](quarry_rpc::Error::Stub) when it does not decode,
        /// [`Error::Usage`](quarry_rpc::Error::Usage) when what came of it cannot
        /// be encoded.
        pub fn reencode(
            opnum: Opnum,
            direction: Direction,
            stub: &[u8],
        ) -> Option<Result<Vec<u8>, quarry_rpc::Error>> {
            fn again<M: Message>(stub: &[u8]) -> Result<Vec<u8>, quarry_rpc::Error> {
                Ok(M::decode(stub)?.encode()?)
            }
            match (opnum, direction) {
                $(
                    (Opnum::$name, Direction::Request) => Some(again::<$request>(stub)),
                    (Opnum::$name, Direction::Response) => Some(again::<$response>(stub)),
                )*
                _ => None,
            }
        }
    };
}

operations! {
    /// Opnum 0 (3.1.4.9): clears a log, saving it to a file of the server first.
    ClearELFW;
    ClearELFWRequest {
        /// The log.
        log: LogHandle,
        /// The file, in the form of the server's object manager.
        backup: Option<WideString>,
    }
    ClearELFWResponse {}

    /// Opnum 1 (3.1.4.11): saves a log to a file of the server.
    BackupELFW;
    BackupELFWRequest {
        /// The log.
        log: LogHandle,
        /// The file.
        backup: WideString,
    }
    BackupELFWResponse {}

    /// Opnum 2 (3.1.4.21): closes a log.
    CloseEL;
    CloseELRequest {
        /// The log.
        log: LogHandle,
    }
    CloseELResponse {
        /// None.
        log: LogHandle,
    }

    /// Opnum 3 (3.1.4.22): closes a handle for writing.
    DeregisterEventSource;
    DeregisterEventSourceRequest {
        /// The handle.
        log: LogHandle,
    }
    DeregisterEventSourceResponse {
        /// None.
        log: LogHandle,
    }

    /// Opnum 4 (3.1.4.18): how many records there are.
    NumberOfRecords;
    NumberOfRecordsRequest {
        /// The log.
        log: LogHandle,
    }
    NumberOfRecordsResponse {
        /// How many.
        records: u32,
    }

    /// Opnum 5 (3.1.4.19): the number of the oldest record.
    OldestRecord;
    OldestRecordRequest {
        /// The log.
        log: LogHandle,
    }
    OldestRecordResponse {
        /// Its number; of an empty log 0, or anything.
        oldest: u32,
    }

    /// Opnum 6 (3.1.4.23): asks to be notified of new records; servers refuse it to
    /// clients on other machines.
    ChangeNotify;
    ChangeNotifyRequest {
        /// The log.
        log: LogHandle,
        /// The client's process.
        process: u32,
        /// The client's thread.
        thread: u32,
        /// The event to set.
        event: u32,
    }
    ChangeNotifyResponse {}

    /// Opnum 7 (3.1.4.3): opens a log. Windows opens Application for a name that
    /// it doesn't know.
    OpenELW;
    OpenELWRequest {
        /// Nothing that matters.
        server: ServerName,
        /// The log's name.
        module: WideString,
        /// Empty.
        reg_module: WideString,
        /// 1.
        major: u32,
        /// 1.
        minor: u32,
    }
    OpenELWResponse {
        /// The log.
        log: LogHandle,
    }

    /// Opnum 8 (3.1.4.5): opens a log for writing, by the name of a source.
    RegisterEventSourceW;
    RegisterEventSourceWRequest {
        /// Nothing that matters.
        server: ServerName,
        /// The source's name.
        module: WideString,
        /// Empty.
        reg_module: WideString,
        /// 1.
        major: u32,
        /// 1.
        minor: u32,
    }
    RegisterEventSourceWResponse {
        /// The log.
        log: LogHandle,
    }

    /// Opnum 9 (3.1.4.1): opens a file of the server that a log was saved to.
    OpenBELW;
    OpenBELWRequest {
        /// Nothing that matters.
        server: ServerName,
        /// The file.
        backup: WideString,
        /// 1.
        major: u32,
        /// 1.
        minor: u32,
    }
    OpenBELWResponse {
        /// The log.
        log: LogHandle,
    }

    /// Opnum 10 (3.1.4.7): reads whole records.
    ReadELW;
    ReadELWRequest {
        /// The log.
        log: LogHandle,
        /// From where, and which way.
        flags: ReadFlags,
        /// The record, with [`ReadFlags::SEEK`].
        offset: u32,
        /// How many bytes to read at most.
        wanted: UpTo<MAX_BATCH_BUFFER>,
    }
    ReadELWResponse {
        /// As many bytes as were asked for.
        buffer: Buffer<MAX_BATCH_BUFFER>,
        /// How many of them are records.
        read: u32,
        /// With `BUFFER_TOO_SMALL`: how many the next record needs.
        needed: u32,
    }

    /// Opnum 22 (3.1.4.20): asks for information on a log.
    GetLogInformation;
    GetLogInformationRequest {
        /// The log.
        log: LogHandle,
        /// 0: whether it is full.
        level: u32,
        /// How many bytes to give at most.
        wanted: UpTo<MAX_INFORMATION>,
    }
    GetLogInformationResponse {
        /// As many bytes as were asked for.
        buffer: Buffer<MAX_INFORMATION>,
        /// How many the information needs.
        needed: u32,
    }
}
