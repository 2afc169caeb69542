//! Each fault that a simulated server can have, on one of twenty: the other nineteen are complete,
//! and what is said of the one names the cause and what to do.

use quarry_sim::Fault;

use super::*;

const EVENTS: u64 = 300;
/// The server with the fault.
const FAULTY: usize = 7;

/// What a fault comes to.
struct Case {
    fault: Fault,
    /// Options of the scan besides.
    args: &'static [&'static str],
    /// How many events the server with the fault has.
    events: u64,
    /// The records that come of it.
    comes: Comes,
    /// What the line about it says, and the remedy in the summary; nothing if all is well.
    failure: Option<(String, &'static str)>,
    /// What a warning says.
    warning: Option<&'static str>,
}

enum Comes {
    All,
    Nothing,
    First(u64),
    /// Those up to the first number, and from the second on.
    Around(u64, u64),
}

/// What a kind of fault comes to, by its name; the ports are those of the server.
fn case(kind: &str, mapper: u16, event: u16) -> Case {
    let fault = |text: &str| text.parse::<Fault>().unwrap();
    let well = |text: &str| Case {
        fault: fault(text),
        args: &[],
        events: EVENTS,
        comes: Comes::All,
        failure: None,
        warning: None,
    };
    let fails = |text: &str, what: String, remedy| Case {
        comes: Comes::Nothing,
        failure: Some((what, remedy)),
        ..well(text)
    };
    let name = name(FAULTY);
    match kind {
        // Each batch takes longer than a server may be silent, but it says that it lives.
        "slow" => Case { events: 8, ..well("slow:15000") },
        "silent" => Case {
            comes: Comes::First(100),
            ..fails(
                "silent:100",
                format!("{name}: silent for 12 s, after 100 records"),
                "--timeout",
            )
        },
        "reset" => Case {
            comes: Comes::First(100),
            warning: Some("connection lost (reset); trying again"),
            ..fails(
                "reset:100",
                format!("{name}: connection lost (reset), after 100 records"),
                "try again",
            )
        },
        "restart" => {
            Case { warning: Some("connection lost (reset); trying again"), ..well("restart:100") }
        }
        "black-hole" => fails(
            kind,
            format!("cannot reach {name}: no answer on port {mapper} in 1 s"),
            "is it up, and is the firewall rule \"Remote Event Log Management\" on?",
        ),
        "no-mapper" => fails(
            kind,
            format!("cannot reach {name}: connection to port {mapper} refused"),
            "is it a Windows server, and does its RPC service run?",
        ),
        "port-closed" => fails(
            kind,
            format!("cannot reach {name}: connection to port {event} refused"),
            "does its event log service run?",
        ),
        "port-dropped" => fails(
            kind,
            format!("cannot reach {name}: no answer on port {event} in 1 s"),
            "Remote Event Log Management (RPC)",
        ),
        "refuse-logon" | "refuse-once" => fails(
            kind,
            format!("logon refused for {ACCOUNT} on {name}"),
            "check the user name and the password",
        ),
        "refuse-access" => fails(
            kind,
            format!("{ACCOUNT} may not read System on {name}"),
            "members of Event Log Readers may",
        ),
        // The first call is tried again, as whoever is busy may have time later.
        "busy" => Case {
            warning: Some("too busy; trying again"),
            ..fails(kind, format!("{name}: the server is too busy"), "try again later")
        },
        "drip" => fails(
            "drip:1000",
            format!("{name}: too slow: not done after 12 s"),
            "--timeout allows it more time",
        ),
        "pending" => fails(
            kind,
            format!("{name}: the server breaks the protocol: 5 interim answers to a request"),
            "please report it",
        ),
        // It says that it lives, and nothing else is asked of it here.
        "endless" => Case {
            args: &["--deadline", "30s"],
            ..fails(kind, format!("{name}: not done by the deadline"), "--deadline")
        },
        "big-batch" => well("big-batch:20000"),
        "few-clauses" => {
            Case { args: &["-i", "1,41,7031,7036,10016", "-p", "warning"], ..well("few-clauses:2") }
        }
        "garbage" | "oversized" => {
            fails(kind, format!("{name}: the server breaks the protocol: "), "please report it")
        }
        // What was not read yet is gone, which is a hole, but nothing is wrong with the server.
        "cleared" => {
            Case { comes: Comes::First(100), warning: Some("overwritten"), ..well("cleared:100") }
        }
        "wrapped" => Case {
            comes: Comes::Around(100, 201),
            warning: Some("overwritten"),
            ..well("wrapped:100")
        },
        // It matters to who waits for new records, or asks for some only.
        "forwarded" | "no-wait" | "refuse-query" | "nested" => well(kind),
        // Their events come without text, as in texts.rs.
        "no-messages" | "messages-hang" | "messages-garbage" | "messages-oversized" => well(kind),
        "hollow" => fails(
            kind,
            format!("{name}: no event log service in MS-EVEN6"),
            "even://server07 reads others over SMB",
        ),
        kind => panic!("nobody says what comes of {kind}"),
    }
}

