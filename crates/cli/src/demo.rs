//! `quarry demo`: a fleet of simulated servers, four scanned as real ones are, or twelve on a page.

mod meaning;
mod story;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use quarry_cred::Secret;
use quarry_sim::{Fault, ServerOptions, Sim, SimOptions};

use crate::args::{Cli, Command, DemoArgs, When};
use crate::console::Console;
use crate::error::{Failure, Outcome};
use crate::interrupt;
use crate::scan;
use crate::sim::{grow, write_private};

/// The servers, and after how many records each dies.
const SERVERS: [(&str, Option<u64>); 4] =
    [("fred", None), ("barney", None), ("wilma", Some(940)), ("betty", None)];

/// Who signs in; the servers are gone when the demo is over.
const ACCOUNT: &str = r"BEDROCK\demo";

/// What is asked, as one would type it: services that ended by themselves, and failed logons.
const QUESTION: [&str; 8] = ["-l", "System", "-l", "Security", "-i", "7031,4625", "-S", "8h"];

/// How it is shown: the newest of all servers, in one order of time.
const ORDER: [&str; 5] = ["--sort", "time", "-r", "-n", "20"];

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

/// How often each log grows.
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
    story::tell(&sim)?;
    let folder = tempfile::tempdir().map_err(|e| Failure::io("a temporary folder", &e))?;
    let inventory = folder.path().join(INVENTORY);
    write_private(&folder.path().join(PASSWORD_FILE), password.as_bytes())?;
    write_private(&inventory, sim.inventory(PASSWORD_FILE).as_bytes())?;
    let names = SERVERS.map(|(name, _)| name);
    console.note(&format!("Four simulated servers listen on this machine: {}.", names.join(", ")));
    console
        .note("They are read over the real protocol, signed in and sealed. Which services ended");
    console.note("by themselves in the last eight hours, and which logons failed?");
    console.note(&format!("  quarry scan {} {} \\", names.join(" "), QUESTION[..4].join(" ")));
    console.note(&format!("      {} {}", QUESTION[4..].join(" "), ORDER.join(" ")));
    console.note("");
    let outcome = scan(&names, &inventory, folder.path(), args)?;
    console.note("");
    if outcome.matched && !outcome.interrupted {
        for sentence in meaning::of(&sim, runtime.handle())? {
            console.note(&sentence);
        }
        console.note("");
    }
    console.note("wilma died on the way, as she was told to, and cost the others nothing.");
    if args.keep && !outcome.interrupted {
        keep(&sim, &inventory, &console);
    } else {
        console.note("quarry demo --keep leaves the servers up, and says what to try on them.");
        console.note("Next, a server of yours (the password is asked for):");
        console.note(r"  quarry scan SERVER -u 'DOMAIN\USER' -S 8h");
        console.note(r"  quarry hosts test SERVER -u 'DOMAIN\USER'");
    }
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
    let account = ACCOUNT.parse().map_err(|e| failed(&e))?;
    let secret = Secret::new(password.to_owned()).map_err(|e| failed(&e))?;
    let mut options = SimOptions::new(servers, account, secret);
    // Of the 1,000 events that each has in its log, eight hours are some 120.
    options.every = Duration::from_secs(240);
    Sim::start(options).await.map_err(|e| failed(&e))
}

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("the simulated servers: {error}"))
}

/// Does what the command does that is shown.
fn scan(
    names: &[&str],
    inventory: &Path,
    folder: &Path,
    args: &DemoArgs,
) -> Result<Outcome, Failure> {
    let mut words = vec!["quarry".into(), "scan".into()];
    words.extend(names.iter().chain(&QUESTION).chain(&ORDER).map(OsString::from));
    words.extend(["--inventory".into(), inventory.as_os_str().to_owned()]);
    if let Some(format) = args.output.and_then(|format| format.to_possible_value()) {
        words.extend(["--output".into(), format.get_name().into()]);
    }
    match Cli::try_parse_from(words).map(|cli| cli.command) {
        Ok(Command::Scan(mut args)) => {
            // Nothing of the servers is left behind.
            args.texts.folder = Some(folder.join("catalogues"));
            scan::run(&args)
        }
        _ => Err(Failure::new("the demo's own command can't be read")),
    }
}

/// Says what can be tried, and lets events come until Ctrl-C.
fn keep(sim: &Sim, inventory: &Path, console: &Console) {
    let program = std::env::args_os().next().map_or_else(
        || "quarry".to_owned(),
        |name| match Path::new(&name).components().count() {
            // One that is on the path is called by its name.
            0 | 1 => "quarry".to_owned(),
            _ => name.to_string_lossy().into_owned(),
        },
    );
    let with = format!("--inventory {}", inventory.display());
    console.note("The servers stay up until Ctrl-C. Try, in another terminal:");
    for words in [
        "count @all -l Security -i 4625 --by data.TargetUserName,data.IpAddress -n 5",
        "scan fred -l Security -i 4625 -r -n 1 -o list",
        "tail @all -n 3",
    ] {
        console.note(&format!("  {program} {words} {with}"));
    }
    let (ended, waiting) = mpsc::channel::<()>();
    while !interrupt::is_set() {
        // Nobody sends anything: this is a pause.
        let _ = waiting.recv_timeout(GROWTH);
        grow(sim);
    }
    drop(ended);
}

/// A password that nobody else knows.
fn password() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| Failure::new(format!("no random numbers: {e}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
