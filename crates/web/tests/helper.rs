//! Sign-in through the helper: real accounts in a mount namespace of the test's, and peers that hang
//! and lie.
#![cfg(target_os = "linux")]

use std::io::{self, Read};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{env, fs, thread};

use quarry_cred::Secret;
use quarry_fleet::{Configuration, KerberosError};
use quarry_testkit::accounts::{self, PASSWORD, WRONG};
use quarry_web::access::accounts::{Accounts, LogOnError, LoggedOn};
use quarry_web::access::helper::{
    Channel, Helper, MOST_UNDER_WAY, NotReady, Supervisor, become_helper, check_ready, serve_logon,
};

/// Set where this program is the process of a logon: the PAM service to ask.
const LOGON: &str = "QUARRY_TEST_LOGON";

/// Not a test of its own: what the helper of the tests starts for each logon.
#[test]
fn the_process_of_a_logon() {
    if let Ok(service) = env::var(LOGON) {
        let channel = Channel::of_standard_input().expect("the helper's socket");
        let kerberos = || Ok(realm());
        serve_logon(&channel, &service, kerberos).expect("a helper that keeps to the rules");
    }
}

/// A realm whose key distribution centre doesn't answer.
fn realm() -> Configuration {
    let text = "[libdefaults]\n default_realm = LAB\n[realms]\n LAB = {\n  kdc = 127.0.0.1:1\n }\n";
    Configuration::parse(text).expect("a configuration")
}

fn logon_process(service: &str, socket: OwnedFd) -> io::Result<Child> {
    Command::new(env::current_exe()?)
        .args(["the_process_of_a_logon", "--exact", "--nocapture", "--test-threads=1"])
        .env(LOGON, service)
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .spawn()
}

/// A helper on a thread, whose logons are asked of a PAM service.
fn helper_of(service: &'static str) -> Helper {
    helper(Supervisor::default(), move |socket| logon_process(service, socket))
}

fn helper(
    supervisor: Supervisor,
    start: impl Fn(OwnedFd) -> io::Result<Child> + Send + Sync + 'static,
) -> Helper {
    let (ours, theirs) = Channel::pair().expect("a pair");
    thread::spawn(move || supervisor.run(theirs, start));
    Helper::new(ours).expect("a thread")
}

