//! The client's stubs: a connection, and a method for each operation that
//! Quarry uses. Any other is a [`call`](EventClient::call) away.

use std::time::Duration;

use quarry_cred::{Gate, Refusal};
use quarry_rpc::ndr::{ContextHandle, WideString};
use quarry_rpc::tcp::{
    Client, Patience, Presentation, Target, Timeouts, connect_stream, resolve_port,
};
use quarry_rpc::{ClientConfig, NetworkError, Stage, epm};

use crate::error::{Error, Result};
use crate::flags::{LogProperty, QueryFlags, SeekFlags, SubscribeFlags};
use crate::logon::{Authentication, Chosen, LogOn, service_host};
use crate::wire::*;
use crate::{BinXmlVariant, INTERFACE, Opnum};

/// The service of Kerberos' tickets for RPC: every computer's account has it.
const SERVICE: &str = "host";

/// Where a server is and how to sign in there.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// What the user calls it: the others are told so when it refuses the credential. Kerberos'
    /// ticket is for this name where the host is an address.
    pub name: String,
    /// Its name or address.
    pub host: String,
    /// Its endpoint mapper's port.
    pub mapper_port: u16,
    /// The interface's own port; the mapper is not asked then.
    pub port: Option<u16>,
    /// Who signs in, and by what.
    pub logon: LogOn,
    /// How.
    pub authentication: Authentication,
    /// What keeps a wrong password from being tried on every server.
    pub gate: Option<Gate>,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// The association group to join, 0 for a new one: handles are shared within
    /// one, so a second connection can cancel what the first began.
    pub association_group: u32,
}

impl ConnectOptions {
    /// The defaults for a host.
    pub fn new(host: impl Into<String>, logon: impl Into<LogOn>) -> Self {
        let host = host.into();
        Self {
            name: host.clone(),
            host,
            mapper_port: epm::MAPPER_PORT,
            port: None,
            logon: logon.into(),
            authentication: Authentication::default(),
            gate: None,
            timeouts: Timeouts::default(),
            association_group: 0,
        }
    }

    /// Gets what has to be had before the server is connected to, which may take a while: Kerberos'
    /// ticket. What goes wrong is told by [`EventClient::connect`], which does the same.
    pub async fn prepare(&self) {
        self.logon.prepare(SERVICE, service_host(&self.host, &self.name)).await;
    }
}

/// A connection to an MS-EVEN6 server. Clones are the same connection.
#[derive(Clone, Debug)]
pub struct EventClient {
    rpc: Client,
}

/// A query that the server took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredQuery {
    /// The query.
    pub handle: LogQueryHandle,
    /// To cancel with.
    pub control: OperationControlHandle,
    /// How it stands with each channel; a record's place counts these in order.
    pub channels: Vec<ChannelInfo>,
}

/// A subscription that the server took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredSubscription {
    /// The subscription.
    pub handle: SubscriptionHandle,
    /// To cancel with.
    pub control: OperationControlHandle,
    /// How it stands with each channel; a record's place counts these in order.
    pub channels: Vec<ChannelInfo>,
}

/// What a server had when it was asked for the next records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Records.
    Events(EventBatch),
    /// The time asked for is over; the server lives and searches on. There may be
    /// records all the same.
    TimedOut(EventBatch),
    /// The query has gone through all of its logs.
    End,
}

