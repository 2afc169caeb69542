//! `quarry serve` for the accounts of a domain, with servers that are asked as who is signed in: on a
//! member of Samba's domain, whose controller has an access list of its own for each log.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use quarry_testkit::SambaDomain;
use serde_json::Value;

const QUARRY: &str = env!("CARGO_BIN_EXE_quarry");
/// Longest time that something of another process may take.
const LONG: Duration = Duration::from_secs(90);
/// How long the tickets of the last part are good, in seconds: a little more than what isn't used.
const SHORT: u64 = 150;

const INVENTORY: &str = r#"
[credentials.collector]
username = 'BEDROCK\barney'
password-file = "collector.password"

[servers.granite]
address = "granite.bedrock.test"
protocol = "even"
as = "person"
logs = ["Application", "System"]

[servers.slate]
address = "slate.bedrock.test"
protocol = "even"
credential = "collector"
logs = ["Application"]
"#;

/// Everybody may read everything here, so that what is hidden is hidden by the server.
const RULES: &str = r#"
[sign-in]
groups = ['BEDROCK\domain users', 'wilma']
[access.all]
groups = ['BEDROCK\domain users', 'wilma']
on = ["*"]
logs = ["*", "Security"]
"#;

/// `openssl passwd -6 -salt quarry 'correct horse'`
const HASH: &str = "$6$quarry$vZBoQopiFBcmncsWgj18S8rq4PP/S8o8TU4y7NDux776RWYwiYklrW7c.mkxFWnDijY9H4l.LSpT1X.WTwCvP.";

/// Accounts of the member itself and of the domain, as most machines of a domain have them.
const PAM: &str = "auth sufficient pam_unix.so nodelay\nauth required pam_winbind.so\n\
     account sufficient pam_localuser.so\naccount required pam_winbind.so\n\
     session required pam_permit.so\n";

/// Asks over TLS, one request a line of standard input, and prints each answer as JSON. What doesn't
/// end by itself is read until it has a text.
const CLIENT: &str = r#"
import http.client, json, ssl, sys
method, port, path, cookie, body, until = sys.argv[1:]
context = ssl._create_unverified_context()
connection = http.client.HTTPSConnection("127.0.0.1", int(port), context=context, timeout=60)
headers = {"Cookie": cookie} if cookie else {}
if method == "POST":
    headers["Origin"] = f"https://127.0.0.1:{port}"
    headers["Content-Type"] = "application/x-www-form-urlencoded"
connection.request(method, path, body or None, headers)
answer = connection.getresponse()
read = b""
while until:
    line = answer.readline()
    read += line
    if not line or until.encode() in line:
        break
print(json.dumps({
    "status": answer.status,
    "cookies": [value.split(";")[0] for value in answer.headers.get_all("Set-Cookie", [])],
    "body": (read if until else answer.read()).decode(errors="replace"),
}))
"#;

/// A member of a domain, and the files of a page on it.
struct Bench {
    domain: SambaDomain,
    folder: PathBuf,
}

