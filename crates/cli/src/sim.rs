//! `quarry sim`: simulated servers, until it is interrupted.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, mpsc};

use quarry_cred::Secret;
use quarry_event::filter::Glob;
use quarry_program::demo::grow;
use quarry_program::files::write_private;
use quarry_program::network;
use quarry_sim::{Fault, FileLogs, ServerOptions, Sim, SimOptions};

use crate::args::{SimArgs, When};
use crate::console::Console;
use crate::error::Failure;

/// The shortest time in which logs grow.
const LEAST_GROWTH: std::time::Duration = std::time::Duration::from_millis(10);
/// The account of every server.
const ACCOUNT: &str = r"SIM\quarry";
/// What an inventory begins with that may be overwritten.
const MARK: &str = "# Made by quarry sim: servers that are gone when it ends.\n";

pub(crate) fn run(args: &SimArgs) -> Result<ExitCode, Failure> {
    let (interrupt, interrupted) = mpsc::channel();
    ctrlc::set_handler(move || {
        // Nobody waits any more: it is ending already.
        let _ = interrupt.send(());
    })
    .map_err(|e| Failure::new(format!("cannot catch Ctrl-C: {e}")))?;
    let password = password()?;
    let options = options(args, &password)?;
    let inventory = args.inventory.as_deref().map(Inventory::new).transpose()?;
    // Two that listen and some connections each; a black hole has four. Without them, listening says what
    // is missing.
    network::allow_files((options.servers.len() as u64).saturating_mul(8).saturating_add(256));
    let runtime = network::runtime(None).map_err(|e| Failure::io("cannot start", &e))?;
    let sim = runtime.block_on(Sim::start(options)).map_err(|e| {
        let failure = Failure::new(e.to_string());
        match e {
            quarry_sim::SimError::Listen { .. } => {
                failure.hint("each server takes two ports and file descriptors; see ulimit -n")
            }
            _ => failure,
        }
    })?;
    if let Some(inventory) = &inventory {
        inventory.write(&sim, &password)?;
    }
    say_ready(&sim, &password, inventory.as_ref())
        .map_err(|e| Failure::io("standard output", &e))?;
    // An error would mean that the handler is gone.
    match args.grow {
        None => drop(interrupted.recv()),
        Some(every) => {
            let every = every.max(LEAST_GROWTH);
            while interrupted.recv_timeout(every) == Err(mpsc::RecvTimeoutError::Timeout) {
                grow(&sim);
            }
        }
    }
    // Not waiting for calls that never end.
    drop(sim);
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

fn options(args: &SimArgs, password: &Secret) -> Result<SimOptions, Failure> {
    let mut servers = servers(&args.servers)?;
    for order in &args.fault {
        let wrong = |what: String| Failure::new(format!("--fault {order}: {what}"));
        let (name, kind) = order
            .split_once('=')
            .ok_or_else(|| wrong("expected NAME=KIND, such as fred=silent:500".to_owned()))?;
        let fault: Fault = kind.parse().map_err(|e: quarry_sim::FaultError| {
            let kinds = Fault::KINDS.map(|(kind, _)| kind).join(", ");
            wrong(e.to_string()).hint(format!("the kinds are {kinds}"))
        })?;
        let glob = Glob::parse(name).map_err(|e| wrong(e.to_string()))?;
        let mut hits = servers.iter_mut().filter(|server| glob.is_match(&server.name)).peekable();
        if hits.peek().is_none() {
            return Err(wrong(format!("no server is called {name}")));
        }
        hits.for_each(|server| server.faults.push(fault.clone()));
    }
    let account = ACCOUNT.parse().map_err(|_| Failure::new("the account's name is wrong"))?;
    let mut options = SimOptions::new(servers, account, copy(password)?);
    options.latency = args.latency;
    options.events = args.events;
    options.every = args.every;
    options.first_record = args.first_record;
    options.event_size = args.size;
    options.seed = args.seed;
    options.log_size = args.log_size.unwrap_or(options.log_size);
    options.empty_channels = args.channels;
    options.files = files(&args.evtx)?;
    if !args.quiet {
        options.on_query = Some(Arc::new(|query| {
            // Who doesn't read it doesn't want it.
            let _ = writeln!(io::stderr(), "{query}");
        }));
    }
    Ok(options)
}

/// `fred,barney`, or as many as a number says.
fn servers(text: &str) -> Result<Vec<ServerOptions>, Failure> {
    if let Ok(count) = text.trim().parse::<usize>() {
        let width = count.to_string().len().max(2);
        // More than there can be is refused where the limit is known.
        let count = count.min(quarry_sim::MAX_SERVERS + 1);
        return Ok((1..=count).map(|n| ServerOptions::new(format!("server{n:0width$}"))).collect());
    }
    let server = |name: &str| {
        let name = name.trim();
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        match !name.is_empty() && name.chars().all(allowed) {
            true => Ok(ServerOptions::new(name)),
            false => Err(Failure::new(format!("--servers: {name:?} is no name of a server"))),
        }
    };
    text.split(',').map(server).collect()
}

fn files(paths: &[PathBuf]) -> Result<Option<Arc<FileLogs>>, Failure> {
    if paths.is_empty() {
        return Ok(None);
    }
    let mut logs = FileLogs::default();
    for path in paths {
        let failed = |e| match e {
            quarry_sim::FileError::Io(e) => Failure::io(&path.display().to_string(), &e),
            e => Failure::new(format!("{}: {e}", path.display())),
        };
        logs.add(path).map_err(failed)?;
    }
    if logs.skipped() > 0 {
        let skipped = logs.skipped();
        let message = format!("{skipped} records or damaged places of the files are left out");
        Console::new(When::Auto, false).warning(&message);
    }
    if logs.records() == 0 {
        return Err(Failure::new("there are no events in the files"));
    }
    Ok(Some(Arc::new(logs)))
}

/// A password of this run: 26 letters and digits, of 32 kinds.
fn password() -> Result<Secret, Failure> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0; 26];
    getrandom::fill(&mut bytes).map_err(|e| Failure::new(format!("no random numbers: {e}")))?;
    let text = bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    Secret::new(text).map_err(|e| Failure::new(e.to_string()))
}

