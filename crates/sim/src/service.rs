//! The operations of MS-EVEN6 as a simulated server answers them.
//!
//! What a reader of events needs is there. What changes a server (opnums 6 to 8, 15, 16, 21) is
//! refused with `ERROR_ACCESS_DENIED`, as Windows refuses those who may only read. What is known of
//! publishers and their messages (9, 10, 24 to 27) is in [`publishers`](crate::publishers).

use std::time::Duration;

use quarry_even::wire::*;
use quarry_even::{
    BINXML_VARIANT_LEN, BinXmlVariant, Bookmark, EventService, QueryFlags, Refuse, SubscribeFlags,
    Win32Error,
};
use quarry_rpc::FaultStatus;
use quarry_rpc::ndr::{ContextHandle, WideString};
use quarry_rpc::tcp::CallContext;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::channels;
use crate::handles::{Handle, Handles, Opened};
use crate::journal::{QueryEntry, QueryKind};
use crate::next::{self, AtEnd, Limits};
use crate::plan::{Parsed, Plan, Standing};
use crate::reader::{Reader, Start};
use crate::server::{Server, now};
use crate::texts::Publisher;

type Context<'a> = &'a CallContext<Handles>;

/// All ones: no limit of time.
const FOREVER: u32 = u32::MAX;
/// The largest batch in records (2.2.1, MAX_RPC_RECORD_COUNT).
const MAX_RECORDS: u32 = quarry_even::limits::MAX_RECORD_COUNT;
/// A file's header and first chunk.
const EMPTY_FILE: u64 = 69_632;

impl EventService for Server {
    type Association = Handles;

    async fn register_remote_subscription(
        &self,
        context: Context<'_>,
        request: RegisterRemoteSubscriptionRequest,
    ) -> Result<RegisterRemoteSubscriptionResponse, Refuse> {
        self.serves_more()?;
        let (standings, outcome) = self.subscribe(&request);
        let outcome = outcome.and_then(|reader| {
            let pull = request.flags.contains(SubscribeFlags::PULL);
            register(context, reader, pull, Handle::Subscription)
        });
        self.world.journal.add(QueryEntry {
            server: self.name.clone(),
            kind: QueryKind::Subscription,
            path: request.channel.as_ref().map(ToString::to_string),
            query: request.query.to_string(),
            bookmark: request.bookmark.as_ref().map(ToString::to_string),
            flags: request.flags.0,
            status: outcome.as_ref().err().copied().unwrap_or_default(),
        });
        let (status, handle, control) = answer(outcome);
        let channels = infos(standings, status);
        let (info, handle) = (info(status), handle.into());
        let control = control.into();
        Ok(RegisterRemoteSubscriptionResponse { handle, control, channels, info, status })
    }

    async fn remote_subscription_next_async(
        &self,
        context: Context<'_>,
        request: RemoteSubscriptionNextAsyncRequest,
    ) -> Result<RemoteSubscriptionNextAsyncResponse, Refuse> {
        let found = context.association.subscription(request.handle.0)?;
        let wanted = (request.requested, FOREVER, request.flags);
        let (batch, status) = self.subscription_batch(context, found, false, wanted).await?;
        Ok(RemoteSubscriptionNextAsyncResponse { batch, status })
    }

    async fn remote_subscription_next(
        &self,
        context: Context<'_>,
        request: RemoteSubscriptionNextRequest,
    ) -> Result<RemoteSubscriptionNextResponse, Refuse> {
        let found = context.association.subscription(request.handle.0)?;
        let wanted = (request.requested, request.timeout, request.flags);
        let (batch, status) = self.subscription_batch(context, found, true, wanted).await?;
        Ok(RemoteSubscriptionNextResponse { batch, status })
    }

    async fn remote_subscription_wait_async(
        &self,
        context: Context<'_>,
        request: RemoteSubscriptionWaitAsyncRequest,
    ) -> Result<RemoteSubscriptionWaitAsyncResponse, Refuse> {
        let status = match context.association.subscription(request.handle.0)? {
            Ok(opened) => next::wait(self, context, &opened).await,
            Err(status) => status,
        };
        Ok(RemoteSubscriptionWaitAsyncResponse { status })
    }

