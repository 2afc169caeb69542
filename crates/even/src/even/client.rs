//! The client's stubs: a connection to the pipe, and a method for each operation
//! that reads.

use quarry_cred::Gate;
use quarry_rpc::ClientConfig;
use quarry_rpc::ndr::WideString;
use quarry_rpc::pdu::NakReason;
use quarry_rpc::smb::{Dialect, NtStatus, PipeConfig, PipeStream, SMB_PORT, SessionFacts};
use quarry_rpc::tcp::{Client, Presentation, Target, Timeouts, connect_stream};
use tokio::net::TcpStream;

use super::limits::MAX_BATCH_BUFFER;
use super::messages::*;
use super::{INTERFACE, PIPE};
use crate::client::settle;
use crate::error::{Error, Result};
use crate::logon::{Authentication, Chosen, LogOn, service_host};
use crate::wire::Message;

/// The service of Kerberos' tickets for SMB.
const SERVICE: &str = "cifs";

/// Where a server is and how to sign in there.
#[derive(Clone, Debug)]
pub struct ConnectPipeOptions {
    /// What the user calls it: the others are told so when it refuses the credential. Kerberos'
    /// ticket is for this name where the host is an address.
    pub name: String,
    /// Its name or address.
    pub host: String,
    /// The port of SMB.
    pub port: u16,
    /// Who signs in, and by what.
    pub logon: LogOn,
    /// How. SMB negotiates always; a logon that excludes what is asked for is an error.
    pub authentication: Authentication,
    /// What keeps a wrong password from being tried on every server.
    pub gate: Option<Gate>,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// The pipe, and what of SMB is offered.
    pub pipe: PipeConfig,
}

impl ConnectPipeOptions {
    /// The defaults for a host.
    pub fn new(host: impl Into<String>, logon: impl Into<LogOn>) -> Self {
        let host = host.into();
        Self {
            pipe: PipeConfig::new(&host, PIPE),
            name: host.clone(),
            host,
            port: SMB_PORT,
            logon: logon.into(),
            authentication: Authentication::default(),
            gate: None,
            timeouts: Timeouts::default(),
        }
    }

    /// Gets what has to be had before the server is connected to, which may take a while: Kerberos'
    /// ticket. What goes wrong is told by [`EvenClient::connect`], which does the same.
    pub async fn prepare(&self) {
        self.logon.prepare(SERVICE, service_host(&self.host, &self.name)).await;
    }
}

/// A connection to an MS-EVEN server. Clones are the same connection.
#[derive(Clone, Debug)]
pub struct EvenClient {
    rpc: Client,
    facts: SessionFacts,
    sealed: bool,
}

/// What a read came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// Whole records, one after the other; none at the end on some servers.
    Records(Vec<u8>),
    /// The next record needs a larger buffer. On some servers there are records
    /// all the same, and the position has moved past them.
    TooSmall {
        /// Whole records.
        records: Vec<u8>,
        /// The bytes that the next one needs.
        needed: u32,
    },
    /// There are no records in this direction.
    End,
}

/// What is known of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Information {
    /// Whether it is full.
    pub full: bool,
}

