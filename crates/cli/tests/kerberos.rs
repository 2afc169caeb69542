//! `quarry -k` as a user runs it, on a client of a domain: Samba's domain controller is the key
//! distribution centre and the server at once. It serves MS-EVEN's events over SMB; of MS-EVEN6 it
//! has no events (crates/even/tests/samba_ad.rs binds there).
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::Output;

use quarry_testkit::SambaDomain;
use serde_json::{Value, json};

const QUARRY: &str = env!("CARGO_BIN_EXE_quarry");
const HOST: &str = SambaDomain::HOST;
const LOG: [&str; 2] = ["-l", "Application"];

/// A domain, and passwords and inventories in files.
struct Bench {
    domain: SambaDomain,
    files: tempfile::TempDir,
}

/// What a run of the program came to.
struct Ran {
    stdout: String,
    stderr: String,
    status: Option<i32>,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Ran {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            status: output.status.code(),
        }
    }
}

impl Bench {
    /// Writes a file that only its owner may read, and gives its path.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.files.path().join(name);
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&path).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn keytab(&self, user: &str) -> String {
        self.domain.folder().join(format!("{user}.keytab")).to_str().unwrap().to_owned()
    }

    /// The program on the client, with a ticket cache, or with one that isn't there.
    fn quarry(&self, cache: Option<&str>, before: &[&str], words: &[&str]) -> Ran {
        let cache = format!("KRB5CCNAME={}", cache.unwrap_or("FILE:/nonexistent/cache"));
        let home = format!("HOME={}", self.files.path().display());
        let config = format!("XDG_CONFIG_HOME={}", self.files.path().display());
        // Where the clock is faked, tokio's is not.
        let head = ["env", &cache, &home, &config, "TZ=UTC", "FAKETIME_DONT_FAKE_MONOTONIC=1"];
        let words = [&head[..], before, &[QUARRY], words].concat();
        self.domain.run("", &words).into()
    }

    /// Counts a server's log, which is the least that one can ask.
    fn count(&self, source: &str, cache: Option<&str>, before: &[&str], words: &[&str]) -> Ran {
        self.quarry(cache, before, &[&["count", source, "-o", "jsonl"], &LOG[..], words].concat())
    }

    /// Gets a ticket as a user does.
    fn kinit(&self, user: &str, password: &str) -> String {
        let cache = format!("FILE:{}", self.files.path().join(format!("{user}.cache")).display());
        let principal = format!("{user}@BEDROCK.TEST");
        let output =
            self.domain.run(&format!("{password}\n"), &["kinit", "-c", &cache, &principal]);
        assert!(output.status.success(), "{output:?}");
        cache
    }

    /// How many lines of the key distribution centre's log have all of some words.
    fn logged(&self, words: &[&str]) -> usize {
        let log = fs::read(self.domain.folder().join("dc/log.samba")).unwrap();
        let log = String::from_utf8_lossy(&log);
        log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }

    fn bad_passwords(&self, user: &str) -> String {
        let shown = ["samba-tool", "user", "show", user, "--attributes=badPwdCount"];
        let text = self.domain.administer(&shown);
        let line = text.lines().find(|line| line.starts_with("badPwdCount"));
        line.map_or("none".into(), |line| line["badPwdCount: ".len()..].to_owned())
    }
}

/// All in one: the domain takes its time to come up.
#[test]
fn servers_of_a_domain_are_read_by_kerberos() {
    let Some(domain) = SambaDomain::start() else { return };
    // What each request was is in the log then.
    domain.restart_with("log level = 1 kerberos:3");
    let files = tempfile::Builder::new().prefix("quarry-k").tempdir().unwrap();
    let expected = domain.fill("Application", 300);
    let bench = Bench { domain, files };
    password_keytab_and_cache_read_every_event(&bench, &expected);
    twenty_thousand_records_come_in_order(&bench);
    let fleet = make_fleet(&bench);
    let fleet: Vec<&str> = fleet.iter().map(String::as_str).collect();
    a_fleet_needs_one_exchange_for_tickets_and_one_a_service(&bench, &fleet);
    a_wrong_password_is_tried_once_for_a_fleet(&bench, &fleet);
    an_address_or_an_alias_falls_back_only_where_ntlm_is_allowed(&bench);
    what_is_wrong_with_an_account_is_told_with_what_to_do(&bench);
    what_is_wrong_with_a_cache_or_keytab_is_told_with_what_to_do(&bench);
    a_clock_that_is_off_is_told_with_how_far(&bench);
    a_clock_that_is_off_is_told_by_a_server_too(&bench);
    a_ticket_that_the_server_does_not_take_is_no_wrong_password(&bench);
    a_keytab_that_others_can_read_is_warned_of(&bench);
    to_allow_ntlm_does_not_take_kerberos_away(&bench);
    a_key_distribution_centre_that_does_not_answer_is_told(&bench, &fleet);
    an_inventory_says_who_signs_in_by_kerberos(&bench);
    over_tcp_both_ways_to_authenticate_get_through(&bench);
    a_name_alone_falls_back_from_a_service_in_name_only(&bench);
}

