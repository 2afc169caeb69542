//! `quarry serve`: the events of servers and files in a browser, for who started it or for the
//! accounts of this system.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use quarry_fleet::inventory::Inventory;
use quarry_program::public::{self, Gone, PublicPage};
use quarry_program::{network, visits};
use quarry_web::access::GateError;
use quarry_web::access::clock::Clock;
use quarry_web::site::SiteError;
use quarry_web::sources::{FileSpec, Files, ServerSpec, Trouble};
use quarry_web::{App, Site, Sources};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::args::{ServeArgs, When};
use crate::console::Console;
use crate::error::Failure;
use crate::input::{FileOptions, Files as OpenFiles, Input};
use crate::source::{Inputs, expand};
use crate::texts::RunTexts;
use crate::{hints, interrupt, run};

/// The port, where nobody asks for another and it is free: the same address each time can be a
/// bookmark.
const PORT: u16 = 8420;

pub(crate) fn run(args: &ServeArgs) -> Result<ExitCode, Failure> {
    if args.servers.deadline.is_some() {
        return Err(Failure::new("--deadline: each question of the page has its own, 10 s")
            .hint("leave it out; --timeout says when a server is given up"));
    }
    let served = match args.public.page() {
        Some(public) if !args.public.unprivileged => return help(args, &public),
        Some(public) => page(args, Some(&public)).map_err(|f| public::explained(f, &public)),
        None => page(args, None),
    };
    served.map(|()| ExitCode::SUCCESS)
}

/// Is the helper of the page's process.
fn help(args: &ServeArgs, public: &PublicPage) -> Result<ExitCode, Failure> {
    let console = Console::new(When::Auto, false);
    interrupt::catch(&console);
    let arguments = |web: &mut Command| {
        web.args(["serve", "--unprivileged"]);
        if args.servers.inventory.is_none()
            && let Some(inventory) = crate::servers::default_path().filter(|path| path.exists())
        {
            // Whose home folder is another has another.
            web.arg("--inventory").arg(inventory);
        }
        web.args(std::env::args_os().skip(2));
    };
    public::become_helper(public, arguments, |_| interrupt::wait())
}

/// Serves the page in this process.
fn page(args: &ServeArgs, public: Option<&PublicPage>) -> Result<(), Failure> {
    let console = Console::new(When::Auto, false);
    let texts = RunTexts::open(&args.texts, true, &console);
    let mut inventory = crate::servers::Servers::new(&args.servers, &console)?;
    if public.is_some() {
        inventory = inventory.for_persons();
    }
    let inputs = expand(&args.sources.sources, &mut inventory);
    let known = inventory.inventory().clone();
    let groups = groups(&known);
    for failure in inputs.failed_servers.iter().chain(&inputs.mistakes) {
        console.error(failure);
    }
    interrupt::catch(&console);
    let failed = |e: io::Error| Failure::io("the network", &e);
    let runtime = network::runtime(None).map_err(failed)?;
    let asks_as_persons = inputs.servers.iter().any(|server| server.is_of_persons());
    let sources = sources(args, inputs, &groups, &texts, &console, &runtime)?;
    let served = runtime.block_on(async {
        let listener = listen(args.listen).await?;
        let (site, gone) = match public {
            None => {
                let site = Site::owner(listener, &owner(), Clock::system());
                (site.map_err(|error| refused(&error))?, None)
            }
            Some(public) => {
                let tickets = asks_as_persons.then_some(args.servers.connect_timeout);
                let (site, gone) = public::site(listener, public, &known, tickets)?;
                (site, Some(gone))
            }
        };
        serve(args, sources, (site, gone), &console).await
    });
    // A name that is being looked up isn't waited for.
    runtime.shutdown_background();
    served
}

/// The groups that each server is in, by its name.
fn groups(inventory: &Inventory) -> HashMap<String, Vec<String>> {
    let mut groups: HashMap<String, Vec<String>> = HashMap::new();
    for group in inventory.groups() {
        // A group of the inventory's own has members.
        for entry in inventory.select(&format!("@{group}")).unwrap_or_default() {
            groups.entry(entry.name.to_string()).or_default().push(group.to_owned());
        }
    }
    groups
}

/// What the page asks.
fn sources(
    args: &ServeArgs,
    inputs: Inputs,
    groups: &HashMap<String, Vec<String>>,
    texts: &RunTexts,
    console: &Console,
    runtime: &Runtime,
) -> Result<Sources, Failure> {
    let server = |source: crate::servers::Server| ServerSpec {
        groups: groups.get(source.name()).cloned().unwrap_or_default(),
        live: texts.live().filter(|_| !source.is_this_machine()).cloned(),
        source,
        texts: texts.shared(),
    };
    let servers: Vec<ServerSpec> = inputs.servers.into_iter().map(server).collect();
    let mut files = Vec::new();
    for input in inputs.files {
        match input {
            Input::Failed(failure) => console.error(&failure),
            Input::Stdin => console.error(
                &Failure::new("-: standard input can't be read more than once")
                    .hint("save it to a file first"),
            ),
            input => files.push(input),
        }
    }
    if servers.is_empty() && files.is_empty() {
        return Err(Failure::new("there is nothing to serve")
            .hint("name servers, files or folders; quarry demo --web shows simulated servers"));
    }
    let handle = runtime.handle().clone();
    let mut sources = Sources::new();
    if !servers.is_empty() {
        let (options, remedy) = (run::options(&args.servers), Arc::new(hints::remedy));
        sources = sources.with_servers(servers, options, &handle, remedy);
    }
    if !files.is_empty() {
        sources = sources.with(Arc::new(Files::new(specs(files, texts, console), handle)));
    }
    Ok(sources)
}

