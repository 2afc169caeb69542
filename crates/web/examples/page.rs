//! The page over simulated servers and stored events, twice: for its owner over plain HTTP, and for
//! two people with different rights over TLS. It is what the browser's tests run against; each line
//! on its standard input is a command, and each gets a line of JSON.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "whoever started it reads the addresses there")]

use std::error::Error;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use quarry_cred::{Account, Secret};
use quarry_event::{Element, Event, EventTime, Node, RuleName};
use quarry_fleet::inventory::Inventory;
use quarry_fleet::{ConnectOptions, Options, Server};
use quarry_sim::{Fault, ServerOptions, Sim, SimOptions};
use quarry_web::access::Gate;
use quarry_web::access::accounts::{Accounts, LogOnError, LoggedOn, Logon};
use quarry_web::access::audit::Audit;
use quarry_web::access::clock::Clock;
use quarry_web::access::rules::Rules;
use quarry_web::access::tls::{self, Certificate};
use quarry_web::access::token::ApiToken;
use quarry_web::sources::{Memory, ServerSpec, Servers};
use quarry_web::{App, Sources, router, serve};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;

/// Ann reads everything, bob what is no secret.
const RULES: &str = r#"
    [sign-in]
    groups = ["administrators", "helpdesk"]
    [access.administrators]
    groups = ["administrators"]
    on = ["*"]
    logs = ["*", "Security"]
    may = ["audit"]
    [access.helpdesk]
    groups = ["helpdesk"]
    on = ["stored1", "dc01"]
    logs = ["System"]
"#;

/// What an event may say to whoever looks at it, in every value.
const HOSTILE: [&str; 8] = [
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)>'--></title></textarea>",
    "\u{202e}txet sdrawkcab\u{2066}\u{200f}",
    "nul\0tab\tline\nbreak\u{1b}[2J\u{7f}",
    "=HYPERLINK(\"http://evil.example\",\"x\")",
    "{{7*7}}${7*7}<%= 7*7 %>",
    "javascript:alert(1)",
    "a\u{301}\u{301}\u{301}\u{301}\u{301} \u{1f600} \u{fffd}",
];

/// The server whose events are stored too.
const BOTH: &str = "both1";

/// The people, whose passwords are `right`.
#[derive(Debug, Default)]
struct People {
    disabled: Arc<Mutex<Vec<String>>>,
    is_down: AtomicBool,
}

#[derive(Debug)]
struct PersonHere {
    name: String,
    groups: Vec<String>,
    disabled: Arc<Mutex<Vec<String>>>,
}

impl Accounts for People {
    fn log_on<'a>(
        &'a self,
        account: &'a Account,
        secret: Secret,
        _: IpAddr,
    ) -> BoxFuture<'a, Result<LoggedOn, LogOnError>> {
        let group = match account.user() {
            "ann" => "administrators",
            "bob" => "helpdesk",
            _ => "nobody",
        };
        let result = if self.is_down.load(Ordering::Relaxed) {
            Err(LogOnError::NotPossible("switched off".to_owned()))
        } else if secret.expose() != "right" || group == "nobody" {
            Err(LogOnError::Refused)
        } else {
            let (name, groups) = (account.user().to_owned(), vec![group.to_owned()]);
            let disabled = Arc::clone(&self.disabled);
            let logon =
                Arc::new(PersonHere { name: name.clone(), groups: groups.clone(), disabled });
            Ok(LoggedOn { user: name, groups, is_administrator: false, logon, tickets: None })
        };
        std::future::ready(result).boxed()
    }
}

impl Logon for PersonHere {
    fn still_good(&self) -> BoxFuture<'_, Result<Vec<String>, LogOnError>> {
        let disabled = self.disabled.lock().map(|list| list.contains(&self.name));
        let result = match disabled {
            Ok(false) => Ok(self.groups.clone()),
            _ => Err(LogOnError::Restricted("disabled".to_owned())),
        };
        std::future::ready(result).boxed()
    }

    fn open<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<File>> {
        std::future::ready(File::open(path)).boxed()
    }
}