async fn log_on(helper: &Helper, user: &str, password: &str) -> Result<LoggedOn, LogOnError> {
    let secret = Secret::new(password.to_owned()).expect("a password");
    let from = IpAddr::from([192, 0, 2, 7]);
    helper.log_on(&user.parse().expect("a name"), secret, from).await
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_right_wrong_or_of_accounts_that_may_not() {
    if !accounts::inside("passwords_are_right_wrong_or_of_accounts_that_may_not") {
        return;
    }
    let helper = helper_of("quarry");
    let alice = log_on(&helper, "alice", PASSWORD).await.expect("it is right");
    assert_eq!(alice.user, "alice");
    let mut groups = alice.groups.clone();
    groups.sort();
    assert_eq!(groups, ["alice", "readers", "writers"]);
    assert!(!alice.is_administrator);

    let asked = [
        ("alice", WRONG),
        ("no-such-user", PASSWORD),
        ("locked", PASSWORD),
        ("expired", WRONG),
        ("nopass", WRONG),
        ("root", PASSWORD),
    ];
    let refused = asked.map(|(user, password)| log_on(&helper, user, password));
    for (answer, (user, _)) in futures_util::future::join_all(refused).await.iter().zip(asked) {
        assert_eq!(answer.as_ref().err(), Some(&LogOnError::Refused), "{user}");
    }
    for user in ["expired", "aged", "fresh"] {
        let answer = log_on(&helper, user, PASSWORD).await;
        assert!(matches!(answer, Err(LogOnError::Restricted(_))), "{user}: {answer:?}");
    }
    // A service that isn't set up is no wrong password.
    let answer = log_on(&helper_of("no-such-service"), "alice", PASSWORD).await;
    assert!(matches!(answer, Err(LogOnError::NotPossible(_))), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gets_no_ticket_signs_in_all_the_same_and_is_told_why_where_one_is_needed() {
    let test = "who_gets_no_ticket_signs_in_all_the_same_and_is_told_why_where_one_is_needed";
    if !accounts::inside(test) {
        return;
    }
    let helper = helper_of("quarry").with_tickets(realm(), Duration::from_secs(5));
    let alice = log_on(&helper, "alice", PASSWORD).await.expect("it is right");
    let tickets = alice.tickets.as_ref().expect("some are asked for");
    match tickets.service("host", "dc01.lab").await {
        Err(KerberosError::NoSessionTicket { account, why }) => {
            assert_eq!(account, "alice");
            assert!(why.starts_with("no key distribution centre of LAB"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    // The logon's process goes on.
    alice.logon.still_good().await.expect("it is");
    // A wrong password is none to show to a realm.
    assert_eq!(log_on(&helper, "alice", WRONG).await.err(), Some(LogOnError::Refused));
    // Where no server is asked as a person, nothing is got.
    let bob = log_on(&helper_of("quarry"), "bob", PASSWORD).await.expect("it is right");
    assert!(bob.tickets.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn root_is_refused_even_where_pam_lets_it_in() {
    if !accounts::inside("root_is_refused_even_where_pam_lets_it_in") {
        return;
    }
    // Another name of number 0 is root as well.
    let passwd = fs::read_to_string("/etc/passwd").expect("it is the test's");
    fs::write("/etc/passwd", format!("{passwd}toor:x:0:0:toor:/root:/bin/sh\n")).expect("written");
    let helper = helper_of("open");
    log_on(&helper, "bob", WRONG).await.expect("this service lets everybody in");
    for user in ["root", "toor"] {
        let answer = log_on(&helper, user, WRONG).await;
        assert_eq!(answer.err(), Some(LogOnError::Refused), "{user}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_opened_as_the_person_who_asks() {
    if !accounts::inside("files_are_opened_as_the_person_who_asks") {
        return;
    }
    let helper = helper_of("quarry");
    let (alice, bob) =
        (log_on(&helper, "alice", PASSWORD).await, log_on(&helper, "bob", PASSWORD).await);
    let (alice, bob) = (alice.expect("right").logon, bob.expect("right").logon);
    let path = accounts::folder().join("for-readers.evtx");
    fs::write(&path, "theirs").expect("the folder is root's");
    std::os::unix::fs::chown(&path, Some(0), Some(7201)).expect("root may");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o040)).expect("root may");

    let mut text = String::new();
    let mut file = alice.open(&path).await.expect("alice is in readers");
    file.read_to_string(&mut text).expect("it can be read");
    assert_eq!(text, "theirs");
    io::Write::write(&mut file, b"x").expect_err("it is for reading only");
    let refused = bob.open(&path).await.expect_err("bob isn't");
    assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    let missing = alice.open(&path.with_extension("gone")).await.expect_err("not there");
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);

    let home = alice.open(&accounts::folder().join("alice")).await.expect("her folder");
    assert!(home.metadata().expect("its data").is_dir());
    bob.open(&accounts::folder().join("alice")).await.expect_err("his it isn't");
    let pipe = accounts::folder().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    fs::set_permissions(&pipe, fs::Permissions::from_mode(0o644)).expect("root may");
    for no_file in [&*pipe, "/dev/null".as_ref()] {
        let error = alice.open(no_file).await.expect_err("no file");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{no_file:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_disabled_is_noticed() {
    if !accounts::inside("an_account_that_is_disabled_is_noticed") {
        return;
    }
    let helper = helper_of("quarry");
    let alice = log_on(&helper, "alice", PASSWORD).await.expect("it is right").logon;
    let bob = log_on(&helper, "bob", PASSWORD).await.expect("it is right").logon;
    assert_eq!(alice.still_good().await.expect("it is").len(), 3);
    // What usermod --expiredate 1 does; and an account that is gone.
    let change = |file: &str, from: &str, to: &str| {
        let text = fs::read_to_string(file).expect("it is the test's");
        assert!(text.contains(from), "{file} has no {from}");
        fs::write(file, text.replace(from, to)).expect("it is the test's");
    };
    let shadow = fs::read_to_string("/etc/shadow").expect("it is the test's");
    let line = shadow.lines().find(|line| line.starts_with("alice:")).expect("alice");
    change("/etc/shadow", line, &line.replace(":7:::", ":7::1:"));
    let answer = alice.still_good().await;
    assert!(matches!(answer, Err(LogOnError::Restricted(_))), "{answer:?}");
    change("/etc/passwd", "bob:x:7102:", "robert:x:7102:");
    bob.still_good().await.expect_err("there is no bob");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_hangs_holds_up_only_its_own_logon() {
    if !accounts::inside("a_module_that_hangs_holds_up_only_its_own_logon") {
        return;
    }
    let processes = Arc::new(Mutex::new(Vec::new()));
    let started = Arc::clone(&processes);
    let helper = helper(Supervisor::default().longest(Duration::from_secs(8)), move |socket| {
        // The first hangs.
        let mut started = started.lock().expect("nobody panicked");
        let service = if started.is_empty() { "hang" } else { "quarry" };
        let child = logon_process(service, socket)?;
        started.push(child.id());
        Ok(child)
    });
    let of_task = helper.clone();
    let hanging = tokio::spawn(async move { log_on(&of_task, "alice", PASSWORD).await });
    while processes.lock().expect("nobody panicked").is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    log_on(&helper, "bob", PASSWORD).await.expect("nothing holds bob up");
    let answer = hanging.await.expect("no panic");
    assert!(matches!(answer, Err(LogOnError::NotPossible(_))), "{answer:?}");
    let first = processes.lock().expect("nobody panicked")[0];
    // It was killed before the answer, and is waited for after it.
    let is_there = || fs::exists(format!("/proc/{first}")).expect("/proc");
    for _ in 0..1000 {
        if !is_there() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!is_there(), "its process still runs");
}

/// A process that reads nothing and says nothing.
fn silent(socket: OwnedFd) -> io::Result<Child> {
    Command::new("sleep").arg("600").stdin(Stdio::from(socket)).spawn()
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_logons_are_under_way_and_no_more() {
    let supervisor = Supervisor::default().longest(Duration::from_secs(5));
    let helper = helper(supervisor, silent);
    let all = (0..3 * MOST_UNDER_WAY).map(|_| log_on(&helper, "ann", "x"));
    let answers = futures_util::future::join_all(all).await;
    let busy = answers.iter().filter(|answer| matches!(answer, Err(LogOnError::Busy))).count();
    let ended =
        answers.iter().filter(|answer| matches!(answer, Err(LogOnError::NotPossible(_)))).count();
    assert_eq!((busy, ended), (2 * MOST_UNDER_WAY, MOST_UNDER_WAY));
    // And then there is room again.
    let answer = log_on(&helper, "ann", "x").await;
    assert!(matches!(answer, Err(LogOnError::NotPossible(_))), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logon_process_that_lies_logs_nobody_on() {
    // Not a frame; one that is too large; the answer to another request; none at all.
    for said in ["printf x", "head -c 70000 /dev/zero", "printf '\\7\\1'", "exit 0"] {
        let script = format!("exec 1>&0; {said}; exec sleep 600");
        let helper = helper(Supervisor::default(), move |socket| {
            Command::new("sh").args(["-c", &script]).stdin(Stdio::from(socket)).spawn()
        });
        let answer = log_on(&helper, "ann", "x").await;
        assert!(answer.is_err(), "{said}: {answer:?}");
        assert_ne!(answer.err(), Some(LogOnError::Busy), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_that_is_gone_or_lies_is_noticed_and_answers_nobody() {
    for said in ["true", "printf x; exec sleep 600", "head -c 70000 /dev/zero; exec sleep 600"] {
        let (ours, theirs) = Channel::pair().expect("a pair");
        let helper = Helper::new(ours).expect("a thread");
        let mut child = Command::new("sh")
            .args(["-c", &format!("exec 1>&0; {said}")])
            .stdin(Stdio::from(theirs.into_socket()))
            .spawn()
            .expect("sh runs");
        let answer = log_on(&helper, "ann", "x").await;
        assert!(matches!(answer, Err(LogOnError::NotPossible(_))), "{said}: {answer:?}");
        helper.gone().await;
        let _ = child.kill();
        child.wait().expect("it ends");
    }
}

#[test]
fn a_web_process_that_sends_what_is_no_request_ends_the_helper_and_its_processes() {
    let (ours, theirs) = Channel::pair().expect("a pair");
    let helper = thread::spawn(move || Supervisor::default().run(theirs, silent));
    let script = "import socket; s = socket.socket(fileno=0); s.send(b'\\xff' * 100)";
    let status = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::from(ours.into_socket()))
        .status()
        .expect("Python runs");
    assert!(status.success());
    let error = helper.join().expect("no panic").expect_err("it is no request");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn the_web_process_has_no_privileges_and_root_is_no_account_for_it() {
    if !accounts::inside("the_web_process_has_no_privileges_and_root_is_no_account_for_it") {
        return;
    }
    let place = accounts::folder().join("seen");
    fs::create_dir(&place).expect("the folder is root's");
    fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).expect("root may");
    let identity = |name: &str| {
        let found = quarry_logon::Identity::of(&name.parse().expect("a name"));
        found.expect("the name service answers").expect("it is there")
    };
    let web = || {
        let mut web = Command::new("sh");
        let script = "cat /proc/self/status > \"$0/status\"; exit 7";
        web.args(["-c", script]).arg(&place);
        web
    };
    let never = |_| loop {
        thread::park();
    };
    let logon = || Command::new("false");
    let status = become_helper(&identity("service"), web(), logon, never);
    assert_eq!(status.expect("it runs").code(), Some(7));
    let seen = fs::read_to_string(place.join("status")).expect("it wrote");
    let field = |name: &str| {
        let line = seen.lines().find(|line| line.starts_with(name)).expect(name);
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(field("Uid:"), ["7900"; 4]);
    assert_eq!(field("Gid:"), ["7900"; 4]);
    assert!(field("Groups:").is_empty(), "{:?}", field("Groups:"));
    for set in ["CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(set), ["0000000000000000"], "{set}");
    }
    become_helper(&identity("root"), web(), logon, never).expect_err("it is root");
}

#[test]
fn a_helper_that_is_stopped_ends_its_web_process_by_closing_the_channel() {
    let test = "a_helper_that_is_stopped_ends_its_web_process_by_closing_the_channel";
    if !accounts::inside(test) {
        return;
    }
    let account = check_ready("service", "quarry").expect("all is there");
    let mut web = Command::new("sh");
    // It ends when nothing more can come.
    web.args(["-c", "cat >&2; exit 9"]);
    let logon = || Command::new("false");
    let status = become_helper(&account, web, logon, |_| {}).expect("it runs");
    assert_eq!(status.code(), Some(9));
}

#[test]
fn what_is_missing_is_said_before_anything_is_started() {
    if !accounts::inside("what_is_missing_is_said_before_anything_is_started") {
        return;
    }
    let missing = |account: &str, service: &str| check_ready(account, service).expect_err(account);
    assert!(matches!(missing("service", "no-such-service"), NotReady::Service(_)));
    assert!(matches!(missing("no-such-user", "quarry"), NotReady::NoAccount(_)));
    assert!(matches!(missing("root", "quarry"), NotReady::Root));
    assert_eq!(check_ready("service", "quarry").expect("all is there").user(), "service");
}