fn password_keytab_and_cache_read_every_event(bench: &Bench, expected: &[Value]) {
    let source = format!("even://{HOST}");
    let password = bench.file("barney", "bambam");
    let (cache, keytab) = (bench.kinit("fred", "pebbles1!"), bench.keytab("fred"));
    let scan = |cache, words: &[&str]| {
        bench.quarry(cache, &[], &[&["scan", &source, "-o", "jsonl"], &LOG[..], words].concat())
    };
    for ran in [
        scan(None, &["-k", "-u", r"BEDROCK\barney", "--password-file", &password]),
        scan(None, &["-k", "-u", "barney@bedrock.test", "--password-file", &password]),
        scan(None, &["--keytab", &keytab]),
        scan(None, &["--keytab", &keytab, "-u", "FRED"]),
        scan(Some(&cache), &["-k"]),
        scan(Some(&cache), &["-k", "-u", r"bedrock\fred"]),
    ] {
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        let events: Vec<Value> =
            ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events.len(), expected.len());
        for (event, record) in events.iter().zip(expected) {
            same(event, record);
        }
    }
    assert!(bench.logged(&["TGS-REQ SUCCESS", "fred@", "cifs/granite.bedrock.test"]) > 0);
}

/// An event is the record that the rig wrote, as far as records go (MS-EVEN 2.2.3).
fn same(event: &Value, record: &Value) {
    let id = record["event_id"].as_u64().unwrap();
    assert_eq!(event["log_record"], record["record"]);
    assert_eq!((&event["event_id"], &event["qualifiers"]), (&json!(id & 0xffff), &json!(id >> 16)));
    assert_eq!(event["provider"], record["source"]);
    assert_eq!(event["computer"], record["computer"]);
    assert_eq!(event["task"], record["category"]);
    assert_eq!(event["user_sid"], record["sid"]);
    let mut values: Vec<Value> = record["strings"].as_array().unwrap().clone();
    let data = record["data"].as_str().unwrap().to_uppercase();
    if !data.is_empty() {
        values.push(json!(data));
    }
    let found: Vec<Value> =
        event["data"].as_object().map(|data| data.values().cloned().collect()).unwrap_or_default();
    assert_eq!(found, values, "record {}", record["record"]);
}

fn twenty_thousand_records_come_in_order(bench: &Bench) {
    const RECORDS: usize = 20_000;
    assert_eq!(bench.domain.fill("System", RECORDS as u32).len(), RECORDS);
    let cache = bench.kinit("fred", "pebbles1!");
    let source = format!("even://{HOST}");
    let words = ["scan", &source, "-k", "-o", "csv", "--fields", "log_record"];
    let ran = bench.quarry(Some(&cache), &[], &words);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let numbers: Vec<usize> =
        ran.stdout.lines().skip(1).map(|line| line.parse().unwrap()).collect();
    assert!(numbers.iter().copied().eq(1..=RECORDS), "{} records", numbers.len());
}

/// Servers of names of their own that are all the controller, which is registered as each.
const FLEET: [&str; 6] = ["srv1", "srv2", "srv3", "srv4", "srv5", "srv6"];

