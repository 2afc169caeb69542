//! Starting simulated servers, and what can be done with them while they run.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use quarry_binxml::Decoder;
use quarry_cred::Credential;
use quarry_even::{INTERFACE, Win32Error};
use quarry_event::{Event, Field, FieldSource};
use quarry_rpc::pdu::AuthType;
use quarry_rpc::security::Accounts;
use quarry_rpc::tcp::{EndpointMap, serve_connection};
use quarry_rpc::{
    AcceptorFactory, Associations, ENDPOINT_MAPPER, FaultStatus, ServedInterface, ServerConfig,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

use crate::accounts::{Counted, Nobody, OneAccount, acceptors};
use crate::channels::empty_channels;
use crate::fault::Faults;
use crate::files;
use crate::generate::{CHANNELS, Catalog, mix, utf16};
use crate::journal::{Journal, QueryEntry};
use crate::log::{Generator, Log};
use crate::net::{self, BlackHole, Endpoint, Line};
use crate::options::{MAX_SERVERS, ServerOptions, SimError, SimOptions};
use crate::pending;
use crate::plan::Testers;
use crate::server::{Server, Stats, World, now};

/// Simulated servers, which run until this is dropped.
pub struct Sim {
    servers: Vec<SimServer>,
    world: Arc<World>,
    credential: Arc<Credential>,
    address: Ipv4Addr,
    _tasks: JoinSet<()>,
    _kept: Kept,
}

/// One of the servers.
pub struct SimServer {
    inner: Arc<Server>,
    events: Arc<Endpoint>,
    acceptors: AcceptorFactory,
    address: Ipv4Addr,
    mapper_port: u16,
    event_port: u16,
    smb_port: Option<u16>,
}

/// How a connection is served that doesn't come over TCP: see [`SimServer::serve_stream`].
#[derive(Clone)]
pub struct StreamOptions {
    /// Whether calls must come sealed from somebody who signed in.
    pub privacy: bool,
    /// The largest fragment, in bytes.
    pub max_fragment: u16,
    /// Is given each answer, and gives what is sent instead.
    pub alter: Option<AlterAnswer>,
}

/// Changes an answer before it is sealed and sent: from the operation's number and the answer's
/// parameters to others.
pub type AlterAnswer = Arc<dyn Fn(u16, Vec<u8>) -> Vec<u8> + Send + Sync>;

/// Ports that are not served, and must be nobody else's.
#[derive(Default)]
struct Kept {
    _closed: Vec<TcpSocket>,
    _black_holes: Vec<BlackHole>,
}

impl Sim {
    /// Starts the servers; they answer when this returns.
    ///
    /// # Errors
    /// [`SimError`].
    ///
    /// # Panics
    /// Outside of a tokio runtime with its I/O and its timers.
    pub async fn start(options: SimOptions) -> Result<Self, SimError> {
        let count = options.servers.len();
        if !(1..=MAX_SERVERS).contains(&count) {
            return Err(SimError::Servers(count));
        }
        let world = Arc::new(world(&options));
        let catalog = Arc::new(Catalog::new(options.seed, options.event_size)?);
        let accounts: Arc<dyn Accounts> = Arc::new(OneAccount::new(&options.credential));
        let mut starting = Starting {
            options: &options,
            accounts,
            tasks: JoinSet::new(),
            closed: Vec::new(),
            black_holes: JoinSet::new(),
        };
        let mut servers: Vec<SimServer> = Vec::with_capacity(count);
        let mut names = std::collections::HashSet::new();
        for one in &options.servers {
            if !names.insert(one.name.to_lowercase()) {
                return Err(SimError::SameName(one.name.clone()));
            }
            let server = server(one, &options, &world, &catalog);
            let listening = starting.server(Arc::new(server));
            let error = |error| SimError::Listen { server: one.name.clone(), error };
            servers.push(listening.map_err(error)?);
        }
        let Starting { tasks, closed, mut black_holes, .. } = starting;
        let mut filled = Vec::new();
        while let Some(black_hole) = black_holes.join_next().await {
            let black_hole = black_hole.map_err(io::Error::other).flatten();
            let error = |error| SimError::Listen { server: "a black hole".to_owned(), error };
            filled.push(black_hole.map_err(error)?);
        }
        Ok(Self {
            servers,
            world,
            credential: options.credential,
            address: options.address,
            _tasks: tasks,
            _kept: Kept { _closed: closed, _black_holes: filled },
        })
    }

    /// The servers, in the order in which they were asked for.
    pub fn servers(&self) -> &[SimServer] {
        &self.servers
    }

    /// The server of a name.
    pub fn server(&self, name: &str) -> Option<&SimServer> {
        self.servers.iter().find(|server| server.name().eq_ignore_ascii_case(name))
    }

    /// What lets one in.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// The queries and subscriptions that clients registered or tried to, in order; the last
    /// [`MAX_QUERIES`](crate::MAX_QUERIES) of them.
    pub fn queries(&self) -> Vec<QueryEntry> {
        self.world.journal.entries()
    }

    /// An inventory of the servers (TOML). `password_file` is where the reader is to find the
    /// password: a path, or a name in the inventory's own folder.
    pub fn inventory(&self, password_file: &str) -> String {
        let mut text = String::from("credential = \"sim\"\n\n[credentials.sim]\n");
        let account = self.credential.account().to_string();
        let _ = writeln!(text, "username = {}", toml_string(&account));
        let _ = writeln!(text, "password-file = {}", toml_string(password_file));
        for server in &self.servers {
            let _ = writeln!(text, "\n[servers.{}]", toml_key(server.name()));
            let _ = writeln!(text, "address = \"{}\"", self.address);
            match server.smb_port {
                Some(port) => {
                    let _ = writeln!(text, "protocol = \"even\"\nsmb-port = {port}");
                }
                None => {
                    let _ = writeln!(text, "mapper-port = {}", server.mapper_port);
                }
            }
        }
        text
    }
}

impl SimServer {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// What its events say that it is called.
    pub fn computer(&self) -> &str {
        &self.inner.computer
    }

    /// Where it listens.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Its endpoint mapper's port.
    pub fn mapper_port(&self) -> u16 {
        self.mapper_port
    }

    /// The event log's port, which the mapper names.
    pub fn event_port(&self) -> u16 {
        self.event_port
    }

    /// The port of SMB, where the server has its event log over SMB only: see
    /// [`Fault::Pending`](crate::Fault::Pending).
    pub fn smb_port(&self) -> Option<u16> {
        self.smb_port
    }

    /// What it has done so far.
    pub fn stats(&self) -> Stats {
        self.inner.counts.stats()
    }

    /// The records that a log has now, as the server itself knows them: their numbers and what
    /// they say, the oldest first. For what is expected of a client.
    ///
    /// # Errors
    /// [`SimError::NoChannel`].
    pub fn records(&self, log: &str) -> Result<Vec<(u64, Event)>, SimError> {
        let log = self.log(log)?;
        let state = log.read();
        let mut decoder = Decoder::new();
        let (mut records, mut binxml, mut next) = (Vec::new(), Vec::new(), 0);
        while let Some(number) = state.after(next) {
            binxml.clear();
            state.binxml(number, &mut binxml);
            // What can't be decoded was never written.
            let event = decoder.event(&binxml).map_err(|_| SimError::Event)?;
            records.push((number, Event::from_source(&event)));
            next = number + 1;
        }
        Ok(records)
    }

    /// Appends an event to a log; the record's number. The event's own time is taken for the time
    /// when it was written, where it has one.
    ///
    /// # Errors
    /// [`SimError::NoChannel`], [`SimError::Event`].
    pub fn append(&self, log: &str, event: &Event) -> Result<u64, SimError> {
        let log = self.log(log)?;
        let mut binxml = Vec::new();
        files::encode(event, &mut binxml).ok_or(SimError::Event)?;
        let time = event.field(Field::TimeCreated).as_time().unwrap_or_else(now);
        let number = log.write().append(time, binxml.into());
        self.inner.appended.notify_waiters();
        Ok(number)
    }

    /// Appends generated events of now to a log, one of System, Security and Application.
    ///
    /// # Errors
    /// [`SimError::NoChannel`].
    pub fn append_generated(&self, log: &str, count: u64) -> Result<(), SimError> {
        let log = self.log(log)?;
        match self.inner.append_generated(&log, count) {
            appended if appended == count => Ok(()),
            _ => Err(SimError::NoChannel(log.name.clone())),
        }
    }

    /// Clears a log. Record numbers go on.
    ///
    /// # Errors
    /// [`SimError::NoChannel`].
    pub fn clear(&self, log: &str) -> Result<(), SimError> {
        self.log(log)?.write().clear();
        self.inner.appended.notify_waiters();
        Ok(())
    }

    /// Deletes a log and makes it anew. Record numbers begin at 1.
    ///
    /// # Errors
    /// [`SimError::NoChannel`].
    pub fn recreate(&self, log: &str) -> Result<(), SimError> {
        self.log(log)?.write().recreate();
        self.inner.appended.notify_waiters();
        Ok(())
    }

    /// Drops a log's oldest records, up to below a number, as a log that wraps does.
    ///
    /// # Errors
    /// [`SimError::NoChannel`].
    pub fn wrap(&self, log: &str, oldest: u64) -> Result<(), SimError> {
        self.log(log)?.write().drop_below(oldest);
        self.inner.appended.notify_waiters();
        Ok(())
    }

    /// Answers seeks with an error, from now on, whatever they ask for; with 0 they are done again.
    pub fn fail_seeks(&self, status: u32) {
        self.inner.failing_seeks.store(status, Relaxed);
    }

    /// Goes down, as a machine does that is switched off: its connections end, and no new ones
    /// come about until [`start`](Self::start). What happens to its logs meanwhile still happens.
    pub fn stop(&self) {
        self.turn(1);
    }

    /// Comes up again, on the same ports.
    pub fn start(&self) {
        self.turn(0);
    }

    /// Turns to a number that is odd, or that is even.
    fn turn(&self, odd: u64) {
        self.inner.turns.send_if_modified(|turns| {
            let is_due = *turns % 2 != odd;
            *turns += u64::from(is_due);
            is_due
        });
    }

    /// Serves the event log over a stream that a client holds the other end of, until it ends. For
    /// tests of clients: without sockets, and with answers that no server gives.
    pub async fn serve_stream<S>(&self, stream: S, options: StreamOptions)
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let served = ServedInterface { syntax: INTERFACE, privacy: options.privacy };
        let acceptors = Arc::clone(&self.acceptors);
        let mut config = ServerConfig::new(vec![served], self.event_port, acceptors);
        config.max_fragment = options.max_fragment;
        let service = net::Altered { inner: Arc::clone(&self.events), alter: options.alter };
        let associations = Associations::default();
        // What a client did wrong shows in what the client says.
        let _ = serve_connection(stream, config, associations, Arc::new(service)).await;
    }

    /// Serves SMB over a stream, as far as a server with [`Fault::Pending`](crate::Fault::Pending) does, until it ends.
    pub async fn serve_smb_stream<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let _ = pending::put_off(stream, (self.acceptors)(AuthType::NEGOTIATE)).await;
    }

    fn log(&self, log: &str) -> Result<Arc<Log>, SimError> {
        self.inner.log(log).map_err(|_: Win32Error| SimError::NoChannel(log.to_owned()))
    }
}

