//! `quarry demo --web`, as somebody starts it who has nothing else yet: Python signs in at the address
//! that it prints, and asks.
#![cfg(target_os = "linux")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest time that it may take to end.
const LONG: Duration = Duration::from_secs(120);

/// Signs in, and prints the first page, a page of events, what its script is sent, and what an export
/// has.
const CLIENT: &str = r#"
import http.cookiejar, json, sys, urllib.parse, urllib.request
address = sys.argv[1]
jar = http.cookiejar.CookieJar()
opener = urllib.request.build_opener(
    urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar))
base = address.split("/sign-in")[0]
token = urllib.parse.parse_qs(urllib.parse.urlsplit(address).query)["token"][0]
def get(request):
    with opener.open(request, timeout=120) as answer:
        return answer.read().decode()
form = urllib.parse.urlencode({"token": token}).encode()
fleet = get(urllib.request.Request(base + "/sign-in", form, {"Origin": base}))
words = "on=dc01&on=web01&log=Security&id=4625&data=TargetUserName%3Dsvc-sql&since=1h"
page = get(f"{base}/events?{words}")
sent = {"row": 0, "end": 0}
ask = urllib.request.Request(f"{base}/api/v1/ask?{words}", headers={"Accept": "text/event-stream"})
with opener.open(ask, timeout=120) as stream:
    for line in stream:
        name = line.decode().strip().removeprefix("event:").strip()
        if line.startswith(b"event:") and name in sent:
            sent[name] += 1
        if sent["end"]:
            break
export = get(f"{base}/api/v1/events?{words}&rows=all&format=ndjson")
events = [json.loads(line) for line in export.splitlines() if line]
print(json.dumps({"fleet": fleet, "page": page, "sent": sent, "events": events}))
"#;

/// The demo, which doesn't outlive its test.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_page_of_the_demo_shows_the_failed_logons_of_its_story() {
    let home = tempfile::tempdir().expect("a folder");
    let mut command = Command::new("env");
    // Who runs tests in the background may have switched its signals off.
    command.args(["--default-signal", env!("CARGO_BIN_EXE_quarry"), "demo", "--web"]);
    command.env("HOME", home.path()).env_remove("XDG_DATA_HOME").env_remove("XDG_CACHE_HOME");
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut demo = Demo(command.spawn().expect("it starts"));
    let mut address = String::new();
    let mut out = BufReader::new(demo.0.stdout.take().expect("a pipe"));
    out.read_line(&mut address).expect("text");
    assert!(address.starts_with("http://127.0.0.1:"), "no address: {address:?}");

    let client = Command::new("python3").args(["-c", CLIENT, address.trim()]).output();
    let client = client.expect("Python runs");
    assert!(client.status.success(), "{}", String::from_utf8_lossy(&client.stderr));
    let seen: Value = serde_json::from_slice(&client.stdout).expect("JSON");
    for server in ["dc01", "dc03", "web03", "sql01", "file02"] {
        assert!(seen["fleet"].as_str().is_some_and(|page| page.contains(server)), "{server}");
    }
    assert!(seen["page"].as_str().is_some_and(|page| page.contains("id=\"rows\"")));

    let mut events = seen["events"].as_array().expect("a list").clone();
    let end = events.pop().expect("an end");
    assert!(end["end"].is_object(), "{end}");
    // Thirty attempts on each server in eight hours less a quarter: at least three in an hour. Everyday
    // events that come meanwhile may be of the account too, from elsewhere.
    let of_story = ["10.20.6.17", "10.20.6.203", "10.20.6.41", "10.20.6.88"];
    let mut attempts = BTreeMap::<&str, u64>::new();
    let mut addresses = BTreeSet::new();
    for event in &events {
        assert_eq!((&event["event_id"], &event["channel"]), (&4625.into(), &"Security".into()));
        assert_eq!(event["data"]["TargetUserName"], "svc-sql", "{event}");
        let address = event["data"]["IpAddress"].as_str().expect("an address");
        if of_story.contains(&address) {
            *attempts.entry(event["source"].as_str().expect("a name")).or_default() += 1;
            addresses.insert(address);
        }
    }
    assert_eq!(attempts.keys().copied().collect::<Vec<_>>(), ["even6://dc01", "even6://web01"]);
    assert!(attempts.values().all(|times| (3..=4).contains(times)), "{attempts:?}");
    assert_eq!(addresses, BTreeSet::from(of_story));
    let [row, end] = ["row", "end"].map(|name| seen["sent"][name].as_u64());
    assert_eq!(end, Some(1));
    assert!(row >= Some(attempts.values().sum()), "{row:?} rows");

    let pid = demo.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
    let began = Instant::now();
    while demo.0.try_wait().expect("it can be waited for").is_none() {
        assert!(began.elapsed() < LONG, "it doesn't end");
        std::thread::sleep(Duration::from_millis(50));
    }
    // Nothing of servers that don't exist any more is left behind.
    let left: Vec<_> = std::fs::read_dir(home.path()).expect("a folder").flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}