    async fn register_controllable_operation(
        &self,
        context: Context<'_>,
        _: RegisterControllableOperationRequest,
    ) -> Result<RegisterControllableOperationResponse, Refuse> {
        let control = Handle::Control(Arc::new(watch::channel(false).0));
        let (status, handle) = one(context.association.insert(control));
        Ok(RegisterControllableOperationResponse { handle: handle.into(), status })
    }

    async fn register_log_query(
        &self,
        context: Context<'_>,
        request: RegisterLogQueryRequest,
    ) -> Result<RegisterLogQueryResponse, Refuse> {
        let (standings, outcome) = self.query(&request);
        let outcome = outcome.and_then(|reader| register(context, reader, true, Handle::Query));
        self.world.journal.add(QueryEntry {
            server: self.name.clone(),
            kind: QueryKind::Query,
            path: request.path.as_ref().map(ToString::to_string),
            query: request.query.to_string(),
            bookmark: None,
            flags: request.flags.0,
            status: outcome.as_ref().err().copied().unwrap_or_default(),
        });
        let (status, handle, control) = answer(outcome);
        let channels = infos(standings, status);
        let (info, handle) = (info(status), handle.into());
        let control = control.into();
        Ok(RegisterLogQueryResponse { handle, control, channels, info, status })
    }

    async fn clear_log(
        &self,
        _: Context<'_>,
        _: ClearLogRequest,
    ) -> Result<ClearLogResponse, Refuse> {
        Ok(ClearLogResponse { info: info(DENIED), status: DENIED })
    }

    async fn export_log(
        &self,
        _: Context<'_>,
        _: ExportLogRequest,
    ) -> Result<ExportLogResponse, Refuse> {
        Ok(ExportLogResponse { info: info(DENIED), status: DENIED })
    }

    async fn localize_export_log(
        &self,
        _: Context<'_>,
        _: LocalizeExportLogRequest,
    ) -> Result<LocalizeExportLogResponse, Refuse> {
        Ok(LocalizeExportLogResponse { info: info(DENIED), status: DENIED })
    }

    async fn message_render(
        &self,
        context: Context<'_>,
        request: MessageRenderRequest,
    ) -> Result<MessageRenderResponse, Refuse> {
        self.serves_messages().await?;
        let found = context.association.publisher(request.publisher.0)?;
        let (message, status) = self.render(found, &request);
        Ok(MessageRenderResponse { message, info: info(status), status })
    }

    async fn message_render_default(
        &self,
        _: Context<'_>,
        request: MessageRenderDefaultRequest,
    ) -> Result<MessageRenderDefaultResponse, Refuse> {
        self.serves_messages().await?;
        let (message, status) = self.render_default(&request);
        Ok(MessageRenderDefaultResponse { message, info: info(status), status })
    }

    async fn query_next(
        &self,
        context: Context<'_>,
        request: QueryNextRequest,
    ) -> Result<QueryNextResponse, Refuse> {
        let found = context.association.query(request.query.0)?;
        let (batch, status) = match found.and_then(|opened| {
            let wanted = (request.requested, request.timeout, request.flags);
            limits(wanted, self.faults.big_batch).map(|limits| (opened, limits))
        }) {
            Ok((opened, limits)) => {
                next::records(self, context, &opened, limits, AtEnd::Ends).await?
            }
            Err(status) => (EventBatch::default(), status),
        };
        Ok(QueryNextResponse { batch, status })
    }

    async fn query_seek(
        &self,
        context: Context<'_>,
        request: QuerySeekRequest,
    ) -> Result<QuerySeekResponse, Refuse> {
        self.serves_more()?;
        let failing = self.failing_seeks.load(Relaxed);
        let outcome = match context.association.query(request.query.0)? {
            Ok(_) if failing != 0 => Err(Win32Error(failing)),
            Ok(opened) => {
                let mut reader = opened.reader.lock().await;
                let bookmark = request.bookmark.as_ref();
                match bookmark.map(|xml| Bookmark::from_xml(&xml.to_string())).transpose() {
                    Ok(bookmark) => {
                        let (offset, flags) = (request.position, request.flags);
                        reader.seek(offset, bookmark.as_ref(), flags, &self.world.testers).await
                    }
                    Err(_) => Err(Win32Error::INVALID_PARAMETER),
                }
            }
            Err(status) => Err(status),
        };
        let status = outcome.err().unwrap_or_default();
        Ok(QuerySeekResponse { info: info(status), status })
    }

