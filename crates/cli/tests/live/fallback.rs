//! Servers that may be read in either protocol: a simulated server for MS-EVEN6, with what can be
//! wrong with it, and Samba's smbd for MS-EVEN, under one name. Needs root and Samba; says so and
//! passes where they aren't.
#![cfg(unix)]

use std::net::TcpListener;
use std::sync::Arc;

use quarry_cred::Credential;
use quarry_sim::Fault;
use quarry_testkit::SambaServer;

use super::*;

/// Records of Samba's System log; the simulated server has others.
const RECORDS: u64 = 40;

/// One server, which may be read in either protocol.
fn fleet(fault: Option<Fault>, smb_port: u16) -> Fleet {
    let mut server = ServerOptions::new("fred".to_owned());
    server.faults.extend(fault);
    let fleet = Fleet::start(vec![server], |options| {
        options.events = 10;
        let secret = Secret::new(SambaServer::PASSWORD.to_owned()).unwrap();
        options.credential = Arc::new(Credential::new(SambaServer::USER.parse().unwrap(), secret));
    });
    fleet.write_password(SambaServer::PASSWORD);
    let more = format!("protocol = \"any\"\nsmb-port = {smb_port}\n");
    fleet.write_inventory(&fleet.inventory_with(|_| more.clone()));
    fleet
}

fn samba() -> Option<SambaServer> {
    let samba = SambaServer::start(&[])?;
    samba.open_logs();
    let record = |n: u64| {
        serde_json::json!({
            "time_generated": 1_700_000_000 + n, "time_written": 1_700_000_000 + n,
            "event_id": n, "type": 4, "category": 0, "source": "Slate", "computer": "QUARRY",
            "sid": null, "strings": [format!("stone {n}")], "data": "",
        })
    };
    samba.fill("System", &(1..=RECORDS).map(record).collect::<Vec<_>>());
    Some(samba)
}

/// A port at which nobody listens.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn what_has_no_even6_to_read_is_read_over_smb_and_v_says_why() {
    let Some(samba) = samba() else { return };
    for (fault, why) in [
        (Fault::NoMapper, "connection to port "),
        (Fault::BlackHole, "no answer on port "),
        (Fault::PortClosed, "connection to the event log's own port refused"),
        (Fault::PortDropped, "no answer on the event log's own port in 1 s"),
        (Fault::Hollow, "no event log service in MS-EVEN6"),
    ] {
        let fleet = fleet(Some(fault.clone()), samba.port);
        for command in ["scan", "count", "tail"] {
            let mut run_it = fleet.command(&[command, "fred", "-v", "-o", "jsonl"]);
            run_it.args(IMPATIENT);
            match command {
                "scan" => drop(run_it.args(["-i", "1-1000"])),
                "tail" => drop(run_it.args(["-n", "40", "-l", "System"])),
                _ => drop(run_it.args(["-l", "System"])),
            }
            let ran = match command {
                "tail" => run_until(run_it, RECORDS as usize),
                _ => run(run_it),
            };
            let lines = ran.json();
            assert!(
                lines.iter().all(|line| line["source"] == "even://fred"),
                "{fault} {command}: {}",
                ran.stdout
            );
            match command {
                "count" => assert_eq!(lines[0]["records"], RECORDS, "{fault}: {}", ran.shown()),
                _ => {
                    let numbers: Vec<u64> =
                        lines.iter().map(|line| line["log_record"].as_u64().unwrap()).collect();
                    assert_eq!(
                        numbers,
                        (1..=RECORDS).collect::<Vec<_>>(),
                        "{fault} {command}: {}",
                        ran.shown()
                    );
                }
            }
            let said = ran.line("fred: MS-EVEN over SMB, as MS-EVEN6 can't be had: ");
            assert!(said.contains(why), "{fault} {command}: {said}");
            // It is said once, and nothing is wrong. A service in name only shows late.
            let told = ran.stderr.matches("fred: MS-EVEN").count();
            let is_late = fault == Fault::Hollow && told == 2;
            assert!(told == 1 || is_late, "{fault}: {}", ran.shown());
            assert!(ran.errors().is_empty(), "{fault}: {}", ran.shown());
        }
    }
}

#[test]
fn what_has_even6_is_read_in_it() {
    let Some(samba) = samba() else { return };
    let fleet = fleet(None, samba.port);
    let ran = fleet.run(&["scan", "fred", "-v", "-o", "jsonl"]);
    ran.line("fred: MS-EVEN6");
    let lines = ran.json();
    assert_eq!(lines.len(), 10);
    assert!(lines.iter().all(|line| line["source"] == "even6://fred"), "{}", ran.stdout);
    let quiet = fleet.run(&["scan", "fred", "-o", "jsonl"]);
    assert!(!quiet.stderr.contains("MS-EVEN"), "{}", quiet.shown());
}

#[test]
fn of_what_answers_on_neither_port_the_first_is_told() {
    for (fault, what) in [
        (Fault::NoMapper, "connection to port {} refused"),
        (Fault::BlackHole, "no answer on port {} in 1 s"),
        (Fault::Hollow, "connection to port {smb} refused"),
    ] {
        let smb_port = closed_port();
        let fleet = fleet(Some(fault), smb_port);
        let ran = fleet.scan(&["fred"]);
        let mapper = fleet.sim.servers()[0].mapper_port().to_string();
        let what = what.replace("{}", &mapper).replace("{smb}", &smb_port.to_string());
        let error = ran.line("error: ");
        assert_eq!(error, format!("error: cannot reach fred: {what}"), "{}", ran.shown());
        assert_eq!(ran.status, Some(2));
    }
}

#[test]
fn whom_even6_refuses_is_not_tried_over_smb() {
    let Some(samba) = samba() else { return };
    let fleet = fleet(Some(Fault::RefuseLogon), samba.port);
    let ran = fleet.scan(&["fred"]);
    assert!(ran.line("error: ").starts_with("error: logon refused for root on fred"));
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(2), ""));
}

#[test]
fn a_server_that_a_cursor_file_knows_is_followed_as_it_was_then() {
    let Some(samba) = samba() else { return };
    let fleet = fleet(Some(Fault::NoMapper), samba.port);
    let tail = |cursors: &str| {
        let mut command = fleet.command(&["tail", "fred", "-v", "-n", "40"]);
        command.args(PLACE).args(["--cursor-file", cursors, "--connect-timeout", "1s"]);
        command
    };
    let idle = |cursors: &str| {
        let mut command = tail(cursors);
        command.args(["--deadline", "8s"]);
        run(command)
    };
    // A record number in one address is none in the other: nothing may come twice or be missed.
    let first = run_until(tail("a.cursor"), RECORDS as usize);
    assert_eq!(first.stdout.lines().count() as u64, RECORDS, "{}", first.shown());
    let path = fleet.root().join("a.cursor");
    let saved = std::fs::read_to_string(&path).unwrap();
    assert!(saved.contains("even://fred"), "{saved}");
    assert_eq!(idle("a.cursor").stdout, "");

    std::fs::write(&path, saved.replace("even://fred", "even6://fred")).unwrap();
    let known = idle("a.cursor");
    assert_eq!(known.stdout, "", "{}", known.shown());
    assert!(known.stderr.contains("trying again"), "{}", known.shown());
}
