//! `quarryd demo`: simulated servers, followed into a table in a temporary folder, with their page.
//! When it ends, nothing of it is left.

use std::path::Path;

use quarry_program::demo::{Demo, GROUPS, called, fleet};
use quarry_program::error::Failure;
use quarry_program::trace;

use crate::collect::console;
use crate::config::Config;
use crate::serve::{Daemon, open, runtime, watch};

/// What the configuration has besides the inventory.
const CONFIG: &str = r#"
[follow]
"@all" = ["System", "Security", "Application"]

[collect]
catalogues = "catalogues"

[store]
url = "events"
columns = ["TargetUserName", "IpAddress"]
flush-every = "2s"

[page]
listen = "127.0.0.1:0"
"#;

/// What one might ask: from where logons failed.
const QUESTION: &str = r#"SELECT "data_IpAddress" AS address, count(*) AS failed FROM events WHERE event_id = 4625 GROUP BY 1 ORDER BY 2 DESC LIMIT 5"#;

pub(crate) fn run() -> Result<(), Failure> {
    trace::show(0, console());
    let runtime = runtime()?;
    // Before there is anything that would be left behind.
    let mut watch = watch(Path::new(""), &runtime)?;
    let demo = Demo::start(fleet())?;
    let path = demo.write(&format!("{GROUPS}{CONFIG}"))?;
    watch.turn_to(&path);
    let config = Config::load(&path)?;
    let store = runtime.block_on(open(&config, false))?;
    let daemon = Daemon::start(config, store, &runtime)?;
    demo.grow()?;
    for line in [
        "Twelve simulated servers listen on this machine. One is dead, one is slow, one has a gap,",
        "and all of them grow. Their events go into a table; ask it, in another terminal:",
        &format!("  {} sql '{QUESTION}' -c {}", called("quarryd"), path.display()),
        "Ctrl-C ends it, and leaves nothing behind. Their page:",
    ] {
        console().note(line);
    }
    let served = daemon.serve(watch, true, &runtime);
    runtime.shutdown_background();
    served
}