/// An event with one value in everything that a program chooses.
fn event(time: EventTime, id: u64, level: u64, channel: &str, value: &str) -> Event {
    let text = |name: &str, text: &str| Element {
        children: vec![Node::Text(text.to_owned())],
        ..Element::new(name)
    };
    let with = |name: &str, attribute: &str, value: &str| Element {
        attributes: vec![(attribute.to_owned(), value.to_owned())],
        ..Element::new(name)
    };
    let system = Element {
        children: [
            with("Provider", "Name", value),
            text("EventID", &id.to_string()),
            text("Level", &level.to_string()),
            with("TimeCreated", "SystemTime", &time.to_string()),
            text("Channel", channel),
            text("Computer", value),
        ]
        .map(Node::Element)
        .into(),
        ..Element::new("System")
    };
    let mut data = with("Data", "Name", "TargetUserName");
    data.children.push(Node::Text(value.to_owned()));
    let mut long = with("Data", "Name", "Long");
    long.children.push(Node::Text(value.repeat(40)));
    let data =
        Element { children: [data, long].map(Node::Element).into(), ..Element::new("EventData") };
    let root =
        Element { children: [system, data].map(Node::Element).into(), ..Element::new("Event") };
    Event { root }
}

fn memory() -> Memory {
    let memory = Memory::new(["stored1".to_owned(), "stored2".to_owned()]);
    let now = EventTime::from_timestamp(jiff::Timestamp::now()).as_filetime();
    for n in 0..2400_u64 {
        let time = EventTime::from_filetime(now - n * 30 * EventTime::SECOND);
        let number = usize::try_from(n).unwrap_or_default();
        let channel = if n.is_multiple_of(5) { "Security" } else { "System" };
        let value =
            if n.is_multiple_of(3) { HOSTILE[number / 3 % HOSTILE.len()] } else { "svc-sql" };
        let event = event(time, 4624 + n % 3, n % 6, channel, value);
        memory.store_marked(number % 2, channel, 10_000 - n, event, rules_of(n));
    }
    memory
}

/// The detection rules that a stored event matches, of the second server alone, the least of them
/// first: one, two, or more than a row shows.
fn rules_of(n: u64) -> Vec<Arc<RuleName>> {
    let rule = |id: &str, title: &str, level: &str| {
        let tags = vec!["attack.t1003.006".to_owned()];
        Arc::new(RuleName {
            id: id.to_owned(),
            title: title.to_owned(),
            level: level.to_owned(),
            tags,
        })
    };
    let mut rules = Vec::new();
    if n.is_multiple_of(2) {
        return rules;
    }
    if n.is_multiple_of(35) {
        rules.push(rule("5e9a3a5c-0000-4000-8000-000000000004", "", "informational"));
        rules.push(rule("5e9a3a5c-0000-4000-8000-000000000005", HOSTILE[0], "critical"));
        let long = "A title as long as a sentence, for which there is no place in a row of a table";
        rules.push(rule("5e9a3a5c-0000-4000-8000-000000000006", long, "medium"));
    }
    if n.is_multiple_of(7) {
        // One without an identifier is asked for by its title, which has what globs are made of.
        rules.push(rule("", "Copies [1]*", "low"));
    }
    if n.is_multiple_of(21) {
        rules.push(rule("5e9a3a5c-0000-4000-8000-000000000001", "DC Sync", "high"));
    }
    rules
}

async fn sim() -> Result<Sim, Box<dyn Error>> {
    let servers = vec![
        ServerOptions::new("dc01"),
        ServerOptions::new("dc02"),
        ServerOptions::new("web01").with("slow:1500".parse::<Fault>()?),
        ServerOptions::new("both1"),
        ServerOptions::new("dead1").with("port-closed".parse::<Fault>()?),
        ServerOptions::new("dead2").with("reset:1".parse::<Fault>()?),
    ];
    let mut options = SimOptions::new(servers, r"SIM\quarry".parse()?, Secret::new("pw".into())?);
    options.events = 400;
    options.empty_channels = 20;
    Ok(Sim::start(options).await?)
}

/// What was stored of a server that is asked too: all but its newest events.
fn stored_of(sim: &Sim) -> Result<Memory, Box<dyn Error>> {
    let server = sim.server(BOTH).ok_or("no such server")?;
    let address = quarry_fleet::Source::address(&source(sim, server)).to_owned();
    let memory = Memory::new([BOTH.to_owned()]).read_at(0, address);
    let records = server.records("System")?;
    let stored = records.len().saturating_sub(50);
    for (number, event) in records.into_iter().take(stored) {
        memory.store(0, "System", number, event);
    }
    Ok(memory)
}

fn source(sim: &Sim, server: &quarry_sim::SimServer) -> Server {
    let connect = ConnectOptions {
        name: server.name().to_owned(),
        mapper_port: server.mapper_port(),
        ..ConnectOptions::new(server.address().to_string(), sim.credential().clone())
    };
    Server::new(server.name(), connect)
}

