//! `quarry hosts`: the inventory, and whether its servers can be read.

use std::process::ExitCode;
use std::sync::Arc;

use quarry_eventlog::{Direction, EventLog};
use quarry_fleet::{Protocol, inventory};
use serde_json::{Value as Json, json};

use crate::args::{ChosenHostsArgs, HostsArgs, HostsCommand, ListArgs, WorkArgs};
use crate::console::Console;
use crate::error::{Failure, delivered};
use crate::listing::{self, Cell, Column};
use crate::run::Run;
use crate::servers::{Server, Servers, default_path};

pub(crate) fn run(args: &HostsArgs) -> Result<ExitCode, Failure> {
    match &args.command {
        HostsCommand::List(args) => list(args),
        HostsCommand::Test(args) => test(args),
    }
}

/// The entries that texts select; all of the inventory if there are no texts.
fn select(servers: &Servers<'_>, texts: &[String]) -> Result<Vec<inventory::ServerEntry>, Failure> {
    if texts.is_empty() {
        let all = servers.inventory().servers();
        if all.is_empty() {
            let shown = default_path().map_or_else(String::new, |path| {
                format!("; it is looked for in {}", path.display())
            });
            return Err(Failure::new("there is no inventory, or there are no servers in it")
                .hint(format!("name one with --inventory FILE{shown}")));
        }
        return Ok(all.to_vec());
    }
    let mut entries: Vec<inventory::ServerEntry> = Vec::new();
    for text in texts {
        for entry in servers.entries(text)? {
            if !entries.iter().any(|other| other.name.eq_ignore_ascii_case(&entry.name)) {
                entries.push(entry);
            }
        }
    }
    Ok(entries)
}

fn console(args: &ListArgs) -> Console {
    Console::of(&args.terminal)
}

fn list(args: &ChosenHostsArgs) -> Result<ExitCode, Failure> {
    const COLUMNS: [Column; 6] = [
        Column::text("server").giving_way(),
        Column::text("address").giving_way(),
        Column::text("port"),
        Column::text("username"),
        Column::text("logs").giving_way(),
        Column::text("groups").giving_way(),
    ];
    let console = console(&args.output);
    let servers = Servers::new(&args.servers, &console)?;
    let entries = select(&servers, &args.hosts)?;
    let row = |entry: &inventory::ServerEntry| {
        // The event log's own port, where the mapper isn't asked.
        let (number, shown) = match (entry.speaks(), entry.endpoint) {
            (Some(Protocol::Even), _) => (entry.smb_port, format!("smb {}", entry.smb_port)),
            (_, Some(port)) => (port, format!("endpoint {port}")),
            (_, None) => (entry.mapper_port, entry.mapper_port.to_string()),
        };
        let username = match &args.servers.username {
            Some(username) => Some(username.clone()),
            None => entry
                .credential
                .as_deref()
                .and_then(|name| servers.inventory().credential(name))
                .map(|credential| credential.account.to_string()),
        };
        let groups: Vec<&str> = entry.groups.iter().map(|group| &**group).collect();
        vec![
            Cell::text(&entry.name),
            Cell::text(&entry.address),
            Cell::new(number, shown),
            Cell::new(username.clone(), username.unwrap_or_default()),
            Cell::new(entry.logs.to_vec(), entry.logs.join(", ")),
            Cell::new(json!(groups), groups.join(", ")),
        ]
    };
    let rows: Vec<Vec<Cell>> = entries.iter().map(row).collect();
    listing::print(&COLUMNS, &rows, &args.output)?;
    Ok(if entries.is_empty() { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Connects to each server, signs in, and asks for its logs.
fn test(args: &ChosenHostsArgs) -> Result<ExitCode, Failure> {
    const COLUMNS: [Column; 5] = [
        Column::text("server").giving_way(),
        Column::text("ok"),
        Column::number("connected_ms"),
        Column::number("logs"),
        Column::text("error").below(),
    ];
    let console = console(&args.output);
    let mut servers = Servers::new(&args.servers, &console)?;
    let entries = select(&servers, &args.hosts)?;
    let open = |entry| servers.open(entry).map(|server| server as Server);
    let opened: Vec<Server> = entries.iter().map(open).collect::<Result<_, _>>()?;
    let work = WorkArgs { threads: None };
    let mut run = Run::new(&args.output.terminal, &work, Direction::Forward);
    run.expect_servers(&args.servers);
    let mut rows: Vec<Option<Vec<Cell>>> = opened.iter().map(|_| None).collect();
    let question = |_, log: Arc<dyn EventLog>| async move { Ok(log.logs().await?.len()) };
    let asked = run.ask(&opened, question, |run, n, logs, health| {
        run.summary.matched += 1;
        let connected = health.connected_in.unwrap_or_default().as_millis() as u64;
        rows[n] = Some(vec![
            Cell::text(&entries[n].name),
            Cell::new(true, "yes"),
            Cell::new(connected, connected.to_string()),
            Cell::new(logs, logs.to_string()),
            Cell::new(Json::Null, ""),
        ]);
        Vec::new()
    });
    delivered(asked)?;
    for failure in &run.summary.failures {
        let Some(n) = entries.iter().position(|entry| entry.name == failure.source) else {
            continue;
        };
        rows[n] = Some(vec![
            Cell::text(&failure.source),
            Cell::new(false, "no"),
            Cell::new(Json::Null, ""),
            Cell::new(Json::Null, ""),
            Cell::text(failure.what()),
        ]);
    }
    let rows: Vec<Vec<Cell>> = rows.into_iter().flatten().collect();
    listing::print(&COLUMNS, &rows, &args.output)?;
    run.summarize_servers();
    Ok(run.outcome().exit_code())
}