/// The files, each to be opened whenever it is asked.
fn specs(inputs: Vec<Input>, texts: &RunTexts, console: &Console) -> Vec<FileSpec> {
    let known: Vec<_> = inputs
        .iter()
        .map(|input| match input {
            Input::File(path) => (path.clone(), false, texts.of_file(path, console)),
            Input::Member { path, .. } => (path.clone(), true, texts.shared()),
            // Said before.
            Input::Stdin | Input::Failed(_) => (PathBuf::new(), true, texts.shared()),
        })
        .collect();
    let names: Vec<String> = inputs.iter().map(Input::name).collect();
    let options = FileOptions { recover: false, tell_copies: false };
    let files = Arc::new(OpenFiles::new(inputs, options));
    let spec = |(n, (name, (path, is_packed, texts)))| {
        let (files, shown): (Arc<OpenFiles>, String) = (Arc::clone(&files), String::clone(&name));
        let open = move |given: Option<File>, stop: &quarry_collect::Stop| {
            files.open_given(n, given, stop).map_err(|failure| {
                let what = failure.message.strip_prefix(&format!("{shown}: "));
                Trouble::new(&*shown, what.unwrap_or(&failure.message), failure.hint.clone())
            })
        };
        FileSpec { name, path, is_packed, texts, open: Arc::new(open) }
    };
    names.into_iter().zip(known).enumerate().map(spec).collect()
}

/// Serves the page until it is interrupted, or the helper is gone.
async fn serve(
    args: &ServeArgs,
    sources: Sources,
    (site, gone): (Site, Option<Gone>),
    console: &Console,
) -> Result<(), Failure> {
    let stop = interrupt::stop().wait();
    let page = site.first_address().map_err(|error| refused(&error.into()))?;
    let mut out = io::stdout().lock();
    // Who has closed it has the address from elsewhere, or doesn't want it.
    let _ = writeln!(out, "{page}").and_then(|()| out.flush());
    drop(out);
    match gone {
        None => {
            visits::on_enter(site.visits());
            console.note(
                "Open this address within five minutes: it signs you in, once. Enter prints a new \
                 one, and Ctrl-C ends it.",
            );
        }
        Some(_) => public::introduce(&site, console),
    }
    let opened = match args.open {
        true => Some(open(&page)?),
        false => None,
    };
    let app = Arc::new(App::new(sources));
    let routes = quarry_web::router(Arc::clone(&app));
    let stop = async {
        match gone {
            Some(gone) => tokio::select! { () = stop => {}, () = gone => {} },
            None => stop.await,
        }
    };
    site.serve(&app, routes, stop).await;
    drop(opened);
    Ok(())
}

async fn listen(address: Option<SocketAddr>) -> Result<TcpListener, Failure> {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let bound = TcpListener::bind(address.unwrap_or(usual)).await;
    let bound = match (bound, address) {
        (Err(e), None) if e.kind() == io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
        }
        (bound, _) => bound,
    };
    bound.map_err(|e| Failure::io(&format!("--listen {}", address.unwrap_or(usual)), &e))
}

fn refused(error: &SiteError) -> Failure {
    let failure = Failure::new(error.to_string());
    match error {
        SiteError::Gate(GateError::Open(_)) => failure.hint(
            "give --access FILE and --audit FILE; or leave --listen out, and reach the page from \
             elsewhere through ssh -L 8420:127.0.0.1:8420",
        ),
        _ => failure,
    }
}

/// What the page calls who started the program.
fn owner() -> String {
    let name = ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "owner".to_owned())
}

/// Opens the page in a browser. The address, whose token lets anybody in, is in no argument that
/// other accounts of this machine could see: what is opened is a file that nobody else can read.
fn open(page: &str) -> Result<tempfile::TempPath, Failure> {
    let failed = |e: io::Error| Failure::io("--open", &e);
    let mut file =
        tempfile::Builder::new().prefix("quarry-").suffix(".html").tempfile().map_err(failed)?;
    write!(file, "<!doctype html><title>Quarry</title><meta http-equiv=\"refresh\" content=\"0; url={page}\">")
        .map_err(failed)?;
    let path = file.into_temp_path();
    let (program, arguments): (&str, &[&str]) = match std::env::consts::OS {
        "windows" => ("rundll32", &["url.dll,FileProtocolHandler"]),
        "macos" => ("open", &[]),
        _ => ("xdg-open", &[]),
    };
    let quiet = || (Stdio::null(), Stdio::null(), Stdio::null());
    let (input, output, error) = quiet();
    Command::new(program)
        .args(arguments)
        .arg(&*path)
        .stdin(input)
        .stdout(output)
        .stderr(error)
        .spawn()
        .map_err(|e| {
            Failure::new(format!("--open: {program}: {}", crate::error::plain(&e)))
                .hint("leave --open out, and open the address that is printed")
        })?;
    Ok(path)
}