impl Bench {
    fn new() -> Option<Self> {
        let domain = SambaDomain::start()?;
        // What each request was is in the log then.
        domain.restart_with("log level = 1 kerberos:3");
        let folder = domain.folder().join("page");
        fs::create_dir(&folder).expect("the domain's folder is the test's");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("it is ours");
        // What the machine has, as the domain's own servers need some of its accounts.
        for (name, more) in [
            (
                "passwd",
                "service:x:7900:7900::/nowhere:/bin/sh\nwilma:x:7901:7901::/nowhere:/bin/sh\n",
            ),
            ("group", "service:x:7900:\nwilma:x:7901:\n"),
            ("shadow", &format!("service:!:19000:0:99999:7:::\nwilma:{HASH}:19000:0:99999:7:::\n")),
        ] {
            let text = fs::read_to_string(Path::new("/etc").join(name)).expect("root may");
            fs::write(domain.client_etc().join(name), text + more).expect("root may");
        }
        fs::write(domain.client_etc().join("pam.d/quarry"), PAM).expect("root may");
        domain.join();
        let bench = Self { domain, folder };
        for (name, text) in [
            ("inventory.toml", INVENTORY),
            ("access.toml", RULES),
            ("collector.password", "bambam"),
            ("audit.jsonl", ""),
            (
                "short.conf",
                &format!(
                    "[libdefaults]\ndefault_realm = BEDROCK.TEST\ndns_lookup_realm = false\n\
                     dns_lookup_kdc = true\nrdns = false\nticket_lifetime = {SHORT}\n"
                ),
            ),
        ] {
            let path = bench.file(name);
            fs::write(&path, text).expect("it is ours");
            let mode = if name.ends_with(".conf") { 0o644 } else { 0o600 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
            std::os::unix::fs::chown(&path, Some(7900), Some(7900)).expect("root may");
        }
        Some(bench)
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// The number that an account has on the controller.
    fn number_there(&self, user: &str) -> String {
        let text = self.domain.administer(&["wbinfo", "-i", &format!(r"BEDROCK\{user}")]);
        text.split(':').nth(2).expect("a number").to_owned()
    }

    /// Lets one account read a log of the controller, and nobody else: all may before.
    fn allow_only(&self, log: &str, user: &str) {
        let path = self.domain.folder().join(format!("dc/state/eventlog/{log}.tdb"));
        let number = self.number_there(user).parse().expect("a number");
        std::os::unix::fs::chown(&path, Some(number), None).expect("root may");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("root may");
    }

    /// How many lines of the key distribution centre's log have all of some words.
    fn logged(&self, words: &[&str]) -> usize {
        let log = fs::read(self.domain.folder().join("dc/log.samba")).expect("the rig's");
        let log = String::from_utf8_lossy(&log);
        log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }

    /// Starts the page on the member.
    fn page(&self, name: &str, environment: &[&str]) -> Page<'_> {
        let [pid, out, said] =
            ["pid", "out", "said"].map(|part| self.file(&format!("{name}.{part}")));
        let script = format!("echo $$ > {pid}; exec \"$@\" > {out} 2> {said}");
        let serve = [
            QUARRY,
            "serve",
            "@all",
            "--listen",
            "127.0.0.1:0",
            "--run-as",
            "service",
            "--inventory",
            &self.file("inventory.toml"),
            "--access",
            &self.file("access.toml"),
            "--audit",
            &self.file("audit.jsonl"),
        ];
        let words = [&["sh", "-c", &script, "sh", "env"], environment, &serve].concat();
        let child = self.domain.command(&words).stdin(Stdio::null()).spawn().expect("it starts");
        let mut page = Page { bench: self, child, pid, said, port: String::new() };
        let began = Instant::now();
        while page.port.is_empty() {
            let said = page.said();
            assert!(began.elapsed() < LONG && !said.contains("error:"), "no address: {said}");
            std::thread::sleep(Duration::from_millis(50));
            let text = fs::read_to_string(&out).unwrap_or_default();
            let port = text.trim().trim_end_matches('/').rsplit(':').next().unwrap_or_default();
            if text.ends_with('\n') {
                page.port = port.to_owned();
            }
        }
        page
    }
}

/// A page that is served.
struct Page<'b> {
    bench: &'b Bench,
    child: Child,
    pid: String,
    said: String,
    port: String,
}

/// What the program said of a source that failed.
type Failed = BTreeMap<String, String>;