/// Servers on their way up.
struct Starting<'o> {
    options: &'o SimOptions,
    accounts: Arc<dyn Accounts>,
    tasks: JoinSet<()>,
    closed: Vec<TcpSocket>,
    black_holes: JoinSet<io::Result<BlackHole>>,
}

impl Starting<'_> {
    fn server(&mut self, server: Arc<Server>) -> io::Result<SimServer> {
        let address = self.options.address;
        let faults = &server.faults;
        let any_port = SocketAddr::from((address, 0));
        let events = Arc::new(Endpoint::new(Arc::clone(&server)));
        let acceptors = self.config(&server, INTERFACE, true, 0).acceptors;
        let smb_port = match faults.pending {
            true => Some(self.pending(any_port, &server)?),
            false => None,
        };
        let event_port = if faults.black_hole || faults.port_dropped {
            self.black_hole(any_port)?
        } else if faults.port_closed || faults.pending {
            self.closed(any_port)?
        } else {
            let listener = net::listen(any_port)?;
            let port = listener.local_addr()?.port();
            let config = self.config(&server, INTERFACE, true, port);
            let line = Line { latency: self.options.latency, drip: faults.drip };
            self.serve(listener, config, Arc::clone(&events), &server, line);
            port
        };
        let mapper_port = if faults.black_hole {
            self.black_hole(any_port)?
        } else if faults.no_mapper || faults.pending {
            self.closed(any_port)?
        } else {
            let listener = net::listen(any_port)?;
            let port = listener.local_addr()?.port();
            let config = self.config(&server, ENDPOINT_MAPPER, false, port);
            let entries = vec![(INTERFACE, event_port)];
            let map = Arc::new(EndpointMap { entries, address: Some(address) });
            let line = Line { latency: self.options.latency, drip: None };
            self.serve(listener, config, map, &server, line);
            port
        };
        Ok(SimServer {
            inner: server,
            events,
            acceptors,
            address,
            mapper_port,
            event_port,
            smb_port,
        })
    }

    fn closed(&mut self, address: SocketAddr) -> io::Result<u16> {
        let socket = net::closed(address)?;
        let port = socket.local_addr()?.port();
        self.closed.push(socket);
        Ok(port)
    }

    fn black_hole(&mut self, address: SocketAddr) -> io::Result<u16> {
        let listener = BlackHole::listen(address)?;
        let port = listener.local_addr()?.port();
        self.black_holes.spawn(BlackHole::fill(listener));
        Ok(port)
    }

    fn serve<V: quarry_rpc::tcp::Service>(
        &mut self,
        listener: TcpListener,
        config: ServerConfig,
        service: Arc<V>,
        server: &Arc<Server>,
        line: Line,
    ) {
        self.tasks.spawn(net::serve(listener, config, service, Arc::clone(server), line));
    }

    /// A port of SMB whose logons are put off.
    fn pending(&mut self, address: SocketAddr, server: &Arc<Server>) -> io::Result<u16> {
        let listener = net::listen(address)?;
        let port = listener.local_addr()?.port();
        let acceptors = self.config(server, INTERFACE, true, 0).acceptors;
        self.tasks.spawn(pending::serve(listener, acceptors, Arc::clone(server)));
        Ok(port)
    }

    fn config(
        &self,
        server: &Arc<Server>,
        syntax: quarry_rpc::SyntaxId,
        privacy: bool,
        port: u16,
    ) -> ServerConfig {
        let accounts: Arc<dyn Accounts> = match server.faults.refuse_logon {
            true => Arc::new(Nobody),
            false => Arc::clone(&self.accounts),
        };
        let accounts = Arc::new(Counted { accounts, server: Arc::clone(server) });
        let acceptors = acceptors(&server.name, self.options.build, accounts);
        let mut config =
            ServerConfig::new(vec![ServedInterface { syntax, privacy }], port, acceptors);
        if server.faults.busy {
            config.refusal = FaultStatus::SERVER_TOO_BUSY;
        }
        config
    }
}

