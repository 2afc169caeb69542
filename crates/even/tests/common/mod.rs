//! Requests and responses of every operation, as this crate writes them.
#![allow(dead_code, reason = "each of the tests uses its part")]

use quarry_even::wire::*;
use quarry_even::*;
use quarry_rpc::ndr::{ContextHandle, WideString};
use uuid::Uuid;

/// A stub with what it is.
pub(crate) struct Sample {
    pub(crate) opnum: Opnum,
    pub(crate) is_request: bool,
    pub(crate) stub: Vec<u8>,
    /// It holds variants, which Samba's definition has wrong: there the union of
    /// a variant is behind a pointer.
    pub(crate) has_variants: bool,
    /// Decodes the stub and encodes what came of it.
    pub(crate) again: fn(&[u8]) -> Result<Vec<u8>, String>,
}

fn again<M: Message>(stub: &[u8]) -> Result<Vec<u8>, String> {
    let message = M::decode(stub).map_err(|error| error.to_string())?;
    message.encode().map_err(|error| error.to_string())
}

fn request<O: Operation>(message: O::Request) -> Sample {
    let stub = message.encode().unwrap();
    Sample {
        opnum: O::OPNUM,
        is_request: true,
        stub,
        has_variants: false,
        again: again::<O::Request>,
    }
}

fn response<O: Operation>(message: O::Response) -> Sample {
    let stub = message.encode().unwrap();
    Sample {
        opnum: O::OPNUM,
        is_request: false,
        stub,
        has_variants: false,
        again: again::<O::Response>,
    }
}

impl Sample {
    fn with_variants(self) -> Self {
        Self { has_variants: true, ..self }
    }
}

pub(crate) fn handle(n: u8) -> ContextHandle {
    ContextHandle { attributes: 0, uuid: Uuid::from_bytes([n; 16]) }
}

fn text(text: &str) -> WideString {
    text.into()
}

/// One variant of each type, and empty ones of those that can be empty.
pub(crate) fn all_variants() -> VariantList {
    let guid = Uuid::from_u128(0x5484_9625_5478_4994_a5ba_3e3b_0328_c30d);
    [
        VariantValue::Boolean(true),
        VariantValue::Null,
        VariantValue::UInt64(0x0102_0304_0506_0708),
        VariantValue::Boolean(false),
        VariantValue::UInt32(0xdead_beef),
        VariantValue::from("c:\\a.dll"),
        VariantValue::Guid(Some(guid)),
        VariantValue::BooleanArray(vec![true, false, true]),
        VariantValue::UInt32Array(vec![1, 2, 3]),
        VariantValue::UInt64Array(vec![u64::MAX, 1]),
        VariantValue::StringArray(vec![Some(text("A/Admin")), Some(text("Ü/東😀"))]),
        VariantValue::GuidArray(vec![guid, Uuid::nil()]),
        VariantValue::String(None),
        VariantValue::Guid(None),
        VariantValue::UInt32Array(vec![]),
        VariantValue::StringArray(vec![]),
    ]
    .into_iter()
    .collect()
}

pub(crate) fn batch() -> EventBatch {
    let mut buffer = Vec::new();
    let mut sizes = Vec::new();
    for n in 0..3u64 {
        let before = buffer.len();
        encode_record(&mut buffer, &[0x0f, 1, 1, n as u8], &[], &[n + 1], 0, false);
        sizes.push((buffer.len() - before) as u32);
    }
    EventBatch::contiguous(sizes, buffer).unwrap()
}