impl Page<'_> {
    fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    fn ask(&self, method: &str, path: &str, cookie: &str, body: &str, until: &str) -> Value {
        let words = ["python3", "-c", CLIENT, method, &self.port, path, cookie, body, until];
        let output = self.bench.domain.run("", &words);
        assert!(output.status.success(), "{output:?}\n{}", self.said());
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    fn body(&self, path: &str, cookie: &str) -> String {
        let answer = self.ask("GET", path, cookie, "", "");
        assert_eq!(answer["status"], 200, "{path}: {answer}\n{}", self.said());
        answer["body"].as_str().expect("text").to_owned()
    }

    fn json(&self, path: &str, cookie: &str) -> Value {
        serde_json::from_str(&self.body(path, cookie)).expect("JSON")
    }

    /// The cookie of somebody who signs in.
    fn sign_in(&self, user: &str, password: &str) -> String {
        let form = |text: &str| text.replace('\\', "%5C").replace(' ', "+").replace('!', "%21");
        let body = format!("user={}&password={}", form(user), form(password));
        let answer = self.ask("POST", "/sign-in", "", &body, "");
        assert_eq!(answer["status"], 303, "{user}: {answer}\n{}", self.said());
        let cookies = answer["cookies"].as_array().expect("cookies");
        let cookies = cookies.iter().filter_map(Value::as_str);
        cookies.into_iter().find(|c| c.starts_with("__Host-quarry=")).expect("a session").to_owned()
    }

    /// How many events of a log of a server somebody sees, and what failed.
    fn events(&self, cookie: &str, on: &str, log: &str) -> (usize, Failed) {
        let answer = self.json(&format!("/api/v1/events?on={on}&log={log}&format=json"), cookie);
        let failed = answer["outcome"]["failed"].as_array().expect("a list").iter();
        let text = |value: &Value| value.to_string();
        let failed = failed.map(|one| (one["on"].to_string(), text(one)));
        (answer["events"].as_array().expect("events").len(), failed.collect())
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        let pid = fs::read_to_string(&self.pid).unwrap_or_default();
        // Itself, and with it the process that it has started.
        let _ = Command::new("kill").args(["-TERM", pid.trim()]).status();
        let _ = self.child.wait();
    }
}

fn says(failed: &Failed, texts: &[&str]) {
    let all: String = failed.values().cloned().collect();
    for text in texts {
        assert!(all.contains(text), "no {text:?} in {all}");
    }
}

/// All in one: the domain takes its time to come up.
#[test]
fn servers_are_asked_as_who_is_signed_in_and_their_own_access_lists_decide() {
    let Some(bench) = Bench::new() else { return };
    bench.domain.fill("Application", 30);
    bench.domain.fill("System", 20);
    bench.allow_only("system", "barney");
    let page = bench.page("page", &[]);
    two_people_see_what_the_server_lets_each_read(&bench, &page);
    an_account_without_a_ticket_is_told_what_to_do(&page);
    no_password_and_no_ticket_is_left_anywhere(&bench, &page);
    drop(page);
    a_ticket_that_has_expired_is_told_of_and_a_new_sign_in_gets_another(&bench);
}