fn world(options: &SimOptions) -> World {
    /// Of 8,192 that a list can have, some are for logs with events.
    const MAX_EMPTY: usize = 8000;
    let mut channels: Vec<String> = match &options.files {
        Some(files) => files.logs.keys().take(100).cloned().collect(),
        None => CHANNELS.map(str::to_owned).into(),
    };
    let standard = CHANNELS.map(str::to_owned).into_iter();
    let empty = empty_channels(options.empty_channels.min(MAX_EMPTY));
    for name in standard.chain(empty) {
        if !channels.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            channels.push(name);
        }
    }
    let index = |(n, name): (usize, &String)| (name.to_lowercase(), n);
    let channel_index: HashMap<_, _> = channels.iter().enumerate().map(index).collect();
    World {
        channels,
        channel_index,
        log_size: options.log_size,
        files: options.files.clone(),
        testers: Testers::default(),
        journal: Journal::new(options.on_query.clone()),
    }
}

fn server(
    one: &ServerOptions,
    options: &SimOptions,
    world: &Arc<World>,
    catalog: &Arc<Catalog>,
) -> Server {
    const MAX_EVENTS: u64 = 1 << 40;
    let computer = one.computer.clone().unwrap_or_else(|| format!("{}.sim.test", one.name));
    let faults = Faults::new(&one.faults);
    let units = options.every.as_nanos() / 100;
    let generator = Generator {
        catalog: Arc::clone(catalog),
        server: one.name.bytes().fold(0, |sum, byte| mix(sum, byte.into())),
        computer: utf16(&computer).into(),
        newest: options.newest,
        every: u64::try_from(units).unwrap_or(u64::MAX),
        first: options.first_record.clamp(1, MAX_EVENTS),
        count: one.events.unwrap_or(options.events).min(MAX_EVENTS),
        forwarded: faults.forwarded,
    };
    Server::new(one.name.clone(), computer, Arc::clone(world), faults, generator)
}

fn toml_key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { basic(name) }
}

fn toml_string(text: &str) -> String {
    if text.contains('\'') || text.chars().any(char::is_control) {
        return basic(text);
    }
    format!("'{text}'")
}

/// A basic string, with its escapes.
fn basic(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