fn copy(secret: &Secret) -> Result<Secret, Failure> {
    Secret::new(secret.expose().to_owned()).map_err(|e| Failure::new(e.to_string()))
}

/// The files that are written.
struct Inventory {
    file: PathBuf,
    password_file: PathBuf,
}

impl Inventory {
    fn new(file: &Path) -> Result<Self, Failure> {
        let name = file.display();
        if file.file_name().is_none() {
            return Err(Failure::new(format!("--inventory {name}: this is no file")));
        }
        match std::fs::read(file) {
            Ok(text) if !text.starts_with(MARK.as_bytes()) => {
                return Err(Failure::new(format!("{name}: this is another inventory"))
                    .hint("quarry sim overwrites its own only; name another file"));
            }
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(Failure::io(&name.to_string(), &e));
            }
            _ => {}
        }
        let password_file = file.with_extension("password");
        if password_file == *file {
            return Err(Failure::new(format!("{name}: this is where the password goes")));
        }
        Ok(Self { file: file.to_owned(), password_file })
    }

    /// The password first: who sees the inventory finds it.
    fn write(&self, sim: &Sim, password: &Secret) -> Result<(), Failure> {
        write_private(&self.password_file, format!("{}\n", password.expose()).as_bytes())?;
        let beside = self.password_file.file_name().unwrap_or_default().to_string_lossy();
        write_private(&self.file, format!("{MARK}{}", sim.inventory(&beside)).as_bytes())
    }
}

fn say_ready(sim: &Sim, password: &Secret, inventory: Option<&Inventory>) -> io::Result<()> {
    let mut text = format!("username {ACCOUNT}\npassword {}\n", password.expose());
    for server in sim.servers() {
        let (address, port) = (server.address(), server.mapper_port());
        text += &format!("server {} {address} mapper-port {port}\n", server.name());
    }
    if let Some(inventory) = inventory {
        text += &format!("inventory {}\n", inventory.file.display());
    }
    text += "ready\n";
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
