//! What a fleet is made of.

use std::sync::Arc;

use quarry_cred::{Account, Credential, Gate};
use quarry_even::eventlog::ConnectPipeOptions;
use quarry_even::{Authentication, ConnectOptions};
use quarry_event::filter::{FilterError, Glob};
use quarry_eventlog::{BoxFuture, EventLog, LegacyServerLog, LogError, ReadOptions, ServerLog};
use quarry_rpc::tcp::Timeouts;

use crate::inventory;

/// Something that can be opened as an event log, perhaps several times: a lost connection is made
/// again.
pub trait Source: Send + Sync {
    /// What the user calls it.
    fn name(&self) -> &str;

    /// Its name in an event's identity.
    fn address(&self) -> &str;

    /// Who signs in there.
    fn account(&self) -> Option<&Account> {
        None
    }

    /// The port of its endpoint mapper, where there is one: an error there has another remedy
    /// than one at the event log's own port.
    fn mapper_port(&self) -> Option<u16> {
        None
    }

    /// The logs to read of it, where nobody asks for others.
    fn logs(&self) -> &[Glob] {
        &[]
    }

    /// Opens it.
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn EventLog>, LogError>>;
}

/// A server that speaks MS-EVEN6, or MS-EVEN over SMB.
#[derive(Clone, Debug)]
pub struct Server {
    name: String,
    address: String,
    connect: ConnectOptions,
    /// The port of SMB, where MS-EVEN is to be spoken.
    smb_port: Option<u16>,
    read: ReadOptions,
    logs: Vec<Glob>,
}

/// The log that is read of a server unless others are asked for.
pub const DEFAULT_LOG: &str = "System";

impl Server {
    /// A server called `name`; its address in events is `even6://` and that name.
    pub fn new(name: impl Into<String>, connect: ConnectOptions) -> Self {
        let name = name.into();
        let address = address("even6", &name);
        let logs = Glob::parse(DEFAULT_LOG).into_iter().collect();
        Server { name, address, connect, smb_port: None, read: ReadOptions::default(), logs }
    }

    /// The same server, spoken to in MS-EVEN over SMB; its address in events is `even://` and
    /// its name. Of how one connects, the host, the credential, the gate and the times are used.
    pub fn over_smb(mut self, port: u16) -> Self {
        self.address = address("even", &self.name);
        self.smb_port = Some(port);
        self
    }

    /// A server of an inventory. The gate is the one of its credential, for all servers.
    ///
    /// # Errors
    /// [`FilterError`]: one of its logs is no glob.
    pub fn of_inventory(
        entry: &inventory::Server,
        credential: Credential,
        gate: Gate,
        timeouts: Timeouts,
    ) -> Result<Self, FilterError> {
        let connect = ConnectOptions {
            name: entry.name.clone(),
            mapper_port: entry.mapper_port,
            port: entry.endpoint,
            authentication: match entry.authentication {
                inventory::Authentication::Negotiate => Authentication::Negotiate,
                inventory::Authentication::Ntlm => Authentication::Ntlm,
            },
            gate: Some(gate),
            timeouts,
            ..ConnectOptions::new(&entry.address, credential)
        };
        let mut server = Server::new(&entry.name, connect);
        if !entry.logs.is_empty() {
            server.logs =
                entry.logs.iter().map(|log| Glob::parse(log)).collect::<Result<_, _>>()?;
        }
        if let Some(port) = entry.smb_port {
            server = server.over_smb(port);
        }
        // A heartbeat that is later than the silence allowed would be none.
        server.read.heartbeat = server.read.heartbeat.min(timeouts.silence / 3);
        server.read.idle_heartbeat = timeouts.silence * 2 / 3;
        Ok(server)
    }

    /// Reads in another way than the default.
    pub fn read_with(mut self, read: ReadOptions) -> Self {
        self.read = read;
        self
    }

    /// The port of SMB, where MS-EVEN is spoken.
    pub fn smb_port(&self) -> Option<u16> {
        self.smb_port
    }

    /// How one connects to it.
    pub fn connect_options(&self) -> &ConnectOptions {
        &self.connect
    }
}

impl Source for Server {
    fn name(&self) -> &str {
        &self.name
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn account(&self) -> Option<&Account> {
        Some(self.connect.credential.account())
    }

    fn mapper_port(&self) -> Option<u16> {
        let asks = self.connect.port.is_none() && self.smb_port.is_none();
        asks.then_some(self.connect.mapper_port)
    }

    fn logs(&self) -> &[Glob] {
        &self.logs
    }

    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn EventLog>, LogError>> {
        Box::pin(async {
            if let Some(port) = self.smb_port {
                let ConnectOptions { host, credential, gate, timeouts, .. } = &self.connect;
                let connect = ConnectPipeOptions {
                    port,
                    gate: gate.clone(),
                    timeouts: *timeouts,
                    ..ConnectPipeOptions::new(host, credential.clone())
                };
                let log = LegacyServerLog::connect(self.address.clone(), &connect, self.read);
                return Ok(Arc::new(log.await?) as Arc<dyn EventLog>);
            }
            let log = ServerLog::connect(self.address.clone(), &self.connect, self.read).await?;
            Ok(Arc::new(log) as Arc<dyn EventLog>)
        })
    }
}

/// A server's name in an event's identity.
fn address(scheme: &str, name: &str) -> String {
    match name.contains(':') {
        true => format!("{scheme}://[{name}]"),
        false => format!("{scheme}://{name}"),
    }
}