fn two_people_see_what_the_server_lets_each_read(bench: &Bench, page: &Page<'_>) {
    // The member was joined by one of them.
    let of_service = |user| bench.logged(&["TGS-REQ SUCCESS", user, "cifs/granite"]);
    let before = bench.logged(&["AS-REQ SUCCESS", "fred@"]);
    let services = ["fred@", "barney@"].map(of_service);
    let fred = page.sign_in(r"BEDROCK\fred", "pebbles1!");
    let barney = page.sign_in(r"BEDROCK\barney", "bambam");
    assert_eq!(page.events(&barney, "granite", "Application"), (30, Failed::new()));
    assert_eq!(page.events(&barney, "granite", "System"), (20, Failed::new()));
    assert_eq!(page.events(&fred, "granite", "Application"), (30, Failed::new()));
    let (events, failed) = page.events(&fred, "granite", "System");
    assert_eq!(events, 0);
    says(&failed, &["fred@BEDROCK.TEST may not read System", "Event Log Readers"]);
    // The order is nothing to it: what one was shown is not another's.
    assert_eq!(page.events(&barney, "granite", "System").0, 20);
    assert_eq!(page.events(&fred, "granite", "System").0, 0);
    // One exchange for each, whatever they ask; and a service's ticket in their names.
    assert_eq!(bench.logged(&["AS-REQ SUCCESS", "fred@"]), before + 1);
    assert_eq!(["fred@", "barney@"].map(of_service), services.map(|before| before + 1));
    // Counts, exports, how the servers are, and the tail.
    let count = |cookie: &str| page.json("/api/v1/count?on=granite&log=System", cookie);
    assert_eq!(count(&barney)["events"], 20);
    assert_eq!(count(&fred)["events"], 0);
    let export = "/api/v1/events?on=granite&log=System&rows=all&format=ndjson";
    assert_eq!(page.body(export, &barney).lines().count(), 21);
    let file = page.body(export, &fred);
    assert!(file.lines().count() == 1 && file.contains("Event Log Readers"), "{file}");
    let logs = |cookie: &str| {
        let answer = page.json("/api/v1/servers", cookie);
        let sources = answer["sources"].as_array().expect("sources").clone();
        let granite = sources.iter().find(|source| source["name"] == "granite");
        granite.expect("it is listed").to_string()
    };
    let (of_fred, of_barney) = (logs(&fred), logs(&barney));
    assert!(of_barney.contains(r#""records":20"#), "{of_barney}");
    assert!(!of_fred.contains(r#""records":20"#), "{of_fred}");
    let tail = |cookie: &str, until: &str| {
        let answer = page.ask("GET", "/api/v1/tail?on=granite&log=System", cookie, "", until);
        answer["body"].as_str().expect("text").to_owned()
    };
    assert!(tail(&barney, "Slate").contains("Slate"), "a source of the rig's events");
    let lost = tail(&fred, "Event Log Readers");
    assert!(lost.contains("Event Log Readers") && !lost.contains("Slate"), "{lost}");
    // Asked by the program, the other server shows both the same.
    let slate = |cookie: &str| page.events(cookie, "slate", "Application");
    assert_eq!(slate(&fred), slate(&barney));
    assert_eq!(slate(&fred).1, Failed::new());
}

fn an_account_without_a_ticket_is_told_what_to_do(page: &Page<'_>) {
    let wilma = page.sign_in("wilma", "correct horse");
    let (events, failed) = page.events(&wilma, "granite", "Application");
    assert_eq!(events, 0);
    says(
        &failed,
        &["wilma got no Kerberos ticket", "there is no account wilma@BEDROCK.TEST", "as = "],
    );
    // What the program asks is shown all the same.
    assert_eq!(page.events(&wilma, "slate", "Application").1, Failed::new());
}

fn no_password_and_no_ticket_is_left_anywhere(bench: &Bench, page: &Page<'_>) {
    let said = page.said();
    for secret in ["pebbles1", "bambam", "correct horse"] {
        assert!(!said.contains(secret), "{said}");
        let audit = fs::read_to_string(bench.file("audit.jsonl")).expect("root may");
        assert!(!audit.contains(secret), "{audit}");
    }
    for user in [r"BEDROCK\fred", r"BEDROCK\barney", "service"] {
        let output = bench.domain.run("", &["id", "-u", user]);
        let number = String::from_utf8(output.stdout).expect("text");
        assert!(!Path::new("/tmp").join(format!("krb5cc_{}", number.trim())).exists(), "{user}");
    }
}

fn a_ticket_that_has_expired_is_told_of_and_a_new_sign_in_gets_another(bench: &Bench) {
    let page = bench.page("short", &[&format!("KRB5_CONFIG={}", bench.file("short.conf"))]);
    let began = Instant::now();
    let fred = page.sign_in("fred@BEDROCK.TEST", "pebbles1!");
    let asked = page.events(&fred, "granite", "Application");
    assert_eq!(asked, (30, Failed::new()), "after {:?}", began.elapsed());
    // What has two minutes left isn't used any more.
    let failed = loop {
        let (_, failed) = page.events(&fred, "granite", "Application");
        if !failed.is_empty() {
            break failed;
        }
        assert!(began.elapsed() < LONG, "the ticket doesn't expire");
        std::thread::sleep(Duration::from_secs(2));
    };
    says(&failed, &["fred@BEDROCK.TEST got by signing in has expired", "sign out, and in again"]);
    let again = page.sign_in("fred@BEDROCK.TEST", "pebbles1!");
    assert_eq!(page.events(&again, "granite", "Application"), (30, Failed::new()));
}
