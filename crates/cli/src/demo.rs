//! `quarry demo`: a fleet of simulated servers, four scanned as real ones are, or twelve on a page.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use quarry_cred::Secret;
use quarry_sim::{Fault, ServerOptions, Sim, SimOptions};

use crate::args::{Cli, Command, DemoArgs, When};
use crate::console::Console;
use crate::error::{Failure, Outcome};
use crate::scan;
use crate::sim::{grow, write_private};

/// The servers, and after how many records each dies.
const SERVERS: [(&str, Option<u64>); 4] =
    [("fred", None), ("barney", None), ("wilma", Some(940)), ("betty", None)];

/// Who signs in; the servers are gone when the demo is over.
const ACCOUNT: &str = r"BEDROCK\demo";

/// What is asked, as one would type it.
const QUESTION: [&str; 4] = ["--since", "8h", "--level", "error"];

const INVENTORY: &str = "demo.toml";
const PASSWORD_FILE: &str = "demo.password";

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

/// Its groups.
const GROUPS: &str = "\n[groups]\ndcs = [\"dc*\"]\nweb = [\"web*\"]\n";

/// How often each log of the fleet grows.
const GROWTH: Duration = Duration::from_secs(3);

pub(crate) fn run(args: &DemoArgs) -> Result<ExitCode, Failure> {
    if args.web {
        return web(args);
    }
    let console = Console::new(When::Auto, false);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| Failure::io("the simulated servers", &e))?;
    let password = password()?;
    let sim = runtime.block_on(start(&password, SERVERS.map(server).into()))?;
    let folder = tempfile::tempdir().map_err(|e| Failure::io("a temporary folder", &e))?;
    let inventory = folder.path().join(INVENTORY);
    write_private(&folder.path().join(PASSWORD_FILE), password.as_bytes())?;
    write_private(&inventory, sim.inventory(PASSWORD_FILE).as_bytes())?;
    let names = SERVERS.map(|(name, _)| name);
    console.note(&format!(
        "Four simulated servers listen on this machine: {}. What is scanned over the real",
        names.join(", ")
    ));
    console
        .note("protocol, signed in and sealed, is what went wrong there in the last eight hours:");
    console.note(&format!("  quarry scan {} {}", names.join(" "), QUESTION.join(" ")));
    console.note("");
    let outcome = scan(&names, &inventory, args)?;
    console.note("");
    console.note("wilma died on the way, as she was told to, and cost the others nothing.");
    console.note("Next, a server of yours (the password is asked for):");
    console.note(r"  quarry scan SERVER -u 'DOMAIN\USER' -S 8h");
    console.note(r"  quarry hosts test SERVER -u 'DOMAIN\USER'");
    drop(sim);
    Ok(match outcome {
        // The failure is part of the show.
        Outcome { read: 3, failed: 1, interrupted: false, .. } => ExitCode::SUCCESS,
        other => other.exit_code(),
    })
}

/// Twelve servers on a page, until it is interrupted.
fn web(args: &DemoArgs) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| Failure::io("the simulated servers", &e))?;
    let password = password()?;
    let server = |(name, fault): (&str, Option<Fault>)| {
        let server = ServerOptions::new(name);
        fault.map_or(server.clone(), |fault| server.with(fault))
    };
    let sim = runtime.block_on(start(&password, FLEET.map(server).into()))?;
    let folder = tempfile::tempdir().map_err(|e| Failure::io("a temporary folder", &e))?;
    let inventory = folder.path().join(INVENTORY);
    write_private(&folder.path().join(PASSWORD_FILE), password.as_bytes())?;
    let text = sim.inventory(PASSWORD_FILE) + GROUPS;
    write_private(&inventory, text.as_bytes())?;
    let console = Console::new(When::Auto, false);
    console
        .note("Twelve simulated servers listen on this machine. One is dead, one is slow, one has");
    console.note("a gap, and all of them grow. Their page:");
    let mut words = vec!["quarry".into(), "serve".into(), "@all".into()];
    words.extend(["--inventory".into(), inventory.as_os_str().to_owned()]);
    words.extend(args.open.then(|| "--open".into()));
    let Ok(Command::Serve(args)) = Cli::try_parse_from(words).map(|cli| cli.command) else {
        return Err(Failure::new("the demo's own command can't be read"));
    };
    let sim = std::sync::Arc::new(sim);
    let growing = std::sync::Arc::clone(&sim);
    runtime.spawn(async move {
        loop {
            tokio::time::sleep(GROWTH).await;
            grow(&growing);
        }
    });
    let served = crate::serve::run(&args);
    runtime.shutdown_background();
    served
}

fn server((name, dies_after): (&str, Option<u64>)) -> ServerOptions {
    match dies_after {
        Some(records) => ServerOptions::new(name).with(Fault::Reset(records)),
        None => ServerOptions::new(name),
    }
}

async fn start(password: &str, servers: Vec<ServerOptions>) -> Result<Sim, Failure> {
    let failed = |e: &dyn std::fmt::Display| Failure::new(format!("the simulated servers: {e}"));
    let account = ACCOUNT.parse().map_err(|e| failed(&e))?;
    let secret = Secret::new(password.to_owned()).map_err(|e| failed(&e))?;
    let mut options = SimOptions::new(servers, account, secret);
    // Of the 1,000 events that each has in its log, eight hours are some 120.
    options.every = Duration::from_secs(240);
    Sim::start(options).await.map_err(|e| failed(&e))
}

/// Does what the command does that is shown.
fn scan(names: &[&str], inventory: &std::path::Path, args: &DemoArgs) -> Result<Outcome, Failure> {
    let mut words = vec!["quarry".into(), "scan".into()];
    words.extend(names.iter().chain(&QUESTION).map(std::ffi::OsString::from));
    words.extend(["--inventory".into(), inventory.as_os_str().to_owned()]);
    if let Some(format) = args.output.and_then(|format| format.to_possible_value()) {
        words.extend(["--output".into(), format.get_name().into()]);
    }
    match Cli::try_parse_from(words).map(|cli| cli.command) {
        Ok(Command::Scan(args)) => scan::run(&args),
        _ => Err(Failure::new("the demo's own command can't be read")),
    }
}

/// A password that nobody else knows.
fn password() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| Failure::new(format!("no random numbers: {e}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
