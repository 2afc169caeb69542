//! What has happened to the demo's servers besides their everyday events: somebody tries passwords
//! of an account, and a service doesn't stay up.

use std::time::Duration;

use quarry_event::{Element, Event, EventTime, Field, FieldSource, Node};
use quarry_sim::{Sim, SimServer};

use super::failed;
use crate::error::Failure;

/// Whose passwords are tried, and from where.
const USER: &str = "svc-sql";
const ADDRESSES: [&str; 4] = ["10.20.6.17", "10.20.6.41", "10.20.6.88", "10.20.6.203"];
/// How often on each server.
const ATTEMPTS: u32 = 30;

/// What doesn't stay up, and how often it ends on each server.
const SERVICE: &str = "Background Intelligent Transfer Service";
const ENDS: u32 = 3;

/// Over how long all this went on.
const HOURS: Duration = Duration::from_secs(8 * 3600 - 900);

/// Adds the story's events to the servers' logs. One that has lost its old events, as some do on
/// purpose, may have none of a kind, and none of that kind is added then.
pub(super) fn tell(sim: &Sim) -> Result<(), Failure> {
    for (n, server) in (0u32..).zip(sim.servers()) {
        let (logon, ended) =
            match (example(server, "Security", 4625), example(server, "System", 7031)) {
                (Ok(logon), Ok(ended)) => (logon, ended),
                // The first of all has every kind.
                (Err(failure), _) | (_, Err(failure)) if n == 0 => return Err(failure),
                _ => continue,
            };
        for attempt in 0..ATTEMPTS {
            let mut event = logon.clone();
            set_data(&mut event, "TargetUserName", USER);
            let address = ADDRESSES[(attempt + n) as usize % ADDRESSES.len()];
            set_data(&mut event, "IpAddress", address);
            set_data(&mut event, "FailureReason", "%%2313");
            add(server, "Security", event, (attempt, ATTEMPTS), n)?;
        }
        for time in 0..ENDS {
            let mut event = ended.clone();
            set_data(&mut event, "param1", SERVICE);
            set_data(&mut event, "param2", &(time + 1).to_string());
            add(server, "System", event, (time, ENDS), n)?;
        }
    }
    Ok(())
}

/// An event of a server's with a number.
fn example(server: &SimServer, log: &str, id: u64) -> Result<Event, Failure> {
    let records = server.records(log).map_err(|e| failed(&e))?;
    let is_it = |event: &Event| {
        event.field(Field::EventId).as_u64() == Some(id)
            || event.field(Field::EventId).to_string() == id.to_string()
    };
    let found = records.into_iter().map(|(_, event)| event).find(is_it);
    found.ok_or_else(|| failed(&format!("no event {id} in {log}")))
}

/// Adds one of some events that are spread over the hours.
fn add(
    server: &SimServer,
    log: &str,
    mut event: Event,
    (place, of): (u32, u32),
    server_number: u32,
) -> Result<(), Failure> {
    let step = HOURS / of;
    // Not all at the same moment on all servers.
    let before_now = HOURS - step * place - step * (server_number % 5) / 5;
    let now = EventTime::from_timestamp(jiff::Timestamp::now()).as_filetime();
    let time = now.saturating_sub((before_now.as_nanos() / 100) as u64);
    let time = EventTime::from_filetime(time).to_string();
    if let Some(created) = find(&mut event.root, "TimeCreated") {
        created.attributes = vec![("SystemTime".to_owned(), time)];
    }
    server.append(log, &event).map_err(|e| failed(&e))?;
    Ok(())
}

fn set_data(event: &mut Event, name: &str, text: &str) {
    let data = find(&mut event.root, "EventData").into_iter().flat_map(|data| &mut data.children);
    for child in data {
        if let Node::Element(value) = child
            && value.attribute("Name") == Some(name)
        {
            value.children = vec![Node::Text(text.to_owned())];
        }
    }
}

/// The first element with a name, whatever it is in.
fn find<'e>(element: &'e mut Element, name: &str) -> Option<&'e mut Element> {
    if element.name == name {
        return Some(element);
    }
    element.children.iter_mut().find_map(|child| match child {
        Node::Element(inner) => find(inner, name),
        Node::Text(_) => None,
    })
}