impl EvenClient {
    /// Connects, signs in to SMB, opens the pipe and binds.
    ///
    /// The calls are sealed by RPC as well, with a second handshake of the same
    /// credential. Where a server has none of that, they travel by what SMB
    /// encrypts; one that can do neither is refused.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn connect(options: &ConnectPipeOptions) -> Result<Self> {
        let stream = Self::stream(options).await?;
        // Only now: a server that cannot be reached holds up nobody.
        let host = service_host(&options.host, &options.name);
        let chosen = options.logon.choose(SERVICE, host).await?;
        match Self::connect_as(stream, options, &chosen).await {
            Err(error) if chosen.may_do_better(&error).await => {
                let stream = Self::stream(options).await?;
                let chosen = options.logon.choose(SERVICE, host).await?;
                Self::connect_as(stream, options, &chosen).await
            }
            outcome => outcome,
        }
    }

    async fn connect_as(
        stream: TcpStream,
        options: &ConnectPipeOptions,
        chosen: &Chosen<'_>,
    ) -> Result<Self> {
        let outcome = Self::sign_in(stream, options, chosen).await;
        outcome.map_err(|error| chosen.explain(error))
    }

    async fn stream(options: &ConnectPipeOptions) -> Result<TcpStream> {
        let target = Target::new(&options.host, options.port);
        let stream = connect_stream(&target, options.timeouts.connect).await;
        Ok(stream.map_err(quarry_rpc::Error::from)?)
    }

    async fn sign_in(
        stream: TcpStream,
        options: &ConnectPipeOptions,
        chosen: &Chosen<'_>,
    ) -> Result<Self> {
        match Self::bind(stream, options, chosen, true).await {
            // It knows no security of RPC's own.
            Err((Error::Rpc(quarry_rpc::Error::BindRefused(reason)), Some(facts)))
                if facts.cipher.is_some()
                    && matches!(
                        reason,
                        NakReason::AuthenticationType | NakReason::NotSpecified
                    ) =>
            {
                let stream = Self::stream(options).await?;
                Self::bind(stream, options, chosen, false).await
            }
            outcome => outcome,
        }
        .map_err(|(error, _)| error)
    }

    async fn bind(
        stream: TcpStream,
        options: &ConnectPipeOptions,
        chosen: &Chosen<'_>,
        sealed: bool,
    ) -> Result<Self, (Error, Option<SessionFacts>)> {
        let pipe = Self::open_pipe(stream, options, chosen).await.map_err(|error| (error, None))?;
        let facts = pipe.facts();
        let rpc = Self::bind_pipe(pipe, options, chosen, sealed).await;
        let rpc = rpc.map_err(|error| (error, Some(facts)))?;
        Ok(Self { rpc, facts, sealed })
    }

    /// The session of SMB. It is signed, which proves that the server knows its key.
    async fn open_pipe(
        stream: TcpStream,
        options: &ConnectPipeOptions,
        chosen: &Chosen<'_>,
    ) -> Result<PipeStream<TcpStream>> {
        let initiator = chosen.for_smb(options.authentication)?;
        let (pipe, silence) = (options.pipe.clone(), options.timeouts.silence);
        let presentation = Presentation::new();
        let enter = async || Ok::<_, Error>(presentation.enter(gate(options, chosen)).await?);
        let opening = PipeStream::open_when(stream, pipe, initiator, silence, enter);
        let outcome = presentation.during(opening).await;
        settle(&presentation, &options.name, &outcome);
        outcome
    }

    /// RPC's own security in the pipe, by a second handshake, whose end proves the same.
    async fn bind_pipe(
        pipe: PipeStream<TcpStream>,
        options: &ConnectPipeOptions,
        chosen: &Chosen<'_>,
        sealed: bool,
    ) -> Result<Client> {
        let (config, silence) = (ClientConfig::new(INTERFACE), options.timeouts.silence);
        if !sealed {
            return Ok(Client::bind(pipe, config, None, silence).await?);
        }
        let security = Some(chosen.for_rpc(Authentication::Negotiate)?);
        let presentation = Presentation::new();
        let enter = async || Ok::<_, Error>(presentation.enter(gate(options, chosen)).await?);
        let binding = Client::bind_when(pipe, config, security, silence, enter);
        let outcome = presentation.during(binding).await;
        settle(&presentation, &options.name, &outcome);
        outcome
    }

    /// Calls over an RPC connection that is bound to [`INTERFACE`]; what is below it is told.
    pub fn from_rpc(rpc: Client, facts: SessionFacts, sealed: bool) -> Self {
        Self { rpc, facts, sealed }
    }

    /// The RPC connection.
    pub fn rpc(&self) -> &Client {
        &self.rpc
    }

    /// What the two sides agreed on below the pipe.
    pub fn facts(&self) -> SessionFacts {
        self.facts
    }

    /// The dialect of SMB.
    pub fn dialect(&self) -> Dialect {
        self.facts.dialect
    }

    /// Whether RPC seals the calls, whatever SMB does.
    pub fn is_sealed(&self) -> bool {
        self.sealed
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

    async fn checked<O: Operation>(&self, request: &O::Request) -> Result<O::Response> {
        let response = self.call::<O>(request).await?;
        match response.status() {
            status if status.is_success() => Ok(response),
            status => Err(Error::NtStatus { operation: O::OPNUM, status }),
        }
    }

    /// Opens a log. A name that the server doesn't know opens Application on
    /// Windows, and is an error on Samba.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn open(&self, log: &str) -> Result<LogHandle> {
        let request = OpenELWRequest {
            server: ServerName(None),
            module: WideString::from(log),
            reg_module: WideString::default(),
            major: 1,
            minor: 1,
        };
        Ok(self.checked::<OpenELW>(&request).await?.log)
    }

    /// Opens a file of the server that a log was saved to.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn open_backup(&self, file: &str) -> Result<LogHandle> {
        let request = OpenBELWRequest {
            server: ServerName(None),
            backup: WideString::from(file),
            major: 1,
            minor: 1,
        };
        Ok(self.checked::<OpenBELW>(&request).await?.log)
    }

    /// How many records a log has.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn records(&self, log: LogHandle) -> Result<u32> {
        Ok(self.checked::<NumberOfRecords>(&NumberOfRecordsRequest { log }).await?.records)
    }

    /// The number of a log's oldest record; of an empty log it means nothing.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn oldest(&self, log: LogHandle) -> Result<u32> {
        Ok(self.checked::<OldestRecord>(&OldestRecordRequest { log }).await?.oldest)
    }

    /// Reads records into a buffer of `wanted` bytes, at most
    /// [`MAX_BATCH_BUFFER`].
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn read(
        &self,
        log: LogHandle,
        flags: ReadFlags,
        offset: u32,
        wanted: u32,
    ) -> Result<Read> {
        let wanted = UpTo(wanted.min(MAX_BATCH_BUFFER));
        let request = ReadELWRequest { log, flags, offset, wanted };
        let response = self.call::<ReadELW>(&request).await?;
        let mut records = response.buffer.0;
        match response.status {
            NtStatus::SUCCESS | NtStatus::BUFFER_TOO_SMALL => {}
            NtStatus::END_OF_FILE => return Ok(Read::End),
            status => return Err(Error::NtStatus { operation: ReadELW::OPNUM, status }),
        }
        if response.read as usize > records.len() {
            let what = "more bytes read than there are";
            return Err(Error::EvenNonsense { operation: ReadELW::OPNUM, what });
        }
        records.truncate(response.read as usize);
        Ok(match response.status {
            NtStatus::SUCCESS => Read::Records(records),
            _ => Read::TooSmall { records, needed: response.needed },
        })
    }

    /// Asks whether a log is full.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn information(&self, log: LogHandle) -> Result<Information> {
        /// `EVENTLOG_FULL_INFORMATION`: one long.
        const LEN: u32 = 4;
        let request = GetLogInformationRequest { log, level: 0, wanted: UpTo(LEN) };
        let response = self.checked::<GetLogInformation>(&request).await?;
        match response.buffer.0.first_chunk() {
            Some(full) => Ok(Information { full: u32::from_le_bytes(*full) != 0 }),
            None => Err(Error::EvenNonsense {
                operation: GetLogInformation::OPNUM,
                what: "information shorter than its form",
            }),
        }
    }

    /// Closes a log.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn close(&self, log: LogHandle) -> Result<()> {
        self.checked::<CloseEL>(&CloseELRequest { log }).await.map(drop)
    }
}

/// The gate for what is presented. A ticket was let through by who knows the password.
fn gate<'o>(options: &'o ConnectPipeOptions, chosen: &Chosen<'_>) -> Option<&'o Gate> {
    options.gate.as_ref().filter(|_| chosen.is_guess())
}