    async fn close(
        &self,
        context: Context<'_>,
        request: CloseRequest,
    ) -> Result<CloseResponse, Refuse> {
        self.serves_more()?;
        context.association.remove(request.handle)?;
        Ok(CloseResponse { handle: ContextHandle::NULL, status: Win32Error::SUCCESS })
    }

    async fn cancel(
        &self,
        context: Context<'_>,
        request: CancelRequest,
    ) -> Result<CancelResponse, Refuse> {
        let status = match context.association.control(request.control.0)? {
            Ok(control) => {
                control.send_replace(true);
                Win32Error::SUCCESS
            }
            Err(status) => status,
        };
        Ok(CancelResponse { status })
    }

    async fn assert_config(
        &self,
        _: Context<'_>,
        _: AssertConfigRequest,
    ) -> Result<AssertConfigResponse, Refuse> {
        Ok(AssertConfigResponse { status: DENIED })
    }

    async fn retract_config(
        &self,
        _: Context<'_>,
        _: RetractConfigRequest,
    ) -> Result<RetractConfigResponse, Refuse> {
        Ok(RetractConfigResponse { status: DENIED })
    }

    async fn open_log_handle(
        &self,
        context: Context<'_>,
        request: OpenLogHandleRequest,
    ) -> Result<OpenLogHandleResponse, Refuse> {
        self.serves_more()?;
        let outcome = match request.flags {
            QueryFlags::CHANNEL_PATH => self.readable(&request.channel.to_string()),
            QueryFlags::FILE_PATH => Err(Win32Error::FILE_NOT_FOUND),
            _ => Err(Win32Error::INVALID_PARAMETER),
        };
        let opened = outcome.and_then(|log| context.association.insert(Handle::Log(log)));
        let (status, handle) = one(opened);
        Ok(OpenLogHandleResponse { handle: handle.into(), info: info(status), status })
    }

    async fn get_log_file_info(
        &self,
        context: Context<'_>,
        request: GetLogFileInfoRequest,
    ) -> Result<GetLogFileInfoResponse, Refuse> {
        self.serves_more()?;
        let found = context.association.log(request.log.0)?;
        let mut buffer = vec![0; request.buffer_size as usize];
        let outcome = found.and_then(|log| {
            let state = log.read();
            let time = |time: quarry_event::EventTime| BinXmlVariant::FileTime(time.as_filetime());
            Ok(match request.property {
                0 => time(state.first_write()),
                1 => time(now()),
                2 => time(state.last_write()),
                // Chunks of 64 KiB hold some 30 records.
                3 => BinXmlVariant::UInt64(EMPTY_FILE + state.count() / 30 * 65_536),
                4 => BinXmlVariant::UInt32(0x20),
                5 => BinXmlVariant::UInt64(state.count()),
                6 => BinXmlVariant::UInt64(state.after(0).unwrap_or(0)),
                7 => BinXmlVariant::Bool(false),
                _ => return Err(Win32Error::INVALID_PARAMETER),
            })
        });
        let (length, status) = match outcome {
            Ok(value) => match buffer.first_chunk_mut::<BINXML_VARIANT_LEN>() {
                Some(room) => {
                    *room = value.encode();
                    (BINXML_VARIANT_LEN, Win32Error::SUCCESS)
                }
                None => (BINXML_VARIANT_LEN, Win32Error::INSUFFICIENT_BUFFER),
            },
            Err(status) => (0, status),
        };
        Ok(GetLogFileInfoResponse { buffer, length: length as u32, status })
    }

    async fn get_channel_list(
        &self,
        _: Context<'_>,
        _: GetChannelListRequest,
    ) -> Result<GetChannelListResponse, Refuse> {
        self.serves_more()?;
        let channels = self.world.channels.iter().map(|name| name.as_str().into()).collect();
        Ok(GetChannelListResponse { channels, status: Win32Error::SUCCESS })
    }