fn check(kind: &str) {
    let mut options = servers(20);
    let Case { fault, events, .. } = case(kind, 0, 0);
    options[FAULTY - 1] =
        ServerOptions { events: Some(events), ..ServerOptions::new(name(FAULTY)) }.with(fault);
    let fleet = Fleet::new(options, EVENTS);
    if kind.starts_with("refuse-") && kind != "refuse-access" {
        // It has an account of its own: see the module `logon` for one that is shared.
        let own = format!(
            "[credentials.own]\nusername = '{ACCOUNT}'\npassword-file = '{PASSWORD_FILE}'\n"
        );
        let credential = |server: &str| match server == name(FAULTY) {
            true => "credential = \"own\"\n".to_owned(),
            false => String::new(),
        };
        fleet.write_inventory(&format!("{}\n{own}", fleet.inventory_with(credential)));
    }
    let faulty = fleet.sim.server(&name(FAULTY)).unwrap();
    let Case { args, comes, failure, warning, .. } =
        case(kind, faulty.mapper_port(), faulty.event_port());
    // What is expected is asked before: some faults drop what is there.
    let wanted = [1, 41, 7031, 7036, 10016];
    let mut expected = fleet.everywhere(|event| {
        !args.contains(&"-i")
            || (wanted.contains(&number(event, Field::EventId))
                && (1..=3).contains(&number(event, Field::Level)))
    });
    let all = expected.remove(&name(FAULTY)).unwrap();
    assert!(
        expected.values().all(|numbers| numbers.len() > 20),
        "{kind}: the test asks too little"
    );
    match comes {
        Comes::All => drop(expected.insert(name(FAULTY), all)),
        Comes::Nothing => {}
        Comes::First(last) => drop(expected.insert(name(FAULTY), (1..=last).collect())),
        Comes::Around(last, next) => {
            drop(expected.insert(name(FAULTY), (1..=last).chain(next..=EVENTS).collect()));
        }
    }

    let ran = fleet.scan(&[&["@all"], args].concat());
    for (server, numbers) in &expected {
        let came = ran.by_host().remove(server).unwrap_or_default();
        assert_eq!(came, *numbers, "{kind}: records of {server}\n{}", ran.shown());
    }
    assert_eq!(ran.by_host(), expected, "{kind}");

    let summary = match &failure {
        None => "20 of 20 servers answered; ",
        Some(_) => "19 of 20 servers answered, 1 failed; ",
    };
    let printed = ran.stdout.lines().count();
    let summary = ran.line(summary);
    assert!(summary.ends_with(&format!(" {} matched", grouped(printed))), "{kind}: {summary}");
    match failure {
        None => {
            // Nothing failed, but what is missing nobody asked to leave out.
            let status = if warning == Some("overwritten") { 3 } else { 0 };
            assert_eq!(ran.status, Some(status), "{kind}: {}", ran.shown());
            assert_eq!(ran.errors(), [""; 0], "{kind}");
        }
        Some((what, remedy)) => {
            assert_eq!(ran.status, Some(3), "{kind}: {}", ran.shown());
            assert_eq!(ran.errors().len(), 1, "{kind}: {}", ran.shown());
            ran.line(&format!("error: {what}"));
            let behind = ran.stderr.split_once("answered, 1 failed").unwrap().1;
            let mut behind = behind.lines().skip(1);
            let (cause, said) = (behind.next().unwrap(), behind.next().unwrap());
            assert!(cause.ends_with(&format!(": {}", name(FAULTY))), "{kind}: {cause}");
            assert!(said.contains(remedy), "{kind}: {said}");
            assert_eq!(behind.next(), None, "{kind}");
        }
    }
    let warnings: Vec<&str> =
        ran.stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
    match warning {
        None => assert_eq!(warnings, [""; 0], "{kind}"),
        Some(warning) => {
            let about = |line: &&str| line.contains(&name(FAULTY)) && line.contains(warning);
            assert!(!warnings.is_empty() && warnings.iter().all(about), "{kind}: {warnings:?}");
        }
    }
}

pub(crate) fn grouped(number: usize) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", number / 1000, number % 1000),
    }
}

#[test]
fn a_fault_of_one_server_of_twenty_costs_the_others_nothing() {
    let kinds = Fault::KINDS.map(|(kind, _)| kind.split('[').next().unwrap());
    std::thread::scope(|scope| {
        let checks: Vec<_> =
            kinds.iter().map(|kind| (kind, scope.spawn(move || check(kind)))).collect();
        let failed: Vec<_> = checks
            .into_iter()
            .filter_map(|(kind, check)| check.join().is_err().then_some(kind))
            .collect();
        assert!(failed.is_empty(), "{failed:?}");
    });
}

#[test]
fn a_log_that_wraps_behind_one_who_reads_backwards_ends_sooner() {
    let options = vec![ServerOptions::new("server01").with(Fault::Wrapped(100))];
    let fleet = Fleet::new(options, EVENTS);
    let ran = fleet.scan(&["@all", "-r"]);
    // The older half of what was not read yet is gone, as if it had never been there.
    assert_eq!(ran.by_host()["server01"], (101..=300).rev().collect::<Vec<_>>());
    assert_eq!(
        (ran.status, &*ran.stderr),
        (Some(0), "1 of 1 server answered; 200 records, 200 matched\n")
    );
}

#[cfg(unix)]
#[test]
fn a_fleet_is_read_where_few_files_may_be_open() {
    let fleet = Fleet::new(servers(90), 3);
    let known = fleet.everywhere(|_| true);
    // Of what a shell allows at first the program takes more, up to what it may take at all: then fewer
    // servers are open at once.
    for limits in ["ulimit -S -n 40", "ulimit -n 160"] {
        let quarry = fleet.command(&["scan", "@all"]);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{limits} && exec \"$0\" \"$@\"")]);
        shell.arg(quarry.get_program()).args(quarry.get_args()).args(PLACE).args(IMPATIENT);
        for (name, value) in quarry.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell.current_dir(fleet.root()).stdin(Stdio::null());
        let ran = run(shell);
        assert_eq!(ran.by_host(), known, "{limits}: {}", ran.shown());
    }
}