pub(crate) fn samples() -> Vec<Sample> {
    let ok = Win32Error::SUCCESS;
    let info = RpcInfo::default();
    let bad = RpcInfo { error: Win32Error(15001), sub_error: 2, sub_error_parameter: 3 };
    let channels = vec![
        ChannelInfo { name: Some(text("Security")), status: ok },
        ChannelInfo { name: Some(text("Nope/Admin")), status: Win32Error(15007) },
    ];
    let event_id = EventDescriptor { id: 7036, keywords: 0x8080 << 48, ..Default::default() };
    let event_id = event_id.to_bytes().to_vec();
    let message =
        RenderedMessage::from_text("The Print Spooler service entered the running state.");
    let names = vec![text("Application"), text("System"), text("Ü/東😀")];
    vec![
        request::<RegisterRemoteSubscription>(RegisterRemoteSubscriptionRequest {
            channel: Some(text("Security")),
            query: text("*"),
            bookmark: Some(text(&Bookmark::single("Security", 5).to_xml())),
            flags: SubscribeFlags::START_AFTER_BOOKMARK
                | SubscribeFlags::PULL
                | SubscribeFlags::STRICT,
        }),
        request::<RegisterRemoteSubscription>(RegisterRemoteSubscriptionRequest {
            channel: None,
            query: text("<QueryList/>"),
            bookmark: None,
            flags: SubscribeFlags::FUTURE_EVENTS,
        }),
        response::<RegisterRemoteSubscription>(RegisterRemoteSubscriptionResponse {
            handle: SubscriptionHandle(handle(1)),
            control: OperationControlHandle(handle(2)),
            channels: channels.clone(),
            info,
            status: ok,
        }),
        request::<RemoteSubscriptionNextAsync>(RemoteSubscriptionNextAsyncRequest {
            handle: SubscriptionHandle(handle(1)),
            requested: 20,
            flags: 0,
        }),
        response::<RemoteSubscriptionNextAsync>(RemoteSubscriptionNextAsyncResponse {
            batch: batch(),
            status: ok,
        }),
        request::<RemoteSubscriptionNext>(RemoteSubscriptionNextRequest {
            handle: SubscriptionHandle(handle(1)),
            requested: 64,
            timeout: 1000,
            flags: 0,
        }),
        response::<RemoteSubscriptionNext>(RemoteSubscriptionNextResponse {
            batch: batch(),
            status: ok,
        }),
        response::<RemoteSubscriptionNext>(RemoteSubscriptionNextResponse {
            batch: EventBatch::default(),
            status: Win32Error::TIMEOUT,
        }),
        request::<RemoteSubscriptionWaitAsync>(RemoteSubscriptionWaitAsyncRequest {
            handle: SubscriptionHandle(handle(1)),
        }),
        response::<RemoteSubscriptionWaitAsync>(RemoteSubscriptionWaitAsyncResponse { status: ok }),
        request::<RegisterControllableOperation>(RegisterControllableOperationRequest {}),
        response::<RegisterControllableOperation>(RegisterControllableOperationResponse {
            handle: OperationControlHandle(handle(3)),
            status: ok,
        }),
        request::<RegisterLogQuery>(RegisterLogQueryRequest {
            path: Some(text("Microsoft-Windows-Ünïcode/東京😀")),
            query: text("*[System[(EventID=1 or EventID=2)]]"),
            flags: QueryFlags::CHANNEL_PATH | QueryFlags::REVERSE,
        }),
        request::<RegisterLogQuery>(RegisterLogQueryRequest {
            path: None,
            query: text("<QueryList><Query Path='System'><Select>*</Select></Query></QueryList>"),
            flags: QueryFlags::CHANNEL_PATH | QueryFlags::FORWARD,
        }),
        response::<RegisterLogQuery>(RegisterLogQueryResponse {
            handle: LogQueryHandle(handle(4)),
            control: OperationControlHandle(handle(5)),
            channels,
            info,
            status: ok,
        }),
        response::<RegisterLogQuery>(RegisterLogQueryResponse {
            handle: LogQueryHandle::default(),
            control: OperationControlHandle::default(),
            channels: vec![],
            info: bad,
            status: Win32Error(15001),
        }),
        request::<ClearLog>(ClearLogRequest {
            control: OperationControlHandle(handle(5)),
            channel: text("System"),
            backup: Some(text("C:\\backup.evtx")),
            flags: 0,
        }),
        response::<ClearLog>(ClearLogResponse { info, status: ok }),
        request::<ExportLog>(ExportLogRequest {
            control: OperationControlHandle(handle(5)),
            channel: Some(text("System")),
            query: text("*"),
            backup: text("C:\\export.evtx"),
            flags: QueryFlags::CHANNEL_PATH,
        }),
        response::<ExportLog>(ExportLogResponse { info: bad, status: Win32Error(0x50) }),
        request::<LocalizeExportLog>(LocalizeExportLogRequest {
            control: OperationControlHandle(handle(5)),
            path: text("C:\\export.evtx"),
            locale: 1033,
            flags: 0,
        }),
        response::<LocalizeExportLog>(LocalizeExportLogResponse { info, status: ok }),
        request::<MessageRender>(MessageRenderRequest {
            publisher: PublisherMetadataHandle(handle(6)),
            event_id: event_id.clone(),
            message_id: 5,
            values: all_variants(),
            flags: FormatFlags::EVENT.0,
            max_size: 65_536,
        })
        .with_variants(),
        request::<MessageRender>(MessageRenderRequest {
            publisher: PublisherMetadataHandle(handle(6)),
            event_id: event_id.clone(),
            message_id: 5,
            values: VariantList::default(),
            flags: FormatFlags::EVENT.0,
            max_size: 65_536,
        }),
        response::<MessageRender>(MessageRenderResponse {
            message: message.clone(),
            info,
            status: ok,
        }),
        request::<MessageRenderDefault>(MessageRenderDefaultRequest {
            event_id,
            message_id: u32::MAX,
            values: VariantList::default(),
            flags: FormatFlags::LEVEL.0,
            max_size: 1024,
        }),
        response::<MessageRenderDefault>(MessageRenderDefaultResponse {
            message,
            info,
            status: ok,
        }),
        request::<QueryNext>(QueryNextRequest {
            query: LogQueryHandle(handle(4)),
            requested: 1024,
            timeout: 3000,
            flags: 0,
        }),
        response::<QueryNext>(QueryNextResponse { batch: batch(), status: ok }),
        response::<QueryNext>(QueryNextResponse {
            batch: EventBatch::default(),
            status: Win32Error::NO_MORE_ITEMS,
        }),
        request::<QuerySeek>(QuerySeekRequest {
            query: LogQueryHandle(handle(4)),
            position: -2,
            bookmark: Some(text(&Bookmark::single("System", 7).to_xml())),
            timeout: 0,
            flags: SeekFlags::RELATIVE_TO_BOOKMARK | SeekFlags::STRICT,
        }),
        request::<QuerySeek>(QuerySeekRequest {
            query: LogQueryHandle(handle(4)),
            position: 0,
            bookmark: None,
            timeout: 0,
            flags: SeekFlags::RELATIVE_TO_LAST,
        }),
        response::<QuerySeek>(QuerySeekResponse { info, status: ok }),
        request::<Close>(CloseRequest { handle: handle(4) }),
        response::<Close>(CloseResponse { handle: ContextHandle::NULL, status: ok }),
        request::<Cancel>(CancelRequest { control: OperationControlHandle(handle(5)) }),
        response::<Cancel>(CancelResponse { status: ok }),
        request::<AssertConfig>(AssertConfigRequest { path: text("Some/Channel"), flags: 0 }),
        response::<AssertConfig>(AssertConfigResponse { status: ok }),
        request::<RetractConfig>(RetractConfigRequest { path: text("Some-Publisher"), flags: 1 }),
        response::<RetractConfig>(RetractConfigResponse { status: ok }),
        request::<OpenLogHandle>(OpenLogHandleRequest {
            channel: text("C:\\logs\\a.evtx"),
            flags: QueryFlags::FILE_PATH,
        }),
        response::<OpenLogHandle>(OpenLogHandleResponse {
            handle: LogHandle(handle(7)),
            info,
            status: ok,
        }),
        request::<GetLogFileInfo>(GetLogFileInfoRequest {
            log: LogHandle(handle(7)),
            property: LogProperty::NumberOfLogRecords as u32,
            buffer_size: 16,
        }),
        response::<GetLogFileInfo>(GetLogFileInfoResponse {
            buffer: BinXmlVariant::UInt64(32).encode().to_vec(),
            length: 16,
            status: ok,
        }),
        request::<GetChannelList>(GetChannelListRequest { flags: 0 }),
        response::<GetChannelList>(GetChannelListResponse { channels: names.clone(), status: ok }),
        response::<GetChannelList>(GetChannelListResponse {
            channels: vec![],
            status: Win32Error::ACCESS_DENIED,
        }),
        request::<GetChannelConfig>(GetChannelConfigRequest { channel: text("System"), flags: 0 }),
        response::<GetChannelConfig>(GetChannelConfigResponse {
            properties: all_variants(),
            status: ok,
        })
        .with_variants(),
        response::<GetChannelConfig>(GetChannelConfigResponse {
            properties: VariantList::default(),
            status: ok,
        }),
        request::<PutChannelConfig>(PutChannelConfigRequest {
            channel: text("System"),
            flags: 1,
            properties: all_variants(),
        })
        .with_variants(),
        request::<PutChannelConfig>(PutChannelConfigRequest {
            channel: text("System"),
            flags: 1,
            properties: VariantList::default(),
        }),
        response::<PutChannelConfig>(PutChannelConfigResponse { info, status: ok }),
        request::<GetPublisherList>(GetPublisherListRequest { flags: 0 }),
        response::<GetPublisherList>(GetPublisherListResponse {
            publishers: names.clone(),
            status: ok,
        }),
        request::<GetPublisherListForChannel>(GetPublisherListForChannelRequest {
            channel: text("System"),
            flags: 0,
        }),
        response::<GetPublisherListForChannel>(GetPublisherListForChannelResponse {
            publishers: names,
            status: ok,
        }),
        request::<GetPublisherMetadata>(GetPublisherMetadataRequest {
            publisher: Some(text("Microsoft-Windows-Security-Auditing")),
            log_file: None,
            locale: 1033,
            flags: 0,
        }),
        response::<GetPublisherMetadata>(GetPublisherMetadataResponse {
            properties: all_variants(),
            handle: PublisherMetadataHandle(handle(8)),
            status: ok,
        })
        .with_variants(),
        response::<GetPublisherMetadata>(GetPublisherMetadataResponse {
            properties: VariantList::default(),
            handle: PublisherMetadataHandle(handle(8)),
            status: ok,
        }),
        request::<GetPublisherResourceMetadata>(GetPublisherResourceMetadataRequest {
            handle: PublisherMetadataHandle(handle(8)),
            property: PublisherResource::Keywords as u32,
            flags: 0,
        }),
        response::<GetPublisherResourceMetadata>(GetPublisherResourceMetadataResponse {
            properties: all_variants(),
            status: ok,
        })
        .with_variants(),
        response::<GetPublisherResourceMetadata>(GetPublisherResourceMetadataResponse {
            properties: VariantList::default(),
            status: ok,
        }),
        request::<GetEventMetadataEnum>(GetEventMetadataEnumRequest {
            publisher: PublisherMetadataHandle(handle(8)),
            flags: 0,
            filter: None,
        }),
        response::<GetEventMetadataEnum>(GetEventMetadataEnumResponse {
            handle: EventMetadataEnumHandle(handle(9)),
            status: ok,
        }),
        request::<GetNextEventMetadata>(GetNextEventMetadataRequest {
            handle: EventMetadataEnumHandle(handle(9)),
            flags: 0,
            requested: 10,
        }),
        response::<GetNextEventMetadata>(GetNextEventMetadataResponse {
            events: vec![all_variants(), VariantList::default(), all_variants()],
            status: ok,
        })
        .with_variants(),
        response::<GetNextEventMetadata>(GetNextEventMetadataResponse {
            events: vec![VariantList::default(), VariantList::default()],
            status: ok,
        }),
        request::<GetClassicLogDisplayName>(GetClassicLogDisplayNameRequest {
            log: text("System"),
            locale: 1033,
            flags: 0x100,
        }),
        response::<GetClassicLogDisplayName>(GetClassicLogDisplayNameResponse {
            display_name: Some(text("System")),
            status: ok,
        }),
        response::<GetClassicLogDisplayName>(GetClassicLogDisplayNameResponse {
            display_name: None,
            status: Win32Error::NOT_FOUND,
        }),
    ]
}