    async fn get_channel_config(
        &self,
        _: Context<'_>,
        request: GetChannelConfigRequest,
    ) -> Result<GetChannelConfigResponse, Refuse> {
        let (properties, status) = match self.log(&request.channel.to_string()) {
            Ok(log) => (channels::configuration(&log.name), Win32Error::SUCCESS),
            Err(status) => (VariantList::default(), status),
        };
        Ok(GetChannelConfigResponse { properties, status })
    }

    async fn put_channel_config(
        &self,
        _: Context<'_>,
        _: PutChannelConfigRequest,
    ) -> Result<PutChannelConfigResponse, Refuse> {
        Ok(PutChannelConfigResponse { info: info(DENIED), status: DENIED })
    }

    async fn get_publisher_list(
        &self,
        _: Context<'_>,
        _: GetPublisherListRequest,
    ) -> Result<GetPublisherListResponse, Refuse> {
        let publishers = wide(&channels::publishers());
        Ok(GetPublisherListResponse { publishers, status: Win32Error::SUCCESS })
    }

    async fn get_publisher_list_for_channel(
        &self,
        _: Context<'_>,
        request: GetPublisherListForChannelRequest,
    ) -> Result<GetPublisherListForChannelResponse, Refuse> {
        let (publishers, status) = match self.log(&request.channel.to_string()) {
            Ok(log) => (wide(&channels::publishers_of(&log.name)), Win32Error::SUCCESS),
            Err(status) => (Vec::new(), status),
        };
        Ok(GetPublisherListForChannelResponse { publishers, status })
    }

    async fn get_publisher_metadata(
        &self,
        context: Context<'_>,
        request: GetPublisherMetadataRequest,
    ) -> Result<GetPublisherMetadataResponse, Refuse> {
        self.serves_messages().await?;
        let opened = self.publisher(&request).and_then(|publisher| {
            let properties = crate::publishers::metadata(&publisher);
            let handle = context.association.insert(Handle::Publisher(Arc::new(publisher)))?;
            Ok((properties, handle))
        });
        let (properties, handle, status) = match opened {
            Ok((properties, handle)) => (properties, handle, Win32Error::SUCCESS),
            Err(status) => (VariantList::default(), ContextHandle::NULL, status),
        };
        Ok(GetPublisherMetadataResponse { properties, handle: handle.into(), status })
    }

    async fn get_publisher_resource_metadata(
        &self,
        context: Context<'_>,
        request: GetPublisherResourceMetadataRequest,
    ) -> Result<GetPublisherResourceMetadataResponse, Refuse> {
        self.serves_messages().await?;
        let found = context.association.publisher(request.handle.0)?;
        let part = found.and_then(|publisher| {
            crate::publishers::part(&publisher, request.property)
                .ok_or(Win32Error::INVALID_PARAMETER)
        });
        let (properties, status) = match part {
            Ok(properties) => (properties, Win32Error::SUCCESS),
            Err(status) => (VariantList::default(), status),
        };
        Ok(GetPublisherResourceMetadataResponse { properties, status })
    }

    async fn get_event_metadata_enum(
        &self,
        context: Context<'_>,
        request: GetEventMetadataEnumRequest,
    ) -> Result<GetEventMetadataEnumResponse, Refuse> {
        self.serves_messages().await?;
        let found = context.association.publisher(request.publisher.0)?;
        let listing = found.and_then(|publisher| {
            let listing = (Publisher(publisher.0), 0.into());
            context.association.insert(Handle::Listing(Arc::new(listing)))
        });
        let (status, handle) = one(listing);
        Ok(GetEventMetadataEnumResponse { handle: handle.into(), status })
    }

    async fn get_next_event_metadata(
        &self,
        context: Context<'_>,
        request: GetNextEventMetadataRequest,
    ) -> Result<GetNextEventMetadataResponse, Refuse> {
        self.serves_messages().await?;
        let found = context.association.listing(request.handle.0)?;
        let (events, status) = match found {
            Ok(listing) => self.definitions(&listing, request.requested),
            Err(status) => (Vec::new(), status),
        };
        Ok(GetNextEventMetadataResponse { events, status })
    }

