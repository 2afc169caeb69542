//! What goes wrong with servers: a line each that says what, what to do, and the right status.

use quarry_sim::Fault;

use super::*;

/// A port on which nobody listens.
fn closed_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn all_kinds_of_failures_at_once() {
    let faults: [Option<Fault>; 17] = [
        None,
        Some(Fault::Silent(30)),
        Some(Fault::Reset(30)),
        Some(Fault::BlackHole),
        Some(Fault::BlackHole),
        Some(Fault::NoMapper),
        Some(Fault::PortClosed),
        Some(Fault::PortDropped),
        Some(Fault::RefuseLogon),
        Some(Fault::RefuseAccess(None)),
        Some(Fault::RefuseAccess(None)),
        Some(Fault::Garbage),
        Some(Fault::Wrapped(30)),
        Some(Fault::Restart(30)),
        None,
        None,
        None,
    ];
    let mut options = servers(faults.len());
    for (server, fault) in options.iter_mut().zip(faults) {
        server.faults.extend(fault);
    }
    let fleet = Fleet::new(options, 60);
    let own =
        format!("\n[credentials.own]\nusername = '{ACCOUNT}'\npassword-file = '{PASSWORD_FILE}'\n");
    // One of an account of its own, one with a log that it hasn't, one that has no address.
    let inventory = fleet.inventory_with(|server| match server {
        "server09" => "credential = \"own\"\n".to_owned(),
        "server15" => "logs = [\"System\", \"Applications\"]\n".to_owned(),
        _ => String::new(),
    });
    let mapper = |n: usize| fleet.sim.servers()[n - 1].mapper_port();
    let address =
        format!("[servers.server16]\naddress = \"127.0.0.1\"\nmapper-port = {}\n", mapper(16));
    let nowhere = "[servers.server16]\naddress = \"no-such-host.invalid\"\n";
    assert!(inventory.contains(&address));
    fleet.write_inventory(&(inventory.replace(&address, nowhere) + &own));

    let ran = fleet.scan(&["@all"]);
    let mut expected = fleet.everywhere(|_| true);
    expected
        .retain(|server, _| ["server01", "server14", "server15", "server17"].contains(&&**server));
    expected.insert(name(2), (1..=30).collect());
    expected.insert(name(3), (1..=30).collect());
    expected.insert(name(13), (1..=30).chain(46..=60).collect());
    assert_eq!(ran.by_host(), expected, "{}", ran.shown());
    assert_eq!(ran.status, Some(3));
    // What comes first is chance.
    let (before, summary) = ran
        .stderr
        .split_at(ran.stderr.find("4 of 17 servers").unwrap_or_else(|| panic!("{}", ran.shown())));
    let mut lines: Vec<&str> = before.lines().collect();
    lines.sort();
    let mut shown = format!("{}\n---\n{summary}", lines.join("\n"));
    for n in 1..=17 {
        shown = shown.replace(&mapper(n).to_string(), "MAPPER-PORT");
        shown = shown.replace(&fleet.sim.servers()[n - 1].event_port().to_string(), "EVENT-PORT");
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn hosts_that_are_not_there_are_told_apart() {
    let fleet = Fleet::new(servers(1), 20);
    let closed = closed_port();
    let (refused, unknown) =
        (format!("even6://127.0.0.1:{closed}"), "even6://no-such-host.invalid");
    let ran = fleet.scan(&["server01", &refused, unknown]);
    assert_eq!(ran.status, Some(3), "{}", ran.shown());
    assert_eq!(ran.by_host(), fleet.everywhere(|_| true));
    ran.line("error: cannot reach no-such-host.invalid: unknown host");
    ran.line(&format!("error: cannot reach 127.0.0.1: connection to port {closed} refused"));
    ran.line("1 of 3 servers answered, 2 failed; 20 records, 20 matched");
    ran.line("    check the name, or give its address");
    // Nothing answered.
    let ran = fleet.scan(&[&refused, unknown]);
    assert_eq!((ran.status, &*ran.stdout), (Some(2), ""));
    ran.line("0 of 2 servers answered, 2 failed; 0 records, 0 matched");
}

#[test]
fn a_mistake_in_the_inventory_is_shown_where_it_is() {
    let fleet = Fleet::new(servers(2), 20);
    let good = fleet.sim.inventory(PASSWORD_FILE);
    let last = good.lines().count();
    // What is added, and in which of its lines and columns the mistake is.
    let cases = [
        ("mapper-port = 135\n", 1, 1),
        ("endpoint = 70000\n", 1, 12),
        ("colour = \"red\"\n", 1, 1),
        ("logs = \"System\"\n", 1, 8),
        ("credential = \"nobody\"\n", 1, 14),
        ("\n[groups]\nweb = [\"server01\", 7]\n", 3, 20),
        ("\n[servers.SERVER01]\n", 2, 10),
        ("endpoint = \n", 1, 12),
        ("\n[credentials.x]\nusername = 'x'\npassword = 'Granite-7'\n", 4, 1),
    ];
    for (added, line, column) in cases {
        fleet.write_inventory(&format!("{good}{added}"));
        let ran = fleet.scan(&["@all"]);
        assert_eq!((ran.status, &*ran.stdout), (Some(2), ""), "{added}{}", ran.shown());
        let line = last + line;
        let place = format!("error: {INVENTORY}: line {line}, column {column}: ");
        assert!(ran.stderr.starts_with(&place), "{added}{}", ran.shown());
        // The line itself, and a mark below; but no secret.
        let shown = ran.stderr.lines().nth(2).unwrap();
        assert_eq!(shown.find('^').unwrap(), column + 1, "{added}{}", ran.shown());
        assert!(!ran.stderr.contains("Granite-7"), "{}", ran.shown());
    }
    assert!(fleet.sim.servers().iter().all(|server| server.stats().connections == 0));
}

#[test]
fn a_name_that_is_no_server_costs_no_other() {
    let fleet = Fleet::new(servers(2), 20);
    let ran = fleet.scan(&["server01", "@slate", "quarry*", "server02"]);
    // A mistake in the words, and no server that failed.
    assert_eq!(ran.status, Some(2), "{}", ran.shown());
    assert_eq!(ran.by_host(), fleet.everywhere(|_| true));
    assert_eq!(ran.errors().len(), 2, "{}", ran.shown());
    ran.line("error: @slate: ");
    ran.line("error: quarry*: ");
    ran.line("2 of 2 servers answered; 40 records, 40 matched");
}

#[test]
fn a_group_that_is_not_there_is_a_mistake_that_costs_nothing_else() {
    let fleet = Fleet::new(servers(2), 20);
    let groups =
        format!("{}\n[groups]\nwebs = [\"server01\"]\n", fleet.inventory_with(|_| String::new()));
    fleet.write_inventory(&groups);
    let ran = fleet.scan(&["@web", "server02"]);
    assert_eq!(ran.by_host().keys().collect::<Vec<_>>(), ["server02"], "{}", ran.shown());
    assert_eq!(ran.status, Some(2), "{}", ran.shown());
    let [error] = ran.errors()[..] else { panic!("{}", ran.shown()) };
    assert!(error.contains("@web") && ran.stderr.contains("webs"), "{}", ran.shown());
    // It is no server, so none has failed.
    ran.line("1 of 1 server answered; 20 records, 20 matched");
}