impl EventClient {
    /// Finds the server's port, connects, and signs in.
    ///
    /// With a gate, the credential is presented only when the gate opens, and
    /// what comes of it is reported there. NTLM by itself proves the credential
    /// only on a first call, which is then made here.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn connect(options: &ConnectOptions) -> Result<Self> {
        let port = match options.port {
            Some(port) => port,
            None => {
                let mapper = Target::new(&options.host, options.mapper_port);
                resolve_port(&mapper, INTERFACE, options.timeouts).await?
            }
        };
        let target = Target::new(&options.host, port);
        let stream = async || {
            let stream = connect_stream(&target, options.timeouts.connect).await;
            Ok::<_, Error>(stream.map_err(quarry_rpc::Error::from)?)
        };
        let host = service_host(&options.host, &options.name);
        let first = stream().await?;
        let chosen = options.logon.choose(SERVICE, host).await?;
        match Self::connect_as(first, options, &chosen).await {
            Err(error) if chosen.may_do_better(&error).await => {
                let stream = stream().await?;
                let chosen = options.logon.choose(SERVICE, host).await?;
                Self::connect_as(stream, options, &chosen).await
            }
            outcome => outcome,
        }
    }

    async fn connect_as(
        stream: tokio::net::TcpStream,
        options: &ConnectOptions,
        chosen: &Chosen<'_>,
    ) -> Result<Self> {
        let presentation = Presentation::new();
        let signing_in = Self::sign_in(stream, options, chosen, &presentation);
        let outcome = presentation.during(signing_in).await;
        settle(&presentation, &options.name, &outcome);
        outcome.map_err(|error| chosen.explain(error))
    }

    async fn sign_in(
        stream: tokio::net::TcpStream,
        options: &ConnectOptions,
        chosen: &Chosen<'_>,
        presentation: &Presentation,
    ) -> Result<Self> {
        let initiator = chosen.for_rpc(options.authentication)?;
        // A ticket was let through by who knows the password.
        let gate = options.gate.as_ref().filter(|_| chosen.is_guess());
        let mut config = ClientConfig::new(INTERFACE);
        config.association_group = options.association_group;
        let silence = options.timeouts.silence;
        let enter = async || Ok::<_, Error>(presentation.enter(gate).await?);
        let rpc = Client::bind_when(stream, config, Some(initiator), silence, enter).await?;
        let client = Self { rpc };
        if gate.is_some() && !client.rpc.is_proven() {
            let proved = Patience::new(silence).wait(client.prove()).await;
            proved.map_err(|kind| {
                quarry_rpc::Error::Network(NetworkError { during: Stage::Bind, kind })
            })??;
        }
        Ok(client)
    }

    /// A call that changes nothing, for the sake of its answer: that is sealed, so that it proves
    /// that the server knows the session's key. One that isn't sealed proves nothing, and is the
    /// error that it says it is.
    async fn prove(&self) -> Result<()> {
        let answer = self
            .call::<RegisterControllableOperation>(&RegisterControllableOperationRequest {})
            .await;
        match answer {
            Ok(response) if response.status.is_success() => {
                self.close(response.handle.into()).await
            }
            Err(error) if !self.rpc.is_proven() => Err(error),
            // Any answer will do.
            Ok(_) | Err(Error::Rpc(quarry_rpc::Error::Fault(_))) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Calls over an RPC connection that is bound to [`INTERFACE`].
    pub fn from_rpc(rpc: Client) -> Self {
        Self { rpc }
    }

    /// The RPC connection.
    pub fn rpc(&self) -> &Client {
        &self.rpc
    }

    /// Calls an operation. Its return value is in the response, not an error.
    ///
    /// # Errors
    /// [`Error::Rpc`].
    pub async fn call<O: Operation>(&self, request: &O::Request) -> Result<O::Response> {
        let stub = request.encode().map_err(quarry_rpc::Error::from)?;
        let answer = self.rpc.call(O::OPNUM as u16, stub).await?;
        Ok(O::Response::decode(&answer).map_err(quarry_rpc::Error::from)?)
    }

    /// The same for a call that the server lawfully answers late only.
    ///
    /// # Errors
    /// [`Error::Rpc`].
    pub async fn call_within<O: Operation>(
        &self,
        request: &O::Request,
        silence: Duration,
    ) -> Result<O::Response> {
        let stub = request.encode().map_err(quarry_rpc::Error::from)?;
        let answer = self.rpc.call_within(O::OPNUM as u16, stub, silence).await?;
        Ok(O::Response::decode(&answer).map_err(quarry_rpc::Error::from)?)
    }

    async fn checked<O: Operation>(&self, request: &O::Request) -> Result<O::Response> {
        let response = self.call::<O>(request).await?;
        match response.status() {
            status if status.is_success() => Ok(response),
            status => Err(Error::Status { operation: O::OPNUM, status, info: response.info() }),
        }
    }

    /// Begins a query on a channel or file, or on those that a structured query
    /// names.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn register_log_query(
        &self,
        path: Option<&str>,
        query: &str,
        flags: QueryFlags,
    ) -> Result<RegisteredQuery> {
        let request = RegisterLogQueryRequest {
            path: path.map(WideString::from),
            query: query.into(),
            flags,
        };
        let response = self.checked::<RegisterLogQuery>(&request).await?;
        let RegisterLogQueryResponse { handle, control, channels, .. } = response;
        Ok(RegisteredQuery { handle, control, channels })
    }

    /// Takes the next records of a query: at most `requested`, and after at most
    /// `timeout`, whole milliseconds.
    ///
    /// # Errors
    /// Any [`Error`]; see [`Error::is_batch_too_large`].
    pub async fn query_next(
        &self,
        query: LogQueryHandle,
        requested: u32,
        timeout: Duration,
    ) -> Result<Next> {
        let timeout = milliseconds(timeout);
        let request = QueryNextRequest { query, requested: cap(requested), timeout, flags: 0 };
        let response = self.call::<QueryNext>(&request).await?;
        next(Opnum::QueryNext, response.status, response.batch)
    }

    /// Moves a query's position.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn query_seek(
        &self,
        query: LogQueryHandle,
        position: i64,
        bookmark: Option<&str>,
        flags: SeekFlags,
    ) -> Result<()> {
        let bookmark = bookmark.map(WideString::from);
        let request = QuerySeekRequest { query, position, bookmark, timeout: 0, flags };
        self.checked::<QuerySeek>(&request).await.map(drop)
    }

    /// Subscribes; with [`SubscribeFlags::PULL`] for
    /// [`subscription_next`](Self::subscription_next).
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn register_subscription(
        &self,
        channel: Option<&str>,
        query: &str,
        bookmark: Option<&str>,
        flags: SubscribeFlags,
    ) -> Result<RegisteredSubscription> {
        let request = RegisterRemoteSubscriptionRequest {
            channel: channel.map(WideString::from),
            query: query.into(),
            bookmark: bookmark.map(WideString::from),
            flags,
        };
        let response = self.checked::<RegisterRemoteSubscription>(&request).await?;
        let RegisterRemoteSubscriptionResponse { handle, control, channels, .. } = response;
        Ok(RegisteredSubscription { handle, control, channels })
    }

    /// Takes the next records of a pull subscription; returns after `timeout`
    /// with or without some.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn subscription_next(
        &self,
        handle: SubscriptionHandle,
        requested: u32,
        timeout: Duration,
    ) -> Result<Next> {
        let timeout = milliseconds(timeout);
        let request =
            RemoteSubscriptionNextRequest { handle, requested: cap(requested), timeout, flags: 0 };
        let response = self.call::<RemoteSubscriptionNext>(&request).await?;
        next(Opnum::RemoteSubscriptionNext, response.status, response.batch)
    }

    /// Opens a log to ask for its properties.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn open_log(&self, channel: &str, flags: QueryFlags) -> Result<LogHandle> {
        let request = OpenLogHandleRequest { channel: channel.into(), flags };
        Ok(self.checked::<OpenLogHandle>(&request).await?.handle)
    }

    /// Asks for a property of a log.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn log_info(&self, log: LogHandle, property: LogProperty) -> Result<BinXmlVariant> {
        const BUFFER: u32 = crate::BINXML_VARIANT_LEN as u32;
        let request = GetLogFileInfoRequest { log, property: property as u32, buffer_size: BUFFER };
        let response = self.checked::<GetLogFileInfo>(&request).await?;
        BinXmlVariant::decode(&response.buffer).ok_or(Error::Nonsense {
            operation: Opnum::GetLogFileInfo,
            what: "the property is no BinXmlVariant",
        })
    }

    /// Lists the channels.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn channels(&self) -> Result<Vec<WideString>> {
        let request = GetChannelListRequest { flags: 0 };
        Ok(self.checked::<GetChannelList>(&request).await?.channels)
    }

    /// Asks for a channel's configuration, by
    /// [`ChannelProperty`](crate::ChannelProperty).
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn channel_config(&self, channel: &str) -> Result<VariantList> {
        let request = GetChannelConfigRequest { channel: channel.into(), flags: 0 };
        Ok(self.checked::<GetChannelConfig>(&request).await?.properties)
    }

    /// Lists the publishers.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn publishers(&self) -> Result<Vec<WideString>> {
        let request = GetPublisherListRequest { flags: 0 };
        Ok(self.checked::<GetPublisherList>(&request).await?.publishers)
    }

    /// Opens a publisher's metadata, to render its messages with.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn publisher_metadata(
        &self,
        publisher: Option<&str>,
        log_file: Option<&str>,
        locale: u32,
    ) -> Result<(PublisherMetadataHandle, VariantList)> {
        let request = GetPublisherMetadataRequest {
            publisher: publisher.map(WideString::from),
            log_file: log_file.map(WideString::from),
            locale,
            flags: 0,
        };
        let response = self.checked::<GetPublisherMetadata>(&request).await?;
        Ok((response.handle, response.properties))
    }

    /// Renders a message. One that needs more than the request has room for is asked for once
    /// more, with what the server says that it needs, where that is at most `most` bytes.
    ///
    /// # Errors
    /// Any [`Error`]; a text that is too long has the status
    /// [`INSUFFICIENT_BUFFER`](crate::Win32Error::INSUFFICIENT_BUFFER).
    pub async fn message_render(
        &self,
        request: &MessageRenderRequest,
        most: u32,
    ) -> Result<RenderedMessage> {
        let response = self.call::<MessageRender>(request).await?;
        let needed = response.message.needed_size;
        let is_longer = response.status == crate::Win32Error::INSUFFICIENT_BUFFER;
        if is_longer && needed > request.max_size && needed <= most {
            let request = MessageRenderRequest { max_size: needed, ..request.clone() };
            return Ok(self.checked::<MessageRender>(&request).await?.message);
        }
        match response.status {
            status if status.is_success() => Ok(response.message),
            status => {
                let (operation, info) = (Opnum::MessageRender, response.info);
                Err(Error::Status { operation, status, info })
            }
        }
    }

    /// Begins a listing of a publisher's events.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn event_metadata(
        &self,
        publisher: PublisherMetadataHandle,
    ) -> Result<EventMetadataEnumHandle> {
        let request = GetEventMetadataEnumRequest { publisher, flags: 0, filter: None };
        Ok(self.checked::<GetEventMetadataEnum>(&request).await?.handle)
    }

    /// Takes the next of a publisher's events, at most `requested`: each a list of
    /// [`EventMetadataProperty`](crate::EventMetadataProperty). None at the end.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn next_event_metadata(
        &self,
        handle: EventMetadataEnumHandle,
        requested: u32,
    ) -> Result<Vec<VariantList>> {
        let requested = requested.clamp(1, crate::limits::MAX_EVENT_METADATA_COUNT);
        let request = GetNextEventMetadataRequest { handle, flags: 0, requested };
        let response = self.call::<GetNextEventMetadata>(&request).await?;
        match response.status {
            status if status.is_success() => Ok(response.events),
            crate::Win32Error::NO_MORE_ITEMS => Ok(response.events),
            status => Err(Error::Status {
                operation: Opnum::GetNextEventMetadata,
                status,
                info: RpcInfo::default(),
            }),
        }
    }

    /// Closes a handle.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn close(&self, handle: ContextHandle) -> Result<()> {
        self.checked::<Close>(&CloseRequest { handle }).await.map(drop)
    }

    /// Cancels what a control handle stands for. The cancelled call returns with
    /// an error of its own.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn cancel(&self, control: OperationControlHandle) -> Result<()> {
        self.checked::<Cancel>(&CancelRequest { control }).await.map(drop)
    }
}

/// The gate hears what came of the credential, and nothing of a server that
/// failed otherwise. Success is told only of what was proven under the session's key.
pub(crate) fn settle<T>(presentation: &Presentation, name: &str, outcome: &Result<T>) {
    match outcome {
        Ok(_) => presentation.accepted(),
        Err(error) if error.is_refused_logon() => {
            let reason = error.to_string();
            presentation.refused(Refusal { server: name.to_owned(), reason });
        }
        Err(_) => {}
    }
}

fn next(operation: Opnum, status: crate::Win32Error, batch: EventBatch) -> Result<Next> {
    match status {
        crate::Win32Error::SUCCESS => Ok(Next::Events(batch)),
        crate::Win32Error::NO_MORE_ITEMS => Ok(Next::End),
        status if status.is_timeout() => Ok(Next::TimedOut(batch)),
        status => Err(Error::Status { operation, status, info: RpcInfo::default() }),
    }
}

/// Never "no limit", which is what all ones mean.
fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX).min(u32::MAX - 1)
}

fn cap(requested: u32) -> u32 {
    requested.clamp(1, crate::limits::MAX_RECORD_COUNT)
}