    async fn get_classic_log_display_name(
        &self,
        _: Context<'_>,
        request: GetClassicLogDisplayNameRequest,
    ) -> Result<GetClassicLogDisplayNameResponse, Refuse> {
        let name = request.log.to_string();
        let classic = crate::log::generated_channel(&name).is_some();
        let (display_name, status) = match classic {
            true => (Some(request.log), Win32Error::SUCCESS),
            false => (None, Win32Error::NOT_FOUND),
        };
        Ok(GetClassicLogDisplayNameResponse { display_name, status })
    }
}

const DENIED: Win32Error = Win32Error::ACCESS_DENIED;

impl Server {
    /// Refuses an operation that a service in name only doesn't have.
    fn serves_more(&self) -> Result<(), Refuse> {
        match self.faults.hollow {
            true => Err(Refuse::Fault(FaultStatus::OP_RANGE)),
            false => Ok(()),
        }
    }

    fn query(
        &self,
        request: &RegisterLogQueryRequest,
    ) -> (Vec<Standing>, Result<Reader, Win32Error>) {
        const KNOWN: u32 = 0x1303;
        let flags = request.flags;
        let has = |flag| flags.contains(flag);
        if flags.0 & !KNOWN != 0
            || has(QueryFlags::CHANNEL_PATH | QueryFlags::FILE_PATH)
            || has(QueryFlags::FORWARD | QueryFlags::REVERSE)
        {
            return (Vec::new(), Err(Win32Error::INVALID_PARAMETER));
        }
        // There are no files on a simulated server. With neither flag the path is a file's.
        if has(QueryFlags::FILE_PATH) || (!has(QueryFlags::CHANNEL_PATH) && request.path.is_some())
        {
            return (Vec::new(), Err(Win32Error::FILE_NOT_FOUND));
        }
        let reverse = has(QueryFlags::REVERSE);
        let open = |channel: &str| match reverse {
            true => self.undirected(channel),
            false => self.readable(channel),
        };
        let tolerate = has(QueryFlags::TOLERATE_ERRORS);
        let path = request.path.as_ref().map(ToString::to_string);
        let (standings, plan) = self.plan(path.as_deref(), &request.query, tolerate, open);
        (standings, plan.map(|plan| Reader::new(plan, reverse, &Start::First)))
    }

    fn subscribe(
        &self,
        request: &RegisterRemoteSubscriptionRequest,
    ) -> (Vec<Standing>, Result<Reader, Win32Error>) {
        const KNOWN: u32 = 0x1001_1003;
        let flags = request.flags;
        let strict = flags.contains(SubscribeFlags::STRICT);
        let start = SubscribeFlags(flags.0 & 3);
        if flags.0 & !KNOWN != 0 {
            return (Vec::new(), Err(Win32Error::INVALID_PARAMETER));
        }
        let bookmark = request.bookmark.as_ref().map(|xml| Bookmark::from_xml(&xml.to_string()));
        let start = match (start, &bookmark) {
            (SubscribeFlags::FUTURE_EVENTS, _) => Start::End,
            (SubscribeFlags::START_AT_OLDEST, _) => Start::First,
            (SubscribeFlags::START_AFTER_BOOKMARK, Some(Ok(bookmark))) => Start::After(bookmark),
            // Without a bookmark that can be read a tolerant server begins at the oldest record.
            (SubscribeFlags::START_AFTER_BOOKMARK, _) if strict => {
                return (Vec::new(), Err(Win32Error::NOT_FOUND));
            }
            (SubscribeFlags::START_AFTER_BOOKMARK, _) => Start::First,
            _ => return (Vec::new(), Err(Win32Error::INVALID_PARAMETER)),
        };
        let path = request.channel.as_ref().map(ToString::to_string);
        let tolerate = flags.contains(SubscribeFlags::TOLERATE_ERRORS) && !strict;
        let open = |channel: &str| self.undirected(channel);
        let (standings, plan) = self.plan(path.as_deref(), &request.query, tolerate, open);
        let reader = plan.and_then(|plan| {
            if let (Start::After(bookmark), true) = (&start, strict) {
                for channel in &plan.channels {
                    let same = |name: &str| name.eq_ignore_ascii_case(&channel.log.name);
                    let entry = bookmark.entries.iter().find(|entry| same(&entry.channel));
                    if entry.is_some_and(|entry| !channel.log.read().has(entry.record_id)) {
                        return Err(Win32Error::EVT_QUERY_RESULT_STALE);
                    }
                }
            }
            let mut reader = Reader::new(plan, false, &start);
            reader.skips_gaps = !strict;
            Ok(reader)
        });
        (standings, reader)
    }

