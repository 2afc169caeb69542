//! The page for the accounts of a system: real accounts in a mount namespace of the test's, and Python's
//! TLS on the other side. What each may read is compared with what the servers know of their events.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

use quarry_testkit::{Visitor, accounts};
use serde_json::Value as Json;

use super::*;

/// The account `service`, which the process that faces the network runs as.
const SERVICE: u32 = 7900;

/// `readers` read everything, and `bob` what is said here.
fn rules(of_bob: &str) -> String {
    format!(
        "[sign-in]\ngroups = ['readers', 'bob']\n\
         [access.all]\ngroups = ['readers']\non = ['*']\nlogs = ['*', 'Security']\nmay = ['audit']\n\
         [access.bob]\ngroups = ['bob']\n{of_bob}\n"
    )
}

fn put(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
}

/// The address that the log tells.
pub(super) fn address(said: &str) -> Option<String> {
    let at = said.find("https://127.0.0.1:")?;
    let rest = &said[at..];
    let end = rest.find(|c: char| c.is_whitespace() || c == '"')?;
    Some(rest[..end].to_owned())
}

/// What a person's SQL counts in each log of each server, and what the page counts for them.
pub(super) fn counted(visitor: &Visitor, cookie: &str) -> (BTreeMap<(String, String), u64>, u64) {
    let statement = "SELECT host, log, count(*) AS n FROM events GROUP BY host, log";
    let answer = visitor.ask("POST", "/api/v1/sql", cookie, statement);
    assert_eq!(answer["status"], 200, "{answer}");
    let row = |line: &str| {
        let row: Json = serde_json::from_str(line).unwrap();
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        ((text("host"), text("log")), row["n"].as_u64().unwrap())
    };
    let rows = answer["body"].as_str().unwrap().lines().map(row).collect();
    let answer = visitor.get("/api/v1/count?from=stored", cookie);
    assert_eq!(answer["status"], 200, "{answer}");
    let body: Json = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    (rows, body["events"].as_u64().unwrap())
}

#[test]
fn accounts_read_what_is_stored_under_rules_that_may_change() {
    if !accounts::inside("accounts::accounts_read_what_is_stored_under_rules_that_may_change") {
        return;
    }
    let fleet = Fleet::new(2, 40);
    let access = fleet.root().join("access.toml");
    put(&access, &rules("on = ['server01']\nlogs = ['System']"));
    let page = "[page]\nlisten = \"127.0.0.1:0\"\naccess = \"access.toml\"\n\
                audit = \"audit.jsonl\"\nrun-as = \"service\"\n";
    let config = fleet.configure("quarryd.toml", &format!("{USUAL}{page}"));
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o644)).unwrap();
    for path in [fleet.root().to_owned(), fleet.root().join("fleet.password")] {
        chown(path, Some(SERVICE), Some(SERVICE)).unwrap();
    }
    let checked = quarryd(fleet.root(), &["check", "quarryd.toml"]).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(said.contains("for the accounts that") && said.contains("served by service"), "{said}");

    let daemon = Daemon::start(&fleet, "quarryd.toml");
    daemon.wait_for("quarryd is up", 1);
    let visitor =
        Visitor::of(&address(&daemon.said()).unwrap_or_else(|| panic!("{}", daemon.said())));
    // Who reads servers and writes the table has no privileges.
    assert_eq!(std::fs::metadata(fleet.table()).unwrap().uid(), SERVICE);
    assert_eq!(visitor.get("/api/v1/count?from=stored", "")["status"], 401);
    assert_eq!(visitor.sign_in("u1", accounts::PASSWORD)["status"], 403);
    let (alice, bob) = (visitor.cookie_of("alice"), visitor.cookie_of("bob"));

    let known = |wanted: &[(usize, &str)]| -> BTreeMap<(String, String), u64> {
        let of = |(n, log): &(usize, &str)| {
            let server = fleet.server(*n);
            let records = server.records(log).unwrap().len() as u64;
            ((server.name().to_owned(), (*log).to_owned()), records)
        };
        wanted.iter().map(of).collect()
    };
    let all = known(&[(1, "System"), (1, "Application"), (2, "System"), (2, "Application")]);
    wait(|| counted(&visitor, &alice).0 == all, || daemon.said());
    assert_eq!(counted(&visitor, &alice).1, all.values().sum::<u64>());
    let of_bob = known(&[(1, "System")]);
    assert_eq!(counted(&visitor, &bob), (of_bob.clone(), of_bob.values().sum()));
    for path in ["/", "/events?from=stored", "/api/v1/facets?from=stored", "/api/v1/servers"] {
        let seen = visitor.get(path, &bob);
        assert_eq!(seen["status"], 200, "{path}");
        assert!(!seen["body"].as_str().unwrap().contains("server02"), "{path}");
    }
    let audit = std::fs::read_to_string(fleet.root().join("audit.jsonl")).unwrap();
    for act in ["sign-in", "sql", "question"] {
        let is_bobs = |line: &str| {
            let line: Json = serde_json::from_str(line).unwrap();
            line["act"] == act && line["person"] == "bob"
        };
        assert!(audit.lines().any(is_bobs), "{act}: {audit}");
    }

    // Rules that change hold for sessions that are open.
    put(&access, &rules("on = ['server02']\nlogs = ['*']"));
    let of_bob = known(&[(2, "System"), (2, "Application")]);
    wait(|| counted(&visitor, &bob).0 == of_bob, || daemon.said());
    assert_eq!(counted(&visitor, &alice).0, all);

    // A hangup of the process that was started reaches the one that has the configuration.
    daemon.signal(Signal::HUP);
    daemon.wait_for("the configuration was taken up", 1);
    daemon.stop();
}

#[test]
fn a_page_for_accounts_says_what_it_lacks() {
    if !accounts::inside("accounts::a_page_for_accounts_says_what_it_lacks") {
        return;
    }
    let fleet = Fleet::new(1, 1);
    let said = |keys: &str| {
        fleet
            .configure("quarryd.toml", &format!("{USUAL}[page]\nlisten = \"127.0.0.1:0\"\n{keys}"));
        let output = quarryd(fleet.root(), &["serve", "quarryd.toml"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{keys}: {output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let audit = "audit = \"audit.jsonl\"\n";
    for (keys, expected) in [
        ("audit = \"audit.jsonl\"", "page.audit"),
        ("access = \"access.toml\"", "page.access needs page.audit"),
        (&*format!("access = \"a\"\n{audit}key = \"key.pem\""), "belong together"),
        (&*format!("access = \"a\"\n{audit}run-as = \"no-such\""), "name another by page.run-as"),
        (
            &*format!("access = \"a\"\n{audit}run-as = \"root\""),
            "name another account by page.run-as",
        ),
    ] {
        let said = said(keys);
        assert!(said.contains(expected), "{keys}: {said}");
    }
}