fn servers(sim: &Sim) -> Servers {
    let specs = sim.servers().iter().map(|server| {
        let source = Arc::new(source(sim, server));
        ServerSpec { source, groups: vec!["all".to_owned()], texts: None, live: None }
    });
    let remedy = Arc::new(|_: &quarry_fleet::Failure| Some("is it up?".to_owned()));
    Servers::new(specs.collect(), Options::default(), tokio::runtime::Handle::current(), remedy)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sim = sim().await?;
    let people = Arc::new(People::default());
    let clock = Clock::manual();
    let folder = tempfile::tempdir()?;
    let audit = folder.path().join("audit.jsonl");

    // For who copies a command out of the page.
    let inventory = folder.path().join("inventory.toml");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "pw")?;
    std::fs::write(&inventory, sim.inventory("secret"))?;
    #[cfg(unix)]
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;

    let stored = Arc::new(stored_of(&sim)?);
    let sources = || {
        let both = Arc::clone(&stored);
        Sources::new().with(Arc::new(memory())).with(both).with(Arc::new(servers(&sim)))
    };
    let plain = TcpListener::bind("127.0.0.1:0").await?;
    let owner_address = plain.local_addr()?;
    let owner = Arc::new(Gate::owner(owner_address, "ann", clock.clone())?);
    let app = Arc::new(App::new(sources()));
    let first = serve(plain, None, owner.guard(router(Arc::clone(&app))));

    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = Arc::new(Certificate::own(&names, None)?);
    let secured = TcpListener::bind("127.0.0.1:0").await?;
    let accounts_address = secured.local_addr()?;
    let accounts = Arc::new(Gate::accounts(
        accounts_address,
        &names,
        certificate.transport(),
        Arc::clone(&people) as Arc<dyn Accounts>,
        Rules::parse(RULES, &Inventory::default())?,
        Audit::open(&audit)?,
        clock.clone(),
    )?);
    let config = tls::config(Arc::clone(&certificate))?;
    let second_app = Arc::new(App::new(sources()));
    let routes = accounts.guard(router(Arc::clone(&second_app)));
    let second = serve(secured, Some(config), routes);
    let tend: Vec<_> = [Arc::clone(&owner), Arc::clone(&accounts)]
        .map(|gate| tokio::spawn(async move { gate.tend().await }))
        .into();

    println!(
        "{}",
        json!({
            "owner": format!("http://{owner_address}"),
            "accounts": format!("https://{accounts_address}"),
            "fingerprint": certificate.fingerprint(),
            "audit": audit,
            "inventory": inventory,
        })
    );
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let words: Vec<&str> = line.split(' ').collect();
        let answer: Value = match &words[..] {
            ["visit"] => {
                json!(format!("http://{owner_address}{}", owner.first_visit()?.unwrap_or_default()))
            }
            ["append", server, count] => {
                let server = sim.server(server).ok_or("no such server")?;
                server.append_generated("System", count.parse()?)?;
                json!(true)
            }
            ["stop", server] => {
                sim.server(server).ok_or("no such server")?.stop();
                json!(true)
            }
            ["start", server] => {
                sim.server(server).ok_or("no such server")?.start();
                json!(true)
            }
            ["calls", server] => {
                json!(sim.server(server).ok_or("no such server")?.stats().calls)
            }
            ["records", server] => {
                let records = sim.server(server).ok_or("no such server")?.records("System")?;
                json!(records.into_iter().map(|(number, _)| number).collect::<Vec<_>>())
            }
            ["clear", server] => {
                sim.server(server).ok_or("no such server")?.clear("System")?;
                json!(true)
            }
            ["queries"] => json!(sim.queries().len()),
            ["pass", seconds] => {
                clock.advance(std::time::Duration::from_secs(seconds.parse()?));
                json!(true)
            }
            ["disable", name] => {
                people.disabled.lock().map_err(|_| "poisoned")?.push((*name).to_owned());
                json!(true)
            }
            ["token", person] => {
                let made = jiff::Timestamp::now();
                let ends = made + jiff::SignedDuration::from_hours(1);
                let (name, person) = ("tests".to_owned(), (*person).to_owned());
                json!(*owner.tokens().make(ApiToken { name, person, session: None, made, ends })?)
            }
            _ => json!({ "unknown": line }),
        };
        println!("{answer}");
    }
    tend.iter().for_each(tokio::task::JoinHandle::abort);
    app.stop();
    second_app.stop();
    owner.sessions().end_all();
    accounts.sessions().end_all();
    first.stop().await;
    second.stop().await;
    Ok(())
}