    fn plan(
        &self,
        path: Option<&str>,
        query: &WideString,
        tolerate: bool,
        open: impl Fn(&str) -> Result<Arc<crate::log::Log>, Win32Error>,
    ) -> (Vec<Standing>, Result<Plan, Win32Error>) {
        let query = query.to_string();
        if crate::plan::is_refused(&query, self.faults.refused_queries) {
            return (Vec::new(), Err(Win32Error::EVT_INVALID_QUERY));
        }
        match Parsed::new(path, &query, self.faults.max_clauses()) {
            Ok(parsed) => parsed.open(tolerate, now(), open),
            Err(status) => (Vec::new(), Err(status)),
        }
    }

    async fn subscription_batch(
        &self,
        context: Context<'_>,
        found: Result<Arc<Opened>, Win32Error>,
        pull: bool,
        wanted: (u32, u32, u32),
    ) -> Result<(EventBatch, Win32Error), Refuse> {
        let checked = found.and_then(|opened| {
            if opened.pull != pull {
                return Err(Win32Error::INVALID_OPERATION);
            }
            limits(wanted, self.faults.big_batch).map(|limits| (opened, limits))
        });
        match checked {
            Ok((opened, limits)) => {
                next::records(self, context, &opened, limits, AtEnd::Waits).await
            }
            Err(status) => Ok((EventBatch::default(), status)),
        }
    }
}

/// What a call asks for: records, milliseconds, flags.
fn limits(
    (records, timeout, flags): (u32, u32, u32),
    big_batch: Option<u32>,
) -> Result<Limits, Win32Error> {
    if !(1..=MAX_RECORDS).contains(&records) || flags != 0 {
        return Err(Win32Error::INVALID_PARAMETER);
    }
    let deadline =
        (timeout != FOREVER).then(|| Instant::now() + Duration::from_millis(timeout.into()));
    Ok(Limits { records: records as usize, deadline, big_batch })
}

/// Gives out the two handles of a query or subscription.
fn register(
    context: Context<'_>,
    reader: Reader,
    pull: bool,
    kind: impl FnOnce(Arc<Opened>) -> Handle,
) -> Result<(ContextHandle, ContextHandle), Win32Error> {
    let (control, cancelled) = watch::channel(false);
    let opened = Opened { reader: tokio::sync::Mutex::new(reader), pull, cancelled };
    let handle = context.association.insert(kind(Arc::new(opened)))?;
    let control = context.association.insert(Handle::Control(Arc::new(control)))?;
    Ok((handle, control))
}

fn answer(
    outcome: Result<(ContextHandle, ContextHandle), Win32Error>,
) -> (Win32Error, ContextHandle, ContextHandle) {
    match outcome {
        Ok((handle, control)) => (Win32Error::SUCCESS, handle, control),
        Err(status) => (status, ContextHandle::NULL, ContextHandle::NULL),
    }
}

fn one(outcome: Result<ContextHandle, Win32Error>) -> (Win32Error, ContextHandle) {
    match outcome {
        Ok(handle) => (Win32Error::SUCCESS, handle),
        Err(status) => (status, ContextHandle::NULL),
    }
}

fn infos(standings: Vec<Standing>, status: Win32Error) -> Vec<ChannelInfo> {
    if !status.is_success() {
        return Vec::new();
    }
    let info = |standing: Standing| ChannelInfo {
        name: Some(standing.name.as_str().into()),
        status: standing.status,
    };
    standings.into_iter().map(info).collect()
}

/// The error again: Windows says no more of a query, whatever is wrong with it.
fn info(error: Win32Error) -> RpcInfo {
    RpcInfo { error, sub_error: 0, sub_error_parameter: 0 }
}

fn wide(names: &[String]) -> Vec<WideString> {
    names.iter().map(|name| name.as_str().into()).collect()
}