fn make_fleet(bench: &Bench) -> Vec<String> {
    let names: Vec<String> = FLEET.map(|name| format!("{name}.bedrock.test")).into();
    for (short, name) in FLEET.iter().zip(&names) {
        let login = ["-U", "Administrator%Bedrock-1!"];
        let alias = ["samba-tool", "dns", "add", HOST, "bedrock.test", short, "CNAME", HOST];
        bench.domain.administer(&[&alias[..], &login].concat());
        let service = format!("cifs/{name}");
        bench.domain.administer(&["samba-tool", "spn", "add", &service, "GRANITE$"]);
    }
    names.iter().map(|name| format!("even://{name}")).collect()
}

fn a_fleet_needs_one_exchange_for_tickets_and_one_a_service(bench: &Bench, fleet: &[&str]) {
    let password = bench.file("barney", "bambam");
    let who = ["-k", "-u", "barney", "--password-file", &password];
    let granted = ["AS-REQ SUCCESS", "barney@"];
    let served = ["TGS-REQ SUCCESS", "barney@", "cifs/srv"];
    let before = (bench.logged(&granted), bench.logged(&served));
    let words = [&["count", "-o", "jsonl"], fleet, &LOG, &who].concat();
    let ran = bench.quarry(None, &[], &words);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stdout.lines().count(), fleet.len());
    let after = (bench.logged(&granted), bench.logged(&served));
    assert_eq!(after, (before.0 + 1, before.1 + fleet.len()));
}

fn a_wrong_password_is_tried_once_for_a_fleet(bench: &Bench, fleet: &[&str]) {
    let password = bench.file("wrong", "pebbles");
    let who = ["-u", "fred", "--password-file", &password];
    // Without a threshold nothing is counted.
    let threshold = "--account-lockout-threshold=10";
    let settings = ["samba-tool", "domain", "passwordsettings", "set", threshold];
    bench.domain.administer(&settings);
    assert_eq!(bench.bad_passwords("fred"), "0");
    // Also where NTLM is allowed: it would be tried there once more.
    let ways: [&[&str]; 2] = [&["-k"], &["-k", "--authentication", "negotiate"]];
    for (n, way) in ways.iter().enumerate() {
        let words = [&["count", "-o", "jsonl"], fleet, &LOG, &who, way].concat();
        let ran = bench.quarry(None, &[], &words);
        assert_eq!((ran.status, &*ran.stdout), (Some(2), ""));
        let said = "Kerberos: the password of fred@BEDROCK.TEST is wrong";
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
        assert!(ran.stderr.contains("it was tried once"), "{}", ran.stderr);
        assert_eq!(bench.bad_passwords("fred"), (n + 1).to_string());
    }
    // What Kerberos was refused, NTLM doesn't try at a server of which there is an address alone.
    let by_address = format!("even://{}", SambaDomain::ADDRESS);
    let by_name = format!("even://{HOST}");
    for (n, servers) in [[&*by_address, &*by_name], [&*by_name, &*by_address]].iter().enumerate() {
        let words = [&["count", "-o", "jsonl"], &servers[..], &LOG, &who, ways[1]].concat();
        let ran = bench.quarry(None, &[], &words);
        assert_eq!((ran.status, &*ran.stdout), (Some(2), ""));
        assert_eq!(bench.bad_passwords("fred"), (n + 3).to_string(), "{}", ran.stderr);
    }
    // Nor the one that the other was refused, where an inventory has both for one credential.
    let password = PathBuf::from(password);
    let text = format!(
        "[credentials.wrong]\nusername = 'BEDROCK\\fred'\npassword-file = {password:?}\n\
         [servers.ntlm]\naddress = '{HOST}'\nprotocol = 'even'\ncredential = 'wrong'\n\
         [servers.kerberos]\naddress = 'srv1.bedrock.test'\nprotocol = 'even'\ncredential = 'wrong'\n\
         authentication = 'kerberos'\n"
    );
    let inventory = bench.file("both.toml", &text);
    let words = ["count", "ntlm", "kerberos", "-o", "jsonl", "--inventory", &inventory];
    let ran = bench.quarry(None, &[], &[&words[..], &LOG].concat());
    assert_eq!((ran.status, &*ran.stdout), (Some(2), ""));
    assert_eq!(bench.bad_passwords("fred"), "5", "{}", ran.stderr);
    assert!(
        ran.stderr.contains("was not asked") || ran.stderr.contains("refused the credential"),
        "{}",
        ran.stderr
    );
}

