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
use quarry_event::{Element, Event, EventTime, Node};
use quarry_fleet::inventory::Inventory;
use quarry_fleet::{ConnectOptions, Options, Server};
use quarry_sim::{Fault, ServerOptions, Sim, SimOptions};
use quarry_web::access::Gate;
use quarry_web::access::accounts::{Accounts, LogOnError, LoggedOn, Logon};
use quarry_web::access::audit::Audit;
use quarry_web::access::clock::Clock;
use quarry_web::access::rules::Rules;
use quarry_web::access::tls::{self, Certificate};
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
            Ok(LoggedOn { user: name, groups, is_administrator: false, logon })
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
        memory.store(number % 2, channel, 10_000 - n, event);
    }
    memory
}

async fn sim() -> Result<Sim, Box<dyn Error>> {
    let servers = vec![
        ServerOptions::new("dc01"),
        ServerOptions::new("dc02"),
        ServerOptions::new("web01").with("slow:1500".parse::<Fault>()?),
        ServerOptions::new("dead1").with("port-closed".parse::<Fault>()?),
        ServerOptions::new("dead2").with("reset:1".parse::<Fault>()?),
    ];
    let mut options = SimOptions::new(servers, r"SIM\quarry".parse()?, Secret::new("pw".into())?);
    options.events = 400;
    options.empty_channels = 20;
    Ok(Sim::start(options).await?)
}

fn servers(sim: &Sim) -> Servers {
    let specs = sim.servers().iter().map(|server| {
        let connect = ConnectOptions {
            name: server.name().to_owned(),
            mapper_port: server.mapper_port(),
            ..ConnectOptions::new(server.address().to_string(), sim.credential().clone())
        };
        let source = Arc::new(Server::new(server.name(), connect));
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

    let sources = || Sources::new().with(Arc::new(memory())).with(Arc::new(servers(&sim)));
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
                let now = jiff::Timestamp::now();
                let ends = now + jiff::SignedDuration::from_hours(1);
                json!(*owner.tokens().make(person, "tests", ends, now)?)
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
