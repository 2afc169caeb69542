//! `quarry demo`: a fleet of simulated servers, four scanned as real ones are, or twelve on a page.

mod meaning;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;

use clap::{Parser, ValueEnum};
use quarry_program::demo::{Demo, GROUPS, GROWTH, called, fleet, grow};
use quarry_sim::{Fault, ServerOptions, Sim};

use crate::args::{Cli, Command, DemoArgs, When};
use crate::console::Console;
use crate::error::{Failure, Outcome};
use crate::interrupt;
use crate::scan;

/// The servers, and after how many records each dies.
const SERVERS: [(&str, Option<u64>); 4] =
    [("fred", None), ("barney", None), ("wilma", Some(940)), ("betty", None)];

/// What is asked, as one would type it: services that ended by themselves, and failed logons.
const QUESTION: [&str; 8] = ["-l", "System", "-l", "Security", "-i", "7031,4625", "-S", "8h"];

/// How it is shown: the newest of all servers, in one order of time.
const ORDER: [&str; 5] = ["--sort", "time", "-r", "-n", "20"];

pub(crate) fn run(args: &DemoArgs) -> Result<ExitCode, Failure> {
    if args.web {
        return web(args);
    }
    let console = Console::new(When::Auto, false);
    let demo = Demo::start(SERVERS.map(server).into())?;
    let inventory = demo.write("")?;
    let names = SERVERS.map(|(name, _)| name);
    console.note(&format!("Four simulated servers listen on this machine: {}.", names.join(", ")));
    console
        .note("They are read over the real protocol, signed in and sealed. Which services ended");
    console.note("by themselves in the last eight hours, and which logons failed?");
    console.note(&format!("  quarry scan {} {} \\", names.join(" "), QUESTION[..4].join(" ")));
    console.note(&format!("      {} {}", QUESTION[4..].join(" "), ORDER.join(" ")));
    console.note("");
    let outcome = scan(&names, &inventory, demo.folder(), args)?;
    console.note("");
    if outcome.matched && !outcome.interrupted {
        for sentence in meaning::of(demo.sim(), demo.runtime()?)? {
            console.note(&sentence);
        }
        console.note("");
    }
    console.note("wilma died on the way, as she was told to, and cost the others nothing.");
    if args.keep && !outcome.interrupted {
        keep(demo.sim(), &inventory, &console);
    } else {
        console.note("quarry demo --keep leaves the servers up, and says what to try on them.");
        console.note("Next, a server of yours (the password is asked for):");
        console.note(r"  quarry scan SERVER -u 'DOMAIN\USER' -S 8h");
        console.note(r"  quarry hosts test SERVER -u 'DOMAIN\USER'");
    }
    drop(demo);
    Ok(match outcome {
        // The failure is part of the show.
        Outcome { read: 3, failed: 1, interrupted: false, .. } => ExitCode::SUCCESS,
        other => other.exit_code(),
    })
}

/// Twelve servers on a page, until it is interrupted.
fn web(args: &DemoArgs) -> Result<ExitCode, Failure> {
    let demo = Demo::start(fleet())?;
    let inventory = demo.write(GROUPS)?;
    let console = Console::new(When::Auto, false);
    console
        .note("Twelve simulated servers listen on this machine. One is dead, one is slow, one has");
    console.note("a gap, and all of them grow. Their page:");
    let mut words = vec!["quarry".into(), "serve".into(), "@all".into()];
    words.extend(["--inventory".into(), inventory.as_os_str().to_owned()]);
    words.extend(args.open.then(|| "--open".into()));
    let Ok(Command::Serve(mut args)) = Cli::try_parse_from(words).map(|cli| cli.command) else {
        return Err(Failure::new("the demo's own command can't be read"));
    };
    // Nothing of the servers is left behind.
    args.texts.folder = Some(demo.folder().join("catalogues"));
    demo.grow()?;
    crate::serve::run(&args)
}

fn server((name, dies_after): (&str, Option<u64>)) -> ServerOptions {
    match dies_after {
        Some(records) => ServerOptions::new(name).with(Fault::Reset(records)),
        None => ServerOptions::new(name),
    }
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
            args.show.texts.folder = Some(folder.join("catalogues"));
            scan::run(&args)
        }
        _ => Err(Failure::new("the demo's own command can't be read")),
    }
}

/// Says what can be tried, and lets events come until Ctrl-C.
fn keep(sim: &Sim, inventory: &Path, console: &Console) {
    let program = called("quarry");
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
