//! Each operation's request and response (3.1.4.8 to 3.1.4.36), parameter by
//! parameter in the definition's order. A response ends in the operation's
//! return value, here `status`.

use quarry_rpc::ndr::{ContextHandle, NdrReader, NdrWriter, WideString};
use quarry_rpc::{NdrError, UsageError};

use super::codec::*;
use super::types::*;
use super::variant::VariantList;
use super::{Answer, Message, Operation};
use crate::flags::{QueryFlags, SeekFlags, SubscribeFlags};
use crate::limits::*;
use crate::{Opnum, Win32Error};

macro_rules! message {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$field_doc:meta])* $field:ident: $type:ty = $codec:expr,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        // Some operations have no parameters.
        #[allow(unused_variables)]
        impl Message for $name {
            fn write(&self, w: &mut NdrWriter) -> Result<(), UsageError> {
                $($codec.write(w, &self.$field)?;)*
                Ok(())
            }

            fn read(r: &mut NdrReader<'_>) -> Result<Self, NdrError> {
                Ok(Self { $($field: $codec.read(r)?,)* })
            }
        }
    };
}

macro_rules! operation {
    (@info info) => { fn info(&self) -> RpcInfo { self.info } };
    (@info none) => {};
    (
        $(#[$doc:meta])* $name:ident, $info:tt;
        $request:ident { $($(#[$qd:meta])* $qf:ident: $qt:ty = $qc:expr,)* }
        $response:ident { $($(#[$rd:meta])* $rf:ident: $rt:ty = $rc:expr,)* }
    ) => {
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
            $request { $($(#[$qd])* $qf: $qt = $qc,)* }
        }

        message! {
            #[doc = concat!("What comes out of [`", stringify!($name), "`].")]
            $response {
                $($(#[$rd])* $rf: $rt = $rc,)*
                /// The return value.
                status: Win32Error = Long,
            }
        }

        impl Answer for $response {
            fn status(&self) -> Win32Error {
                self.status
            }

            operation!(@info $info);
        }
    };
}

const CHANNEL: Text = Text { what: "channel", max: MAX_CHANNEL_NAME_LENGTH };
const QUERY: Text = Text { what: "query", max: MAX_QUERY_LENGTH };
const BOOKMARK: Text = Text { what: "bookmarkXml", max: MAX_BOOKMARK_LENGTH };
const PATH: Text = Text { what: "path", max: MAX_CHANNEL_PATH_LENGTH };
const FILE: Text = Text { what: "file path", max: MAX_FILE_PATH_LENGTH };
const PUBLISHER: Text = Text { what: "publisherId", max: MAX_PUBLISHER_ID_LENGTH };
const FILTER: Text = Text { what: "reservedForFilter", max: MAX_FILTER_LENGTH };
const DISPLAY_NAME: Text = Text { what: "displayName", max: MAX_STRING_LENGTH };
const EVENT_ID: SizedBytes = SizedBytes { what: "sizeEventId", max: MAX_EVENT_ID_SIZE };
const PROPERTY: Bytes = Bytes { what: "propertyValueBuffer", max: MAX_PROPERTY_BUFFER_SIZE };
const PROPERTY_SIZE: Within =
    Within { what: "propertyValueBufferSize", max: MAX_PROPERTY_BUFFER_SIZE };

operation! {
    /// Opnum 0 (3.1.4.8): subscribes to events to come, and to those since a
    /// bookmark.
    RegisterRemoteSubscription, info;
    RegisterRemoteSubscriptionRequest {
        /// The channel; `None` when the query names channels.
        channel: Option<WideString> = CHANNEL,
        /// An XPath expression or a structured query.
        query: WideString = QUERY,
        /// Where to start, with [`SubscribeFlags::START_AFTER_BOOKMARK`].
        bookmark: Option<WideString> = BOOKMARK,
        /// How to subscribe.
        flags: SubscribeFlags = Long,
    }
    RegisterRemoteSubscriptionResponse {
        /// The subscription.
        handle: SubscriptionHandle = Handle,
        /// To cancel with.
        control: OperationControlHandle = Handle,
        /// How it stands with each channel.
        channels: Vec<ChannelInfo> = Channels,
        /// More on an error in the query.
        info: RpcInfo = Info,
    }
}

operation! {
    /// Opnum 1 (3.1.4.9): waits for the events of a push subscription.
    RemoteSubscriptionNextAsync, none;
    RemoteSubscriptionNextAsyncRequest {
        /// The subscription.
        handle: SubscriptionHandle = Handle,
        /// Most records wanted.
        requested: u32 = Long,
        /// 0.
        flags: u32 = Long,
    }
    RemoteSubscriptionNextAsyncResponse {
        /// The records.
        batch: EventBatch = Events,
    }
}

operation! {
    /// Opnum 2 (3.1.4.10): takes the events of a pull subscription.
    RemoteSubscriptionNext, none;
    RemoteSubscriptionNextRequest {
        /// The subscription.
        handle: SubscriptionHandle = Handle,
        /// Most records wanted.
        requested: u32 = Long,
        /// Milliseconds; 0xFFFFFFFF for no limit.
        timeout: u32 = Long,
        /// 0.
        flags: u32 = Long,
    }
    RemoteSubscriptionNextResponse {
        /// The records.
        batch: EventBatch = Events,
    }
}

operation! {
    /// Opnum 3 (3.1.4.11): waits until a pull subscription has events.
    RemoteSubscriptionWaitAsync, none;
    RemoteSubscriptionWaitAsyncRequest {
        /// The subscription.
        handle: SubscriptionHandle = Handle,
    }
    RemoteSubscriptionWaitAsyncResponse {}
}

operation! {
    /// Opnum 4 (3.1.4.35): makes a handle to cancel other operations with.
    RegisterControllableOperation, none;
    RegisterControllableOperationRequest {}
    RegisterControllableOperationResponse {
        /// To cancel with.
        handle: OperationControlHandle = Handle,
    }
}

operation! {
    /// Opnum 5 (3.1.4.12): begins a query.
    RegisterLogQuery, info;
    RegisterLogQueryRequest {
        /// A channel or file; `None` when the query names them.
        path: Option<WideString> = PATH,
        /// An XPath expression or a structured query.
        query: WideString = QUERY,
        /// How to query.
        flags: QueryFlags = Long,
    }
    RegisterLogQueryResponse {
        /// The query.
        handle: LogQueryHandle = Handle,
        /// To cancel with.
        control: OperationControlHandle = Handle,
        /// How it stands with each channel.
        channels: Vec<ChannelInfo> = Channels,
        /// More on an error in the query.
        info: RpcInfo = Info,
    }
}

operation! {
    /// Opnum 6 (3.1.4.16): empties a log. Quarry never calls it.
    ClearLog, info;
    ClearLogRequest {
        /// To cancel with.
        control: OperationControlHandle = Handle,
        /// The channel.
        channel: WideString = CHANNEL,
        /// Where to save the events before, on the server.
        backup: Option<WideString> = FILE,
        /// 0.
        flags: u32 = Long,
    }
    ClearLogResponse {
        /// More on an error.
        info: RpcInfo = Info,
    }
}

operation! {
    /// Opnum 7 (3.1.4.17): saves events to a file on the server.
    ExportLog, info;
    ExportLogRequest {
        /// To cancel with.
        control: OperationControlHandle = Handle,
        /// The channel or file.
        channel: Option<WideString> = CHANNEL,
        /// Which events.
        query: WideString = QUERY,
        /// The file to make.
        backup: WideString = FILE,
        /// [`QueryFlags::CHANNEL_PATH`] or [`QueryFlags::FILE_PATH`], and
        /// [`QueryFlags::TOLERATE_ERRORS`].
        flags: QueryFlags = Long,
    }
    ExportLogResponse {
        /// More on an error.
        info: RpcInfo = Info,
    }
}

operation! {
    /// Opnum 8 (3.1.4.18): adds message text to an exported file.
    LocalizeExportLog, info;
    LocalizeExportLogRequest {
        /// To cancel with.
        control: OperationControlHandle = Handle,
        /// The exported file.
        path: WideString = FILE,
        /// The language, as an LCID.
        locale: u32 = Long,
        /// 0.
        flags: u32 = Long,
    }
    LocalizeExportLogResponse {
        /// More on an error.
        info: RpcInfo = Info,
    }
}

operation! {
    /// Opnum 9 (3.1.4.31): renders a message from a publisher's resources.
    MessageRender, info;
    MessageRenderRequest {
        /// The publisher.
        publisher: PublisherMetadataHandle = Handle,
        /// An [`EventDescriptor`], as bytes.
        event_id: Vec<u8> = EVENT_ID,
        /// A message's id, for [`FormatFlags::ID`](crate::FormatFlags::ID).
        message_id: u32 = Long,
        /// What to insert.
        values: VariantList = Variants,
        /// What to render: one of [`FormatFlags`](crate::FormatFlags).
        flags: u32 = Long,
        /// Most bytes wanted.
        max_size: u32 = Long,
    }
    MessageRenderResponse {
        /// The message.
        message: RenderedMessage = Rendered,
        /// More on an error.
        info: RpcInfo = Info,
    }
}

operation! {
    /// Opnum 10 (3.1.4.32): renders a name that every server knows.
    MessageRenderDefault, info;
    MessageRenderDefaultRequest {
        /// An [`EventDescriptor`], as bytes.
        event_id: Vec<u8> = EVENT_ID,
        /// A message's id, for [`FormatFlags::ID`](crate::FormatFlags::ID).
        message_id: u32 = Long,
        /// What to insert.
        values: VariantList = Variants,
        /// What to render: one of [`FormatFlags`](crate::FormatFlags).
        flags: u32 = Long,
        /// Most bytes wanted.
        max_size: u32 = Long,
    }
    MessageRenderDefaultResponse {
        /// The message.
        message: RenderedMessage = Rendered,
        /// More on an error.
        info: RpcInfo = Info,
    }
}

operation! {
    /// Opnum 11 (3.1.4.13): takes the next records of a query.
    QueryNext, none;
    QueryNextRequest {
        /// The query.
        query: LogQueryHandle = Handle,
        /// Most records wanted.
        requested: u32 = Long,
        /// Milliseconds from when the server begins; 0xFFFFFFFF for no limit.
        timeout: u32 = Long,
        /// 0.
        flags: u32 = Long,
    }
    QueryNextResponse {
        /// The records.
        batch: EventBatch = Events,
    }
}

operation! {
    /// Opnum 12 (3.1.4.14): moves a query's position.
    QuerySeek, info;
    QuerySeekRequest {
        /// The query.
        query: LogQueryHandle = Handle,
        /// By how many records, in the query's direction.
        position: i64 = SignedHyper,
        /// From where, with [`SeekFlags::RELATIVE_TO_BOOKMARK`].
        bookmark: Option<WideString> = BOOKMARK,
        /// 0.
        timeout: u32 = Long,
        /// From where.
        flags: SeekFlags = Long,
    }
    QuerySeekResponse {
        /// More on an error.
        info: RpcInfo = Info,
    }
}

operation! {
    /// Opnum 13 (3.1.4.33): closes a handle of any kind.
    Close, none;
    CloseRequest {
        /// The handle.
        handle: ContextHandle = Handle,
    }
    CloseResponse {
        /// Null.
        handle: ContextHandle = Handle,
    }
}

operation! {
    /// Opnum 14 (3.1.4.34): cancels the operation behind a control handle.
    Cancel, none;
    CancelRequest {
        /// The control handle.
        control: OperationControlHandle = Handle,
    }
    CancelResponse {}
}

operation! {
    /// Opnum 15 (3.1.4.29): says that a channel or publisher was configured.
    AssertConfig, none;
    AssertConfigRequest {
        /// The channel or publisher.
        path: WideString = CHANNEL,
        /// Which of them: 0 a channel, 1 a publisher (2.2.10).
        flags: u32 = Long,
    }
    AssertConfigResponse {}
}

operation! {
    /// Opnum 16 (3.1.4.30): says that a channel or publisher is to be removed.
    RetractConfig, none;
    RetractConfigRequest {
        /// The channel or publisher.
        path: WideString = CHANNEL,
        /// Which of them: 0 a channel, 1 a publisher (2.2.10).
        flags: u32 = Long,
    }
    RetractConfigResponse {}
}

operation! {
    /// Opnum 17 (3.1.4.19): opens a log to ask for its properties.
    OpenLogHandle, info;
    OpenLogHandleRequest {
        /// The channel or file.
        channel: WideString = CHANNEL,
        /// [`QueryFlags::CHANNEL_PATH`] or [`QueryFlags::FILE_PATH`].
        flags: QueryFlags = Long,
    }
    OpenLogHandleResponse {
        /// The log.
        handle: LogHandle = Handle,
        /// More on an error.
        info: RpcInfo = Info,
    }
}

operation! {
    /// Opnum 18 (3.1.4.15): asks for a property of a log.
    GetLogFileInfo, none;
    GetLogFileInfoRequest {
        /// The log.
        log: LogHandle = Handle,
        /// Which property: a [`LogProperty`](crate::LogProperty).
        property: u32 = Long,
        /// Bytes of room for the answer.
        buffer_size: u32 = PROPERTY_SIZE,
    }
    GetLogFileInfoResponse {
        /// As many bytes as there was room, even on failure; a
        /// [`BinXmlVariant`](crate::BinXmlVariant) at their start.
        buffer: Vec<u8> = PROPERTY,
        /// How many of them count.
        length: u32 = Long,
    }
}

operation! {
    /// Opnum 19 (3.1.4.20): lists the channels.
    GetChannelList, none;
    GetChannelListRequest {
        /// 0.
        flags: u32 = Long,
    }
    GetChannelListResponse {
        /// Their names.
        channels: Vec<WideString> = Names { what: "channelPaths", max: MAX_CHANNEL_COUNT },
    }
}

operation! {
    /// Opnum 20 (3.1.4.21): asks for a channel's configuration.
    GetChannelConfig, none;
    GetChannelConfigRequest {
        /// The channel.
        channel: WideString = CHANNEL,
        /// 0.
        flags: u32 = Long,
    }
    GetChannelConfigResponse {
        /// Its properties, by [`ChannelProperty`](crate::ChannelProperty).
        properties: VariantList = Variants,
    }
}

operation! {
    /// Opnum 21 (3.1.4.22): changes a channel's configuration. Quarry never
    /// calls it.
    PutChannelConfig, info;
    PutChannelConfigRequest {
        /// The channel.
        channel: WideString = CHANNEL,
        /// What to do when it exists, or does not.
        flags: u32 = Long,
        /// Its properties, by [`ChannelProperty`](crate::ChannelProperty).
        properties: VariantList = Variants,
    }
    PutChannelConfigResponse {
        /// More on an error.
        info: RpcInfo = Info,
    }
}

operation! {
    /// Opnum 22 (3.1.4.23): lists the publishers.
    GetPublisherList, none;
    GetPublisherListRequest {
        /// 0.
        flags: u32 = Long,
    }
    GetPublisherListResponse {
        /// Their names.
        publishers: Vec<WideString> = Names { what: "publisherIds", max: MAX_PUBLISHER_COUNT },
    }
}

operation! {
    /// Opnum 23 (3.1.4.24): lists the publishers that write to a channel.
    GetPublisherListForChannel, none;
    GetPublisherListForChannelRequest {
        /// The channel. The definition has neither range nor `string` for it;
        /// the range of every other channel's name is taken.
        channel: WideString = CHANNEL,
        /// 0.
        flags: u32 = Long,
    }
    GetPublisherListForChannelResponse {
        /// Their names.
        publishers: Vec<WideString> = Names { what: "publisherIds", max: MAX_PUBLISHER_COUNT },
    }
}

operation! {
    /// Opnum 24 (3.1.4.25): opens a publisher's metadata.
    GetPublisherMetadata, none;
    GetPublisherMetadataRequest {
        /// The publisher; `None` for the default one.
        publisher: Option<WideString> = PUBLISHER,
        /// A file to take the metadata from.
        log_file: Option<WideString> = FILE,
        /// The language, as an LCID.
        locale: u32 = Long,
        /// 0.
        flags: u32 = Long,
    }
    GetPublisherMetadataResponse {
        /// Some of the metadata.
        properties: VariantList = Variants,
        /// The metadata.
        handle: PublisherMetadataHandle = Handle,
    }
}

operation! {
    /// Opnum 25 (3.1.4.26): asks for more of a publisher's metadata.
    GetPublisherResourceMetadata, none;
    GetPublisherResourceMetadataRequest {
        /// The metadata.
        handle: PublisherMetadataHandle = Handle,
        /// Which part: a [`PublisherResource`](crate::PublisherResource).
        property: u32 = Long,
        /// 0.
        flags: u32 = Long,
    }
    GetPublisherResourceMetadataResponse {
        /// That part.
        properties: VariantList = Variants,
    }
}

operation! {
    /// Opnum 26 (3.1.4.27): begins a listing of a publisher's events.
    GetEventMetadataEnum, none;
    GetEventMetadataEnumRequest {
        /// The metadata.
        publisher: PublisherMetadataHandle = Handle,
        /// 0.
        flags: u32 = Long,
        /// `None`.
        filter: Option<WideString> = FILTER,
    }
    GetEventMetadataEnumResponse {
        /// The listing.
        handle: EventMetadataEnumHandle = Handle,
    }
}

operation! {
    /// Opnum 27 (3.1.4.28): takes the next of a publisher's events.
    GetNextEventMetadata, none;
    GetNextEventMetadataRequest {
        /// The listing.
        handle: EventMetadataEnumHandle = Handle,
        /// 0.
        flags: u32 = Long,
        /// Most events wanted.
        requested: u32 = Long,
    }
    GetNextEventMetadataResponse {
        /// The events' definitions.
        events: Vec<VariantList> = VariantLists,
    }
}

operation! {
    /// Opnum 28 (3.1.4.36): asks for a classic log's display name.
    GetClassicLogDisplayName, none;
    GetClassicLogDisplayNameRequest {
        /// The log.
        log: WideString = CHANNEL,
        /// The language, as an LCID.
        locale: u32 = Long,
        /// 0, or 0x100 to fall back to the best language.
        flags: u32 = Long,
    }
    GetClassicLogDisplayNameResponse {
        /// The name.
        display_name: Option<WideString> = DISPLAY_NAME,
    }
}
