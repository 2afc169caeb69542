//! The simulated servers of a demo: something has happened on them, they grow while it runs, and they
//! are gone afterwards, with everything that was written about them.

mod story;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quarry_cred::Secret;
use quarry_sim::{Fault, ServerOptions, Sim, SimOptions};
use tempfile::TempDir;
use tokio::runtime::{Handle, Runtime};

use crate::error::Failure;
use crate::files::write_private;
use crate::network;

/// Who signs in; the servers are gone when the demo is over.
const ACCOUNT: &str = r"BEDROCK\demo";
const PASSWORD_FILE: &str = "demo.password";
const INVENTORY: &str = "demo.toml";

/// The servers of a page, and what is wrong with each.
const FLEET: [(&str, Option<Fault>); 12] = [
    ("dc01", None),
    ("dc02", None),
    ("dc03", Some(Fault::BlackHole)),
    ("dc04", None),
    ("web01", None),
    ("web02", None),
    ("web03", Some(Fault::Slow(Duration::from_millis(1500)))),
    ("web04", None),
    ("sql01", Some(Fault::Wrapped(40))),
    ("sql02", None),
    ("file01", None),
    ("file02", None),
];

/// The groups of the [`fleet`], as an inventory has them.
pub const GROUPS: &str = "\n[groups]\ndcs = [\"dc*\"]\nweb = [\"web*\"]\n";

/// How often each log grows.
pub const GROWTH: Duration = Duration::from_secs(3);

/// Twelve servers: one is dead, one is slow, one has a gap.
pub fn fleet() -> Vec<ServerOptions> {
    let server = |(name, fault): (&str, Option<Fault>)| {
        let server = ServerOptions::new(name);
        fault.map_or(server.clone(), |fault| server.with(fault))
    };
    FLEET.map(server).into()
}

/// Simulated servers that run until this is dropped, and a temporary folder about them.
pub struct Demo {
    sim: Arc<Sim>,
    folder: TempDir,
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

impl Demo {
    /// Starts servers, and tells their story.
    ///
    /// # Errors
    /// They can't be started, or the folder can't be made.
    pub fn start(servers: Vec<ServerOptions>) -> Result<Self, Failure> {
        let runtime =
            network::runtime(Some(1)).map_err(|e| Failure::io("the simulated servers", &e))?;
        let password = password()?;
        let sim = runtime.block_on(start(&password, servers))?;
        story::tell(&sim)?;
        let folder = tempfile::tempdir().map_err(|e| Failure::io("a temporary folder", &e))?;
        write_private(&folder.path().join(PASSWORD_FILE), password.as_bytes())?;
        Ok(Demo { sim: Arc::new(sim), folder, runtime: Some(runtime) })
    }

    /// The servers.
    pub fn sim(&self) -> &Sim {
        &self.sim
    }

    /// The folder, which goes with this.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the servers run.
    ///
    /// # Errors
    /// None while this is there.
    pub fn runtime(&self) -> Result<&Handle, Failure> {
        let gone = || failed(&"they are gone");
        self.runtime.as_ref().map(Runtime::handle).ok_or_else(gone)
    }

    /// Writes the inventory of the servers, and more after it, and says where it is.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, more: &str) -> Result<PathBuf, Failure> {
        let path = self.folder().join(INVENTORY);
        let text = self.sim.inventory(PASSWORD_FILE) + more;
        write_private(&path, text.as_bytes())?;
        Ok(path)
    }

    /// Lets the servers' logs grow from now on.
    ///
    /// # Errors
    /// None while this is there.
    pub fn grow(&self) -> Result<(), Failure> {
        let sim = Arc::clone(&self.sim);
        self.runtime()?.spawn(async move {
            loop {
                tokio::time::sleep(GROWTH).await;
                grow(&sim);
            }
        });
        Ok(())
    }
}

impl std::fmt::Debug for Demo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Demo").field(&self.folder()).finish()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not waiting for calls that never end.
            runtime.shutdown_background();
        }
    }
}

/// Adds an event to each log that has some.
pub fn grow(sim: &Sim) {
    for server in sim.servers() {
        for log in ["System", "Security", "Application"] {
            // Logs of files don't grow.
            let _ = server.append_generated(log, 1);
        }
    }
}

/// How this program is called, to show commands that can be pasted.
pub fn called(usual: &str) -> String {
    std::env::args_os().next().map_or_else(
        || usual.to_owned(),
        |name| match Path::new(&name).components().count() {
            // One that is on the path is called by its name.
            0 | 1 => usual.to_owned(),
            _ => name.to_string_lossy().into_owned(),
        },
    )
}

async fn start(password: &str, servers: Vec<ServerOptions>) -> Result<Sim, Failure> {
    let account = ACCOUNT.parse().map_err(|e| failed(&e))?;
    let secret = Secret::new(password.to_owned()).map_err(|e| failed(&e))?;
    let mut options = SimOptions::new(servers, account, secret);
    // Of the 1,000 events that each has in its log, eight hours are some 120.
    options.every = Duration::from_secs(240);
    Sim::start(options).await.map_err(|e| failed(&e))
}

/// What fails about the servers.
pub fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("the simulated servers: {error}"))
}

/// A password that nobody else knows.
fn password() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| Failure::new(format!("no random numbers: {e}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