/// The name is registered to an account whose key the server doesn't have, as after a server was
/// joined anew: that is nothing about the password, and a ticket of before is replaced.
fn a_ticket_that_the_server_does_not_take_is_no_wrong_password(bench: &Bench) {
    let login = ["-U", "Administrator%Bedrock-1!"];
    let alias = ["samba-tool", "dns", "add", HOST, "bedrock.test", "moved", "CNAME", HOST];
    bench.domain.administer(&[&alias[..], &login].concat());
    let spn = |what, whose| {
        let service = "cifs/moved.bedrock.test";
        bench.domain.administer(&["samba-tool", "spn", what, service, whose]);
    };
    spn("add", "barney");
    let source = "even://moved.bedrock.test";
    let cache = bench.kinit("fred", "pebbles1!");
    let ticket = ["env", &format!("KRB5CCNAME={cache}"), "kvno", "cifs/moved.bedrock.test"];
    let got = bench.domain.run("", &ticket);
    assert!(got.status.success(), "{got:?}");
    let ran = bench.count(source, Some(&cache), &[], &["-k"]);
    assert_eq!((ran.status, &*ran.stdout), (Some(2), ""));
    assert!(ran.stderr.contains("Kerberos: the server"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("check the user name and the password"), "{}", ran.stderr);
    assert!(ran.stderr.contains("joined"), "{}", ran.stderr);
    // It was asked for once more, as the cache's may be old.
    assert!(bench.logged(&["TGS-REQ SUCCESS", "fred@", "cifs/moved"]) >= 2);
    spn("delete", "barney");
    spn("add", "GRANITE$");
    let ran = bench.count(source, Some(&cache), &[], &["-k"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
}

/// The ticket is there already, so that it is the server that compares the clocks.
fn a_clock_that_is_off_is_told_by_a_server_too(bench: &Bench) {
    let cache = bench.kinit("fred", "pebbles1!");
    for service in ["host", "cifs"] {
        let ticket = format!("{service}/{HOST}");
        let cache = format!("KRB5CCNAME={cache}");
        let got = bench.domain.run("", &["env", &cache, "kvno", &ticket]);
        assert!(got.status.success(), "{got:?}");
    }
    let faked = ["faketime", "-f", "+20m"];
    for words in [
        &["logs", &format!("even6://{HOST}"), "-k"][..],
        &["logs", &format!("even6://{HOST}"), "-k", "--authentication", "kerberos"],
        &["logs", &format!("even://{HOST}"), "-k"],
    ] {
        let ran = bench.quarry(Some(&cache), &faked, words);
        assert_eq!(ran.status, Some(2), "{words:?}");
        assert!(ran.stderr.contains("min ahead of that of the server"), "{words:?} {}", ran.stderr);
        assert!(ran.stderr.contains("set the clock"), "{}", ran.stderr);
    }
}

fn a_keytab_that_others_can_read_is_warned_of(bench: &Bench) {
    use std::os::unix::fs::PermissionsExt as _;
    let open = bench.files.path().join("open.keytab");
    fs::copy(bench.keytab("fred"), &open).unwrap();
    for (mode, warns) in [(0o600, false), (0o644, true)] {
        fs::set_permissions(&open, fs::Permissions::from_mode(mode)).unwrap();
        let words = ["--keytab", open.to_str().unwrap()];
        let ran = bench.count(&format!("even://{HOST}"), None, &[], &words);
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        let said = ran.stderr.contains("open.keytab can be read or written by others");
        assert_eq!(said, warns, "{}", ran.stderr);
    }
    let nowhere = ["env", "KRB5_CONFIG=/nonexistent/krb5.conf"];
    let ran = bench.count(
        &format!("even://{HOST}"),
        None,
        &nowhere,
        &["--keytab", open.to_str().unwrap()],
    );
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("no file of KRB5_CONFIG is there"), "{}", ran.stderr);
}

/// NTLM is allowed so, and not put in the place of the Kerberos that the inventory asks for.
fn to_allow_ntlm_does_not_take_kerberos_away(bench: &Bench) {
    let password = PathBuf::from(bench.file("barney", "bambam"));
    let text = format!(
        "[credentials.password]\nusername = 'barney'\npassword-file = {password:?}\n\
         [servers.two]\naddress = 'srv2.bedrock.test'\nprotocol = 'even'\n\
         credential = 'password'\nauthentication = 'kerberos'\n"
    );
    let inventory = bench.file("second.toml", &text);
    let before = bench.logged(&["TGS-REQ SUCCESS", "barney@", "cifs/srv2"]);
    let words = ["count", "two", "-o", "jsonl", "--inventory", &inventory];
    let how = ["--authentication", "negotiate"];
    let ran = bench.quarry(None, &[], &[&words[..], &LOG, &how].concat());
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(bench.logged(&["TGS-REQ SUCCESS", "barney@", "cifs/srv2"]), before + 1);
}

fn an_address_or_an_alias_falls_back_only_where_ntlm_is_allowed(bench: &Bench) {
    let login = ["-U", "Administrator%Bedrock-1!"];
    let alias = ["samba-tool", "dns", "add", HOST, "bedrock.test", "old", "CNAME", HOST];
    bench.domain.administer(&[&alias[..], &login].concat());
    let password = bench.file("barney", "bambam");
    let who = ["-k", "-u", r"BEDROCK\barney", "--password-file", &password];
    for (host, why, remedy) in [
        (
            SambaDomain::ADDRESS,
            "10.87.1.1 is an address, and tickets are for names",
            "give the server's name",
        ),
        (
            "old.bedrock.test",
            "nobody is registered as cifs/old.bedrock.test",
            "use the name that the server has in its domain",
        ),
    ] {
        let source = format!("even://{host}");
        let ran = bench.count(&source, None, &[], &who);
        assert_eq!((ran.status, &*ran.stdout), (Some(2), ""), "{host}");
        assert!(ran.stderr.contains(why) && ran.stderr.contains(remedy), "{}", ran.stderr);
        assert!(ran.stderr.contains("--authentication negotiate"), "{}", ran.stderr);

        let words = [&who[..], &["--authentication", "negotiate"]].concat();
        let ran = bench.count(&source, None, &[], &words);
        assert_eq!(ran.status, Some(0), "{host}: {}", ran.stderr);
        assert!(ran.stdout.contains("\"records\":300"), "{}", ran.stdout);
    }
    // By its own name it is Kerberos there too: NTLM is not asked for.
    let before = bench.logged(&["TGS-REQ SUCCESS", "barney@", "cifs/granite"]);
    let words = [&who[..], &["--authentication", "negotiate"]].concat();
    assert_eq!(bench.count(&format!("even://{HOST}"), None, &[], &words).status, Some(0));
    assert_eq!(bench.logged(&["TGS-REQ SUCCESS", "barney@", "cifs/granite"]), before + 1);
}

fn what_is_wrong_with_an_account_is_told_with_what_to_do(bench: &Bench) {
    let tool = |words: &[&str]| bench.domain.administer(&[&["samba-tool", "user"], words].concat());
    for user in ["expired", "disabled"] {
        tool(&["create", user, "Slate-1!"]);
    }
    let must_change = "--must-change-at-next-login";
    tool(&["setpassword", "expired", "--newpassword=Slate-1!", must_change]);
    tool(&["disable", "disabled"]);
    let password = bench.file("slate", "Slate-1!");
    for (user, why, remedy) in [
        ("expired", "the password of expired@BEDROCK.TEST has expired", "kpasswd expired@"),
        ("disabled", "the account disabled@BEDROCK.TEST is locked, disabled", "an administrator"),
        ("nobody", "there is no account nobody@BEDROCK.TEST", "write USER@REALM"),
        ("fred@nowhere.test", "no key distribution centre of NOWHERE.TEST", "check the realm"),
        (r"QUARRY\fred", r"nothing says which realm QUARRY\fred is in", "write USER@REALM"),
    ] {
        let words = ["-k", "-u", user, "--password-file", &password];
        let ran = bench.count(&format!("even://{HOST}"), None, &[], &words);
        assert_eq!(ran.status, Some(2), "{user}");
        assert!(ran.stderr.contains(why) && ran.stderr.contains(remedy), "{}", ran.stderr);
    }
}

fn what_is_wrong_with_a_cache_or_keytab_is_told_with_what_to_do(bench: &Bench) {
    let source = format!("even://{HOST}");
    let cache = bench.kinit("barney", "bambam");
    let check = |ran: Ran, why: &str, remedy: &str| {
        assert_eq!(ran.status, Some(2), "{why}");
        assert!(ran.stderr.contains(why) && ran.stderr.contains(remedy), "{}", ran.stderr);
    };
    check(
        bench.count(&source, None, &[], &["-k"]),
        "no ticket cache FILE:/nonexistent/cache",
        "get a ticket with kinit",
    );
    check(
        bench.count(&source, Some("KEYRING:persistent:0"), &[], &["-k"]),
        "KEYRING",
        "FILE, DIR or KCM",
    );
    check(
        bench.count(&source, Some(&cache), &[], &["-k", "-u", "fred"]),
        "is that of barney@BEDROCK.TEST, not of fred",
        "kinit fred",
    );
    check(
        bench.count(&source, Some(&cache), &["faketime", "+2days"], &["-k"]),
        "the ticket of barney@BEDROCK.TEST in",
        "kinit barney@BEDROCK.TEST",
    );
    let keytab = bench.keytab("fred");
    check(
        bench.count(&source, None, &[], &["--keytab", &keytab, "-u", "barney"]),
        "the keytab has no AES key of barney",
        "klist -e -k",
    );
    let wrong = bench.file("not.keytab", "pebbles");
    check(
        bench.count(&source, None, &[], &["--keytab", &wrong]),
        "it doesn't begin as a keytab does",
        "",
    );
    // The keytab of before a change of the password.
    let old = bench.files.path().join("old.keytab");
    let (old, principal) = (old.to_str().unwrap(), "--principal=stale@BEDROCK.TEST");
    let tool = |words: &[&str]| bench.domain.administer(&[&["samba-tool"], words].concat());
    tool(&["user", "create", "stale", "Slate-1!"]);
    tool(&["domain", "exportkeytab", old, principal]);
    tool(&["user", "setpassword", "stale", "--newpassword=Slate-2!"]);
    check(
        bench.count(&source, None, &[], &["--keytab", old]),
        "the key of stale@BEDROCK.TEST in the keytab is not the account's any more",
        "export the keytab again",
    );
}

fn a_clock_that_is_off_is_told_with_how_far(bench: &Bench) {
    let keytab = bench.keytab("fred");
    for (offset, said) in [("-2h", "2 h behind"), ("+3h", "3 h ahead of"), ("+20m", "20 min ahead")]
    {
        let faked = ["faketime", "-f", offset];
        let ran = bench.count(&format!("even://{HOST}"), None, &faked, &["--keytab", &keytab]);
        assert_eq!(ran.status, Some(2), "{offset}");
        // A second may pass.
        let near = said.replace("2 h", "119 min").replace("20 min", "19 min");
        let said = format!("this machine's clock is {said}");
        let near = format!("this machine's clock is {near}");
        assert!(ran.stderr.contains(&said) || ran.stderr.contains(&near), "{}", ran.stderr);
        assert!(ran.stderr.contains("set the clock"), "{}", ran.stderr);
    }
    // A little is allowed.
    let faked = ["faketime", "-f", "+2m"];
    let ran = bench.count(&format!("even://{HOST}"), None, &faked, &["--keytab", &keytab]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
}

fn a_key_distribution_centre_that_does_not_answer_is_told(bench: &Bench, fleet: &[&str]) {
    let cache = bench.kinit("fred", "pebbles1!");
    let password = bench.file("barney", "bambam");
    let source = format!("even://{HOST}");
    // Nobody has the first address, and nothing listens on the port at the second.
    for centre in ["10.87.1.99", "10.87.1.1:1"] {
        let text = format!(
            "[libdefaults]\ndefault_realm = BEDROCK.TEST\n\
             [realms]\nBEDROCK.TEST = {{\n kdc = {centre}\n}}\n"
        );
        let configuration = format!("KRB5_CONFIG={}", bench.file("krb5.conf", &text));
        let who = ["-k", "-u", "barney", "--password-file", &password, "--connect-timeout", "1s"];
        let ran = bench.count(&source, None, &["env", &configuration], &who);
        assert_eq!(ran.status, Some(2));
        let said = "Kerberos: no key distribution centre of BEDROCK.TEST";
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
        assert!(ran.stderr.contains("whether port 88"), "{}", ran.stderr);
        // Nor does one that has a ticket for more get these.
        let slow = ["--connect-timeout", "1s", "-k"];
        let words = [&["count"], fleet, &slow].concat();
        let ran = bench.quarry(Some(&cache), &["env", &configuration], &words);
        assert_eq!(ran.status, Some(2));
        assert!(ran.stderr.contains(said) && ran.stderr.contains("6 failed"), "{}", ran.stderr);
        // NTLM needs none.
        let words = [&who[..], &["--authentication", "negotiate"]].concat();
        let ran = bench.count(&source, None, &["env", &configuration], &words);
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    }
}

fn an_inventory_says_who_signs_in_by_kerberos(bench: &Bench) {
    let password = bench.file("barney", "bambam");
    let (keytab, password) = (PathBuf::from(bench.keytab("fred")), PathBuf::from(password));
    let text = format!(
        "[credentials.keytab]\nusername = 'BEDROCK\\fred'\nkeytab = {keytab:?}\n\
         [credentials.password]\nusername = 'barney'\npassword-file = {password:?}\n\
         [servers.one]\naddress = '{HOST}'\nprotocol = 'even'\ncredential = 'keytab'\n\
         [servers.two]\naddress = 'srv1.bedrock.test'\nprotocol = 'even'\ncredential = 'password'\n\
         authentication = 'kerberos'\n"
    );
    let inventory = bench.file("who.toml", &text);
    let before = ["fred@", "barney@"].map(|who| bench.logged(&["AS-REQ SUCCESS", who]));
    let words = ["count", "one", "two", "-o", "jsonl", "--inventory", &inventory];
    let ran = bench.quarry(None, &[], &[&words[..], &LOG].concat());
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stdout.matches("\"records\":300").count(), 2, "{}", ran.stdout);
    let after = ["fred@", "barney@"].map(|who| bench.logged(&["AS-REQ SUCCESS", who]));
    assert_eq!(after, before.map(|count| count + 1));
    // A keytab can't be for NTLM.
    let words = ["count", "one", "--authentication", "ntlm", "--inventory", &inventory];
    let ran = bench.quarry(None, &[], &words);
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("Kerberos and NTLM alone exclude each other"), "{}", ran.stderr);
}

/// Samba binds and then says that it doesn't serve the operation: a fault of the call, where a
/// logon that it doesn't take ends the connection.
fn over_tcp_both_ways_to_authenticate_get_through(bench: &Bench) {
    let keytab = bench.keytab("fred");
    for way in [&[][..], &["--authentication", "kerberos"]] {
        let before = bench.logged(&["TGS-REQ SUCCESS", "fred@", "host/granite"]);
        let words = ["logs", &format!("even6://{HOST}"), "--keytab", &keytab];
        let ran = bench.quarry(None, &[], &[&words[..], way].concat());
        assert_eq!(ran.status, Some(2));
        assert!(ran.stderr.contains("no event log service in MS-EVEN6"), "{}", ran.stderr);
        assert_eq!(bench.logged(&["TGS-REQ SUCCESS", "fred@", "host/granite"]), before + 1);
    }
}

/// Samba has the interface of MS-EVEN6, and no events in it.
fn a_name_alone_falls_back_from_a_service_in_name_only(bench: &Bench) {
    let keytab = bench.keytab("fred");
    let words = ["scan", HOST, "-n", "3", "-v", "-o", "jsonl", "--keytab", &keytab];
    let ran = bench.quarry(None, &[], &[&words[..], &LOG[..]].concat());
    assert_eq!((ran.status, ran.stdout.lines().count()), (Some(0), 3), "{}", ran.stderr);
    let source = format!("\"source\":\"even://{HOST}\"");
    assert!(ran.stdout.lines().all(|line| line.contains(&source)), "{}", ran.stdout);
    let why = "MS-EVEN over SMB, as MS-EVEN6 can't be had: no event log service in MS-EVEN6";
    assert!(ran.stderr.contains(&format!("{HOST}: {why}")), "{}", ran.stderr);
}
